/* SPDX-License-Identifier: BSD-3-Clause */
// The writer's shadow of a table. Readers never look here.
//
// A table's routes are kept in chunks, the same ones that readers search: one record of a cache
// line for each, with up to two routes in it and more in a sorted list. A record is found by its
// bits through a chained index, and in order through a treap (Seidel and Aragon, 1996) whose
// priorities are a hash of the record's number, so that they need no room. The order puts a chunk
// behind every chunk that covers it: one walk over a range meets parents before children, which is
// what a change of a short prefix needs.

#include "dataplane/tables/fib_shadow.h"

#include <errno.h>
#include <string.h>

#define HEADS_LOG2_FIRST 4u

static uint32_t mix(uint32_t x)
{
	x = (x ^ (x >> 16)) * 0x7feb352du;
	x = (x ^ (x >> 15)) * 0x846ca68bu;
	return x ^ (x >> 16);
}

static uint32_t *head_of(const struct arena *shadow, const struct chunks *all, uint64_t hi,
	uint64_t lo, unsigned slice)
{
	uint64_t h =
		(hi ^ (lo * 0x9e3779b97f4a7c15ull) ^ slice ^ all->salt) * 0xd6e8feb86659fd93ull;
	h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93ull;
	uint32_t *heads = arena_at(shadow, all->heads);
	return &heads[h >> (64 - all->heads_log2)];
}

int chunks_init(struct arena *shadow, struct chunks *all, uint32_t salt)
{
	*all = (struct chunks){.heads_log2 = HEADS_LOG2_FIRST, .salt = salt, .units = 1};
	all->heads = arena_alloc(shadow, 1, false);
	if (!all->heads)
		return -ENOMEM;
	memset(arena_at(shadow, all->heads), 0, UNIT_BYTES);
	return 0;
}

void chunks_fini(struct arena *shadow, struct chunks *all)
{
	if (all->heads)
		arena_release(shadow, all->heads, units_of(sizeof(uint32_t) << all->heads_log2));
	*all = (struct chunks){0};
}

static int index_grow(struct arena *shadow, struct chunks *all)
{
	uint32_t old_heads = all->heads, old_count = 1u << all->heads_log2;
	uint32_t units = units_of(sizeof(uint32_t) * old_count * 4);
	uint32_t heads = arena_alloc(shadow, units, false);
	if (!heads)
		return -ENOMEM;
	memset(arena_at(shadow, heads), 0, (size_t)units * UNIT_BYTES);
	all->heads = heads;
	all->heads_log2 += 2;
	const uint32_t *old = arena_at(shadow, old_heads);
	for (uint32_t i = 0; i < old_count; i++) {
		for (uint32_t id = old[i], next; id; id = next) {
			struct chunk *c = chunk_at(shadow, id);
			uint32_t *head = head_of(shadow, all, c->hi, c->lo, c->slice);
			next = c->chain;
			c->chain = *head;
			*head = id;
		}
	}
	arena_release(shadow, old_heads, units_of(sizeof(uint32_t) * old_count));
	all->units += units - units_of(sizeof(uint32_t) * old_count);
	return 0;
}

struct chunk *chunks_find(
	const struct arena *shadow, const struct chunks *all, struct key key, unsigned slice)
{
	for (uint32_t id = *head_of(shadow, all, key.hi, key.lo, slice); id;) {
		struct chunk *c = chunk_at(shadow, id);
		if (c->hi == key.hi && c->lo == key.lo && c->slice == slice)
			return c;
		id = c->chain;
	}
	return NULL;
}

static bool before(const struct chunk *c, struct key key, unsigned slice)
{
	if (c->hi != key.hi)
		return c->hi < key.hi;
	if (c->lo != key.lo)
		return c->lo < key.lo;
	return c->slice < slice;
}

static void treap_insert(const struct arena *shadow, uint32_t *link, uint32_t id)
{
	struct chunk *c = chunk_at(shadow, id);
	struct key key = {c->hi, c->lo};
	while (*link && mix(*link) >= mix(id)) {
		struct chunk *at = chunk_at(shadow, *link);
		link = before(at, key, c->slice) ? &at->right : &at->left;
	}
	uint32_t rest = *link;
	*link = id;
	uint32_t *left = &c->left, *right = &c->right;
	while (rest) { // split what hung here
		struct chunk *at = chunk_at(shadow, rest);
		if (before(at, key, c->slice)) {
			*left = rest;
			left = &at->right;
			rest = *left;
		} else {
			*right = rest;
			right = &at->left;
			rest = *right;
		}
	}
	*left = *right = 0;
}

static void treap_remove(const struct arena *shadow, uint32_t *link, struct chunk *c)
{
	struct key key = {c->hi, c->lo};
	while (chunk_at(shadow, *link) != c) {
		struct chunk *at = chunk_at(shadow, *link);
		link = before(at, key, c->slice) ? &at->right : &at->left;
	}
	uint32_t left = c->left, right = c->right;
	while (left && right) { // join what hangs below
		if (mix(left) > mix(right)) {
			*link = left;
			link = &chunk_at(shadow, left)->right;
			left = *link;
		} else {
			*link = right;
			link = &chunk_at(shadow, right)->left;
			right = *link;
		}
	}
	*link = left ? left : right;
}

struct chunk *chunks_from(
	const struct arena *shadow, const struct chunks *all, struct key key, unsigned slice)
{
	struct chunk *best = NULL;
	for (uint32_t id = all->root; id;) {
		struct chunk *c = chunk_at(shadow, id);
		if (before(c, key, slice)) {
			id = c->right;
		} else {
			best = c;
			id = c->left;
		}
	}
	return best;
}

struct chunk *chunks_add(struct arena *shadow, struct chunks *all, struct key key, unsigned slice)
{
	if (all->count >= 2u << all->heads_log2 && index_grow(shadow, all) != 0)
		return NULL;
	uint32_t id = arena_alloc(shadow, 1, false);
	if (!id)
		return NULL;
	struct chunk *c = chunk_at(shadow, id);
	*c = (struct chunk){.hi = key.hi, .lo = key.lo, .slice = (uint8_t)slice};
	uint32_t *head = head_of(shadow, all, key.hi, key.lo, slice);
	c->chain = *head;
	*head = id;
	treap_insert(shadow, &all->root, id);
	all->count++;
	all->units++;
	return c;
}

void chunks_remove(struct arena *shadow, struct chunks *all, struct chunk *c)
{
	uint32_t id = chunk_id(shadow, c);
	uint32_t *link = head_of(shadow, all, c->hi, c->lo, c->slice);
	while (*link != id)
		link = &chunk_at(shadow, *link)->chain;
	*link = c->chain;
	treap_remove(shadow, &all->root, c);
	if (c->list_units) {
		arena_release(shadow, c->list, c->list_units);
		all->units -= c->list_units;
	}
	arena_release(shadow, id, 1);
	all->count--;
	all->units--;
}

unsigned entries_find(const entry *e, unsigned n, entry what)
{
	unsigned below = 0;
	while (n) {
		unsigned half = n / 2;
		if ((e[below + half] & ENTRY_ORDER) < (what & ENTRY_ORDER)) {
			below += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return below;
}

// Moves the entries to a list of that many units, 0: into the record.
static int entries_move(struct arena *shadow, struct chunks *all, struct chunk *c, uint32_t units)
{
	uint32_t list = 0;
	if (units && !(list = arena_alloc(shadow, units, false)))
		return -ENOMEM;
	entry *from = chunk_entries(shadow, c);
	uint32_t old_list = c->list, old_units = c->list_units;
	memmove(units ? arena_at(shadow, list) : c->own, from, c->n * sizeof(entry));
	if (units)
		c->list = list;
	if (old_units)
		arena_release(shadow, old_list, old_units);
	c->list_units = (uint16_t)units;
	all->units += units;
	all->units -= old_units;
	return 0;
}

int entries_insert(struct arena *shadow, struct chunks *all, struct chunk *c, unsigned at, entry e)
{
	uint32_t room = c->list_units ? c->list_units * 8u : 2;
	if (c->n == room) {
		uint32_t units = c->list_units ? c->list_units + 1u + c->list_units / 8u : 1;
		int error = entries_move(shadow, all, c, arena_round(units));
		if (error)
			return error;
	}
	entry *list = chunk_entries(shadow, c);
	memmove(&list[at + 1], &list[at], (c->n - at) * sizeof(entry));
	list[at] = e;
	c->n++;
	return 0;
}

void entries_remove(struct arena *shadow, struct chunks *all, struct chunk *c, unsigned at)
{
	entry *list = chunk_entries(shadow, c);
	c->n--;
	memmove(&list[at], &list[at + 1], (c->n - at) * sizeof(entry));
	if (!c->list_units)
		return;
	uint32_t units = c->n <= 1 ? 0 : arena_round(units_of(c->n * sizeof(entry) + UNIT_BYTES));
	if (units == 0 || units + 1 + units / 4 < c->list_units)
		entries_move(shadow, all, c, units); // no memory: it stays as large as it was
}
