/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BIRD_RENDER_H
#define BIRD_RENDER_H

// BIRD configuration as text. Texts are malloc'ed, NULL = no memory.

#include <stdio.h>

#include "control/speakers/state.h"

// What cannot be put into a configuration without breaking it, or makes no session. 0 or an error.
int render_accepts(const struct speaker_session *session, struct api_error *error);
char *render_session(const struct served_session *session);
char *render_domain(const struct served_domain *domain); // tables, kernel protocols, announcements
// The main file: what is said once, the includes (statements) and joins. `log` is NULL for a text that is only checked: the
// parser opens the log it finds.
char *render_main(
	const struct speaker *speaker, const char *log, const char *domains, const char *sessions);
void render_table(char name[24], uint32_t domain, uint8_t family);                 // "d7v4"
void render_group(char name[40], uint32_t domain, uint32_t group, uint8_t family); // "a7g9v4"

// filter.c: a policy as an expression for `where`, true for a route of this family that may pass, whose changes are made
// on the way. It needs the functions, which the main file says once.
void filter_render(FILE *out, const struct policy *policy, uint8_t family);
void filter_functions(FILE *out);

#endif
