/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_LIMITERS_H
#define TABLES_LIMITERS_H

// Limiter objects by wire id; what a limiter does is in tables/limiter.h. A limiter's slot is the
// one of its word and counters in the stats segment.

#include <stdint.h>

#include "dataplane/wire/types.h"

struct dataplane;

int limiter_set(struct dataplane *dp, const struct wire_limiter *r);
int limiter_delete(struct dataplane *dp, uint32_t id);          // -EBUSY: an interface names it
uint32_t limiter_find(const struct dataplane *dp, uint32_t id); // slot, 0 = none

// The clock's frequency was corrected: every limiter is written anew. Changes dp->hz.
void limiters_retime(struct dataplane *dp, uint64_t hz);

// Repairs words far in the past or future, see limiter_sweep(): one of `parts` parts of all, from
// the slot behind *after. Each of them every few minutes. Returns how many.
unsigned limiters_sweep(struct dataplane *dp, uint32_t *after, uint32_t parts);
// After the clock has jumped, see limiter_settle(). Returns how many.
unsigned limiters_settle(struct dataplane *dp);

#endif
