/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_NETWORK_H
#define LIB_NETWORK_H

// The network of the packet tests: one edge, two customers who use the same addresses throughout.
//
//	acme,   vlan 100      -- port 0 \            / port 1 -- core 10.255.0.2 -- 198.51.100.1 key 1001  acme's vNet
//	globex, vlan 200.7    -- port 0 -- the edge --                              198.51.100.1 key 1002  globex's vNet
//	initech, untagged     -- port 2 /                                           198.51.100.2 no key    initech's vNet
//
// On premises 10.1.0.0/16 and 2001:db8:1::/48, in the vNets 10.9.0.0/16 and 2001:db8:9::/48, peering subnets
// 169.254.10.0/30 with .1 the customer and .2 us; the edge's outer address is 10.255.0.1.

#include "tests/lib/rig.h"

// Wire ids. A customer's things are numbered customer * 10 + one of these.
enum { ACME = 1, GLOBEX = 2, INITECH = 3, CUSTOMERS = 3 };
#define UNDERLAY 1u // VRF
#define CORE     1u // interface, port 1 untagged; also its neighbor, path and group + 1

#define PEERING(c)    ((c)*10u)     // VRF
#define VNET(c)       ((c)*10u + 1) // VRF
#define ATTACHMENT(c) ((c)*10u)     // interface, neighbor, path, group
#define TUNNEL(c)     ((c)*10u + 1) // interface, path, group
#define CORE_GROUP    2u

#define ON_PREMISES IP4(10, 1, 2, 3)
#define IN_VNET     IP4(10, 9, 8, 7)
#define PEER        IP4(169, 254, 10, 1)
#define OURS        IP4(169, 254, 10, 2)
#define OUTER       IP4(10, 255, 0, 1)
#define CORE_ROUTER IP4(10, 255, 0, 2)
#define GATEWAY     IP4(198, 51, 100, 1) // of acme and globex
#define GATEWAY2    IP4(198, 51, 100, 2) // of initech

extern const uint8_t mac_customer[CUSTOMERS + 1][6];
extern const uint8_t mac_core[6];
extern const struct ipv6 ipv6_up; // on premises to vNet, hop limit 64, UDP

void network_up(struct rig *rig);

// Setting single things; each asserts that the table takes it.
void set_vrf(struct rig *rig, uint32_t vrf);
void set_ethernet(struct rig *rig, uint32_t interface, uint32_t vrf, uint32_t owner, uint32_t flags,
	uint32_t port, unsigned outer, unsigned inner);
void set_gre(struct rig *rig, uint32_t interface, uint32_t vrf, uint32_t owner, uint32_t local,
	uint32_t remote, const uint32_t *key, uint32_t underlay);
void set_neighbor(struct rig *rig, uint32_t neighbor, uint32_t interface, uint32_t addr,
	const uint8_t mac[6]); // mac NULL = unresolved
void set_path(struct rig *rig, uint32_t path, uint32_t interface, uint32_t neighbor, bool up);
void set_group(struct rig *rig, uint32_t group, uint32_t path);
void set_route(struct rig *rig, uint32_t vrf, uint32_t prefix, unsigned len, uint32_t group);
void set_route6(struct rig *rig, uint32_t vrf, const char *prefix, unsigned len, uint32_t group);
void set_local(struct rig *rig, uint32_t vrf, uint32_t interface, uint32_t addr);
// The interface's record as set, to change and set again.
struct wire_interface get_interface(struct rig *rig, uint32_t interface);
void set_interface(struct rig *rig, const struct wire_interface *r);

// Frames. "up" is from a customer towards his vNet, "down" the other way.
void frame_attachment(
	struct frame *f, unsigned customer, uint16_t ethertype, bool up); // L2 around an IP packet
void frame_core(struct frame *f, bool up); // L2 of the core link around an outer IPv4 packet
void frame_tunnel(struct frame *f, unsigned customer, uint16_t protocol, const struct ipv4 *outer);
struct ipv4 outer_up(unsigned customer);   // as the edge sends it
struct ipv4 outer_down(unsigned customer); // as the gateway sends it
extern const struct ipv4 ipv4_up;          // on premises to vNet, ttl 64, UDP
extern const struct ipv4 ipv4_down;        // and back

#endif
