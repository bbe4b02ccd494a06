// SPDX-License-Identifier: BSD-3-Clause

// The packet's way, in order, and where what enters. This is the only place that lists stages.
//
//	 ports                errors, shaper          host
//	   |                       |                    |
//	classify -> decap -> lookup -> local -> guard -> police -> output -> tx -> drop
//
// Both directions are this one way: an attachment and a tunnel are interfaces of a VRF alike. A
// burst is worked on in place with a mask of the living; it is compacted where many may have left,
// after decap and before output.
//
// One turn takes out what a shaper held back, then at most one burst from each receive queue, then
// what the host path wants sent, and ends by telling the RCU that this worker holds nothing any
// more. What comes out of the shaper's wheel enters at lookup, not at output: routes may have
// changed, and next hops may have been deleted and their slots given to somebody else, while it
// waited. It is not limited twice, and errors of ours are not limited at all: what enters at lookup
// passes guard and police by.

#include "dataplane/stages/stages.h"

#include "dataplane/tables/limiter.h"
#include "dataplane/tables/limiter_wheel.h"
#include "dataplane/tables/reclaim.h"

#include <rte_rcu_qsbr.h>

void burst_cut(struct burst *b)
{
	unsigned n = 0;
	uint32_t traced = 0;
	b->runs = 0;
	FOR_EACH (i, b->alive) {
		traced |= (b->traced >> i & 1) << n;
		if (i != n) {
			b->mbuf[n] = b->mbuf[i];
			b->packet[n] = b->packet[i];
		}
		burst_run(b, n, b->packet[n].in, b->packet[n].vrf);
		n++;
	}
	b->count = n;
	b->alive = (uint32_t)((1ull << n) - 1);
	b->traced = traced;
}

static inline void trace(struct worker *w, enum trace_stage stage)
{
	if (unlikely(w->burst.traced != 0))
		w->trace->stage(w, stage);
}

static bool has_gaps(const struct burst *b)
{
	return b->alive != (uint32_t)((1ull << b->count) - 1);
}

enum entrance { ENTER_DECAP, ENTER_LOOKUP, ENTER_OUTPUT };

static void run_from(struct worker *w, enum entrance entrance)
{
	struct burst *b = &w->burst;
	switch (entrance) {
	case ENTER_DECAP:
		if (b->gre != 0) {
			bool cut = stage_decap(w);
			trace(w, TRACE_DECAP);
			if (unlikely(!cut))
				burst_cut(b);
		} else if (unlikely(has_gaps(b))) {
			burst_cut(b);
		}
		// fall through
	case ENTER_LOOKUP:
		stage_lookup(w);
		trace(w, TRACE_LOOKUP);
		stage_local(w);
		if (entrance == ENTER_DECAP) {
			stage_guard(w);
			trace(w, TRACE_GUARD);
			stage_police(w);
			trace(w, TRACE_POLICE);
		}
		if (unlikely(has_gaps(b)))
			burst_cut(b);
		// fall through
	case ENTER_OUTPUT:
		stage_output(w);
		trace(w, TRACE_OUTPUT);
	}
	stage_tx(w);
	stage_drop(w);
}

// Before new ones, which must not overtake: police parks what comes after as long as something is
// due. Bounded by a little more than can come in a turn; the rest is due in the next one.
static unsigned run_parked(struct worker *w)
{
	unsigned seen = 0, n;
	for (unsigned k = 0; k < 4 + w->rx_count && (n = burst_of_parked(w)) != 0; k++) {
		seen += n;
		run_from(w, ENTER_LOOKUP);
	}
	return seen;
}

static unsigned run_port(struct worker *w, const struct rx_queue *q)
{
	unsigned n = q->port->rx(q->port, q->queue, w->burst.mbuf, BURST);
	if (n != 0) {
		stage_classify(w, q->port, n);
		if (unlikely(w->trace != NULL)) {
			w->burst.traced = w->trace->pick(w);
			trace(w, TRACE_CLASSIFY);
		}
		run_from(w, ENTER_DECAP);
	}
	return n;
}

static unsigned run_host(struct worker *w)
{
	struct host_entry entry[BURST];
	unsigned n = host_take(w->host, entry, BURST);
	if (n == 0)
		return 0;
	burst_of_errors(w, entry, n);
	run_from(w, ENTER_LOOKUP);
	burst_of_host(w, entry, n);
	run_from(w, ENTER_OUTPUT);
	return n;
}

unsigned worker_turn(struct worker *w, uint64_t now)
{
	unsigned seen = 0;
	w->now = now;
	if (wheel_count(w->wheel) != 0)
		seen += run_parked(w);
	for (unsigned q = 0; q < w->rx_count; q++)
		seen += run_port(w, &w->rx[q]);
	if (w->host != NULL)
		seen += run_host(w);
	rte_rcu_qsbr_quiescent(w->qsbr, w->index);
	return seen;
}

uint64_t worker_wait(const struct worker *w, uint64_t now)
{
	uint64_t wait = wheel_wait(w->wheel, limiter_units(now));
	return wait == UINT64_MAX ? wait : wait >> LIMITER_UNIT_SHIFT;
}
