/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_NETLINK_H
#define BRIDGE_NETLINK_H

// Route netlink sockets. Messages are built and taken apart with libmnl, in memory of the caller: a request is a few
// hundred bytes on the stack and cannot fail for want of memory. The sockets are plain descriptors.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/base/ip.h"

struct nlattr;
struct nlmsghdr;

struct netlink {
	int fd; // -1 = closed
	uint32_t sequence;
	uint32_t port; // names us in what the kernel says of our changes
};

// Opens a socket in the calling thread's namespace with a receive buffer of that many bytes (0 = the system's
// default).
int netlink_open(struct netlink *netlink, int receive_buffer);
void netlink_close(struct netlink *netlink);
int netlink_join(struct netlink *netlink, unsigned int group); // RTNLGRP_*

// Room for one request. None of ours comes near the end of it.
struct netlink_message {
	_Alignas(8) char bytes[1024];
};
// Starts a request in `message`, with its family header; attributes are added with mnl_attr_put_*().
struct nlmsghdr *netlink_begin(
	struct netlink_message *message, int type, int flags, const void *header, size_t len);
void netlink_put_address(struct nlmsghdr *request, int attribute, const struct ip_address *address);

// Sends without waiting (a dump whose answers are read from the event loop). 0 or -errno.
int netlink_send(struct netlink *netlink, struct nlmsghdr *request);
// Sends and waits for the kernel's answer. 0 or -errno, the kernel's own.
int netlink_request(struct netlink *netlink, struct nlmsghdr *request);
// A request that answers with objects: each goes to the function.
typedef void (*netlink_object)(void *ctx, const struct nlmsghdr *header);
// One message of the answer to what was sent: 1 = more to come, 0 = that was all, or -errno.
int netlink_answers(struct netlink *netlink, netlink_object object, void *ctx);
int netlink_get(
	struct netlink *netlink, struct nlmsghdr *request, netlink_object object, void *ctx);
// All objects of a kind (RTM_GET*), filtered by the family header where the socket asks for strict checking.
int netlink_dump(struct netlink *netlink, int type, const void *header, size_t len,
	netlink_object object, void *ctx);

// Sorts a message's attributes by type, those up to `max`; attr has max + 1 places, NULL = absent. False: the message
// is shorter than its family header.
bool netlink_parse(
	const struct nlmsghdr *header, size_t len, const struct nlattr **attr, unsigned int max);
// The same for what lies in an attribute, or behind a struct inside one.
void netlink_parse_payload(
	const void *payload, size_t len, const struct nlattr **attr, unsigned int max);
// Reads an address attribute of that AF_*; false when it is absent or has another length.
bool netlink_address(const struct nlattr *attribute, int family, struct ip_address *address);
void netlink_text(const struct nlattr *attribute, char *text, size_t size);
bool netlink_text_is(const struct nlattr *attribute, const char *text);

static inline uint8_t ip_af(uint8_t family)
{
	return family == 6 ? 10 : 2; // AF_INET6, AF_INET
}

static inline uint8_t ip_length(uint8_t family)
{
	return family == 6 ? 16 : 4;
}

#endif
