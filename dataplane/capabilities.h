/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_CAPABILITIES_H
#define DATAPLANE_CAPABILITIES_H

#include <stdint.h>

// Gives up, in every thread of the process and for good (whatever it may execute included), all
// capabilities but those of `keep` (bits as in linux/capability.h), and writes those that are left
// as text. -errno when a thread did not follow.
int capabilities_keep(uint64_t keep, char *left, unsigned size);

#endif
