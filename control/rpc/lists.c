// SPDX-License-Identifier: BSD-3-Clause

// What the store keeps beside the model, asked for on its own thread: history, audit, last counters of what was deleted;
// and the store as a whole, copied into a file that the client has opened.

#include "control/rpc/verbs.h"

#include "control/api/methods.h"
#include "control/rpc/rpc.h"
#include "control/service.h"
#include "control/store/store.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 3 // changes of one line, as text

// The row's member in words, as its "text".
struct wording {
	const char *member;
	json_t *(*words)(const json_t *value);
};

// key: of the member that the next page goes on behind. wording NULL = the rows say all.
static void rows_came(void *ctx, json_t *rows, const char *key, const struct wording *wording)
{
	struct rpc_call *call = ctx;
	struct api_error error;
	char cursor[24];
	size_t count = json_array_size(rows), i;
	bool more = count > 0 && count >= rpc_limit(call);
	json_t *row;

	if (rows == NULL) {
		api_fail(&error, API_INTERNAL, "see culvertd's log", "the store cannot be read");
		rpc_fail(call, &error);
		return;
	}
	if (wording != NULL)
		json_array_foreach (rows, i, row)
			json_object_set_new(row, "text",
				wording->words(json_object_get(row, wording->member)));
	snprintf(cursor, sizeof(cursor), "%" JSON_INTEGER_FORMAT,
		json_integer_value(json_object_get(json_array_get(rows, count - 1), key)));
	rpc_reply_list(call, json_incref(rows), more ? cursor : NULL);
}

static void ask_store(struct rpc_call *call, enum service_list list, service_rows done)
{
	struct store_filter filter = {
		.limit = rpc_limit(call),
		.since = rpc_integer(call, "since", 0),
		.object = rpc_string(call, "object"),
		.actor = rpc_string(call, "actor"),
	};

	if (rpc_cursor(call, &filter.before))
		service_list(call->ctx, list, &filter, done, call);
}

// --- history and audit -----------------------------------------------------------------------------------

static void history_came(void *ctx, json_t *rows)
{
	rows_came(ctx, rows, "revision", NULL);
}

static void list_history(struct rpc_call *call)
{
	ask_store(call, SERVICE_HISTORY, history_came);
}

// The first changes of a line in words.
static json_t *changes_text(const json_t *changes)
{
	size_t count = json_array_size(changes), size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return json_string("");
	for (size_t i = 0; i < count && i < SHOWN; i++) {
		const char *line =
			json_string_value(json_object_get(json_array_get(changes, i), "text"));
		for (; line != NULL && *line != '\0'; line++)
			fputs(*line == '\n' ? "; " : (char[]){*line, '\0'}, out);
		if (i + 1 < count)
			fputs("; ", out);
	}
	if (count > SHOWN)
		fprintf(out, "...");
	fclose(out);
	json_t *json = json_string(text);
	free(text);
	return json != NULL ? json : json_string("");
}

static void audit_came(void *ctx, json_t *rows)
{
	rows_came(ctx, rows, "id", &(struct wording){"changes", changes_text});
}

static void list_audit(struct rpc_call *call)
{
	ask_store(call, SERVICE_AUDIT, audit_came);
}

// --- what was counted last -------------------------------------------------------------------------------

// "rx_packets 12, rx_bytes 1200": numbers as they are, they are billed.
static json_t *counters_text(const json_t *counters)
{
	char text[512] = "";
	size_t used = 0;
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)counters, key, value)
		if (json_is_integer(value) && used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used,
				"%s%s %" JSON_INTEGER_FORMAT, used > 0 ? ", " : "", key,
				json_integer_value(value));
	return json_string(text);
}

static void deleted_came(void *ctx, json_t *rows)
{
	rows_came(ctx, rows, "id", &(struct wording){"counters", counters_text});
}

static void list_deleted(struct rpc_call *call)
{
	ask_store(call, SERVICE_FINALS, deleted_came);
}

// --- backup ----------------------------------------------------------------------------------------------

static void backed_up(void *ctx, json_t *about, const struct api_error *error)
{
	if (about == NULL)
		rpc_fail(ctx, error);
	else
		rpc_reply(ctx, json_incref(about));
}

static void back_up(struct rpc_call *call)
{
	struct api_error error;

	if (call->out < 0) {
		api_fail(&error, API_USAGE, "culvertctl backup FILE",
			"%s needs the parameter \"file\", and an open memory file with it",
			call->method->name);
		rpc_fail(call, &error);
		return;
	}
	service_backup(call->ctx, call->out, backed_up, call);
}

// clang-format off
#define OF_OBJECT {"object", RPC_STRING, false, "only of this object and its parts, or \"NOUN NAME\""}
#define SINCE     {"since", RPC_INTEGER, false, "UNIX time; nothing older"}

const struct rpc_method list_methods[] = {
	{.name = API_CONFIG_HISTORY, .role = RPC_VIEWER, .handler = list_history,
		.help = "revisions of the model, newest first", .params = {RPC_PAGING}},
	{.name = API_AUDIT_LIST, .role = RPC_VIEWER, .handler = list_audit,
		.help = "who asked for what, newest first", .params = {RPC_PAGING, SINCE, OF_OBJECT,
			{"actor", RPC_STRING, false, "only this user, by number (uid:0) or name"}}},
	{.name = API_COUNTERS_DELETED, .role = RPC_VIEWER, .handler = list_deleted,
		.help = "what objects that are deleted counted last, newest first",
		.params = {RPC_PAGING, SINCE, OF_OBJECT}},
	{.name = API_STORE_BACKUP, .role = RPC_ADMIN, .handler = back_up, .writes_file = true, .audited = true,
		.help = "the store with its key, into a memory file that comes with the request",
		.params = {{"file", RPC_STRING, true, "\"fd\""}}},
	{0},
};
// clang-format on
