// SPDX-License-Identifier: BSD-3-Clause
// Snapshots: sorted arrays of objects, shared between snapshots noun by noun, and how a list of edits makes
// a new one out of an old one. Whether the result is right is the business of check.c; a snapshot that was
// refused is simply dropped.

#include "control/model/model_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct objects *objects_new(unsigned int room)
{
	struct objects *objects = malloc(sizeof(*objects) + room * sizeof(objects->item[0]));

	if (objects) {
		objects->references = 1;
		objects->count = 0;
	}
	return objects;
}

static void objects_unref(struct objects *objects)
{
	if (!objects || __atomic_sub_fetch(&objects->references, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned int i = 0; i < objects->count; i++)
		object_unref(objects->item[i]);
	free(objects);
}

struct model *model_create(const struct model_options *options)
{
	struct index_sink none = {0};
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	model->references = 1;
	model->options = *options;
	model->index = index_merge(NULL, &none, &none);
	bool failed = !model->index;
	for (unsigned int i = 0; i < NOUNS; i++) {
		model->objects[i] = objects_new(0);
		failed |= !model->objects[i];
	}
	if (failed) {
		model_unref(model);
		return NULL;
	}
	return model;
}

struct model *model_ref(const struct model *model)
{
	struct model *mine = (struct model *)(uintptr_t)model;

	__atomic_add_fetch(&mine->references, 1, __ATOMIC_RELAXED);
	return mine;
}

void model_unref(const struct model *model)
{
	struct model *mine = (struct model *)(uintptr_t)model;

	if (!mine || __atomic_sub_fetch(&mine->references, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned int i = 0; i < NOUNS; i++)
		objects_unref(mine->objects[i]);
	index_unref(mine->index);
	free(mine);
}

const struct model_options *model_options(const struct model *model)
{
	return &model->options;
}

uint64_t model_digest(const struct model *model)
{
	return model->digest;
}

unsigned int model_count(const struct model *model, enum noun_id noun)
{
	return model->objects[noun]->count;
}

const struct object *model_at(const struct model *model, enum noun_id noun, unsigned int index)
{
	return index < model->objects[noun]->count ? model->objects[noun]->item[index] : NULL;
}

unsigned int model_lower_bound(const struct model *model, enum noun_id noun, const char *prefix)
{
	unsigned int low = 0, high = model->objects[noun]->count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		if (strcmp(model->objects[noun]->item[middle]->name, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct object *model_find(const struct model *model, enum noun_id noun, const char *name)
{
	const struct object *object = model_at(model, noun, model_lower_bound(model, noun, name));

	return object && !strcmp(object->name, name) ? object : NULL;
}

unsigned int model_first_child(const struct model *model, enum noun_id noun, const char *parent)
{
	char prefix[OBJECT_NAME_MAX + 2];

	snprintf(prefix, sizeof(prefix), "%s/", parent);
	return model_lower_bound(model, noun, prefix);
}

const struct object *model_child_at(
	const struct model *model, enum noun_id noun, const char *parent, unsigned int index)
{
	const struct object *object = model_at(model, noun, index);
	size_t length = strlen(parent);

	return object && !strncmp(object->name, parent, length) && object->name[length] == '/'
		       ? object
		       : NULL;
}

struct wanted {
	enum noun_id noun;
	const char *name;
};

static int is_wanted(void *ctx, const struct field *field, const char *target)
{
	const struct wanted *wanted = ctx;

	return field->target == wanted->noun && !strcmp(target, wanted->name);
}

int model_referrers(const struct model *model, enum noun_id noun, const char *name,
	int (*visit)(void *ctx, const struct object *object), void *ctx)
{
	uint64_t hash = key_reference(noun, name);
	struct wanted wanted = {noun, name};
	const struct object *last = NULL;

	for (unsigned int i = index_first(model->index, hash);
		i < model->index->count && model->index->entry[i].hash == hash; i++) {
		const struct object *object = model->index->entry[i].object;
		// One that refers twice has its entries side by side or is visited twice, which does no harm.
		if (object == last || !object_references(object, is_wanted, &wanted))
			continue;
		last = object;
		int rc = visit(ctx, object);
		if (rc)
			return rc;
	}
	return 0;
}

// --- edits ---------------------------------------------------------------------------------------------

struct edit *edits_add(struct edits *edits)
{
	if (edits->count == edits->room) {
		unsigned int room = edits->room ? edits->room * 2 : 16;
		struct edit *item = reallocarray(edits->item, room, sizeof(*item));
		if (!item)
			return NULL;
		edits->item = item;
		edits->room = room;
	}
	struct edit *edit = &edits->item[edits->count++];
	memset(edit, 0, sizeof(*edit));
	return edit;
}

void edits_free(struct edits *edits)
{
	for (unsigned int i = 0; i < edits->count; i++) {
		object_unref(edits->item[i].new);
		object_unref(edits->item[i].was);
	}
	free(edits->item);
	memset(edits, 0, sizeof(*edits));
}

static int compare_edits(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;

	if (x->noun != y->noun)
		return x->noun->id < y->noun->id ? -1 : 1;
	return strcmp(x->name, y->name);
}

struct edit *edits_sorted_find(const struct edits *edits, const struct object *object)
{
	struct edit key = {.noun = object->noun, .name = object->name};

	return bsearch(&key, edits->item, edits->count, sizeof(key), compare_edits);
}

static void sort_edits(struct edits *edits)
{
	for (unsigned int i = 1; i < edits->count; i++) {
		if (compare_edits(&edits->item[i - 1], &edits->item[i]) > 0) {
			qsort(edits->item, edits->count, sizeof(edits->item[0]), compare_edits);
			return;
		}
	}
}

// The noun's array with these edits, all of that noun and sorted.
static struct objects *merge(
	const struct objects *old, const struct edit *edits, unsigned int count)
{
	struct objects *objects = objects_new(old->count + count);
	unsigned int o = 0, n = 0;

	if (!objects)
		return NULL;
	for (unsigned int i = 0; i < count; i++) {
		int order = -1;
		while (o < old->count && (order = strcmp(old->item[o]->name, edits[i].name)) < 0)
			objects->item[n++] = object_ref(old->item[o++]);
		if (o < old->count && order == 0)
			o++;
		if (edits[i].new)
			objects->item[n++] = object_ref(edits[i].new);
	}
	while (o < old->count)
		objects->item[n++] = object_ref(old->item[o++]);
	objects->count = n;
	return objects;
}

struct model *model_apply(const struct model *old, struct edits *edits)
{
	struct model *model = calloc(1, sizeof(*model));
	struct index_sink gone = {0}, come = {0};
	bool failed = false;

	if (!model)
		return NULL;
	model->references = 1;
	model->options = old->options;
	model->digest = old->digest;
	sort_edits(edits);
	for (unsigned int i = 0, noun = 0; noun < NOUNS; noun++) {
		unsigned int first = i;
		while (i < edits->count && edits->item[i].noun->id == noun) {
			const struct edit *edit = &edits->item[i++];
			if (edit->new && edit_before(edit))
				edit->new->identity = edit_before(edit)->identity;
			if (edit->old) {
				model->digest -= edit->old->digest;
				index_object(&gone, edit->old);
			}
			if (edit->new) {
				model->digest += edit->new->digest;
				index_object(&come, edit->new);
			}
		}
		if (i > first) {
			model->objects[noun] =
				merge(old->objects[noun], &edits->item[first], i - first);
		} else {
			model->objects[noun] = old->objects[noun];
			__atomic_add_fetch(&model->objects[noun]->references, 1, __ATOMIC_RELAXED);
		}
		failed |= !model->objects[noun];
	}
	model->index = index_merge(old->index, &gone, &come);
	failed |= !model->index || gone.failed || come.failed;
	free(gone.entry);
	free(come.entry);
	if (failed) {
		model_unref(model);
		return NULL;
	}
	return model;
}
