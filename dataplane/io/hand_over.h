/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_HAND_OVER_H
#define IO_HAND_OVER_H

// Where a device has fewer transmit queues than there are workers, those beyond hand their frames
// to the owner of a queue through an SPSC ring; the owner sends them after its own turn. A frame
// that was put into such a ring counts as sent: when the device's queue is full it waits, and the
// ring fills, which the sender sees as a full port.

#include <stdint.h>

#include "dataplane/dataplane.h"

#define HAND_OVER       512u // frames a ring holds
#define HAND_OVER_BURST 32u

struct hand_over_ring {
	struct rte_ring *ring;
	struct rte_mbuf *left[HAND_OVER_BURST]; // taken out, not sent yet
	unsigned left_count;
};

struct hand_over {
	uint16_t queues;
	unsigned workers;
	struct hand_over_ring from[DATAPLANE_WORKERS]; // by sending worker
};

// Worker w < queues has queue w, any other worker hands over to worker w % queues.
int hand_over_start(struct hand_over *h, uint16_t queues, unsigned workers);
void hand_over_stop(struct hand_over *h); // of one that was not started, too

// Worker `worker`, which has no queue. Returns how many were taken.
uint16_t hand_over_put(struct hand_over *h, unsigned worker, struct rte_mbuf **frames, uint16_t n);

// Worker `worker`, which has a queue: sends what others put for it by `send`, as a port's tx.
// Returns frames.
unsigned hand_over_send(struct hand_over *h, unsigned worker, void *ctx,
	uint16_t (*send)(void *ctx, uint16_t queue, struct rte_mbuf **frames, uint16_t n));

#endif
