// SPDX-License-Identifier: BSD-3-Clause
// Ports on devices of the kernel by AF_XDP: one socket for each receive queue of the device, each
// with memory of its own that kernel and driver know. What is the data plane's never enters the
// kernel's stack, and what is not stays there: the steering program (bpf/) knows by a map, which
// follows the interfaces of the port. What takes privileges is steer.c's.
//
// A socket's memory is two halves of chunks, each of which is either the kernel's or ours. The
// worker that polls the queue copies a frame out and puts the chunk back at once; the worker that
// transmits on it copies frames in, and has the chunk again when the kernel is done with it. The
// two rings of a half are between one worker and the kernel, so that there is no lock. Without
// zero-copy, which the driver decides, the kernel copies once more. A system call is made to send,
// once for what a worker has in one turn, and to receive only where a driver wants to be woken.
//
// A frame may be several chunks in a row where the kernel can (Linux 6.6) and the device's MTU asks
// for it; else a chunk is the largest there is, and before that what the driver has in one page.
//
// A socket whose device went is dead and says nothing. The main thread sees the program's link lose
// its device, or the device have other queues than those with a socket, takes the sockets away from
// the workers (`live`), makes an end of them when no worker can have them any more, and opens all
// anew on the device that has the name then. Memory, rings and program are those of one device, and
// what was on its way to it goes with it; the port keeps its MAC address and what it owns.

#include "dataplane/io/xdp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdio.h>
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
#include <rte_rcu_qsbr.h>

#include "dataplane/io/hand_over.h"
#include "dataplane/io/partial.h"
#include "dataplane/io/netdev.h"
#include "dataplane/io/steer.h"
#include "dataplane/log.h"

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

struct queue {
	// worker that receives
	int fd;
	uint8_t *area;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
	struct rte_mbuf *frame; // its first chunks were there, or nothing is in it yet
	bool large;             // it is more than fits, the rest is passed over
	uint64_t larges;
	// worker that transmits
	struct xsk_ring_prod tx __attribute__((aligned(64)));
	struct xsk_ring_cons done;
	uint32_t free[TX_CHUNKS]; // chunks
	uint32_t frees;
	struct mapping mapped[5]; // rings and area; main thread's
};

// What stands on one device; the main thread's but for the queues.
struct live {
	struct opener_answer steered; // by enum steer_fd
	int index;                    // of the device
	uint32_t largest;             // frame, bytes; 0 = it may be several chunks
	bool zero_copy;
	bool partial;
	unsigned queues;
	struct queue queue[];
};

struct xdp {
	// workers read this
	struct live *live; // NULL = there is no device
	struct rte_mempool *pool;
	struct hand_over others;
	// main thread's
	char device[IFNAMSIZ];
	struct opener *opener;
	unsigned index; // of the port
	int control;    // any socket of the device's namespace
	uint32_t rx_chunks;
	struct live *ending; // until no worker has it
	uint64_t token;
	bool asked;    // the opener, who has not answered
	int error;     // why the device could not be taken up, told once
	unsigned rest; // looks until that is tried again
	struct size_limits limits;
	struct size size;
	struct port_losses before; // of sockets that ended
	// interfaces by the place of their outer tag, core ones and others; both of any ethertype
	uint32_t owners[2][STEER_88A8];
	struct steer_address address[STEER_ADDRESSES];
	unsigned addresses;
};

// --- workers ---

static void give_back(struct queue *q, const uint64_t *chunk, uint32_t n)
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
static void take_chunk(struct queue *q, const struct xdp_desc *d)
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

// The frame is whole. True: it is the worker's.
static bool hand_on(const struct live *l, struct queue *q, struct rte_mbuf **out)
{
	if (unlikely(q->large || q->frame->data_len < ETHERNET)) {
		q->large = false;
		__atomic_store_n(&q->larges, q->larges + 1, __ATOMIC_RELAXED);
		rte_pktmbuf_reset(q->frame);
		return false;
	}
	if (l->partial)
		partial_finish(rte_pktmbuf_mtod(q->frame, uint8_t *), q->frame->data_len);
	*out = q->frame;
	q->frame = NULL;
	return true;
}

// Without a buffer the frames stay in the ring; what then does not fit there is `missed`.
static uint16_t rx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct xdp *x = port->driver;
	struct live *l = __atomic_load_n(&x->live, __ATOMIC_ACQUIRE);
	struct queue *q;
	uint64_t chunk[BURST];
	uint32_t at, there, taken;
	uint16_t count = 0;

	if (unlikely(l == NULL || queue >= l->queues))
		return 0;
	q = &l->queue[queue];
	there = xsk_ring_cons__peek(&q->rx, RTE_MIN(n, BURST), &at);
	if (there == 0) {
		if (unlikely(xsk_ring_prod__needs_wakeup(&q->fill)))
			recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
		return 0;
	}
	for (taken = 0; taken < there; taken++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&q->rx, at + taken);

		if (q->frame == NULL && (q->frame = rte_pktmbuf_alloc(x->pool)) == NULL)
			break;
		if (taken + 1 < there)
			rte_prefetch0(
				q->area + xsk_ring_cons__rx_desc(&q->rx, at + taken + 1)->addr);
		take_chunk(q, d);
		chunk[taken] = d->addr & ~(uint64_t)(CHUNK - 1);
		if (!(d->options & XDP_PKT_CONTD) && hand_on(l, q, &frames[count]))
			count++;
	}
	xsk_ring_cons__cancel(&q->rx, there - taken);
	xsk_ring_cons__release(&q->rx, taken);
	give_back(q, chunk, taken);
	return count;
}

static void take_done(struct queue *q)
{
	uint32_t at = 0, n = xsk_ring_cons__peek(&q->done, TX_CHUNKS, &at);

	for (uint32_t i = 0; i < n; i++)
		q->free[q->frees++] =
			(uint32_t)(*xsk_ring_cons__comp_addr(&q->done, at + i) / CHUNK);
	if (n != 0)
		xsk_ring_cons__release(&q->done, n);
}

static void kick(const struct queue *q)
{
	if (xsk_ring_prod__needs_wakeup(&q->tx))
		sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
}

static uint32_t chunks_of(const struct rte_mbuf *m)
{
	return (m->data_len + CHUNK - 1) / CHUNK;
}

// Whether the device takes so large a frame at all.
static bool takes(const struct live *l, const struct rte_mbuf *m)
{
	return l->largest == 0 || m->data_len <= CHUNK;
}

static void put_frame(struct queue *q, const struct rte_mbuf *m, uint32_t at)
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

static uint16_t send_queued(void *ctx, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	const struct xdp *x = ctx;
	struct live *l = __atomic_load_n(&x->live, __ATOMIC_ACQUIRE);
	struct queue *q;
	uint32_t chunks = 0, at = 0;
	uint16_t sent;

	if (unlikely(l == NULL || queue >= l->queues))
		return 0;
	q = &l->queue[queue];
	take_done(q);
	for (sent = 0; sent < n; sent++) {
		uint32_t more = chunks_of(frames[sent]);

		if (q->frees < more || !takes(l, frames[sent]) ||
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

static uint16_t tx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct xdp *x = port->driver;

	return queue < x->others.queues ? send_queued(x, queue, frames, n)
					: hand_over_put(&x->others, queue, frames, n);
}

// What the kernel did not send at once, because the device was busy, is sent a turn later.
static void send_rest(const struct xdp *x, unsigned queue)
{
	struct live *l = __atomic_load_n(&x->live, __ATOMIC_ACQUIRE);

	if (l == NULL || queue >= l->queues || l->queue[queue].frees == TX_CHUNKS)
		return;
	take_done(&l->queue[queue]);
	if (l->queue[queue].frees != TX_CHUNKS)
		kick(&l->queue[queue]);
}

// What was handed over counts as sent, so it goes or is thrown away: what this device never takes,
// which came before its MTU was known, and all of it while there is no device, because the next one
// of its name may have somebody else behind the same tags.
static uint16_t send_handed_over(void *ctx, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	const struct xdp *x = ctx;
	const struct live *l = __atomic_load_n(&x->live, __ATOMIC_ACQUIRE);
	uint16_t sent = l != NULL ? send_queued(ctx, queue, frames, n) : 0;

	while (sent < n && (l == NULL || !takes(l, frames[sent])))
		rte_pktmbuf_free(frames[sent++]);
	return sent;
}

static unsigned send_others(struct port *port, unsigned worker)
{
	struct xdp *x = port->driver;
	unsigned n = hand_over_send(&x->others, worker, x, send_handed_over);

	if (worker < x->others.queues)
		send_rest(x, worker);
	return n;
}

// --- sockets ---

static int set_number(int fd, int option, uint32_t value)
{
	return setsockopt(fd, SOL_XDP, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void *map_ring(
	struct queue *q, unsigned number, size_t bytes, off_t where, const char **failed)
{
	void *at =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, q->fd, where);

	if (at == MAP_FAILED) {
		*failed = strerror(errno);
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

static int map_rings(struct queue *q, uint32_t rx_chunks)
{
	const size_t desc = sizeof(struct xdp_desc), address = sizeof(uint64_t);
	struct xdp_mmap_offsets o;
	socklen_t length = sizeof(o);
	const char *failed = NULL;
	void *at[4];

	if (getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &o, &length) < 0)
		return -errno;
	at[0] = map_ring(q, 0, o.rx.desc + rx_chunks * desc, XDP_PGOFF_RX_RING, &failed);
	at[1] = map_ring(q, 1, o.tx.desc + TX_CHUNKS * desc, XDP_PGOFF_TX_RING, &failed);
	at[2] = map_ring(
		q, 2, o.fr.desc + rx_chunks * address, (off_t)XDP_UMEM_PGOFF_FILL_RING, &failed);
	at[3] = map_ring(q, 3, o.cr.desc + TX_CHUNKS * address,
		(off_t)XDP_UMEM_PGOFF_COMPLETION_RING, &failed);
	if (failed != NULL)
		return -ENOMEM;
	RING(&q->rx, at[0], &o.rx, rx_chunks, false);
	RING(&q->tx, at[1], &o.tx, TX_CHUNKS, true);
	RING(&q->fill, at[2], &o.fr, rx_chunks, true);
	RING(&q->done, at[3], &o.cr, TX_CHUNKS, false);
	return 0;
}

static int make_queue(struct queue *q, const struct live *l, uint32_t number, uint32_t rx_chunks)
{
	int fd = l->steered.fd[STEER_SOCKET + number];
	size_t bytes = steer_memory(rx_chunks);
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		l->steered.fd[STEER_MEMORY], (off_t)(number * bytes));
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

static int bind_queue(const struct queue *q, const struct live *l, uint32_t number)
{
	struct sockaddr_xdp to = {.sxdp_family = AF_XDP,
		.sxdp_ifindex = (uint32_t)l->index,
		.sxdp_queue_id = number,
		.sxdp_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | (l->largest == 0 ? XDP_USE_SG : 0))};

	return bind(q->fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static int open_queue(struct live *l, uint32_t number, uint32_t rx_chunks)
{
	struct queue *q = &l->queue[number];
	int fd = l->steered.fd[STEER_SOCKET + number];
	int err = make_queue(q, l, number, rx_chunks);

	if (!err)
		err = bind_queue(q, l, number);
	if (!err && bpf_map_update_elem(l->steered.fd[STEER_SOCKETS_MAP], &number, &fd, 0) != 0)
		err = -errno;
	return err;
}

static void close_all(struct opener_answer *a)
{
	for (; a->count > 0; a->count--)
		close(a->fd[a->count - 1]);
}

static void end_live(struct live *l)
{
	if (l == NULL)
		return;
	close_all(&l->steered);
	for (unsigned n = 0; n < l->queues; n++) {
		struct queue *q = &l->queue[n];

		for (unsigned i = 0; i < 5; i++)
			if (q->mapped[i].at != NULL)
				munmap(q->mapped[i].at, q->mapped[i].bytes);
		rte_pktmbuf_free(q->frame);
	}
	free(l);
}

// --- what is ours, by map ---

static uint32_t owner_of(const struct xdp *x, uint32_t vid)
{
	return x->owners[0][vid] != 0   ? STEER_TAKE
	       : x->owners[1][vid] != 0 ? STEER_ADDRESSED
					: STEER_LEAVE;
}

static void write_owner(const struct port *port, const struct live *l, uint32_t vid)
{
	const struct xdp *x = port->driver;
	uint32_t owner = owner_of(x, vid), leave = STEER_LEAVE, other = vid + STEER_88A8;
	int map = l->steered.fd[STEER_TAGS_MAP];

	bpf_map_update_elem(
		map, &vid, vid != 0 && port->outer_tpid == PORT_TPID_88A8 ? &leave : &owner, 0);
	if (vid != 0)
		bpf_map_update_elem(
			map, &other, port->outer_tpid == PORT_TPID_8100 ? &leave : &owner, 0);
}

static void write_address(const struct live *l, const struct steer_address *a, bool there)
{
	uint32_t one = 1;

	if (there)
		bpf_map_update_elem(l->steered.fd[STEER_ADDRESSES_MAP], a, &one, 0);
	else
		bpf_map_delete_elem(l->steered.fd[STEER_ADDRESSES_MAP], a);
}

static void own_tag(struct port *port, uint16_t vid, bool core, int change)
{
	struct xdp *x = port->driver;
	uint32_t before = owner_of(x, vid);

	x->owners[core][vid] += (uint32_t)change;
	if (x->live != NULL && owner_of(x, vid) != before)
		write_owner(port, x->live, vid);
}

static void own_address(struct port *port, uint8_t family, const uint8_t *bytes, bool there)
{
	struct xdp *x = port->driver;
	struct steer_address a = {.family = family};
	unsigned at = 0;

	memcpy(a.bytes, bytes, family == WIRE_IPV4 ? 4 : 16);
	while (at < x->addresses && memcmp(&x->address[at], &a, sizeof(a)) != 0)
		at++;
	if (there == (at < x->addresses))
		return;
	if (there && x->addresses == STEER_ADDRESSES) {
		log_warn("too many addresses of ours for the steering program", "port=%s most=%u",
			port->name, STEER_ADDRESSES);
		return;
	}
	if (there)
		x->address[x->addresses++] = a;
	else
		x->address[at] = x->address[--x->addresses];
	if (x->live != NULL)
		write_address(x->live, &a, there);
}

static void write_all(const struct port *port, const struct live *l)
{
	const struct xdp *x = port->driver;

	for (uint32_t vid = 0; vid < STEER_88A8; vid++)
		if (owner_of(x, vid) != STEER_LEAVE)
			write_owner(port, l, vid);
	for (unsigned i = 0; i < x->addresses; i++)
		write_address(l, &x->address[i], true);
}

// --- the device ---

#define TRY_AGAIN 10u // looks after one that failed

static struct live *make_live(struct opener_answer *a, const struct netdev *device)
{
	unsigned queues = a->count - STEER_SOCKET;
	size_t bytes = sizeof(struct live) + queues * sizeof(struct queue);
	struct live *l = aligned_alloc(64, RTE_ALIGN(bytes, 64));

	if (l == NULL) {
		close_all(a);
		return NULL;
	}
	memset(l, 0, bytes);
	l->steered = *a;
	l->index = device->index;
	l->queues = queues;
	l->partial = a->value & STEER_PARTIAL;
	l->largest = !(a->value & STEER_SEGMENTS)             ? STEER_PAGE_FRAME
		     : device->mtu + SIZE_LINK <= CHUNK_FRAME ? CHUNK_FRAME
							      : 0;
	return l;
}

static_assert(STEER_FDS <= OPENER_DESCRIPTORS, "what the opener says");

static uint8_t tags_of(const struct live *l)
{
	return (uint8_t)(l->steered.value & STEER_TAGS_MASK);
}

// Sockets and rings on what the opener made, which is `a` no longer.
static int open_live(const struct port *port, struct opener_answer *a, struct live **out)
{
	const struct xdp *x = port->driver;
	struct xdp_options options = {0};
	socklen_t length = sizeof(options);
	struct netdev device;
	struct live *l;
	int err = netdev_read(x->control, x->device, &device);

	if (err) {
		close_all(a);
		return err;
	}
	l = make_live(a, &device);
	if (l == NULL)
		return -ENOMEM;
	for (uint32_t q = 0; !err && q < l->queues; q++)
		err = open_queue(l, q, x->rx_chunks);
	if (err) {
		end_live(l);
		return err;
	}
	if (getsockopt(l->steered.fd[STEER_SOCKET], SOL_XDP, XDP_OPTIONS, &options, &length) == 0)
		l->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	write_all(port, l);
	*out = l;
	return 0;
}

static bool still_there(const struct live *l)
{
	struct bpf_link_info info = {0};
	uint32_t length = sizeof(info);

	return bpf_obj_get_info_by_fd(l->steered.fd[STEER_LINK], &info, &length) == 0 &&
	       info.xdp.ifindex != 0;
}

// The program may not stand on a queue that came later, and nobody has a socket there.
static bool has_its_queues(const struct xdp *x)
{
	return netdev_queues(x->control, x->device) == x->live->queues;
}

static void add_losses(const struct live *l, struct port_losses *sum)
{
	uint32_t place = 0;
	int cpus = libbpf_num_possible_cpus();
	struct steer_counts counts[cpus > 0 ? cpus : 1];

	for (unsigned q = 0; q < l->queues; q++) {
		struct xdp_statistics s = {0};
		socklen_t length = sizeof(s);

		getsockopt(l->steered.fd[STEER_SOCKET + q], SOL_XDP, XDP_STATISTICS, &s, &length);
		// the kernel's own copy counts what it found no chunk for in both
		sum->missed +=
			s.rx_dropped -
			(l->zero_copy ? 0 : RTE_MIN(s.rx_dropped, s.rx_fill_ring_empty_descs));
		sum->no_ring += s.rx_ring_full;
		sum->no_chunk += s.rx_fill_ring_empty_descs;
		sum->large += __atomic_load_n(&l->queue[q].larges, __ATOMIC_RELAXED);
	}
	if (bpf_map_lookup_elem(l->steered.fd[STEER_VERDICTS_MAP], &place, counts) != 0)
		return;
	for (int i = 0; i < cpus; i++) {
		sum->no_socket +=
			counts[i].frames[STEER_NO_SOCKET] + counts[i].frames[STEER_NO_ROOM];
		sum->left += counts[i].frames[STEER_LEFT];
	}
}

static void losses(struct port *port, struct port_losses *l)
{
	const struct xdp *x = port->driver;

	*l = x->before;
	if (x->live != NULL)
		add_losses(x->live, l);
	if (x->ending != NULL)
		add_losses(x->ending, l);
}

// Workers may have the old one in hand for the rest of a turn.
static void let_go(struct port *port)
{
	struct xdp *x = port->driver;

	x->ending = x->live;
	__atomic_store_n(&x->live, NULL, __ATOMIC_RELEASE);
	if (port->readers != NULL)
		x->token = rte_rcu_qsbr_start(port->readers);
}

static void end_when_quiet(struct port *port)
{
	struct xdp *x = port->driver;

	if (x->ending == NULL ||
		(port->readers != NULL && rte_rcu_qsbr_check(port->readers, x->token, false) != 1))
		return;
	add_losses(x->ending, &x->before);
	end_live(x->ending);
	x->ending = NULL;
}

// Interfaces, and which worker polls and sends what, stand on what was known at the start.
static bool fits(const struct port *port, unsigned queues, uint8_t tags)
{
	const struct xdp *x = port->driver;

	return queues >= x->others.queues && queues <= port->rx_queues && tags <= port->tags;
}

// What does not fit is left as it is.
static int open_what_fits(struct port *port, struct live **l)
{
	struct xdp *x = port->driver;
	struct opener_answer a = {0};
	int err;

	if (!x->asked && !fits(port, netdev_queues(x->control, x->device), PORT_TAGS_SURE))
		return -EXDEV;
	err = opener_ask(x->opener, x->index, OPENER_XDP, 0, &a);
	x->asked = err == -EINPROGRESS;
	if (err)
		return err;
	err = open_live(port, &a, l);
	if (err || fits(port, (*l)->queues, tags_of(*l)))
		return err;
	end_live(*l);
	*l = NULL;
	return -EXDEV;
}

// A device of the port's name is there, and no socket stands on it.
static void take_up(struct port *port)
{
	struct xdp *x = port->driver;
	struct live *l = NULL;
	int err;

	if (x->rest > 0) {
		x->rest--;
		return;
	}
	err = open_what_fits(port, &l);
	if (err == -EINPROGRESS)
		return;
	if (err && err != x->error)
		log_warn("a device cannot be used", "port=%s device=%s error=\"%s\"", port->name,
			x->device,
			err == -EXDEV ? "it has other queues than before, or may hide tags"
				      : opener_strerror(err));
	x->error = err;
	x->rest = err ? TRY_AGAIN : 0;
	__atomic_store_n(&x->live, l, __ATOMIC_RELEASE);
}

static int poll_device(struct port *port)
{
	struct xdp *x = port->driver;
	struct netdev device = {0};
	int err = netdev_read(x->control, x->device, &device);
	uint8_t up, fault = device_fault(x->opener, err);
	bool there = err == 0;

	if (x->live != NULL && !(still_there(x->live) && has_its_queues(x)))
		let_go(port);
	end_when_quiet(port);
	if (x->live == NULL && x->ending == NULL && there && device.ethernet) {
		take_up(port);
		there = netdev_read(x->control, x->device, &device) == 0;
	}
	if (!there)
		device = (struct netdev){0};
	up = there && device.running && x->live != NULL;
	if (there && device.mtu != 0)
		x->limits.device_mtu = device.mtu;
	x->limits.chunk = x->live != NULL ? x->live->largest : 0;
	x->size = size_of_port(&x->limits);
	if (up == port->up && device.speed == port->speed && x->size.mtu == port->mtu &&
		x->size.tag_debt == port->tag_debt && fault == port->fault)
		return 0;
	port->fault = fault;
	port->speed = device.speed;
	port->mtu = x->size.mtu;
	port->tag_debt = x->size.tag_debt;
	port->zero_copy = x->live != NULL && x->live->zero_copy;
	__atomic_store_n(&port->up, up, __ATOMIC_RELEASE);
	return 1;
}

static const char *mtu_bound(const struct port *port)
{
	return ((const struct xdp *)port->driver)->size.bound;
}

static void close_xdp(struct port *port)
{
	struct xdp *x = port->driver;

	hand_over_stop(&x->others);
	end_live(x->live);
	end_live(x->ending);
	if (x->control >= 0)
		close(x->control);
	free(x);
	free(port);
}

static const struct port_kind kind = {
	.name = "xdp",
	.number = WIRE_PORT_XDP,
	.poll = poll_device,
	.losses = losses,
	.send_others = send_others,
	.own_tag = own_tag,
	.own_address = own_address,
	.mtu_bound = mtu_bound,
	.close = close_xdp,
};

static const struct port_kind kind_whole = {
	.name = "xdp-whole",
	.number = WIRE_PORT_XDP_WHOLE,
	.poll = poll_device,
	.losses = losses,
	.send_others = send_others,
	.mtu_bound = mtu_bound,
	.close = close_xdp,
};

// --- life ---

static int not_opened(const struct device_config *c, int err, struct device_error *error)
{
	switch (err) {
	case -EPERM:
		return device_wrong(error, err,
			"the steering program takes CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and "
			"CAP_IPC_LOCK: start culvert-dataplane as root, give it all four (setcap "
			"cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock=ep PROGRAM), or give the "
			"port mode=packet");
	case -ENODEV:
		return device_wrong(error, err, "the network namespace %s has no such device",
			c->netns[0] != '\0' ? c->netns : "of this process");
	case -ENOENT:
		return device_wrong(error, err, "the network namespace %s cannot be used (%s)",
			c->netns, strerror(-err));
	case -EAFNOSUPPORT:
		return device_wrong(error, err, "it is no Ethernet device");
	case -EDOM:
		return device_wrong(
			error, err, "the device does not take mtu=%u; give it less", c->mtu);
	case -ENOSPC:
		return device_wrong(error, err,
			"it has fewer receive queues than its driver wants for XDP, a veth as many "
			"as its other "
			"end transmits on: ethtool -L %s rx NUMBER, or tx 1 of the other end",
			c->device);
	case -E2BIG:
		return device_wrong(error, err,
			"it has more than %u receive queues: ethtool -L %s combined %u",
			STEER_QUEUES, c->device, STEER_QUEUES);
	case -ENOEXEC:
		return device_wrong(error, err,
			"this kernel does not take the steering program; give the port "
			"mode=packet");
	case -EBUSY:
		return device_wrong(error, err,
			"another XDP program stands on it: ip -d link show %s says which, ip link "
			"set %s xdp off takes one away that no process holds",
			c->device, c->device);
	case -ERANGE:
		return device_wrong(error, err,
			"its MTU, or that of its other end, is too large for XDP with this driver "
			"and kernel (before Linux 6.6 a frame is one page at most)");
	case -EOPNOTSUPP:
		return device_wrong(
			error, err, "its driver takes no XDP program; give the port mode=packet");
	default:
		return device_wrong(error, err, "it cannot be opened (%s)", opener_strerror(err));
	}
}

static int start(struct port *port, const struct device_config *c, struct device_error *error)
{
	struct xdp *x = port->driver;
	struct opener_answer a = {0};
	struct netdev device = {0};
	int err;

	if (c->mtu != 0 && size_buffer_for(c->mtu) > c->buffer_size)
		return device_wrong(error, -ENOSPC,
			"packets of mtu=%u do not fit into packet buffers of %u bytes: give "
			"--buffer-size %u",
			c->mtu, c->buffer_size, size_buffer_for(c->mtu));
	err = opener_wait(x->opener, x->index, OPENER_XDP, 0, &a);
	if (err)
		return not_opened(c, err, error);
	x->control = fcntl(a.fd[STEER_CONTROL], F_DUPFD_CLOEXEC, 0);
	err = open_live(port, &a, &x->live);
	if (err)
		return device_wrong(error, err,
			err == -EBUSY ? "somebody else has an AF_XDP socket on it (%s)"
				      : "its AF_XDP sockets cannot be set up (%s)",
			strerror(-err));
	if (hand_over_start(&x->others, (uint16_t)RTE_MIN(x->live->queues, c->workers), c->workers))
		return device_wrong(error, -ENOMEM, "too little memory");
	port->rx_queues = (uint16_t)x->live->queues;
	port->tags = tags_of(x->live);
	err = netdev_read(x->control, x->device, &device);
	if (err)
		return not_opened(c, err, error);
	memcpy(port->mac, device.mac, sizeof(port->mac));
	return 0;
}

int xdp_open(const struct device_config *c, struct port **out, struct device_error *error)
{
	struct port *port = calloc(1, sizeof(*port));
	struct xdp *x = calloc(1, sizeof(*x));
	int err;

	if (port == NULL || x == NULL || strlen(c->device) >= sizeof(x->device)) {
		err = port == NULL || x == NULL ? -ENOMEM : -ENODEV;
		free(x);
		free(port);
		return device_wrong(error, err, "%s",
			err == -ENOMEM ? "too little memory" : "no device has so long a name");
	}
	*port = (struct port){.rx = rx,
		.tx = tx,
		.driver = x,
		.kind = c->mode == DEVICE_XDP_WHOLE ? &kind_whole : &kind,
		.tx_queues = (uint16_t)c->workers, // hand-over included
		.outer_tpid = c->outer_tpid};
	snprintf(port->name, sizeof(port->name), "%s", c->name);
	snprintf(x->device, sizeof(x->device), "%s", c->device);
	x->control = -1;
	x->opener = c->opener;
	x->index = c->index;
	x->pool = c->pool;
	x->rx_chunks = steer_rx_chunks(c->descriptors);
	x->limits = (struct size_limits){
		.wanted = c->mtu,
		.overhead = SIZE_OVERHEAD_KERNEL,
		.buffer = c->buffer_size,
	};
	err = start(port, c, error);
	if (err) {
		close_xdp(port);
		return err;
	}
	poll_device(port);
	*out = port;
	return 0;
}

bool xdp_suits(const struct device_config *c)
{
	return c->netns[0] == '\0' && steer_suits(c->device);
}
