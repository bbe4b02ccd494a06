// SPDX-License-Identifier: BSD-3-Clause

// Walks by slot: a slot that is passed stays passed, so a walk needs to remember a number only.
// Routes are walked VRF by VRF and family by family; there the last one visited is remembered.

#include "dataplane/tables/walk.h"

#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"

#include <errno.h>
#include <string.h>

#define SLOTS_PER_OBJECT 16u // empty slots cost something too: so many are passed for one object

int walk_start(struct walk *w, uint16_t type, uint32_t vrf)
{
	switch (type) {
	case WIRE_VRF_SET:
	case WIRE_INTERFACE_SET:
	case WIRE_LIMITER_SET:
	case WIRE_LOCAL_SET:
	case WIRE_NEIGHBOR_SET:
	case WIRE_PATH_SET:
	case WIRE_GROUP_SET:
	case WIRE_ROUTE_SET:
	case WIRE_VRF_STATS:
		*w = (struct walk){.type = type, .vrf = vrf, .slot = 1, .family = FIB_IPV4};
		return 0;
	default:
		return -EINVAL;
	}
}

static const struct slots *slots_of(const struct tables *t, uint16_t type)
{
	switch (type) {
	case WIRE_INTERFACE_SET:
		return &t->interface_slots;
	case WIRE_LIMITER_SET:
		return &t->limiter_slots;
	case WIRE_LOCAL_SET:
		return &t->local_slots;
	case WIRE_NEIGHBOR_SET:
		return &t->neighbor_slots;
	case WIRE_PATH_SET:
		return &t->path_slots;
	case WIRE_GROUP_SET:
		return &t->group_slots;
	default:
		return &t->vrf_slots;
	}
}

// NULL: nothing that the controller knows of. `stats` is room for what is made up.
static const void *record_at(
	const struct dataplane *dp, uint16_t type, uint32_t slot, struct wire_vrf_stats *stats)
{
	const struct tables *t = dp->tables;
	const struct slots *slots = slots_of(t, type);
	if (type == WIRE_LOCAL_SET) // they have no ids
		return slots->busy[slot] ? &t->local_entry[slot].record : NULL;
	if (slots->id[slot] == 0)
		return NULL;
	switch (type) {
	case WIRE_INTERFACE_SET:
		return &t->interface_record[slot];
	case WIRE_LIMITER_SET:
		return &t->limiter_record[slot];
	case WIRE_NEIGHBOR_SET:
		return &t->neighbor_record[slot];
	case WIRE_PATH_SET:
		return &t->path_record[slot];
	case WIRE_GROUP_SET:
		return slots->id[slot] > WIRE_GROUP_BLACKHOLE ? &t->group_record[slot] : NULL;
	case WIRE_VRF_STATS:
		return vrf_stats_of(dp, slot, stats) ? stats : NULL;
	default:
		return &t->vrf_entry[slot].record;
	}
}

static int walk_slots(struct dataplane *dp, struct walk *w, unsigned budget,
	int (*cb)(void *ctx, const void *record), void *ctx)
{
	const struct slots *slots = slots_of(dp->tables, w->type);
	unsigned left = budget * SLOTS_PER_OBJECT;
	struct wire_vrf_stats stats;
	while (w->slot <= slots->high) {
		if (left == 0)
			return 0;
		const void *record = record_at(dp, w->type, w->slot++, &stats);
		left -= record == NULL ? 1 : left < SLOTS_PER_OBJECT ? left : SLOTS_PER_OBJECT;
		int stop = record == NULL ? 0 : cb(ctx, record);
		if (stop < 0)
			return stop;
	}
	return 1;
}

struct route_slice {
	struct walk *walk;
	unsigned budget;
	int (*cb)(void *ctx, const void *record);
	void *ctx;
};

#define SLICE_FULL 1

static int visit_route(void *ctx, const struct wire_route *r)
{
	struct route_slice *s = ctx;
	struct walk *w = s->walk;
	if (s->budget == 0)
		return SLICE_FULL;
	s->budget--;
	w->inside = true;
	w->after = (struct fib_route){.family = r->family, .len = r->len};
	memcpy(w->after.addr, r->addr, sizeof(w->after.addr));
	return s->cb(s->ctx, r);
}

// The rest of one VRF. 1 = done.
static int walk_vrf(struct dataplane *dp, uint32_t slot, struct route_slice *s)
{
	struct walk *w = s->walk;
	for (;;) {
		int stop = route_dump_from(
			dp, slot, w->family, w->inside ? &w->after : NULL, visit_route, s);
		if (stop != 0)
			return stop == SLICE_FULL ? 0 : stop;
		w->inside = false;
		if (w->family == FIB_IPV6)
			break;
		w->family = FIB_IPV6;
	}
	w->family = FIB_IPV4;
	return 1;
}

static int walk_routes(struct dataplane *dp, struct walk *w, unsigned budget,
	int (*cb)(void *ctx, const void *record), void *ctx)
{
	const struct slots *slots = &dp->tables->vrf_slots;
	struct route_slice s = {.walk = w, .budget = budget, .cb = cb, .ctx = ctx};
	unsigned vrfs = budget * SLOTS_PER_OBJECT;
	if (w->vrf != 0) {
		uint32_t slot = slots_find(slots, w->vrf);
		return slot == SLOT_NONE ? 1 : walk_vrf(dp, slot, &s);
	}
	for (; w->slot <= slots->high; w->slot++) {
		int done = slots->id[w->slot] == 0 ? 1 : walk_vrf(dp, w->slot, &s);
		if (done != 1 || --vrfs == 0)
			return done == 1 ? w->slot++, 0 : done;
	}
	return 1;
}

int walk_slice(struct dataplane *dp, struct walk *w, unsigned budget,
	int (*cb)(void *ctx, const void *record), void *ctx)
{
	return w->type == WIRE_ROUTE_SET ? walk_routes(dp, w, budget, cb, ctx)
					 : walk_slots(dp, w, budget, cb, ctx);
}
