// SPDX-License-Identifier: BSD-3-Clause

// The client side of the control socket: blocking, one call at a time, nothing but libc and jansson, so that
// a tool needs no event loop. A call writes one line and reads lines until the one with its id; notifications
// that come in between are kept for api_event(). The time-out counts from the last byte that moved, so a long
// answer never fails because it is long.
//
// A server that refuses a connection sends one error with id null and closes. Writing to it may then fail with
// EPIPE before that error was read: so a failed write still reads what has come.

#include "control/api/client.h"

#include "control/api/methods.h"

#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_DEFAULT 30
#define READ_CHUNK      65536
#define EVENTS_MAX      4096 // notifications kept while a call is under way

struct api_client {
	int fd;
	int timeout; // ms
	json_int_t next_id;
	char *buffer; // what was read and not yet used
	size_t used, size;
	json_t *events; // array
};

const char *api_socket_path(const char *path)
{
	if (path == NULL || *path == '\0')
		path = getenv("CULVERT_SOCKET");
	return path == NULL || *path == '\0' ? API_SOCKET : path;
}

int api_adopt(struct api_client **client, int fd, unsigned int timeout)
{
	struct api_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->fd = fd;
	c->timeout = (int)(timeout == 0 ? TIMEOUT_DEFAULT : timeout) * 1000;
	c->next_id = 1;
	c->events = json_array();
	*client = c;
	return 0;
}

static int unreachable(struct api_error *error, const char *path, int reason)
{
	if (reason == EACCES || reason == EPERM)
		return api_fail(error, API_DENIED,
			"run it as root or as a member of a group that the node file grants a role",
			"no permission to open the control socket %s", path);
	if (reason == EAGAIN)
		return api_fail(error, API_UNREACHABLE, "try again; see culvertd's log",
			"culvertd is too busy to take a connection on %s", path);
	return api_fail(error, API_UNREACHABLE,
		"is culvertd running (pgrep -a culvertd)? -s SOCKET or CULVERT_SOCKET name another "
		"socket",
		"culvertd does not answer on %s: %s", path, strerror(reason));
}

int api_connect(
	struct api_client **client, const char *path, unsigned int timeout, struct api_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = timeout == 0 ? TIMEOUT_DEFAULT : timeout};
	int fd, ret;

	path = api_socket_path(path);
	if (strlen(path) >= sizeof(address.sun_path))
		return api_fail(error, API_USAGE, "use a path of at most 107 bytes",
			"the socket path is too long: %s", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return unreachable(error, path, errno);
	// Bounds connect() itself: a full backlog would make it wait for ever.
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		ret = unreachable(error, path, errno);
		close(fd);
		return ret;
	}
	ret = api_adopt(client, fd, timeout);
	if (ret < 0) {
		close(fd);
		return api_fail(error, API_INTERNAL, NULL, "out of memory");
	}
	return 0;
}

void api_disconnect(struct api_client *client)
{
	if (client == NULL)
		return;
	close(client->fd);
	json_decref(client->events);
	free(client->buffer);
	free(client);
}

static int wait_for(struct api_client *client, short events, int timeout)
{
	struct pollfd poll_fd = {.fd = client->fd, .events = events};
	int ret;

	do {
		ret = poll(&poll_fd, 1, timeout);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return ret == 0 ? -ETIMEDOUT : 0;
}

// Sends bytes, the descriptor (or -1) with the first of them.
static int send_bytes(struct api_client *client, const char *data, size_t length, int fd)
{
	while (length > 0) {
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control = {0};
		struct iovec iov = {.iov_base = (char *)data, .iov_len = length};
		struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t sent;
		int ret;

		if (fd >= 0) {
			struct cmsghdr *header;

			message.msg_control = control.bytes;
			message.msg_controllen = sizeof(control.bytes);
			header = CMSG_FIRSTHDR(&message);
			header->cmsg_level = SOL_SOCKET;
			header->cmsg_type = SCM_RIGHTS;
			header->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(header), &fd, sizeof(int));
		}
		ret = wait_for(client, POLLOUT, client->timeout);
		if (ret < 0)
			return ret;
		sent = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (sent < 0)
			return -errno;
		fd = -1;
		data += sent;
		length -= (size_t)sent;
	}
	return 0;
}

static int fill_buffer(struct api_client *client, int timeout)
{
	ssize_t got;
	int ret = wait_for(client, POLLIN, timeout);

	if (ret < 0)
		return ret;
	if (client->size - client->used < READ_CHUNK) {
		size_t size = client->size * 2 + READ_CHUNK;
		char *buffer = realloc(client->buffer, size);

		if (buffer == NULL)
			return -ENOMEM;
		client->buffer = buffer;
		client->size = size;
	}
	got = recv(client->fd, client->buffer + client->used, client->size - client->used, 0);
	if (got < 0)
		return errno == EINTR ? 0 : -errno;
	if (got == 0)
		return -ECONNRESET;
	client->used += (size_t)got;
	return 0;
}

// A page that is asked for before the one in front of it has been read through: the server works
// meanwhile.
struct ahead {
	const char *method;
	json_t *params; // with the page's cursor; borrowed
	json_int_t id;  // of the request, 0 = none has been sent
	char cursor[64];
};

static int send_call(struct api_client *client, const char *method, json_t *params, int fd,
	json_int_t *id, struct api_error *error);

// `next` stands at the end of an answer. A wrong guess is an answer that nobody waits for.
static void ask_ahead(
	struct api_client *client, const char *line, size_t length, struct ahead *ahead)
{
	static const char name[] = "\"next\":\"";
	size_t tail = sizeof(ahead->cursor) + sizeof(name) + 2;
	struct api_error error;

	if (length > tail) {
		line += length - tail;
		length = tail;
	}
	const char *found = memmem(line, length, name, sizeof(name) - 1);
	if (found == NULL)
		return;
	found += sizeof(name) - 1;
	const char *end = memchr(found, '"', (size_t)(line + length - found));
	if (end == NULL || (size_t)(end - found) >= sizeof(ahead->cursor))
		return;
	memcpy(ahead->cursor, found, (size_t)(end - found));
	ahead->cursor[end - found] = '\0';
	json_object_set_new(ahead->params, "cursor", json_string(ahead->cursor));
	if (send_call(client, ahead->method, json_copy(ahead->params), -1, &ahead->id, &error) < 0)
		ahead->id = 0; // whoever asks again is told why
}

// The next object from the server. timeout in ms, counted anew with each piece that arrives.
// `ahead` may be NULL.
static int read_object(struct api_client *client, int timeout, struct ahead *ahead, json_t **object)
{
	size_t searched = 0;

	for (;;) {
		char *end = client->used == searched ? NULL
						     : memchr(client->buffer + searched, '\n',
							       client->used - searched);
		int ret;

		if (end != NULL) {
			size_t length = (size_t)(end - client->buffer);

			if (ahead != NULL && ahead->id == 0)
				ask_ahead(client, client->buffer, length, ahead);
			*object = json_loadb(client->buffer, length, 0, NULL);
			client->used -= length + 1;
			memmove(client->buffer, end + 1, client->used);
			return json_is_object(*object) ? 0 : -EPROTO;
		}
		searched = client->used;
		ret = fill_buffer(client, timeout);
		if (ret < 0)
			return ret;
	}
}

static int transport_error(struct api_error *error, const char *method, int ret)
{
	switch (ret) {
	case -ETIMEDOUT:
		return api_fail(error, API_TIMEOUT,
			strcmp(method, API_STATUS) == 0
				? "raise --timeout, or see culvertd's log"
				: "raise --timeout, or see culvertctl status",
			"culvertd did not answer %s in time", method);
	case -EPROTO:
		return api_fail(error, API_INTERNAL, "is it culvertd that listens on this socket?",
			"the answer to %s is not JSON-RPC", method);
	case -ENOMEM:
		return api_fail(error, API_INTERNAL, NULL, "out of memory");
	default:
		return api_fail(error, API_UNREACHABLE,
			"is culvertd still running (pgrep -a culvertd)?",
			"culvertd closed the connection during %s: %s", method, strerror(-ret));
	}
}

// From an "error" object to our form. Always fails.
static int remote_error(json_t *object, struct api_error *error, json_t **details)
{
	json_t *data = json_object_get(object, "data");
	const char *message = json_string_value(json_object_get(object, "message"));
	const char *hint = json_string_value(json_object_get(data, "hint"));
	json_t *errors = json_object_get(data, "errors");
	int code = (int)json_integer_value(json_object_get(object, "code"));

	if (details != NULL && json_is_array(errors))
		*details = json_incref(errors);
	return api_fail(error, api_code_from_rpc(code), hint, "%s",
		message == NULL ? "culvertd refused without saying why" : message);
}

static int await_answer(struct api_client *client, const char *method, json_int_t id,
	struct ahead *ahead, json_t **result, struct api_error *error, json_t **details)
{
	for (;;) {
		json_t *object = NULL, *answer_id, *answer_error, *answer;
		int ret = read_object(client, client->timeout, ahead, &object);

		if (ret < 0) {
			json_decref(object);
			return transport_error(error, method, ret);
		}
		answer_id = json_object_get(object, "id");
		answer_error = json_object_get(object, "error");
		if (answer_id == NULL && json_object_get(object, "method") != NULL) {
			if (json_array_size(client->events) < EVENTS_MAX)
				json_array_append(
					client->events, json_object_get(object, "params"));
			json_decref(object);
			continue;
		}
		// An error without an id is about the connection or a line that could not be read: ours.
		if (answer_error != NULL && !json_is_null(answer_error) &&
			(json_is_null(answer_id) || json_integer_value(answer_id) == id)) {
			ret = remote_error(answer_error, error, details);
			json_decref(object);
			return ret;
		}
		answer = json_object_get(object, "result");
		if (answer != NULL && json_integer_value(answer_id) == id) {
			*result = json_incref(answer);
			json_decref(object);
			return 0;
		}
		json_decref(object); // the late answer to a call that timed out
	}
}

// A connection that ended while it was sent to may have an answer that says why: no error here.
static int send_call(struct api_client *client, const char *method, json_t *params, int fd,
	json_int_t *id, struct api_error *error)
{
	json_t *request;
	char *line;
	size_t length;
	int ret;

	*id = client->next_id++;
	request = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", *id, "method", method,
		"params", params == NULL ? json_object() : params);
	line = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (line == NULL)
		return api_fail(
			error, API_INTERNAL, NULL, "the request for %s cannot be written", method);
	length = strlen(line);
	line[length] = '\n'; // in the place of the terminator
	if (length + 1 > API_REQUEST_MAX) {
		free(line);
		return api_fail(error, API_USAGE,
			"split it, each part is a revision of its own; or put the whole "
			"model in a file: culvertctl config apply FILE, to 64 MiB",
			"the request for %s is %zu bytes, more than the %u of a request", method,
			length + 1, API_REQUEST_MAX);
	}
	ret = send_bytes(client, line, length + 1, fd);
	free(line);
	if (ret < 0 && ret != -EPIPE && ret != -ECONNRESET)
		return transport_error(error, method, ret);
	return 0;
}

static int call(struct api_client *client, const char *method, json_t *params, int fd,
	json_t **result, struct api_error *error, json_t **details)
{
	json_t *answer = NULL;
	json_int_t id;

	if (details != NULL)
		*details = NULL;
	int ret = send_call(client, method, params, fd, &id, error);
	if (ret == 0)
		ret = await_answer(client, method, id, NULL, &answer, error, details);
	if (ret == 0 && result != NULL)
		*result = answer;
	else
		json_decref(answer);
	return ret;
}

int api_call(struct api_client *client, const char *method, json_t *params, json_t **result,
	struct api_error *error, json_t **details)
{
	return call(client, method, params, -1, result, error, details);
}

static int sealed_file(const void *text, size_t length)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = memfd_create("culvert-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < length) {
		ssize_t written = write(fd, (const char *)text + done, length - done);

		if (written < 0 && errno != EINTR)
			break;
		if (written > 0)
			done += (size_t)written;
	}
	if (done < length || fcntl(fd, F_ADD_SEALS, seals) < 0) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	return fd;
}

int api_call_file(struct api_client *client, const char *method, json_t *params, const void *text,
	size_t length, json_t **result, struct api_error *error, json_t **details)
{
	int fd, ret;

	if (params == NULL)
		params = json_object();
	if (length > API_FILE_MAX) {
		json_decref(params);
		return api_fail(error, API_USAGE, NULL, "the file is larger than %u MiB",
			API_FILE_MAX >> 20);
	}
	fd = sealed_file(text, length);
	if (fd < 0) {
		json_decref(params);
		return api_fail(
			error, API_INTERNAL, NULL, "cannot make a sealed file: %s", strerror(-fd));
	}
	json_object_set_new(params, "file", json_string("fd"));
	ret = call(client, method, params, fd, result, error, details);
	close(fd);
	return ret;
}

int api_call_into(struct api_client *client, const char *method, int fd, json_t **result,
	struct api_error *error)
{
	return call(client, method, json_pack("{s:s}", "file", "fd"), fd, result, error, NULL);
}

int api_call_list(struct api_client *client, const char *method, json_t *params, json_t **result,
	struct api_error *error)
{
	json_t *items = json_array(), *answer = NULL, *unknown = NULL; // of any page
	json_int_t id;

	if (params == NULL)
		params = json_object();
	if (json_object_get(params, "limit") == NULL)
		json_object_set_new(params, "limit", json_integer(API_PAGE_MAX));
	struct ahead ahead = {.method = method, .params = params};
	json_t *cursor = json_incref(json_object_get(params, "cursor")); // of the page asked for
	int ret = send_call(client, method, json_copy(params), -1, &id, error);
	while (ret == 0) {
		json_decref(answer);
		answer = NULL;
		ahead.id = 0;
		ret = await_answer(client, method, id, &ahead, &answer, error, NULL);
		if (ret < 0)
			break;
		json_array_extend(items, json_object_get(answer, "items"));
		if (unknown == NULL && json_is_object(json_object_get(answer, "unknown")))
			unknown = json_incref(json_object_get(answer, "unknown"));
		json_t *next = json_object_get(answer, "next");
		if (!json_is_string(next))
			break;
		if (json_equal(next, cursor)) {
			ret = api_fail(
				error, API_INTERNAL, NULL, "%s repeats the same page", method);
			break;
		}
		json_decref(cursor);
		cursor = json_incref(next);
		id = ahead.id;
		if (id != 0 && strcmp(ahead.cursor, json_string_value(next)) == 0)
			continue;
		json_object_set(params, "cursor", next);
		ret = send_call(client, method, json_copy(params), -1, &id, error);
	}
	json_decref(cursor);
	json_decref(params);
	if (ret < 0) {
		json_decref(answer);
		json_decref(items);
		json_decref(unknown);
		return ret;
	}
	json_object_set_new(answer, "items", items);
	if (unknown != NULL)
		json_object_set_new(answer, "unknown", unknown);
	*result = answer;
	return 0;
}

int api_event(struct api_client *client, int timeout, json_t **params, struct api_error *error)
{
	for (;;) {
		json_t *object = NULL;
		int ret;

		if (json_array_size(client->events) > 0) {
			*params = json_incref(json_array_get(client->events, 0));
			json_array_remove(client->events, 0);
			return 0;
		}
		ret = read_object(client, timeout, NULL, &object);
		if (ret < 0) {
			json_decref(object);
			return transport_error(error, "subscribe", ret);
		}
		if (json_object_get(object, "params") != NULL)
			json_array_append(client->events, json_object_get(object, "params"));
		json_decref(object);
	}
}
