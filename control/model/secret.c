// SPDX-License-Identifier: BSD-3-Clause
// Secrets as they are given: {file}, {credential}, {value} or {keep}, never as clear text in a
// file, and never quoted in a finding. A fingerprint is made up when a text is first seen; of a
// field that says so only a hash of the text stays.

#include "control/model/model_internal.h"

#include <sodium.h>
#include <sys/random.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MAX 80u // TCP_MD5SIG_MAXKEYLEN

static void new_fingerprint(char text[SECRET_FINGERPRINT])
{
	uint64_t random = 0;

	while (getrandom(&random, sizeof(random), 0) != sizeof(random))
		continue;
	snprintf(text, SECRET_FINGERPRINT, "%016llx", (unsigned long long)random);
}

// One line of a file, without its end. NULL: *error says why not.
static char *read_secret(const char *path, char error[FIELD_ERROR_MAX])
{
	char *text = calloc(1, SECRET_MAX + 3);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t length = fd < 0 || !text ? -1 : read(fd, text, SECRET_MAX + 2);

	if (length < 0)
		snprintf(error, FIELD_ERROR_MAX, "cannot read %.128s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (length < 0) {
		free(text);
		return NULL;
	}
	if (length > 0 && text[length - 1] == '\n')
		text[--length] = '\0';
	if (strlen(text) != (size_t)length) {
		snprintf(error, FIELD_ERROR_MAX, "%.128s holds a NUL character", path);
		free(text);
		return NULL;
	}
	return text;
}

// What a speaker's configuration can hold between quotes.
static bool secret_fits(const char *text, char error[FIELD_ERROR_MAX])
{
	size_t length = strlen(text);

	if (length == 0 || length > SECRET_MAX) {
		snprintf(error, FIELD_ERROR_MAX, "must have 1 to %u characters, not %zu",
			SECRET_MAX, length);
		return false;
	}
	for (const char *c = text; *c; c++) {
		if (*c >= 0x20 && *c <= 0x7e && *c != '"' && *c != '\\')
			continue;
		snprintf(error, FIELD_ERROR_MAX,
			"may only hold printable ASCII characters without \" and \\ (character %zu "
			"is not)",
			(size_t)(c - text) + 1);
		return false;
	}
	return true;
}

static char *secret_text(
	struct reader *reader, const struct tree *way, const struct secret *old, char *error)
{
	char path[512];

	if (!strcmp(way->key, "value") && !reader->from_file)
		return strdup(way->text);
	if (!strcmp(way->key, "file") && reader->from_file)
		return read_secret(way->text, error);
	if (!strcmp(way->key, "credential") && reader->from_file) {
		const char *directory = getenv("CREDENTIALS_DIRECTORY");
		if (!directory || strchr(way->text, '/') || way->text[0] == '.') {
			snprintf(error, FIELD_ERROR_MAX,
				"credential \"%.64s\" is not one that the service manager gave",
				way->text);
			return NULL;
		}
		snprintf(path, sizeof(path), "%s/%s", directory, way->text);
		return read_secret(path, error);
	}
	if (!strcmp(way->key, "keep")) {
		char *text = NULL;
		if (reader->secret)
			text = reader->secret(reader->ctx, way->text);
		if (!text && !reader->stored && old && old->text && !strcmp(old->fingerprint, way->text))
			text = strdup(old->text);
		if (!text)
			snprintf(error, FIELD_ERROR_MAX,
				"no secret with fingerprint \"%.32s\" is known here; give it anew",
				way->text);
		return text;
	}
	snprintf(error, FIELD_ERROR_MAX,
		reader->from_file
			? "must be {file: PATH}, {credential: NAME} or {keep: FINGERPRINT}"
			: "must be {\"value\": TEXT} or {\"keep\": FINGERPRINT}");
	return NULL;
}

// What is kept of a text that is never needed again. The texts are made up by us and long, so that
// they need no salt.
static char *secret_hash(char *text)
{
	uint8_t hash[32];
	char *hex = calloc(1, 4 + 2 * sizeof(hash));

	if (!hex)
		abort();
	crypto_generichash(hash, sizeof(hash), (const uint8_t *)text, strlen(text), NULL, 0);
	memcpy(hex, "b2:", 3);
	sodium_bin2hex(hex + 3, 1 + 2 * sizeof(hash), hash, sizeof(hash));
	explicit_bzero(text, strlen(text));
	free(text);
	return hex;
}

// {"value": TEXT, "fingerprint": FINGERPRINT}: as another edge knows it, so that both know it by one. NULL = no such
// thing; else *way is the text's.
static const char *given_fingerprint(
	const struct reader *reader, const struct tree *tree, const struct tree **way)
{
	const struct tree *first = tree->child, *other = first ? first->next : NULL;

	if (reader->from_file || tree->type != TREE_MAP || tree->count != 2 || !other ||
		first->type != TREE_SCALAR || other->type != TREE_SCALAR)
		return NULL;
	bool swapped = !strcmp(first->key, "fingerprint");
	const struct tree *value = swapped ? other : first, *name = swapped ? first : other;
	if (strcmp(value->key, "value") || strcmp(name->key, "fingerprint") ||
		strlen(name->text) != SECRET_FINGERPRINT - 1 ||
		strspn(name->text, "0123456789abcdef") != SECRET_FINGERPRINT - 1)
		return NULL;
	*way = value;
	return name->text;
}

void secret_read(struct reader *reader, const struct field *field, const struct tree *tree,
	struct secret *secret, const struct secret *old)
{
	char error[FIELD_ERROR_MAX] = "";
	const struct tree *way = tree->child;
	struct tree nowhere = {.place = tree->place}; // a finding never quotes what may be a secret

	const char *name = given_fingerprint(reader, tree, &way);
	if (tree->type != TREE_MAP || (tree->count != 1 && !name) || way->type != TREE_SCALAR) {
		reader_wrong_value(reader, field, &nowhere,
			reader->from_file ? "must be {file: PATH}, {credential: NAME} or {keep: "
					    "FINGERPRINT}, never clear text"
					  : "must be {\"value\": TEXT} or {\"keep\": FINGERPRINT}");
		return;
	}
	char *text = secret_text(reader, way, old, error);
	if (!text || !secret_fits(text, error)) {
		free(text);
		reader_wrong_value(reader, field, &nowhere, error[0] ? error : "not enough memory");
		return;
	}
	if (field->flags & FIELD_HASH_ONLY && strcmp(way->key, "keep") && !reader->stored)
		text = secret_hash(text);
	secret->text = text;
	if (!strcmp(way->key, "keep"))
		snprintf(secret->fingerprint, sizeof(secret->fingerprint), "%s", way->text);
	else if (name)
		snprintf(secret->fingerprint, sizeof(secret->fingerprint), "%s", name);
	else if (old && old->text && !strcmp(old->text, text))
		memcpy(secret->fingerprint, old->fingerprint, sizeof(secret->fingerprint));
	else
		new_fingerprint(secret->fingerprint);
}
