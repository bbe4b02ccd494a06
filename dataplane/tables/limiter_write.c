// SPDX-License-Identifier: BSD-3-Clause
// The control side of a limiter: from the wire record (bit/s, bytes, ns) and the clock's frequency
// to the times and costs that workers use. All divisions of the limiter are here. One thread, the
// data plane's main thread, calls this, while workers police with the same word.
//
// A change needs no lock and no second copy: each parameter is one aligned word, and a worker that
// reads some old and some new ones judges one burst with a limiter between the two. What must be
// carried over is how much of the burst is in use. It is kept as a fraction: a burst used up stays
// used up (a change gives nobody a free burst) and a source that kept the old contract is below
// `lo` of the new one (nothing is lost). As the default burst is 50 ms at any rate, the usual
// change of bandwidth does not touch the word at all.

#include "dataplane/tables/limiter.h"
#include "dataplane/tables/limiter_wheel.h"

#include <errno.h>
#include <string.h>

#define load(p)     __atomic_load_n(p, __ATOMIC_RELAXED)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

#define RATE_MIN    1000000ull
#define RATE_MAX    400000000000ull
#define BURST_MIN   16000ull       // bytes: ten full packets, else TCP does not live
#define BURST_TIME  300ull         // s, longest
#define RAMP_MAX    10000000000ull // ns
#define QUEUE_MAX   60000000ull    // ns
#define QUEUE_UNITS ((WHEEL_SLOTS - 64ull) << WHEEL_SHIFT) // what the timing wheel holds: 60 ms at 4.45 GHz
#define RESERVE     2000000ull // ns above the ramp that only EF may use, at least two full packets
#define PACKET      1600u      // bytes of a full packet, with some overhead
#define SLACK       5000000ull // ns of burst that a shaper lets out at once
#define QUANTUM_MAX (1ull << 32) // units: see LEASE_AHEAD
#define FAR         (1ull << 60) // units: no level gets there

struct terms {
	uint64_t cost, lo, hi, slope, quantum, surplus;
	uint64_t ef, ef_cost, ef_lo, packet_cost, packet_lo, slack;
	uint32_t flags;
};

static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)(((unsigned __int128)a * b + c / 2) / c);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t units_of_ns(uint64_t ns, uint64_t hz)
{
	return scale(ns, hz << LIMITER_UNIT_SHIFT, 1000000000u);
}

static uint64_t price(uint64_t amount, uint64_t cost)
{
	return scale(amount, cost, 1u << 16);
}

// Units per (1 / per_second) with 16 fractional bits.
static uint64_t cost_of(uint64_t per_second, unsigned multiple, uint64_t hz)
{
	return scale((hz << LIMITER_UNIT_SHIFT) << 16, multiple, per_second);
}

int limiter_check(const struct wire_limiter *r, const char **reason)
{
	const char *why = NULL;

	if (r->rate < RATE_MIN || r->rate > RATE_MAX)
		why = "the rate must be 1 Mb/s to 400 Gb/s";
	else if (r->burst < scale(r->rate, 10, 8000))
		why = "a burst below 10 ms of the rate starves TCP (it reaches half of the rate)";
	else if (r->burst < BURST_MIN)
		why = "a burst below 16 kB starves TCP";
	else if (r->burst / BURST_TIME > r->rate / 8)
		why = "the burst must be less than 300 s of the rate";
	else if (r->ramp > RAMP_MAX)
		why = "the ramp must be at most 10 s";
	else if (r->ef_rate > r->rate || (r->ef_rate && r->ef_rate < r->rate / 1000))
		why = "the EF rate must be 0.1 % to 100 % of the rate";
	else if (r->packet_rate && (r->packet_rate < 100 || r->packet_rate > 1000000000u))
		why = "the packet rate must be 100 to 1,000,000,000 a second";
	else if (r->flags & ~WIRE_LIMITER_SHAPE)
		why = "unknown flag";
	else if (r->flags & WIRE_LIMITER_SHAPE ? !r->queue || r->queue > QUEUE_MAX : r->queue != 0)
		why = "the queue must be up to 60 ms with shaping, and 0 without";
	else if (r->overhead < -64 || r->overhead > 64)
		why = "the overhead must be -64 to 64 bytes";
	else if (r->account != WIRE_ACCOUNT_L3 && r->account != WIRE_ACCOUNT_L2)
		why = "unknown way of accounting";
	else if (!r->uid || !r->limiter)
		why = "uid and id must not be 0";
	for (unsigned i = 0; i < sizeof(r->pad); i++)
		if (r->pad[i])
			why = "padding must be zero";
	if (reason)
		*reason = why;
	return why ? -EINVAL : 0;
}

static void derive_ef(struct terms *t, const struct wire_limiter *r, uint64_t hz)
{
	uint64_t reserve = larger(units_of_ns(RESERVE, hz), 2 * price(PACKET, t->cost));

	if (!r->ef_rate)
		return;
	t->flags |= LIMITER_EF;
	t->ef_cost = cost_of(r->ef_rate, 8, hz);
	t->ef = t->hi + reserve + price(PACKET, t->cost); // the packet: overdraft of best effort
	t->ef_lo = scale(reserve, t->ef_cost, t->cost);
}

static void derive_packets(struct terms *t, const struct wire_limiter *r, uint64_t hz)
{
	if (!r->packet_rate)
		return;
	t->flags |= LIMITER_PACKETS;
	t->packet_cost = cost_of(r->packet_rate, 1, hz);
	t->packet_lo = larger(units_of_ns(50000000, hz), 32 * price(1, t->packet_cost));
	t->quantum = 0; // a lease of bytes would let packets past the second word
}

static struct terms derive(const struct wire_limiter *r, uint64_t hz, unsigned workers)
{
	struct terms t = {.flags = LIMITER_LIVE};
	uint64_t burst, queue, ramp = units_of_ns(r->ramp, hz);

	t.cost = cost_of(r->rate, 8, hz);
	burst = price(r->burst, t.cost);
	t.lo = burst + burst / 8;
	t.surplus = t.lo / 2;
	t.hi = t.lo + ramp;
	if (r->flags & WIRE_LIMITER_SHAPE) {
		t.flags |= LIMITER_SHAPE;
		t.slack = smaller(burst, larger(units_of_ns(SLACK, hz), 2 * price(PACKET, t.cost)));
		queue = smaller(units_of_ns(r->queue, hz), QUEUE_UNITS);
		t.hi = t.slack + queue;
		t.lo = t.hi - smaller(ramp, queue / 4);
		t.surplus = t.slack / 2;
		burst = t.slack;
	}
	if (t.hi == t.lo)
		t.hi++; // hard: a ramp of one unit
	t.slope = ((1ull << 48) + (t.hi - t.lo) - 1) / (t.hi - t.lo);
	t.quantum = smaller(burst / (8 * (workers ? workers : 1)), QUANTUM_MAX);
	derive_ef(&t, r, hz);
	derive_packets(&t, r, hz);
	return t;
}

static void write_terms(struct stats_limiter_word *word, const struct terms *t, uint64_t hz)
{
	store(&word->cost, t->cost);
	store(&word->lo, t->lo);
	store(&word->hi, t->hi);
	store(&word->slope, t->slope);
	store(&word->quantum, t->quantum);
	store(&word->surplus, t->surplus);
	store(&word->ef, t->ef);
	store(&word->ef_cost, t->ef_cost);
	store(&word->ef_lo, t->ef_lo);
	store(&word->packet_cost, t->packet_cost);
	store(&word->packet_lo, t->packet_lo);
	store(&word->slack, t->slack);
	store(&word->hz, hz);
	store(&word->flags, t->flags);
	store(&word->generation, word->generation + 1);
}

// Keeps the fraction of the burst in use when the burst becomes longer or shorter in time.
static void rescale(uint64_t *tat, uint64_t old, uint64_t new, uint64_t now)
{
	uint64_t t = load(tat), level;

	if (old == new || !old || !new)
		return;
	do {
		level = t - now;
		if ((int64_t)level <= 0)
			return;
		level = level < FAR ? scale(level, new, old) : new;
	} while (!__atomic_compare_exchange_n(
		tat, &t, now + level, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

static void rescale_all(struct stats_limiter_word *word, const struct terms *old,
	const struct terms *new, uint64_t now, bool shrink)
{
	if ((new->lo < old->lo) == shrink)
		rescale(&word->tat, old->lo, new->lo, now);
	if ((new->ef_lo < old->ef_lo) == shrink)
		rescale(&word->tat_ef, old->ef_lo, new->ef_lo, now);
	if ((new->packet_lo < old->packet_lo) == shrink)
		rescale(&word->tat_packets, old->packet_lo, new->packet_lo, now);
}

void limiter_write(struct stats_limiter_word *word, const struct wire_limiter *r, uint64_t hz,
	unsigned workers, uint64_t now)
{
	struct terms new = derive(r, hz, workers);
	struct terms old = {.lo = word->lo,
		.ef_lo = word->ef_lo,
		.packet_lo = word->packet_lo,
		.flags = word->flags};

	if (!(old.flags & LIMITER_LIVE)) {
		write_terms(word, &new, hz);
		return;
	}
	// In between, the burst is a little larger than it should be rather than smaller: nothing
	// is lost.
	rescale_all(word, &old, &new, now, true);
	write_terms(word, &new, hz);
	rescale_all(word, &old, &new, now, false);
}

static uint64_t clamp(uint64_t tat, uint64_t now, uint64_t below, uint64_t above, bool same)
{
	if (!same)
		return now;
	if ((int64_t)(tat - now) < -(int64_t)below)
		return now - below;
	if ((int64_t)(tat - now) > (int64_t)above)
		return now + above;
	return tat;
}

void limiter_take_up(struct stats_limiter_word *word, const struct wire_limiter *r, uint64_t hz,
	unsigned workers, uint64_t now, bool same)
{
	struct terms t = derive(r, hz, workers);

	store(&word->tat, clamp(word->tat, now, t.lo, t.hi, same));
	store(&word->tat_ef, clamp(word->tat_ef, now, t.ef_lo, t.ef_lo, same));
	store(&word->tat_packets, clamp(word->tat_packets, now, t.packet_lo, t.packet_lo, same));
	write_terms(word, &t, hz);
}

void limiter_void_lease(struct stats_limiter_part *part)
{
	part->credit = 0;
	part->expiry = 0;
	part->terms = 0;
}

// `above`: the highest level the terms allow; `slop`: how far past that it may have got all the same.
static int repair(uint64_t *tat, uint64_t t, uint64_t above, uint64_t slop, uint64_t now)
{
	int64_t level = (int64_t)(t - now);

	if (level >= -(int64_t)FAR && level <= (int64_t)(above + slop))
		return 0;
	// From the future: no level gets there, so somebody else wrote it; the burst counts as used
	// up.
	return __atomic_compare_exchange_n(
		tat, &t, level < 0 ? now : now + above, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void limiter_see(const struct stats_limiter_word *word, struct limiter_seen *seen)
{
	seen->tat = __atomic_load_n(&word->tat, __ATOMIC_ACQUIRE);
	seen->tat_ef = __atomic_load_n(&word->tat_ef, __ATOMIC_ACQUIRE);
	seen->tat_packets = __atomic_load_n(&word->tat_packets, __ATOMIC_ACQUIRE);
}

static int repair_all(struct stats_limiter_word *word, const struct limiter_seen *seen,
	uint64_t slop, uint64_t now)
{
	uint64_t most = larger(word->hi, word->ef);
	int wrong = 0;

	// Above what still accepts lies the one packet that was accepted there.
	wrong |= repair(&word->tat, seen->tat, most + price(UINT16_MAX, word->cost), slop, now);
	wrong |= repair(&word->tat_ef, seen->tat_ef, word->ef_lo + price(UINT16_MAX, word->ef_cost),
		slop, now);
	wrong |= repair(&word->tat_packets, seen->tat_packets,
		word->packet_lo + price(1, word->packet_cost), slop, now);
	if (wrong)
		store(&word->repairs, word->repairs + 1);
	return wrong;
}

// Workers' idea of now may be ahead of ours, and what was charged under earlier terms may lie above
// the present ones' bounds for a while: it runs off by itself long before the next sweep.
int limiter_sweep(struct stats_limiter_word *word, const struct limiter_seen *seen, uint64_t now)
{
	return repair_all(word, seen, units_of_ns(5000000000, word->hz), now);
}

// Only as far ahead as a worker may be within its turn.
int limiter_settle(struct stats_limiter_word *word, const struct limiter_seen *seen, uint64_t now)
{
	return repair_all(word, seen, units_of_ns(10000000, word->hz), now);
}
