/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NOTIFY_H
#define NOTIFY_H

// What systemd is told (sd_notify(3)): that culvertd is ready, that it ends, and, where the unit has WatchdogSec=, that
// its threads still turn. Without systemd nothing is told. Main thread only.

#include <stdint.h>

struct notify;
struct thread;

// The socket is open and the model is published. `watched` are asked to answer through their mailboxes before the
// watchdog is fed: a thread that hangs is a culvertd that hangs. NULL = no memory; the rest goes on without it.
struct notify *notify_ready(struct thread *main, struct thread *const *watched, unsigned int count,
	const char *edge, uint64_t revision);
// The loops have ended; NULL is fine. Frees it.
void notify_stopping(struct notify *notify);
// After thread_drain(): nobody answers any more.
void notify_free(struct notify *notify);

#endif
