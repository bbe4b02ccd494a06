// SPDX-License-Identifier: BSD-3-Clause

// Paths: one way out each. path_state is the store that moves every route behind a failed link or
// session at once; where a path leads stands in its entry, and in those of the groups that have no
// other path.

#include "dataplane/tables/nexthop.h"

#include "dataplane/tables/links.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"

#include <errno.h>
#include <string.h>

static int resolve(const struct dataplane *dp, const struct wire_path *r, uint32_t *interface,
	uint32_t *neighbor)
{
	const struct tables *t = dp->tables;
	if (r->path == 0 || r->up > 1 || r->account >> 63 != 0 || !wire_addr_is_zero(r->pad, 0, 3))
		return -EINVAL;
	*interface = interface_find(dp, r->interface);
	*neighbor = slots_find(&t->neighbor_slots, r->neighbor);
	if (*interface == SLOT_NONE || (r->neighbor != 0 && *neighbor == SLOT_NONE))
		return -ENOENT;
	bool ethernet = t->interface_record[*interface].kind == WIRE_INTERFACE_ETHERNET;
	if (ethernet != (r->neighbor != 0))
		return -EINVAL;
	if (ethernet && t->neighbor_interface[*neighbor] != *interface)
		return -EINVAL;
	return 0;
}

// Accounts: what they are is in the stats segment; they are live as long as a path names them, and
// their values wait there after that, for another path or until the controller has read them.

static int account_take(struct dataplane *dp, uint64_t uid, uint32_t *slot)
{
	*slot = 0;
	if (uid == 0)
		return 0;
	int64_t found = stats_slot(dp->stats, STATS_ACCOUNT, uid);
	if (found < 0)
		return (int)found;
	*slot = (uint32_t)found;
	dp->tables->account_uses[found]++;
	return 0;
}

static void account_release(void *ctx, uint64_t slot)
{
	struct dataplane *dp = ctx;
	if (dp->tables->account_uses[slot] == 0) // nobody named it meanwhile
		stats_slot_delete(
			dp->stats, STATS_ACCOUNT, dp->stats->entry[STATS_ACCOUNT][slot].uid);
}

static void account_drop(struct dataplane *dp, uint32_t slot)
{
	if (slot != 0 && --dp->tables->account_uses[slot] == 0)
		reclaim_defer(dp->reclaim, account_release, dp, slot);
}

static void use(struct tables *t, uint32_t path, uint32_t interface, uint32_t neighbor)
{
	t->path_interface[path] = interface;
	t->path_neighbor[path] = neighbor;
	t->interface_slots.uses[interface]++;
	t->neighbor_slots.uses[neighbor]++;
	links_add(&t->interface_paths, interface, path);
	links_add(&t->neighbor_paths, neighbor, path);
}

static void unuse(struct tables *t, uint32_t path)
{
	t->interface_slots.uses[t->path_interface[path]]--;
	t->neighbor_slots.uses[t->path_neighbor[path]]--;
	links_remove(&t->interface_paths, t->path_interface[path], path);
	links_remove(&t->neighbor_paths, t->path_neighbor[path], path);
}

int path_set(struct dataplane *dp, const struct wire_path *r)
{
	struct tables *t = dp->tables;
	uint32_t interface, neighbor, account;
	int error = resolve(dp, r, &interface, &neighbor);
	if (error != 0)
		return error;
	uint32_t slot = slots_find(&t->path_slots, r->path);
	if (slot != SLOT_NONE && memcmp(&t->path_record[slot], r, sizeof(*r)) == 0) {
		dp->unchanged++;
		return 1;
	}
	bool fresh = slot == SLOT_NONE;
	error = account_take(dp, r->account, &account);
	if (error != 0)
		return error;
	if (fresh) {
		error = slots_take(&t->path_slots, r->path, &slot);
		if (error != 0) {
			account_drop(dp, account);
			return error;
		}
	} else {
		unuse(t, slot);
		account_drop(dp, t->path_account[slot]);
	}
	t->path_account[slot] = account;
	t->path_record[slot] = *r;
	use(t, slot, interface, neighbor);
	if (fresh)
		t->path_state[slot].live = 1;
	// Never up with what it led to before, or not yet.
	if (!r->up)
		__atomic_store_n(&t->path_state[slot].up, 0, __ATOMIC_RELEASE);
	entries_follow_path(dp, slot);
	if (r->up)
		__atomic_store_n(&t->path_state[slot].up, 1, __ATOMIC_RELEASE);
	dp->written++;
	return 0;
}

static void release(void *ctx, uint64_t slot)
{
	struct tables *t = ctx;
	entry_write(&t->entry[ENTRY_OF_PATH(t, slot)], &(struct entry){0});
	slots_release(&t->path_slots, (uint32_t)slot);
}

int path_delete(struct dataplane *dp, uint32_t id)
{
	struct tables *t = dp->tables;
	uint32_t slot = slots_find(&t->path_slots, id);
	if (slot == SLOT_NONE)
		return -ENOENT;
	if (t->path_slots.uses[slot] != 0)
		return -EBUSY;
	__atomic_store_n(&t->path_state[slot].up, 0, __ATOMIC_RELEASE);
	unuse(t, slot);
	account_drop(dp, t->path_account[slot]);
	t->path_account[slot] = 0;
	slots_drop(&t->path_slots, slot);
	reclaim_defer(dp->reclaim, release, t, slot);
	dp->written++;
	return 0;
}
