// SPDX-License-Identifier: BSD-3-Clause
// Questions about one session's routes, and requests to clear it. BIRD says which routes its filter refused, not why;
// the rule is found by evaluating the policy that the filter was rendered from, on the attributes that BIRD shows.

#include "control/speakers/bird/bird.h"

#include "control/speakers/bird/parse.h"
#include "control/speakers/bird/render.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct question {
	struct speakers *speakers;
	uint32_t session;
	enum speaker_question kind;
	speaker_row row;
	speaker_done done;
	void *ctx;
	struct route_reader reader;
};

static void on_route(void *ctx, const struct policy_route *route)
{
	struct question *question = ctx;
	const struct served_session *session =
		served_session(question->speakers, question->session);

	if (session != NULL && question->row != NULL)
		question->row(question->ctx, route,
			question->kind == SPEAKER_FILTERED
				? policy_rejecting(&session->import, route)
				: NULL);
}

static void on_line(void *ctx, unsigned int code, const char *text)
{
	struct question *question = ctx;

	parse_line(&question->reader, code, text);
}

static void on_done(void *ctx, int error, unsigned int code, const char *text)
{
	struct question *question = ctx;
	struct api_error problem = {0};

	if (error != 0)
		question->reader.open = false; // it may be half of one
	parse_end(&question->reader);
	if (error != 0)
		api_fail(&problem, API_UNREACHABLE, "culvertctl status",
			"the BGP daemon went away before it answered");
	else if (code >= 8000)
		api_fail(&problem, API_REFUSED, NULL, "the BGP daemon answers: %s", text);
	question->done(question->ctx, problem.code != API_NONE ? &problem : NULL);
	free(question);
}

static int send(
	struct bird *bird, const struct question *asked, const char *command, birdc_line line)
{
	struct question *question = malloc(sizeof(*question));

	if (question == NULL)
		return -ENOMEM;
	*question = *asked;
	question->reader.row = on_route;
	question->reader.ctx = question;
	int err = birdc_command(bird->control, command, line, on_done, question);
	if (err != 0)
		free(question);
	return err;
}

int bird_ask(struct speaker *speaker, struct served_session *session, enum speaker_question kind,
	speaker_row row, speaker_done done, void *ctx)
{
	static const char *const words[] = {
		[SPEAKER_FILTERED] = "filtered protocol",
		[SPEAKER_ADVERTISED] = "export",
		[SPEAKER_RECEIVED] = "protocol",
	};
	const struct question question = {.speakers = speaker->speakers,
		.session = session->id,
		.kind = kind,
		.row = row,
		.done = done,
		.ctx = ctx};
	char command[96], table[24];

	render_table(table, session->domain->id, session->declared.local.family);
	snprintf(command, sizeof(command), "show route table %s %s p%u all", table, words[kind],
		session->id);
	return send(speaker->own, &question, command, on_line);
}

int bird_clear(struct speaker *speaker, struct served_session *session, bool soft,
	speaker_done done, void *ctx)
{
	const struct question question = {
		.speakers = speaker->speakers, .session = session->id, .done = done, .ctx = ctx};
	struct bird *bird = speaker->own;
	char command[64];

	if (!soft && session->declared.enabled) {
		// A session that its memory guard has disabled is down until someone says otherwise.
		snprintf(command, sizeof(command), "enable p%u", session->id);
		birdc_command(bird->control, command, NULL, NULL, NULL);
	}
	snprintf(command, sizeof(command), "%s p%u", soft ? "reload" : "restart", session->id);
	return send(bird, &question, command, NULL);
}
