// SPDX-License-Identifier: BSD-3-Clause
// Ports on DPDK devices: set-up, queue map, hand-over, link state.
//
// A device gives as many queues as it has and there are workers. Receive queues are dealt out to
// the workers; each worker transmits on the queue of its own index. Where a device has fewer
// transmit queues (most vdevs have one), the workers beyond hand their frames to the owner of a
// queue through an SPSC ring; the owner sends them after its own turn. A frame that was put into
// such a ring is sent: when the device's queue is full it waits, and the ring fills, which the
// sender sees as a full port.
//
// Link state of a port on a kernel device (af_packet, af_xdp, tap) is read from that device:
// net_af_packet always says up. A device that vanished is down.

#include "dataplane/io/ethdev.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#define DESCRIPTORS 1024u
#define HAND_OVER   512u // frames a ring holds
#define BURST       32u

struct hand_over {
	struct rte_ring *ring;
	struct rte_mbuf *left[BURST]; // taken out, not sent yet
	unsigned left_count;
};

struct ethdev {
	uint16_t id;
	uint16_t rx_queues;
	uint16_t tx_queues;
	unsigned workers;
	unsigned kernel_index; // of the device under the port; 0 = none
	bool started;
	struct hand_over from[DATAPLANE_WORKERS]; // by sending worker
};

static uint16_t rx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct ethdev *e = port->driver;

	return rte_eth_rx_burst(e->id, queue, frames, n);
}

static uint16_t tx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct ethdev *e = port->driver;

	if (queue < e->tx_queues)
		return rte_eth_tx_burst(e->id, queue, frames, n);
	return (uint16_t)rte_ring_enqueue_burst(
		e->from[queue].ring, (void *const *)frames, n, NULL);
}

static unsigned send_for(struct ethdev *e, uint16_t queue, struct hand_over *h)
{
	unsigned sent;

	if (!h->left_count)
		h->left_count = rte_ring_dequeue_burst(h->ring, (void **)h->left, BURST, NULL);
	if (!h->left_count)
		return 0;
	sent = rte_eth_tx_burst(e->id, queue, h->left, (uint16_t)h->left_count);
	h->left_count -= sent;
	memmove(h->left, h->left + sent, h->left_count * sizeof(h->left[0]));
	return sent;
}

unsigned ethdev_hand_over(struct dataplane *dp, unsigned worker)
{
	unsigned n = 0;

	for (uint32_t p = 0; p < dp->ports; p++) {
		struct ethdev *e = dp->port[p]->driver;

		if (dp->port[p]->tx != tx || worker >= e->tx_queues)
			continue;
		for (unsigned w = worker + e->tx_queues; w < e->workers; w += e->tx_queues)
			n += send_for(e, (uint16_t)worker, &e->from[w]);
	}
	return n;
}

int ethdev_map_queues(struct dataplane *dp)
{
	for (uint32_t p = 0; p < dp->ports; p++) {
		for (uint16_t q = 0; q < dp->port[p]->rx_queues; q++) {
			int err = worker_add_queue(dp->worker[(p + q) % dp->workers], p, q);

			if (err)
				return err;
		}
		for (unsigned w = 0; w < dp->workers; w++)
			worker_set_tx_queue(dp->worker[w], p, (uint16_t)w);
	}
	return 0;
}

// --- link ---

// Flags and MTU of a kernel device. -errno when it is gone.
static int kernel_device(unsigned index, short *flags, int *mtu)
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (!if_indextoname(index, r.ifr_name) || ioctl(fd, SIOCGIFFLAGS, &r) < 0) {
		err = -errno;
	} else {
		*flags = r.ifr_flags;
		if (ioctl(fd, SIOCGIFMTU, &r) < 0)
			err = -errno;
		else
			*mtu = r.ifr_mtu;
	}
	close(fd);
	return err;
}

static void read_link(const struct ethdev *e, uint8_t *up, uint32_t *speed, uint16_t *mtu)
{
	struct rte_eth_link link = {0};
	short flags = 0;
	int kernel_mtu = 0;

	*up = 0;
	*speed = 0;
	rte_eth_dev_get_mtu(e->id, mtu);
	if (rte_eth_link_get_nowait(e->id, &link) == 0) {
		*up = link.link_status == RTE_ETH_LINK_UP;
		if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
			*speed = link.link_speed;
	}
	if (!e->kernel_index)
		return;
	*up = 0;
	if (kernel_device(e->kernel_index, &flags, &kernel_mtu))
		return;
	*up = (flags & IFF_UP) && (flags & IFF_RUNNING);
	*mtu = (uint16_t)(kernel_mtu > 0 && kernel_mtu < UINT16_MAX ? kernel_mtu : UINT16_MAX);
}

int ethdev_poll_link(struct port *port)
{
	uint8_t up;
	uint32_t speed;
	uint16_t mtu = port->mtu;

	read_link(port->driver, &up, &speed, &mtu);
	if (up == port->up && speed == port->speed && mtu == port->mtu)
		return 0;
	port->speed = speed;
	port->mtu = mtu;
	__atomic_store_n(&port->up, up, __ATOMIC_RELEASE);
	return 1;
}

// --- life ---

static int set_up_queues(
	struct ethdev *e, const struct ethdev_config *c, const struct rte_eth_dev_info *info)
{
	uint16_t rx_descriptors = (uint16_t)(c->descriptors ? c->descriptors : DESCRIPTORS);
	uint16_t tx_descriptors = rx_descriptors;
	int err, socket = rte_eth_dev_socket_id(e->id);
	struct rte_eth_conf conf = {0};

	if (e->rx_queues > 1 && info->flow_type_rss_offloads) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			info->flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	err = rte_eth_dev_configure(e->id, e->rx_queues, e->tx_queues, &conf);
	if (!err)
		err = rte_eth_dev_adjust_nb_rx_tx_desc(e->id, &rx_descriptors, &tx_descriptors);
	for (uint16_t q = 0; q < e->rx_queues && !err; q++)
		err = rte_eth_rx_queue_setup(
			e->id, q, rx_descriptors, (unsigned)socket, NULL, c->pool);
	for (uint16_t q = 0; q < e->tx_queues && !err; q++)
		err = rte_eth_tx_queue_setup(e->id, q, tx_descriptors, (unsigned)socket, NULL);
	return err;
}

static int set_up_hand_over(struct ethdev *e)
{
	for (unsigned w = e->tx_queues; w < e->workers; w++) {
		ssize_t size = (rte_ring_get_memsize(HAND_OVER) + 63) & ~63;
		struct rte_ring *r = aligned_alloc(64, (size_t)size);

		if (!r)
			return -ENOMEM;
		if (rte_ring_init(r, "hand-over", HAND_OVER, RING_F_SP_ENQ | RING_F_SC_DEQ)) {
			free(r);
			return -EINVAL;
		}
		e->from[w].ring = r;
	}
	return 0;
}

static int start(struct ethdev *e, const struct ethdev_config *c, const char **why)
{
	struct rte_eth_dev_info info;
	int err;

	*why = "the device does not answer";
	err = rte_eth_dev_info_get(e->id, &info);
	if (err)
		return err;
	e->kernel_index = info.if_index;
	e->rx_queues = (uint16_t)RTE_MIN(c->workers, (unsigned)info.max_rx_queues);
	e->tx_queues = (uint16_t)RTE_MIN(c->workers, (unsigned)info.max_tx_queues);
	if (!e->tx_queues) {
		*why = "the device has no transmit queue";
		return -ENOTSUP;
	}
	*why = "its queues cannot be set up";
	err = set_up_queues(e, c, &info);
	if (err)
		return err;
	*why = "too little memory";
	err = set_up_hand_over(e);
	if (err)
		return err;
	*why = "the device does not start";
	err = rte_eth_dev_start(e->id);
	if (err)
		return err;
	e->started = true;
	rte_eth_promiscuous_enable(
		e->id); // interfaces may have MACs of their own; classify checks them
	return 0;
}

int ethdev_open(const struct ethdev_config *c, struct port **port, const char **why)
{
	struct rte_ether_addr mac = {0};
	struct port *p = calloc(1, sizeof(*p));
	struct ethdev *e = calloc(1, sizeof(*e));
	int err = -ENOMEM;

	*why = "too little memory";
	if (!p || !e)
		goto fail;
	p->driver = e;
	e->workers = c->workers;
	err = -ENODEV;
	*why = "there is no such device; give it to the EAL with --vdev or -a";
	if (rte_eth_dev_get_port_by_name(c->device, &e->id))
		goto fail;
	err = start(e, c, why);
	if (err) {
		ethdev_close(p);
		return err;
	}
	p->rx = rx;
	p->tx = tx;
	p->rx_queues = e->rx_queues;
	p->tx_queues = (uint16_t)c->workers; // hand-over included
	p->outer_tpid = c->outer_tpid;
	rte_eth_macaddr_get(e->id, &mac);
	memcpy(p->mac, mac.addr_bytes, sizeof(p->mac));
	snprintf(p->name, sizeof(p->name), "%s", c->name);
	ethdev_poll_link(p);
	*port = p;
	return 0;

fail:
	free(e);
	free(p);
	return err;
}

void ethdev_close(struct port *p)
{
	struct ethdev *e;

	if (!p)
		return;
	e = p->driver;
	for (unsigned w = 0; w < DATAPLANE_WORKERS; w++) {
		struct hand_over *h = &e->from[w];
		void *frame;

		rte_pktmbuf_free_bulk(h->left, h->left_count);
		while (h->ring && !rte_ring_dequeue(h->ring, &frame))
			rte_pktmbuf_free(frame);
		free(h->ring);
	}
	if (e->started)
		rte_eth_dev_stop(e->id);
	rte_eth_dev_close(e->id);
	free(e);
	free(p);
}
