// SPDX-License-Identifier: BSD-3-Clause

// Tables rewritten while packets are under way. The test is a reader that says when it is quiescent, and another thread
// is the writer: what the writer does before grace and what only after it can then be told apart at leisure.

#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/tables/interface.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"
#include "tests/packet/packet.h"

#define READER 1u  // of the qsbr; worker 0 is not registered, so it never holds anything
#define SPARE  90u // interface, neighbor and path on port 3

static struct frame f;

struct writer {
	struct dataplane *dp;
	struct wire_interface interface;
	struct wire_neighbor neighbor;
	struct wire_path path[2];
	uint64_t seed;
	int result;
	int stop;
};

static void reader_online(struct rig *rig)
{
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(rig->dp);
	assert_int_equal(rte_rcu_qsbr_thread_register(qsbr, READER), 0);
	rte_rcu_qsbr_thread_online(qsbr, READER);
}

static void reader_offline(struct rig *rig)
{
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(rig->dp);
	rte_rcu_qsbr_thread_offline(qsbr, READER);
	rte_rcu_qsbr_thread_unregister(qsbr, READER);
}

static void *change_interface(void *arg)
{
	struct writer *w = arg;
	w->result = interface_set(w->dp, &w->interface);
	return NULL;
}

static void *flip_path(void *arg)
{
	struct writer *w = arg;
	for (unsigned i = 0; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); i++)
		w->result |= path_set(w->dp, &w->path[i % 2]);
	return NULL;
}

static void build_to(uint32_t destination, unsigned vlan, const struct rig *rig)
{
	const struct ipv4 h = {
		.source = ON_PREMISES, .destination = destination, .ttl = 9, .protocol = 17};
	frame_payload(&f, 40);
	frame_ipv4(&f, &h);
	frame_type(&f, 0x0800);
	frame_tag(&f, (uint16_t)vlan, 0x8100);
	frame_macs(&f, rig->port[3].port.mac, mac_customer[ACME]);
}

// From the moment an interface begins to become another one, not from the moment it is.
static void parked_is_stale_before_grace(void **state)
{
	struct rig *rig = *state;
	const uint32_t ours = IP4(169, 254, 90, 2);
	set_ethernet(rig, SPARE, PEERING(ACME), PEERING(ACME), 0, 3, 90, 0);
	set_local(rig, PEERING(ACME), SPARE, ours);
	int tap = rig_tap(rig, SPARE);
	build_to(ours, 90, rig);
	rig_send(rig, 3, &f);
	worker_turn(rig->dp->worker[0], rig_now);

	struct writer w = {.dp = rig->dp, .interface = get_interface(rig, SPARE)};
	const struct interface *i = interface_at(rig->dp, interface_find(rig->dp, SPARE));
	uint32_t before = i->generation;
	pthread_t thread;
	w.interface.vlan[0] = 91;
	reader_online(rig);
	assert_int_equal(pthread_create(&thread, NULL, change_interface, &w), 0);
	while (__atomic_load_n(&i->flags, __ATOMIC_ACQUIRE) != 0)
		sched_yield();
	host_turn(rig->host, rig_now);
	uint8_t byte;
	assert_int_equal(read(tap, &byte, 1), -1);
	reader_offline(rig);
	pthread_join(thread, NULL);
	assert_int_equal(w.result, 0);
	// What was parked between the two generations is stale as well.
	assert_true(i->generation > before + 1);
	host_update(rig->host, interface_find(rig->dp, SPARE));
	// The interface counts for the same object as before: its drop, not a nobody's.
	assert_int_equal(rig_counts(rig, SPARE).sparse.drops[DROP_STALE], 1);
	build_to(ours, 91, rig);
	rig_send(rig, 3, &f);
	rig_run(rig);
	assert_int_equal(read(tap, &byte, 1), 1);
	close(tap);
}

// Held back by a shaper while its interface is deleted, or becomes another customer's: never sent, however many come due
// at once. Charged to the interface as long as there is one.
static void shaped_is_stale(void **state)
{
	struct rig *rig = *state;
	const struct wire_limiter l = {.uid = 5000,
		.limiter = 7,
		.rate = 100000000,
		.burst = 625000,
		.queue = 60000000,
		.flags = WIRE_LIMITER_SHAPE};
	assert_int_equal(limiter_set(rig->dp, &l), 0);
	for (unsigned how = 2; how-- > 0;) {
		struct rig_counts self = {0};
		set_ethernet(rig, SPARE + how, PEERING(ACME), PEERING(ACME), 0, 3, 90 + how, 0);
		struct wire_interface r = get_interface(rig, SPARE + how);
		r.limiter_in = 7;
		set_interface(rig, &r);
		rig_now += RIG_HZ;
		for (unsigned i = 0; i < 400; i++) {
			const struct ipv4 h = {.source = ON_PREMISES,
				.destination = IN_VNET,
				.ttl = 9,
				.protocol = 17};
			frame_payload(&f, 980);
			frame_ipv4(&f, &h);
			frame_type(&f, 0x0800);
			frame_tag(&f, (uint16_t)(90 + how), 0x8100);
			frame_macs(&f, rig->port[3].port.mac, mac_customer[ACME]);
			rig_send(rig, 3, &f);
		}
		rig_run(rig);
		unsigned out = rig->port[1].out_count;
		assert_in_range(out, 1, 100);
		if (how == 0) {
			assert_int_equal(interface_delete(rig->dp, SPARE), 0);
		} else {
			r.vrf = r.owner = PEERING(GLOBEX);
			set_interface(rig, &r);
		}
		rig_now += RIG_HZ / 10;
		rig_run(rig);
		assert_int_equal(rig->port[1].out_count, out);
		if (how == 0)
			assert_int_equal(
				stats_sum_interface(rig->stats, 0, &self.hot, &self.sparse), 0);
		else
			self = rig_counts(rig, SPARE + how);
		assert_int_equal(self.sparse.drops[DROP_STALE], 400 - out);
		if (how == 1)
			rig_check(rig);
		while (rig_receive(rig, 1, &f)) {
		}
	}
	rig->in_total = true;
}

static uint64_t sum_of_drops(struct rig *rig, enum drop_reason reason)
{
	uint64_t sum = 0;
	for (uint32_t slot = 0; slot < rig->stats->slots[STATS_INTERFACE]; slot++) {
		struct rig_counts c;
		assert_int_equal(stats_sum_interface(rig->stats, slot, &c.hot, &c.sparse), 0);
		sum += c.sparse.drops[reason];
	}
	return sum;
}

// One path, two ways, turned over and over: each frame leaves by the interface it is charged to.
static void path_turns_whole(void **state)
{
	struct rig *rig = *state;
	static struct frame got;
	uint64_t by[2] = {0}, turns = rig_scale(100000), lost = 0;
	struct writer w = {.dp = rig->dp};
	pthread_t thread;
	for (unsigned i = 0; i < 2; i++) {
		set_ethernet(rig, SPARE + i, PEERING(ACME), PEERING(ACME), 0, 3, 90 + i, 0);
		set_neighbor(rig, SPARE + i, SPARE + i, PEER, mac_customer[ACME]);
		w.path[i] = (struct wire_path){
			.path = SPARE, .interface = SPARE + i, .neighbor = SPARE + i, .up = 1};
	}
	assert_int_equal(path_set(rig->dp, &w.path[0]), 0);
	set_group(rig, SPARE, SPARE);
	set_route(rig, PEERING(ACME), IP4(10, 90, 0, 0), 16, SPARE);
	assert_int_equal(pthread_create(&thread, NULL, flip_path, &w), 0);
	for (uint64_t i = 0; i < turns; i++) {
		build_to(IP4(10, 90, 0, 1), 90, rig);
		rig_send(rig, 3, &f);
		worker_turn(rig->dp->worker[0], rig_now);
		if (rig_receive(rig, 3, &got))
			by[got.data[15] - 90]++;
		else
			lost++; // the writer was put to sleep in the middle
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_true(w.result >= 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(rig_counts(rig, SPARE + i).hot.tx_packets, by[i]);
	assert_true(lost <= turns / 100);
	assert_int_equal(sum_of_drops(rig, DROP_PATH_DOWN), lost);
}

// Two customers with the same addresses, everything of theirs in change at once: tags, keys, neighbors' MACs, paths,
// groups, routes. A customer's tags are 100 or 101 and 200 or 201, his keys 1001 or 2001 and 1002 or 2002, his MACs end
// in his number. Whatever leaves says thrice whose it is.

static void change_entrance(struct dataplane *dp, unsigned c, uint64_t r)
{
	uint32_t id = r & 1 ? ATTACHMENT(c) : TUNNEL(c);
	struct wire_interface i = *interface_record(dp, interface_find(dp, id));
	if (r & 1)
		i.vlan[0] = (uint16_t)(c * 100 + (r >> 1 & 1));
	else
		i.key = 1000 + c + 1000 * (r >> 1 & 1);
	interface_set(dp, &i);
}

static void change_way(struct dataplane *dp, unsigned c, uint64_t r)
{
	struct wire_neighbor n = {.neighbor = ATTACHMENT(c),
		.interface = ATTACHMENT(c),
		.addr = {169, 254, 10, 1},
		.mac = {2, 0, 0, r >> 1 & 1, 1, (uint8_t)c},
		.family = WIRE_IPV4,
		.state = WIRE_NEIGHBOR_RESOLVED};
	struct wire_path p = {.path = ATTACHMENT(c),
		.interface = ATTACHMENT(c),
		.neighbor = ATTACHMENT(c),
		.up = r >> 2 & 1};
	struct wire_group g = {.group = ATTACHMENT(c),
		.count = 1 + (r >> 3 & 1),
		.path = {ATTACHMENT(c), r >> 3 & 1 ? ATTACHMENT(c) : 0},
		.weight = {1, r >> 3 & 1}};
	if (r & 1)
		neighbor_set(dp, &n);
	path_set(dp, &p);
	group_set(dp, &g);
}

// Out with a group and its path, and in again: their slots go round among the customers.
static void change_routes(struct dataplane *dp, unsigned c, bool in)
{
	for (unsigned vnet = 0; vnet < 2; vnet++) {
		struct wire_route up = {.vrf = vnet ? VNET(c) : PEERING(c),
			.group = TUNNEL(c),
			.addr = {10, 9},
			.family = WIRE_IPV4,
			.len = 16};
		if (in)
			route_set(dp, &up);
		else
			route_delete(dp, &up);
	}
}

static void change_group(struct dataplane *dp, unsigned c, bool in)
{
	const struct wire_path p = {.path = TUNNEL(c), .interface = TUNNEL(c), .up = 1};
	const struct wire_group g = {
		.group = TUNNEL(c), .count = 1, .path = {TUNNEL(c)}, .weight = {1}};
	if (in) {
		path_set(dp, &p);
		group_set(dp, &g);
		change_routes(dp, c, true);
	} else {
		change_routes(dp, c, false);
		group_delete(dp, TUNNEL(c));
		path_delete(dp, TUNNEL(c));
	}
}

static void *change_everything(void *arg)
{
	struct writer *w = arg;
	uint64_t seed = w->seed;
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		uint64_t r = rig_random(&seed);
		unsigned c = r & 1 ? ACME : GLOBEX;
		switch (r >> 8 & 3) {
		case 0:
			change_entrance(w->dp, c, r >> 16);
			break;
		case 1:
			change_way(w->dp, c, r >> 16);
			break;
		default:
			change_group(w->dp, c, r >> 16 & 1);
		}
		dataplane_poll(w->dp);
	}
	change_group(w->dp, ACME, true);
	return NULL;
}

static void send_of(struct rig *rig, unsigned c, uint64_t r)
{
	bool up = r & 1, other = r >> 1 & 1;
	frame_payload(&f, 16);
	f.data[0] = (uint8_t)c;
	frame_ipv4(&f, up ? &ipv4_up : &ipv4_down);
	if (!up) {
		const struct gre g = {
			.flags = GRE_KEY, .key = 1000 + c + 1000 * other, .protocol = 0x0800};
		const struct ipv4 outer = outer_down(c);
		frame_gre(&f, &g);
		frame_ipv4(&f, &outer);
		frame_core(&f, false);
		rig_send(rig, 1, &f);
		return;
	}
	frame_type(&f, 0x0800);
	if (c == GLOBEX)
		frame_tag(&f, 7, 0x8100);
	frame_tag(&f, (uint16_t)(c * 100 + other), 0x8100);
	frame_macs(&f, rig->port[0].port.mac, mac_customer[c]);
	rig_send(rig, 0, &f);
}

static uint64_t check_owner(struct rig *rig)
{
	uint64_t n = 0;
	for (; rig_receive(rig, 0, &f); n++) {
		unsigned c = f.data[f.length - 16];
		assert_int_equal(f.data[15] / 100, c);
		assert_int_equal(f.data[5], c);
	}
	for (; rig_receive(rig, 1, &f); n++)
		assert_int_equal(
			((unsigned)f.data[40] << 8 | f.data[41]) % 1000, f.data[f.length - 16]);
	return n;
}

static void customers_apart_while_all_changes(void **state)
{
	struct rig *rig = *state;
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(rig->dp);
	uint64_t seed = rig_seed(), left = 0, rounds = rig_scale(20000);
	struct writer w = {.dp = rig->dp, .seed = seed};
	pthread_t thread;
	assert_int_equal(rte_rcu_qsbr_thread_register(qsbr, 0), 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	assert_int_equal(pthread_create(&thread, NULL, change_everything, &w), 0);
	for (uint64_t i = 0; i < rounds; i++) {
		for (unsigned k = 0; k < 8; k++) {
			uint64_t r = rig_random(&seed);
			send_of(rig, r & 4 ? ACME : GLOBEX, r);
		}
		worker_turn(rig->dp->worker[0], rig_now);
		left += check_owner(rig);
	}
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	printf("%lu of %lu packets left\n", (unsigned long)left, (unsigned long)rounds * 8);
	assert_true(left > rounds / 100);
	rig->in_total = true;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(parked_is_stale_before_grace),
		PACKET_TEST(shaped_is_stale),
		PACKET_TEST(path_turns_whole),
		PACKET_TEST(customers_apart_while_all_changes),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
