/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef API_CLIENT_H
#define API_CLIENT_H

// A blocking client of the control socket, for culvertctl and for tests. One call at a time.

#include <stddef.h>

#include "control/api/error.h"

struct api_client;
struct json_t;

// Where culvertd listens: `path`, else $CULVERT_SOCKET, else API_SOCKET.
const char *api_socket_path(const char *path);

// timeout: seconds without any progress before a call gives up (API_TIMEOUT), 0 = 30.
// Nobody listening is API_UNREACHABLE.
int api_connect(struct api_client **client, const char *path, unsigned int timeout,
	struct api_error *error);
// Takes an already connected stream socket; the client owns it from then on.
int api_adopt(struct api_client **client, int fd, unsigned int timeout);
void api_disconnect(struct api_client *client); // NULL is fine

// Calls a method. params: a JSON object, stolen (also on failure), NULL = {}. On success *result is a new
// reference. On failure returns -errno, fills *error, and *details (may be NULL) with the array
// `error.data.errors` (a new reference) or NULL.
int api_call(struct api_client *client, const char *method, struct json_t *params,
	struct json_t **result, struct api_error *error, struct json_t **details);
// The same with a file's text, handed over as a sealed memfd; adds {"file": "fd"} to params.
int api_call_file(struct api_client *client, const char *method, struct json_t *params,
	const void *text, size_t length, struct json_t **result, struct api_error *error,
	struct json_t **details);
// With a memory file that the other side writes into.
int api_call_into(struct api_client *client, const char *method, int fd, struct json_t **result,
	struct api_error *error);
// All pages of a list: calls until `next` is null. *result is the last answer with all items in it.
int api_call_list(struct api_client *client, const char *method, struct json_t *params,
	struct json_t **result, struct api_error *error);

// Waits for a notification after `subscribe`; *params is a new reference. timeout in ms, -1 = for ever.
int api_event(
	struct api_client *client, int timeout, struct json_t **params, struct api_error *error);

#endif
