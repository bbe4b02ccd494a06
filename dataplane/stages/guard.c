// SPDX-License-Identifier: BSD-3-Clause

// Source check: the longest match of the source, in the VRF the packet came in by, must lead out of
// an interface of the same owner (a peering or a vNet). No route, a default route and a blackhole
// do not vouch for anybody. The answer itself came with lookup's bulk pass; this is the comparison.
// (RFC 3704 would call it strict reverse path, by customer rather than by port, so that a
// customer's two links may be used asymmetrically.)

#include "dataplane/stages/stages.h"

#include "dataplane/tables/fib.h"

// Several paths of different owners: one of them must be ours.
static bool any_path_of(const struct tables *t, const struct entry *entry, uint32_t owner)
{
	struct entry e;
	if (!entry_read(entry, &e) || e.kind != ENTRY_MULTI)
		return false;
	const struct multipath *m = &t->multipath[e.via];
	for (unsigned i = 0; i < m->count; i++) {
		if (t->entry[ENTRY_OF_PATH(t, m->path[i])].owner == owner)
			return true;
	}
	return false;
}

static inline bool vouched(const struct worker *w, uint32_t source, uint32_t in)
{
	const struct tables *t = w->tables;
	if (source == FIB_NO_ROUTE || (source & FIB_DEFAULT))
		return false;
	const struct entry *e = &t->entry[source & FIB_GROUP_MASK];
	uint32_t owner = t->interface[in].owner;
	uint32_t of = __atomic_load_n(&e->owner, __ATOMIC_RELAXED);
	if (likely(of == owner))
		return owner != 0;
	return of == OWNER_MIXED && owner != 0 && any_path_of(t, e, owner);
}

void stage_guard(struct worker *w)
{
	const struct burst *b = &w->burst;
	const uint32_t *answer = w->keys.result + b->count;
	uint32_t source = 0, in = UINT32_MAX; // of the last packet that was vouched for
	if (!b->sources)
		return;
	FOR_EACH (i, b->alive) {
		const struct packet *p = &b->packet[i];
		if (!(p->flags & PACKET_CHECK) || (answer[i] == source && p->in == in))
			continue;
		if (unlikely(!vouched(w, answer[i], p->in))) {
			burst_drop(w, (unsigned)i, DROP_SOURCE);
			continue;
		}
		source = answer[i];
		in = p->in;
	}
}
