// SPDX-License-Identifier: BSD-3-Clause
// A revision that waits for confirmation: one row, written in the transaction that made the revision, so that there is no
// moment at which the one could be there without the other.
//
// Its deadline is a time of the day, which outlives a boot. Within one boot CLOCK_BOOTTIME says when it is over, whoever
// sets the clock; after one the clock may be wrong either way, and nobody waits longer than was asked for.

#include "control/store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void read_boot(char boot[sizeof(((struct store_pending *)0)->boot)])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t length =
		fd >= 0 ? read(fd, boot, sizeof(((struct store_pending *)0)->boot) - 1) : 0;

	if (fd >= 0)
		close(fd);
	boot[length > 0 ? length : 0] = '\0';
	boot[strcspn(boot, "\n")] = '\0';
}

int64_t store_pending_left(const struct store_pending *pending)
{
	char boot[sizeof(pending->boot)];
	int64_t left = pending->until - now_ms(CLOCK_REALTIME);

	read_boot(boot);
	if (boot[0] != '\0' && strcmp(boot, pending->boot) == 0)
		left = pending->until_boot - now_ms(CLOCK_BOOTTIME);
	if (left > pending->span)
		left = pending->span;
	return left > 0 ? left : 0;
}

int pending_write(struct store *store, const struct store_commit *commit, uint64_t before,
	uint64_t revision, const char *actor)
{
	struct store_pending pending = {
		.revision = revision,
		.before = before,
		.span = (int64_t)commit->confirm_ms,
		.until = now_ms(CLOCK_REALTIME) + (int64_t)commit->confirm_ms,
		.until_boot = now_ms(CLOCK_BOOTTIME) + (int64_t)commit->confirm_ms,
	};

	read_boot(pending.boot);
	snprintf(pending.actor, sizeof(pending.actor), "%s", actor);
	if (commit->decider) {
		snprintf(pending.decider, sizeof(pending.decider), "%s", commit->decider);
		pending.decided = commit->decided;
	}
	if (commit->pending)
		*commit->pending = pending;
	return execute(store, "INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", "iisisiisi",
		(int64_t)pending.revision, (int64_t)pending.before, pending.actor, pending.until,
		pending.boot, pending.until_boot, pending.span, pending.decider,
		(int64_t)pending.decided);
}

int pending_settle(struct store *store)
{
	return execute(store, "DELETE FROM pending", "");
}

void pending_read(struct store *store, struct store_pending *pending)
{
	sqlite3_stmt *row = query(store,
		"SELECT revision, before, actor, until, boot, until_boot, span, decider, decided FROM "
		"pending ORDER BY revision LIMIT 1",
		"");

	*pending = (struct store_pending){0};
	if (row && sqlite3_step(row) == SQLITE_ROW) {
		pending->revision = (uint64_t)sqlite3_column_int64(row, 0);
		pending->before = (uint64_t)sqlite3_column_int64(row, 1);
		snprintf(pending->actor, sizeof(pending->actor), "%s", column_text(row, 2));
		pending->until = sqlite3_column_int64(row, 3);
		snprintf(pending->boot, sizeof(pending->boot), "%s", column_text(row, 4));
		pending->until_boot = sqlite3_column_int64(row, 5);
		pending->span = sqlite3_column_int64(row, 6);
		snprintf(pending->decider, sizeof(pending->decider), "%s", column_text(row, 7));
		pending->decided = (uint64_t)sqlite3_column_int64(row, 8);
	}
	finish(row);
}

int store_confirm(struct store *store, const char *actor, const char *on_behalf,
	const struct store_pending *pending, struct api_error *error)
{
	char name[ACTOR_MAX], object[40];
	int rc = audit_write(store); // what was done before stands before

	actor_name(actor, name);
	snprintf(object, sizeof(object), "revision %llu", (unsigned long long)pending->revision);
	if (!rc)
		rc = store_begin(store);
	if (!rc)
		rc = pending_settle(store);
	if (!rc)
		rc = audit_line(store, name, on_behalf, "config.confirm", object,
			(int64_t)pending->revision);
	int gone = rc ? 0 : place_check(store, error);
	rc = store_end(store, gone ? gone : rc);
	if (rc) {
		if (!gone)
			store_fail(store, error, "cannot write");
		store_undo(store);
		return rc;
	}
	vouch_rest(store);
	return 0;
}
