// SPDX-License-Identifier: BSD-3-Clause
// A daemon that hangs: it is there, and says nothing although it is asked once a second. Its sessions stand as long as the far
// ends' hold times, and nothing is told to anybody.
//
//	SPEAKS --SILENT_S--> SILENT, told --patience--> replaced: killed by its number, and another one started, which learns
//	   ^                   |                        while what the old one had put into the kernel forwards on (-R)
//	   +-------------------+
//	     whatever it says
//
// To be replaced costs its customers one session with graceful restart, that their hold times run out costs them their routes.
// So patience is shorter than what is left of a hold time of 90 s with keepalives of 30 s: HUNG_S, and BUSY_S for one that
// computes, or waits for a processor: it may be at work on a large configuration, or one of a thousand that start. One that
// was replaced and hangs again has twice as long each time, up to MOST_S, until nothing was amiss for CALM_S.
//
// One that is not there is started by whoever polls it (bird.c); when that does not help it is told, too.

#include "control/speakers/bird/bird.h"

#include "control/base/log.h"

#include <stdio.h>
#include <unistd.h>

enum { SILENT_S = 3, HUNG_S = 15, BUSY_S = 45, MOST_S = 600, CALM_S = 600 };

// What its process has computed, ms, and whether it waits for a processor. 0 = not known.
static uint64_t work_of(int pid, bool *ready)
{
	unsigned long user = 0, kernel = 0;
	char path[40], state = '\0';

	*ready = false;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%*d (bird) %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &state,
		    &user, &kernel) != 3)
		user = kernel = 0;
	fclose(file);
	*ready = state == 'R';
	return (user + kernel) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

// For half of the time since it was told; or it would, and the machine has no time for it.
static bool computes(const struct bird *bird)
{
	bool ready;
	uint64_t work = work_of(birdc_pid(bird->control), &ready) - bird->silence.work;

	return ready || work >= (bird->silence.seconds - SILENT_S) * 500;
}

static unsigned int patience_of(const struct bird *bird)
{
	unsigned int patience = bird->silence.seconds >= HUNG_S && computes(bird) ? BUSY_S : HUNG_S;

	for (unsigned int i = 0; i < bird->silence.replaced && patience < MOST_S; i++)
		patience *= 2;
	return patience < MOST_S ? patience : MOST_S;
}

static bool may_replace(const struct speaker *speaker)
{
	return speaker->speakers->launcher[0] != '\0';
}

static void tell(struct speaker *speaker, unsigned int patience)
{
	const struct bird *bird = speaker->own;
	int pid = birdc_pid(bird->control);
	char reason[320], hint[96], then[96] = "there is no launcher to replace it";

	if (may_replace(speaker))
		snprintf(then, sizeof(then), "it is replaced when that has lasted %u s", patience);
	snprintf(reason, sizeof(reason),
		"the BGP daemon does not answer: routers keep its %u session%s until their hold "
		"times are over, and forwarding goes on; %s",
		speaker->session_count, speaker->session_count == 1 ? "" : "s", then);
	snprintf(hint, sizeof(hint), "ps -o pid,stat,wchan:24,time,args -p %d", pid);
	speaker_tell(speaker, "silent", reason, hint);
}

static void replace(struct speaker *speaker)
{
	struct bird *bird = speaker->own;
	unsigned int seconds = bird->silence.seconds;
	char reason[160], hint[560];

	log_warning("speakers", "hung BGP daemon is replaced", log_text("speaker", speaker->name),
		log_number("pid", birdc_pid(bird->control)), log_number("silent_s", seconds));
	snprintf(reason, sizeof(reason),
		"the BGP daemon did not answer for %u s and is replaced by another one", seconds);
	snprintf(hint, sizeof(hint), "tail %.500s/bird.log", speaker->directory);
	speaker->speakers->counters.replaced++;
	bird->silence.replaced++;
	bird->silence.replace = true;
	bird->launched = 0;
	birdc_drop(bird->control);
	speaker_tell(speaker, "replaced", reason, hint);
	bird_launch(speaker);
}

static void absent(struct speaker *speaker)
{
	struct bird *bird = speaker->own;
	char hint[600];

	if (bird->launcher != NULL || TAILQ_EMPTY(&speaker->sessions) ||
		++bird->silence.seconds != SILENT_S)
		return;
	snprintf(hint, sizeof(hint), "culvertctl doctor; tail %.500s/bird.log", speaker->directory);
	speaker_tell(speaker, "down",
		speaker->trouble[0] != '\0' ? speaker->trouble : "no BGP daemon runs for it", hint);
}

bool silence_look(struct speaker *speaker)
{
	struct bird *bird = speaker->own;

	if (!birdc_open(bird->control)) {
		absent(speaker);
		return false;
	}
	if (!birdc_silent(bird->control)) {
		if (silence_is_told(bird))
			log_info("speakers", "BGP daemon answers again",
				log_text("speaker", speaker->name),
				log_number("silent_s", bird->silence.seconds));
		silence_over(speaker);
		if (++bird->silence.calm >= CALM_S)
			bird->silence.replaced = 0;
		return false;
	}
	if (++bird->silence.seconds < SILENT_S)
		return false;
	bird->silence.calm = 0;
	if (!silence_is_told(bird)) {
		bool ready;
		bird->silence.work = work_of(birdc_pid(bird->control), &ready);
		log_warning("speakers", "BGP daemon does not answer",
			log_text("speaker", speaker->name),
			log_number("pid", birdc_pid(bird->control)));
	}
	unsigned int patience = patience_of(bird);
	if (patience != bird->silence.patience)
		tell(speaker, patience);
	bird->silence.patience = patience;
	if (bird->silence.seconds < patience || !may_replace(speaker))
		return false;
	replace(speaker);
	return true;
}

bool silence_is_told(const struct bird *bird)
{
	return bird->silence.patience != 0;
}

void silence_lost(struct speaker *speaker)
{
	struct bird *bird = speaker->own;

	bird->silence.seconds = bird->silence.patience = 0;
}

void silence_over(struct speaker *speaker)
{
	silence_lost(speaker);
	speaker_tell(speaker, "", "", "");
}
