// SPDX-License-Identifier: BSD-3-Clause
// The history: for each revision the objects that it changed, as they were from then on. A model of before is made of
// the newest row of each object that is not newer than it; only objects that were changed since have to be looked at.
//
// The oldest revisions go. What an object was then stays as the row out of which the first revision that is left is
// made, until a newer one of those that go takes its place. A sealed password lives as long as a row names it.

#include "control/store/store_internal.h"

#include "control/base/array.h"

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct use {
	struct store *store;
	int64_t revision;
	const struct object *object;
};

static int note_use(void *ctx, const struct secret *secret)
{
	const struct use *use = ctx;

	return execute(use->store, "INSERT OR IGNORE INTO secret_uses VALUES (?, ?, ?, ?)", "siss",
		secret->fingerprint, use->revision, use->object->noun->name, use->object->name);
}

int history_write(struct store *store, int64_t revision, const struct object *object, const char *json)
{
	int rc = execute(store, "INSERT INTO history VALUES (?, ?, ?, ?)", "isss", revision,
		object->noun->name, object->name, json);

	return rc || !json ? rc : object_secrets(object, note_use, &(struct use){store, revision, object});
}

// Rows that a newer one among the revisions that go has made useless: ?1 the first of these, ?2 the last.
#define SUPERSEDED                                                                                 \
	"(revision, noun, name) IN (SELECT o.revision, o.noun, o.name FROM history n JOIN history " \
	"o ON o.noun = n.noun AND o.name = n.name WHERE n.revision BETWEEN ?1 AND ?2 AND "         \
	"(o.revision < n.revision OR (o.revision = n.revision AND n.json IS NULL)))"

int history_prune(struct store *store, int64_t revision)
{
	int64_t last = revision - store->keep_revisions;
	int64_t first = query_integer(store, INT64_MAX, "SELECT min(revision) FROM revisions", "");

	if (first > last)
		return 0;
	int rc = execute(store, "DELETE FROM secret_uses WHERE " SUPERSEDED, "ii", first, last);
	if (!rc && sqlite3_changes(store->db) > 0)
		rc = execute(store,
			"DELETE FROM secrets WHERE fingerprint <> 'key-check' AND fingerprint NOT IN "
			"(SELECT fingerprint FROM secret_uses)",
			"");
	if (!rc)
		rc = execute(store, "DELETE FROM history WHERE " SUPERSEDED, "ii", first, last);
	return rc ? rc : execute(store, "DELETE FROM revisions WHERE revision <= ?", "i", last);
}

// --- back ----------------------------------------------------------------------------------------------

// Every object that was changed since, as it was then. *sources for free_sources().
static int read_back(
	struct store *store, int64_t revision, struct model_source **sources, unsigned int *count)
{
	int64_t total = query_integer(store, -1,
		"SELECT count(*) FROM (SELECT DISTINCT noun, name FROM history WHERE revision > ?)",
		"i", revision);
	sqlite3_stmt *row = query(store,
		"SELECT noun, name, (SELECT json FROM history b WHERE b.noun = h.noun AND b.name = "
		"h.name AND b.revision <= ?1 ORDER BY b.revision DESC LIMIT 1) FROM (SELECT DISTINCT "
		"noun, name FROM history WHERE revision > ?1) h",
		"i", revision);
	int rc = SQLITE_ROW;

	*count = 0;
	*sources = total >= 0 ? calloc((size_t)total + 1, sizeof(**sources)) : NULL;
	if (!*sources || !row)
		rc = SQLITE_NOMEM;
	while (rc == SQLITE_ROW && (rc = sqlite3_step(row)) == SQLITE_ROW && *count < total) {
		struct model_source *source = &(*sources)[(*count)++];
		bool there = sqlite3_column_type(row, 2) != SQLITE_NULL;
		source->noun = strdup(column_text(row, 0));
		source->name = strdup(column_text(row, 1));
		source->json = there ? strdup(column_text(row, 2)) : NULL;
		if (!source->noun || !source->name || (there && !source->json))
			rc = SQLITE_NOMEM;
	}
	finish(row);
	return rc == SQLITE_DONE ? 0 : -EIO;
}

static int is_kept(struct store *store, uint64_t revision, struct api_error *error)
{
	int64_t newest = query_integer(store, 0, "SELECT max(revision) FROM revisions", "");
	int64_t from = query_integer(store, 0,
		"SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'history-from'", "");

	if (revision > (uint64_t)newest)
		return api_fail(error, API_NOT_FOUND, "culvertctl config history",
			"there is no revision %llu, the newest is %lld", (unsigned long long)revision,
			(long long)newest);
	if (revision != 0 && ((int64_t)revision < from ||
		query_integer(store, 0, "SELECT count(*) FROM revisions WHERE revision = ?", "i",
			(int64_t)revision) == 0))
		return api_fail(error, API_NOT_FOUND, "culvertctl config history; a backup may have it",
			"the history does not have revision %llu any more",
			(unsigned long long)revision);
	return 0;
}

// --- names back ------------------------------------------------------------------------------------------

struct name { // of an object then and now
	const struct noun *noun;
	char then[OBJECT_NAME_MAX], now[OBJECT_NAME_MAX];
	int64_t revision; // that gave it the one of now
};

struct names {
	unsigned int count;
	struct name *item;
};

// Its parts follow.
static bool has_own_name(const struct noun *noun)
{
	return noun && noun->parent < 0 && !noun->fixed_name;
}

// In one revision names may go round in a circle.
static void add_name(
	struct names *names, int64_t revision, const struct noun *noun, const char *was, const char *name)
{
	for (unsigned int i = 0; i < names->count; i++) {
		struct name *one = &names->item[i];
		if (one->noun != noun || one->revision == revision || strcmp(one->now, was))
			continue;
		snprintf(one->now, sizeof(one->now), "%s", name);
		one->revision = revision;
		return;
	}
	struct name *one = APPEND(*names);
	one->noun = noun;
	one->revision = revision;
	snprintf(one->then, sizeof(one->then), "%s", was);
	snprintf(one->now, sizeof(one->now), "%s", name);
}

static struct names names_since(struct store *store, int64_t revision)
{
	struct names names = {0};
	sqlite3_stmt *row = query(store,
		"SELECT a.revision, json_extract(c.value, '$.noun'), json_extract(c.value, '$.was'), "
		"json_extract(c.value, '$.name') FROM audit a, json_each(a.changes) c WHERE a.revision "
		"> ? AND a.changes LIKE '%\"op\":\"rename\"%' AND json_extract(c.value, '$.op') = "
		"'rename' ORDER BY a.id",
		"i", revision);

	while (row && sqlite3_step(row) == SQLITE_ROW) {
		const struct noun *noun = noun_find(column_text(row, 1));
		if (has_own_name(noun))
			add_name(&names, sqlite3_column_int64(row, 0), noun, column_text(row, 2),
				column_text(row, 3));
	}
	finish(row);
	return names;
}

static bool goes_back(const struct model *model, const struct name *one)
{
	return strcmp(one->now, one->then) && model_find(model, one->noun->id, one->now);
}

// Whoever has the name that it had came later: he is not there in that revision.
static bool is_taken(const struct names *names, const struct model *model, const struct name *one)
{
	for (unsigned int i = 0; i < names->count; i++)
		if (names->item[i].noun == one->noun && !strcmp(names->item[i].now, one->then))
			return false;
	return model_find(model, one->noun->id, one->then) != NULL;
}

// to NULL: a deletion.
static void append_op(json_t *changes, const struct noun *noun, const char *name, const char *to)
{
	json_array_append_new(changes,
		json_pack("{s:s, s:s, s:s, s:s*}", "op", to ? "rename" : "delete", "noun", noun->name,
			"name", name, "to", to));
}

// The model with the names of that revision, as far as the audit still knows them: what was renamed since is the same
// object, and is not made anew. A new reference.
static struct model *names_back(
	struct store *store, const struct model *model, int64_t revision)
{
	struct names names = names_since(store, revision);
	struct findings *findings = calloc(1, sizeof(*findings));
	json_t *changes = json_array();
	struct model *back = NULL;
	char aside[32];

	for (unsigned int pass = 0; pass < 2; pass++)
		for (unsigned int i = 0; i < names.count; i++) {
			const struct name *one = &names.item[i];
			snprintf(aside, sizeof(aside), "name-on-its-way-%u", i);
			if (!goes_back(model, one))
				continue;
			if (pass == 0 && is_taken(&names, model, one))
				append_op(changes, one->noun, one->then, NULL);
			append_op(changes, one->noun, pass == 0 ? one->now : aside,
				pass == 0 ? aside : one->then);
		}
	if (!findings || !json_array_size(changes) ||
		model_change(model, changes, &back, findings))
		back = model_ref(model);
	json_decref(changes);
	free(findings);
	free(names.item);
	return back;
}

int store_back(struct store *store, const struct model *old, uint64_t revision, bool judged,
	struct model **model, struct findings *findings, struct api_error *error)
{
	struct model_source *sources = NULL;
	unsigned int count = 0;

	*model = NULL;
	int rc = judged ? is_kept(store, revision, error) : 0;
	if (rc)
		return rc;
	rc = read_back(store, (int64_t)revision, &sources, &count);
	if (rc)
		store_fail(store, error, "cannot read the history of");
	struct model *named = rc ? NULL : names_back(store, old, (int64_t)revision);
	if (!rc)
		rc = model_back(
			named, sources, count, secret_unseal, store, judged, model, findings);
	model_unref(named);
	free_sources(sources, count);
	return rc;
}

int store_before(struct store *store, uint64_t *revision, struct api_error *error)
{
	int64_t newest = query_integer(store, 0, "SELECT max(revision) FROM revisions", "");

	if (newest == 0)
		return api_fail(error, API_NOT_FOUND, NULL, "there is no revision to go back to yet");
	*revision = (uint64_t)newest - 1;
	return 0;
}
