// SPDX-License-Identifier: BSD-3-Clause
// The contestants: nothing (the harness itself), rte_meter's srTCM and trTCM, a token bucket behind
// a spinlock (one lock for a group of packets), GCRA with one compare-and-swap for each packet, and
// Culvert's limiter through the same calls that the police stage makes. Each has its state in lines
// of its own and prefetches what it will touch, so that the differences are the limiters' and not
// the memory's.

#include "tools/bench/limiter/rivals.h"

#include "dataplane/tables/limiter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <x86intrin.h>

#include <rte_meter.h>
#include <rte_spinlock.h>

#define LINE __attribute__((aligned(64)))

struct counters { // one line a circuit and worker, as every design needs
	uint64_t passed_packets, passed_bytes, limited_packets, limited_bytes;
} LINE;

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0, size);
	return p;
}

static int allocate(struct bench_set *set, size_t shared, size_t own)
{
	set->shared_bytes = shared * set->circuits + 64;
	set->own_bytes = own * set->circuits + 64;
	set->shared = memory(set->shared_bytes);
	for (unsigned w = 0; w < 2; w++)
		set->own[w] = memory(set->own_bytes);
	return set->shared && set->own[0] && set->own[1] ? 0 : -ENOMEM;
}

static inline void count(struct counters *c, unsigned passed, unsigned n)
{
	c->passed_packets += passed;
	c->passed_bytes += passed * BENCH_BYTES;
	c->limited_packets += n - passed;
	c->limited_bytes += (n - passed) * BENCH_BYTES;
}

// Packets from i on that belong to the same circuit.
static inline unsigned run_length(const uint32_t *id, unsigned i)
{
	unsigned n = 1;

	while (i + n < BENCH_BURST && id[i + n] == id[i])
		n++;
	return n;
}

#define FOR_EACH_GROUP(i, n, id) \
	for (unsigned i = 0, n; i < BENCH_BURST && (n = run_length(id, i)); i += n)

// --- nothing

static int none_create(struct bench_set *set)
{
	return allocate(set, 64, sizeof(struct counters));
}

static unsigned none_burst(
	const struct bench_set *set, unsigned w, const uint32_t *id, uint64_t tsc)
{
	struct counters *c = set->own[w];

	FOR_EACH_GROUP(i, n, id)
	__builtin_prefetch(&c[id[i]], 1, 3);
	FOR_EACH_GROUP(k, m, id)
	count(&c[id[k]], m, m);
	return BENCH_BURST;
}

// --- rte_meter; profiles by hand as rte_meter.c computes them: it wants an initialised EAL

static void period(uint64_t hz, uint64_t bytes, uint64_t *ticks, uint64_t *per)
{
	double each = (double)hz / (double)bytes;

	if (each >= 100) {
		*per = 1;
		*ticks = (uint64_t)each;
	} else {
		*per = (uint64_t)(100 / each + 0.999999);
		*ticks = (uint64_t)((double)hz * (double)*per / (double)bytes);
	}
}

struct sr {
	struct rte_meter_srtcm meter;
} LINE;
struct tr {
	struct rte_meter_trtcm meter;
} LINE;

static int sr_create(struct bench_set *set)
{
	struct rte_meter_srtcm_profile *p = calloc(1, sizeof(*p));
	struct sr *m;

	if (!p || allocate(set, sizeof(struct sr), sizeof(struct counters)))
		return -ENOMEM;
	p->cbs = set->rate / 160 < 64000 ? 64000 : set->rate / 160;
	p->ebs = 0;
	period(set->hz, set->rate / 8, &p->cir_period, &p->cir_bytes_per_period);
	set->profile = p;
	m = set->shared;
	for (uint32_t i = 0; i < set->circuits; i++)
		rte_meter_srtcm_config(&m[i].meter, p);
	for (uint32_t i = 0; set->used_up && i < set->circuits; i++)
		m[i].meter.tc = 0;
	return 0;
}

static unsigned sr_burst(const struct bench_set *set, unsigned w, const uint32_t *id, uint64_t tsc)
{
	struct counters *c = set->own[w];
	struct sr *m = set->shared;
	unsigned all = 0;

	FOR_EACH_GROUP(i, n, id)
	{
		__builtin_prefetch(&c[id[i]], 1, 3);
		__builtin_prefetch(&m[id[i]], 1, 3);
	}
	FOR_EACH_GROUP(k, size, id)
	{
		unsigned passed = 0;

		for (unsigned j = 0; j < size; j++)
			passed += rte_meter_srtcm_color_blind_check(&m[id[k]].meter, set->profile,
					  tsc, BENCH_BYTES) == RTE_COLOR_GREEN;
		count(&c[id[k]], passed, size);
		all += passed;
	}
	return all;
}

static int tr_create(struct bench_set *set)
{
	struct rte_meter_trtcm_profile *p = calloc(1, sizeof(*p));
	struct tr *m;

	if (!p || allocate(set, sizeof(struct tr), sizeof(struct counters)))
		return -ENOMEM;
	p->cbs = p->pbs = set->rate / 160 < 64000 ? 64000 : set->rate / 160;
	period(set->hz, set->rate / 8, &p->cir_period, &p->cir_bytes_per_period);
	p->pir_period = p->cir_period;
	p->pir_bytes_per_period = p->cir_bytes_per_period;
	set->profile = p;
	m = set->shared;
	for (uint32_t i = 0; i < set->circuits; i++)
		rte_meter_trtcm_config(&m[i].meter, p);
	for (uint32_t i = 0; set->used_up && i < set->circuits; i++)
		m[i].meter.tc = m[i].meter.tp = 0;
	return 0;
}

static unsigned tr_burst(const struct bench_set *set, unsigned w, const uint32_t *id, uint64_t tsc)
{
	struct counters *c = set->own[w];
	struct tr *m = set->shared;
	unsigned all = 0;

	FOR_EACH_GROUP(i, n, id)
	{
		__builtin_prefetch(&c[id[i]], 1, 3);
		__builtin_prefetch(&m[id[i]], 1, 3);
	}
	FOR_EACH_GROUP(k, size, id)
	{
		unsigned passed = 0;

		for (unsigned j = 0; j < size; j++)
			passed += rte_meter_trtcm_color_blind_check(&m[id[k]].meter, set->profile,
					  tsc, BENCH_BYTES) == RTE_COLOR_GREEN;
		count(&c[id[k]], passed, size);
		all += passed;
	}
	return all;
}

// --- a bucket behind a spinlock

struct locked {
	rte_spinlock_t lock;
	uint64_t time, tokens, cbs; // tokens: bytes, 16 fractional bits
	uint64_t per_tick;
} LINE;

static int locked_create(struct bench_set *set)
{
	struct locked *l;

	if (allocate(set, sizeof(struct locked), sizeof(struct counters)))
		return -ENOMEM;
	l = set->shared;
	for (uint32_t i = 0; i < set->circuits; i++) {
		l[i].cbs = (set->rate / 160 < 64000 ? 64000 : set->rate / 160) << 16;
		l[i].tokens = set->used_up ? 0 : l[i].cbs;
		l[i].time = __rdtsc();
		l[i].per_tick = (uint64_t)((double)set->rate / 8 * 0x1p32 / (double)set->hz);
	}
	return 0;
}

static unsigned locked_burst(
	const struct bench_set *set, unsigned w, const uint32_t *id, uint64_t tsc)
{
	struct counters *c = set->own[w];
	struct locked *l = set->shared;
	unsigned all = 0;

	FOR_EACH_GROUP(i, n, id)
	{
		__builtin_prefetch(&c[id[i]], 1, 3);
		__builtin_prefetch(&l[id[i]], 1, 3);
	}
	FOR_EACH_GROUP(k, size, id)
	{
		struct locked *b = &l[id[k]];
		unsigned passed = 0;

		rte_spinlock_lock(&b->lock);
		if ((int64_t)(tsc - b->time) > 0) {
			b->tokens +=
				(uint64_t)(((unsigned __int128)(tsc - b->time) * b->per_tick) >>
					   16);
			b->time = tsc;
			if (b->tokens > b->cbs)
				b->tokens = b->cbs;
		}
		for (unsigned j = 0; j < size; j++)
			if (b->tokens >= (uint64_t)BENCH_BYTES << 16) {
				b->tokens -= (uint64_t)BENCH_BYTES << 16;
				passed++;
			}
		rte_spinlock_unlock(&b->lock);
		count(&c[id[k]], passed, size);
		all += passed;
	}
	return all;
}

// --- GCRA, one compare-and-swap for each packet, hard threshold

struct cas {
	uint64_t tat, cost, lo;
} LINE;

static int cas_create(struct bench_set *set)
{
	struct cas *m;

	if (allocate(set, sizeof(struct cas), sizeof(struct counters)))
		return -ENOMEM;
	m = set->shared;
	for (uint32_t i = 0; i < set->circuits; i++) {
		double burst = set->rate / 160 < 64000 ? 64000 : (double)set->rate / 160;
		double cost = (double)set->hz * 0x1p24 * 8 / (double)set->rate;

		m[i].cost = (uint64_t)cost;
		m[i].lo = (uint64_t)(burst * cost / 65536);
		m[i].tat = (__rdtsc() << 8) + (set->used_up ? m[i].lo : 0);
	}
	return 0;
}

static unsigned cas_burst(const struct bench_set *set, unsigned w, const uint32_t *id, uint64_t tsc)
{
	struct counters *c = set->own[w];
	struct cas *m = set->shared;
	uint64_t now = tsc << 8;
	unsigned all = 0;

	FOR_EACH_GROUP(i, n, id)
	{
		__builtin_prefetch(&c[id[i]], 1, 3);
		__builtin_prefetch(&m[id[i]], 1, 3);
	}
	FOR_EACH_GROUP(k, size, id)
	{
		struct cas *b = &m[id[k]];
		uint64_t sum = (uint64_t)(((unsigned __int128)BENCH_BYTES * b->cost) >> 16);
		unsigned passed = 0;

		for (unsigned j = 0; j < size; j++) {
			uint64_t t = __atomic_load_n(&b->tat, __ATOMIC_RELAXED), s;
			bool ok;

			do {
				s = (int64_t)(t - now) > 0 ? t : now;
				ok = s - now <= b->lo;
			} while (ok && !__atomic_compare_exchange_n(&b->tat, &t, s + sum, false,
					       __ATOMIC_RELAXED, __ATOMIC_RELAXED));
			passed += ok;
		}
		count(&c[id[k]], passed, size);
		all += passed;
	}
	return all;
}

// --- Culvert

static int culvert_create(struct bench_set *set)
{
	struct wire_limiter r = {.uid = 1,
		.limiter = 1,
		.rate = set->rate,
		.burst = wire_burst_default(set->rate),
		.ramp = wire_ramp_default(set->rate)};
	struct stats_limiter_word *word;

	if (allocate(set, sizeof(struct stats_limiter_word), sizeof(struct stats_limiter_part)))
		return -ENOMEM;
	if (r.burst < set->rate / 160)
		r.burst = set->rate / 160; // like the others
	word = set->shared;
	for (uint32_t i = 0; i < set->circuits; i++)
		limiter_write(&word[i], &r, set->hz, set->workers, 0);
	for (uint32_t i = 0; i < set->circuits; i++)
		word[i].tat = limiter_units(__rdtsc()) + (set->used_up ? word[i].lo : 0);
	return 0;
}

static unsigned culvert_burst(
	const struct bench_set *set, unsigned w, const uint32_t *id, uint64_t tsc)
{
	static const uint16_t len[BENCH_BURST] = {64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
		64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64};
	struct stats_limiter_part *part = set->own[w];
	struct stats_limiter_word *word = set->shared;
	uint64_t now = limiter_units(tsc);
	unsigned all = 0;

	FOR_EACH_GROUP(i, n, id)
	limiter_prefetch(&part[id[i]]);
	FOR_EACH_GROUP(j, o, id)
	limiter_prefetch_word(&word[id[j]], &part[id[j]]);
	FOR_EACH_GROUP(k, size, id)
	{
		struct stats_limiter_part *p = &part[id[k]];

		if (size > 1)
			all += (unsigned)__builtin_popcountll(
				limiter_police(&word[id[k]], p, now, len + k, 0, size));
		else if (limiter_pass(p, now, len[k], 1, 0))
			all++;
		else
			all += (unsigned)limiter_police_one(&word[id[k]], p, now, len[k], 0);
	}
	return all;
}

const struct rival rivals[] = {
	{"none", "none (harness)", true, none_create, none_burst},
	{"srtcm", "rte_meter srTCM", false, sr_create, sr_burst},
	{"trtcm", "rte_meter trTCM", false, tr_create, tr_burst},
	{"spinlock", "spinlock bucket", true, locked_create, locked_burst},
	{"cas", "GCRA, CAS a packet", true, cas_create, cas_burst},
	{"culvert", "Culvert", true, culvert_create, culvert_burst},
};
const unsigned rivals_count = sizeof(rivals) / sizeof(rivals[0]);
