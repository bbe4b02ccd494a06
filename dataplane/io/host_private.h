/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_HOST_PRIVATE_H
#define IO_HOST_PRIVATE_H

// Shared by the parts of the host path: host.c (descriptors), punt.c (the workers' side), icmp.c.

#include <pthread.h>

#include <rte_ring.h>

#include "dataplane/dataplane.h"
#include "dataplane/io/host.h"
#include "dataplane/wire/drop.h"

// In the order they are served. HOST_ASK: what makes the kernel remember its sender, see punt.c.
enum host_class { HOST_ROUTING, HOST_ND, HOST_ASK, HOST_OTHER, HOST_ERROR, HOST_CLASSES };

struct host_rate {
	uint64_t interval; // TSC ticks per packet of one interface
	uint64_t burst;    // in ticks
};

struct host_queue {
	struct rte_ring *to_host[HOST_CLASSES]; // of struct host_item
	struct rte_ring *from_host;             // of struct host_entry
	struct host_rate rate[HOST_CLASSES];
	uint32_t slots;
	uint64_t (*arrival)[HOST_CLASSES]; // by slot: theoretical arrival time (GCRA)
};

struct host_interface {
	int fd; // -1 = none
	uint32_t generation;
	uint32_t vrf; // wire id, of when the descriptor came
	uint16_t mtu;
	uint16_t tpid; // of the outer tag
	uint8_t ethernet;
	uint8_t lost; // reads as an error or an end, and the main thread has not been told
	uint8_t up;
	uint8_t vlans;
	uint8_t has_source[2]; // IPv4, IPv6
	uint16_t vlan[2];
	uint8_t source4[4];
	uint8_t source6[16];
	uint64_t icmp_arrival;
};

struct host {
	struct dataplane *dp;
	struct rte_mempool *pool;
	struct host_queue queue[DATAPLANE_WORKERS];
	unsigned workers;
	uint64_t icmp_interval;
	uint64_t icmp_burst;
	uint32_t slots;
	struct host_interface *interface;
	int epoll;
	uint32_t lost;        // interfaces that have lost theirs
	pthread_mutex_t lock; // host_turn against host_set and friends
	pthread_t thread;
	int running;
	uint16_t ip_id;
};

// Builds the ICMP error about the IP packet at `packet` (`length` bytes in one piece), from the
// IPv4 or IPv6 address `source`; NULL = none, see host_set_sources(). Returns NULL when RFC 1812
// 4.3.2.7 or RFC 4443 2.4(e) forbid one (*why = DROP_COUNT), or the reason why it cannot be sent.
struct rte_mbuf *icmp_error(struct host *host, const uint8_t *source, const uint8_t *packet,
	uint32_t length, const struct host_item *item, enum drop_reason *why);

// Packets of one rate: the theoretical arrival time (GCRA) that a packet of `now` finds, in ticks
// ahead of now. A time further ahead than any packet can have moved it is from before a jump of the
// clock and means nothing.
static inline uint64_t rate_ahead(uint64_t arrival, uint64_t now, uint64_t burst, uint64_t interval)
{
	uint64_t ahead = arrival - now;

	return ahead > burst + interval ? 0 : ahead;
}

#endif
