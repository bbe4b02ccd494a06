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
#include "control/rpc/answers/desired.h"

struct circuit;
struct link;
struct peering;

// One page of a list: items are made in a stable order, those before the cursor are skipped.
struct page {
	json_t *items;
	uint64_t skip, seen;
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
void page_reply(struct page *page, struct rpc_call *call);

// The domains a call is about. False: no such object, and the call has been answered.
struct selection {
	bool all;
	const char *circuit,
		*domain; // name of one domain, or of the circuit whose domains are meant
	char text[DOMAIN_NAME_MAX];
};
bool selection_start(struct selection *selection, struct rpc_call *call);
bool selection_has(const struct selection *selection, const struct desired_domain *domain);

// NULL: nothing has been published yet; the call has been answered.
struct sync *call_sync(struct rpc_call *call);

json_t *json_u64(uint64_t value);
json_t *json_address(const struct ip_address *address); // null for none
const char *domain_name(const struct sync *sync, uint32_t id);
const char *interface_name(const struct sync *sync, uint32_t id);

// circuits
enum link_state { STATE_UP, STATE_DEGRADED, STATE_DOWN, STATE_DISABLED, STATE_UNKNOWN, STATE_PARTIAL };
const char *state_name(enum link_state state);
const char *role_name(const struct link *link);
bool link_is_ours(const struct sync *sync, const struct link *link);
const struct desired_interface *attachment_of(
	const struct sync *sync, const struct peering *peering, const struct link *link);
bool find_circuit(struct rpc_call *call, const struct sync *sync, const char *name);
// Counters of one direction of a link, in short or with everything there is to say; null when it is not ours.
json_t *direction_json(
	const struct sync *sync, const struct link *link, const char *direction, bool full);

// Numbers of both families; all zero when the domain is not there.
struct domain_counts counts_of(const struct sync *sync, uint32_t domain);

void method_status(struct rpc_call *call);
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
