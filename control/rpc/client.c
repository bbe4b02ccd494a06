// SPDX-License-Identifier: BSD-3-Clause

// One connection: bytes in, lines out of them, answers and events back. Everything a client can make us hold
// is bounded: one unfinished request of 1 MiB, a few descriptors, a few unanswered calls, and as much unsent
// output as one answer makes. Over its bounds a client is *paused*: its socket is not read, so it waits and
// nobody else does. What takes its time about finishing a request or reading an answer is cut off.
//
// A turn handles requests for at most TURN_MS and then lets others have theirs. A client is destroyed only at
// the end of one of its own callbacks or by the server's tick, never from inside a handler.

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
#include <time.h>
#include <unistd.h>

#define READ_CHUNK   65536u
#define WRITE_MAX    262144 // in one go
#define TURN_MS      3
#define OUTPUT_MAX   (64u << 20) // unsent, of all clients together
#define OUTPUT_LARGE 65536u      // an answer worth adding them up

uint64_t now_ms(void)
{
	return clock_ns() / 1000000;
}

bool client_paused(const struct client *client)
{
	const struct rpc_limits *limits = &client->server->options.limits;

	return client->pending >= limits->pending_calls ||
	       evbuffer_get_length(client->out) > limits->output_bytes;
}

void client_wake(struct client *client)
{
	event_active(client->turn, EV_TIMEOUT, 0);
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
	client->in_used = client->in_searched = 0;
}

static void handle_lines(struct client *client)
{
	uint64_t stop = now_ms() + TURN_MS;

	while (!client->closing && !client_paused(client)) {
		char *end = client->in_used == client->in_searched
				    ? NULL
				    : memchr(client->in + client->in_searched, '\n',
					      client->in_used - client->in_searched);
		size_t length;

		if (end == NULL) {
			client->in_searched = client->in_used;
			break;
		}
		length = (size_t)(end - client->in);
		client->request_since = 0;
		call_handle_line(client, client->in, length);
		client->in_used -= length + 1;
		client->in_searched = 0;
		memmove(client->in, end + 1, client->in_used);
		if (now_ms() >= stop)
			break;
	}
	if (client->in_used >= API_REQUEST_MAX && !has_line(client) && !client->closing)
		refuse(client, API_REQUEST, "a request may have 1 MiB");
	if (client->in_used == 0 && client->in_size > READ_CHUNK) {
		free(client->in);
		client->in = NULL;
		client->in_size = client->in_searched = 0;
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

// Goes on with whatever can be gone on with. The client may be gone afterwards.
static void client_turn(struct client *client)
{
	handle_lines(client);
	if (client_paused(client))
		client->request_since = 0;
	else if (client->in_used > 0 && !has_line(client) && client->request_since == 0)
		client->request_since = now_ms();
	if (finished(client)) {
		client_destroy(client);
		return;
	}
	arm(client);
	if (has_line(client) && !client_paused(client) && !client->closing)
		client_wake(client);
}

static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
	client_turn(ctx);
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
	if (ret > 0)
		client_turn(client);
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
	if (sent > 0)
		evbuffer_drain(client->out, (size_t)sent);
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
		client_turn(client);
}

// A sum over all, so that many clients together stay within bounds too.
static bool output_exhausted(const struct rpc_server *server, size_t more)
{
	const struct client *client;

	TAILQ_FOREACH (client, &server->clients, entry)
		more += evbuffer_get_length(client->out);
	return more > OUTPUT_MAX;
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
	evbuffer_add(client->out, line, length);
	free(line);
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
	if (client_paused(client))
		return;
	if (client->request_since != 0 &&
		now - client->request_since > limits->request_seconds * 1000ull) {
		counters->cut_slow++;
		client_destroy(client);
		return;
	}
	if (client->pending == 0 && !client->subscribed &&
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
	client->turn = event_new(server->options.base, -1, 0, on_turn, client);
	TAILQ_INSERT_TAIL(&server->clients, client, entry);
	server->counters.clients++;
	if (client->out == NULL || client->readable == NULL || client->writable == NULL ||
		client->turn == NULL) {
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
	struct call *call;

	TAILQ_FOREACH (call, &server->calls, entry)
		if (call->client == client)
			call->client = NULL;
	TAILQ_REMOVE(&server->clients, client, entry);
	server->counters.clients--;
	if (client->readable != NULL)
		event_free(client->readable);
	if (client->writable != NULL)
		event_free(client->writable);
	if (client->turn != NULL)
		event_free(client->turn);
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
