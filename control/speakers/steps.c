// SPDX-License-Identifier: BSD-3-Clause
// From what is declared to what the daemon runs, one step at a time, the same for every kind of speaker:
//
//	IDLE    something is declared or withdrawn -> new files are written beside the old ones
//	WAIT    enough others check at this moment: a processor reads so many configurations at once and no more
//	CHECK   the speaker's own parser reads them. Refused: the session it complains of is quarantined (its last good
//	        text, if any, stays in use), its owner is told, and the rest is tried again
//	TELL    files renamed into place; the daemon takes them over, or is not there and is started
//
// Declarations come in bursts, so the first step waits until none has come for a moment - at the longest for as long as
// the parser takes for what there is. What is much is written and renamed in slices. What fails is tried again every
// second, and logged when the reason is another one.

#include "control/speakers/state.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"
#include "control/speakers/files.h"

#include <stdio.h>
#include <string.h>

#include <event2/event.h>

enum { GATHER_MS = 30, GATHER_SESSION_US = 1000, RETRY_MS = 1000, ENDING_MS = 100, CHECKS_MAX = 4 };

static void apply_after(struct speaker *speaker, unsigned int ms)
{
	const struct timeval delay = {ms / 1000, (ms % 1000) * 1000};

	event_add(speaker->apply, &delay);
}

void steps_changed(struct speaker *speaker)
{
	uint64_t now = clock_ns();

	if (speaker->closing)
		return;
	if (!speaker->dirty)
		speaker->gather_until = now + GATHER_MS * 1000000ull;
	else if (speaker->writing || now > speaker->gather_until +
						    speaker->session_count * GATHER_SESSION_US * 1000ull)
		return;
	speaker->dirty = true;
	if (speaker->step == STEP_IDLE)
		apply_after(speaker, GATHER_MS);
}

static void idle(struct speaker *speaker, unsigned int ms)
{
	speaker->step = STEP_IDLE;
	if (speaker->dirty)
		apply_after(speaker, ms);
}

// It did not work, for a reason outside of what was declared.
static void failed(struct speaker *speaker, const char *what)
{
	if (strcmp(speaker->trouble, what) != 0)
		log_error("speakers", "speaker cannot be configured",
			log_text("speaker", speaker->name), log_text("reason", what));
	snprintf(speaker->trouble, sizeof(speaker->trouble), "%s", what);
	speaker->dirty = true;
	idle(speaker, RETRY_MS);
}

static void leave_queue(struct speaker *speaker)
{
	struct speakers *speakers = speaker->speakers;

	if (speaker->step == STEP_WAIT) {
		TAILQ_REMOVE(&speakers->waiting, speaker, waiting);
	} else if (speaker->step == STEP_CHECK) {
		speakers->checks--;
		struct speaker *next = TAILQ_FIRST(&speakers->waiting);
		if (next != NULL)
			apply_after(next, 0);
	}
	speaker->step = STEP_IDLE;
}

static void start_check(struct speaker *speaker)
{
	char reason[96];

	speaker->step = STEP_IDLE;
	int result = speaker->ops->render(speaker);
	speaker->writing = result > 0;
	if (result > 0) {
		apply_after(speaker, 0);
		return;
	}
	speaker->dirty = false;
	if (result == 0) {
		speaker->step = STEP_CHECK;
		speaker->speakers->checks++;
		result = speaker->ops->check(speaker);
		if (result != 0)
			leave_queue(speaker);
	}
	if (result == 0)
		return;
	snprintf(reason, sizeof(reason), "files cannot be written or read in %.40s: %s",
		speaker->directory, strerror(-result));
	failed(speaker, reason);
	speaker_report_all(speaker, reason);
}

void steps_due(int fd, short what, void *ctx)
{
	struct speaker *speaker = ctx;
	struct speakers *speakers = speaker->speakers;

	turns_note("speakers: apply");
	if (speaker->step == STEP_TELL && speaker->writing) {
		speaker->writing = false;
		speaker->ops->tell(speaker);
		return;
	}
	if (speaker->step != STEP_IDLE && speaker->step != STEP_WAIT)
		return;
	if (speaker->step == STEP_WAIT)
		leave_queue(speaker);
	if (!speaker->dirty)
		return;
	if (speaker_is_ending(speakers, speaker->directory)) {
		apply_after(speaker, ENDING_MS); // what is there is of another, and goes
	} else if (speakers->checks >= CHECKS_MAX) {
		speaker->step = STEP_WAIT;
		TAILQ_INSERT_TAIL(&speakers->waiting, speaker, waiting);
	} else {
		start_check(speaker);
	}
}

// --- refusals

static void quarantine(struct served_session *session, const char *reason)
{
	struct speaker_state state = session->state;

	session->file.refused = true;
	snprintf(session->refusal, sizeof(session->refusal),
		"configuration refused by the speaker: %.80s", reason);
	session->domain->speaker->speakers->counters.quarantined++;
	log_error("speakers", "speaker refuses a session",
		log_text("session", session->declared.name), log_text("reason", reason));
	if (state.state[0] == '\0')
		snprintf(state.state, sizeof(state.state), "down");
	speaker_report(session, &state);
}

// With nobody named, when only one is new it was that one, else each in turn is left out until the rest is good.
static struct served_session *suspect(const struct speaker *speaker)
{
	struct served_session *session;

	TAILQ_FOREACH (session, &speaker->sessions, link)
		if (speaker_file_is_new(&session->file))
			return session;
	return NULL;
}

static void refused(struct speaker *speaker, const char *complaint, struct served_session *blamed)
{
	if (blamed == NULL || !speaker_file_is_new(&blamed->file))
		blamed = suspect(speaker);
	if (blamed == NULL) {
		failed(speaker, complaint);
		return;
	}
	quarantine(blamed, complaint);
	speaker->dirty = true;
	idle(speaker, 0);
}

void steps_checked(struct speaker *speaker, const char *complaint, struct served_session *blamed)
{
	leave_queue(speaker);
	if (complaint != NULL) {
		refused(speaker, complaint, blamed);
		return;
	}
	speaker->step = STEP_TELL;
	speaker->ops->tell(speaker);
}

void steps_tell_more(struct speaker *speaker)
{
	speaker->writing = true;
	apply_after(speaker, 0);
}

void steps_told(struct speaker *speaker, const char *complaint)
{
	speaker->step = STEP_IDLE;
	if (complaint != NULL) {
		failed(speaker, complaint);
		return;
	}
	speaker->trouble[0] = '\0';
	idle(speaker, GATHER_MS);
}

void steps_end(struct speaker *speaker)
{
	leave_queue(speaker);
	speaker->dirty = false;
}
