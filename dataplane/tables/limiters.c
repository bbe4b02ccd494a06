// SPDX-License-Identifier: BSD-3-Clause

// Limiters by wire id. What a limiter is and how its parameters may change under the workers is
// limiter.c's; here is only who has which slot, and that a word which this process already used
// goes on being used: setting a deleted limiter again gives no fresh burst.

#include "dataplane/tables/limiters.h"

#include "dataplane/tables/limiter.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"

#include <errno.h>
#include <string.h>

uint32_t limiter_find(const struct dataplane *dp, uint32_t id)
{
	return slots_find(&dp->tables->limiter_slots, id);
}

// One count of them all, so that workers need not ask each limiter when none shapes.
static void count_shaped(struct tables *t, const struct wire_limiter *r, int change)
{
	if (r->flags & WIRE_LIMITER_SHAPE)
		__atomic_fetch_add(&t->shaped, change, __ATOMIC_RELAXED);
}

int limiter_set(struct dataplane *dp, const struct wire_limiter *r)
{
	struct tables *t = dp->tables;
	const char *reason;
	int error = r->limiter == 0 || r->uid == 0 ? -EINVAL : limiter_check(r, &reason);
	if (error != 0)
		return error;
	uint64_t now;
	uint32_t slot = limiter_find(dp, r->limiter);
	if (slot != SLOT_NONE) {
		if (memcmp(&t->limiter_record[slot], r, sizeof(*r)) == 0) {
			dp->unchanged++;
			return 1;
		}
		if (t->limiter_record[slot].uid != r->uid)
			return -EEXIST;
		now = limiter_units(dp->clock());
	} else {
		error = slot_of_counters(dp, &t->limiter_slots, STATS_LIMITER, r->uid, r->limiter,
			&slot); // may wait
		if (error != 0)
			return error;
		now = limiter_units(dp->clock());
		bool same = dp->stats->words_valid || t->limiter_uid[slot] == r->uid;
		for (unsigned w = 0; w < dp->workers; w++)
			limiter_void_lease(stats_limiter_part(dp->stats, w, slot));
		limiter_take_up(
			stats_limiter_word(dp->stats, slot), r, dp->hz, dp->workers, now, same);
		t->limiter_uid[slot] = r->uid;
	}
	count_shaped(t, &t->limiter_record[slot], -1);
	count_shaped(t, r, 1);
	t->limiter_record[slot] = *r;
	limiter_write(stats_limiter_word(dp->stats, slot), r, dp->hz, dp->workers, now);
	interfaces_follow_limiter(dp, slot);
	dp->written++;
	return 0;
}

static void release(void *ctx, uint64_t slot)
{
	struct dataplane *dp = ctx;
	stats_slot_delete(dp->stats, STATS_LIMITER, dp->tables->limiter_record[slot].uid);
	slots_release(&dp->tables->limiter_slots, (uint32_t)slot);
}

int limiter_delete(struct dataplane *dp, uint32_t id)
{
	struct slots *slots = &dp->tables->limiter_slots;
	uint32_t slot = limiter_find(dp, id);
	if (slot == SLOT_NONE)
		return -ENOENT;
	if (slots->uses[slot] != 0)
		return -EBUSY;
	slots_drop(slots, slot);
	count_shaped(dp->tables, &dp->tables->limiter_record[slot], -1);
	dp->tables->limiter_record[slot].flags = 0;
	reclaim_defer(dp->reclaim, release, dp, slot);
	dp->written++;
	return 0;
}

void limiters_retime(struct dataplane *dp, uint64_t hz)
{
	struct tables *t = dp->tables;
	uint64_t now = limiter_units(dp->clock());
	dp->hz = hz;
	for (uint32_t slot = 1; slot <= t->limiter_slots.high; slot++) {
		if (t->limiter_slots.id[slot] != 0)
			limiter_write(stats_limiter_word(dp->stats, slot), &t->limiter_record[slot],
				hz, dp->workers, now);
	}
}

static unsigned repair(struct dataplane *dp, uint32_t first, uint32_t last,
	int (*one)(struct stats_limiter_word *word, const struct limiter_seen *seen, uint64_t now))
{
	struct tables *t = dp->tables;
	unsigned repaired = 0;
	for (uint32_t slot = first; slot <= last; slot++) {
		struct stats_limiter_word *word = stats_limiter_word(dp->stats, slot);
		struct limiter_seen seen;
		if (t->limiter_slots.id[slot] == 0)
			continue;
		limiter_see(word, &seen);
		repaired += (unsigned)one(word, &seen, limiter_units(dp->clock()));
	}
	return repaired;
}

unsigned limiters_sweep(struct dataplane *dp, uint32_t *after, uint32_t parts)
{
	uint32_t high = dp->tables->limiter_slots.high, first = *after + 1;
	uint32_t last = *after + high / parts + 1;

	last = last < high ? last : high;
	*after = last < high ? last : 0;
	return repair(dp, first, last, limiter_sweep);
}

unsigned limiters_settle(struct dataplane *dp)
{
	return repair(dp, 1, dp->tables->limiter_slots.high, limiter_settle);
}
