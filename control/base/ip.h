/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BASE_IP_H
#define BASE_IP_H

// IP addresses and prefixes as the control process holds them. Network byte order.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IP_TEXT_MAX  64   // "prefix/len" and its terminator
#define IPV6_MTU_MIN 1280 // bytes that every way of IPv6 carries (RFC 8200 5)

struct ip_address {
	uint8_t family;    // 4, 6; 0 = none
	uint8_t bytes[16]; // an IPv4 address in the first 4, the rest zero
};

struct ip_prefix {
	struct ip_address address; // bits beyond len are zero
	uint8_t len;
};

// All return 0 or -EINVAL. A prefix with host bits set is refused (use ip_prefix_host for "a.b.c.d/30").
int ip_address_parse(const char *text, struct ip_address *address);
int ip_prefix_parse(const char *text, struct ip_prefix *prefix);
// "169.254.10.2/30": the address and the length of its subnet.
int ip_prefix_host_parse(const char *text, struct ip_address *address, uint8_t *len);
const char *ip_address_format(const struct ip_address *address, char text[IP_TEXT_MAX]);
const char *ip_prefix_format(const struct ip_prefix *prefix, char text[IP_TEXT_MAX]);

uint8_t ip_bits(uint8_t family); // 32 or 128
// Of what there is for each family: [0] of IPv4, [1] of IPv6.
static inline unsigned int ip_index(uint8_t family)
{
	return family == 6;
}
int ip_address_compare(const struct ip_address *a, const struct ip_address *b);
int ip_prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b);
bool ip_prefix_contains(
	const struct ip_prefix *outer, const struct ip_prefix *inner); // equal counts
bool ip_prefix_contains_address(const struct ip_prefix *prefix, const struct ip_address *address);
bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);
// The n-th address of the prefix (0 = the network address itself).
struct ip_address ip_prefix_nth(const struct ip_prefix *prefix, uint32_t n);
struct ip_prefix ip_prefix_of(const struct ip_address *address, uint8_t len); // masks host bits

// Why no host, or no network of hosts, has this (an address: a prefix of full length): "is a loopback address", NULL = one can.
// RFC 6890. allowed: what is fine nevertheless.
#define IP_LINK_LOCAL 1u // IPv4's, 169.254.0.0/16; IPv6's needs a scope, which nothing here has
#define IP_AGGREGATE  2u // a prefix that holds such addresses beside others, as 0.0.0.0/0 does
const char *ip_special(const struct ip_prefix *prefix, unsigned int allowed);
// Whether it is the subnet's own address, or that of all its hosts. Of a /31, /32, /127 and /128 none is.
bool ip_prefix_is_end(const struct ip_prefix *subnet, const struct ip_address *address);

#endif
