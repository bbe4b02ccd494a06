// SPDX-License-Identifier: BSD-3-Clause

// Writer's side of the map; readers are in map.h.
//
// Linear probing at no more than half full. A deleted entry stays as a mark so that the probe
// chains behind it hold; when live entries and marks together fill half the array, a fresh one is
// built aside with the live entries only (twice as large if they alone need it), the pointer is
// swapped and the old array freed after grace. A reader that is still in the old array finds
// everything that was there when it began.

#include "dataplane/tables/map.h"

#include "dataplane/tables/reclaim.h"

#include <errno.h>
#include <stdlib.h>

static struct map_array *new_array(uint32_t size)
{
	struct map_array *a = calloc(1, sizeof(*a) + size * sizeof(a->entry[0]));
	if (a != NULL)
		a->mask = size - 1;
	return a;
}

int map_init(struct map *map, uint32_t expected, struct reclaim *reclaim)
{
	uint32_t size = 64;
	while (size < expected * 2)
		size *= 2;
	*map = (struct map){.array = new_array(size), .reclaim = reclaim};
	return map->array == NULL ? -ENOMEM : 0;
}

void map_fini(struct map *map)
{
	free(map->array);
	map->array = NULL;
}

static void insert(struct map_array *a, uint64_t entry)
{
	uint32_t at = map_mix((uint32_t)(entry >> 32));
	while (a->entry[at & a->mask] != MAP_EMPTY)
		at++;
	__atomic_store_n(&a->entry[at & a->mask], entry, __ATOMIC_RELEASE);
}

static void free_array(void *ctx, uint64_t value)
{
	free((void *)(uintptr_t)value);
}

static int rebuild(struct map *map)
{
	struct map_array *old = map->array;
	uint32_t size = 64;
	while (size < 4 * (map->used + 1))
		size *= 2;
	struct map_array *a = new_array(size);
	if (a == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i <= old->mask; i++) {
		if (old->entry[i] != MAP_EMPTY && old->entry[i] != MAP_DEAD)
			insert(a, old->entry[i]);
	}
	map->dead = 0;
	__atomic_store_n(&map->array, a, __ATOMIC_RELEASE);
	if (map->reclaim != NULL)
		reclaim_defer(map->reclaim, free_array, NULL, (uintptr_t)old);
	else
		free(old);
	return 0;
}

int map_add(struct map *map, uint32_t key, uint32_t value)
{
	if (2 * (map->used + map->dead + 1) > map->array->mask + 1) {
		int error = rebuild(map);
		if (error != 0)
			return error;
	}
	insert(map->array, (uint64_t)key << 32 | (value + 1));
	map->used++;
	return 0;
}

static int exchange(struct map *map, uint32_t key, uint32_t value, uint64_t by)
{
	struct map_array *a = map->array;
	uint64_t entry = (uint64_t)key << 32 | (value + 1);
	for (uint32_t at = map_mix(key); a->entry[at & a->mask] != MAP_EMPTY; at++) {
		if (a->entry[at & a->mask] != entry)
			continue;
		__atomic_store_n(&a->entry[at & a->mask], by, __ATOMIC_RELEASE);
		return 0;
	}
	return -ENOENT;
}

int map_replace(struct map *map, uint32_t key, uint32_t value, uint32_t by)
{
	return exchange(map, key, value, (uint64_t)key << 32 | (by + 1));
}

int map_remove(struct map *map, uint32_t key, uint32_t value)
{
	int error = exchange(map, key, value, MAP_DEAD);
	if (error == 0) {
		map->used--;
		map->dead++;
	}
	return error;
}
