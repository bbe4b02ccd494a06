// SPDX-License-Identifier: BSD-3-Clause

// The contract: the limiter of the in-interface, then of the out-interface. Ingress is charged first; what the
// egress limiter refuses stays charged to ingress, because the customer did send it.
//
// A burst is judged by groups of one limiter, not of one interface: all attachments of a link share the link's two
// limiters, and one call per group is one decision on the shared word at most.

#include "dataplane/stages/stages.h"

#include "dataplane/tables/limiter.h"

#define DSCP_EF 46u

static void judge_group(struct worker *w, uint32_t limiter, uint32_t group, uint32_t ef)
{
	uint16_t packed[BURST];
	uint8_t who[BURST];
	uint64_t ef_mask = 0;
	unsigned n = 0;
	FOR_EACH (i, group) {
		packed[n] = w->length[i];
		ef_mask |= (uint64_t)(ef >> i & 1) << n;
		who[n++] = (uint8_t)i;
	}
	uint64_t accepted = limiter_police(
		&w->words[limiter], &w->parts[limiter], limiter_units(w->now), packed, ef_mask, n);
	uint64_t refused = ~accepted & ((1ull << n) - 1);
	for (; refused != 0; refused &= refused - 1) {
		unsigned i = who[__builtin_ctzll(refused)];
		burst_drop(w, i, ef >> i & 1 ? DROP_LIMITED_EF : DROP_LIMITED);
	}
}

// Calls judge_group() for each set of packets of the mask that have the same limiter.
static void judge_all(struct worker *w, uint32_t mask, uint32_t ef)
{
	while (mask != 0) {
		uint32_t first = w->limiter[__builtin_ctz(mask)], group = 0;
		FOR_EACH (i, mask) {
			group |= (uint32_t)(w->limiter[i] == first) << i;
		}
		mask &= ~group;
		judge_group(w, first, group, ef);
	}
}

static inline uint16_t accounted(const struct packet *p, int16_t extra)
{
	int length = p->length + extra;
	return (uint16_t)(length < 1 ? 1 : length);
}

void stage_police(struct worker *w)
{
	struct burst *b = &w->burst;
	const struct interface *interface = w->tables->interface;
	uint32_t *limiter = w->limiter, in = 0, out = 0, ef = 0;
	uint16_t *length = w->length;

	FOR_EACH (i, b->alive) {
		const struct packet *p = &b->packet[i];
		if (p->flags & PACKET_FREE)
			continue;
		limiter[i] = interface[p->in].limiter_in;
		length[i] = accounted(p, interface[p->in].account_in);
		ef |= (uint32_t)(p->tos >> 2 == DSCP_EF) << i;
		if (limiter[i] != 0) {
			in |= 1u << i;
			limiter_prefetch(&w->parts[limiter[i]]);
		}
		if (interface[p->out].limiter_out != 0)
			out |= 1u << i;
	}
	judge_all(w, in, ef);
	out &= b->alive;
	FOR_EACH (j, out) {
		const struct packet *p = &b->packet[j];
		limiter[j] = interface[p->out].limiter_out;
		length[j] = accounted(p, interface[p->out].account_out);
		limiter_prefetch(&w->parts[limiter[j]]);
		// The limiter may have been taken away since the mask was made.
		if (limiter[j] == 0)
			out &= ~(1u << j);
	}
	judge_all(w, out, ef);
}
