// SPDX-License-Identifier: BSD-3-Clause
// What is announced to the routers of a domain: the own prefixes of every domain it is joined to that can be reached, as
// far as the join's policy lets them in. Each is a group of its own, which the speaker announces or withdraws as a whole.

#include "control/domain/state.h"

#include <stdlib.h>

// The own prefixes of the domain at the other end, announced while they can be reached. Of a tunnel that has not been
// heard of yet, what an earlier culvertd announced stays.
static bool group_of(struct speaker_group *group, const struct end *end)
{
	const struct domain *other = end->peer->domain;
	struct speaker_announcement *list;

	if (!domain_is_up(other) || other->wanted->prefixes.count == 0)
		return false;
	list = calloc(other->wanted->prefixes.count, sizeof(*list));
	if (list == NULL)
		abort();
	enum neighbor_state state = tunnel_state(&other->domains->sync, other->out);
	*group = (struct speaker_group){.id = other->id, .list = list};
	group->state = end->leaving               ? SPEAKER_WITHDRAWN
		       : state == NEIGHBOR_UNKNOWN ? SPEAKER_AS_BEFORE
		       : state == NEIGHBOR_USABLE  ? SPEAKER_ANNOUNCED
						   : SPEAKER_WITHDRAWN;
	for (unsigned int i = 0; i < other->wanted->prefixes.count; i++) {
		const struct policy_route route = {
			.prefix = other->wanted->prefixes.item[i], .origin = POLICY_OWN};
		if (end->import == NULL || policy_rejecting(end->import, &route) == NULL)
			list[group->count++].prefix = route.prefix;
	}
	return true;
}

void announce(struct domain *domain)
{
	struct speaker_group *groups;
	unsigned int room = 1, count = 0;
	const struct end *end;

	if (domain->state != DOMAIN_FILLING && domain->state != DOMAIN_LIVE)
		return;
	if (!domain->domains->applied)
		return; // half of the model would withdraw what the other half announces
	if (domain->attachments.count == 0)
		return; // nobody listens
	LIST_FOREACH (end, &domain->ends, entry)
		room++;
	groups = calloc(room, sizeof(*groups));
	if (groups == NULL)
		abort();
	LIST_FOREACH (end, &domain->ends, entry)
		count += group_of(&groups[count], end);
	speakers_announce(domain->domains->sync.speakers, domain->id, groups, count);
	for (unsigned int i = 0; i < count; i++)
		free((struct speaker_announcement *)groups[i].list);
	free(groups);
}

void announce_joined(struct domain *domain)
{
	const struct end *end;

	LIST_FOREACH (end, &domain->ends, entry)
		work_add(domain->domains, JOB_ANNOUNCE, end->peer->domain, NULL);
}
