// SPDX-License-Identifier: BSD-3-Clause
// How many prefixes may come in: so many of each family in each domain, every prefix counted once.
//
// A prefix that no rule refuses takes one of the domain's places, or is held when there is none. Who has a
// place keeps it, whatever comes later; a place that becomes free goes to the lowest of the held prefixes, so
// that the outcome does not depend on chance. That also holds across a restart of culvertd: of a domain that
// is full the data plane is asked what it has installed (`kept`), those come first again, and the rest waits
// until the kernel has told all. A held prefix is a line in a heap and nothing else: no next hop is looked up
// for it and no record written, so that one customer's excess costs the others nothing.

#include "control/domain/state.h"

#include <stdlib.h>
#include <string.h>

static struct places *places_of(struct domain *domain, const struct route_key *key)
{
	return &domain->places[family_of(key)];
}

// --- the held ones: a binary heap, lowest prefix first ----------------------------------------------------

static bool before(const struct prefix *a, const struct prefix *b)
{
	return route_key_compare(&a->route.key, &b->route.key) < 0;
}

static void put(struct places *places, unsigned int at, struct prefix *prefix)
{
	places->held[at] = prefix;
	prefix->held_at = at;
}

static void rise(struct places *places, unsigned int at)
{
	struct prefix *moved = places->held[at];

	for (; at > 0 && before(moved, places->held[(at - 1) / 2]); at = (at - 1) / 2)
		put(places, at, places->held[(at - 1) / 2]);
	put(places, at, moved);
}

static void sink(struct places *places, unsigned int at)
{
	struct prefix *moved = places->held[at];

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

static void hold(struct domain *domain, struct prefix *prefix)
{
	struct places *places = places_of(domain, &prefix->route.key);

	if (places->held_count == places->held_room) {
		places->held_room = places->held_room == 0 ? 16 : 2 * places->held_room;
		places->held = reallocarray(places->held, places->held_room, sizeof(*places->held));
		if (places->held == NULL)
			abort();
	}
	put(places, places->held_count++, prefix);
	rise(places, prefix->held_at);
	prefix_set_place(domain, prefix, PLACE_HELD);
}

static void release(struct domain *domain, struct prefix *prefix)
{
	struct places *places = places_of(domain, &prefix->route.key);
	struct prefix *last = places->held[--places->held_count];
	unsigned int at = prefix->held_at;

	if (places->held_count == 0) {
		free(places->held);
		places->held = NULL;
		places->held_room = 0;
	}
	if (last == prefix)
		return;
	put(places, at, last);
	rise(places, at);
	sink(places, last->held_at);
}

// --- places -----------------------------------------------------------------------------------------------

unsigned int limit_of(const struct domain *domain, unsigned int family)
{
	if (domain->domains->sync.route_limit != 0)
		return domain->domains->sync.route_limit;
	unsigned int limit = domain->wanted != NULL ? domain->wanted->import.limit[family] : 0;
	return limit != 0 ? limit : ROUTE_LIMIT;
}

void limit_judge(struct domain *domain, struct prefix *prefix, bool acceptable)
{
	enum place place = prefix_place(prefix);

	if (!acceptable) {
		limit_leave(domain, prefix);
		prefix_set_place(domain, prefix, PLACE_REFUSED);
	} else if (place == PLACE_NONE || place == PLACE_REFUSED) {
		if (table_find(&domain->kept, &prefix->route.key) == NULL)
			hold(domain, prefix);
		else
			prefix_set_place(domain, prefix, PLACE_TAKEN);
	}
}

void limit_leave(struct domain *domain, struct prefix *prefix)
{
	if (prefix_place(prefix) == PLACE_HELD)
		release(domain, prefix);
	prefix_set_place(domain, prefix, PLACE_NONE);
}

struct prefix *limit_next(struct domain *domain)
{
	for (unsigned int i = 0; i < 2 && domain->state == DOMAIN_LIVE; i++) {
		struct places *places = &domain->places[i];
		if (places->held_count == 0 || domain->count[i].taken >= limit_of(domain, i))
			continue;
		struct prefix *first = places->held[0];
		release(domain, first);
		prefix_set_place(domain, first, PLACE_TAKEN);
		return first;
	}
	return NULL;
}

// --- what a full domain had before we came ----------------------------------------------------------------

static void free_kept(void *ctx, void *entry)
{
	free(entry);
}

void limit_keep(struct domain *domain, const struct wire_route *route)
{
	struct route_key key = {.family = route->family, .len = route->len};

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
	for (unsigned int i = 0; i < 2; i++) {
		free(domain->places[i].held);
		domain->places[i] = (struct places){.held = NULL};
	}
}
