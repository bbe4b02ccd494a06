// SPDX-License-Identifier: BSD-3-Clause
// What else the store is asked, on its thread: work of others, lists, the audit's lines, a backup, last counters, how its files
// are.

#include "control/service_internal.h"

#include "control/base/log.h"
#include "control/node.h"

#include <event2/event.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_S 5 // between two looks at the store's files and their file system

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

int service_look(struct service *service)
{
	const struct timeval now = {0, 0};

	if (service->options.place == NULL)
		return 0;
	service->look = evtimer_new(thread_base(service->options.store), place_look, service);
	return service->look != NULL && event_add(service->look, &now) == 0 ? 0 : -ENOMEM;
}
