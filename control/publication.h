/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PUBLICATION_H
#define PUBLICATION_H

// What the main thread hands to the route thread after each commit: one consistent state of everything that
// is configured. Immutable and reference-counted, so no thread ever waits for another to read it.

#include <stdint.h>

struct model; // control/model/model.h
struct ids;   // control/store/store.h

struct publication {
	unsigned int references; // atomic
	struct model *model;
	struct ids *ids;
	uint8_t store[16]; // uuid of the store
	uint64_t revision; // of `model`
};

struct publication *publication_ref(struct publication *publication);
void publication_unref(struct publication *publication); // NULL is fine

#endif
