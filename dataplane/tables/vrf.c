// SPDX-License-Identifier: BSD-3-Clause

// VRFs and what stands in their tables: routes, and our own addresses, which stand there as host
// routes of a group that says "local" (group.c). A route that somebody announces to exactly one of
// our addresses never reaches the FIB while the address is ours: it is kept beside the address and
// put in place when the address goes.
//
// Routes are counted in their group's use count, so a group cannot be deleted under them.

#include "dataplane/tables/vrf.h"

#include "dataplane/tables/fib.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"

#include <errno.h>
#include <string.h>

uint32_t vrf_find(const struct dataplane *dp, uint32_t id)
{
	return slots_find(&dp->tables->vrf_slots, id);
}

static struct fib_limits limits_of(const struct vrf_entry *v)
{
	return (struct fib_limits){
		.routes = v->record.routes_max == 0 ? 0 : v->record.routes_max + v->locals,
		.bytes = v->record.bytes_max,
	};
}

int vrf_set(struct dataplane *dp, const struct wire_vrf *r)
{
	struct tables *t = dp->tables;
	if (r->vrf == 0 || memchr(r->name, 0, sizeof(r->name)) == NULL)
		return -EINVAL;
	uint32_t slot = vrf_find(dp, r->vrf);
	if (slot != SLOT_NONE) {
		struct vrf_entry *v = &t->vrf_entry[slot];
		if (memcmp(&v->record, r, sizeof(*r)) == 0) {
			dp->unchanged++;
			return 1;
		}
		v->record = *r;
		struct fib_limits limits = limits_of(v);
		dp->written++;
		return fib_vrf_limits(dp->fib, slot, &limits);
	}
	int error = slots_take(&t->vrf_slots, r->vrf, &slot);
	if (error != 0)
		return error;
	t->vrf_entry[slot] = (struct vrf_entry){.record = *r};
	struct fib_limits limits = limits_of(&t->vrf_entry[slot]);
	error = fib_vrf_create(dp->fib, slot, &limits);
	if (error != 0) {
		slots_drop(&t->vrf_slots, slot);
		slots_release(&t->vrf_slots, slot);
		return error;
	}
	dp->written++;
	return 0;
}

static void release_vrf(void *ctx, uint64_t slot)
{
	struct tables *t = ctx;
	slots_release(&t->vrf_slots, (uint32_t)slot);
}

int vrf_delete(struct dataplane *dp, uint32_t id)
{
	struct tables *t = dp->tables;
	uint32_t slot = vrf_find(dp, id);
	if (slot == SLOT_NONE)
		return -ENOENT;
	if (t->vrf_slots.uses[slot] != 0)
		return -EBUSY;
	int error = fib_vrf_delete(dp->fib, slot);
	if (error != 0)
		return error;
	slots_drop(&t->vrf_slots, slot);
	reclaim_defer(dp->reclaim, release_vrf, t, slot);
	dp->written++;
	return 0;
}

bool vrf_stats_of(const struct dataplane *dp, uint32_t slot, struct wire_vrf_stats *r)
{
	struct fib_vrf_stats stats;
	if (fib_vrf_stats(dp->fib, slot, &stats) != 0)
		return false;
	*r = (struct wire_vrf_stats){.vrf = dp->tables->vrf_slots.id[slot],
		.routes4 = stats.routes4,
		.routes6 = stats.routes6,
		.bytes = stats.bytes,
		.shadow_bytes = stats.shadow_bytes};
	return true;
}

// Local addresses

static uint32_t local_hash(uint32_t vrf, const uint8_t *addr)
{
	uint32_t w[4];
	memcpy(w, addr, sizeof(w));
	return tunnel_hash4(w[0] ^ w[2], w[1] ^ w[3], vrf, false);
}

static uint32_t local_find(
	const struct tables *t, uint32_t vrf, const uint8_t *addr, uint8_t family)
{
	uint32_t hash = local_hash(vrf, addr), slot;
	for (uint32_t at = map_first(hash);
		(slot = map_next(t->local_map.array, hash, &at)) != MAP_NONE;) {
		const struct local_entry *l = &t->local_entry[slot];
		if (l->vrf == vrf && l->record.family == family &&
			memcmp(l->record.addr, addr, 16) == 0)
			return slot;
	}
	return SLOT_NONE;
}

static struct fib_route host_route(const struct wire_local *r, uint32_t group, uint8_t origin)
{
	struct fib_route route = {
		.group = group,
		.family = r->family,
		.len = r->family == WIRE_IPV4 ? 32 : 128,
		.origin = origin,
	};
	memcpy(route.addr, r->addr, 16);
	return route;
}

static bool family_ok(uint8_t family, const uint8_t *addr)
{
	return family == WIRE_IPV6 || (family == WIRE_IPV4 && wire_addr_is_zero(addr, 4, 16));
}

static void limit_again(struct dataplane *dp, uint32_t vrf, int change)
{
	struct vrf_entry *v = &dp->tables->vrf_entry[vrf];
	v->locals += change;
	struct fib_limits limits = limits_of(v);
	fib_vrf_limits(dp->fib, vrf, &limits);
}

// The address is one of the interface's from now on, or no longer.

static void note_change(struct tables *t, uint32_t interface)
{
	if (t->local_dirty[interface])
		return;
	t->local_dirty[interface] = 1;
	t->local_changes[t->local_change_count++] = interface;
}

static void attach(struct tables *t, uint32_t slot)
{
	uint32_t interface = t->local_entry[slot].interface;
	t->interface_slots.uses[interface]++;
	links_add(&t->interface_locals, interface, slot);
	note_change(t, interface);
}

static void detach(struct tables *t, uint32_t slot)
{
	uint32_t interface = t->local_entry[slot].interface;
	t->interface_slots.uses[interface]--;
	links_remove(&t->interface_locals, interface, slot);
	note_change(t, interface);
}

static bool is_core(const struct dataplane *dp, uint32_t interface)
{
	return dp->tables->interface_record[interface].flags & WIRE_INTERFACE_CORE;
}

// An address in the core: there is one underlay, so what is sent to it may come by any port.
static void own(const struct dataplane *dp, const struct wire_local *r, int change)
{
	for (uint32_t p = 0; p < dp->ports; p++) {
		const struct port_kind *kind = dp->port[p]->kind;
		if (kind != NULL && kind->own_address != NULL)
			kind->own_address(dp->port[p], r->family, r->addr, change);
	}
}

void locals_follow_interface(struct dataplane *dp, uint32_t interface, bool core)
{
	const struct links *l = &dp->tables->interface_locals;
	for (uint32_t slot = l->first[interface]; slot != 0; slot = l->next[slot])
		own(dp, &dp->tables->local_entry[slot].record, core ? 1 : -1);
}

bool local_changed(struct dataplane *dp, uint32_t *interface)
{
	struct tables *t = dp->tables;
	if (t->local_change_count == 0)
		return false;
	*interface = t->local_changes[--t->local_change_count];
	t->local_dirty[*interface] = 0;
	return true;
}

bool local_of(const struct dataplane *dp, uint32_t interface, uint8_t family, uint8_t *addr)
{
	const struct tables *t = dp->tables;
	const struct links *l = &t->interface_locals;
	for (uint32_t slot = l->first[interface]; slot != 0; slot = l->next[slot]) {
		const struct wire_local *r = &t->local_entry[slot].record;
		bool of_the_link =
			family == WIRE_IPV6 && r->addr[0] == 0xfe && (r->addr[1] & 0xc0) == 0x80;
		if (r->family != family || of_the_link)
			continue;
		memcpy(addr, r->addr, family == WIRE_IPV4 ? 4 : 16);
		return true;
	}
	return false;
}

static int local_change(struct dataplane *dp, uint32_t slot, const struct wire_local *r)
{
	struct tables *t = dp->tables;
	struct local_entry *l = &t->local_entry[slot];
	uint32_t interface = interface_find(dp, r->interface), group;
	if (l->interface == interface) {
		dp->unchanged++;
		return 1;
	}
	int error = group_local_take(dp, interface, &group);
	if (error != 0)
		return error;
	struct fib_route route = host_route(r, group, 0);
	error = fib_set(dp->fib, l->vrf, &route);
	if (error < 0) {
		group_local_drop(dp, interface);
		return error;
	}
	group_local_drop(dp, l->interface);
	if (is_core(dp, interface) != is_core(dp, l->interface))
		own(dp, r, is_core(dp, interface) ? 1 : -1);
	detach(t, slot);
	l->interface = interface;
	l->record = *r;
	attach(t, slot);
	dp->written++;
	return 0;
}

static int local_insert(struct dataplane *dp, uint32_t vrf, uint32_t interface,
	const struct wire_local *r, uint32_t *slot)
{
	struct tables *t = dp->tables;
	uint32_t group;
	int error = slots_take(&t->local_slots, 0, slot);
	if (error != 0)
		return error;
	error = map_add(&t->local_map, local_hash(vrf, r->addr), *slot);
	if (error != 0)
		goto release;
	error = group_local_take(dp, interface, &group);
	if (error != 0)
		goto unmap;
	// What a route to exactly this address is now hidden by.
	struct fib_route hidden = host_route(r, 0, 0);
	struct local_entry *l = &t->local_entry[*slot];
	*l = (struct local_entry){.record = *r, .vrf = vrf, .interface = interface};
	if (fib_get(dp->fib, vrf, &hidden) == 0) {
		l->shadow_group = hidden.group;
		l->shadow_origin = hidden.origin;
	}
	limit_again(dp, vrf, 1);
	struct fib_route route = host_route(r, group, 0);
	error = fib_set(dp->fib, vrf, &route);
	if (error >= 0)
		return 0;
	limit_again(dp, vrf, -1);
	group_local_drop(dp, interface);
unmap:
	map_remove(&t->local_map, local_hash(vrf, r->addr), *slot);
release:
	slots_release(&t->local_slots, *slot);
	return error;
}

int local_set(struct dataplane *dp, const struct wire_local *r)
{
	struct tables *t = dp->tables;
	if (!family_ok(r->family, r->addr) || !wire_addr_is_zero(r->pad, 0, sizeof(r->pad)))
		return -EINVAL;
	uint32_t vrf = vrf_find(dp, r->vrf);
	uint32_t interface = interface_find(dp, r->interface);
	if (vrf == SLOT_NONE || interface == SLOT_NONE)
		return -ENOENT;
	if (t->interface_record[interface].vrf != r->vrf)
		return -EINVAL; // its host queue is another domain's
	uint32_t slot = local_find(t, vrf, r->addr, r->family);
	if (slot != SLOT_NONE)
		return local_change(dp, slot, r);
	int error = local_insert(dp, vrf, interface, r, &slot);
	if (error != 0)
		return error;
	t->vrf_slots.uses[vrf]++;
	attach(t, slot);
	if (is_core(dp, interface))
		own(dp, r, 1);
	dp->written++;
	return 0;
}

int local_delete(struct dataplane *dp, const struct wire_local *r)
{
	struct tables *t = dp->tables;
	uint32_t vrf = vrf_find(dp, r->vrf);
	uint32_t slot = vrf == SLOT_NONE ? SLOT_NONE : local_find(t, vrf, r->addr, r->family);
	if (slot == SLOT_NONE)
		return -ENOENT;
	struct local_entry *l = &t->local_entry[slot];
	struct fib_route route = host_route(&l->record, l->shadow_group, l->shadow_origin);
	int error = l->shadow_group != 0 ? fib_set(dp->fib, vrf, &route)
					 : fib_delete(dp->fib, vrf, &route);
	if (error < 0)
		return error;
	limit_again(dp, vrf, -1);
	group_local_drop(dp, l->interface);
	if (is_core(dp, l->interface))
		own(dp, &l->record, -1);
	detach(t, slot);
	t->vrf_slots.uses[vrf]--;
	map_remove(&t->local_map, local_hash(vrf, l->record.addr), slot);
	slots_release(&t->local_slots, slot);
	dp->written++;
	return 0;
}

// Routes

static struct fib_route to_fib(const struct wire_route *r, uint32_t group)
{
	struct fib_route route = {
		.group = group, .family = r->family, .len = r->len, .origin = r->origin};
	memcpy(route.addr, r->addr, 16);
	return route;
}

// The local address that hides a route, NULL = none.
static struct local_entry *hidden_by(
	const struct dataplane *dp, uint32_t vrf, const struct wire_route *r)
{
	if (r->len != (r->family == WIRE_IPV4 ? 32 : 128) || dp->tables->vrf_entry[vrf].locals == 0)
		return NULL;
	uint32_t slot = local_find(dp->tables, vrf, r->addr, r->family);
	return slot == SLOT_NONE ? NULL : &dp->tables->local_entry[slot];
}

static int route_hide(struct dataplane *dp, struct local_entry *l, uint32_t vrf, uint32_t group,
	const struct wire_route *r)
{
	struct tables *t = dp->tables;
	if (l->shadow_group == group && l->shadow_origin == r->origin) {
		dp->unchanged++;
		return 1;
	}
	if (l->shadow_group != 0)
		t->group_slots.uses[l->shadow_group]--;
	else
		t->vrf_slots.uses[vrf]++;
	t->group_slots.uses[group]++;
	l->shadow_group = group;
	l->shadow_origin = r->origin;
	dp->written++;
	return 0;
}

int route_set(struct dataplane *dp, const struct wire_route *r)
{
	struct tables *t = dp->tables;
	if (!family_ok(r->family, r->addr) || !wire_addr_is_zero(r->pad, 0, sizeof(r->pad)) ||
		r->len > (r->family == WIRE_IPV4 ? 32 : 128))
		return -EINVAL;
	uint32_t vrf = vrf_find(dp, r->vrf);
	uint32_t group = slots_find(&t->group_slots, r->group);
	if (vrf == SLOT_NONE || group == SLOT_NONE)
		return -ENOENT;
	struct local_entry *local = hidden_by(dp, vrf, r);
	if (local != NULL)
		return route_hide(dp, local, vrf, group, r);

	struct fib_route old = to_fib(r, 0), route = to_fib(r, group);
	bool had = fib_get(dp->fib, vrf, &old) == 0;
	int written = fib_set(dp->fib, vrf, &route);
	if (written == 1)
		dp->unchanged++;
	if (written != 0)
		return written == -EDQUOT || written == -E2BIG || written == -ENOMEM ? -ENOSPC
										     : written;
	if (had)
		t->group_slots.uses[old.group]--;
	else
		t->vrf_slots.uses[vrf]++;
	t->group_slots.uses[group]++;
	dp->written++;
	return 0;
}

int route_delete(struct dataplane *dp, const struct wire_route *r)
{
	struct tables *t = dp->tables;
	if (!family_ok(r->family, r->addr) || r->len > (r->family == WIRE_IPV4 ? 32 : 128))
		return -EINVAL;
	uint32_t vrf = vrf_find(dp, r->vrf);
	if (vrf == SLOT_NONE)
		return -ENOENT;
	struct local_entry *local = hidden_by(dp, vrf, r);
	struct fib_route old = to_fib(r, 0);
	if (local != NULL) {
		if (local->shadow_group == 0)
			return -ENOENT;
		old.group = local->shadow_group;
		local->shadow_group = 0;
	} else {
		int error = fib_get(dp->fib, vrf, &old);
		if (error == 0)
			error = fib_delete(dp->fib, vrf, &old);
		if (error != 0)
			return error;
	}
	t->group_slots.uses[old.group]--;
	t->vrf_slots.uses[vrf]--;
	dp->written++;
	return 0;
}

struct dump {
	struct dataplane *dp;
	uint32_t vrf; // slot
	int (*cb)(void *ctx, const struct wire_route *r);
	void *ctx;
};

static int dump_route(void *ctx, const struct fib_route *route)
{
	const struct dump *d = ctx;
	const struct tables *t = d->dp->tables;
	struct wire_route r = {
		.vrf = t->vrf_slots.id[d->vrf],
		.group = t->group_slots.id[route->group],
		.family = route->family,
		.len = route->len,
		.origin = route->origin,
	};
	memcpy(r.addr, route->addr, 16);
	if (r.group == 0) { // an address of ours
		const struct local_entry *l = hidden_by(d->dp, d->vrf, &r);
		if (l == NULL || l->shadow_group == 0)
			return 0;
		r.group = t->group_slots.id[l->shadow_group];
		r.origin = l->shadow_origin;
	}
	return d->cb(d->ctx, &r);
}

int route_dump_from(struct dataplane *dp, uint32_t vrf, uint8_t family,
	const struct fib_route *after, int (*cb)(void *ctx, const struct wire_route *r), void *ctx)
{
	struct dump d = {.dp = dp, .vrf = vrf, .cb = cb, .ctx = ctx};
	return fib_dump(dp->fib, vrf, family, after, dump_route, &d);
}
