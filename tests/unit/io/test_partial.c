// SPDX-License-Identifier: BSD-3-Clause
// Checksums that were left to a device: finished where they are, whatever is around them; what is
// right, a fragment, or no packet at all stays as it is.

#include "dataplane/io/partial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#define TCP 6
#define UDP 17
#define GRE 47

struct frame {
	uint8_t bytes[512];
	uint32_t length;
	uint32_t sum; // where the checksum is
	uint32_t l4;  // where what it covers starts
	uint32_t l4_length;
	uint32_t pseudo; // its sum, not folded
};

static void put(struct frame *f, const void *bytes, uint32_t length)
{
	memcpy(f->bytes + f->length, bytes, length);
	f->length += length;
}

static void put16(struct frame *f, uint32_t value)
{
	put(f, (const uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static uint32_t sum_of(const uint8_t *at, uint32_t length)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum += (uint32_t)at[i] << (i % 2 ? 0 : 8);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void ip_of(struct frame *f, bool six, uint32_t protocol, uint32_t payload)
{
	uint8_t head[40] = {0x45, 0, 0, 0, 0, 1, 0, 0, 64, 0, 0, 0, 10, 1, 0, 5, 10, 9, 0, 7};
	uint32_t length = six ? 40 : 20, total = six ? payload : payload + 20;

	if (six) {
		memset(head, 0, sizeof(head));
		head[0] = 0x60;
		head[8] = 0x20;
		head[24] = 0x20;
		head[39] = 7;
	}
	head[six ? 4 : 2] = (uint8_t)(total >> 8);
	head[six ? 5 : 3] = (uint8_t)total;
	head[six ? 6 : 9] = (uint8_t)protocol;
	put(f, head, length);
	f->pseudo = sum_of(head + (six ? 8 : 12), six ? 32 : 8) + protocol + payload;
}

// The checksum as its sender leaves it.
static void l4_of(struct frame *f, uint32_t protocol, uint32_t data)
{
	uint32_t head = protocol == TCP ? 20 : 8;

	f->l4 = f->length;
	f->l4_length = head + data;
	for (uint32_t i = 0; i < f->l4_length; i++)
		f->bytes[f->length++] = (uint8_t)random();
	f->sum = f->l4 + (protocol == TCP ? 16 : 6);
	f->bytes[f->sum] = (uint8_t)(fold(f->pseudo) >> 8);
	f->bytes[f->sum + 1] = (uint8_t)fold(f->pseudo);
}

static void assert_right(const struct frame *f)
{
	assert_int_equal(fold(f->pseudo + sum_of(f->bytes + f->l4, f->l4_length)), 0xffff);
}

static struct frame make(
	unsigned tags, bool outer_six, bool tunnel, bool six, uint32_t protocol, uint32_t data)
{
	struct frame f = {.length = 0};
	uint32_t l4 = (protocol == TCP ? 20 : 8) + data;

	put(&f, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
	for (unsigned i = 0; i < tags; i++) {
		put16(&f, i ? 0x8100 : 0x88a8);
		put16(&f, 100 + i);
	}
	if (tunnel) {
		put16(&f, outer_six ? 0x86dd : 0x0800);
		ip_of(&f, outer_six, GRE, 8 + (six ? 40 : 20) + l4);
		put16(&f, 0x2000);
		put16(&f, six ? 0x86dd : 0x0800);
		put(&f, "\0\0\x1b\x59", 4);
	} else {
		put16(&f, six ? 0x86dd : 0x0800);
	}
	ip_of(&f, six, protocol, l4);
	l4_of(&f, protocol, data);
	return f;
}

static void finished_wherever_they_are(void **state)
{
	srandom(1);
	for (unsigned i = 0; i < 48; i++) {
		for (uint32_t data = 0; data < 70; data++) {
			struct frame f = make(
				i % 3, i / 3 % 2, i / 6 % 2, i / 12 % 2, i / 24 ? TCP : UDP, data);
			struct frame again;

			put(&f, "\0\0\0\0\0\0", 6); // padding, which no checksum covers
			partial_finish(f.bytes, f.length);
			assert_right(&f);
			again = f;
			partial_finish(f.bytes, f.length);
			assert_memory_equal(f.bytes, again.bytes, sizeof(f.bytes));
		}
	}
}

// One that is right and looks unfinished by chance: 1 of 65,536, so it is made so.
static void right_by_chance(void **state)
{
	struct frame f = make(0, false, false, false, UDP, 2), before;
	uint32_t rest;

	memset(f.bytes + f.l4, 0, f.l4_length);
	// pseudo + field + data = 0xffff, field = pseudo
	rest = 0xffff - fold(2 * (uint32_t)fold(f.pseudo));
	f.bytes[f.sum] = (uint8_t)(fold(f.pseudo) >> 8);
	f.bytes[f.sum + 1] = (uint8_t)fold(f.pseudo);
	f.bytes[f.l4 + 8] = (uint8_t)(rest >> 8);
	f.bytes[f.l4 + 9] = (uint8_t)rest;
	assert_right(&f);
	before = f;
	partial_finish(f.bytes, f.length);
	assert_memory_equal(f.bytes, before.bytes, sizeof(f.bytes));
}

static void fragments_stay(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct frame f = make(0, false, false, false, UDP, 40), before;

		f.bytes[14 + 6 + i] |= i ? 5 : 0x20;
		before = f;
		partial_finish(f.bytes, f.length);
		assert_memory_equal(f.bytes, before.bytes, sizeof(f.bytes));
	}
}

// Cut off anywhere, and lengths that lie: nothing is read or written beyond (see it under ASan),
// and nothing is changed.
static void cut_off(void **state)
{
	for (unsigned i = 0; i < 48; i++) {
		struct frame f =
			make(i % 3, i / 3 % 2, i / 6 % 2, i / 12 % 2, i / 24 ? TCP : UDP, 30);

		for (uint32_t length = 0; length < f.length; length++) {
			uint8_t *exact = malloc(length != 0 ? length : 1);

			assert_non_null(exact);
			memcpy(exact, f.bytes, length);
			partial_finish(exact, length);
			assert_memory_equal(exact, f.bytes, length);
			free(exact);
		}
	}
}

static void random_frames(void **state)
{
	static const uint16_t types[] = {0x0800, 0x86dd, 0x8100, 0x88a8};

	srandom(2);
	for (unsigned i = 0; i < 200000; i++) {
		uint32_t length = (uint32_t)random() % 120;
		uint8_t *frame = malloc(length != 0 ? length : 1);

		assert_non_null(frame);
		for (uint32_t b = 0; b < length; b++)
			frame[b] = (uint8_t)random();
		if (length > 24) {
			uint16_t type = types[random() % 4];

			frame[12] = (uint8_t)(type >> 8);
			frame[13] = (uint8_t)type;
			frame[14] = type == 0x86dd ? 0x60 : 0x45;
			frame[16] = 0;
			frame[20] = 0;
			frame[23] = random() % 2 ? GRE : UDP;
		}
		partial_finish(frame, length);
		free(frame);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finished_wherever_they_are),
		cmocka_unit_test(right_by_chance),
		cmocka_unit_test(fragments_stay),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(random_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
