// SPDX-License-Identifier: BSD-3-Clause
// Who did what, and what was counted last: lines that nobody changes any more. The newest of them are kept, so many as the
// node file says. Changes and other lines are counted apart, so that nobody who may change nothing can push out of the
// audit what somebody else has changed.

#include "control/store/store_internal.h"

#include <jansson.h>

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_MAX \
	50 // objects of a change that are written with their values; the history has all
#define CHANGES_SIZE (256u << 10) // bytes of them
#define PRUNE_EVERY  256          // lines
#define WAITING_MAX  10000        // lines for which there was no room, then the oldest goes

// --- writing ---------------------------------------------------------------------------------------------

void actor_name(const char *actor, char name[ACTOR_MAX])
{
	char buffer[4096], *end = NULL;
	struct passwd entry, *found = NULL;
	unsigned long uid = strncmp(actor, "uid:", 4) == 0 ? strtoul(actor + 4, &end, 10) : 0;

	snprintf(name, ACTOR_MAX, "%s", actor);
	if (end != NULL && end != actor + 4 && *end == '\0' &&
		getpwuid_r((uid_t)uid, &entry, buffer, sizeof(buffer), &found) == 0 && found)
		snprintf(name, ACTOR_MAX, "%s/%.64s", actor, found->pw_name);
}

static int prune_audit(struct store *store)
{
	int64_t keep = store->keep_audit;

	// Offsets are counted from the newest.
	int rc = execute(store,
		"DELETE FROM audit WHERE changes IS NULL AND id <= (SELECT id FROM audit WHERE "
		"changes IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?)",
		"i", keep);
	if (!rc)
		rc = execute(store,
			"DELETE FROM audit WHERE changes IS NOT NULL AND id <= (SELECT id FROM "
			"audit "
			"WHERE changes IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?)",
			"i", keep);
	if (!rc)
		rc = execute(store,
			"DELETE FROM finals WHERE uid IN (SELECT uid FROM finals ORDER BY deleted "
			"DESC, uid DESC LIMIT -1 OFFSET ?)",
			"i", keep);
	return rc;
}

static int write_line(struct store *store, const struct audit_line *line, const char *changes)
{
	return execute(store,
		"INSERT INTO audit (time, actor, on_behalf, verb, object, result, revision, "
		"changes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		"isssssis", line->time, line->actor, line->on_behalf, line->verb, line->object,
		line->result, line->revision, changes);
}

static int prune_now_and_then(struct store *store)
{
	return store->lines++ % PRUNE_EVERY == 0 ? prune_audit(store) : 0;
}

// Of what was made or is gone all fields; of what was changed the difference.
static json_t *change_json(const struct model_diff *diff, unsigned int index)
{
	const struct model_difference *difference = &diff->item[index];
	json_t *json = model_difference_json(diff, index);

	if (!difference->old || !difference->new) {
		const struct object *only = difference->new ? difference->new : difference->old;
		json_object_set_new(json, difference->new ? "to" : "from", object_json(only));
	}
	return json;
}

static char *changes_text(const struct model_diff *diff)
{
	json_t *list = json_array();
	size_t size = 0;
	unsigned int i = 0;

	for (; i < diff->count && i < CHANGES_MAX && size < CHANGES_SIZE; i++) {
		json_t *one = change_json(diff, i);
		size += json_dumpb(one, NULL, 0, JSON_COMPACT);
		json_array_append_new(list, one);
	}
	if (i < diff->count)
		json_array_append_new(list, json_pack("{s:i}", "more", (int)(diff->count - i)));
	char *text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text;
}

int audit_change(struct store *store, const struct store_commit *commit,
	const struct model_diff *diff, const char *objects, int64_t revision)
{
	char *changes = changes_text(diff), actor[ACTOR_MAX];

	if (changes == NULL)
		return -ENOMEM;
	const struct audit_line line = {
		.time = store_now(),
		.actor = actor,
		.on_behalf = commit->on_behalf,
		.verb = commit->verb,
		.object = commit->object ? commit->object : objects,
		.result = "ok",
		.revision = revision,
	};
	actor_name(commit->actor, actor);
	int rc = write_line(store, &line, changes);
	free(changes);
	if (!rc)
		rc = prune_now_and_then(store);
	return rc ? rc : history_prune(store, revision);
}

int audit_line(struct store *store, const char *actor, const char *on_behalf, const char *verb,
	const char *object, int64_t revision)
{
	const struct audit_line line = {
		.time = store_now(),
		.actor = actor,
		.on_behalf = on_behalf,
		.verb = verb,
		.object = object,
		.result = "ok",
		.revision = revision,
	};
	int rc = write_line(store, &line, NULL);

	return rc ? rc : prune_now_and_then(store);
}

static char *copy(const char *text)
{
	char *copied = text != NULL ? strdup(text) : NULL;

	if (text != NULL && copied == NULL)
		abort();
	return copied;
}

static void drop_first(struct store *store)
{
	struct audit_line *line = STAILQ_FIRST(&store->waiting);

	STAILQ_REMOVE_HEAD(&store->waiting, entry);
	store->waiting_count--;
	free((char *)(uintptr_t)line->actor);
	free((char *)(uintptr_t)line->on_behalf);
	free((char *)(uintptr_t)line->verb);
	free((char *)(uintptr_t)line->object);
	free((char *)(uintptr_t)line->result);
	free(line);
}

int audit_write(struct store *store)
{
	while (!STAILQ_EMPTY(&store->waiting)) {
		int rc = write_line(store, STAILQ_FIRST(&store->waiting), NULL);
		if (rc) {
			store->behind = store->behind || store_is_full(store);
			return rc;
		}
		drop_first(store);
		prune_now_and_then(store); // what fails is done with a later line
	}
	return 0;
}

void audit_forget(struct store *store)
{
	while (!STAILQ_EMPTY(&store->waiting))
		drop_first(store);
}

int store_audit(struct store *store, const char *actor, const char *on_behalf, const char *verb,
	const char *object, const char *result)
{
	struct audit_line *line = malloc(sizeof(*line));
	char name[ACTOR_MAX];

	if (line == NULL)
		abort();
	actor_name(actor, name);
	*line = (struct audit_line){
		.time = store_now(),
		.actor = copy(name),
		.on_behalf = copy(on_behalf),
		.verb = copy(verb),
		.object = copy(object),
		.result = copy(result),
		.revision = query_integer(store, 0, "SELECT max(revision) FROM revisions", ""),
	};
	STAILQ_INSERT_TAIL(&store->waiting, line, entry);
	store->waiting_count++;
	int rc = audit_write(store);
	if (store->waiting_count > WAITING_MAX)
		drop_first(store);
	vouch_rest(store);
	return rc;
}

// --- what was counted last -------------------------------------------------------------------------------

int final_expect(struct store *store, const struct id_key *key)
{
	if (key->class != ID_INTERFACE && key->class != ID_LIMITER && key->class != ID_ACCOUNT)
		return 0;
	return execute(store,
		"INSERT OR REPLACE INTO finals (uid, class, key, deleted) VALUES (?, ?, ?, ?)",
		"iisi", (int64_t)key->id.uid, (int64_t)key->class, key->key, store_now());
}

static int put_final(struct store *store, const json_t *final)
{
	char *counters = json_dumps(json_object_get(final, "counters"), JSON_COMPACT);
	int rc = execute(store,
		"INSERT INTO finals (uid, class, key, deleted, time, counters) VALUES (?1, (SELECT "
		"class FROM ids WHERE uid = ?1), (SELECT key FROM ids WHERE uid = ?1), ?2, ?2, ?3) "
		"ON CONFLICT (uid) DO UPDATE SET time = excluded.time, counters = excluded.counters",
		"iis", (int64_t)json_integer_value(json_object_get(final, "uid")), store_now(),
		counters);

	free(counters);
	return rc;
}

int store_finals_put(struct store *store, const json_t *list)
{
	const json_t *final;
	size_t i;
	int rc = store_begin(store);

	json_array_foreach ((json_t *)list, i, final)
		if (!rc)
			rc = put_final(store, final);
	rc = store_end(store, rc);
	if (rc)
		store_undo(store);
	else
		vouch_rest(store);
	return rc;
}

// --- reading ---------------------------------------------------------------------------------------------

static json_t *column_json(sqlite3_stmt *row, int column)
{
	const char *name = sqlite3_column_name(row, column), *text = column_text(row, column);

	if (sqlite3_column_type(row, column) == SQLITE_NULL)
		return json_null();
	if (sqlite3_column_type(row, column) == SQLITE_INTEGER)
		return json_integer(sqlite3_column_int64(row, column));
	json_t *value = strcmp(name, "changes") == 0 || strcmp(name, "counters") == 0
				? json_loads(text, 0, NULL)
				: NULL;
	return value != NULL ? value : json_string(text);
}

// Each row an object with the columns' names.
static json_t *rows(sqlite3_stmt *row)
{
	json_t *array = row ? json_array() : NULL;

	while (row && sqlite3_step(row) == SQLITE_ROW) {
		json_t *object = json_object();
		for (int i = 0; i < sqlite3_column_count(row); i++)
			json_object_set_new(
				object, sqlite3_column_name(row, i), column_json(row, i));
		json_array_append_new(array, object);
	}
	finish(row);
	return array;
}

static int64_t before(const struct store_filter *filter)
{
	return filter->before ? (int64_t)filter->before : INT64_MAX;
}

// "circuit acme-ams-01" or "circuit/acme-ams-01" asks for that noun's; else the name of whatever object.
static void split_object(const char *object, const char **noun, const char **name, char text[64])
{
	size_t length = strcspn(object, " /");

	snprintf(text, 64, "%.*s", (int)length, object);
	bool is_noun = object[length] != '\0' && noun_find(text) != NULL;
	*noun = is_noun ? text : NULL;
	*name = is_noun ? object + length + 1 : object;
}

// The objects of a line are those of its change, or the one that it names ("circuit c1 and 3 more"). With no noun asked
// for (?5) the object's parts are meant, too. Before it was renamed it is asked for by the name that it had.
json_t *store_audit_list(struct store *store, const struct store_filter *filter)
{
	const char *noun = NULL, *name = NULL;
	char text[64];

	if (filter->object != NULL)
		split_object(filter->object, &noun, &name, text);
	return rows(query(store,
		"WITH RECURSIVE named (name, before) AS (SELECT ?4, ?1 UNION SELECT "
		"json_extract(c.value, '$.was'), r.id FROM named n, audit r, json_each(r.changes) c "
		"WHERE r.id < n.before AND r.changes LIKE '%\"op\":\"rename\"%' AND "
		"json_extract(c.value, '$.op') = 'rename' AND json_extract(c.value, '$.name') = n.name "
		"AND (?5 IS NULL OR json_extract(c.value, '$.noun') = ?5)) "
		"SELECT id, time, actor, on_behalf, verb, object, result, revision, changes FROM "
		"audit a WHERE id < ?1 AND time >= ?2 AND (?3 IS NULL OR actor = ?3 OR "
		"substr(actor, 1, instr(actor, '/') - 1) = ?3 OR substr(actor, instr(actor, '/') + "
		"1) = ?3) AND (?4 IS NULL OR EXISTS (SELECT 1 FROM named, (SELECT substr(a.object, 1, "
		"instr(a.object, ' ') - 1) AS noun, substr(a.object, instr(a.object, ' ') + 1) || "
		"' ' AS of UNION ALL SELECT h.noun, h.name || ' ' FROM history h WHERE "
		"a.changes IS NOT NULL AND h.revision = a.revision) WHERE a.id < named.before AND "
		"(?5 IS NULL OR noun = ?5) AND (substr(of, 1, length(named.name) + 1) = named.name || "
		"' ' OR ?5 IS NULL AND substr(of, 1, length(named.name) + 1) = named.name || '/'))) "
		"ORDER BY id DESC LIMIT ?6",
		"iisssi", before(filter), filter->since, filter->actor, name, noun,
		(int64_t)filter->limit));
}

json_t *store_history(struct store *store, const struct store_filter *filter)
{
	return rows(query(store,
		"SELECT revision, time, actor, on_behalf, verb, objects, (SELECT noun || ' ' || "
		"name FROM history h WHERE h.revision = r.revision ORDER BY noun, name LIMIT 1) AS "
		"object, again, (SELECT until / 1000 FROM pending p WHERE p.revision = r.revision) "
		"AS pending FROM revisions r WHERE revision < ? ORDER BY revision DESC LIMIT ?",
		"ii", before(filter), (int64_t)filter->limit));
}

// What counts is a part of an object, whose noun its key does not have. Numbers say when it was made, not when it went; a
// row that is not there any more was among the oldest.
json_t *store_finals(struct store *store, const struct store_filter *filter)
{
	const char *noun = NULL, *name = NULL;
	char text[64];

	if (filter->object != NULL)
		split_object(filter->object, &noun, &name, text);
	return rows(query(store,
		"SELECT uid AS id, key AS object, deleted, time, counters FROM finals WHERE (?1 = 0 "
		"OR (deleted, uid) < (SELECT deleted, uid FROM finals WHERE uid = ?1)) AND counters "
		"IS NOT NULL AND deleted >= ?2 AND (?3 IS NULL OR instr('/' || key || '/', '/' || "
		"?3 || '/') > 0) ORDER BY deleted DESC, uid DESC LIMIT ?4",
		"iisi", (int64_t)filter->before, filter->since, name, (int64_t)filter->limit));
}
