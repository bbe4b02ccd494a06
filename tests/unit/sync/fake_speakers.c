// SPDX-License-Identifier: BSD-3-Clause
// Speakers without a daemon: remember what they were told, say what a test wants said.

#include "tests/unit/sync/fixture.h"

#include <errno.h>

struct fake_speakers fake_speakers;

struct speakers {
	int unused;
};
static struct speakers the_speakers;

int speakers_create(
	struct speakers **speakers, const struct speakers_options *options, struct api_error *error)
{
	memset(&fake_speakers, 0, sizeof(fake_speakers));
	fake_speakers.callbacks = options->callbacks;
	*speakers = &the_speakers;
	return 0;
}

void speakers_destroy(struct speakers *speakers)
{
}

int speakers_domain_set(
	struct speakers *speakers, const struct speaker_domain *domain, struct api_error *error)
{
	assert_true(domain->id < FAKE_OBJECTS);
	if (fake_speakers.refuse_domain == 0)
		fake_speakers.domain_there[domain->id] = true;
	return fake_speakers.refuse_domain;
}

void speakers_domain_delete(struct speakers *speakers, uint32_t id)
{
	if (id < FAKE_OBJECTS)
		fake_speakers.domain_there[id] = false;
}

static bool *session_there(uint32_t id)
{
	uint32_t interface = session_interface(id);

	assert_true(interface < FAKE_OBJECTS);
	return interface == id ? &fake_speakers.session_there[id]
			       : &fake_speakers.second_there[interface];
}

int speakers_session_set(
	struct speakers *speakers, const struct speaker_session *session, struct api_error *error)
{
	bool *there = session_there(session->id);

	if (fake_speakers.refuse_session != 0)
		return fake_speakers.refuse_session;
	if (!fake_speakers.domain_there[session->domain])
		return -ENOENT;
	fake_speakers.sessions += !*there;
	*there = true;
	return 0;
}

void speakers_session_delete(struct speakers *speakers, uint32_t id)
{
	bool *there = session_there(id);

	fake_speakers.sessions -= *there;
	fake_speakers.session_deletes += *there && id < FAKE_OBJECTS;
	*there = false;
}

void speakers_session_end(struct speakers *speakers, uint32_t id, const char *why)
{
}

const struct speaker_remark *speakers_remarks(
	struct speakers *speakers, uint32_t id, unsigned int *count)
{
	*count = 0;
	return NULL;
}

int speakers_announce(struct speakers *speakers, uint32_t domain,
	const struct speaker_group *groups, unsigned int count)
{
	unsigned int sum = 0;

	if (!fake_speakers.domain_there[domain])
		return -ENOENT;
	for (unsigned int i = 0; i < count; i++) {
		if (groups[i].state == SPEAKER_AS_BEFORE)
			return 0;
		sum += groups[i].state == SPEAKER_ANNOUNCED ? groups[i].count : 0;
	}
	fake_speakers.announced[domain] = sum;
	return 0;
}

int speakers_ask(struct speakers *speakers, uint32_t session, enum speaker_question question,
	speaker_row row, speaker_done done, void *ctx)
{
	return -ENOENT;
}

void speakers_restore(struct speakers *speakers, uint32_t domain)
{
}

int speakers_clear(
	struct speakers *speakers, uint32_t session, bool soft, speaker_done done, void *ctx)
{
	int refused = fake_speakers.refuse_clear;

	fake_speakers.refuse_clear = 0;
	if (refused != 0)
		return refused;
	assert_true(fake_speakers.clears < 8);
	fake_speakers.clear[fake_speakers.clears].done = done;
	fake_speakers.clear[fake_speakers.clears++].ctx = ctx;
	return 0;
}

void speakers_sweep(struct speakers *speakers)
{
	fake_speakers.sweeps++;
}

void speakers_counters(const struct speakers *speakers, struct speaker_counters *counters)
{
	memset(counters, 0, sizeof(*counters));
}

void speaker_says_another_session(uint32_t session, const char *text)
{
	fake_speakers.moment++;
	speaker_says_session(session, text);
}

void speaker_says_session(uint32_t session, const char *text)
{
	struct speaker_state state = {.since = 1, .moment = fake_speakers.moment};

	snprintf(state.state, sizeof(state.state), "%s", text);
	fake_speakers.callbacks.session(fake_speakers.callbacks.ctx, session, &state);
}
