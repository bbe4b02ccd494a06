// SPDX-License-Identifier: BSD-3-Clause

// The contract: the limiter of the in-interface, then of the out-interface. Ingress is charged
// first; what the egress limiter refuses stays charged to ingress, because the customer did send
// it.
//
// A burst is judged by groups of one limiter, not of one interface: all attachments of a link share
// the link's two limiters, and one call per group is one decision on the shared word at most.
// Groups are found by a table of 64 places that is as good as empty for one burst; two limiters
// that meet in a place make a group more, no error.
//
// A shaped limiter says when a packet may leave. Until then it is parked in the worker's timing
// wheel, and comes back at lookup, because routes may have changed meanwhile, past guard and this
// stage. It keeps (slot, generation) of the interface it came in on: if that is gone, it is dropped
// `stale`. With the wheel full the limiter polices: what would have to wait is dropped
// `shape-full`. Who may leave at once waits all the same as long as somebody is due who has not
// left, which happens when a worker was away for long.

#include "dataplane/stages/stages.h"

#include "dataplane/tables/limiter.h"
#include "dataplane/tables/limiter_wheel.h"

#define DSCP_EF 46u
#define PLACES  64u

struct batch {
	uint32_t limiter;
	uint32_t members; // bit i: packet i
};

struct batches {
	unsigned count;
	struct batch group[BURST];
	uint16_t length[BURST]; // accounted, by packet
	uint8_t place[PLACES];  // group + 1; 0 = none
};

static inline uint16_t accounted(const struct packet *p, int16_t extra)
{
	int length = p->length + extra;
	return (uint16_t)(length < 1 ? 1 : length);
}

static inline void join(struct worker *w, struct batches *g, uint32_t limiter, uint32_t members)
{
	uint8_t *place = &g->place[limiter & (PLACES - 1)];
	if (limiter == 0)
		return;
	if (*place != 0 && g->group[*place - 1].limiter == limiter) {
		g->group[*place - 1].members |= members;
		return;
	}
	limiter_prefetch(&w->parts[limiter]);
	g->group[g->count++] = (struct batch){limiter, members};
	*place = (uint8_t)g->count;
}

// What the way out says of a packet.
struct way_out {
	uint32_t limiter;
	int16_t account;
};

static inline struct way_out out_of(const struct worker *w, unsigned hop)
{
	const struct entry *e = &w->hop[hop];
	return (struct way_out){.limiter = e->limiter_out, .account = e->overhead};
}

// Sorts the living packets of a run by limiter and notes what each is accounted for. Returns which
// are EF.
static uint32_t sort_run(
	struct worker *w, const struct run *r, struct batches *in, struct batches *out)
{
	const struct burst *b = &w->burst;
	const struct interface *from = &w->tables->interface[r->in];
	const uint32_t limiter = from->limiter_in;
	const int16_t account = from->account_in;
	uint32_t members = 0, same = 0, ef = 0, last = UINT32_MAX;
	struct way_out to = {0};
	FOR_EACH (i, r->mask & b->alive) {
		const struct packet *p = &b->packet[i];
		if (unlikely(p->flags & (PACKET_FREE | PACKET_PAID)))
			continue;
		if (p->hop != last) {
			join(w, out, to.limiter, same);
			to = out_of(w, last = p->hop);
			same = 0;
		}
		if ((limiter | to.limiter) == 0) // nobody asks
			continue;
		same |= 1u << i;
		members |= 1u << i;
		ef |= (uint32_t)(p->tos >> 2 == DSCP_EF) << i;
		in->length[i] = accounted(p, account);
		out->length[i] = accounted(p, to.account);
	}
	join(w, out, to.limiter, same);
	if (members != 0)
		join(w, in, limiter, members);
	return ef;
}

static void refuse(struct worker *w, unsigned i, uint32_t ef, bool full)
{
	burst_drop(w, i, full ? DROP_SHAPE_FULL : ef >> i & 1 ? DROP_LIMITED_EF : DROP_LIMITED);
}

static inline void judge_one(
	struct worker *w, const struct batches *g, uint32_t limiter, unsigned i, uint32_t ef)
{
	uint64_t now = limiter_units(w->now);
	struct stats_limiter_part *part = &w->parts[limiter];
	uint16_t length = g->length[i];
	unsigned class = ef >> i & 1;
	if (!limiter_pass_one(part, now, length, class) &&
		!limiter_police_one(&w->words[limiter], part, now, length, class))
		refuse(w, i, ef, false);
}

// `shape`: the group's limiter may make packets wait; w->departure is set for those that must, and
// w->queued for those that would be out of order if they overtook one that waits.
static void judge_many(struct worker *w, const struct batches *g, const struct batch *group,
	uint32_t members, uint32_t ef, bool shape)
{
	struct stats_limiter_word *word = &w->words[group->limiter];
	struct stats_limiter_part *part = &w->parts[group->limiter];
	uint64_t now = limiter_units(w->now), ef_mask = 0, departure[BURST], accepted;
	uint16_t packed[BURST];
	uint8_t who[BURST];
	unsigned n = 0;
	bool shapes = shape, full = false;
	FOR_EACH (i, members) {
		packed[n] = g->length[i];
		ef_mask |= (uint64_t)(ef >> i & 1) << n;
		who[n++] = (uint8_t)i;
	}
	if (shape && w->parked_max - w->parked < BURST) {
		full = true;
		shape = false;
		__atomic_fetch_add(&word->fallbacks, n, __ATOMIC_RELAXED);
	}
	accepted = shape ? limiter_shape(word, part, now, packed, ef_mask, n, departure)
			 : limiter_police(word, part, now, packed, ef_mask, n);
	for (unsigned k = 0; k < n; k++) {
		unsigned i = who[k];
		if (!(accepted >> k & 1)) {
			refuse(w, i, ef, full);
			continue;
		}
		if (shape && (int64_t)(departure[k] - w->departure[i]) > 0)
			w->departure[i] = departure[k];
		if (shapes)
			w->queued |= (1u << i) & ~ef;
	}
}

static inline bool shaped(const struct worker *w, uint32_t limiter)
{
	return __atomic_load_n(&w->words[limiter].flags, __ATOMIC_RELAXED) & LIMITER_SHAPE;
}

static void judge_all(struct worker *w, const struct batches *g, uint32_t ef, bool shaping)
{
	for (unsigned k = 0; k < g->count; k++)
		limiter_prefetch_word(
			&w->words[g->group[k].limiter], &w->parts[g->group[k].limiter]);
	for (unsigned k = 0; k < g->count; k++) {
		uint32_t limiter = g->group[k].limiter;
		uint32_t members = g->group[k].members & w->burst.alive;
		bool shape = shaping && shaped(w, limiter);
		if (members == 0)
			continue;
		if ((members & (members - 1)) == 0 && !shape)
			judge_one(w, g, limiter, (unsigned)__builtin_ctz(members), ef);
		else
			judge_many(w, g, &g->group[k], members, ef, shape);
	}
}

static void park_all(struct worker *w)
{
	struct burst *b = &w->burst;
	uint64_t now = limiter_units(w->now);
	// After a stall more may be due than a turn lets out: who comes now waits behind it, in the
	// slot of now.
	uint32_t behind = wheel_due(w->wheel, now) ? w->queued : 0;
	FOR_EACH (i, b->alive) {
		if (w->departure[i] != now || (behind >> i & 1))
			burst_park(w, i, w->departure[i]);
	}
}

void stage_police(struct worker *w)
{
	struct burst *b = &w->burst;
	bool shaping = __atomic_load_n(&w->tables->shaped, __ATOMIC_RELAXED) != 0;
	struct batches in, out;
	uint32_t ef = 0;
	in.count = out.count = 0;
	memset(in.place, 0, sizeof(in.place));
	memset(out.place, 0, sizeof(out.place));
	for (unsigned r = 0; r < b->runs; r++)
		ef |= sort_run(w, &b->run[r], &in, &out);
	if (shaping) {
		w->queued = 0;
		for (unsigned k = 0; k < b->count; k++)
			w->departure[k] = limiter_units(w->now);
	}
	judge_all(w, &in, ef, shaping);
	judge_all(w, &out, ef, shaping);
	if (shaping)
		park_all(w);
}
