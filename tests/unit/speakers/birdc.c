// SPDX-License-Identifier: BSD-3-Clause
// The control-socket client against a scripted daemon in the same event loop: answers in pieces, continuation
// lines, errors, a daemon that hangs up, one that speaks nonsense, one that is not there.

#include "control/speakers/bird/birdc.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

struct world {
	struct event_base *base;
	struct birdc *birdc;
	struct bufferevent *daemon;
	struct event *accepting;
	struct event *deadline;
	char directory[40], path[64], heard[4096], lines[4096];
	int listener, ups, downs, dones, last_error;
	unsigned int last_code;
	const char *greeting;
};

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	fail_msg("nothing happened for five seconds");
}

static void on_state(void *ctx, bool up)
{
	struct world *world = ctx;

	world->ups += up;
	world->downs += !up;
}

static void on_line(void *ctx, unsigned int code, const char *text)
{
	struct world *world = ctx;
	size_t used = strlen(world->lines);

	snprintf(world->lines + used, sizeof(world->lines) - used, "%u:%s|", code, text);
}

static void on_done(void *ctx, int error, unsigned int code, const char *text)
{
	struct world *world = ctx;

	world->dones++;
	world->last_error = error;
	world->last_code = code;
}

static void on_heard(struct bufferevent *stream, void *ctx)
{
	struct world *world = ctx;
	size_t used = strlen(world->heard);

	used += bufferevent_read(stream, world->heard + used, sizeof(world->heard) - 1 - used);
	world->heard[used] = '\0';
}

static void on_accept(evutil_socket_t fd, short what, void *ctx)
{
	struct world *world = ctx;
	int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	assert_true(accepted >= 0);
	world->daemon = bufferevent_socket_new(world->base, accepted, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(world->daemon, on_heard, NULL, NULL, world);
	bufferevent_enable(world->daemon, EV_READ | EV_WRITE);
	bufferevent_write(world->daemon, world->greeting, strlen(world->greeting));
}

static int set_up(void **ctx)
{
	struct world *world = calloc(1, sizeof(*world));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval five = {5, 0};

	strcpy(world->directory, "/tmp/culvert-birdc-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	snprintf(world->path, sizeof(world->path), "%s/bird.ctl", world->directory);
	strcpy(address.sun_path, world->path);
	world->base = event_base_new();
	world->greeting = "0001 BIRD 2.0.12 ready.\n";
	world->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(world->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(world->listener, 1), 0);
	world->accepting =
		event_new(world->base, world->listener, EV_READ | EV_PERSIST, on_accept, world);
	event_add(world->accepting, NULL);
	world->deadline = event_new(world->base, -1, 0, on_deadline, world);
	event_add(world->deadline, &five);
	world->birdc = birdc_create(world->base, world->path, on_state, world);
	assert_non_null(world->birdc);
	*ctx = world;
	return 0;
}

static int tear_down(void **ctx)
{
	struct world *world = *ctx;

	birdc_destroy(world->birdc);
	if (world->daemon)
		bufferevent_free(world->daemon);
	event_free(world->accepting);
	event_free(world->deadline);
	close(world->listener);
	event_base_free(world->base);
	unlink(world->path);
	rmdir(world->directory);
	free(world);
	return 0;
}

static void run_until(struct world *world, const int *counter, int value)
{
	while (*counter < value)
		event_base_loop(world->base, EVLOOP_ONCE);
}

static void answer(struct world *world, const char *text)
{
	bufferevent_write(world->daemon, text, strlen(text));
}

static void connect_daemon(struct world *world)
{
	birdc_connect(world->birdc);
	run_until(world, &world->ups, 1);
	assert_true(birdc_ready(world->birdc));
}

static void commands_in_order(void **ctx)
{
	struct world *world = *ctx;

	assert_int_equal(birdc_command(world->birdc, "too early", NULL, on_done, world), -ENOTCONN);
	connect_daemon(world);
	assert_int_equal(birdc_command(world->birdc, "first", on_line, on_done, world), 0);
	assert_int_equal(birdc_command(world->birdc, "second", on_line, on_done, world), 0);
	while (strcmp(world->heard, "first\n") != 0)
		event_base_loop(world->base, EVLOOP_ONCE);
	answer(world, "1007-Table d5v4:\n 10.1.0.0/16\n \tvia 10");
	event_base_loop(world->base, EVLOOP_NONBLOCK);
	assert_int_equal(world->dones, 0);
	answer(world, ".0.0.1\n0000 \n");
	run_until(world, &world->dones, 1);
	assert_string_equal(
		world->lines, "1007:Table d5v4:|1007:10.1.0.0/16|1007:\tvia 10.0.0.1|0:|");
	assert_int_equal(world->last_error, 0);
	while (strcmp(world->heard, "first\nsecond\n") != 0)
		event_base_loop(world->base, EVLOOP_ONCE);
	answer(world, "8002 x.conf:1:2 syntax error\n");
	run_until(world, &world->dones, 2);
	assert_int_equal(world->last_code, 8002);
}

static void daemon_goes_away(void **ctx)
{
	struct world *world = *ctx;

	connect_daemon(world);
	birdc_command(world->birdc, "first", NULL, on_done, world);
	birdc_command(world->birdc, "second", NULL, on_done, world);
	bufferevent_free(world->daemon);
	world->daemon = NULL;
	run_until(world, &world->dones, 2);
	assert_int_equal(world->last_error, -ECONNRESET);
	assert_int_equal(world->downs, 1);
	birdc_connect(world->birdc); // and it comes back
	run_until(world, &world->ups, 2);
}

static void nonsense(void **ctx)
{
	struct world *world = *ctx;

	world->greeting = "SSH-2.0-OpenSSH\n";
	birdc_connect(world->birdc);
	run_until(world, &world->downs, 1);
	assert_false(birdc_ready(world->birdc));
}

static void nobody_there(void **ctx)
{
	struct world *world = *ctx;

	close(world->listener);
	event_del(world->accepting);
	world->listener = -1;
	birdc_connect(world->birdc);
	for (int i = 0; i < 3; i++)
		event_base_loop(world->base, EVLOOP_NONBLOCK);
	assert_false(birdc_ready(world->birdc));
	assert_int_equal(world->ups, 0);
}

static void destroyed_with_work(void **ctx)
{
	struct world *world = *ctx;

	connect_daemon(world);
	birdc_command(world->birdc, "first", NULL, on_done, world);
	birdc_destroy(world->birdc);
	assert_int_equal(world->dones, 1);
	assert_int_equal(world->last_error, -ECANCELED);
	world->birdc = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commands_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(daemon_goes_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(destroyed_with_work, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
