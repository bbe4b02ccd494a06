/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_HOST_H
#define IO_HOST_H

// The host path: packets to us go to the kernel through TAP or TUN descriptors, what the kernel
// sends comes back, and ICMP errors are built. One thread, or in packet tests host_turn() called
// in-process.
//
// Each worker has one struct host_queue: SPSC rings to the host thread (one per class, so that a
// flood of one class starves no other) and one back. Counting:
//  - host_punt() with HOST_LOCAL or HOST_NEIGHBOR: on success the host side counts the packet
//    (to_host, or its drop). When host_punt() returns a drop reason, the worker counts that and
//    frees.
//  - host_punt() with an ICMP reason: the worker has counted the drop (ttl, mtu, no-route ...)
//    already and the packet is material only; the return value is not counted, a packet not taken
//    is freed by the worker. The host side counts `generated`, and `icmp-limited` if it does not
//    send.
//  - from the host: HOST_ENTER_LOOKUP is counted `generated` before it is handed over, the worker
//    counts what becomes of it on `slot` (forwarded or a drop) but not rx. HOST_ENTER_PORT and
//    HOST_ENTER_TUNNEL are counted `from_host` on `slot`; the worker counts tx or tx_drops on
//    `slot`.
//  - a (slot, generation) that no longer matches when taken out: free; an rx'd packet counts drop
//    `stale`, a from_host one tx_drops. On the slot itself as long as it counts for the same object
//    (its tenure is the same: it was changed), on slot 0, where a gone interface's counts go, when
//    it was deleted.

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

struct dataplane;
struct host;
struct host_queue;

enum host_reason {
	HOST_LOCAL,       // for us: to the TAP or TUN of the interface
	HOST_NEIGHBOR,    // ARP or ND: to the TAP
	HOST_TTL,         // ICMP time exceeded, code 0
	HOST_TOO_BIG,     // ICMP fragmentation needed or ICMPv6 packet too big, `info` = MTU
	HOST_NO_ROUTE,    // ICMP net unreachable (RFC 1812: code 0); ICMPv6 code 0
	HOST_UNREACHABLE, // ICMP host unreachable (code 1); ICMPv6 address unreachable (code 3)
	HOST_PROHIBITED,  // ICMP administratively prohibited (code 13); ICMPv6 code 1
};

// To the host. The mbuf's data starts at the Ethernet header for Ethernet interfaces (any tags
// still there), at the inner IP header or before for tunnels.
struct host_item {
	struct rte_mbuf *mbuf;
	uint32_t slot; // interface the packet came in on
	uint32_t generation;
	uint32_t tenure;
	// HOST_TOO_BIG: MTU. HOST_LOCAL: slot of the interface whose queue gets it, 0 = `slot`.
	uint32_t info;
	uint32_t info_generation; // HOST_LOCAL: of the interface `info`
	// ICMP: the interface the packet would have left by, if that was known; 0 = it was not.
	uint32_t out;
	uint32_t out_generation;
	uint16_t l3;      // offset of the IP or ARP header in the data
	uint8_t protocol; // HOST_LOCAL: as in struct packet, ...
	uint8_t l4;       // ... bytes from the IP header to it, 0 = out of sight
	uint8_t reason;   // enum host_reason
	uint8_t class;    // filled in by host_punt
	uint8_t part;     // of a datagram of several
	uint8_t core;     // came in by a core interface
};

enum host_entry_kind {
	// ICMP error: data = IP packet; looked up in the VRF of interface `slot`, past guard and
	// limiters
	HOST_ENTER_LOOKUP,
	// complete Ethernet frame, tags pushed: leaves by the port of interface `slot`
	HOST_ENTER_PORT,
	// IP packet from a TUN: enters at output with interface `slot` (GRE) as the way out
	HOST_ENTER_TUNNEL,
};

// From the host.
struct host_entry {
	struct rte_mbuf *mbuf;
	uint32_t slot;
	uint32_t generation;
	uint32_t kind; // enum host_entry_kind
	uint32_t tenure;
};

// Worker's side. Never blocks, no system call. `now` in TSC ticks. 0 = taken (the mbuf is the
// host's), else the enum drop_reason (HOST_LIMITED, HOST_FULL, NO_BUFFER) + 1 negated: use
// host_punt_drop() to get it.
int host_punt(struct host_queue *queue, const struct host_item *item, uint64_t now);
static inline unsigned host_punt_drop(int result)
{
	return (unsigned)(-result) - 1;
}

// What the host wants sent by this worker; at most `max` entries, all the worker's now.
unsigned host_take(struct host_queue *queue, struct host_entry *entries, unsigned max);

// Control's side (main thread). The queue of worker `i` exists from host_create() to
// host_destroy().
struct host_config {
	unsigned workers;
	unsigned ring_size; // entries per class, power of two; 0 = 512
	unsigned punt_rate; // packets/s per interface and class but HOST_ASK's; 0 = 2000
	unsigned icmp_rate; // ICMP errors/s per interface; 0 = 100
	uint64_t hz;        // TSC ticks per second
	struct rte_mempool *pool;
};
int host_create(struct dataplane *dp, const struct host_config *config, struct host **host);
void host_destroy(struct host *host); // no worker and no host thread runs any more
struct host_queue *host_queue(struct host *host, unsigned worker);

// Gives the descriptor of interface `slot` to the host path, which owns it from now on (closed on
// error too); a former one is closed. `ethernet`: TAP frames, else TUN packets. -ENOENT etc.
// Thread-safe against host_turn().
int host_set(struct host *host, uint32_t slot, uint32_t generation, int fd, bool ethernet);
int host_unset(struct host *host, uint32_t slot);
// Which descriptors read as an error, or an end: one at a time, each once until it is set again.
// False: none is left.
bool host_lost(struct host *host, uint32_t *slot);

// Reads the interface's VLAN stack, MTU and flags again; after every INTERFACE_SET of a slot that
// may have a queue.
void host_update(struct host *host, uint32_t slot);

// The addresses ICMP errors about packets of an interface come from: those of ours that others can
// hear, read again from the table of local addresses for interfaces that gained or lost one. As
// many as fit into one turn are changed under one lock, and no other interface is without its
// source meanwhile. Returns how many. An interface without one, as the tunnels of a vNet are, uses
// 192.0.0.8 in IPv4 (RFC 7600 4.8); in IPv6 the address of the interface the packet would have left
// by, and if that is not known or has none, nothing is sent and `icmp-source` counted.
unsigned host_follow_locals(struct host *host);

struct host_source {
	uint32_t slot;
	bool has[2]; // IPv4, IPv6
	uint8_t source4[4];
	uint8_t source6[16];
};
void host_set_sources(struct host *host, const struct host_source *source, unsigned n);

// A bounded amount of work: rings to descriptors, descriptors to rings. Returns packets moved; 0 =
// idle.
unsigned host_turn(struct host *host, uint64_t now);

// The thread around it: epoll_wait with the RCU reader offline.
int host_thread_start(struct host *host);
void host_thread_stop(struct host *host);

#endif
