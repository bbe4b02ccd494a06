/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RPC_VERBS_H
#define RPC_VERBS_H

#include "control/rpc/rpc.h"

// The methods that the main thread answers from the service: the verbs of every noun, config.*, and what the store
// keeps beside the model (lists.c).

struct api_error;
struct rpc_server;
struct service;
struct service_change;
struct service_result;
struct store_pending;

// Adds them all, and publishes an event "model" {"revision"} on each change. The service outlives the server.
extern const struct rpc_method config_methods[];
extern const struct rpc_method list_methods[];
extern const struct rpc_method cross_methods[];
int rpc_verbs_add(struct rpc_server *server, struct service *service, struct api_error *error);

// Parameters of what changes the model, and of long lists.
// clang-format off
#define RPC_PAGING \
	{"limit", RPC_INTEGER, false, "items on a page"}, \
	{"cursor", RPC_STRING, false, "`next` of the page before"}
#define RPC_EXPAND {"expand", RPC_BOOLEAN, false, "tell what it comes to with all that was made up, for another edge"}
#define RPC_WRITING \
	{"if_revision", RPC_INTEGER, false, "refuse unless this is the model's revision"}, \
	{"check", RPC_BOOLEAN, false, "validate and tell the difference, change nothing"}, \
	{"delete", RPC_BOOLEAN, false, "it is meant that more than 16 objects and a tenth of all go"}, \
	{"confirm", RPC_STRING, false, "goes back by itself unless confirmed so soon: 5s to 24h"}, \
	{"decider", RPC_OBJECT, false, "{edge, revision}: at its deadline it comes to what that peer's revision came to"}, \
	RPC_EXPAND
// clang-format on

// Whether the caller made what waits.
bool verbs_is_theirs(const struct store_pending *pending, const struct rpc_call *call);
// What the call's parameters of RPC_WRITING say. False: the call has been answered.
bool verbs_change_of(struct rpc_call *call, struct service_change *change);
// {"revision", "changed", "diff": [], "pending"?, "digest"?}: what anybody may be told of his change. A new reference.
struct json_t *verbs_answer(const struct service_result *result);
struct json_t *verbs_refused(const struct api_error *error); // {"code", "message", "hint"}
// Answers the call, ctx, with what came of its change; a provider with no more than anybody.
void verbs_changed(void *ctx, const struct service_result *result);

#endif
