// SPDX-License-Identifier: BSD-3-Clause
// The contents of the stats segment: who owns a slot, how counts move, what a value is.
//
// A count never goes back and never reaches another object. Three things could break that, and each
// has its answer here. A process may be killed between two stores: counts therefore move line by
// line under a redo log of one entry in the header (write the result, arm, apply, disarm), which
// the next run completes. A slot gets a new owner: only after its last owner's final values were
// released, and those are added to slot 0, so that sums over everything stay right. A packet was in
// flight when the process died: its `rx` was counted and its end was not; stats_balance() books the
// difference as `restart`, so that both counting laws hold from the first moment.
//
// Readers of a line that is being moved would see counts twice or not at all; `moving` in the
// header is odd meanwhile and sums say -EAGAIN.

#include "dataplane/wire/stats_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_WORDS 8

static void put(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static uint64_t get(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

int stats_has_writer(uint32_t workers, unsigned writer)
{
	return writer < workers || writer == STATS_HOST || writer == STATS_FOLD;
}

// --- moving ---

void stats_move_line(struct stats_segment *s, uint64_t *from, uint64_t *to, unsigned words)
{
	struct stats_header *h = s->header;
	const uint8_t *base = s->private->base;

	put(&h->move_from, (uint64_t)((uint8_t *)from - base));
	put(&h->move_to, (uint64_t)((uint8_t *)to - base));
	put(&h->move_words, words);
	for (unsigned i = 0; i < words; i++)
		put(&h->move_value[i], from[i] + to[i]);
	put(&h->move_armed, 1);
	stats_move_redo(s);
}

int stats_move_redo(struct stats_segment *s)
{
	struct stats_header *h = s->header;
	uint64_t lowest = h->writer_offset, highest = s->private->size - 8 * LINE_WORDS;
	uint64_t *from, *to;

	if (!get(&h->move_armed))
		return 0;
	if (h->move_armed != 1 || (h->move_from | h->move_to) % 8 || h->move_from < lowest ||
		h->move_to < lowest || h->move_from > highest || h->move_to > highest ||
		h->move_words < 1 || h->move_words > LINE_WORDS)
		return -EBADMSG;
	from = (uint64_t *)(void *)((uint8_t *)s->private->base + h->move_from);
	to = (uint64_t *)(void *)((uint8_t *)s->private->base + h->move_to);
	for (unsigned i = 0; i < h->move_words; i++)
		put(&to[i], h->move_value[i]);
	for (unsigned i = 0; i < h->move_words; i++)
		put(&from[i], 0);
	put(&h->move_armed, 0);
	return 0;
}

static void move_if_any(struct stats_segment *s, void *from, void *to, size_t size)
{
	uint64_t *f = from, *t = to;
	unsigned words = size < 8 * LINE_WORDS ? (unsigned)size / 8 : LINE_WORDS;

	for (size_t at = 0; at < size / 8; at += words, f += words, t += words) {
		uint64_t any = 0;

		for (unsigned i = 0; i < words; i++)
			any |= f[i];
		if (any)
			stats_move_line(s, f, t, words);
	}
}

static void move_slot(struct stats_segment *s, enum stats_kind kind, unsigned writer, uint32_t slot,
	uint32_t to_slot)
{
	if (kind == STATS_LIMITER) {
		move_if_any(s, &stats_limiter_part(s, writer, slot)->count,
			&stats_limiter_part(s, STATS_FOLD, to_slot)->count,
			sizeof(struct stats_limiter));
		return;
	}
	if (kind == STATS_ACCOUNT) {
		move_if_any(s, stats_account(s, writer, slot),
			stats_account(s, STATS_FOLD, to_slot), sizeof(struct stats_account));
		return;
	}
	move_if_any(s, stats_interface(s, writer, slot), stats_interface(s, STATS_FOLD, to_slot),
		sizeof(struct stats_interface));
	move_if_any(s, stats_sparse(s, writer, slot), stats_sparse(s, STATS_FOLD, to_slot),
		sizeof(struct stats_sparse));
}

void stats_fold_writer(struct stats_segment *s, unsigned writer)
{
	for (int kind = 0; kind < STATS_KINDS; kind++)
		for (uint32_t slot = 0; slot < s->slots[kind]; slot++)
			move_slot(s, (enum stats_kind)kind, writer, slot, slot);
}

// --- sums ---

static void add_words(void *sum, const void *add, size_t size)
{
	uint64_t *to = sum;
	const uint64_t *from = add;

	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static void sum_interface(const struct stats_segment *s, uint32_t slot, struct stats_interface *sum,
	struct stats_sparse *sparse)
{
	memset(sum, 0, sizeof(*sum));
	memset(sparse, 0, sizeof(*sparse));
	for (unsigned w = 0; w < STATS_WRITERS; w++) {
		if (!stats_has_writer(s->header->workers, w))
			continue;
		add_words(sum, stats_interface(s, w, slot), sizeof(*sum));
		add_words(sparse, stats_sparse(s, w, slot), sizeof(*sparse));
	}
}

int stats_sum_interface(const struct stats_segment *s, uint32_t slot, struct stats_interface *sum,
	struct stats_sparse *sparse)
{
	uint64_t before = get(&s->header->moving);
	struct stats_sparse unused;

	if (slot >= s->slots[STATS_INTERFACE])
		return -EINVAL;
	if (before & 1)
		return -EAGAIN;
	sum_interface(s, slot, sum, sparse ? sparse : &unused);
	return get(&s->header->moving) == before ? 0 : -EAGAIN;
}

int stats_sum_limiter(const struct stats_segment *s, uint32_t slot, struct stats_limiter *sum)
{
	uint64_t before = get(&s->header->moving);

	if (slot >= s->slots[STATS_LIMITER])
		return -EINVAL;
	if (before & 1)
		return -EAGAIN;
	memset(sum, 0, sizeof(*sum));
	for (unsigned w = 0; w < STATS_WRITERS; w++)
		if (stats_has_writer(s->header->workers, w))
			add_words(sum, &stats_limiter_part(s, w, slot)->count, sizeof(*sum));
	return get(&s->header->moving) == before ? 0 : -EAGAIN;
}

int stats_sum_account(const struct stats_segment *s, uint32_t slot, struct stats_account *sum)
{
	uint64_t before = get(&s->header->moving);

	if (slot >= s->slots[STATS_ACCOUNT])
		return -EINVAL;
	if (before & 1)
		return -EAGAIN;
	memset(sum, 0, sizeof(*sum));
	for (unsigned w = 0; w < STATS_WRITERS; w++)
		if (stats_has_writer(s->header->workers, w))
			add_words(sum, stats_account(s, w, slot), sizeof(*sum));
	return get(&s->header->moving) == before ? 0 : -EAGAIN;
}

// --- what was in flight ---

static uint64_t drops(const struct stats_sparse *sparse)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < DROP_MAX; i++)
		n += sparse->drops[i];
	return n;
}

void stats_balance(struct stats_segment *s)
{
	uint64_t handed = 0, sent = 0;

	for (uint32_t slot = 0; slot < s->slots[STATS_INTERFACE]; slot++) {
		struct stats_interface i;
		struct stats_sparse p;
		uint64_t in, out;

		if (s->entry[STATS_INTERFACE][slot].state == STATS_FREE)
			continue;
		sum_interface(s, slot, &i, &p);
		in = i.rx_packets + p.generated + p.reassembled;
		out = i.forwarded + i.to_host + p.consumed + i.decapsulated + p.fragments_consumed +
		      drops(&p);
		if (in > out)
			stats_sparse(s, STATS_FOLD, slot)->drops[DROP_RESTART] += in - out;
		else // killed between the two stores of one packet
			stats_interface(s, STATS_FOLD, slot)->rx_packets += out - in;
		handed += i.forwarded + i.from_host + p.originated + p.extra_fragments;
		sent += i.tx_packets + p.tx_drops[0] + p.tx_drops[1] + p.tx_drops[2] +
			p.tx_drops[3];
	}
	// Which interface they should have left by is not known any more.
	if (handed > sent)
		stats_sparse(s, STATS_FOLD, 0)->tx_drops[3] += handed - sent;
	else
		stats_interface(s, STATS_FOLD, 0)->from_host += sent - handed;
}

// --- who owns a slot ---

static uint32_t hash(uint64_t uid, uint32_t mask)
{
	return (uint32_t)((uid * 0x9e3779b97f4a7c15u) >> 32) & mask;
}

static uint32_t lookup(const struct stats_segment *s, enum stats_kind kind, uint64_t uid)
{
	const struct stats_index *x = &s->private->index[kind];
	uint32_t slot = x->bucket[hash(uid, x->mask)];

	while (slot && s->entry[kind][slot - 1].uid != uid)
		slot = x->next[slot - 1];
	return slot; // + 1
}

static void insert(struct stats_segment *s, enum stats_kind kind, uint32_t slot)
{
	struct stats_index *x = &s->private->index[kind];
	uint32_t *bucket = &x->bucket[hash(s->entry[kind][slot].uid, x->mask)];

	x->next[slot] = *bucket;
	*bucket = slot + 1;
}

static void forget(struct stats_segment *s, enum stats_kind kind, uint32_t slot)
{
	struct stats_index *x = &s->private->index[kind];
	uint32_t *link = &x->bucket[hash(s->entry[kind][slot].uid, x->mask)];

	while (*link != slot + 1)
		link = &x->next[*link - 1];
	*link = x->next[slot];
}

static int index_directory(struct stats_segment *s, enum stats_kind kind)
{
	struct stats_index *x = &s->private->index[kind];
	uint32_t slots = s->slots[kind], buckets = 16;

	while (buckets < slots)
		buckets *= 2;
	x->mask = buckets - 1;
	x->bucket = calloc(buckets, sizeof(*x->bucket));
	x->next = calloc(slots, sizeof(*x->next));
	x->free = calloc(slots, sizeof(*x->free));
	x->claimed = calloc(slots, 1);
	if (x->bucket == NULL || x->next == NULL || x->free == NULL || x->claimed == NULL)
		return -ENOMEM;
	for (uint32_t slot = slots; slot-- > 0;) {
		struct stats_entry *e = &s->entry[kind][slot];

		if (e->state > STATS_DELETED || (e->state != STATS_FREE && !e->uid) ||
			(slot == 0 && (e->uid != STATS_UID_SELF || e->state != STATS_LIVE)))
			return -EBADMSG;
		if (e->state == STATS_FREE) {
			x->free[x->free_count++] = slot;
			continue;
		}
		if (lookup(s, kind, e->uid))
			return -EBADMSG;
		insert(s, kind, slot);
	}
	x->claimed[0] = 1;
	return 0;
}

int stats_index_build(struct stats_segment *s)
{
	int err = 0;

	for (int kind = 0; kind < STATS_KINDS && !err; kind++)
		err = index_directory(s, (enum stats_kind)kind);
	return err;
}

void stats_index_free(struct stats_segment *s)
{
	for (int kind = 0; kind < STATS_KINDS; kind++) {
		struct stats_index *x = &s->private->index[kind];

		free(x->bucket);
		free(x->next);
		free(x->free);
		free(x->claimed);
		memset(x, 0, sizeof(*x));
	}
}

static void clear_slot(struct stats_segment *s, enum stats_kind kind, uint32_t slot)
{
	for (unsigned w = 0; w < STATS_WRITERS; w++) {
		if (!stats_has_writer(s->header->workers, w))
			continue;
		if (kind == STATS_LIMITER) {
			memset(stats_limiter_part(s, w, slot), 0,
				sizeof(struct stats_limiter_part));
			continue;
		}
		if (kind == STATS_ACCOUNT) {
			memset(stats_account(s, w, slot), 0, sizeof(struct stats_account));
			continue;
		}
		memset(stats_interface(s, w, slot), 0, sizeof(struct stats_interface));
		memset(stats_sparse(s, w, slot), 0, sizeof(struct stats_sparse));
	}
	if (kind == STATS_LIMITER) // limiter_take_up() fills it
		memset(stats_limiter_word(s, slot), 0, sizeof(struct stats_limiter_word));
}

// After a change of a directory: readers look again.
static void changed(struct stats_segment *s)
{
	put(&s->header->changes, s->header->changes + 1);
}

int64_t stats_slot(struct stats_segment *s, enum stats_kind kind, uint64_t uid)
{
	struct stats_index *x = &s->private->index[kind];
	struct stats_entry *e;
	uint32_t slot;

	if (!uid || uid == STATS_UID_SELF)
		return -EINVAL;
	slot = lookup(s, kind, uid);
	if (slot) {
		slot--;
	} else {
		if (!x->free_count)
			return -ENOSPC;
		slot = x->free[--x->free_count];
		e = &s->entry[kind][slot];
		clear_slot(s, kind, slot);
		__atomic_store_n(&e->generation, e->generation + 1, __ATOMIC_RELEASE);
		put(&e->uid, uid);
		insert(s, kind, slot);
	}
	if (s->entry[kind][slot].state != STATS_LIVE) {
		__atomic_store_n(&s->entry[kind][slot].state, STATS_LIVE, __ATOMIC_RELEASE);
		changed(s);
	}
	x->claimed[slot] = 1;
	return slot;
}

uint32_t stats_generation(const struct stats_segment *s, enum stats_kind kind, uint32_t slot)
{
	return s->entry[kind][slot].generation;
}

int stats_slot_delete(struct stats_segment *s, enum stats_kind kind, uint64_t uid)
{
	uint32_t slot = lookup(s, kind, uid);

	if (!slot || uid == STATS_UID_SELF)
		return -ENOENT;
	s->private->index[kind].claimed[slot - 1] = 0;
	__atomic_store_n(&s->entry[kind][slot - 1].state, STATS_DELETED, __ATOMIC_RELEASE);
	changed(s);
	return 0;
}

int stats_slot_release(struct stats_segment *s, uint64_t uid)
{
	enum stats_kind kind = STATS_INTERFACE;
	uint32_t slot = 0;
	struct stats_index *x;

	for (int k = 0; k < STATS_KINDS && !slot; k++)
		slot = lookup(s, kind = (enum stats_kind)k, uid);
	if (!slot)
		return -ENOENT;
	slot--;
	if (s->entry[kind][slot].state != STATS_DELETED)
		return -EBUSY;
	put(&s->header->moving, s->header->moving + 1);
	for (unsigned w = 0; w < STATS_WRITERS; w++)
		if (stats_has_writer(s->header->workers, w))
			move_slot(s, kind, w, slot, 0);
	__atomic_store_n(&s->entry[kind][slot].state, STATS_FREE, __ATOMIC_RELEASE);
	put(&s->header->moving, s->header->moving + 1);
	forget(s, kind, slot);
	put(&s->entry[kind][slot].uid, 0);
	changed(s);
	x = &s->private->index[kind];
	x->free[x->free_count++] = slot;
	return 0;
}

unsigned stats_sweep(struct stats_segment *s, enum stats_kind kind)
{
	unsigned swept = 0;

	for (uint32_t slot = 1; slot < s->slots[kind]; slot++) {
		struct stats_entry *e = &s->entry[kind][slot];

		if (e->state != STATS_LIVE || s->private->index[kind].claimed[slot] ||
			e->uid >= STATS_UID_OWN)
			continue;
		__atomic_store_n(&e->state, STATS_DELETED, __ATOMIC_RELEASE);
		swept++;
	}
	if (swept != 0)
		changed(s);
	return swept;
}

int64_t stats_find(const struct stats_segment *s, enum stats_kind kind, uint64_t uid)
{
	uint32_t slot = uid != 0 ? lookup(s, kind, uid) : 0;

	return slot != 0 ? (int64_t)slot - 1 : -ENOENT;
}
