// SPDX-License-Identifier: BSD-3-Clause
// bench-limiter: what a verdict costs, beside other limiters in the same run.
//
//   bench-limiter [-n repetitions] [-t milliseconds] [-c file.csv] [-1] [-f text]
//
// -v: one worker, on a clock of its own that every burst moves on by the same time, so that load and verdicts are the same
// whatever else the machine does; after a warm-up that ends where the passed share has settled. -1: one worker only; -f: only scenarios whose heading contains the text ("random circuits, overload").
//
// Bursts of 32 packets of 64 bytes on the real clock, all of one circuit (hot) or each of a random
// one of 20,000. Loads: conforming (the contract is far away), boundary (1.1 x the contract, found
// by trying), overload (10 x). Figures are TSC cycles for one packet, net of the harness (offsets,
// grouping, counters) measured beside it in the same repetition; median [min..max]. A chunk of
// bursts that took three times the median of its run was interrupted and does not count; how many
// did is shown.

#include "tools/bench/limiter/rivals.h"

#include "dataplane/tables/limiter_clock.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#define CIRCUITS 20000u
#define ORDER    (1u << 18) // packets after which the random order repeats
#define CHUNK    32u        // bursts
#define CHUNKS   (1u << 20)
#define REPS_MAX 51u

enum load { CONFORMING, BOUNDARY, OVERLOAD, LOADS };
static const char *const load_name[LOADS] = {"conforming", "boundary", "overload"};

struct runner {
	const struct rival *rival;
	const struct bench_set *set;
	const uint32_t *order;
	unsigned index;
	uint64_t ticks; // to run for
	pthread_barrier_t *start;
	volatile int *stop;
	uint32_t *chunk;      // cycles of each
	double cycles;        // a packet
	double dropped_share; // of chunks, interrupted
	double passed_share;
	double packets_per_tick;
};

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void evaluate(struct runner *r, unsigned chunks)
{
	uint32_t limit;
	uint64_t sum = 0;
	unsigned used = 0;

	qsort(r->chunk, chunks, sizeof(*r->chunk), compare_u32);
	limit = r->chunk[chunks / 2] * 3;
	while (used < chunks && r->chunk[used] <= limit)
		sum += r->chunk[used++];
	r->cycles = (double)sum / used / (CHUNK * BENCH_BURST);
	r->dropped_share = 1 - (double)used / chunks;
}

static void *run_worker(void *arg)
{
	struct runner *r = arg;
	cpu_set_t cpu;
	uint64_t begin, last, at = r->index * (ORDER / 2), packets = 0, passed = 0;
	uint64_t counted_from = 0;
	unsigned chunks = 0;
	bool warm = true;

	CPU_ZERO(&cpu);
	CPU_SET(r->index % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &cpu);
	pthread_setaffinity_np(pthread_self(), sizeof(cpu), &cpu);
	pthread_barrier_wait(r->start);
	begin = last = counted_from = __rdtsc();
	while (last - begin < r->ticks && chunks < CHUNKS && !*r->stop) {
		uint64_t now;

		if (warm && last - begin > r->ticks / 2) { // the first half was to get there
			warm = false;
			chunks = 0;
			packets = passed = 0;
			counted_from = last;
		}

		for (unsigned b = 0; b < CHUNK; b++) {
			passed += r->rival->burst(r->set, r->index, r->order + at, __rdtsc());
			at = (at + BENCH_BURST) & (ORDER - 1);
		}
		now = __rdtsc();
		r->chunk[chunks++] = now - last > UINT32_MAX ? UINT32_MAX : (uint32_t)(now - last);
		last = now;
		packets += CHUNK * BENCH_BURST;
	}
	*r->stop = 1; // a worker alone would measure something else
	r->packets_per_tick = (double)packets / (double)(last - counted_from);
	r->passed_share = (double)passed / (double)packets;
	evaluate(r, chunks);
	return NULL;
}

static void release(struct bench_set *set)
{
	munmap(set->shared, set->shared_bytes);
	for (unsigned w = 0; w < 2; w++)
		munmap(set->own[w], set->own_bytes);
	free(set->profile);
}

struct result {
	double cycles, interrupted, passed, offered; // offered: packets a tick, all workers
};

static struct result measure(const struct rival *rival, enum load load, bool hot, unsigned workers,
	uint64_t rate, uint64_t hz, unsigned ms, const uint32_t *order)
{
	static uint32_t chunk[2][CHUNKS];
	struct bench_set set = {.circuits = hot ? 1 : CIRCUITS,
		.workers = workers,
		.rate = rate,
		.hz = hz,
		.used_up = load != CONFORMING};
	struct runner r[2];
	struct result result = {0};
	pthread_barrier_t start;
	pthread_t thread[2];
	volatile int stop = 0;

	if (rival->create(&set)) {
		fprintf(stderr, "bench-limiter: out of memory\n");
		exit(1);
	}
	pthread_barrier_init(&start, NULL, workers);
	for (unsigned w = 0; w < workers; w++) {
		r[w] = (struct runner){.rival = rival,
			.set = &set,
			.order = order,
			.index = w,
			.ticks = hz / 1000 * ms,
			.start = &start,
			.stop = &stop,
			.chunk = chunk[w]};
		pthread_create(&thread[w], NULL, run_worker, &r[w]);
	}
	for (unsigned w = 0; w < workers; w++) {
		pthread_join(thread[w], NULL);
		result.cycles += r[w].cycles / workers;
		result.interrupted += r[w].dropped_share / workers;
		result.passed += r[w].passed_share / workers;
		result.offered += r[w].packets_per_tick;
	}
	pthread_barrier_destroy(&start);
	release(&set);
	return result;
}

// The rate of one circuit that makes this limiter see the load wanted.
static uint64_t rate_for(const struct rival *rival, enum load load, bool hot, unsigned workers,
	uint64_t hz, const uint32_t *order)
{
	double factor = load == BOUNDARY ? 1.1 : 10;
	uint64_t rate = hot ? 4000000000000 : 50000000; // conforming, whatever this machine offers

	for (unsigned i = 0; load != CONFORMING && i < 3; i++) {
		struct result r = measure(rival, load, hot, workers, rate, hz, 10, order);

		rate = (uint64_t)(r.offered * (double)hz * BENCH_BYTES * 8 / factor /
				  (hot ? 1 : CIRCUITS));
	}
	return rate < 100000 ? 100000 : rate;
}

static const char *filter;

struct row {
	double net[REPS_MAX], passed, interrupted;
};

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare_double);
	return v[n / 2];
}

static void scenario(bool hot, enum load load, unsigned workers, unsigned reps, unsigned ms,
	uint64_t hz, const uint32_t *order, FILE *csv)
{
	static struct row row[16];
	uint64_t rate[16];
	char heading[80];

	snprintf(heading, sizeof(heading), "%s, %s, %u worker%s",
		hot ? "one hot circuit" : "20,000 random circuits", load_name[load], workers,
		workers > 1 ? "s" : "");
	if (filter && !strstr(heading, filter))
		return;
	memset(row, 0, sizeof(row));
	for (unsigned k = 0; k < rivals_count; k++)
		rate[k] = rate_for(&rivals[k], load, hot, workers, hz, order);
	for (unsigned i = 0; i < reps; i++) {
		double base = 0;

		for (unsigned k = 0; k < rivals_count; k++) {
			struct result r;

			if (workers > 1 && !rivals[k].shareable)
				continue;
			r = measure(&rivals[k], load, hot, workers, rate[k], hz, ms, order);
			base = k == 0 ? r.cycles : base;
			row[k].net[i] = k == 0 ? r.cycles : r.cycles - base;
			row[k].passed += r.passed / reps;
			row[k].interrupted += r.interrupted / reps;
		}
	}
	printf("\n%s\n", heading);
	for (unsigned k = 0; k < rivals_count; k++) {
		double mid;

		if (workers > 1 && !rivals[k].shareable) {
			printf("  %-20s not thread-safe\n", rivals[k].title);
			continue;
		}
		mid = median(row[k].net, reps);
		printf("  %-20s %6.1f [%.1f .. %.1f] cycles/packet%s, %.1f %% passed, %.2f %% of "
		       "chunks interrupted\n",
			rivals[k].title, mid, row[k].net[0], row[k].net[reps - 1],
			k ? " net" : " gross", row[k].passed * 100, row[k].interrupted * 100);
		if (csv)
			fprintf(csv, "%s,%s,%u,%s,%.2f,%.2f,%.2f,%.4f,%.4f\n",
				hot ? "hot" : "random", load_name[load], workers, rivals[k].name,
				mid, row[k].net[0], row[k].net[reps - 1], row[k].passed,
				row[k].interrupted);
	}
	fflush(stdout);
}

// ---- virtual time

#define VIRTUAL_TICKS 3200u      // a burst: the load of 100 ticks a packet
#define VIRTUAL_WARM  (1u << 20) // bursts at most
#define VIRTUAL_LOOK  (1u << 15) // bursts over which the passed share is compared

struct virtual
{
	struct bench_set set;
	uint64_t tsc, at;
	double cycles[REPS_MAX], passed;
};

static uint64_t run_virtual(
	const struct rival *rival, struct virtual *v, const uint32_t *order, unsigned bursts)
{
	uint64_t passed = 0;

	for (unsigned b = 0; b < bursts; b++) {
		v->tsc += VIRTUAL_TICKS;
		passed += rival->burst(&v->set, 0, order + v->at, v->tsc);
		v->at = (v->at + BENCH_BURST) & (ORDER - 1);
	}
	return passed;
}

static void warm_up(
	const struct rival *rival, struct virtual *v, const uint32_t *order, double settled)
{
	double share = 0;

	for (unsigned done = 0; done < VIRTUAL_WARM; done += VIRTUAL_LOOK) {
		share = (double)run_virtual(rival, v, order, VIRTUAL_LOOK) /
			(VIRTUAL_LOOK * BENCH_BURST);
		if (share > settled * 0.98 && share < settled * 1.02)
			break;
	}
	v->passed = share;
}

// Median of the chunks of one repetition: what was interrupted lies above it.
static double measure_virtual(
	const struct rival *rival, struct virtual *v, const uint32_t *order, unsigned chunks)
{
	static uint32_t chunk[CHUNKS];

	for (unsigned c = 0; c < chunks; c++) {
		uint64_t start = __rdtsc();

		run_virtual(rival, v, order, CHUNK);
		chunk[c] = (uint32_t)(__rdtsc() - start);
	}
	qsort(chunk, chunks, sizeof(*chunk), compare_u32);
	return (double)chunk[chunks / 2] / (CHUNK * BENCH_BURST);
}

static void scenario_virtual(
	bool hot, enum load load, unsigned reps, uint64_t hz, const uint32_t *order, FILE *csv)
{
	static struct virtual v[16];
	double factor = load == CONFORMING ? 0.5 : load == BOUNDARY ? 1.1 : 10;
	double offered = (double)hz / VIRTUAL_TICKS * BENCH_BURST * BENCH_BYTES * 8;
	char heading[80];

	snprintf(heading, sizeof(heading), "%s, %s, virtual time",
		hot ? "one hot circuit" : "20,000 random circuits", load_name[load]);
	if (filter && !strstr(heading, filter))
		return;
	memset(v, 0, sizeof(v));
	for (unsigned k = 0; k < rivals_count; k++) {
		v[k].set = (struct bench_set){.circuits = hot ? 1 : CIRCUITS,
			.workers = 1,
			.rate = (uint64_t)(offered / factor / (hot ? 1 : CIRCUITS)),
			.hz = hz,
			.used_up = load != CONFORMING};
		v[k].tsc = __rdtsc();
		if (rivals[k].create(&v[k].set))
			exit(1);
		warm_up(&rivals[k], &v[k], order, k > 0 && factor > 1 ? 1 / factor : 1);
	}
	for (unsigned i = 0; i < reps; i++)
		for (unsigned k = 0; k < rivals_count; k++) {
			run_virtual(&rivals[k], &v[k], order, 64 * CHUNK); // its lines come back
			v[k].cycles[i] = measure_virtual(&rivals[k], &v[k], order, 512);
		}
	printf("\n%s\n", heading);
	for (unsigned k = 0; k < rivals_count; k++) {
		for (unsigned i = 0; i < reps && k > 0; i++)
			v[k].cycles[i] -= v[0].cycles[i];
		if (k > 0) {
			double mid = median(v[k].cycles, reps);

			printf("  %-20s %6.1f [%.1f .. %.1f] cycles/packet net, %.1f %% passed\n",
				rivals[k].title, mid, v[k].cycles[0], v[k].cycles[reps - 1],
				v[k].passed * 100);
			if (csv)
				fprintf(csv, "%s,%s,virtual,%s,%.2f,%.2f,%.2f,%.4f,0\n",
					hot ? "hot" : "random", load_name[load], rivals[k].name,
					mid, v[k].cycles[0], v[k].cycles[reps - 1], v[k].passed);
		}
		release(&v[k].set);
	}
	fflush(stdout);
}

static uint32_t *make_order(bool hot)
{
	uint32_t *order = malloc((ORDER + BENCH_BURST) * sizeof(*order));
	uint64_t x = 88172645463325252ull;

	for (unsigned i = 0; order && i < ORDER + BENCH_BURST; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		order[i] = hot ? 0 : (uint32_t)(((x >> 32) * CIRCUITS) >> 32);
	}
	return order;
}

int main(int argc, char **argv)
{
	struct limiter_clock clock = {0};
	unsigned reps = 7, ms = 40, most = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
	uint32_t *order[2] = {make_order(false), make_order(true)};
	FILE *csv = NULL;
	bool virtual = false;
	int option;

	while ((option = getopt(argc, argv, "n:t:c:f:1v")) != -1) {
		if (option == 'n')
			reps = (unsigned)atoi(optarg);
		else if (option == 't')
			ms = (unsigned)atoi(optarg);
		else if (option == 'c')
			csv = fopen(optarg, "w");
		else if (option == 'v')
			virtual = true;
		else if (option == 'f')
			filter = optarg;
		else if (option == '1')
			most = 1;
		else
			return 2;
	}
	if (reps < 1 || reps > REPS_MAX || ms < 1 || !order[0] || !order[1])
		return 2;
	if (limiter_clock_start(&clock, 50000000)) {
		fprintf(stderr, "bench-limiter: the TSC of this machine is not usable\n");
		return 1;
	}
	printf("TSC %.6f MHz, %u repetitions of %u ms\n", (double)clock.hz / 1e6, reps, ms);
	if (csv)
		fprintf(csv, "circuits,load,workers,limiter,median,min,max,passed,interrupted\n");
	for (unsigned hot = 2; virtual && hot-- > 0;)
		for (unsigned load = 0; load < LOADS; load++)
			scenario_virtual(hot, load, reps, clock.hz, order[hot], csv);
	for (unsigned workers = 1; !virtual && workers <= most; workers++)
		for (unsigned hot = 2; hot-- > 0;)
			for (unsigned load = 0; load < LOADS; load++)
				scenario(hot, load, workers, reps, ms, clock.hz, order[hot], csv);
	if (csv)
		fclose(csv);
	free(order[0]);
	free(order[1]);
	return 0;
}
