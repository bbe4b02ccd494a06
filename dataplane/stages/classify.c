// SPDX-License-Identifier: BSD-3-Clause

// Frames to packets: (port, VLAN stack) -> interface, and every header checked once.
//
// A frame belongs to an interface by its whole tag stack: none, one tag, or two. The outer tag's
// TPID is a matter of the port, the inner one's is 0x8100. VLAN 0 is a priority tag and counts as
// none (802.1Q 9.6). A frame of no interface is charged to the port's own `unclassified` one. From
// here on every packet has a valid IP header whose length lies within the frame; padding behind it
// is cut off, so that it is neither billed nor sent on. ARP goes to the host path from here.
//
// Frames with the same tags that follow each other are a run, and what their interface says is
// looked at once for all of them. Two passes, so that the lines the second needs are on their way
// while the first works: read the frames, cut the runs and find their interfaces; check and count.

#include "dataplane/stages/stages.h"

#include "dataplane/stages/ip.h"
#include "dataplane/tables/fib.h"
#include "dataplane/tables/limiter.h"

#include <rte_prefetch.h>

// What a port takes for an outer tag, as it stands in the frame; two of them may be the same.
struct tagging {
	uint32_t key; // of its frames without a tag
	uint16_t outer[2];
};

static inline struct tagging tagging_of(const struct port *port)
{
	const uint16_t vlan = be16(ETHERTYPE_VLAN), qinq = be16(ETHERTYPE_QINQ);
	return (struct tagging){.key = VLAN_KEY(port->index, 0, 0),
		.outer = {port->outer_tpid != PORT_TPID_88A8 ? vlan : qinq,
			port->outer_tpid != PORT_TPID_8100 ? qinq : vlan}};
}

// What stands behind the MACs of a frame: where the tags end and what they say, and the bytes that
// say it, to find the next frame equal to without reading it all over.
struct front {
	uint32_t key; // VLAN_KEY of the stack, MAP_NONE if the frame is cut short
	uint16_t l3;
	uint16_t ethertype; // as it stands in the frame
	uint64_t word;      // the first 8 bytes, as far as they are tags and ethertype; cut: no frame's
	uint64_t mask;
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FIRST_BYTES(n) (UINT64_MAX >> (64 - 8 * (n)))
#else
#define FIRST_BYTES(n) (UINT64_MAX << (64 - 8 * (n)))
#endif

static inline void read_front(const struct tagging *port, const struct rte_mbuf *m, struct front *f)
{
	const uint8_t *type = rte_pktmbuf_mtod_offset(m, const uint8_t *, 12);
	const unsigned length = m->nb_segs == 1 ? m->data_len : 0;
	unsigned l3 = 14;
	uint32_t key = port->key;
	uint64_t mask = FIRST_BYTES(2);
	bool cut = length < 14;
	if (load16(type) == port->outer[0] || load16(type) == port->outer[1]) {
		key |= (load_be16(type + 2) & 0xfffu) << 12;
		type += 4;
		l3 = 18;
		mask = FIRST_BYTES(6);
		cut = length < 18;
		if (load16(type) == be16(ETHERTYPE_VLAN)) {
			key |= load_be16(type + 2) & 0xfffu;
			type += 4;
			l3 = 22;
			mask = FIRST_BYTES(8);
			cut = cut || length < 22;
		}
	}
	f->key = unlikely(cut) ? MAP_NONE : key;
	f->l3 = (uint16_t)l3;
	f->ethertype = load16(type);
	f->mask = unlikely(cut) ? 0 : mask;
	f->word = unlikely(cut) ? 1 : load64(rte_pktmbuf_mtod_offset(m, const uint8_t *, 12)) & mask;
}

static inline bool same_front(const struct rte_mbuf *m, const struct front *f)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	return (load64(data + 12) & f->mask) == f->word &&
	       load16(data + f->l3 - 2) == f->ethertype && m->data_len >= 22 && m->nb_segs == 1;
}

static inline uint32_t find_interface(
	const struct map_array *vlans, const struct port *port, uint32_t key)
{
	uint32_t at = map_first(key);
	uint32_t slot = likely(key != MAP_NONE) ? map_next(vlans, key, &at) : MAP_NONE;
	return likely(slot != MAP_NONE) ? slot : port->unclassified;
}

// Cuts the burst into runs of equal fronts; front[r] is the one of run r, which begins with packet
// first[r].
static void find_runs(
	struct worker *w, const struct port *port, struct front *front, uint8_t *first)
{
	struct burst *b = &w->burst;
	const struct map_array *vlans = map_array(&w->tables->vlans);
	const struct interface *interface = w->tables->interface;
	const struct tagging tagging = tagging_of(port);
	const unsigned n = b->count;
	unsigned runs = 0;
	const struct front none = {.word = 1}, *last = &none;
	for (unsigned i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(b->mbuf[i], void *));
	for (unsigned i = 0; i < n; i++) {
		const struct rte_mbuf *m = b->mbuf[i];
		if (same_front(m, last))
			continue;
		read_front(&tagging, m, &front[runs]);
		last = &front[runs];
		uint32_t in = find_interface(vlans, port, last->key);
		rte_prefetch0(&interface[in]);
		rte_prefetch0(&w->hot[in]);
		b->run[runs].in = in;
		first[runs++] = (uint8_t)i;
	}
	first[runs] = (uint8_t)n;
	b->runs = runs;
}

// A MAC by the 48 bits of it in the first 8 bytes; what lies behind it is shifted out.
static inline uint64_t mac_word(const uint8_t *mac)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? load64(mac) << 16 : load64(mac) >> 16;
}

// The destination MAC is not ours: a group address that may be meant for us?
static bool is_group(const uint8_t *data, uint16_t type)
{
	if (load32(data) == UINT32_MAX && load16(data + 4) == UINT16_MAX)
		return true;
	return (type == ETHERTYPE_IPV6 && load16(data) == be16(0x3333)) ||
	       (type == ETHERTYPE_IPV4 && (load32(data) & be32(0xffffff00)) == be32(0x01005e00));
}

// What is not an IPv4 packet to our MAC with nothing wrong. False: it is settled.
static __rte_noinline bool take_odd(
	struct worker *w, const struct port *port, unsigned i, const struct front *f)
{
	const struct rte_mbuf *m = w->burst.mbuf[i];
	struct packet *p = &w->burst.packet[i];
	const struct interface *in = &w->tables->interface[p->in];
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint16_t type = be16(f->ethertype);
	const bool ip = type == ETHERTYPE_IPV4 || type == ETHERTYPE_IPV6;
	enum drop_reason bad = HEADER_OK;
	p->length = 0;
	if (mac_word(data) != mac_word(in->mac))
		p->flags |= PACKET_GROUP;
	if (p->in == port->unclassified)
		bad = f->key == MAP_NONE ? DROP_FRAME_TRUNCATED : DROP_VLAN_UNKNOWN;
	else if (!(in->flags & WIRE_INTERFACE_UP))
		bad = DROP_INTERFACE_DOWN;
	else if ((p->flags & PACKET_GROUP) && !is_group(data, type))
		bad = DROP_MAC_FOREIGN;
	else if (ip)
		bad = check_header(p, data + p->l3, m->data_len - p->l3, type == ETHERTYPE_IPV4);
	else if (type != ETHERTYPE_ARP)
		bad = DROP_ETHERTYPE;
	if (bad != HEADER_OK)
		burst_drop(w, i, bad);
	else if (!ip)
		burst_to_local(w, i, HOST_NEIGHBOR, 0);
	return bad == HEADER_OK && ip;
}

static inline void take_run(struct worker *w, const struct port *port, struct run *r,
	const struct front *f, unsigned first, unsigned end)
{
	struct burst *b = &w->burst;
	const struct interface *in = &w->tables->interface[r->in];
	const uint64_t mac = mac_word(in->mac);
	const uint32_t slot = r->in, vrf = in->vrf;
	const uint16_t l3 = f->l3;
	const uint8_t of = in->flags; // 0 of a port's unclassified one
	const bool core = of & WIRE_INTERFACE_CORE;
	const bool plain = (of & WIRE_INTERFACE_UP) && f->ethertype == be16(ETHERTYPE_IPV4);
	const uint8_t flags = of & WIRE_INTERFACE_SOURCE_CHECK ? PACKET_CHECK : 0;
	uint64_t bytes = 0;
	r->vrf = vrf;
	fib_prefetch4(w->roots4, vrf);
	limiter_prefetch(&w->parts[in->limiter_in]);
	r->mask = (uint32_t)((1ull << end) - (1ull << first));
	for (unsigned i = first; i < end; i++) {
		struct rte_mbuf *m = b->mbuf[i];
		struct packet *p = &b->packet[i];
		uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *), *ip = data + l3;
		// An mbuf has room for these 20 bytes whatever its length; ipv4_plain() looks at
		// it.
		unsigned length = ipv4_plain(ip, m->data_len - l3);
		p->ip = ip;
		p->in = slot;
		p->vrf = vrf;
		p->l3 = l3;
		p->flags = flags;
		if (likely(plain && length != 0 && mac_word(data) == mac)) {
			note_plain(p, ip, length);
		} else if (!take_odd(w, port, i, f)) {
			bytes += p->length;
			continue;
		} else {
			length = p->length;
		}
		bytes += length;
		burst_trim(m, l3 + length);
		if (core)
			b->gre |= (uint32_t)(p->protocol == PROTOCOL_GRE) << i;
	}
	count_rx(w, slot, end - first, bytes);
}

void stage_classify(struct worker *w, const struct port *port, unsigned n)
{
	struct burst *b = &w->burst;
	struct front front[BURST];
	uint8_t first[BURST + 1];
	burst_open(b);
	b->count = n;
	b->alive = (uint32_t)((1ull << n) - 1);
	find_runs(w, port, front, first);
	for (unsigned r = 0; r < b->runs; r++)
		take_run(w, port, &b->run[r], &front[r], first[r], first[r + 1]);
}
