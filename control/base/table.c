// SPDX-License-Identifier: BSD-3-Clause
// Chained hashing with linear growth (Litwin, VLDB 1980): when there are more entries than buckets one bucket is
// split, so the cost of growing is spread over the inserts and a table of a million prefixes never stops the thread
// for a rehash. Buckets live in segments that are never moved. The key of the hash is drawn once per process.

#include "control/base/table.h"

#include "control/base/log.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT 1024u // buckets
#define BUCKETS 16u   // of a table's first segment in use

static unsigned char hash_key[crypto_shorthash_KEYBYTES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
	if (sodium_init() < 0)
		abort();
	crypto_shorthash_keygen(hash_key);
}

uint64_t table_hash(const void *data, size_t size)
{
	uint64_t hash;

	_Static_assert(crypto_shorthash_BYTES == sizeof(hash), "crypto_shorthash");
	pthread_once(&once, draw_key);
	crypto_shorthash((unsigned char *)&hash, data, size, hash_key);
	return hash;
}

static const void *key_of(const struct table *table, const struct entry *entry)
{
	return (const uint8_t *)entry + table->key_offset;
}

static void *need(void *memory)
{
	if (memory == NULL) {
		log_fatal("base", "out of memory");
		abort();
	}
	return memory;
}

// The largest power of two that is not above `buckets`, which is not 0.
static size_t level(size_t buckets)
{
	return (size_t)1 << (63 - __builtin_clzll(buckets));
}

static struct entry **bucket_at(const struct table *table, size_t index)
{
	return &table->segment[index / SEGMENT][index % SEGMENT];
}

// Buckets below the split point are addressed with one bit more.
static struct entry **bucket_of(const struct table *table, uint64_t hash)
{
	size_t low = level(table->buckets);
	size_t index = hash & (2 * low - 1);
	return bucket_at(table, index < table->buckets ? index : index & (low - 1));
}

void *table_find(const struct table *table, const void *key)
{
	if (table->count == 0)
		return NULL;
	uint64_t hash = table_hash(key, table->key_size);
	for (struct entry *entry = *bucket_of(table, hash); entry != NULL; entry = entry->next)
		if (entry->hash == hash && memcmp(key_of(table, entry), key, table->key_size) == 0)
			return entry;
	return NULL;
}

static void add_segment(struct table *table)
{
	if ((table->segments & (table->segments - 1)) == 0) {
		size_t room = table->segments == 0 ? 1 : 2 * table->segments;
		table->segment = need(reallocarray(table->segment, room, sizeof(*table->segment)));
	}
	// A small table pays for a small first segment only.
	size_t size = table->segments == 0 && table->buckets == 0 ? BUCKETS : SEGMENT;
	table->segment[table->segments++] = need(calloc(size, sizeof(struct entry *)));
}

static void enlarge_first(struct table *table, size_t buckets)
{
	struct entry **larger = need(calloc(buckets, sizeof(*larger)));

	memcpy(larger, table->segment[0], table->buckets * sizeof(*larger));
	free(table->segment[0]);
	table->segment[0] = larger;
}

// One bucket more: the one at the split point gives up what belongs to its new half.
static void grow(struct table *table)
{
	size_t index = table->buckets;

	if (index == 0) {
		add_segment(table);
		table->buckets = BUCKETS;
		return;
	}
	if (index % SEGMENT == 0)
		add_segment(table);
	else if (index < SEGMENT && index == level(index))
		enlarge_first(table, 2 * index);
	struct entry *entry = *bucket_at(table, index - level(index)), *next;
	struct entry **stays = bucket_at(table, index - level(index)),
		     **moves = bucket_at(table, index);
	size_t bit = level(index);
	*stays = NULL;
	table->buckets++;
	for (; entry != NULL; entry = next) {
		next = entry->next;
		struct entry **to = entry->hash & bit ? moves : stays;
		entry->next = *to;
		*to = entry;
	}
}

void table_add(struct table *table, void *added)
{
	struct entry *entry = added;

	if (table->count >= table->buckets)
		grow(table);
	entry->hash = table_hash(key_of(table, entry), table->key_size);
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
	struct table old = *table;

	table->segment = NULL;
	table->buckets = table->segments = table->count = 0;
	for (size_t i = 0; i < old.buckets; i++) {
		struct entry *entry = *bucket_at(&old, i), *next;
		for (; entry != NULL; entry = next) {
			next = entry->next;
			if (done != NULL)
				done(ctx, entry);
		}
	}
	for (size_t i = 0; i < old.segments; i++)
		free(old.segment[i]);
	free(old.segment);
}

void table_each(const struct table *table, void (*visit)(void *ctx, void *entry), void *ctx)
{
	for (size_t i = 0; i < table->buckets; i++) {
		struct entry *entry = *bucket_at(table, i), *next;
		for (; entry != NULL; entry = next) {
			next = entry->next;
			visit(ctx, entry);
		}
	}
}

// A split moves entries to a higher bucket, never to a lower one: what is there all the time is not missed.
int table_slice(const struct table *table, size_t *cursor, size_t budget,
	void (*visit)(void *ctx, void *entry), void *ctx)
{
	size_t seen = 0;

	while (*cursor < table->buckets && seen < budget) {
		struct entry *entry = *bucket_at(table, (*cursor)++), *next;
		seen++;
		for (; entry != NULL; entry = next) {
			next = entry->next;
			visit(ctx, entry);
			seen++;
		}
	}
	return *cursor < table->buckets;
}
