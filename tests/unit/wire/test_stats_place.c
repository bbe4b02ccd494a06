// SPDX-License-Identifier: BSD-3-Clause
// Who else may have had a hand in the stats segment's file: what others planted is never used,
// opened or followed.

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/wire/stats_file.h"
#include "dataplane/wire/stats_place.h"

static char directory[64], path[80], unusable[96], note[768];

static struct stats_config config(void)
{
	return (struct stats_config){.path = path,
		.interfaces = 64,
		.limiters = 32,
		.workers = 1,
		.hz = 2600000000u,
		.instance = 1};
}

static int make_directory(void **state)
{
	snprintf(directory, sizeof(directory), "/dev/shm/culvert-place-%d", (int)getpid());
	snprintf(path, sizeof(path), "%s/stats", directory);
	snprintf(unusable, sizeof(unusable), "%s.unusable", path);
	return mkdir(directory, 0700);
}

static int remove_directory(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

// A good segment as another run of ours would have left it, with a count that must not be believed.
static void leave_segment(void)
{
	struct stats_config c = config();
	struct stats_segment *s;
	int64_t slot;

	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	slot = stats_slot(s, STATS_INTERFACE, 77);
	stats_interface(s, 0, (uint32_t)slot)->rx_packets = 4711;
	stats_interface(s, 0, (uint32_t)slot)->forwarded = 4711;
	stats_close(s);
}

// The segment opens, starts from 0, says why, and what was planted is out of the way.
static void assert_set_aside(const char *why)
{
	struct stats_config c = config();
	struct stats_segment *s;
	struct stat st;

	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_int_equal(s->taken_up, 0);
	assert_true(stats_find(s, STATS_INTERFACE, 77) < 0);
	assert_non_null(strstr(note, path));
	assert_non_null(strstr(note, why));
	assert_int_equal(lstat(unusable, &st), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	stats_close(s);
}

static void test_our_own_is_taken_up(void **state)
{
	struct stats_config c = config();
	struct stats_segment *s;

	leave_segment();
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_int_equal(s->taken_up, 1);
	assert_string_equal(note, "");
	stats_close(s);
}

static void test_another_owners_file(void **state)
{
	if (geteuid() != 0)
		skip();
	leave_segment();
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_set_aside("belongs to somebody else");
}

static void test_a_file_that_others_may_write(void **state)
{
	leave_segment();
	assert_int_equal(chmod(path, 0660), 0);
	assert_set_aside("can be written by others");
	unlink(path);
	leave_segment();
	assert_int_equal(chmod(path, 0602), 0);
	assert_set_aside("can be written by others");
}

static void test_a_second_name(void **state)
{
	char other[96];

	leave_segment();
	snprintf(other, sizeof(other), "%s/other", directory);
	assert_int_equal(link(path, other), 0);
	assert_set_aside("has a second name");
}

static void test_a_fifo(void **state)
{
	alarm(5); // opening one may wait for ever
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_set_aside("is not a regular file");
	alarm(0);
}

static void test_a_symbolic_link(void **state)
{
	char target[96];

	snprintf(target, sizeof(target), "%s/target", directory);
	assert_int_equal(symlink(target, path), 0);
	assert_set_aside("is not a regular file");
	assert_int_equal(access(target, F_OK), -1);
}

static void test_a_directory_in_its_place(void **state)
{
	assert_int_equal(mkdir(path, 0700), 0);
	assert_set_aside("is not a regular file");
}

static void assert_refused(int error, const char *sentence)
{
	struct stats_config c = config();
	struct stats_segment *s = NULL;

	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), error);
	assert_null(s);
	assert_non_null(strstr(note, sentence));
	assert_non_null(strstr(note, directory));
}

static void test_a_directory_that_others_rule(void **state)
{
	assert_int_equal(chmod(directory, 0770), 0);
	assert_refused(-EPERM, "others may write");
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(chmod(directory, 01777), 0); // sticky: nobody can take our file away
	leave_segment();
	if (geteuid() != 0)
		return;
	assert_int_equal(chmod(directory, 0700), 0);
	assert_int_equal(chown(directory, 65534, 65534), 0);
	assert_refused(-EPERM, "belongs to user 65534");
}

static void test_a_directory_that_is_a_link(void **state)
{
	char link[80];

	snprintf(link, sizeof(link), "%s/link", directory);
	assert_int_equal(symlink(directory, link), 0);
	snprintf(path, sizeof(path), "%s/link/stats", directory);
	assert_refused(-ENOTDIR, "is not a directory");
}

static void test_what_cannot_be_set_aside(void **state)
{
	char file[128];

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(mkdir(unusable, 0700), 0);
	snprintf(file, sizeof(file), "%s/x", unusable);
	assert_int_equal(mkdir(file, 0700), 0);
	assert_refused(-EPERM, "cannot be set aside");
}

static void test_the_directory_is_made(void **state)
{
	struct stats_config c = config();
	struct stats_segment *s;
	char below[72];
	struct stat st;

	snprintf(below, sizeof(below), "%s/new", directory);
	snprintf(path, sizeof(path), "%s/new/stats", directory);
	umask(0);
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_int_equal(stat(below, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	stats_close(s);
}

// With a /dev/shm of its own, so that nobody's segment is in the way. 0 = as it should be.
static int try_default(void)
{
	char where[256], mine[64];
	struct stat st;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", "/dev/shm", "tmpfs", 0, "mode=1777") < 0)
		return 77;
	if (stats_place_default(1ull << 60, where, sizeof(where)) != 0) // no hugetlbfs has that
		return 1;
	snprintf(mine, sizeof(mine), "/dev/shm/culvert-%u", geteuid());
	if (strncmp(where, mine, strlen(mine)) != 0)
		return 77; // this machine has a place elsewhere
	if (mkdir(mine, 0777) < 0 || chown(mine, 65534, 65534) < 0)
		return 2;
	if (stats_place_default(1ull << 60, where, sizeof(where)) != 0 || lstat(mine, &st) == 0 ||
		strncmp(where, mine, strlen(mine)) != 0)
		return 3;
	return 0;
}

// Nobody said where: a directory of ours, also where somebody else was first.
static void test_the_default(void **state)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(try_default());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
	const struct CMUnitTest tests[] = {
		TEST(test_our_own_is_taken_up),
		TEST(test_another_owners_file),
		TEST(test_a_file_that_others_may_write),
		TEST(test_a_second_name),
		TEST(test_a_fifo),
		TEST(test_a_symbolic_link),
		TEST(test_a_directory_in_its_place),
		TEST(test_a_directory_that_others_rule),
		TEST(test_a_directory_that_is_a_link),
		TEST(test_what_cannot_be_set_aside),
		TEST(test_the_directory_is_made),
		TEST(test_the_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
