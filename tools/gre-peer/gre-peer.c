// SPDX-License-Identifier: BSD-3-Clause
// gre-peer: the far end of a keyed GRE tunnel (RFC 2784, RFC 2890) for kernels without ip_gre.
//
// A TUN device on one side, a raw IP protocol 47 socket on the other. It stands for the gateway of a vNet in
// demos and tests and is the judge of what the data plane encapsulates: it shares no code with it and
// accepts nothing but the exact header it expects. Packets with another source, another key, no key, or
// with checksum or sequence bits are counted and thrown away; SIGUSR1 prints the counters.
//
//	gre-peer --tun NAME --local ADDRESS --remote ADDRESS --key KEY [--mtu BYTES] [--delay MS]
//
// The device is left up, without an address. One thread, blocking I/O in poll(2), no configuration file.
// --delay makes the path longer, MS in each direction, for kernels without netem: packets wait in a ring of
// SLOTS a direction, and what finds it full is thrown away and counted as delay_full, so memory is bounded. The
// delay is one and the same, so the oldest packet is always the next, and one timer serves both directions.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/ip.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define GRE_KEY_PRESENT 0x2000 // flags and version word of a header with only a key
#define PROTOCOL_IPV4   0x0800
#define PROTOCOL_IPV6   0x86dd
#define PACKET_MAX      65536
#define SLOTS           4096 // waiting packets a direction: 100 ms of 490 Mb/s in full ones
#define SLOT_BYTES      9728 // largest of them; pages that were never used cost nothing

struct gre_header {
	uint16_t flags;
	uint16_t protocol;
	uint32_t key;
};

struct slot {
	uint64_t due; // CLOCK_MONOTONIC ns
	uint32_t length;
	uint8_t packet[SLOT_BYTES];
};

struct ring {
	struct slot *slot;
	uint32_t head, tail; // tail - head packets wait
};

struct peer {
	const char *name;
	struct in_addr local, remote;
	uint32_t key; // network order
	int mtu;
	int tun, raw, timer;
	uint64_t delay; // ns in each direction
	struct ring to_raw, to_tun;
	uint64_t sent, received, foreign_source, foreign_key, bad_header, send_errors, delay_full;
};

static volatile sig_atomic_t stop_requested, report_requested;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		report_requested = 1;
	else
		stop_requested = 1;
}

static void report(const struct peer *p)
{
	printf("gre-peer name=%s sent=%" PRIu64 " received=%" PRIu64 " foreign_source=%" PRIu64
	       " foreign_key=%" PRIu64 " bad_header=%" PRIu64 " send_errors=%" PRIu64
	       " delay_full=%" PRIu64 "\n",
		p->name, p->sent, p->received, p->foreign_source, p->foreign_key, p->bad_header,
		p->send_errors, p->delay_full);
	fflush(stdout);
}

static int open_tun(struct peer *p)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int control, rc = -1;

	p->tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (p->tun < 0)
		return -1;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", p->name);
	if (ioctl(p->tun, TUNSETIFF, &ifr) < 0)
		return -1;
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (control < 0)
		return -1;
	ifr.ifr_mtu = p->mtu;
	if (ioctl(control, SIOCSIFMTU, &ifr) < 0)
		goto out;
	if (ioctl(control, SIOCGIFFLAGS, &ifr) < 0)
		goto out;
	ifr.ifr_flags |= IFF_UP;
	rc = ioctl(control, SIOCSIFFLAGS, &ifr);
out:
	close(control);
	return rc;
}

static int open_raw(struct peer *p)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = p->local};
	int big = 4 << 20;

	p->raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_GRE);
	if (p->raw < 0)
		return -1;
	// past net.core.rmem_max: what is lost here would look like a loss of the edge
	setsockopt(p->raw, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	setsockopt(p->raw, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
	return bind(p->raw, (struct sockaddr *)&address, sizeof(address));
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int create_delay(struct peer *p)
{
	p->to_raw.slot = calloc(SLOTS, sizeof(struct slot));
	p->to_tun.slot = calloc(SLOTS, sizeof(struct slot));
	p->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return p->to_raw.slot && p->to_tun.slot && p->timer >= 0 ? 0 : -1;
}

static void hold(struct peer *p, struct ring *ring, const uint8_t *packet, size_t length)
{
	struct slot *slot = &ring->slot[ring->tail % SLOTS];

	if (ring->tail - ring->head == SLOTS || length > SLOT_BYTES) {
		p->delay_full++;
		return;
	}
	slot->due = now_ns() + p->delay;
	slot->length = (uint32_t)length;
	memcpy(slot->packet, packet, length);
	ring->tail++;
}

static void send_raw(struct peer *p, uint8_t *packet, size_t n)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = p->remote};
	struct gre_header gre = {.flags = htons(GRE_KEY_PRESENT), .key = p->key};

	gre.protocol = htons(packet[0] >> 4 == 6 ? PROTOCOL_IPV6 : PROTOCOL_IPV4);
	struct iovec iov[2] = {{&gre, sizeof(gre)}, {packet, n}};
	struct msghdr message = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 2};
	if (sendmsg(p->raw, &message, 0) < 0)
		p->send_errors++;
	else
		p->sent++;
}

static void send_tun(struct peer *p, const uint8_t *packet, size_t n)
{
	if (write(p->tun, packet, n) >= 0)
		p->received++;
	else
		p->send_errors++;
}

static void tun_to_raw(struct peer *p, uint8_t *packet)
{
	ssize_t n = read(p->tun, packet, PACKET_MAX);

	if (n < 1)
		return;
	if (p->delay != 0)
		hold(p, &p->to_raw, packet, (size_t)n);
	else
		send_raw(p, packet, (size_t)n);
}

static void raw_to_tun(struct peer *p, uint8_t *packet)
{
	ssize_t n = recv(p->raw, packet, PACKET_MAX, 0);
	const struct iphdr *ip = (const struct iphdr *)packet;
	struct gre_header gre;
	size_t outer;

	if (n < (ssize_t)sizeof(*ip))
		return;
	outer = (size_t)ip->ihl * 4;
	if (ip->saddr != p->remote.s_addr) {
		p->foreign_source++;
		return;
	}
	if ((size_t)n < outer + sizeof(gre) + sizeof(*ip)) {
		p->bad_header++;
		return;
	}
	memcpy(&gre, packet + outer, sizeof(gre));
	if (gre.flags != htons(GRE_KEY_PRESENT) ||
		(gre.protocol != htons(PROTOCOL_IPV4) && gre.protocol != htons(PROTOCOL_IPV6))) {
		p->bad_header++;
		return;
	}
	if (gre.key != p->key) {
		p->foreign_key++;
		return;
	}
	outer += sizeof(gre);
	if (p->delay != 0)
		hold(p, &p->to_tun, packet + outer, (size_t)n - outer);
	else
		send_tun(p, packet + outer, (size_t)n - outer);
}

// Sends what is due and sets the timer for what comes next.
static void release(struct peer *p)
{
	uint64_t now = now_ns(), next = UINT64_MAX;
	struct ring *rings[2] = {&p->to_raw, &p->to_tun};

	for (int i = 0; i < 2; i++) {
		struct ring *ring = rings[i];

		for (; ring->head != ring->tail; ring->head++) {
			struct slot *slot = &ring->slot[ring->head % SLOTS];

			if (slot->due > now) {
				next = slot->due < next ? slot->due : next;
				break;
			}
			if (ring == &p->to_raw)
				send_raw(p, slot->packet, slot->length);
			else
				send_tun(p, slot->packet, slot->length);
		}
	}
	struct itimerspec when = {0};
	if (next != UINT64_MAX)
		when.it_value =
			(struct timespec){(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
	timerfd_settime(p->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static int run(struct peer *p)
{
	static uint8_t packet[PACKET_MAX];
	struct pollfd fds[3] = {{.fd = p->tun, .events = POLLIN}, {.fd = p->raw, .events = POLLIN},
		{.fd = p->delay != 0 ? p->timer : -1, .events = POLLIN}};

	printf("gre-peer name=%s ready\n", p->name);
	fflush(stdout);
	while (!stop_requested) {
		if (report_requested) {
			report_requested = 0;
			report(p);
		}
		if (poll(fds, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			perror("gre-peer: poll");
			return 1;
		}
		if (fds[0].revents & POLLIN)
			tun_to_raw(p, packet);
		if (fds[1].revents & POLLIN)
			raw_to_tun(p, packet);
		if (p->delay != 0)
			release(p);
	}
	report(p);
	return 0;
}

static int usage(FILE *to, int status)
{
	fprintf(to, "usage: gre-peer --tun NAME --local ADDRESS --remote ADDRESS --key KEY [--mtu "
		    "BYTES] "
		    "[--delay MS]\n");
	return status;
}

static int number(const char *text, uint32_t *value)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || n > UINT32_MAX)
		return -1;
	*value = (uint32_t)n;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"tun", required_argument, NULL, 't'},
		{"local", required_argument, NULL, 'l'},
		{"remote", required_argument, NULL, 'r'},
		{"key", required_argument, NULL, 'k'},
		{"mtu", required_argument, NULL, 'm'},
		{"delay", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct peer p = {.mtu = 1472};
	struct sigaction action = {.sa_handler = on_signal};
	uint32_t value;
	int option, have_key = 0;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 't':
			p.name = optarg;
			break;
		case 'l':
			if (inet_pton(AF_INET, optarg, &p.local) != 1)
				return usage(stderr, 2);
			break;
		case 'r':
			if (inet_pton(AF_INET, optarg, &p.remote) != 1)
				return usage(stderr, 2);
			break;
		case 'k':
			if (number(optarg, &value))
				return usage(stderr, 2);
			p.key = htonl(value);
			have_key = 1;
			break;
		case 'm':
			if (number(optarg, &value) || value < 576 || value > 9600)
				return usage(stderr, 2);
			p.mtu = (int)value;
			break;
		case 'd':
			if (number(optarg, &value) || value > 1000)
				return usage(stderr, 2);
			p.delay = (uint64_t)value * 1000000;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (!p.name || !p.local.s_addr || !p.remote.s_addr || !have_key || optind != argc)
		return usage(stderr, 2);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	if (open_tun(&p)) {
		fprintf(stderr, "gre-peer: cannot make TUN device %s: %s\n", p.name,
			strerror(errno));
		return 1;
	}
	if (open_raw(&p)) {
		fprintf(stderr, "gre-peer: cannot open a GRE socket: %s\n", strerror(errno));
		return 1;
	}
	if (p.delay != 0 && create_delay(&p)) {
		fprintf(stderr, "gre-peer: cannot make the delay: %s\n", strerror(errno));
		return 1;
	}
	return run(&p);
}
