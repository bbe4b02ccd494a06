// SPDX-License-Identifier: BSD-3-Clause

// What all nouns have in common: list, show, create, set, delete. Ports also show what they are doing.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int print_items(struct context *context, json_t *result)
{
	json_t *items = json_object_get(result, "items"), *item;
	struct table *table;
	size_t i;

	if (context->json) {
		print_json(result);
		return tell_unknown(result);
	}
	table = table_of_columns(context, context->command->columns);
	json_array_foreach (items, i, item)
		table_row(table, context->command->columns, item);
	table_end(table);
	return tell_unknown(result);
}

int run_list(struct context *context)
{
	int status;
	json_t *result =
		ask_list(context, context->command->method, json_incref(context->params), &status);

	if (result != NULL)
		status = print_items(context, result);
	json_decref(result);
	return status;
}

// The newest only: one page, not everything since the beginning.
int run_recent(struct context *context)
{
	int status;
	json_t *result;

	if (json_object_get(context->params, "limit") == NULL)
		json_object_set_new(context->params, "limit", json_integer(50));
	result = ask(context, &status);
	if (result != NULL)
		status = print_items(context, result);
	json_decref(result);
	return status;
}

// "name  value" lines; a list of objects takes a line each.
void print_object(const struct context *context, const json_t *object)
{
	const char *key;
	json_t *value, *element;
	int width = 0;
	size_t i;

	json_object_foreach ((json_t *)object, key, value)
		if ((int)strlen(key) > width && strcmp(key, "full_name") != 0)
			width = (int)strlen(key);
	json_object_foreach ((json_t *)object, key, value) {
		char *text;

		if (strcmp(key, "full_name") == 0)
			continue;
		if (json_is_object(json_array_get(value, 0))) {
			json_array_foreach (value, i, element) {
				text = value_text(context, element, SHOW_TEXT);
				printf("%-*s  %s\n", width, i == 0 ? key : "", text);
				free(text);
			}
			continue;
		}
		text = value_text(context, value, strcmp(key, "since") == 0 ? SHOW_AGE : SHOW_TEXT);
		printf("%-*s  %s\n", width, key, *text == '\0' ? "-" : text);
		free(text);
	}
}

int run_show(struct context *context)
{
	int status;
	json_t *result = ask(context, &status);

	if (result == NULL)
		return status;
	if (context->json) {
		print_json(result);
	} else {
		printf("%s %s\n", context->command->noun,
			get_text(json_object_get(result, "object"), "full_name"));
		print_object(context, json_object_get(result, "object"));
	}
	json_decref(result);
	return 0;
}

// --- writing -------------------------------------------------------------------------------------------

static void print_untold(const json_t *untold)
{
	int64_t others = get_number(untold, "sessions") - 1, hold = get_number(untold, "hold");
	char more[40] = "", seconds[40] = "";

	if (!json_is_object(untold))
		return;
	if (others > 0)
		snprintf(more, sizeof(more), " and of %" PRId64 " others", others);
	if (hold > 0)
		snprintf(seconds, sizeof(seconds), " of %" PRId64 " s", hold);
	fprintf(stderr,
		"note: not told, the BGP daemon does not answer: the far end of %s%s; it keeps the "
		"session until its hold time%s is over\n",
		get_text(untold, "one"), more, seconds);
}

// What was committed, is it in force? Told on standard error: the change itself has been made, whatever the data
// plane makes of it.
#define IN_FORCE_S 10 // thousands of objects take some seconds

static int print_refused(struct context *context, json_t *result)
{
	struct api_client *client;
	struct api_error error;
	json_t *answer = NULL, *details = NULL, *refused, *item;
	char object[TEXT_MAX];
	size_t i;

	if (!json_is_true(json_object_get(result, "changed")) ||
		json_is_true(json_object_get(context->params, "check")))
		return 0;
	client = client_of(context, &error);
	if (client == NULL ||
		api_call(client, API_REVISION_WAIT,
			json_pack("{s:O, s:i}", "revision", json_object_get(result, "revision"),
				"seconds", IN_FORCE_S),
			&answer, &error, &details) != 0) {
		json_decref(details);
		return 0; // not to be had: `status` will tell
	}
	mend_answer(answer);
	refused = json_object_get(answer, "refused");
	json_array_foreach (refused, i, item) {
		bool last = i + 1 == json_array_size(refused);
		api_fail(&error, API_REFUSED, last ? "culvertctl status" : NULL,
			"not in force: the data plane refuses %s: %s", object_text(item, object),
			get_text(item, "message"));
		complain(&error);
	}
	print_untold(json_object_get(answer, "untold"));
	int status = json_array_size(refused) > 0 ? 1 : 0;
	if (status == 0 && !json_is_true(json_object_get(answer, "in_force")))
		fprintf(stderr, "note: not in force yet, the data plane is %s\n",
			get_text(answer, "dataplane"));
	json_decref(answer);
	return status;
}

// A valid change that would be refused all the same: what the change itself would say.
int print_guard(const json_t *result)
{
	const json_t *refused = json_object_get(result, "refused");

	if (!json_is_object(refused))
		return 0;
	struct api_error error;
	bool conflict = strcmp(get_text(refused, "code"), api_code_name(API_CONFLICT)) == 0;
	api_fail(&error, conflict ? API_CONFLICT : API_REFUSED, get_text(refused, "hint"), "%s",
		get_text(refused, "message"));
	return complain(&error);
}

// "revision 12 on ams1, 9 on ams2"
static void print_edges(const json_t *result)
{
	const json_t *edge;
	size_t i;

	json_array_foreach (json_object_get(result, "edges"), i, edge)
		printf("%s%" JSON_INTEGER_FORMAT " on %s", i == 0 ? "revision " : ", ",
			json_integer_value(json_object_get(edge, "revision")), get_text(edge, "edge"));
	putchar('\n');
	print_pending(json_object_get(result, "pending"));
}

int print_change(struct context *context, json_t *result)
{
	json_t *change;
	size_t i;

	if (context->json) {
		print_json(result);
		int status = print_guard(result);
		return status != 0 ? status : print_refused(context, result);
	}
	json_array_foreach (json_object_get(result, "diff"), i, change) {
		const char *text = get_text(change, "text");

		printf("%s%s%s\n", color_begin(context, text), text, color_end(context));
	}
	if (json_is_true(json_object_get(context->params, "check")) ||
		(context->command->verb != NULL && strcmp(context->command->verb, "diff") == 0))
		printf("%s", json_array_size(json_object_get(result, "diff")) == 0
				     ? "no change\n"
				     : "nothing changed yet\n");
	else if (json_object_get(result, "edges") != NULL)
		print_edges(result);
	else if (json_is_object(json_object_get(result, "pending")))
		print_pending(json_object_get(result, "pending"));
	else if (json_is_true(json_object_get(result, "changed")))
		printf("revision %" JSON_INTEGER_FORMAT "\n",
			json_integer_value(json_object_get(result, "revision")));
	else if (json_array_size(json_object_get(result, "diff")) == 0)
		printf("no change\n");
	const char *next = get_text(result, "next");
	if (*next != '\0')
		printf("next: %s\n", next);
	int status = print_guard(result);
	return status != 0 ? status : print_refused(context, result);
}

int run_write(struct context *context)
{
	const struct command *command = context->command;

	if (command->fields == FIELDS_SET && json_object_size(context->fields) == 0) {
		struct api_error error;
		char hint[128];

		snprintf(hint, sizeof(hint), "culvertctl %s set --help", command->noun);
		api_fail(&error, API_USAGE, hint, "say what to set of %s", context->argument);
		return complain(&error);
	}
	if (command->fields != FIELDS_NONE)
		json_object_set(context->params, "fields", context->fields);
	return run_change(context, command->method, json_incref(context->params));
}

int run_rename(struct context *context)
{
	struct api_error error;

	api_fail(&error, API_USAGE, "culvertctl rename circuit NAME NEW",
		"\"%s\" is no noun whose objects have names", context->argument);
	return complain(&error);
}

// --- ports: configuration and what they are doing --------------------------------------------------------

static const char without_device[] = "not in the node file's ports: add it there and restart both";

// Puts each port's live part under "status", and beside the items what of it is not known; ports of other edges have none.
static int add_status(struct context *context, json_t *result, json_t *items)
{
	json_t *live, *item, *status_item;
	const char *edge;
	int status;
	size_t i, j;
	json_t *hello = ask_method(context, API_HELLO, NULL, &status);

	if (hello == NULL)
		return status;
	live = ask_method(context, API_PORT_STATUS, NULL, &status);
	edge = get_text(hello, "edge");
	json_object_set(result, "unknown", json_object_get(live, "unknown"));
	json_array_foreach (items, i, item) {
		json_object_set_new(item, "status", json_null());
		if (live == NULL || strcmp(get_text(item, "edge"), edge) != 0)
			continue;
		json_object_set_new(item, "status",
			json_pack("{s:s, s:s}", "state", "missing", "reason", without_device));
		json_array_foreach (json_object_get(live, "items"), j, status_item)
			if (strcmp(get_text(status_item, "port"), get_text(item, "name")) == 0)
				json_object_set(item, "status", status_item);
	}
	json_decref(hello);
	json_decref(live);
	return status;
}

static void port_row(struct context *context, struct table *table, const json_t *port)
{
	static const struct column config[] = {
		{"PORT", "full_name", SHOW_TEXT},
		{"FACES", "faces", SHOW_TEXT},
		{"ADDRESS", "address", SHOW_TEXT},
		{"MTU", "mtu", SHOW_TEXT},
		{0},
	};
	static const struct column device[] = {
		{"DEVICE", "device", SHOW_TEXT},
		{"KIND", "kind", SHOW_TEXT},
		{"CARRIES", "mtu", SHOW_TEXT},
		{0},
	};
	static const struct column live[] = {
		{"RX BYTES", "rx_bytes", SHOW_NUMBER},
		{"TX BYTES", "tx_bytes", SHOW_NUMBER},
		{"MISSED", "rx_missed", SHOW_NUMBER},
		{"LEFT", "rx_left", SHOW_NUMBER},
		{"UNCLASSIFIED", "unclassified", SHOW_NUMBER},
		{0},
	};
	const json_t *status = json_object_get(port, "status");
	const char *reason = get_text(status, "reason");
	json_t *shown = json_copy((json_t *)(uintptr_t)status);
	char state[TEXT_MAX];

	if (json_is_true(json_object_get(status, "zero_copy")))
		json_object_set_new(
			shown, "kind", json_sprintf("%s, zero-copy", get_text(status, "kind")));
	snprintf(state, sizeof(state), "%s%s%s",
		json_is_object(status) ? get_text(status, "state") : "unknown",
		*reason != '\0' ? ": " : "", reason);
	table_row(table, config, port);
	table_row(table, device, shown);
	table_state(table, state);
	table_row(table, live, status);
	json_decref(shown);
}

int run_port_list(struct context *context)
{
	static const char *const titles[] = {"PORT", "FACES", "ADDRESS", "MTU", "DEVICE", "KIND",
		">CARRIES", "STATE", ">RX BYTES", ">TX BYTES", ">MISSED", ">LEFT", ">UNCLASSIFIED", NULL};
	json_t *result, *item, *items;
	struct table *table;
	int status;
	size_t i;

	result = ask_list(context, context->command->method, json_incref(context->params), &status);
	if (result == NULL)
		return status;
	items = json_object_get(result, "items");
	status = add_status(context, result, items);
	if (status == 0 && context->json) {
		print_json(result);
	} else if (status == 0) {
		table = table_create(context, titles);
		json_array_foreach (items, i, item)
			port_row(context, table, item);
		table_end(table);
	}
	if (status == 0)
		status = tell_unknown(result);
	json_decref(result);
	return status;
}

int run_port_show(struct context *context)
{
	json_t *result, *items, *port;
	int status;

	result = ask(context, &status);
	if (result == NULL)
		return status;
	port = json_object_get(result, "object");
	items = json_pack("[O]", port);
	status = add_status(context, result, items);
	if (status == 0 && context->json) {
		print_json(result);
	} else if (status == 0) {
		json_t *live = json_incref(json_object_get(port, "status"));

		json_object_del(port, "status");
		printf("port %s\n", get_text(port, "full_name"));
		print_object(context, port);
		if (json_is_object(live)) {
			printf("\nstatus\n");
			print_object(context, live);
		}
		json_decref(live);
	}
	if (status == 0)
		status = tell_unknown(result);
	json_decref(items);
	json_decref(result);
	return status;
}
