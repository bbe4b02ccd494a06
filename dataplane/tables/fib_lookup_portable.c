/* SPDX-License-Identifier: BSD-3-Clause */
// The bulk lookup for any CPU, and the one that race and address checkers can follow: every word
// that the writer may store meanwhile is loaded atomically. Also the IPv6 lookup of a single key
// that leaves nothing to chance, for the case that a hash matched by accident.

#include "dataplane/tables/fib_private.h"

static inline uint32_t line_ref(const uint64_t *line, uint32_t tag)
{
	uint32_t ref = 0;
	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t slot = __atomic_load_n(&line[i], __ATOMIC_ACQUIRE);
		ref = (uint32_t)(slot >> 32) == tag && !ref ? (uint32_t)slot : ref;
	}
	return ref;
}

static inline uint64_t equal_mask(const uint8_t kinds[FIB_BULK], uint8_t kind)
{
	uint64_t mask = 0;
	for (unsigned i = 0; i < FIB_BULK; i++)
		mask |= (uint64_t)(kinds[i] == kind) << i;
	return mask;
}

static inline uint64_t repeats(const uint32_t *words, unsigned n, uint32_t bits)
{
	uint64_t mask = 0;
	for (unsigned i = 1; i < n; i++)
		mask |= (uint64_t)(((words[i] ^ words[i - 1]) & bits) == 0) << i;
	return mask;
}

static inline unsigned bucket_count(const struct bucket *b, uint32_t low, unsigned most)
{
	unsigned count = 0;
	for (unsigned i = 0; i < b->n; i++)
		count += b->keys[i] <= low;
	return count;
}

static inline unsigned range_count(const struct range *range, uint32_t addr)
{
	unsigned count = 0;
	for (unsigned i = 0; i < range->n; i++)
		count += range->keys[i] <= addr;
	return count;
}

#define LOOKUP4 lookup4_portable
#define LOOKUP6 lookup6_portable
#include "dataplane/tables/fib_lookup_body.h"

static uint32_t matching(
	const struct arena *arena, const uint64_t *line, uint32_t tag, struct key key)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t slot = load_word(&line[i]);
		if ((uint32_t)(slot >> 32) != tag || !(uint32_t)slot)
			continue;
		const struct block_key *found = at_ref(arena->base, (uint32_t)slot);
		if (found->hi == key.hi && found->lo == key.lo)
			return (uint32_t)slot;
	}
	return 0;
}

uint32_t lookup6_alone(const struct fib *fib, uint32_t vrf, struct key key)
{
	const struct record6 *record = &fib->records6[vrf];
	uint32_t known = load_cell(&record->def), ref = load_cell(&record->first);
	unsigned slice = 0;
	for (unsigned s = 7; s && !slice; s--) {
		uint64_t word = load_word(&record->word[s - 1]);
		if (!word)
			continue;
		struct key part = key_of(key, s);
		uint64_t h = hash6(part.hi, part.lo, word);
		const uint64_t *slots = at_ref(fib->arena.base, root_unit(word));
		const uint64_t *line = slots + (size_t)hash_line(h) * SLOTS;
		uint32_t found = matching(&fib->arena, line, hash_tag(h), part);
		if (elsewhere(found, line))
			found = matching(&fib->arena, neighbour(line), hash_tag(h), part);
		if (found) {
			ref = found;
			slice = s;
		}
	}
	uint32_t value = block_find(&fib->arena, ref, SKEW6, key_next(key, slice));
	return either(value, either(load_cell(def_at(&fib->arena, ref, SKEW6)), known));
}
