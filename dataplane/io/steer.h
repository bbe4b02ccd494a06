/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_STEER_H
#define IO_STEER_H

// The half of a port with AF_XDP sockets that takes privileges, and is the opener's: puts the
// steering program (bpf/) on a device, and makes maps and sockets. All that comes of it is
// descriptors and a number.

#include <stdbool.h>
#include <stdint.h>

#include "bpf/steer.h"
#include "dataplane/io/port.h"

struct steer_config {
	const char *device;
	bool whole; // everything on it is the data plane's
	uint32_t rx_chunks;
};

// A queue's memory: chunks for frames that come, then for frames that go.
#define STEER_CHUNK     4096u
#define STEER_TX_CHUNKS 2048u
uint32_t steer_rx_chunks(uint32_t descriptors); // 0 = as many as we think right; a power of two
static inline uint64_t steer_memory(uint32_t rx_chunks)
{
	return (uint64_t)(rx_chunks + STEER_TX_CHUNKS) * STEER_CHUNK;
}

enum steer_fd {
	STEER_CONTROL, // any socket of the device's namespace, for ioctls
	STEER_SOCKETS_MAP,
	STEER_TAGS_MAP,
	STEER_ADDRESSES_MAP,
	STEER_VERDICTS_MAP,
	STEER_PROMISCUOUS, // a packet socket that receives nothing; the device is so while it is there
	STEER_LINK,        // the program goes off the device with the last descriptor of it
	STEER_MEMORY,      // of all queues, one after the other: locked, and known to their sockets
	STEER_SOCKET,      // from here on one a queue: AF_XDP sockets with nothing else set
	STEER_FDS = STEER_SOCKET + STEER_QUEUES
};

// The number: PORT_TAGS_* of what the program sees, and these. Checksums may be left to the device;
// a frame may be several buffers of the driver, and chunks of a socket.
#define STEER_TAGS_MASK 0xffu
#define STEER_PARTIAL   (1u << 8)
#define STEER_SEGMENTS  (1u << 9)
// Bytes of a frame that the program passes on without that: a page, less the room in front and
// struct skb_shared_info. Drivers look at the MTU, some not at tags.
#define STEER_PAGE_FRAME 3520u

// Whether a device of the name, in this network namespace, has a driver with the program in its own
// receive path and the sockets' memory in its rings.
bool steer_suits(const char *device);

// 0, or -errno; `count` descriptors are there in either case. -EAFNOSUPPORT: no Ethernet device;
// -E2BIG: more queues than STEER_QUEUES; -ENOEXEC: the kernel does not take the program; -EBUSY:
// another one stands there; the driver's: -ERANGE: the MTU is too large; -ENOSPC: there are too few
// queues; -EOPNOTSUPP: it takes none.
int steer_open(
	const struct steer_config *config, int fd[STEER_FDS], unsigned *count, uint32_t *number);

#endif
