// SPDX-License-Identifier: BSD-3-Clause

// Interfaces: setting, changing, exchanging and deleting them under running workers.
//
// What changes in daily life (up, limiters, MTU, the underlay's group) is one aligned store each,
// and any mixture of old and new is a valid interface. What makes it another interface (VRF, owner,
// tags, addresses, key) is not: a packet must never meet half of one customer's and half of
// another's. For that the interface is first taken out of the maps, marked down and given a new
// generation, so that what was parked for it is stale from here on; then, after a grace period,
// rewritten (with yet another generation: a worker may have parked something since), then put back.
// Slots are those of the stats segment, so counters go on; they are used again only after grace,
// for the same reason.
//
// What a packet is recognised by, its entrance (tag stack or GRE triple), belongs to one interface.
// Two that change theirs with each other can never do so one after the other, so several are
// changed as one: all are checked, then all give up their entrances, one grace period passes, and
// all take the new ones. A single SET is the exchange of one. Whatever can fail (memory, room, an
// entrance that somebody else has) fails before anything is given up.

#include "dataplane/tables/interface.h"

#include "dataplane/tables/interface_private.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint32_t interface_find(const struct dataplane *dp, uint32_t id)
{
	return slots_find(&dp->tables->interface_slots, id);
}

uint32_t interface_count(const struct dataplane *dp)
{
	uint32_t unclassified = dp->ports;
	return dp->tables->interface_slots.used - unclassified;
}

const struct interface *interface_at(const struct dataplane *dp, uint32_t slot)
{
	const struct slots *slots = &dp->tables->interface_slots;
	return slot < slots->capacity && slots->busy[slot] ? &dp->tables->interface[slot] : NULL;
}

const struct wire_interface *interface_record(const struct dataplane *dp, uint32_t slot)
{
	return &dp->tables->interface_record[slot];
}

static uint32_t map_key(const struct wire_interface *r)
{
	if (r->kind == WIRE_INTERFACE_ETHERNET)
		return VLAN_KEY(r->port, r->vlan[0], r->vlan[1]);
	bool keyed = r->flags & WIRE_INTERFACE_KEY;
	if (r->family == WIRE_IPV6)
		return tunnel_hash6(r->remote, r->local, r->key, keyed);
	uint32_t remote, local;
	memcpy(&remote, r->remote, 4);
	memcpy(&local, r->local, 4);
	return tunnel_hash4(remote, local, r->key, keyed);
}

static bool is_parked(const struct wire_interface *r)
{
	return r->flags & WIRE_INTERFACE_PARKED;
}

static struct map *map_of(struct tables *t, const struct wire_interface *r)
{
	return r->kind == WIRE_INTERFACE_ETHERNET ? &t->vlans : &t->tunnels;
}

static bool same_entrance(const struct wire_interface *a, const struct wire_interface *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == WIRE_INTERFACE_ETHERNET)
		return a->port == b->port && a->vlan[0] == b->vlan[0] && a->vlan[1] == b->vlan[1];
	return a->family == b->family && a->key == b->key &&
	       (a->flags & WIRE_INTERFACE_KEY) == (b->flags & WIRE_INTERFACE_KEY) &&
	       memcmp(a->local, b->local, 16) == 0 && memcmp(a->remote, b->remote, 16) == 0;
}

static void count_uses(struct tables *t, const struct interface_refs *refs, int change)
{
	t->vrf_slots.uses[refs->vrf] += change;
	t->limiter_slots.uses[refs->limiter_in] += change;
	t->limiter_slots.uses[refs->limiter_out] += change;
	t->group_slots.uses[refs->underlay] += change;
}

// The list of the record's port; tunnels are in none.
static uint32_t port_owner(const struct tables *t, uint32_t slot)
{
	const struct wire_interface *r = &t->interface_record[slot];
	return r->kind == WIRE_INTERFACE_ETHERNET ? r->port + 1 : 0;
}

// What the record in the table refers to, is referred to by it from here on, or no longer.

static void use(struct tables *t, uint32_t slot, const struct interface_refs *refs)
{
	links_add(&t->port_interfaces, port_owner(t, slot), slot);
	count_uses(t, refs, 1);
	links_add(&t->limiter_in_interfaces, refs->limiter_in, slot);
	links_add(&t->limiter_out_interfaces, refs->limiter_out, slot);
}

static void unuse(struct tables *t, uint32_t slot, const struct interface_refs *refs)
{
	links_remove(&t->port_interfaces, port_owner(t, slot), slot);
	count_uses(t, refs, -1);
	links_remove(&t->limiter_in_interfaces, refs->limiter_in, slot);
	links_remove(&t->limiter_out_interfaces, refs->limiter_out, slot);
}

// One record on its way into the table.
struct change {
	const struct wire_interface *r;
	struct interface_refs refs;
	uint32_t slot; // SLOT_NONE: not there yet
	uint32_t key;  // of its entrance in the map
	bool fresh;
	bool hard;     // fresh interfaces are not
	bool same;     // as it is already
	bool reserved; // a place in the map
};

static bool hard_change(const struct wire_interface *a, const struct wire_interface *b)
{
	return a->vrf != b->vrf || a->owner != b->owner || !same_entrance(a, b) ||
	       ((a->flags ^ b->flags) & WIRE_INTERFACE_PARKED) || a->ttl != b->ttl ||
	       memcmp(a->mac, b->mac, 6) != 0;
}

static int look_up(const struct dataplane *dp, struct change *c)
{
	const struct tables *t = dp->tables;
	const struct wire_interface *r = c->r;
	c->key = map_key(r);
	c->slot = interface_find(dp, r->interface);
	c->fresh = c->slot == SLOT_NONE;
	int error = interface_check(dp, r);
	if (error == 0)
		error = interface_resolve(dp, r, &c->refs);
	if (error != 0 || c->fresh)
		return error;
	const struct wire_interface *old = &t->interface_record[c->slot];
	c->same = memcmp(old, r, sizeof(*r)) == 0;
	c->hard = hard_change(old, r);
	if (old->uid != r->uid)
		return -EEXIST;
	// Its neighbors and paths would not fit any more; routes and addresses of the old VRF lead
	// to it.
	if (old->kind != r->kind || (old->vrf != r->vrf && t->interface_slots.uses[c->slot] != 0))
		return -EBUSY;
	return 0;
}

// Whether the message names it elsewhere, or wants the same entrance elsewhere.
static int look_at_others(const struct change *change, unsigned at)
{
	const struct change *c = &change[at];
	for (unsigned i = 0; i < at; i++) {
		const struct wire_interface *r = change[i].r;
		if (r->interface == c->r->interface || r->uid == c->r->uid)
			return -EINVAL;
		if (change[i].key == c->key && same_entrance(r, c->r) && !is_parked(r) &&
			!is_parked(c->r))
			return -EEXIST;
	}
	return 0;
}

static bool is_named(const struct change *change, unsigned count, uint32_t slot)
{
	for (unsigned i = 0; i < count; i++) {
		if (change[i].slot == slot)
			return true;
	}
	return false;
}

// The tag stack or triple belongs to an interface that keeps it.
static bool entrance_taken(
	struct tables *t, const struct change *change, unsigned count, const struct change *c)
{
	const struct map_array *array = map_of(t, c->r)->array;
	uint32_t slot;
	if (is_parked(c->r))
		return false;
	for (uint32_t at = map_first(c->key); (slot = map_next(array, c->key, &at)) != MAP_NONE;) {
		if (same_entrance(&t->interface_record[slot], c->r) &&
			!is_named(change, count, slot))
			return true;
	}
	return false;
}

// Where a tag may come off a frame, the frame would be that of the interface without one.
static bool mixes(
	const struct dataplane *dp, const struct change *change, unsigned count, unsigned at)
{
	const struct wire_interface *r = change[at].r;
	if (r->kind != WIRE_INTERFACE_ETHERNET || dp->port[r->port]->tags == PORT_TAGS_SURE)
		return false;
	bool other = r->vlans == 0;
	uint32_t others = dp->port[r->port]->attached[other];
	for (unsigned i = 0; i < count; i++) {
		const struct wire_interface *new = change[i].r, *old;
		old = change[i].slot != SLOT_NONE ? &dp->tables->interface_record[change[i].slot]
						  : NULL;
		others += new->kind == WIRE_INTERFACE_ETHERNET &&new->port == r->port &&
			  (new->vlans != 0) == other;
		others -= old != NULL && old->kind == WIRE_INTERFACE_ETHERNET &&
			  old->port == r->port && (old->vlans != 0) == other;
	}
	return others != 0;
}

// Nothing is written here. Returns whether all may go on.
static bool check_all(struct dataplane *dp, struct change *change, unsigned count, int *error)
{
	bool good = true;
	for (unsigned i = 0; i < count; i++) {
		int bad = look_up(dp, &change[i]);
		error[i] = error[i] != 0 ? error[i] : bad;
	}
	for (unsigned i = 0; i < count; i++) {
		if (error[i] == 0)
			error[i] = look_at_others(change, i);
		if (error[i] == 0 && entrance_taken(dp->tables, change, count, &change[i]))
			error[i] = -EEXIST;
		if (error[i] == 0 && mixes(dp, change, count, i))
			error[i] = -EOPNOTSUPP;
		good = good && error[i] == 0;
	}
	return good;
}

// Slot and place in the map: what may not be there.
static int claim(struct dataplane *dp, struct change *c)
{
	if (c->fresh) {
		uint32_t slot = SLOT_NONE;
		int error = slot_of_counters(dp, &dp->tables->interface_slots, STATS_INTERFACE,
			c->r->uid, c->r->interface, &slot);
		if (error != 0)
			return error;
		c->slot = slot;
	}
	if ((!c->fresh && !c->hard) || is_parked(c->r))
		return 0;
	int error = map_add(map_of(dp->tables, c->r), c->key, MAP_RESERVED);
	c->reserved = error == 0;
	return error;
}

static void unclaim(struct dataplane *dp, struct change *c)
{
	struct slots *slots = &dp->tables->interface_slots;
	if (c->reserved)
		map_remove(map_of(dp->tables, c->r), c->key, MAP_RESERVED);
	if (!c->fresh || c->slot == SLOT_NONE)
		return;
	slots_drop(slots, c->slot);
	slots_release(slots, c->slot);
	stats_slot_delete(dp->stats, STATS_INTERFACE, c->r->uid);
}

static bool claim_all(struct dataplane *dp, struct change *change, unsigned count, int *error)
{
	bool good = true;
	for (unsigned i = 0; i < count; i++) {
		error[i] = claim(dp, &change[i]);
		good = good && error[i] == 0;
	}
	for (unsigned i = 0; i < count && !good; i++)
		unclaim(dp, &change[i]);
	return good;
}

static void give_up(struct dataplane *dp, uint32_t slot)
{
	struct tables *t = dp->tables;
	const struct wire_interface *r = &t->interface_record[slot];
	struct interface *i = &t->interface[slot];
	if (!is_parked(r))
		map_remove(map_of(t, r), map_key(r), slot);
	__atomic_store_n(&i->generation, i->generation + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&i->flags, 0, __ATOMIC_RELEASE);
	entries_follow_interface(dp, slot);
}

// Its port's, as long as it has the tag: that it is parked, or down, does not give its frames to
// anybody else.
static void own(struct dataplane *dp, const struct wire_interface *r, int change)
{
	if (r->kind != WIRE_INTERFACE_ETHERNET)
		return;
	struct port *port = dp->port[r->port];
	port->attached[r->vlans != 0] += (uint32_t)change;
	if (port->kind != NULL && port->kind->own_tag != NULL)
		port->kind->own_tag(port, r->vlan[0], r->flags & WIRE_INTERFACE_CORE, change);
}

static void take(struct dataplane *dp, const struct change *c)
{
	struct tables *t = dp->tables;
	struct wire_interface *record = &t->interface_record[c->slot];
	const bool core = c->r->flags & WIRE_INTERFACE_CORE;
	if (!c->fresh) {
		struct interface_refs before;
		interface_resolve(dp, record, &before);
		unuse(t, c->slot, &before);
		own(dp, record, -1);
		if (core != !!(record->flags & WIRE_INTERFACE_CORE))
			locals_follow_interface(dp, c->slot, core);
	}
	*record = *c->r;
	use(t, c->slot, &c->refs);
	if (c->fresh || c->hard)
		interface_write_hard(dp, c->slot, c->r, &c->refs);
	interface_write_soft(dp, c->slot, c->r, &c->refs);
	entries_follow_interface(dp, c->slot);
	if (c->reserved)
		map_replace(map_of(t, c->r), c->key, MAP_RESERVED, c->slot);
}

void interfaces_follow_port(
	struct dataplane *dp, uint32_t port, void (*changed)(void *ctx, uint32_t slot), void *ctx)
{
	struct tables *t = dp->tables;
	const struct links *l = &t->port_interfaces;
	for (uint32_t slot = l->first[port + 1]; slot != 0; slot = l->next[slot]) {
		uint16_t mtu = interface_mtu(dp, &t->interface_record[slot]);
		if (t->interface[slot].mtu == mtu)
			continue;
		__atomic_store_n(&t->interface[slot].mtu, mtu, __ATOMIC_RELAXED);
		entries_follow_interface(dp, slot);
		changed(ctx, slot);
	}
}

static void apply(struct dataplane *dp, const struct change *change, unsigned count)
{
	bool wait = false;
	// All before any is given up: nothing goes to the kernel.
	for (unsigned i = 0; i < count; i++) {
		if (!change[i].same)
			own(dp, change[i].r, 1);
	}
	for (unsigned i = 0; i < count; i++) {
		if (!change[i].hard)
			continue;
		give_up(dp, change[i].slot);
		wait = true;
	}
	if (wait)
		reclaim_wait(dp->reclaim);
	for (unsigned i = 0; i < count; i++) {
		if (change[i].same)
			continue;
		take(dp, &change[i]);
		dp->written++;
	}
}

int interface_exchange(
	struct dataplane *dp, const struct wire_interface *record, unsigned count, int *error)
{
	struct change *change = calloc(count, sizeof(*change));
	if (change == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		change[i].r = &record[i];
	bool good = check_all(dp, change, count, error) && claim_all(dp, change, count, error);
	if (good)
		apply(dp, change, count);
	for (unsigned i = 0; i < count && good; i++) {
		error[i] = change[i].same;
		dp->unchanged += change[i].same;
	}
	free(change);
	return good ? 0 : -ECANCELED;
}

int interface_set(struct dataplane *dp, const struct wire_interface *r)
{
	int error = 0, result = interface_exchange(dp, r, 1, &error);
	return result == -ENOMEM ? result : error;
}

static void release(void *ctx, uint64_t slot)
{
	struct dataplane *dp = ctx;
	struct tables *t = dp->tables;
	uint32_t generation = t->interface[slot].generation, tenure = t->interface[slot].tenure;
	stats_slot_delete(dp->stats, STATS_INTERFACE, t->interface_record[slot].uid);
	memset(&t->interface[slot], 0, sizeof(t->interface[slot]));
	t->interface[slot].generation = generation;
	t->interface[slot].tenure = tenure;
	entry_write(&t->entry[ENTRY_OF_INTERFACE(t, slot)], &(struct entry){0});
	slots_release(&t->interface_slots, (uint32_t)slot);
}

int interface_delete(struct dataplane *dp, uint32_t id)
{
	struct tables *t = dp->tables;
	uint32_t slot = interface_find(dp, id);
	if (slot == SLOT_NONE)
		return -ENOENT;
	if (t->interface_slots.uses[slot] != 0)
		return -EBUSY;
	struct interface_refs refs;
	interface_resolve(dp, &t->interface_record[slot], &refs);
	give_up(dp, slot);
	__atomic_store_n(
		&t->interface[slot].tenure, t->interface[slot].tenure + 1, __ATOMIC_RELEASE);
	unuse(t, slot, &refs);
	own(dp, &t->interface_record[slot], -1);
	slots_drop(&t->interface_slots, slot);
	reclaim_defer(dp->reclaim, release, dp, slot);
	dp->written++;
	return 0;
}

int interface_add_unclassified(struct dataplane *dp, uint32_t port, uint32_t *slot)
{
	int64_t found = stats_slot(dp->stats, STATS_INTERFACE, STATS_UNCLASSIFIED(port));
	if (found < 0)
		return (int)found;
	*slot = (uint32_t)found;
	return slots_take_at(&dp->tables->interface_slots, 0, *slot);
}
