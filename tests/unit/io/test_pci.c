// SPDX-License-Identifier: BSD-3-Clause
// PCI addresses, and what is said of a device that the EAL did not take, by a /sys of our own.

#include "dataplane/io/pci.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_addresses(void **state)
{
	static const struct {
		const char *text, *address; // NULL = it is none
	} cases[] = {
		{"0000:3b:00.1", "0000:3b:00.1"},
		{"3b:00.1", "0000:3b:00.1"},
		{"10A0:FF:1f.7", "10a0:ff:1f.7"},
		{"3b:1.0", "0000:3b:01.0"},
		{"eth1", NULL},
		{"", NULL},
		{"3b:00", NULL},
		{"0000:3b:00", NULL},
		{"3b:20.0", NULL},
		{"3b:00.8", NULL},
		{"3b:00.1x", NULL},
		{" 3b:00.1", NULL},
		{"3b: 0.1", NULL},
		{"-1:00.1", NULL},
		{"+b:00.1", NULL},
		{"0x:00.1", NULL},
		{"00000:3b:00.1", NULL},
		{"a.b:c", NULL},
		{"net_tap0", NULL},
	};
	char address[PCI_ADDRESS_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool is = pci_address(cases[i].text, address);

		if (is != (cases[i].address != NULL))
			fail_msg("\"%s\": %d", cases[i].text, is);
		if (is)
			assert_string_equal(address, cases[i].address);
	}
}

static char root[] = "/tmp/culvert-pci-XXXXXX";

static int make_root(void **state)
{
	return mkdtemp(root) == NULL;
}

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *ftw)
{
	return remove(path);
}

static int remove_root(void **state)
{
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void directory(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_return_code(mkdir(path, 0755), errno);
}

static void link_to(const char *name, const char *target)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_return_code(symlink(target, path), errno);
}

static void says(const char *address, const char *a, const char *b)
{
	char text[320];

	pci_why_not(root, address, text, sizeof(text));
	assert_true(strlen(text) < sizeof(text) - 1);
	if (strstr(text, a) == NULL || strstr(text, b) == NULL)
		fail_msg("%s: %s", address, text);
}

static void test_what_is_said(void **state)
{
	says("0000:01:00.0", "no such PCI device", "lspci -D");
	directory("0000:02:00.0");
	says("0000:02:00.0", "no driver has", "driverctl set-override 0000:02:00.0 vfio-pci");
	directory("0000:03:00.0");
	link_to("0000:03:00.0/driver", "../../../bus/pci/drivers/ixgbe");
	says("0000:03:00.0", "driver ixgbe", "driverctl set-override 0000:03:00.0 vfio-pci");
	directory("0000:03:00.0/net");
	directory("0000:03:00.0/net/enp3s0");
	says("0000:03:00.0", "the kernel loses enp3s0", "device as enp3s0");
	directory("0000:04:00.0");
	link_to("0000:04:00.0/driver", "../drivers/virtio-pci");
	directory("0000:04:00.0/virtio2");
	directory("0000:04:00.0/virtio2/net");
	directory("0000:04:00.0/virtio2/net/eth0");
	says("0000:04:00.0", "virtio-pci", "device as eth0");
	directory("0000:05:00.0");
	link_to("0000:05:00.0/driver", "../drivers/vfio-pci");
	says("0000:05:00.0", "no IOMMU", "intel_iommu=on");
	directory("0000:06:00.0");
	link_to("0000:06:00.0/driver", "../drivers/mlx5_core");
	says("0000:06:00.0", "mlx5_core has", "DPDK did not take it");
	link_to("0000:05:00.0/iommu_group", "../../kernel/iommu_groups/7");
	says("0000:05:00.0", "vfio-pci has", "DPDK did not take it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_what_is_said),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
