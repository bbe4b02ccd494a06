// SPDX-License-Identifier: BSD-3-Clause
// The contract itself, in virtual time: every second of a sustained overload carries the rate, a
// source that keeps the contract loses nothing, small packets and slow workers get their share, EF
// comes first. CULVERT_LONG=1 runs all rates, overloads and worker counts of the targets at full
// length.

#include "tests/unit/limiter/sim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool long_run(void)
{
	const char *text = getenv("CULVERT_LONG");

	return text && *text == '1';
}

static void watch_windows(void *ctx, struct sim *sim, unsigned w, const uint16_t *len, uint64_t ef,
	unsigned n, uint64_t passed)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += passed >> i & 1 ? len[i] : 0;
	sim_windows_add(ctx, sim->now, bytes);
}

// Time until an overload has used up the burst, with a margin.
static double settled(const struct wire_limiter *r, double factor)
{
	double burst = (double)r->burst * 8 / (double)r->rate * 1.25 + (double)r->ramp * 1e-9;

	return burst / (factor - 1) + 0.2;
}

static double worst_window(uint64_t rate, double factor, unsigned workers, double seconds)
{
	struct wire_limiter record = sim_record(rate);
	struct sim_windows windows;
	struct sim_load load = {.factor = factor, .each = watch_windows, .ctx = &windows};
	struct sim sim;
	double low, high, mtu = 1518, contract = (double)rate / 8;

	sim_start(&sim, &record, workers);
	sim_equal_shares(&load, workers);
	load.seconds = settled(&record, factor) + seconds;
	sim_windows_start(&windows, sim.now + sim_units(settled(&record, factor)));
	sim_run(&sim, &load);
	assert_true(windows.windows > 0);
	low = (contract - (double)windows.least - mtu) / contract;
	high = ((double)windows.most - contract - mtu) / contract;
	printf("%8.0f Mb/s x %5.2f, %2u workers: 1 s windows %+.4f %% .. %+.4f %% (beside one "
	       "packet)\n",
		(double)rate / 1e6, factor, workers, -fmax(low, 0) * 100, fmax(high, 0) * 100);
	return fmax(low, high);
}

static void every_second_carries_the_contract(void **state)
{
	static const struct {
		uint64_t rate;
		double factor, seconds;
		unsigned workers;
	} brief[] = {
		{50000000, 1.05, 3, 2},
		{50000000, 2, 4, 8},
		{50000000, 20, 2, 16},
		{100000000, 2, 3, 1},
		{1000000000, 2, 2, 8},
		{10000000000, 2, 1.2, 16},
	};

	for (unsigned i = 0; i < sizeof(brief) / sizeof(brief[0]); i++)
		assert_true(worst_window(brief[i].rate, brief[i].factor, brief[i].workers,
				    brief[i].seconds) <= 0.001);
	assert_true(worst_window(1000000, 5, 4, 10) <= 0.013);
}

static void every_second_carries_the_contract_long(void **state)
{
	static const uint64_t rates[] = {
		50000000, 200000000, 1000000000, 10000000000, 40000000000, 100000000000};
	static const double factors[] = {1.05, 1.5, 2, 5, 20};
	static const unsigned workers[] = {1, 2, 4, 8, 16};

	if (!long_run())
		skip();
	for (unsigned r = 0; r < 6; r++)
		for (unsigned f = 0; f < 5; f++)
			for (unsigned w = 0; w < 5; w++) {
				// 2e9 packets a run are enough.
				double seconds = rates[r] >= 40000000000   ? 1.1
						 : rates[r] >= 10000000000 ? 2
									   : 10;

				assert_true(worst_window(rates[r], factors[f], workers[w],
						    seconds) <= 0.001);
			}
	for (unsigned w = 0; w < 5; w++)
		assert_true(worst_window(1000000, 5, workers[w], 60) <= 0.013);
}

// --- every size that is sold ---------------------------------------------------------------------------

#define TENTHS 11u // of 10 ms, and one more: whatever 10 ms begin within the first lie in them

struct short_windows {
	uint64_t begin, slice, number, ring[TENTHS], sum, most;
};

struct both_windows {
	struct sim_windows second;
	struct short_windows tenth;
};

static void watch_both(void *ctx, struct sim *sim, unsigned w, const uint16_t *len, uint64_t ef,
	unsigned n, uint64_t passed)
{
	struct both_windows *both = ctx;
	struct short_windows *s = &both->tenth;
	uint64_t bytes = 0, number = (sim->now - s->begin) / s->slice;

	for (unsigned i = 0; i < n; i++)
		bytes += passed >> i & 1 ? len[i] : 0;
	if (sim->now >= both->second.start)
		sim_windows_add(&both->second, sim->now, bytes);
	for (; s->number < number; s->number++) {
		uint64_t *next = &s->ring[(s->number + 1) % TENTHS];
		s->sum -= *next;
		*next = 0;
	}
	s->ring[number % TENTHS] += bytes;
	s->sum += bytes;
	s->most = s->sum > s->most ? s->sum : s->most;
}

// Offered twelve times the rate from the first packet on: over any 10 ms no more than rate and burst, and the burst's own
// tolerance of a quarter; offered twice the rate, once the burst is used up, over any second what was bought.
static void size_with_frames(uint64_t rate, uint16_t length)
{
	struct wire_limiter record = sim_record(rate);
	struct both_windows both = {0};
	struct sim_load load = {.factor = 12, .seconds = 0.03, .each = watch_both, .ctx = &both};
	struct sim sim;
	double contract = (double)rate / 8, low, high;

	sim_start(&sim, &record, 2);
	sim_equal_shares(&load, 2);
	load.length[0] = load.length[1] = length;
	both.tenth = (struct short_windows){.begin = sim.now, .slice = sim_units(0.001)};
	both.second.start = UINT64_MAX;
	sim_run(&sim, &load);
	load.factor = 2;
	load.seconds = 0.2 + 1.05;
	sim_windows_start(&both.second, sim.now + sim_units(0.2));
	sim_run(&sim, &load);
	assert_true(both.second.windows > 0);
	low = (contract - (double)both.second.least - length) / contract;
	high = ((double)both.second.most - contract - length) / contract;
	double over = ((double)both.tenth.most - contract * 0.011 - (double)record.burst) / (double)record.burst;
	printf("%6.0f Mb/s, %4u bytes: 1 s %+.4f %% .. %+.4f %%, 10 ms %+.1f %% of the burst\n",
		(double)rate / 1e6, length, -fmax(low, 0) * 100, fmax(high, 0) * 100, over * 100);
	assert_true(low <= 0.01 && high <= 0.01);
	assert_true(over <= 0.25 + (double)record.ramp * 1e-9 * contract / (double)record.burst);
}

static void every_size_with_every_length(void **state)
{
	static const uint64_t sizes[] = {50, 100, 200, 500, 1000, 2000, 5000, 10000};
	static const uint16_t lengths[] = {64, 594, 1500};

	for (unsigned s = 0; s < 8; s++) {
		for (unsigned l = sizes[s] > 1000 && !long_run() ? 1 : 0; l < 3; l++)
			size_with_frames(sizes[s] * 1000000, lengths[l]);
	}
}

// Any window at all: rate x T + 1.125 burst + burst/8 + ramp + one packet, from the very first one.
static void any_window_is_bounded(void **state)
{
	struct wire_limiter record = sim_record(1000000000);
	struct sim_load load = {.factor = 10, .burst = 32, .seconds = 0.02};
	struct sim sim;
	uint64_t before = 0, begin, bound, most = record.burst * 5 / 4 + 1250000 + 1518;

	sim_start(&sim, &record, 8);
	sim_equal_shares(&load, 8);
	begin = sim.now;
	for (unsigned i = 0; i < 50; i++) {
		sim_run(&sim, &load);
		bound = most + (uint64_t)((double)(sim.now - begin) / (double)sim_units(1) * 125e6);
		assert_true(sim_passed_bytes(&sim) <= bound);
		assert_true(sim_passed_bytes(&sim) >= before);
		before = sim_passed_bytes(&sim);
	}
}

// A source that keeps (rate, burst): its own exact bucket decides when it may send.
static void conforming(uint64_t rate, unsigned workers, uint64_t packets, bool bursty)
{
	struct wire_limiter record = sim_record(rate);
	struct sim sim;
	uint16_t len[32];
	double tokens, per_unit;

	sim_start(&sim, &record, workers);
	tokens = (double)record.burst;
	per_unit = (double)rate / 8 / (double)sim_units(1);
	while (packets) {
		unsigned n = 1 + (unsigned)sim_below(&sim.random, 32), w;
		uint64_t bytes = 0, want;

		for (unsigned i = 0; i < n; i++)
			bytes += len[i] = sim_imix(&sim.random);
		// Bursty: stays silent until the bucket is full, then sends it all at once.
		want = bursty && !sim_below(&sim.random, 2000) ? record.burst : bytes;
		if (tokens < (double)want) {
			uint64_t wait = (uint64_t)(((double)want - tokens) / per_unit) + 1;

			sim.now += wait;
			tokens += (double)wait * per_unit;
			if (tokens > (double)record.burst)
				tokens = (double)record.burst;
		}
		tokens -= (double)bytes;
		w = (unsigned)sim_below(&sim.random, workers);
		assert_int_equal(sim_police(&sim, w, len, 0, n), n == 64 ? ~0ull : (1ull << n) - 1);
		packets -= n < packets ? n : packets;
	}
	assert_int_equal(sim_limited_packets(&sim), 0);
}

static void conforming_source_loses_nothing(void **state)
{
	static const uint64_t rates[] = {1000000, 50000000, 1000000000, 10000000000, 100000000000};
	uint64_t packets = long_run() ? 10000000 : 200000;

	for (unsigned r = 0; r < 5; r++)
		for (unsigned w = 1; w <= 16; w *= 4) {
			conforming(rates[r], w, packets, false);
			conforming(rates[r], w, packets, true);
		}
}

static double acceptance(const struct sim *sim, unsigned w)
{
	const struct stats_limiter *c = &sim->part[w].count;

	return (double)c->passed[0].bytes / (double)(c->passed[0].bytes + c->limited[0].bytes);
}

// Acceptance of worker 0 relative to worker 1 over the run after the burst is used up.
static double relative(uint64_t rate, double factor, const struct sim_load *model, unsigned workers)
{
	struct wire_limiter record = sim_record(rate);
	struct sim_load load = *model;
	struct sim sim;
	double result;

	sim_start(&sim, &record, workers);
	load.factor = factor;
	load.seconds = settled(&record, factor);
	sim_run(&sim, &load);
	for (unsigned w = 0; w < workers; w++)
		sim.part[w].count = (struct stats_limiter){0};
	load.seconds = long_run() ? 60 : rate > 500000000 ? 4 : 20;
	sim_run(&sim, &load);
	result = acceptance(&sim, 0) / acceptance(&sim, 1);
	printf("%5.0f Mb/s x %g: worker 0 accepted %.4f, worker 1 %.4f, ratio %.4f\n",
		(double)rate / 1e6, factor, acceptance(&sim, 0), acceptance(&sim, 1), result);
	return result;
}

// The same for two sources that do not share a wire: each sends its packets evenly spaced, on its
// own.
static double independent(uint64_t rate, double factor)
{
	static const uint16_t length[2] = {64, 1518};
	struct wire_limiter record = sim_record(rate);
	double byte = (double)sim_units(1) * 8 / ((double)rate * factor / 2), due[2];
	uint64_t passed[2] = {0}, sent[2] = {0}, begin;
	struct sim sim;

	sim_start(&sim, &record, 2);
	begin = sim.now;
	for (unsigned w = 0; w < 2; w++)
		due[w] = byte * 1518 * (double)sim_below(&sim.random, 1000) / 1000;
	for (double end = (double)sim_units(10); due[0] < end;) {
		unsigned w = due[1] < due[0];

		sim.now = begin + (uint64_t)due[w];
		if (due[w] > end / 10) {
			passed[w] += sim_police(&sim, w, &length[w], 0, 1);
			sent[w]++;
		} else {
			sim_police(&sim, w, &length[w], 0, 1);
		}
		due[w] += byte * length[w];
	}
	printf("%5.0f Mb/s x %g, two wires: 64 B accepted %.4f, 1518 B %.4f\n", (double)rate / 1e6,
		factor, (double)passed[0] / (double)sent[0], (double)passed[1] / (double)sent[1]);
	return (double)passed[0] / (double)sent[0] / ((double)passed[1] / (double)sent[1]);
}

static void shares_are_fair(void **state)
{
	struct sim_load sizes = {.share = {0.5, 0.5}, .length = {64, 1518}};
	struct sim_load split = {.share = {0.9, 0.1}};
	struct sim_load trains = {.share = {0.5, 0.5}, .length = {594, 594}};

	assert_true(fabs(independent(50000000, 2) - 1) <= 0.03);
	assert_true(fabs(independent(1000000000, 2) - 1) <= 0.03);
	assert_true(fabs(independent(1000000000, 5) - 1) <= 0.03);
	assert_true(fabs(relative(50000000, 2, &sizes, 2) - 1) <= 0.03);
	assert_true(fabs(relative(1000000000, 2, &sizes, 2) - 1) <= 0.03);
	assert_true(fabs(relative(200000000, 2, &split, 2) - 1) <= 0.03);
	assert_true(fabs(relative(200000000, 5, &trains, 2) - 1) <= 0.03);
}

struct ef_count {
	struct sim_windows windows;
	uint64_t ef, ef_lost;
};

static void watch_ef(void *ctx, struct sim *sim, unsigned w, const uint16_t *len, uint64_t ef,
	unsigned n, uint64_t passed)
{
	struct ef_count *count = ctx;

	watch_windows(&count->windows, sim, w, len, ef, n, passed);
	count->ef += ef;
	count->ef_lost += ef & ~passed;
}

static double flood(
	uint64_t rate, double factor, double ef_share, double ef_cap, struct ef_count *count)
{
	struct wire_limiter record = sim_record(rate);
	struct sim_load load = {.factor = factor, .ef_share = ef_share, .each = watch_ef};
	struct sim sim;
	double contract = (double)rate / 8;

	*count = (struct ef_count){.ef = 0};
	record.ef_rate = (uint64_t)((double)rate * ef_cap);
	sim_start(&sim, &record, 4);
	sim_equal_shares(&load, 4);
	load.ctx = count;
	load.seconds = settled(&record, factor) + 2;
	sim_windows_start(&count->windows, sim.now + sim_units(settled(&record, factor)));
	sim_run(&sim, &load);
	return ((double)count->windows.most - contract - 1518) / contract;
}

static void ef_inside_its_share_loses_nothing(void **state)
{
	struct ef_count count;

	assert_true(flood(100000000, 10, 0.09, 0.10, &count) <= 0.001);
	assert_true(count.ef > 1000);
	assert_int_equal(count.ef_lost, 0);
	assert_true(flood(1000000000, 20, 0.28, 0.30, &count) <= 0.001);
	assert_true(count.ef > 1000);
	assert_int_equal(count.ef_lost, 0);
}

// Three times its cap: what is within the cap passes, the rest shares the fate of best effort, and
// the sum still is the contract.
static void ef_above_its_share_is_best_effort(void **state)
{
	struct ef_count count;
	double lost;

	assert_true(flood(100000000, 10, 0.30, 0.10, &count) <= 0.001);
	lost = (double)count.ef_lost / (double)count.ef;
	printf("EF at 3 x its cap beside a 10 x flood: %.3f lost\n", lost);
	assert_true(lost > 0.5 && lost < 0.667);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_second_carries_the_contract),
		cmocka_unit_test(every_second_carries_the_contract_long),
		cmocka_unit_test(every_size_with_every_length),
		cmocka_unit_test(any_window_is_bounded),
		cmocka_unit_test(conforming_source_loses_nothing),
		cmocka_unit_test(shares_are_fair),
		cmocka_unit_test(ef_inside_its_share_loses_nothing),
		cmocka_unit_test(ef_above_its_share_is_best_effort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
