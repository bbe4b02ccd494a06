// SPDX-License-Identifier: BSD-3-Clause

// GRE on core interfaces (RFC 2784, RFC 2890): (outer source, outer destination, key) -> tunnel
// interface.
//
// The triple is the isolation authority: it must be equal in full, and a tunnel without a key is
// another one than the tunnel with key 0. What matches is charged as `decapsulated` to the core
// interface and begins anew as a packet of the tunnel interface, with its inner header checked like
// any other. What does not match may be transit traffic or somebody's mistake: it goes on with the
// reason noted, and lookup drops it with that reason if the outer destination turns out to be ours.
// GRE on other interfaces never comes here: it is a customer's payload.
//
// Which core interface a packet came by does not matter: a data plane has one underlay, and the way
// in is the core's choice, not our way out turned round. Two underlays with equal addresses take
// two data planes.
//
// Congestion marks travel inwards as RFC 6040 says. Sequence numbers are read over: RFC 2890 leaves
// them to both ends' agreement, and we promise no order.

#include "dataplane/stages/stages.h"

#include "dataplane/tables/fib.h"
#include "dataplane/tables/limiter.h"

#include <rte_prefetch.h>

#define GRE_CHECKSUM 0x8000u
#define GRE_KEY      0x2000u
#define GRE_SEQUENCE 0x1000u
#define GRE_REFUSED  0x4c07u // routing, strict source route, reserved bit 5, version

// One outer header of the burst. Packets of one tunnel that follow each other mostly have the same,
// so it is read and looked up once: `addresses` and `words` are what the next packet is compared
// with. Two passes, of which the first fetches what the second reads: read the outer headers and
// find the tunnels; take the packets in.
struct gre {
	uint64_t addresses; // of the outer IPv4 header: remote, local
	uint64_t words;     // of the GRE header, as far as the key
	const uint8_t *ip;
	uint32_t mask; // packets
	uint32_t core; // interface slot they came in on
	uint32_t hash;
	uint32_t key;
	uint32_t slot; // of the tunnel, MAP_NONE = no such
	uint16_t protocol;
	uint8_t bytes; // outer IP and GRE headers
	uint8_t family;
	uint8_t keyed; // WIRE_INTERFACE_KEY or 0
	bool plain;    // can be compared: IPv4 without options, GRE with key and nothing else
};

static bool checksum_ok(const uint8_t *data, unsigned bytes)
{
	uint64_t sum = 0;
	for (; bytes >= 4; bytes -= 4, data += 4)
		sum += load32(data);
	uint8_t tail[4] = {0};
	memcpy(tail, data, bytes);
	return fold(sum + load32(tail)) == 0xffff;
}

// IPv4 without options, not a fragment, GRE with a key and nothing else, which is what most have.
// An mbuf has room for these 28 bytes whatever the packet's length.
static inline bool is_plain(const uint8_t *ip, const struct packet *p)
{
	return ipv4_whole(load64(ip)) && load16(ip + 20) == be16(GRE_KEY) && p->length >= 28;
}

// How long the headers are of what is not plain, and where the key is. HEADER_OK, or why they
// cannot be decapsulated.
static __rte_noinline enum drop_reason measure(
	const uint8_t *ip, const struct packet *p, unsigned *header, unsigned *bytes, unsigned *at)
{
	bool fragment = (load_be16(ip + 6) & 0x3fff) != 0;
	*header = (ip[0] & 15u) * 4;
	if (p->family == 6) {
		struct upper upper;
		enum drop_reason bad = ipv6_upper(ip, p->length, &upper);
		if (bad != HEADER_OK)
			return bad;
		*header = upper.at;
		fragment = upper.fragment;
	}
	if (fragment)
		return DROP_FRAGMENT;
	if (p->length < *header + 4) // the flags at least
		return DROP_GRE_HEADER;
	unsigned flags = load_be16(ip + *header);
	*bytes = 4 + ((flags & GRE_CHECKSUM) ? 4 : 0) + ((flags & GRE_KEY) ? 4 : 0) +
		 ((flags & GRE_SEQUENCE) ? 4 : 0);
	*at = flags & GRE_CHECKSUM ? 8 : 4;
	if ((flags & GRE_REFUSED) || p->length < *header + *bytes)
		return DROP_GRE_HEADER;
	if ((flags & GRE_CHECKSUM) && !checksum_ok(ip + *header, p->length - *header))
		return DROP_GRE_HEADER;
	return HEADER_OK;
}

// Reads the headers; mask and slot are found later. HEADER_OK, or why they cannot be decapsulated.
static inline enum drop_reason read_gre(const uint8_t *ip, const struct packet *p, struct gre *g)
{
	unsigned header = 20, bytes = 8, at = 4;
	g->plain = is_plain(ip, p);
	if (unlikely(!g->plain)) {
		enum drop_reason bad = measure(ip, p, &header, &bytes, &at);
		if (bad != HEADER_OK)
			return bad;
	}
	const uint8_t *gre = ip + header;
	bool keyed = gre[0] & GRE_KEY >> 8;
	g->ip = ip;
	g->core = p->in;
	g->keyed = keyed ? WIRE_INTERFACE_KEY : 0;
	g->key = keyed ? load_be32(gre + at) : 0;
	g->protocol = load_be16(gre + 2);
	g->bytes = (uint8_t)(header + bytes);
	g->family = p->family;
	g->addresses = load64(ip + 12);
	g->words = load64(ip + 20);
	g->hash = likely(p->family == 4)
			  ? tunnel_hash4(load32(ip + 12), load32(ip + 16), g->key, keyed)
			  : tunnel_hash6(ip + 8, ip + 24, g->key, keyed);
	return HEADER_OK;
}

// The same outer addresses and GRE header as one that was read. What tells tunnels apart comes
// first.
static inline bool same_outer(const uint8_t *ip, const struct packet *p, const struct gre *g)
{
	return load64(ip + 20) == g->words && load64(ip + 12) == g->addresses && g->plain &&
	       p->in == g->core && p->l4 == 20 && !(p->flags & PACKET_PART) && p->length >= 28;
}

static inline bool same_triple(const struct interface *i, const struct gre *g)
{
	_Static_assert(offsetof(struct interface, local4) ==
			       offsetof(struct interface, remote4) + sizeof(uint32_t),
		"as they follow each other in a packet");
	if (i->key != g->key || i->family != g->family ||
		((i->flags ^ g->keyed) & WIRE_INTERFACE_KEY))
		return false;
	if (likely(g->family == 4))
		return load64(&i->remote4) == g->addresses;
	return memcmp(i->remote6, g->ip + 8, 16) == 0 && memcmp(i->local6, g->ip + 24, 16) == 0;
}

static uint32_t find_tunnel(
	const struct tables *t, const struct map_array *tunnels, const struct gre *g)
{
	uint32_t slot;
	for (uint32_t at = map_first(g->hash);
		(slot = map_next(tunnels, g->hash, &at)) != MAP_NONE;) {
		if (same_triple(&t->interface[slot], g))
			return slot;
	}
	return MAP_NONE;
}

// RFC 6040 section 4.2. False: the mark cannot be carried on, the packet must be dropped.
static bool carry_congestion(uint8_t *inner, uint8_t family, uint8_t outer_tos, uint8_t *tos)
{
	unsigned outer = outer_tos & 3, ecn = *tos & 3;
	if (likely(outer == ecn || outer == 0 || (outer == 2 && ecn != 0)))
		return true;
	if (outer == 3 && ecn == 0)
		return false;
	if (ecn == 0 || ecn == 3 || (outer == 1 && ecn == 1))
		return true;
	*tos = (uint8_t)((*tos & ~3) | outer);
	if (family == 4)
		ipv4_set_tos(inner, *tos);
	else
		ipv6_set_class(inner, *tos);
	return true;
}

// What is not an IPv4 packet with nothing wrong and the congestion mark of its outer header.
static __rte_noinline enum drop_reason enter_odd(
	struct packet *p, const struct gre *g, bool up)
{
	const uint8_t outer_tos = p->tos;
	const unsigned room = p->length - g->bytes;
	const bool ipv4 = g->protocol == ETHERTYPE_IPV4;
	uint8_t *ip = p->ip + g->bytes;
	enum drop_reason bad = check_header(p, ip, room, ipv4);
	if (room > 0 && ip[0] >> 4 != (ipv4 ? 4 : 6))
		return DROP_GRE_PROTOCOL;
	if (bad == HEADER_OK && !up)
		return DROP_INTERFACE_DOWN;
	if (bad == HEADER_OK && !carry_congestion(ip, p->family, outer_tos, &p->tos))
		return DROP_ECN;
	return bad;
}

// The packets of one outer header as their tunnel's.
static inline void enter(struct worker *w, const struct gre *g)
{
	struct burst *b = &w->burst;
	const struct interface *tunnel = &w->tables->interface[g->slot];
	const bool up = tunnel->flags & WIRE_INTERFACE_UP;
	const bool plain = up && g->protocol == ETHERTYPE_IPV4;
	const uint8_t check = tunnel->flags & WIRE_INTERFACE_SOURCE_CHECK ? PACKET_CHECK : 0;
	const uint32_t slot = g->slot, vrf = tunnel->vrf;
	const unsigned outer = g->bytes;
	uint64_t bytes = 0;
	fib_prefetch4(w->roots4, vrf);
	limiter_prefetch(&w->parts[tunnel->limiter_in]);
	b->run[b->runs++] = (struct run){.in = slot, .vrf = vrf, .mask = g->mask};
	FOR_EACH (i, g->mask) {
		struct rte_mbuf *m = b->mbuf[i];
		struct packet *p = &b->packet[i];
		const unsigned l3 = p->l3 + outer;
		uint8_t *ip = p->ip + outer;
		unsigned length = ipv4_plain(ip, p->length - outer);
		p->in = slot;
		// What was sent to many is not forwarded inside either.
		p->flags = check | (p->flags & PACKET_GROUP);
		if (likely(plain && length != 0 && ((ip[1] ^ p->tos) & 3) == 0)) {
			note_plain(p, ip, length);
		} else {
			enum drop_reason bad = enter_odd(p, g, up);
			if (bad != HEADER_OK) {
				bytes += p->length;
				burst_drop(w, i, bad);
				continue;
			}
			length = p->length;
		}
		bytes += length;
		p->ip = ip;
		p->l3 = (uint16_t)l3;
		p->vrf = vrf;
		burst_trim(m, l3 + length);
	}
	count_rx(w, slot, (unsigned)__builtin_popcount(g->mask), bytes);
}

static inline bool carried(const struct gre *g)
{
	return g->protocol == ETHERTYPE_IPV4 || g->protocol == ETHERTYPE_IPV6;
}

static inline void refuse(struct packet *p, enum drop_reason why)
{
	p->flags |= PACKET_PENDING;
	p->pending = (uint8_t)why;
}

// Reads the outer headers of the burst: each that differs from the one before it goes into `gre`.
// Returns how many. The first tunnel whose hash fits is almost always the one: it is fetched.
static unsigned read_all(struct worker *w, struct gre *gre)
{
	struct burst *b = &w->burst;
	const struct map_array *tunnels = map_array(&w->tables->tunnels);
	unsigned n = 0;
	struct gre none = {.plain = false}, *last = &none;
	FOR_EACH (i, b->gre) {
		struct packet *p = &b->packet[i];
		const uint8_t *ip = p->ip;
		if (same_outer(ip, p, last)) {
			last->mask |= 1u << i;
			continue;
		}
		enum drop_reason bad = read_gre(ip, p, &gre[n]);
		if (unlikely(bad != HEADER_OK)) {
			last = &none;
			refuse(p, bad);
			continue;
		}
		last = &gre[n++];
		last->mask = 1u << i;
		uint32_t at = map_first(last->hash);
		last->slot = map_next(tunnels, last->hash, &at);
		if (likely(last->slot != MAP_NONE)) {
			rte_prefetch0(&w->tables->interface[last->slot]);
			rte_prefetch0(&w->hot[last->slot]);
		}
	}
	return n;
}

// Takes the packets of one outer header in, if there is a tunnel for them. Returns which.
static inline uint32_t take_in(struct worker *w, struct gre *g)
{
	struct burst *b = &w->burst;
	const struct tables *t = w->tables;
	if (g->slot != MAP_NONE && unlikely(!same_triple(&t->interface[g->slot], g)))
		g->slot = find_tunnel(t, map_array(&t->tunnels), g);
	if (unlikely(g->slot == MAP_NONE || !carried(g))) {
		FOR_EACH (i, g->mask)
			refuse(&b->packet[i],
				g->slot == MAP_NONE ? DROP_TUNNEL_UNKNOWN : DROP_GRE_PROTOCOL);
		return 0;
	}
	w->hot[g->core].decapsulated += (unsigned)__builtin_popcount(g->mask);
	enter(w, g);
	return g->mask;
}

bool stage_decap(struct worker *w)
{
	struct burst *b = &w->burst;
	struct gre gre[BURST];
	uint32_t in = 0;
	unsigned n = read_all(w, gre);
	b->runs = 0;
	for (unsigned k = 0; k < n; k++)
		in |= take_in(w, &gre[k]);
	// If all of the burst came out of tunnels, the runs are known.
	return likely(in == (uint32_t)((1ull << b->count) - 1) && in == b->alive);
}
