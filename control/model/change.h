/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_CHANGE_H
#define MODEL_CHANGE_H

// What the ways to make a new snapshot share: single changes, whole files, the store's objects.

#include "control/model/model_internal.h"

// A change under way: the edits so far.
struct change {
	const struct model *old;
	struct edits edits;
	struct json_t *places;     // "NOUN NAME" -> index in edits: a batch may have thousands
	unsigned int alive[NOUNS]; // edits that leave an object
	struct reader reader;
};
// NULL = it is as it was in the old snapshot.
struct edit *change_edit(const struct change *change, enum noun_id noun, const char *name);
// The object as the changes before this one left it, NULL = there is none.
const struct object *change_current(
	const struct change *change, enum noun_id noun, const char *name);
// Notes object (owned, NULL = deleted) as the new state of what was called so; was (owned) as in struct edit, NULL = as
// noted before. 0 or -ENOMEM.
int change_note(struct change *change, const struct noun *noun, const char *name, struct object *object,
	struct object *was);
// The object of this name is going to be noted under another one.
int change_note_moved(struct change *change, const struct noun *noun, const char *name);
// A change that is understood and cannot be; hint may be NULL.
void change_refuse(struct change *change, const char *field, const char *rule, const char *hint,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
// What has been read of a new object is settled, and it gets what is made up and its name. 0; -EINVAL when there are more
// findings than before, -ENOMEM: the object is gone.
int change_complete(struct change *change, struct object *object, const struct tree *map, uint64_t given,
	unsigned int before);
void change_not_found(struct change *change, const struct noun *noun, const char *name);
int change_delete(struct change *change, const struct noun *noun, const char *name);
// The model as the changes so far leave it, unchecked. A new reference, NULL = no memory.
struct model *change_preview(const struct change *change);
// recreate.c: ops "recreate" and "replace"
int change_recreate(struct change *change, struct arena *arena, const struct noun *noun,
	const char *name, const struct json_t *json);
int change_replace(
	struct change *change, const struct noun *noun, const char *name, const char *to);
// rename.c: op "rename"
int change_rename(
	struct change *change, const struct noun *noun, const char *name, const char *to);

// Makes up generated fields that are not set, or takes them over from old, with its identity. 0 or -ENOMEM.
int object_generate(struct object *object, const struct object *old);
// Applies the edits to check->old and checks the outcome. *out: a new snapshot, or check->old again without edits.
int edits_finish(struct check *check, struct edits *edits, struct model **out);

#endif
