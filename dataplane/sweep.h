/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_SWEEP_H
#define DATAPLANE_SWEEP_H

// BEGIN ... END: what is swept, and when it is refused (wire/types.h). Main thread.

#include "dataplane/dataplane.h"
#include "dataplane/wire/types.h"

struct sweeps;
struct host;

int sweeps_create(struct dataplane *dp, struct host *host, struct sweeps **sweeps);
void sweeps_destroy(struct sweeps *sweeps); // NULL is fine

// The store and revision the data plane was last configured from: zero until the first BEGIN, then
// raised by each BEGIN and by what the controller follows up with.
const uint8_t *sweeps_store(const struct sweeps *sweeps);
uint64_t sweeps_revision(const struct sweeps *sweeps);

// A controller said HELLO: whether its SETs and DELETEs may be applied before it has sent a BEGIN.
bool sweeps_trusted(const struct sweeps *sweeps, const uint8_t store[16], uint64_t revision);
// A controller that may says that its records are of this revision from now on: an older copy of
// its store is then refused even when no sweep happened since. No effect for others and before the
// first BEGIN.
void sweeps_follow(struct sweeps *sweeps, const uint8_t store[16], uint64_t revision);

int sweeps_begin(struct sweeps *sweeps, const struct wire_begin *begin);

// Before a SET record is applied, accepted or not.
void sweeps_note(struct sweeps *sweeps, uint16_t type, const void *record);

// Sweeps, looking at `budget` objects or so. SWEEPS_MORE: not done, call it again with the same
// END; else it is, and *deleted is the number of objects deleted.
#define SWEEPS_MORE 1
int sweeps_end(
	struct sweeps *sweeps, const struct wire_end *end, unsigned budget, unsigned *deleted);

// The controller is gone: open sweeps are void.
void sweeps_abandon(struct sweeps *sweeps);

#endif
