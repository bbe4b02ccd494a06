/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STAGES_STAGES_H
#define STAGES_STAGES_H

// The stages; pipeline.c says in which order, and what enters where. Each takes the worker's burst,
// looks at the living packets, and leaves fewer of them alive. No stage allocates (fragments
// excepted), logs, locks, calls the system or divides, and none calls another one.

#include "dataplane/io/host.h"
#include "dataplane/stages/ip.h"
#include "dataplane/wire/drop.h"
#include "dataplane/worker.h"

#include <assert.h>

void stage_classify(struct worker *w, const struct port *port, unsigned n);
bool stage_decap(
	struct worker *w); // if burst.gre is not 0; false: burst_cut() has to find the runs
void stage_lookup(struct worker *w);
void stage_local(struct worker *w);
void stage_guard(struct worker *w);
void stage_police(struct worker *w);
void stage_output(struct worker *w);
void stage_tx(struct worker *w);
void stage_drop(struct worker *w);

// The ways in beside a port: each makes a burst of its own. What a shaper held back and may leave
// now, for lookup; other timers that are due are run. Returns how many it took out, dropped ones
// too; 0 = none is due.
unsigned burst_of_parked(struct worker *w);
// Holds a living packet back until `departure` (units), or drops it `shape-full`.
void burst_park(struct worker *w, unsigned i, uint64_t departure);
// Of what the host path wants sent: ICMP errors, for lookup. / The kernel's packets for tunnels,
// for output; its frames go straight to the ports' lists.
void burst_of_errors(struct worker *w, const struct host_entry *entry, unsigned n);
void burst_of_host(struct worker *w, const struct host_entry *entry, unsigned n);

// Shared by the stages.

static inline void burst_open(struct burst *b)
{
	b->count = 0;
	b->runs = 0;
	b->alive = 0;
	b->gre = 0;
	b->traced = 0;
}

static inline void bury(struct worker *w, struct rte_mbuf *m)
{
	assert(w->dead_count < DEAD_ROOM);
	w->dead[w->dead_count++] = m;
}

// Ends a packet: one reason, charged to the interface it came in on.
static inline void burst_drop(struct worker *w, unsigned i, enum drop_reason reason)
{
	struct burst *b = &w->burst;
	w->sparse[b->packet[i].in].drops[reason]++;
	b->packet[i].pending = (uint8_t)reason;
	b->alive &= ~(1u << i);
	bury(w, b->mbuf[i]);
}

// Who is charged for what was parked when interface `slot` was another one: the slot, as long as it
// counts for the same object, else slot 0.
static inline uint32_t heir(const struct worker *w, uint32_t slot, uint32_t tenure)
{
	return w->tables->interface[slot].tenure == tenure ? slot : 0;
}

// Packet i, behind all others, is one of the last run or begins another one.
static inline void burst_run(struct burst *b, unsigned i, uint32_t in, uint32_t vrf)
{
	if (b->runs == 0 || b->run[b->runs - 1].in != in)
		b->run[b->runs++] = (struct run){.in = in, .vrf = vrf};
	b->run[b->runs - 1].mask |= 1u << i;
}

// Closes the gaps, the order of packets stays, and cuts the runs anew.
void burst_cut(struct burst *b);

// For us: local has it from here, `reason` and `info` as in io/host.h.
static inline void burst_to_local(struct worker *w, unsigned i, unsigned reason, uint32_t info)
{
	struct burst *b = &w->burst;
	struct local_list *l = &w->local;
	l->mbuf[l->count] = b->mbuf[i];
	l->packet[l->count] = b->packet[i];
	l->info[l->count] = info;
	l->reason[l->count++] = (uint8_t)reason;
	b->alive &= ~(1u << i);
}

// Drops a packet and offers it to the host path as material for an ICMP error. If its way out is
// known, p->out says so; with HOST_NO_ROUTE it is not.
void burst_drop_icmp(
	struct worker *w, unsigned i, enum drop_reason drop, unsigned reason, uint32_t info);

// What enters at output: finds the way of a packet into the tunnel p->out. False: it is closed, or
// too narrow.
bool enter_behind_lookup(struct worker *w, unsigned i);

// The path of a block for this flow, 0 when all are down.
uint32_t block_select(const struct tables *t, uint32_t block, const struct packet *p);

// Over addresses, protocol and ports of the (inner) packet.
uint32_t flow_hash(const struct packet *p);

// Sends what is in hand for one port. / The fragments in hand.
void tx_flush_port(struct worker *w, unsigned port);
void tx_flush_fragments(struct worker *w);

// A frame of which `bytes` at its end are an IP packet.
static inline void tx_add(
	struct worker *w, uint16_t port, struct rte_mbuf *m, uint32_t interface, uint16_t bytes)
{
	struct tx_list *list = &w->tx[port];
	if (list->count == TX_ROOM)
		tx_flush_port(w, port);
	list->mbuf[list->count++] = m;
	list->share[list->shares++] = (struct tx_share){.interface = interface,
		.port = port,
		.front = (uint16_t)(m->pkt_len - bytes),
		.packets = 1,
		.bytes = bytes};
	w->tx_ports |= 1ull << port;
}

// What lies behind the packet is padding, or an outer packet's: it is cut off, so that nobody bills
// or sends it.
static inline void burst_trim(struct rte_mbuf *m, unsigned bytes)
{
	if (m->data_len == bytes)
		return;
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
}

static inline void count_rx(struct worker *w, uint32_t interface, unsigned packets, uint64_t bytes)
{
	struct stats_interface *hot = &w->hot[interface];
	hot->rx_packets += packets;
	hot->rx_bytes += bytes;
}

// What a header says that ipv4_plain() finds nothing wrong with.
static inline void note_plain(struct packet *p, const uint8_t *ip, unsigned length)
{
	p->length = (uint16_t)length;
	p->family = 4;
	p->tos = ip[1];
	p->protocol = ip[9];
	p->l4 = 20;
}

// What stands behind an IPv4 header that was checked.
static inline void note_l4(struct packet *p, const uint8_t *ip)
{
	uint16_t field = load16(ip + 6);
	p->protocol = ip[9];
	p->l4 = (field & be16(0x1fff)) == 0 ? (ip[0] & 15u) * 4 : 0;
	if ((field & be16(0x3fff)) != 0)
		p->flags |= PACKET_PART;
}

// Checks the IP header at `ip`, of which `room` bytes are there (20 may be read whatever they are),
// and notes what it and what is behind it says. HEADER_OK, or the reason to drop it.
static inline enum drop_reason check_header(
	struct packet *p, const uint8_t *ip, unsigned room, bool ipv4)
{
	p->length = 0;
	p->family = ipv4 ? 4 : 6;
	enum drop_reason bad =
		ipv4 ? ipv4_check(ip, room, &p->length) : ipv6_check(ip, room, &p->length);
	p->tos = ipv4 ? ip[1] : bad == HEADER_OK ? ipv6_class(ip) : 0;
	if (bad != HEADER_OK)
		return bad;
	if (ipv4) {
		note_l4(p, ip);
		return HEADER_OK;
	}
	struct upper upper;
	bool seen = ipv6_upper(ip, p->length, &upper) == HEADER_OK && !upper.fragment;
	p->protocol = upper.protocol;
	p->l4 = seen ? (uint8_t)upper.at : 0;
	p->flags |= upper.fragment ? PACKET_PART : 0;
	return HEADER_OK;
}

static inline bool path_usable(const struct tables *t, uint32_t path)
{
	const struct path_state *state = &t->path_state[path];
	return __atomic_load_n(&state->up, __ATOMIC_RELAXED) &
	       __atomic_load_n(&state->live, __ATOMIC_RELAXED);
}

// i: 64 bits, as what it is an index into wants it.
#define FOR_EACH(i, mask)                                                                         \
	for (uint64_t rest_##i = (uint32_t)(mask), i;                                             \
		rest_##i != 0 && (i = (uint64_t)__builtin_ctzll(rest_##i), 1);                    \
		rest_##i &= rest_##i - 1)

#endif
