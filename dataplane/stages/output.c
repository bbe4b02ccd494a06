// SPDX-License-Identifier: BSD-3-Clause

// The packet gets its new front: TTL, GRE and outer IP header if it leaves by a tunnel, MACs and tags.
//
// Everything that can be known beforehand was made when the tables were written: the adjacency holds the frame's
// front ready to copy, the tunnel holds its outer header but for length, TOS, id and checksum. The outer header
// takes over DSCP and ECN (RFC 6040, normal mode) and DF of the inner one; what we fragment, we fragment inside, so
// the far end never has to reassemble outer packets on our account.
//
// Here a packet becomes `forwarded` on its in-interface. What happens to it later is counted on the
// out-interface, as tx or tx_drops.

#include "dataplane/stages/stages.h"

#include "dataplane/stages/fragment.h"
#include "dataplane/stages/ip.h"

#include <rte_prefetch.h>

static inline void decrement_ttl(uint8_t *ip, uint8_t family)
{
	if (likely(family == 4)) {
		// The sum of RFC 1141 with the carry added back: the TTL is the high byte of its word.
		uint32_t sum = load16(ip + 10) + (uint32_t)be16(0x0100);
		ip[8]--;
		store16(ip + 10, (uint16_t)(sum + (sum >= 0xffff)));
	} else {
		ip[7]--;
	}
}

// Outer IPv4 + GRE in front of the packet at `ip`; returns where the outer header starts.
static inline uint8_t *encap_ipv4(struct worker *w, const struct interface *out, uint8_t *ip,
	const struct packet *p, uint16_t length)
{
	uint8_t *outer = ip - out->outer_bytes;
	uint16_t total = be16((uint16_t)(length + out->outer_bytes));
	uint16_t fragment = p->family == 4 ? load16(ip + 6) & be16(IPV4_DF) : be16(IPV4_DF);
	uint16_t id = fragment != 0 ? 0 : be16(w->ip_id++); // RFC 6864: atomic datagrams need none
	memcpy(outer, out->outer4, 20);
	outer[1] = p->tos;
	store16(outer + 2, total);
	store16(outer + 4, id);
	store16(outer + 6, fragment);
	// The template has TOS 0. (Reading back what was just written in other sizes would stall.)
	uint64_t sum = (uint64_t)out->outer_sum + total + id + fragment + be16(p->tos);
	store16(outer + 10, (uint16_t)~fold(sum));
	return outer;
}

static inline uint8_t *encap_ipv6(
	const struct interface *out, uint8_t *ip, const struct packet *p, uint16_t length)
{
	uint8_t *outer = ip - out->outer_bytes;
	memcpy(outer, out->outer6, 40);
	ipv6_set_class(outer, p->tos);
	store16(outer + 4, be16((uint16_t)(length + out->outer_bytes - 40)));
	return outer;
}

static inline uint8_t *encap(struct worker *w, const struct interface *out, uint8_t *ip,
	const struct packet *p, uint16_t length, uint8_t *family)
{
	uint8_t *outer = out->out_family == WIRE_IPV4 ? encap_ipv4(w, out, ip, p, length)
						      : encap_ipv6(out, ip, p, length);
	uint16_t protocol = be16(p->family == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
	uint8_t *gre = outer + (out->out_family == WIRE_IPV4 ? 20 : 40);
	store16(gre, out->gre_flags);
	store16(gre + 2, protocol);
	if (out->gre_flags != 0)
		memcpy(gre + 4, &out->gre_key, 4);
	*family = out->out_family;
	return outer;
}

// What is sent is copied from the adjacency's end, so the copy is of one size whatever the tags.
static inline unsigned push_frame(const struct neighbor *n, uint8_t *l3, uint8_t family)
{
	uint8_t current = __atomic_load_n(&n->current, __ATOMIC_ACQUIRE);
	memcpy(l3 - REWRITE_MAX, n->rewrite[current], REWRITE_MAX);
	if (unlikely(family == 6))
		store16(l3 - 2, be16(ETHERTYPE_IPV6));
	return n->length[current];
}

static inline uint16_t make_frame(struct worker *w, struct rte_mbuf *m, uint16_t offset,
	uint16_t length, const struct packet *p)
{
	const struct interface *out = &w->tables->interface[p->out];
	const struct neighbor *n = &w->tables->neighbor[p->neighbor];
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
	uint8_t *ip = data + offset, *l3 = ip;
	uint8_t family = p->family;
	if (out->out_kind == WIRE_INTERFACE_GRE)
		l3 = encap(w, out, ip, p, length, &family);
	uint8_t *front = l3 - push_frame(n, l3, family);
	m->data_off = (uint16_t)(m->data_off + (front - data));
	m->data_len = (uint16_t)(ip + length - front);
	m->pkt_len = m->data_len;
	return n->port;
}

uint16_t output_frame(struct worker *w, struct rte_mbuf *m, uint16_t offset, uint16_t length,
	const struct packet *p)
{
	return make_frame(w, m, offset, length, p);
}

// Appends to the port's list; most of a burst leaves by one port.
static inline void add(struct worker *w, struct tx_list **list, uint16_t port, struct rte_mbuf *m,
	const struct packet *p)
{
	struct tx_list *l = *list;
	if (unlikely(l != &w->tx[port])) {
		l = *list = &w->tx[port];
		w->tx_ports |= 1ull << port;
	}
	// A list is empty when a burst begins, and takes a whole one.
	unsigned n = l->count++;
	l->mbuf[n] = m;
	l->interface[n] = p->out;
	l->bytes[n] = p->length;
}

void stage_output(struct worker *w)
{
	struct burst *b = &w->burst;
	struct stats_interface *hot = w->hot;
	struct tx_list *list = NULL;
	uint32_t in = b->packet[0].in;
	uint64_t forwarded = 0;
	FOR_EACH (i, b->alive) {
		const struct packet *p = &b->packet[i];
		struct rte_mbuf *m = b->mbuf[i];
		if (p->in != in) {
			hot[in].forwarded += forwarded;
			in = p->in;
			forwarded = 0;
		}
		if (likely(!(p->flags & PACKET_HOST)))
			forwarded++;
		if (likely(!(p->flags & PACKET_FREE))) // else it starts here
			decrement_ttl(rte_pktmbuf_mtod_offset(m, uint8_t *, p->l3), p->family);
		if (unlikely(p->flags & PACKET_FRAGMENT)) {
			fragment(w, m, p);
			continue;
		}
		uint16_t port = make_frame(w, m, p->l3, p->length, p);
		add(w, &list, port, m, p);
	}
	hot[in].forwarded += forwarded;
	b->alive = 0;
}
