// SPDX-License-Identifier: BSD-3-Clause
// Ports on DPDK devices: set-up, hand-over, link state.
//
// A device gives as many queues as it has and there are workers. Receive queues are dealt out to
// the workers (device.c); each worker transmits on the queue of its own index, or hands its frames
// over (hand_over.h) where a device has fewer transmit queues, as most vdevs have.
//
// MTU: `--port NAME=DEVICE,mtu=N` is set on the device, a PMD's or the kernel's. What a port claims
// is never more than device, ring and buffers hold (size.c), looked at again with the link, since
// the MTU of a kernel device is anybody's to change.
//
// Link state of a port on a kernel device (af_packet, af_xdp, tap) is read from that device:
// net_af_packet always says up. A device that vanished is down.

#include "dataplane/io/ethdev.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/io/hand_over.h"
#include "dataplane/io/netdev.h"
#include "dataplane/wire/port_fault.h"

#define DESCRIPTORS 1024u
#define MTU_DEFAULT 1500u
#define RING_FRAME  2048u // net_af_packet's framesz when it is not given

struct ethdev {
	uint16_t id;
	uint16_t rx_queues;
	uint16_t tx_queues;
	unsigned workers;
	unsigned kernel_index; // of the device under the port; 0 = none
	uint32_t max_mtu;      // that the driver takes
	struct size_limits limits;
	struct size size;
	bool started;
	bool merges; // see struct port
	struct hand_over others;
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
	return hand_over_put(&e->others, queue, frames, n);
}

static uint16_t send_queued(void *ctx, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	return rte_eth_tx_burst(((const struct ethdev *)ctx)->id, queue, frames, n);
}

static unsigned send_others(struct port *port, unsigned worker)
{
	struct ethdev *e = port->driver;

	return hand_over_send(&e->others, worker, e, send_queued);
}

// --- link ---

// Of the kernel device under the port. -errno when it is gone.
static int kernel_device(unsigned index, struct netdev *device, uint16_t set_mtu)
{
	char name[IF_NAMESIZE];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = -ENODEV;

	if (fd < 0)
		return -errno;
	if (if_indextoname(index, name) != NULL)
		err = set_mtu != 0 ? netdev_set_mtu(fd, name, set_mtu)
				   : netdev_read(fd, name, device);
	close(fd);
	return err;
}

static void read_link(struct ethdev *e, uint8_t *up, uint32_t *speed)
{
	struct rte_eth_link link = {0};
	struct netdev device;
	uint16_t mtu;

	*up = 0;
	*speed = 0;
	if (rte_eth_link_get_nowait(e->id, &link) == 0) {
		*up = link.link_status == RTE_ETH_LINK_UP;
		if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
			*speed = link.link_speed;
	}
	if (e->kernel_index == 0) {
		if (rte_eth_dev_get_mtu(e->id, &mtu) == 0)
			e->limits.device_mtu = mtu;
	} else {
		*up = 0;
		if (kernel_device(e->kernel_index, &device, 0) == 0 && device.mtu != 0) {
			*up = device.running;
			e->limits.device_mtu = RTE_MIN(device.mtu, e->max_mtu);
		}
	}
	e->size = size_of_port(&e->limits);
}

static int poll_link(struct port *port)
{
	struct ethdev *e = port->driver;
	uint8_t up;
	uint32_t speed;

	read_link(e, &up, &speed);
	return device_show(port, up, speed, &e->size, WIRE_PORT_FAULT_NONE);
}

static const char *mtu_bound(const struct port *port)
{
	const struct ethdev *e = port->driver;

	return e->size.bound;
}

static void losses(struct port *port, struct port_losses *l)
{
	const struct ethdev *e = port->driver;
	struct rte_eth_stats stats;

	*l = port->booked;
	if (rte_eth_stats_get(e->id, &stats) == 0 && stats.imissed > l->missed)
		l->missed = stats.imissed;
}

// --- MTU ---

static bool is_af_packet(const struct rte_eth_dev_info *info)
{
	return info->driver_name != NULL && strcmp(info->driver_name, "net_af_packet") == 0;
}

// The kernel shares frames of this size with net_af_packet; 0 = another driver.
static uint32_t ring_frame(const struct rte_eth_dev_info *info)
{
	const struct rte_devargs *args = rte_dev_devargs(info->device);
	const char *text = args != NULL ? args->args : NULL;

	if (!is_af_packet(info))
		return 0;
	text = text != NULL ? strstr(text, "framesz=") : NULL;
	return text != NULL ? (uint32_t)strtoul(text + 8, NULL, 10) : RING_FRAME;
}

static int check_sizes(
	const struct device_config *c, const struct size_limits *l, struct device_error *error)
{
	struct size_limits without_device = *l;

	without_device.device_mtu = 0;
	if (l->ring_frame != 0 && l->ring_frame - 32 > c->buffer_size)
		return device_wrong(error, -ENOSPC,
			"frames of net_af_packet's ring (framesz=%u) do not fit into packet "
			"buffers of %u "
			"bytes: give --buffer-size %u, or a smaller framesz",
			l->ring_frame, c->buffer_size, l->ring_frame);
	if (c->mtu == 0 || size_of_port(&without_device).mtu >= c->mtu)
		return 0;
	if (device_check_buffer(c, error) != 0)
		return -ENOSPC;
	return device_wrong(error, -ENOSPC,
		"packets of mtu=%u do not fit into net_af_packet's ring (framesz=%u): give the "
		"device "
		"framesz=%u,blocksz=65536",
		c->mtu, l->ring_frame, size_ring_frame_for(c->mtu));
}

// Before the device starts. A PMD takes it with its configuration as well; some only here.
static int set_mtu(struct ethdev *e, const struct device_config *c,
	const struct rte_eth_dev_info *info, struct device_error *error)
{
	uint16_t mtu = c->mtu != 0 ? c->mtu : MTU_DEFAULT;
	int err;

	if (e->kernel_index != 0)
		err = c->mtu != 0 ? kernel_device(e->kernel_index, NULL, mtu) : 0;
	else
		err = rte_eth_dev_set_mtu(
			e->id, size_device_mtu(mtu, e->limits.overhead, info->max_mtu));
	// Without `mtu=` the device keeps what it has; a PMD that only knows rxmode.mtu has it by
	// now.
	if (err == 0 || c->mtu == 0 || (err == -ENOTSUP && e->kernel_index == 0))
		return 0;
	return device_wrong(error, err, "the device does not take mtu=%u (%s); give it less", mtu,
		strerror(-err));
}

// --- life ---

static uint16_t queues_of(const struct device_config *c, uint16_t most)
{
	return (uint16_t)RTE_MIN(c->workers, (unsigned)most);
}

static void count_descriptors(
	const struct device_config *c, uint16_t id, uint16_t *rx_count, uint16_t *tx_count)
{
	*rx_count = *tx_count = (uint16_t)(c->descriptors ? c->descriptors : DESCRIPTORS);
	rte_eth_dev_adjust_nb_rx_tx_desc(id, rx_count, tx_count);
}

// 0 and *info, or what is wrong.
static int find(const struct device_config *c, uint16_t *id, struct rte_eth_dev_info *info,
	struct device_error *error)
{
	if (rte_eth_dev_get_port_by_name(c->device, id))
		return device_wrong(error, -ENODEV, "there is no such device");
	if (rte_eth_dev_info_get(*id, info))
		return device_wrong(error, -EIO, "the device does not answer");
	if (info->max_tx_queues == 0)
		return device_wrong(error, -ENOTSUP, "the device has no transmit queue");
	return 0;
}

int ethdev_measure(const struct device_config *c, struct size_users *users, uint32_t *buffer_size,
	struct device_error *error)
{
	struct rte_eth_dev_info info;
	uint16_t id, rx_count, tx_count, tx_queues;
	int err = find(c, &id, &info, error);

	if (err)
		return err;
	count_descriptors(c, id, &rx_count, &tx_count);
	tx_queues = queues_of(c, info.max_tx_queues);
	users->rx_descriptors += (uint32_t)rx_count * queues_of(c, info.max_rx_queues);
	users->tx_descriptors += (uint32_t)tx_count * tx_queues;
	users->hand_over += HAND_OVER * (c->workers - tx_queues);
	*buffer_size = RTE_MAX(*buffer_size, ring_frame(&info));
	return 0;
}

static int set_up_queues(struct ethdev *e, const struct device_config *c,
	const struct rte_eth_dev_info *info, struct device_error *error)
{
	int err, socket = rte_eth_dev_socket_id(e->id);
	struct rte_eth_conf conf = {0};
	uint16_t rx_count, tx_count;

	count_descriptors(c, e->id, &rx_count, &tx_count);
	if (e->kernel_index == 0 && c->mtu != 0)
		conf.rxmode.mtu = size_device_mtu(c->mtu, e->limits.overhead, info->max_mtu);
	if (e->rx_queues > 1 && info->flow_type_rss_offloads) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			info->flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	// Right as long as every frame is one buffer of the one pool that nobody else refers to.
	if (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	err = rte_eth_dev_configure(e->id, e->rx_queues, e->tx_queues, &conf);
	if (err)
		return device_wrong(error, err,
			"the device does not take %u receive and %u transmit queues with mtu=%u "
			"(%s)",
			e->rx_queues, e->tx_queues, c->mtu ? c->mtu : MTU_DEFAULT, strerror(-err));
	err = set_mtu(e, c, info, error);
	if (err)
		return err;
	for (uint16_t q = 0; q < e->rx_queues && !err; q++)
		err = rte_eth_rx_queue_setup(e->id, q, rx_count, (unsigned)socket, NULL, c->pool);
	for (uint16_t q = 0; q < e->tx_queues && !err; q++)
		err = rte_eth_tx_queue_setup(e->id, q, tx_count, (unsigned)socket, NULL);
	if (err)
		return device_wrong(error, err,
			"its queues of %u and %u descriptors cannot be set up (%s): look at "
			"--descriptors, --buffers and --buffer-size",
			rx_count, tx_count, strerror(-err));
	return 0;
}

static int start(struct ethdev *e, const struct device_config *c, struct device_error *error)
{
	struct rte_eth_dev_info info;
	int err = find(c, &e->id, &info, error);

	if (err)
		return err;
	e->kernel_index = info.if_index;
	e->merges = is_af_packet(&info); // a fanout with defragmentation, always
	e->max_mtu = info.max_mtu != 0 ? info.max_mtu : UINT16_MAX;
	e->rx_queues = queues_of(c, info.max_rx_queues);
	e->tx_queues = queues_of(c, info.max_tx_queues);
	e->limits = (struct size_limits){
		.wanted = c->mtu != 0            ? c->mtu
			  : e->kernel_index != 0 ? 0
						 : MTU_DEFAULT,
		.overhead = e->kernel_index != 0 ? SIZE_OVERHEAD_KERNEL
						 : size_overhead(info.max_rx_pktlen, info.max_mtu),
		.buffer = c->buffer_size,
		.ring_frame = ring_frame(&info),
	};
	err = check_sizes(c, &e->limits, error);
	if (!err)
		err = set_up_queues(e, c, &info, error);
	if (!err && hand_over_start(&e->others, e->tx_queues, e->workers))
		err = device_wrong(error, -ENOMEM, "too little memory");
	if (err)
		return err;
	err = rte_eth_dev_start(e->id);
	if (err)
		return device_wrong(error, err,
			"the device does not start (%s): if it lacks packet buffers, raise "
			"--buffers or "
			"lower --descriptors or --workers",
			strerror(-err));
	e->started = true;
	// Interfaces may have MACs of their own; classify checks them.
	rte_eth_promiscuous_enable(e->id);
	return 0;
}

static void close_ethdev(struct port *p)
{
	struct ethdev *e = p->driver;

	hand_over_stop(&e->others);
	if (e->started)
		rte_eth_dev_stop(e->id);
	if (e->id != RTE_MAX_ETHPORTS)
		rte_eth_dev_close(e->id);
	free(e);
	free(p);
}

static const struct port_kind kind = {
	.name = "ethdev",
	.number = WIRE_PORT_ETHDEV,
	.poll = poll_link,
	.losses = losses,
	.mtu_bound = mtu_bound,
	.send_others = send_others,
	.close = close_ethdev,
};

int ethdev_open(const struct device_config *c, struct port **port, struct device_error *error)
{
	struct rte_ether_addr mac = {0};
	struct port *p = calloc(1, sizeof(*p));
	struct ethdev *e = calloc(1, sizeof(*e));
	int err;

	if (p == NULL || e == NULL) {
		free(e);
		free(p);
		return device_wrong(error, -ENOMEM, "too little memory");
	}
	p->driver = e;
	p->kind = &kind;
	e->id = RTE_MAX_ETHPORTS; // none
	e->workers = c->workers;
	err = start(e, c, error);
	if (err) {
		close_ethdev(p);
		return err;
	}
	p->rx = rx;
	p->tx = tx;
	p->rx_queues = e->rx_queues;
	p->tx_queues = (uint16_t)c->workers; // hand-over included
	p->outer_tpid = c->outer_tpid;
	p->merges = e->merges;
	rte_eth_macaddr_get(e->id, &mac);
	memcpy(p->mac, mac.addr_bytes, sizeof(p->mac));
	snprintf(p->name, sizeof(p->name), "%s", c->name);
	poll_link(p);
	*port = p;
	return 0;
}
