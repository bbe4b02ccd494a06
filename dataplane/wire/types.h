/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_TYPES_H
#define WIRE_TYPES_H

// The contract between culvertd (the controller) and culvert-dataplane: every message and record
// that crosses the socket. Compiles alone as strict C11 with libc only.
//
// A message is one SOCK_SEQPACKET datagram: struct wire_header, then `count` records of one fixed
// size. The type names the record and what to do with it. Records are independent and applied in
// order; the ACK lists every record that was refused and why, the others took effect. SET creates
// or replaces and is idempotent: setting what is already there writes nothing and is counted as
// unchanged.
//
// One type is not a row of independent records: INTERFACE_EXCHANGE is one change, see
// wire_interface.
//
// Byte order: integers in host order (both ends are on one host); IP and MAC addresses in network
// order. Ids are chosen by the controller, opaque to the data plane, never 0 (0 = none). Rates are
// bit/s, sizes bytes, times ns. All padding is explicit and must be zero: a record with non-zero
// padding, or a field out of the range given here, is refused with -EINVAL.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC 0x31565543u // "CUV1" in memory on a little-endian machine
#define WIRE_MAJOR 2           // unequal: the link is refused
#define WIRE_MINOR 0           // records only grow new types within one major

#define WIRE_MESSAGE_MAX 32768u // bytes, header included
#define WIRE_FDS_MAX     253u   // descriptors in one message (SCM_MAX_FD)
#define WIRE_WINDOW      64u    // unacknowledged messages a controller may have under way
#define WIRE_NAME_MAX    32u    // bytes of a name, terminator included

struct wire_header {
	uint32_t magic;
	uint16_t major;
	uint16_t minor;
	uint16_t type;  // WIRE_*
	uint16_t count; // records that follow
	uint32_t len;   // bytes of the whole message, header included
	uint64_t seq;   // numbers the sender's messages from 1; an ACK or a dump reply repeats the
			// request's
};
static_assert(sizeof(struct wire_header) == 24, "wire_header");

// Message types: X(symbol, value, record type, direction). Directions: C controller to data plane,
// D data plane to controller, B both.
// clang-format off
#define WIRE_TYPES(X) \
	X(HELLO,             1, wire_hello,     B) \
	X(ACK,               2, wire_failure,   D) \
	X(BEGIN,             3, wire_begin,     C) \
	X(END,               4, wire_end,       C) \
	X(DUMP,              5, wire_dump,      C) \
	X(DUMP_END,          6, wire_dump_end,  D) \
	X(VRF_SET,          16, wire_vrf,       B) \
	X(VRF_DELETE,       17, wire_id,        C) \
	X(INTERFACE_SET,    18, wire_interface, B) \
	X(INTERFACE_DELETE, 19, wire_id,        C) \
	X(LIMITER_SET,      20, wire_limiter,   B) \
	X(LIMITER_DELETE,   21, wire_id,        C) \
	X(LOCAL_SET,        22, wire_local,     B) \
	X(LOCAL_DELETE,     23, wire_local,     C) \
	X(NEIGHBOR_SET,     24, wire_neighbor,  B) \
	X(NEIGHBOR_DELETE,  25, wire_id,        C) \
	X(PATH_SET,         26, wire_path,      B) \
	X(PATH_DELETE,      27, wire_id,        C) \
	X(GROUP_SET,        28, wire_group,     B) \
	X(GROUP_DELETE,     29, wire_id,        C) \
	X(ROUTE_SET,        30, wire_route,     B) \
	X(ROUTE_DELETE,     31, wire_route,     C) \
	X(HOST_SET,         32, wire_host,      C) \
	X(HOST_DELETE,      33, wire_id,        C) \
	X(COUNTERS_RELEASE, 34, wire_uid,       C) \
	X(INTERFACE_EXCHANGE, 35, wire_interface, C) \
	X(PORT,             48, wire_port,      D) \
	X(NEIGHBOR_NEEDED,  49, wire_needed,    D) \
	X(LIMITER_EPISODE,  50, wire_episode,   D) \
	X(VRF_STATS,        51, wire_vrf_stats, D) \
	X(HOST_LOST,        52, wire_id,        D)
// clang-format on

#define WIRE_ENUM(symbol, value, record, direction) WIRE_##symbol = value,
enum wire_type { WIRE_TYPES(WIRE_ENUM) };
#undef WIRE_ENUM

#define WIRE_IPV4 4u // values of every `family` field; an IPv4 address stands in the first 4 bytes
#define WIRE_IPV6 6u

// First message in each direction. The data plane answers the controller's HELLO with its own, then
// a PORT for each port, and from then on events. With its first HELLO goes a read-only descriptor
// of the stats segment, if it has one (wire/stats_reader.h); the path is never opened. The
// controller sends another at each revision, or to read the counters.
struct wire_hello {
	uint8_t store[16];  // controller: uuid of its store; data plane: the one it was last
			    // configured from
	uint64_t revision;  // likewise
	uint64_t instance;  // data plane: random per start; controller: 0
	uint64_t written;   // data plane: table writes since start (a replay of equal records adds
			    // none)
	uint64_t unchanged; // data plane: SETs that found the object as it should be
	uint32_t workers;   // data plane
	uint32_t ports;     // data plane
	char version[32];   // of the sender's build, for people
	char stats[256];    // data plane: path of the stats segment, for people
};
static_assert(sizeof(struct wire_hello) == 344, "wire_hello");

// ACK: one record for each refused record of the message whose seq the header repeats; none = all
// applied. Sent after grace when the message deleted or replaced something that workers may still
// hold.
struct wire_failure {
	uint32_t index; // of the record in its message; UINT32_MAX = the message as a whole
	int32_t error;  // -errno, see wire/link.h for what each means here
};
static_assert(sizeof(struct wire_failure) == 8, "wire_failure");

// A sweep: everything of the scope that no SET between BEGIN and END named is deleted at END.
// Refused without WIRE_FORCE: another store uuid or a lower revision than the data plane was last
// given (-ESTALE), an END whose count differs from the records that arrived (-EBADMSG), a sweep of
// more than 10 % and more than 16 of the interfaces (-EPERM). A record that was refused counts as
// arrived and its old object is kept.
#define WIRE_SCOPE_CONFIGURATION \
	1u                     // everything but routes and the groups, paths and neighbors they use
#define WIRE_SCOPE_ROUTES   2u // the routes of one VRF
#define WIRE_SCOPE_NEXTHOPS 3u // groups, paths and neighbors that nothing refers to
#define WIRE_FORCE          1u
struct wire_begin {
	uint8_t store[16];
	uint64_t revision;
	uint32_t scope; // WIRE_SCOPE_*
	uint32_t vrf;   // for WIRE_SCOPE_ROUTES, else 0
	uint32_t flags; // WIRE_FORCE
	uint32_t pad;
};
static_assert(sizeof(struct wire_begin) == 40, "wire_begin");

struct wire_end {
	uint64_t count; // SET records sent since BEGIN in this scope
	uint32_t scope;
	uint32_t vrf;
};
static_assert(sizeof(struct wire_end) == 16, "wire_end");

// Read-back: the data plane answers with messages of that SET type (seq of the request), then
// DUMP_END.
struct wire_dump {
	uint32_t type; // a *_SET type marked B, or VRF_STATS
	uint32_t vrf;  // for ROUTE_SET: of this VRF only; 0 = all
};
struct wire_dump_end {
	uint64_t count; // records sent
};

struct wire_id {
	uint32_t id;
	uint32_t pad;
};
struct wire_uid {
	uint64_t uid;
};
static_assert(sizeof(struct wire_dump) == 8 && sizeof(struct wire_dump_end) == 8 &&
		      sizeof(struct wire_id) == 8 && sizeof(struct wire_uid) == 8,
	"small records");

struct wire_vrf {
	uint32_t vrf;
	uint32_t routes_max;      // IPv4 + IPv6 routes it may hold; 0 = no limit
	uint64_t bytes_max;       // of forwarding memory it may use; 0 = no limit
	char name[WIRE_NAME_MAX]; // for dumps and traces, "" allowed
};
static_assert(sizeof(struct wire_vrf) == 48, "wire_vrf");

#define WIRE_INTERFACE_ETHERNET 1u // (port, VLAN stack)
#define WIRE_INTERFACE_GRE      2u // (outer source, outer destination, key), RFC 2784 and RFC 2890
#define WIRE_INTERFACE_UP       (1u << 0) // admin up; a down interface drops `interface-down`
#define WIRE_INTERFACE_SOURCE_CHECK \
	(1u << 1)                     // the source's longest match must lead out of the same owner
#define WIRE_INTERFACE_CORE (1u << 2) // GRE to a local address is decapsulated here and only here
#define WIRE_INTERFACE_KEY  (1u << 3) // GRE: with key (key 0 is a key)
// Has no entrance: the tags or triple given keep nobody else from having them, nothing comes in by
// it, what leaves by it drops `interface-down`, whatever UP says. For exchanges that one message
// does not hold: park all, then set all.
#define WIRE_INTERFACE_PARKED (1u << 4)
// What no two interfaces share is what a packet is recognised by: (port, VLAN stack), or the GRE
// triple (local, remote, key) of one family. INTERFACE_SET of a value that another interface has is
// refused, so values that change places need INTERFACE_EXCHANGE: its records, of interfaces that
// are new, changed or as they are, take effect as a whole or not at all. They are checked against
// the state in which every interface the message names has given up its value. If one fails none is
// applied, and the ACK lists each that would have failed (an interface or uid that stands twice in
// one message: -EINVAL; UINT32_MAX: the message as a whole). Else all of them give up what they
// change, grace passes, all take what they are to have: at no moment does a packet reach an
// interface by a value that is another's. In between such packets are dropped as of an unknown tag
// or tunnel.
struct wire_interface {
	uint64_t uid;       // persistent, names the counters in the stats segment; never reused
	uint32_t interface; // id
	uint32_t vrf;
	uint32_t owner;      // peering or vnet this belongs to, for the source check; 0 on core
			     // interfaces; not UINT32_MAX
	uint32_t flags;      // WIRE_INTERFACE_*
	uint32_t limiter_in; // 0 = not limited
	uint32_t limiter_out;
	uint16_t mtu; // largest IP packet, 576..9600; GRE: of the inner packet. What is in force is
		      // never
		      // more than the port carries (PORT)
	uint8_t kind; // WIRE_INTERFACE_ETHERNET or _GRE
	uint8_t vlans;    // Ethernet: tags, 0..2
	uint16_t vlan[2]; // outermost first, 1..4094; the outer TPID is the port's, the inner is
			  // 0x8100
	uint32_t port; // Ethernet: index of the port, in the order of the data plane's command line
	uint32_t key;  // GRE
	uint32_t underlay; // GRE: group that reaches `remote` in the underlay; 0 = none now, the
			   // tunnel is down
	uint8_t local[16]; // GRE: outer source, an address of ours; with `remote`, both of `family`
	uint8_t remote[16];
	uint8_t mac[6]; // Ethernet: ours; all zero = the port's
	uint8_t family; // GRE: of the outer header, WIRE_IPV4 or WIRE_IPV6
	uint8_t ttl;    // GRE: of the outer header, 1..255
	uint8_t pad[4];
};
static_assert(sizeof(struct wire_interface) == 96 && offsetof(struct wire_interface, pad) == 92,
	"wire_interface");

// Limiter: research and names in dataplane/tables/limiter.h.
#define WIRE_LIMITER_SHAPE (1u << 0) // queue up to queue_ns instead of dropping
#define WIRE_ACCOUNT_L3    0u        // the IP packet
#define WIRE_ACCOUNT_L2    1u        // plus 14, 4 a tag, and the FCS
struct wire_limiter {
	uint64_t uid;     // names its word and counters in the stats segment
	uint64_t rate;    // bit/s, 1 Mb/s..400 Gb/s
	uint64_t burst;   // bytes; committed burst, at least 10 ms of the rate and 16,000
	uint64_t ramp;    // ns above the committed burst over which drops become certain; 0 = hard
	uint64_t ef_rate; // bit/s that DSCP 46 may take at the higher threshold; 0 = no EF class
	uint64_t packet_rate; // packets/s cap; 0 = none
	uint64_t queue;       // ns, for WIRE_LIMITER_SHAPE: up to 60,000,000; else 0
	uint32_t limiter;     // id
	uint32_t flags;
	int16_t overhead; // bytes added to each packet's accounted length, -64..64
	uint8_t account;  // WIRE_ACCOUNT_*
	uint8_t pad[5];
};
static_assert(sizeof(struct wire_limiter) == 72, "wire_limiter");

// What a circuit gets that asks for nothing else: 50 ms, at least 64 kB, at most the larger of 32
// MB and 10 ms.
static inline uint64_t wire_burst_default(uint64_t rate)
{
	uint64_t most = rate / 800 > 32000000 ? rate / 800 : 32000000;
	uint64_t burst = rate / 160;

	return burst < 64000 ? 64000 : burst > most ? most : burst;
}

// 10 ms, less below 167 Mb/s, where the ramp's width would be seen in a second's sum: 5 ms at 50
// Mb/s.
static inline uint64_t wire_ramp_default(uint64_t rate)
{
	uint64_t ramp = rate * 3 / 50;

	return ramp < 5000000 ? 5000000 : ramp > 10000000 ? 10000000 : ramp;
}

// An address of ours in a VRF: packets to it go to the host queue of `interface`, which is of that
// VRF. The address is the record's name: a SET with another interface moves it there by one store,
// so addresses change places without an exchange.
struct wire_local {
	uint32_t vrf;
	uint32_t interface;
	uint8_t addr[16];
	uint8_t family;
	uint8_t pad[7];
};
static_assert(sizeof(struct wire_local) == 32, "wire_local");

#define WIRE_NEIGHBOR_UNRESOLVED \
	0u // packets to it drop `neighbor-unresolved` and raise NEIGHBOR_NEEDED
#define WIRE_NEIGHBOR_RESOLVED 1u
struct wire_neighbor {
	uint32_t neighbor; // id
	uint32_t interface;
	uint8_t addr[16];
	uint8_t mac[6];
	uint8_t family;
	uint8_t state; // WIRE_NEIGHBOR_*
};
static_assert(sizeof(struct wire_neighbor) == 32, "wire_neighbor");

// One way out. The interface may be of any VRF: that is how a packet crosses from a peering to a
// vNet.
struct wire_path {
	uint32_t path; // id
	uint32_t interface;
	uint32_t neighbor; // 0 on point-to-point (GRE) interfaces
	uint8_t up;        // 0 or 1; a down path is skipped, one store
	uint8_t pad[3];
	uint64_t account; // uid of the counter of what leaves by this path, in the stats segment; 0
			  // = none. Paths may share one; the last path that names it takes it away
};
static_assert(
	sizeof(struct wire_path) == 24 && offsetof(struct wire_path, account) == 16, "wire_path");

#define WIRE_GROUP_BLACKHOLE 1u // this id always exists: drop and count `blackhole`
#define WIRE_GROUP_PATHS     16u
struct wire_group {
	uint32_t group; // id, >= 2
	uint32_t count; // paths, 1..WIRE_GROUP_PATHS
	uint32_t path[WIRE_GROUP_PATHS];
	uint16_t weight[WIRE_GROUP_PATHS]; // 1..256
};
static_assert(sizeof(struct wire_group) == 104, "wire_group");

struct wire_route {
	uint32_t vrf;
	uint32_t group;   // WIRE_GROUP_BLACKHOLE or one that was SET; in ROUTE_DELETE 0
	uint8_t addr[16]; // bits beyond len must be zero
	uint8_t family;
	uint8_t len;    // 0..32 or 0..128
	uint8_t origin; // of the controller's choosing, returned by DUMP: who put it there
	uint8_t pad[5];
};
static_assert(sizeof(struct wire_route) == 32, "wire_route");

// Hands over the data plane's end of a TAP (Ethernet interfaces, untagged frames) or TUN (GRE
// interfaces). Replaces an earlier one; a record that is refused has its descriptor closed.
struct wire_host {
	uint32_t interface;
	uint32_t fd; // index into the message's descriptors
};
static_assert(sizeof(struct wire_host) == 8, "wire_host");

// Events
#define WIRE_PORT_ETHDEV    1u // a device of DPDK
#define WIRE_PORT_PACKET    2u // a device of the kernel, by packet sockets
#define WIRE_PORT_XDP       3u // by AF_XDP sockets: what is not ours is left to the kernel
#define WIRE_PORT_XDP_WHOLE 4u // by AF_XDP sockets, alone
// What is known of it.
#define WIRE_PORT_ZERO_COPY     (1u << 0)
#define WIRE_PORT_TAGS_SWITCHED (1u << 1) // takes interfaces with tags or without, not both
#define WIRE_PORT_TAGS_HIDDEN   (1u << 2) // takes no interface with a tag
struct wire_port {
	uint32_t port;  // index
	uint32_t speed; // Mb/s, 0 = unknown
	uint16_t mtu;   // in force: the smallest of device, packet buffers and ring
	uint8_t up;
	uint8_t mac[6];
	uint8_t fault;    // port_fault.h
	uint8_t tag_debt; // bytes by which mtu is smaller with two tags
	uint8_t kind;     // WIRE_PORT_*; 0 = none of these
	uint8_t known;    // WIRE_PORT_*
	uint8_t pad[3];
	char name[WIRE_NAME_MAX];
};
static_assert(sizeof(struct wire_port) == 56, "wire_port");

// The largest IP packet that a port carries behind `vlans` tags.
static inline uint16_t wire_port_mtu(uint16_t mtu, uint8_t tag_debt, unsigned vlans)
{
	unsigned debt = vlans == 0 ? 0 : vlans == 1 ? tag_debt > 4 ? tag_debt - 4u : 0 : tag_debt;

	return (uint16_t)(mtu > debt ? mtu - debt : 0);
}

struct wire_needed {
	uint32_t interface;
	uint32_t neighbor;
};
static_assert(sizeof(struct wire_needed) == 8, "wire_needed");

struct wire_episode { // a run of drops of one limiter, ended by a second without any
	uint64_t uid;
	uint64_t start;  // CLOCK_REALTIME ns
	uint64_t length; // ns
	uint64_t bytes;
	uint64_t packets;
};
static_assert(sizeof(struct wire_episode) == 40, "wire_episode");

struct wire_vrf_stats { // what one VRF holds; the answer to a DUMP of this type
	uint32_t vrf;
	uint32_t routes4;
	uint32_t routes6;
	uint32_t pad;
	uint64_t bytes;        // of forwarding memory
	uint64_t shadow_bytes; // the writer's own
};
static_assert(sizeof(struct wire_vrf_stats) == 32, "wire_vrf_stats");

#endif
