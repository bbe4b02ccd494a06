/* SPDX-License-Identifier: BSD-3-Clause */
// Random tables against a linear scan: every mix of prefix lengths, routes set, changed and deleted
// in any order, several VRFs at once, until all are drained and the arena holds nothing.
// CULVERT_LONG=1: more than a million checks. With every kind of code the CPU can run.

#include "tests/unit/fib/oracle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VRFS 6u

struct run {
	struct fib *fib;
	struct oracle oracle[VRFS];
	struct random random;
	uint64_t checks;
	enum fib_isa best;
};

static void check_bulk(struct run *run, uint8_t family)
{
	uint32_t vrf[FIB_BULK], addr4[FIB_BULK], want[FIB_BULK], got[FIB_BULK];
	uint8_t addr[FIB_BULK][16];
	const uint8_t *at[FIB_BULK];
	unsigned n = 1 + random_below(&run->random, FIB_BULK);
	// One bulk in four is of one VRF; in two of four most keys are equal to the one before, in one
	// of these but for the last 16 bits.
	bool one = random_below(&run->random, 4) == 0;
	unsigned trains = random_below(&run->random, 4);
	for (unsigned i = 0; i < n; i++) {
		vrf[i] = one && i > 0 ? vrf[0] : random_below(&run->random, VRFS);
		random_address(&run->random, &run->oracle[vrf[i]], family, addr[i]);
		if (trains < 2 && i > 0 && random_below(&run->random, 8) != 0) {
			unsigned bytes = family == FIB_IPV6 ? 16 : 4;
			if (random_below(&run->random, 8) != 0)
				vrf[i] = vrf[i - 1];
			memcpy(addr[i], addr[i - 1], bytes - 2 * trains);
		}
		at[i] = addr[i];
		addr4[i] = (uint32_t)addr[i][0] << 24 | (uint32_t)addr[i][1] << 16 |
			   (uint32_t)addr[i][2] << 8 | addr[i][3];
		want[i] = oracle_lookup(&run->oracle[vrf[i]], family, addr[i]);
	}
	for (enum fib_isa isa = FIB_PORTABLE; isa <= run->best; isa++) {
		fib_set_isa(run->fib, isa);
		if (family == FIB_IPV6)
			fib_lookup6(run->fib, vrf, at, got, n);
		else
			fib_lookup4(run->fib, vrf, addr4, got, n);
		for (unsigned i = 0; i < n; i++)
			if (got[i] != want[i])
				fail_msg("isa %d vrf %u family %u addr %08x..: got %x, want %x",
					isa, vrf[i], family, addr4[i], got[i], want[i]);
		run->checks += n;
	}
}

// The scan knows neither direction of time: settle everything first.
static void settle(struct run *run)
{
	while (fib_slice(run->fib, 1 + random_below(&run->random, 300)))
		;
}

static void set_one(struct run *run, uint8_t family)
{
	uint32_t vrf = random_below(&run->random, VRFS);
	struct oracle *o = &run->oracle[vrf];
	struct fib_route route = random_route(&run->random, o, family);
	struct fib_route *old = oracle_find(o, &route);
	bool same = old && old->group == route.group && old->origin == route.origin;
	assert_int_equal(fib_set(run->fib, vrf, &route), same);
	oracle_set(o, &route);
}

static void delete_one(struct run *run)
{
	uint32_t vrf = random_below(&run->random, VRFS);
	struct oracle *o = &run->oracle[vrf];
	if (!o->n)
		return;
	struct fib_route route = o->routes[random_below(&run->random, o->n)], read = route;
	read.group = read.origin = 0;
	assert_int_equal(fib_get(run->fib, vrf, &read), 0);
	assert_int_equal(read.group, route.group);
	assert_int_equal(read.origin, route.origin);
	assert_int_equal(fib_delete(run->fib, vrf, &route), 0);
	assert_int_equal(fib_delete(run->fib, vrf, &route), -ENOENT);
	oracle_delete(o, &route);
}

struct dumped {
	struct oracle *oracle;
	struct fib_route last;
	unsigned n;
};

static int dump_some(void *ctx, const struct fib_route *route)
{
	struct dumped *d = ctx;
	struct fib_route *want = oracle_find(d->oracle, route);
	assert_non_null(want);
	assert_int_equal(want->group, route->group);
	assert_int_equal(want->origin, route->origin);
	d->last = *route;
	return ++d->n % 7 == 0;
}

static void check_dump(struct run *run)
{
	for (uint32_t vrf = 0; vrf < VRFS; vrf++) {
		struct fib_vrf_stats stats;
		assert_int_equal(fib_vrf_stats(run->fib, vrf, &stats), 0);
		assert_int_equal(stats.routes4 + stats.routes6, run->oracle[vrf].n);
		for (uint8_t family = FIB_IPV4; family <= FIB_IPV6; family += 2) {
			struct dumped d = {.oracle = &run->oracle[vrf]};
			const struct fib_route *after = NULL;
			while (fib_dump(run->fib, vrf, family, after, dump_some, &d))
				after = &d.last;
			assert_int_equal(d.n, family == FIB_IPV4 ? stats.routes4 : stats.routes6);
		}
	}
}

static void drain(struct run *run)
{
	for (uint32_t vrf = 0; vrf < VRFS; vrf++)
		if (vrf % 2) {
			while (run->oracle[vrf].n) {
				unsigned at = random_below(&run->random, run->oracle[vrf].n);
				struct fib_route route = run->oracle[vrf].routes[at];
				assert_int_equal(fib_delete(run->fib, vrf, &route), 0);
				oracle_delete(&run->oracle[vrf], &route);
			}
			struct fib_vrf_stats stats;
			fib_vrf_stats(run->fib, vrf, &stats);
			assert_int_equal(stats.bytes, 0);
		} else {
			assert_int_equal(fib_vrf_delete(run->fib, vrf), 0);
			run->oracle[vrf].n = 0;
		}
	check_bulk(run, FIB_IPV4);
	check_bulk(run, FIB_IPV6);
	settle(run);
	struct fib_stats stats;
	fib_stats(run->fib, &stats);
	assert_int_equal(stats.routes, 0);
	assert_int_equal(stats.used, 0);
	assert_int_equal(stats.waiting, 0);
}

static void random_tables(struct run *run, unsigned routes, uint8_t family, unsigned steps)
{
	for (uint32_t vrf = 0; vrf < VRFS; vrf++) {
		int error = fib_vrf_create(run->fib, vrf, NULL);
		assert_true(error == 0 || error == -EEXIST);
	}
	for (unsigned i = 0; i < steps; i++) {
		uint8_t f = family ? family : random_below(&run->random, 2) ? FIB_IPV4 : FIB_IPV6;
		unsigned n = 0;
		for (uint32_t vrf = 0; vrf < VRFS; vrf++)
			n += run->oracle[vrf].n;
		// Grows to the size, then goes up and down around it.
		if (random_below(&run->random, 2 * routes * VRFS) >= n)
			set_one(run, f);
		else
			delete_one(run);
		if (i % 3 == 0) {
			settle(run);
			check_bulk(run, f);
		}
	}
	check_dump(run);
	drain(run);
}

static void test_random(void **state)
{
	bool longer = getenv("CULVERT_LONG") != NULL;
	struct run run = {.random = {random_seed()}};
	run.fib = fib_create(VRFS, 64u << 20, NULL);
	assert_non_null(run.fib);
	run.best = fib_isa(run.fib);
	static const unsigned sizes[] = {3, 12, 30, 100, 400};
	for (unsigned i = 0; i < 5; i++)
		for (unsigned family = 0; family <= FIB_IPV6; family += family ? 2 : 4)
			random_tables(&run, sizes[i], (uint8_t)family,
				(longer ? 6000 : 600) + sizes[i] * VRFS * 2);
	printf("%llu checks\n", (unsigned long long)run.checks);
	if (longer)
		assert_true(run.checks >= 1000000);
	for (uint32_t vrf = 0; vrf < VRFS; vrf++)
		oracle_free(&run.oracle[vrf]);
	fib_free(run.fib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
