// SPDX-License-Identifier: BSD-3-Clause
// From declarations to files, with BIRD's own parser and without a daemon: what an edit costs, how many parsers run at a
// time, and that one bad session is left out alone. Needs `bird`; skipped where there is none.

#include "control/speakers/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

struct world {
	struct event_base *base;
	struct speakers *speakers;
	char directory[40];
	unsigned int refused; // sessions whose state said so
	struct policy_set *core;
};

static void on_session(void *ctx, uint32_t session, const struct speaker_state *state)
{
	struct world *world = ctx;

	world->refused += strstr(state->detail, "refused by the speaker") != NULL;
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct ip_prefix core;

	setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin", 1);
	strcpy(world->directory, "/tmp/culvert-steps-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	world->base = event_base_new();
	const struct speakers_options options = {.base = world->base,
		.run_dir = world->directory,
		.launcher = "",
		.callbacks = {.ctx = world, .session = on_session}};
	assert_int_equal(speakers_create(&world->speakers, &options, NULL), 0);
	assert_int_equal(ip_prefix_parse("198.51.100.1/32", &core), 0);
	world->core = policy_set_refuse(&core, 1, "outer-address", "port/ams1/core0");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	char command[64];

	speakers_destroy(world->speakers);
	event_base_free(world->base);
	policy_set_unref(world->core);
	snprintf(command, sizeof(command), "rm -r %s", world->directory);
	assert_int_equal(system(command), 0);
	free(world);
	return 0;
}

static void declare_domain(struct world *world, uint32_t id, const char *instance)
{
	char name[32];

	snprintf(name, sizeof(name), "d%u", id);
	const struct speaker_domain domain = {.id = id,
		.name = name,
		.instance = instance != NULL ? instance : name,
		.shared = instance != NULL,
		.netns = "none",
		.netns_fd = -1,
		.kernel_table = 10000 + id};
	assert_int_equal(speakers_domain_set(world->speakers, &domain, NULL), 0);
}

// Session `id` of domain `id`, joined to the vNet 10.N.0.0/16.
static void declare_session(struct world *world, uint32_t id, uint32_t vnet, const char *local)
{
	struct policy policy = {.otherwise = POLICY_ACCEPT};
	struct ip_prefix prefix = {
		.address = {.family = 4, .bytes = {10, (uint8_t)(vnet >> 8), (uint8_t)vnet}},
		.len = 24};
	struct speaker_session session = {.id = id,
		.domain = id,
		.name = "session",
		.enabled = true,
		.local_asn = 64512,
		.remote_asn = 65001,
		.import = &policy};

	assert_int_equal(ip_address_parse(local, &session.local), 0);
	session.remote = session.local;
	session.remote.bytes[session.local.family == 4 ? 3 : 15] ^= 3;
	policy_add(&policy, policy_set_ref(world->core));
	policy_add(&policy, policy_set_refuse(&prefix, 1, "vnet-prefix", "vnet/acme"));
	assert_int_equal(speakers_session_set(world->speakers, &session, NULL), 0);
	policy_clear(&policy);
}

static bool settled(const struct world *world)
{
	const struct speaker *speaker;

	LIST_FOREACH (speaker, &world->speakers->list, entry)
		if (speaker->dirty || speaker->step != STEP_IDLE)
			return false;
	return true;
}

// Returns the most parsers that ran at a time.
static unsigned int run_until_settled(struct world *world)
{
	unsigned int most = 0;

	for (unsigned int turns = 0; !settled(world); turns++) {
		event_base_loop(world->base, EVLOOP_ONCE);
		most = world->speakers->checks > most ? world->speakers->checks : most;
		if (turns > 1000000)
			fail_msg("nothing comes of it");
	}
	return most;
}

static uint64_t rendered(const struct world *world)
{
	struct speaker_counters counters;

	speakers_counters(world->speakers, &counters);
	return counters.rendered;
}

static bool has_bird(void)
{
	return system("bird --version >/dev/null 2>&1") == 0;
}

// A customer with 1,000 circuits and vNets on one daemon: an edit of one vNet renders its session and nothing else; what is
// declared again as it was costs nothing.
static void an_edit_renders_what_it_touches(void **state)
{
	struct world *world = *state;
	const uint32_t count = 1000;
	char local[32];

	if (!has_bird())
		skip();
	for (uint32_t id = 1; id <= count; id++) {
		declare_domain(world, id, "domains");
		snprintf(local, sizeof(local), "169.254.%u.2", id % 250);
		declare_session(world, id, id, local);
	}
	run_until_settled(world);
	assert_int_equal(rendered(world), 2 * count);
	for (uint32_t id = 1; id <= count; id++) {
		snprintf(local, sizeof(local), "169.254.%u.2", id % 250);
		declare_session(world, id, id == 77 ? 7777 : id, local);
	}
	run_until_settled(world);
	assert_int_equal(rendered(world), 2 * count + 1);
}

static void few_parsers_at_a_time(void **state)
{
	struct world *world = *state;

	if (!has_bird())
		skip();
	for (uint32_t id = 1; id <= 30; id++) {
		declare_domain(world, id, NULL);
		declare_session(world, id, id, "169.254.10.2");
	}
	assert_in_range(run_until_settled(world), 1, 4);
	assert_int_equal(rendered(world), 60);
}

static void one_bad_session_is_left_out(void **state)
{
	struct world *world = *state;
	char path[96];

	if (!has_bird())
		skip();
	for (uint32_t id = 1; id <= 5; id++) {
		declare_domain(world, id, "domains");
		declare_session(
			world, id, id, id == 3 ? "fe80::2" : "169.254.10.2"); // without its device
	}
	run_until_settled(world);
	assert_int_equal(world->refused, 1); // told at once, though no daemon runs
	for (unsigned int id = 1; id <= 5; id++) {
		snprintf(path, sizeof(path), "%s/bird/domains/peering-%u.conf", world->directory, id);
		assert_int_equal(access(path, F_OK), id == 3 ? -1 : 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_edit_renders_what_it_touches),
		TEST(few_parsers_at_a_time),
		TEST(one_bad_session_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
