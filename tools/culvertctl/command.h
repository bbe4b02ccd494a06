/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CULVERTCTL_COMMAND_H
#define CULVERTCTL_COMMAND_H

// The one table of commands. Parsing, help, completion and the manual page are read from it.

#include <stdbool.h>
#include <stddef.h>

#include "control/api/error.h"

struct api_client;
struct json_t;

enum flag_type { FLAG_TEXT, FLAG_NUMBER, FLAG_SWITCH, FLAG_MANY }; // MANY: texts, may be repeated

struct flag {
	const char *name; // without "--"
	enum flag_type type;
	const char *value; // placeholder in the help, NULL for a switch
	const char *help;
	const char *complete; // noun whose names are offered, "file", or words "a|b|c"
	const char *param;    // of the method; NULL = as the flag
	bool local;           // not for the method: the command itself looks at it
};

struct context;

enum takes_fields { FIELDS_NONE, FIELDS_CREATE, FIELDS_SET, FIELDS_ENSURE };

#define FLAGS_MAX 16

struct command {
	const char *noun;
	const char *verb;   // NULL: the noun is the whole command
	const char *method; // of the control socket, NULL = the command knows
	const char *
		argument; // placeholder of the positional word, NULL = none, "[X]" = may be left out
	const char *param; // the method's parameter it becomes, NULL = the command's own business
	const char *second; // the same of a second word, NULL = there is none
	const char *complete;                // as in struct flag
	const char *help;                    // one line, lower case, no full stop
	enum takes_fields fields;            // also takes the noun's fields as flags
	const struct column *columns;        // of a list's table
	int (*run)(struct context *context); // exit status
	struct flag flags[FLAGS_MAX];
};

extern const struct command commands[];  // ends at the first without a noun
extern const struct flag global_flags[]; // likewise

// A field of a noun, from the schema (generated at build time by tools/devtools/print-fields).
struct noun_field {
	const char *name;
	const char *kind;
	const char *example;
	const char *initial;  // default, NULL = none
	const char *values;   // of an enum: "a|b|c"
	const char *target;   // noun of a reference
	const char *elements; // of a list of structs: "edge,gateway,local,key"
	const char *help;
	bool key, required, immutable, raise_only;
};
struct noun_fields {
	const char *noun;
	const char *help;
	const struct noun_field *field; // ends at the first without a name
};
extern const struct noun_fields noun_fields[];             // likewise
const struct noun_field *noun_fields_of(const char *noun); // NULL = none

enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct context {
	const char *noun; // as typed, NULL = none
	const struct command *command;
	const char *socket;
	unsigned int timeout; // s
	bool json, exact, no_header, help, version;
	bool color; // decided
	enum color color_wanted;
	const char *argument, *second;
	struct json_t *params;     // for the method
	struct json_t *local;      // local flags
	struct json_t *fields;     // for create, set, ensure
	const char *file;          // of a batch, NULL = none
	struct json_t *lines;      // of its changes, in order
	struct api_client *client; // connected on first use
};

// parse.c: fills context from the words. Returns 0 or -errno with *error.
int parse_words(struct context *context, int count, char **words, struct api_error *error);
const struct command *command_find(const char *noun, const char *verb);
bool noun_exists(const char *noun);
const char *local_text(const struct context *context, const char *name); // NULL = not given
bool local_switch(const struct context *context, const char *name);

// One field of a noun, its value as after the option of that name: a secret is read from the file it names.
int set_pair(struct json_t *fields, const char *noun, const char *name, const char *value,
	struct api_error *error);

// ask.c
struct api_client *client_of(
	struct context *context, struct api_error *error); // NULL = unreachable
// Says what is wrong on stderr; returns the exit status.
int complain(const struct api_error *error);
const char *complaint(void); // what was said last
void complain_as_json(bool json); // from now on
// As JSON, with the findings of a validation, if that is wanted. False: it is not, nothing is said.
bool complain_details(const struct api_error *error, const struct json_t *details);
// Calls the command's method with its parameters. NULL: complained, *status is set.
struct json_t *ask(struct context *context, int *status);
struct json_t *ask_method(
	struct context *context, const char *method, struct json_t *params, int *status);
// A call that failed: says why, with what a validation found. Returns the exit status.
int complain_call(
	const struct context *context, const struct api_error *error, const struct json_t *details);
struct json_t *ask_list(
	struct context *context, const char *method, struct json_t *params, int *status);
// What others wrote, before people see it: nothing that a terminal acts on is left but the ends of lines.
void mend_lines(char *text);
void mend_answer(struct json_t *answer); // all its texts but a file's, unless it is shown as JSON; NULL is fine
// An answer that lacks what only a data plane can tell: says so on stderr. Returns the exit status.
int tell_unknown(const struct json_t *answer);
void print_json(const struct json_t *value);

// write.c
struct write {
	const char *method;
	struct json_t *params; // borrowed
	const char *text;      // of a file, NULL = none
	size_t length;
};
// Asks first what has to be asked. 0, or *error is set and *details may be.
int send_write(struct context *context, const struct write *write, struct json_t **result,
	struct api_error *error, struct json_t **details);
// The same, and prints what came of it. params is stolen. Returns the exit status.
int run_change(struct context *context, const char *method, struct json_t *params);
void print_pending(const struct json_t *pending); // null: nothing
// edges.c: the same on all edges that edge.peers, stolen, has told of; what waits there, if it is a part of one change.
int edges_write(struct context *context, const struct write *write, struct json_t *peers,
	struct json_t **result, struct api_error *error, struct json_t **details);
int edges_settle(struct context *context, const struct write *write, struct json_t *peers,
	struct json_t **result, struct api_error *error);
bool edges_compare(struct json_t *about);

// help.c, complete.c, manual.c
void print_help(const char *noun, const char *verb);
int run_help(struct context *context);
int run_completion(struct context *context);
int complete_words(int count, char **words);
int print_manual(void);

// What commands do: nouns.c, batch.c, circuit.c, live.c, config.c
int run_list(struct context *context);    // any list: ask all pages, print columns
int run_show(struct context *context);    // one object
int run_write(struct context *context);   // create, set, ensure, delete
int run_rename(struct context *context);  // a noun that has none
int run_circuit(struct context *context); // create, ensure: with its parts
int run_recreate(struct context *context);
int run_batch(struct context *context);
int run_circuit_list(struct context *context);
int run_circuit_wait(struct context *context);
int run_location_list(struct context *context);
int run_provider_show(struct context *context);
void print_order(struct context *context); // what was ordered, for the provider; nothing of a circuit without one
int print_missing(struct context *context, struct json_t *shown); // for circuit check; exit status 1: something is missing
int run_circuit_show(struct context *context);
int run_peering_show(struct context *context);
int print_items(struct context *context, struct json_t *result); // of a list, in the command's columns
void print_object(const struct context *context, const struct json_t *object); // as configured
int run_circuit_stats(struct context *context);
int run_port_list(struct context *context);
int run_port_show(struct context *context);
int run_status(struct context *context);
int run_route_get(struct context *context);
int run_drops(struct context *context);
int run_doctor(struct context *context);
int run_clear(struct context *context);
int run_adopt(struct context *context);
int run_monitor(struct context *context);
int run_version(struct context *context);
int run_config_show(struct context *context);
int run_config_file(struct context *context); // check, diff, apply
int run_config_settle(struct context *context); // confirm, rollback
int run_config_history(struct context *context);
int run_recent(struct context *context);      // newest rows of a list
int run_since(struct context *context);       // the same, with --since
int run_backup(struct context *context);
int run_restore(struct context *context);
int print_change(struct context *context, struct json_t *result);
// Of a check: says why the change itself would be refused. Returns the exit status, 0 = it would not.
int print_guard(const struct json_t *result);

#endif
