// SPDX-License-Identifier: BSD-3-Clause
// A socket's memory is two halves of chunks, each of which is either the kernel's or ours. The
// worker that polls the queue copies a frame out and puts the chunk back at once; the worker that
// transmits on it copies frames in, and has the chunk again when the kernel is done with it. The
// two rings of a half are between one worker and the kernel, so that there is no lock. Without
// zero-copy, which the driver decides, the kernel copies once more. A system call is made to send,
// once for what a worker has in one turn, and to receive only where a driver wants to be woken.
//
// A frame may be several chunks in a row where the kernel can (Linux 6.6) and the device's MTU asks
// for it; else a chunk is the largest there is, and before that what the driver has in one page.

#include "dataplane/io/xdp_sockets.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <xdp/xsk.h>

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/io/partial.h"
#include "dataplane/io/size.h"
#include "dataplane/io/steer.h"

#ifndef XDP_USE_SG // Debian 12's headers are older
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

#define CHUNK     STEER_CHUNK
#define TX_CHUNKS STEER_TX_CHUNKS
#define CHUNK_FRAME \
	(CHUNK - 256u) // of a frame that is received; the program's headroom is in front
#define BURST    32u
#define ETHERNET 14u

struct mapping {
	void *at;
	size_t bytes;
};

struct xdp_queue {
	// worker that receives
	int fd;
	uint8_t *area;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
	struct rte_mbuf *frame; // its first chunks were there, or nothing is in it yet
	bool large;             // it is more than fits, the rest is passed over
	uint64_t larges;
	uint64_t shorts;
	// worker that transmits
	struct xsk_ring_prod tx __attribute__((aligned(64)));
	struct xsk_ring_cons done;
	uint32_t free[TX_CHUNKS]; // chunks
	uint32_t frees;
	struct mapping mapped[5]; // rings and area; main thread's
};

// --- workers ---

static void give_back(struct xdp_queue *q, const uint64_t *chunk, uint32_t n)
{
	uint32_t at;

	if (n == 0 ||
		xsk_ring_prod__reserve(&q->fill, n, &at) != n) // it has room for all there are
		return;
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&q->fill, at + i) = chunk[i];
	xsk_ring_prod__submit(&q->fill, n);
}

// One chunk to the frame in making, of which the worker sees nothing yet.
static void take_chunk(struct xdp_queue *q, const struct xdp_desc *d)
{
	struct rte_mbuf *m = q->frame;

	if (unlikely(q->large || d->len > rte_pktmbuf_tailroom(m))) {
		q->large = true;
		return;
	}
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), q->area + d->addr, d->len);
	m->data_len = (uint16_t)(m->data_len + d->len);
	m->pkt_len = m->data_len;
}

static void add_one(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

// The frame is whole. True: it is the worker's.
static bool hand_on(const struct xdp_sockets *s, struct xdp_queue *q, struct rte_mbuf **out)
{
	if (unlikely(q->large || q->frame->data_len < ETHERNET)) {
		add_one(q->large ? &q->larges : &q->shorts);
		q->large = false;
		rte_pktmbuf_reset(q->frame);
		return false;
	}
	if (s->partial)
		partial_finish(rte_pktmbuf_mtod(q->frame, uint8_t *), q->frame->data_len);
	*out = q->frame;
	q->frame = NULL;
	return true;
}

// Without a buffer the frames stay in the ring; what then does not fit there is `missed`.
uint16_t xdp_sockets_rx(struct xdp_sockets *s, unsigned queue, struct rte_mempool *pool,
	struct rte_mbuf **frames, uint16_t n)
{
	struct xdp_queue *q;
	uint64_t chunk[BURST];
	uint32_t at, there, taken;
	uint16_t count = 0;

	if (unlikely(queue >= s->queues))
		return 0;
	q = &s->queue[queue];
	there = xsk_ring_cons__peek(&q->rx, RTE_MIN(n, BURST), &at);
	if (there == 0) {
		if (unlikely(xsk_ring_prod__needs_wakeup(&q->fill)))
			recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
		return 0;
	}
	for (taken = 0; taken < there; taken++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&q->rx, at + taken);

		if (q->frame == NULL && (q->frame = rte_pktmbuf_alloc(pool)) == NULL)
			break;
		if (taken + 1 < there)
			rte_prefetch0(
				q->area + xsk_ring_cons__rx_desc(&q->rx, at + taken + 1)->addr);
		take_chunk(q, d);
		chunk[taken] = d->addr & ~(uint64_t)(CHUNK - 1);
		if (!(d->options & XDP_PKT_CONTD) && hand_on(s, q, &frames[count]))
			count++;
	}
	xsk_ring_cons__cancel(&q->rx, there - taken);
	xsk_ring_cons__release(&q->rx, taken);
	give_back(q, chunk, taken);
	return count;
}

static void take_done(struct xdp_queue *q)
{
	uint32_t at = 0, n = xsk_ring_cons__peek(&q->done, TX_CHUNKS, &at);

	for (uint32_t i = 0; i < n; i++)
		q->free[q->frees++] =
			(uint32_t)(*xsk_ring_cons__comp_addr(&q->done, at + i) / CHUNK);
	if (n != 0)
		xsk_ring_cons__release(&q->done, n);
}

static void kick(const struct xdp_queue *q)
{
	if (xsk_ring_prod__needs_wakeup(&q->tx))
		sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
}

static uint32_t chunks_of(const struct rte_mbuf *m)
{
	return (m->data_len + CHUNK - 1) / CHUNK;
}

bool xdp_sockets_take(const struct xdp_sockets *s, const struct rte_mbuf *m)
{
	return s->largest == 0 || m->data_len <= CHUNK;
}

static void put_frame(struct xdp_queue *q, const struct rte_mbuf *m, uint32_t at)
{
	uint32_t left = m->data_len;

	for (const uint8_t *from = rte_pktmbuf_mtod(m, const uint8_t *); left != 0; at++) {
		struct xdp_desc *d = xsk_ring_prod__tx_desc(&q->tx, at);
		uint32_t length = RTE_MIN(left, CHUNK);

		left -= length;
		*d = (struct xdp_desc){.addr = (uint64_t)q->free[--q->frees] * CHUNK,
			.len = length,
			.options = left != 0 ? XDP_PKT_CONTD : 0};
		memcpy(q->area + d->addr, from, length);
		from += length;
	}
}

uint16_t xdp_sockets_tx(struct xdp_sockets *s, unsigned queue, struct rte_mbuf **frames, uint16_t n)
{
	struct xdp_queue *q;
	uint32_t chunks = 0, at = 0;
	uint16_t sent;

	if (unlikely(queue >= s->queues))
		return 0;
	q = &s->queue[queue];
	take_done(q);
	for (sent = 0; sent < n; sent++) {
		uint32_t more = chunks_of(frames[sent]);

		if (q->frees < more || !xdp_sockets_take(s, frames[sent]) ||
			xsk_ring_prod__reserve(&q->tx, more, &at) != more)
			break;
		put_frame(q, frames[sent], at);
		chunks += more;
	}
	xsk_ring_prod__submit(&q->tx, chunks);
	kick(q);
	rte_pktmbuf_free_bulk(frames, sent);
	return sent;
}

void xdp_sockets_send_rest(struct xdp_sockets *s, unsigned queue)
{
	struct xdp_queue *q;

	if (queue >= s->queues)
		return;
	q = &s->queue[queue];
	if (q->frees == TX_CHUNKS)
		return;
	take_done(q);
	if (q->frees != TX_CHUNKS)
		kick(q);
}

// --- sockets ---

static int set_number(int fd, int option, uint32_t value)
{
	return setsockopt(fd, SOL_XDP, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void *map_ring(struct xdp_queue *q, unsigned number, size_t bytes, off_t where, int *err)
{
	void *at =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, q->fd, where);

	if (at == MAP_FAILED) {
		*err = -errno;
		return NULL;
	}
	q->mapped[number] = (struct mapping){at, bytes};
	return at;
}

// Ours to write (`prod`), or to read.
#define RING(r, base, offset, entries, prod)                                                  \
	((r)->producer = (uint32_t *)(void *)((uint8_t *)(base) + (offset)->producer),        \
		(r)->consumer = (uint32_t *)(void *)((uint8_t *)(base) + (offset)->consumer), \
		(r)->flags = (uint32_t *)(void *)((uint8_t *)(base) + (offset)->flags),       \
		(r)->ring = (uint8_t *)(base) + (offset)->desc, (r)->size = (entries),        \
		(r)->mask = (entries)-1, (r)->cached_prod = 0,                                \
		(r)->cached_cons = (prod) ? (entries) : 0)

static int map_rings(struct xdp_queue *q, uint32_t rx_chunks)
{
	const size_t desc = sizeof(struct xdp_desc), address = sizeof(uint64_t);
	struct xdp_mmap_offsets o;
	socklen_t length = sizeof(o);
	void *at[4];
	int err = 0;

	if (getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &o, &length) < 0)
		return -errno;
	at[0] = map_ring(q, 0, o.rx.desc + rx_chunks * desc, XDP_PGOFF_RX_RING, &err);
	at[1] = map_ring(q, 1, o.tx.desc + TX_CHUNKS * desc, XDP_PGOFF_TX_RING, &err);
	at[2] = map_ring(
		q, 2, o.fr.desc + rx_chunks * address, (off_t)XDP_UMEM_PGOFF_FILL_RING, &err);
	at[3] = map_ring(
		q, 3, o.cr.desc + TX_CHUNKS * address, (off_t)XDP_UMEM_PGOFF_COMPLETION_RING, &err);
	if (err)
		return err;
	RING(&q->rx, at[0], &o.rx, rx_chunks, false);
	RING(&q->tx, at[1], &o.tx, TX_CHUNKS, true);
	RING(&q->fill, at[2], &o.fr, rx_chunks, true);
	RING(&q->done, at[3], &o.cr, TX_CHUNKS, false);
	return 0;
}

static int make_queue(
	struct xdp_queue *q, const struct xdp_sockets *s, uint32_t number, uint32_t rx_chunks)
{
	int fd = s->steered.fd[STEER_SOCKET + number];
	size_t bytes = steer_memory(rx_chunks);
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		s->steered.fd[STEER_MEMORY], (off_t)(number * bytes));
	uint64_t chunk[BURST];
	int err;

	q->fd = fd;
	if (area == MAP_FAILED)
		return -errno;
	q->area = area;
	q->mapped[4] = (struct mapping){area, bytes};
	err = set_number(fd, XDP_UMEM_FILL_RING, rx_chunks);
	if (!err)
		err = set_number(fd, XDP_UMEM_COMPLETION_RING, TX_CHUNKS);
	if (!err)
		err = set_number(fd, XDP_RX_RING, rx_chunks);
	if (!err)
		err = set_number(fd, XDP_TX_RING, TX_CHUNKS);
	if (!err)
		err = map_rings(q, rx_chunks);
	for (uint32_t i = 0; i < rx_chunks && !err; i += BURST) {
		for (uint32_t j = 0; j < BURST; j++)
			chunk[j] = (uint64_t)(i + j) * CHUNK;
		give_back(q, chunk, BURST);
	}
	for (uint32_t i = 0; i < TX_CHUNKS; i++)
		q->free[q->frees++] = rx_chunks + i;
	return err;
}

static int bind_queue(
	const struct xdp_queue *q, const struct xdp_sockets *s, int device, uint32_t number)
{
	struct sockaddr_xdp to = {.sxdp_family = AF_XDP,
		.sxdp_ifindex = (uint32_t)device,
		.sxdp_queue_id = number,
		.sxdp_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | (s->largest == 0 ? XDP_USE_SG : 0))};

	return bind(q->fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static int open_queue(struct xdp_sockets *s, int device, uint32_t number, uint32_t rx_chunks)
{
	struct xdp_queue *q = &s->queue[number];
	int fd = s->steered.fd[STEER_SOCKET + number];
	int err = make_queue(q, s, number, rx_chunks);

	if (!err)
		err = bind_queue(q, s, device, number);
	if (!err && bpf_map_update_elem(s->steered.fd[STEER_SOCKETS_MAP], &number, &fd, 0) != 0)
		err = -errno;
	return err;
}

void xdp_sockets_close(struct xdp_sockets *s)
{
	if (s == NULL)
		return;
	opener_close(&s->steered);
	for (unsigned n = 0; n < s->queues; n++) {
		struct xdp_queue *q = &s->queue[n];

		for (unsigned i = 0; i < sizeof(q->mapped) / sizeof(q->mapped[0]); i++)
			if (q->mapped[i].at != NULL)
				munmap(q->mapped[i].at, q->mapped[i].bytes);
		rte_pktmbuf_free(q->frame);
	}
	free(s->queue);
	free(s);
}

static_assert(STEER_FDS <= OPENER_DESCRIPTORS, "what the opener says");

static struct xdp_sockets *make(struct opener_answer *a, const struct netdev *device)
{
	unsigned queues = a->count - STEER_SOCKET;
	struct xdp_sockets *s = calloc(1, sizeof(*s));
	struct xdp_queue *queue = aligned_alloc(64, queues * sizeof(*queue));

	if (s == NULL || queue == NULL) {
		free(s);
		free(queue);
		return NULL;
	}
	memset(queue, 0, queues * sizeof(*queue));
	*s = (struct xdp_sockets){
		.steered = *a,
		.queues = queues,
		.largest = !(a->value & STEER_SEGMENTS)             ? STEER_PAGE_FRAME
			   : device->mtu + SIZE_LINK <= CHUNK_FRAME ? CHUNK_FRAME
								    : 0,
		.tags = (uint8_t)(a->value & STEER_TAGS_MASK),
		.partial = a->value & STEER_PARTIAL,
		.queue = queue,
	};
	return s;
}

int xdp_sockets_open(struct opener_answer *a, const struct netdev *device, uint32_t rx_chunks,
	struct xdp_sockets **out)
{
	struct xdp_options options = {0};
	socklen_t length = sizeof(options);
	struct xdp_sockets *s = make(a, device);
	int err = 0;

	if (s == NULL) {
		opener_close(a);
		return -ENOMEM;
	}
	for (uint32_t q = 0; !err && q < s->queues; q++)
		err = open_queue(s, device->index, q, rx_chunks);
	if (err) {
		xdp_sockets_close(s);
		return err;
	}
	if (getsockopt(s->steered.fd[STEER_SOCKET], SOL_XDP, XDP_OPTIONS, &options, &length) == 0)
		s->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	*out = s;
	return 0;
}

// --- what the main thread asks ---

bool xdp_sockets_attached(const struct xdp_sockets *s)
{
	struct bpf_link_info info = {0};
	uint32_t length = sizeof(info);

	return bpf_obj_get_info_by_fd(s->steered.fd[STEER_LINK], &info, &length) == 0 &&
	       info.xdp.ifindex != 0;
}

void xdp_sockets_losses(const struct xdp_sockets *s, struct port_losses *sum)
{
	uint32_t place = 0;
	int cpus = libbpf_num_possible_cpus();
	struct steer_counts counts[cpus > 0 ? cpus : 1];

	for (unsigned q = 0; q < s->queues; q++) {
		struct xdp_statistics lost = {0};
		socklen_t length = sizeof(lost);

		getsockopt(
			s->steered.fd[STEER_SOCKET + q], SOL_XDP, XDP_STATISTICS, &lost, &length);
		// the kernel's own copy counts what it found no chunk for in both
		sum->missed +=
			lost.rx_dropped -
			(s->zero_copy ? 0
				      : RTE_MIN(lost.rx_dropped, lost.rx_fill_ring_empty_descs));
		sum->no_ring += lost.rx_ring_full;
		sum->no_chunk += lost.rx_fill_ring_empty_descs;
		sum->large += __atomic_load_n(&s->queue[q].larges, __ATOMIC_RELAXED);
		sum->broken += __atomic_load_n(&s->queue[q].shorts, __ATOMIC_RELAXED);
	}
	if (bpf_map_lookup_elem(s->steered.fd[STEER_VERDICTS_MAP], &place, counts) != 0)
		return;
	for (int i = 0; i < cpus; i++) {
		sum->no_socket +=
			counts[i].frames[STEER_NO_SOCKET] + counts[i].frames[STEER_NO_ROOM];
		sum->left += counts[i].frames[STEER_LEFT];
	}
}
