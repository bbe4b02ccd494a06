// SPDX-License-Identifier: BSD-3-Clause

#include "control/base/turns.h"

#include "control/base/clock.h"

#include <time.h>

#define RECENT_NS 10000000000u

static __thread struct turns turns;
static __thread uint64_t last_ns, before_ns, window_ns; // before: longest turn of the window before this one

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void turns_note(void)
{
	uint64_t cpu = cpu_ns(), now = clock_ns(), ns = last_ns != 0 ? cpu - last_ns : 0;

	last_ns = cpu;
	if (now - window_ns > RECENT_NS) {
		before_ns = turns.recent_ns;
		turns.recent_ns = 0;
		window_ns = now;
	}
	turns.recent_ns = ns > turns.recent_ns ? ns : turns.recent_ns;
	turns.longest_ns = ns > turns.longest_ns ? ns : turns.longest_ns;
}

struct turns turns_longest(void)
{
	struct turns shown = turns;

	if (before_ns > shown.recent_ns)
		shown.recent_ns = before_ns;
	return shown;
}
