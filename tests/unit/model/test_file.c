// SPDX-License-Identifier: BSD-3-Clause
// Configuration files: what is shown is valid input, and every mistake is found at its place.

#include "tests/unit/model/base.h"

static void refused(const char *text, struct findings *findings)
{
	struct model_options options = {0};
	struct model *empty = model_create(&options), *model = NULL;

	memset(findings, 0, sizeof(*findings));
	assert_int_equal(
		model_parse(empty, text, strlen(text), "culvert.yaml", &model, findings), -EINVAL);
	assert_null(model);
	assert_true(findings->count > 0);
	model_unref(empty);
}

static void test_round_trip(void **state)
{
	struct model_options options = {0};
	struct model *model = base(), *empty = model_create(&options);
	char *text = model_yaml(model);
	struct model *same = parse(model, text), *fresh = parse(empty, text);

	assert_ptr_equal(same, model); // nothing differs: no new snapshot at all
	assert_true(model_digest(fresh) == model_digest(model));
	struct model_diff *diff = model_diff(model, fresh);
	assert_int_equal(diff->count, 0);
	model_diff_free(diff);
	char *again = model_yaml(fresh);
	assert_string_equal(again, text);
	free(again);
	free(text);
	model_unref(fresh);
	model_unref(same);
	model_unref(empty);
	model_unref(model);
}

static void test_json_is_yaml(void **state)
{
	static const char text[] =
		"{\"version\": 1, \"customers\": [{\"name\": \"acme\", \"owner\": \"no\"}]}";
	struct model_options options = {0};
	struct model *empty = model_create(&options), *model = parse(empty, text);
	char *yaml = model_yaml(model);

	assert_string_equal(yaml, "version: 1\ncustomers:\n- name: acme\n  owner: \"no\"\n");
	free(yaml);
	model_unref(model);
	model_unref(empty);
}

static void test_message(void **state)
{
	struct findings findings;

	refused("version: 1\ncustomers:\n- name: acme\n  ownr: x\n- {name: b, owner: [1]}\n",
		&findings);
	char *text = findings_text(&findings, "culvert.yaml");
	assert_string_equal(text,
		"culvert.yaml:4:3: error: unknown key \"ownr\" in customer \"acme\"\n"
		"    4 |   ownr: x\n"
		"      |   ^~~~ did you mean \"owner\"?\n"
		"culvert.yaml:5:20: error: owner of customer \"b\": must be a single value\n"
		"    5 | - {name: b, owner: [1]}\n"
		"      |                    ^\n"
		"2 errors, nothing applied\n");
	free(text);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *rule;
		unsigned int line, column;
	} cases[] = {
		{"", "version", 1, 1},
		{"customers: []\n", "version", 1, 1},
		{"version: 2\n", "version", 1, 10},
		{"version: 1\ncustomer: []\n", "unknown-key", 2, 1},
		{"version: 1\ncustomers: {}\n", "value", 2, 12},
		{"version: 1\ncustomers:\n- acme\n", "value", 3, 3},
		{"version: 1\nversion: 1\n", "duplicate-key", 2, 1},
		{"version: 1\ncustomers:\n- name: acme\n  name: acme\n", "duplicate-key", 4, 3},
		{"version: 1\ncustomers:\n- name: acme\n- name: acme\n", "duplicate-name", 4, 3},
		{"version: 1\ncustomers:\n- &x {name: acme}\n", "yaml-anchor", 3, 3},
		{"version: 1\ncustomers:\n- name: *x\n", "yaml-anchor", 3, 9},
		{"version: 1\ncustomers:\n- <<: {name: acme}\n", "yaml-anchor", 3, 3},
		{"version: 1\ncustomers:\n- name: !!str acme\n", "yaml-tag", 3, 9},
		{"version: 1\ncustomers: !x []\n", "yaml-tag", 2, 12},
		{"version: 1\n---\nversion: 1\n", "yaml-document", 2, 1},
		{"version: 1\ncustomers: [\n", "yaml-syntax", 3, 1},
		{"version: 1\n\tcustomers: []\n", "yaml-syntax", 2, 1},
		{"version: 1\ncustomers:\n- ? [a]\n  : b\n", "yaml-key", 3, 5},
		{"version: 1\ncustomers:\n- {owner: x}\n", "required", 3, 3},
		{"version: 1\ncustomers:\n- {name: ~}\n", "required", 3, 3},
		{"version: 1\ncustomers:\n- {name: \"a\\0b\"}\n", "yaml-syntax", 3, 10},
		{"version: 1\na: [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]\n", "yaml-size", 2, 16},
		{"version: 1\ncircuits:\n- {name: c, customer: acme, bandwidth: 100}\n", "value", 3,
			40},
		{"version: 1\ncircuits:\n- {name: c, customer: acme, bandwidth: 100mbps}\n",
			"reference-exists", 3, 13},
		{"version: 1\nedges:\n- name: a\n  ports:\n  - {edge: b, name: p, faces: core}\n",
			"place", 5, 5},
		{"version: 1\ncustomers: [{name: a}]\nvnets: [{name: v, customer: a, prefixes: "
		 "[]}]\n",
			"required", 3, 9},
	};
	struct findings findings;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		refused(cases[i].text, &findings);
		const struct finding *f = &findings.item[0];
		if (strcmp(f->rule, cases[i].rule) || f->line != cases[i].line ||
			f->column != cases[i].column)
			fail_msg("%s\ngave %s at %u:%u (%s), not %s at %u:%u", cases[i].text,
				f->rule, f->line, f->column, f->message, cases[i].rule,
				cases[i].line, cases[i].column);
		char *text = findings_text(&findings, "x");
		assert_non_null(text);
		free(text);
		json_t *json = findings_json(&findings);
		assert_int_equal(json_array_size(json), findings.count);
		json_decref(json);
	}
}

static void test_twenty(void **state)
{
	struct findings findings;
	char text[4096] = "version: 1\ncustomers:\n";

	for (int i = 0; i < 50; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"- {name: c%d, nam: x}\n", i);
	refused(text, &findings);
	assert_int_equal(findings.count, FINDINGS_MAX);
	assert_int_equal(findings.more, 30);
}

// A rule's refusal stands at the object in the file, too.
static void test_rule_place(void **state)
{
	struct findings findings;
	char text[sizeof(base_yaml)];

	strcpy(text, base_yaml);
	memcpy(strstr(text, "key: 7002"), "key: 7001", 9);
	refused(text, &findings);
	assert_string_equal(findings.item[0].rule, "tunnel-triple");
	assert_int_equal(findings.item[0].line, 45);
	assert_string_equal(findings.item[0].source,
		"  tunnels: [{edge: ams1, gateway: 192.0.2.40, local: 192.0.2.1, key: 7001}]");
	assert_string_equal(findings.item[0].path, "vnet globex-prod: tunnels");
	assert_int_equal(findings.count, 1);
}

static void test_whole_is_replaced(void **state)
{
	struct model *old = base();
	char text[sizeof(base_yaml)];

	strcpy(text, base_yaml);
	char *key = strstr(text, "  service-key");
	memset(key, ' ', strchr(key, '\n') - key); // not given: kept
	memcpy(strstr(text, "bandwidth: 50mbps"), "bandwidth: 1gbps ", 17);
	struct model *new = parse(old, text);
	struct model_diff *diff = model_diff(old, new);
	char *shown = model_diff_text(diff);
	assert_string_equal(shown, "~ circuit acme-ams-01 bandwidth 50mbps -> 1gbps (hitless)\n");
	free(shown);
	model_diff_free(diff);
	struct model *none = parse(new, "version: 1\n");
	for (unsigned int i = 0; i < NOUNS; i++)
		assert_int_equal(model_count(none, i), 0);
	assert_true(model_digest(none) == 0);
	model_unref(none);
	model_unref(new);
	model_unref(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_json_is_yaml),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_twenty),
		cmocka_unit_test(test_rule_place),
		cmocka_unit_test(test_whole_is_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
