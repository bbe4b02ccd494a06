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
struct neighbor_id {
	struct entry entry;
	uint32_t id;
	struct neighbor *neighbor;
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
		.paths = TABLE_OF(struct path, key),
		.groups = TABLE_OF(struct group, key),
		.old_neighbors = TABLE_OF(struct neighbor, key),
		.old_paths = TABLE_OF(struct path, key),
		.old_groups = TABLE_OF(struct group, key),
		.neighbor_ids = TABLE_OF(struct neighbor_id, id),
		.interfaces = TABLE_OF(struct out_interface, id),
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
	struct table *const tables[] = {&hops->neighbors, &hops->neighbor_ids, &hops->paths,
		&hops->groups, &hops->interfaces, &hops->old_neighbors, &hops->old_paths,
		&hops->old_groups};
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
		path->key.account = from->account;
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

void nexthops_swept(struct hops *hops)
{
	table_clear(&hops->old_neighbors, free_entry, NULL);
	table_clear(&hops->old_paths, free_entry, NULL);
	table_clear(&hops->old_groups, free_entry, NULL);
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
		.account = path->key.account,
		.up = !path->out->down,
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

// --- interfaces ----------------------------------------------------------------------------------------

static struct out_interface *out_get(struct hops *hops, uint32_t id)
{
	struct out_interface *out = table_find(&hops->interfaces, &id);
	if (out != NULL)
		return out;
	out = make(sizeof(*out));
	out->id = id;
	table_add(&hops->interfaces, out);
	return out;
}

static void out_put(struct hops *hops, struct out_interface *out)
{
	if (out->down || !LIST_EMPTY(&out->paths) || !LIST_EMPTY(&out->neighbors))
		return;
	table_remove(&hops->interfaces, out);
	free(out);
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

static struct neighbor *neighbor_known(
	const struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct neighbor wanted;
	fill_key(&wanted, interface, address);
	return table_find(&hops->neighbors, &wanted.key);
}

static struct neighbor *neighbor_make(
	struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct neighbor *neighbor = make(sizeof(*neighbor));

	fill_key(neighbor, interface, address);
	neighbor->since = (uint64_t)time(NULL);
	neighbor->out = out_get(hops, interface);
	LIST_INSERT_HEAD(&neighbor->out->neighbors, neighbor, of_interface);
	table_add(&hops->neighbors, neighbor);
	return neighbor;
}

static void neighbor_drop(struct hops *hops, struct neighbor *neighbor)
{
	if (neighbor->references > 0 || neighbor->expected)
		return;
	LIST_REMOVE(neighbor, of_interface);
	out_put(hops, neighbor->out);
	table_remove(&hops->neighbors, neighbor);
	free(neighbor);
}

// What it is called in the data plane, from when something first refers to it until nothing does.
static void neighbor_name(struct hops *hops, struct neighbor *neighbor)
{
	struct neighbor *old = table_find(&hops->old_neighbors, &neighbor->key);
	struct neighbor_id *named = make(sizeof(*named));

	if (old != NULL) {
		neighbor->id = old->id;
		neighbor->was_resolved = old->was_resolved;
		if (neighbor->state == NEIGHBOR_UNKNOWN)
			memcpy(neighbor->mac, old->mac, sizeof(neighbor->mac));
		table_remove(&hops->old_neighbors, old);
		free(old);
	} else {
		neighbor->id = hops->next_neighbor++;
	}
	named->id = neighbor->id;
	named->neighbor = neighbor;
	table_add(&hops->neighbor_ids, named);
}

static struct neighbor *neighbor_get(
	struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct neighbor *neighbor = neighbor_known(hops, interface, address);

	if (neighbor == NULL)
		neighbor = neighbor_make(hops, interface, address);
	if (neighbor->references++ == 0) {
		neighbor_name(hops, neighbor);
		write_neighbor(hops, neighbor);
	}
	return neighbor;
}

static void neighbor_put(struct hops *hops, struct neighbor *neighbor)
{
	if (neighbor == NULL || --neighbor->references > 0)
		return;
	struct neighbor_id *named = table_find(&hops->neighbor_ids, &neighbor->id);
	unwant(hops, WIRE_NEIGHBOR_SET, neighbor->id);
	table_remove(&hops->neighbor_ids, named);
	free(named);
	neighbor->id = 0;
	neighbor->was_resolved = false;
	neighbor_drop(hops, neighbor);
}

static struct path *path_get(struct hops *hops, const struct hop *hop)
{
	struct neighbor *to =
		hop->via != NULL ? neighbor_get(hops, hop->interface, hop->via) : NULL;
	struct path wanted = {.key = {hop->interface, to != NULL ? to->id : 0, hop->account}};
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
		path->out = out_get(hops, hop->interface);
		LIST_INSERT_HEAD(&path->out->paths, path, of_interface);
		if (to != NULL)
			LIST_INSERT_HEAD(&to->paths, path, of_neighbor);
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
	LIST_REMOVE(path, of_interface);
	out_put(hops, path->out);
	if (path->to != NULL)
		LIST_REMOVE(path, of_neighbor);
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

void nexthops_neighbor(struct hops *hops, uint32_t interface, const struct ip_address *address,
	enum neighbor_state state, const uint8_t *mac)
{
	struct neighbor *neighbor = neighbor_known(hops, interface, address);
	struct path *path;

	if (neighbor == NULL)
		neighbor = neighbor_make(hops, interface, address);
	neighbor->expected = true;
	if (neighbor->state != state)
		neighbor->since = (uint64_t)time(NULL);
	neighbor->state = state;
	if (mac != NULL)
		memcpy(neighbor->mac, mac, sizeof(neighbor->mac));
	if (neighbor->references == 0)
		return;
	write_neighbor(hops, neighbor);
	LIST_FOREACH (path, &neighbor->paths, of_neighbor)
		write_path(hops, path);
}

const struct neighbor *nexthops_neighbor_find(
	const struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	const struct neighbor *neighbor = neighbor_known(hops, interface, address);
	return neighbor != NULL && neighbor->expected ? neighbor : NULL;
}

bool nexthops_expect(struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct neighbor *neighbor = neighbor_known(hops, interface, address);

	if (neighbor == NULL)
		neighbor = neighbor_make(hops, interface, address);
	if (neighbor->expected)
		return false;
	neighbor->expected = true;
	return true;
}

// Nobody resolves it any more, so nothing is known of it any more.
static void unexpect(struct hops *hops, struct neighbor *neighbor)
{
	neighbor->expected = false;
	neighbor->was_resolved = neighbor->state == NEIGHBOR_USABLE;
	neighbor->state = NEIGHBOR_UNKNOWN;
	neighbor_drop(hops, neighbor);
}

void nexthops_forget(struct hops *hops, uint32_t interface, const struct ip_address *address)
{
	struct out_interface *out = table_find(&hops->interfaces, &interface);
	struct neighbor *neighbor, *next;

	if (out == NULL)
		return;
	if (address != NULL) {
		neighbor = neighbor_known(hops, interface, address);
		if (neighbor != NULL)
			unexpect(hops, neighbor);
		return;
	}
	for (neighbor = LIST_FIRST(&out->neighbors); neighbor != NULL; neighbor = next) {
		next = LIST_NEXT(neighbor, of_interface);
		unexpect(hops, neighbor); // the last one takes `out` along
	}
}

struct visitor {
	void (*visit)(void *ctx, const struct neighbor *neighbor);
	void *ctx;
};

static void visit_expected(void *ctx, void *entry)
{
	const struct visitor *visitor = ctx;
	const struct neighbor *neighbor = entry;

	if (neighbor->expected)
		visitor->visit(visitor->ctx, neighbor);
}

void nexthops_expected(const struct hops *hops,
	void (*visit)(void *ctx, const struct neighbor *neighbor), void *ctx)
{
	struct visitor visitor = {visit, ctx};
	table_each(&hops->neighbors, visit_expected, &visitor);
}

void nexthops_expected_on(const struct hops *hops, uint32_t interface,
	void (*visit)(void *ctx, const struct neighbor *neighbor), void *ctx)
{
	const struct out_interface *out = table_find(&hops->interfaces, &interface);
	const struct neighbor *neighbor;

	if (out != NULL)
		LIST_FOREACH (neighbor, &out->neighbors, of_interface)
			if (neighbor->expected)
				visit(ctx, neighbor);
}

const struct neighbor *nexthops_neighbor_by_id(const struct hops *hops, uint32_t id)
{
	const struct neighbor_id *named = table_find(&hops->neighbor_ids, &id);
	return named != NULL ? named->neighbor : NULL;
}

void nexthops_interface(struct hops *hops, uint32_t interface, bool up)
{
	struct out_interface *out = table_find(&hops->interfaces, &interface);
	struct path *path;

	if (up == (out == NULL || !out->down))
		return;
	if (out == NULL)
		out = out_get(hops, interface);
	out->down = !up;
	LIST_FOREACH (path, &out->paths, of_interface)
		write_path(hops, path);
	out_put(hops, out);
}
