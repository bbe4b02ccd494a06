/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BASE_TURNS_H
#define BASE_TURNS_H

// How long the turns of the calling thread's loop take: CPU time, so that neither sleep nor neighbors count.

#include <stdint.h>

void turns_note(void); // a turn is over

// The longest: since the thread started, and of late (the last ten seconds to twenty). 0 where there is no loop.
struct turns {
	uint64_t longest_ns, recent_ns;
};
struct turns turns_longest(void);

#endif
