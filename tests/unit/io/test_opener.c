// SPDX-License-Identifier: BSD-3-Clause
// The opener by both ends of its socket. What takes privileges is asked for whatever ours are, and
// fails or not accordingly; here it is about who is answered, who is ended, and who waits for whom.

#include "dataplane/io/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct opener_device devices[] = {
	{.name = "no-such-device"}, {.name = ""}, {.netns = "no-such-netns", .name = "lo"}};
#define DEVICES (sizeof(devices) / sizeof(devices[0]))

// --- the process, spoken to by whom it should not be ---

static pid_t child;

static int serve(void)
{
	int pair[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), errno);
	child = fork();
	if (child == 0) {
		close(pair[0]);
		opener_serve(pair[1], devices, DEVICES);
	}
	assert_true(child > 0);
	close(pair[1]);
	return pair[0];
}

static int exit_status(void)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static struct opener_request fair(void)
{
	return (struct opener_request){.serial = 7, .kind = OPENER_SETTINGS, .port = 0};
}

static void test_a_fair_request_is_answered_and_its_end_is_quiet(void **state)
{
	struct opener_request r = fair();
	struct opener_reply reply;
	int fd = serve();

	assert_int_equal(send(fd, &r, sizeof(r), 0), sizeof(r));
	assert_int_equal(recv(fd, &reply, sizeof(reply), 0), sizeof(reply));
	assert_int_equal(reply.serial, 7);
	assert_int_equal(reply.port, 0);
	close(fd);
	assert_int_equal(exit_status(), 0);
}

static void hostile(const void *bytes, size_t size, bool with_descriptor)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {(void *)(uintptr_t)bytes, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct opener_reply reply;
	int fd = serve();

	if (with_descriptor) {
		control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	assert_int_equal(sendmsg(fd, &message, 0), size);
	assert_true(recv(fd, &reply, sizeof(reply), 0) <= 0); // no answer but its end
	assert_int_equal(exit_status(), OPENER_HOSTILE);
	close(fd);
}

static void test_a_hostile_request_ends_it_unanswered(void **state)
{
	struct {
		struct opener_request r;
		char more[4096];
	} large = {fair(), {0}};
	struct opener_request r = fair();

	for (size_t size = 1; size < sizeof(r); size++)
		hostile(&r, size, false);
	hostile(&large, sizeof(r) + 1, false);
	hostile(&large, sizeof(large), false);
	hostile(&r, sizeof(r), true);
	for (unsigned i = 0; i < 32; i++) {
		r = fair();
		r.kind = OPENER_KINDS + (i ? 1u << i : 0);
		hostile(&r, sizeof(r), false);
		r = fair();
		r.port = DEVICES + (i ? 1u << i : 0);
		hostile(&r, sizeof(r), false);
		r = fair();
		r.zero = 1u << i;
		hostile(&r, sizeof(r), false);
		r = fair();
		r.number = 1u << i; // settings have no number
		hostile(&r, sizeof(r), false);
	}
	r = (struct opener_request){.kind = OPENER_SOCKETS, .number = OPENER_DESCRIPTORS};
	hostile(&r, sizeof(r), false);
	r = fair();
	r.port = 1; // a PMD's: its name is nobody's to open
	hostile(&r, sizeof(r), false);
}

static void test_random_bytes(void **state)
{
	unsigned seed = (unsigned)getpid();

	print_message("seed %u\n", seed);
	for (unsigned i = 0; i < 200; i++) {
		struct opener_request r = fair();
		uint8_t *bytes = (uint8_t *)&r;

		seed = seed * 1103515245u + 12345u;
		bytes[sizeof(r.serial) + seed / 65536u % (sizeof(r) - sizeof(r.serial))] ^=
			(uint8_t)(0x80u | seed >> 8);
		hostile(&r, sizeof(r), false);
	}
}

static void test_it_ends_with_its_parent(void **state)
{
	struct opener_answer a = {0};
	struct pollfd ended = {.events = POLLIN};
	struct opener *o;
	int pipes[2];
	pid_t parent, opener;

	assert_return_code(pipe(pipes), errno);
	parent = fork();
	if (parent == 0) { // a data plane that is killed
		if (opener_start(devices, DEVICES, &o) != 0 ||
			opener_wait(o, 0, OPENER_SETTINGS, 0, &a) != 0)
			_exit(1);
		opener = opener_process(o);
		kill(opener, SIGSTOP); // it will not read the end of its socket
		if (write(pipes[1], &opener, sizeof(opener)) == sizeof(opener))
			for (;;)
				pause();
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &opener, sizeof(opener)), sizeof(opener));
	ended.fd = pidfd_open(opener, 0);
	assert_return_code(ended.fd, errno);
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_int_equal(poll(&ended, 1, 5000), 1);
	close(ended.fd);
	close(pipes[0]);
}

// --- the data plane's end ---

static int answered(struct opener *o, unsigned port, enum opener_kind kind, struct opener_answer *a)
{
	for (;;) {
		int err = opener_ask(o, port, kind, kind == OPENER_SOCKETS ? 3 : 0, a);

		if (err != -EINPROGRESS)
			return err;
		poll(NULL, 0, 1);
	}
}

static void test_descriptors_arrive(void **state)
{
	struct opener_answer a = {0};
	struct opener *o;
	int err, type;
	socklen_t length = sizeof(type);

	assert_return_code(opener_start(devices, DEVICES, &o), 0);
	assert_false(opener_was_asked(o));
	err = opener_wait(o, 0, OPENER_SOCKETS, 3, &a);
	assert_true(opener_was_asked(o));
	if (geteuid() == 0) {
		assert_int_equal(err, 0);
		assert_int_equal(a.count, 4);
		for (unsigned i = 0; i < a.count; i++) {
			assert_return_code(
				getsockopt(a.fd[i], SOL_SOCKET, SO_DOMAIN, &type, &length), errno);
			assert_int_equal(type, i == 0 ? AF_INET : AF_PACKET);
			assert_true(fcntl(a.fd[i], F_GETFD) & FD_CLOEXEC);
			close(a.fd[i]);
		}
	} else {
		assert_int_equal(err, -EPERM);
		assert_int_equal(a.count, 0);
	}
	assert_int_equal(answered(o, 2, OPENER_SOCKETS, &a), -ENOENT); // the namespace
	assert_int_equal(answered(o, 0, OPENER_SETTINGS, &a), 0);      // no MTU, nothing to fail
	opener_stop(o);
}

static void test_a_hung_one_holds_nobody_and_is_not_asked_twice(void **state)
{
	struct opener_answer a = {0};
	struct opener *o;

	assert_return_code(opener_start(devices, DEVICES, &o), 0);
	assert_int_equal(answered(o, 0, OPENER_SETTINGS, &a), 0);
	assert_return_code(kill(opener_process(o), SIGSTOP), errno);
	assert_int_equal(answered(o, 0, OPENER_SETTINGS, &a), -ETIMEDOUT);
	for (unsigned i = 0; i < 100000; i++) // more than the socket holds
		assert_int_equal(opener_ask(o, 0, OPENER_SETTINGS, 0, &a), -ETIMEDOUT);
	assert_true(opener_is_there(o));
	assert_return_code(kill(opener_process(o), SIGCONT), errno);
	while (opener_ask(o, 0, OPENER_SETTINGS, 0, &a) == -ETIMEDOUT) // till the late one came
		poll(NULL, 0, 1);
	assert_int_equal(answered(o, 0, OPENER_SETTINGS, &a), 0);
	opener_stop(o);
}

static void test_a_killed_one_is_told_of_once(void **state)
{
	struct opener_answer a = {0};
	char how[64];
	struct opener *o;

	assert_return_code(opener_start(devices, DEVICES, &o), 0);
	assert_false(opener_ended(o, how, sizeof(how)));
	assert_return_code(kill(opener_process(o), SIGKILL), errno);
	while (!opener_ended(o, how, sizeof(how)))
		poll(NULL, 0, 1);
	assert_string_equal(how, "signal 9");
	assert_false(opener_ended(o, how, sizeof(how)));
	assert_false(opener_is_there(o));
	assert_int_equal(opener_ask(o, 0, OPENER_SETTINGS, 0, &a), -EPIPE);
	assert_int_equal(opener_wait(o, 1, OPENER_SOCKETS, 1, &a), -EPIPE);
	assert_string_equal(opener_strerror(-EPIPE), "the opener has ended");
	assert_string_equal(opener_strerror(-EPERM), strerror(EPERM));
	opener_stop(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_fair_request_is_answered_and_its_end_is_quiet),
		cmocka_unit_test(test_a_hostile_request_ends_it_unanswered),
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_it_ends_with_its_parent),
		cmocka_unit_test(test_descriptors_arrive),
		cmocka_unit_test(test_a_hung_one_holds_nobody_and_is_not_asked_twice),
		cmocka_unit_test(test_a_killed_one_is_told_of_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
