/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_REPAIR_H
#define BRIDGE_REPAIR_H

// What we put into this host is compared and put back.

#include <stdbool.h>
#include <stdint.h>

struct bridge;
struct host_interface;
struct space;

int repair_start(struct bridge *bridge);
void repair_stop(struct bridge *bridge);
void repair_soon(struct bridge *bridge);       // something waits: with the next turn of the loop
void repair_round(struct bridge *bridge);      // once a second: all namespaces, some of the devices
void repair_forget_space(struct space *space); // it is about to be freed

// What a device needs soon. Done in this order.
enum {
	REPAIR_CARRIER = 1,   // it is to be set as wanted
	REPAIR_DEVICE = 2,    // not as declared, or it may not be
	REPAIR_NEIGHBORS = 4, // one of them may be another entry than ours
	REPAIR_RENEW = 8,     // its neighbors are to be resolved anew
	REPAIR_SAY = 16,      // its addresses are to be announced
};
void repair_interface(struct host_interface *interface, unsigned int what);
void repair_forget_interface(struct host_interface *interface);

// Something was put right: one line, one more in the drift counter.
void repair_done(struct space *space, const char *what, const char *object, const char *how);

#endif
