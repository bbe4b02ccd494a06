/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_LIMITER_H
#define TABLES_LIMITER_H

// The limiter: a contract in bit/s that any number of workers keep together, exactly.
//
// It is the generic cell rate algorithm (ITU-T I.371, virtual scheduling) in the time domain. One
// 64-bit word, the theoretical arrival time `tat`, says until when the contract is used up: each
// accepted byte moves it on by `cost`. level = tat - now is how much of the burst is in use:
// accepted below `lo`, dropped with growing probability up to `hi`, dropped above. Moving it is one
// compare-and-swap for a whole group of packets; a worker that finds less than half of the burst in
// use moves it a little further and keeps the difference as a lease, from which the next packets
// pass without touching anything shared. Since the word is a time, it survives a restart without a
// free burst, and a change of the rate needs no rewriting of what was used.
//
// All state of a limiter is in the stats segment: struct stats_limiter_word (shared) and one struct
// stats_limiter_part for each worker, both found by slot without reading anything else. Units are
// 2^-8 TSC ticks, compared by signed difference (half range: 160 days at 2.6 GHz; limiter_sweep()
// repairs what is further away).
//
// Order for a packet with two limiters: ingress first; an egress refusal leaves ingress charged.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/wire/stats.h"
#include "dataplane/wire/types.h"

#define LIMITER_UNIT_SHIFT   8   // units = TSC ticks << this
#define LIMITER_BURST_MAX    64u // packets in one call
#define LIMITER_WINDOW_SHIFT 29  // a window of the peak is 2^29 units: 0.8 ms at 2.6 GHz
#define LIMITER_EPOCH_SHIFT  12  // an epoch is 2^12 windows: 3.3 s at 2.6 GHz

// How far ahead the end of a lease may stand. What claims to be further ahead is from before a wrap
// of the clock (a circuit idle for months) and void. limiter_write() keeps quantum <= 2^32.
#define LIMITER_LEASE_AHEAD (1ull << 35)

// A worker's own counter that others read.
#define LIMITER_ADD(p, v) __atomic_store_n(p, *(p) + (v), __ATOMIC_RELAXED)

// stats_limiter_word.flags
#define LIMITER_LIVE    (1u << 0) // parameters are valid; without it every packet passes
#define LIMITER_EF      (1u << 1) // there is an EF class
#define LIMITER_PACKETS (1u << 2) // packet rate cap
#define LIMITER_SHAPE   (1u << 3)

static inline uint64_t limiter_units(uint64_t tsc)
{
	return tsc << LIMITER_UNIT_SHIFT;
}

// Counts offered bytes for the peak. Without branches but one that is taken every few seconds:
// which window a packet falls in is as good as random to a worker with many circuits.
void limiter_close_epoch(struct stats_limiter_part *part, uint32_t window);
static inline void limiter_count_window(
	struct stats_limiter_part *part, uint64_t now, uint64_t bytes)
{
	uint32_t window = (uint32_t)(now >> LIMITER_WINDOW_SHIFT);
	uint64_t sum = (window == (uint32_t)part->window ? part->window : window) + (bytes << 32);

	__atomic_store_n(&part->window, sum, __ATOMIC_RELAXED);
	if (__builtin_expect((window ^ (uint32_t)part->peak) >> LIMITER_EPOCH_SHIFT, 0))
		limiter_close_epoch(part, window);
	__atomic_store_n(&part->peak, sum > part->peak ? sum : part->peak, __ATOMIC_RELAXED);
}

// ---- Packet path: any worker, `part` its own, `word` shared. No division, lock or system call.

// Judges n (1..LIMITER_BURST_MAX) packets of one limiter, in order of arrival; EF ones are served
// first. len[i]: accounted length (limiter_account()), >= 1. ef_mask: bit i = packet i is EF (DSCP
// 46); the caller may always fill it in, it counts only if the limiter has an EF class. now:
// limiter_units(TSC), read once per burst. Returns the accepted ones as a bit mask. Counts passed
// and limited packets and bytes in part->count. A limiter with LIMITER_SHAPE polices here, at
// `slack`.
uint64_t limiter_police(struct stats_limiter_word *word, struct stats_limiter_part *part,
	uint64_t now, const uint16_t *len, uint64_t ef_mask, unsigned n);

// For one packet: the same as limiter_police() with n = 1, ef 0 or 1; returns 0 or 1.
uint64_t limiter_police_one(struct stats_limiter_word *word, struct stats_limiter_part *part,
	uint64_t now, uint16_t len, unsigned ef);

// The usual way through, for the caller to inline: packets of one class within the lease, `bytes` in
// all. False: ask limiter_police() or limiter_police_one().
static inline bool limiter_pass(struct stats_limiter_part *part, uint64_t now, uint64_t bytes,
	unsigned packets, unsigned ef)
{
	uint64_t sum;

	if (part->credit == 0)
		return false;
	sum = (uint64_t)(((unsigned __int128)bytes * part->terms + 32768) >> 16);
	if (sum >= part->credit || part->expiry - now >= LIMITER_LEASE_AHEAD)
		return false;
	part->credit -= sum;
	limiter_count_window(part, now, bytes);
	LIMITER_ADD(&part->count.passed[ef].packets, packets);
	LIMITER_ADD(&part->count.passed[ef].bytes, bytes);
	return true;
}

// The same for a shaped limiter: accepted packets also get the time (units) at which they may
// leave, `now` or before = at once (EF always). Not shaped: as limiter_police(), all at once.
// Departures of one call do not go back within a class; over calls and workers they follow the
// shared word. With the wheel's memory used up, limiter_police() is the fallback: it lets through
// what may leave at once and nothing that would wait, so that order is kept.
uint64_t limiter_shape(struct stats_limiter_word *word, struct stats_limiter_part *part,
	uint64_t now, const uint16_t *len, uint64_t ef_mask, unsigned n, uint64_t *departure);

// Prefetching, for callers with many limiters in one burst: first the parts of all, then, when
// those are there, the words of those that hold no lease.
static inline void limiter_prefetch(const struct stats_limiter_part *part)
{
	__builtin_prefetch(part, 1, 3);
}

static inline void limiter_prefetch_word(
	const struct stats_limiter_word *word, const struct stats_limiter_part *part)
{
	if (part->credit == 0) {
		__builtin_prefetch(word, 1, 3);
		__builtin_prefetch((const char *)part + 64, 1, 3);
	}
}

// Accounted length of a packet = IP length + this (then at least 1). Depends on the record and, for
// WIRE_ACCOUNT_L2, on the interface's Ethernet header (14 + 4 a tag; 14 on tunnels). The interface
// table keeps it beside the limiter's slot.
static inline int limiter_account(const struct wire_limiter *r, unsigned vlans)
{
	int l2 = r->account == WIRE_ACCOUNT_L2 ? 14 + 4 * (int)vlans + 4 : 0;

	return r->overhead + l2;
}

// ---- Control: the data plane's main thread.

// Checks ranges and the rules: 0 or -EINVAL; *reason then is a sentence for the log.
int limiter_check(const struct wire_limiter *r, const char **reason);

// Writes the parameters while workers run: nothing is lost, no burst given. `workers` = how many
// may police with it. Every mixture of old and new parameters that a worker may read meanwhile is a
// limiter between the two. Also called when the clock's frequency was corrected.
void limiter_write(struct stats_limiter_word *word, const struct wire_limiter *r, uint64_t hz,
	unsigned workers, uint64_t now);

// First use of the word by this process, before any worker has it, before limiter_write(). `same` =
// same boot and same frequency to 100 ppm, so that the stored times mean something: they are
// clamped to [now - burst, now + hi], else set to now. Leases (parts of writers 0..workers-1 that
// the caller passes one by one) are void.
void limiter_take_up(struct stats_limiter_word *word, const struct wire_limiter *r, uint64_t hz,
	unsigned workers, uint64_t now, bool same);
void limiter_void_lease(struct stats_limiter_part *part);

// Repairs words far in the past or future; call for each limiter at least once a day. Returns 1 if
// it did. First see the word, then read the clock, then sweep: a clock that was read first may be
// old by any time when the thread lost its core in between, and a busy word looks far ahead of it.
struct limiter_seen {
	uint64_t tat, tat_ef, tat_packets;
};
void limiter_see(const struct stats_limiter_word *word, struct limiter_seen *seen);
int limiter_sweep(struct stats_limiter_word *word, const struct limiter_seen *seen, uint64_t now);
// Likewise, at once after the clock has jumped: no word stays further ahead than its terms allow.
int limiter_settle(struct stats_limiter_word *word, const struct limiter_seen *seen, uint64_t now);

#endif
