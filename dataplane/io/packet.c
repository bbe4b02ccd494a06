// SPDX-License-Identifier: BSD-3-Clause
// Ports on devices of the kernel: one packet socket that receives, and one for each worker that
// transmits.
//
// Receiving: a ring of frames (TPACKET_V2) that the kernel fills and the worker of the queue
// empties, each frame copied into a packet buffer; no system call. Only what is too large for a
// slot, which is what a sender on this machine left to its device to cut up, is received with one:
// it is cut here, and the segments are handed on burst by burst. Not TPACKET_V3: its blocks are
// handed over when they are full or a timer of the kernel says so, which keeps a packet for half a
// millisecond here, and for one or two ticks of 4 ms where that timer still counts ticks. No
// fanout: it is a flag of fanouts, set by DPDK's net_af_packet, that has the kernel put fragments
// of different customers together. What the kernel took off a frame comes back in io/ring.c; the
// cutting is io/segment.c's.
//
// Transmitting: sendmmsg, one call for what a worker has for the port in one turn. A transmit ring
// is slower on a veth, where the kernel copies its frames once more. The sockets that transmit
// receive nothing, and being several they have no lock in common. What the kernel does not take
// stays the caller's.
//
// The device is that of its name in the network namespace where the sockets were made, which is the
// opener's doing (opener.h): they, its MTU and what is switched off on it take privileges, all else
// here none. Each look of the main thread asks which device that is now, and which one the socket
// belongs to: one that was deleted and made again is bound to anew, with the same sockets and the
// same ring, so that workers notice nothing. The port keeps the MAC address it started with, which
// its interfaces and their neighbors know; the device is promiscuous.
//
// The kernel's own stack sees every frame, too.

#include "dataplane/io/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/io/netdev.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/segment.h"
#include "dataplane/log.h"

#define BLOCK      65536u      // bytes of memory in one piece
#define RING_BYTES (16u << 20) // of one port ...
#define RING_MOST  8192u       // ... but not more frames than this
#define BATCH      64u
#define WHOLE      66048u // frame that is to be cut up: 64 KiB of IP, front and tags
#define ETHERNET   14u

struct transmit {
	int fd;
	struct iovec part[BATCH];
	struct mmsghdr message[BATCH];
};

struct packet {
	// main thread's
	char device[IFNAMSIZ];
	struct opener *opener;
	unsigned index; // of the port
	int control;    // any socket of the device's namespace
	int receive;
	int asked;       // device for which the opener was asked to make its settings; 0 = none
	int error;       // of the last try to bind; told once
	uint16_t wanted; // MTU
	struct size_limits limits;
	struct size size;
	uint64_t missed;
	unsigned workers;
	// ring; the worker of queue 0
	uint8_t *ring __attribute__((aligned(64)));
	uint8_t *block; // the one in turn
	uint32_t blocks, per_block, slot;
	uint32_t at;      // in the block
	uint32_t largest; // frame that the device's MTU lets pass; by the main thread
	struct rte_mempool *pool;
	struct segments segments; // of the packet in `whole`
	uint8_t *whole;
	uint64_t large; // frames not handed on, see struct port_losses
	uint64_t broken;
	struct transmit transmit[]; // by worker
};

// --- workers ---

static struct tpacket2_hdr *slot_in_turn(const struct packet *p)
{
	return (struct tpacket2_hdr *)(void *)(p->block + (size_t)p->at * p->slot);
}

static void next_slot(struct packet *p)
{
	if (++p->at < p->per_block)
		return;
	p->at = 0;
	p->block += BLOCK;
	if (p->block == p->ring + (size_t)p->blocks * BLOCK)
		p->block = p->ring;
}

// The oldest packet that was too large for its slot, with its tag in front, into p->whole. Its tag
// comes with it, not from the slot: even if one of the two were lost, it would not be another's.
static uint32_t receive_whole(
	struct packet *p, const uint8_t **frame, struct virtio_net_hdr *about, uint32_t *tag)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;
	uint8_t *rest = p->whole + RING_MACS + RING_TAG;
	struct iovec part[] = {{about, sizeof(*about)}, {p->whole, RING_MACS},
		{rest, WHOLE - RING_MACS - RING_TAG}};
	struct msghdr message = {.msg_iov = part,
		.msg_iovlen = 3,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	struct tpacket_auxdata aux;
	const struct cmsghdr *c;
	ssize_t n = recvmsg(p->receive, &message, MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN) // what was to be said of the device is said, now the packet
		n = recvmsg(p->receive, &message, MSG_DONTWAIT);
	c = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (c == NULL || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
		c->cmsg_len < CMSG_LEN(sizeof(aux)) || (message.msg_flags & MSG_TRUNC) ||
		n < (ssize_t)(sizeof(*about) + ETHERNET))
		return 0;
	memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	*tag = ring_tag(aux.tp_status, aux.tp_vlan_tpid, aux.tp_vlan_tci, p->whole + RING_MACS);
	*frame = p->whole;
	if (*tag == 0) {
		memmove(p->whole + RING_TAG, p->whole, RING_MACS);
		*frame += RING_TAG;
	}
	return (uint32_t)n - (uint32_t)sizeof(*about) + *tag;
}

static int next_segment(struct packet *p, uint8_t *out, uint32_t room)
{
	uint32_t length = segments_next(&p->segments, out, room);

	return length != 0 ? (int)length : RING_LARGE;
}

// A packet that is larger than the device lets pass, to be cut up: its first segment.
static int cut(
	struct packet *p, const struct ring_slot *r, bool queued, uint8_t *out, uint32_t room)
{
	const uint8_t *frame = p->whole;
	struct virtio_net_hdr about = r->about;
	uint32_t tag = r->tag, length;

	if (queued)
		length = receive_whole(p, &frame, &about, &tag);
	else
		length = (uint32_t)RTE_MAX(0, ring_copy(r, UINT32_MAX, p->whole, WHOLE));
	return segments_start(&p->segments, frame, length, &about, tag) ? next_segment(p, out, room)
									: RING_LARGE;
}

static int read_slot(struct packet *p, const struct tpacket2_hdr *h, uint32_t status, uint8_t *out,
	uint32_t room)
{
	uint32_t largest = __atomic_load_n(&p->largest, __ATOMIC_RELAXED);
	bool queued = status & TP_STATUS_COPY;
	struct ring_slot r;
	int length;

	if (!ring_read(h, p->slot, status, &r))
		return RING_BROKEN;
	length = queued ? RING_SEGMENTS : ring_copy(&r, largest, out, room);
	return likely(length != RING_SEGMENTS) ? length : cut(p, &r, queued, out, room);
}

static bool is_there(const struct packet *p)
{
	return segments_left(&p->segments) ||
	       (__atomic_load_n(&slot_in_turn(p)->tp_status, __ATOMIC_RELAXED) & TP_STATUS_USER);
}

// The frame that is there, or why it is none.
static int next_frame(struct packet *p, uint8_t *out, uint32_t room)
{
	struct tpacket2_hdr *h = slot_in_turn(p);
	int length;

	if (unlikely(segments_left(&p->segments)))
		return next_segment(p, out, room);
	next_slot(p);
	rte_prefetch0(slot_in_turn(p));
	length = read_slot(p, h, __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE), out, room);
	__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	return length;
}

// Without a buffer the frames stay in the ring; what then does not fit there is `missed`.
static uint16_t rx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct packet *p = port->driver;
	struct rte_mbuf *m = NULL;
	uint16_t count = 0;

	for (uint16_t i = 0; i < n && is_there(p); i++) {
		int length;

		if (m == NULL && (m = rte_pktmbuf_alloc(p->pool)) == NULL)
			break;
		length = next_frame(p, rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m));
		if (likely(length >= 0)) {
			m->data_len = (uint16_t)length;
			m->pkt_len = (uint32_t)length;
			frames[count++] = m;
			m = NULL;
		} else if (length == RING_LARGE) {
			__atomic_store_n(&p->large, p->large + 1, __ATOMIC_RELAXED);
		} else {
			__atomic_store_n(&p->broken, p->broken + 1, __ATOMIC_RELAXED);
		}
	}
	rte_pktmbuf_free(m);
	return count;
}

static unsigned send_batch(struct transmit *t, struct rte_mbuf **frames, unsigned n)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < n; i++)
		t->part[i] =
			(struct iovec){rte_pktmbuf_mtod(frames[i], void *), frames[i]->data_len};
	while (sent < n) { // it ends early when a frame is not taken, and says why only then
		int more = sendmmsg(t->fd, t->message + sent, n - sent, MSG_DONTWAIT);

		if (more <= 0)
			break;
		sent += (unsigned)more;
	}
	rte_pktmbuf_free_bulk(frames, sent);
	return sent;
}

static uint16_t tx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct packet *p = port->driver;
	unsigned sent = 0, batch, took;

	do {
		batch = RTE_MIN(n - sent, BATCH);
		took = send_batch(&p->transmit[queue], frames + sent, batch);
		sent += took;
	} while (sent < n && took == batch);
	return (uint16_t)sent;
}

// --- sockets ---

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)) ? -errno : 0;
}

static int set_up_transmit(struct transmit *t)
{
	for (unsigned i = 0; i < BATCH; i++)
		t->message[i].msg_hdr = (struct msghdr){.msg_iov = &t->part[i], .msg_iovlen = 1};
	return set(t->fd, PACKET_QDISC_BYPASS, 1);
}

static int make_ring(struct packet *p, unsigned frames)
{
	struct tpacket_req r = {.tp_block_size = BLOCK, .tp_frame_size = p->slot};
	void *ring;

	p->per_block = BLOCK / p->slot;
	p->blocks = (frames + p->per_block - 1) / p->per_block;
	r.tp_block_nr = p->blocks;
	r.tp_frame_nr = p->blocks * p->per_block;
	if (setsockopt(p->receive, SOL_PACKET, PACKET_RX_RING, &r, sizeof(r)) < 0)
		return -errno;
	ring = mmap(NULL, (size_t)p->blocks * BLOCK, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, p->receive, 0);
	if (ring == MAP_FAILED)
		return -errno;
	p->ring = p->block = ring;
	return 0;
}

static int set_up_receive(struct packet *p, unsigned frames)
{
	int err = set(p->receive, PACKET_VERSION, TPACKET_V2);

	if (!err)
		err = set(p->receive, PACKET_VNET_HDR, 1);
	if (!err)
		err = set(p->receive, PACKET_IGNORE_OUTGOING, 1);
	if (!err)
		err = set(p->receive, PACKET_AUXDATA, 1);
	if (!err)
		err = set(
			p->receive, PACKET_COPY_THRESH, 1); // what a slot has no room for is queued
	p->whole = malloc(WHOLE);
	if (!err && p->whole == NULL)
		err = -ENOMEM;
	return err ? err : make_ring(p, frames);
}

static int get_sockets(struct packet *p)
{
	struct opener_answer a = {0};
	int err = opener_wait(p->opener, p->index, OPENER_SOCKETS, 1 + p->workers, &a);

	if (err)
		return err;
	p->control = a.fd[0];
	p->receive = a.fd[1];
	for (unsigned w = 0; w < p->workers; w++)
		p->transmit[w].fd = a.fd[2 + w];
	return 0;
}

static int set_up_sockets(struct packet *p, unsigned frames)
{
	int err = set_up_receive(p, frames);

	for (unsigned w = 0; w < p->workers && !err; w++)
		err = set_up_transmit(&p->transmit[w]);
	return err;
}

static int bind_one(int fd, int index, uint16_t protocol)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = index};
	socklen_t length = sizeof(int);
	int old;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &old, &length); // of the device that went
	return bind(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

// The device whose frames come in; -1 = it went.
static int bound_to(const struct packet *p)
{
	struct sockaddr_ll at = {0};
	socklen_t length = sizeof(at);

	return getsockname(p->receive, (struct sockaddr *)&at, &length) < 0 ? -1 : at.sll_ifindex;
}

// The receiving socket comes last: as long as it belongs to another device all is tried again.
static int bind_sockets(struct packet *p, int index)
{
	struct packet_mreq all = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};
	int err = 0;

	for (unsigned w = 0; w < p->workers && !err; w++)
		err = bind_one(p->transmit[w].fd, index, 0);
	if (!err &&
		setsockopt(p->receive, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0)
		err = -errno;
	return err ? err : bind_one(p->receive, index, ETH_P_ALL);
}

// --- main thread ---

static void count_missed(struct packet *p)
{
	struct tpacket_stats since; // the last time it was asked
	socklen_t length = sizeof(since);

	if (getsockopt(p->receive, SOL_PACKET, PACKET_STATISTICS, &since, &length) == 0)
		p->missed += since.tp_drops;
}

static void losses(struct port *port, struct port_losses *l)
{
	struct packet *p = port->driver;

	count_missed(p);
	*l = (struct port_losses){
		.missed = p->missed,
		.large = __atomic_load_n(&p->large, __ATOMIC_RELAXED),
		.broken = __atomic_load_n(&p->broken, __ATOMIC_RELAXED),
	};
}

// -EINPROGRESS: the opener is at it. Otherwise the device is as the port wants it, or it is as it
// is, and the port says so.
static int settle(struct packet *p, const struct port *port, const struct netdev *device)
{
	struct opener_answer none;
	int err, asked;

	if (p->asked == 0)
		p->asked = device->index;
	asked = p->asked;
	err = opener_ask(p->opener, p->index, OPENER_SETTINGS, 0, &none);
	if (err == -EINPROGRESS)
		return err;
	p->asked = 0;
	if (asked != device->index) // it was another one's answer
		return -EINPROGRESS;
	if (err)
		log_warn("settings of a device that was made again",
			"port=%s device=%s mtu=%u error=\"%s\"", port->name, p->device, p->wanted,
			opener_strerror(err));
	return 0;
}

// A device of the port's name is there, but it is not the one the sockets belong to.
static bool take_up(struct packet *p, const struct port *port, const struct netdev *device)
{
	int err = device->ethernet ? settle(p, port, device) : -EAFNOSUPPORT;

	if (err == -EINPROGRESS)
		return false;
	if (!err)
		err = bind_sockets(p, device->index);
	if (err && err != p->error)
		log_warn("a device that was made again cannot be used",
			"port=%s device=%s error=\"%s\"", port->name, p->device, strerror(-err));
	p->error = err;
	return err == 0;
}

static int poll_device(struct port *port)
{
	struct packet *p = port->driver;
	struct netdev device = {0};
	int err = netdev_read(p->control, p->device, &device);
	bool there = err == 0, up;

	if (there && bound_to(p) != device.index)
		there = take_up(p, port, &device) &&
			netdev_read(p->control, p->device, &device) == 0;
	if (!there)
		device = (struct netdev){0};
	up = there && device.running;
	if (there && device.mtu != 0)
		p->limits.device_mtu = device.mtu;
	p->size = size_of_port(&p->limits);
	__atomic_store_n(
		&p->largest, p->limits.device_mtu + ETHERNET + SIZE_TAGS, __ATOMIC_RELAXED);
	return device_show(port, up, device.speed, &p->size,
		device_fault(p->opener, err, there && !device.running));
}

static const char *mtu_bound(const struct port *port)
{
	return ((const struct packet *)port->driver)->size.bound;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void close_packet(struct port *port)
{
	struct packet *p = port->driver;

	for (unsigned w = 0; w < p->workers; w++)
		close_fd(p->transmit[w].fd);
	if (p->ring != NULL)
		munmap(p->ring, (size_t)p->blocks * BLOCK);
	close_fd(p->receive);
	close_fd(p->control);
	free(p->whole);
	free(p);
	free(port);
}

static const struct port_kind kind = {
	.name = "packet",
	.number = WIRE_PORT_PACKET,
	.poll = poll_device,
	.losses = losses,
	.mtu_bound = mtu_bound,
	.close = close_packet,
};

// --- life ---

static int check_device(struct packet *p, const struct device_config *c, struct netdev *device,
	struct device_error *error)
{
	int err = netdev_read(p->control, p->device, device);

	if (err)
		return device_wrong(error, err,
			"neither the EAL nor the network namespace %s has it (%s); give a PMD's "
			"device to the EAL with --vdev or -a, a kernel device by its name",
			c->netns[0] != '\0' ? c->netns : "of this process", strerror(-err));
	if (!device->ethernet)
		return device_wrong(error, -EAFNOSUPPORT, "it is no Ethernet device");
	return device_check_buffer(c, error);
}

#define GIVE                                                                                     \
	"start culvert-dataplane as root, or give it both: setcap cap_net_raw,cap_net_admin=ep " \
	"PROGRAM, or AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN in its unit"

static int not_opened(const struct device_config *c, int err, struct device_error *error)
{
	if (c->netns[0] != '\0')
		return device_wrong(error, err, "the network namespace %s cannot be used (%s)%s",
			c->netns, strerror(-err),
			err == -EPERM
				? ": that takes CAP_SYS_ADMIN, start culvert-dataplane as root"
				: "");
	if (err == -EPERM)
		return device_wrong(
			error, err, "a packet socket takes CAP_NET_RAW and CAP_NET_ADMIN: " GIVE);
	return device_wrong(
		error, err, "its packet sockets cannot be made (%s)", opener_strerror(err));
}

static int start(struct packet *p, struct port *port, const struct device_config *c,
	struct device_error *error)
{
	unsigned frames =
		c->descriptors != 0 ? c->descriptors : RTE_MIN(RING_BYTES / p->slot, RING_MOST);
	struct opener_answer none;
	struct netdev device;
	int err = get_sockets(p);

	if (err)
		return not_opened(c, err, error);
	err = set_up_sockets(p, frames);
	if (err)
		return device_wrong(error, err,
			"its packet sockets cannot be set up (%s): look at --descriptors and "
			"--buffer-size",
			strerror(-err));
	err = check_device(p, c, &device, error);
	if (err)
		return err;
	err = opener_wait(p->opener, p->index, OPENER_SETTINGS, 0, &none);
	if (err == -EPIPE || err == -ETIMEDOUT)
		return not_opened(c, err, error);
	if (err)
		return device_wrong(error, err,
			err == -EPERM ? "setting mtu=%u takes CAP_NET_ADMIN (%s): " GIVE
				      : "the device does not take mtu=%u (%s); give it less",
			c->mtu, strerror(-err));
	err = bind_sockets(p, device.index);
	if (err)
		return device_wrong(
			error, err, "its packet sockets cannot be bound (%s)", strerror(-err));
	memcpy(port->mac, device.mac, sizeof(port->mac));
	return 0;
}

int packet_open(const struct device_config *c, struct port **out, struct device_error *error)
{
	struct port *port = calloc(1, sizeof(*port));
	struct packet *p =
		aligned_alloc(64, RTE_ALIGN(sizeof(*p) + c->workers * sizeof(p->transmit[0]), 64));
	int err;

	if (port == NULL || p == NULL || strlen(c->device) >= sizeof(p->device)) {
		err = port == NULL || p == NULL ? -ENOMEM : -ENODEV;
		free(p);
		free(port);
		return device_wrong(error, err, "%s",
			err == -ENOMEM ? "too little memory"
				       : "it is neither a device of the EAL, nor can one of the "
					 "kernel have so long a name");
	}
	memset(p, 0, sizeof(*p) + c->workers * sizeof(p->transmit[0]));
	*port = (struct port){.rx = rx,
		.tx = tx,
		.driver = p,
		.kind = &kind,
		.rx_queues = 1,
		.tx_queues = (uint16_t)c->workers,
		.outer_tpid = c->outer_tpid};
	snprintf(port->name, sizeof(port->name), "%s", c->name);
	snprintf(p->device, sizeof(p->device), "%s", c->device);
	p->control = p->receive = -1;
	p->workers = c->workers;
	for (unsigned w = 0; w < p->workers; w++)
		p->transmit[w].fd = -1;
	p->pool = c->pool;
	p->opener = c->opener;
	p->index = c->index;
	p->wanted = c->mtu;
	p->slot = RTE_ALIGN(RING_HEAD + c->buffer_size, TPACKET_ALIGNMENT);
	p->limits = (struct size_limits){
		.wanted = c->mtu,
		.overhead = size_overhead_socket(c->outer_tpid == PORT_TPID_88A8),
		.buffer = c->buffer_size,
	};
	err = start(p, port, c, error);
	if (err) {
		close_packet(port);
		return err;
	}
	poll_device(port);
	*out = port;
	return 0;
}
