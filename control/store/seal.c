// SPDX-License-Identifier: BSD-3-Clause
// Secrets, sealed one by one with libsodium's secretbox. The key is a file beside the database (or wherever
// the node file says, for instance a credential of the service manager). This keeps secrets out of stolen
// backups and from curious readers of the database; who is root on a live node has the key.

#include "control/store/store_internal.h"

#include "dataplane/wire/directory.h"

#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_WORD    "culvert" // of a store that has no seal yet
#define CHECK_VOUCHED "vouched"

// Under another name first, so that there is a whole key or none, whenever the machine stops.
static int key_create(struct store *store, struct api_error *error)
{
	char partial[PATH_MAX];

	directory_above(store->key_path, 0755);
	snprintf(partial, sizeof(partial), "%s.new", store->key_path);
	unlink(partial);
	int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	randombytes_buf(store->key, sizeof(store->key));
	bool written =
		fd >= 0 &&
		write(fd, store->key, sizeof(store->key)) == (ssize_t)sizeof(store->key) &&
		fsync(fd) == 0 &&
		renameat2(AT_FDCWD, partial, AT_FDCWD, store->key_path, RENAME_NOREPLACE) == 0;
	int saved = errno;
	if (fd >= 0)
		close(fd);
	if (!written)
		return api_fail(error, API_REFUSED,
			"give another path as store-key in the node file",
			"cannot write the key file %s: %s", store->key_path, strerror(saved));
	return 0;
}

static int key_read(struct store *store, struct api_error *error)
{
	struct stat status;
	int fd = open(store->key_path, O_RDONLY | O_CLOEXEC);
	uint8_t extra;

	if (fd < 0)
		return api_fail(error, API_REFUSED,
			"restore the key file that belongs to this store",
			"cannot read the key file %s: %s", store->key_path, strerror(errno));
	bool whole = fstat(fd, &status) == 0 &&
		     read(fd, store->key, sizeof(store->key)) == (ssize_t)sizeof(store->key) &&
		     read(fd, &extra, 1) == 0;
	close(fd);
	if (!whole)
		return api_fail(error, API_REFUSED,
			"restore the key file that belongs to this store",
			"the key file %s does not hold %zu bytes", store->key_path,
			sizeof(store->key));
	if (status.st_mode & 077) {
		char hint[sizeof(error->hint)];
		snprintf(hint, sizeof(hint), "chmod 600 %.200s", store->key_path);
		return api_fail(error, API_REFUSED, hint, "the key file %s can be read by others",
			store->key_path);
	}
	return 0;
}

int key_check_write(struct store *store, bool sealed)
{
	uint8_t nonce[crypto_secretbox_NONCEBYTES],
		box[sizeof(CHECK_WORD) + crypto_secretbox_MACBYTES];
	const char *word = sealed ? CHECK_VOUCHED : CHECK_WORD;

	static_assert(sizeof(CHECK_WORD) == sizeof(CHECK_VOUCHED), "one box for both");
	randombytes_buf(nonce, sizeof(nonce));
	crypto_secretbox_easy(box, (const uint8_t *)word, sizeof(CHECK_WORD), nonce, store->key);
	return execute(store, "INSERT OR REPLACE INTO secrets VALUES ('key-check', ?, ?)", "bb",
		nonce, (int)sizeof(nonce), box, (int)sizeof(box));
}

int key_open(struct store *store, bool fresh, struct api_error *error)
{
	uint8_t plain[sizeof(CHECK_WORD)];

	if (sodium_init() < 0)
		return api_fail(error, API_INTERNAL, NULL, "libsodium does not start");
	int rc = fresh && access(store->key_path, F_OK) ? key_create(store, error)
							: key_read(store, error);
	if (rc)
		return rc;
	if (fresh) {
		store->unsealed = true;
		return key_check_write(store, false) ? store_fail(store, error, "cannot write") : 0;
	}
	sqlite3_stmt *row = query(
		store, "SELECT nonce, sealed FROM secrets WHERE fingerprint = 'key-check'", "");
	bool fits = row && sqlite3_step(row) == SQLITE_ROW &&
		    sqlite3_column_bytes(row, 0) == crypto_secretbox_NONCEBYTES &&
		    sqlite3_column_bytes(row, 1) == sizeof(plain) + crypto_secretbox_MACBYTES &&
		    crypto_secretbox_open_easy(plain, sqlite3_column_blob(row, 1),
			    sizeof(plain) + crypto_secretbox_MACBYTES, sqlite3_column_blob(row, 0),
			    store->key) == 0;
	finish(row);
	if (!fits)
		return api_fail(error, API_REFUSED,
			"restore the key file that belongs to this store",
			"the key file %s is not the one of the store %s", store->key_path,
			store->path);
	store->unsealed = memcmp(plain, CHECK_WORD, sizeof(plain)) == 0;
	return 0;
}

// The fingerprint is sealed along with the text, so that nobody moves one password to another session.
int secret_seal(struct store *store, const struct secret *secret)
{
	uint8_t nonce[crypto_secretbox_NONCEBYTES], plain[256],
		sealed[sizeof(plain) + crypto_secretbox_MACBYTES];
	size_t length = strlen(secret->text);

	if (length > sizeof(plain) - (SECRET_FINGERPRINT - 1))
		return -EINVAL;
	memcpy(plain, secret->fingerprint, SECRET_FINGERPRINT - 1);
	memcpy(plain + SECRET_FINGERPRINT - 1, secret->text, length);
	length += SECRET_FINGERPRINT - 1;
	randombytes_buf(nonce, sizeof(nonce));
	crypto_secretbox_easy(sealed, plain, length, nonce, store->key);
	sodium_memzero(plain, sizeof(plain));
	return execute(store, "INSERT OR REPLACE INTO secrets VALUES (?, ?, ?)", "sbb",
		secret->fingerprint, nonce, (int)sizeof(nonce), sealed,
		(int)(length + crypto_secretbox_MACBYTES));
}

char *secret_unseal(void *ctx, const char *fingerprint)
{
	struct store *store = ctx;
	sqlite3_stmt *row = query(
		store, "SELECT nonce, sealed FROM secrets WHERE fingerprint = ?", "s", fingerprint);
	size_t prefix = SECRET_FINGERPRINT - 1;
	uint8_t plain[256];
	char *text = NULL;

	if (row && sqlite3_step(row) == SQLITE_ROW &&
		sqlite3_column_bytes(row, 0) == crypto_secretbox_NONCEBYTES) {
		size_t length = (size_t)sqlite3_column_bytes(row, 1);
		if (length >= crypto_secretbox_MACBYTES + prefix &&
			length - crypto_secretbox_MACBYTES <= sizeof(plain) &&
			crypto_secretbox_open_easy(plain, sqlite3_column_blob(row, 1), length,
				sqlite3_column_blob(row, 0), store->key) == 0 &&
			!strncmp((const char *)plain, fingerprint, prefix))
			text = strndup((const char *)plain + prefix,
				length - crypto_secretbox_MACBYTES - prefix);
	}
	sodium_memzero(plain, sizeof(plain));
	finish(row);
	return text;
}
