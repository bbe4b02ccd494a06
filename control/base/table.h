/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

// The one hash table of the control process: structs that begin with a struct entry and hold a key of fixed size
// somewhere inside. Keyed (SipHash-2-4, crypto_shorthash of libsodium), since prefixes and names are chosen by
// customers. Not thread-safe; a table belongs to one thread.

#include <stddef.h>
#include <stdint.h>

struct entry {
	struct entry *next;
	uint64_t hash;
};

struct table {
	struct entry ***segment; // of TABLE_SEGMENT buckets each
	size_t buckets;          // in use, grows one at a time: no insert waits for a rehash
	size_t segments, count;
	size_t key_offset, key_size;
};

// The key must have no implicit padding: it is compared as bytes.
#define TABLE_OF(type, member) \
	((struct table){       \
		.key_offset = offsetof(type, member), .key_size = sizeof(((type *)0)->member)})

// The hash itself, for tables of another shape: keyed, another one in each process.
uint64_t table_hash(const void *data, size_t size);

void *table_find(const struct table *table, const void *key); // NULL = none
// Its key is not in yet. Running out of memory ends the process: a desired state with holes is worse than a restart.
void table_add(struct table *table, void *entry);
void table_remove(struct table *table, void *entry); // it is in
// Takes every entry out and hands it to done(); done may be NULL. The table's memory is freed.
void table_clear(struct table *table, void (*done)(void *ctx, void *entry), void *ctx);
// Every entry, in no order; visit may remove the entry it is given and nothing else, and add nothing.
void table_each(const struct table *table, void (*visit)(void *ctx, void *entry), void *ctx);
// The same in slices: visits the buckets from *cursor (0 = the first) on, at least `budget` entries if there are so
// many, and moves the cursor. Returns false when that was the end. Between two slices entries may be added and removed; an
// entry that is there all the time is visited at least once.
int table_slice(const struct table *table, size_t *cursor, size_t budget,
	void (*visit)(void *ctx, void *entry), void *ctx);

#endif
