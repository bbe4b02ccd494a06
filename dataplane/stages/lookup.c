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

#include "dataplane/stages/ip.h"
#include "dataplane/tables/fib.h"

#include <rte_prefetch.h>

// One key for each packet of `mask`: the address `at` bytes into its IP header.
static inline unsigned add_keys(struct worker *w, uint32_t mask, unsigned at, unsigned n, bool ipv4)
{
	struct burst *b = &w->burst;
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
		n++;
	}
	return n;
}

// Destinations first, sources behind them: at most FIB_BULK keys in one pass.
static inline void find(struct worker *w, uint32_t mask, uint32_t check, bool ipv4)
{
	struct burst *b = &w->burst;
	struct lookup_keys *keys = &w->keys;
	const struct group *group = w->tables->group;
	uint32_t last = FIB_NO_ROUTE;
	unsigned n = add_keys(w, mask, ipv4 ? 16 : 24, 0, ipv4), k = 0;
	n = add_keys(w, mask & check, ipv4 ? 12 : 8, n, ipv4);
	if (n == 0)
		return;
	if (ipv4)
		fib_lookup4(w->fib, keys->vrf, keys->addr4, keys->result, n);
	else
		fib_lookup6(w->fib, keys->vrf, keys->addr6, keys->result, n);
	FOR_EACH (i, mask) {
		uint32_t route = keys->result[k++];
		b->packet[i].route = route;
		if (route != last)
			rte_prefetch0(&group[(last = route) & FIB_GROUP_MASK]);
	}
	FOR_EACH (j, mask & check) {
		uint32_t route = keys->result[k++];
		b->packet[j].source = route;
		rte_prefetch0(&group[route & FIB_GROUP_MASK]);
	}
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
			burst_to_local(w, i, discovery ? HOST_NEIGHBOR : HOST_LOCAL, 0);
		else
			burst_drop(w, i, DROP_MULTICAST);
		return true;
	}
	if (ip[24] == 0xfe && (ip[25] & 0xc0) == 0x80) {
		burst_to_local(w, i, discovery ? HOST_NEIGHBOR : HOST_LOCAL, 0);
		return true;
	}
	// A link-local source stays on its link too (RFC 4291 2.5.6).
	if (ip[8] == 0xfe && (ip[9] & 0xc0) == 0x80)
		b->packet[i].flags |= PACKET_GROUP;
	return false;
}

// What the last packet's way was; most of a burst goes one way, and then it need not be found again.
struct way {
	uint32_t route; // FIB's answer; FIB_NO_ROUTE = nothing remembered
	uint32_t out;
	uint32_t via;      // neighbor the path names, 0 on tunnels
	uint32_t neighbor; // adjacency; 0 = nothing remembered
	unsigned mtu;
	uint32_t underlay; // group of one path that led to `core`; 0 = nothing remembered
	uint32_t core;     // adjacency
};

// The group's verdict. Leaves the way out in packet->out and ->neighbor (0 on tunnels), or settles the packet.
static __rte_noinline void take_path(struct worker *w, unsigned i, struct way *way)
{
	struct burst *b = &w->burst;
	struct packet *p = &b->packet[i];
	const struct tables *t = w->tables;
	if (unlikely(p->route == FIB_NO_ROUTE)) {
		if (p->flags & PACKET_GROUP)
			burst_drop(w, i, DROP_MULTICAST);
		else
			burst_drop_icmp(w, i, DROP_NO_ROUTE, HOST_NO_ROUTE, 0);
		return;
	}
	struct group_word word = group_word(t, p->route & FIB_GROUP_MASK);
	if (unlikely(word.kind == GROUP_LOCAL)) {
		if (p->flags & PACKET_PENDING)
			burst_drop(w, i, p->pending);
		else
			burst_to_local(w, i, HOST_LOCAL, word.target);
		return;
	}
	if (unlikely(p->flags & PACKET_GROUP)) {
		burst_drop(w, i, DROP_MULTICAST);
		return;
	}
	if (unlikely(word.kind == GROUP_DROP)) {
		burst_drop(w, i, DROP_BLACKHOLE);
		return;
	}
	const struct path *path = likely(word.kind == GROUP_SINGLE)
					  ? &t->path[word.target]
					  : group_select(t, word, b->mbuf[i], p);
	if (unlikely(path == NULL || !path->up)) {
		p->out = path != NULL ? path_way(path).interface : 0;
		burst_drop_icmp(w, i, DROP_PATH_DOWN, HOST_UNREACHABLE, 0);
		return;
	}
	struct path_way to = path_way(path);
	p->out = to.interface;
	p->neighbor = to.neighbor;
	rte_prefetch0(&t->interface[p->out].limiter_out);
	rte_prefetch0(&w->hot[p->out]);
	if (p->neighbor != 0)
		rte_prefetch0(&t->neighbor[p->neighbor]);
	way->route = word.kind == GROUP_SINGLE ? p->route : FIB_NO_ROUTE;
	way->out = p->out;
	way->via = p->neighbor;
	way->neighbor = 0;
}

// Told once until the main thread has heard: in an outage every worker comes by with every packet.
static void want_neighbor(struct worker *w, uint32_t slot)
{
	uint8_t *needed = &w->tables->neighbor[slot].needed;
	if (__atomic_load_n(needed, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(needed, 1, __ATOMIC_RELAXED);
	if (!worker_tell(w, EVENT_NEEDED, slot, 0))
		__atomic_store_n(needed, 0, __ATOMIC_RELAXED);
}

// The way out must be open. Finds the adjacency and what fits through; 0: the packet is settled.
static __rte_noinline unsigned take_way(struct worker *w, unsigned i, struct way *way)
{
	struct packet *p = &w->burst.packet[i];
	const struct tables *t = w->tables;
	const struct interface *out = &t->interface[p->out];
	unsigned mtu = out->mtu;
	bool shared = true; // by all packets that go out here
	way->out = p->out;
	way->via = p->neighbor;
	way->neighbor = 0;
	if (unlikely(!(out->out_flags & WIRE_INTERFACE_UP))) {
		burst_drop(w, i, DROP_INTERFACE_DOWN);
		return 0;
	}
	if (out->out_kind == WIRE_INTERFACE_GRE) {
		p->neighbor = way->core;
		if (unlikely(out->underlay != way->underlay || way->underlay == 0)) {
			shared = group_word(t, out->underlay).kind == GROUP_SINGLE;
			p->neighbor = underlay_resolve(t, out->underlay, w->burst.mbuf[i], p);
			if (unlikely(p->neighbor == 0)) {
				burst_drop(w, i, DROP_TUNNEL_DOWN);
				return 0;
			}
			way->underlay = shared ? out->underlay : 0;
			way->core = p->neighbor;
		}
		unsigned core = t->neighbor[p->neighbor].mtu - out->outer_bytes;
		mtu = RTE_MIN(mtu, core);
	}
	if (unlikely(!t->neighbor[p->neighbor].resolved)) {
		want_neighbor(w, p->neighbor);
		burst_drop(w, i, DROP_NEIGHBOR_UNRESOLVED);
		return 0;
	}
	if (shared) {
		way->neighbor = p->neighbor;
		way->mtu = mtu;
	}
	return mtu;
}

static __rte_noinline void too_large(struct worker *w, unsigned i, unsigned mtu)
{
	struct packet *p = &w->burst.packet[i];
	const uint8_t *ip = rte_pktmbuf_mtod_offset(w->burst.mbuf[i], const uint8_t *, p->l3);
	unsigned field = load_be16(ip + 6);
	if (p->family == 6 || (field & IPV4_DF))
		burst_drop_icmp(w, i, DROP_MTU, HOST_TOO_BIG, mtu);
	else if ((field & 0x1fff) * 8 + p->length - (ip[0] & 15u) * 4 > UINT16_MAX)
		burst_drop(w, i,
			DROP_FRAGMENT); // of no datagram there can be; its parts would wrap around
	else
		p->flags |= PACKET_FRAGMENT;
}

static inline void judge(struct worker *w, unsigned i, struct way *way)
{
	struct burst *b = &w->burst;
	struct packet *p = &b->packet[i];
	const uint8_t *ip = rte_pktmbuf_mtod_offset(b->mbuf[i], const uint8_t *, p->l3);
	unsigned mtu = way->mtu;
	// An error of ours starts here; its TTL does not count yet.
	if (unlikely(ip[p->family == 4 ? 8 : 7] <= 1 && !(p->flags & PACKET_FREE))) {
		burst_drop_icmp(w, i, DROP_TTL, HOST_TTL, 0);
		return;
	}
	if (likely(p->out == way->out && p->neighbor == way->via && way->neighbor != 0))
		p->neighbor = way->neighbor;
	else
		mtu = take_way(w, i, way);
	if (unlikely(p->length > mtu) && mtu != 0)
		too_large(w, i, mtu);
}

// A burst without gaps and of IPv4 only, which most are: one plain loop. False: it is not one.
static inline bool find_plain(struct worker *w, uint32_t *varied)
{
	struct burst *b = &w->burst;
	struct lookup_keys *keys = &w->keys;
	const struct group *group = w->tables->group;
	unsigned n = b->count, other = 0;
	uint32_t check = 0;
	if (n == 0 || n > BURST || b->alive != (uint32_t)((1ull << n) - 1))
		return false;
	for (unsigned i = 0; i < n; i++) {
		const struct packet *p = &b->packet[i];
		const uint8_t *ip = rte_pktmbuf_mtod_offset(b->mbuf[i], const uint8_t *, p->l3);
		other |= p->family ^ 4u;
		check |= (uint32_t)(p->flags & PACKET_CHECK) << i;
		keys->vrf[i] = p->vrf;
		keys->addr4[i] = load_be32(ip + 16);
	}
	if (other != 0)
		return false;
	unsigned all = add_keys(w, check, 12, n, true), k = n;
	fib_lookup4(w->fib, keys->vrf, keys->addr4, keys->result, all);
	uint32_t last = keys->result[0];
	rte_prefetch0(&group[last & FIB_GROUP_MASK]);
	for (unsigned i = 0; i < n; i++) {
		uint32_t route = keys->result[i];
		b->packet[i].route = route;
		if (route != last)
			rte_prefetch0(&group[route & FIB_GROUP_MASK]);
		*varied |= route ^ last;
		last = route;
	}
	FOR_EACH (j, check) {
		uint32_t route = keys->result[k++];
		b->packet[j].source = route;
		rte_prefetch0(&group[route & FIB_GROUP_MASK]);
	}
	return true;
}

static void find_mixed(struct worker *w)
{
	struct burst *b = &w->burst;
	uint32_t ipv6 = 0, check = 0;
	FOR_EACH (i, b->alive) {
		const struct packet *p = &b->packet[i];
		check |= (uint32_t)(p->flags & PACKET_CHECK) << i;
		ipv6 |= (uint32_t)(p->family == 6) << i;
	}
	find(w, b->alive & ~ipv6, check, true);
	FOR_EACH (j, ipv6) {
		if (stays_on_link(w, j))
			ipv6 &= ~(1u << j);
	}
	find(w, ipv6, check, false);
}

static void fetch_paths(const struct worker *w)
{
	const struct burst *b = &w->burst;
	const struct tables *t = w->tables;
	uint32_t last = FIB_NO_ROUTE;
	FOR_EACH (i, b->alive) {
		uint32_t route = b->packet[i].route;
		if (route == last)
			continue;
		last = route;
		struct group_word word = group_word(t, route & FIB_GROUP_MASK);
		if (likely(word.kind == GROUP_SINGLE))
			rte_prefetch0(&t->path[word.target]);
		else if (word.kind == GROUP_MULTI)
			rte_prefetch0(&t->multipath[word.target]);
	}
}

static inline void choose(struct worker *w, unsigned i, struct way *way)
{
	struct packet *p = &w->burst.packet[i];
	if (likely(p->route == way->route && p->route != FIB_NO_ROUTE &&
		    !(p->flags & PACKET_GROUP))) {
		p->out = way->out;
		p->neighbor = way->via;
	} else {
		take_path(w, i, way);
	}
}

// The answer was the same for all, and it leads over one path.
static inline bool one_way(const struct worker *w, uint32_t varied)
{
	uint32_t group = w->burst.packet[0].route & FIB_GROUP_MASK;
	return varied == 0 && group_word(w->tables, group).kind == GROUP_SINGLE;
}

void stage_lookup(struct worker *w)
{
	struct burst *b = &w->burst;
	struct way way = {.route = FIB_NO_ROUTE};
	uint32_t varied = 0;

	if (unlikely(!find_plain(w, &varied))) {
		find_mixed(w);
		varied = 1;
	}
	if (likely(one_way(
		    w, varied))) { // one pass: after the first packet nothing is to be fetched
		FOR_EACH (i, b->alive) {
			choose(w, i, &way);
			if (likely(b->alive >> i & 1))
				judge(w, i, &way);
		}
		return;
	}
	fetch_paths(w);
	FOR_EACH (i, b->alive) {
		choose(w, i, &way);
	}
	way.neighbor = 0;
	FOR_EACH (j, b->alive) {
		judge(w, j, &way);
	}
}
