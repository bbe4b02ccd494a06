// SPDX-License-Identifier: BSD-3-Clause

// MTU and TTL: what is fragmented, what is refused and with which word to the sender.

#include "dataplane/tables/interface.h"
#include "dataplane/tables/vrf.h"
#include "tests/packet/packet.h"

static struct frame f;

static void build(const struct ipv4 *h, unsigned payload)
{
	frame_payload(&f, payload);
	frame_ipv4(&f, h);
}

static void send_up(struct rig *rig, const struct ipv4 *h, unsigned payload)
{
	build(h, payload);
	frame_attachment(&f, ACME, 0x0800, true);
	rig_send(rig, 0, &f);
}

// The payload of each fragment, put together again; every fragment is checked to be one of `h`.
static unsigned reassemble(struct rig *rig, const struct ipv4 *h, unsigned l3, unsigned port,
	unsigned mtu, uint8_t *payload)
{
	unsigned total = 0, got = 0;
	while (rig_receive(rig, port, &f)) {
		const uint8_t *ip = f.data + l3;
		unsigned header = (ip[0] & 15u) * 4, length = (unsigned)ip[2] << 8 | ip[3];
		unsigned field = (unsigned)ip[6] << 8 | ip[7], at = (field & 0x1fff) * 8;
		assert_int_equal(f.length, l3 + length);
		assert_true(length <= mtu);
		assert_int_equal(frame_checksum(ip, header), 0);
		assert_int_equal((unsigned)ip[4] << 8 | ip[5], h->id);
		assert_int_equal(ip[8], h->ttl - 1);
		assert_int_equal(field & 0xc000, 0);
		memcpy(payload + at, ip + header, length - header);
		got += length - header;
		if (!(field & 0x2000))
			total = at + length - header;
	}
	assert_int_equal(got, total);
	return total;
}

static void fragments_come_together(void **state)
{
	struct rig *rig = *state;
	static uint8_t payload[FRAME_ROOM];
	struct ipv4 h = ipv4_up;
	h.id = 0x1234;
	for (unsigned size = 1440; size < 9000; size += 97) {
		unsigned fragments = 0;
		send_up(rig, &h, size);
		rig_run(rig);
		fragments = rig->port[1].out_count;
		unsigned total = reassemble(rig, &h, 14 + 28, 1, 1472, payload);
		assert_int_equal(total, size);
		for (unsigned i = 0; i < size; i++)
			assert_int_equal(payload[i], (uint8_t)i);
		unsigned each = (1472 - 20) & ~7u;
		assert_int_equal(fragments, size + 20 <= 1472 ? 1 : (size + each - 1) / each);
	}
}

static void fragment_of_a_fragment(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	h.id = 7;
	h.fragment = 0x2000 | 100; // more to come, 800 bytes in
	send_up(rig, &h, 2000);
	rig_run(rig);
	assert_int_equal(rig->port[1].out_count, 2);
	assert_true(rig_receive(rig, 1, &f));
	assert_int_equal((unsigned)f.data[42 + 6] << 8 | f.data[42 + 7], 0x2000 | 100);
	assert_true(rig_receive(rig, 1, &f));
	assert_int_equal((unsigned)f.data[42 + 6] << 8 | f.data[42 + 7], 0x2000 | (100 + 1448 / 8));
}

// Its parts would lie beyond what an offset can say, and wrap around to the datagram's beginning.
static void fragment_beyond_any_datagram(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	h.fragment = 0x1fff; // 65528 bytes in
	send_up(rig, &h, 2000);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_FRAGMENT, 1);
	rig_expect_nothing(rig);
	h.fragment = (65535 - 2000) / 8; // the last that fits
	send_up(rig, &h, 2000);
	rig_run(rig);
	assert_int_equal(rig->port[1].out_count, 2);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_FRAGMENT, 1);
}

static void options_in_fragments(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	// Record route (not copied), then a copied security option, then end.
	static const uint8_t options[] = {7, 7, 4, 0, 0, 0, 0, 0x82, 4, 1, 2, 0};
	memcpy(h.options, options, sizeof(options));
	h.option_bytes = sizeof(options);
	send_up(rig, &h, 2000);
	rig_run(rig);
	assert_true(rig_receive(rig, 1, &f));
	assert_memory_equal(f.data + 42 + 20, options, sizeof(options));
	static const uint8_t later[] = {1, 1, 1, 1, 1, 1, 1, 0x82, 4, 1, 2, 0};
	assert_true(rig_receive(rig, 1, &f));
	assert_memory_equal(f.data + 42 + 20, later, sizeof(later));
	assert_int_equal(frame_checksum(f.data + 42, 32), 0);
}

// 18 packets of one customer fill the list of fragments; the next one's is no worse off for it.
static void fragments_of_another_customer(void **state)
{
	struct rig *rig = *state;
	for (unsigned i = 0; i < 18; i++)
		send_up(rig, &ipv4_up, 9000); // 7 fragments each
	build(&ipv4_up, 9000);
	frame_attachment(&f, GLOBEX, 0x0800, true);
	rig_send(rig, 0, &f);
	rig_run(rig);
	for (unsigned c = ACME; c <= GLOBEX; c++) {
		struct rig_counts t = rig_counts(rig, TUNNEL(c));
		assert_int_equal(t.hot.tx_packets, (c == ACME ? 18 : 1) * 7);
		assert_int_equal(t.sparse.extra_fragments, (c == ACME ? 18 : 1) * 6);
		assert_int_equal(t.sparse.tx_drops[2], 0);
	}
}

static void expect_icmp(struct rig *rig, uint8_t type, uint8_t code, unsigned mtu)
{
	rig_run(rig);
	assert_true(rig_receive(rig, 0, &f));
	const uint8_t *ip = f.data + 18, *icmp = ip + 20;
	assert_int_equal(ip[9], 1);
	assert_int_equal(icmp[0], type);
	assert_int_equal(icmp[1], code);
	assert_int_equal((unsigned)icmp[6] << 8 | icmp[7], mtu);
	assert_int_equal(frame_checksum(icmp, f.length - 38), 0);
	rig_expect_nothing(rig);
}

static void too_big_with_df(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	h.fragment = 0x4000;
	send_up(rig, &h, 1452);
	rig_run(rig);
	assert_true(rig_receive(rig, 1, &f)); // exactly the tunnel's MTU
	send_up(rig, &h, 1453);
	rig_run(rig);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_MTU, 1);
	expect_icmp(rig, 3, 4, 1472);
	assert_int_equal(rig_counts(rig, ATTACHMENT(ACME)).sparse.generated, 1);
	// The core's MTU counts too, less the outer headers.
	struct wire_interface core = get_interface(rig, CORE);
	core.mtu = 1400;
	set_interface(rig, &core);
	send_up(rig, &h, 1353);
	expect_icmp(rig, 3, 4, 1372);
}

static void ignore(void *ctx, uint32_t slot)
{
}

// What an interface is given and its port does not carry is taken and not used: the port's MTU counts, also
// when it becomes another one, and so does the room that two tags take.
static void no_more_than_the_port_carries(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	struct wire_interface core = get_interface(rig, CORE);
	core.mtu = 9000;
	rig->port[core.port].port.mtu = 1500;
	rig->port[core.port].port.tag_debt = 4;
	set_interface(rig, &core);
	assert_int_equal(get_interface(rig, CORE).mtu, 9000); // read back as it was given
	core.vlans = 2;
	assert_int_equal(interface_mtu(rig->dp, &core), 1496);
	core.vlans = 1;
	assert_int_equal(interface_mtu(rig->dp, &core), 1500);
	h.fragment = 0x4000;
	send_up(rig, &h, 1453);
	expect_icmp(rig, 3, 4, 1472);
	rig->port[core.port].port.mtu = 1400; // somebody changed the kernel device's
	interfaces_follow_port(rig->dp, core.port, ignore, NULL);
	send_up(rig, &h, 1353);
	expect_icmp(rig, 3, 4, 1372);
	rig->port[core.port].port.mtu = 1600;
	interfaces_follow_port(rig->dp, core.port, ignore, NULL);
	struct wire_interface tunnel = get_interface(rig, TUNNEL(ACME));
	tunnel.mtu = 1572; // an inner 1500 takes 1528 of the core
	set_interface(rig, &tunnel);
	send_up(rig, &h, 1480);
	rig_run(rig);
	assert_true(rig_receive(rig, 1, &f));
	rig_expect_nothing(rig);
}

static void set_source6(struct rig *rig, uint32_t interface, const uint8_t addr[16])
{
	struct host_source s = {.slot = interface_find(rig->dp, interface), .has = {false, true}};
	memcpy(s.source6, addr, 16);
	host_set_sources(rig->host, &s, 1);
}

static void set_local6(struct rig *rig, const uint8_t addr[16])
{
	struct wire_local r = {
		.vrf = PEERING(ACME), .interface = ATTACHMENT(ACME), .family = WIRE_IPV6};
	memcpy(r.addr, addr, 16);
	assert_int_equal(local_set(rig->dp, &r), 0);
}

// As much of the packet as 576 and 1280 bytes allow (RFC 1812 4.3.2.3, RFC 4443 2.4 c), as it came.
static void errors_quote_the_packet(void **state)
{
	struct rig *rig = *state;
	static const unsigned sizes[] = {20, 28, 547, 548, 549, 1500};
	static uint8_t sent[FRAME_ROOM];
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct ipv4 h = ipv4_up;
		h.ttl = 1;
		build(&h, sizes[i] - 20);
		memcpy(sent, f.data, f.length);
		frame_attachment(&f, ACME, 0x0800, true);
		frame_pad(&f, 60);
		rig_send(rig, 0, &f);
		rig_run(rig);
		assert_true(rig_receive(rig, 0, &f));
		unsigned quoted = sizes[i] < 548 ? sizes[i] : 548;
		assert_int_equal(f.length, 18 + 28 + quoted);
		assert_memory_equal(f.data + 18 + 28, sent, quoted);
		assert_int_equal(frame_checksum(f.data + 38, f.length - 38), 0);
		assert_memory_equal(f.data + 18 + 16, sent + 12, 4); // to its source
	}
	const uint8_t source[16] = {0x20, 1, 0xd, 0xb8, 0xff, [15] = 1};
	set_source6(rig, ATTACHMENT(ACME), source);
	for (unsigned size = 1231; size < 1500; size += size < 1234 ? 1 : 266) {
		struct ipv6 h = ipv6_up;
		h.hop_limit = 1;
		frame_payload(&f, size - 40);
		frame_ipv6(&f, &h);
		memcpy(sent, f.data, f.length);
		frame_attachment(&f, ACME, 0x86dd, true);
		rig_send(rig, 0, &f);
		rig_run(rig);
		assert_true(rig_receive(rig, 0, &f));
		unsigned quoted = size < 1232 ? size : 1232;
		assert_int_equal(f.length, 18 + 48 + quoted);
		assert_memory_equal(f.data + 18 + 48, sent, quoted);
		// The pseudo header's addresses stand where they are summed; length and protocol put beside.
		uint8_t *ip = f.data + 18;
		memset(ip, 0, 8);
		ip[4] = (uint8_t)((8 + quoted) >> 8);
		ip[5] = (uint8_t)(8 + quoted);
		ip[7] = 58;
		assert_int_equal(frame_checksum(ip, f.length - 18), 0);
	}
}

// What nobody is told of: a fragment but the first, a source that is not one host.
static void errors_not_sent(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	h.ttl = 1;
	h.fragment = 1;
	send_up(rig, &h, 64);
	rig_expect_nothing(rig);
	h.fragment = 0x2000; // the first
	send_up(rig, &h, 64);
	rig_run(rig);
	assert_true(rig_receive(rig, 0, &f));
	h.fragment = 0;
	h.protocol = 1;
	build(&h, 64);
	f.data[20] = 3; // an error itself
	frame_attachment(&f, ACME, 0x0800, true);
	rig_send(rig, 0, &f);
	rig_expect_nothing(rig);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_TTL, 3);
}

static void ipv6_too_big(void **state)
{
	struct rig *rig = *state;
	const uint8_t source[16] = {0x20, 1, 0xd, 0xb8, 0xff, [15] = 1};
	set_source6(rig, ATTACHMENT(ACME), source);
	frame_payload(&f, 1500 - 40);
	frame_ipv6(&f, &ipv6_up);
	frame_attachment(&f, ACME, 0x86dd, true);
	rig_send(rig, 0, &f);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_MTU, 1);
	assert_true(rig_receive(rig, 0, &f));
	const uint8_t *ip = f.data + 18;
	assert_int_equal(ip[6], 58);
	assert_memory_equal(ip + 8, source, 16);
	assert_int_equal(ip[40], 2); // packet too big
	assert_int_equal((unsigned)ip[46] << 8 | ip[47], 1472);
	rig_expect_nothing(rig);
}

static void send_down6(struct rig *rig, unsigned bytes, uint8_t hop_limit, uint8_t net)
{
	const struct ipv4 outer = outer_down(ACME);
	struct ipv6 h = ipv6_up;
	memcpy(h.source, ipv6_up.destination, 16);
	memcpy(h.destination, ipv6_up.source, 16);
	h.destination[5] = net;
	h.hop_limit = hop_limit;
	frame_payload(&f, bytes - 40);
	frame_ipv6(&f, &h);
	frame_tunnel(&f, ACME, 0x86dd, &outer);
	frame_core(&f, false);
	rig_send(rig, 1, &f);
	rig_run(rig);
}

static void expect_icmp6_down(struct rig *rig, const uint8_t *source, uint8_t type, uint8_t code)
{
	assert_true(rig_receive(rig, 1, &f));
	const uint8_t *ip = f.data + 14 + 28;
	assert_int_equal(ip[6], 58);
	assert_memory_equal(ip + 8, source, 16);
	assert_memory_equal(ip + 24, ipv6_up.destination, 16);
	assert_int_equal(ip[40], type);
	assert_int_equal(ip[41], code);
	rig_expect_nothing(rig);
}

// A tunnel has no address of its own: errors about a vNet's packets come from the interface they were to leave by. Where
// there is none to be had either, one that cannot be sent is counted.
static void ipv6_errors_towards_a_vnet(void **state)
{
	struct rig *rig = *state;
	const uint8_t source[16] = {0x20, 1, 0xd, 0xb8, 0xff, [15] = 1};
	const uint8_t of_the_link[16] = {0xfe, 0x80, [15] = 1};
	uint32_t attachment = interface_find(rig->dp, ATTACHMENT(ACME));
	struct wire_interface r = get_interface(rig, ATTACHMENT(ACME));
	r.mtu = 1300;
	set_interface(rig, &r);
	uint8_t heard[16];
	set_local6(rig, of_the_link);
	assert_false(local_of(rig->dp, attachment, WIRE_IPV6, heard));
	send_down6(rig, 1400, 64, 1);
	rig_expect_drop(rig, TUNNEL(ACME), DROP_MTU, 1);
	rig_expect_drop(rig, TUNNEL(ACME), DROP_ICMP_SOURCE, 1);
	rig_expect_nothing(rig);

	set_local6(rig, source);
	assert_true(local_of(rig->dp, attachment, WIRE_IPV6, heard));
	host_follow_locals(rig->host);
	send_down6(rig, 1400, 64, 1);
	expect_icmp6_down(rig, source, 2, 0); // packet too big
	const uint8_t *ip = f.data + 14 + 28;
	assert_int_equal((unsigned)ip[46] << 8 | ip[47], 1300);
	send_down6(rig, 100, 1, 1);
	expect_icmp6_down(rig, source, 3, 0); // time exceeded
	set_path(rig, ATTACHMENT(ACME), ATTACHMENT(ACME), ATTACHMENT(ACME), false);
	send_down6(rig, 100, 64, 1);
	expect_icmp6_down(rig, source, 1, 3); // address unreachable
	send_down6(rig, 100, 64, 77);
	rig_expect_drop(rig, TUNNEL(ACME), DROP_NO_ROUTE, 1);
	rig_expect_drop(rig, TUNNEL(ACME), DROP_ICMP_SOURCE, 2);
	rig_expect_nothing(rig);
	assert_int_equal(rig_counts(rig, TUNNEL(ACME)).sparse.generated, 5);
}

static void send_icmp6(struct rig *rig, uint8_t type, unsigned headers)
{
	struct ipv6 h = ipv6_up;
	h.hop_limit = 1;
	h.protocol = headers == 0 ? 58 : 60;
	frame_payload(&f, headers * 16 + 24);
	memset(f.data, 0, f.length);
	for (unsigned i = 0; i < headers; i++) { // destination options, 16 bytes each
		f.data[i * 16] = i + 1 < headers ? 60 : 58;
		f.data[i * 16 + 1] = 1;
	}
	f.data[headers * 16] = type;
	frame_ipv6(&f, &h);
	frame_attachment(&f, ACME, 0x86dd, true);
	rig_send(rig, 0, &f);
}

// No error about an error, however deep it is hidden (RFC 4443 2.4 e).
static void errors_about_errors(void **state)
{
	struct rig *rig = *state;
	const uint8_t source[16] = {0x20, 1, 0xd, 0xb8, 0xff, [15] = 1};
	set_source6(rig, ATTACHMENT(ACME), source);
	for (unsigned headers = 0; headers < 4; headers++) {
		send_icmp6(rig, 1, headers);
		send_icmp6(rig, 137, headers);
		rig_expect_nothing(rig);
		send_icmp6(rig, 128, headers);
		rig_run(rig);
		assert_int_equal(rig->port[0].out_count, 1);
		assert_true(rig_receive(rig, 0, &f));
		assert_int_equal(f.data[18 + 40], 3);
	}
	// Headers that go on behind the end: it cannot be told, so nothing is said.
	struct ipv6 h = ipv6_up;
	h.hop_limit = 1;
	h.protocol = 0;
	frame_payload(&f, 8);
	memset(f.data, 255, 8);
	f.data[0] = 60;
	frame_ipv6(&f, &h);
	frame_attachment(&f, ACME, 0x86dd, true);
	rig_send(rig, 0, &f);
	rig_expect_nothing(rig);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_TTL, 13);
}

static void ttl_ran_out(void **state)
{
	struct rig *rig = *state;
	for (uint8_t ttl = 0; ttl < 2; ttl++) {
		struct ipv4 h = ipv4_up;
		h.ttl = ttl;
		send_up(rig, &h, 30);
		rig_expect_drop(rig, ATTACHMENT(ACME), DROP_TTL, ttl + 1u);
		expect_icmp(rig, 11, 0, 0);
	}
	struct ipv4 h = ipv4_up;
	h.ttl = 2;
	send_up(rig, &h, 30);
	rig_run(rig);
	assert_true(rig_receive(rig, 1, &f));
	assert_int_equal(f.data[42 + 8], 1);
}

// The limit on errors is the host path's; what matters here is that everything is accounted for.
static void flood_of_errors(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	h.ttl = 1;
	for (unsigned i = 0; i < 900; i++)
		send_up(rig, &h, 30);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_TTL, 900);
	assert_true(rig->port[0].out_count < 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(fragments_come_together),
		PACKET_TEST(fragment_of_a_fragment),
		PACKET_TEST(fragment_beyond_any_datagram),
		PACKET_TEST(options_in_fragments),
		PACKET_TEST(fragments_of_another_customer),
		PACKET_TEST(too_big_with_df),
		PACKET_TEST(no_more_than_the_port_carries),
		PACKET_TEST(errors_quote_the_packet),
		PACKET_TEST(errors_not_sent),
		PACKET_TEST(ipv6_too_big),
		PACKET_TEST(ipv6_errors_towards_a_vnet),
		PACKET_TEST(errors_about_errors),
		PACKET_TEST(ttl_ran_out),
		PACKET_TEST(flood_of_errors),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
