/* SPDX-License-Identifier: BSD-3-Clause */
// The bulk lookup, included once by each fib_lookup_*.c, which defines before:
//
//   LOOKUP4, LOOKUP6   names of the two functions
//   line_ref()         ref of the slot of that tag in a line, 0: none
//   bucket_count()     keys of a bucket that are <= low
//   range_count()      the same for a range
//
// A lookup has at most four places that may be cold: record, line of the hash, chunk, last-level node. All keys
// of the batch go one place further before any goes two: each stage reads what the stage before prefetched,
// and sorts the keys into one list per kind of block, so that no loop branches on what it finds.

#include "dataplane/tables/fib_private.h"

#include <string.h>

static inline const void *at_ref(const char *base, uint32_t ref)
{
	return base + (size_t)(ref & REF_UNIT) * UNIT_BYTES;
}

static inline uint64_t load_word(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline bool line_full(const uint64_t *line)
{
	return load_word(&line[SLOTS - 1]) != 0;
}

static inline const uint64_t *neighbour(const uint64_t *line)
{
	return (const uint64_t *)((uintptr_t)line ^ UNIT_BYTES);
}

static inline void prefetch(const void *at)
{
	__builtin_prefetch(at, 0, 3);
}

static inline void prefetch_chunk(const char *at)
{
	prefetch(at);
	prefetch(at + UNIT_BYTES);
}

static inline struct key key6(const uint8_t *addr)
{
	uint64_t words[2];
	memcpy(words, addr, sizeof(words));
	return (struct key){__builtin_bswap64(words[0]), __builtin_bswap64(words[1])};
}

static const uint64_t mask_hi[8] = {
	0, ~0ull << 48, ~0ull << 32, ~0ull << 16, ~0ull, ~0ull, ~0ull, ~0ull};
static const uint64_t mask_lo[8] = {0, 0, 0, 0, 0, ~0ull << 48, ~0ull << 32, ~0ull << 16};

// The nearest of: a value, the block's own cover, what was known before.
static inline uint32_t nearest(uint32_t value, uint32_t def, uint32_t known)
{
	known = def ? def : known;
	return value ? value : known;
}

static inline uint32_t bucket_value(const struct bucket *b, uint32_t low, bool is_long)
{
	unsigned n = bucket_count(b, low, is_long);
	uint32_t value = *(const uint32_t *)((const char *)bucket_values(b) + 4 * (size_t)n - 4);
	return n ? value : 0; // without any, what was read is the end of the keys
}

struct batch {
	const char *base;
	uint32_t *result;       // best so far
	uint32_t low[FIB_BULK]; // the 16 bits to search the chunk by
	uint32_t ref[FIB_BULK]; // of the chunk
	const struct node *last[FIB_BULK];
	uint8_t buckets[FIB_BULK], longs[FIB_BULK], nodes[FIB_BULK], lasts[FIB_BULK];
	unsigned n_buckets, n_longs, n_nodes, n_lasts;
};

static inline void add_chunk(struct batch *b, unsigned i, uint32_t ref, uint32_t low)
{
	uint32_t kind = ref & REF_KIND;
	b->ref[i] = ref;
	b->low[i] = low;
	b->buckets[b->n_buckets] = (uint8_t)i;
	b->n_buckets += kind == REF_SHORT;
	b->longs[b->n_longs] = (uint8_t)i;
	b->n_longs += kind == REF_LONG;
	b->nodes[b->n_nodes] = (uint8_t)i;
	b->n_nodes += kind == REF_NODE;
}

static inline void do_buckets(
	struct batch *b, const uint8_t *list, unsigned n, bool is_long, uint32_t skew)
{
	for (unsigned j = 0; j < n; j++) {
		unsigned i = list[j];
		const struct bucket *bucket =
			(const struct bucket *)((const char *)at_ref(b->base, b->ref[i]) + skew);
		uint32_t value = bucket_value(bucket, b->low[i], is_long);
		b->result[i] = nearest(value, load_cell(&bucket->def), b->result[i]);
	}
}

static inline void do_chunks(struct batch *b, uint32_t skew)
{
	for (unsigned j = 0; j < b->n_nodes; j++) {
		unsigned i = b->nodes[j];
		const struct node *node =
			(const struct node *)((const char *)at_ref(b->base, b->ref[i]) + skew);
		uint32_t cell = load_cell(&node->cells[node_run(node, b->low[i] >> 8)]);
		bool deeper = cell && !(cell & LEAF);
		b->result[i] = nearest(deeper ? 0 : cell, load_cell(&node->def), b->result[i]);
		b->last[i] = at_ref(b->base, cell);
		prefetch(b->last[i]);
		b->lasts[b->n_lasts] = (uint8_t)i;
		b->n_lasts += deeper;
	}
	do_buckets(b, b->buckets, b->n_buckets, false, skew);
	do_buckets(b, b->longs, b->n_longs, true, skew);
	for (unsigned j = 0; j < b->n_lasts; j++) {
		unsigned i = b->lasts[j];
		const struct node *node = b->last[i];
		uint32_t value = node->cells[node_run(node, b->low[i] & 255)];
		b->result[i] = nearest(value, load_cell(&node->def), b->result[i]);
	}
}

void LOOKUP4(const struct fib *fib, const uint32_t *vrf, const uint32_t *addr, uint32_t *result,
	unsigned n)
{
	struct batch b = {.base = fib->arena.base, .result = result};
	const char *place[FIB_BULK];
	uint32_t first[FIB_BULK];
	uint8_t ranges[FIB_BULK], hashes[FIB_BULK], directs[FIB_BULK];
	unsigned n_ranges = 0, n_hashes = 0, n_directs = 0;

	for (unsigned i = 0; i < n; i++)
		prefetch(&fib->records4[vrf[i]]);
	for (unsigned i = 0; i < n; i++) {
		const struct record4 *record = &fib->records4[vrf[i]];
		uint64_t word = load_word(&record->word);
		uint32_t high = addr[i] >> 16, kind = root_kind(word);
		first[i] = load_cell(&record->first);
		result[i] = load_cell(&record->def);
		size_t line = (size_t)hash_line(hash4(high, root_seed(word), root_log2(word))) *
			      UNIT_BYTES;
		size_t offset = kind == ROOT_HASH ? line : kind == ROOT_DIRECT ? high * 4 : 0;
		place[i] = (const char *)at_ref(b.base, root_unit(word)) + offset;
		prefetch(place[i]);
		ranges[n_ranges] = (uint8_t)i;
		n_ranges += kind == ROOT_RANGE;
		hashes[n_hashes] = (uint8_t)i;
		n_hashes += kind == ROOT_HASH;
		directs[n_directs] = (uint8_t)i;
		n_directs += kind == ROOT_DIRECT;
	}
	for (unsigned j = 0; j < n_hashes; j++) {
		unsigned i = hashes[j];
		const uint64_t *line = (const uint64_t *)place[i];
		uint32_t high = addr[i] >> 16, ref = line_ref(line, TAG | high);
		if (__builtin_expect(!ref && line_full(line), 0))
			ref = line_ref(neighbour(line), TAG | high);
		uint32_t chunk = ref ? ref : first[i];
		prefetch_chunk(at_ref(b.base, chunk));
		add_chunk(&b, i, chunk, ref ? addr[i] & 0xffff : high);
	}
	for (unsigned j = 0; j < n_directs; j++) {
		unsigned i = directs[j];
		uint32_t ref = load_cell((const uint32_t *)place[i]);
		uint32_t chunk = ref ? ref : first[i];
		prefetch_chunk(at_ref(b.base, chunk));
		add_chunk(&b, i, chunk, ref ? addr[i] & 0xffff : addr[i] >> 16);
	}
	for (unsigned j = 0; j < n_ranges; j++) {
		unsigned i = ranges[j];
		const struct range *range = (const struct range *)place[i];
		unsigned keys = range_count(range, addr[i]);
		uint32_t value = range->keys[keys ? range->n + keys - 1 : 0];
		result[i] = nearest(keys ? value : 0, 0, result[i]);
	}
	do_chunks(&b, 0);
}

// Hits of all slices in use are looked for at once; the longest is taken, and the bits that lead to its chunk are
// compared there. Should they differ (a hash matched by chance, once in 2^31), that key is done again alone.
void LOOKUP6(const struct fib *fib, const uint32_t *vrf, const uint8_t *const *addr,
	uint32_t *result, unsigned n)
{
	struct batch b = {.base = fib->arena.base, .result = result};
	struct key key[FIB_BULK];
	const uint64_t *line[FIB_BULK * 7];
	uint32_t tag[FIB_BULK * 7], chunk[FIB_BULK];
	uint8_t owner[FIB_BULK * 7], of_slice[FIB_BULK * 7], slice[FIB_BULK];
	unsigned pairs = 0;

	for (unsigned i = 0; i < n; i++)
		prefetch(&fib->records6[vrf[i]]);
	for (unsigned i = 0; i < n; i++) {
		const struct record6 *record = &fib->records6[vrf[i]];
		key[i] = key6(addr[i]);
		chunk[i] = load_cell(&record->first);
		slice[i] = 0;
		result[i] = load_cell(&record->def);
		for (unsigned s = 1; s < 8; s++) {
			uint64_t word = load_word(&record->word[s - 1]);
			if (!word)
				continue;
			uint64_t h = hash6(key[i].hi & mask_hi[s], key[i].lo & mask_lo[s],
				root_seed(word), root_log2(word));
			line[pairs] = (const uint64_t *)at_ref(b.base, root_unit(word)) +
				      (size_t)hash_line(h) * SLOTS;
			prefetch(line[pairs]);
			tag[pairs] = hash_tag(h);
			owner[pairs] = (uint8_t)i;
			of_slice[pairs++] = (uint8_t)s;
		}
	}
	for (unsigned j = 0; j < pairs; j++) {
		uint32_t ref = line_ref(line[j], tag[j]);
		if (__builtin_expect(!ref && line_full(line[j]), 0))
			ref = line_ref(neighbour(line[j]), tag[j]);
		unsigned i = owner[j];
		chunk[i] = ref ? ref : chunk[i];
		slice[i] = ref ? of_slice[j] : slice[i];
	}
	for (unsigned i = 0; i < n; i++)
		prefetch_chunk(at_ref(b.base, chunk[i]));
	for (unsigned i = 0; i < n; i++) {
		const struct block_key *found = at_ref(b.base, chunk[i]);
		uint64_t differ = ((found->hi ^ key[i].hi) & mask_hi[slice[i]]) |
				  ((found->lo ^ key[i].lo) & mask_lo[slice[i]]);
		if (__builtin_expect(differ != 0, 0)) {
			result[i] = lookup6_alone(fib, vrf[i], key[i]);
			continue;
		}
		add_chunk(&b, i, chunk[i], key_next(key[i], slice[i]));
	}
	do_chunks(&b, SKEW6);
}
