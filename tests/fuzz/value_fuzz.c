// SPDX-License-Identifier: BSD-3-Clause
// Every field of every noun, and of the structs in its lists, with any text: refused with a finding that
// names the object and is one line of UTF-8, or taken, and then shown as a text that means the same - by the
// verbs and in a file. As a test it makes texts near to right ones; with -Dfuzz=true it is a libFuzzer target.
//
// An input: which object, which field, then the text.

#include "control/api/text.h"
#include "control/model/schema_internal.h"
#include "tests/unit/model/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Fields that may be set; a struct's are given as the one element of their list.
struct place {
	const struct noun *noun;
	const struct field *list; // NULL: the object's own field
	const struct field *field;
};
static struct place places[512];
static unsigned int place_count;
static struct model *start;
static unsigned long taken, refused;

static void must(bool ok, const char *what, const struct place *place, const char *text)
{
	if (ok)
		return;
	fprintf(stderr, "value_fuzz: %s %s%s%s \"%s\": %s\n", place->noun->name,
		place->list ? place->list->name : "", place->list ? "." : "", place->field->name,
		text, what);
	abort();
}

static void find_places(void)
{
	struct model_options options = {.lab = true};

	start = model_create(&options);
	struct model *empty = start;
	start = parse(empty, base_yaml);
	model_unref(empty);
	for (unsigned int n = 0; n < NOUNS; n++) {
		for (unsigned int f = 0; f < nouns[n]->fields.count; f++) {
			const struct field *field = &nouns[n]->fields.item[f];
			const struct fields *within =
				field->kind == FIELD_LIST ? field->fields : NULL;
			places[place_count++] = (struct place){nouns[n], NULL, field};
			for (unsigned int e = 0; within && e < within->count; e++)
				places[place_count++] =
					(struct place){nouns[n], field, &within->item[e]};
		}
	}
}

static json_t *value_json(const struct place *place, const char *text)
{
	if (!place->list && place->field->kind == FIELD_LIST)
		return json_pack("[s]", text);
	if (!place->list && place->field->kind == FIELD_SECRET)
		return json_pack("{s:s}", "value", text);
	if (!place->list)
		return json_string(text);
	const struct fields *fields = place->list->fields;
	json_t *element = json_object();
	for (unsigned int i = 0; i < fields->count; i++)
		json_object_set_new(element, fields->item[i].name,
			json_string(&fields->item[i] == place->field
					    ? text
					    : field_kind_example(fields->item[i].kind)));
	return json_pack("[o]", element);
}

static void check_findings(
	const struct findings *findings, const struct place *place, const char *text)
{
	must(findings->count > 0, "refused without a word", place, text);
	for (unsigned int i = 0; i < findings->count; i++) {
		const struct finding *f = &findings->item[i];
		must(f->message[0] && f->rule && f->path[0], "no sentence, rule or object", place,
			text);
		must(api_text_valid(f->message) && api_text_valid(f->hint) &&
				api_text_valid(f->path) && !strchr(f->message, '\n'),
			"not a line of UTF-8", place, text);
	}
	json_t *json = findings_json(findings);
	must(json_array_size(json) == findings->count, "lost on its way to JSON", place, text);
	json_decref(json);
}

// What was taken, as a file, is the same; and what is shown of it is valid.
static void check_taken(const struct model *model, const struct place *place, const char *text)
{
	struct findings findings = {0};
	struct model *again = NULL;
	char *yaml = model_yaml(model);

	must(yaml && api_text_valid(yaml), "cannot be shown", place, text);
	must(model_parse(model, yaml, strlen(yaml), "again", &again, &findings) == 0,
		findings.item[0].message, place, text);
	must(model_digest(again) == model_digest(model), "does not mean the same again", place,
		text);
	free(yaml);
	model_unref(again);
}

static void by_verb(const struct place *place, const char *name, const char *text)
{
	json_t *value = value_json(place, text), *changes;
	struct findings findings = {0};
	struct model *model = NULL;

	if (!value) // no text of JSON
		return;
	changes = json_pack("[{s:s, s:s, s:s, s:{s:o}}]", "op", "ensure", "noun", place->noun->name,
		"name", name, "fields", place->list ? place->list->name : place->field->name,
		value);
	int rc = model_change(start, changes, &model, &findings);
	if (rc)
		check_findings(&findings, place, text);
	else
		check_taken(model, place, text);
	taken += !rc;
	refused += !!rc;
	json_decref(changes);
	model_unref(model);
}

// The bytes as they are, where the file has a circuit's bandwidth.
static void by_file(const struct place *place, const uint8_t *bytes, size_t size)
{
	static const char here[] = "bandwidth: 50mbps";
	const char *at = strstr(base_yaml, here);
	size_t before = (size_t)(at - base_yaml) + 11;
	char file[sizeof(base_yaml) + 1024];
	struct findings findings = {0};
	struct model *model = NULL;

	memcpy(file, base_yaml, before);
	memcpy(file + before, bytes, size);
	size_t rest = strlen(at + sizeof(here) - 1);
	memcpy(file + before + size, at + sizeof(here) - 1, rest);
	if (model_parse(start, file, before + size + rest, "fuzz", &model, &findings)) {
		must(findings.count > 0, "refused without a word", place, "");
		char *shown = findings_text(&findings, "fuzz");
		must(shown && api_text_valid(shown), "not UTF-8", place, "");
		free(shown);
	}
	model_unref(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[512];

	if (!start)
		find_places();
	if (size < 3 || size - 3 >= sizeof(text))
		return 0;
	const struct place *place = &places[(data[0] * 256u + data[1]) % place_count];
	memcpy(text, data + 3, size - 3);
	text[size - 3] = '\0';
	by_file(place, data + 3, size - 3);
	unsigned int count = model_count(start, place->noun->id);
	const struct object *object =
		count ? model_at(start, place->noun->id, data[2] % count) : NULL;
	by_verb(place, object && data[2] < 192 ? object->name : text, text);
	return 0;
}

#ifndef FUZZ_ENGINE
// What such a field may hold.
static const char *right_text(const struct field *field)
{
	enum field_kind kind = field->kind == FIELD_LIST ? field->element : field->kind;
	unsigned int values = 0;

	while (kind == FIELD_ENUM && field->values[values])
		values++;
	if (values)
		return field->values[(unsigned int)rand() % values];
	if (kind == FIELD_REFERENCE && model_count(start, field->target))
		return model_at(start, field->target,
			(unsigned int)rand() % model_count(start, field->target))
			->name;
	return field->initial && rand() % 2 ? field->initial : field_kind_example(kind);
}

static size_t make_text(const struct field *field, char text[256])
{
	static const char *const near_right[] = {"2.5gbps", "100mbps", "5ms", "90s", "4294967295",
		"-64", "65001", "1500", "true", "acme", "acme-prod", "ams1", "wan0", "88a8",
		"192.0.2.1", "10.1.0.0/16", "2001:db8::/48", "169.254.10.8/30", "primary",
		"private", "00000000-0000-4000-8000-00000000000a", "down", "acme-ams-01/private",
		""};
	static const char *const pieces[] = {"0", "9", ".", ":", "/", "-", "a", "G", " ", "\n",
		"\x1b[", "\xc3\xa9", "\xc3", "\xff", "\xe2\x82", "\xf0\x9f\x98\x80", "\xc2\x9b",
		"\"", "{", ",", "=", "e", "00", "\xef\xbb\xbf"};
	size_t length = (size_t)snprintf(text, 256, "%s",
		rand() % 2 ? right_text(field)
			   : near_right[(size_t)rand() %
					(sizeof(near_right) / sizeof(near_right[0]))]);

	for (int changes = rand() % 4; changes > 0; changes--) {
		const char *piece = pieces[(size_t)rand() % (sizeof(pieces) / sizeof(pieces[0]))];
		size_t at = length ? (size_t)rand() % (length + 1) : 0, size = strlen(piece);
		for (int repeat = rand() % 8 ? 1 : rand() % 100; repeat > 0 && length + size < 255;
			repeat--) {
			memmove(text + at + size, text + at, length - at + 1);
			memcpy(text + at, piece, size);
			length += size;
		}
	}
	return length;
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : 100;

	srand(random_seed());
	find_places();
	// Each field as often.
	for (unsigned int round = 0; round < rounds * place_count; round++) {
		uint8_t input[3 + 256] = {(uint8_t)(round % place_count / 256),
			(uint8_t)(round % place_count % 256), (uint8_t)rand()};
		size_t length = make_text(places[round % place_count].field, (char *)input + 3);
		LLVMFuzzerTestOneInput(input, 3 + length);
	}
	printf("%u fields, %lu taken, %lu refused\n", place_count, taken, refused);
	model_unref(start);
	return taken < place_count || refused < place_count;
}
#endif
