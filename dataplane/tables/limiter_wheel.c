// SPDX-License-Identifier: BSD-3-Clause
// Timing wheel (Varghese and Lauck 1987, one level; after Carousel, SIGCOMM 2017, whose shaper it
// serves). A slot is a queue of places, linked by index; a bit map with a summary finds the next
// one that is not empty. All of it is reached without a pointer chase while nothing is parked:
// wheel_take() then reads one word.

#include "dataplane/tables/limiter_wheel.h"

#include <stdlib.h>

#define NONE  UINT32_MAX
#define WORDS (WHEEL_SLOTS / 64)
#define MASK  (WHEEL_SLOTS - 1)

struct queue {
	uint32_t head, tail;
};

struct wheel {
	uint32_t count;
	uint32_t free; // list of places
	uint64_t base; // number of the oldest slot that may hold something
	uint32_t places;
	size_t size;
	uint64_t summary[WORDS / 64]; // bit: word of `map` is not 0
	uint64_t map[WORDS];          // bit: slot is not empty
	struct queue slot[WHEEL_SLOTS];
	uint32_t *next;
	uint8_t *data;
};

struct wheel *wheel_create(uint32_t places, size_t size)
{
	struct wheel *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->size = (size + 15) & ~(size_t)15;
	w->places = places;
	w->next = calloc(places ? places : 1, sizeof(*w->next));
	w->data = calloc(places ? places : 1, w->size);
	if (!w->next || !w->data) {
		wheel_destroy(w);
		return NULL;
	}
	for (uint32_t i = 0; i < places; i++)
		w->next[i] = i + 1 < places ? i + 1 : NONE;
	w->free = places ? 0 : NONE;
	return w;
}

void wheel_destroy(struct wheel *wheel)
{
	if (!wheel)
		return;
	free(wheel->next);
	free(wheel->data);
	free(wheel);
}

uint32_t wheel_room(const struct wheel *wheel)
{
	return wheel->places - wheel->count;
}

uint32_t wheel_count(const struct wheel *wheel)
{
	return wheel->count;
}

void *wheel_put(struct wheel *wheel, uint64_t now, uint64_t departure)
{
	uint64_t number = ((int64_t)(departure - now) > 0 ? departure : now) >> WHEEL_SHIFT;
	uint32_t place = wheel->free, at;
	struct queue *q;

	if (!wheel->count)
		wheel->base = now >> WHEEL_SHIFT;
	if (number < wheel->base)
		number = wheel->base;
	if (place == NONE || number - wheel->base >= WHEEL_SLOTS)
		return NULL;
	wheel->free = wheel->next[place];
	wheel->next[place] = NONE;
	at = (uint32_t)number & MASK;
	q = &wheel->slot[at];
	if (wheel->map[at / 64] >> (at % 64) & 1)
		wheel->next[q->tail] = place;
	else
		q->head = place;
	q->tail = place;
	wheel->map[at / 64] |= 1ull << (at % 64);
	wheel->summary[at / 4096] |= 1ull << (at / 64 % 64);
	wheel->count++;
	return wheel->data + place * wheel->size;
}

// First slot at or after `at` in the ring that is not empty; there is one.
static uint32_t find(const struct wheel *wheel, uint32_t at)
{
	uint32_t word = at / 64;
	uint64_t bits = wheel->map[word] & ~0ull << (at % 64);

	if (bits)
		return word * 64 + (uint32_t)__builtin_ctzll(bits);
	for (uint32_t i = 0; i <= WORDS / 64; i++) {
		uint32_t from = (word + 1) % WORDS; // whole words from here on

		bits = wheel->summary[from / 64] & ~0ull << (from % 64);
		if (bits) {
			word = from / 64 * 64 + (uint32_t)__builtin_ctzll(bits);
			return word * 64 + (uint32_t)__builtin_ctzll(wheel->map[word]);
		}
		word = from / 64 * 64 + 63;
	}
	return at; // not reached
}

static const void *pop(struct wheel *wheel, uint32_t at)
{
	struct queue *q = &wheel->slot[at];
	uint32_t place = q->head;

	if (q->head == q->tail) {
		wheel->map[at / 64] &= ~(1ull << (at % 64));
		if (!wheel->map[at / 64])
			wheel->summary[at / 4096] &= ~(1ull << (at / 64 % 64));
	} else {
		q->head = wheel->next[place];
	}
	wheel->next[place] = wheel->free;
	wheel->free = place;
	wheel->count--;
	return wheel->data + place * wheel->size;
}

static const void *take(struct wheel *wheel, uint64_t upto)
{
	uint32_t from = (uint32_t)wheel->base & MASK, at;

	if (!wheel->count)
		return NULL;
	at = find(wheel, from);
	wheel->base += (at - from) & MASK;
	if (wheel->base > upto) {
		// Nothing before this slot; but what is put next may come before it.
		wheel->base = upto + 1;
		return NULL;
	}
	return pop(wheel, at);
}

const void *wheel_take(struct wheel *wheel, uint64_t now)
{
	if (!wheel->count || now >> WHEEL_SHIFT < wheel->base)
		return NULL;
	return take(wheel, now >> WHEEL_SHIFT);
}

const void *wheel_drain(struct wheel *wheel)
{
	return take(wheel, UINT64_MAX - 1);
}
