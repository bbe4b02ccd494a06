// SPDX-License-Identifier: BSD-3-Clause
// The tables of a row: a controller on the data plane's socket that sets up underlay, circuits and routes, each
// once, and goes. What it asks for is all that the benchmark's frames need.

#include "tools/bench/forward/row.h"

#include "dataplane/wire/link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNDERLAY 1u
#define CORE     1u  // ids of the first pair's core interface, its neighbor, path and group
#define FIRST    64u // ids of the first circuit's

struct controller {
	struct wire_link *link;
	struct wire_message message;
	uint64_t acked, sent, refused;
};

static void fail(const char *what, int rc)
{
	fprintf(stderr, "forward-load: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static void receive(struct controller *c, int wait_ms)
{
	static struct wire_message reply;
	struct pollfd fd = {.fd = wire_link_fd(c->link),
		.events = POLLIN | (wire_link_backlog(c->link) ? POLLOUT : 0)};
	int fds[WIRE_FDS_MAX], rc;
	unsigned count;

	poll(&fd, 1, wait_ms);
	rc = wire_link_flush(c->link);
	if (rc)
		fail("the data plane went away", rc);
	while ((rc = wire_receive(c->link, &reply, fds, &count)) == 1) {
		if (reply.header.type != WIRE_ACK)
			continue;
		c->acked++;
		if (reply.header.count) {
			const struct wire_failure *f = wire_message_record(&reply, 0, sizeof(*f));
			if (c->refused == 0)
				fprintf(stderr,
					"forward-load: message %llu: %u records refused, first %u: "
					"%s\n",
					(unsigned long long)reply.header.seq, reply.header.count,
					f->index, strerror(-f->error));
			c->refused += reply.header.count;
		}
	}
	if (rc < 0)
		fail("receive", rc);
}

static void flush(struct controller *c)
{
	int rc;

	if (!c->message.header.count)
		return;
	while ((rc = wire_send(c->link, &c->message, NULL, 0)) == -EAGAIN || rc == -ENOBUFS)
		receive(c, 1000);
	if (rc)
		fail("send", rc);
	c->sent++;
	c->message.header.count = 0;
}

static void set(struct controller *c, uint16_t type, const void *record)
{
	if (c->message.header.count == 0 || c->message.header.type != type) {
		flush(c);
		wire_message_start(&c->message, type, 0);
	}
	while (wire_message_add(&c->message, record) == -ENOSPC) {
		flush(c);
		wire_message_start(&c->message, type, 0);
	}
}

static void set_nexthop(struct controller *c, uint32_t id, uint32_t interface, uint32_t address)
{
	struct wire_neighbor neighbor = {.neighbor = id,
		.interface = interface,
		.family = WIRE_IPV4,
		.state = WIRE_NEIGHBOR_RESOLVED};
	struct wire_path path = {.path = id, .interface = interface, .up = 1};
	struct wire_group group = {.group = id + 1, .count = 1, .path = {id}, .weight = {1}};

	if (address) {
		put32(neighbor.addr, address);
		memcpy(neighbor.mac, their_mac, 6);
		set(c, WIRE_NEIGHBOR_SET, &neighbor);
		path.neighbor = id;
	}
	set(c, WIRE_PATH_SET, &path);
	set(c, WIRE_GROUP_SET, &group);
}

static void set_route(
	struct controller *c, uint32_t vrf, uint32_t address, uint8_t len, uint32_t group)
{
	struct wire_route route = {
		.vrf = vrf, .group = group, .family = WIRE_IPV4, .len = len, .origin = 1};

	put32(route.addr, address);
	set(c, WIRE_ROUTE_SET, &route);
}

// One place of a circuit's attachment: port pair and circuit.
struct place {
	uint32_t pair, circuit;
};

// Ids: the attachment and its customer's VRF are FIRST + 2k, the tunnel and the vNet's VRF one more, with k counting
// circuits of all pairs; nexthops likewise. Limiter 1 + circuit.
static void load_circuit(struct controller *c, const struct row *row, struct place at)
{
	uint32_t customer = FIRST + 2 * (at.pair * row->circuits + at.circuit), vnet = customer + 1;
	uint32_t flags = WIRE_INTERFACE_UP | (row->check ? WIRE_INTERFACE_SOURCE_CHECK : 0);
	struct wire_vrf vrf = {.vrf = customer};
	struct wire_limiter limiter = {.uid = (1ull << 32) + at.circuit,
		.limiter = 1 + at.circuit,
		.rate = 100000000000,
		.burst = 625000000,
		.ramp = 10000000,
		.account = WIRE_ACCOUNT_L3};
	struct wire_interface attachment = {.uid = customer,
		.interface = customer,
		.vrf = customer,
		.owner = customer,
		.flags = flags,
		.mtu = 1500,
		.kind = WIRE_INTERFACE_ETHERNET,
		.port = (uint16_t)(at.pair + (row->decap ? row->pairs : 0))};
	struct wire_interface tunnel = {.uid = vnet,
		.interface = vnet,
		.vrf = vnet,
		.owner = vnet,
		.flags = flags | WIRE_INTERFACE_KEY,
		.mtu = 1472,
		.kind = WIRE_INTERFACE_GRE,
		.key = tunnel_key(row, at.pair, at.circuit),
		.underlay = CORE + at.pair + 1,
		.family = WIRE_IPV4,
		.ttl = 64};
	uint64_t state = circuit_seed(row, at.circuit);

	set(c, WIRE_VRF_SET, &vrf);
	vrf.vrf = vnet;
	set(c, WIRE_VRF_SET, &vrf);
	if (at.pair == 0)
		set(c, WIRE_LIMITER_SET, &limiter);
	attachment.vlans = (uint8_t)vlan_stack(row, at.circuit, attachment.vlan);
	memcpy(attachment.mac, our_mac, 6);
	attachment.limiter_in = row->decap ? 0 : limiter.limiter;
	attachment.limiter_out = row->decap ? limiter.limiter : 0;
	set(c, WIRE_INTERFACE_SET, &attachment);
	put32(tunnel.local, LOCAL_OUTER + at.pair);
	put32(tunnel.remote, REMOTE_OUTER + at.pair);
	set(c, WIRE_INTERFACE_SET, &tunnel);
	set_nexthop(c, customer, customer, 0xa9fe0a01);
	set_nexthop(c, vnet, vnet, 0);
	// The way in owns the sources, the way out the routes.
	uint32_t in = row->decap ? vnet : customer, out = row->decap ? customer : vnet;
	set_route(c, in, SOURCES, 16, in + 1);
	for (uint32_t r = 0; r < row->routes; r++) {
		struct prefix p = random_prefix(row, at.circuit, &state);
		set_route(c, in, p.addr, p.len, out + 1);
	}
}

static void load_core(struct controller *c, const struct row *row, uint32_t pair)
{
	struct wire_local local = {.vrf = UNDERLAY, .interface = CORE + pair, .family = WIRE_IPV4};
	struct wire_interface core = {.uid = CORE + pair,
		.interface = CORE + pair,
		.vrf = UNDERLAY,
		.flags = WIRE_INTERFACE_UP | WIRE_INTERFACE_CORE,
		.mtu = 1500,
		.kind = WIRE_INTERFACE_ETHERNET,
		.port = (uint16_t)(pair + (row->decap ? 0 : row->pairs))};

	memcpy(core.mac, our_mac, 6);
	set(c, WIRE_INTERFACE_SET, &core);
	put32(local.addr, LOCAL_OUTER + pair);
	set(c, WIRE_LOCAL_SET, &local);
	set_nexthop(c, CORE + pair, CORE + pair, REMOTE_OUTER + pair);
}

int load(const char *path, const struct row *row)
{
	static struct controller c;
	struct wire_vrf underlay = {.vrf = UNDERLAY};
	struct wire_hello hello = {.store = {1}, .revision = 1};
	struct timespec start, end;
	int rc = wire_connect(path, &c.link);

	if (rc)
		fail(path, rc);
	clock_gettime(CLOCK_MONOTONIC, &start);
	snprintf(hello.version, sizeof(hello.version), "forward-load");
	wire_message_start(&c.message, WIRE_HELLO, 0);
	wire_message_add(&c.message, &hello);
	flush(&c);
	c.sent = 0; // HELLO has no ACK
	set(&c, WIRE_VRF_SET, &underlay);
	for (uint32_t pair = 0; pair < row->pairs; pair++)
		load_core(&c, row, pair);
	for (uint32_t pair = 0; pair < row->pairs; pair++)
		for (uint32_t i = 0; i < row->circuits; i++)
			load_circuit(&c, row, (struct place){pair, i});
	flush(&c);
	while (c.acked < c.sent)
		receive(&c, 1000);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%llu messages, %llu refused, %.2f s\n", (unsigned long long)c.sent,
		(unsigned long long)c.refused,
		(double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
	wire_link_close(c.link);
	return c.refused ? 1 : 0;
}
