/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_PRESENCE_H
#define BRIDGE_PRESENCE_H

// Telling the wire where our addresses are.

struct host_interface;

int presence_open(void); // a socket for it, in the calling thread's namespace; -errno
void presence_say(const struct host_interface *interface); // all its addresses

#endif
