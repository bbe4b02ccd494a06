// SPDX-License-Identifier: BSD-3-Clause

// Memory of the tables. Everything is one array per table, indexed by slot, mapped at its full size
// from the start and touched as slots are used: no array ever moves, so a worker that holds a slot
// needs no lock to reach what it names. Nothing here comes from the EAL; packets are all it is
// asked for.
//
// What workers read with every packet lies on huge pages. The writer's own does not: a huge page is
// cleared when it is first touched, and a record that is the first of its kind touches a dozen
// arrays in one turn.

#include "dataplane/tables/tables.h"

#include "dataplane/tables/reclaim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct memory {
	struct memory *next;
	void *base;
	size_t bytes;
};

#define HUGE_BYTES ((size_t)2 << 20)

// A mapping that begins at a huge page, so that the slots in front, which are taken first, lie in
// one.
static void *map_aligned(size_t bytes, bool huge)
{
	char *base = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	size_t front = -(uintptr_t)base & (HUGE_BYTES - 1);
	if (front != 0)
		munmap(base, front);
	if (front != HUGE_BYTES)
		munmap(base + front + bytes, HUGE_BYTES - front);
	madvise(base + front, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return base + front;
}

static void *new_array(struct tables *tables, size_t bytes, bool huge)
{
	struct memory *m = malloc(sizeof(*m));
	if (m == NULL)
		return NULL;
	bytes = (bytes + 4095) & ~(size_t)4095;
	void *base = map_aligned(bytes, huge);
	if (base == NULL) {
		free(m);
		return NULL;
	}
	*m = (struct memory){.next = tables->memory, .base = base, .bytes = bytes};
	tables->memory = m;
	return base;
}

#define ARRAY_OF(tables, to, n) \
	(((to) = new_array(tables, (size_t)(n) * sizeof(*(to)), false)) != NULL)
#define ARRAY(tables, field, n) ARRAY_OF(tables, (tables)->field, n)
#define HUGE_ARRAY(t, field, n) \
	(((t)->field = new_array(t, (size_t)(n) * sizeof(*(t)->field), true)) != NULL)

static bool make_links(struct tables *t, struct links *l, uint32_t owners, uint32_t members)
{
	return ARRAY_OF(t, l->first, owners) && ARRAY_OF(t, l->next, members) &&
	       ARRAY_OF(t, l->prev, members);
}

int tables_create(const struct dataplane_config *c, struct reclaim *reclaim, struct tables **out)
{
	struct tables *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	uint32_t interfaces = c->stats->slots[STATS_INTERFACE];
	uint32_t limiters = c->stats->slots[STATS_LIMITER];
	t->path_base = c->groups;
	t->interface_base = c->groups + c->paths;
	if (!HUGE_ARRAY(t, entry, t->interface_base + interfaces) ||
		!ARRAY(t, path_state, c->paths) || !ARRAY(t, path_interface, c->paths) ||
		!ARRAY(t, path_neighbor, c->paths) ||
		!make_links(t, &t->port_interfaces, PORT_MAX + 1, interfaces) ||
		!make_links(t, &t->interface_paths, interfaces, c->paths) ||
		!make_links(t, &t->interface_locals, interfaces, c->locals) ||
		!ARRAY(t, local_changes, interfaces) || !ARRAY(t, local_dirty, interfaces) ||
		!make_links(t, &t->neighbor_paths, c->neighbors, c->paths) ||
		!make_links(t, &t->path_groups, c->paths, c->groups * WIRE_GROUP_PATHS) ||
		!make_links(t, &t->limiter_in_interfaces, limiters, interfaces) ||
		!make_links(t, &t->limiter_out_interfaces, limiters, interfaces))
		goto fail;
	t->path_state[0] = (struct path_state){1, 1}; // of entries that belong to no path
	if (!HUGE_ARRAY(t, interface, interfaces) || !ARRAY(t, needed, c->neighbors) ||
		!ARRAY(t, neighbor_interface, c->neighbors) || !ARRAY(t, group_block, c->groups) ||
		!HUGE_ARRAY(t, multipath, c->groups) || !ARRAY(t, limiter_uid, limiters) ||
		!ARRAY(t, vrf_entry, c->vrfs) || !ARRAY(t, interface_record, interfaces) ||
		!ARRAY(t, limiter_record, limiters) || !ARRAY(t, neighbor_record, c->neighbors) ||
		!ARRAY(t, path_record, c->paths) || !ARRAY(t, path_account, c->paths) ||
		!ARRAY(t, account_uses, c->stats->slots[STATS_ACCOUNT]) ||
		!ARRAY(t, group_record, c->groups) || !ARRAY(t, local_entry, c->locals) ||
		!ARRAY(t, local_group, interfaces) || !ARRAY(t, local_count, interfaces) ||
		slots_init(&t->vrf_slots, c->vrfs) != 0 ||
		slots_init(&t->interface_slots, interfaces) != 0 ||
		slots_init(&t->limiter_slots, limiters) != 0 ||
		slots_init(&t->neighbor_slots, c->neighbors) != 0 ||
		slots_init(&t->path_slots, c->paths) != 0 ||
		slots_init(&t->group_slots, c->groups) != 0 ||
		slots_init(&t->multipath_slots, c->groups) != 0 ||
		slots_init(&t->local_slots, c->locals) != 0 ||
		map_init(&t->vlans, 0, reclaim) != 0 || map_init(&t->tunnels, 0, reclaim) != 0 ||
		map_init(&t->local_map, 0, NULL) != 0)
		goto fail;
	uint32_t blackhole;
	if (slots_take(&t->group_slots, WIRE_GROUP_BLACKHOLE, &blackhole) != 0)
		goto fail;
	t->group_slots.uses[blackhole] = 1; // never deleted; its entry is 0 = ENTRY_DROP
	*out = t;
	return 0;
fail:
	tables_destroy(t);
	return -ENOMEM;
}

void tables_destroy(struct tables *t)
{
	if (t == NULL)
		return;
	free(t->retired);
	slots_fini(&t->vrf_slots);
	slots_fini(&t->interface_slots);
	slots_fini(&t->limiter_slots);
	slots_fini(&t->neighbor_slots);
	slots_fini(&t->path_slots);
	slots_fini(&t->group_slots);
	slots_fini(&t->multipath_slots);
	slots_fini(&t->local_slots);
	map_fini(&t->vlans);
	map_fini(&t->tunnels);
	map_fini(&t->local_map);
	while (t->memory != NULL) {
		struct memory *m = t->memory;
		t->memory = m->next;
		munmap(m->base, m->bytes);
		free(m);
	}
	free(t);
}

bool wire_addr_is_zero(const uint8_t *addr, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		if (addr[i] != 0)
			return false;
	}
	return true;
}

int slot_of_counters(struct dataplane *dp, struct slots *slots, enum stats_kind kind, uint64_t uid,
	uint32_t id, uint32_t *slot)
{
	int64_t found = stats_slot(dp->stats, kind, uid);
	if (found < 0)
		return (int)found;
	if (slots->busy[found]) {
		if (slots->id[found] != 0)
			return -EEXIST;    // this uid goes by another id
		reclaim_wait(dp->reclaim); // deleted a moment ago
		found = stats_slot(dp->stats, kind, uid);
		if (found < 0)
			return (int)found;
	}
	*slot = (uint32_t)found;
	return slots_take_at(slots, id, *slot);
}
