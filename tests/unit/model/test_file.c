// SPDX-License-Identifier: BSD-3-Clause
// Configuration files: what is shown is valid input, and every mistake is found at its place.

#include "control/api/text.h"
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
		"{\"version\": 1, \"customers\": [{\"name\": \"acme\", \"description\": \"no\"}]}";
	struct model_options options = {0};
	struct model *empty = model_create(&options), *model = parse(empty, text);
	char *yaml = model_yaml(model);

	assert_string_equal(yaml,
		"version: 1\nobjects: 1\ncustomers:\n- name: acme\n  description: \"no\"\nend: 1\n");
	free(yaml);
	model_unref(model);
	model_unref(empty);
}

static void test_message(void **state)
{
	struct findings findings;

	refused("version: 1\ncustomers:\n- name: acme\n  descripton: x\n- {name: b, description: [1]}\n",
		&findings);
	char *text = findings_text(&findings, "culvert.yaml");
	assert_string_equal(text,
		"culvert.yaml:4:3: error: unknown key \"descripton\" in customer \"acme\"\n"
		"    4 |   descripton: x\n"
		"      |   ^~~~~~~~~~ did you mean \"description\"?\n"
		"culvert.yaml:5:26: error: description of customer \"b\": must be a single value\n"
		"    5 | - {name: b, description: [1]}\n"
		"      |                          ^\n"
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
		{"version: 1\ncustomers:\n- {description: x}\n", "required", 3, 3},
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

static void taken(const char *text, size_t length)
{
	struct model_options options = {0};
	struct model *empty = model_create(&options), *model = NULL;
	struct findings findings = {0};

	assert_int_equal(model_parse(empty, text, length, "culvert.yaml", &model, &findings), 0);
	model_unref(model);
	model_unref(empty);
}

static void test_byte_order_mark(void **state)
{
	static const char good[] = "\xef\xbb\xbfversion: 1\n", bad[] = "\xef\xbb\xbfversion: 2\n";
	struct findings findings;

	taken(good, sizeof(good) - 1);
	refused(bad, &findings);
	assert_int_equal(findings.item[0].line, 1);
	assert_int_equal(findings.item[0].column, 10);
	assert_string_equal(findings.item[0].source, "version: 2");
}

// What is no text is told by line and column, and what is told is text whatever it quotes.
static void test_not_text(void **state)
{
	static const struct {
		const char *text;
		size_t length;
		unsigned int line, column;
		const char *says;
	} cases[] = {
		{"version: 1\na: x\xffy\n", 16, 2, 5, "UTF-8"},
		{"version: 1\na: \xc3\xa9\xc3\n", 17, 2, 5, "UTF-8"},
		{"version: 1\na: x\0y\n", 16, 2, 5, "control characters"},
		{"\xff\xfev\0", 4, 1, 1, "UTF-8"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct model_options options = {0};
		struct model *empty = model_create(&options), *model = NULL;
		struct findings findings = {0};
		assert_int_equal(
			model_parse(empty, cases[i].text, cases[i].length, "x", &model, &findings),
			-EINVAL);
		assert_int_equal(findings.item[0].line, cases[i].line);
		assert_int_equal(findings.item[0].column, cases[i].column);
		assert_non_null(strstr(findings.item[0].message, cases[i].says));
		assert_true(api_text_valid(findings.item[0].source));
		model_unref(empty);
	}
}

// 79 letters, then letters of two bytes: what is quoted is cut within one.
static void test_cut_inside_a_character(void **state)
{
	struct findings findings;
	char text[512], many[161] = "";

	for (int i = 0; i < 80; i++)
		strcat(many, "\xc3\xa9");
	snprintf(text, sizeof(text),
		"version: 1\ncustomers: [{name: a}]\ncircuits:\n- {name: c, customer: a, "
		"bandwidth: "
		"%0*d%s}\n",
		79, 7, many);
	refused(text, &findings);
	json_t *json = findings_json(&findings);
	assert_int_equal(json_array_size(json), findings.count);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json, 0), "line")), 4);
	json_decref(json);
}

static void test_mended(void **state)
{
	static const struct {
		const char *text, *mended;
	} cases[] = {
		{"caf\xc3\xa9 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xf0\x9f\x98\x80"},
		{"a\xff"
		 "b",
			"a?b"},
		{"a\xc3"
		 "b",
			"a?b"},
		{"a\xe2\x82", "a"},
		{"\xc0\x80", "??"},
		{"\xed\xa0\x80", "???"},
		{"\xf4\x90\x80\x80", "????"},
		{"a\n\x1b[31m\tb\x7f", "a??[31m\tb?"},
		{"a\u202e\u2066\u2065\u2028", "a??????\u2065\u2028"},
		{"\xc2\x9b"
		 "1m",
			"??1m"},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];
		snprintf(text, sizeof(text), "%s", cases[i].text);
		api_text_mend(text);
		assert_string_equal(text, cases[i].mended);
		assert_true(api_text_valid(text));
	}
}

// Cut at every line: none of it may pass for a whole one.
static void test_cut_off(void **state)
{
	struct model *model = base();
	char *whole = model_yaml(model);
	unsigned int cuts = 0;

	taken(whole, strlen(whole));
	for (char *end = strchr(whole, '\n'); end[1]; end = strchr(end + 1, '\n')) {
		struct model *cut = NULL;
		struct findings findings = {0};
		int rc = model_parse(model, whole, (size_t)(end + 1 - whole), "x", &cut, &findings);
		if (cuts++ == 0) { // "version: 1" alone says nothing of the sort
			model_unref(cut);
			continue;
		}
		assert_int_equal(rc, -EINVAL);
	}
	assert_true(cuts > 40);
	free(whole);
	model_unref(model);
}

static void test_counts(void **state)
{
	static const char customers[] = "customers: [{name: a}, {name: b}]\n";
	static const struct {
		const char *begin, *end;
		bool good;
	} cases[] = {
		{"", "", true},
		{"objects: 2\n", "end: 2\n", true},
		{"objects: 1\n", "end: 1\n", true}, // one was added
		{"", "end: 2\n", true},
		{"objects: 3\n", "end: 3\n", false},
		{"objects: 2\n", "", false},
		{"objects: 2\n", "end: 3\n", false},
		{"objects: 2\n", "end: 1\n", false}, // cut off in the number
		{"objects: 1\n", "end: 2\n", false},
		{"objects: two\n", "end: 2\n", false},
		{"objects:\n", "end: 2\n", false},
		{"end: 2\n", "", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct findings findings;
		char text[256];
		snprintf(text, sizeof(text), "version: 1\n%s%s%s", cases[i].begin, customers,
			cases[i].end);
		if (cases[i].good) {
			taken(text, strlen(text));
			continue;
		}
		refused(text, &findings);
		assert_string_equal(findings.item[0].rule, "whole-file");
		assert_true(findings.item[0].line > 0);
	}
}

// Things of a kind that must be unique, and are all the same: as many findings as things, whatever they are.
static double processor(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void test_duplicates(void **state)
{
#define CUSTOMER "customers: [{name: a}]\n"
#define EDGE                                                                                     \
	"edges: [{name: e, ports: [{name: w, faces: customer}, {name: c, faces: core, address: " \
	"192.0.2.1/24}]}]\n"
	static const struct {
		const char *head, *item, *tail;
		unsigned int count;
	} cases[] = {
		{CUSTOMER "vnets: [{name: v, customer: a, prefixes: [", "10.0.0.0/16, ", "]}]\n",
			4096},
		{"edges: [{name: e, ports: [{name: c, faces: core, address: 192.0.2.1/24}], "
		 "routes: [",
			"{prefix: 10.0.0.0/16, via: 192.0.2.2}, ", "]}]\n", 4096},
		{EDGE CUSTOMER "vnets: [{name: v, customer: a, prefixes: [10.0.0.0/16], tunnels: [",
			"{edge: e, gateway: 192.0.2.40, local: 192.0.2.1, key: 1}, ", "]}]\n",
			4096},
		{EDGE CUSTOMER "vnets:\n",
			"- {name: v%u, customer: a, prefixes: [10.0.0.0/16], tunnels: [{edge: e, "
			"gateway: 192.0.2.40, local: 192.0.2.1, key: 1}]}\n",
			"", 10000},
		{EDGE CUSTOMER "circuits:\n",
			"- {name: c%u, customer: a, bandwidth: 50mbps, service-key: "
			"00000000-0000-4000-8000-000000000001, links: [{role: primary, edge: e, "
			"port: w}]}\n",
			"", 10000},
		{EDGE CUSTOMER "circuits:\n",
			"- {name: c%u, customer: a, bandwidth: 50mbps, links: [{role: primary, "
			"edge: e, port: w, outer-tag: 1, inner-tag: 1}], peerings: [{type: "
			"private, primary-subnet: 169.254.0.0/30, peer-asn: 1, local-asn: 2}]}\n",
			"", 10000},
		{"edges:\n- name: e\n  ports:\n",
			"  - {name: c%u, faces: core, address: 192.0.2.1/24}\n", "", 10000},
		{"vnets:\n", "- {name: v%u, customer: nobody, prefixes: [10.0.0.0/16]}\n", "",
			20000},
	};
	struct model_options options = {.host_domain = HOST_DOMAIN_TABLE};
	struct model *empty = model_create(&options);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct findings findings = {0};
		struct model *model = NULL;
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		fprintf(out, "version: 1\n%s", cases[i].head);
		for (unsigned int n = 0; n < cases[i].count; n++) {
			const char *number = strstr(cases[i].item, "%u");
			if (number)
				fprintf(out, "%.*s%u%s", (int)(number - cases[i].item),
					cases[i].item, n, number + 2);
			else
				fputs(cases[i].item, out);
		}
		fputs(cases[i].tail, out);
		fclose(out);
		double start = processor();
		assert_int_equal(model_parse(empty, text, size, "x", &model, &findings), -EINVAL);
		double used = processor() - start;
		print_message("%.30s: %u findings, %.2f s\n", cases[i].item,
			findings.count + findings.more, used);
		assert_in_range(
			findings.count + findings.more, cases[i].count - 1, 4 * cases[i].count);
		assert_true(used < 4);
		free(text);
	}
	model_unref(empty);
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
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_not_text),
		cmocka_unit_test(test_cut_inside_a_character),
		cmocka_unit_test(test_mended),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_duplicates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
