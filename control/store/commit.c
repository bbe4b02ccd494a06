// SPDX-License-Identifier: BSD-3-Clause
// Reading the model out of the store and committing changes to it. A commit is one transaction over the
// objects, their history, the ids and secrets they need, and the audit: either all of it is on disk when the
// caller goes on to publish, or none of it.

#include "control/store/store_internal.h"

#include <jansson.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- reading -------------------------------------------------------------------------------------------

static int read_sources(struct store *store, struct model_source **sources, unsigned int *count)
{
	int64_t total = query_integer(store, -1, "SELECT count(*) FROM objects", "");
	sqlite3_stmt *row = query(store, "SELECT noun, name, json FROM objects", "");
	int rc = SQLITE_ROW;

	*count = 0;
	*sources = total >= 0 ? calloc((size_t)total + 1, sizeof(**sources)) : NULL;
	if (!*sources || !row)
		rc = SQLITE_NOMEM;
	while (rc == SQLITE_ROW && (rc = sqlite3_step(row)) == SQLITE_ROW && *count < total) {
		struct model_source *source = &(*sources)[(*count)++];
		source->noun = strdup(column_text(row, 0));
		source->name = strdup(column_text(row, 1));
		source->json = strdup(column_text(row, 2));
		if (!source->noun || !source->name || !source->json)
			rc = SQLITE_NOMEM;
	}
	finish(row);
	return rc == SQLITE_DONE ? 0 : -EIO;
}

void free_sources(struct model_source *sources, unsigned int count)
{
	for (unsigned int i = 0; sources && i < count; i++) {
		free((char *)(uintptr_t)sources[i].noun);
		free((char *)(uintptr_t)sources[i].name);
		free((char *)(uintptr_t)sources[i].json);
	}
	free(sources);
}

// A newer version may need ids that an older one did not give.
static int complete_ids(struct store *store, const struct model *model, struct api_error *error)
{
	struct ids_change change = {0};
	int rc = store_begin(store);

	for (unsigned int noun = 0; noun < NOUNS && !rc; noun++) {
		for (unsigned int i = 0; i < model_count(model, noun) && !rc; i++)
			rc = ids_complete(store, model_at(model, noun, i), &change);
	}
	if (store_end(store, rc)) {
		store_fail(store, error, "cannot write the ids of");
		store_undo(store);
		ids_discard(&change);
		return -EIO;
	}
	rc = ids_commit(store, &change);
	return rc ? api_fail(error, API_INTERNAL, NULL, "not enough memory for the ids") : 0;
}

// Whether the text of the newest revision makes another model than it was written from. Another version may well
// read it so.
static bool reads_otherwise(struct store *store, const struct model *model)
{
	sqlite3_stmt *row = query(store,
		"SELECT digest FROM revisions ORDER BY revision DESC LIMIT 1", "");
	bool other = row && sqlite3_step(row) == SQLITE_ROW &&
		     (uint64_t)sqlite3_column_int64(row, 0) != model_digest(model);
	finish(row);
	return other && query_integer(store, 0,
				"SELECT count(*) FROM meta WHERE key = 'written-by' AND value = ?",
				"s", CULVERT_VERSION) != 0;
}

int store_load(struct store *store, struct store_state *state, struct findings *findings,
	struct api_error *error)
{
	struct model_source *sources;
	unsigned int count;
	struct model *model = NULL;

	memset(state, 0, sizeof(*state));
	int rc = read_sources(store, &sources, &count);
	if (rc) {
		free_sources(sources, count);
		return store_fail(store, error, "cannot read");
	}
	rc = model_load(&store->options, sources, count, secret_unseal, store, &model, findings);
	free_sources(sources, count);
	if (rc)
		return api_fail(error, API_INTERNAL, NULL, "not enough memory for the model");
	rc = complete_ids(store, model, error);
	if (rc) {
		model_unref(model);
		return rc;
	}
	state->model = model;
	state->ids = ids_ref(store->ids);
	state->revision =
		(uint64_t)query_integer(store, 0, "SELECT max(revision) FROM revisions", "");
	memcpy(state->uuid, store->uuid, sizeof(state->uuid));
	state->doubt = store->doubt;
	state->migrated_from = store->migrated_from;
	state->reads_otherwise = reads_otherwise(store, model);
	pending_read(store, &state->pending);
	return 0;
}

// --- committing ----------------------------------------------------------------------------------------

struct seal {
	struct store *store;
	const struct object *other; // whose secrets stay
};

static int find_secret(void *ctx, const struct secret *secret)
{
	return !strcmp(((const struct secret *)ctx)->fingerprint, secret->fingerprint);
}

static int keep_secret(void *ctx, const struct secret *secret)
{
	const struct seal *seal = ctx;

	if (seal->other && object_secrets(seal->other, find_secret, (void *)(uintptr_t)secret))
		return 0;
	return secret_seal(seal->store, secret);
}

// What is gone, or has another name now.
static bool leaves_name(const struct model_difference *difference)
{
	return difference->old && (!difference->new ||
					  strcmp(difference->old->name, difference->new->name) != 0);
}

static int remove_object(struct store *store, const struct model *model, int64_t revision,
	const struct object *old)
{
	const char *noun = old->noun->name;
	int rc = execute(store, "DELETE FROM objects WHERE noun = ? AND name = ?", "ss", noun,
		old->name);

	if (!rc && !model_find(model, old->noun->id, old->name)) // else the history has whose it is now
		rc = history_write(store, revision, old, NULL);
	return rc;
}

static int write_object(
	struct store *store, int64_t revision, const struct object *old, const struct object *new)
{
	const char *noun = new->noun->name, *name = new->name;
	json_t *fields = object_json(new);
	char *json = json_dumps(fields, JSON_COMPACT);
	int rc;

	json_decref(fields);
	if (!json)
		return -ENOMEM;
	rc = execute(store, "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", "ssis", noun, name,
		revision, json);
	if (!rc)
		rc = history_write(store, revision, new, json);
	free(json);
	if (!rc)
		rc = object_secrets(new, keep_secret, &(struct seal){store, old});
	return rc;
}

// "circuit acme-ams-01", or with more: "circuit acme-ams-01 and 3 more".
static void name_objects(const struct model_diff *diff, char text[OBJECT_NAME_MAX + 64])
{
	text[0] = '\0';
	if (diff->count == 0)
		return;
	const struct object *first = diff->item[0].new ? diff->item[0].new : diff->item[0].old;
	if (diff->count == 1)
		snprintf(text, OBJECT_NAME_MAX + 64, "%s %s", first->noun->name, first->name);
	else
		snprintf(text, OBJECT_NAME_MAX + 64, "%s %s and %u more", first->noun->name,
			first->name, diff->count - 1);
}

static int transaction(struct store *store, const struct store_commit *commit,
	const struct model_diff *diff, int64_t revision, struct ids_change *ids)
{
	char objects[OBJECT_NAME_MAX + 64];
	char actor[ACTOR_MAX];

	actor_name(commit->actor, actor);
	int rc = execute(store,
		"INSERT INTO revisions (revision, time, actor, on_behalf, verb, digest, objects) "
		"VALUES (?, ?, ?, ?, ?, ?, ?)",
		"iisssii", revision, store_now(), actor, commit->on_behalf, commit->verb,
		(int64_t)model_digest(commit->new), (int64_t)diff->count);
	if (!rc && commit->again)
		rc = execute(store, "UPDATE revisions SET again = ? WHERE revision = ?", "ii",
			(int64_t)*commit->again, revision);
	if (!rc && commit->settles)
		rc = pending_settle(store);
	if (!rc && commit->confirm_ms)
		rc = pending_write(store, commit, (uint64_t)revision - 1, (uint64_t)revision, actor);
	if (!rc)
		rc = execute(store, "INSERT OR REPLACE INTO meta VALUES ('written-by', ?)", "s",
			CULVERT_VERSION);

	for (unsigned int i = 0; i < diff->count && !rc; i++)
		if (leaves_name(&diff->item[i]))
			rc = remove_object(store, commit->new, revision, diff->item[i].old);
	for (unsigned int i = 0; i < diff->count && !rc; i++)
		if (diff->item[i].new)
			rc = write_object(store, revision, diff->item[i].old, diff->item[i].new);
	if (!rc)
		rc = ids_change(store, diff, ids);
	name_objects(diff, objects);
	if (!rc)
		rc = audit_change(store, commit, diff, objects, revision);
	return rc;
}

int store_commit(struct store *store, const struct store_commit *commit, uint64_t *revision,
	struct ids **ids, struct api_error *error)
{
	struct model_diff *diff = model_diff(commit->old, commit->new);
	struct ids_change change = {0};
	int64_t next;
	int rc;

	if (!diff)
		return api_fail(error, API_INTERNAL, NULL, "not enough memory");
	next = query_integer(store, 0, "SELECT max(revision) FROM revisions", "") + 1;
	rc = store->behind ? vouch_checkpoint(store) : 0;
	if (!rc)
		rc = audit_write(store); // what was done before stands before
	if (!rc)
		rc = store_begin(store);
	if (!rc)
		rc = transaction(store, commit, diff, next, &change);
	int gone = rc ? 0 : place_check(store, error);
	rc = store_end(store, gone ? gone : rc);
	model_diff_free(diff);
	if (rc) {
		if (!gone)
			store_fail(store, error, "cannot write");
		store_undo(store);
		ids_discard(&change);
		return rc;
	}
	rc = ids_commit(store, &change);
	if (rc) {
		// On disk all is well; a restart reads it.
		ids_discard(&change);
		return api_fail(error, API_INTERNAL, "restart culvertd",
			"not enough memory after a commit");
	}
	vouch_rest(store);
	*revision = (uint64_t)next;
	*ids = ids_ref(store->ids);
	return 0;
}
