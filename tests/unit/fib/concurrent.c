/* SPDX-License-Identifier: BSD-3-Clause */
// Readers beside the writer. The group of every route names its VRF, so an answer out of another
// customer's table is seen as such. Some answers must hold through all of it:
//
//   anchors  prefixes that never change, while everything around, above and beside them does
//   flips    a prefix and the /0 whose group goes to and fro: one or the other, never none
//
// Under ThreadSanitizer the portable lookup runs, which it can follow; under AddressSanitizer
// blocks that have been given back are poisoned, so that a reader in one is caught. CULVERT_LONG=1
// runs longer.

#include "tests/unit/fib/oracle.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_rcu_qsbr.h>

#include <cmocka.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#define VRFS          12u
#define READERS       2u
#define ANCHORS       16u
#define ANCHOR        0x8000u // bits of a group below its VRF: an anchor, and which
#define FLIP          0x4000u
#define GROUP(vrf, x) ((vrf) << 16 | (x))

struct shared {
	struct fib *fib;
	struct rte_rcu_qsbr *qsbr;
	struct fib_route anchor[2][ANCHORS]; // the same in all VRFs
	struct fib_route flip[2];
	struct fib_route outside[2]; // a range that nothing but the /0 covers
	bool stop;
	uint64_t seed;
};

struct reader {
	struct shared *shared;
	unsigned id;
	uint64_t lookups, wrong;
	char first[160];
	pthread_t thread;
};

static bool within(const struct fib_route *inner, const struct fib_route *outer)
{
	uint8_t cut[16];
	memcpy(cut, inner->addr, 16);
	prefix_cut(cut, outer->len);
	return inner->len >= outer->len && memcmp(cut, outer->addr, 16) == 0;
}

static bool overlaps(const struct fib_route *a, const struct fib_route *b)
{
	return within(a, b) || within(b, a);
}

static struct fib_route parse(const char *text, uint8_t family, uint8_t len)
{
	struct fib_route route = {.family = family, .len = len};
	for (unsigned i = 0; text[2 * i]; i++) {
		unsigned byte;
		sscanf(text + 2 * i, "%2x", &byte);
		route.addr[i] = (uint8_t)byte;
	}
	return route;
}

static void make_fixed(struct shared *s, struct random *r)
{
	static const uint8_t lens[2][4] = {{17, 24, 28, 32}, {40, 48, 64, 128}};
	s->flip[0] = parse("0ac8", FIB_IPV4, 16);
	s->flip[1] = parse("20010db8c8", FIB_IPV6, 44);
	s->outside[0] = parse("f0", FIB_IPV4, 4);
	s->outside[1] = parse("f0", FIB_IPV6, 4);
	for (unsigned f = 0; f < 2; f++)
		for (unsigned i = 0; i < ANCHORS; i++) {
			struct fib_route a = s->flip[f];
			do { // apart from each other: each is the longest for its addresses
				a.len = lens[f][i % 4];
				a.addr[f ? 4 : 1] = (uint8_t)random_below(r, 64);
				for (unsigned b = f ? 5 : 2; b < (f ? 16 : 4); b++)
					a.addr[b] = (uint8_t)random_next(r);
				prefix_cut(a.addr, a.len);
				bool clash = overlaps(&a, &s->flip[f]);
				for (unsigned k = 0; k < i; k++)
					clash |= overlaps(&a, &s->anchor[f][k]);
				if (!clash)
					break;
			} while (true);
			s->anchor[f][i] = a;
		}
}

static bool touches_fixed(const struct shared *s, const struct fib_route *route)
{
	unsigned f = route->family == FIB_IPV6;
	if (within(route, &s->flip[f]) || overlaps(route, &s->outside[f]))
		return true;
	for (unsigned i = 0; i < ANCHORS; i++)
		if (within(route, &s->anchor[f][i]))
			return true;
	return false;
}

// Random routes, many of them near the fixed ones.
static struct fib_route some_route(
	const struct shared *s, const struct oracle *near, struct random *r, uint8_t family)
{
	struct fib_route route;
	do
		route = random_route(r, near, family);
	while (route.len == 0 || touches_fixed(s, &route));
	return route;
}

static void inside(const struct fib_route *route, struct random *r, uint8_t addr[16])
{
	memcpy(addr, route->addr, 16);
	for (unsigned i = route->len; i < (route->family == FIB_IPV6 ? 128 : 32); i++)
		if (random_next(r) & 1)
			addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

static void judge(struct reader *reader, uint32_t vrf, uint8_t family, unsigned kind,
	unsigned which, uint32_t got)
{
	uint32_t below = got & 0xffff;
	bool right;
	if (kind == 0) // an anchor
		right = got == (FIB_FOUND | GROUP(vrf, ANCHOR | which));
	else if (kind == 1) // the flip
		right = (got & ~1u) == (FIB_FOUND | GROUP(vrf, FLIP));
	else if (kind == 2) // only the /0
		right = (got & ~1u) == (FIB_FOUND | FIB_DEFAULT | GROUP(vrf, FLIP | 2));
	else // anything, but of this VRF, and there is always the /0
		right = (got & FIB_FOUND) && (got & FIB_GROUP_MASK) >> 16 == vrf;
	reader->lookups++;
	if (!right && reader->wrong++ == 0)
		snprintf(reader->first, sizeof(reader->first),
			"vrf %u family %u kind %u which %u: %x (%x)", vrf, family, kind, which, got,
			below);
}

static void read_batch(
	struct reader *reader, struct random *r, const struct oracle *near, uint8_t family)
{
	const struct shared *s = reader->shared;
	uint32_t vrf[FIB_BULK], addr4[FIB_BULK], got[FIB_BULK];
	uint8_t addr[FIB_BULK][16];
	const uint8_t *at[FIB_BULK];
	unsigned kind[FIB_BULK], which[FIB_BULK], n = 1 + random_below(r, FIB_BULK),
						  f = family == FIB_IPV6;
	for (unsigned i = 0; i < n; i++) {
		vrf[i] = random_below(r, VRFS);
		kind[i] = random_below(r, 4);
		which[i] = random_below(r, ANCHORS);
		if (kind[i] == 3)
			random_address(r, near, family, addr[i]);
		else
			inside(kind[i] == 0    ? &s->anchor[f][which[i]]
				: kind[i] == 1 ? &s->flip[f]
					       : &s->outside[f],
				r, addr[i]);
		at[i] = addr[i];
		addr4[i] = (uint32_t)addr[i][0] << 24 | (uint32_t)addr[i][1] << 16 |
			   (uint32_t)addr[i][2] << 8 | addr[i][3];
	}
	if (f)
		fib_lookup6(s->fib, vrf, at, got, n);
	else
		fib_lookup4(s->fib, vrf, addr4, got, n);
	for (unsigned i = 0; i < n; i++)
		judge(reader, vrf[i], family, kind[i], which[i], got[i]);
}

static void *read_all(void *ctx)
{
	struct reader *reader = ctx;
	struct shared *s = reader->shared;
	struct random r = {s->seed + 1000 + reader->id};
	struct oracle near[2] = {
		{s->anchor[0], ANCHORS, ANCHORS}, {s->anchor[1], ANCHORS, ANCHORS}};
	rte_rcu_qsbr_thread_online(s->qsbr, reader->id);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED) || reader->lookups < 10000) {
		read_batch(reader, &r, &near[0], FIB_IPV4);
		read_batch(reader, &r, &near[1], FIB_IPV6);
		rte_rcu_qsbr_quiescent(s->qsbr, reader->id);
	}
	rte_rcu_qsbr_thread_offline(s->qsbr, reader->id);
	return NULL;
}

static void write_fixed(struct shared *s, uint32_t vrf, unsigned round)
{
	for (unsigned f = 0; f < 2; f++) {
		struct fib_route route = s->flip[f], rest = {.family = s->flip[f].family};
		route.group = GROUP(vrf, FLIP | (round & 1));
		rest.group = GROUP(vrf, FLIP | 2 | (round & 1));
		assert_true(fib_set(s->fib, vrf, &route) >= 0);
		assert_true(fib_set(s->fib, vrf, &rest) >= 0);
		for (unsigned i = 0; round == 0 && i < ANCHORS; i++) {
			route = s->anchor[f][i];
			route.group = GROUP(vrf, ANCHOR | i);
			assert_int_equal(fib_set(s->fib, vrf, &route), 0);
		}
	}
}

static void write_all(struct shared *s, struct random *r, unsigned updates)
{
	struct oracle table[VRFS] = {0};
	struct oracle near[2] = {
		{s->anchor[0], ANCHORS, ANCHORS}, {s->anchor[1], ANCHORS, ANCHORS}};
	for (unsigned i = 0; i < updates; i++) {
		uint32_t vrf = random_below(r, VRFS);
		struct oracle *o = &table[vrf];
		// Sizes go up and down, through all kinds of roots and blocks.
		unsigned aim = (i / 500 % 4) * 40 * (1 + vrf % 3) + 2;
		if (random_below(r, 2 * aim) >= o->n) {
			uint8_t family = random_below(r, 2) ? FIB_IPV4 : FIB_IPV6;
			const struct oracle *by =
				o->n && random_below(r, 2) ? o : &near[family == FIB_IPV6];
			struct fib_route route = some_route(s, by, r, family);
			route.group = GROUP(vrf, random_below(r, 64));
			assert_true(fib_set(s->fib, vrf, &route) >= 0);
			oracle_set(o, &route);
		} else if (o->n) {
			struct fib_route route = o->routes[random_below(r, o->n)];
			assert_int_equal(fib_delete(s->fib, vrf, &route), 0);
			oracle_delete(o, &route);
		}
		if (i % 5 == 0)
			write_fixed(s, random_below(r, VRFS), i / 5 + 1);
		if (i % 16 == 0)
			fib_slice(s->fib, 64);
	}
	for (uint32_t vrf = 0; vrf < VRFS; vrf++)
		oracle_free(&table[vrf]);
}

static uint64_t start(void *ctx)
{
	return rte_rcu_qsbr_start(ctx);
}

static bool done(void *ctx, uint64_t token)
{
	return rte_rcu_qsbr_check(ctx, token, false) == 1;
}

static void run(enum fib_isa isa, unsigned updates)
{
	struct shared s = {.seed = random_seed()};
	struct random r = {s.seed};
	size_t size = rte_rcu_qsbr_get_memsize(READERS);
	s.qsbr = aligned_alloc(64, (size + 63) & ~63ul);
	rte_rcu_qsbr_init(s.qsbr, READERS);
	struct fib_reclaim reclaim = {s.qsbr, start, done};
	s.fib = fib_create(VRFS, 64u << 20, &reclaim);
	assert_non_null(s.fib);
	if (fib_set_isa(s.fib, isa) != 0) {
		fib_free(s.fib);
		free(s.qsbr);
		return;
	}
	make_fixed(&s, &r);
	for (uint32_t vrf = 0; vrf < VRFS; vrf++) {
		assert_int_equal(fib_vrf_create(s.fib, vrf, NULL), 0);
		write_fixed(&s, vrf, 0);
	}
	struct reader readers[READERS];
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){.shared = &s, .id = i};
		rte_rcu_qsbr_thread_register(s.qsbr, i);
		pthread_create(&readers[i].thread, NULL, read_all, &readers[i]);
	}
	write_all(&s, &r, updates);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	uint64_t lookups = 0;
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		if (readers[i].wrong)
			fail_msg("isa %d: %llu of %llu wrong, first: %s", isa,
				(unsigned long long)readers[i].wrong,
				(unsigned long long)readers[i].lookups, readers[i].first);
		lookups += readers[i].lookups;
	}
	printf("isa %d: %llu lookups beside %u updates\n", isa, (unsigned long long)lookups,
		updates);
	for (uint32_t vrf = 0; vrf < VRFS; vrf++)
		assert_int_equal(fib_vrf_delete(s.fib, vrf), 0);
	while (fib_slice(s.fib, 1000))
		;
	struct fib_stats stats;
	fib_slice(s.fib, 1);
	fib_stats(s.fib, &stats);
	assert_int_equal(stats.used, 0);
	assert_int_equal(stats.waiting, 0);
	fib_free(s.fib);
	free(s.qsbr);
}

static void test_concurrent(void **state)
{
	unsigned updates = getenv("CULVERT_LONG") ? 1000000 : 20000;
	run(FIB_PORTABLE, updates);
#if !defined(__SANITIZE_THREAD__) && !__has_feature(thread_sanitizer)
	run(FIB_AVX2, updates);
	run(FIB_AVX512, updates);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_concurrent)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
