/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BIRD_BIRDC_H
#define BIRD_BIRDC_H

// A client of BIRD's control socket: commands in order, answers line by line, nothing ever waited for.

#include <stdbool.h>

struct birdc;
struct event_base;

// The connection is ready for commands (true), or was lost or could not be made (false).
typedef void (*birdc_state)(void *ctx, bool up);
// A line of the answer: its code (continuations carry the code before them) and text.
typedef void (*birdc_line)(void *ctx, unsigned int code, const char *text);
// The end of the answer. error 0: code and text are those of the last line; else -errno and code 0.
typedef void (*birdc_done)(void *ctx, int error, unsigned int code, const char *text);

struct birdc *birdc_create(struct event_base *base, const char *path, birdc_state state, void *ctx);
// Every command still waiting is answered with -ECANCELED.
void birdc_destroy(struct birdc *birdc);
void birdc_connect(struct birdc *birdc); // harmless when connected or connecting
bool birdc_open(const struct birdc *birdc); // somebody listens there
bool birdc_ready(const struct birdc *birdc);
// It has been asked something, and has said nothing since this was called last: not a matter of clocks, since we may be the
// one who stood still.
bool birdc_silent(struct birdc *birdc);
// Gives the connection up, if there is one: as when the daemon had closed it.
void birdc_drop(struct birdc *birdc);
int birdc_pid(const struct birdc *birdc); // of the daemon, 0 = not known
// 0, or -ENOTCONN and done is not called.
int birdc_command(
	struct birdc *birdc, const char *command, birdc_line line, birdc_done done, void *ctx);

#endif
