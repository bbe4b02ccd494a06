// SPDX-License-Identifier: BSD-3-Clause

#include "tests/unit/rpc/methods.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int hold_gate[2] = {-1, -1};

static void echo(struct rpc_call *call)
{
	rpc_reply(call, json_incref(call->params));
}

static void fail(struct rpc_call *call)
{
	struct api_error error;

	api_fail(&error, API_NOT_FOUND, "culvertctl circuit list", "no circuit named \"%s\"",
		rpc_string(call, "value"));
	rpc_fail_details(call, &error, json_pack("[{s:s}]", "message", error.message));
}

static void large(struct rpc_call *call)
{
	size_t length = (size_t)rpc_integer(call, "bytes", 0);
	char *text = malloc(length + 1);

	memset(text, 'x', length);
	text[length] = '\0';
	rpc_reply(call, json_pack("{s:s}", "text", text));
	free(text);
}

static void hold(struct rpc_call *call)
{
	char byte;

	// Until the test lets it go by closing the other end.
	if (read(hold_gate[0], &byte, 1) >= 0)
		rpc_reply(call, NULL);
}

// As long as a question about many objects takes; its number is which one it was.
static void work(struct rpc_call *call)
{
	static int64_t done; // route thread
	const struct timespec length = {.tv_nsec = 2000000};

	nanosleep(&length, NULL);
	rpc_reply(call, json_pack("{s:I}", "n", (json_int_t)done++));
}

// Calls with a file that are not answered until "let.go": main thread.
static struct rpc_call *kept[64];
static unsigned int kept_count;

static void keep(struct rpc_call *call)
{
	kept[kept_count++] = call;
}

static void let_go(struct rpc_call *call)
{
	unsigned int count = kept_count;

	kept_count = 0;
	for (unsigned int i = 0; i < count; i++)
		rpc_reply(kept[i], NULL);
	rpc_reply(call, json_pack("{s:i}", "kept", (int)count));
}

static void file_size(struct rpc_call *call)
{
	rpc_reply(call, json_pack("{s:I, s:s#}", "length", (json_int_t)call->text_length, "begin",
				call->text == NULL ? "" : call->text,
				(size_t)(call->text_length < 4 ? call->text_length : 4)));
}

static void publish(struct rpc_call *call)
{
	struct rpc_server *server = *(struct rpc_server **)call->ctx;
	int64_t count = rpc_integer(call, "count", 1);

	for (int64_t i = 0; i < count; i++)
		rpc_event(
			server, rpc_string(call, "topic"), json_pack("{s:I}", "n", (json_int_t)i));
	rpc_reply(call, NULL);
}

static void count_up(struct rpc_call *call)
{
	const char *cursor = rpc_string(call, "cursor");
	int64_t next = cursor == NULL ? 0 : atoll(cursor), total = rpc_integer(call, "total", 0);
	json_t *items = json_array();
	char text[32];

	for (unsigned int i = 0; i < rpc_limit(call) && next < total; i++)
		json_array_append_new(items, json_integer(next++));
	snprintf(text, sizeof(text), "%" PRId64, next);
	if (!rpc_boolean(call, "stray", false))
		rpc_reply_list(call, items, next < total ? text : NULL);
	else // what looks like the next page stands behind it
		rpc_reply(call, json_pack("{s:o, s:s?, s:{s:s}}", "items", items, "next",
					next < total ? text : NULL, "unknown", "next", "77"));
}

const struct rpc_method test_methods[] = {
	{.name = "echo",
		.role = RPC_VIEWER,
		.handler = echo,
		.params = {{"value", RPC_STRING, true, NULL}, {"number", RPC_INTEGER, false, NULL},
			{"flag", RPC_BOOLEAN, false, NULL}, {"object", RPC_OBJECT, false, NULL},
			{"array", RPC_ARRAY, false, NULL}}},
	{.name = "operate", .role = RPC_OPERATOR, .handler = echo},
	{.name = "administrate", .role = RPC_ADMIN, .handler = echo},
	{.name = "fail",
		.role = RPC_VIEWER,
		.handler = fail,
		.params = {{"value", RPC_STRING, true, NULL}}},
	{.name = "large",
		.role = RPC_VIEWER,
		.handler = large,
		.params = {{"bytes", RPC_INTEGER, true, NULL}}},
	{.name = "count",
		.role = RPC_VIEWER,
		.handler = count_up,
		.params = {{"total", RPC_INTEGER, true, NULL}, {"stray", RPC_BOOLEAN, false, NULL},
			{"limit", RPC_INTEGER, false, NULL},
			{"cursor", RPC_STRING, false, NULL}}},
	{.name = "route.echo",
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = echo,
		.params = {{"value", RPC_STRING, true, NULL}}},
	{.name = "hold", .role = RPC_VIEWER, .thread = RPC_ROUTE, .handler = hold},
	{.name = "work", .role = RPC_VIEWER, .thread = RPC_ROUTE, .handler = work},
	{.name = "keep",
		.role = RPC_VIEWER,
		.handler = keep,
		.file = true,
		.params = {{"file", RPC_STRING, false, NULL}}},
	{.name = "let.go", .role = RPC_VIEWER, .handler = let_go},
	{.name = "file.size",
		.role = RPC_ADMIN,
		.handler = file_size,
		.file = true,
		.params = {{"file", RPC_STRING, false, NULL}}},
	{.name = "publish",
		.role = RPC_VIEWER,
		.handler = publish,
		.params = {{"topic", RPC_STRING, true, NULL}, {"count", RPC_INTEGER, false, NULL}}},
	{0},
};

void test_methods_add(void *ctx, struct rpc_server *server, struct event_base *base)
{
	static struct rpc_server *current;

	current = server;
	rpc_server_add(server, test_methods, &current);
}
