// SPDX-License-Identifier: BSD-3-Clause
// Says to whoever is on the wire where our addresses are: an ARP announcement (RFC 5227, 3) for each of IPv4, an
// unsolicited neighbor advertisement (RFC 4861, 7.2.6) for each of IPv6. Routers and switches there replace what they
// remember of an earlier place at once instead of sending into it until they ask again. The kernel could do it itself
// (arp_notify, ndisc_notify), but only when a device comes up or gets a MAC, which is before the data plane reads its queue,
// and not when the port or the tags change.

#include "control/bridge/presence.h"

#include "control/bridge/state.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>

struct arp_announcement {
	struct ether_header ethernet;
	struct ether_arp arp;
} __attribute__((packed));

struct advertisement {
	struct ether_header ethernet;
	struct ip6_hdr ip;
	struct nd_neighbor_advert body;
	struct nd_opt_hdr option;
	uint8_t mac[6];
} __attribute__((packed));

enum { ADVERTISEMENT_BYTES = sizeof(struct advertisement) - offsetof(struct advertisement, body) };

int presence_open(void)
{
	int fd = socket(
		AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); // 0: it hears nothing

	return fd < 0 ? -errno : fd;
}

static void send_frame(const struct host_interface *interface, const void *frame, size_t bytes)
{
	const struct ether_header *ethernet = frame;
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = ethernet->ether_type,
		.sll_ifindex = (int)interface->ifindex,
		.sll_halen = 6,
	};

	memcpy(to.sll_addr, ethernet->ether_dhost, 6);
	// Down, or full: it is said again when it comes up, and what is asked is answered anyway.
	(void)!sendto(interface->domain->space->packets, frame, bytes, 0, (struct sockaddr *)&to,
		sizeof(to));
}

static void say4(const struct host_interface *interface, const struct ip_address *address)
{
	const uint8_t *mac = interface->declared.mac;
	struct arp_announcement frame = {
		.ethernet.ether_type = htons(ETHERTYPE_ARP),
		.arp.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
			.ar_pro = htons(ETHERTYPE_IP),
			.ar_hln = 6,
			.ar_pln = 4,
			.ar_op = htons(ARPOP_REQUEST)},
	};

	memset(frame.ethernet.ether_dhost, 0xff, 6);
	memcpy(frame.ethernet.ether_shost, mac, 6);
	memcpy(frame.arp.arp_sha, mac, 6);
	memcpy(frame.arp.arp_spa, address->bytes, 4);
	memcpy(frame.arp.arp_tpa, address->bytes, 4);
	send_frame(interface, &frame, sizeof(frame));
}

static uint16_t checksum(const struct advertisement *frame)
{
	const uint8_t *part[] = {
		(const uint8_t *)&frame->ip.ip6_src, (const uint8_t *)&frame->body};
	const size_t bytes[] = {32, ADVERTISEMENT_BYTES};
	uint32_t sum = ADVERTISEMENT_BYTES + IPPROTO_ICMPV6; // RFC 8200, 8.1

	for (unsigned int p = 0; p < 2; p++)
		for (size_t i = 0; i < bytes[p]; i += 2)
			sum += (uint32_t)part[p][i] << 8 | part[p][i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void say6(const struct host_interface *interface, const struct ip_address *address)
{
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	const uint8_t *mac = interface->declared.mac;
	struct advertisement frame = {
		.ethernet.ether_type = htons(ETHERTYPE_IPV6),
		.ip.ip6_flow = htonl(6u << 28),
		.ip.ip6_plen = htons(ADVERTISEMENT_BYTES),
		.ip.ip6_nxt = IPPROTO_ICMPV6,
		.ip.ip6_hlim = 255,
		.body.nd_na_type = ND_NEIGHBOR_ADVERT,
		.body.nd_na_flags_reserved = ND_NA_FLAG_ROUTER | ND_NA_FLAG_OVERRIDE,
		.option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1},
	};

	memcpy(frame.ethernet.ether_dhost, all_nodes_mac, 6);
	memcpy(frame.ethernet.ether_shost, mac, 6);
	memcpy(&frame.ip.ip6_src, address->bytes, 16);
	memcpy(&frame.ip.ip6_dst, all_nodes, 16);
	memcpy(&frame.body.nd_na_target, address->bytes, 16);
	memcpy(frame.mac, mac, 6);
	frame.body.nd_na_cksum = checksum(&frame);
	send_frame(interface, &frame, sizeof(frame));
}

void presence_say(const struct host_interface *interface)
{
	const struct bridge_interface *declared = &interface->declared;

	if (declared->tun || interface->ifindex == 0 || interface->domain->space->packets < 0)
		return;
	for (unsigned int i = 0; i < declared->addresses; i++)
		(declared->address[i].address.family == 6 ? say6 : say4)(
			interface, &declared->address[i].address);
}
