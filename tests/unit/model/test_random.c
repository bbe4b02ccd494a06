// SPDX-License-Identifier: BSD-3-Clause
// Random changes against two oracles. One keeps all objects as JSON and has the whole model built and
// checked anew after each change: it must agree with the incremental check, whatever was said before. The
// other knows the rules that isolation rests on and looks at every pair of objects.

#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/model/vnet.h"
#include "tests/unit/model/base.h"

#define ROUNDS 2000

static json_t *objects; // {"circuit": {"c1": {...}}}

static json_t *of_noun(const char *noun)
{
	return json_object_get(objects, noun);
}

static const char *pick(const char *const *from, int count)
{
	return from[rand() % count];
}

#define PICK(...)                                \
	pick((const char *const[]){__VA_ARGS__}, \
		(int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

static json_t *random_fields(const char *noun)
{
	json_t *fields = json_object();
#define TEXT(key, ...)    json_object_set_new(fields, key, json_string(PICK(__VA_ARGS__)))
#define NUMBER(key, most) json_object_set_new(fields, key, json_integer(rand() % (most) + 1))
	if (!strcmp(noun, "circuit")) {
		TEXT("customer", "acme", "globex");
		TEXT("bandwidth", "50mbps", "100mbps", "1gbps", "60mbps");
	} else if (!strcmp(noun, "link")) {
		TEXT("edge", "ams1", "ams2");
		TEXT("port", "wan0", "wan1");
		if (rand() % 4)
			NUMBER("outer-tag", 3);
		if (rand() % 2)
			NUMBER("inner-tag", 2);
	} else if (!strcmp(noun, "peering")) {
		TEXT("primary-subnet", "169.254.10.0/30", "169.254.10.8/30", "10.1.0.0/30");
		if (rand() % 2)
			TEXT("secondary-subnet", "169.254.10.4/30", "169.254.10.0/30",
				"169.254.10.12/30");
		if (rand() % 3 == 0)
			TEXT("primary-subnet-v6", "fd00:1::/126", "fd00:1::8/126", "10.2.0.0/30");
		if (rand() % 3 == 0)
			TEXT("secondary-subnet-v6", "fd00:1::4/126", "fd00:1::/126");
		if (rand() % 8 == 0)
			TEXT("subnet-v6", "fd00:1::/125", "fd00:1::8/125");
		if (rand() % 8 == 0) {
			TEXT("subnet", "169.254.10.0/29", "169.254.10.8/29", "10.1.0.0/29");
			json_object_del(fields, "primary-subnet");
			json_object_del(fields, "secondary-subnet");
		}
		json_object_set_new(fields, "peer-asn", json_integer(65001));
		json_object_set_new(fields, "local-asn", json_integer(64900));
		if (rand() % 3 == 0)
			NUMBER("c-tag", 2);
	} else if (!strcmp(noun, "vnet")) {
		TEXT("customer", "acme", "globex");
		json_object_set_new(fields, "prefixes",
			json_pack("[s]",
				PICK("10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/16", "10.3.0.0/16")));
		json_object_set_new(fields, "tunnels",
			json_pack("[{s:s, s:s, s:s, s:i}]", "edge", "ams1", "gateway",
				PICK("192.0.2.40", "192.0.2.41"), "local", "192.0.2.1", "key",
				rand() % 3));
	}
#undef TEXT
#undef NUMBER
	return fields;
}

static json_t *random_change(void)
{
	const char *noun = PICK("circuit", "link", "link", "peering", "peering", "vnet", "vnet",
		"connection", "connection", "customer");
	const char *op = PICK("create", "create", "set", "delete");
	char name[64];
	const char *circuit = PICK("c1", "c2", "c3", "c4"), *vnet = PICK("v1", "v2", "v3", "v4");

	if (!strcmp(noun, "circuit"))
		snprintf(name, sizeof(name), "%s", circuit);
	else if (!strcmp(noun, "link"))
		snprintf(name, sizeof(name), "%s/%s", circuit, PICK("primary", "secondary"));
	else if (!strcmp(noun, "peering"))
		snprintf(name, sizeof(name), "%s/private", circuit);
	else if (!strcmp(noun, "vnet"))
		snprintf(name, sizeof(name), "%s", vnet);
	else if (!strcmp(noun, "connection"))
		snprintf(name, sizeof(name), "%s/%s", circuit, vnet);
	else
		snprintf(name, sizeof(name), "%s", PICK("acme", "globex", "nobody"));
	json_t *change = json_pack("{s:s, s:s, s:s}", "op", op, "noun", noun, "name", name);
	if (strcmp(op, "delete")) {
		json_t *fields = random_fields(noun);
		// Only transitions that are about one state: the oracle knows no other.
		if (!strcmp(op, "set")) {
			json_object_del(fields, "customer");
			json_object_del(fields, "bandwidth");
		}
		json_object_set_new(change, "fields", fields);
	}
	return change;
}

// The change on the JSON; false: it is refused before any rule (exists already, not found).
static bool apply(const json_t *change)
{
	static const char *const parts[] = {"link", "peering", "connection"};
	const char *op = json_string_value(json_object_get(change, "op")), *key;
	const char *noun = json_string_value(json_object_get(change, "noun"));
	const char *name = json_string_value(json_object_get(change, "name"));
	json_t *set = of_noun(noun), *fields = json_object_get(change, "fields"), *value;
	void *next;

	if (!strcmp(op, "create")) {
		if (json_object_get(set, name))
			return false;
		fields = json_deep_copy(fields);
		const char *slash = strchr(name, '/');
		if (slash) {
			const char *second = !strcmp(noun, "link")      ? "role"
					     : !strcmp(noun, "peering") ? "type"
									: "vnet";
			json_object_set_new(
				fields, "circuit", json_stringn(name, (size_t)(slash - name)));
			json_object_set_new(fields, second, json_string(slash + 1));
		} else {
			json_object_set_new(fields, "name", json_string(name));
		}
		json_object_set_new(set, name, fields);
		return true;
	}
	if (!json_object_get(set, name))
		return false;
	if (!strcmp(op, "set")) {
		json_object_foreach (fields, key, value)
			json_object_set(json_object_get(set, name), key, value);
		return true;
	}
	json_object_del(set, name);
	for (int i = 0; i < 3 && !strcmp(noun, "circuit"); i++) {
		json_object_foreach_safe(of_noun(parts[i]), next, key, value)
		{
			if (!strncmp(key, name, strlen(name)) && key[strlen(name)] == '/')
				json_object_del(of_noun(parts[i]), key);
		}
	}
	return true;
}

// Builds the whole model from the JSON and checks all of it.
static bool whole_is_right(const struct model_options *options, struct model **model)
{
	struct model_source sources[256];
	struct findings findings = {0};
	unsigned int count = 0;
	const char *noun, *name;
	json_t *set, *fields;

	json_object_foreach (objects, noun, set) {
		json_object_foreach (set, name, fields)
			sources[count++] = (struct model_source){noun, name, json_dumps(fields, 0)};
	}
	int rc = model_load(options, sources, count, NULL, NULL, model, &findings);
	for (unsigned int i = 0; i < count; i++)
		free((char *)(uintptr_t)sources[i].json);
	if (rc == 0 && findings.count == 0)
		return true;
	model_unref(*model);
	*model = NULL;
	return false;
}

// An object that is deleted and created again under its name in one change is the same object to the counters and
// ids that are kept by name: what may not change may not change that way either.
static bool carried_over(const json_t *before, const json_t *changes)
{
	const json_t *change;
	size_t i;

	json_array_foreach (changes, i, change) {
		const char *noun = json_string_value(json_object_get(change, "noun"));
		const char *name = json_string_value(json_object_get(change, "name"));
		const json_t *old = json_object_get(json_object_get(before, noun), name);
		const json_t *new = json_object_get(of_noun(noun), name);
		if (!old || !new ||
			strcmp(json_string_value(json_object_get(change, "op")), "create"))
			continue;
		if (!strcmp(noun, "circuit")) // its service key would be another
			return false;
		if (!strcmp(noun, "vnet") && !json_equal(json_object_get(old, "customer"),
						     json_object_get(new, "customer")))
			return false;
	}
	return true;
}

// As the rules have it, by another way: each family on every link or on none, no subnet twice where all share one stack.
static void look_at_peerings(const struct model *model)
{
	for (unsigned int i = 0; i < model_count(model, NOUN_PEERING); i++) {
		const struct peering *x = model_peering_at(model, i);
		struct ip_prefix mine[4], theirs[4];
		unsigned int count = peering_subnets(x, mine), families = 0;
		for (uint8_t family = 4; family <= 6; family += 2)
			families += peering_has_family(x, family);
		assert_true(count > 0 && count <= 4 && (count == families || count == 2 * families));
		for (unsigned int s = 0; s < count; s++)
			assert_int_equal(mine[s].len, mine[s].address.family == 4 ? 30 : 126);
		for (unsigned int j = 0; j < i; j++) {
			const struct peering *y = model_peering_at(model, j);
			unsigned int others = peering_subnets(y, theirs);
			for (unsigned int s = 0; s < count * others; s++)
				assert_false(model_options(model)->host_domain == HOST_DOMAIN_TABLE &&
					     !ip_prefix_compare(&mine[s % count], &theirs[s / count]));
		}
	}
}

static void look_at_every_pair(const struct model *model)
{
	uint16_t a[2], b[2];
	char name[OBJECT_NAME_MAX];

	for (unsigned int i = 0; i < model_count(model, NOUN_VNET); i++) {
		for (unsigned int j = 0; j < i; j++) {
			const struct gre_tunnel *x = model_vnet_at(model, i)->tunnels.item,
						*y = model_vnet_at(model, j)->tunnels.item;
			assert_false(
				x->key == y->key && !ip_address_compare(&x->gateway, &y->gateway));
		}
	}
	for (unsigned int i = 0; i < model_count(model, NOUN_LINK); i++) {
		const struct link *x = model_link_at(model, i);
		snprintf(name, sizeof(name), "%s/private", x->circuit);
		link_vlans(x, model_peering(model, name), a);
		for (unsigned int j = 0; j < i; j++) {
			const struct link *y = model_link_at(model, j);
			snprintf(name, sizeof(name), "%s/private", y->circuit);
			link_vlans(y, model_peering(model, name), b);
			assert_false(!strcmp(x->edge, y->edge) && !strcmp(x->port, y->port) &&
				     a[0] == b[0] && a[1] == b[1]);
			assert_false(!strcmp(x->circuit, y->circuit) && !strcmp(x->edge, y->edge));
		}
	}
	look_at_peerings(model);
	for (unsigned int i = 0; i < model_count(model, NOUN_CONNECTION); i++) {
		const struct connection *x = model_connection_at(model, i);
		const struct vnet *v = model_vnet(model, x->vnet);
		assert_string_equal(v->customer, model_circuit(model, x->circuit)->customer);
		const struct peering *p = model_peering(model, connection_peering_name(x, name));
		struct ip_prefix subnet[4];
		for (unsigned int j = peering_subnets(p, subnet); j > 0; j--)
			assert_false(ip_prefix_overlaps(v->prefixes.item, &subnet[j - 1]));
		for (unsigned int j = 0; j < i; j++) {
			const struct connection *y = model_connection_at(model, j);
			if (!strcmp(x->circuit, y->circuit))
				assert_false(ip_prefix_overlaps(v->prefixes.item,
					model_vnet(model, y->vnet)->prefixes.item));
		}
	}
}

static void run(enum host_domain host_domain)
{
	static const char start[] =
		"[{\"op\":\"create\",\"noun\":\"edge\",\"name\":\"ams1\"},{\"op\":\"create\","
		"\"noun\":\"edge\",\"name\":\"ams2\"},"
		"{\"op\":\"create\",\"noun\":\"port\",\"name\":\"ams1/"
		"wan0\",\"fields\":{\"faces\":\"customer\",\"speed\":\"550mbps\"}},"
		"{\"op\":\"create\",\"noun\":\"port\",\"name\":\"ams1/"
		"wan1\",\"fields\":{\"faces\":\"customer\"}},"
		"{\"op\":\"create\",\"noun\":\"port\",\"name\":\"ams2/"
		"wan0\",\"fields\":{\"faces\":\"customer\"}},"
		"{\"op\":\"create\",\"noun\":\"port\",\"name\":\"ams1/"
		"core0\",\"fields\":{\"faces\":\"core\",\"address\":\"192.0.2.1/24\"}},"
		"{\"op\":\"create\",\"noun\":\"customer\",\"name\":\"acme\"},{\"op\":\"create\","
		"\"noun\":\"customer\",\"name\":\"globex\"}]";
	struct model_options options = {.host_domain = host_domain};
	struct model *empty = model_create(&options);
	struct findings findings;
	struct model *model = change(empty, start, &findings);
	unsigned int taken = 0;

	assert_non_null(model);
	objects = json_object();
	for (unsigned int n = 0; n < NOUNS; n++) {
		json_t *set = json_object();
		for (unsigned int i = 0; i < model_count(model, n); i++)
			json_object_set_new(set, model_at(model, n, i)->name,
				object_json(model_at(model, n, i)));
		json_object_set_new(objects, nouns[n]->name, set);
	}
	for (int round = 0; round < ROUNDS; round++) {
		json_t *changes = json_array(), *before = json_deep_copy(objects);
		struct model *next = NULL, *whole = NULL;
		bool possible = true;
		for (int i = rand() % 6 ? 0 : rand() % 3; i >= 0; i--) {
			json_t *one = random_change();
			possible = apply(one) && possible;
			json_array_append_new(changes, one);
		}
		memset(&findings, 0, sizeof(findings));
		int rc = model_change(model, changes, &next, &findings);
		bool right = possible && carried_over(before, changes) &&
			     whole_is_right(&options, &whole);
		if (right != (rc == 0)) {
			char *shown = json_dumps(changes, 0);
			fail_msg("round %d: %s\nthe change is %s, the whole is %s (%s)", round,
				shown, rc ? "refused" : "taken", right ? "right" : "wrong",
				findings.count ? findings.item[0].message : "");
		}
		if (right) {
			assert_true(model_digest(next) == model_digest(whole));
			look_at_every_pair(next);
			model_unref(model);
			model = next;
			json_decref(before);
			taken++;
		} else {
			json_decref(objects);
			objects = before;
		}
		model_unref(whole);
		json_decref(changes);
	}
	print_message("%u of %u changes taken\n", taken, ROUNDS);
	assert_true(taken > ROUNDS / 20);
	json_decref(objects);
	model_unref(model);
	model_unref(empty);
}

static void test_netns(void **state)
{
	srand(random_seed());
	run(HOST_DOMAIN_NETNS);
}

static void test_table(void **state)
{
	srand(random_seed());
	run(HOST_DOMAIN_TABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_netns),
		cmocka_unit_test(test_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
