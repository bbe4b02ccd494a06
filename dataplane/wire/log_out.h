/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef COMMON_LOG_OUT_H
#define COMMON_LOG_OUT_H

// The one way to standard error of both processes. Nothing here waits: a line that cannot be
// written at once is lost and counted, and the next one that can be says how many were. From any
// thread.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One line, without a newline: what is put in front of it is the time, unless the journal is there
// to do that. `thin`: a warning or an error; the same text again and again is written less and less
// often.
void log_out(const char *line, size_t length, bool thin);

// A sentence for whoever starts the process: neither time nor thinning.
void log_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t log_out_lost(void); // lines, since the start

#endif
