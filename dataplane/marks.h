/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_MARKS_H
#define DATAPLANE_MARKS_H

// A set of object names, for sweeps: what was SET since BEGIN.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a record names: its SET type, its id or VRF, and for routes and local addresses the prefix.
struct mark {
	uint16_t type;
	uint8_t family;
	uint8_t len;
	uint32_t id;
	uint8_t addr[16];
};

struct marks {
	struct mark *mark; // type 0 = empty
	size_t capacity;   // power of two, or 0
	size_t used;
};

int marks_add(struct marks *marks, const struct mark *mark); // 0 (also if it was in), -ENOMEM
bool marks_have(const struct marks *marks, const struct mark *mark);
void marks_clear(struct marks *marks);

// The mark of a SET or DELETE record. `type` is reduced to the SET type. Type 0: the record names
// nothing that is swept.
struct mark mark_of(uint16_t type, const void *record);

#endif
