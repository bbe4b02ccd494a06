/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_ROUTES_H
#define BRIDGE_ROUTES_H

// The mirrored routes of one domain, keyed by (prefix, protocol, metric). 36 bytes a route.

#include <stdbool.h>
#include <stdint.h>

#include "control/base/ip.h"

enum {
	ROUTE_USED = 1, // the place holds a route
	ROUTE_V6 = 2,
	ROUTE_BLACKHOLE = 4,
	ROUTE_GONE =
		8, // deleted while a dump runs; kept until the sweep so that the dump does not revive it
	ROUTE_EVENT = 16, // last written by an event, of the dump numbered in stamp
};

struct host_route {
	uint8_t address[16];
	uint32_t metric;
	uint32_t hops; // id in struct next_hops, 0 = blackhole
	uint32_t next;
	uint8_t len;
	uint8_t protocol;
	uint8_t stamp; // number of the dump that last saw it
	uint8_t flags;
};

struct routes {
	struct host_route **page;
	uint32_t **segment;
	uint32_t pages, page_room, segments, segment_room;
	uint32_t
		buckets; // in use, grows one at a time (linear hashing): no insert ever waits for a rehash
	uint32_t free;  // list of free places, 1-based
	uint32_t count; // routes, ROUTE_GONE ones included
};

struct host_route_key {
	struct ip_prefix prefix;
	uint32_t metric;
	uint8_t protocol;
};

struct host_route *routes_find(const struct routes *routes, const struct host_route_key *key);
// Finds or adds. *added tells which; a new route has hops 0 and flags ROUTE_USED (| ROUTE_V6). NULL = no memory.
struct host_route *routes_add(struct routes *routes, const struct host_route_key *key, bool *added);
void routes_remove(struct routes *routes, struct host_route *route);
void routes_free(struct routes *routes);
// The other routes of a prefix: start with NULL. Removing the returned one is not allowed before the next call.
struct host_route *routes_of_prefix(
	const struct routes *routes, const struct ip_prefix *prefix, struct host_route *after);
// Places are numbered from 0; NULL for an empty place. The end is routes_places().
struct host_route *routes_at(const struct routes *routes, uint32_t place);
uint32_t routes_places(const struct routes *routes);
void route_key_of(const struct host_route *route, struct host_route_key *key);

#endif
