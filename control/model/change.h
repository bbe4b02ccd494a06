/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_CHANGE_H
#define MODEL_CHANGE_H

// What the ways to make a new snapshot share: single changes, whole files, the store's objects.

#include "control/model/model_internal.h"

// Makes up generated fields that are not set, or takes them over from old. 0 or -ENOMEM.
int object_generate(struct object *object, const struct object *old);
// Applies the edits to check->old and checks the outcome. *out: a new snapshot, or check->old again without edits.
int edits_finish(struct check *check, struct edits *edits, struct model **out);

#endif
