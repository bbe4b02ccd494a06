// SPDX-License-Identifier: BSD-3-Clause
// What ports ask of the kernel's devices and change on them, on a veth in a network namespace of
// the test's own.

#include "dataplane/io/netdev.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

#define DEVICE "cv-net0"

static int control;

static void ethtool(void *command)
{
	struct ifreq r = {.ifr_name = DEVICE, .ifr_data = command};

	assert_return_code(ioctl(control, SIOCETHTOOL, &r), errno);
}

static uint32_t flags(void)
{
	struct ethtool_value v = {.cmd = ETHTOOL_GFLAGS};

	ethtool(&v);
	return v.data;
}

static unsigned features(void)
{
	struct {
		struct ethtool_gfeatures head;
		struct ethtool_get_features_block block[8];
	} now = {.head = {.cmd = ETHTOOL_GFEATURES, .size = 8}};
	unsigned active = 0;

	ethtool(&now);
	for (unsigned i = 0; i < 8; i++)
		active += (unsigned)__builtin_popcount(now.block[i].active);
	return active;
}

static void test_a_device_is_found_by_its_name(void **state)
{
	struct netdev device;
	char driver[NETDEV_DRIVER];

	assert_int_equal(netdev_read(control, DEVICE, &device), 0);
	assert_true(device.ethernet && !device.running);
	assert_int_equal(device.index, if_nametoindex(DEVICE));
	assert_int_equal(device.mtu, 1500);
	assert_int_equal(netdev_set_mtu(control, DEVICE, 1400), 0);
	assert_int_equal(netdev_read(control, DEVICE, &device), 0);
	assert_int_equal(device.mtu, 1400);
	netdev_driver(control, DEVICE, driver);
	assert_string_equal(driver, "veth");
	assert_int_equal(netdev_queues(control, DEVICE), 3);
	assert_int_equal(netdev_read(control, "lo", &device), 0);
	assert_false(device.ethernet);
	assert_int_equal(netdev_read(control, "cv-none", &device), -ENODEV);
}

static void test_features_are_switched_off_one_by_one(void **state)
{
	unsigned before = features();

	assert_true(flags() & ETH_FLAG_RXVLAN);
	assert_int_equal(netdev_switch_off(control, DEVICE, "rx-vlan-hw-parse"), 0);
	assert_false(flags() & ETH_FLAG_RXVLAN);
	assert_int_equal(features(), before - 1);
	assert_int_equal(netdev_switch_off(control, DEVICE, "rx-vlan-hw-parse"), 0);
	assert_int_equal(features(), before - 1);
	assert_int_equal(netdev_switch_off(control, DEVICE, "rx-vlan-stag-hw-parse"), 0);
	assert_int_equal(features(), before - 2);
	assert_int_equal(netdev_switch_off(control, DEVICE, "no-such-feature"), 0);
	// what a device keeps all the same
	assert_int_equal(netdev_switch_off(control, "lo", "loopback"), -EOPNOTSUPP);
	assert_int_equal(netdev_switch_off(control, "cv-none", "rx-vlan-hw-parse"), -ENODEV);
}

static void test_packets_are_kept_apart(void **state)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_SGRO, .data = 1};

	ethtool(&gro);
	netdev_keep_apart(control, DEVICE);
	gro.cmd = ETHTOOL_GGRO;
	ethtool(&gro);
	assert_int_equal(gro.data, 0);
	assert_false(flags() & ETH_FLAG_LRO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_device_is_found_by_its_name),
		cmocka_unit_test(test_features_are_switched_off_one_by_one),
		cmocka_unit_test(test_packets_are_kept_apart),
	};

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		printf("no network namespace of our own can be had\n");
		return 77;
	}
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (system("ip link add " DEVICE " numrxqueues 3 numtxqueues 3 type veth peer name cv-net1 "
		   "numrxqueues 3 numtxqueues 3 && ethtool -L " DEVICE " rx 3 tx 3") != 0) {
		printf("no veth can be made\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
