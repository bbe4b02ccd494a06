// SPDX-License-Identifier: BSD-3-Clause
// A stock BIRD for each instance, never our child: it is started by a launcher, found again through its control
// socket, and left alone when we end. The launcher runs it in its directory, so that every path in its configuration
// is relative and the daemon, which is not root, needs no way through the directories above.
//
// Once a second it is asked for its sessions, and looked at: one that runs in another namespace than its domain's (the
// namespace was removed and made again under its name) is replaced, and files that somebody removed are written anew,
// with a daemon of their own, since the old one stands in a directory that is no more.
//
// A group of announcements goes up or down by `enable` or `disable` of its static protocol, and a session ends by `disable`,
// at once; the file is written with it, so that the next `configure` finds the same and changes nothing.

#include "control/speakers/bird/bird.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"
#include "control/speakers/bird/render.h"
#include "control/speakers/child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

enum { SETTLE_MS = 20, SETTLING_MS = 100, END_BYTES = 128 };
static const uint64_t LAUNCH_EVERY_NS = 3000000000u;

static void settle_after(struct bird *bird, unsigned int ms)
{
	const struct timeval delay = {0, (int)ms * 1000};

	event_add(bird->settle, &delay);
}

// The last part of a complaint, on one line: "peering-7.conf.new:12:8 syntax error, ..".
static void reason_of(const char *complaint, char reason[96])
{
	size_t length = strcspn(complaint, "\r\n");
	const char *slash = memrchr(complaint, '/', length);

	if (slash != NULL) {
		length -= (size_t)(slash + 1 - complaint);
		complaint = slash + 1;
	}
	snprintf(reason, 96, "%.*s", (int)length, complaint);
}

// --- check

static struct served_session *blamed(const struct speaker *speaker, const char *complaint)
{
	const char *at = strstr(complaint, "peering-");
	unsigned int id;

	return at != NULL && sscanf(at, "peering-%u.conf", &id) == 1
		       ? served_session(speaker->speakers, id)
		       : NULL;
}

static int check(struct speaker *speaker);

static void on_checked(void *ctx, int status, const char *output)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;
	char reason[96];

	bird->checker = NULL;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		steps_checked(speaker, NULL, NULL);
		return;
	}
	// A file of an earlier version that no longer fits may not stand in the way of those of today.
	if (config_drop_leftover(speaker, output) && config_write(speaker) == 0 &&
		check(speaker) == 0)
		return;
	reason_of(output, reason);
	steps_checked(speaker, reason[0] != '\0' ? reason : "the parser does not run",
		blamed(speaker, output));
}

static int check(struct speaker *speaker)
{
	if (!config_is_new(speaker)) { // it was accepted before
		steps_checked(speaker, NULL, NULL);
		return 0;
	}
	struct bird *bird = speaker->own;
	char path[560];
	const char *const argv[] = {"bird", "-p", "-c", path, NULL};

	snprintf(path, sizeof(path), "%s/bird.conf.new", speaker->directory);
	return child_start(&bird->checker, speaker->speakers->base, argv, on_checked, speaker);
}

// --- tell

static void on_configured(void *ctx, int error, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;
	char reason[96];

	if (error == -ECANCELED)
		return;
	if (error != 0) { // restarted or gone: a new one reads the files by itself
		steps_told(speaker, NULL);
	} else if (code >= 8000) {
		reason_of(text, reason);
		steps_told(speaker, reason);
	} else {
		bird->told = bird->configured = true;
		bird->doubtful = false;
		settle_after(bird, SETTLE_MS);
	}
}

static void settle_line(void *ctx, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;

	if (strstr(text, "econfiguration in progress") != NULL)
		bird->in_progress = true;
}

static void on_settled(void *ctx, int error, unsigned int code, const char *text)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;

	if (error == -ECANCELED)
		return;
	if (error == 0 && bird->in_progress) {
		settle_after(bird, SETTLING_MS);
		return;
	}
	if (error == 0 && !bird->marked && bird->told && !bird->doubtful && !bird->removed && !speaker->dirty &&
		bird->asked == bird->changes)
		config_told(speaker);
	if (speaker->step == STEP_TELL && bird->configured)
		steps_told(speaker, NULL);
}

// Asked whether it is done. The question also wakes its main loop, which may sleep over work that is due.
static void on_settle(evutil_socket_t fd, short what, void *ctx)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;

	turns_note("bird: settle");
	bird->in_progress = false;
	bird->asked = bird->changes;
	if (birdc_command(bird->control, "show status", settle_line, on_settled, speaker) != 0)
		on_settled(speaker, -ENOTCONN, 0, "");
}

static void configure(struct speaker *speaker)
{
	struct bird *bird = speaker->own;

	if (birdc_command(bird->control, "configure", NULL, on_configured, speaker) == 0)
		return;
	birdc_connect(bird->control);
	bird_launch(speaker);
	steps_told(speaker, NULL);
}

// Whoever removed the mark that the daemon runs what the files say sees to it that it comes again.
static void settle_soon(struct speaker *speaker)
{
	struct bird *bird = speaker->own;

	if (!bird->marked && birdc_ready(bird->control) && speaker->step != STEP_TELL)
		settle_after(bird, SETTLE_MS);
}

static void bird_tell(struct speaker *speaker)
{
	struct bird *bird = speaker->own;
	char reason[96];
	bool changed = !bird->told || bird->removed;

	bird->removed = false;
	int err = config_commit(speaker, &changed);

	bird->told = !changed;
	bird->configured = false;
	if (err > 0) {
		steps_tell_more(speaker);
		return;
	}
	if (err != 0) {
		snprintf(reason, sizeof(reason), "files cannot be written: %s", strerror(-err));
		steps_told(speaker, reason);
		return;
	}
	bird->written = true;
	if (!changed && birdc_ready(bird->control)) {
		steps_told(speaker, NULL); // it runs just that
		settle_soon(speaker);
		session_poll(speaker);
		return;
	}
	configure(speaker);
}

// Commands that change what runs as the files say. After a refusal only `configure` makes the two one again.
static void on_changed(void *ctx, int error, unsigned int code, const char *text)
{
	struct bird *bird = ctx;

	if (error == 0 && code >= 8000)
		bird->doubtful = true;
}

static void bird_toggle(
	struct speaker *speaker, struct served_domain *domain, struct announcement_group *group)
{
	struct bird *bird = speaker->own;
	char name[40], command[64];

	config_will_change(speaker);
	for (uint8_t family = 4; family <= 6; family += 2) {
		unsigned int count = 0;
		for (unsigned int i = 0; i < group->count; i++)
			count += group->list[i].prefix.address.family == family;
		render_group(name, domain->id, group->id, family);
		snprintf(command, sizeof(command), "%s %s", group->up ? "enable" : "disable", name);
		if (count > 0)
			birdc_command(bird->control, command, NULL, on_changed, bird);
	}
	settle_soon(speaker);
	// A daemon that is not there, or that is being told something else, gets it by the steps.
	if (!birdc_ready(bird->control) || speaker->step != STEP_IDLE || speaker->dirty ||
		config_toggle(speaker, domain) != 0)
		steps_changed(speaker);
}

static void bird_end(struct speaker *speaker, struct served_session *session, const char *why)
{
	const struct timeval soon = {0, SETTLE_MS * 1000};
	struct bird *bird = speaker->own;
	char command[32 + END_BYTES];

	config_will_change(speaker);
	snprintf(command, sizeof(command), "disable p%u \"%.*s\"", session->id, END_BYTES, why);
	session->untold = birdc_command(bird->control, command, NULL, on_changed, bird) == 0;
	if (session->untold && !event_pending(bird->farewell, EV_TIMEOUT, NULL))
		event_add(bird->farewell, &soon);
	settle_soon(speaker);
	if (!birdc_ready(bird->control) || speaker->step != STEP_IDLE || speaker->dirty ||
		session->file.refused || config_end(speaker, session) != 0)
		steps_changed(speaker);
}

// Its own look at the kernel's table (scan time) is minutes away, and would be dear if it were not.
static void bird_restore(struct speaker *speaker, const struct served_domain *domain)
{
	struct bird *bird = speaker->own;
	char command[40];

	for (unsigned int family = 4; family <= 6; family += 2) {
		snprintf(command, sizeof(command), "reload out k%uv%u", domain->id, family);
		birdc_command(bird->control, command, NULL, NULL, NULL);
	}
}

// A session that goes: the far end hears it, and its routes leave the kernel, before the tables themselves go (the kernel
// protocol leaves behind what it had when it ended).
static void bird_forget(struct speaker *speaker, const struct served_domain *domain,
	const struct served_session *session)
{
	struct bird *bird = speaker->own;
	char command[32];

	if (session != NULL) {
		snprintf(command, sizeof(command), "disable p%u", session->id);
		birdc_command(bird->control, command, NULL, NULL, NULL);
	}
	config_forget(speaker, domain, session);
}

// --- the daemon itself

static void on_launched(void *ctx, int status, const char *output)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;
	char reason[128];

	bird->launcher = NULL;
	snprintf(reason, sizeof(reason), "%.*s", (int)strcspn(output, "\r\n"), output);
	if (reason[0] != '\0')
		log_warning("speakers", "launcher", log_text("speaker", speaker->name),
			log_text("says", reason), log_number("status", status));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return;
	bird->silence.replace = false;
	birdc_connect(bird->control);
}

void bird_launch(struct speaker *speaker)
{
	struct bird *bird = speaker->own;
	const char *launcher = speaker->speakers->launcher;
	const char *const argv[] = {launcher, bird->silence.replace ? "replace" : "start",
		speaker->directory, speaker->netns, NULL};

	if (launcher[0] == '\0' || bird->launcher != NULL || !bird->written ||
		(birdc_open(bird->control) && !bird->silence.replace) ||
		speaker_is_ending(speaker->speakers, speaker->directory))
		return;
	if (bird->launched != 0 && clock_ns() - bird->launched < LAUNCH_EVERY_NS)
		return;
	bird->launched = clock_ns();
	speaker->speakers->counters.launches++;
	int err = child_start(&bird->launcher, speaker->speakers->base, argv, on_launched, speaker);
	if (err != 0)
		log_error("speakers", "cannot run launcher", log_text("command", launcher),
			log_number("errno", -err));
}

// Before its first answer to us nothing is known of its sessions, which may have been up all the time.
static void report_silence(struct speaker *speaker)
{
	const struct bird *bird = speaker->own;

	if (speaker->trouble[0] != '\0')
		speaker_report_all(speaker, speaker->trouble);
	else if (bird->connected)
		speaker_report_all(speaker, "the BGP daemon does not answer");
}

static void on_control(void *ctx, bool up)
{
	struct speaker *speaker = ctx;
	struct bird *bird = speaker->own;

	if (!up) {
		silence_lost(speaker);
		bird->told = false;
		report_silence(speaker);
		return;
	}
	silence_over(speaker);
	bird->launched = 0;
	bird->connected = true;
	// An earlier culvertd may have ended between writing the files and saying so.
	if (!bird->told && bird->written && speaker->step == STEP_IDLE && !speaker->dirty &&
		birdc_command(bird->control, "configure", NULL, on_changed, bird) == 0) {
		bird->told = true;
		settle_after(bird, SETTLE_MS);
	}
	session_poll(speaker);
}

// The namespace of a process, or of an open file of one.
static bool same_namespace(const char *path, int fd)
{
	struct stat there, ours;

	if (stat(path, &there) != 0 || fstat(fd, &ours) != 0)
		return true; // it has ended, or we may not look: no reason to end anything
	return there.st_ino == ours.st_ino && there.st_dev == ours.st_dev;
}

static bool is_at_home(const struct speaker *speaker)
{
	const struct bird *bird = speaker->own;
	char path[64];
	int pid = birdc_pid(bird->control);

	if (speaker->netns_fd < 0 || pid == 0)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return same_namespace(path, speaker->netns_fd);
}

// What the daemon reads is gone; so is its socket, for whoever comes next.
static bool files_gone(const struct speaker *speaker)
{
	char path[560];

	snprintf(path, sizeof(path), "%s/bird.conf", speaker->directory);
	return access(path, F_OK) != 0;
}

static void bird_poll(struct speaker *speaker)
{
	struct bird *bird = speaker->own;

	if (bird->written && speaker->step == STEP_IDLE && files_gone(speaker)) {
		log_warning("speakers", "speaker files are gone and written anew",
			log_text("directory", speaker->directory));
		bird->written = false;
		config_lost(speaker);
		birdc_drop(bird->control);
		bird->launched = 0;
		steps_changed(speaker);
		return;
	}
	if (silence_look(speaker))
		return;
	if (birdc_ready(bird->control) && !is_at_home(speaker)) {
		log_warning("speakers", "daemon in another namespace is replaced",
			log_text("speaker", speaker->name), log_text("netns", speaker->netns));
		speaker->speakers->counters.replaced++;
		birdc_drop(bird->control);
		bird->launched = 0;
		bird_launch(speaker);
		return;
	}
	if (birdc_ready(bird->control)) {
		session_poll(speaker);
		return;
	}
	if (bird->launcher == NULL)
		birdc_connect(bird->control);
	if (!TAILQ_EMPTY(&speaker->sessions))
		bird_launch(speaker);
	report_silence(speaker);
}

// --- life

static int bird_open(struct speaker *speaker)
{
	struct bird *bird = calloc(1, sizeof(*bird));
	char path[560];

	if (bird == NULL)
		return -ENOMEM;
	speaker->own = bird;
	bird->tidying = 1;
	snprintf(path, sizeof(path), "%s/bird.ctl", speaker->directory);
	if (strlen(path) > 107)
		return -ENAMETOOLONG;
	bird->control = birdc_create(speaker->speakers->base, path, on_control, speaker);
	bird->settle = event_new(speaker->speakers->base, -1, 0, on_settle, speaker);
	bird->farewell = event_new(speaker->speakers->base, -1, 0, session_farewells, speaker);
	bird->reader = session_reader_new();
	if (bird->control == NULL || bird->settle == NULL || bird->farewell == NULL ||
		bird->reader == NULL)
		return -ENOMEM;
	if (speaker_is_ending(speaker->speakers, speaker->directory))
		return 0; // what is there is of another, and goes
	bird->written = !files_gone(speaker);
	bird->told = bird->marked = bird->written && config_was_told(speaker);
	birdc_connect(bird->control);
	return 0;
}

static void bird_close(struct speaker *speaker)
{
	struct bird *bird = speaker->own;

	if (bird == NULL)
		return;
	birdc_destroy(bird->control);
	bird->control = NULL;
	child_forget(bird->checker);
	child_forget(bird->launcher);
	if (bird->settle != NULL)
		event_free(bird->settle);
	if (bird->farewell != NULL)
		event_free(bird->farewell);
	if (bird->leftovers != NULL)
		closedir(bird->leftovers);
	free(bird->reader);
	free(bird);
	speaker->own = NULL;
}

static int bird_accepts(const struct speaker_session *session, struct api_error *error)
{
	return render_accepts(session, error);
}

const struct speaker_ops bird_speaker = {
	.name = "bird",
	.open = bird_open,
	.close = bird_close,
	.accepts = bird_accepts,
	.render = config_write,
	.check = check,
	.tell = bird_tell,
	.announces = config_announces,
	.poll = bird_poll,
	.toggle = bird_toggle,
	.end = bird_end,
	.remarks = said_remarks,
	.restore = bird_restore,
	.forget = bird_forget,
	.ask = bird_ask,
	.clear = bird_clear,
};
