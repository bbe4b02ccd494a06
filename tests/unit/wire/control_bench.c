// SPDX-License-Identifier: BSD-3-Clause
// A data plane's control connection in one process: the controller's end, and what its messages are made with.

#include "tests/unit/wire/control_bench.h"

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
#include <rte_rcu_qsbr.h>
#include "dataplane/dataplane.h"
#include "dataplane/io/host.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/tables/walk.h"
#include "dataplane/wire/link.h"

struct bench bench;
struct wire_message message;
int fds[WIRE_FDS_MAX];
unsigned fds_count;

void connect_controller(void)
{
	struct wire_link *end;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	assert_int_equal(wire_link_adopt(s[0], WIRE_TO_DATAPLANE, &end), 0);
	assert_int_equal(wire_link_adopt(s[1], WIRE_TO_CONTROLLER, &bench.link), 0);
	control_adopt(bench.control, end);
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

	memset(&bench, 0, sizeof(bench));
	memset(bench.store, 7, sizeof(bench.store));
	if (stats_open(&stats, &bench.stats, note, sizeof(note)))
		return -1;
	config.stats = bench.stats;
	config.pool = (struct rte_mempool *)(void *)no_pool;
	if (dataplane_create(&config, &bench.dp))
		return -1;
	bench.port = (struct port){.mtu = 1500, .up = 1, .name = "wan0", .mac = {2, 0, 0, 0, 0, 1}};
	if (dataplane_add_port(bench.dp, &bench.port) || host_create(bench.dp, &host, &bench.host))
		return -1;
	if (control_create(
		    &(struct control_config){.dp = bench.dp, .host = bench.host}, &bench.control))
		return -1;
	connect_controller();
	return 0;
}

int set_up(void **state)
{
	return make_bench(256, 16u << 20);
}

int set_up_large(void **state)
{
	return make_bench(32768, 1u << 30);
}

int tear_down(void **state)
{
	wire_link_close(bench.link);
	control_destroy(bench.control);
	host_destroy(bench.host);
	dataplane_destroy(bench.dp);
	stats_close(bench.stats);
	return 0;
}

void turn(void)
{
	for (int i = 0; i < 100 && (control_turn(bench.control) | dataplane_poll(bench.dp)); i++)
		;
}

int next_message(void)
{
	turn();
	return wire_receive(bench.link, &message, fds, &fds_count);
}

// Takes messages until the ACK; returns the number of failures, the records stand in `message`.
int acknowledged(uint64_t seq)
{
	for (;;) {
		int got = next_message();

		if (got != 1)
			return got ? got : -EAGAIN;
		if (message.header.type == WIRE_ACK && message.header.seq == seq)
			return message.header.count;
	}
}

uint64_t send_records(
	uint16_t type, const void *records, unsigned count, const int *descriptors, unsigned n)
{
	const struct wire_type_info *info = wire_type_info(type);

	wire_message_start(&message, type, 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(
			wire_message_add(&message, (const uint8_t *)records + i * info->size), 0);
	assert_int_equal(wire_send(bench.link, &message, descriptors, n), 0);
	return message.header.seq;
}

int call(uint16_t type, const void *records, unsigned count)
{
	return acknowledged(send_records(type, records, count, NULL, 0));
}

// The error of a message with one record: 0 or -errno.
int result(uint16_t type, const void *record)
{
	const struct wire_failure *f;
	int n = call(type, record, 1);

	if (n <= 0)
		return n;
	f = wire_message_record(&message, 0, sizeof(*f));
	return f->error;
}

void hello(const uint8_t store[16], uint64_t revision)
{
	struct wire_hello h = {.revision = revision, .version = "test"};

	memcpy(h.store, store, sizeof(h.store));
	wire_message_start(&message, WIRE_HELLO, 0);
	wire_message_add(&message, &h);
	assert_int_equal(wire_send(bench.link, &message, NULL, 0), 0);
	assert_int_equal(next_message(), 1);
	assert_int_equal(message.header.type, WIRE_HELLO);
}

int begin(uint32_t scope, uint32_t vrf, uint64_t revision, uint32_t flags)
{
	struct wire_begin r = {.scope = scope, .vrf = vrf, .revision = revision, .flags = flags};

	memcpy(r.store, bench.store, sizeof(r.store));
	return result(WIRE_BEGIN, &r);
}

int end(uint32_t scope, uint32_t vrf, uint64_t count)
{
	return result(WIRE_END, &(struct wire_end){.scope = scope, .vrf = vrf, .count = count});
}

struct wire_interface interface(uint32_t id)
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

int set_interface(uint32_t id)
{
	struct wire_interface r = interface(id);

	return result(WIRE_INTERFACE_SET, &r);
}

int set_vrf(uint32_t id)
{
	return result(WIRE_VRF_SET, &(struct wire_vrf){.vrf = id});
}

struct wire_route route(uint32_t vrf, uint8_t third)
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

unsigned routes(uint32_t vrf)
{
	unsigned n = 0;

	walk_all(bench.dp, WIRE_ROUTE_SET, vrf, count_route, &n);
	return n;
}

void configure(unsigned interfaces)
{
	hello(bench.store, 5);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 5, 0), 0);
	assert_int_equal(set_vrf(CORE), 0);
	for (uint32_t id = 1; id <= interfaces; id++)
		assert_int_equal(set_interface(id), 0);
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 1 + interfaces), 0);
}
