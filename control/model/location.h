/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_LOCATION_H
#define MODEL_LOCATION_H

// A peering location: where customers and providers meet two of our edges.

#include "control/model/model.h"

struct location {
	struct object object;
	const char *name;
	const char *area;
	LIST_OF(const char *) edges;   // the first carries primary links
	LIST_OF(const char *) regions; // near by, of the same area
};

// The location that the edge is at, NULL = none.
const struct location *location_of_edge(const struct model *model, const char *edge);

extern const struct noun location_noun;

#endif
