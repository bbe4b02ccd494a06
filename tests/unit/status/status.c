// SPDX-License-Identifier: BSD-3-Clause
// The status table: what is told when, in which order problems stand, and counts that agree with a recount.

#include "control/status/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static char told[4096];

static void watch(void *ctx, const struct status *old, const struct status *now)
{
	const struct status *either = now != NULL ? now : old;
	size_t used = strlen(told);

	snprintf(told + used, sizeof(told) - used, "%s %s: %s -> %s;",
		status_kind_name(either->kind), either->name, old != NULL ? old->state : "new",
		now != NULL ? now->state : "gone");
}

static const char *news(void)
{
	static char text[sizeof(told)];

	memcpy(text, told, sizeof(told));
	told[0] = '\0';
	return text;
}

static void changes_are_told_once(void **state)
{
	struct statuses *s = statuses_create();

	told[0] = '\0';
	statuses_watch(s, watch, NULL);
	assert_true(status_set(s, STATUS_PORT, "wan0", STATUS_OK, "up", NULL, NULL));
	assert_string_equal(news(), "port wan0: new -> up;");
	assert_false(status_set(s, STATUS_PORT, "wan0", STATUS_OK, "up", "", ""));
	assert_string_equal(news(), "");
	assert_true(status_set(s, STATUS_PORT, "wan0", STATUS_ERROR, "down", "no carrier", ""));
	assert_string_equal(news(), "port wan0: up -> down;");
	assert_true(status_set(s, STATUS_PORT, "wan0", STATUS_ERROR, "down", "no device", ""));
	assert_string_equal(news(), "port wan0: down -> down;");
	assert_string_equal(status_get(s, STATUS_PORT, "wan0")->reason, "no device");
	assert_null(status_get(s, STATUS_LINK, "wan0"));
	status_clear(s, STATUS_PORT, "wan0");
	status_clear(s, STATUS_PORT, "wan0");
	assert_string_equal(news(), "port wan0: down -> gone;");
	statuses_destroy(s);
}

// Tells all but links of another edge.
static bool list(void *ctx, const struct status *status, unsigned int alike)
{
	size_t used = strlen(told);

	if (status->name[0] == '-')
		return false;
	snprintf(told + used, sizeof(told) - used, alike > 0 ? "%s and %u more " : "%s ",
		status->name, alike);
	return true;
}

// A port is told although a hundred circuits went down before it did, and what is not told takes no place.
static void what_many_suffer_from_is_told_before_them(void **state)
{
	struct statuses *s = statuses_create();
	char name[16];

	for (unsigned int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "-%u", i);
		status_set(s, STATUS_SESSION, name, STATUS_ERROR, "down", "", "");
		snprintf(name, sizeof(name), "c%u", i);
		status_set(s, STATUS_CIRCUIT, name, STATUS_ERROR, "down", "", "");
	}
	status_set(s, STATUS_PORT, "core0", STATUS_ERROR, "down", "", "");
	told[0] = '\0';
	assert_int_equal(status_problems(s, 3, list, NULL), 201);
	assert_string_equal(news(), "core0 c0 and 99 more ");
	statuses_destroy(s);
}

static void set_tunnel(struct statuses *s, unsigned int i, const char *reason)
{
	char name[16];

	snprintf(name, sizeof(name), "t%u", i);
	status_set(s, STATUS_TUNNEL, name, reason != NULL ? STATUS_ERROR : STATUS_OK,
		reason != NULL ? "down" : "up", reason, "");
}

static void expect_problems(const struct statuses *s, unsigned int count, const char *listed)
{
	told[0] = '\0';
	assert_int_equal(status_problems(s, 10, list, NULL), count);
	assert_string_equal(news(), listed);
}

// What many suffer from is one problem with a number; a few are told one by one, and each has its own reason.
static void one_cause_is_told_once(void **state)
{
	struct statuses *s = statuses_create();

	for (unsigned int i = 0; i < 3; i++)
		set_tunnel(s, i, "port core0 is down");
	expect_problems(s, 3, "t0 t1 t2 ");
	set_tunnel(s, 3, "port core0 is down");
	set_tunnel(s, 4, "no route");
	expect_problems(s, 5, "t0 and 3 more t4 ");
	set_tunnel(s, 0, NULL); // the one that was named
	expect_problems(s, 4, "t1 t2 t3 t4 ");
	set_tunnel(s, 4, "another route"); // alone with its reason, it keeps its place
	set_tunnel(s, 5, "no route");
	expect_problems(s, 5, "t1 t2 t3 t4 t5 ");
	set_tunnel(s, 4, "port core0 is down");
	status_clear(s, STATUS_TUNNEL, "t5");
	expect_problems(s, 4, "t1 and 3 more ");
	for (unsigned int i = 0; i < 5; i++)
		set_tunnel(s, i, NULL);
	expect_problems(s, 0, "");
	statuses_destroy(s);
}

static void problems_come_worst_first(void **state)
{
	struct statuses *s = statuses_create();

	told[0] = '\0';
	status_set(s, STATUS_LINK, "a", STATUS_WARNING, "degraded", "", "");
	status_set(s, STATUS_LINK, "b", STATUS_ERROR, "down", "", "");
	status_set(s, STATUS_LINK, "c", STATUS_OK, "up", "", "");
	status_set(s, STATUS_LINK, "d", STATUS_NOTE, "unknown", "", "");
	status_set(s, STATUS_PORT, "e", STATUS_ERROR, "down", "", "");
	status_set(
		s, STATUS_LINK, "b", STATUS_ERROR, "down", "another reason", ""); // keeps its place
	assert_int_equal(status_problems(s, 10, list, NULL), 3);
	assert_string_equal(news(), "b e a ");
	assert_int_equal(status_problems(s, 2, list, NULL), 3);
	assert_string_equal(news(), "b e ");
	assert_int_equal(status_problems(s, 0, list, NULL), 3);
	assert_string_equal(news(), "");
	assert_int_equal(status_count(s, STATUS_LINK, STATUS_ERROR), 1);
	uint64_t mark = statuses_mark(s);
	status_set(s, STATUS_LINK, "c", STATUS_OK, "up", "", "");
	status_clear_unmarked(s, STATUS_LINK, mark);
	assert_int_equal(status_problems(s, 10, list, NULL), 1);
	assert_string_equal(news(), "e ");
	assert_non_null(status_get(s, STATUS_LINK, "c"));
	assert_null(status_get(s, STATUS_LINK, "a"));
	statuses_destroy(s);
}

#define OBJECTS 300u

static void names_go_round_in_a_circle(void **state)
{
	static const struct status_rename round[] = {{STATUS_LINK, "a", "b"}, {STATUS_LINK, "b", "c"},
		{STATUS_LINK, "c", "a"}, {STATUS_LINK, "nobody", "d"}, {STATUS_TUNNEL, "a", "z"}};
	static const struct status_rename taken[] = {{STATUS_LINK, "a", "b"}};
	struct statuses *s = statuses_create();

	status_set(s, STATUS_LINK, "a", STATUS_OK, "up", "", "");
	status_set(s, STATUS_LINK, "b", STATUS_ERROR, "down", "no carrier", "");
	status_set(s, STATUS_LINK, "c", STATUS_NOTE, "unknown", "", "");
	uint64_t since = status_get(s, STATUS_LINK, "b")->since;
	statuses_watch(s, watch, NULL);
	told[0] = '\0';
	statuses_rename(s, round, 5);
	assert_string_equal(news(), "link b: up -> up;link c: down -> down;link a: unknown -> unknown;");
	const struct status *down = status_get(s, STATUS_LINK, "c");
	assert_string_equal(down->state, "down");
	assert_string_equal(down->reason, "no carrier");
	assert_string_equal(down->name, "c");
	assert_true(down->since == since);
	assert_string_equal(status_get(s, STATUS_LINK, "b")->state, "up");
	assert_int_equal(status_count(s, STATUS_LINK, STATUS_ERROR), 1);
	expect_problems(s, 1, "c ");
	// whoever had the name is gone
	statuses_rename(s, taken, 1);
	assert_string_equal(news(), "link b: up -> gone;link b: unknown -> unknown;");
	assert_null(status_get(s, STATUS_LINK, "a"));
	assert_int_equal(status_count(s, STATUS_LINK, STATUS_OK), 0);
	statuses_destroy(s);
}

static void counts_agree(void **state)
{
	static const char *const states[] = {"up", "unknown", "degraded", "down"};
	const char *given = getenv("CULVERT_SEED");
	unsigned int seed =
		given != NULL ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);
	struct statuses *s = statuses_create();
	int level[OBJECTS]; // -1 = not there
	char name[16];

	print_message("seed %u\n", seed);
	memset(level, -1, sizeof(level));
	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int at = (unsigned int)rand_r(&seed) % OBJECTS;
		snprintf(name, sizeof(name), "o%u", at);
		if (rand_r(&seed) % 5 == 0) {
			status_clear(s, STATUS_LINK, name);
			level[at] = -1;
			continue;
		}
		level[at] = rand_r(&seed) % STATUS_LEVELS;
		status_set(s, STATUS_LINK, name, (enum status_level)level[at], states[level[at]],
			"", "");
	}
	unsigned int count[STATUS_LEVELS] = {0};
	for (unsigned int at = 0; at < OBJECTS; at++)
		if (level[at] >= 0)
			count[level[at]]++;
	for (unsigned int i = 0; i < STATUS_LEVELS; i++) {
		assert_int_equal(status_count(s, STATUS_LINK, (enum status_level)i), count[i]);
		assert_int_equal(status_in_state(s, STATUS_LINK, states[i]), count[i]);
	}
	told[0] = '\0';
	assert_int_equal(
		status_problems(s, 0, list, NULL), count[STATUS_WARNING] + count[STATUS_ERROR]);
	statuses_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_told_once),
		cmocka_unit_test(one_cause_is_told_once),
		cmocka_unit_test(problems_come_worst_first),
		cmocka_unit_test(what_many_suffer_from_is_told_before_them),
		cmocka_unit_test(names_go_round_in_a_circle),
		cmocka_unit_test(counts_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
