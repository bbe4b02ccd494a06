// SPDX-License-Identifier: BSD-3-Clause
// Writing to the kernel: links, addresses, routes, rules, neighbors. One function, one message; what to write and
// when is decided elsewhere. "Already there" on the way in and "not there" on the way out are successes, so
// that the callers can repeat themselves after a restart, a link coming back, or a doubt.

#include "control/bridge/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

bool kernel_link_parse(const struct nlmsghdr *header, struct kernel_link *link)
{
	struct nlattr *attr[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	const struct ifinfomsg *ifi = nlmsg_data(header);

	*link = (struct kernel_link){0};
	if (nlmsg_parse((struct nlmsghdr *)header, sizeof(*ifi), attr, IFLA_MAX, NULL) < 0)
		return false;
	link->index = ifi->ifi_index;
	link->up = ifi->ifi_flags & IFF_UP;
	link->running = (ifi->ifi_flags & (IFF_UP | IFF_LOWER_UP)) == (IFF_UP | IFF_LOWER_UP);
	if (attr[IFLA_IFNAME])
		nla_strlcpy(link->name, attr[IFLA_IFNAME], sizeof(link->name));
	if (attr[IFLA_MTU])
		link->mtu = (uint16_t)nla_get_u32(attr[IFLA_MTU]);
	if (attr[IFLA_ADDRESS] && nla_len(attr[IFLA_ADDRESS]) == 6)
		memcpy(link->mac, nla_data(attr[IFLA_ADDRESS]), 6);
	if (attr[IFLA_LINKINFO] &&
		nla_parse_nested(info, IFLA_INFO_MAX, attr[IFLA_LINKINFO], NULL) == 0 &&
		info[IFLA_INFO_KIND])
		link->tun = nla_strcmp(info[IFLA_INFO_KIND], "tun") == 0;
	return true;
}

static void link_object(void *ctx, const struct nlmsghdr *header)
{
	if (header->nlmsg_type == RTM_NEWLINK)
		kernel_link_parse(header, ctx);
}

int kernel_link_get(struct netlink *netlink, const char *name, struct kernel_link *link)
{
	struct ifinfomsg ifi = {0};
	struct nl_msg *msg = netlink_message(RTM_GETLINK, 0, &ifi, sizeof(ifi));

	*link = (struct kernel_link){0};
	if (msg == NULL)
		return -ENOMEM;
	nla_put_string(msg, IFLA_IFNAME, name);
	int err = netlink_get(netlink, msg, link_object, link);
	return err ? err : link->index == 0 ? -ENODEV : 0;
}

int kernel_link_set(struct netlink *netlink, int index, const uint8_t *mac, uint16_t mtu)
{
	struct ifinfomsg ifi = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nl_msg *msg = netlink_message(RTM_NEWLINK, 0, &ifi, sizeof(ifi));

	if (msg == NULL)
		return -ENOMEM;
	if (mac)
		nla_put(msg, IFLA_ADDRESS, 6, mac);
	if (mtu)
		nla_put_u32(msg, IFLA_MTU, mtu);
	return netlink_request(netlink, msg);
}

int kernel_link_delete(struct netlink *netlink, int index)
{
	struct ifinfomsg ifi = {.ifi_index = index};
	int err = netlink_request(netlink, netlink_message(RTM_DELLINK, 0, &ifi, sizeof(ifi)));

	return err == -ENODEV ? 0 : err;
}

static int address_change(struct netlink *netlink, int type, int index,
	const struct bridge_interface_address *address)
{
	struct ifaddrmsg ifa = {
		.ifa_family = ip_af(address->address.family),
		.ifa_prefixlen = address->len,
		.ifa_index = (unsigned int)index,
		.ifa_flags = address->address.family == 6 ? IFA_F_NODAD : 0,
	};
	int flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0;
	struct nl_msg *msg = netlink_message(type, flags, &ifa, sizeof(ifa));

	if (msg == NULL)
		return -ENOMEM;
	netlink_put_address(msg, IFA_LOCAL, &address->address);
	netlink_put_address(msg, IFA_ADDRESS, &address->address);
	int err = netlink_request(netlink, msg);
	return err == -EEXIST || err == -EADDRNOTAVAIL ? 0 : err;
}

struct address_list {
	int index;
	unsigned int count;
	struct bridge_interface_address address[32];
};

static void address_object(void *ctx, const struct nlmsghdr *header)
{
	struct address_list *list = ctx;
	const struct ifaddrmsg *ifa = nlmsg_data(header);
	struct nlattr *attr[IFA_MAX + 1];
	struct bridge_interface_address found = {.len = ifa->ifa_prefixlen};

	if (header->nlmsg_type != RTM_NEWADDR || (int)ifa->ifa_index != list->index ||
		ifa->ifa_scope == RT_SCOPE_LINK || list->count == 32)
		return;
	if (nlmsg_parse((struct nlmsghdr *)header, sizeof(*ifa), attr, IFA_MAX, NULL) < 0)
		return;
	if (netlink_address(attr[IFA_LOCAL] ? attr[IFA_LOCAL] : attr[IFA_ADDRESS], ifa->ifa_family,
		    &found.address))
		list->address[list->count++] = found;
}

static bool address_in(const struct bridge_interface_address *a,
	const struct bridge_interface_address *list, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (a->len == list[i].len && ip_address_compare(&a->address, &list[i].address) == 0)
			return true;
	return false;
}

int kernel_addresses_set(struct netlink *netlink, int index,
	const struct bridge_interface_address *address, unsigned int count)
{
	struct address_list have = {.index = index};
	struct ifaddrmsg ifa = {0};
	int err = netlink_get(netlink, netlink_message(RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa)),
		address_object, &have);

	for (unsigned int i = 0; err == 0 && i < count; i++)
		if (!address_in(&address[i], have.address, have.count))
			err = address_change(netlink, RTM_NEWADDR, index, &address[i]);
	for (unsigned int i = 0; err == 0 && i < have.count; i++)
		if (!address_in(&have.address[i], address, count))
			err = address_change(netlink, RTM_DELADDR, index, &have.address[i]);
	return err;
}

static struct nl_msg *route_message(int type, int flags, const struct kernel_route *route)
{
	struct rtmsg rtm = {
		.rtm_family = ip_af(route->prefix->address.family),
		.rtm_dst_len = route->prefix->len,
		.rtm_table = route->table < 256 ? (unsigned char)route->table : RT_TABLE_UNSPEC,
		.rtm_protocol = route->protocol,
		.rtm_scope = route->scope,
		.rtm_type = route->type  ? route->type
			    : route->via ? RTN_UNICAST
					 : RTN_BLACKHOLE,
	};
	struct nl_msg *msg = netlink_message(type, flags, &rtm, sizeof(rtm));

	if (msg == NULL)
		return NULL;
	nla_put_u32(msg, RTA_TABLE, route->table);
	if (route->prefix->len > 0)
		netlink_put_address(msg, RTA_DST, &route->prefix->address);
	if (route->via)
		netlink_put_address(msg, RTA_GATEWAY, route->via);
	if (route->index)
		nla_put_u32(msg, RTA_OIF, (uint32_t)route->index);
	return msg;
}

int kernel_route_set(struct netlink *netlink, const struct kernel_route *route)
{
	return netlink_request(
		netlink, route_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route));
}

int kernel_route_delete(struct netlink *netlink, const struct kernel_route *route)
{
	int err = netlink_request(netlink, route_message(RTM_DELROUTE, 0, route));

	return err == -ESRCH || err == -ENOENT ? 0 : err;
}

static struct nl_msg *rule_message(int type, int flags, const struct kernel_rule *rule)
{
	struct fib_rule_hdr frh = {
		.family = ip_af(rule->family),
		.action = rule->action,
		.table = RT_TABLE_UNSPEC,
		.src_len = rule->from ? ip_bits(rule->family) : 0,
	};
	struct nl_msg *msg = netlink_message(type, flags, &frh, sizeof(frh));

	if (msg == NULL)
		return NULL;
	nla_put_u32(msg, FRA_PRIORITY, rule->priority);
	if (rule->table)
		nla_put_u32(msg, FRA_TABLE, rule->table);
	if (rule->iif)
		nla_put_string(msg, FRA_IIFNAME, rule->iif);
	if (rule->from)
		netlink_put_address(msg, FRA_SRC, rule->from);
	if (rule->protocol)
		nla_put_u8(msg, FRA_PROTOCOL, rule->protocol);
	return msg;
}

int kernel_rule_set(struct netlink *netlink, const struct kernel_rule *rule)
{
	int err = netlink_request(
		netlink, rule_message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule));

	return err == -EEXIST ? 0 : err;
}

int kernel_rule_delete(struct netlink *netlink, const struct kernel_rule *rule)
{
	int err = netlink_request(netlink, rule_message(RTM_DELRULE, 0, rule));

	return err == -ENOENT ? 0 : err;
}

int kernel_neighbor_set(
	struct netlink *netlink, int index, const struct ip_address *address, bool managed)
{
	struct ndmsg ndm = {
		.ndm_family = ip_af(address->family),
		.ndm_ifindex = index,
		.ndm_state = NUD_NONE,
		.ndm_flags = managed ? 0 : NTF_USE,
	};
	struct nl_msg *msg =
		netlink_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &ndm, sizeof(ndm));

	if (msg == NULL)
		return -ENOMEM;
	netlink_put_address(msg, NDA_DST, address);
	if (managed)
		nla_put_u32(msg, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	return netlink_request(netlink, msg);
}

int kernel_neighbor_delete(struct netlink *netlink, int index, const struct ip_address *address)
{
	struct ndmsg ndm = {.ndm_family = ip_af(address->family), .ndm_ifindex = index};
	struct nl_msg *msg = netlink_message(RTM_DELNEIGH, 0, &ndm, sizeof(ndm));

	if (msg == NULL)
		return -ENOMEM;
	netlink_put_address(msg, NDA_DST, address);
	int err = netlink_request(netlink, msg);
	return err == -ENOENT || err == -ENODEV ? 0 : err;
}

// Without a table number a VRF is refused as incomplete; a kernel without VRFs refuses the kind before that.
bool kernel_has_vrf(void)
{
	struct ifinfomsg ifi = {0};
	struct netlink netlink;
	struct nl_msg *msg;
	int err = netlink_open(&netlink, 0);

	if (err)
		return false;
	msg = netlink_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	if (msg) {
		struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
		nla_put_string(msg, IFLA_INFO_KIND, "vrf");
		nla_nest_end(msg, info);
	}
	err = netlink_request(&netlink, msg);
	netlink_close(&netlink);
	return err == -EINVAL;
}
