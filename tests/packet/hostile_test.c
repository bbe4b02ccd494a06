// SPDX-License-Identifier: BSD-3-Clause

// Frames that lie. Every header stack cut at every length, every byte of it changed, tags nought to three deep, GRE in
// GRE in GRE, and random noise: nothing crashes (the sanitizers watch), every frame is accounted for once, and what
// comes out is a well-formed frame of the customer it came from.

#include "tests/packet/packet.h"

#include <rte_common.h>

static struct frame f, got;

enum { STACKS = 12 };

static void payload4(const struct ipv4 *h, unsigned bytes)
{
	frame_payload(&f, bytes);
	frame_udp(&f, 4000, 5000);
	frame_ipv4(&f, h);
}

static void payload6(bool up)
{
	struct ipv6 v = ipv6_up;
	if (!up) {
		memcpy(v.source, ipv6_up.destination, 16);
		memcpy(v.destination, ipv6_up.source, 16);
	}
	frame_payload(&f, 16);
	frame_udp(&f, 4000, 5000);
	frame_ipv6(&f, &v);
}

static unsigned build_tunnelled(unsigned kind)
{
	unsigned customer = kind % 3 + 1;
	struct ipv4 outer = outer_down(customer);
	if (kind < 6)
		payload4(&ipv4_down, 16);
	else
		payload6(false);
	if (kind == 3) { // options everywhere
		outer.option_bytes = 8;
		memset(outer.options, 1, 8);
	}
	if (kind == 4) { // three deep
		struct ipv4 mid = outer_down(GLOBEX);
		frame_tunnel(&f, GLOBEX, 0x0800, &mid);
		mid = ipv4_down;
		mid.protocol = 47;
		frame_tunnel(&f, ACME, 0x0800, &mid);
	}
	if (kind == 5) {
		const struct gre g = {.flags = GRE_KEY | GRE_CHECKSUM | GRE_SEQUENCE,
			.key = 1000 + customer,
			.protocol = 0x0800};
		frame_gre(&f, &g);
		frame_ipv4(&f, &outer);
	} else {
		frame_tunnel(&f, customer, kind < 6 ? 0x0800 : 0x86dd, &outer);
	}
	frame_core(&f, false);
	return 1;
}

// A well-formed stack; `kind` picks which. Returns the port it comes in by.
static unsigned build(unsigned kind)
{
	unsigned customer = kind % 3 + 1;
	struct ipv4 h = ipv4_up;
	if (kind >= 6)
		return build_tunnelled(kind - 6);
	if (kind == 3) {
		h.option_bytes = 12;
		memset(h.options, 1, 12);
	}
	if (kind == 4)
		h.fragment = 0x2000;
	if (kind == 5)
		payload6(true);
	else
		payload4(&h, 16);
	frame_attachment(&f, customer, kind == 5 ? 0x86dd : 0x0800, true);
	return customer == INITECH ? 2 : 0;
}

// Whatever left must be well-formed, and belong to a customer: a tunnel of ours to its gateway, or an attachment's
// tags with that customer's MAC.
static void check_out(struct rig *rig)
{
	rig_run(rig);
	for (unsigned port = 0; port < RIG_PORTS; port++) {
		while (rig_receive(rig, port, &got)) {
			unsigned l3 = port == 0 ? 18 : 14;
			if (port == 0 && got.data[16] == 0x81)
				l3 = 22;
			assert_true(got.length > l3);
			const uint8_t *ip = got.data + l3;
			unsigned length = (unsigned)ip[2] << 8 | ip[3];
			if (ip[0] >> 4 == 6)
				length = 40 + ((unsigned)ip[4] << 8 | ip[5]);
			else
				assert_int_equal(frame_checksum(ip, (ip[0] & 15u) * 4), 0);
			assert_int_equal(got.length, l3 + length);
		}
	}
}

static void cut_at_every_length(void **state)
{
	struct rig *rig = *state;
	for (unsigned kind = 0; kind < STACKS; kind++) {
		unsigned port = build(kind), whole = f.length;
		for (unsigned length = 0; length < whole; length++) {
			port = build(kind);
			f.length = length;
			rig_send(rig, port, &f);
			rig_run(rig);
			assert_int_equal(rig->port[0].out_count + rig->port[1].out_count +
						 rig->port[2].out_count,
				0);
		}
		rig_check(rig);
		rig_now += RIG_HZ; // let the limits on errors recover
	}
}

static void every_byte_changed(void **state)
{
	struct rig *rig = *state;
	for (unsigned kind = 0; kind < STACKS; kind++) {
		build(kind);
		unsigned whole = f.length;
		for (unsigned at = 0; at < whole; at++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				unsigned port = build(kind);
				f.data[at] ^= (uint8_t)(1u << bit);
				rig_send(rig, port, &f);
			}
			unsigned port = build(kind);
			f.data[at] = 0;
			rig_send(rig, port, &f);
			port = build(kind);
			f.data[at] = 0xff;
			rig_send(rig, port, &f);
			check_out(rig);
		}
		rig_check(rig);
	}
}

static void tags_nought_to_three(void **state)
{
	struct rig *rig = *state;
	static const uint16_t tci[] = {0, 1, 7, 100, 200, 0xffff, 0x6064, 0x1000};
	static const uint16_t tpid[] = {0x8100, 0x88a8, 0x9100};
	for (unsigned depth = 0; depth < 4; depth++) {
		for (unsigned pick = 0; pick < 8 * 8 * 8 * 27; pick += depth < 3 ? 7 : 1) {
			unsigned rest = pick;
			payload4(&ipv4_up, 8);
			frame_type(&f, 0x0800);
			for (unsigned d = 0; d < depth; d++) {
				unsigned t = rest % 8, p = rest / 8 % 3;
				rest /= 24;
				frame_tag(&f, tci[t], tpid[p]);
			}
			frame_macs(&f, rig->port[0].port.mac, mac_customer[ACME]);
			rig_send(rig, 0, &f);
			if (pick % 64 == 0)
				check_out(rig);
		}
		check_out(rig);
	}
}

// Random cuts, changes and splices of well-formed stacks, many bytes at a time.
static void noise(void **state)
{
	struct rig *rig = *state;
	static uint8_t head[FRAME_ROOM];
	uint64_t seed = rig_seed(), count = rig_scale(200000);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t r = rig_random(&seed);
		unsigned port = build(r % STACKS);
		if (r >> 8 & 1) { // the head of this stack, the tail of another
			memcpy(head, f.data, f.length);
			unsigned before = f.length;
			port = build(rig_random(&seed) % STACKS);
			unsigned cut = (r >> 16 & 0xffff) % (RTE_MIN(f.length, before) + 1);
			memcpy(f.data, head, cut);
		}
		for (unsigned changes = r >> 32 & 7; changes > 0; changes--) {
			uint64_t c = rig_random(&seed);
			if (f.length != 0)
				f.data[(c & 0xffff) % f.length] = (uint8_t)(c >> 16);
		}
		if (r >> 40 & 1)
			f.length = (r >> 48) % (f.length + 1);
		rig_send(rig, port, &f);
		if (i % 40 == 39)
			check_out(rig);
		if (i % 4000 == 3999)
			rig_check(rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(cut_at_every_length),
		PACKET_TEST(every_byte_changed),
		PACKET_TEST(tags_nought_to_three),
		PACKET_TEST(noise),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
