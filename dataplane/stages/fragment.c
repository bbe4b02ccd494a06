// SPDX-License-Identifier: BSD-3-Clause

// IPv4 fragmentation (RFC 791 section 3.2) of what may be fragmented and does not fit.
//
// IP packets from an IP packet; output makes frames of them as of any other.
//
// Options with the copied flag go into every fragment; the others stay in the first, and
// no-operations stand in their place elsewhere, so that every fragment has the same header length.

#include "dataplane/stages/fragment.h"

#include "dataplane/stages/ip.h"

#include <rte_common.h>

#define OPTION_END    0u
#define OPTION_NOP    1u
#define OPTION_COPIED 0x80u

static void blank_options(uint8_t *ip, unsigned header)
{
	for (unsigned at = 20; at < header && ip[at] != OPTION_END;) {
		unsigned size = ip[at] == OPTION_NOP || at + 1 == header ? 1 : ip[at + 1];
		if (size == 0 || at + size > header)
			size = header - at;
		if (!(ip[at] & OPTION_COPIED))
			memset(ip + at, OPTION_NOP, size);
		at += size;
	}
}

// One fragment: `bytes` of payload from `at` on.
static void make_fragment(
	struct rte_mbuf *m, const uint8_t *whole, unsigned length, unsigned at, unsigned bytes)
{
	unsigned header = (whole[0] & 15u) * 4;
	unsigned field = load_be16(whole + 6);
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *);
	memcpy(ip, whole, header);
	memcpy(ip + header, whole + header + at, bytes);
	bool more = header + at + bytes < length;
	field = (field & ~0x1fffu) | ((field & 0x1fff) + (at >> 3)) | (more ? IPV4_MF : 0);
	if ((field & 0x1fff) != 0)
		blank_options(ip, header);
	store16(ip + 2, be16((uint16_t)(header + bytes)));
	store16(ip + 6, be16((uint16_t)field));
	store16(ip + 10, 0);
	store16(ip + 10, (uint16_t)~fold(ipv4_sum(ip)));
	m->data_len = (uint16_t)(header + bytes);
	m->pkt_len = m->data_len;
}

unsigned fragment_count(const uint8_t *ip, unsigned length, unsigned mtu)
{
	unsigned header = (ip[0] & 15u) * 4, step = (mtu - header) & ~7u, n = 0;
	for (unsigned at = 0; at < length - header; at += step)
		n++;
	return n;
}

void fragment(const uint8_t *ip, unsigned length, unsigned mtu, struct rte_mbuf **piece)
{
	unsigned header = (ip[0] & 15u) * 4, step = (mtu - header) & ~7u, payload = length - header;
	for (unsigned at = 0; at < payload; at += step)
		make_fragment(*piece++, ip, length, at, RTE_MIN(step, payload - at));
}
