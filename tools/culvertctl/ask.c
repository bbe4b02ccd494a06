// SPDX-License-Identifier: BSD-3-Clause

// Asking the daemon, and telling what went wrong: always a sentence that names the object, then what to do
// next, on stderr, so that a script's stdout is either the answer or empty.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/text.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool as_json;
static struct api_error complained; // of last

void complain_as_json(bool json)
{
	as_json = json;
}

// {"error": {"code", "message", "hint", "errors"}}, in one line.
static void print_error_json(const struct api_error *error, const json_t *details)
{
	json_t *shown =
		json_pack("{s:{s:s, s:s, s:s, s:O*}}", "error", "code", api_code_name(error->code),
			"message", error->message, "hint", error->hint, "errors", details);

	json_dumpf(shown, stderr, JSON_COMPACT);
	fputc('\n', stderr);
	json_decref(shown);
}

bool complain_details(const struct api_error *error, const json_t *details)
{
	if (as_json)
		print_error_json(error, details);
	return as_json;
}

const char *complaint(void)
{
	return complained.message;
}

int complain(const struct api_error *error)
{
	complained = *error;
	if (complain_details(error, NULL))
		return api_code_exit(error->code);
	fprintf(stderr, "error: %s\n", error->message);
	if (error->hint[0] != '\0')
		fprintf(stderr, "hint: %s\n", error->hint);
	return api_code_exit(error->code);
}

void mend_lines(char *text)
{
	for (char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
		*end = '\0';
		api_text_mend(text);
		*end = '\n';
	}
	api_text_mend(text);
}

static void mend_member(json_t *value)
{
	char *text = strdup(json_string_value(value));

	if (text == NULL)
		abort();
	mend_lines(text);
	if (strcmp(text, json_string_value(value)) != 0)
		json_string_set(value, text);
	free(text);
}

void mend_answer(json_t *value)
{
	json_t *member;
	const char *key;
	size_t i;

	if (as_json)
		return;
	if (json_is_string(value))
		mend_member(value);
	json_array_foreach (value, i, member)
		mend_answer(member);
	json_object_foreach (value, key, member)
		if (strcmp(key, "yaml") != 0) // a file: run_config_show()
			mend_answer(member);
}

struct api_client *client_of(struct context *context, struct api_error *error)
{
	if (context->client == NULL &&
		api_connect(&context->client, context->socket, context->timeout, error) < 0)
		context->client = NULL;
	return context->client;
}

// "FILE:LINE: " of what is wrong in a batch.
static void print_line(const struct context *context, const json_t *finding)
{
	json_int_t change = json_integer_value(json_object_get(finding, "change"));

	if (context->lines != NULL && change > 0)
		fprintf(stderr, "%s:%" JSON_INTEGER_FORMAT ": ", context->file,
			json_integer_value(json_array_get(context->lines, (size_t)change - 1)));
}

// The findings of a validation; the first of them is the error's own message. When none of them comes with a
// next step, the list of what the verb takes is one.
static void print_details(const struct context *context, const json_t *details)
{
	const struct command *command = context->command;
	const json_t *finding;
	bool hinted = false;
	size_t i;

	json_array_foreach ((json_t *)details, i, finding) {
		const char *message = json_string_value(json_object_get(finding, "message"));
		const char *hint = json_string_value(json_object_get(finding, "hint"));

		print_line(context, finding);
		fprintf(stderr, "error: %s\n", message == NULL ? "?" : message);
		if (hint != NULL && *hint != '\0') {
			fprintf(stderr, "hint: %s\n", hint);
			hinted = true;
		}
	}
	if (!hinted && command->fields != FIELDS_NONE)
		fprintf(stderr, "hint: culvertctl %s %s --help\n", command->noun, command->verb);
}

int complain_call(
	const struct context *context, const struct api_error *error, const json_t *details)
{
	if (json_array_size(details) == 0)
		return complain(error);
	if (!complain_details(error, details))
		print_details(context, details);
	return api_code_exit(error->code);
}

json_t *ask_method(struct context *context, const char *method, json_t *params, int *status)
{
	struct api_client *client;
	struct api_error error;
	json_t *result = NULL, *details = NULL;

	client = client_of(context, &error);
	if (client == NULL) {
		json_decref(params);
	} else if (api_call(client, method, params, &result, &error, &details) == 0) {
		mend_answer(result);
		*status = 0;
		return result;
	}
	mend_answer(details);
	*status = complain_call(context, &error, details);
	json_decref(details);
	return NULL;
}

json_t *ask_list(struct context *context, const char *method, json_t *params, int *status)
{
	struct api_client *client;
	struct api_error error;
	json_t *result = NULL;

	client = client_of(context, &error);
	if (client == NULL) {
		json_decref(params);
	} else if (api_call_list(client, method, params, &result, &error) == 0) {
		mend_answer(result);
		*status = 0;
		return result;
	}
	*status = complain(&error);
	return NULL;
}

int tell_unknown(const json_t *answer)
{
	const json_t *unknown = json_object_get(answer, "unknown");
	const char *message = json_string_value(json_object_get(unknown, "message"));
	const char *hint = json_string_value(json_object_get(unknown, "hint"));

	if (!json_is_object(unknown))
		return 0;
	fprintf(stderr, "warning: not all is known: %s\n", message == NULL ? "?" : message);
	if (hint != NULL && *hint != '\0')
		fprintf(stderr, "hint: %s\n", hint);
	return api_code_exit(API_UNREACHABLE);
}

json_t *ask(struct context *context, int *status)
{
	return ask_method(context, context->command->method, json_incref(context->params), status);
}

void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}
