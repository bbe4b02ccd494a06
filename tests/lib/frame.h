/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_FRAME_H
#define LIB_FRAME_H

// Frames for packet tests, built from the inside out: start with the payload, then put one header after the other in
// front. Lengths and checksums are filled in from what is there. Shares no code with the data plane.

#include <stdbool.h>
#include <stdint.h>

#define FRAME_ROOM 10240u

struct frame {
	uint8_t *data; // into buffer
	unsigned length;
	uint8_t buffer[FRAME_ROOM];
};

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

// What an IPv4 header says beside the addresses; 0 is a sensible value for each but ttl.
struct ipv4 {
	uint32_t source; // host order
	uint32_t destination;
	uint8_t protocol;
	uint8_t ttl;
	uint8_t tos;
	uint16_t id;
	uint16_t fragment; // flags and offset as they stand in the header
	uint8_t options[40];
	uint8_t option_bytes; // multiple of 4
};

struct ipv6 {
	uint8_t source[16];
	uint8_t destination[16];
	uint8_t protocol;
	uint8_t hop_limit;
	uint8_t class;
};

struct gre {
	uint16_t flags; // with GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE the fields are put in
	uint32_t key;
	uint32_t sequence;
	uint16_t protocol;
};

#define GRE_CHECKSUM 0x8000
#define GRE_KEY      0x2000
#define GRE_SEQUENCE 0x1000

void frame_payload(struct frame *f, unsigned bytes); // 0, 1, 2, ...
void frame_udp(struct frame *f, uint16_t source, uint16_t destination);
void frame_ipv4(struct frame *f, const struct ipv4 *h);
void frame_ipv6(struct frame *f, const struct ipv6 *h);
void frame_gre(struct frame *f, const struct gre *h);
void frame_type(struct frame *f, uint16_t ethertype);
void frame_tag(struct frame *f, uint16_t tci, uint16_t tpid); // after frame_type()
void frame_macs(struct frame *f, const uint8_t destination[6], const uint8_t source[6]);
void frame_pad(struct frame *f, unsigned length); // behind, to at least this length
void frame_bytes(struct frame *f, const void *data, unsigned length); // the whole frame

uint16_t frame_checksum(const uint8_t *data, unsigned bytes); // RFC 1071

#endif
