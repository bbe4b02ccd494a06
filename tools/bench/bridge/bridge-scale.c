// SPDX-License-Identifier: BSD-3-Clause
// What a host interface costs the routing bridge, and what the rules of a shared namespace cost the kernel: N domains
// with one TAP, address, neighbor and data-plane queue each, in this machine's kernel, without BGP.
//
//	bridge-scale N [table|netns] [PREFIX]       default 2000 table bs
//
// Prints CPU time of the thread: all of it, and for one interface at the beginning and at the end (they are the same
// where nothing grows with the number). Then a second life on top of the first, as after `kill -9`; then the ports of all
// go down and up; then a lookup as the kernel makes it for each packet to and from the host. Needs root; makes and
// removes namespaces PREFIX-*.

#include "control/bridge/bridge.h"
#include "control/bridge/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

enum { FIRST = 100, EDGE = 100 }; // ids begin at FIRST; costs of the first and last EDGE

struct bench {
	struct event_base *base;
	struct bridge *bridge;
	unsigned int count;
	enum bridge_mode mode;
	const char *prefix;
	char run_dir[64];
	int *queue;
	unsigned int synced;
	double longest; // turn, ms
};

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void on_route(void *ctx, uint32_t domain, const struct bridge_route *route, bool present)
{
}

static void on_synced(void *ctx, uint32_t domain)
{
	((struct bench *)ctx)->synced++;
}

static void on_neighbor(
	void *ctx, uint32_t interface, const struct ip_address *address, const uint8_t *mac)
{
}

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bridge-scale: %s: %s\n", what, why);
	exit(1);
}

static void start(struct bench *bench)
{
	struct api_error error = {0};
	const struct bridge_options options = {
		.base = bench->base,
		.mode = bench->mode,
		.prefix = bench->prefix,
		.run_dir = bench->run_dir,
		.local_protocol = 67,
		.callbacks = {.ctx = bench,
			.route = on_route,
			.synced = on_synced,
			.neighbor = on_neighbor},
	};

	bench->synced = 0;
	if (bridge_create(&bench->bridge, &options, &error) != 0)
		fail("create", error.message);
}

// Two addresses of a /30 of 10.0.0.0/8 each: ours and the customer's.
static struct ip_address address_of(unsigned int i, uint8_t host)
{
	uint32_t value = 10u << 24 | i << 2 | host;
	struct ip_address address = {.family = 4};

	for (unsigned int b = 0; b < 4; b++)
		address.bytes[b] = (uint8_t)(value >> (24 - 8 * b));
	return address;
}

static void set_domain(struct bench *bench, unsigned int i)
{
	struct api_error error = {0};
	char name[32];

	snprintf(name, sizeof(name), "d%u", i);
	if (bridge_domain_set(bench->bridge, &(struct bridge_domain){FIRST + i, name}, &error) != 0)
		fail(name, error.message);
}

static void set_interface(struct bench *bench, unsigned int i)
{
	char name[16];
	struct bridge_interface interface = {
		.id = FIRST + i,
		.domain = FIRST + i,
		.name = name,
		.mac = {2, 0, 0, 0, 0, 1},
		.mtu = 1500,
		.addresses = 1,
		.address[0] = {address_of(i, 2), 30},
	};
	struct api_error error = {0};

	snprintf(name, sizeof(name), "cv%u", FIRST + i);
	if (bridge_interface_set(bench->bridge, &interface, &error) != 0)
		fail(name, error.message);
}

static void set_neighbor(struct bench *bench, unsigned int i)
{
	struct ip_address remote = address_of(i, 1);
	int err = bridge_neighbor_set(bench->bridge, FIRST + i, &remote);

	if (err != 0)
		fail("neighbor", strerror(-err));
}

static void take_queue(struct bench *bench, unsigned int i)
{
	struct api_error error = {0};
	int old = bench->queue[i];

	if (bridge_interface_queue(bench->bridge, FIRST + i, &bench->queue[i], &error) != 0)
		fail("queue", error.message);
	if (old >= 0)
		close(old);
}

static void carrier_down(struct bench *bench, unsigned int i)
{
	bridge_interface_carrier(bench->bridge, FIRST + i, false);
}

static void carrier_up(struct bench *bench, unsigned int i)
{
	bridge_interface_carrier(bench->bridge, FIRST + i, true);
}

static void each(struct bench *bench, const char *what, void (*step)(struct bench *, unsigned int))
{
	double before = cpu_ms(), wall = wall_ms(), first = 0, last = 0;

	for (unsigned int i = 0; i < bench->count; i++) {
		if (i == EDGE)
			first = cpu_ms() - before;
		if (i == bench->count - EDGE)
			last = cpu_ms();
		step(bench, i);
	}
	double end = cpu_ms();
	printf("%-12s %9.1f ms cpu %9.1f ms   each: first %7.1f us, last %7.1f us\n", what,
		end - before, wall_ms() - wall, first * 1e3 / EDGE, (end - last) * 1e3 / EDGE);
	fflush(stdout);
}

// Turns of the loop until every domain is synced and the loop has had nothing to do for half a second.
static void settle(struct bench *bench, const char *what)
{
	double before = cpu_ms(), wall = wall_ms(), quiet = wall_ms(), longest = 0;

	while (bench->synced < bench->count || wall_ms() - quiet < 500) {
		double turn = cpu_ms();
		event_base_loop(bench->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		turn = cpu_ms() - turn;
		longest = turn > longest ? turn : longest;
		if (turn > 0.1)
			quiet = wall_ms();
		else
			usleep(1000);
		if (wall_ms() - wall > 300000)
			fail(what, "not settled within five minutes");
	}
	printf("%-12s %9.1f ms cpu %9.1f ms   longest turn %.2f ms\n", what, cpu_ms() - before,
		wall_ms() - wall - 500, longest);
	fflush(stdout);
}

static void enter(const struct bench *bench, unsigned int i)
{
	char path[128];

	snprintf(path, sizeof(path), "/run/netns/%s-%s%.0u", bench->prefix,
		bench->mode == BRIDGE_TABLE ? "domains" : "d", i);
	if (bench->mode != BRIDGE_TABLE)
		snprintf(path, sizeof(path), "/run/netns/%s-d%u", bench->prefix, i);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		fail(path, strerror(errno));
	close(fd);
}

// The kernel's own lookup, asked for over netlink: from one of our addresses to a host behind that customer.
static double lookup_us(struct netlink *netlink, unsigned int i, unsigned int times)
{
	struct rtmsg rtm = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_src_len = 32};
	struct ip_address from = address_of(i, 2), to = address_of(i, 1);
	double before = cpu_ms();
	int err = 0;

	for (unsigned int n = 0; n < times && err == 0; n++) {
		struct netlink_message message;
		struct nlmsghdr *request =
			netlink_begin(&message, RTM_GETROUTE, 0, &rtm, sizeof(rtm));
		netlink_put_address(request, RTA_DST, &to);
		netlink_put_address(request, RTA_SRC, &from);
		err = netlink_request(netlink, request);
	}
	if (err != 0)
		fail("lookup", strerror(-err));
	return (cpu_ms() - before) * 1e3 / times;
}

static void lookups(struct bench *bench)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct netlink netlink;

	enter(bench, 0);
	if (netlink_open(&netlink, 0) != 0)
		fail("netlink", strerror(errno));
	printf("lookup       first %.2f us", lookup_us(&netlink, 0, 2000));
	if (bench->mode == BRIDGE_TABLE)
		printf(", middle %.2f us, last %.2f us (netlink's own way included)",
			lookup_us(&netlink, bench->count / 2, 2000),
			lookup_us(&netlink, bench->count - 1, 2000));
	printf("\n");
	netlink_close(&netlink);
	if (setns(home, CLONE_NEWNET) != 0)
		fail("setns", strerror(errno));
	close(home);
}

static void life(struct bench *bench, const char *title)
{
	double wall = wall_ms();

	printf("--- %s\n", title);
	start(bench);
	each(bench, "domain", set_domain);
	each(bench, "interface", set_interface);
	each(bench, "neighbor", set_neighbor);
	each(bench, "queue", take_queue);
	settle(bench, "settle");
	printf("%-12s %33.1f ms\n", "all", wall_ms() - wall);
}

int main(int argc, char **argv)
{
	struct bench bench = {.count = argc > 1 ? (unsigned int)atoi(argv[1]) : 2000,
		.mode = argc > 2 && strcmp(argv[2], "netns") == 0 ? BRIDGE_NETNS : BRIDGE_TABLE,
		.prefix = argc > 3 ? argv[3] : "bs"};

	if (bench.count < 2 * EDGE)
		fail("N", "at least 200");
	snprintf(bench.run_dir, sizeof(bench.run_dir), "/run/bridge-scale-%s", bench.prefix);
	mkdir(bench.run_dir, 0700);
	bench.base = event_base_new();
	bench.queue = malloc(bench.count * sizeof(int));
	if (bench.base == NULL || bench.queue == NULL)
		fail("start", "no memory");
	for (unsigned int i = 0; i < bench.count; i++)
		bench.queue[i] = -1;
	life(&bench, "first start");
	lookups(&bench);
	bridge_destroy(bench.bridge); // the kernel keeps everything, as after kill -9
	life(&bench, "started again");
	printf("--- ports\n");
	each(&bench, "down", carrier_down);
	settle(&bench, "settle");
	each(&bench, "up", carrier_up);
	settle(&bench, "settle");
	printf("--- the end\n");
	double before = cpu_ms();
	for (unsigned int i = 0; i < bench.count; i++)
		bridge_domain_delete(bench.bridge, FIRST + i);
	printf("%-12s %9.1f ms cpu\n", "delete", cpu_ms() - before);
	bridge_destroy(bench.bridge);
	event_base_free(bench.base);
	return 0;
}
