// SPDX-License-Identifier: BSD-3-Clause
// The privileged process. It holds the list of ports that the command line gave, and is asked by a
// port's number and a kind of its own: no name, path or address comes from the other side. What is
// asked is done in the device's network namespace and answered with descriptors and an errno. It has
// one socket, no memory of what it did, and ends with the other side: at the end of the socket, by
// the signal for the parent's death, and at the first request that the data plane does not make,
// which is taken for somebody else's in its place.

#include "dataplane/io/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/capabilities.h"
#include "dataplane/io/netdev.h"
#include "dataplane/io/steer.h"

#define SOCKET_BUFFER (8 << 20) // bytes under way; 200 KiB by itself

static int take(struct opener_answer *a, int fd)
{
	if (fd < 0)
		return -errno;
	a->fd[a->count++] = fd;
	return 0;
}

static int control_socket(struct opener_answer *a)
{
	return take(a, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static void enlarge(int fd, int forced, int within)
{
	int most = SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, forced, &most, sizeof(most)) < 0)
		setsockopt(fd, SOL_SOCKET, within, &most, sizeof(most));
}

static int make_sockets(
	const struct opener_device *device, unsigned number, struct opener_answer *a)
{
	int err = control_socket(a);

	for (unsigned i = 0; i < number && !err; i++) {
		err = take(a, socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
		if (err)
			break;
		enlarge(a->fd[a->count - 1], SO_SNDBUFFORCE, SO_SNDBUF);
		enlarge(a->fd[a->count - 1], SO_RCVBUFFORCE, SO_RCVBUF);
	}
	return err;
}

static int make_settings(
	const struct opener_device *device, unsigned number, struct opener_answer *a)
{
	int err = control_socket(a), fd = err ? -1 : a->fd[--a->count];

	if (err)
		return err;
	if (device->mtu != 0)
		err = netdev_set_mtu(fd, device->name, device->mtu);
	netdev_keep_apart(fd, device->name);
	close(fd);
	return err;
}

static int make_xdp(const struct opener_device *device, unsigned number, struct opener_answer *a)
{
	struct opener_answer none = {0};
	int err = make_settings(device, 0, &none);

	if (err)
		return err == -ENODEV || err == -EPERM ? err : -EDOM;
	return steer_open(&(struct steer_config){.device = device->name,
				  .whole = device->mode == DEVICE_XDP_WHOLE,
				  .rx_chunks = steer_rx_chunks(device->descriptors)},
		a->fd, &a->count, &a->value);
}

static const struct {
	int (*make)(const struct opener_device *, unsigned number, struct opener_answer *);
	unsigned most; // of `number`
} kinds[OPENER_KINDS] = {
	[OPENER_SOCKETS] = {make_sockets, OPENER_DESCRIPTORS - 1},
	[OPENER_SETTINGS] = {make_settings, 0},
	[OPENER_XDP] = {make_xdp, 0},
};

static uint64_t needed(const struct opener_device *devices, unsigned count)
{
	uint64_t keep = 1ull << CAP_NET_RAW | 1ull << CAP_NET_ADMIN;

	for (unsigned i = 0; i < count; i++) {
		if (devices[i].netns[0] != '\0')
			keep |= 1ull << CAP_SYS_ADMIN; // setns(2)
		if (devices[i].mode == DEVICE_XDP || devices[i].mode == DEVICE_XDP_WHOLE ||
			(devices[i].mode == DEVICE_AUTO && steer_suits(devices[i].name)))
			keep |= 1ull << CAP_BPF | 1ull << CAP_IPC_LOCK;
	}
	return keep;
}

static int enter(const char *netns)
{
	char path[sizeof("/run/netns/") + OPENER_NETNS_MAX];
	int fd, err;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static int make(const struct opener_device *device, const struct opener_request *r, int home,
	struct opener_answer *a)
{
	bool away = device->netns[0] != '\0';
	int err = away ? enter(device->netns) : 0;

	if (err)
		return err;
	err = kinds[r->kind].make(device, r->number, a);
	if (away && setns(home, CLONE_NEWNET) < 0)
		_exit(1); // the next one would be opened in this one's namespace
	if (err)
		opener_close(a);
	return err;
}

// False: the other side is gone.
static bool receive(
	int fd, const struct opener_device *devices, unsigned count, struct opener_request *r)
{
	struct iovec part = {r, sizeof(*r)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1}; // no room for descriptors
	ssize_t n;

	do
		n = recvmsg(fd, &message, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	if (n != sizeof(*r) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
		r->kind >= OPENER_KINDS || r->number > kinds[r->kind].most || r->zero != 0 ||
		r->port >= count || devices[r->port].name[0] == '\0')
		_exit(OPENER_HOSTILE);
	return true;
}

static bool answer(int fd, const struct opener_reply *reply, struct opener_answer *a)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(a->fd))];
	} control = {0};
	struct iovec part = {(void *)(uintptr_t)reply, sizeof(*reply)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	if (a->count > 0) {
		size_t bytes = a->count * sizeof(a->fd[0]);

		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(bytes);
		control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(bytes),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), a->fd, bytes);
	}
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	opener_close(a);
	return n == sizeof(*reply);
}

void opener_serve(int fd, const struct opener_device *devices, unsigned count)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct opener_request r;
	char left[128];

	prctl(PR_SET_NAME, "culvert-opener");
	prctl(PR_SET_DUMPABLE, 0);
	if (home < 0 || capabilities_keep(needed(devices, count), left, sizeof(left)) != 0)
		_exit(1);
	while (receive(fd, devices, count, &r)) {
		struct opener_answer a = {0};
		struct opener_reply reply = {.serial = r.serial, .port = r.port};

		reply.error = make(&devices[r.port], &r, home, &a);
		reply.value = a.value;
		if (!answer(fd, &reply, &a))
			break;
	}
	_exit(0);
}
