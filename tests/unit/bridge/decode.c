// SPDX-License-Identifier: BSD-3-Clause
// Route messages as the kernel writes them, and some it never would.

#include "control/bridge/decode.h"
#include "control/bridge/netlink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

static struct ip_address address(const char *text)
{
	struct ip_address parsed;

	assert_int_equal(ip_address_parse(text, &parsed), 0);
	return parsed;
}

static struct netlink_message message;

static struct nlmsghdr *route(
	unsigned char family, unsigned char type, const char *destination, unsigned char len)
{
	struct rtmsg rtm = {.rtm_family = family,
		.rtm_dst_len = len,
		.rtm_table = 254,
		.rtm_protocol = RTPROT_BIRD,
		.rtm_type = type};
	struct nlmsghdr *msg = netlink_begin(&message, RTM_NEWROUTE, 0, &rtm, sizeof(rtm));

	if (destination) {
		struct ip_address parsed = address(destination);
		netlink_put_address(msg, RTA_DST, &parsed);
	}
	return msg;
}

static void one_gateway(void **ctx)
{
	struct nlmsghdr *msg = route(AF_INET, RTN_UNICAST, "10.1.0.0", 16);
	struct ip_address via = address("169.254.10.1");
	struct decoded_route decoded;

	netlink_put_address(msg, RTA_GATEWAY, &via);
	mnl_attr_put_u32(msg, RTA_OIF, 5);
	mnl_attr_put_u32(msg, RTA_PRIORITY, 32);
	mnl_attr_put_u32(msg, RTA_TABLE, 10007);
	assert_true(decode_route(msg, &decoded));
	assert_int_equal(decoded.table, 10007);
	assert_int_equal(decoded.key.metric, 32);
	assert_int_equal(decoded.key.prefix.len, 16);
	assert_int_equal(decoded.count, 1);
	assert_int_equal(decoded.hop[0].ifindex, 5);
	assert_int_equal(decoded.hop[0].weight, 1);
	assert_int_equal(ip_address_compare(&decoded.hop[0].via, &via), 0);
	assert_true(decode_tracked(decoded.key.protocol));
}

static void default_route_of_ipv6(void **ctx)
{
	struct nlmsghdr *msg = route(AF_INET6, RTN_UNICAST, NULL, 0);
	struct decoded_route decoded;

	mnl_attr_put_u32(msg, RTA_OIF, 9);
	assert_true(decode_route(msg, &decoded));
	assert_int_equal(decoded.key.prefix.address.family, 6);
	assert_int_equal(decoded.key.prefix.len, 0);
	assert_int_equal(decoded.hop[0].via.family, 0);
}

static void several_gateways_one_of_them_dead(void **ctx)
{
	struct nlmsghdr *msg = route(AF_INET, RTN_UNICAST, "10.1.0.0", 16);
	struct decoded_route decoded;

	struct nlattr *multipath = mnl_attr_nest_start(msg, RTA_MULTIPATH);
	for (unsigned char i = 1; i <= 3; i++) {
		struct rtnexthop *hop = mnl_nlmsg_put_extra_header(msg, sizeof(*hop));
		struct ip_address via = address("192.0.2.1");
		*hop = (struct rtnexthop){.rtnh_ifindex = i,
			.rtnh_hops = (unsigned char)(i - 1),
			.rtnh_flags = i == 2 ? RTNH_F_LINKDOWN : 0};
		via.bytes[3] = i;
		netlink_put_address(msg, RTA_GATEWAY, &via);
		hop->rtnh_len =
			(unsigned short)((char *)mnl_nlmsg_get_payload_tail(msg) - (char *)hop);
	}
	mnl_attr_nest_end(msg, multipath);
	assert_true(decode_route(msg, &decoded));
	assert_int_equal(decoded.count, 2);
	assert_int_equal(decoded.dead, 1);
	assert_int_equal(decoded.hop[1].ifindex, 3);
	assert_int_equal(decoded.hop[1].weight, 3);
	assert_int_equal(decoded.hop[1].via.bytes[3], 3);
}

static void kinds(void **ctx)
{
	struct decoded_route decoded;
	struct nlmsghdr *msg = route(AF_INET, RTN_PROHIBIT, "10.1.0.0", 16);

	assert_true(decode_route(msg, &decoded));
	assert_true(decoded.blackhole);
	for (unsigned char type = 0; type < 16; type++) {
		if (type == RTN_UNICAST || (type >= RTN_BLACKHOLE && type <= RTN_PROHIBIT))
			continue;
		msg = route(AF_INET, type, "10.1.0.0", 16);
		assert_false(decode_route(msg, &decoded));
	}
	msg = route(AF_MPLS, RTN_UNICAST, NULL, 0);
	assert_false(decode_route(msg, &decoded));
	assert_false(decode_tracked(RTPROT_STATIC));
	assert_false(decode_tracked(67));
}

static void broken(void **ctx)
{
	struct decoded_route decoded;
	struct nlmsghdr *msg =
		route(AF_INET, RTN_UNICAST, "2001:db8::", 16); // an address of the other family

	assert_false(decode_route(msg, &decoded));
	msg = route(AF_INET, RTN_UNICAST, NULL, 16); // a length and no address
	assert_false(decode_route(msg, &decoded));
	msg->nlmsg_len = NLMSG_LENGTH(4);
	assert_false(decode_route(msg, &decoded));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_gateway),
		cmocka_unit_test(default_route_of_ipv6),
		cmocka_unit_test(several_gateways_one_of_them_dead),
		cmocka_unit_test(kinds),
		cmocka_unit_test(broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
