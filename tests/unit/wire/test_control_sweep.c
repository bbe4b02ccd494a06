// SPDX-License-Identifier: BSD-3-Clause
// Sweeps: what BEGIN and END bound, whose they are, and when they are refused.

#include "tests/unit/wire/control_bench.h"

#include <unistd.h>

#include "dataplane/tables/interface.h"

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

static void test_large_sweep_needs_force(void **state)
{
	configure(40);
	for (uint32_t flags = 0; flags <= WIRE_FORCE; flags++) {
		assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 5, flags), 0);
		assert_int_equal(set_vrf(CORE), 0);
		for (uint32_t id = 1; id <= 20; id++)
			assert_int_equal(set_interface(id), 0);
		assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 21), flags ? 0 : -EPERM);
		assert_int_equal(interface_count(bench.dp), flags ? 20 : 40);
	}
}

static void test_foreign_and_older_stores(void **state)
{
	configure(1);
	for (int foreign = 0; foreign <= 1; foreign++) {
		wire_link_close(bench.link);
		turn();
		connect_controller();
		bench.store[0] = (uint8_t)(7 + foreign);
		hello(bench.store, foreign ? 9 : 4);
		assert_int_equal(set_interface(2), -ESTALE);
		assert_int_equal(
			result(WIRE_INTERFACE_DELETE, &(struct wire_id){.id = 1}), -ESTALE);
		assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, foreign ? 9 : 4, 0), -ESTALE);
		assert_int_equal(set_interface(2), -ESTALE);
		assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 0), -ESTALE);
		assert_int_equal(interface_count(bench.dp), 1);
	}
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 9, WIRE_FORCE), 0);
	assert_int_equal(set_vrf(CORE), 0);
	assert_int_equal(set_interface(2), 0);
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 2), 0);
	assert_int_equal(interface_find(bench.dp, 1), 0);
	assert_true(interface_find(bench.dp, 2) != 0);
}

// Changes between sweeps make no BEGIN. The store's copy from before them would take them back.
static void test_revision_follows_the_controller(void **state)
{
	configure(1);
	hello(bench.store, 8);
	assert_int_equal(set_interface(2), 0);
	wire_link_close(bench.link);
	turn();
	connect_controller();
	hello(bench.store, 7);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 7, 0), -ESTALE);
	assert_int_equal(interface_count(bench.dp), 2);
	hello(bench.store, 8);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 8, 0), 0);
}

static void test_hang_up_voids_a_sweep(void **state)
{
	configure(2);
	assert_int_equal(begin(WIRE_SCOPE_CONFIGURATION, 0, 5, 0), 0);
	wire_link_close(bench.link);
	turn();
	connect_controller();
	hello(bench.store, 5);
	assert_int_equal(end(WIRE_SCOPE_CONFIGURATION, 0, 0), -ENOENT);
	assert_int_equal(interface_count(bench.dp), 2);
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
	assert_true(interface_find(bench.dp, 2) != 0); // a path uses it
	assert_int_equal(end(WIRE_SCOPE_NEXTHOPS, 0, 0), 0);
	assert_int_equal(interface_find(bench.dp, 2), 0);
	assert_true(interface_find(bench.dp, 1) != 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_sweep_counts_its_records),
		TEST(test_large_sweep_needs_force),
		TEST(test_foreign_and_older_stores),
		TEST(test_revision_follows_the_controller),
		TEST(test_hang_up_voids_a_sweep),
		TEST(test_swept_but_in_use_goes_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
