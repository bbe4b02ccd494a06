/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BPF_STEER_H
#define BPF_STEER_H

// What the steering program and who loads it agree on. UAPI headers only.

#include <linux/types.h>

#define STEER_QUEUES 56 // receive queues of a device that can have a socket

// Map `tags`: whose frames with this outer tag are. Place 0 is untagged and priority-tagged ones.
#define STEER_TAGS      8192
#define STEER_88A8      4096 // added to the VID
#define STEER_LEAVE     0    // the kernel's
#define STEER_TAKE      1    // the data plane's
#define STEER_ADDRESSED 2    // the data plane's, if for one of the addresses in map `addresses`

// Map `addresses`. IPv4 stands in the first four bytes.
#define STEER_ADDRESSES 1024
struct steer_address {
	__u8 bytes[16];
	__u64 family; // 4 or 6; a whole word, or Linux 6.1 wants CAP_PERFMON for writing it twice
};

// Map `verdicts`, one place, of each processor: frames by what became of them.
enum steer_verdict {
	STEER_TAKEN,     // to the data plane's socket
	STEER_LEFT,      // to the kernel
	STEER_NO_SOCKET, // the data plane's, which has no socket for this queue: dropped
	STEER_NO_ROOM,   // the data plane's, but its tag could not be put back: dropped
	STEER_VERDICTS
};
struct steer_counts {
	__u64 frames[STEER_VERDICTS];
};

#endif
