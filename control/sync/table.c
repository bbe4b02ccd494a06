/* SPDX-License-Identifier: BSD-3-Clause */
// The one container of sync/: chained hashing with a keyless hash, because what is hashed here (ids that we
// gave out, prefixes that a peer's route limit bounds per table) cannot be chosen freely by an attacker at
// a scale that would matter. The table doubles when it holds as many entries as buckets. Running out of
// memory ends the process: a desired state with holes is worse than a restart, which loses nothing.

#include "control/sync/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_bytes(const void *data, size_t size)
{
	const uint8_t *byte = data;
	uint64_t hash = 0xcbf29ce484222325u; // FNV-1a, then a finalizer for the low bits

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * 0x100000001b3u;
	hash ^= hash >> 32;
	return hash * 0x9e3779b97f4a7c15u;
}

static const void *key_of(const struct table *table, const struct entry *entry)
{
	return (const uint8_t *)entry + table->key_offset;
}

static struct entry **bucket_of(const struct table *table, uint64_t hash)
{
	return &table->bucket[(hash >> 20) & (table->buckets - 1)];
}

void *table_find(const struct table *table, const void *key)
{
	if (table->count == 0)
		return NULL;
	uint64_t hash = hash_bytes(key, table->key_size);
	for (struct entry *entry = *bucket_of(table, hash); entry != NULL; entry = entry->next)
		if (entry->hash == hash && memcmp(key_of(table, entry), key, table->key_size) == 0)
			return entry;
	return NULL;
}

static void grow(struct table *table)
{
	struct table larger = *table;

	larger.buckets = table->buckets == 0 ? 16 : 2 * table->buckets;
	larger.bucket = calloc(larger.buckets, sizeof(*larger.bucket));
	if (larger.bucket == NULL) {
		fprintf(stderr, "level=fatal msg=\"out of memory\"\n");
		abort();
	}
	for (size_t i = 0; i < table->buckets; i++) {
		struct entry *entry = table->bucket[i], *next;
		for (; entry != NULL; entry = next) {
			next = entry->next;
			struct entry **bucket = bucket_of(&larger, entry->hash);
			entry->next = *bucket;
			*bucket = entry;
		}
	}
	free(table->bucket);
	*table = larger;
}

void table_add(struct table *table, void *added)
{
	struct entry *entry = added;

	if (table->count == table->buckets)
		grow(table);
	entry->hash = hash_bytes(key_of(table, entry), table->key_size);
	struct entry **bucket = bucket_of(table, entry->hash);
	entry->next = *bucket;
	*bucket = entry;
	table->count++;
}

void table_remove(struct table *table, void *removed)
{
	struct entry *entry = removed;
	struct entry **at = bucket_of(table, entry->hash);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	table->count--;
}

void table_clear(struct table *table, void (*done)(void *ctx, void *entry), void *ctx)
{
	struct entry **bucket = table->bucket;
	size_t buckets = table->buckets;

	table->bucket = NULL;
	table->buckets = table->count = 0;
	for (size_t i = 0; i < buckets; i++) {
		struct entry *entry = bucket[i], *next;
		for (; entry != NULL; entry = next) {
			next = entry->next;
			if (done != NULL)
				done(ctx, entry);
		}
	}
	free(bucket);
}

void table_each(const struct table *table, void (*visit)(void *ctx, void *entry), void *ctx)
{
	for (size_t i = 0; i < table->buckets; i++) {
		struct entry *entry = table->bucket[i], *next;
		for (; entry != NULL; entry = next) {
			next = entry->next;
			visit(ctx, entry);
		}
	}
}
