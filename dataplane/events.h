/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_EVENTS_H
#define DATAPLANE_EVENTS_H

// What the data plane tells the controller unasked: ports, neighbors it needs, host queues that are
// lost, runs of limiter drops. Main thread.

#include "dataplane/dataplane.h"

struct events;
struct host;
struct wire_link;

int events_create(struct dataplane *dp, struct host *host, struct events **events); // host NULL: none
void events_destroy(struct events *events); // NULL is fine

// A controller said HELLO (all ports are sent at once) or is gone (NULL).
void events_set_link(struct events *events, struct wire_link *link);

// Sends what is due. `now`: CLOCK_MONOTONIC ns. Nonzero: the link is broken.
int events_send(struct events *events, uint64_t now);
unsigned events_owed(const struct events *events); // != 0: call it again in the next turn

// The state of this port changed.
void events_port(struct events *events, uint32_t port);

#endif
