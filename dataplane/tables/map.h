/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_MAP_H
#define TABLES_MAP_H

// 32-bit key -> 32-bit value in one open-addressed array of 64-bit entries, one writer, lock-free
// readers. An entry is written by one aligned store, so a reader sees the old or the new one. Keys
// may repeat (a hash of something longer): readers then go on to the next entry of that key until
// the thing itself compares equal. Growing builds a new array and swaps the pointer; the old one is
// freed after grace.

#include <stdint.h>

struct reclaim;

#define MAP_NONE     UINT32_MAX       // no such key; not a value
#define MAP_RESERVED (UINT32_MAX - 2) // a place kept for a value to come; readers pass over it

struct map_array {
	uint32_t mask;
	uint32_t pad;
	uint64_t entry[];
};

struct map {
	struct map_array *array;
	struct reclaim *reclaim; // NULL: no concurrent readers
	uint32_t used;           // live entries
	uint32_t dead;           // deleted ones still in the probe chains
};

#define MAP_EMPTY \
	0ull // entry = key << 32 | (value + 1); a deleted entry keeps key 0, value part UINT32_MAX
#define MAP_DEAD 0xffffffffull

int map_init(struct map *map, uint32_t expected, struct reclaim *reclaim);
void map_fini(struct map *map);
int map_add(
	struct map *map, uint32_t key, uint32_t value); // does not look for the key; 0 or -ENOMEM
// A value for another of the same key, in one store. 0 or -ENOENT.
int map_replace(struct map *map, uint32_t key, uint32_t value, uint32_t by);
int map_remove(struct map *map, uint32_t key, uint32_t value); // 0 or -ENOENT

static inline uint32_t map_mix(uint32_t key)
{
	uint64_t h = key * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(h >> 32);
}

// Where the search for a key starts; prefetch it a pass ahead.
static inline const uint64_t *map_home(const struct map_array *array, uint32_t key)
{
	return &array->entry[map_mix(key) & array->mask];
}

// for (uint32_t at = map_first(key), v; (v = map_next(a, key, &at)) != MAP_NONE;) ...
static inline uint32_t map_first(uint32_t key)
{
	return map_mix(key);
}

static inline uint32_t map_next(const struct map_array *array, uint32_t key, uint32_t *at)
{
	for (;;) {
		uint64_t entry =
			__atomic_load_n(&array->entry[*at & array->mask], __ATOMIC_ACQUIRE);
		if (entry == MAP_EMPTY)
			return MAP_NONE;
		(*at)++;
		if ((uint32_t)(entry >> 32) == key && (uint32_t)entry < MAP_RESERVED)
			return (uint32_t)entry - 1;
	}
}

static inline const struct map_array *map_array(const struct map *map)
{
	return __atomic_load_n(&map->array, __ATOMIC_ACQUIRE);
}

static inline uint32_t map_find(const struct map *map, uint32_t key)
{
	const struct map_array *array = map_array(map);
	uint32_t at = map_first(key);
	return map_next(array, key, &at);
}

#endif
