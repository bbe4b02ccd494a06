// SPDX-License-Identifier: BSD-3-Clause
// Joins between any two domains, with a policy each way: two peerings, two vNets, through one interface that knows no
// kinds. What came through a join goes no further.

#include "tests/unit/sync/running.h"

#include <errno.h>

#define ACME_VNET   "vnet/acme-prod"
#define GLOBEX_VNET "vnet/globex-prod"

static const struct wire_path *path_of(const char *domain, const char *prefix)
{
	const struct wire_route *route = fake_route(&fake, vrf(domain), prefix);
	assert_non_null(route);
	const struct wire_group *group = fake_find(&fake, WIRE_GROUP_SET, route->group);
	assert_int_equal(group->count, 1);
	return fake_find(&fake, WIRE_PATH_SET, group->path[0]);
}

static struct policy refusing(const char *text)
{
	struct policy policy = {.otherwise = POLICY_ACCEPT};
	struct ip_prefix prefix;

	assert_int_equal(ip_prefix_parse(text, &prefix), 0);
	policy_add(&policy, policy_set_refuse(&prefix, 1, "test", "test"));
	return policy;
}

static void test_two_peerings(void **state)
{
	struct policy to_globex = refusing("10.78.0.0/16"), to_acme = refusing("10.66.0.0/16");

	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.78.0.0/16", "169.254.10.1", true);
	join_set(running->domains, vrf(ACME), vrf(GLOBEX), 1, &to_globex, &to_acme, "reach", NULL);
	bridge_says_route(vrf(GLOBEX), "10.65.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(GLOBEX), "10.66.0.0/16", "169.254.10.1", true);
	settle();
	assert_int_equal(path_of(GLOBEX, "10.77.0.0/16")->interface, interface("acme-01/private"));
	assert_int_equal(path_of(ACME, "10.65.0.0/16")->interface, interface("globex-01/private"));
	assert_null(fake_route(&fake, vrf(GLOBEX), "10.78.0.0/16")); // the policies, each way
	assert_null(fake_route(&fake, vrf(ACME), "10.66.0.0/16"));
	assert_null(fake_route(&fake, vrf(GLOBEX_VNET), "10.77.0.0/16")); // through one join only
	assert_int_equal(
		path_of(ACME_VNET, "10.78.0.0/16")->interface, interface("acme-01/private"));
	// Equal prefixes: what is learned at home wins.
	assert_int_equal(path_of(ACME, "10.1.0.0/16")->interface, interface("acme-01/private"));
	assert_int_equal(path_of(GLOBEX, "10.1.0.0/16")->interface, interface("globex-01/private"));
	bridge_says_route(vrf(GLOBEX), "10.1.0.0/16", "169.254.10.1", false);
	settle();
	assert_int_equal(path_of(GLOBEX, "10.1.0.0/16")->interface, interface("acme-01/private"));
	join_unset(running->domains, vrf(ACME), vrf(GLOBEX), "reach");
	settle();
	assert_null(fake_route(&fake, vrf(GLOBEX), "10.77.0.0/16"));
	assert_null(fake_route(&fake, vrf(GLOBEX), "10.1.0.0/16"));
	assert_null(fake_route(&fake, vrf(ACME), "10.65.0.0/16"));
	assert_int_equal(path_of(ACME, "10.1.0.0/16")->interface, interface("acme-01/private"));
	assert_int_equal(fake.refused, 0);
	policy_clear(&to_globex);
	policy_clear(&to_acme);
}

static void test_two_vnets(void **state)
{
	struct policy closed = {.otherwise = POLICY_REJECT};

	configuration_edit(&configuration, "key: 7002", "key: 7003"); // any edit: it survives
	char *yaml = strdup(base_yaml), *at = strstr(yaml, "10.9.0.0/16");
	memcpy(at, "10.7.0.0/16", 11);
	configuration_apply(&configuration, yaml);
	free(yaml);
	publish();
	settle();
	unsigned int announced = fake_speakers.announced[vrf(ACME)];
	join_set(
		running->domains, vrf(ACME_VNET), vrf(GLOBEX_VNET), 1, NULL, &closed, "peer", NULL);
	settle();
	assert_int_equal(path_of(GLOBEX_VNET, "10.7.0.0/16")->interface, interface(ACME_VNET));
	assert_null(fake_route(&fake, vrf(ACME_VNET), "10.9.0.0/16")); // closed this way
	join_set(running->domains, vrf(ACME_VNET), vrf(GLOBEX_VNET), 1, NULL, NULL, "peer", NULL);
	settle();
	assert_int_equal(path_of(ACME_VNET, "10.9.0.0/16")->interface, interface(GLOBEX_VNET));
	assert_null(fake_route(&fake, vrf(ACME), "10.9.0.0/16")); // through one join only
	assert_int_equal(fake_speakers.announced[vrf(ACME)], announced);
	join_unset(running->domains, vrf(GLOBEX_VNET), vrf(ACME_VNET), "peer"); // from either end
	settle();
	assert_null(fake_route(&fake, vrf(GLOBEX_VNET), "10.7.0.0/16"));
	assert_null(fake_route(&fake, vrf(ACME_VNET), "10.9.0.0/16"));
	assert_int_equal(path_of(ACME_VNET, "10.7.0.0/16")->interface, interface(ACME_VNET));
	assert_int_equal(fake.refused, 0);
}

static void test_a_policy_of_the_join_is_asked_when_announcing(void **state)
{
	struct policy closed = {.otherwise = POLICY_REJECT};

	assert_int_equal(fake_speakers.announced[vrf(ACME)], 1);
	join_set(running->domains, vrf(ACME), vrf(GLOBEX_VNET), 1, NULL, NULL, "other", NULL);
	settle();
	assert_int_equal(fake_speakers.announced[vrf(ACME)], 2);
	join_set(running->domains, vrf(ACME), vrf(GLOBEX_VNET), 1, NULL, &closed, "other", NULL);
	settle();
	assert_int_equal(fake_speakers.announced[vrf(ACME)], 1);
	join_unset(running->domains, vrf(ACME), vrf(GLOBEX_VNET), "other");
	settle();
	assert_int_equal(fake_speakers.announced[vrf(ACME)], 1);
}

static void test_a_join_waits_for_its_domains(void **state)
{
	const uint32_t later = 63; // nobody's yet

	join_set(running->domains, vrf(ACME), later, 1, NULL, NULL, "early", NULL);
	settle();
	assert_int_equal(domain_find(running->domains, later)->state, DOMAIN_GONE);
	join_unset(running->domains, vrf(ACME), later, "early");
	settle();
	assert_null(domain_find(running->domains, later));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, running_start, running_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_two_peerings),
		TEST(test_two_vnets),
		TEST(test_a_policy_of_the_join_is_asked_when_announcing),
		TEST(test_a_join_waits_for_its_domains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
