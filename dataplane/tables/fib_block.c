/* SPDX-License-Identifier: BSD-3-Clause */
// How the blocks of the FIB are written. Everything here works on memory that no reader has seen
// yet.
//
// Prefixes nest or are disjoint, so a list of them in the order (first address, length) can be
// swept once with a stack of those still open: where one begins its value holds, where it ends that
// of the one around it holds again. What is left is a list of boundaries, neighbours with the same
// value merged. A bucket is that list as it stands; a node of the last 8 bits is the same list as a
// bit map. This is the range idea of DXR (Zec, Rizzo, Mikuc, CCR 2012) at the leaves and of Tree
// Bitmap's counting at the nodes.

#include "dataplane/tables/fib_block.h"

#include <string.h>

void paint_begin(struct paint *p, uint64_t end, unsigned limit)
{
	p->n = 0;
	p->depth = 0;
	p->limit = limit < PAINT_MAX ? limit : PAINT_MAX;
	p->overflow = false;
	p->end = end;
}

static void boundary(struct paint *p, uint64_t pos, uint32_t value)
{
	if (pos > p->end)
		return;
	if (p->n && p->pos[p->n - 1] == pos)
		p->n--;
	if (value == (p->n ? p->value[p->n - 1] : 0))
		return;
	if (p->n == p->limit) {
		p->overflow = true;
		return;
	}
	p->pos[p->n] = (uint32_t)pos;
	p->value[p->n++] = value;
}

static void close_until(struct paint *p, uint64_t pos)
{
	while (p->depth && p->open[p->depth - 1].last < pos) {
		uint64_t last = p->open[--p->depth].last;
		boundary(p, last + 1, p->depth ? p->open[p->depth - 1].value : 0);
	}
}

void paint_add(struct paint *p, uint64_t first, uint64_t last, uint32_t value)
{
	close_until(p, first);
	boundary(p, first, value);
	p->open[p->depth].last = last;
	p->open[p->depth++].value = value;
}

bool paint_end(struct paint *p)
{
	close_until(p, UINT64_MAX);
	return !p->overflow;
}

// A node has a run at its first slot even if nothing is there. There is room: positions are 0..255.
void paint_from(struct paint *p, unsigned first)
{
	if (p->n && p->pos[0] == first)
		return;
	memmove(&p->pos[1], &p->pos[0], p->n * sizeof(p->pos[0]));
	memmove(&p->value[1], &p->value[0], p->n * sizeof(p->value[0]));
	p->pos[0] = first;
	p->value[0] = 0;
	p->n++;
}

uint32_t bucket_units(unsigned n, uint32_t skew)
{
	return units_of(skew + sizeof(struct bucket) + ((n + 1u) & ~1u) * 2 + n * 4);
}

uint32_t bucket_write(
	struct arena *arena, uint32_t unit, uint32_t skew, const struct paint *p, uint32_t def)
{
	struct bucket *b = bucket_at(arena, unit, skew);
	unsigned room = (p->n + 1u) & ~1u;
	b->def = def;
	b->n = (uint16_t)p->n;
	b->values = (uint16_t)(sizeof(*b) + room * 2 - 4);
	for (unsigned i = 0; i < p->n; i++)
		b->keys[i] = (uint16_t)p->pos[i];
	if (p->n & 1)
		b->keys[p->n] = 0;
	memcpy(&b->keys[room], p->value, p->n * sizeof(uint32_t));
	if (bucket_units(p->n, skew) == 1)
		return unit | REF_LINE;
	return unit | (p->n <= BUCKET_SHORT ? REF_SHORT : REF_LONG);
}

uint32_t node_units(unsigned runs, uint32_t skew)
{
	return units_of(skew + sizeof(struct node) + runs * sizeof(uint32_t));
}

static void node_sum(struct node *node)
{
	unsigned sum = 0;
	for (unsigned word = 0; word < 4; word++) {
		node->before[word] = (uint8_t)sum;
		sum += (unsigned)__builtin_popcountll(node->bits[word]);
	}
}

unsigned node_write(
	struct node *node, const uint32_t *pos, const uint32_t *cells, unsigned n, uint32_t def)
{
	memset(node->bits, 0, sizeof(node->bits));
	node->def = def;
	if (n && cells[0] == 0) {
		pos++;
		cells++;
		n--;
	}
	for (unsigned i = 0; i < n; i++)
		node->bits[pos[i] >> 6] |= 1ull << (pos[i] & 63);
	memcpy(node->cells, cells, n * sizeof(*cells));
	node_sum(node);
	return n;
}

static void clear_bits(uint64_t bits[4], unsigned from, unsigned to)
{
	for (unsigned word = from >> 6; word <= to >> 6; word++) {
		uint64_t mask = ~0ull;
		if (word == from >> 6)
			mask &= ~0ull << (from & 63);
		if (word == to >> 6)
			mask &= ~0ull >> (63 - (to & 63));
		bits[word] &= ~mask;
	}
}

// `old` with its slots pos[0]..to replaced by the runs given; returns how many runs it has then.
// Neighbours that have become equal are merged at both ends.
unsigned node_splice(struct node *node, const struct node *old, const uint32_t *pos,
	const uint32_t *cells, unsigned n, unsigned to)
{
	if (!old)
		return node_write(node, pos, cells, n, 0);
	unsigned from = pos[0], runs = 0, last = node_runs(old);
	memcpy(node->bits, old->bits, sizeof(node->bits));
	clear_bits(node->bits, from, to);
	if (from) {
		runs = (unsigned)(node_run(old, from - 1) + 1);
		memcpy(node->cells, old->cells, runs * sizeof(*cells));
	}
	uint32_t before = runs ? node->cells[runs - 1] : 0;
	for (unsigned i = 0; i < n; before = cells[i++]) {
		if (before == cells[i])
			continue;
		node->bits[pos[i] >> 6] |= 1ull << (pos[i] & 63);
		node->cells[runs++] = cells[i];
	}
	if (to < 255) {
		int next = node_run(old, to + 1);
		uint32_t resumed = next < 0 ? 0 : old->cells[next];
		uint64_t bit = 1ull << ((to + 1) & 63);
		node->bits[(to + 1) >> 6] &= ~bit;
		if (before != resumed) {
			node->bits[(to + 1) >> 6] |= bit;
			node->cells[runs++] = resumed;
		}
		unsigned rest = (unsigned)((int)last - next - 1);
		memcpy(&node->cells[runs], &old->cells[next + 1], rest * sizeof(*cells));
		runs += rest;
	}
	node_sum(node);
	return runs;
}

unsigned node_runs(const struct node *node)
{
	return node->before[3] + (unsigned)__builtin_popcountll(node->bits[3]);
}

uint32_t block_units(const struct arena *arena, uint32_t ref, uint32_t skew)
{
	if ((ref & REF_KIND) == REF_NODE)
		return node_units(node_runs(node_at(arena, ref, skew)), skew);
	return bucket_units(bucket_at(arena, ref, skew)->n, skew);
}

static uint32_t bucket_find(const struct bucket *b, uint32_t low)
{
	unsigned below = 0;
	for (unsigned size = b->n; size;) { // number of keys <= low, by bisection
		unsigned half = size / 2;
		if (b->keys[below + half] <= low) {
			below += half + 1;
			size -= half + 1;
		} else {
			size = half;
		}
	}
	return bucket_value(b, below);
}

uint32_t block_find(const struct arena *arena, uint32_t ref, uint32_t skew, uint32_t low)
{
	if ((ref & REF_KIND) != REF_NODE)
		return bucket_find(bucket_at(arena, ref, skew), low);
	const struct node *node = node_at(arena, ref, skew);
	uint32_t cell = load_cell(node_cell(node, node_run(node, low >> 8)));
	if (cell == 0 || (cell & LEAF))
		return cell;
	const struct node *last = node_at(arena, cell, 0);
	uint32_t value = load_cell(node_cell(last, node_run(last, low & 255)));
	return value ? value : load_cell(&last->def);
}
