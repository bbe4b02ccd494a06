/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PROBLEMS_H
#define PROBLEMS_H

// What this version has against the model that is in force.

#include <stdbool.h>

struct findings;
struct model;

struct problems {                // all zero = nothing was found at the load
	struct findings *unread; // what could not be read of the stored text as it stands there
	struct model *loaded;    // what was made of it then
};

// Takes over what a load found (model_load()), and logs it. *findings stays the caller's.
void problems_keep(
	struct problems *kept, const struct model *model, const struct findings *findings);
void problems_clear(struct problems *kept);

// All that is against `model`, for free(); NULL = nothing. `before`: whether there was anything
// before the change that made it; if not, nothing is looked at.
struct findings *problems_after(
	const struct problems *kept, const struct model *model, bool before);

#endif
