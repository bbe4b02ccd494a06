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

static inline void decrement_ttl(uint8_t *ip, unsigned family)
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
// packet. Without a key the front is shorter than what is copied; what comes before it gets
// overwritten by the frame's. Nothing just written is read back in another size: that would stall.
static inline void put_gre4(struct worker *w, const struct entry *e, uint8_t *ip, unsigned family,
	unsigned tos, unsigned total)
{
	uint8_t *outer = ip - e->length;
	const unsigned df = (family == 4 ? load_be16(ip + 6) : IPV4_DF) & IPV4_DF;
	const unsigned fragile = df == 0; // RFC 6864: atomic datagrams need no id
	const unsigned id = w->ip_id & -fragile;
	uint32_t sum = e->sum + tos + total + id + df;
	w->ip_id += fragile;
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	memcpy(ip - GRE4_FRONT_MAX, e->gre4.front, 16);
	memcpy(ip - 16, e->gre4.front + GRE4_FRONT_MAX - 16, 16);
	store32(outer, be32(0x45000000 | tos << 16 | total));
	store32(outer + 4, be32(id << 16 | df));
	store16(outer + 10, be16((uint16_t)~sum));
	if (unlikely(family == 6))
		store16(outer + 22, be16(ETHERTYPE_IPV6));
}

static __rte_noinline void put_gre6(const struct worker *w, const struct entry *e, uint8_t *ip,
	unsigned family, unsigned tos, unsigned total)
{
	uint8_t *outer = ip - e->length;
	store32(outer, be32(0x60000000));
	ipv6_set_class(outer, (uint8_t)tos);
	store16(outer + 4, be16((uint16_t)(total - 40)));
	outer[6] = PROTOCOL_GRE;
	outer[7] = e->gre6.ttl;
	memcpy(outer + 8, w->tables->interface[e->gre6.local].local6, 16);
	memcpy(outer + 24, e->gre6.remote, 16);
	store16(outer + 40, e->flags & ENTRY_KEY ? be16(0x2000) : 0);
	store16(outer + 42, family == 4 ? be16(ETHERTYPE_IPV4) : be16(ETHERTYPE_IPV6));
	if (e->flags & ENTRY_KEY)
		store32(outer + 44, e->gre6.key);
}

// What packets that leave by the same entries share.
struct egress {
	const struct entry *e;
	const struct entry *l2; // e itself, or what a tunnel leaves by
	struct tx_list *list;   // of its port
	unsigned outer;         // bytes of outer IP and GRE header; 0: no tunnel
	unsigned front;         // bytes of all in front of the packet
	unsigned packets;       // sent in a row, and the bytes of their IP packets
	uint64_t bytes;
};

static inline void note_share(const struct egress *egress, struct tx_share *share)
{
	share->interface = egress->e->out;
	share->account = egress->e->account;
	share->port = egress->l2->port;
	share->front = (uint16_t)egress->front;
	share->packets = egress->packets;
	share->bytes = egress->bytes;
}

static inline void find_egress(struct worker *w, const struct packet *p, struct egress *egress)
{
	const struct entry *e = &w->hop[p->hop], *l2 = &w->hop[p->core];
	egress->e = e;
	if (l2 != egress->l2) {
		egress->l2 = l2;
		egress->list = &w->tx[l2->port];
		w->tx_ports |= 1ull << l2->port;
	}
	egress->outer = e != l2 ? e->length : 0;
	egress->front = egress->outer + l2->length;
	egress->packets = 0;
	egress->bytes = 0;
}

// From the IP packet at `ip` in an mbuf to the frame on the wire: outer IP header and GRE
// (RFC 2784, 2890), MACs and tags.
static inline void make_frame(struct worker *w, const struct egress *egress, struct rte_mbuf *m,
	uint8_t *ip, unsigned length, unsigned family, unsigned tos)
{
	const struct entry *e = egress->e, *l2 = egress->l2;
	const unsigned outer = egress->outer, front = egress->front;
	m->data_off = (uint16_t)(ip - front - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)(length + front);
	m->pkt_len = length + front;
	if (likely(e->kind == ENTRY_GRE4)) {
		put_gre4(w, e, ip, family, tos, length + outer);
		family = 4;
	} else if (outer != 0) {
		put_gre6(w, e, ip, family, tos, length + outer);
		family = 6;
	}
	// Copied from the front's end: one size, whatever the tags.
	memcpy(ip - outer - REWRITE_MAX, l2->l2.rewrite, REWRITE_MAX);
	if (unlikely(family == 6))
		store16(ip - outer - 2, be16(ETHERTYPE_IPV6));
}

// Fragments are the one thing here that needs buffers of its own, and one packet becomes many, so
// they have a list of their own with a fixed room, which is sent when it is full. All or nothing: a
// packet that cannot be sent whole is not sent in part.
static __rte_noinline void send_in_parts(
	struct worker *w, struct egress egress, struct rte_mbuf *m, const struct packet *p)
{
	struct fragment_list *list = &w->fragments;
	unsigned mtu = entry_mtu(egress.e, egress.l2), n = fragment_count(p->ip, p->length, mtu);
	bury(w, m);
	if (list->count + n > FRAGMENT_ROOM)
		tx_flush_fragments(w);
	struct rte_mbuf **piece = &list->mbuf[list->count];
	if (n > FRAGMENT_ROOM || rte_pktmbuf_alloc_bulk(w->pool, piece, n) != 0) {
		w->sparse[p->out].tx_drops[TX_DROP_NO_BUFFER]++;
		return;
	}
	fragment(p->ip, p->length, mtu, piece);
	egress.packets = n;
	egress.bytes = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned length = piece[i]->data_len;
		uint8_t *part = rte_pktmbuf_mtod(piece[i], uint8_t *);
		make_frame(w, &egress, piece[i], part, length, p->family, p->tos);
		egress.bytes += length;
	}
	note_share(&egress, &list->share[list->shares++]);
	list->count += n;
	w->sparse[p->out].extra_fragments += n - 1;
}

// A list is empty when a burst begins, and takes a whole one.
static inline void add(struct egress *egress, struct rte_mbuf *m, unsigned length)
{
	egress->list->mbuf[egress->list->count++] = m;
	egress->packets++;
	egress->bytes += length;
}

static inline void end_share(const struct egress *egress)
{
	if (egress->packets != 0)
		note_share(egress, &egress->list->share[egress->list->shares++]);
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
	struct egress egress = {0};
	unsigned last = UINT_MAX;
	// The burst was compacted: all its packets are alive, and those that came in are of a run.
	for (unsigned r = 0; r < b->runs; r++)
		w->hot[b->run[r].in].forwarded += (unsigned)__builtin_popcount(b->run[r].mask);
	for (unsigned i = 0, n = b->count; i < n; i++) {
		const struct packet *p = &b->packet[i];
		const unsigned length = p->length, family = p->family, tos = p->tos;
		const unsigned flags = p->flags, number = egress_number(p);
		struct rte_mbuf *m = b->mbuf[i];
		uint8_t *ip = p->ip;
		if (number != last) {
			end_share(&egress);
			find_egress(w, p, &egress);
			last = number;
		}
		if (likely(!(flags & PACKET_FREE))) // else it starts here
			decrement_ttl(ip, family);
		if (unlikely(flags & PACKET_FRAGMENT)) {
			send_in_parts(w, egress, m, p);
			continue;
		}
		make_frame(w, &egress, m, ip, length, family, tos);
		add(&egress, m, length);
	}
	end_share(&egress);
	b->alive = 0;
}
