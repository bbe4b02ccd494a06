// SPDX-License-Identifier: BSD-3-Clause
// Frames of workers without a transmit queue.

#include "dataplane/io/hand_over.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

int hand_over_start(struct hand_over *h, uint16_t queues, unsigned workers)
{
	h->queues = queues;
	h->workers = workers;
	for (unsigned w = queues; w < workers; w++) {
		ssize_t size = (rte_ring_get_memsize(HAND_OVER) + 63) & ~63;
		struct rte_ring *r = aligned_alloc(64, (size_t)size);

		if (r == NULL)
			return -ENOMEM;
		if (rte_ring_init(r, "hand-over", HAND_OVER, RING_F_SP_ENQ | RING_F_SC_DEQ)) {
			free(r);
			return -EINVAL;
		}
		h->from[w].ring = r;
	}
	return 0;
}

void hand_over_stop(struct hand_over *h)
{
	for (unsigned w = 0; w < DATAPLANE_WORKERS; w++) {
		struct hand_over_ring *from = &h->from[w];
		void *frame;

		rte_pktmbuf_free_bulk(from->left, from->left_count);
		while (from->ring && !rte_ring_dequeue(from->ring, &frame))
			rte_pktmbuf_free(frame);
		free(from->ring);
	}
	memset(h, 0, sizeof(*h));
}

uint16_t hand_over_put(struct hand_over *h, unsigned worker, struct rte_mbuf **frames, uint16_t n)
{
	return (uint16_t)rte_ring_enqueue_burst(
		h->from[worker].ring, (void *const *)frames, n, NULL);
}

unsigned hand_over_send(struct hand_over *h, unsigned worker, void *ctx,
	uint16_t (*send)(void *ctx, uint16_t queue, struct rte_mbuf **frames, uint16_t n))
{
	unsigned total = 0;

	for (unsigned w = worker + h->queues; worker < h->queues && w < h->workers;
		w += h->queues) {
		struct hand_over_ring *from = &h->from[w];
		unsigned sent;

		if (!from->left_count)
			from->left_count = rte_ring_dequeue_burst(
				from->ring, (void **)from->left, HAND_OVER_BURST, NULL);
		if (!from->left_count)
			continue;
		sent = send(ctx, (uint16_t)worker, from->left, (uint16_t)from->left_count);
		from->left_count -= sent;
		memmove(from->left, from->left + sent, from->left_count * sizeof(from->left[0]));
		total += sent;
	}
	return total;
}
