// SPDX-License-Identifier: BSD-3-Clause

// Values that no two interfaces share change places under traffic: tags, GRE triples, ports; two, three, a chain.
// Whose a packet is is told by what does not change: a customer's MAC on his side, his vNet's tunnel on the other.
// The test is a reader that says when it is quiescent, so it can look at the moment in between, when the old
// values are given up and the new ones not yet taken.

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/tables/interface.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"
#include "tests/packet/packet.h"

#define READER 1u  // of the qsbr; worker 0 is not registered, so it never holds anything
#define SPARE  90u // interface

static struct frame f;

// What a frame carries on its way from a customer.
struct entrance {
	unsigned port;
	unsigned vlan[2];
};

static struct entrance entrance_of(const struct wire_interface *r)
{
	return (struct entrance){r->port, {r->vlan[0], r->vlan[1]}};
}

static void send_up(struct rig *rig, const struct entrance *e, unsigned customer)
{
	frame_payload(&f, 40);
	frame_ipv4(&f,
		&(struct ipv4){
			.source = ON_PREMISES, .destination = IN_VNET, .ttl = 9, .protocol = 17});
	frame_type(&f, 0x0800);
	for (unsigned i = 2; i-- > 0;) {
		if (e->vlan[i] != 0)
			frame_tag(&f, (uint16_t)e->vlan[i], 0x8100);
	}
	frame_macs(&f, rig->port[e->port].port.mac, mac_customer[customer]);
	rig_send(rig, e->port, &f);
}

static void send_down(struct rig *rig, uint32_t key, uint32_t gateway)
{
	const struct gre g = {.flags = key != 0 ? GRE_KEY : 0, .key = key, .protocol = 0x0800};
	frame_payload(&f, 40);
	frame_ipv4(&f,
		&(struct ipv4){
			.source = IN_VNET, .destination = ON_PREMISES, .ttl = 9, .protocol = 17});
	frame_gre(&f, &g);
	frame_ipv4(&f,
		&(struct ipv4){.source = gateway, .destination = OUTER, .ttl = 60, .protocol = 47});
	frame_core(&f, false);
	rig_send(rig, 1, &f);
}

// The customer whose tunnel the next frame out of the core port takes; 0: none left.
static unsigned tunnel_out(struct rig *rig)
{
	if (!rig_receive(rig, 1, &f))
		return 0;
	if (f.data[33] == (GATEWAY2 & 255))
		return INITECH;
	return ((unsigned)f.data[40] << 8 | f.data[41]) - 1000;
}

// The customer a frame out of `port` is for, by its MAC; *e is how it left. 0: none left.
static unsigned customer_out(struct rig *rig, unsigned port, struct entrance *e)
{
	if (!rig_receive(rig, port, &f))
		return 0;
	*e = (struct entrance){.port = port};
	if (f.data[12] == 0x81)
		e->vlan[0] = (unsigned)(f.data[14] & 15) << 8 | f.data[15];
	if (e->vlan[0] != 0 && f.data[16] == 0x81)
		e->vlan[1] = (unsigned)(f.data[18] & 15) << 8 | f.data[19];
	for (unsigned c = 1; c <= CUSTOMERS; c++) {
		if (memcmp(f.data, mac_customer[c], 6) == 0)
			return c;
	}
	fail_msg("a frame to nobody's MAC");
	return 0;
}

static void get_all(struct rig *rig, struct wire_interface r[CUSTOMERS], bool tunnels)
{
	for (unsigned c = 1; c <= CUSTOMERS; c++)
		r[c - 1] = get_interface(rig, tunnels ? TUNNEL(c) : ATTACHMENT(c));
}

static void take_entrance(struct wire_interface *to, const struct wire_interface *of)
{
	to->port = of->port;
	to->vlans = of->vlans;
	memcpy(to->vlan, of->vlan, sizeof(to->vlan));
	to->key = of->key;
	to->flags = (to->flags & ~WIRE_INTERFACE_KEY) | (of->flags & WIRE_INTERFACE_KEY);
	memcpy(to->remote, of->remote, sizeof(to->remote));
}

// Interface i gets what interface i + shift has.
static void rotate(struct wire_interface *r, unsigned count, unsigned shift)
{
	struct wire_interface old[CUSTOMERS];
	memcpy(old, r, count * sizeof(*r));
	for (unsigned i = 0; i < count; i++)
		take_entrance(&r[i], &old[(i + shift) % count]);
}

static void exchange(struct rig *rig, const struct wire_interface *r, unsigned count)
{
	int error[8] = {0};
	assert_true(count <= 8);
	assert_int_equal(interface_exchange(rig->dp, r, count, error), 0);
	for (unsigned i = 0; i < count; i++)
		assert_true(error[i] >= 0);
}

struct writer {
	struct dataplane *dp;
	struct wire_interface r[CUSTOMERS];
	unsigned count;
	int result;
};

static void *run_exchange(void *arg)
{
	struct writer *w = arg;
	int error[CUSTOMERS] = {0};
	w->result = interface_exchange(w->dp, w->r, w->count, error);
	return NULL;
}

// Runs the exchange and stops where all have given up their values and a reader is still in the tables.
static void exchange_halfway(struct rig *rig, struct writer *w, pthread_t *thread)
{
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(rig->dp);
	w->dp = rig->dp;
	assert_int_equal(rte_rcu_qsbr_thread_register(qsbr, READER), 0);
	rte_rcu_qsbr_thread_online(qsbr, READER);
	assert_int_equal(pthread_create(thread, NULL, run_exchange, w), 0);
	for (unsigned i = 0; i < w->count; i++) {
		const struct interface *in =
			interface_at(rig->dp, interface_find(rig->dp, w->r[i].interface));
		while (__atomic_load_n(&in->flags, __ATOMIC_ACQUIRE) != 0)
			sched_yield();
	}
}

static void exchange_rest(struct rig *rig, struct writer *w, pthread_t thread)
{
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(rig->dp);
	rte_rcu_qsbr_thread_offline(qsbr, READER);
	rte_rcu_qsbr_thread_unregister(qsbr, READER);
	pthread_join(thread, NULL);
	assert_int_equal(w->result, 0);
}

static void up_reaches(
	struct rig *rig, const struct entrance *e, unsigned customer, unsigned wanted)
{
	send_up(rig, e, customer);
	rig_run(rig);
	assert_int_equal(tunnel_out(rig), wanted);
	assert_int_equal(tunnel_out(rig), 0);
}

static void tags_change_places(void **state)
{
	struct rig *rig = *state;
	struct writer w = {.count = 2};
	struct wire_interface all[CUSTOMERS];
	pthread_t thread;
	get_all(rig, all, false);
	const struct entrance acme = entrance_of(&all[0]), globex = entrance_of(&all[1]);
	up_reaches(rig, &acme, ACME, ACME);
	up_reaches(rig, &globex, GLOBEX, GLOBEX);
	memcpy(w.r, all, sizeof(w.r));
	rotate(w.r, 2, 1);
	exchange_halfway(rig, &w, &thread);
	up_reaches(rig, &acme, ACME, 0);
	up_reaches(rig, &acme, GLOBEX, 0);
	up_reaches(rig, &globex, GLOBEX, 0);
	up_reaches(rig, &globex, ACME, 0);
	assert_int_equal(rig_unclassified(rig, 0).sparse.drops[DROP_VLAN_UNKNOWN], 4);
	exchange_rest(rig, &w, thread);
	up_reaches(rig, &globex, ACME, ACME);
	up_reaches(rig, &acme, GLOBEX, GLOBEX);
	for (unsigned c = ACME; c <= GLOBEX; c++) {
		const struct entrance *now = c == ACME ? &globex : &acme;
		struct entrance e;
		send_down(rig, 1000 + c, GATEWAY);
		rig_run(rig);
		assert_int_equal(customer_out(rig, 0, &e), c);
		assert_memory_equal(&e, now, sizeof(e));
	}
	rig_expect_nothing(rig);
	// And back again: the neighbors' spare fronts have been used by now.
	exchange(rig, all, 2);
	up_reaches(rig, &acme, ACME, ACME);
	up_reaches(rig, &globex, GLOBEX, GLOBEX);
}

static void triples_change_places(void **state)
{
	struct rig *rig = *state;
	struct writer w = {.count = 2};
	struct wire_interface all[CUSTOMERS];
	struct entrance e;
	pthread_t thread;
	get_all(rig, all, true);
	memcpy(w.r, all, sizeof(w.r));
	rotate(w.r, 2, 1);
	exchange_halfway(rig, &w, &thread);
	send_down(rig, 1001, GATEWAY);
	send_down(rig, 1002, GATEWAY);
	rig_expect_drop(rig, CORE, DROP_TUNNEL_UNKNOWN, 2);
	exchange_rest(rig, &w, thread);
	send_down(rig, 1001, GATEWAY);
	send_down(rig, 1002, GATEWAY);
	rig_run(rig);
	assert_int_equal(customer_out(rig, 0, &e), GLOBEX);
	assert_int_equal(customer_out(rig, 0, &e), ACME);
	assert_int_equal(customer_out(rig, 0, &e), 0);
	get_all(rig, all, false);
	e = entrance_of(&all[0]);
	up_reaches(rig, &e, ACME, GLOBEX); // acme's tunnel has globex' old key
}

// Over two ports and three kinds of tag stack; neighbors and paths of each go with it.
static void three_go_round(void **state)
{
	struct rig *rig = *state;
	struct wire_interface r[CUSTOMERS];
	for (unsigned round = 1; round <= 4; round++) {
		get_all(rig, r, false);
		rotate(r, CUSTOMERS, 1);
		exchange(rig, r, CUSTOMERS);
		get_all(rig, r, true);
		rotate(r, CUSTOMERS, 1);
		exchange(rig, r, CUSTOMERS);
		get_all(rig, r, false);
		for (unsigned c = 1; c <= CUSTOMERS; c++) {
			const struct entrance mine = entrance_of(&r[c - 1]);
			unsigned has =
				(c - 1 + round) % CUSTOMERS + 1; // whose old tunnel is mine now
			struct entrance e;
			up_reaches(rig, &mine, c, has);
			send_down(rig, has == INITECH ? 0 : 1000 + has,
				has == INITECH ? GATEWAY2 : GATEWAY);
			rig_run(rig);
			assert_int_equal(customer_out(rig, mine.port, &e), c);
			assert_memory_equal(&e, &mine, sizeof(e));
		}
		rig_expect_nothing(rig);
	}
}

// One takes what another gives up, a new one takes what that one had, the last takes what nobody has.
static void chain_with_a_new_one(void **state)
{
	struct rig *rig = *state;
	struct wire_interface r[4];
	get_all(rig, r, false);
	const struct entrance acme = entrance_of(&r[0]), globex = entrance_of(&r[1]);
	r[3] = r[0]; // acme's second attachment
	r[3].interface = SPARE;
	r[3].uid = 100000 + SPARE;
	take_entrance(&r[0], &r[1]);
	r[1].vlan[0] = 300;
	exchange(rig, r, 4); // initech's stands in it unchanged
	up_reaches(rig, &globex, ACME, ACME);
	up_reaches(rig, &acme, ACME, ACME);
	assert_int_equal(rig_counts(rig, SPARE).hot.forwarded, 1);
	const struct entrance moved = entrance_of(&r[1]);
	up_reaches(rig, &moved, GLOBEX, GLOBEX);
	assert_int_equal(interface_exchange(rig->dp, r, 4, (int[4]){0}), 0);
}

// For a cycle longer than a message: all give up their values first, then each takes its new one, alone.
static void parked_ones_hold_nothing(void **state)
{
	struct rig *rig = *state;
	struct wire_interface r[CUSTOMERS], old[CUSTOMERS];
	get_all(rig, old, false);
	for (unsigned c = 1; c <= CUSTOMERS; c++) {
		const struct entrance mine = entrance_of(&old[c - 1]);
		r[c - 1] = old[c - 1];
		r[c - 1].flags |= WIRE_INTERFACE_PARKED;
		set_interface(rig, &r[c - 1]);
		assert_int_equal(interface_set(rig->dp, &r[c - 1]), 1);
		up_reaches(rig, &mine, c, 0);
		assert_int_equal(rig_unclassified(rig, mine.port).sparse.drops[DROP_VLAN_UNKNOWN],
			c == INITECH ? 1 : c);
	}
	for (unsigned c = ACME; c <= GLOBEX; c++) {
		send_down(rig, 1000 + c, GATEWAY);
		rig_expect_drop(rig, TUNNEL(c), DROP_INTERFACE_DOWN, 1);
	}
	// Two parked ones may say the same.
	take_entrance(&r[0], &r[2]);
	set_interface(rig, &r[0]);
	for (unsigned c = 1; c <= CUSTOMERS; c++) {
		r[c - 1] = old[c - 1];
		take_entrance(&r[c - 1], &old[c % CUSTOMERS]);
		set_interface(rig, &r[c - 1]);
	}
	for (unsigned c = 1; c <= CUSTOMERS; c++) {
		const struct entrance mine = entrance_of(&r[c - 1]);
		up_reaches(rig, &mine, c, c);
	}
	r[0].flags |= WIRE_INTERFACE_PARKED;
	r[1].flags |= WIRE_INTERFACE_PARKED;
	exchange(rig, r, 2);
	take_entrance(&r[2], &r[1]);
	set_interface(rig, &r[2]);
	r[1].flags &= ~WIRE_INTERFACE_PARKED;
	assert_int_equal(interface_set(rig->dp, &r[1]), -EEXIST);
	assert_int_equal(interface_delete(rig->dp, SPARE), -ENOENT);
}

static void send_for(struct rig *rig, const struct entrance *e, unsigned customer, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		send_up(rig, e, customer);
}

// Held back by a shaper while the tags change places: none of them leaves at all.
static void parked_packets_are_stale(void **state)
{
	struct rig *rig = *state;
	const struct wire_limiter l = {.uid = 5000,
		.limiter = 7,
		.rate = 1000000,
		.burst = 16000,
		.queue = 60000000,
		.flags = WIRE_LIMITER_SHAPE};
	struct wire_interface r[CUSTOMERS];
	unsigned out = 0, late = 0;
	assert_int_equal(limiter_set(rig->dp, &l), 0);
	get_all(rig, r, false);
	const struct entrance acme = entrance_of(&r[0]);
	r[0].limiter_in = 7;
	set_interface(rig, &r[0]);
	rig_now += RIG_HZ;
	send_for(rig, &acme, ACME, 300);
	rig_run(rig);
	while (tunnel_out(rig) == ACME)
		out++;
	uint64_t refused = rig_counts(rig, ATTACHMENT(ACME)).sparse.drops[DROP_LIMITED];
	assert_true(out > 0 && out + refused < 300); // some wait
	rotate(r, 2, 1);
	exchange(rig, r, 2);
	rig_now += RIG_HZ / 10;
	rig_run(rig);
	while (tunnel_out(rig) != 0)
		late++;
	assert_int_equal(late, 0);
	rig->in_total = true;
}

static void expect_refusal(
	struct rig *rig, const struct wire_interface *r, unsigned count, const int *wanted)
{
	struct wire_interface before[CUSTOMERS], after[CUSTOMERS];
	uint64_t written = rig->dp->written;
	uint32_t used = rig->dp->tables->interface_slots.used;
	int error[8] = {0};
	get_all(rig, before, false);
	assert_int_equal(interface_exchange(rig->dp, r, count, error), -ECANCELED);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(error[i], wanted[i]);
	get_all(rig, after, false);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(rig->dp->written, written);
	assert_int_equal(rig->dp->tables->interface_slots.used, used);
	for (unsigned c = 1; c <= CUSTOMERS; c++) {
		const struct entrance mine = entrance_of(&before[c - 1]);
		up_reaches(rig, &mine, c, c);
	}
}

static void one_bad_record_refuses_all(void **state)
{
	struct rig *rig = *state;
	struct wire_interface r[4];
	get_all(rig, r, false);
	rotate(r, 2, 1);
	struct wire_interface good = r[0];
	r[2].mtu = 100;
	expect_refusal(rig, r, 3, (int[]){0, 0, -EINVAL});
	r[2].mtu = 1500;
	r[2].limiter_in = 4711;
	r[1].vrf = 4711;
	expect_refusal(rig, r, 3, (int[]){0, -ENOENT, -ENOENT});
	get_all(rig, r, false);
	// Initech's entrance is kept, so acme cannot have it; the same interface twice; the same entrance twice.
	take_entrance(&r[0], &r[2]);
	expect_refusal(rig, r, 2, (int[]){-EEXIST, 0});
	r[0] = good;
	r[1] = good;
	expect_refusal(rig, r, 2, (int[]){-EEXIST, -EINVAL});
	get_all(rig, r, false);
	take_entrance(&r[0], &r[1]);
	expect_refusal(rig, r, 2, (int[]){0, -EEXIST});
	// A new one beside a bad one leaves nothing behind: slot and tags can be had afterwards.
	get_all(rig, r, false);
	r[3] = r[0];
	r[3].interface = SPARE;
	r[3].uid = 100000 + SPARE;
	r[3].vlan[0] = 300;
	r[0].uid++; // another uid under the same id
	expect_refusal(rig, r, 4, (int[]){-EEXIST, 0, 0, 0});
	r[3].uid = r[1].uid; // globex' uid under a new id: seen only when slots are taken
	r[0] = get_interface(rig, ATTACHMENT(ACME));
	expect_refusal(rig, &r[2], 2, (int[]){0, -EEXIST});
	r[3].uid = 100000 + SPARE;
	exchange(rig, &r[3], 1);
}

// Tags of three go round for ever while packets come; whoever's tags a packet carries at that moment gets it, and
// what leaves for a customer carries tags that are his at that moment.
struct rotation {
	struct dataplane *dp;
	struct wire_interface r[3][CUSTOMERS]; // by round modulo 3
	unsigned begun, done;                  // rounds
	uint64_t turns;                        // of the worker
	int stop;
	int result;
};

static void *go_round(void *arg)
{
	struct rotation *w = arg;
	int error[CUSTOMERS];
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED) && w->result == 0) {
		unsigned round = w->begun + 1;
		memset(error, 0, sizeof(error));
		__atomic_store_n(&w->begun, round, __ATOMIC_SEQ_CST);
		w->result = interface_exchange(w->dp, w->r[round % 3], CUSTOMERS, error);
		__atomic_store_n(&w->done, round, __ATOMIC_SEQ_CST);
		dataplane_poll(w->dp);
		// Some turns without an exchange, which can be held to one answer.
		uint64_t until = __atomic_load_n(&w->turns, __ATOMIC_RELAXED) + 4;
		while (__atomic_load_n(&w->turns, __ATOMIC_RELAXED) < until &&
			!__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
			sched_yield();
	}
	return NULL;
}

static bool has_entrance(
	const struct rotation *w, unsigned from, unsigned to, unsigned c, const struct entrance *e)
{
	for (unsigned round = from; round <= to && round < from + 3; round++) {
		const struct entrance his = entrance_of(&w->r[round % 3][c - 1]);
		if (memcmp(&his, e, sizeof(*e)) == 0)
			return true;
	}
	return false;
}

static void three_go_round_under_traffic(void **state)
{
	struct rig *rig = *state;
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(rig->dp);
	struct rotation w = {.dp = rig->dp};
	uint64_t seed = rig_seed(), rounds = rig_scale(20000), strict = 0, left = 0;
	pthread_t thread;
	for (unsigned i = 0; i < 3; i++) {
		get_all(rig, w.r[i], false);
		rotate(w.r[i], CUSTOMERS, i);
	}
	assert_int_equal(rte_rcu_qsbr_thread_register(qsbr, 0), 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	assert_int_equal(pthread_create(&thread, NULL, go_round, &w), 0);
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t r = rig_random(&seed);
		unsigned from = __atomic_load_n(&w.done, __ATOMIC_SEQ_CST), c;
		const struct entrance e = entrance_of(&w.r[0][r % 3]);
		struct entrance out;
		send_up(rig, &e, ACME);
		send_down(rig, 1001 + (r >> 8) % 2, GATEWAY);
		worker_turn(rig->dp->worker[0], rig_now);
		__atomic_store_n(&w.turns, i + 1, __ATOMIC_RELAXED);
		unsigned to = __atomic_load_n(&w.begun, __ATOMIC_SEQ_CST);
		strict += from == to;
		while ((c = tunnel_out(rig)) != 0) {
			assert_true(has_entrance(&w, from, to, c, &e));
			left++;
		}
		for (unsigned port = 0; port <= 2; port += 2) {
			while ((c = customer_out(rig, port, &out)) != 0) {
				assert_int_equal(c, 1 + (r >> 8) % 2);
				assert_true(has_entrance(&w, from, to, c, &out));
				left++;
			}
		}
		if (i % 64 == 0)
			sched_yield();
	}
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_int_equal(w.result, 0);
	printf("%u exchanges, %lu of %lu packets left, %lu turns without an exchange\n", w.done,
		(unsigned long)left, (unsigned long)rounds * 2, (unsigned long)strict);
	assert_true(left > rounds / 100 && strict > rounds / 100 && w.done > 10);
	rig->in_total = true;
}

// An address of ours is named by itself: two of one VRF change places by a SET each.
static void addresses_move(void **state)
{
	struct rig *rig = *state;
	const uint32_t other = IP4(169, 254, 90, 2);
	set_ethernet(rig, SPARE, PEERING(ACME), PEERING(ACME), 0, 3, 90, 0);
	set_local(rig, PEERING(ACME), SPARE, other);
	int first = rig_tap(rig, ATTACHMENT(ACME)), second = rig_tap(rig, SPARE);
	for (unsigned round = 0; round < 3; round++) {
		uint8_t bytes[256];
		frame_payload(&f, 40);
		frame_ipv4(&f, &(struct ipv4){.source = ON_PREMISES,
				       .destination = OURS,
				       .ttl = 9,
				       .protocol = 17});
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
		rig_run(rig);
		assert_true(read(round % 2 == 0 ? first : second, bytes, sizeof(bytes)) > 0);
		assert_int_equal(read(round % 2 == 0 ? second : first, bytes, sizeof(bytes)), -1);
		set_local(rig, PEERING(ACME), round % 2 == 0 ? SPARE : ATTACHMENT(ACME), OURS);
		set_local(rig, PEERING(ACME), round % 2 == 0 ? ATTACHMENT(ACME) : SPARE, other);
	}
	close(first);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(tags_change_places),
		PACKET_TEST(triples_change_places),
		PACKET_TEST(three_go_round),
		PACKET_TEST(chain_with_a_new_one),
		PACKET_TEST(parked_ones_hold_nothing),
		PACKET_TEST(parked_packets_are_stale),
		PACKET_TEST(one_bad_record_refuses_all),
		PACKET_TEST(three_go_round_under_traffic),
		PACKET_TEST(addresses_move),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
