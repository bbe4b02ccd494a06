/* SPDX-License-Identifier: BSD-3-Clause */
// A reader at full rate, alone and beside a writer at full rate; blocks go back through
// rte_rcu_qsbr. The group of every route carries its VRF, so an answer out of another VRF is
// counted. Rates are of each thread's CPU time.

#include "tools/bench/fib/bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_rcu_qsbr.h>

#define QUERIES (1u << 20)

struct scene {
	struct fib *fib;
	struct rte_rcu_qsbr *qsbr;
	struct prefix **table;
	unsigned vrfs, routes;
	uint32_t *vrf, *addr;
	bool stop;
	uint64_t foreign, updates;
	double updates_rate;
};

static uint64_t start(void *ctx)
{
	return rte_rcu_qsbr_start(ctx);
}

static bool done(void *ctx, uint64_t token)
{
	return rte_rcu_qsbr_check(ctx, token, false) == 1;
}

static double read_once(struct scene *s)
{
	uint32_t out[FIB_BULK];
	uint64_t from = cpu_ns();
	for (unsigned i = 0; i < QUERIES; i += FIB_BULK) {
		fib_lookup4(s->fib, &s->vrf[i], &s->addr[i], out, FIB_BULK);
		for (unsigned k = 0; k < FIB_BULK; k++)
			s->foreign += out[k] &&
				      (out[k] & FIB_GROUP_MASK) / GROUPS_PER_VRF != s->vrf[i + k];
		rte_rcu_qsbr_quiescent(s->qsbr, 0);
	}
	return QUERIES * 1e3 / (double)(cpu_ns() - from);
}

static void *write_all(void *ctx)
{
	struct scene *s = ctx;
	struct random r = {5};
	uint64_t from = cpu_ns();
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint32_t vrf = random_below(&r, s->vrfs);
		struct prefix p = s->table[vrf][random_below(&r, s->routes)];
		struct fib_route route =
			route4(p, vrf * GROUPS_PER_VRF + random_below(&r, GROUPS_PER_VRF));
		if (s->updates % 3 == 0)
			fib_delete(s->fib, vrf, &route);
		else
			fib_set(s->fib, vrf, &route);
		if (++s->updates % 64 == 0)
			fib_slice(s->fib, 256);
	}
	s->updates_rate = (double)s->updates * 1e3 / (double)(cpu_ns() - from);
	return NULL;
}

static void run(unsigned vrfs)
{
	struct scene s = {.vrfs = vrfs, .routes = 4000};
	s.qsbr = aligned_alloc(64, (rte_rcu_qsbr_get_memsize(1) + 63) & ~63ul);
	rte_rcu_qsbr_init(s.qsbr, 1);
	struct fib_reclaim reclaim = {s.qsbr, start, done};
	s.fib = fib_create(vrfs, 8ull << 30, &reclaim);
	s.table = calloc(vrfs, sizeof(*s.table));
	struct random r = {3};
	for (uint32_t vrf = 0; vrf < vrfs; vrf++) {
		fib_vrf_create(s.fib, vrf, NULL);
		s.table[vrf] = make_table(MIX_CUSTOMER, s.routes, vrf + 1);
		for (unsigned i = 0; i < s.routes; i++) {
			struct fib_route route =
				route4(s.table[vrf][i], vrf * GROUPS_PER_VRF + (i & 7));
			fib_set(s.fib, vrf, &route);
		}
	}
	s.vrf = malloc(QUERIES * sizeof(*s.vrf));
	s.addr = malloc(QUERIES * sizeof(*s.addr));
	for (unsigned i = 0; i < QUERIES; i++) {
		s.vrf[i] = random_below(&r, vrfs);
		s.addr[i] = address_in(s.table[s.vrf[i]][random_below(&r, s.routes)], &r);
	}
	rte_rcu_qsbr_thread_register(s.qsbr, 0);
	rte_rcu_qsbr_thread_online(s.qsbr, 0);
	double alone[ROUNDS], beside[ROUNDS], rate[ROUNDS];
	read_once(&s);
	for (unsigned round = 0; round < ROUNDS; round++) {
		double a[5], b[5];
		for (unsigned i = 0; i < 5; i++)
			a[i] = read_once(&s);
		pthread_t writer;
		s.stop = false;
		s.updates = 0;
		pthread_create(&writer, NULL, write_all, &s);
		for (unsigned i = 0; i < 5; i++)
			b[i] = read_once(&s);
		__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
		pthread_join(writer, NULL);
		alone[round] = beside[round] = 0;
		for (unsigned i = 0; i < 5; i++) {
			alone[round] += a[i] / 5;
			beside[round] += b[i] / 5;
		}
		rate[round] = s.updates_rate;
	}
	char what[48];
	snprintf(what, sizeof(what), "%u VRFs, 4k, reader", vrfs);
	report("concurrent", what, "alone", "Mlps", alone, ROUNDS);
	report("concurrent", what, "beside a writer", "Mlps", beside, ROUNDS);
	snprintf(what, sizeof(what), "%u VRFs, 4k, writer", vrfs);
	report("concurrent", what, "beside a reader", "M/s", rate, ROUNDS);
	double loss = 100 * (1 - beside[ROUNDS / 2] / alone[ROUNDS / 2]);
	report_verdict("reader slowed <= 10 %, no foreign answer", loss <= 10 && !s.foreign,
		"%.1f %%, %llu foreign", loss, (unsigned long long)s.foreign);
	for (uint32_t vrf = 0; vrf < vrfs; vrf++)
		free(s.table[vrf]);
	rte_rcu_qsbr_thread_offline(s.qsbr, 0);
	fib_free(s.fib);
	free(s.qsbr);
	free(s.table);
	free(s.vrf);
	free(s.addr);
}

void bench_concurrent(const struct options *o)
{
	report_heading("One reader and one writer, each at full rate on a core of its own (if "
		       "there is one)");
	run(1);
	if (o->vrfs >= 1000)
		run(1000);
}
