/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_KERNEL_H
#define BRIDGE_KERNEL_H

// Single changes to the kernel's network objects, each one netlink request. 0 or -errno. What is asked for twice
// succeeds twice; what is taken away and not there succeeds too.

#include <stdbool.h>
#include <stdint.h>

#include "control/bridge/bridge.h"
#include "control/bridge/netlink.h"

struct kernel_link {
	int index;
	bool up;      // administratively
	bool running; // up and with carrier
	bool tun;     // made by the tun driver
	bool veth;
	int peer; // of a veth: index of its other end, in the namespace where that is
	bool noarp;
	uint16_t mtu;
	uint8_t mac[6];
	char name[16];
};

int kernel_link_get(struct netlink *netlink, const char *name, struct kernel_link *link); // -ENODEV
int kernel_link_at(struct netlink *netlink, int index, struct kernel_link *link);         // -ENODEV
bool kernel_link_parse(const struct nlmsghdr *header, struct kernel_link *link);
bool kernel_has_vrf(void); // tries one in a namespace of its own
// Sets MAC and ARP (mac NULL = leave both), MTU (0 = leave) and takes the device up.
int kernel_link_set(struct netlink *netlink, int index, const uint8_t *mac, uint16_t mtu);
// Also while it is up, where the kernel does not forbid it; else it goes down and up again.
int kernel_link_rename(struct netlink *netlink, int index, const char *name);
// One plain queue for all transmit queues of the device. A multi-queue TAP has 256 of them, and taking it up for the first
// time otherwise makes 256 queueing disciplines: 10 ms and 5 MB a device.
int kernel_link_one_queue(struct netlink *netlink, int index);
// Two veth devices, the other one in the namespace `fd`.
int kernel_patch_add(struct netlink *netlink, const char *name, const char *other, int fd);
int kernel_link_delete(struct netlink *netlink, int index);
// Makes the device's addresses exactly these, link-local IPv6 ones apart.
// The number of changes that took, or -errno.
int kernel_addresses_set(struct netlink *netlink, int index,
	const struct bridge_interface_address *address, unsigned int count);
// Puts addresses on a device that has none.
int kernel_addresses_add(struct netlink *netlink, int index,
	const struct bridge_interface_address *address, unsigned int count);

// Routes. via NULL = blackhole; index 0 = the kernel finds it. type 0 = by via.
struct kernel_route {
	uint32_t table;
	uint8_t protocol;
	uint8_t type;  // RTN_*
	uint8_t scope; // RT_SCOPE_*
	int index;
	const struct ip_prefix *prefix;
	const struct ip_address *via, *source; // NULL = none
};
int kernel_route_set(struct netlink *netlink, const struct kernel_route *route);
int kernel_route_add(struct netlink *netlink, const struct kernel_route *route); // -EEXIST: there is one
int kernel_route_delete(struct netlink *netlink, const struct kernel_route *route);

// The kernel's own routes for an address on a device: to ourselves, and to the subnet. Of IPv4 what lacks is put in as the
// kernel would. 1 = something lacked, 0, or -errno.
int kernel_address_routes4(
	struct netlink *netlink, int index, const struct bridge_interface_address *address);
// Of IPv6 only the kernel can make them (metric 0). 1 = something lacks, 0, or -errno.
int kernel_address_routes6(
	struct netlink *netlink, int index, const struct bridge_interface_address *address);

// Policy rules. Conditions: iif NULL, from and to of family 0 = any.
struct kernel_rule {
	uint32_t priority;
	uint32_t table;  // FR_ACT_TO_TBL
	uint32_t target; // FR_ACT_GOTO: priority to go on at
	const char *iif;
	struct ip_prefix from, to;
	uint8_t family; // 4, 6
	uint8_t action; // FR_ACT_*
	uint8_t protocol;
	bool invert; // applies when the conditions do not
};
int kernel_rule_add(struct netlink *netlink, const struct kernel_rule *rule); // -EEXIST: it is there
int kernel_rule_delete(struct netlink *netlink, const struct kernel_rule *rule); // -ENOENT: it was not
// iif has 16 places, or is NULL: the rule's iif then is.
bool kernel_rule_parse(const struct nlmsghdr *header, struct kernel_rule *rule, char *iif);

// Neighbors. managed: NTF_EXT_MANAGED; else the kernel is asked to resolve once.
int kernel_neighbor_set(
	struct netlink *netlink, int index, const struct ip_address *address, bool managed);
int kernel_neighbor_delete(struct netlink *netlink, int index, const struct ip_address *address);

#endif
