// SPDX-License-Identifier: BSD-3-Clause

// culvertctl(8) as scdoc text: "culvertctl __manual", used by the build.

#include "tools/culvertctl/command.h"

#include <stdio.h>
#include <string.h>

// scdoc gives these a meaning.
static void print_escaped(const char *text)
{
	for (; *text != '\0'; text++) {
		if (strchr("_*\\#<>", *text) != NULL)
			putchar('\\');
		putchar(*text);
	}
}

static void print_flag(const struct flag *flag)
{
	printf("*--%s*", flag->name);
	if (flag->value != NULL)
		printf(" _%s_", flag->value);
	printf("\n\t");
	print_escaped(flag->help);
	printf("\n\n");
}

static void print_fields(const struct command *command)
{
	const struct noun_field *field = noun_fields_of(command->noun);

	for (; field != NULL && field->name != NULL; field++) {
		if (field->key)
			continue;
		printf("*--%s* _", field->name);
		if (field->values != NULL || field->elements != NULL)
			print_escaped(field->values != NULL ? field->values : field->elements);
		else
			print_escaped(strcmp(field->kind, "secret") == 0 ? "FILE" : field->kind);
		printf("_\n\t");
		print_escaped(field->help);
		if (field->required)
			printf("; required");
		if (field->immutable)
			printf("; at creation only");
		if (field->initial != NULL && *field->initial != '\0') {
			printf("; default ");
			print_escaped(field->initial);
		}
		printf("\n\n");
	}
}

static void print_command(const struct command *command)
{
	printf("*%s%s%s*", command->noun, command->verb == NULL ? "" : " ",
		command->verb == NULL ? "" : command->verb);
	if (command->argument != NULL) {
		printf(" ");
		print_escaped(command->argument);
	}
	for (size_t i = 0; i < FLAGS_MAX && command->flags[i].name != NULL; i++) {
		const struct flag *flag = &command->flags[i];

		printf(" [*--%s*%s%s%s]", flag->name, flag->value == NULL ? "" : " _",
			flag->value == NULL ? "" : flag->value, flag->value == NULL ? "" : "_");
	}
	if (command->fields != FIELDS_NONE)
		printf(" [*--field* _value_]...");
	if (command->fields == FIELDS_SET || command->fields == FIELDS_ENSURE)
		printf(" [*--add-field* _value_] [*--remove-field* _value_]");
	printf("\n\t");
	print_escaped(command->help);
	printf("\n\n");
}

static void print_commands(void)
{
	const char *last = "";

	for (const struct command *command = commands; command->noun != NULL; command++) {
		if (strcmp(command->noun, last) != 0)
			printf("## %s\n\n", command->noun);
		last = command->noun;
		print_command(command);
	}
}

static void print_nouns(void)
{
	for (const struct command *command = commands; command->noun != NULL; command++)
		if (command->fields == FIELDS_CREATE && noun_fields_of(command->noun) != NULL) {
			printf("## fields of %s %s\n\n",
				strchr("aeiou", command->noun[0]) == NULL ? "a" : "an",
				command->noun);
			print_fields(command);
		}
}

int print_manual(void)
{
	printf("culvertctl(8)\n\n# NAME\n\nculvertctl - control a Culvert edge\n\n# SYNOPSIS\n\n"
	       "*culvertctl* [_options_] _NOUN_ _VERB_ [_NAME_] [*--flag* _value_]...\n\n"
	       "# DESCRIPTION\n\n"
	       "Talks to *culvertd*(8) over its control socket. Reads print tables for people, or "
	       "with "
	       "*--json* the daemon's answer with exact integers. In a table k, M and G stand for "
	       "thousands, millions and billions; rates are in bit/s; *in* is from the customer "
	       "towards "
	       "the cloud. A noun without a verb lists.\n\n"
	       "Words and options may stand in any order after noun and verb, options also as "
	       "*--flag=value*. A secret is given as the path of the file that holds it, *-* is "
	       "standard "
	       "input. A field that is a list is given whole, or with *--add-field* and "
	       "*--remove-field* against what it is; an element that has parts is removed by the "
	       "part that tells it from the others, as *--remove-tunnels ams1*. To add what is "
	       "there "
	       "changes nothing; another element in its place is refused, unless the same command "
	       "removes "
	       "that one.\n\n"
	       "*circuit delete* takes the circuit's links, peerings and connections with it. "
	       "Whatever "
	       "else is referred to cannot be deleted before what refers to it.\n\n"
	       "*ensure* creates, or sets when there is one: a script may be run twice, the second "
	       "time makes no revision. *batch* makes one revision of a file of commands, all or "
	       "nothing: lines as on the command line, *create*, *set*, *ensure* and *delete*, "
	       "words in quotes, comments after *#*. What is wrong is told with the line.\n\n"
	       "*--check*, *config check* and *config diff* tell what would change, and, when the "
	       "change "
	       "itself would be refused, as without *--delete* one is that deletes more than 16 "
	       "objects and a tenth of all, or a file that leaves out what an established BGP "
	       "session stands on, say so and exit with 1.\n\n"
	       "A change with *--confirm* _DURATION_ (5s to 24h) goes back by itself unless "
	       "*config confirm* comes so soon, whatever becomes of *culvertd* or the terminal "
	       "meanwhile; *config rollback* takes it back at once. Until then every other change "
	       "is "
	       "refused, with 7. *config rollback* with nothing to confirm makes the model what it "
	       "was at another revision of *config history*, as a new revision and by the rules "
	       "for "
	       "changes; *config diff --revision* tells what that would be. At a terminal a change "
	       "that raises what cannot be lowered again is asked about, unless it has *--confirm* "
	       "or *--yes*.\n\n"
	       "Where the node file of *culvertd* names peers, each change is made on all edges or on "
	       "none, *config confirm* and *config rollback* too: checked on all, made on all so that "
	       "it would go back by itself, then confirmed on all. What was made up is the same on "
	       "all. *--one-edge* changes only the edge that is asked; *--all-edges* fails where there "
	       "are no peers. *status* says which of them has another model.\n\n# OPTIONS\n\n");
	for (const struct flag *flag = global_flags; flag->name != NULL; flag++)
		print_flag(flag);
	printf("# COMMANDS\n\n");
	print_commands();
	printf("# FIELDS\n\n");
	print_nouns();
	printf("# EXIT STATUS\n\n");
#define PRINT_EXIT(status, meaning) printf("*%d*\n\t" meaning "\n\n", status);
	API_EXITS(PRINT_EXIT)
#undef PRINT_EXIT
	printf("What went wrong stands on standard error as *error:* and *hint:*, what is not "
	       "known as "
	       "*warning:*.\n\n"
	       "# ENVIRONMENT\n\n*CULVERT_SOCKET*\n\tthe control socket, unless *-s* names one\n\n"
	       "*NO_COLOR*\n\tno colours, whatever the terminal\n\n"
	       "# FILES\n\n_/run/culvert/culvertd.sock_\n\tthe control socket\n\n"
	       "# EXAMPLES\n\n"
	       "```\n"
	       "culvertctl circuit list --customer acme\n"
	       "culvertctl circuit set acme-ams-01 --bandwidth 100mbps\n"
	       "culvertctl vnet set acme-prod --add-prefixes 10.10.0.0/16\n"
	       "culvertctl circuit create acme-ams-02 --customer acme --bandwidth 1gbps \\\\\n"
	       "    --link primary:ams1/wan0:102 --link secondary:ams2/wan0:102 --connect "
	       "acme-prod "
	       "\\\\\n"
	       "    --peering private,primary-subnet=169.254.20.0/30,secondary-subnet=169.254.20.4/"
	       "30,peer-asn=65001,local-asn=64900\n"
	       "culvertctl route list --circuit acme-ams-01 --state rejected\n"
	       "culvertctl --json drops | jq '.items[] | select(.reason == \"tunnel-unknown\")'\n"
	       "culvertctl config diff model.yaml; culvertctl config apply model.yaml\n"
	       "eval \"$(culvertctl completion bash)\"\n"
	       "```\n\n"
	       "# SEE ALSO\n\n*culvertd*(8), *culvert-dataplane*(8), *culvert.yaml*(5)\n");
	return 0;
}
