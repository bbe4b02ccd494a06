/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef THREAD_H
#define THREAD_H

// culvertd's threads and the only way they talk: each thread is an event loop with a mailbox. Nothing is
// shared between threads but immutable, reference-counted snapshots; whoever is named by a message owns it.

#include <stdbool.h>

struct event_base;
struct thread;

// Makes a mailbox and an event base; nothing runs yet. Mail posted before the thread runs waits for it.
// `name` (at most 15 bytes, not copied) is the kernel's name of the thread. Returns 0 or -errno.
int thread_create(struct thread **thread, const char *name);

// The loop of the thread; used only before it starts and on the thread itself.
struct event_base *thread_base(struct thread *thread);

// Runs fn(arg) on `to`, in the order posted by each poster, never inside this call (also when `to` is the
// caller's own thread). Callable from any thread until thread_destroy. Does not fail. Long turns are told by fn's name.
#define post(to, fn, arg) post_as(#fn, to, fn, arg)
void post_as(const char *name, struct thread *to, void (*fn)(void *arg), void *arg);

// Starts a new thread that runs the loop. Signals stay with the thread that was there first.
int thread_start(struct thread *thread);
// Runs the loop on the calling thread until thread_stop.
void thread_run(struct thread *thread);

// Asks the loop to end once all mail posted before has been handled. From any thread.
void thread_stop(struct thread *thread);
// Waits for a started thread to end. Mail that is posted later waits for thread_drain.
void thread_join(struct thread *thread);
// For threads that have ended or were never started: handles what is in the mailbox, on the caller's
// thread. True when there was something; it may have posted to another thread, so drain them all until none has.
bool thread_drain(struct thread *thread);
// Drains and frees. The event base goes with it: its events must have been freed. NULL is fine.
void thread_destroy(struct thread *thread);

#endif
