// SPDX-License-Identifier: BSD-3-Clause
// Rules, sets, policies and the evaluator: each kind of match and change by hand, prefix lists against a plain walk,
// and what a thousand circuits and vNets of one customer cost.

#include "control/policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix parsed;

	assert_int_equal(ip_prefix_parse(text, &parsed), 0);
	return parsed;
}

static struct ip_address address(const char *text)
{
	struct ip_address parsed;

	assert_int_equal(ip_address_parse(text, &parsed), 0);
	return parsed;
}

// A policy of one set.
static struct policy policy_of(
	const struct policy_rule *rules, unsigned int count, enum policy_action otherwise)
{
	struct policy policy = {.otherwise = otherwise};

	policy_add(&policy, policy_set_build(rules, count));
	return policy;
}

// "accept", or the name of the rule that rejects. The policy goes.
static const char *judge(struct policy *policy, const struct policy_route *route)
{
	static char name[64];
	const struct policy_rule *rule = policy_rejecting(policy, route);

	snprintf(name, sizeof(name), "%s", rule == NULL ? "accept" : rule->name);
	return name;
}

static bool match_holds(const struct policy_match *match, const struct policy_route *route)
{
	const struct policy_rule rule = {.match = *match, .action = POLICY_REJECT, .name = "hit"};
	struct policy policy = policy_of(&rule, 1, POLICY_ACCEPT);
	bool hit = strcmp(judge(&policy, route), "hit") == 0;

	policy_clear(&policy);
	return hit;
}

static void prefixes(void **state)
{
	const struct policy_prefix list[] = {
		{.prefix = prefix("10.9.0.0/16"), .le = 32},
		{.prefix = prefix("10.0.0.0/8")},
		{.prefix = prefix("172.16.0.0/12"), .ge = 20, .le = 24},
		{.prefix = prefix("192.0.2.0/24"), .ge = 28},
		{.prefix = prefix("2001:db8::/32"), .le = 48},
	};
	const struct {
		const char *prefix;
		bool hit;
	} cases[] = {
		{"10.9.0.0/16", true},
		{"10.9.1.0/24", true},
		{"10.9.1.1/32", true},
		{"10.0.0.0/8", true},
		{"10.1.0.0/16", false},
		{"0.0.0.0/0", false},
		{"10.8.0.0/15", false},
		{"172.16.0.0/19", false},
		{"172.16.0.0/20", true},
		{"172.31.255.0/24", true},
		{"172.16.0.0/25", false},
		{"172.32.0.0/24", false},
		{"192.0.2.0/27", false},
		{"192.0.2.0/28", true},
		{"192.0.2.255/32", true},
		{"2001:db8::/32", true},
		{"2001:db8:1::/48", true},
		{"2001:db8::/49", false},
		{"::/0", false},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct policy_route route = {.prefix = prefix(cases[i].prefix)};
		const struct policy_match match = {.prefix = list, .prefixes = 5};
		if (match_holds(&match, &route) != cases[i].hit)
			fail_msg("%s", cases[i].prefix);
	}
	// A list whose every bound contradicts itself matches nothing, not everything.
	const struct policy_prefix never = {.prefix = prefix("10.0.0.0/8"), .ge = 24, .le = 16};
	const struct policy_match match = {.prefix = &never, .prefixes = 1};
	const struct policy_route route = {.prefix = prefix("10.0.0.0/20")};
	assert_false(match_holds(&match, &route));
}

static void attributes(void **state)
{
	const uint32_t path[] = {65001, 65010, 65010}, communities[] = {POLICY_COMMUNITY(1, 2), 7};
	const struct policy_large larges[] = {{64500, 1, 2}};
	struct policy_route route = {.prefix = prefix("10.1.0.0/16"),
		.next_hop = address("192.0.2.1"),
		.origin = POLICY_LEARNED,
		.as_path = path,
		.as_path_length = 3,
		.community = communities,
		.communities = 2,
		.large = larges,
		.larges = 1};
	const uint32_t other[] = {9, 65010}, none[] = {9, 8};
	const struct policy_large large[] = {{64500, 1, 3}, {64500, 1, 2}};
	const struct ip_address routers[] = {address("192.0.2.5"), address("192.0.2.1")};
	const struct {
		struct policy_match match;
		bool hit;
	} cases[] = {
		{{0}, true}, {{.family = 4}, true}, {{.family = 6}, false},
		{{.as_contains = other, .as_contain = 2}, true},
		{{.as_contains = none, .as_contain = 2}, false}, {{.as_length_min = 3}, true},
		{{.as_length_min = 4}, false}, {{.as_length_max = 3}, true},
		{{.as_length_max = 2}, false}, {{.as_length_min = 1, .as_length_max = 3}, true},
		{{.community = communities, .communities = 1}, true},
		{{.community = none, .communities = 2}, false},
		{{.large = large, .larges = 2}, true}, {{.large = large, .larges = 1}, false},
		{{.foreign_to = routers, .foreign = 2}, false},
		{{.foreign_to = routers, .foreign = 1}, true}, {{.origins = POLICY_OWN}, false},
		{{.origins = POLICY_OWN | POLICY_LEARNED}, true}, {{.blackhole = true}, false},
		{{.family = 4, .as_length_min = 4}, false}, // all that is given
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (match_holds(&cases[i].match, &route) != cases[i].hit)
			fail_msg("case %u", i);
	route.next_hop.family = 0; // without a next hop there is none to dislike
	assert_false(match_holds(&cases[15].match, &route));
	route.blackhole = true;
	assert_true(match_holds(&(struct policy_match){.blackhole = true}, &route));
}

static void changes(void **state)
{
	const uint32_t path[] = {65001, 65010, 65001}, own[] = {POLICY_COMMUNITY(64500, 9), 5, 6};
	const uint32_t added[] = {6, 77, 77}, seen[] = {77};
	const struct policy_large larges[] = {{64500, 1, 2}, {3, 3, 3}}, mark[] = {{64500, 3, 1}};
	const struct policy_community_range ours[] = {{64500, 0, 65535}};
	const struct policy_large_range our_larges[] = {{.asn = 64500, .all = true}};
	const struct policy_rule rules[] = {
		{.change = {.delete_asn = 65001,
			 .prepend_asn = 64500,
			 .prepend = 2,
			 .remove_community = ours,
			 .remove_communities = 1,
			 .add_community = added,
			 .add_communities = 3,
			 .set_med = true,
			 .med = 50}},
		{.change = {.remove_large = our_larges,
			 .remove_larges = 1,
			 .add_large = mark,
			 .add_larges = 1,
			 .local_pref = 10}},
		// Changes are seen by what follows.
		{.match = {.community = seen, .communities = 1},
			.action = POLICY_ACCEPT,
			.name = "seen",
			.change = {.clear_med = true}},
	};
	struct policy policy = policy_of(rules, 3, POLICY_REJECT);
	const struct policy_route route = {.prefix = prefix("10.1.0.0/16"),
		.as_path = path,
		.as_path_length = 3,
		.community = own,
		.communities = 3,
		.large = larges,
		.larges = 2,
		.has_med = true,
		.med = 1};
	struct policy_verdict verdict;

	policy_evaluate(&policy, &route, NULL, &verdict);
	assert_int_equal(verdict.action, POLICY_ACCEPT);
	assert_string_equal(verdict.rule->name, "seen");
	assert_int_equal(verdict.route.as_path_length, 3);
	assert_memory_equal(verdict.route.as_path, ((uint32_t[]){64500, 64500, 65010}), 12);
	assert_int_equal(verdict.route.communities, 3);
	assert_memory_equal(verdict.route.community, ((uint32_t[]){5, 6, 77}), 12);
	assert_int_equal(verdict.route.larges, 2);
	assert_memory_equal(
		verdict.route.large, ((struct policy_large[]){{3, 3, 3}, {64500, 3, 1}}), 24);
	assert_false(verdict.route.has_med);
	assert_int_equal(verdict.route.local_pref, 10);
	policy_verdict_clear(&verdict);
	policy_clear(&policy);
}

static void order_and_end(void **state)
{
	const struct ip_prefix vnet = prefix("10.9.0.0/16");
	const struct ip_address router = address("192.0.2.1");
	struct policy policy = {.otherwise = POLICY_ACCEPT, .limit = {2, 0}};
	struct policy_route route = {.prefix = prefix("10.9.1.0/24"),
		.next_hop = address("192.0.2.9"),
		.origin = POLICY_LEARNED};

	policy_add(&policy, policy_set_refuse(&vnet, 1, "vnet-prefix", "vnet/acme"));
	policy_add(&policy, policy_set_next_hops(&router, 1));
	assert_string_equal(judge(&policy, &route), "vnet-prefix"); // the first that matches
	assert_string_equal(policy_rejecting(&policy, &route)->object, "vnet/acme");
	route.prefix = prefix("10.1.0.0/16");
	assert_string_equal(judge(&policy, &route), "next-hop");
	route.next_hop = router;
	assert_string_equal(judge(&policy, &route), "accept");
	route.blackhole = true;
	assert_string_equal(judge(&policy, &route), "blackhole");
	route.blackhole = false;
	// Limits are asked for with counts only, of the route's own family, and last.
	struct policy_counts counts = {{2, 0}};
	struct policy_verdict verdict;
	policy_evaluate(&policy, &route, &counts, &verdict);
	assert_ptr_equal(verdict.rule, &policy_route_limit);
	counts.taken[0] = 1;
	policy_evaluate(&policy, &route, &counts, &verdict);
	assert_int_equal(verdict.action, POLICY_ACCEPT);
	policy_clear(&policy);
	policy.otherwise = POLICY_REJECT;
	assert_string_equal(judge(&policy, &route), "not-allowed");
}

// A route of which only prefix and next hop are known is refused when that is certain.
static void partial(void **state)
{
	const uint32_t tag[] = {7};
	const struct policy_prefix inside = {.prefix = prefix("10.0.0.0/8"), .le = 32};
	const struct policy_rule rules[] = {
		{.match = {.as_length_min = 3}, .action = POLICY_REJECT, .name = "long"},
		{.match = {.prefix = &inside, .prefixes = 1, .community = tag, .communities = 1},
			.action = POLICY_ACCEPT},
		{.action = POLICY_REJECT, .name = "untagged"},
	};
	struct policy policy = policy_of(rules, 3, POLICY_ACCEPT);
	struct policy_route route = {.prefix = prefix("10.1.0.0/16"), .partial = true};

	assert_string_equal(judge(&policy, &route), "accept");
	route.prefix = prefix("11.0.0.0/8");
	assert_string_equal(judge(&policy, &route), "untagged");
	route.partial = false;
	assert_string_equal(judge(&policy, &route), "untagged");
	policy_clear(&policy);
}

static void drain(void **state)
{
	struct policy policy = {.otherwise = POLICY_ACCEPT};
	const struct policy_route route = {.prefix = prefix("10.9.0.0/16"), .origin = POLICY_OWN};
	struct policy_verdict verdict;

	policy_add(&policy, policy_set_drain(64500, 2));
	policy_evaluate(&policy, &route, NULL, &verdict);
	assert_int_equal(verdict.action, POLICY_ACCEPT);
	assert_int_equal(verdict.route.communities, 1);
	assert_int_equal(verdict.route.community[0], 0xffff0000u);
	assert_int_equal(verdict.route.as_path_length, 2);
	policy_verdict_clear(&verdict);
	policy_clear(&policy);
}

static void equality(void **state)
{
	const struct ip_prefix two[] = {prefix("10.9.0.0/16"), prefix("10.8.0.0/16")};
	const struct ip_prefix turned[] = {two[1], two[0]};
	struct policy_set *a = policy_set_refuse(two, 2, "vnet-prefix", "vnet/a");
	struct policy_set *b = policy_set_refuse(turned, 2, "vnet-prefix", "vnet/a");
	struct policy_set *c = policy_set_refuse(two, 2, "vnet-prefix", "vnet/b");
	struct policy_set *d = policy_set_refuse(two, 1, "vnet-prefix", "vnet/a");

	assert_true(policy_set_equal(a, b)); // the order inside a rule's list says nothing
	assert_false(policy_set_equal(a, c));
	assert_false(policy_set_equal(a, d));
	struct policy left = {.otherwise = POLICY_ACCEPT}, right = left, copy;
	policy_add(&left, a);
	policy_add(&right, c);
	assert_false(policy_equal(&left, &right));
	assert_true(policy_digest(&left) == policy_digest(&right)); // names decide nothing
	policy_copy(&copy, &left);
	policy_clear(&left); // a lives on in the copy
	assert_true(policy_set_equal(copy.set[0], b));
	policy_clear(&copy);
	policy_clear(&right);
	policy_set_unref(b);
	policy_set_unref(d);
	policy_set_unref(NULL);
}

static bool covers(const struct policy_prefix *rule, const struct ip_prefix *prefix_)
{
	uint8_t bits = ip_bits(rule->prefix.address.family);
	uint8_t ge = rule->ge > rule->prefix.len ? rule->ge : rule->prefix.len;
	uint8_t le = rule->le != 0 ? rule->le : rule->ge != 0 ? bits : rule->prefix.len;

	return ip_prefix_contains(&rule->prefix, prefix_) && prefix_->len >= ge &&
	       prefix_->len <= le;
}

static struct ip_prefix random_prefix(void)
{
	struct ip_address at = {.family = rand() % 3 != 0 ? 4 : 6};

	at.bytes[0] = 10;
	at.bytes[1] = (uint8_t)(rand() % 3);
	at.bytes[2] = (uint8_t)(rand() % 4 << 6);
	return ip_prefix_of(&at, (uint8_t)(rand() % 33));
}

static void random_lists(void **state)
{
	const char *given = getenv("CULVERT_SEED");
	unsigned int seed =
		given != NULL ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);
	unsigned int hits = 0;

	print_message("seed %u\n", seed);
	srand(seed);
	for (unsigned int round = 0; round < 400; round++) {
		struct policy_prefix list[40];
		unsigned int count = 1 + (unsigned int)rand() % 40;
		for (unsigned int i = 0; i < count; i++)
			list[i] = (struct policy_prefix){.prefix = random_prefix(),
				.ge = rand() % 2 ? 0 : (uint8_t)(rand() % 33),
				.le = rand() % 2 ? 0 : (uint8_t)(rand() % 33)};
		const struct policy_rule rule = {.match = {.prefix = list, .prefixes = count},
			.action = POLICY_REJECT,
			.name = "hit"};
		struct policy policy = policy_of(&rule, 1, POLICY_ACCEPT);
		for (unsigned int i = 0; i < 100; i++) {
			const struct policy_route route = {.prefix = random_prefix()};
			bool hit = false;
			for (unsigned int j = 0; j < count && !hit; j++)
				hit = covers(&list[j], &route.prefix);
			hits += hit;
			assert_int_equal(policy_rejecting(&policy, &route) != NULL, hit);
		}
		policy_clear(&policy);
	}
	assert_in_range(hits, 400, 39600); // both answers are met
}

// A customer of 1,000 circuits, each joined to one of 1,000 vNets: one set of outer addresses for all, one for each
// peering and vNet, and a short list of references in each policy.
static void thousand_circuits(void **state)
{
	enum { COUNT = 1000 };
	static struct policy policy[COUNT];
	struct ip_prefix core[64], own[2] = {prefix("10.0.0.0/16"), prefix("203.0.113.0/32")};
	size_t bytes = 0;
	char name[64];

	for (unsigned int i = 0; i < 64; i++)
		core[i] = prefix("198.51.100.1/32");
	struct policy_set *outer = policy_set_refuse(core, 64, "outer-address", "port/ams1/core0");
	bytes += policy_set_bytes(outer);
	for (unsigned int i = 0; i < COUNT; i++) {
		const struct ip_address router = address("169.254.10.1");
		own[0].address.bytes[1] = (uint8_t)i;
		policy[i].otherwise = POLICY_ACCEPT;
		snprintf(name, sizeof(name), "vnet/customer-with-a-long-name-%u", i);
		policy_add(&policy[i], policy_set_refuse(own, 2, "vnet-prefix", name));
		policy_add(&policy[i], policy_set_refuse(own, 1, "peering-subnet", name));
		policy_add(&policy[i], policy_set_next_hops(&router, 1));
		policy_add(&policy[i], policy_set_ref(outer));
		bytes += sizeof(policy[i]) + policy[i].sets * sizeof(struct policy_set *);
		for (unsigned int j = 0; j < 3; j++)
			bytes += policy_set_bytes(policy[i].set[j]);
	}
	print_message("rules of 1,000 circuits and vnets: %zu bytes\n", bytes);
	assert_true(bytes < 5000000);
	for (unsigned int i = 0; i < COUNT; i++)
		policy_clear(&policy[i]);
	policy_set_unref(outer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes),
		cmocka_unit_test(attributes),
		cmocka_unit_test(changes),
		cmocka_unit_test(order_and_end),
		cmocka_unit_test(partial),
		cmocka_unit_test(drain),
		cmocka_unit_test(equality),
		cmocka_unit_test(random_lists),
		cmocka_unit_test(thousand_circuits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
