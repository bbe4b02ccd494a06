// SPDX-License-Identifier: BSD-3-Clause
// Ids. Each object needs a few numbers under which the data plane, the kernel and the stats segment
// know its parts. They live in the store because they must survive every restart: with other
// numbers a replay would rewrite the network and counters would change hands. A number whose object
// is gone waits out a quarantine, so that whatever still carries it (a packet in a ring, a kernel
// table not yet swept) cannot reach the next owner.

#include "control/store/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// For lists of keys.
static int compare_items(const void *a, const void *b)
{
	return id_key_compare(*(struct id_key *const *)a, *(struct id_key *const *)b);
}

// What was released: its number may still be found where we were not asked to clean up.
static struct ids_past *load_past(struct store *store)
{
	int64_t count = query_integer(store, 0, "SELECT count(*) FROM ids WHERE key IS NULL", "");
	struct ids_past *past =
		count > 0 ? malloc(sizeof(*past) + (size_t)count * sizeof(past->item[0])) : NULL;

	if (past == NULL)
		return NULL; // nothing is explained then, and a sweep asks
	sqlite3_stmt *row =
		query(store, "SELECT class, id FROM ids WHERE key IS NULL ORDER BY class, id", "");
	past->references = 1;
	past->count = 0;
	while (row && past->count < count && sqlite3_step(row) == SQLITE_ROW) {
		past->item[past->count].class = (uint32_t)sqlite3_column_int64(row, 0);
		past->item[past->count++].id = (uint32_t)sqlite3_column_int64(row, 1);
	}
	finish(row);
	return past;
}

int ids_load(struct store *store)
{
	int64_t count =
		query_integer(store, -1, "SELECT count(*) FROM ids WHERE key IS NOT NULL", "");
	struct ids *ids = count >= 0 ? ids_new((unsigned int)count) : NULL;
	sqlite3_stmt *row = query(store,
		"SELECT class, key, id, uid FROM ids WHERE key IS NOT NULL ORDER BY class, key",
		"");
	int rc = ids && row ? SQLITE_ROW : SQLITE_NOMEM;

	while (rc == SQLITE_ROW && (rc = sqlite3_step(row)) == SQLITE_ROW && ids->count < count) {
		struct id id = {(uint32_t)sqlite3_column_int64(row, 2),
			(uint64_t)sqlite3_column_int64(row, 3)};
		struct id_key *key = id_key_new(
			(enum id_class)sqlite3_column_int(row, 0), column_text(row, 1), id);
		if (!key)
			rc = SQLITE_NOMEM;
		else
			ids->item[ids->count++] = key;
	}
	finish(row);
	if (rc != SQLITE_DONE) {
		ids_unref(ids);
		return -EIO;
	}
	ids->past = load_past(store);
	ids_unref(store->ids);
	store->ids = ids;
	return 0;
}

// --- giving and taking ---------------------------------------------------------------------------------

int ids_seed(struct store *store)
{
	// Another store must not give out the same uids: the stats segment may still hold counters
	// under them.
	int64_t first = (int64_t)(1 + randombytes_uniform(0x7ffffffe)) << 32;

	return execute(store, "INSERT INTO ids (class, id, uid, key) VALUES (?, 1, ?, 'underlay')",
		"ii", (int64_t)ID_VRF, first);
}

// What its object had before, if nobody has it: an object that comes back is known by its old numbers. The counters under
// them go on, unless they have been read as the last ones, also by the one that this store was restored after.
static bool take_back(struct store *store, enum id_class class, const char *key, struct id *id)
{
	sqlite3_stmt *row = query(store,
		"SELECT i.id, i.uid, EXISTS (SELECT 1 FROM finals f WHERE f.uid = i.uid AND "
		"f.counters IS NOT NULL) OR i.uid <= coalesce((SELECT CAST(value AS INTEGER) FROM meta "
		"WHERE key = 'uid-floor'), 0) FROM released r JOIN ids i ON i.class = r.class AND i.id = "
		"r.id WHERE r.class = ? AND r.key = ? AND i.key IS NULL",
		"is", (int64_t) class, key);
	bool found = row && sqlite3_step(row) == SQLITE_ROW;

	if (found) {
		id->id = (uint32_t)sqlite3_column_int64(row, 0);
		id->uid = sqlite3_column_int(row, 2) ? 0 : (uint64_t)sqlite3_column_int64(row, 1);
	}
	finish(row);
	return found;
}

static int allocate(struct store *store, enum id_class class, const char *key, struct id *id)
{
	int64_t limit = store_now() - store->quarantine;
	// The floor is that of a restored store: what was given after its backup is not known.
	int64_t uid = query_integer(store, 0,
			      "SELECT max(max(uid), coalesce((SELECT CAST(value AS INTEGER) FROM meta "
			      "WHERE key = 'uid-floor'), 0)) FROM ids",
			      "") +
		      1;
	int64_t number = 0;

	if (take_back(store, class, key, id)) {
		number = (int64_t)id->id;
		uid = id->uid != 0 ? (int64_t)id->uid : uid;
	}
	if (number == 0)
		number = query_integer(store, 0,
			"SELECT id FROM ids WHERE class = ? AND key IS NULL AND released <= ? ORDER "
			"BY released LIMIT 1",
			"ii", (int64_t) class, limit);
	if (number == 0)
		number = query_integer(store, 0, "SELECT max(id) FROM ids WHERE class = ?", "i",
				 (int64_t) class) +
			 1;
	if (number > UINT32_MAX || uid <= 1)
		return -EIO;
	*id = (struct id){(uint32_t)number, (uint64_t)uid};
	if (execute(store, "DELETE FROM released WHERE class = ? AND id = ?", "ii", (int64_t) class,
		    number) ||
		execute(store, "DELETE FROM finals WHERE uid = ? AND counters IS NULL", "i", uid))
		return -EIO;
	return execute(store,
		"INSERT INTO ids (class, id, uid, key) VALUES (?, ?, ?, ?) "
		"ON CONFLICT (class, id) DO UPDATE SET uid = excluded.uid, key = excluded.key, "
		"released = NULL",
		"iiis", (int64_t) class, number, uid, key);
}

static int append(
	struct id_key ***list, unsigned int *count, unsigned int *room, struct id_key *key)
{
	if (*count == *room) {
		unsigned int more = *room ? *room * 2 : 16;
		struct id_key **grown = reallocarray(*list, more, sizeof(**list));
		if (!grown)
			return -ENOMEM;
		*list = grown;
		*room = more;
	}
	(*list)[(*count)++] = key;
	return 0;
}

struct key_list {
	struct id_key **item;
	unsigned int count, room;
	bool failed;
};

static void collect(void *ctx, enum id_class class, const char *key)
{
	struct key_list *list = ctx;
	struct id_key *item = id_key_new(class, key, (struct id){0});

	if (!item || append(&list->item, &list->count, &list->room, item)) {
		free(item);
		list->failed = true;
	}
}

static void list_free(struct key_list *list)
{
	for (unsigned int i = 0; i < list->count; i++)
		id_key_unref(list->item[i]);
	free(list->item);
}

static bool listed(const struct key_list *list, const struct id_key *key)
{
	for (unsigned int i = 0; i < list->count; i++) {
		if (id_key_compare(key, list->item[i]) == 0)
			return true;
	}
	return false;
}

static int release(struct store *store, struct ids_change *change, const struct id_key *key)
{
	struct id_key *item = ids_find(store->ids, key->class, key->key);

	if (!item)
		return 0;
	if (execute(store, "UPDATE ids SET key = NULL, released = ? WHERE class = ? AND id = ?",
		    "iii", store_now(), (int64_t)item->class, (int64_t)item->id.id) ||
		execute(store, "INSERT OR REPLACE INTO released VALUES (?, ?, ?)", "iis",
			(int64_t)item->class, (int64_t)item->id.id, item->key) ||
		final_expect(store, item))
		return -EIO;
	return append(&change->gone, &change->gone_count, &change->gone_room, item);
}

static int give(struct store *store, struct ids_change *change, const struct id_key *key)
{
	struct id id;

	if (ids_find(store->ids, key->class, key->key))
		return 0;
	int rc = allocate(store, key->class, key->key, &id);
	if (rc)
		return rc;
	struct id_key *item = id_key_new(key->class, key->key, id);
	if (!item || append(&change->come, &change->come_count, &change->come_room, item)) {
		free(item);
		return -ENOMEM;
	}
	return 0;
}

int ids_change(struct store *store, const struct object *old, const struct object *new,
	struct ids_change *change)
{
	struct key_list before = {0}, after = {0};
	int rc = 0;

	if (old && old->noun->ids)
		old->noun->ids(&(struct id_sink){collect, &before}, old);
	if (new &&new->noun->ids)
		new->noun->ids(&(struct id_sink){collect, &after}, new);
	if (before.failed || after.failed)
		rc = -ENOMEM;
	for (unsigned int i = 0; i < before.count && !rc; i++) {
		if (!listed(&after, before.item[i]))
			rc = release(store, change, before.item[i]);
	}
	for (unsigned int i = 0; i < after.count && !rc; i++)
		rc = give(store, change, after.item[i]);
	list_free(&before);
	list_free(&after);
	return rc;
}

void ids_discard(struct ids_change *change)
{
	for (unsigned int i = 0; i < change->come_count; i++)
		id_key_unref(change->come[i]);
	free(change->come);
	free(change->gone);
	memset(change, 0, sizeof(*change));
}

int ids_commit(struct store *store, struct ids_change *change)
{
	const struct ids *old = store->ids;
	struct ids *ids = ids_new(old->count + change->come_count);
	unsigned int g = 0, c = 0, o = 0;

	if (!ids)
		return -ENOMEM;
	if (change->gone_count)
		qsort(change->gone, change->gone_count, sizeof(change->gone[0]), compare_items);
	if (change->come_count)
		qsort(change->come, change->come_count, sizeof(change->come[0]), compare_items);
	while (o < old->count || c < change->come_count) {
		if (o < old->count && g < change->gone_count && old->item[o] == change->gone[g]) {
			o++;
			g++;
		} else if (c < change->come_count &&
			   (o == old->count ||
				   compare_items(&change->come[c], &old->item[o]) < 0)) {
			ids->item[ids->count++] = id_key_ref(change->come[c++]);
		} else {
			ids->item[ids->count++] = id_key_ref(old->item[o++]);
		}
	}
	ids->past = ids_past_ref(old->past);
	ids_discard(change);
	ids_unref(old);
	store->ids = ids;
	return 0;
}
