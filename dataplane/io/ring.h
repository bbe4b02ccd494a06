/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_RING_H
#define IO_RING_H

// One slot of a packet socket's receive ring (TPACKET_V2 with PACKET_VNET_HDR) made a frame again,
// as it was on the wire. Reads the slot and writes the frame, and nothing else.

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

// What a slot needs beside the frame it is to hold.
#define RING_HEAD 96u

// The kernel takes the tag out from behind the MACs.
#define RING_MACS 12u
#define RING_TAG  4u

#define RING_LARGE  (-1) // cut by the kernel, or more than there is room for
#define RING_BROKEN (-2) // the slot says what cannot be
#define RING_SEGMENTS \
	(-3) // of `largest` bytes and more, as its sender left it to the device to cut up

struct ring_slot {
	const uint8_t *frame; // in the slot, `length` bytes
	uint32_t length;
	bool whole;
	uint32_t tag; // bytes to be put back: 0 or RING_TAG
	uint8_t put[RING_TAG];
	struct virtio_net_hdr about;
};

// `slot` of `size` bytes, of which `status` was read with acquire order. False: RING_BROKEN.
bool ring_read(const void *slot, uint32_t size, uint32_t status, struct ring_slot *r);

// The tag that belongs in front, from status word, TPID and TCI; returns its length.
uint32_t ring_tag(uint32_t status, uint16_t tpid, uint16_t tci, uint8_t put[RING_TAG]);

// `largest` bytes of frame are what the device's MTU lets pass. Returns the bytes written to
// `out`, at most `room`, or one of the above.
int ring_copy(const struct ring_slot *r, uint32_t largest, uint8_t *out, uint32_t room);

#endif
