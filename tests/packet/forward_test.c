// SPDX-License-Identifier: BSD-3-Clause

// The way itself: from an attachment into a tunnel and back, byte by byte, for every kind of attachment, IPv4 and IPv6,
// with three customers whose addresses are the same.

#include "dataplane/worker.h"
#include "tests/packet/packet.h"

// A packet of `payload` bytes as it stands on the customer's side, `hops` hops after it was sent.
static void inner4(struct frame *f, const struct ipv4 *h, unsigned payload, unsigned hops)
{
	struct ipv4 v = *h;
	v.ttl -= (uint8_t)hops;
	frame_payload(f, payload);
	frame_udp(f, 4000, 5000);
	frame_ipv4(f, &v);
}

static void inner6(struct frame *f, bool up, unsigned hops)
{
	struct ipv6 v = ipv6_up;
	v.hop_limit -= (uint8_t)hops;
	if (!up) {
		memcpy(v.source, ipv6_up.destination, 16);
		memcpy(v.destination, ipv6_up.source, 16);
	}
	frame_payload(f, 33);
	frame_udp(f, 4000, 5000);
	frame_ipv6(f, &v);
}

static unsigned access_port(unsigned c)
{
	return c == INITECH ? 2 : 0;
}

static void attachment_to_tunnel(void **state)
{
	struct rig *rig = *state;
	static struct frame in, out;
	for (unsigned c = 1; c <= CUSTOMERS; c++) {
		inner4(&in, &ipv4_up, 100, 0);
		frame_attachment(&in, c, 0x0800, true);
		rig_send(rig, access_port(c), &in);

		inner4(&out, &ipv4_up, 100, 1);
		struct ipv4 outer = outer_up(c);
		outer.id = (uint16_t)(c - 1); // the worker's own count
		frame_tunnel(&out, c, 0x0800, &outer);
		frame_core(&out, true);
		rig_expect(rig, 1, &out);
		rig_expect_nothing(rig);

		struct rig_counts a = rig_counts(rig, ATTACHMENT(c)),
				  t = rig_counts(rig, TUNNEL(c));
		assert_int_equal(a.hot.rx_packets, 1);
		assert_int_equal(a.hot.rx_bytes, 128);
		assert_int_equal(a.hot.forwarded, 1);
		assert_int_equal(t.hot.tx_packets, 1);
		assert_int_equal(t.hot.tx_bytes, 128);
	}
	assert_int_equal(rig_counts(rig, CORE).hot.tx_packets, 0);
}

static void tunnel_to_attachment(void **state)
{
	struct rig *rig = *state;
	static struct frame in, out;
	for (unsigned c = 1; c <= CUSTOMERS; c++) {
		struct ipv4 outer = outer_down(c);
		inner4(&in, &ipv4_down, 100, 0);
		frame_tunnel(&in, c, 0x0800, &outer);
		frame_core(&in, false);
		rig_send(rig, 1, &in);

		inner4(&out, &ipv4_down, 100, 1);
		frame_attachment(&out, c, 0x0800, false);
		rig_expect(rig, access_port(c), &out);
		rig_expect_nothing(rig);

		struct rig_counts core = rig_counts(rig, CORE), t = rig_counts(rig, TUNNEL(c));
		assert_int_equal(core.hot.rx_packets, c);
		assert_int_equal(core.hot.decapsulated, c);
		assert_int_equal(t.hot.rx_packets, 1);
		assert_int_equal(t.hot.rx_bytes, 128);
		assert_int_equal(rig_counts(rig, ATTACHMENT(c)).hot.tx_bytes, 128);
	}
}

static void ipv6_both_ways(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	for (unsigned c = 1; c <= CUSTOMERS; c++) {
		struct ipv4 outer = outer_up(c), back = outer_down(c);
		inner6(&f, true, 0);
		frame_attachment(&f, c, 0x86dd, true);
		rig_send(rig, access_port(c), &f);
		inner6(&f, true, 1);
		outer.fragment =
			0x4000; // IPv6 is never fragmented on the way, so its outer packet is not
		frame_tunnel(&f, c, 0x86dd, &outer);
		frame_core(&f, true);
		rig_expect(rig, 1, &f);

		inner6(&f, false, 0);
		frame_tunnel(&f, c, 0x86dd, &back);
		frame_core(&f, false);
		rig_send(rig, 1, &f);
		inner6(&f, false, 1);
		frame_attachment(&f, c, 0x86dd, false);
		rig_expect(rig, access_port(c), &f);
	}
	rig_expect_nothing(rig);
}

static void padding_is_cut(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	inner4(&f, &ipv4_up, 1, 0);
	frame_attachment(&f, ACME, 0x0800, true);
	frame_pad(&f, 64);
	rig_send(rig, 0, &f);
	inner4(&f, &ipv4_up, 1, 1);
	struct ipv4 outer = outer_up(ACME);
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_core(&f, true);
	rig_expect(rig, 1, &f);
	assert_int_equal(rig_counts(rig, ATTACHMENT(ACME)).hot.rx_bytes, 29);
}

static void dscp_ecn_and_df_are_copied(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	struct ipv4 h = ipv4_up, outer = outer_up(ACME);
	h.tos = 46 << 2 | 2;
	h.fragment = 0x4000;
	inner4(&f, &h, 10, 0);
	frame_attachment(&f, ACME, 0x0800, true);
	rig_send(rig, 0, &f);
	inner4(&f, &h, 10, 1);
	outer.tos = h.tos;
	outer.fragment = 0x4000;
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_core(&f, true);
	rig_expect(rig, 1, &f);
}

// Every value of a checksum, as far as the id can move it: the incremental update must hit them all.
static void ttl_checksum_over_all_ids(void **state)
{
	struct rig *rig = *state;
	static struct frame in, out;
	struct ipv4 h = ipv4_up;
	for (unsigned id = 0; id < 65536; id++) {
		h.id = (uint16_t)id;
		h.ttl = (uint8_t)(2 + id % 250);
		h.fragment = 0x4000;
		inner4(&in, &h, 0, 0);
		frame_attachment(&in, ACME, 0x0800, true);
		rig_send(rig, 0, &in);
		inner4(&out, &h, 0, 1);
		struct ipv4 outer = outer_up(ACME);
		outer.fragment = 0x4000;
		frame_tunnel(&out, ACME, 0x0800, &outer);
		frame_core(&out, true);
		rig_expect(rig, 1, &out);
	}
}

static void priority_tag_counts_as_none(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	const uint8_t ours[6] = {2, 0, 0, 0, 0, 0x12};
	inner4(&f, &ipv4_up, 10, 0);
	frame_type(&f, 0x0800);
	frame_tag(&f, 5 << 13, 0x8100);
	frame_macs(&f, ours, mac_customer[INITECH]);
	rig_send(rig, 2, &f);
	inner4(&f, &ipv4_up, 10, 1);
	struct ipv4 outer = outer_up(INITECH);
	frame_tunnel(&f, INITECH, 0x0800, &outer);
	frame_core(&f, true);
	rig_expect(rig, 1, &f);
}

static void customers_gre_is_payload(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	// A customer's own tunnel, with globex's outer addresses and key: nothing but acme's payload.
	for (unsigned out = 0; out < 2; out++) {
		struct ipv4 own = ipv4_up, outer = outer_up(ACME), inside = outer_down(GLOBEX);
		own.protocol = 47;
		own.ttl -= (uint8_t)out;
		inner4(&f, &ipv4_down, 20, 0);
		frame_tunnel(&f, GLOBEX, 0x0800, &inside);
		const struct gre g = {.flags = GRE_KEY, .key = 1002, .protocol = 0x0800};
		frame_gre(&f, &g);
		frame_ipv4(&f, &own);
		if (out == 0) {
			frame_attachment(&f, ACME, 0x0800, true);
			rig_send(rig, 0, &f);
		} else {
			frame_tunnel(&f, ACME, 0x0800, &outer);
			frame_core(&f, true);
			rig_expect(rig, 1, &f);
		}
	}
	rig_expect_nothing(rig);
}

static void full_bursts_keep_order(void **state)
{
	struct rig *rig = *state;
	static struct frame f;
	for (unsigned i = 0; i < 200; i++) {
		unsigned c = i % 3 == 0 ? GLOBEX : ACME;
		inner4(&f, &ipv4_up, i, 0);
		frame_attachment(&f, c, 0x0800, true);
		rig_send(rig, 0, &f);
	}
	for (unsigned i = 0; i < 200; i++) {
		unsigned c = i % 3 == 0 ? GLOBEX : ACME;
		struct ipv4 outer = outer_up(c);
		outer.id = (uint16_t)i;
		inner4(&f, &ipv4_up, i, 1);
		frame_tunnel(&f, c, 0x0800, &outer);
		frame_core(&f, true);
		rig_expect(rig, 1, &f);
	}
}

static char followed[8][32];
static unsigned followed_stages;

static uint32_t pick_odd(struct worker *w)
{
	return 0xaaaaaaaa & (uint32_t)((1ull << w->burst.count) - 1);
}

// One letter for each packet that is followed: alive, or a digit for its drop reason.
static void follow(struct worker *w, enum trace_stage stage)
{
	const struct burst *b = &w->burst;
	char *to = followed[followed_stages++];
	*to++ = "cdlgpo"[stage];
	for (unsigned i = 0; i < b->count; i++) {
		if (b->traced >> i & 1)
			*to++ = stage == TRACE_OUTPUT                 ? 'o'
				: b->alive >> i & 1                   ? 'a'
				: b->packet[i].pending == DROP_SOURCE ? 's'
				: b->packet[i].pending == DROP_TTL    ? 't'
								      : '?';
	}
	*to = 0;
}

// What becomes of the packets that are followed, stage by stage, also where others around them leave the burst.
static void packets_are_followed(void **state)
{
	struct rig *rig = *state;
	static const struct trace tracing = {.pick = pick_odd, .stage = follow};
	static const char *const want[] = {"caaa", "laat", "gast", "past", "oo"};
	struct frame f;
	rig->dp->worker[0]->trace = &tracing;
	followed_stages = 0;
	for (unsigned i = 0; i < 6; i++) {
		struct ipv4 h = ipv4_up;
		h.ttl = i == 5 || i == 0 ? 1 : 64;
		h.source = i == 3 ? IP4(10, 9, 0, 1) : ON_PREMISES; // from within the vNet
		frame_payload(&f, 40);
		frame_ipv4(&f, &h);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
	}
	worker_turn(rig->dp->worker[0], rig_now);
	rig->dp->worker[0]->trace = NULL;
	for (unsigned i = 0; i < followed_stages; i++)
		printf("%s ", followed[i]);
	printf("\n");
	assert_int_equal(followed_stages, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_string_equal(followed[i], want[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(attachment_to_tunnel),
		PACKET_TEST(tunnel_to_attachment),
		PACKET_TEST(ipv6_both_ways),
		PACKET_TEST(padding_is_cut),
		PACKET_TEST(dscp_ecn_and_df_are_copied),
		PACKET_TEST(ttl_checksum_over_all_ids),
		PACKET_TEST(priority_tag_counts_as_none),
		PACKET_TEST(customers_gre_is_payload),
		PACKET_TEST(full_bursts_keep_order),
		PACKET_TEST(packets_are_followed),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
