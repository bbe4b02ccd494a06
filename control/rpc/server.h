/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

// Inside control/rpc: what its files share. rpc.h is the outside.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/rpc/rpc.h"

struct event;
struct evbuffer;

#define FILES_MAX 4 // descriptors a client may have sent and not yet named

struct client {
	TAILQ_ENTRY(client) entry;
	struct rpc_server *server;
	int fd;
	uid_t uid;
	pid_t pid;
	enum rpc_role role;
	struct event *readable, *writable;
	struct event *turn; // activated by us: there is something to go on with

	char *in; // bytes not yet handled
	size_t in_used, in_size, in_searched;
	int files[FILES_MAX]; // in order of arrival
	unsigned int file_count;
	struct evbuffer *out;
	unsigned int pending; // calls not yet answered
	bool end;             // the client sent its last byte
	bool closing;         // close once `out` is sent, handle nothing more

	uint64_t request_since; // ms: an unfinished request began, 0 = none
	uint64_t active;        // ms: last request or answer
	uint64_t progress;      // ms: `out` last moved, or was last empty

	bool subscribed;
	struct json_t *topics; // array, NULL = all
	uint64_t lost;         // events since it could not keep up
};

// A call and what it needs to be answered.
struct call {
	struct rpc_call public; // first: handlers see this part
	TAILQ_ENTRY(call) entry;
	struct rpc_server *server; // NULL = gone
	struct client *client;     // NULL = gone
	struct json_t *id;
	bool forwarded;
	void (*back)(void *ctx, struct rpc_call *call);
	void *back_ctx;
	struct json_t *result; // the answer, one of the two
	struct json_t *error;
};

struct method_table {
	const struct rpc_method *methods;
	void *ctx;
};

struct kept_event {
	uint64_t seq;
	char *topic;
	char *line; // newline included
	size_t length;
};

struct rpc_server {
	struct rpc_options options; // limits filled in
	struct rpc_grant *grants;
	uid_t overflow_uid;
	gid_t overflow_gid;
	char *path;
	uint64_t path_inode;
	struct event *watch; // once a second: is the file still there?
	bool path_lost;      // it is not, and cannot be made again
	int listener;
	struct event *acceptable;
	struct event *tick; // armed while there are clients
	TAILQ_HEAD(, client) clients;
	TAILQ_HEAD(, call) calls;
	struct method_table tables[16];
	unsigned int table_count;
	struct json_t *more;       // of rpc.describe
	struct kept_event *events; // ring of limits.events_kept
	uint64_t event_seq;        // of the latest
	struct rpc_counters counters;
};

uint64_t now_ms(void); // CLOCK_MONOTONIC

// peer.c: who is at the other end of fd, and its role.
int peer_identify(const struct rpc_server *server, int fd, struct client *client);

// client.c
int client_create(struct rpc_server *server, int fd, const struct client *who);
void client_destroy(struct client *client);
// Queues a line for sending. line is malloc()ed and stolen.
void client_send(struct client *client, char *line, size_t length);
void client_send_json(struct client *client, struct json_t *object); // stolen
void client_check_time(struct client *client, uint64_t now);         // may destroy it
bool client_paused(const struct client *client);
// Something changed outside of its own callbacks: look again soon.
void client_wake(struct client *client);

// call.c
void call_handle_line(struct client *client, const char *line, size_t length);
const struct rpc_method *method_find(const struct rpc_server *server, const char *name, void **ctx);
struct json_t *error_json(const struct api_error *error, struct json_t *details);
// {"jsonrpc", "id": null, "error"}
struct json_t *refusal_json(const struct api_error *error);

// events.c
void events_caught_up(struct client *client); // tells it of lost ones
void events_subscribe(struct rpc_call *call);
void events_unsubscribe(struct rpc_call *call);
void events_destroy(struct rpc_server *server);

// builtin.c
extern const struct rpc_method builtin_methods[];
// For a handler that has to know its connection.
struct client *call_client(struct rpc_call *call);

#endif
