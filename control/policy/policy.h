/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POLICY_H
#define POLICY_H

// What may cross a session or a join, in one direction: ordered rules {match, action, change, name, object}. One
// evaluator answers what is installed, what is announced and `rejected by`; the speakers' filters are rendered
// from the same rules (speakers/bird/filter.c), and a random test holds the two equal.
//
// Rules stand in sets. A set is immutable and reference-counted, so that any number of policies, on any thread, share
// one: a vNet's prefixes are one set, named by the policy of each peering that is joined to it. A policy is an
// ordered list of sets and what happens to a route that none of their rules decided.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/base/ip.h"

#define POLICY_COMMUNITY(asn, value) ((uint32_t)(asn) << 16 | (uint32_t)(value))
#define POLICY_GRACEFUL_SHUTDOWN     POLICY_COMMUNITY(65535, 0) // RFC 8326

struct policy_large { // RFC 8092
	uint32_t asn, a, b;
};

// Where a route is from, seen from the domain whose policy judges it.
enum policy_origin {
	POLICY_LEARNED = 1, // a session of this domain
	POLICY_OWN = 2,     // ours to announce
	POLICY_JOINED = 4,  // another domain's, through a join
};

// What is known of a route. Plain; all arrays are borrowed.
struct policy_route {
	struct ip_prefix prefix;
	struct ip_address next_hop; // as BGP has it; family 0 = none
	enum policy_origin origin;  // 0 = unknown: no match on the origin holds
	bool blackhole;             // leads nowhere
	// AS path and communities are not known, as of a route that the kernel tells: the speaker has judged by them
	// already. A rule that asks for them may hold or not, and the route is refused only if it is so or so.
	bool partial;
	bool has_med;
	uint32_t med;
	uint32_t local_pref;     // 0 = none
	const uint32_t *as_path; // leftmost (nearest) first
	unsigned int as_path_length;
	const uint32_t *community; // POLICY_COMMUNITY; a set, in no order
	unsigned int communities;
	const struct policy_large *large;
	unsigned int larges;
};

// Prefixes inside `prefix` whose length is ge..le. 0, 0: exactly the prefix. ge alone: up to host routes; le alone:
// from the prefix's own length on.
struct policy_prefix {
	struct ip_prefix prefix;
	uint8_t ge, le;
};

// All that is given must hold; of a list one element is enough. An empty match holds for every route.
struct policy_match {
	const struct policy_prefix *prefix;
	unsigned int prefixes;
	const uint32_t *community;
	unsigned int communities;
	const struct policy_large *large;
	unsigned int larges;
	const uint32_t *as_contains; // AS numbers anywhere in the path
	unsigned int as_contain;
	uint8_t as_length_min,
		as_length_max; // 0, 0 = any; a maximum of 0 beside a minimum = no maximum
	const struct ip_address *foreign_to; // there is a next hop and it is none of these
	unsigned int foreign;
	bool blackhole;  // it leads nowhere
	uint8_t family;  // 4, 6; 0 = both
	uint8_t origins; // enum policy_origin, or'ed; 0 = any
};

enum policy_action {
	POLICY_NEXT, // apply the changes and go on with the next rule
	POLICY_ACCEPT,
	POLICY_REJECT,
};

// Communities to take away.
struct policy_community_range {
	uint16_t asn, low, high; // asn:low .. asn:high
};
struct policy_large_range {
	uint32_t asn;
	bool all; // asn:*:*
	uint32_t a, b;
};

// In this order: AS path (delete, then prepend), communities (remove, then add), MED, local preference.
struct policy_change {
	uint32_t delete_asn;  // every occurrence in the AS path; 0 = none
	uint32_t prepend_asn; // this often, in front
	uint8_t prepend;
	const struct policy_community_range *remove_community;
	unsigned int remove_communities;
	const struct policy_large_range *remove_large;
	unsigned int remove_larges;
	const uint32_t *add_community;
	unsigned int add_communities;
	const struct policy_large *add_large;
	unsigned int add_larges;
	bool set_med, clear_med;
	uint32_t med;
	uint32_t local_pref; // 0 = leave
};

struct policy_rule {
	struct policy_match match;
	enum policy_action action;
	struct policy_change change; // not with POLICY_REJECT
	const char *name; // "vnet-prefix", "next-hop", ..: [a-z0-9-]+, shown to users. NULL = ""
	const char *
		object; // whose it is, for the sentence shown to users: "vnet/acme-prod". NULL = ""
};

// --- sets

struct policy_set;

// Copies everything. The one reference is the caller's. Running out of memory ends the process.
struct policy_set *policy_set_build(const struct policy_rule *rules, unsigned int count);
struct policy_set *policy_set_ref(const struct policy_set *set); // from any thread
void policy_set_unref(const struct policy_set *set);             // from any thread; NULL is fine
bool policy_set_equal(const struct policy_set *a, const struct policy_set *b); // by content
size_t policy_set_bytes(const struct policy_set *set);
const struct policy_rule *policy_set_rules(const struct policy_set *set, unsigned int *count);

// Ready-made sets: refuse prefixes and all that lies inside them; refuse what no network of hosts has (RFC 6890), by whichever
// session it comes; refuse what has been through our AS already; refuse a next hop that is none of the customer's routers, and
// what leads nowhere; say to the far end that this way ends soon (RFC 8326) and make it the longer one.
struct policy_set *policy_set_refuse(
	const struct ip_prefix *prefix, unsigned int count, const char *name, const char *object);
struct policy_set *policy_set_special(void);
struct policy_set *policy_set_as_loop(uint32_t asn);
struct policy_set *policy_set_next_hops(const struct ip_address *router, unsigned int count);
struct policy_set *policy_set_drain(uint32_t asn, uint8_t prepend);

// --- policies

struct policy {
	struct policy_set **set; // one reference each
	unsigned int sets;
	enum policy_action otherwise; // ACCEPT or REJECT
	uint32_t limit[2];            // accepted prefixes of IPv4, IPv6; 0 = no limit
};

void policy_add(struct policy *policy, struct policy_set *set); // takes the caller's reference over
void policy_copy(struct policy *to, const struct policy *from); // to is overwritten
void policy_clear(struct policy *policy);                       // as after = {0}
bool policy_equal(const struct policy *a, const struct policy *b);
// Whether they do the same, limits included; what their rules are called and whose they are apart.
bool policy_does(const struct policy *a, const struct policy *b);
// Whether they let the same routes through with the same changes; names, objects and limits apart.
uint64_t policy_digest(const struct policy *policy);

// Places taken when this route asks for one; the route itself, if it has one already, not counted.
struct policy_counts {
	uint32_t taken[2]; // IPv4, IPv6
};

struct policy_verdict {
	enum policy_action action; // ACCEPT or REJECT
	const struct policy_rule
		*rule; // that decided; NULL = none did, and it may pass. Lives as long as its set
	struct policy_route route; // as it is after the changes
	void *memory[3];           // what its arrays lie in, when changed
};

// The rule of a route that every other rule lets in, and that finds no place; and of one that no rule lets in.
extern const struct policy_rule policy_route_limit, policy_not_allowed;

// counts NULL = limits are not asked. The caller clears the verdict.
void policy_evaluate(const struct policy *policy, const struct policy_route *route,
	const struct policy_counts *counts, struct policy_verdict *verdict);
void policy_verdict_clear(struct policy_verdict *verdict);
// The same question when only the answer counts: the rule that keeps the route out, NULL = it may pass. No memory.
const struct policy_rule *policy_rejecting(
	const struct policy *policy, const struct policy_route *route);

#endif
