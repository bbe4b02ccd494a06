/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_WALK_H
#define TABLES_WALK_H

// A walk over all objects of one kind in slices, for read-back and sweeps: what a table holds may
// be a million routes, and the main thread has other work. Between two slices anything may change;
// what is there from begin to end is visited once.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tables/fib.h"
#include "dataplane/wire/types.h"

struct dataplane;

struct walk {
	uint16_t type;  // a *_SET type marked B on the wire, or WIRE_VRF_STATS
	uint32_t vrf;   // ROUTE_SET: of this VRF (wire id) only; 0 = all
	uint32_t slot;  // next; of routes the VRF's
	uint8_t family; // routes: being walked
	bool inside;    // routes: `after` says where
	struct fib_route after;
};

// -EINVAL: no such type.
int walk_start(struct walk *walk, uint16_t type, uint32_t vrf);

// Calls cb(ctx, record) for up to `budget` objects. 1 = that was the last, 0 = there may be more,
// negative = cb's, which ended the slice; the next one goes on behind that object. cb may delete
// objects other than routes.
int walk_slice(struct dataplane *dp, struct walk *walk, unsigned budget,
	int (*cb)(void *ctx, const void *record), void *ctx);

// All of them at once: 0, or what cb returned that ended it.
static inline int walk_all(struct dataplane *dp, uint16_t type, uint32_t vrf,
	int (*cb)(void *ctx, const void *record), void *ctx)
{
	struct walk walk;
	int done = walk_start(&walk, type, vrf);
	while (done == 0)
		done = walk_slice(dp, &walk, 4096, cb, ctx);
	return done < 0 ? done : 0;
}

#endif
