// SPDX-License-Identifier: BSD-3-Clause

// Builds the two-customer network record by record, as a controller would, and the frames that cross it.

#include "tests/lib/network.h"

#include "dataplane/tables/interface.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/vrf.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UDP 17

const uint8_t mac_customer[CUSTOMERS + 1][6] = {
	{0}, {2, 0, 0, 0, 1, 1}, {2, 0, 0, 0, 1, 2}, {2, 0, 0, 0, 1, 3}};
const uint8_t mac_core[6] = {2, 0, 0, 0, 2, 1};
const struct ipv4 ipv4_up = {
	.source = ON_PREMISES, .destination = IN_VNET, .ttl = 64, .protocol = UDP};
const struct ipv4 ipv4_down = {
	.source = IN_VNET, .destination = ON_PREMISES, .ttl = 64, .protocol = UDP};
const struct ipv6 ipv6_up = {
	.source = {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 3},
	.destination = {0x20, 1, 0xd, 0xb8, 0, 9, [15] = 7},
	.hop_limit = 64,
	.protocol = UDP,
};

static void put_addr(uint8_t *to, uint32_t addr)
{
	addr = htonl(addr);
	memcpy(to, &addr, 4);
}

void set_vrf(struct rig *rig, uint32_t vrf)
{
	const struct wire_vrf r = {.vrf = vrf};
	assert_int_equal(vrf_set(rig->dp, &r), 0);
}

void set_interface(struct rig *rig, const struct wire_interface *r)
{
	assert_int_equal(interface_set(rig->dp, r), 0);
	if (rig->host != NULL)
		host_update(rig->host, interface_find(rig->dp, r->interface));
}

struct wire_interface get_interface(struct rig *rig, uint32_t interface)
{
	return *interface_record(rig->dp, interface_find(rig->dp, interface));
}

void set_ethernet(struct rig *rig, uint32_t interface, uint32_t vrf, uint32_t owner, uint32_t flags,
	uint32_t port, unsigned outer, unsigned inner)
{
	const struct wire_interface r = {
		.uid = 1000 + interface,
		.interface = interface,
		.vrf = vrf,
		.owner = owner,
		.flags = flags | WIRE_INTERFACE_UP,
		.mtu = 1500,
		.kind = WIRE_INTERFACE_ETHERNET,
		.port = port,
		.vlans = (outer != 0) + (inner != 0),
		.vlan = {(uint16_t)outer, (uint16_t)inner},
	};
	set_interface(rig, &r);
}

void set_gre(struct rig *rig, uint32_t interface, uint32_t vrf, uint32_t owner, uint32_t local,
	uint32_t remote, const uint32_t *key, uint32_t underlay)
{
	struct wire_interface r = {
		.uid = 1000 + interface,
		.interface = interface,
		.vrf = vrf,
		.owner = owner,
		.flags = WIRE_INTERFACE_UP | WIRE_INTERFACE_SOURCE_CHECK |
			 (key != NULL ? WIRE_INTERFACE_KEY : 0),
		.mtu = 1472,
		.kind = WIRE_INTERFACE_GRE,
		.key = key != NULL ? *key : 0,
		.underlay = underlay,
		.family = WIRE_IPV4,
		.ttl = 64,
	};
	put_addr(r.local, local);
	put_addr(r.remote, remote);
	set_interface(rig, &r);
}

void set_neighbor(
	struct rig *rig, uint32_t neighbor, uint32_t interface, uint32_t addr, const uint8_t mac[6])
{
	struct wire_neighbor r = {
		.neighbor = neighbor,
		.interface = interface,
		.family = WIRE_IPV4,
		.state = mac != NULL ? WIRE_NEIGHBOR_RESOLVED : WIRE_NEIGHBOR_UNRESOLVED,
	};
	put_addr(r.addr, addr);
	if (mac != NULL)
		memcpy(r.mac, mac, 6);
	assert_int_equal(neighbor_set(rig->dp, &r), 0);
}

void set_path(struct rig *rig, uint32_t path, uint32_t interface, uint32_t neighbor, bool up)
{
	const struct wire_path r = {
		.path = path, .interface = interface, .neighbor = neighbor, .up = up};
	assert_int_equal(path_set(rig->dp, &r), 0);
}

void set_group(struct rig *rig, uint32_t group, uint32_t path)
{
	const struct wire_group r = {.group = group, .count = 1, .path = {path}, .weight = {1}};
	assert_int_equal(group_set(rig->dp, &r), 0);
}

void set_route(struct rig *rig, uint32_t vrf, uint32_t prefix, unsigned len, uint32_t group)
{
	struct wire_route r = {
		.vrf = vrf, .group = group, .family = WIRE_IPV4, .len = (uint8_t)len};
	put_addr(r.addr, prefix);
	assert_int_equal(route_set(rig->dp, &r), 0);
}

void set_route6(struct rig *rig, uint32_t vrf, const char *prefix, unsigned len, uint32_t group)
{
	struct wire_route r = {
		.vrf = vrf, .group = group, .family = WIRE_IPV6, .len = (uint8_t)len};
	assert_int_equal(inet_pton(AF_INET6, prefix, r.addr), 1);
	assert_int_equal(route_set(rig->dp, &r), 0);
}

void set_local(struct rig *rig, uint32_t vrf, uint32_t interface, uint32_t addr)
{
	struct wire_local r = {.vrf = vrf, .interface = interface, .family = WIRE_IPV4};
	put_addr(r.addr, addr);
	assert_int_equal(local_set(rig->dp, &r), 0);
}

static void customer_up(struct rig *rig, unsigned c)
{
	static const unsigned port[] = {0, 0, 0, 2};
	static const unsigned outer[] = {0, 100, 200, 0}, inner[] = {0, 0, 7, 0};
	uint32_t key = 1000 + c;
	set_vrf(rig, PEERING(c));
	set_vrf(rig, VNET(c));
	set_ethernet(rig, ATTACHMENT(c), PEERING(c), PEERING(c), WIRE_INTERFACE_SOURCE_CHECK,
		port[c], outer[c], inner[c]);
	set_gre(rig, TUNNEL(c), VNET(c), VNET(c), OUTER, c == INITECH ? GATEWAY2 : GATEWAY,
		c == INITECH ? NULL : &key, CORE_GROUP);
	set_local(rig, PEERING(c), ATTACHMENT(c), OURS);
	set_neighbor(rig, ATTACHMENT(c), ATTACHMENT(c), PEER, mac_customer[c]);
	set_path(rig, ATTACHMENT(c), ATTACHMENT(c), ATTACHMENT(c), true);
	set_path(rig, TUNNEL(c), TUNNEL(c), 0, true);
	set_group(rig, ATTACHMENT(c), ATTACHMENT(c));
	set_group(rig, TUNNEL(c), TUNNEL(c));
	// Learned prefixes lead to the customer, the vNet's to the tunnel, in both VRFs.
	for (unsigned v = 0; v < 2; v++) {
		uint32_t vrf = v == 0 ? PEERING(c) : VNET(c);
		set_route(rig, vrf, IP4(10, 1, 0, 0), 16, ATTACHMENT(c));
		set_route(rig, vrf, IP4(10, 9, 0, 0), 16, TUNNEL(c));
		set_route6(rig, vrf, "2001:db8:1::", 48, ATTACHMENT(c));
		set_route6(rig, vrf, "2001:db8:9::", 48, TUNNEL(c));
	}
}

void network_up(struct rig *rig)
{
	set_vrf(rig, UNDERLAY);
	set_ethernet(rig, CORE, UNDERLAY, 0, WIRE_INTERFACE_CORE, 1, 0, 0);
	set_local(rig, UNDERLAY, CORE, OUTER);
	set_neighbor(rig, CORE, CORE, CORE_ROUTER, mac_core);
	set_path(rig, CORE, CORE, CORE, true);
	set_group(rig, CORE_GROUP, CORE);
	set_route(rig, UNDERLAY, IP4(198, 51, 100, 0), 24, CORE_GROUP);
	for (unsigned c = 1; c <= CUSTOMERS; c++)
		customer_up(rig, c);
}

static void macs(struct frame *f, const uint8_t theirs[6], uint8_t port, bool to_us)
{
	const uint8_t ours[6] = {2, 0, 0, 0, 0, (uint8_t)(0x10 + port)};
	if (to_us)
		frame_macs(f, ours, theirs);
	else
		frame_macs(f, theirs, ours);
}

void frame_attachment(struct frame *f, unsigned customer, uint16_t ethertype, bool up)
{
	frame_type(f, ethertype);
	if (customer == ACME)
		frame_tag(f, 100, 0x8100);
	if (customer == GLOBEX) {
		frame_tag(f, 7, 0x8100);
		frame_tag(f, 200, 0x8100);
	}
	macs(f, mac_customer[customer], customer == INITECH ? 2 : 0, up);
}

void frame_core(struct frame *f, bool up)
{
	frame_type(f, 0x0800);
	macs(f, mac_core, 1, !up);
}

struct ipv4 outer_up(unsigned customer)
{
	return (struct ipv4){
		.source = OUTER,
		.destination = customer == INITECH ? GATEWAY2 : GATEWAY,
		.protocol = 47,
		.ttl = 64,
	};
}

struct ipv4 outer_down(unsigned customer)
{
	struct ipv4 h = outer_up(customer);
	h.source = h.destination;
	h.destination = OUTER;
	h.ttl = 60;
	return h;
}

void frame_tunnel(struct frame *f, unsigned customer, uint16_t protocol, const struct ipv4 *outer)
{
	const struct gre g = {
		.flags = customer == INITECH ? 0 : GRE_KEY,
		.key = 1000 + customer,
		.protocol = protocol,
	};
	frame_gre(f, &g);
	frame_ipv4(f, outer);
}
