// SPDX-License-Identifier: BSD-3-Clause
// One field more, in one table, and it is everywhere: in YAML both ways, in JSON both ways, in the
// diff with its effect, in the store's form, in rpc.describe, in JSON Schema and in the manual.
// This program links a list of nouns of its own, in which a customer has a colour.

#include "control/model/customer.h"
#include "tests/unit/model/base.h"

struct painted_customer {
	struct customer customer;
	uint32_t colour;
	const char *shade;
	uint32_t limit;
	uint32_t step;
	const char *health;
	struct secret token;
};

static const char *const colours[] = {"red", "green", NULL};
static const char *const greens[] = {"green", NULL}, *const steps[] = {"first", "second", NULL};
static const struct field_default limits[] = {{"green", "10000"}, {0}};
#define PAINTED(member) offsetof(struct painted_customer, member)
static const struct field painted_fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, offsetof(struct customer, name), .help = "its name"},
	{"description", FIELD_STRING, 0, offsetof(struct customer, description), .help = "free text"},
	{"colour", FIELD_ENUM, 0, offsetof(struct painted_customer, colour), "red",
		.values = colours, .effect = EFFECT_SESSION, .help = "the one field more"},
	{"shade", FIELD_STRING, 0, PAINTED(shade), .visible = {"colour", greens},
		.help = "of a green one"},
	{"limit", FIELD_UINT, 0, PAINTED(limit), "4000", .initial_field = "colour",
		.initial_by = limits, .help = "by colour"},
	{"step", FIELD_ENUM, FIELD_WORKFLOW, PAINTED(step), "first", .values = steps,
		.help = "where it stands"},
	{"health", FIELD_STRING, FIELD_STATUS, PAINTED(health), .since = "0.2", .help = "how it is"},
	{"token", FIELD_SECRET, FIELD_HASH_ONLY, PAINTED(token), .help = "told once"},
};
static const struct noun painted_noun = {
	.id = NOUN_CUSTOMER,
	.name = "customer",
	.section = "customers",
	.parent = -1,
	.fields = {painted_fields, sizeof(painted_fields) / sizeof(painted_fields[0]),
		sizeof(struct painted_customer)},
	.help = "a customer with a colour",
};

#define NOUN_EXTERN(symbol, name) extern const struct noun name##_noun;
NOUN_LIST(NOUN_EXTERN)

#define customer_noun            painted_noun
#define NOUN_ENTRY(symbol, name) [NOUN_##symbol] = &name##_noun,
const struct noun *const nouns[NOUNS] = {NOUN_LIST(NOUN_ENTRY)};

static void test_everywhere(void **state)
{
	struct model_options options = {0};
	struct model *empty = model_create(&options);
	struct model *red = parse(empty, "version: 1\ncustomers:\n- name: acme\n"), *loaded = NULL;
	struct findings findings;

	// the default, and the parser of JSON
	assert_int_equal(((const struct painted_customer *)model_customer(red, "acme"))->colour, 0);
	struct model *green = change(red,
		"[{\"op\":\"set\",\"noun\":\"customer\",\"name\":\"acme\",\"fields\":{\"colour\":"
		"\"green\"}}]",
		&findings);
	assert_non_null(green);
	assert_null(change(red,
		"[{\"op\":\"set\",\"noun\":\"customer\",\"name\":\"acme\",\"fields\":{\"colour\":"
		"\"gren\"}}]",
		&findings));
	assert_non_null(strstr(findings.item[0].message, "did you mean \"green\""));
	assert_null(change(red,
		"[{\"op\":\"set\",\"noun\":\"customer\",\"name\":\"acme\",\"fields\":{\"color\":"
		"\"red\"}}]",
		&findings));
	assert_non_null(strstr(findings.item[0].hint, "colour"));
	// YAML both ways
	char *text = model_yaml(green);
	assert_string_equal(text, "version: 1\nobjects: 1\ncustomers:\n- name: acme\n  colour: "
				  "green\n  limit: 4000\n  step: first\nend: 1\n");
	struct model *same = parse(green, text);
	assert_ptr_equal(same, green);
	model_unref(same);
	free(text);
	// diff and digest
	assert_true(model_digest(red) != model_digest(green));
	struct model_diff *diff = model_diff(red, green);
	text = model_diff_text(diff);
	assert_string_equal(text, "~ customer acme colour red -> green (BGP session resets)\n");
	free(text);
	model_diff_free(diff);
	// the store's form
	json_t *json = object_json(model_find(green, NOUN_CUSTOMER, "acme"));
	text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text, "{\"name\":\"acme\",\"colour\":\"green\",\"limit\":4000,\"step\":\"first\"}");
	memset(&findings, 0, sizeof(findings));
	assert_int_equal(model_load(&options, &(struct model_source){"customer", "acme", text}, 1,
				 NULL, NULL, &loaded, &findings),
		0);
	assert_true(model_digest(loaded) == model_digest(green));
	free(text);
	json_decref(json);
	// what the outside is told
	json = schema_describe();
	json_t *field =
		json_array_get(json_object_get(json_object_get(json, "customer"), "fields"), 2);
	assert_string_equal(json_string_value(json_object_get(field, "name")), "colour");
	assert_string_equal(json_string_value(json_object_get(field, "default")), "red");
	assert_int_equal(json_array_size(json_object_get(field, "values")), 2);
	json_decref(json);
	json = schema_file();
	text = json_dumps(json, JSON_COMPACT);
	assert_non_null(
		strstr(text, "\"colour\":{\"type\":\"string\",\"enum\":[\"red\",\"green\"]"));
	free(text);
	json_decref(json);
	size_t size;
	FILE *out = open_memstream(&text, &size);
	schema_manual(&painted_noun, out);
	fclose(out);
	assert_non_null(strstr(text, "*colour*\n\tenum: _red_, _green_, default red. the one field "
				     "more. Changing it: BGP session resets."));
	free(text);
	model_unref(loaded);
	model_unref(green);
	model_unref(red);
	model_unref(empty);
}

#define CUSTOMER(op, fields) \
	"[{\"op\":\"" op "\",\"noun\":\"customer\",\"name\":\"acme\",\"fields\":{" fields "}}]"

static const struct painted_customer *acme(const struct model *model)
{
	return (const struct painted_customer *)model_customer(model, "acme");
}

// A field that is there with one value of another only; a default that goes by another field.
static void test_fields_that_depend(void **state)
{
	struct model_options options = {0};
	struct model *empty = model_create(&options);
	struct findings findings;

	assert_null(change(empty, CUSTOMER("create", "\"shade\":\"dark\""), &findings));
	assert_string_equal(findings.item[0].rule, "not-visible");
	struct model *red = change(empty, CUSTOMER("create", ""), &findings);
	assert_int_equal(acme(red)->limit, 4000);
	struct model *green = change(empty, CUSTOMER("create", "\"colour\":\"green\",\"shade\":\"dark\""), &findings);
	assert_int_equal(acme(green)->limit, 10000);
	char *text = model_yaml(green);
	assert_string_equal(text, "version: 1\nobjects: 1\ncustomers:\n- name: acme\n  colour: "
				  "green\n  shade: dark\n  step: first\nend: 1\n");
	struct model *same = parse(green, text);
	assert_ptr_equal(same, green);
	free(text);
	model_unref(same);
	// what it has goes first
	assert_null(change(green, CUSTOMER("set", "\"colour\":\"red\""), &findings));
	assert_string_equal(findings.item[0].rule, "not-visible");
	struct model *back = change(green, CUSTOMER("set", "\"colour\":\"red\",\"shade\":null,\"limit\":null"), &findings);
	assert_int_equal(acme(back)->limit, 4000);
	model_unref(back);
	model_unref(green);
	model_unref(red);
	model_unref(empty);
}

// A file that does not name where a workflow stands leaves it there; nobody sets what the system
// says; of a text that is told once a hash stays.
static void test_fields_of_other_classes(void **state)
{
	struct model_options options = {0};
	struct model *empty = model_create(&options);
	struct findings findings;

	assert_null(change(empty, CUSTOMER("create", "\"step\":\"second\""), &findings));
	assert_string_equal(findings.item[0].rule, "transition");
	struct model *first = change(empty, CUSTOMER("create", "\"token\":{\"value\":\"correct-horse\"}"), &findings);
	struct model *model = change(first, CUSTOMER("set", "\"step\":\"second\""), &findings);
	model_unref(first);
	struct model *applied = parse(model, "version: 1\ncustomers:\n- name: acme\n  description: ops\n");
	assert_int_equal(acme(applied)->step, 1);
	model_unref(applied);
	applied = parse(model, "version: 1\ncustomers:\n- name: acme\n  step: first\n");
	assert_int_equal(acme(applied)->step, 0);
	model_unref(applied);
	assert_null(change(model, CUSTOMER("set", "\"health\":\"good\""), &findings));
	assert_non_null(strstr(findings.item[0].message, "not to be set"));
	assert_int_equal(strlen(acme(model)->token.text), 3 + 64);
	assert_null(strstr(acme(model)->token.text, "horse"));
	// the same text again is the same secret
	struct model *same = change(model, CUSTOMER("set", "\"token\":{\"value\":\"correct-horse\"}"), &findings);
	assert_ptr_equal(same, model);
	model_unref(same);
	model_unref(model);
	model_unref(empty);
}

// Tables are written by hand: what can be wrong in one is caught here.
static void check_fields(const struct fields *fields, const struct noun *noun)
{
	char error[FIELD_ERROR_MAX];

	assert_true(fields->count <= 64);
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		assert_non_null(field->help);
		assert_ptr_equal(field_find(fields, field->name), field);
		assert_true(field->offset < fields->size);
		assert_true(field->kind != FIELD_ENUM || field->values);
		if (field->within)
			assert_non_null(field_find(fields, field->within));
		if (field->visible.field)
			assert_non_null(field_find(fields, field->visible.field));
		if (field->initial_field)
			assert_non_null(field_find(fields, field->initial_field));
		if (field->merge)
			assert_non_null(field_find(field->fields, field->merge));
		if (field->flags & FIELD_RAISE_ONLY)
			assert_int_equal(field->kind, FIELD_BANDWIDTH);
		if (field->initial) {
			uint64_t value[8] = {0};
			if (field_parse(field, field->initial, value, error))
				fail_msg("default of %s.%s: %s", noun->name, field->name, error);
			// free what a text default holds
			if (field->kind == FIELD_REFERENCE || field->kind == FIELD_NAME ||
				field->kind == FIELD_STRING)
				free(*(char **)value);
		}
		if (field->fields)
			check_fields(field->fields, noun);
	}
}

static void test_tables(void **state)
{
	for (unsigned int i = 0; i < NOUNS; i++) {
		assert_int_equal(nouns[i]->id, i);
		assert_ptr_equal(noun_find(nouns[i]->name), nouns[i]);
		check_fields(&nouns[i]->fields, nouns[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everywhere),
		cmocka_unit_test(test_fields_that_depend),
		cmocka_unit_test(test_fields_of_other_classes),
		cmocka_unit_test(test_tables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
