// SPDX-License-Identifier: BSD-3-Clause
// Real threads on one limiter while the main thread changes its rate and sweeps: counters equal the
// verdicts to the packet, and what passed is what the word was moved by. Meant for TSan (meson
// -Db_sanitize=thread) as much as for itself. Time is a counter that all threads push, so that
// nothing depends on the machine.

#include "tests/unit/limiter/sim.h"

#include "dataplane/tables/limiter_watch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define THREADS 4u

struct shared {
	struct stats_limiter_word word;
	struct stats_limiter_part part[THREADS];
	uint64_t now;
	int stop;
	uint64_t rounds;
};

struct worker {
	struct shared *shared;
	unsigned index;
	uint64_t seed;
	struct stats_limiter want;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->shared;
	struct sim_random random = {w->seed + w->index};
	uint64_t last = 0;
	uint16_t len[32];

	for (uint64_t i = 0; i < s->rounds; i++) {
		unsigned n = 1 + (unsigned)sim_below(&random, 32);
		uint64_t ef = i % 3 ? 0 : sim_next(&random) & sim_next(&random), passed, now;

		for (unsigned k = 0; k < n; k++)
			len[k] = sim_imix(&random);
		now = __atomic_add_fetch(&s->now, sim_units(1e-6), __ATOMIC_RELAXED);
		now = now > last ? now : last;
		last = now;
		passed = limiter_police(&s->word, &s->part[w->index], now, len, ef, n);
		for (unsigned k = 0; k < n; k++) {
			unsigned class = ef >> k & 1, ok = passed >> k & 1;

			w->want.passed[class].packets += ok;
			w->want.passed[class].bytes += ok ? len[k] : 0;
			w->want.limited[class].packets += !ok;
			w->want.limited[class].bytes += ok ? 0 : len[k];
		}
	}
	return NULL;
}

static void run(bool change, bool packets)
{
	static struct shared s;
	struct wire_limiter record = sim_record(2000000000), other = sim_record(1000000000);
	struct stats_limiter_part *part[THREADS];
	struct limiter_watch watch = {0};
	struct limiter_seen seen;
	struct wire_episode episode;
	struct worker w[THREADS];
	pthread_t thread[THREADS];
	uint64_t bytes = 0, begin, most;

	s = (struct shared){
		.now = sim_units(1000), .rounds = getenv("CULVERT_LONG") ? 3000000 : 100000};
	record.ef_rate = other.ef_rate = 200000000;
	record.packet_rate = other.packet_rate = packets ? 1000000 : 0;
	limiter_take_up(&s.word, &record, SIM_HZ, THREADS, s.now, false);
	begin = s.now;
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.shared = &s, .index = i, .seed = sim_seed()};
		part[i] = &s.part[i];
		pthread_create(&thread[i], NULL, work, &w[i]);
	}
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t now = __atomic_load_n(&s.now, __ATOMIC_RELAXED);

		if (change)
			limiter_write(&s.word, i % 2 ? &record : &other, SIM_HZ, THREADS, now);
		limiter_see(&s.word, &seen);
		now = __atomic_load_n(&s.now, __ATOMIC_RELAXED);
		int repaired = limiter_sweep(&s.word, &seen, now);
		// A thread that lost its core with the old terms in hand fills up to the old level,
		// which a change of rate may have made too high: clamped, and no fault.
		assert_true(change || !repaired);
		limiter_look(&watch, &s.word, part, THREADS, now, 0, 1, &episode);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_memory_equal(&s.part[i].count, &w[i].want, sizeof(w[i].want));
		bytes += w[i].want.passed[0].bytes + w[i].want.passed[1].bytes;
	}
	// At most the higher rate, the burst and the leases; and the source offers many times the
	// contract.
	most = (uint64_t)((double)(s.now - begin) / (double)sim_units(1) * 250e6) +
	       record.burst * 3 / 2;
	assert_true(bytes <= most);
	if (!packets)
		assert_true(bytes >= (uint64_t)((double)(s.now - begin) / (double)sim_units(1) *
						125e6 * 0.95));
}

static void counters_equal_verdicts(void **state)
{
	run(false, false);
}

static void rates_change_under_threads(void **state)
{
	run(true, false);
	run(true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_equal_verdicts),
		cmocka_unit_test(rates_change_under_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
