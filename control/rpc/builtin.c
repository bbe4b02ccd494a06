// SPDX-License-Identifier: BSD-3-Clause

// The methods that the server answers by itself: who it is, what it can do, events.

#include "control/rpc/server.h"

#include "control/api/methods.h"

#include <jansson.h>

#include <unistd.h>

static void hello(struct rpc_call *call)
{
	const struct rpc_server *server = call->ctx;
	const struct rpc_options *options = &server->options;
	uint64_t revision = options->revision == NULL ? 0 : options->revision(options->ctx);

	rpc_reply(call, json_pack("{s:s, s:s, s:s?, s:I, s:s, s:[s, s], s:i}", "api", API_VERSION,
				"version", CULVERT_VERSION, "edge", options->edge, "revision",
				(json_int_t)revision, "role", rpc_role_name(call->role), "features",
				"memfd", "events", "pid", (int)getpid()));
}

static json_t *describe_params(const struct rpc_method *method)
{
	static const char *const types[] = {"string", "integer", "boolean", "object", "array"};
	json_t *params = json_array();

	for (size_t i = 0; i < RPC_PARAMS_MAX && method->params[i].name != NULL; i++) {
		const struct rpc_param *param = &method->params[i];

		json_array_append_new(
			params, json_pack("{s:s, s:s, s:b, s:s?}", "name", param->name, "type",
					types[param->type], "required", param->required, "help",
					param->help));
	}
	return params;
}

static void describe(struct rpc_call *call)
{
	const struct rpc_server *server = call->ctx;
	json_t *methods = json_array(), *result;

	for (unsigned int i = 0; i < server->table_count; i++)
		for (const struct rpc_method *method = server->tables[i].methods;
			method->name != NULL; method++)
			json_array_append_new(methods,
				json_pack("{s:s, s:s, s:s?, s:b, s:o}", "name", method->name,
					"role", rpc_role_name(method->role), "help", method->help,
					"file", method->file, "params", describe_params(method)));
	result = json_pack("{s:s, s:o}", "api", API_VERSION, "methods", methods);
	json_object_update(result, server->more);
	rpc_reply(call, result);
}

const struct rpc_method builtin_methods[] = {
	{
		.name = API_HELLO,
		.scoped = true,
		.role = RPC_VIEWER,
		.handler = hello,
		.help = "who answers, which API, which revision, which role you have",
		.params = {{"client", RPC_STRING, false, "name and version of the client"}},
	},
	{
		.name = API_DESCRIBE,
		.scoped = true,
		.role = RPC_VIEWER,
		.handler = describe,
		.help = "all methods with their parameters, all nouns with their fields",
	},
	{
		.name = API_SUBSCRIBE,
		.role = RPC_VIEWER,
		.handler = events_subscribe,
		.help = "from now on events arrive as notifications",
		.params = {{"topics", RPC_ARRAY, false, "only these topics"},
			{"since", RPC_INTEGER, false, "repeat the kept events after this number"}},
	},
	{
		.name = API_UNSUBSCRIBE,
		.role = RPC_VIEWER,
		.handler = events_unsubscribe,
		.help = "no more events",
	},
	{0},
};
