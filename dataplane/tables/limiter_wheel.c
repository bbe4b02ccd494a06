// SPDX-License-Identifier: BSD-3-Clause
// Timing wheel (Varghese and Lauck 1987, one level; after Carousel, SIGCOMM 2017, whose shaper it
// serves). A slot is a queue of places, linked by index; a bit map with a summary finds the next
// one that is not empty. All of it is reached without a pointer chase while nothing is parked:
// wheel_take() then reads one word.
//
// Times are units that wrap (at 2^56 ticks of the TSC: 320 days at 2.6 GHz), and the numbers of
// slots wrap with them, at 2^42. So no number of a slot is ever compared with another one but by
// their difference.

#include "dataplane/tables/limiter_wheel.h"

#include <stdlib.h>

#define NONE  UINT32_MAX
#define WORDS (WHEEL_SLOTS / 64)
#define MASK  (WHEEL_SLOTS - 1)
#define BACK  64 // slots, 0.4 ms: cores may differ by less

struct queue {
	uint32_t head, tail;
};

struct wheel {
	uint32_t count;
	uint32_t free; // list of places
	uint64_t base; // number of the oldest slot that may hold something, modulo 2^42
	uint32_t places;
	size_t size;
	uint64_t summary[WORDS / 64]; // bit: word of `map` is not 0
	uint64_t map[WORDS];          // bit: slot is not empty
	struct queue slot[WHEEL_SLOTS];
	uint32_t *next;
	uint8_t *data;
};

static uint64_t number_of(uint64_t units)
{
	return units >> WHEEL_SHIFT;
}

// How many slots a lies behind b; less than 0: before it. Both modulo 2^42.
static int64_t slots_between(uint64_t a, uint64_t b)
{
	return (int64_t)((a - b) << WHEEL_SHIFT) >> WHEEL_SHIFT;
}

struct wheel *wheel_create(uint32_t places, size_t size)
{
	struct wheel *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->size = (size + 15) & ~(size_t)15;
	w->places = places;
	w->next = calloc(places ? places : 1, sizeof(*w->next));
	w->data = calloc(places ? places : 1, w->size);
	if (w->next == NULL || w->data == NULL) {
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
	if (wheel == NULL)
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
	uint64_t number = number_of((int64_t)(departure - now) > 0 ? departure : now);
	uint32_t place = wheel->free, at;
	struct queue *q;

	if (wheel->count == 0)
		wheel->base = number_of(now);
	if (slots_between(number, wheel->base) < 0)
		number = wheel->base;
	if (place == NONE || slots_between(number, wheel->base) >= WHEEL_SLOTS)
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
		if (wheel->map[at / 64] == 0)
			wheel->summary[at / 4096] &= ~(1ull << (at / 64 % 64));
	} else {
		q->head = wheel->next[place];
	}
	wheel->next[place] = wheel->free;
	wheel->free = place;
	wheel->count--;
	return wheel->data + place * wheel->size;
}

// The oldest slot that holds something; there is one.
static uint32_t oldest(struct wheel *wheel)
{
	uint32_t from = (uint32_t)wheel->base & MASK, at = find(wheel, from);

	wheel->base += (at - from) & MASK;
	return at;
}

// The base is a time that was now. One that lies far ahead of it is from before the clock went
// back: its packets would wait until the clock is there again.
static bool went_back(const struct wheel *wheel, uint64_t now)
{
	return slots_between(wheel->base, number_of(now)) > BACK;
}

bool wheel_due(struct wheel *wheel, uint64_t now)
{
	if (wheel->count == 0)
		return false;
	if (went_back(wheel, now)) {
		oldest(wheel);
		return true;
	}
	if (slots_between(number_of(now), wheel->base) < 0)
		return false;
	oldest(wheel);
	if (slots_between(number_of(now), wheel->base) >= 0)
		return true;
	// Nothing before that slot; but what is put next may come before it, down to now.
	wheel->base = number_of(now);
	return false;
}

const void *wheel_take(struct wheel *wheel, uint64_t now)
{
	return wheel_due(wheel, now) ? pop(wheel, (uint32_t)wheel->base & MASK) : NULL;
}

uint64_t wheel_wait(struct wheel *wheel, uint64_t now)
{
	uint32_t from = (uint32_t)wheel->base & MASK;
	int64_t slots;

	if (wheel->count == 0)
		return UINT64_MAX;
	if (went_back(wheel, now))
		return 0;
	slots = slots_between(wheel->base + ((find(wheel, from) - from) & MASK), number_of(now));
	return slots > 0 ? (uint64_t)slots << WHEEL_SHIFT : 0;
}

const void *wheel_drain(struct wheel *wheel)
{
	return wheel->count ? pop(wheel, oldest(wheel)) : NULL;
}
