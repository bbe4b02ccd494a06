/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LOSSES_H
#define LOSSES_H

#include "control/api/error.h"

struct json_t;
struct model;

// Refuses what takes away something that carries established BGP sessions, whose names are the keys of `sessions`
// ("CIRCUIT/TYPE/ROLE"): a circuit, a link, a peering, a connection, this edge's tunnel of a vNet, or its route to the
// tunnel's far end. hint: what else to do.
void losses_ask(const struct model *old, const struct model *new, const char *edge,
	const struct json_t *sessions, const char *hint, struct api_error *error);

#endif
