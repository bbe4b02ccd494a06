// SPDX-License-Identifier: BSD-3-Clause
// IP addresses and prefixes: text to bytes, bytes to text, and set arithmetic. Parsing is strict because
// what is accepted here is shown back, compared and stored: a prefix with host bits or a length written
// "+24" or "024" is a typing error, not another spelling.

#include "control/base/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

uint8_t ip_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

int ip_address_parse(const char *text, struct ip_address *address)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, address->bytes) == 1) {
		address->family = 4;
		return 0;
	}
	if (inet_pton(AF_INET6, text, address->bytes) == 1) {
		address->family = 6;
		return 0;
	}
	memset(address, 0, sizeof(*address));
	return -EINVAL;
}

// 0..128 without sign or leading zero; -1 when it is anything else.
static int length_parse(const char *text)
{
	int len = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -1;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || c - text > 2)
			return -1;
		len = len * 10 + (*c - '0');
	}
	return len;
}

int ip_prefix_host_parse(const char *text, struct ip_address *address, uint8_t *len)
{
	char host[IP_TEXT_MAX];
	const char *slash = strchr(text, '/');

	memset(address, 0, sizeof(*address));
	*len = 0;
	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, slash - text);
	host[slash - text] = '\0';
	int bits = length_parse(slash + 1);
	if (ip_address_parse(host, address) || bits < 0 || bits > ip_bits(address->family)) {
		memset(address, 0, sizeof(*address));
		return -EINVAL;
	}
	*len = (uint8_t)bits;
	return 0;
}

int ip_prefix_parse(const char *text, struct ip_prefix *prefix)
{
	struct ip_address address;
	uint8_t len;

	memset(prefix, 0, sizeof(*prefix));
	if (ip_prefix_host_parse(text, &address, &len))
		return -EINVAL;
	struct ip_prefix masked = ip_prefix_of(&address, len);
	if (ip_address_compare(&masked.address, &address))
		return -EINVAL;
	*prefix = masked;
	return 0;
}

const char *ip_address_format(const struct ip_address *address, char text[IP_TEXT_MAX])
{
	if (address->family == 0 || !inet_ntop(address->family == 4 ? AF_INET : AF_INET6,
					    address->bytes, text, IP_TEXT_MAX))
		text[0] = '\0';
	return text;
}

const char *ip_prefix_format(const struct ip_prefix *prefix, char text[IP_TEXT_MAX])
{
	ip_address_format(&prefix->address, text);
	if (text[0]) {
		size_t used = strlen(text);
		snprintf(text + used, IP_TEXT_MAX - used, "/%u", prefix->len);
	}
	return text;
}

int ip_address_compare(const struct ip_address *a, const struct ip_address *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

int ip_prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b)
{
	int order = ip_address_compare(&a->address, &b->address);

	return order ? order : (int)a->len - (int)b->len;
}

bool ip_prefix_contains_address(const struct ip_prefix *prefix, const struct ip_address *address)
{
	unsigned int whole = prefix->len / 8;
	unsigned int rest = prefix->len % 8;

	if (prefix->address.family == 0 || prefix->address.family != address->family)
		return false;
	if (memcmp(prefix->address.bytes, address->bytes, whole))
		return false;
	return rest == 0 ||
	       ((prefix->address.bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}

bool ip_prefix_contains(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
	return outer->len <= inner->len && ip_prefix_contains_address(outer, &inner->address);
}

bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return ip_prefix_contains(a, b) || ip_prefix_contains(b, a);
}

struct ip_address ip_prefix_nth(const struct ip_prefix *prefix, uint32_t n)
{
	struct ip_address address = prefix->address;
	int last = ip_bits(address.family) / 8 - 1;
	uint64_t carry = n;

	for (int i = last; i >= 0 && carry; i--) {
		carry += address.bytes[i];
		address.bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
	return address;
}

struct ip_prefix ip_prefix_of(const struct ip_address *address, uint8_t len)
{
	struct ip_prefix prefix = {.address = *address, .len = len};
	unsigned int bytes = ip_bits(address->family) / 8;

	for (unsigned int i = 0; i < bytes; i++) {
		int keep = (int)len - (int)(i * 8);
		if (keep <= 0)
			prefix.address.bytes[i] = 0;
		else if (keep < 8)
			prefix.address.bytes[i] &= (uint8_t)(0xff << (8 - keep));
	}
	return prefix;
}

// Behind the first that holds a prefix the others do not matter: narrow ones stand first.
static const struct {
	struct ip_prefix prefix;
	const char *what;
	unsigned int kind;
} special[] = {
	{{{4, {0}}, 8}, "is in 0.0.0.0/8, which nobody has", 0},
	{{{4, {127}}, 8}, "is a loopback address", 0},
	{{{4, {169, 254}}, 16}, "is link-local", IP_LINK_LOCAL},
	{{{4, {224}}, 4}, "is multicast", 0},
	{{{4, {255, 255, 255, 255}}, 32}, "is the broadcast address", 0},
	{{{4, {240}}, 4}, "is reserved", 0},
	{{{6, {[15] = 1}}, 128}, "is the loopback address", 0},
	{{{6, {0}}, 96}, "is in ::/96, which nobody has", 0},
	{{{6, {[10] = 0xff, [11] = 0xff}}, 96}, "is an IPv4-mapped address", 0},
	{{{6, {0xfe, 0x80}}, 10}, "is link-local", 0},
	{{{6, {0xff}}, 8}, "is multicast", 0},
};

const char *ip_special(const struct ip_prefix *prefix, unsigned int allowed)
{
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		if (special[i].kind & allowed)
			continue;
		if (ip_prefix_contains(&special[i].prefix, prefix))
			return special[i].what;
		if (!(allowed & IP_AGGREGATE) && ip_prefix_contains(prefix, &special[i].prefix))
			return prefix->len == 0 ? "is the default route"
						: "holds addresses that no host has";
	}
	return NULL;
}

bool ip_prefix_is_end(const struct ip_prefix *subnet, const struct ip_address *address)
{
	unsigned int bits = ip_bits(subnet->address.family);
	struct ip_address last = subnet->address;

	if (subnet->len + 2u > bits || !ip_prefix_contains_address(subnet, address))
		return false;
	if (ip_address_compare(&subnet->address, address) == 0)
		return true; // of IPv6: any router of the subnet (RFC 4291)
	for (unsigned int bit = subnet->len; bit < bits; bit++)
		last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return subnet->address.family == 4 && ip_address_compare(&last, address) == 0;
}
