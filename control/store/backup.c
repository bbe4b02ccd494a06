// SPDX-License-Identifier: BSD-3-Clause
// A backup is one file: a line that says what it is, a line of JSON that says of what, the key, the database as SQLite's
// online backup copies it, and a digest of all that. It is all that another machine needs, passwords too.
//
// Restoring asks everything before it touches anything: whether the file is whole and of a version that we know, whether
// somebody has the store open, whether there is one at all. The database is opened once under another name, with all that
// opening checks, before it takes its place.

#include "control/store/store_internal.h"

#include "control/api/methods.h"

#include "dataplane/wire/directory.h"

#include <jansson.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION      1
#define DIGEST       32
#define HEADER_MAX   4096
#define UIDS_SKIPPED (1 << 20) // that a store which was lost may have given since the backup

// --- making one ------------------------------------------------------------------------------------------

static int write_all(int fd, crypto_generichash_state *digest, const void *bytes, size_t length)
{
	const char *from = bytes;

	if (digest != NULL)
		crypto_generichash_update(digest, bytes, length);
	while (length > 0) {
		ssize_t written = write(fd, from, length);
		if (written < 0 && errno != EINTR)
			return -errno;
		if (written > 0) {
			from += written;
			length -= (size_t)written;
		}
	}
	return 0;
}

// The database as bytes of a file, for sqlite3_free(); not open any more.
static unsigned char *copy_database(struct store *store, sqlite3_int64 *size)
{
	unsigned char *bytes = NULL;
	sqlite3 *copy = NULL;

	if (sqlite3_open(":memory:", &copy) == SQLITE_OK) {
		sqlite3_backup *backup = sqlite3_backup_init(copy, "main", store->db, "main");
		bool done = backup != NULL && sqlite3_backup_step(backup, -1) == SQLITE_DONE;
		sqlite3_backup_finish(backup);
		if (done && sqlite3_exec(copy, "DELETE FROM meta WHERE key = 'log'", NULL, NULL,
				    NULL) == SQLITE_OK)
			bytes = sqlite3_serialize(copy, "main", size, 0);
	}
	sqlite3_close(copy);
	return bytes;
}

static json_t *about(struct store *store, sqlite3_int64 size)
{
	char uuid[2 * sizeof(store->uuid) + 1];

	sodium_bin2hex(uuid, sizeof(uuid), store->uuid, sizeof(store->uuid));
	return json_pack("{s:s, s:I, s:s, s:I, s:I, s:I}", "culvert", CULVERT_VERSION, "schema",
		(json_int_t)query_integer(store, 0, "PRAGMA user_version", ""), "store", uuid,
		"revision",
		(json_int_t)query_integer(store, 0, "SELECT max(revision) FROM revisions", ""),
		"time", (json_int_t)store_now(), "database", (json_int_t)size);
}

int store_backup(struct store *store, int fd, json_t **out, struct api_error *error)
{
	sqlite3_int64 size = 0;
	unsigned char *bytes = copy_database(store, &size);

	if (bytes == NULL)
		return api_fail(error, API_INTERNAL, "see how much memory there is",
			"the store %s cannot be copied", store->path);
	json_t *header = about(store, size);
	char *line = json_dumps(header, JSON_COMPACT | JSON_SORT_KEYS), first[32];
	crypto_generichash_state digest;
	uint8_t end[DIGEST];
	int length = snprintf(first, sizeof(first), API_BACKUP_MAGIC "%d\n", VERSION);
	crypto_generichash_init(&digest, NULL, 0, sizeof(end));
	int rc = line != NULL ? write_all(fd, &digest, first, (size_t)length) : -ENOMEM;
	if (!rc)
		rc = write_all(fd, &digest, line, strlen(line));
	if (!rc)
		rc = write_all(fd, &digest, "\n", 1);
	if (!rc)
		rc = write_all(fd, &digest, store->key, sizeof(store->key));
	if (!rc)
		rc = write_all(fd, &digest, bytes, (size_t)size);
	crypto_generichash_final(&digest, end, sizeof(end));
	if (!rc)
		rc = write_all(fd, NULL, end, sizeof(end));
	sqlite3_free(bytes);
	free(line);
	if (rc) {
		json_decref(header);
		return api_fail(error, API_REFUSED, "make room, then try again",
			"the backup cannot be written: %s", strerror(-rc));
	}
	*out = header;
	return 0;
}

// --- reading one -----------------------------------------------------------------------------------------

struct backup {
	const char *name;
	const uint8_t *bytes;
	size_t length;
	json_t *header;
	const uint8_t *key, *database;
	size_t database_size;
};

static int damaged(const struct backup *b, const char *how, struct api_error *error)
{
	return api_fail(error, API_INVALID, "take another backup; nothing was changed",
		"the backup %s is damaged: %s", b->name, how);
}

static int map_backup(struct backup *b, struct api_error *error)
{
	struct stat status;
	int fd = open(b->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return api_fail(error, API_NOT_FOUND, "culvertctl backup FILE makes one",
			"cannot read %s: %s", b->name, strerror(errno));
	void *bytes = MAP_FAILED;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
		bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		return api_fail(error, API_INVALID, "culvertctl backup FILE makes one",
			"%s is not a backup of Culvert", b->name);
	b->bytes = bytes;
	b->length = (size_t)status.st_size;
	return 0;
}

static int check_version(const struct backup *b, const uint8_t *end, struct api_error *error)
{
	size_t magic = strlen(API_BACKUP_MAGIC);
	char number[16] = "";

	if (b->length < magic || memcmp(b->bytes, API_BACKUP_MAGIC, magic) != 0)
		return api_fail(error, API_INVALID, "culvertctl backup FILE makes one",
			"%s is not a backup of Culvert", b->name);
	if (end == NULL || (size_t)(end - b->bytes) - magic >= sizeof(number))
		return damaged(b, "its first line has no end", error);
	memcpy(number, b->bytes + magic, (size_t)(end - b->bytes) - magic);
	if (strtol(number, NULL, 10) != VERSION)
		return api_fail(error, API_REFUSED, "use the culvertd that made it",
			"the backup %s was made by another version (format %s, this one knows %d)",
			b->name, number, VERSION);
	return 0;
}

static int check_digest(const struct backup *b, struct api_error *error)
{
	uint8_t digest[DIGEST];

	if (b->length < DIGEST)
		return damaged(b, "it is cut off", error);
	crypto_generichash(digest, sizeof(digest), b->bytes, b->length - DIGEST, NULL, 0);
	if (memcmp(digest, b->bytes + b->length - DIGEST, DIGEST) != 0)
		return damaged(b, "its digest is another one, it was cut off or changed", error);
	return 0;
}

static int read_backup(struct backup *b, struct api_error *error)
{
	size_t window = b->length < HEADER_MAX ? b->length : HEADER_MAX;
	const uint8_t *first = memchr(b->bytes, '\n', window);
	int rc = check_version(b, first, error);

	if (!rc)
		rc = check_digest(b, error);
	if (rc)
		return rc;
	first++;
	const uint8_t *second = memchr(first, '\n', window - (size_t)(first - b->bytes));
	if (second == NULL)
		return damaged(b, "its second line has no end", error);
	b->header = json_loadb((const char *)first, (size_t)(second - first), 0, NULL);
	b->key = second + 1;
	b->database = b->key + crypto_secretbox_KEYBYTES;
	size_t head = (size_t)(b->database - b->bytes) + DIGEST;
	json_int_t size = json_integer_value(json_object_get(b->header, "database"));
	if (size <= 0 || b->length < head || (size_t)size != b->length - head)
		return damaged(b, "its parts do not fit", error);
	b->database_size = (size_t)size;
	json_int_t schema = json_integer_value(json_object_get(b->header, "schema"));
	if (schema > store_schema())
		return api_fail(error, API_REFUSED, "use the culvertd that made it",
			"the backup %s was made by a newer version (schema %d, this one knows %d)",
			b->name, (int)schema, store_schema());
	return 0;
}

static void forget_backup(struct backup *b)
{
	if (b->bytes != NULL)
		munmap((void *)(uintptr_t)b->bytes, b->length);
	json_decref(b->header);
}

// --- putting it in place ---------------------------------------------------------------------------------

struct place { // of the store, and where what comes waits
	char database[PATH_MAX], key[PATH_MAX];
	char new_database[PATH_MAX], new_key[PATH_MAX];
};

static int name_place(const struct store_options *options, struct place *p)
{
	bool fits = snprintf(p->database, PATH_MAX, "%s", options->path) < PATH_MAX - 32;

	if (options->key_path)
		fits = fits && snprintf(p->key, PATH_MAX, "%s", options->key_path) < PATH_MAX - 32;
	else
		fits = fits && snprintf(p->key, PATH_MAX, "%s.key", options->path) < PATH_MAX - 32;
	if (!fits || snprintf(p->new_database, PATH_MAX, "%s.restore", p->database) >= PATH_MAX ||
		snprintf(p->new_key, PATH_MAX, "%s.restore", p->key) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

// Whoever has it open has it alone.
static bool is_open(const char *path)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL);
	sqlite3_close(db);
	return (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED;
}

// Other edges' culvertd may run on this host, too.
static int in_use(const char *path, struct api_error *error)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char hint[96] = "stop culvertd first: systemctl stop culvertd";
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0)
		snprintf(hint, sizeof(hint), "stop it first: systemctl stop culvertd, or kill %d",
			(int)lock.l_pid);
	if (fd >= 0)
		close(fd);
	return api_fail(error, API_CONFLICT, hint, "the store %s is in use: a culvertd runs on it",
		path);
}

static const char *const suffixes[] = {"", "-wal"}; // of a database

enum { ASIDE_MAX = PATH_MAX + 16 };

static void name_aside(
	const char *path, const char *suffix, char from[ASIDE_MAX], char to[ASIDE_MAX])
{
	snprintf(from, ASIDE_MAX, "%s%s", path, suffix);
	snprintf(to, ASIDE_MAX, "%s.replaced%s", path, suffix);
}

// What an earlier restore has kept may be the only good one.
static int check_aside(const char *path, size_t count, struct api_error *error)
{
	char from[ASIDE_MAX], to[ASIDE_MAX], hint[sizeof(error->hint)];

	for (size_t i = 0; i < count; i++) {
		name_aside(path, suffixes[i], from, to);
		if (access(from, F_OK) != 0 || access(to, F_OK) != 0)
			continue;
		snprintf(hint, sizeof(hint), "move it to where it is kept, or remove it: %.200s", to);
		return api_fail(error, API_REFUSED, hint,
			"%s, which an earlier restore has kept, would be overwritten", to);
	}
	return 0;
}

static int check_place(const struct place *p, bool replace, struct api_error *error)
{
	if (access(p->database, F_OK) == 0 && is_open(p->database))
		return in_use(p->database, error);
	if (replace) {
		int rc = check_aside(p->database, 2, error);
		return rc ? rc : check_aside(p->key, 1, error);
	}
	if (access(p->database, F_OK) == 0 || access(p->key, F_OK) == 0)
		return api_fail(error, API_REFUSED,
			"--replace puts the backup in its place and keeps it as NAME.replaced",
			"there is a store already: %s", p->database);
	return 0;
}

static int write_new(const char *path, const void *bytes, size_t length, struct api_error *error)
{
	directory_above(path, 0755);
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = fd < 0 ? -errno : write_all(fd, NULL, bytes, length);

	if (!rc && fsync(fd) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc ? api_fail(error, API_REFUSED, "make room, or look at the directory's owner",
			    "cannot write %s: %s", path, strerror(-rc))
		  : 0;
}

// With all that opening a store checks. Numbers that the lost one may have given since are not given again: the counters
// under them are somebody else's.
static int check_new(
	const struct place *p, const struct store_options *options, struct api_error *error)
{
	struct store_options other = *options;
	struct store *store = NULL;

	other.path = p->new_database;
	other.key_path = p->new_key;
	other.restoring = true;
	int rc = store_open(&store, &other, error);
	if (!rc && store->doubt[0] != '\0')
		rc = api_fail(error, API_INVALID, "take another backup; nothing was changed", "%s",
			store->doubt);
	if (!rc)
		rc = execute(store,
			     "INSERT OR REPLACE INTO meta VALUES ('uid-floor', (SELECT max(uid) "
			     "FROM "
			     "ids) + ?)",
			     "i", (int64_t)UIDS_SKIPPED)
			     ? store_fail(store, error, "cannot write")
			     : 0;
	store_close(store);
	return rc;
}

static void set_aside(const char *path, const char *suffix)
{
	char from[ASIDE_MAX], to[ASIDE_MAX];

	name_aside(path, suffix, from, to);
	rename(from, to);
}

static int put(const struct place *p, struct api_error *error)
{
	for (size_t i = 0; i < 2; i++)
		set_aside(p->database, suffixes[i]);
	set_aside(p->key, "");
	if (rename(p->new_key, p->key) < 0 || rename(p->new_database, p->database) < 0)
		return api_fail(error, API_REFUSED, "what was there is NAME.replaced",
			"cannot put %s in its place: %s", p->new_database, strerror(errno));
	char *slash = strrchr(p->database, '/');
	char directory[PATH_MAX];
	snprintf(directory, sizeof(directory), "%.*s",
		slash != NULL && slash > p->database ? (int)(slash - p->database) : 1,
		slash != NULL ? p->database : ".");
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	return 0;
}

int store_restore(const char *file, const struct store_options *options, bool replace,
	struct json_t **out, struct api_error *error)
{
	struct backup backup = {.name = file};
	struct place place;

	if (sodium_init() < 0)
		return api_fail(error, API_INTERNAL, NULL, "libsodium does not start");
	int rc = map_backup(&backup, error);
	if (!rc)
		rc = read_backup(&backup, error);
	if (!rc && name_place(options, &place) != 0)
		rc = api_fail(error, API_INVALID, "give another path as store in the node file",
			"the store's path is too long");
	else if (!rc)
		rc = check_place(&place, replace, error);
	if (!rc) {
		rc = write_new(place.new_key, backup.key, crypto_secretbox_KEYBYTES, error);
		if (!rc)
			rc = write_new(
				place.new_database, backup.database, backup.database_size, error);
		if (!rc)
			rc = check_new(&place, options, error);
		if (!rc)
			rc = put(&place, error);
		if (rc) {
			unlink(place.new_database);
			unlink(place.new_key);
		}
	}
	if (!rc)
		*out = json_incref(backup.header);
	forget_backup(&backup);
	return rc;
}
