// SPDX-License-Identifier: BSD-3-Clause
// A customer's thousands of routes have one next hop, or one of a few sets. A mirrored route therefore keeps the
// number of a set; sets are found by content, counted, and go with their last route. That keeps a route at 32
// bytes and turns "does this route change?" into a compare of two numbers.

#include "control/bridge/hops.h"

#include "control/base/table.h"

#include <stdlib.h>
#include <string.h>

// Keyed: with a third party's next hop a customer chooses addresses.
static uint32_t hash_of(const struct next_hop *hop, uint32_t count)
{
	uint8_t packed[HOPS_MAX][22];

	for (uint32_t i = 0; i < count; i++) {
		memcpy(packed[i], hop[i].via.bytes, 16);
		memcpy(packed[i] + 16, &hop[i].weight, 2);
		memcpy(packed[i] + 18, &hop[i].ifindex, 4);
	}
	return (uint32_t)table_hash(packed, count * sizeof(packed[0]));
}

static bool same(const struct next_hop_set *set, const struct next_hop *hop, uint32_t count)
{
	if (set->count != count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (set->hop[i].ifindex != hop[i].ifindex || set->hop[i].weight != hop[i].weight ||
			ip_address_compare(&set->hop[i].via, &hop[i].via) != 0)
			return false;
	return true;
}

// A free id, or 0.
static uint32_t new_id(struct next_hops *hops)
{
	if (hops->free == 0) {
		uint32_t size = hops->size ? hops->size * 2 : 16;
		struct next_hop_set **set =
			realloc(hops->set, size * sizeof(struct next_hop_set *));
		if (set == NULL)
			return 0;
		memset(set + hops->size, 0, (size - hops->size) * sizeof(struct next_hop_set *));
		hops->set = set;
		// The free list is threaded through the empty places themselves.
		for (uint32_t id = size - 1; id >= hops->size && id > 0; id--) {
			set[id] = (struct next_hop_set *)(uintptr_t)(hops->free << 1 | 1);
			hops->free = id;
		}
		hops->size = size;
	}
	uint32_t id = hops->free;
	hops->free = (uint32_t)((uintptr_t)hops->set[id] >> 1);
	return id;
}

uint32_t hops_take(struct next_hops *hops, const struct next_hop *hop, uint32_t count)
{
	uint32_t hash = hash_of(hop, count);
	uint32_t *bucket = &hops->bucket[hash % 1024];

	for (uint32_t id = *bucket; id; id = hops->set[id]->next) {
		if (hops->set[id]->hash == hash && same(hops->set[id], hop, count)) {
			hops->set[id]->references++;
			return id;
		}
	}
	struct next_hop_set *set = malloc(sizeof(*set) + count * sizeof(*hop));
	if (set == NULL)
		return 0;
	uint32_t id = new_id(hops);
	if (id == 0) {
		free(set);
		return 0;
	}
	*set = (struct next_hop_set){
		.references = 1, .next = *bucket, .hash = hash, .count = count};
	memcpy(set->hop, hop, count * sizeof(*hop));
	hops->set[id] = set;
	*bucket = id;
	return id;
}

void hops_drop(struct next_hops *hops, uint32_t id)
{
	if (id == 0 || --hops->set[id]->references > 0)
		return;
	struct next_hop_set *set = hops->set[id];
	uint32_t *link = &hops->bucket[set->hash % 1024];
	while (*link != id)
		link = &hops->set[*link]->next;
	*link = set->next;
	free(set);
	hops->set[id] = (struct next_hop_set *)(uintptr_t)(hops->free << 1 | 1);
	hops->free = id;
}

const struct next_hop_set *hops_get(const struct next_hops *hops, uint32_t id)
{
	return id ? hops->set[id] : NULL;
}

bool hops_uses(const struct next_hops *hops, uint32_t id, uint32_t ifindex)
{
	const struct next_hop_set *set = hops_get(hops, id);

	for (uint32_t i = 0; set && i < set->count; i++)
		if (set->hop[i].ifindex == ifindex)
			return true;
	return false;
}

void hops_free(struct next_hops *hops)
{
	for (uint32_t id = 1; id < hops->size; id++)
		if (((uintptr_t)hops->set[id] & 1) == 0)
			free(hops->set[id]);
	free(hops->set);
	*hops = (struct next_hops){0};
}
