// SPDX-License-Identifier: BSD-3-Clause
// The controller's messages: results per record, ACK after grace, turns that are bounded, descriptors, reading back, and what
// is no message.

#include "tests/unit/wire/control_bench.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/tables/interface.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"

static void test_hello_comes_first(void **state)
{
	assert_int_equal(set_vrf(1), -EPERM);
	assert_int_equal(vrf_find(bench.dp, 1), 0);
	hello(bench.store, 1);
	assert_int_equal(next_message(), 1);
	assert_int_equal(message.header.type, WIRE_PORT);
	assert_int_equal(set_vrf(1), 0);
}

static void test_results_per_record(void **state)
{
	struct wire_route r[4] = {route(1, 1), route(99, 2), route(1, 3), route(1, 4)};
	const struct wire_failure *f;

	configure(0);
	r[2].pad[1] = 1;
	assert_int_equal(call(WIRE_ROUTE_SET, r, 4), 2);
	f = wire_message_record(&message, 0, sizeof(*f));
	assert_int_equal(f[0].index, 1);
	assert_int_equal(f[0].error, -ENOENT);
	assert_int_equal(f[1].index, 2);
	assert_int_equal(f[1].error, -EINVAL);
	assert_int_equal(routes(1), 2);
}

static void test_ack_waits_for_grace(void **state)
{
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(bench.dp);
	struct wire_route r = route(1, 1);
	uint64_t seq;

	configure(0);
	assert_int_equal(result(WIRE_ROUTE_SET, &r), 0);
	rte_rcu_qsbr_thread_register(qsbr, 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	r.group = 0;
	seq = send_records(WIRE_ROUTE_DELETE, &r, 1, NULL, 0);
	assert_int_equal(acknowledged(seq), -EAGAIN);
	assert_true(control_waiting(bench.control));
	rte_rcu_qsbr_quiescent(qsbr, 0);
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	assert_int_equal(acknowledged(seq), 0);
	assert_false(control_waiting(bench.control));
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
}

static void test_full_window_stops_reading(void **state)
{
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(bench.dp);
	struct pollfd p[2];

	configure(0);
	rte_rcu_qsbr_thread_register(qsbr, 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	for (unsigned i = 0; i < WIRE_WINDOW; i++) {
		struct wire_route r = route(1, (uint8_t)i);

		send_records(WIRE_ROUTE_SET, &r, 1, NULL, 0);
	}
	turn();
	assert_int_equal(control_poll_fds(bench.control, p), 1);
	assert_int_equal(p[0].events & POLLIN, 0);
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	turn();
	control_poll_fds(bench.control, p);
	assert_int_equal(p[0].events & POLLIN, POLLIN);
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
}

static void test_refused_record_keeps_its_old_object(void **state)
{
	struct wire_interface bad = interface(1);

	configure(2);
	bad.mtu = 1;
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 5, 0), 0);
	assert_int_equal(set_vrf(CORE), 0);
	assert_int_equal(result(WIRE_INTERFACE_SET, &bad), -EINVAL);
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 2), 0);
	assert_true(interface_find(bench.dp, 1) != 0);
	assert_int_equal(interface_find(bench.dp, 2), 0);
}

static int error_of(unsigned at, uint32_t *index)
{
	const struct wire_failure *f = wire_message_record(&message, at, sizeof(*f));

	*index = f->index;
	return f->error;
}

static uint16_t vlan_of(uint32_t id)
{
	return interface_record(bench.dp, interface_find(bench.dp, id))->vlan[0];
}

// Two give each other their tags: one after the other they cannot, in one message they can.
static void test_exchange_is_one_change(void **state)
{
	struct wire_interface r[3] = {interface(5), interface(6), interface(7)};
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(bench.dp);
	uint32_t index;
	uint64_t seq;

	hello(bench.store, 1);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 1, 0), 0);
	assert_int_equal(set_vrf(CORE), 0);
	assert_int_equal(call(WIRE_INTERFACE_SET, r, 2), 0);
	r[0].vlan[0] = 6;
	r[1].vlan[0] = 5;
	assert_int_equal(result(WIRE_INTERFACE_SET, &r[0]), -EEXIST);
	assert_int_equal(result(WIRE_INTERFACE_SET, &r[1]), -EEXIST);
	r[2].pad[3] = 1; // what the codec refuses and what the table refuses are named together
	r[0].mtu = 9601;
	assert_int_equal(call(WIRE_INTERFACE_EXCHANGE, r, 3), 2);
	assert_int_equal(error_of(0, &index), -EINVAL);
	assert_int_equal(index, 0);
	assert_int_equal(error_of(1, &index), -EINVAL);
	assert_int_equal(index, 2);
	assert_int_equal(vlan_of(5), 5);
	assert_int_equal(interface_find(bench.dp, 7), 0);
	r[2].pad[3] = 0;
	r[0].mtu = 1500;
	assert_int_equal(call(WIRE_INTERFACE_EXCHANGE, r, 0), 0); // nothing to do
	// A change without a wait on the spot, so that the ACK's own grace can be seen: the third is new.
	assert_int_equal(rte_rcu_qsbr_thread_register(qsbr, 0), 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	seq = send_records(WIRE_INTERFACE_EXCHANGE, &r[2], 1, NULL, 0);
	assert_int_equal(next_message(), 0);
	assert_int_not_equal(interface_find(bench.dp, 7), 0);
	rte_rcu_qsbr_quiescent(qsbr, 0);
	assert_int_equal(acknowledged(seq), 0);
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
	assert_int_equal(call(WIRE_INTERFACE_EXCHANGE, r, 3), 0);
	assert_int_equal(vlan_of(5), 6);
	assert_int_equal(vlan_of(6), 5);
	// In a sweep its records count and name like SETs, refused ones too.
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 1 + 2 + 1 + 1 + 3 + 1 + 3), 0);
	assert_int_equal(interface_count(bench.dp), 3);
	bench.store[0] ^= 1;
	hello(bench.store, 1);
	assert_int_equal(call(WIRE_INTERFACE_EXCHANGE, r, 2), 1);
	assert_int_equal(error_of(0, &index), -ESTALE);
	assert_int_equal(index, UINT32_MAX);
	bench.store[0] ^= 1;
}

// A counter of what leaves by paths: named by the first, gone with the last, there until it is released.
static void test_accounts_live_with_their_paths(void **state)
{
	const uint64_t account = 0x7000000000000001;
	struct wire_path p[2] = {{.path = 31, .interface = 5, .neighbor = 21, .account = account},
		{.path = 32, .interface = 5, .neighbor = 21, .account = account}};
	const struct wire_neighbor n = {
		.neighbor = 21, .interface = 5, .addr = {10, 1}, .family = WIRE_IPV4};
	const struct wire_uid uid = {account};

	hello(bench.store, 1);
	assert_int_equal(set_vrf(CORE), 0);
	assert_int_equal(set_interface(5), 0);
	assert_int_equal(result(WIRE_NEIGHBOR_SET, &n), 0);
	assert_int_equal(stats_find(bench.stats, STATS_ACCOUNT, account), -ENOENT);
	assert_int_equal(call(WIRE_PATH_SET, p, 2), 0);
	int64_t slot = stats_find(bench.stats, STATS_ACCOUNT, account);
	assert_true(slot > 0);
	stats_account(bench.stats, 0, (uint32_t)slot)->bytes = 1000;
	assert_int_equal(result(WIRE_COUNTERS_RELEASE, &uid), -EBUSY);
	p[0].account = 0;
	assert_int_equal(result(WIRE_PATH_SET, &p[0]), 0);
	assert_int_equal(result(WIRE_COUNTERS_RELEASE, &uid), -EBUSY);
	assert_int_equal(result(WIRE_PATH_DELETE, &(struct wire_id){.id = 32}), 0);
	// Named again before it was released: the same counter goes on.
	p[0].account = account;
	assert_int_equal(result(WIRE_PATH_SET, &p[0]), 0);
	assert_int_equal(stats_find(bench.stats, STATS_ACCOUNT, account), slot);
	assert_int_equal(result(WIRE_COUNTERS_RELEASE, &uid), -EBUSY);
	assert_int_equal(result(WIRE_PATH_DELETE, &(struct wire_id){.id = 31}), 0);
	struct stats_account sum;
	assert_int_equal(stats_sum_account(bench.stats, (uint32_t)slot, &sum), 0);
	assert_int_equal(sum.bytes, 1000);
	assert_int_equal(result(WIRE_COUNTERS_RELEASE, &uid), 0);
	assert_int_equal(stats_find(bench.stats, STATS_ACCOUNT, account), -ENOENT);
	p[0].account = 1ull << 63;
	assert_int_equal(result(WIRE_PATH_SET, &p[0]), -EINVAL);
}

// However much a message holds, a turn takes CONTROL_SLICE records of it.
static void test_turns_are_bounded(void **state)
{
	static struct wire_vrf vrf[600];
	uint64_t seq;

	hello(bench.store, 1);
	for (uint32_t i = 0; i < 600; i++)
		vrf[i].vrf = 1 + i;
	assert_int_equal(next_message(), 1); // of the port
	seq = send_records(WIRE_VRF_SET, vrf, 600, NULL, 0);
	control_turn(bench.control);
	assert_in_range(bench.dp->written, 1, CONTROL_SLICE);
	assert_int_equal(
		wire_receive(bench.link, &message, fds, &fds_count), 0); // no ACK of a part
	control_turn(bench.control);
	assert_in_range(bench.dp->written, CONTROL_SLICE, 2 * CONTROL_SLICE);
	assert_int_equal(acknowledged(seq), 0);
	assert_int_equal(bench.dp->written, 600);
	// A controller that goes in the middle: what is applied stays, the rest is void, the next one is served.
	for (uint32_t i = 0; i < 600; i++)
		vrf[i].vrf = 1001 + i;
	send_records(WIRE_VRF_SET, vrf, 600, NULL, 0);
	control_turn(bench.control);
	wire_link_close(bench.link);
	connect_controller();
	hello(bench.store, 1);
	assert_in_range(bench.dp->written, 601, 600 + CONTROL_SLICE);
	assert_int_equal(set_vrf(5000), 0);
}

// Every lock that this process takes is counted on its way.
static unsigned locks;

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	static int (*real)(pthread_mutex_t *);

	if (!real)
		real = (int (*)(pthread_mutex_t *))(uintptr_t)dlsym(
			RTLD_NEXT, "pthread_mutex_lock");
	locks++;
	return real(mutex);
}

// The host path's mutex, which its thread holds for whole turns, is taken once for all addresses that change in a
// turn, and not at all by the end of a sweep that changes none.
static void test_addresses_take_one_lock(void **state)
{
	struct wire_interface r[32];
	struct wire_local l[32];

	hello(bench.store, 1);
	assert_int_equal(set_vrf(CORE), 0);
	for (uint32_t i = 0; i < 32; i++) {
		r[i] = interface(1 + i);
		l[i] = (struct wire_local){.vrf = CORE,
			.interface = 1 + i,
			.addr = {10, 0, 0, (uint8_t)(1 + i)},
			.family = WIRE_IPV4};
	}
	assert_int_equal(call(WIRE_INTERFACE_SET, r, 32), 0);
	locks = 0;
	assert_int_equal(call(WIRE_LOCAL_SET, l, 32), 0);
	assert_int_equal(locks, 1);
	assert_int_equal(begin(WIRE_SCOPE_ROUTES, CORE, 1, 0), 0);
	assert_int_equal(end(WIRE_SCOPE_ROUTES, CORE, 0), 0);
	assert_int_equal(call(WIRE_LOCAL_SET, l, 32), 0); // as they are
	assert_int_equal(locks, 1);
	l[0].interface = 2; // two interfaces' addresses change
	assert_int_equal(call(WIRE_LOCAL_SET, l, 1), 0);
	assert_int_equal(locks, 2);
}

static void test_replay_writes_nothing(void **state)
{
	uint64_t written, unchanged;

	configure(5);
	written = bench.dp->written;
	unchanged = bench.dp->unchanged;
	configure(5);
	assert_int_equal(bench.dp->written, written);
	assert_int_equal(bench.dp->unchanged, unchanged + 6);
}

static void test_descriptors(void **state)
{
	struct wire_host r[3] = {
		{.interface = 1, .fd = 0}, {.interface = 1, .fd = 0}, {.interface = 9, .fd = 1}};
	const struct wire_failure *f;
	int s[2], ends[2];
	char byte;

	configure(1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(
		acknowledged(send_records(WIRE_HOST_SET, r, 3, (int[]){s[0], ends[1]}, 2)), 2);
	f = wire_message_record(&message, 0, sizeof(*f));
	assert_int_equal(f[0].index, 1);
	assert_int_equal(f[0].error, -EBADF); // given away by record 0
	assert_int_equal(f[1].error, -ENOENT);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0); // refused: nobody else has it open
	assert_int_equal(result(WIRE_INTERFACE_DELETE, &(struct wire_id){.id = 1}), 0);
	close(s[0]);
	assert_int_equal(read(s[1], &byte, 1), 0); // closed with its interface
	close(s[1]);
	close(ends[0]);
}

static void test_read_back(void **state)
{
	struct wire_route r[200];
	unsigned seen = 0;
	uint64_t seq;

	configure(0);
	for (unsigned i = 0; i < 200; i++)
		r[i] = route(1, (uint8_t)i);
	assert_int_equal(call(WIRE_ROUTE_SET, r, 200), 0);
	assert_int_equal(result(WIRE_DUMP, &(struct wire_dump){.type = WIRE_ACK}), -EINVAL);
	assert_int_equal(
		result(WIRE_DUMP, &(struct wire_dump){.type = WIRE_ROUTE_SET, .vrf = 9}), -ENOENT);
	seq = send_records(
		WIRE_DUMP, &(struct wire_dump){.type = WIRE_ROUTE_SET, .vrf = 1}, 1, NULL, 0);
	for (;;) {
		assert_int_equal(next_message(), 1);
		if (message.header.type == WIRE_ROUTE_SET)
			seen += message.header.count;
		else
			break;
	}
	assert_int_equal(message.header.type, WIRE_DUMP_END);
	assert_int_equal(
		((const struct wire_dump_end *)wire_message_record(&message, 0, 8))->count, 200);
	assert_int_equal(seen, 200);
	assert_int_equal(acknowledged(seq), 0);
}

static void test_foreign_messages(void **state)
{
	uint64_t seq;

	configure(1);
	wire_message_start(&message, 999, 0);
	assert_int_equal(wire_send(bench.link, &message, NULL, 0), 0);
	assert_int_equal(acknowledged(message.header.seq), 1);
	seq = send_records(WIRE_PORT, &(struct wire_port){.port = 1}, 1, NULL, 0);
	assert_int_equal(acknowledged(seq), 1);
	assert_int_equal(set_vrf(3), 0); // the link lives
	assert_int_equal(send(wire_link_fd(bench.link), "garbage", 7, 0), 7);
	assert_int_equal(next_message(), -EPIPE);
	assert_int_equal(interface_count(bench.dp), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_hello_comes_first),
		TEST(test_results_per_record),
		TEST(test_ack_waits_for_grace),
		TEST(test_full_window_stops_reading),
		TEST(test_refused_record_keeps_its_old_object),
		TEST(test_exchange_is_one_change),
		TEST(test_accounts_live_with_their_paths),
		TEST(test_turns_are_bounded),
		TEST(test_addresses_take_one_lock),
		TEST(test_replay_writes_nothing),
		TEST(test_descriptors),
		TEST(test_read_back),
		TEST(test_foreign_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
