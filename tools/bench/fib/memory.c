/* SPDX-License-Identifier: BSD-3-Clause */
// Bytes of forwarding memory per VRF, after churn: every route deleted and put back in another
// order, and then nine times the table's size of random replacements, so that what fragmentation
// costs is in the figure.

#include "tools/bench/fib/bench.h"

#include <stdio.h>
#include <stdlib.h>

#include <rte_fib.h>
#include <rte_lpm.h>

struct usage {
	double mean, min, max, shadow, committed;
};

static void churn(struct fib *fib, uint32_t vrf, enum mix mix, struct prefix *table, unsigned n,
	uint64_t seed)
{
	struct random r = {seed ^ 0x5555};
	struct prefix *fresh = make_table(mix, n * 2, seed);
	for (unsigned i = 0; i < 10 * n; i++) {
		unsigned at = random_below(&r, n);
		struct fib_route route = route4(table[at], 0);
		fib_delete(fib, vrf, &route);
		struct prefix next = fresh[random_below(&r, 2 * n)];
		route = route4(next, 0);
		if (fib_get(fib, vrf, &route) == 0) { // there already: put the old one back
			next = table[at];
			route = route4(next, 0);
		}
		route.group = vrf * GROUPS_PER_VRF + random_below(&r, GROUPS_PER_VRF);
		if (fib_set(fib, vrf, &route) < 0)
			abort();
		table[at] = next;
	}
	free(fresh);
}

static struct usage measure(enum mix mix, unsigned n, unsigned vrfs)
{
	struct fib *fib = fib_create(vrfs, 8ull << 30, NULL);
	struct usage u = {.min = 1e18};
	struct random r = {n};
	for (uint32_t vrf = 0; vrf < vrfs; vrf++) {
		fib_vrf_create(fib, vrf, NULL);
		struct prefix *table = make_table(mix, n, vrf + 1);
		for (unsigned i = 0; i < n; i++) {
			struct fib_route route = route4(table[i],
				vrf * GROUPS_PER_VRF + random_below(&r, mix == MIX_INTERNET
										? 500
										: GROUPS_PER_VRF));
			if (fib_set(fib, vrf, &route) < 0)
				abort();
		}
		churn(fib, vrf, mix, table, n, vrf + 1);
		while (fib_slice(fib, 1u << 20))
			;
		struct fib_vrf_stats stats;
		fib_vrf_stats(fib, vrf, &stats);
		double bytes = (double)stats.bytes + 16 + 64; // and its two records
		u.mean += bytes / vrfs;
		u.shadow += (double)stats.shadow_bytes / vrfs;
		u.min = bytes < u.min ? bytes : u.min;
		u.max = bytes > u.max ? bytes : u.max;
		free(table);
	}
	struct fib_stats all;
	fib_stats(fib, &all);
	u.committed = (double)all.committed / vrfs;
	fib_free(fib);
	return u;
}

static double mtrie_usage(enum mix mix, unsigned n)
{
	struct mtrie *m = mtrie_create();
	struct prefix *table = make_table(mix, n, 1);
	for (unsigned i = 0; i < n; i++)
		mtrie_add(m, table[i].addr, table[i].len, i & 7);
	double bytes = (double)mtrie_bytes(m);
	mtrie_free(m);
	free(table);
	return bytes;
}

void bench_memory(const struct options *o)
{
	static const unsigned sizes[] = {10, 100, 1000, 4000, 10000};
	report_heading("Forwarding memory per VRF, bytes, after 10x churn (the FIB's mean, min and "
		       "max of VRFs)");
	char what[48];
	for (unsigned i = 0; i < 6; i++) {
		bool internet = i == 5;
		unsigned n = internet ? 1000000 : sizes[i], vrfs = internet   ? 1
								   : n <= 100 ? 200
									      : 40;
		snprintf(what, sizeof(what), internet ? "1M Internet" : "%u routes", n);
		struct usage u = measure(internet ? MIX_INTERNET : MIX_CUSTOMER, n, vrfs);
		double values[3] = {u.min, u.mean, u.max};
		report("memory", what, "culvert", "bytes", values, 3);
		report_one("memory", what, "culvert-shadow", "bytes", u.shadow);
		report_one("memory", what, "mtrie 16-8-8", "bytes",
			mtrie_usage(internet ? MIX_INTERNET : MIX_CUSTOMER, n));
		// 2^24 entries of 4 bytes, and what tbl8 groups the table needs, left out: the
		// bound from below.
		report_one("memory", what, "rte_lpm, rte_fib", "bytes", 64.0 * (1 << 20));
		if (n == 10)
			report_verdict("10 routes <= 1 KiB", u.max <= 1024,
				"%.0f, at most %.0f bytes", u.mean, u.max);
		if (n == 4000)
			report_verdict("4,000 routes <= 25 B/route", u.mean <= 25.0 * n,
				"%.1f B/route", u.mean / n);
		if (internet)
			report_verdict("1M Internet <= 12 MB", u.mean <= 12e6,
				"%.2f MB (%.2f MB of pages)", u.mean / 1e6, u.committed / 1e6);
	}
	(void)o;
}
