// SPDX-License-Identifier: BSD-3-Clause
// A tree (YAML or JSON) into the struct of a noun, by its table of fields. Goes on after an error,
// so that a file's mistakes are shown together; the caller throws the object away when there was
// any.

#include "control/model/model_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 4096u // elements of one list

struct finding *reader_complain(struct reader *reader, const char *rule, const struct place *place,
	const char *field, const char *format, ...)
{
	char message[sizeof(((struct finding *)0)->message)];
	char path[sizeof(reader->path) + 80];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	snprintf(path, sizeof(path), "%s%s%.64s", reader->path,
		reader->path[0] && field[0] ? ": " : "", field);
	struct finding *finding = finding_add(reader->findings, rule, path, "", "%s", message);
	// Looking for the line reads the file from its beginning: not for what nobody sees.
	if (reader->source && reader->findings->more == 0)
		finding_place(finding, reader->source, place);
	return finding;
}

void hint_names(const struct reader *reader, struct finding *finding, const char *word,
	const char *const *names)
{
	const char *near = reader->findings->more ? NULL : did_you_mean(word, names);
	char list[sizeof(finding->hint)] = "";
	size_t used = 0;

	if (near) {
		finding_hint(finding, "did you mean \"%s\"?", near);
		return;
	}
	for (; *names && used + strlen(*names) + 16 < sizeof(list); names++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", *names);
	finding_hint(finding, "there are: %s%s", list, *names ? ", .." : "");
}

static void unknown_key(struct reader *reader, const struct fields *fields, const struct noun *noun,
	const struct tree *member)
{
	const char *names[96];
	unsigned int count = 0;

	for (unsigned int i = 0; i < fields->count; i++)
		names[count++] = fields->item[i].name;
	for (unsigned int i = 0; i < NOUNS && noun; i++) {
		if (nouns[i]->parent == (int)noun->id)
			names[count++] = nouns[i]->section;
	}
	names[count] = NULL;
	struct finding *finding = reader_complain(reader, "unknown-key", &member->key_place,
		member->key, "unknown key \"%.64s\"%s%s", member->key,
		reader->what[0] ? " in " : "", reader->what);
	hint_names(reader, finding, member->key, names);
}

void reader_wrong_value(struct reader *reader, const struct field *field, const struct tree *tree,
	const char *error)
{
	reader_complain(reader, "value", &tree->place, field->name, "%s%s%s: %s%.80s%s%s",
		field->name, reader->what[0] ? " of " : "", reader->what, tree->text ? "\"" : "",
		tree->text ? tree->text : "", tree->text ? "\" " : "", error);
}

// --- values --------------------------------------------------------------------------------------------

static void value_read(struct reader *reader, const struct field *field, const struct tree *tree,
	void *value, const void *old);

static void struct_read(
	struct reader *reader, const struct field *field, const struct tree *tree, void *value)
{
	uint64_t given = 0;

	if (tree->type != TREE_MAP) {
		reader_wrong_value(reader, field, tree, "must be a map of fields");
		return;
	}
	fields_read(reader, field->fields, tree, value, NULL, NULL, &given);
	fields_require(reader, field->fields, tree, value, given);
}

// The key of a map's element is its first field.
static void map_key(
	struct reader *reader, const struct fields *fields, const struct tree *item, void *value)
{
	const struct field *first = &fields->item[0];
	char error[FIELD_ERROR_MAX];

	int rc = field_parse(first, item->key, field_at(first, value), error);
	if (rc == -ENOMEM)
		reader->failed = true;
	else if (rc)
		reader_complain(reader, "value", &item->key_place, first->name, "\"%.80s\" %s",
			item->key, error);
}

// --- elements that come and go -----------------------------------------------------------------------------

// Index of the element of the list that is the same one: by the merge key if there is one, else by
// value.
static unsigned int element_of(
	const struct field *field, const struct list *list, const void *element)
{
	const struct field *key = field->merge ? field_find(field->fields, field->merge) : NULL;
	struct field whole = field_element(field);
	size_t size = field_element_size(field);
	unsigned int i = 0;

	for (; i < list->count; i++) {
		const void *mine = (char *)list->item + i * size;
		if (key ? field_equal(key, field_at(key, mine), field_at(key, element))
			: field_equal(&whole, mine, element))
			break;
	}
	return i;
}

// Another one has the key: which one is meant is not for us to guess.
static void element_there(struct reader *reader, const struct field *field, const struct tree *tree,
	const void *element)
{
	const struct field *key = field_find(field->fields, field->merge);
	char buffer[FIELD_TEXT_MAX];
	const char *value = field_format(key, field_at(key, element), buffer);

	finding_hint(
		reader_complain(reader, "element-there", &tree->place, field->name,
			"%s%s%s has an element with %s %s already, and it is another", field->name,
			reader->what[0] ? " of " : "", reader->what, key->name, value),
		"to replace it, in the same change: --remove-%s %s", field->name, value);
}

// Takes over what element owns. One that is there as it is stays.
static void element_add(struct reader *reader, const struct field *field, const struct tree *tree,
	struct list *list, void *element)
{
	struct field whole = field_element(field);
	size_t size = field_element_size(field);
	unsigned int at = element_of(field, list, element);

	if (at < list->count) {
		if (!field_equal(&whole, (char *)list->item + at * size, element))
			element_there(reader, field, tree, element);
		field_free(&whole, element);
		return;
	}
	void *item = realloc(list->item, (list->count + 1) * size);
	if (!item) {
		field_free(&whole, element);
		reader->failed = true;
		return;
	}
	list->item = item;
	memcpy((char *)list->item + list->count++ * size, element, size);
}

static void element_remove(struct reader *reader, const struct field *field,
	const struct tree *tree, struct list *list, const void *element)
{
	struct field whole = field_element(field);
	size_t size = field_element_size(field);
	unsigned int at = element_of(field, list, element);

	if (at == list->count) {
		reader_wrong_value(reader, field, tree, "is not in the list");
		return;
	}
	field_free(&whole, (char *)list->item + at * size);
	memmove((char *)list->item + at * size, (char *)list->item + (at + 1) * size,
		(list->count - at - 1) * size);
	if (--list->count == 0) {
		free(list->item);
		list->item = NULL;
	}
}

// One element to add, or enough of one to find it: of a struct the merge key, as {key: value} or as
// the value alone.
static bool element_read(struct reader *reader, const struct field *field, const struct tree *item,
	bool remove, void *element)
{
	struct field whole = field_element(field);
	unsigned int before = reader->findings->count + reader->findings->more;
	const struct field *key = field->merge ? field_find(field->fields, field->merge) : NULL;
	uint64_t given = 0;

	if (!remove || !key) {
		if (field->element == FIELD_STRUCT && fields_initial(field->fields, element))
			reader->failed = true;
		value_read(reader, &whole, item, element, NULL);
	} else if (item->type == TREE_MAP) {
		fields_read(reader, field->fields, item, element, NULL, NULL, &given);
		if (!(given & UINT64_C(1) << (key - field->fields->item)))
			reader_wrong_value(reader, field, item, "does not say which");
	} else {
		value_read(reader, key, item, field_at(key, element), NULL);
	}
	return reader->findings->count + reader->findings->more == before;
}

static bool is_edit(const struct reader *reader, const struct field *field, const struct tree *tree)
{
	if (reader->from_file || reader->stored || field->flags & FIELD_MAP ||
		tree->type != TREE_MAP || tree->count == 0)
		return false;
	for (const struct tree *part = tree->child; part; part = part->next) {
		if ((strcmp(part->key, "add") && strcmp(part->key, "remove")) ||
			part->type != TREE_LIST)
			return false;
	}
	return true;
}

// {"add": [...], "remove": [...]} against what the list was; what goes goes first.
static void list_edit(struct reader *reader, const struct field *field, const struct tree *tree,
	struct list *list, const struct list *old)
{
	struct field whole = field_element(field);
	uint64_t element[64];

	if (field_element_size(field) > sizeof(element)) {
		reader_wrong_value(reader, field, tree, "must be a list");
		return;
	}
	if (old && field_copy(field, list, old))
		reader->failed = true;
	for (int pass = 0; pass < 2; pass++) {
		for (const struct tree *part = tree->child; part; part = part->next) {
			bool remove = !strcmp(part->key, "remove");
			for (const struct tree *item = part->child; item && remove == !pass;
				item = item->next) {
				memset(element, 0, sizeof(element));
				bool right = element_read(reader, field, item, remove, element);
				if (right && remove)
					element_remove(reader, field, item, list, element);
				if (right && !remove)
					element_add(reader, field, item, list, element);
				else
					field_free(&whole, element);
			}
		}
	}
	if (list->count > LIST_MAX)
		reader_wrong_value(reader, field, tree, "has too many elements");
}

static void list_read(struct reader *reader, const struct field *field, const struct tree *tree,
	struct list *list, const struct list *old)
{
	struct field element = field_element(field);
	size_t size = field_element_size(field);
	char what[sizeof(reader->what)];

	if (is_edit(reader, field, tree)) {
		list_edit(reader, field, tree, list, old);
		return;
	}
	bool map = field->flags & FIELD_MAP;
	if (tree->type != (map ? TREE_MAP : TREE_LIST)) {
		reader_wrong_value(reader, field, tree, map ? "must be a map" : "must be a list");
		return;
	}
	if (tree->count > LIST_MAX) {
		reader_wrong_value(reader, field, tree, "has too many elements");
		return;
	}
	if (tree->count == 0)
		return;
	list->item = calloc(tree->count, size);
	if (!list->item) {
		reader->failed = true;
		return;
	}
	memcpy(what, reader->what, sizeof(what));
	for (const struct tree *item = tree->child; item; item = item->next) {
		if (map)
			snprintf(reader->what, sizeof(reader->what), "%s.%.64s", field->name,
				item->key);
		else if (field->element == FIELD_STRUCT)
			snprintf(reader->what, sizeof(reader->what), "%s[%u]%s%.150s", field->name,
				list->count, what[0] ? " of " : "", what);
		void *value = (char *)list->item + list->count++ * size;
		if (field->element == FIELD_STRUCT && fields_initial(field->fields, value))
			reader->failed = true;
		if (map)
			map_key(reader, field->fields, item, value);
		value_read(reader, &element, item, value, NULL);
	}
	memcpy(reader->what, what, sizeof(what));
}

// A value that this version would not take any more: what can be held is, so that it goes on
// working; what cannot becomes the default, or costs the object if it has none.
static void stored_value(
	struct reader *reader, const struct field *field, const struct tree *tree, void *value)
{
	char error[FIELD_ERROR_MAX];
	struct field wide = *field;

	wide.min = wide.max = 0;
	if (field_parse(&wide, tree->text, value, error) == 0)
		return;
	if (field->flags & (FIELD_KEY | FIELD_REQUIRED))
		reader->lost = true;
	else if (field->initial && field_parse(field, field->initial, value, error))
		reader->failed = true;
}

static void value_read(struct reader *reader, const struct field *field, const struct tree *tree,
	void *value, const void *old)
{
	char error[FIELD_ERROR_MAX];
	int rc;

	switch (field->kind) {
	case FIELD_LIST:
		list_read(reader, field, tree, value, old);
		return;
	case FIELD_STRUCT:
		struct_read(reader, field, tree, value);
		return;
	case FIELD_SECRET:
		secret_read(reader, field, tree, value, old);
		return;
	default:
		break;
	}
	if (tree->type != TREE_SCALAR) {
		reader_wrong_value(reader, field, tree,
			tree->type == TREE_NULL ? "has no value" : "must be a single value");
		return;
	}
	rc = field_parse(field, tree->text, value, error);
	if (rc == -ENOMEM) {
		reader->failed = true;
	} else if (rc) {
		reader_wrong_value(reader, field, tree, error);
		if (reader->stored)
			stored_value(reader, field, tree, value);
	}
}

// The name of what it is within, as given with it or as it is.
static const char *outer_name(const struct fields *fields, const struct field *field,
	const struct tree *map, void *object)
{
	const struct field *outer = field_find(fields, field->within);

	for (const struct tree *member = map->child; member; member = member->next) {
		if (!strcmp(member->key, field->within) && member->type == TREE_SCALAR)
			return member->text;
	}
	return *(const char **)field_at(outer, object);
}

// A port of edge ams1 may be called by its full name too, "ams1/wan0", where the edge is known to be that one. False:
// it is another's, and that has been said.
static bool within_read(struct reader *reader, const struct fields *fields,
	const struct field *field, const struct tree *member, const struct tree *map, void *object,
	struct tree *inner)
{
	const char *slash =
		field->within && member->type == TREE_SCALAR ? strchr(member->text, '/') : NULL;
	const char *outer = slash ? outer_name(fields, field, map, object) : NULL;
	char error[FIELD_ERROR_MAX];

	*inner = *member;
	if (!outer)
		return true;
	if (strlen(outer) == (size_t)(slash - member->text) &&
		!strncmp(outer, member->text, strlen(outer))) {
		inner->text += slash - member->text + 1;
		return true;
	}
	snprintf(error, sizeof(error), "is not of %s \"%.80s\"", field->within, outer);
	reader_wrong_value(reader, field, member, error);
	return false;
}

void fields_read(struct reader *reader, const struct fields *fields, const struct tree *map,
	void *object, const void *old, const struct noun *noun, uint64_t *given)
{
	for (const struct tree *member = map->child; member; member = member->next) {
		const struct field *field = field_find(fields, member->key);
		if (!field) {
			bool section = false;
			for (unsigned int i = 0; i < NOUNS && noun; i++)
				section |= nouns[i]->parent == (int)noun->id &&
					   !strcmp(nouns[i]->section, member->key);
			if (!section)
				unknown_key(reader, fields, noun, member);
			continue;
		}
		void *value = field_at(field, object);
		uint64_t bit = UINT64_C(1) << (field - fields->item);
		if (*given & bit) // a duplicate key, complained about already
			continue;
		if (field->kind != FIELD_STRUCT)
			field_free(field, value);
		if (member->type == TREE_NULL) {
			char error[FIELD_ERROR_MAX];
			memset(value, 0, field_kind_size(field->kind));
			if (field->initial && field_parse(field, field->initial, value, error))
				reader->failed = true;
			continue;
		}
		*given |= bit;
		if (field->flags & FIELD_STATUS && !reader->stored) {
			reader_wrong_value(
				reader, field, member, "is what the system says, not to be set");
			continue;
		}
		struct tree inner;
		if (!within_read(reader, fields, field, member, map, object, &inner))
			continue;
		value_read(reader, field, &inner, value, old ? field_at(field, old) : NULL);
	}
}

static const struct place *place_of(const struct tree *map, const struct field *field)
{
	for (const struct tree *member = map->child; member; member = member->next) {
		if (!strcmp(member->key, field->name))
			return &member->key_place;
	}
	return &map->place;
}

// A field that there is not, with a value.
static void hidden_value(struct reader *reader, const struct fields *fields,
	const struct field *field, const struct tree *map)
{
	char list[160] = "";

	for (const char *const *value = field->visible.values; *value; value++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			value == field->visible.values ? "" : ", ", *value);
	finding_hint(
		reader_complain(reader, "not-visible", place_of(map, field), field->name,
			"%s%s%s is only there with %s %s", field->name,
			reader->what[0] ? " of " : "", reader->what, field->visible.field, list),
		"leave %s out", field->name);
}

void fields_settle(struct reader *reader, const struct fields *fields, const struct tree *map,
	void *object, uint64_t given)
{
	char error[FIELD_ERROR_MAX];

	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		void *value = field_at(field, object);
		bool set = given & UINT64_C(1) << i;
		if (!field_is_visible(fields, field, object)) {
			struct field by = *field;
			by.initial = field_default_of(fields, field, object);
			if (set && !field_is_unset(field, value) && !field_is_initial(&by, value))
				hidden_value(reader, fields, field, map);
		} else if (field->initial_field && !set) {
			const char *text = field_default_of(fields, field, object);
			field_free(field, value);
			if (text && field_parse(field, text, value, error))
				reader->failed = true;
		}
	}
}

void fields_require(struct reader *reader, const struct fields *fields, const struct tree *map,
	const void *object, uint64_t given)
{
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		if (!(field->flags & (FIELD_REQUIRED | FIELD_KEY)) || field->initial ||
			field->flags & FIELD_GENERATED || !field_is_visible(fields, field, object))
			continue;
		bool list = field->kind == FIELD_LIST;
		if (given & UINT64_C(1) << i &&
			(!list || ((struct list *)field_at(field, object))->count))
			continue;
		if (given & UINT64_C(1) << i)
			reader_complain(reader, "required", &map->place, field->name,
				"%s%s%s must not be empty", field->name,
				reader->what[0] ? " of " : "", reader->what);
		else
			reader_complain(reader, "required", &map->place, field->name,
				"%s needs \"%s\": %s", reader->what[0] ? reader->what : "the file",
				field->name, field->help);
	}
}
