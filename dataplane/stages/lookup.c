// SPDX-License-Identifier: BSD-3-Clause

// Where a packet goes: everything that the routing domain decides, and only that.
//
// One bulk pass through the FIB answers for destinations and, where the interface wants it, for sources. The
// destination's group says: ours (to the host path), dropped, or a path. The path names the way out, an Ethernet
// interface with its adjacency or a tunnel, whose underlay group names the adjacency. Then TTL and MTU are judged, before
// anything is charged to a limiter, so that "fragmentation needed" leaves for free. Nothing in the packet is changed
// here; output does that.
//
// Each pass ends by prefetching what the next one reads: group, path, interface and adjacency.

#include "dataplane/stages/stages.h"

#include "dataplane/io/host.h"
#include "dataplane/stages/ip.h"
#include "dataplane/tables/fib.h"

#include <rte_prefetch.h>

// One key for each packet of `mask`: the address `at` bytes into its IP header.
static inline unsigned add_keys(struct worker *w, uint32_t mask, unsigned at, unsigned n, bool ipv4)
{
	const struct burst *b = &w->burst;
	struct lookup_keys *keys = &w->keys;
	FOR_EACH (i, mask) {
		const struct packet *p = &b->packet[i];
		const uint8_t *addr =
			rte_pktmbuf_mtod_offset(b->mbuf[i], const uint8_t *, p->l3 + at);
		keys->vrf[n] = p->vrf;
		if (ipv4)
			keys->addr4[n] = load_be32(addr);
		else
			keys->addr6[n] = addr;
		keys->who[n++] = (uint8_t)i;
	}
	return n;
}

// Destinations first, sources behind them: at most FIB_BULK keys in one pass.
static void find(struct worker *w, uint32_t mask, uint32_t check, bool ipv4)
{
	struct burst *b = &w->burst;
	struct lookup_keys *keys = &w->keys;
	unsigned destinations = add_keys(w, mask, ipv4 ? 16 : 24, 0, ipv4);
	unsigned n = add_keys(w, mask & check, ipv4 ? 12 : 8, destinations, ipv4);
	if (n == 0)
		return;
	if (ipv4)
		fib_lookup4(w->fib, keys->vrf, keys->addr4, keys->result, n);
	else
		fib_lookup6(w->fib, keys->vrf, keys->addr6, keys->result, n);
	for (unsigned k = 0; k < destinations; k++)
		b->packet[keys->who[k]].route = keys->result[k];
	for (unsigned k = destinations; k < n; k++)
		b->packet[keys->who[k]].source = keys->result[k];
}

// Link-local and multicast IPv6 never leaves its link; what neighbor discovery needs goes to the host.
// Returns whether the packet is settled.
static bool stays_on_link(struct worker *w, unsigned i)
{
	struct burst *b = &w->burst;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(b->mbuf[i], const uint8_t *, b->packet[i].l3);
	bool icmp = ip[6] == PROTOCOL_ICMPV6 && b->packet[i].length > 40;
	bool discovery = icmp && ip[40] >= 133 && ip[40] <= 137;
	if (ip[24] == 0xff) {
		if ((ip[25] & 15) == 2 && icmp)
			burst_to_host(w, i, discovery ? HOST_NEIGHBOR : HOST_LOCAL, 0);
		else
			burst_drop(w, i, DROP_MULTICAST);
		return true;
	}
	if (ip[24] == 0xfe && (ip[25] & 0xc0) == 0x80) {
		burst_to_host(w, i, discovery ? HOST_NEIGHBOR : HOST_LOCAL, 0);
		return true;
	}
	// A link-local source stays on its link too (RFC 4291 2.5.6).
	if (ip[8] == 0xfe && (ip[9] & 0xc0) == 0x80)
		b->packet[i].flags |= PACKET_GROUP;
	return false;
}

// The group's verdict. Leaves the way out in packet->out and ->neighbor (0 on tunnels); false: settled here.
static bool take_path(struct worker *w, unsigned i)
{
	struct burst *b = &w->burst;
	struct packet *p = &b->packet[i];
	const struct tables *t = w->tables;
	if (unlikely(p->route == FIB_NO_ROUTE)) {
		if (p->flags & PACKET_GROUP)
			burst_drop(w, i, DROP_MULTICAST);
		else
			burst_drop_icmp(w, i, DROP_NO_ROUTE, HOST_NO_ROUTE, 0);
		return false;
	}
	struct group_word word = group_word(t, p->route & FIB_GROUP_MASK);
	if (unlikely(word.kind == GROUP_LOCAL)) {
		if (p->flags & PACKET_PENDING)
			burst_drop(w, i, p->pending);
		else
			burst_to_host(w, i, HOST_LOCAL, word.target);
		return false;
	}
	if (unlikely(p->flags & PACKET_GROUP)) {
		burst_drop(w, i, DROP_MULTICAST);
		return false;
	}
	if (unlikely(word.kind == GROUP_DROP)) {
		burst_drop(w, i, DROP_BLACKHOLE);
		return false;
	}
	const struct path *path = word.kind == GROUP_SINGLE ? &t->path[word.target]
							    : group_select(t, word, b->mbuf[i], p);
	if (unlikely(path == NULL || !path->up)) {
		burst_drop_icmp(w, i, DROP_PATH_DOWN, HOST_UNREACHABLE, 0);
		return false;
	}
	p->out = path->interface;
	p->neighbor = path->neighbor;
	rte_prefetch0(&t->interface[p->out].limiter_out);
	rte_prefetch0(&w->hot[p->out]);
	if (p->neighbor != 0)
		rte_prefetch0(&t->neighbor[p->neighbor]);
	return true;
}

static inline void judge_size(struct worker *w, unsigned i, unsigned mtu)
{
	struct burst *b = &w->burst;
	struct packet *p = &b->packet[i];
	if (likely(p->length <= mtu))
		return;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(b->mbuf[i], const uint8_t *, p->l3);
	if (p->family == 4 && !(load_be16(ip + 6) & IPV4_DF))
		p->flags |= PACKET_FRAGMENT;
	else
		burst_drop_icmp(w, i, DROP_MTU, HOST_TOO_BIG, mtu);
}

// The way out must be open, the TTL last one hop more, the size fit.
static void judge(struct worker *w, unsigned i)
{
	struct burst *b = &w->burst;
	struct packet *p = &b->packet[i];
	const struct tables *t = w->tables;
	const struct interface *out = &t->interface[p->out];
	const uint8_t *ip = rte_pktmbuf_mtod_offset(b->mbuf[i], const uint8_t *, p->l3);
	unsigned mtu = out->mtu;

	if (unlikely(!(out->out_flags & WIRE_INTERFACE_UP))) {
		burst_drop(w, i, DROP_INTERFACE_DOWN);
		return;
	}
	if (unlikely(ip[p->family == 4 ? 8 : 7] <= 1)) {
		burst_drop_icmp(w, i, DROP_TTL, HOST_TTL, 0);
		return;
	}
	if (out->out_kind == WIRE_INTERFACE_GRE) {
		p->neighbor = underlay_resolve(t, out->underlay, b->mbuf[i], p);
		if (unlikely(p->neighbor == 0)) {
			burst_drop(w, i, DROP_TUNNEL_DOWN);
			return;
		}
		unsigned core = t->neighbor[p->neighbor].mtu - out->outer_bytes;
		mtu = RTE_MIN(mtu, core);
	}
	if (unlikely(!t->neighbor[p->neighbor].resolved)) {
		__atomic_store_n(&t->neighbor[p->neighbor].needed, 1, __ATOMIC_RELAXED);
		burst_drop(w, i, DROP_NEIGHBOR_UNRESOLVED);
		return;
	}
	judge_size(w, i, mtu);
}

void stage_lookup(struct worker *w)
{
	struct burst *b = &w->burst;
	const struct tables *t = w->tables;
	uint32_t ipv4 = 0, ipv6 = 0, check = 0;

	FOR_EACH (i, b->alive) {
		check |= (uint32_t)(b->packet[i].flags & PACKET_CHECK) << i;
		if (likely(b->packet[i].family == 4))
			ipv4 |= 1u << i;
		else if (!stays_on_link(w, i))
			ipv6 |= 1u << i;
	}
	find(w, ipv4, check, true);
	find(w, ipv6, check, false);
	FOR_EACH (j, b->alive) {
		rte_prefetch0(&t->group[b->packet[j].route & FIB_GROUP_MASK]);
	}
	FOR_EACH (k, b->alive) {
		struct group_word word = group_word(t, b->packet[k].route & FIB_GROUP_MASK);
		if (likely(word.kind == GROUP_SINGLE))
			rte_prefetch0(&t->path[word.target]);
		else if (word.kind == GROUP_MULTI)
			rte_prefetch0(&t->multipath[word.target]);
	}
	FOR_EACH (l, b->alive) {
		take_path(w, l);
	}
	FOR_EACH (m, b->alive) {
		judge(w, m);
	}
}
