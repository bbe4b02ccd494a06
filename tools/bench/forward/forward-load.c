// SPDX-License-Identifier: BSD-3-Clause
// forward-load: what tools/bench/forward/forward feeds a data plane with. One row of the benchmark is a number of
// circuits, of routes a circuit and of flows; the same row, given to
//
//	forward-load pcap FILE ROW...      writes the frames of its flows, and
//	forward-load load SOCKET ROW...    is a controller that sets up its interfaces, limiters and routes,
//	forward-load tsc                   prints the TSC's frequency in Hz,
//
// so that every frame has a circuit to come in on and a route to leave by. Everything follows from the row's
// seed. Row: --circuits N --routes N --flows N --seed N [--imix] [--decap] [--check]
//
// Port 0 is where frames come in, port 1 where they leave. Encapsulation: circuit i is a VLAN (or QinQ pair) of port 0 and owns
// tunnel key i+1 on port 1. Decapsulation: the other way round.

#include "dataplane/wire/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#define UNDERLAY     1u
#define CORE         1u          // ids of the core interface, its neighbor, path and group
#define LOCAL_OUTER  0xc0000201u // 192.0.2.1
#define REMOTE_OUTER 0xc6336401u // 198.51.100.1 for every circuit: the key tells them apart
#define SOURCES      0x0a010000u // customers' sources, 10.1.0.0/16

struct row {
	uint32_t circuits, routes, flows;
	uint64_t seed;
	int imix, decap, check;
};

static const uint8_t our_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
static const uint8_t their_mac[6] = {0x02, 0, 0, 0, 0, 0x02};

static uint64_t next(uint64_t *state) // splitmix64
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

struct prefix {
	uint32_t address;
	uint8_t len;
};

// A BGP-like mix: 60 % /24, the rest evenly /16../23, all outside 0/8, 10/8 and 127/8 and below 224/8.
static struct prefix random_prefix(uint64_t *state)
{
	uint64_t r = next(state);
	struct prefix p = {.len = (r % 10 < 6) ? 24 : (uint8_t)(16 + (r >> 8) % 8)};

	do
		p.address = (uint32_t)(next(state) >> 32) & (0xffffffffu << (32 - p.len));
	while (p.address >> 24 == 0 || p.address >> 24 == 10 || p.address >> 24 == 127 ||
		p.address >> 24 >= 224);
	return p;
}

static uint64_t circuit_seed(const struct row *row, uint32_t circuit)
{
	uint64_t state = row->seed * 1000003 + circuit;
	return next(&state);
}

// ---- frames

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static void put_ipv4(
	uint8_t *ip, uint32_t source, uint32_t destination, uint8_t protocol, unsigned length)
{
	uint32_t sum = 0;

	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, length);
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, source);
	put32(ip + 16, destination);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
}

// 802.1Q as long as one tag tells all circuits apart, else QinQ.
static unsigned vlan_stack(const struct row *row, uint32_t circuit, uint16_t vlan[2])
{
	vlan[0] = (uint16_t)(circuit % 4000 + 1);
	vlan[1] = 0;
	if (row->circuits <= 4000)
		return 1;
	vlan[1] = vlan[0];
	vlan[0] = (uint16_t)(circuit / 4000 + 1);
	return 2;
}

// Length of the frame. `size` is its length without tag and outer headers.
static unsigned make_frame(uint8_t *frame, const struct row *row, uint32_t circuit,
	uint32_t destination, uint32_t flow, unsigned size)
{
	unsigned inner = size - 14, offset = 14;

	memset(frame, 0, 2048);
	memcpy(frame, our_mac, 6);
	memcpy(frame + 6, their_mac, 6);
	if (row->decap) {
		put16(frame + 12, 0x0800);
		put_ipv4(frame + 14, REMOTE_OUTER, LOCAL_OUTER, 47, 28 + inner);
		put16(frame + 34, 0x2000);
		put16(frame + 36, 0x0800);
		put32(frame + 38, circuit + 1);
		offset = 42;
	} else {
		uint16_t vlan[2];
		unsigned tags = vlan_stack(row, circuit, vlan);

		offset = 12;
		for (unsigned i = 0; i < tags; i++, offset += 4) {
			put16(frame + offset, 0x8100);
			put16(frame + offset + 2, vlan[i]);
		}
		put16(frame + offset, 0x0800);
		offset += 2;
	}
	put_ipv4(frame + offset, SOURCES | (flow & 0xffff), destination, 17, inner);
	put16(frame + offset + 20, 1024 + flow % 50000);
	put16(frame + offset + 22, 53);
	put16(frame + offset + 24, inner - 20);
	return offset + inner;
}

static int write_pcap(const char *path, const struct row *row)
{
	static const uint32_t head[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
	static const unsigned imix[12] = {60, 60, 60, 60, 60, 60, 60, 570, 570, 570, 570, 1400};
	struct prefix *prefixes = malloc(sizeof(*prefixes) * row->routes);
	uint32_t *pick = malloc(sizeof(*pick) * row->flows);
	uint64_t state = row->seed + 77;
	FILE *out = fopen(path, "wb");
	uint8_t frame[2048];

	if (!out || !prefixes || !pick)
		return -1;
	fwrite(head, sizeof(head), 1, out);
	// One circuit's prefixes are needed at a time: flow f belongs to circuit f mod circuits, shuffled by
	// writing each frame at a random place of its own.
	uint8_t *all = malloc((size_t)row->flows * 2048);
	uint16_t *lengths = malloc(sizeof(*lengths) * row->flows);
	if (!all || !lengths)
		return -1;
	for (uint32_t i = 0; i < row->flows; i++)
		pick[i] = i;
	for (uint32_t i = row->flows - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(next(&state) % (i + 1)), swap = pick[i];
		pick[i] = pick[j];
		pick[j] = swap;
	}
	for (uint32_t circuit = 0; circuit < row->circuits; circuit++) {
		uint64_t of_circuit = circuit_seed(row, circuit);
		for (uint32_t i = 0; i < row->routes; i++)
			prefixes[i] = random_prefix(&of_circuit);
		for (uint32_t f = circuit; f < row->flows; f += row->circuits) {
			const struct prefix *p = &prefixes[next(&state) % row->routes];
			uint32_t host = (uint32_t)next(&state) & ~(0xffffffffu << (32 - p->len));
			unsigned size = row->imix ? imix[next(&state) % 12] : 60;
			lengths[pick[f]] = (uint16_t)make_frame(
				frame, row, circuit, p->address | host, f, size);
			memcpy(all + (size_t)pick[f] * 2048, frame, 2048);
		}
	}
	for (uint32_t i = 0; i < row->flows; i++) {
		uint32_t record[4] = {0, 0, lengths[i], lengths[i]};
		fwrite(record, sizeof(record), 1, out);
		fwrite(all + (size_t)i * 2048, lengths[i], 1, out);
	}
	free(all);
	free(lengths);
	free(prefixes);
	free(pick);
	return fclose(out);
}

// ---- controller

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
			fprintf(stderr,
				"forward-load: message %llu: %u records refused, first %u: %s\n",
				(unsigned long long)reply.header.seq, reply.header.count, f->index,
				strerror(-f->error));
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

// Ids: circuit i has VRF 2+2i (customer) and 3+2i (vNet), interface 2+2i (attachment) and 3+2i (tunnel),
// nexthops likewise, limiter 1+i.
static void load_circuit(struct controller *c, const struct row *row, uint32_t i)
{
	uint32_t customer = 2 + 2 * i, vnet = 3 + 2 * i;
	uint32_t flags = WIRE_INTERFACE_UP | (row->check ? WIRE_INTERFACE_SOURCE_CHECK : 0);
	struct wire_vrf vrf = {.vrf = customer};
	struct wire_limiter limiter = {.uid = 1000000 + i,
		.limiter = 1 + i,
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
		.port = row->decap ? 1 : 0};
	struct wire_interface tunnel = {.uid = vnet,
		.interface = vnet,
		.vrf = vnet,
		.owner = vnet,
		.flags = flags | WIRE_INTERFACE_KEY,
		.mtu = 1472,
		.kind = WIRE_INTERFACE_GRE,
		.key = i + 1,
		.underlay = CORE + 1,
		.family = WIRE_IPV4,
		.ttl = 64};
	uint64_t state = circuit_seed(row, i);

	set(c, WIRE_VRF_SET, &vrf);
	vrf.vrf = vnet;
	set(c, WIRE_VRF_SET, &vrf);
	set(c, WIRE_LIMITER_SET, &limiter);
	attachment.vlans = (uint8_t)vlan_stack(row, i, attachment.vlan);
	memcpy(attachment.mac, our_mac, 6);
	attachment.limiter_in = row->decap ? 0 : limiter.limiter;
	attachment.limiter_out = row->decap ? limiter.limiter : 0;
	set(c, WIRE_INTERFACE_SET, &attachment);
	put32(tunnel.local, LOCAL_OUTER);
	put32(tunnel.remote, REMOTE_OUTER);
	set(c, WIRE_INTERFACE_SET, &tunnel);
	set_nexthop(c, customer, customer, 0xa9fe0a01);
	set_nexthop(c, vnet, vnet, 0);
	// The way in owns the sources, the way out the routes.
	uint32_t in = row->decap ? vnet : customer, out = row->decap ? customer : vnet;
	set_route(c, in, SOURCES, 16, in + 1);
	for (uint32_t r = 0; r < row->routes; r++) {
		struct prefix p = random_prefix(&state);
		set_route(c, in, p.address, p.len, out + 1);
	}
}

static int load(const char *path, const struct row *row)
{
	static struct controller c;
	struct wire_vrf underlay = {.vrf = UNDERLAY};
	struct wire_local local = {.vrf = UNDERLAY, .interface = CORE, .family = WIRE_IPV4};
	struct wire_interface core = {.uid = 1,
		.interface = CORE,
		.vrf = UNDERLAY,
		.flags = WIRE_INTERFACE_UP | WIRE_INTERFACE_CORE,
		.mtu = 1500,
		.kind = WIRE_INTERFACE_ETHERNET,
		.port = row->decap ? 0 : 1};
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
	memcpy(core.mac, our_mac, 6);
	set(&c, WIRE_INTERFACE_SET, &core);
	put32(local.addr, LOCAL_OUTER);
	set(&c, WIRE_LOCAL_SET, &local);
	set_nexthop(&c, CORE, CORE, REMOTE_OUTER);
	for (uint32_t i = 0; i < row->circuits; i++)
		load_circuit(&c, row, i);
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

static int print_tsc(void)
{
	struct timespec a, b;
	uint64_t start, end, ns;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	start = __rdtsc();
	do {
		clock_gettime(CLOCK_MONOTONIC_RAW, &b);
		end = __rdtsc();
		ns = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000 + (uint64_t)b.tv_nsec -
		     (uint64_t)a.tv_nsec;
	} while (ns < 200000000);
	printf("%.0f\n", (double)(end - start) * 1e9 / (double)ns);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: forward-load pcap FILE|load SOCKET --circuits N --routes N --flows "
			"N --seed N [--imix] [--decap] [--check]\n"
			"       forward-load tsc\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"circuits", required_argument, NULL, 'c'},
		{"routes", required_argument, NULL, 'r'},
		{"flows", required_argument, NULL, 'f'},
		{"seed", required_argument, NULL, 's'},
		{"imix", no_argument, NULL, 'i'},
		{"decap", no_argument, NULL, 'd'},
		{"check", no_argument, NULL, 'k'},
		{NULL, 0, NULL, 0},
	};
	struct row row = {.circuits = 1, .routes = 1000, .flows = 1024, .seed = 1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			row.circuits = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			row.routes = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			row.flows = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 's':
			row.seed = strtoull(optarg, NULL, 10);
			break;
		case 'i':
			row.imix = 1;
			break;
		case 'd':
			row.decap = 1;
			break;
		case 'k':
			row.check = 1;
			break;
		default:
			return usage();
		}
	}
	if (optind + 1 == argc && !strcmp(argv[optind], "tsc"))
		return print_tsc();
	if (optind + 2 != argc || !row.circuits || !row.routes || row.flows < row.circuits ||
		row.circuits > 1000000)
		return usage();
	if (!strcmp(argv[optind], "pcap")) {
		if (write_pcap(argv[optind + 1], &row)) {
			perror(argv[optind + 1]);
			return 1;
		}
		return 0;
	}
	return strcmp(argv[optind], "load") ? usage() : load(argv[optind + 1], &row);
}
