// SPDX-License-Identifier: BSD-3-Clause
// Session states, as the speaker tells them: once a second `show protocols`, with all details for a speaker of few
// sessions, and for one of many only every tenth time (its answer is thirty lines a session). BIRD has no
// notifications, and one answer shows all sessions of a speaker, so a poll is cheap. A change is reported once.

#include "control/bridge/speaker.h"

#include "control/bridge/birdc.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FEW_SESSIONS = 50, DETAILS_EVERY = 10 };

struct session_reader {
	struct peering *peering; // whose lines are being read, NULL = nobody's
	bool details;
	struct bridge_session session;
};

struct session_reader *session_new(void)
{
	return calloc(1, sizeof(struct session_reader));
}

void session_free(struct speaker *speaker)
{
	free(speaker->sessions);
	speaker->sessions = NULL;
}

static bool same(const struct bridge_session *a, const struct bridge_session *b)
{
	return strcmp(a->state, b->state) == 0 && a->since == b->since &&
	       strcmp(a->detail, b->detail) == 0 && a->imported == b->imported &&
	       a->filtered == b->filtered && a->exported == b->exported;
}

static void report(struct peering *peering, const struct bridge_session *session)
{
	const struct bridge_callbacks *callbacks = &peering->domain->space->bridge->callbacks;
	struct bridge_session shown = *session;

	if (peering->quarantined)
		snprintf(shown.detail, sizeof(shown.detail), "%s", peering->refusal);
	if (shown.since == 0)
		shown.since =
			strcmp(shown.state, peering->session.state) == 0 && peering->session.since
				? peering->session.since
				: (uint64_t)time(NULL);
	if (peering->reported && same(&shown, &peering->session))
		return;
	peering->reported = true;
	peering->session = shown;
	callbacks->session(callbacks->ctx, peering->declared.id, &shown);
}

static void flush(struct session_reader *reader)
{
	if (reader->peering)
		report(reader->peering, &reader->session);
	reader->peering = NULL;
}

static void lower(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; i + 1 < size && from[i] && !isspace((unsigned char)from[i]); i++)
		to[i] = (char)tolower((unsigned char)from[i]);
	to[i] = '\0';
}

// "p7  BGP  ---  up  2026-11-21 02:24:46  Established   "
static void header_line(struct speaker *speaker, const char *text)
{
	struct session_reader *reader = speaker->sessions;
	char state[16] = "", date[16] = "", clock[16] = "";
	unsigned int id;
	int used = 0;
	struct tm tm = {.tm_isdst = -1};

	flush(reader);
	if (sscanf(text, "p%u BGP %*s %15s %15s %15s %n", &id, state, date, clock, &used) < 4 ||
		used == 0)
		return;
	struct peering *peering = idmap_get(&speaker->space->bridge->peerings, id);
	if (peering == NULL || peering->domain->space->speaker != speaker)
		return;
	struct bridge_session *session = &reader->session;
	*session = (struct bridge_session){0};
	reader->peering = peering;
	peering->polled = speaker->polls;
	if (sscanf(date, "%d-%d-%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) == 3 &&
		sscanf(clock, "%d:%d:%d", &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 3) {
		tm.tm_year -= 1900;
		tm.tm_mon -= 1;
		session->since = (uint64_t)mktime(&tm);
	}
	const char *info = text + used;
	lower(session->state, sizeof(session->state), *info ? info : state);
	if (strcmp(state, "down") == 0)
		snprintf(session->state, sizeof(session->state), "down");
	info += strcspn(info, " ");
	info += strspn(info, " ");
	if (strcmp(session->state, "established") != 0)
		snprintf(session->detail, sizeof(session->detail), "%.*s",
			(int)strcspn(info, "\r\n"), info);
	if (!reader->details) {
		session->imported = peering->session.imported;
		session->filtered = peering->session.filtered;
		session->exported = peering->session.exported;
	}
}

static void detail_line(struct session_reader *reader, const char *text)
{
	struct bridge_session *session = &reader->session;
	unsigned int imported, filtered, exported;

	text += strspn(text, " ");
	if (strncmp(text, "Routes:", 7) == 0 &&
		sscanf(text + 7, " %u imported, %u filtered, %u exported", &imported, &filtered,
			&exported) == 3) {
		session->imported += imported;
		session->filtered += filtered;
		session->exported += exported;
	} else if (strncmp(text, "Last error:", 11) == 0 &&
		   strcmp(session->state, "established") != 0) {
		text += 11;
		snprintf(session->detail, sizeof(session->detail), "%s", text + strspn(text, " "));
	}
}

static void on_line(void *ctx, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;

	if (code == 1002)
		header_line(speaker, text);
	else if (code == 1006 && speaker->sessions->peering)
		detail_line(speaker->sessions, text);
}

static void on_done(void *ctx, int error, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;
	struct peering *peering;

	if (error == -ECANCELED)
		return;
	speaker->polling = false;
	if (error) {
		speaker->sessions->peering = NULL;
		return;
	}
	flush(speaker->sessions);
	// Whom the daemon does not know (yet, or any more).
	TAILQ_FOREACH (peering, &speaker->peerings, entry) {
		struct bridge_session session = {.state = "down"};
		if (peering->polled != speaker->polls)
			report(peering, &session);
	}
}

void session_poll(struct speaker *speaker)
{
	struct peering *peering;
	unsigned int count = 0;

	if (speaker->polling || TAILQ_EMPTY(&speaker->peerings))
		return;
	TAILQ_FOREACH (peering, &speaker->peerings, entry)
		count++;
	speaker->polls++;
	speaker->sessions->details = count <= FEW_SESSIONS || speaker->polls % DETAILS_EVERY == 1;
	speaker->sessions->peering = NULL;
	const char *command =
		speaker->sessions->details ? "show protocols all \"p*\"" : "show protocols \"p*\"";
	speaker->polling = birdc_command(speaker->control, command, on_line, on_done, speaker) == 0;
}

void session_lost(struct speaker *speaker)
{
	struct peering *peering;
	struct bridge_session session = {
		.state = "down", .detail = "the BGP daemon does not answer"};

	if (speaker->closing)
		return;
	TAILQ_FOREACH (peering, &speaker->peerings, entry)
		report(peering, &session);
}
