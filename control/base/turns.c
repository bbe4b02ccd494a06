// SPDX-License-Identifier: BSD-3-Clause

#include "control/base/turns.h"

#include "control/base/clock.h"

#include <time.h>

#define RECENT_NS 10000000000u

static __thread struct turns turns;
static __thread struct turn before; // longest of the window before this one
static __thread uint64_t last_ns, window_ns;
static __thread const char *running;

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void turns_part(const char *name)
{
	running = name;
}

static void longer(struct turn *longest, const struct turn *turn)
{
	if (turn->ns > longest->ns)
		*longest = *turn;
}

void turns_note(const char *callback)
{
	uint64_t cpu = cpu_ns(), now = clock_ns();
	const struct turn turn = {last_ns != 0 ? cpu - last_ns : 0, running};

	last_ns = cpu;
	running = callback;
	if (now - window_ns > RECENT_NS) {
		before = turns.recent;
		turns.recent = (struct turn){0};
		window_ns = now;
	}
	longer(&turns.recent, &turn);
	longer(&turns.longest, &turn);
}

struct turns turns_longest(void)
{
	struct turns shown = turns;

	longer(&shown.recent, &before);
	return shown;
}
