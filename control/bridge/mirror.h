/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_MIRROR_H
#define BRIDGE_MIRROR_H

// The copy of a namespace's routes, and the watch over its links, addresses and neighbors.

#include "control/bridge/state.h"

int mirror_create(struct space *space); // fills space->mirror, starts the first dump
void mirror_destroy(struct space *space);
// Asks for a full dump soon; requests made while one runs are served by one more after it.
void mirror_resync(struct space *space);
// A dump that only compares; differences that a second one confirms are counted as drift and repaired.
void mirror_check(struct space *space);
// Once a second: routing daemons whose routes were taken are asked to put them in again.
void mirror_ask_again(struct space *space);
// Routes over that device are reported as gone (down), or anew with another interface id (rereport).
void mirror_link_down(struct space *space, struct host_link *link);
void mirror_link_named(struct space *space, struct host_link *link);
// The domain is about to be freed, its routes with it.
void mirror_forget(struct host_domain *domain);
struct host_link *mirror_link(
	struct space *space, uint32_t ifindex); // finds or adds; NULL = no memory

#endif
