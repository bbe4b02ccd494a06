/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_FIB_ARENA_H
#define TABLES_FIB_ARENA_H

// Memory of the FIB: one reserved stretch of addresses, cut into units of one cache line. A block
// is named by the index of its first unit, 29 bits; unit 0 is never given out and always reads as
// zeroes.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNIT_BYTES   64u
#define PAGE_UNITS   512u // 32 KiB: what the buddy allocator deals in
#define ARENA_ORDERS 21u  // largest block: 2^20 pages, the whole arena
#define SMALL_SIZES  25u

struct arena_page;

struct arena {
	char *base;
	struct arena_page *page;
	uint32_t pages;                    // reserved
	uint32_t committed;                // taken from the system, counted from the first
	uint64_t used;                     // units in blocks given out
	uint64_t kept;                     // units that only arena_alloc(.., true) may touch
	uint32_t free_pages[ARENA_ORDERS]; // heads of lists, one per order; page index + 1
	uint32_t partial[SMALL_SIZES]; // heads: pages of one small size with room; page index + 1
	bool hugetlb;
};

int arena_create(struct arena *arena, uint64_t bytes, uint64_t kept_bytes); // 0 or -errno
void arena_destroy(struct arena *arena);

// Returns the first unit of a block of at least `units`, content undefined; 0: full. A block is
// freed with the number of units it was asked for with. last_reserve: may dip into what is kept
// back.
uint32_t arena_alloc(struct arena *arena, uint32_t units, bool last_reserve);
void arena_release(struct arena *arena, uint32_t unit, uint32_t units);
uint32_t arena_round(uint32_t units); // the size a block of that many units really takes
uint64_t arena_committed_bytes(const struct arena *arena);

static inline void *arena_at(const struct arena *arena, uint32_t unit)
{
	return arena->base + (size_t)unit * UNIT_BYTES;
}

static inline uint32_t units_of(size_t bytes)
{
	return (uint32_t)((bytes + UNIT_BYTES - 1) / UNIT_BYTES);
}

#endif
