/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FRR_RENDER_H
#define FRR_RENDER_H

// FRR's bgpd configuration (8.4 and 10.3 read the same text). Only the text: nothing starts or asks an FRR yet.

#include <stdio.h>

#include "control/speakers/state.h"

// What FRR's configuration cannot say of a session that the other kinds take. 0 or an error.
int frr_accepts(const struct speaker_session *session, struct api_error *error);
// The whole file of an instance, malloc'ed, NULL = no memory.
char *frr_render(const struct speaker *speaker);

// policy.c: a route-map of this name and the lists it needs, for one family.
void frr_route_map(FILE *out, const char *name, const struct policy *policy, uint8_t family);

#endif
