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
#include <sys/mman.h>
#include <fcntl.h>
#include <malloc.h>
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

#define SERVED_REQUESTS 2

// Somebody else is served as if nothing were, within a second of work: of this process, in which the server is a thread.
// What else the machine does is not the server's (the client itself gives up after five seconds).
static void check_served(const struct harness *harness)
{
	struct timespec before, after;
	struct api_client *client;
	struct api_error error;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	assert_int_equal(api_connect(&client, harness_path(harness), 5, &error), 0);
	assert_int_equal(
		api_call(client, "echo", json_pack("{s:s}", "value", "x"), NULL, &error, NULL), 0);
	assert_int_equal(api_call(client, "route.echo", json_pack("{s:s}", "value", "x"), NULL,
				 &error, NULL),
		0);
	api_disconnect(client);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	int64_t ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	assert_in_range(ms, 0, 1000);
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

// Whoever leaves connections open without using them keeps nobody out, himself not either.
static void test_idle_ones_give_way(void **state)
{
	struct harness *harness = harness_start(
		&(struct rpc_options){
			.limits = {.clients = 16, .clients_per_user = 8, .spare_ms = 100}},
		test_methods_add, NULL);
	struct rpc_counters counters;
	struct pollfd first = {.events = POLLIN};

	for (unsigned int i = 0; i < 16; i++) {
		int fd = raw_connect(harness);
		if (i == 0)
			first.fd = fd;
	}
	do { // too early: they have only just come
		close(raw_connect(harness));
		harness_counters(harness, &counters);
	} while (poll(&first, 1, 20) == 0);
	assert_int_equal(raw_drain(first.fd), 0);
	check_served(harness);
	harness_counters(harness, &counters);
	assert_true(counters.clients <= 16);
	assert_true(counters.cut_idle >= 1);
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

// A server for root and uid 1234, and a process of the latter that has done its worst.
struct other_user {
	struct harness *harness;
	pid_t pid;
	int done;
};

static struct other_user other_user(void (*worst)(const struct harness *harness))
{
	static const struct rpc_grant grants[] = {
		{.id = 0, .role = RPC_ADMIN},
		{.id = 1234, .role = RPC_VIEWER},
	};
	struct other_user other = {
		.harness = harness_start(&(struct rpc_options){.grants = grants, .grant_count = 2},
			test_methods_add, NULL)};
	int ready[2], done[2];
	char byte;

	assert_int_equal(pipe(ready) | pipe(done), 0);
	other.pid = fork();
	if (other.pid == 0) {
		raw_enter(other.harness);
		if (setgid(1234) < 0 || setuid(1234) < 0)
			_exit(2);
		worst(other.harness);
		close(done[1]);
		_exit(write(ready[1], "", 1) == 1 && read(done[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(ready[1]);
	close(done[0]);
	other.done = done[1];
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return other;
}

static void other_user_end(struct other_user *other)
{
	int status;

	close(other->done);
	assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
	assert_int_equal(status, 0);
	harness_stop(other->harness);
}

static int64_t number_of(struct api_client *client, const char *method, const char *key)
{
	struct api_error error;
	json_t *result;

	assert_int_equal(api_call(client, method, NULL, &result, &error, NULL), 0);
	int64_t number = json_integer_value(json_object_get(result, key));
	json_decref(result);
	return number;
}

static void flood(const struct harness *harness)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"work\"}\n";

	for (int i = 0; i < 64; i++) {
		int fd = raw_connect(harness); // kept open
		for (int j = 0; j < 16; j++)
			raw_send(fd, line, sizeof(line) - 1);
	}
}

static int64_t raw_number(int fd)
{
	char *line = raw_line(fd);
	json_t *answer = json_loads(line, 0, NULL), *result = json_object_get(answer, "result");
	int64_t number = json_integer_value(json_object_get(result, "n"));

	assert_true(json_is_integer(json_object_get(result, "n")));
	json_decref(answer);
	free(line);
	return number;
}

// 1,024 calls of one user are there when another asks: one of them is under way, so it is the next but one. His calls are sent
// in one piece, so that none is late when this process is.
static void test_one_user_floods(void **state)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"work\"}\n";
	enum { CALLS = 12 };
	char lines[CALLS * sizeof(line)] = "";

	if (getuid() != 0)
		skip();
	for (int i = 0; i < CALLS; i++)
		strcat(lines, line);
	struct other_user other = other_user(flood);
	int fd = raw_connect(other.harness);
	raw_send(fd, lines, strlen(lines));
	int64_t before = raw_number(fd);
	for (int i = 1; i < CALLS; i++) {
		int64_t now = raw_number(fd);
		assert_in_range(now - before, 1, 3);
		before = now;
	}
	assert_true(before < 900); // the flood went on meanwhile
	close(fd);
	other_user_end(&other);
}

static void send_file(int fd, size_t bytes)
{
	static const char line[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"keep\",\"params\":{\"file\":"
		"\"fd\"}}\n";
	int file = memfd_create("file", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec iov = {(void *)line, sizeof(line) - 1};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	if (ftruncate(file, (off_t)bytes) != 0 ||
		fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) != 0)
		_exit(3);
	memcpy(CMSG_DATA(&control.header), &file, sizeof(file));
	if (sendmsg(fd, &message, 0) != (ssize_t)iov.iov_len)
		_exit(4);
	close(file);
}

static void send_files(const struct harness *harness)
{
	for (int i = 0; i < 8; i++)
		send_file(raw_connect(harness), 40 << 20);
}

// Eight files of 40 MiB: two are looked at at a time, the others wait in their sockets. Nobody else does.
static void test_files_wait_outside(void **state)
{
	struct api_client *client;
	struct api_error error;
	int64_t kept = 0;

	if (getuid() != 0)
		skip();
	struct other_user other = other_user(send_files);
	assert_int_equal(api_connect(&client, harness_path(other.harness), 5, &error), 0);
	for (int i = 0; kept < 8 && i < 100000; i++) {
		int64_t now = number_of(client, "let.go", "kept");
		assert_true(now <= 2);
		kept += now;
	}
	assert_int_equal(kept, 8);
	check_served(other.harness);
	api_disconnect(client);
	other_user_end(&other);
}

#define LARGE_ANSWER 4000000

static void ask_for_much(const struct harness *harness)
{
	char line[128];

	snprintf(line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"large\",\"params\":{\"bytes\":%d}}\n",
		LARGE_ANSWER);
	for (int i = 0; i < 64; i++)
		raw_send(raw_connect(harness), line, strlen(line));
}

static size_t in_use(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

// Sixty-four clients of one user want one answer of 4 MB each and read none: what is held for him is 32 MiB and the one that
// was made last, the other requests wait. Until nothing has changed for a while.
static void test_a_large_answer_each(void **state)
{
	struct rpc_counters counters = {0};
	uint64_t before;
	unsigned int quiet = 0;
	size_t most = 0;

	if (getuid() != 0)
		skip();
	size_t start = in_use();
	struct other_user other = other_user(ask_for_much);
	for (unsigned int round = 0; quiet < 20 && round < 2000; round++) {
		before = counters.requests;
		check_served(other.harness);
		harness_counters(other.harness, &counters);
		size_t now = in_use();
		most = now > most ? now : most;
		quiet = counters.requests - before == SERVED_REQUESTS ? quiet + 1 : 0;
	}
	assert_int_equal(quiet, 20);
	assert_in_range(most - start, 0, (32u << 20) + 3 * LARGE_ANSWER);
	other_user_end(&other);
}

// Two servers' worth of empty lines cost nobody a second.
static void empty_lines(const struct harness *harness)
{
	static char data[65536];

	memset(data, '\n', sizeof(data));
	for (int i = 0; i < 64; i++)
		raw_send(raw_connect(harness), data, sizeof(data));
}

static void test_empty_lines(void **state)
{
	if (getuid() != 0)
		skip();
	struct other_user other = other_user(empty_lines);
	check_served(other.harness);
	other_user_end(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_request),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_idle_ones_give_way),
		cmocka_unit_test(test_never_reads),
		cmocka_unit_test(test_request_too_large),
		cmocka_unit_test(test_deep_nesting),
		cmocka_unit_test(test_junk),
		cmocka_unit_test(test_all_places_taken_by_one_user),
		cmocka_unit_test(test_one_user_floods),
		cmocka_unit_test(test_files_wait_outside),
		cmocka_unit_test(test_a_large_answer_each),
		cmocka_unit_test(test_empty_lines),
	};
	const char *given = getenv("CULVERT_SEED");

	seed = given == NULL ? (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid()
			     : strtoull(given, NULL, 10);
	print_message("CULVERT_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
