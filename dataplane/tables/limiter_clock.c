// SPDX-License-Identifier: BSD-3-Clause
// Calibration of the TSC. Both clocks are read as a pair: the TSC before and after the other one,
// the tightest of several tries, so that the pair is known to half of that distance. Two pairs give
// the frequency; the error is the sum of their distances over the time between them: some 50 ns
// over 20 ms are 2.5 ppm, over a minute nothing. limiter_clock_check() measures over periods of a
// minute and more, each on its own: a frequency that drifts (a guest that migrated to another host,
// a TSC that the hypervisor scales) is followed a minute later, and one bad pair is forgotten.
//
// A difference that no crystal makes is a jump: of the count (reset, suspend, restore), which
// happens once, or of the frequency (a guest that now runs on another host), which stays. The first
// is told and forgotten; the second is taken when two periods after one another measured the same,
// so that a jump of the count, or two, is not mistaken for it. What is not seen: a guest whose
// CLOCK_MONOTONIC_RAW is itself made from the TSC, where both go wrong together.

#include "dataplane/tables/limiter_clock.h"

#include <errno.h>
#include <stdbool.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <x86intrin.h>
#define HAVE_TSC 1
#else
#define HAVE_TSC 0
#endif

#define TRIES     16
#define PERIOD    60000000000ull // ns after which a period is closed and the next one begins
#define WRITE_PPB 2000u          // a change that the limiters should know of
#define JUMP_PPB  1000000u       // one that no crystal makes
#define AGREE_PPB 100000u        // two periods that measured the same
#define HZ_MIN    100000000ull
#define HZ_MAX    20000000000ull

struct pair {
	uint64_t ticks, ns;
	uint64_t width; // ticks between which ns was read
};

#if HAVE_TSC
static uint64_t tsc(void *ctx)
{
	return __rdtsc();
}

static bool invariant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && d & (1u << 8);
}
#elif defined(__aarch64__)
// The generic timer: its frequency is constant by architecture.
static uint64_t tsc(void *ctx)
{
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
}

static bool invariant(void)
{
	return true;
}
#else
static uint64_t tsc(void *ctx)
{
	return 0;
}

static bool invariant(void)
{
	return false;
}
#endif

static uint64_t monotonic_raw(void *ctx)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct pair read_pair(const struct limiter_clock *clock)
{
	struct pair best = {.width = UINT64_MAX};

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = clock->ticks(clock->ctx);
		uint64_t ns = clock->ns(clock->ctx);
		uint64_t after = clock->ticks(clock->ctx);

		if (after - before < best.width)
			best = (struct pair){before + (after - before) / 2, ns, after - before};
	}
	return best;
}

static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)(((unsigned __int128)a * b + c / 2) / c);
}

static uint64_t difference_ppb(uint64_t a, uint64_t b)
{
	return scale(a > b ? a - b : b - a, 1000000000u, b);
}

static void mark(struct limiter_clock *clock, const struct pair *p)
{
	clock->mark_ticks = p->ticks;
	clock->mark_ns = p->ns;
	clock->mark_error = p->width;
}

// Frequency between the mark and p; 0 when the clocks did not both go forward.
static uint64_t measure(const struct limiter_clock *clock, const struct pair *p, uint64_t *error)
{
	uint64_t ticks = p->ticks - clock->mark_ticks, ns = p->ns - clock->mark_ns;

	if ((int64_t)ticks <= 0 || (int64_t)ns <= 0)
		return 0;
	*error = scale((p->width + clock->mark_error) / 2 + 1, 1000000000u, ticks);
	return scale(ticks, 1000000000u, ns);
}

int limiter_clock_start(struct limiter_clock *clock, uint64_t for_ns)
{
	struct pair p;

	if (!clock->ticks && !invariant())
		return -ENOTSUP;
	clock->ticks = clock->ticks ? clock->ticks : tsc;
	clock->ns = clock->ns ? clock->ns : monotonic_raw;
	p = read_pair(clock);
	mark(clock, &p);
	while (clock->ns(clock->ctx) - clock->mark_ns < (for_ns > 1000000 ? for_ns : 1000000))
		;
	p = read_pair(clock);
	clock->hz = measure(clock, &p, &clock->error);
	return clock->hz < HZ_MIN || clock->hz > HZ_MAX ? -ERANGE : 0;
}

// `hz` was measured since the mark and is not the clock's; 0 = nonsense.
static int jumped(struct limiter_clock *clock, const struct pair *p, uint64_t hz, uint64_t error)
{
	uint64_t before = clock->other_hz;
	bool sane = hz >= HZ_MIN && hz <= HZ_MAX;

	mark(clock, p);
	clock->other_hz = sane ? hz : 0;
	if (!sane || !before || difference_ppb(hz, before) > AGREE_PPB)
		return -ERANGE;
	clock->other_hz = 0;
	clock->hz = hz;
	clock->error = error;
	return 1;
}

int limiter_clock_check(struct limiter_clock *clock)
{
	struct pair p = read_pair(clock);
	uint64_t error = 0, hz = measure(clock, &p, &error), change;
	bool full = p.ns - clock->mark_ns >= PERIOD;

	if (!hz || difference_ppb(hz, clock->hz) > JUMP_PPB)
		return jumped(clock, &p, hz, error);
	clock->other_hz = 0;
	// A full period is believed as it is, a shorter one only if it knows better than we do.
	if (!full && error >= clock->error)
		return 0;
	if (full)
		mark(clock, &p);
	clock->error = error;
	change = difference_ppb(hz, clock->hz);
	if (change < WRITE_PPB)
		return 0;
	clock->hz = hz;
	return 1;
}
