/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_STATS_PRIVATE_H
#define WIRE_STATS_PRIVATE_H

// What the two halves of the stats segment share: stats_file.c (the file) and stats_slots.c (its
// contents).

#include "dataplane/wire/stats_file.h"
#include "dataplane/wire/stats_place.h"

#define STATS_VERSION 2

// Process-local index of one directory: uid -> slot by chains, free slots as a stack.
struct stats_index {
	uint32_t *bucket; // first slot of the chain + 1, 0 = empty
	uint32_t *next;   // by slot, likewise
	uint32_t *free;
	uint32_t free_count;
	uint32_t mask;
	uint8_t *claimed; // by slot: asked for since stats_open
};

struct stats_private {
	struct stats_place *place; // NULL = anonymous
	int fd;                    // the place's; -1 = anonymous
	void *base;
	size_t size;
	struct stats_index index[STATS_KINDS];
};

// Where everything lies, from the slot counts and the unit in which the file system gives memory.
void stats_lay_out(struct stats_header *h, const uint32_t slots[STATS_KINDS], uint64_t unit);

// Is this a header of ours for a file of this size? The layout is recomputed, so that no offset is
// believed.
int stats_header_fits(const struct stats_header *h, uint64_t size, uint64_t unit);

// Sets the pointers of `s` from the header.
void stats_point(struct stats_segment *s);

// Nonzero when `writer` has memory with a data plane of `workers` workers.
int stats_has_writer(uint32_t workers, unsigned writer);

// -EBADMSG when the directories contradict themselves.
int stats_index_build(struct stats_segment *s);
void stats_index_free(struct stats_segment *s);

// Moves up to eight counts to another place so that a kill at any instruction loses and doubles
// nothing.
void stats_move_line(struct stats_segment *s, uint64_t *from, uint64_t *to, unsigned words);
int stats_move_redo(struct stats_segment *s); // -EBADMSG when the log is nonsense

// Counts of `writer` go to the fold.
void stats_fold_writer(struct stats_segment *s, unsigned writer);

// Books what was in flight when the last run died. Writers as the header still says.
void stats_balance(struct stats_segment *s);

#endif
