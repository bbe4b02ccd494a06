/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_XDP_SOCKETS_H
#define IO_XDP_SOCKETS_H

// AF_XDP sockets on one device, one for each of its receive queues: their memory and rings, on what
// the opener made. The main thread opens and closes them; a worker has a queue's receiving side,
// and one has its transmitting side.

#include "dataplane/io/netdev.h"
#include "dataplane/io/opener.h"
#include "dataplane/io/port.h"

struct rte_mempool;
struct xdp_queue;

struct xdp_sockets {
	struct opener_answer steered; // descriptors by enum steer_fd
	unsigned queues;
	uint32_t largest; // frame, bytes; 0 = it may be several chunks
	uint8_t tags;     // PORT_TAGS_*
	bool zero_copy;
	bool partial; // checksums may be left to the device
	struct xdp_queue *queue;
};

// Takes the answer's descriptors, whatever becomes of it. 0 or -errno.
int xdp_sockets_open(struct opener_answer *answer, const struct netdev *device, uint32_t rx_chunks,
	struct xdp_sockets **sockets);
// No worker has them any more. NULL: nothing.
void xdp_sockets_close(struct xdp_sockets *sockets);

// The program stands on the device still.
bool xdp_sockets_attached(const struct xdp_sockets *sockets);

// Adds what was lost since they were opened.
void xdp_sockets_losses(const struct xdp_sockets *sockets, struct port_losses *sum);

// --- workers; as a port's rx and tx, of a queue that there may not be ---

uint16_t xdp_sockets_rx(struct xdp_sockets *sockets, unsigned queue, struct rte_mempool *pool,
	struct rte_mbuf **frames, uint16_t n);
uint16_t xdp_sockets_tx(
	struct xdp_sockets *sockets, unsigned queue, struct rte_mbuf **frames, uint16_t n);
// Whether the device takes so large a frame at all.
bool xdp_sockets_take(const struct xdp_sockets *sockets, const struct rte_mbuf *frame);
// What the kernel did not send at once, because the device was busy, is sent a turn later.
void xdp_sockets_send_rest(struct xdp_sockets *sockets, unsigned queue);

#endif
