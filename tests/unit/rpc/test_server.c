// SPDX-License-Identifier: BSD-3-Clause

// What a well-behaved client relies on: the transcript, roles, files, events, lists, answers from the other
// thread.

#include "tests/unit/rpc/harness.h"
#include "tests/unit/rpc/methods.h"

#include "control/api/client.h"
#include "control/api/methods.h"

#include <event2/event.h>
#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct harness *start(void)
{
	return harness_start(&(struct rpc_options){0}, test_methods_add, NULL);
}

static struct api_client *client_on(const struct harness *harness)
{
	struct api_client *client;
	struct api_error error;

	assert_int_equal(api_connect(&client, harness_path(harness), 10, &error), 0);
	return client;
}

// "*" in the expected matches anything.
static bool matches(const json_t *expected, const json_t *actual)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_string(expected) && strcmp(json_string_value(expected), "*") == 0)
		return actual != NULL;
	if (json_is_object(expected)) {
		if (json_object_size(expected) != json_object_size(actual))
			return false;
		json_object_foreach ((json_t *)expected, key, value)
			if (!matches(value, json_object_get(actual, key)))
				return false;
		return true;
	}
	if (json_is_array(expected)) {
		if (json_array_size(expected) != json_array_size(actual))
			return false;
		json_array_foreach ((json_t *)expected, i, value)
			if (!matches(value, json_array_get(actual, i)))
				return false;
		return true;
	}
	return json_equal(expected, actual);
}

static void expect_line(int fd, const char *expected_text)
{
	char *line = raw_line(fd);
	json_t *expected = json_loads(expected_text, 0, NULL), *actual;

	assert_non_null(line);
	assert_non_null(expected);
	actual = json_loads(line, 0, NULL);
	if (!matches(expected, actual))
		fail_msg("expected %s\n     got %s", expected_text, line);
	json_decref(expected);
	json_decref(actual);
	free(line);
}

static void test_transcript(void **state)
{
	struct harness *harness = start();
	FILE *file = fopen(TRANSCRIPT, "re");
	int fd = raw_connect(harness);
	char line[4096];
	unsigned int exchanged = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (line[0] == '>')
			raw_send(fd, line + 2, strlen(line + 2));
		else if (line[0] == '<')
			expect_line(fd, line + 2);
		exchanged++;
	}
	assert_true(exchanged > 20);
	fclose(file);
	close(fd);
	harness_stop(harness);
}

static void test_describe(void **state)
{
	struct harness *harness = start();
	struct api_client *client = client_on(harness);
	json_t *result, *method;
	struct api_error error;
	bool found = false;
	size_t i;

	assert_int_equal(api_call(client, API_DESCRIBE, NULL, &result, &error, NULL), 0);
	json_array_foreach (json_object_get(result, "methods"), i, method) {
		json_t *param = json_array_get(json_object_get(method, "params"), 0);

		if (strcmp(json_string_value(json_object_get(method, "name")), "echo") != 0)
			continue;
		found = true;
		assert_string_equal(json_string_value(json_object_get(method, "role")), "viewer");
		assert_string_equal(json_string_value(json_object_get(param, "name")), "value");
		assert_string_equal(json_string_value(json_object_get(param, "type")), "string");
		assert_true(json_is_true(json_object_get(param, "required")));
	}
	assert_true(found);
	json_decref(result);
	api_disconnect(client);
	harness_stop(harness);
}

// Each page is asked for before the one in front of it is read; with `stray` a wrong one is.
static void test_list_of_pages(void **state)
{
	struct harness *harness = start();
	struct api_client *client = client_on(harness);
	struct api_error error;
	json_t *result;

	for (int stray = 0; stray < 2; stray++) {
		assert_int_equal(api_call_list(client, "count",
					 json_pack("{s:i, s:i, s:b}", "total", 2500, "limit", 1000,
						 "stray", stray),
					 &result, &error),
			0);
		const json_t *items = json_object_get(result, "items");
		assert_int_equal(json_array_size(items), 2500);
		for (size_t i = 0; i < 2500; i++)
			assert_int_equal(json_integer_value(json_array_get(items, i)), i);
		json_decref(result);
	}
	api_disconnect(client);
	harness_stop(harness);
}

static void test_half_closed_is_answered(void **state)
{
	static const char requests[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"route.echo\",\"params\":{\"value\":"
		"\"a\"}}\n"
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\",\"params\":{\"value\":\"b\"}}\n";
	struct harness *harness = start();
	int fd = raw_connect(harness);

	raw_send(fd, requests, sizeof(requests) - 1);
	shutdown(fd, SHUT_WR);
	assert_true(raw_drain(fd) > 80);
	close(fd);
	harness_stop(harness);
}

static void test_answers_into_the_void(void **state)
{
	static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hold\"}\n";
	static const char hello[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hello\"}\n";
	struct harness *harness;
	char *line;
	int fd;

	assert_int_equal(pipe(hold_gate), 0);
	harness = start();
	fd = raw_connect(harness);
	raw_send(fd, request, sizeof(request) - 1);
	raw_send(fd, hello, sizeof(hello) - 1); // answered first, since hold waits elsewhere
	line = raw_line(fd);
	assert_non_null(strstr(line, "\"id\":2"));
	free(line);
	close(fd); // the client is gone before the answer
	fd = raw_connect(harness);
	raw_send(fd, request, sizeof(request) - 1);
	close(hold_gate[1]);
	harness_stop(harness); // and so may be the server
	close(fd);
	close(hold_gate[0]);
}

static void test_lost_events(void **state)
{
	struct harness *harness = harness_start(
		&(struct rpc_options){.limits = {.output_bytes = 4096, .events_kept = 16}},
		test_methods_add, NULL);
	struct api_client *slow = client_on(harness), *other = client_on(harness);
	uint64_t received = 0, lost = 0;
	struct api_error error;
	json_t *event;

	assert_int_equal(api_call(slow, API_SUBSCRIBE, NULL, NULL, &error, NULL), 0);
	// More than the socket's own buffer takes.
	assert_int_equal(
		api_call(other, "publish", json_pack("{s:s, s:i}", "topic", "t", "count", 20000),
			NULL, &error, NULL),
		0);
	while (received + lost < 20000) {
		json_t *data;

		assert_int_equal(api_event(slow, 10000, &event, &error), 0);
		data = json_object_get(event, "data");
		if (strcmp(json_string_value(json_object_get(event, "topic")), "lost") == 0)
			lost += (uint64_t)json_integer_value(json_object_get(data, "lost"));
		else
			received++;
		json_decref(event);
	}
	assert_int_equal(received + lost, 20000);
	assert_true(lost > 0 && received > 0);
	api_disconnect(slow);
	// The ring remembers sixteen.
	slow = client_on(harness);
	assert_int_equal(api_call(slow, API_SUBSCRIBE, json_pack("{s:i}", "since", 100), &event,
				 &error, NULL),
		0);
	assert_int_equal(json_integer_value(json_object_get(event, "lost")), 20000 - 16 - 100);
	json_decref(event);
	for (int i = 0; i < 16; i++) {
		assert_int_equal(api_event(slow, 10000, &event, &error), 0);
		assert_int_equal(
			json_integer_value(json_object_get(event, "seq")), 20000 - 16 + 1 + i);
		json_decref(event);
	}
	api_disconnect(slow);
	api_disconnect(other);
	harness_stop(harness);
}

// --- files ---------------------------------------------------------------------------------------------

static void test_file(void **state)
{
	struct harness *harness = start();
	struct api_client *client = client_on(harness);
	size_t length = 5u << 20; // more than a request may have
	char *text = malloc(length);
	struct api_error error;
	json_t *result;

	memset(text, 'y', length);
	assert_int_equal(
		api_call_file(client, "file.size", NULL, text, length, &result, &error, NULL), 0);
	assert_int_equal(json_integer_value(json_object_get(result, "length")), length);
	assert_string_equal(json_string_value(json_object_get(result, "begin")), "yyyy");
	json_decref(result);
	free(text);
	assert_int_equal(
		api_call_file(client, "file.size", NULL, "", 0, &result, &error, NULL), -EINVAL);
	assert_int_equal(error.code, API_INVALID);
	assert_int_equal(
		api_call_file(client, "echo", NULL, "x", 1, &result, &error, NULL), -EINVAL);
	api_disconnect(client);
	harness_stop(harness);
}

static void send_with_files(int fd, const char *text, const int *files, unsigned int count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), files, count * sizeof(int));
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void test_unsealed_file(void **state)
{
	static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"file.size\","
				      "\"params\":{\"file\":\"fd\"}}\n";
	struct harness *harness = start();
	int fd = raw_connect(harness), files[8];
	char *line;

	for (int i = 0; i < 8; i++)
		files[i] = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(files[0], 100), 0);
	send_with_files(fd, request, files, 1); // its sender could still change it
	line = raw_line(fd);
	assert_non_null(strstr(line, "not a sealed memory file"));
	free(line);
	assert_int_equal(
		fcntl(files[0], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
	send_with_files(fd, request, files, 1);
	line = raw_line(fd);
	assert_non_null(strstr(line, "\"length\":100"));
	free(line);
	send_with_files(fd, request, files, 8);
	line = raw_line(fd);
	assert_non_null(strstr(line, "too many descriptors"));
	free(line);
	assert_int_equal(raw_drain(fd), 0);
	for (int i = 0; i < 8; i++)
		close(files[i]);
	close(fd);
	harness_stop(harness);
}

// --- roles ---------------------------------------------------------------------------------------------

static void role_of(
	const struct harness *harness, uid_t uid, gid_t gid, gid_t extra, const char *expected)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		static const char request[] =
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\"}\n";
		char line[1024];
		ssize_t got;
		int fd;

		raw_enter(harness);
		if (setgroups(1, &extra) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			_exit(2);
		fd = raw_connect(harness);
		raw_send(fd, request, sizeof(request) - 1);
		got = read(fd, line, sizeof(line) - 1);
		line[got < 0 ? 0 : got] = '\0';
		_exit(strstr(line, expected) == NULL ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("uid %u gid %u group %u is not %s", uid, gid, extra, expected);
}

static void test_roles(void **state)
{
	static const struct rpc_grant grants[] = {
		{.id = 1001, .role = RPC_VIEWER},
		{.group = true, .id = 4242, .role = RPC_OPERATOR},
		{.group = true, .id = 4243, .role = RPC_VIEWER},
		{.id = 65534, .role = RPC_ADMIN},
		{.group = true, .id = 65534, .role = RPC_ADMIN},
		{.id = 1002, .role = RPC_ADMIN},
	};
	struct harness *harness;

	if (getuid() != 0)
		skip();
	harness = harness_start(
		&(struct rpc_options){.grants = grants, .grant_count = 6}, test_methods_add, NULL);
	role_of(harness, 1001, 1001, 1001, "\"role\":\"viewer\"");
	role_of(harness, 1001, 1001, 4242, "\"role\":\"operator\"");
	role_of(harness, 1005, 4242, 1005, "\"role\":\"operator\"");
	role_of(harness, 1005, 4243, 4242, "\"role\":\"operator\"");
	role_of(harness, 1002, 4243, 4242, "\"role\":\"admin\"");
	role_of(harness, 1003, 1003, 1003, "\"denied\"");
	role_of(harness, 65534, 1, 1, "\"denied\"");
	role_of(harness, 1003, 65534, 65534, "\"denied\"");
	role_of(harness, 0, 0, 0, "\"denied\""); // not even root, unless the node file says so
	harness_stop(harness);
}

static void test_role_of_method(void **state)
{
	struct rpc_grant viewer = {.id = getuid(), .role = RPC_VIEWER};
	struct harness *harness = harness_start(
		&(struct rpc_options){.grants = &viewer, .grant_count = 1}, test_methods_add, NULL);
	struct api_client *client = client_on(harness);
	struct api_error error;

	assert_int_equal(api_call(client, "operate", NULL, NULL, &error, NULL), -EACCES);
	assert_int_equal(error.code, API_DENIED);
	assert_non_null(strstr(error.message, "operate needs the role operator"));
	assert_int_equal(api_call(client, "administrate", NULL, NULL, &error, NULL), -EACCES);
	assert_int_equal(
		api_call(client, "echo", json_pack("{s:s}", "value", "v"), NULL, &error, NULL), 0);
	api_disconnect(client);
	harness_stop(harness);
}

static void test_no_server(void **state)
{
	struct api_client *client;
	struct api_error error;

	assert_int_equal(api_connect(&client, "/nonexistent/sock", 1, &error), -ECONNREFUSED);
	assert_int_equal(api_code_exit(error.code), 4);
	assert_true(error.hint[0] != '\0');
}

static void test_second_server(void **state)
{
	struct harness *harness = start();
	struct rpc_server *second;
	struct api_error error;
	struct rpc_options options = {.base = event_base_new(), .path = harness_path(harness)};

	assert_int_equal(rpc_server_create(&second, &options, &error), -EBUSY);
	assert_non_null(strstr(error.message, "another culvertd listens"));
	event_base_free(options.base);
	harness_stop(harness);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transcript),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_list_of_pages),
		cmocka_unit_test(test_half_closed_is_answered),
		cmocka_unit_test(test_answers_into_the_void),
		cmocka_unit_test(test_lost_events),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_unsealed_file),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_role_of_method),
		cmocka_unit_test(test_no_server),
		cmocka_unit_test(test_second_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
