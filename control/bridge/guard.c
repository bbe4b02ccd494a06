// SPDX-License-Identifier: BSD-3-Clause
// One question before anything of this host is touched: is it ours? The answer is in the marks (mark.h). What a mark
// names with another store or edge belongs to somebody who may come back for it, and is neither used nor removed
// until bridge_adopt(). A namespace that has one of our names and no mark was there before us: it is used, since
// a domain needs its name, but nothing that we did not put into it is removed, nor the namespace itself.

#include "control/bridge/guard.h"

#include "control/base/log.h"
#include "control/bridge/netns.h"
#include "control/bridge/space.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OURS "bridge"

static void number_of(const struct space *space, struct mark *mark)
{
	struct stat status;

	if (fstat(space->fd, &status) == 0) {
		mark->device = status.st_dev;
		mark->inode = status.st_ino;
	}
}

bool guard_is_ours(const struct bridge *bridge, const struct mark *mark)
{
	return strcmp(mark->store, bridge->store) == 0 && strcmp(mark->edge, bridge->edge) == 0;
}

bool guard_is_current(const char *name, const struct mark *mark)
{
	uint64_t device, inode;

	return netns_number(name, &device, &inode) == 0 && device == mark->device &&
	       inode == mark->inode;
}

static struct mark mark_of(const struct space *space)
{
	const struct host_domain *only = TAILQ_FIRST(&space->domains);
	struct mark mark = {
		.found = space->found,
		.domain = only != NULL && !space->shared ? only->id : 0,
		.domains = space->domain_count,
		.interfaces = space->interface_count,
	};

	snprintf(mark.store, sizeof(mark.store), "%s", space->bridge->store);
	snprintf(mark.edge, sizeof(mark.edge), "%s", space->bridge->edge);
	number_of(space, &mark);
	return mark;
}

void guard_write(struct space *space)
{
	const struct mark mark = mark_of(space);
	int err = mark_write(space->bridge->run_dir, space->name, &mark);

	if (err != 0 && err != space->mark_error)
		log_error(OURS, "cannot mark a namespace as ours", log_text("netns", space->name),
			log_text("error", strerror(-err)));
	space->mark_error = err;
	space->mark_old = err != 0;
}

bool guard_check(struct space *space)
{
	bool gone = !space->mark_old && !mark_exists(space->bridge->run_dir, space->name);

	if (gone || space->mark_old)
		guard_write(space);
	return gone && space->mark_error == 0;
}

struct namesake {
	const struct space *space;
	struct mark number;
	char name[128]; // whose the namespace is; "" = nobody's
};

static void compare(void *ctx, const char *name, const struct mark *mark)
{
	struct namesake *other = ctx;

	if (mark != NULL && strcmp(name, other->space->name) != 0 &&
		mark->device == other->number.device && mark->inode == other->number.inode &&
		guard_is_current(name, mark))
		snprintf(other->name, sizeof(other->name), "\"%s\"", name);
}

// A name without a mark of its own may have come to mean another domain's namespace, or the host's. Two customers in one
// are one customer for the kernel and for BGP.
static int refuse_shared(const struct space *space, struct api_error *error)
{
	struct namesake other = {.space = space};
	struct stat home;

	number_of(space, &other.number);
	marks_each(space->bridge->run_dir, compare, &other);
	if (stat("/proc/self/ns/net", &home) == 0 && home.st_dev == other.number.device &&
		home.st_ino == other.number.inode)
		snprintf(other.name, sizeof(other.name), "the host itself");
	if (other.name[0] == '\0')
		return 0;
	return api_fail(error, API_CONFLICT, NULL,
		"the name \"%s\" means the network namespace of %s: it is not used until "
		"\"ip netns del %s\" takes it away, which leaves the namespace as it is",
		space->name, other.name, space->name);
}

int guard_space(struct space *space, bool made, struct api_error *error)
{
	struct mark mark;
	int err = mark_read(space->bridge->run_dir, space->name, &mark);

	space->found = !made;
	if (err == 0 && !made && guard_is_current(space->name, &mark)) {
		if (!guard_is_ours(space->bridge, &mark))
			return api_fail(error, API_CONFLICT,
				"stop culvertd and start it with the right store and edge, or: "
				"culvertctl "
				"edge adopt",
				"network namespace \"%s\" belongs to edge \"%s\" of store %s",
				space->name, mark.edge, mark.store);
		space->found = mark.found;
		space->mark_old = true; // its counts are true until ours are
	} else if (!made && refuse_shared(space, error) != 0) {
		return -EEXIST;
	}
	if (space->found)
		log_warning(OURS,
			"a namespace of this name was there without our mark: used as it is",
			log_text("netns", space->name));
	return 0;
}

// ---- all of them

struct claim_scan {
	struct bridge *bridge;
	struct bridge_claims *claims;
};

bool guard_has_prefix(const struct bridge *bridge, const char *name)
{
	size_t len = strlen(bridge->prefix);

	return strncmp(name, bridge->prefix, len) == 0 && name[len] == '-';
}

static void claim(void *ctx, const char *name, const struct mark *mark)
{
	struct claim_scan *scan = ctx;
	struct bridge_claims *claims = scan->claims;

	if (!guard_has_prefix(scan->bridge, name))
		return;
	if (mark == NULL || !guard_is_current(name, mark)) {
		// Of a namespace that is gone (after a boot, when the run directory is on a disk).
		if (!space_named(scan->bridge, name))
			mark_remove(scan->bridge->run_dir, name);
		return;
	}
	if (guard_is_ours(scan->bridge, mark)) {
		claims->ours++;
		return;
	}
	if (claims->foreign++ == 0) {
		snprintf(claims->store, sizeof(claims->store), "%s", mark->store);
		snprintf(claims->edge, sizeof(claims->edge), "%s", mark->edge);
	}
	claims->domains += mark->domains;
	claims->interfaces += mark->interfaces;
}

void bridge_claims(struct bridge *bridge, struct bridge_claims *claims)
{
	struct claim_scan scan = {bridge, claims};

	*claims = (struct bridge_claims){0};
	marks_each(bridge->run_dir, claim, &scan);
}

static void adopt(void *ctx, const char *name, const struct mark *mark)
{
	const struct bridge *bridge = ctx;

	if (!guard_has_prefix(bridge, name) || mark == NULL || !guard_is_current(name, mark))
		return;
	struct mark mine = *mark;
	if (guard_is_ours(bridge, mark) && !mark->found)
		return;
	snprintf(mine.store, sizeof(mine.store), "%s", bridge->store);
	snprintf(mine.edge, sizeof(mine.edge), "%s", bridge->edge);
	mine.found = false;
	int err = mark_write(bridge->run_dir, name, &mine);
	log_info(OURS, "namespace adopted", log_text("netns", name), log_text("of", mark->edge),
		log_text("store", mark->store), log_number("errno", -err));
}

void bridge_adopt(struct bridge *bridge)
{
	struct space *space;

	marks_each(bridge->run_dir, adopt, bridge);
	LIST_FOREACH (space, &bridge->spaces, entry)
		space->found = false;
}

void bridge_owner_set(struct bridge *bridge, const uint8_t store[16], const char *edge)
{
	int at = 0;

	for (unsigned int i = 0; i < 16; i++)
		at += snprintf(bridge->store + at, sizeof(bridge->store) - (size_t)at, "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", store[i]);
	snprintf(bridge->edge, sizeof(bridge->edge), "%s", edge);
}
