// SPDX-License-Identifier: BSD-3-Clause
// Cutting up as Linux does it (tcp_gso_segment, inet_gso_segment): each segment has the headers of
// the whole, and of its own a length, an IPv4 id, a sequence number and checksums; FIN and PSH
// belong to the last one, CWR to the first (RFC 3168 6.1.2). The fields of the whole have to agree
// with its length and with where the virtio header puts TCP: what is in another tunnel, or has
// headers that we do not know, is not cut.

#include "dataplane/io/segment.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <string.h>

#include <rte_ip.h>

#define TAGS_MOST 3u
#define TCP       6u
#define FIN_PSH   0x09u
#define CWR       0x80u

static uint32_t load16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static void store16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

// Where IP starts, and which; 0 = neither, or it ends before.
static uint32_t find_ip(const uint8_t *frame, uint32_t length, uint32_t *type)
{
	uint32_t at = 12;

	*type = 0;
	for (unsigned tags = 0; at + 2 <= length; tags++, at += 4) {
		*type = load16(frame + at);
		if ((*type != 0x8100 && *type != 0x88a8) || tags == TAGS_MOST)
			break;
	}
	return at + 2 + 40 <= length && (*type == 0x0800 || *type == 0x86dd) ? at + 2 : 0;
}

static bool ip_agrees(const struct segments *s)
{
	const uint8_t *ip = s->frame + s->l3;

	if (s->ipv6)
		return ip[0] >> 4 == 6 && s->l4 - s->l3 >= 40 &&
		       load16(ip + 4) + 40 == s->end - s->l3;
	return ip[0] >> 4 == 4 && (ip[0] & 15u) * 4 == s->l4 - s->l3 && s->l4 - s->l3 >= 20 &&
	       load16(ip + 2) == s->end - s->l3 && (load16(ip + 6) & 0x3fff) == 0 && ip[9] == TCP;
}

bool segments_start(struct segments *s, const uint8_t *frame, uint32_t length,
	const struct virtio_net_hdr *about, uint32_t tag)
{
	unsigned type = about->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;
	uint32_t ethertype;

	*s = (struct segments){.frame = frame, .end = length, .mss = about->gso_size};
	s->at = length; // none, until all is known to be right
	s->l3 = find_ip(frame, length, &ethertype);
	s->l4 = tag + about->csum_start;
	s->ipv6 = ethertype == 0x86dd;
	if (type != (s->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4) ||
		!(about->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || s->mss < SEGMENT_LEAST ||
		s->l3 == 0 || s->l4 <= s->l3 || s->l4 + 20 > length || !ip_agrees(s))
		return false;
	s->payload = s->l4 + (frame[s->l4 + 12] >> 4) * 4u;
	if (s->payload < s->l4 + 20 || s->payload >= length)
		return false;
	s->at = s->payload;
	return true;
}

static void fix_ip(const struct segments *s, uint8_t *ip, uint32_t length)
{
	uint16_t sum;

	if (s->ipv6) {
		store16(ip + 4, length - 40);
		return;
	}
	store16(ip + 2, length);
	store16(ip + 4, load16(ip + 4) + s->count);
	memset(ip + 10, 0, 2);
	sum = (uint16_t)~rte_raw_cksum(ip, s->l4 - s->l3);
	memcpy(ip + 10, &sum, sizeof(sum));
}

static void fix_tcp(const struct segments *s, const uint8_t *ip, uint8_t *tcp, uint32_t length)
{
	uint32_t number = (load16(tcp + 4) << 16 | load16(tcp + 6)) + (s->at - s->payload), sum;
	uint16_t folded;

	store16(tcp + 4, number >> 16);
	store16(tcp + 6, number);
	if (s->at + s->mss < s->end)
		tcp[13] &= (uint8_t)~FIN_PSH;
	if (s->count != 0)
		tcp[13] &= (uint8_t)~CWR;
	memset(tcp + 16, 0, 2);
	sum = rte_raw_cksum(ip + (s->ipv6 ? 8 : 12), s->ipv6 ? 32 : 8) + htons(TCP) +
	      htons((uint16_t)length) + rte_raw_cksum(tcp, length);
	sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
	memcpy(tcp + 16, &folded, sizeof(folded));
}

uint32_t segments_next(struct segments *s, uint8_t *out, uint32_t room)
{
	uint32_t left = s->end - s->at, length = left < s->mss ? left : s->mss;
	uint32_t whole = s->payload + length;

	if (whole > room) {
		s->at = s->end;
		return 0;
	}
	memcpy(out, s->frame, s->payload);
	memcpy(out + s->payload, s->frame + s->at, length);
	fix_ip(s, out + s->l3, whole - s->l3);
	fix_tcp(s, out + s->l3, out + s->l4, whole - s->l4);
	s->at += length;
	s->count++;
	return whole;
}
