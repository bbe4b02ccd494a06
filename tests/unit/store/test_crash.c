// SPDX-License-Identifier: BSD-3-Clause
// The machine stops while the store is made: at each call that writes or moves something, half of it done. What is there then
// is a store and its key or none, and the next culvertd starts.

#include "tests/unit/store/base.h"

#include <sys/syscall.h>
#include <sys/wait.h>

static bool armed; // in the process that is to die
static unsigned int calls, last;

static bool it_is_time(void)
{
	return armed && ++calls == last;
}

// In the place of libc's, for SQLite too.
ssize_t write(int fd, const void *bytes, size_t length)
{
	bool now = it_is_time();
	ssize_t written = syscall(SYS_write, fd, bytes, now ? length / 2 : length);

	if (now)
		_exit(9);
	return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
	bool now = it_is_time();
	ssize_t written = syscall(SYS_pwrite64, fd, bytes, now ? length / 2 : length, at);

	if (now)
		_exit(9);
	return written;
}

int fsync(int fd)
{
	if (it_is_time())
		_exit(9);
	return (int)syscall(SYS_fsync, fd);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned int flags)
{
	if (it_is_time())
		_exit(9);
	int result = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
	if (it_is_time())
		_exit(9);
	return result;
}

static void forget(void)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".key", ".key.new"};
	char name[320];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
}

static void make(void)
{
	struct store_options options = {.path = path};
	struct api_error error = {0};
	struct store *store;

	armed = true;
	_exit(store_open(&store, &options, &error) == 0 ? 0 : 1);
}

static void test_at_each_call(void **state)
{
	static const unsigned int most = 1000;
	unsigned int keys = 0, halves = 0;
	struct stat status;
	int how = 9 << 8;

	for (last = 1; how == 9 << 8 && last < most; last++) {
		pid_t pid = fork();
		if (pid == 0)
			make();
		assert_int_equal(waitpid(pid, &how, 0), pid);
		char partial[320];
		snprintf(partial, sizeof(partial), "%s.new", key_path);
		halves += stat(partial, &status) == 0 && status.st_size == 16;
		if (stat(key_path, &status) == 0) {
			assert_int_equal(status.st_size, 32);
			keys++;
		}
		struct store *store = open_store(0);
		struct store_state s = load_store(store);
		assert_string_equal(s.doubt, "");
		commit(store, &s, parse(s.model, base_yaml));
		store_close(store);
		drop(&s);
		forget();
	}
	assert_int_equal(how, 0); // it was made at last
	assert_true(last > 8 && last < most && keys > 1 && halves == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_at_each_call, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
