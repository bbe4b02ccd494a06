// SPDX-License-Identifier: BSD-3-Clause
// Objects as JSON and the whole model as YAML. Both are valid input again. JSON shows every field that is
// set, YAML leaves out those that have their default; secrets show as {keep: fingerprint}.

#include "control/model/model_internal.h"

#include <jansson.h>
#include <yaml.h>

#include <stdlib.h>
#include <string.h>

json_t *field_json(const struct field *field, const void *value)
{
	char text[FIELD_TEXT_MAX];

	switch (field->kind) {
	case FIELD_UINT:
	case FIELD_ASN:
		return json_integer(*(const uint32_t *)value);
	case FIELD_INT:
		return json_integer(*(const int32_t *)value);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)value);
	case FIELD_SECRET:
		return json_pack("{s:s}", "keep", ((const struct secret *)value)->fingerprint);
	case FIELD_STRUCT:
		return fields_json(field->fields, value);
	case FIELD_LIST: {
		const struct list *list = value;
		struct field element = field_element(field);
		size_t size = field_element_size(field);
		json_t *array = json_array();
		for (unsigned int i = 0; i < list->count; i++)
			json_array_append_new(
				array, field_json(&element, (char *)list->item + i * size));
		return array;
	}
	default:
		return json_string(field_format(field, value, text));
	}
}

json_t *fields_json(const struct fields *fields, const void *object)
{
	json_t *json = json_object();

	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		const void *value = field_at(field, object);
		if (!field_is_unset(field, value) && field_is_visible(fields, field, object))
			json_object_set_new_nocheck(json, field->name, field_json(field, value));
	}
	return json;
}

// --- YAML ----------------------------------------------------------------------------------------------

struct writer {
	yaml_emitter_t emitter;
	char *text;
	size_t length, room;
	bool failed;
};

static int append(void *ctx, unsigned char *bytes, size_t size)
{
	struct writer *writer = ctx;

	if (writer->length + size + 1 > writer->room) {
		size_t room = (writer->length + size + 1) * 2;
		char *text = realloc(writer->text, room);
		if (!text)
			return 0;
		writer->text = text;
		writer->room = room;
	}
	memcpy(writer->text + writer->length, bytes, size);
	writer->length += size;
	writer->text[writer->length] = '\0';
	return 1;
}

static void emit(struct writer *writer, yaml_event_t *event, int made)
{
	if (writer->failed || !made || !yaml_emitter_emit(&writer->emitter, event))
		writer->failed = true;
}

static void emit_text(struct writer *writer, const char *text, bool quoted)
{
	yaml_event_t event;
	int made = yaml_scalar_event_initialize(&event, NULL, NULL,
		(const yaml_char_t *)(uintptr_t)text, (int)strlen(text), 1, 1,
		quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE);

	emit(writer, &event, made);
}

static void emit_map(struct writer *writer, bool flow)
{
	yaml_event_t event;
	int made = yaml_mapping_start_event_initialize(
		&event, NULL, NULL, 1, flow ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE);

	emit(writer, &event, made);
}

static void emit_map_end(struct writer *writer)
{
	yaml_event_t event;
	int made = yaml_mapping_end_event_initialize(&event);

	emit(writer, &event, made);
}

static void emit_list(struct writer *writer, bool flow)
{
	yaml_event_t event;
	int made = yaml_sequence_start_event_initialize(
		&event, NULL, NULL, 1, flow ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE);

	emit(writer, &event, made);
}

static void emit_list_end(struct writer *writer)
{
	yaml_event_t event;
	int made = yaml_sequence_end_event_initialize(&event);

	emit(writer, &event, made);
}

// Our reader takes its types from the schema, others guess: a text or name that looks like a number, a boolean
// or null to them is quoted.
static bool misleading(const char *text)
{
	static const char *const words[] = {
		"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", NULL};

	for (unsigned int i = 0; words[i]; i++) {
		if (!strcasecmp(text, words[i]))
			return true;
	}
	return text[0] == '\0' || strspn(text, "0123456789.eE+-:_xXoO") == strlen(text);
}

static void write_fields(struct writer *writer, const struct fields *fields, const void *object,
	const char *implied);

static void write_value(struct writer *writer, const struct field *field, const void *value)
{
	char buffer[FIELD_TEXT_MAX];

	switch (field->kind) {
	case FIELD_LIST: {
		const struct list *list = value;
		struct field element = field_element(field);
		size_t size = field_element_size(field);
		emit_list(writer, field->element != FIELD_STRUCT);
		for (unsigned int i = 0; i < list->count; i++)
			write_value(writer, &element, (char *)list->item + i * size);
		emit_list_end(writer);
		break;
	}
	case FIELD_STRUCT:
		emit_map(writer, true);
		write_fields(writer, field->fields, value, NULL);
		emit_map_end(writer);
		break;
	case FIELD_SECRET:
		emit_map(writer, true);
		emit_text(writer, "keep", false);
		emit_text(writer, field_format(field, value, buffer), true);
		emit_map_end(writer);
		break;
	default: {
		const char *text = field_format(field, value, buffer);
		bool word = field->kind == FIELD_NAME || field->kind == FIELD_STRING ||
			    field->kind == FIELD_REFERENCE || field->kind == FIELD_ETHERTYPE;
		emit_text(writer, text, word && misleading(text));
	}
	}
}

static void write_fields(
	struct writer *writer, const struct fields *fields, const void *object, const char *implied)
{
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		const void *value = field_at(field, object);
		if (implied && !strcmp(field->name, implied))
			continue;
		bool must = field->flags & (FIELD_KEY | FIELD_REQUIRED | FIELD_WORKFLOW);
		struct field by = *field;
		by.initial = field_default_of(fields, field, object);
		if (field->flags & FIELD_STATUS || !field_is_visible(fields, field, object) ||
			(!must && (field_is_unset(field, value) || field_is_initial(&by, value))))
			continue;
		emit_text(writer, field->name, false);
		write_value(writer, field, value);
	}
}

// The name of the field of a child noun that its place in the file says.
static const char *implied_field(const struct noun *noun)
{
	for (unsigned int i = 0; noun->parent >= 0 && i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		if (field->kind == FIELD_REFERENCE && field->flags & FIELD_KEY &&
			(int)field->target == noun->parent)
			return field->name;
	}
	return NULL;
}

static void write_section(struct writer *writer, const struct model *model, const struct noun *noun,
	const struct object *parent)
{
	unsigned int i = parent ? model_first_child(model, noun->id, parent->name) : 0;
	const struct object *object;
	bool any = false;

	for (;; i++) {
		object = parent ? model_child_at(model, noun->id, parent->name, i)
				: model_at(model, noun->id, i);
		if (!object)
			break;
		if (!any) {
			emit_text(writer, noun->section, false);
			emit_list(writer, false);
			any = true;
		}
		emit_map(writer, false);
		write_fields(writer, &noun->fields, object, implied_field(noun));
		for (unsigned int child = 0; child < NOUNS; child++) {
			if (nouns[child]->parent == (int)noun->id)
				write_section(writer, model, nouns[child], object);
		}
		emit_map_end(writer);
	}
	if (any)
		emit_list_end(writer);
}

char *model_yaml(const struct model *model)
{
	struct writer writer = {0};
	yaml_event_t event;
	unsigned int objects = 0;
	char count[16];

	if (!yaml_emitter_initialize(&writer.emitter))
		return NULL;
	yaml_emitter_set_output(&writer.emitter, append, &writer);
	yaml_emitter_set_unicode(&writer.emitter, 1);
	yaml_emitter_set_width(&writer.emitter, 200);
	int made = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
	emit(&writer, &event, made);
	made = yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
	emit(&writer, &event, made);
	emit_map(&writer, false);
	emit_text(&writer, "version", false);
	emit_text(&writer, "1", false);
	for (unsigned int noun = 0; noun < NOUNS; noun++)
		objects += model_count(model, noun);
	snprintf(count, sizeof(count), "%u", objects);
	emit_text(&writer, FILE_COUNT, false);
	emit_text(&writer, count, false);
	for (unsigned int noun = 0; noun < NOUNS; noun++) {
		if (nouns[noun]->parent < 0)
			write_section(&writer, model, nouns[noun], NULL);
	}
	emit_text(&writer, FILE_END, false);
	emit_text(&writer, count, false);
	emit_map_end(&writer);
	made = yaml_document_end_event_initialize(&event, 1);
	emit(&writer, &event, made);
	made = yaml_stream_end_event_initialize(&event);
	emit(&writer, &event, made);
	yaml_emitter_delete(&writer.emitter);
	if (writer.failed) {
		free(writer.text);
		return NULL;
	}
	return writer.text;
}
