/* SPDX-License-Identifier: BSD-3-Clause */
// Threads that share nothing: an event loop each, and a mailbox that is the only door between them.
//
// The mailbox is a list under a mutex and an eventfd that is written when the list was empty before. The
// receiver takes the whole list at once, so the lock is held for a few instructions whatever the load; it
// handles MAIL_PER_TURN entries, or TURN_US of them, before its loop looks at sockets and timers again, so a flood of
// mail starves nobody. Order is kept per poster, and a message posted from the thread to itself runs in
// the next round, never inside post().
//
// Stopping is a message like any other: what was posted before is handled first. What comes later (a reply
// to a thread that has already ended) is run by thread_drain, so that every message is handled exactly
// once and whatever it owns is freed by its own handler.

#include "control/thread.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAIL_PER_TURN 64
#define TURN_US       2000 // of callbacks, and of mail, before sockets and timers are looked at again

struct mail {
	struct mail *next;
	const char *name;
	void (*fn)(void *arg);
	void *arg;
};

struct thread {
	const char *name;
	struct event_base *base;
	struct event *wake, *more;
	int fd;
	bool stopping; // own thread only
	pthread_t id;
	struct mail *taken; // own thread only: out of the mailbox, not yet handled
	pthread_mutex_t lock;
	struct mail *first, **last; // under lock
};

void post_as(const char *name, struct thread *to, void (*fn)(void *arg), void *arg)
{
	struct mail *mail = malloc(sizeof(*mail));
	if (mail == NULL) {
		// A lost message would be a lost commit or a caller that waits forever; a restart is neither.
		log_fatal("thread", "out of memory");
		abort();
	}
	*mail = (struct mail){.name = name, .fn = fn, .arg = arg};
	pthread_mutex_lock(&to->lock);
	bool was_empty = to->first == NULL;
	*to->last = mail;
	to->last = &mail->next;
	pthread_mutex_unlock(&to->lock);
	if (was_empty)
		eventfd_write(to->fd, 1);
}

static struct mail *take_all(struct thread *thread)
{
	pthread_mutex_lock(&thread->lock);
	struct mail *all = thread->first;
	thread->first = NULL;
	thread->last = &thread->first;
	pthread_mutex_unlock(&thread->lock);
	return all;
}

static bool handle_one(struct thread *thread)
{
	if (thread->taken == NULL)
		thread->taken = take_all(thread);
	struct mail *mail = thread->taken;
	if (mail == NULL)
		return false;
	thread->taken = mail->next;
	turns_note(mail->name);
	mail->fn(mail->arg);
	free(mail);
	return true;
}

static void on_mail(evutil_socket_t fd, short events, void *arg)
{
	struct thread *thread = arg;
	eventfd_t ignored;

	if (fd >= 0)
		eventfd_read(fd, &ignored);
	uint64_t end = clock_ns() + TURN_US * 1000;
	for (unsigned int i = 0; i < MAIL_PER_TURN && clock_ns() < end; i++)
		if (thread->stopping || !handle_one(thread))
			return;
	// There may be more. By a timer: what event_active() activates runs in the same turn, before sockets are
	// looked at again.
	const struct timeval now = {0, 0};
	event_add(thread->more, &now);
}

// libevent runs all that is active before it looks at sockets again, and what is activated meanwhile too; ours do not.
static struct event_base *make_base(void)
{
	const struct timeval longest = {.tv_usec = TURN_US};
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config != NULL &&
		event_config_set_max_dispatch_interval(config, &longest, MAIL_PER_TURN, 0) == 0)
		base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	return base;
}

int thread_create(struct thread **out, const char *name)
{
	struct thread *thread = calloc(1, sizeof(*thread));
	if (thread == NULL)
		return -ENOMEM;
	thread->name = name;
	thread->last = &thread->first;
	thread->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (thread->fd < 0)
		goto fail_fd;
	thread->base = make_base();
	if (thread->base == NULL)
		goto fail_base;
	thread->wake = event_new(thread->base, thread->fd, EV_READ | EV_PERSIST, on_mail, thread);
	thread->more = evtimer_new(thread->base, on_mail, thread);
	if (thread->wake == NULL || thread->more == NULL || event_add(thread->wake, NULL) != 0)
		goto fail_wake;
	pthread_mutex_init(&thread->lock, NULL);
	*out = thread;
	return 0;

fail_wake:
	if (thread->wake != NULL)
		event_free(thread->wake);
	if (thread->more != NULL)
		event_free(thread->more);
	event_base_free(thread->base);
fail_base:
	close(thread->fd);
fail_fd:
	free(thread);
	return -ENOMEM;
}

struct event_base *thread_base(struct thread *thread)
{
	return thread->base;
}

void thread_run(struct thread *thread)
{
	while (!thread->stopping) {
		if (event_base_loop(thread->base, EVLOOP_ONCE) < 0)
			return;
		turns_note(NULL);
	}
}

static void *thread_main(void *arg)
{
	struct thread *thread = arg;
	pthread_setname_np(pthread_self(), thread->name);
	thread_run(thread);
	return NULL;
}

int thread_start(struct thread *thread)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&thread->id, NULL, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

static void stop(void *arg)
{
	struct thread *thread = arg;
	thread->stopping = true;
}

void thread_stop(struct thread *thread)
{
	post(thread, stop, thread);
}

void thread_join(struct thread *thread)
{
	pthread_join(thread->id, NULL);
}

bool thread_drain(struct thread *thread)
{
	bool any = false;

	while (thread != NULL && handle_one(thread))
		any = true;
	return any;
}

void thread_destroy(struct thread *thread)
{
	if (thread == NULL)
		return;
	thread_drain(thread);
	event_free(thread->wake);
	event_free(thread->more);
	event_base_free(thread->base);
	close(thread->fd);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}
