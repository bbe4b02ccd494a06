/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_PRECEDENCE_H
#define SYNC_PRECEDENCE_H

// Which route wins for one prefix of one routing domain, and which never gets in.

#include <stdbool.h>
#include <stdint.h>

#include "control/bridge/bridge.h"
#include "control/base/ip.h"

// In order of precedence at equal length. Travels as `origin` of wire_route, so a number keeps its meaning.
enum origin {
	ORIGIN_NONE,
	ORIGIN_CONNECTED = 1,  // a customer's router on its link
	ORIGIN_VNET = 2,       // a vNet's own prefix, in its own domain
	ORIGIN_CONNECTION = 3, // a vNet's prefix in the domain of a connected peering
	ORIGIN_BGP = 4,        // learned in this domain
	ORIGIN_JOINED = 5,     // learned in a connected peering's domain
};
const char *origin_name(enum origin origin); // as methods.h has it

struct candidate {
	enum origin origin;
	uint32_t domain;       // VRF id of where it comes from
	uint32_t metric;       // among learned routes of one domain the lowest wins
	uint32_t interface;    // out of this
	struct ip_address via; // family 0 on a tunnel
	uint16_t weight;
};

// Sorts the winners to the front and returns how many they are: the members of one next-hop group.
unsigned int precedence_choose(struct candidate *candidate, unsigned int count);

// The first rule that keeps a learned prefix out, NULL when none does.
const struct bridge_reject *precedence_reject(
	const struct bridge_reject *rule, unsigned int rules, const struct ip_prefix *prefix);

#endif
