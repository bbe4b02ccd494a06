/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_TABLE_H
#define SYNC_TABLE_H

// A hash table of structs that begin with struct entry and hold a key of fixed size somewhere inside.

#include <stddef.h>
#include <stdint.h>

struct entry {
	struct entry *next;
	uint64_t hash;
};

struct table {
	struct entry **bucket;
	size_t buckets, count;
	size_t key_offset, key_size;
};

// The key must have no implicit padding: it is compared as bytes.
#define TABLE_OF(type, member) \
	((struct table){       \
		.key_offset = offsetof(type, member), .key_size = sizeof(((type *)0)->member)})

void *table_find(const struct table *table, const void *key); // NULL = none
void table_add(struct table *table, void *entry);             // its key is not in yet
void table_remove(struct table *table, void *entry);          // it is in
// Takes every entry out and hands it to done(); done may be NULL.
void table_clear(struct table *table, void (*done)(void *ctx, void *entry), void *ctx);
// Every entry, in no order; visit may remove the entry it is given and nothing else, and add nothing.
void table_each(const struct table *table, void (*visit)(void *ctx, void *entry), void *ctx);

#endif
