/* SPDX-License-Identifier: BSD-3-Clause */
// The forwarding tables of all VRFs: a bucket trie. This file has the life of the FIB and of its
// VRFs.
//
// A route's prefix ends somewhere in its address. Cut the address into slices of 16 bits; all
// prefixes of a VRF that agree in the slices before the one they end in are one CHUNK. An IPv4
// prefix thus ends in the one chunk of /1../16, or in the chunk of its /16; an IPv6 prefix in a
// chunk of one of eight slices. A chunk answers for 16 bits of address, and what it does not know
// is known to a shorter one; but nobody walks there: each chunk keeps in its header `def` what all
// shorter prefixes together say about its place (its cover). So the longest chunk that exists for
// an address has the answer, in the chunk or in its def, and only the /0 is elsewhere.
//
//   record of the VRF        hash of the slice, a line      chunk: a bucket ...
//  +-----------------+      +-------------------------+    +-----------------------------+
//  | root word ------+----->| tag|ref tag|ref tag|ref |--->| def | keys 0 < k1 < k2 ...  |
//  | first ----------+--+   +-------------------------+    |     | values: leaf or 0     |
//  | def (the /0)    |  |     else its neighbour           +-----------------------------+
//  +-----------------+  |                                  ... or a node
//                       |  no chunk for these 16 bits:     +-----------------------------+
//                       +--------------------------------->| bits[256] | def | cells     |
//                          search the one of /1../16       +---------------------+---+---+
//                          by the upper 16 bits                                  |   +-> leaf
//                                                          +---------------------v-------+
//                                 and a last-level node    | bits[256] | def | leaves    |
//                                                          +-----------------------------+
//
// A bucket is a sorted list of boundaries (from this position on, this value), found by one or two
// vector compares; the reference to it says if it fits a line. More than fit become a node: 256
// cells, equal neighbours kept once and counted by population count; a cell whose /24 has longer
// prefixes leads to one more node of that kind, never deeper. An IPv4 table of up to 28 routes is
// one bucket over whole addresses (a range); one with very many /16s has an array of 2^16 refs.
//
// The writer keeps a shadow (fib_shadow.c): the same chunks with the prefixes that end in them. An
// update edits the shadow, writes the touched block anew, aside, publishes it by one store of the
// word that leads to it and retires the old one until no reader can be in it (fib_rebuild.c,
// fib_root.c, fib_retire.c). What readers may see change in place are single aligned words: root
// word, slot, first, cell of a last-level node, def. No key, bit map, used tag or base. So a
// reader takes no lock and never sees half of anything; for each address an update takes effect at
// one moment. (Two keys of one bulk lookup may see different moments.) A short prefix changes no
// blocks but its own: the defs under it are corrected one by one, in bounded walks (fib_cover.c).
//
// VRFs share the arena and nothing else, so a customer's worst prefixes cost that customer, and are
// counted: a lone long prefix takes a line of its own, at most two with its slot and hash, and the
// limits see bytes.
//
// fib_arena.c memory · fib_block.c blocks · fib_shadow.c what the writer knows · fib_update.c one
// change · fib_rebuild.c new blocks · fib_root.c roots and hashes · fib_cover.c defs · fib_retire.c
// grace · fib_read.c routes by name · fib_lookup_*.c the readers' side. Figures, and why not
// poptrie or DPDK's tables: docs/decisions/0002-bucket-trie.md.

#include "dataplane/tables/fib_private.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define HUGE_BYTES (2u << 20)

static void *map_zeroed(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	if (size >= HUGE_BYTES)
		madvise(at, size, MADV_HUGEPAGE);
	return at;
}

enum fib_isa fib_isa(const struct fib *fib)
{
	return fib->isa;
}

int fib_set_isa(struct fib *fib, enum fib_isa isa)
{
	lookup4_fn *lookup4 = lookup4_portable;
	lookup6_fn *lookup6 = lookup6_portable;
#ifdef FIB_VECTORS
	__builtin_cpu_init();
	if (isa == FIB_AVX512) {
		if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
			!__builtin_cpu_supports("avx512dq") ||
			!__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("bmi2"))
			return -ENOTSUP;
		lookup4 = lookup4_avx512;
		lookup6 = lookup6_avx512;
	} else if (isa == FIB_AVX2) {
		if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2"))
			return -ENOTSUP;
		lookup4 = lookup4_avx2;
		lookup6 = lookup6_avx2;
	}
#else
	if (isa != FIB_PORTABLE)
		return -ENOTSUP;
#endif
	fib->lookup4 = lookup4;
	fib->lookup6 = lookup6;
	fib->isa = isa;
	return 0;
}

struct fib *fib_create(uint32_t max_vrfs, uint64_t arena_bytes, const struct fib_reclaim *reclaim)
{
	struct fib *fib = calloc(1, sizeof(*fib));
	if (!fib)
		return NULL;
	fib->max_vrfs = max_vrfs;
	if (reclaim)
		fib->reclaim = *reclaim;
	uint64_t kept = arena_bytes / 64 > 65536 ? arena_bytes / 64 : 65536;
	int error = arena_create(&fib->arena, arena_bytes, kept);
	if (!error)
		error = arena_create(&fib->shadow, arena_bytes * 2, 0);
	if (!error)
		error = retired_create(fib);
	fib->records4 = map_zeroed(max_vrfs * sizeof(struct record4));
	fib->records6 = map_zeroed(max_vrfs * sizeof(struct record6));
	fib->vrfs = calloc(max_vrfs, sizeof(*fib->vrfs));
	fib->build = build_create();
	if (error || !fib->records4 || !fib->records6 || !fib->vrfs || !fib->build) {
		fib_free(fib);
		errno = error ? -error : ENOMEM;
		return NULL;
	}
	if (getrandom(&fib->random, sizeof(fib->random), 0) != sizeof(fib->random))
		fib->random = (uint32_t)(uintptr_t)fib;
	if (fib_set_isa(fib, FIB_AVX512) != 0 && fib_set_isa(fib, FIB_AVX2) != 0)
		fib_set_isa(fib, FIB_PORTABLE);
	return fib;
}

void fib_free(struct fib *fib)
{
	if (!fib)
		return;
	for (uint32_t i = 0; fib->vrfs && i < fib->max_vrfs; i++)
		free(fib->vrfs[i]);
	while (fib->dropped) {
		struct vrf *vrf = fib->dropped;
		fib->dropped = vrf->next;
		free(vrf);
	}
	if (fib->arena.base)
		arena_destroy(&fib->arena);
	if (fib->shadow.base)
		arena_destroy(&fib->shadow);
	if (fib->records4)
		munmap(fib->records4, fib->max_vrfs * sizeof(struct record4));
	if (fib->records6)
		munmap(fib->records6, fib->max_vrfs * sizeof(struct record6));
	free(fib->retired.ring);
	free(fib->build);
	free(fib->vrfs);
	free(fib);
}

static struct vrf *vrf_at(const struct fib *fib, uint32_t slot)
{
	return slot < fib->max_vrfs ? fib->vrfs[slot] : NULL;
}

int fib_vrf_create(struct fib *fib, uint32_t slot, const struct fib_limits *limits)
{
	if (slot >= fib->max_vrfs)
		return -EINVAL;
	if (fib->vrfs[slot])
		return -EEXIST;
	struct vrf *vrf = calloc(1, sizeof(*vrf));
	if (!vrf)
		return -ENOMEM;
	vrf->slot = slot;
	if (limits)
		vrf->limits = *limits;
	for (unsigned i = 0; i < 2; i++) {
		vrf->table[i].vrf = vrf;
		vrf->table[i].family = i ? FIB_IPV6 : FIB_IPV4;
		fib->random = fib->random * 1664525u + 1013904223u;
		if (chunks_init(&fib->shadow, &vrf->table[i].chunks, fib->random) != 0) {
			chunks_fini(&fib->shadow, &vrf->table[0].chunks);
			free(vrf);
			return -ENOMEM;
		}
	}
	fib->vrfs[slot] = vrf;
	return 0;
}

int fib_vrf_limits(struct fib *fib, uint32_t slot, const struct fib_limits *limits)
{
	struct vrf *vrf = vrf_at(fib, slot);
	if (!vrf)
		return -ENOENT;
	vrf->limits = *limits;
	return 0;
}

int fib_vrf_delete(struct fib *fib, uint32_t slot)
{
	struct vrf *vrf = vrf_at(fib, slot);
	if (!vrf)
		return -ENOENT;
	store_cell(&fib->records4[slot].def, 0);
	store_cell(&fib->records6[slot].def, 0);
	for (unsigned i = 0; i < 2; i++) {
		root_drop(fib, &vrf->table[i]);
		cover_forget(fib, &vrf->table[i]);
		fib->routes -= vrf->table[i].def != 0;
	}
	fib->vrfs[slot] = NULL;
	vrf->next = fib->dropped;
	fib->dropped = vrf;
	return 0;
}

int fib_vrf_stats(const struct fib *fib, uint32_t slot, struct fib_vrf_stats *stats)
{
	static const char *const kinds[] = {
		[ROOT_RANGE] = "tiny", [ROOT_HASH] = "hashed", [ROOT_DIRECT] = "direct"};
	const struct vrf *vrf = vrf_at(fib, slot);
	if (!vrf)
		return -ENOENT;
	uint64_t shadow = vrf->table[0].chunks.units + vrf->table[1].chunks.units;
	*stats = (struct fib_vrf_stats){
		.routes4 = vrf->table[0].routes,
		.routes6 = vrf->table[1].routes,
		.bytes = vrf->units * UNIT_BYTES,
		.shadow_bytes = shadow * UNIT_BYTES + sizeof(*vrf),
		.root4 = kinds[root_kind(root_load(fib, &vrf->table[0], 1))],
		.settled = !vrf->table[0].walk.active && !vrf->table[1].walk.active,
	};
	return 0;
}

int fib_set(struct fib *fib, uint32_t slot, const struct fib_route *route)
{
	struct vrf *vrf = vrf_at(fib, slot);
	return vrf ? update_set(fib, vrf, route) : -ENOENT;
}

int fib_delete(struct fib *fib, uint32_t slot, const struct fib_route *route)
{
	struct vrf *vrf = vrf_at(fib, slot);
	return vrf ? update_delete(fib, vrf, route) : -ENOENT;
}

uint32_t fib_slice(struct fib *fib, uint32_t budget)
{
	uint32_t left = cover_slice(fib, budget);
	drop_slice(fib, &budget);
	fib_reclaim_poll(fib);
	for (const struct vrf *vrf = fib->dropped; vrf; vrf = vrf->next)
		left++;
	return left;
}

uint64_t fib_settle_token(const struct fib *fib)
{
	return fib->token;
}

bool fib_settled(const struct fib *fib, uint64_t token)
{
	for (const struct table *t = fib->walking; t; t = t->next)
		if (t->walk.token <= token || (t->again.active && t->again.token <= token))
			return false;
	return true;
}

void fib_stats(const struct fib *fib, struct fib_stats *stats)
{
	*stats = (struct fib_stats){
		.routes = fib->routes,
		.used = (fib->arena.used - fib->retired.units) * UNIT_BYTES,
		.waiting = fib->retired.units * UNIT_BYTES,
		.committed = arena_committed_bytes(&fib->arena),
		.shadow_used = fib->shadow.used * UNIT_BYTES,
		.shadow_committed = arena_committed_bytes(&fib->shadow),
		.writes = fib->writes,
		.hugetlb = fib->arena.hugetlb,
	};
	for (const struct table *t = fib->walking; t; t = t->next)
		stats->jobs++;
	for (const struct vrf *vrf = fib->dropped; vrf; vrf = vrf->next)
		stats->jobs++;
}

void fib_lookup4(const struct fib *fib, const uint32_t *vrf, const uint32_t *addr, uint32_t *result,
	unsigned n)
{
	fib->lookup4(fib, vrf, addr, result, n);
}

static_assert(sizeof(struct record4) == FIB_ROOT4_BYTES, "fib.h knows it");

const void *fib_roots4(const struct fib *fib)
{
	return fib->records4;
}

void fib_lookup6(const struct fib *fib, const uint32_t *vrf, const uint8_t *const *addr,
	uint32_t *result, unsigned n)
{
	fib->lookup6(fib, vrf, addr, result, n);
}
