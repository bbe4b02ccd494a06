// SPDX-License-Identifier: BSD-3-Clause

// Cycles of a worker's turn, in one process: no device, no thread, no root.
//
//	turn [--flows N] [--routes N] [--circuits N] [--size N] [--check] [--down] [--limit] [--rounds N]
//
// The port's rx takes buffers from the pool and copies frames into them, its tx frees them, which is what net_pcap
// with infinite_rx and net_null do. The same rx and tx without the turn between them is the I/O floor; the
// difference is what the stages cost. Batches of turns are timed by the TSC and the median taken, so that a busy
// machine spoils few of them. A second pass times each stage the same way: calls, and medians of cycles. For work on the stages; the figures that count come from tools/bench/forward.

#include "dataplane/dataplane.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/worker.h"
#include "tests/lib/frame.h"
#include "tools/bench/turn/stages.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURNS 256u // in a batch

static struct {
	unsigned flows, routes, circuits, size, rounds;
	int check, down, limit;
} options = {.flows = 1024, .routes = 1000, .circuits = 1, .size = 60, .rounds = 4000};

static struct rte_mempool *pool;
static struct rte_mbuf **source;
static unsigned next;

static uint16_t rx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	if (port->index != (options.down ? 1 : 0) || rte_pktmbuf_alloc_bulk(pool, frames, n) != 0)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		const struct rte_mbuf *s = source[next];
		next = next + 1 == options.flows ? 0 : next + 1;
		memcpy(rte_pktmbuf_mtod(frames[i], void *), rte_pktmbuf_mtod(s, void *),
			s->data_len);
		frames[i]->data_len = s->data_len;
		frames[i]->pkt_len = s->data_len;
	}
	return n;
}

static uint16_t tx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	for (unsigned i = 0; i < n; i++)
		rte_pktmbuf_free(frames[i]);
	return n;
}

static struct port port[2];
static struct dataplane *dp;

static void must(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: %d\n", what, result);
		exit(1);
	}
}

static void put(uint8_t *to, uint32_t addr)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(addr >> (24 - 8 * i));
}

static void nexthop(uint32_t id, uint32_t interface, int ethernet)
{
	const struct wire_neighbor n = {.neighbor = id,
		.interface = interface,
		.mac = {2, 0, 0, 0, 2, 1},
		.family = WIRE_IPV4,
		.state = WIRE_NEIGHBOR_RESOLVED};
	const struct wire_path p = {
		.path = id, .interface = interface, .neighbor = ethernet ? id : 0, .up = 1};
	const struct wire_group g = {.group = id, .count = 1, .path = {id}, .weight = {1}};
	if (ethernet)
		must(neighbor_set(dp, &n), "neighbor");
	must(path_set(dp, &p), "path");
	must(group_set(dp, &g), "group");
}

static void set_limiters(uint32_t id)
{
	for (unsigned out = 0; out < 2; out++) {
		const struct wire_limiter l = {.uid = 2 * id + out,
			.limiter = 2 * id + out,
			.rate = 400000000000ull,
			.burst = 4000000000ull,
			.ramp = 10000000};
		must(limiter_set(dp, &l), "limiter");
	}
}

static void circuit(unsigned c)
{
	uint32_t id = 10 + 2 * c, flags = WIRE_INTERFACE_UP;
	const struct wire_vrf v = {.vrf = id};
	must(vrf_set(dp, &v), "vrf");
	if (options.check)
		flags |= WIRE_INTERFACE_SOURCE_CHECK;
	if (options.limit)
		set_limiters(id);
	struct wire_interface e = {.uid = id,
		.interface = id,
		.vrf = id,
		.owner = id,
		.flags = flags,
		.mtu = 1500,
		.kind = WIRE_INTERFACE_ETHERNET,
		.vlans = 2,
		.vlan = {(uint16_t)(1 + c / 4000), (uint16_t)(1 + c % 4000)},
		.limiter_in = options.limit ? 2 * id : 0};
	must(interface_set(dp, &e), "attachment");
	struct wire_interface t = {.uid = id + 1,
		.interface = id + 1,
		.vrf = id,
		.owner = id + 1,
		.flags = flags | WIRE_INTERFACE_KEY,
		.mtu = 1450,
		.kind = WIRE_INTERFACE_GRE,
		.key = c,
		.underlay = 2,
		.local = {10, 255, 0, 1},
		.remote = {198, 51, 100, 1},
		.family = WIRE_IPV4,
		.ttl = 64,
		.limiter_in = options.limit ? 2 * id + 1 : 0};
	must(interface_set(dp, &t), "tunnel");
	nexthop(id, id, 1);
	nexthop(id + 1, id + 1, 0);
	for (unsigned r = 0; r < options.routes; r++) {
		struct wire_route w = {.vrf = id,
			.group = options.down ? id : id + 1,
			.family = WIRE_IPV4,
			.len = 24};
		put(w.addr, (20u << 24) + r * 256);
		must(route_set(dp, &w), "route");
	}
	struct wire_route back = {.vrf = id,
		.group = options.down ? id + 1 : id,
		.family = WIRE_IPV4,
		.len = 8,
		.addr = {10}};
	must(route_set(dp, &back), "route");
}

static void make_frame(unsigned i)
{
	static struct frame f;
	unsigned c = (i * 2654435761u >> 8) % options.circuits;
	const uint8_t ours[6] = {2, 0, 0, 0, 0, (uint8_t)options.down},
		      theirs[6] = {2, 0, 0, 0, 2, 1};
	uint32_t route = (i * 2246822519u >> 7) % options.routes;
	const struct ipv4 h = {.source = 10u << 24 | i,
		.destination = (20u << 24) + route * 256 + 1,
		.ttl = 64,
		.protocol = 17,
		.fragment = 0x4000};
	const struct ipv4 outer = {.source = IP4(198, 51, 100, 1),
		.destination = IP4(10, 255, 0, 1),
		.ttl = 64,
		.protocol = 47};
	const struct gre g = {.flags = GRE_KEY, .key = c, .protocol = 0x0800};
	unsigned front = options.down ? 14 + 28 : 22;
	frame_payload(&f, options.size > front + 28 ? options.size - front - 28 : 0);
	frame_udp(&f, 1, 2);
	frame_ipv4(&f, &h);
	if (options.down) {
		frame_gre(&f, &g);
		frame_ipv4(&f, &outer);
		frame_type(&f, 0x0800);
	} else {
		frame_type(&f, 0x0800);
		frame_tag(&f, (uint16_t)(1 + c % 4000), 0x8100);
		frame_tag(&f, (uint16_t)(1 + c / 4000), 0x8100);
	}
	frame_macs(&f, ours, theirs);
	memcpy(rte_pktmbuf_append(source[i], (uint16_t)f.length), f.data, f.length);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

static double io_turns(void)
{
	struct rte_mbuf *frames[BURST];
	uint64_t start = rte_rdtsc();
	for (unsigned i = 0; i < TURNS; i++) {
		uint16_t n = rx(&port[options.down], 0, frames, BURST);
		tx(&port[0], 0, frames, n);
	}
	return (double)(rte_rdtsc() - start) / (TURNS * BURST);
}

static double full_turns(void)
{
	uint64_t start = rte_rdtsc();
	for (unsigned i = 0; i < TURNS; i++)
		worker_turn(dp->worker[0], rte_rdtsc());
	return (double)(rte_rdtsc() - start) / (TURNS * BURST);
}

// One batch of turns with every stage timed; cycles a packet of each.
static void stage_turns(double overhead, double cycles[TIMED_STAGES])
{
	memset(stage_cycles, 0, sizeof(stage_cycles));
	memset(stage_calls, 0, sizeof(stage_calls));
	stages_timed = true;
	for (unsigned i = 0; i < TURNS; i++)
		worker_turn(dp->worker[0], rte_rdtsc());
	stages_timed = false;
	for (unsigned s = 0; s < TIMED_STAGES; s++)
		cycles[s] = ((double)stage_cycles[s] - overhead * (double)stage_calls[s]) /
			    (TURNS * BURST);
}

static void print_stages(void)
{
	double overhead = stage_overhead(), one[TIMED_STAGES], *all[TIMED_STAGES];
	for (unsigned s = 0; s < TIMED_STAGES; s++)
		if ((all[s] = calloc(options.rounds, sizeof(double))) == NULL)
			exit(1);
	for (unsigned r = 0; r < options.rounds; r++) {
		stage_turns(overhead, one);
		for (unsigned s = 0; s < TIMED_STAGES; s++)
			all[s][r] = one[s];
	}
	for (unsigned s = 0; s < TIMED_STAGES; s++) {
		if (stage_calls[s] != 0)
			printf("  %-8s %6.1f\n", stage_names[s], median(all[s], options.rounds));
		free(all[s]);
	}
}

static void read_options(int argc, char **argv)
{
	static const struct option list[] = {{"flows", 1, NULL, 'f'}, {"routes", 1, NULL, 'r'},
		{"circuits", 1, NULL, 'c'}, {"size", 1, NULL, 's'}, {"rounds", 1, NULL, 'n'},
		{"check", 0, &options.check, 1}, {"down", 0, &options.down, 1},
		{"limit", 0, &options.limit, 1}, {0}};
	for (int o; (o = getopt_long(argc, argv, "", list, NULL)) != -1;) {
		unsigned value = optarg != NULL ? (unsigned)strtoul(optarg, NULL, 0) : 0;
		if (o == '?')
			exit(2);
		if (o == 'f')
			options.flows = value;
		if (o == 'r')
			options.routes = value;
		if (o == 'c')
			options.circuits = value;
		if (o == 's')
			options.size = value;
		if (o == 'n')
			options.rounds = value;
	}
}

static void build(void)
{
	char note[256];
	struct stats_segment *stats;
	const struct stats_config s = {.interfaces = 4 * options.circuits + 64,
		.limiters = 4 * options.circuits + 64,
		.workers = 1,
		.hz = rte_get_tsc_hz(),
		.instance = 1};
	must(stats_open(&s, &stats, note, sizeof(note)), note);
	const struct dataplane_config d = {
		.workers = 1, .hz = rte_get_tsc_hz(), .stats = stats, .pool = pool};
	must(dataplane_create(&d, &dp), "dataplane");
	for (unsigned i = 0; i < 2; i++) {
		port[i] = (struct port){.rx = rx,
			.tx = tx,
			.rx_queues = 1,
			.tx_queues = 1,
			.mtu = 9600,
			.mac = {2, 0, 0, 0, 0, (uint8_t)i},
			.up = 1};
		must(dataplane_add_port(dp, &port[i]), "port");
	}
	must(worker_add_queue(dp->worker[0], (uint32_t)options.down, 0), "queue");
	const struct wire_vrf v = {.vrf = 1};
	must(vrf_set(dp, &v), "vrf");
	const struct wire_interface core = {.uid = 9999999,
		.interface = 1,
		.vrf = 1,
		.flags = WIRE_INTERFACE_UP | WIRE_INTERFACE_CORE,
		.mtu = 1500,
		.kind = WIRE_INTERFACE_ETHERNET,
		.port = 1};
	must(interface_set(dp, &core), "core");
	nexthop(2, 1, 1);
	for (unsigned c = 0; c < options.circuits; c++)
		circuit(c);
}

int main(int argc, char **argv)
{
	char *eal[] = {"turn", "--no-huge", "--no-shconf", "-m", "512", "--no-pci",
		"--no-telemetry", "--log-level", "error", NULL};
	read_options(argc, argv);
	if (rte_eal_init(9, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("packets", 4095, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	struct rte_mempool *sources = rte_pktmbuf_pool_create(
		"sources", options.flows, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	source = calloc(options.flows, sizeof(*source));
	double *io = calloc(options.rounds, sizeof(*io)),
	       *full = calloc(options.rounds, sizeof(*full));
	if (pool == NULL || sources == NULL || source == NULL || io == NULL || full == NULL)
		return 1;
	build();
	must(rte_pktmbuf_alloc_bulk(sources, source, options.flows), "frames");
	for (unsigned i = 0; i < options.flows; i++)
		make_frame(i);
	for (unsigned r = 0; r < options.rounds; r++) {
		io[r] = io_turns();
		full[r] = full_turns();
	}
	uint64_t forwarded = 0, seen = 0;
	for (uint32_t slot = 0; slot < dp->stats->slots[STATS_INTERFACE]; slot++) {
		forwarded += dp->worker[0]->hot[slot].tx_packets;
		seen += dp->worker[0]->hot[slot].rx_packets - dp->worker[0]->hot[slot].decapsulated;
	}
	double floor = median(io, options.rounds), all = median(full, options.rounds);
	printf("io %.1f, turn %.1f, above io %.1f cycles per packet; %.1f %% forwarded\n", floor,
		all, all - floor, 100.0 * (double)forwarded / (double)seen);
	print_stages();
	return 0;
}
