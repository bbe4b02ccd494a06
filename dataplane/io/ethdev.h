/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_ETHDEV_H
#define IO_ETHDEV_H

// DPDK devices as ports.

#include "dataplane/dataplane.h"

struct ethdev_config {
	const char *name;   // of the port, for people
	const char *device; // DPDK device name: vdev or PCI address
	uint8_t outer_tpid; // PORT_TPID_*
	unsigned workers;
	unsigned descriptors; // per queue; 0 = 1024
	uint64_t hz;
	struct rte_mempool *pool;
};

// Configures and starts the device. *why points to a sentence on error.
int ethdev_open(const struct ethdev_config *config, struct port **port, const char **why);
void ethdev_close(struct port *port); // no worker runs any more; NULL is fine

// Which worker polls which receive queue, and who transmits where: worker (port + queue) % workers,
// and queue w for worker w. A worker whose index is beyond the device's transmit queues hands over
// to worker w % queues.
int ethdev_map_queues(struct dataplane *dp);

// Worker `w`: sends what others handed over to it. Returns frames.
unsigned ethdev_hand_over(struct dataplane *dp, unsigned worker);

// Main thread, periodically: reads link state, speed and MTU. Returns 1 when something changed.
// Ports on a kernel device follow that device's running flag, since net_af_packet always says up.
int ethdev_poll_link(struct port *port);

#endif
