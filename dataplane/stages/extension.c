// SPDX-License-Identifier: BSD-3-Clause

// IPv6 extension headers (RFC 8200 section 4): what stands behind them, for all who ask for ports,
// and for decap, which takes those in front of GRE off with the outer header. A customer's packet
// is none the worse for any of them.
//
// Linux puts a destination option with the tunnel encapsulation limit (RFC 2473) in front of GRE
// unless told not to. The limit speaks to who would encapsulate the packet once more; we take it
// out, so that any limit will do, 0 too. A routing header that has no segments left and a fragment
// header of a whole datagram (RFC 6946) say nothing either. Everything else has to have a reason:
// how long all of them may be together is bounded, so that nobody makes us walk, and an option that
// we do not know and that says so in its type has the packet dropped (RFC 8200 section 4.2).

#include "dataplane/stages/ip.h"

#define EXTENSIONS_MAX 64u // bytes, together
#define HEADERS_MAX    8u  // looked at for what is behind them

#define OPTION_PAD1 0u
#define OPTION_SKIP 0xc0u // 0 in these bits of its type: who does not know an option skips it

static bool options_known(const uint8_t *option, unsigned bytes)
{
	for (unsigned at = 0; at < bytes;) {
		if (option[at] == OPTION_PAD1) {
			at++;
			continue;
		}
		if (at + 2 > bytes || at + 2 + option[at + 1] > bytes || (option[at] & OPTION_SKIP))
			return false;
		at += 2u + option[at + 1];
	}
	return true;
}

// One header of `bytes` at `h`. False: not one to step over.
static bool may_skip(uint8_t kind, const uint8_t *h, unsigned bytes, struct upper *upper)
{
	switch (kind) {
	case EXTENSION_FRAGMENT:
		upper->fragment = (load_be16(h + 2) & 0xfff9) != 0;
		return true;
	case EXTENSION_ROUTING:
		return h[3] == 0;
	default:
		return options_known(h + 2, bytes - 2);
	}
}

enum drop_reason ipv6_upper(const uint8_t *h, unsigned length, struct upper *upper)
{
	enum drop_reason verdict = HEADER_OK;
	unsigned at = 40, n = 0;
	*upper = (struct upper){.protocol = h[6], .at = 40};
	while (upper->protocol == EXTENSION_HOPS || upper->protocol == EXTENSION_DESTINATION ||
		upper->protocol == EXTENSION_ROUTING || upper->protocol == EXTENSION_FRAGMENT) {
		uint8_t kind = upper->protocol;
		if (at + 8 > length || n++ == HEADERS_MAX)
			return DROP_GRE_EXTENSION;
		unsigned bytes = kind == EXTENSION_FRAGMENT ? 8 : 8 + 8u * h[at + 1];
		if (at + bytes > length || at + bytes > 40 + EXTENSIONS_MAX)
			verdict = DROP_GRE_EXTENSION;
		else if (!may_skip(kind, h + at, bytes, upper))
			verdict = DROP_GRE_EXTENSION;
		upper->protocol = h[at];
		at += bytes;
		upper->at = (uint16_t)at;
		if (upper->fragment)
			break;
	}
	return verdict;
}
