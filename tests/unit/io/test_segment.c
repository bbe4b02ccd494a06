// SPDX-License-Identifier: BSD-3-Clause
// TCP packets larger than any wire's become segments that a receiver puts together to the same
// stream; what is no such packet becomes none.

#include "dataplane/io/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <linux/virtio_net.h>

#define ROOM   2048u
#define SEQ    0xfffffe00u // runs over
#define ID     0xfffeu     // likewise
#define FIN    0x01u
#define PSH    0x08u
#define ACK    0x10u
#define CWR    0x80u
#define CANARY 0xa5

static uint8_t frame[66048], out[ROOM + 16];
static struct virtio_net_hdr about;
static uint32_t length, l3, l4, payload, tags;

static void store16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t load16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t load32(const uint8_t *at)
{
	return load16(at) << 16 | load16(at + 2);
}

static uint32_t sum_of(const uint8_t *data, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// Tags of which the first one was put back in front, 8 bytes of IPv4 options, 12 of TCP's.
static void make(bool ipv6, uint32_t tag_count, uint32_t bytes, uint32_t mss)
{
	uint32_t ip = ipv6 ? 40 : 28;

	tags = tag_count;
	memset(frame, 0, sizeof(frame));
	l3 = 14 + 4 * tags;
	l4 = l3 + ip;
	payload = l4 + 32;
	length = payload + bytes;
	for (uint32_t i = 0; i < tags; i++) {
		store16(frame + 12 + 4 * i, i == 0 && tags > 1 ? 0x88a8 : 0x8100);
		store16(frame + 14 + 4 * i, 100 + i);
	}
	store16(frame + l3 - 2, ipv6 ? 0x86dd : 0x0800);
	for (uint32_t i = 0; i < 12; i++)
		frame[i] = (uint8_t)(i + 2);
	for (uint32_t i = ipv6 ? 8 : 12; i < ip; i++)
		frame[l3 + i] = (uint8_t)(i * 11);
	if (ipv6) {
		store16(frame + l3, 0x6000);
		store16(frame + l3 + 4, length - l3 - 40);
		store16(frame + l3 + 6, 0x0640);
	} else {
		store16(frame + l3, 0x4700);
		store16(frame + l3 + 2, length - l3);
		store16(frame + l3 + 4, ID);
		store16(frame + l3 + 6, 0x4000);
		store16(frame + l3 + 8, 0x4006);
	}
	store16(frame + l4 + 4, SEQ >> 16);
	store16(frame + l4 + 6, SEQ & 0xffff);
	frame[l4 + 12] = 8 << 4;
	frame[l4 + 13] = ACK | PSH | FIN | CWR;
	for (uint32_t i = 0; i < bytes; i++)
		frame[payload + i] = (uint8_t)(i * 7 + (i >> 8));
	about = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = (uint16_t)mss,
		.csum_start = (uint16_t)(l4 - (tags > 0 ? 4 : 0)),
		.csum_offset = 16,
	};
}

static bool begin(struct segments *s)
{
	return segments_start(s, frame, length, &about, tags > 0 ? 4 : 0);
}

static void check_segment(bool ipv6, uint32_t number, uint32_t n, uint32_t at, bool last)
{
	const uint8_t *ip = out + l3, *tcp = out + l4;
	uint32_t pseudo;

	assert_memory_equal(out, frame, l3);
	assert_int_equal(out[n], CANARY);
	if (ipv6) {
		assert_int_equal(load16(ip + 4), n - l3 - 40);
		pseudo = sum_of(ip + 8, 32, 6 + n - l4);
	} else {
		assert_int_equal(load16(ip + 2), n - l3);
		assert_int_equal(load16(ip + 4), (ID + number) & 0xffff);
		assert_int_equal(load16(ip + 6), 0x4000);
		assert_int_equal(sum_of(ip, l4 - l3, 0), 0xffff);
		pseudo = sum_of(ip + 12, 8, 6 + n - l4);
	}
	assert_int_equal(sum_of(tcp, n - l4, pseudo), 0xffff);
	assert_int_equal(load32(tcp + 4), (uint32_t)(SEQ + at));
	assert_int_equal(tcp[13], ACK | (last ? PSH | FIN : 0) | (number == 0 ? CWR : 0));
	assert_memory_equal(tcp + 18, frame + l4 + 18, payload - l4 - 18);
	assert_memory_equal(out + payload, frame + payload + at, n - payload);
}

static void test_stream(void **state)
{
	static const uint32_t bytes[] = {1, 256, 257, 1447, 1448, 1449, 2896, 5001, 65535 - 60};
	static const uint32_t mss[] = {256, 536, 1448};

	for (unsigned c = 0; c < 2 * 4 * 9 * 3; c++) {
		uint32_t want = bytes[c / 8 % 9], size = mss[c / 72], at = 0, number = 0, n;
		struct segments s;

		make(c & 1, c / 2 % 4, want, size);
		assert_true(begin(&s));
		while (segments_left(&s)) {
			memset(out, CANARY, sizeof(out));
			n = segments_next(&s, out, ROOM);
			assert_int_equal(n, payload + (want - at < size ? want - at : size));
			check_segment(c & 1, number++, n, at, at + n - payload == want);
			at += n - payload;
		}
		assert_int_equal(at, want);
	}
}

static void test_no_room(void **state)
{
	struct segments s;

	make(false, 1, 5000, 1448);
	assert_true(begin(&s));
	memset(out, CANARY, sizeof(out));
	assert_int_equal(segments_next(&s, out, payload + 1447), 0);
	assert_false(segments_left(&s));
	assert_int_equal(out[0], CANARY);
}

static void expect_none(const char *what)
{
	struct segments s;

	if (begin(&s) || segments_left(&s))
		fail_msg("cut up: %s", what);
}

#define REFUSED(ipv6, change)                   \
	do {                                    \
		make(ipv6, 1, 5000, 1448);      \
		change;                         \
		expect_none(#ipv6 " " #change); \
	} while (0)

static void test_what_is_none(void **state)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		REFUSED(ipv6, about.gso_type = VIRTIO_NET_HDR_GSO_NONE);
		REFUSED(ipv6, about.gso_type = VIRTIO_NET_HDR_GSO_UDP);
		REFUSED(ipv6, about.gso_type =
				      ipv6 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6);
		REFUSED(ipv6, about.flags = 0);
		REFUSED(ipv6, about.gso_size = 0);
		REFUSED(ipv6, about.gso_size = SEGMENT_LEAST - 1);
		REFUSED(ipv6, about.csum_start = 0);
		REFUSED(ipv6, about.csum_start = 0xffff);
		REFUSED(ipv6, about.csum_start = (uint16_t)(length - 4 - 19));
		REFUSED(ipv6, frame[l3] ^= 0x20);
		REFUSED(ipv6, store16(frame + l3 - 2, 0x0806));
		REFUSED(ipv6, store16(frame + l3 - 2, 0x8100));
		REFUSED(ipv6, frame[l4 + 12] = 4 << 4);
		REFUSED(ipv6, length = payload);
		REFUSED(ipv6, length = 13);
		REFUSED(ipv6, length = 0);
		REFUSED(ipv6, length--);
		REFUSED(ipv6, length++);
	}
	REFUSED(false, about.csum_start += 8); // in another packet's front
	REFUSED(false, frame[l3 + 9] = 17);
	REFUSED(false, store16(frame + l3 + 6, 0x2000));
	REFUSED(false, store16(frame + l3 + 6, 1));
	REFUSED(true, about.csum_start = (uint16_t)(l3 + 39 - 4));
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

// Any front at all: nothing outside, and never more than 256 segments.
static void test_random(void **state)
{
	const char *given = getenv("CULVERT_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) | 1,
		 x = seed;
	unsigned cut = 0;

	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned n = 0; n < 100000; n++) {
		struct segments s;
		unsigned count = 0;
		uint8_t *copy;

		make(next(&x) & 1, next(&x) % 4, (uint32_t)(next(&x) % 4000 + 1),
			(uint32_t)(next(&x) % 2000));
		for (unsigned i = (unsigned)(next(&x) % 4); i > 0; i--)
			frame[next(&x) % (payload + 1)] = (uint8_t)next(&x);
		for (unsigned i = (unsigned)(next(&x) % 3); i > 0; i--)
			((uint8_t *)&about)[next(&x) % sizeof(about)] = (uint8_t)next(&x);
		if (next(&x) % 4 == 0)
			length = (uint32_t)(next(&x) % (length + 1));
		copy = malloc(length + 1); // for ASan
		memcpy(copy, frame, length);
		segments_start(&s, copy, length, &about, tags > 0 ? 4 : 0);
		for (; segments_left(&s); count++) {
			uint32_t room = (uint32_t)(next(&x) % 16 != 0 ? ROOM : next(&x) % ROOM);
			memset(out + room, CANARY, 16);
			assert_true(segments_next(&s, out, room) <= room);
			for (unsigned i = 0; i < 16; i++)
				assert_int_equal(out[room + i], CANARY);
		}
		assert_true(count <= 256);
		cut += count > 1;
		free(copy);
	}
	assert_true(cut > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_what_is_none),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
