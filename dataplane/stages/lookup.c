// SPDX-License-Identifier: BSD-3-Clause

// Where a packet goes: everything that the routing domain decides, and only that.
//
// One bulk pass through the FIB answers for destinations and, where the interface wants it, for
// sources. The answer is the index of a forwarding entry, which says all: ours (to the host path),
// dropped, several paths to choose from, or the way out, an Ethernet interface with its front or a
// tunnel, whose entry names the one that leads through the core. Each entry of a burst is copied
// once to worker->hop, and from there on the burst has one view of it, whatever is written
// meanwhile. Then TTL and MTU are judged, before anything is charged to a limiter, so that
// "fragmentation needed" leaves for free. Nothing in the packet is changed here; output does that.
//
// The first pass ends by prefetching what the second reads, the entries: the only line that a
// packet's way out costs.

#include "dataplane/stages/stages.h"

#include "dataplane/stages/ip.h"
#include "dataplane/tables/fib.h"
#include "dataplane/tables/limiter.h"

#include <rte_prefetch.h>

// The entries that the answers name are on their way from here.
static inline void fetch_entries(const struct worker *w, const uint32_t *route, unsigned n)
{
	const struct entry *entry = w->tables->entry;
	uint32_t last = FIB_NO_ROUTE;
	for (unsigned i = 0; i < n; i++) {
		if (route[i] != last)
			rte_prefetch0(&entry[(last = route[i]) & FIB_GROUP_MASK]);
	}
}

// Link-local and multicast IPv6 never leaves its link; what neighbor discovery needs goes to the
// host. Returns whether the packet is settled.
static bool stays_on_link(struct worker *w, unsigned i)
{
	struct burst *b = &w->burst;
	const uint8_t *ip = b->packet[i].ip;
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

#define NOTHING (FIB_FOUND | GROUP_NONE) // what the FIB never answers

// Where the last packet went; most of a burst goes one way, and then it need not be found again.
struct last {
	uint32_t route; // FIB's answer; NOTHING: none is remembered
	uint32_t out;
	uint8_t hop; // places in worker->hop
	uint8_t core;
	bool open;         // all below is known
	unsigned mtu;      // what fits
	uint32_t underlay; // the core's entry of one path that led to `via`; 0 = nothing remembered
	uint8_t via;
};

// The entry at `index` goes to the next place of worker->hop. False: it is being written, and its
// writer does not finish.
static inline bool read_hop(struct worker *w, uint32_t index)
{
	return likely(entry_read(&w->tables->entry[index], &w->hop[w->hops]));
}

// Several paths: the packet's one takes the place. False: there is none that is up.
static __rte_noinline bool take_path(struct worker *w, unsigned i)
{
	const struct burst *b = &w->burst;
	uint32_t block = w->hop[w->hops].via;
	uint32_t path = block_select(w->tables, block, &b->packet[i]);
	return path != 0 && read_hop(w, ENTRY_OF_PATH(w->tables, path));
}

static __rte_noinline void path_down(struct worker *w, unsigned i)
{
	burst_drop_icmp(w, i, DROP_PATH_DOWN, HOST_UNREACHABLE, 0);
}

// Not forwarded at all: ours, nobody's, or not to be.
static __rte_noinline void settle(struct worker *w, unsigned i, const struct entry *e)
{
	struct packet *p = &w->burst.packet[i];
	if (e->kind == ENTRY_LOCAL && (p->flags & PACKET_PENDING))
		burst_drop(w, i, p->pending);
	else if (e->kind == ENTRY_LOCAL)
		burst_to_local(w, i, HOST_LOCAL, e->via);
	else
		burst_drop(w, i, p->flags & PACKET_GROUP ? DROP_MULTICAST : DROP_BLACKHOLE);
}

static __rte_noinline void no_route(struct worker *w, unsigned i)
{
	if (w->burst.packet[i].flags & PACKET_GROUP)
		burst_drop(w, i, DROP_MULTICAST);
	else
		burst_drop_icmp(w, i, DROP_NO_ROUTE, HOST_NO_ROUTE, 0);
}

// The answer's verdict: what is remembered of it leads on, or the packet is settled (false).
static inline bool choose(struct worker *w, unsigned i, uint32_t route, struct last *last)
{
	struct packet *p = &w->burst.packet[i];
	const struct entry *e = &w->hop[w->hops];
	last->route = NOTHING;
	last->open = false;
	p->out = 0; // until it is known
	if (unlikely(route == FIB_NO_ROUTE)) {
		no_route(w, i);
		return false;
	}
	if (unlikely(!read_hop(w, route & FIB_GROUP_MASK))) {
		path_down(w, i);
		return false;
	}
	if (unlikely(e->kind <= ENTRY_LOCAL || (p->flags & PACKET_GROUP))) {
		settle(w, i, e);
		return false;
	}
	bool shared = e->kind != ENTRY_MULTI;
	if (unlikely(!shared) && !take_path(w, i)) {
		path_down(w, i);
		return false;
	}
	p->out = e->out;
	if (unlikely(!path_usable(w->tables, e->path))) {
		path_down(w, i);
		return false;
	}
	rte_prefetch0(&w->hot[e->out]);
	rte_prefetch0(&w->accounts[e->account]);
	limiter_prefetch(&w->parts[e->limiter_out]);
	w->limited_out |= e->limiter_out;
	if (likely(shared))
		last->route = route;
	last->out = e->out;
	last->hop = last->core = (uint8_t)w->hops++;
	return true;
}

// What leads to the far end of the tunnel `e`. False: nothing that is open.
static __rte_noinline bool find_core(
	struct worker *w, unsigned i, const struct entry *e, struct last *last)
{
	const struct entry *core = &w->hop[w->hops];
	bool up = e->via != 0 && read_hop(w, e->via), shared = up && core->kind != ENTRY_MULTI;
	if (up && !shared)
		up = take_path(w, i);
	if (!up || core->kind != ENTRY_L2 || (core->flags & ENTRY_DOWN) ||
		!path_usable(w->tables, core->path))
		return false;
	last->via = (uint8_t)w->hops++;
	last->underlay = shared ? e->via : 0;
	if (!shared)
		last->route = NOTHING;
	return true;
}

// Told once until the main thread has heard: in an outage every worker comes by with every packet.
static void want_neighbor(struct worker *w, uint32_t slot)
{
	uint8_t *needed = &w->tables->needed[slot];
	if (__atomic_load_n(needed, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(needed, 1, __ATOMIC_RELAXED);
	if (!worker_tell(w, EVENT_NEEDED, slot, 0))
		__atomic_store_n(needed, 0, __ATOMIC_RELAXED);
}

// The way out must be open. Finds what fits through. Otherwise says why not.
static inline enum drop_reason open_way(struct worker *w, unsigned i, struct last *last)
{
	const struct entry *e = &w->hop[last->hop], *l2 = e;
	if (unlikely(e->flags & ENTRY_DOWN))
		return DROP_INTERFACE_DOWN;
	if (entry_is_tunnel(e)) {
		if (unlikely(e->via != last->underlay || e->via == 0) && !find_core(w, i, e, last))
			return DROP_TUNNEL_DOWN;
		last->core = last->via;
		l2 = &w->hop[last->core];
	}
	if (unlikely(l2->flags & ENTRY_UNRESOLVED)) {
		want_neighbor(w, l2->via);
		return DROP_NEIGHBOR_UNRESOLVED;
	}
	last->mtu = entry_mtu(e, l2);
	last->open = true;
	return HEADER_OK;
}

static __rte_noinline void too_large(struct worker *w, unsigned i, unsigned mtu)
{
	struct packet *p = &w->burst.packet[i];
	const uint8_t *ip = p->ip;
	unsigned field = load_be16(ip + 6);
	if (p->family == 6 || (field & IPV4_DF))
		burst_drop_icmp(w, i, DROP_MTU, HOST_TOO_BIG, mtu);
	else if ((field & 0x1fff) * 8 + p->length - (ip[0] & 15u) * 4 > UINT16_MAX)
		burst_drop(w, i,
			DROP_FRAGMENT); // of no datagram there can be; its parts would wrap around
	else
		p->flags |= PACKET_FRAGMENT;
}

// An error of ours starts here; its TTL does not count yet.
static inline bool ends_here(const struct burst *b, unsigned i)
{
	const struct packet *p = &b->packet[i];
	return p->ip[p->family == 4 ? 8 : 7] <= 1 && !(p->flags & PACKET_FREE);
}

// `late`: of some packet of the burst the TTL may end here.
static inline void send_on(struct worker *w, unsigned i, struct last *last, bool late)
{
	struct burst *b = &w->burst;
	struct packet *p = &b->packet[i];
	const uint32_t route = w->keys.result[i];
	enum drop_reason closed;
	if (unlikely(route != last->route || (p->flags & PACKET_GROUP)) &&
		!choose(w, i, route, last))
		return;
	p->out = last->out;
	if (unlikely(late) && ends_here(b, i)) {
		burst_drop_icmp(w, i, DROP_TTL, HOST_TTL, 0);
		return;
	}
	if (unlikely(!last->open) && (closed = open_way(w, i, last)) != HEADER_OK) {
		burst_drop(w, i, closed);
		return;
	}
	p->hop = last->hop;
	p->core = last->core;
	if (unlikely(p->length > last->mtu))
		too_large(w, i, last->mtu);
}

bool enter_behind_lookup(struct worker *w, unsigned i)
{
	struct packet *p = &w->burst.packet[i];
	struct last last = {.out = p->out, .hop = (uint8_t)w->hops};
	bool read = entry_read(
		&w->tables->entry[ENTRY_OF_INTERFACE(w->tables, p->out)], &w->hop[w->hops++]);
	if (!read || open_way(w, i, &last) != HEADER_OK)
		return false;
	p->hop = last.hop;
	p->core = last.core;
	return p->length <= last.mtu;
}

static __rte_noinline bool find6(struct worker *w, uint32_t mask, bool sources)
{
	const struct burst *b = &w->burst;
	struct lookup_keys *keys = &w->keys;
	uint32_t answer[2 * BURST], *result = keys->result;
	unsigned n = 0, k = 0;
	bool late = false;
	FOR_EACH (i, mask) {
		result[i] = result[b->count + i] = FIB_NO_ROUTE;
		if (stays_on_link(w, i))
			mask &= ~(1u << i);
		else
			n++;
	}
	FOR_EACH (j, mask) {
		const struct packet *p = &b->packet[j];
		late |= p->ip[7] <= 1;
		keys->vrf[k] = keys->vrf[n + k] = p->vrf;
		keys->addr6[k] = p->ip + 24;
		keys->addr6[n + k++] = p->ip + 8;
	}
	if (n != 0)
		fib_lookup6(w->fib, keys->vrf, keys->addr6, answer, sources ? 2 * n : n);
	k = 0;
	FOR_EACH (l, mask) {
		result[l] = answer[k];
		result[b->count + l] = sources ? answer[n + k] : FIB_NO_ROUTE;
		k++;
	}
	return late;
}

// Moves those of the n keys from `from` on that are in the mask to `to`; returns where they end.
static unsigned gather(
	struct lookup_keys *keys, unsigned to, unsigned from, unsigned n, uint32_t mask)
{
	for (unsigned i = 0; i < n; i++) {
		keys->vrf[to] = keys->vrf[from + i];
		keys->addr4[to] = keys->addr4[from + i];
		to += mask >> i & 1;
	}
	return to;
}

// Some of the packets, or all, are IPv6: their keys are taken out again.
static __rte_noinline bool find_mixed(struct worker *w, bool sources)
{
	const struct burst *b = &w->burst;
	struct lookup_keys *keys = &w->keys;
	uint32_t answer[2 * BURST], ipv4 = 0;
	unsigned n, all, k = 0;
	for (unsigned i = 0; i < b->count; i++)
		ipv4 |= (uint32_t)(b->packet[i].family == 4) << i;
	all = n = gather(keys, 0, 0, b->count, ipv4);
	if (sources)
		all = gather(keys, n, b->count, b->count, ipv4);
	if (n != 0)
		fib_lookup4(w->fib, keys->vrf, keys->addr4, answer, all);
	FOR_EACH (i, ipv4) {
		keys->result[i] = answer[k];
		keys->result[b->count + i] = sources ? answer[n + k] : FIB_NO_ROUTE;
		k++;
	}
	return find6(w, b->alive & ~ipv4, sources);
}

// Asks the FIB, and if some packet's source is to be checked for all sources, in one pass: the
// larger a bulk is, the less a key costs. Returns whether some packet's TTL may end here. The burst
// has no gaps.
static inline bool find(struct worker *w)
{
	struct burst *b = &w->burst;
	struct lookup_keys *keys = &w->keys;
	const unsigned n = b->count;
	uint8_t flags = 0, other = 0;
	bool late = false;
	for (unsigned i = 0; i < n; i++) {
		const struct packet *p = &b->packet[i];
		const uint8_t *ip = p->ip;
		flags |= p->flags;
		other |= p->family ^ 4u;
		late |= ip[8] <= 1;
		keys->vrf[i] = p->vrf;
		keys->addr4[i] = load_be32(ip + 16);
	}
	b->sources = flags & PACKET_CHECK;
	const unsigned all = b->sources ? 2 * n : n;
	for (unsigned k = n; k < all; k++) {
		keys->vrf[k] = keys->vrf[k - n];
		keys->addr4[k] = load_be32(b->packet[k - n].ip + 12);
	}
	if (unlikely(other != 0))
		late |= find_mixed(w, b->sources);
	else if (likely(n != 0))
		fib_lookup4(w->fib, keys->vrf, keys->addr4, keys->result, all);
	fetch_entries(w, keys->result, all);
	return late;
}

void stage_lookup(struct worker *w)
{
	struct last last = {.route = NOTHING};
	w->hops = 0;
	w->limited_out = 0;
	const bool late = find(w);
	FOR_EACH (i, w->burst.alive) {
		send_on(w, i, &last, late);
	}
}
