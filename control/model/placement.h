/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_PLACEMENT_H
#define MODEL_PLACEMENT_H

// Where a new circuit comes in, when nobody says it: both links on edges of its location, on ports of its provider with
// room for it, under one VLAN tag that is free on both.

#include "control/model/model.h"

// Tags that are given out; those below are for links that are made by hand.
#define PLACED_TAG_FIRST 101
#define PLACED_TAG_LAST  4094

// For struct noun, brings. Nothing for a circuit without a location, or whose links come with it.
struct json_t *circuit_place(
	struct preview *preview, const struct object *object, struct findings *findings);

#endif
