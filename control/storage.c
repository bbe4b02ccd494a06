// SPDX-License-Identifier: BSD-3-Clause
// A disk that becomes full, and files that somebody takes away under us: told before they stop anything.

#include "control/storage.h"

#include "control/status/status.h"
#include "control/store/store.h"

#include <stdio.h>
#include <string.h>

static void tell_files(struct statuses *statuses, const struct store_place *place)
{
	char reason[512];

	if (place->missing[0] == '\0') {
		status_clear(statuses, STATUS_STORE, "files");
		return;
	}
	snprintf(reason, sizeof(reason),
		"the %s, %s, was removed or replaced while culvertd runs on it: the next start does "
		"not find what is in force; changes are refused",
		place->missing, place->path);
	status_set(statuses, STATUS_STORE, "files", STATUS_ERROR, "replaced", reason,
		STORE_FILES_HINT);
}

static void tell_room(struct statuses *statuses, const char *store, const struct store_place *place)
{
	const char *slash = strrchr(store, '/');
	char reason[512], hint[300];

	snprintf(hint, sizeof(hint), "make room: df -h %.*s",
		slash != NULL ? (int)(slash - store) + 1 : 1, slash != NULL ? store : ".");
	if (place->full) {
		snprintf(reason, sizeof(reason),
			"the file system of %.256s is full: what runs goes on, changes are refused",
			store);
		status_set(statuses, STATUS_STORE, "disk", STATUS_ERROR, "full", reason, hint);
	} else if (place->left < STORE_ROOM) {
		snprintf(reason, sizeof(reason),
			"%llu MiB are left on the file system of %.256s; when it is full changes are "
			"refused",
			(unsigned long long)place->left >> 20, store);
		status_set(statuses, STATUS_STORE, "disk", STATUS_WARNING, "low", reason, hint);
	} else {
		status_clear(statuses, STATUS_STORE, "disk");
	}
}

void storage_tell(struct statuses *statuses, const char *store, const struct store_place *place)
{
	tell_files(statuses, place);
	tell_room(statuses, store, place);
}
