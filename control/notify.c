// SPDX-License-Identifier: BSD-3-Clause
// The watchdog asks before it speaks. At half the time that the unit allows, each watched thread gets a message that
// it sends back; systemd hears of us only when all of the last round came back. A thread in an endless loop, or
// one that waits for something that never comes, thus ends in a restart, which loses no packet.

#include "control/notify.h"

#include "control/thread.h"

#include <event2/event.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#define WATCHED_MAX 4u

struct notify {
	struct thread *main;
	struct event *tick;
	unsigned int asked, answered; // of this round
	unsigned int count;
	struct question {
		struct notify *notify;
		struct thread *thread;
	} question[WATCHED_MAX];
};

static void on_answer(void *arg)
{
	((struct question *)arg)->notify->answered++;
}

static void on_question(void *arg)
{
	struct question *question = arg;
	post(question->notify->main, on_answer, question);
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct notify *notify = arg;

	if (notify->answered < notify->asked)
		return; // still waiting: not a word
	sd_notify(0, "WATCHDOG=1");
	notify->answered = 0;
	notify->asked = notify->count;
	for (unsigned int i = 0; i < notify->count; i++)
		post(notify->question[i].thread, on_question, &notify->question[i]);
}

struct notify *notify_ready(struct thread *main, struct thread *const *watched, unsigned int count,
	const char *edge, uint64_t revision)
{
	struct notify *notify = calloc(1, sizeof(*notify));
	uint64_t allowed = 0;

	sd_notifyf(0, "READY=1\nSTATUS=edge %s, revision %llu", edge, (unsigned long long)revision);
	if (notify == NULL)
		return NULL;
	notify->main = main;
	notify->count = count < WATCHED_MAX ? count : WATCHED_MAX;
	for (unsigned int i = 0; i < notify->count; i++)
		notify->question[i] = (struct question){notify, watched[i]};
	if (sd_watchdog_enabled(0, &allowed) <= 0)
		return notify;
	const struct timeval half = {
		(time_t)(allowed / 2000000), (suseconds_t)(allowed / 2 % 1000000)};
	notify->tick = event_new(thread_base(main), -1, EV_PERSIST, on_tick, notify);
	if (notify->tick != NULL)
		event_add(notify->tick, &half);
	return notify;
}

void notify_stopping(struct notify *notify)
{
	sd_notify(0, "STOPPING=1");
	if (notify != NULL && notify->tick != NULL)
		event_free(notify->tick);
	if (notify != NULL)
		notify->tick = NULL;
}

void notify_free(struct notify *notify)
{
	free(notify);
}
