// SPDX-License-Identifier: BSD-3-Clause
// A speaker for customers with whom no BGP is spoken (managed hand-off): what lies behind their router is said in the
// model, and what we announce is configured on their side by hand. There is no daemon and no file; a session is up
// when it is enabled, and its routes are reported as if learned. They are judged by the import policy like any
// other, so that a prefix that is not the customer's to have is refused and named in the same way.

#include "control/speakers/state.h"

#include "control/base/turns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

// What was reported of a session.
struct reported {
	unsigned int count;
	struct ip_address via;
	struct ip_prefix route[];
};

static struct policy_route route_of(const struct ip_prefix *prefix, const struct ip_address *via)
{
	return (struct policy_route){.prefix = *prefix, .next_hop = *via, .origin = POLICY_LEARNED};
}

static void tell(const struct served_session *session, const struct ip_prefix *prefix,
	const struct ip_address *via, bool present)
{
	const struct speaker_callbacks *callbacks = &session->domain->speaker->speakers->callbacks;
	const struct policy_route route = route_of(prefix, via);

	if (callbacks->route != NULL)
		callbacks->route(callbacks->ctx, session->domain->id, &route, present);
}

static bool has_route(const struct ip_prefix *list, unsigned int count, const struct ip_prefix *one)
{
	for (unsigned int i = 0; i < count; i++)
		if (ip_prefix_compare(&list[i], one) == 0)
			return true;
	return false;
}

// The same prefix may lie behind another session of the domain: then that one has it now.
static void tell_gone(const struct served_session *session, const struct ip_prefix *prefix,
	const struct ip_address *via)
{
	const struct served_session *other;

	TAILQ_FOREACH (other, &session->domain->speaker->sessions, link) {
		const struct reported *reported = other->own;
		if (other == session || other->domain != session->domain || reported == NULL ||
			!has_route(reported->route, reported->count, prefix))
			continue;
		tell(other, prefix, &reported->via, true);
		return;
	}
	tell(session, prefix, via, false);
}

static void report_routes(struct served_session *session)
{
	const struct speaker_session *declared = &session->declared;
	struct reported *old = session->own;
	unsigned int count = declared->enabled ? declared->routes : 0;
	struct reported *new = calloc(1, sizeof(*new) + count * sizeof(new->route[0]));

	if (new == NULL)
		abort();
	new->count = count;
	new->via = declared->remote;
	memcpy(new->route, declared->route, count * sizeof(new->route[0]));
	session->own = new;
	bool moved = old != NULL && ip_address_compare(&old->via, &new->via) != 0;
	for (unsigned int i = 0; old != NULL && i < old->count; i++)
		if (!has_route(new->route, new->count, &old->route[i]))
			tell_gone(session, &old->route[i], &old->via);
	for (unsigned int i = 0; i < new->count; i++)
		if (old == NULL || moved || !has_route(old->route, old->count, &new->route[i]))
			tell(session, &new->route[i], &new->via, true);
	free(old);
}

static void report_state(struct served_session *session)
{
	struct speaker_state state = {.exported = 0}; // nothing is told to anybody
	const struct speaker_session *declared = &session->declared;

	snprintf(state.state, sizeof(state.state), "%s", declared->enabled ? "static" : "down");
	state.imported = declared->enabled ? declared->routes : 0; // who is told judges
	speaker_report(session, &state);
}

// --- the steps, each of which is done when it returns

static int static_accepts(const struct speaker_session *session, struct api_error *error)
{
	for (unsigned int i = 0; i < session->routes; i++)
		if (session->route[i].address.family != session->remote.family)
			return api_fail(error, API_INVALID, NULL,
				"peering \"%s\" has a route of another address family than its "
				"router",
				session->name);
	return 0;
}

static int static_render(struct speaker *speaker)
{
	return 0;
}

static int static_check(struct speaker *speaker)
{
	steps_checked(speaker, NULL, NULL);
	return 0;
}

static void static_poll(struct speaker *speaker)
{
	struct served_session *session, *next;

	TAILQ_FOREACH_SAFE(session, &speaker->sessions, link, next)
	{
		report_state(session);
	}
}

static void static_tell(struct speaker *speaker)
{
	struct served_session *session, *next;

	TAILQ_FOREACH_SAFE(session, &speaker->sessions, link, next)
	{
		report_routes(session);
	}
	static_poll(speaker);
	steps_told(speaker, NULL);
}

static bool static_announces(
	const struct speaker *speaker, const struct served_domain *domain, uint32_t group)
{
	return true; // nothing is told to anybody
}

static void static_toggle(
	struct speaker *speaker, struct served_domain *domain, struct announcement_group *group)
{
	static_poll(speaker);
}

static void static_forget(struct speaker *speaker, const struct served_domain *domain,
	const struct served_session *session)
{
	const struct reported *reported = session != NULL ? session->own : NULL;

	for (unsigned int i = 0; reported != NULL && i < reported->count; i++)
		tell_gone(session, &reported->route[i], &reported->via);
}

// --- questions, answered in the next turn of the loop

struct answer {
	TAILQ_ENTRY(answer) entry;
	uint32_t session;
	int question; // enum speaker_question, -1 = clear
	speaker_row row;
	speaker_done done;
	void *ctx;
};

struct desk {
	struct event *turn;
	TAILQ_HEAD(answer_list, answer) answers;
};

// Nothing is kept out here, whoever is told a route judges it and knows those that he refused, and nothing is announced.
static void give_learned(const struct answer *answer, const struct served_session *session)
{
	for (unsigned int i = 0; i < session->declared.routes; i++) {
		const struct policy_route route =
			route_of(&session->declared.route[i], &session->declared.remote);
		const struct policy_rule *rule = policy_rejecting(&session->import, &route);
		answer->row(answer->ctx, &route, rule);
	}
}

static struct answer *take(struct desk *desk)
{
	struct answer *answer = TAILQ_FIRST(&desk->answers);

	if (answer != NULL)
		TAILQ_REMOVE(&desk->answers, answer, entry);
	return answer;
}

// Those that are asked meanwhile wait for the next turn.
static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
	struct speaker *speaker = ctx;
	struct desk *desk = speaker->own;
	struct answer *last = TAILQ_LAST(&desk->answers, answer_list), *answer;

	turns_note("static: answer");
	while ((answer = take(desk)) != NULL) {
		const struct served_session *session =
			served_session(speaker->speakers, answer->session);
		bool more = answer != last;
		if (session != NULL && answer->question == SPEAKER_RECEIVED)
			give_learned(answer, session);
		answer->done(answer->ctx, NULL);
		free(answer);
		if (!more)
			break;
	}
}

static int answer_soon(struct speaker *speaker, const struct answer *given)
{
	const struct timeval now = {0, 0};
	struct desk *desk = speaker->own;
	struct answer *answer = malloc(sizeof(*answer));

	if (answer == NULL)
		return -ENOMEM;
	*answer = *given;
	TAILQ_INSERT_TAIL(&desk->answers, answer, entry);
	event_add(desk->turn, &now);
	return 0;
}

static int static_ask(struct speaker *speaker, struct served_session *session,
	enum speaker_question question, speaker_row row, speaker_done done, void *ctx)
{
	return answer_soon(speaker, &(struct answer){.session = session->id,
					    .question = (int)question,
					    .row = row,
					    .done = done,
					    .ctx = ctx});
}

static int static_clear(struct speaker *speaker, struct served_session *session, bool soft,
	speaker_done done, void *ctx)
{
	return answer_soon(speaker,
		&(struct answer){.session = session->id, .question = -1, .done = done, .ctx = ctx});
}

// --- life

static int static_open(struct speaker *speaker)
{
	struct desk *desk = calloc(1, sizeof(*desk));

	if (desk == NULL)
		return -ENOMEM;
	TAILQ_INIT(&desk->answers);
	speaker->own = desk;
	desk->turn = event_new(speaker->speakers->base, -1, 0, on_turn, speaker);
	return desk->turn != NULL ? 0 : -ENOMEM;
}

static void static_close(struct speaker *speaker)
{
	struct desk *desk = speaker->own;
	struct api_error error;
	struct answer *answer;

	if (desk == NULL)
		return;
	api_fail(&error, API_UNREACHABLE, NULL, "the domain is going");
	while ((answer = take(desk)) != NULL) {
		answer->done(answer->ctx, &error);
		free(answer);
	}
	if (desk->turn != NULL)
		event_free(desk->turn);
	free(desk);
	speaker->own = NULL;
}

const struct speaker_ops static_speaker = {
	.name = "static",
	.open = static_open,
	.close = static_close,
	.accepts = static_accepts,
	.render = static_render,
	.check = static_check,
	.tell = static_tell,
	.announces = static_announces,
	.poll = static_poll,
	.toggle = static_toggle,
	.forget = static_forget,
	.ask = static_ask,
	.clear = static_clear,
};
