/* SPDX-License-Identifier: BSD-3-Clause */
// Mailboxes: order per poster, nothing lost while many post, mail to a thread that has ended still handled.

#include "control/thread.h"

#include "control/base/turns.h"

#include <pthread.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define POSTERS 4
#define LETTERS 20000

struct letter {
	struct counter *counter;
	unsigned int poster, number;
};

struct counter {
	struct thread *receiver, *main;
	unsigned int next[POSTERS];
	unsigned int total, out_of_order;
};

struct poster {
	struct counter *counter;
	unsigned int index;
};

static void on_letter(void *arg)
{
	struct letter *letter = arg;
	struct counter *counter = letter->counter;

	if (letter->number != counter->next[letter->poster]++)
		counter->out_of_order++;
	if (++counter->total == POSTERS * LETTERS)
		thread_stop(counter->main);
	free(letter);
}

static void *post_many(void *arg)
{
	struct poster *poster = arg;
	for (unsigned int i = 0; i < LETTERS; i++) {
		struct letter *letter = malloc(sizeof(*letter));
		*letter = (struct letter){poster->counter, poster->index, i};
		post(poster->counter->receiver, on_letter, letter);
	}
	return NULL;
}

static void test_order(void **state)
{
	struct counter counter = {0};
	struct poster posters[POSTERS];
	pthread_t ids[POSTERS];

	assert_int_equal(thread_create(&counter.main, "main"), 0);
	assert_int_equal(thread_create(&counter.receiver, "receiver"), 0);
	assert_int_equal(thread_start(counter.receiver), 0);
	for (unsigned int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){&counter, i};
		assert_int_equal(pthread_create(&ids[i], NULL, post_many, &posters[i]), 0);
	}
	thread_run(counter.main);
	for (unsigned int i = 0; i < POSTERS; i++)
		pthread_join(ids[i], NULL);
	thread_stop(counter.receiver);
	thread_join(counter.receiver);
	assert_int_equal(counter.total, POSTERS * LETTERS);
	assert_int_equal(counter.out_of_order, 0);
	thread_destroy(counter.receiver);
	thread_destroy(counter.main);
}

struct ring {
	struct thread *thread;
	unsigned int left;
	int inside;
	int nested;
};

static void post_again(void *arg)
{
	struct ring *ring = arg;
	ring->nested += ring->inside;
	ring->inside = 1;
	if (--ring->left > 0)
		post(ring->thread, post_again, ring);
	else
		thread_stop(ring->thread);
	ring->inside = 0;
}

static void test_post_to_self(void **state)
{
	struct ring ring = {.left = 1000};

	assert_int_equal(thread_create(&ring.thread, "self"), 0);
	post(ring.thread, post_again, &ring);
	thread_run(ring.thread);
	assert_int_equal(ring.left, 0);
	assert_int_equal(ring.nested, 0);
	thread_destroy(ring.thread);
}

static void count(void *arg)
{
	(*(unsigned int *)arg)++;
}

static void test_late_mail_is_handled(void **state)
{
	struct thread *thread;
	unsigned int early = 0, late = 0;

	assert_int_equal(thread_create(&thread, "late"), 0);
	for (unsigned int i = 0; i < 500; i++)
		post(thread, count, &early);
	assert_int_equal(thread_start(thread), 0);
	thread_stop(thread);
	thread_join(thread);
	assert_int_equal(early, 500);
	post(thread, count, &late);
	assert_int_equal(late, 0);
	thread_destroy(thread);
	assert_int_equal(late, 1);
}

struct flood {
	struct thread *thread;
	int fd; // becomes readable with the first mail
	unsigned int handled, handled_before_socket;
};

static void flood_mail(void *arg)
{
	struct flood *flood = arg;
	if (flood->handled++ == 0)
		eventfd_write(flood->fd, 1);
}

static void flood_socket(evutil_socket_t fd, short events, void *arg)
{
	struct flood *flood = arg;
	flood->handled_before_socket = flood->handled;
	thread_stop(flood->thread);
}

// A socket that has something is looked at between mails, not after all of them.
static void test_mail_starves_no_socket(void **state)
{
	struct flood flood = {.fd = eventfd(0, EFD_NONBLOCK)};

	assert_int_equal(thread_create(&flood.thread, "flood"), 0);
	struct event *event =
		event_new(thread_base(flood.thread), flood.fd, EV_READ, flood_socket, &flood);
	assert_int_equal(event_add(event, NULL), 0);
	for (unsigned int i = 0; i < 5000; i++)
		post(flood.thread, flood_mail, &flood);
	thread_run(flood.thread);
	assert_in_range(flood.handled_before_socket, 1, 500);
	event_free(event);
	thread_destroy(flood.thread);
	close(flood.fd);
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void dawdle(void *arg)
{
	uint64_t end = cpu_ns() + 30000000;

	while (cpu_ns() < end)
		;
}

static void note_longest(void *arg)
{
	*(struct turns *)arg = turns_longest();
}

static void test_longest_turn_has_a_name(void **state)
{
	struct turns turns = {0};
	unsigned int others = 0;
	struct thread *thread;

	assert_int_equal(thread_create(&thread, "turns"), 0);
	post(thread, count, &others);
	post(thread, dawdle, NULL);
	post(thread, count, &others);
	post(thread, note_longest, &turns);
	assert_int_equal(thread_start(thread), 0);
	thread_stop(thread);
	thread_join(thread);
	thread_destroy(thread);
	assert_string_equal(turns.longest.callback, "dawdle");
	assert_string_equal(turns.recent.callback, "dawdle");
	assert_in_range(turns.longest.ns, 30000000, 1000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_post_to_self),
		cmocka_unit_test(test_late_mail_is_handled),
		cmocka_unit_test(test_mail_starves_no_socket),
		cmocka_unit_test(test_longest_turn_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
