/* SPDX-License-Identifier: BSD-3-Clause */
// One table, several implementations: the FIB must say what rte_lpm, rte_fib and rte_lpm6 say, for
// tables larger than a linear scan can check, also after half of the routes were deleted and put
// back.

#include "tests/unit/fib/oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_fib.h>
#include <rte_lpm.h>
#include <rte_lpm6.h> // addresses are uint8_t[16] or, from 24.11 on, struct rte_ipv6_addr: passed as void *

#include <cmocka.h>

#define ROUTES 3000u
#define CHECKS 200000u

static uint32_t word_of(const uint8_t *addr)
{
	return (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 | (uint32_t)addr[2] << 8 | addr[3];
}

// Tame: without what rte_fib of DPDK 22.11 gets wrong, where rte_lpm and the scan agree with the
// FIB: prefixes shorter than /8 added over longer ones, and those at the ends of the address space.
static bool tame;

static void fill(struct oracle *o, struct random *r, uint8_t family, unsigned routes)
{
	while (o->n < routes) {
		struct fib_route route = random_route(r, o, family);
		route.group &= 0xfffff; // rte_lpm6 takes 21 bits
		bool wild = route.len < 8 || route.addr[0] == 0 || route.addr[0] >= 224;
		if (route.len && !(tame && wild))
			oracle_set(o, &route);
	}
}

static struct rte_fib *fib_of_dpdk;
static struct rte_lpm *lpm;
static struct rte_lpm6 *lpm6;

// DPDK 24.11 gave IPv6 addresses a type of their own: (void *) suits both.
static void put(struct fib *fib, const struct fib_route *route)
{
	assert_true(fib_set(fib, 0, route) >= 0);
	if (route->family == FIB_IPV6) {
		uint8_t addr[16];
		memcpy(addr, route->addr, 16);
		assert_int_equal(rte_lpm6_add(lpm6, (void *)addr, route->len, route->group), 0);
	} else {
		assert_int_equal(
			rte_lpm_add(lpm, word_of(route->addr), route->len, route->group), 0);
		if (tame)
			assert_int_equal(rte_fib_add(fib_of_dpdk, word_of(route->addr), route->len,
						 route->group),
				0);
	}
}

static void take(struct fib *fib, const struct fib_route *route)
{
	assert_int_equal(fib_delete(fib, 0, route), 0);
	if (route->family == FIB_IPV6) {
		uint8_t addr[16];
		memcpy(addr, route->addr, 16);
		rte_lpm6_delete(lpm6, (void *)addr, route->len);
	} else {
		rte_lpm_delete(lpm, word_of(route->addr), route->len);
		if (tame)
			rte_fib_delete(fib_of_dpdk, word_of(route->addr), route->len);
	}
}

static void compare(const struct fib *fib, const struct oracle *o, struct random *r, uint8_t family)
{
	for (unsigned i = 0; i < CHECKS; i++) {
		uint8_t addr[16];
		random_address(r, o, family, addr);
		uint32_t got = lookup_one(fib, 0, family, addr), hop = 0;
		uint32_t want;
		if (family == FIB_IPV6) {
			want = rte_lpm6_lookup(lpm6, (void *)addr, &hop) == 0 ? FIB_FOUND | hop
									      : FIB_NO_ROUTE;
		} else {
			uint32_t word = word_of(addr);
			uint64_t other;
			want = rte_lpm_lookup(lpm, word, &hop) == 0 ? FIB_FOUND | hop
								    : FIB_NO_ROUTE;
			rte_fib_lookup_bulk(fib_of_dpdk, &word, &other, 1);
			other = other == 0x7fffffff ? FIB_NO_ROUTE : FIB_FOUND | (uint32_t)other;
			if (tame)
				assert_int_equal(other, got);
		}
		assert_int_equal(got, want);
	}
}

static void test_differential(void **state)
{
	struct random r = {random_seed()};
	struct rte_lpm_config lpm_config = {.max_rules = ROUTES + 16, .number_tbl8s = 4096};
	struct rte_fib_conf fib_config = {.type = RTE_FIB_DIR24_8,
		.default_nh = 0x7fffffff,
		.max_routes = 2 * ROUTES,
		.dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = 4096}};
	struct rte_lpm6_config lpm6_config = {.max_rules = ROUTES + 16, .number_tbl8s = 1u << 16};
	lpm = rte_lpm_create("differential", -1, &lpm_config);
	fib_of_dpdk = rte_fib_create("differential", -1, &fib_config);
	lpm6 = rte_lpm6_create("differential", -1, &lpm6_config);
	assert_non_null(lpm);
	assert_non_null(fib_of_dpdk);
	assert_non_null(lpm6);
	struct fib *fib = fib_create(1, 64u << 20, NULL);
	assert_int_equal(fib_vrf_create(fib, 0, NULL), 0);
	for (unsigned pass = 0; pass < 3; pass++) {
		uint8_t family = pass < 2 ? FIB_IPV4 : FIB_IPV6;
		struct oracle o = {0};
		tame = pass == 0;
		fill(&o, &r, family,
			family == FIB_IPV6 ? ROUTES / 2 : ROUTES); // tbl8 groups of rte_lpm6
		for (unsigned i = 0; i < o.n; i++)
			put(fib, &o.routes[i]);
		while (fib_slice(fib, 1000))
			;
		compare(fib, &o, &r, family);
		for (unsigned i = 0; i < o.n; i += 2)
			take(fib, &o.routes[i]);
		while (fib_slice(fib, 1000))
			;
		compare(fib, &o, &r, family);
		for (unsigned i = 0; i < o.n; i += 2)
			put(fib, &o.routes[i]);
		while (fib_slice(fib, 1000))
			;
		compare(fib, &o, &r, family);
		for (unsigned i = 0; i < o.n; i++)
			take(fib, &o.routes[i]);
		oracle_free(&o);
	}
	rte_lpm_free(lpm);
	rte_fib_free(fib_of_dpdk);
	rte_lpm6_free(lpm6);
	fib_free(fib);
}

int main(void)
{
	char *args[] = {"test-fib-differential", "--no-huge", "--no-shconf", "--no-pci",
		"--no-telemetry", "-m", "768", "-l", "0", "--log-level=error", NULL};
	if (rte_eal_init(10, args) < 0) {
		fprintf(stderr, "EAL did not start\n");
		return 1;
	}
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_differential)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rte_eal_cleanup();
	return failed;
}
