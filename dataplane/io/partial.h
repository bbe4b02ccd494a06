/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_PARTIAL_H
#define IO_PARTIAL_H

// TCP and UDP checksums that a sender on the same machine left to its device, finished. XDP is not
// told which these are; they are recognised by what stands in their place.

#include <stdint.h>

// `frame` of `length` bytes, with its tags.
void partial_finish(uint8_t *frame, uint32_t length);

#endif
