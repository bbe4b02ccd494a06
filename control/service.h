/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SERVICE_H
#define SERVICE_H

// The main thread's state: the model as it is now, and the one way to change it. A change is
// validated on the main thread, committed on the store thread in one transaction, then published to
// the route thread, and only then answered. Changes are taken one after the other in the order they
// were asked for, each against the outcome of the one before.
//
// All functions run on the main thread unless they say otherwise.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/api/error.h"

struct json_t;
struct model;
struct node;
struct publication;
struct service;
struct store_filter;
struct store_pending;
struct store_place;
struct thread;

// --- life ----------------------------------------------------------------------------------------------

struct service_options {
	const struct node *node;
	struct thread *main, *route, *store; // made, not started
	// Hands a new state to the route thread (the reference goes with it); called on the main
	// thread.
	void (*publish)(void *ctx, struct publication *publication);
	// How the store's files and their file system are, every few seconds; called on the route thread. May be NULL.
	void (*place)(void *ctx, const struct store_place *place);
	void *ctx;
};

// Opens the store and loads the model; publishes it. Before the threads are started.
int service_create(
	struct service **service, const struct service_options *options, struct api_error *error);
// After the threads have ended and thread_drain() has handled what was left in all their mailboxes.
// NULL is fine.
void service_destroy(struct service *service);

// --- reading -------------------------------------------------------------------------------------------

// The current snapshot. Borrowed: valid until the next turn of the main loop; model_ref() to keep
// it.
const struct model *service_model(const struct service *service);
uint64_t service_revision(const struct service *service);
const uint8_t *service_store_uuid(const struct service *service); // 16 bytes
const struct node *service_node(const struct service *service);   // the node file, never changes
const char *service_edge(const struct service *service);          // our own edge's name
// What goes back by itself unless it is confirmed; NULL = nothing. Borrowed as the model is.
const struct store_pending *service_pending(const struct service *service);
// Called on the main thread after each change was published (for `subscribe`); diff is model_diff's JSON array, borrowed.
typedef void (*service_watcher)(void *ctx, uint64_t revision, const struct json_t *diff);
int service_watch(struct service *service, service_watcher fn, void *ctx);
// Likewise when a revision waits for confirmation, has got it, or was taken back: state is "pending", "confirmed" or
// "reverted". One watcher.
typedef void (*service_pending_watcher)(
	void *ctx, const char *state, const struct store_pending *pending);
void service_watch_pending(struct service *service, service_pending_watcher fn, void *ctx);

// --- changing ------------------------------------------------------------------------------------------

struct service_result {
	uint64_t revision; // of the model after the change (of the current one when it was refused)
	bool changed; // false: everything was already so (or it was only a check), nothing was committed
	struct json_t *diff; // what a change does: model_diff's JSON array; NULL when refused
	// API_NONE when it was done. Otherwise the first of `errors`, ready to be the answer's
	// error.
	struct api_error error;
	// Of a check that went well: why the change would be refused all the same; NULL = it would not.
	const struct api_error *guard;
	const struct model *old, *new; // what there was, and what it makes; NULL when refused
	const struct store_pending *pending; // of a change that waits for confirmation now; else NULL
	// Every finding of the validation: [{"path", "rule", "message", "hint"}...]; NULL when
	// there is none.
	struct json_t *errors;
};
// *result and what it points to belong to the service and are gone after the call.
typedef void (*service_done)(void *ctx, const struct service_result *result);

struct service_change {
	const char *actor;     // "uid:0" or a name of the node file's roles; stands in the audit
	const char *on_behalf; // NULL = nobody
	const char *verb;      // method name, stands in the audit
	// Array of {"op": "create"|"set"|"delete", "noun", "name", "fields": {..}}; borrowed.
	struct json_t *changes;
	bool has_if_revision; // refuse with API_CONFLICT unless this is the current revision
	uint64_t if_revision;
	bool check;        // validate and tell the diff, change nothing
	// It is meant: more than 16 objects and more than a tenth of all may go, and what a file
	// leaves out may carry established sessions.
	bool many_deletes;
	// Not 0: the change goes back by itself, also after a crash, unless it is confirmed so soon. Until then every other
	// change is refused with API_CONFLICT.
	uint64_t confirm_ms;
	// With confirm_ms: what becomes of it at its deadline the named peer of the node file decides, by what became of its
	// own revision. NULL = it goes back.
	const char *decider;
	uint64_t decided;
	struct json_t *secrets; // of a file: {fingerprint: text} that its {keep: ..} may name; borrowed, NULL = none
};
// done is called exactly once, never before service_change returns.
void service_change(
	struct service *service, const struct service_change *change, service_done done, void *ctx);

// The same for a whole model as YAML (`config check`, `config apply`): afterwards the model is what
// the file says, objects that it does not name are deleted. change->changes is ignored. text is
// borrowed.
void service_apply(struct service *service, const struct service_change *change, const char *text,
	size_t length, const char *file_name, service_done done, void *ctx);

// Makes the model what it was at *revision, as a new revision and by all rules for changes; NULL = at the newest but
// one. While a revision waits for confirmation: takes that one back, which no rule can prevent; *revision is refused
// then. Fields that follow a workflow stay where they are. A check tells the difference whatever the rules say, and
// their refusal as `guard`.
void service_rollback(struct service *service, const struct service_change *change,
	const uint64_t *revision, service_done done, void *ctx);
// What waits for confirmation is final. *revision: only if it is this one; NULL = whichever.
void service_confirm(struct service *service, const struct service_change *change,
	const uint64_t *revision, service_done done, void *ctx);

// What the route thread told of a BGP session, by its name in the status table: "CIRCUIT/TYPE/ROLE".
void service_session(struct service *service, const char *name, bool established);
// How many of the circuit's are established on this edge.
unsigned int service_established(const struct service *service, const char *circuit);

// Runs work(ctx) on the store thread, then done(ctx) on the main thread: what takes longer than others may wait.
void service_work(
	struct service *service, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

// --- the store's lists -----------------------------------------------------------------------------------

// store_audit_list(), store_history(), store_finals(): asked on the store thread, answered on the main thread,
// newest first.
enum service_list { SERVICE_AUDIT, SERVICE_HISTORY, SERVICE_FINALS };
// rows is borrowed; NULL = the store cannot be read.
typedef void (*service_rows)(void *ctx, struct json_t *rows);
// done is called exactly once, never before service_list returns; until then the filter's texts stay.
void service_list(struct service *service, enum service_list list,
	const struct store_filter *filter, service_rows done, void *ctx);

// --- the store as a whole --------------------------------------------------------------------------------

// A line of the audit for what changes no model: what was denied, what was done to a session.
void service_audit(struct service *service, const char *actor, const char *verb, const char *object,
	const char *result);
// What is there is meant, whatever was said against it. From any thread.
void service_accept(struct service *service);
// about: as store_backup() gives it, borrowed; NULL = error says why. Once, not before service_backup returns; the
// descriptor is borrowed until then.
typedef void (*service_backed_up)(
	void *ctx, struct json_t *about, const struct api_error *error);
void service_backup(struct service *service, int fd, service_backed_up done, void *ctx);
// What deleted objects counted last; from the route thread, which is told there when it is on disk or could not be
// written. The list's reference goes there and back.
typedef void (*service_finals_stored)(void *ctx, struct json_t *list, bool stored);
void service_finals(
	struct service *service, struct json_t *list, service_finals_stored stored, void *ctx);

// --- threads -------------------------------------------------------------------------------------------

// For whoever has to move work: post(service_route_thread(s), fn, arg) and back. From any thread.
struct thread *service_main_thread(const struct service *service);
struct thread *service_route_thread(const struct service *service);
struct thread *service_store_thread(const struct service *service);

#endif
