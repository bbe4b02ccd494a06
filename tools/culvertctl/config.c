// SPDX-License-Identifier: BSD-3-Clause

// The configuration as a whole. The file goes to the daemon as it is, in a sealed memory file, and comes back
// with findings that name line and column; the lines themselves are shown from our copy.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_file(const char *path, char **text, size_t *length, struct api_error *error)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	size_t room = 0, got;

	*text = NULL;
	*length = 0;
	if (file == NULL)
		return api_fail(error, API_NOT_FOUND, "\"-\" is standard input",
			"cannot read %s: %s", path, strerror(errno));
	do {
		char *larger;

		room = room * 2 + 65536;
		larger = realloc(*text, room);
		if (larger == NULL)
			break;
		*text = larger;
		got = fread(*text + *length, 1, room - *length, file);
		*length += got;
	} while (*length == room && *length <= API_FILE_MAX);
	if (ferror(file)) {
		api_fail(error, API_NOT_FOUND, NULL, "cannot read %s: %s", path, strerror(errno));
		free(*text);
		*text = NULL;
	}
	if (file != stdin)
		fclose(file);
	return *text == NULL ? -EIO : 0;
}

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
	fprintf(stderr, "%5d | %.*s\n      | %*s^\n", (int)line, (int)length, text,
		(int)(column > 0 ? column - 1 : 0), "");
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

int run_config_file(struct context *context)
{
	struct api_client *client;
	struct api_error error;
	json_t *result = NULL, *details = NULL;
	char *text;
	size_t length;
	int ret, status = 0;

	if (read_file(context->argument, &text, &length, &error) < 0)
		return complain(&error);
	client = client_of(context, &error);
	if (client == NULL) {
		free(text);
		return complain(&error);
	}
	json_object_set_new(context->params, "name", json_string(context->argument));
	ret = api_call_file(client, context->command->method, json_incref(context->params), text,
		length, &result, &error, &details);
	if (ret < 0) {
		status = api_code_exit(error.code);
		if (json_array_size(details) > 0) {
			// Whichever of its lines it is about, it is the file that is invalid.
			status = api_code_exit(API_INVALID);
			print_findings(context->argument, text, length, details);
		} else {
			complain(&error);
		}
	} else if (strcmp(context->command->verb, "check") == 0 && !context->json) {
		printf("%s: ok, %zu change%s\n", context->argument,
			json_array_size(json_object_get(result, "diff")),
			json_array_size(json_object_get(result, "diff")) == 1 ? "" : "s");
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
	if (context->json)
		print_json(result);
	else
		fputs(get_text(result, "yaml"), stdout);
	json_decref(result);
	return 0;
}
