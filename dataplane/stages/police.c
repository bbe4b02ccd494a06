// SPDX-License-Identifier: BSD-3-Clause

// The contract: the limiter of the in-interface, then of the out-interface. Ingress is charged
// first; what the egress limiter refuses stays charged to ingress, because the customer did send
// it.
//
// A burst is judged by groups of one limiter, not of one interface: all attachments of a link share
// the link's two limiters, and one call per group is one decision on the shared word at most.
// Groups are found by a table of 64 places that is as good as empty for one burst; two limiters
// that meet in a place make a group more, no error. Interfaces of a link that account for packets
// differently (tags, overhead) are different groups, too.
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
	int16_t extra;    // accounted beside a packet's length
};

struct batches {
	unsigned count;
	struct batch group[BURST];
	uint8_t place[PLACES]; // group + 1; 0 = none
};

static inline uint16_t accounted(const struct packet *p, int16_t extra)
{
	int length = p->length + extra;
	return (uint16_t)(length < 1 ? 1 : length);
}

static inline bool is_ef(const struct packet *p)
{
	return p->tos >> 2 == DSCP_EF;
}

static inline void join(struct batches *g, uint32_t limiter, int16_t extra, uint32_t members)
{
	uint8_t *place = &g->place[limiter & (PLACES - 1)];
	if (*place != 0) {
		struct batch *there = &g->group[*place - 1];
		if (there->limiter == limiter && there->extra == extra) {
			there->members |= members;
			return;
		}
	}
	g->group[g->count++] = (struct batch){limiter, members, extra};
	*place = (uint8_t)g->count;
}

static inline void join_out(
	const struct worker *w, struct batches *out, unsigned hop, uint32_t members)
{
	const struct entry *e = &w->hop[hop];
	if (e->limiter_out != 0 && members != 0)
		join(out, e->limiter_out, e->overhead, members);
}

// Sorts the living packets of a run by limiter.
static inline void sort_run(
	const struct worker *w, const struct run *r, struct batches *in, struct batches *out)
{
	const struct burst *b = &w->burst;
	const struct interface *from = &w->tables->interface[r->in];
	uint32_t members = r->mask & b->alive, same = 0;
	unsigned hop = 0;
	if (from->limiter_in != 0 && members != 0)
		join(in, from->limiter_in, from->account_in, members);
	if (w->limited_out == 0)
		return;
	FOR_EACH (i, members) {
		if (b->packet[i].hop != hop) {
			join_out(w, out, hop, same);
			hop = b->packet[i].hop;
			same = 0;
		}
		same |= 1u << i;
	}
	join_out(w, out, hop, same);
}

static void refuse(struct worker *w, unsigned i, bool full)
{
	bool ef = is_ef(&w->burst.packet[i]);
	burst_drop(w, i, full ? DROP_SHAPE_FULL : ef ? DROP_LIMITED_EF : DROP_LIMITED);
}

// Within the lease, and of one class: nearly always.
static inline bool pass_leased(struct worker *w, const struct batch *group, uint32_t members)
{
	unsigned n = (unsigned)__builtin_popcount(members), ef = 0;
	uint64_t bytes = 0;
	FOR_EACH (i, members) {
		const struct packet *p = &w->burst.packet[i];
		bytes += accounted(p, group->extra);
		ef += is_ef(p);
	}
	return (ef == 0 || ef == n) && limiter_pass(&w->parts[group->limiter],
					       limiter_units(w->now), bytes, n, ef != 0);
}

static inline void police_one(struct worker *w, const struct batch *group, unsigned i)
{
	const struct packet *p = &w->burst.packet[i];
	if (!limiter_police_one(&w->words[group->limiter], &w->parts[group->limiter],
		    limiter_units(w->now), accounted(p, group->extra), is_ef(p)))
		refuse(w, i, false);
}

// `shape`: the group's limiter may make packets wait; w->departure is set for those that must, and
// w->queued for those that would be out of order if they overtook one that waits.
static void police_group(struct worker *w, const struct batch *group, uint32_t members, bool shape)
{
	struct stats_limiter_word *word = &w->words[group->limiter];
	struct stats_limiter_part *part = &w->parts[group->limiter];
	uint64_t now = limiter_units(w->now), ef = 0, departure[BURST], accepted;
	uint16_t packed[BURST];
	uint8_t who[BURST];
	unsigned n = 0;
	bool shapes = shape, full = false;
	FOR_EACH (i, members) {
		const struct packet *p = &w->burst.packet[i];
		packed[n] = accounted(p, group->extra);
		ef |= (uint64_t)is_ef(p) << n;
		who[n++] = (uint8_t)i;
	}
	if (shape && w->parked_max - w->parked < BURST) {
		full = true;
		shape = false;
		__atomic_fetch_add(&word->fallbacks, n, __ATOMIC_RELAXED);
	}
	accepted = shape ? limiter_shape(word, part, now, packed, ef, n, departure)
			 : limiter_police(word, part, now, packed, ef, n);
	for (uint64_t refused = accepted ^ (UINT64_MAX >> (64 - n)); refused != 0;
		refused &= refused - 1)
		refuse(w, who[__builtin_ctzll(refused)], full);
	for (unsigned k = 0; shapes && k < n; k++) {
		unsigned i = who[k];
		if (!(accepted >> k & 1))
			continue;
		if (shape && (int64_t)(departure[k] - w->departure[i]) > 0)
			w->departure[i] = departure[k];
		w->queued |= (uint32_t) !(ef >> k & 1) << i;
	}
}

static inline bool shaped(const struct worker *w, uint32_t limiter)
{
	return __atomic_load_n(&w->words[limiter].flags, __ATOMIC_RELAXED) & LIMITER_SHAPE;
}

static void police_all(struct worker *w, const struct batches *g, bool shaping)
{
	for (unsigned k = 0; k < g->count; k++)
		limiter_prefetch_word(
			&w->words[g->group[k].limiter], &w->parts[g->group[k].limiter]);
	for (unsigned k = 0; k < g->count; k++) {
		uint32_t limiter = g->group[k].limiter;
		uint32_t members = g->group[k].members & w->burst.alive;
		bool shape = shaping && shaped(w, limiter);
		if (members == 0 || (!shape && pass_leased(w, &g->group[k], members)))
			continue;
		if ((members & (members - 1)) == 0 && !shape)
			police_one(w, &g->group[k], (unsigned)__builtin_ctz(members));
		else
			police_group(w, &g->group[k], members, shape);
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
	in.count = out.count = 0;
	memset(in.place, 0, sizeof(in.place));
	memset(out.place, 0, sizeof(out.place));
	for (unsigned r = 0; r < b->runs; r++)
		sort_run(w, &b->run[r], &in, &out);
	if (shaping) {
		w->queued = 0;
		for (unsigned k = 0; k < b->count; k++)
			w->departure[k] = limiter_units(w->now);
	}
	police_all(w, &in, shaping);
	police_all(w, &out, shaping);
	if (shaping)
		park_all(w);
}
