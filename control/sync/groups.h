/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_GROUPS_H
#define SYNC_GROUPS_H

// Neighbors, paths and next-hop groups, each made once per content and shared by whoever needs it.

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#include "control/base/ip.h"
#include "control/sync/records.h"

enum neighbor_state {
	NEIGHBOR_UNKNOWN, // nothing heard yet: what the data plane has is kept
	NEIGHBOR_USABLE,
	NEIGHBOR_FAILED,
};

// A neighbor is known as long as something refers to it or the kernel was asked about it. The data plane has a
// record of it while it is referred to.
struct neighbor {
	struct entry entry;
	struct {
		uint32_t interface;
		uint8_t family;
		uint8_t addr[16];
		uint8_t pad[3];
	} key;
	uint32_t id; // 0 = nothing ever referred to it
	unsigned int references;
	enum neighbor_state state;
	uint8_t mac[6];
	bool expected;     // the kernel is to resolve it, or has said something
	bool was_resolved; // in the data plane when we came
	uint64_t since;    // UNIX time
	struct out_interface *out;
	LIST_ENTRY(neighbor) of_interface;
	LIST_HEAD(, path) paths; // that lead to it
};

struct path {
	struct entry entry;
	struct {
		uint32_t interface;
		uint32_t neighbor; // id
		uint64_t account;
	} key;
	uint32_t id;
	unsigned int references;
	struct neighbor *to; // NULL on a tunnel
	bool was_up;
	struct out_interface *out;
	LIST_ENTRY(path) of_interface, of_neighbor;
};

// What hangs on one interface, so that its port going down costs what it carries and not what there is.
struct out_interface {
	struct entry entry;
	uint32_t id;
	bool down;
	LIST_HEAD(, path) paths;
	LIST_HEAD(, neighbor) neighbors;
};

struct group {
	struct entry entry;
	struct {
		uint32_t count;
		uint32_t path[WIRE_GROUP_PATHS]; // ids, ascending
		uint16_t weight[WIRE_GROUP_PATHS];
	} key;
	uint32_t id;
	unsigned int references;
	struct path *path[WIRE_GROUP_PATHS]; // in the key's order
};

struct hops {
	struct records *records;
	struct table neighbors, paths, groups;
	struct table neighbor_ids;                         // struct neighbor_id
	struct table interfaces;                           // struct out_interface
	struct table old_neighbors, old_paths, old_groups; // what was there when we came
	uint32_t next_neighbor, next_path, next_group;
};

void nexthops_init(struct hops *hops, struct records *records);
void nexthops_free(struct hops *hops);

// What the data plane already has, before anything is made here: equal content keeps its id, and an id in
// use there is not given to something else.
void nexthops_adopt(struct hops *hops, uint16_t type, const void *record);
// The data plane has swept: what it had before and nobody named is gone there, and must not be believed any more.
void nexthops_swept(struct hops *hops);

// One way out: `via` NULL on a tunnel.
struct hop {
	uint32_t interface;
	const struct ip_address *via;
	uint16_t weight;
	uint64_t account; // uid of the counter of what goes this way, 0 = none
};
// A reference to the group of these hops; NULL when count is 0 or more than WIRE_GROUP_PATHS.
struct group *group_get(struct hops *hops, const struct hop *hop, unsigned int count);
void group_put(struct hops *hops, struct group *group);

// A neighbor exists as long as something refers to it. These tell what is known of it, existing or not.
void nexthops_neighbor(struct hops *hops, uint32_t interface, const struct ip_address *address,
	enum neighbor_state state, const uint8_t *mac);
const struct neighbor *nexthops_neighbor_find(
	const struct hops *hops, uint32_t interface, const struct ip_address *address);
const struct neighbor *nexthops_neighbor_by_id(const struct hops *hops, uint32_t id);
// It is to be resolved: listed from now on, as unresolved until something is heard. True when that is new.
bool nexthops_expect(struct hops *hops, uint32_t interface, const struct ip_address *address);
// No longer; address NULL = nothing on this interface.
void nexthops_forget(struct hops *hops, uint32_t interface, const struct ip_address *address);
// Every neighbor that the kernel is to resolve, in no order.
void nexthops_expected(const struct hops *hops,
	void (*visit)(void *ctx, const struct neighbor *neighbor), void *ctx);
// Those on one interface.
void nexthops_expected_on(const struct hops *hops, uint32_t interface,
	void (*visit)(void *ctx, const struct neighbor *neighbor), void *ctx);
// An interface's port went down or came back: one store for each path over it.
void nexthops_interface(struct hops *hops, uint32_t interface, bool up);

#endif
