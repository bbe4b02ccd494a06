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

#include "control/service_internal.h"

#include "control/base/log.h"
#include "control/losses.h"
#include "control/node.h"

#include <event2/event.h>

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_TEXT 262144u // bytes of a file

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
struct publication *service_publication(
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

void service_publish(struct service *service)
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

// A file of ten thousand circuits leaves 130 MB of small free blocks behind, which malloc() keeps. On the store thread.
static void give_back_memory(void *arg)
{
	malloc_trim(0);
}

void request_finish(struct request *request)
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
		waiting_watch(service, request->error.code != API_NONE);
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
		struct publication *next = service_publication(model_ref(request->new), request->ids,
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
		service_publish(service);
		if (request->confirm_ms != 0 || request->reverts)
			waiting_tell(service, request->reverts ? "reverted" : "pending",
				&request->pending);
	}
	request_finish(request);
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

void request_validated(struct request *request, int error)
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
		request_finish(request);
	else
		post(request->service->options.store, commit, request);
}

static void parsed(void *arg)
{
	struct request *request = arg;
	request_validated(request, request->new == NULL ? -EINVAL : 0);
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
		waiting_conflict(&service->pending, request->check ? &request->guard : &request->error);
}

static void start_next(void *arg)
{
	struct service *service = arg;
	struct request *request = TAILQ_FIRST(&service->queue);

	request->old = model_ref(service->current->model);
	request->had_problems = service->current->problems != NULL;
	check_conflicts(request);
	if (request->error.code != API_NONE) {
		request_finish(request);
		return;
	}
	switch (request->kind) {
	case REQUEST_FILE:
		post(service->options.store, parse, request);
		break;
	case REQUEST_BACK:
		waiting_start_back(request);
		break;
	case REQUEST_CONFIRM:
		waiting_start_confirm(request);
		break;
	case REQUEST_CHANGES:
		request_validated(request, model_change(request->old, request->changes, &request->new,
					   &request->findings));
		break;
	}
}

struct request *request_make(
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

void request_start(struct request *request)
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
		waiting_at_start(service, &state, back);
		service->pending = state.pending;
		service->current =
			service_publication(state.model, state.ids, state.uuid, state.revision);
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
	if (result == 0)
		result = waiting_create(service);
	if (result == 0)
		result = service_look(service);
	if (result != 0) {
		service_destroy(service);
		return result;
	}
	malloc_trim(0); // what reading all of it has left
	service_publish(service);
	waiting_watch(service, false);
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
	waiting_destroy(service);
	if (service->look != NULL)
		event_free(service->look);
	publication_unref(service->current);
	json_decref(service->sessions);
	problems_clear(&service->problems);
	free(service->doubt);
	store_close(service->store);
	free(service);
}
