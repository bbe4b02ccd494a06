// SPDX-License-Identifier: BSD-3-Clause

// Several objects in one revision: a file of commands, and a circuit with all that it consists of.
// What is typed becomes a list of changes for model.change, which takes all of them or none; nobody
// sees a half-built circuit, and a mistake in the last line leaves nothing behind.

#include "tools/culvertctl/command.h"

#include "control/api/methods.h"

#include <jansson.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX       256
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

// Sends the changes with whatever else was given.
static int send_changes(struct context *context, json_t *changes)
{
	json_t *params = json_copy(context->params);

	json_object_del(params, "name");
	json_object_set_new(params, "changes", changes);
	return run_change(context, API_MODEL_CHANGE, params);
}

static json_t *change_json(const char *op, const char *noun, const char *name, json_t *fields)
{
	return json_pack("{s:s, s:s, s:s, s:o}", "op", op, "noun", noun, "name", name, "fields",
		fields == NULL ? json_object() : fields);
}

// --- a circuit with its parts ------------------------------------------------------------------------------

// "primary:ams1/wan0:100.20" -> link CIRCUIT/primary
static int link_change(const char *op, const char *circuit, const char *text, json_t **change,
	struct api_error *error)
{
	const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
	const char *tags = slash == NULL ? NULL : strchr(slash, ':');
	char name[160];
	json_t *fields;

	if (colon == NULL || slash == NULL || slash < colon || colon == text)
		return api_fail(error, API_USAGE, "--link primary:ams1/wan0:100",
			"--link \"%s\" is not ROLE:EDGE/PORT[:TAG[.TAG]]", text);
	snprintf(name, sizeof(name), "%s/%.*s", circuit, (int)(colon - text), text);
	fields = json_pack("{s:s%, s:s%}", "edge", colon + 1, (size_t)(slash - colon - 1), "port",
		slash + 1, tags == NULL ? strlen(slash + 1) : (size_t)(tags - slash - 1));
	if (tags != NULL) {
		const char *dot = strchr(tags, '.');
		json_object_set_new(fields, "outer-tag",
			json_stringn(tags + 1,
				dot == NULL ? strlen(tags + 1) : (size_t)(dot - tags - 1)));
		if (dot != NULL)
			json_object_set_new(fields, "inner-tag", json_string(dot + 1));
	}
	*change = change_json(op, "link", name, fields);
	return 0;
}

struct part {
	const char *flag, *noun;
};

// "private,peer-asn=65001,..." -> peering CIRCUIT/private; "acme-prod,weight=2" -> connection
// CIRCUIT/acme-prod
static int part_change(const char *op, const char *circuit, const struct part *part,
	const char *text, json_t **change, struct api_error *error)
{
	size_t first = strcspn(text, ",");
	char name[160], *copy = strdup(text + first), *save = NULL;
	json_t *fields = json_object();
	int ret = 0;

	for (char *word = strtok_r(copy, ",", &save); word != NULL && ret == 0;
		word = strtok_r(NULL, ",", &save)) {
		char *equals = strchr(word, '=');
		if (equals == NULL) {
			ret = api_fail(error, API_USAGE, "culvertctl circuit create --help",
				"--%s: \"%s\" is not FIELD=VALUE", part->flag, word);
			break;
		}
		*equals = '\0';
		ret = set_pair(fields, part->noun, word, equals + 1, error);
	}
	free(copy);
	if (ret < 0) {
		json_decref(fields);
		return ret;
	}
	snprintf(name, sizeof(name), "%s/%.*s", circuit, (int)first, text);
	*change = change_json(op, part->noun, name, fields);
	return 0;
}

// What one command asks for: its object, and the parts that are given with a circuit.
static int add_changes(const struct context *context, json_t *changes, struct api_error *error)
{
	static const struct part parts[] = {
		{"link", "link"}, {"peering", "peering"}, {"connect", "connection"}};
	const char *op = context->command->verb, *name = context->argument;
	json_t *text, *change = NULL;
	size_t i;

	change = change_json(op, context->command->noun, name, json_incref(context->fields));
	if (context->second != NULL)
		json_object_set_new(change, "to", json_string(context->second));
	json_array_append_new(changes, change);
	for (size_t part = 0; part < sizeof(parts) / sizeof(parts[0]); part++) {
		json_array_foreach (json_object_get(context->local, parts[part].flag), i, text) {
			const char *value = json_string_value(text);
			int ret = part == 0 ? link_change(op, name, value, &change, error)
					    : part_change(op, name, &parts[part], value, &change,
						      error);
			if (ret < 0)
				return ret;
			json_array_append_new(changes, change);
		}
	}
	return 0;
}

static const json_t *local_list(const struct context *context, const char *name)
{
	return json_object_get(context->local, name);
}

int run_circuit(struct context *context)
{
	struct api_error error;
	json_t *changes;

	int status;
	if (local_list(context, "link") == NULL && local_list(context, "peering") == NULL &&
		local_list(context, "connect") == NULL) {
		status = run_write(context);
	} else {
		changes = json_array();
		if (add_changes(context, changes, &error) < 0) {
			json_decref(changes);
			return complain(&error);
		}
		status = send_changes(context, changes);
	}
	if (status == 0 && !context->json && !json_is_true(json_object_get(context->params, "check")))
		print_order(context);
	return status;
}

static int take_parts(struct context *context, const char *flag, const char *param, struct api_error *error)
{
	static const struct part peering = {"peering", "peering"};
	json_t *parts = json_object(), *text, *change = NULL;
	size_t i;

	json_array_foreach (local_list(context, flag), i, text) {
		const char *value = json_string_value(text);
		int ret = strcmp(flag, "link") == 0
				  ? link_change("set", "", value, &change, error)
				  : part_change("set", "", &peering, value, &change, error);
		if (ret < 0) {
			json_decref(parts);
			return ret;
		}
		json_object_set(parts, json_string_value(json_object_get(change, "name")) + 1,
			json_object_get(change, "fields")); // "/primary"
		json_decref(change);
	}
	if (json_object_size(parts) > 0)
		json_object_set(context->params, param, parts);
	json_decref(parts);
	return 0;
}

int run_recreate(struct context *context)
{
	struct api_error error;

	if (take_parts(context, "link", "links", &error) < 0 ||
		take_parts(context, "peering", "peerings", &error) < 0)
		return complain(&error);
	if (json_object_size(context->fields) > 0)
		json_object_set(context->params, "fields", context->fields);
	return run_change(context, context->command->method, json_incref(context->params));
}

// --- a file of commands ------------------------------------------------------------------------------------

// Cuts the line into words in place. Quotes hold words together, # begins a comment. -EINVAL: a
// quote is not closed.
static int split(char *line, char **words, int *count)
{
	char *from = line, *to = line;

	for (*count = 0; *count < WORDS_MAX;) {
		char quote = '\0';

		while (isspace((unsigned char)*from))
			from++;
		if (*from == '\0' || *from == '#')
			return 0;
		words[(*count)++] = to;
		for (; *from != '\0' && (quote != '\0' || !isspace((unsigned char)*from)); from++) {
			if (quote == '\0' && (*from == '"' || *from == '\''))
				quote = *from;
			else if (quote != '\0' && *from == quote)
				quote = '\0';
			else
				*to++ = *from;
		}
		if (quote != '\0')
			return -EINVAL;
		from += *from != '\0';
		*to++ = '\0';
	}
	return -E2BIG;
}

// One line into its changes.
static int parse_line(char *line, json_t *changes, struct api_error *error)
{
	struct context context = {0};
	char *words[WORDS_MAX];
	int count, ret = split(line, words, &count);

	if (ret < 0)
		return api_fail(error, API_USAGE, NULL,
			ret == -E2BIG ? "too many words" : "a quote is not closed");
	if (count == 0)
		return 0;
	context.params = json_object();
	context.local = json_object();
	context.fields = json_object();
	ret = parse_words(&context, count, words, error);
	const struct command *command = context.command;
	bool writes = command != NULL && command->method != NULL &&
		      (command->run == run_write || command->run == run_circuit);
	if (ret == 0 && (!writes || context.argument == NULL ||
				(command->second != NULL && context.second == NULL)))
		ret = api_fail(error, API_USAGE,
			"culvertctl NOUN create|set|ensure|delete|rename NAME ...",
			"a line creates, sets, ensures, deletes or renames one object");
	if (ret == 0)
		ret = add_changes(&context, changes, error);
	json_decref(context.params);
	json_decref(context.local);
	json_decref(context.fields);
	return ret;
}

int run_batch(struct context *context)
{
	const char *path = context->argument;
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	json_t *changes = json_array(), *lines = json_array();
	struct api_error error;
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int number = 0, ret = 0;

	if (file == NULL) {
		json_decref(changes);
		json_decref(lines);
		api_fail(&error, API_NOT_FOUND, "\"-\" is standard input", "cannot read %s: %s",
			path, strerror(errno));
		return complain(&error);
	}
	while (ret == 0 && (length = getline(&line, &room, file)) > 0) {
		bool mark = number++ == 0 && strncmp(line, BYTE_ORDER_MARK, 3) == 0;
		if (strlen(line) != (size_t)length)
			ret = api_fail(&error, API_USAGE, "a batch is a text file in UTF-8",
				"the line holds a NUL character");
		else
			ret = parse_line(line + (mark ? 3 : 0), changes, &error);
		while (json_array_size(lines) < json_array_size(changes))
			json_array_append_new(lines, json_integer(number));
	}
	free(line);
	if (ret == 0 && ferror(file))
		ret = api_fail(
			&error, API_NOT_FOUND, NULL, "cannot read %s: %s", path, strerror(errno));
	if (file != stdin)
		fclose(file);
	if (ret < 0 || json_array_size(changes) == 0) {
		json_decref(changes);
		json_decref(lines);
		if (ret == 0) {
			printf("no change\n");
			return 0;
		}
		fprintf(stderr, "%s:%d: ", path, number);
		return complain(&error);
	}
	context->file = path;
	context->lines = lines;
	ret = send_changes(context, changes);
	context->lines = NULL;
	json_decref(lines);
	return ret;
}
