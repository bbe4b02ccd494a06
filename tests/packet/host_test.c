// SPDX-License-Identifier: BSD-3-Clause

// Packets to us and from us: what reaches the kernel's side of an interface, what the kernel sends, and what happens to
// both when the interface is gone or another one.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/io/host_private.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/worker.h"
#include "tests/packet/packet.h"

static struct frame f;

static const struct ipv4 to_us = {.source = PEER, .destination = OURS, .ttl = 1, .protocol = 6};

static void build(const struct ipv4 *h)
{
	frame_payload(&f, 40);
	f.data[2] = 0; // TCP to port 179
	f.data[3] = 179;
	frame_ipv4(&f, h);
}

static void untagged(unsigned customer, bool up)
{
	const uint8_t ours[6] = {2, 0, 0, 0, 0, 0x10};
	frame_type(&f, 0x0800);
	if (up)
		frame_macs(&f, ours, mac_customer[customer]);
	else
		frame_macs(&f, mac_customer[customer], ours);
}

static void local_packet_reaches_the_tap(void **state)
{
	struct rig *rig = *state;
	for (unsigned c = ACME; c <= GLOBEX; c++) {
		int tap = rig_tap(rig, ATTACHMENT(c));
		build(&to_us);
		frame_attachment(&f, c, 0x0800, true);
		rig_send(rig, 0, &f);
		build(&to_us);
		untagged(c, true);
		rig_expect_tap(rig, tap, &f);
		assert_int_equal(rig_counts(rig, ATTACHMENT(c)).hot.to_host, 1);
		close(tap);
	}
}

static void arp_and_discovery(void **state)
{
	struct rig *rig = *state;
	int tap = rig_tap(rig, ATTACHMENT(ACME));
	const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	for (unsigned tagged = 2; tagged-- > 0;) {
		frame_payload(&f, 28);
		frame_type(&f, 0x0806);
		if (tagged)
			frame_tag(&f, 100, 0x8100);
		frame_macs(&f, all, mac_customer[ACME]);
		if (tagged)
			rig_send(rig, 0, &f);
		else
			rig_expect_tap(rig, tap, &f);
	}
	const struct ipv6 h = {.source = {0xfe, 0x80, [15] = 9},
		.destination = {0xff, 2, [11] = 1, [12] = 0xff, [15] = 1},
		.protocol = 58,
		.hop_limit = 255};
	const uint8_t group[6] = {0x33, 0x33, 0xff, 0, 0, 1};
	for (unsigned tagged = 2; tagged-- > 0;) {
		frame_payload(&f, 24);
		f.data[0] = 135;
		frame_ipv6(&f, &h);
		frame_type(&f, 0x86dd);
		if (tagged)
			frame_tag(&f, 100, 0x8100);
		frame_macs(&f, group, mac_customer[ACME]);
		if (tagged)
			rig_send(rig, 0, &f);
		else
			rig_expect_tap(rig, tap, &f);
	}
	assert_int_equal(rig_counts(rig, ATTACHMENT(ACME)).hot.to_host, 2);
	close(tap);
}

static void no_tap(void **state)
{
	struct rig *rig = *state;
	build(&to_us);
	frame_attachment(&f, ACME, 0x0800, true);
	rig_send(rig, 0, &f);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_HOST_NONE, 1);
	rig_expect_nothing(rig);
}

static void flood_of_one_spares_the_other(void **state)
{
	struct rig *rig = *state;
	int acme = rig_tap(rig, ATTACHMENT(ACME)), globex = rig_tap(rig, ATTACHMENT(GLOBEX));
	for (unsigned i = 0; i < 900; i++) {
		build(&to_us);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
	}
	build(&to_us);
	frame_attachment(&f, GLOBEX, 0x0800, true);
	rig_send(rig, 0, &f);
	rig_run(rig);
	struct rig_counts a = rig_counts(rig, ATTACHMENT(ACME));
	assert_true(a.sparse.drops[DROP_HOST_LIMITED] > 700);
	assert_int_equal(rig_counts(rig, ATTACHMENT(GLOBEX)).hot.to_host, 1);
	close(acme);
	close(globex);
}

// BGP has a class of its own, so that pings do not starve it, also where it stands behind extension headers.
static void routing_behind_extension_headers(void **state)
{
	struct rig *rig = *state;
	const struct wire_local l = {.vrf = PEERING(ACME),
		.interface = ATTACHMENT(ACME),
		.family = WIRE_IPV6,
		.addr = {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 1}};
	struct ipv6 h = ipv6_up;
	int tap = rig_tap(rig, ATTACHMENT(ACME));
	assert_int_equal(local_set(rig->dp, &l), 0);
	memcpy(h.destination, l.addr, 16);
	for (unsigned i = 0; i < 900; i++) {
		h.protocol = 58;
		frame_payload(&f, 48);
		f.data[0] = 128; // a ping
		if (i == 899) {
			h.protocol = 60;
			const uint8_t options[8] = {6, 0, 1, 4};
			memcpy(f.data, options, 8);
			f.data[8 + 2] = 0;
			f.data[8 + 3] = 179;
		}
		frame_ipv6(&f, &h);
		frame_attachment(&f, ACME, 0x86dd, true);
		rig_send(rig, 0, &f);
		if (i == 898) {
			rig_run(rig);
			assert_true(
				rig_counts(rig, ATTACHMENT(ACME)).sparse.drops[DROP_HOST_LIMITED] >
				700);
		}
	}
	uint64_t before = rig_counts(rig, ATTACHMENT(ACME)).hot.to_host;
	rig_run(rig);
	assert_int_equal(rig_counts(rig, ATTACHMENT(ACME)).hot.to_host, before + 1);
	close(tap);
}

enum asking { ARP_REQUEST, TO_GROUP, TO_OURS, BEHIND_OPTIONS, LINK_LOCAL_PING, LINK_LOCAL_BGP, ASKING };
enum told { ARP_ANSWER, ADVERTISEMENT, GLOBAL_PING, TOLD };

static const struct wire_local ours6 = {.family = WIRE_IPV6, .addr = {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 1}};

static void arp(uint8_t op, unsigned sender)
{
	const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, op};
	frame_payload(&f, 28);
	memcpy(f.data, head, 8);
	f.data[16] = (uint8_t)(sender >> 8);
	f.data[17] = (uint8_t)sender;
	frame_type(&f, 0x0806);
	frame_tag(&f, 100, 0x8100);
	frame_macs(&f, all, mac_customer[ACME]);
}

// From another sender each time, by acme's attachment.
static void ask(enum asking kind, unsigned sender)
{
	const uint8_t options[8] = {58, 0, 1, 4}, group[16] = {0xff, 2, [11] = 1, [12] = 0xff, [15] = 1};
	struct ipv6 h = ipv6_up;
	if (kind == ARP_REQUEST) {
		arp(1, sender);
		return;
	}
	frame_payload(&f, 48);
	if (kind == BEHIND_OPTIONS)
		memcpy(f.data, options, 8);
	f.data[kind == BEHIND_OPTIONS ? 8 : 0] = kind == LINK_LOCAL_PING ? 128 : 135;
	if (kind == LINK_LOCAL_BGP) {
		f.data[2] = 0;
		f.data[3] = 179;
	}
	h.protocol = kind == BEHIND_OPTIONS ? 60 : kind == LINK_LOCAL_BGP ? 6 : 58;
	h.hop_limit = 255;
	if (kind != TO_OURS && kind != BEHIND_OPTIONS)
		h.source[0] = 0xfe, h.source[1] = 0x80;
	h.source[14] = (uint8_t)(sender >> 8);
	h.source[15] = (uint8_t)sender;
	memcpy(h.destination, kind == TO_GROUP ? group : ours6.addr, 16);
	frame_ipv6(&f, &h);
	frame_attachment(&f, ACME, 0x86dd, true);
}

static void tell(enum told kind)
{
	struct ipv6 h = ipv6_up;
	if (kind == ARP_ANSWER) {
		arp(2, 0);
		return;
	}
	frame_payload(&f, 48);
	f.data[0] = kind == ADVERTISEMENT ? 136 : 128;
	h.protocol = 58;
	memcpy(h.destination, ours6.addr, 16);
	frame_ipv6(&f, &h);
	frame_attachment(&f, ACME, 0x86dd, true);
}

// Who asks goes into a table of the kernel's that all customers share: few do in a second, whatever they ask by, and what
// is no question passes meanwhile.
static void many_senders_ask(void **state)
{
	struct rig *rig = *state;
	struct wire_local l = ours6;
	int tap = rig_tap(rig, ATTACHMENT(ACME)), other = rig_tap(rig, ATTACHMENT(GLOBEX));
	l.vrf = PEERING(ACME);
	l.interface = ATTACHMENT(ACME);
	assert_int_equal(local_set(rig->dp, &l), 0);
	for (enum asking kind = 0; kind < ASKING; kind++) {
		uint64_t before = rig_counts(rig, ATTACHMENT(ACME)).hot.to_host;
		rig_now += 10 * RIG_HZ;
		for (unsigned i = 0; i < 300; i++) {
			ask(kind, i);
			rig_send(rig, 0, &f);
		}
		rig_run(rig);
		struct rig_counts counts = rig_counts(rig, ATTACHMENT(ACME));
		assert_in_range(counts.hot.to_host - before, 20, 22);
		assert_in_range(counts.sparse.drops[DROP_HOST_LIMITED], (kind + 1) * 278, (kind + 1) * 280);
		for (enum told t = 0; t < TOLD; t++) {
			tell(t);
			rig_send(rig, 0, &f);
		}
		rig_run(rig);
		assert_int_equal(rig_counts(rig, ATTACHMENT(ACME)).hot.to_host, counts.hot.to_host + TOLD);
	}
	build(&to_us);
	frame_attachment(&f, GLOBEX, 0x0800, true);
	rig_send(rig, 0, &f);
	rig_run(rig);
	assert_int_equal(rig_counts(rig, ATTACHMENT(GLOBEX)).hot.to_host, 1);
	close(tap);
	close(other);
}

// A machine that was suspended or moved may come back with a clock far behind the one it left with.
static void clock_that_goes_back(void **state)
{
	struct rig *rig = *state;
	const uint64_t later = rig_now += 1000 * RIG_HZ;
	int tap = rig_tap(rig, ATTACHMENT(ACME));
	struct ipv4 expired = ipv4_up;
	expired.ttl = 1;
	for (unsigned back = 0; back < 2; back++) {
		rig_now = later - back * 999 * RIG_HZ;
		build(&to_us);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
		build(&expired);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
		rig_run(rig);
		assert_int_equal(rig_counts(rig, ATTACHMENT(ACME)).hot.to_host, 1 + back);
		assert_int_equal(rig->port[0].out_count, 1 + back); // time exceeded
	}
	rig_now = later;
	close(tap);
}

// A turn that has nothing to forward touches no interface's counters. The last burst's first packet says where it would; a
// slot that is not there shows it.
static void nothing_to_forward(void **state)
{
	struct rig *rig = *state;
	int tap = rig_tap(rig, ATTACHMENT(ACME));
	const struct ipv4 h = {.source = OURS, .destination = PEER, .ttl = 1, .protocol = 6};
	build(&h);
	untagged(ACME, false);
	rig->dp->worker[0]->burst.packet[0].in = UINT32_MAX / 64;
	assert_int_equal(write(tap, f.data, f.length), f.length);
	build(&h);
	frame_attachment(&f, ACME, 0x0800, false);
	rig_expect(rig, 0, &f);
	close(tap);
}

// Two workers send for one tunnel in the same moment: an underlay that fragments must not take parts of the one for parts
// of the other.
static void outer_ids_of_workers_differ(void **state)
{
	static struct rig rig;
	const struct rig_config config = {.workers = 16};
	uint16_t id[16];
	rig_open(&rig, &config);
	network_up(&rig);
	for (unsigned w = 0; w < 16; w++) {
		if (w != 0)
			assert_int_equal(worker_add_queue(rig.dp->worker[w], 0, 0), 0);
		build(&ipv4_up);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(&rig, 0, &f);
		worker_turn(rig.dp->worker[w], rig_now);
		assert_true(rig_receive(&rig, 1, &f));
		id[w] = (uint16_t)(f.data[18] << 8 | f.data[19]);
		for (unsigned v = 0; v < w; v++)
			assert_in_range((uint16_t)(id[w] - id[v]), 0x1000, 0xf000);
	}
	rig_close(&rig);
}

static void kernel_sends_a_frame(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = {.source = OURS, .destination = PEER, .ttl = 1, .protocol = 6};
	for (unsigned c = ACME; c <= GLOBEX; c++) {
		int tap = rig_tap(rig, ATTACHMENT(c));
		build(&h);
		untagged(c, false);
		assert_int_equal(write(tap, f.data, f.length), f.length);
		build(&h);
		frame_attachment(&f, c, 0x0800, false);
		rig_expect(rig, 0, &f);
		struct rig_counts a = rig_counts(rig, ATTACHMENT(c));
		assert_int_equal(a.hot.from_host, 1);
		assert_int_equal(a.hot.tx_packets, 1);
		assert_int_equal(a.hot.tx_bytes, 60);
		close(tap);
	}
}

static void kernel_sends_into_a_tunnel(void **state)
{
	struct rig *rig = *state;
	int tun = rig_tap(rig, TUNNEL(ACME));
	struct ipv4 h = {.source = OURS, .destination = IN_VNET, .ttl = 1, .protocol = 6};
	build(&h);
	assert_int_equal(write(tun, f.data, f.length), f.length);
	struct ipv4 outer = outer_up(ACME);
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_core(&f, true);
	rig_expect(rig, 1, &f);
	assert_int_equal(rig_counts(rig, TUNNEL(ACME)).hot.from_host, 1);
	// Down: the packet is the tunnel's loss.
	set_path(rig, CORE, CORE, CORE, false);
	build(&h);
	assert_int_equal(write(tun, f.data, f.length), f.length);
	rig_expect_nothing(rig);
	assert_int_equal(rig_counts(rig, TUNNEL(ACME)).sparse.tx_drops[1], 1);
	// Not an IP packet at all.
	frame_payload(&f, 60);
	assert_int_equal(write(tun, f.data, f.length), f.length);
	rig_expect_nothing(rig);
	close(tun);
}

static void local_packet_out_of_a_tunnel(void **state)
{
	struct rig *rig = *state;
	int tun = rig_tap(rig, TUNNEL(ACME));
	set_local(rig, VNET(ACME), TUNNEL(ACME), OURS);
	struct ipv4 h = ipv4_down, outer = outer_down(ACME);
	h.destination = OURS;
	build(&h);
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_core(&f, false);
	rig_send(rig, 1, &f);
	build(&h);
	rig_expect_tap(rig, tun, &f);
	close(tun);
}

static void other_customers_tap_sees_nothing(void **state)
{
	struct rig *rig = *state;
	int acme = rig_tap(rig, ATTACHMENT(ACME)), globex = rig_tap(rig, ATTACHMENT(GLOBEX));
	uint8_t byte;
	build(&to_us);
	frame_attachment(&f, ACME, 0x0800, true);
	rig_send(rig, 0, &f);
	rig_run(rig);
	assert_int_equal(read(globex, &byte, 1), -1);
	assert_int_equal(read(acme, &byte, 1), 1);
	close(acme);
	close(globex);
}

// Parked in the ring while the interface is deleted, or becomes somebody else's.
static void parked_packet_is_stale(void **state)
{
	for (unsigned how = 0; how < 2; how++) {
		static struct rig rig;
		rig_open(&rig, NULL);
		network_up(&rig);
		set_ethernet(&rig, 90, PEERING(ACME), PEERING(ACME), 0, 3, 90, 0);
		set_local(&rig, PEERING(ACME), 90, IP4(169, 254, 90, 2));
		int tap = rig_tap(&rig, 90);
		struct ipv4 h = to_us;
		h.destination = IP4(169, 254, 90, 2);
		build(&h);
		frame_type(&f, 0x0800);
		frame_tag(&f, 90, 0x8100);
		frame_macs(&f, rig.port[3].port.mac, mac_customer[ACME]);
		rig_send(&rig, 3, &f);
		worker_turn(rig.dp->worker[0], rig_now); // the host path has not looked yet
		struct wire_interface r = get_interface(&rig, 90);
		struct wire_local l = {
			.vrf = PEERING(ACME), .family = WIRE_IPV4, .addr = {169, 254, 90, 2}};
		assert_int_equal(local_delete(rig.dp, &l), 0);
		if (how == 0) {
			assert_int_equal(interface_delete(rig.dp, 90), 0);
			host_unset(rig.host, interface_find(rig.dp, 90));
		} else {
			r.vrf = PEERING(GLOBEX);
			r.owner = PEERING(GLOBEX);
			set_interface(&rig, &r);
		}
		rig.in_total = how == 0;
		rig_run(&rig);
		uint8_t byte;
		assert_true(read(tap, &byte, 1) <= 0);
		struct rig_counts c = {0};
		if (how == 0)
			assert_int_equal(stats_sum_interface(rig.stats, 0, &c.hot, &c.sparse), 0);
		else
			c = rig_counts(&rig, 90);
		assert_int_equal(c.sparse.drops[DROP_STALE], 1);
		rig_close(&rig);
		close(tap);
	}
}

// What the kernel and the host path send leaves by any worker, also one that receives nothing.
static void several_workers(void **state)
{
	static struct rig rig;
	const struct rig_config config = {.workers = 3};
	rig_open(&rig, &config);
	network_up(&rig);
	const struct ipv4 h = {.source = OURS, .destination = PEER, .ttl = 1, .protocol = 6};
	for (unsigned c = ACME; c <= GLOBEX; c++) {
		int tap = rig_tap(&rig, ATTACHMENT(c));
		for (unsigned i = 0; i < 20; i++) { // in their order
			build(&h);
			f.data[25] = (uint8_t)i;
			untagged(c, false);
			assert_int_equal(write(tap, f.data, f.length), f.length);
		}
		for (unsigned i = 0; i < 20; i++) {
			build(&h);
			f.data[25] = (uint8_t)i;
			frame_attachment(&f, c, 0x0800, false);
			rig_expect(&rig, 0, &f);
		}
		struct ipv4 expired = ipv4_up;
		expired.ttl = 1;
		build(&expired);
		frame_attachment(&f, c, 0x0800, true);
		rig_send(&rig, 0, &f);
		rig_run(&rig);
		assert_int_equal(rig.port[0].out_count, 1);
		assert_true(rig_receive(&rig, 0, &f));
		assert_int_equal(f.data[15], c == ACME ? 100 : 200);
		close(tap);
	}
	rig_close(&rig);
}

// Parked for one interface's queue while that interface is deleted and its slot becomes another customer's.
static void queue_of_another_slot_owner(void **state)
{
	struct rig *rig = *state;
	const uint32_t ours = IP4(169, 254, 90, 2);
	struct ipv4 h = to_us;
	struct wire_local l = {
		.vrf = PEERING(ACME), .family = WIRE_IPV4, .addr = {169, 254, 90, 2}};
	uint8_t byte;
	set_ethernet(rig, 90, PEERING(ACME), PEERING(ACME), 0, 3, 90, 0);
	set_local(rig, PEERING(ACME), 90, ours);
	uint32_t slot = interface_find(rig->dp, 90);
	h.destination = ours;
	build(&h);
	frame_attachment(&f, ACME, 0x0800, true);
	rig_send(rig, 0, &f);
	worker_turn(rig->dp->worker[0], rig_now); // the host path has not looked yet
	assert_int_equal(local_delete(rig->dp, &l), 0);
	assert_int_equal(interface_delete(rig->dp, 90), 0);
	while (dataplane_poll(rig->dp) != 0) {
	}
	assert_int_equal(stats_slot_release(rig->stats, 1090), 0);
	set_ethernet(rig, 91, PEERING(GLOBEX), PEERING(GLOBEX), 0, 3, 91, 0);
	assert_int_equal(interface_find(rig->dp, 91), slot);
	int tap = rig_tap(rig, 91);
	rig_run(rig);
	assert_int_equal(read(tap, &byte, 1), -1);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_STALE, 1);
	close(tap);
}

// The controller keeps a copy of each queue: closing ours must end it here all the same.
static void descriptor_with_a_copy_is_let_go(void **state)
{
	struct rig *rig = *state;
	uint32_t slot = interface_find(rig->dp, ATTACHMENT(ACME));
	struct epoll_event event;
	int fd[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd), 0);
	int copy = dup(fd[0]);
	assert_int_equal(
		host_set(rig->host, slot, interface_at(rig->dp, slot)->generation, fd[0], true), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_int_equal(epoll_wait(rig->host->epoll, &event, 1, 0), 1);
	assert_int_equal(host_unset(rig->host, slot), 0);
	assert_int_equal(epoll_wait(rig->host->epoll, &event, 1, 0), 0);
	close(copy);
	close(fd[1]);
}

// Told once, not asked again for ever, and another one works.
static void descriptor_that_ends_is_told(void **state)
{
	struct rig *rig = *state;
	uint32_t slot = interface_find(rig->dp, ATTACHMENT(ACME)), lost = 0;
	struct epoll_event event;
	int tap = rig_tap(rig, ATTACHMENT(ACME));
	rig_run(rig);
	assert_false(host_lost(rig->host, &lost));
	close(tap);
	rig_run(rig);
	assert_true(host_lost(rig->host, &lost));
	assert_int_equal(lost, slot);
	assert_false(host_lost(rig->host, &lost));
	assert_int_equal(epoll_wait(rig->host->epoll, &event, 1, 0), 0);
	close(rig_tap(rig, ATTACHMENT(ACME))); // replaced before anybody asks: nothing to tell
	rig_run(rig);
	tap = rig_tap(rig, ATTACHMENT(ACME));
	rig_run(rig);
	assert_false(host_lost(rig->host, &lost));
	close(tap);
}

// The device is one of the domain that the interface was in.
static void tap_does_not_follow_into_another_vrf(void **state)
{
	struct rig *rig = *state;
	set_ethernet(rig, 90, PEERING(ACME), PEERING(ACME), 0, 3, 90, 0);
	int tap = rig_tap(rig, 90);
	struct wire_interface r = get_interface(rig, 90);
	struct ipv4 h = to_us;
	uint8_t byte;
	r.vrf = r.owner = PEERING(GLOBEX);
	set_interface(rig, &r);
	set_local(rig, PEERING(GLOBEX), 90, IP4(169, 254, 90, 2));
	h.destination = IP4(169, 254, 90, 2);
	build(&h);
	frame_type(&f, 0x0800);
	frame_tag(&f, 90, 0x8100);
	frame_macs(&f, rig->port[3].port.mac, mac_customer[GLOBEX]);
	rig_send(rig, 3, &f);
	rig_expect_drop(rig, 90, DROP_HOST_NONE, 1);
	assert_true(read(tap, &byte, 1) <= 0);
	close(tap);
}

// What would let one domain's packets out in another is refused, not obeyed.
static void domains_do_not_mix(void **state)
{
	struct rig *rig = *state;
	const struct wire_local l = {.vrf = PEERING(ACME),
		.interface = ATTACHMENT(GLOBEX),
		.family = WIRE_IPV4,
		.addr = {169, 254, 90, 2}};
	assert_int_equal(local_set(rig->dp, &l), -EINVAL);
	struct wire_interface r = get_interface(rig, ATTACHMENT(ACME));
	r.vrf = PEERING(GLOBEX); // routes and an address of acme's lead to it
	assert_int_equal(interface_set(rig->dp, &r), -EBUSY);
	r.vrf = PEERING(ACME);
	r.owner = UINT32_MAX; // what a group of several owners says
	assert_int_equal(interface_set(rig->dp, &r), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(local_packet_reaches_the_tap),
		PACKET_TEST(arp_and_discovery),
		PACKET_TEST(no_tap),
		PACKET_TEST(flood_of_one_spares_the_other),
		PACKET_TEST(routing_behind_extension_headers),
		PACKET_TEST(many_senders_ask),
		PACKET_TEST(clock_that_goes_back),
		PACKET_TEST(nothing_to_forward),
		cmocka_unit_test(outer_ids_of_workers_differ),
		PACKET_TEST(kernel_sends_a_frame),
		PACKET_TEST(kernel_sends_into_a_tunnel),
		PACKET_TEST(local_packet_out_of_a_tunnel),
		PACKET_TEST(other_customers_tap_sees_nothing),
		cmocka_unit_test(parked_packet_is_stale),
		cmocka_unit_test(several_workers),
		PACKET_TEST(queue_of_another_slot_owner),
		PACKET_TEST(descriptor_with_a_copy_is_let_go),
		PACKET_TEST(descriptor_that_ends_is_told),
		PACKET_TEST(tap_does_not_follow_into_another_vrf),
		PACKET_TEST(domains_do_not_mix),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
