// SPDX-License-Identifier: BSD-3-Clause

// GRE on core interfaces (RFC 2784, RFC 2890): (outer source, outer destination, key) -> tunnel interface.
//
// The triple is the isolation authority: it must be equal in full, and a tunnel without a key is another one than
// the tunnel with key 0. What matches is charged as `decapsulated` to the core interface and begins anew as a packet
// of the tunnel interface, with its inner header checked like any other. What does not match may be transit
// traffic or somebody's mistake: it goes on with the reason noted, and lookup drops it with that reason if the
// outer destination turns out to be ours. GRE on other interfaces never comes here: it is a customer's payload.
//
// Which core interface a packet came by does not matter: a data plane has one underlay, and the way in is the core's
// choice, not our way out turned round. Two underlays with equal addresses take two data planes.
//
// Congestion marks travel inwards as RFC 6040 says. Sequence numbers are read over: RFC 2890 leaves them
// to both ends' agreement, and we promise no order.

#include "dataplane/stages/stages.h"

#include "dataplane/stages/ip.h"

#include <rte_prefetch.h>

#define GRE_CHECKSUM 0x8000u
#define GRE_KEY      0x2000u
#define GRE_SEQUENCE 0x1000u
#define GRE_REFUSED  0x4c07u // routing, strict source route, reserved bit 5, version

// One outer header of the burst. Packets of one tunnel mostly have the same, so it is read once: `addresses` and
// `words` are what the next packet is compared with.
//
// Most bursts begin with a run of one tunnel's packets, often they are one: decap_run() takes them in one pass.
// decap_each() takes the rest, in three passes that fetch what the next one reads.
struct gre {
	uint64_t addresses; // of the outer IPv4 header
	uint64_t words;     // of the GRE header, as far as the key
	const uint8_t *ip;
	uint32_t hash;
	uint32_t key;
	uint32_t slot; // of the tunnel, MAP_NONE = no such
	uint16_t protocol;
	uint8_t bytes; // outer IP and GRE headers
	uint8_t family;
	bool keyed;
	bool plain; // can be compared: IPv4 without options, GRE with key and nothing else
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

// IPv4 without options, not a fragment.
static inline bool plain_ipv4(const uint8_t *ip)
{
	static const uint8_t bits[8] = {255, 0, 0, 0, 0, 0, 0x3f, 255}, values[8] = {0x45};
	return (load64(ip) & load64(bits)) == load64(values);
}

// Reads the headers. HEADER_OK, or why they cannot be decapsulated.
static __rte_noinline enum drop_reason read_odd(
	const uint8_t *ip, const struct packet *p, struct gre *g)
{
	unsigned header = (ip[0] & 15u) * 4, at = 4;
	bool fragment = (load_be16(ip + 6) & 0x3fff) != 0;
	if (p->family == 6) {
		struct upper upper;
		enum drop_reason bad = ipv6_upper(ip, p->length, &upper);
		if (bad != HEADER_OK)
			return bad;
		header = upper.at;
		fragment = upper.fragment;
	}
	const uint8_t *gre = ip + header;
	if (fragment)
		return DROP_FRAGMENT;
	if (p->length < header + 4)
		return DROP_GRE_HEADER;
	unsigned flags = load_be16(gre);
	unsigned bytes = 4 + ((flags & GRE_CHECKSUM) ? 4 : 0) + ((flags & GRE_KEY) ? 4 : 0) +
			 ((flags & GRE_SEQUENCE) ? 4 : 0);
	if ((flags & GRE_REFUSED) || p->length < header + bytes)
		return DROP_GRE_HEADER;
	if ((flags & GRE_CHECKSUM) && !checksum_ok(gre, p->length - header))
		return DROP_GRE_HEADER;
	if (flags & GRE_CHECKSUM)
		at = 8;
	g->plain = false;
	g->family = p->family;
	g->keyed = (flags & GRE_KEY) != 0;
	g->key = g->keyed ? load_be32(gre + at) : 0;
	g->protocol = load_be16(gre + 2);
	g->bytes = (uint8_t)(header + bytes);
	g->hash = p->family == 4 ? tunnel_hash4(load32(ip + 12), load32(ip + 16), g->key, g->keyed)
				 : tunnel_hash6(ip + 8, ip + 24, g->key, g->keyed);
	return HEADER_OK;
}

static inline enum drop_reason read_gre(const uint8_t *ip, const struct packet *p, struct gre *g)
{
	g->ip = ip;
	if (unlikely(p->family != 4 || p->length < 28 || !plain_ipv4(ip) ||
		     load16(ip + 20) != be16(GRE_KEY)))
		return read_odd(ip, p, g);
	g->plain = true;
	g->addresses = load64(ip + 12);
	g->words = load64(ip + 20);
	g->family = 4;
	g->keyed = true;
	g->key = load_be32(ip + 24);
	g->protocol = load_be16(ip + 22);
	g->bytes = 28;
	g->hash = tunnel_hash4(load32(ip + 12), load32(ip + 16), g->key, true);
	return HEADER_OK;
}

// The same outer addresses and GRE header as one that was read; not a fragment.
static inline bool same_outer(const uint8_t *ip, const struct packet *p, const struct gre *g)
{
	return g->plain && plain_ipv4(ip) && p->length >= 28 && load64(ip + 12) == g->addresses &&
	       load64(ip + 20) == g->words;
}

static inline bool same_triple(const struct interface *i, const struct gre *g)
{
	const uint8_t *ip = g->ip;
	if (i->family != g->family || i->key != g->key ||
		((i->flags & WIRE_INTERFACE_KEY) != 0) != g->keyed)
		return false;
	if (g->family == 4)
		return i->remote4 == load32(ip + 12) && i->local4 == load32(ip + 16);
	return memcmp(i->outer6 + 24, ip + 8, 16) == 0 && memcmp(i->outer6 + 8, ip + 24, 16) == 0;
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

static inline void become(
	const struct interface *i, struct rte_mbuf *m, struct packet *p, unsigned l3)
{
	p->l3 = (uint16_t)l3;
	uint8_t check = i->flags & WIRE_INTERFACE_SOURCE_CHECK ? PACKET_CHECK : 0;
	p->flags =
		check |
		(p->flags & PACKET_GROUP); // what was sent to many is not forwarded inside either
	p->vrf = i->vrf;
	burst_trim(m, l3 + p->length);
}

// The common case: an IPv4 packet with nothing wrong and the congestion mark of its outer header.
static inline bool enter_plain(
	const struct interface *i, struct rte_mbuf *m, struct packet *p, const struct gre *g)
{
	unsigned l3 = p->l3 + g->bytes;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, l3);
	if (!(i->flags & WIRE_INTERFACE_UP) || g->protocol != ETHERTYPE_IPV4 ||
		((ip[1] ^ p->tos) & 3) != 0)
		return false;
	unsigned length = ipv4_plain(ip, p->length - g->bytes);
	if (length == 0)
		return false;
	p->length = (uint16_t)length;
	p->family = 4;
	p->tos = ip[1];
	become(i, m, p, l3);
	return true;
}

// The packet as one of its tunnel's.
static __rte_noinline enum drop_reason enter_tunnel(
	const struct interface *i, struct rte_mbuf *m, struct packet *p, const struct gre *g)
{
	uint8_t outer_tos = p->tos;
	unsigned l3 = p->l3 + g->bytes, room = p->length - g->bytes;
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, l3);
	enum drop_reason bad;
	p->length = 0;
	if (g->protocol == ETHERTYPE_IPV4) {
		bad = ipv4_check(ip, room, &p->length);
		p->family = 4;
	} else {
		bad = ipv6_check(ip, room, &p->length);
		p->family = 6;
	}
	if (bad != HEADER_OK)
		return bad;
	p->tos = p->family == 4 ? ip[1] : ipv6_class(ip);
	become(i, m, p, l3);
	if (!(i->flags & WIRE_INTERFACE_UP))
		return DROP_INTERFACE_DOWN;
	return carry_congestion(ip, p->family, outer_tos, &p->tos) ? HEADER_OK : DROP_ECN;
}

static inline void enter(struct worker *w, unsigned i, const struct gre *g)
{
	struct packet *p = &w->burst.packet[i];
	const struct interface *tunnel = &w->tables->interface[g->slot];
	struct rte_mbuf *m = w->burst.mbuf[i];
	p->in = g->slot;
	if (likely(enter_plain(tunnel, m, p, g)))
		return;
	enum drop_reason bad = enter_tunnel(tunnel, m, p, g);
	if (unlikely(bad != HEADER_OK))
		burst_drop(w, i, bad);
}

static inline bool carried(const struct gre *g)
{
	return g->protocol == ETHERTYPE_IPV4 || g->protocol == ETHERTYPE_IPV6;
}

static inline const uint8_t *outer_header(const struct burst *b, unsigned i)
{
	return rte_pktmbuf_mtod_offset(b->mbuf[i], const uint8_t *, b->packet[i].l3);
}

// The packets in front that are of one tunnel, if they are two at least. Returns the others.
static uint32_t decap_run(struct worker *w)
{
	struct burst *b = &w->burst;
	uint32_t rest = b->gre, packets = 0;
	uint64_t bytes = 0;
	unsigned first = (unsigned)__builtin_ctz(rest);
	uint32_t core = b->packet[first].in;
	struct gre g;
	if ((rest & (rest - 1)) == 0 ||
		read_gre(outer_header(b, first), &b->packet[first], &g) != HEADER_OK)
		return rest;
	unsigned second = (unsigned)__builtin_ctz(rest & (rest - 1));
	if (!carried(&g) || !same_outer(outer_header(b, second), &b->packet[second], &g))
		return rest;
	g.slot = find_tunnel(w->tables, map_array(&w->tables->tunnels), &g);
	if (g.slot == MAP_NONE)
		return rest;
	for (; rest != 0; rest &= rest - 1) {
		unsigned i = (unsigned)__builtin_ctz(rest);
		struct packet *p = &b->packet[i];
		if (p->in != core || !same_outer(outer_header(b, i), p, &g))
			break;
		enter(w, i, &g);
		packets++;
		bytes += p->length;
	}
	w->hot[core].decapsulated += packets;
	w->hot[g.slot].rx_packets += packets;
	w->hot[g.slot].rx_bytes += bytes;
	return rest;
}

// Reads the outer headers of the burst: each that differs from the one before it goes into `gre`, which[i] says where the
// one of packet i is. Returns the packets whose headers can be decapsulated.
static uint32_t read_all(
	struct worker *w, uint32_t mask, struct gre *gre, uint8_t *which, unsigned *kinds)
{
	struct burst *b = &w->burst;
	const struct map_array *tunnels = map_array(&w->tables->tunnels);
	uint32_t good = 0;
	unsigned n = 0;
	FOR_EACH (i, mask) {
		struct packet *p = &b->packet[i];
		const uint8_t *ip = outer_header(b, i);
		if (n == 0 || !same_outer(ip, p, &gre[n - 1])) {
			enum drop_reason bad = read_gre(ip, p, &gre[n]);
			if (unlikely(bad != HEADER_OK)) {
				p->flags |= PACKET_PENDING;
				p->pending = bad;
				continue;
			}
			rte_prefetch0(map_home(tunnels, gre[n].hash));
			n++;
		}
		which[i] = (uint8_t)(n - 1);
		good |= 1u << i;
	}
	*kinds = n;
	return good;
}

static void find_all(struct worker *w, struct gre *gre, unsigned kinds)
{
	const struct tables *t = w->tables;
	const struct map_array *tunnels = map_array(&t->tunnels);
	// The first tunnel whose hash fits is almost always the one: fetch it.
	for (unsigned k = 0; k < kinds; k++) {
		uint32_t at = map_first(gre[k].hash);
		gre[k].slot = map_next(tunnels, gre[k].hash, &at);
		if (gre[k].slot != MAP_NONE) {
			rte_prefetch0(&t->interface[gre[k].slot]);
			rte_prefetch0(&w->hot[gre[k].slot]);
		}
	}
	for (unsigned k = 0; k < kinds; k++) {
		if (gre[k].slot != MAP_NONE && !same_triple(&t->interface[gre[k].slot], &gre[k]))
			gre[k].slot = find_tunnel(t, tunnels, &gre[k]);
	}
}

static void decap_each(struct worker *w, uint32_t mask)
{
	struct burst *b = &w->burst;
	struct gre gre[BURST];
	uint8_t which[BURST];
	unsigned kinds;

	uint32_t good = read_all(w, mask, gre, which, &kinds);
	find_all(w, gre, kinds);
	struct rx_count count = {.interface = b->packet[0].in};
	uint32_t core = b->packet[0].in;
	uint64_t decapsulated = 0;
	FOR_EACH (i, good) {
		struct packet *p = &b->packet[i];
		const struct gre *g = &gre[which[i]];
		if (unlikely(g->slot == MAP_NONE || !carried(g))) {
			p->flags |= PACKET_PENDING;
			p->pending = g->slot == MAP_NONE ? DROP_TUNNEL_UNKNOWN : DROP_GRE_PROTOCOL;
			continue;
		}
		if (unlikely(p->in != core)) {
			w->hot[core].decapsulated += decapsulated;
			core = p->in;
			decapsulated = 0;
		}
		decapsulated++;
		enter(w, i, g);
		rx_count_add(w, &count, p->in, p->length);
	}
	w->hot[core].decapsulated += decapsulated;
	rx_count_flush(w, &count);
}

void stage_decap(struct worker *w)
{
	if (likely(w->burst.gre == 0))
		return;
	uint32_t rest = decap_run(w);
	if (rest != 0)
		decap_each(w, rest);
}
