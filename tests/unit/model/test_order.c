// SPDX-License-Identifier: BSD-3-Clause
// An order from the catalog to the provider's deprovision: what is refused, where links go, which steps there are, and that
// no order of orders sells a port beyond what it may be sold.

#include "control/model/circuit.h"
#include "control/model/intent.h"
#include "control/model/link.h"
#include "control/model/placement.h"
#include "control/model/port.h"
#include "tests/unit/model/base.h"

static const char catalog[] =
	"version: 1\n"
	"realms: [{name: public}]\n"
	"areas: [{name: europe, realm: public}, {name: asia, realm: public}]\n"
	"regions: [{name: west-europe, area: europe}, {name: japan, area: asia}]\n"
	"edges:\n"
	"- name: ams1\n"
	"  ports:\n"
	"  - {name: wan0, faces: customer, speed: 10gbps, provider: ixnet}\n"
	"  - {name: wan1, faces: customer, speed: 10gbps, provider: ixnet}\n"
	"  - {name: own0, faces: customer}\n"
	"  - {name: net0, faces: customer, class: internet}\n"
	"- name: ams2\n"
	"  ports:\n"
	"  - {name: wan0, faces: customer, speed: 10gbps, provider: ixnet}\n"
	"  - {name: own0, faces: customer}\n"
	"- name: par1\n"
	"  ports:\n"
	"  - {name: wan0, faces: customer}\n"
	"locations: [{name: ams, area: europe, edges: [ams1, ams2], regions: [west-europe]}]\n"
	"providers:\n"
	"- {name: ixnet, models: [exchange/l2, ipvpn/l3], bandwidths: [50mbps, 100mbps, 200mbps, 10gbps], locations: [ams]}\n"
	"- {name: telco, models: [exchange/l2, ethernet/l2], bandwidths: [50mbps], locations: [ams], allow-lower: true}\n"
	"organisations: [{name: holding}]\n"
	"customers: [{name: acme, organisation: holding}, {name: globex}]\n"
	"subscriptions: [{name: acme-lab, customer: acme}]\n";

static struct model *shop(void)
{
	struct model_options options = {.host_domain = HOST_DOMAIN_NETNS};
	struct model *empty = model_create(&options);
	struct model *model = parse(empty, catalog);

	model_unref(empty);
	return model;
}

static void refused(const struct model *model, const char *rule, const char *says, const char *text)
{
	struct findings findings;

	assert_null(change(model, text, &findings));
	if (strcmp(findings.item[0].rule, rule) || !strstr(findings.item[0].message, says))
		fail_msg("%s\ngave %s: %s (%s)", text, findings.item[0].rule,
			findings.item[0].message, findings.item[0].hint);
}

// Takes the place of what was.
static void done(struct model **model, const char *text)
{
	struct findings findings;
	struct model *next = change(*model, text, &findings);

	if (!next)
		fail_msg("%s: %s: %s", text, findings.item[0].rule, findings.item[0].message);
	model_unref(*model);
	*model = next;
}

#define ORDER(name, more)                                                                        \
	"[{\"op\":\"create\",\"noun\":\"circuit\",\"name\":\"" name "\",\"fields\":{\"customer\":" \
	"\"acme\",\"location\":\"ams\"," more "}}]"
#define OF_IXNET(more) "\"provider\":\"ixnet\",\"bandwidth\":\"200mbps\"" more
#define STATE(name, state)                                                           \
	"[{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"" name "\",\"fields\":{" \
	"\"provider-state\":\"" state "\"}}]"
#define CHANGE(op, noun, name, fields)                                                 \
	"[{\"op\":\"" op "\",\"noun\":\"" noun "\",\"name\":\"" name "\",\"fields\":{" \
	fields "}}]"
#define PEERING(name)                                                                    \
	CHANGE("create", "peering", name "/private",                                     \
		"\"primary-subnet\":\"169.254.10.0/30\",\"secondary-subnet\":\"169.254.10.4/30\",\"peer-asn\":65001,\"local-asn\":64900")

static void test_catalog(void **state)
{
	struct model *model = shop();

	refused(model, "location-edges", "has one edge",
		CHANGE("set", "location", "ams", "\"edges\":[\"ams1\"]"));
	refused(model, "location-edge-once", "is at location",
		CHANGE("create", "location", "ams-b",
			"\"area\":\"europe\",\"edges\":[\"ams2\",\"par1\"]"));
	refused(model, "location-edge-once", "twice",
		CHANGE("set", "location", "ams", "\"edges\":[\"ams1\",\"ams2\",\"ams1\"]"));
	refused(model, "location-region", "\"japan\"",
		CHANGE("set", "location", "ams", "\"regions\":[\"japan\"]"));
	refused(model, "provider-bandwidths", "300mbps",
		CHANGE("set", "provider", "ixnet", "\"bandwidths\":[\"300mbps\"]"));
	refused(model, "in-use", "location \"ams\" refers to it",
		CHANGE("delete", "region", "west-europe", ""));
	refused(model, "in-use", "refers to it", CHANGE("delete", "provider", "ixnet", ""));
	refused(model, "in-use", "refers to it", CHANGE("delete", "organisation", "holding", ""));
	refused(model, "reference-exists", "\"nowhere\"",
		CHANGE("set", "provider", "ixnet", "\"locations\":[\"nowhere\"]"));
	refused(model, "subscription-customer", "acme-lab",
		CHANGE("create", "vnet", "v",
			"\"customer\":\"globex\",\"prefixes\":[\"10.0.0.0/8\"],\"subscription\":"
			"\"acme-lab\""));
	char *yaml = model_yaml(model);
	struct model *again = parse(model, yaml);
	assert_ptr_equal(again, model);
	model_unref(again);
	free(yaml);
	model_unref(model);
}

static void test_offer(void **state)
{
	struct model *model = shop();

	refused(model, "bandwidth-standard", "300mbps",
		ORDER("c", "\"provider\":\"ixnet\",\"bandwidth\":\"300mbps\""));
	refused(model, "provider-offer", "1gbps",
		ORDER("c", "\"provider\":\"ixnet\",\"bandwidth\":\"1gbps\""));
	refused(model, "provider-offer", "ethernet/l2", ORDER("c", OF_IXNET(",\"model\":\"ethernet\"")));
	refused(model, "provider-offer", "exchange/l3",
		ORDER("c", OF_IXNET(",\"model\":\"exchange\",\"handoff\":\"l3\"")));
	refused(model, "provider-offer", "none is named",
		ORDER("c", "\"model\":\"exchange\",\"bandwidth\":\"50mbps\""));
	// two models with this handoff: it has to be said which
	refused(model, "placement", "no two ports of telco",
		ORDER("c", "\"provider\":\"telco\",\"bandwidth\":\"50mbps\""));
	refused(model, "provider-offer", "names no location",
		CHANGE("create", "circuit", "c", "\"customer\":\"acme\"," OF_IXNET("")));
	refused(model, "transition", "of a new circuit is not-provisioned",
		ORDER("c", OF_IXNET(",\"provider-state\":\"provisioned\"")));
	refused(model, "subscription-customer", "acme-lab",
		"[{\"op\":\"create\",\"noun\":\"circuit\",\"name\":\"c\",\"fields\":{\"customer\":"
		"\"globex\",\"bandwidth\":\"50mbps\",\"subscription\":\"acme-lab\"}}]");
	model_unref(model);
}

static void link_is(const struct model *model, const char *name, const char *edge, const char *port,
	unsigned int tag)
{
	const struct link *link = model_link(model, name);

	assert_non_null(link);
	if (strcmp(link->edge, edge) || strcmp(link->port, port) || link->outer_tag != tag)
		fail_msg("%s is %s/%s %u", name, link->edge, link->port, link->outer_tag);
}

static void test_placement(void **state)
{
	struct model *model = shop();

	done(&model, ORDER("a", OF_IXNET("")));
	assert_int_equal(model_circuit(model, "a")->model, CIRCUIT_EXCHANGE); // the only one with l2
	link_is(model, "a/primary", "ams1", "wan0", 101);
	link_is(model, "a/secondary", "ams2", "wan0", 101);
	// the emptier of two ports; a tag that is free on both
	done(&model, ORDER("b", OF_IXNET("")));
	link_is(model, "b/primary", "ams1", "wan1", 102);
	link_is(model, "b/secondary", "ams2", "wan0", 102);
	// a circuit of its own is on ports that are nobody's
	done(&model, ORDER("own", "\"bandwidth\":\"50mbps\""));
	link_is(model, "own/primary", "ams1", "own0", 101);
	assert_null(circuit_provider_state(model_circuit(model, "own")));
	// what is said stays said
	done(&model,
		"[{\"op\":\"create\",\"noun\":\"circuit\",\"name\":\"hand\",\"fields\":{\"customer\":"
		"\"acme\",\"location\":\"ams\",\"provider\":\"ixnet\",\"bandwidth\":\"50mbps\"}},"
		"{\"op\":\"create\",\"noun\":\"link\",\"name\":\"hand/primary\",\"fields\":{\"edge\":"
		"\"ams2\",\"port\":\"wan0\",\"outer-tag\":7}}]");
	link_is(model, "hand/primary", "ams2", "wan0", 7);
	assert_null(model_link(model, "hand/secondary"));
	refused(model, "link-port", "class internet",
		CHANGE("set", "link", "own/primary", "\"port\":\"net0\""));
	refused(model, "link-port", "of provider \"ixnet\"",
		CHANGE("set", "link", "own/primary", "\"port\":\"wan0\""));
	refused(model, "link-location", "not at location",
		CHANGE("set", "link", "own/primary", "\"edge\":\"par1\",\"port\":\"wan0\""));
	refused(model, "immutable", "cannot change",
		CHANGE("set", "circuit", "own", "\"provider\":\"ixnet\",\"location\":null"));
	// ams2/wan0: 450 Mb/s of 20 Gb/s are sold; one of 10 Gb/s fits, two do not
	done(&model, ORDER("big", "\"provider\":\"ixnet\",\"bandwidth\":\"10gbps\""));
	refused(model, "port-capacity", "wan0 10gbps x 200 % = 20gbps, sold 10450mbps",
		ORDER("bigger", "\"provider\":\"ixnet\",\"bandwidth\":\"10gbps\""));
	refused(model, "port-capacity", "sold 20250mbps",
		CHANGE("set", "circuit", "a", "\"bandwidth\":\"10gbps\""));
	model_unref(model);
}

// Every state with every verb.
static void test_workflow(void **state)
{
	static const char *const names[] = {
		"not-provisioned", "provisioning", "provisioned", "deprovisioning"};
	static const char *const seen[] = {"disabled", "enabling", "enabled", "disabling"};
	struct model *model = shop();
	struct findings findings;
	char text[256];

	done(&model, ORDER("c", OF_IXNET("")));
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int from = 0; from < 4; from++) {
			const struct circuit *circuit = model_circuit(model, "c");
			assert_string_equal(circuit_provider_state(circuit), names[from]);
			assert_string_equal(circuit_state(circuit), seen[from]);
			assert_int_equal(circuit_is_provisioned(circuit), from >= 2);
			for (unsigned int to = 0; to < 4; to++) {
				if (to == from || to == (from + 1) % 4)
					continue;
				snprintf(text, sizeof(text), STATE("c", "%s"), names[to]);
				refused(model, "transition", names[to], text);
			}
			if (from == 0) {
				struct model *gone = change(model, CHANGE("delete", "circuit", "c", ""), &findings);
				assert_non_null(gone);
				model_unref(gone);
			} else {
				refused(model, CIRCUIT_PROVISIONED, names[from],
					CHANGE("delete", "circuit", "c", ""));
			}
			if (round == 0 && from == 2) {
				struct model *next = change(model, PEERING("c"), &findings);
				assert_non_null(next);
				model_unref(next);
			} else if (round == 0 && from < 2) {
				refused(model, CIRCUIT_PROVISIONED, names[from], PEERING("c"));
			}
			if (round == 0 && from == 2)
				done(&model, PEERING("c")); // stays when the provider goes
			snprintf(text, sizeof(text), STATE("c", "%s"), names[(from + 1) % 4]);
			done(&model, text);
		}
	}
	// Several steps may be one change.
	done(&model,
		"[{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"c\",\"fields\":{\"provider-state\":"
		"\"provisioning\"}},{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"c\",\"fields\":{"
		"\"provider-state\":\"provisioned\"}}]");
	done(&model, STATE("c", "deprovisioning"));
	done(&model, STATE("c", "not-provisioned"));
	// A file leaves it where it is; one that says it moves by the same steps. Into a model that has nothing it brings all back.
	done(&model, STATE("c", "provisioning"));
	done(&model, STATE("c", "provisioned"));
	char *yaml = model_yaml(model);
	struct model *again = parse(model, yaml);
	assert_ptr_equal(again, model);
	model_unref(again);
	done(&model, STATE("c", "deprovisioning"));
	struct model *refusing = NULL;
	memset(&findings, 0, sizeof(findings));
	assert_int_equal(model_parse(model, yaml, strlen(yaml), "x", &refusing, &findings), -EINVAL);
	assert_string_equal(findings.item[0].rule, "transition");
	free(yaml);
	done(&model, STATE("c", "not-provisioned"));
	yaml = model_yaml(model); // with a peering that was left
	struct model_options options = {0};
	struct model *empty = model_create(&options);
	struct model *back = parse(empty, yaml);
	assert_true(model_digest(back) == model_digest(model));
	model_unref(back);
	// .. but a file is no way around
	char *said = strstr(yaml, "  provider-state: not-provisioned\n");
	assert_non_null(said);
	memmove(said, said + strlen("  provider-state: not-provisioned\n"),
		strlen(said + strlen("  provider-state: not-provisioned\n")) + 1);
	memset(&findings, 0, sizeof(findings));
	assert_int_equal(model_parse(empty, yaml, strlen(yaml), "x", &back, &findings), -EINVAL);
	assert_string_equal(findings.item[0].rule, CIRCUIT_PROVISIONED);
	free(yaml);
	model_unref(empty);
	model_unref(model);
}

static void test_plans(void **state)
{
	static const unsigned int caps[][2] = {{50, 20}, {100, 25}, {200, 25}, {500, 40}, {1000, 50}, {2000, 60},
		{5000, 75}, {10000, 100}};
	struct model *model = shop();
	char text[512];

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		struct circuit circuit = {.sku = SKU_PREMIUM, .bandwidth = caps[i][0] * UINT64_C(1000000)};
		assert_int_equal(circuit_connections(&circuit), caps[i][1]);
	}
	done(&model, ORDER("c", "\"bandwidth\":\"50mbps\",\"sku\":\"premium\""));
	done(&model, PEERING("c"));
	for (unsigned int i = 0; i < 11; i++) {
		snprintf(text, sizeof(text),
			"[{\"op\":\"create\",\"noun\":\"vnet\",\"name\":\"v%u\",\"fields\":{\"customer\":"
			"\"acme\",\"prefixes\":[\"10.%u.0.0/16\"]}},{\"op\":\"create\",\"noun\":"
			"\"connection\",\"name\":\"c/v%u\"}]",
			i, i, i);
		done(&model, text);
	}
	refused(model, "sku-excess", "has 11 connections, standard at its bandwidth takes 10",
		CHANGE("set", "circuit", "c", "\"sku\":\"standard\""));
	done(&model, CHANGE("delete", "connection", "c/v10", ""));
	done(&model, CHANGE("set", "circuit", "c", "\"sku\":\"standard\""));
	refused(model, "sku-excess", "has 11 connections", CHANGE("create", "connection", "c/v10", ""));
	assert_int_equal(circuit_routes(model_circuit(model, "c")), 4000);
	done(&model, CHANGE("set", "circuit", "c", "\"sku\":\"premium\""));
	assert_int_equal(circuit_routes(model_circuit(model, "c")), 10000);
	assert_int_equal(circuit_connections(model_circuit(model, "c")), 20);
	done(&model, CHANGE("set", "circuit", "c", "\"billing\":\"unlimited\""));
	refused(model, "transition", "from unlimited to metered",
		CHANGE("set", "circuit", "c", "\"billing\":\"metered\""));
	refused(model, "raise-only", "cannot be lowered",
		"[{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"c\",\"fields\":{\"bandwidth\":"
		"\"100mbps\"}},{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"c\",\"fields\":{"
		"\"bandwidth\":\"10mbps\"}}]");
	model_unref(model);
}

static uint32_t draw(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

// Orders, raises, cancellations and hand-made links in random order: no port is sold beyond what it may be, no two links of
// a port share a tag, and an order that is refused for want of room finds none.
static void test_random_orders(void **state)
{
	static const char *const sizes[] = {"50mbps", "100mbps", "200mbps", "10gbps"};
	static const char *const ports[] = {"ams1/wan0", "ams1/wan1", "ams2/wan0"};
	const char *many = getenv("CULVERT_LONG");
	unsigned int orders = many ? 100000 : 3000, taken = 0, full = 0;
	uint32_t seed = random_seed();
	struct model *model = shop();

	for (unsigned int i = 0; i < orders; i++) {
		struct findings findings;
		const char *size = sizes[draw(&seed) % 4];
		unsigned int name = draw(&seed) % 200;
		char text[512];
		switch (draw(&seed) % 4) {
		case 0:
			snprintf(text, sizeof(text), CHANGE("set", "circuit", "c%u", "\"bandwidth\":\"%s\""),
				name, size);
			break;
		case 1:
			snprintf(text, sizeof(text), CHANGE("delete", "circuit", "c%u", ""), name);
			break;
		default:
			snprintf(text, sizeof(text),
				ORDER("c%u", "\"provider\":\"ixnet\",\"bandwidth\":\"%s\""), name, size);
		}
		struct model *next = change(model, text, &findings);
		if (next) {
			model_unref(model);
			model = next;
			taken++;
		} else {
			full += !strcmp(findings.item[0].rule, "port-capacity");
		}
		for (unsigned int p = 0; p < 3; p++) {
			struct port_load load;
			port_load(model, model_port(model, ports[p]), &load);
			assert_true(load.sold <= load.capacity);
		}
	}
	struct findings findings = {0};
	assert_int_equal(model_check(model, &findings), 0);
	assert_int_equal(findings.count, 0);
	assert_true(taken > orders / 10 && full > 10);
	model_unref(model);
}

// --- successors ------------------------------------------------------------------------------------------

#define SUCCESSOR(op, name, more) \
	"[{\"op\":\"" op "\",\"noun\":\"circuit\",\"name\":\"" name "\"" more "}]"

// Its links are placed, its peerings come when the provider is there, and what the provider still has stays.
static void test_successor(void **state)
{
	struct model *model = shop();

	done(&model, ORDER("a", OF_IXNET(",\"model\":\"exchange\"")));
	done(&model, STATE("a", "provisioning"));
	done(&model, STATE("a", "provisioned"));
	done(&model, PEERING("a"));
	done(&model, CHANGE("create", "vnet", "v", "\"customer\":\"acme\",\"prefixes\":[\"10.9.0.0/16\"]"));
	done(&model, CHANGE("create", "connection", "a/v", ""));
	done(&model, SUCCESSOR("recreate", "a", ",\"fields\":{\"bandwidth\":\"100mbps\"}"));
	const struct circuit *next = model_circuit(model, "a-r2");
	assert_int_equal(next->provider_state, NOT_PROVISIONED);
	assert_int_equal(next->bandwidth, 100000000);
	assert_string_equal(next->provider, "ixnet");
	assert_int_equal(model_link(model, "a/primary")->outer_tag, 101);
	assert_int_equal(model_link(model, "a-r2/primary")->outer_tag, 102);
	assert_null(model_peering(model, "a-r2/private"));
	refused(model, "replace", "no peering", SUCCESSOR("replace", "a", ",\"to\":\"a-r2\""));
	done(&model, STATE("a-r2", "provisioning"));
	done(&model, STATE("a-r2", "provisioned"));
	refused(model, "exists", "a-r2", SUCCESSOR("recreate", "a", ",\"to\":\"a-r2\",\"fields\":{\"bandwidth\":\"50mbps\"}"));
	done(&model, SUCCESSOR("recreate", "a", ",\"to\":\"a-r2\""));
	assert_non_null(model_peering(model, "a-r2/private"));
	struct model *same = model_ref(model);
	done(&model, SUCCESSOR("recreate", "a", ",\"to\":\"a-r2\""));
	assert_ptr_equal(model, same); // nothing is lacking
	model_unref(same);
	done(&model, SUCCESSOR("replace", "a", ",\"to\":\"a-r2\""));
	assert_non_null(model_connection(model, "a-r2/v"));
	assert_null(model_connection(model, "a/v"));
	assert_non_null(model_circuit(model, "a")); // the provider has it still
	done(&model, STATE("a", "deprovisioning"));
	done(&model, STATE("a", "not-provisioned"));
	done(&model, SUCCESSOR("replace", "a", ",\"to\":\"a-r2\""));
	assert_null(model_circuit(model, "a"));
	model_unref(model);
}

#define GRE(gateway) "{\"edge\":\"ams1\",\"gateway\":\"" gateway "\",\"local\":\"192.0.2.1\",\"key\":7}"

// --- ensure ----------------------------------------------------------------------------------------------

// Of whatever there is: with all that it has, asked for once more, it is no other model.
static void test_ensure_of_every_noun(void **state)
{
	struct model *model = shop();
	struct findings findings = {0};

	done(&model, ORDER("a", OF_IXNET(",\"model\":\"exchange\",\"subscription\":\"acme-lab\"")));
	done(&model, STATE("a", "provisioning"));
	done(&model, STATE("a", "provisioned"));
	done(&model, PEERING("a"));
	done(&model, CHANGE("set", "peering", "a/private", "\"password\":{\"value\":\"s3cret\"}"));
	done(&model, CHANGE("create", "vnet", "v", "\"customer\":\"acme\",\"prefixes\":[\"10.9.0.0/16\"]"));
	done(&model, CHANGE("create", "connection", "a/v", ""));
	done(&model, CHANGE("create", "port", "ams1/core0", "\"faces\":\"core\",\"address\":\"192.0.2.1/24\""));
	done(&model, CHANGE("set", "vnet", "v", "\"tunnels\":[" GRE("192.0.2.40") "]"));
	done(&model, CHANGE("create", "exit", "e", "\"vnet\":\"v\",\"tunnels\":[" GRE("192.0.2.41") "]"));
	done(&model, CHANGE("create", "price", "ams", "\"location\":\"ams\",\"currency\":\"EUR\""));
	for (unsigned int noun = 0; noun < NOUNS; noun++) {
		if (model_count(model, noun) == 0)
			fail_msg("no %s", nouns[noun]->name);
		for (unsigned int i = 0; i < model_count(model, noun); i++) {
			const struct object *object = model_at(model, noun, i);
			json_t *changes = json_pack("[{s:s, s:s, s:s, s:o}]", "op", "ensure", "noun",
				nouns[noun]->name, "name", object->name, "fields", object_json(object));
			struct model *same = NULL;
			if (model_change(model, changes, &same, &findings))
				fail_msg("%s %s: %s", nouns[noun]->name, object->name,
					findings.item[0].message);
			if (same != model)
				fail_msg("%s %s is another one", nouns[noun]->name, object->name);
			model_unref(same);
			json_decref(changes);
		}
	}
	model_unref(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_catalog),
		cmocka_unit_test(test_successor),
		cmocka_unit_test(test_ensure_of_every_noun),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_placement),
		cmocka_unit_test(test_workflow),
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_random_orders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
