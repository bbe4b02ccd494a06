// SPDX-License-Identifier: BSD-3-Clause

// A change: sent as it was asked for, and what is asked before it when somebody sits at a terminal.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int call(struct api_client *client, const struct write *write, json_t *params,
	json_t **result, struct api_error *error, json_t **details)
{
	if (write->text == NULL)
		return api_call(client, write->method, params, result, error, details);
	return api_call_file(client, write->method, params, write->text, write->length, result, error,
		details);
}

// --- questions -------------------------------------------------------------------------------------------

static bool is_raise_only(const char *noun, const char *name)
{
	const struct noun_field *field = noun_fields_of(noun);

	while (field != NULL && field->name != NULL && strcmp(field->name, name) != 0)
		field++;
	return field != NULL && field->name != NULL && field->raise_only;
}

// What cannot be lowered again, each in a line. How many.
static unsigned int print_raises(const json_t *diff)
{
	const json_t *change, *field;
	unsigned int raises = 0;
	size_t i, j;

	json_array_foreach ((json_t *)diff, i, change)
		json_array_foreach (json_object_get(change, "fields"), j, field) {
			if (strcmp(get_text(change, "op"), "set") != 0 ||
				!is_raise_only(get_text(change, "noun"), get_text(field, "field")))
				continue;
			fprintf(stderr, "%s of %s %s: %s -> %s cannot be lowered again\n",
				get_text(field, "field"), get_text(change, "noun"),
				get_text(change, "name"), get_text(field, "from"),
				get_text(field, "to"));
			raises++;
		}
	return raises;
}

static bool answered_yes(void)
{
	char answer[16] = "";

	fprintf(stderr, "With --confirm 10m it goes back unless it is confirmed. Go on? [y/N] ");
	if (fgets(answer, sizeof(answer), stdin) == NULL)
		return false;
	return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
}

// True: it may be sent.
static bool ask_first(struct context *context, struct api_client *client, const struct write *write)
{
	json_t *params, *result = NULL, *details = NULL;
	struct api_error error;
	bool send = true;

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || local_switch(context, "yes") ||
		json_is_true(json_object_get(write->params, "check")) ||
		json_object_get(write->params, "confirm") != NULL)
		return true;
	params = json_copy(write->params);
	json_object_set_new(params, "check", json_true());
	// What is wrong with it is told by the change itself.
	if (call(client, write, params, &result, &error, &details) == 0) {
		mend_answer(result);
		send = print_raises(json_object_get(result, "diff")) == 0 || answered_yes();
	}
	json_decref(details);
	json_decref(result);
	return send;
}

// --- sending ---------------------------------------------------------------------------------------------

// edge.peers, if more edges than this one are meant; NULL = only this one, or *error is set.
static json_t *other_edges(struct context *context, struct api_client *client, struct api_error *error)
{
	bool all = local_switch(context, "all-edges"), one = local_switch(context, "one-edge");
	json_t *answer = NULL;

	error->code = API_NONE;
	if (all && one) {
		api_fail(error, API_USAGE, NULL, "--all-edges and --one-edge: one of the two");
		return NULL;
	}
	if (one)
		return NULL;
	if (api_call(client, API_EDGE_PEERS, NULL, &answer, error, NULL) < 0) {
		if (!all && (error->code == API_METHOD || error->code == API_DENIED))
			error->code = API_NONE; // the change itself says so, or it is an older culvertd
		return NULL;
	}
	error->code = API_NONE;
	if (json_array_size(json_object_get(answer, "peers")) > 0)
		return answer;
	if (all)
		api_fail(error, API_USAGE, "peers: {ams2: {socket: PATH}} in culvert.yaml(5)",
			"the node file of edge %s has no peers", get_text(answer, "edge"));
	json_decref(answer);
	return NULL;
}

// Of a rollback that takes back what waits, and of a confirmation.
static bool settles(const struct write *write, const json_t *peers)
{
	return strcmp(write->method, API_CONFIG_CONFIRM) == 0 ||
	       (strcmp(write->method, API_CONFIG_ROLLBACK) == 0 &&
		       json_is_object(json_object_get(peers, "pending")) &&
		       json_object_get(write->params, "revision") == NULL &&
		       !json_is_true(json_object_get(write->params, "check")));
}

int send_write(struct context *context, const struct write *write, json_t **result,
	struct api_error *error, json_t **details)
{
	struct api_client *client = client_of(context, error);

	*result = *details = NULL;
	if (client == NULL)
		return -1;
	if (strcmp(write->method, API_CONFIG_CHECK) == 0 || strcmp(write->method, API_CONFIG_DIFF) == 0)
		return call(client, write, json_incref(write->params), result, error, details);
	if (!ask_first(context, client, write))
		return api_fail(error, API_REFUSED, NULL, "nothing was changed");
	json_t *peers = other_edges(context, client, error);
	if (error->code != API_NONE)
		return -1;
	if (peers == NULL)
		return call(client, write, json_incref(write->params), result, error, details);
	if (settles(write, peers))
		return edges_settle(context, write, peers, result, error);
	return edges_write(context, write, peers, result, error, details);
}

int run_change(struct context *context, const char *method, json_t *params)
{
	const struct write write = {.method = method, .params = params};
	json_t *result, *details;
	struct api_error error;
	int status;

	if (send_write(context, &write, &result, &error, &details) == 0) {
		mend_answer(result);
		status = print_change(context, result);
	} else {
		mend_answer(details);
		status = complain_call(context, &error, details);
	}
	json_decref(details);
	json_decref(result);
	json_decref(params);
	return status;
}

// "12 goes back to 11 at 14:03:07 unless it is confirmed: culvertctl config confirm"
void print_pending(const json_t *pending)
{
	char when[TEXT_MAX];

	if (json_is_object(pending))
		printf("revision %" JSON_INTEGER_FORMAT " goes back to %" JSON_INTEGER_FORMAT
		       " at %s unless it is confirmed: culvertctl config confirm\n",
			json_integer_value(json_object_get(pending, "revision")),
			json_integer_value(json_object_get(pending, "before")),
			time_text(get_number(pending, "until"), when));
}
