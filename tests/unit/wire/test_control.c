// SPDX-License-Identifier: BSD-3-Clause
// The controller's messages against real tables: results per record, ACK after grace, and the rules
// of sweeps. No EAL, no port of a device, no packet.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/control.h"
#include "dataplane/dataplane.h"
#include "dataplane/io/host.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/tables/walk.h"
#include "dataplane/wire/link.h"

#define CORE 1u // VRF of the underlay

struct bench {
	struct stats_segment *stats;
	struct dataplane *dp;
	struct host *host;
	struct control *control;
	struct wire_link *link; // the controller's end
	struct port port;
	uint8_t store[16];
};

static struct bench b;
static struct wire_message message;
static int fds[WIRE_FDS_MAX];
static unsigned fds_count;

static void connect_controller(void)
{
	struct wire_link *end;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	assert_int_equal(wire_link_adopt(s[0], WIRE_TO_DATAPLANE, &end), 0);
	assert_int_equal(wire_link_adopt(s[1], WIRE_TO_CONTROLLER, &b.link), 0);
	control_adopt(b.control, end);
}

static _Alignas(64) char no_pool[4096]; // no packet, no buffer

static int make_bench(uint32_t interfaces, uint64_t fib_bytes)
{
	struct stats_config stats = {.interfaces = interfaces,
		.limiters = interfaces / 4,
		.workers = 1,
		.hz = 1000000000};
	struct dataplane_config config = {.workers = 1, .hz = 1000000000, .fib_bytes = fib_bytes};
	struct host_config host = {.workers = 1, .hz = 1000000000};
	char note[256];

	memset(&b, 0, sizeof(b));
	memset(b.store, 7, sizeof(b.store));
	if (stats_open(&stats, &b.stats, note, sizeof(note)))
		return -1;
	config.stats = b.stats;
	config.pool = (struct rte_mempool *)(void *)no_pool;
	if (dataplane_create(&config, &b.dp))
		return -1;
	b.port = (struct port){.mtu = 1500, .up = 1, .name = "wan0", .mac = {2, 0, 0, 0, 0, 1}};
	if (dataplane_add_port(b.dp, &b.port) || host_create(b.dp, &host, &b.host))
		return -1;
	if (control_create(&(struct control_config){.dp = b.dp, .host = b.host}, &b.control))
		return -1;
	connect_controller();
	return 0;
}

static int set_up(void **state)
{
	return make_bench(256, 16u << 20);
}

static int set_up_large(void **state)
{
	return make_bench(32768, 1u << 30);
}

static int tear_down(void **state)
{
	wire_link_close(b.link);
	control_destroy(b.control);
	host_destroy(b.host);
	dataplane_destroy(b.dp);
	stats_close(b.stats);
	return 0;
}

static void turn(void)
{
	for (int i = 0; i < 100 && (control_turn(b.control) | dataplane_poll(b.dp)); i++)
		;
}

static int next_message(void)
{
	turn();
	return wire_receive(b.link, &message, fds, &fds_count);
}

// Takes messages until the ACK; returns the number of failures, the records stand in `message`.
static int acknowledged(uint64_t seq)
{
	for (;;) {
		int got = next_message();

		if (got != 1)
			return got ? got : -EAGAIN;
		if (message.header.type == WIRE_ACK && message.header.seq == seq)
			return message.header.count;
	}
}

static uint64_t send_records(
	uint16_t type, const void *records, unsigned count, const int *descriptors, unsigned n)
{
	const struct wire_type_info *info = wire_type_info(type);

	wire_message_start(&message, type, 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(
			wire_message_add(&message, (const uint8_t *)records + i * info->size), 0);
	assert_int_equal(wire_send(b.link, &message, descriptors, n), 0);
	return message.header.seq;
}

static int call(uint16_t type, const void *records, unsigned count)
{
	return acknowledged(send_records(type, records, count, NULL, 0));
}

// The error of a message with one record: 0 or -errno.
static int result(uint16_t type, const void *record)
{
	const struct wire_failure *f;
	int n = call(type, record, 1);

	if (n <= 0)
		return n;
	f = wire_message_record(&message, 0, sizeof(*f));
	return f->error;
}

static void hello(const uint8_t store[16], uint64_t revision)
{
	struct wire_hello h = {.revision = revision, .version = "test"};

	memcpy(h.store, store, sizeof(h.store));
	wire_message_start(&message, WIRE_HELLO, 0);
	wire_message_add(&message, &h);
	assert_int_equal(wire_send(b.link, &message, NULL, 0), 0);
	assert_int_equal(next_message(), 1);
	assert_int_equal(message.header.type, WIRE_HELLO);
}

static int begin(uint32_t scope, uint32_t vrf, uint64_t revision, uint32_t flags)
{
	struct wire_begin r = {.scope = scope, .vrf = vrf, .revision = revision, .flags = flags};

	memcpy(r.store, b.store, sizeof(r.store));
	return result(WIRE_BEGIN, &r);
}

static int end(uint32_t scope, uint32_t vrf, uint64_t count)
{
	return result(WIRE_END, &(struct wire_end){.scope = scope, .vrf = vrf, .count = count});
}

static struct wire_interface interface(uint32_t id)
{
	return (struct wire_interface){.uid = 1000 + id,
		.interface = id,
		.vrf = CORE,
		.flags = WIRE_INTERFACE_UP,
		.mtu = 1500,
		.kind = WIRE_INTERFACE_ETHERNET,
		.vlans = 1,
		.vlan = {(uint16_t)id}};
}

static int set_interface(uint32_t id)
{
	struct wire_interface r = interface(id);

	return result(WIRE_INTERFACE_SET, &r);
}

static int set_vrf(uint32_t id)
{
	return result(WIRE_VRF_SET, &(struct wire_vrf){.vrf = id});
}

static struct wire_route route(uint32_t vrf, uint8_t third)
{
	return (struct wire_route){.vrf = vrf,
		.group = WIRE_GROUP_BLACKHOLE,
		.addr = {10, 0, third, 0},
		.family = WIRE_IPV4,
		.len = 24};
}

static int count_route(void *ctx, const void *record)
{
	++*(unsigned *)ctx;
	return 0;
}

static unsigned routes(uint32_t vrf)
{
	unsigned n = 0;

	walk_all(b.dp, WIRE_ROUTE_SET, vrf, count_route, &n);
	return n;
}

static void configure(unsigned interfaces)
{
	hello(b.store, 5);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 5, 0), 0);
	assert_int_equal(set_vrf(CORE), 0);
	for (uint32_t id = 1; id <= interfaces; id++)
		assert_int_equal(set_interface(id), 0);
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 1 + interfaces), 0);
}

static void test_hello_comes_first(void **state)
{
	assert_int_equal(set_vrf(1), -EPERM);
	assert_int_equal(vrf_find(b.dp, 1), 0);
	hello(b.store, 1);
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
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(b.dp);
	struct wire_route r = route(1, 1);
	uint64_t seq;

	configure(0);
	assert_int_equal(result(WIRE_ROUTE_SET, &r), 0);
	rte_rcu_qsbr_thread_register(qsbr, 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	r.group = 0;
	seq = send_records(WIRE_ROUTE_DELETE, &r, 1, NULL, 0);
	assert_int_equal(acknowledged(seq), -EAGAIN);
	assert_true(control_waiting(b.control));
	rte_rcu_qsbr_quiescent(qsbr, 0);
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	assert_int_equal(acknowledged(seq), 0);
	assert_false(control_waiting(b.control));
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
}

static void test_full_window_stops_reading(void **state)
{
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(b.dp);
	struct pollfd p[2];

	configure(0);
	rte_rcu_qsbr_thread_register(qsbr, 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	for (unsigned i = 0; i < WIRE_WINDOW; i++) {
		struct wire_route r = route(1, (uint8_t)i);

		send_records(WIRE_ROUTE_SET, &r, 1, NULL, 0);
	}
	turn();
	assert_int_equal(control_poll_fds(b.control, p), 1);
	assert_int_equal(p[0].events & POLLIN, 0);
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	turn();
	control_poll_fds(b.control, p);
	assert_int_equal(p[0].events & POLLIN, POLLIN);
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
}

static void test_sweep_counts_its_records(void **state)
{
	struct wire_route r[3] = {route(1, 1), route(1, 2), route(1, 3)};

	configure(0);
	assert_int_equal(call(WIRE_ROUTE_SET, r, 3), 0);
	assert_int_equal(begin(WIRE_SCOPE_ROUTES, 1, 5, 0), 0);
	assert_int_equal(call(WIRE_ROUTE_SET, r, 1), 0);
	assert_int_equal(end(WIRE_SCOPE_ROUTES, 1, 2), -EBADMSG);
	assert_int_equal(routes(1), 3);
	assert_int_equal(end(WIRE_SCOPE_ROUTES, 1, 1), -ENOENT); // void by now
	assert_int_equal(begin(WIRE_SCOPE_ROUTES, 1, 5, 0), 0);
	assert_int_equal(call(WIRE_ROUTE_SET, r, 1), 0);
	assert_int_equal(end(WIRE_SCOPE_ROUTES, 1, 1), 0);
	assert_int_equal(routes(1), 1);
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
	assert_true(interface_find(b.dp, 1) != 0);
	assert_int_equal(interface_find(b.dp, 2), 0);
}

static int error_of(unsigned at, uint32_t *index)
{
	const struct wire_failure *f = wire_message_record(&message, at, sizeof(*f));

	*index = f->index;
	return f->error;
}

static uint16_t vlan_of(uint32_t id)
{
	return interface_record(b.dp, interface_find(b.dp, id))->vlan[0];
}

// Two give each other their tags: one after the other they cannot, in one message they can.
static void test_exchange_is_one_change(void **state)
{
	struct wire_interface r[3] = {interface(5), interface(6), interface(7)};
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(b.dp);
	uint32_t index;
	uint64_t seq;

	hello(b.store, 1);
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
	assert_int_equal(interface_find(b.dp, 7), 0);
	r[2].pad[3] = 0;
	r[0].mtu = 1500;
	assert_int_equal(call(WIRE_INTERFACE_EXCHANGE, r, 0), 0); // nothing to do
	// A change without a wait on the spot, so that the ACK's own grace can be seen: the third is new.
	assert_int_equal(rte_rcu_qsbr_thread_register(qsbr, 0), 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	seq = send_records(WIRE_INTERFACE_EXCHANGE, &r[2], 1, NULL, 0);
	assert_int_equal(next_message(), 0);
	assert_int_not_equal(interface_find(b.dp, 7), 0);
	rte_rcu_qsbr_quiescent(qsbr, 0);
	assert_int_equal(acknowledged(seq), 0);
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
	assert_int_equal(call(WIRE_INTERFACE_EXCHANGE, r, 3), 0);
	assert_int_equal(vlan_of(5), 6);
	assert_int_equal(vlan_of(6), 5);
	// In a sweep its records count and name like SETs, refused ones too.
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 1 + 2 + 1 + 1 + 3 + 1 + 3), 0);
	assert_int_equal(interface_count(b.dp), 3);
	b.store[0] ^= 1;
	hello(b.store, 1);
	assert_int_equal(call(WIRE_INTERFACE_EXCHANGE, r, 2), 1);
	assert_int_equal(error_of(0, &index), -ESTALE);
	assert_int_equal(index, UINT32_MAX);
	b.store[0] ^= 1;
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

	hello(b.store, 1);
	assert_int_equal(set_vrf(CORE), 0);
	assert_int_equal(set_interface(5), 0);
	assert_int_equal(result(WIRE_NEIGHBOR_SET, &n), 0);
	assert_int_equal(stats_find(b.stats, STATS_ACCOUNT, account), -ENOENT);
	assert_int_equal(call(WIRE_PATH_SET, p, 2), 0);
	int64_t slot = stats_find(b.stats, STATS_ACCOUNT, account);
	assert_true(slot > 0);
	stats_account(b.stats, 0, (uint32_t)slot)->bytes = 1000;
	assert_int_equal(result(WIRE_COUNTERS_RELEASE, &uid), -EBUSY);
	p[0].account = 0;
	assert_int_equal(result(WIRE_PATH_SET, &p[0]), 0);
	assert_int_equal(result(WIRE_COUNTERS_RELEASE, &uid), -EBUSY);
	assert_int_equal(result(WIRE_PATH_DELETE, &(struct wire_id){.id = 32}), 0);
	// Named again before it was released: the same counter goes on.
	p[0].account = account;
	assert_int_equal(result(WIRE_PATH_SET, &p[0]), 0);
	assert_int_equal(stats_find(b.stats, STATS_ACCOUNT, account), slot);
	assert_int_equal(result(WIRE_COUNTERS_RELEASE, &uid), -EBUSY);
	assert_int_equal(result(WIRE_PATH_DELETE, &(struct wire_id){.id = 31}), 0);
	struct stats_account sum;
	assert_int_equal(stats_sum_account(b.stats, (uint32_t)slot, &sum), 0);
	assert_int_equal(sum.bytes, 1000);
	assert_int_equal(result(WIRE_COUNTERS_RELEASE, &uid), 0);
	assert_int_equal(stats_find(b.stats, STATS_ACCOUNT, account), -ENOENT);
	p[0].account = 1ull << 63;
	assert_int_equal(result(WIRE_PATH_SET, &p[0]), -EINVAL);
}

// However much a message holds, a turn takes CONTROL_SLICE records of it.
static void test_turns_are_bounded(void **state)
{
	static struct wire_vrf vrf[600];
	uint64_t seq;

	hello(b.store, 1);
	for (uint32_t i = 0; i < 600; i++)
		vrf[i].vrf = 1 + i;
	assert_int_equal(next_message(), 1); // of the port
	seq = send_records(WIRE_VRF_SET, vrf, 600, NULL, 0);
	control_turn(b.control);
	assert_in_range(b.dp->written, 1, CONTROL_SLICE);
	assert_int_equal(wire_receive(b.link, &message, fds, &fds_count), 0); // no ACK of a part
	control_turn(b.control);
	assert_in_range(b.dp->written, CONTROL_SLICE, 2 * CONTROL_SLICE);
	assert_int_equal(acknowledged(seq), 0);
	assert_int_equal(b.dp->written, 600);
	// A controller that goes in the middle: what is applied stays, the rest is void, the next one is served.
	for (uint32_t i = 0; i < 600; i++)
		vrf[i].vrf = 1001 + i;
	send_records(WIRE_VRF_SET, vrf, 600, NULL, 0);
	control_turn(b.control);
	wire_link_close(b.link);
	connect_controller();
	hello(b.store, 1);
	assert_in_range(b.dp->written, 601, 600 + CONTROL_SLICE);
	assert_int_equal(set_vrf(5000), 0);
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); // others may run in between
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// The bench with a socket of its own, for what happens before there is a link.
static char directory[64], path[96];
static struct wire_listener *listener;

static int set_up_listener(void **state)
{
	strcpy(directory, "/tmp/culvert-control-XXXXXX");
	if (set_up(state) || !mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/s", directory);
	if (wire_listen(path, getuid(), &listener))
		return -1;
	wire_link_close(b.link);
	b.link = NULL;
	turn();
	control_destroy(b.control);
	return control_create(
		&(struct control_config){.dp = b.dp, .host = b.host, .listener = listener},
		&b.control);
}

static int tear_down_listener(void **state)
{
	int err = tear_down(state);

	wire_listener_close(listener);
	rmdir(directory);
	return err;
}

static bool listens(void)
{
	struct pollfd poll_fds[2];
	unsigned n = control_poll_fds(b.control, poll_fds);

	for (unsigned i = 0; i < n; i++)
		if (poll_fds[i].fd == wire_listener_fd(listener))
			return true;
	return false;
}

#define SECOND 1000000000ull

// No descriptor for the newcomer: he waits, and the listener, which stays readable, is not polled meanwhile.
static void test_without_descriptors_it_does_not_spin(void **state)
{
	struct rlimit before, none;
	uint64_t now = SECOND;

	control_events(b.control, now);
	assert_int_equal(wire_connect(path, &b.link), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3; // all that are open are open; no other one
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_true(listens());
	control_turn(b.control);
	bool spins = listens();
	control_events(b.control, now += 2 * SECOND);
	control_turn(b.control);
	bool again = listens();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(spins);
	assert_false(again);
	control_events(b.control, now += 2 * SECOND);
	assert_true(listens());
	hello(b.store, 1);
}

// The file or its directory is removed under a running data plane: made again at the next look, by the same name.
static void test_removed_socket_is_made_again(void **state)
{
	uint64_t now = SECOND;
	struct wire_listener *other;
	struct stat st;

	control_events(b.control, now);
	assert_int_equal(unlink(path), 0);
	control_events(b.control, now += SECOND / 2); // not in every turn
	assert_int_equal(stat(path, &st), -1);
	control_events(b.control, now += SECOND);
	assert_int_equal(wire_connect(path, &b.link), 0);
	hello(b.store, 1);
	assert_int_equal(set_vrf(1), 0);
	// With the link that it had it goes on.
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	control_events(b.control, now += SECOND);
	assert_int_equal(set_vrf(2), 0);
	assert_int_equal(mkdir(directory, 0700), 0);
	control_events(b.control, now += SECOND);
	assert_int_equal(stat(path, &st), 0);
	wire_link_close(b.link);
	assert_int_equal(wire_connect(path, &b.link), 0);
	hello(b.store, 1);
	// Somebody else's by now: left alone, also at the end.
	assert_int_equal(unlink(path), 0);
	assert_int_equal(wire_listen(path, getuid(), &other), 0);
	assert_int_equal(stat(path, &st), 0);
	ino_t theirs = st.st_ino;
	control_events(b.control, now += SECOND);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_ino, theirs);
	wire_listener_close(other);
	control_events(b.control, now += SECOND);
	assert_true(listens());
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

	hello(b.store, 1);
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

// What raising many circuits takes, turn by turn.
struct raising {
	uint64_t longest; // ns
	uint64_t all;
	unsigned turns;
	unsigned acks;
};

static void raise_turn(struct raising *x)
{
	uint64_t before = b.dp->written + b.dp->unchanged, at = clock_ns(), took;

	control_turn(b.control);
	dataplane_poll(b.dp);
	took = clock_ns() - at;
	assert_true(b.dp->written + b.dp->unchanged - before <= CONTROL_SLICE);
	x->longest = took > x->longest ? took : x->longest;
	x->all += took;
	x->turns++;
	while (wire_receive(b.link, &message, fds, &fds_count) == 1) {
		if (message.header.type != WIRE_ACK)
			continue;
		assert_int_equal(message.header.count, 0);
		x->acks++;
	}
}

static void raise_all(
	struct raising *x, uint16_t type, void (*make)(void *record, uint32_t id), uint32_t count)
{
	struct wire_message m;
	uint8_t record[128];
	unsigned sent = 0;

	x->acks = 0;
	for (uint32_t id = 1; id <= count;) {
		wire_message_start(&m, type, 0);
		for (; id <= count; id++) {
			memset(record, 0, sizeof(record));
			make(record, id);
			if (wire_message_add(&m, record))
				break;
		}
		while (!wire_link_window(b.link))
			raise_turn(x);
		assert_int_equal(wire_send(b.link, &m, NULL, 0), 0);
		sent++;
	}
	while (x->acks < sent)
		raise_turn(x);
}

#define MANY 10000u

static void make_vrf(void *record, uint32_t id)
{
	*(struct wire_vrf *)record = (struct wire_vrf){.vrf = id};
}

static void make_interface(void *record, uint32_t id)
{
	struct wire_interface r = interface(id);

	r.vrf = id;
	r.owner = id;
	r.vlans = 2;
	r.vlan[0] = (uint16_t)(1 + id / 4000);
	r.vlan[1] = (uint16_t)(1 + id % 4000);
	memcpy(record, &r, sizeof(r));
}

static void make_neighbor(void *record, uint32_t id)
{
	*(struct wire_neighbor *)record = (struct wire_neighbor){.neighbor = id,
		.interface = id,
		.addr = {169, 254, 10, 1},
		.mac = {2, 1},
		.family = WIRE_IPV4,
		.state = WIRE_NEIGHBOR_RESOLVED};
}

static void make_path(void *record, uint32_t id)
{
	*(struct wire_path *)record = (struct wire_path){
		.path = id, .interface = id, .neighbor = id, .up = 1, .account = 100000 + id};
}

static void make_group(void *record, uint32_t id)
{
	*(struct wire_group *)record =
		(struct wire_group){.group = 1 + id, .count = 1, .path = {id}, .weight = {1}};
}

static void make_local(void *record, uint32_t id)
{
	*(struct wire_local *)record = (struct wire_local){
		.vrf = id, .interface = id, .addr = {169, 254, 10, 2}, .family = WIRE_IPV4};
}

static void make_route(void *record, uint32_t id)
{
	*(struct wire_route *)record = (struct wire_route){
		.vrf = id, .group = 1 + id, .addr = {10}, .family = WIRE_IPV4, .len = 8};
}

// 10,000 attachments with all that hangs on them, at once; then each changes its MTU, which reaches its entries.
static void make_other(void *record, uint32_t id)
{
	make_interface(record, id);
	((struct wire_interface *)record)->mtu = 1400;
}

// Read-back and a sweep of all that, in slices too.

static void await(struct raising *x, uint64_t seq, unsigned *records, uint64_t *told)
{
	for (x->acks = 0; x->acks == 0;) {
		uint64_t before = b.dp->written, at = clock_ns(), took;

		control_turn(b.control);
		dataplane_poll(b.dp);
		took = clock_ns() - at;
		x->longest = took > x->longest ? took : x->longest;
		x->all += took;
		x->turns++;
		assert_true(b.dp->written - before <= CONTROL_SLICE);
		for (unsigned seen = 0; wire_receive(b.link, &message, fds, &fds_count) == 1;) {
			if (message.header.type == WIRE_ACK && message.header.seq == seq)
				x->acks = 1 + message.header.count;
			if (message.header.type == WIRE_DUMP_END)
				*told = ((const struct wire_dump_end *)wire_message_record(
						 &message, 0, sizeof(struct wire_dump_end)))
						->count;
			if (message.header.type == WIRE_ROUTE_SET) {
				*records += message.header.count;
				seen += message.header.count;
				assert_true(seen <= CONTROL_SLICE);
			}
		}
	}
	assert_int_equal(x->acks, 1);
}

static void read_all_back(void)
{
	struct raising x = {0};
	const struct wire_dump r = {.type = WIRE_ROUTE_SET};
	unsigned records = 0;
	uint64_t told = 0;

	await(&x, send_records(WIRE_DUMP, &r, 1, NULL, 0), &records, &told);
	assert_int_equal(records, MANY);
	assert_int_equal(told, MANY);
	assert_true(x.turns >= MANY / CONTROL_SLICE);
	printf("read back: %.0f ms in %u turns, the longest %.2f ms\n", (double)x.all / 1e6,
		x.turns, (double)x.longest / 1e6);
}

static void sweep_all(void)
{
	static const uint32_t scope[] = {WIRE_SCOPE_CONFIGURATION, WIRE_SCOPE_NEXTHOPS};
	struct raising x = {0};
	unsigned records = 0;
	uint64_t told = 0;

	for (unsigned i = 0; i < 2; i++) {
		const struct wire_end r = {.scope = scope[i]};

		assert_int_equal(begin(scope[i], 0, 1, WIRE_FORCE), 0);
		await(&x, send_records(WIRE_END, &r, 1, NULL, 0), &records, &told);
	}
	assert_int_equal(interface_count(b.dp), 0);
	assert_int_equal(b.dp->tables->path_slots.used + b.dp->tables->neighbor_slots.used, 0);
	turn();
	assert_int_equal(b.dp->tables->vrf_slots.used, 0);
	assert_int_equal(b.dp->tables->group_slots.used, 1); // the black hole
	printf("swept: %.0f ms in %u turns, the longest %.2f ms\n", (double)x.all / 1e6, x.turns,
		(double)x.longest / 1e6);
}

static void test_many_circuits_at_once(void **state)
{
	struct raising x = {0};

	hello(b.store, 1);
	raise_all(&x, WIRE_VRF_SET, make_vrf, MANY);
	raise_all(&x, WIRE_INTERFACE_SET, make_interface, MANY);
	raise_all(&x, WIRE_NEIGHBOR_SET, make_neighbor, MANY);
	raise_all(&x, WIRE_PATH_SET, make_path, MANY);
	raise_all(&x, WIRE_GROUP_SET, make_group, MANY);
	raise_all(&x, WIRE_LOCAL_SET, make_local, MANY);
	raise_all(&x, WIRE_ROUTE_SET, make_route, MANY);
	raise_all(&x, WIRE_INTERFACE_SET, make_other, MANY);
	assert_int_equal(b.dp->written, 8 * MANY);
	printf("%u circuits: %.0f ms in %u turns, the longest %.2f ms\n", MANY, (double)x.all / 1e6,
		x.turns, (double)x.longest / 1e6);
	read_all_back();
	sweep_all();
}

static void test_large_sweep_needs_force(void **state)
{
	configure(40);
	for (uint32_t flags = 0; flags <= WIRE_FORCE; flags++) {
		assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 5, flags), 0);
		assert_int_equal(set_vrf(CORE), 0);
		for (uint32_t id = 1; id <= 20; id++)
			assert_int_equal(set_interface(id), 0);
		assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 21), flags ? 0 : -EPERM);
		assert_int_equal(interface_count(b.dp), flags ? 20 : 40);
	}
}

static void test_foreign_and_older_stores(void **state)
{
	configure(1);
	for (int foreign = 0; foreign <= 1; foreign++) {
		wire_link_close(b.link);
		turn();
		connect_controller();
		b.store[0] = (uint8_t)(7 + foreign);
		hello(b.store, foreign ? 9 : 4);
		assert_int_equal(set_interface(2), -ESTALE);
		assert_int_equal(
			result(WIRE_INTERFACE_DELETE, &(struct wire_id){.id = 1}), -ESTALE);
		assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, foreign ? 9 : 4, 0), -ESTALE);
		assert_int_equal(set_interface(2), -ESTALE);
		assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 0), -ESTALE);
		assert_int_equal(interface_count(b.dp), 1);
	}
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 9, WIRE_FORCE), 0);
	assert_int_equal(set_vrf(CORE), 0);
	assert_int_equal(set_interface(2), 0);
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 2), 0);
	assert_int_equal(interface_find(b.dp, 1), 0);
	assert_true(interface_find(b.dp, 2) != 0);
}

// Changes between sweeps make no BEGIN. The store's copy from before them would take them back.
static void test_revision_follows_the_controller(void **state)
{
	configure(1);
	hello(b.store, 8);
	assert_int_equal(set_interface(2), 0);
	wire_link_close(b.link);
	turn();
	connect_controller();
	hello(b.store, 7);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 7, 0), -ESTALE);
	assert_int_equal(interface_count(b.dp), 2);
	hello(b.store, 8);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 8, 0), 0);
}

static void test_hang_up_voids_a_sweep(void **state)
{
	configure(2);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 5, 0), 0);
	wire_link_close(b.link);
	turn();
	connect_controller();
	hello(b.store, 5);
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 0), -ENOENT);
	assert_int_equal(interface_count(b.dp), 2);
}

static void test_swept_but_in_use_goes_later(void **state)
{
	struct wire_neighbor n = {.neighbor = 21,
		.interface = 2,
		.addr = {192, 0, 2, 9},
		.mac = {2, 0, 0, 0, 0, 9},
		.family = WIRE_IPV4,
		.state = WIRE_NEIGHBOR_RESOLVED};
	struct wire_path p = {.path = 31, .interface = 2, .neighbor = 21, .up = 1};

	configure(2);
	assert_int_equal(result(WIRE_NEIGHBOR_SET, &n), 0);
	assert_int_equal(result(WIRE_PATH_SET, &p), 0);
	assert_int_equal(result(WIRE_INTERFACE_DELETE, &(struct wire_id){.id = 2}), -EBUSY);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 5, 0), 0);
	assert_int_equal(begin(WIRE_SCOPE_NEXTHOPS, 0, 5, 0), 0);
	assert_int_equal(set_vrf(CORE), 0);
	assert_int_equal(set_interface(1), 0);
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 2), 0);
	assert_true(interface_find(b.dp, 2) != 0); // a path uses it
	assert_int_equal(end(WIRE_SCOPE_NEXTHOPS, 0, 0), 0);
	assert_int_equal(interface_find(b.dp, 2), 0);
	assert_true(interface_find(b.dp, 1) != 0);
}

static void test_replay_writes_nothing(void **state)
{
	uint64_t written, unchanged;

	configure(5);
	written = b.dp->written;
	unchanged = b.dp->unchanged;
	configure(5);
	assert_int_equal(b.dp->written, written);
	assert_int_equal(b.dp->unchanged, unchanged + 6);
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
	assert_int_equal(wire_send(b.link, &message, NULL, 0), 0);
	assert_int_equal(acknowledged(message.header.seq), 1);
	seq = send_records(WIRE_PORT, &(struct wire_port){.port = 1}, 1, NULL, 0);
	assert_int_equal(acknowledged(seq), 1);
	assert_int_equal(set_vrf(3), 0); // the link lives
	assert_int_equal(send(wire_link_fd(b.link), "garbage", 7, 0), 7);
	assert_int_equal(next_message(), -EPIPE);
	assert_int_equal(interface_count(b.dp), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_hello_comes_first),
		TEST(test_results_per_record),
		TEST(test_ack_waits_for_grace),
		TEST(test_full_window_stops_reading),
		TEST(test_sweep_counts_its_records),
		TEST(test_refused_record_keeps_its_old_object),
		TEST(test_exchange_is_one_change),
		TEST(test_accounts_live_with_their_paths),
		TEST(test_turns_are_bounded),
		TEST(test_addresses_take_one_lock),
		cmocka_unit_test_setup_teardown(test_without_descriptors_it_does_not_spin,
			set_up_listener, tear_down_listener),
		cmocka_unit_test_setup_teardown(
			test_removed_socket_is_made_again, set_up_listener, tear_down_listener),
		cmocka_unit_test_setup_teardown(
			test_many_circuits_at_once, set_up_large, tear_down),
		TEST(test_large_sweep_needs_force),
		TEST(test_foreign_and_older_stores),
		TEST(test_revision_follows_the_controller),
		TEST(test_hang_up_voids_a_sweep),
		TEST(test_swept_but_in_use_goes_later),
		TEST(test_replay_writes_nothing),
		TEST(test_descriptors),
		TEST(test_read_back),
		TEST(test_foreign_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
