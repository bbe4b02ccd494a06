/* SPDX-License-Identifier: BSD-3-Clause */
// The FIB's memory. Its blocks are small (most are one to six cache lines), change size all the
// time, and live as long as readers may hold them, so this is a slab allocator over a buddy
// allocator:
//
//   reserve   addresses for the largest arena there may be, without memory behind them
//   commit    2 MiB at a time, as needed: hugepages of the pool, else ordinary memory that asks for
//             transparent ones (with 4 KiB pages a lookup costs 1.6-1.8 times as much per miss)
//   pages     32 KiB, merged and split by a buddy allocator; large blocks are whole pages
//   slabs     a page cut into equal blocks of one small size; an empty slab goes back to the
//             buddies, so memory that one size no longer needs serves another
//
// All state about free memory stands beside the arena (struct arena_page), except the chain through
// a slab's free blocks. One thread only. Under AddressSanitizer free blocks are poisoned.

#include "dataplane/tables/fib_arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define POISON(at, size)   __asan_poison_memory_region(at, size)
#define UNPOISON(at, size) __asan_unpoison_memory_region(at, size)
#else
#define POISON(at, size)   ((void)(at), (void)(size))
#define UNPOISON(at, size) ((void)(at), (void)(size))
#endif

#define COMMIT_BYTES (2u << 20)
#define COMMIT_ORDER 6u    // pages of one commit: 2^6 of 32 KiB
#define PAD_BYTES    4096u // vector loads may run past the last block

enum page_state { PAGE_NONE, PAGE_FREE, PAGE_LARGE, PAGE_SLAB };

struct arena_page {
	uint32_t next; // list of free pages of an order, or of partial slabs; page index + 1
	uint32_t prev;
	uint16_t head;  // slab: first free block's index within the page + 1, 0: none
	uint16_t live;  // slab: blocks given out
	uint16_t fresh; // slab: blocks from here on were never given out
	uint8_t state;
	uint8_t order; // free, large: of the block that begins here; slab: small size's number
};

static const uint16_t small_units[SMALL_SIZES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 24, 32, 64, 128, 256};

static unsigned small_size(uint32_t units)
{
	if (units <= 20)
		return units - 1;
	unsigned size = 20;
	while (small_units[size] < units)
		size++;
	return size;
}

static unsigned order_of(uint32_t units)
{
	unsigned order = 0;
	while (((uint64_t)PAGE_UNITS << order) < units)
		order++;
	return order;
}

uint32_t arena_round(uint32_t units)
{
	return units <= 256 ? small_units[small_size(units)] : PAGE_UNITS << order_of(units);
}

uint64_t arena_committed_bytes(const struct arena *arena)
{
	return (uint64_t)arena->committed * PAGE_UNITS * UNIT_BYTES;
}

static void list_push(struct arena *arena, uint32_t *head, uint32_t page)
{
	arena->page[page].prev = 0;
	arena->page[page].next = *head;
	if (*head)
		arena->page[*head - 1].prev = page + 1;
	*head = page + 1;
}

static void list_remove(struct arena *arena, uint32_t *head, uint32_t page)
{
	struct arena_page *p = &arena->page[page];
	if (p->next)
		arena->page[p->next - 1].prev = p->prev;
	if (p->prev)
		arena->page[p->prev - 1].next = p->next;
	else
		*head = p->next;
}

static void buddy_release(struct arena *arena, uint32_t page, unsigned order)
{
	for (; order + 1 < ARENA_ORDERS; order++) {
		uint32_t buddy = page ^ (1u << order);
		if (buddy >= arena->committed || arena->page[buddy].state != PAGE_FREE ||
			arena->page[buddy].order != order)
			break;
		list_remove(arena, &arena->free_pages[order], buddy);
		arena->page[buddy].state = PAGE_NONE;
		arena->page[page].state = PAGE_NONE;
		page &= ~(1u << order);
	}
	arena->page[page].state = PAGE_FREE;
	arena->page[page].order = (uint8_t)order;
	list_push(arena, &arena->free_pages[order], page);
}

static bool commit(struct arena *arena)
{
	if (arena->committed + (1u << COMMIT_ORDER) > arena->pages)
		return false;
	char *at = arena->base + (size_t)arena->committed * PAGE_UNITS * UNIT_BYTES;
	if (arena->hugetlb &&
		mmap(at, COMMIT_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | MAP_POPULATE, -1,
			0) == MAP_FAILED)
		arena->hugetlb = false; // the pool is empty: go on with transparent ones
	if (!arena->hugetlb) {
		if (mmap(at, COMMIT_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return false;
		madvise(at, COMMIT_BYTES, MADV_HUGEPAGE);
	}
	uint32_t page = arena->committed;
	arena->committed += 1u << COMMIT_ORDER;
	POISON(at, COMMIT_BYTES);
	buddy_release(arena, page, COMMIT_ORDER);
	return true;
}

static bool buddy_alloc(struct arena *arena, unsigned order, uint32_t *page)
{
	for (;;) {
		unsigned from = order;
		while (from < ARENA_ORDERS && !arena->free_pages[from])
			from++;
		if (from == ARENA_ORDERS) {
			if (!commit(arena))
				return false;
			continue;
		}
		*page = arena->free_pages[from] - 1;
		list_remove(arena, &arena->free_pages[from], *page);
		while (from > order) {
			uint32_t half = *page + (1u << --from);
			arena->page[half].state = PAGE_FREE;
			arena->page[half].order = (uint8_t)from;
			list_push(arena, &arena->free_pages[from], half);
		}
		arena->page[*page].state = PAGE_LARGE;
		arena->page[*page].order = (uint8_t)order;
		return true;
	}
}

static uint32_t slab_alloc(struct arena *arena, unsigned size)
{
	uint32_t units = small_units[size];
	if (!arena->partial[size]) {
		uint32_t page;
		if (!buddy_alloc(arena, 0, &page))
			return 0;
		arena->page[page] = (struct arena_page){.state = PAGE_SLAB, .order = (uint8_t)size};
		list_push(arena, &arena->partial[size], page);
	}
	uint32_t index = arena->partial[size] - 1;
	struct arena_page *page = &arena->page[index];
	uint32_t block;
	if (page->head) {
		block = page->head - 1u;
		char *at = arena_at(arena, index * PAGE_UNITS + block * units);
		UNPOISON(at, (size_t)units * UNIT_BYTES);
		memcpy(&page->head, at, sizeof(page->head));
	} else {
		block = page->fresh++;
		UNPOISON(arena_at(arena, index * PAGE_UNITS + block * units),
			(size_t)units * UNIT_BYTES);
	}
	page->live++;
	if (!page->head && (page->fresh + 1u) * units > PAGE_UNITS)
		list_remove(arena, &arena->partial[size], index);
	arena->used += units;
	return index * PAGE_UNITS + block * units;
}

static void slab_release(struct arena *arena, uint32_t unit)
{
	uint32_t index = unit / PAGE_UNITS;
	struct arena_page *page = &arena->page[index];
	unsigned size = page->order;
	uint32_t units = small_units[size];
	bool was_full = !page->head && (page->fresh + 1u) * units > PAGE_UNITS;
	char *at = arena_at(arena, unit);
	memcpy(at, &page->head, sizeof(page->head));
	POISON(at, (size_t)units * UNIT_BYTES);
	page->head = (uint16_t)((unit % PAGE_UNITS) / units + 1);
	page->live--;
	arena->used -= units;
	if (was_full)
		list_push(arena, &arena->partial[size], index);
	// One empty slab stays, lest a size that goes to and fro between none and one costs a page
	// each time.
	if (!page->live && (page->prev || page->next)) {
		list_remove(arena, &arena->partial[size], index);
		buddy_release(arena, index, 0);
	}
}

uint32_t arena_alloc(struct arena *arena, uint32_t units, bool last_reserve)
{
	uint64_t limit = (uint64_t)arena->pages * PAGE_UNITS - (last_reserve ? 0 : arena->kept);
	if (arena->used + arena_round(units) > limit)
		return 0;
	if (units <= 256)
		return slab_alloc(arena, small_size(units));
	unsigned order = order_of(units);
	uint32_t page;
	if (order >= ARENA_ORDERS || !buddy_alloc(arena, order, &page))
		return 0;
	arena->used += (uint64_t)PAGE_UNITS << order;
	UNPOISON(arena_at(arena, page * PAGE_UNITS), ((size_t)PAGE_UNITS << order) * UNIT_BYTES);
	return page * PAGE_UNITS;
}

void arena_release(struct arena *arena, uint32_t unit, uint32_t units)
{
	if (units <= 256) {
		slab_release(arena, unit);
		return;
	}
	unsigned order = order_of(units);
	arena->used -= (uint64_t)PAGE_UNITS << order;
	POISON(arena_at(arena, unit), ((size_t)PAGE_UNITS << order) * UNIT_BYTES);
	buddy_release(arena, unit / PAGE_UNITS, order);
}

int arena_create(struct arena *arena, uint64_t bytes, uint64_t kept_bytes)
{
	*arena = (struct arena){.hugetlb = true};
	uint64_t steps = (bytes + COMMIT_BYTES - 1) / COMMIT_BYTES;
	if (steps == 0 || steps > (1u << 20 >> COMMIT_ORDER))
		steps = steps ? 1u << 20 >> COMMIT_ORDER : 1;
	arena->pages = (uint32_t)steps << COMMIT_ORDER;
	arena->kept = kept_bytes / UNIT_BYTES;
	arena->page = calloc(arena->pages, sizeof(*arena->page));
	if (!arena->page)
		return -ENOMEM;
	// Aligned to 2 MiB by reserving one step more and giving back what sticks out.
	size_t size = steps * COMMIT_BYTES + PAD_BYTES;
	char *at = mmap(NULL, size + COMMIT_BYTES, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED) {
		free(arena->page);
		return -ENOMEM;
	}
	size_t skip = (COMMIT_BYTES - (uintptr_t)at % COMMIT_BYTES) % COMMIT_BYTES;
	if (skip)
		munmap(at, skip);
	munmap(at + skip + size, COMMIT_BYTES - skip);
	arena->base = at + skip;
	if (mprotect(arena->base + steps * COMMIT_BYTES, PAD_BYTES, PROT_READ | PROT_WRITE) != 0 ||
		!commit(arena)) {
		arena_destroy(arena);
		return -ENOMEM;
	}
	uint32_t page;
	buddy_alloc(arena, 0, &page); // the first: page 0, which holds unit 0
	UNPOISON(arena->base, PAGE_UNITS * UNIT_BYTES);
	return 0;
}

void arena_destroy(struct arena *arena)
{
	size_t size = (size_t)arena->pages * PAGE_UNITS * UNIT_BYTES + PAD_BYTES;
	UNPOISON(arena->base, size);
	munmap(arena->base, size);
	free(arena->page);
	*arena = (struct arena){0};
}
