// SPDX-License-Identifier: BSD-3-Clause

#include "tests/unit/rpc/harness.h"

#include <event2/event.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 10000

struct harness {
	char dir[64];
	char path[96];
	struct event_base *base;
	struct rpc_server *server;
	struct event *stop_event, *back_event, *ran_event;
	int stop[2], forward[2], back[2], ran[2], told[2];
	pthread_t thread, route_thread;
	struct rpc_counters counters; // as last asked for
};

static void pass(int fd, void *what)
{
	assert_int_equal(write(fd, &what, sizeof(what)), sizeof(what));
}

static void forward(void *ctx, struct rpc_call *call)
{
	pass(((struct harness *)ctx)->forward[1], call);
}

static void back(void *ctx, struct rpc_call *call)
{
	pass(((struct harness *)ctx)->back[1], call);
}

// Behind a call goes its user, once the handler has come back.
static void ran(void *ctx, void *user)
{
	pass(((struct harness *)ctx)->ran[1], user);
}

static void on_ran(evutil_socket_t fd, short what, void *ctx)
{
	void *user;

	if (read(fd, &user, sizeof(user)) == sizeof(user))
		rpc_ran(user);
}

static void on_back(evutil_socket_t fd, short what, void *ctx)
{
	struct rpc_call *call;

	if (read(fd, &call, sizeof(call)) == sizeof(call))
		rpc_call_finish(call);
}

// The server belongs to its thread: 's' ends it, 'c' has its counters copied.
static void on_stop(evutil_socket_t fd, short what, void *ctx)
{
	struct harness *harness = ctx;
	char order;

	assert_int_equal(read(fd, &order, 1), 1);
	if (order == 's') {
		event_base_loopbreak(harness->base);
		return;
	}
	rpc_server_counters(harness->server, &harness->counters);
	assert_int_equal(write(harness->told[1], "", 1), 1);
}

static void *route_main(void *ctx)
{
	struct harness *harness = ctx;
	struct rpc_call *call;

	while (read(harness->forward[0], &call, sizeof(call)) == sizeof(call))
		rpc_call_run(call);
	return NULL;
}

static void *server_main(void *ctx)
{
	struct harness *harness = ctx;

	event_base_loop(harness->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

struct harness *harness_start(const struct rpc_options *options,
	void (*setup)(void *ctx, struct rpc_server *server, struct event_base *base), void *ctx)
{
	struct harness *harness = calloc(1, sizeof(*harness));
	struct rpc_grant own = {.id = getuid(), .role = RPC_ADMIN};
	struct rpc_options filled = *options;
	struct api_error error;

	strcpy(harness->dir, "/tmp/culvert-rpc-XXXXXX");
	assert_non_null(mkdtemp(harness->dir));
	chmod(harness->dir, 0755);
	snprintf(harness->path, sizeof(harness->path), "%s/sock", harness->dir);
	assert_int_equal(pipe(harness->stop) | pipe(harness->forward) | pipe(harness->back) |
				 pipe(harness->ran) | pipe(harness->told),
		0);
	harness->base = event_base_new();
	filled.base = harness->base;
	filled.path = harness->path;
	filled.mode = 0666;
	filled.edge = "ams1";
	filled.ctx = harness;
	filled.forward = forward;
	filled.back = back;
	filled.ran = ran;
	if (filled.grants == NULL) {
		filled.grants = &own;
		filled.grant_count = 1;
	}
	assert_int_equal(rpc_server_create(&harness->server, &filled, &error), 0);
	if (setup != NULL)
		setup(ctx, harness->server, harness->base);
	harness->stop_event =
		event_new(harness->base, harness->stop[0], EV_READ | EV_PERSIST, on_stop, harness);
	harness->back_event =
		event_new(harness->base, harness->back[0], EV_READ | EV_PERSIST, on_back, harness);
	event_add(harness->stop_event, NULL);
	event_add(harness->back_event, NULL);
	harness->ran_event =
		event_new(harness->base, harness->ran[0], EV_READ | EV_PERSIST, on_ran, harness);
	event_add(harness->ran_event, NULL);
	pthread_create(&harness->thread, NULL, server_main, harness);
	pthread_create(&harness->route_thread, NULL, route_main, harness);
	return harness;
}

void harness_stop(struct harness *harness)
{
	struct rpc_call *call;

	assert_int_equal(write(harness->stop[1], "s", 1), 1);
	pthread_join(harness->thread, NULL);
	rpc_server_destroy(harness->server);
	// Calls answered after the server has gone.
	close(harness->forward[1]);
	pthread_join(harness->route_thread, NULL);
	close(harness->back[1]);
	while (read(harness->back[0], &call, sizeof(call)) == sizeof(call))
		rpc_call_finish(call);
	close(harness->ran[1]);
	void *user;
	while (read(harness->ran[0], &user, sizeof(user)) == sizeof(user))
		rpc_ran(user);
	event_free(harness->ran_event);
	close(harness->ran[0]);
	event_free(harness->stop_event);
	event_free(harness->back_event);
	event_base_free(harness->base);
	close(harness->stop[0]);
	close(harness->stop[1]);
	close(harness->forward[0]);
	close(harness->back[0]);
	close(harness->told[0]);
	close(harness->told[1]);
	assert_int_equal(access(harness->path, F_OK), -1);
	rmdir(harness->dir);
	free(harness);
}

const char *harness_path(const struct harness *harness)
{
	return harness->path;
}

void harness_counters(const struct harness *harness, struct rpc_counters *counters)
{
	char byte;

	assert_int_equal(write(harness->stop[1], "c", 1), 1);
	assert_int_equal(read(harness->told[0], &byte, 1), 1);
	*counters = harness->counters;
}

void raw_enter(const struct harness *harness)
{
	assert_int_equal(chdir(harness->dir), 0);
}

int raw_connect(const struct harness *harness)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	// A process of another user may not be let through the directories above; raw_enter() took it past them.
	strcpy(address.sun_path, access(harness->path, F_OK) == 0 ? harness->path : "sock");
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void raw_send(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		data += sent;
		length -= (size_t)sent;
	}
}

static ssize_t read_some(int fd, char *data, size_t length)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&poll_fd, 1, DEADLINE_MS), 1);
	return read(fd, data, length);
}

char *raw_line(int fd)
{
	size_t length = 0, room = 1 << 20;
	char *line = malloc(room);

	for (;;) {
		ssize_t got;

		if (length + 1 == room) {
			room *= 2;
			line = realloc(line, room);
		}
		got = read_some(fd, line + length, 1); // slow and never too far
		if (got <= 0) {
			free(line);
			return NULL;
		}
		if (line[length] == '\n')
			break;
		length++;
	}
	line[length] = '\0';
	return line;
}

size_t raw_drain(int fd)
{
	static char data[65536];
	size_t total = 0;
	ssize_t got;

	while ((got = read_some(fd, data, sizeof(data))) > 0)
		total += (size_t)got;
	return total;
}
