// SPDX-License-Identifier: BSD-3-Clause

// A port on a kernel device: our packet and AF_XDP sockets beside DPDK's net_af_packet, on the same veth in the same run.
//
//	bench-port [--size N] [--rounds N] [--seconds S]          root; makes a network namespace of its own
//
// In: a thread sends on the veth's other end with sendmmsg, as fast as it can and then 100,000 a second, and the
// port's rx is called as a worker calls it, with a worker's naps. Out: bursts of 32 to the port's tx, with nobody at
// the other end. The kinds take turns, one open at a time. Processor time is the calling thread's own: of the worker
// per packet that came or went, of the sender per packet sent. The sender does the receiving kernel's work, so
// it bounds both kinds alike. Median [min..max] over the rounds.

#include "dataplane/io/device.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/steer.h"
#include "steer.skel.h"

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include <arpa/inet.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST  32u
#define EMPTY  256u // as in dataplane/io/thread.c
#define NAP_NS 50000
#define MOST   64u // rounds
#define PACE   100000.0
#define VDEV   "net_af_packet0"
#define RING \
	"iface=vb,framesz=2048,blocksz=65536,framecnt=4096,qdisc_bypass=1" // as large as ours, nearly

enum { OWN, XDP, AF_PACKET_PMD, KINDS };
enum {
	IN_RATE,
	IN_WORKER,
	IN_SENDER,
	IN_LOST,
	PACED_LOST,
	PACED_WORKER,
	OUT_RATE,
	OUT_WORKER,
	OUT_REFUSED,
	FIGURES
};

static const char *const kind_names[] = {"packet sockets", "AF_XDP", "net_af_packet"};
static const struct {
	const char *name;
	double scale;
} figures[FIGURES] = {
	[IN_RATE] = {"in: Mpps", 1e-6},
	[IN_WORKER] = {"in: worker, ns a packet", 1e9},
	[IN_SENDER] = {"in: sender, ns a packet", 1e9},
	[IN_LOST] = {"in: lost of what was sent, %", 100},
	[PACED_LOST] = {"in, 100,000 a second: lost, %", 100},
	[PACED_WORKER] = {"in, 100,000 a second: worker, % of a processor", 100},
	[OUT_RATE] = {"out: Mpps", 1e-6},
	[OUT_WORKER] = {"out: worker, ns a packet", 1e9},
	[OUT_REFUSED] = {"out: not taken, %", 100},
};

static unsigned size = 64, rounds = 7;
static double seconds = 1;
static struct rte_mempool *pool;
static struct opener *opener;
static double result[KINDS][FIGURES][MOST];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double clock_of(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void make_frame(uint8_t *frame)
{
	static const uint8_t head[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	memset(frame, 0, size);
	memcpy(frame, head, sizeof(head));
}

// --- the veth's other end ---

struct sender {
	double pace; // packets a second, 0 = as many as go
	double cpu;
	uint64_t sent;
	int stop;
};

static void *send_all(void *arg)
{
	struct sender *s = arg;
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("va")};
	struct mmsghdr message[BURST] = {0};
	struct iovec part[BURST];
	uint8_t frame[2048];
	int one = 1, room = 8 << 20, fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("sender");
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	make_frame(frame);
	for (unsigned i = 0; i < BURST; i++) {
		part[i] = (struct iovec){frame, size};
		message[i].msg_hdr = (struct msghdr){.msg_iov = &part[i], .msg_iovlen = 1};
	}
	double start = clock_of(CLOCK_MONOTONIC), cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		if (s->pace > 0 &&
			(double)s->sent > (clock_of(CLOCK_MONOTONIC) - start) * s->pace) {
			usleep(50);
			continue;
		}
		int n = sendmmsg(fd, message, BURST, 0);
		if (n > 0)
			s->sent += (uint64_t)n;
	}
	s->cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
	close(fd);
	return NULL;
}

// --- the worker ---

static uint64_t take(struct port *port, uint64_t *came)
{
	struct rte_mbuf *frames[BURST];
	uint16_t n = port->rx(port, 0, frames, BURST);
	uint64_t ours = 0;
	for (uint16_t i = 0; i < n; i++)
		ours += rte_pktmbuf_mtod(frames[i], uint8_t *)[12] == 0x88;
	rte_pktmbuf_free_bulk(frames, n);
	*came += ours;
	return n;
}

static void in(struct port *port, double pace, double *rate, double *worker, double *sent_cpu,
	double *lost)
{
	struct sender sender = {.pace = pace};
	struct timespec nap = {0, NAP_NS};
	pthread_t thread;
	uint64_t came = 0;
	unsigned empty = 0;
	if (pthread_create(&thread, NULL, send_all, &sender) != 0)
		fail("thread");
	double start = clock_of(CLOCK_MONOTONIC), cpu = clock_of(CLOCK_THREAD_CPUTIME_ID),
	       now = start;
	while (now < start + seconds) {
		for (unsigned i = 0; i < 64; i++) {
			empty = take(port, &came) != 0 ? 0 : empty + 1;
			if (empty > EMPTY)
				nanosleep(&nap, NULL);
		}
		now = clock_of(CLOCK_MONOTONIC);
	}
	cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
	*rate = (double)came / (now - start);
	*worker = pace > 0 ? cpu / (now - start) : cpu / (double)came;
	__atomic_store_n(&sender.stop, 1, __ATOMIC_RELAXED);
	for (empty = 0; empty < 2000;) { // to the last one
		empty = take(port, &came) != 0 ? 0 : empty + 1;
		if (empty != 0)
			nanosleep(&nap, NULL);
	}
	pthread_join(thread, NULL);
	while (take(port, &came) != 0)
		;
	*sent_cpu = sender.cpu / (double)sender.sent;
	*lost = 1 - (double)came / (double)sender.sent;
}

static void out(struct port *port, double *rate, double *worker, double *refused)
{
	double start = clock_of(CLOCK_MONOTONIC), cpu = clock_of(CLOCK_THREAD_CPUTIME_ID),
	       now = start;
	uint64_t offered = 0, taken = 0;
	uint8_t frame[2048];
	make_frame(frame);
	for (; now < start + seconds; now = clock_of(CLOCK_MONOTONIC)) {
		struct rte_mbuf *frames[BURST];
		if (rte_pktmbuf_alloc_bulk(pool, frames, BURST) != 0)
			continue;
		for (unsigned i = 0; i < BURST; i++)
			memcpy(rte_pktmbuf_append(frames[i], (uint16_t)size), frame, size);
		uint16_t n = port->tx(port, 0, frames, BURST);
		rte_pktmbuf_free_bulk(frames + n, BURST - n);
		offered += BURST;
		taken += n;
	}
	*rate = (double)taken / (now - start);
	*worker = (clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu) / (double)taken;
	*refused = 1 - (double)taken / (double)offered;
}

static void measure(int kind, unsigned round)
{
	struct device_config config = {.name = "bench",
		.device = kind == AF_PACKET_PMD ? VDEV : "vb",
		.netns = "",
		.index = kind == XDP,
		.mode = kind == XDP ? DEVICE_XDP_WHOLE : DEVICE_AUTO,
		.opener = opener,
		.buffer_size = 2048,
		.workers = 1,
		.pool = pool};
	struct device_error error;
	struct port *port;
	double unused[2], *r[FIGURES];
	for (unsigned f = 0; f < FIGURES; f++)
		r[f] = &result[kind][f][round];
	if (kind == AF_PACKET_PMD && rte_eal_hotplug_add("vdev", VDEV, RING) != 0)
		fail(VDEV);
	if (device_open(&config, &port, &error) != 0) {
		fprintf(stderr, "%s: %s\n", kind_names[kind], error.text);
		exit(1);
	}
	in(port, 0, r[IN_RATE], r[IN_WORKER], r[IN_SENDER], r[IN_LOST]);
	in(port, PACE, &unused[0], r[PACED_WORKER], &unused[1], r[PACED_LOST]);
	out(port, r[OUT_RATE], r[OUT_WORKER], r[OUT_REFUSED]);
	port->kind->close(port);
	if (kind == AF_PACKET_PMD)
		rte_eal_hotplug_remove("vdev", VDEV);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void print(void)
{
	printf("%u bytes, %u rounds of %.1f s\n\n| figure | %s | %s | %s |\n|---|---|---|---|\n",
		size, rounds, seconds, kind_names[0], kind_names[1], kind_names[2]);
	for (unsigned f = 0; f < FIGURES; f++) {
		printf("| %s", figures[f].name);
		for (unsigned k = 0; k < KINDS; k++) {
			double *r = result[k][f], s = figures[f].scale;
			qsort(r, rounds, sizeof(*r), compare);
			printf(" | %.2f [%.2f..%.2f]", r[rounds / 2] * s, r[0] * s,
				r[rounds - 1] * s);
		}
		printf(" |\n");
	}
}

// --- the steering program ---

static void run_program(const struct steer *s, const char *what, const uint8_t *frame)
{
	double ns[MOST];
	for (unsigned round = 0; round < rounds; round++) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = 60,
			.repeat = 1000000);
		if (bpf_prog_test_run_opts(bpf_program__fd(s->progs.steer), &o) != 0)
			fail("BPF_PROG_TEST_RUN");
		ns[round] = o.duration;
	}
	qsort(ns, rounds, sizeof(*ns), compare);
	printf("the program, ns a frame: %s %.0f [%.0f..%.0f]\n", what, ns[rounds / 2], ns[0],
		ns[rounds - 1]);
}

// Alone, in the kernel's own loop: with a socket, an interface with tag 100, one to the core without.
static void measure_program(void)
{
	static const uint8_t head[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	static const uint8_t left[] = {0x81, 0, 0, 101}, tagged[] = {0x81, 0, 0, 100};
	static const uint8_t ipv4[] = {
		8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 47, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1};
	struct steer_address ours = {.family = 4, .bytes = {192, 0, 2, 1}};
	struct steer *s = steer__open_and_load();
	int ring = 64, fd = socket(AF_XDP, SOCK_RAW, 0);
	uint32_t key = 0, value = STEER_ADDRESSED;
	uint8_t frame[60] = {0};
	if (s == NULL || fd < 0 || setsockopt(fd, SOL_XDP, XDP_RX_RING, &ring, sizeof(ring)) != 0)
		fail("steering program");
	bpf_map_update_elem(bpf_map__fd(s->maps.sockets), &key, &fd, 0);
	bpf_map_update_elem(bpf_map__fd(s->maps.tags), &key, &value, 0);
	bpf_map_update_elem(bpf_map__fd(s->maps.addresses), &ours, &key, 0);
	key = 100;
	value = STEER_TAKE;
	bpf_map_update_elem(bpf_map__fd(s->maps.tags), &key, &value, 0);
	memcpy(frame, head, sizeof(head));
	memcpy(frame + 12, left, sizeof(left));
	run_program(s, "left to the kernel", frame);
	memcpy(frame + 12, tagged, sizeof(tagged));
	run_program(s, "taken by its tag", frame);
	memcpy(frame + 12, ipv4, sizeof(ipv4));
	run_program(s, "taken by its address", frame);
	close(fd);
	steer__destroy(s);
}

static void make_network(void)
{
	if (unshare(CLONE_NEWNET) != 0)
		fail("network namespace");
	if (system("ip link add va type veth peer name vb && for d in va vb; do"
		   " echo 1 >/proc/sys/net/ipv6/conf/$d/disable_ipv6 && ip link set $d up || exit "
		   "1; done") != 0)
		exit(1);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {{"size", required_argument, NULL, 's'},
		{"rounds", required_argument, NULL, 'r'}, {"seconds", required_argument, NULL, 't'},
		{0}};
	char *eal[] = {argv[0], "--no-huge", "--no-shconf", "-m", "96", "--no-pci",
		"--no-telemetry", "--log-level", "error", "-l", "0", NULL};
	cpu_set_t all;
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (c == 's')
			size = (unsigned)atoi(optarg);
		else if (c == 'r')
			rounds = (unsigned)atoi(optarg);
		else if (c == 't')
			seconds = atof(optarg);
		else
			return 2;
	}
	if (size < 60 || size > 1514 || rounds < 1 || rounds > MOST || seconds <= 0)
		return 2;
	make_network();
	static const struct opener_device devices[] = {
		{.name = "vb"}, {.name = "vb", .mode = DEVICE_XDP_WHOLE}};
	if (opener_start(devices, 2, &opener) != 0)
		return 1;
	sched_getaffinity(0, sizeof(all), &all);
	if (rte_eal_init(sizeof(eal) / sizeof(eal[0]) - 1, eal) < 0)
		return 1;
	sched_setaffinity(0, sizeof(all), &all); // which core is the scheduler's affair
	prctl(PR_SET_TIMERSLACK, 1000);
	pool = rte_pktmbuf_pool_create(
		"packets", 16383, 256, 0, RTE_PKTMBUF_HEADROOM + 2048, SOCKET_ID_ANY);
	if (pool == NULL)
		return 1;
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned k = 0; k < KINDS; k++)
			measure((int)(round + k) % KINDS, round);
	print();
	measure_program();
	return 0;
}
