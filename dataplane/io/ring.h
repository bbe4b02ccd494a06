/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_RING_H
#define IO_RING_H

// One slot of a packet socket's receive ring (TPACKET_V2 with PACKET_VNET_HDR) made a frame again,
// as it was on the wire. Reads the slot and writes the frame, and nothing else.

#include <stdint.h>

// What a slot needs beside the frame it is to hold.
#define RING_HEAD 96u

#define RING_LARGE  (-1) // more than slot or buffer hold, or segments of more than `largest` bytes
#define RING_BROKEN (-2) // the slot says what cannot be

// `slot` of `size` bytes, of which `status` was read with acquire order; `largest` bytes of frame
// are what the device's MTU lets pass. Returns the bytes written to `out`, at most `room`, or one
// of the above.
int ring_frame(const void *slot, uint32_t size, uint32_t status, uint32_t largest, uint8_t *out,
	uint32_t room);

#endif
