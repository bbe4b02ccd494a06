// SPDX-License-Identifier: BSD-3-Clause
// Shaping in virtual time with the real wheel: what leaves keeps the rate in every window, in
// order, within the queue's bound; EF does not wait; a full wheel polices. And the wheel itself
// against a sorted list.

#include "tests/unit/limiter/sim.h"

#include "dataplane/tables/limiter_wheel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS sim_units(0.001)

struct item {
	uint64_t departure, number;
	uint32_t length;
};

static struct wire_limiter shaping(uint64_t rate, uint64_t queue_ns)
{
	struct wire_limiter r = sim_record(rate);

	r.flags = WIRE_LIMITER_SHAPE;
	r.queue = queue_ns;
	return r;
}

// Slots behind `now`, as the wheel counts them; less than 0: before it.
static int64_t slots_after(uint64_t departure, uint64_t now)
{
	return (int64_t)(((departure >> WHEEL_SHIFT) - (now >> WHEEL_SHIFT)) << WHEEL_SHIFT) >>
	       WHEEL_SHIFT;
}

static void give_back_in_order(uint64_t now, uint64_t seed)
{
	struct wheel *wheel = wheel_create(1000, sizeof(struct item));
	struct sim_random random = {seed};
	uint64_t put = 0, taken = 0, slot = 1ull << WHEEL_SHIFT;

	assert_non_null(wheel);
	assert_null(wheel_take(wheel, now));
	for (unsigned i = 0; i < 300000; i++) {
		const struct item *out;
		struct item *in;
		int64_t last = INT64_MIN;
		uint64_t wait;

		now += sim_below(&random, i % 1000 == 0 ? 200 * MS : MS / 20);
		assert_int_equal(wheel_due(wheel, now), wheel_wait(wheel, now) == 0);
		while ((out = wheel_take(wheel, now)) != NULL) {
			int64_t at = slots_after(out->departure, now);

			assert_true(at <= 0 && at >= last);
			last = at;
			taken++;
		}
		// What stays is due later, by less than the wheel's reach.
		wait = wheel_wait(wheel, now);
		assert_true(wheel_count(wheel) ? wait > 0 && wait < 61 * MS : wait == UINT64_MAX);
		for (unsigned k = (unsigned)sim_below(&random, 4); k-- > 0;) {
			uint64_t departure = now + sim_below(&random, 60 * MS);

			in = wheel_put(wheel, now, departure);
			assert_int_equal(
				in == NULL, wheel_count(wheel) == 1000 && put - taken == 1000);
			if (in == NULL)
				continue;
			*in = (struct item){.departure = departure, .number = put++};
		}
		assert_int_equal(wheel_count(wheel), put - taken);
		assert_int_equal(wheel_room(wheel), 1000 - (put - taken));
	}
	assert_true(taken > 100000);
	assert_null(wheel_put(wheel, now, now + WHEEL_SLOTS * slot + slot)); // out of reach
	while (wheel_drain(wheel) != NULL)
		taken++;
	assert_int_equal(put, taken);
	wheel_destroy(wheel);
}

// Also across the wraps of all that time is counted in: units (320 days of the TSC at 2.6 GHz), their sign, the wheel's
// turn, the number of a slot in 32 bits.
static void wheel_gives_back_in_order(void **state)
{
	static const uint64_t wraps[] = {
		1ull << 50, 0, 1ull << 63, 1ull << 54, (uint64_t)WHEEL_SLOTS << WHEEL_SHIFT};
	uint64_t seed = sim_seed();

	for (unsigned i = 0; i < sizeof(wraps) / sizeof(wraps[0]); i++)
		give_back_in_order(wraps[i] - 50 * MS, seed + i);
}

// One packet over the wrap of the units, by hand.
static void wheel_turns_over_the_wrap(void **state)
{
	struct wheel *wheel = wheel_create(2, sizeof(struct item));
	uint64_t now = -(1ull << WHEEL_SHIFT);

	assert_non_null(wheel_put(wheel, now, now + 2 * MS));
	assert_null(wheel_take(wheel, now));
	assert_non_null(wheel_put(wheel, now, now + MS));
	assert_non_null(wheel_take(wheel, now + 2 * MS));
	assert_non_null(wheel_take(wheel, now + 2 * MS));
	assert_int_equal(wheel_count(wheel), 0);
	wheel_destroy(wheel);
}

// In time, by slots; within a slot in order of arrival.
static void wheel_keeps_arrival_order(void **state)
{
	struct wheel *wheel = wheel_create(64, sizeof(struct item));
	uint64_t now = (1ull << 50) + 5;
	const struct item *out;

	for (uint64_t i = 0; i < 64; i++)
		((struct item *)wheel_put(wheel, now, now + i / 16 * (1ull << WHEEL_SHIFT)))
			->number = i;
	assert_null(wheel_put(wheel, now, now));
	for (uint64_t i = 0; i < 64; i++) {
		out = wheel_take(wheel, now + i / 16 * (1ull << WHEEL_SHIFT));
		assert_non_null(out);
		assert_int_equal(out->number, i);
	}
	assert_null(wheel_take(wheel, now + 50 * MS));
	wheel_destroy(wheel);
}

struct line { // workers with wheels, and what left
	struct wheel *wheel[SIM_WORKERS];
	struct sim_windows windows;
	uint64_t left_bytes, waited, most_wait, packets;
	uint64_t next_number[SIM_WORKERS], last_number[SIM_WORKERS];
	uint64_t ef, ef_lost, ef_waited;
};

static void leave(struct line *line, uint64_t now, uint32_t length)
{
	sim_windows_add(&line->windows, now, length);
	line->left_bytes += length;
}

// Worker w's turn: what is due, then what came.
static void shape_turn(struct sim *sim, struct line *line, unsigned w, const uint16_t *len,
	uint64_t ef, unsigned n)
{
	uint64_t departure[32], now = sim->now + (uint64_t)sim->skew[w], passed;
	const struct item *out;
	struct item *in;

	while ((out = wheel_take(line->wheel[w], now)) != NULL) {
		assert_true(out->number > line->last_number[w]); // one flow a worker: no reordering
		line->last_number[w] = out->number;
		leave(line, sim->now, out->length);
	}
	if (n == 0)
		return;
	passed = limiter_shape(&sim->word, &sim->part[w], now, len, ef, n, departure);
	for (unsigned i = 0; i < n; i++) {
		uint64_t number = ++line->next_number[w], wait = departure[i] - now;

		line->ef += ef >> i & 1;
		if (!(passed >> i & 1)) {
			line->ef_lost += ef >> i & 1;
			continue;
		}
		line->packets++;
		if ((int64_t)wait <= 0) {
			if (!(ef >> i & 1)) {
				assert_true(number > line->last_number[w]);
				line->last_number[w] = number;
				assert_int_equal(
					wheel_count(line->wheel[w]), 0); // nobody is overtaken
			}
			leave(line, sim->now, len[i]);
			continue;
		}
		line->ef_waited += ef >> i & 1;
		line->most_wait = wait > line->most_wait ? wait : line->most_wait;
		in = wheel_put(line->wheel[w], now, departure[i]);
		assert_non_null(in);
		*in = (struct item){.departure = departure[i], .number = number, .length = len[i]};
	}
}

static void overload(
	uint64_t rate, double factor, unsigned workers, double ef_share, double seconds)
{
	struct wire_limiter record = shaping(rate, 20000000);
	double byte = (double)sim_units(1) * 8 / (double)rate, contract = (double)rate / 8;
	double sent = 0, ef_due = 0, poll = sim_units(20e-6), end;
	struct line line = {.packets = 0};
	struct sim sim;
	uint64_t begin;

	record.ef_rate = ef_share > 0 ? (uint64_t)((double)rate * ef_share * 1.1) : 0;
	assert_int_equal(limiter_check(&record, NULL), 0);
	sim_start(&sim, &record, workers);
	for (unsigned w = 0; w < workers; w++)
		line.wheel[w] = wheel_create(65536, sizeof(struct item));
	begin = sim.now;
	sim_windows_start(&line.windows, begin + sim_units(0.5));
	end = (double)sim_units(0.5 + seconds);
	for (double t = 0; t < end; t += poll) {
		uint16_t len[32], voice = 200;
		unsigned n = 0, w = (unsigned)sim_below(&sim.random, workers);

		sim.now = begin + (uint64_t)t;
		for (; sent < t && n < 32; n++) {
			len[n] = sim_imix(&sim.random);
			sent += len[n] * byte / factor;
		}
		for (unsigned k = 0; k < workers; k++)
			shape_turn(&sim, &line, k, len, 0, k == w ? n : 0);
		for (; ef_share > 0 && ef_due < t; ef_due += voice * byte / ef_share)
			shape_turn(&sim, &line, 0, &voice, 1, 1);
	}
	printf("%6.0f Mb/s x %g, %2u workers shaped: 1 s windows %+.4f %% .. %+.4f %%, longest "
	       "wait %.2f ms\n",
		(double)rate / 1e6, factor, workers,
		((double)line.windows.least - contract) / contract * 100,
		((double)line.windows.most - contract) / contract * 100,
		(double)line.most_wait / (double)MS);
	assert_true(line.windows.windows > 0);
	assert_true(((double)line.windows.most - contract - 1518) / contract <= 0.001);
	assert_true((contract - (double)line.windows.least - 1518) / contract <= 0.001);
	assert_true(line.most_wait <= 20 * MS + (uint64_t)(1518 * byte) + MS / 10);
	assert_int_equal(line.ef_lost, 0);
	assert_int_equal(line.ef_waited, 0);
	assert_true(ef_share == 0 || line.ef > 100);
	for (unsigned w = 0; w < workers; w++)
		wheel_destroy(line.wheel[w]);
}

static void what_leaves_keeps_the_rate(void **state)
{
	overload(50000000, 2, 1, 0, 3);
	overload(100000000, 1.05, 4, 0, 3);
	overload(1000000000, 5, 8, 0, 2);
}

static void ef_does_not_wait(void **state)
{
	overload(100000000, 10, 4, 0.2, 2);
}

// Below the rate nothing waits and nothing is lost.
static void conforming_is_not_delayed(void **state)
{
	struct wire_limiter record = shaping(100000000, 20000000);
	uint64_t departure[32];
	struct sim sim;
	uint16_t len[32];

	sim_start(&sim, &record, 4);
	for (unsigned i = 0; i < 100000; i++) {
		unsigned n = 1 + (unsigned)sim_below(&sim.random, 16),
			 w = (unsigned)sim_below(&sim.random, 4);
		uint64_t bytes = 0;

		for (unsigned k = 0; k < n; k++)
			bytes += len[k] = sim_imix(&sim.random);
		sim.now += (uint64_t)((double)bytes * (double)sim_units(1) * 8 / 1e8 * 1.01);
		assert_int_equal(
			limiter_shape(&sim.word, &sim.part[w], sim.now, len, 0, n, departure),
			(1ull << n) - 1);
		for (unsigned k = 0; k < n; k++)
			assert_true((int64_t)(departure[k] - sim.now) <= 0);
	}
}

// The fallback, limiter_police() on a shaped limiter: lets through only what may leave at once.
static void a_full_wheel_polices(void **state)
{
	struct wire_limiter record = shaping(100000000, 20000000);
	struct sim sim;
	uint16_t len = 1000;
	uint64_t passed = 0;

	sim_start(&sim, &record, 1);
	for (unsigned i = 0; i < 1000; i++)
		passed += sim_police(&sim, 0, &len, 0, 1);
	assert_in_range(passed * 1000, 62500 - 2000, 62500 + 2000 + 62500 / 8); // 5 ms of slack
	for (unsigned i = 0; i < 100000; i++) {
		sim.now += MS / 100;
		passed += sim_police(&sim, 0, &len, 0, 1);
	}
	assert_in_range(passed * 1000, 12500000, 12500000 + 62500 * 5 / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wheel_gives_back_in_order),
		cmocka_unit_test(wheel_turns_over_the_wrap),
		cmocka_unit_test(wheel_keeps_arrival_order),
		cmocka_unit_test(what_leaves_keeps_the_rate),
		cmocka_unit_test(ef_does_not_wait),
		cmocka_unit_test(conforming_is_not_delayed),
		cmocka_unit_test(a_full_wheel_polices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
