// SPDX-License-Identifier: BSD-3-Clause

// Completion. The shells' scripts are a few lines: they hand the words over to a hidden command,
// "culvertctl __complete WORDS...", which prints the candidates for the last word. So both shells offer the same,
// from the table of commands; names of objects come from the daemon, silently and within a second.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void offer(const char *word, const char *candidate)
{
	if (strncmp(candidate, word, strlen(word)) == 0)
		printf("%s\n", candidate);
}

static void offer_flag(const char *word, const char *name)
{
	char flag[80];

	snprintf(flag, sizeof(flag), "--%s", name);
	offer(word, flag);
}

static void offer_words(const char *word, const char *words)
{
	char *copy = strdup(words), *save = NULL;

	for (char *candidate = strtok_r(copy, "|", &save); candidate != NULL;
		candidate = strtok_r(NULL, "|", &save))
		offer(word, candidate);
	free(copy);
}

static void offer_names(const char *socket, const char *word, const char *noun)
{
	struct api_client *client;
	struct api_error error;
	json_t *result = NULL, *item;
	char method[64];
	size_t i;

	if (api_connect(&client, socket, 1, &error) < 0)
		return;
	snprintf(method, sizeof(method), "%s.list", noun);
	api_call(client, method, json_pack("{s:i}", "limit", API_PAGE_MAX), &result, &error, NULL);
	json_array_foreach (json_object_get(result, "items"), i, item)
		offer(word, json_string_value(json_object_get(item, "full_name")));
	json_decref(result);
	api_disconnect(client);
}

static void offer_nouns(const char *word)
{
	const char *last = "";

	for (const struct command *command = commands; command->noun != NULL; command++) {
		if (strcmp(command->noun, last) != 0)
			offer(word, command->noun);
		last = command->noun;
	}
}

static void offer_fields(const struct command *command, const char *word, bool as_flags)
{
	const struct noun_field *field = noun_fields_of(command->noun);

	for (; field != NULL && field->name != NULL; field++) {
		if (field->key || (command->fields == FIELDS_SET && field->immutable))
			continue;
		if (!as_flags) {
			offer(word, field->name);
			continue;
		}
		offer_flag(word, field->name);
		if (strcmp(field->kind, "list") == 0 && command->fields != FIELDS_CREATE) {
			char name[72];

			snprintf(name, sizeof(name), "add-%s", field->name);
			offer_flag(word, name);
			snprintf(name, sizeof(name), "remove-%s", field->name);
			offer_flag(word, name);
		}
	}
}

static void offer_kind(
	const char *socket, const struct command *command, const char *word, const char *kind)
{
	if (kind == NULL)
		return;
	if (strcmp(kind, "file") == 0)
		printf("\tfile\n"); // the shell does that itself
	else if (strcmp(kind, "nouns") == 0)
		offer_nouns(word);
	else if (strcmp(kind, "fields") == 0)
		offer_fields(command, word, false);
	else if (strchr(kind, '|') != NULL)
		offer_words(word, kind);
	else
		offer_names(socket, word, kind);
}

// The value of a flag or field that the word before named.
static bool offer_value(
	const char *socket, const struct command *command, const char *flag, const char *word)
{
	const struct noun_field *field;

	for (size_t i = 0; command != NULL && i < FLAGS_MAX && command->flags[i].name != NULL; i++)
		if (strcmp(command->flags[i].name, flag) == 0 &&
			command->flags[i].type != FLAG_SWITCH) {
			offer_kind(socket, command, word, command->flags[i].complete);
			return true;
		}
	for (const struct flag *global = global_flags; global->name != NULL; global++)
		if (strcmp(global->name, flag) == 0 && global->type != FLAG_SWITCH) {
			offer_kind(socket, command, word, global->complete);
			return true;
		}
	if (command == NULL || command->fields == FIELDS_NONE)
		return false;
	for (field = noun_fields_of(command->noun); field != NULL && field->name != NULL; field++) {
		if (strcmp(field->name, flag) != 0)
			continue;
		if (field->values != NULL)
			offer_words(word, field->values);
		else if (field->target != NULL)
			offer_names(socket, word, field->target);
		else if (strcmp(field->kind, "bool") == 0)
			offer_words(word, "true|false");
		else if (strcmp(field->kind, "secret") == 0)
			printf("\tfile\n");
		return true;
	}
	return false;
}

static void offer_flags(const struct command *command, const char *word)
{
	for (size_t i = 0; command != NULL && i < FLAGS_MAX && command->flags[i].name != NULL; i++)
		offer_flag(word, command->flags[i].name);
	if (command != NULL && command->fields != FIELDS_NONE)
		offer_fields(command, word, true);
	for (const struct flag *flag = global_flags; flag->name != NULL; flag++)
		offer_flag(word, flag->name);
}

// What the words before the last one say; options are skipped with their values.
struct seen {
	const char *noun, *verb, *socket;
	unsigned int arguments; // positional words after the command
};

static bool is_switch(const char *word)
{
	static const char *const shorts[] = {"-h", "-V", "-j"};

	for (size_t i = 0; i < 3; i++)
		if (strcmp(word, shorts[i]) == 0)
			return true;
	for (const struct flag *flag = global_flags; flag->name != NULL; flag++)
		if (strncmp(word, "--", 2) == 0 && strcmp(flag->name, word + 2) == 0)
			return flag->type == FLAG_SWITCH;
	return strcmp(word, "--check") == 0 || strcmp(word, "--delete") == 0 ||
	       strcmp(word, "--soft") == 0;
}

static struct seen look_at(int count, char **words)
{
	struct seen seen = {0};

	for (int i = 0; i < count; i++) {
		if (words[i][0] == '-' && words[i][1] != '\0') {
			if (strchr(words[i], '=') != NULL || is_switch(words[i]))
				continue;
			if (strcmp(words[i], "-s") == 0 || strcmp(words[i], "--socket") == 0)
				seen.socket = i + 1 < count ? words[i + 1] : NULL;
			i++;
		} else if (seen.noun == NULL) {
			seen.noun = words[i];
		} else if (seen.verb == NULL && command_find(seen.noun, NULL) == NULL) {
			seen.verb = words[i];
		} else {
			seen.arguments++;
		}
	}
	return seen;
}

int complete_words(int count, char **words)
{
	const char *word = count > 0 ? words[count - 1] : "";
	const char *before = count > 1 ? words[count - 2] : "";
	struct seen seen = look_at(count - 1, words);
	const struct command *command =
		seen.noun == NULL ? NULL : command_find(seen.noun, seen.verb);

	if (strcmp(before, "-s") == 0)
		before = "--socket";
	if (strncmp(before, "--", 2) == 0 && offer_value(seen.socket, command, before + 2, word))
		return 0;
	if (word[0] == '-') {
		offer_flags(command, word);
	} else if (seen.noun == NULL) {
		offer_nouns(word);
	} else if (command == NULL && seen.verb == NULL) {
		for (command = commands; command->noun != NULL; command++)
			if (strcmp(command->noun, seen.noun) == 0 && command->verb != NULL)
				offer(word, command->verb);
	} else if (command != NULL && command->argument != NULL && seen.arguments == 0) {
		offer_kind(seen.socket, command, word, command->complete);
	} else {
		offer_flags(command, word);
	}
	return 0;
}

static const char bash_script[] =
	"# bash completion of culvertctl(8), printed by: culvertctl completion bash\n"
	"_culvertctl()\n"
	"{\n"
	"\tlocal IFS=$'\\n' word=${COMP_WORDS[COMP_CWORD]}\n"
	"\tlocal found=($(\"${COMP_WORDS[0]}\" __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
	"2>/dev/null))\n"
	"\tif [[ ${found[0]} == $'\\tfile' ]]; then\n"
	"\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n"
	"\telse\n"
	"\t\tCOMPREPLY=(\"${found[@]}\")\n"
	"\tfi\n"
	"}\n"
	"complete -o filenames -F _culvertctl culvertctl\n";

static const char zsh_script[] =
	"#compdef culvertctl\n"
	"# zsh completion of culvertctl(8), printed by: culvertctl completion zsh\n"
	"_culvertctl()\n"
	"{\n"
	"\tlocal -a found\n"
	"\tfound=(${(f)\"$(${words[1]} __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
	"\tif [[ $found[1] == $'\\tfile' ]]; then\n"
	"\t\t_files\n"
	"\telse\n"
	"\t\tcompadd -a found\n"
	"\tfi\n"
	"}\n"
	"if [[ $funcstack[1] == _culvertctl ]]; then\n"
	"\t_culvertctl \"$@\"\n"
	"else\n"
	"\tcompdef _culvertctl culvertctl\n"
	"fi\n";

int run_completion(struct context *context)
{
	struct api_error error;

	if (context->argument != NULL && strcmp(context->argument, "bash") == 0) {
		fputs(bash_script, stdout);
	} else if (context->argument != NULL && strcmp(context->argument, "zsh") == 0) {
		fputs(zsh_script, stdout);
	} else {
		api_fail(&error, API_USAGE, "culvertctl completion bash",
			"completion is for bash or zsh");
		return complain(&error);
	}
	return 0;
}
