// SPDX-License-Identifier: BSD-3-Clause

// Neighbors, which are the adjacencies: what stands in front of the IP packet on its way out of an Ethernet
// interface, made once here and copied by the output stage.
//
// A worker copies the rewrite while we may be changing it, so there are two: the one not in use is written and
// becomes current by one store. It may be written again only a grace period after it went out of use; that
// matters only when a neighbor changes twice within a turn of a worker, and then we wait. Unresolved, a neighbor
// keeps its slot and its paths, so that resolving it is one store and no route is touched.

#include "dataplane/tables/nexthop.h"

#include "dataplane/tables/links.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

// Both MACs, the tags and the IPv4 ethertype, ending at the end of the buffer.
static uint8_t build_rewrite(const struct dataplane *dp, const struct wire_interface *i,
	const uint8_t *source, const uint8_t *destination, uint8_t rewrite[REWRITE_MAX])
{
	const struct port *port = dp->port[i->port];
	uint16_t tpid = port->outer_tpid == PORT_TPID_88A8 ? 0x88a8 : 0x8100;
	uint8_t length = 14 + 4 * i->vlans;
	uint8_t *at = rewrite + REWRITE_MAX - length;
	memset(rewrite, 0, REWRITE_MAX);
	memcpy(at, destination, 6);
	memcpy(at + 6, source, 6);
	at += 12;
	for (unsigned tag = 0; tag < i->vlans; tag++) {
		uint16_t type = htobe16(tag == 0 ? tpid : 0x8100);
		uint16_t tci = htobe16(i->vlan[tag]);
		memcpy(at, &type, 2);
		memcpy(at + 2, &tci, 2);
		at += 4;
	}
	uint16_t ipv4 = htobe16(0x0800);
	memcpy(at, &ipv4, 2);
	return length;
}

// `idle`: nobody can be reading either copy.
static void write_neighbor(
	struct dataplane *dp, uint32_t slot, const struct wire_neighbor *r, bool idle)
{
	struct tables *t = dp->tables;
	struct neighbor *n = &t->neighbor[slot];
	uint32_t interface = interface_find(dp, r->interface);
	const struct wire_interface *i = &t->interface_record[interface];
	uint8_t rewrite[REWRITE_MAX];
	uint8_t length = build_rewrite(dp, i, t->interface[interface].mac, r->mac, rewrite);
	uint8_t spare = !n->current;

	if (n->length[n->current] != length ||
		memcmp(n->rewrite[n->current], rewrite, REWRITE_MAX)) {
		if (n->length[spare] != 0 && !idle) // has been current before
			reclaim_wait(dp->reclaim);
		memcpy(n->rewrite[spare], rewrite, REWRITE_MAX);
		n->length[spare] = length;
		__atomic_store_n(&n->current, spare, __ATOMIC_RELEASE);
	}
	n->interface = interface;
	n->port = (uint16_t)i->port;
	__atomic_store_n(&n->mtu, interface_mtu(dp, i), __ATOMIC_RELAXED);
	__atomic_store_n(&n->resolved, r->state == WIRE_NEIGHBOR_RESOLVED, __ATOMIC_RELEASE);
}

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
	uint32_t interface = t->neighbor[slot].interface;
	t->interface_slots.uses[interface]--;
	links_remove(&t->interface_neighbors, interface, slot);
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
		memset(&t->neighbor[slot], 0, sizeof(t->neighbor[slot]));
	} else if (memcmp(&t->neighbor_record[slot], r, sizeof(*r)) == 0) {
		dp->unchanged++;
		return 1;
	} else if (t->neighbor_record[slot].interface != r->interface) {
		// Paths name both; a neighbor does not move.
		if (slots->uses[slot] != 0)
			return -EBUSY;
		// Workers may still hold what a path named a moment ago.
		reclaim_wait(dp->reclaim);
		unuse(t, slot);
	} else {
		unuse(t, slot);
	}
	t->interface_slots.uses[interface]++;
	links_add(&t->interface_neighbors, interface, slot);
	t->neighbor_record[slot] = *r;
	write_neighbor(dp, slot, r, false);
	for (uint32_t p = t->neighbor_paths.first[slot]; p != 0; p = t->neighbor_paths.next[p])
		entries_follow_path(dp, p);
	dp->written++;
	return 0;
}

static void release(void *ctx, uint64_t slot)
{
	struct tables *t = ctx;
	memset(&t->neighbor[slot], 0, sizeof(t->neighbor[slot]));
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
	__atomic_store_n(&t->neighbor[slot].resolved, 0, __ATOMIC_RELEASE);
	unuse(t, slot);
	slots_drop(&t->neighbor_slots, slot);
	reclaim_defer(dp->reclaim, release, t, slot);
	dp->written++;
	return 0;
}

int neighbor_dump(
	struct dataplane *dp, int (*cb)(void *ctx, const struct wire_neighbor *r), void *ctx)
{
	struct tables *t = dp->tables;
	for (uint32_t slot = 1; slot <= t->neighbor_slots.high; slot++) {
		if (t->neighbor_slots.id[slot] == 0)
			continue;
		int stop = cb(ctx, &t->neighbor_record[slot]);
		if (stop != 0)
			return stop;
	}
	return 0;
}

// The interface's port, tags, MAC or MTU changed; `idle`: it has been down for a grace period.
void neighbors_follow_interface(struct dataplane *dp, uint32_t interface, bool idle)
{
	const struct links *l = &dp->tables->interface_neighbors;
	for (uint32_t slot = l->first[interface]; slot != 0; slot = l->next[slot])
		write_neighbor(dp, slot, &dp->tables->neighbor_record[slot], idle);
}

bool neighbor_needed(struct dataplane *dp, uint32_t slot, struct wire_needed *needed)
{
	struct tables *t = dp->tables;
	if (slot > t->neighbor_slots.high || t->neighbor_slots.id[slot] == 0 ||
		!__atomic_exchange_n(&t->neighbor[slot].needed, 0, __ATOMIC_RELAXED))
		return false;
	const struct wire_neighbor *r = &t->neighbor_record[slot];
	*needed = (struct wire_needed){.interface = r->interface, .neighbor = r->neighbor};
	return true;
}
