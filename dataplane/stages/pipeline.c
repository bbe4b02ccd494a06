// SPDX-License-Identifier: BSD-3-Clause

// The packet's way, in order. One turn takes at most one burst from each receive queue through all the stages,
// then what the host path wants sent, and ends by telling the RCU that this worker holds nothing any more.
//
//	rx -> classify -> decap -> lookup -> guard -> police -> output -> tx -> drop
//
// Both directions are this one way: an attachment and a tunnel are interfaces of a VRF alike. A burst is worked on
// in place with a mask of the living; it is compacted where many may have left, after decap and before output.

#include "dataplane/stages/stages.h"

#include "dataplane/tables/limiter_wheel.h"
#include "dataplane/tables/reclaim.h"

#include <rte_rcu_qsbr.h>

void burst_compact(struct burst *b)
{
	unsigned n = 0;
	if (b->alive == (uint32_t)((1ull << b->count) - 1))
		return;
	FOR_EACH (i, b->alive) {
		b->mbuf[n] = b->mbuf[i];
		b->packet[n++] = b->packet[i];
	}
	b->count = n;
	b->alive = (uint32_t)((1ull << n) - 1);
}

static void run_burst(struct worker *w, const struct port *port, unsigned n)
{
	struct burst *b = &w->burst;
	stage_classify(w, port, n);
	stage_decap(w);
	burst_compact(b);
	stage_lookup(w);
	stage_guard(w);
	stage_police(w);
	burst_compact(b);
	stage_output(w);
	stage_tx(w);
	stage_drop(w);
}

unsigned worker_turn(struct worker *w, uint64_t now)
{
	unsigned seen = 0;
	w->now = now;
	if (wheel_count(w->wheel) != 0) // before new ones, which must not overtake
		seen += stage_parked(w);
	for (unsigned q = 0; q < w->rx_count; q++) {
		struct port *port = w->rx[q].port;
		unsigned n = port->rx(port, w->rx[q].queue, w->burst.mbuf, BURST);
		if (n == 0)
			continue;
		seen += n;
		run_burst(w, port, n);
	}
	if (w->host != NULL)
		seen += stage_host(w);
	rte_rcu_qsbr_quiescent(w->qsbr, w->index);
	return seen;
}
