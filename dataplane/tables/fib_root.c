/* SPDX-License-Identifier: BSD-3-Clause */
// Roots: how a reader gets from a VRF to a chunk. Three kinds, chosen by the number of chunks:
//
//   range   (IPv4, few routes) no chunks, one bucket over whole addresses (fib_rebuild.c)
//   hash    lines of eight (tag, ref) slots; IPv4 has one, IPv6 one for each slice in use
//   direct  (IPv4, from DIRECT_FROM chunks on) an array of 2^16 refs
//
// A hash is never changed but by storing whole slots, and a slot keeps its tag: a reader that
// matched the tag and reads the slot again gets a ref for that tag or none. What finds no room in
// its line or the neighbour makes the whole hash anew: aside, with another seed, after some tries
// twice as large, published by one store of the root word. Seeds are random, so that nobody can
// choose prefixes that collide.

#include "dataplane/tables/fib_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIRECT_FROM  14000u
#define DIRECT_UNTIL 6000u
#define DIRECT_UNITS (65536u * 4 / UNIT_BYTES)
#define SEED_TRIES   6u
#define NO_PLACE     UINT32_MAX

static uint64_t *word_at(const struct fib *fib, const struct table *t, unsigned slice)
{
	return t->family == FIB_IPV6 ? &fib->records6[t->vrf->slot].word[slice - 1]
				     : &fib->records4[t->vrf->slot].word;
}

static uint32_t *first_at(const struct fib *fib, const struct table *t)
{
	return t->family == FIB_IPV6 ? &fib->records6[t->vrf->slot].first
				     : &fib->records4[t->vrf->slot].first;
}

uint64_t root_load(const struct fib *fib, const struct table *t, unsigned slice)
{
	return *word_at(fib, t, slice);
}

void root_store4(struct fib *fib, struct table *t, uint64_t word)
{
	__atomic_store_n(&fib->records4[t->vrf->slot].word, word, __ATOMIC_RELEASE);
}

static uint32_t root_units(uint64_t word)
{
	if (root_kind(word) == ROOT_DIRECT)
		return DIRECT_UNITS;
	return root_kind(word) == ROOT_HASH ? 1u << root_log2(word) : 0;
}

uint32_t range_units(const struct fib *fib, uint64_t word)
{
	if (!root_unit(word))
		return 0;
	const struct range *range = arena_at(&fib->arena, root_unit(word));
	return units_of(sizeof(*range) + range->n * 2 * sizeof(uint32_t));
}

static uint64_t hash_of(const struct table *t, const struct chunk *c, uint64_t word)
{
	if (t->family == FIB_IPV6)
		return hash6(c->hi, c->lo, word);
	return hash4((uint32_t)(c->hi >> 48), word);
}

// The slot of that tag, else the first unused one; in the line, then in its neighbour.
static uint32_t find_place(const uint64_t *slots, uint64_t h)
{
	uint32_t line = hash_line(h);
	const uint32_t lines[2] = {line, line ^ 1};
	for (unsigned which = 0; which < 2; which++)
		for (uint32_t i = 0; i < SLOTS; i++)
			if (slots[lines[which] * SLOTS + i] == (uint64_t)hash_tag(h) << 32)
				return lines[which] * SLOTS + i;
	for (unsigned which = 0; which < 2; which++)
		for (uint32_t i = 0; i < SLOTS; i++)
			if (slots[lines[which] * SLOTS + i] == 0)
				return lines[which] * SLOTS + i;
	return NO_PLACE;
}

static void store_slot(
	struct fib *fib, const struct table *t, const struct chunk *c, uint64_t word, uint32_t ref)
{
	if (root_kind(word) == ROOT_DIRECT) {
		store_cell((uint32_t *)arena_at(&fib->arena, root_unit(word)) + c->place, ref);
		return;
	}
	uint64_t *slots = arena_at(&fib->arena, root_unit(word));
	uint64_t tag = hash_tag(hash_of(t, c, word));
	__atomic_store_n(&slots[c->place], tag << 32 | ref, __ATOMIC_RELEASE);
}

// The chunks of one slice that readers can be led to, in order.
struct members {
	uint32_t *id;
	uint32_t n;
};

static void collect(const struct fib *fib, uint32_t id, unsigned slice, struct members *m)
{
	while (id) {
		const struct chunk *c = chunk_at(&fib->shadow, id);
		collect(fib, c->left, slice, m);
		if (c->slice == slice && c->ref)
			m->id[m->n++] = id;
		id = c->right;
	}
}

static bool fill(struct fib *fib, const struct table *t, const struct members *m, uint64_t word)
{
	uint64_t *slots = arena_at(&fib->arena, root_unit(word));
	memset(slots, 0, (size_t)UNIT_BYTES << root_log2(word));
	for (uint32_t i = 0; i < m->n; i++) {
		const struct chunk *c = chunk_at(&fib->shadow, m->id[i]);
		uint64_t h = hash_of(t, c, word);
		uint32_t place = find_place(slots, h);
		if (place == NO_PLACE)
			return false;
		slots[place] = (uint64_t)hash_tag(h) << 32 | c->ref;
	}
	return true;
}

// Writes a hash aside that has room for all members and for `extra`; 0: no memory.
static uint64_t write_hash(struct fib *fib, struct table *t, const struct members *m,
	const struct chunk *extra, bool last_reserve)
{
	unsigned log2 = 1; // two lines: every line has a neighbour
	while ((SLOTS << log2) * 5 / 8 < m->n + !!extra && log2 < 26)
		log2++;
	for (; log2 < 28; log2++) {
		uint32_t unit = fib_alloc(fib, 1u << log2, last_reserve);
		if (!unit)
			return 0;
		for (unsigned attempt = 0; attempt < SEED_TRIES; attempt++) {
			fib->random = fib->random * 1664525u + 1013904223u;
			uint64_t word = root_word(ROOT_HASH, log2, unit, fib->random >> 4);
			const uint64_t *slots = arena_at(&fib->arena, unit);
			if (fill(fib, t, m, word) &&
				(!extra || find_place(slots, hash_of(t, extra, word)) != NO_PLACE))
				return word;
		}
		arena_release(&fib->arena, unit, 1u << log2);
	}
	return 0;
}

static uint64_t write_direct(struct fib *fib, const struct members *m, bool last_reserve)
{
	uint32_t unit = fib_alloc(fib, DIRECT_UNITS, last_reserve);
	if (!unit)
		return 0;
	uint32_t *slots = arena_at(&fib->arena, unit);
	memset(slots, 0, DIRECT_UNITS * UNIT_BYTES);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct chunk *c = chunk_at(&fib->shadow, m->id[i]);
		slots[c->hi >> 48] = c->ref;
	}
	return root_word(ROOT_DIRECT, 0, unit, 0);
}

static void note_places(struct fib *fib, struct table *t, const struct members *m, uint64_t word)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct chunk *c = chunk_at(&fib->shadow, m->id[i]);
		if (root_kind(word) == ROOT_DIRECT) {
			c->place = (uint32_t)(c->hi >> 48);
			continue;
		}
		const uint64_t *slots = arena_at(&fib->arena, root_unit(word));
		uint64_t h = hash_of(t, c, word);
		uint64_t slot = (uint64_t)hash_tag(h) << 32 | c->ref;
		uint32_t place = hash_line(h) * SLOTS;
		for (uint32_t j = 0; j < 2 * SLOTS; j++, place++) {
			if (j == SLOTS)
				place = (hash_line(h) ^ 1) * SLOTS;
			if (slots[place] == slot)
				break;
		}
		c->place = place;
	}
}

static int rebuild(struct fib *fib, struct table *t, unsigned slice, const struct chunk *extra,
	bool last_reserve)
{
	struct members m = {malloc((t->chunks.count + 1) * sizeof(uint32_t)), 0};
	if (!m.id)
		return -ENOMEM;
	collect(fib, t->chunks.root, slice, &m);
	uint64_t old = root_load(fib, t, slice);
	uint32_t direct_from = root_kind(old) == ROOT_DIRECT ? DIRECT_UNTIL : DIRECT_FROM;
	bool direct = t->family == FIB_IPV4 && m.n + !!extra >= direct_from;
	uint64_t word = direct ? write_direct(fib, &m, last_reserve)
			       : write_hash(fib, t, &m, extra, last_reserve);
	if (word) {
		note_places(fib, t, &m, word);
		__atomic_store_n(word_at(fib, t, slice), word, __ATOMIC_RELEASE);
		t->slices[slice].live = m.n;
		t->vrf->units += root_units(word);
		if (root_units(old)) {
			t->vrf->units -= root_units(old);
			fib_retire(fib, root_unit(old), root_units(old));
		}
	}
	free(m.id);
	return word ? 0 : -ENOMEM;
}

// Makes sure that there is a place for a chunk that readers cannot find yet, and notes it in the
// chunk.
int root_prepare(struct fib *fib, struct table *t, struct chunk *c, bool last_reserve)
{
	if (c->slice == 0)
		return 0;
	uint64_t word = root_load(fib, t, c->slice);
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		if (root_kind(word) == ROOT_DIRECT) {
			c->place = (uint32_t)(c->hi >> 48);
			return 0;
		}
		const uint64_t *slots = arena_at(&fib->arena, root_unit(word));
		c->place = root_kind(word) == ROOT_HASH ? find_place(slots, hash_of(t, c, word))
							: NO_PLACE;
		if (c->place != NO_PLACE)
			return 0;
		int error = rebuild(fib, t, c->slice, c, last_reserve);
		if (error)
			return error;
		word = root_load(fib, t, c->slice);
	}
	return -ENOMEM;
}

void root_publish(struct fib *fib, struct table *t, struct chunk *c, uint32_t ref)
{
	t->slices[c->slice].live += c->ref == 0;
	c->ref = ref;
	if (c->slice == 0)
		store_cell(first_at(fib, t), ref);
	else
		store_slot(fib, t, c, root_load(fib, t, c->slice), ref);
}

// No new reader finds the chunk; a hash or an array that has become far too large is made smaller.
void root_withdraw(struct fib *fib, struct table *t, struct chunk *c)
{
	struct slice *slice = &t->slices[c->slice];
	c->ref = 0;
	slice->live--;
	if (c->slice == 0) {
		store_cell(first_at(fib, t), 0);
		return;
	}
	uint64_t word = root_load(fib, t, c->slice);
	if (slice->live == 0 && t->family == FIB_IPV6) {
		__atomic_store_n(word_at(fib, t, c->slice), 0, __ATOMIC_RELEASE);
		t->vrf->units -= root_units(word);
		fib_retire(fib, root_unit(word), root_units(word));
		*slice = (struct slice){0};
		return;
	}
	store_slot(fib, t, c, word, 0);
	uint32_t slots = root_kind(word) == ROOT_DIRECT ? 0 : SLOTS << root_log2(word);
	if (root_kind(word) == ROOT_DIRECT ? slice->live < DIRECT_UNTIL
					   : root_log2(word) > 1 && slice->live * 8 < slots)
		rebuild(fib, t, c->slice, NULL, true); // no memory: it stays as it is
}

// The table has been a range; every chunk has its block now, no reader can find one yet.
int root_to_hash(struct fib *fib, struct table *t, bool last_reserve)
{
	struct chunk *first = chunks_find(&fib->shadow, &t->chunks, (struct key){0}, 0);
	uint32_t old = *first_at(fib, t);
	store_cell(first_at(fib, t), first ? first->ref : 0);
	int error = rebuild(fib, t, 1, NULL, last_reserve);
	if (error)
		store_cell(first_at(fib, t), old);
	else
		t->slices[0].live = first != NULL;
	return error;
}

// For a table that readers have already been taken off: the roots alone.
void root_drop(struct fib *fib, struct table *t)
{
	unsigned slices = t->family == FIB_IPV6 ? 8 : 2;
	for (unsigned slice = 1; slice < slices; slice++) {
		uint64_t *word = word_at(fib, t, slice);
		uint64_t old = *word;
		uint32_t units =
			root_kind(old) == ROOT_RANGE ? range_units(fib, old) : root_units(old);
		__atomic_store_n(word, 0, __ATOMIC_RELEASE);
		t->vrf->units -= units;
		if (units)
			fib_retire(fib, root_unit(old), units);
	}
	store_cell(first_at(fib, t), 0);
}
