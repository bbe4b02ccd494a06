/* SPDX-License-Identifier: BSD-3-Clause */
// Synthetic tables, since a customer's is not to be had and a real Internet table not to be
// shipped.
//
// Customer: private space only, half of the routes anywhere, half in sites (/18s of about 60
// routes), lengths from /16 to /32 with 40 % /24. Internet: skewed over 45,000 /16s, 60 % /24. IPv6
// customer: three /32 with /36 to /128 below them, most of them /48 and /64.

#include "tools/bench/fib/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t random_next(struct random *r) // splitmix64
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint32_t random_below(struct random *r, uint32_t n)
{
	return (uint32_t)((random_next(r) >> 32) * n >> 32);
}

uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct share {
	uint8_t percent, from, to;
};

static uint8_t pick_len(const struct share *shares, struct random *r)
{
	unsigned x = random_below(r, 100);
	while (x >= shares->percent)
		x -= (shares++)->percent;
	return (uint8_t)(shares->from + random_below(r, shares->to - shares->from + 1u));
}

static uint32_t mask4(unsigned len)
{
	return len ? ~0u << (32 - len) : 0;
}

static uint32_t private_address(struct random *r)
{
	unsigned x = random_below(r, 100);
	uint32_t bits = (uint32_t)random_next(r);
	if (x < 70)
		return 10u << 24 | (bits & 0xffffff);
	return x < 85 ? 172u << 24 | 16u << 16 | (bits & 0xfffff)
		      : 192u << 24 | 168u << 16 | (bits & 0xffff);
}

// `sites`: how many /18s the clustered half falls into.
static struct prefix customer_prefix(struct random *r, uint64_t seed, unsigned sites)
{
	static const struct share lens[] = {{2, 16, 16}, {6, 17, 19}, {10, 20, 21}, {16, 22, 23},
		{40, 24, 24}, {18, 25, 28}, {5, 29, 30}, {3, 32, 32}};
	struct prefix p = {0, pick_len(lens, r)};
	if (random_next(r) & 1) {
		struct random site = {seed * 1000003 + random_below(r, sites)};
		uint32_t base = private_address(&site) & mask4(18);
		p.addr = (base | ((uint32_t)random_next(r) & ~mask4(18))) & mask4(p.len);
	} else {
		p.addr = private_address(r) & mask4(p.len);
	}
	return p;
}

static struct prefix internet_prefix(struct random *r)
{
	static const struct share lens[] = {{1, 10, 15}, {2, 16, 16}, {5, 17, 19}, {6, 20, 20},
		{5, 21, 21}, {11, 22, 22}, {10, 23, 23}, {60, 24, 24}};
	struct prefix p = {0, pick_len(lens, r)};
	double u = (double)(random_next(r) >> 11) / 9007199254740992.0;
	uint32_t block = (uint32_t)(pow(u, 1.6) * 45000); // skewed: some blocks are crowded
	p.addr = ((block * 40503u) % 57344u + 0x0100u)
		 << 16; // scattered over 1.0.0.0 to 224.255.0.0
	p.addr = (p.addr | ((uint32_t)random_next(r) & 0xffff)) & mask4(p.len);
	return p;
}

struct prefix make_prefix(enum mix mix, struct random *r, uint64_t seed)
{
	return mix == MIX_INTERNET ? internet_prefix(r) : customer_prefix(r, seed, 34);
}

// Keeps only first occurrences, in an open-addressed set.
struct prefix *make_table(enum mix mix, unsigned n, uint64_t seed)
{
	size_t room = 64;
	while (room < 2ul * n)
		room *= 2;
	struct prefix *table = malloc(n * sizeof(*table));
	uint64_t *set = calloc(room, sizeof(*set));
	struct random r = {seed};
	unsigned sites = n / 120 + 1;
	for (unsigned i = 0; i < n;) {
		struct prefix p = mix == MIX_INTERNET ? internet_prefix(&r)
						      : customer_prefix(&r, seed, sites);
		uint64_t key = (uint64_t)p.addr << 8 | p.len;
		size_t at = (key * 0x9e3779b97f4a7c15ull >> 20) & (room - 1);
		while (set[at] && set[at] != key)
			at = (at + 1) & (room - 1);
		if (set[at])
			continue;
		set[at] = key;
		table[i++] = p;
	}
	free(set);
	return table;
}

struct prefix6 *make_table6(unsigned n, uint64_t seed)
{
	static const struct share lens[] = {
		{5, 36, 47}, {40, 48, 48}, {20, 56, 56}, {30, 64, 64}, {5, 128, 128}};
	struct prefix6 *table = malloc(n * sizeof(*table));
	struct random r = {seed};
	uint64_t top[3];
	for (unsigned i = 0; i < 3; i++)
		top[i] = (0x2001ull << 48 | (random_next(&r) & 0xffffull) << 32);
	for (unsigned i = 0; i < n; i++) {
		uint64_t hi = top[random_below(&r, 3)];
		uint64_t below = random_next(&r) & 0xffffffff, lo = random_next(&r);
		struct prefix6 p = {hi | below, lo, i < 3 ? 32 : pick_len(lens, &r)};
		if (i < 3)
			p.hi = top[i];
		p.hi &= p.len >= 64 ? ~0ull : ~0ull << (64 - p.len);
		p.lo &= p.len == 128 ? ~0ull : 0;
		table[i] = p;
	}
	return table;
}

uint32_t address_in(struct prefix p, struct random *r)
{
	return p.addr | ((uint32_t)random_next(r) & ~mask4(p.len));
}

void address_in6(struct prefix6 p, struct random *r, uint8_t addr[16])
{
	uint64_t host_hi = p.len >= 64 ? 0 : random_next(r) & (~0ull >> p.len);
	uint64_t words[2] = {__builtin_bswap64(p.hi | host_hi),
		__builtin_bswap64(p.len == 128 ? p.lo : p.lo | random_next(r))};
	memcpy(addr, words, 16);
}

unsigned zipf(struct random *r, unsigned n)
{
	double u = (double)(random_next(r) >> 11) / 9007199254740992.0;
	unsigned i = (unsigned)(exp(u * log((double)n + 1)) - 1); // density 1/(x + 1)
	return i < n ? i : n - 1;
}

struct fib_route route4(struct prefix p, uint32_t group)
{
	struct fib_route route = {.group = group, .family = FIB_IPV4, .len = p.len};
	uint32_t net = __builtin_bswap32(p.addr);
	memcpy(route.addr, &net, 4);
	return route;
}

struct fib_route route6(struct prefix6 p, uint32_t group)
{
	struct fib_route route = {.group = group, .family = FIB_IPV6, .len = p.len};
	uint64_t net[2] = {__builtin_bswap64(p.hi), __builtin_bswap64(p.lo)};
	memcpy(route.addr, net, 16);
	return route;
}
