/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WORKER_H
#define WORKER_H

// A worker and what it has in hand: one burst of packets and the lists that leave at the end of a
// turn. All of it is the worker's own; tables are read, counters are written in its own lines of
// the stats segment.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dataplane.h"
#include "dataplane/io/port.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/tables.h"
#include "dataplane/wire/stats.h"

#include <rte_config.h>
#include <rte_mbuf.h>
#include <rte_ring_elem.h>

#define BURST         32u
#define TX_ROOM       64u  // a burst, and what the host path adds before it is flushed
#define FRAGMENT_ROOM 128u // fragments in hand at most, before they are sent
#define WORKER_QUEUES 64u
#define WORKER_TIMERS 4096u // places of the wheel beside those of packets
#define WORKER_EVENTS 1024u // a power of two

// Who goes to the dead between two bulk frees is a packet of the burst, once, or was taken out of
// the wheel or the host path's ring instead of coming into the burst: at most BURST of each.
#define DEAD_ROOM (2 * BURST)

// What the stages know of a packet. 32 bytes: two to a cache line.
struct packet {
	uint8_t *ip;      // its IP header in the mbuf
	uint32_t in;      // interface slot it came in on and is charged to
	uint32_t out;     // interface slot it leaves by
	uint32_t vrf;     // VRF slot it is looked up in
	uint8_t hop;      // place of its way out in worker->hop
	uint8_t core;     // likewise, of what a tunnel leaves by; else the same
	uint8_t protocol; // behind all extension headers
	uint8_t l4; // bytes from the IP header to it; 0 = not here: a later fragment, or out of
		    // sight
	uint16_t length; // of the IP packet
	uint16_t l3;     // offset of the IP header from the start of the data
	uint8_t family;  // 4 or 6
	uint8_t tos;     // or traffic class
	uint8_t flags;   // PACKET_*
	uint8_t pending; // with PACKET_PENDING: enum drop_reason if the packet turns out to be for
			 // us; dropped: why
};
_Static_assert(sizeof(struct packet) == 32, "packet");

#define PACKET_CHECK    (1u << 0) // the in-interface wants the source checked
#define PACKET_FRAGMENT (1u << 1) // too large for the way out and may be fragmented
#define PACKET_GROUP    (1u << 2) // came in a broadcast or multicast frame: never forwarded
#define PACKET_PENDING  (1u << 3) // GRE that no tunnel takes: transit, or an error if it is for us
#define PACKET_FREE     (1u << 4) // an ICMP error of ours: neither checked nor limited, TTL as it is
#define PACKET_HOST     (1u << 5) // from the host: charged as tx only
#define PACKET_PART     (1u << 6) // a fragment of a datagram, the first one too

// Neighbors in the burst that came in by one interface. A stage goes through the runs, takes what a
// run shares once, and then through its packets; a mixed burst is 32 runs of one packet each.
struct run {
	uint32_t in;   // interface slot
	uint32_t vrf;  // VRF slot
	uint32_t mask; // bit i: packet i is of this run, living or dead
};

struct burst {
	uint32_t alive;  // bit i: packet i goes on
	uint32_t gre;    // bit i: GRE on a core interface, for decap
	bool sources;    // by lookup for guard: the FIB was asked for the sources, too
	unsigned count;  // packets, living and dead
	uint32_t traced; // bit i: what becomes of packet i is told, see struct worker
	unsigned runs;
	struct run run[BURST]; // found by classify, cut anew by decap
	struct rte_mbuf *mbuf[BURST];
	struct packet packet[BURST] __attribute__((aligned(64)));
};

// A bulk lookup: destinations, then sources. In the end result[i] is the FIB's answer for packet i
// of the burst, and result[burst.count + i] the one for its source, with burst.sources.
struct lookup_keys {
	uint32_t vrf[2 * BURST];
	uint32_t addr4[2 * BURST];
	const uint8_t *addr6[2 * BURST];
	uint32_t result[2 * BURST];
};

// Frames next to each other in a list that leave by one port, and who is charged for them.
struct tx_share {
	uint32_t interface;
	uint32_t account; // 0 = none
	uint16_t port;
	uint16_t front; // bytes of a frame that are not its IP packet's
	uint32_t packets;
	uint64_t bytes; // of the IP packets
};

struct tx_list {
	unsigned count;
	unsigned shares;
	struct rte_mbuf *mbuf[TX_ROOM];
	struct tx_share share[TX_ROOM];
};

struct fragment_list {
	unsigned count;
	unsigned shares;
	struct rte_mbuf *mbuf[FRAGMENT_ROOM];
	struct tx_share share[FRAGMENT_ROOM / 2]; // a packet's, of two fragments at least
};

// What a worker does later, from its timing wheel: send on a packet that a shaper holds back, or
// whatever else has to happen at a time. It keeps (slot, generation) of what it is about, and
// whoever takes it out compares.
enum timer_kind { TIMER_PACKET, TIMER_OTHER, TIMER_KINDS };

struct timer {
	uint64_t due; // units
	uint32_t slot;
	uint32_t generation;
	uint32_t kind; // enum timer_kind
	uint32_t tenure;
	// TIMER_PACKET
	struct rte_mbuf *mbuf;
	struct packet packet;
};

// What a worker tells the main thread; see worker_tell().
enum worker_event_kind {
	EVENT_NEEDED, // neighbor `slot` has no MAC, and packets want one
	EVENT_KINDS
};

struct worker_event {
	uint32_t kind; // enum worker_event_kind
	uint32_t slot;
	uint64_t value;
};

// Packets for us, on their way from classify and lookup to local.
struct local_list {
	unsigned count;
	struct rte_mbuf *mbuf[BURST];
	struct packet packet[BURST];
	uint32_t info[BURST]; // as in struct host_item
	uint8_t reason[BURST];
};

struct rx_queue {
	struct port *port;
	uint16_t queue;
};

enum tx_drop { TX_DROP_FULL, TX_DROP_DOWN, TX_DROP_NO_BUFFER, TX_DROP_RESTART };

struct wheel;
struct worker;

enum trace_stage {
	TRACE_CLASSIFY,
	TRACE_DECAP,
	TRACE_LOOKUP,
	TRACE_GUARD,
	TRACE_POLICE,
	TRACE_OUTPUT,
};

struct trace {
	uint32_t (*pick)(struct worker *w);
	void (*stage)(struct worker *w, enum trace_stage stage);
};

struct worker {
	uint64_t now; // TSC ticks, set once per turn
	const struct tables *tables;
	const struct fib *fib;
	const void *roots4;               // of the FIB, for fib_prefetch4()
	struct stats_interface *hot;      // by interface slot
	struct stats_sparse *sparse;      // by interface slot
	struct stats_limiter_word *words; // by limiter slot, shared
	struct stats_limiter_part *parts; // by limiter slot
	struct stats_account *accounts;   // by account slot
	struct port *const *port;
	struct host_queue *host;
	struct rte_mempool *pool;
	uint16_t ip_id; // of outer headers and nothing else
	uint16_t index;
	struct rte_rcu_qsbr *qsbr;

	struct burst burst;
	struct lookup_keys keys; // of lookup
	unsigned hops;           // of lookup, for all behind it: ways out of this burst, copied
	uint32_t limited_out;    // likewise, not 0: one of them has a limiter
	struct entry hop[2 * BURST];
	struct local_list local;
	struct wheel *wheel; // of struct timer
	uint32_t parked;     // packets in it ...
	uint32_t parked_max; // ... and at most; the other places are for other timers
	void (*expired[TIMER_KINDS])(struct worker *w, const struct timer *timer);
	struct rte_ring *events; // to the main thread: struct worker_event
	uint64_t events_lost;
	uint64_t departure[BURST]; // likewise, units
	uint32_t queued;           // likewise, packets that must not overtake a parked one

	// To follow packets: with it set, `pick` says after classify which ones of a burst, and
	// `stage` is called for a burst that has some after each stage, before the dead are freed.
	// A packet that has just left the living either ended, and packet.pending is its enum
	// drop_reason, or went to local, the wheel or a port. It is seen until the burst is cut.
	const struct trace *trace;

	uint64_t tx_ports;   // bit p: tx[p] has something
	unsigned dead_count; // packets to be freed at the end
	struct rte_mbuf *dead[DEAD_ROOM];
	struct tx_list tx[PORT_MAX];
	struct fragment_list fragments;
	uint16_t tx_queue[PORT_MAX];

	unsigned rx_count;
	struct rx_queue rx[WORKER_QUEUES];
	struct dataplane *dp;
};

// Worker: tells the main thread something, which dataplane_events() takes out. Never blocks; false:
// it has not listened for long, and the event is lost (and counted).
static inline bool worker_tell(struct worker *w, uint32_t kind, uint32_t slot, uint64_t value)
{
	struct worker_event e = {.kind = kind, .slot = slot, .value = value};
	if (rte_ring_sp_enqueue_elem(w->events, &e, sizeof(e)) == 0)
		return true;
	w->events_lost++;
	return false;
}

// Worker: w->expired[kind] is called with a copy of `timer` in the first turn after timer->due
// (units), up to a slot of the wheel early. However far ahead: it is looked at once a turn of the
// wheel. False: no place.
bool timer_set(struct worker *w, const struct timer *timer);

#endif
