/* SPDX-License-Identifier: BSD-3-Clause */
// Linear scan and random input for the FIB's tests, see oracle.h. The scan compares bit by bit, on
// purpose in another way than the FIB does.

#include "tests/unit/fib/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned bits(uint8_t family)
{
	return family == FIB_IPV6 ? 128 : 32;
}

static bool covers(const struct fib_route *route, const uint8_t *addr)
{
	unsigned whole = route->len / 8, rest = route->len % 8;
	if (memcmp(route->addr, addr, whole) != 0)
		return false;
	return rest == 0 || (route->addr[whole] ^ addr[whole]) >> (8 - rest) == 0;
}

struct fib_route *oracle_find(const struct oracle *o, const struct fib_route *route)
{
	for (unsigned i = 0; i < o->n; i++) {
		struct fib_route *r = &o->routes[i];
		if (r->family == route->family && r->len == route->len &&
			memcmp(r->addr, route->addr, bits(r->family) / 8) == 0)
			return r;
	}
	return NULL;
}

void oracle_set(struct oracle *o, const struct fib_route *route)
{
	struct fib_route *r = oracle_find(o, route);
	if (!r) {
		if (o->n == o->room) {
			o->room = o->room ? 2 * o->room : 64;
			o->routes = realloc(o->routes, o->room * sizeof(*o->routes));
			if (!o->routes)
				abort();
		}
		r = &o->routes[o->n++];
	}
	*r = *route;
}

bool oracle_delete(struct oracle *o, const struct fib_route *route)
{
	struct fib_route *r = oracle_find(o, route);
	if (!r)
		return false;
	*r = o->routes[--o->n];
	return true;
}

uint32_t oracle_lookup(const struct oracle *o, uint8_t family, const uint8_t *addr)
{
	const struct fib_route *best = NULL;
	for (unsigned i = 0; i < o->n; i++) {
		const struct fib_route *r = &o->routes[i];
		if (r->family == family && (!best || r->len > best->len) && covers(r, addr))
			best = r;
	}
	if (!best)
		return FIB_NO_ROUTE;
	return FIB_FOUND | (best->len ? 0 : FIB_DEFAULT) | best->group;
}

void oracle_free(struct oracle *o)
{
	free(o->routes);
	*o = (struct oracle){0};
}

uint64_t random_seed(void)
{
	const char *given = getenv("CULVERT_SEED");
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t seed = given ? strtoull(given, NULL, 0)
			      : (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
	printf("CULVERT_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

uint64_t random_next(struct random *r) // splitmix64
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint32_t random_below(struct random *r, uint32_t n)
{
	return (uint32_t)((random_next(r) >> 32) * n >> 32);
}

void prefix_cut(uint8_t *addr, unsigned len)
{
	for (unsigned i = len; i < 128; i++)
		addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
}

static void step(uint8_t *addr, unsigned bytes, int by)
{
	for (unsigned i = bytes; i--;) {
		addr[i] = (uint8_t)(addr[i] + by);
		if (addr[i] != (by > 0 ? 0 : 255))
			return;
	}
}

static void random_bytes(struct random *r, uint8_t *addr, unsigned from)
{
	for (unsigned i = from; i < 128; i++)
		if (random_next(r) & 1)
			addr[i / 8] ^= (uint8_t)(0x80 >> i % 8);
}

struct fib_route random_route(struct random *r, const struct oracle *near, uint8_t family)
{
	struct fib_route route = {.family = family};
	unsigned kind = random_below(r, 8);
	if (near->n && kind) { // some bits of another route, then random ones
		const struct fib_route *other = &near->routes[random_below(r, near->n)];
		memcpy(route.addr, other->addr, 16);
		random_bytes(r, route.addr, random_below(r, bits(family) + 1));
	} else {
		random_bytes(r, route.addr, 0);
		if (kind == 0 && random_below(r, 4) == 0)
			memset(route.addr, random_below(r, 2) ? 255 : 0, 16);
	}
	route.len = (uint8_t)random_below(r, bits(family) + 1);
	if (random_below(r, 2)) { // towards the usual ones
		static const uint8_t usual4[] = {8, 16, 17, 20, 22, 24, 24, 24, 25, 28, 30, 32};
		static const uint8_t usual6[] = {0, 16, 17, 29, 32, 36, 48, 48, 56, 64, 112, 128};
		route.len = (family == FIB_IPV6 ? usual6 : usual4)[random_below(r, 12)];
	}
	prefix_cut(route.addr, route.len);
	route.group =
		random_below(r, 3) ? random_below(r, 4) : (uint32_t)random_next(r) & FIB_GROUP_MASK;
	route.origin = (uint8_t)random_below(r, 3);
	return route;
}

void random_address(struct random *r, const struct oracle *near, uint8_t family, uint8_t addr[16])
{
	memset(addr, 0, 16);
	unsigned kind = random_below(r, 8);
	if (!near->n || kind == 0) {
		random_bytes(r, addr, 0);
		return;
	}
	const struct fib_route *route = &near->routes[random_below(r, near->n)];
	memcpy(addr, route->addr, bits(family) / 8);
	if (kind == 1)
		return;
	if (kind == 2) {
		step(addr, bits(family) / 8, -1);
		return;
	}
	if (kind <= 4) { // its last address, or the one behind
		for (unsigned i = route->len; i < bits(family); i++)
			addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
		if (kind == 4)
			step(addr, bits(family) / 8, 1);
		return;
	}
	random_bytes(r, addr, random_below(r, bits(family) + 1));
}

uint32_t lookup_one(const struct fib *fib, uint32_t vrf, uint8_t family, const uint8_t *addr)
{
	uint32_t result;
	if (family == FIB_IPV6) {
		fib_lookup6(fib, &vrf, &addr, &result, 1);
	} else {
		uint32_t host = (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 |
				(uint32_t)addr[2] << 8 | addr[3];
		fib_lookup4(fib, &vrf, &host, &result, 1);
	}
	return result;
}
