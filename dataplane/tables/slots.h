/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_SLOTS_H
#define TABLES_SLOTS_H

// Opaque wire ids to slots of a table. A slot is named by its id from take to drop, and can be
// taken again only after release, which the table defers past the grace period. Slot 0 is never
// given out. Each slot has a reference count of its users (deletion in use is refused) and room for
// the wire record it was set from.

#include <stdint.h>

#include "dataplane/tables/map.h"

#define SLOT_NONE 0u

struct slots {
	struct map ids;
	uint32_t capacity; // slots 1 .. capacity-1
	uint32_t used;
	uint32_t high; // highest slot ever taken: where a walk may end
	uint32_t free_count;
	uint32_t *free; // stack
	uint32_t *id;   // by slot; 0 = not named
	uint32_t *uses; // by slot
	uint8_t *busy;  // by slot: taken or waiting for grace
};

int slots_init(struct slots *slots, uint32_t capacity);
void slots_fini(struct slots *slots);
uint32_t slots_find(const struct slots *slots, uint32_t id);      // slot or SLOT_NONE
int slots_take(struct slots *slots, uint32_t id, uint32_t *slot); // any free slot; -ENOSPC, -ENOMEM
int slots_take_at(
	struct slots *slots, uint32_t id, uint32_t slot); // this one; -EBUSY while it is taken
void slots_drop(struct slots *slots, uint32_t slot);      // the id means nothing from now on
void slots_release(struct slots *slots, uint32_t slot);   // after grace: may be taken again

#endif
