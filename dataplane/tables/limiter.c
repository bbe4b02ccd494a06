// SPDX-License-Identifier: BSD-3-Clause
// The packet path of the limiter: verdicts for groups of packets of one contract.
//
// Four ways through, cheapest first:
//   lease    the worker holds time it has paid for: subtract and pass; one private line, no atomics
//   closed   best effort, and the last refusal said until when: drop; the same private line
//   single   one packet: one compare, one compare-and-swap
//   group    all packets of the group in one compare-and-swap
//
// Why the word cannot be overspent: every accepted byte moved `tat` before the verdict was given,
// by this CAS or by the one that took the lease. Why a lease does not blur the limit: it is only
// taken while more than half of the burst is free, it is handed back in the next CAS, and `lo` is
// an eighth wider than the burst to cover what all workers together may hold (control: quantum =
// burst / (8 * workers)). Why the ramp: at a hard threshold whoever sends small packets or in long
// trains gets the room that the others left. A packet is judged at the level it finds plus 3/8 of
// its own cost: with all of it large packets lose (they need more room), with none of it they win
// (each finds the level sunk by the time it took to arrive). The fair share lies between 1/4 and
// 1/2, depending on how the sources take turns (docs/decisions/0003-limiter.md). Overdraft: one
// packet.

#include "dataplane/tables/limiter.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

// The shared words are plain integers in the segment's layout; threads meet on them, so every
// access is atomic.
#define load(p)     __atomic_load_n(p, __ATOMIC_RELAXED)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define add(p, v)   LIMITER_ADD(p, v)

#define RUN_GAP 1024u // windows without a drop that end a run of drops, about a second

// How far ahead the end of a refusal may stand, as LIMITER_LEASE_AHEAD for leases.
#define CLOSED_AHEAD (1ull << 37) // an overdraft: 9,600 bytes at 1 Mb/s are 77 ms

// Best effort is not refused until anything. Not a time in the past: every time is in the future
// once in a while, 0, which parts that were never used hold, just before the units wrap.
#define OPEN 0

struct bounds {
	uint64_t lo, hi, slope, ef, slack;
};

static inline uint64_t price(uint64_t amount, uint64_t cost)
{
	return (uint64_t)(((unsigned __int128)amount * cost + 32768) >> 16);
}

static inline uint64_t later(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) > 0 ? a : b;
}

static inline bool swap(uint64_t *word, uint64_t *expected, uint64_t desired)
{
	return __atomic_compare_exchange_n(
		word, expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static inline uint64_t first(unsigned n)
{
	return n < 64 ? (1ull << n) - 1 : ~0ull;
}

// ---- The fullest millisecond

void limiter_close_epoch(struct stats_limiter_part *part, uint32_t window)
{
	store(&part->last_peak, part->peak);
	store(&part->peak, (uint64_t)window);
}

// ---- Counters

static inline void count_passed(
	struct stats_limiter_part *part, unsigned class, uint64_t packets, uint64_t bytes)
{
	add(&part->count.passed[class].packets, packets);
	add(&part->count.passed[class].bytes, bytes);
}

static void count_limited(struct stats_limiter_part *part, uint64_t now, unsigned class,
	uint64_t packets, uint64_t bytes)
{
	uint32_t window = (uint32_t)(now >> LIMITER_WINDOW_SHIFT);

	add(&part->count.limited[class].packets, packets);
	add(&part->count.limited[class].bytes, bytes);
	if (window - part->drop_last > RUN_GAP || !part->drop_first)
		store(&part->drop_first, window);
	store(&part->drop_last, window);
}

static inline uint64_t bytes_of(const uint16_t *len, uint64_t mask)
{
	uint64_t bytes = 0;

	for (; mask; mask &= mask - 1)
		bytes += len[__builtin_ctzll(mask)];
	return bytes;
}

static inline void count_all_passed(struct stats_limiter_part *part, const uint16_t *len,
	uint64_t bytes, uint64_t ef, unsigned n)
{
	uint64_t packets = n;

	if (unlikely(ef)) {
		uint64_t ef_bytes = bytes_of(len, ef);
		uint64_t ef_packets = (uint64_t)__builtin_popcountll(ef);

		count_passed(part, 1, ef_packets, ef_bytes);
		packets -= ef_packets;
		bytes -= ef_bytes;
	}
	count_passed(part, 0, packets, bytes);
}

static void count_verdict(struct stats_limiter_part *part, uint64_t now, const uint16_t *len,
	uint64_t passed, uint64_t ef, unsigned n)
{
	uint64_t all = first(n);

	for (unsigned class = 0; class < 2; class ++) {
		uint64_t mine = class ? ef : all & ~ef;
		uint64_t in = mine & passed, out = mine & ~passed;

		if (in)
			count_passed(
				part, class, (uint64_t)__builtin_popcountll(in), bytes_of(len, in));
		if (out)
			count_limited(part, now, class, (uint64_t)__builtin_popcountll(out),
				bytes_of(len, out));
	}
}

// ---- The two other words: EF cap and packet rate

// Which of the `ef` packets stay EF; the others are judged as best effort.
static uint64_t cap_ef(
	struct stats_limiter_word *word, uint64_t now, const uint16_t *len, uint64_t ef)
{
	uint64_t t = load(&word->tat_ef), cost = load(&word->ef_cost), lo = load(&word->ef_lo);
	uint64_t kept, at;

	do {
		at = later(t, now);
		kept = 0;
		for (uint64_t rest = ef; rest; rest &= rest - 1) {
			unsigned i = (unsigned)__builtin_ctzll(rest);

			if (at - now > lo)
				break;
			kept |= 1ull << i;
			at += price(len[i], cost);
		}
	} while (kept && !swap(&word->tat_ef, &t, at));
	return kept;
}

// How many of n packets the packet rate lets through.
static unsigned cap_packets(struct stats_limiter_word *word, uint64_t now, unsigned n)
{
	uint64_t t = load(&word->tat_packets), cost = load(&word->packet_cost);
	uint64_t lo = load(&word->packet_lo), at;
	unsigned kept;

	do {
		at = later(t, now);
		for (kept = 0; kept < n && at - now <= lo; kept++)
			at += price(1, cost);
	} while (kept && !swap(&word->tat_packets, &t, at));
	return kept;
}

// ---- The contract

#define GOLDEN 2654435769u // 2^32 / golden ratio

// The dice: packet number k of this worker throws frac(k * golden ratio), the Weyl sequence of
// lowest discrepancy. As fair as independent throws, but among any few dozen packets the share that
// is dropped is the right one.
static inline uint32_t next_throw(struct stats_limiter_part *part)
{
	part->dice = (uint32_t)part->dice + GOLDEN;
	return (uint32_t)part->dice;
}

// One comparison at the end and no branch before it: at the limit, where a level lies is as good as
// random. slope is rounded up, so that x is 65536 or more at hi, which no throw reaches.
static inline bool ramp_refuses(
	uint64_t level, uint64_t lo, uint64_t hi, uint64_t slope, uint32_t throw)
{
	int64_t over = (int64_t)(level - lo);
	uint64_t above = (uint64_t)(over & ~(over >> 63)), width = hi - lo, x;

	above = above < width ? above : width;
	x = (above * slope) >> 32;
	x = x < 65536 ? x : 65536;
	return throw < x * x;
}

static inline struct bounds bounds_of(const struct stats_limiter_word *word, bool shape)
{
	struct bounds b = {
		.lo = load(&word->lo), .hi = load(&word->hi), .slope = load(&word->slope)};
	uint32_t flags = load(&word->flags);

	if (flags & LIMITER_EF)
		b.ef = load(&word->ef);
	if (flags & LIMITER_SHAPE) {
		b.slack = load(&word->slack);
		if (!shape) { // policed all the same: what may not leave at once is dropped
			if (b.ef)
				b.ef = b.slack + (b.ef - b.hi);
			b.lo = b.slack;
			b.hi = b.slack + 1;
			b.slope = 1ull << 48;
		}
	}
	return b;
}

// May this worker take a lease? `level` is what the packets leave, `sum` their price.
static inline uint64_t lease(const struct stats_limiter_word *word,
	const struct stats_limiter_part *part, uint64_t now, uint64_t level, uint64_t sum)
{
	uint64_t quantum = load(&word->quantum), ahead = part->expiry - now;

	if (level < load(&word->surplus) && ahead > 2 * quantum && ahead < LIMITER_LEASE_AHEAD &&
		quantum >= 8 * sum)
		return quantum;
	return 0;
}

static inline void settle(struct stats_limiter_part *part, const struct stats_limiter_word *word,
	uint64_t now, uint64_t cost, uint64_t credit)
{
	part->credit = credit;
	part->expiry = now + 4 * load(&word->quantum);
	part->terms = credit ? cost : OPEN;
}

struct group {
	const uint16_t *len;
	uint64_t candidates; // not refused by the packet rate
	uint64_t ef;         // within the EF cap
	uint64_t *departure; // NULL = police
	uint32_t throw;
};

// Goes through a group from level `at - now`; returns the accepted ones and moves *at.
static uint64_t admit(
	const struct group *g, const struct bounds *b, uint64_t now, uint64_t cost, uint64_t *at)
{
	uint32_t throw = g->throw;
	uint64_t passed = 0, sum;

	for (uint64_t rest = g->candidates & g->ef; rest; rest &= rest - 1) {
		unsigned i = (unsigned)__builtin_ctzll(rest);

		if (*at - now > b->ef)
			break;
		passed |= 1ull << i;
		*at += price(g->len[i], cost);
	}
	for (uint64_t rest = g->candidates & ~g->ef; rest; rest &= rest - 1) {
		unsigned i = (unsigned)__builtin_ctzll(rest);

		throw += GOLDEN;
		sum = price(g->len[i], cost);
		if (ramp_refuses(*at - now + sum * 3 / 8, b->lo, b->hi, b->slope, throw))
			continue;
		passed |= 1ull << i;
		if (g->departure)
			g->departure[i] = later(*at - b->slack, now);
		*at += sum;
	}
	return passed;
}

static __attribute__((noinline)) uint64_t police_group(struct stats_limiter_word *word,
	struct stats_limiter_part *part, uint64_t now, const uint16_t *len, uint64_t bytes,
	uint64_t ef, unsigned n, uint64_t *departure)
{
	struct group g = {.len = len,
		.candidates = first(n),
		.departure = departure,
		.throw = (uint32_t)part->dice};
	struct bounds b = bounds_of(word, departure != NULL);
	uint64_t t = load(&word->tat), cost = load(&word->cost), sum, at, passed, q;
	uint32_t flags = load(&word->flags);
	unsigned let = n;

	if (unlikely(flags & LIMITER_PACKETS)) {
		let = cap_packets(word, now, n);
		g.candidates = first(let);
		bytes = bytes_of(len, g.candidates);
	}
	sum = price(bytes, cost);
	do {
		uint64_t base = later(t - part->credit, now); // the old lease goes back

		at = base + sum;
		q = 0;
		if (at - now <= (b.slack ? b.slack : b.lo)) {
			passed = g.candidates;
			q = lease(word, part, now, at - now, sum);
		} else {
			if (ef && !g.ef && flags & LIMITER_EF)
				g.ef = cap_ef(word, now, len, ef & g.candidates);
			at = base;
			passed = admit(&g, &b, now, cost, &at);
			if (!passed && !part->credit) {
				part->terms = (at - b.hi) | 1;
				goto out;
			}
		}
	} while (!swap(&word->tat, &t, at + q));
	settle(part, word, now, cost, q);
out:
	if (unlikely(flags & LIMITER_PACKETS) && passed != g.candidates) // not charged after all
		__atomic_fetch_sub(&word->tat_packets,
			price(let - (unsigned)__builtin_popcountll(passed),
				load(&word->packet_cost)),
			__ATOMIC_RELAXED);
	part->dice = (uint32_t)part->dice + n * GOLDEN;
	if (passed == first(n))
		count_all_passed(part, len, bytes, ef, n);
	else
		count_verdict(part, now, len, passed, ef, n);
	return passed;
}

// One packet of best effort, or of a limiter without classes, of a worker that holds a lease or may
// take one.
static __attribute__((noinline)) uint64_t police_lender(struct stats_limiter_word *word,
	struct stats_limiter_part *part, uint64_t now, uint16_t bytes, unsigned class)
{
	uint64_t t = load(&word->tat), cost = load(&word->cost), lo = load(&word->lo);
	uint64_t hi = load(&word->hi), slope = load(&word->slope);
	uint64_t quantum = load(&word->quantum), surplus = load(&word->surplus);
	uint32_t throw = next_throw(part);
	uint64_t sum = price(bytes, cost), credit = part->credit, ahead = part->expiry - now;
	uint64_t base, level, q, pay;
	bool lender = ahead > 2 * quantum && ahead < LIMITER_LEASE_AHEAD && quantum >= 8 * sum;

	do {
		base = later(t - credit, now);
		level = base - now;
		pay = sum;
		q = lender && level + sum < surplus ? quantum : 0;
		if (ramp_refuses(level + sum * 3 / 8, lo, hi, slope, throw)) {
			if (!credit) {
				part->terms = (base - hi) | 1;
				count_limited(part, now, class, 1, bytes);
				return 0;
			}
			pay = 0; // the lease goes back all the same
		}
	} while (!swap(&word->tat, &t, base + pay + q));
	part->credit = q;
	part->terms = q ? cost : OPEN;
	part->expiry = now + 4 * quantum;
	if (unlikely(!pay)) {
		count_limited(part, now, class, 1, bytes);
		return 0;
	}
	count_passed(part, class, 1, bytes);
	return 1;
}

// The same with neither a lease to give back nor one to take: with many circuits at their limit,
// nearly every packet, so this is one straight line that needs no stack, and what is rare is called
// at its ends.
static inline uint64_t police_single(struct stats_limiter_word *word,
	struct stats_limiter_part *part, uint64_t now, uint16_t bytes, unsigned class)
{
	uint64_t t = load(&word->tat), base = later(t, now), level = base - now, sum;
	uint32_t throw;

	if (unlikely(level < load(&word->surplus)))
		return police_lender(word, part, now, bytes, class);
	sum = price(bytes, load(&word->cost));
	throw = (uint32_t)part->dice + GOLDEN;
	if (ramp_refuses(level + sum * 3 / 8, load(&word->lo), load(&word->hi), load(&word->slope),
		    throw)) {
		part->dice = throw;
		part->terms = (base - load(&word->hi)) | 1;
		count_limited(part, now, class, 1, bytes);
		return 0;
	}
	if (unlikely(!swap(&word->tat, &t, base + sum)))
		return police_lender(word, part, now, bytes, class);
	part->dice = throw;
	count_passed(part, class, 1, bytes);
	return 1;
}

static __attribute__((noinline)) uint64_t police_alone(struct stats_limiter_word *word,
	struct stats_limiter_part *part, uint64_t now, uint16_t len, unsigned ef)
{
	return police_group(word, part, now, &len, len, ef, 1, NULL);
}

uint64_t limiter_police_one(struct stats_limiter_word *word, struct stats_limiter_part *part,
	uint64_t now, uint16_t len, unsigned ef)
{
	uint32_t flags = load(&word->flags);

	limiter_count_window(part, now, len);
	if (unlikely(part->credit != 0)) {
		uint64_t sum = price(len, part->terms);

		if (sum < part->credit && part->expiry - now < LIMITER_LEASE_AHEAD) {
			part->credit -= sum;
			count_passed(part, ef, 1, len);
			return 1;
		}
	} else if (!ef && part->terms != OPEN && part->terms - now < CLOSED_AHEAD) {
		count_limited(part, now, 0, 1, len);
		return 0;
	}
	if (unlikely(flags & (LIMITER_PACKETS | LIMITER_SHAPE) || (ef && flags & LIMITER_EF)))
		return police_alone(word, part, now, len, ef);
	if (unlikely(part->credit != 0))
		return police_lender(word, part, now, len, ef);
	return police_single(word, part, now, len, ef);
}

static inline uint64_t total(const uint16_t *len, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += len[i];
	return bytes;
}

// The private line's ways: true = *passed is the verdict.
static inline bool decide_alone(struct stats_limiter_part *part, uint64_t now, const uint16_t *len,
	uint64_t bytes, uint64_t ef, unsigned n, uint64_t *passed)
{
	uint64_t sum = price(bytes, part->terms);

	limiter_count_window(part, now, bytes);
	if (likely(sum < part->credit && part->expiry - now < LIMITER_LEASE_AHEAD)) {
		part->credit -= sum;
		count_all_passed(part, len, bytes, ef, n);
		*passed = first(n);
		return true;
	}
	if (!part->credit && !ef && part->terms != OPEN && part->terms - now < CLOSED_AHEAD) {
		count_limited(part, now, 0, n, bytes);
		*passed = 0;
		return true;
	}
	return false;
}

uint64_t limiter_police(struct stats_limiter_word *word, struct stats_limiter_part *part,
	uint64_t now, const uint16_t *len, uint64_t ef_mask, unsigned n)
{
	uint64_t ef = ef_mask & first(n), bytes, passed;

	if (n == 1)
		return limiter_police_one(word, part, now, len[0], (unsigned)ef);
	bytes = total(len, n);
	if (decide_alone(part, now, len, bytes, ef, n, &passed))
		return passed;
	return police_group(word, part, now, len, bytes, ef, n, NULL);
}

uint64_t limiter_shape(struct stats_limiter_word *word, struct stats_limiter_part *part,
	uint64_t now, const uint16_t *len, uint64_t ef_mask, unsigned n, uint64_t *departure)
{
	uint64_t ef = ef_mask & first(n), bytes = total(len, n), passed;

	for (unsigned i = 0; i < n; i++)
		departure[i] = now;
	if (decide_alone(part, now, len, bytes, ef, n, &passed))
		return passed;
	if (!(load(&word->flags) & LIMITER_SHAPE))
		departure = NULL;
	return police_group(word, part, now, len, bytes, ef, n, departure);
}
