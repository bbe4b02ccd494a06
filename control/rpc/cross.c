// SPDX-License-Identifier: BSD-3-Clause

// Cross-connections: circuits as their provider sees them, by the service key. No customer is told, nor what the circuit is
// called or joined to. How far the provider is, is a workflow field of the circuit; provisioning takes the steps that are
// missing in one change.

#include "control/rpc/verbs.h"

#include "control/api/methods.h"
#include "control/base/clock.h"
#include "control/model/circuit.h"
#include "control/model/link.h"
#include "control/model/provider.h"
#include "control/service.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static json_t *side_json(const struct link *link)
{
	json_t *json = json_pack("{s:s, s:s, s:s?, s:s?}", "edge", link->edge, "port", link->port,
		"device", link->handoff_device, "path", link->handoff_path);

	json_object_set_new(json, "tag", link->outer_tag ? json_integer(link->outer_tag) : json_null());
	json_object_set_new(
		json, "inner_tag", link->inner_tag ? json_integer(link->inner_tag) : json_null());
	return json;
}

// "ams1/wan0 101", for tables
static json_t *side_text(const struct link *link)
{
	char tags[24] = "";

	if (link->inner_tag)
		snprintf(tags, sizeof(tags), " %u.%u", link->outer_tag, link->inner_tag);
	else if (link->outer_tag)
		snprintf(tags, sizeof(tags), " %u", link->outer_tag);
	return json_sprintf("%s/%s%s", link->edge, link->port, tags);
}

static json_t *cross_json(const struct model *model, const struct circuit *circuit)
{
	json_t *json = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:n, s:n}", "key",
		circuit->service_key, "bandwidth", (json_int_t)circuit->bandwidth, "location",
		circuit->location ? circuit->location : "", "provider", circuit->provider, "model",
		circuit_offer_text(circuit), "state", circuit_provider_state(circuit), "primary",
		"secondary");
	const struct object *child;

	MODEL_CHILDREN(model, NOUN_LINK, circuit->name, child)
	{
		const struct link *link = (const struct link *)child;
		json_object_set_new(json, link->role == LINK_PRIMARY ? "primary" : "secondary",
			side_json(link));
		json_object_set_new(json,
			link->role == LINK_PRIMARY ? "primary_text" : "secondary_text",
			side_text(link));
	}
	return json;
}

// By its key, or by the circuit's name. NULL: the call has been answered.
static const struct circuit *find_circuit(struct rpc_call *call)
{
	const struct model *model = service_model(call->ctx);
	const char *key = rpc_string(call, "key");
	const struct circuit *circuit = circuit_of_key(model, key);
	struct api_error error;

	if (circuit == NULL && call->provider == NULL)
		circuit = model_circuit(model, key);
	// What is not his is not there.
	if (call->provider != NULL && circuit != NULL &&
		(circuit->provider == NULL || strcmp(circuit->provider, call->provider) != 0))
		circuit = NULL;
	if (circuit != NULL && circuit_provider_state(circuit) != NULL)
		return circuit;
	if (circuit != NULL)
		api_fail(&error, API_REFUSED, "culvertctl cross-connection list",
			"circuit \"%.100s\" is of no provider", circuit->name);
	else
		api_fail(&error, API_NOT_FOUND, "culvertctl cross-connection list",
			"no cross-connection has the key \"%.100s\"", key);
	rpc_fail(call, &error);
	return NULL;
}

static void list_crosses(struct rpc_call *call)
{
	const struct model *model = service_model(call->ctx);
	const char *provider = rpc_string(call, "provider"), *location = rpc_string(call, "location");
	unsigned int limit = rpc_limit(call), count = model_count(model, NOUN_CIRCUIT);
	uint64_t end = clock_ns() + RPC_PAGE_NS, i;
	struct rpc_items items = {0};
	struct api_error error;
	char next[24] = "";

	if (!rpc_cursor(call, &i))
		return;
	if (call->provider != NULL && provider != NULL && strcmp(provider, call->provider) != 0) {
		api_fail(&error, API_DENIED, "culvertctl cross-connection list",
			"you see the cross-connections of provider \"%s\"", call->provider);
		rpc_fail(call, &error);
		return;
	}
	if (call->provider != NULL)
		provider = call->provider;
	else if (provider != NULL && model_provider(model, provider) == NULL) {
		api_fail(&error, API_NOT_FOUND, "culvertctl provider list",
			"no provider named \"%.100s\"", provider);
		rpc_fail(call, &error);
		return;
	}
	for (; i < count; i++) {
		const struct circuit *circuit = model_circuit_at(model, (unsigned int)i);
		if (items.count == limit || (items.count > 0 && clock_ns() > end)) {
			snprintf(next, sizeof(next), "%" PRIu64, i);
			break;
		}
		if (circuit_provider_state(circuit) == NULL ||
			(provider != NULL && strcmp(circuit->provider, provider) != 0) ||
			(location != NULL &&
				(circuit->location == NULL || strcmp(circuit->location, location) != 0)))
			continue;
		rpc_items_add(&items, cross_json(model, circuit));
	}
	rpc_reply_items(call, &items,
		json_pack("{s:I, s:s?}", "revision", (json_int_t)service_revision(call->ctx), "next",
			next[0] != '\0' ? next : NULL));
}

static void show_cross(struct rpc_call *call)
{
	const struct circuit *circuit = find_circuit(call);

	if (circuit != NULL)
		rpc_reply(call, json_pack("{s:I, s:o}", "revision",
					(json_int_t)service_revision(call->ctx), "object",
					cross_json(service_model(call->ctx), circuit)));
}

// --- steps ---------------------------------------------------------------------------------------------

static void add_step(json_t *changes, const struct circuit *circuit, const char *state)
{
	json_array_append_new(changes,
		json_pack("{s:s, s:s, s:s, s:{s:s}}", "op", "set", "noun", "circuit", "name",
			circuit->name, "fields", "provider-state", state));
}

// "primary=pe1" of the parameter into the link's field. False: the call has been answered.
static bool add_words(struct rpc_call *call, json_t *changes, const struct circuit *circuit,
	const char *param, const char *field)
{
	const json_t *given = json_object_get(call->params, param), *one;
	struct api_error error;
	size_t i;

	json_array_foreach (given, i, one) {
		const char *text = json_string_value(one), *equals = text ? strchr(text, '=') : NULL;
		size_t length = equals ? (size_t)(equals - text) : 0;
		bool primary = length == 7 && strncmp(text, "primary", 7) == 0;
		bool secondary = length == 9 && strncmp(text, "secondary", 9) == 0;
		char name[OBJECT_NAME_MAX];

		if (!primary && !secondary) {
			api_fail(&error, API_USAGE, "such as primary=pe1",
				"%s \"%.100s\" names no link: primary=WORDS or secondary=WORDS", param,
				text != NULL ? text : "");
			rpc_fail(call, &error);
			return false;
		}
		snprintf(name, sizeof(name), "%s/%.*s", circuit->name, (int)length, text);
		json_array_append_new(changes,
			json_pack("{s:s, s:s, s:s, s:{s:s}}", "op", "set", "noun", "link", "name",
				name, "fields", field, equals + 1));
	}
	return true;
}

// A provider is told how his cross-connection is, not what it is called here or who changes what else.
static void taken(void *ctx, const struct service_result *result)
{
	struct rpc_call *call = ctx;
	struct api_error error = result->error;
	const struct circuit *circuit = circuit_of_key(service_model(call->ctx), rpc_string(call, "key"));

	if (call->provider == NULL) {
		verbs_changed(ctx, result);
		return;
	}
	if (error.code != API_NONE) {
		api_fail(&error, error.code, "culvertctl cross-connection show KEY",
			"cross-connection %s is %s, that cannot be done now", rpc_string(call, "key"),
			circuit != NULL ? circuit_provider_state(circuit) : "gone");
		rpc_fail(call, &error);
		return;
	}
	json_t *answer = verbs_answer(result);
	if (result->diff != NULL && circuit != NULL)
		json_array_append_new(json_object_get(answer, "diff"),
			json_pack("{s:s, s:o}", "op", "set", "text",
				json_sprintf("cross-connection %s is %s", circuit->service_key,
					circuit_provider_state(circuit))));
	if (result->guard != NULL) {
		api_fail(&error, result->guard->code, "culvertctl cross-connection show KEY",
			"cross-connection %s: that cannot be done now", rpc_string(call, "key"));
		json_object_set_new(answer, "refused", verbs_refused(&error));
	}
	rpc_reply(call, answer);
}

// Takes the circuit from where it is to the last of two states, or the first of them.
static void go_on(
	struct rpc_call *call, enum provider_state from, const char *first, const char *last)
{
	const struct circuit *circuit = find_circuit(call);
	bool begin = rpc_boolean(call, "begin", false);
	struct service_change change;

	if (circuit == NULL || !verbs_change_of(call, &change))
		return;
	json_t *changes = json_array();
	// From where there is no such step the rule about the order of states says so.
	if (begin || circuit->provider_state == from)
		add_step(changes, circuit, first);
	if (!begin)
		add_step(changes, circuit, last);
	if (add_words(call, changes, circuit, "device", "handoff-device") &&
		add_words(call, changes, circuit, "path", "handoff-path")) {
		change.changes = changes;
		service_change(call->ctx, &change, taken, call);
	}
	json_decref(changes);
}

static void provision(struct rpc_call *call)
{
	go_on(call, NOT_PROVISIONED, "provisioning", "provisioned");
}

static void deprovision(struct rpc_call *call)
{
	go_on(call, PROVISIONED, "deprovisioning", "not-provisioned");
}

// clang-format off
#define KEY {"key", RPC_STRING, true, "the circuit's service key, or its name"}
#define WORDS \
	{"device", RPC_ARRAY, false, "[\"primary=pe1\"..]: what the links are handed over on, in the provider's words"}, \
	{"path", RPC_ARRAY, false, "likewise, the paths of the lines"}

const struct rpc_method cross_methods[] = {
	{.name = API_CROSS_LIST, .role = RPC_VIEWER, .scoped = true, .handler = list_crosses,
		.help = "circuits as their providers see them",
		.params = {{"provider", RPC_STRING, false, "only of this one"}, {"location", RPC_STRING, false, "only there"},
			RPC_PAGING}},
	{.name = API_CROSS_SHOW, .role = RPC_VIEWER, .scoped = true, .handler = show_cross, .help = "one of them", .params = {KEY}},
	{.name = API_CROSS_PROVISION, .role = RPC_OPERATOR, .scoped = true, .handler = provision,
		.help = "the provider's line is there, or with begin: he is at it",
		.params = {KEY, {"begin", RPC_BOOLEAN, false, "provisioning, not yet provisioned"}, WORDS, RPC_WRITING}},
	{.name = API_CROSS_DEPROVISION, .role = RPC_OPERATOR, .scoped = true, .handler = deprovision,
		.help = "the provider's line is gone, or with begin: it will be",
		.params = {KEY, {"begin", RPC_BOOLEAN, false, "deprovisioning, not yet gone"}, RPC_WRITING}},
	{0},
};
// clang-format on
