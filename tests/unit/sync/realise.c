// SPDX-License-Identifier: BSD-3-Clause
// What a model means as a function: two edges, each realises its own half. Precedence and what may never get in.

#include "control/model/link.h"
#include "tests/unit/sync/fixture.h"

static struct configuration configuration;

static int setup(void **state)
{
	configuration_open(&configuration);
	configuration_apply(&configuration, base_yaml);
	return 0;
}

static int teardown(void **state)
{
	configuration_close(&configuration);
	return 0;
}

static struct fragments *build_on(const struct node *node)
{
	struct publication *publication = configuration_publish(&configuration);
	struct node_view *view = node_view_create(node);
	struct fragments *fragments = fragments_full(publication, view);

	publication_unref(publication);
	free(view);
	return fragments;
}

static struct fragments *build(const char *edge)
{
	struct node *node = make_node(edge, "");
	struct fragments *fragments = build_on(node);

	free_node(node);
	return fragments;
}

struct sum {
	unsigned int domains, interfaces, limiters, problems;
	const char *name; // of an interface or domain to be found
	const struct intent_interface *interface;
	const struct intent_domain *domain;
};

static void add(void *ctx, const struct fragment *fragment)
{
	struct sum *sum = ctx;

	sum->domains += fragment->domains.count;
	sum->interfaces += fragment->interfaces.count;
	sum->limiters += fragment->limiters.count;
	sum->problems += fragment->problems.count;
	for (unsigned int i = 0; i < fragment->interfaces.count; i++)
		if (strcmp(fragment->interfaces.item[i].name, sum->name) == 0)
			sum->interface = &fragment->interfaces.item[i];
	for (unsigned int i = 0; i < fragment->domains.count; i++)
		if (strcmp(fragment->domains.item[i].name, sum->name) == 0)
			sum->domain = &fragment->domains.item[i];
}

static struct sum sum_of(const struct fragments *fragments, const char *name)
{
	struct sum sum = {.name = name};

	fragments_each(fragments, add, &sum);
	return sum;
}

static const struct intent_interface *interface_named(
	const struct fragments *fragments, const char *name)
{
	struct sum sum = sum_of(fragments, name);

	if (sum.interface == NULL)
		fail_msg("no interface %s", name);
	return sum.interface;
}

static void assert_address(const struct ip_address *address, const char *text)
{
	char shown[IP_TEXT_MAX];
	assert_string_equal(ip_address_format(address, shown), text);
}

static void test_each_edge_realises_its_half(void **state)
{
	struct fragments *east = build("east"), *west = build("west");
	struct sum sums[2] = {sum_of(east, ""), sum_of(west, "")};

	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(sums[i].problems, 0);
		assert_int_equal(sums[i].domains, 5); // underlay, two peerings, two vNets
		assert_int_equal(sums[i].interfaces, 5);
		assert_int_equal(sums[i].limiters, 4);
	}
	const struct intent_interface *a = interface_named(east, "acme-01/private");
	const struct intent_interface *b = interface_named(west, "acme-01/private");
	assert_address(&a->address[0].local, "169.254.10.2");
	assert_address(&a->address[0].remote, "169.254.10.1");
	assert_address(&b->address[0].local, "169.254.10.6");
	assert_int_equal(a->vlans, 1);
	assert_int_equal(a->vlan[0], 100);
	assert_int_equal(b->vlan[0], 101);
	assert_int_not_equal(a->id, b->id); // ids are those of the whole model
	assert_string_equal(a->link, "acme-01/primary");
	const struct intent_interface *globex = interface_named(east, "globex-01/private");
	assert_int_equal(globex->vlans, 2);
	assert_int_equal(globex->vlan[1], 10);
	assert_int_not_equal(globex->domain, a->domain);
	assert_int_not_equal(globex->owner, a->owner);
	const struct intent_interface *tunnel = interface_named(west, "vnet/acme-prod");
	assert_int_equal(tunnel->tunnel.key, 7001);
	assert_int_equal(tunnel->tunnel.local.bytes[3], 129);
	assert_int_equal(tunnel->mtu, 1500 - 28);
	assert_true(tunnel->source_check);
	const struct intent_interface *core = interface_named(east, "core0");
	assert_int_equal(core->domain, 1);
	assert_int_equal(core->owner, 0);
	assert_int_equal(core->kind, INTENT_CORE);
	fragments_destroy(east);
	fragments_destroy(west);
}

static void test_unknown_edge_and_port(void **state)
{
	struct fragments *none = build("north");

	assert_int_equal(sum_of(none, "").interfaces, 0);
	fragments_destroy(none);
	struct node *node = make_node("east", "");
	node->ports.count = 1; // no wan1, no core0
	struct fragments *half = build_on(node);
	assert_int_equal(sum_of(half, "").interfaces, 1);
	assert_int_equal(sum_of(half, "").problems, 5); // wan1, core0, globex's link, two tunnels
	fragments_destroy(half);
	free_node(node);
}

static void test_burst(void **state)
{
	assert_int_equal(link_burst(50000000, 50000000), 312500); // 50 ms
	assert_int_equal(link_burst(1000000, 50000000), 64000);
	assert_int_equal(link_burst(10000000000, 50000000), 32000000);
	assert_true(link_burst(400000000000, 50000000) >= 500000000); // 10 ms of it
	assert_true(link_burst(100000000, 1) >= 125000);              // never under 10 ms
}

static const char *rule_for(
	const struct fragments *fragments, const char *domain, const char *prefix)
{
	const struct intent_domain *peering = sum_of(fragments, domain).domain;
	struct ip_prefix parsed;

	assert_int_equal(ip_prefix_parse(prefix, &parsed), 0);
	const struct policy_route route = {.prefix = parsed, .origin = POLICY_LEARNED};
	const struct policy_rule *rule = policy_rejecting(&peering->import, &route);
	return rule != NULL ? rule->name : "accepted";
}

static void test_what_never_gets_in(void **state)
{
	struct fragments *east = build("east");
	const char *acme = "peering/acme-01/private";

	assert_string_equal(rule_for(east, acme, "10.9.0.0/16"), "vnet-prefix");
	assert_string_equal(rule_for(east, acme, "10.9.7.0/24"), "vnet-prefix");
	assert_string_equal(rule_for(east, acme, "10.0.0.0/8"), "accepted");
	assert_string_equal(rule_for(east, acme, "0.0.0.0/0"), "accepted");
	assert_string_equal(rule_for(east, acme, "169.254.10.0/30"), "peering-subnet");
	assert_string_equal(rule_for(east, acme, "169.254.10.5/32"), "peering-subnet");
	assert_string_equal(rule_for(east, acme, "192.0.2.1/32"), "outer-address");
	assert_string_equal(rule_for(east, acme, "192.0.2.129/32"), "outer-address");
	assert_string_equal(rule_for(east, acme, "198.51.100.11/32"), "outer-address");
	assert_string_equal(rule_for(east, acme, "192.0.2.0/24"), "accepted");
	assert_string_equal(rule_for(east, acme, "10.1.0.0/16"), "accepted");
	fragments_destroy(east);
}

static void test_precedence(void **state)
{
	struct candidate c[4] = {
		{.origin = ORIGIN_JOINED, .domain = 3, .metric = 5, .interface = 1, .weight = 1},
		{.origin = ORIGIN_VNET, .domain = 2, .interface = 2, .weight = 1},
		{.origin = ORIGIN_JOINED, .domain = 4, .metric = 9, .interface = 3, .weight = 2},
		{.origin = ORIGIN_JOINED, .domain = 3, .metric = 7, .interface = 4, .weight = 1},
	};

	assert_int_equal(precedence_choose(c, 4), 1);
	assert_int_equal(c[0].interface, 2); // the system's own route
	struct candidate learned[3] = {c[1], c[2], c[3]};
	unsigned int count = precedence_choose(learned, 3);
	assert_int_equal(count, 2); // one of each domain, the lower metric
	for (unsigned int i = 0; i < count; i++)
		assert_int_not_equal(learned[i].interface, 4);
	assert_int_equal(precedence_choose(c, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_edge_realises_its_half),
		cmocka_unit_test(test_unknown_edge_and_port),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_what_never_gets_in),
		cmocka_unit_test(test_precedence),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
