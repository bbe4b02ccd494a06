/* SPDX-License-Identifier: BSD-3-Clause */
// The model and the queue of changes to it.
//
// A change goes main (validate) -> store (commit) -> main (publish, answer). One is under way at a
// time, the others wait in a queue: each is validated against the outcome of the one before, so two
// users cannot both take the last VLAN tag. Validation of single objects is incremental and done in
// place; a whole file is parsed on the store thread, against the immutable snapshot, so that the
// main loop keeps its few milliseconds. A crash anywhere leaves either the old or the new state in
// the store, and nothing that the store does not hold has ever been published.
//
// A change that was refused leaves a line in the audit, too: who tried what is as interesting.

#include "control/service.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/decision.h"
#include "control/losses.h"
#include "control/model/model.h"
#include "control/node.h"
#include "control/problems.h"
#include "control/publication.h"
#include "control/store/store.h"
#include "control/thread.h"

#include <event2/event.h>
#include <jansson.h>

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define WATCHERS   4
#define LOOK_S     5 // between two looks at the store's files and their file system
#define LARGE_TEXT 262144u // bytes of a file
#define AGAIN_MS   5000    // until a revert that could not be written is tried again
#define TICK_MS    1000    // a deadline is looked at so often: the machine may have slept
#define DOUBT_MS   300000  // so long an edge that decides is waited for, then the revision goes back

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

const struct model *service_model(const struct service *service)
{
	return service->current->model;
}

uint64_t service_revision(const struct service *service)
{
	return service->current->revision;
}

const uint8_t *service_store_uuid(const struct service *service)
{
	return service->current->store;
}

const struct node *service_node(const struct service *service)
{
	return service->options.node;
}

const char *service_edge(const struct service *service)
{
	return service->options.node->edge;
}

struct thread *service_main_thread(const struct service *service)
{
	return service->options.main;
}

struct thread *service_route_thread(const struct service *service)
{
	return service->options.route;
}

struct thread *service_store_thread(const struct service *service)
{
	return service->options.store;
}

int service_watch(struct service *service, service_watcher fn, void *ctx)
{
	if (service->watchers == WATCHERS)
		return -ENOSPC;
	service->watcher[service->watchers].fn = fn;
	service->watcher[service->watchers++].ctx = ctx;
	return 0;
}

const struct store_pending *service_pending(const struct service *service)
{
	return service->pending.revision != 0 ? &service->pending : NULL;
}

void service_watch_pending(struct service *service, service_pending_watcher fn, void *ctx)
{
	service->pending_watcher = fn;
	service->pending_ctx = ctx;
}

// Takes over the references to model and ids.
static struct publication *publication_make(
	struct model *model, struct ids *ids, const uint8_t *uuid, uint64_t revision)
{
	struct publication *publication = calloc(1, sizeof(*publication));
	if (publication == NULL)
		return NULL;
	publication->references = 1;
	publication->model = model;
	publication->ids = ids;
	publication->revision = revision;
	memcpy(publication->store, uuid, sizeof(publication->store));
	return publication;
}

static void publish(struct service *service)
{
	struct publication *publication = service->current;
	const struct store_pending *pending = &service->pending;

	publication->pending.waits = pending->revision != 0;
	publication->pending.before = pending->before;
	publication->pending.until = pending->until / 1000;
	publication->pending.decided = pending->decided;
	snprintf(publication->pending.actor, sizeof(publication->pending.actor), "%s",
		pending->actor);
	snprintf(publication->pending.decider, sizeof(publication->pending.decider), "%s",
		pending->decider);
	service->options.publish(service->options.ctx, publication_ref(service->current));
}

// --- what waits for confirmation -----------------------------------------------------------------------

// "root (uid:0)"
static void name_actor(const char *actor, char *text, size_t size)
{
	const char *slash = strchr(actor, '/');

	if (slash != NULL)
		snprintf(text, size, "%s (%.*s)", slash + 1, (int)(slash - actor), actor);
	else
		snprintf(text, size, "%s", actor);
}

static void conflict(const struct store_pending *pending, struct api_error *error)
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

static void watch_deadline(struct service *service, bool again)
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

static void tell_pending(
	struct service *service, const char *state, const struct store_pending *pending)
{
	log_info("main", "revision with a deadline", log_text("state", state),
		log_number("revision", (int64_t)pending->revision),
		log_number("before", (int64_t)pending->before), log_text("actor", pending->actor));
	if (service->pending_watcher != NULL)
		service->pending_watcher(service->pending_ctx, state, pending);
	watch_deadline(service, false);
}

// --- changes -------------------------------------------------------------------------------------------

static void request_free(struct request *request)
{
	free(request->actor);
	free(request->on_behalf);
	free(request->verb);
	free(request->decider);
	json_decref(request->secrets);
	free(request->text);
	free(request->file_name);
	json_decref(request->changes);
	model_unref(request->old);
	model_unref(request->new);
	ids_unref(request->ids);
	free(request->problems);
	free(request);
}

static void start_next(void *arg);

// "circuit acme-ams-01", or with more: "circuit acme-ams-01 and 3 more"; NULL = of a file.
static const char *changed_objects(const struct request *request, char *text, size_t size)
{
	const json_t *first = json_array_get(request->changes, 0);
	const char *noun = json_string_value(json_object_get(first, "noun"));
	const char *name = json_string_value(json_object_get(first, "name"));
	size_t count = json_array_size(request->changes);

	if (noun == NULL || name == NULL)
		return NULL;
	if (count > 1)
		snprintf(text, size, "%s %s and %zu more", noun, name, count - 1);
	else
		snprintf(text, size, "%s %s", noun, name);
	return text;
}

static void audit_refusal(void *arg)
{
	struct request *request = arg;
	char objects[OBJECT_NAME_MAX + 64];

	store_audit(request->service->store, request->actor, request->on_behalf, request->verb,
		changed_objects(request, objects, sizeof(objects)), request->error.message);
	request_free(request);
}

// Names may go round in a circle: first all are taken off.
static void rename_sessions(struct service *service, const json_t *diff)
{
	static const char *const roles[] = {
		"primary", "secondary", "primary/v6", "secondary/v6"};
	json_t *established = json_array(), *one;
	char name[OBJECT_NAME_MAX + 16];
	size_t i;

	json_array_foreach ((json_t *)diff, i, one) {
		const char *was = json_string_value(json_object_get(one, "was"));
		if (was == NULL ||
			strcmp(json_string_value(json_object_get(one, "noun")), "peering") != 0)
			continue;
		for (unsigned int r = 0; r < 4; r++) {
			snprintf(name, sizeof(name), "%s/%s", was, roles[r]);
			if (json_object_del(service->sessions, name) != 0)
				continue;
			snprintf(name, sizeof(name), "%s/%s",
				json_string_value(json_object_get(one, "name")), roles[r]);
			json_array_append_new(established, json_string(name));
		}
	}
	json_array_foreach (established, i, one)
		json_object_set_new(service->sessions, json_string_value(one), json_true());
	json_decref(established);
}

// Tells the caller, and lets the next one in.
// A file of ten thousand circuits leaves 130 MB of small free blocks behind, which malloc() keeps. On the store thread.
static void give_back_memory(void *arg)
{
	malloc_trim(0);
}

static void finish(struct request *request)
{
	struct service *service = request->service;
	bool large = request->text != NULL && request->length > LARGE_TEXT;
	struct service_result result = {
		.revision = service->current->revision,
		.changed = request->committed || request->confirmed,
		.error = request->error,
		.pending = request->committed && request->confirm_ms != 0 ? &service->pending : NULL,
		.guard = request->guard.code != API_NONE ? &request->guard : NULL,
		.errors = findings_json(&request->findings),
	};

	if (request->error.code == API_NONE) {
		result.old = request->old;
		result.new = request->new;
		struct model_diff *diff = model_diff(request->old, request->new);
		result.diff = diff != NULL ? model_diff_json(diff) : NULL;
		model_diff_free(diff);
		if (request->check)
			result.changed = request->new != request->old;
	}
	TAILQ_REMOVE(&service->queue, request, entry);
	if (request->overdue != 0) {
		service->reverting = false;
		watch_deadline(service, request->error.code != API_NONE);
	}
	if (request->committed)
		rename_sessions(service, result.diff);
	if (request->committed)
		for (unsigned int i = 0; i < service->watchers; i++)
			service->watcher[i].fn(
				service->watcher[i].ctx, result.revision, result.diff);
	bool waits = !TAILQ_EMPTY(&service->queue); // what done() asks for starts by itself
	if (request->done != NULL)
		request->done(request->ctx, &result);
	json_decref(result.diff);
	json_decref(result.errors);
	if (waits)
		post(service->options.main, start_next, service);
	if (request->overdue != 0 && request->error.code != API_NONE)
		log_error("main", "a revision that was not confirmed cannot be taken back yet",
			log_number("revision", (int64_t)request->overdue),
			log_text("error", request->error.message));
	if (request->error.code != API_NONE && !request->check && request->overdue == 0)
		post(service->options.store, audit_refusal, request);
	else
		request_free(request);
	if (large)
		post(service->options.store, give_back_memory, NULL);
}

static void committed(void *arg)
{
	struct request *request = arg;
	struct service *service = request->service;

	if (request->error.code == API_NONE) {
		struct publication *next = publication_make(model_ref(request->new), request->ids,
			service->current->store, request->revision);
		if (next == NULL)
			abort(); // committed and not known: only a restart is right
		request->ids = NULL;
		next->problems = request->problems;
		next->doubt = service->doubted ? service->doubt : NULL;
		request->problems = NULL;
		publication_unref(service->current);
		service->current = next;
		request->committed = true;
		if (request->confirm_ms != 0)
			service->pending = request->pending;
		else if (request->reverts)
			service->pending = (struct store_pending){0};
		publish(service);
		if (request->confirm_ms != 0 || request->reverts)
			tell_pending(service, request->reverts ? "reverted" : "pending",
				&request->pending);
	}
	finish(request);
}

// Store thread.
static void commit(void *arg)
{
	struct request *request = arg;
	const struct store_commit change = {
		.old = request->old,
		.new = request->new,
		.actor = request->actor,
		.on_behalf = request->on_behalf,
		.verb = request->reverts ? "config.revert" : request->verb,
		.confirm_ms = request->confirm_ms,
		.again = request->kind == REQUEST_BACK ? &request->target : NULL,
		.settles = request->reverts,
		.decider = request->decider,
		.decided = request->decided,
		.pending = request->confirm_ms != 0 ? &request->pending : NULL,
	};

	int error = store_commit(request->service->store, &change, &request->revision,
		&request->ids, &request->error);
	if (error != 0 && request->error.code == API_NONE)
		api_fail(&request->error, API_INTERNAL, "see culvertd's log",
			"the change could not be stored: %s", strerror(-error));
	if (error == 0)
		request->problems = problems_after(
			&request->service->problems, request->new, request->had_problems);
	post(request->service->options.main, committed, request);
}

#define DELETES_MAX   16 // more of them, and
#define DELETES_TENTH 10 // more than one in so many: asks whether it is meant
#define DELETE_HINT   "look at the difference with --check; --delete if it is meant"

// A file that was cut off, or is another one, is valid and says that most of what there is should
// go.
static void ask_about_many(struct request *request, struct api_error *error)
{
	struct model_diff *diff = model_diff(request->old, request->new);
	unsigned int deleted = 0, total = 0;

	for (unsigned int i = 0; diff != NULL && i < diff->count; i++)
		deleted += diff->item[i].new == NULL;
	for (unsigned int noun = 0; noun < NOUNS; noun++)
		total += model_count(request->old, noun);
	if (deleted > DELETES_MAX && deleted > total / DELETES_TENTH)
		api_fail(error, API_REFUSED, DELETE_HINT,
			"this would delete %u of the %u objects there are", deleted, total);
	model_diff_free(diff);
}

// A file or an older revision says by leaving it out that something goes; whoever deletes one object has named it.
static void ask_about_deletes(struct request *request, struct api_error *error)
{
	ask_about_many(request, error);
	if (error->code == API_NONE && request->kind != REQUEST_CHANGES)
		losses_ask(request->old, request->new, service_edge(request->service),
			request->service->sessions, DELETE_HINT, error);
}

void service_session(struct service *service, const char *name, bool established)
{
	if (established)
		json_object_set_new(service->sessions, name, json_true());
	else
		json_object_del(service->sessions, name);
}

unsigned int service_established(const struct service *service, const char *circuit)
{
	size_t length = strlen(circuit);
	unsigned int count = 0;
	const char *name;
	json_t *value;

	json_object_foreach (service->sessions, name, value)
		count += strncmp(name, circuit, length) == 0 && name[length] == '/';
	return count;
}

static void validated(struct request *request, int error)
{
	struct api_error *refused = request->check ? &request->guard : &request->error;

	if (request->error.code == API_NONE && (error != 0 || request->new == NULL)) {
		findings_error(&request->findings, &request->error);
		if (request->error.code == API_NONE)
			api_fail(&request->error, API_INTERNAL, NULL,
				"the change could not be checked: %s", strerror(-error));
	}
	if (request->error.code == API_NONE && refused->code == API_NONE && !request->many_deletes &&
		!request->reverts && request->new != request->old)
		ask_about_deletes(request, refused);
	bool same = request->new == request->old && !request->reverts;
	if (request->error.code != API_NONE || request->check || same)
		finish(request);
	else
		post(request->service->options.store, commit, request);
}

static void parsed(void *arg)
{
	struct request *request = arg;
	validated(request, request->new == NULL ? -EINVAL : 0);
}

static char *given_secret(void *ctx, const char *fingerprint)
{
	const struct request *request = ctx;
	const char *text = json_string_value(json_object_get(request->secrets, fingerprint));

	return text != NULL ? strdup(text) : NULL;
}

// Store thread.
static void parse(void *arg)
{
	struct request *request = arg;

	if (model_parse_with(request->old, request->text, request->length, request->file_name,
		    request->secrets != NULL ? given_secret : NULL, request, &request->new,
		    &request->findings) != 0)
		request->new = NULL;
	post(request->service->options.main, parsed, request);
}

// --- back to what was ------------------------------------------------------------------------------------

static void back_found(void *arg)
{
	struct request *request = arg;
	validated(request, request->new == NULL ? -EINVAL : 0);
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

static void start_back(struct request *request)
{
	struct service *service = request->service;

	if (request->overdue != 0 && service->pending.revision != request->overdue) {
		request->new = model_ref(request->old); // somebody was faster
		finish(request);
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
		struct publication *next = publication_make(model_ref(now->model), ids_ref(now->ids),
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
		publish(service);
		tell_pending(service, "confirmed", &request->pending);
	}
	finish(request);
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

static void start_confirm(struct request *request)
{
	struct service *service = request->service;
	const struct store_pending *pending = &service->pending;

	request->new = model_ref(request->old);
	request->pending = *pending;
	if (request->overdue != 0 && request->overdue != pending->revision) {
		finish(request); // somebody was faster
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
		finish(request);
	else
		post(service->options.store, confirm, request);
}

// --- one after the other ---------------------------------------------------------------------------------

static void check_conflicts(struct request *request)
{
	struct service *service = request->service;
	bool settles = request->kind == REQUEST_CONFIRM ||
		       (request->kind == REQUEST_BACK && !request->has_target);

	if (request->has_if_revision && request->if_revision != service->current->revision)
		api_fail(&request->error, API_CONFLICT, "read it again, then change it",
			"the configuration is at revision %llu, not %llu",
			(unsigned long long)service->current->revision,
			(unsigned long long)request->if_revision);
	else if (service->pending.revision != 0 && !settles)
		conflict(&service->pending, request->check ? &request->guard : &request->error);
}

static void start_next(void *arg)
{
	struct service *service = arg;
	struct request *request = TAILQ_FIRST(&service->queue);

	request->old = model_ref(service->current->model);
	request->had_problems = service->current->problems != NULL;
	check_conflicts(request);
	if (request->error.code != API_NONE) {
		finish(request);
		return;
	}
	switch (request->kind) {
	case REQUEST_FILE:
		post(service->options.store, parse, request);
		break;
	case REQUEST_BACK:
		start_back(request);
		break;
	case REQUEST_CONFIRM:
		start_confirm(request);
		break;
	case REQUEST_CHANGES:
		validated(request, model_change(request->old, request->changes, &request->new,
					   &request->findings));
		break;
	}
}

static struct request *request_make(
	struct service *service, const struct service_change *change, service_done done, void *ctx)
{
	struct request *request = calloc(1, sizeof(*request));
	if (request == NULL)
		abort();
	request->service = service;
	request->actor = strdup(change->actor != NULL ? change->actor : "");
	request->on_behalf = change->on_behalf != NULL ? strdup(change->on_behalf) : NULL;
	request->verb = strdup(change->verb != NULL ? change->verb : "");
	request->has_if_revision = change->has_if_revision;
	request->if_revision = change->if_revision;
	request->check = change->check;
	request->many_deletes = change->many_deletes;
	request->confirm_ms = change->check ? 0 : change->confirm_ms;
	request->decider = change->decider != NULL ? strdup(change->decider) : NULL;
	request->decided = change->decided;
	request->secrets = json_incref(change->secrets);
	request->done = done;
	request->ctx = ctx;
	return request;
}

static void request_start(struct request *request)
{
	struct service *service = request->service;
	bool idle = TAILQ_EMPTY(&service->queue);

	TAILQ_INSERT_TAIL(&service->queue, request, entry);
	if (idle)
		post(service->options.main, start_next, service);
}

void service_change(
	struct service *service, const struct service_change *change, service_done done, void *ctx)
{
	struct request *request = request_make(service, change, done, ctx);
	request->changes = json_incref(change->changes);
	request_start(request);
}

void service_apply(struct service *service, const struct service_change *change, const char *text,
	size_t length, const char *file_name, service_done done, void *ctx)
{
	struct request *request = request_make(service, change, done, ctx);
	request->text = malloc(length + 1);
	request->file_name = strdup(file_name != NULL ? file_name : "");
	if (request->text == NULL || request->file_name == NULL)
		abort();
	memcpy(request->text, text, length);
	request->text[length] = '\0';
	request->length = length;
	request->kind = REQUEST_FILE;
	request_start(request);
}

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
		watch_deadline(service, service->doubted);
		return;
	}
	if (service->pending.decider[0] != '\0')
		ask_decider(service);
	else
		end_pending(service, REQUEST_BACK);
}

// --- work ----------------------------------------------------------------------------------------------

struct work {
	struct service *service;
	void (*work)(void *ctx), (*done)(void *ctx);
	void *ctx;
};

static void work_done(void *arg)
{
	struct work *work = arg;
	work->done(work->ctx);
	free(work);
}

// Store thread.
static void work_do(void *arg)
{
	struct work *work = arg;
	work->work(work->ctx);
	post(work->service->options.main, work_done, work);
}

void service_work(
	struct service *service, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
	struct work *order = malloc(sizeof(*order));
	if (order == NULL)
		abort();
	*order = (struct work){service, work, done, ctx};
	post(service->options.store, work_do, order);
}

// --- lists ---------------------------------------------------------------------------------------------

struct list {
	struct service *service;
	enum service_list list;
	struct store_filter filter;
	service_rows done;
	void *ctx;
	json_t *rows;
};

static void list_done(void *arg)
{
	struct list *list = arg;
	list->done(list->ctx, list->rows);
	json_decref(list->rows);
	free(list);
}

// Store thread.
static void list_read(void *arg)
{
	static json_t *(*const read[])(struct store *, const struct store_filter *) = {
		[SERVICE_AUDIT] = store_audit_list,
		[SERVICE_HISTORY] = store_history,
		[SERVICE_FINALS] = store_finals,
	};
	struct list *list = arg;
	list->rows = read[list->list](list->service->store, &list->filter);
	post(list->service->options.main, list_done, list);
}

void service_list(struct service *service, enum service_list what,
	const struct store_filter *filter, service_rows done, void *ctx)
{
	struct list *list = calloc(1, sizeof(*list));
	if (list == NULL)
		abort();
	*list = (struct list){service, what, *filter, done, ctx, NULL};
	post(service->options.store, list_read, list);
}

// --- the store as a whole ------------------------------------------------------------------------------

struct line { // of the audit
	struct service *service;
	char *actor, *verb, *object, *result;
};

// Store thread.
static void line_write(void *arg)
{
	struct line *line = arg;

	if (store_audit(line->service->store, line->actor, NULL, line->verb, line->object,
		    line->result) != 0)
		log_warning("store", "not in the audit until there is room",
			log_text("actor", line->actor), log_text("verb", line->verb),
			log_text("object", line->object != NULL ? line->object : ""),
			log_text("result", line->result));
	free(line->actor);
	free(line->verb);
	free(line->object);
	free(line->result);
	free(line);
}

void service_audit(struct service *service, const char *actor, const char *verb, const char *object,
	const char *result)
{
	struct line *line = calloc(1, sizeof(*line));
	if (line == NULL)
		abort();
	*line = (struct line){service, strdup(actor), strdup(verb),
		object != NULL ? strdup(object) : NULL, strdup(result)};
	if (line->actor == NULL || line->verb == NULL || line->result == NULL)
		abort();
	post(service->options.store, line_write, line);
}

static void accepted(void *arg)
{
	struct service *service = arg;
	service->current->doubt = NULL;
	service->doubted = false;
}

// Store thread.
static void accept_store(void *arg)
{
	struct service *service = arg;

	if (store_accept(service->store) == 0)
		post(service->options.main, accepted, service);
	else
		log_error("store", "the store cannot be sealed", log_text("path", service->options.node->store));
}

void service_accept(struct service *service)
{
	post(service->options.store, accept_store, service);
}

struct backup {
	struct service *service;
	int fd;
	service_backed_up done;
	void *ctx;
	json_t *about;
	struct api_error error;
};

static void backup_done(void *arg)
{
	struct backup *backup = arg;
	backup->done(backup->ctx, backup->about, &backup->error);
	json_decref(backup->about);
	free(backup);
}

// Store thread.
static void backup_write(void *arg)
{
	struct backup *backup = arg;
	store_backup(backup->service->store, backup->fd, &backup->about, &backup->error);
	post(backup->service->options.main, backup_done, backup);
}

void service_backup(struct service *service, int fd, service_backed_up done, void *ctx)
{
	struct backup *backup = calloc(1, sizeof(*backup));
	if (backup == NULL)
		abort();
	*backup = (struct backup){.service = service, .fd = fd, .done = done, .ctx = ctx};
	post(service->options.store, backup_write, backup);
}

struct finals {
	struct service *service;
	json_t *list;
	service_finals_stored stored;
	void *ctx;
	bool written;
};

// Route thread.
static void finals_stored(void *arg)
{
	struct finals *finals = arg;
	finals->stored(finals->ctx, finals->list, finals->written);
	free(finals);
}

// Store thread.
static void finals_write(void *arg)
{
	struct finals *finals = arg;
	finals->written = store_finals_put(finals->service->store, finals->list) == 0;
	post(finals->service->options.route, finals_stored, finals);
}

void service_finals(
	struct service *service, json_t *list, service_finals_stored stored, void *ctx)
{
	struct finals *finals = calloc(1, sizeof(*finals));
	if (finals == NULL)
		abort();
	*finals = (struct finals){service, list, stored, ctx, false};
	post(service->options.store, finals_write, finals);
}

struct place {
	struct service *service;
	struct store_place place;
};

// Route thread.
static void place_told(void *arg)
{
	struct place *place = arg;
	const struct service_options *options = &place->service->options;
	options->place(options->ctx, &place->place);
	free(place);
}

// Store thread.
static void place_look(evutil_socket_t fd, short events, void *arg)
{
	struct service *service = arg;
	const struct timeval later = {LOOK_S, 0};
	struct place *place = malloc(sizeof(*place));
	if (place == NULL)
		abort();
	place->service = service;
	store_look(service->store, &place->place);
	post(service->options.route, place_told, place);
	event_add(service->look, &later);
}

static int start_looking(struct service *service)
{
	const struct timeval now = {0, 0};

	if (service->options.place == NULL)
		return 0;
	service->look = evtimer_new(thread_base(service->options.store), place_look, service);
	return service->look != NULL && event_add(service->look, &now) == 0 ? 0 : -ENOMEM;
}

// --- life ----------------------------------------------------------------------------------------------

static void tell_doubts(struct service *service, const struct store_state *state)
{
	if (state->migrated_from != 0)
		log_info("store", "the store was of an older version; as it was it stays beside it",
			log_text("store", service->options.node->store),
			log_number("schema", state->migrated_from));
	if (state->reads_otherwise)
		log_warning("store", "the stored model reads otherwise than it was written",
			log_number("revision", (int64_t)state->revision),
			log_text("hint", "its digest differs; compare culvertctl config show with a backup"));
	if (state->doubt[0] == '\0')
		return;
	service->doubt = strdup(state->doubt);
	if (service->doubt == NULL)
		abort();
	service->doubted = true;
	service->current->doubt = service->doubt;
	log_error("store", service->doubt,
		log_text("hint", "culvertctl restore FILE; if it is meant: culvertctl edge adopt"));
}

// Its deadline has passed while we did not run: nobody is shown what has gone back already. When it cannot be written,
// the deadline is looked at again as soon as we run.
static void revert_at_start(
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

// `findings` of the load.
static void note_problems(struct service *service, const struct model *loaded,
	const struct findings *findings, bool more)
{
	if (findings->count > 0)
		problems_keep(&service->problems, loaded, findings);
	service->current->problems = problems_after(
		&service->problems, service->current->model, findings->count > 0 || more);
}

static int load(struct service *service, struct api_error *error)
{
	const struct node *node = service->options.node;
	struct store_options options = {
		.path = node->store,
		.key_path = node->store_key,
		.keep_revisions = node->keep_revisions,
		.keep_audit = node->keep_audit,
		.model = node_model_options(node),
	};
	struct store_state state = {0};
	struct findings *findings = calloc(2, sizeof(*findings)), *back = findings + 1;
	struct model *loaded = NULL;

	if (findings == NULL)
		return -ENOMEM;
	int result = store_open(&service->store, &options, error);
	if (result == 0)
		result = store_load(service->store, &state, findings, error);
	if (result == 0) {
		loaded = model_ref(state.model);
		revert_at_start(service, &state, back);
		service->pending = state.pending;
		service->current =
			publication_make(state.model, state.ids, state.uuid, state.revision);
		result = service->current != NULL ? 0 : -ENOMEM;
	}
	if (result == 0)
		tell_doubts(service, &state);
	if (result == 0)
		note_problems(service, loaded, findings, back->count > 0);
	model_unref(loaded);
	free(findings);
	return result;
}

int service_create(
	struct service **out, const struct service_options *options, struct api_error *error)
{
	struct service *service = calloc(1, sizeof(*service));
	if (service == NULL)
		return -ENOMEM;
	service->options = *options;
	service->sessions = json_object();
	TAILQ_INIT(&service->queue);
	int result = load(service, error);
	service->deadline = evtimer_new(thread_base(options->main), on_deadline, service);
	if (result == 0 && service->deadline == NULL)
		result = -ENOMEM;
	if (result == 0)
		result = start_looking(service);
	if (result != 0) {
		service_destroy(service);
		return result;
	}
	malloc_trim(0); // what reading all of it has left
	publish(service);
	watch_deadline(service, false);
	*out = service;
	return 0;
}

void service_destroy(struct service *service)
{
	if (service == NULL)
		return;
	while (!TAILQ_EMPTY(&service->queue)) {
		struct request *request = TAILQ_FIRST(&service->queue);
		TAILQ_REMOVE(&service->queue, request, entry);
		request_free(request);
	}
	if (service->deadline != NULL)
		event_free(service->deadline);
	if (service->look != NULL)
		event_free(service->look);
	publication_unref(service->current);
	json_decref(service->sessions);
	problems_clear(&service->problems);
	free(service->doubt);
	store_close(service->store);
	free(service);
}
