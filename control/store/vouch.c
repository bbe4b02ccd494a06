// SPDX-License-Identifier: BSD-3-Clause
// What the store vouches for: the tables by which customers are kept apart - objects, ids, secrets - are as the last
// commit left them, and all of them are there. Who edits the database with another tool, or takes a row away, has no key,
// and is named when it is next read.
//
// Each row has a keyed hash, and the rows' hashes add up to one number, so that a commit costs what it changes: triggers
// of this connection add and take away. Only a keyed hash of the sum, together with the newest revision, stands in the
// database, so nobody sees what could be added up to something else (Bellare, Micciancio: A new paradigm for
// collision-free hashing, 1997).
//
// SQLite's log of changes that are not in the file yet is a file of its own, and whoever copies one without the other has
// an older model that looks whole. So a mark goes into the file with every checkpoint, and what takes it back is the
// first thing in the log: together they have no mark, whoever puts them together, and the file alone has one.

#include "control/store/store_internal.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_PAGES 1000 // in the log, until they go into the file

// The last two came later and are empty in a store that was sealed without them.
static const char *const tables[] = {"objects", "ids", "secrets", "pending", "released"};

// --- the sum of all rows ---------------------------------------------------------------------------------

static void add(struct row_sum *sum, const struct row_sum *row, bool take_away)
{
	uint64_t carry = take_away;

	for (unsigned int i = 0; i < SUM_WORDS; i++) {
		uint64_t other = take_away ? ~row->word[i] : row->word[i], before = sum->word[i];
		sum->word[i] += other + carry;
		carry = carry ? sum->word[i] <= before : sum->word[i] < before;
	}
}

static void hash_value(crypto_generichash_state *state, sqlite3_value *value)
{
	int type = sqlite3_value_type(value);
	const void *bytes = type == SQLITE_NULL ? NULL : sqlite3_value_blob(value);
	uint32_t head[2] = {(uint32_t)type, (uint32_t)sqlite3_value_bytes(value)};

	crypto_generichash_update(state, (const uint8_t *)head, sizeof(head));
	if (bytes != NULL)
		crypto_generichash_update(state, bytes, head[1]);
}

// seal_row(sign, table, column...): called by the triggers, and for each row when the store is opened.
static void seal_row(sqlite3_context *context, int count, sqlite3_value **value)
{
	struct store *store = sqlite3_user_data(context);
	crypto_generichash_state state;
	struct row_sum row;
	bool take_away = sqlite3_value_int(value[0]) < 0;

	crypto_generichash_init(&state, store->seal_key, sizeof(store->seal_key), sizeof(row));
	for (int i = 1; i < count; i++)
		hash_value(&state, value[i]);
	crypto_generichash_final(&state, (uint8_t *)&row, sizeof(row));
	add(&store->sum, &row, take_away);
	sqlite3_result_int(context, 0);
}

// "OLD.noun, OLD.name, ..": the table's columns as they are declared.
static int columns(struct store *store, const char *table, const char *of, char *text, size_t size)
{
	char sql[96];
	sqlite3_stmt *row = NULL;
	size_t used = 0;

	snprintf(sql, sizeof(sql), "SELECT name FROM pragma_table_info('%s') ORDER BY cid", table);
	if (sqlite3_prepare_v2(store->db, sql, -1, &row, NULL) != SQLITE_OK)
		return -EIO;
	while (sqlite3_step(row) == SQLITE_ROW && used < size)
		used += (size_t)snprintf(
			text + used, size - used, ", %s%s", of, column_text(row, 0));
	sqlite3_finalize(row);
	return used > 0 && used < size ? 0 : -EIO;
}

static int watch_table(struct store *store, const char *table)
{
	char old[256], new[256], sql[2048];

	if (columns(store, table, "OLD.", old, sizeof(old)) ||
		columns(store, table, "NEW.", new, sizeof(new)))
		return -EIO;
	snprintf(sql, sizeof(sql),
		"CREATE TEMP TRIGGER seal_%s_come AFTER INSERT ON main.%s BEGIN"
		" SELECT seal_row(1, '%s'%s); END;"
		"CREATE TEMP TRIGGER seal_%s_go AFTER DELETE ON main.%s BEGIN"
		" SELECT seal_row(-1, '%s'%s); END;"
		"CREATE TEMP TRIGGER seal_%s_change AFTER UPDATE ON main.%s BEGIN"
		" SELECT seal_row(-1, '%s'%s); SELECT seal_row(1, '%s'%s); END;",
		table, table, table, new, table, table, table, old, table, table, table, old, table,
		new);
	return run_sql(store, sql);
}

static int sum_up(struct store *store, const char *table)
{
	char names[256], sql[512];

	if (columns(store, table, "", names, sizeof(names)))
		return -EIO;
	snprintf(sql, sizeof(sql), "SELECT sum(seal_row(1, '%s'%s)) FROM %s", table, names, table);
	return run_sql(store, sql);
}

int vouch_watch_new(struct store *store)
{
	for (unsigned int i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		int64_t there = query_integer(store, 0,
			"SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", "s", tables[i]);
		if (there == 0 || store->watched & 1u << i) // an older version has fewer
			continue;
		if (sum_up(store, tables[i]) || watch_table(store, tables[i]))
			return -EIO;
		store->watched |= 1u << i;
	}
	return 0;
}

int vouch_watch(struct store *store)
{
	static const char what[] = "what the store vouches for";

	crypto_generichash(store->seal_key, sizeof(store->seal_key), (const uint8_t *)what,
		sizeof(what), store->key, sizeof(store->key));
	store->sum = (struct row_sum){0};
	if (run_sql(store, "PRAGMA recursive_triggers = ON") || // what REPLACE takes away is seen, too
		sqlite3_create_function(store->db, "seal_row", -1, SQLITE_UTF8, store, seal_row,
			NULL, NULL) != SQLITE_OK)
		return -EIO;
	int rc = vouch_watch_new(store);
	store->committed = store->sum;
	return rc;
}

// --- the seal --------------------------------------------------------------------------------------------

static void make_seal(struct store *store, uint8_t seal[SEAL_BYTES])
{
	crypto_generichash_state state;
	int64_t head[2] = {
		query_integer(store, 0, "SELECT max(revision) FROM revisions", ""),
		query_integer(store, 0,
			"SELECT digest FROM revisions ORDER BY revision DESC LIMIT 1", ""),
	};

	crypto_generichash_init(&state, store->seal_key, sizeof(store->seal_key), SEAL_BYTES);
	crypto_generichash_update(&state, store->uuid, sizeof(store->uuid));
	crypto_generichash_update(&state, (const uint8_t *)head, sizeof(head));
	crypto_generichash_update(&state, (const uint8_t *)&store->sum, sizeof(store->sum));
	crypto_generichash_final(&state, seal, SEAL_BYTES);
}

static int write_seal(struct store *store)
{
	uint8_t seal[SEAL_BYTES];

	make_seal(store, seal);
	return execute(store, "INSERT OR REPLACE INTO meta VALUES ('seal', ?)", "b", seal,
		(int)sizeof(seal));
}

// True: it is that of what is there. *found: there is one.
static bool seal_fits(struct store *store, bool *found)
{
	uint8_t seal[SEAL_BYTES];
	sqlite3_stmt *row = query(store, "SELECT value FROM meta WHERE key = 'seal'", "");

	*found = row && sqlite3_step(row) == SQLITE_ROW;
	make_seal(store, seal);
	bool fits = *found && sqlite3_column_bytes(row, 0) == SEAL_BYTES &&
		    sodium_memcmp(sqlite3_column_blob(row, 0), seal, SEAL_BYTES) == 0;
	finish(row);
	return fits;
}

// --- transactions ----------------------------------------------------------------------------------------

int store_begin(struct store *store)
{
	store->changes = sqlite3_total_changes64(store->db);
	return run_sql(store, "BEGIN IMMEDIATE");
}

int store_end(struct store *store, int rc)
{
	// What changes nothing writes nothing: on a full disk it could not. While it is not known whose the rows are, ours
	// among them do not vouch for the others.
	if (!rc && store->doubt[0] == '\0' &&
		sqlite3_total_changes64(store->db) != store->changes)
		rc = write_seal(store);
	if (!rc)
		rc = run_sql(store, "COMMIT");
	if (!rc)
		store->committed = store->sum;
	else if (store_is_full(store))
		store->behind = true;
	return rc;
}

void store_undo(struct store *store)
{
	run_sql(store, "ROLLBACK");
	store->sum = store->committed;
	store->lines = 0; // what was pruned is there again
}

// --- doubts ----------------------------------------------------------------------------------------------

bool vouch_log_exists(const struct store *store)
{
	char *name = NULL;
	struct stat status;
	bool there = asprintf(&name, "%s-wal", store->path) >= 0 && stat(name, &status) == 0;

	free(name);
	return there;
}

static bool marked(struct store *store, const char *key)
{
	return query_integer(store, 0, "SELECT count(*) FROM meta WHERE key = ?", "s", key) != 0;
}

static int mark(struct store *store, const char *key)
{
	return execute(store, "INSERT OR REPLACE INTO meta VALUES (?, CAST(1 AS BLOB))", "s", key);
}

static void judge(struct store *store, bool log_missing)
{
	bool found, fits = seal_fits(store, &found);
	int64_t revision = query_integer(store, 0, "SELECT max(revision) FROM revisions", "");

	if (log_missing)
		snprintf(store->doubt, sizeof(store->doubt),
			"the store %s lacks its log of changes (%s-wal): it was copied from a "
			"running culvertd, or the log was removed; what came after its revision "
			"%lld is missing",
			store->path, store->path, (long long)revision);
	else if (!fits && (found || !store->unsealed))
		snprintf(store->doubt, sizeof(store->doubt),
			"the store %s was changed by something else than culvertd: its objects, "
			"ids and passwords are not as revision %lld left them",
			store->path, (long long)revision);
}

int vouch_checkpoint(struct store *store)
{
	int rc = mark(store, "log");

	if (!rc)
		rc = run_sql(store, "PRAGMA wal_checkpoint(TRUNCATE)");
	if (!rc)
		rc = execute(store, "DELETE FROM meta WHERE key = 'log'", "");
	store->log_pages = 0;
	store->behind = rc != 0 && store_is_full(store);
	return rc;
}

static int on_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
	((struct store *)ctx)->log_pages = pages;
	return SQLITE_OK;
}

void vouch_rest(struct store *store)
{
	if (store->log_pages > LOG_PAGES)
		vouch_checkpoint(store); // what fails is tried with the next change
}

int vouch_open(struct store *store, bool had_log, struct api_error *error)
{
	bool missing = marked(store, "log-missing") || (marked(store, "log") && !had_log);

	judge(store, missing);
	int rc = store_begin(store);
	if (!rc && missing && !marked(store, "log-missing"))
		rc = mark(store, "log-missing"); // also to the next culvertd
	if (!rc && store->unsealed && store->doubt[0] == '\0')
		rc = key_check_write(store, true);
	rc = store_end(store, rc);
	if (rc) {
		store_fail(store, error, "cannot mark");
		store_undo(store);
		return rc;
	}
	sqlite3_wal_hook(store->db, on_log, store); // in place of SQLite's own checkpoints
	if (vouch_checkpoint(store) && !store->behind) // else it is all in the log, as the last culvertd left it
		return store_fail(store, error, "cannot write");
	return 0;
}

int store_accept(struct store *store)
{
	if (store->doubt[0] == '\0')
		return 0;
	store->doubt[0] = '\0';
	int rc = store_begin(store);
	if (!rc)
		rc = execute(store, "DELETE FROM meta WHERE key = 'log-missing'", "");
	if (!rc && store->unsealed)
		rc = key_check_write(store, true);
	if (!rc)
		rc = write_seal(store); // also when no row is another
	rc = store_end(store, rc);
	if (rc)
		store_undo(store);
	return rc;
}
