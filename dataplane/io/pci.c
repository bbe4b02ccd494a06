// SPDX-License-Identifier: BSD-3-Clause
// PCI devices as people write them, and as /sys has them. The EAL takes those that a driver for user
// space has (vfio-pci, uio; mlx5 shares its device with the kernel's driver) and says nothing of the
// others.

#include "dataplane/io/pci.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool pci_address(const char *text, char address[PCI_ADDRESS_SIZE])
{
	unsigned domain = 0, bus, device, function;
	int end = 0;

	if (sscanf(text, "%4x:%2x:%2x.%1o%n", &domain, &bus, &device, &function, &end) != 4 ||
		text[end] != '\0') {
		domain = 0;
		if (sscanf(text, "%2x:%2x.%1o%n", &bus, &device, &function, &end) != 3 ||
			text[end] != '\0')
			return false;
	}
	if (strspn(text, "0123456789abcdefABCDEF:.") != strlen(text) || device > 31)
		return false; // no sign, no space
	snprintf(address, PCI_ADDRESS_SIZE, "%04x:%02x:%02x.%o", domain & 0xffff, bus & 0xff,
		device, function & 7);
	return true;
}

static void last_part(const char *path, char *name, unsigned size)
{
	const char *slash = strrchr(path, '/');

	snprintf(name, size, "%.*s", (int)size - 1, slash != NULL ? slash + 1 : path);
}

static bool link_of(const char *base, const char *what, char *name, unsigned size)
{
	char path[512], target[512];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", base, what);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	last_part(target, name, size);
	return true;
}

// The kernel's device on it, which virtio has one directory further down.
static bool network_device(const char *base, char *name, unsigned size)
{
	static const char *const where[] = {"net/*", "*/net/*"};
	char pattern[512];

	for (unsigned i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		glob_t found;
		bool there;

		snprintf(pattern, sizeof(pattern), "%s/%s", base, where[i]);
		there = glob(pattern, 0, NULL, &found) == 0;
		if (there)
			last_part(found.gl_pathv[0], name, size);
		globfree(&found);
		if (there)
			return true;
	}
	return false;
}

void pci_why_not(const char *sysfs, const char *address, char *text, unsigned size)
{
	char base[256], driver[32], other[32];

	snprintf(base, sizeof(base), "%s/%s", sysfs, address);
	if (access(base, F_OK) != 0)
		snprintf(text, size, "there is no such PCI device: `lspci -D` lists them");
	else if (!link_of(base, "driver", driver, sizeof(driver)))
		snprintf(text, size,
			"no driver has this PCI device: `driverctl set-override %s vfio-pci` gives it "
			"to DPDK",
			address);
	else if (strcmp(driver, "vfio-pci") == 0 &&
		 !link_of(base, "iommu_group", other, sizeof(other)))
		snprintf(text, size,
			"vfio-pci has this PCI device, but there is no IOMMU: switch it on in the "
			"firmware and with intel_iommu=on on the kernel's command line");
	else if (strcmp(driver, "vfio-pci") == 0 || strncmp(driver, "uio", 3) == 0 ||
		 strcmp(driver, "igb_uio") == 0 || strncmp(driver, "mlx", 3) == 0)
		snprintf(text, size,
			"%s has this PCI device, but DPDK did not take it: it has no driver for it, "
			"or the lines above say why",
			driver);
	else if (network_device(base, other, sizeof(other)))
		snprintf(text, size,
			"the kernel's driver %s has this PCI device: `driverctl set-override %s "
			"vfio-pci` gives it to DPDK, and the kernel loses %s; or write the port's "
			"device as %s and the kernel keeps it",
			driver, address, other, other);
	else
		snprintf(text, size,
			"the kernel's driver %s has this PCI device: `driverctl set-override %s "
			"vfio-pci` gives it to DPDK",
			driver, address);
}
