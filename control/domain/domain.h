/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DOMAIN_H
#define DOMAIN_H

// The routing domains of this edge: what is configured, what the kernel and the speakers say, and what the data plane
// must therefore hold. The only folder that knows all of these halves. Everything runs on the route thread (creation
// and destruction: before it starts, after it has ended).

#include <stdbool.h>
#include <stdint.h>

#include "control/api/error.h"
#include "control/base/ip.h"
#include "control/base/table.h"
#include "control/model/intent.h"
#include "control/sync/route.h"

struct event_base;
struct fragments;
struct json_t;
struct node;
struct policy;
struct policy_rule;
struct publication;
struct statuses;
struct sync;

struct domains; // all of this edge
struct domain;
struct prefix;

struct domains_options {
	struct event_base *base;
	const struct node *node; // borrowed
	// What subscribers are to hear of, see API_SUBSCRIBE; called on the route thread, data goes with it. May be NULL.
	void (*event)(void *ctx, const char *topic, struct json_t *data);
	// Objects that were deleted have counted this at last: [{"uid", "counters": {..}}..]. Their places in the data plane
	// are given up when it has been stored, which domains_finals_stored() says with the same list. NULL: at once.
	void (*final)(void *ctx, struct json_t *list);
	void (*adopted)(void *ctx); // what is there is meant, the store too; may be NULL
	void *event_ctx; // of all three
	unsigned int
		route_limit; // prefixes of a domain and family, 0 = what its policy says (tests)
};

int domains_create(
	struct domains **domains, const struct domains_options *options, struct api_error *error);
// The kernel's objects, the speakers and the data plane stay as they are. NULL is fine.
void domains_destroy(struct domains *domains);
// The configuration is now this one. The reference goes with it. What it changes is carried out in slices.
void domains_publish(struct domains *domains, struct publication *publication);
// The table of what is how: for the route thread, and before it runs.
struct statuses *domains_statuses(struct domains *domains);
// The ledger and the connection to the data plane; lives as long as `domains`.
struct sync *domains_sync(struct domains *domains);
// The newest publication, NULL = none yet. Borrowed until the next one.
const struct publication *domains_publication(const struct domains *domains);
const struct fragments *domains_fragments(const struct domains *domains);
// Nothing waits to be carried out.
bool domains_idle(const struct domains *domains);
// Carried out, and there was nothing in this revision for the data plane. False in doubt: routes may have changed meanwhile.
bool domains_without_dataplane(const struct domains *domains, uint64_t revision);
// What options.final was given is on disk, or could not be written. The reference goes with it.
void domains_finals_stored(struct domains *domains, struct json_t *list, bool stored);

// A change up to this revision waits for customers to be told of it.
bool partings_pending(const struct domains *domains, uint64_t revision);
// A session that a change took away although its far end could not be told in time: he keeps it, and sends here in vain, until
// its hold time is over.
struct untold {
	struct entry entry;
	uint32_t session;
	uint64_t revision;               // that took it
	uint64_t until;                  // UNIX time of the end, at the latest
	char name[OBJECT_NAME_MAX + 16]; // as that of a session, health.c
	uint16_t hold;                   // s, 0 = not known
};
// How many there are of this revision or later ones, and one of them.
unsigned int untold_since(
	const struct domains *domains, uint64_t revision, const struct untold **one);
const struct untold *untold_of(const struct domains *domains, uint32_t session);

// The speaker of a domain, by its instance, "" = it has none.
const char *domain_speaker(const struct domains *domains, uint32_t id);

// --- for answers: all costs what is asked for, not what there is -------------------------------------------

enum domain_state {
	DOMAIN_GONE,    // not configured, nothing left of it
	DOMAIN_WANTED,  // configured, waits for the end of an earlier life
	DOMAIN_MAKING,  // its kernel half cannot be made yet, tried again
	DOMAIN_FILLING, // made; what the kernel has in it is being read
	DOMAIN_LIVE,
	DOMAIN_GOING, // not configured; its routes leave the data plane
};
const char *domain_state_name(enum domain_state state);

// Whether what a domain learns is known, and if it is not, whether anybody waits for it.
enum source {
	SOURCE_LIVE,    // all of it is known
	SOURCE_FILLING, // it is being told; what the data plane has meanwhile is no worse
	SOURCE_WAITING, // it cannot be made now: what it brought stays for a while
	SOURCE_EMPTY,   // given up: its session is down, or it took too long
};

// As it is configured, NULL = it is not. Borrowed until the next turn.
const struct intent_domain *domain_wanted(const struct domains *domains, uint32_t id);
// The core interface and next hop by which an address of the underlay is reached, longest prefix first. NULL = none.
const struct intent_interface *underlay_way(
	const struct domains *domains, const struct ip_address *address, struct ip_address *via);

struct domain_counts {          // of one family; prefixes
	unsigned int learned;   // all that the kernel said
	unsigned int taken;     // of those: let in
	unsigned int held;      // ..: wait for a place
	unsigned int refused;   // ..: a rule keeps them out
	unsigned int installed; // learned here or elsewhere, wanted in the data plane
};
struct domain_status {
	enum domain_state state;
	enum source source;
	const char *error;             // why it cannot be made, "" = it is
	struct domain_counts count[2]; // IPv4, IPv6
	unsigned int limit[2];         // places, 0 = no limit
	unsigned int there;            // prefixes that the data plane has
	unsigned int crowded;          // of those with more paths than a group holds
	uint64_t bytes;                // in the data plane, as it last told
};
// False: there is no such domain.
bool domain_status(const struct domains *domains, uint32_t id, struct domain_status *status);
// As the sum over all of them, states apart.
void domains_counts(const struct domains *domains, struct domain_counts *all);

struct route_hop {
	uint32_t interface;    // 0 = none of ours
	struct ip_address via; // family 0 on a tunnel
	unsigned int weight;
	bool usable;
};
struct route_info {
	struct ip_prefix prefix;
	uint64_t since;        // UNIX time of the last change of it here
	bool learned;          // the kernel said it in this domain
	bool installed, there; // wanted in the data plane; it has it
	bool held;
	const struct policy_rule *rule; // that keeps a learned one out, NULL = none
	const char *origin;             // as methods.h has it
	uint32_t from;                  // domain it is from
	unsigned int hops;
	struct route_hop hop[64];
};
// The domain's first prefix behind this one, NULL = the first of all, by family, address and length. False: no more.
bool domain_next(const struct domains *domains, uint32_t id, const struct ip_prefix *after,
	struct route_info *info);
// Exactly this one. False: it is not known here.
bool domain_route(const struct domains *domains, uint32_t id, const struct ip_prefix *prefix,
	struct route_info *info);

#endif
