// SPDX-License-Identifier: BSD-3-Clause

// Builds frames byte by byte, as plainly as the RFCs draw them, so that a mistake in the data plane's cleverness is
// not repeated here.

#include "tests/lib/frame.h"

#include <assert.h>
#include <string.h>

static uint8_t *prepend(struct frame *f, unsigned bytes)
{
	assert((unsigned)(f->data - f->buffer) >= bytes);
	f->data -= bytes;
	f->length += bytes;
	memset(f->data, 0, bytes);
	return f->data;
}

static void put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v & 0xffff);
}

uint16_t frame_checksum(const uint8_t *data, unsigned bytes)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < bytes; i++)
		sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void frame_payload(struct frame *f, unsigned bytes)
{
	f->data = f->buffer + 256;
	f->length = bytes;
	for (unsigned i = 0; i < bytes; i++)
		f->data[i] = (uint8_t)i;
}

void frame_udp(struct frame *f, uint16_t source, uint16_t destination)
{
	unsigned length = f->length + 8;
	uint8_t *h = prepend(f, 8);
	put16(h, source);
	put16(h + 2, destination);
	put16(h + 4, length);
}

void frame_ipv4(struct frame *f, const struct ipv4 *v)
{
	unsigned header = 20 + v->option_bytes, length = f->length + header;
	uint8_t *h = prepend(f, header);
	h[0] = (uint8_t)(0x40 | header / 4);
	h[1] = v->tos;
	put16(h + 2, length);
	put16(h + 4, v->id);
	put16(h + 6, v->fragment);
	h[8] = v->ttl;
	h[9] = v->protocol;
	put32(h + 12, v->source);
	put32(h + 16, v->destination);
	memcpy(h + 20, v->options, v->option_bytes);
	put16(h + 10, frame_checksum(h, header));
}

void frame_ipv6(struct frame *f, const struct ipv6 *v)
{
	unsigned length = f->length;
	uint8_t *h = prepend(f, 40);
	put32(h, 6u << 28 | (uint32_t)v->class << 20);
	put16(h + 4, length);
	h[6] = v->protocol;
	h[7] = v->hop_limit;
	memcpy(h + 8, v->source, 16);
	memcpy(h + 24, v->destination, 16);
}

void frame_gre(struct frame *f, const struct gre *v)
{
	unsigned bytes = 4;
	bytes += v->flags & GRE_CHECKSUM ? 4 : 0;
	bytes += v->flags & GRE_KEY ? 4 : 0;
	bytes += v->flags & GRE_SEQUENCE ? 4 : 0;
	uint8_t *h = prepend(f, bytes), *at = h + 4;
	put16(h, v->flags);
	put16(h + 2, v->protocol);
	at += v->flags & GRE_CHECKSUM ? 4 : 0;
	if (v->flags & GRE_KEY) {
		put32(at, v->key);
		at += 4;
	}
	if (v->flags & GRE_SEQUENCE)
		put32(at, v->sequence);
	if (v->flags & GRE_CHECKSUM)
		put16(h + 4, frame_checksum(h, f->length));
}

void frame_type(struct frame *f, uint16_t ethertype)
{
	put16(prepend(f, 2), ethertype);
}

void frame_tag(struct frame *f, uint16_t tci, uint16_t tpid)
{
	uint8_t *h = prepend(f, 4);
	put16(h, tpid);
	put16(h + 2, tci);
}

void frame_macs(struct frame *f, const uint8_t destination[6], const uint8_t source[6])
{
	uint8_t *h = prepend(f, 12);
	memcpy(h, destination, 6);
	memcpy(h + 6, source, 6);
}

void frame_pad(struct frame *f, unsigned length)
{
	while (f->length < length)
		f->data[f->length++] = 0;
}

void frame_bytes(struct frame *f, const void *data, unsigned length)
{
	f->data = f->buffer + 256;
	f->length = length;
	memcpy(f->data, data, length);
}
