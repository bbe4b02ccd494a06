/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_FIB_BENCH_H
#define BENCH_FIB_BENCH_H

// The FIB's bench: what its sections share. One run compares all contenders side by side: rounds go
// through the contenders in turn, times are CPU time of the one thread, and what counts is the
// ratio to the FIB's own figure of the same run.

#include "dataplane/tables/fib.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROUNDS         7u
#define GROUPS_PER_VRF 8u

struct random {
	uint64_t state;
};
uint64_t random_next(struct random *r);
uint32_t random_below(struct random *r, uint32_t n);

// CPU time of the calling thread, ns.
uint64_t cpu_ns(void);

// tables.c: synthetic tables. A prefix of a table; IPv6 has its 16 bytes in host-order halves.
struct prefix {
	uint32_t addr;
	uint8_t len;
};
struct prefix6 {
	uint64_t hi, lo;
	uint8_t len;
};
enum mix { MIX_CUSTOMER, MIX_INTERNET };
// n different prefixes; the same seed gives the same ones. The caller frees them.
struct prefix *make_table(enum mix mix, unsigned n, uint64_t seed);
struct prefix make_prefix(enum mix mix, struct random *r, uint64_t seed);
struct prefix6 *make_table6(unsigned n, uint64_t seed);
// An address inside a prefix.
uint32_t address_in(struct prefix p, struct random *r);
void address_in6(struct prefix6 p, struct random *r, uint8_t addr[16]);
// Index of a route by Zipf's law (s = 1) over n.
unsigned zipf(struct random *r, unsigned n);
struct fib_route route4(struct prefix p, uint32_t group);
struct fib_route route6(struct prefix6 p, uint32_t group);

// report.c: figures by (section, case, contender): printed as text tables, as CSV, kept for the
// picture.
struct figure {
	char section[24], what[48], who[24], unit[16];
	double median, min, max,
		ratio; // ratio: to the first contender of the same section and case
};
void report(const char *section, const char *what, const char *who, const char *unit,
	double *values, unsigned n);
void report_one(
	const char *section, const char *what, const char *who, const char *unit, double value);
const struct figure *report_find(const char *section, const char *what, const char *who);
void report_heading(const char *text);
void report_verdict(const char *target, bool met, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int report_csv(const char *path);
int report_svg(const char *path); // svg.c

// Memory of the contenders: the same kind for all, in huge pages where they are large.
void *huge_alloc(size_t bytes);
void huge_free(void *at, size_t bytes);
size_t peer_bytes(void); // what DPDK's libraries hold
uint64_t memory_available(void);

// peers.c: DPDK's tables, and the bench's own mtrie (mtrie.c).
struct mtrie;
struct mtrie *mtrie_create(void);
void mtrie_free(struct mtrie *m);
void mtrie_add(struct mtrie *m, uint32_t addr, unsigned len, uint32_t value);
size_t mtrie_bytes(const struct mtrie *m);
void mtrie_lookup(struct mtrie *const *of_vrf, const uint32_t *vrf, const uint32_t *addr,
	uint32_t *out, unsigned n);
void mtrie_lookup_one(const struct mtrie *m, const uint32_t *addr, uint32_t *out, unsigned n);

int peers_init(void); // starts EAL; 0 or -1: DPDK's tables cannot be measured
struct rte_lpm;
struct rte_fib;
struct rte_lpm6;
struct rte_fib6;
struct rte_lpm *peer_lpm(unsigned routes);
struct rte_fib *peer_fib(unsigned routes);
struct rte_lpm6 *peer_lpm6(unsigned routes);
struct rte_fib6 *peer_fib6(unsigned routes);

// The sections.
struct options {
	bool quick;
	unsigned vrfs; // most VRFs of the large cases
	const char *only;
};
void bench_memory(const struct options *o);
void bench_lookup(const struct options *o);
void bench_update(const struct options *o);
void bench_concurrent(const struct options *o);
void bench_ipv6(const struct options *o);

#endif
