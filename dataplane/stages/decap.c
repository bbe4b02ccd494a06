// SPDX-License-Identifier: BSD-3-Clause

// GRE on core interfaces (RFC 2784, RFC 2890): (outer source, outer destination, key) -> tunnel interface.
//
// The triple is the isolation authority: it must be equal in full, and a tunnel without a key is another one than
// the tunnel with key 0. What matches is charged as `decapsulated` to the core interface and begins anew as a packet
// of the tunnel interface, with its inner header checked like any other. What does not match may be transit
// traffic or somebody's mistake: it goes on with the reason noted, and lookup drops it with that reason if the
// outer destination turns out to be ours. GRE on other interfaces never comes here: it is a customer's payload.
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

struct gre {
	uint32_t hash;
	uint32_t key;
	uint16_t protocol;
	uint8_t bytes; // outer IP and GRE headers
	uint8_t keyed;
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

// Reads the headers. HEADER_OK, or why they cannot be decapsulated.
static enum drop_reason read_gre(const uint8_t *ip, const struct packet *p, struct gre *g)
{
	unsigned header = p->family == 4 ? (ip[0] & 15u) * 4 : 40, at = 4;
	const uint8_t *gre = ip + header;
	if (p->family == 4 && (load_be16(ip + 6) & 0x3fff) != 0)
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
	g->keyed = (flags & GRE_KEY) != 0;
	g->key = g->keyed ? load_be32(gre + at) : 0;
	g->protocol = load_be16(gre + 2);
	g->bytes = (uint8_t)(header + bytes);
	g->hash = p->family == 4 ? tunnel_hash4(load32(ip + 12), load32(ip + 16), g->key, g->keyed)
				 : tunnel_hash6(ip + 8, ip + 24, g->key, g->keyed);
	return HEADER_OK;
}

static inline bool same_triple(
	const struct interface *i, const uint8_t *ip, uint8_t family, const struct gre *g)
{
	if (i->family != family || i->key != g->key ||
		((i->flags & WIRE_INTERFACE_KEY) != 0) != g->keyed)
		return false;
	if (family == 4)
		return i->remote4 == load32(ip + 12) && i->local4 == load32(ip + 16);
	return memcmp(i->outer6 + 24, ip + 8, 16) == 0 && memcmp(i->outer6 + 8, ip + 24, 16) == 0;
}

static uint32_t find_tunnel(const struct tables *t, const struct map_array *tunnels,
	const uint8_t *ip, uint8_t family, const struct gre *g)
{
	uint32_t slot;
	for (uint32_t at = map_first(g->hash);
		(slot = map_next(tunnels, g->hash, &at)) != MAP_NONE;) {
		if (same_triple(&t->interface[slot], ip, family, g))
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

// The packet as one of its tunnel's.
static enum drop_reason enter_tunnel(
	const struct interface *i, struct rte_mbuf *m, struct packet *p, const struct gre *g)
{
	uint8_t outer_tos = p->tos;
	unsigned room = p->length - g->bytes;
	p->l3 += g->bytes;
	p->length = 0;
	p->flags = 0;
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, p->l3);
	enum drop_reason bad;
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
	p->flags = i->flags & WIRE_INTERFACE_SOURCE_CHECK ? PACKET_CHECK : 0;
	p->vrf = i->vrf;
	m->data_len = p->l3 + p->length;
	m->pkt_len = m->data_len;
	if (!(i->flags & WIRE_INTERFACE_UP))
		return DROP_INTERFACE_DOWN;
	return carry_congestion(ip, p->family, outer_tos, &p->tos) ? HEADER_OK : DROP_ECN;
}

void stage_decap(struct worker *w)
{
	struct burst *b = &w->burst;
	const struct tables *t = w->tables;
	const struct map_array *tunnels = map_array(&t->tunnels);
	struct gre gre[BURST];
	uint32_t slot[BURST];
	uint32_t good = 0;

	if (b->gre == 0)
		return;
	FOR_EACH (i, b->gre) {
		struct packet *p = &b->packet[i];
		const uint8_t *ip = rte_pktmbuf_mtod_offset(b->mbuf[i], const uint8_t *, p->l3);
		enum drop_reason bad = read_gre(ip, p, &gre[i]);
		if (likely(bad == HEADER_OK)) {
			rte_prefetch0(map_home(tunnels, gre[i].hash));
			good |= 1u << i;
		} else {
			p->flags |= PACKET_PENDING;
			p->pending = bad;
		}
	}
	// The first tunnel whose hash fits is almost always the one: fetch it.
	FOR_EACH (j, good) {
		uint32_t at = map_first(gre[j].hash);
		slot[j] = map_next(tunnels, gre[j].hash, &at);
		if (slot[j] != MAP_NONE) {
			rte_prefetch0(&t->interface[slot[j]]);
			rte_prefetch0(&w->hot[slot[j]]);
		}
	}
	FOR_EACH (k, good) {
		struct packet *p = &b->packet[k];
		const uint8_t *ip = rte_pktmbuf_mtod_offset(b->mbuf[k], const uint8_t *, p->l3);
		if (slot[k] == MAP_NONE ||
			!same_triple(&t->interface[slot[k]], ip, p->family, &gre[k]))
			slot[k] = find_tunnel(t, tunnels, ip, p->family, &gre[k]);
		bool carried =
			gre[k].protocol == ETHERTYPE_IPV4 || gre[k].protocol == ETHERTYPE_IPV6;
		if (slot[k] == MAP_NONE || !carried) {
			p->flags |= PACKET_PENDING;
			p->pending = slot[k] == MAP_NONE ? DROP_TUNNEL_UNKNOWN : DROP_GRE_PROTOCOL;
			continue;
		}
		w->hot[p->in].decapsulated++;
		p->in = slot[k];
		enum drop_reason bad = enter_tunnel(&t->interface[slot[k]], b->mbuf[k], p, &gre[k]);
		w->hot[p->in].rx_packets++;
		w->hot[p->in].rx_bytes += p->length;
		if (unlikely(bad != HEADER_OK))
			burst_drop(w, k, bad);
	}
}
