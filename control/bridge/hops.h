/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_HOPS_H
#define BRIDGE_HOPS_H

// Next-hop sets of mirrored routes, each stored once however many routes use it.

#include <stdbool.h>
#include <stdint.h>

#include "control/base/ip.h"

enum { HOPS_MAX = 16 };

struct next_hop {
	struct ip_address via; // family 0 = on the link
	uint16_t weight;
	uint32_t ifindex;
};

struct next_hop_set {
	uint32_t references;
	uint32_t next; // in the hash chain, or of the free list
	uint32_t hash;
	uint32_t count;
	struct next_hop hop[];
};

struct next_hops {
	struct next_hop_set **set; // by id; id 0 is never used
	uint32_t size, free;
	uint32_t bucket[1024];
};

// The id of the set, with one more reference; 0 = no memory. Hops must have no uninitialised bytes.
uint32_t hops_take(struct next_hops *hops, const struct next_hop *hop, uint32_t count);
void hops_drop(struct next_hops *hops, uint32_t id); // 0 is ignored
const struct next_hop_set *hops_get(const struct next_hops *hops, uint32_t id);
bool hops_uses(const struct next_hops *hops, uint32_t id, uint32_t ifindex);
void hops_free(struct next_hops *hops);

#endif
