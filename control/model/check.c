// SPDX-License-Identifier: BSD-3-Clause
// Whether a new snapshot is right. What holds for every noun is here: references exist, what is
// immutable stays, what may only be raised is not lowered. What a noun means is in the rules beside
// its table.
//
// Only what an edit can have touched is looked at again, found through the index: the object, who
// refers to it when it goes, and what its noun says (touches): the circuit it is part of with all
// its links, peerings and connections; everything for a port or an edge, which are few and seldom
// change. The oracle is the same check over everything: tests/unit/model compares the two on random
// changes.
//
// Rules judge changes. What was wrong already (a newer version has a rule more, the node file says
// another host domain) is found by the same look at the old snapshot and not held against a change
// that leaves it as it is.

#include "control/model/model_internal.h"
#include "control/api/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define EDITS_FOR_ALL 256u // more edits than this: look at everything

void finding_hint(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->hint, sizeof(finding->hint), format, args);
	va_end(args);
	api_text_mend(finding->hint);
}

// Of arrays whose elements begin with a pointer to an object.
static int compare_pointers(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (const struct object *const *)a,
		  y = (uintptr_t) * (const struct object *const *)b;

	return x < y ? -1 : x > y;
}

static const struct tree *origin_of(const struct check *check, const struct object *object)
{
	const struct origin *origin = bsearch(
		&object, check->origins, check->origin_count, sizeof(*origin), compare_pointers);

	return origin ? origin->tree : NULL;
}

// A change that only deletes makes nothing worse, whatever numbers the sentence has.
static uint64_t finding_hash(const struct check *check, const char *path, const char *about)
{
	uint64_t hash = hash_bytes(key_text(check->rule->name, path), "", 0);

	return check->only_deletes ? hash : hash_bytes(hash, about, strlen(about));
}

static int compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void collect(struct check *check, uint64_t hash)
{
	if (check->known_count == check->known_room) {
		unsigned int room = check->known_room ? check->known_room * 2 : 64;
		uint64_t *known = reallocarray(check->known, room, sizeof(*known));
		if (!known) {
			check->failed = true;
			return;
		}
		check->known = known;
		check->known_room = room;
	}
	check->known[check->known_count++] = hash;
}

// Whether it is only noted, or was noted before the change: then nobody is told.
static bool known(struct check *check, const char *path, const char *about)
{
	if (!check->collecting && check->known_count == 0)
		return false;
	uint64_t hash = finding_hash(check, path, about);
	if (check->collecting)
		collect(check, hash);
	return check->collecting ||
	       bsearch(&hash, check->known, check->known_count, sizeof(hash), compare_hashes);
}

struct finding *refuse(struct check *check, const struct object *object, const char *field,
	const char *format, ...)
{
	static _Thread_local struct finding nobody;
	char message[sizeof(((struct finding *)0)->message)];
	char path[sizeof(((struct finding *)0)->path)];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	snprintf(path, sizeof(path), "%s %s%s%s", object->noun->name, object->name,
		field[0] ? ": " : "", field);
	const char *about = check->about ? check->about : message;
	check->about = NULL;
	if (known(check, path, about))
		return &nobody;
	struct finding *finding = finding_add(
		check->findings, check->rule->name, path, check->rule->help, "%s", message);
	finding->code = API_REFUSED;
	const struct tree *tree =
		check->source && !check->findings->more ? origin_of(check, object) : NULL;
	if (!tree)
		return finding;
	const struct place *place = &tree->place;
	for (const struct tree *member = tree->child; member; member = member->next) {
		if (!strcmp(member->key, field))
			place = &member->key_place;
	}
	finding_place(finding, check->source, place);
	return finding;
}

bool check_creates(const struct check *check, const struct object *object)
{
	if (!check->old || check->revert)
		return false;
	const struct edit *edit = check->edits ? edits_sorted_find(check->edits, object) : NULL;
	return edit && !edit_before(edit);
}

bool check_said(const struct check *check, const struct object *object, const char *field)
{
	const struct tree *tree = check->source ? origin_of(check, object) : NULL;

	for (const struct tree *member = tree ? tree->child : NULL; member; member = member->next) {
		if (!strcmp(member->key, field))
			return true;
	}
	return false;
}

bool blame(const struct check *check, const struct object *mine, const struct object *other)
{
	bool touched = check->all || bsearch(&other, check->touched, check->touched_count,
					     sizeof(other), compare_pointers);

	if (!touched)
		return true;
	if (check->edits) {
		// One was changed, the other only looked at again.
		bool changed = edits_sorted_find(check->edits, mine) != NULL;
		if (changed != (edits_sorted_find(check->edits, other) != NULL))
			return changed;
	}
	const struct tree *a = check->source ? origin_of(check, mine) : NULL;
	const struct tree *b = check->source ? origin_of(check, other) : NULL;
	if (a && b && a->place.line != b->place.line)
		return a->place.line > b->place.line;
	return strcmp(mine->name, other->name) > 0;
}

// --- what is touched -----------------------------------------------------------------------------------

void check_touch(struct check *check, const struct object *object)
{
	if (!object)
		return;
	if (check->touched_count == check->touched_room) {
		unsigned int room = check->touched_room ? check->touched_room * 2 : 64;
		const struct object **touched =
			reallocarray(check->touched, room, sizeof(*touched));
		if (!touched) {
			check->failed = true;
			return;
		}
		check->touched = touched;
		check->touched_room = room;
	}
	check->touched[check->touched_count++] = object;
}

void check_touch_all(struct check *check)
{
	check->all = true;
}

static int touch_visit(void *ctx, const struct object *object)
{
	check_touch(ctx, object);
	return 0;
}

static void touch_edit(struct check *check, const struct edit *edit)
{
	check_touch(check, edit->new);
	if (!edit->new)
		model_referrers(check->model, edit->noun->id, edit->name, touch_visit, check);
	if (edit->noun->touches && edit->new)
		edit->noun->touches(check, edit->new);
	if (edit->noun->touches && edit->old && (!edit->new || edit_before(edit) != edit->old))
		edit->noun->touches(check, edit->old);
}

// --- rules of every noun -------------------------------------------------------------------------------

static const struct rule reference_exists = {
	"reference-exists", "an object that is referred to must exist", NULL};
static const struct rule in_use = {
	"in-use", "an object that others refer to cannot be deleted", NULL};
static const struct rule immutable = {"immutable", "fields marked immutable cannot change", NULL};
static const struct rule raise_only = {
	"raise-only", "fields marked raise-only cannot be lowered", NULL};
static const struct rule transition = {
	"transition", "a field that has an order of values changes along it", NULL};

struct reference_check {
	struct check *check;
	const struct object *object;
};

static void near_name(
	struct check *check, enum noun_id noun, const char *name, struct finding *finding)
{
	const char *names[257];
	unsigned int count = model_count(check->model, noun);

	// A list to choose from is no help when it is long.
	if (count > 256)
		count = 256;
	for (unsigned int i = 0; i < count; i++)
		names[i] = model_at(check->model, noun, i)->name;
	names[count] = NULL;
	const char *near = did_you_mean(name, names);
	if (near)
		finding_hint(finding, "did you mean \"%s\"?", near);
	else
		finding_hint(finding, "culvertctl %s list", nouns[noun]->name);
}

// The list that the field is a part of the elements of, NULL = it is the object's own.
static const struct field *list_of(const struct noun *noun, const struct field *field)
{
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct fields *element = noun->fields.item[i].fields;
		if (element && field >= element->item && field < element->item + element->count)
			return &noun->fields.item[i];
	}
	return NULL;
}

// What lets go of the target.
static void hint_release(struct finding *finding, const struct object *object,
	const struct field *field, const char *target)
{
	const struct field *list =
		field->kind == FIELD_LIST ? field : list_of(object->noun, field);

	if (list == field && list->kind == FIELD_LIST)
		finding_hint(finding, "culvertctl %s set %s --remove-%s %s", object->noun->name,
			object->name, list->name, target);
	else if (list && list->merge && !strcmp(list->merge, field->name))
		finding_hint(finding, "culvertctl %s set %s --remove-%s %s", object->noun->name,
			object->name, list->name, target);
	else
		finding_hint(finding, "culvertctl %s delete %s", object->noun->name, object->name);
}

static int check_reference(void *ctx, const struct field *field, const char *target)
{
	const struct reference_check *reference = ctx;
	struct check *check = reference->check;
	const struct object *object = reference->object;
	const struct noun *noun = nouns[field->target];

	if (model_find(check->model, field->target, target))
		return 0;
	check->broken = true;
	if (check->old && model_find(check->old, field->target, target)) {
		check->rule = &in_use;
		struct finding *finding = refuse(check, object, field->name,
			"cannot delete %s \"%s\": %s \"%s\" refers to it", noun->name, target,
			object->noun->name, object->name);
		hint_release(finding, object, field, target);
		return 0;
	}
	check->rule = &reference_exists;
	struct finding *finding = refuse(check, object, field->name,
		"%s \"%s\" refers to %s \"%s\", which does not exist", object->noun->name,
		object->name, noun->name, target);
	finding->code = API_NOT_FOUND;
	if (check->findings->more) // nobody sees it
		return 0;
	near_name(check, field->target, target, finding);
	return 0;
}

// "provisioning", or "nothing"
static const char *moves_from(const struct field *field, const char *was, char *text, size_t size)
{
	size_t used = 0;

	snprintf(text, size, "nothing");
	for (const struct field_move *move = field->moves; move->from && used < size; move++) {
		if (!strcmp(move->from, was))
			used += (size_t)snprintf(text + used, size - used, "%s%s",
				used ? ", " : "", move->to);
	}
	return text;
}

void move_hint(struct finding *finding, const struct field *field, const char *was)
{
	char next[128];

	moves_from(field, was, next, sizeof(next));
	finding_hint(finding,
		field->flags & FIELD_WORKFLOW ? "from %s it changes to %s"
					      : "recreate: from %s it changes to %s",
		was, next);
}

// Single changes are judged each (change.c).
static void check_move(struct check *check, const struct edit *edit, const struct field *field)
{
	char from[FIELD_TEXT_MAX], to[FIELD_TEXT_MAX];
	const void *a = field_at(field, edit_before(edit)), *b = field_at(field, edit->new);

	if (check->stepwise || field_may_move(field, a, b))
		return;
	const char *was = field_format(field, a, from);
	check->rule = &transition;
	move_hint(refuse(check, edit->new, field->name,
			  "%s of %s \"%s\" cannot change from %s to %s", field->name,
			  edit->noun->name, edit->name, was, field_format(field, b, to)),
		field, was);
}

static void check_transition(struct check *check, const struct edit *edit)
{
	char from[FIELD_TEXT_MAX], to[FIELD_TEXT_MAX];
	const struct fields *fields = &edit->noun->fields;
	const struct object *before = edit_before(edit);

	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		const void *a = field_at(field, before), *b = field_at(field, edit->new);
		if (field->moves) {
			check_move(check, edit, field);
			continue;
		}
		// What was never said may be said once.
		if (!(field->flags & (FIELD_IMMUTABLE | FIELD_RAISE_ONLY)) ||
			field_equal(field, a, b) ||
			(field->flags & FIELD_IMMUTABLE && field_is_unset(field, a)))
			continue;
		if (field->may_lower && field->may_lower(check->model, edit->new))
			continue;
		const char *was = field_format(field, a, from), *is = field_format(field, b, to);
		if (field->flags & FIELD_IMMUTABLE) {
			check->rule = &immutable;
			struct finding *finding = refuse(check, edit->new, field->name,
				"%s of %s \"%s\" cannot change from %s to %s", field->name,
				edit->noun->name, edit->name, was[0] ? was : "none",
				is[0] ? is : "none");
			finding_hint(finding, "recreate: culvertctl %s delete %s, then create it",
				edit->noun->name, edit->name);
		} else if (*(const uint64_t *)b < *(const uint64_t *)a) {
			check->rule = &raise_only;
			struct finding *finding = refuse(check, edit->new, field->name,
				"%s of %s \"%s\" cannot be lowered from %s to %s", field->name,
				edit->noun->name, edit->name, was, is);
			finding_hint(finding, "recreate: culvertctl %s recreate %s --%s %s",
				edit->noun->name, edit->name, field->name, is);
		}
	}
}

static void check_object(struct check *check, const struct object *object)
{
	struct reference_check reference = {check, object};

	check->broken = false;
	object_references(object, check_reference, &reference);
	if (check->broken) // rules may rely on references
		return;
	for (const struct rule *rule = object->noun->rules; rule && rule->name; rule++) {
		check->rule = rule;
		rule->check(check, object);
	}
}

static void check_touched(struct check *check)
{
	if (check->all) {
		for (unsigned int noun = 0; noun < NOUNS; noun++) {
			for (unsigned int i = 0; i < model_count(check->model, noun); i++)
				check_object(check, model_at(check->model, noun, i));
		}
		return;
	}
	for (unsigned int i = 0; i < check->touched_count; i++) {
		if (i == 0 || check->touched[i] != check->touched[i - 1])
			check_object(check, check->touched[i]);
	}
}

static void sort_touched(struct check *check)
{
	if (check->touched_count)
		qsort(check->touched, check->touched_count, sizeof(check->touched[0]),
			compare_pointers);
}

static void look(struct check *check)
{
	for (unsigned int i = 0; check->edits && i < check->edits->count; i++) {
		const struct edit *edit = &check->edits->item[i];
		if (edit->new && edit_before(edit) && !check->revert)
			check_transition(check, edit);
		for (const struct rule *rule = edit->noun->leaves;
			edit_deletes(edit) && !check->revert && rule && rule->name; rule++) {
			check->rule = rule;
			rule->check(check, edit->old);
		}
	}
	check_touched(check);
}

// What was before the change, under the names that it has now. NULL = no memory.
static struct model *as_before(const struct check *check)
{
	struct edits renamed = {0};
	struct model *model = NULL;

	for (unsigned int i = 0; i < check->edits->count; i++) {
		const struct edit *edit = &check->edits->item[i];
		if (!edit->was && !edit->moved)
			continue;
		struct edit *same = edits_add(&renamed);
		if (!same)
			goto out;
		*same = *edit;
		same->new = same->was = NULL;
		if (edit->was) {
			same->new = (struct object *)(uintptr_t)object_ref(edit->was);
			same->was = (struct object *)(uintptr_t)object_ref(edit->was);
		}
	}
	model = renamed.count ? model_apply(check->old, &renamed) : model_ref(check->old);
out:
	edits_free(&renamed);
	return model;
}

// The same look at the same objects as they were before the change.
static void collect_known(struct check *check)
{
	struct check before = *check;
	struct model *model = as_before(check);

	if (!model) {
		check->failed = true;
		return;
	}
	before.model = model;
	before.old = NULL;
	before.source = NULL;
	before.collecting = true;
	before.touched = NULL;
	before.touched_count = before.touched_room = 0;
	for (unsigned int i = 0; i < check->touched_count && !check->all; i++)
		check_touch(&before, model_find(model, check->touched[i]->noun->id,
					     check->touched[i]->name));
	sort_touched(&before);
	check_touched(&before);
	free(before.touched);
	model_unref(model);
	check->known = before.known;
	check->known_count = before.known_count;
	check->known_room = before.known_room;
	check->failed |= before.failed;
	if (check->known_count)
		qsort(check->known, check->known_count, sizeof(check->known[0]), compare_hashes);
}

// What was before has the names of now, except what goes: a connection whose peering goes lacks it there as well. So of
// such a change it is not known what was wrong before.
static bool renames_and_deletes(const struct check *check)
{
	bool renames = false, deletes = false;

	for (unsigned int i = 0; i < check->edits->count; i++) {
		renames |= check->edits->item[i].was != NULL;
		deletes |= edit_deletes(&check->edits->item[i]);
	}
	return renames && deletes;
}

int check_run(struct check *check)
{
	check->all = !check->edits || check->edits->count > EDITS_FOR_ALL;
	check->only_deletes = check->edits != NULL;
	for (unsigned int i = 0; check->edits && i < check->edits->count; i++) {
		if (!check->all)
			touch_edit(check, &check->edits->item[i]);
		check->only_deletes &= !check->edits->item[i].new;
	}
	sort_touched(check);
	look(check);
	if (check->findings->count && check->edits && !renames_and_deletes(check)) {
		// Only what the change breaks is held against it. Most changes break nothing and
		// never come here.
		collect_known(check);
		if (check->known_count) {
			memset(check->findings, 0, sizeof(*check->findings));
			look(check);
		}
	}
	free(check->touched);
	check->touched = NULL;
	free(check->known);
	check->known = NULL;
	if (check->failed)
		return -ENOMEM;
	return check->findings->count ? -EINVAL : 0;
}

int model_check(const struct model *model, struct findings *findings)
{
	struct check check = {.model = model, .findings = findings};

	return check_run(&check) == -ENOMEM ? -ENOMEM : 0;
}
