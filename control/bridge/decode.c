// SPDX-License-Identifier: BSD-3-Clause
// Route messages come in a few shapes: one gateway with the device (RTA_GATEWAY, RTA_OIF), several (RTA_MULTIPATH),
// an IPv6 gateway of an IPv4 route (RTA_VIA), none at all (on the link), or a kind that drops. Table numbers over
// 255 are in an attribute. Routes made of next-hop objects are expanded by the kernel and look like the rest.
// A next hop the kernel marks dead or without link is left out: the kernel keeps such routes, but nothing can
// be sent that way.

#include "control/bridge/decode.h"

#include "control/bridge/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

bool decode_tracked(uint8_t protocol)
{
	return protocol == RTPROT_BIRD || protocol == RTPROT_ZEBRA || protocol == RTPROT_BGP;
}

static bool read_via(const struct nlattr *gateway, const struct nlattr *via, int family,
	struct ip_address *address)
{
	if (gateway)
		return netlink_address(gateway, family, address);
	if (via == NULL) {
		*address = (struct ip_address){0};
		return true;
	}
	const struct rtvia *value = mnl_attr_get_payload(via);
	int len = (int)mnl_attr_get_payload_len(via) - (int)sizeof(*value);
	*address = (struct ip_address){.family = value->rtvia_family == AF_INET6 ? 6 : 4};
	if (len != ip_length(address->family))
		return false;
	memcpy(address->bytes, value->rtvia_addr, (size_t)len);
	return true;
}

static void add_hop(struct decoded_route *route, unsigned int flags, const struct next_hop *hop)
{
	if (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN) || route->count == HOPS_MAX)
		route->dead++;
	else
		route->hop[route->count++] = *hop;
}

static bool read_multipath(const struct nlattr *multipath, int family, struct decoded_route *route)
{
	const struct rtnexthop *rtnh = mnl_attr_get_payload(multipath);
	int left = mnl_attr_get_payload_len(multipath);

	for (; RTNH_OK(rtnh, left);
		left -= (int)NLMSG_ALIGN(rtnh->rtnh_len), rtnh = RTNH_NEXT(rtnh)) {
		const struct nlattr *attr[RTA_MAX + 1];
		struct next_hop hop = {.weight = (uint16_t)(rtnh->rtnh_hops + 1),
			.ifindex = (uint32_t)rtnh->rtnh_ifindex};
		netlink_parse_payload(
			RTNH_DATA(rtnh), rtnh->rtnh_len - RTNH_LENGTH(0), attr, RTA_MAX);
		if (!read_via(attr[RTA_GATEWAY], attr[RTA_VIA], family, &hop.via))
			return false;
		add_hop(route, rtnh->rtnh_flags, &hop);
	}
	return true;
}

bool decode_route(const struct nlmsghdr *header, struct decoded_route *route)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr[RTA_MAX + 1];

	route->count = route->dead = 0;
	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*rtm)) || rtm->rtm_flags & RTM_F_CLONED)
		return false;
	if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
		return false;
	switch (rtm->rtm_type) {
	case RTN_UNICAST:
		route->blackhole = false;
		break;
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		route->blackhole = true;
		break;
	default:
		return false;
	}
	if (!netlink_parse(header, sizeof(*rtm), attr, RTA_MAX))
		return false;
	route->table = attr[RTA_TABLE] ? mnl_attr_get_u32(attr[RTA_TABLE]) : rtm->rtm_table;
	route->key = (struct host_route_key){.protocol = rtm->rtm_protocol};
	route->key.prefix.address.family = rtm->rtm_family == AF_INET6 ? 6 : 4;
	route->key.prefix.len = rtm->rtm_dst_len;
	if (rtm->rtm_dst_len > 0 &&
		!netlink_address(attr[RTA_DST], rtm->rtm_family, &route->key.prefix.address))
		return false;
	if (attr[RTA_PRIORITY])
		route->key.metric = mnl_attr_get_u32(attr[RTA_PRIORITY]);
	if (route->blackhole)
		return true;
	if (attr[RTA_MULTIPATH])
		return read_multipath(attr[RTA_MULTIPATH], rtm->rtm_family, route);
	struct next_hop hop = {
		.weight = 1, .ifindex = attr[RTA_OIF] ? mnl_attr_get_u32(attr[RTA_OIF]) : 0};
	if (!read_via(attr[RTA_GATEWAY], attr[RTA_VIA], rtm->rtm_family, &hop.via))
		return false;
	add_hop(route, rtm->rtm_flags, &hop);
	return true;
}
