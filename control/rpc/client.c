// SPDX-License-Identifier: BSD-3-Clause

// One connection: bytes in, lines out of them, answers and events back. Everything a client can make us hold
// is bounded: one unfinished request of 1 MiB, a few descriptors, a few unanswered calls, and as much unsent
// output as one answer makes. Over its bounds a client is *paused*: its socket is not read, so it waits and
// nobody else does. What takes its time about finishing a request or reading an answer is cut off.
//
// Whose turn it is, turn.c says; a turn is one request. A client is destroyed only at the end of a turn or of one of its
// own callbacks, or by the server's tick, never from inside a handler.

#include "control/base/clock.h"
#include "control/rpc/server.h"

#include "control/api/methods.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <jansson.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_CHUNK   65536u
#define WRITE_MAX    262144      // in one go
#define JSON_FACTOR  16          // a number of one byte and its comma are 32 in memory
#define OUTPUT_MAX   (64u << 20) // unsent, of all clients together
#define OUTPUT_LARGE 65536u      // an answer worth adding them up
#define REFERENCED   4096u       // bytes of a line that is not copied once more

uint64_t now_ms(void)
{
	return clock_ns() / 1000000;
}

bool client_paused(const struct client *client)
{
	const struct rpc_limits *limits = &client->server->options.limits;

	return client->waits || client->pending >= limits->pending_calls ||
	       evbuffer_get_length(client->out) > limits->output_bytes;
}

static size_t left(const struct client *client)
{
	return client->in_used - client->in_start;
}

static bool has_line(const struct client *client)
{
	return client->in_used > client->in_searched &&
	       memchr(client->in + client->in_searched, '\n',
		       client->in_used - client->in_searched) != NULL;
}

// The last thing said to a client that broke a rule.
static void refuse(struct client *client, enum api_code code, const char *message)
{
	struct api_error error;

	api_fail(&error, code, NULL, "%s", message);
	client->server->counters.cut_hostile++;
	client_send_json(client, refusal_json(&error));
	client->closing = true;
	client->in_start = client->in_used = client->in_searched = 0;
}

// What a request may make us hold until it is answered: its JSON in memory, and its file.
static size_t weight(const struct client *client, size_t length)
{
	struct stat status;
	size_t file = client->file_count > 0 && fstat(client->files[0], &status) == 0 &&
				      status.st_size > 0 && status.st_size <= (off_t)API_FILE_MAX
			      ? (size_t)status.st_size
			      : 0;

	return length * JSON_FACTOR + file;
}

// One request at most, and what is empty before it.
static void handle_line(struct client *client)
{
	while (!client->closing && !client_paused(client)) {
		char *line = client->in + client->in_start;
		char *end = client->in_used == client->in_searched
				    ? NULL
				    : memchr(client->in + client->in_searched, '\n',
					      client->in_used - client->in_searched);
		if (end == NULL) {
			client->in_searched = client->in_used;
			break;
		}
		size_t length = (size_t)(end - line);
		bool empty = length == 0 || (length == 1 && *line == '\r');
		size_t held = empty ? 0 : weight(client, length);
		if (!empty && !user_take(client->user, held))
			return;
		client->request_since = 0;
		client->in_start += length + 1;
		client->in_searched = client->in_start;
		if (empty)
			continue;
		call_handle_line(client, line, length, held);
		break;
	}
	if (left(client) >= API_REQUEST_MAX && !has_line(client) && !client->closing)
		refuse(client, API_REQUEST, "a request may have 1 MiB; split it, or hand the whole model over as a "
			"file (config.apply)");
	if (left(client) == 0) {
		client->in_start = client->in_used = client->in_searched = 0;
		if (client->in_size > READ_CHUNK) {
			free(client->in);
			client->in = NULL;
			client->in_size = 0;
		}
	}
}

static void arm(struct client *client)
{
	bool readable =
		!client->end && !client->closing && !client_paused(client) && !has_line(client);

	if (readable)
		event_add(client->readable, NULL);
	else
		event_del(client->readable);
	if (evbuffer_get_length(client->out) > 0)
		event_add(client->writable, NULL);
	else
		event_del(client->writable);
}

static bool finished(const struct client *client)
{
	if (evbuffer_get_length(client->out) > 0)
		return false;
	return client->closing || (client->end && client->pending == 0 && !has_line(client));
}

void client_turn(struct client *client)
{
	handle_line(client);
	if (client_paused(client))
		client->request_since = 0;
	else if (left(client) > 0 && !has_line(client) && client->request_since == 0)
		client->request_since = now_ms();
	if (finished(client)) {
		client_destroy(client);
		return;
	}
	arm(client);
	if (has_line(client) && !client_paused(client) && !client->closing)
		client_wake(client);
}

// Descriptors that came along. False: more than anybody needs.
static bool take_files(struct client *client, struct msghdr *message)
{
	bool fits = (message->msg_flags & MSG_CTRUNC) == 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
		header = CMSG_NXTHDR(message, header)) {
		size_t count;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int file;

			memcpy(&file, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
			if (client->file_count < FILES_MAX) {
				client->files[client->file_count++] = file;
			} else {
				close(file);
				fits = false;
			}
		}
	}
	return fits;
}

// 1 = something came, 0 = nothing now, -errno = the client is gone.
static int receive(struct client *client)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FILES_MAX * sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t got;

	if (client->in_start > 0) {
		memmove(client->in, client->in + client->in_start, left(client));
		client->in_used -= client->in_start;
		client->in_searched -= client->in_start;
		client->in_start = 0;
	}
	if (client->in_size - client->in_used < READ_CHUNK) {
		size_t size = client->in_size + (client->in_size / 2) + READ_CHUNK;
		char *in = realloc(client->in, size);

		if (in == NULL)
			return -ENOMEM;
		client->in = in;
		client->in_size = size;
	}
	iov.iov_base = client->in + client->in_used;
	iov.iov_len = READ_CHUNK;
	got = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!take_files(client, &message)) {
		refuse(client, API_REQUEST, "too many descriptors at once");
		return 1;
	}
	client->in_used += (size_t)got;
	if (got == 0)
		client->end = true;
	return 1;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct client *client = ctx;
	int ret = receive(client);

	if (ret < 0 || (client->end && client->subscribed)) {
		client_destroy(client);
		return;
	}
	if (ret > 0) {
		event_del(client->readable); // until its turn
		client_wake(client);
	}
}

// Not evbuffer_write(): a client that has hung up must not raise SIGPIPE.
static ssize_t send_some(struct client *client)
{
	struct evbuffer_iovec pieces[8];
	int count = evbuffer_peek(client->out, WRITE_MAX, NULL, pieces, 8);
	struct iovec iov[8];
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)(count < 8 ? count : 8)};
	ssize_t sent;

	for (size_t i = 0; i < message.msg_iovlen; i++)
		iov[i] = (struct iovec){
			.iov_base = pieces[i].iov_base, .iov_len = pieces[i].iov_len};
	sent = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent > 0) {
		evbuffer_drain(client->out, (size_t)sent);
		client->user->unsent -= (size_t)sent;
	}
	return sent;
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
	struct client *client = ctx;
	bool was_paused = client_paused(client);
	ssize_t sent = send_some(client);

	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		client_destroy(client);
		return;
	}
	if (sent > 0)
		client->progress = now_ms();
	if (client->lost > 0 && !client_paused(client))
		events_caught_up(client);
	if (evbuffer_get_length(client->out) == 0 || was_paused)
		client_wake(client);
	user_wake(client->user);
}

// A sum over all, so that many clients together stay within bounds too.
static bool output_exhausted(const struct rpc_server *server, size_t more)
{
	const struct client *client;

	TAILQ_FOREACH (client, &server->clients, entry)
		more += evbuffer_get_length(client->out);
	return more > OUTPUT_MAX;
}

static void free_line(const void *data, size_t length, void *line)
{
	free(line);
}

void client_send(struct client *client, char *line, size_t length)
{
	if (line == NULL || client->closing) {
		free(line);
		return;
	}
	if (length > OUTPUT_LARGE && evbuffer_get_length(client->out) > 0 &&
		output_exhausted(client->server, length)) {
		client->server->counters.cut_slow++;
		client->closing = true; // after what it is already due
		free(line);
		return;
	}
	if (evbuffer_get_length(client->out) == 0)
		client->progress = now_ms();
	if (length < REFERENCED ||
		evbuffer_add_reference(client->out, line, length, free_line, line) != 0) {
		evbuffer_add(client->out, line, length);
		free(line);
	}
	client->user->unsent += length;
	event_add(client->writable, NULL);
}

void client_send_json(struct client *client, json_t *object)
{
	char *line = json_dumps(object, JSON_COMPACT);

	json_decref(object);
	if (line != NULL) {
		size_t length = strlen(line);

		line[length] = '\n'; // in the place of the terminator
		client_send(client, line, length + 1);
	}
}

bool client_is_idle(const struct client *client)
{
	return client->pending == 0 && !client->subscribed && !client->ready &&
	       client->request_since == 0 && evbuffer_get_length(client->out) == 0;
}

void client_check_time(struct client *client, uint64_t now)
{
	const struct rpc_limits *limits = &client->server->options.limits;
	struct rpc_counters *counters = &client->server->counters;

	if (evbuffer_get_length(client->out) > 0) {
		if (now - client->progress > limits->write_seconds * 1000ull) {
			counters->cut_slow++;
			client_destroy(client);
		}
		return;
	}
	// While we do not read, the rest of a request cannot come.
	if (client_paused(client) || client->ready)
		return;
	if (client->request_since != 0 &&
		now - client->request_since > limits->request_seconds * 1000ull) {
		counters->cut_slow++;
		client_destroy(client);
		return;
	}
	if (client_is_idle(client) &&
		now - client->active > limits->idle_seconds * 1000ull) {
		counters->cut_idle++;
		client_destroy(client);
	}
}

int client_create(struct rpc_server *server, int fd, const struct client *who)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return -ENOMEM;
	*client = *who;
	client->server = server;
	client->fd = fd;
	client->active = client->progress = now_ms();
	client->out = evbuffer_new();
	client->readable =
		event_new(server->options.base, fd, EV_READ | EV_PERSIST, on_readable, client);
	client->writable =
		event_new(server->options.base, fd, EV_WRITE | EV_PERSIST, on_writable, client);
	client->user = user_get(server, client->uid);
	TAILQ_INSERT_TAIL(&server->clients, client, entry);
	server->counters.clients++;
	if (client->out == NULL || client->readable == NULL || client->writable == NULL ||
		client->user == NULL) {
		client->fd = -1; // stays the caller's
		client_destroy(client);
		return -ENOMEM;
	}
	arm(client);
	return 0;
}

void client_destroy(struct client *client)
{
	struct rpc_server *server = client->server;
	struct call *call, *next;

	for (call = TAILQ_FIRST(&server->calls); call != NULL; call = next) {
		next = TAILQ_NEXT(call, entry);
		if (call->client == client && call->waiting)
			call_drop(call);
		else if (call->client == client)
			call->client = NULL;
	}
	TAILQ_REMOVE(&server->clients, client, entry);
	server->counters.clients--;
	if (client->readable != NULL)
		event_free(client->readable);
	if (client->writable != NULL)
		event_free(client->writable);
	if (client->user != NULL && client->ready)
		TAILQ_REMOVE(&client->user->ready, client, ready_entry);
	if (client->user != NULL && client->out != NULL)
		client->user->unsent -= evbuffer_get_length(client->out);
	if (client->user != NULL)
		user_leave(client->user);
	if (client->out != NULL)
		evbuffer_free(client->out);
	for (unsigned int i = 0; i < client->file_count; i++)
		close(client->files[i]);
	if (client->fd >= 0)
		close(client->fd);
	json_decref(client->topics);
	free(client->in);
	free(client);
}
