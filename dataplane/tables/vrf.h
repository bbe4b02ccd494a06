/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_VRF_H
#define TABLES_VRF_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/wire/types.h"

struct dataplane;
struct fib_route;

// All X_set in tables/: 1 = was so already, 0 = written, else -errno and nothing changed
// (wire/link.h says what each means). All X_delete: 0 or -errno; what workers may hold is freed
// after grace. What is there is read by walks (walk.h).

int vrf_set(struct dataplane *dp, const struct wire_vrf *r);
int vrf_delete(
	struct dataplane *dp, uint32_t id); // -EBUSY: has interfaces, routes or local addresses
bool vrf_stats_of(const struct dataplane *dp, uint32_t slot, struct wire_vrf_stats *r);
uint32_t vrf_find(const struct dataplane *dp, uint32_t id); // slot, 0 = none

// Routes. An address of ours wins over a route to exactly it; that route is kept and comes back
// with the address's deletion.
int route_set(struct dataplane *dp, const struct wire_route *r);
int route_delete(struct dataplane *dp, const struct wire_route *r);
// Of the VRF at a slot, behind `after` (NULL: from the first).
int route_dump_from(struct dataplane *dp, uint32_t vrf, uint8_t family,
	const struct fib_route *after, int (*cb)(void *ctx, const struct wire_route *r), void *ctx);

// Addresses of ours.
int local_set(struct dataplane *dp, const struct wire_local *r);
int local_delete(struct dataplane *dp, const struct wire_local *r); // interface ignored
// Which interfaces' addresses changed: one at a time, each once until it changes again. False: none
// is left.
bool local_changed(struct dataplane *dp, uint32_t *interface);
// The interface became one to the core, or is none any more.
void locals_follow_interface(struct dataplane *dp, uint32_t interface, bool core);
// An address of the interface at this slot that others can hear, of 4 or 16 bytes. False: it has
// none of the family.
bool local_of(const struct dataplane *dp, uint32_t interface, uint8_t family, uint8_t *addr);

#endif
