/* SPDX-License-Identifier: BSD-3-Clause */
// What is refused, and that a refusal changes nothing; that large changes come in slices; and the
// ends of the address space.

#include "tests/unit/fib/oracle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fib_route v4(uint32_t addr, uint8_t len, uint32_t group)
{
	return (struct fib_route){.addr = {(uint8_t)(addr >> 24), (uint8_t)(addr >> 16),
					  (uint8_t)(addr >> 8), (uint8_t)addr},
		.group = group,
		.family = FIB_IPV4,
		.len = len};
}

static uint32_t ask(const struct fib *fib, uint32_t vrf, uint32_t addr)
{
	uint32_t result;
	fib_lookup4(fib, &vrf, &addr, &result, 1);
	return result;
}

static void test_ends(void **state)
{
	struct fib *fib = fib_create(2, 8u << 20, NULL);
	assert_int_equal(fib_vrf_create(fib, 1, NULL), 0);
	assert_int_equal(fib_vrf_create(fib, 1, NULL), -EEXIST);
	assert_int_equal(fib_vrf_create(fib, 2, NULL), -EINVAL);
	static const uint32_t addr[] = {
		0, 0xffffffff, 0, 0xffffff00, 0x80000000, 0, 0xffff0000, 0xfffffffe};
	static const uint8_t len[] = {32, 32, 1, 24, 1, 0, 16, 31};
	for (unsigned extra = 0; extra <= 64; extra += 64) { // as a range, then as chunks
		for (unsigned i = 0; i < extra; i++) {
			struct fib_route route = v4(0x0a000000u + (i << 12), 24, 77);
			assert_int_equal(fib_set(fib, 1, &route), 0);
		}
		for (uint32_t i = 0; i < 8; i++) {
			struct fib_route route = v4(addr[i], len[i], i);
			assert_int_equal(fib_set(fib, 1, &route), 0);
			assert_int_equal(fib_set(fib, 1, &route), 1);
		}
		assert_int_equal(ask(fib, 1, 0), FIB_FOUND | 0);
		assert_int_equal(ask(fib, 1, 1), FIB_FOUND | 2);
		assert_int_equal(ask(fib, 1, 0x7fffffff), FIB_FOUND | 2);
		assert_int_equal(ask(fib, 1, 0x80000000), FIB_FOUND | 4);
		assert_int_equal(ask(fib, 1, 0xffffffff), FIB_FOUND | 1);
		assert_int_equal(ask(fib, 1, 0xfffffffe), FIB_FOUND | 7);
		assert_int_equal(ask(fib, 1, 0xfffffffd), FIB_FOUND | 3);
		assert_int_equal(ask(fib, 1, 0xfffffe00), FIB_FOUND | 6);
		assert_int_equal(ask(fib, 0, 0), FIB_NO_ROUTE);
		for (uint32_t i = 0; i < 8; i++) {
			struct fib_route route = v4(addr[i], len[i], 0);
			if (len[i])
				assert_int_equal(fib_delete(fib, 1, &route), 0);
		}
		assert_int_equal(ask(fib, 1, 0xffffffff), FIB_FOUND | FIB_DEFAULT | 5);
		struct fib_route all = v4(0, 0, 0);
		assert_int_equal(fib_delete(fib, 1, &all), 0);
		assert_int_equal(fib_delete(fib, 1, &all), -ENOENT);
		assert_int_equal(ask(fib, 1, 0xffffffff), FIB_NO_ROUTE);
	}
	struct fib_route wrong = v4(1, 31, 0);
	assert_int_equal(fib_set(fib, 1, &wrong), -EINVAL);
	wrong = v4(0, 33, 0);
	assert_int_equal(fib_set(fib, 1, &wrong), -EINVAL);
	wrong = v4(0, 1, 1u << 24);
	assert_int_equal(fib_set(fib, 1, &wrong), -EINVAL);
	wrong = v4(0, 1, 0);
	assert_int_equal(fib_set(fib, 0, &wrong), -ENOENT);
	fib_free(fib);
}

// Fills the VRF with random routes until one is refused with `error`; before and after, all answers
// are right.
static void fill_until(struct fib *fib, uint32_t vrf, int error, struct oracle *o, struct random *r)
{
	int got = 0;
	for (unsigned refused = 0; refused < 50;) {
		struct fib_route route =
			random_route(r, o, random_below(r, 2) ? FIB_IPV4 : FIB_IPV6);
		struct fib_stats before, after;
		fib_stats(fib, &before);
		got = fib_set(fib, vrf, &route);
		fib_stats(fib, &after);
		if (got >= 0) {
			oracle_set(o, &route);
			continue;
		}
		assert_int_equal(got, error);
		assert_int_equal(before.routes, after.routes);
		refused++;
	}
	for (unsigned i = 0; i < 3000; i++) {
		uint8_t family = i % 2 ? FIB_IPV4 : FIB_IPV6, addr[16];
		random_address(r, o, family, addr);
		assert_int_equal(
			lookup_one(fib, vrf, family, addr), oracle_lookup(o, family, addr));
	}
}

static void empty(struct fib *fib, uint32_t vrf, struct oracle *o)
{
	while (o->n) {
		struct fib_route route = o->routes[o->n - 1];
		assert_int_equal(fib_delete(fib, vrf, &route), 0);
		o->n--;
	}
	struct fib_vrf_stats stats;
	assert_int_equal(fib_vrf_stats(fib, vrf, &stats), 0);
	assert_int_equal(stats.bytes, 0);
	oracle_free(o);
}

static void test_quotas(void **state)
{
	struct random r = {random_seed()};
	struct fib *fib = fib_create(4, 64u << 20, NULL);
	struct oracle o = {0};
	assert_int_equal(fib_vrf_create(fib, 0, &(struct fib_limits){.routes = 100}), 0);
	fill_until(fib, 0, -EDQUOT, &o, &r);
	assert_int_equal(o.n, 100);
	empty(fib, 0, &o);
	assert_int_equal(fib_vrf_create(fib, 1, &(struct fib_limits){.bytes = 8192}), 0);
	fill_until(fib, 1, -E2BIG, &o, &r);
	struct fib_vrf_stats stats;
	fib_vrf_stats(fib, 1, &stats);
	// A hash that has to grow is not refused for it: the limit may be passed by one doubling.
	assert_true(stats.bytes > 4096 && stats.bytes <= 8192 + 2048);
	empty(fib, 1, &o);
	fib_free(fib);
}

static void test_full(void **state)
{
	struct random r = {random_seed()};
	struct fib *fib = fib_create(2, 2u << 20, NULL);
	struct oracle o = {0}, rest = {0};
	assert_int_equal(fib_vrf_create(fib, 0, NULL), 0);
	assert_int_equal(fib_vrf_create(fib, 1, NULL), 0);
	for (int error = 0; error >= 0;) { // one route in each /64: the worst a customer can do
		struct fib_route route = {.family = FIB_IPV6, .len = 64, .group = o.n};
		for (unsigned i = 0; i < 8; i++)
			route.addr[i] = (uint8_t)random_next(&r);
		error = fib_set(fib, 0, &route);
		if (error >= 0 && o.n < 500)
			oracle_set(&o, &route);
		else if (error >= 0)
			assert_true(rest.n < 1000000);
		if (error < 0)
			assert_int_equal(error, -ENOMEM);
	}
	for (unsigned i = 0; i < o.n; i++)
		assert_int_equal(lookup_one(fib, 0, FIB_IPV6, o.routes[i].addr),
			FIB_FOUND | o.routes[i].group);
	for (unsigned i = 0; i < o.n; i++)
		assert_int_equal(fib_delete(fib, 0, &o.routes[i]), 0);
	struct fib_route route = v4(0x0a000000, 8, 1);
	assert_int_equal(fib_set(fib, 1, &route), 0);
	oracle_free(&o);
	fib_free(fib);
}

#define CHUNKS 32768u

// Bulks in one VRF, and bulks with another VRF's keys between them, find what is there: to the last bit, at both ends.
static void check_direct(struct fib *fib, enum fib_isa isa)
{
	uint32_t vrf[FIB_BULK], addr[FIB_BULK], result[FIB_BULK];
	fib_set_isa(fib, isa);
	for (uint32_t at = 0; at < CHUNKS; at += FIB_BULK)
		for (unsigned many = 0; many < 2; many++) {
			for (unsigned i = 0; i < FIB_BULK; i++) {
				vrf[i] = many && i % 7 == 0;
				addr[i] = (at + i) << 16 | (i & 1 ? 0x1ff : 0x1fe);
			}
			fib_lookup4(fib, vrf, addr, result, FIB_BULK);
			for (unsigned i = 0; i < FIB_BULK; i++)
				assert_int_equal(result[i], vrf[i] != 0 ? FIB_NO_ROUTE
							    : i & 1     ? (FIB_FOUND | 9)
									: (FIB_FOUND | 8));
		}
}

static void test_slices(void **state)
{
	struct fib *fib = fib_create(2, 256u << 20, NULL);
	assert_int_equal(fib_vrf_create(fib, 0, NULL), 0);
	// One /24 in each /16 of the lower half: more than the hash before, of random seed, can hold, so a direct root.
	for (uint32_t i = 0; i < CHUNKS; i++) {
		struct fib_route route = v4(i << 16, 24, 1);
		assert_int_equal(fib_set(fib, 0, &route), 0);
	}
	struct fib_vrf_stats stats;
	fib_vrf_stats(fib, 0, &stats);
	assert_string_equal(stats.root4, "direct");
	struct fib_route half = v4(0, 1, 7);
	assert_int_equal(fib_set(fib, 0, &half), 0);
	uint64_t token = fib_settle_token(fib);
	assert_false(fib_settled(fib, token));
	fib_vrf_stats(fib, 0, &stats);
	assert_false(stats.settled);
	// Between slices: other updates, also of what is being walked over.
	unsigned slices = 0;
	for (; fib_slice(fib, 100); slices++) {
		struct fib_route route = v4((slices * 977 % CHUNKS) << 16, 24, 2);
		assert_true(fib_set(fib, 0, &route) >= 0);
		if (slices == 20) {
			half.group = 8;
			assert_int_equal(fib_set(fib, 0, &half), 0);
		}
	}
	assert_true(slices > 100);
	assert_true(fib_settled(fib, token));
	for (uint32_t i = 0; i < CHUNKS; i++)
		assert_int_equal(ask(fib, 0, i << 16 | 0x0100), FIB_FOUND | 8);
	for (uint32_t i = 0; i < CHUNKS; i++) {
		struct fib_route route = v4(i << 16 | 0x1ff, 32, 9);
		assert_int_equal(fib_set(fib, 0, &route), 0);
	}
	enum fib_isa best = fib_isa(fib);
	for (enum fib_isa isa = FIB_PORTABLE; isa <= best; isa++)
		check_direct(fib, isa);
	for (uint32_t i = 0; i < CHUNKS; i++) {
		struct fib_route route = v4(i << 16, 24, 0), host = v4(i << 16 | 0x1ff, 32, 0);
		assert_int_equal(fib_delete(fib, 0, &route), 0);
		assert_int_equal(fib_delete(fib, 0, &host), 0);
	}
	assert_int_equal(ask(fib, 0, 5u << 16), FIB_FOUND | 8);
	assert_int_equal(fib_delete(fib, 0, &half), 0);
	fib_vrf_stats(fib, 0, &stats);
	assert_int_equal(stats.bytes, 0);
	fib_free(fib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_slices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
