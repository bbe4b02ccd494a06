// SPDX-License-Identifier: BSD-3-Clause
// The simulator behind the limiter's tests, see sim.h. Workers are events in one queue: whoever is due first polls,
// with its own skewed clock, what its source sent since its last turn.

#include "tests/unit/limiter/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t sim_next(struct sim_random *random)
{
	uint64_t z = (random->state += 0x9e3779b97f4a7c15ull); // splitmix64

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t sim_below(struct sim_random *random, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)sim_next(random) * n) >> 64);
}

uint64_t sim_seed(void)
{
	static uint64_t seed;
	const char *text = getenv("CULVERT_SEED");

	if (seed)
		return seed;
	seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
	seed += !seed;
	printf("CULVERT_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

struct wire_limiter sim_record(uint64_t rate)
{
	struct wire_limiter r = {.uid = 1, .limiter = 1, .rate = rate};

	r.burst = wire_burst_default(rate);
	r.ramp = wire_ramp_default(rate);
	return r;
}

void sim_start(struct sim *sim, const struct wire_limiter *record, unsigned workers)
{
	memset(sim, 0, sizeof(*sim));
	sim->random.state = sim_seed();
	sim->workers = workers;
	sim->record = *record;
	sim->now = sim_units(1000 + 0.001 * (double)sim_below(&sim->random, 1000));
	for (unsigned w = 0; w < workers; w++) {
		int64_t range = (int64_t)sim_units(SIM_SKEW_NS * 1e-9);

		sim->skew[w] = (int64_t)sim_below(&sim->random, (uint64_t)(2 * range)) - range;
	}
	limiter_take_up(&sim->word, record, SIM_HZ, workers, sim->now, false);
}

void sim_write(struct sim *sim, const struct wire_limiter *record)
{
	sim->record = *record;
	limiter_write(&sim->word, record, SIM_HZ, sim->workers, sim->now);
}

uint64_t sim_police(struct sim *sim, unsigned w, const uint16_t *len, uint64_t ef, unsigned n)
{
	return limiter_police(
		&sim->word, &sim->part[w], sim->now + (uint64_t)sim->skew[w], len, ef, n);
}

uint16_t sim_imix(struct sim_random *random)
{
	uint64_t x = sim_below(random, 12);

	return x < 7 ? 64 : x < 11 ? 594 : 1518;
}

void sim_equal_shares(struct sim_load *load, unsigned workers)
{
	for (unsigned w = 0; w < workers; w++)
		load->share[w] = 1.0 / workers;
}

// Most packets that worker w finds in one poll: what its source sends in 50 us, 1 to 32, if the load does not say.
static unsigned burst_of(const struct sim *sim, const struct sim_load *load, unsigned w)
{
	double bytes = load->length[w] ? load->length[w] : 353;
	double packets =
		(double)sim->record.rate * load->factor * load->share[w] * 50e-6 / 8 / bytes;

	return load->burst ? load->burst : packets < 1 ? 1 : packets > 32 ? 32 : (unsigned)packets;
}

// One turn of worker w; returns how long its source takes to send as much.
static double turn(struct sim *sim, const struct sim_load *load, unsigned w, double units_per_byte)
{
	uint16_t len[LIMITER_BURST_MAX];
	uint64_t bytes = 0, passed;
	unsigned n = 1 + (unsigned)sim_below(&sim->random, burst_of(sim, load, w));

	for (unsigned i = 0; i < n; i++) {
		len[i] = load->length[w] ? load->length[w] : sim_imix(&sim->random);
		bytes += len[i];
	}
	passed = sim_police(sim, w, len, 0, n);
	if (load->each)
		load->each(load->ctx, sim, w, len, 0, n, passed);
	return (double)bytes * units_per_byte;
}

static double ef_turn(struct sim *sim, const struct sim_load *load, double units_per_byte)
{
	uint16_t len = 200;
	uint64_t passed = sim_police(sim, 0, &len, 1, 1);

	if (load->each)
		load->each(load->ctx, sim, 0, &len, 1, 1, passed);
	return len * units_per_byte *
	       (0.7 + 0.6 * (double)(sim_next(&sim->random) >> 11) * 0x1p-53);
}

// Each source sends at its exact rate; when a worker gets round to polling it varies by half a burst.
void sim_run(struct sim *sim, const struct sim_load *load)
{
	double sent[SIM_WORKERS + 1], due[SIM_WORKERS + 1], price[SIM_WORKERS + 1];
	double byte = sim_units(1) * 8.0 / (double)sim->record.rate;
	uint64_t begin = sim->now;
	double end = (double)sim_units(load->seconds);
	unsigned sources = sim->workers + (load->ef_share > 0);

	for (unsigned w = 0; w < sources; w++) {
		double share = w < sim->workers ? load->share[w] * load->factor : load->ef_share;

		price[w] = share > 0 ? byte / share : 0;
		sent[w] = share > 0 ? (double)sim_below(&sim->random, (uint64_t)(price[w] * 10000))
				    : end;
		due[w] = sent[w];
	}
	for (;;) {
		unsigned w = 0;
		double burst;

		for (unsigned i = 1; i < sources; i++)
			w = due[i] < due[w] ? i : w;
		if (due[w] >= end)
			break;
		sim->now = begin + (uint64_t)due[w];
		burst = w < sim->workers ? turn(sim, load, w, price[w])
					 : ef_turn(sim, load, price[w]);
		sent[w] += burst;
		due[w] = sent[w] + burst * 0.5 * (double)(sim_next(&sim->random) >> 11) * 0x1p-53;
	}
	sim->now = begin + (uint64_t)end;
}

uint64_t sim_passed_bytes(const struct sim *sim)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < sim->workers; w++)
		sum += sim->part[w].count.passed[0].bytes + sim->part[w].count.passed[1].bytes;
	return sum;
}

uint64_t sim_limited_packets(const struct sim *sim)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < sim->workers; w++)
		sum += sim->part[w].count.limited[0].packets +
		       sim->part[w].count.limited[1].packets;
	return sum;
}

void sim_windows_start(struct sim_windows *w, uint64_t from)
{
	memset(w, 0, sizeof(*w));
	w->start = from;
	w->slice = sim_units(0.01);
	w->least = UINT64_MAX;
}

void sim_windows_add(struct sim_windows *w, uint64_t now, uint64_t bytes)
{
	uint64_t slice;

	if (now < w->start)
		return;
	slice = (now - w->start) / w->slice;
	while (w->filled <=
		slice) { // begin slice number `filled`; the window before it is complete
		if (w->filled >= SIM_SLICES) {
			w->least = w->sum < w->least ? w->sum : w->least;
			w->most = w->sum > w->most ? w->sum : w->most;
			w->windows++;
			w->sum -= w->ring[w->filled % SIM_SLICES];
		}
		w->ring[w->filled++ % SIM_SLICES] = 0;
	}
	w->ring[slice % SIM_SLICES] += bytes;
	w->sum += bytes;
}
