// SPDX-License-Identifier: BSD-3-Clause

// The configuration as a whole: shown, checked, applied, confirmed and taken back. A file's changes are changes like others
// (verbs.c).

#include "control/rpc/verbs.h"

#include "control/api/methods.h"
#include "control/model/model.h"
#include "control/service.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

// Ten thousand circuits are 7 MB of YAML. It is made once a revision, on the store thread, while others are answered; whoever
// asks meanwhile waits for it.
struct asked {
	STAILQ_ENTRY(asked) entry;
	struct rpc_call *call;
	uint64_t revision; // at least
};

static struct {
	struct service *service;
	struct model *model; // of text, or of the one that is being made
	uint64_t revision;
	char *text; // the answer's
	size_t length;
	bool running;
	STAILQ_HEAD(, asked) asked;
} shown = {.asked = STAILQ_HEAD_INITIALIZER(shown.asked)};

// Store thread.
static void render_config(void *ctx)
{
	char *yaml = model_yaml(shown.model);
	json_t *answer =
		json_pack("{s:I, s:s?}", "revision", (json_int_t)shown.revision, "yaml", yaml);

	shown.text = json_dumps(answer, JSON_COMPACT);
	shown.length = shown.text != NULL ? strlen(shown.text) : 0;
	json_decref(answer);
	free(yaml);
}

static void answer_config(struct rpc_call *call)
{
	char *copy = shown.text != NULL ? malloc(shown.length) : NULL;
	struct api_error error;

	if (copy != NULL) {
		rpc_reply_text(call, memcpy(copy, shown.text, shown.length), shown.length);
		return;
	}
	api_fail(&error, API_INTERNAL, NULL, "out of memory");
	rpc_fail(call, &error);
}

static void config_rendered(void *ctx);

static void start_rendering(struct service *service)
{
	model_unref(shown.model);
	free(shown.text);
	shown.service = service;
	shown.model = model_ref((struct model *)service_model(service));
	shown.revision = service_revision(service);
	shown.text = NULL;
	shown.running = true;
	service_work(service, render_config, config_rendered, NULL);
}

static void config_rendered(void *ctx)
{
	struct asked *asked;

	shown.running = false;
	// They came one after the other, and so did the revisions.
	while ((asked = STAILQ_FIRST(&shown.asked)) != NULL && asked->revision <= shown.revision) {
		STAILQ_REMOVE_HEAD(&shown.asked, entry);
		answer_config(asked->call);
		free(asked);
	}
	if (!STAILQ_EMPTY(&shown.asked))
		start_rendering(shown.service);
}

static void show_config(struct rpc_call *call)
{
	if (!shown.running && shown.text != NULL && shown.model == service_model(call->ctx) &&
		shown.revision == service_revision(call->ctx)) {
		answer_config(call);
		return;
	}
	struct asked *asked = malloc(sizeof(*asked));
	if (asked == NULL)
		abort();
	*asked = (struct asked){.call = call, .revision = service_revision(call->ctx)};
	STAILQ_INSERT_TAIL(&shown.asked, asked, entry);
	if (!shown.running)
		start_rendering(call->ctx);
}

static void take_config(struct rpc_call *call, bool check)
{
	struct service_change change;
	const char *name = rpc_string(call, "name"), *text = rpc_string(call, "text");
	size_t length = text == NULL ? 0 : strlen(text);
	struct api_error error;

	if (!verbs_change_of(call, &change))
		return;
	if (call->text != NULL) {
		text = call->text;
		length = call->text_length;
	}
	if (text == NULL) {
		api_fail(&error, API_USAGE, NULL, "%s needs \"file\" or \"text\"",
			call->method->name);
		rpc_fail(call, &error);
		return;
	}
	change.check = change.check || check;
	service_apply(call->ctx, &change, text, length, name == NULL ? "configuration" : name,
		verbs_changed, call);
}

static void check_config(struct rpc_call *call)
{
	take_config(call, true);
}

static void apply_config(struct rpc_call *call)
{
	take_config(call, false);
}

static void settle(struct rpc_call *call,
	void (*how)(struct service *service, const struct service_change *change,
		const uint64_t *revision, service_done done, void *ctx))
{
	uint64_t revision = (uint64_t)rpc_integer(call, "revision", 0);
	const struct store_pending *pending = service_pending(call->ctx);
	struct service_change change;

	// A provider settles what he did himself.
	if (call->provider != NULL && !verbs_is_theirs(pending, call)) {
		struct api_error error;
		api_fail(&error, API_DENIED, NULL, "%s is for what you did yourself", call->method->name);
		rpc_fail(call, &error);
		return;
	}
	if (verbs_change_of(call, &change))
		how(call->ctx, &change, rpc_has(call, "revision") ? &revision : NULL, verbs_changed, call);
}

static void confirm_config(struct rpc_call *call)
{
	settle(call, service_confirm);
}

static void roll_back_config(struct rpc_call *call)
{
	settle(call, service_rollback);
}

// clang-format off
#define FILE_PARAMS \
	{"file", RPC_STRING, false, "\"fd\": a sealed memfd comes with the request"}, \
	{"text", RPC_STRING, false, "the configuration itself, when it is small"}, \
	{"name", RPC_STRING, false, "what messages call the file"}, \
	{"secrets", RPC_OBJECT, false, "{fingerprint: text} of what it keeps"}

const struct rpc_method config_methods[] = {
	{.name = API_CONFIG_SHOW, .role = RPC_VIEWER, .handler = show_config,
		.help = "the whole model as YAML, valid input of config.apply"},
	{.name = API_CONFIG_CHECK, .role = RPC_ADMIN, .handler = check_config, .file = true,
		.help = "validate a configuration, change nothing", .params = {FILE_PARAMS, RPC_EXPAND}},
	{.name = API_CONFIG_DIFF, .role = RPC_ADMIN, .handler = check_config, .file = true,
		.help = "what applying a configuration would change", .params = {FILE_PARAMS}},
	{.name = API_CONFIG_APPLY, .role = RPC_ADMIN, .handler = apply_config, .file = true,
		.help = "make the model what the configuration says",
		.params = {FILE_PARAMS, RPC_WRITING}},
	{.name = API_CONFIG_CONFIRM, .role = RPC_OPERATOR, .scoped = true, .handler = confirm_config,
		.help = "what waits for confirmation is final",
		.params = {{"revision", RPC_INTEGER, false, "only if this one waits"}}},
	{.name = API_CONFIG_ROLLBACK, .role = RPC_OPERATOR, .scoped = true, .handler = roll_back_config,
		.help = "take back what waits for confirmation; if nothing does, make the model what it was at a revision",
		.params = {{"revision", RPC_INTEGER, false, "the newest but one when not given"}, RPC_WRITING}},
	{0},
};
// clang-format on
