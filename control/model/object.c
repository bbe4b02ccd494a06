// SPDX-License-Identifier: BSD-3-Clause
// Single objects: making, naming, counting references, and the references they hold to others. An object
// never changes once it is in a snapshot; that is what makes snapshots cheap to make and safe to share.

#include "control/model/model_internal.h"

#include <jansson.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t last_identity; // atomic

struct object *object_new(const struct noun *noun)
{
	struct object *object = calloc(1, noun->fields.size);

	if (object) {
		object->noun = noun;
		object->references = 1;
		object->identity = __atomic_add_fetch(&last_identity, 1, __ATOMIC_RELAXED);
	}
	return object;
}

const struct object *object_ref(const struct object *object)
{
	__atomic_add_fetch((unsigned int *)(uintptr_t)&object->references, 1, __ATOMIC_RELAXED);
	return object;
}

void object_unref(const struct object *object)
{
	struct object *mine = (struct object *)(uintptr_t)object;

	if (!mine || __atomic_sub_fetch(&mine->references, 1, __ATOMIC_ACQ_REL))
		return;
	fields_free(&mine->noun->fields, mine);
	free((char *)(uintptr_t)mine->name);
	free(mine);
}

int object_finish(struct object *object)
{
	char name[OBJECT_NAME_MAX] = "", text[FIELD_TEXT_MAX];
	const struct fields *fields = &object->noun->fields;
	size_t used = 0;

	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		if (!(field->flags & FIELD_KEY) || used >= sizeof(name))
			continue;
		used += (size_t)snprintf(name + used, sizeof(name) - used, "%s%s", used ? "/" : "",
			field_format(field, field_at(field, object), text));
	}
	free((char *)(uintptr_t)object->name);
	object->name = strdup(name);
	object->digest = fields_hash(fields, object,
		hash_bytes(0xcbf29ce484222325u, object->noun->name, strlen(object->noun->name)));
	return object->name ? 0 : -ENOMEM;
}

struct object *object_named(const struct object *object, const struct object *other)
{
	const struct fields *fields = &object->noun->fields;
	struct object *named = object_new(object->noun);
	int rc = named ? fields_copy(fields, named, object) : -ENOMEM;

	for (unsigned int i = 0; i < fields->count && !rc; i++) {
		const struct field *field = &fields->item[i];
		void *value = named ? field_at(field, named) : NULL;
		if (!(field->flags & FIELD_KEY))
			continue;
		field_free(field, value);
		rc = field_copy(field, value, field_at(field, other));
	}
	if (!rc && !object_finish(named))
		return named;
	object_unref(named);
	return NULL;
}

json_t *object_json(const struct object *object)
{
	return fields_json(&object->noun->fields, object);
}

// Target name of a reference field, "" when it is not set.
static const char *reference_target(const struct fields *fields, const struct field *field,
	const void *object, char name[OBJECT_NAME_MAX])
{
	const char *text = *(const char *const *)field_at(field, object);

	name[0] = '\0';
	if (!text)
		return name;
	if (!field->within) {
		snprintf(name, OBJECT_NAME_MAX, "%s", text);
		return name;
	}
	const struct field *outer = field_find(fields, field->within);
	const char *first = *(const char *const *)field_at(outer, object);
	if (first)
		snprintf(name, OBJECT_NAME_MAX, "%s/%s", first, text);
	return name;
}

static int struct_references(const struct fields *fields, const void *object,
	int (*fn)(void *ctx, const struct field *field, const char *target), void *ctx)
{
	char target[OBJECT_NAME_MAX];
	int rc = 0;

	for (unsigned int i = 0; i < fields->count && !rc; i++) {
		const struct field *field = &fields->item[i];
		if (field->kind == FIELD_REFERENCE) {
			if (reference_target(fields, field, object, target)[0])
				rc = fn(ctx, field, target);
		} else if (field->kind == FIELD_LIST && field->element == FIELD_REFERENCE) {
			const struct list *list = field_at(field, object);
			for (unsigned int j = 0; j < list->count && !rc; j++)
				rc = fn(ctx, field, ((const char **)list->item)[j]);
		} else if (field->kind == FIELD_LIST && field->element == FIELD_STRUCT) {
			const struct list *list = field_at(field, object);
			for (unsigned int j = 0; j < list->count && !rc; j++)
				rc = struct_references(field->fields,
					(char *)list->item + j * field->fields->size, fn, ctx);
		}
	}
	return rc;
}

int object_references(const struct object *object,
	int (*fn)(void *ctx, const struct field *field, const char *target), void *ctx)
{
	return struct_references(&object->noun->fields, object, fn, ctx);
}

const char *object_customer(const struct model *model, const struct object *object)
{
	return object->noun->customer_of ? object->noun->customer_of(model, object) : NULL;
}

int object_secrets(const struct object *object,
	int (*visit)(void *ctx, const struct secret *secret), void *ctx)
{
	const struct fields *fields = &object->noun->fields;
	int rc = 0;

	for (unsigned int i = 0; i < fields->count && !rc; i++) {
		const struct field *field = &fields->item[i];
		if (field->kind == FIELD_SECRET && !field_is_unset(field, field_at(field, object)))
			rc = visit(ctx, field_at(field, object));
	}
	return rc;
}
