// SPDX-License-Identifier: BSD-3-Clause
// Calibration with injected clocks: odd frequencies, readings that were interrupted, drift, a jump.

#include "dataplane/tables/limiter_clock.h"
#include "dataplane/tables/limiter_wheel.h"

#include "tests/unit/limiter/sim.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct machine {
	double seconds, ticks; // true time
	double hz;
	double interrupted; // chance that a reading is
	struct sim_random random;
};

static void pass(struct machine *m, double seconds)
{
	m->seconds += seconds;
	m->ticks += seconds * m->hz;
}

// Reading a clock takes 25 ns, or 1 to 50 us when something comes in between.
static void reading(struct machine *m)
{
	double chance = (double)(sim_next(&m->random) >> 11) * 0x1p-53;

	pass(m, chance < m->interrupted ? 1e-6 + 49e-6 * chance / m->interrupted : 25e-9);
}

static uint64_t ticks(void *ctx)
{
	struct machine *m = ctx;

	reading(m);
	return 77000000000000ull + (uint64_t)m->ticks;
}

static uint64_t ns(void *ctx)
{
	struct machine *m = ctx;

	reading(m);
	return 5000000000ull + (uint64_t)(m->seconds * 1e9);
}

static double ppm(uint64_t hz, double truth)
{
	return fabs((double)hz / truth - 1) * 1e6;
}

static void odd_frequencies_are_found(void **state)
{
	static const double truth[] = {2444700000, 2600000200, 1000000000, 3999998765, 2095078000};

	for (unsigned i = 0; i < sizeof(truth) / sizeof(truth[0]); i++)
		for (unsigned round = 0; round < 20; round++) {
			struct machine m = {
				.hz = truth[i], .interrupted = 0.5, .random = {sim_seed() + round}};
			struct limiter_clock c = {.ticks = ticks, .ns = ns, .ctx = &m};

			assert_int_equal(limiter_clock_start(&c, 20000000), 0);
			assert_true(ppm(c.hz, truth[i]) <= 20);
			assert_true(c.error <= 20000);
			for (unsigned s = 0; s < 30; s++) {
				pass(&m, 1);
				limiter_clock_check(&c);
			}
			assert_true(ppm(c.hz, truth[i]) <= 2.1);
		}
}

static void drift_is_followed(void **state)
{
	struct machine m = {.hz = 2444700000, .interrupted = 0.2, .random = {sim_seed()}};
	struct limiter_clock c = {.ticks = ticks, .ns = ns, .ctx = &m};
	unsigned changes = 0;

	assert_int_equal(limiter_clock_start(&c, 20000000), 0);
	for (unsigned s = 0; s < 3600; s++) { // 30 ppm an hour
		m.hz *= 1 + 30e-6 / 3600;
		pass(&m, 1);
		changes += limiter_clock_check(&c) == 1;
		assert_true(ppm(c.hz, m.hz) <= 20);
	}
	assert_true(ppm(c.hz, m.hz) <= 4);
	assert_in_range(changes, 5, 20);
	m.hz *= 1 + 200e-6; // moved to another host
	for (unsigned s = 0; s < 130; s++) {
		pass(&m, 1);
		limiter_clock_check(&c);
	}
	assert_true(ppm(c.hz, m.hz) <= 4);
}

static void a_jump_is_not_believed(void **state)
{
	struct machine m = {.hz = 2444700000, .random = {sim_seed()}};
	struct limiter_clock c = {.ticks = ticks, .ns = ns, .ctx = &m};
	uint64_t before;

	assert_int_equal(limiter_clock_start(&c, 20000000), 0);
	before = c.hz;
	pass(&m, 10);
	m.ticks += 1e9; // stood still for a while, the TSC did not
	assert_int_equal(limiter_clock_check(&c), -ERANGE);
	assert_int_equal(c.hz, before);
	for (unsigned s = 0; s < 70; s++) {
		pass(&m, 1);
		assert_true(limiter_clock_check(&c) >= 0);
	}
	assert_true(ppm(c.hz, 2444700000) <= 2.1);
}

// Once a second until it says that there is another frequency; how many jumps it told before.
static unsigned jumps_until_taken(struct machine *m, struct limiter_clock *c, unsigned most)
{
	unsigned jumps = 0;

	for (unsigned s = 0; s < most; s++) {
		int news;

		pass(m, 1);
		news = limiter_clock_check(c);
		if (news == 1)
			return jumps;
		jumps += news == -ERANGE;
	}
	fail_msg("not taken within %u s, %u jumps", most, jumps);
	return jumps;
}

// A guest that goes on on a host with another frequency, at any moment between two checks.
static void another_frequency_is_taken(void **state)
{
	static const double to[] = {2450000000, 3900000000, 1000000000};

	for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++)
		for (double when = 0; when < 1; when += 0.09) {
			struct machine m = {
				.hz = 2600000000, .interrupted = 0.2, .random = {sim_seed()}};
			struct limiter_clock c = {.ticks = ticks, .ns = ns, .ctx = &m};

			assert_int_equal(limiter_clock_start(&c, 20000000), 0);
			for (unsigned s = 0; s < 10; s++) {
				pass(&m, 1);
				assert_true(limiter_clock_check(&c) >= 0);
			}
			pass(&m, when);
			m.hz = to[i];
			pass(&m, 1 - when);
			limiter_clock_check(&c); // sees it, if there was enough of it
			assert_in_range(jumps_until_taken(&m, &c, 5), 1, 2);
			assert_true(ppm(c.hz, to[i]) <= 20);
			for (unsigned s = 0; s < 130; s++) {
				pass(&m, 1);
				assert_true(limiter_clock_check(&c) >= 0);
			}
			assert_true(ppm(c.hz, to[i]) <= 2.1);
		}
}

// The count may jump as often as it likes, back or ahead: each is told, and the frequency stays.
static void jumps_of_the_count_are_told(void **state)
{
	struct machine m = {.hz = 2600000000, .random = {sim_seed()}};
	struct limiter_clock c = {.ticks = ticks, .ns = ns, .ctx = &m};
	uint64_t before;

	m.ticks = 1e15;
	assert_int_equal(limiter_clock_start(&c, 20000000), 0);
	before = c.hz;
	for (unsigned i = 1; i <= 20; i++) {
		pass(&m, 1);
		m.ticks += (i & 1 ? -1e12 : 3e10) * i;
		assert_int_equal(limiter_clock_check(&c), -ERANGE);
		assert_int_equal(c.hz, before);
	}
	for (unsigned s = 0; s < 70; s++) {
		pass(&m, 1);
		assert_true(limiter_clock_check(&c) >= 0);
	}
	assert_true(ppm(c.hz, 2600000000) <= 2.1);
}

// What was parked before the clock went back does not wait until it is there again; cores whose clocks
// differ a little do not empty the wheel.
static void parked_packets_leave_after_a_jump(void **state)
{
	static const uint64_t back[] = {1ull << 32, 1ull << 40, 1ull << 50, 1ull << 62};
	uint64_t now = 1ull << 63;

	for (unsigned i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
		struct wheel *w = wheel_create(8, 8);

		for (unsigned k = 1; k <= 3; k++)
			assert_non_null(wheel_put(w, now, now + (k << 28)));
		assert_null(wheel_take(w, now - (8 << 22)));
		assert_null(wheel_take(w, now));
		assert_int_equal(wheel_wait(w, now - back[i]), 0);
		for (unsigned k = 1; k <= 3; k++)
			assert_non_null(wheel_take(w, now - back[i]));
		assert_null(wheel_take(w, now - back[i]));
		assert_non_null(wheel_put(w, now - back[i], now - back[i] + (1 << 28)));
		assert_null(wheel_take(w, now - back[i]));
		assert_non_null(wheel_take(w, now - back[i] + (2 << 28)));
		wheel_destroy(w);
	}
}

static void nonsense_is_refused(void **state)
{
	struct machine m = {.hz = 1000000, .random = {1}};
	struct limiter_clock c = {.ticks = ticks, .ns = ns, .ctx = &m};

	assert_int_equal(limiter_clock_start(&c, 20000000), -ERANGE);
}

// The real clocks, where the TSC is usable; how good it is can only be bounded by itself.
static void this_machine_has_a_frequency(void **state)
{
	struct limiter_clock c = {0};
	int error = limiter_clock_start(&c, 20000000);

	if (error == -ENOTSUP)
		skip();
	assert_int_equal(error, 0);
	assert_true(c.hz >= 100000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_frequencies_are_found),
		cmocka_unit_test(drift_is_followed),
		cmocka_unit_test(a_jump_is_not_believed),
		cmocka_unit_test(another_frequency_is_taken),
		cmocka_unit_test(jumps_of_the_count_are_told),
		cmocka_unit_test(parked_packets_leave_after_a_jump),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(this_machine_has_a_frequency),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
