// SPDX-License-Identifier: BSD-3-Clause

// culvertctl as a user runs it, against the real verbs over a model in memory and canned answers for what the
// route thread would say. The cases stand in culvertctl.txt:
//	$ words of the command line
//	what it prints, standard output and error together
//	= exit status, when not 0
// Run with CULVERT_REWRITE=1 it prints the file as it would be; read the difference before believing it.

#include "tests/unit/rpc/fake_service.h"
#include "tests/unit/rpc/harness.h"

#include "control/api/methods.h"
#include "control/rpc/verbs.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static json_t *answers; // method -> result

static const char *const times[] = {"since", "detail_since"};

// "since" members are ages in the file, so that the tables stay the same.
static void make_times(json_t *value)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_object(value)) {
		for (i = 0; i < 2; i++) {
			json_t *since = json_object_get(value, times[i]);
			if (json_is_integer(since))
				json_integer_set(
					since, (json_int_t)time(NULL) - json_integer_value(since));
		}
		json_object_foreach (value, key, member)
			make_times(member);
	}
	if (json_is_array(value))
		json_array_foreach (value, i, member)
			make_times(member);
}

// Sets all of them to 0; returns how many there are.
static unsigned int clear_times(json_t *value)
{
	unsigned int count = 0;
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_object(value)) {
		for (i = 0; i < 2; i++) {
			json_t *since = json_object_get(value, times[i]);
			if (!json_is_integer(since))
				continue;
			json_integer_set(since, 0);
			count++;
		}
		json_object_foreach (value, key, member)
			count += clear_times(member);
	}
	if (json_is_array(value))
		json_array_foreach (value, i, member)
			count += clear_times(member);
	return count;
}

// "circuit.status globex-ams-1", when there is one for what was asked for, else "circuit.status".
static json_t *answer_to(struct rpc_call *call)
{
	const char *circuit = rpc_string(call, "circuit");
	char key[128];

	snprintf(key, sizeof(key), "%s %s", call->method->name, circuit != NULL ? circuit : "");
	json_t *answer = json_object_get(answers, key);
	return json_deep_copy(
		answer != NULL ? answer : json_object_get(answers, call->method->name));
}

static void canned(struct rpc_call *call)
{
	json_t *answer = answer_to(call);
	struct api_error error;

	if (strcmp(call->method->name, API_ROUTE_GET) == 0 && !rpc_has(call, "circuit")) {
		json_decref(answer);
		api_fail(&error, API_TIMEOUT, NULL, "the route thread is busy");
		rpc_fail(call, &error);
		return;
	}
	make_times(answer);
	rpc_reply(call, answer);
}

#define ROUTE(method_name, ...)                                                                  \
	{                                                                                        \
		.name = method_name, .role = RPC_VIEWER, .thread = RPC_ROUTE, .handler = canned, \
		.params = {                                                                      \
			__VA_ARGS__                                                              \
		}                                                                                \
	}
static const struct rpc_method route_methods[] = {
	ROUTE(API_STATUS, {0}),
	ROUTE(API_CIRCUIT_STATUS, {"circuit", RPC_STRING, false, NULL},
		{"customer", RPC_STRING, false, NULL}, {"brief", RPC_BOOLEAN, false, NULL},
		{"limit", RPC_INTEGER, false, NULL}, {"cursor", RPC_STRING, false, NULL}),
	ROUTE(API_CIRCUIT_CHECK, {"circuit", RPC_STRING, true, NULL}),
	ROUTE(API_CIRCUIT_STATS, {"circuit", RPC_STRING, true, NULL},
		{"link", RPC_STRING, false, NULL}),
	ROUTE(API_PORT_STATUS, {"port", RPC_STRING, false, NULL}),
	ROUTE(API_ROUTE_LIST, {"circuit", RPC_STRING, false, NULL},
		{"state", RPC_STRING, false, NULL}, {"limit", RPC_INTEGER, false, NULL},
		{"cursor", RPC_STRING, false, NULL}),
	ROUTE(API_ROUTE_GET, {"address", RPC_STRING, true, NULL},
		{"circuit", RPC_STRING, false, NULL}),
	ROUTE(API_ROUTE_SUMMARY, {"limit", RPC_INTEGER, false, NULL}),
	ROUTE(API_NEIGHBOR_LIST, {"limit", RPC_INTEGER, false, NULL}),
	ROUTE(API_DROPS, {"limit", RPC_INTEGER, false, NULL}),
	ROUTE(API_DOCTOR, {0}),
	ROUTE(API_EDGE_ADOPT, {"check", RPC_BOOLEAN, false, NULL},
		{"force", RPC_BOOLEAN, false, NULL}),
	ROUTE(API_PEERING_STATUS, {"peering", RPC_STRING, false, NULL},
		{"limit", RPC_INTEGER, false, NULL}),
	ROUTE(API_PEERING_CLEAR, {"peering", RPC_STRING, true, NULL},
		{"soft", RPC_BOOLEAN, false, NULL}),
	{0},
};

static void add_methods(void *ctx, struct rpc_server *server, struct event_base *base)
{
	struct api_error error;

	fake_service_base(ctx, base);
	assert_int_equal(rpc_verbs_add(server, ctx, &error), 0);
	assert_int_equal(rpc_server_add(server, route_methods, NULL), 0);
}

static int run(const char *words, char *out, size_t room)
{
	char command[2048];
	size_t length = 0;
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command), "cd %s && %s %s 2>&1", SOURCE_DIR, CULVERTCTL, words);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	length = fread(out, 1, room - 1, pipe);
	out[length] = '\0';
	status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void check(const char *words, const char *expected, int expected_status)
{
	static char out[65536];
	int status = run(words, out, sizeof(out));

	if (getenv("CULVERT_REWRITE") != NULL) {
		printf("$ %s\n%s", words, out);
		if (status != 0)
			printf("= %d\n", status);
	} else if (strcmp(out, expected) != 0 || status != expected_status) {
		fail_msg("culvertctl %s\n--- expected, status %d\n%s--- got, status %d\n%s", words,
			expected_status, expected, status, out);
	}
}

static void test_cases(void **state)
{
	static char expected[65536];
	char line[1024], words[1024] = "";
	FILE *file = fopen(CASES, "re");
	unsigned int cases = 0;
	int status = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (line[0] == '$' || line[0] == '#') {
			if (words[0] != '\0')
				check(words, expected, status);
			words[0] = expected[0] = '\0';
			status = 0;
		}
		if (line[0] == '#') {
			if (getenv("CULVERT_REWRITE") != NULL)
				printf("%s", line);
		} else if (line[0] == '$') {
			line[strcspn(line, "\n")] = '\0';
			snprintf(words, sizeof(words), "%s", line + 2);
			cases++;
		} else if (line[0] == '=' && line[1] == ' ') {
			status = atoi(line + 2);
		} else {
			assert_true(strlen(expected) + strlen(line) < sizeof(expected));
			strcat(expected, line);
		}
	}
	if (words[0] != '\0')
		check(words, expected, status);
	fclose(file);
	assert_true(cases > 30);
}

// Whatever the daemon answers is what --json prints.
static void test_json_is_the_answer(void **state)
{
	static const char *const reads[][2] = {
		{"status", API_STATUS},
		{"route list", API_ROUTE_LIST},
		{"route summary", API_ROUTE_SUMMARY},
		{"neighbor list", API_NEIGHBOR_LIST},
		{"drops", API_DROPS},
		{"circuit stats acme-ams-01", API_CIRCUIT_STATS},
		{"peering status", API_PEERING_STATUS},
		{"circuit list", API_CIRCUIT_STATUS},
	};
	static char out[65536];

	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		char words[64];
		json_t *printed, *expected = json_deep_copy(json_object_get(answers, reads[i][1]));

		snprintf(words, sizeof(words), "%s --json", reads[i][0]);
		make_times(expected);
		// Of the canned answers only `status` has problems to tell.
		assert_int_equal(run(words, out, sizeof(out)), i == 0);
		printed = json_loads(out, 0, NULL);
		assert_non_null(printed);
		// Seconds may have passed since: only the times may differ.
		assert_int_equal(clear_times(printed), clear_times(expected));
		if (!json_equal(printed, expected))
			assert_string_equal(out, "");
		json_decref(printed);
		json_decref(expected);
	}
}

// What a file and an owner hold is shown, and the terminal does not act on it.
static void test_no_control_characters(void **state)
{
	static char out[65536];
	const char *owner = "o\u202eo\u2066o";
	char path[64], words[256];

	snprintf(path, sizeof(path), "/tmp/culvert-control-%d", (int)getpid());
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs("version: 1\ncustomers:\n  - name: \"\033[31m\302\233 2J\342\200\256\r\n", file);
	fclose(file);
	snprintf(words, sizeof(words), "config check %s", path);
	assert_int_equal(run(words, out, sizeof(out)), 6);
	unlink(path);
	assert_non_null(strstr(out, " |   - name: \"?[31m?? 2J???\n"));
	assert_null(strchr(out, '\033'));
	snprintf(words, sizeof(words), "customer set acme --description %s", owner);
	assert_int_equal(run(words, out, sizeof(out)), 0);
	assert_null(strstr(out, "\u202e"));
	assert_int_equal(run("customer show acme", out, sizeof(out)), 0);
	assert_non_null(strstr(out, "o???o???o"));
	assert_int_equal(run("customer show acme --json", out, sizeof(out)), 0);
	assert_non_null(strstr(out, owner));
	assert_int_equal(run("config show", out, sizeof(out)), 0);
	assert_non_null(strstr(out, owner));
}

static void test_unreachable(void **state)
{
	static char out[4096];

	assert_int_equal(run("-s /nonexistent/sock status", out, sizeof(out)), 4);
	assert_non_null(strstr(out, "error: culvertd does not answer on /nonexistent/sock"));
	assert_non_null(strstr(out, "\nhint: "));
}

// Somebody listens and says nothing. Who asked for the status is not sent there.
static void test_a_time_out_says_where_to_look(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char words[256], out[4096];

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/culvert-silent-%d", (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	snprintf(words, sizeof(words), "-s %s --timeout 1 status", address.sun_path);
	assert_int_equal(run(words, out, sizeof(out)), 8);
	assert_non_null(strstr(out, "did not answer status in time"));
	assert_non_null(strstr(out, "hint: raise --timeout, or see culvertd's log\n"));
	snprintf(words, sizeof(words), "-s %s --timeout 1 drops", address.sun_path);
	assert_int_equal(run(words, out, sizeof(out)), 8);
	assert_non_null(strstr(out, "hint: raise --timeout, or see culvertctl status\n"));
	close(fd);
	unlink(address.sun_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_a_time_out_says_where_to_look),
		cmocka_unit_test(test_json_is_the_answer),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_no_control_characters),
	};
	struct service *service = fake_service_create(MODEL);
	struct harness *harness;
	int failed;

	answers = json_load_file(ANSWERS, 0, NULL);
	if (answers == NULL)
		return 1;
	harness = harness_start(&(struct rpc_options){0}, add_methods, service);
	setenv("CULVERT_SOCKET", harness_path(harness), 1);
	setenv("TZ", "UTC", 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	harness_stop(harness);
	fake_service_destroy(service);
	json_decref(answers);
	return failed;
}
