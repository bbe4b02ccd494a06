/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_PORT_H
#define IO_PORT_H

// A port: something frames come from and go to. The stages see two functions and the fields below;
// io/ethdev.c puts a DPDK device behind them, io/packet.c and io/xdp.c a device of the kernel, the
// packet tests put two queues in memory behind them.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/wire/types.h"

struct port;
struct rte_mbuf;
struct rte_rcu_qsbr;

// How sure it is that a frame that looks untagged has no tag.
#define PORT_TAGS_SURE     0u
#define PORT_TAGS_SWITCHED 1u // as long as nobody switches the device back: no mixture of both
#define PORT_TAGS_HIDDEN   2u // not at all: no interface has a tag

#define PORT_MAX 32u // ports of one data plane

#define PORT_TPID_8100 0u // which outer TPID counts as a VLAN tag on this port
#define PORT_TPID_88A8 1u
#define PORT_TPID_ANY  2u

// What came and never reached classify, since the port was opened.
struct port_losses {
	uint64_t missed;    // device or kernel had no room for it, for none of the reasons below
	uint64_t no_ring;   // AF_XDP: the worker was behind
	uint64_t no_chunk;  // AF_XDP: so far that the kernel had no memory to put it
	uint64_t no_socket; // AF_XDP: ours, and nobody there to take it
	uint64_t large;     // `frame-large`
	uint64_t broken;    // `frame-truncated`
	uint64_t left;      // the kernel's, which was left it: not a loss
};

// What is behind a port; the main thread's side of it, unless something else is said.
struct port_kind {
	const char *name; // for people
	uint8_t number;   // WIRE_PORT_*
	// Periodically: link state, speed and MTU. 1 when one of them changed. A kernel device that was
	// deleted and made again is taken up here.
	int (*poll)(struct port *port);
	void (*losses)(struct port *port, struct port_losses *losses);
	// Worker `worker`, each turn: sends what workers without a transmit queue handed over to it,
	// and what was left behind. Returns frames. May be NULL.
	unsigned (*send_others)(struct port *port, unsigned worker);
	// What is the port's, where not everything is (NULL): an interface with this outer tag (0 =
	// none) came or went; an address of ours that an interface to the core has, of any domain.
	void (*own_tag)(struct port *port, uint16_t vid, bool core, int change);
	void (*own_address)(struct port *port, uint8_t family, const uint8_t *address, int change);
	const char *(*mtu_bound)(const struct port *port); // what bounds the MTU, for people
	void (*close)(struct port *port);                  // no worker runs any more
};

struct port {
	// Take up to `n` frames from / put `n` frames to a queue; return how many. What tx did not
	// take stays the caller's. Frames are whole, single-segment (nb_segs 1), from the
	// destination MAC on, without FCS, with VLAN tags in the frame (no stripping) and at least
	// RTE_PKTMBUF_HEADROOM in front. Neither blocks. Every worker uses its own tx queue. A
	// system call is made only where the kernel's device cannot do without: tx of io/packet.c, and
	// its rx for a packet of several segments, which is handed on as such.
	uint16_t (*rx)(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n);
	uint16_t (*tx)(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n);
	void *driver;
	const struct port_kind *kind; // NULL in tests

	uint16_t index; // as on the wire; set by dataplane_add_port()
	uint16_t rx_queues;
	uint16_t tx_queues;
	uint16_t mtu; // largest IP packet the port carries untagged: device, ring and buffers
	uint8_t mac[6];
	uint8_t outer_tpid; // PORT_TPID_*
	uint8_t tag_debt;   // bytes by which that is smaller with two tags, see port_mtu()
	uint8_t up;         // link; one aligned store by the main thread, read by workers
	uint8_t tags;       // PORT_TAGS_*
	uint8_t zero_copy;  // frames are not copied between device and us; for people
	uint8_t merges;     // may make one packet of fragments of different customers: carries none
	uint8_t fault;      // wire/port_fault.h
	// interface slot charged for frames of no interface; set by dataplane_add_port()
	uint32_t unclassified;
	uint32_t attached[2]; // interfaces without and with tags; main thread's
	// who may have in hand what the main thread takes away; set by dataplane_add_port()
	struct rte_rcu_qsbr *readers;
	uint32_t speed;            // Mb/s, 0 = unknown
	struct port_losses booked; // main thread: in the counters already
	char name[WIRE_NAME_MAX];
};

// The largest IP packet the port carries behind `vlans` tags.
static inline uint16_t port_mtu(const struct port *port, unsigned vlans)
{
	return wire_port_mtu(port->mtu, port->tag_debt, vlans);
}

#endif
