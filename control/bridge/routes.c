// SPDX-License-Identifier: BSD-3-Clause
// The mirror's memory. A full table of a million routes has to fit, be added to one route at a time without any
// single insert stopping the loop, and be walked in slices (sweep, link down) while it changes. So: routes lie in
// pages of 128 that never move; a route is known by its place, a number; buckets hold places, chained through
// the routes; and the bucket array grows by splitting one bucket per insert (W. Litwin, "Linear hashing", VLDB
// 1980) instead of rehashing all. A domain with a dozen routes costs one page and one segment.
//
// Hashing is by prefix alone, so that the routes of one prefix with other protocols or metrics are neighbors:
// a kernel REPLACE takes the place of whatever stood under that prefix and metric, of any protocol.

#include "control/bridge/routes.h"

#include "control/base/table.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 128, SEGMENT = 256 };

// Keyed: customers choose their prefixes.
static uint32_t hash_of(const uint8_t address[16], uint8_t len, bool v6)
{
	uint8_t prefix[18];

	memcpy(prefix, address, 16);
	prefix[16] = len;
	prefix[17] = v6;
	return (uint32_t)table_hash(prefix, sizeof(prefix));
}

static struct host_route *at(const struct routes *routes, uint32_t place)
{
	return &routes->page[place / PAGE][place % PAGE];
}

static uint32_t *bucket_at(const struct routes *routes, uint32_t bucket)
{
	return &routes->segment[bucket / SEGMENT][bucket % SEGMENT];
}

static uint32_t bucket_of(const struct routes *routes, uint32_t hash)
{
	uint32_t mask = SEGMENT - 1;

	while (mask < routes->buckets - 1)
		mask = mask << 1 | 1;
	uint32_t bucket = hash & mask;
	return bucket < routes->buckets ? bucket : hash & (mask >> 1);
}

static bool same_prefix(const struct host_route *route, const struct ip_prefix *prefix)
{
	return route->len == prefix->len &&
	       !!(route->flags & ROUTE_V6) == (prefix->address.family == 6) &&
	       memcmp(route->address, prefix->address.bytes, 16) == 0;
}

struct host_route *routes_of_prefix(
	const struct routes *routes, const struct ip_prefix *prefix, struct host_route *after)
{
	uint32_t place;

	if (routes->buckets == 0)
		return NULL;
	if (after)
		place = after->next;
	else
		place = *bucket_at(
			routes, bucket_of(routes, hash_of(prefix->address.bytes, prefix->len,
							  prefix->address.family == 6)));
	for (; place; place = at(routes, place - 1)->next)
		if (same_prefix(at(routes, place - 1), prefix))
			return at(routes, place - 1);
	return NULL;
}

struct host_route *routes_find(const struct routes *routes, const struct host_route_key *key)
{
	struct host_route *route = NULL;

	while ((route = routes_of_prefix(routes, &key->prefix, route)) != NULL)
		if (route->metric == key->metric && route->protocol == key->protocol)
			return route;
	return NULL;
}

// Room for one more pointer in a growing array of them.
static void *room(void *array, uint32_t used, uint32_t *size)
{
	if (used < *size)
		return array;
	uint32_t wanted = *size ? *size * 2 : 4;
	void *bigger = realloc(array, wanted * sizeof(void *));
	if (bigger)
		*size = wanted;
	return bigger;
}

static bool add_page(struct routes *routes)
{
	struct host_route **page = room(routes->page, routes->pages, &routes->page_room);

	if (page == NULL)
		return false;
	routes->page = page;
	page[routes->pages] = calloc(PAGE, sizeof(struct host_route));
	if (page[routes->pages] == NULL)
		return false;
	uint32_t first = routes->pages++ * PAGE;
	for (uint32_t i = PAGE; i-- > 0;) {
		at(routes, first + i)->next = routes->free;
		routes->free = first + i + 1;
	}
	return true;
}

static bool add_segment(struct routes *routes)
{
	uint32_t **segment = room(routes->segment, routes->segments, &routes->segment_room);

	if (segment == NULL)
		return false;
	routes->segment = segment;
	segment[routes->segments] = calloc(SEGMENT, sizeof(uint32_t));
	if (segment[routes->segments] == NULL)
		return false;
	routes->segments++;
	return true;
}

// One bucket more: the routes of the bucket it divides with are dealt out anew.
static void split(struct routes *routes)
{
	if (routes->buckets % SEGMENT == 0 && !add_segment(routes))
		return; // longer chains, nothing worse
	uint32_t added = routes->buckets++;
	uint32_t half = SEGMENT;
	while (half * 2 <= added)
		half *= 2;
	uint32_t *link = bucket_at(routes, added - half);
	while (*link) {
		struct host_route *route = at(routes, *link - 1);
		if (bucket_of(routes, hash_of(route->address, route->len,
					      route->flags & ROUTE_V6)) == added) {
			uint32_t place = *link;
			*link = route->next;
			route->next = *bucket_at(routes, added);
			*bucket_at(routes, added) = place;
		} else {
			link = &route->next;
		}
	}
}

struct host_route *routes_add(struct routes *routes, const struct host_route_key *key, bool *added)
{
	struct host_route *route = routes_find(routes, key);
	bool v6 = key->prefix.address.family == 6;

	*added = false;
	if (route)
		return route;
	if (routes->buckets == 0) {
		if (!add_segment(routes))
			return NULL;
		routes->buckets = SEGMENT;
	}
	if (routes->free == 0 && !add_page(routes))
		return NULL;
	if (routes->count >= routes->buckets)
		split(routes);
	uint32_t place = routes->free;
	route = at(routes, place - 1);
	routes->free = route->next;
	*route = (struct host_route){
		.metric = key->metric, .len = key->prefix.len, .protocol = key->protocol};
	memcpy(route->address, key->prefix.address.bytes, 16);
	route->flags = ROUTE_USED | (v6 ? ROUTE_V6 : 0);
	uint32_t *bucket =
		bucket_at(routes, bucket_of(routes, hash_of(route->address, route->len, v6)));
	route->next = *bucket;
	*bucket = place;
	routes->count++;
	*added = true;
	return route;
}

void routes_remove(struct routes *routes, struct host_route *route)
{
	uint32_t *link = bucket_at(routes,
		bucket_of(routes, hash_of(route->address, route->len, route->flags & ROUTE_V6)));

	while (at(routes, *link - 1) != route)
		link = &at(routes, *link - 1)->next;
	uint32_t place = *link;
	*link = route->next;
	*route = (struct host_route){.next = routes->free};
	routes->free = place;
	routes->count--;
}

void routes_free(struct routes *routes)
{
	for (uint32_t i = 0; i < routes->pages; i++)
		free(routes->page[i]);
	for (uint32_t i = 0; i < routes->segments; i++)
		free(routes->segment[i]);
	free(routes->page);
	free(routes->segment);
	*routes = (struct routes){0};
}

struct host_route *routes_at(const struct routes *routes, uint32_t place)
{
	struct host_route *route = at(routes, place);

	return route->flags & ROUTE_USED ? route : NULL;
}

uint32_t routes_places(const struct routes *routes)
{
	return routes->pages * PAGE;
}

void route_key_of(const struct host_route *route, struct host_route_key *key)
{
	*key = (struct host_route_key){.metric = route->metric, .protocol = route->protocol};
	key->prefix.len = route->len;
	key->prefix.address.family = route->flags & ROUTE_V6 ? 6 : 4;
	memcpy(key->prefix.address.bytes, route->address, 16);
}
