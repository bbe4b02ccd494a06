/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STAGES_IP_H
#define STAGES_IP_H

// IP headers as they stand in the packet: checked once, where a packet comes in (classify, decap),
// and trusted from there on.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/wire/drop.h"

#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_ARP  0x0806u
#define ETHERTYPE_IPV6 0x86ddu
#define ETHERTYPE_VLAN 0x8100u
#define ETHERTYPE_QINQ 0x88a8u

#define PROTOCOL_TCP    6u
#define PROTOCOL_UDP    17u
#define PROTOCOL_GRE    47u
#define PROTOCOL_ICMPV6 58u

#define EXTENSION_HOPS        0u
#define EXTENSION_ROUTING     43u
#define EXTENSION_FRAGMENT    44u
#define EXTENSION_DESTINATION 60u

#define IPV4_DF 0x4000u
#define IPV4_MF 0x2000u

#define HEADER_OK DROP_COUNT

static inline uint16_t load16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t load32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

// Not rte_be_to_cpu_16(): its inline assembly keeps the compiler from folding it into the load.
static inline uint16_t be16(uint16_t v)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap16(v) : v;
}

static inline uint32_t be32(uint32_t v)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(v) : v;
}

static inline uint16_t load_be16(const void *p)
{
	return be16(load16(p));
}

static inline uint32_t load_be32(const void *p)
{
	return be32(load32(p));
}

// Ones' complement arithmetic (RFC 1071) works in either byte order.
static inline uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static inline uint64_t ipv4_sum(const uint8_t *h)
{
	uint64_t sum = (uint64_t)load32(h) + load32(h + 4) + load32(h + 8) + load32(h + 12) +
		       load32(h + 16);
	unsigned bytes = (h[0] & 15u) * 4;
	for (unsigned at = 20; at < bytes; at += 4)
		sum += load32(h + at);
	return sum;
}

// Replaces the 16-bit word `was` by `is` in what an IPv4 header checksum covers (RFC 1624).
static inline void ipv4_fix_checksum(uint8_t *h, uint16_t was, uint16_t is)
{
	store16(h + 10, (uint16_t)~fold((uint64_t)(uint16_t)~load16(h + 10) + (uint16_t)~was + is));
}

static inline void ipv4_set_tos(uint8_t *h, uint8_t tos)
{
	uint16_t was = load16(h);
	h[1] = tos;
	ipv4_fix_checksum(h, was, load16(h));
}

static inline void ipv6_set_class(uint8_t *h, uint8_t class)
{
	h[0] = 0x60 | class >> 4;
	h[1] = (uint8_t)(class << 4) | (h[1] & 15);
}

static inline uint8_t ipv6_class(const uint8_t *h)
{
	return (uint8_t)(load_be16(h) >> 4);
}

// Addresses that may not stand on a wire as source or as unicast destination (RFC 1812 5.3.7).
static inline bool ipv4_martian(uint32_t source, uint32_t destination)
{
	uint32_t s = source >> 24, d = destination >> 24;
	return s == 0 || s == 127 || s >= 224 || d == 0 || d == 127 || d >= 240;
}

static inline bool ipv6_loopback_or_none(const uint8_t *addr)
{
	return load64(addr) == 0 &&
	       (load64(addr + 8) &
		       ~(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 1ull << 56 : 1ull)) == 0;
}

// `room` bytes are there from h on. HEADER_OK and the packet's length, or the reason to drop it.
static __attribute__((noinline, unused)) enum drop_reason ipv4_check(
	const uint8_t *h, unsigned room, uint16_t *length)
{
	if (room < 20)
		return DROP_FRAME_TRUNCATED;
	unsigned header = (h[0] & 15u) * 4;
	unsigned total = load_be16(h + 2);
	if (h[0] >> 4 != 4 || header < 20 || total < header)
		return DROP_IP_HEADER;
	if (total > room)
		return DROP_FRAME_TRUNCATED;
	if (fold(ipv4_sum(h)) != 0xffff)
		return DROP_IP_CHECKSUM;
	*length = (uint16_t)total;
	uint32_t destination = load_be32(h + 16);
	if (destination == UINT32_MAX || destination >> 28 == 14)
		return DROP_MULTICAST;
	return ipv4_martian(load_be32(h + 12), destination) ? DROP_MARTIAN : HEADER_OK;
}

// By the first byte of an address: one that a host may have, neither 0 nor 127 nor multicast and
// above.
static const uint8_t ipv4_unicast[256] = {[1 ... 126] = 1, [128 ... 223] = 1};

// A sum that is not 0 folds to 0xffff if it is a multiple of it. Multiples, and only they, times
// the inverse of 0xffff modulo 2^64 are small: at most 2^64 over 0xffff, and the inverse is that
// number's negative.
static inline bool folds_to_ones(uint64_t sum)
{
	const uint64_t ones = 0x0001000100010001;
	return sum * -ones <= ones;
}

// IPv4 without options, and not a fragment: by the first 8 bytes of a header.
static inline bool ipv4_whole(uint64_t first)
{
	static const uint8_t bits[8] = {255, 0, 0, 0, 0, 0, 0x3f, 255}, values[8] = {0x45};
	return (first & load64(bits)) == load64(values);
}

// The common case in one go: no options, no fragment, everything right. The packet's length, or 0:
// ipv4_check() knows more. 20 bytes must be readable from h on, whatever the room.
static inline unsigned ipv4_plain(const uint8_t *h, unsigned room)
{
	unsigned total = load_be16(h + 2);
	uint64_t sum = load64(h), more = load64(h + 8);
	if (!ipv4_whole(sum) || total < 20 || total > room)
		return 0;
	sum += more;
	sum += sum < more; // the carry, end around
	sum += load32(h + 16);
	sum += sum < load32(h + 16);
	if (!folds_to_ones(sum))
		return 0;
	return ipv4_unicast[h[12]] & ipv4_unicast[h[16]] ? total : 0;
}

// Multicast and link-local destinations are left to lookup, which knows what the host wants; their
// source may be none (duplicate address detection).
static inline enum drop_reason ipv6_check(const uint8_t *h, unsigned room, uint16_t *length)
{
	if (room < 40)
		return DROP_FRAME_TRUNCATED;
	if (h[0] >> 4 != 6)
		return DROP_IP_HEADER;
	unsigned total = load_be16(h + 4) + 40u;
	if (total > room)
		return DROP_FRAME_TRUNCATED;
	// A jumbogram (RFC 2675) says its length elsewhere, and none that fits a frame may be one.
	if (total == 40 && h[6] == EXTENSION_HOPS)
		return DROP_IP_HEADER;
	*length = (uint16_t)total;
	if (h[8] == 0xff || ipv6_loopback_or_none(h + 24))
		return DROP_MARTIAN;
	return h[24] != 0xff && ipv6_loopback_or_none(h + 8) ? DROP_MARTIAN : HEADER_OK;
}

// What stands behind IPv6 extension headers. extension.c
struct upper {
	uint8_t protocol; // of what stands behind the extension headers; EXTENSION_* if one is in the way
	bool fragment; // of a datagram of several
	uint16_t at;   // offset of it from the IPv6 header
};

// `length` bytes are there from the IPv6 header on. HEADER_OK; DROP_GRE_EXTENSION: more of them
// than anybody needs, one that leads further, or an option that says to drop what does not
// understand it. `upper` then says whether GRE is behind them as far as can be seen.
enum drop_reason ipv6_upper(const uint8_t *h, unsigned length, struct upper *upper);

#endif
