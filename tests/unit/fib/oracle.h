/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UNIT_FIB_ORACLE_H
#define UNIT_FIB_ORACLE_H

// A table that cannot be wrong: an unordered list of routes, searched from end to end. And random
// routes and addresses of the kinds that find mistakes.

#include "dataplane/tables/fib.h"

#include <stdbool.h>
#include <stdint.h>

struct oracle {
	struct fib_route *routes;
	unsigned n, room;
};

void oracle_set(struct oracle *o, const struct fib_route *route);
bool oracle_delete(struct oracle *o, const struct fib_route *route); // by addr, family, len
struct fib_route *oracle_find(const struct oracle *o, const struct fib_route *route);
uint32_t oracle_lookup(
	const struct oracle *o, uint8_t family, const uint8_t *addr); // as fib_lookup answers
void oracle_free(struct oracle *o);

struct random {
	uint64_t state;
};
uint64_t random_seed(void); // CULVERT_SEED or the time; printed
uint64_t random_next(struct random *r);
uint32_t random_below(struct random *r, uint32_t n);

// Cuts the address to len bits.
void prefix_cut(uint8_t *addr, unsigned len);
// A random route whose prefix tends to nest with, or lie beside, those of the table.
struct fib_route random_route(struct random *r, const struct oracle *near, uint8_t family);
// An address at, just before, just behind or inside a route of the table, or anywhere.
void random_address(struct random *r, const struct oracle *near, uint8_t family, uint8_t addr[16]);

uint32_t lookup_one(const struct fib *fib, uint32_t vrf, uint8_t family, const uint8_t *addr);

#endif
