// SPDX-License-Identifier: BSD-3-Clause

// What is going on in this edge now: status, routes, drops, sessions, events.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- status --------------------------------------------------------------------------------------------

// "3 up, 1 degraded": members that are 0 are left out.
static void print_counts(const char *title, const json_t *counts)
{
	const char *key, *separator = "";
	json_t *value;

	printf("%-10s  ", title);
	json_object_foreach ((json_t *)counts, key, value)
		if (json_integer_value(value) != 0) {
			printf("%s%" JSON_INTEGER_FORMAT " %s", separator,
				json_integer_value(value), key);
			separator = ", ";
		}
	printf("%s\n", *separator == '\0' ? "none" : "");
}

static void print_dataplane(const struct context *context, const json_t *dataplane)
{
	const char *state = get_text(dataplane, "state");
	const char *error = get_text(dataplane, "error");
	char age[TEXT_MAX];

	printf("%-10s  %s%s%s for %s", "data plane", color_begin(context, state), state,
		color_end(context), age_text(get_number(dataplane, "since"), age));
	printf("%s%s\n", *error == '\0' ? "" : ": ", error);
	if (*get_text(dataplane, "hint") != '\0')
		printf("%-10s  hint: %s\n", "", get_text(dataplane, "hint"));
	print_counts("installed", json_object_get(dataplane, "installed"));
	print_counts("records", json_object_get(dataplane, "records"));
}

static void print_problems(const json_t *problems)
{
	const json_t *problem;
	char object[TEXT_MAX];
	size_t i;

	json_array_foreach ((json_t *)problems, i, problem) {
		printf("%s%s: %s\n", i == 0 ? "\n" : "", object_text(problem, object),
			get_text(problem, "message"));
		if (*get_text(problem, "hint") != '\0')
			printf("  hint: %s\n", get_text(problem, "hint"));
	}
}

// For monitoring: one line, and what its plugins end with: 0 ok, 1 warning, 2 critical, 3 unknown.
static int print_verdict(const json_t *result, int failed)
{
	static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
	const json_t *problems = json_object_get(result, "problems"), *problem, *worst = NULL;
	int verdict = 0;
	int64_t more = -1;
	char object[TEXT_MAX];
	size_t i;

	if (result == NULL) { // an edge without culvertd is no matter of opinion, the asker's own mistakes are
		verdict = failed == api_code_exit(API_UNREACHABLE) ||
					  failed == api_code_exit(API_TIMEOUT)
				  ? 2
				  : 3;
		printf("%s: %s\n", words[verdict], complaint());
		return verdict;
	}
	json_array_foreach ((json_t *)problems, i, problem) {
		int level = strcmp(get_text(problem, "level"), "error") == 0 ? 2 : 1;
		more += 1 + get_number(problem, "alike");
		worst = level > verdict ? problem : worst;
		verdict = level > verdict ? level : verdict;
	}
	const json_t *unknown = json_object_get(result, "unknown");
	if (verdict == 0 && json_is_object(unknown)) {
		printf("UNKNOWN: edge %s: %s\n", get_text(result, "edge"),
			get_text(unknown, "message"));
		return 3;
	}
	printf("%s: edge %s", words[verdict], get_text(result, "edge"));
	if (worst != NULL) {
		more -= get_number(worst, "alike");
		printf(": %s %s", object_text(worst, object), get_text(worst, "message"));
	}
	if (more > 0)
		printf(", and %" PRId64 " more", more);
	putchar('\n');
	return verdict;
}

static void print_waiting(const json_t *pending)
{
	char when[TEXT_MAX];

	if (json_is_object(pending))
		printf("%-10s  not confirmed: made by %s, goes back to revision %" PRId64
		       " at %s; culvertctl config confirm, or rollback\n",
			"", get_text(pending, "actor"), get_number(pending, "before"),
			time_text(get_number(pending, "until"), when));
}

// What the other edges' culvertd say of their models. True: no two that answer differ.
static bool ask_peers(struct context *context, json_t *result)
{
	struct api_error error;
	json_t *about = NULL;
	bool agree = true;

	if (api_call(context->client, API_EDGE_PEERS, NULL, &about, &error, NULL) == 0) {
		mend_answer(about);
		agree = edges_compare(about);
		if (json_array_size(json_object_get(about, "peers")) > 0)
			json_object_set(result, "peers", json_object_get(about, "peers"));
	}
	json_decref(about);
	return agree;
}

static void print_peers(const json_t *peers)
{
	const json_t *peer;
	size_t i;

	json_array_foreach ((json_t *)peers, i, peer) {
		const char *model = get_text(peer, "model");
		printf("%-10s  %s: ", i == 0 ? "peers" : "", get_text(peer, "edge"));
		if (strcmp(model, "unknown") == 0)
			printf("does not answer at %s\n", get_text(peer, "socket"));
		else
			printf("revision %" PRId64 ", %s\n", get_number(peer, "revision"),
				strcmp(model, "same") == 0
					? "the same model"
					: "ANOTHER MODEL: culvertctl config show > F; config diff F there");
	}
}

int run_status(struct context *context)
{
	json_t *result, *store, *bridge;
	char age[TEXT_MAX];
	int status;

	result = ask(context, &status);
	if (local_switch(context, "monitoring")) {
		status = print_verdict(result, status);
		json_decref(result);
		return status;
	}
	if (result == NULL)
		return status;
	// Something is wrong: whoever asks by a script need not read the answer.
	status = json_array_size(json_object_get(result, "problems")) > 0 ? 1 : 0;
	if (!ask_peers(context, result))
		status = 1;
	if (context->json) {
		print_json(result);
		json_decref(result);
		return status;
	}
	store = json_object_get(result, "store");
	bridge = json_object_get(result, "bridge");
	printf("%-10s  %s, culvertd %s up %s\n", "edge", get_text(result, "edge"),
		get_text(result, "version"), age_text(get_number(result, "started"), age));
	printf("%-10s  revision %" PRId64 ", store %s %s\n", "model",
		get_number(result, "revision"), get_text(store, "uuid"), get_text(store, "state"));
	print_waiting(json_object_get(result, "pending"));
	print_peers(json_object_get(result, "peers"));
	print_dataplane(context, json_object_get(result, "dataplane"));
	print_counts("circuits", json_object_get(result, "circuits"));
	print_counts("sessions", json_object_get(result, "sessions"));
	print_counts("routes", json_object_get(result, "routes"));
	printf("%-10s  host domains in mode %s, drift %" PRId64 ", %" PRId64 " overruns, %" PRId64
	       " resyncs, %" PRId64 " quarantined\n",
		"bridge", get_text(bridge, "mode"), get_number(bridge, "drift"),
		get_number(bridge, "overruns"), get_number(bridge, "resyncs"),
		get_number(bridge, "quarantined"));
	if (*get_text(bridge, "drift_last") != '\0')
		printf("%-10s  last put back: %s\n", "", get_text(bridge, "drift_last"));
	print_problems(json_object_get(result, "problems"));
	json_decref(result);
	return status;
}

// --- routes --------------------------------------------------------------------------------------------

static void route_lines(const struct context *context, const json_t *answer, bool known)
{
	const json_t *route = json_object_get(answer, "route"), *nexthop;
	size_t i;

	if (!json_is_object(route)) {
		printf("%s  %s  %s\n", get_text(answer, "domain"), get_text(answer, "address"),
			known ? "no route" : "-");
		return;
	}
	printf("%s  %s -> %s %s", get_text(answer, "domain"), get_text(answer, "address"),
		get_text(route, "prefix"), get_text(route, "origin"));
	if (*get_text(route, "from") != '\0')
		printf(" from %s", get_text(route, "from"));
	putchar('\n');
	json_array_foreach (json_object_get(route, "nexthops"), i, nexthop) {
		bool usable = json_is_true(json_object_get(nexthop, "usable"));
		const char *via = get_text(nexthop, "via");

		printf("  %s%s%s  weight %" PRId64 "  %s%s%s\n", get_text(nexthop, "interface"),
			*via == '\0' ? "" : " via ", via, get_number(nexthop, "weight"),
			color_begin(context, usable ? "usable" : "down"),
			usable ? "usable" : "down", color_end(context));
	}
}

// One domain answers with an object, several with a list.
int run_route_get(struct context *context)
{
	json_t *result, *items, *item;
	int status;
	size_t i;

	result = ask(context, &status);
	if (result == NULL)
		return status;
	items = json_object_get(result, "items");
	bool known = !json_is_object(json_object_get(result, "unknown"));
	if (context->json) {
		print_json(result);
	} else if (items == NULL) {
		route_lines(context, result, known);
	} else {
		json_array_foreach (items, i, item)
			route_lines(context, item, known);
	}
	status = tell_unknown(result);
	json_decref(result);
	return status;
}

// --- drops ---------------------------------------------------------------------------------------------

int run_drops(struct context *context)
{
	static const char *const titles[] = {
		"INTERFACE", "DIRECTION", "REASON", ">PACKETS", "MEANING", NULL};
	json_t *result, *item;
	struct table *table;
	char text[TEXT_MAX];
	int status;
	size_t i;

	result = ask_list(context, context->command->method, json_incref(context->params), &status);
	if (result == NULL)
		return status;
	status = tell_unknown(result);
	if (context->json) {
		print_json(result);
		json_decref(result);
		return status;
	}
	table = table_create(context, titles);
	json_array_foreach (json_object_get(result, "items"), i, item) {
		table_cell(table, get_text(item, "interface"));
		table_cell(table, get_text(item, "direction"));
		table_cell(table, get_text(item, "reason"));
		table_cell(table, number_text(context, get_number(item, "packets"), text));
		table_cell(table, get_text(item, "help"));
	}
	table_end(table);
	if (!context->no_header)
		printf("%s packets dropped\n",
			known_text(context, json_object_get(result, "total"), text));
	json_decref(result);
	return status;
}

// --- doctor --------------------------------------------------------------------------------------------

int run_doctor(struct context *context)
{
	json_t *result, *item;
	int status, found = 0;
	size_t i;

	result = ask(context, &status);
	if (result == NULL)
		return status;
	json_array_foreach (json_object_get(result, "items"), i, item) {
		const char *state = get_text(item, "state"), *fix = get_text(item, "fix");
		const char *object = get_text(item, "object");

		found |= strcmp(state, "warning") == 0;
		if (context->json)
			continue;
		printf("%s%-8s%s %-11s %s%s%s\n", color_begin(context, state), state,
			color_end(context), get_text(item, "check"), object,
			*object != '\0' ? ": " : "", get_text(item, "message"));
		if (*fix != '\0')
			printf("%-20s fix: %s\n", "", fix);
	}
	if (context->json)
		print_json(result);
	json_decref(result);
	return found;
}

// --- sessions ------------------------------------------------------------------------------------------

int run_clear(struct context *context)
{
	int status;
	json_t *result = ask(context, &status);

	if (result == NULL)
		return status;
	if (context->json)
		print_json(result);
	else
		printf("%s: %" PRId64 " session%s %s\n", context->argument,
			get_number(result, "cleared"),
			get_number(result, "cleared") == 1 ? "" : "s",
			json_is_true(json_object_get(context->params, "soft")) ? "refreshed"
									       : "cleared");
	int64_t failed = get_number(result, "failed");
	if (failed > 0)
		fprintf(stderr,
			"error: %" PRId64 " other session%s of %s could not be reached\n"
			"hint: culvertctl peering status %s\n",
			failed, failed == 1 ? "" : "s", context->argument, context->argument);
	json_decref(result);
	return failed > 0 ? 1 : 0;
}

static bool too_many(const json_t *remove, const json_t *there, const char *key)
{
	return get_number(remove, key) * 10 > get_number(there, key);
}

int run_adopt(struct context *context)
{
	int status;
	json_t *result = ask(context, &status);

	if (result == NULL)
		return status;
	const json_t *take = json_object_get(result, "take_over");
	const json_t *remove = json_object_get(result, "remove");
	const json_t *there = json_object_get(result, "there");
	bool done = json_is_true(json_object_get(result, "adopted"));
	if (context->json) {
		print_json(result);
		json_decref(result);
		return 0;
	}
	if (get_number(take, "domains") > 0)
		printf("%s %" PRId64 " domains and %" PRId64
		       " host interfaces of edge %s, store %s\n",
			done ? "taken over:" : "to take over:", get_number(take, "domains"),
			get_number(take, "interfaces"), get_text(take, "edge"),
			get_text(take, "store"));
	printf("%s %" PRId64 " of %" PRId64 " domains and %" PRId64 " of %" PRId64
	       " host interfaces, which are not configured\n",
		done ? "being removed:" : "to remove:", get_number(remove, "domains"),
		get_number(there, "domains"), get_number(remove, "interfaces"),
		get_number(there, "interfaces"));
	if (!json_is_true(json_object_get(result, "known")))
		puts("the model does not have this edge");
	else if (too_many(remove, there, "domains") || too_many(remove, there, "interfaces"))
		puts("that is more than a tenth of what is there");
	if (!json_is_true(json_object_get(result, "needed")))
		puts("nothing was held back");
	json_decref(result);
	return 0;
}

// --- events --------------------------------------------------------------------------------------------

int run_monitor(struct context *context)
{
	const char *topic = local_text(context, "topic");
	struct api_error error;
	json_t *answer, *event;
	int status;

	if (topic != NULL)
		json_object_set_new(context->params, "topics", json_pack("[s]", topic));
	answer = ask(context, &status);
	json_decref(answer);
	if (answer == NULL)
		return status;
	while (api_event(context->client, -1, &event, &error) == 0) {
		if (context->json) {
			json_dumpf(event, stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			mend_answer(event);
			char *data = value_text(context, json_object_get(event, "data"), SHOW_TEXT);
			char when[TEXT_MAX];

			printf("%s  %s  %s\n", time_text(get_number(event, "time"), when),
				get_text(event, "topic"), data);
			free(data);
		}
		fflush(stdout);
		json_decref(event);
	}
	return complain(&error);
}

// --- version -------------------------------------------------------------------------------------------

int run_version(struct context *context)
{
	json_t *hello = NULL;
	int status;

	if (!context->json)
		printf("culvertctl %s\n", CULVERT_VERSION);
	hello = ask_method(context, API_HELLO,
		json_pack("{s:s}", "client", "culvertctl " CULVERT_VERSION), &status);
	if (hello == NULL)
		return status;
	if (context->json) {
		json_object_set_new(hello, "client", json_string(CULVERT_VERSION));
		print_json(hello);
	} else {
		printf("culvertd %s on edge %s, api %s, revision %" PRId64 ", role %s\n",
			get_text(hello, "version"), get_text(hello, "edge"), get_text(hello, "api"),
			get_number(hello, "revision"), get_text(hello, "role"));
	}
	json_decref(hello);
	return 0;
}
