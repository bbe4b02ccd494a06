/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_LIMITER_RIVALS_H
#define BENCH_LIMITER_RIVALS_H

// What the limiter is measured beside. All judge bursts of 32 packets of 64 bytes and count passed
// and limited packets and bytes for each circuit and worker.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_BURST 32u
#define BENCH_BYTES 64u

struct bench_set { // all circuits of one run
	uint32_t circuits;
	unsigned workers;
	uint64_t rate; // bit/s, each
	uint64_t hz;
	bool used_up; // the burst is, at the start
	void *shared; // by circuit
	void *own[2]; // by worker, by circuit
	size_t shared_bytes, own_bytes;
	void *profile;
};

struct rival {
	const char *name;
	const char *title;
	bool shareable; // may two workers use one instance?
	int (*create)(struct bench_set *set);
	// Judges one burst; returns the packets passed. id[i]: circuit of packet i.
	unsigned (*burst)(
		const struct bench_set *set, unsigned worker, const uint32_t *id, uint64_t tsc);
};

extern const struct rival rivals[];
extern const unsigned rivals_count;

#endif
