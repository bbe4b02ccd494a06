// SPDX-License-Identifier: BSD-3-Clause

// Forwarding entries from the records they follow from, and who follows whom.
//
// Nothing is patched: whatever changes, the entry is built anew from the records of interface,
// neighbor and path and written if it differs. What a change reaches is found by lists, never by a
// walk over a table:
//
//	limiter -> interfaces -> paths -> groups        neighbor -> paths -> groups
//
// A tunnel's entry only names the entry that leads through the core, so whatever happens there
// reaches no tunnel.

#include "dataplane/tables/entry.h"

#include "dataplane/tables/tables.h"

#include <endian.h>
#include <string.h>

static uint16_t load_word(const uint8_t *at)
{
	uint16_t word;
	memcpy(&word, at, 2);
	return word;
}

void entry_write(struct entry *to, const struct entry *e)
{
	const size_t from = offsetof(struct entry, kind);
	uint16_t seq = to->seq;
	if (memcmp((const uint8_t *)to + from, (const uint8_t *)e + from, sizeof(*e) - from) == 0)
		return;
	__atomic_store_n(&to->seq, (uint16_t)(seq + 1), __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy((uint8_t *)to + from, (const uint8_t *)e + from, sizeof(*e) - from);
	__atomic_store_n(&to->seq, (uint16_t)(seq + 2), __ATOMIC_RELEASE);
}

// Both MACs, the tags and the IPv4 ethertype, ending at the end of the front.
static void build_l2(const struct dataplane *dp, uint32_t slot, uint32_t neighbor, struct entry *e)
{
	const struct tables *t = dp->tables;
	const struct wire_interface *i = &t->interface_record[slot];
	const struct wire_neighbor *n = &t->neighbor_record[neighbor];
	const struct port *port = dp->port[i->port];
	uint16_t tpid = port->outer_tpid == PORT_TPID_88A8 ? 0x88a8 : 0x8100;
	uint8_t length = 14 + 4 * i->vlans;
	uint8_t *at = e->l2.rewrite + REWRITE_MAX - length;
	e->kind = ENTRY_L2;
	e->via = neighbor;
	if (n->state != WIRE_NEIGHBOR_RESOLVED)
		e->flags |= ENTRY_UNRESOLVED;
	e->port = (uint16_t)i->port;
	e->length = length;
	memcpy(at, n->mac, 6);
	memcpy(at + 6, t->interface[slot].mac, 6);
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
}

// Outer headers (RFC 2784, 2890): all that does not depend on the packet.
static void build_gre4(const struct wire_interface *i, struct entry *e)
{
	uint8_t *ip = e->gre4.front + GRE4_FRONT_MAX - e->length, *gre = ip + 20;
	uint32_t sum = 0, key = htobe32(i->key);
	e->kind = ENTRY_GRE4;
	ip[0] = 0x45;
	ip[8] = i->ttl;
	ip[9] = 47;
	memcpy(ip + 12, i->local, 4);
	memcpy(ip + 16, i->remote, 4);
	for (unsigned at = 0; at < 20; at += 2)
		sum += be16toh(load_word(ip + at));
	sum = (sum & 0xffff) + (sum >> 16);
	e->sum = (uint16_t)((sum & 0xffff) + (sum >> 16));
	gre[2] = 0x08; // IPv4
	if (e->flags & ENTRY_KEY) {
		gre[0] = 0x20;
		memcpy(gre + 4, &key, 4);
	}
}

static void build_tunnel(const struct dataplane *dp, uint32_t slot, struct entry *e)
{
	const struct tables *t = dp->tables;
	const struct wire_interface *i = &t->interface_record[slot];
	bool keyed = i->flags & WIRE_INTERFACE_KEY;
	e->via = slots_find(&t->group_slots, i->underlay);
	e->flags |= keyed ? ENTRY_KEY : 0;
	e->length = (i->family == WIRE_IPV6 ? 40 : 20) + (keyed ? 8 : 4);
	if (i->family != WIRE_IPV6) {
		build_gre4(i, e);
		return;
	}
	e->kind = ENTRY_GRE6;
	memcpy(e->gre6.remote, i->remote, 16);
	e->gre6.key = htobe32(i->key);
	e->gre6.local = slot;
	e->gre6.ttl = i->ttl;
}

void entry_of_way(const struct dataplane *dp, uint32_t slot, uint32_t neighbor, struct entry *e)
{
	const struct tables *t = dp->tables;
	const struct wire_interface *i = &t->interface_record[slot];
	uint32_t limiter = slots_find(&t->limiter_slots, i->limiter_out);
	memset(e, 0, sizeof(*e));
	e->out = slot;
	e->owner = i->owner;
	e->limiter_out = limiter;
	e->overhead = interface_overhead(t, limiter, i->vlans);
	e->mtu = interface_mtu(dp, i);
	if (i->owner != 0)
		e->flags |= ENTRY_VOUCHES;
	// The interface's own word, which is down also while it becomes another one.
	if (!(t->interface[slot].flags & WIRE_INTERFACE_UP))
		e->flags |= ENTRY_DOWN;
	if (i->kind == WIRE_INTERFACE_GRE)
		build_tunnel(dp, slot, e);
	else
		build_l2(dp, slot, neighbor, e);
}

void entries_follow_path(struct dataplane *dp, uint32_t path)
{
	struct tables *t = dp->tables;
	struct entry e;
	entry_of_way(dp, t->path_interface[path], t->path_neighbor[path], &e);
	e.path = path;
	e.account = t->path_account[path];
	entry_write(&t->entry[ENTRY_OF_PATH(t, path)], &e);
	groups_follow_path(dp, path);
}

void entries_follow_interface(struct dataplane *dp, uint32_t interface)
{
	struct tables *t = dp->tables;
	if (t->interface_record[interface].kind == WIRE_INTERFACE_GRE) {
		struct entry e;
		entry_of_way(dp, interface, 0, &e);
		entry_write(&t->entry[ENTRY_OF_INTERFACE(t, interface)], &e);
	}
	for (uint32_t p = t->interface_paths.first[interface]; p != 0;
		p = t->interface_paths.next[p])
		entries_follow_path(dp, p);
}
