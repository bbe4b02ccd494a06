/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_IDMAP_H
#define BRIDGE_IDMAP_H

// A map from a 32-bit number (object id, ifindex, kernel table) to a pointer, to be walked in pieces. Zeroed = empty.

#include <stdint.h>

#include "control/base/table.h"

struct idmap {
	struct table cells;
	struct idmap_cell **place; // what a walk goes along; NULL = a hole, used again
	uint32_t *hole;
	uint32_t places, holes, room;
};

void *idmap_get(const struct idmap *map, uint32_t key);
// value not NULL. Running out of memory ends the process.
void idmap_set(struct idmap *map, uint32_t key, void *value);
void idmap_remove(struct idmap *map, uint32_t key);
void idmap_free(struct idmap *map);
// The next value from *cursor on (start with 0), NULL at the end. Removing while iterating is fine; what is added meanwhile
// is met or not.
void *idmap_next(const struct idmap *map, uint32_t *cursor);

#endif
