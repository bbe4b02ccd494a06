// SPDX-License-Identifier: BSD-3-Clause
// Two kinds of command are run: `bird -p`, to check a configuration before the daemon sees it, and the launcher.
// The end of one is seen through a pidfd, so no SIGCHLD handler is needed and nobody else's children are reaped;
// stderr is a pipe that is read once the command is over (a daemon it left behind may hold the other end open).

#include "control/speakers/child.h"

#include "control/base/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

extern char **environ;

struct child {
	pid_t pid;
	int pidfd;
	int output;
	struct event *ended;
	child_done done;
	void *ctx;
};

static void child_free(struct child *child)
{
	if (child->ended)
		event_free(child->ended);
	if (child->pidfd >= 0)
		close(child->pidfd);
	if (child->output >= 0)
		close(child->output);
	free(child);
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
	struct child *child = ctx;
	char output[4096];
	int status = 0;

	turns_note("speakers: child ended");
	if (waitpid(child->pid, &status, WNOHANG) == 0)
		return;
	ssize_t n = read(child->output, output, sizeof(output) - 1);
	output[n > 0 ? n : 0] = '\0';
	child_done done = child->done;
	void *done_ctx = child->ctx;
	child_free(child);
	if (done)
		done(done_ctx, status, output);
}

static int spawn(struct child *child, const char *const argv[], int write_end)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, 0, 1);
	posix_spawn_file_actions_adddup2(&actions, write_end, 2);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(
		&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	int err = posix_spawnp(
		&child->pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -err;
}

int child_start(struct child **out, struct event_base *base, const char *const argv[],
	child_done done, void *ctx)
{
	struct child *child = calloc(1, sizeof(*child));
	int ends[2];
	int err;

	*out = NULL;
	if (child == NULL)
		return -ENOMEM;
	*child = (struct child){.pidfd = -1, .output = -1, .done = done, .ctx = ctx};
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
		err = -errno;
		goto out_free;
	}
	child->output = ends[0];
	err = spawn(child, argv, ends[1]);
	close(ends[1]);
	if (err)
		goto out_free;
	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	child->ended = child->pidfd < 0
			       ? NULL
			       : event_new(base, child->pidfd, EV_READ | EV_PERSIST, on_end, child);
	if (child->ended == NULL || event_add(child->ended, NULL)) {
		waitpid(child->pid, NULL, 0);
		err = -ENOMEM;
		goto out_free;
	}
	*out = child;
	return 0;
out_free:
	child_free(child);
	return err;
}

// It stays with the event loop, which reaps it.
void child_forget(struct child *child)
{
	if (child)
		child->done = NULL;
}
