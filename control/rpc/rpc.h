/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RPC_H
#define RPC_H

// The control socket's server. It reads requests, finds out who asks, checks role and parameters against the
// method tables, and hands a struct rpc_call to the method's handler, on the thread that the table names.
// What the methods are is written in control/api/methods.h.
//
// Everything runs on the main thread, handlers of RPC_ROUTE methods excepted.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/api/error.h"

struct event_base;
struct json_t;
struct rpc_call;
struct rpc_server;

enum rpc_role { RPC_NONE, RPC_VIEWER, RPC_OPERATOR, RPC_ADMIN };
const char *rpc_role_name(enum rpc_role role); // "none", "viewer", "operator", "admin"

enum rpc_thread { RPC_MAIN, RPC_ROUTE };

// An integer is a number of things or a moment: never negative.
enum rpc_type { RPC_STRING, RPC_INTEGER, RPC_BOOLEAN, RPC_OBJECT, RPC_ARRAY };

struct rpc_param {
	const char *name;
	enum rpc_type type;
	bool required;
	const char *help;
};

#define RPC_PARAMS_MAX 12

struct rpc_method {
	const char *name;   // API_* of control/api/methods.h
	enum rpc_role role; // the least that may call it
	enum rpc_thread thread;
	// Answers with exactly one of rpc_reply(), rpc_fail(), rpc_fail_details(), now or later, on this thread.
	void (*handler)(struct rpc_call *call);
	const char *help; // one sentence
	bool file;        // may take a file: parameter "file": "fd"
	bool writes_file; // the same, but writes into it
	bool audited;     // what was asked leaves a line in the audit, done or refused; with "check" it does not
	bool scoped;      // knows how to answer somebody who may not see all: rpc_call.provider
	bool waits;       // for something to happen: does not count as work of its user's
	struct rpc_param params[RPC_PARAMS_MAX]; // ends at the first without a name
};

struct rpc_call {
	const struct rpc_method *method;
	void *ctx; // of the table, see rpc_server_add()
	struct json_t *
		params; // an object that obeys method->params; belongs to the call until it is answered
	enum rpc_role role;
	// NULL: all is his to see. Else only this provider's side, and only methods that are `scoped` are called at all.
	const char *provider;
	uid_t uid;
	pid_t pid;
	char actor[64]; // "uid:0", for the audit
	// The file that came with it, mapped read-only until the call is answered; NULL = none.
	const char *text;
	size_t text_length;
	int out; // an open memory file to write into, -1 = none
};

// Parameters, which are there in the right type if the table says so. Borrowed.
const char *rpc_string(const struct rpc_call *call, const char *name); // NULL when absent
int64_t rpc_integer(const struct rpc_call *call, const char *name, int64_t otherwise);
bool rpc_boolean(const struct rpc_call *call, const char *name, bool otherwise);
bool rpc_has(const struct rpc_call *call, const char *name);
const char *rpc_edge(
	const struct rpc_call *call); // main thread: of the server, "" once that is gone
// A list works this long for one page; it then ends, full or not, and says how to go on.
#define RPC_PAGE_NS 4000000u
// `limit`, within 1..API_PAGE_MAX.
unsigned int rpc_limit(const struct rpc_call *call);
// `cursor` of a list that counts, 0 = from the first. False: it is none, and the call has been answered.
bool rpc_cursor(struct rpc_call *call, uint64_t *cursor);

// Answers. `call` is gone afterwards. result is stolen, NULL = {}. On the thread the handler ran on.
void rpc_reply(struct rpc_call *call, struct json_t *result);
void rpc_fail(struct rpc_call *call, const struct api_error *error);
// details: an array for error.data.errors, stolen, may be NULL.
void rpc_fail_details(struct rpc_call *call, const struct api_error *error, struct json_t *details);
// The result as the JSON text it is sent as; malloc()ed and stolen, not terminated.
void rpc_reply_text(struct rpc_call *call, char *text, size_t length);
// The items of a list, kept as text (text.c). Zeroed: none.
struct rpc_items {
	char *text;
	size_t length, room;
	unsigned int count;
};
void rpc_items_add(
	struct rpc_items *items, struct json_t *item); // item is stolen, NULL = no memory: left out
// {"items": [..]} and the members of `more`, which is stolen. The items are empty afterwards.
void rpc_reply_items(struct rpc_call *call, struct rpc_items *items, struct json_t *more);
// {"items": items, "next": next}; items is stolen, next NULL = the last page.
void rpc_reply_list(struct rpc_call *call, struct json_t *items, const char *next);

// Who may do what: the first match of the highest role counts; none = refused. From the node file.
struct rpc_grant {
	bool group; // id is a group's: primary or supplementary
	uint32_t id;
	enum rpc_role role;
	const char *provider; // NULL = all; not copied
};

struct rpc_options {
	struct event_base *base;
	const char
		*path; // of the socket; an abandoned one is replaced, a living server's is refused
	mode_t mode;   // of the socket file, 0 = 0660
	gid_t group;   // of the socket file, 0 = as it is
	const struct rpc_grant *grants; // copied
	size_t grant_count;
	const char *edge;                // shown by hello; not copied
	uint64_t (*revision)(void *ctx); // of the model, shown by hello; may be NULL
	void *ctx;
	// Moves an RPC_ROUTE call to the route thread, which runs rpc_call_run() on it; once that is answered,
	// `back` is called on the route thread and moves it to the main thread, which runs rpc_call_finish().
	// May be NULL when there are no such methods.
	void (*forward)(void *ctx, struct rpc_call *call);
	void (*back)(void *ctx, struct rpc_call *call);
	// Called on the route thread when a handler has come back, answered or not: moves `user` to the main thread,
	// which runs rpc_ran(). Until then no other call of that user is moved there.
	void (*ran)(void *ctx, void *user);
	// A line for the audit: of audited methods, and of calls that the caller's role does not allow. Of these few a second
	// at most: what is beyond is counted in the next line. May be NULL.
	void (*audit)(void *ctx, const char *actor, const char *verb, const char *object,
		const char *result);
	struct rpc_limits {                    // each 0 = the default in brackets
		unsigned int clients;          // in all [256]
		unsigned int clients_per_user; // [64], root has twice as many
		unsigned int request_seconds;  // for one request to arrive once begun [10]
		unsigned int idle_seconds;     // without a request, unless subscribed [600]
		unsigned int spare_ms;         // .., when another one needs its place [2000]
		unsigned int
			write_seconds; // without the client reading anything of what is due [10]
		unsigned int
			pending_calls; // unanswered per client; then its socket is not read [16]
		size_t output_bytes;   // unsent per client; then its socket is not read [256 KiB]
		unsigned int events_kept; // for subscribe's `since` [1024]
	} limits;
};

int rpc_server_create(
	struct rpc_server **server, const struct rpc_options *options, struct api_error *error);
// Ends all connections, removes the socket file. Calls still under way may be answered later, into the void.
void rpc_server_destroy(struct rpc_server *server);

// Adds a table that ends at the first method without a name. Not copied. ctx goes to its calls.
// -EEXIST when a name is taken. Add before the loop runs.
int rpc_server_add(struct rpc_server *server, const struct rpc_method *methods, void *ctx);
// More for rpc.describe: an object merged into its answer; stolen.
void rpc_server_describe(struct rpc_server *server, struct json_t *more);

void rpc_call_run(struct rpc_call *call);    // route thread
void rpc_call_finish(struct rpc_call *call); // main thread; also after rpc_server_destroy()
void rpc_ran(void *user);                    // likewise

// Publishes an event to the subscribers. data is stolen.
void rpc_event(struct rpc_server *server, const char *topic, struct json_t *data);

// Adopts a connected stream socket as if it had been accepted (tests). -errno when it was refused.
int rpc_server_adopt(struct rpc_server *server, int fd);

struct rpc_counters {
	unsigned int clients;
	uint64_t accepted, refused, requests, failed, cut_idle, cut_slow, cut_hostile, events,
		events_lost;
};
void rpc_server_counters(const struct rpc_server *server, struct rpc_counters *counters);

#endif
