/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_CONTROL_H
#define DATAPLANE_CONTROL_H

// The controller's messages applied to the tables, and what the data plane tells the controller.
// Main thread; nothing here blocks, so packet tests drive it with a socket pair.

#include <poll.h>

#include "dataplane/dataplane.h"

struct control;
struct host;
struct wire_link;
struct wire_listener;

struct control_config {
	struct dataplane *dp;
	struct host *host;              // NULL: HOST_SET is refused
	struct wire_listener *listener; // borrowed; NULL: control_adopt() only
	uint64_t instance;
};

int control_create(const struct control_config *config, struct control **control);
void control_destroy(struct control *control); // NULL is fine

// Takes over a link as if its controller had been accepted; replaces the present one.
void control_adopt(struct control *control, struct wire_link *link);

// What to poll: fills up to 2 entries (listener, link), returns how many.
unsigned control_poll_fds(const struct control *control, struct pollfd *fds);

// Records applied in one turn at most; 256 of the dearest take about a millisecond.
#define CONTROL_SLICE 256u

// Reads and applies what is there (bounded), acknowledges what grace has passed for. Returns work
// done; 0 = idle.
unsigned control_turn(struct control *control);

// An ACK waits for grace: call control_turn() again soon.
int control_waiting(const struct control *control);

// Events, and once a second a look whether the listener's socket is still there. `now` is
// CLOCK_MONOTONIC in ns; call it every 10 ms or so, it keeps its own pace.
unsigned control_events(
	struct control *control, uint64_t now); // != 0: there is more to do, in the next turn
void control_port_changed(struct control *control, uint32_t port);

#endif
