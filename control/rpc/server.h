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

#define FILES_MAX   4 // descriptors a client may have sent and not yet named
#define SPARE_FILES 8

struct client {
	TAILQ_ENTRY(client) entry;
	TAILQ_ENTRY(client) ready_entry;
	bool ready; // waits in user->ready for its turn
	struct rpc_server *server;
	struct user *user;
	int fd;
	uid_t uid;
	pid_t pid;
	enum rpc_role role;
	const char *provider; // what he sees; NULL = all
	struct event *readable, *writable;

	char *in; // bytes not yet handled: from in_start to in_used
	size_t in_start, in_used, in_size, in_searched;
	int files[FILES_MAX]; // in order of arrival
	unsigned int file_count;
	struct evbuffer *out;
	unsigned int pending; // calls not yet answered
	bool waits;           // one of them is in user->waiting
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
	struct user *user;
	struct json_t *id;
	size_t held;  // memory of it, as user->held counts
	bool counted; // in user->open
	bool waiting; // in user->waiting
	TAILQ_ENTRY(call) waiting_entry;
	bool forwarded;
	void (*back)(void *ctx, struct rpc_call *call);
	void (*ran)(void *ctx, void *user);
	void *back_ctx;
	struct json_t *result; // the answer, one of the three
	struct json_t *error;
	char *text; // of the result
	size_t text_length;
};
#define DENIED_LINES 5 // a second


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

// All that one uid has here. It lives while it has connections or calls, which may outlive the server.
struct user {
	LIST_ENTRY(user) entry;
	TAILQ_ENTRY(user) turn_entry;
	struct rpc_server *server; // NULL = gone
	uid_t uid;
	bool queued; // in server->turns
	bool full;   // no room for his next request until one is answered
	unsigned int clients;
	unsigned int calls;   // not answered
	unsigned int open;    // of those, without the ones that are there to wait
	unsigned int running; // handlers on the route thread that have not come back
	size_t held;          // bytes: requests and files of calls not answered
	size_t unsent;        // bytes: answers and events in its clients' `out`
	TAILQ_HEAD(, client) ready;
	TAILQ_HEAD(, call) waiting; // for the route thread: while a handler of his runs there
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
	LIST_HEAD(, user) users;
	TAILQ_HEAD(, user) turns; // with clients that are ready, in the order of their turns
	struct event *turn;
	int spare[SPARE_FILES]; // descriptors for clients when there are no others, -1 = given away
	TAILQ_HEAD(, call) calls;
	struct method_table tables[16];
	unsigned int table_count;
	struct json_t *more;       // of rpc.describe
	struct kept_event *events; // ring of limits.events_kept
	uint64_t event_seq;        // of the latest
	struct rpc_counters counters;
	uint64_t denied_since; // ms: second in which denials are counted
	unsigned int denied, denied_more; // lines written in it, and left out
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
bool client_is_idle(const struct client *client); // nothing is under way, nothing is to come
// There may be something to go on with: it gets a turn.
void client_wake(struct client *client);
void client_turn(struct client *client); // it may be gone then

// turn.c
struct user *user_get(
	struct rpc_server *server, uid_t uid); // with one client more; NULL = no memory
void user_leave(struct user *user);            // with one less
// Memory of a request: false = no room; there is some, and a turn, when another of his has been given back.
bool user_take(struct user *user, size_t bytes);
void user_give_back(struct user *user, size_t bytes);
void user_wake(struct user *user); // one of its bounds moved
void user_release(struct user *user);
void turns_run(int fd, short what, void *ctx);

// call.c
// held: of user_take(), given back with the answer.
void call_handle_line(struct client *client, const char *line, size_t length, size_t held);
// A line of audit for what was denied.
void call_denied(struct rpc_server *server, uid_t uid, const char *method, struct json_t *params,
	const char *why);
const struct rpc_method *method_find(const struct rpc_server *server, const char *name, void **ctx);
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
void call_drop(struct call *call); // one that never ran

#endif
