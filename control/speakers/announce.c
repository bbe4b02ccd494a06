// SPDX-License-Identifier: BSD-3-Clause
// What a domain announces, in groups that come and go as a whole, and joins that keep attributes. A group whose prefixes are
// as before and only comes or goes is the kind's to carry out at once (speaker_ops.toggle); everything else is a change of
// what is rendered.

#include "control/speakers/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- groups

static void free_group(struct served_domain *domain, struct announcement_group *group)
{
	TAILQ_REMOVE(&domain->groups, group, entry);
	for (unsigned int i = 0; i < group->count; i++) {
		free((uint32_t *)group->list[i].community);
		free((struct policy_large *)group->list[i].large);
	}
	free(group->list);
	free(group);
}

void groups_free(struct served_domain *domain)
{
	struct announcement_group *group;

	while ((group = TAILQ_FIRST(&domain->groups)) != NULL)
		free_group(domain, group);
}

static struct announcement_group *find_group(struct served_domain *domain, uint32_t id)
{
	struct announcement_group *group;

	TAILQ_FOREACH (group, &domain->groups, entry)
		if (group->id == id)
			return group;
	return NULL;
}

static bool same_list(const struct announcement_group *group,
	const struct speaker_announcement *list, unsigned int count)
{
	if (group->count != count)
		return false;
	for (unsigned int i = 0; i < count; i++) {
		const struct speaker_announcement *a = &group->list[i], *b = &list[i];
		if (ip_prefix_compare(&a->prefix, &b->prefix) != 0 ||
			a->communities != b->communities || a->larges != b->larges ||
			(a->communities > 0 &&
				memcmp(a->community, b->community,
					a->communities * sizeof(*a->community)) != 0) ||
			(a->larges > 0 &&
				memcmp(a->large, b->large, a->larges * sizeof(*a->large)) != 0))
			return false;
	}
	return true;
}

static void add_group(
	struct served_domain *domain, const struct speaker_group *declared, bool was_up)
{
	struct announcement_group *group = calloc(1, sizeof(*group));
	unsigned int count = declared->count;

	if (group == NULL)
		abort();
	*group = (struct announcement_group){.id = declared->id, .kept = true, .count = count};
	group->up = declared->state == SPEAKER_AS_BEFORE ? was_up
							 : declared->state == SPEAKER_ANNOUNCED;
	group->list = speakers_copy(declared->list, count * sizeof(*group->list));
	for (unsigned int i = 0; i < count; i++) {
		struct speaker_announcement *one = &group->list[i];
		one->community = speakers_copy(one->community, one->communities * sizeof(uint32_t));
		one->large = speakers_copy(one->large, one->larges * sizeof(struct policy_large));
	}
	// By id: the same groups are the same text, in whatever order they were said.
	struct announcement_group *behind;
	TAILQ_FOREACH (behind, &domain->groups, entry)
		if (behind->id > group->id)
			break;
	if (behind != NULL)
		TAILQ_INSERT_BEFORE(behind, group, entry);
	else
		TAILQ_INSERT_TAIL(&domain->groups, group, entry);
}

// True: the configuration is another.
static bool set_group(struct served_domain *domain, const struct speaker_group *declared)
{
	struct announcement_group *group = find_group(domain, declared->id);
	struct speaker *speaker = domain->speaker;
	bool up = declared->state == SPEAKER_ANNOUNCED;

	if (group == NULL) {
		add_group(domain, declared,
			declared->state == SPEAKER_AS_BEFORE &&
				speaker->ops->announces(speaker, domain, declared->id));
		return true;
	}
	if (!same_list(group, declared->list, declared->count)) {
		bool was_up = group->up;
		free_group(domain, group);
		add_group(domain, declared, was_up);
		return true;
	}
	group->kept = true;
	if (declared->state != SPEAKER_AS_BEFORE && group->up != up) {
		group->up = up;
		domain->file.stale = true;
		speaker->ops->toggle(speaker, domain, group);
	}
	return false;
}

int speakers_announce(struct speakers *speakers, uint32_t id, const struct speaker_group *groups,
	unsigned int count)
{
	struct served_domain *domain = served_domain(speakers, id);
	struct announcement_group *group, *next;
	bool changed;

	if (domain == NULL)
		return -ENOENT;
	changed = !domain->announced;
	domain->announced = true;
	TAILQ_FOREACH (group, &domain->groups, entry)
		group->kept = false;
	for (unsigned int i = 0; i < count; i++)
		if (groups[i].count > 0)
			changed = set_group(domain, &groups[i]) || changed;
	TAILQ_FOREACH_SAFE(group, &domain->groups, entry, next)
	{
		if (group->kept)
			continue;
		free_group(domain, group);
		changed = true;
	}
	if (changed) {
		domain->file.stale = true;
		steps_changed(domain->speaker);
	}
	return 0;
}

// --- joins

static struct speaker *second_of(const struct speaker_join *join)
{
	struct speaker *second = join->domain[1]->speaker;

	return second != join->domain[0]->speaker ? second : NULL;
}

static void changed(const struct speaker_join *join)
{
	for (unsigned int i = 0; i < 2; i++)
		steps_changed(join->domain[i]->speaker);
}

static void free_join(struct speaker_join *join)
{
	TAILQ_REMOVE(&join->domain[0]->speaker->joins[0], join, link[0]);
	if (second_of(join) != NULL)
		TAILQ_REMOVE(&second_of(join)->joins[1], join, link[1]);
	for (unsigned int i = 0; i < 2; i++) {
		LIST_REMOVE(join, of_domain[i]);
		policy_clear(&join->policy[i]);
	}
	free(join);
}

void joins_free(struct served_domain *domain)
{
	struct speaker_join *join;

	for (unsigned int i = 0; i < 2; i++)
		while ((join = LIST_FIRST(&domain->joins[i])) != NULL) {
			changed(join);
			free_join(join);
		}
}

static struct speaker_join *find_join(const struct served_domain *a, const struct served_domain *b)
{
	struct speaker_join *join;

	LIST_FOREACH (join, &a->joins[0], of_domain[0])
		if (join->domain[1] == b)
			return join;
	LIST_FOREACH (join, &a->joins[1], of_domain[1])
		if (join->domain[0] == b)
			return join;
	return NULL;
}

static void add_join(struct served_domain *const domain[2], const struct policy *const policy[2],
	const struct speaker_patch *patch)
{
	static const struct policy nothing = {.otherwise = POLICY_REJECT};
	struct speaker_join *join = calloc(1, sizeof(*join));

	if (join == NULL)
		abort();
	for (unsigned int i = 0; i < 2; i++) {
		join->domain[i] = domain[i];
		LIST_INSERT_HEAD(&domain[i]->joins[i], join, of_domain[i]);
		policy_copy(&join->policy[i], policy[i] != NULL ? policy[i] : &nothing);
		if (patch != NULL)
			snprintf(join->device[i], sizeof(join->device[i]), "%s", patch->device[i]);
	}
	TAILQ_INSERT_TAIL(&domain[0]->speaker->joins[0], join, link[0]);
	if (second_of(join) != NULL)
		TAILQ_INSERT_TAIL(&second_of(join)->joins[1], join, link[1]);
	changed(join);
}

static bool tells(const struct served_domain *domain)
{
	return domain->speaker->ops != &static_speaker;
}

int speakers_join(struct speakers *speakers, uint32_t a, uint32_t b, const struct policy *a_to_b,
	const struct policy *b_to_a, const struct speaker_patch *patch, struct api_error *error)
{
	struct served_domain *const domain[2] = {
		served_domain(speakers, a), served_domain(speakers, b)};
	const struct policy *const policy[2] = {a_to_b, b_to_a};

	if (domain[0] == NULL || domain[1] == NULL || domain[0] == domain[1])
		return api_fail(error, API_NOT_FOUND, NULL,
			"a join of domains %u and %u names no two domains with a speaker", a, b);
	bool together = domain[0]->speaker == domain[1]->speaker;
	if (!tells(domain[0]) || !tells(domain[1]) || (!together && patch == NULL))
		return api_fail(error, API_REFUSED, NULL,
			"domains \"%s\" and \"%s\" cannot be joined with their BGP attributes: %s",
			domain[0]->declared.name, domain[1]->declared.name,
			tells(domain[0]) && tells(domain[1]) ? "nothing leads from one to the other"
							     : "one of them has no BGP daemon");
	struct speaker_join *join = find_join(domain[0], domain[1]);
	if (join != NULL)
		free_join(join);
	add_join(domain, policy, together ? NULL : patch);
	return 0;
}

void speakers_part(struct speakers *speakers, uint32_t a_id, uint32_t b_id)
{
	struct served_domain *a = served_domain(speakers, a_id), *b = served_domain(speakers, b_id);
	struct speaker_join *join = a != NULL && b != NULL ? find_join(a, b) : NULL;

	if (join == NULL)
		return;
	changed(join);
	free_join(join);
}
