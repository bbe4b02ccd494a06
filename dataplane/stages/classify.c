// SPDX-License-Identifier: BSD-3-Clause

// Frames to packets: (port, VLAN stack) -> interface, and every header checked once.
//
// A frame belongs to an interface by its whole tag stack: none, one tag, or two. The outer tag's TPID is a matter of
// the port, the inner one's is 0x8100. VLAN 0 is a priority tag and counts as none (802.1Q 9.6). A frame of no
// interface is charged to the port's own `unclassified` one. From here on every packet has a valid IP header
// whose length lies within the frame; padding behind it is cut off, so that it is neither billed nor sent on.
// ARP goes to the host path from here.
//
// Three passes, so that the lines a pass needs are on their way while the one before it works: read the frame
// and find where the tags lead; fetch the interface; check and count.

#include "dataplane/stages/stages.h"

#include "dataplane/stages/ip.h"

#include <rte_prefetch.h>

#define AHEAD 6u // frames between the one read and the one fetched

static bool is_outer_tag(const struct port *port, uint16_t type)
{
	if (type == ETHERTYPE_VLAN)
		return port->outer_tpid != PORT_TPID_88A8;
	return type == ETHERTYPE_QINQ && port->outer_tpid != PORT_TPID_8100;
}

struct frame {
	uint32_t key; // VLAN_KEY of the stack, MAP_NONE if the frame is cut short
	uint16_t l3;
	uint16_t ethertype;
};

// Where the tags end, and what they say.
static inline struct frame read_frame(const struct port *port, const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	unsigned outer = 0, inner = 0, at = 12;
	struct frame none = {.key = MAP_NONE};
	if (m->data_len < 14 || m->nb_segs != 1)
		return none;
	uint16_t type = load_be16(data + 12);
	if (is_outer_tag(port, type)) {
		if (m->data_len < 18)
			return none;
		outer = load_be16(data + 14) & 0xfff;
		type = load_be16(data + 16);
		at = 16;
		if (type == ETHERTYPE_VLAN) {
			if (m->data_len < 22)
				return none;
			inner = load_be16(data + 18) & 0xfff;
			type = load_be16(data + 20);
			at = 20;
		}
	}
	return (struct frame){
		.key = VLAN_KEY(port->index, outer, inner),
		.l3 = (uint16_t)(at + 2),
		.ethertype = type,
	};
}

// The destination MAC: 0 ours, 1 a group address that may be meant for us, 2 none of our business.
static inline unsigned destination(const uint8_t *data, const struct interface *i, uint16_t type)
{
	if (load32(data) == load32(i->mac) && load16(data + 4) == load16(i->mac + 4))
		return 0;
	if (load32(data) == UINT32_MAX && load16(data + 4) == UINT16_MAX)
		return 1;
	if ((type == ETHERTYPE_IPV6 && load16(data) == be16(0x3333)) ||
		(type == ETHERTYPE_IPV4 && (load32(data) & be32(0xffffff00)) == be32(0x01005e00)))
		return 1;
	return 2;
}

// What every packet that goes on has: a VRF, flags, and no padding behind it.
static inline void accept(
	const struct interface *i, struct rte_mbuf *m, struct packet *p, unsigned l3, uint8_t group)
{
	uint8_t check = i->flags & WIRE_INTERFACE_SOURCE_CHECK ? PACKET_CHECK : 0;
	p->flags = check | group;
	p->vrf = i->vrf;
	burst_trim(m, l3 + p->length);
}

// The common case: an IPv4 packet to us, without options, with nothing wrong. False: check_frame() says what it is.
static inline bool plain_frame(
	const struct interface *i, struct rte_mbuf *m, struct packet *p, unsigned l3, uint16_t type)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *), *ip = data + l3;
	// Our MAC, by the low 48 bits of two words (what lies behind it in the interface is shifted out).
	bool ours = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
			    ? (load64(data) ^ load64(i->mac)) << 16 == 0
			    : memcmp(data, i->mac, 6) == 0;
	if (!ours || type != ETHERTYPE_IPV4 || !(i->flags & WIRE_INTERFACE_UP))
		return false;
	// An mbuf has room for these 20 bytes whatever its length; ipv4_plain() looks at the length.
	unsigned length = ipv4_plain(ip, m->data_len - l3);
	if (length == 0)
		return false;
	p->length = (uint16_t)length;
	p->family = 4;
	p->tos = ip[1];
	accept(i, m, p, l3, 0);
	return true;
}

static __rte_noinline enum drop_reason check_frame(
	const struct interface *i, struct rte_mbuf *m, struct packet *p, uint16_t type)
{
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
	const uint8_t *ip = data + p->l3;
	unsigned room = m->data_len - p->l3;
	enum drop_reason bad;
	unsigned to = destination(data, i, type);
	p->length = 0;
	if (!(i->flags & WIRE_INTERFACE_UP))
		return DROP_INTERFACE_DOWN;
	if (to == 2)
		return DROP_MAC_FOREIGN;
	if (type == ETHERTYPE_IPV4) {
		bad = ipv4_check(ip, room, &p->length);
		p->family = 4;
		p->tos = ip[1];
	} else if (type == ETHERTYPE_IPV6) {
		bad = ipv6_check(ip, room, &p->length);
		p->family = 6;
		p->tos = bad == HEADER_OK ? ipv6_class(ip) : 0;
	} else {
		return type == ETHERTYPE_ARP ? HEADER_OK : DROP_ETHERTYPE;
	}
	if (bad == HEADER_OK)
		accept(i, m, p, p->l3, to == 1 ? PACKET_GROUP : 0);
	return bad;
}

static __rte_noinline bool is_gre6(const uint8_t *ip, const struct packet *p)
{
	struct upper upper;
	ipv6_upper(ip, p->length, &upper);
	return upper.protocol == PROTOCOL_GRE;
}

static inline bool is_gre(const struct rte_mbuf *m, const struct packet *p)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l3);
	return p->family == 4 ? ip[9] == PROTOCOL_GRE : is_gre6(ip, p);
}

// Not the common case. Returns false if the packet is settled.
static __rte_noinline bool odd_frame(
	struct worker *w, const struct port *port, unsigned i, const struct frame *frame)
{
	struct packet *p = &w->burst.packet[i];
	enum drop_reason bad;
	p->length = 0;
	p->flags = 0;
	if (p->in == port->unclassified)
		bad = frame->key == MAP_NONE ? DROP_FRAME_TRUNCATED : DROP_VLAN_UNKNOWN;
	else
		bad = check_frame(
			&w->tables->interface[p->in], w->burst.mbuf[i], p, frame->ethertype);
	if (bad != HEADER_OK)
		burst_drop(w, i, bad);
	else if (frame->ethertype == ETHERTYPE_ARP)
		burst_to_local(w, i, HOST_NEIGHBOR, 0);
	return w->burst.alive >> i & 1;
}

static inline uint32_t find_interface(
	const struct map_array *vlans, const struct port *port, uint32_t key)
{
	uint32_t at = map_first(key);
	uint32_t slot = key == MAP_NONE ? MAP_NONE : map_next(vlans, key, &at);
	return slot == MAP_NONE ? port->unclassified : slot;
}

// What stands behind the MACs of a frame, to find the next one equal to without reading it all over: the first 8 bytes
// from the ethertype on, and which of them are tags and type. With two tags the type behind them is compared beside.
struct front {
	uint64_t word;
	uint64_t mask;
	struct frame frame;
};

static inline struct front read_front(const struct port *port, const struct rte_mbuf *m)
{
	static const uint8_t bits[16] = {
		255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0};
	struct front f = {.frame = read_frame(port, m)};
	if (f.frame.key == MAP_NONE)
		return f; // l3 is 0: nothing is equal to it
	f.word = load64(rte_pktmbuf_mtod_offset(m, const uint8_t *, 12));
	f.mask = load64(bits + (f.frame.l3 == 14 ? 6 : f.frame.l3 == 18 ? 2 : 0));
	return f;
}

static inline bool same_front(const struct rte_mbuf *m, const struct front *f)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	return ((load64(data + 12) ^ f->word) & f->mask) == 0 && f->frame.l3 != 0 &&
	       m->data_len >= 22 && m->nb_segs == 1 &&
	       (f->frame.l3 != 22 || load_be16(data + 20) == f->frame.ethertype);
}

static inline void fetch_ahead(const struct burst *b, unsigned i, unsigned n)
{
	if (i + AHEAD < n)
		rte_prefetch0(rte_pktmbuf_mtod(b->mbuf[i + AHEAD], void *));
}

static void find_interfaces(struct worker *w, const struct port *port, const struct frame *frame,
	uint32_t *slot, unsigned from, unsigned n)
{
	const struct interface *interface = w->tables->interface;
	const struct map_array *vlans = map_array(&w->tables->vlans);
	uint32_t last = MAP_NONE;
	for (unsigned i = from; i < n; i++) {
		if (i == from || frame[i].key != frame[i - 1].key) {
			last = find_interface(vlans, port, frame[i].key);
			rte_prefetch0(&interface[last]);
			rte_prefetch0(&w->hot[last]);
		}
		slot[i] = last;
	}
}

// Any frames, from the given one on.
static void classify_each(struct worker *w, const struct port *port, unsigned from, unsigned n)
{
	struct burst *b = &w->burst;
	const struct interface *interface = w->tables->interface;
	const struct map_array *vlans = map_array(&w->tables->vlans);
	struct frame frame[BURST];
	uint32_t slot[BURST], gre = 0;
	struct rx_count count = {.interface = port->unclassified};
	struct front last = {0};

	for (unsigned i = from; i < n; i++) {
		fetch_ahead(b, i, n);
		if (!same_front(b->mbuf[i], &last)) {
			last = read_front(port, b->mbuf[i]);
			rte_prefetch0(map_home(vlans, last.frame.key));
		}
		frame[i] = last.frame;
	}
	find_interfaces(w, port, frame, slot, from, n);
	for (unsigned i = from; i < n; i++) {
		struct packet *p = &b->packet[i];
		const struct interface *in = &interface[slot[i]];
		p->in = slot[i];
		p->l3 = frame[i].l3;
		bool on = plain_frame(in, b->mbuf[i], p, frame[i].l3, frame[i].ethertype) ||
			  odd_frame(w, port, i, &frame[i]);
		rx_count_add(w, &count, p->in, p->length);
		if (on && (in->flags & WIRE_INTERFACE_CORE))
			gre |= (uint32_t)is_gre(b->mbuf[i], p) << i;
	}
	b->gre |= gre;
	rx_count_flush(w, &count);
}

// The frames in front that are of one interface, if they are two at least; at a core port or under load that is mostly the
// whole burst. Returns their number.
static unsigned classify_run(struct worker *w, const struct port *port, unsigned n)
{
	struct burst *b = &w->burst;
	const struct map_array *vlans = map_array(&w->tables->vlans);
	const struct front first = read_front(port, b->mbuf[0]);
	if (n < 2 || !same_front(b->mbuf[1], &first))
		return 0;
	uint32_t slot = find_interface(vlans, port, first.frame.key), gre = 0;
	const struct interface *in = &w->tables->interface[slot];
	bool core = in->flags & WIRE_INTERFACE_CORE;
	uint64_t bytes = 0;
	unsigned i;
	for (i = 0; i < n && same_front(b->mbuf[i], &first); i++) {
		struct packet *p = &b->packet[i];
		fetch_ahead(b, i, n);
		p->in = slot;
		p->l3 = first.frame.l3;
		bool on = plain_frame(in, b->mbuf[i], p, first.frame.l3, first.frame.ethertype) ||
			  odd_frame(w, port, i, &first.frame);
		bytes += p->length;
		if (core && on)
			gre |= (uint32_t)is_gre(b->mbuf[i], p) << i;
	}
	b->gre = gre;
	w->hot[slot].rx_packets += i;
	w->hot[slot].rx_bytes += bytes;
	return i;
}

void stage_classify(struct worker *w, const struct port *port, unsigned n)
{
	struct burst *b = &w->burst;
	b->count = n;
	b->alive = (uint32_t)((1ull << n) - 1);
	b->gre = 0;
	for (unsigned i = 0; i < AHEAD && i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(b->mbuf[i], void *));
	unsigned done = classify_run(w, port, n);
	if (done < n)
		classify_each(w, port, done, n);
}
