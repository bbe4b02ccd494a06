// SPDX-License-Identifier: BSD-3-Clause
// What the outside is told about the tables of fields: rpc.describe (from which culvertctl takes its flags,
// completion and help), JSON Schema for editors and automation, and the manual's tables.

#include "control/model/schema_internal.h"

#include <jansson.h>

#include <string.h>

const struct noun *noun_find(const char *name)
{
	for (unsigned int i = 0; i < NOUNS; i++) {
		if (!strcmp(nouns[i]->name, name))
			return nouns[i];
	}
	return NULL;
}

static json_t *texts_json(const char *const *texts)
{
	json_t *values = json_array();

	for (; texts && *texts; texts++)
		json_array_append_new(values, json_string(*texts));
	return values;
}

static json_t *values_json(const struct field *field)
{
	return texts_json(field->values);
}

static json_t *defaults_json(const struct field *field)
{
	json_t *values = json_object();

	for (const struct field_default *by = field->initial_by; by->value; by++)
		json_object_set_new(values, by->value, json_string(by->initial));
	return json_pack("{s:s, s:o}", "field", field->initial_field, "values", values);
}

static json_t *flags_json(const struct field *field)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} flags[] = {
		{FIELD_KEY, "key"},
		{FIELD_IMMUTABLE, "immutable"},
		{FIELD_RAISE_ONLY, "raise-only"},
		{FIELD_REQUIRED, "required"},
		{FIELD_GENERATED, "generated"},
		{FIELD_HASH_ONLY, "hash-only"},
		{FIELD_WORKFLOW, "workflow"},
		{FIELD_STATUS, "status"},
	};
	json_t *array = json_array();

	for (unsigned int i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (field->flags & flags[i].flag)
			json_array_append_new(array, json_string(flags[i].name));
	}
	if (field->kind == FIELD_SECRET)
		json_array_append_new(array, json_string("secret"));
	return array;
}

// An element of a list changes what its list changes.
static enum effect effect_of(const struct field *field, const struct field *list)
{
	return list ? list->effect : field->effect;
}

static json_t *fields_of_list(const struct fields *fields, const struct field *list);

static json_t *field_describe(const struct field *field, const struct field *list)
{
	enum field_kind shown = field->kind == FIELD_LIST ? field->element : field->kind;
	json_t *json = json_pack("{s:s, s:s, s:s, s:o, s:s, s:s}", "name", field->name, "kind",
		field_kind_name(field->kind), "example", field_kind_example(shown), "flags",
		flags_json(field), "effect", effect_text(effect_of(field, list)), "help",
		field->help ? field->help : "");

	if (field->initial)
		json_object_set_new(json, "default", json_string(field->initial));
	if (field->values)
		json_object_set_new(json, "values", values_json(field));
	if (field->min || field->max) {
		json_object_set_new(json, "min", json_integer(field->min));
		json_object_set_new(json, "max", json_integer(field->max));
	}
	if (shown == FIELD_REFERENCE) {
		json_object_set_new(json, "target", json_string(nouns[field->target]->name));
		if (field->within)
			json_object_set_new(json, "within", json_string(field->within));
		json_object_set_new(json, "on-delete",
			json_string(field->on_delete == ON_DELETE_CASCADE ? "cascade" : "refuse"));
	}
	if (field->visible.field)
		json_object_set_new(json, "visible-when",
			json_pack("{s:s, s:o}", "field", field->visible.field, "values",
				texts_json(field->visible.values)));
	if (field->initial_field)
		json_object_set_new(json, "default-by", defaults_json(field));
	if (field->since)
		json_object_set_new(json, "since", json_string(field->since));
	if (field->merge)
		json_object_set_new(json, "merge", json_string(field->merge));
	if (field->kind == FIELD_LIST)
		json_object_set_new(json, "element", json_string(field_kind_name(field->element)));
	if (shown == FIELD_STRUCT)
		json_object_set_new(json, "fields", fields_of_list(field->fields, field));
	return json;
}

static json_t *fields_of_list(const struct fields *fields, const struct field *list)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < fields->count; i++)
		json_array_append_new(array, field_describe(&fields->item[i], list));
	return array;
}

static json_t *fields_describe(const struct fields *fields)
{
	return fields_of_list(fields, NULL);
}

// --- JSON Schema ---------------------------------------------------------------------------------------

static json_t *secret_schema(void)
{
	static const char *const ways[] = {"file", "credential", "keep", "value"};
	json_t *properties = json_object();

	for (unsigned int i = 0; i < 4; i++)
		json_object_set_new(properties, ways[i], json_pack("{s:s}", "type", "string"));
	return json_pack("{s:s, s:o, s:b, s:i, s:i}", "type", "object", "properties", properties,
		"additionalProperties", 0, "minProperties", 1, "maxProperties", 1);
}

static const char *pattern_of(enum field_kind kind)
{
	switch (kind) {
	case FIELD_NAME:
	case FIELD_REFERENCE:
		return "^[a-z0-9][a-z0-9-]{0,62}$";
	case FIELD_BANDWIDTH:
		return "^[0-9]+(\\.[0-9]+)?([kmgtKMGT]?[bB][pP][sS])$";
	case FIELD_DURATION:
		return "^[0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h)$";
	case FIELD_SIZE:
		return "^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB)$";
	case FIELD_PREFIX:
	case FIELD_HOST:
		return "^[0-9a-fA-F:.]+/[0-9]{1,3}$";
	case FIELD_ADDRESS:
		return "^[0-9a-fA-F:.]+$";
	case FIELD_UUID:
		return "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
	case FIELD_MAC:
		return "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$";
	default:
		return NULL;
	}
}

static json_t *fields_schema(const struct fields *fields);

static json_t *value_schema(const struct field *field)
{
	json_t *json;

	switch (field->kind) {
	case FIELD_LIST: {
		struct field element = field_element(field);
		return json_pack("{s:s, s:o}", "type", "array", "items", value_schema(&element));
	}
	case FIELD_STRUCT:
		return fields_schema(field->fields);
	case FIELD_SECRET:
		return secret_schema();
	case FIELD_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case FIELD_ENUM:
		return json_pack("{s:s, s:o}", "type", "string", "enum", values_json(field));
	case FIELD_ETHERTYPE: // 8100 is an integer to a YAML reader without a schema
		return json_pack("{s:[s, s]}", "type", "string", "integer");
	case FIELD_UINT:
	case FIELD_INT:
	case FIELD_ASN:
		json = json_pack("{s:s}", "type", "integer");
		if (field->min || field->max) {
			json_object_set_new(json, "minimum", json_integer(field->min));
			json_object_set_new(json, "maximum", json_integer(field->max));
		}
		return json;
	default:
		json = json_pack("{s:s}", "type", "string");
		if (pattern_of(field->kind))
			json_object_set_new(json, "pattern", json_string(pattern_of(field->kind)));
		return json;
	}
}

static json_t *object_schema(const struct fields *fields, const struct noun *noun, bool nested)
{
	json_t *properties = json_object(), *required = json_array();

	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		bool from_place = nested && noun->parent >= 0 && field->flags & FIELD_KEY &&
				  field->kind == FIELD_REFERENCE &&
				  (int)field->target == noun->parent;
		json_t *value = value_schema(field);
		if (field->help)
			json_object_set_new(value, "description", json_string(field->help));
		if (field->initial)
			json_object_set_new(value, "default", json_string(field->initial));
		json_object_set_new(properties, field->name, value);
		if (field->flags & (FIELD_KEY | FIELD_REQUIRED) && !field->initial && !from_place &&
			!field->visible.field)
			json_array_append_new(required, json_string(field->name));
	}
	for (unsigned int i = 0; nested && i < NOUNS; i++) {
		if (nouns[i]->parent == (int)noun->id)
			json_object_set_new(properties, nouns[i]->section,
				json_pack("{s:s, s:o}", "type", "array", "items",
					object_schema(&nouns[i]->fields, nouns[i], true)));
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties,
		"required", required, "additionalProperties", 0);
}

static json_t *fields_schema(const struct fields *fields)
{
	return object_schema(fields, NULL, false);
}

json_t *schema_file(void)
{
	json_t *properties = json_pack("{s:{s:i}}", "version", "const", 1);

	for (unsigned int i = 0; i < NOUNS; i++) {
		if (nouns[i]->parent < 0)
			json_object_set_new(properties, nouns[i]->section,
				json_pack("{s:s, s:o}", "type", "array", "items",
					object_schema(&nouns[i]->fields, nouns[i], true)));
	}
	return json_pack("{s:s, s:s, s:s, s:o, s:[s], s:b}", "$schema",
		"https://json-schema.org/draft/2020-12/schema", "title", "Culvert configuration",
		"type", "object", "properties", properties, "required", "version",
		"additionalProperties", 0);
}

json_t *schema_describe(void)
{
	json_t *json = json_object();

	for (unsigned int i = 0; i < NOUNS; i++) {
		const struct noun *noun = nouns[i];
		json_t *key = json_array(), *rules = json_array();
		for (unsigned int f = 0; f < noun->fields.count; f++) {
			if (noun->fields.item[f].flags & FIELD_KEY)
				json_array_append_new(key, json_string(noun->fields.item[f].name));
		}
		for (const struct rule *rule = noun->rules; rule && rule->name; rule++)
			json_array_append_new(rules,
				json_pack("{s:s, s:s}", "name", rule->name, "help", rule->help));
		json_t *described =
			json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "help", noun->help, "section",
				noun->section, "key", key, "fields", fields_describe(&noun->fields),
				"rules", rules, "schema", fields_schema(&noun->fields));
		if (noun->parent >= 0)
			json_object_set_new(
				described, "parent", json_string(nouns[noun->parent]->name));
		json_object_set_new(json, noun->name, described);
	}
	return json;
}

// --- the manual ----------------------------------------------------------------------------------------

static void manual_dependence(const struct field *field, FILE *out)
{
	for (const struct field_default *by = field->initial_by; by && by->value; by++)
		fprintf(out, ", default %s with %s %s", by->initial, field->initial_field,
			by->value);
	for (const char *const *value = field->visible.values; value && *value; value++)
		fprintf(out, "%s%s", value == field->visible.values ? ", only with " : " or ",
			*value);
	if (field->visible.field)
		fprintf(out, " as %s", field->visible.field);
	if (field->flags & FIELD_WORKFLOW)
		fprintf(out, ", kept when a file leaves it out");
	if (field->flags & FIELD_STATUS)
		fprintf(out, ", told by the system");
	if (field->since)
		fprintf(out, ", since %s", field->since);
}

static void manual_fields(const struct fields *fields, const char *prefix, const struct field *list,
	FILE *out)
{
	char deeper[128], range[64];

	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		bool many = field->kind == FIELD_LIST;
		fprintf(out, "*%s%s*\n\t", prefix, field->name);
		if (many)
			fprintf(out, "list of ");
		fprintf(out, "%s", field_kind_name(many ? field->element : field->kind));
		for (unsigned int v = 0; field->values && field->values[v]; v++)
			fprintf(out, "%s_%s_", v ? ", " : ": ", field->values[v]);
		if (field->min || field->max)
			fprintf(out, " %s", field_range(field, range, sizeof(range)));
		if (field->flags & (FIELD_KEY | FIELD_REQUIRED) && !field->initial)
			fprintf(out, ", required");
		if (field->flags & (FIELD_KEY | FIELD_IMMUTABLE))
			fprintf(out, ", fixed");
		if (field->flags & FIELD_RAISE_ONLY)
			fprintf(out, ", raise only");
		if (field->initial)
			fprintf(out, ", default %s", field->initial);
		manual_dependence(field, out);
		fprintf(out, ". %s. Changing it: %s.\n\n", field->help ? field->help : "",
			effect_text(effect_of(field, list)));
		if (field->fields) {
			snprintf(deeper, sizeof(deeper), "%s%s.", prefix, field->name);
			manual_fields(field->fields, deeper, field, out);
		}
	}
}

void schema_manual(const struct noun *noun, FILE *out)
{
	fprintf(out, "## %s\n\nA list, ", noun->section);
	if (noun->parent >= 0)
		fprintf(out, "inside each of *%s*", nouns[noun->parent]->section);
	else
		fprintf(out, "at the top of the file");
	fprintf(out, "; the objects of *culvertctl %s*: %s.\n\n", noun->name, noun->help);
	manual_fields(&noun->fields, "", NULL, out);
	for (const struct rule *rule = noun->rules; rule && rule->name; rule++)
		fprintf(out, "%s- %s (_%s_)\n", rule == noun->rules ? "Rules:\n\n" : "", rule->help,
			rule->name);
	fprintf(out, "\n");
}
