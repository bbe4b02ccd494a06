/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef ANSWERS_H
#define ANSWERS_H

// Inside control/sync: what the files of the route thread's methods share.

#include <jansson.h>
#include <stdbool.h>

#include "control/api/methods.h"
#include "control/domain/domain.h"
#include "control/rpc/answers/methods.h"
#include "control/domain/live.h"
#include "control/model/intent.h"

struct circuit;
struct link;
struct peering;

// One page of a list: items are made in a stable order, those before the cursor are skipped.
struct page {
	struct rpc_items items;
	uint64_t skip, seen;
	uint64_t until; // CLOCK_MONOTONIC ns: longer than one page works
	unsigned int limit;
	bool more; // there was no room for all
};
// False: the cursor is not one of ours, and the call has been answered.
bool page_start(struct page *page, struct rpc_call *call);
// Whether the next item is on this page; when not, it is counted and need not be made.
bool page_wants(struct page *page);
static inline bool page_full(const struct page *page)
{
	return page->more;
}
static inline void page_add(struct page *page, json_t *item)
{
	rpc_items_add(&page->items, item);
}
// With other members beside "items" and "next": stolen, NULL = none.
void page_reply(struct page *page, struct rpc_call *call, json_t *more);

// The domains a call is about.
struct selection {
	bool all;
	enum noun_id noun; // else of this object, or of its
	bool children;
	char name[OBJECT_NAME_MAX];
};
// False: no such object, or more than one is named, and the call has been answered.
bool selection_start(struct selection *selection, struct rpc_call *call);
bool selection_has(const struct selection *selection, const struct intent_domain *domain);

// Which of these parameters is given, NULL = none. False: more than one, and the call has been answered.
bool one_of(struct rpc_call *call, const char *const *names, const char **given);
// NULL is fine. False: there is no such object, and the call has been answered.
bool find_object(struct rpc_call *call, enum noun_id noun, const char *name);

// NULL: nothing has been published yet; the call has been answered.
struct sync *call_sync(struct rpc_call *call);

// objects.c: what is configured here. Everything is borrowed until the next turn.
const struct model *model_of(const struct sync *sync);
// NULL: the object means nothing here.
const struct fragment *fragment_of(const struct sync *sync, enum noun_id noun, const char *name);
struct walk { // zeroed: at the beginning
	unsigned int part;
	bool again; // the one of this name comes once more
	char name[OBJECT_NAME_MAX];
};
// Fragments whose first domain is one that was asked for, the underlay's first, then by name. NULL: that was all.
const struct fragment *next_domain(
	const struct sync *sync, const struct selection *selection, struct walk *walk);
// Fragments that may have interfaces.
const struct fragment *next_interfaces(const struct sync *sync, struct walk *walk);
void walk_to(
	struct walk *walk, const struct fragment *fragment); // next_domain() gives it once more
const struct fragment *domain_named(const struct sync *sync, const char *name);    // NULL = none
const struct intent_interface *interface_of(const struct sync *sync, uint32_t id); // NULL = none
const char *domain_name(const struct sync *sync, uint32_t id);                     // "" = none
const char *interface_name(const struct sync *sync, uint32_t id);

json_t *json_u64(uint64_t value);
json_t *json_known(bool known, uint64_t value);         // null when it is not
json_t *json_address(const struct ip_address *address); // null for none

// What only a data plane can tell is null in an answer while none is connected, or its counters cannot be read. Adds the
// member "unknown" that says so: null, or {"message", "hint"}.
bool dataplane_tells(const struct sync *sync);
json_t *with_unknown(const struct sync *sync, bool counters, json_t *answer);

// circuits
enum link_state {
	STATE_UP,
	STATE_DEGRADED,
	STATE_DOWN,
	STATE_DISABLED,
	STATE_UNKNOWN,
	STATE_PARTIAL
};
const char *role_name(const struct link *link);
bool link_is_ours(const struct sync *sync, const struct link *link);
const struct intent_interface *attachment_of(
	const struct sync *sync, const struct peering *peering, const struct link *link);
// Name of the object of a session in the status table, as domain/health.c has it.
void session_object(const struct peering *peering, const struct link *link, uint8_t family,
	char name[OBJECT_NAME_MAX + 16]);
enum detail { DETAIL_BRIEF, DETAIL_USUAL, DETAIL_FULL }; // brief: what a table of thousands shows
// Counters of both directions of a link, "in" and "out"; null when it is not ours.
void add_directions(
	const struct sync *sync, const struct link *link, enum detail detail, json_t *json);

struct domain_counts both_families(const struct domain_status *status);

void method_doctor(struct rpc_call *call);
void method_status(struct rpc_call *call);
void method_circuit_check(struct rpc_call *call);
void method_circuit_status(struct rpc_call *call);
void method_circuit_stats(struct rpc_call *call);
void method_peering_status(struct rpc_call *call);
void method_peering_clear(struct rpc_call *call);
void method_route_list(struct rpc_call *call);
void method_route_get(struct rpc_call *call);
void method_route_summary(struct rpc_call *call);
void method_neighbor_list(struct rpc_call *call);
void method_edge_adopt(struct rpc_call *call);
void method_drops(struct rpc_call *call);
void method_port_status(struct rpc_call *call);
void method_revision_wait(struct rpc_call *call);

#endif
