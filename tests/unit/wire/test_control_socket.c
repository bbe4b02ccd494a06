// SPDX-License-Identifier: BSD-3-Clause
// The socket itself: what happens before there is a link, and when its file goes.

#include "tests/unit/wire/control_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// The bench with a socket of its own, for what happens before there is a link.
static char directory[64], path[96];
static struct wire_listener *listener;

static int set_up_listener(void **state)
{
	strcpy(directory, "/tmp/culvert-control-XXXXXX");
	if (set_up(state) || !mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/s", directory);
	if (wire_listen(path, getuid(), &listener))
		return -1;
	wire_link_close(bench.link);
	bench.link = NULL;
	turn();
	control_destroy(bench.control);
	return control_create(
		&(struct control_config){.dp = bench.dp, .host = bench.host, .listener = listener},
		&bench.control);
}

static int tear_down_listener(void **state)
{
	int err = tear_down(state);

	wire_listener_close(listener);
	rmdir(directory);
	return err;
}

static bool listens(void)
{
	struct pollfd poll_fds[2];
	unsigned n = control_poll_fds(bench.control, poll_fds);

	for (unsigned i = 0; i < n; i++)
		if (poll_fds[i].fd == wire_listener_fd(listener))
			return true;
	return false;
}

#define SECOND 1000000000ull

// No descriptor for the newcomer: he waits, and the listener, which stays readable, is not polled meanwhile.
static void test_without_descriptors_it_does_not_spin(void **state)
{
	struct rlimit before, none;
	uint64_t now = SECOND;

	control_events(bench.control, now);
	assert_int_equal(wire_connect(path, &bench.link), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3; // all that are open are open; no other one
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_true(listens());
	control_turn(bench.control);
	bool spins = listens();
	control_events(bench.control, now += 2 * SECOND);
	control_turn(bench.control);
	bool again = listens();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(spins);
	assert_false(again);
	control_events(bench.control, now += 2 * SECOND);
	assert_true(listens());
	hello(bench.store, 1);
}

// The file or its directory is removed under a running data plane: made again at the next look, by the same name.
static void test_removed_socket_is_made_again(void **state)
{
	uint64_t now = SECOND;
	struct wire_listener *other;
	struct stat st;

	control_events(bench.control, now);
	assert_int_equal(unlink(path), 0);
	control_events(bench.control, now += SECOND / 2); // not in every turn
	assert_int_equal(stat(path, &st), -1);
	control_events(bench.control, now += SECOND);
	assert_int_equal(wire_connect(path, &bench.link), 0);
	hello(bench.store, 1);
	assert_int_equal(set_vrf(1), 0);
	// With the link that it had it goes on.
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	control_events(bench.control, now += SECOND);
	assert_int_equal(set_vrf(2), 0);
	control_events(bench.control, now += SECOND);
	assert_int_equal(stat(path, &st), 0); // its directory, too
	wire_link_close(bench.link);
	assert_int_equal(wire_connect(path, &bench.link), 0);
	hello(bench.store, 1);
	// Somebody else's by now: left alone, also at the end.
	assert_int_equal(unlink(path), 0);
	assert_int_equal(wire_listen(path, getuid(), &other), 0);
	assert_int_equal(stat(path, &st), 0);
	ino_t theirs = st.st_ino;
	control_events(bench.control, now += SECOND);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_ino, theirs);
	wire_listener_close(other);
	control_events(bench.control, now += SECOND);
	assert_true(listens());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without_descriptors_it_does_not_spin,
			set_up_listener, tear_down_listener),
		cmocka_unit_test_setup_teardown(
			test_removed_socket_is_made_again, set_up_listener, tear_down_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
