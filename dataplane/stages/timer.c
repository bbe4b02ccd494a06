// SPDX-License-Identifier: BSD-3-Clause

// What happens later: the packets that police holds back, and any other timer of a worker, in the
// one timing wheel it has.
//
// Whatever waits keeps (slot, generation) of what it is about. For a packet that is the interface
// it came in on: if that is another one when its time has come it is dropped `stale`, and charged
// to the slot as long as that counts for the same object. Other timers are handed to who set them,
// who compares.
//
// The wheel reaches a tenth of a second ahead. What is due later is put at its end and looked at
// again there.

#include "dataplane/stages/stages.h"

#include "dataplane/tables/limiter.h"
#include "dataplane/tables/limiter_wheel.h"

#define REACH ((uint64_t)(WHEEL_SLOTS - 2) << WHEEL_SHIFT) // units

bool timer_set(struct worker *w, const struct timer *timer)
{
	uint64_t now = limiter_units(w->now), ahead = timer->due - now;
	bool far = (int64_t)ahead > (int64_t)REACH;
	struct timer *place = wheel_put(w->wheel, now, far ? now + REACH : timer->due);
	if (place == NULL)
		return false;
	*place = *timer;
	return true;
}

void burst_park(struct worker *w, unsigned i, uint64_t departure)
{
	struct burst *b = &w->burst;
	const struct packet *p = &b->packet[i];
	const struct interface *in = &w->tables->interface[p->in];
	const struct timer timer = {.due = departure,
		.slot = p->in,
		.generation = in->generation,
		.kind = TIMER_PACKET,
		.tenure = in->tenure,
		.mbuf = b->mbuf[i],
		.packet = *p};
	if (w->parked == w->parked_max || !timer_set(w, &timer)) {
		burst_drop(w, i, DROP_SHAPE_FULL);
		return;
	}
	w->parked++;
	b->alive &= ~(1u << i);
}

static void unpark(struct worker *w, const struct timer *timer)
{
	struct burst *b = &w->burst;
	const struct interface *in = &w->tables->interface[timer->slot];
	struct packet *p = &b->packet[b->count];
	w->parked--;
	if (in->generation != timer->generation) {
		w->sparse[heir(w, timer->slot, timer->tenure)].drops[DROP_STALE]++;
		bury(w, timer->mbuf);
		return;
	}
	*p = timer->packet;
	p->vrf = in->vrf;
	p->flags &= (uint8_t) ~(PACKET_CHECK | PACKET_FRAGMENT);
	b->mbuf[b->count] = timer->mbuf;
	burst_run(b, b->count, p->in, p->vrf);
	b->alive |= 1u << b->count++;
}

unsigned burst_of_parked(struct worker *w)
{
	uint64_t now = limiter_units(w->now);
	const struct timer *timer;
	unsigned n = 0;
	burst_open(&w->burst);
	for (; n < BURST && (timer = wheel_take(w->wheel, now)) != NULL; n++) {
		if (timer->kind == TIMER_PACKET) {
			unpark(w, timer);
			continue;
		}
		struct timer copy = *timer;
		if ((int64_t)(copy.due - now) > (int64_t)(1ull << WHEEL_SHIFT))
			timer_set(w, &copy); // its place has just become free
		else
			w->expired[copy.kind](w, &copy);
	}
	return n;
}
