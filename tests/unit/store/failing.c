// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/store/failing.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool armed, loses_late, failed;
unsigned int calls, last;
int fails_with;

// --- what is not synchronised --------------------------------------------------------------------------

#define LATE_MAX   65536
#define LATE_FILES 16

struct late { // undoes one call
	unsigned int file;
	off_t size, at;
	size_t length;
	char *bytes;
};
static struct late late[LATE_MAX];
static unsigned int late_count;
static struct {
	ino_t inode;
	int writes, reads;
} late_file[LATE_FILES];
static unsigned int late_files;

static unsigned int late_find(int fd, ino_t inode)
{
	char name[64];
	unsigned int i = 0;

	for (; i < late_files; i++) {
		if (late_file[i].inode == inode)
			return i;
	}
	if (late_files == LATE_FILES)
		abort();
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd); // it may be open for writing only
	late_file[late_files].inode = inode;
	late_file[late_files].writes = dup(fd);
	late_file[late_files].reads = open(name, O_RDONLY | O_CLOEXEC);
	return late_files++;
}

static void remember(int fd, off_t at, size_t length)
{
	struct stat status;

	if (!loses_late || fstat(fd, &status) || !S_ISREG(status.st_mode))
		return;
	if (late_count == LATE_MAX)
		abort();
	struct late *one = &late[late_count++];
	*one = (struct late){.file = late_find(fd, status.st_ino), .size = status.st_size, .at = at};
	if (at >= status.st_size)
		return;
	one->length = length < (size_t)(status.st_size - at) ? length : (size_t)(status.st_size - at);
	one->bytes = malloc(one->length);
	if (!one->bytes ||
		pread(late_file[one->file].reads, one->bytes, one->length, at) != (ssize_t)one->length)
		abort();
}

static void synchronised(int fd)
{
	struct stat status;
	unsigned int kept = 0;

	if (fstat(fd, &status))
		return;
	for (unsigned int i = 0; i < late_count; i++) {
		if (late_file[late[i].file].inode != status.st_ino)
			late[kept++] = late[i];
		else
			free(late[i].bytes);
	}
	late_count = kept;
}

void lose_late(void)
{
	while (late_count > 0) {
		const struct late *one = &late[--late_count];
		int fd = late_file[one->file].writes;
		if (one->length && syscall(SYS_pwrite64, fd, one->bytes, one->length, one->at) !=
					   (ssize_t)one->length)
			abort();
		if (syscall(SYS_ftruncate, fd, one->size))
			abort();
	}
}

static void die(void)
{
	lose_late();
	_exit(KILLED);
}

// --- the calls -------------------------------------------------------------------------------------------

enum turn { GO_ON, DIE, FAIL };

static enum turn turn(void)
{
	if (!armed || ++calls < last)
		return GO_ON;
	if (fails_with == 0)
		return calls == last ? DIE : GO_ON;
	failed = true;
	errno = fails_with;
	return FAIL;
}

static ssize_t write_at(long number, int fd, const void *bytes, size_t length, off_t at)
{
	enum turn now = turn();

	if (now == FAIL)
		return -1;
	remember(fd, at, length);
	ssize_t written = syscall(number, fd, bytes, now == DIE ? length / 2 : length, at);
	if (now == DIE)
		die();
	return written;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	return write_at(SYS_write, fd, bytes, length, loses_late ? lseek(fd, 0, SEEK_CUR) : 0);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
	return write_at(SYS_pwrite64, fd, bytes, length, at);
}

static int simple(long number, long a, long b, long c, long d, long e)
{
	enum turn now = turn();

	if (now == DIE)
		die();
	return now == FAIL ? -1 : (int)syscall(number, a, b, c, d, e);
}

int fsync(int fd)
{
	int rc = simple(SYS_fsync, fd, 0, 0, 0, 0);

	if (rc == 0)
		synchronised(fd);
	return rc;
}

int fdatasync(int fd)
{
	int rc = simple(SYS_fdatasync, fd, 0, 0, 0, 0);

	if (rc == 0)
		synchronised(fd);
	return rc;
}

int ftruncate64(int fd, off64_t size)
{
	remember(fd, size, SIZE_MAX);
	return simple(SYS_ftruncate, fd, size, 0, 0, 0);
}

int unlink(const char *name)
{
	return simple(SYS_unlink, (long)(uintptr_t)name, 0, 0, 0, 0);
}

int rename(const char *from, const char *to)
{
	return simple(SYS_rename, (long)(uintptr_t)from, (long)(uintptr_t)to, 0, 0, 0);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned int flags)
{
	int rc = simple(SYS_renameat2, from_at, (long)(uintptr_t)from, to_at, (long)(uintptr_t)to, flags);

	if (turn() == DIE)
		die();
	return rc;
}
