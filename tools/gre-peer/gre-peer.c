// SPDX-License-Identifier: BSD-3-Clause
// gre-peer: the far end of a keyed GRE tunnel (RFC 2784, RFC 2890) for kernels without ip_gre.
//
// A TUN device on one side, a raw IP protocol 47 socket on the other. It stands for the gateway of a vNet in
// demos and tests and is the judge of what the data plane encapsulates: it shares no code with it and
// accepts nothing but the exact header it expects. Packets with another source, another key, no key, or
// with checksum or sequence bits are counted and thrown away; SIGUSR1 prints the counters.
//
//	gre-peer --tun NAME --local ADDRESS --remote ADDRESS --key KEY [--mtu BYTES]
//
// The device is left up, without an address. One thread, blocking I/O in poll(2), no configuration file.

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
#include <sys/uio.h>
#include <unistd.h>

#define GRE_KEY_PRESENT 0x2000 // flags and version word of a header with only a key
#define PROTOCOL_IPV4   0x0800
#define PROTOCOL_IPV6   0x86dd
#define PACKET_MAX      65536

struct gre_header {
	uint16_t flags;
	uint16_t protocol;
	uint32_t key;
};

struct peer {
	const char *name;
	struct in_addr local, remote;
	uint32_t key; // network order
	int mtu;
	int tun, raw;
	uint64_t sent, received, foreign_source, foreign_key, bad_header, send_errors;
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
	       " foreign_key=%" PRIu64 " bad_header=%" PRIu64 " send_errors=%" PRIu64 "\n",
		p->name, p->sent, p->received, p->foreign_source, p->foreign_key, p->bad_header,
		p->send_errors);
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
	setsockopt(p->raw, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	setsockopt(p->raw, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	return bind(p->raw, (struct sockaddr *)&address, sizeof(address));
}

static void tun_to_raw(struct peer *p, uint8_t *packet)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = p->remote};
	struct gre_header gre = {.flags = htons(GRE_KEY_PRESENT), .key = p->key};
	ssize_t n = read(p->tun, packet, PACKET_MAX);

	if (n < 1)
		return;
	gre.protocol = htons(packet[0] >> 4 == 6 ? PROTOCOL_IPV6 : PROTOCOL_IPV4);
	struct iovec iov[2] = {{&gre, sizeof(gre)}, {packet, (size_t)n}};
	struct msghdr message = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 2};
	if (sendmsg(p->raw, &message, 0) < 0)
		p->send_errors++;
	else
		p->sent++;
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
	if (write(p->tun, packet + outer, (size_t)n - outer) >= 0)
		p->received++;
	else
		p->send_errors++;
}

static int run(struct peer *p)
{
	static uint8_t packet[PACKET_MAX];
	struct pollfd fds[2] = {{.fd = p->tun, .events = POLLIN}, {.fd = p->raw, .events = POLLIN}};

	printf("gre-peer name=%s ready\n", p->name);
	fflush(stdout);
	while (!stop_requested) {
		if (report_requested) {
			report_requested = 0;
			report(p);
		}
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			perror("gre-peer: poll");
			return 1;
		}
		if (fds[0].revents & POLLIN)
			tun_to_raw(p, packet);
		if (fds[1].revents & POLLIN)
			raw_to_tun(p, packet);
	}
	report(p);
	return 0;
}

static int usage(FILE *to, int status)
{
	fprintf(to, "usage: gre-peer --tun NAME --local ADDRESS --remote ADDRESS --key KEY [--mtu BYTES]\n");
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
		fprintf(stderr, "gre-peer: cannot make TUN device %s: %s\n", p.name, strerror(errno));
		return 1;
	}
	if (open_raw(&p)) {
		fprintf(stderr, "gre-peer: cannot open a GRE socket: %s\n", strerror(errno));
		return 1;
	}
	return run(&p);
}
