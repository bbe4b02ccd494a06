// SPDX-License-Identifier: BSD-3-Clause
// Route limits: who gets a place, who waits for one, and that it costs nobody else.

#include "tests/unit/sync/asking.h"

static const char *text_of(unsigned int i)
{
	static char text[32];
	snprintf(text, sizeof(text), "10.50.%u.0/24", i);
	return text;
}

static void say(unsigned int i, bool present)
{
	bridge_says_route(vrf(ACME), text_of(i), "169.254.10.1", present);
}

static bool is_in(unsigned int i)
{
	bool here = fake_route(&fake, vrf(ACME), text_of(i)) != NULL;
	bool there = fake_route(&fake, vrf("vnet/acme-prod"), text_of(i)) != NULL;
	assert_int_equal(here, there);
	return here;
}

static json_t *summary(const char *peering)
{
	char params[64];
	snprintf(params, sizeof(params), "{\"peering\":\"%s/private\"}", peering);
	json_t *list = result_of("route.summary", params);
	json_t *row = json_incref(json_array_get(json_object_get(list, "items"), 0));
	json_decref(list);
	return row;
}

static void assert_summary(json_int_t accepted, json_int_t held)
{
	json_t *row = summary("acme-01");
	assert_int_equal(number(row, "limit"), LIMIT);
	assert_int_equal(number(row, "accepted"), accepted);
	assert_int_equal(number(row, "held"), held);
	json_decref(row);
}

static bool status_says(const char *words)
{
	json_t *status = result_of("status", "{}"), *problem;
	bool found = false;
	size_t i;

	json_array_foreach (json_object_get(status, "problems"), i, problem)
		found = found ||
			(strcmp(json_string_value(json_object_get(problem, "object")),
				 "limit/acme-01/private IPv4") == 0 &&
				strstr(json_string_value(json_object_get(problem, "message")),
					words) != NULL);
	json_decref(status);
	return found;
}

// 10.1.0.0/16 is there already.
static void test_more_than_the_limit_is_held(void **state)
{
	for (unsigned int i = 0; i < 5; i++)
		say(i, true);
	assert_false(status_says("above 80 %"));
	say(5, true);
	WAIT(status_says("above 80 %"));
	for (unsigned int i = 20; i > 5; i--) // later and lower ones displace nobody
		say(i, true);
	settle();
	WAIT(status_says("limit of 8 prefixes reached, 14 held"));
	assert_summary(LIMIT, 14);
	for (unsigned int i = 0; i < 6; i++)
		assert_true(is_in(i));
	assert_true(is_in(20));
	for (unsigned int i = 6; i < 20; i++)
		assert_false(is_in(i));
	json_t *list =
		result_of("route.list", "{\"peering\":\"acme-01/private\",\"state\":\"held\"}");
	assert_int_equal(json_array_size(json_object_get(list, "items")), 14);
	json_decref(list);
	speaker_says_session(interface("acme-01/private"), "established");
	list = result_of("circuit.status", "{\"circuit\":\"acme-01\"}");
	const json_t *link = json_array_get(
		json_object_get(json_array_get(json_object_get(list, "items"), 0), "links"), 0);
	assert_int_equal(number(json_array_get(json_object_get(link, "peerings"), 0), "held"), 14);
	json_decref(list);
	assert_int_equal(fake.refused, 0);
}

static void test_free_places_go_to_the_lowest(void **state)
{
	for (unsigned int i = 0; i < 20; i++)
		say((i * 7) % 20, true); // 0 7 14 1 8 15 2 are in
	settle();
	say(7, false);
	settle();
	assert_true(is_in(3));
	assert_false(is_in(7));
	say(7, true);  // comes too late
	say(4, false); // was held
	say(14, false);
	settle();
	assert_true(is_in(5));
	assert_false(is_in(7));
	assert_summary(LIMIT, 11);
	// A refused one takes no place: the rule changes, two become free.
	configuration_edit(&configuration, "[10.9.0.0/16]", "[10.9.0.0/16, 10.50.0.0/23]");
	publish();
	settle();
	assert_true(is_in(6));
	assert_true(is_in(7));
	assert_null(fake_route(&fake, vrf(ACME), text_of(1)));
	assert_summary(LIMIT, 9);
	for (unsigned int i = 0; i < 20; i++)
		say(i, false);
	settle();
	assert_summary(1, 0);
	WAIT(!status_says("limit"));
}

static void test_the_excess_of_one_is_no_others_matter(void **state)
{
	bridge_says_route(vrf(GLOBEX), "10.60.0.0/16", "169.254.10.1", true);
	uint64_t sent = dataplane_status(running->dataplane)->sent;
	for (unsigned int i = 0; i < 20000; i++) {
		char text[32];
		snprintf(text, sizeof(text), "10.%u.%u.0/24", 100 + i / 256, i % 256);
		bridge_says_route(vrf(ACME), text, "169.254.10.1", true);
	}
	bridge_says_route(vrf(GLOBEX), "10.61.0.0/16", "169.254.10.1", true);
	WAIT(fake_route(&fake, vrf(GLOBEX), "10.61.0.0/16") != NULL);
	// 7 of acme's and 2 of globex's, each in two domains
	assert_int_equal(dataplane_status(running->dataplane)->sent - sent, 18);
	assert_summary(LIMIT, 20000 + 1 - LIMIT);
	json_t *row = summary("globex-01");
	assert_int_equal(number(row, "held"), 0);
	json_decref(row);
	for (unsigned int i = 0; i < 20000; i++) {
		char text[32];
		snprintf(text, sizeof(text), "10.%u.%u.0/24", 100 + i / 256, i % 256);
		bridge_says_route(vrf(ACME), text, "169.254.10.1", false);
	}
	settle();
	assert_summary(1, 0);
}

static void test_ipv6_has_places_of_its_own(void **state)
{
	for (unsigned int i = 0; i < 20; i++)
		say(i, true);
	struct domain *domain = domain_find(running->domains, vrf(ACME));
	assert_int_equal(domain->count[0].taken, LIMIT);
	struct prefix six = {.route = {.key = {.family = WIRE_IPV6, .len = 64, .addr = {0x20, 1}}}};
	limit_judge(domain, &six, true);
	assert_ptr_equal(limit_next(domain), &six);
	assert_null(limit_next(domain));
	limit_leave(domain, &six);
	assert_int_equal(domain->count[1].taken, 0);
	settle();
}

static void test_a_restart_keeps_who_had_a_place(void **state)
{
	for (unsigned int i = 20; i > 0; i--)
		say(i, true); // 14 to 20 are in
	settle();
	assert_true(is_in(14));
	uint64_t written = fake.written;
	restart_sync();
	WAIT(running->ready);
	for (unsigned int i = 1; i <= 20; i++)
		say(i, true); // the kernel tells in another order
	say_all();
	WAIT(state_of() == DATAPLANE_SYNCED);
	settle();
	assert_int_equal(fake.written, written);
	// The other way round: the kernel has spoken before the data plane is there.
	fake_stop(&fake);
	restart_sync();
	for (unsigned int i = 1; i <= 20; i++)
		if (i != 17)
			say(i, true);
	say_all();
	fake_start(&fake, path);
	WAIT(state_of() == DATAPLANE_SYNCED);
	settle();
	assert_false(is_in(17)); // withdrawn meanwhile
	assert_true(is_in(1));
	assert_true(is_in(14) && is_in(20));
	assert_int_equal(fake.written, written + 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, asking_start, asking_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_more_than_the_limit_is_held),
		TEST(test_free_places_go_to_the_lowest),
		TEST(test_the_excess_of_one_is_no_others_matter),
		TEST(test_ipv6_has_places_of_its_own),
		TEST(test_a_restart_keeps_who_had_a_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
