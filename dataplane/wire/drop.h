/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_DROP_H
#define WIRE_DROP_H

// Why a packet was dropped: X(symbol, name, help). Every dropped packet is counted under exactly
// one reason of the interface it came in on (tx-* on the interface it should have left by). The
// order is part of the stats segment's layout: append only.
//
// clang-format off
#define DROP_REASONS(X) \
	X(FRAME_TRUNCATED,     "frame-truncated",     "shorter than its own headers say") \
	X(VLAN_UNKNOWN,        "vlan-unknown",        "no interface has this VLAN stack on this port") \
	X(MAC_FOREIGN,         "mac-foreign",         "destination MAC is neither ours, broadcast nor joined") \
	X(ETHERTYPE,           "ethertype",           "neither IPv4, IPv6 nor ARP") \
	X(IP_HEADER,           "ip-header",           "IP version, header length or total length is wrong") \
	X(IP_CHECKSUM,         "ip-checksum",         "IPv4 header checksum is wrong") \
	X(MARTIAN,             "martian",             "source or destination that may not be on a wire (RFC 1812 5.3.7)") \
	X(INTERFACE_DOWN,      "interface-down",      "the interface is administratively down") \
	X(TTL,                 "ttl",                 "TTL or hop limit ran out") \
	X(MTU,                 "mtu",                 "too large for the way out and may not be fragmented") \
	X(NO_ROUTE,            "no-route",            "no route to the destination in this routing domain") \
	X(BLACKHOLE,           "blackhole",           "the route says to drop") \
	X(SOURCE,              "source",              "the source is not behind this interface (RFC 3704)") \
	X(LIMITED,             "limited",             "over the contracted rate") \
	X(LIMITED_EF,          "limited-ef",          "expedited forwarding over the contracted rate") \
	X(TUNNEL_UNKNOWN,      "tunnel-unknown",      "no tunnel has this outer source, outer destination and key") \
	X(GRE_HEADER,          "gre-header",          "GRE version, reserved bits or checksum is wrong (RFC 2784, 2890)") \
	X(GRE_PROTOCOL,        "gre-protocol",        "GRE payload is not what its protocol says, or neither IPv4 nor IPv6") \
	X(TUNNEL_DOWN,         "tunnel-down",         "the tunnel's far end cannot be reached") \
	X(NEIGHBOR_UNRESOLVED, "neighbor-unresolved", "the next hop's MAC address is not known") \
	X(PATH_DOWN,           "path-down",           "every path of the next hop is down") \
	X(MULTICAST,           "multicast",           "multicast or broadcast that no local protocol wants") \
	X(FRAGMENT,            "fragment",            "a fragment that cannot be carried") \
	X(HOST_NONE,           "host-none",           "for us, but this interface has no host queue") \
	X(HOST_LIMITED,        "host-limited",        "for us, over the host path's rate for its class") \
	X(HOST_FULL,           "host-full",           "for us, but the host path's ring was full") \
	X(HOST_ERROR,          "host-error",          "for us, but the kernel refused it") \
	X(HOST_FRAME,          "host-frame",          "from the host, but not a frame this interface can carry") \
	X(ICMP_LIMITED,        "icmp-limited",        "an ICMP error over the rate of RFC 1812 4.3.2.8") \
	X(TX_FULL,             "tx-full",             "the port's transmit queue was full") \
	X(TX_DOWN,             "tx-down",             "the port to leave by is down") \
	X(NO_BUFFER,           "no-buffer",           "no packet buffer was free") \
	X(STALE,               "stale",               "parked while its interface was deleted") \
	X(SHAPE_FULL,          "shape-full",          "the shaper's memory was used up") \
	X(RESTART,             "restart",             "in flight when the data plane stopped") \
	X(ECN,                 "ecn",                 "outer congestion mark on a packet that cannot carry it (RFC 6040)") \
	X(GRE_EXTENSION,       "gre-extension",       "GRE behind IPv6 extension headers that are too long or not understood") \
	X(ICMP_SOURCE,         "icmp-source",         "an ICMPv6 error, but no address of ours that the sender could hear from") \
	X(FRAME_LARGE,         "frame-large",         "larger than the port carries, and nothing that can be cut up")
// clang-format on

#define DROP_ENUM(symbol, name, help) DROP_##symbol,
enum drop_reason { DROP_REASONS(DROP_ENUM) DROP_COUNT };
#undef DROP_ENUM

#define DROP_MAX 48 // room in the stats segment

#endif
