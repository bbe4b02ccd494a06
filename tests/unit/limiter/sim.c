// SPDX-License-Identifier: BSD-3-Clause
// The simulator behind the limiter's tests, see sim.h. Workers are events in one queue: whoever is
// due first polls, with its own skewed clock, what its source sent since its last turn.

#include "tests/unit/limiter/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	seed = text ? strtoull(text, NULL, 0)
		    : 1; // bounds are statistical: a run that passed passes again
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

static double chance(struct sim_random *random)
{
	return (double)(sim_next(random) >> 11) * 0x1p-53;
}

static double mean_length(const struct sim_load *load, unsigned w)
{
	return load->length[w] ? load->length[w] : 353;
}

// Most packets that worker w finds in one poll: what comes for it in 50 us, 1 to 32, if the load
// does not say.
static unsigned burst_of(const struct sim *sim, const struct sim_load *load, unsigned w)
{
	double bytes = (double)sim->record.rate * load->factor * load->share[w] * 50e-6 / 8;
	double packets = bytes / mean_length(load, w);

	return load->burst ? load->burst : packets < 1 ? 1 : packets > 32 ? 32 : (unsigned)packets;
}

struct arrival {
	uint16_t len[LIMITER_BURST_MAX];
	unsigned n, worker;
	double sent, due; // complete on the wire; polled
};

// What worker w finds next.
static void arrive(struct sim *sim, const struct sim_load *load, struct arrival *a, unsigned w,
	unsigned burst, double byte)
{
	double took = 0;

	a->worker = w;
	a->n = 1 + (unsigned)sim_below(&sim->random, burst);
	for (unsigned i = 0; i < a->n; i++) {
		a->len[i] = load->length[w] ? load->length[w] : sim_imix(&sim->random);
		took += a->len[i] * byte;
	}
	a->sent += took;
	a->due = a->sent + took * 0.5 * chance(&sim->random);
}

static void turn(struct sim *sim, const struct sim_load *load, const struct arrival *a)
{
	uint64_t passed = sim_police(sim, a->worker, a->len, 0, a->n);

	if (load->each)
		load->each(load->ctx, sim, a->worker, a->len, 0, a->n, passed);
}

static uint64_t ef_turn(struct sim *sim, const struct sim_load *load)
{
	uint16_t len = 200;
	uint64_t passed = sim_police(sim, 0, &len, 1, 1);

	if (load->each)
		load->each(load->ctx, sim, 0, &len, 1, 1, passed);
	return len;
}

// The chance of each worker to be the one that polls next, such that it gets its share of the
// bytes.
static void spread(
	const struct sim *sim, const struct sim_load *load, unsigned *burst, double *upto)
{
	double sum = 0;

	for (unsigned w = 0; w < sim->workers; w++) {
		burst[w] = burst_of(sim, load, w);
		sum += load->share[w] / mean_length(load, w) / (burst[w] + 1);
		upto[w] = sum;
	}
	for (unsigned w = 0; w < sim->workers; w++)
		upto[w] /= sum;
}

// The circuit's packets come over one wire, at the exact rate of the load; which worker finds them
// is chance, and when it gets round to polling them varies by half of its burst.
void sim_run(struct sim *sim, const struct sim_load *load)
{
	double byte = sim_units(1) * 8.0 / (double)sim->record.rate,
	       end = (double)sim_units(load->seconds);
	double ef_due = load->ef_share > 0 ? 0 : end, upto[SIM_WORKERS];
	struct arrival next = {.n = 0};
	unsigned burst[SIM_WORKERS];
	uint64_t begin = sim->now;

	spread(sim, load, burst, upto);
	while (next.due < end || ef_due < end) {
		double x = chance(&sim->random);
		unsigned w = 0;

		if (ef_due <= next.due) {
			sim->now = begin + (uint64_t)ef_due;
			ef_due += (double)ef_turn(sim, load) * byte / load->ef_share;
			continue;
		}
		sim->now = begin + (uint64_t)next.due;
		if (next.n)
			turn(sim, load, &next);
		while (w + 1 < sim->workers && x >= upto[w])
			w++;
		arrive(sim, load, &next, w, burst[w], byte / load->factor);
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
