/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_LIMITS_H
#define TABLES_LIMITS_H

// Limiter objects by wire id; what a limiter does is in tables/limiter.h. A change builds a new struct limiter
// and swaps the pointer; its word in the stats segment goes on, so nobody gets a free burst.

#include <stdint.h>

#include "dataplane/wire/types.h"

struct dataplane;

int limiter_set(struct dataplane *dp, const struct wire_limiter *r);
int limiter_delete(struct dataplane *dp, uint32_t id); // -EBUSY: an interface names it
int limiter_dump(
	struct dataplane *dp, int (*cb)(void *ctx, const struct wire_limiter *r), void *ctx);
uint32_t limiter_find(const struct dataplane *dp, uint32_t id); // slot, 0 = none

#endif
