/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_ETHDEV_H
#define IO_ETHDEV_H

// DPDK devices as ports.

#include "dataplane/dataplane.h"
#include "dataplane/io/size.h"

struct ethdev_config {
	const char *name;   // of the port, for people
	const char *device; // DPDK device name: vdev or PCI address
	uint8_t outer_tpid; // PORT_TPID_*
	uint16_t mtu;       // to be set on the device; 0 = 1500, or what a kernel device has
	uint32_t buffer_size;
	unsigned workers;
	unsigned descriptors; // per queue; 0 = 1024
	uint64_t hz;
	struct rte_mempool *pool;
};

// A sentence about what is wrong, with what to change.
struct ethdev_error {
	char text[256];
};

// Before there is a pool (which `config` need not have, nor a buffer size): adds the packet buffers
// that the device's queues will hold to *users, and raises *buffer_size to what it needs.
int ethdev_measure(const struct ethdev_config *config, struct size_users *users,
	uint32_t *buffer_size, struct ethdev_error *error);

// Configures and starts the device. An `mtu` that device, buffers or ring cannot carry is an error.
int ethdev_open(const struct ethdev_config *config, struct port **port, struct ethdev_error *error);
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

// What bounds the port's MTU, for people.
const char *ethdev_mtu_bound(const struct port *port);

#endif
