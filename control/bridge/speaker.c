// SPDX-License-Identifier: BSD-3-Clause
// A stock BIRD for each namespace, never our child: it is started by a launcher, found again through its control
// socket, and left alone when we end. From what is declared to what the daemon runs, one step at a time:
//
//	IDLE    something is declared or withdrawn -> write new files beside the old ones
//	CHECK   `bird -p` reads them. Refused: the error names a file, and so a peering; that one is quarantined (its
//	        last good text, if any, stays in use) and the rest is tried again
//	TELL    files renamed into place, `configure` sent; or the daemon is not there, and is started
//	SETTLE  the daemon still takes sessions down and up: asked until it is done
//
// Declarations come in bursts, so the first step waits a moment for more. Until bridge_sweep has run, files of
// peerings that nobody has declared (yet) stay included: a restarted culvertd that has declared half of them
// must not take down the sessions of the other half.

#include "control/bridge/speaker.h"

#include "control/bridge/birdc.h"
#include "control/bridge/child.h"
#include "control/bridge/files.h"
#include "control/bridge/render.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <event2/event.h>

enum { GATHER_MS = 30, SETTLE_MS = 100, RETRY_MS = 1000 };
static const uint64_t LAUNCH_EVERY_NS = 3000000000u;

static void apply_after(struct speaker *speaker, unsigned int ms)
{
	struct timeval delay = {ms / 1000, (ms % 1000) * 1000};

	event_add(speaker->apply, &delay);
}

void speaker_changed(struct speaker *speaker)
{
	if (speaker == NULL || speaker->dirty)
		return;
	speaker->dirty = true;
	if (speaker->phase == SPEAKER_IDLE)
		apply_after(speaker, GATHER_MS);
}

// ---- quarantine

static void quarantine(struct speaker *speaker, struct peering *peering, const char *reason)
{
	struct bridge *bridge = speaker->space->bridge;

	peering->quarantined = true;
	snprintf(peering->refusal, sizeof(peering->refusal),
		"configuration refused by the speaker: %.80s", reason);
	bridge->counters.quarantined++;
	bridge_log("error", "msg=\"speaker refuses peering\" peering=%s reason=\"%s\"",
		peering->declared.name, reason);
	peering->reported = false; // seen with the next poll
}

// The peering whose file the daemon's complaint names; else, when only one is new, that one.
static struct peering *blamed(struct speaker *speaker, const char *complaint)
{
	const char *at = strstr(complaint, "/peering-");
	struct peering *peering, *only = NULL;
	unsigned int id;

	if (at && sscanf(at, "/peering-%u.conf", &id) == 1) {
		peering = idmap_get(&speaker->space->bridge->peerings, id);
		if (peering && config_changed(peering))
			return peering;
	}
	TAILQ_FOREACH (peering, &speaker->peerings, entry) {
		if (!config_changed(peering))
			continue;
		if (only)
			return NULL;
		only = peering;
	}
	return only;
}

// What follows "bird: " or the file's position, on one line.
static void reason_of(const char *complaint, char reason[96])
{
	const char *slash = strrchr(complaint, '/');

	snprintf(reason, 96, "%s", slash ? slash + 1 : complaint);
	reason[strcspn(reason, "\r\n")] = '\0';
	for (char *c = reason; *c; c++)
		if (*c == '"')
			*c = '\'';
}

static void refused(struct speaker *speaker, const char *complaint)
{
	struct peering *peering = blamed(speaker, complaint);
	char reason[96];

	reason_of(complaint, reason);
	speaker->phase = SPEAKER_IDLE;
	if (peering) {
		quarantine(speaker, peering, reason);
		speaker->dirty = true;
		apply_after(speaker, 0);
		return;
	}
	// Nobody to blame: each new peering in turn is left out until the rest is good.
	TAILQ_FOREACH (peering, &speaker->peerings, entry)
		if (config_changed(peering))
			break;
	if (peering) {
		quarantine(speaker, peering, reason);
		speaker->dirty = true;
		apply_after(speaker, 0);
		return;
	}
	bridge_log("error", "msg=\"speaker refuses its configuration\" netns=%s reason=\"%s\"",
		speaker->space->name, reason);
	if (speaker->dirty)
		apply_after(speaker, RETRY_MS);
}

// ---- the steps

static void done(struct speaker *speaker)
{
	speaker->phase = SPEAKER_IDLE;
	if (speaker->dirty)
		apply_after(speaker, GATHER_MS);
}

static void launch(struct speaker *speaker);
static bool ending(const struct bridge *bridge, const char *directory);

static void on_configured(void *ctx, int error, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;

	if (error == -ECANCELED)
		return;
	if (error) // restarted or gone: a new one reads the files by itself
		done(speaker);
	else if (code >= 8000)
		refused(speaker, text);
	else {
		speaker->phase = SPEAKER_SETTLE;
		apply_after(speaker, SETTLE_MS);
	}
}

static void settle_line(void *ctx, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;

	if (strstr(text, "econfiguration in progress"))
		speaker->settling = true;
}

static void on_settled(void *ctx, int error, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;

	if (error == -ECANCELED)
		return;
	if (error == 0 && speaker->settling)
		apply_after(speaker, SETTLE_MS);
	else
		done(speaker);
}

static void tell(struct speaker *speaker)
{
	char command[560];

	snprintf(command, sizeof(command), "configure \"%s/bird.conf\"", speaker->directory);
	speaker->phase = SPEAKER_TELL;
	if (birdc_command(speaker->control, command, NULL, on_configured, speaker)) {
		speaker->phase = SPEAKER_IDLE;
		birdc_connect(speaker->control);
		launch(speaker);
		done(speaker);
	}
}

static void on_checked(void *ctx, int status, const char *output)
{
	struct speaker *speaker = ctx;

	speaker->checker = NULL;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		refused(speaker, output);
		return;
	}
	int err = config_commit(speaker);
	if (err) {
		bridge_log("error", "msg=\"cannot write speaker files\" directory=%s errno=%d",
			speaker->directory, -err);
		speaker->dirty = true;
		speaker->phase = SPEAKER_IDLE;
		apply_after(speaker, RETRY_MS);
		return;
	}
	speaker->written = true;
	tell(speaker);
}

static void check(struct speaker *speaker)
{
	char path[560];
	const char *const argv[] = {"bird", "-p", "-c", path, NULL};

	if (ending(speaker->space->bridge, speaker->directory)) {
		apply_after(speaker, SETTLE_MS);
		return;
	}
	speaker->dirty = false;
	snprintf(path, sizeof(path), "%s/bird.conf.new", speaker->directory);
	int err = files_make_directory(speaker->directory);
	if (err == 0)
		err = config_write(speaker);
	if (err == 0)
		err = child_start(
			&speaker->checker, speaker->space->bridge->base, argv, on_checked, speaker);
	if (err == 0) {
		speaker->phase = SPEAKER_CHECK;
		return;
	}
	bridge_log("error", "msg=\"cannot check speaker configuration\" directory=%s errno=%d",
		speaker->directory, -err);
	speaker->dirty = true;
	apply_after(speaker, RETRY_MS);
}

static void on_apply(evutil_socket_t fd, short what, void *ctx)
{
	struct speaker *speaker = ctx;

	if (speaker->phase == SPEAKER_IDLE && speaker->dirty) {
		check(speaker);
	} else if (speaker->phase == SPEAKER_SETTLE) {
		speaker->settling = false;
		if (birdc_command(
			    speaker->control, "show status", settle_line, on_settled, speaker))
			done(speaker);
	}
}

// ---- the daemon itself

static void on_launched(void *ctx, int status, const char *output)
{
	struct speaker *speaker = ctx;
	char reason[96];

	speaker->launcher = NULL;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		birdc_connect(speaker->control);
		return;
	}
	snprintf(reason, sizeof(reason), "%s", output);
	reason[strcspn(reason, "\r\n")] = '\0';
	bridge_log("error", "msg=\"launcher failed\" netns=%s status=%d reason=\"%s\"",
		speaker->space->name, status, reason);
}

static void launch(struct speaker *speaker)
{
	const char *launcher = speaker->space->bridge->launcher;
	const char *const argv[] = {
		launcher, "start", speaker->directory, speaker->space->name, NULL};

	if (launcher[0] == '\0' || speaker->launcher || !speaker->written ||
		birdc_ready(speaker->control) || ending(speaker->space->bridge, speaker->directory))
		return;
	if (speaker->launched && clock_ns() - speaker->launched < LAUNCH_EVERY_NS)
		return;
	speaker->launched = clock_ns();
	int err = child_start(
		&speaker->launcher, speaker->space->bridge->base, argv, on_launched, speaker);
	if (err)
		bridge_log(
			"error", "msg=\"cannot run launcher\" command=%s errno=%d", launcher, -err);
}

static void on_control(void *ctx, bool up)
{
	struct speaker *speaker = ctx;

	if (up) {
		speaker->launched = 0;
		session_poll(speaker);
	} else {
		session_lost(speaker);
	}
}

static void on_poll(evutil_socket_t fd, short what, void *ctx)
{
	struct speaker *speaker = ctx;

	if (ending(speaker->space->bridge, speaker->directory))
		return;
	if (birdc_ready(speaker->control)) {
		session_poll(speaker);
		return;
	}
	birdc_connect(speaker->control);
	if (!TAILQ_EMPTY(&speaker->peerings))
		launch(speaker);
	session_lost(speaker);
}

// ---- life

int speaker_create(struct space *space, const char *name, struct api_error *error)
{
	struct bridge *bridge = space->bridge;
	struct speaker *speaker = calloc(1, sizeof(*speaker));
	struct timeval second = {1, 0};
	char *control = NULL;

	if (speaker == NULL)
		return api_fail(
			error, API_INTERNAL, NULL, "no memory for the speaker of \"%s\"", name);
	speaker->space = space;
	TAILQ_INIT(&speaker->peerings);
	space->speaker = speaker;
	if (asprintf(&speaker->directory, "%s/bird/%s", bridge->run_dir, name) < 0)
		speaker->directory = NULL;
	if (speaker->directory && asprintf(&control, "%s/bird.ctl", speaker->directory) < 0)
		control = NULL;
	int err = speaker->directory ? files_make_directory(speaker->directory) : -ENOMEM;
	if (err == 0) {
		speaker->control =
			control ? birdc_create(bridge->base, control, on_control, speaker) : NULL;
		speaker->apply = event_new(bridge->base, -1, 0, on_apply, speaker);
		speaker->poll = event_new(bridge->base, -1, EV_PERSIST, on_poll, speaker);
		speaker->sessions = session_new();
		if (!speaker->control || !speaker->apply || !speaker->poll || !speaker->sessions ||
			event_add(speaker->poll, &second))
			err = control && strlen(control) > 107 ? -ENAMETOOLONG : -ENOMEM;
	}
	free(control);
	if (err) {
		api_fail(error, API_REFUSED, "is the run directory short enough and writable?",
			"speaker directory \"%s\" cannot be used: %s",
			speaker->directory ? speaker->directory : name, strerror(-err));
		speaker_close(speaker);
		return err;
	}
	if (ending(bridge, speaker->directory))
		return 0; // what is there is of another, and goes
	char *main = files_read(speaker->directory, "bird.conf");
	speaker->written = main != NULL;
	free(main);
	birdc_connect(speaker->control);
	return 0;
}

void speaker_close(struct speaker *speaker)
{
	struct peering *peering;

	speaker->closing = true;
	speaker->space->speaker = NULL;
	birdc_destroy(speaker->control);
	child_forget(speaker->checker);
	child_forget(speaker->launcher);
	if (speaker->apply)
		event_free(speaker->apply);
	if (speaker->poll)
		event_free(speaker->poll);
	while ((peering = TAILQ_FIRST(&speaker->peerings)) != NULL)
		peering_free(speaker, peering);
	session_free(speaker);
	free(speaker->directory);
	free(speaker);
}

// ---- the end of a daemon
//
// It takes a while, and a domain of the same name, and so a speaker of the same directory, may come meanwhile. It
// waits: else it would talk to the old daemon, and lose its files with those of the old.

struct ending {
	LIST_ENTRY(ending) entry;
	struct child *child;
	char directory[];
};

static bool ending(const struct bridge *bridge, const char *directory)
{
	const struct ending *ending;

	LIST_FOREACH (ending, &bridge->endings, entry)
		if (strcmp(ending->directory, directory) == 0)
			return true;
	return false;
}

static void forget_ending(struct ending *ending)
{
	LIST_REMOVE(ending, entry);
	child_forget(ending->child);
	free(ending);
}

static void on_stopped(void *ctx, int status, const char *output)
{
	struct ending *ending = ctx;

	ending->child = NULL;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		files_remove_all(ending->directory);
	else
		bridge_log("error", "msg=\"speaker does not stop\" directory=%s reason=\"%.*s\"",
			ending->directory, (int)strcspn(output, "\r\n"), output);
	forget_ending(ending);
}

void speaker_stop_directory(struct bridge *bridge, const char *directory, const char *netns)
{
	const char *const argv[] = {bridge->launcher, "stop", directory, netns, NULL};
	size_t size = strlen(directory) + 1;
	struct ending *begun;

	if (ending(bridge, directory))
		return;
	begun = calloc(1, sizeof(*begun) + size);
	if (begun == NULL)
		return;
	memcpy(begun->directory, directory, size);
	LIST_INSERT_HEAD(&bridge->endings, begun, entry);
	if (bridge->launcher[0] == '\0')
		on_stopped(begun, 0, ""); // whoever started it stops it
	else if (child_start(&begun->child, bridge->base, argv, on_stopped, begun))
		on_stopped(begun, -1, "cannot run the launcher");
}

void speakers_forget_endings(struct bridge *bridge)
{
	struct ending *ending;

	while ((ending = LIST_FIRST(&bridge->endings)) != NULL)
		forget_ending(ending);
}

void speaker_stop(struct speaker *speaker)
{
	speaker_stop_directory(speaker->space->bridge, speaker->directory, speaker->space->name);
	speaker_close(speaker);
}
