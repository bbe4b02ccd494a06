// SPDX-License-Identifier: BSD-3-Clause
// From what is known of a prefix to its route in the data plane.
//
// A change of one prefix in a domain touches that prefix there and in the domains it is joined to: each is decided anew
// from its candidates, which are the domain's own prefixes and routers, what it learned, and what comes through its
// joins, as far as their policies let it. What came through a join goes no further. The winners (precedence.c) are
// interned as a group of next hops, and what is different is written to the ledger. Nothing here asks what kind of
// domain it is.

#include "control/domain/state.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

// --- what may come in ------------------------------------------------------------------------------------

const struct intent_interface *attachment_to(
	const struct domain *domain, const struct ip_address *remote)
{
	unsigned int family = ip_index(remote->family);

	for (unsigned int i = 0; i < domain->attachments.count; i++) {
		const struct intent_interface *one = domain->attachments.item[i];
		if (ip_address_compare(&one->address[family].remote, remote) == 0)
			return one;
	}
	return NULL;
}

const struct policy_rule *decide_rejecting(const struct domain *domain, const struct prefix *prefix)
{
	struct policy_route route = {
		.prefix = prefix_of(&prefix->route.key), .origin = POLICY_LEARNED, .partial = true};
	const struct policy_rule *rule = &policy_not_allowed;

	if (domain->wanted == NULL)
		return rule;
	for (unsigned int i = 0; i < learned_count(prefix); i++) {
		const struct learned *learned = learned_at(prefix, i);
		route.blackhole = learned->hops == NULL;
		for (unsigned int j = 0; j < (route.blackhole ? 1 : learned->hops->key.count);
			j++) {
			route.next_hop = route.blackhole ? (struct ip_address){.family = 0}
							 : learned->hops->key.hop[j].via;
			rule = policy_rejecting(&domain->wanted->import, &route);
			if (rule == NULL)
				return NULL; // one way that may be used is enough
		}
	}
	return rule;
}

void judge(struct domain *domain, struct prefix *prefix)
{
	limit_judge(domain, prefix, decide_rejecting(domain, prefix) == NULL);
}

// --- candidates ------------------------------------------------------------------------------------------

static void add_candidate(struct candidates *all, const struct candidate *candidate)
{
	if (all->count == all->room) {
		all->room = all->room == 0 ? 64 : 2 * all->room;
		all->item = reallocarray(all->item, all->room, sizeof(*all->item));
		if (all->item == NULL)
			abort();
	}
	all->item[all->count++] = *candidate;
}

static bool has_own(const struct domain *domain, const struct ip_prefix *prefix)
{
	for (unsigned int i = 0; domain->wanted != NULL && i < domain->wanted->prefixes.count; i++)
		if (ip_prefix_compare(&domain->wanted->prefixes.item[i], prefix) == 0)
			return true;
	return false;
}

static void add_own(struct candidates *all, const struct domain *from,
	const struct ip_prefix *prefix, enum origin origin, uint64_t account)
{
	if (from->out != 0 && has_own(from, prefix))
		add_candidate(all, &(struct candidate){.origin = origin,
					   .domain = from->id,
					   .interface = from->out,
					   .weight = 1,
					   .account = account});
}

static void add_hops(struct candidates *all, const struct domain *from,
	const struct learned *learned, const struct candidate *as)
{
	for (unsigned int i = 0; learned->hops != NULL && i < learned->hops->key.count; i++) {
		const struct hop_set_hop *hop = &learned->hops->key.hop[i];
		const struct intent_interface *out = attachment_to(from, &hop->via);
		struct candidate candidate = *as;
		if (out == NULL)
			continue;
		unsigned int share = (unsigned int)as->weight * hop->weight;
		candidate.metric = learned->metric;
		candidate.interface = out->id;
		candidate.via = hop->via;
		candidate.weight = (uint16_t)(share > 256 ? 256 : share);
		add_candidate(all, &candidate);
	}
}

static void add_learned(struct candidates *all, const struct domain *from,
	const struct route_key *key, const struct candidate *as)
{
	const struct prefix *prefix = prefix_find(from, key);

	if (prefix == NULL || prefix_place(prefix) != PLACE_TAKEN)
		return;
	for (unsigned int i = 0; i < learned_count(prefix); i++)
		add_hops(all, from, learned_at(prefix, i), as);
}

// The customer's router itself: what it sends in its own name must have a way back.
static void add_connected(
	struct candidates *all, const struct domain *domain, const struct ip_prefix *prefix)
{
	if (prefix->len != ip_bits(prefix->address.family))
		return;
	const struct intent_interface *out = attachment_to(domain, &prefix->address);
	if (out != NULL)
		add_candidate(all, &(struct candidate){
					   .origin = ORIGIN_CONNECTED,
					   .domain = domain->id,
					   .interface = out->id,
					   .via = prefix->address,
					   .weight = 1,
				   });
}

static bool comes_in(
	const struct end *end, const struct ip_prefix *prefix, enum policy_origin origin)
{
	const struct policy_route route = {.prefix = *prefix, .origin = origin};

	return end->import == NULL || policy_rejecting(end->import, &route) == NULL;
}

static void collect(
	struct candidates *all, const struct domain *domain, const struct route_key *key)
{
	const struct ip_prefix prefix = prefix_of(key);
	const struct candidate own = {.origin = ORIGIN_BGP, .domain = domain->id, .weight = 1};
	const struct end *end;

	add_connected(all, domain, &prefix);
	add_own(all, domain, &prefix, ORIGIN_VNET, 0);
	add_learned(all, domain, key, &own);
	LIST_FOREACH (end, &domain->ends, entry) {
		const struct domain *other = end->peer->domain;
		const struct candidate joined = {.origin = ORIGIN_JOINED,
			.domain = other->id,
			.weight = end->weight,
			.account = end->account};
		if (!domain_is_up(other))
			continue;
		if (comes_in(end, &prefix, POLICY_OWN))
			add_own(all, other, &prefix, ORIGIN_CONNECTION, end->account);
		if (comes_in(end, &prefix, POLICY_LEARNED))
			add_learned(all, other, key, &joined);
	}
}

// --- one prefix of one domain ----------------------------------------------------------------------------

static void count_installed(struct domain *domain, const struct prefix *prefix, unsigned int by)
{
	unsigned int family = family_of(&prefix->route.key);

	domain->count[family].installed += by;
	domain->domains->count[family].installed += by;
}

static void set_crowded(struct domain *domain, struct prefix *prefix, bool crowded)
{
	domain->crowded -= (prefix->route.owned & CROWDED_BIT) != 0;
	domain->crowded += crowded;
	if (crowded != ((prefix->route.owned & CROWDED_BIT) != 0))
		health_later(domain);
	prefix->route.owned =
		(uint8_t)((prefix->route.owned & ~CROWDED_BIT) | (crowded ? CROWDED_BIT : 0)) & 7;
}

void uninstall(struct domain *domain, struct prefix *prefix)
{
	struct group *group = prefix->group;

	if (group == NULL)
		return;
	count_installed(domain, prefix, -1u);
	set_crowded(domain, prefix, false);
	prefix->group = NULL;
	prefix->from = 0;
	// The ledger may let go of it at once, and nobody else may have a use for it. The group last, since the route leads there.
	struct sync *sync = &domain->domains->sync;
	if (prefix->route.vrf != NULL)
		route_unwant(&sync->records, &prefix->route);
	else
		prefix_drop(domain, prefix);
	group_put(&sync->hops, group);
}

static void install(
	struct domain *domain, const struct route_key *key, const struct candidates *winners)
{
	struct sync *sync = &domain->domains->sync;
	struct hop hop[WIRE_GROUP_PATHS];
	unsigned int count = winners->count < WIRE_GROUP_PATHS ? winners->count : WIRE_GROUP_PATHS;
	const struct candidate *first = &winners->item[0];

	for (unsigned int i = 0; i < count; i++) {
		const struct candidate *winner = &winners->item[i];
		hop[i] = (struct hop){
			.interface = winner->interface,
			.via = winner->via.family != 0 ? &winner->via : NULL,
			.weight = winner->weight,
			.account = winner->account,
		};
	}
	struct group *group = group_get(&sync->hops, hop, count);
	struct prefix *prefix = prefix_get(domain, key);
	struct group *old = prefix->group;
	if (old == NULL)
		count_installed(domain, prefix, 1);
	if (!prefix_learned(prefix) && (old != group || prefix->from != first->domain))
		prefix->since = (uint32_t)time(NULL);
	prefix->group = group;
	prefix->from = first->domain;
	set_crowded(domain, prefix, winners->count > count);
	route_want(&sync->records, domain->vrf, &prefix->route, group->id, (uint8_t)first->origin);
	group_put(&sync->hops, old); // after the route has left it
}

void decide(struct domain *domain, const struct route_key *key)
{
	struct candidates *all = &domain->domains->candidates;

	if (!domain->domains->sync.ready || !domain_is_up(domain))
		return;
	all->count = 0;
	collect(all, domain, key);
	all->count = precedence_choose(all->item, all->count);
	if (all->count > 0) {
		install(domain, key, all);
		return;
	}
	struct prefix *prefix = prefix_find(domain, key);
	if (prefix != NULL)
		uninstall(domain, prefix);
}

void decide_joined(struct domain *domain, const struct route_key *key)
{
	const struct route_key copy = *key; // it may be that of a prefix that goes
	const struct end *end;

	decide(domain, &copy);
	LIST_FOREACH (end, &domain->ends, entry)
		decide(end->peer->domain, &copy);
}

void decide_own(struct domain *domain, const struct intent_domain *wanted)
{
	for (unsigned int i = 0; wanted != NULL && i < wanted->prefixes.count; i++) {
		struct route_key key = key_of(&wanted->prefixes.item[i]);
		decide_joined(domain, &key);
	}
}

void decide_own_in(struct domain *target, const struct intent_domain *wanted)
{
	for (unsigned int i = 0; wanted != NULL && i < wanted->prefixes.count; i++) {
		struct route_key key = key_of(&wanted->prefixes.item[i]);
		decide(target, &key);
	}
}

void decide_attachments(struct domain *domain)
{
	for (unsigned int i = 0; i < 2 * domain->attachments.count; i++) {
		const struct ip_address *remote =
			&domain->attachments.item[i / 2]->address[i % 2].remote;
		if (remote->family == 0)
			continue;
		struct ip_prefix prefix = ip_prefix_of(remote, ip_bits(remote->family));
		struct route_key key = key_of(&prefix);
		decide(domain, &key);
	}
}

// --- from the kernel -------------------------------------------------------------------------------------

// `except` is decided by the caller.
void give_places(struct domain *domain, const struct prefix *except)
{
	struct prefix *next;

	while ((next = limit_next(domain)) != NULL)
		if (next != except)
			decide_joined(domain, &next->route.key);
}

void routes_learned(void *ctx, uint32_t id, const struct bridge_route *route, bool present)
{
	struct domain *domain = domain_find(ctx, id);
	struct route_key key = key_of(&route->prefix);

	if (domain == NULL || !domain_is_up(domain))
		return; // of a domain that is no longer
	struct prefix *prefix = present ? prefix_get(domain, &key) : prefix_find(domain, &key);
	if (prefix == NULL || (!present && learned_keep(domain, prefix, route)))
		return;
	bool left = learned_update(domain, prefix, route, present);
	if (!left)
		limit_leave(domain, prefix);
	if (!domain->domains->sync.ready) {
		prefix_drop(domain, prefix);
		return;
	}
	if (left)
		judge(domain, prefix);
	give_places(domain, prefix);
	decide_joined(domain, &key);
	prefix = prefix_find(domain, &key);
	if (prefix != NULL)
		prefix_drop(domain, prefix); // a refused one that went
}
