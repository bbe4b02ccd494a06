/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_RENDER_H
#define BRIDGE_RENDER_H

// BIRD configuration as text. Results are malloc'ed, NULL = no memory.

#include "control/bridge/speaker.h"

// What cannot be put into a configuration without breaking it, or makes no session. 0 or an error.
int render_check(const struct bridge_peering *peering, struct api_error *error);
char *render_peering(const struct peering *peering);
// The main file: tables and kernel protocols of every domain, and the includes (absolute paths) as given.
char *render_main(const struct speaker *speaker, const char *const *include, unsigned int includes);
// "d7v4": the name of a domain's table.
void render_table(char name[24], uint32_t domain, uint8_t family);
// The rule of the table that refuses the prefix, or NULL. The same table the import filter is made of.
const struct bridge_reject *render_rejecting(
	const struct bridge_peering *peering, const struct ip_prefix *prefix);

#endif
