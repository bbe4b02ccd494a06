// SPDX-License-Identifier: BSD-3-Clause
// Another name for an object: for its parts, whose names begin with it, and in whatever refers to it. Each of them becomes
// a copy of the same identity with other names in it, and so does what it was before the change: what judges the change
// sees the two under one name.

#include "control/model/change.h"
#include "control/base/array.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct renamed {
	const struct noun *noun;
	char from[OBJECT_NAME_MAX], to[OBJECT_NAME_MAX];
};

struct renaming {
	struct change *change;
	LIST_OF(struct renamed) queue; // its parts come behind it
	LIST_OF(struct renamed) referrers; // of the one at hand: noun and `from`
	bool failed;
};

static void set_text(struct renaming *renaming, const char **text, const char *to)
{
	char *copy = strdup(to);

	if (!copy) {
		renaming->failed = true;
		return;
	}
	free((char *)(uintptr_t)*text);
	*text = copy;
}

// --- references ------------------------------------------------------------------------------------------

// Of a target that is named by another field and this one: this one's part.
static const char *own_part(const struct field *field, const char *name)
{
	const char *slash = field->within ? strrchr(name, '/') : NULL;

	return slash ? slash + 1 : name;
}

static bool leads_to(const struct fields *fields, const struct field *field, const void *object,
	const char *text, const struct renamed *to)
{
	char name[OBJECT_NAME_MAX];

	if (!text || field->target != to->noun->id)
		return false;
	if (!field->within)
		return !strcmp(text, to->from);
	const char *outer = *(const char *const *)field_at(field_find(fields, field->within), object);
	snprintf(name, sizeof(name), "%s/%s", outer ? outer : "", text);
	return !strcmp(name, to->from);
}

static void follow(struct renaming *renaming, const struct fields *fields, void *object,
	const struct renamed *to)
{
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		const char **text = field_at(field, object);
		const struct list *list = field_at(field, object);
		if (field->kind == FIELD_REFERENCE && leads_to(fields, field, object, *text, to))
			set_text(renaming, text, own_part(field, to->to));
		for (unsigned int j = 0; field->kind == FIELD_LIST && j < list->count; j++) {
			if (field->element == FIELD_STRUCT)
				follow(renaming, field->fields,
					(char *)list->item + j * field->fields->size, to);
			else if (field->element == FIELD_REFERENCE &&
				 leads_to(fields, field, object, ((const char **)list->item)[j], to))
				set_text(renaming, (const char **)list->item + j,
					own_part(field, to->to));
		}
	}
}

static int is_target(void *ctx, const struct field *field, const char *target)
{
	const struct renamed *to = ctx;

	return field->target == to->noun->id && !strcmp(target, to->from);
}

// --- one object ------------------------------------------------------------------------------------------

static const struct field *last_key(const struct noun *noun)
{
	const struct field *last = NULL;

	for (unsigned int i = 0; i < noun->fields.count; i++)
		if (noun->fields.item[i].flags & FIELD_KEY)
			last = &noun->fields.item[i];
	return last;
}

// A copy with the other name in it: its own, or that of what it refers to.
static struct object *copy_with(
	struct renaming *renaming, const struct object *object, const struct renamed *to)
{
	const struct noun *noun = object->noun;
	struct object *copy = object_new(noun);

	if (!copy || fields_copy(&noun->fields, copy, object)) {
		object_unref(copy);
		return NULL;
	}
	copy->identity = object->identity;
	if (noun == to->noun && !strcmp(object->name, to->from)) {
		const char *slash = strrchr(to->to, '/');
		set_text(renaming, field_at(last_key(noun), copy), slash ? slash + 1 : to->to);
	} else {
		follow(renaming, &noun->fields, copy, to);
	}
	if (renaming->failed || object_finish(copy)) {
		object_unref(copy);
		return NULL;
	}
	return copy;
}

static int carry(struct renaming *renaming, const struct noun *noun, const char *name,
	const struct renamed *to)
{
	struct change *change = renaming->change;
	const struct edit *edit = change_edit(change, noun->id, name);
	const struct object *now = change_current(change, noun->id, name);
	const struct object *before = edit ? edit_before(edit) : now;
	struct object *copy = copy_with(renaming, now, to);
	struct object *was = before ? copy_with(renaming, before, to) : NULL;
	int rc = 0;

	if (!copy || (before && !was)) {
		object_unref(copy);
		object_unref(was);
		return -ENOMEM;
	}
	if (strcmp(name, copy->name)) {
		struct renamed *part = APPEND(renaming->queue);
		part->noun = noun;
		snprintf(part->from, sizeof(part->from), "%s", name);
		snprintf(part->to, sizeof(part->to), "%s", copy->name);
		rc = change_note_moved(change, noun, name);
	}
	if (rc) {
		object_unref(copy);
		object_unref(was);
		return rc;
	}
	return change_note(change, noun, copy->name, copy, was);
}

// --- all of them -----------------------------------------------------------------------------------------

static int note_referrer(void *ctx, const struct object *object)
{
	struct renaming *renaming = ctx;
	struct renamed *referrer = APPEND(renaming->referrers);

	referrer->noun = object->noun;
	snprintf(referrer->from, sizeof(referrer->from), "%s", object->name);
	return 0;
}

// Those of the old snapshot, as far as they still do, and those that the changes before have made so.
static int carry_referrers(struct renaming *renaming, const struct renamed *to)
{
	const struct change *change = renaming->change;
	int rc = 0;

	renaming->referrers.count = 0;
	model_referrers(change->old, to->noun->id, to->from, note_referrer, renaming);
	for (unsigned int i = 0; i < change->edits.count; i++) {
		const struct object *object = change->edits.item[i].new;
		if (object && object_references(object, is_target, (void *)(uintptr_t)to))
			note_referrer(renaming, object);
	}
	for (unsigned int i = 0; i < renaming->referrers.count && !rc; i++) {
		const struct renamed *referrer = &renaming->referrers.item[i];
		const struct object *object =
			change_current(change, referrer->noun->id, referrer->from);
		if (object && object_references(object, is_target, (void *)(uintptr_t)to))
			rc = carry(renaming, referrer->noun, referrer->from, to);
	}
	return rc;
}

// --- what cannot be --------------------------------------------------------------------------------------

static bool can_be_renamed(struct change *change, const struct noun *noun, const char *name)
{
	const struct noun *parent = noun->parent >= 0 ? nouns[noun->parent] : NULL;
	char hint[OBJECT_NAME_MAX + 64];

	if (noun->fixed_name) {
		change_refuse(change, "name", "name-fixed", "create another one, then delete it",
			"%s \"%s\" cannot be renamed: %s",
			noun->name, name, noun->fixed_name);
		return false;
	}
	if (last_key(noun)->kind == FIELD_NAME)
		return true;
	snprintf(hint, sizeof(hint), "culvertctl rename %s %.*s NEW", parent ? parent->name : "",
		(int)strcspn(name, "/"), name);
	change_refuse(change, "name", "name-fixed", parent ? hint : NULL,
		"%s \"%s\" has no name of its own: it is named after what it belongs to",
		noun->name, name);
	return false;
}

// The whole new name. `to` may have the parts before the last one, if they are the same.
static bool new_name(struct change *change, const struct noun *noun, const char *name, const char *to,
	char full[OBJECT_NAME_MAX])
{
	const char *slash = strrchr(name, '/');
	size_t front = slash ? (size_t)(slash + 1 - name) : 0;
	char error[FIELD_ERROR_MAX];
	char *parsed = NULL;
	const struct field *key = last_key(noun);

	if (front && !strncmp(to, name, front))
		to += front;
	bool valid = field_parse(key, to, &parsed, error) == 0;
	if (!valid)
		change_refuse(change, "name", "name", NULL, "\"%.100s\" %s", to, error);
	field_free(key, &parsed);
	snprintf(full, OBJECT_NAME_MAX, "%.*s%s", (int)front, name, to);
	return valid;
}

int change_rename(struct change *change, const struct noun *noun, const char *name, const char *to)
{
	struct renaming renaming = {.change = change};
	char full[OBJECT_NAME_MAX], hint[OBJECT_NAME_MAX + 64];
	int rc;

	if (!change_current(change, noun->id, name)) {
		change_not_found(change, noun, name);
		return 0;
	}
	if (!can_be_renamed(change, noun, name))
		return 0;
	if (!to) {
		change_refuse(change, "name", "name", NULL, "%s \"%s\" needs a new name", noun->name, name);
		return 0;
	}
	if (!new_name(change, noun, name, to, full))
		return 0;
	if (!strcmp(name, full)) {
		change_refuse(change, "name", "name", NULL, "%s \"%s\" has that name already", noun->name, name);
		return 0;
	}
	if (change_current(change, noun->id, full)) {
		snprintf(hint, sizeof(hint), "culvertctl %s list", noun->name);
		change_refuse(change, "name", "exists", hint, "%s \"%s\" exists already", noun->name, full);
		return 0;
	}
	struct renamed root = {.noun = noun};
	snprintf(root.from, sizeof(root.from), "%s", name);
	snprintf(root.to, sizeof(root.to), "%s", full);
	rc = carry(&renaming, noun, root.from, &root);
	for (unsigned int i = 0; i < renaming.queue.count && !rc; i++) {
		const struct renamed one = renaming.queue.item[i]; // the queue grows
		rc = carry_referrers(&renaming, &one);
	}
	free(renaming.queue.item);
	free(renaming.referrers.item);
	return rc;
}
