/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_NETDEV_H
#define IO_NETDEV_H

// A network device of the kernel, found by its name in the network namespace that the socket `fd`
// (any one) belongs to. All return 0 or -errno; -ENODEV: there is none of that name.

#include <stdbool.h>
#include <stdint.h>

#define NETDEV_DRIVER 32u

struct netdev {
	int index;
	bool ethernet;
	bool running; // administratively up, and with a carrier
	uint32_t mtu;
	uint32_t speed; // Mb/s, 0 = unknown
	uint8_t mac[6];
};

int netdev_read(int fd, const char *name, struct netdev *device);
int netdev_set_mtu(int fd, const char *name, uint32_t mtu);
// Of its driver, "" when the kernel does not say.
void netdev_driver(int fd, const char *name, char driver[NETDEV_DRIVER]);
// Receive queues that are in use, at least 1.
unsigned netdev_queues(int fd, const char *name);
// A feature by the name the kernel has for it ("rx-vlan-hw-parse"), switched off and seen off. 0
// also when the kernel knows none of that name.
int netdev_switch_off(int fd, const char *name, const char *feature);
// Has the kernel put no packets together that came apart (GRO, LRO).
void netdev_keep_apart(int fd, const char *name);

#endif
