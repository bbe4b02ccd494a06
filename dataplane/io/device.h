/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_DEVICE_H
#define IO_DEVICE_H

// What a port is opened on: a device of DPDK, or one of the kernel.

#include "dataplane/dataplane.h"
#include "dataplane/io/opener.h"
#include "dataplane/io/size.h"

struct device_config {
	const char *name;   // of the port, for people
	const char *device; // the EAL's name of it (vdev or PCI address), else the kernel's
	const char *netns;  // of a kernel device; "" = where the data plane was started
	unsigned index;     // of the port, in the opener's list
	struct opener *opener;
	enum device_mode mode; // AUTO: also a device of the EAL
	uint8_t outer_tpid;    // PORT_TPID_*
	uint16_t mtu;          // to be set on the device; 0 = 1500, or what a kernel device has
	uint32_t buffer_size;
	unsigned workers;
	unsigned descriptors; // per queue; 0 = the kind's own default
	struct rte_mempool *pool;
};

// A sentence about what is wrong, with what to change.
struct device_error {
	char text[320];
};
int device_wrong(struct device_error *error, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4))); // returns err

// -ENOSPC, and says so, if an `mtu` that was asked for does not fit into packet buffers.
int device_check_buffer(const struct device_config *config, struct device_error *error);

// What a look at its device has shown becomes the port's. 1 when something of it is new.
int device_show(struct port *port, bool up, uint32_t speed, const struct size *size, uint8_t fault);

// WIRE_PORT_FAULT_* of a port on a kernel device, from what netdev_read() returned. idle: the device
// is open and has no carrier, which is what is wrong with it.
uint8_t device_fault(const struct opener *opener, int err, bool idle);

// Before there is a pool (which `config` need not have, nor a buffer size): adds the packet buffers
// that the device's queues will hold to *users, and raises *buffer_size to what it needs.
int device_measure(const struct device_config *config, struct size_users *users,
	uint32_t *buffer_size, struct device_error *error);

// Configures and starts the device. An `mtu` that device, buffers or ring cannot carry is an error.
int device_open(const struct device_config *config, struct port **port, struct device_error *error);

// Which worker polls which receive queue, and who transmits where: worker (port + queue) % workers,
// and queue w for worker w.
int device_map_queues(struct dataplane *dp);

// Worker `worker`, each turn: what it sends for others, and what a port has to finish by itself.
// Returns frames.
unsigned device_send_others(const struct dataplane *dp, unsigned worker);

// Main thread, now and then: what the ports lost since the last time goes to their `unclassified`
// interfaces' counters.
void device_book_losses(struct dataplane *dp);

#endif
