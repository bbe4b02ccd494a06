/* SPDX-License-Identifier: BSD-3-Clause */
// New blocks for what has changed. The entries in the shadow have been edited already; from them
// the block is written aside, published by one store, and the old one retired. The stages are
// always the same:
//
//   build    take() memory and write; on failure undo() gives it back and nothing has happened
//   check    that the VRF may use what it would use then
//   publish  one store: the chunk's ref in its root, or a node's cell for a last-level node
//   retire   what is not found any more; defs of last-level nodes that the new block goes on using
//
// A chunk is a bucket until its boundaries no longer fit one, then a node with a last-level node
// for every /24 (of its 16 bits) that has longer prefixes; a node becomes a bucket again when few
// routes are left, well below the other threshold.

#include "dataplane/tables/fib_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MERGE_AT      24u  // routes: a node becomes a bucket
#define BUCKET_ROUTES 200u // more are not even tried as a bucket, however well they would merge
#define RANGE_ROUTES  28u
#define NO_SLOT       256u
#define BLOCKS        320u

struct block_list {
	unsigned n;
	uint64_t units;
	struct {
		uint32_t unit, units;
	} at[BLOCKS];
};

// A slot of a node with prefixes longer than the slot: entries[from..until).
struct longs {
	uint16_t slot;
	uint16_t run; // of the node
	uint32_t from, until;
	uint32_t under; // leaf painted by shorter prefixes
	uint32_t kept;  // last-level node that goes on being used, 0: a new one
};

struct build {
	struct fib *fib;
	struct table *t;
	uint64_t limit;
	bool last_reserve;
	struct block_list fresh; // written in this change
	struct block_list stale; // to be retired when it is published
	struct paint paint;
	struct longs longs[256];
	unsigned n_longs;
	unsigned n_runs;
	uint32_t run_pos[256];
	uint32_t run_cell[256];
	uint64_t node[(sizeof(struct node) + 256 * sizeof(uint32_t)) / 8];
};

struct build *build_create(void)
{
	return calloc(1, sizeof(struct build));
}

void build_begin(
	struct build *b, struct fib *fib, struct table *t, uint64_t limit, bool last_reserve)
{
	b->fib = fib;
	b->t = t;
	b->limit = limit;
	b->last_reserve = last_reserve;
	b->fresh.n = b->stale.n = 0;
	b->fresh.units = b->stale.units = 0;
}

static void note(struct block_list *list, uint32_t unit, uint32_t units)
{
	list->at[list->n].unit = unit;
	list->at[list->n++].units = units;
	list->units += arena_round(units);
}

static uint32_t take(struct build *b, uint32_t units)
{
	uint32_t unit = fib_alloc(b->fib, units, b->last_reserve);
	if (unit)
		note(&b->fresh, unit, units);
	return unit;
}

static int undo(struct build *b, int error)
{
	for (unsigned i = 0; i < b->fresh.n; i++)
		arena_release(&b->fib->arena, b->fresh.at[i].unit, b->fresh.at[i].units);
	b->fresh.n = b->stale.n = 0;
	b->fresh.units = b->stale.units = 0;
	return error == -ENOMEM && b->fib->retired.count ? -EAGAIN : error;
}

static bool fits(const struct build *b)
{
	return b->t->vrf->units + b->fresh.units <= b->limit + b->stale.units;
}

static void settle(struct build *b)
{
	b->t->vrf->units += b->fresh.units;
	b->t->vrf->units -= b->stale.units;
	for (unsigned i = 0; i < b->stale.n; i++)
		fib_retire(b->fib, b->stale.at[i].unit, b->stale.at[i].units);
	b->fresh.n = b->stale.n = 0;
	b->fresh.units = b->stale.units = 0;
}

static uint32_t leaf(entry e)
{
	return LEAF | entry_group(e);
}

static void note_last(struct build *b, uint32_t ref)
{
	note(&b->stale, ref & REF_UNIT, node_units(node_runs(node_at(&b->fib->arena, ref, 0)), 0));
}

static void note_top(struct build *b, uint32_t ref)
{
	note(&b->stale, ref & REF_UNIT, block_units(&b->fib->arena, ref, skew_of(b->t)));
}

static void note_all(struct build *b, uint32_t ref)
{
	note_top(b, ref);
	if ((ref & REF_KIND) != REF_NODE)
		return;
	const struct node *top = node_at(&b->fib->arena, ref, skew_of(b->t));
	for (unsigned i = 0; i < node_runs(top); i++)
		if (top->cells[i] && !(top->cells[i] & LEAF))
			note_last(b, top->cells[i]);
}

unsigned build_retire(struct build *b, const struct chunk *c)
{
	note_all(b, c->ref);
	unsigned blocks = b->stale.n;
	settle(b);
	return blocks;
}

static void write_key(struct build *b, uint32_t unit, const struct chunk *c)
{
	if (b->t->family == FIB_IPV6)
		*(struct block_key *)arena_at(&b->fib->arena, unit) =
			(struct block_key){c->hi, c->lo};
}

// 0: does not fit a bucket, or no memory (*error).
static uint32_t write_bucket(struct build *b, struct chunk *c, int *error)
{
	const entry *e = chunk_entries(&b->fib->shadow, c);
	*error = 0;
	paint_begin(&b->paint, 0xffff, BUCKET_MAX - 1); // one more for the key 0
	for (unsigned i = 0; i < c->n; i++)
		paint_add(&b->paint, entry_first(e[i]), entry_last(e[i]), leaf(e[i]));
	if (!paint_end(&b->paint))
		return 0;
	paint_from(&b->paint, 0);
	uint32_t unit = take(b, bucket_units(b->paint.n, skew_of(b->t)));
	if (!unit) {
		*error = -ENOMEM;
		return 0;
	}
	write_key(b, unit, c);
	return bucket_write(&b->fib->arena, unit, skew_of(b->t), &b->paint, c->def);
}

// The entries that begin in one /24 of the chunk: [*from, return value).
static unsigned slot_entries(const entry *e, unsigned n, unsigned slot, unsigned *from)
{
	*from = entries_find(e, n, entry_make(slot << 8, 1, 0, 0));
	unsigned until = *from;
	while (until < n && entry_first(e[until]) >> 8 == slot)
		until++;
	return until;
}

// A last-level node of the longer ones of e[0..n); 0: no memory.
static uint32_t write_last(struct build *b, const entry *e, unsigned n, uint32_t def)
{
	paint_begin(&b->paint, 255, 256);
	for (unsigned i = 0; i < n; i++)
		if (entry_len(e[i]) > 8)
			paint_add(&b->paint, entry_first(e[i]) & 255, entry_last(e[i]) & 255,
				leaf(e[i]));
	paint_end(&b->paint);
	uint32_t unit = take(b, node_units(b->paint.n, 0));
	if (!unit)
		return 0;
	struct node *node = node_at(&b->fib->arena, unit, 0);
	node_write(node, b->paint.pos, b->paint.value, b->paint.n, def);
	return unit | REF_NODE;
}

static bool has_long(const entry *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (entry_len(e[i]) > 8)
			return true;
	return false;
}

static uint32_t old_cell(const struct build *b, uint32_t ref, unsigned slot)
{
	const struct node *top = node_at(&b->fib->arena, ref, skew_of(b->t));
	return *node_cell(top, node_run(top, slot));
}

// What the slots from..to of a node hold: entries of up to 8 bits are painted, for longer ones
// their slots are listed.
static void paint_slots(struct build *b, const entry *e, unsigned n, unsigned from, unsigned to)
{
	unsigned begin = entries_find(e, n, entry_make(from << 8, 1, 0, 0));
	uint32_t around = 0; // the longest prefix that begins before `from` and reaches it
	for (unsigned len = 1; len <= 8 && begin; len++) {
		uint32_t pos = from << 8 & (0xffff0000u >> len) & 0xffff;
		unsigned i = entries_find(e, begin, entry_make(pos, len, 0, 0));
		if (i < begin && !((e[i] ^ entry_make(pos, len, 0, 0)) & ENTRY_ORDER))
			around = leaf(e[i]);
	}
	b->n_longs = 0;
	paint_begin(&b->paint, to, 256);
	if (around)
		paint_add(&b->paint, from, to, around);
	for (unsigned i = begin; i < n && entry_first(e[i]) >> 8 <= to; i++) {
		unsigned slot = entry_first(e[i]) >> 8;
		if (entry_len(e[i]) <= 8) {
			paint_add(&b->paint, slot, entry_last(e[i]) >> 8, leaf(e[i]));
			continue;
		}
		if (!b->n_longs || b->longs[b->n_longs - 1].slot != slot)
			b->longs[b->n_longs++] = (struct longs){.slot = (uint16_t)slot, .from = i};
		b->longs[b->n_longs - 1].until = i + 1;
	}
	paint_end(&b->paint);
	paint_from(&b->paint, from);
}

// The runs of those slots: the painted ones, cut open where there are last-level nodes. What is
// painted below those is kept aside, and their cells are left for later.
static void cut_runs(struct build *b, unsigned to)
{
	const struct paint *p = &b->paint;
	unsigned k = 0, n = 0;
	uint32_t painted = 0;
	for (unsigned i = 0; i <= b->n_longs; i++) {
		unsigned slot = i < b->n_longs ? b->longs[i].slot : 256;
		for (; k < p->n && p->pos[k] <= slot; k++) {
			painted = p->value[k];
			n -= n && b->run_pos[n - 1] == p->pos[k];
			b->run_pos[n] = p->pos[k];
			b->run_cell[n++] = painted;
		}
		if (i == b->n_longs)
			break;
		n -= n && b->run_pos[n - 1] == slot;
		b->longs[i].under = painted;
		b->longs[i].run = (uint16_t)n;
		b->run_pos[n] = slot;
		b->run_cell[n++] = 0;
		if (slot < to) {
			b->run_pos[n] = slot + 1;
			b->run_cell[n++] = painted;
		}
	}
	b->n_runs = n;
}

// A node whose slots from..to are written anew from the entries; the others are those of the node
// `old` (0: there is none, all are new). Last-level nodes of `old` go on being used, except in slot
// `changed`.
static uint32_t write_node(struct build *b, struct chunk *c, uint32_t old, unsigned from,
	unsigned to, unsigned changed)
{
	const entry *e = chunk_entries(&b->fib->shadow, c);
	const struct node *top = old ? node_at(&b->fib->arena, old, skew_of(b->t)) : NULL;
	paint_slots(b, e, c->n, from, to);
	cut_runs(b, to);
	for (unsigned i = 0; i < b->n_longs; i++) {
		struct longs *l = &b->longs[i];
		uint32_t cell = old && l->slot != changed ? old_cell(b, old, l->slot) : 0;
		l->kept = cell & LEAF ? 0 : cell;
		b->run_cell[l->run] =
			l->kept ? l->kept
				: write_last(b, &e[l->from], l->until - l->from, l->under);
		if (!b->run_cell[l->run])
			return 0;
	}
	struct node *node = (struct node *)b->node;
	unsigned runs = node_splice(node, top, b->run_pos, b->run_cell, b->n_runs, to);
	node->def = c->def;
	uint32_t unit = take(b, node_units(runs, skew_of(b->t)));
	if (!unit)
		return 0;
	write_key(b, unit, c);
	memcpy(node_at(&b->fib->arena, unit, skew_of(b->t)), node,
		sizeof(*node) + runs * sizeof(uint32_t));
	return unit | REF_NODE;
}

static void fix_kept(struct build *b)
{
	for (unsigned i = 0; i < b->n_longs; i++) {
		const struct longs *l = &b->longs[i];
		uint32_t *def = l->kept ? &node_at(&b->fib->arena, l->kept, 0)->def : NULL;
		if (def && *def != l->under)
			store_cell(def, l->under);
	}
}

// The one last-level node that a longer prefix touches. 1: done; 0: the node itself has to change.
static int change_last(struct build *b, struct chunk *c, unsigned slot)
{
	const entry *e = chunk_entries(&b->fib->shadow, c);
	uint32_t old = old_cell(b, c->ref, slot);
	unsigned from, until = slot_entries(e, c->n, slot, &from);
	if (!old || (old & LEAF) || !has_long(&e[from], until - from))
		return 0;
	uint32_t def = node_at(&b->fib->arena, old, 0)->def;
	uint32_t ref = write_last(b, &e[from], until - from, def);
	if (!ref)
		return -ENOMEM;
	note_last(b, old);
	if (!fits(b))
		return -E2BIG;
	struct node *top = node_at(&b->fib->arena, c->ref, skew_of(b->t));
	store_cell(&top->cells[node_run(top, slot)], ref);
	settle(b);
	return 1;
}

static int change_node(struct build *b, struct chunk *c, entry changed)
{
	bool longer = entry_len(changed) > 8;
	unsigned slot = longer ? entry_first(changed) >> 8 : NO_SLOT;
	if (longer) {
		int done = change_last(b, c, slot);
		if (done)
			return done < 0 ? undo(b, done) : 0;
	}
	uint32_t old = c->ref;
	unsigned from = entry_first(changed) >> 8, to = entry_last(changed) >> 8;
	uint32_t ref = write_node(b, c, old, from, to, slot);
	if (!ref)
		return undo(b, -ENOMEM);
	note_top(b, old);
	uint32_t gone = longer ? old_cell(b, old, slot) : 0;
	if (gone && !(gone & LEAF))
		note_last(b, gone);
	if (!fits(b))
		return undo(b, -E2BIG);
	root_publish(b->fib, b->t, c, ref);
	fix_kept(b);
	settle(b);
	return 0;
}

// `changed` has been added to, changed in or removed from the chunk, which still has entries.
int build_chunk(struct build *b, struct chunk *c, entry changed)
{
	bool node = c->ref && (c->ref & REF_KIND) == REF_NODE;
	if (node && c->n > MERGE_AT)
		return change_node(b, c, changed);
	int error = 0;
	uint32_t ref = c->n <= BUCKET_ROUTES ? write_bucket(b, c, &error) : 0;
	if (!ref && !error && !(ref = write_node(b, c, 0, 0, 255, NO_SLOT)))
		error = -ENOMEM;
	if (error)
		return undo(b, error);
	if (c->ref)
		note_all(b, c->ref);
	if (!fits(b))
		return undo(b, -E2BIG);
	if (!c->ref && (error = root_prepare(b->fib, b->t, c, b->last_reserve)))
		return undo(b, error);
	root_publish(b->fib, b->t, c, ref);
	settle(b);
	return 0;
}

static struct chunk *first_chunk(const struct build *b)
{
	return chunks_from(&b->fib->shadow, &b->t->chunks, (struct key){0}, 0);
}

static struct chunk *next_chunk(const struct build *b, const struct chunk *c)
{
	return chunks_from(
		&b->fib->shadow, &b->t->chunks, (struct key){c->hi, c->lo}, c->slice + 1u);
}

static void forget_refs(const struct build *b)
{
	for (struct chunk *c = first_chunk(b); c; c = next_chunk(b, c))
		c->ref = 0;
}

struct span {
	uint32_t first, last, value;
};

static bool before(const struct span *a, const struct span *b)
{
	return a->first != b->first ? a->first < b->first : a->last > b->last;
}

// All routes of a small table in the order of the sweep; more than RANGE_ROUTES: -ENOSPC.
static int gather(const struct build *b, struct span *spans)
{
	unsigned n = 0;
	for (struct chunk *c = first_chunk(b); c; c = next_chunk(b, c)) {
		const entry *e = chunk_entries(&b->fib->shadow, c);
		uint32_t base = (uint32_t)(c->hi >> 32), shift = c->slice ? 0 : 16;
		for (unsigned i = 0; i < c->n; i++, n++) {
			if (n == RANGE_ROUTES)
				return -ENOSPC;
			struct span s = {base | entry_first(e[i]) << shift,
				base | entry_last(e[i]) << shift | ((1u << shift) - 1), leaf(e[i])};
			unsigned at = n;
			for (; at && before(&s, &spans[at - 1]); at--)
				spans[at] = spans[at - 1];
			spans[at] = s;
		}
	}
	return (int)n;
}

// Writes the range; *word: its root word, 0 if it is empty.
static int write_range(struct build *b, const struct span *spans, int n, uint64_t *word)
{
	*word = 0;
	paint_begin(&b->paint, UINT32_MAX, RANGE_MAX - 1);
	for (int i = 0; i < n; i++)
		paint_add(&b->paint, spans[i].first, spans[i].last, spans[i].value);
	if (!paint_end(&b->paint))
		return -ENOSPC;
	if (!b->paint.n)
		return 0;
	paint_from(&b->paint, 0);
	uint32_t unit = take(b, units_of(sizeof(struct range) + b->paint.n * 2 * sizeof(uint32_t)));
	if (!unit)
		return -ENOMEM;
	struct range *range = arena_at(&b->fib->arena, unit);
	range->n = b->paint.n;
	range->pad = 0;
	memcpy(range->keys, b->paint.pos, b->paint.n * sizeof(uint32_t));
	memcpy(range->keys + b->paint.n, b->paint.value, b->paint.n * sizeof(uint32_t));
	*word = root_word(ROOT_RANGE, 0, unit, 0);
	return 0;
}

// The whole IPv4 table as a range; chunks and hash, if there were any, are retired.
int build_range(struct build *b)
{
	struct span spans[RANGE_ROUTES];
	uint64_t word, old = root_load(b->fib, b->t, 1);
	int n = gather(b, spans);
	if (n < 0)
		return n;
	int error = write_range(b, spans, n, &word);
	if (error)
		return undo(b, error);
	if (root_kind(old) == ROOT_HASH) {
		note(&b->stale, root_unit(old), 1u << root_log2(old));
		for (struct chunk *c = first_chunk(b); c; c = next_chunk(b, c))
			note_all(b, c->ref);
	} else if (root_unit(old)) {
		note(&b->stale, root_unit(old), range_units(b->fib, old));
	}
	if (!fits(b))
		return undo(b, -E2BIG);
	root_store4(b->fib, b->t, word);
	if (root_kind(old) == ROOT_HASH)
		forget_refs(b);
	settle(b);
	return 0;
}

// The range has become too small for the table: a block for every chunk, then the hash.
int build_hash_from_range(struct build *b)
{
	uint64_t old = root_load(b->fib, b->t, 1);
	int error = 0;
	for (struct chunk *c = first_chunk(b); c && !error; c = next_chunk(b, c)) {
		if (c->n == 0)
			continue;
		c->def = cover_of(b->fib, b->t, (struct key){c->hi, c->lo}, c->slice);
		c->ref = write_bucket(b, c, &error); // so few routes always fit one
	}
	if (root_unit(old))
		note(&b->stale, root_unit(old), range_units(b->fib, old));
	if (!error && !fits(b))
		error = -E2BIG;
	if (!error)
		error = root_to_hash(b->fib, b->t, b->last_reserve);
	if (error) {
		forget_refs(b);
		return undo(b, error);
	}
	settle(b);
	return 0;
}
