// SPDX-License-Identifier: BSD-3-Clause
// Session states, as BIRD tells them: once a second `show protocols`, with all details for a daemon of few
// sessions, and for one of many only every tenth time (its answer is thirty lines a session). BIRD has no
// notifications, and one answer shows all sessions, so a poll is cheap. A change is reported once.
//
// A session that is wanted and that BIRD has disabled for want of a listening socket (another daemon held the port when
// it started) is enabled again: by itself BIRD does not try twice.

#include "control/speakers/bird/bird.h"

#include "control/api/text.h"
#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

enum { FEW_SESSIONS = 50, DETAILS_EVERY = 10, ENABLE_EVERY = 3, FAREWELL_MS = 10, FAREWELLS = 500 };

struct bird_reader {
	struct served_session *session; // whose lines are being read, NULL = nobody's
	bool details, down;
	struct speaker_state state;
};

struct bird_reader *session_reader_new(void)
{
	return calloc(1, sizeof(struct bird_reader));
}

static void enable_again(const struct bird *bird, const struct served_session *session)
{
	char command[32];

	if (bird->polls % ENABLE_EVERY != 0)
		return;
	snprintf(command, sizeof(command), "enable p%u", session->id);
	log_warning("speakers", "session without a listening socket is enabled again",
		log_text("session", session->declared.name));
	birdc_command(bird->control, command, NULL, NULL, NULL);
}

// What the kernel drops of a session vanishes without an error; it is counted for all of a network namespace.
enum { DROP_MD5_MISSING, DROP_MD5_UNEXPECTED, DROP_MD5_WRONG, DROP_TTL, DROPS };
#define DROP_FRESH_NS 15000000000u
#define SILENT_NS     10000000000u

static void drops_look(const struct speaker *speaker)
{
	static const char *const names[DROPS] = {
		"TCPMD5NotFound", "TCPMD5Unexpected", "TCPMD5Failure", "TCPMinTTLDrop"};
	struct bird *bird = speaker->own;
	char path[64], titles[8192], values[8192], *title, *value, *after[2] = {NULL, NULL};

	snprintf(path, sizeof(path), "/proc/%d/net/netstat", birdc_pid(bird->control));
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return;
	bool read = fgets(titles, sizeof(titles), file) != NULL &&
		    fgets(values, sizeof(values), file) != NULL;
	fclose(file);
	if (!read)
		return;
	title = strtok_r(titles, " \n", &after[0]);
	value = strtok_r(values, " \n", &after[1]);
	for (; title != NULL && value != NULL;
		title = strtok_r(NULL, " \n", &after[0]), value = strtok_r(NULL, " \n", &after[1]))
		for (unsigned int i = 0; i < DROPS; i++) {
			if (strcmp(title, names[i]) != 0)
				continue;
			uint64_t count = strtoull(value, NULL, 10);
			if (bird->drops.known && count > bird->drops.count[i])
				bird->drops.seen[i] = clock_ns();
			bird->drops.count[i] = count;
		}
	bird->drops.known = true;
}

// A session whose packets are dropped for this reason may be this one.
static bool may_drop(const struct served_session *session, unsigned int drop)
{
	const struct speaker_session *declared = &session->declared;

	if (drop == DROP_TTL)
		return declared->ttl_security;
	return (drop == DROP_MD5_UNEXPECTED) == (declared->password == NULL);
}

// Other sessions of the namespace that may be meant as well.
static bool alone(const struct served_session *session, unsigned int drop)
{
	const struct served_session *other;

	TAILQ_FOREACH (other, &session->domain->speaker->sessions, link)
		if (other != session && other->declared.enabled &&
			strcmp(other->state.state, "established") != 0 && may_drop(other, drop))
			return false;
	return true;
}

// --- why one that is up does not work

// What a far end never acknowledges is sent again and again by the kernel, and the session is up until its own hold time is
// over: his router may have taken it for another one, which never came up. Once in ten polls, for a daemon of few sessions.
enum { RESENT_OFTEN = 5 }; // of 200 ms, doubled each time: 6 s

static void resent(struct speaker *speaker, const char *line, uint8_t family)
{
	struct ip_address remote = {.family = family};
	struct served_session *session;
	unsigned int state, times, used = 0;
	char address[33];

	if (sscanf(line, " %*d: %*[0-9A-F]:%*x %32[0-9A-F]:%*x %x %*x:%*x %*x:%*x %x", address,
		    &state, &times) != 3 ||
		state != 1 || times < RESENT_OFTEN || strlen(address) != (family == 4 ? 8 : 32))
		return;
	for (const char *word = address; *word != '\0'; word += 8, used += 4) {
		char text[9] = "";
		memcpy(text, word, 8);
		uint32_t value = (uint32_t)strtoul(text, NULL, 16); // as it lies in memory
		memcpy(remote.bytes + used, &value, 4);
	}
	TAILQ_FOREACH (session, &speaker->sessions, link)
		if (ip_address_compare(&session->declared.remote, &remote) == 0)
			session->stuck = true;
}

static void resent_look(struct speaker *speaker)
{
	const struct bird *bird = speaker->own;
	struct served_session *session;
	char path[64], line[256];

	TAILQ_FOREACH (session, &speaker->sessions, link)
		session->stuck = false;
	for (uint8_t family = 4; family <= 6; family += 2) {
		snprintf(path, sizeof(path), "/proc/%d/net/tcp%s", birdc_pid(bird->control),
			family == 6 ? "6" : "");
		FILE *file = fopen(path, "re");
		if (file == NULL)
			continue;
		while (fgets(line, sizeof(line), file) != NULL)
			resent(speaker, line, family);
		fclose(file);
	}
}

static void explain_stuck(const struct served_session *session, struct speaker_state *shown)
{
	bool ttl = !session->declared.ttl_security;

	shown->fault = ttl ? SPEAKER_TTL_THERE : SPEAKER_UNANSWERED;
	snprintf(shown->detail, sizeof(shown->detail),
		"what we send is not acknowledged: a filter, a smaller MTU on the way%s",
		ttl ? ", or TTL security that is set on his router alone" : "");
}

// --- why it does not come up

// Who has nothing there that listens says so; silence is something that drops.
enum trying { TRYING_NOT, TRYING_TCP, TRYING_BGP };

static enum trying trying(const struct speaker_state *shown)
{
	if (strcmp(shown->state, "opensent") == 0 || strcmp(shown->state, "openconfirm") == 0)
		return TRYING_BGP;
	bool tries = strcmp(shown->state, "connect") == 0 || strcmp(shown->state, "active") == 0;
	bool silent = shown->detail[0] == '\0' || strstr(shown->detail, "timed out") != NULL;
	return tries && silent ? TRYING_TCP : TRYING_NOT;
}

static void explain_silence(struct served_session *session, struct speaker_state *shown)
{
	enum trying now = trying(shown);
	bool ttl = !session->declared.ttl_security;

	if (now != session->trying)
		session->trying_at = clock_ns();
	session->trying = now;
	if (now == TRYING_NOT || clock_ns() - session->trying_at < SILENT_NS)
		return;
	shown->fault = now == TRYING_BGP && ttl ? SPEAKER_TTL_THERE : SPEAKER_UNANSWERED;
	if (now == TRYING_TCP)
		snprintf(shown->detail, sizeof(shown->detail),
			"his router does not answer TCP: a filter, or %s that is set there alone",
			ttl ? "an MD5 password or TTL security" : "an MD5 password");
	else
		snprintf(shown->detail, sizeof(shown->detail),
			"there is a connection, and what we send over it is not answered: a "
			"filter%s",
			ttl ? ", or TTL security that is set on his router alone" : "");
}

static void explain(
	struct served_session *session, const struct bird *bird, struct speaker_state *shown)
{
	static const char *const words[DROPS] = {"packets come without the MD5 password",
		"packets come with an MD5 password, and none is set here",
		"packets come with another MD5 password",
		"packets come with a TTL below 255: TTL security is set here, and not on his "
		"router"};
	uint64_t now = clock_ns();

	if (strstr(shown->detail, "limit exceeded") != NULL) {
		snprintf(shown->detail, sizeof(shown->detail),
			"more than %u prefixes: the session stays down until peering clear",
			session->declared.memory_limit);
		shown->fault = SPEAKER_LIMIT;
		return;
	}
	explain_silence(session, shown);
	for (unsigned int i = 0; i < DROPS; i++) {
		if (!may_drop(session, i) || bird->drops.seen[i] == 0 ||
			now - bird->drops.seen[i] >= DROP_FRESH_NS)
			continue;
		snprintf(shown->detail, sizeof(shown->detail), "%s%s", words[i],
			alone(session, i) ? "" : " (here, or in another session)");
		shown->fault = i == DROP_TTL ? SPEAKER_TTL : SPEAKER_PASSWORD;
	}
}

// What he said when he closed it explains more than what a new connection meets with since.
static void quote(const struct served_session *session, struct speaker_state *shown)
{
	char since[96];

	if (strncmp(shown->reset, "Received: ", 10) != 0 || shown->reset_at + 1 < session->up_at)
		return;
	snprintf(since, sizeof(since), "%.95s", shown->detail);
	bool more = since[0] != '\0' && strncmp(shown->reset, since, strlen(since)) != 0;
	snprintf(shown->detail, sizeof(shown->detail), "%s%s%s", shown->reset,
		more ? "; since then: " : "", more ? since : "");
	api_text_mend(shown->detail);
}

static void flush(const struct bird *bird)
{
	struct bird_reader *reader = bird->reader;
	struct served_session *session = reader->session;

	reader->session = NULL;
	if (session == NULL)
		return;
	if (reader->down && session->declared.enabled && !session->file.refused &&
		strstr(reader->state.detail, "No listening socket") != NULL)
		enable_again(bird, session);
	bool up = strcmp(reader->state.state, "established") == 0;
	if (up || reader->state.imported == 0)
		reader->state.kept_until = 0;
	if (up)
		session->up_at = (uint64_t)time(NULL);
	said_fill(session, &reader->state);
	if (session->declared.enabled && !up) {
		explain(session, bird, &reader->state);
		quote(session, &reader->state);
	}
	if (up && session->stuck)
		explain_stuck(session, &reader->state);
	speaker_report(session, &reader->state);
}

static void lower(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; i + 1 < size && from[i] != '\0' && !isspace((unsigned char)from[i]); i++)
		to[i] = (char)tolower((unsigned char)from[i]);
	to[i] = '\0';
}

// BIRD counts in CLOCK_MONOTONIC and shows what that is by the wall clock of now: when the clock is set it shows another
// time of the same moment.
static void take_time(struct speaker_state *shown, const char *date, const char *clock)
{
	struct tm tm = {.tm_isdst = -1};
	struct timespec now;
	int ms = 0;

	if (sscanf(date, "%d-%d-%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) != 3 ||
		sscanf(clock, "%d:%d:%d.%3d", &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms) < 3)
		return;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	shown->since = (uint64_t)mktime(&tm);
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age =
		((int64_t)now.tv_sec - (int64_t)shown->since) * 1000 + now.tv_nsec / 1000000 - ms;
	shown->moment = (uint64_t)((int64_t)(clock_ns() / 1000000) - age);
}

// "p7  BGP  ---  up  2026-11-21 02:24:46.120  Established   "
static void header_line(struct speaker *speaker, const char *text)
{
	struct bird *bird = speaker->own;
	struct bird_reader *reader = bird->reader;
	char state[16] = "", date[16] = "", clock[16] = "";
	unsigned int id;
	int used = 0;

	flush(bird);
	if (sscanf(text, "p%u BGP %*s %15s %15s %15s %n", &id, state, date, clock, &used) < 4 ||
		used == 0)
		return;
	struct served_session *session = served_session(speaker->speakers, id);
	if (session == NULL || session->domain->speaker != speaker)
		return;
	struct speaker_state *shown = &reader->state;
	*shown = (struct speaker_state){0};
	take_time(shown, date, clock);
	reader->session = session;
	reader->down = strcmp(state, "down") == 0;
	session->polled = bird->polls;
	const char *info = text + used;
	lower(shown->state, sizeof(shown->state), *info != '\0' ? info : state);
	if (reader->down)
		snprintf(shown->state, sizeof(shown->state), "down");
	info += strcspn(info, " ");
	info += strspn(info, " ");
	if (strcmp(shown->state, "established") != 0)
		snprintf(shown->detail, sizeof(shown->detail), "%.*s", (int)strcspn(info, "\r\n"),
			info);
	bool up = strcmp(shown->state, "established") == 0;
	if (!reader->details && (up || session->state.kept_until > (uint64_t)time(NULL))) {
		shown->kept_until = session->state.kept_until;
		shown->imported = session->state.imported;
		shown->filtered = session->state.filtered;
		shown->exported = session->state.exported;
		shown->hold = session->state.hold;
		shown->keepalive = session->state.keepalive;
		shown->in = session->state.in;
		shown->out = session->state.out;
		shown->invalid = session->state.invalid;
	}
}

// "      Import updates:              2          0          1          0          1", "---" where it does not apply
static bool change_line(struct speaker_state *shown, const char *text)
{
	char rejected[16];
	unsigned int count;

	if (sscanf(text, "Import updates: %u %15s", &count, rejected) == 2) {
		shown->in.updates += count;
		shown->invalid += (uint32_t)strtoul(rejected, NULL, 10);
	} else if (sscanf(text, "Import withdraws: %u", &count) == 1) {
		shown->in.withdraws += count;
	} else if (sscanf(text, "Export updates: %*s %*s %*s %*s %u", &count) == 1) {
		shown->out.updates += count;
	} else if (sscanf(text, "Export withdraws: %*s %*s %*s %*s %u", &count) == 1) {
		shown->out.withdraws += count;
	} else {
		return false;
	}
	return true;
}

static void detail_line(struct bird_reader *reader, const char *text)
{
	struct speaker_state *shown = &reader->state;
	unsigned int imported, filtered, exported, left;

	text += strspn(text, " ");
	if (change_line(shown, text))
		return;
	if (sscanf(text, "Hold timer: %*[0-9.]/%hu", &shown->hold) == 1 ||
		sscanf(text, "Keepalive timer: %*[0-9.]/%hu", &shown->keepalive) == 1)
		return;
	if (sscanf(text, "Restart timer: %u", &left) == 1)
		shown->kept_until = (uint64_t)time(NULL) + left;
	else if (strncmp(text, "Routes:", 7) == 0 &&
		sscanf(text + 7, " %u imported, %u filtered, %u exported", &imported, &filtered,
			&exported) == 3) {
		shown->imported += imported;
		shown->filtered += filtered;
		shown->exported += exported;
	} else if (strncmp(text, "Last error:", 11) == 0 &&
		   strcmp(shown->state, "established") != 0) {
		text += 11;
		snprintf(shown->detail, sizeof(shown->detail), "%s", text + strspn(text, " "));
	}
}

static void on_line(void *ctx, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;

	if (code == 1002)
		header_line(speaker, text);
	else if (code == 1006 && bird->reader->session != NULL)
		detail_line(bird->reader, text);
}

static void on_done(void *ctx, int error, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;
	struct served_session *session, *next;

	if (error == -ECANCELED)
		return;
	bird->polling = false;
	if (error != 0) {
		bird->reader->session = NULL;
		return;
	}
	flush(bird);
	bird->down = false;
	// Whom the daemon does not know (yet, or any more).
	TAILQ_FOREACH_SAFE(session, &speaker->sessions, link, next)
	{
		const struct speaker_state state = {.state = "down"};
		if (session->asked == bird->polls && session->polled != bird->polls)
			speaker_report(session, &state);
		bird->down =
			bird->down || (session->declared.enabled &&
					      strcmp(session->state.state, "established") != 0);
	}
}

void session_poll(struct speaker *speaker)
{
	struct bird *bird = speaker->own;
	struct served_session *session;

	if (bird->polling || TAILQ_EMPTY(&speaker->sessions))
		return;
	said_read(speaker);
	if (bird->down)
		drops_look(speaker);
	if (bird->polls++ % DETAILS_EVERY == 0 && speaker->session_count <= FEW_SESSIONS)
		resent_look(speaker);
	TAILQ_FOREACH (session, &speaker->sessions, link)
		session->asked = bird->polls; // of one that is declared meanwhile it may say nothing
	bird->reader->details =
		speaker->session_count <= FEW_SESSIONS || bird->polls % DETAILS_EVERY == 1;
	bird->reader->session = NULL;
	const char *command =
		bird->reader->details ? "show protocols all \"p*\"" : "show protocols \"p*\"";
	bird->polling = birdc_command(bird->control, command, on_line, on_done, speaker) == 0;
}

// --- sessions that end

// "p7  BGP  ---  stop  2026-11-21 02:24:46.120  Close   "
static void farewell_line(void *ctx, unsigned int code, const char *text)
{
	const struct speaker_state down = {.state = "down"};
	struct speaker *speaker = ctx;
	char info[16] = "", state[16];
	unsigned int id;

	if (code != 1002 || sscanf(text, "p%u BGP %*s %*s %*s %*s %15s", &id, info) < 1)
		return;
	struct served_session *session = served_session(speaker->speakers, id);
	lower(state, sizeof(state), info);
	if (session == NULL || !session->untold || speaker_state_open(state))
		return;
	session->untold = false;
	speaker_report(session, &down);
}

static void farewell_done(void *ctx, int error, unsigned int code, const char *text)
{
	const struct timeval soon = {0, FAREWELL_MS * 1000};
	const struct speaker *speaker = ctx;

	if (error != -ECANCELED)
		event_add(((struct bird *)speaker->own)->farewell, &soon);
}

void session_farewells(int fd, short what, void *ctx)
{
	struct speaker *speaker = ctx;
	const struct bird *bird = speaker->own;
	struct served_session *session;
	char command[40];
	unsigned int asked = 0;

	turns_note("bird: farewells");
	TAILQ_FOREACH (session, &speaker->sessions, link) {
		if (!session->untold || asked == FAREWELLS)
			continue;
		snprintf(command, sizeof(command), "show protocols p%u", session->id);
		if (birdc_command(bird->control, command, farewell_line,
			    ++asked == 1 ? farewell_done : NULL, speaker) != 0)
			return; // gone, and its sessions with it
	}
}
