/* SPDX-License-Identifier: BSD-3-Clause */
// Lookups per second of one core: one table, then many, each packet in a VRF of its own.
// Destinations lie inside random routes (uniform or by Zipf's law over the routes), so that every
// lookup goes to the bottom. All contenders that fit get the same queries; before they are timed,
// their answers are compared.

#include "tools/bench/fib/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_fib.h>
#include <rte_lpm.h>

#define QUERIES (1u << 20)
#define MIB     (1ull << 20)

struct scene {
	unsigned vrfs, routes;
	enum mix mix;
	struct prefix **table; // per VRF
	uint32_t *vrf, *addr;  // QUERIES
	struct fib *fib;
	struct mtrie **mtrie; // NULL: does not fit
	struct rte_lpm **lpm;
	struct rte_fib **rte_fib;
};

typedef void lookup_fn(const struct scene *s, const uint32_t *vrf, const uint32_t *addr,
	uint32_t *out, unsigned n);

static void by_fib(
	const struct scene *s, const uint32_t *vrf, const uint32_t *addr, uint32_t *out, unsigned n)
{
	fib_lookup4(s->fib, vrf, addr, out, n);
}

static void by_fib_32(
	const struct scene *s, const uint32_t *vrf, const uint32_t *addr, uint32_t *out, unsigned n)
{
	fib_lookup4(s->fib, vrf, addr, out, 32);
	fib_lookup4(s->fib, vrf + 32, addr + 32, out + 32, 32);
}

static void by_fib_one(
	const struct scene *s, const uint32_t *vrf, const uint32_t *addr, uint32_t *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fib_lookup4(s->fib, &vrf[i], &addr[i], &out[i], 1);
}

static void by_mtrie(
	const struct scene *s, const uint32_t *vrf, const uint32_t *addr, uint32_t *out, unsigned n)
{
	if (s->vrfs == 1)
		mtrie_lookup_one(s->mtrie[0], addr, out, n);
	else
		mtrie_lookup(s->mtrie, vrf, addr, out, n);
}

static void by_lpm(
	const struct scene *s, const uint32_t *vrf, const uint32_t *addr, uint32_t *out, unsigned n)
{
	if (s->vrfs == 1)
		rte_lpm_lookup_bulk(s->lpm[0], addr, out, n);
	else
		for (unsigned i = 0; i < n; i++)
			rte_lpm_lookup(s->lpm[vrf[i]], addr[i], &out[i]);
}

static void by_rte_fib(
	const struct scene *s, const uint32_t *vrf, const uint32_t *addr, uint32_t *out, unsigned n)
{
	uint64_t hops[FIB_BULK];
	if (s->vrfs == 1)
		rte_fib_lookup_bulk(s->rte_fib[0], (uint32_t *)(uintptr_t)addr, hops, (int)n);
	else
		for (unsigned i = 0; i < n; i++)
			rte_fib_lookup_bulk(
				s->rte_fib[vrf[i]], (uint32_t *)(uintptr_t)&addr[i], &hops[i], 1);
	for (unsigned i = 0; i < n; i++)
		out[i] = (uint32_t)hops[i];
}

static uint32_t value_of(const struct scene *s, uint32_t vrf, unsigned i)
{
	unsigned groups = s->mix == MIX_INTERNET ? 500 : GROUPS_PER_VRF;
	return vrf * GROUPS_PER_VRF + (uint32_t)(i * 2654435761u >> 8) % groups;
}

static void churn(struct scene *s);

static void load(struct scene *s, bool lpm, bool rte_fib)
{
	s->table = calloc(s->vrfs, sizeof(*s->table));
	s->fib = fib_create(s->vrfs, 16ull << 30, NULL);
	bool mtrie = (uint64_t)s->vrfs * (s->mix == MIX_INTERNET ? 128 : 4) * MIB <
		     memory_available() / 2;
	s->mtrie = mtrie ? calloc(s->vrfs, sizeof(*s->mtrie)) : NULL;
	s->lpm = lpm ? calloc(s->vrfs, sizeof(*s->lpm)) : NULL;
	s->rte_fib = rte_fib ? calloc(s->vrfs, sizeof(*s->rte_fib)) : NULL;
	for (uint32_t vrf = 0; vrf < s->vrfs; vrf++) {
		struct prefix *table = s->table[vrf] = make_table(s->mix, s->routes, vrf + 1);
		fib_vrf_create(s->fib, vrf, NULL);
		if (mtrie)
			s->mtrie[vrf] = mtrie_create();
		if (lpm)
			s->lpm[vrf] = peer_lpm(s->routes);
		if (rte_fib)
			s->rte_fib[vrf] = peer_fib(s->routes);
		for (unsigned i = 0; i < s->routes; i++) {
			struct fib_route route = route4(table[i], value_of(s, vrf, i));
			int error = fib_set(s->fib, vrf, &route);
			if (mtrie)
				mtrie_add(s->mtrie[vrf], table[i].addr, table[i].len, route.group);
			if (lpm)
				error |= rte_lpm_add(
					s->lpm[vrf], table[i].addr, table[i].len, route.group);
			if (rte_fib)
				error |= rte_fib_add(
					s->rte_fib[vrf], table[i].addr, table[i].len, route.group);
			if (error) {
				fprintf(stderr, "a route was refused: %d\n", error);
				exit(1);
			}
		}
	}
	churn(s);
}

// Routes of random VRFs deleted and put back, ten times as many as there are (as many, in the
// largest case): the blocks lie where a year would have put them, not in the order of the build.
static void churn(struct scene *s)
{
	struct random r = {17};
	uint64_t times = (uint64_t)s->vrfs * s->routes * (s->vrfs > 1000 ? 1 : 10);
	for (uint64_t k = 0; k < times; k++) {
		uint32_t vrf = random_below(&r, s->vrfs);
		unsigned i = random_below(&r, s->routes);
		struct fib_route route = route4(s->table[vrf][i], value_of(s, vrf, i));
		if (fib_delete(s->fib, vrf, &route) != 0 || fib_set(s->fib, vrf, &route) != 0)
			abort();
		if (k % 64 == 0)
			fib_slice(s->fib, 64);
	}
	while (fib_slice(s->fib, 1u << 20))
		;
}

static void unload(struct scene *s)
{
	for (uint32_t vrf = 0; vrf < s->vrfs; vrf++) {
		free(s->table[vrf]);
		if (s->mtrie)
			mtrie_free(s->mtrie[vrf]);
		if (s->lpm)
			rte_lpm_free(s->lpm[vrf]);
		if (s->rte_fib)
			rte_fib_free(s->rte_fib[vrf]);
	}
	fib_free(s->fib);
	free(s->table);
	free(s->mtrie);
	free(s->lpm);
	free(s->rte_fib);
	free(s->vrf);
	free(s->addr);
}

static void ask(struct scene *s, bool by_zipf)
{
	struct random r = {s->vrfs + s->routes};
	if (!s->vrf) {
		s->vrf = malloc(QUERIES * sizeof(*s->vrf));
		s->addr = malloc(QUERIES * sizeof(*s->addr));
	}
	for (unsigned i = 0; i < QUERIES; i++) {
		s->vrf[i] = random_below(&r, s->vrfs);
		unsigned route = by_zipf ? zipf(&r, s->routes) : random_below(&r, s->routes);
		s->addr[i] = address_in(s->table[s->vrf[i]][route], &r);
	}
}

static void compare(const struct scene *s, const char *who, lookup_fn *lookup)
{
	uint32_t want[FIB_BULK], got[FIB_BULK];
	for (unsigned i = 0; i < 65536; i += FIB_BULK) {
		fib_lookup4(s->fib, &s->vrf[i], &s->addr[i], want, FIB_BULK);
		lookup(s, &s->vrf[i], &s->addr[i], got, FIB_BULK);
		for (unsigned k = 0; k < FIB_BULK; k++)
			if ((want[k] & FIB_GROUP_MASK) != (got[k] & FIB_GROUP_MASK)) {
				fprintf(stderr, "%s says %x, the FIB %x\n", who, got[k], want[k]);
				exit(1);
			}
	}
}

static double rate(const struct scene *s, lookup_fn *lookup, unsigned queries)
{
	static uint32_t out[FIB_BULK];
	uint64_t from = 0;
	for (unsigned pass = 0; pass < 2;
		pass++) { // the first takes the caches back from the others
		from = cpu_ns();
		for (unsigned i = 0; i < queries; i += FIB_BULK) {
			lookup(s, &s->vrf[i], &s->addr[i], out, FIB_BULK);
			__asm__ volatile("" : : "r"(out) : "memory");
		}
	}
	return queries * 1e3 / (double)(cpu_ns() - from);
}

static void race(struct scene *s, const char *what, bool isas)
{
	struct {
		const char *who;
		lookup_fn *lookup;
		int isa;    // of the FIB, -1: the best
		int avx512; // of rte_fib
	} all[] = {{"culvert", by_fib, -1, 0}, {"culvert b=32", by_fib_32, -1, 0},
		{"culvert one", by_fib_one, -1, 0}, {"culvert avx2", by_fib, FIB_AVX2, 0},
		{"culvert portable", by_fib, FIB_PORTABLE, 0}, {"mtrie x4", by_mtrie, -1, 0},
		{"rte_lpm", by_lpm, -1, 0}, {"rte_fib scalar", by_rte_fib, -1, 0},
		{"rte_fib avx512", by_rte_fib, -1, 1}};
	double values[9][ROUNDS];
	bool runs[9];
	enum fib_isa best = fib_isa(s->fib);
	for (unsigned round = 0; round <= ROUNDS; round++) { // round 0 compares and warms up
		for (unsigned c = 0; c < 9; c++) {
			runs[c] = all[c].lookup == by_mtrie ? s->mtrie != NULL
				  : all[c].lookup == by_lpm ? s->lpm != NULL
				  : all[c].lookup == by_rte_fib
					  ? s->rte_fib && (!all[c].avx512 || s->vrfs == 1)
					  : isas || all[c].isa < 0;
			if (!runs[c] ||
				fib_set_isa(s->fib,
					all[c].isa < 0 ? best : (enum fib_isa)all[c].isa) < 0)
				continue;
			if (s->rte_fib)
				for (uint32_t vrf = 0; vrf < s->vrfs; vrf++)
					if (rte_fib_select_lookup(s->rte_fib[vrf],
						    all[c].avx512
							    ? RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512
							    : RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO) !=
						0)
						runs[c] = false;
			if (!runs[c])
				continue;
			if (round == 0)
				compare(s, all[c].who, all[c].lookup);
			double mlps = rate(s, all[c].lookup, QUERIES);
			if (round)
				values[c][round - 1] = mlps;
		}
	}
	fib_set_isa(s->fib, best);
	for (unsigned c = 0; c < 9; c++)
		if (runs[c])
			report("lookup", what, all[c].who, "Mlps", values[c], ROUNDS);
}

static double ratio(const char *what, const char *who, const char *to)
{
	const struct figure *a = report_find("lookup", what, who),
			    *b = report_find("lookup", what, to);
	return a && b ? a->median / b->median : 0;
}

static void memory_of(const struct scene *s, const char *what)
{
	struct fib_stats stats;
	fib_stats(s->fib, &stats);
	report_one("lookup-memory", what, "culvert", "MB", (double)stats.used / 1e6);
	report_one("lookup-memory", what, "culvert-shadow", "MB", (double)stats.shadow_used / 1e6);
	if (s->mtrie) {
		double bytes = 0;
		for (uint32_t vrf = 0; vrf < s->vrfs; vrf++)
			bytes += (double)mtrie_bytes(s->mtrie[vrf]);
		report_one("lookup-memory", what, "mtrie 16-8-8", "MB", bytes / 1e6);
	}
	if (s->lpm)
		report_one("lookup-memory", what, "rte_lpm + rte_fib", "MB",
			(double)peer_bytes() / 1e6);
	else
		report_one("lookup-memory", what, "rte_lpm (computed)", "MB", s->vrfs * 67.1);
}

static void one_table(enum mix mix, unsigned routes, const char *name)
{
	char what[48];
	struct scene s = {.vrfs = 1, .routes = routes, .mix = mix};
	load(&s, routes < 100000, true); // 1M routes into rte_lpm take a minute
	for (unsigned z = 0; z < 2; z++) {
		snprintf(what, sizeof(what), "1 VRF, %s, %s", name, z ? "zipf" : "uniform");
		ask(&s, z);
		race(&s, what, true);
	}
	unload(&s);
}

static void many(unsigned vrfs, bool libraries)
{
	char what[48];
	struct scene s = {.vrfs = vrfs, .routes = 4000, .mix = MIX_CUSTOMER};
	load(&s, libraries, libraries);
	for (unsigned z = 0; z < 2; z++) {
		snprintf(what, sizeof(what), "%u VRFs, 4k, %s", vrfs, z ? "zipf" : "uniform");
		ask(&s, z);
		race(&s, what, false);
	}
	memory_of(&s, what);
	unload(&s);
}

void bench_lookup(const struct options *o)
{
	report_heading("Lookups, millions per second of CPU time, batches of 64 (ratio to the "
		       "first line)");
	one_table(MIX_CUSTOMER, 4000, "4k");
	double lpm = ratio("1 VRF, 4k, uniform", "culvert", "rte_lpm");
	report_verdict("one 4,000-route VRF >= 0.35x rte_lpm bulk", lpm >= 0.35, "%.2fx", lpm);
	if (!o->quick)
		one_table(MIX_INTERNET, 1000000, "1M");
	many(24, memory_available() > 6ull << 30);
	if (o->vrfs >= 1000) {
		many(1000, false);
		double mtrie = ratio("1000 VRFs, 4k, uniform", "culvert", "mtrie x4");
		const struct figure *own =
			report_find("lookup-memory", "1000 VRFs, 4k, zipf", "culvert");
		const struct figure *its =
			report_find("lookup-memory", "1000 VRFs, 4k, zipf", "mtrie 16-8-8");
		double part = own && its ? its->median / own->median : 0;
		report_verdict("1,000 VRFs >= 1.0x mtrie at <= 1/20 of its memory",
			mtrie >= 1 && part >= 20, "%.2fx at 1/%.1f", mtrie, part);
	}
	if (o->vrfs >= 10000) {
		many(10000, false);
		const struct figure *own =
			report_find("lookup-memory", "10000 VRFs, 4k, zipf", "culvert");
		report_verdict("10,000 x 4,000 routes <= 1.0 GB", own->median <= 1000, "%.0f MB",
			own->median);
	}
}
