// SPDX-License-Identifier: BSD-3-Clause
// ICMP errors: time exceeded, fragmentation needed, packet too big, unreachable.
//
// RFC 1812 4.3.2 and RFC 4443 2.4 say when there must be none (about an ICMP error, a fragment but
// the first, a broadcast or multicast, a source that is not one host), how much of the packet to
// quote (the whole error at most 576 and 1280 bytes) and with which precedence (6). What is built
// here enters again at lookup of the VRF the packet came from, as if it had come in on that
// interface.

#include "dataplane/io/host_private.h"

#include <string.h>

#include <rte_ip.h>

#define ICMP4_MAX    576u
#define ICMP6_MAX    1280u
#define TTL          64
#define PRECEDENCE_6 0xc0 // of TOS and traffic class: internetwork control

struct verdict {
	uint8_t type4, code4, type6, code6;
};

static const struct verdict verdicts[] = {
	[HOST_TTL] = {11, 0, 3, 0},
	[HOST_TOO_BIG] = {3, 4, 2, 0},
	[HOST_NO_ROUTE] = {3, 0, 1, 0},
	[HOST_UNREACHABLE] = {3, 1, 1, 3},
	[HOST_PROHIBITED] = {3, 13, 1, 1},
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

// An address that is one host: the only kind an error may go to.
static bool unicast4(const uint8_t *a)
{
	return a[0] != 0 && a[0] != 127 && a[0] < 224;
}

static bool allowed4(const uint8_t *ip, uint32_t length)
{
	uint32_t header = (ip[0] & 15u) * 4;

	if (header < 20 || length < header || !unicast4(ip + 12) || !unicast4(ip + 16) ||
		((ip[6] & 0x1f) | ip[7]))
		return false;
	if (ip[9] != IPPROTO_ICMP)
		return true;
	if (length < header + 1)
		return false;
	switch (ip[header]) { // queries only (RFC 1122 3.2.2)
	case 0:
	case 8:
	case 9:
	case 10:
	case 13:
	case 14:
	case 15:
	case 16:
	case 17:
	case 18:
		return true;
	default:
		return false;
	}
}

// The packet is, or may be, an ICMPv6 error or redirect: looked for behind extension headers too,
// and assumed where it cannot be seen.
static bool may_be_error6(const uint8_t *ip, uint32_t length)
{
	uint8_t next = ip[6];
	uint32_t at = 40;

	while (next == 0 || next == 43 || next == 44 || next == 60) {
		uint32_t bytes = 8;

		if (length < at + bytes)
			return true;
		if (next != 44) // a fragment header has no length field
			bytes += 8u * ip[at + 1];
		else if ((ip[at + 2] << 8 | ip[at + 3]) & 0xfff8)
			return ip[at] == IPPROTO_ICMPV6; // not the first fragment
		next = ip[at];
		at += bytes;
	}
	return next == IPPROTO_ICMPV6 && (length <= at || ip[at] < 128 || ip[at] == 137);
}

static bool allowed6(const uint8_t *ip, uint32_t length, unsigned reason)
{
	static const uint8_t unspecified[16];

	if (length < 40 || ip[8] == 0xff || memcmp(ip + 8, unspecified, 16) == 0)
		return false;
	if (ip[24] == 0xff && reason != HOST_TOO_BIG)
		return false;
	return !may_be_error6(ip, length);
}

static void fill4(struct host *host, const uint8_t *source, uint8_t *out, const uint8_t *ip,
	uint32_t quoted, const struct host_item *item)
{
	static const uint8_t dummy[4] = {192, 0, 0, 8};
	const struct verdict *v = &verdicts[item->reason];
	uint8_t *icmp = out + 20;

	memset(out, 0, 28);
	out[0] = 0x45;
	out[1] = PRECEDENCE_6;
	put16(out + 2, 28 + quoted);
	put16(out + 4, host->ip_id++);
	out[8] = TTL;
	out[9] = IPPROTO_ICMP;
	memcpy(out + 12, source ? source : dummy, 4);
	memcpy(out + 16, ip + 12, 4);
	icmp[0] = v->type4;
	icmp[1] = v->code4;
	if (item->reason == HOST_TOO_BIG)
		put16(icmp + 6, item->info); // RFC 1191
	memcpy(icmp + 8, ip, quoted);
	{
		uint16_t sum = (uint16_t)~rte_raw_cksum(icmp, 8 + quoted);

		memcpy(icmp + 2, &sum, 2);
		sum = (uint16_t)~rte_raw_cksum(out, 20);
		memcpy(out + 10, &sum, 2);
	}
}

static void fill6(const uint8_t *source, uint8_t *out, const uint8_t *ip, uint32_t quoted,
	const struct host_item *item)
{
	const struct verdict *v = &verdicts[item->reason];
	uint8_t *icmp = out + 40;
	struct rte_ipv6_hdr header;
	uint16_t sum;

	memset(out, 0, 48);
	put32(out, 6u << 28 | (uint32_t)PRECEDENCE_6 << 20);
	put16(out + 4, 8 + quoted);
	out[6] = IPPROTO_ICMPV6;
	out[7] = TTL;
	memcpy(out + 8, source, 16);
	memcpy(out + 24, ip + 8, 16);
	icmp[0] = v->type6;
	icmp[1] = v->code6;
	if (item->reason == HOST_TOO_BIG)
		put32(icmp + 4, item->info);
	memcpy(icmp + 8, ip, quoted);
	memcpy(&header, out, sizeof(header));
	sum = rte_ipv6_udptcp_cksum(&header, icmp);
	memcpy(icmp + 2, &sum, 2);
}

struct rte_mbuf *icmp_error(struct host *host, const uint8_t *source, const uint8_t *packet,
	uint32_t length, const struct host_item *item, enum drop_reason *why)
{
	bool v4 = length >= 20 && packet[0] >> 4 == 4;
	uint32_t header = v4 ? 28 : 48, most = (v4 ? ICMP4_MAX : ICMP6_MAX) - header;
	uint32_t quoted, total;
	struct rte_mbuf *m;
	uint8_t *out;

	*why = DROP_COUNT;
	if (item->reason >= RTE_DIM(verdicts) || !verdicts[item->reason].type6)
		return NULL;
	if (v4 ? !allowed4(packet, length)
	       : !(length >= 40 && packet[0] >> 4 == 6 && allowed6(packet, length, item->reason)))
		return NULL;
	*why = DROP_ICMP_SOURCE;
	if (!v4 && source == NULL)
		return NULL;
	*why = DROP_NO_BUFFER;
	// Padding of the frame is not part of the packet.
	total = v4 ? (uint32_t)(packet[2] << 8 | packet[3])
		   : 40u + (uint32_t)(packet[4] << 8 | packet[5]);
	quoted = RTE_MIN(length, total);
	quoted = RTE_MIN(quoted, most);
	m = rte_pktmbuf_alloc(host->pool);
	if (m == NULL)
		return NULL;
	out = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(header + quoted));
	if (out == NULL) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	if (v4)
		fill4(host, source, out, packet, quoted, item);
	else
		fill6(source, out, packet, quoted, item);
	return m;
}
