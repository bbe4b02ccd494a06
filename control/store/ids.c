// SPDX-License-Identifier: BSD-3-Clause
// Ids. Each object needs a few numbers under which the data plane, the kernel and the stats segment know its
// parts. They live in the store because they must survive every restart: with other numbers a replay would
// rewrite the network and counters would change hands. A number whose object is gone waits out a quarantine,
// so that whatever still carries it (a packet in a ring, a kernel table not yet swept) cannot reach the next owner.

#include "control/model/circuit.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/model/port.h"
#include "control/model/vnet.h"
#include "control/store/store_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX (OBJECT_NAME_MAX + 32)

typedef void (*need_function)(void *ctx, enum id_class class, const char *key);

static void needed(need_function need, void *ctx, enum id_class class, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void needed(need_function need, void *ctx, enum id_class class, const char *format, ...)
{
	char key[KEY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof(key), format, args);
	va_end(args);
	need(ctx, class, key);
}

void ids_needed(const struct object *object, need_function need, void *ctx)
{
	const char *name = object->name;

	switch (object->noun->id) {
	case NOUN_PORT:
		if (((const struct port *)object)->faces == PORT_CORE)
			needed(need, ctx, ID_INTERFACE, "port/%s", name);
		break;
	case NOUN_LINK:
		needed(need, ctx, ID_LIMITER, "%s/in", name);
		needed(need, ctx, ID_LIMITER, "%s/out", name);
		break;
	case NOUN_PEERING:
		needed(need, ctx, ID_VRF, "peering/%s", name);
		needed(need, ctx, ID_OWNER, "peering/%s", name);
		needed(need, ctx, ID_PEERING, "%s", name);
		needed(need, ctx, ID_INTERFACE, "attachment/%s/primary", name);
		needed(need, ctx, ID_INTERFACE, "attachment/%s/secondary", name);
		break;
	case NOUN_VNET: {
		const struct vnet *vnet = (const struct vnet *)object;
		needed(need, ctx, ID_VRF, "vnet/%s", name);
		needed(need, ctx, ID_OWNER, "vnet/%s", name);
		for (unsigned int i = 0; i < vnet->tunnels.count; i++)
			needed(need, ctx, ID_INTERFACE, "tunnel/%s/%s", name,
				vnet->tunnels.item[i].edge);
		break;
	}
	default:
		break;
	}
}

// --- snapshots -----------------------------------------------------------------------------------------

static struct id_key *key_new(enum id_class class, const char *key, struct id id)
{
	struct id_key *item = malloc(sizeof(*item) + strlen(key) + 1);

	if (item) {
		item->references = 1;
		item->class = class;
		item->id = id;
		strcpy(item->key, key);
	}
	return item;
}

static struct id_key *key_ref(struct id_key *key)
{
	__atomic_add_fetch(&key->references, 1, __ATOMIC_RELAXED);
	return key;
}

static void key_unref(struct id_key *key)
{
	if (__atomic_sub_fetch(&key->references, 1, __ATOMIC_ACQ_REL) == 0)
		free(key);
}

struct ids *ids_ref(const struct ids *ids)
{
	struct ids *mine = (struct ids *)(uintptr_t)ids;

	__atomic_add_fetch(&mine->references, 1, __ATOMIC_RELAXED);
	return mine;
}

void ids_unref(const struct ids *ids)
{
	struct ids *mine = (struct ids *)(uintptr_t)ids;

	if (!mine || __atomic_sub_fetch(&mine->references, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned int i = 0; i < mine->count; i++)
		key_unref(mine->item[i]);
	free(mine);
}

static struct ids *ids_new(unsigned int room)
{
	struct ids *ids = malloc(sizeof(*ids) + room * sizeof(ids->item[0]));

	if (ids) {
		ids->references = 1;
		ids->count = 0;
	}
	return ids;
}

static int compare(enum id_class class, const char *key, const struct id_key *item)
{
	if (class != item->class)
		return class < item->class ? -1 : 1;
	return strcmp(key, item->key);
}

static int compare_items(const void *a, const void *b)
{
	const struct id_key *x = *(struct id_key *const *)a;

	return compare(x->class, x->key, *(struct id_key *const *)b);
}

static const struct id_key *find(const struct ids *ids, enum id_class class, const char *key)
{
	unsigned int low = 0, high = ids->count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		int order = compare(class, key, ids->item[middle]);
		if (order == 0)
			return ids->item[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool ids_get(const struct ids *ids, enum id_class class, const char *key, struct id *id)
{
	const struct id_key *item = find(ids, class, key);

	if (item)
		*id = item->id;
	return item != NULL;
}

struct id ids_of(const struct ids *ids, enum id_class class, const char *format, ...)
{
	struct id id = {0};
	char key[KEY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof(key), format, args);
	va_end(args);
	ids_get(ids, class, key, &id);
	return id;
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
		struct id_key *key =
			key_new((enum id_class)sqlite3_column_int(row, 0), column_text(row, 1), id);
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
	ids_unref(store->ids);
	store->ids = ids;
	return 0;
}

// --- giving and taking ---------------------------------------------------------------------------------

int ids_seed(struct store *store)
{
	// Another store must not give out the same uids: the stats segment may still hold counters under them.
	int64_t first = (int64_t)(1 + randombytes_uniform(0x7ffffffe)) << 32;

	return execute(store, "INSERT INTO ids (class, id, uid, key) VALUES (?, 1, ?, 'underlay')",
		"ii", (int64_t)ID_VRF, first);
}

static int allocate(struct store *store, enum id_class class, const char *key, struct id *id)
{
	int64_t limit = store_now() - store->quarantine;
	int64_t uid = query_integer(store, 0, "SELECT max(uid) FROM ids", "") + 1;
	int64_t number = query_integer(store, 0,
		"SELECT id FROM ids WHERE class = ? AND key IS NULL AND released <= ? ORDER BY "
		"released LIMIT 1",
		"ii", (int64_t) class, limit);

	if (number == 0)
		number = query_integer(store, 0, "SELECT max(id) FROM ids WHERE class = ?", "i",
				 (int64_t) class) +
			 1;
	if (number > UINT32_MAX || uid <= 1)
		return -EIO;
	*id = (struct id){(uint32_t)number, (uint64_t)uid};
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
	struct id_key *item = key_new(class, key, (struct id){0});

	if (!item || append(&list->item, &list->count, &list->room, item)) {
		free(item);
		list->failed = true;
	}
}

static void list_free(struct key_list *list)
{
	for (unsigned int i = 0; i < list->count; i++)
		key_unref(list->item[i]);
	free(list->item);
}

static bool listed(const struct key_list *list, const struct id_key *key)
{
	for (unsigned int i = 0; i < list->count; i++) {
		if (compare(key->class, key->key, list->item[i]) == 0)
			return true;
	}
	return false;
}

static int release(struct store *store, struct ids_change *change, const struct id_key *key)
{
	struct id_key *item = (struct id_key *)(uintptr_t)find(store->ids, key->class, key->key);

	if (!item)
		return 0;
	if (execute(store, "UPDATE ids SET key = NULL, released = ? WHERE class = ? AND id = ?",
		    "iii", store_now(), (int64_t)item->class, (int64_t)item->id.id))
		return -EIO;
	return append(&change->gone, &change->gone_count, &change->gone_room, item);
}

static int give(struct store *store, struct ids_change *change, const struct id_key *key)
{
	struct id id;

	if (find(store->ids, key->class, key->key))
		return 0;
	int rc = allocate(store, key->class, key->key, &id);
	if (rc)
		return rc;
	struct id_key *item = key_new(key->class, key->key, id);
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

	if (old)
		ids_needed(old, collect, &before);
	if (new)
		ids_needed(new, collect, &after);
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
		key_unref(change->come[i]);
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
			ids->item[ids->count++] = key_ref(change->come[c++]);
		} else {
			ids->item[ids->count++] = key_ref(old->item[o++]);
		}
	}
	ids_discard(change);
	ids_unref(old);
	store->ids = ids;
	return 0;
}
