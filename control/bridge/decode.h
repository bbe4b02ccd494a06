/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_DECODE_H
#define BRIDGE_DECODE_H

// A route message of the kernel, taken apart.

#include <stdbool.h>
#include <stdint.h>

#include "control/bridge/hops.h"
#include "control/bridge/routes.h"

struct nlmsghdr;

struct decoded_route {
	uint32_t table;
	struct host_route_key key;
	bool blackhole;
	uint32_t count; // next hops the kernel calls alive
	uint32_t dead;  // next hops left out: down, or beyond HOPS_MAX
	struct next_hop hop[HOPS_MAX];
};

// False for messages that are no route a mirror could want (local, multicast, cached, malformed).
bool decode_route(const struct nlmsghdr *header, struct decoded_route *route);
bool decode_tracked(uint8_t protocol); // of a routing daemon

#endif
