// SPDX-License-Identifier: BSD-3-Clause
// Frames out of a packet socket's ring: what the kernel took off is put back, and a slot that says
// what cannot be costs a frame and nothing else.

#include "dataplane/io/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <linux/if_packet.h>

#define SLOT    2048u
#define MAC     76u // where the kernel of today puts the frame
#define ROOM    1600u
#define LARGEST 1522u
#define CANARY  0xa5

struct slot {
	union {
		struct tpacket2_hdr h;
		uint8_t bytes[SLOT];
	};
	uint8_t out[ROOM + 64];
};

static struct virtio_net_hdr *about(struct slot *s)
{
	return (struct virtio_net_hdr *)(void *)(s->bytes + MAC - sizeof(struct virtio_net_hdr));
}

// A frame of `length` bytes, each another.
static void fill(struct slot *s, uint32_t length)
{
	memset(s, 0, sizeof(*s));
	memset(s->out, CANARY, sizeof(s->out));
	s->h.tp_mac = MAC;
	s->h.tp_len = s->h.tp_snaplen = length;
	for (uint32_t i = 0; i < length; i++)
		s->bytes[MAC + i] = (uint8_t)(i * 3 + 1);
}

static int ring_frame(const void *slot, uint32_t size, uint32_t status, uint32_t largest,
	uint8_t *out, uint32_t room)
{
	struct ring_slot r;

	return ring_read(slot, size, status, &r) ? ring_copy(&r, largest, out, room) : RING_BROKEN;
}

static int read_slot(struct slot *s, uint32_t status)
{
	return ring_frame(s->bytes, SLOT, TP_STATUS_USER | status, LARGEST, s->out, ROOM);
}

static void test_plain(void **state)
{
	static const uint32_t lengths[] = {0, 1, 13, 14, 60, 1514, ROOM};
	struct slot s;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		fill(&s, lengths[i]);
		s.h.tp_vlan_tci = 100; // means nothing without its bit
		s.h.tp_vlan_tpid = 0x8100;
		assert_int_equal(read_slot(&s, 0), lengths[i]);
		assert_memory_equal(s.out, s.bytes + MAC, lengths[i]);
		assert_int_equal(s.out[lengths[i]], CANARY);
	}
}

static void expect_tag(uint32_t status, uint16_t tpid, uint16_t tci, const char *tag)
{
	struct slot s;

	fill(&s, 60);
	s.h.tp_vlan_tpid = tpid;
	s.h.tp_vlan_tci = tci;
	assert_int_equal(read_slot(&s, status), 64);
	assert_memory_equal(s.out, s.bytes + MAC, 12);
	assert_memory_equal(s.out + 12, tag, 4);
	assert_memory_equal(s.out + 16, s.bytes + MAC + 12, 48);
	assert_int_equal(s.out[64], CANARY);
}

static void test_tag(void **state)
{
	const uint32_t both = TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID;

	expect_tag(both, 0x8100, 100, "\x81\x00\x00\x64");
	expect_tag(both, 0x88a8, 0xe064, "\x88\xa8\xe0\x64");
	expect_tag(both, 0x8100, 0, "\x81\x00\x00\x00");
	expect_tag(TP_STATUS_VLAN_VALID, 0x88a8, 100, "\x81\x00\x00\x64"); // TPID not said
}

static void test_tag_on_a_stump(void **state)
{
	struct slot s;

	fill(&s, 11); // without both its MACs it has no place for one
	s.h.tp_vlan_tci = 100;
	assert_int_equal(read_slot(&s, TP_STATUS_VLAN_VALID), 11);
	fill(&s, 12);
	assert_int_equal(read_slot(&s, TP_STATUS_VLAN_VALID), 16);
}

static void test_too_large(void **state)
{
	struct slot s;

	fill(&s, ROOM);
	assert_int_equal(read_slot(&s, TP_STATUS_VLAN_VALID), RING_LARGE);
	fill(&s, ROOM - 4);
	assert_int_equal(read_slot(&s, TP_STATUS_VLAN_VALID), ROOM);
	fill(&s, ROOM + 1);
	assert_int_equal(read_slot(&s, 0), RING_LARGE);
	fill(&s, 1000);
	s.h.tp_len = 1001; // cut
	assert_int_equal(read_slot(&s, 0), RING_LARGE);
	for (uint32_t length = LARGEST; length <= LARGEST + 1; length++) {
		fill(&s, length);
		about(&s)->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		assert_int_equal(
			read_slot(&s, 0), length == LARGEST ? (int)LARGEST : RING_SEGMENTS);
	}
	assert_int_equal(s.out[0], CANARY);
}

static void test_bounds(void **state)
{
	const struct {
		uint32_t mac, captured;
		int comes;
	} cases[] = {
		{0, 60, RING_BROKEN},
		{sizeof(struct tpacket2_hdr) + sizeof(struct virtio_net_hdr) - 1, 60, RING_BROKEN},
		{sizeof(struct tpacket2_hdr) + sizeof(struct virtio_net_hdr), 60, 60},
		{SLOT, 0, 0},
		{SLOT, 1, RING_BROKEN},
		{SLOT + 1, 0, RING_BROKEN},
		{SLOT - 60, 60, 60},
		{SLOT - 60, 61, RING_BROKEN},
		{UINT16_MAX, UINT32_MAX, RING_BROKEN},
		{MAC, UINT32_MAX, RING_BROKEN},
		{MAC, SLOT, RING_BROKEN},
	};
	struct slot s;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fill(&s, 0);
		s.h.tp_mac = (uint16_t)cases[i].mac;
		s.h.tp_len = s.h.tp_snaplen = cases[i].captured;
		assert_int_equal(read_slot(&s, 0), cases[i].comes);
	}
	for (uint32_t size = 0; size < sizeof(struct tpacket2_hdr); size++)
		assert_int_equal(ring_frame(s.bytes, size, TP_STATUS_USER, LARGEST, s.out, ROOM),
			RING_BROKEN);
}

static uint16_t sum_of(const uint8_t *data, uint32_t length)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void test_checksum(void **state)
{
	for (uint32_t length = 60; length < 64; length++) {
		for (uint32_t tag = 0; tag <= 4; tag += 4) {
			struct slot s;

			fill(&s, length);
			about(&s)->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
			about(&s)->csum_start = 34;
			about(&s)->csum_offset = 6;
			assert_int_equal(
				read_slot(&s, tag ? TP_STATUS_VLAN_VALID : 0), length + tag);
			// what was in the field counted too, as the pseudo header's sum
			uint16_t was = (uint16_t)(s.bytes[MAC + 40] << 8 | s.bytes[MAC + 41]);
			uint32_t now = sum_of(s.out + tag + 34, length - 34) + was;
			assert_int_equal((now & 0xffff) + (now >> 16), 0xffff);
			assert_memory_equal(s.out + tag + 12, s.bytes + MAC + 12, 28);
		}
	}
}

static void test_checksum_of_nothing(void **state)
{
	struct slot s;

	fill(&s, 60);
	memset(s.bytes + MAC + 34, 0, 26);
	s.bytes[MAC + 40] = s.bytes[MAC + 41] = 0xff;
	about(&s)->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	about(&s)->csum_start = 34;
	about(&s)->csum_offset = 6;
	assert_int_equal(read_slot(&s, 0), 60);
	assert_int_equal(s.out[40] << 8 | s.out[41], 0xffff); // never 0, which says "none"
}

static void test_checksum_elsewhere(void **state)
{
	const struct {
		uint16_t start, offset;
		int comes;
	} cases[] = {
		{0, 6, RING_BROKEN},
		{13, 6, RING_BROKEN},
		{14, 6, 60},
		{34, 24, 60},
		{34, 25, RING_BROKEN},
		{58, 0, 60},
		{59, 0, RING_BROKEN},
		{60, 0, RING_BROKEN},
		{UINT16_MAX, UINT16_MAX, RING_BROKEN},
		{34, UINT16_MAX, RING_BROKEN},
		{UINT16_MAX, 0, RING_BROKEN},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int tag = 0; tag <= 4; tag += 4) {
			struct slot s;
			int comes = cases[i].comes;

			fill(&s, 60);
			about(&s)->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
			about(&s)->csum_start = cases[i].start;
			about(&s)->csum_offset = cases[i].offset;
			assert_int_equal(read_slot(&s, tag ? TP_STATUS_VLAN_VALID : 0),
				comes > 0 ? comes + tag : comes);
		}
	}
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

// Any header at all: never more than `room` bytes written, never one outside.
static void test_random(void **state)
{
	const char *given = getenv("CULVERT_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) | 1,
		 x = seed;
	unsigned frames = 0;

	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned n = 0; n < 300000; n++) {
		uint32_t size = (uint32_t)(next(&x) % 512), room = (uint32_t)(next(&x) % 256);
		uint8_t *slot = malloc(size + 1), *out = malloc(room + 16); // for ASan, too
		struct tpacket2_hdr h = {0};

		for (uint32_t i = 0; i < size; i++)
			slot[i] = (uint8_t)next(&x);
		memset(out, CANARY, room + 16);
		if (size >= sizeof(h) && n & 1) { // mostly within bounds
			h.tp_mac = (uint16_t)(next(&x) % (size + 2));
			h.tp_snaplen = (uint32_t)(next(&x) % (size + 2));
			h.tp_len = h.tp_snaplen + (next(&x) % 8 == 0);
			memcpy(slot, &h, sizeof(h));
		}
		int length = ring_frame(
			slot, size, (uint32_t)next(&x), (uint32_t)(next(&x) % 300), out, room);
		assert_true(length <= (int)room && length >= RING_SEGMENTS);
		for (unsigned i = 0; i < 16; i++)
			assert_int_equal(out[room + i], CANARY);
		frames += length > 0;
		free(out);
		free(slot);
	}
	assert_true(frames > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_tag),
		cmocka_unit_test(test_tag_on_a_stump),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_checksum_of_nothing),
		cmocka_unit_test(test_checksum_elsewhere),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
