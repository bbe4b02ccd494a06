// SPDX-License-Identifier: BSD-3-Clause

// Neighbors: whose MAC stands in front of the IP packet on its way out of an Ethernet interface.
//
// No worker reads a neighbor: its MAC, or that nobody knows it, is part of the entries of the paths
// that name it, which are written anew when it changes. Unresolved, a neighbor keeps its slot and
// its paths, so no route is touched.

#include "dataplane/tables/nexthop.h"

#include "dataplane/tables/links.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"

#include <errno.h>
#include <string.h>

static int check(const struct dataplane *dp, const struct wire_neighbor *r)
{
	if (r->neighbor == 0 || r->state > WIRE_NEIGHBOR_RESOLVED ||
		(r->family != WIRE_IPV4 && r->family != WIRE_IPV6) ||
		(r->family == WIRE_IPV4 && !wire_addr_is_zero(r->addr, 4, 16)) ||
		(r->state == WIRE_NEIGHBOR_RESOLVED && (r->mac[0] & 1)))
		return -EINVAL;
	uint32_t interface = interface_find(dp, r->interface);
	if (interface == SLOT_NONE)
		return -ENOENT;
	return dp->tables->interface_record[interface].kind == WIRE_INTERFACE_ETHERNET ? 0
										       : -EINVAL;
}

static void unuse(struct tables *t, uint32_t slot)
{
	t->interface_slots.uses[t->neighbor_interface[slot]]--;
}

int neighbor_set(struct dataplane *dp, const struct wire_neighbor *r)
{
	struct tables *t = dp->tables;
	struct slots *slots = &t->neighbor_slots;
	int error = check(dp, r);
	if (error != 0)
		return error;
	uint32_t slot = slots_find(slots, r->neighbor);
	uint32_t interface = interface_find(dp, r->interface);
	if (slot == SLOT_NONE) {
		error = slots_take(slots, r->neighbor, &slot);
		if (error != 0)
			return error;
	} else if (memcmp(&t->neighbor_record[slot], r, sizeof(*r)) == 0) {
		dp->unchanged++;
		return 1;
	} else if (t->neighbor_record[slot].interface != r->interface && slots->uses[slot] != 0) {
		return -EBUSY; // paths name both; a neighbor does not move
	} else {
		unuse(t, slot);
	}
	t->interface_slots.uses[interface]++;
	t->neighbor_interface[slot] = interface;
	t->neighbor_record[slot] = *r;
	for (uint32_t p = t->neighbor_paths.first[slot]; p != 0; p = t->neighbor_paths.next[p])
		entries_follow_path(dp, p);
	dp->written++;
	return 0;
}

static void release(void *ctx, uint64_t slot)
{
	struct tables *t = ctx;
	t->needed[slot] = 0;
	slots_release(&t->neighbor_slots, (uint32_t)slot);
}

int neighbor_delete(struct dataplane *dp, uint32_t id)
{
	struct tables *t = dp->tables;
	uint32_t slot = slots_find(&t->neighbor_slots, id);
	if (slot == SLOT_NONE)
		return -ENOENT;
	if (t->neighbor_slots.uses[slot] != 0)
		return -EBUSY;
	unuse(t, slot);
	slots_drop(&t->neighbor_slots, slot);
	reclaim_defer(dp->reclaim, release, t, slot);
	dp->written++;
	return 0;
}

bool neighbor_needed(struct dataplane *dp, uint32_t slot, struct wire_needed *needed)
{
	struct tables *t = dp->tables;
	if (slot > t->neighbor_slots.high || t->neighbor_slots.id[slot] == 0 ||
		!__atomic_exchange_n(&t->needed[slot], 0, __ATOMIC_RELAXED))
		return false;
	const struct wire_neighbor *r = &t->neighbor_record[slot];
	*needed = (struct wire_needed){.interface = r->interface, .neighbor = r->neighbor};
	return true;
}
