/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_FIB_PRIVATE_H
#define TABLES_FIB_PRIVATE_H

// What the files of the FIB share. Readers use struct fib_readers, the arena's blocks and nothing
// else.

#include "dataplane/tables/fib.h"
#include "dataplane/tables/fib_block.h"
#include "dataplane/tables/fib_shadow.h"

// Root word: where a table, or one slice of an IPv6 table, begins. All a reader needs to know of
// its shape is in this one word, so that another shape is one store. 0 = empty: a range of no keys
// in unit 0.
//   bits 0..1 kind, 2..6 log2 of the hash's lines, 7..35 unit, 36..63 seed of the hash
enum root_kind { ROOT_RANGE, ROOT_HASH, ROOT_DIRECT };
static inline uint64_t root_word(enum root_kind kind, unsigned log2, uint32_t unit, uint32_t seed)
{
	return (uint64_t)kind | (uint64_t)log2 << 2 | (uint64_t)unit << 7 | (uint64_t)seed << 36;
}
static inline unsigned root_kind(uint64_t word)
{
	return word & 3;
}
static inline unsigned root_log2(uint64_t word)
{
	return (word >> 2) & 31;
}
static inline uint32_t root_unit(uint64_t word)
{
	return (uint32_t)(word >> 7) & REF_UNIT;
}
static inline uint32_t root_seed(uint64_t word)
{
	return (uint32_t)(word >> 36);
}

// Hash: lines of eight slots, a slot is tag << 32 | ref, 0: never used. No probing but one: where a
// line's last slot is used, its neighbour (line ^ 1, and a hash is aligned, so that this is the
// address ^ 64) may hold what found no room. A slot keeps its tag until the whole hash is written
// anew.
#define SLOTS 8u
#define TAG   0x80000000u // set in every tag, so that no tag equals an unused slot's

// The hash of a key: line << 32 | tag. IPv4: multiplication by the word's upper half; the tag is
// exact.
static inline uint64_t hash4(uint32_t high16, uint64_t word)
{
	uint32_t h = high16 * ((uint32_t)(word >> 32) | 1);
	return ((uint64_t)h << root_log2(word) >> 32) << 32 | TAG | high16;
}
static inline uint64_t hash6(uint64_t hi, uint64_t lo, uint64_t word)
{
	uint64_t h = (hi ^ (word >> 36)) * 0xd6e8feb86659fd93ull;
	h = ((h ^ (h >> 32)) + lo) * 0xd6e8feb86659fd93ull;
	h ^= h >> 32;
	uint64_t line = (h >> 31) & ((1ull << root_log2(word)) - 1);
	return line << 32 | (uint32_t)h | TAG;
}
static inline uint32_t hash_line(uint64_t h)
{
	return (uint32_t)(h >> 32);
}
static inline uint32_t hash_tag(uint64_t h)
{
	return (uint32_t)h;
}

// What a reader finds first. `word` is read before `first`.
struct record4 {
	uint64_t word;
	uint32_t
		first; // ref of the chunk of slice 0, which is searched by the upper 16 bits; not for ROOT_RANGE
	uint32_t def; // cell of the /0
};
struct record6 {
	uint64_t word[7]; // slices 1..7, 0: not used
	uint32_t first;   // ref of the chunk of slice 0
	uint32_t def;
};
static_assert(sizeof(struct record4) == 16 && sizeof(struct record6) == 64, "records");
#define DEFAULT_CELL (FIB_FOUND | FIB_DEFAULT)

struct slice {
	uint32_t live; // chunks that readers can be led to
};

// A cover walk: what lies under (from..last] gets the def it should have, a slice at a time.
struct walk {
	bool active;
	struct key at;   // continue at
	unsigned slice;  // of the chunk to continue at
	struct key last; // last address of the range
	uint64_t token;  // of the oldest change that this walk carries out
};

struct table {
	struct chunks chunks;
	struct slice slices[8];
	struct walk walk;   // under way
	struct walk again;  // asked for meanwhile: begins when that one ends
	struct table *next; // in fib->walking
	struct vrf *vrf;
	uint32_t routes;
	uint8_t family;
	uint8_t def_origin;
	uint32_t def;   // cell, 0: no /0
	uint32_t tries; // seeds drawn
};

struct vrf {
	struct table table[2]; // IPv4, IPv6
	struct fib_limits limits;
	uint64_t units; // forwarding memory
	uint32_t slot;
	struct vrf *next; // in fib->dropped
};

// Blocks that no new reader finds, until grace is over. Queue of blocks in a ring, cut into
// batches.
#define BATCHES 16u
struct retired {
	struct {
		uint32_t unit, units;
	} * ring;
	uint32_t size, head, count; // size is a power of two
	uint32_t open;              // the newest ones, not in a batch yet
	struct {
		uint64_t token;
		uint32_t count;
	} batch[BATCHES];
	uint32_t batch_head, batches;
	uint64_t units;
};

typedef void lookup4_fn(const struct fib *fib, const uint32_t *vrf, const uint32_t *addr,
	uint32_t *result, unsigned n);
typedef void lookup6_fn(const struct fib *fib, const uint32_t *vrf, const uint8_t *const *addr,
	uint32_t *result, unsigned n);

struct fib {
	struct record4 *records4;
	struct record6 *records6;
	struct arena arena;
	lookup4_fn *lookup4;
	lookup6_fn *lookup6;
	enum fib_isa isa;

	// From here on the writer's own.
	struct arena shadow;
	struct vrf **vrfs;
	uint32_t max_vrfs;
	uint32_t random;
	struct fib_reclaim reclaim;
	struct retired retired;
	struct table *walking; // queue: tables whose walk is under way
	struct vrf *dropped;   // deleted, not yet taken apart
	uint64_t token;        // of the newest change that left work
	uint64_t routes, writes, base_units;
	struct build *build; // scratch of the one change at a time
	size_t records_bytes;
};

static inline uint32_t skew_of(const struct table *t)
{
	return t->family == FIB_IPV6 ? SKEW6 : 0;
}
static inline unsigned max_len(uint8_t family)
{
	return family == FIB_IPV6 ? 128 : 32;
}

// fib_retire.c
uint32_t fib_alloc(struct fib *fib, uint32_t units, bool last_reserve);
void fib_retire(struct fib *fib, uint32_t unit, uint32_t units);
void fib_reclaim_poll(struct fib *fib);
int retired_create(struct fib *fib);

// fib_root.c: where readers find a chunk.
uint64_t root_load(const struct fib *fib, const struct table *t, unsigned slice);
int root_prepare(struct fib *fib, struct table *t, struct chunk *c, bool last_reserve);
void root_publish(struct fib *fib, struct table *t, struct chunk *c, uint32_t ref);
void root_withdraw(struct fib *fib, struct table *t, struct chunk *c);
int root_to_hash(struct fib *fib, struct table *t, bool last_reserve);
uint32_t range_units(const struct fib *fib, uint64_t word); // of a ROOT_RANGE's block
void root_drop(struct fib *fib, struct table *t);
void root_store4(struct fib *fib, struct table *t, uint64_t word);

// fib_read.c: a route's name taken apart, into which chunk and where in it.
struct place {
	struct key key;
	unsigned slice;
	uint32_t pos, len; // len within the chunk, 1..16
};
int route_check(const struct fib_route *route); // 0 or -EINVAL
struct key route_address(const struct fib_route *route);
struct place route_place(const struct fib_route *route); // not of a /0
struct key bits_behind(unsigned len);

// fib_update.c
int update_set(struct fib *fib, struct vrf *vrf, const struct fib_route *route);
int update_delete(struct fib *fib, struct vrf *vrf, const struct fib_route *route);

// fib_rebuild.c: new blocks for a chunk or a small table whose entries have changed. struct build
// is the scratch of one change; `limit` is what the VRF may use, in units.
struct build;
struct build *build_create(void);
void build_begin(
	struct build *b, struct fib *fib, struct table *t, uint64_t limit, bool last_reserve);
int build_chunk(struct build *b, struct chunk *c, entry changed);
int build_range(struct build *b); // 0, -ENOSPC: too many boundaries, -errno
int build_hash_from_range(struct build *b);
unsigned build_retire(
	struct build *b, const struct chunk *c); // all blocks of a chunk nobody finds now

// fib_cover.c
uint32_t cover_of(const struct fib *fib, const struct table *t, struct key key, unsigned slice);
void cover_changed(
	struct fib *fib, struct table *t, struct key first, struct key last, unsigned slice);
uint32_t cover_slice(struct fib *fib, uint32_t budget);
void cover_forget(struct fib *fib, struct table *t);
void drop_slice(struct fib *fib, uint32_t *budget);

uint32_t lookup6_alone(const struct fib *fib, uint32_t vrf, struct key key);
extern lookup4_fn lookup4_portable, lookup4_avx2, lookup4_avx512;
extern lookup6_fn lookup6_portable, lookup6_avx2, lookup6_avx512;

#endif
