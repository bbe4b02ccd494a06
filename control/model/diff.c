// SPDX-License-Identifier: BSD-3-Clause
// The difference of two snapshots, and what each line of it does to traffic. Objects that are the same
// pointer are equal, and whole nouns are skipped when their array is shared.

#include "control/model/model_internal.h"
#include "control/base/array.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

static int add(struct model_diff *diff, unsigned int *room, const struct object *old,
	const struct object *new)
{
	if (diff->count == *room) {
		unsigned int more = *room ? *room * 2 : 16;
		struct model_difference *item = reallocarray(diff->item, more, sizeof(*item));
		if (!item)
			return -1;
		diff->item = item;
		*room = more;
	}
	diff->item[diff->count++] = (struct model_difference){
		old ? object_ref(old) : NULL, new ? object_ref(new) : NULL};
	return 0;
}

// --- which object was which ----------------------------------------------------------------------------------

struct ends { // that have no other end under their name
	LIST_OF(const struct object *) gone, come;
};

static int compare_identities(const void *a, const void *b)
{
	uint64_t x = (*(const struct object *const *)a)->identity,
		 y = (*(const struct object *const *)b)->identity;

	return x < y ? -1 : x > y;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const struct object *const *)a)->name,
		(*(const struct object *const *)b)->name);
}

static void ends_free(struct ends *ends)
{
	free(ends->gone.item);
	free(ends->come.item);
}

static void ends_find(
	struct ends *ends, const struct model *old, const struct model *new, unsigned int noun,
	void (*visit)(void *ctx, const struct object *old, const struct object *new), void *ctx)
{
	unsigned int i = 0, j = 0;

	for (;;) {
		const struct object *a = old ? model_at(old, noun, i) : NULL,
				    *b = model_at(new, noun, j);
		if (!a && !b)
			return;
		int order = a == b ? 0 : !a ? 1 : !b ? -1 : strcmp(a->name, b->name);
		bool same = order == 0 && a->identity == b->identity;
		if (a != b && same)
			visit(ctx, a, b);
		if (order <= 0 && !same)
			*(const struct object **)APPEND(ends->gone) = a;
		if (order >= 0 && !same)
			*(const struct object **)APPEND(ends->come) = b;
		i += order <= 0;
		j += order >= 0;
	}
}

// Takes what has a partner in both lists, by that order, out of them.
static void ends_pair(struct ends *ends, int (*compare)(const void *a, const void *b),
	void (*visit)(void *ctx, const struct object *old, const struct object *new), void *ctx)
{
	unsigned int i = 0, j = 0, gone = 0, come = 0;

	if (!ends->gone.count || !ends->come.count)
		return;
	qsort(ends->gone.item, ends->gone.count, sizeof(*ends->gone.item), compare);
	qsort(ends->come.item, ends->come.count, sizeof(*ends->come.item), compare);
	while (i < ends->gone.count || j < ends->come.count) {
		int order = i == ends->gone.count ? 1
			    : j == ends->come.count
				    ? -1
				    : compare(&ends->gone.item[i], &ends->come.item[j]);
		if (order == 0)
			visit(ctx, ends->gone.item[i++], ends->come.item[j++]);
		else if (order < 0)
			ends->gone.item[gone++] = ends->gone.item[i++];
		else
			ends->come.item[come++] = ends->come.item[j++];
	}
	ends->gone.count = gone;
	ends->come.count = come;
}

// What has another name is known by its identity; of the rest that of the same name is the same.
void model_compare(const struct model *old, const struct model *new,
	void (*visit)(void *ctx, const struct object *old, const struct object *new), void *ctx)
{
	for (unsigned int noun = 0; noun < NOUNS; noun++) {
		struct ends ends = {0};
		if (old && old->objects[noun] == new->objects[noun])
			continue;
		ends_find(&ends, old, new, noun, visit, ctx);
		ends_pair(&ends, compare_identities, visit, ctx);
		ends_pair(&ends, compare_names, visit, ctx);
		for (unsigned int i = 0; i < ends.gone.count; i++)
			visit(ctx, ends.gone.item[i], NULL);
		for (unsigned int i = 0; i < ends.come.count; i++)
			visit(ctx, NULL, ends.come.item[i]);
		ends_free(&ends);
	}
}

// --- the difference ------------------------------------------------------------------------------------------

struct adding {
	struct model_diff *diff;
	unsigned int room;
	bool failed;
};

static void add_difference(void *ctx, const struct object *old, const struct object *new)
{
	struct adding *adding = ctx;
	bool same = old && new && !strcmp(old->name, new->name) &&
		    fields_equal(&old->noun->fields, old, new);

	if (!same && !adding->failed)
		adding->failed = add(adding->diff, &adding->room, old, new) != 0;
}

static int compare_differences(const void *a, const void *b)
{
	const struct model_difference *x = a, *y = b;
	const struct object *mine = x->new ? x->new : x->old, *other = y->new ? y->new : y->old;

	if (mine->noun != other->noun)
		return mine->noun->id < other->noun->id ? -1 : 1;
	int order = strcmp(mine->name, other->name);
	return order ? order : (x->new != NULL) - (y->new != NULL); // what goes, then who has its name
}

struct model_diff *model_diff(const struct model *old, const struct model *new)
{
	struct adding adding = {.diff = calloc(1, sizeof(*adding.diff))};
	struct model_diff *diff = adding.diff;

	if (!diff)
		return NULL;
	diff->old = model_ref(old);
	diff->new = model_ref(new);
	model_compare(old, new, add_difference, &adding);
	if (adding.failed) {
		model_diff_free(diff);
		return NULL;
	}
	if (diff->count)
		qsort(diff->item, diff->count, sizeof(*diff->item), compare_differences);
	return diff;
}

void model_diff_free(struct model_diff *diff)
{
	if (!diff)
		return;
	for (unsigned int i = 0; i < diff->count; i++) {
		object_unref(diff->item[i].old);
		object_unref(diff->item[i].new);
	}
	free(diff->item);
	model_unref(diff->old);
	model_unref(diff->new);
	free(diff);
}

// A field's value on one line. A new string.
static char *value_text(const struct field *field, const void *value)
{
	char buffer[FIELD_TEXT_MAX];

	if (field_is_unset(field, value))
		return strdup(field->kind == FIELD_LIST ? "[]" : "none");
	if (field->kind != FIELD_LIST && field->kind != FIELD_STRUCT)
		return strdup(field_format(field, value, buffer));
	json_t *json = field_json(field, value);
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(json);
	if (!text)
		return NULL;
	// {"prefix":"10.0.0.0/8"} reads better without quotes; names and values hold none of their own here.
	char *to = text;
	for (const char *from = text; *from; from++) {
		if (*from != '"')
			*to++ = *from;
	}
	*to = '\0';
	return text;
}

// --- lists, element by element ---------------------------------------------------------------------------

static bool has_element(const struct field *field, const struct list *list, const void *element)
{
	struct field whole = field_element(field);
	size_t size = field_element_size(field);

	for (unsigned int i = 0; i < list->count; i++) {
		if (field_equal(&whole, (char *)list->item + i * size, element))
			return true;
	}
	return false;
}

// What is in `list` and not in `other`: into *array, and as " +ELEMENT" into out.
static json_t *elements_without(const struct field *field, const struct list *list,
	const struct list *other, char sign, FILE *out)
{
	struct field whole = field_element(field);
	size_t size = field_element_size(field);
	json_t *array = json_array();

	for (unsigned int i = 0; i < list->count; i++) {
		const void *element = (char *)list->item + i * size;
		if (has_element(field, other, element))
			continue;
		char *text = value_text(&whole, element);
		if (text) {
			fprintf(out, " %c%s", sign, text);
			json_array_append_new(array, json_string(text));
		}
		free(text);
	}
	return array;
}

// "prefixes -10.1.0.0/16 +10.2.0.0/16": of a long list nobody finds the one that is new. False: the elements are the
// same, only their order is not.
static bool list_difference(
	const struct field *field, const void *old, const void *new, json_t *json, FILE *out)
{
	char *text = NULL;
	size_t size = 0;
	FILE *elements = open_memstream(&text, &size);

	if (!elements)
		return false;
	json_t *removed = elements_without(field, old, new, '-', elements);
	json_t *added = elements_without(field, new, old, '+', elements);
	fclose(elements);
	bool differs = size > 0;
	if (differs)
		fputs(text, out);
	free(text);
	json_object_set_new(json, "removed", removed);
	json_object_set_new(json, "added", added);
	return differs;
}

static bool carries(const struct model *model, const struct object *object)
{
	return object && (!object->noun->carries || object->noun->carries(model, object));
}

// Where no traffic is nothing interrupts it, and where it comes to be routes come with it.
static enum effect effect_on(
	const struct model_diff *diff, const struct model_difference *d, enum effect effect)
{
	if ((effect != EFFECT_TRAFFIC && effect != EFFECT_SESSION) || carries(diff->old, d->old))
		return effect;
	return carries(diff->new, d->new) ? EFFECT_ROUTES : EFFECT_NONE;
}

static json_t *field_differences(const struct model_diff *diff, const struct model_difference *d,
	enum effect *worst, FILE *out)
{
	const struct object *old = d->old, *new = d->new;
	const struct fields *fields = &new->noun->fields;
	json_t *array = json_array();

	*worst = EFFECT_NONE;
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		const void *a = field_at(field, old), *b = field_at(field, new);
		if (field_equal(field, a, b) || (field->flags & FIELD_KEY))
			continue;
		char *from = value_text(field, a), *to = value_text(field, b);
		enum effect effect = effect_on(diff, d, field->effect);
		if (from && to) {
			json_t *json = json_pack(
				"{s:s, s:s, s:s}", "field", field->name, "from", from, "to", to);
			json_array_append_new(array, json);
			fprintf(out, "~ %s %s %s", new->noun->name, new->name, field->name);
			bool listed = field->kind == FIELD_LIST && !field_is_unset(field, a) &&
				      !field_is_unset(field, b);
			if (!listed || !list_difference(field, a, b, json, out))
				fprintf(out, " %s -> %s", from, to);
			if (effect == EFFECT_TRAFFIC && field->kind == FIELD_LIST &&
				json_array_size(json_object_get(json, "removed")) == 0 &&
				!field_is_unset(field, b))
				effect = EFFECT_ROUTES; // what is there stays as it is
			if (effect == EFFECT_SESSION && (field->flags & FIELD_ADDS) &&
				field_is_unset(field, a))
				effect = EFFECT_ROUTES;
			json_object_set_new(json, "effect", json_string(effect_text(effect)));
			fprintf(out, " (%s)\n", effect_text(effect));
		}
		free(from);
		free(to);
		if (effect > *worst)
			*worst = effect;
	}
	return array;
}

static bool is_renamed(const struct model_difference *d)
{
	return d->old && d->new && strcmp(d->old->name, d->new->name) != 0;
}

static json_t *difference_json(
	const struct model_diff *diff, const struct model_difference *d, FILE *all)
{
	const struct object *object = d->new ? d->new : d->old;
	bool renamed = is_renamed(d);
	const char *op = !d->old ? "create" : !d->new ? "delete" : renamed ? "rename" : "set";
	enum effect effect = EFFECT_NONE;
	json_t *fields = NULL;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (!d->old) {
		fprintf(out, "+ %s %s (new)\n", object->noun->name, object->name);
	} else if (!d->new) {
		effect = effect_on(diff, d, object->noun->removal);
		fprintf(out, "- %s %s (%s)\n", object->noun->name, object->name,
			effect_text(effect));
	} else {
		if (renamed)
			fprintf(out, "~ %s %s was %s (%s)\n", object->noun->name, object->name,
				d->old->name, effect_text(EFFECT_NONE));
		fields = field_differences(diff, d, &effect, out);
	}
	fclose(out);
	if (all)
		fputs(text, all);
	if (size && text[size - 1] == '\n')
		text[size - 1] = '\0';
	json_t *json =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "op", op, "noun", object->noun->name,
			"name", object->name, "effect", d->old ? effect_text(effect) : "new",
			"text", text, "fields", fields ? fields : json_array());
	if (renamed)
		json_object_set_new(json, "was", json_string(d->old->name));
	free(text);
	return json;
}

json_t *model_difference_json(const struct model_diff *diff, unsigned int index)
{
	return difference_json(diff, &diff->item[index], NULL);
}

json_t *model_diff_json(const struct model_diff *diff)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < diff->count; i++)
		json_array_append_new(array, model_difference_json(diff, i));
	return array;
}

char *model_diff_text(const struct model_diff *diff)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (unsigned int i = 0; i < diff->count; i++)
		json_decref(difference_json(diff, &diff->item[i], out));
	fclose(out);
	return text;
}
