/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LIMITER_SIM_H
#define TESTS_LIMITER_SIM_H

// Virtual time around the real limiter: workers with skewed clocks poll bursts of a source that
// never blocks; nothing here reads a clock, so a second at 100 Gb/s is as exact on a busy machine
// as on a quiet one.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tables/limiter.h"

#define SIM_HZ      2600000200ull // this family of machines; not a round number on purpose
#define SIM_WORKERS 16u
#define SIM_SKEW_NS 38

struct sim_random {
	uint64_t state;
};
uint64_t sim_next(struct sim_random *random);
uint64_t sim_below(struct sim_random *random, uint64_t n);
uint64_t sim_seed(void); // CULVERT_SEED or 1; printed once

static inline uint64_t sim_units(double seconds)
{
	return (uint64_t)(seconds * (double)SIM_HZ * 256.0);
}

struct sim {
	struct stats_limiter_word word;
	struct stats_limiter_part part[SIM_WORKERS];
	int64_t skew[SIM_WORKERS]; // units
	unsigned workers;
	struct wire_limiter record;
	struct sim_random random;
	uint64_t now; // true time, units
};

// A limiter as the controller makes it by default.
struct wire_limiter sim_record(uint64_t rate);
void sim_start(struct sim *sim, const struct wire_limiter *record, unsigned workers);
void sim_write(struct sim *sim, const struct wire_limiter *record);

// One call of worker w with its own clock.
uint64_t sim_police(struct sim *sim, unsigned w, const uint16_t *len, uint64_t ef, unsigned n);

// Mixed lengths, 7 x 64, 4 x 594, 1 x 1518.
uint16_t sim_imix(struct sim_random *random);

// An overload: worker w offers share[w] (sum 1) of `factor` times the rate, in polls of 1..burst
// packets (0 = what comes in 50 us) of `length` bytes (0 = mixed). `each` is told of every verdict.
// Runs for `seconds`.
struct sim_load {
	double factor;
	double share[SIM_WORKERS];
	uint16_t length[SIM_WORKERS];
	unsigned burst;
	double seconds;
	double ef_share; // of the rate, sent by worker 0 on top, in single packets of 200 bytes
	void (*each)(void *ctx, struct sim *sim, unsigned w, const uint16_t *len, uint64_t ef,
		unsigned n, uint64_t passed);
	void *ctx;
};
void sim_run(struct sim *sim, const struct sim_load *load);
void sim_equal_shares(struct sim_load *load, unsigned workers);

uint64_t sim_passed_bytes(const struct sim *sim);
uint64_t sim_limited_packets(const struct sim *sim);

// Passed bytes of every window of one second, sliding by 10 ms.
#define SIM_SLICES 100u
struct sim_windows {
	uint64_t start, slice;
	uint64_t ring[SIM_SLICES];
	uint64_t filled; // slices begun
	uint64_t sum;
	uint64_t least, most; // over all complete windows
	uint64_t windows;
};
void sim_windows_start(struct sim_windows *w, uint64_t from);
void sim_windows_add(struct sim_windows *w, uint64_t now, uint64_t bytes);

#endif
