// SPDX-License-Identifier: BSD-3-Clause
// The prefixes of a domain against a sorted list: 100,000 random steps, seed printed (CULVERT_SEED replays it).

#include "tests/unit/sync/running.h"

#include <time.h>

#define KEYS 3000

static struct route_key keys[KEYS];
static bool there[KEYS];

static int compare(const void *a, const void *b)
{
	return route_key_compare(a, b);
}

static void make_keys(unsigned int *seed)
{
	unsigned int count = 0;

	while (count < KEYS) { // few bits, so that prefixes lie in each other
		struct route_key key = {.family = rand_r(seed) % 2 ? WIRE_IPV4 : WIRE_IPV6};
		unsigned int at = (unsigned int)rand_r(seed) % 33;
		struct ip_address address = {.family = key.family,
			.bytes = {(uint8_t)rand_r(seed), (uint8_t)(rand_r(seed) & 3),
				(uint8_t)(rand_r(seed) & 1), (uint8_t)rand_r(seed)}};
		struct ip_prefix prefix = ip_prefix_of(&address, (uint8_t)at);
		keys[count++] = key_of(&prefix);
		if (count < KEYS)
			continue;
		qsort(keys, KEYS, sizeof(keys[0]), compare);
		count = 1;
		for (unsigned int i = 1; i < KEYS; i++)
			if (route_key_compare(&keys[i], &keys[count - 1]) != 0)
				keys[count++] = keys[i];
	}
	qsort(keys, KEYS, sizeof(keys[0]), compare);
}

static int next_there(int at)
{
	for (at++; at < KEYS && !there[at]; at++)
		continue;
	return at;
}

static void test_random_prefixes(void **state)
{
	const char *given = getenv("CULVERT_SEED");
	unsigned int seed =
		given != NULL ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);
	struct domains *domains = running->domains;
	struct domain *domain = domain_get(domains, 62);

	printf("seed %u\n", seed);
	make_keys(&seed);
	for (unsigned int step = 0; step < 100000; step++) {
		int at = rand_r(&seed) % KEYS;
		struct prefix *found = prefix_find(domain, &keys[at]);
		assert_int_equal(found != NULL, there[at]);
		if (rand_r(&seed) % 2) {
			struct prefix *made = prefix_get(domain, &keys[at]);
			assert_true(found == NULL || found == made);
			there[at] = true;
		} else if (found != NULL) {
			prefix_drop(domain, found); // nobody has a use for it
			there[at] = false;
		}
		int next = next_there(at);
		struct prefix *behind = prefix_next(domain, &keys[at]);
		assert_int_equal(behind != NULL, next < KEYS);
		if (behind != NULL)
			assert_memory_equal(&behind->route.key, &keys[next], sizeof(keys[0]));
	}
	size_t count = 0;
	int expected = -1;
	for (const struct prefix *p = prefix_next(domain, NULL); p != NULL;
		p = prefix_next(domain, &p->route.key)) {
		expected = next_there(expected);
		assert_memory_equal(&p->route.key, &keys[expected], sizeof(keys[0]));
		count++;
	}
	assert_int_equal(count, domain->prefixes);
	prefixes_free(domain);
	domain_put(domain);
}

static void test_learned_routes_of_a_prefix(void **state)
{
	struct domain *domain = domain_find(running->domains, vrf(ACME));
	struct bridge_route route = {.protocol = 12, .metric = 1, .count = 1};
	struct ip_prefix prefix;

	assert_int_equal(ip_prefix_parse("10.44.0.0/16", &prefix), 0);
	route.prefix = prefix;
	assert_int_equal(ip_address_parse("169.254.10.1", &route.nexthop[0].via), 0);
	size_t sets = running->domains->hop_sets.count;
	unsigned int learned = domain->count[0].learned;
	struct route_key key = key_of(&prefix);
	struct prefix *p = prefix_get(domain, &key);
	for (unsigned int i = 0; i < 4; i++) {
		route.metric = 1 + i % 2;
		route.protocol = (uint8_t)(12 + i / 2);
		assert_true(learned_update(domain, p, &route, true));
		assert_true(learned_update(domain, p, &route, true)); // said twice is once
		assert_int_equal(learned_count(p), i + 1);
	}
	assert_int_equal(running->domains->hop_sets.count, sets); // shared
	assert_int_equal(domain->count[0].learned, learned + 1);
	route.nexthop[0].weight = 7;
	assert_true(learned_update(domain, p, &route, true));
	assert_int_equal(running->domains->hop_sets.count, sets + 1);
	domain->life++;
	route.metric = 1;
	route.protocol = 12;
	assert_true(learned_update(domain, p, &route, true));
	assert_true(learned_expire(domain, p, false)); // but for the one said in this life
	assert_int_equal(learned_count(p), 1);
	assert_int_equal(learned_at(p, 0)->protocol, 12);
	assert_false(learned_update(domain, p, &route, false));
	assert_int_equal(domain->count[0].learned, learned);
	prefix_drop(domain, p);
	assert_null(prefix_find(domain, &key));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, running_start, running_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_random_prefixes),
		TEST(test_learned_routes_of_a_prefix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
