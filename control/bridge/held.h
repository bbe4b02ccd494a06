/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_HELD_H
#define BRIDGE_HELD_H

// The routes and rules that we hold in a namespace's kernel tables, all with our protocol number. What is declared here is
// put in, kept in, and known to the sweep as ours.

#include <sys/queue.h>

#include "control/base/table.h"
#include "control/bridge/kernel.h"

struct space;

// A route is known by table and destination, a rule by everything it says. No padding: compared as bytes.
struct held_key {
	uint8_t is_rule, family, len, from_len;
	uint32_t number; // route: table; rule: priority
	uint8_t address[16], from[16];
	uint32_t table, target;
	uint8_t action, invert, pad[2];
	char iif[16];
};

struct held {
	struct entry entry;
	struct held_key key;
	TAILQ_ENTRY(held) waiting; // of those that are not in, or may not be
	bool queued;
	bool installed;          // it was put in and, for all we know, is there
	bool doubted;            // somebody may have taken or changed it: a difference is drift
	bool wrong;              // what is there instead was seen
	unsigned int references; // of a rule
	struct ip_address via;   // route: family 0 = none
	int index;
	uint8_t type, scope;
	uint8_t protocol; // rule
};

struct held_list {
	struct table table;
	TAILQ_HEAD(held_waiting, held) waiting;
	unsigned int waits; // entries of waiting
	size_t cursor;      // of the rolling check
};

void held_init(struct held_list *list);
void held_free(struct held_list *list); // the kernel keeps them

// Puts it in, or changes it. A negative errno when that is not possible now; it is tried again by itself.
int held_route(struct space *space, const struct kernel_route *route);
void held_route_drop(struct space *space, uint32_t table, const struct ip_prefix *prefix);
// Rules are counted: the last drop takes it out.
int held_rule(struct space *space, const struct kernel_rule *rule);
void held_rule_drop(struct space *space, const struct kernel_rule *rule);

// Whether a message of the kernel names something that is held (the sweep's question).
bool held_has(const struct space *space, const struct nlmsghdr *header);
// An event about a route or rule, of whomever.
void held_message(struct space *space, const struct nlmsghdr *header);
// The kernel drops routes with a device or an address and does not say so: those over that device and those with a
// gateway are looked at again. No drift.
void held_lost(struct space *space, int index);
void held_route_lost(struct space *space, uint32_t table, const struct ip_prefix *prefix);
void held_doubt_all(struct space *space); // after an overrun
// Tries what waits, each once, until that time (clock_ns). False: the time was over.
bool held_repair(struct space *space, uint64_t end);
void held_check(struct space *space, size_t budget); // doubts about that many entries more

#endif
