// SPDX-License-Identifier: BSD-3-Clause

// Interfaces: setting, changing and deleting them under running workers.
//
// What changes in daily life (up, limiters, MTU, the underlay's group) is one aligned store each, and any mixture of
// old and new is a valid interface. What makes it another interface (VRF, owner, tags, addresses, key) is not: a
// packet must never meet half of one customer's and half of another's. For that the interface is first taken out of
// the maps, marked down and given a new generation, so that what was parked for it is stale from here on; then, after
// a grace period, rewritten (with yet another generation: a worker may have parked something since), then put back. Slots are
// those of the stats segment, so counters go on; they are used again only after grace, for the same reason.

#include "dataplane/tables/interface.h"

#include "dataplane/tables/limiter.h"
#include "dataplane/tables/limits.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define FLAGS \
	(WIRE_INTERFACE_UP | WIRE_INTERFACE_SOURCE_CHECK | WIRE_INTERFACE_CORE | WIRE_INTERFACE_KEY)

// What a record refers to, by slot.
struct refs {
	uint32_t vrf;
	uint32_t limiter_in;
	uint32_t limiter_out;
	uint32_t underlay;
};

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

static int check_ethernet(const struct dataplane *dp, const struct wire_interface *r)
{
	if (r->port >= dp->ports || r->vlans > 2 || (r->mac[0] & 1))
		return -EINVAL;
	for (unsigned i = 0; i < 2; i++) {
		if (i < r->vlans ? r->vlan[i] == 0 || r->vlan[i] > 4094 : r->vlan[i] != 0)
			return -EINVAL;
	}
	if (r->key != 0 || r->underlay != 0 || r->family != 0 || r->ttl != 0 ||
		(r->flags & WIRE_INTERFACE_KEY) || !wire_addr_is_zero(r->local, 0, 16) ||
		!wire_addr_is_zero(r->remote, 0, 16))
		return -EINVAL;
	// MTU is enforced by us, so what the device cannot carry is refused here.
	return r->mtu > dp->port[r->port]->mtu ? -EINVAL : 0;
}

static int check_gre(const struct wire_interface *r)
{
	if (r->vlans != 0 || r->vlan[0] != 0 || r->vlan[1] != 0 || r->port != 0 || r->ttl == 0 ||
		(r->flags & WIRE_INTERFACE_CORE) || !wire_addr_is_zero(r->mac, 0, 6) ||
		(!(r->flags & WIRE_INTERFACE_KEY) && r->key != 0))
		return -EINVAL;
	if (r->family == WIRE_IPV4) {
		return wire_addr_is_zero(r->local, 4, 16) && wire_addr_is_zero(r->remote, 4, 16) &&
				       !wire_addr_is_zero(r->local, 0, 4) &&
				       !wire_addr_is_zero(r->remote, 0, 4)
			       ? 0
			       : -EINVAL;
	}
	return r->family == WIRE_IPV6 && !wire_addr_is_zero(r->local, 0, 16) &&
			       !wire_addr_is_zero(r->remote, 0, 16)
		       ? 0
		       : -EINVAL;
}

static int check(const struct dataplane *dp, const struct wire_interface *r)
{
	if (r->uid == 0 || r->uid >> 63 || r->interface == 0 || (r->flags & ~FLAGS) ||
		r->mtu < 576 || r->mtu > 9600 || r->owner == OWNER_MIXED)
		return -EINVAL;
	if (r->kind == WIRE_INTERFACE_ETHERNET)
		return check_ethernet(dp, r);
	return r->kind == WIRE_INTERFACE_GRE ? check_gre(r) : -EINVAL;
}

static int resolve(const struct dataplane *dp, const struct wire_interface *r, struct refs *refs)
{
	refs->vrf = vrf_find(dp, r->vrf);
	refs->limiter_in = limiter_find(dp, r->limiter_in);
	refs->limiter_out = limiter_find(dp, r->limiter_out);
	refs->underlay = slots_find(&dp->tables->group_slots, r->underlay);
	if (refs->vrf == 0 || (r->limiter_in != 0 && refs->limiter_in == 0) ||
		(r->limiter_out != 0 && refs->limiter_out == 0) ||
		(r->underlay != 0 && refs->underlay == 0))
		return -ENOENT;
	return 0;
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

// The tag stack or triple belongs to an interface other than `own`.
static bool entrance_taken(struct tables *t, const struct wire_interface *r, uint32_t own)
{
	const struct map_array *array = map_of(t, r)->array;
	uint32_t key = map_key(r), slot;
	for (uint32_t at = map_first(key); (slot = map_next(array, key, &at)) != MAP_NONE;) {
		if (slot != own && same_entrance(&t->interface_record[slot], r))
			return true;
	}
	return false;
}

static uint16_t load_word(const uint8_t *at)
{
	uint16_t word;
	memcpy(&word, at, 2);
	return word;
}

static void write_outer4(struct interface *i, const struct wire_interface *r)
{
	const uint8_t ttl[2] = {r->ttl, 47};
	memcpy(&i->remote4, r->remote, 4);
	memcpy(&i->local4, r->local, 4);
	memcpy(i->outer4, r->local, 4);
	memcpy(i->outer4 + 4, r->remote, 4);
	i->outer_ttl = load_word(ttl);
	i->outer_sum = htobe16(0x4500) + i->outer_ttl;
	for (unsigned at = 0; at < 8; at += 2)
		i->outer_sum += load_word(i->outer4 + at);
}

// Outer headers (RFC 2784, 2890): all that does not depend on the packet.
static void write_outer(struct interface *i, const struct wire_interface *r)
{
	static const uint16_t protocol[2] = {0x0800, 0x86dd};
	bool keyed = r->flags & WIRE_INTERFACE_KEY;
	i->keyed = keyed;
	i->gre_key = htobe32(r->key);
	for (unsigned of = 0; of < 2; of++)
		i->gre_word[of] = htobe32((keyed ? 0x20000000u : 0) | protocol[of]);
	i->outer_bytes = (r->family == WIRE_IPV4 ? 20 : 40) + (keyed ? 8 : 4);
	if (r->family == WIRE_IPV4) {
		write_outer4(i, r);
	} else {
		memset(i->outer6, 0, sizeof(i->outer6));
		i->outer6[0] = 0x60;
		i->outer6[6] = 47;
		i->outer6[7] = r->ttl;
		memcpy(i->outer6 + 8, r->local, 16);
		memcpy(i->outer6 + 24, r->remote, 16);
	}
}

static int16_t account(const struct tables *t, uint32_t limiter, unsigned vlans)
{
	return limiter == 0 ? 0 : (int16_t)limiter_account(&t->limiter_record[limiter], vlans);
}

// What may change at any moment.
static void write_soft(
	struct tables *t, uint32_t slot, const struct wire_interface *r, const struct refs *refs)
{
	struct interface *i = &t->interface[slot];
	__atomic_store_n(&i->limiter_in, refs->limiter_in, __ATOMIC_RELAXED);
	__atomic_store_n(&i->limiter_out, refs->limiter_out, __ATOMIC_RELAXED);
	__atomic_store_n(&i->account_in, account(t, refs->limiter_in, r->vlans), __ATOMIC_RELAXED);
	__atomic_store_n(
		&i->account_out, account(t, refs->limiter_out, r->vlans), __ATOMIC_RELAXED);
	__atomic_store_n(&i->mtu, r->mtu, __ATOMIC_RELAXED);
	__atomic_store_n(&i->underlay, refs->underlay, __ATOMIC_RELAXED);
	__atomic_store_n(&i->flags, (uint8_t)r->flags, __ATOMIC_RELEASE);
	__atomic_store_n(&i->out_flags, (uint8_t)r->flags, __ATOMIC_RELEASE);
}

// What no worker may see change.
static void write_hard(struct dataplane *dp, uint32_t slot, const struct wire_interface *r,
	const struct refs *refs)
{
	struct interface *i = &dp->tables->interface[slot];
	__atomic_store_n(&i->generation, i->generation + 1, __ATOMIC_RELEASE);
	i->vrf = refs->vrf;
	i->owner = r->owner;
	i->id = r->interface;
	i->kind = i->out_kind = r->kind;
	i->family = i->out_family = r->family;
	i->key = r->key;
	i->port = (uint16_t)r->port;
	i->l2_bytes = 0;
	if (r->kind == WIRE_INTERFACE_GRE) {
		write_outer(i, r);
		return;
	}
	i->l2_bytes = 14 + 4 * r->vlans;
	memcpy(i->mac, wire_addr_is_zero(r->mac, 0, 6) ? dp->port[r->port]->mac : r->mac, 6);
}

static void count_uses(struct tables *t, const struct refs *refs, int change)
{
	t->vrf_slots.uses[refs->vrf] += change;
	t->limiter_slots.uses[refs->limiter_in] += change;
	t->limiter_slots.uses[refs->limiter_out] += change;
	t->group_slots.uses[refs->underlay] += change;
}

static int take_slot(struct dataplane *dp, const struct wire_interface *r, uint32_t *slot)
{
	struct slots *slots = &dp->tables->interface_slots;
	int64_t found = stats_slot(dp->stats, STATS_INTERFACE, r->uid);
	if (found < 0)
		return (int)found;
	if (slots->busy[found]) {
		if (slots->id[found] != 0)
			return -EEXIST;    // this uid goes by another id
		reclaim_wait(dp->reclaim); // deleted a moment ago
		found = stats_slot(dp->stats, STATS_INTERFACE, r->uid);
		if (found < 0)
			return (int)found;
	}
	*slot = (uint32_t)found;
	return slots_take_at(slots, r->interface, *slot);
}

static int create(struct dataplane *dp, const struct wire_interface *r, const struct refs *refs)
{
	struct tables *t = dp->tables;
	uint32_t slot = 0;
	int error = take_slot(dp, r, &slot);
	if (error != 0)
		return error;
	t->interface_record[slot] = *r;
	write_hard(dp, slot, r, refs);
	write_soft(t, slot, r, refs);
	error = map_add(map_of(t, r), map_key(r), slot);
	if (error != 0) {
		slots_drop(&t->interface_slots, slot);
		slots_release(&t->interface_slots, slot);
		stats_slot_delete(dp->stats, STATS_INTERFACE, r->uid);
		return error;
	}
	count_uses(t, refs, 1);
	return 0;
}

static bool hard_change(const struct wire_interface *a, const struct wire_interface *b)
{
	return a->vrf != b->vrf || a->owner != b->owner || !same_entrance(a, b) ||
	       a->ttl != b->ttl || memcmp(a->mac, b->mac, 6) != 0;
}

static int change(struct dataplane *dp, uint32_t slot, const struct wire_interface *r,
	const struct refs *refs)
{
	struct tables *t = dp->tables;
	struct wire_interface *old = &t->interface_record[slot];
	bool hard = hard_change(old, r);
	bool mtu = old->mtu != r->mtu;
	struct refs before;
	if (old->uid != r->uid)
		return -EEXIST;
	if (old->kind != r->kind || (old->port != r->port && t->interface_slots.uses[slot] != 0))
		return -EBUSY; // its neighbors and paths would not fit any more
	if (old->vrf != r->vrf && t->interface_slots.uses[slot] != 0)
		return -EBUSY; // routes and addresses of the old VRF lead to it
	resolve(dp, old, &before);
	if (hard) {
		struct interface *i = &t->interface[slot];
		int error = map_add(map_of(t, r), map_key(r), MAP_RESERVED);
		if (error != 0)
			return error;
		map_remove(map_of(t, old), map_key(old), slot);
		__atomic_store_n(&i->generation, i->generation + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&i->flags, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&i->out_flags, 0, __ATOMIC_RELEASE);
		reclaim_wait(dp->reclaim);
	}
	count_uses(t, &before, -1);
	count_uses(t, refs, 1);
	*old = *r;
	if (hard) {
		write_hard(dp, slot, r, refs);
		neighbors_follow_interface(dp, slot);
		paths_follow_interface(dp, slot);
		map_replace(map_of(t, r), map_key(r), MAP_RESERVED, slot);
	} else if (mtu) {
		neighbors_follow_interface(dp, slot);
	}
	write_soft(t, slot, r, refs);
	return 0;
}

int interface_set(struct dataplane *dp, const struct wire_interface *r)
{
	struct tables *t = dp->tables;
	struct refs refs;
	int error = check(dp, r);
	if (error == 0)
		error = resolve(dp, r, &refs);
	if (error != 0)
		return error;
	uint32_t slot = interface_find(dp, r->interface);
	if (slot != SLOT_NONE && memcmp(&t->interface_record[slot], r, sizeof(*r)) == 0) {
		dp->unchanged++;
		return 1;
	}
	if (entrance_taken(t, r, slot))
		return -EEXIST;
	error = slot == SLOT_NONE ? create(dp, r, &refs) : change(dp, slot, r, &refs);
	if (error == 0)
		dp->written++;
	return error;
}

static void release(void *ctx, uint64_t slot)
{
	struct dataplane *dp = ctx;
	struct tables *t = dp->tables;
	uint32_t generation = t->interface[slot].generation;
	stats_slot_delete(dp->stats, STATS_INTERFACE, t->interface_record[slot].uid);
	memset(&t->interface[slot], 0, sizeof(t->interface[slot]));
	t->interface[slot].generation = generation;
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
	const struct wire_interface *r = &t->interface_record[slot];
	struct interface *i = &t->interface[slot];
	struct refs refs;
	resolve(dp, r, &refs);
	map_remove(map_of(t, r), map_key(r), slot);
	__atomic_store_n(&i->flags, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&i->out_flags, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&i->generation, i->generation + 1, __ATOMIC_RELEASE);
	count_uses(t, &refs, -1);
	slots_drop(&t->interface_slots, slot);
	reclaim_defer(dp->reclaim, release, dp, slot);
	dp->written++;
	return 0;
}

int interface_dump(
	struct dataplane *dp, int (*cb)(void *ctx, const struct wire_interface *r), void *ctx)
{
	struct tables *t = dp->tables;
	for (uint32_t slot = 1; slot <= t->interface_slots.high; slot++) {
		if (t->interface_slots.id[slot] == 0)
			continue;
		int stop = cb(ctx, &t->interface_record[slot]);
		if (stop != 0)
			return stop;
	}
	return 0;
}

// The limiter's accounting changed.
void interfaces_follow_limiter(struct dataplane *dp, uint32_t limiter)
{
	struct tables *t = dp->tables;
	if (t->limiter_slots.uses[limiter] == 0)
		return;
	for (uint32_t slot = 1; slot <= t->interface_slots.high; slot++) {
		struct interface *i = &t->interface[slot];
		unsigned vlans = t->interface_record[slot].vlans;
		if (t->interface_slots.id[slot] == 0)
			continue;
		if (i->limiter_in == limiter)
			__atomic_store_n(
				&i->account_in, account(t, limiter, vlans), __ATOMIC_RELAXED);
		if (i->limiter_out == limiter)
			__atomic_store_n(
				&i->account_out, account(t, limiter, vlans), __ATOMIC_RELAXED);
	}
}

int interface_add_unclassified(struct dataplane *dp, uint32_t port, uint32_t *slot)
{
	int64_t found = stats_slot(dp->stats, STATS_INTERFACE, STATS_UNCLASSIFIED(port));
	if (found < 0)
		return (int)found;
	*slot = (uint32_t)found;
	return slots_take_at(&dp->tables->interface_slots, 0, *slot);
}
