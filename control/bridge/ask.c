// SPDX-License-Identifier: BSD-3-Clause
// Questions about one peering's routes, answered by its speaker, and requests to clear its session. The daemon
// says which routes its filter refused, not why; the rule is found by asking the table the filter was made
// from. An answer is a JSON array, built line by line as it comes.

#include "control/bridge/birdc.h"
#include "control/bridge/render.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

struct question {
	struct bridge *bridge;
	uint32_t peering;
	enum bridge_question kind;
	bridge_answer done;
	void *ctx;
	json_t *array;
	json_t *last; // the route its attributes belong to; borrowed from the array
};

static void finish(struct question *question, int error, unsigned int code, const char *text)
{
	struct api_error problem = {0};

	if (error == 0 && code < 8000) {
		question->done(question->ctx, question->array, NULL);
	} else {
		if (error)
			api_fail(&problem, API_UNREACHABLE, "culvertctl status",
				"the BGP daemon went away before it answered");
		else
			api_fail(&problem, API_REFUSED, NULL, "the BGP daemon answers: %s", text);
		question->done(question->ctx, NULL, &problem);
		json_decref(question->array);
	}
	free(question);
}

static void on_done(void *ctx, int error, unsigned int code, const char *text)
{
	finish(ctx, error, code, text);
}

// "10.1.0.0/16          unicast [p7 2026-11-21 02:24:46] * (100) [AS65001i]"
static void route_line(struct question *question, const struct peering *peering, const char *text)
{
	char word[IP_TEXT_MAX], address[IP_TEXT_MAX];
	struct ip_prefix prefix;

	question->last = NULL;
	if (sscanf(text, "%63s", word) != 1 || text[0] == ' ' || text[0] == '\t' ||
		ip_prefix_parse(word, &prefix))
		return;
	json_t *route = json_pack("{s:s}", "prefix", word);
	if (question->kind == BRIDGE_FILTERED) {
		const struct bridge_reject *reject = render_rejecting(&peering->declared, &prefix);
		json_object_set_new(route, "rule", json_string(reject ? reject->rule : "unknown"));
		json_object_set_new(route, "object", json_string(reject ? reject->object : ""));
		json_object_set_new(route, "from",
			json_string(ip_address_format(&peering->declared.remote, address)));
	}
	if (json_array_append_new(question->array, route) == 0)
		question->last = route;
}

static void on_line(void *ctx, unsigned int code, const char *text)
{
	struct question *question = ctx;
	const struct peering *peering = idmap_get(&question->bridge->peerings, question->peering);
	char word[IP_TEXT_MAX];

	if (peering == NULL)
		return;
	const char *inner = text + strspn(text, " \t");
	if (code == 1007 && inner == text) {
		route_line(question, peering, text);
	} else if (question->last && question->kind == BRIDGE_RECEIVED) {
		if (strncmp(inner, "BGP.as_path:", 12) == 0)
			json_object_set_new(question->last, "as_path",
				json_string(inner + 12 + strspn(inner + 12, " ")));
		else if (sscanf(inner, "via %63s", word) == 1)
			json_object_set_new(question->last, "via", json_string(word));
	}
}

static struct question *question_new(
	struct bridge *bridge, uint32_t peering, bridge_answer done, void *ctx)
{
	struct question *question = calloc(1, sizeof(*question));

	if (question == NULL)
		return NULL;
	*question =
		(struct question){.bridge = bridge, .peering = peering, .done = done, .ctx = ctx};
	question->array = json_array();
	if (question->array)
		return question;
	free(question);
	return NULL;
}

static int send(
	struct birdc *control, struct question *question, const char *command, birdc_line line)
{
	int err = birdc_command(control, command, line, on_done, question);

	if (err) {
		json_decref(question->array);
		free(question);
	}
	return err;
}

int bridge_ask(struct bridge *bridge, uint32_t id, enum bridge_question kind, bridge_answer done,
	void *ctx)
{
	static const char *const commands[] = {
		[BRIDGE_FILTERED] = "show route table %s filtered protocol p%u",
		[BRIDGE_ADVERTISED] = "show route table %s export p%u",
		[BRIDGE_RECEIVED] = "show route table %s protocol p%u all",
	};
	struct peering *peering = idmap_get(&bridge->peerings, id);
	char command[96], table[24];

	if (peering == NULL)
		return -ENOENT;
	struct question *question = question_new(bridge, id, done, ctx);
	if (question == NULL)
		return -ENOMEM;
	question->kind = kind;
	render_table(table, peering->domain->id, peering->declared.local.family);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(command, sizeof(command), commands[kind], table, id);
#pragma GCC diagnostic pop
	return send(peering->domain->space->speaker->control, question, command, on_line);
}

int bridge_peering_clear(
	struct bridge *bridge, uint32_t id, bool soft, bridge_answer done, void *ctx)
{
	struct peering *peering = idmap_get(&bridge->peerings, id);
	char command[64];

	if (peering == NULL)
		return -ENOENT;
	struct birdc *control = peering->domain->space->speaker->control;
	if (!soft && peering->declared.enabled) {
		// A session that its memory guard has disabled is down until someone says otherwise.
		snprintf(command, sizeof(command), "enable p%u", id);
		birdc_command(control, command, NULL, NULL, NULL);
	}
	struct question *question = question_new(bridge, id, done, ctx);
	if (question == NULL)
		return -ENOMEM;
	snprintf(command, sizeof(command), "%s p%u", soft ? "reload" : "restart", id);
	return send(control, question, command, NULL);
}
