/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_IDMAP_H
#define BRIDGE_IDMAP_H

// A map from a 32-bit number (object id, ifindex, kernel table) to a pointer. Open addressing, grows by itself.

#include <stddef.h>
#include <stdint.h>

struct idmap {
	struct idmap_cell {
		uint32_t key;
		void *value; // NULL = free, a tombstone has IDMAP_GONE
	} * cell;
	uint32_t size; // power of two, or 0
	uint32_t used; // cells that are not free, tombstones included
	uint32_t count;
};

void *idmap_get(const struct idmap *map, uint32_t key);
int idmap_set(struct idmap *map, uint32_t key, void *value); // value not NULL; 0 or -ENOMEM
void idmap_remove(struct idmap *map, uint32_t key);
void idmap_free(struct idmap *map);
// The next value from *cursor on (start with 0), NULL at the end. Removing while iterating is fine.
void *idmap_next(const struct idmap *map, uint32_t *cursor);

#endif
