/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TEST_STORE_FAILING_H
#define TEST_STORE_FAILING_H

// The calls by which a process changes files, in the place of libc's, for SQLite too. They are counted while `armed`, and
// the one numbered `last` ends the process, half of it done, or it and all that follow fail.

#include <stdbool.h>

#define KILLED 9 // how it ends

extern bool armed;
extern unsigned int calls, last;
extern int fails_with;  // errno; 0 = the process ends
extern bool loses_late; // .. and what was not synchronised is lost with it, as when the machine stops
extern bool failed;     // a call did

void lose_late(void);

#endif
