// SPDX-License-Identifier: BSD-3-Clause
// The hash table against a plain array, through growth, removal and slices.

#include "control/base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define KEYS 6000u

struct item {
	struct entry entry;
	uint32_t key;
	unsigned int seen;
};

static struct item *there[KEYS];

static void see(void *ctx, void *entry)
{
	((struct item *)entry)->seen++;
	++*(size_t *)ctx;
}

static void check_all(const struct table *table, size_t count)
{
	size_t visits = 0;

	assert_int_equal(table->count, count);
	for (uint32_t key = 0; key < KEYS; key++) {
		assert_ptr_equal(table_find(table, &key), there[key]);
		if (there[key] != NULL)
			there[key]->seen = 0;
	}
	table_each(table, see, &visits);
	assert_int_equal(visits, count);
	for (uint32_t key = 0; key < KEYS; key++)
		assert_true(there[key] == NULL || there[key]->seen == 1);
}

static void free_item(void *ctx, void *entry)
{
	there[((struct item *)entry)->key] = NULL;
	free(entry);
}

static void random_operations(void **state)
{
	const char *given = getenv("CULVERT_SEED");
	unsigned int seed =
		given != NULL ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);
	struct table table = TABLE_OF(struct item, key);
	size_t count = 0;

	print_message("seed %u\n", seed);
	for (unsigned int i = 0; i < 60000; i++) {
		uint32_t key = (uint32_t)rand_r(&seed) % KEYS;
		if (there[key] == NULL) {
			there[key] = calloc(1, sizeof(*there[key]));
			there[key]->key = key;
			table_add(&table, there[key]);
			count++;
		} else if (rand_r(&seed) % 3 == 0) {
			table_remove(&table, there[key]);
			free(there[key]);
			there[key] = NULL;
			count--;
		}
		if (i % 5000 == 0)
			check_all(&table, count);
	}
	check_all(&table, count);
	table_clear(&table, free_item, NULL);
	check_all(&table, 0);
}

// What is there from the first slice to the last is visited, whatever is added meanwhile.
static void slices_miss_nothing(void **state)
{
	struct table table = TABLE_OF(struct item, key);
	size_t cursor = 0, visits = 0;
	uint32_t next = 0;

	for (; next < 1000; next++) {
		there[next] = calloc(1, sizeof(*there[next]));
		there[next]->key = next;
		table_add(&table, there[next]);
	}
	while (table_slice(&table, &cursor, 50, see, &visits)) {
		for (unsigned int i = 0; i < 40 && next < KEYS; i++, next++) {
			there[next] = calloc(1, sizeof(*there[next]));
			there[next]->key = next;
			table_add(&table, there[next]);
		}
	}
	for (uint32_t key = 0; key < 1000; key++)
		assert_true(there[key]->seen >= 1);
	table_clear(&table, free_item, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(slices_miss_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
