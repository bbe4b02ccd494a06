// SPDX-License-Identifier: BSD-3-Clause

// Next-hop groups: what a route's value names, and thereby which forwarding entry a packet meets.
// The entry of a group of one path is a copy of that path's; a group of several names a block with
// the shares, built aside and published with the entry. Selection is in stages/select.c: a flow's
// hash falls into one share, and only flows of a path that is down are dealt anew among the others,
// so that the rest stay where they are.
//
// Local addresses are groups too, one per interface that has any, so that the one lookup which
// finds a route also finds that a packet is for us.
//
// A deleted group answers `blackhole` until its slot is used again. That is not before every route
// has left it: a change of a short prefix may still be under way in slices (fib.h), then a grace
// period more.

#include "dataplane/tables/nexthop.h"

#include "dataplane/tables/fib.h"
#include "dataplane/tables/links.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct retired {
	size_t first;
	size_t count;
	size_t room;
	struct {
		uint64_t token; // of fib_settle_token(), then of reclaim_token()
		uint32_t slot;
		uint32_t settled;
	} group[];
};

static void release_multipath(void *ctx, uint64_t slot)
{
	struct tables *t = ctx;
	slots_release(&t->multipath_slots, (uint32_t)slot);
}

// The group's entry no longer names its block, if it had one.
static void drop_block(struct dataplane *dp, uint32_t block)
{
	if (block != 0)
		reclaim_defer(dp->reclaim, release_multipath, dp->tables, block);
}

static uint32_t common_owner(const struct tables *t, const struct wire_group *r)
{
	uint32_t owner = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		uint32_t path = slots_find(&t->path_slots, r->path[i]);
		uint32_t of = t->interface_record[t->path_interface[path]].owner;
		if (i > 0 && of != owner)
			return OWNER_MIXED;
		owner = of;
	}
	return owner;
}

static void fill_multipath(const struct tables *t, const struct wire_group *r, struct multipath *m)
{
	uint32_t total = 0, sum = 0;
	for (uint32_t i = 0; i < r->count; i++)
		total += r->weight[i];
	for (uint32_t i = 0; i < r->count; i++) {
		sum += r->weight[i];
		m->bound[i] = (uint16_t)((sum * 65536ull + total - 1) / total - 1);
		m->path[i] = slots_find(&t->path_slots, r->path[i]);
		m->weight[i] = r->weight[i];
	}
	m->count = r->count;
}

static int check(const struct tables *t, const struct wire_group *r)
{
	if (r->group <= WIRE_GROUP_BLACKHOLE || r->count == 0 || r->count > WIRE_GROUP_PATHS)
		return -EINVAL;
	for (uint32_t i = 0; i < WIRE_GROUP_PATHS; i++) {
		if (i >= r->count && (r->path[i] != 0 || r->weight[i] != 0))
			return -EINVAL;
		if (i < r->count && (r->weight[i] == 0 || r->weight[i] > 256))
			return -EINVAL;
	}
	for (uint32_t i = 0; i < r->count; i++) {
		if (slots_find(&t->path_slots, r->path[i]) == SLOT_NONE)
			return -ENOENT;
	}
	return 0;
}

static void use_paths(struct tables *t, uint32_t group, const struct wire_group *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		uint32_t path = slots_find(&t->path_slots, r->path[i]);
		t->path_slots.uses[path]++;
		links_add(&t->path_groups, path, GROUP_MEMBER(group, i));
	}
}

static void unuse_paths(struct tables *t, uint32_t group, const struct wire_group *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		uint32_t path = slots_find(&t->path_slots, r->path[i]);
		t->path_slots.uses[path]--;
		links_remove(&t->path_groups, path, GROUP_MEMBER(group, i));
	}
}

// A group of one path is a copy of that path's entry; of several, a block to choose from.
static void write_entry(struct tables *t, uint32_t slot)
{
	const struct wire_group *r = &t->group_record[slot];
	struct entry e = {
		.kind = ENTRY_MULTI, .via = t->group_block[slot], .owner = common_owner(t, r)};
	if (r->count == 1)
		e = t->entry[ENTRY_OF_PATH(t, slots_find(&t->path_slots, r->path[0]))];
	else if (e.owner != 0 && e.owner != OWNER_MIXED)
		e.flags = ENTRY_VOUCHES;
	entry_write(&t->entry[slot], &e);
}

int group_set(struct dataplane *dp, const struct wire_group *r)
{
	struct tables *t = dp->tables;
	uint32_t slot, multi = 0;
	int error = check(t, r);
	if (error != 0)
		return error;
	slot = slots_find(&t->group_slots, r->group);
	if (slot != SLOT_NONE && memcmp(&t->group_record[slot], r, sizeof(*r)) == 0) {
		dp->unchanged++;
		return 1;
	}
	if (r->count > 1) {
		error = slots_take(&t->multipath_slots, 0, &multi);
		if (error != 0)
			return error;
		fill_multipath(t, r, &t->multipath[multi]);
	}
	if (slot == SLOT_NONE) {
		error = slots_take(&t->group_slots, r->group, &slot);
		if (error != 0) {
			if (multi != 0)
				slots_release(&t->multipath_slots, multi);
			return error;
		}
	} else {
		unuse_paths(t, slot, &t->group_record[slot]);
	}
	use_paths(t, slot, r);
	t->group_record[slot] = *r;
	uint32_t before = t->group_block[slot];
	t->group_block[slot] = multi;
	write_entry(t, slot);
	drop_block(dp, before);
	dp->written++;
	return 0;
}

static void retire(struct dataplane *dp, uint32_t slot)
{
	struct retired *q = dp->tables->retired;
	if (q == NULL || q->first + q->count == q->room) {
		size_t count = q == NULL ? 0 : q->count, room = 2 * count + 64;
		struct retired *bigger = malloc(sizeof(*q) + room * sizeof(q->group[0]));
		if (bigger == NULL)
			return; // the slot stays retired for good: safe, and tiny
		if (q != NULL)
			memcpy(bigger->group, q->group + q->first, count * sizeof(q->group[0]));
		bigger->first = 0;
		bigger->count = count;
		bigger->room = room;
		free(q);
		dp->tables->retired = q = bigger;
	}
	size_t at = q->first + q->count++;
	q->group[at].token = fib_settle_token(dp->fib);
	q->group[at].slot = slot;
	q->group[at].settled = 0;
}

// Frees the slots of retired groups that no reader can meet any more; bounded.
unsigned groups_poll(struct dataplane *dp)
{
	struct retired *q = dp->tables->retired;
	unsigned done = 0;
	for (size_t i = 0; q != NULL && i < q->count && done < 256; i++) {
		size_t at = q->first + i;
		if (q->group[at].settled)
			continue;
		if (!fib_settled(dp->fib, q->group[at].token))
			break;
		q->group[at].settled = 1;
		q->group[at].token = reclaim_token(dp->reclaim);
		done++;
	}
	while (q != NULL && q->count > 0 && q->group[q->first].settled && done < 256) {
		if (!reclaim_done(dp->reclaim, q->group[q->first].token))
			break;
		slots_release(&dp->tables->group_slots, q->group[q->first].slot);
		q->first++;
		q->count--;
		done++;
	}
	return done;
}

static void delete_slot(struct dataplane *dp, uint32_t slot)
{
	struct tables *t = dp->tables;
	entry_write(&t->entry[slot], &(struct entry){.kind = ENTRY_DROP});
	drop_block(dp, t->group_block[slot]);
	t->group_block[slot] = 0;
	slots_drop(&t->group_slots, slot);
	retire(dp, slot);
}

int group_delete(struct dataplane *dp, uint32_t id)
{
	struct tables *t = dp->tables;
	uint32_t slot = slots_find(&t->group_slots, id);
	if (slot == SLOT_NONE)
		return -ENOENT;
	if (t->group_slots.uses[slot] != 0)
		return -EBUSY;
	unuse_paths(t, slot, &t->group_record[slot]);
	delete_slot(dp, slot);
	dp->written++;
	return 0;
}

// The path's entry changed.
void groups_follow_path(struct dataplane *dp, uint32_t path)
{
	struct tables *t = dp->tables;
	for (uint32_t m = t->path_groups.first[path]; m != 0; m = t->path_groups.next[m]) {
		write_entry(t, m / WIRE_GROUP_PATHS);
	}
}

int group_local_take(struct dataplane *dp, uint32_t interface, uint32_t *group)
{
	struct tables *t = dp->tables;
	if (t->local_group[interface] == 0) {
		uint32_t slot;
		int error = slots_take(&t->group_slots, 0, &slot);
		if (error != 0)
			return error;
		entry_write(&t->entry[slot],
			&(struct entry){.kind = ENTRY_LOCAL, .via = interface, .out = interface});
		t->local_group[interface] = slot;
	}
	t->local_count[interface]++;
	*group = t->local_group[interface];
	return 0;
}

void group_local_drop(struct dataplane *dp, uint32_t interface)
{
	struct tables *t = dp->tables;
	if (--t->local_count[interface] != 0)
		return;
	delete_slot(dp, t->local_group[interface]);
	t->local_group[interface] = 0;
}
