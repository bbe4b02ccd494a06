// SPDX-License-Identifier: BSD-3-Clause

#include "tests/unit/rpc/fake_service.h"

#include "control/model/model.h"
#include "control/node.h"
#include "control/service.h"
#include "control/store/store.h"

#include <event2/event.h>
#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct service {
	struct event_base *base;
	struct model *model;
	uint64_t revision;
	service_watcher watch;
	void *watch_ctx;
};

// One answer under way.
struct pending {
	struct service *service;
	service_done done;
	service_rows rows_done;
	void *ctx;
	struct service_result result;
	json_t *rows;
	bool changed;
};

const struct model *service_model(const struct service *service)
{
	return service->model;
}

uint64_t service_revision(const struct service *service)
{
	return service->revision;
}

int service_watch(struct service *service, service_watcher fn, void *ctx)
{
	service->watch = fn;
	service->watch_ctx = ctx;
	return 0;
}

static void answer(evutil_socket_t fd, short what, void *ctx)
{
	struct pending *pending = ctx;
	struct service *service = pending->service;

	if (pending->rows_done != NULL) {
		pending->rows_done(pending->ctx, pending->rows);
	} else {
		if (pending->changed && service->watch != NULL)
			service->watch(
				service->watch_ctx, service->revision, pending->result.diff);
		pending->done(pending->ctx, &pending->result);
	}
	model_unref(pending->result.old);
	model_unref(pending->result.new);
	json_decref(pending->result.diff);
	json_decref(pending->result.errors);
	json_decref(pending->rows);
	free(pending);
}

static void later(struct pending *pending)
{
	static const struct timeval now = {0};

	event_base_once(pending->service->base, -1, EV_TIMEOUT, answer, pending, &now);
}

static struct pending *pending_create(struct service *service, void *ctx)
{
	struct pending *pending = calloc(1, sizeof(*pending));

	pending->service = service;
	pending->ctx = ctx;
	return pending;
}

// new is what the change makes of the model, or NULL with findings.
static void conclude(struct pending *pending, const struct service_change *change,
	struct model *new, const struct findings *findings)
{
	struct service *service = pending->service;
	struct service_result *result = &pending->result;

	if (change->has_if_revision && change->if_revision != service->revision) {
		api_fail(&result->error, API_CONFLICT, "look again", "the model is at revision %d",
			(int)service->revision);
		model_unref(new);
	} else if (new == NULL) {
		findings_error(findings, &result->error);
		result->errors = findings_json(findings);
	} else {
		struct model_diff *diff = model_diff(service->model, new);

		result->diff = model_diff_json(diff);
		result->old = model_ref(service->model);
		result->new = model_ref(new);
		if (diff->count > 0 && !change->check) {
			struct model *old = service->model;

			service->model = model_ref(new);
			model_unref(old);
			service->revision++;
			result->changed = pending->changed = true;
		}
		model_diff_free(diff);
		model_unref(new);
	}
	result->revision = service->revision;
	later(pending);
}

void service_change(
	struct service *service, const struct service_change *change, service_done done, void *ctx)
{
	struct pending *pending = pending_create(service, ctx);
	struct findings *findings = calloc(1, sizeof(*findings));
	struct model *new = NULL;

	pending->done = done;
	if (model_change(service->model, change->changes, &new, findings) < 0)
		new = NULL;
	conclude(pending, change, new, findings);
	free(findings);
}

void service_apply(struct service *service, const struct service_change *change, const char *text,
	size_t length, const char *file_name, service_done done, void *ctx)
{
	struct pending *pending = pending_create(service, ctx);
	struct findings *findings = calloc(1, sizeof(*findings));
	struct model *new = NULL;

	pending->done = done;
	if (model_parse(service->model, text, length, file_name, &new, findings) < 0)
		new = NULL;
	conclude(pending, change, new, findings);
	free(findings);
}

void service_work(
	struct service *service, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
	work(ctx);
	done(ctx);
}

void service_list(struct service *service, enum service_list list,
	const struct store_filter *filter, service_rows done, void *ctx)
{
	struct pending *pending = pending_create(service, ctx);
	uint64_t newest = filter->before == 0 ? 120 : filter->before - 1;
	unsigned int limit = filter->limit;

	pending->rows_done = done;
	pending->rows = json_array();
	for (uint64_t i = newest; i > 0 && json_array_size(pending->rows) < limit; i--)
		json_array_append_new(pending->rows,
			json_pack("{s:I, s:I, s:s, s:n, s:s, s:s, s:s, s:I}",
				list == SERVICE_AUDIT ? "id" : "number", (json_int_t)i, "time",
				(json_int_t)0, "actor", "uid:0", "on_behalf", "verb", "circuit.set",
				"object", "acme-ams-01", "result", "ok", "revision",
				(json_int_t)i));
	later(pending);
}

void service_backup(struct service *service, int fd, service_backed_up done, void *ctx)
{
	abort();
}

// Nothing waits, and nothing is kept: what the real one does is tested with it.
static void refuse(struct service *service, service_done done, void *ctx, const char *message)
{
	struct pending *pending = pending_create(service, ctx);

	pending->done = done;
	pending->result.revision = service->revision;
	api_fail(&pending->result.error, API_NOT_FOUND, "culvertctl config history", "%s", message);
	later(pending);
}

void service_rollback(struct service *service, const struct service_change *change,
	const uint64_t *revision, service_done done, void *ctx)
{
	refuse(service, done, ctx, revision != NULL ? "there is no such revision" : "there is no revision");
}

void service_confirm(struct service *service, const struct service_change *change,
	const uint64_t *revision, service_done done, void *ctx)
{
	refuse(service, done, ctx, "no revision waits for confirmation");
}

const struct store_pending *service_pending(const struct service *service)
{
	return NULL;
}

const struct node *service_node(const struct service *service)
{
	static const struct node node = {.edge = "ams1"};
	return &node;
}

const char *service_edge(const struct service *service)
{
	return "ams1";
}

void service_watch_pending(struct service *service, service_pending_watcher fn, void *ctx)
{
}

struct service *fake_service_create(const char *yaml_path)
{
	static const struct model_options options = {.host_domain = HOST_DOMAIN_NETNS};
	struct service *service = calloc(1, sizeof(*service));
	struct findings *findings = calloc(1, sizeof(*findings));
	struct model *empty = model_create(&options);
	FILE *file = fopen(yaml_path, "re");
	char text[16384];
	size_t length;

	assert_non_null(file);
	length = fread(text, 1, sizeof(text), file);
	fclose(file);
	if (model_parse(empty, text, length, yaml_path, &service->model, findings) < 0)
		fail_msg("%s", findings->item[0].message);
	service->revision = 7;
	model_unref(empty);
	free(findings);
	return service;
}

void fake_service_destroy(struct service *service)
{
	model_unref(service->model);
	free(service);
}

void fake_service_base(struct service *service, struct event_base *base)
{
	service->base = base;
}

unsigned int service_established(const struct service *service, const char *circuit)
{
	return 0;
}
