// SPDX-License-Identifier: BSD-3-Clause

// GRE at its edges: which headers are taken, which triple is whose, and what becomes of everything else.

#include "dataplane/tables/vrf.h"
#include "tests/packet/packet.h"

// A packet from a vNet in GRE as described, in an outer header as described.
static void send_gre(struct rig *rig, const struct gre *g, const struct ipv4 *outer, uint8_t tos)
{
	static struct frame f;
	struct ipv4 inner = ipv4_down;
	inner.tos = tos;
	frame_payload(&f, 21);
	frame_udp(&f, 1, 2);
	frame_ipv4(&f, &inner);
	frame_gre(&f, g);
	frame_ipv4(&f, outer);
	frame_core(&f, false);
	rig_send(rig, 1, &f);
}

static void expect_inner(struct rig *rig, unsigned customer, uint8_t tos)
{
	static struct frame f;
	struct ipv4 inner = ipv4_down;
	inner.tos = tos;
	inner.ttl--;
	frame_payload(&f, 21);
	frame_udp(&f, 1, 2);
	frame_ipv4(&f, &inner);
	frame_attachment(&f, customer, 0x0800, false);
	rig_expect(rig, customer == INITECH ? 2 : 0, &f);
	rig_expect_nothing(rig);
}

static const struct gre keyed = {.flags = GRE_KEY, .key = 1000 + ACME, .protocol = 0x0800};

static void all_optional_fields(void **state)
{
	struct rig *rig = *state;
	struct ipv4 outer = outer_down(ACME);
	for (unsigned bits = 0; bits < 4; bits++) {
		struct gre g = keyed;
		g.flags |= (bits & 1 ? GRE_CHECKSUM : 0) | (bits & 2 ? GRE_SEQUENCE : 0);
		g.sequence = 0x01020304;
		send_gre(rig, &g, &outer, 0);
		expect_inner(rig, ACME, 0);
	}
	// Reserved bits 6 to 12 are to be ignored (RFC 2784 2.3).
	struct gre g = keyed;
	g.flags |= 0x03f8;
	send_gre(rig, &g, &outer, 0);
	expect_inner(rig, ACME, 0);
}

static void refused_flags_and_versions(void **state)
{
	static const uint16_t bad[] = {0x4000, 0x0800, 0x0400, 1, 2, 3, 4, 5, 6, 7};
	struct rig *rig = *state;
	struct ipv4 outer = outer_down(ACME);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct gre g = keyed;
		g.flags |= bad[i];
		send_gre(rig, &g, &outer, 0);
		rig_expect_nothing(rig);
		rig_expect_drop(rig, CORE, DROP_GRE_HEADER, i + 1);
	}
}

static void wrong_checksum(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	struct ipv4 outer = outer_down(ACME);
	for (unsigned at = 0; at < 57;
		at++) { // each byte of GRE header and payload but flags and protocol
		struct gre g = keyed;
		g.flags |= GRE_CHECKSUM;
		frame_payload(&f, 21);
		frame_udp(&f, 1, 2);
		frame_ipv4(&f, &ipv4_down);
		frame_gre(&f, &g);
		if (at >= 4)
			f.data[at] ^= 0x10;
		frame_ipv4(&f, &outer);
		frame_core(&f, false);
		rig_send(rig, 1, &f);
		if (at < 4)
			rig_run(rig);
		else
			rig_expect_drop(rig, CORE, DROP_GRE_HEADER, at - 3);
	}
}

static void triple_must_match_in_full(void **state)
{
	struct rig *rig = *state;
	struct ipv4 right = outer_down(ACME), outer = right;
	struct gre g = keyed;
	unsigned unknown = 0;
	g.key = 999;
	send_gre(rig, &g, &outer, 0);
	rig_expect_drop(rig, CORE, DROP_TUNNEL_UNKNOWN, ++unknown);
	outer.source++; // right key from a wrong source
	send_gre(rig, &keyed, &outer, 0);
	rig_expect_drop(rig, CORE, DROP_TUNNEL_UNKNOWN, ++unknown);
	g.flags = 0; // no key where one is due
	send_gre(rig, &g, &right, 0);
	rig_expect_drop(rig, CORE, DROP_TUNNEL_UNKNOWN, ++unknown);
	g.flags = GRE_KEY; // key 0 where none is due
	g.key = 0;
	outer = outer_down(INITECH);
	send_gre(rig, &g, &outer, 0);
	rig_expect_drop(rig, CORE, DROP_TUNNEL_UNKNOWN, ++unknown);
	rig_expect_nothing(rig);
	g.flags = 0;
	send_gre(rig, &g, &outer, 0);
	expect_inner(rig, INITECH, 0);
	// A tunnel with key 0 is another one, beside it.
	uint32_t zero = 0;
	set_gre(rig, 99, VNET(GLOBEX), VNET(GLOBEX), OUTER, GATEWAY2, &zero, CORE_GROUP);
	g.flags = GRE_KEY;
	send_gre(rig, &g, &outer, 0);
	expect_inner(rig, GLOBEX, 0);
	assert_int_equal(rig_counts(rig, 99).hot.rx_packets, 1);
}

static void payload_neither_ipv4_nor_ipv6(void **state)
{
	struct rig *rig = *state;
	struct ipv4 outer = outer_down(ACME);
	struct gre g = keyed;
	g.protocol = 0x6558;
	send_gre(rig, &g, &outer, 0);
	rig_expect_drop(rig, CORE, DROP_GRE_PROTOCOL, 1);
	rig_expect_nothing(rig);
}

static void send_inner(struct rig *rig, uint8_t version, unsigned bytes, uint16_t protocol)
{
	static struct frame f;
	const struct ipv4 outer = outer_down(ACME);
	struct gre g = keyed;
	g.protocol = protocol;
	frame_payload(&f, bytes);
	if (bytes > 0)
		f.data[0] = (uint8_t)(version << 4 | 5);
	frame_gre(&f, &g);
	frame_ipv4(&f, &outer);
	frame_core(&f, false);
	rig_send(rig, 1, &f);
}

// Whatever its length.
static void payload_is_not_what_its_protocol_says(void **state)
{
	struct rig *rig = *state;
	unsigned n = 0;
	for (unsigned bytes = 1; bytes <= 60; bytes++) {
		for (uint8_t version = 0; version < 16; version++) {
			for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
				if (version == (ipv6 ? 6 : 4))
					continue;
				send_inner(rig, version, bytes, ipv6 ? 0x86dd : 0x0800);
				rig_expect_drop(rig, TUNNEL(ACME), DROP_GRE_PROTOCOL, ++n);
			}
		}
	}
	rig_expect_nothing(rig);
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		send_inner(rig, 0, 0, ipv6 ? 0x86dd : 0x0800); // nothing at all
		send_inner(rig, ipv6 ? 6 : 4, 12, ipv6 ? 0x86dd : 0x0800);
		rig_expect_drop(rig, TUNNEL(ACME), DROP_FRAME_TRUNCATED, 2 * ipv6 + 2);
	}
}

static void outer_fragments(void **state)
{
	struct rig *rig = *state;
	struct ipv4 outer = outer_down(ACME);
	outer.fragment = 0x2000;
	send_gre(rig, &keyed, &outer, 0);
	outer.fragment = 185;
	send_gre(rig, &keyed, &outer, 0);
	rig_expect_drop(rig, CORE, DROP_FRAGMENT, 2);
}

static void gre_to_others_is_transit(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	// Neither the header nor the triple matter when it is not for us.
	struct ipv4 outer = outer_down(ACME);
	outer.destination = GATEWAY2;
	outer.source = IP4(192, 0, 2, 9);
	for (unsigned out = 0; out < 2; out++) {
		const struct gre g = {.flags = 0x4007, .protocol = 0x1234};
		outer.ttl = (uint8_t)(60 - out);
		frame_payload(&f, 9);
		frame_gre(&f, &g);
		frame_ipv4(&f, &outer);
		frame_core(&f, out == 1);
		if (out == 0)
			rig_send(rig, 1, &f);
		else
			rig_expect(rig, 1, &f);
	}
}

static void congestion_marks(void **state)
{
	struct rig *rig = *state;
	// [inner][outer], RFC 6040 figure 4; 9 = drop.
	static const uint8_t after[4][4] = {{0, 0, 0, 9}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
	unsigned drops = 0;
	for (unsigned inner = 0; inner < 4; inner++) {
		for (unsigned mark = 0; mark < 4; mark++) {
			struct ipv4 outer = outer_down(ACME);
			outer.tos = (uint8_t)(10 << 2 | mark);
			send_gre(rig, &keyed, &outer, (uint8_t)(46 << 2 | inner));
			if (after[inner][mark] == 9)
				rig_expect_drop(rig, TUNNEL(ACME), DROP_ECN, ++drops);
			else
				expect_inner(rig, ACME, (uint8_t)(46 << 2 | after[inner][mark]));
		}
	}
}

static void nested_gre_comes_out_once(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	// Inside acme's tunnel another GRE packet with globex's triple: acme's payload, to an unknown place.
	struct ipv4 inside = outer_down(GLOBEX), outer = outer_down(ACME);
	frame_payload(&f, 9);
	frame_udp(&f, 1, 2);
	frame_ipv4(&f, &ipv4_down);
	frame_tunnel(&f, GLOBEX, 0x0800, &inside);
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_core(&f, false);
	rig_send(rig, 1, &f);
	// Once the packet, once the ICMP error about it, whose destination is nowhere either.
	rig_expect_drop(rig, TUNNEL(ACME), DROP_NO_ROUTE, 2);
	rig_expect_nothing(rig);
	assert_int_equal(rig_counts(rig, TUNNEL(GLOBEX)).hot.rx_packets, 0);
}

// A frame to everybody is forwarded by nobody, whatever it carries (RFC 1812 5.3.4).
static void gre_in_a_broadcast_frame(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	struct ipv4 outer = outer_down(ACME);
	frame_payload(&f, 9);
	frame_udp(&f, 1, 2);
	frame_ipv4(&f, &ipv4_down);
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_type(&f, 0x0800);
	frame_macs(&f, all, mac_core);
	rig_send(rig, 1, &f);
	rig_expect_drop(rig, TUNNEL(ACME), DROP_MULTICAST, 1);
	rig_expect_nothing(rig);
}

static void gre_on_an_attachment_is_not_decapsulated(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	struct ipv4 outer = outer_down(ACME);
	frame_payload(&f, 9);
	frame_udp(&f, 1, 2);
	frame_ipv4(&f, &ipv4_down);
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_attachment(&f, ACME, 0x0800, true);
	rig_send(rig, 0, &f);
	// Once the packet, once the ICMP error about it, whose destination is nowhere either.
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_NO_ROUTE, 2);
	rig_expect_nothing(rig);
	assert_int_equal(rig_counts(rig, TUNNEL(ACME)).hot.rx_packets, 0);
}

static void ipv6_outer(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	struct wire_interface r = get_interface(rig, TUNNEL(ACME));
	struct ipv6 up = {
		.source = {0xfd, 1}, .destination = {0xfd, 2}, .hop_limit = 64, .protocol = 47};
	struct ipv6 down = {
		.source = {0xfd, 2}, .destination = {0xfd, 1}, .hop_limit = 9, .protocol = 47};
	r.family = WIRE_IPV6;
	memcpy(r.local, up.source, 16);
	memcpy(r.remote, up.destination, 16);
	r.mtu = 1400;
	set_interface(rig, &r);
	for (unsigned out = 0; out < 2; out++) {
		struct ipv4 inner = ipv4_up;
		inner.ttl -= (uint8_t)out;
		inner.tos = up.class = 0xb8;
		frame_payload(&f, 21);
		frame_udp(&f, 1, 2);
		frame_ipv4(&f, &inner);
		if (out == 0) {
			frame_attachment(&f, ACME, 0x0800, true);
			rig_send(rig, 0, &f);
			continue;
		}
		frame_gre(&f, &keyed);
		frame_ipv6(&f, &up);
		frame_type(&f, 0x86dd);
		frame_macs(&f, mac_core, (const uint8_t[]){2, 0, 0, 0, 0, 0x11});
		rig_expect(rig, 1, &f);
	}
	frame_payload(&f, 21);
	frame_udp(&f, 1, 2);
	frame_ipv4(&f, &ipv4_down);
	frame_gre(&f, &keyed);
	frame_ipv6(&f, &down);
	frame_type(&f, 0x86dd);
	frame_macs(&f, (const uint8_t[]){2, 0, 0, 0, 0, 0x11}, mac_core);
	rig_send(rig, 1, &f);
	expect_inner(rig, ACME, 0);
}

static void outer6(
	struct rig *rig, const void *extension, unsigned bytes, uint8_t first, const struct gre *g)
{
	static struct frame f;
	const struct ipv6 h = {
		.source = {0xfd, 2}, .destination = {0xfd, 1}, .hop_limit = 9, .protocol = first};
	static uint8_t all[FRAME_ROOM];
	frame_payload(&f, 21);
	frame_udp(&f, 1, 2);
	frame_ipv4(&f, &ipv4_down);
	frame_gre(&f, g);
	memcpy(all, extension, bytes);
	memcpy(all + bytes, f.data, f.length);
	frame_bytes(&f, all, f.length + bytes);
	frame_ipv6(&f, &h);
	frame_type(&f, 0x86dd);
	frame_macs(&f, (const uint8_t[]){2, 0, 0, 0, 0, 0x11}, mac_core);
	rig_send(rig, 1, &f);
}

static void tunnel_over_ipv6(struct rig *rig)
{
	struct wire_interface r = get_interface(rig, TUNNEL(ACME));
	const struct wire_local l = {
		.vrf = UNDERLAY, .interface = CORE, .family = WIRE_IPV6, .addr = {0xfd, 1}};
	r.family = WIRE_IPV6;
	memcpy(r.local, l.addr, 16);
	memset(r.remote, 0, 16);
	r.remote[0] = 0xfd;
	r.remote[1] = 2;
	r.mtu = 1400;
	set_interface(rig, &r);
	assert_int_equal(local_set(rig->dp, &l), 0);
}

// What stands between the outer IPv6 header and GRE. Linux puts the first of these there unless told not to.
static void extension_headers(void **state)
{
	struct rig *rig = *state;
	static const struct {
		uint8_t first, bytes;
		uint8_t header[72];
	} good[] =
		{
			{60, 8, {47, 0, 4, 1, 4, 1, 1, 0}}, // encapsulation limit 4, PadN
			{60, 8, {47, 0, 4, 1, 0, 0, 0, 0}}, // 0, Pad1
			{0, 16,
				{60, 0, 1, 4, 0, 0, 0, 0, 47, 0, 4, 1, 4, 1,
					1}},                   // hop by hop, then that
			{60, 8, {47, 0, 0x1e, 4, 1, 2, 3, 4}}, // an option nobody knows
			{44, 8, {47, 0, 0, 0, 1, 2, 3, 4}},    // fragment header of a whole one
			{43, 8, {47, 0, 4, 0, 0, 0, 0, 0}},    // routing header, done with
			{60, 64, {47, 7, 1, 60}},
		},
	  bad[] = {
		  {60, 8, {47, 0, 0x5e, 4, 1, 2, 3, 4}}, // "drop if you do not know me"
		  {60, 8, {47, 0, 4, 9, 4, 1, 1, 0}},    // longer than its header
		  {60, 72, {47, 8, 1, 68}},              // too long for us
		  {43, 8, {47, 0, 4, 1, 0, 0, 0, 0}},    // has somewhere else to go
		  {60, 16, {60, 0, 0x5e, 4, 0, 0, 0, 0, 47, 0, 1, 4}}, // found behind both
	  };
	tunnel_over_ipv6(rig);
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		outer6(rig, good[i].header, good[i].bytes, good[i].first, &keyed);
		expect_inner(rig, ACME, 0);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		outer6(rig, bad[i].header, bad[i].bytes, bad[i].first, &keyed);
		rig_expect_drop(rig, CORE, DROP_GRE_EXTENSION, i + 1);
	}
	static const uint8_t part[2][8] = {{47, 0, 0, 1, 0, 0, 0, 9}, {47, 0, 1, 0, 0, 0, 0, 9}};
	for (unsigned i = 0; i < 2; i++) {
		outer6(rig, part[i], 8, 44, &keyed);
		rig_expect_drop(rig, CORE, DROP_FRAGMENT, i + 1);
	}
	// Not for us is somebody else's, whatever stands in it; and what is not GRE goes to the host.
	const struct wire_local l = {.vrf = UNDERLAY, .family = WIRE_IPV6, .addr = {0xfd, 1}};
	outer6(rig, (const uint8_t[]){6, 0, 1, 4, 0, 0, 0, 0}, 8, 60, &keyed);
	rig_expect_drop(rig, CORE, DROP_HOST_NONE, 1);
	assert_int_equal(local_delete(rig->dp, &l), 0);
	outer6(rig, bad[0].header, 8, 60,
		&(const struct gre){.flags = GRE_KEY, .key = 9, .protocol = 0x0800});
	rig_expect_drop(rig, CORE, DROP_NO_ROUTE, 1);
	rig_expect_nothing(rig);
}

// The most there can be in front: from an untagged frame to two tags, IPv6 and GRE with key.
static void deepest_front(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	struct wire_interface r = get_interface(rig, TUNNEL(INITECH));
	const struct ipv6 outer = {
		.source = {0xfd, 1}, .destination = {0xfd, 2}, .hop_limit = 64, .protocol = 47};
	const struct gre g = {.flags = GRE_KEY, .key = UINT32_MAX, .protocol = 0x86dd};
	struct ipv6 inner = ipv6_up;
	set_ethernet(rig, 90, UNDERLAY, 0, WIRE_INTERFACE_CORE, 3, 3, 4);
	set_neighbor(rig, 90, 90, CORE_ROUTER, mac_core);
	set_path(rig, 90, 90, 90, true);
	set_group(rig, 90, 90);
	r.family = WIRE_IPV6;
	memcpy(r.local, outer.source, 16);
	memcpy(r.remote, outer.destination, 16);
	r.flags |= WIRE_INTERFACE_KEY;
	r.key = UINT32_MAX;
	r.underlay = 90;
	set_interface(rig, &r);
	for (unsigned size = 0; size < 1400; size += 100) {
		inner.hop_limit = 64;
		frame_payload(&f, size);
		frame_ipv6(&f, &inner);
		frame_attachment(&f, INITECH, 0x86dd, true);
		rig_send(rig, 2, &f);
		inner.hop_limit = 63;
		frame_payload(&f, size);
		frame_ipv6(&f, &inner);
		frame_gre(&f, &g);
		frame_ipv6(&f, &outer);
		frame_type(&f, 0x86dd);
		frame_tag(&f, 4, 0x8100);
		frame_tag(&f, 3, 0x8100);
		frame_macs(&f, mac_core, rig->port[3].port.mac);
		rig_expect(rig, 3, &f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(all_optional_fields),
		PACKET_TEST(refused_flags_and_versions),
		PACKET_TEST(wrong_checksum),
		PACKET_TEST(triple_must_match_in_full),
		PACKET_TEST(payload_neither_ipv4_nor_ipv6),
		PACKET_TEST(payload_is_not_what_its_protocol_says),
		PACKET_TEST(outer_fragments),
		PACKET_TEST(gre_to_others_is_transit),
		PACKET_TEST(congestion_marks),
		PACKET_TEST(nested_gre_comes_out_once),
		PACKET_TEST(gre_in_a_broadcast_frame),
		PACKET_TEST(gre_on_an_attachment_is_not_decapsulated),
		PACKET_TEST(ipv6_outer),
		PACKET_TEST(extension_headers),
		PACKET_TEST(deepest_front),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
