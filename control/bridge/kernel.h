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
	uint16_t mtu;
	uint8_t mac[6];
	char name[16];
};

int kernel_link_get(struct netlink *netlink, const char *name, struct kernel_link *link); // -ENODEV
bool kernel_link_parse(const struct nlmsghdr *header, struct kernel_link *link);
bool kernel_has_vrf(void); // tries one in a namespace of its own
// Sets MAC (NULL = leave), MTU (0 = leave) and takes the device up.
int kernel_link_set(struct netlink *netlink, int index, const uint8_t *mac, uint16_t mtu);
int kernel_link_delete(struct netlink *netlink, int index);
// Makes the device's addresses exactly these, link-local IPv6 ones apart.
int kernel_addresses_set(struct netlink *netlink, int index,
	const struct bridge_interface_address *address, unsigned int count);

// Routes. via NULL = blackhole; index 0 = the kernel finds it. type 0 = by via.
struct kernel_route {
	uint32_t table;
	uint8_t protocol;
	uint8_t type;  // RTN_*
	uint8_t scope; // RT_SCOPE_*
	int index;
	const struct ip_prefix *prefix;
	const struct ip_address *via;
};
int kernel_route_set(struct netlink *netlink, const struct kernel_route *route);
int kernel_route_delete(struct netlink *netlink, const struct kernel_route *route);

// Policy rules of IPv4. iif or from, not both. action FR_ACT_*.
struct kernel_rule {
	uint32_t priority;
	uint32_t table;
	const char *iif;
	const struct ip_address *from;
	uint8_t family; // 4, 6
	uint8_t action;
	uint8_t protocol;
};
int kernel_rule_set(struct netlink *netlink, const struct kernel_rule *rule);
int kernel_rule_delete(struct netlink *netlink, const struct kernel_rule *rule);

// Neighbors. managed: NTF_EXT_MANAGED; else the kernel is asked to resolve once.
int kernel_neighbor_set(
	struct netlink *netlink, int index, const struct ip_address *address, bool managed);
int kernel_neighbor_delete(struct netlink *netlink, int index, const struct ip_address *address);

#endif
