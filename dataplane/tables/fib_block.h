/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_FIB_BLOCK_H
#define TABLES_FIB_BLOCK_H

// The blocks that readers meet, and how one of them is searched. Picture and words: fib.c.

#include "dataplane/tables/fib_arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

// A cell: 0 = nothing here, what covers it holds; LEAF | group; or a reference: kind and unit of a
// block.
#define LEAF      0x80000000u // == FIB_FOUND
#define REF_KIND  0x60000000u
#define REF_SHORT 0x00000000u // bucket of at most BUCKET_SHORT keys
#define REF_LONG  0x20000000u // bucket
#define REF_NODE  0x40000000u // node, its cells leaves or references to nodes of the last 8 bits
#define REF_LINE  0x60000000u // bucket of one cache line, which is all that is read of it
#define REF_UNIT  0x1fffffffu

// A bucket: from keys[i] on, up to the next key, values[i] holds; keys[0] is 0. Where the value is
// 0, def does. The values stand behind the keys, 4-aligned.
#define BUCKET_MAX   64u // keys: two vectors of 64 bytes
#define BUCKET_SHORT 32u // one vector
#define BUCKET_LINE  16u // half a vector; keys and values in one line are 9 at most
struct bucket {
	uint32_t def;
	uint16_t n;
	uint16_t values; // offset in bytes of values[-1]
	uint16_t keys[];
};
static_assert(sizeof(struct bucket) == 8, "bucket");

// A node: 256 cells, runs of equal ones kept once. A set bit begins a run. Slots before the first
// run have nothing: their run is number -1, and that is where def stands.
struct node {
	uint64_t bits[4];
	uint8_t before[4]; // set bits in the words of `bits` before this one
	uint32_t def;
	uint32_t cells[];
};
static_assert(sizeof(struct node) == 40, "node");

// All routes of a VRF with few of them: a bucket over whole IPv4 addresses.
#define RANGE_MAX 32u
struct range {
	uint32_t n;
	uint32_t pad;    // 0
	uint32_t keys[]; // then values[n]
};

// IPv6 chunks begin with the bits that lead to them, so that a hash that matches by chance is found
// out.
struct block_key {
	uint64_t hi, lo; // host order, left-aligned, zeroes behind
};
#define SKEW6 ((uint32_t)sizeof(struct block_key))

// The value that holds from the n-th key on, counted from 1.
static inline uint32_t bucket_value(const struct bucket *b, unsigned n)
{
	return *(const uint32_t *)((const char *)b + b->values + 4 * (size_t)n);
}

// The run that a slot belongs to, -1: none.
static inline int node_run(const struct node *node, unsigned slot)
{
	unsigned word = slot >> 6;
	uint64_t upto = node->bits[word] & (~0ull >> (63 - (slot & 63)));
	return node->before[word] + __builtin_popcountll(upto) - 1;
}

// A run's cell, def for run -1.
static inline const uint32_t *node_cell(const struct node *node, int run)
{
	return (const uint32_t *)((const char *)node + (ptrdiff_t)sizeof(*node) +
				  run * (ptrdiff_t)sizeof(uint32_t));
}

static inline uint32_t load_cell(const uint32_t *cell)
{
	return __atomic_load_n(cell, __ATOMIC_ACQUIRE);
}

static inline void store_cell(uint32_t *cell, uint32_t value)
{
	__atomic_store_n(cell, value, __ATOMIC_RELEASE);
}

// What the chunk behind `ref` says about the 16 bits `low`, its own def left aside; 0: nothing.
uint32_t block_find(const struct arena *arena, uint32_t ref, uint32_t skew, uint32_t low);

// Sweeps routes, ordered by (first, length), into boundaries: from pos[i] on value[i] holds.
#define PAINT_MAX 256u
struct paint {
	unsigned n, depth, limit;
	bool overflow;
	uint64_t end; // last position of the domain
	uint32_t pos[PAINT_MAX];
	uint32_t value[PAINT_MAX];
	struct {
		uint64_t last;
		uint32_t value;
	} open[34];
};
void paint_begin(struct paint *p, uint64_t end, unsigned limit);
void paint_add(struct paint *p, uint64_t first, uint64_t last, uint32_t value);
bool paint_end(struct paint *p);                  // false: more boundaries than limit
void paint_from(struct paint *p, unsigned first); // a boundary at `first`, of 0 if there is none

uint32_t bucket_units(unsigned n, uint32_t skew);
uint32_t bucket_write(
	struct arena *arena, uint32_t unit, uint32_t skew, const struct paint *p, uint32_t def);
uint32_t node_units(unsigned runs, uint32_t skew);
// Runs in order; a first one without anything is left out. Returns how many there are.
unsigned node_write(
	struct node *node, const uint32_t *pos, const uint32_t *cells, unsigned n, uint32_t def);
unsigned node_splice(struct node *node, const struct node *old, const uint32_t *pos,
	const uint32_t *cells, unsigned n, unsigned to);
unsigned node_runs(const struct node *node);
uint32_t block_units(const struct arena *arena, uint32_t ref, uint32_t skew);

static inline struct bucket *bucket_at(const struct arena *arena, uint32_t ref, uint32_t skew)
{
	return (struct bucket *)((char *)arena_at(arena, ref & REF_UNIT) + skew);
}

static inline struct node *node_at(const struct arena *arena, uint32_t ref, uint32_t skew)
{
	return (struct node *)((char *)arena_at(arena, ref & REF_UNIT) + skew);
}

// Where a chunk's block keeps its def.
static inline uint32_t *def_at(const struct arena *arena, uint32_t ref, uint32_t skew)
{
	return (ref & REF_KIND) == REF_NODE ? &node_at(arena, ref, skew)->def
					    : &bucket_at(arena, ref, skew)->def;
}

#endif
