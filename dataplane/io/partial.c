// SPDX-License-Identifier: BSD-3-Clause
// A sender that leaves a checksum to its device puts the pseudo header's sum, not complemented, in
// its place. That is what is looked for, in the packet itself and in one that GRE carries. A
// checksum that was right already and looks the same by chance comes out as it was, since the sum
// is then taken over the very same bytes. Fragments are never left to a device.
//
// The length of TCP or UDP is IP's word for it, so that padding is not summed.

#include "dataplane/io/partial.h"

#include <stdbool.h>
#include <string.h>

#include <rte_ip.h>

#define HOP_BY_HOP 0u
#define TCP        6u
#define UDP        17u
#define GRE        47u
#define OPTIONS    60u

static uint32_t load16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

// A packet's parts; false: there is nothing to finish in it.
struct packet {
	const uint8_t *addresses;
	uint32_t addresses_length;
	uint8_t *l4;
	uint32_t l4_length;
	uint32_t protocol;
};

static bool find4(uint8_t *ip, uint32_t length, struct packet *p)
{
	uint32_t head = (ip[0] & 15u) * 4, total = load16(ip + 2);

	if (ip[0] >> 4 != 4 || head < 20 || total < head || total > length ||
		(load16(ip + 6) & 0x3fff) != 0)
		return false;
	*p = (struct packet){ip + 12, 8, ip + head, total - head, ip[9]};
	return true;
}

static bool find6(uint8_t *ip, uint32_t length, struct packet *p)
{
	uint32_t payload = load16(ip + 4), step;

	if (length < 40 || ip[0] >> 4 != 6 || payload > length - 40)
		return false;
	*p = (struct packet){ip + 8, 32, ip + 40, payload, ip[6]};
	for (unsigned i = 0; i < 2 && (p->protocol == HOP_BY_HOP || p->protocol == OPTIONS); i++) {
		step = p->l4_length < 8 ? UINT32_MAX : (p->l4[1] + 1u) * 8;
		if (step > p->l4_length)
			return false;
		p->protocol = p->l4[0];
		p->l4 += step;
		p->l4_length -= step;
	}
	return true;
}

static bool find(uint32_t type, uint8_t *ip, uint32_t length, struct packet *p)
{
	if (length < 20)
		return false;
	return type == 0x0800 ? find4(ip, length, p) : type == 0x86dd && find6(ip, length, p);
}

static void finish(const struct packet *p)
{
	uint32_t at = p->protocol == TCP ? 16 : 6, pseudo;
	uint16_t sum;

	if (p->l4_length < (p->protocol == TCP ? 20u : 8u))
		return;
	pseudo = fold(rte_raw_cksum(p->addresses, p->addresses_length) +
		      (uint64_t)rte_cpu_to_be_16((uint16_t)p->protocol) +
		      rte_cpu_to_be_16((uint16_t)p->l4_length));
	memcpy(&sum, p->l4 + at, sizeof(sum));
	if (sum != pseudo)
		return;
	sum = (uint16_t)~rte_raw_cksum(p->l4, p->l4_length);
	if (sum == 0)
		sum = 0xffff; // the same number, and in UDP 0 says that there is none
	memcpy(p->l4 + at, &sum, sizeof(sum));
}

void partial_finish(uint8_t *frame, uint32_t length)
{
	uint32_t at = 12, type = 0;
	struct packet p;

	for (unsigned tags = 0; at + 2 <= length; tags++, at += 4) {
		type = load16(frame + at);
		if ((type != 0x8100 && type != 0x88a8) || tags == 2)
			break;
	}
	if (at + 2 > length || !find(type, frame + at + 2, length - at - 2, &p))
		return;
	if (p.protocol == GRE && p.l4_length >= 4) { // with a checksum of its own or a key
		uint32_t flags = load16(p.l4), head = 4;

		head += (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) +
			(flags & 0x1000 ? 4 : 0);
		if (head > p.l4_length ||
			!find(load16(p.l4 + 2), p.l4 + head, p.l4_length - head, &p))
			return;
	}
	if (p.protocol == TCP || p.protocol == UDP)
		finish(&p);
}
