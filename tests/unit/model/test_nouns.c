// SPDX-License-Identifier: BSD-3-Clause
// What single nouns refuse and mean, beyond what test_change.c has of those that a circuit is made
// of.

#include "control/model/exit.h"
#include "control/model/intent.h"
#include "control/model/price.h"
#include "tests/unit/model/base.h"

static void refused(const struct model *model, const char *text, const char *rule)
{
	struct findings findings;

	assert_null(change(model, text, &findings));
	assert_string_equal(findings.item[0].rule, rule);
}

#define PRICE(name, location, currency, fees)                                   \
	"[{\"op\":\"create\",\"noun\":\"price\",\"name\":\"" name               \
	"\",\"fields\":{\"location\":\"" location "\",\"currency\":\"" currency \
	"\",\"gb-out\":25000,\"fees\":[" fees "]}}]"
#define FEE(bandwidth, plan, fee) \
	"{\"bandwidth\":\"" bandwidth "\",\"plan\":\"" plan "\",\"fee\":" fee "}"

static void test_price(void **state)
{
	struct model *model = base();
	struct findings findings;

	refused(model, PRICE("ams", "ams", "eur", ""), "price-currency");
	refused(model,
		PRICE("ams", "ams", "EUR",
			FEE("1gbps", "metered", "1") "," FEE("1000mbps", "metered", "2")),
		"price-fee-once");
	struct model *next = change(model,
		PRICE("ams", "ams", "EUR",
			FEE("1gbps", "metered", "43600") "," FEE("1gbps", "unlimited", "570000")),
		&findings);
	refused(next, PRICE("ams-2", "ams", "EUR", ""), "price-location");
	const struct price *price = model_price(next, "ams");
	assert_int_equal(price->fees.item[1].fee, 570000);
	assert_int_equal(price->fees.item[1].plan, PRICE_UNLIMITED);
	assert_int_equal(price->gb_out, 25000);
	assert_null(object_customer(next, &price->object));
	// YAML both ways
	char *yaml = model_yaml(next);
	struct model *again = parse(next, yaml);
	assert_ptr_equal(again, next);
	free(yaml);
	model_unref(again);
	model_unref(next);
	model_unref(model);
}

#define EXIT(name, vnet, gateway, key)                                                             \
	"[{\"op\":\"create\",\"noun\":\"exit\",\"name\":\"" name "\",\"fields\":{\"vnet\":\"" vnet \
	"\",\"tunnels\":[{\"edge\":\"ams1\",\"gateway\":\"" gateway                                \
	"\",\"local\":\"192.0.2.1\",\"key\":" key "}]}}]"

static void test_exit(void **state)
{
	struct model *model = base();
	struct findings findings;

	// A triple is one owner's, whatever kind of owner: acme-prod has (192.0.2.1, 192.0.2.40,
	// 7001).
	refused(model, EXIT("web", "acme-prod", "192.0.2.40", "7001"), "tunnel-triple");
	refused(model, EXIT("web", "acme-prod", "192.0.2.1", "9"), "tunnel-addresses");
	struct model *next =
		change(model, EXIT("web", "acme-prod", "192.0.2.40", "7003"), &findings);
	refused(next, EXIT("other", "globex-prod", "192.0.2.40", "7003"), "tunnel-triple");
	refused(next,
		"[{\"op\":\"set\",\"noun\":\"vnet\",\"name\":\"globex-prod\",\"fields\":{"
		"\"tunnels\":"
		"[{\"edge\":\"ams1\",\"gateway\":\"192.0.2.40\",\"local\":\"192.0.2.1\",\"key\":"
		"7003}]}}]",
		"tunnel-triple");
	refused(next, "[{\"op\":\"delete\",\"noun\":\"vnet\",\"name\":\"acme-prod\"}]", "in-use");
	assert_string_equal(object_customer(next, &model_exit(next, "web")->object), "acme");

	// An interface in its vNet's domain, with an owner of its own.
	static const char *const ports[] = {"wan0", "core0"};
	const struct node_view node = {"ams1", 2, ports}, elsewhere = {"ams2", 2, ports};
	struct ids *ids = ids_new(0);
	const struct fragment *fragment =
		fragment_build(next, ids, &node, &model_exit(next, "web")->object, NULL);
	assert_int_equal(fragment->interfaces.count, 1);
	assert_int_equal(fragment->domains.count, 0);
	const struct intent_interface *interface = fragment->interfaces.item;
	assert_string_equal(interface->name, "exit/web");
	assert_true(interface->tunnel.internet && interface->source_check);
	assert_int_equal(interface->tunnel.key, 7003);
	fragment_unref(fragment);
	fragment = fragment_build(next, ids, &elsewhere, &model_exit(next, "web")->object, NULL);
	assert_true(fragment_empty(fragment));
	fragment_unref(fragment);
	ids_unref(ids);
	model_unref(next);
	model_unref(model);
}

// Whoever seals secrets, keeps them and finds them again looks at the object's own fields.
static void test_secrets_stand_at_the_top(void **state)
{
	for (unsigned int n = 0; n < NOUNS; n++) {
		for (unsigned int f = 0; f < nouns[n]->fields.count; f++) {
			const struct field *field = &nouns[n]->fields.item[f];
			assert_true(field->kind != FIELD_LIST || field->element != FIELD_SECRET);
			for (unsigned int e = 0; field->fields && e < field->fields->count; e++)
				assert_true(field->fields->item[e].kind != FIELD_SECRET);
		}
	}
}

// The manual says what a field takes, and of a part of a list's element that it changes what the list does.
static void test_manual(void **state)
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	for (unsigned int i = 0; i < NOUNS; i++)
		schema_manual(nouns[i], out);
	fclose(out);
	assert_non_null(strstr(text, "*burst*\n\tduration 10ms..2s, default 50ms."));
	assert_non_null(strstr(text, "*shape-in*\n\tduration 0ms..60ms, default 0ms."));
	assert_non_null(strstr(text, "*outer-tag*\n\tuint 1..4094."));
	assert_non_null(strstr(text, "GRE key. Changing it: traffic interrupted."));
	assert_non_null(strstr(text, "next hop on a core port's subnet. Changing it: routes change."));
	assert_null(strstr(text, "GRE key. Changing it: no traffic effect."));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets_stand_at_the_top),
		cmocka_unit_test(test_price),
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_manual),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
