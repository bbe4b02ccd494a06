/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_NEXTHOP_H
#define TABLES_NEXTHOP_H

// Route -> group -> path -> (interface, neighbor). Groups are shared and indirect: a path that goes down is one
// store in the path, whatever number of routes lead over it (BGP PIC). A path's interface may be of any VRF.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tables/entry.h"
#include "dataplane/wire/types.h"

struct dataplane;

// Neighbor = adjacency: everything in front of the IP packet, ready to be copied. Two copies, of which
// `current` is read; the other is written and, after grace, becomes current by one store.
#define REWRITE_MAX 24u

struct neighbor {
	uint8_t rewrite[2][REWRITE_MAX]; // right-aligned: MACs, tags, IPv4 ethertype
	uint32_t interface;              // slot
	uint16_t port;
	uint16_t mtu;      // largest IP packet: the interface's
	uint8_t length[2]; // of each rewrite
	uint8_t current;
	uint8_t resolved;
	uint8_t needed; // set by workers that found it unresolved, cleared by the main thread
	uint8_t pad[3];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct neighbor) == 64, "neighbor");

struct path {
	uint32_t interface; // slot, one store with neighbor
	uint32_t neighbor;  // slot, 0 = point to point
	uint32_t owner;     // of the interface
	uint8_t up;
	uint8_t pad[3];
} __attribute__((aligned(16)));

// Where a path leads: one load, as it is one store, so that nobody meets the interface of one way and the neighbor
// of another.
struct path_way {
	uint32_t interface;
	uint32_t neighbor;
};

static inline struct path_way path_way(const struct path *path)
{
	union {
		uint64_t word;
		struct path_way way;
	} u = {.word = __atomic_load_n((const uint64_t *)(const void *)path, __ATOMIC_ACQUIRE)};
	return u.way;
}

// What the FIB's answer indexes.
#define GROUP_NONE      0u // slot: never answered
#define GROUP_BLACKHOLE 1u // slot

enum group_kind { GROUP_DROP, GROUP_SINGLE, GROUP_MULTI, GROUP_LOCAL };

struct group_word { // read and written as one 64-bit word
	uint32_t
		target; // single: path slot; multi: index of a struct multipath; local: interface slot
	uint8_t kind;
	uint8_t pad[3];
};

struct group {
	uint64_t word;  // struct group_word
	uint32_t owner; // of all its paths' interfaces, OWNER_MIXED if they differ, 0 = none
	uint32_t pad;
} __attribute__((aligned(16)));

struct multipath {
	uint16_t bound[WIRE_GROUP_PATHS]; // cumulative share of 2^16 - 1, ascending
	uint32_t path[WIRE_GROUP_PATHS];
	uint16_t weight[WIRE_GROUP_PATHS];
	uint32_t count;
} __attribute__((aligned(64)));

int neighbor_set(struct dataplane *dp, const struct wire_neighbor *r);
int neighbor_delete(struct dataplane *dp, uint32_t id); // -EBUSY: a path uses it
int neighbor_dump(
	struct dataplane *dp, int (*cb)(void *ctx, const struct wire_neighbor *r), void *ctx);
// A worker told that packets want the neighbor at `slot` (EVENT_NEEDED): true and what it is, and workers tell again from now
// on; false: it is gone, or was told of already.
bool neighbor_needed(struct dataplane *dp, uint32_t slot, struct wire_needed *needed);

int path_set(struct dataplane *dp, const struct wire_path *r);
int path_delete(struct dataplane *dp, uint32_t id); // -EBUSY: a group uses it
int path_dump(struct dataplane *dp, int (*cb)(void *ctx, const struct wire_path *r), void *ctx);

int group_set(struct dataplane *dp, const struct wire_group *r);
int group_delete(struct dataplane *dp, uint32_t id); // -EBUSY: a route or tunnel uses it
int group_dump(struct dataplane *dp, int (*cb)(void *ctx, const struct wire_group *r), void *ctx);

// Sweep of WIRE_SCOPE_NEXTHOPS: deletes groups no route or tunnel uses, then paths, then neighbors; returns how many.
unsigned nexthop_sweep(struct dataplane *dp);

#endif
