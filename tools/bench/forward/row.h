/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_FORWARD_ROW_H
#define BENCH_FORWARD_ROW_H

// One row of the forwarding benchmark: so many circuits with so many routes each, and the flows that use them.
// Everything follows from the seed, so that the frames written by one call fit the tables loaded by another.
//
// A pair is an input and an output port of its own, for a worker of its own: ports 0..pairs-1 are where
// frames come in, pairs..2*pairs-1 where they leave. Every circuit has an attachment on each pair, in a VRF of its
// own there; all attachments of a circuit share its limiter, as those of a link do.

#include <stdint.h>

#include "tools/bench/fib/bench.h" // struct prefix, and a customer's table

#define LOCAL_OUTER 0xc0000201u // 192.0.2.1, + pair
#define REMOTE_OUTER \
	0xc6336401u         // 198.51.100.1, + pair, for every circuit: the key tells them apart
#define SOURCES 0x0a010000u // customers' sources, 10.1.0.0/16

struct row {
	uint32_t circuits, routes, flows;
	uint32_t pairs, pair; // pair: whose frames
	uint64_t seed;
	int imix, decap, check;
	int internal; // routes like a customer's own networks instead of like the Internet's
	int zipf;     // circuits by Zipf's law with exponent 1 instead of evenly
};

extern const uint8_t our_mac[6], their_mac[6];

void put16(uint8_t *at, uint32_t value);
void put32(uint8_t *at, uint32_t value);

// The next route of a circuit; *state begins as circuit_seed().
struct prefix random_prefix(const struct row *row, uint32_t circuit, uint64_t *state);
uint64_t circuit_seed(const struct row *row, uint32_t circuit);

// The circuit's tags on every input port; how many.
unsigned vlan_stack(const struct row *row, uint32_t circuit, uint16_t vlan[2]);

// Key of a circuit's tunnel on one pair.
uint32_t tunnel_key(const struct row *row, uint32_t pair, uint32_t circuit);

// Writes the frames of row->pair. 0 or -1 (errno).
int write_pcap(const char *path, const struct row *row);

// Is a controller that sets the row up in the data plane that listens at `path`. 0, or 1: something was refused.
int load(const char *path, const struct row *row);

#endif
