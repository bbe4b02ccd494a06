/* SPDX-License-Identifier: BSD-3-Clause */
// The bulk lookup, included once by each fib_lookup_*.c, which defines before:
//
//   LOOKUP4, LOOKUP6   names of the two functions
//   line_ref()         ref of the slot of that tag in a line, 0: none
//   bucket_count()     keys of a bucket of at most so many that are <= low
//   range_count()      the same for a range
//   equal_mask()       which of 64 bytes are equal to one
//   repeats()          which of n words are equal to the one before them in some bits (never the
//                      first)
//   hash_slices()      optional, with HASH_SLICES
//
// A lookup has at most four places that may be cold: record, line of the hash, chunk, last-level
// node. All keys of the batch go one place further before any goes two: each stage reads what the
// stage before prefetched, and sorts the keys into one list per kind of block, so that no loop
// branches on what it finds.

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

// Nothing was found in a line whose last slot is used: its neighbour may have it. One test, seldom
// true.
static inline bool elsewhere(uint32_t ref, const uint64_t *line)
{
	return __builtin_expect((ref == 0) & (load_word(&line[SLOTS - 1]) != 0), 0);
}

static inline const uint64_t *neighbour(const uint64_t *line)
{
	return (const uint64_t *)((uintptr_t)line ^ UNIT_BYTES);
}

static inline void prefetch(const void *at)
{
	__builtin_prefetch(at, 0, 3);
}

static inline struct key key6(const uint8_t *addr)
{
	uint64_t words[2];
	memcpy(words, addr, sizeof(words));
	return (struct key){__builtin_bswap64(words[0]), __builtin_bswap64(words[1])};
}

static const uint64_t mask_hi[9] = {
	0, ~0ull << 48, ~0ull << 32, ~0ull << 16, ~0ull, ~0ull, ~0ull, ~0ull};
static const uint64_t mask_lo[9] = {0, 0, 0, 0, 0, ~0ull << 48, ~0ull << 32, ~0ull << 16};

// Where to look in each slice: the unit of the line, and the tag. Returns a bit for each slice in
// use, from 1 on.
struct hashes6 {
	uint32_t unit[8];
	uint32_t tag[8];
};

#ifndef HASH_SLICES
static inline uint64_t hash_slices(
	const struct record6 *record, struct key key, struct hashes6 *out)
{
	uint64_t used = 0;
	for (unsigned s = 1; s < 8; s++) {
		uint64_t word = load_word(&record->word[s - 1]);
		uint64_t h = hash6(key.hi & mask_hi[s], key.lo & mask_lo[s], word);
		out->unit[s - 1] = root_unit(word) + hash_line(h);
		out->tag[s - 1] = hash_tag(h);
		used |= (uint64_t)(word != 0) << (s - 1);
	}
	return used;
}
#endif

// a, or b where a is 0, without a branch that could be mispredicted.
static inline uint32_t either(uint32_t a, uint32_t b)
{
	return a | (b & -(uint32_t)(a == 0));
}

// The keys of a batch on their way. kind[i] says where a key is: kinds of roots in the first
// stages, of chunks (REF_KIND's two bits) from then on.
struct batch {
	uint8_t kind[FIB_BULK] __attribute__((aligned(64)));
	uint64_t open; // bit i: key i is not done; kind[i] says nothing of others
	const char *base;
	uint32_t *result;       // the best so far
	uint32_t ref[FIB_BULK]; // of the chunk, then of the last-level node
	uint16_t low[FIB_BULK]; // the 16 bits to search the chunk by
};

#define EACH(i, mask) \
	(uint64_t m = (mask), i; m && (i = (uint64_t)__builtin_ctzll(m), true); m &= m - 1)

static inline void find_chunk(
	struct batch *b, unsigned i, uint32_t ref, uint32_t first, uint32_t low, uint32_t high)
{
	uint32_t miss = -(uint32_t)(ref == 0);
	ref |= first & miss;
	const char *at = at_ref(b->base, ref);
	uint32_t kind = ref >> 29, more = -(uint32_t)(kind != REF_LINE >> 29);
	prefetch(at);
	prefetch(at + (more & UNIT_BYTES));
	b->ref[i] = ref;
	b->low[i] = (uint16_t)(low ^ ((low ^ high) & miss));
	b->kind[i] = (uint8_t)kind;
}

// The open keys at a place of that kind.
static inline uint64_t at_kind(const struct batch *b, uint8_t kind)
{
	return equal_mask(b->kind, kind) & b->open;
}

static inline void do_buckets(struct batch *b, uint64_t mask, unsigned most, uint32_t skew)
{
	for
		EACH(i, mask)
		{
			const struct bucket *bucket =
				(const struct bucket *)((const char *)at_ref(b->base, b->ref[i]) +
							skew);
			uint32_t value =
				bucket_value(bucket, bucket_count(bucket, b->low[i], most));
			b->result[i] = either(value, either(load_cell(&bucket->def), b->result[i]));
		}
}

static inline void do_chunks(struct batch *b, uint32_t skew)
{
	uint64_t nodes = at_kind(b, REF_NODE >> 29), last = 0;
	for
		EACH(i, nodes)
		{
			const struct node *node =
				(const struct node *)((const char *)at_ref(b->base, b->ref[i]) +
						      skew);
			uint32_t cell = load_cell(node_cell(node, node_run(node, b->low[i] >> 8)));
			b->ref[i] = cell;
			prefetch(at_ref(b->base, cell));
			uint32_t value = cell & -(cell >> 31); // a leaf
			last |= (uint64_t)((cell & (LEAF | REF_NODE)) == REF_NODE) << i;
			b->result[i] = either(value, either(load_cell(&node->def), b->result[i]));
		}
	do_buckets(b, at_kind(b, REF_LINE >> 29), BUCKET_LINE, skew);
	do_buckets(b, at_kind(b, REF_SHORT >> 29), BUCKET_SHORT, skew);
	do_buckets(b, at_kind(b, REF_LONG >> 29), BUCKET_MAX, skew);
	for
		EACH(i, last)
		{
			const struct node *node = at_ref(b->base, b->ref[i]);
			uint32_t value =
				load_cell(node_cell(node, node_run(node, b->low[i] & 255)));
			b->result[i] = either(value, either(load_cell(&node->def), b->result[i]));
		}
}

static inline void find_by_hash(
	struct batch *b, unsigned i, const uint64_t *line, uint32_t addr, uint32_t first)
{
	uint32_t high = addr >> 16, ref = line_ref(line, TAG | high);
	if (elsewhere(ref, line))
		ref = line_ref(neighbour(line), TAG | high);
	find_chunk(b, i, ref, first, addr & 0xffff, high);
}

static inline uint64_t all_of(unsigned n)
{
	return n < FIB_BULK ? (1ull << n) - 1 : ~0ull;
}

static inline uint32_t range_value(const struct range *range, uint32_t addr)
{
	return (range->keys - 1)[range->n + range_count(range, addr)];
}

// Where in a hash the key is.
static inline const uint64_t *hash_at(const char *root, uint64_t word, uint32_t addr)
{
	size_t line = hash_line(hash4(addr >> 16, word));
	return (const uint64_t *)(root + line * UNIT_BYTES);
}

// Neighbors of one /16, as the sources behind an interface mostly are, lie in one chunk: it is
// looked for once. near: which keys differ from the one before in the lower 16 bits only.
static inline void descend_near(struct batch *b, const char *root, uint64_t word, uint32_t first,
	const uint32_t *addr, unsigned n, uint64_t near)
{
	const uint64_t *line[FIB_BULK];
	unsigned i = (unsigned)__builtin_ctzll(near);

	for
		EACH(k, b->open & ~near)
		{
			line[k] = hash_at(root, word, addr[k]);
			prefetch(line[k]);
		}
	for
		EACH(k, b->open & ~near)
	find_by_hash(b, (unsigned)k, line[k], addr[k], first);
	for (uint32_t ref = b->ref[i - 1]; i < n; i++) {
		ref = near >> i & 1 ? ref : b->ref[i];
		b->ref[i] = ref;
		b->kind[i] = (uint8_t)(ref >> 29);
		b->low[i] = (uint16_t)(ref == first ? addr[i] >> 16 : addr[i]);
	}
}

// From the root to the chunks, all keys in one VRF: its record is read once, and what kind of root
// it has is decided once.
static inline void descend_one(struct batch *b, const struct record4 *record, const uint32_t *addr,
	unsigned n, uint64_t near)
{
	uint64_t word = load_word(&record->word);
	uint32_t first = load_cell(&record->first), def = load_cell(&record->def);
	const char *root = at_ref(b->base, root_unit(word));
	const uint64_t *line[FIB_BULK];

	for (unsigned i = 0; i < n; i++)
		b->result[i] = def;
	if (root_kind(word) == ROOT_HASH && near != 0) {
		descend_near(b, root, word, first, addr, n, near);
	} else if (root_kind(word) == ROOT_HASH) {
		for (unsigned i = 0; i < n; i++) {
			line[i] = hash_at(root, word, addr[i]);
			prefetch(line[i]);
		}
		for (unsigned i = 0; i < n; i++)
			find_by_hash(b, i, line[i], addr[i], first);
	} else if (root_kind(word) == ROOT_DIRECT) {
		const uint32_t *slot = (const uint32_t *)root;
		for (unsigned i = 0; i < n; i++)
			prefetch(&slot[addr[i] >> 16]);
		for (unsigned i = 0; i < n; i++)
			find_chunk(b, i, load_cell(&slot[addr[i] >> 16]), first, addr[i] & 0xffff,
				addr[i] >> 16);
	} else {
		for (unsigned i = 0; i < n; i++)
			b->result[i] =
				either(range_value((const struct range *)root, addr[i]), def);
		b->open = 0;
	}
}

// The same for keys of any VRFs.
static inline void descend_many(struct batch *b, const struct record4 *records, const uint32_t *vrf,
	const uint32_t *addr, unsigned n)
{
	const char *place[FIB_BULK];
	uint32_t first[FIB_BULK];

	for (unsigned i = 0; i < n; i++)
		prefetch(&records[vrf[i]]);
	for (unsigned i = 0; i < n; i++) {
		const struct record4 *record = &records[vrf[i]];
		uint64_t word = load_word(&record->word);
		first[i] = load_cell(&record->first);
		b->result[i] = load_cell(&record->def);
		// log2 is 0 for other kinds than the hash, and the line then, too
		size_t line = hash_line(hash4(addr[i] >> 16, word));
		place[i] = (const char *)at_ref(b->base, root_unit(word)) + line * UNIT_BYTES;
		prefetch(place[i]);
		b->kind[i] = (uint8_t)root_kind(word);
	}
	uint64_t ranges = at_kind(b, ROOT_RANGE);
	uint64_t directs = at_kind(b, ROOT_DIRECT);
	for
		EACH(i, directs)
		{
			place[i] += (addr[i] >> 16) * sizeof(uint32_t);
			prefetch(place[i]);
		}
	for
		EACH(i, at_kind(b, ROOT_HASH))
	find_by_hash(b, i, (const uint64_t *)place[i], addr[i], first[i]);
	for
		EACH(i, directs)
	find_chunk(b, i, load_cell((const uint32_t *)place[i]), first[i], addr[i] & 0xffff,
		addr[i] >> 16);
	for
		EACH(i, ranges)
		{
			uint32_t value = range_value((const struct range *)place[i], addr[i]);
			b->result[i] = either(value, b->result[i]);
		}
	b->open &= ~ranges;
}

// `one`: all keys are in one VRF; near: then as in descend_near(), or 0.
static inline void lookup4(const struct fib *fib, const uint32_t *vrf, const uint32_t *addr,
	uint32_t *result, unsigned n, bool one, uint64_t near)
{
	struct batch b;

	b.base = fib->arena.base;
	b.result = result;
	b.open = all_of(n);
	if (one)
		descend_one(&b, &fib->records4[vrf[0]], addr, n, near);
	else
		descend_many(&b, fib->records4, vrf, addr, n);
	do_chunks(&b, 0);
}

// Trains of packets to one destination: each key that differs from the one before is looked up.
static __attribute__((noinline)) void lookup4_trains(const struct fib *fib, const uint32_t *vrf,
	const uint32_t *addr, uint32_t *result, unsigned n, uint64_t again)
{
	uint32_t vrfs[FIB_BULK], addrs[FIB_BULK], answer[FIB_BULK];
	unsigned keys = 0, k = 0;

	for
		EACH(i, ~again & all_of(n))
		{
			vrfs[keys] = vrf[i];
			addrs[keys++] = addr[i];
		}
	lookup4(fib, vrfs, addrs, answer, keys, false, 0);
	for (unsigned i = 0; i < n; i++) {
		k += !(again >> i & 1);
		result[i] = answer[k - 1];
	}
}

void LOOKUP4(const struct fib *fib, const uint32_t *vrf, const uint32_t *addr, uint32_t *result,
	unsigned n)
{
	uint64_t same = repeats(vrf, n, ~0u), near = same & repeats(addr, n, 0xffff0000u), again = 0;

	if (__builtin_expect((unsigned)__builtin_popcountll(near) * 3 > n, 0))
		again = near & repeats(addr, n, ~0u);
	else
		near = 0;
	if (__builtin_expect((unsigned)__builtin_popcountll(again) * 2 > n, 0))
		lookup4_trains(fib, vrf, addr, result, n, again);
	else
		lookup4(fib, vrf, addr, result, n, (same | 1) == all_of(n), near);
}

// Hits of all slices in use are looked for at once; the longest is taken, and the bits that lead to
// its chunk are compared there. Should they differ (a hash matched by chance, once in 2^31), that
// key is done again alone.
void LOOKUP6(const struct fib *fib, const uint32_t *vrf, const uint8_t *const *addr,
	uint32_t *result, unsigned n)
{
	struct batch b;
	struct key key[FIB_BULK];
	const uint64_t *line[FIB_BULK * 7];
	uint32_t tag[FIB_BULK * 7], chunk[FIB_BULK];
	uint8_t owner[FIB_BULK * 7], of_slice[FIB_BULK * 7], slice[FIB_BULK];
	unsigned pairs = 0;

	b.base = fib->arena.base;
	b.result = result;
	b.open = all_of(n);
	for (unsigned i = 0; i < n; i++) {
		prefetch(&fib->records6[vrf[i]]);
		prefetch(addr[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		const struct record6 *record = &fib->records6[vrf[i]];
		struct hashes6 h;
		key[i] = key6(addr[i]);
		chunk[i] = load_cell(&record->first);
		slice[i] = 0;
		result[i] = load_cell(&record->def);
		for
			EACH(s, hash_slices(record, key[i], &h))
			{
				line[pairs] =
					(const uint64_t *)(b.base + (size_t)h.unit[s] * UNIT_BYTES);
				prefetch(line[pairs]);
				tag[pairs] = h.tag[s];
				owner[pairs] = (uint8_t)i;
				of_slice[pairs++] = (uint8_t)(s + 1);
			}
	}
	for (unsigned j = 0; j < pairs; j++) {
		uint32_t ref = line_ref(line[j], tag[j]);
		if (elsewhere(ref, line[j]))
			ref = line_ref(neighbour(line[j]), tag[j]);
		unsigned i = owner[j];
		uint32_t miss = -(uint32_t)(ref == 0);
		chunk[i] = ref | (chunk[i] & miss);
		slice[i] = (uint8_t)(of_slice[j] ^ ((of_slice[j] ^ slice[i]) & miss));
	}
	for (unsigned i = 0; i < n; i++)
		find_chunk(&b, i, chunk[i], 0, key_next(key[i], slice[i]), 0);
	for (unsigned i = 0; i < n; i++) {
		const struct block_key *found = at_ref(b.base, chunk[i]);
		uint64_t differ = ((found->hi ^ key[i].hi) & mask_hi[slice[i]]) |
				  ((found->lo ^ key[i].lo) & mask_lo[slice[i]]);
		if (__builtin_expect(differ != 0, 0)) {
			result[i] = lookup6_alone(fib, vrf[i], key[i]);
			b.open &= ~(1ull << i);
		}
	}
	do_chunks(&b, SKEW6);
}
