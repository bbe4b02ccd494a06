// SPDX-License-Identifier: BSD-3-Clause
// Lives of routing domains: nothing of one outlasts it, a sick one costs no other its routes, and what failed once
// is tried again.

#include "tests/unit/sync/asking.h"

#include "control/status/status.h"

#include <errno.h>

#define VNET "vnet/acme-prod"

// A second circuit of acme on this edge, connected to the same vNet.
static const char *const second =
	"  - name: acme-02\n"
	"    customer: acme\n"
	"    bandwidth: 50mbps\n"
	"    links:\n"
	"      - {role: primary, edge: east, port: wan0, outer-tag: 110}\n"
	"      - {role: secondary, edge: west, port: wan0, outer-tag: 111}\n"
	"    peerings:\n"
	"      - type: private\n"
	"        primary-subnet: 169.254.20.0/30\n"
	"        secondary-subnet: 169.254.20.4/30\n"
	"        peer-asn: 65010\n"
	"        local-asn: 64900\n"
	"    connections:\n"
	"      - vnet: acme-prod\n";
#define SECOND "peering/acme-02/private"

static void configure_second(void)
{
	char *yaml;

	assert_true(asprintf(&yaml, "%s%s", base_yaml, second) > 0);
	configuration_apply(&configuration, yaml);
	free(yaml);
}

static void turns(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		turn();
}

// "domain/peering/acme-01/private" is about "peering/acme-01/private".
static bool is_about(const char *object, const char *name)
{
	const char *at = strchr(object, '/');
	return strcmp(object, name) == 0 || (at != NULL && strcmp(at + 1, name) == 0);
}

static bool problem_of(const char *object, const char *words)
{
	json_t *status = result_of("status", "{}"), *problem;
	bool found = false;
	size_t i;

	json_array_foreach (json_object_get(status, "problems"), i, problem)
		found = found ||
			(is_about(json_string_value(json_object_get(problem, "object")), object) &&
				strstr(json_string_value(json_object_get(problem, "message")),
					words) != NULL);
	json_decref(status);
	return found;
}

// --- nothing outlasts a domain -----------------------------------------------------------------------------

// base_yaml without acme-01's link on this edge.
static void configure_without_link(void)
{
	static const char link[] =
		"      - {role: primary, edge: east, port: wan0, outer-tag: 100}\n";
	const char *at = strstr(base_yaml, link);
	char *yaml;

	assert_true(
		asprintf(&yaml, "%.*s%s", (int)(at - base_yaml), base_yaml, at + strlen(link)) > 0);
	configuration_apply(&configuration, yaml);
	free(yaml);
}

static void test_routes_die_with_their_domain(void **state)
{
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	WAIT(fake_route(&fake, vrf(VNET), "10.77.0.0/16") != NULL);
	uint32_t id = vrf(ACME);

	configure_without_link();
	publish();
	WAIT(fake_find(&fake, WIRE_VRF_SET, id) == NULL);
	assert_null(fake_route(&fake, vrf(VNET), "10.77.0.0/16"));
	configuration_apply(&configuration, base_yaml);
	publish();
	assert_int_equal(vrf(ACME), id);
	settle();
	// No session, no route: neither before the empty dump nor after it.
	assert_null(fake_route(&fake, id, "10.77.0.0/16"));
	assert_null(fake_route(&fake, vrf(VNET), "10.77.0.0/16"));
	say_synced();
	settle();
	assert_null(fake_route(&fake, id, "10.77.0.0/16"));
	assert_null(fake_route(&fake, id, "10.1.0.0/16"));
	assert_null(fake_route(&fake, vrf(VNET), "10.77.0.0/16"));
	assert_non_null(fake_route(&fake, id, "10.9.0.0/16")); // the vNet's is there again
	bridge_says_route(id, "10.78.0.0/16", "169.254.10.1", true);
	WAIT(fake_route(&fake, vrf(VNET), "10.78.0.0/16") != NULL);
	json_t *summary = result_of("route.summary", "{\"peering\":\"acme-01/private\"}");
	json_t *row = json_array_get(json_object_get(summary, "items"), 0);
	assert_int_equal(number(row, "learned"), 1);
	assert_int_equal(number(row, "accepted"), 1);
	json_decref(summary);
	assert_int_equal(fake.refused, 0);
}

static void test_a_gone_domain_leaves_nothing_here(void **state)
{
	char *yaml = strdup(base_yaml), *at = strstr(yaml, "  - name: globex-01");
	uint32_t gone = vrf(GLOBEX);

	*at = '\0';
	configuration_apply(&configuration, yaml);
	free(yaml);
	publish();
	WAIT(fake_find(&fake, WIRE_VRF_SET, gone) == NULL);
	settle();
	assert_null(domain_find(running->domains, gone));
	assert_null(table_find(&running->records.vrfs, &gone));
	// A late word about it is about nothing.
	bridge_says_route(gone, "10.1.0.0/16", "169.254.10.1", true);
	assert_null(domain_find(running->domains, gone));
	assert_int_equal(state_of(), DATAPLANE_SYNCED);
}

// --- a sick peering ----------------------------------------------------------------------------------------

static void restart_with_a_sick_one(void)
{
	configure_second();
	publish();
	const char *host = domain_called(SECOND)->host_name;
	char refused[64];
	snprintf(refused, sizeof(refused), "%s", host);
	stop_sync();
	fake_stop(&fake);
	fake_reset(&fake);
	start_sync_refusing(refused);
	asking_again();
	fake_start(&fake, path);
	bridge_says_neighbor(interface("core0"), "192.0.2.2", true);
	bridge_says_neighbor(interface("acme-01/private"), "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.1.0.0/16", "169.254.10.1", true);
	say_synced_but(SECOND);
}

static void test_a_sick_peering_withholds_no_route(void **state)
{
	restart_with_a_sick_one();
	WAIT(fake_route(&fake, vrf(VNET), "10.1.0.0/16") != NULL);
	WAIT(fake_route(&fake, vrf(VNET), "10.9.0.0/16") != NULL);
	WAIT(fake_route(&fake, vrf(ACME), "10.9.0.0/16") != NULL);
	WAIT(problem_of(SECOND, "no room for"));
	assert_true(problem_of(SECOND, "what it brought stays for now"));
	assert_int_equal(state_of(), DATAPLANE_REPLAYING);
	// It takes longer than a speaker's restart: from then on it is empty.
	domain_find(running->domains, vrf(SECOND))->since -= 120000000000u;
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_true(problem_of(SECOND, "it counts as empty"));
	// There is room: it is made, its session and neighbor come with it.
	fake_bridge.refuse_domain[0] = '\0';
	unsigned int peerings = fake_speakers.sessions;
	WAIT(fake_speakers.sessions == peerings + 1);
	fake_bridge.callbacks.synced(fake_bridge.callbacks.ctx, vrf(SECOND));
	WAIT(!problem_of(SECOND, ""));
	bridge_says_route(vrf(SECOND), "10.2.0.0/16", "169.254.20.1", true);
	WAIT(fake_route(&fake, vrf(VNET), "10.2.0.0/16") != NULL);
	assert_int_equal(fake.refused, 0);
}

static void test_a_session_that_is_down_is_not_waited_for(void **state)
{
	restart_with_a_sick_one();
	fake_bridge.refuse_domain[0] = '\0';
	WAIT(domain_find(running->domains, vrf(SECOND))->state == DOMAIN_FILLING);
	turns(20);
	assert_int_equal(state_of(), DATAPLANE_REPLAYING);
	speaker_says_session(interface("acme-02/private"), "connect");
	WAIT(state_of() == DATAPLANE_SYNCED);
}

static void test_what_a_waiting_one_brought_stays(void **state)
{
	configure_second();
	publish();
	say_synced();
	bridge_says_neighbor(interface("acme-02/private"), "169.254.20.1", true);
	bridge_says_route(vrf(SECOND), "10.2.0.0/16", "169.254.20.1", true);
	WAIT(fake_route(&fake, vrf(VNET), "10.2.0.0/16") != NULL);
	uint64_t swept = fake.swept;
	char refused[64];
	snprintf(refused, sizeof(refused), "%s", domain_called(SECOND)->host_name);
	stop_sync();
	start_sync_refusing(refused);
	asking_again();
	bridge_says_neighbor(interface("core0"), "192.0.2.2", true);
	bridge_says_neighbor(interface("acme-01/private"), "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.1.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.3.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(GLOBEX), "10.1.0.0/16", "169.254.10.1", true);
	say_synced_but(SECOND);
	WAIT(fake_route(&fake, vrf(VNET), "10.3.0.0/16") != NULL); // what is new goes in
	turns(50);
	assert_int_equal(fake.swept, swept);
	assert_non_null(fake_route(&fake, vrf(VNET), "10.2.0.0/16"));
	domain_find(running->domains, vrf(SECOND))->since -= 120000000000u;
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_null(fake_route(&fake, vrf(VNET), "10.2.0.0/16"));
	assert_non_null(fake_route(&fake, vrf(VNET), "10.1.0.0/16"));
}

// --- tried again -------------------------------------------------------------------------------------------

static void test_a_failed_neighbor_is_tried_again(void **state)
{
	stop_sync();
	start_sync();
	asking_again();
	fake_bridge.refuse_neighbor = -ENOBUFS;
	WAIT(problem_of("acme-01/private", "No buffer space"));
	assert_int_equal(fake_speakers.sessions, 0);
	fake_bridge.refuse_neighbor = 0;
	WAIT(fake_speakers.sessions == 2);
	WAIT(!problem_of("acme-01/private", "No buffer space"));
}

static void test_a_failed_peering_is_tried_again(void **state)
{
	stop_sync();
	start_sync();
	asking_again();
	fake_speakers.refuse_session = -ENOENT;
	WAIT(problem_of("acme-01/private", "No such file"));
	publish(); // nothing changed, and nothing is forgotten
	fake_speakers.refuse_session = 0;
	WAIT(fake_speakers.sessions == 2);
	WAIT(!problem_of("acme-01/private", "No such file"));
}

// --- both families -----------------------------------------------------------------------------------------

static bool session_is(const char *name, const char *state)
{
	const struct status *status = status_get(running->status, STATUS_SESSION, name);
	return status != NULL && strcmp(status->state, state) == 0;
}

static void configure_dual(bool dual)
{
	const char *at = strstr(base_yaml, "        peer-asn: 65010");
	char *yaml;

	assert_true(asprintf(&yaml, "%.*s%s%s", (int)(at - base_yaml), base_yaml,
			    dual ? "        primary-subnet-v6: fd00:77::/126\n"
				   "        secondary-subnet-v6: fd00:77::4/126\n"
				 : "",
			    at) > 0);
	configuration_apply(&configuration, yaml);
	free(yaml);
	publish();
	settle();
}

static void test_a_family_comes_and_goes_alone(void **state)
{
	uint32_t id = interface("acme-01/private");
	unsigned int deletes = fake_bridge.interface_deletes;

	speaker_says_session(id, "established");
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	WAIT(fake_route(&fake, vrf(VNET), "10.77.0.0/16") != NULL);
	configure_dual(true);
	WAIT(fake_speakers.second_there[id]);
	assert_int_equal(fake_bridge.interface_addresses[id], 2);
	say_synced(); // of anybody who was made anew
	speaker_says_session(id + INTENT_SESSION_SECOND, "established");
	WAIT(session_is("acme-01/private/primary/v6", "established"));
	// An address of either family leads out of the one attachment, and its router is known.
	bridge_says_route(vrf(ACME), "fd00:1::/64", "fd00:77::1", true);
	WAIT(fake_route(&fake, vrf(ACME), "fd00:1::/64") != NULL);
	WAIT(fake_route(&fake, vrf(ACME), "fd00:77::1/128") != NULL);
	bridge_says_route(vrf(ACME), "10.79.0.0/16", "fd00:77::1", true); // no way for IPv4
	settle();
	assert_null(fake_route(&fake, vrf(ACME), "10.79.0.0/16"));
	assert_non_null(fake_route(&fake, vrf(VNET), "10.77.0.0/16"));
	configure_dual(false);
	WAIT(!fake_speakers.second_there[id]); // when he has been told, or it took too long
	WAIT(fake_route(&fake, vrf(ACME), "fd00:77::1/128") == NULL);
	assert_int_equal(fake_bridge.interface_addresses[id], 1);
	assert_null(status_get(running->status, STATUS_SESSION, "acme-01/private/primary/v6"));
	assert_non_null(fake_route(&fake, vrf(VNET), "10.77.0.0/16"));
	assert_true(session_is("acme-01/private/primary", "established"));
	assert_int_equal(fake_bridge.interface_deletes, deletes);
	assert_int_equal(fake_speakers.session_deletes, 0);
}

static void test_a_kernel_without_ipv6_carries_ipv4(void **state)
{
	uint32_t id = interface("acme-01/private");

	configure_dual(true);
	stop_sync();
	start_sync();
	asking_again();
	fake_bridge.no_ipv6 = true;
	WAIT(problem_of("acme-01/private", "no IPv6 here"));
	assert_true(fake_speakers.session_there[id]);
	assert_false(fake_speakers.second_there[id]);
	assert_int_equal(fake_bridge.interface_addresses[id], 1);
	fake_bridge.no_ipv6 = false;
	WAIT(fake_speakers.second_there[id]);
	assert_int_equal(fake_bridge.interface_addresses[id], 2);
	WAIT(!problem_of("acme-01/private", "no IPv6 here"));
}

// --- nothing is cut silently -------------------------------------------------------------------------------

static void test_more_paths_than_a_group_holds_are_told(void **state)
{
	struct bridge_route route = {.protocol = 12, .metric = 32};

	assert_int_equal(ip_prefix_parse("10.66.0.0/16", &route.prefix), 0);
	for (unsigned int metric = 0; metric < 5; metric++) {
		// Routes of one metric and several protocols: 5 x 16 next hops.
		route.protocol = (uint8_t)(12 + metric);
		route.count = 16;
		for (unsigned int i = 0; i < 16; i++) {
			route.nexthop[i].weight = (uint16_t)(1 + metric);
			assert_int_equal(
				ip_address_parse("169.254.10.1", &route.nexthop[i].via), 0);
		}
		fake_bridge.callbacks.route(fake_bridge.callbacks.ctx, vrf(ACME), &route, true);
	}
	assert_true(problem_of(ACME, "1 prefixes have more than 16 paths"));
	assert_true(problem_of(VNET, "1 prefixes have more than 16 paths"));
	for (unsigned int metric = 0; metric < 5; metric++) {
		route.protocol = (uint8_t)(12 + metric);
		fake_bridge.callbacks.route(fake_bridge.callbacks.ctx, vrf(ACME), &route, false);
	}
	assert_false(problem_of(ACME, "more than 16 paths"));
	assert_false(problem_of(VNET, "more than 16 paths"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, asking_start, asking_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_routes_die_with_their_domain),
		TEST(test_a_gone_domain_leaves_nothing_here),
		TEST(test_a_sick_peering_withholds_no_route),
		TEST(test_a_session_that_is_down_is_not_waited_for),
		TEST(test_what_a_waiting_one_brought_stays),
		TEST(test_a_failed_neighbor_is_tried_again),
		TEST(test_a_failed_peering_is_tried_again),
		TEST(test_a_family_comes_and_goes_alone),
		TEST(test_a_kernel_without_ipv6_carries_ipv4),
		TEST(test_more_paths_than_a_group_holds_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
