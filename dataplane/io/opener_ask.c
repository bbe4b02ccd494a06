// SPDX-License-Identifier: BSD-3-Clause
// The data plane's end of the opener. A port has one call: asked for at one look of the main
// thread, its answer taken at a later one. Nothing here waits but opener_wait(), at the start.
//
//	FREE --asked--> ASKED --reply--> ANSWERED --taken--> FREE
//	                ASKED --a second--> LATE --reply, thrown away--> FREE
//
// so that an opener that hangs is sent one request of each port, and no more.

#include "dataplane/io/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/io/port.h"

#define PATIENCE_MS 1000u
#define START_MS    5000

struct call {
	enum { FREE, ASKED, ANSWERED, LATE } state;
	uint64_t serial;
	uint64_t asked_at; // ms
	int error;
	struct opener_answer answer;
};

struct opener {
	int fd;    // -1 = there is no other side any more
	pid_t pid; // 0 = it was waited for
	bool asked;
	uint64_t serial;
	struct call call[PORT_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

// The child has this socket and nothing else: log, locks and the controller's socket end with the
// data plane alone.
static _Noreturn void be_opener(
	int fd, pid_t parent, const struct opener_device *devices, unsigned count)
{
	int null;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = fcntl(fd, F_DUPFD, 3);
	null = open("/dev/null", O_RDWR);
	if (fd < 0 || null < 0 || getppid() != parent)
		_exit(1);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	if (fd != 3 && dup2(fd, 3) < 0)
		_exit(1);
	if (close_range(4, ~0u, 0) < 0)
		_exit(1);
	opener_serve(3, devices, count);
}

int opener_start(const struct opener_device *devices, unsigned count, struct opener **out)
{
	struct opener *o = calloc(1, sizeof(*o));
	pid_t self = getpid();
	int pair[2], err;

	if (o == NULL)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		err = -errno;
		free(o);
		return err;
	}
	o->pid = fork();
	if (o->pid == 0)
		be_opener(pair[1], self, devices, count);
	err = -errno;
	close(pair[1]);
	o->fd = pair[0];
	if (o->pid < 0) {
		close(o->fd);
		free(o);
		return err;
	}
	*out = o;
	return 0;
}

void opener_close(struct opener_answer *a)
{
	for (; a->count > 0; a->count--)
		close(a->fd[a->count - 1]);
}

static void other_side_is_gone(struct opener *o)
{
	close(o->fd);
	o->fd = -1;
}

static void take_reply(
	struct opener *o, const struct opener_reply *reply, struct opener_answer *answer)
{
	struct call *call = reply->port < PORT_MAX ? &o->call[reply->port] : NULL;

	if (call == NULL || reply->serial != call->serial || call->state == FREE ||
		call->state == LATE) {
		opener_close(answer);
		if (call != NULL && reply->serial == call->serial)
			call->state = FREE;
		return;
	}
	call->state = ANSWERED;
	call->error = reply->error;
	call->answer = *answer;
	call->answer.value = reply->value;
}

// All replies that are there.
static void receive(struct opener *o)
{
	while (o->fd >= 0) {
		struct opener_answer answer = {0};
		union {
			struct cmsghdr align;
			uint8_t bytes[CMSG_SPACE(sizeof(answer.fd))];
		} control;
		struct opener_reply reply;
		struct iovec part = {&reply, sizeof(reply)};
		struct msghdr message = {.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(o->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		const struct cmsghdr *c;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		c = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
		if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			answer.count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(answer.fd, CMSG_DATA(c), answer.count * sizeof(int));
		}
		if (n == sizeof(reply)) {
			take_reply(o, &reply, &answer);
		} else {
			opener_close(&answer);
			other_side_is_gone(o);
		}
	}
}

static int ask(struct opener *o, unsigned port, enum opener_kind kind, unsigned number)
{
	struct call *call = &o->call[port];
	struct opener_request r = {
		.serial = ++o->serial, .kind = (uint32_t)kind, .port = port, .number = number};

	o->asked = true;
	if (send(o->fd, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return -EINPROGRESS;
		other_side_is_gone(o);
		return -EPIPE;
	}
	call->state = ASKED;
	call->serial = r.serial;
	call->asked_at = now_ms();
	return -EINPROGRESS;
}

int opener_ask(struct opener *o, unsigned port, enum opener_kind kind, unsigned number,
	struct opener_answer *answer)
{
	struct call *call = &o->call[port];

	receive(o);
	if (call->state == ANSWERED) {
		call->state = FREE;
		*answer = call->answer;
		call->answer.count = 0;
		return call->error;
	}
	if (o->fd < 0)
		return -EPIPE;
	if (call->state == FREE)
		return ask(o, port, kind, number);
	if (call->state == ASKED && now_ms() - call->asked_at > PATIENCE_MS)
		call->state = LATE;
	return call->state == LATE ? -ETIMEDOUT : -EINPROGRESS;
}

int opener_wait(struct opener *o, unsigned port, enum opener_kind kind, unsigned number,
	struct opener_answer *answer)
{
	int err = opener_ask(o, port, kind, number, answer);

	if (err == -EINPROGRESS) {
		struct pollfd readable = {.fd = o->fd, .events = POLLIN};

		poll(&readable, 1, START_MS);
		err = opener_ask(o, port, kind, number, answer);
	}
	return err == -EINPROGRESS ? -ETIMEDOUT : err;
}

const char *opener_strerror(int err)
{
	return err == -EPIPE       ? "the opener has ended"
	       : err == -ETIMEDOUT ? "the opener does not answer"
				   : strerror(-err);
}

bool opener_was_asked(const struct opener *o)
{
	return o->asked;
}

bool opener_is_there(const struct opener *o)
{
	return o->fd >= 0;
}

pid_t opener_process(const struct opener *o)
{
	return o->pid;
}

bool opener_ended(struct opener *o, char *how, unsigned size)
{
	int status;

	receive(o);
	if (o->fd >= 0 || o->pid == 0 || waitpid(o->pid, &status, WNOHANG) == 0)
		return false;
	o->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(how, size, "signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == OPENER_HOSTILE)
		snprintf(how, size, "a request that was not the data plane's");
	else
		snprintf(how, size, "exit status %d", WEXITSTATUS(status));
	return true;
}

void opener_stop(struct opener *o)
{
	if (o == NULL)
		return;
	receive(o);
	for (unsigned i = 0; i < PORT_MAX; i++)
		opener_close(&o->call[i].answer);
	if (o->fd >= 0)
		close(o->fd);
	if (o->pid > 0) {
		kill(o->pid, SIGKILL);
		waitpid(o->pid, NULL, 0);
	}
	free(o);
}
