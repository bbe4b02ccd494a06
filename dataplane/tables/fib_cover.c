/* SPDX-License-Identifier: BSD-3-Clause */
// Covers: what holds in a chunk where none of its own prefixes does, kept in the chunk's header. It
// is what the nearest shorter chunk says about the chunk's place, or else that one's own cover. So
// when a prefix changes, the headers of the chunks under it may have to change, each by one store;
// their blocks stay.
//
// That is a walk in the order of the treap, in which a chunk comes behind those that cover it: each
// one's cover is simply computed anew. A walk does WALK_AT_ONCE chunks at once and leaves the rest
// to fib_slice(). Each table has at most one walk under way and one asked for meanwhile, for the
// union of what was asked: however fast a short prefix flaps, a table is never owed more than two
// walks. A walk computes from what is there when it comes by, so updates in between need no care;
// and it prunes nothing, so what it leaves behind is right.
//
// Also here: taking a deleted VRF apart, in slices too.

#include "dataplane/tables/fib_private.h"

#include <stdlib.h>

#define WALK_AT_ONCE 512u

uint32_t cover_of(const struct fib *fib, const struct table *t, struct key key, unsigned slice)
{
	while (slice--) {
		if (t->family == FIB_IPV6 && !t->slices[slice].live)
			continue;
		const struct chunk *c =
			chunks_find(&fib->shadow, &t->chunks, key_of(key, slice), slice);
		if (!c || !c->ref)
			continue;
		uint32_t cell = block_find(&fib->arena, c->ref, skew_of(t), key_next(key, slice));
		return cell ? cell : c->def;
	}
	return 0;
}

static bool after(struct key a, struct key b)
{
	return a.hi != b.hi ? a.hi > b.hi : a.lo > b.lo;
}

// Returns what is left of the budget; the walk is over if any is.
static uint32_t walk(struct fib *fib, struct table *t, struct walk *w, uint32_t budget)
{
	while (budget) {
		struct chunk *c = chunks_from(&fib->shadow, &t->chunks, w->at, w->slice);
		if (!c || after((struct key){c->hi, c->lo}, w->last))
			break;
		budget--;
		w->at = (struct key){c->hi, c->lo};
		w->slice = c->slice + 1u;
		if (!c->ref || c->slice == 0)
			continue;
		uint32_t def = cover_of(fib, t, w->at, c->slice);
		if (def == c->def)
			continue;
		c->def = def;
		store_cell(def_at(&fib->arena, c->ref, skew_of(t)), def);
	}
	return budget;
}

static bool has_longer(const struct table *t, unsigned slice)
{
	while (++slice < 8)
		if (t->slices[slice].live)
			return true;
	return false;
}

static void enqueue(struct fib *fib, struct table *t)
{
	struct table **link = &fib->walking;
	while (*link)
		link = &(*link)->next;
	t->next = NULL;
	*link = t;
}

static void widen(struct walk *w, const struct walk *more)
{
	if (!w->active) {
		*w = *more;
		return;
	}
	if (after(w->at, more->at)) {
		w->at = more->at;
		w->slice = more->slice;
	}
	if (after(more->last, w->last))
		w->last = more->last;
}

// A prefix of `slice` that covers first..last has changed.
void cover_changed(
	struct fib *fib, struct table *t, struct key first, struct key last, unsigned slice)
{
	if (!has_longer(t, slice))
		return;
	struct walk w = {.active = true, .at = first, .slice = slice + 1, .last = last};
	if (walk(fib, t, &w, WALK_AT_ONCE))
		return;
	w.token = ++fib->token;
	if (t->walk.active) {
		// From its beginning: what was done at once may be stale below chunks not reached
		// yet.
		w.at = first;
		w.slice = slice + 1;
		widen(&t->again, &w);
		return;
	}
	t->walk = w;
	enqueue(fib, t);
}

uint32_t cover_slice(struct fib *fib, uint32_t budget)
{
	while (budget && fib->walking) {
		struct table *t = fib->walking;
		budget = walk(fib, t, &t->walk, budget);
		fib->walking = t->next;
		t->walk.active = !budget;
		if (budget && t->again.active) {
			t->walk = t->again;
			t->again.active = false;
		}
		if (t->walk.active)
			enqueue(fib, t);
	}
	uint32_t left = 0;
	for (struct table *t = fib->walking; t; t = t->next)
		left++;
	return left;
}

void cover_forget(struct fib *fib, struct table *t)
{
	for (struct table **link = &fib->walking; *link; link = &(*link)->next) {
		if (*link == t) {
			*link = t->next;
			break;
		}
	}
	t->walk.active = t->again.active = false;
}

static void drop_chunks(struct fib *fib, struct table *t, uint32_t *budget)
{
	while (*budget && t->chunks.root) {
		struct chunk *c = chunk_at(&fib->shadow, t->chunks.root);
		uint32_t blocks = 1;
		if (c->ref) {
			build_begin(fib->build, fib, t, 0, true);
			blocks = build_retire(fib->build, c);
		}
		fib->routes -= c->n;
		chunks_remove(&fib->shadow, &t->chunks, c);
		*budget -= *budget < blocks ? *budget : blocks;
	}
}

void drop_slice(struct fib *fib, uint32_t *budget)
{
	while (*budget && fib->dropped) {
		struct vrf *vrf = fib->dropped;
		for (unsigned i = 0; i < 2; i++)
			drop_chunks(fib, &vrf->table[i], budget);
		if (vrf->table[0].chunks.root || vrf->table[1].chunks.root)
			return;
		fib->dropped = vrf->next;
		for (unsigned i = 0; i < 2; i++)
			chunks_fini(&fib->shadow, &vrf->table[i].chunks);
		free(vrf);
	}
}
