/* SPDX-License-Identifier: BSD-3-Clause */
// Next-hop groups interned by content.
//
// Routes of one customer nearly all leave by the same few ways, so a group is shared by all routes with
// equal members, and a neighbor that comes or goes is one record, however many routes lead there. Members
// are kept in order of path id: two lists of the same hops are one group.
//
// Ids must survive a restart of culvertd, or every route would be written again. They are not stored: the
// data plane still has them. Its neighbors, paths and groups are read back before anything is made here, and
// content that is found there takes the id it has there. A neighbor's state is taken over, too, until the
// kernel has said something: a restart must not make a working neighbor unresolved.

#include "control/sync/groups.h"

#include <stdlib.h>
#include <string.h>

// The "what was there" tables hold the same structs, without references or records.
struct down {
	struct entry entry;
	uint32_t interface;
};

// What the kernel said about an address, whether or not anything refers to it now.
struct heard {
	struct entry entry;
	struct neighbor neighbor;
};

static void *make(size_t size)
{
	void *memory = calloc(1, size);
	if (memory == NULL)
		abort();
	return memory;
}

void nexthops_init(struct hops *hops, struct records *records)
{
	*hops = (struct hops){
		.records = records,
		.neighbors = TABLE_OF(struct neighbor, key),
		.by_address = TABLE_OF(struct heard, neighbor.key),
		.paths = TABLE_OF(struct path, key),
		.groups = TABLE_OF(struct group, key),
		.old_neighbors = TABLE_OF(struct neighbor, key),
		.old_paths = TABLE_OF(struct path, key),
		.old_groups = TABLE_OF(struct group, key),
		.down = TABLE_OF(struct down, interface),
		.next_neighbor = 1,
		.next_path = 1,
		.next_group = WIRE_GROUP_BLACKHOLE + 1,
	};
}

static void free_entry(void *ctx, void *entry)
{
	free(entry);
}

void nexthops_free(struct hops *hops)
{
	struct table *const tables[] = {&hops->neighbors, &hops->by_address, &hops->paths,
		&hops->groups, &hops->old_neighbors, &hops->old_paths, &hops->old_groups,
		&hops->down};
	for (unsigned int i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		table_clear(tables[i], free_entry, NULL);
}

// --- what was there ------------------------------------------------------------------------------------

static void raise(uint32_t *next, uint32_t id)
{
	if (id >= *next)
		*next = id + 1;
}

static void adopt(struct table *table, void *entry, const void *key)
{
	if (table_find(table, key) != NULL)
		free(entry); // two of equal content: the sweep takes one of them
	else
		table_add(table, entry);
}

void nexthops_adopt(struct hops *hops, uint16_t type, const void *record)
{
	if (type == WIRE_NEIGHBOR_SET) {
		const struct wire_neighbor *from = record;
		struct neighbor *neighbor = make(sizeof(*neighbor));
		neighbor->id = from->neighbor;
		neighbor->key.interface = from->interface;
		neighbor->key.family = from->family;
		memcpy(neighbor->key.addr, from->addr, sizeof(from->addr));
		memcpy(neighbor->mac, from->mac, sizeof(from->mac));
		neighbor->was_resolved = from->state == WIRE_NEIGHBOR_RESOLVED;
		raise(&hops->next_neighbor, from->neighbor);
		adopt(&hops->old_neighbors, neighbor, &neighbor->key);
	} else if (type == WIRE_PATH_SET) {
		const struct wire_path *from = record;
		struct path *path = make(sizeof(*path));
		path->id = from->path;
		path->key.interface = from->interface;
		path->key.neighbor = from->neighbor;
		path->was_up = from->up != 0;
		raise(&hops->next_path, from->path);
		adopt(&hops->old_paths, path, &path->key);
	} else if (type == WIRE_GROUP_SET) {
		const struct wire_group *from = record;
		struct group *group = make(sizeof(*group));
		group->id = from->group;
		group->key.count = from->count;
		memcpy(group->key.path, from->path, sizeof(from->path));
		memcpy(group->key.weight, from->weight, sizeof(from->weight));
		raise(&hops->next_group, from->group);
		adopt(&hops->old_groups, group, &group->key);
	}
}

// The struct to use for this key: the one that was there with its id, or a new one with the next id.
static void *take_old(struct table *old, const void *key)
{
	void *entry = table_find(old, key);
	if (entry != NULL)
		table_remove(old, entry);
	return entry;
}

// --- records -------------------------------------------------------------------------------------------

static bool is_down(const struct hops *hops, uint32_t interface)
{
	return table_find(&hops->down, &interface) != NULL;
}

static void write_neighbor(struct hops *hops, const struct neighbor *neighbor)
{
	struct wire_neighbor record = {
		.neighbor = neighbor->id,
		.interface = neighbor->key.interface,
		.family = neighbor->key.family,
	};
	bool resolved = neighbor->state == NEIGHBOR_USABLE ||
			(neighbor->state == NEIGHBOR_UNKNOWN && neighbor->was_resolved);

	memcpy(record.addr, neighbor->key.addr, sizeof(record.addr));
	if (resolved) {
		record.state = WIRE_NEIGHBOR_RESOLVED;
		memcpy(record.mac, neighbor->mac, sizeof(record.mac));
	}
	record_want(hops->records, WIRE_NEIGHBOR_SET, RANK_NEIGHBOR, &record);
}

static void write_path(struct hops *hops, const struct path *path)
{
	struct wire_path record = {
		.path = path->id,
		.interface = path->key.interface,
		.neighbor = path->key.neighbor,
		.up = !is_down(hops, path->key.interface),
	};

	// Never heard of: the path is up, so that a packet to it makes the data plane ask for the neighbor.
	if (path->to != NULL && path->to->state == NEIGHBOR_FAILED)
		record.up = 0;
	else if (path->to != NULL && path->to->state == NEIGHBOR_UNKNOWN && !path->was_up)
		record.up = 0;
	record_want(hops->records, WIRE_PATH_SET, path->to != NULL ? RANK_PATH : RANK_TUNNEL_PATH,
		&record);
}

static void write_group(struct hops *hops, const struct group *group)
{
	struct wire_group record = {.group = group->id, .count = group->key.count};
	enum rank rank = RANK_UNDERLAY;

	for (unsigned int i = 0; i < group->key.count; i++) {
		record.path[i] = group->key.path[i];
		record.weight[i] = group->key.weight[i];
		if (group->path[i]->to == NULL)
			rank = RANK_GROUP;
	}
	record_want(hops->records, WIRE_GROUP_SET, rank, &record);
}

static void unwant(struct hops *hops, uint16_t type, uint32_t id)
{
	struct record *record = record_find_id(hops->records, type, id);
	if (record != NULL)
		record_unwant(hops->records, record);
}

// --- interning -----------------------------------------------------------------------------------------

static void fill_key(
	struct neighbor *neighbor, uint32_t interface, const struct ip_address *address)
{
	memset(&neighbor->key, 0, sizeof(neighbor->key));
	neighbor->key.interface = interface;
	neighbor->key.family = address->family;
	memcpy(neighbor->key.addr, address->bytes, sizeof(neighbor->key.addr));
}

static struct neighbor *neighbor_get(
	struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct neighbor wanted;
	fill_key(&wanted, interface, address);
	struct neighbor *neighbor = table_find(&hops->neighbors, &wanted.key);
	if (neighbor == NULL) {
		neighbor = take_old(&hops->old_neighbors, &wanted.key);
		if (neighbor == NULL) {
			neighbor = make(sizeof(*neighbor));
			neighbor->key = wanted.key;
			neighbor->id = hops->next_neighbor++;
		}
		const struct heard *heard = table_find(&hops->by_address, &wanted.key);
		if (heard != NULL) {
			neighbor->state = heard->neighbor.state;
			if (neighbor->state == NEIGHBOR_USABLE)
				memcpy(neighbor->mac, heard->neighbor.mac, sizeof(neighbor->mac));
			neighbor->since = heard->neighbor.since;
		}
		table_add(&hops->neighbors, neighbor);
		write_neighbor(hops, neighbor);
	}
	neighbor->references++;
	return neighbor;
}

static void neighbor_put(struct hops *hops, struct neighbor *neighbor)
{
	if (neighbor == NULL || --neighbor->references > 0)
		return;
	unwant(hops, WIRE_NEIGHBOR_SET, neighbor->id);
	table_remove(&hops->neighbors, neighbor);
	free(neighbor);
}

static struct path *path_get(struct hops *hops, const struct hop *hop)
{
	struct neighbor *to =
		hop->via != NULL ? neighbor_get(hops, hop->interface, hop->via) : NULL;
	struct path wanted = {.key = {hop->interface, to != NULL ? to->id : 0}};
	struct path *path = table_find(&hops->paths, &wanted.key);

	if (path == NULL) {
		path = take_old(&hops->old_paths, &wanted.key);
		if (path == NULL) {
			path = make(sizeof(*path));
			path->key = wanted.key;
			path->id = hops->next_path++;
			path->was_up = true;
		}
		path->to = to;
		table_add(&hops->paths, path);
		write_path(hops, path);
	} else {
		neighbor_put(hops, to); // the path holds one already
	}
	path->references++;
	return path;
}

static void path_put(struct hops *hops, struct path *path)
{
	if (--path->references > 0)
		return;
	unwant(hops, WIRE_PATH_SET, path->id);
	table_remove(&hops->paths, path);
	neighbor_put(hops, path->to);
	free(path);
}

struct group *group_get(struct hops *hops, const struct hop *hop, unsigned int count)
{
	struct group wanted = {.key = {.count = 0}};

	if (count == 0 || count > WIRE_GROUP_PATHS)
		return NULL;
	for (unsigned int i = 0; i < count; i++) {
		struct path *path = path_get(hops, &hop[i]);
		unsigned int at = wanted.key.count;
		for (; at > 0 && wanted.key.path[at - 1] > path->id; at--) {
			wanted.key.path[at] = wanted.key.path[at - 1];
			wanted.key.weight[at] = wanted.key.weight[at - 1];
			wanted.path[at] = wanted.path[at - 1];
		}
		wanted.key.path[at] = path->id;
		wanted.key.weight[at] = hop[i].weight;
		wanted.path[at] = path;
		wanted.key.count++;
	}
	struct group *group = table_find(&hops->groups, &wanted.key);
	if (group != NULL) {
		for (unsigned int i = 0; i < count; i++)
			path_put(hops, wanted.path[i]); // the group holds them already
	} else {
		group = take_old(&hops->old_groups, &wanted.key);
		if (group == NULL) {
			group = make(sizeof(*group));
			group->key = wanted.key;
			group->id = hops->next_group++;
		}
		memcpy(group->path, wanted.path, sizeof(group->path));
		table_add(&hops->groups, group);
		write_group(hops, group);
	}
	group->references++;
	return group;
}

void group_put(struct hops *hops, struct group *group)
{
	if (group == NULL || --group->references > 0)
		return;
	unwant(hops, WIRE_GROUP_SET, group->id);
	table_remove(&hops->groups, group);
	for (unsigned int i = 0; i < group->key.count; i++)
		path_put(hops, group->path[i]);
	free(group);
}

// --- what is known of them -----------------------------------------------------------------------------

struct over {
	struct hops *hops;
	const struct neighbor *neighbor; // paths to this one, or
	uint32_t interface;              // over this one
};

static void rewrite_path(void *ctx, void *entry)
{
	const struct over *over = ctx;
	struct path *path = entry;

	if (over->neighbor != NULL ? path->to == over->neighbor
				   : path->key.interface == over->interface)
		write_path(over->hops, path);
}

void nexthops_neighbor(struct hops *hops, uint32_t interface, const struct ip_address *address,
	enum neighbor_state state, const uint8_t *mac)
{
	struct heard wanted;
	fill_key(&wanted.neighbor, interface, address);
	struct heard *heard = table_find(&hops->by_address, &wanted.neighbor.key);

	if (heard == NULL) {
		heard = make(sizeof(*heard));
		heard->neighbor.key = wanted.neighbor.key;
		table_add(&hops->by_address, heard);
	}
	if (heard->neighbor.state != state)
		heard->neighbor.since = (uint64_t)time(NULL);
	heard->neighbor.state = state;
	if (mac != NULL)
		memcpy(heard->neighbor.mac, mac, sizeof(heard->neighbor.mac));
	struct neighbor *neighbor = table_find(&hops->neighbors, &wanted.neighbor.key);
	if (neighbor == NULL)
		return;
	neighbor->state = state;
	neighbor->since = heard->neighbor.since;
	memcpy(neighbor->mac, heard->neighbor.mac, sizeof(neighbor->mac));
	write_neighbor(hops, neighbor);
	struct over over = {.hops = hops, .neighbor = neighbor};
	table_each(&hops->paths, rewrite_path, &over);
}

const struct neighbor *nexthops_neighbor_find(
	const struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct heard wanted;
	fill_key(&wanted.neighbor, interface, address);
	const struct heard *heard = table_find(&hops->by_address, &wanted.neighbor.key);
	return heard != NULL ? &heard->neighbor : NULL;
}

bool nexthops_expect(struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct heard wanted;
	fill_key(&wanted.neighbor, interface, address);
	if (table_find(&hops->by_address, &wanted.neighbor.key) != NULL)
		return false;
	struct heard *heard = make(sizeof(*heard));
	heard->neighbor.key = wanted.neighbor.key;
	heard->neighbor.since = (uint64_t)time(NULL);
	table_add(&hops->by_address, heard);
	return true;
}

struct forgetting {
	struct hops *hops;
	uint32_t interface;
};

static void forget_on_interface(void *ctx, void *entry)
{
	struct forgetting *forgetting = ctx;
	struct heard *heard = entry;

	if (heard->neighbor.key.interface != forgetting->interface)
		return;
	table_remove(&forgetting->hops->by_address, heard);
	free(heard);
}

void nexthops_forget(struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct forgetting forgetting = {hops, interface};
	struct heard wanted;

	if (address == NULL) {
		table_each(&hops->by_address, forget_on_interface, &forgetting);
		return;
	}
	fill_key(&wanted.neighbor, interface, address);
	struct heard *heard = table_find(&hops->by_address, &wanted.neighbor.key);
	if (heard == NULL)
		return;
	table_remove(&hops->by_address, heard);
	free(heard);
}

const struct neighbor *nexthops_heard(const void *entry)
{
	return &((const struct heard *)entry)->neighbor;
}

struct search {
	uint32_t id;
	const struct neighbor *found;
};

static void compare_id(void *ctx, void *entry)
{
	struct search *search = ctx;
	const struct neighbor *neighbor = entry;
	if (neighbor->id == search->id)
		search->found = neighbor;
}

const struct neighbor *nexthops_neighbor_by_id(const struct hops *hops, uint32_t id)
{
	struct search search = {.id = id};
	table_each(&hops->neighbors, compare_id, &search);
	return search.found;
}

void nexthops_interface(struct hops *hops, uint32_t interface, bool up)
{
	struct down *down = table_find(&hops->down, &interface);

	if (up == (down == NULL))
		return;
	if (up) {
		table_remove(&hops->down, down);
		free(down);
	} else {
		down = make(sizeof(*down));
		down->interface = interface;
		table_add(&hops->down, down);
	}
	struct over over = {.hops = hops, .interface = interface};
	table_each(&hops->paths, rewrite_path, &over);
}
