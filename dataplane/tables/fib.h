/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_FIB_H
#define TABLES_FIB_H

// Forwarding tables of all VRFs, IPv4 and IPv6, in one arena. One writer (the data plane's main
// thread), any number of readers that are registered with whatever stands behind struct
// fib_reclaim. How it works: the essay and the picture at the head of fib.c; why it is so:
// docs/decisions/0002-bucket-trie.md.
//
// VRFs are named by slot, 0 <= slot < max_vrfs; the caller maps ids to slots and gives a slot to
// another VRF only after grace. A route's value is a group slot, 24 bits; blackhole is a group like
// any other.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIB_BULK 64u // keys of one bulk lookup at most

// Result of a lookup: FIB_NO_ROUTE, or FIB_FOUND | group, with FIB_DEFAULT where the match was the
// /0.
#define FIB_NO_ROUTE   0u
#define FIB_FOUND      0x80000000u
#define FIB_DEFAULT    0x40000000u
#define FIB_GROUP_MASK 0x00ffffffu

#define FIB_IPV4 4u // values of every `family`, as on the wire
#define FIB_IPV6 6u

struct fib;

// How the writer learns that no reader holds a block any more. token() starts a grace period and
// returns its number; done(token) says, without waiting, whether it is over. Numbers rise. NULL
// functions: there are no concurrent readers and memory is reused at once.
struct fib_reclaim {
	void *ctx;
	uint64_t (*token)(void *ctx);
	bool (*done)(void *ctx, uint64_t token);
};

struct fib_limits {
	uint32_t routes; // IPv4 + IPv6; 0 = no limit
	uint64_t bytes;  // forwarding memory; 0 = no limit. Checked when a route is added or
			 // changed, never on delete
};

struct fib_route {
	uint8_t addr[16]; // network order, IPv4 in the first four bytes; bits beyond len are zero
	uint32_t group;   // 24 bits
	uint8_t family;
	uint8_t len;
	uint8_t origin; // the caller's, returned as given
};

struct fib_vrf_stats {
	uint32_t routes4;
	uint32_t routes6;
	uint64_t bytes;        // forwarding memory, as the byte limit counts it
	uint64_t shadow_bytes; // the writer's own
	const char *root4;     // "tiny", "hashed" or "direct"
	bool settled;          // no work on this VRF is left for fib_slice()
};

struct fib_stats {
	uint64_t routes;
	uint64_t used;      // bytes in blocks that hold routes
	uint64_t waiting;   // bytes of replaced blocks that wait for grace
	uint64_t committed; // bytes of memory taken from the system for the arena
	uint64_t shadow_used;
	uint64_t shadow_committed;
	uint64_t writes; // routes added, changed, deleted since start
	uint32_t jobs;   // VRFs with work left for fib_slice()
	bool hugetlb;    // hugepages of the pool, else transparent ones
};

// arena_bytes: address space to reserve for forwarding memory (rounded up, at most 32 GiB); memory
// is taken as routes come. Returns NULL with errno set.
struct fib *fib_create(uint32_t max_vrfs, uint64_t arena_bytes, const struct fib_reclaim *reclaim);
void fib_free(struct fib *fib); // no reader may be left

// -EEXIST: the slot is in use; -EINVAL: out of range; -ENOMEM.
int fib_vrf_create(struct fib *fib, uint32_t vrf, const struct fib_limits *limits);
int fib_vrf_limits(struct fib *fib, uint32_t vrf, const struct fib_limits *limits);
// Every lookup answers FIB_NO_ROUTE from here on; memory is given back by fib_slice() and after
// grace.
int fib_vrf_delete(struct fib *fib, uint32_t vrf);                                   // -ENOENT
int fib_vrf_stats(const struct fib *fib, uint32_t vrf, struct fib_vrf_stats *stats); // -ENOENT

// Add or replace one route. 0: written; 1: it was there like this already; refused, nothing
// changed: -ENOENT no such VRF, -EINVAL a field out of range or bits beyond len, -EDQUOT the VRF's
// route limit, -E2BIG its byte limit, -ENOMEM the arena is full, -EAGAIN it is full of blocks that
// wait for grace.
int fib_set(struct fib *fib, uint32_t vrf, const struct fib_route *route);
// addr, family and len of `route` name it. -ENOENT: no such VRF or route; -EINVAL, -EAGAIN, -ENOMEM
// as above (part of the arena is kept back for deletes).
int fib_delete(struct fib *fib, uint32_t vrf, const struct fib_route *route);
// Exact match: fills group and origin of the route that addr, family and len name.
int fib_get(const struct fib *fib, uint32_t vrf, struct fib_route *route);
// Calls back for each route of one family, in an order of its own, starting behind `after` (NULL:
// at the first; it need not exist any more). Stops when the callback returns non-zero and returns
// that, else 0.
int fib_dump(const struct fib *fib, uint32_t vrf, uint8_t family, const struct fib_route *after,
	int (*callback)(void *ctx, const struct fib_route *route), void *ctx);

// A change of a short prefix in a big table, and the release of a deleted VRF, are carried on in
// slices: call it each turn. budget: about how many blocks to touch. Returns the number of VRFs
// with work left. Also frees what grace has released.
//
// Readers may meet the old group of a route that was changed or deleted until the work is settled
// and a grace period has passed: free a group slot only when fib_settled(fib,
// fib_settle_token(fib)) and grace is over, the token taken after the last route was moved away
// from it, grace started after it was settled.
uint32_t fib_slice(struct fib *fib, uint32_t budget);
uint64_t fib_settle_token(const struct fib *fib);
bool fib_settled(const struct fib *fib, uint64_t token);

void fib_stats(const struct fib *fib, struct fib_stats *stats);

// Lookup of n <= FIB_BULK keys, each in a VRF of its own: result[i] for (vrf[i], addr[i]). A bulk
// in one VRF is cheaper, and so are equal keys side by side. The slots must be below max_vrfs; one
// without a VRF answers FIB_NO_ROUTE. addr4: host order. addr6: 16 bytes anywhere.
void fib_lookup4(const struct fib *fib, const uint32_t *vrf, const uint32_t *addr, uint32_t *result,
	unsigned n);
void fib_lookup6(const struct fib *fib, const uint32_t *vrf, const uint8_t *const *addr,
	uint32_t *result, unsigned n);

// For callers that know the VRF a while before they look up: the IPv4 record of a VRF is the first
// place a lookup reads. `roots` stays where it is for the FIB's life: ask once.
#define FIB_ROOT4_BYTES 16u
const void *fib_roots4(const struct fib *fib);
static inline void fib_prefetch4(const void *roots, uint32_t vrf)
{
	__builtin_prefetch((const char *)roots + (size_t)vrf * FIB_ROOT4_BYTES, 0, 3);
}

// Which code fib_lookup4/6 use: chosen by CPUID at fib_create(). For tests and benchmarks.
enum fib_isa { FIB_PORTABLE, FIB_AVX2, FIB_AVX512 };
enum fib_isa fib_isa(const struct fib *fib);
int fib_set_isa(struct fib *fib, enum fib_isa isa); // -ENOTSUP: not on this CPU

#endif
