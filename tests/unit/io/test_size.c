// SPDX-License-Identifier: BSD-3-Clause
// What a port carries and how many packet buffers there have to be.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dataplane/io/port.h"
#include "dataplane/io/size.h"

static struct size size(
	uint32_t wanted, uint32_t device, uint32_t overhead, uint32_t buffer, uint32_t ring)
{
	const struct size_limits l = {.wanted = wanted,
		.device_mtu = device,
		.overhead = overhead,
		.buffer = buffer,
		.ring_frame = ring};

	return size_of_port(&l);
}

static void test_the_smallest_counts(void **state)
{
	assert_int_equal(size(1500, 1500, 26, 2048, 0).mtu, 1500);
	assert_int_equal(size(9000, 9000, 26, 2048, 0).mtu, 2022);
	assert_string_equal(size(9000, 9000, 26, 2048, 0).bound, "--buffer-size");
	assert_int_equal(size(9000, 9000, 26, 9026, 0).mtu, 9000);
	assert_int_equal(size(9000, 1500, 26, 16384, 0).mtu, 1500);
	assert_string_equal(size(9000, 1500, 26, 16384, 0).bound, "the device's MTU");
	assert_int_equal(size(0, 65535, 26, 16384, 0).mtu, SIZE_MTU_MAX);
}

// A kernel device says 9000, its ring's frames hold 2048: what is larger would arrive cut.
static void test_a_ring_bounds_the_kernels_mtu(void **state)
{
	struct size s = size(0, 9000, SIZE_OVERHEAD_KERNEL, 2048, 2048);

	assert_int_equal(s.mtu, 2048 - 66 - 22);
	assert_string_equal(s.bound, "framesz of net_af_packet");
	assert_int_equal(size(0, 9000, SIZE_OVERHEAD_KERNEL, 16384, 16384).mtu, 9000);
	assert_int_equal(size_ring_frame_for(1960), 2048);
	assert_int_equal(size_ring_frame_for(1961), 4096);
	assert_int_equal(size_ring_frame_for(9000), 16384);
}

// For every MTU: what is asked for is what is had once buffers and ring are what the sentence says.
static void test_the_advice_is_enough(void **state)
{
	for (uint32_t mtu = 576; mtu <= SIZE_MTU_MAX; mtu++) {
		uint32_t buffer = size_buffer_for(mtu);
		uint32_t ring = size_ring_frame_for((uint16_t)mtu);

		assert_int_equal(size(mtu, mtu, 26, buffer, 0).mtu, mtu);
		if (buffer > 1024)
			assert_true(size(mtu, mtu, 26, buffer - 1024, 0).mtu < mtu);
		assert_int_equal(size(mtu, mtu, SIZE_OVERHEAD_KERNEL, 32768, ring).mtu, mtu);
	}
}

static uint16_t with_tags(struct size s, unsigned vlans)
{
	const struct port p = {.mtu = s.mtu, .tag_debt = s.tag_debt};

	return port_mtu(&p, vlans);
}

static void test_tags_take_room(void **state)
{
	struct size kernel = size(0, 1500, SIZE_OVERHEAD_KERNEL, 2048, 2048);

	assert_int_equal(with_tags(kernel, 0), 1500);
	assert_int_equal(with_tags(kernel, 1), 1500);
	assert_int_equal(with_tags(kernel, 2), 1496);
	// A PMD whose frames have room for no tag is told 8 more, and then carries all of it.
	assert_int_equal(size_overhead(9736, 9718), 18);
	assert_int_equal(size_device_mtu(1500, 18, 9718), 1508);
	assert_int_equal(with_tags(size(1500, 1508, 18, 2048, 0), 2), 1500);
	// If it can take only 4 more, two tags cost 4; at its limit, one costs 4 and two 8.
	assert_int_equal(size_device_mtu(1500, 18, 1504), 1504);
	assert_int_equal(with_tags(size(1500, 1504, 18, 2048, 0), 1), 1500);
	assert_int_equal(with_tags(size(1500, 1504, 18, 2048, 0), 2), 1496);
	assert_int_equal(with_tags(size(1500, 1500, 18, 2048, 0), 0), 1500);
	assert_int_equal(with_tags(size(1500, 1500, 18, 2048, 0), 1), 1496);
	assert_int_equal(with_tags(size(1500, 1500, 18, 2048, 0), 2), 1492);
	// Limits that say nothing about tags.
	assert_int_equal(size_overhead(UINT32_MAX, UINT16_MAX), 26);
	assert_int_equal(size_overhead(1518, UINT16_MAX), 26);
	assert_int_equal(size_overhead(9728, 1500), 26);
	assert_int_equal(size_overhead(0, 0), 26);
}

static struct size_users users(uint32_t ports, uint32_t workers, uint32_t descriptors)
{
	return (struct size_users){.rx_descriptors = ports * workers * descriptors,
		.tx_descriptors = ports * workers * descriptors,
		.workers = workers};
}

// What a worker can have out besides the queues, and a quarter for the shapers: never more than
// all.
static void test_buffers_cover_what_is_held(void **state)
{
	for (uint32_t ports = 1; ports <= 32; ports++)
		for (uint32_t workers = 1; workers <= 16; workers++)
			for (uint32_t descriptors = 64; descriptors <= 32768; descriptors *= 2) {
				struct size_users u = users(ports, workers, descriptors);
				uint32_t least = size_buffers_least(&u);
				uint32_t held =
					2 * ports * workers * descriptors + workers * (384 + 256);

				assert_true(least - least / 4 >= held);
				assert_true(size_buffers_default(&u) >= least);
				assert_true(size_buffers_default(&u) >= 16384);
			}
}

// 16,384, the fixed number of before, is what the receive queues of eight workers on two ports
// alone hold.
static void test_eight_workers_on_two_ports(void **state)
{
	struct size_users u = users(2, 8, 1024);

	assert_true(size_buffers_least(&u) > 32768 + 8 * 384);
	assert_int_equal(size_buffers_default(&u), 56320);
	u = users(2, 1, 1024);
	assert_int_equal(size_buffers_default(&u), 16384);
	assert_true(size_buffers_least(&u) < 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_smallest_counts),
		cmocka_unit_test(test_a_ring_bounds_the_kernels_mtu),
		cmocka_unit_test(test_the_advice_is_enough),
		cmocka_unit_test(test_tags_take_room),
		cmocka_unit_test(test_buffers_cover_what_is_held),
		cmocka_unit_test(test_eight_workers_on_two_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
