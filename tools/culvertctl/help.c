// SPDX-License-Identifier: BSD-3-Clause

// Help on three levels: everything, a noun, a command. All of it from the table and the schema's fields.

#include "tools/culvertctl/command.h"

#include <stdio.h>
#include <string.h>

static void print_usage(const struct command *command)
{
	printf("culvertctl [options] %s%s%s", command->noun, command->verb == NULL ? "" : " ",
		command->verb == NULL ? "" : command->verb);
	if (command->argument != NULL)
		printf(" %s", command->argument);
	if (command->flags[0].name != NULL || command->fields != FIELDS_NONE)
		printf(" [--flag value]...");
	putchar('\n');
}

static void print_flag(const struct flag *flag)
{
	char left[96];

	snprintf(left, sizeof(left), "--%s%s%s", flag->name, flag->value == NULL ? "" : " ",
		flag->value == NULL ? "" : flag->value);
	printf("  %-28s  %s\n", left, flag->help);
}

static void print_field(const struct noun_field *field, bool create, bool edit)
{
	char left[160];

	if (field->key || (!create && field->immutable))
		return;
	if (field->elements != NULL)
		snprintf(left, sizeof(left), "--%s %.80s", field->name, field->elements);
	else
		snprintf(left, sizeof(left), "--%s %.80s", field->name,
			field->values != NULL                ? field->values
			: strcmp(field->kind, "secret") == 0 ? "FILE"
							     : field->kind);
	printf("  %-28s  %s%s", left, field->help, create && field->required ? " (required)" : "");
	if (field->elements != NULL)
		printf("; name=value,..., repeat for several");
	else if (strcmp(field->kind, "list") == 0)
		printf("; several with commas");
	else if (field->values == NULL && field->target == NULL &&
		 strcmp(field->kind, "secret") != 0 && field->example != NULL)
		printf(", as %s", field->example);
	if (field->initial != NULL && *field->initial != '\0')
		printf(" [%s]", field->initial);
	putchar('\n');
	if (strcmp(field->kind, "list") == 0 && edit)
		printf("  --add-%s, --remove-%s  elements of it, the others stay\n", field->name,
			field->name);
}

static void print_command(const struct command *command)
{
	const struct noun_field *field =
		command->fields == FIELDS_NONE ? NULL : noun_fields_of(command->noun);

	print_usage(command);
	printf("\n  %s\n\n", command->help);
	for (; field != NULL && field->name != NULL; field++)
		print_field(field, command->fields != FIELDS_SET, command->fields != FIELDS_CREATE);
	for (size_t i = 0; i < FLAGS_MAX && command->flags[i].name != NULL; i++)
		print_flag(&command->flags[i]);
}

static void print_line(const struct command *command)
{
	char left[64];

	snprintf(left, sizeof(left), "%s%s%s%s%s", command->noun, command->verb == NULL ? "" : " ",
		command->verb == NULL ? "" : command->verb, command->argument == NULL ? "" : " ",
		command->argument == NULL ? "" : command->argument);
	printf("  %-28s  %s\n", left, command->help);
}

void print_help(const char *noun, const char *verb)
{
	const struct command *command = noun == NULL ? NULL : command_find(noun, verb);

	if (command != NULL) {
		print_command(command);
		return;
	}
	if (noun == NULL)
		printf("culvertctl [options] NOUN VERB [NAME] [--flag value]...\n\n");
	for (command = commands; command->noun != NULL; command++)
		if (noun == NULL || strcmp(command->noun, noun) == 0)
			print_line(command);
	if (noun != NULL) {
		printf("\nculvertctl %s VERB --help tells the options of each\n", noun);
		return;
	}
	printf("\noptions\n");
	for (const struct flag *flag = global_flags; flag->name != NULL; flag++)
		print_flag(flag);
	printf("\nexit status\n");
#define PRINT_EXIT(status, meaning) printf("  %-28d  " meaning "\n", status);
	API_EXITS(PRINT_EXIT)
#undef PRINT_EXIT
}

int run_help(struct context *context)
{
	struct api_error error;

	if (context->argument != NULL && !noun_exists(context->argument)) {
		api_fail(&error, API_USAGE, "culvertctl --help", "there is no \"%s\"",
			context->argument);
		return complain(&error);
	}
	print_help(context->argument, NULL);
	return 0;
}
