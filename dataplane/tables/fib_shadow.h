/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_FIB_SHADOW_H
#define TABLES_FIB_SHADOW_H

// The writer's side of a table: which prefix ends where, with which group and origin.

#include "dataplane/tables/fib_arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct key {
	uint64_t hi, lo; // an address, host order; IPv4 in the upper half of hi
};

// A route inside its chunk, one word that sorts as (first position, length): position 16 bits,
// length - 1 4 bits, origin 8 bits, group 24 bits from the bottom, nothing between.
typedef uint64_t entry;
#define ENTRY_ORDER (~0ull << 44)

static inline entry entry_make(uint32_t pos, uint32_t len, uint8_t origin, uint32_t group)
{
	return (uint64_t)pos << 48 | (uint64_t)(len - 1) << 44 | (uint64_t)origin << 24 | group;
}
static inline uint32_t entry_first(entry e)
{
	return (uint32_t)(e >> 48);
}
static inline uint32_t entry_len(entry e) // within the chunk, 1..16
{
	return ((uint32_t)(e >> 44) & 15) + 1;
}
static inline uint32_t entry_last(entry e)
{
	return entry_first(e) | (0xffffu >> entry_len(e));
}
static inline uint8_t entry_origin(entry e)
{
	return (uint8_t)(e >> 24);
}
static inline uint32_t entry_group(entry e)
{
	return (uint32_t)e & 0xffffffu;
}

// All prefixes of length 16 * slice + 1 .. 16 * slice + 16 that agree in their first 16 * slice
// bits.
struct chunk {
	uint64_t hi, lo; // those bits, zeroes behind
	uint32_t left,
		right;       // treap, by (hi, lo, slice): what covers comes before what is covered
	uint32_t chain;      // index
	uint32_t place;      // where readers find `ref`: index into the slots of the hash or array
	uint32_t ref;        // the block readers search, 0: none (the table is tiny)
	uint32_t def;        // cell that holds where no prefix of this chunk does; without the /0
	uint32_t n;          // entries
	uint16_t list_units; // 0: they stand in `own`
	uint8_t slice;
	uint8_t pad;
	union {
		entry own[2];
		uint32_t list; // unit in the shadow arena
	};
};
static_assert(sizeof(struct chunk) == UNIT_BYTES, "a chunk is one unit");

struct chunks {
	uint32_t root;  // of the treap
	uint32_t heads; // index: unit of the array of chains
	uint32_t heads_log2;
	uint32_t count;
	uint32_t salt;
	uint64_t units; // of shadow memory in all
};

static inline struct chunk *chunk_at(const struct arena *shadow, uint32_t id)
{
	return arena_at(shadow, id);
}
static inline entry *chunk_entries(const struct arena *shadow, struct chunk *c)
{
	return c->list_units ? arena_at(shadow, c->list) : c->own;
}

// Of an address: its first 16 * slice bits, and the 16 after those.
static inline struct key key_of(struct key addr, unsigned slice)
{
	unsigned bits = slice * 16;
	if (bits >= 64)
		return (struct key){addr.hi, bits == 64 ? 0 : addr.lo & (~0ull << (128 - bits))};
	return (struct key){bits == 0 ? 0 : addr.hi & (~0ull << (64 - bits)), 0};
}
static inline uint32_t key_next(struct key addr, unsigned slice)
{
	uint64_t half = slice < 4 ? addr.hi : addr.lo;
	return (uint32_t)(half >> (48 - 16 * (slice & 3))) & 0xffff;
}

int chunks_init(struct arena *shadow, struct chunks *all, uint32_t salt);
void chunks_fini(struct arena *shadow, struct chunks *all); // must be empty
struct chunk *chunks_find(
	const struct arena *shadow, const struct chunks *all, struct key key, unsigned slice);
struct chunk *chunks_add(struct arena *shadow, struct chunks *all, struct key key, unsigned slice);
void chunks_remove(
	struct arena *shadow, struct chunks *all, struct chunk *c); // frees it and its entries
// First in treap order at or behind (key, slice); NULL: none.
struct chunk *chunks_from(
	const struct arena *shadow, const struct chunks *all, struct key key, unsigned slice);

unsigned entries_find(const entry *e, unsigned n, entry what); // first index not before `what`
int entries_insert(struct arena *shadow, struct chunks *all, struct chunk *c, unsigned at, entry e);
void entries_remove(struct arena *shadow, struct chunks *all, struct chunk *c, unsigned at);

static inline uint32_t chunk_id(const struct arena *shadow, const struct chunk *c)
{
	return (uint32_t)(((const char *)c - shadow->base) / UNIT_BYTES);
}

#endif
