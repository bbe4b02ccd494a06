// SPDX-License-Identifier: BSD-3-Clause
// What is announced to the routers of a domain: the own prefixes of every domain it is joined to that can be reached, as
// far as the join's policy lets them in.

#include "control/domain/state.h"

#include <stdlib.h>

struct announcement {
	unsigned int count;
	struct ip_prefix *item;
	uint64_t hash;
	bool undecided; // what an earlier culvertd announced stays until we know better
};

static void add(struct announcement *all, const struct ip_prefix *prefix)
{
	const struct route_key key = key_of(prefix);

	for (unsigned int i = 0; i < sizeof(key); i++)
		all->hash = (all->hash ^ ((const uint8_t *)&key)[i]) * 1099511628211u;
	*(struct ip_prefix *)APPEND(*all) = *prefix;
}

static void add_end(struct announcement *all, const struct end *end)
{
	const struct domain *other = end->peer->domain;

	if (!domain_is_up(other) || other->wanted->prefixes.count == 0)
		return;
	enum neighbor_state state = tunnel_state(&other->domains->sync, other->out);
	all->undecided = all->undecided || state == NEIGHBOR_UNKNOWN;
	if (state != NEIGHBOR_USABLE)
		return;
	for (unsigned int i = 0; i < other->wanted->prefixes.count; i++) {
		const struct policy_route route = {
			.prefix = other->wanted->prefixes.item[i], .origin = POLICY_OWN};
		if (end->import == NULL || policy_rejecting(end->import, &route) == NULL)
			add(all, &route.prefix);
	}
}

void announce(struct domain *domain)
{
	struct announcement all = {.hash = 14695981039346656037u};
	const struct end *end;

	if (domain->state != DOMAIN_FILLING && domain->state != DOMAIN_LIVE)
		return;
	if (domain->attachments.count == 0)
		return; // nobody listens
	LIST_FOREACH (end, &domain->ends, entry)
		add_end(&all, end);
	if (!all.undecided && (!domain->announced_known || domain->announced != all.hash) &&
		bridge_announce(domain->domains->sync.bridge, domain->id, all.item, all.count) ==
			0) {
		domain->announced_known = true;
		domain->announced = all.hash;
	}
	free(all.item);
}

void announce_joined(struct domain *domain)
{
	const struct end *end;

	LIST_FOREACH (end, &domain->ends, entry)
		work_add(domain->domains, JOB_ANNOUNCE, end->peer->domain, NULL);
}
