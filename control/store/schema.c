// SPDX-License-Identifier: BSD-3-Clause
// The tables, and what takes a store that an older version wrote to what this one reads: tables, and the fields of every
// object and of its history. All of it is one transaction, after it is known whose the rows are. The old file stays beside
// the new one, for who goes back to the older version.

#include "control/store/store_internal.h"

#include <jansson.h>

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What deleted objects counted last. key: as in ids; counters NULL: they have not been read yet.
#define FINALS                                                                                     \
	"CREATE TABLE finals (uid INTEGER PRIMARY KEY, class INTEGER, key TEXT, deleted INTEGER,"  \
	" time INTEGER, counters TEXT);"

// Which revision goes back by itself, and when: pending.c.
#define PENDING                                                                                    \
	"CREATE TABLE pending (revision INTEGER PRIMARY KEY, before INTEGER NOT NULL, actor TEXT " \
	"NOT NULL, until INTEGER NOT NULL, boot TEXT NOT NULL, until_boot INTEGER NOT NULL, span " \
	"INTEGER NOT NULL, decider TEXT NOT NULL, decided INTEGER NOT NULL);"
// What secrets the rows of the history need: history.c.
#define SECRET_USES                                                                                \
	"CREATE INDEX history_object ON history (noun, name, revision);"                           \
	"CREATE TABLE secret_uses (fingerprint TEXT, revision INTEGER, noun TEXT, name TEXT,"      \
	" PRIMARY KEY (fingerprint, revision, noun, name)) WITHOUT ROWID;"                         \
	"CREATE INDEX secret_uses_row ON secret_uses (revision, noun, name);"
// Whose the numbers in quarantine were: ids.c.
#define RELEASED                                                                                   \
	"CREATE TABLE released (class INTEGER, id INTEGER, key TEXT NOT NULL, PRIMARY KEY (class," \
	" id), UNIQUE (class, key)) WITHOUT ROWID;"

const char store_tables[] =
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE objects (noun TEXT, name TEXT, revision INTEGER NOT NULL, json TEXT NOT NULL,"
	" PRIMARY KEY (noun, name)) WITHOUT ROWID;"
	"CREATE TABLE revisions (revision INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT "
	"NOT NULL,"
	" on_behalf TEXT, verb TEXT NOT NULL, digest INTEGER NOT NULL, objects INTEGER NOT NULL, again INTEGER);"
	// json NULL: deleted in that revision.
	"CREATE TABLE history (revision INTEGER, noun TEXT, name TEXT, json TEXT,"
	" PRIMARY KEY (revision, noun, name)) WITHOUT ROWID;"
	"CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, actor "
	"TEXT NOT NULL,"
	" on_behalf TEXT, verb TEXT NOT NULL, object TEXT, result TEXT NOT NULL, revision INTEGER,"
	" changes TEXT);"
	// key NULL: in quarantine since `released`, or free.
	"CREATE TABLE ids (class INTEGER, id INTEGER, uid INTEGER NOT NULL UNIQUE, key TEXT, "
	"released INTEGER,"
	" PRIMARY KEY (class, id), UNIQUE (class, key)) WITHOUT ROWID;"
	"CREATE INDEX ids_free ON ids (class, released) WHERE key IS NULL;"
	"CREATE TABLE secrets (fingerprint TEXT PRIMARY KEY, nonce BLOB NOT NULL, sealed BLOB NOT "
	"NULL) WITHOUT ROWID;" FINALS PENDING SECRET_USES RELEASED;

#define DESCRIPTION_MAX 255 // what a text field holds

static const char *text_of(const json_t *fields, const char *name)
{
	return json_string_value(json_object_get(fields, name));
}

// Cut where a character begins; a circuit may come with two texts of that length.
static void describe(json_t *fields, const char *text)
{
	size_t length = strlen(text);

	if (length > DESCRIPTION_MAX) {
		length = DESCRIPTION_MAX;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	json_object_set_new(fields, "description", json_stringn(text, length));
}

// Providers, locations and organisations are objects since: what was free text is a description. A port's capacity is the
// part of its speed that may be sold.
static bool catalog(const char *noun, json_t *fields)
{
	const char *provider = text_of(fields, "provider"), *location = text_of(fields, "location");
	const char *owner = text_of(fields, "owner");
	char text[600];

	if (!strcmp(noun, "circuit") && (provider || location)) {
		snprintf(text, sizeof(text), "%s%s%s%s%s", provider ? "provider: " : "",
			provider ? provider : "", provider && location ? ", " : "",
			location ? "location: " : "", location ? location : "");
		json_object_del(fields, "provider");
		json_object_del(fields, "location");
		describe(fields, text);
		return true;
	}
	if (!strcmp(noun, "customer") && owner) {
		snprintf(text, sizeof(text), "%s", owner);
		json_object_del(fields, "owner");
		describe(fields, text);
		return true;
	}
	if (!strcmp(noun, "port") && json_object_get(fields, "capacity")) {
		json_object_set(fields, "speed", json_object_get(fields, "capacity"));
		json_object_set_new(fields, "oversubscription", json_integer(100));
		json_object_del(fields, "capacity");
		return true;
	}
	return false;
}

// steps[i] takes a store of version i + 1 to the next one. A step is never changed once it was released.
static const struct migration steps[] = {
	{.sql = "ALTER TABLE audit ADD COLUMN changes TEXT;" FINALS},
	// What was pruned of the history cannot be known: where that was done, no revision of before is taken up again.
	{.sql =
			"ALTER TABLE revisions ADD COLUMN again INTEGER;" PENDING SECRET_USES RELEASED
			"INSERT INTO meta SELECT 'history-from', max(revision) FROM revisions HAVING min(revision) > 1;"
			"INSERT OR IGNORE INTO history SELECT revision, noun, name, json FROM objects;"
			"INSERT OR IGNORE INTO secret_uses SELECT t.atom, h.revision, h.noun, h.name FROM history h, "
			"json_tree(CASE WHEN json_valid(h.json) THEN h.json END) t WHERE t.key = 'keep' AND t.type = 'text';"},
	{.fields = catalog},
};

int store_schema(void)
{
	return 1 + (int)(sizeof(steps) / sizeof(steps[0]));
}

// migrated(noun, json): what the step makes of the text.
static void migrated(sqlite3_context *context, int count, sqlite3_value **value)
{
	const struct migration *step = sqlite3_user_data(context);
	json_t *fields = json_loads((const char *)sqlite3_value_text(value[1]), 0, NULL);
	char *text = NULL;

	if (fields && step->fields((const char *)sqlite3_value_text(value[0]), fields))
		text = json_dumps(fields, JSON_COMPACT);
	json_decref(fields);
	if (text)
		sqlite3_result_text(context, text, -1, free);
	else
		sqlite3_result_value(context, value[1]);
}

static int take(struct store *store, const struct migration *step)
{
	if (step->sql && (run_sql(store, step->sql) || vouch_watch_new(store)))
		return -EIO;
	if (!step->fields)
		return 0;
	if (sqlite3_create_function(store->db, "migrated", 2, SQLITE_UTF8,
		    (void *)(uintptr_t)step, migrated, NULL, NULL) != SQLITE_OK)
		return -EIO;
	// What the newest revision's digest was made from is not there any more.
	return run_sql(store,
		"UPDATE objects SET json = migrated(noun, json);"
		"UPDATE history SET json = migrated(noun, json) WHERE json IS NOT NULL;"
		"DELETE FROM meta WHERE key = 'written-by';");
}

int store_take(struct store *store, const struct migration *all, int from, int to)
{
	char pragma[64];
	int rc = store_begin(store);

	for (int version = from; version < to && !rc; version++)
		rc = take(store, &all[version - 1]);
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d;", to);
	if (!rc)
		rc = run_sql(store, pragma);
	return store_end(store, rc);
}

static int synchronise(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

// Whole under its name or not there.
static int keep_old(struct store *store, int version, struct api_error *error)
{
	char *kept = NULL, *partial = NULL, *directory = NULL;
	int rc = asprintf(&kept, "%s.schema-%d", store->path, version) < 0 ||
				 asprintf(&partial, "%s.new", kept) < 0 ||
				 !(directory = strdup(store->path))
			 ? -ENOMEM
			 : 0;

	if (rc)
		abort();
	unlink(partial);
	int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		rc = -errno;
	else
		close(fd);
	if (!rc && execute(store, "VACUUM INTO ?", "s", partial))
		rc = store_fail(store, error, "cannot copy");
	if (!rc)
		rc = synchronise(partial, O_RDWR);
	if (!rc && rename(partial, kept) < 0)
		rc = -errno;
	char *slash = strrchr(directory, '/');
	if (slash)
		slash[1] = '\0';
	if (!rc)
		rc = synchronise(slash ? directory : ".", O_RDONLY | O_DIRECTORY);
	if (rc)
		unlink(partial);
	if (rc && error->code == API_NONE)
		api_fail(error, API_REFUSED, "make room for a second one, or look at its directory",
			"the store %s is of an older version and cannot be copied to %s: %s", store->path,
			kept, strerror(-rc));
	free(directory);
	free(partial);
	free(kept);
	return rc;
}

int store_migrate(struct store *store, struct api_error *error)
{
	int version = (int)query_integer(store, 0, "PRAGMA user_version", "");

	if (version == store_schema())
		return 0;
	int rc = store->keeps_old ? keep_old(store, version, error) : 0;
	if (rc)
		return rc;
	rc = store_take(store, steps, version, store_schema());
	if (rc) {
		store_fail(store, error, "cannot migrate");
		store_undo(store);
		return rc;
	}
	store->migrated_from = version;
	return 0;
}
