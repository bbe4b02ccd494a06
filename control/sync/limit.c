// SPDX-License-Identifier: BSD-3-Clause
// How many prefixes a customer may bring: so many of each family in each peering, every prefix counted once.
//
// A prefix that no rule refuses takes one of the peering's places, or is held when there is none. Who has a
// place keeps it, whatever comes later; a place that becomes free goes to the lowest of the held prefixes, so
// that the outcome does not depend on chance. That also holds across a restart of culvertd: of a peering that
// is full the data plane is asked what it has installed (`kept`), those come first again, and the rest waits
// until the kernel has told all. A held prefix is a line in a heap and nothing else: no next hop is looked up
// for it and no record written, so that one customer's excess costs the others nothing.

#include "control/sync/state.h"

#include <stdlib.h>
#include <string.h>

static struct places *places_of(struct domain *domain, const struct prefix_key *key)
{
	return &domain->places[key->family == WIRE_IPV6];
}

// --- the held ones: a binary heap, lowest prefix first ----------------------------------------------------

static bool before(const struct learned *a, const struct learned *b)
{
	int order = memcmp(a->key.addr, b->key.addr, sizeof(a->key.addr));
	return order != 0 ? order < 0 : a->key.len < b->key.len;
}

static void put(struct places *places, unsigned int at, struct learned *learned)
{
	places->held[at] = learned;
	learned->held_at = at;
}

static void rise(struct places *places, unsigned int at)
{
	struct learned *moved = places->held[at];

	for (; at > 0 && before(moved, places->held[(at - 1) / 2]); at = (at - 1) / 2)
		put(places, at, places->held[(at - 1) / 2]);
	put(places, at, moved);
}

static void sink(struct places *places, unsigned int at)
{
	struct learned *moved = places->held[at];

	for (unsigned int child; (child = 2 * at + 1) < places->held_count; at = child) {
		if (child + 1 < places->held_count &&
			before(places->held[child + 1], places->held[child]))
			child++;
		if (!before(places->held[child], moved))
			break;
		put(places, at, places->held[child]);
	}
	put(places, at, moved);
}

static void hold(struct places *places, struct learned *learned)
{
	if (places->held_count == places->held_room) {
		places->held_room = places->held_room == 0 ? 16 : 2 * places->held_room;
		places->held = reallocarray(places->held, places->held_room, sizeof(*places->held));
		if (places->held == NULL)
			abort();
	}
	put(places, places->held_count++, learned);
	rise(places, learned->held_at);
	learned->place = PLACE_HELD;
}

static void release(struct places *places, struct learned *learned)
{
	struct learned *last = places->held[--places->held_count];
	unsigned int at = learned->held_at;

	learned->place = PLACE_NONE;
	if (last == learned)
		return;
	put(places, at, last);
	rise(places, at);
	sink(places, last->held_at);
}

// --- places -----------------------------------------------------------------------------------------------

unsigned int limit_of(const struct sync *sync, const struct desired_domain *domain)
{
	return domain->kind == DOMAIN_PEERING ? sync->route_limit : 0;
}

unsigned int limit_held(const struct domain *domain)
{
	return domain->places[0].held_count + domain->places[1].held_count;
}

void limit_judge(struct domain *domain, struct learned *learned, bool acceptable)
{
	struct places *places = places_of(domain, &learned->key);

	if (!acceptable)
		limit_leave(domain, learned);
	if (!acceptable || learned->place != PLACE_NONE)
		return;
	if (table_find(&domain->kept, &learned->key) == NULL) {
		hold(places, learned);
		return;
	}
	learned->place = PLACE_TAKEN;
	places->taken++;
}

void limit_leave(struct domain *domain, struct learned *learned)
{
	struct places *places = places_of(domain, &learned->key);

	if (learned->place == PLACE_HELD)
		release(places, learned);
	else if (learned->place == PLACE_TAKEN)
		places->taken--;
	learned->place = PLACE_NONE;
}

struct learned *limit_next(struct domain *domain, unsigned int limit)
{
	for (unsigned int i = 0; i < 2 && domain->synced; i++) {
		struct places *places = &domain->places[i];
		if (places->held_count == 0 || places->taken >= limit)
			continue;
		struct learned *first = places->held[0];
		release(places, first);
		first->place = PLACE_TAKEN;
		places->taken++;
		return first;
	}
	return NULL;
}

// --- what a full peering had before we came ---------------------------------------------------------------

static void free_kept(void *ctx, void *entry)
{
	free(entry);
}

void limit_keep(struct domain *domain, const struct wire_route *route)
{
	struct prefix_key key = {.family = route->family, .len = route->len};

	memcpy(key.addr, route->addr, sizeof(key.addr));
	if (table_find(&domain->kept, &key) != NULL)
		return;
	struct kept *kept = calloc(1, sizeof(*kept));
	if (kept == NULL)
		abort();
	kept->key = key;
	table_add(&domain->kept, kept);
}

void limit_settle(struct domain *domain)
{
	table_clear(&domain->kept, free_kept, NULL);
}

void limit_free(struct domain *domain)
{
	limit_settle(domain);
	for (unsigned int i = 0; i < 2; i++)
		free(domain->places[i].held);
}
