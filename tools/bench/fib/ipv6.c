/* SPDX-License-Identifier: BSD-3-Clause */
// IPv6: bytes per route, and lookups beside rte_lpm6 and rte_fib6 on one table, alone on many.

#include "tools/bench/fib/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_fib6.h>
#include <rte_lpm6.h> // addresses are uint8_t[16] or, from 24.11 on, struct rte_ipv6_addr: passed as void *

#define QUERIES (1u << 19)

struct scene {
	unsigned vrfs, routes;
	struct prefix6 **table;
	uint32_t *vrf;
	uint8_t (*addr)[16];
	struct fib *fib;
	struct rte_lpm6 *lpm6;
	struct rte_fib6 *fib6;
};

// DPDK 24.11 gave IPv6 addresses a type of their own: (void *) suits both.
typedef void lookup_fn(const struct scene *s, unsigned from, uint32_t *out);

static void by_fib(const struct scene *s, unsigned from, uint32_t *out)
{
	const uint8_t *at[FIB_BULK];
	for (unsigned i = 0; i < FIB_BULK; i++)
		at[i] = s->addr[from + i];
	fib_lookup6(s->fib, &s->vrf[from], at, out, FIB_BULK);
}

static void by_fib_one(const struct scene *s, unsigned from, uint32_t *out)
{
	for (unsigned i = 0; i < FIB_BULK; i++) {
		const uint8_t *at = s->addr[from + i];
		fib_lookup6(s->fib, &s->vrf[from + i], &at, &out[i], 1);
	}
}

static void by_lpm6(const struct scene *s, unsigned from, uint32_t *out)
{
	rte_lpm6_lookup_bulk_func(s->lpm6, (void *)&s->addr[from], (int32_t *)out, FIB_BULK);
}

static void by_fib6(const struct scene *s, unsigned from, uint32_t *out)
{
	uint64_t hops[FIB_BULK];
	rte_fib6_lookup_bulk(s->fib6, (void *)&s->addr[from], hops, FIB_BULK);
	for (unsigned i = 0; i < FIB_BULK; i++)
		out[i] = (uint32_t)hops[i];
}

static void load(struct scene *s, bool libraries)
{
	struct random r = {s->vrfs};
	s->table = calloc(s->vrfs, sizeof(*s->table));
	s->fib = fib_create(s->vrfs, 16ull << 30, NULL);
	if (libraries) {
		s->lpm6 = peer_lpm6(s->routes);
		s->fib6 = peer_fib6(s->routes);
	}
	for (uint32_t vrf = 0; vrf < s->vrfs; vrf++) {
		struct prefix6 *table = s->table[vrf] = make_table6(s->routes, vrf + 1);
		fib_vrf_create(s->fib, vrf, NULL);
		for (unsigned i = 0; i < s->routes; i++) {
			struct fib_route route = route6(table[i], vrf * GROUPS_PER_VRF + (i & 7));
			if (fib_set(s->fib, vrf, &route) < 0)
				abort();
			if (libraries && (rte_lpm6_add(s->lpm6, (void *)route.addr, route.len,
						  route.group) != 0 ||
						 rte_fib6_add(s->fib6, (void *)route.addr,
							 route.len, route.group) != 0)) {
				fprintf(stderr, "a route was refused\n");
				exit(1);
			}
		}
		for (unsigned i = 0; i < 10 * s->routes && s->vrfs <= 1000; i++) { // churn
			unsigned at = random_below(&r, s->routes);
			struct fib_route route = route6(table[at], vrf * GROUPS_PER_VRF + (at & 7));
			if (fib_get(s->fib, vrf, &route) != 0)
				abort();
			fib_delete(s->fib, vrf, &route);
			fib_set(s->fib, vrf, &route);
		}
	}
	while (fib_slice(s->fib, 1u << 20))
		;
	s->vrf = malloc(QUERIES * sizeof(*s->vrf));
	s->addr = malloc(QUERIES * sizeof(*s->addr));
	for (unsigned i = 0; i < QUERIES; i++) {
		s->vrf[i] = random_below(&r, s->vrfs);
		address_in6(s->table[s->vrf[i]][random_below(&r, s->routes)], &r, s->addr[i]);
	}
}

static void unload(struct scene *s)
{
	for (uint32_t vrf = 0; vrf < s->vrfs; vrf++)
		free(s->table[vrf]);
	free(s->table);
	free(s->vrf);
	free(s->addr);
	fib_free(s->fib);
	rte_lpm6_free(s->lpm6);
	rte_fib6_free(s->fib6);
}

static double rate(const struct scene *s, lookup_fn *lookup)
{
	uint32_t out[FIB_BULK];
	uint64_t from = cpu_ns();
	for (unsigned i = 0; i < QUERIES; i += FIB_BULK) {
		lookup(s, i, out);
		__asm__ volatile("" : : "r"(out) : "memory");
	}
	return QUERIES * 1e3 / (double)(cpu_ns() - from);
}

static void compare(const struct scene *s, const char *who, lookup_fn *lookup)
{
	uint32_t want[FIB_BULK], got[FIB_BULK];
	for (unsigned i = 0; i < 65536; i += FIB_BULK) {
		by_fib(s, i, want);
		lookup(s, i, got);
		for (unsigned k = 0; k < FIB_BULK; k++)
			if ((want[k] & FIB_GROUP_MASK) != (got[k] & FIB_GROUP_MASK)) {
				fprintf(stderr, "%s says %x, the FIB %x\n", who, got[k], want[k]);
				exit(1);
			}
	}
}

static void race(struct scene *s, const char *what)
{
	struct {
		const char *who;
		lookup_fn *lookup;
		bool avx512;
	} all[] = {{"culvert", by_fib, false}, {"culvert one", by_fib_one, false},
		{"rte_lpm6", by_lpm6, false}, {"rte_fib6 scalar", by_fib6, false},
		{"rte_fib6 avx512", by_fib6, true}};
	unsigned n = s->lpm6 ? 5 : 2;
	double values[5][ROUNDS];
	for (unsigned round = 0; round <= ROUNDS; round++)
		for (unsigned c = 0; c < n; c++) {
			if (s->fib6)
				rte_fib6_select_lookup(
					s->fib6, all[c].avx512 ? RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512
							       : RTE_FIB6_LOOKUP_TRIE_SCALAR);
			if (round == 0)
				compare(s, all[c].who, all[c].lookup);
			double mlps = rate(s, all[c].lookup);
			if (round)
				values[c][round - 1] = mlps;
		}
	for (unsigned c = 0; c < n; c++)
		report("ipv6", what, all[c].who, "Mlps", values[c], ROUNDS);
}

static void run(unsigned vrfs)
{
	char what[48];
	struct scene s = {.vrfs = vrfs, .routes = 4000};
	load(&s, vrfs == 1);
	snprintf(what, sizeof(what), "%u VRFs, 4k", vrfs);
	race(&s, what);
	struct fib_stats stats;
	fib_stats(s.fib, &stats);
	double per_route = (double)(stats.used + 64 * vrfs) / (double)stats.routes;
	snprintf(what, sizeof(what), "%u VRFs, 4k, memory", vrfs);
	report_one("ipv6", what, "culvert", "B/route", per_route);
	report_one("ipv6", what, "culvert-shadow", "B/route",
		(double)stats.shadow_used / (double)stats.routes);
	report_one("ipv6", what, "rte_lpm6 (bound)", "B/route", 64.0 * (1 << 20) / s.routes);
	if (vrfs == 1) {
		const struct figure *own = report_find("ipv6", "1 VRFs, 4k", "culvert");
		const struct figure *lpm6 = report_find("ipv6", "1 VRFs, 4k", "rte_lpm6");
		report_verdict("IPv6 <= 60 B/route", per_route <= 60, "%.1f B/route", per_route);
		report_verdict("IPv6 >= 0.7x rte_lpm6 bulk", own->median >= 0.7 * lpm6->median,
			"%.2fx", own->median / lpm6->median);
	} else if (vrfs == 10000) {
		const struct figure *own = report_find("ipv6", "10000 VRFs, 4k", "culvert");
		report_verdict(
			"IPv6, 10,000 VRFs >= 6 Mlps", own->median >= 6, "%.1f Mlps", own->median);
	}
	unload(&s);
}

void bench_ipv6(const struct options *o)
{
	report_heading("IPv6: lookups, millions per second of CPU time; memory after churn");
	run(1);
	if (o->vrfs >= 1000)
		run(1000);
	if (o->vrfs >= 10000)
		run(10000);
}
