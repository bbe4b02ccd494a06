// SPDX-License-Identifier: BSD-3-Clause
// Netlink plumbing. Three kinds of use: a request with an answer at once (install a route, set an address: the
// kernel does the work inside send, so waiting for the acknowledgment does not wait for anything), a small
// dump read to its end (our own routes, the neighbors of one interface), and the mirror's sockets, which are
// read from the event loop elsewhere.

#include "control/bridge/netlink.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
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
	// Acknowledgments without a copy of the request, dumps filtered by the kernel. Not vital.
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		int err = -errno;
		close(fd);
		return err;
	}
	socklen_t size = sizeof(address);
	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		netlink->port = address.nl_pid;
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

struct nlmsghdr *netlink_begin(
	struct netlink_message *message, int type, int flags, const void *header, size_t len)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(message->bytes);

	request->nlmsg_type = (uint16_t)type;
	request->nlmsg_flags = (uint16_t)flags;
	memcpy(mnl_nlmsg_put_extra_header(request, len), header, len);
	return request;
}

void netlink_put_address(struct nlmsghdr *request, int attribute, const struct ip_address *address)
{
	mnl_attr_put(request, (uint16_t)attribute, ip_length(address->family), address->bytes);
}

int netlink_send(struct netlink *netlink, struct nlmsghdr *request)
{
	request->nlmsg_seq = ++netlink->sequence;
	request->nlmsg_flags |= NLM_F_REQUEST;
	while (send(netlink->fd, request, request->nlmsg_len, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int netlink_answers(struct netlink *netlink, netlink_object object, void *ctx)
{
	static _Thread_local char buffer[ANSWER_BYTES] __attribute__((aligned(8)));
	ssize_t n = recv(netlink->fd, buffer, sizeof(buffer), 0);

	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	int left = (int)n;
	for (const struct nlmsghdr *h = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(h, left);
		h = mnl_nlmsg_next(h, &left)) {
		if (h->nlmsg_seq != netlink->sequence)
			continue; // of an earlier request that was given up
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (object)
			object(ctx, h);
	}
	return 1;
}

int netlink_get(struct netlink *netlink, struct nlmsghdr *request, netlink_object object, void *ctx)
{
	// REPLACE and EXCL are each one bit of what DUMP means for a get.
	if ((request->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->nlmsg_flags |= NLM_F_ACK;
	int err = netlink_send(netlink, request);
	if (err)
		return err;
	do
		err = netlink_answers(netlink, object, ctx);
	while (err == 1);
	return err;
}

int netlink_request(struct netlink *netlink, struct nlmsghdr *request)
{
	return netlink_get(netlink, request, NULL, NULL);
}

int netlink_dump(struct netlink *netlink, int type, const void *header, size_t len,
	netlink_object object, void *ctx)
{
	struct netlink_message message;

	return netlink_get(
		netlink, netlink_begin(&message, type, NLM_F_DUMP, header, len), object, ctx);
}

void netlink_parse_payload(
	const void *payload, size_t len, const struct nlattr **attr, unsigned int max)
{
	const struct nlattr *next = payload;
	const char *end = (const char *)payload + len;

	memset(attr, 0, (max + 1) * sizeof(const struct nlattr *));
	for (; mnl_attr_ok(next, (int)(end - (const char *)next)); next = mnl_attr_next(next))
		if (mnl_attr_get_type(next) <= max)
			attr[mnl_attr_get_type(next)] = next;
}

bool netlink_parse(
	const struct nlmsghdr *header, size_t len, const struct nlattr **attr, unsigned int max)
{
	size_t skip = MNL_ALIGN(len), have = mnl_nlmsg_get_payload_len(header);

	if (have < len)
		return false;
	netlink_parse_payload(mnl_nlmsg_get_payload_offset(header, len),
		have > skip ? have - skip : 0, attr, max);
	return true;
}

bool netlink_address(const struct nlattr *attribute, int family, struct ip_address *address)
{
	*address = (struct ip_address){.family = family == AF_INET6 ? 6 : 4};
	if (attribute == NULL || mnl_attr_get_payload_len(attribute) != ip_length(address->family))
		return false;
	memcpy(address->bytes, mnl_attr_get_payload(attribute), ip_length(address->family));
	return true;
}

void netlink_text(const struct nlattr *attribute, char *text, size_t size)
{
	size_t len = strnlen(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));

	len = len < size ? len : size - 1;
	memcpy(text, mnl_attr_get_payload(attribute), len);
	text[len] = '\0';
}

bool netlink_text_is(const struct nlattr *attribute, const char *text)
{
	char have[128];

	if (attribute == NULL)
		return false;
	netlink_text(attribute, have, sizeof(have));
	return strcmp(have, text) == 0;
}
