// SPDX-License-Identifier: BSD-3-Clause
// The desired state as a function: one model, two edges, each realises its own half. Precedence and what may
// never get in.

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

static struct desired *build(const char *edge)
{
	struct node *node = make_node(edge, "");
	struct publication *publication = configuration_publish(&configuration);
	struct desired *desired = desired_build(publication, node);

	publication_unref(publication);
	free_node(node);
	return desired;
}

static const struct desired_interface *interface_named(
	const struct desired *desired, const char *name)
{
	for (unsigned int i = 0; i < desired->interfaces.count; i++)
		if (strcmp(desired->interfaces.item[i].name, name) == 0)
			return &desired->interfaces.item[i];
	fail_msg("no interface %s", name);
	return NULL;
}

static void assert_address(const struct ip_address *address, const char *text)
{
	char shown[IP_TEXT_MAX];
	assert_string_equal(ip_address_format(address, shown), text);
}

static void test_each_edge_realises_its_half(void **state)
{
	struct desired *east = build("east"), *west = build("west");

	assert_int_equal(east->problems.count, 0);
	assert_int_equal(east->domains.count, 5); // underlay, two peerings, two vNets
	assert_int_equal(west->domains.count, 5);
	assert_int_equal(east->interfaces.count, 5);
	assert_int_equal(east->limiters.count, 4);
	const struct desired_interface *a = interface_named(east, "acme-01/private");
	const struct desired_interface *b = interface_named(west, "acme-01/private");
	assert_address(&a->local, "169.254.10.2");
	assert_address(&a->remote, "169.254.10.1");
	assert_address(&b->local, "169.254.10.6");
	assert_int_equal(a->record.vlans, 1);
	assert_int_equal(a->record.vlan[0], 100);
	assert_int_equal(b->record.vlan[0], 101);
	assert_int_not_equal(a->id, b->id); // ids are those of the whole model
	assert_string_equal(a->link, "acme-01/primary");
	const struct desired_interface *globex = interface_named(east, "globex-01/private");
	assert_int_equal(globex->record.vlans, 2);
	assert_int_equal(globex->record.vlan[1], 10);
	assert_int_not_equal(globex->record.vrf, a->record.vrf);
	assert_int_not_equal(globex->record.owner, a->record.owner);
	const struct desired_interface *tunnel = interface_named(west, "vnet/acme-prod");
	assert_int_equal(tunnel->record.key, 7001);
	assert_int_equal(tunnel->record.local[3], 129);
	assert_int_equal(tunnel->record.mtu, 1500 - 28);
	assert_true(tunnel->record.flags & WIRE_INTERFACE_SOURCE_CHECK);
	const struct desired_interface *core = interface_named(east, "core0");
	assert_int_equal(core->record.vrf, 1);
	assert_int_equal(core->record.owner, 0);
	assert_true(core->record.flags & WIRE_INTERFACE_CORE);
	desired_free(east);
	desired_free(west);
}

static void test_unknown_edge_and_port(void **state)
{
	struct desired *none = build("north");

	assert_int_equal(none->interfaces.count, 0);
	assert_int_equal(none->problems.count, 1);
	desired_free(none);
	struct node *node = make_node("east", "");
	struct publication *publication = configuration_publish(&configuration);
	node->ports.count = 1; // no wan1, no core0
	struct desired *half = desired_build(publication, node);
	publication_unref(publication);
	free_node(node);
	assert_int_equal(half->interfaces.count, 1);
	assert_int_equal(half->problems.count, 4); // core0, globex's link, two tunnels
	desired_free(half);
}

static void test_underlay(void **state)
{
	struct desired *east = build("east");
	struct ip_address address, via;

	ip_address_parse("198.51.100.11", &address);
	assert_string_equal(desired_underlay(east, &address, &via)->name, "core0");
	assert_address(&via, "192.0.2.2");
	ip_address_parse("192.0.2.77", &address); // on the link
	assert_non_null(desired_underlay(east, &address, &via));
	assert_address(&via, "192.0.2.77");
	ip_address_parse("203.0.113.1", &address);
	assert_null(desired_underlay(east, &address, &via));
	desired_free(east);
}

static void test_burst(void **state)
{
	assert_int_equal(link_burst(50000000, 50000000), 312500); // 50 ms
	assert_int_equal(link_burst(1000000, 50000000), 64000);
	assert_int_equal(link_burst(10000000000, 50000000), 32000000);
	assert_true(link_burst(400000000000, 50000000) >= 500000000); // 10 ms of it
	assert_true(link_burst(100000000, 1) >= 125000);              // never under 10 ms
}

static const char *rule_for(const struct desired *desired, const char *domain, const char *prefix)
{
	const struct desired_domain *peering = desired_domain_named(desired, domain);
	struct ip_prefix parsed;

	assert_int_equal(ip_prefix_parse(prefix, &parsed), 0);
	const struct policy_route route = {.prefix = parsed, .origin = POLICY_LEARNED};
	const struct policy_rule *rule = policy_rejecting(&peering->import, &route);
	return rule != NULL ? rule->name : "accepted";
}

static void test_what_never_gets_in(void **state)
{
	struct desired *east = build("east");
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
	desired_free(east);
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
		cmocka_unit_test(test_underlay),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_what_never_gets_in),
		cmocka_unit_test(test_precedence),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
