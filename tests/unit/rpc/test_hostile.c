// SPDX-License-Identifier: BSD-3-Clause

// Clients that mean no good, or do not know better. Each test ends with another client being served.

#include "tests/unit/rpc/harness.h"
#include "tests/unit/rpc/methods.h"

#include "control/api/client.h"
#include "control/api/methods.h"

#include <jansson.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t seed;

static uint32_t random_below(uint32_t bound)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % bound);
}

// Somebody else is served as if nothing were, within a second.
static void check_served(const struct harness *harness)
{
	struct timespec before, after;
	struct api_client *client;
	struct api_error error;

	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(api_connect(&client, harness_path(harness), 5, &error), 0);
	assert_int_equal(
		api_call(client, "echo", json_pack("{s:s}", "value", "x"), NULL, &error, NULL), 0);
	assert_int_equal(api_call(client, "route.echo", json_pack("{s:s}", "value", "x"), NULL,
				 &error, NULL),
		0);
	api_disconnect(client);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec < 2);
}

static void test_slow_request(void **state)
{
	struct harness *harness = harness_start(
		&(struct rpc_options){.limits = {.request_seconds = 1}}, test_methods_add, NULL);
	int fd = raw_connect(harness);
	struct pollfd hang_up = {.fd = fd, .events = POLLIN};
	struct rpc_counters counters;
	unsigned int bytes = 0;

	// A byte now and then, for ever.
	while (poll(&hang_up, 1, 50) == 0 && bytes < 200) {
		raw_send(fd, "{", 1);
		bytes++;
	}
	assert_true(bytes > 5 && bytes < 200);
	close(fd);
	check_served(harness);
	harness_counters(harness, &counters);
	assert_int_equal(counters.cut_slow, 1);
	harness_stop(harness);
}

static void test_idle(void **state)
{
	struct harness *harness = harness_start(
		&(struct rpc_options){.limits = {.idle_seconds = 1}}, test_methods_add, NULL);
	int fd = raw_connect(harness);

	assert_int_equal(raw_drain(fd), 0);
	close(fd);
	check_served(harness);
	harness_stop(harness);
}

static void test_never_reads(void **state)
{
	static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"large\","
				      "\"params\":{\"bytes\":200000}}\n";
	struct harness *harness = harness_start(
		&(struct rpc_options){.limits = {.write_seconds = 1}}, test_methods_add, NULL);
	struct rpc_counters counters;
	int fd = raw_connect(harness);
	struct timeval wait = {.tv_sec = 5};
	size_t sent = 0;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	// Until our own requests are not taken any more, or the connection is cut.
	while (sent < 1000000 && send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0)
		sent++;
	assert_true(sent < 1000000);
	check_served(harness);
	harness_counters(harness, &counters);
	assert_int_equal(counters.cut_slow, 1);
	// What was held for it is a few answers, however many it asked for.
	assert_true(counters.requests < 100);
	close(fd);
	harness_stop(harness);
}

static void test_request_too_large(void **state)
{
	struct harness *harness = harness_start(&(struct rpc_options){0}, test_methods_add, NULL);
	static char data[API_REQUEST_MAX + 65536];
	int fd = raw_connect(harness);
	char *line;

	// As large as may be.
	memset(data, ' ', sizeof(data));
	memcpy(data, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\"", 40);
	data[API_REQUEST_MAX - 2] = '}';
	data[API_REQUEST_MAX - 1] = '\n';
	raw_send(fd, data, API_REQUEST_MAX);
	line = raw_line(fd);
	assert_non_null(strstr(line, "\"result\""));
	free(line);
	// Without an end.
	memset(data, ' ', sizeof(data));
	raw_send(fd, data, sizeof(data));
	line = raw_line(fd);
	assert_non_null(strstr(line, "a request may have 1 MiB"));
	free(line);
	close(fd);
	check_served(harness);
	harness_stop(harness);
}

static void test_deep_nesting(void **state)
{
	struct harness *harness = harness_start(&(struct rpc_options){0}, test_methods_add, NULL);
	static char data[500001];
	int fd = raw_connect(harness);
	char *line;

	memset(data, '[', sizeof(data) - 1);
	data[sizeof(data) - 1] = '\n';
	raw_send(fd, data, sizeof(data));
	line = raw_line(fd);
	assert_non_null(strstr(line, "\"parse\""));
	free(line);
	close(fd);
	check_served(harness);
	harness_stop(harness);
}

static void junk_client(const struct harness *harness)
{
	static const char valid[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":"
				    "{\"value\":\"x\",\"number\":3,\"array\":[1,2]}}\n";
	static char data[8192];
	size_t length = 1 + random_below(sizeof(data) - 1);
	int fd = raw_connect(harness);

	if (random_below(2) == 0) {
		for (size_t i = 0; i < length; i++)
			data[i] = (char)(random_below(16) == 0 ? '\n' : (int)random_below(256));
	} else {
		size_t copies = sizeof(data) / (sizeof(valid) - 1);

		length = copies * (sizeof(valid) - 1);
		for (size_t i = 0; i < copies; i++)
			memcpy(data + i * (sizeof(valid) - 1), valid, sizeof(valid) - 1);
		for (size_t i = 0; i < copies * 2; i++)
			data[random_below((uint32_t)length)] = (char)random_below(256);
	}
	raw_send(fd, data, length);
	if (random_below(2) == 0) {
		shutdown(fd, SHUT_WR);
		raw_drain(fd);
	}
	close(fd);
}

static void test_junk(void **state)
{
	struct harness *harness = harness_start(&(struct rpc_options){0}, test_methods_add, NULL);

	for (int i = 0; i < 300; i++)
		junk_client(harness);
	check_served(harness);
	harness_stop(harness);
}

static void test_all_places_taken_by_one_user(void **state)
{
	static const struct rpc_grant grants[] = {
		{.id = 0, .role = RPC_ADMIN},
		{.id = 1234, .role = RPC_VIEWER},
	};
	struct harness *harness;
	struct rpc_counters counters;
	int ready[2], done[2], status;
	char byte;
	pid_t pid;

	if (getuid() != 0)
		skip();
	harness = harness_start(
		&(struct rpc_options){.grants = grants, .grant_count = 2}, test_methods_add, NULL);
	assert_int_equal(pipe(ready) | pipe(done), 0);
	pid = fork();
	if (pid == 0) {
		struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};

		setrlimit(RLIMIT_NOFILE, &files);
		raw_enter(harness);
		if (setgid(1234) < 0 || setuid(1234) < 0)
			_exit(2);
		for (int i = 0; i < 1000; i++)
			raw_connect(harness); // kept open
		close(done[1]);
		_exit(write(ready[1], "", 1) == 1 && read(done[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	check_served(harness);
	harness_counters(harness, &counters);
	assert_true(counters.clients <= 65);
	assert_true(counters.refused >= 1000 - 64);
	close(done[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(done[0]);
	check_served(harness);
	harness_stop(harness);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_request),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_never_reads),
		cmocka_unit_test(test_request_too_large),
		cmocka_unit_test(test_deep_nesting),
		cmocka_unit_test(test_junk),
		cmocka_unit_test(test_all_places_taken_by_one_user),
	};
	const char *given = getenv("CULVERT_SEED");

	seed = given == NULL ? (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid()
			     : strtoull(given, NULL, 10);
	print_message("CULVERT_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
