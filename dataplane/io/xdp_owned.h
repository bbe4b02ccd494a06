/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_XDP_OWNED_H
#define IO_XDP_OWNED_H

// What is a port's on a device that it shares with the kernel: kept here for whichever device comes
// next, and written to the maps of the steering program that stands on the one of now. Main thread.

#include <stdbool.h>
#include <stdint.h>

#include "bpf/steer.h"

struct xdp_owned {
	uint8_t outer_tpid; // PORT_TPID_*
	// interfaces by the place of their outer tag, core ones and others; of any ethertype
	uint32_t tags[2][STEER_88A8];
	struct {
		struct steer_address address;
		uint32_t users;
	} address[STEER_ADDRESSES];
	unsigned addresses;
};

// As of struct port_kind. `fd`: of the program by enum steer_fd; NULL = there is no device.
void xdp_own_tag(struct xdp_owned *owned, const int *fd, uint16_t vid, bool core, int change);
// -ENOSPC: there are too many, and what is sent to this one stays the kernel's.
int xdp_own_address(
	struct xdp_owned *owned, const int *fd, uint8_t family, const uint8_t *address, int change);

// All of it, to a program that has nothing yet.
void xdp_own_all(const struct xdp_owned *owned, const int *fd);

#endif
