// SPDX-License-Identifier: BSD-3-Clause
// A small hash map keyed by a number. Everything the bridge looks up for each kernel message (ifindex -> link,
// table -> domain) or each call (id -> interface) goes through one of these. Linear probing in a table that is
// at most three quarters full; removal leaves a tombstone, growing drops them.

#include "control/bridge/idmap.h"

#include <errno.h>
#include <stdlib.h>

static char gone;
#define IDMAP_GONE ((void *)&gone)

static uint32_t spread(uint32_t key)
{
	key ^= key >> 16;
	key *= 0x7feb352du;
	key ^= key >> 15;
	key *= 0x846ca68bu;
	return key ^ (key >> 16);
}

static struct idmap_cell *find(const struct idmap *map, uint32_t key)
{
	if (map->size == 0)
		return NULL;
	for (uint32_t i = spread(key);; i++) {
		struct idmap_cell *cell = &map->cell[i & (map->size - 1)];
		if (cell->value == NULL)
			return NULL;
		if (cell->value != IDMAP_GONE && cell->key == key)
			return cell;
	}
}

void *idmap_get(const struct idmap *map, uint32_t key)
{
	struct idmap_cell *cell = find(map, key);

	return cell ? cell->value : NULL;
}

static void insert(struct idmap *map, uint32_t key, void *value)
{
	uint32_t i = spread(key);

	while (map->cell[i & (map->size - 1)].value != NULL)
		i++;
	map->cell[i & (map->size - 1)] = (struct idmap_cell){key, value};
	map->used++;
	map->count++;
}

static int grow(struct idmap *map)
{
	struct idmap old = *map;
	uint32_t size = 16;

	while (size < old.count * 2 + 2)
		size *= 2;
	struct idmap_cell *cell = calloc(size, sizeof(*cell));
	if (cell == NULL)
		return -ENOMEM;
	*map = (struct idmap){.cell = cell, .size = size};
	for (uint32_t i = 0; i < old.size; i++)
		if (old.cell[i].value != NULL && old.cell[i].value != IDMAP_GONE)
			insert(map, old.cell[i].key, old.cell[i].value);
	free(old.cell);
	return 0;
}

int idmap_set(struct idmap *map, uint32_t key, void *value)
{
	struct idmap_cell *cell = find(map, key);

	if (cell) {
		cell->value = value;
		return 0;
	}
	if ((map->used + 1) * 4 > map->size * 3) {
		int err = grow(map);
		if (err)
			return err;
	}
	insert(map, key, value);
	return 0;
}

void idmap_remove(struct idmap *map, uint32_t key)
{
	struct idmap_cell *cell = find(map, key);

	if (cell) {
		cell->value = IDMAP_GONE;
		map->count--;
	}
}

void idmap_free(struct idmap *map)
{
	free(map->cell);
	*map = (struct idmap){0};
}

void *idmap_next(const struct idmap *map, uint32_t *cursor)
{
	while (*cursor < map->size) {
		void *value = map->cell[(*cursor)++].value;
		if (value != NULL && value != IDMAP_GONE)
			return value;
	}
	return NULL;
}
