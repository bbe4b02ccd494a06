/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_RECLAIM_H
#define TABLES_RECLAIM_H

// Grace periods: the one mechanism by which anything that workers may still hold is freed or used
// again. One writer (the data plane's main thread); readers report quiescence to the qsbr once per
// turn.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_rcu_qsbr;
struct reclaim;

// `readers`: highest qsbr thread id + 1. 0 or -ENOMEM.
int reclaim_create(unsigned readers, struct reclaim **out);
void reclaim_destroy(struct reclaim *reclaim); // runs what is pending; no reader may be left
struct rte_rcu_qsbr *reclaim_qsbr(struct reclaim *reclaim);

// Run `fn(ctx, value)` once every reader has been quiescent after this call. Never fails: without
// memory for the note it waits for the grace period on the spot.
void reclaim_defer(
	struct reclaim *reclaim, void (*fn)(void *ctx, uint64_t value), void *ctx, uint64_t value);

// Run what is due, at most `budget` notes; how many ran.
unsigned reclaim_poll(struct reclaim *reclaim, unsigned budget);

// A token for everything stored so far; done once every reader has been quiescent since. Cheap to
// ask again.
uint64_t reclaim_token(struct reclaim *reclaim);
bool reclaim_done(struct reclaim *reclaim, uint64_t token);

// Wait for a grace period and run everything pending: only for rare changes of a record in place.
void reclaim_wait(struct reclaim *reclaim);

// How often that has been done.
uint64_t reclaim_waits(const struct reclaim *reclaim);

size_t reclaim_pending(const struct reclaim *reclaim);

#endif
