/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BASE_TURNS_H
#define BASE_TURNS_H

// How long others wait for the calling thread's loop: CPU time, so that neither sleep nor neighbors count. A loop with a
// dispatch interval looks at its sockets after each callback that took longer than that, so what counts is a callback, not
// a call of event_base_loop(), which goes on while anything is active. A callback that does not call this is
// charged to the one before it.

#include <stdint.h>

void turns_note(void); // a callback begins, or the loop has nothing to do: what was before is over

// The longest: since the thread started, and of late (the last ten seconds to twenty). 0 where there is no loop.
struct turns {
	uint64_t longest_ns, recent_ns;
};
struct turns turns_longest(void);

#endif
