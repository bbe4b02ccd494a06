/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_NETLINK_H
#define BRIDGE_NETLINK_H

// Route netlink sockets. Messages are built and taken apart with libnl; the sockets are our own, because
// libnl hands out at most 1,024 a process and a thousand namespaces need more.

#include <stddef.h>
#include <stdint.h>

#include "control/base/ip.h"

struct nl_msg;
struct nlmsghdr;
struct nlattr;

struct netlink {
	int fd; // -1 = closed
	uint32_t sequence;
};

// Opens a socket in the calling thread's namespace, non-blocking or not, with a receive buffer of that many
// bytes (0 = the system's default).
int netlink_open(struct netlink *netlink, int receive_buffer);
void netlink_close(struct netlink *netlink);
int netlink_join(struct netlink *netlink, unsigned int group); // RTNLGRP_*

// Sends without waiting (a dump whose answers are read from the event loop). Consumes msg.
int netlink_send(struct netlink *netlink, struct nl_msg *msg);
// Sends and waits for the kernel's answer. Consumes msg. 0 or -errno, the kernel's own.
int netlink_request(struct netlink *netlink, struct nl_msg *msg);
// A request that answers with objects: each goes to the function; NULL msg (out of memory) is an error.
typedef void (*netlink_object)(void *ctx, const struct nlmsghdr *header);
int netlink_get(struct netlink *netlink, struct nl_msg *msg, netlink_object object, void *ctx);

struct nl_msg *netlink_message(int type, int flags, const void *header, size_t len);
void netlink_put_address(struct nl_msg *msg, int attribute, const struct ip_address *address);
// Reads an address attribute of that AF_*; false when it has another length.
_Bool netlink_address(const struct nlattr *attribute, int family, struct ip_address *address);

static inline uint8_t ip_af(uint8_t family)
{
	return family == 6 ? 10 : 2; // AF_INET6, AF_INET
}

static inline uint8_t ip_length(uint8_t family)
{
	return family == 6 ? 16 : 4;
}

#endif
