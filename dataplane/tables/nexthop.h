/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_NEXTHOP_H
#define TABLES_NEXTHOP_H

// Route -> group -> path -> (interface, neighbor), as the controller names them; what workers make
// of it is one forwarding entry (entry.h). Groups are shared and indirect: a path that goes down is
// one store, whatever number of routes lead over it (BGP PIC). A path's interface may be of any
// VRF.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tables/entry.h"
#include "dataplane/wire/types.h"

struct dataplane;

#define GROUP_NONE      0u // slot: never answered by the FIB
#define GROUP_BLACKHOLE 1u // slot

// What an entry of kind ENTRY_MULTI names. Written aside, never changed, freed after grace.
struct multipath {
	uint16_t bound[WIRE_GROUP_PATHS]; // cumulative share of 2^16 - 1, ascending
	uint32_t path[WIRE_GROUP_PATHS];
	uint16_t weight[WIRE_GROUP_PATHS];
	uint32_t count;
} __attribute__((aligned(64)));

int neighbor_set(struct dataplane *dp, const struct wire_neighbor *r);
int neighbor_delete(struct dataplane *dp, uint32_t id); // -EBUSY: a path uses it
// A worker told that packets want the neighbor at `slot` (EVENT_NEEDED): true and what it is, and
// workers tell again from now on; false: it is gone, or was told of already.
bool neighbor_needed(struct dataplane *dp, uint32_t slot, struct wire_needed *needed);

int path_set(struct dataplane *dp, const struct wire_path *r);
int path_delete(struct dataplane *dp, uint32_t id); // -EBUSY: a group uses it

int group_set(struct dataplane *dp, const struct wire_group *r);
int group_delete(struct dataplane *dp, uint32_t id); // -EBUSY: a route or tunnel uses it

#endif
