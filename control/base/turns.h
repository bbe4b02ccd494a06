/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BASE_TURNS_H
#define BASE_TURNS_H

// How long others wait for the calling thread's loop, and for which callback: CPU time, so that neither sleep nor neighbors
// count. A loop with a dispatch interval looks at its sockets after each callback that took longer than that, so what counts
// is a callback, not a call of event_base_loop(), which goes on while anything is active. A callback that does not call this
// is charged to the one before it.

#include <stdint.h>

// A callback begins; NULL: the loop has nothing to do. What was before is over. The name is not copied.
void turns_note(const char *callback);
// Which part of it begins: a turn goes by the last that began in it. For callbacks that stop soon after a long part.
void turns_part(const char *name);

// The longest: since the thread started, and of late (the last ten seconds to twenty). 0 and NULL where there is no loop.
struct turn {
	uint64_t ns;
	const char *callback;
};
struct turns {
	struct turn longest, recent;
};
struct turns turns_longest(void);

#endif
