// SPDX-License-Identifier: BSD-3-Clause
// Where the store lies. SQLite and this process go on with the files they have open, whatever becomes of their names: what
// is committed after somebody put another file there, or took one away, is not what the next culvertd finds.

#include "control/store/store_internal.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

static struct store_file look_at(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return (struct store_file){0};
	return (struct store_file){status.st_dev, status.st_ino};
}

static const char *path_of(const struct store *store, unsigned int file, char log[PATH_MAX])
{
	snprintf(log, PATH_MAX, "%s-wal", store->path);
	return file == 0 ? store->path : file == 1 ? log : store->key_path;
}

void place_remember(struct store *store)
{
	char log[PATH_MAX];

	for (unsigned int i = 0; i < 3; i++)
		store->file[i] = look_at(path_of(store, i, log));
}

static void look_for_files(struct store *store, struct store_place *place)
{
	static const char *const names[] = {"database", "log of changes", "key"};
	char log[PATH_MAX];

	for (unsigned int i = 0; i < 3 && place->missing[0] == '\0'; i++) {
		const char *path = path_of(store, i, log);
		struct store_file now = look_at(path);
		if (memcmp(&now, &store->file[i], sizeof(now)) == 0)
			continue;
		snprintf(place->missing, sizeof(place->missing), "%s", names[i]);
		snprintf(place->path, sizeof(place->path), "%.255s", path);
	}
}

int place_check(struct store *store, struct api_error *error)
{
	struct store_place place = {0};

	look_for_files(store, &place);
	if (place.missing[0] == '\0')
		return 0;
	return api_fail(error, API_REFUSED, STORE_FILES_HINT,
		"cannot write the store %s: the %s, %s, was removed or replaced; the next start "
		"would not find the change",
		store->path, place.missing, place.path);
}

void store_look(struct store *store, struct store_place *place)
{
	struct statvfs room;

	*place = (struct store_place){.left = UINT64_MAX};
	look_for_files(store, place);
	if (store->behind)
		vouch_checkpoint(store);
	audit_write(store);
	place->full = store->behind;
	if (statvfs(store->path, &room) == 0)
		place->left = (uint64_t)room.f_bavail * room.f_frsize;
}
