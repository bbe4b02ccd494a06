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

#include "control/base/log.h"
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

struct request {
	TAILQ_ENTRY(request) entry;
	struct service *service;
	char *actor, *on_behalf, *verb;
	bool has_if_revision, check, many_deletes, had_problems;
	uint64_t if_revision;
	json_t *changes;        // either these,
	char *text, *file_name; // or a whole file
	size_t length;
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
	bool committed;
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
	json_t *sessions; // those that are established: "CIRCUIT/TYPE/ROLE"
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
	service->options.publish(service->options.ctx, publication_ref(service->current));
}

// --- changes -------------------------------------------------------------------------------------------

static void request_free(struct request *request)
{
	free(request->actor);
	free(request->on_behalf);
	free(request->verb);
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
		.changed = request->committed,
		.error = request->error,
		.guard = request->guard.code != API_NONE ? &request->guard : NULL,
		.errors = findings_json(&request->findings),
	};

	if (request->error.code == API_NONE) {
		struct model_diff *diff = model_diff(request->old, request->new);
		result.diff = diff != NULL ? model_diff_json(diff) : NULL;
		model_diff_free(diff);
		if (request->check)
			result.changed = request->new != request->old;
	}
	TAILQ_REMOVE(&service->queue, request, entry);
	if (request->committed)
		for (unsigned int i = 0; i < service->watchers; i++)
			service->watcher[i].fn(
				service->watcher[i].ctx, result.revision, result.diff);
	bool waits = !TAILQ_EMPTY(&service->queue); // what done() asks for starts by itself
	request->done(request->ctx, &result);
	json_decref(result.diff);
	json_decref(result.errors);
	if (waits)
		post(service->options.main, start_next, service);
	if (request->error.code != API_NONE && !request->check)
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
		publish(service);
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
		.verb = request->verb,
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

// A file says by leaving it out that something goes; whoever deletes one object has named it.
static void ask_about_deletes(struct request *request, struct api_error *error)
{
	ask_about_many(request, error);
	if (error->code == API_NONE && request->text != NULL)
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

static void validated(struct request *request, int error)
{
	if (error != 0 || request->new == NULL) {
		findings_error(&request->findings, &request->error);
		if (request->error.code == API_NONE)
			api_fail(&request->error, API_INTERNAL, NULL,
				"the change could not be checked: %s", strerror(-error));
	}
	if (request->error.code == API_NONE && !request->many_deletes &&
		request->new != request->old)
		ask_about_deletes(request, request->check ? &request->guard : &request->error);
	if (request->error.code != API_NONE || request->check || request->new == request->old)
		finish(request);
	else
		post(request->service->options.store, commit, request);
}

static void parsed(void *arg)
{
	struct request *request = arg;
	validated(request, request->new == NULL ? -EINVAL : 0);
}

// Store thread.
static void parse(void *arg)
{
	struct request *request = arg;

	if (model_parse(request->old, request->text, request->length, request->file_name,
		    &request->new, &request->findings) != 0)
		request->new = NULL;
	post(request->service->options.main, parsed, request);
}

static void start_next(void *arg)
{
	struct service *service = arg;
	struct request *request = TAILQ_FIRST(&service->queue);

	request->old = model_ref(service->current->model);
	request->had_problems = service->current->problems != NULL;
	if (request->has_if_revision && request->if_revision != service->current->revision) {
		api_fail(&request->error, API_CONFLICT, "read it again, then change it",
			"the configuration is at revision %llu, not %llu",
			(unsigned long long)service->current->revision,
			(unsigned long long)request->if_revision);
		finish(request);
	} else if (request->text != NULL) {
		post(service->options.store, parse, request);
	} else {
		validated(request, model_change(request->old, request->changes, &request->new,
					   &request->findings));
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
	request_start(request);
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
	struct findings *findings = calloc(1, sizeof(*findings));

	if (findings == NULL)
		return -ENOMEM;
	int result = store_open(&service->store, &options, error);
	if (result == 0)
		result = store_load(service->store, &state, findings, error);
	if (result == 0) {
		service->current =
			publication_make(state.model, state.ids, state.uuid, state.revision);
		result = service->current != NULL ? 0 : -ENOMEM;
	}
	if (result == 0)
		tell_doubts(service, &state);
	if (result == 0 && findings->count > 0) {
		problems_keep(&service->problems, service->current->model, findings);
		service->current->problems = findings;
		findings = NULL;
	}
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
	if (result == 0)
		result = start_looking(service);
	if (result != 0) {
		service_destroy(service);
		return result;
	}
	malloc_trim(0); // what reading all of it has left
	publish(service);
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
	if (service->look != NULL)
		event_free(service->look);
	publication_unref(service->current);
	json_decref(service->sessions);
	problems_clear(&service->problems);
	free(service->doubt);
	store_close(service->store);
	free(service);
}
