// SPDX-License-Identifier: BSD-3-Clause
// The life of a limiter: records refused with a reason, words taken up after a restart, a reboot or
// a corruption, changes of the rate under load, the packet rate, the sweep, and what an operator is
// told afterwards.

#include "tests/unit/limiter/sim.h"

#include "dataplane/tables/limiter_watch.h"
#include "dataplane/tables/limiter_wheel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS sim_units(0.001)

static void records_are_checked(void **state)
{
	const struct wire_limiter good = sim_record(100000000);
	struct wire_limiter r = good;
	const char *why;

	assert_int_equal(limiter_check(&r, &why), 0);
	assert_null(why);
	for (uint64_t rate = 1000000; rate <= 400000000000; rate *= 2) {
		r = sim_record(rate);
		assert_int_equal(limiter_check(&r, NULL), 0);
	}
#define REFUSED(field, value)                                   \
	do {                                                    \
		r = good;                                       \
		r.field = value;                                \
		why = NULL;                                     \
		assert_int_equal(limiter_check(&r, &why), -22); \
		assert_non_null(why);                           \
	} while (0)
	REFUSED(rate, 999999);
	REFUSED(rate, 400000000001);
	REFUSED(burst, 124999); // 10 ms are 125,000
	REFUSED(burst, 400ull * 12500000);
	REFUSED(ramp, 10000000001);
	REFUSED(ef_rate, 100000001);
	REFUSED(ef_rate, 1);
	REFUSED(packet_rate, 99);
	REFUSED(flags, 2);
	REFUSED(flags, WIRE_LIMITER_SHAPE); // no queue
	REFUSED(queue, 1000);               // no shaping
	REFUSED(overhead, 65);
	REFUSED(overhead, -65);
	REFUSED(account, 2);
	REFUSED(uid, 0);
	REFUSED(limiter, 0);
	REFUSED(pad[4], 1);
	r = sim_record(1000000);
	r.burst = 15999;
	assert_int_equal(limiter_check(&r, &why), -22);
}

static void accounting_adds_what_the_record_says(void **state)
{
	struct wire_limiter r = sim_record(100000000);

	assert_int_equal(limiter_account(&r, 1), 0);
	r.overhead = -20;
	assert_int_equal(limiter_account(&r, 1), -20);
	r.account = WIRE_ACCOUNT_L2;
	assert_int_equal(limiter_account(&r, 0), -2);
	assert_int_equal(limiter_account(&r, 2), 6);
}

// How many bytes pass at one instant.
static uint64_t burst_now(struct sim *sim)
{
	uint64_t before = sim_passed_bytes(sim);
	uint16_t len[32];

	for (unsigned i = 0; i < 32; i++)
		len[i] = 1000;
	for (unsigned i = 0; i < 4000; i++)
		sim_police(sim, i % sim->workers, len, 0, 32);
	return sim_passed_bytes(sim) - before;
}

static void restart_gives_no_burst(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	struct sim sim;

	sim_start(&sim, &record, 2);
	assert_in_range(burst_now(&sim), record.burst, record.burst * 4 / 3);
	for (unsigned i = 0; i < 10;
		i++) { // killed and started again ten times within a millisecond
		sim.now += MS / 10;
		for (unsigned w = 0; w < 2; w++)
			limiter_void_lease(&sim.part[w]);
		limiter_take_up(&sim.word, &record, SIM_HZ, 2, sim.now, true);
	}
	assert_in_range(burst_now(&sim), 0, 12500 + 2000 + record.burst / 100);
}

static void corrupted_words_are_clamped(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	struct sim sim;

	sim_start(&sim, &record, 2);
	for (unsigned same = 0; same < 2; same++) {
		const uint64_t planted[] = {0, 1ull << 63, ~0ull, sim.now, sim.now + (1ull << 62),
			sim.now - (1ull << 62), sim.now + (1ull << 63), sim.now + 1, sim.now - 1};

		for (unsigned i = 0; i < sizeof(planted) / sizeof(planted[0]); i++) {
			memset(&sim.word, 0xa5, sizeof(sim.word));
			sim.word.tat = sim.word.tat_ef = sim.word.tat_packets = planted[i];
			limiter_take_up(&sim.word, &record, SIM_HZ, 2, sim.now, same);
			memset(sim.part, 0, sizeof(sim.part));
			if (!same)
				assert_int_equal(sim.word.tat, sim.now);
			assert_true((int64_t)(sim.word.tat - sim.now) <= (int64_t)sim.word.hi);
			assert_true((int64_t)(sim.word.tat - sim.now) >= -(int64_t)sim.word.lo);
			assert_true(burst_now(&sim) <= record.burst * 4 / 3);
			sim.now += sim_units(1);
			assert_true(burst_now(&sim) >= record.burst);
			sim.now += sim_units(1);
		}
	}
}

static int sweep(struct sim *sim)
{
	struct limiter_seen seen;

	limiter_see(&sim->word, &seen);
	return limiter_sweep(&sim->word, &seen, sim->now);
}

// The clock goes on, and the word with it, between our look at the word and our look at the clock,
// by any time and in this order: no fault of the word.
static void sweep_by_a_thread_that_lost_its_core(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	struct limiter_seen seen;
	struct sim sim;

	sim_start(&sim, &record, 2);
	burst_now(&sim);
	limiter_see(&sim.word, &seen);
	sim.now += sim_units(0.03);
	burst_now(&sim);
	uint64_t tat = sim.word.tat;
	assert_int_equal(limiter_sweep(&sim.word, &seen, sim.now), 0);
	assert_int_equal(sim.word.tat, tat);
	// Planted meanwhile: what was seen is not there any more, and the next sweep's business.
	sim.word.tat = sim.now + sim_units(10);
	assert_int_equal(limiter_sweep(&sim.word, &seen, sim.now), 0);
	assert_int_equal(sweep(&sim), 1);
}

static void sweep_repairs_far_words(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	struct sim sim;

	record.ef_rate = 10000000;
	record.packet_rate = 10000;
	sim_start(&sim, &record, 2);
	burst_now(&sim);
	assert_int_equal(sweep(&sim), 0); // as full as it gets
	sim.word.tat = sim.now + sim_units(10);
	assert_int_equal(sweep(&sim), 1);
	assert_true((int64_t)(sim.word.tat - sim.now) > 0);
	sim.now += sim_units(1);
	assert_true(burst_now(&sim) > 0);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t *tat = i == 0   ? &sim.word.tat
				: i == 1 ? &sim.word.tat_ef
					 : &sim.word.tat_packets;

		*tat = sim.now - (1ull << 61); // idle for months
		assert_int_equal(sweep(&sim), 1);
		assert_int_equal(*tat, sim.now);
		assert_int_equal(sweep(&sim), 0);
	}
	assert_int_equal(sim.word.repairs, 4);
}

// The clock went back, by little or much: what was charged before lies ahead now, and nothing more
// is passed until the clock is there again. Settled, the contract goes on after its own ramp.
static void settled_after_a_jump(void **state)
{
	static const double back[] = {0.2, 1, 4.9, 5.1, 3600, 4e6};
	struct wire_limiter record = sim_record(100000000);

	record.ef_rate = 10000000;
	record.packet_rate = 10000;
	for (unsigned i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
		struct limiter_seen seen;
		struct sim sim;

		sim_start(&sim, &record, 2);
		burst_now(&sim);
		sim.now -= sim_units(back[i]);
		limiter_see(&sim.word, &seen);
		assert_int_equal(limiter_settle(&sim.word, &seen, sim.now), 1);
		limiter_see(&sim.word, &seen);
		assert_int_equal(limiter_settle(&sim.word, &seen, sim.now), 0);
		sim.now += sim_units(0.09); // burst of 50 ms and what lies above it
		assert_true(burst_now(&sim) > 0);
	}
}

// 60 ms are more than the timing wheel's turn where the TSC is fast: the queue is as long as the wheel.
static void a_queue_fits_the_wheel(void **state)
{
	static const uint64_t hz[] = {1000000000, 2600000000, 4440000000, 4480000000, 5700000000,
		20000000000};
	struct wire_limiter record = sim_record(100000000);

	record.flags = WIRE_LIMITER_SHAPE;
	record.queue = 60000000;
	for (unsigned i = 0; i < sizeof(hz) / sizeof(hz[0]); i++) {
		struct stats_limiter_word word = {0};
		struct wheel *wheel = wheel_create(4, 8);
		double queue;

		limiter_take_up(&word, &record, hz[i], 1, 1ull << 50, false);
		limiter_write(&word, &record, hz[i], 1, 1ull << 50);
		queue = (double)(word.hi - word.slack) / 256 / (double)hz[i];
		assert_true(queue <= 0.06 + 1e-9);
		if (hz[i] < 4450000000)
			assert_true(queue > 0.06 - 1e-9);
		assert_non_null(wheel_put(wheel, 1ull << 50, (1ull << 50) + word.hi - word.slack));
		wheel_destroy(wheel);
	}
}

// A circuit left alone for longer than half the clock's range: nothing private may be believed.
static void long_silence_is_harmless(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	uint64_t ages[] = {
		1ull << 40, 1ull << 62, 1ull << 63, (1ull << 63) + (1ull << 40), 3ull << 62, ~0ull};
	uint16_t len = 1000;
	struct sim sim;

	for (unsigned i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		sim_start(&sim, &record, 1);
		for (unsigned k = 0; k < 100; k++, sim.now += 3 * MS)
			assert_int_equal(sim_police(&sim, 0, &len, 0, 1), 1); // holds a lease
		sim.now += ages[i];
		sweep(&sim); // ran each day, so this is kinder than life
		sim.word.tat = sim.now;
		assert_true(burst_now(&sim) <= record.burst * 4 / 3);
		sim.now += sim_units(1);
		assert_int_equal(sim_police(&sim, 0, &len, 0, 1), 1);
	}
}

// A source that keeps the old contract while the rate goes up and down above it, a thousand times.
static void conforming_through_changes(uint64_t base, unsigned workers)
{
	struct wire_limiter record = sim_record(base), changed;
	double gap = (double)sim_units(1) * 8 / (double)base;
	struct sim sim;
	uint16_t len[8];

	sim_start(&sim, &record, workers);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned n = 1 + (unsigned)sim_below(&sim.random, 8), w;
		uint64_t bytes = 0;

		for (unsigned k = 0; k < n; k++)
			bytes += len[k] = sim_imix(&sim.random);
		sim.now += (uint64_t)((double)bytes * gap) + 1;
		w = (unsigned)sim_below(&sim.random, workers);
		assert_int_equal(sim_police(&sim, w, len, 0, n), (1ull << n) - 1);
		if (i % 20 == 19) {
			changed = sim_record(base * (1 + sim_below(&sim.random, 40)));
			if (sim_below(&sim.random, 4) == 0)
				changed.burst *= 2;
			sim_write(&sim, &changed);
		}
	}
	assert_int_equal(sim_limited_packets(&sim), 0);
}

static void raising_the_rate_loses_nothing(void **state)
{
	conforming_through_changes(1000000, 2);
	conforming_through_changes(50000000, 1);
	conforming_through_changes(1000000000, 4);
}

static void a_change_gives_no_burst(void **state)
{
	static const uint64_t rates[][2] = {{100000000, 50000000}, {50000000, 100000000},
		{10000000, 1000000}, {1000000, 10000000}, {10000000000, 100000000},
		{1000000, 100000000}};
	struct sim sim;

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct wire_limiter old = sim_record(rates[i][0]), new = sim_record(rates[i][1]);

		sim_start(&sim, &old, 2);
		burst_now(&sim); // all of it in use
		sim_write(&sim, &new);
		assert_true(burst_now(&sim) <= 2 * 1000 + new.burst / 1000);
		for (unsigned k = 0; k < 1000; k++)
			sim_write(&sim, k % 2 ? &new : &old);
		assert_true(burst_now(&sim) <= 4 * 1000 + new.burst / 100);
	}
}

static void the_new_rate_holds_at_once(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	struct sim_load load = {.factor = 40, .seconds = 1};
	struct sim sim;
	uint64_t before;

	sim_start(&sim, &record, 4);
	sim_equal_shares(&load, 4);
	sim_run(&sim, &load);
	for (unsigned i = 0; i < 5; i++) {
		uint64_t rate = i % 2 ? 100000000 : 1000000000;
		double carried;

		record = sim_record(rate);
		sim_write(&sim, &record);
		load.factor = 4000000000.0 / (double)rate; // the source does not change
		load.seconds = 0.01;
		sim_run(&sim, &load);
		before = sim_passed_bytes(&sim);
		load.seconds = 0.5;
		sim_run(&sim, &load);
		carried = (double)(sim_passed_bytes(&sim) - before) * 8 / 0.5;
		// What the ramp's level differs by between two overloads is a few ms of the rate at
		// most.
		assert_true(fabs(carried / (double)rate - 1) <= 0.015);
	}
}

static void packet_rate_is_kept(void **state)
{
	struct wire_limiter record = sim_record(1000000000);
	struct sim_load load = {.factor = 0.5, .length = {64, 64, 64, 64}, .seconds = 1};
	struct sim sim;
	uint64_t packets = 0;

	record.packet_rate = 100000; // the load is 976,562 a second
	sim_start(&sim, &record, 4);
	sim_equal_shares(&load, 4);
	sim_run(&sim, &load);
	for (unsigned w = 0; w < 4; w++)
		sim.part[w].count = (struct stats_limiter){0};
	load.seconds = 10;
	sim_run(&sim, &load);
	for (unsigned w = 0; w < 4; w++)
		packets += sim.part[w].count.passed[0].packets;
	assert_true(fabs((double)packets / 1e6 - 1) <= 0.001);
}

// Packets that the contract refuses do not use up the packet rate.
static void packet_rate_counts_what_passes(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	struct sim_load load = {.factor = 10, .length = {1000, 1000}, .seconds = 2};
	struct sim sim;
	uint64_t before;

	record.packet_rate = 13000; // the contract is 12,500 packets of 1,000 bytes
	sim_start(&sim, &record, 2);
	sim_equal_shares(&load, 2);
	sim_run(&sim, &load);
	before = sim_passed_bytes(&sim);
	sim_run(&sim, &load);
	assert_true(fabs((double)(sim_passed_bytes(&sim) - before) / 25e6 - 1) <= 0.002);
}

static void counters_equal_verdicts(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	struct stats_limiter want = {0}, got = {0};
	struct sim sim;
	uint16_t len[64];

	record.ef_rate = 20000000;
	sim_start(&sim, &record, 4);
	for (unsigned i = 0; i < 100000; i++) {
		unsigned n = 1 + (unsigned)sim_below(&sim.random, 64),
			 w = (unsigned)sim_below(&sim.random, 4);
		uint64_t ef = sim_next(&sim.random) & sim_next(&sim.random) & sim_next(&sim.random),
			 passed;

		if (sim_below(&sim.random, 2))
			ef = 0;
		for (unsigned k = 0; k < n; k++)
			len[k] = sim_imix(&sim.random);
		sim.now += sim_below(&sim.random, i / 20000 % 2 ? 4 * MS : MS / 4);
		passed = sim_police(&sim, w, len, ef, n);
		assert_int_equal(n < 64 ? passed >> n : 0, 0);
		for (unsigned k = 0; k < n; k++) {
			unsigned class = ef >> k & 1, ok = passed >> k & 1;

			want.passed[class].packets += ok;
			want.passed[class].bytes += ok ? len[k] : 0;
			want.limited[class].packets += !ok;
			want.limited[class].bytes += ok ? 0 : len[k];
		}
	}
	for (unsigned w = 0; w < 4; w++)
		for (unsigned k = 0; k < 8; k++)
			((uint64_t *)&got)[k] += ((uint64_t *)&sim.part[w].count)[k];
	assert_memory_equal(&got, &want, sizeof(want));
	assert_true(want.limited[0].packets > 10000 && want.passed[1].packets > 10000);
}

static void peak_and_episode_are_told(void **state)
{
	struct wire_limiter record = sim_record(100000000);
	struct stats_limiter_part *part[2];
	struct limiter_watch watch = {0};
	struct wire_episode episode;
	struct sim_load load = {.factor = 0.5};
	struct sim sim;
	uint64_t start, bytes = 0, ended = 0;
	uint16_t len[32];

	sim_start(&sim, &record, 2);
	sim_equal_shares(&load, 2);
	part[0] = &sim.part[0];
	part[1] = &sim.part[1];
	for (unsigned i = 0; i < 32; i++)
		len[i] = 1500;
	load.seconds = 0.5;
	for (unsigned i = 0; i < 20; i++) { // quiet
		sim_run(&sim, &load);
		assert_int_equal(
			limiter_look(&watch, &sim.word, part, 2, sim.now, sim.now, 7, &episode), 0);
	}
	assert_int_equal(sim.word.episode_start, 0);
	// At half of the contract an average millisecond carries 6,250 bytes.
	assert_in_range(sim.word.peak_bytes, 6250, 14000);

	start = sim.now; // 40 bursts of 48 kB at once, one each 0.1 ms
	for (unsigned i = 0; i < 40; i++) {
		sim_police(&sim, 0, len, 0, 32);
		sim.now += MS / 10;
	}
	for (unsigned i = 0; i < 6 && !ended; i++) {
		sim_run(&sim, &load);
		ended = (uint64_t)limiter_look(&watch, &sim.word, part, 2, sim.now,
			1000000000000 + i * 500000000ull, 7, &episode);
	}
	assert_int_equal(ended, 1);
	for (unsigned w = 0; w < 2; w++)
		bytes += sim.part[w].count.limited[0].bytes;
	assert_true(bytes > 0);
	assert_int_equal(episode.uid, 7);
	assert_int_equal(episode.bytes, bytes);
	assert_int_equal(sim.word.episode_bytes, bytes);
	// From the burst's end after 1.3 ms until the level has left the ramp.
	assert_in_range(episode.length, 1000000, 20000000);
	assert_in_range(sim.word.peak_bytes, 400000, 600000); // 480 kB a ms were offered
	assert_true(start < sim.now);
	load.seconds = 1;
	for (unsigned i = 0; i < 62; i++) {
		sim_run(&sim, &load);
		limiter_look(&watch, &sim.word, part, 2, sim.now, 0, 7, &episode);
	}
	assert_in_range(sim.word.peak_bytes, 6250, 14000); // a minute later it is forgotten
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_checked),
		cmocka_unit_test(accounting_adds_what_the_record_says),
		cmocka_unit_test(restart_gives_no_burst),
		cmocka_unit_test(corrupted_words_are_clamped),
		cmocka_unit_test(sweep_repairs_far_words),
		cmocka_unit_test(sweep_by_a_thread_that_lost_its_core),
		cmocka_unit_test(settled_after_a_jump),
		cmocka_unit_test(a_queue_fits_the_wheel),
		cmocka_unit_test(long_silence_is_harmless),
		cmocka_unit_test(raising_the_rate_loses_nothing),
		cmocka_unit_test(a_change_gives_no_burst),
		cmocka_unit_test(the_new_rate_holds_at_once),
		cmocka_unit_test(packet_rate_is_kept),
		cmocka_unit_test(packet_rate_counts_what_passes),
		cmocka_unit_test(counters_equal_verdicts),
		cmocka_unit_test(peak_and_episode_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
