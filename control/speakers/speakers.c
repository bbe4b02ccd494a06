// SPDX-License-Identifier: BSD-3-Clause
// What was declared: domains and sessions (announcements and joins are in announce.c). A declaration is copied whole, checked for what no
// speaker could use, compared with the one before, and handed to the speaker of its instance, which is made with its
// first domain and goes with its last. What is the same as before costs nothing: no text is rendered for it.
//
// Nothing here can fail for want of a directory or a daemon: those are tried by the steps (steps.c) until they work,
// and the sessions say what is wrong meanwhile.

#include "control/speakers/state.h"

#include "control/api/text.h"
#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

enum { SAME_MOMENT_MS = 100, RESET_FRESH_S = 5 };
#define SLICE_NS 2000000u // of news in a turn

static const struct speaker_ops *const kinds[] = {
	[SPEAKER_BIRD] = &bird_speaker,
	[SPEAKER_STATIC] = &static_speaker,
};

static char *text_copy(const char *text)
{
	char *copy = strdup(text != NULL ? text : "");

	if (copy == NULL)
		abort();
	return copy;
}

void *speakers_copy(const void *from, size_t bytes)
{
	void *copy = malloc(bytes > 0 ? bytes : 1);

	if (copy == NULL)
		abort();
	if (bytes > 0)
		memcpy(copy, from, bytes);
	return copy;
}

struct served_session *served_session(struct speakers *speakers, uint32_t id)
{
	return table_find(&speakers->sessions, &id);
}

struct served_domain *served_domain(struct speakers *speakers, uint32_t id)
{
	return table_find(&speakers->domains, &id);
}

// --- states

// A daemon works out when something was anew for each answer, a millisecond apart. 0 = it does not say.
static bool same_moment(uint64_t a, uint64_t b)
{
	return a == 0 || (a > b ? a - b : b - a) < SAME_MOMENT_MS;
}

static bool same_state(const struct speaker_state *a, const struct speaker_state *b)
{
	return strcmp(a->state, b->state) == 0 && a->moment == b->moment &&
	       strcmp(a->detail, b->detail) == 0 && a->fault == b->fault &&
	       a->imported == b->imported && a->kept_until == b->kept_until &&
	       a->filtered == b->filtered && a->exported == b->exported &&
	       a->reset_at == b->reset_at && a->hold == b->hold &&
	       memcmp(&a->in, &b->in, sizeof(a->in)) == 0 &&
	       memcmp(&a->out, &b->out, sizeof(a->out)) == 0 && a->invalid == b->invalid;
}

// Ours, when the speaker has nothing newer to tell of it: an end that we saw, with what was said of it then.
static void take_reset(const struct served_session *session, struct speaker_state *shown)
{
	const struct speaker_state *was = &session->state;
	uint64_t now = (uint64_t)time(NULL);

	bool ended = session->reported && strcmp(was->state, "established") == 0 &&
		     (strcmp(shown->state, "established") != 0 || shown->moment != was->moment);
	// Its words come by the log, which may be read a moment later.
	bool told = was->reset_guessed && shown->reset_at + RESET_FRESH_S >= was->reset_at;
	if (ended && was->reset_at + RESET_FRESH_S < now && shown->reset_at + RESET_FRESH_S < now) {
		snprintf(shown->reset, sizeof(shown->reset), "%.*s", SPEAKER_RESET_BYTES - 1,
			shown->detail[0] != '\0' ? shown->detail : "the connection ended");
		api_text_mend(shown->reset);
		shown->reset_at = now;
		shown->reset_guessed = true;
	} else if (was->reset_at > shown->reset_at && !told) {
		memcpy(shown->reset, was->reset, sizeof(shown->reset));
		shown->reset_at = was->reset_at;
		shown->reset_guessed = was->reset_guessed;
	}
}

void speaker_report(struct served_session *session, const struct speaker_state *state)
{
	struct speakers *speakers = session->domain->speaker->speakers;
	const struct timeval now = {0, 0};
	struct speaker_state shown = *state;

	if (session->domain->speaker->closing)
		return;
	if (session->file.refused)
		snprintf(shown.detail, sizeof(shown.detail), "%s", session->refusal);
	if (strcmp(shown.state, session->state.state) == 0 &&
		same_moment(shown.moment, session->state.moment)) {
		shown.since = session->state.since;
		shown.moment = session->state.moment;
	}
	if (shown.kept_until != 0 && session->state.kept_until != 0)
		shown.kept_until = session->state.kept_until; // worked out anew from what is left
	if (strcmp(shown.detail, session->state.detail) == 0)
		shown.detail_since = session->state.detail_since;
	else
		shown.detail_since = shown.detail[0] != '\0' ? (uint64_t)time(NULL) : 0;
	if (shown.moment == 0) {
		shown.since = (uint64_t)time(NULL);
		shown.moment = clock_ns() / 1000000;
	}
	take_reset(session, &shown);
	if (session->reported && same_state(&shown, &session->state))
		return;
	session->reported = true;
	session->state = shown;
	if (!session->news)
		TAILQ_INSERT_TAIL(&speakers->news, session, of_news);
	session->news = true;
	event_add(speakers->tell, &now);
}

static void forget_news(struct speakers *speakers, struct served_session *session)
{
	if (session->news)
		TAILQ_REMOVE(&speakers->news, session, of_news);
	session->news = false;
}

static void on_tell(evutil_socket_t fd, short what, void *ctx)
{
	struct speakers *speakers = ctx;
	const struct speaker_callbacks *callbacks = &speakers->callbacks;
	const struct timeval now = {0, 0};
	uint64_t end = clock_ns() + SLICE_NS;
	struct served_session *session;

	turns_note("speakers: tell");
	while ((session = TAILQ_FIRST(&speakers->news)) != NULL) {
		const struct speaker_state state = session->state;
		forget_news(speakers, session);
		callbacks->session(callbacks->ctx, session->id, &state);
		if (clock_ns() < end)
			continue;
		event_add(speakers->tell, &now);
		return;
	}
}

void speaker_report_all(struct speaker *speaker, const char *detail)
{
	struct speaker_state state = {.state = "down"};
	struct served_session *session, *next;

	snprintf(state.detail, sizeof(state.detail), "%s", detail);
	TAILQ_FOREACH_SAFE(session, &speaker->sessions, link, next)
	{
		speaker_report(session, &state);
	}
}

// --- speakers

void speaker_tell(
	const struct speaker *speaker, const char *state, const char *reason, const char *hint)
{
	const struct speaker_callbacks *callbacks = &speaker->speakers->callbacks;

	if (callbacks->daemon != NULL && !speaker->closing)
		callbacks->daemon(callbacks->ctx, speaker->name, state, reason, hint);
}

static void speaker_free(struct speaker *speaker)
{
	speaker_tell(speaker, "", "", "");
	speaker->closing = true;
	steps_end(speaker);
	speaker->ops->close(speaker);
	if (speaker->apply != NULL)
		event_free(speaker->apply);
	if (speaker->poll != NULL)
		event_free(speaker->poll);
	if (speaker->netns_fd >= 0)
		close(speaker->netns_fd);
	LIST_REMOVE(speaker, entry);
	free(speaker->directory);
	free(speaker->netns);
	free(speaker->name);
	free(speaker);
}

static void on_poll(evutil_socket_t fd, short what, void *ctx)
{
	struct speaker *speaker = ctx;

	turns_note("speakers: poll");
	if (!speaker_is_ending(speaker->speakers, speaker->directory))
		speaker->ops->poll(speaker);
}

static void take_namespace(struct speaker *speaker, const struct speaker_domain *domain)
{
	if (speaker->netns == NULL || strcmp(speaker->netns, domain->netns) != 0) {
		free(speaker->netns);
		speaker->netns = text_copy(domain->netns);
	}
	if (speaker->netns_fd >= 0)
		close(speaker->netns_fd);
	speaker->netns_fd =
		domain->netns_fd >= 0 ? fcntl(domain->netns_fd, F_DUPFD_CLOEXEC, 0) : -1;
}

static struct speaker *speaker_open(
	struct speakers *speakers, const struct speaker_domain *domain, struct api_error *error)
{
	const struct timeval second = {1, 0};
	struct speaker *speaker;

	LIST_FOREACH (speaker, &speakers->list, entry)
		if (speaker->ops == kinds[domain->kind] &&
			strcmp(speaker->name, domain->instance) == 0)
			return speaker;
	speaker = calloc(1, sizeof(*speaker));
	if (speaker == NULL)
		abort();
	speaker->speakers = speakers;
	speaker->ops = kinds[domain->kind];
	speaker->name = text_copy(domain->instance);
	speaker->netns_fd = -1;
	TAILQ_INIT(&speaker->domains);
	TAILQ_INIT(&speaker->sessions);
	TAILQ_INIT(&speaker->joins[0]);
	TAILQ_INIT(&speaker->joins[1]);
	LIST_INSERT_HEAD(&speakers->list, speaker, entry);
	if (asprintf(&speaker->directory, "%s/bird/%s", speakers->run_dir, domain->instance) < 0)
		abort();
	speaker->apply = event_new(speakers->base, -1, 0, steps_due, speaker);
	speaker->poll = event_new(speakers->base, -1, EV_PERSIST, on_poll, speaker);
	int result = speaker->apply == NULL || speaker->poll == NULL ||
				     event_add(speaker->poll, &second) != 0
			     ? -ENOMEM
			     : speaker->ops->open(speaker);
	if (result == 0)
		return speaker;
	api_fail(error, API_REFUSED, "is the run directory's name short enough?",
		"speaker directory \"%s\" cannot be used: %s", speaker->directory,
		strerror(-result));
	speaker_free(speaker);
	return NULL;
}

// --- domains

static bool name_valid(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static bool same_place(const struct served_domain *domain, const struct speaker_domain *declared)
{
	return domain->declared.kind == declared->kind &&
	       domain->declared.kernel_table == declared->kernel_table &&
	       strcmp(domain->declared.instance, declared->instance) == 0 &&
	       strcmp(domain->declared.name, declared->name) == 0;
}

int speakers_domain_set(
	struct speakers *speakers, const struct speaker_domain *declared, struct api_error *error)
{
	struct served_domain *domain = served_domain(speakers, declared->id);

	if (!name_valid(declared->instance))
		return api_fail(error, API_INVALID, "use a-z, 0-9 and -",
			"speaker name \"%s\" is not usable", declared->instance);
	if (domain != NULL && !same_place(domain, declared)) {
		speakers_domain_delete(speakers, declared->id);
		domain = NULL;
	}
	if (domain != NULL) {
		take_namespace(domain->speaker, declared);
		return 0;
	}
	struct speaker *speaker = speaker_open(speakers, declared, error);
	if (speaker == NULL)
		return -EIO;
	take_namespace(speaker, declared);
	domain = calloc(1, sizeof(*domain));
	if (domain == NULL)
		abort();
	domain->id = declared->id;
	domain->declared = *declared;
	domain->declared.name = text_copy(declared->name);
	domain->declared.instance = text_copy(declared->instance);
	domain->declared.netns = text_copy(declared->netns);
	domain->speaker = speaker;
	domain->file.stale = true;
	TAILQ_INIT(&domain->groups);
	TAILQ_INSERT_TAIL(&speaker->domains, domain, link);
	speaker->domain_count++;
	table_add(&speakers->domains, domain);
	steps_changed(speaker);
	return 0;
}

static void free_session(struct served_session *session)
{
	struct speaker *speaker = session->domain->speaker;

	forget_news(speaker->speakers, session);
	TAILQ_REMOVE(&speaker->sessions, session, link);
	LIST_REMOVE(session, of_domain);
	speaker->session_count--;
	table_remove(&speaker->speakers->sessions, session);
	policy_clear(&session->import);
	policy_clear(&session->export);
	free((char *)session->declared.name);
	free((char *)session->declared.password);
	free((struct ip_prefix *)session->declared.route);
	free(session->own);
	free(session);
}

static void free_domain(struct served_domain *domain)
{
	groups_free(domain);
	joins_free(domain);
	TAILQ_REMOVE(&domain->speaker->domains, domain, link);
	domain->speaker->domain_count--;
	table_remove(&domain->speaker->speakers->domains, domain);
	free((char *)domain->declared.name);
	free((char *)domain->declared.instance);
	free((char *)domain->declared.netns);
	free(domain);
}

void speakers_domain_delete(struct speakers *speakers, uint32_t id)
{
	struct served_domain *domain = served_domain(speakers, id);
	struct served_session *session;

	if (domain == NULL)
		return;
	struct speaker *speaker = domain->speaker;
	while ((session = LIST_FIRST(&domain->sessions)) != NULL)
		speakers_session_delete(speakers, session->id);
	speaker->ops->forget(speaker, domain, NULL);
	free_domain(domain);
	if (!TAILQ_EMPTY(&speaker->domains)) {
		steps_changed(speaker);
		return;
	}
	if (speaker->ops != &static_speaker)
		speaker_end(speakers, speaker->directory, speaker->netns);
	speaker_free(speaker);
}

// --- sessions

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

// What the daemon is told is; names are for people.
static bool same_session(const struct served_session *session, const struct speaker_session *b)
{
	const struct speaker_session *a = &session->declared;
	static const struct policy everything = {.otherwise = POLICY_ACCEPT};

	return a->enabled == b->enabled && ip_address_compare(&a->local, &b->local) == 0 &&
	       ip_address_compare(&a->remote, &b->remote) == 0 && a->local_asn == b->local_asn &&
	       a->remote_asn == b->remote_asn && same_text(a->password, b->password) && a->hold == b->hold &&
	       a->keepalive == b->keepalive && a->connect == b->connect &&
	       a->error_wait == b->error_wait && a->ttl_security == b->ttl_security &&
	       a->memory_limit == b->memory_limit &&
	       a->routes == b->routes &&
	       (a->routes == 0 || memcmp(a->route, b->route, a->routes * sizeof(*a->route)) == 0) &&
	       policy_does(&session->import, b->import != NULL ? b->import : &everything) &&
	       policy_does(&session->export, b->export != NULL ? b->export : &everything);
}

static void take_declaration(struct served_session *session, const struct speaker_session *declared)
{
	static const struct policy everything = {.otherwise = POLICY_ACCEPT};
	struct speaker_session old = session->declared;
	struct policy old_import = session->import, old_export = session->export;

	policy_copy(&session->import, declared->import != NULL ? declared->import : &everything);
	policy_copy(&session->export, declared->export != NULL ? declared->export : &everything);
	session->declared = *declared;
	session->declared.name = text_copy(declared->name);
	session->declared.password =
		declared->password != NULL ? text_copy(declared->password) : NULL;
	session->declared.route =
		speakers_copy(declared->route, declared->routes * sizeof(*declared->route));
	session->declared.import = &session->import;
	session->declared.export = &session->export;
	policy_clear(&old_import);
	policy_clear(&old_export);
	free((char *)old.name);
	free((char *)old.password);
	free((struct ip_prefix *)old.route);
}

int speakers_session_set(
	struct speakers *speakers, const struct speaker_session *declared, struct api_error *error)
{
	struct served_domain *domain = served_domain(speakers, declared->domain);
	struct served_session *session = served_session(speakers, declared->id);

	if (domain == NULL)
		return api_fail(error, API_NOT_FOUND, NULL,
			"session \"%s\" names no domain with a speaker", declared->name);
	int result = domain->speaker->ops->accepts(declared, error);
	if (result != 0)
		return result;
	if (session != NULL && session->domain != domain) {
		speakers_session_delete(speakers, declared->id);
		session = NULL;
	}
	if (session != NULL && same_session(session, declared)) {
		take_declaration(session, declared);
		return 0;
	}
	if (session == NULL) {
		session = calloc(1, sizeof(*session));
		if (session == NULL)
			abort();
		session->id = declared->id;
		session->domain = domain;
		LIST_INSERT_HEAD(&domain->sessions, session, of_domain);
		TAILQ_INSERT_TAIL(&domain->speaker->sessions, session, link);
		domain->speaker->session_count++;
		table_add(&speakers->sessions, session);
	}
	take_declaration(session, declared);
	session->file.stale = true;
	session->ended = session->untold = false;
	steps_changed(domain->speaker);
	return 0;
}

void speakers_session_delete(struct speakers *speakers, uint32_t id)
{
	struct served_session *session = served_session(speakers, id);

	if (session == NULL)
		return;
	struct speaker *speaker = session->domain->speaker;
	speaker->ops->forget(speaker, session->domain, session);
	free_session(session);
	steps_changed(speaker);
}

void speakers_session_end(struct speakers *speakers, uint32_t id, const char *why)
{
	struct served_session *session = served_session(speakers, id);

	if (session == NULL || !session->declared.enabled)
		return;
	struct speaker *speaker = session->domain->speaker;
	session->declared.enabled = false;
	snprintf(session->state.reset, sizeof(session->state.reset), "Closed here: %s", why);
	session->state.reset_at = (uint64_t)time(NULL);
	session->state.reset_guessed = false;
	session->ended = !session->file.stale;
	session->file.stale = true;
	if (speaker->ops->end != NULL)
		speaker->ops->end(speaker, session, why);
	else
		steps_changed(speaker);
}

// --- questions

int speakers_ask(struct speakers *speakers, uint32_t id, enum speaker_question question,
	speaker_row row, speaker_done done, void *ctx)
{
	struct served_session *session = served_session(speakers, id);

	if (session == NULL)
		return -ENOENT;
	struct speaker *speaker = session->domain->speaker;
	// Whoever is answered while all ends may ask on.
	if (speakers->closing || speaker->closing)
		return -ENOTCONN;
	return speaker->ops->ask(speaker, session, question, row, done, ctx);
}

int speakers_clear(struct speakers *speakers, uint32_t id, bool soft, speaker_done done, void *ctx)
{
	struct served_session *session = served_session(speakers, id);

	if (session == NULL)
		return -ENOENT;
	struct speaker *speaker = session->domain->speaker;
	if (speakers->closing || speaker->closing)
		return -ENOTCONN;
	return speaker->ops->clear(speaker, session, soft, done, ctx);
}

const struct speaker_remark *speakers_remarks(
	struct speakers *speakers, uint32_t id, unsigned int *count)
{
	const struct served_session *session = served_session(speakers, id);

	*count = 0;
	if (session == NULL || session->domain->speaker->ops->remarks == NULL)
		return NULL;
	return session->domain->speaker->ops->remarks(session, count);
}

void speakers_restore(struct speakers *speakers, uint32_t id)
{
	struct served_domain *domain = served_domain(speakers, id);

	if (domain != NULL && domain->speaker->ops->restore != NULL && !domain->speaker->closing)
		domain->speaker->ops->restore(domain->speaker, domain);
}

// --- the whole

int speakers_create(
	struct speakers **out, const struct speakers_options *options, struct api_error *error)
{
	struct speakers *speakers = calloc(1, sizeof(*speakers));

	if (speakers == NULL)
		return api_fail(error, API_INTERNAL, NULL, "no memory for the speakers");
	signal(SIGPIPE, SIG_IGN); // a daemon may go away while it is being written to
	speakers->base = options->base;
	speakers->run_dir = text_copy(options->run_dir);
	speakers->launcher = text_copy(options->launcher);
	speakers->callbacks = options->callbacks;
	speakers->domains = TABLE_OF(struct served_domain, id);
	speakers->sessions = TABLE_OF(struct served_session, id);
	LIST_INIT(&speakers->list);
	LIST_INIT(&speakers->endings);
	TAILQ_INIT(&speakers->waiting);
	TAILQ_INIT(&speakers->news);
	speakers->tell = evtimer_new(speakers->base, on_tell, speakers);
	if (speakers->tell == NULL)
		abort();
	*out = speakers;
	return 0;
}

static void drop_speaker(struct speaker *speaker)
{
	struct served_session *session;
	struct served_domain *domain;

	speaker->closing = true;
	steps_end(speaker);
	speaker->ops->close(speaker); // answers what waits; sessions are still there to be named
	while ((session = TAILQ_FIRST(&speaker->sessions)) != NULL)
		free_session(session);
	while ((domain = TAILQ_FIRST(&speaker->domains)) != NULL)
		free_domain(domain);
}

void speakers_destroy(struct speakers *speakers)
{
	struct speaker *speaker;

	if (speakers == NULL)
		return;
	speakers->closing = true;
	LIST_FOREACH (speaker, &speakers->list, entry)
		drop_speaker(speaker);
	while ((speaker = LIST_FIRST(&speakers->list)) != NULL)
		speaker_free(speaker);
	speakers_forget_endings(speakers);
	event_free(speakers->tell);
	table_clear(&speakers->domains, NULL, NULL);
	table_clear(&speakers->sessions, NULL, NULL);
	free(speakers->run_dir);
	free(speakers->launcher);
	free(speakers);
}

void speakers_counters(const struct speakers *speakers, struct speaker_counters *counters)
{
	const struct speaker *speaker;

	*counters = speakers->counters;
	LIST_FOREACH (speaker, &speakers->list, entry)
		counters->pending += speaker->dirty || speaker->step != STEP_IDLE;
}
