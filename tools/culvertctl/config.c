// SPDX-License-Identifier: BSD-3-Clause

// The configuration as a whole. The file goes to the daemon as it is, in a sealed memory file, and comes back
// with findings that name line and column; the lines themselves are shown from our copy.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "control/api/text.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_line(const char *text, size_t length, int64_t line, int64_t column)
{
	const char *end = text + length;

	for (int64_t at = 1; at < line && text < end; at++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		text = newline == NULL ? end : newline + 1;
	}
	if (text >= end)
		return;
	length = (size_t)(end - text);
	if (memchr(text, '\n', length) != NULL)
		length = (size_t)((const char *)memchr(text, '\n', length) - text);
	if (length > 0 && text[length - 1] == '\r')
		length--;
	char *shown = strndup(text, length);
	if (shown == NULL)
		abort();
	mend_lines(shown);
	fprintf(stderr, "%5d | %s\n      | %*s^\n", (int)line, shown,
		(int)(column > 0 ? column - 1 : 0), "");
	free(shown);
}

static void print_findings(const char *path, const char *text, size_t length, const json_t *details)
{
	size_t count = json_array_size(details), i;
	const json_t *finding;

	json_array_foreach ((json_t *)details, i, finding) {
		int64_t line = get_number(finding, "line"), column = get_number(finding, "column");
		const char *hint = get_text(finding, "hint");

		if (line > 0)
			fprintf(stderr, "%s:%d:%d: error: %s\n", path, (int)line, (int)column,
				get_text(finding, "message"));
		else
			fprintf(stderr, "%s: error: %s\n", path, get_text(finding, "message"));
		if (line > 0)
			print_line(text, length, line, column);
		if (*hint != '\0')
			fprintf(stderr, "hint: %s\n", hint);
	}
	fprintf(stderr, "%zu error%s, nothing applied\n", count, count == 1 ? "" : "s");
}

#define SHOWN 20 // lines of a check; the whole is config diff's

// What would go is shown first.
static void print_check(struct context *context, const json_t *result)
{
	static const char marks[] = "-~+";
	const json_t *diff = json_object_get(result, "diff"), *change;
	size_t count[3] = {0}, shown = 0, i;

	json_array_foreach ((json_t *)diff, i, change)
		for (size_t kind = 0; kind < 3; kind++)
			count[kind] += get_text(change, "text")[0] == marks[kind];
	if (json_array_size(diff) == 0)
		printf("%s: ok, no change\n", context->argument);
	else
		printf("%s: ok, would make %zu objects, change %zu, take away %zu\n",
			context->argument, count[2], count[1], count[0]);
	for (size_t kind = 0; kind < 3; kind++)
		json_array_foreach ((json_t *)diff, i, change) {
			const char *text = get_text(change, "text");

			if (text[0] == marks[kind] && shown++ < SHOWN)
				printf("  %s%s%s\n", color_begin(context, text), text,
					color_end(context));
		}
	if (shown > SHOWN)
		printf("  and %zu more: culvertctl config diff %s\n", shown - SHOWN,
			context->argument);
}

// The difference is the way there, whatever a rule has against it.
static int diff_revision(struct context *context)
{
	int status;
	json_t *result;

	json_object_set_new(context->params, "check", json_true());
	result = ask_method(context, API_CONFIG_ROLLBACK, json_incref(context->params), &status);
	if (result == NULL)
		return status;
	status = print_change(context, result);
	if (status == 0 && json_array_size(json_object_get(result, "diff")) > 0)
		status = API_EXIT_CHANGES;
	json_decref(result);
	return status;
}

int run_config_file(struct context *context)
{
	struct write write = {.method = context->command->method, .params = context->params};
	struct api_error error;
	json_t *result = NULL, *details = NULL;
	char *text;
	size_t length;
	int ret, status = 0;
	bool revision = json_object_get(context->params, "revision") != NULL;

	if (revision != (context->argument == NULL)) {
		api_fail(&error, API_USAGE, "culvertctl config diff --help",
			"config diff needs FILE or --revision, one of the two");
		return complain(&error);
	}
	if (revision)
		return diff_revision(context);
	if (api_read_file(context->argument, API_FILE_MAX, &text, &length, &error) < 0)
		return complain(&error);
	json_object_set_new(context->params, "name", json_string(context->argument));
	write.text = text;
	write.length = length;
	ret = send_write(context, &write, &result, &error, &details);
	mend_answer(result);
	mend_answer(details);
	if (ret < 0) {
		// Whichever of its lines it is about, it is the file that is invalid.
		bool findings = json_array_size(details) > 0;
		status = api_code_exit(findings ? API_INVALID : error.code);
		if (!findings)
			complain(&error);
		else if (!complain_details(&error, details))
			print_findings(context->argument, text, length, details);
	} else if (strcmp(context->command->verb, "check") == 0 && !context->json) {
		print_check(context, result);
		status = print_guard(result);
	} else {
		status = print_change(context, result);
		if (status == 0 && strcmp(context->command->verb, "diff") == 0 &&
			json_array_size(json_object_get(result, "diff")) > 0)
			status = API_EXIT_CHANGES;
	}
	json_decref(details);
	json_decref(result);
	free(text);
	return status;
}

int run_config_show(struct context *context)
{
	int status;
	json_t *result = ask(context, &status);

	if (result == NULL)
		return status;
	char *yaml = strdup(get_text(result, "yaml"));
	if (yaml == NULL)
		abort();
	if (isatty(STDOUT_FILENO)) // else it is a file, which says what there is
		mend_lines(yaml);
	if (context->json)
		print_json(result);
	else
		fputs(yaml, stdout);
	free(yaml);
	json_decref(result);
	return 0;
}

int run_config_settle(struct context *context)
{
	const char *word = context->argument;
	bool confirms = strcmp(context->command->verb, "confirm") == 0;
	struct api_error error;
	char *end = NULL;

	if (word != NULL) {
		json_object_set_new(
			context->params, "revision", json_integer(strtoll(word, &end, 10)));
		if (*word < '0' || *word > '9' || *end != '\0') {
			api_fail(&error, API_USAGE, "culvertctl config history",
				"\"%s\" is not the number of a revision", word);
			return complain(&error);
		}
	}
	if (!confirms)
		return run_change(
			context, context->command->method, json_incref(context->params));
	const struct write write = {.method = API_CONFIG_CONFIRM, .params = context->params};
	json_t *result, *details;
	int status = 0;
	if (send_write(context, &write, &result, &error, &details) < 0)
		status = complain_call(context, &error, details);
	else if (context->json)
		print_json(result);
	else
		printf("revision %" JSON_INTEGER_FORMAT " is final\n",
			json_integer_value(json_object_get(result, "revision")));
	json_decref(details);
	json_decref(result);
	return status;
}

// What one needs to choose among them: what was changed first, and what became of it.
int run_config_history(struct context *context)
{
	int status;
	json_t *result, *row;
	size_t i;

	if (json_object_get(context->params, "limit") == NULL)
		json_object_set_new(context->params, "limit", json_integer(50));
	result = ask(context, &status);
	json_array_foreach (json_object_get(result, "items"), i, row) {
		int64_t objects = get_number(row, "objects"), until = get_number(row, "pending");
		const json_t *again = json_object_get(row, "again");
		char text[TEXT_MAX] = "", note[TEXT_MAX + 64] = "";

		if (objects > 1)
			snprintf(text, sizeof(text), " and %d more", (int)objects - 1);
		json_object_set_new(row, "text", json_sprintf("%s%s", get_text(row, "object"), text));
		if (until != 0)
			snprintf(note, sizeof(note), "not confirmed, goes back at %s", time_text(until, text));
		else if (json_is_integer(again))
			snprintf(note, sizeof(note), "as revision %" JSON_INTEGER_FORMAT,
				json_integer_value(again));
		json_object_set_new(row, "note", json_string(note));
	}
	if (result != NULL)
		status = print_items(context, result);
	json_decref(result);
	return status;
}
