// SPDX-License-Identifier: BSD-3-Clause
// Raising, reading back and sweeping many circuits takes turns of bounded length.

#include "tests/unit/wire/control_bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dataplane/tables/interface.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); // others may run in between
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
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
	uint64_t before = bench.dp->written + bench.dp->unchanged, at = clock_ns(), took;

	control_turn(bench.control);
	dataplane_poll(bench.dp);
	took = clock_ns() - at;
	assert_true(bench.dp->written + bench.dp->unchanged - before <= CONTROL_SLICE);
	x->longest = took > x->longest ? took : x->longest;
	x->all += took;
	x->turns++;
	while (wire_receive(bench.link, &message, fds, &fds_count) == 1) {
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
		while (!wire_link_window(bench.link))
			raise_turn(x);
		assert_int_equal(wire_send(bench.link, &m, NULL, 0), 0);
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
		uint64_t before = bench.dp->written, at = clock_ns(), took;

		control_turn(bench.control);
		dataplane_poll(bench.dp);
		took = clock_ns() - at;
		x->longest = took > x->longest ? took : x->longest;
		x->all += took;
		x->turns++;
		assert_true(bench.dp->written - before <= CONTROL_SLICE);
		for (unsigned seen = 0; wire_receive(bench.link, &message, fds, &fds_count) == 1;) {
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
	assert_int_equal(interface_count(bench.dp), 0);
	assert_int_equal(
		bench.dp->tables->path_slots.used + bench.dp->tables->neighbor_slots.used, 0);
	turn();
	assert_int_equal(bench.dp->tables->vrf_slots.used, 0);
	assert_int_equal(bench.dp->tables->group_slots.used, 1); // the black hole
	printf("swept: %.0f ms in %u turns, the longest %.2f ms\n", (double)x.all / 1e6, x.turns,
		(double)x.longest / 1e6);
}

static void test_many_circuits_at_once(void **state)
{
	struct raising x = {0};

	hello(bench.store, 1);
	raise_all(&x, WIRE_VRF_SET, make_vrf, MANY);
	raise_all(&x, WIRE_INTERFACE_SET, make_interface, MANY);
	raise_all(&x, WIRE_NEIGHBOR_SET, make_neighbor, MANY);
	raise_all(&x, WIRE_PATH_SET, make_path, MANY);
	raise_all(&x, WIRE_GROUP_SET, make_group, MANY);
	raise_all(&x, WIRE_LOCAL_SET, make_local, MANY);
	raise_all(&x, WIRE_ROUTE_SET, make_route, MANY);
	raise_all(&x, WIRE_INTERFACE_SET, make_other, MANY);
	assert_int_equal(bench.dp->written, 8 * MANY);
	printf("%u circuits: %.0f ms in %u turns, the longest %.2f ms\n", MANY, (double)x.all / 1e6,
		x.turns, (double)x.longest / 1e6);
	read_all_back();
	sweep_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_many_circuits_at_once, set_up_large, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
