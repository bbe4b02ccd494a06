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

// Names in the kernel that are not as their keys say.
static int load_hosts(struct store *store, const struct ids *ids)
{
	sqlite3_stmt *row = query(store,
		"SELECT i.key, m.value FROM ids i JOIN meta m ON m.key = 'host/' || i.id WHERE i.class = ? "
		"AND i.key IS NOT NULL",
		"i", (int64_t)ID_VRF);
	int rc = row ? SQLITE_ROW : SQLITE_NOMEM;

	while (rc == SQLITE_ROW && (rc = sqlite3_step(row)) == SQLITE_ROW) {
		struct id_key *key = ids_find(ids, ID_VRF, column_text(row, 0));
		if (key && !id_key_set_host(key, column_text(row, 1)))
			rc = SQLITE_NOMEM;
	}
	finish(row);
	return rc == SQLITE_DONE ? 0 : -EIO;
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
	if (rc != SQLITE_DONE || load_hosts(store, ids)) {
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

// --- names in the kernel -------------------------------------------------------------------------------

// Only what is not as the key says stands in the store. meta: "host/ID".
static int host_write(struct store *store, uint32_t id, const char *host)
{
	return execute(store, "INSERT OR REPLACE INTO meta VALUES ('host/' || ?, ?)", "is", (int64_t)id,
		host);
}

static int host_forget(struct store *store, uint32_t id)
{
	return execute(store, "DELETE FROM meta WHERE key = 'host/' || ?", "i", (int64_t)id);
}

// Of a number that was just given: another one may have been made with this name, and bears it still.
static int host_give(struct store *store, struct id_key *key)
{
	char host[ID_HOST_MAX];

	if (key->class != ID_VRF)
		return 0;
	id_host(key->key, key->id.id, false, host);
	if (query_integer(store, 0,
		    "SELECT count(*) FROM meta WHERE key > 'host/' AND key < 'host0' AND value = ?",
		    "s", host) == 0)
		return 0;
	id_host(key->key, key->id.id, true, host);
	return id_key_set_host(key, host) ? host_write(store, key->id.id, host) : -ENOMEM;
}

// It is called as it was made, whatever its key is now.
static int host_keep(struct store *store, const struct id_key *old, struct id_key *new)
{
	char host[ID_HOST_MAX], own[ID_HOST_MAX];

	if (old->class != ID_VRF)
		return 0;
	if (old->host)
		snprintf(host, sizeof(host), "%s", old->host);
	else
		id_host(old->key, old->id.id, false, host);
	id_host(new->key, new->id.id, false, own);
	if (strcmp(host, own) == 0)
		return host_forget(store, new->id.id);
	return id_key_set_host(new, host) ? host_write(store, new->id.id, host) : -ENOMEM;
}

// --- changes -------------------------------------------------------------------------------------------

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

static int leave(struct ids_change *change, struct id_key *item)
{
	return append(&change->gone, &change->gone_count, &change->gone_room, item);
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
		(item->host && host_forget(store, item->id.id)) || final_expect(store, item))
		return -EIO;
	return leave(change, item);
}

static int give(struct store *store, struct ids_change *change, const struct id_key *key)
{
	struct id_key *item = ids_find(store->ids, key->class, key->key);
	struct id id;

	if (item && !(change->renamed && change->gone_count &&
			    bsearch(&item, change->gone, change->gone_count, sizeof(change->gone[0]),
				    compare_items)))
		return 0;
	int rc = allocate(store, key->class, key->key, &id);
	if (rc)
		return rc;
	item = id_key_new(key->class, key->key, id);
	rc = item ? host_give(store, item) : -ENOMEM;
	if (!rc)
		rc = append(&change->come, &change->come_count, &change->come_room, item);
	if (rc && item)
		id_key_unref(item);
	return rc;
}

// --- other names ---------------------------------------------------------------------------------------
//
// A key is one number's at a time, and names may go round in a circle: first all of them are taken off, then put on.

static int take_off(struct store *store, struct ids_change *change, const struct id_key *old,
	const struct id_key *new)
{
	struct id_key *item = ids_find(store->ids, old->class, old->key);

	if (!item)
		return 0;
	struct id_key *renamed = id_key_new(new->class, new->key, item->id);
	int rc = renamed ? host_keep(store, item, renamed) : -ENOMEM;
	if (!rc)
		rc = execute(store, "UPDATE ids SET key = NULL WHERE class = ? AND id = ?", "ii",
			(int64_t)item->class, (int64_t)item->id.id);
	if (!rc)
		rc = leave(change, item);
	if (!rc)
		rc = append(&change->come, &change->come_count, &change->come_room, renamed);
	if (rc && renamed)
		id_key_unref(renamed);
	change->renamed += !rc;
	return rc;
}

static int put_on(struct store *store, const struct ids_change *change)
{
	int rc = 0;

	for (unsigned int i = 0; i < change->renamed && !rc; i++) // the first to come
		rc = execute(store, "UPDATE ids SET key = ? WHERE class = ? AND id = ?", "sii",
			change->come[i]->key, (int64_t)change->come[i]->class,
			(int64_t)change->come[i]->id.id);
	return rc;
}

// --- what an object needs ------------------------------------------------------------------------------

struct needs {
	struct key_list before, after; // a change
	struct key_list named; // as before, under the name that it has now; empty = that is the same
};

static bool list_needs(const struct object *object, struct key_list *list)
{
	if (object && object->noun->ids)
		object->noun->ids(&(struct id_sink){collect, list}, object);
	return !list->failed;
}

static bool needs_of(
	struct needs *needs, const struct object *old, const struct object *new)
{
	*needs = (struct needs){0};
	if (!list_needs(old, &needs->before) || !list_needs(new, &needs->after))
		return false;
	if (!old || !new || !strcmp(old->name, new->name))
		return true;
	struct object *named = object_named(old, new);
	bool good = named && list_needs(named, &needs->named);
	object_unref(named);
	return good && needs->named.count == needs->before.count;
}

static void needs_free(struct needs *needs)
{
	list_free(&needs->before);
	list_free(&needs->after);
	list_free(&needs->named);
}

static int go(struct store *store, struct ids_change *change, const struct needs *needs)
{
	bool renamed = needs->named.count > 0;
	int rc = 0;

	for (unsigned int i = 0; i < needs->before.count && !rc; i++) {
		const struct id_key *key = needs->before.item[i],
				    *now = renamed ? needs->named.item[i] : key;
		if (!listed(&needs->after, now))
			rc = release(store, change, key);
		else if (renamed)
			rc = take_off(store, change, key, now);
	}
	return rc;
}

static int come(struct store *store, struct ids_change *change, const struct needs *needs)
{
	int rc = 0;

	for (unsigned int i = 0; i < needs->after.count && !rc; i++)
		if (!listed(&needs->named, needs->after.item[i]))
			rc = give(store, change, needs->after.item[i]);
	return rc;
}

static int each(struct store *store, struct ids_change *change, const struct object *old,
	const struct object *new,
	int (*fn)(struct store *, struct ids_change *, const struct needs *))
{
	struct needs needs;
	int rc = needs_of(&needs, old, new) ? fn(store, change, &needs) : -ENOMEM;

	needs_free(&needs);
	return rc;
}

int ids_change(struct store *store, const struct model_diff *diff, struct ids_change *change)
{
	int rc = 0;

	for (unsigned int i = 0; i < diff->count && !rc; i++)
		rc = each(store, change, diff->item[i].old, diff->item[i].new, go);
	if (!rc)
		rc = put_on(store, change);
	if (change->gone_count)
		qsort(change->gone, change->gone_count, sizeof(change->gone[0]), compare_items);
	for (unsigned int i = 0; i < diff->count && !rc; i++)
		rc = each(store, change, diff->item[i].old, diff->item[i].new, come);
	return rc;
}

int ids_complete(struct store *store, const struct object *object, struct ids_change *change)
{
	return each(store, change, NULL, object, come);
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
