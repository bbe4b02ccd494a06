// SPDX-License-Identifier: BSD-3-Clause

// One case for each way a packet ends: the verdict, who is charged, and that nothing leaves.

#include "dataplane/tables/interface.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/worker.h"
#include "tests/packet/packet.h"

#include <sys/mman.h>

static struct frame f;

static void build(const struct ipv4 *h, unsigned payload)
{
	frame_payload(&f, payload);
	frame_udp(&f, 4000, 5000);
	frame_ipv4(&f, h);
}

static void send_up(struct rig *rig, const struct ipv4 *h)
{
	build(h, 30);
	frame_attachment(&f, ACME, 0x0800, true);
	rig_send(rig, 0, &f);
}

static void expect(struct rig *rig, uint32_t interface, enum drop_reason reason, uint64_t n)
{
	rig_expect_drop(rig, interface, reason, n);
	rig_expect_nothing(rig);
}

// The same, and the customer is told: ICMP destination unreachable with this code.
static void expect_unreachable(struct rig *rig, enum drop_reason reason, uint64_t n, uint8_t code)
{
	rig_expect_drop(rig, ATTACHMENT(ACME), reason, n);
	assert_true(rig_receive(rig, 0, &f));
	assert_int_equal(f.data[18 + 9], 1);
	assert_int_equal(f.data[18 + 20], 3);
	assert_int_equal(f.data[18 + 21], code);
	rig_expect_nothing(rig);
}

static void unknown_tags(void **state)
{
	struct rig *rig = *state;
	static const uint16_t stacks[][3] = {
		{101}, {200}, {100, 5}, {200, 8}, {7, 200}, {100, 200, 7}, {4095}};
	for (unsigned i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
		build(&ipv4_up, 30);
		frame_type(&f, 0x0800);
		for (unsigned t = 3; t-- > 0;) {
			if (stacks[i][t] != 0)
				frame_tag(&f, stacks[i][t], 0x8100);
		}
		frame_macs(&f, rig->port[0].port.mac, mac_customer[ACME]);
		rig_send(rig, 0, &f);
		rig_expect_nothing(rig);
		assert_int_equal(rig_unclassified(rig, 0).sparse.drops[DROP_VLAN_UNKNOWN], i + 1);
	}
	// A third tag behind a known pair.
	build(&ipv4_up, 30);
	frame_type(&f, 0x0800);
	frame_tag(&f, 3, 0x8100);
	frame_tag(&f, 7, 0x8100);
	frame_tag(&f, 200, 0x8100);
	frame_macs(&f, rig->port[0].port.mac, mac_customer[GLOBEX]);
	rig_send(rig, 0, &f);
	expect(rig, ATTACHMENT(GLOBEX), DROP_ETHERTYPE, 1);
}

static void tpids(void **state)
{
	static const uint16_t tpid[] = {0x8100, 0x88a8};
	for (unsigned setting = 0; setting < 3; setting++) {
		for (unsigned t = 0; t < 2; t++) {
			static struct rig rig;
			struct rig_config c = {.tpid = {(uint8_t)setting}};
			bool taken = setting == PORT_TPID_ANY || setting == t;
			rig_open(&rig, &c);
			network_up(&rig);
			build(&ipv4_up, 30);
			frame_type(&f, 0x0800);
			frame_tag(&f, 7, 0x8100);
			frame_tag(&f, 200, tpid[t]);
			frame_macs(&f, rig.port[0].port.mac, mac_customer[GLOBEX]);
			rig_send(&rig, 0, &f);
			rig_run(&rig);
			assert_int_equal(rig.port[1].out_count, taken);
			assert_int_equal(
				rig_unclassified(&rig, 0).sparse.drops[DROP_VLAN_UNKNOWN], !taken);
			rig_check(&rig);
			// What leaves is tagged as the port's setting says.
			struct ipv4 outer = outer_down(GLOBEX), inner = ipv4_down;
			build(&inner, 30);
			frame_tunnel(&f, GLOBEX, 0x0800, &outer);
			frame_core(&f, false);
			rig_send(&rig, 1, &f);
			inner.ttl--;
			build(&inner, 30);
			frame_type(&f, 0x0800);
			frame_tag(&f, 7, 0x8100);
			frame_tag(&f, 200, setting == PORT_TPID_88A8 ? 0x88a8 : 0x8100);
			frame_macs(&f, mac_customer[GLOBEX], rig.port[0].port.mac);
			rig_expect(&rig, 0, &f);
			rig_close(&rig);
		}
	}
}

static void foreign_and_group_macs(void **state)
{
	struct rig *rig = *state;
	static const uint8_t other[6] = {2, 9, 9, 9, 9, 9}, all[6] = {255, 255, 255, 255, 255, 255},
			     group[6] = {1, 0, 0x5e, 1, 2, 3}, lldp[6] = {1, 0x80, 0xc2, 0, 0, 0xe};
	static const uint8_t *const mac[] = {other, lldp, all, group};
	for (unsigned i = 0; i < 4; i++) {
		build(&ipv4_up, 30);
		frame_type(&f, 0x0800);
		frame_tag(&f, 100, 0x8100);
		frame_macs(&f, mac[i], mac_customer[ACME]);
		rig_send(rig, 0, &f);
		expect(rig, ATTACHMENT(ACME), i < 2 ? DROP_MAC_FOREIGN : DROP_MULTICAST, i % 2 + 1);
	}
}

static void other_ethertypes(void **state)
{
	struct rig *rig = *state;
	frame_payload(&f, 46);
	frame_attachment(&f, ACME, 0x88cc, true);
	rig_send(rig, 0, &f);
	expect(rig, ATTACHMENT(ACME), DROP_ETHERTYPE, 1);
}

static void martians(void **state)
{
	struct rig *rig = *state;
	static const uint32_t bad_source[] = {0, IP4(0, 1, 2, 3), IP4(127, 0, 0, 1),
		IP4(224, 0, 0, 5), IP4(240, 0, 0, 1), UINT32_MAX};
	static const uint32_t bad_destination[] = {
		0, IP4(0, 1, 2, 3), IP4(127, 0, 0, 1), IP4(240, 0, 0, 1), IP4(255, 255, 255, 254)};
	static const uint32_t many[] = {IP4(224, 0, 0, 1), IP4(239, 1, 2, 3), UINT32_MAX};
	unsigned n = 0;
	for (unsigned i = 0; i < 6; i++) {
		struct ipv4 h = ipv4_up;
		h.source = bad_source[i];
		send_up(rig, &h);
		expect(rig, ATTACHMENT(ACME), DROP_MARTIAN, ++n);
	}
	for (unsigned i = 0; i < 5; i++) {
		struct ipv4 h = ipv4_up;
		h.destination = bad_destination[i];
		send_up(rig, &h);
		expect(rig, ATTACHMENT(ACME), DROP_MARTIAN, ++n);
	}
	for (unsigned i = 0; i < 3; i++) {
		struct ipv4 h = ipv4_up;
		h.destination = many[i];
		send_up(rig, &h);
		expect(rig, ATTACHMENT(ACME), DROP_MULTICAST, i + 1);
	}
}

static void interface_down(void **state)
{
	struct rig *rig = *state;
	struct wire_interface r = get_interface(rig, ATTACHMENT(ACME));
	r.flags &= ~WIRE_INTERFACE_UP;
	set_interface(rig, &r);
	send_up(rig, &ipv4_up);
	expect(rig, ATTACHMENT(ACME), DROP_INTERFACE_DOWN, 1);
	// And as the way out: charged to where the packet came from.
	struct ipv4 outer = outer_down(ACME);
	build(&ipv4_down, 30);
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_core(&f, false);
	rig_send(rig, 1, &f);
	expect(rig, TUNNEL(ACME), DROP_INTERFACE_DOWN, 1);
}

static void no_route_and_blackhole(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	h.destination = IP4(8, 8, 8, 8);
	send_up(rig, &h);
	expect_unreachable(rig, DROP_NO_ROUTE, 1, 0);
	set_route(rig, PEERING(ACME), IP4(8, 0, 0, 0), 8, WIRE_GROUP_BLACKHOLE);
	send_up(rig, &h);
	expect(rig, ATTACHMENT(ACME), DROP_BLACKHOLE, 1);
}

static void source_check(void **state)
{
	struct rig *rig = *state;
	struct ipv4 h = ipv4_up;
	uint64_t n = 0;
	h.source = IP4(172, 16, 0, 1); // no route
	send_up(rig, &h);
	expect(rig, ATTACHMENT(ACME), DROP_SOURCE, ++n);
	h.source = IP4(10, 9, 1, 1); // the vNet's own
	send_up(rig, &h);
	expect(rig, ATTACHMENT(ACME), DROP_SOURCE, ++n);
	const uint32_t ours[] = {OURS, OUTER, GATEWAY, CORE_ROUTER, PEER};
	for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) { // ours, or of no route
		h.source = ours[i];
		send_up(rig, &h);
		expect(rig, ATTACHMENT(ACME), DROP_SOURCE, ++n);
	}
	set_route(rig, PEERING(ACME), 0, 0, ATTACHMENT(ACME)); // a default route vouches for nobody
	h.source = IP4(172, 16, 0, 1);
	send_up(rig, &h);
	expect(rig, ATTACHMENT(ACME), DROP_SOURCE, ++n);
	set_route(rig, PEERING(ACME), IP4(172, 16, 0, 0), 12, WIRE_GROUP_BLACKHOLE);
	send_up(rig, &h);
	expect(rig, ATTACHMENT(ACME), DROP_SOURCE, ++n);
	set_route(rig, PEERING(ACME), IP4(172, 16, 0, 0), 16, ATTACHMENT(ACME));
	send_up(rig, &h);
	rig_run(rig);
	assert_int_equal(rig->port[1].out_count, 1);
	// A second link of the same peering vouches too; one of another customer does not.
	set_ethernet(rig, 90, PEERING(ACME), PEERING(ACME), 0, 3, 90, 0);
	set_neighbor(rig, 90, 90, PEER, mac_customer[ACME]);
	set_path(rig, 90, 90, 90, true);
	set_group(rig, 90, 90);
	set_route(rig, PEERING(ACME), IP4(172, 16, 0, 0), 17, 90);
	send_up(rig, &h);
	rig_run(rig);
	assert_int_equal(rig->port[1].out_count, 2);
	set_route(rig, PEERING(ACME), IP4(172, 16, 0, 0), 18, ATTACHMENT(GLOBEX));
	send_up(rig, &h);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_SOURCE, ++n);
	assert_int_equal(rig->port[1].out_count, 2);
}

// The underlay is no place a customer can reach, whatever he has a route to.
static void underlay_is_out_of_reach(void **state)
{
	struct rig *rig = *state;
	const uint32_t theirs[] = {OUTER, GATEWAY, CORE_ROUTER};
	for (unsigned i = 0; i < 3; i++) {
		struct ipv4 h = ipv4_up;
		h.destination = theirs[i];
		send_up(rig, &h);
		rig_expect_drop(rig, ATTACHMENT(ACME), DROP_NO_ROUTE, i + 1);
		while (rig_receive(rig, 0, &f)) // the error about it
			;
		rig_expect_nothing(rig);
	}
	assert_int_equal(rig_counts(rig, CORE).hot.rx_packets, 0);
	assert_int_equal(rig_counts(rig, CORE).hot.tx_packets, 0);
}

static void mixed_group_vouches_for_each_owner(void **state)
{
	struct rig *rig = *state;
	const struct wire_group both = {.group = 500,
		.count = 2,
		.path = {ATTACHMENT(ACME), ATTACHMENT(GLOBEX)},
		.weight = {1, 1}};
	assert_int_equal(group_set(rig->dp, &both), 0);
	for (unsigned c = ACME; c <= GLOBEX; c++) {
		struct ipv4 h = ipv4_up;
		set_route(rig, PEERING(c), IP4(10, 77, 0, 0), 16, 500);
		h.source = IP4(10, 77, 1, 1);
		build(&h, 30);
		frame_attachment(&f, c, 0x0800, true);
		rig_send(rig, 0, &f);
		rig_run(rig);
		assert_int_equal(rig->port[1].out_count, c);
	}
}

static void path_tunnel_and_neighbor_down(void **state)
{
	struct rig *rig = *state;
	set_path(rig, TUNNEL(ACME), TUNNEL(ACME), 0, false);
	send_up(rig, &ipv4_up);
	expect_unreachable(rig, DROP_PATH_DOWN, 1, 1);
	set_path(rig, TUNNEL(ACME), TUNNEL(ACME), 0, true);

	set_path(rig, CORE, CORE, CORE, false);
	send_up(rig, &ipv4_up);
	expect(rig, ATTACHMENT(ACME), DROP_TUNNEL_DOWN, 1);
	set_path(rig, CORE, CORE, CORE, true);

	struct wire_interface r = get_interface(rig, TUNNEL(ACME));
	r.underlay = 0;
	set_interface(rig, &r);
	send_up(rig, &ipv4_up);
	expect(rig, ATTACHMENT(ACME), DROP_TUNNEL_DOWN, 2);
	r.underlay = CORE_GROUP;
	set_interface(rig, &r);

	set_neighbor(rig, CORE, CORE, CORE_ROUTER, NULL);
	send_up(rig, &ipv4_up);
	expect(rig, ATTACHMENT(ACME), DROP_NEIGHBOR_UNRESOLVED, 1);
}

struct told {
	struct rig *rig;
	struct wire_needed needed;
};

static void note_told(void *ctx, const struct worker_event *event)
{
	struct told *told = ctx;
	assert_int_equal(event->kind, EVENT_NEEDED);
	assert_true(neighbor_needed(told->rig->dp, event->slot, &told->needed));
}

static void note_other(void *ctx, const struct worker_event *event)
{
	assert_int_equal(event->kind, EVENT_KINDS);
}

static void unresolved_neighbor_is_reported_once(void **state)
{
	struct rig *rig = *state;
	struct told told = {.rig = rig};
	set_neighbor(rig, CORE, CORE, CORE_ROUTER, NULL);
	assert_int_equal(dataplane_events(rig->dp, 10, note_told, &told), 0);
	for (unsigned i = 0; i < 40; i++)
		send_up(rig, &ipv4_up);
	expect(rig, ATTACHMENT(ACME), DROP_NEIGHBOR_UNRESOLVED, 40);
	assert_int_equal(dataplane_events(rig->dp, 10, note_told, &told), 1);
	assert_int_equal(told.needed.neighbor, CORE);
	assert_int_equal(told.needed.interface, CORE);
	assert_int_equal(dataplane_events(rig->dp, 10, note_told, &told), 0);
	// As long as packets want it.
	send_up(rig, &ipv4_up);
	rig_run(rig);
	assert_int_equal(dataplane_events(rig->dp, 10, note_told, &told), 1);
	set_neighbor(rig, CORE, CORE, CORE_ROUTER, mac_core);
	send_up(rig, &ipv4_up);
	rig_run(rig);
	assert_int_equal(rig->port[1].out_count, 1);
}

// In an outage every worker comes by with every packet: the line of a neighbor that is told already
// is read, and stays every worker's.
static void what_is_told_is_not_written_again(void **state)
{
	struct rig *rig = *state;
	struct told told = {.rig = rig};
	uint8_t *needed = rig->dp->tables->needed; // pages of its own
	set_neighbor(rig, CORE, CORE, CORE_ROUTER, NULL);
	send_up(rig, &ipv4_up);
	rig_run(rig);
	assert_int_equal(mprotect(needed, 4096, PROT_READ), 0);
	for (unsigned i = 0; i < 40; i++)
		send_up(rig, &ipv4_up);
	rig_run(rig); // a write would end this
	assert_int_equal(mprotect(needed, 4096, PROT_READ | PROT_WRITE), 0);
	expect(rig, ATTACHMENT(ACME), DROP_NEIGHBOR_UNRESOLVED, 41);
	assert_int_equal(dataplane_events(rig->dp, 10, note_told, &told), 1);
}

// Nobody listens: what does not fit is lost and counted, what is told later than that arrives.
static void events_are_bounded(void **state)
{
	struct rig *rig = *state;
	struct worker *w = rig->dp->worker[0];
	struct told told = {.rig = rig};
	for (unsigned i = 0; i < 2 * WORKER_EVENTS; i++)
		worker_tell(w, EVENT_KINDS, i, 0);
	assert_int_equal(w->events_lost, WORKER_EVENTS + 1); // a ring of n holds n - 1
	set_neighbor(rig, CORE, CORE, CORE_ROUTER, NULL);
	send_up(rig, &ipv4_up);
	expect(rig, ATTACHMENT(ACME), DROP_NEIGHBOR_UNRESOLVED, 1);
	assert_int_equal(
		dataplane_events(rig->dp, 2 * WORKER_EVENTS, note_other, NULL), WORKER_EVENTS - 1);
	send_up(rig, &ipv4_up);
	rig_run(rig);
	assert_int_equal(dataplane_events(rig->dp, 10, note_told, &told), 1);
}

static unsigned expired;
static uint64_t expired_at;

static void note_expired(struct worker *w, const struct timer *timer)
{
	assert_int_equal(timer->slot, 3);
	assert_int_equal(timer->generation, 4);
	expired++;
	expired_at = w->now;
	if (expired < 3) {
		struct timer again = *timer;
		again.due += (uint64_t)RIG_HZ << 8;
		assert_true(timer_set(w, &again));
	}
}

// Seconds ahead, which is many turns of the wheel, and again from its own expiry; a packet that waits is not disturbed.
static void timers_of_a_worker(void **state)
{
	struct rig *rig = *state;
	struct worker *w = rig->dp->worker[0];
	const uint64_t start = rig_now;
	w->now = rig_now;
	w->expired[TIMER_OTHER] = note_expired;
	const struct timer timer = {
		.due = (rig_now + RIG_HZ) << 8, .slot = 3, .generation = 4, .kind = TIMER_OTHER};
	assert_true(timer_set(w, &timer));
	for (unsigned ms = 1; ms <= 3500; ms++) {
		unsigned before = expired;
		rig_now += RIG_HZ / 1000;
		rig_run(rig);
		if (expired != before)
			assert_in_range(expired_at, start + expired * RIG_HZ - RIG_HZ / 1000,
				start + expired * RIG_HZ + RIG_HZ / 1000);
	}
	assert_int_equal(expired, 3);
	assert_int_equal(worker_wait(w, rig_now), UINT64_MAX);
	// More than there are places.
	for (unsigned i = 0; i < w->parked_max + WORKER_TIMERS; i++)
		assert_true(timer_set(w, &timer));
	assert_false(timer_set(w, &timer));
	expired = 3;
	rig_run(rig);
	assert_int_equal(expired, 3 + w->parked_max + WORKER_TIMERS);
}

static void transmit_queue_full_and_port_down(void **state)
{
	struct rig *rig = *state;
	rig->port[1].room = 5;
	for (unsigned i = 0; i < 32; i++)
		send_up(rig, &ipv4_up);
	rig_run(rig);
	assert_int_equal(rig->port[1].out_count, 5);
	struct rig_counts t = rig_counts(rig, TUNNEL(ACME));
	assert_int_equal(t.hot.tx_packets, 5);
	assert_int_equal(t.sparse.tx_drops[0], 27);
	rig->port[1].port.up = 0;
	for (unsigned i = 0; i < 10; i++)
		send_up(rig, &ipv4_up);
	rig_run(rig);
	t = rig_counts(rig, TUNNEL(ACME));
	assert_int_equal(t.sparse.tx_drops[1], 10);
	assert_int_equal(rig_counts(rig, ATTACHMENT(ACME)).hot.forwarded, 42);
}

static void limiter_shared_by_both_attachments(void **state)
{
	struct rig *rig = *state;
	// 1 Mb/s with a burst of 10 ms: the bucket holds 1250 bytes, the test's time stands still.
	const struct wire_limiter l = {
		.uid = 5000, .limiter = 7, .rate = 1000000, .burst = 64000, .ramp = 0};
	assert_int_equal(limiter_set(rig->dp, &l), 0);
	for (unsigned c = ACME; c <= GLOBEX; c++) {
		struct wire_interface r = get_interface(rig, ATTACHMENT(c));
		r.limiter_in = 7;
		set_interface(rig, &r);
	}
	unsigned sent = 400;
	for (unsigned i = 0; i < sent; i++) {
		build(&ipv4_up, 972); // 1000 bytes of IP
		frame_attachment(&f, i % 2 == 0 ? ACME : GLOBEX, 0x0800, true);
		rig_send(rig, 0, &f);
	}
	rig_run(rig);
	uint64_t passed = rig->port[1].out_count, limited = 0;
	for (unsigned c = ACME; c <= GLOBEX; c++)
		limited += rig_counts(rig, ATTACHMENT(c)).sparse.drops[DROP_LIMITED];
	assert_int_equal(passed + limited, sent);
	assert_in_range(passed, 63, 80); // the committed burst and the limiter's allowance
	assert_int_equal(limiter_delete(rig->dp, 7), -EBUSY);
}

static void egress_refusal_leaves_ingress_charged(void **state)
{
	struct rig *rig = *state;
	const struct wire_limiter in = {
		.uid = 5000, .limiter = 7, .rate = 1000000000, .burst = 10000000};
	const struct wire_limiter out = {
		.uid = 5001, .limiter = 8, .rate = 1000000, .burst = 64000};
	assert_int_equal(limiter_set(rig->dp, &in), 0);
	assert_int_equal(limiter_set(rig->dp, &out), 0);
	struct wire_interface r = get_interface(rig, ATTACHMENT(ACME));
	r.limiter_in = 7;
	set_interface(rig, &r);
	r = get_interface(rig, TUNNEL(ACME));
	r.limiter_out = 8;
	set_interface(rig, &r);
	for (unsigned i = 0; i < 400; i++) {
		build(&ipv4_up, 972);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
	}
	rig_run(rig);
	struct stats_limiter a, b;
	assert_int_equal(stats_sum_limiter(rig->stats, limiter_find(rig->dp, 7), &a), 0);
	assert_int_equal(stats_sum_limiter(rig->stats, limiter_find(rig->dp, 8), &b), 0);
	assert_int_equal(a.passed[0].packets, 400);
	assert_int_equal(a.passed[0].bytes, 400000);
	assert_int_equal(b.passed[0].packets + b.limited[0].packets, 400);
	assert_int_equal(b.passed[0].packets, rig->port[1].out_count);
	assert_int_equal(
		rig_counts(rig, ATTACHMENT(ACME)).sparse.drops[DROP_LIMITED], b.limited[0].packets);
	assert_true(b.limited[0].packets > 300);
}

// 100 Mb/s shaped: 5 ms leave at once, up to 20 ms more wait for their time, the rest is dropped.
static void shaped_packets_wait(void **state)
{
	struct rig *rig = *state;
	const struct wire_limiter l = {.uid = 5000,
		.limiter = 7,
		.rate = 100000000,
		.burst = 625000,
		.queue = 20000000,
		.flags = WIRE_LIMITER_SHAPE};
	assert_int_equal(limiter_set(rig->dp, &l), 0);
	struct wire_interface r = get_interface(rig, ATTACHMENT(ACME));
	r.limiter_in = 7;
	set_interface(rig, &r);
	for (unsigned i = 0; i < 400; i++) {
		build(&ipv4_up, 972); // 80 us each
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
	}
	rig_run(rig);
	unsigned at_once = rig->port[1].out_count, before = at_once;
	uint64_t dropped = rig_counts(rig, ATTACHMENT(ACME)).sparse.drops[DROP_LIMITED];
	assert_in_range(at_once, 61, 66);
	assert_in_range(400 - dropped, 311, 316);
	for (unsigned ms = 1; ms <= 21; ms++) { // 12.5 packets a ms
		rig_now += RIG_HZ / 1000;
		rig_run(rig);
		assert_in_range(rig->port[1].out_count - before, ms < 20 ? 12 : 0, 13);
		before = rig->port[1].out_count;
	}
	assert_int_equal(before + dropped, 400);
	assert_int_equal(rig_counts(rig, ATTACHMENT(ACME)).hot.forwarded, 400 - dropped);
	// They came out as any other packet does.
	struct frame want;
	build(&ipv4_up, 972);
	frame_attachment(&f, ACME, 0x0800, true);
	rig_now += RIG_HZ;
	assert_true(rig_receive(rig, 1, &want));
	for (unsigned i = 1; i < before; i++) {
		assert_true(rig_receive(rig, 1, &f));
		assert_int_equal(f.length, want.length);
	}
}

static void shape(struct rig *rig, uint64_t queue)
{
	const struct wire_limiter l = {.uid = 5000,
		.limiter = 7,
		.rate = 100000000,
		.burst = 625000,
		.queue = queue,
		.flags = WIRE_LIMITER_SHAPE};
	assert_int_equal(limiter_set(rig->dp, &l), 0);
	struct wire_interface r = get_interface(rig, ATTACHMENT(ACME));
	r.limiter_in = 7;
	set_interface(rig, &r);
}

static void send_numbered(
	struct rig *rig, unsigned payload, unsigned *number, unsigned n, uint8_t tos)
{
	for (unsigned end = *number + n; *number < end; ++*number) {
		struct ipv4 h = ipv4_up;
		h.id = (uint16_t)*number;
		h.tos = tos;
		build(&h, payload);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
	}
}

// The worker was away longer than the queue is: more is due than one turn lets out, and what comes meanwhile must wait
// behind it although it would be in time. Expedited forwarding does not wait for anybody.
static void nobody_overtakes_after_a_stall(void **state)
{
	struct rig *rig = *state;
	unsigned number = 0, last = 0, n = 0, ef = 0;
	shape(rig, 20000000);
	send_numbered(rig, 200, &number, 700, 0);
	rig_run(rig);
	assert_true(worker_wait(rig->dp->worker[0], rig_now) < RIG_HZ / 10);
	rig_now += RIG_HZ / 40;
	for (unsigned turn = 0; turn < 20; turn++) {
		if (turn == 0) {
			unsigned in = rig->port[1].out_count;
			number += 10000;
			send_numbered(rig, 200, &number, 8, 0xb8);
			number -= 10008;
			worker_turn(rig->dp->worker[0], rig_now);
			for (unsigned i = in; i < rig->port[1].out_count; i++) {
				const uint8_t *ip = rte_pktmbuf_mtod_offset(
					rig->port[1].out[i], const uint8_t *, 42);
				ef += (ip[4] << 8 | ip[5]) >= 10000;
			}
			assert_int_equal(ef, 8);
		}
		send_numbered(rig, 200, &number, 8, 0);
		worker_turn(rig->dp->worker[0], rig_now);
	}
	rig_run(rig);
	while (rig_receive(rig, 1, &f)) {
		unsigned got = (unsigned)f.data[42 + 4] << 8 | f.data[42 + 5];
		if (got >= 10000)
			continue;
		assert_true(n == 0 || got > last);
		last = got;
		n++;
	}
	assert_int_equal(n, 700 + 20 * 8);
	assert_int_equal(worker_wait(rig->dp->worker[0], rig_now), UINT64_MAX);
}

// 2^56 ticks of the TSC are 320 days. Then units begin at 0 again, and shaping goes on.
static void shaping_outlives_the_units(void **state)
{
	struct rig *rig = *state;
	const uint64_t before = rig_now;
	rig_now = (1ull << 56) - RIG_HZ / 1000;
	unsigned number = 0;
	shape(rig, 20000000);
	for (unsigned round = 0; round < 3; round++) {
		send_numbered(rig, 972, &number, 200, 0);
		rig_run(rig);
		assert_in_range(rig->port[1].out_count, 61 + round * 200, 66 + round * 200);
		for (unsigned ms = 0; ms < 30; ms++) {
			rig_now += RIG_HZ / 1000;
			rig_run(rig);
		}
		assert_int_equal(rig->port[1].out_count, 200 * (round + 1));
	}
	while (rig_receive(rig, 1, &f)) {
	}
	rig_now = before;
}

// A jumbogram (RFC 2675) has a payload length of 0 and says the true one in an option.
static void jumbogram(void **state)
{
	struct rig *rig = *state;
	struct ipv6 h = ipv6_up;
	h.protocol = 0;
	frame_payload(&f, 60);
	frame_ipv6(&f, &h);
	f.data[4] = f.data[5] = 0;
	frame_attachment(&f, ACME, 0x86dd, true);
	rig_send(rig, 0, &f);
	expect(rig, ATTACHMENT(ACME), DROP_IP_HEADER, 1);
	// A payload of nothing is one.
	h.protocol = 59;
	frame_payload(&f, 0);
	frame_ipv6(&f, &h);
	frame_attachment(&f, ACME, 0x86dd, true);
	rig_send(rig, 0, &f);
	rig_run(rig);
	assert_true(rig_receive(rig, 1, &f));
}

// A parked packet goes where the routes point when it leaves, not where they pointed when it came.
static void parked_packets_meet_changed_routes(void **state)
{
	struct rig *rig = *state;
	const struct wire_limiter l = {.uid = 5000,
		.limiter = 7,
		.rate = 100000000,
		.burst = 625000,
		.queue = 20000000,
		.flags = WIRE_LIMITER_SHAPE};
	assert_int_equal(limiter_set(rig->dp, &l), 0);
	struct wire_interface r = get_interface(rig, TUNNEL(ACME));
	r.limiter_out = 7;
	set_interface(rig, &r);
	for (unsigned i = 0; i < 200; i++) {
		build(&ipv4_up, 972);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
	}
	rig_run(rig);
	unsigned at_once = rig->port[1].out_count;
	assert_in_range(at_once, 61, 66);
	// The way out disappears: what waited finds no route any more, and is counted so.
	set_path(rig, TUNNEL(ACME), TUNNEL(ACME), 0, false);
	rig_now += RIG_HZ / 10;
	rig_run(rig);
	assert_int_equal(rig->port[1].out_count, at_once);
	rig_expect_drop(rig, ATTACHMENT(ACME), DROP_PATH_DOWN, 200 - at_once);
	while (rig_receive(rig, 1, &f) || rig_receive(rig, 0, &f))
		;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(unknown_tags),
		cmocka_unit_test(tpids),
		PACKET_TEST(foreign_and_group_macs),
		PACKET_TEST(other_ethertypes),
		PACKET_TEST(martians),
		PACKET_TEST(interface_down),
		PACKET_TEST(no_route_and_blackhole),
		PACKET_TEST(source_check),
		PACKET_TEST(underlay_is_out_of_reach),
		PACKET_TEST(mixed_group_vouches_for_each_owner),
		PACKET_TEST(path_tunnel_and_neighbor_down),
		PACKET_TEST(unresolved_neighbor_is_reported_once),
		PACKET_TEST(what_is_told_is_not_written_again),
		PACKET_TEST(events_are_bounded),
		PACKET_TEST(timers_of_a_worker),
		PACKET_TEST(transmit_queue_full_and_port_down),
		PACKET_TEST(limiter_shared_by_both_attachments),
		PACKET_TEST(egress_refusal_leaves_ingress_charged),
		PACKET_TEST(shaped_packets_wait),
		PACKET_TEST(parked_packets_meet_changed_routes),
		PACKET_TEST(nobody_overtakes_after_a_stall),
		PACKET_TEST(shaping_outlives_the_units),
		PACKET_TEST(jumbogram),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
