/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_LIMITER_WHEEL_H
#define TABLES_LIMITER_WHEEL_H

// A timing wheel: where a worker parks shaped packets until they may leave. One worker's own, a
// fixed number of places, no memory taken later. What is parked is up to the caller: it gets `size`
// bytes for each.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_SHIFT 22u    // a slot is 2^22 units: 6.3 us at 2.6 GHz
#define WHEEL_SLOTS 16384u // 103 ms at 2.6 GHz

struct wheel;

struct wheel *wheel_create(uint32_t places, size_t size); // NULL without memory
void wheel_destroy(struct wheel *wheel); // NULL is fine; take out what is in it first

uint32_t wheel_room(const struct wheel *wheel); // free places
uint32_t wheel_count(const struct wheel *wheel);

// A place that comes due at `departure` (units; at or before `now` = at once), or NULL: no place
// free, or further ahead than the wheel reaches. The caller fills it in before the next call.
void *wheel_put(struct wheel *wheel, uint64_t now, uint64_t departure);

// The next one that is due, oldest slot first, in order of wheel_put() within a slot; NULL: none
// is. Gives the place back: what it points to is good until the next wheel_put(). Comes up to one
// slot early and never late for who asks in time, so that a packet that may leave at once never
// overtakes one that is due.
const void *wheel_take(struct wheel *wheel, uint64_t now);

// Is there one that is due? As wheel_take(), without taking it.
bool wheel_due(struct wheel *wheel, uint64_t now);

// How long until the next one may be due, in units, at most a slot too short; 0 = something is due
// or nearly, UINT64_MAX = nothing is parked.
uint64_t wheel_wait(struct wheel *wheel, uint64_t now);

// Any one, due or not, for the end.
const void *wheel_drain(struct wheel *wheel);

#endif
