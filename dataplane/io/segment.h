/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_SEGMENT_H
#define IO_SEGMENT_H

// A TCP packet larger than any wire's, whose sender left it to the device to cut it up (TSO), cut
// up. Reads the frame it was given and writes segments, and nothing else.

#include <stdbool.h>
#include <stdint.h>

struct virtio_net_hdr;

#define SEGMENT_LEAST 256u // bytes of payload: no packet becomes more than 256 of them

struct segments {
	const uint8_t *frame;
	uint32_t at, end;         // payload that has not been sent yet
	uint32_t l3, l4, payload; // offsets
	uint32_t mss;
	uint16_t count; // segments made
	bool ipv6;
};

static inline bool segments_left(const struct segments *s)
{
	return s->at < s->end;
}

// `frame` with all its tags, `tag` bytes of which `about` does not count; it stays where it is
// until the last segment was taken. False: it is not TCP over IP that can be cut, and there are
// none.
bool segments_start(struct segments *s, const uint8_t *frame, uint32_t length,
	const struct virtio_net_hdr *about, uint32_t tag);

// The next one: bytes written to `out`; 0 = it does not fit into `room`, and the rest is gone.
uint32_t segments_next(struct segments *s, uint8_t *out, uint32_t room);

#endif
