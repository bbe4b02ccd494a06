// SPDX-License-Identifier: BSD-3-Clause
// Writing to the kernel: links, addresses, routes, rules, neighbors. One function, one message; what to write and
// when is decided elsewhere. "Already there" on the way in and "not there" on the way out are successes, so
// that the callers can repeat themselves after a restart, a link coming back, or a doubt.

#include "control/bridge/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

bool kernel_link_parse(const struct nlmsghdr *header, struct kernel_link *link)
{
	const struct nlattr *attr[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(header);

	*link = (struct kernel_link){0};
	if (!netlink_parse(header, sizeof(*ifi), attr, IFLA_MAX))
		return false;
	link->index = ifi->ifi_index;
	link->up = ifi->ifi_flags & IFF_UP;
	link->noarp = ifi->ifi_flags & IFF_NOARP;
	link->running = (ifi->ifi_flags & (IFF_UP | IFF_LOWER_UP)) == (IFF_UP | IFF_LOWER_UP);
	if (attr[IFLA_IFNAME])
		netlink_text(attr[IFLA_IFNAME], link->name, sizeof(link->name));
	if (attr[IFLA_MTU])
		link->mtu = (uint16_t)mnl_attr_get_u32(attr[IFLA_MTU]);
	if (attr[IFLA_ADDRESS] && mnl_attr_get_payload_len(attr[IFLA_ADDRESS]) == 6)
		memcpy(link->mac, mnl_attr_get_payload(attr[IFLA_ADDRESS]), 6);
	if (attr[IFLA_LINK])
		link->peer = (int)mnl_attr_get_u32(attr[IFLA_LINK]);
	if (attr[IFLA_LINKINFO]) {
		netlink_parse_payload(mnl_attr_get_payload(attr[IFLA_LINKINFO]),
			mnl_attr_get_payload_len(attr[IFLA_LINKINFO]), info, IFLA_INFO_MAX);
		link->tun = netlink_text_is(info[IFLA_INFO_KIND], "tun");
		link->veth = netlink_text_is(info[IFLA_INFO_KIND], "veth");
	}
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
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(&message, RTM_GETLINK, 0, &ifi, sizeof(ifi));

	*link = (struct kernel_link){0};
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	int err = netlink_get(netlink, request, link_object, link);
	return err ? err : link->index == 0 ? -ENODEV : 0;
}

int kernel_link_at(struct netlink *netlink, int index, struct kernel_link *link)
{
	struct ifinfomsg ifi = {.ifi_index = index};
	struct netlink_message message;

	*link = (struct kernel_link){0};
	int err = netlink_get(netlink, netlink_begin(&message, RTM_GETLINK, 0, &ifi, sizeof(ifi)),
		link_object, link);
	return err ? err : link->index == 0 ? -ENODEV : 0;
}

int kernel_link_set(struct netlink *netlink, int index, const uint8_t *mac, uint16_t mtu)
{
	struct ifinfomsg ifi = {.ifi_index = index,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP | (mac ? IFF_NOARP : 0)};
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(&message, RTM_NEWLINK, 0, &ifi, sizeof(ifi));

	if (mac)
		mnl_attr_put(request, IFLA_ADDRESS, 6, mac);
	if (mtu)
		mnl_attr_put_u32(request, IFLA_MTU, mtu);
	return netlink_request(netlink, request);
}

static int set_flags(struct netlink *netlink, int index, unsigned int flags, const char *name)
{
	struct ifinfomsg ifi = {
		.ifi_index = index, .ifi_flags = flags, .ifi_change = name ? 0 : IFF_UP};
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(&message, RTM_NEWLINK, 0, &ifi, sizeof(ifi));

	if (name)
		mnl_attr_put_strz(request, IFLA_IFNAME, name);
	return netlink_request(netlink, request);
}

int kernel_link_rename(struct netlink *netlink, int index, const char *name)
{
	int err = set_flags(netlink, index, 0, name);

	if (err != -EBUSY)
		return err;
	err = set_flags(netlink, index, 0, NULL);
	if (err == 0)
		err = set_flags(netlink, index, 0, name);
	int up = set_flags(netlink, index, IFF_UP, NULL);
	return err ? err : up;
}

int kernel_link_one_queue(struct netlink *netlink, int index)
{
	struct tcmsg tcm = {.tcm_family = AF_UNSPEC, .tcm_ifindex = index, .tcm_parent = TC_H_ROOT};
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(
		&message, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &tcm, sizeof(tcm));

	mnl_attr_put_strz(request, TCA_KIND, "pfifo");
	return netlink_request(netlink, request);
}

int kernel_patch_add(struct netlink *netlink, const char *name, const char *other, int fd)
{
	struct ifinfomsg ifi = {0};
	struct netlink_message message;
	struct nlmsghdr *request =
		netlink_begin(&message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));

	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	struct nlattr *info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(request, VETH_INFO_PEER);
	memset(mnl_nlmsg_put_extra_header(request, sizeof(ifi)), 0, sizeof(ifi));
	mnl_attr_put_strz(request, IFLA_IFNAME, other);
	mnl_attr_put_u32(request, IFLA_NET_NS_FD, (uint32_t)fd);
	mnl_attr_nest_end(request, peer);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	return netlink_request(netlink, request);
}

int kernel_link_delete(struct netlink *netlink, int index)
{
	struct ifinfomsg ifi = {.ifi_index = index};
	struct netlink_message message;
	int err = netlink_request(
		netlink, netlink_begin(&message, RTM_DELLINK, 0, &ifi, sizeof(ifi)));

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
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(&message, type, flags, &ifa, sizeof(ifa));

	netlink_put_address(request, IFA_LOCAL, &address->address);
	netlink_put_address(request, IFA_ADDRESS, &address->address);
	int err = netlink_request(netlink, request);
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
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr[IFA_MAX + 1];
	struct bridge_interface_address found = {.len = ifa->ifa_prefixlen};

	if (header->nlmsg_type != RTM_NEWADDR || (int)ifa->ifa_index != list->index ||
		ifa->ifa_scope == RT_SCOPE_LINK || list->count == 32)
		return;
	if (!netlink_parse(header, sizeof(*ifa), attr, IFA_MAX))
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
	struct ifaddrmsg ifa = {.ifa_index = (unsigned int)index};
	int err = netlink_dump(netlink, RTM_GETADDR, &ifa, sizeof(ifa), address_object, &have);
	int changes = 0;

	for (unsigned int i = 0; err == 0 && i < count; i++) {
		if (address_in(&address[i], have.address, have.count))
			continue;
		err = address_change(netlink, RTM_NEWADDR, index, &address[i]);
		changes++;
	}
	for (unsigned int i = 0; err == 0 && i < have.count; i++) {
		if (address_in(&have.address[i], address, count))
			continue;
		err = address_change(netlink, RTM_DELADDR, index, &have.address[i]);
		changes++;
	}
	return err ? err : changes;
}

int kernel_addresses_add(struct netlink *netlink, int index,
	const struct bridge_interface_address *address, unsigned int count)
{
	int err = 0;

	for (unsigned int i = 0; err == 0 && i < count; i++)
		err = address_change(netlink, RTM_NEWADDR, index, &address[i]);
	return err;
}

static struct nlmsghdr *route_message(
	struct netlink_message *message, int type, int flags, const struct kernel_route *route)
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
	struct nlmsghdr *request = netlink_begin(message, type, flags, &rtm, sizeof(rtm));

	mnl_attr_put_u32(request, RTA_TABLE, route->table);
	if (route->prefix->len > 0)
		netlink_put_address(request, RTA_DST, &route->prefix->address);
	if (route->via)
		netlink_put_address(request, RTA_GATEWAY, route->via);
	if (route->source)
		netlink_put_address(request, RTA_PREFSRC, route->source);
	if (route->index)
		mnl_attr_put_u32(request, RTA_OIF, (uint32_t)route->index);
	return request;
}

int kernel_route_set(struct netlink *netlink, const struct kernel_route *route)
{
	struct netlink_message message;
	return netlink_request(netlink,
		route_message(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route));
}

int kernel_route_add(struct netlink *netlink, const struct kernel_route *route)
{
	struct netlink_message message;

	return netlink_request(
		netlink, route_message(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route));
}

int kernel_route_delete(struct netlink *netlink, const struct kernel_route *route)
{
	struct netlink_message message;
	int err = netlink_request(netlink, route_message(&message, RTM_DELROUTE, 0, route));

	return err == -ESRCH || err == -ENOENT ? 0 : err;
}

// As fib_add_ifaddr() makes them: the kernel takes them away with the address again.
int kernel_address_routes4(
	struct netlink *netlink, int index, const struct bridge_interface_address *address)
{
	const struct ip_prefix own = {address->address, 32},
			       subnet = ip_prefix_of(&address->address, address->len);
	struct ip_prefix last = {subnet.address, 32};
	int lacked = 0;

	for (unsigned int bit = address->len; bit < 32; bit++)
		last.address.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	const struct {
		const struct ip_prefix *prefix;
		uint32_t table;
		uint8_t type, scope;
		bool wanted;
	} routes[] = {
		{&own, RT_TABLE_LOCAL, RTN_LOCAL, RT_SCOPE_HOST, true},
		{&subnet, RT_TABLE_MAIN, RTN_UNICAST, RT_SCOPE_LINK, address->len < 32},
		{&last, RT_TABLE_LOCAL, RTN_BROADCAST, RT_SCOPE_LINK, address->len < 31},
	};
	for (unsigned int i = 0; i < 3; i++) {
		const struct kernel_route route = {
			.table = routes[i].table,
			.protocol = RTPROT_KERNEL,
			.type = routes[i].type,
			.scope = routes[i].scope,
			.index = index,
			.prefix = routes[i].prefix,
			.source = &address->address,
		};
		int err = routes[i].wanted ? kernel_route_add(netlink, &route) : -EEXIST;
		if (err != 0 && err != -EEXIST)
			return err;
		lacked |= err == 0;
	}
	return lacked;
}

struct looked_up {
	uint8_t type, len;
};

static void looked_up_object(void *ctx, const struct nlmsghdr *header)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(header);

	if (header->nlmsg_type == RTM_NEWROUTE)
		*(struct looked_up *)ctx = (struct looked_up){rtm->rtm_type, rtm->rtm_dst_len};
}

// The route that a packet to this address takes; type 0 = none.
static int look_up6(
	struct netlink *netlink, int index, const struct ip_address *to, struct looked_up *found)
{
	const struct rtmsg rtm = {
		.rtm_family = AF_INET6, .rtm_dst_len = 128, .rtm_flags = RTM_F_FIB_MATCH};
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(&message, RTM_GETROUTE, 0, &rtm, sizeof(rtm));

	*found = (struct looked_up){0};
	netlink_put_address(request, RTA_DST, to);
	if (index != 0)
		mnl_attr_put_u32(request, RTA_OIF, (uint32_t)index);
	int err = netlink_get(netlink, request, looked_up_object, found);
	return err == -ENETUNREACH || err == -EHOSTUNREACH ? 0 : err;
}

int kernel_address_routes6(
	struct netlink *netlink, int index, const struct bridge_interface_address *address)
{
	const struct ip_address every_node = {.family = 6, .bytes = {0xff, 0x02, [15] = 1}};
	struct ip_address other = address->address;
	struct looked_up own, subnet, group;

	if (address->len < 128) // somebody else there; it need not exist
		other.bytes[15] ^= 1;
	int err = look_up6(netlink, 0, &address->address, &own);
	err = err ? err : look_up6(netlink, index, &other, &subnet);
	err = err ? err : look_up6(netlink, index, &every_node, &group);
	if (err)
		return err;
	return own.type != RTN_LOCAL || group.type != RTN_MULTICAST ||
	       (address->len < 128 && subnet.len < address->len);
}

static struct nlmsghdr *rule_message(
	struct netlink_message *message, int type, int flags, const struct kernel_rule *rule)
{
	struct fib_rule_hdr frh = {
		.family = ip_af(rule->family),
		.action = rule->action,
		.table = RT_TABLE_UNSPEC,
		.src_len = rule->from.address.family ? rule->from.len : 0,
		.dst_len = rule->to.address.family ? rule->to.len : 0,
		.flags = rule->invert ? FIB_RULE_INVERT : 0,
	};
	struct nlmsghdr *request = netlink_begin(message, type, flags, &frh, sizeof(frh));

	mnl_attr_put_u32(request, FRA_PRIORITY, rule->priority);
	if (rule->table)
		mnl_attr_put_u32(request, FRA_TABLE, rule->table);
	if (rule->target)
		mnl_attr_put_u32(request, FRA_GOTO, rule->target);
	if (rule->iif)
		mnl_attr_put_strz(request, FRA_IIFNAME, rule->iif);
	if (rule->from.address.family)
		netlink_put_address(request, FRA_SRC, &rule->from.address);
	if (rule->to.address.family)
		netlink_put_address(request, FRA_DST, &rule->to.address);
	if (rule->protocol)
		mnl_attr_put_u8(request, FRA_PROTOCOL, rule->protocol);
	return request;
}

bool kernel_rule_parse(const struct nlmsghdr *header, struct kernel_rule *rule, char *iif)
{
	const struct nlattr *attr[FRA_MAX + 1];
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(header);

	*rule = (struct kernel_rule){0};
	if (!netlink_parse(header, sizeof(*frh), attr, FRA_MAX))
		return false;
	rule->family = frh->family == AF_INET6 ? 6 : 4;
	rule->action = frh->action;
	rule->invert = frh->flags & FIB_RULE_INVERT;
	rule->table = attr[FRA_TABLE] ? mnl_attr_get_u32(attr[FRA_TABLE]) : frh->table;
	if (attr[FRA_PRIORITY])
		rule->priority = mnl_attr_get_u32(attr[FRA_PRIORITY]);
	if (attr[FRA_GOTO])
		rule->target = mnl_attr_get_u32(attr[FRA_GOTO]);
	if (attr[FRA_PROTOCOL])
		rule->protocol = mnl_attr_get_u8(attr[FRA_PROTOCOL]);
	if (netlink_address(attr[FRA_SRC], frh->family, &rule->from.address))
		rule->from.len = frh->src_len;
	else
		rule->from = (struct ip_prefix){0};
	if (netlink_address(attr[FRA_DST], frh->family, &rule->to.address))
		rule->to.len = frh->dst_len;
	else
		rule->to = (struct ip_prefix){0};
	if (attr[FRA_IIFNAME] && iif) {
		netlink_text(attr[FRA_IIFNAME], iif, 16);
		rule->iif = iif;
	}
	return true;
}

int kernel_rule_add(struct netlink *netlink, const struct kernel_rule *rule)
{
	struct netlink_message message;

	return netlink_request(
		netlink, rule_message(&message, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule));
}

int kernel_rule_delete(struct netlink *netlink, const struct kernel_rule *rule)
{
	struct netlink_message message;

	return netlink_request(netlink, rule_message(&message, RTM_DELRULE, 0, rule));
}

int kernel_neighbor_set(
	struct netlink *netlink, int index, const struct ip_address *address, bool managed)
{
	struct ndmsg ndm = {
		.ndm_family = ip_af(address->family),
		.ndm_ifindex = index,
		.ndm_state = NUD_NONE,
		.ndm_flags = managed ? NTF_EXT_LEARNED : NTF_EXT_LEARNED | NTF_USE,
	};
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(
		&message, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &ndm, sizeof(ndm));

	netlink_put_address(request, NDA_DST, address);
	if (managed)
		mnl_attr_put_u32(request, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	return netlink_request(netlink, request);
}

int kernel_neighbor_delete(struct netlink *netlink, int index, const struct ip_address *address)
{
	struct ndmsg ndm = {.ndm_family = ip_af(address->family), .ndm_ifindex = index};
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(&message, RTM_DELNEIGH, 0, &ndm, sizeof(ndm));

	netlink_put_address(request, NDA_DST, address);
	int err = netlink_request(netlink, request);
	return err == -ENOENT || err == -ENODEV ? 0 : err;
}

// Without a table number a VRF is refused as incomplete; a kernel without VRFs refuses the kind before that.
bool kernel_has_vrf(void)
{
	struct ifinfomsg ifi = {0};
	struct netlink_message message;
	struct nlmsghdr *request =
		netlink_begin(&message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	struct netlink netlink;

	if (netlink_open(&netlink, 0))
		return false;
	struct nlattr *info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "vrf");
	mnl_attr_nest_end(request, info);
	int err = netlink_request(&netlink, request);
	netlink_close(&netlink);
	return err == -EINVAL;
}
