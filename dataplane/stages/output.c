// SPDX-License-Identifier: BSD-3-Clause

// The packet gets its new front: TTL, GRE and outer IP header if it leaves by a tunnel, MACs and
// tags.
//
// Everything that can be known beforehand was made when the tables were written: an entry holds
// what it puts in front ready to copy (of IPv6 tunnels the parts). The outer header takes over DSCP
// and ECN (RFC 6040, normal mode) and DF of the inner one; what we fragment, we fragment inside, so
// the far end never has to reassemble outer packets on our account.
//
// Here a packet becomes `forwarded` on its in-interface. What happens to it later is counted on the
// out-interface, as tx or tx_drops.

#include "dataplane/stages/stages.h"

#include "dataplane/stages/fragment.h"
#include "dataplane/stages/ip.h"

#include <rte_common.h>

#include <limits.h>

static inline void decrement_ttl(uint8_t *ip, uint8_t family)
{
	if (likely(family == 4)) {
		// The sum of RFC 1141 with the carry added back: the TTL is the high byte of its
		// word.
		uint32_t sum = load16(ip + 10) + (uint32_t)be16(0x0100);
		ip[8]--;
		store16(ip + 10, (uint16_t)(sum + (sum >= 0xffff)));
	} else {
		ip[7]--;
	}
}

static inline void store32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

// GRE over IPv4 in front of the packet at `ip`: the entry's front, and in it what depends on the
// packet, in words as they stand on the wire. Without a key the front is shorter than what is
// copied; what comes before it gets overwritten by the frame's. Nothing just written is read back
// in another size: that would stall.
static inline void put_gre4(struct worker *w, const struct entry *e, uint8_t *ip,
	const struct packet *p, uint16_t total)
{
	const uint16_t df = be16(IPV4_DF);
	const uint8_t *front = e->gre4.front + GRE4_FRONT_MAX - e->length;
	uint8_t *outer = ip - e->length;
	uint16_t fragment = p->family == 4 ? load16(ip + 6) & df : df;
	uint16_t id = fragment != 0 ? 0 : be16(w->ip_id++); // RFC 6864: atomic datagrams need none
	uint16_t tos = be16(p->tos);
	uint32_t sum = load16(front + 10) + be16(total) + id + fragment + tos;
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	memcpy(ip - GRE4_FRONT_MAX, e->gre4.front, 16);
	memcpy(ip - 16, e->gre4.front + GRE4_FRONT_MAX - 16, 16);
	store16(outer, be16(0x4500) | tos);
	store16(outer + 2, be16(total));
	store16(outer + 4, id);
	store16(outer + 6, fragment);
	store16(outer + 10, (uint16_t)~sum);
	if (unlikely(p->family == 6))
		store16(outer + 22, be16(ETHERTYPE_IPV6));
}

static __rte_noinline void put_gre6(const struct worker *w, const struct entry *e, uint8_t *ip,
	const struct packet *p, uint16_t total)
{
	uint8_t *outer = ip - e->length;
	store32(outer, be32(0x60000000));
	ipv6_set_class(outer, p->tos);
	store16(outer + 4, be16((uint16_t)(total - 40)));
	outer[6] = PROTOCOL_GRE;
	outer[7] = e->gre6.ttl;
	memcpy(outer + 8, w->tables->interface[e->gre6.local].local6, 16);
	memcpy(outer + 24, e->gre6.remote, 16);
	store16(outer + 40, e->flags & ENTRY_KEY ? be16(0x2000) : 0);
	store16(outer + 42, p->family == 4 ? be16(ETHERTYPE_IPV4) : be16(ETHERTYPE_IPV6));
	if (e->flags & ENTRY_KEY)
		store32(outer + 44, e->gre6.key);
}

// Outer header and GRE (RFC 2784, 2890) in front of the packet at `ip`.
static inline void encap(struct worker *w, const struct entry *e, uint8_t *ip,
	const struct packet *p, uint16_t total)
{
	if (likely(e->kind == ENTRY_GRE4))
		put_gre4(w, e, ip, p, total);
	else
		put_gre6(w, e, ip, p, total);
}

// What packets that leave by the same entries share.
struct egress {
	const struct entry *e;
	const struct entry *l2; // e itself, or what a tunnel leaves by
	struct tx_list *list;   // of its port
	struct charge charge;
	unsigned outer; // bytes of outer IP and GRE header; 0: no tunnel
	unsigned front; // bytes of all in front of the packet
	bool outer6;
};

static inline void find_egress(struct worker *w, const struct packet *p, struct egress *egress)
{
	const struct entry *e = &w->hop[p->hop], *l2 = &w->hop[p->core];
	egress->e = e;
	egress->charge = (struct charge){e->out, e->account};
	egress->outer = e != l2 ? e->length : 0;
	egress->outer6 = e->kind == ENTRY_GRE6;
	egress->front = egress->outer + l2->length;
	if (l2 == egress->l2)
		return;
	egress->l2 = l2;
	egress->list = &w->tx[l2->port];
	w->tx_ports |= 1ull << l2->port;
}

// From the IP packet at `ip` in an mbuf to the frame on the wire.
static inline void make_frame(struct worker *w, const struct egress *egress, struct rte_mbuf *m,
	uint8_t *ip, uint16_t length, const struct packet *p)
{
	uint8_t *l3 = ip - egress->outer;
	m->data_off = (uint16_t)(ip - egress->front - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)(length + egress->front);
	m->pkt_len = length + egress->front;
	if (egress->outer != 0)
		encap(w, egress->e, ip, p, (uint16_t)(length + egress->outer));
	// Copied from the front's end: one size, whatever the tags.
	memcpy(l3 - REWRITE_MAX, egress->l2->l2.rewrite, REWRITE_MAX);
	if (unlikely(egress->outer != 0 ? egress->outer6 : p->family == 6))
		store16(l3 - 2, be16(ETHERTYPE_IPV6));
}

// Fragments are the one thing here that needs buffers of its own, and one packet becomes many, so
// they have a list of their own with a fixed room, which is sent when it is full. All or nothing: a
// packet that cannot be sent whole is not sent in part.
static void send_in_parts(
	struct worker *w, const struct egress *egress, struct rte_mbuf *m, const struct packet *p)
{
	struct fragment_list *list = &w->fragments;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l3);
	const struct entry *e = egress->e;
	unsigned mtu = entry_mtu(e, egress->l2), n = fragment_count(ip, p->length, mtu);
	bury(w, m);
	if (list->count + n > FRAGMENT_ROOM)
		tx_flush_fragments(w);
	struct rte_mbuf **piece = &list->mbuf[list->count];
	if (n > FRAGMENT_ROOM || rte_pktmbuf_alloc_bulk(w->pool, piece, n) != 0) {
		w->sparse[p->out].tx_drops[TX_DROP_NO_BUFFER]++;
		return;
	}
	fragment(ip, p->length, mtu, piece);
	for (unsigned i = 0; i < n; i++) {
		uint16_t length = piece[i]->data_len;
		make_frame(w, egress, piece[i], rte_pktmbuf_mtod(piece[i], uint8_t *), length, p);
		list->charge[list->count] = egress->charge;
		list->bytes[list->count] = length;
		list->port[list->count++] = egress->l2->port;
	}
	w->sparse[p->out].extra_fragments += n - 1;
}

// A list is empty when a burst begins, and takes a whole one.
static inline void add(const struct egress *egress, struct rte_mbuf *m, const struct packet *p)
{
	struct tx_list *l = egress->list;
	unsigned n = l->count++;
	l->mbuf[n] = m;
	l->charge[n] = egress->charge;
	l->bytes[n] = p->length;
}

// Two places of worker->hop in one number.
static inline unsigned egress_number(const struct packet *p)
{
	_Static_assert(offsetof(struct packet, core) == offsetof(struct packet, hop) + 1, "pair");
	return load16(&p->hop);
}

void stage_output(struct worker *w)
{
	struct burst *b = &w->burst;
	struct stats_interface *hot = w->hot;
	struct egress egress = {0};
	unsigned last = UINT_MAX;
	uint32_t in = b->packet[0].in;
	uint64_t forwarded = 0;
	if (b->count == 0)
		return; // packet[0] says nothing, and its interface's counters may be somebody else's by now
	// The burst was compacted: all its packets are alive.
	for (unsigned i = 0; i < b->count; i++) {
		const struct packet *p = &b->packet[i];
		struct rte_mbuf *m = b->mbuf[i];
		uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, p->l3);
		if (p->in != in) {
			hot[in].forwarded += forwarded;
			in = p->in;
			forwarded = 0;
		}
		if (likely(!(p->flags & PACKET_HOST)))
			forwarded++;
		if (likely(!(p->flags & PACKET_FREE))) // else it starts here
			decrement_ttl(ip, p->family);
		if (egress_number(p) != last) {
			find_egress(w, p, &egress);
			last = egress_number(p);
		}
		if (unlikely(p->flags & PACKET_FRAGMENT)) {
			send_in_parts(w, &egress, m, p);
			continue;
		}
		make_frame(w, &egress, m, ip, p->length, p);
		add(&egress, m, p);
	}
	hot[in].forwarded += forwarded;
	b->alive = 0;
}
