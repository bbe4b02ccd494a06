// SPDX-License-Identifier: BSD-3-Clause

// Grace periods over rte_rcu_qsbr.
//
// The writer never waits for readers: what it takes out of the tables it notes here with the token
// of that moment, and reclaim_poll(), called from the main thread's loop, runs the notes whose
// token every reader has passed. Notes are kept in a growing ring in the order of their tokens, so
// the first one that is not due ends the search. reclaim_wait() is the exception, for changes of a
// record in place, which are rare and made by people, not by routing protocols.

#include "dataplane/tables/reclaim.h"

#include <rte_config.h>
#include <rte_rcu_qsbr.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct note {
	void (*fn)(void *ctx, uint64_t value);
	void *ctx;
	uint64_t value;
	uint64_t token;
};

struct reclaim {
	struct rte_rcu_qsbr *qsbr;
	struct note *note; // ring
	size_t size;       // power of two
	size_t first;
	size_t count;
	uint64_t waits;
};

int reclaim_create(unsigned readers, struct reclaim **out)
{
	struct reclaim *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	size_t bytes = (rte_rcu_qsbr_get_memsize(readers) + 63) & ~(size_t)63;
	r->size = 1024;
	r->note = malloc(r->size * sizeof(*r->note));
	r->qsbr = aligned_alloc(64, bytes);
	if (r->note == NULL || r->qsbr == NULL || rte_rcu_qsbr_init(r->qsbr, readers) != 0) {
		free(r->qsbr);
		free(r->note);
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

static void run(struct reclaim *r)
{
	struct note note = r->note[r->first];
	r->first = (r->first + 1) & (r->size - 1);
	r->count--;
	note.fn(note.ctx, note.value);
}

void reclaim_destroy(struct reclaim *r)
{
	if (r == NULL)
		return;
	while (r->count > 0)
		run(r);
	free(r->qsbr);
	free(r->note);
	free(r);
}

struct rte_rcu_qsbr *reclaim_qsbr(struct reclaim *r)
{
	return r->qsbr;
}

static int grow(struct reclaim *r)
{
	struct note *bigger = malloc(2 * r->size * sizeof(*bigger));
	if (bigger == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < r->count; i++)
		bigger[i] = r->note[(r->first + i) & (r->size - 1)];
	free(r->note);
	r->note = bigger;
	r->first = 0;
	r->size *= 2;
	return 0;
}

void reclaim_defer(
	struct reclaim *r, void (*fn)(void *ctx, uint64_t value), void *ctx, uint64_t value)
{
	if (r->count == r->size && grow(r) != 0) {
		reclaim_wait(r);
		fn(ctx, value);
		return;
	}
	r->note[(r->first + r->count) & (r->size - 1)] = (struct note){
		.fn = fn,
		.ctx = ctx,
		.value = value,
		.token = rte_rcu_qsbr_start(r->qsbr),
	};
	r->count++;
}

unsigned reclaim_poll(struct reclaim *r, unsigned budget)
{
	unsigned done = 0;
	while (done < budget && r->count > 0 && reclaim_done(r, r->note[r->first].token)) {
		run(r);
		done++;
	}
	return done;
}

uint64_t reclaim_token(struct reclaim *r)
{
	return rte_rcu_qsbr_start(r->qsbr);
}

bool reclaim_done(struct reclaim *r, uint64_t token)
{
	return rte_rcu_qsbr_check(r->qsbr, token, false) == 1;
}

void reclaim_wait(struct reclaim *r)
{
	r->waits++;
	rte_rcu_qsbr_synchronize(r->qsbr, RTE_QSBR_THRID_INVALID);
	while (r->count > 0)
		run(r);
}

uint64_t reclaim_waits(const struct reclaim *r)
{
	return r->waits;
}

size_t reclaim_pending(const struct reclaim *r)
{
	return r->count;
}
