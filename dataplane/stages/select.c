// SPDX-License-Identifier: BSD-3-Clause

// Which path of a group a flow takes.
//
// The flow is the inner packet's addresses, protocol and, where they are there, ports; fragments of
// a datagram must stay together, so a fragment is hashed without ports, the first one too. The hash
// falls into one of the shares of the group (bounds are cumulative, WIRE_GROUP_PATHS at most). If
// that path is down, and only then, the flow is dealt anew among the living ones by weight: flows
// of living paths do not move (Hopps, RFC 2992).

#include "dataplane/stages/stages.h"

#include "dataplane/stages/ip.h"

static inline uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

static inline bool has_ports(uint8_t protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == 132;
}

uint32_t flow_hash(const struct packet *p)
{
	const uint8_t *ip = p->ip;
	uint64_t h;
	if (p->family == 4) {
		h = mix(p->protocol, load64(ip + 12));
	} else {
		h = mix(mix(p->protocol, load64(ip + 8)), load64(ip + 16));
		h = mix(mix(h, load64(ip + 24)), load64(ip + 32));
	}
	if (p->l4 != 0 && !(p->flags & PACKET_PART) && has_ports(p->protocol) &&
		p->length >= p->l4 + 4)
		h = mix(h, load32(ip + p->l4));
	return (uint32_t)(mix(h, 0x51ed) >> 32);
}

static uint32_t deal_again(const struct tables *t, const struct multipath *m, uint32_t hash)
{
	uint32_t total = 0, sum = 0;
	for (unsigned i = 0; i < m->count; i++)
		total += path_usable(t, m->path[i]) ? m->weight[i] : 0;
	uint32_t share = (uint32_t)((uint64_t)(hash * 0x85ebca6bu) * total >> 32);
	for (unsigned i = 0; i < m->count; i++) {
		if (!path_usable(t, m->path[i]))
			continue;
		sum += m->weight[i];
		if (share < sum)
			return m->path[i];
	}
	return 0;
}

uint32_t block_select(const struct tables *t, uint32_t block, const struct packet *p)
{
	const struct multipath *paths = &t->multipath[block];
	uint32_t hash = flow_hash(p);
	unsigned i = 0;
	while (i < paths->count - 1 && (hash >> 16) > paths->bound[i])
		i++;
	uint32_t path = paths->path[i];
	return path_usable(t, path) ? path : deal_again(t, paths, hash);
}
