// SPDX-License-Identifier: BSD-3-Clause
// The mirror's memory against oracles that cannot be wrong: the map, the next-hop sets and the route table, under
// random changes from a seed that is printed and can be given back (CULVERT_SEED).

#include "control/bridge/hops.h"
#include "control/bridge/idmap.h"
#include "control/bridge/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static uint64_t state;

static uint32_t random_below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 16) % n);
}

static int seed(void **ctx)
{
	const char *given = getenv("CULVERT_SEED");

	state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
	print_message("CULVERT_SEED=%llu\n", (unsigned long long)state);
	return 0;
}

static void idmap_against_array(void **ctx)
{
	enum { KEYS = 500, STEPS = 20000 };
	static int objects[KEYS];
	void *oracle[KEYS] = {0};
	struct idmap map = {0};
	uint32_t cursor = 0, live = 0, seen = 0;

	for (int step = 0; step < STEPS; step++) {
		uint32_t i = random_below(KEYS), key = i * 0x10001;
		if (random_below(2)) {
			idmap_set(&map, key, &objects[i]);
			oracle[i] = &objects[i];
		} else {
			idmap_remove(&map, key);
			oracle[i] = NULL;
		}
		i = random_below(KEYS);
		assert_ptr_equal(idmap_get(&map, i * 0x10001), oracle[i]);
	}
	for (int i = 0; i < KEYS; i++)
		live += oracle[i] != NULL;
	while (idmap_next(&map, &cursor))
		seen++;
	assert_int_equal(seen, live);
	assert_int_equal(map.cells.count, live);
	assert_true(map.places <= KEYS); // holes are used again
	idmap_free(&map);
}

static struct next_hop hop_of(uint32_t i)
{
	return (struct next_hop){
		.via = {.family = 4, .bytes = {10, 0, 0, (uint8_t)i}}, .weight = 1, .ifindex = i};
}

static void hops_are_shared(void **ctx)
{
	struct next_hops hops = {0};
	struct next_hop pair[2] = {hop_of(1), hop_of(2)};

	uint32_t a = hops_take(&hops, pair, 2);
	uint32_t b = hops_take(&hops, pair, 1);
	assert_int_not_equal(a, 0);
	assert_int_not_equal(a, b);
	assert_int_equal(hops_take(&hops, pair, 2), a);
	assert_true(hops_uses(&hops, a, 2));
	assert_false(hops_uses(&hops, b, 2));
	assert_false(hops_uses(&hops, 0, 2));
	hops_drop(&hops, a);
	assert_int_equal(hops_get(&hops, a)->count, 2);
	hops_drop(&hops, a);
	hops_drop(&hops, b);
	uint32_t ids[300];
	for (uint32_t i = 0; i < 300; i++) {
		struct next_hop hop = hop_of(i + 1);
		ids[i] = hops_take(&hops, &hop, 1);
		assert_int_not_equal(ids[i], 0);
		assert_true(ids[i] < 512); // places are used again
	}
	for (uint32_t i = 0; i < 300; i++) {
		assert_int_equal(hops_get(&hops, ids[i])->hop[0].ifindex, i + 1);
		hops_drop(&hops, ids[i]);
	}
	hops_free(&hops);
}

static struct host_route_key key_of(uint32_t i)
{
	struct host_route_key key = {
		.metric = i % 3 == 0 ? 32 : 1024, .protocol = i % 2 ? 12 : 186};

	key.prefix.address.family = i % 5 == 0 ? 6 : 4;
	key.prefix.len = 24;
	i /= 6; // several routes a prefix
	key.prefix.address.bytes[0] = 10;
	key.prefix.address.bytes[1] = (uint8_t)(i >> 8);
	key.prefix.address.bytes[2] = (uint8_t)i;
	return key;
}

static bool same_key(const struct host_route_key *a, const struct host_route_key *b)
{
	return a->metric == b->metric && a->protocol == b->protocol &&
	       ip_prefix_compare(&a->prefix, &b->prefix) == 0;
}

static void routes_against_array(void **ctx)
{
	enum { KEYS = 6000, STEPS = 200000 };
	static uint32_t oracle[KEYS]; // value, 0 = absent
	struct routes routes = {0};
	uint32_t live = 0, seen = 0;

	memset(oracle, 0, sizeof(oracle));
	for (uint32_t step = 1; step < STEPS; step++) {
		uint32_t i = random_below(KEYS);
		struct host_route_key key = key_of(i);
		bool added;
		// Keys made from different numbers may be equal: the lowest such number stands for all.
		for (uint32_t j = i / 6 * 6; j < i; j++) {
			struct host_route_key other = key_of(j);
			if (same_key(&other, &key))
				i = j;
		}
		struct host_route *route = routes_find(&routes, &key);
		assert_int_equal(route ? route->hops : 0, oracle[i]);
		if (step % 50000 > 30000 || random_below(3) == 0) {
			if (route)
				routes_remove(&routes, route);
			oracle[i] = 0;
			continue;
		}
		route = routes_add(&routes, &key, &added);
		assert_int_equal(added, oracle[i] == 0);
		route->hops = oracle[i] = step;
	}
	for (uint32_t i = 0; i < KEYS; i++)
		live += oracle[i] != 0;
	for (uint32_t place = 0; place < routes_places(&routes); place++) {
		struct host_route_key key;
		struct host_route *route = routes_at(&routes, place);
		if (route == NULL)
			continue;
		route_key_of(route, &key);
		assert_ptr_equal(routes_find(&routes, &key), route);
		seen++;
	}
	assert_int_equal(seen, live);
	assert_int_equal(routes.count, live);
	routes_free(&routes);
}

// Memory a route, and that no single insert stops the loop: nothing is ever rehashed as a whole.
static void routes_by_the_hundred_thousand(void **ctx)
{
	enum { COUNT = 200000 };
	struct routes routes = {0};
	bool added;

	assert_int_equal(sizeof(struct host_route), 32);
	for (uint32_t i = 0; i < COUNT; i++) {
		struct host_route_key key = {.metric = 32, .protocol = 12};
		key.prefix.address.family = 4;
		key.prefix.len = 24;
		key.prefix.address.bytes[0] = (uint8_t)(i >> 16);
		key.prefix.address.bytes[1] = (uint8_t)(i >> 8);
		key.prefix.address.bytes[2] = (uint8_t)i;
		assert_non_null(routes_add(&routes, &key, &added));
	}
	assert_int_equal(routes.count, COUNT);
	assert_true(routes.buckets >= COUNT * 9 / 10 && routes.buckets <= COUNT + 256);
	size_t bytes = (size_t)routes.pages * 128 * 32 + (size_t)routes.segments * 256 * 4;
	assert_true(bytes / COUNT <= 37);
	uint32_t longest = 0;
	for (uint32_t b = 0; b < routes.buckets; b++) {
		uint32_t length = 0;
		for (uint32_t p = routes.segment[b / 256][b % 256]; p;
			p = routes.page[(p - 1) / 128][(p - 1) % 128].next)
			length++;
		longest = length > longest ? length : longest;
	}
	assert_true(longest < 20);
	routes_free(&routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idmap_against_array),
		cmocka_unit_test(hops_are_shared),
		cmocka_unit_test(routes_against_array),
		cmocka_unit_test(routes_by_the_hundred_thousand),
	};

	return cmocka_run_group_tests(tests, seed, NULL);
}
