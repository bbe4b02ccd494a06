// SPDX-License-Identifier: BSD-3-Clause
// What the steering program does with a frame, asked of the kernel (BPF_PROG_TEST_RUN): each
// verdict, each kind of front, and each of them cut off anywhere. Its socket is one that is bound
// to no device. What the program does with tags beside the frame only a device can show
// (tests/smoke/kernel_port.py).

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/steer.h"
#include "steer.skel.h"

#define OURS    "\xc0\x00\x02\x01" // 192.0.2.1
#define THEIRS  "\xc0\x00\x02\x63"
#define OURS6   "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
#define THEIRS6 "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x63"
#define MANY6   "\xff\x02\0\0\0\0\0\0\0\0\0\1\xff\0\0\1"

#define C 0x8100
#define S 0x88a8

struct rig {
	struct steer *steer;
	int socket;
};

struct frame {
	uint8_t bytes[256];
	uint32_t length;
};

static void put16(struct frame *f, uint32_t value)
{
	f->bytes[f->length++] = (uint8_t)(value >> 8);
	f->bytes[f->length++] = (uint8_t)value;
}

static void put(struct frame *f, const void *bytes, uint32_t length)
{
	memcpy(f->bytes + f->length, bytes, length);
	f->length += length;
}

// Tags as (TPID, TCI), outermost first; 0 = none.
static struct frame front(const uint32_t tag[2][2], uint32_t type)
{
	struct frame f = {.length = 0};

	put(&f, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
	for (unsigned i = 0; i < 2 && tag[i][0] != 0; i++) {
		put16(&f, tag[i][0]);
		put16(&f, tag[i][1]);
	}
	put16(&f, type);
	return f;
}

enum { IPV4, ARP, IPV6, SOLICIT, OTHER, CONTENTS };

static struct frame make(const uint32_t tag[2][2], unsigned content, bool ours)
{
	static const uint16_t types[] = {0x0800, 0x0806, 0x86dd, 0x86dd, 0x88cc};
	struct frame f = front(tag, types[content]);

	switch (content) {
	case IPV4:
		put(&f, "\x45\0\0\x1c\0\1\0\0\x40\x2f\0\0\xc0\0\2\2", 16);
		put(&f, ours ? OURS : THEIRS, 4);
		break;
	case ARP:
		put(&f, "\0\1\x08\0\6\4\0\1\2\0\0\0\0\2\xc0\0\2\2\0\0\0\0\0\0", 24);
		put(&f, ours ? OURS : THEIRS, 4);
		break;
	default:
		put(&f, "\x60\0\0\0\0\x18", 6);
		put(&f, content == SOLICIT ? "\x3a\xff" : "\x2f\x40", 2);
		put(&f, THEIRS6, 16);
		put(&f, content == SOLICIT ? MANY6 : ours ? OURS6 : THEIRS6, 16);
		if (content != SOLICIT)
			break;
		put(&f, "\x87\0\0\0\0\0\0\0", 8);
		put(&f, ours ? OURS6 : THEIRS6, 16);
	}
	return f;
}

// --- the program ---

static struct steer_counts counted(const struct rig *r)
{
	int cpus = libbpf_num_possible_cpus();
	struct steer_counts *each = calloc((size_t)cpus, sizeof(*each)), sum = {{0}};
	uint32_t place = 0;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(r->steer->maps.verdicts), &place, each), 0);
	for (int i = 0; i < cpus; i++)
		for (unsigned v = 0; v < STEER_VERDICTS; v++)
			sum.frames[v] += each[i].frames[v];
	free(each);
	return sum;
}

// What becomes of it: the action is that of the one verdict that was counted, and the frame is as
// it was.
static enum steer_verdict run(const struct rig *r, const struct frame *f)
{
	static const uint32_t actions[] = {XDP_REDIRECT, XDP_PASS, XDP_DROP, XDP_DROP};
	struct steer_counts before = counted(r), after;
	uint8_t out[512];
	unsigned verdict = STEER_VERDICTS;
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f->bytes, .data_size_in = f->length,
		.data_out = out, .data_size_out = sizeof(out), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(r->steer->progs.steer), &o), 0);
	after = counted(r);
	for (unsigned v = 0; v < STEER_VERDICTS; v++) {
		uint64_t more = after.frames[v] - before.frames[v];

		if (more == 0)
			continue;
		assert_int_equal(more, 1);
		assert_int_equal(verdict, STEER_VERDICTS);
		verdict = v;
	}
	assert_true(verdict < STEER_VERDICTS);
	assert_int_equal(o.retval, actions[verdict]);
	assert_int_equal(o.data_size_out, f->length);
	assert_memory_equal(out, f->bytes, f->length);
	return verdict;
}

static void own(const struct rig *r, uint32_t place, uint32_t owner)
{
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(r->steer->maps.tags), &place, &owner, 0), 0);
}

static void set_socket(const struct rig *r, bool there)
{
	int map = bpf_map__fd(r->steer->maps.sockets);
	uint32_t queue = 0;

	if (there)
		assert_int_equal(bpf_map_update_elem(map, &queue, &r->socket, 0), 0);
	else
		bpf_map_delete_elem(map, &queue);
}

static int start(void **state, bool whole)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct steer_address four = {.family = 4}, six = {.family = 6};
	uint32_t one = 1;
	int ring = 64;

	*state = r;
	r->steer = steer__open();
	r->steer->rodata->whole = whole;
	r->socket = socket(AF_XDP, SOCK_RAW, 0);
	if (steer__load(r->steer) != 0 || r->socket < 0)
		return -1;
	memcpy(four.bytes, OURS, 4);
	memcpy(six.bytes, OURS6, 16);
	bpf_map_update_elem(bpf_map__fd(r->steer->maps.addresses), &four, &one, 0);
	bpf_map_update_elem(bpf_map__fd(r->steer->maps.addresses), &six, &one, 0);
	// the map takes a socket that has a receive ring
	if (setsockopt(r->socket, SOL_XDP, XDP_RX_RING, &ring, sizeof(ring)) < 0)
		return -1;
	set_socket(r, true);
	return 0;
}

static int start_shared(void **state)
{
	return start(state, false);
}

static int start_whole(void **state)
{
	return start(state, true);
}

static int stop(void **state)
{
	struct rig *r = *state;

	steer__destroy(r->steer);
	close(r->socket);
	free(r);
	return 0;
}

// --- cases ---

static const uint32_t untagged[2][2] = {{0}}, priority[2][2] = {{C, 0xe000}},
		      c100[2][2] = {{C, 100}}, c100_high[2][2] = {{C, 0xf064}},
		      c101[2][2] = {{C, 101}}, s100[2][2] = {{S, 100}},
		      c200_10[2][2] = {{C, 200}, {C, 10}}, s200_10[2][2] = {{S, 200}, {C, 10}};

static void tags_are_told_apart(void **state)
{
	const struct rig *r = *state;

	own(r, 100, STEER_TAKE);
	own(r, STEER_88A8 + 200, STEER_TAKE);
	for (unsigned content = 0; content < CONTENTS; content++) {
		struct frame mine[] = {make(c100, content, false), make(c100_high, content, false),
			make(s200_10, content, false)};
		struct frame left[] = {make(untagged, content, true), make(priority, content, true),
			make(c101, content, true), make(s100, content, true),
			make(c200_10, content, true)};

		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(run(r, &mine[i]), STEER_TAKEN);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(run(r, &left[i]), STEER_LEFT);
	}
	own(r, 100, STEER_LEAVE);
	struct frame f = make(c100, IPV4, false);
	assert_int_equal(run(r, &f), STEER_LEFT);
}

// An attachment without a tag: so are frames with priorities only.
static void untagged_is_an_owner_too(void **state)
{
	const struct rig *r = *state;
	struct frame plain = make(untagged, IPV4, false), high = make(priority, IPV4, false),
		     tagged = make(c100, IPV4, false);

	own(r, 0, STEER_TAKE);
	assert_int_equal(run(r, &plain), STEER_TAKEN);
	assert_int_equal(run(r, &high), STEER_TAKEN);
	assert_int_equal(run(r, &tagged), STEER_LEFT);
}

// What goes to an address of ours, or asks for it; the rest is the kernel's.
static void addresses_are_told_apart(void **state)
{
	const struct rig *r = *state;
	const uint32_t(*const stacks[])[2] = {untagged, priority, c100, s100, c200_10};

	own(r, 0, STEER_ADDRESSED);
	own(r, 100, STEER_ADDRESSED);
	own(r, STEER_88A8 + 100, STEER_ADDRESSED);
	own(r, 200, STEER_ADDRESSED);
	for (unsigned s = 0; s < 5; s++) {
		for (unsigned content = 0; content < OTHER; content++) {
			struct frame ours = make(stacks[s], content, true),
				     theirs = make(stacks[s], content, false);

			assert_int_equal(run(r, &ours), STEER_TAKEN);
			assert_int_equal(run(r, &theirs), STEER_LEFT);
		}
		struct frame other = make(stacks[s], OTHER, true);
		assert_int_equal(run(r, &other), STEER_LEFT);
	}
}

// Later fragments have no ports and no key, and are ours as well.
static void fragments_go_with_the_address(void **state)
{
	const struct rig *r = *state;
	struct frame f = make(untagged, IPV4, true);

	own(r, 0, STEER_ADDRESSED);
	f.bytes[14 + 6] = 0x00;
	f.bytes[14 + 7] = 0xb9;
	assert_int_equal(run(r, &f), STEER_TAKEN);
}

// A front that ends early is ours only if what there is of it says so.
static void cut_off_fronts(void **state)
{
	const struct rig *r = *state;
	const uint32_t(*const stacks[])[2] = {untagged, c100, s200_10};

	own(r, 0, STEER_ADDRESSED);
	own(r, 100, STEER_TAKE);
	own(r, STEER_88A8 + 200, STEER_ADDRESSED);
	for (unsigned s = 0; s < 3; s++) {
		for (unsigned content = 0; content < OTHER; content++) {
			struct frame f = make(stacks[s], content, true);
			uint32_t need = s == 1 ? 18 : f.length; // of TAKE the tag, else the address

			for (uint32_t length = f.length; length >= 14; length--) {
				f.length = length;
				assert_int_equal(
					run(r, &f), length >= need ? STEER_TAKEN : STEER_LEFT);
			}
		}
	}
}

// Nothing that we own goes to the kernel because there is nobody to take it.
static void without_a_socket(void **state)
{
	const struct rig *r = *state;
	struct frame mine = make(c100, IPV4, false), ours = make(untagged, ARP, true),
		     left = make(c101, IPV4, true);

	own(r, 0, STEER_ADDRESSED);
	own(r, 100, STEER_TAKE);
	set_socket(r, false);
	assert_int_equal(run(r, &mine), STEER_NO_SOCKET);
	assert_int_equal(run(r, &ours), STEER_NO_SOCKET);
	assert_int_equal(run(r, &left), STEER_LEFT);
	set_socket(r, true);
	assert_int_equal(run(r, &mine), STEER_TAKEN);
}

static void whole_port(void **state)
{
	const struct rig *r = *state;
	const uint32_t(*const stacks[])[2] = {
		untagged, priority, c100, c101, s100, c200_10, s200_10};

	for (unsigned there = 0; there < 2; there++) {
		set_socket(r, there);
		for (unsigned s = 0; s < 7; s++) {
			for (unsigned content = 0; content < CONTENTS; content++) {
				struct frame f = make(stacks[s], content, false);

				for (; f.length >= 14; f.length--)
					assert_int_equal(
						run(r, &f), there ? STEER_TAKEN : STEER_NO_SOCKET);
			}
		}
	}
}

// Bytes of any kind: one verdict, and nothing written.
static void random_fronts(void **state)
{
	const struct rig *r = *state;
	struct frame f;

	own(r, 0, STEER_ADDRESSED);
	for (uint32_t i = 0; i < STEER_TAGS; i += 3)
		own(r, i, i % 2 ? STEER_TAKE : STEER_ADDRESSED);
	srandom(20);
	for (unsigned i = 0; i < 5000; i++) {
		static const uint16_t types[] = {C, S, 0x0800, 0x0806, 0x86dd};

		f.length = 14 + (uint32_t)random() % 100;
		for (uint32_t b = 0; b < f.length; b++)
			f.bytes[b] = (uint8_t)random();
		for (uint32_t at = 12; at + 2 <= f.length; at += 4) {
			uint16_t type = types[random() % 5];

			f.bytes[at] = (uint8_t)(type >> 8);
			f.bytes[at + 1] = (uint8_t)type;
		}
		assert_true(run(r, &f) < STEER_NO_SOCKET);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tags_are_told_apart, start_shared, stop),
		cmocka_unit_test_setup_teardown(untagged_is_an_owner_too, start_shared, stop),
		cmocka_unit_test_setup_teardown(addresses_are_told_apart, start_shared, stop),
		cmocka_unit_test_setup_teardown(fragments_go_with_the_address, start_shared, stop),
		cmocka_unit_test_setup_teardown(cut_off_fronts, start_shared, stop),
		cmocka_unit_test_setup_teardown(without_a_socket, start_shared, stop),
		cmocka_unit_test_setup_teardown(whole_port, start_whole, stop),
		cmocka_unit_test_setup_teardown(random_fronts, start_shared, stop),
	};

	if (geteuid() != 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
