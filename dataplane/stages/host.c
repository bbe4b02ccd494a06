// SPDX-License-Identifier: BSD-3-Clause

// What the host path wants sent. Frames of the kernel for an Ethernet interface are complete and
// leave as they are; packets of the kernel for a tunnel enter at output; ICMP errors enter at
// lookup in the VRF of the interface whose packet caused them. None is checked or limited. An
// interface that was deleted or became another one meanwhile has another generation: what was meant
// for it is dropped.

#include "dataplane/stages/stages.h"

#include "dataplane/stages/ip.h"

static void tx_drop(struct worker *w, const struct host_entry *e)
{
	w->sparse[e->slot].tx_drops[TX_DROP_DOWN]++;
	bury(w, e->mbuf);
}

static void send_frame(struct worker *w, const struct host_entry *e)
{
	const struct interface *i = &w->tables->interface[e->slot];
	struct rte_mbuf *m = e->mbuf;
	if (i->kind != WIRE_INTERFACE_ETHERNET || m->data_len < i->l2_bytes ||
		m->data_len - i->l2_bytes > i->mtu || !(i->flags & WIRE_INTERFACE_UP)) {
		tx_drop(w, e);
		return;
	}
	uint16_t type = load_be16(rte_pktmbuf_mtod_offset(m, const uint8_t *, i->l2_bytes - 2));
	bool ip = type == ETHERTYPE_IPV4 || type == ETHERTYPE_IPV6;
	tx_add(w, i->port, m, e->slot, ip ? m->data_len - i->l2_bytes : 0);
}

// A packet that starts with its IP header. False: it is not one.
static bool as_packet(const struct host_entry *e, struct packet *p)
{
	struct rte_mbuf *m = e->mbuf;
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *);
	*p = (struct packet){.ip = ip, .in = e->slot, .out = e->slot};
	if (m->nb_segs != 1 || m->data_len < 20)
		return false;
	if (check_header(p, ip, m->data_len, ip[0] >> 4 == 4) != HEADER_OK)
		return false;
	m->data_len = p->length;
	m->pkt_len = m->data_len;
	return true;
}

static bool enter_tunnel(struct worker *w, const struct host_entry *e, unsigned at)
{
	struct burst *b = &w->burst;
	const struct interface *i = &w->tables->interface[e->slot];
	b->mbuf[at] = e->mbuf;
	if (i->kind != WIRE_INTERFACE_GRE || !as_packet(e, &b->packet[at]))
		return false;
	b->packet[at].flags |= PACKET_HOST | PACKET_FREE;
	return enter_behind_lookup(w, at);
}

static bool enter_lookup(struct worker *w, const struct host_entry *e, struct packet *p)
{
	p->flags = 0;
	if (!as_packet(e, p))
		return false;
	p->vrf = w->tables->interface[e->slot].vrf;
	p->flags |= PACKET_FREE;
	return true;
}

static bool is_stale(struct worker *w, const struct host_entry *e)
{
	if (likely(w->tables->interface[e->slot].generation == e->generation))
		return false;
	uint32_t slot = heir(w, e->slot, e->tenure);
	if (e->kind == HOST_ENTER_LOOKUP)
		w->sparse[slot].drops[DROP_STALE]++;
	else
		w->sparse[slot].tx_drops[TX_DROP_DOWN]++;
	bury(w, e->mbuf);
	return true;
}

void burst_of_errors(struct worker *w, const struct host_entry *entry, unsigned n)
{
	struct burst *b = &w->burst;
	burst_open(b);
	for (unsigned i = 0; i < n; i++) {
		const struct host_entry *e = &entry[i];
		unsigned at = b->count;
		if (e->kind != HOST_ENTER_LOOKUP || is_stale(w, e))
			continue;
		b->mbuf[at] = e->mbuf;
		if (!enter_lookup(w, e, &b->packet[at])) {
			burst_drop(w, at, DROP_HOST_FRAME);
			continue;
		}
		b->count++;
		b->alive |= 1u << at;
		burst_run(b, at, e->slot, b->packet[at].vrf);
	}
}

void burst_of_host(struct worker *w, const struct host_entry *entry, unsigned n)
{
	struct burst *b = &w->burst;
	burst_open(b);
	w->hops = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct host_entry *e = &entry[i];
		if (e->kind == HOST_ENTER_LOOKUP || is_stale(w, e))
			continue;
		if (e->kind == HOST_ENTER_PORT)
			send_frame(w, e);
		else if (!enter_tunnel(w, e, b->count))
			tx_drop(w, e);
		else
			b->count++; // of no run: it came in nowhere
	}
	b->alive = (uint32_t)((1ull << b->count) - 1);
}
