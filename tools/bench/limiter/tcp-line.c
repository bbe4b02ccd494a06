// SPDX-License-Identifier: BSD-3-Clause
// A line between two network namespaces: TUN devices at its ends, a delay each way, and the real
// limiter in the direction from the first to the second. It shows what real TCP makes of a
// contract, on a kernel without netem.
//
//   tcp-line NAMESPACE NAMESPACE bit/s burst_ms queue_ms delay_us
//
// queue_ms 0 polices. The devices are named `line`; addresses are the caller's
// (tools/bench/limiter/tcp). Ends with SIGTERM and prints what passed and what was dropped.

#include "dataplane/tables/limiter.h"
#include "dataplane/tables/limiter_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define ROOM 65536u // packets under way each way
#define MTU  1600u

struct packet {
	uint64_t due; // ticks
	uint16_t length;
	uint8_t data[MTU];
};

struct direction {
	int from, to;
	struct packet *ring;
	uint32_t head, tail;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = 1;
}

static int open_tun(const char *namespace)
{
	struct ifreq request = {.ifr_name = "line", .ifr_flags = IFF_TUN | IFF_NO_PI};
	char path[256];
	int net, tun;

	snprintf(path, sizeof(path), "/var/run/netns/%s", namespace);
	net = open(path, O_RDONLY | O_CLOEXEC);
	if (net < 0 || setns(net, CLONE_NEWNET)) {
		perror(path);
		exit(1);
	}
	close(net);
	tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &request)) {
		perror("/dev/net/tun");
		exit(1);
	}
	return tun;
}

struct contract {
	struct stats_limiter_word word;
	struct stats_limiter_part part;
};

// True: goes on, at *due.
static bool judge(
	struct contract *c, const uint8_t *ip, uint16_t length, uint64_t tsc, uint64_t *due)
{
	uint64_t departure, now = limiter_units(tsc);

	if (!limiter_shape(&c->word, &c->part, now, &length, ip[1] >> 2 == 46, 1, &departure))
		return false;
	*due = (int64_t)(departure - now) > 0 ? departure >> LIMITER_UNIT_SHIFT : tsc;
	return true;
}

static void take_in(struct direction *d, struct contract *c, uint64_t delay)
{
	while (d->tail - d->head < ROOM) {
		struct packet *p = &d->ring[d->tail % ROOM];
		ssize_t n = read(d->from, p->data, MTU);
		uint64_t now = __rdtsc();

		if (n <= 0)
			return;
		p->length = (uint16_t)n;
		p->due = now;
		if (c && p->data[0] >> 4 == 4 && !judge(c, p->data, p->length, now, &p->due))
			continue;
		p->due += delay;
		d->tail++;
	}
}

static void send_out(struct direction *d)
{
	while (d->head != d->tail) {
		struct packet *p = &d->ring[d->head % ROOM];

		if ((int64_t)(p->due - __rdtsc()) > 0)
			return;
		if (write(d->to, p->data, p->length) < 0 && errno == EAGAIN)
			return;
		d->head++;
	}
}

static void run(struct direction *d, struct contract *c, uint64_t delay, uint64_t hz)
{
	struct pollfd fds[2] = {
		{.fd = d[0].from, .events = POLLIN}, {.fd = d[1].from, .events = POLLIN}};

	while (!stop) {
		uint64_t now = __rdtsc(), next = now + hz / 100;
		struct timespec wait = {0, 0};

		take_in(&d[0], c, delay);
		take_in(&d[1], NULL, delay);
		for (unsigned i = 0; i < 2; i++) {
			send_out(&d[i]);
			if (d[i].head != d[i].tail &&
				(int64_t)(d[i].ring[d[i].head % ROOM].due - next) < 0)
				next = d[i].ring[d[i].head % ROOM].due;
		}
		now = __rdtsc();
		if ((int64_t)(next - now) > 0)
			wait.tv_nsec = (long)((double)(next - now) * 1e9 / (double)hz);
		ppoll(fds, 2, &wait, NULL);
	}
}

int main(int argc, char **argv)
{
	static struct contract c;
	struct wire_limiter r = {.uid = 1, .limiter = 1};
	struct limiter_clock clock = {0};
	struct direction d[2] = {0};
	struct sigaction action = {.sa_handler = on_signal};
	const char *why;

	if (argc != 7 || limiter_clock_start(&clock, 50000000))
		return 2;
	r.rate = strtoull(argv[3], NULL, 10);
	r.burst = r.rate / 8000 * strtoull(argv[4], NULL, 10);
	r.ramp = wire_ramp_default(r.rate);
	r.ef_rate = r.rate / 5;
	r.queue = strtoull(argv[5], NULL, 10) * 1000000;
	r.flags = r.queue ? WIRE_LIMITER_SHAPE : 0;
	if (limiter_check(&r, &why)) {
		fprintf(stderr, "tcp-line: %s\n", why);
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	for (unsigned i = 0; i < 2; i++) {
		d[i].from = open_tun(argv[1 + i]);
		d[i].ring = calloc(ROOM, sizeof(*d[i].ring));
		if (!d[i].ring)
			return 1;
	}
	d[0].to = d[1].from;
	d[1].to = d[0].from;
	limiter_take_up(&c.word, &r, clock.hz, 1, limiter_units(__rdtsc()), false);
	printf("ready\n");
	fflush(stdout);
	run(d, &c, clock.hz / 1000000 * strtoull(argv[6], NULL, 10), clock.hz);
	printf("passed %llu limited %llu packets (%.2f %%), EF %llu limited %llu\n",
		(unsigned long long)c.part.count.passed[0].packets,
		(unsigned long long)c.part.count.limited[0].packets,
		100.0 * (double)c.part.count.limited[0].packets /
			(double)(c.part.count.passed[0].packets + c.part.count.limited[0].packets +
				 1),
		(unsigned long long)c.part.count.passed[1].packets,
		(unsigned long long)c.part.count.limited[1].packets);
	return 0;
}
