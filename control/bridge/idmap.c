// SPDX-License-Identifier: BSD-3-Clause
// Everything the bridge looks up for each kernel message (ifindex -> link, table -> domain) or each call (id -> interface)
// goes through one of these: the hash table finds, the places are what a walk goes along. A walk may stop and go on in a
// later turn: nobody's place changes, so that it misses nobody who is there all the time.

#include "control/bridge/idmap.h"

#include <stdlib.h>

struct idmap_cell {
	struct entry entry;
	uint32_t key;
	uint32_t place;
	void *value;
};

static void *need(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static struct idmap_cell *find(const struct idmap *map, uint32_t key)
{
	return table_find(&map->cells, &key);
}

void *idmap_get(const struct idmap *map, uint32_t key)
{
	struct idmap_cell *cell = find(map, key);

	return cell ? cell->value : NULL;
}

static uint32_t take_place(struct idmap *map)
{
	if (map->holes > 0)
		return map->hole[--map->holes];
	if (map->places == map->room) {
		map->room = map->room > 0 ? 2 * map->room : 16;
		map->place = need(reallocarray(map->place, map->room, sizeof(*map->place)));
		map->hole = need(reallocarray(map->hole, map->room, sizeof(*map->hole)));
	}
	return map->places++;
}

void idmap_set(struct idmap *map, uint32_t key, void *value)
{
	struct idmap_cell *cell = find(map, key);

	if (cell == NULL) {
		cell = need(malloc(sizeof(*cell)));
		cell->key = key;
		cell->place = take_place(map);
		map->place[cell->place] = cell;
		if (map->cells.key_size == 0)
			map->cells = TABLE_OF(struct idmap_cell, key);
		table_add(&map->cells, cell);
	}
	cell->value = value;
}

void idmap_remove(struct idmap *map, uint32_t key)
{
	struct idmap_cell *cell = find(map, key);

	if (cell == NULL)
		return;
	table_remove(&map->cells, cell);
	map->place[cell->place] = NULL;
	map->hole[map->holes++] = cell->place;
	free(cell);
}

void idmap_free(struct idmap *map)
{
	table_clear(&map->cells, NULL, NULL);
	for (uint32_t i = 0; i < map->places; i++)
		free(map->place[i]);
	free(map->place);
	free(map->hole);
	*map = (struct idmap){0};
}

void *idmap_next(const struct idmap *map, uint32_t *cursor)
{
	while (*cursor < map->places) {
		struct idmap_cell *cell = map->place[(*cursor)++];
		if (cell != NULL)
			return cell->value;
	}
	return NULL;
}
