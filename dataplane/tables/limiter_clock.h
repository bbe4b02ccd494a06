/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_LIMITER_CLOCK_H
#define TABLES_LIMITER_CLOCK_H

// How many TSC ticks a second has, measured against CLOCK_MONOTONIC_RAW. rte_get_tsc_hz() is
// rounded to 10 MHz on some machines (0.4 % of a 2.6 GHz clock), which would be an error of the
// contract.

#include <stdint.h>

struct limiter_clock {
	uint64_t (*ticks)(void *ctx); // NULL = the TSC
	uint64_t (*ns)(void *ctx);    // NULL = CLOCK_MONOTONIC_RAW
	void *ctx;

	uint64_t hz;                              // the result
	uint64_t error;                           // bound of its error in ppb
	uint64_t mark_ticks, mark_ns, mark_error; // start of the period measured now
	uint64_t other_hz; // of the period before, when it was not `hz`; 0 = it was
};

// Measures for `for_ns` (at least 1 ms; 20 ms give 20 ppm by far) by reading both clocks at its
// ends; spins. The function pointers are set or NULL. 0, -ENOTSUP (the CPU's TSC is not invariant,
// or there is none; only checked with the real one), -ERANGE (readings make no sense: below 100 MHz
// or above 20 GHz).
int limiter_clock_start(struct limiter_clock *clock, uint64_t for_ns);

// Main thread, every second or so: measures on over a longer and longer period, and follows the
// frequency when it drifts. Returns 1 when `hz` changed by 2 ppm or more: write the limiters anew
// (limiter_write()). -ERANGE: the clock jumped, by 1,000 ppm of the time since the last call or
// period (a machine that slept, a restored or migrated guest); times taken before it mean nothing,
// `hz` is kept and measured from here. When two periods that follow one another agree on another
// frequency, it is taken: 1.
int limiter_clock_check(struct limiter_clock *clock);

#endif
