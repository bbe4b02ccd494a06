/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_TABLES_H
#define TABLES_TABLES_H

// All tables of one data plane but the FIB. What workers read is at the top, the writer's own part
// below: the wire records as they were last set (for dumps and for "unchanged"), the slots, and
// what refers to what.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/dataplane.h"
#include "dataplane/tables/entry.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/links.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/slots.h"

struct reclaim;

#define VLAN_KEY(port, outer, inner) ((uint32_t)(port) << 24 | (uint32_t)(outer) << 12 | (inner))

struct local_entry {
	struct wire_local record;
	uint32_t vrf;          // slot
	uint32_t interface;    // slot
	uint32_t shadow_group; // slot of the route to exactly this address that is hidden, 0 = none
	uint8_t shadow_origin;
};

struct vrf_entry {
	struct wire_vrf record;
	uint32_t locals; // they stand in the FIB too, but do not count towards the quota
};

// Of a path: all that a worker asks with each packet besides the entry. It is usable with both set.
struct path_state {
	uint8_t up;   // as the controller says
	uint8_t live; // as the worker that runs BFD for it says; 1 without BFD
};

struct tables {
	// Read by workers.
	struct interface *interface; // by slot
	struct entry *entry; // of groups by slot, of paths from path_base on, of interfaces from
			     // interface_base on
	uint32_t path_base;
	uint32_t interface_base;
	struct path_state *path_state;
	struct multipath *multipath; // blocks of entries of kind ENTRY_MULTI
	uint8_t *needed;             // by neighbor: a worker told that packets want it
	struct map vlans;            // VLAN_KEY, 0 for no tag -> interface slot
	struct map tunnels;          // hash of the triple -> interface slot
	uint32_t shaped;             // limiters that shape; 0 spares the police stage to ask each

	// The writer's.
	struct slots vrf_slots;
	struct slots interface_slots;
	struct slots limiter_slots;
	struct slots neighbor_slots;
	struct slots path_slots;
	struct slots group_slots;
	struct slots multipath_slots;
	struct slots local_slots;
	struct map local_map; // hash of (vrf slot, address) -> slot
	struct vrf_entry *vrf_entry;
	struct wire_interface *interface_record;
	struct wire_limiter *limiter_record;
	uint64_t *limiter_uid; // by slot: whose word this process has in use
	struct wire_neighbor *neighbor_record;
	uint32_t *neighbor_interface; // by neighbor slot
	struct wire_path *path_record;
	uint32_t *path_interface; // by path slot: slots of what it names
	uint32_t *path_neighbor;
	uint32_t *path_account; // by path slot: slot of its account, 0 = none
	uint32_t *account_uses; // by account slot: paths that name it
	struct wire_group *group_record;
	uint32_t *group_block; // by group slot: of several paths, 0 = none
	struct local_entry *local_entry;
	uint32_t *local_group; // by interface slot: its group of kind GROUP_LOCAL, 0 = none
	struct links interface_locals;
	uint32_t *local_changes; // interfaces whose addresses changed since local_changed() said so
	uint32_t local_change_count;
	uint8_t *local_dirty;  // by interface slot: it is among them
	uint32_t *local_count; // by interface slot
	// Who names a slot; members are slots, of groups GROUP_MEMBER().
	struct links port_interfaces; // by port + 1
	struct links interface_paths;
	struct links neighbor_paths;
	struct links path_groups;
	struct links limiter_in_interfaces;
	struct links limiter_out_interfaces;
	struct retired *retired; // group slots whose routes are still being moved away from
	struct memory *memory;   // every mapping, for tables_destroy()
};

int tables_create(
	const struct dataplane_config *config, struct reclaim *reclaim, struct tables **tables);
void tables_destroy(struct tables *tables);

#define ENTRY_OF_PATH(t, slot)      ((t)->path_base + (slot))
#define ENTRY_OF_INTERFACE(t, slot) ((t)->interface_base + (slot))

// A group is in the list of each of its paths.
#define GROUP_MEMBER(group, i) ((group)*WIRE_GROUP_PATHS + (i))

// The hash of a GRE triple; addresses as they stand in the packet, 4 or 16 bytes each.
static inline uint32_t tunnel_hash4(uint32_t remote, uint32_t local, uint32_t key, bool keyed)
{
	uint64_t h = ((uint64_t)remote << 32 | local) * 0x9e3779b97f4a7c15ull;
	h ^= h >> 29;
	h = (h + (((uint64_t)keyed << 32 | key) + 1)) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(h >> 32);
}

static inline uint32_t tunnel_hash6(
	const uint8_t *remote, const uint8_t *local, uint32_t key, bool keyed)
{
	uint32_t w[8];
	__builtin_memcpy(w, remote, 16);
	__builtin_memcpy(w + 4, local, 16);
	uint32_t a = tunnel_hash4(w[0], w[1], w[2], false) ^ w[3];
	uint32_t b = tunnel_hash4(w[4], w[5], w[6], false) ^ w[7];
	return tunnel_hash4(a, b, key, keyed);
}

// Between the tables.
// The slot of the counters `uid`, for the object `id`; -EEXIST when they go by another id. May wait for grace.
int slot_of_counters(struct dataplane *dp, struct slots *slots, enum stats_kind kind, uint64_t uid,
	uint32_t id, uint32_t *slot);
bool wire_addr_is_zero(const uint8_t *addr, unsigned from, unsigned to);
int16_t interface_overhead(const struct tables *t, uint32_t limiter, unsigned vlans);
void groups_follow_path(struct dataplane *dp, uint32_t path);
int group_local_take(struct dataplane *dp, uint32_t interface, uint32_t *group);
void group_local_drop(struct dataplane *dp, uint32_t interface);
unsigned groups_poll(struct dataplane *dp);
void interfaces_follow_limiter(struct dataplane *dp, uint32_t limiter);

#endif
