// SPDX-License-Identifier: BSD-3-Clause
// The link: one controller, a dead predecessor, descriptors, the window, a full socket, hostile
// datagrams.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/wire/link.h"
#include "tests/unit/wire/samples.h"

static char directory[64], path[96];
static struct wire_message message;
static int fds[WIRE_FDS_MAX];
static unsigned fds_count;

static int make_directory(void **state)
{
	strcpy(directory, "/tmp/culvert-link-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/s", directory);
	return 0;
}

static int remove_directory(void **state)
{
	unlink(path);
	return rmdir(directory);
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void pair(struct wire_link **dataplane, struct wire_link **controller)
{
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	assert_int_equal(wire_link_adopt(s[0], WIRE_TO_DATAPLANE, dataplane), 0);
	assert_int_equal(wire_link_adopt(s[1], WIRE_TO_CONTROLLER, controller), 0);
}

static int receive(struct wire_link *l)
{
	return wire_receive(l, &message, fds, &fds_count);
}

static void send_route(struct wire_link *l)
{
	wire_message_start(&message, WIRE_ROUTE_SET, 0);
	wire_message_add(&message, &sample_wire_route);
	assert_int_equal(wire_send(l, &message, NULL, 0), 0);
}

static void test_second_controller_is_refused(void **state)
{
	struct wire_listener *listener;
	struct wire_link *first, *second, *end, *none = NULL;

	assert_int_equal(wire_listen(path, getuid(), &listener), 0);
	assert_int_equal(wire_listen(path, getuid(), &listener), -EADDRINUSE);
	assert_int_equal(wire_accept(listener, NULL, &end), -EAGAIN);
	assert_int_equal(wire_connect(path, &first), 0);
	assert_int_equal(wire_accept(listener, NULL, &end), 0);
	assert_int_equal(wire_connect(path, &second), 0);
	assert_int_equal(wire_accept(listener, end, &none), -EBUSY);
	assert_null(none);
	assert_int_equal(receive(second), -EPIPE);
	send_route(first); // the first one is not disturbed
	assert_int_equal(receive(end), 1);
	wire_link_close(second);
	wire_link_close(first);
	wire_link_close(end);
	wire_listener_close(listener);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_dead_predecessor_is_replaced(void **state)
{
	struct wire_listener *listener;
	struct wire_link *old, *successor, *end;
	int ready[2];
	pid_t child;
	char byte;

	assert_int_equal(wire_listen(path, getuid(), &listener), 0);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		struct wire_link *l;

		if (wire_connect(path, &l) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(wire_accept(listener, NULL, &old), 0);
	assert_false(wire_link_hung_up(old));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	// Nobody has read from the old link, so nobody knows yet.
	assert_int_equal(wire_connect(path, &successor), 0);
	assert_int_equal(wire_accept(listener, old, &end), 0);
	assert_true(wire_link_hung_up(old));
	wire_link_close(old);
	send_route(successor);
	assert_int_equal(receive(end), 1);
	wire_link_close(successor);
	wire_link_close(end);
	wire_listener_close(listener);
	close(ready[0]);
	close(ready[1]);
}

static void test_abandoned_socket_is_taken_over(void **state)
{
	struct wire_listener *listener;
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(wire_listen(path, getuid(), &listener) != 0); // leaves the socket behind
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(wire_listen(path, getuid(), &listener), 0);
	wire_listener_close(listener);
}

static void test_a_file_in_the_way_stays(void **state)
{
	struct wire_listener *listener;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	close(fd);
	assert_int_equal(wire_listen(path, getuid(), &listener), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void test_foreign_user_is_refused(void **state)
{
	struct wire_listener *listener;
	struct wire_link *end;
	pid_t child;
	int status;

	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(directory, 0755), 0);
	assert_int_equal(wire_listen(path, 0, &listener), 0);
	assert_int_equal(chmod(path, 0777), 0);
	child = fork();
	if (child == 0) {
		struct wire_link *l;
		int got;

		// By its name alone: another user may not be let through the directories above.
		if (chdir(directory) || setuid(65534) || wire_connect("s", &l))
			_exit(1);
		while ((got = receive(l)) == 0)
			;
		_exit(got == -EPIPE ? 0 : 2);
	}
	while ((status = wire_accept(listener, NULL, &end)) == -EAGAIN)
		;
	assert_int_equal(status, -EPERM);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	wire_listener_close(listener);
}

static void test_descriptors_travel(void **state)
{
	struct wire_link *dataplane, *controller;
	unsigned before;
	int many[WIRE_FDS_MAX + 1];

	pair(&dataplane, &controller);
	before = open_descriptors();
	for (unsigned i = 0; i <= WIRE_FDS_MAX; i++)
		many[i] = open("/dev/null", O_RDONLY);
	wire_message_start(&message, WIRE_HOST_SET, 0);
	wire_message_add(&message, &sample_wire_host);
	assert_int_equal(wire_send(controller, &message, many, WIRE_FDS_MAX + 1), -EINVAL);
	assert_int_equal(wire_send(controller, &message, many, WIRE_FDS_MAX), 0);
	assert_int_equal(receive(dataplane), 1);
	assert_int_equal(fds_count, WIRE_FDS_MAX);
	for (unsigned i = 0; i < fds_count; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
	for (unsigned i = 0; i <= WIRE_FDS_MAX; i++)
		close(many[i]);
	assert_int_equal(open_descriptors(), before);
	wire_link_close(dataplane);
	wire_link_close(controller);
}

// Sends raw bytes with `n` descriptors over a socket of ours.
static void send_raw(int fd, const void *data, size_t length, const int *descriptors, unsigned n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {0};
	struct iovec iov = {(void *)(uintptr_t)data, length};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), descriptors, n * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &msg, 0), length);
}

static void test_refused_messages_close_their_descriptors(void **state)
{
	struct wire_link *dataplane, *controller;
	static uint8_t large[WIRE_MESSAGE_MAX + 1];
	int null = open("/dev/null", O_RDONLY), two[2] = {null, null};
	unsigned before;

	pair(&dataplane, &controller);
	before = open_descriptors();
	send_raw(wire_link_fd(controller), "x", 1, two, 2);
	assert_int_equal(receive(dataplane), -EBADMSG);
	send_raw(wire_link_fd(controller), large, sizeof(large), two, 2);
	assert_int_equal(receive(dataplane), -EBADMSG);
	wire_message_start(&message, WIRE_PORT, 0); // wrong direction
	wire_message_add(&message, &sample_wire_port);
	send_raw(wire_link_fd(controller), message.data, message.header.len, two, 2);
	assert_int_equal(receive(dataplane), -EACCES);
	assert_int_equal(message.header.type, WIRE_PORT); // so that it can be answered
	assert_int_equal(fds_count, 0);
	assert_int_equal(open_descriptors(), before);
	send_route(controller);
	assert_int_equal(receive(dataplane), 1);
	wire_link_close(dataplane);
	wire_link_close(controller);
	close(null);
}

static void test_window(void **state)
{
	struct wire_link *dataplane, *controller;

	pair(&dataplane, &controller);
	for (unsigned i = 0; i < WIRE_WINDOW; i++) {
		assert_int_equal(wire_link_window(controller), WIRE_WINDOW - i);
		send_route(controller);
		assert_int_equal(message.header.seq, i + 1);
	}
	wire_message_start(&message, WIRE_ROUTE_SET, 0);
	wire_message_add(&message, &sample_wire_route);
	assert_int_equal(wire_send(controller, &message, NULL, 0), -EAGAIN);
	wire_message_start(&message, WIRE_ACK, 10);
	assert_int_equal(wire_send(dataplane, &message, NULL, 0), 0);
	assert_int_equal(receive(controller), 1);
	assert_int_equal(wire_link_window(controller), 10);
	wire_message_start(&message, WIRE_ACK, 4711); // of something never sent
	assert_int_equal(wire_send(dataplane, &message, NULL, 0), 0);
	assert_int_equal(receive(controller), 1);
	assert_int_equal(wire_link_window(controller), 10);
	wire_link_close(dataplane);
	wire_link_close(controller);
}

static void test_backlog_keeps_order_and_descriptors(void **state)
{
	struct wire_link *dataplane, *controller;
	unsigned before, sent = 0, got = 0, with_fds = 0;
	int null = open("/dev/null", O_RDONLY);

	pair(&dataplane, &controller);
	before = open_descriptors();
	while (wire_link_backlog(dataplane) < (1u << 20)) {
		wire_message_start(&message, WIRE_ROUTE_SET, ++sent);
		while (wire_message_add(&message, &sample_wire_route) == 0)
			;
		assert_int_equal(wire_send(dataplane, &message, &null, sent % 8 == 0), 0);
	}
	while (got < sent) {
		int r = receive(controller);

		assert_int_equal(wire_link_flush(dataplane), 0);
		if (r == 0)
			continue;
		assert_int_equal(r, 1);
		assert_int_equal(message.header.seq, ++got);
		with_fds += fds_count;
		if (fds_count)
			close(fds[0]);
	}
	assert_int_equal(with_fds, sent / 8);
	assert_int_equal(wire_link_backlog(dataplane), 0);
	assert_int_equal(open_descriptors(), before);
	wire_message_start(&message, WIRE_ROUTE_SET, 1);
	wire_link_close(controller);
	assert_int_equal(wire_send(dataplane, &message, NULL, 0), -EPIPE);
	wire_link_close(dataplane);
	close(null);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
	const struct CMUnitTest tests[] = {
		TEST(test_second_controller_is_refused),
		TEST(test_dead_predecessor_is_replaced),
		TEST(test_abandoned_socket_is_taken_over),
		TEST(test_a_file_in_the_way_stays),
		TEST(test_foreign_user_is_refused),
		cmocka_unit_test(test_descriptors_travel),
		cmocka_unit_test(test_refused_messages_close_their_descriptors),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_backlog_keeps_order_and_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
