/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_WIRE_SAMPLES_H
#define TESTS_WIRE_SAMPLES_H

// One valid record of each type, every field different from its neighbors.

#include "dataplane/wire/types.h"

#define IP4(a, b, c, d)    \
	{                  \
		a, b, c, d \
	}
#define SAMPLE_MAC                                 \
	{                                          \
		0x02, 0x11, 0x22, 0x33, 0x44, 0x55 \
	}

static const struct wire_hello sample_wire_hello = {
	.store = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	.revision = 0x1112131415161718,
	.instance = 0x2122232425262728,
	.written = 0x31,
	.unchanged = 0x41,
	.workers = 2,
	.ports = 3,
	.version = "0.1.0",
	.stats = "/dev/shm/x",
};
static const struct wire_failure sample_wire_failure = {.index = 7, .error = -22};
static const struct wire_begin sample_wire_begin = {.store = {16, 15, 14},
	.revision = 9,
	.scope = WIRE_SCOPE_ROUTES,
	.vrf = 5,
	.flags = WIRE_FORCE};
static const struct wire_end sample_wire_end = {
	.count = 0x0102030405060708, .scope = WIRE_SCOPE_CONFIGURATION, .vrf = 6};
static const struct wire_dump sample_wire_dump = {.type = WIRE_ROUTE_SET, .vrf = 4};
static const struct wire_dump_end sample_wire_dump_end = {.count = 0xabcdef};
static const struct wire_id sample_wire_id = {.id = 0x01020304};
static const struct wire_uid sample_wire_uid = {.uid = 0x0102030405060708};
static const struct wire_vrf sample_wire_vrf = {
	.vrf = 3, .routes_max = 4000, .bytes_max = 0x100000, .name = "acme"};
static const struct wire_interface sample_wire_interface = {
	.uid = 0x8182838485868788,
	.interface = 0x91929394,
	.vrf = 3,
	.owner = 4,
	.flags = WIRE_INTERFACE_UP | WIRE_INTERFACE_KEY,
	.limiter_in = 5,
	.limiter_out = 6,
	.mtu = 1500,
	.kind = WIRE_INTERFACE_GRE,
	.vlans = 2,
	.vlan = {100, 200},
	.port = 1,
	.key = 0xcafebabe,
	.underlay = 7,
	.local = IP4(192, 0, 2, 1),
	.remote = IP4(192, 0, 2, 2),
	.mac = SAMPLE_MAC,
	.family = WIRE_IPV4,
	.ttl = 64,
};
static const struct wire_limiter sample_wire_limiter = {
	.uid = 0x9988776655443322,
	.rate = 50000000,
	.burst = 312500,
	.ramp = 10000000,
	.ef_rate = 5000000,
	.packet_rate = 100000,
	.queue = 20000000,
	.limiter = 11,
	.flags = WIRE_LIMITER_SHAPE,
	.overhead = -4,
	.account = WIRE_ACCOUNT_L2,
};
static const struct wire_local sample_wire_local = {
	.vrf = 3, .interface = 8, .addr = IP4(169, 254, 10, 2), .family = WIRE_IPV4};
static const struct wire_neighbor sample_wire_neighbor = {.neighbor = 21,
	.interface = 8,
	.addr = {0xfe, 0x80, [15] = 1},
	.mac = SAMPLE_MAC,
	.family = WIRE_IPV6,
	.state = WIRE_NEIGHBOR_RESOLVED};
static const struct wire_path sample_wire_path = {
	.path = 31, .interface = 8, .neighbor = 21, .up = 1, .account = 0x5152535455565758};
static const struct wire_group sample_wire_group = {
	.group = 41, .count = 2, .path = {31, 32}, .weight = {1, 256}};
static const struct wire_route sample_wire_route = {.vrf = 3,
	.group = 41,
	.addr = IP4(10, 1, 0, 0),
	.family = WIRE_IPV4,
	.len = 16,
	.origin = 12};
static const struct wire_host sample_wire_host = {.interface = 8, .fd = 1};
static const struct wire_port sample_wire_port = {.port = 1,
	.speed = 10000,
	.mtu = 1500,
	.up = 1,
	.mac = SAMPLE_MAC,
	.fault = 1,
	.kind = WIRE_PORT_XDP,
	.known = WIRE_PORT_TAGS_HIDDEN,
	.name = "wan0"};
static const struct wire_needed sample_wire_needed = {.interface = 8, .neighbor = 21};
static const struct wire_episode sample_wire_episode = {
	.uid = 1, .start = 2, .length = 3, .bytes = 4, .packets = 5};

static const struct wire_vrf_stats sample_wire_vrf_stats = {
	.vrf = 7, .routes4 = 1, .routes6 = 2, .bytes = 3, .shadow_bytes = 4};

struct sample {
	const char *name;
	uint16_t type;
	uint16_t size;
	const void *record;
};

static const struct sample samples[] = {
#define SAMPLE(symbol, value, rec, direction) {#symbol, value, sizeof(struct rec), &sample_##rec},
	WIRE_TYPES(SAMPLE)
#undef SAMPLE
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

#endif
