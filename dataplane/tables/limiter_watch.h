/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_LIMITER_WATCH_H
#define TABLES_LIMITER_WATCH_H

// What an operator asks of a limiter: the fullest millisecond of the last minute, and the last run
// of drops. Read from the workers' parts by the main thread; nothing of it costs a worker more than
// the store it does anyway.

#include "dataplane/tables/limiter.h"

// One for each limiter, zeroed when the slot gets a new owner.
struct limiter_watch {
	uint64_t limited_packets, limited_bytes; // sums at the last look
	uint64_t run_packets, run_bytes;         // sums when the run began
	uint64_t first, last;                    // units: of the run's drops
	uint32_t peak[60];                       // bytes of the fullest window, by second
	uint64_t second;                         // of the last look
	bool primed;                             // sums are known
	bool running;
};

// Looks at one limiter; call for each at least once a second. part[i]: of writer i. now in units,
// realtime in ns. Writes word->peak_bytes (scaled to exactly 1 ms) and word->episode_*. Returns 1
// when a run of drops has ended (a second without any) and *episode says which; `uid` is copied
// into it.
int limiter_look(struct limiter_watch *watch, struct stats_limiter_word *word,
	struct stats_limiter_part *const *part, unsigned writers, uint64_t now, uint64_t realtime,
	uint64_t uid, struct wire_episode *episode);

#endif
