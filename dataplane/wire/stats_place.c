// SPDX-License-Identifier: BSD-3-Clause
// The directory, the owner and the lock of the stats segment.
//
// The data plane writes to this file all the time and dies of SIGBUS if somebody shortens it;
// limiter words and counters are what customers pay by. So the file must be ours alone. /dev/shm is
// open to everybody: a name there may be planted before we come. Each step therefore looks at what
// it has in hand, not at the name: the directory is opened first and judged by fstat; the file is
// opened as a mere reference (O_PATH), which neither blocks on a FIFO nor arms a device, is judged,
// and only then opened through that reference. What is not ours alone is renamed, for which a
// sticky directory needs no more than root's rights or a directory of our own, and never read.
//
// The lock belongs to the read-write open file, which never leaves this process. What goes to the
// controller is another open file of the same, read-only: it keeps no lock when we are gone.

#include "dataplane/wire/stats_place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TMPFS     0x01021994
#define HUGETLBFS 0x958458f6
#define PAGE      4096u
#define FILE_NAME "stats"

struct note {
	char *text;
	size_t size;
};

static int say(const struct note *note, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int say(const struct note *note, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (note->size != 0)
		vsnprintf(note->text, note->size, format, args);
	va_end(args);
	return err;
}

uint64_t stats_place_unit(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return 0;
	return fs.f_type == TMPFS ? PAGE : fs.f_type == HUGETLBFS ? (uint64_t)fs.f_bsize : 0;
}

// --- the directory ---

static int judge_directory(struct stats_place *p, const char *name, const struct note *note)
{
	struct stat st;

	if (fstat(p->directory, &st) < 0)
		return say(note, -errno, "cannot look at directory %s: %s", name, strerror(errno));
	p->unit = stats_place_unit(p->directory);
	if (p->unit == 0)
		return say(note, -EMEDIUMTYPE,
			"%s is not on tmpfs or hugetlbfs; choose a path on one, such as "
			"/dev/shm/culvert/stats",
			p->path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return say(note, -EPERM,
			"directory %s of the stats segment belongs to user %u; choose one of user "
			"%u",
			name, st.st_uid, geteuid());
	if ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0)
		return say(note, -EPERM,
			"others may write to directory %s of the stats segment; chmod go-w %s, or "
			"choose another",
			name, name);
	return 0;
}

static int open_directory(struct stats_place *p, const struct note *note)
{
	char *slash = strrchr(p->path, '/');
	const char *base = slash != NULL ? slash + 1 : p->path;
	char *name;
	int err;

	if (slash == NULL || *base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return say(note, -EINVAL, "%s is not the absolute path of a file", p->path);
	p->name = strdup(base);
	name = slash == p->path ? strdup("/") : strndup(p->path, (size_t)(slash - p->path));
	err = -ENOMEM;
	if (p->name == NULL || name == NULL)
		goto out;
	p->directory = open(name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->directory < 0 && errno == ENOENT && mkdir(name, 0700) == 0)
		p->directory = open(name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->directory < 0)
		err = say(note, -errno, "directory %s of the stats segment: %s", name,
			errno == ENOTDIR || errno == ELOOP ? "is not a directory; name another"
							   : strerror(errno));
	else
		err = judge_directory(p, name, note);
out:
	free(name);
	return err;
}

// --- the file ---

// NULL or why this must not be touched.
static const char *not_ours(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "is not a regular file";
	if (st->st_uid != geteuid())
		return "belongs to somebody else";
	if ((st->st_mode & 022) != 0)
		return "can be written by others";
	if (st->st_nlink > 1)
		return "has a second name";
	return NULL;
}

static int set_aside(struct stats_place *p, const char *why, const struct note *note)
{
	char aside[NAME_MAX + 1];

	if (snprintf(aside, sizeof(aside), "%s.unusable", p->name) >= (int)sizeof(aside))
		return say(note, -ENAMETOOLONG, "%s: name is too long", p->path);
	if (renameat(p->directory, p->name, p->directory, aside) < 0 && errno != ENOENT)
		return say(note, -EPERM,
			"%s %s and cannot be set aside (%s); remove it, or choose another path "
			"with "
			"--stats",
			p->path, why, strerror(errno));
	say(note, 0, "%s %s, kept as %s.unusable; counters start from 0", p->path, why, p->path);
	return 0;
}

// Opens again what `reference` refers to.
static int reopen(int reference, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", reference);
	return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void close_file(struct stats_place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->reader >= 0)
		close(p->reader);
	p->fd = p->reader = -1;
}

// `reference` was judged to be ours. -EAGAIN: it is not what the name means any more.
static int lock(struct stats_place *p, int reference, const struct stat *st)
{
	struct stat named;

	p->fd = reopen(reference, O_RDWR);
	p->reader = reopen(reference, O_RDONLY);
	if (p->fd < 0 || p->reader < 0)
		return -errno;
	if (flock(p->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstatat(p->directory, p->name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
		named.st_ino != st->st_ino || named.st_dev != st->st_dev)
		return -EAGAIN;
	if (fstat(p->fd, &named) < 0)
		return -errno;
	p->size = (uint64_t)named.st_size;
	return 0;
}

// One try. -EAGAIN: another may succeed.
static int try_file(struct stats_place *p, const struct note *note)
{
	const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	int reference = openat(p->directory, p->name, flags), err;
	const char *why;
	struct stat st;

	if (reference < 0 && errno == ENOENT) {
		int made =
			openat(p->directory, p->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		if (made < 0)
			return errno == EEXIST ? -EAGAIN : -errno;
		close(made);
		reference = openat(p->directory, p->name, flags);
	}
	if (reference < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	if (fstat(reference, &st) < 0) {
		err = -errno;
		goto out;
	}
	why = not_ours(&st);
	if (why != NULL) {
		err = set_aside(p, why, note);
		err = err == 0 ? -EAGAIN : err;
		goto out;
	}
	err = lock(p, reference, &st);
	if (err != 0)
		close_file(p);
out:
	close(reference);
	return err;
}

static int open_file(struct stats_place *p, const struct note *note)
{
	int err = -EAGAIN;

	for (int i = 0; i < 16 && err == -EAGAIN; i++)
		err = try_file(p, note);
	if (err == -EBUSY)
		return say(note, err, "another data plane uses the stats segment %s", p->path);
	if (err != 0 && err != -EPERM && err != -ENAMETOOLONG)
		return say(
			note, err, "cannot open the stats segment %s: %s", p->path, strerror(-err));
	return err;
}

// --- life ---

int stats_place_open(const char *path, struct stats_place **place, char *text, size_t size)
{
	const struct note note = {text, size};
	struct stats_place *p = calloc(1, sizeof(*p));
	int err = -ENOMEM;

	if (size != 0)
		text[0] = '\0';
	if (p == NULL)
		return err;
	p->directory = p->fd = p->reader = -1;
	p->path = strdup(path);
	if (p->path != NULL)
		err = open_directory(p, &note);
	if (err == 0)
		err = open_file(p, &note);
	if (err != 0) {
		stats_place_close(p);
		return err;
	}
	*place = p;
	return 0;
}

int stats_place_renew(struct stats_place *p, char *text, size_t size)
{
	const struct note note = {text, size};
	int err = set_aside(p, "is not a stats segment of this layout", &note);

	close_file(p);
	return err != 0 ? err : open_file(p, &note);
}

void stats_place_remove(struct stats_place *p)
{
	unlinkat(p->directory, p->name, 0);
}

void stats_place_close(struct stats_place *p)
{
	if (p == NULL)
		return;
	close_file(p);
	if (p->directory >= 0)
		close(p->directory);
	free(p->name);
	free(p->path);
	free(p);
}

// --- the default ---

#define CANDIDATES 8u

struct candidates {
	struct {
		char path[128];
		int room;
	} at[CANDIDATES];
	unsigned count;
};

static void add_candidate(struct candidates *c, int room, const char *format, const char *directory)
{
	if (c->count < CANDIDATES &&
		snprintf(c->at[c->count].path, sizeof(c->at[0].path), format, directory,
			(unsigned)geteuid()) < (int)sizeof(c->at[0].path))
		c->at[c->count++].room = room;
}

// Gigantic pages are too few to spend one on each worker's counters.
static int has_room(const char *mount, uint64_t bytes)
{
	struct statfs fs;

	return statfs(mount, &fs) == 0 && fs.f_type == HUGETLBFS && fs.f_bsize <= (2 << 20) &&
	       (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize >= bytes &&
	       access(mount, W_OK | X_OK) == 0;
}

// Nobody else rules it.
static int is_ours(const struct stat *st)
{
	return S_ISDIR(st->st_mode) && (st->st_uid == geteuid() || st->st_uid == 0) &&
	       (st->st_mode & 022) == 0;
}

// Also the socket's directory, so not ours to make.
static int is_tmpfs_of_ours(const char *path)
{
	struct statfs fs;
	struct stat st;

	return statfs(path, &fs) == 0 && fs.f_type == TMPFS && lstat(path, &st) == 0 &&
	       is_ours(&st);
}

static void add_hugetlbfs(struct candidates *c, uint64_t bytes)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;

	if (mounts == NULL)
		return;
	while (c->count < CANDIDATES - 2 && (m = getmntent(mounts)) != NULL)
		if (strcmp(m->mnt_type, "hugetlbfs") == 0)
			add_candidate(c, has_room(m->mnt_dir, bytes), "%s/culvert-%u/" FILE_NAME,
				m->mnt_dir);
	endmntent(mounts);
}

static int is_segment(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && not_ours(&st) == NULL && st.st_size > 0;
}

// Whoever may write where our directory goes may have put something else there. Root can take it
// away; for others stats_place_open() says what is wrong.
static void clear_way(const char *path)
{
	char directory[128], aside[144];
	struct stat st;

	snprintf(directory, sizeof(directory), "%.*s", (int)(strrchr(path, '/') - path), path);
	snprintf(aside, sizeof(aside), "%s.unusable", directory);
	if (lstat(directory, &st) == 0 && !is_ours(&st))
		rename(directory, aside);
}

int stats_place_default(uint64_t bytes, char *path, size_t size)
{
	struct candidates c = {.count = 0};
	unsigned best = 0;

	add_hugetlbfs(&c, bytes);
	add_candidate(&c, is_tmpfs_of_ours("/run/culvert"), "%s/" FILE_NAME, "/run/culvert");
	add_candidate(&c, 1, "%s/culvert-%u/" FILE_NAME, "/dev/shm");
	while (best < c.count && !is_segment(c.at[best].path))
		best++;
	if (best == c.count)
		for (best = 0; !c.at[best].room;)
			best++;
	clear_way(c.at[best].path);
	return snprintf(path, size, "%s", c.at[best].path) < (int)size ? 0 : -ENAMETOOLONG;
}
