// SPDX-License-Identifier: BSD-3-Clause

// culvertctl, the command line of Culvert. It knows the commands (commands.c) and how their answers look; what
// they mean is the daemon's business (control/api/methods.h). It includes control/api only.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/json_pool.h"

#include <jansson.h>

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool decide_color(const struct context *context)
{
	const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");

	if (context->color_wanted != COLOR_AUTO)
		return context->color_wanted == COLOR_ALWAYS;
	return isatty(STDOUT_FILENO) && (no_color == NULL || *no_color == '\0') &&
	       (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

static bool needs_argument(const struct command *command)
{
	return command->argument != NULL && command->argument[0] != '[';
}

static bool lacks_words(const struct context *context)
{
	const struct command *command = context->command;

	return (needs_argument(command) && context->argument == NULL) ||
	       (command->second != NULL && context->second == NULL);
}

static int run(struct context *context, int count, char **words)
{
	struct api_error error;
	const struct command *command;

	int wrong = parse_words(context, count, words, &error);
	complain_as_json(context->json);
	if (wrong < 0)
		return complain(&error);
	command = context->command;
	context->color = decide_color(context);
	if (context->version) {
		printf("culvertctl %s\n", CULVERT_VERSION);
		return 0;
	}
	if (context->help || command == NULL) {
		print_help(context->noun, command == NULL ? NULL : command->verb);
		return command == NULL && !context->help ? api_code_exit(API_USAGE) : 0;
	}
	if (lacks_words(context)) {
		char hint[128];

		snprintf(hint, sizeof(hint), "culvertctl %s%s%s --help", command->noun,
			command->verb == NULL ? "" : " ",
			command->verb == NULL ? "" : command->verb);
		api_fail(&error, API_USAGE, hint, "%s%s%s needs %s", command->noun,
			command->verb == NULL ? "" : " ",
			command->verb == NULL ? "" : command->verb, command->argument);
		return complain(&error);
	}
	return command->run(context);
}

int main(int count, char **words)
{
	struct context context = {0};
	int status;

	json_pool_use(UINT_MAX); // one command, then all goes
	// A reader that has seen enough (head) ends us quietly.
	signal(SIGPIPE, SIG_DFL);
	if (count > 1 && strcmp(words[1], "__complete") == 0)
		return complete_words(count - 2, words + 2);
	if (count > 1 && strcmp(words[1], "__manual") == 0)
		return print_manual();
	context.params = json_object();
	context.local = json_object();
	context.fields = json_object();
	status = run(&context, count - 1, words + 1);
	api_disconnect(context.client);
	json_decref(context.params);
	json_decref(context.local);
	json_decref(context.fields);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "error: the output could not be written\n");
		return status == 0 ? 1 : status;
	}
	return status;
}
