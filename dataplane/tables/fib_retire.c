/* SPDX-License-Identifier: BSD-3-Clause */
// Blocks that no new reader can find, until no old one can be in them. They wait in a ring in the
// order of their going; every RETIRE_BATCH of them, or when someone asks, a grace period is started
// for all that are not in one yet. The writer never waits: done() is asked now and then, and the
// ring's front is freed.

#include "dataplane/tables/fib_private.h"

#include <errno.h>
#include <stdlib.h>

#define RETIRE_BATCH 256u
#define RING_FIRST   1024u

int retired_create(struct fib *fib)
{
	struct retired *r = &fib->retired;
	r->size = RING_FIRST;
	r->ring = malloc(r->size * sizeof(*r->ring));
	return r->ring ? 0 : -ENOMEM;
}

static void start_batch(struct fib *fib)
{
	struct retired *r = &fib->retired;
	if (!r->open || r->batches == BATCHES)
		return;
	uint32_t at = (r->batch_head + r->batches++) % BATCHES;
	r->batch[at].token = fib->reclaim.token(fib->reclaim.ctx);
	r->batch[at].count = r->open;
	r->open = 0;
}

static void finish_batches(struct fib *fib)
{
	struct retired *r = &fib->retired;
	while (r->batches && fib->reclaim.done(fib->reclaim.ctx, r->batch[r->batch_head].token)) {
		for (uint32_t i = r->batch[r->batch_head].count; i; i--) {
			uint32_t unit = r->ring[r->head].unit, units = r->ring[r->head].units;
			arena_release(&fib->arena, unit, units);
			r->units -= units;
			r->head = (r->head + 1) & (r->size - 1);
			r->count--;
		}
		r->batch_head = (r->batch_head + 1) % BATCHES;
		r->batches--;
	}
}

void fib_reclaim_poll(struct fib *fib)
{
	if (!fib->reclaim.token)
		return;
	finish_batches(fib);
	start_batch(fib);
	finish_batches(fib);
}

static bool grow(struct retired *r)
{
	void *ring = malloc(2 * (size_t)r->size * sizeof(*r->ring));
	if (!ring)
		return false;
	void *old = r->ring;
	for (uint32_t i = 0; i < r->count; i++)
		((__typeof__(r->ring))ring)[i] = r->ring[(r->head + i) & (r->size - 1)];
	free(old);
	r->ring = ring;
	r->head = 0;
	r->size *= 2;
	return true;
}

void fib_retire(struct fib *fib, uint32_t unit, uint32_t units)
{
	struct retired *r = &fib->retired;
	if (!fib->reclaim.token) {
		arena_release(&fib->arena, unit, units);
		return;
	}
	if (r->count == r->size && !grow(r))
		abort(); // 8 bytes a block: the system has no memory left at all
	uint32_t at = (r->head + r->count++) & (r->size - 1);
	r->ring[at].unit = unit;
	r->ring[at].units = units;
	r->units += units;
	if (++r->open >= RETIRE_BATCH) {
		finish_batches(fib);
		start_batch(fib);
	}
}

uint32_t fib_alloc(struct fib *fib, uint32_t units, bool last_reserve)
{
	uint32_t unit = arena_alloc(&fib->arena, units, last_reserve);
	if (unit || !fib->reclaim.token)
		return unit;
	fib_reclaim_poll(fib);
	return arena_alloc(&fib->arena, units, last_reserve);
}
