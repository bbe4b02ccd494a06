// SPDX-License-Identifier: BSD-3-Clause

// Words to a call: noun, verb, at most one positional word, flags as "--flag value" or "--flag=value" anywhere.
// A flag is looked for among the command's own, then the noun's fields (create and set), then the global ones.
// Values of fields go to the daemon as they were typed: units and ranges are checked where they are known.

#include "tools/culvertctl/command.h"

#include "control/api/suggest.h"
#include "control/api/text.h"

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MAX 4096

const struct command *command_find(const char *noun, const char *verb)
{
	for (const struct command *command = commands; command->noun != NULL; command++)
		if (strcmp(command->noun, noun) == 0 &&
			(verb == NULL ? command->verb == NULL
				      : command->verb != NULL && strcmp(command->verb, verb) == 0))
			return command;
	return NULL;
}

bool noun_exists(const char *noun)
{
	for (const struct command *command = commands; command->noun != NULL; command++)
		if (strcmp(command->noun, noun) == 0)
			return true;
	return false;
}

const struct noun_field *noun_fields_of(const char *noun)
{
	for (const struct noun_fields *fields = noun_fields; fields->noun != NULL; fields++)
		if (strcmp(fields->noun, noun) == 0)
			return fields->field;
	return NULL;
}

const char *local_text(const struct context *context, const char *name)
{
	return json_string_value(json_object_get(context->local, name));
}

bool local_switch(const struct context *context, const char *name)
{
	return json_is_true(json_object_get(context->local, name));
}

// --- finding the command -------------------------------------------------------------------------------

static int unknown_noun(const char *word, struct api_error *error)
{
	struct api_suggestion suggestion;
	const char *near;

	api_suggest_begin(&suggestion, word);
	for (const struct command *command = commands; command->noun != NULL; command++)
		api_suggest_offer(&suggestion, command->noun);
	near = api_suggest_end(&suggestion);
	if (near != NULL)
		return api_fail(error, API_USAGE, "culvertctl --help",
			"there is no \"%s\" (did you mean \"%s\"?)", word, near);
	return api_fail(error, API_USAGE, "culvertctl --help", "there is no \"%s\"", word);
}

static int unknown_verb(const char *noun, const char *word, struct api_error *error)
{
	struct api_suggestion suggestion;
	char hint[128];
	const char *near;

	snprintf(hint, sizeof(hint), "culvertctl %s --help", noun);
	api_suggest_begin(&suggestion, word);
	for (const struct command *command = commands; command->noun != NULL; command++)
		if (strcmp(command->noun, noun) == 0 && command->verb != NULL)
			api_suggest_offer(&suggestion, command->verb);
	near = api_suggest_end(&suggestion);
	if (near != NULL)
		return api_fail(error, API_USAGE, hint,
			"%s has no verb \"%s\" (did you mean \"%s\"?)", noun, word, near);
	return api_fail(error, API_USAGE, hint, "%s has no verb \"%s\"", noun, word);
}

// --- flags ---------------------------------------------------------------------------------------------

static const struct flag *flag_find(const struct flag *flags, size_t most, const char *name)
{
	for (size_t i = 0; i < most && flags[i].name != NULL; i++)
		if (strcmp(flags[i].name, name) == 0)
			return &flags[i];
	return NULL;
}

static const struct noun_field *field_find(const struct command *command, const char *name)
{
	const struct noun_field *field = command == NULL || command->fields == FIELDS_NONE
						 ? NULL
						 : noun_fields_of(command->noun);

	for (; field != NULL && field->name != NULL; field++)
		if (!field->key && strcmp(field->name, name) == 0)
			return field;
	return NULL;
}

static int unknown_flag(const struct command *command, const char *name, struct api_error *error)
{
	struct api_suggestion suggestion;
	const struct noun_field *field = NULL;
	char hint[128] = "culvertctl --help";
	const char *near;

	api_suggest_begin(&suggestion, name);
	for (const struct flag *flag = global_flags; flag->name != NULL; flag++)
		api_suggest_offer(&suggestion, flag->name);
	if (command != NULL) {
		for (size_t i = 0; i < FLAGS_MAX && command->flags[i].name != NULL; i++)
			api_suggest_offer(&suggestion, command->flags[i].name);
		if (command->fields != FIELDS_NONE)
			field = noun_fields_of(command->noun);
		snprintf(hint, sizeof(hint), "culvertctl %s%s%s --help", command->noun,
			command->verb == NULL ? "" : " ",
			command->verb == NULL ? "" : command->verb);
	}
	for (; field != NULL && field->name != NULL; field++)
		if (!field->key)
			api_suggest_offer(&suggestion, field->name);
	near = api_suggest_end(&suggestion);
	if (near != NULL)
		return api_fail(error, API_USAGE, hint,
			"there is no option \"--%s\" (did you mean \"--%s\"?)", name, near);
	return api_fail(error, API_USAGE, hint, "there is no option \"--%s\"", name);
}

// Values that completion lists ("primary|secondary") are the only ones there are.
static int check_value(const struct flag *flag, const char *value, struct api_error *error)
{
	size_t length = strlen(value);

	if (flag->complete == NULL || strchr(flag->complete, '|') == NULL)
		return 0;
	for (const char *at = flag->complete;; at++) {
		size_t word = strcspn(at, "|");

		if (word == length && strncmp(at, value, length) == 0)
			return 0;
		at += word;
		if (*at == '\0')
			break;
	}
	return api_fail(
		error, API_USAGE, flag->complete, "--%s cannot be \"%s\"", flag->name, value);
}

static int set_timeout(struct context *context, const char *value, struct api_error *error)
{
	char *end;
	unsigned long seconds = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end != '\0' || seconds == 0 || seconds > 86400)
		return api_fail(error, API_USAGE, "whole seconds, such as --timeout 30",
			"--timeout cannot be \"%s\"", value);
	context->timeout = (unsigned int)seconds;
	return 0;
}

static int set_global(
	struct context *context, const char *name, const char *value, struct api_error *error)
{
	if (strcmp(name, "json") == 0)
		context->json = true;
	else if (strcmp(name, "exact") == 0)
		context->exact = true;
	else if (strcmp(name, "no-header") == 0)
		context->no_header = true;
	else if (strcmp(name, "help") == 0)
		context->help = true;
	else if (strcmp(name, "version") == 0)
		context->version = true;
	else if (strcmp(name, "socket") == 0)
		context->socket = value;
	else if (strcmp(name, "timeout") == 0)
		return set_timeout(context, value, error);
	else if (strcmp(value, "auto") == 0)
		context->color_wanted = COLOR_AUTO;
	else if (strcmp(value, "always") == 0)
		context->color_wanted = COLOR_ALWAYS;
	else
		context->color_wanted = COLOR_NEVER;
	return 0;
}

static int set_flag(struct context *context, const struct flag *flag, const char *value,
	struct api_error *error)
{
	json_t *target = flag->local ? context->local : context->params;
	const char *name = flag->param == NULL ? flag->name : flag->param;
	json_t *json;
	char *end;

	if (flag->type == FLAG_MANY) {
		json = json_object_get(target, name);
		json = json == NULL ? json_array() : json_incref(json);
		json_array_append_new(json, json_string(value));
	} else if (flag->type == FLAG_SWITCH) {
		json = json_true();
	} else if (flag->type == FLAG_NUMBER) {
		json = json_integer(strtoll(value, &end, 10));
		if (*value < '0' || *value > '9' || *end != '\0') {
			json_decref(json);
			return api_fail(error, API_USAGE, NULL,
				"--%s needs a whole number, not \"%s\"", flag->name, value);
		}
	} else {
		json = json_string(value);
	}
	// "filter.customer": a member of an object parameter
	if (strncmp(name, "filter.", 7) == 0) {
		json_t *filter = json_object_get(target, "filter");

		if (filter == NULL) {
			filter = json_object();
			json_object_set_new(target, "filter", filter);
		}
		json_object_set_new(filter, name + 7, json);
		return 0;
	}
	json_object_set_new(target, name, json);
	return 0;
}

// --- fields --------------------------------------------------------------------------------------------

// A secret's text never stands on a command line: the value is the path of a file that holds it, "-" is stdin.
static int read_secret(const char *path, json_t **value, struct api_error *error)
{
	static const char hint[] = "the value is the path of a file, \"-\" is standard input";
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char text[SECRET_MAX];
	size_t length;

	if (file == NULL)
		return api_fail(
			error, API_NOT_FOUND, hint, "cannot read %s: %s", path, strerror(errno));
	length = fread(text, 1, sizeof(text) - 1, file);
	bool cut = length == sizeof(text) - 1, nul = memchr(text, '\0', length) != NULL;
	int failed = ferror(file) ? errno : 0;
	if (file != stdin)
		fclose(file);
	if (failed != 0)
		return api_fail(
			error, API_NOT_FOUND, hint, "cannot read %s: %s", path, strerror(failed));
	if (cut || nul) {
		explicit_bzero(text, sizeof(text));
		return api_fail(error, API_USAGE, hint, "%s %s", path,
			nul ? "holds a NUL character" : "is too long for a password");
	}
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	text[length] = '\0';
	*value = json_pack("{s:s}", "value", text);
	explicit_bzero(text, sizeof(text));
	if (*value == NULL)
		return api_fail(error, API_USAGE, NULL, "%s is not text", path);
	return 0;
}

// "edge=ams1,gateway=192.0.2.40,key=7001"
static int parse_struct(
	const struct noun_field *field, const char *value, json_t **object, struct api_error *error)
{
	char *copy = strdup(value), *save = NULL;
	int ret = 0;

	*object = json_object();
	for (char *word = strtok_r(copy, ",", &save); word != NULL && ret == 0;
		word = strtok_r(NULL, ",", &save)) {
		char *equals = strchr(word, '=');

		if (equals == NULL) {
			ret = api_fail(error, API_USAGE, "separate several by repeating the option",
				"--%s needs name=value pairs of: %s", field->name, field->elements);
			break;
		}
		*equals = '\0';
		json_object_set_new(*object, word, json_string(equals + 1));
	}
	free(copy);
	if (ret < 0) {
		json_decref(*object);
		*object = NULL;
	}
	return ret;
}

static void add_elements(json_t *list, const char *value)
{
	char *copy = strdup(value), *save = NULL;

	for (char *word = strtok_r(copy, ",", &save); word != NULL;
		word = strtok_r(NULL, ",", &save))
		json_array_append_new(list, json_string(word));
	free(copy);
}

// --add-FIELD and --remove-FIELD of a list: {"add": [..], "remove": [..]} against what it is.
static int edit_field(struct context *context, const struct noun_field *field, const char *how,
	const char *value, struct api_error *error)
{
	json_t *edit = json_object_get(context->fields, field->name), *list, *object;
	int ret = 0;

	if (edit != NULL && !json_is_object(edit))
		return api_fail(error, API_USAGE, NULL,
			"--%s gives the whole list, --%s-%s a part of it: one of the two",
			field->name, how, field->name);
	if (edit == NULL) {
		edit = json_object();
		json_object_set_new(context->fields, field->name, edit);
	}
	list = json_object_get(edit, how);
	if (list == NULL) {
		list = json_array();
		json_object_set_new(edit, how, list);
	}
	// One to remove may be named by what tells it from the others.
	if (field->elements == NULL || (how[0] == 'r' && strchr(value, '=') == NULL)) {
		add_elements(list, value);
	} else {
		ret = parse_struct(field, value, &object, error);
		if (ret == 0)
			json_array_append_new(list, object);
	}
	return ret;
}

static int set_field(
	json_t *fields, const struct noun_field *field, const char *value, struct api_error *error)
{
	json_t *json = NULL, *list;
	int ret = 0;

	if (strcmp(field->kind, "secret") == 0) {
		ret = read_secret(value, &json, error);
	} else if (strcmp(field->kind, "list") != 0) {
		json = json_string(value);
	} else {
		list = json_object_get(fields, field->name);
		if (json_is_object(list))
			return api_fail(error, API_USAGE, NULL,
				"--%s gives the whole list, --add-%s a part of it: one of the two",
				field->name, field->name);
		json = list == NULL ? json_array() : json_incref(list);
		if (field->elements == NULL) {
			add_elements(json, value);
		} else {
			json_t *object;

			ret = parse_struct(field, value, &object, error);
			if (ret == 0)
				json_array_append_new(json, object);
		}
	}
	if (ret == 0)
		json_object_set_new(fields, field->name, json);
	else
		json_decref(json);
	return ret;
}

int set_pair(json_t *fields, const char *noun, const char *name, const char *value,
	struct api_error *error)
{
	const struct noun_field *field = noun_fields_of(noun);

	while (field != NULL && field->name != NULL && strcmp(field->name, name) != 0)
		field++;
	if (field != NULL && field->name != NULL)
		return set_field(fields, field, value, error);
	json_object_set_new(fields, name, json_string(value)); // the daemon says what there is
	return 0;
}

static int unset_field(struct context *context, const char *name, struct api_error *error)
{
	if (field_find(context->command, name) == NULL)
		return unknown_flag(context->command, name, error);
	json_object_set_new(context->fields, name, json_null());
	return 0;
}

// --- words ---------------------------------------------------------------------------------------------

struct cursor {
	int count, at;
	char **words;
};

// "add-prefixes": *how is "add". Not for create, where there is no list yet.
static const struct noun_field *edited_field(
	const struct command *command, const char *name, const char **how)
{
	static const char *const ways[] = {"add", "remove"};

	for (size_t i = 0; i < 2; i++) {
		size_t length = strlen(ways[i]);
		const struct noun_field *field;

		if (strncmp(name, ways[i], length) != 0 || name[length] != '-' || command == NULL ||
			command->fields == FIELDS_CREATE)
			continue;
		field = field_find(command, name + length + 1);
		if (field == NULL || strcmp(field->kind, "list") != 0)
			continue;
		*how = ways[i];
		return field;
	}
	return NULL;
}

// One "--flag", "--flag=value", "--flag value" or short option.
static int take_flag(struct context *context, struct cursor *cursor, struct api_error *error)
{
	const struct command *command = context->command;
	const char *word = cursor->words[cursor->at++], *equals = strchr(word, '='), *value = "";
	const struct noun_field *field;
	const struct flag *flag;
	const char *how = NULL;
	char name[64];

	if (strcmp(word, "-s") == 0)
		word = "--socket";
	else if (strcmp(word, "-h") == 0)
		word = "--help";
	else if (strcmp(word, "-V") == 0)
		word = "--version";
	else if (strcmp(word, "-j") == 0)
		word = "--json";
	if (strncmp(word, "--", 2) != 0)
		return api_fail(
			error, API_USAGE, "culvertctl --help", "there is no option \"%s\"", word);
	snprintf(name, sizeof(name), "%.*s",
		(int)(equals == NULL ? strlen(word + 2) : (size_t)(equals - word - 2)), word + 2);
	flag = command == NULL ? NULL : flag_find(command->flags, FLAGS_MAX, name);
	field = flag == NULL ? field_find(command, name) : NULL;
	if (flag == NULL && field == NULL)
		field = edited_field(command, name, &how);
	if (flag == NULL && field == NULL) {
		flag = flag_find(global_flags, 32, name);
		if (flag == NULL)
			return unknown_flag(command, name, error);
	}
	if (flag != NULL && flag->type == FLAG_SWITCH) {
		if (equals != NULL)
			return api_fail(error, API_USAGE, NULL, "--%s takes no value", name);
	} else if (equals != NULL) {
		value = equals + 1;
	} else if (cursor->at == cursor->count) {
		return api_fail(error, API_USAGE, NULL, "--%s needs a value", name);
	} else {
		value = cursor->words[cursor->at++];
	}
	bool path = flag == NULL ? strcmp(field->kind, "secret") == 0
				 : flag_find(global_flags, 32, name) == flag;
	if (!path && !api_text_valid(value))
		return api_fail(error, API_USAGE, "names and values are text in UTF-8",
			"the value of --%s is not UTF-8", name);
	if (field != NULL && how != NULL)
		return edit_field(context, field, how, value, error);
	if (field != NULL)
		return set_field(context->fields, field, value, error);
	if (flag->type == FLAG_TEXT && check_value(flag, value, error) < 0)
		return -EINVAL;
	if (flag_find(global_flags, 32, name) == flag)
		return set_global(context, name, value, error);
	if (strcmp(name, "unset") == 0)
		return unset_field(context, value, error);
	return set_flag(context, flag, value, error);
}

static int take_argument(struct context *context, const char *word, struct api_error *error)
{
	const struct command *command = context->command;

	bool second = context->argument != NULL;
	if (command == NULL || command->argument == NULL || context->second != NULL ||
		(second && command->second == NULL))
		return api_fail(error, API_USAGE, "options look like --flag value",
			"\"%s\" is one word too many", word);
	*(second ? &context->second : &context->argument) = word;
	const char *param = second ? command->second : command->param;
	if (param != NULL && !api_text_valid(word))
		return api_fail(error, API_USAGE, "names and values are text in UTF-8",
			"%s \"%s\" is not UTF-8", command->argument, word);
	if (param != NULL)
		json_object_set_new(context->params, param, json_string(word));
	return 0;
}

static bool is_global(const char *word)
{
	char name[64];

	if (word[0] != '-' || word[1] == '\0')
		return false;
	if (word[1] != '-')
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	return flag_find(global_flags, 32, name) != NULL;
}

static int take_globals(struct context *context, struct cursor *cursor, struct api_error *error)
{
	int ret = 0;

	while (ret == 0 && cursor->at < cursor->count && is_global(cursor->words[cursor->at]))
		ret = take_flag(context, cursor, error);
	return ret;
}

// Noun and verb, with global options before, between and after.
static int choose_command(struct context *context, struct cursor *cursor, struct api_error *error)
{
	const char *noun, *verb;
	int ret = take_globals(context, cursor, error);

	if (ret < 0 || cursor->at == cursor->count)
		return ret;
	noun = cursor->words[cursor->at];
	if (!noun_exists(noun))
		return noun[0] == '-' ? take_flag(context, cursor, error)
				      : unknown_noun(noun, error);
	cursor->at++;
	if (strcmp(noun, "rename") == 0 && cursor->at < cursor->count &&
		command_find(cursor->words[cursor->at], noun) != NULL) {
		// "rename circuit OLD NEW"
		context->noun = cursor->words[cursor->at++];
		context->command = command_find(context->noun, noun);
		return 0;
	}
	context->noun = noun;
	context->command = command_find(noun, NULL);
	if (context->command != NULL)
		return 0;
	ret = take_globals(context, cursor, error);
	verb = ret < 0 || cursor->at == cursor->count ? NULL : cursor->words[cursor->at];
	if (ret < 0 || (verb == NULL && context->help))
		return ret;
	// "culvertctl circuit" and "culvertctl circuit --customer acme" list
	context->command = command_find(noun, verb == NULL || verb[0] == '-' ? "list" : verb);
	if (context->command == NULL && verb == NULL)
		return api_fail(error, API_USAGE, "culvertctl --help", "%s needs a verb", noun);
	if (context->command == NULL)
		return unknown_verb(noun, verb, error);
	if (verb != NULL && verb[0] != '-')
		cursor->at++;
	return 0;
}

int parse_words(struct context *context, int count, char **words, struct api_error *error)
{
	struct cursor cursor = {.count = count, .words = words};
	int ret = choose_command(context, &cursor, error);

	while (ret == 0 && cursor.at < count) {
		if (words[cursor.at][0] == '-' && words[cursor.at][1] != '\0')
			ret = take_flag(context, &cursor, error);
		else
			ret = take_argument(context, words[cursor.at++], error);
	}
	return ret;
}
