/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_STATS_FILE_H
#define WIRE_STATS_FILE_H

// The stats segment as its writer's mapping: created or taken up again. (Who only reads uses
// stats_reader.h.) Slots are given out here: the slot of an interface's, limiter's or account's
// counters is also its slot in the data plane's tables. Slot 0 is never given out: it counts for
// the data plane itself (packets whose interface is gone, balance of a restart).
//
// One thread (the data plane's main thread) calls everything that is not an accessor.

#include <stddef.h>
#include <stdint.h>

#include "dataplane/wire/stats.h"

struct stats_place; // stats_place.h

enum stats_kind { STATS_INTERFACE, STATS_LIMITER, STATS_ACCOUNT, STATS_KINDS };

struct stats_config {
	// One of the two, or none: anonymous memory, gone with the process (tests). A place is
	// taken over, also when an error is returned.
	struct stats_place *place;
	const char *path;
	uint32_t interfaces; // slots, slot 0 included; 0 = 4096
	uint32_t limiters;   // likewise
	uint32_t accounts;   // likewise; 0 = twice the interfaces
	uint32_t workers;    // 1..16: writers 0..workers-1 and STATS_HOST get memory
	uint64_t hz;         // ticks of the TSC per second, as calibrated
	uint64_t instance;   // random number of this start
};

struct stats_segment {
	struct stats_header *header;
	struct stats_entry *entry[STATS_KINDS];
	struct stats_limiter_word *word;
	uint8_t *writers; // base of the per-writer parts
	size_t writer_stride;
	size_t limiter_offset; // within a writer's part
	size_t account_offset;
	size_t sparse_offset;
	uint32_t slots[STATS_KINDS];
	int taken_up;    // 1 = counters of an earlier run go on
	int words_valid; // 1 = same boot and frequency: limiter_take_up(same)
	struct stats_private *private;
};

// Creates the file or takes it up. Slot counts of 0 take those of the file, if there is one. A file
// that is not a segment of this layout, or that is not ours alone, is renamed to PATH.unusable and
// *note says so; `note` also holds the sentence for the user on error. Errors: those of
// stats_place_open(), -ENOSPC not enough memory there, -EINVAL config out of range.
int stats_open(const struct stats_config *config, struct stats_segment **segment, char *note,
	size_t note_size);

// Bytes of memory that a segment of this config takes, in a file system that gives it in `unit`s.
uint64_t stats_bytes(const struct stats_config *config, uint64_t unit);

// A read-only descriptor for readers, borrowed; -1 = anonymous. And where the file is, for people.
int stats_descriptor(const struct stats_segment *segment);
const char *stats_path(const struct stats_segment *segment);

void stats_close(struct stats_segment *segment); // the file stays; NULL is fine

// The slot of `uid`: its old one if it ever had one (a deleted one that was not released lives
// again), else a new one with zeroed counters. Negative: -ENOSPC, -EINVAL (uid 0). Grace for the
// slot's last owner must be over.
int64_t stats_slot(struct stats_segment *segment, enum stats_kind kind, uint64_t uid);
uint32_t stats_generation(const struct stats_segment *segment, enum stats_kind kind, uint32_t slot);

// The object is gone (after grace): final values stay until released.
int stats_slot_delete(struct stats_segment *segment, enum stats_kind kind, uint64_t uid);

// The controller has booked the final values: they are added to slot 0 and the slot is free.
// -ENOENT unknown, -EBUSY live. A uid names one object: an interface, a limiter or an account.
int stats_slot_release(struct stats_segment *segment, uint64_t uid);

// After a complete replay of what has counters of this kind: entries live in the file that nobody
// asked for since stats_open() are marked deleted. Returns how many.
unsigned stats_sweep(struct stats_segment *segment, enum stats_kind kind);

// The slot of `uid`, without making one. Negative: -ENOENT.
int64_t stats_find(const struct stats_segment *segment, enum stats_kind kind, uint64_t uid);

// Sums over all writers. -EAGAIN while counts are being moved (retry), -EINVAL bad slot.
int stats_sum_interface(const struct stats_segment *segment, uint32_t slot,
	struct stats_interface *sum, struct stats_sparse *sparse);
int stats_sum_limiter(
	const struct stats_segment *segment, uint32_t slot, struct stats_limiter *sum);
int stats_sum_account(
	const struct stats_segment *segment, uint32_t slot, struct stats_account *sum);

// Accessors for hot paths: no checks.
static inline struct stats_interface *stats_interface(
	const struct stats_segment *s, unsigned writer, uint32_t slot)
{
	return (struct stats_interface *)(void *)(s->writers + writer * s->writer_stride) + slot;
}

static inline struct stats_limiter_part *stats_limiter_part(
	const struct stats_segment *s, unsigned writer, uint32_t slot)
{
	return (struct stats_limiter_part *)(void *)(s->writers + writer * s->writer_stride +
						     s->limiter_offset) +
	       slot;
}

static inline struct stats_account *stats_account(
	const struct stats_segment *s, unsigned writer, uint32_t slot)
{
	return (struct stats_account *)(void *)(s->writers + writer * s->writer_stride +
						s->account_offset) +
	       slot;
}

static inline struct stats_sparse *stats_sparse(
	const struct stats_segment *s, unsigned writer, uint32_t slot)
{
	return (struct stats_sparse *)(void *)(s->writers + writer * s->writer_stride +
					       s->sparse_offset) +
	       slot;
}

static inline struct stats_limiter_word *stats_limiter_word(
	const struct stats_segment *s, uint32_t slot)
{
	return s->word + slot;
}

#endif
