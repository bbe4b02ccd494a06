/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SPEAKERS_CHILD_H
#define SPEAKERS_CHILD_H

// Short-lived commands, started and waited for without stopping the event loop.

struct child;
struct event_base;

// status is wait()'s; output is the beginning of what it wrote to stderr. The child is freed after the call.
typedef void (*child_done)(void *ctx, int status, const char *output);
// argv[0] is looked for in PATH. The command gets a session of its own and /dev/null to read. 0 or -errno.
int child_start(struct child **child, struct event_base *base, const char *const argv[],
	child_done done, void *ctx);
void child_forget(struct child *child); // done is not called; the command goes on. NULL is fine

#endif
