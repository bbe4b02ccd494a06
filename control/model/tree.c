// SPDX-License-Identifier: BSD-3-Clause
// The arena that trees live in, and JSON as a tree. A tree of a large file is hundreds of thousands of small
// pieces that all go at once; the arena makes both ends cheap.

#include "control/model/tree.h"

#include <jansson.h>

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (256u << 10)

struct arena_block {
	struct arena_block *next;
	alignas(16) char bytes[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	if (size > arena->left) {
		size_t room = size > BLOCK / 4 ? size : BLOCK;
		struct arena_block *block = calloc(1, sizeof(*block) + room);
		if (!block)
			return NULL;
		block->next = arena->blocks;
		arena->blocks = block;
		if (room ==
			size) // a large piece has its own block; small ones go on where they were
			return block->bytes;
		arena->free = block->bytes;
		arena->left = room;
	}
	void *piece = arena->free;
	arena->free += size;
	arena->left -= size;
	return piece;
}

char *arena_string(struct arena *arena, const char *text, size_t length)
{
	char *copy = arena_alloc(arena, length + 1);

	if (copy)
		memcpy(copy, text, length);
	return copy;
}

void arena_free(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;
		free(arena->blocks);
		arena->blocks = next;
	}
	memset(arena, 0, sizeof(*arena));
}

static struct tree *convert(struct arena *arena, const json_t *json, unsigned int depth);

static struct tree *list(
	struct arena *arena, struct tree *tree, const json_t *json, unsigned int depth)
{
	struct tree **end = &tree->child;

	tree->type = TREE_LIST;
	for (size_t i = 0; i < json_array_size(json); i++) {
		*end = convert(arena, json_array_get(json, i), depth + 1);
		if (!*end)
			return NULL;
		end = &(*end)->next;
		tree->count++;
	}
	return tree;
}

static struct tree *map(struct arena *arena, struct tree *tree, json_t *json, unsigned int depth)
{
	struct tree **end = &tree->child;
	const char *key;
	json_t *value;

	tree->type = TREE_MAP;
	json_object_foreach (json, key, value) {
		struct tree *member = convert(arena, value, depth + 1);
		if (!member)
			return NULL;
		member->key = arena_string(arena, key, strlen(key));
		if (!member->key)
			return NULL;
		*end = member;
		end = &member->next;
		tree->count++;
	}
	return tree;
}

static struct tree *convert(struct arena *arena, const json_t *json, unsigned int depth)
{
	struct tree *tree = depth > TREE_DEPTH_MAX ? NULL : arena_alloc(arena, sizeof(*tree));
	char number[32];

	if (!tree)
		return NULL;
	tree->type = TREE_SCALAR;
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return map(arena, tree, (json_t *)(uintptr_t)json, depth);
	case JSON_ARRAY:
		return list(arena, tree, json, depth);
	case JSON_STRING:
		tree->text = arena_string(arena, json_string_value(json), json_string_length(json));
		break;
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json));
		tree->text = arena_string(arena, number, strlen(number));
		break;
	case JSON_REAL:
		snprintf(number, sizeof(number), "%.12g", json_real_value(json));
		tree->text = arena_string(arena, number, strlen(number));
		break;
	case JSON_TRUE:
		tree->text = "true";
		break;
	case JSON_FALSE:
		tree->text = "false";
		break;
	default:
		tree->type = TREE_NULL;
		tree->text = "";
	}
	return tree->text ? tree : NULL;
}

struct tree *tree_from_json(struct arena *arena, const struct json_t *json)
{
	return convert(arena, json, 0);
}
