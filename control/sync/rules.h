/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_RULES_H
#define SYNC_RULES_H

// What a customer may not announce. One table for the speaker's import filter, for the names of rejected
// routes, and for our own second look.

#include "control/sync/desired.h"

struct rules;

// An index of the model, borrowed from it.
struct rules *rules_create(const struct model *model);
void rules_free(struct rules *rules);

// Fills in the rules of a peering's domain: his vNets' prefixes and tunnel ends, his peering subnets, and the
// outer addresses of all edges, with everything inside them.
void rules_apply(const struct rules *rules, struct desired *desired, struct desired_domain *domain);

#endif
