// SPDX-License-Identifier: BSD-3-Clause
// Questions about one session's routes, and requests to clear it. BIRD says which routes its filter refused, not why;
// the rule is found by evaluating the policy that the filter was rendered from, on the attributes that BIRD shows.

#include "control/speakers/bird/bird.h"

#include "control/base/turns.h"
#include "control/speakers/bird/parse.h"
#include "control/speakers/bird/render.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_S 5 // of who asks; the daemon itself is given up later (silence.c)

struct question {
	struct speakers *speakers;
	struct event *late;
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

// What never came as far as the filter, in this session.
static void tell_remarks(struct question *question)
{
	const struct served_session *session =
		served_session(question->speakers, question->session);
	unsigned int count = 0;
	const struct speaker_remark *remark =
		session != NULL && speaker_state_up(session->state.state)
			? said_remarks(session, &count)
			: NULL;

	for (unsigned int i = 0; i < count && question->row != NULL; i++) {
		const struct policy_route route = {
			.prefix = remark[i].prefix, .origin = POLICY_LEARNED, .partial = true};
		const struct policy_rule invalid = {.action = POLICY_REJECT,
			.name = "bgp-invalid",
			.object = remark[i].text};
		if (route.prefix.address.family == 0)
			continue;
		const struct policy_rule *rule = policy_rejecting(&session->import, &route);
		question->row(question->ctx, &route, rule != NULL ? rule : &invalid);
	}
}

static void on_line(void *ctx, unsigned int code, const char *text)
{
	struct question *question = ctx;

	parse_line(&question->reader, code, text);
}

static void question_free(struct question *question)
{
	if (question->late != NULL)
		event_free(question->late);
	free(question);
}

// Who asked is told so and goes on; the answer may still come, and is thrown away.
static void on_late(evutil_socket_t fd, short what, void *ctx)
{
	struct question *question = ctx;
	struct api_error problem = {0};
	speaker_done done = question->done;

	turns_note("bird: no answer");
	question->done = NULL;
	question->row = NULL;
	api_fail(&problem, API_TIMEOUT, "culvertctl status", "the BGP daemon does not answer");
	done(question->ctx, &problem);
}

static void on_done(void *ctx, int error, unsigned int code, const char *text)
{
	struct question *question = ctx;
	struct api_error problem = {0};

	if (question->done == NULL) {
		question_free(question);
		return;
	}
	if (error != 0)
		question->reader.open = false; // it may be half of one
	parse_end(&question->reader);
	if (error == 0 && code < 8000 && question->kind == SPEAKER_FILTERED)
		tell_remarks(question);
	if (error != 0)
		api_fail(&problem, API_UNREACHABLE, "culvertctl status",
			"the BGP daemon went away before it answered");
	else if (code >= 8000)
		api_fail(&problem, API_REFUSED, NULL, "the BGP daemon answers: %s", text);
	question->done(question->ctx, problem.code != API_NONE ? &problem : NULL);
	question_free(question);
}

static int question_send(
	struct bird *bird, const struct question *asked, const char *command, birdc_line line)
{
	struct question *question = malloc(sizeof(*question));

	if (question == NULL)
		return -ENOMEM;
	if (silence_is_told(bird)) {
		free(question);
		return -ETIMEDOUT;
	}
	*question = *asked;
	question->reader.row = on_route;
	question->reader.ctx = question;
	int err = birdc_command(bird->control, command, line, on_done, question);
	if (err != 0) {
		free(question);
		return err;
	}
	const struct timeval patience = {PATIENCE_S, 0};
	question->late = event_new(asked->speakers->base, -1, 0, on_late, question);
	if (question->late != NULL)
		event_add(question->late, &patience);
	return 0;
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
	return question_send(speaker->own, &question, command, on_line);
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
	return question_send(bird, &question, command, NULL);
}
