/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_TREE_H
#define MODEL_TREE_H

// A configuration as written, before any type is known: scalars, lists and maps with their places in the
// file. YAML and JSON become the same tree, so that there is one parser of types behind it.

#include <stddef.h>
#include <stdint.h>

#include "control/model/finding.h"

struct json_t;

enum tree_type { TREE_NULL, TREE_SCALAR, TREE_LIST, TREE_MAP };

struct place { // from 1; line 0 = not from a file
	uint32_t line, column, length;
};

struct tree {
	enum tree_type type;
	unsigned int count; // children
	const char *text;   // of a scalar
	const char *key;    // when it stands in a map
	struct place place, key_place;
	struct tree *child; // first
	struct tree *next;  // sibling
};

// Everything of one tree lives in an arena and goes with it.
struct arena {
	struct arena_block *blocks;
	size_t left;
	char *free;
};
void *arena_alloc(struct arena *arena, size_t size); // zeroed; NULL = no memory
char *arena_string(struct arena *arena, const char *text, size_t length);
void arena_free(struct arena *arena);

struct source { // for findings
	const char *name;
	const char *text;
	size_t length;
};
struct source source_of(
	const char *name, const char *text, size_t length); // without a byte order mark

#define TREE_SIZE_MAX  (64u << 20) // bytes of a file
#define TREE_DEPTH_MAX 12u
#define TREE_KEYS_MAX  256u // of one map

// NULL when it is no YAML at all or no memory, with a finding. Anchors, aliases, tags, duplicate keys and further documents
// are findings; the tree is then still given, so that more can be found.
struct tree *tree_from_yaml(
	struct arena *arena, const struct source *source, struct findings *findings);
// NULL when it is too deep or no memory.
struct tree *tree_from_json(struct arena *arena, const struct json_t *json);

// Fills line, column, length and source line of a finding.
void finding_place(struct finding *finding, const struct source *source, const struct place *place);

#endif
