/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_PCI_H
#define IO_PCI_H

#include <stdbool.h>

#define PCI_ADDRESS_SIZE 13u // "0000:3b:00.1" and its end

#define PCI_SYSFS "/sys/bus/pci/devices"

// Whether the text is a PCI address, with its domain or without, and how the EAL writes it.
bool pci_address(const char *text, char address[PCI_ADDRESS_SIZE]);

// Why the EAL has not taken the device, and what to do: a sentence.
void pci_why_not(const char *sysfs, const char *address, char *text, unsigned size);

#endif
