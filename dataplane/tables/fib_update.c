/* SPDX-License-Identifier: BSD-3-Clause */
// One route added, changed or deleted: the shadow is edited first, then new blocks are built from
// it and published; if that is refused, the edit is taken back. What a change means for chunks of
// longer prefixes is left to fib_cover.c. Of each step at most one word is seen by readers, so that
// for every address the answer goes from the old one to the new one at one moment.

#include "dataplane/tables/fib_private.h"

#include <errno.h>

#define RANGE_UNTIL 28u // routes: an IPv4 table that grows past this gets chunks and a hash
#define RANGE_FROM  14u // one that shrinks to this becomes a range again

static struct table *table_of(struct vrf *vrf, const struct fib_route *route)
{
	return &vrf->table[route->family == FIB_IPV6];
}

static void store_default(struct fib *fib, struct table *t, uint32_t cell)
{
	uint32_t slot = t->vrf->slot;
	t->def = cell;
	store_cell(
		t->family == FIB_IPV6 ? &fib->records6[slot].def : &fib->records4[slot].def, cell);
}

static bool quota_left(const struct vrf *vrf)
{
	return !vrf->limits.routes ||
	       vrf->table[0].routes + vrf->table[1].routes < vrf->limits.routes;
}

static void count(struct fib *fib, struct table *t, int change)
{
	t->routes += (uint32_t)change;
	fib->routes += (uint64_t)(int64_t)change;
	fib->writes++;
}

static bool is_range(const struct fib *fib, const struct table *t)
{
	return t->family == FIB_IPV4 && root_kind(root_load(fib, t, 1)) == ROOT_RANGE;
}

// The chunk's entries have been edited: `changed` is new, different or gone.
static int apply(struct fib *fib, struct table *t, struct chunk *c, entry changed, uint32_t routes,
	bool deleting)
{
	uint64_t limit = deleting || !t->vrf->limits.bytes ? UINT64_MAX / 2
							   : t->vrf->limits.bytes / UNIT_BYTES;
	build_begin(fib->build, fib, t, limit, deleting);
	if (is_range(fib, t)) {
		int error = routes <= RANGE_UNTIL ? build_range(fib->build) : -ENOSPC;
		return error == -ENOSPC ? build_hash_from_range(fib->build) : error;
	}
	if (c->n) {
		if (!c->ref)
			c->def = cover_of(fib, t, (struct key){c->hi, c->lo}, c->slice);
		return build_chunk(fib->build, c, changed);
	}
	struct chunk last = *c;
	root_withdraw(fib, t, c);
	build_retire(fib->build, &last);
	return 0;
}

static void covered(struct fib *fib, struct table *t, const struct fib_route *route, unsigned slice)
{
	if (is_range(fib, t))
		return;
	struct key first = route_address(route), rest = bits_behind(route->len);
	cover_changed(fib, t, first, (struct key){first.hi | rest.hi, first.lo | rest.lo}, slice);
}

static int set_default(struct fib *fib, struct table *t, const struct fib_route *route)
{
	uint32_t cell = DEFAULT_CELL | route->group;
	if (t->def == cell && t->def_origin == route->origin)
		return 1;
	if (!t->def && !quota_left(t->vrf))
		return -EDQUOT;
	count(fib, t, !t->def);
	t->def_origin = route->origin;
	store_default(fib, t, cell);
	return 0;
}

int update_set(struct fib *fib, struct vrf *vrf, const struct fib_route *route)
{
	struct table *t = table_of(vrf, route);
	int error = route_check(route);
	if (error)
		return error;
	if (route->len == 0)
		return set_default(fib, t, route);
	struct place at = route_place(route);
	entry e = entry_make(at.pos, at.len, route->origin, route->group), old = 0;
	struct chunk *c = chunks_find(&fib->shadow, &t->chunks, at.key, at.slice);
	unsigned i = c ? entries_find(chunk_entries(&fib->shadow, c), c->n, e) : 0;
	bool there = c && i < c->n && !((chunk_entries(&fib->shadow, c)[i] ^ e) & ENTRY_ORDER);
	if (there) {
		entry *list = chunk_entries(&fib->shadow, c);
		old = list[i];
		if (old == e)
			return 1;
		list[i] = e;
		if (entry_group(old) == entry_group(e)) {
			count(fib, t, 0);
			return 0;
		}
	} else {
		if (!quota_left(vrf))
			return -EDQUOT;
		if (!c && !(c = chunks_add(&fib->shadow, &t->chunks, at.key, at.slice)))
			return -ENOMEM;
		error = entries_insert(&fib->shadow, &t->chunks, c, i, e);
	}
	if (!error)
		error = apply(fib, t, c, e, t->routes - !!t->def + !there, false);
	if (error && there) {
		chunk_entries(&fib->shadow, c)[i] = old;
	} else if (error) {
		if (i < c->n && chunk_entries(&fib->shadow, c)[i] == e)
			entries_remove(&fib->shadow, &t->chunks, c, i);
		if (c->n == 0)
			chunks_remove(&fib->shadow, &t->chunks, c);
	} else {
		count(fib, t, !there);
		covered(fib, t, route, at.slice);
	}
	return error;
}

int update_delete(struct fib *fib, struct vrf *vrf, const struct fib_route *route)
{
	struct table *t = table_of(vrf, route);
	int error = route_check(route);
	if (error)
		return error;
	if (route->len == 0) {
		if (!t->def)
			return -ENOENT;
		count(fib, t, -1);
		store_default(fib, t, 0);
		return 0;
	}
	struct place at = route_place(route);
	entry e = entry_make(at.pos, at.len, 0, 0);
	struct chunk *c = chunks_find(&fib->shadow, &t->chunks, at.key, at.slice);
	unsigned i = c ? entries_find(chunk_entries(&fib->shadow, c), c->n, e) : 0;
	if (!c || i == c->n || ((chunk_entries(&fib->shadow, c)[i] ^ e) & ENTRY_ORDER))
		return -ENOENT;
	e = chunk_entries(&fib->shadow, c)[i];
	entries_remove(&fib->shadow, &t->chunks, c, i);
	uint32_t left = t->routes - !!t->def - 1;
	error = apply(fib, t, c, e, left, true);
	if (error) {
		entries_insert(&fib->shadow, &t->chunks, c, i, e); // its room is still there
		return error;
	}
	if (c->n == 0)
		chunks_remove(&fib->shadow, &t->chunks, c);
	count(fib, t, -1);
	covered(fib, t, route, at.slice);
	if (t->family == FIB_IPV4 && left <= RANGE_FROM &&
		root_kind(root_load(fib, t, 1)) == ROOT_HASH) {
		build_begin(fib->build, fib, t, UINT64_MAX / 2, true);
		build_range(fib->build); // refused for want of memory: the next delete tries again
	}
	return 0;
}
