// SPDX-License-Identifier: BSD-3-Clause
// Opening the store: SQLite with write-ahead log, full synchronisation and an exclusive lock, so that a
// second culvertd finds out at once. A file that is not ours, is damaged, or was written by a newer version
// is refused before anything is read from it: acting on half a model would sweep the network.

#include "control/store/store_internal.h"

#include "control/api/methods.h"

#include "dataplane/wire/directory.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define APPLICATION_ID 0x434c5654 // "CLVT"

// --- SQL -----------------------------------------------------------------------------------------------

int64_t store_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

static sqlite3_stmt *prepared(struct store *store, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	for (unsigned int i = 0; i < store->statements; i++) {
		if (store->statement[i].sql == sql)
			return store->statement[i].prepared;
	}
	if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL))
		return NULL;
	struct statement *all = reallocarray(store->statement, store->statements + 1, sizeof(*all));
	if (!all)
		abort();
	all[store->statements++] = (struct statement){sql, statement};
	store->statement = all;
	return statement;
}

void finish(sqlite3_stmt *statement)
{
	if (!statement)
		return;
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

static sqlite3_stmt *query_list(
	struct store *store, const char *sql, const char *types, va_list args)
{
	sqlite3_stmt *statement = prepared(store, sql);
	int rc = statement ? SQLITE_OK : SQLITE_ERROR;

	for (int i = 1; rc == SQLITE_OK && *types; i++, types++) {
		if (*types == 's') {
			rc = sqlite3_bind_text(
				statement, i, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
		} else if (*types == 'i') {
			rc = sqlite3_bind_int64(statement, i, va_arg(args, int64_t));
		} else {
			const void *bytes = va_arg(args, const void *);
			rc = sqlite3_bind_blob(
				statement, i, bytes, va_arg(args, int), SQLITE_TRANSIENT);
		}
	}
	if (rc == SQLITE_OK)
		return statement;
	finish(statement);
	return NULL;
}

sqlite3_stmt *query(struct store *store, const char *sql, const char *types, ...)
{
	va_list args;

	va_start(args, types);
	sqlite3_stmt *statement = query_list(store, sql, types, args);
	va_end(args);
	return statement;
}

int execute(struct store *store, const char *sql, const char *types, ...)
{
	va_list args;

	va_start(args, types);
	sqlite3_stmt *statement = query_list(store, sql, types, args);
	va_end(args);
	if (!statement)
		return -EIO;
	int rc = sqlite3_step(statement);
	finish(statement);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -EIO;
}

int64_t query_integer(struct store *store, int64_t none, const char *sql, const char *types, ...)
{
	va_list args;

	va_start(args, types);
	sqlite3_stmt *statement = query_list(store, sql, types, args);
	va_end(args);
	int64_t value = none;
	if (statement && sqlite3_step(statement) == SQLITE_ROW &&
		sqlite3_column_type(statement, 0) != SQLITE_NULL)
		value = sqlite3_column_int64(statement, 0);
	finish(statement);
	return value;
}

const char *column_text(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text ? (const char *)text : "";
}

int run_sql(struct store *store, const char *text)
{
	return sqlite3_exec(store->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

bool store_is_full(struct store *store)
{
	int code = sqlite3_errcode(store->db) & 0xff, why = sqlite3_system_errno(store->db);

	return code == SQLITE_FULL || (code == SQLITE_IOERR && (why == ENOSPC || why == EDQUOT));
}

int store_fail(struct store *store, struct api_error *error, const char *doing)
{
	int code = sqlite3_errcode(store->db) & 0xff;
	bool busy = code == SQLITE_BUSY || code == SQLITE_LOCKED;
	int why = code == SQLITE_IOERR ? sqlite3_system_errno(store->db) : 0;
	const char *hint = NULL;

	if (store_is_full(store))
		hint = "make room on its file system (df -h); what runs goes on";
	else if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		hint = "restore it from a backup, or move it away and apply the configuration file";
	else if (busy)
		hint = "only one culvertd may use a store; stop the other or give another path";
	else if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN || code == SQLITE_PERM || why == EROFS)
		hint = "it must belong to culvertd's user, on a file system that can be written";
	else if (code == SQLITE_IOERR)
		hint = "look at its disk (dmesg); what runs goes on";
	return api_fail(error, busy ? API_CONFLICT : API_REFUSED, hint, "%s the store %s: %s%s%s", doing,
		store->path,
		busy                   ? "another process has it open"
		: store_is_full(store) ? "its file system is full"
				       : sqlite3_errmsg(store->db),
		why && !store_is_full(store) ? ": " : "",
		why && !store_is_full(store) ? strerror(why) : "");
}

// --- opening -------------------------------------------------------------------------------------------

static bool is_backup(int fd)
{
	char front[sizeof(API_BACKUP_MAGIC)] = "";

	return pread(fd, front, sizeof(front) - 1, 0) == sizeof(front) - 1 &&
	       strcmp(front, API_BACKUP_MAGIC) == 0;
}

// Makes the file 0600 before SQLite sees it, and looks whether it can be ours at all.
static int prepare_file(struct store *store, struct api_error *error)
{
	static const char magic[16] = "SQLite format 3";
	char header[16] = "";
	struct stat status;
	char restore[sizeof(error->hint)];

	snprintf(restore, sizeof(restore), "culvertctl restore --replace %.200s", store->path);
	directory_above(store->path, 0755);
	int fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return api_fail(error, API_REFUSED,
			"its directory must exist and belong to culvertd's user",
			"cannot open the store %s: %s", store->path, strerror(errno));
	int rc = fstat(fd, &status) ? -errno : 0;
	if (!rc && !S_ISREG(status.st_mode))
		rc = api_fail(error, API_REFUSED, "give another path", "the store %s is not a file",
			store->path);
	else if (!rc && status.st_size && is_backup(fd))
		rc = api_fail(error, API_REFUSED, restore, "%s is a backup, not a store", store->path);
	else if (!rc && status.st_size &&
		 (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
			 memcmp(header, magic, sizeof(magic))))
		rc = api_fail(error, API_REFUSED, "give another path", "%s is not a Culvert store",
			store->path);
	else if (!rc && status.st_mode & 077 && fchmod(fd, 0600))
		rc = api_fail(error, API_REFUSED, "chmod 600", "the store %s can be read by others",
			store->path);
	close(fd);
	return rc;
}

static int create(struct store *store, struct api_error *error)
{
	char pragma[64];

	randombytes_buf(store->uuid, sizeof(store->uuid));
	store->uuid[6] = (store->uuid[6] & 0x0f) | 0x40;
	store->uuid[8] = (store->uuid[8] & 0x3f) | 0x80;
	snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		APPLICATION_ID, store_schema());
	if (run_sql(store, "BEGIN IMMEDIATE") || run_sql(store, store_tables) || run_sql(store, pragma) ||
		execute(store, "INSERT INTO meta VALUES ('uuid', ?)", "b", store->uuid,
			(int)sizeof(store->uuid)) ||
		ids_seed(store))
		return store_fail(store, error, "cannot create");
	int rc = key_open(store, true, error);
	if (rc)
		return rc;
	return run_sql(store, "COMMIT") ? store_fail(store, error, "cannot create") : 0;
}

static int check_ours(struct store *store, struct api_error *error)
{
	int64_t application = query_integer(store, 0, "PRAGMA application_id", "");
	int64_t version = query_integer(store, 0, "PRAGMA user_version", "");
	int rc = 0;

	if (application != APPLICATION_ID || version < 1)
		return api_fail(error, API_REFUSED, "give another path",
			"%s is not a Culvert store", store->path);
	if (version > store_schema())
		return api_fail(error, API_REFUSED, "start the newer culvertd, or restore a backup",
			"the store %s was written by a newer version (schema %d, this one knows "
			"%d)",
			store->path, (int)version, store_schema());
	sqlite3_stmt *row = query(store, "PRAGMA quick_check(1)", "");
	if (!row || sqlite3_step(row) != SQLITE_ROW || strcmp(column_text(row, 0), "ok"))
		rc = api_fail(error, API_REFUSED,
			"restore it from a backup, or move it away and apply the configuration "
			"file",
			"the store %s is damaged: %.200s", store->path,
			row ? column_text(row, 0) : sqlite3_errmsg(store->db));
	finish(row);
	if (rc)
		return rc;
	row = query(store, "SELECT value FROM meta WHERE key = 'uuid'", "");
	if (!row || sqlite3_step(row) != SQLITE_ROW ||
		sqlite3_column_bytes(row, 0) != (int)sizeof(store->uuid))
		rc = api_fail(error, API_REFUSED, "restore it from a backup",
			"the store %s has no uuid", store->path);
	else
		memcpy(store->uuid, sqlite3_column_blob(row, 0), sizeof(store->uuid));
	finish(row);
	return rc ? rc : key_open(store, false, error);
}

int store_open(struct store **out, const struct store_options *options, struct api_error *error)
{
	struct store *store = calloc(1, sizeof(*store));
	int rc;

	*out = NULL;
	if (!store)
		return -ENOMEM;
	STAILQ_INIT(&store->waiting);
	store->options = options->model;
	store->quarantine = options->quarantine ? options->quarantine : 3600;
	store->keep_revisions = options->keep_revisions ? options->keep_revisions : 10000;
	store->keeps_old = !options->restoring;
	store->keep_audit = options->keep_audit ? options->keep_audit : 100000;
	store->path = strdup(options->path);
	if (options->key_path)
		store->key_path = strdup(options->key_path);
	else if (asprintf(&store->key_path, "%s.key", options->path) < 0)
		store->key_path = NULL;
	rc = store->path && store->key_path && sodium_init() >= 0 ? 0 : -ENOMEM;
	bool had_log = !rc && vouch_log_exists(store);
	if (!rc)
		rc = prepare_file(store, error);
	if (rc)
		goto fail;
	if (sqlite3_open_v2(
		    store->path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ||
		run_sql(store, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA "
			   "synchronous = FULL;"
			   "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; BEGIN IMMEDIATE; COMMIT;")) {
		rc = store_fail(store, error, "cannot open");
		goto fail;
	}
	if (query_integer(store, -1, "SELECT count(*) FROM sqlite_master", "") == 0)
		rc = create(store, error);
	else
		rc = check_ours(store, error);
	if (!rc && vouch_watch(store))
		rc = store_fail(store, error, "cannot read");
	if (!rc)
		rc = vouch_open(store, had_log, error);
	if (!rc)
		rc = store_migrate(store, error);
	if (!rc && ids_load(store))
		rc = store_fail(store, error, "cannot read the ids of");
	if (rc)
		goto fail;
	place_remember(store);
	*out = store;
	return 0;
fail:
	store_close(store);
	return rc;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	audit_write(store);
	audit_forget(store);
	ids_unref(store->ids);
	for (unsigned int i = 0; i < store->statements; i++)
		sqlite3_finalize(store->statement[i].prepared);
	free(store->statement);
	sqlite3_close(store->db);
	sodium_memzero(store->key, sizeof(store->key));
	sodium_memzero(store->seal_key, sizeof(store->seal_key));
	free(store->path);
	free(store->key_path);
	free(store);
}
