// SPDX-License-Identifier: BSD-3-Clause
// Netlink plumbing. Three kinds of use: a request with an answer at once (install a route, set an address: the
// kernel does the work inside send, so waiting for the acknowledgment does not wait for anything), a small
// dump read to its end (our own routes, the neighbors of one interface), and the mirror's sockets, which are
// read from the event loop elsewhere. An acknowledgment carries the kernel's errno; libnl's own error numbers
// would lose it, so answers are read here.

#include "control/bridge/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

enum { ANSWER_BYTES = 64 * 1024 };

int netlink_open(struct netlink *netlink, int receive_buffer)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int on = 1;

	*netlink = (struct netlink){.fd = -1};
	if (fd < 0)
		return -errno;
	if (receive_buffer > 0 &&
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof(receive_buffer)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	// Acknowledgments without a copy of the request. Not vital.
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		int err = -errno;
		close(fd);
		return err;
	}
	netlink->fd = fd;
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->fd >= 0)
		close(netlink->fd);
	netlink->fd = -1;
}

int netlink_join(struct netlink *netlink, unsigned int group)
{
	if (setsockopt(netlink->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return -errno;
	return 0;
}

int netlink_send(struct netlink *netlink, struct nl_msg *msg)
{
	int err = 0;

	if (msg == NULL)
		return -ENOMEM;
	struct nlmsghdr *header = nlmsg_hdr(msg);
	header->nlmsg_seq = ++netlink->sequence;
	header->nlmsg_flags |= NLM_F_REQUEST;
	while (send(netlink->fd, header, header->nlmsg_len, 0) < 0) {
		if (errno == EINTR)
			continue;
		err = -errno;
		break;
	}
	nlmsg_free(msg);
	return err;
}

// Reads one datagram of answers. 1 = more to come, 0 = the end, or -errno.
static int answers(struct netlink *netlink, netlink_object object, void *ctx)
{
	static _Thread_local char buffer[ANSWER_BYTES] __attribute__((aligned(8)));
	ssize_t n = recv(netlink->fd, buffer, sizeof(buffer), 0);

	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	int left = (int)n;
	for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; nlmsg_ok(h, left);
		h = nlmsg_next(h, &left)) {
		if (h->nlmsg_seq != netlink->sequence)
			continue; // of an earlier request that was given up
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)nlmsg_data(h))->error;
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (object)
			object(ctx, h);
	}
	return 1;
}

int netlink_get(struct netlink *netlink, struct nl_msg *msg, netlink_object object, void *ctx)
{
	int err;

	// REPLACE and EXCL are each one bit of what DUMP means for a get.
	if (msg && (nlmsg_hdr(msg)->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_ACK;
	err = netlink_send(netlink, msg);
	if (err)
		return err;
	do
		err = answers(netlink, object, ctx);
	while (err == 1);
	return err;
}

int netlink_request(struct netlink *netlink, struct nl_msg *msg)
{
	return netlink_get(netlink, msg, NULL, NULL);
}

struct nl_msg *netlink_message(int type, int flags, const void *header, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	if (msg && nlmsg_append(msg, (void *)header, len, NLMSG_ALIGNTO)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

void netlink_put_address(struct nl_msg *msg, int attribute, const struct ip_address *address)
{
	nla_put(msg, attribute, ip_length(address->family), address->bytes);
}

bool netlink_address(const struct nlattr *attribute, int family, struct ip_address *address)
{
	*address = (struct ip_address){.family = family == AF_INET6 ? 6 : 4};
	if (attribute == NULL || nla_len(attribute) != ip_length(address->family))
		return false;
	memcpy(address->bytes, nla_data(attribute), ip_length(address->family));
	return true;
}
