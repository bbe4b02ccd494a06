// SPDX-License-Identifier: BSD-3-Clause
// Ports on devices of the kernel by AF_XDP: sockets (xdp_sockets.h) and the steering program (bpf/),
// which knows by its maps (xdp_owned.h) what is the data plane's. That never enters the kernel's
// stack, and what is not stays there. What takes privileges is steer.c's.
//
// A socket whose device went is dead and says nothing. The main thread sees the program's link lose
// its device, or the device have other queues than those with a socket, takes the sockets away from
// the workers (`live`), makes an end of them when no worker can have them any more, and opens all
// anew on the device that has the name then. Sockets and program are those of one device, and what
// was on its way to it goes with it; the port keeps its MAC address and what it owns.

#include "dataplane/io/xdp.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>

#include "dataplane/io/hand_over.h"
#include "dataplane/io/netdev.h"
#include "dataplane/io/steer.h"
#include "dataplane/io/xdp_owned.h"
#include "dataplane/io/xdp_sockets.h"
#include "dataplane/log.h"

struct xdp {
	// workers read this
	struct xdp_sockets *live; // NULL = there is no device
	struct rte_mempool *pool;
	struct hand_over others;
	// main thread's
	char device[IFNAMSIZ];
	char netns[OPENER_NETNS_MAX];
	struct opener *opener;
	unsigned index; // of the port
	int control;    // any socket of the device's namespace
	uint32_t rx_chunks;
	struct xdp_sockets *ending; // until no worker has them
	uint64_t token;
	bool asked;    // the opener, who has not answered
	int error;     // why the device could not be taken up, told once
	unsigned rest; // looks until that is tried again
	struct size_limits limits;
	struct size size;
	struct port_losses before; // of sockets that ended
	struct xdp_owned owned;
};

// --- workers ---

static struct xdp_sockets *sockets_of(const struct xdp *x)
{
	return __atomic_load_n(&x->live, __ATOMIC_ACQUIRE);
}

static uint16_t rx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	const struct xdp *x = port->driver;
	struct xdp_sockets *s = sockets_of(x);

	return likely(s != NULL) ? xdp_sockets_rx(s, queue, x->pool, frames, n) : 0;
}

static uint16_t tx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct xdp *x = port->driver;
	struct xdp_sockets *s;

	if (queue >= x->others.queues)
		return hand_over_put(&x->others, queue, frames, n);
	s = sockets_of(x);
	return likely(s != NULL) ? xdp_sockets_tx(s, queue, frames, n) : 0;
}

// What was handed over counts as sent, so it goes or is thrown away: what this device never takes,
// which came before its MTU was known, and all of it while there is no device, because the next one
// of its name may have somebody else behind the same tags.
static uint16_t send_handed_over(void *ctx, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct xdp_sockets *s = ctx;
	uint16_t sent = s != NULL ? xdp_sockets_tx(s, queue, frames, n) : 0;

	while (sent < n && (s == NULL || !xdp_sockets_take(s, frames[sent])))
		rte_pktmbuf_free(frames[sent++]);
	return sent;
}

static unsigned send_others(struct port *port, unsigned worker)
{
	struct xdp *x = port->driver;
	struct xdp_sockets *s = sockets_of(x);
	unsigned n = hand_over_send(&x->others, worker, s, send_handed_over);

	if (s != NULL && worker < x->others.queues)
		xdp_sockets_send_rest(s, worker);
	return n;
}

// --- what is ours ---

static const int *steered(const struct xdp *x)
{
	return x->live != NULL ? x->live->steered.fd : NULL;
}

static void own_tag(struct port *port, uint16_t vid, bool core, int change)
{
	struct xdp *x = port->driver;

	xdp_own_tag(&x->owned, steered(x), vid, core, change);
}

static void own_address(struct port *port, uint8_t family, const uint8_t *address, int change)
{
	struct xdp *x = port->driver;

	if (xdp_own_address(&x->owned, steered(x), family, address, change) != 0)
		log_warn("too many addresses of ours for the steering program", "port=%s most=%u",
			port->name, STEER_ADDRESSES);
}

// --- the device ---

#define TRY_AGAIN 10u // looks after one that failed

// Sockets and rings on what the opener made, which is `a` no longer.
static int open_sockets(const struct xdp *x, struct opener_answer *a, struct xdp_sockets **s)
{
	struct netdev device;
	int err = netdev_read(x->control, x->device, &device);

	if (err) {
		opener_close(a);
		return err;
	}
	err = xdp_sockets_open(a, &device, x->rx_chunks, s);
	if (!err)
		xdp_own_all(&x->owned, (*s)->steered.fd);
	return err;
}

// The program may not stand on a queue that came later, and nobody has a socket there.
static bool has_its_queues(const struct xdp *x)
{
	return netdev_queues(x->control, x->device) == x->live->queues;
}

static void losses(struct port *port, struct port_losses *l)
{
	const struct xdp *x = port->driver;

	*l = x->before;
	if (x->live != NULL)
		xdp_sockets_losses(x->live, l);
	if (x->ending != NULL)
		xdp_sockets_losses(x->ending, l);
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
	xdp_sockets_losses(x->ending, &x->before);
	xdp_sockets_close(x->ending);
	x->ending = NULL;
}

static int not_opened(const struct xdp *x, int err, struct device_error *error)
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
			x->netns[0] != '\0' ? x->netns : "of this process");
	case -ENOENT:
		return device_wrong(error, err, "the network namespace %s cannot be used (%s)",
			x->netns, strerror(-err));
	case -EAFNOSUPPORT:
		return device_wrong(error, err, "it is no Ethernet device");
	case -EDOM:
		return device_wrong(error, err, "the device does not take mtu=%u; give it less",
			x->limits.wanted);
	case -ENOSPC:
		return device_wrong(error, err,
			"it has fewer receive queues than its driver wants for XDP, a veth as many "
			"as its other "
			"end transmits on: ethtool -L %s rx NUMBER, or tx 1 of the other end",
			x->device);
	case -E2BIG:
		return device_wrong(error, err,
			"it has more than %u receive queues: ethtool -L %s combined %u",
			STEER_QUEUES, x->device, STEER_QUEUES);
	case -ENOEXEC:
		return device_wrong(error, err,
			"this kernel does not take the steering program; give the port "
			"mode=packet");
	case -EBUSY:
		return device_wrong(error, err,
			"another XDP program stands on it: ip -d link show %s says which, ip link "
			"set %s xdp off takes one away that no process holds",
			x->device, x->device);
	case -ERANGE:
		return device_wrong(error, err,
			"its MTU, or that of its other end, is too large for XDP with this driver "
			"and kernel (before Linux 6.6 a frame is one page at most)");
	case -EOPNOTSUPP:
		return device_wrong(
			error, err, "its driver takes no XDP program; give the port mode=packet");
	case -EXDEV:
		return device_wrong(
			error, err, "it has other queues than at the start, or may hide tags");
	default:
		return device_wrong(error, err, "it cannot be opened (%s)", opener_strerror(err));
	}
}

// Interfaces, and which worker polls and sends what, stand on what was known at the start.
static bool fits(const struct port *port, unsigned queues, uint8_t tags)
{
	const struct xdp *x = port->driver;

	return queues >= x->others.queues && queues <= port->rx_queues && tags <= port->tags;
}

// What does not fit is left as it is.
static int open_what_fits(struct port *port, struct xdp_sockets **s)
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
	err = open_sockets(x, &a, s);
	if (err || fits(port, (*s)->queues, (*s)->tags))
		return err;
	xdp_sockets_close(*s);
	*s = NULL;
	return -EXDEV;
}

// A device of the port's name is there, and no socket stands on it.
static void take_up(struct port *port)
{
	struct xdp *x = port->driver;
	struct xdp_sockets *s = NULL;
	struct device_error why;
	int err;

	if (x->rest > 0) {
		x->rest--;
		return;
	}
	err = open_what_fits(port, &s);
	if (err == -EINPROGRESS)
		return;
	if (err && err != x->error && err != -ENODEV) { // it went meanwhile, which the port says
		not_opened(x, err, &why);
		log_warn("a device cannot be used", "port=%s device=%s error=\"%s\"", port->name,
			x->device, why.text);
	}
	x->error = err;
	x->rest = err ? TRY_AGAIN : 0;
	__atomic_store_n(&x->live, s, __ATOMIC_RELEASE);
}

static int poll_device(struct port *port)
{
	struct xdp *x = port->driver;
	struct netdev device = {0};
	int err = netdev_read(x->control, x->device, &device);
	bool there = err == 0, up;

	if (x->live != NULL && !(xdp_sockets_attached(x->live) && has_its_queues(x)))
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
	port->zero_copy = x->live != NULL && x->live->zero_copy;
	return device_show(port, up, device.speed, &x->size,
		device_fault(x->opener, err, there && x->live != NULL && !device.running));
}

static const char *mtu_bound(const struct port *port)
{
	return ((const struct xdp *)port->driver)->size.bound;
}

static void close_xdp(struct port *port)
{
	struct xdp *x = port->driver;

	hand_over_stop(&x->others);
	xdp_sockets_close(x->live);
	xdp_sockets_close(x->ending);
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

static int start(struct port *port, const struct device_config *c, struct device_error *error)
{
	struct xdp *x = port->driver;
	struct opener_answer a = {0};
	struct netdev device = {0};
	int err;

	err = device_check_buffer(c, error);
	if (err)
		return err;
	err = opener_wait(x->opener, x->index, OPENER_XDP, 0, &a);
	if (err)
		return not_opened(x, err, error);
	x->control = fcntl(a.fd[STEER_CONTROL], F_DUPFD_CLOEXEC, 0);
	err = open_sockets(x, &a, &x->live);
	if (err)
		return device_wrong(error, err,
			err == -EBUSY ? "somebody else has an AF_XDP socket on it (%s)"
				      : "its AF_XDP sockets cannot be set up (%s)",
			strerror(-err));
	if (hand_over_start(&x->others, (uint16_t)RTE_MIN(x->live->queues, c->workers), c->workers))
		return device_wrong(error, -ENOMEM, "too little memory");
	port->rx_queues = (uint16_t)x->live->queues;
	port->tags = x->live->tags;
	err = netdev_read(x->control, x->device, &device);
	if (err)
		return not_opened(x, err, error);
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
	snprintf(x->netns, sizeof(x->netns), "%s", c->netns);
	x->control = -1;
	x->opener = c->opener;
	x->index = c->index;
	x->pool = c->pool;
	x->owned.outer_tpid = c->outer_tpid;
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
