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
// looked at once for all of them. Three passes, so that the lines a pass needs are on their way
// while the one before it works: read the frames and cut the runs; find their interfaces; check and
// count.

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

// What stands behind the MACs of a frame, to find the next one equal to without reading it all
// over: the 8 bytes from the ethertype on as far as they are tags and type, and with two tags the 8
// bytes that end with the type.
struct front {
	uint64_t word[2];
	uint64_t mask[2];
};

static inline void read_front(
	const struct rte_mbuf *m, const struct frame *frame, struct front *front)
{
	static const uint8_t bits[16] = {
		255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0};
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	if (unlikely(frame->key == MAP_NONE)) {
		*front = (struct front){.word = {1}}; // nothing is equal to it
		return;
	}
	front->mask[0] = load64(bits + (frame->l3 == 14 ? 6 : frame->l3 == 18 ? 2 : 0));
	front->mask[1] = frame->l3 == 22 ? UINT64_MAX : 0;
	front->word[0] = load64(data + 12) & front->mask[0];
	front->word[1] = load64(data + 14) & front->mask[1];
}

static inline bool same_front(const struct rte_mbuf *m, const struct front *f)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	return (((load64(data + 12) & f->mask[0]) ^ f->word[0]) |
		       ((load64(data + 14) & f->mask[1]) ^ f->word[1])) == 0 &&
	       m->data_len >= 22 && m->nb_segs == 1;
}

// Cuts the burst into runs of equal fronts; frame[r] is the one of run r.
static void find_runs(struct worker *w, const struct port *port, struct frame *frame)
{
	struct burst *b = &w->burst;
	const struct map_array *vlans = map_array(&w->tables->vlans);
	struct front last = {.word = {1}};
	unsigned runs = 0, n = b->count;
	for (unsigned i = 0; i < AHEAD && i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(b->mbuf[i], void *));
	for (unsigned i = 0; i < n; i++) {
		if (i + AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(b->mbuf[i + AHEAD], void *));
		if (same_front(b->mbuf[i], &last))
			continue;
		frame[runs] = read_frame(port, b->mbuf[i]);
		rte_prefetch0(map_home(vlans, frame[runs].key));
		read_front(b->mbuf[i], &frame[runs], &last);
		b->run[runs++].mask = -(1u << i);
	}
	for (unsigned r = 0; r + 1 < runs; r++)
		b->run[r].mask &= ~b->run[r + 1].mask;
	b->run[runs - 1].mask &= (uint32_t)((1ull << n) - 1);
	b->runs = runs;
}

static void find_interfaces(struct worker *w, const struct port *port, const struct frame *frame)
{
	struct burst *b = &w->burst;
	const struct map_array *vlans = map_array(&w->tables->vlans);
	for (unsigned r = 0; r < b->runs; r++) {
		uint32_t key = frame[r].key, at = map_first(key);
		uint32_t slot = key == MAP_NONE ? MAP_NONE : map_next(vlans, key, &at);
		b->run[r].in = slot == MAP_NONE ? port->unclassified : slot;
		rte_prefetch0(&w->tables->interface[b->run[r].in]);
		rte_prefetch0(&w->hot[b->run[r].in]);
	}
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
	struct worker *w, const struct port *port, unsigned i, const struct frame *f)
{
	const struct rte_mbuf *m = w->burst.mbuf[i];
	struct packet *p = &w->burst.packet[i];
	const struct interface *in = &w->tables->interface[p->in];
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint16_t type = f->ethertype;
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

static inline void take_run(
	struct worker *w, const struct port *port, struct run *r, const struct frame *f)
{
	struct burst *b = &w->burst;
	const struct interface *in = &w->tables->interface[r->in];
	const uint64_t mac = mac_word(in->mac);
	const uint32_t slot = r->in, vrf = in->vrf;
	const uint16_t l3 = f->l3;
	const uint8_t of = in->flags; // 0 of a port's unclassified one
	const bool core = of & WIRE_INTERFACE_CORE;
	const bool plain = (of & WIRE_INTERFACE_UP) && f->ethertype == ETHERTYPE_IPV4;
	const uint8_t flags = of & WIRE_INTERFACE_SOURCE_CHECK ? PACKET_CHECK : 0;
	uint64_t bytes = 0;
	uint32_t gre = 0;
	r->vrf = vrf;
	FOR_EACH (i, r->mask) {
		struct rte_mbuf *m = b->mbuf[i];
		struct packet *p = &b->packet[i];
		const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *), *ip = data + l3;
		// An mbuf has room for these 20 bytes whatever its length; ipv4_plain() looks at
		// it.
		unsigned length = ipv4_plain(ip, m->data_len - l3);
		p->in = slot;
		p->vrf = vrf;
		p->l3 = l3;
		p->flags = flags;
		if (likely(plain && length != 0 && mac_word(data) == mac)) {
			p->length = (uint16_t)length;
			p->family = 4;
			p->tos = ip[1];
			note_l4(p, ip, 20);
		} else if (!take_odd(w, port, i, f)) {
			bytes += p->length;
			continue;
		} else {
			length = p->length;
		}
		bytes += length;
		burst_trim(m, l3 + length);
		if (core)
			gre |= (uint32_t)(p->protocol == PROTOCOL_GRE) << i;
	}
	b->gre |= gre;
	count_rx(w, slot, (unsigned)__builtin_popcount(r->mask), bytes);
}

void stage_classify(struct worker *w, const struct port *port, unsigned n)
{
	struct burst *b = &w->burst;
	struct frame frame[BURST];
	burst_open(b);
	b->count = n;
	b->alive = (uint32_t)((1ull << n) - 1);
	find_runs(w, port, frame);
	find_interfaces(w, port, frame);
	for (unsigned r = 0; r < b->runs; r++)
		take_run(w, port, &b->run[r], &frame[r]);
}
