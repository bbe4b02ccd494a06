// SPDX-License-Identifier: BSD-3-Clause
// What waits for confirmation, and what goes back: a revision with a deadline, its confirmation and its end, in time or at the
// start, and the way to an older one. Several edges' deadlines are one: who decides is asked (decision.h). Why so:
// docs/decisions/0015.

#include "control/service_internal.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/decision.h"

#include <event2/event.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 5000   // until a revert that could not be written is tried again
#define TICK_MS  1000   // a deadline is looked at so often: the machine may have slept
#define DOUBT_MS 300000 // so long an edge that decides is waited for, then the revision goes back

const struct store_pending *service_pending(const struct service *service)
{
	return service->pending.revision != 0 ? &service->pending : NULL;
}

void service_watch_pending(struct service *service, service_pending_watcher fn, void *ctx)
{
	service->pending_watcher = fn;
	service->pending_ctx = ctx;
}

// "root (uid:0)"
static void name_actor(const char *actor, char *text, size_t size)
{
	const char *slash = strchr(actor, '/');

	if (slash != NULL)
		snprintf(text, size, "%s (%.*s)", slash + 1, (int)(slash - actor), actor);
	else
		snprintf(text, size, "%s", actor);
}

void waiting_conflict(const struct store_pending *pending, struct api_error *error)
{
	char actor[STORE_ACTOR_MAX + 8], when[32] = "";
	time_t until = (time_t)(pending->until / 1000);
	struct tm local;

	name_actor(pending->actor, actor, sizeof(actor));
	if (localtime_r(&until, &local) != NULL)
		strftime(when, sizeof(when), "%H:%M:%S", &local);
	api_fail(error, API_CONFLICT, "culvertctl config confirm, or culvertctl config rollback",
		"pending confirm by %s until %s of revision %llu", actor, when,
		(unsigned long long)pending->revision);
}

void waiting_watch(struct service *service, bool again)
{
	int64_t left = store_pending_left(&service->pending);

	if (service->pending.revision == 0) {
		event_del(service->deadline);
		return;
	}
	left = again ? AGAIN_MS : left > TICK_MS ? TICK_MS : left;
	const struct timeval when = {left / 1000, left % 1000 * 1000};
	event_add(service->deadline, &when);
}

void waiting_tell(
	struct service *service, const char *state, const struct store_pending *pending)
{
	log_info("main", "revision with a deadline", log_text("state", state),
		log_number("revision", (int64_t)pending->revision),
		log_number("before", (int64_t)pending->before), log_text("actor", pending->actor));
	if (service->pending_watcher != NULL)
		service->pending_watcher(service->pending_ctx, state, pending);
	waiting_watch(service, false);
}

// --- back to what was ------------------------------------------------------------------------------------

static void back_found(void *arg)
{
	struct request *request = arg;
	request_validated(request, request->new == NULL ? -EINVAL : 0);
}

// What the rules say against it, of a check that shows the difference all the same.
static void judge_back(struct request *request)
{
	struct findings *findings = calloc(1, sizeof(*findings));
	struct model *judged = NULL;

	if (findings == NULL)
		abort();
	if (store_back(request->service->store, request->old, request->target, true, &judged,
		    findings, &request->error) == -EINVAL)
		findings_error(findings, &request->guard);
	model_unref(judged);
	free(findings);
}

// Store thread.
static void go_back(void *arg)
{
	struct request *request = arg;
	struct store *store = request->service->store;
	bool judged = !request->reverts && !request->check;
	int error = 0;

	if (!request->has_target)
		error = store_before(store, &request->target, &request->error);
	if (error == 0 && !judged && !request->reverts)
		judge_back(request);
	if (error == 0 && request->error.code == API_NONE)
		store_back(store, request->old, request->target, judged, &request->new,
			&request->findings, &request->error);
	if (!judged) { // what a rule has against it is a problem then, and no refusal
		request->had_problems = request->had_problems || request->findings.count > 0;
		request->findings = (struct findings){0};
	}
	post(request->service->options.main, back_found, request);
}

void waiting_start_back(struct request *request)
{
	struct service *service = request->service;

	if (request->overdue != 0 && service->pending.revision != request->overdue) {
		request->new = model_ref(request->old); // somebody was faster
		request_finish(request);
		return;
	}
	if (service->pending.revision != 0 && !request->has_target) {
		request->reverts = true;
		request->has_target = true;
		request->target = service->pending.before;
		request->pending = service->pending;
	}
	post(service->options.store, go_back, request);
}

// --- confirmation ----------------------------------------------------------------------------------------

static void confirmed(void *arg)
{
	struct request *request = arg;
	struct service *service = request->service;

	if (request->error.code == API_NONE) {
		const struct publication *now = service->current;
		struct publication *next = service_publication(model_ref(now->model), ids_ref(now->ids),
			now->store, now->revision);
		if (next == NULL)
			abort();
		next->problems = now->problems != NULL ? malloc(sizeof(*next->problems)) : NULL;
		if (next->problems != NULL)
			*next->problems = *now->problems;
		next->doubt = now->doubt;
		publication_unref(service->current);
		service->current = next;
		service->pending = (struct store_pending){0};
		request->confirmed = true;
		service_publish(service);
		waiting_tell(service, "confirmed", &request->pending);
	}
	request_finish(request);
}

// Store thread.
static void confirm(void *arg)
{
	struct request *request = arg;

	if (store_confirm(request->service->store, request->actor, request->on_behalf,
		    &request->pending, &request->error) != 0 &&
		request->error.code == API_NONE)
		api_fail(&request->error, API_INTERNAL, "see culvertd's log",
			"the confirmation could not be stored");
	post(request->service->options.main, confirmed, request);
}

void waiting_start_confirm(struct request *request)
{
	struct service *service = request->service;
	const struct store_pending *pending = &service->pending;

	request->new = model_ref(request->old);
	request->pending = *pending;
	if (request->overdue != 0 && request->overdue != pending->revision) {
		request_finish(request); // somebody was faster
		return;
	}
	if (pending->revision == 0)
		api_fail(&request->error, API_NOT_FOUND, "culvertctl config history",
			"no revision waits for confirmation");
	else if (request->has_target && request->target != pending->revision)
		api_fail(&request->error, API_CONFLICT, "culvertctl config history",
			"revision %llu waits for confirmation, not %llu",
			(unsigned long long)pending->revision, (unsigned long long)request->target);
	else if (store_pending_left(pending) == 0 && request->overdue == 0 && pending->decider[0] == '\0')
		api_fail(&request->error, API_CONFLICT, "make the change again",
			"the time to confirm revision %llu is over, it goes back",
			(unsigned long long)pending->revision);
	if (request->error.code != API_NONE || request->check)
		request_finish(request);
	else
		post(service->options.store, confirm, request);
}

// --- asked for, and by itself ----------------------------------------------------------------------------

static void start_with(struct service *service, const struct service_change *change,
	enum request_kind kind, const uint64_t *revision, service_done done, void *ctx)
{
	struct request *request = request_make(service, change, done, ctx);

	request->kind = kind;
	request->has_target = revision != NULL;
	request->target = revision != NULL ? *revision : 0;
	request_start(request);
}

void service_rollback(struct service *service, const struct service_change *change,
	const uint64_t *revision, service_done done, void *ctx)
{
	start_with(service, change, REQUEST_BACK, revision, done, ctx);
}

void service_confirm(struct service *service, const struct service_change *change,
	const uint64_t *revision, service_done done, void *ctx)
{
	start_with(service, change, REQUEST_CONFIRM, revision, done, ctx);
}

static const struct service_change by_itself = {.actor = "culvertd", .verb = "config.revert"};

static void end_pending(struct service *service, enum request_kind how)
{
	struct request *request = request_make(service, &by_itself, NULL, NULL);

	request->kind = how;
	request->overdue = service->pending.revision;
	service->reverting = true;
	service->doubt_since = 0;
	request_start(request);
}

struct doubt { // about a revision whose time is over
	struct service *service;
	struct store_pending pending;
	enum decision decision;
};

static void decided(void *arg)
{
	struct doubt *doubt = arg;
	struct service *service = doubt->service;
	bool same = service->pending.revision == doubt->pending.revision && !service->reverting;
	uint64_t now = clock_ns();

	service->asking = false;
	if (same && doubt->decision == DECISION_CONFIRMED) {
		end_pending(service, REQUEST_CONFIRM);
	} else if (same && doubt->decision == DECISION_REVERTED) {
		end_pending(service, REQUEST_BACK);
	} else if (same) {
		if (service->doubt_since == 0) {
			service->doubt_since = now;
			log_warning("main", "the edge that decides about a revision is waited for",
				log_number("revision", (int64_t)doubt->pending.revision),
				log_text("edge", doubt->pending.decider));
		}
		if (now - service->doubt_since > DOUBT_MS * UINT64_C(1000000)) {
			log_error("main", "the edge that decides about a revision does not answer, it goes back",
				log_number("revision", (int64_t)doubt->pending.revision),
				log_text("edge", doubt->pending.decider));
			end_pending(service, REQUEST_BACK);
		} else {
			const struct timeval later = {TICK_MS / 1000, 0};
			event_add(service->deadline, &later);
		}
	}
	free(doubt);
}

// Store thread: meanwhile nothing else is written anyway.
static void ask(void *arg)
{
	struct doubt *doubt = arg;

	doubt->decision = decision_ask(doubt->service->options.node, &doubt->pending);
	post(doubt->service->options.main, decided, doubt);
}

static void ask_decider(struct service *service)
{
	struct doubt *doubt = malloc(sizeof(*doubt));

	if (doubt == NULL)
		abort();
	*doubt = (struct doubt){.service = service, .pending = service->pending};
	service->asking = true;
	post(service->options.store, ask, doubt);
}

static void on_deadline(evutil_socket_t fd, short events, void *arg)
{
	struct service *service = arg;

	if (service->pending.revision == 0 || service->reverting || service->asking)
		return;
	// Whoever has changed the store may have made up what waits: nothing goes back by itself until it is accepted.
	if (service->doubted || store_pending_left(&service->pending) > 0) {
		waiting_watch(service, service->doubted);
		return;
	}
	if (service->pending.decider[0] != '\0')
		ask_decider(service);
	else
		end_pending(service, REQUEST_BACK);
}

// Its deadline has passed while we did not run: nobody is shown what has gone back already. When it cannot be written,
// the deadline is looked at again as soon as we run.
void waiting_at_start(
	struct service *service, struct store_state *state, struct findings *findings)
{
	struct store_pending pending = state->pending;
	struct model *model = NULL;
	struct ids *ids = NULL;
	struct api_error error = {0};

	if (pending.revision == 0 || pending.decider[0] != '\0' || state->doubt[0] != '\0' ||
		store_pending_left(&pending) > 0)
		return;
	int result = store_back(
		service->store, state->model, pending.before, false, &model, findings, &error);
	const struct store_commit change = {
		.old = state->model,
		.new = model,
		.actor = by_itself.actor,
		.verb = by_itself.verb,
		.again = &pending.before,
		.settles = true,
	};
	if (result == 0)
		result = store_commit(service->store, &change, &state->revision, &ids, &error);
	if (result != 0) {
		log_error("store", "a revision that was not confirmed cannot be taken back yet",
			log_number("revision", (int64_t)pending.revision),
			log_text("error", error.message));
		model_unref(model);
		return;
	}
	log_info("store", "a revision that was not confirmed was taken back",
		log_number("revision", (int64_t)pending.revision),
		log_number("before", (int64_t)pending.before), log_text("actor", pending.actor));
	model_unref(state->model);
	ids_unref(state->ids);
	state->model = model;
	state->ids = ids;
	state->pending = (struct store_pending){0};
}

int waiting_create(struct service *service)
{
	service->deadline = evtimer_new(thread_base(service->options.main), on_deadline, service);
	return service->deadline != NULL ? 0 : -ENOMEM;
}

void waiting_destroy(struct service *service)
{
	if (service->deadline != NULL)
		event_free(service->deadline);
}
