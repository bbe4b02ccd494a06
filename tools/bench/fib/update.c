/* SPDX-License-Identifier: BSD-3-Clause */
// Updates per second of the writer's CPU time, reclaim included (there are no readers here, but
// every block goes through the queue), and what single large changes cost.

#include "tools/bench/fib/bench.h"

#include <stdio.h>
#include <stdlib.h>

#include <rte_fib.h>
#include <rte_lpm.h>

static uint64_t tokens;

static uint64_t next_token(void *ctx)
{
	return ++tokens;
}

static bool two_later(void *ctx, uint64_t token) // as if a reader were a little behind
{
	return token + 2 <= tokens;
}

static const struct fib_reclaim queued = {.token = next_token, .done = two_later};

struct scene {
	struct fib *fib;
	struct prefix **table;
	unsigned vrfs, routes;
	enum mix mix;
	struct random r;
};

static void load(struct scene *s)
{
	s->fib = fib_create(s->vrfs, 16ull << 30, &queued);
	s->table = calloc(s->vrfs, sizeof(*s->table));
	s->r.state = 99;
	for (uint32_t vrf = 0; vrf < s->vrfs; vrf++) {
		fib_vrf_create(s->fib, vrf, NULL);
		s->table[vrf] = make_table(s->mix, s->routes, vrf + 1);
		for (unsigned i = 0; i < s->routes; i++) {
			struct fib_route route = route4(s->table[vrf][i], i & 7);
			if (fib_set(s->fib, vrf, &route) < 0)
				abort();
		}
		while (fib_slice(s->fib, 4096))
			;
	}
}

static void unload(struct scene *s)
{
	for (uint32_t vrf = 0; vrf < s->vrfs; vrf++)
		free(s->table[vrf]);
	free(s->table);
	fib_free(s->fib);
}

static double modify(struct scene *s, unsigned n)
{
	uint64_t from = cpu_ns();
	for (unsigned i = 0; i < n; i++) {
		uint32_t vrf = random_below(&s->r, s->vrfs);
		struct fib_route route =
			route4(s->table[vrf][random_below(&s->r, s->routes)], i & 0xffff);
		fib_set(s->fib, vrf, &route);
		if (i % 64 == 63)
			fib_slice(s->fib, 512);
	}
	return n * 1e3 / (double)(cpu_ns() - from);
}

static double replace(struct scene *s, unsigned n) // delete and insert count as two
{
	uint64_t from = cpu_ns();
	for (unsigned i = 0; i < n; i += 2) {
		uint32_t vrf = random_below(&s->r, s->vrfs);
		struct fib_route route =
			route4(s->table[vrf][random_below(&s->r, s->routes)], i & 7);
		fib_delete(s->fib, vrf, &route);
		fib_set(s->fib, vrf, &route);
		if (i % 64 == 62)
			fib_slice(s->fib, 512);
	}
	return n * 1e3 / (double)(cpu_ns() - from);
}

static void rates(struct scene *s, const char *what, unsigned n)
{
	char text[48];
	double values[2][ROUNDS];
	replace(s, 10 * s->routes < n ? n : 10 * s->routes); // churn first
	for (unsigned i = 0; i < ROUNDS; i++) {
		values[0][i] = modify(s, n);
		values[1][i] = replace(s, n);
	}
	snprintf(text, sizeof(text), "%s, modify", what);
	report("update", text, "culvert", "M/s", values[0], ROUNDS);
	snprintf(text, sizeof(text), "%s, del+ins", what);
	report("update", text, "culvert", "M/s", values[1], ROUNDS);
}

static void peers(const struct scene *s, const char *what, unsigned n, bool with_lpm)
{
	char text[48];
	struct rte_fib *fib = peer_fib(s->routes);
	struct rte_lpm *lpm = with_lpm ? peer_lpm(s->routes) : NULL;
	const struct prefix *table = s->table[0];
	for (unsigned i = 0; i < s->routes; i++) {
		rte_fib_add(fib, table[i].addr, table[i].len, i & 7);
		if (lpm)
			rte_lpm_add(lpm, table[i].addr, table[i].len, i & 7);
	}
	struct random r = {7};
	double values[2][ROUNDS];
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t from = cpu_ns();
		for (unsigned i = 0; i < n; i += 2) {
			struct prefix p = table[random_below(&r, s->routes)];
			rte_fib_delete(fib, p.addr, p.len);
			rte_fib_add(fib, p.addr, p.len, i & 7);
		}
		values[0][round] = n * 1e3 / (double)(cpu_ns() - from);
		from = cpu_ns();
		for (unsigned i = 0; lpm && i < n; i += 2) {
			struct prefix p = table[random_below(&r, s->routes)];
			rte_lpm_delete(lpm, p.addr, p.len);
			rte_lpm_add(lpm, p.addr, p.len, i & 7);
		}
		values[1][round] = n * 1e3 / (double)(cpu_ns() - from);
	}
	snprintf(text, sizeof(text), "%s, del+ins", what);
	report("update", text, "rte_fib", "M/s", values[0], ROUNDS);
	if (lpm)
		report("update", text, "rte_lpm", "M/s", values[1], ROUNDS);
	snprintf(text, sizeof(text), "%s, /0 change", what);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t from = cpu_ns();
		rte_fib_add(fib, 0, 0, round + 1);
		values[0][round] = (double)(cpu_ns() - from) / 1e3;
	}
	report("update", text, "rte_fib", "us", values[0], ROUNDS);
	rte_fib_free(fib);
	rte_lpm_free(lpm);
}

// One change of a short prefix: the call itself, the longest slice after it, and all of it, in us.
static void large(struct scene *s, const char *what, uint32_t addr, uint8_t len)
{
	char text[48];
	double call[ROUNDS], slice[ROUNDS], all[ROUNDS];
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct fib_route route = route4((struct prefix){addr, len}, 100 + round);
		uint64_t from = cpu_ns();
		fib_set(s->fib, 0, &route);
		uint64_t last = cpu_ns(), longest = 0;
		call[round] = (double)(last - from) / 1e3;
		for (uint32_t left = 1; left;) {
			left = fib_slice(s->fib, 512);
			uint64_t now = cpu_ns();
			longest = now - last > longest ? now - last : longest;
			last = now;
		}
		slice[round] = (double)longest / 1e3;
		all[round] = (double)(last - from) / 1e3;
	}
	snprintf(text, sizeof(text), "%s, /%u change, call", what, len);
	report("update", text, "culvert", "us", call, ROUNDS);
	snprintf(text, sizeof(text), "%s, /%u change, slice", what, len);
	report("update", text, "culvert", "us", slice, ROUNDS);
	snprintf(text, sizeof(text), "%s, /%u change, all", what, len);
	report("update", text, "culvert", "us", all, ROUNDS);
}

static double found(const char *what)
{
	const struct figure *f = report_find("update", what, "culvert");
	return f ? f->median : 0;
}

void bench_update(const struct options *o)
{
	report_heading("Updates, millions per second of CPU time; single changes in us");
	struct scene s = {.vrfs = 1, .routes = 4000, .mix = MIX_CUSTOMER};
	load(&s);
	rates(&s, "1 VRF, 4k", 400000);
	large(&s, "1 VRF, 4k", 0, 0);
	large(&s, "1 VRF, 4k", 0, 1);
	large(&s, "1 VRF, 4k", 10u << 24, 8);
	peers(&s, "1 VRF, 4k", 100000, true);
	unload(&s);
	report_verdict("one VRF >= 1 M updates/s",
		found("1 VRF, 4k, modify") >= 1 && found("1 VRF, 4k, del+ins") >= 1,
		"%.2f, %.2f M/s", found("1 VRF, 4k, modify"), found("1 VRF, 4k, del+ins"));
	report_verdict("default route < 5 us", found("1 VRF, 4k, /0 change, all") < 5, "%.2f us",
		found("1 VRF, 4k, /0 change, all"));
	report_verdict("/1 and /8 on 4,000 routes < 2 ms",
		found("1 VRF, 4k, /1 change, all") < 2000 &&
			found("1 VRF, 4k, /8 change, all") < 2000,
		"%.0f, %.0f us", found("1 VRF, 4k, /1 change, all"),
		found("1 VRF, 4k, /8 change, all"));
	if (!o->quick) {
		s = (struct scene){.vrfs = 1, .routes = 1000000, .mix = MIX_INTERNET};
		load(&s);
		rates(&s, "1 VRF, 1M", 1000000);
		large(&s, "1 VRF, 1M", 0, 0);
		large(&s, "1 VRF, 1M", 0, 1);
		large(&s, "1 VRF, 1M", 10u << 24, 8);
		peers(&s, "1 VRF, 1M", 100000, false);
		unload(&s);
	}
	if (o->vrfs >= 1000) {
		s = (struct scene){.vrfs = 1000, .routes = 4000, .mix = MIX_CUSTOMER};
		load(&s);
		rates(&s, "1,000 VRFs, 4k", 1000000);
		unload(&s);
		report_verdict("1,000 VRFs >= 0.7 M updates/s",
			found("1,000 VRFs, 4k, modify") >= 0.7 &&
				found("1,000 VRFs, 4k, del+ins") >= 0.7,
			"%.2f, %.2f M/s", found("1,000 VRFs, 4k, modify"),
			found("1,000 VRFs, 4k, del+ins"));
	}
	if (o->vrfs >= 10000) {
		s = (struct scene){.vrfs = 10000, .routes = 4000, .mix = MIX_CUSTOMER};
		load(&s);
		rates(&s, "10,000 VRFs, 4k", 1000000);
		unload(&s);
	}
}
