/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_GUARD_H
#define BRIDGE_GUARD_H

// Whose the namespaces are, as their marks say (mark.h).

#include "control/api/error.h"
#include "control/bridge/mark.h"

struct bridge;
struct space;

// The namespace has just been opened, or made. Refuses one that another store or edge has marked. A mark of ours is kept
// for the next tick to write: with no domain declared yet it would say that none is there.
int guard_space(struct space *space, bool made, struct api_error *error);
void guard_write(struct space *space); // its mark, now
// Writes marks that changed; puts back those that went. True: one was put back.
bool guard_check(struct space *space);
// Whether a mark is ours, and its namespace still the one it was written for. gone: there is no such namespace.
bool guard_has_prefix(const struct bridge *bridge, const char *name);
bool guard_is_ours(const struct bridge *bridge, const struct mark *mark);
bool guard_is_current(const char *name, const struct mark *mark);

#endif
