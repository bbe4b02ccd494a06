/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SERVICE_INTERNAL_H
#define SERVICE_INTERNAL_H

// What the files of the service share. service.c has the queue of changes, waiting.c what waits for confirmation and goes back,
// service_store.c what else the store is asked. Main thread, unless they say otherwise.

#include "control/service.h"

#include "control/model/model.h"
#include "control/problems.h"
#include "control/publication.h"
#include "control/store/store.h"
#include "control/thread.h"

#include <jansson.h>

#include <sys/queue.h>

#define WATCHERS 4

enum request_kind { REQUEST_CHANGES, REQUEST_FILE, REQUEST_BACK, REQUEST_CONFIRM };

struct request {
	TAILQ_ENTRY(request) entry;
	struct service *service;
	enum request_kind kind;
	char *actor, *on_behalf, *verb, *decider;
	uint64_t decided;
	json_t *secrets;
	bool has_if_revision, check, many_deletes, had_problems;
	uint64_t if_revision;
	json_t *changes;        // either these,
	char *text, *file_name; // or a whole file,
	size_t length;
	bool has_target; // or back to this revision, or what is to be confirmed
	uint64_t target;
	uint64_t overdue; // the deadline's: only if this one still waits
	bool reverts;     // what waits is taken back
	uint64_t confirm_ms;
	struct store_pending pending; // of this change, or what it settles
	service_done done;
	void *ctx;
	// as it goes
	struct model *old, *new;
	struct findings findings;
	struct api_error error;
	struct api_error guard; // of a check: why the change itself would be refused
	uint64_t revision;
	struct ids *ids;
	struct findings *problems; // of `new`
	bool committed, confirmed;
};

struct service {
	struct service_options options;
	struct store *store; // store thread
	struct publication *current;
	struct problems problems;            // store thread, once the service runs
	TAILQ_HEAD(requests, request) queue; // the first is under way
	struct {
		service_watcher fn;
		void *ctx;
	} watcher[WATCHERS];
	unsigned int watchers;
	service_pending_watcher pending_watcher;
	void *pending_ctx;
	struct store_pending pending; // waits for confirmation
	struct event *deadline;       // of that
	bool reverting;               // it is over, and that is queued
	bool asking;                  // it is over, and who decides about it is asked
	uint64_t doubt_since;         // and has not answered; ns, 0 = has
	json_t *sessions; // those that are established: "CIRCUIT/TYPE/ROLE", of IPv6 beside IPv4 ".../v6"
	struct event *look; // at the store's place; store thread
	char *doubt;  // of the store as it was opened; stays as long as somebody may read it
	bool doubted; // it is still in doubt
};

// --- service.c ---------------------------------------------------------------------------------------------

// Takes over the references to model and ids. NULL = no memory.
struct publication *service_publication(
	struct model *model, struct ids *ids, const uint8_t *uuid, uint64_t revision);
void service_publish(struct service *service);
struct request *request_make(struct service *service, const struct service_change *change,
	service_done done, void *ctx);
void request_start(struct request *request); // when those before it are done
void request_finish(struct request *request); // tells the caller, and lets the next one in
// request->new is there, or its findings are: commits it unless something is against it.
void request_validated(struct request *request, int error);

// --- waiting.c ---------------------------------------------------------------------------------------------

// Something waits, and that is not what the request is about.
void waiting_conflict(const struct store_pending *pending, struct api_error *error);
void waiting_tell(struct service *service, const char *state, const struct store_pending *pending);
// Looks at the deadline again when it is time; again: after a revert that could not be made.
void waiting_watch(struct service *service, bool again);
void waiting_start_back(struct request *request);
void waiting_start_confirm(struct request *request);
// Before anything is published: what has gone back while we did not run.
void waiting_at_start(
	struct service *service, struct store_state *state, struct findings *findings);
int waiting_create(struct service *service); // 0 or -ENOMEM
void waiting_destroy(struct service *service);

// --- service_store.c ---------------------------------------------------------------------------------------

int service_look(struct service *service); // begins to look at the store's place; 0 or -ENOMEM

#endif
