/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DOMAIN_PRECEDENCE_H
#define DOMAIN_PRECEDENCE_H

// Which route wins for one prefix of one routing domain.

#include <stdbool.h>
#include <stdint.h>

#include "control/base/ip.h"

// In order of precedence at equal length. Travels as `origin` of wire_route, so a number keeps its meaning.
enum origin {
	ORIGIN_NONE,
	ORIGIN_CONNECTED = 1,  // a customer's router on its link
	ORIGIN_VNET = 2,       // a domain's own prefix, in that domain
	ORIGIN_CONNECTION = 3, // the own prefix of a domain that this one is joined to
	ORIGIN_BGP = 4,        // learned in this domain
	ORIGIN_JOINED = 5,     // learned in a domain that this one is joined to
};
const char *origin_name(enum origin origin); // as methods.h has it

struct candidate {
	enum origin origin;
	uint32_t domain;       // VRF id of where it comes from
	uint32_t metric;       // among learned routes of one domain the lowest wins
	uint32_t interface;    // out of this
	struct ip_address via; // family 0 on a tunnel
	uint16_t weight;
	uint64_t account; // counter of what goes this way, 0 = none
};

// Sorts the winners to the front and returns how many they are: the members of one next-hop group.
unsigned int precedence_choose(struct candidate *candidate, unsigned int count);

#endif
