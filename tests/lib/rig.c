// SPDX-License-Identifier: BSD-3-Clause

// The rig: fake ports, an anonymous stats segment, the real data plane and the real host path.

#include "tests/lib/rig.h"

#include "dataplane/tables/interface.h"

#include <rte_eal.h>
#include <rte_mbuf.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BUFFERS   4095u
#define DATA_ROOM (RTE_PKTMBUF_HEADROOM + 9728u)

uint64_t rig_now;
static struct rte_mempool *pool;

void rig_eal(void)
{
	char prefix[32];
	snprintf(prefix, sizeof(prefix), "packet%d", getpid());
	char *argv[] = {"packet-test", "--no-huge", "--no-shconf", "-m", "96", "--no-pci",
		"--no-telemetry", "--file-prefix", prefix, "--log-level", "error", "-l", "0", NULL};
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0]) - 1), argv) < 0) {
		fprintf(stderr, "EAL does not start\n");
		exit(2);
	}
	pool = rte_pktmbuf_pool_create("packets", BUFFERS, 0, 0, DATA_ROOM, 0);
	if (pool == NULL) {
		fprintf(stderr, "no memory for packet buffers\n");
		exit(2);
	}
}

static uint64_t clock_now(void)
{
	return rig_now;
}

static uint16_t port_rx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct rig_port *p = port->driver;
	n = (uint16_t)RTE_MIN((unsigned)n, p->in_count);
	memcpy(frames, p->in, n * sizeof(p->in[0]));
	p->in_count -= n;
	memmove(p->in, p->in + n, p->in_count * sizeof(p->in[0]));
	return n;
}

static uint16_t port_tx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct rig_port *p = port->driver;
	n = (uint16_t)RTE_MIN((unsigned)n, RTE_MIN(p->room, RIG_QUEUE - p->out_count));
	memcpy(p->out + p->out_count, frames, n * sizeof(frames[0]));
	p->out_count += n;
	return n;
}

static void add_port(struct rig *rig, unsigned index, uint8_t tpid)
{
	struct rig_port *p = &rig->port[index];
	p->room = RIG_QUEUE;
	p->port = (struct port){
		.rx = port_rx,
		.tx = port_tx,
		.driver = p,
		.rx_queues = 1,
		.tx_queues = DATAPLANE_WORKERS,
		.mtu = 9600,
		.mac = {2, 0, 0, 0, 0, (uint8_t)(0x10 + index)},
		.outer_tpid = tpid,
		.up = 1,
	};
	assert_int_equal(dataplane_add_port(rig->dp, &p->port), 0);
}

void rig_open(struct rig *rig, const struct rig_config *config)
{
	struct rig_config c = {0};
	char note[256];
	if (config != NULL)
		c = *config;
	memset(rig, 0, sizeof(*rig));
	rig_now += RIG_HZ;
	const struct stats_config s = {
		.interfaces = c.interfaces != 0 ? c.interfaces : 256,
		.limiters = c.interfaces != 0 ? c.interfaces : 256,
		.workers = c.workers != 0 ? c.workers : 1,
		.hz = RIG_HZ,
		.instance = 1,
	};
	assert_int_equal(stats_open(&s, &rig->stats, note, sizeof(note)), 0);
	const struct dataplane_config d = {
		.vrfs = 1024,
		.neighbors = 1024,
		.paths = 1024,
		.groups = 4096,
		.locals = 1024,
		.fib_bytes = 64u << 20,
		.workers = s.workers,
		.hz = RIG_HZ,
		.clock = clock_now,
		.stats = rig->stats,
		.pool = pool,
	};
	assert_int_equal(dataplane_create(&d, &rig->dp), 0);
	for (unsigned i = 0; i < RIG_PORTS; i++)
		add_port(rig, i, c.tpid[i]);
	const struct host_config h = {.workers = s.workers, .hz = RIG_HZ, .pool = pool};
	if (!c.no_host)
		assert_int_equal(host_create(rig->dp, &h, &rig->host), 0);
	for (unsigned w = 0; w < s.workers; w++) {
		for (unsigned i = 0; w == 0 && i < RIG_PORTS; i++)
			assert_int_equal(worker_add_queue(rig->dp->worker[w], i, 0), 0);
		if (rig->host != NULL)
			worker_set_host(rig->dp->worker[w], host_queue(rig->host, w));
	}
	rig->available = rte_mempool_avail_count(pool);
}

void rig_close(struct rig *rig)
{
	rig_check(rig);
	host_destroy(rig->host);
	dataplane_destroy(rig->dp);
	stats_close(rig->stats);
	assert_int_equal(rte_mempool_avail_count(pool), rig->available);
}

void rig_send(struct rig *rig, unsigned port, const struct frame *f)
{
	struct rig_port *p = &rig->port[port];
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	assert_non_null(m);
	assert_true(p->in_count < RIG_QUEUE);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->length), f->data, f->length);
	p->in[p->in_count++] = m;
}

void rig_run(struct rig *rig)
{
	unsigned moved, rounds = 0;
	do {
		moved = 0;
		for (unsigned w = 0; w < rig->dp->workers; w++)
			moved += worker_turn(rig->dp->worker[w], rig_now);
		if (rig->host != NULL)
			moved += host_turn(rig->host, rig_now);
		dataplane_poll(rig->dp);
		assert_true(++rounds < 10000);
	} while (moved != 0);
}

bool rig_receive(struct rig *rig, unsigned port, struct frame *f)
{
	struct rig_port *p = &rig->port[port];
	if (p->out_count == 0)
		return false;
	struct rte_mbuf *m = p->out[0];
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->pkt_len, m->data_len);
	frame_bytes(f, rte_pktmbuf_mtod(m, void *), m->data_len);
	rte_pktmbuf_free(m);
	memmove(p->out, p->out + 1, --p->out_count * sizeof(p->out[0]));
	return true;
}

static void dump(const char *what, const struct frame *f)
{
	printf("%s, %u bytes:", what, f->length);
	for (unsigned i = 0; i < f->length && i < 160; i++)
		printf("%s%02x", i % 16 == 0 ? "\n  " : " ", f->data[i]);
	printf("\n");
}

static void compare(const struct frame *got, const struct frame *wanted)
{
	if (got->length == wanted->length && memcmp(got->data, wanted->data, got->length) == 0)
		return;
	dump("wanted", wanted);
	dump("got", got);
	fail_msg("not the frame that was wanted");
}

static void print_drops(struct rig *rig)
{
	static const char *const name[] = {
#define NAME(symbol, text, help) text,
		DROP_REASONS(NAME)};
	for (uint32_t slot = 0; slot < rig->stats->slots[STATS_INTERFACE]; slot++) {
		struct stats_interface hot;
		struct stats_sparse sparse;
		stats_sum_interface(rig->stats, slot, &hot, &sparse);
		for (unsigned r = 0; r < DROP_COUNT; r++) {
			if (sparse.drops[r] != 0)
				printf("slot %u dropped %lu: %s\n", slot,
					(unsigned long)sparse.drops[r], name[r]);
		}
	}
}

void rig_expect(struct rig *rig, unsigned port, const struct frame *f)
{
	static struct frame got;
	rig_run(rig);
	if (!rig_receive(rig, port, &got)) {
		print_drops(rig);
		fail_msg("nothing left by port %u", port);
	}
	compare(&got, f);
}

void rig_expect_nothing(struct rig *rig)
{
	rig_run(rig);
	for (unsigned i = 0; i < RIG_PORTS; i++) {
		static struct frame got;
		if (rig_receive(rig, i, &got)) {
			dump("left", &got);
			fail_msg("a frame left by port %u", i);
		}
	}
}

int rig_tap(struct rig *rig, uint32_t interface)
{
	int fd[2];
	uint32_t slot = interface_find(rig->dp, interface);
	const struct interface *i = interface_at(rig->dp, slot);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(
		host_set(rig->host, slot, i->generation, fd[0], i->kind == WIRE_INTERFACE_ETHERNET),
		0);
	return fd[1];
}

void rig_expect_tap(struct rig *rig, int fd, const struct frame *f)
{
	static struct frame got;
	static uint8_t bytes[FRAME_ROOM - 256];
	rig_run(rig);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	if (n <= 0) {
		print_drops(rig);
		fail_msg("nothing came to the host");
	}
	frame_bytes(&got, bytes, (unsigned)n);
	compare(&got, f);
}

static struct rig_counts counts_of(struct rig *rig, uint32_t slot)
{
	struct rig_counts c;
	assert_int_equal(stats_sum_interface(rig->stats, slot, &c.hot, &c.sparse), 0);
	return c;
}

struct rig_counts rig_counts(struct rig *rig, uint32_t interface)
{
	return counts_of(rig, interface_find(rig->dp, interface));
}

struct rig_counts rig_unclassified(struct rig *rig, unsigned port)
{
	return counts_of(rig, rig->port[port].port.unclassified);
}

void rig_expect_drop(struct rig *rig, uint32_t interface, enum drop_reason reason, uint64_t n)
{
	rig_run(rig);
	uint64_t got = rig_counts(rig, interface).sparse.drops[reason];
	if (got != n)
		print_drops(rig);
	assert_int_equal(got, n);
}

static uint64_t sum_drops(const struct stats_sparse *s)
{
	uint64_t sum = 0;
	for (unsigned r = 0; r < DROP_MAX; r++)
		sum += s->drops[r];
	return sum;
}

void rig_check(struct rig *rig)
{
	uint64_t out = 0, handed = 0, all_in = 0, all_fates = 0;
	static struct frame left;
	rig_run(rig);
	for (uint32_t slot = 0; slot < rig->stats->slots[STATS_INTERFACE]; slot++) {
		struct rig_counts c = counts_of(rig, slot);
		uint64_t in = c.hot.rx_packets + c.sparse.generated + c.sparse.reassembled;
		uint64_t fates = c.hot.forwarded + c.hot.to_host + c.hot.decapsulated +
				 c.sparse.consumed + c.sparse.fragments_consumed +
				 sum_drops(&c.sparse);
		if (in != fates && !rig->in_total) {
			print_drops(rig);
			fail_msg("slot %u: %lu came in, %lu are accounted for", slot,
				(unsigned long)in, (unsigned long)fates);
		}
		all_in += in;
		all_fates += fates;
		out += c.hot.tx_packets;
		for (unsigned i = 0; i < 4; i++)
			out += c.sparse.tx_drops[i];
		handed += c.hot.forwarded + c.hot.from_host + c.sparse.originated +
			  c.sparse.extra_fragments;
	}
	assert_int_equal(all_in, all_fates);
	assert_int_equal(out, handed);
	for (unsigned i = 0; i < RIG_PORTS; i++) {
		while (rig_receive(rig, i, &left)) {
		}
	}
	assert_int_equal(rte_mempool_avail_count(pool), rig->available);
}

uint64_t rig_seed(void)
{
	const char *text = getenv("CULVERT_SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0)
				     : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
	printf("CULVERT_SEED=%lu\n", (unsigned long)seed);
	fflush(stdout);
	return seed;
}

uint64_t rig_scale(uint64_t count)
{
	const char *text = getenv("CULVERT_LONG");
	uint64_t factor = text != NULL ? strtoull(text, NULL, 0) : 1;
	return text != NULL && factor == 1 ? count * 500 : count * factor;
}

uint64_t rig_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
