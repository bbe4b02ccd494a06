// SPDX-License-Identifier: BSD-3-Clause
// A control socket before the route thread of a test, and its client.

#include "tests/unit/sync/asking.h"

#include "control/rpc/answers/methods.h"

#include <unistd.h>

#include <sys/socket.h>

static struct rpc_server *server;
static int client;
static char answer[1 << 20];
static size_t answer_length;
json_t *events, *states;

// --- a client -------------------------------------------------------------------------------------------

static void run_now(void *ctx, struct rpc_call *call)
{
	rpc_call_run(call);
}

static void finish_now(void *ctx, struct rpc_call *call)
{
	rpc_call_finish(call);
}

static void on_event(void *ctx, const char *topic, json_t *data)
{
	json_object_set_new(data, "topic", json_string(topic));
	json_array_append_new(strcmp(topic, "state") == 0 ? states : events, data);
}

static bool has_line(void)
{
	ssize_t got = recv(
		client, answer + answer_length, sizeof(answer) - 1 - answer_length, MSG_DONTWAIT);
	if (got > 0)
		answer_length += (size_t)got;
	answer[answer_length] = '\0';
	return answer_length > 0 && answer[answer_length - 1] == '\n';
}

void ask(const char *method, const char *params)
{
	char line[512];
	int length = snprintf(line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n", method, params);
	assert_int_equal(send(client, line, (size_t)length, 0), length);
	answer_length = 0;
}

json_t *get_answer(void)
{
	WAIT(has_line());
	json_t *whole = json_loads(answer, 0, NULL);
	assert_non_null(whole);
	return whole;
}

json_t *result_of(const char *method, const char *params)
{
	ask(method, params);
	json_t *whole = get_answer(), *result = json_incref(json_object_get(whole, "result"));
	if (result == NULL)
		fail_msg("%s: %s", method, answer);
	json_decref(whole);
	return result;
}

json_int_t number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	if (!json_is_integer(value))
		fail_msg("%s is not a number", key);
	return json_integer_value(value);
}

static void serve(void)
{
	int pair[2];
	char socket[96];
	struct api_error error = {0};
	const struct rpc_grant grant = {.id = getuid(), .role = RPC_ADMIN};

	snprintf(socket, sizeof(socket), "%s/rpc.sock", configuration.directory);
	const struct rpc_options rpc = {.base = base,
		.path = socket,
		.grants = &grant,
		.grant_count = 1,
		.edge = "east",
		.forward = run_now,
		.back = finish_now};
	assert_int_equal(rpc_server_create(&server, &rpc, &error), 0);
	assert_int_equal(rpc_server_add(server, sync_methods, running), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(rpc_server_adopt(server, pair[0]), 0);
	client = pair[1];
}

void asking_again(void)
{
	close(client);
	rpc_server_destroy(server);
	serve();
}

int asking_start(void **state)
{
	options = (struct domains_options){.event = on_event, .route_limit = LIMIT};
	events = json_array();
	states = json_array();
	running_start(state);
	serve();
	return 0;
}

int asking_stop(void **state)
{
	close(client);
	rpc_server_destroy(server);
	running_stop(state);
	options = (struct domains_options){0};
	json_decref(events);
	json_decref(states);
	return 0;
}

const char *text(const json_t *object, const char *key)
{
	const char *found = json_string_value(json_object_get(object, key));
	return found != NULL ? found : "";
}
