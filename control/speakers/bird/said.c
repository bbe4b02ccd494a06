// SPDX-License-Identifier: BSD-3-Clause
// What the daemon's log has of the far ends (class `remote`): why a session ended, in their own words (RFC 9003) where they
// gave some, and what of their announcements was thrown away before any filter saw it. With each poll what is new is read, of
// a flood the end; from the beginning of our life the last part of what is there. Lines look like
//
//	2026-11-21 02:24:46 <RMT> p7: Received: Administrative shutdown: "maintenance"
//	2026-11-21 02:24:46 <RMT> p7: Invalid NEXT_HOP attribute - address 10.1.0.1 not directly reachable
//	2026-11-21 02:24:46 <RMT> p7: Invalid route 10.5.0.0/16 withdrawn
//	2026-11-21 02:24:46 <WARN> Ignoring bogus route 127.1.0.0/16 received via p7

#include "control/speakers/bird/bird.h"

#include "control/api/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ_MAX = 32768 };

struct said { // of a session
	char reset[SPEAKER_RESET_BYTES];
	uint64_t reset_at;
	char reason[SPEAKER_REMARK_BYTES]; // of the routes that are named next
	unsigned int count;
	struct speaker_remark remark[SPEAKER_REMARKS];
};

static void quote(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
	api_text_mend(to);
}

static void remark(struct said *said, uint64_t when, const struct ip_prefix *prefix, const char *text)
{
	struct speaker_remark *at = NULL;

	for (unsigned int i = 0; i < said->count && at == NULL; i++)
		if (ip_prefix_compare(&said->remark[i].prefix, prefix) == 0 &&
			strcmp(said->remark[i].text, text) == 0)
			at = &said->remark[i];
	if (at == NULL && said->count == SPEAKER_REMARKS) {
		memmove(&said->remark[0], &said->remark[1],
			(SPEAKER_REMARKS - 1) * sizeof(said->remark[0]));
		said->count--;
	}
	if (at == NULL) {
		at = &said->remark[said->count++];
		*at = (struct speaker_remark){.prefix = *prefix};
		snprintf(at->text, sizeof(at->text), "%s", text);
	}
	at->count++;
	at->last = when;
}

// The reason is the last remark, just made.
static bool is_last_alone(const struct said *said)
{
	if (said->count == 0)
		return false;
	const struct speaker_remark *last = &said->remark[said->count - 1];
	return last->prefix.address.family == 0 && last->count == 1 &&
	       strcmp(last->text, said->reason) == 0;
}

static void take(struct said *said, uint64_t when, const char *text)
{
	const struct ip_prefix none = {.len = 0};
	struct ip_prefix prefix;
	char word[IP_TEXT_MAX];

	if (strncmp(text, "Received: ", 10) == 0 || strncmp(text, "Error: ", 7) == 0) {
		quote(said->reset, sizeof(said->reset), text);
		said->reset_at = when;
	} else if (sscanf(text, "Invalid route %63s withdrawn", word) == 1 &&
		   ip_prefix_parse(word, &prefix) == 0) {
		if (is_last_alone(said))
			said->count--; // it is said with the route
		remark(said, when, &prefix,
			said->reason[0] != '\0' ? said->reason : "malformed attributes");
	} else {
		quote(said->reason, sizeof(said->reason), text);
		remark(said, when, &none, said->reason);
	}
}

static struct said *said_of(struct served_session *session)
{
	if (session->own == NULL)
		session->own = calloc(1, sizeof(struct said));
	if (session->own == NULL)
		abort();
	return session->own;
}

// "<RMT> p7: words", or "<WARN> Ignoring bogus route 127.1.0.0/16 received via p7".
static struct served_session *whose(
	const struct speaker *speaker, const char *text, const char **words, struct ip_prefix *bogus)
{
	const char *said = strstr(text, " <RMT> p"),
		   *ignored = strstr(text, " <WARN> Ignoring bogus ");
	char word[IP_TEXT_MAX];
	unsigned int id;
	int used = 0;

	*words = NULL;
	if (said != NULL && sscanf(said, " <RMT> p%u: %n", &id, &used) == 1 && used > 0)
		*words = said + used;
	else if (ignored == NULL ||
		 sscanf(ignored, " <WARN> Ignoring bogus %*s %63s received via p%u", word, &id) != 2 ||
		 ip_prefix_parse(word, bogus) != 0)
		return NULL;
	struct served_session *session = served_session(speaker->speakers, id);
	return session != NULL && session->domain->speaker == speaker ? session : NULL;
}

static void line(const struct speaker *speaker, const char *text)
{
	struct tm tm = {.tm_isdst = -1};
	struct ip_prefix bogus;
	const char *words;
	struct served_session *session = whose(speaker, text, &words, &bogus);

	if (session == NULL || sscanf(text, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon,
				       &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	uint64_t when = (uint64_t)mktime(&tm);
	if (words != NULL)
		take(said_of(session), when, words);
	else
		remark(said_of(session), when, &bogus, "no network of hosts has this prefix");
}

void said_read(struct speaker *speaker)
{
	struct bird *bird = speaker->own;
	struct stat there;
	char path[560], *buffer, *at, *end;

	snprintf(path, sizeof(path), "%s/bird.log", speaker->directory);
	if (stat(path, &there) != 0)
		return;
	if (there.st_ino != bird->log_inode || there.st_size < bird->log_read)
		bird->log_read = 0;
	bird->log_inode = there.st_ino;
	if (there.st_size == bird->log_read)
		return;
	if (there.st_size - bird->log_read > READ_MAX)
		bird->log_read = there.st_size - READ_MAX;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return;
	buffer = malloc(READ_MAX + 1);
	if (buffer == NULL)
		abort();
	ssize_t got = pread(fd, buffer, READ_MAX, bird->log_read);
	close(fd);
	buffer[got > 0 ? got : 0] = '\0';
	for (at = buffer; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		*end = '\0';
		line(speaker, at);
	}
	bird->log_read += at - buffer;
	free(buffer);
}

void said_fill(const struct served_session *session, struct speaker_state *state)
{
	const struct said *said = session->own;

	if (said == NULL || said->reset_at == 0)
		return;
	snprintf(state->reset, sizeof(state->reset), "%s", said->reset);
	state->reset_at = said->reset_at;
}

// A session that came up again begins with nothing: what is announced anew is remarked anew.
static void forget_before(struct said *said, uint64_t since)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < said->count; i++)
		if (said->remark[i].last >= since)
			said->remark[kept++] = said->remark[i];
	said->count = kept;
}

const struct speaker_remark *said_remarks(const struct served_session *session, unsigned int *count)
{
	struct said *said = session->own;

	if (said != NULL && speaker_state_up(session->state.state))
		forget_before(said, session->state.since);

	*count = said != NULL ? said->count : 0;
	return said != NULL ? said->remark : NULL;
}
