/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_THREAD_H
#define IO_THREAD_H

// The threads of a running data plane: workers, and (declared in host.h) the host path's.

#include <stdbool.h>

#include "dataplane/dataplane.h"

struct io_threads;

struct io_threads_config {
	struct dataplane *dp;
	bool idle_sleep; // after some empty polls: offline and a short sleep
};

// A worker runs on its own EAL worker lcore as long as there are some, else on a thread that runs
// where the caller may. 0 or -errno.
int io_threads_start(const struct io_threads_config *config, struct io_threads **threads);
void io_threads_stop(struct io_threads *threads); // returns when all have ended; NULL is fine

#endif
