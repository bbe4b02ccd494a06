// SPDX-License-Identifier: BSD-3-Clause
// What the kernel mirror said of each prefix of a domain, one entry per prefix and in it a route for each
// protocol and metric. Refused ones are here too: a change of the rules needs no question to the kernel.

#include "control/sync/state.h"

#include <stdlib.h>
#include <string.h>

struct prefix_key prefix_key_of(const struct ip_prefix *prefix)
{
	struct prefix_key key = {.family = prefix->address.family, .len = prefix->len};
	memcpy(key.addr, prefix->address.bytes, sizeof(key.addr));
	return key;
}

struct ip_prefix prefix_of_key(const struct prefix_key *key)
{
	struct ip_prefix prefix = {.address = {.family = key->family}, .len = key->len};
	memcpy(prefix.address.bytes, key->addr, sizeof(key->addr));
	return prefix;
}

static void forget_learned(void *ctx, void *entry)
{
	struct learned *learned = entry;
	while (learned->routes != NULL) {
		struct learned_route *route = learned->routes;
		learned->routes = route->next;
		free(route);
	}
	free(learned);
}

static struct learned_route *make_route(const struct bridge_route *from, uint32_t life)
{
	struct learned_route *route =
		calloc(1, sizeof(*route) + from->count * sizeof(route->hop[0]));
	if (route == NULL)
		abort();
	route->metric = from->metric;
	route->life = life;
	route->protocol = from->protocol;
	route->blackhole = from->blackhole;
	route->count = from->count;
	for (unsigned int i = 0; i < from->count; i++) {
		route->hop[i].via = from->nexthop[i].via;
		route->hop[i].weight = from->nexthop[i].weight > 0 ? from->nexthop[i].weight : 1;
	}
	return route;
}

struct learned *learned_update(
	struct domain *domain, const struct bridge_route *route, bool present)
{
	struct prefix_key key = prefix_key_of(&route->prefix);
	struct learned *learned = table_find(&domain->learned, &key);

	if (learned == NULL && !present)
		return NULL;
	if (learned == NULL) {
		learned = calloc(1, sizeof(*learned));
		if (learned == NULL)
			abort();
		learned->key = key;
		table_add(&domain->learned, learned);
	}
	struct learned_route **at = &learned->routes;
	while (*at != NULL &&
		((*at)->protocol != route->protocol || (*at)->metric != route->metric))
		at = &(*at)->next;
	struct learned_route *old = *at;
	if (present) {
		struct learned_route *new = make_route(route, domain->life);
		new->next = old != NULL ? old->next : NULL;
		*at = new;
	} else if (old != NULL) {
		*at = old->next;
	}
	free(old);
	if (learned->routes != NULL)
		return learned;
	limit_leave(domain, learned);
	table_remove(&domain->learned, learned);
	free(learned);
	return NULL;
}

void learned_clear(struct domain *domain)
{
	table_clear(&domain->learned, forget_learned, NULL);
}

struct sweep {
	struct domain *domain;
	void (*changed)(void *ctx, const struct prefix_key *key, struct learned *left);
	void *ctx;
};

static void sweep_learned(void *ctx, void *entry)
{
	const struct sweep *sweep = ctx;
	struct learned *learned = entry;
	const struct prefix_key key = learned->key;
	struct learned_route **at = &learned->routes;
	bool changed = false;

	while (*at != NULL) {
		struct learned_route *route = *at;
		if (route->life == sweep->domain->life) {
			at = &route->next;
			continue;
		}
		*at = route->next;
		free(route);
		changed = true;
	}
	if (learned->routes == NULL) {
		limit_leave(sweep->domain, learned);
		table_remove(&sweep->domain->learned, learned);
		free(learned);
		learned = NULL;
	}
	if (changed)
		sweep->changed(sweep->ctx, &key, learned);
}

void learned_sweep(struct domain *domain,
	void (*changed)(void *ctx, const struct prefix_key *key, struct learned *left), void *ctx)
{
	struct sweep sweep = {domain, changed, ctx};
	table_each(&domain->learned, sweep_learned, &sweep);
}
