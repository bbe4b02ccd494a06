// SPDX-License-Identifier: BSD-3-Clause
// The evaluator: a route against a policy, rule by rule, as BIRD runs the filter that is rendered from it. Changes
// are seen by the rules that follow. Most routes meet no rule that changes anything, so the attributes are copied
// only when the first does.

#include "control/policy/set.h"

#include <stdlib.h>
#include <string.h>

enum { COMMUNITY, LARGE, PATH }; // places in policy_verdict.memory

const struct policy_rule policy_route_limit = {
	.action = POLICY_REJECT, .name = "route-limit", .object = "no place is free"};
const struct policy_rule policy_not_allowed = {
	.action = POLICY_REJECT, .name = "not-allowed", .object = "no rule lets it through"};

// --- matching

// The first of the rule's prefixes that is not before `key`.
static unsigned int lower_bound(const struct policy_match *match, const struct ip_prefix *key)
{
	unsigned int low = 0, high = match->prefixes;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		if (set_prefix_compare(&match->prefix[middle].prefix, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool covered(const struct policy_match *match, const struct ip_prefix *prefix)
{
	// From the route's own length down; each search also tells the next length worth one.
	for (int len = prefix->len; len >= 0;) {
		struct ip_prefix outer = ip_prefix_of(&prefix->address, (uint8_t)len);
		unsigned int at = lower_bound(match, &outer);
		for (unsigned int i = at; i < match->prefixes; i++) {
			const struct policy_prefix *rule = &match->prefix[i];
			if (set_prefix_compare(&rule->prefix, &outer) != 0)
				break;
			if (rule->ge <= prefix->len && prefix->len <= rule->le)
				return true;
		}
		if (at == 0 ||
			match->prefix[at - 1].prefix.address.family != prefix->address.family)
			return false;
		int before = match->prefix[at - 1].prefix.len;
		len = before < len ? before : len - 1;
	}
	return false;
}

static bool has_number(const uint32_t *list, unsigned int count, uint32_t number)
{
	for (unsigned int i = 0; i < count; i++)
		if (list[i] == number)
			return true;
	return false;
}

static bool any_number(
	const uint32_t *list, unsigned int count, const uint32_t *wanted, unsigned int wanteds)
{
	for (unsigned int i = 0; i < wanteds; i++)
		if (has_number(list, count, wanted[i]))
			return true;
	return false;
}

static bool same_large(const struct policy_large *a, const struct policy_large *b)
{
	return a->asn == b->asn && a->a == b->a && a->b == b->b;
}

static bool has_large(
	const struct policy_large *list, unsigned int count, const struct policy_large *large)
{
	for (unsigned int i = 0; i < count; i++)
		if (same_large(&list[i], large))
			return true;
	return false;
}

static bool any_large(const struct policy_route *route, const struct policy_match *match)
{
	for (unsigned int i = 0; i < match->larges; i++)
		if (has_large(route->large, route->larges, &match->large[i]))
			return true;
	return false;
}

// A router of the other family is no way for the prefix.
static bool is_foreign(const struct policy_route *route, const struct policy_match *match)
{
	if (route->next_hop.family == 0)
		return false;
	for (unsigned int i = 0; i < match->foreign; i++)
		if (match->foreign_to[i].family == route->prefix.address.family &&
			ip_address_compare(&match->foreign_to[i], &route->next_hop) == 0)
			return false;
	return true;
}

static bool length_fits(const struct policy_route *route, const struct policy_match *match)
{
	return route->as_path_length >= match->as_length_min &&
	       (match->as_length_max == 0 || route->as_path_length <= match->as_length_max);
}

enum answer { NO, MAYBE, YES };

static bool attributes_match(const struct policy_match *match, const struct policy_route *route)
{
	if (!length_fits(route, match) || (match->larges > 0 && !any_large(route, match)))
		return false;
	if (match->communities > 0 && !any_number(route->community, route->communities,
					      match->community, match->communities))
		return false;
	return match->as_contain == 0 || any_number(route->as_path, route->as_path_length,
						 match->as_contains, match->as_contain);
}

static enum answer matches(const struct policy_match *match, const struct policy_route *route)
{
	if (match->family != 0 && match->family != route->prefix.address.family)
		return NO;
	if (match->origins != 0 && (match->origins & route->origin) == 0)
		return NO;
	if (match->blackhole && !route->blackhole)
		return NO;
	if (match->prefixes > 0 && !covered(match, &route->prefix))
		return NO;
	if (match->foreign > 0 && !is_foreign(route, match))
		return NO;
	if (route->partial &&
		(match->as_length_min > 0 || match->as_length_max > 0 || match->communities > 0 ||
			match->larges > 0 || match->as_contain > 0))
		return MAYBE;
	return attributes_match(match, route) ? YES : NO;
}

// --- changing

// Room for `more` elements beside what is there; what was there is copied. The old memory goes.
static void *room(struct policy_verdict *verdict, unsigned int which, const void *from,
	unsigned int count, unsigned int more, size_t size)
{
	char *new = malloc((count + more + 1) * size);

	if (new == NULL)
		abort();
	if (count > 0)
		memcpy(new + (which == PATH ? more * size : 0), from, count * size);
	free(verdict->memory[which]);
	verdict->memory[which] = new;
	return new;
}

static void change_path(struct policy_verdict *verdict, const struct policy_change *change)
{
	struct policy_route *route = &verdict->route;

	if (change->delete_asn == 0 && change->prepend == 0)
		return;
	uint32_t *path = room(verdict, PATH, route->as_path, route->as_path_length, change->prepend,
		sizeof(*path));
	unsigned int count = change->prepend;
	for (unsigned int i = 0; i < change->prepend; i++)
		path[i] = change->prepend_asn;
	for (unsigned int i = 0; i < route->as_path_length; i++) {
		uint32_t asn = path[change->prepend + i];
		if (change->delete_asn == 0 || asn != change->delete_asn)
			path[count++] = asn;
	}
	route->as_path = path;
	route->as_path_length = count;
}

static bool removes(const struct policy_change *change, uint32_t community)
{
	for (unsigned int i = 0; i < change->remove_communities; i++) {
		const struct policy_community_range *range = &change->remove_community[i];
		if (community >= POLICY_COMMUNITY(range->asn, range->low) &&
			community <= POLICY_COMMUNITY(range->asn, range->high))
			return true;
	}
	return false;
}

static void change_communities(struct policy_verdict *verdict, const struct policy_change *change)
{
	struct policy_route *route = &verdict->route;
	unsigned int count = 0;

	if (change->remove_communities == 0 && change->add_communities == 0)
		return;
	uint32_t *list = room(verdict, COMMUNITY, route->community, route->communities,
		change->add_communities, sizeof(*list));
	for (unsigned int i = 0; i < route->communities; i++)
		if (!removes(change, list[i]))
			list[count++] = list[i];
	for (unsigned int i = 0; i < change->add_communities; i++)
		if (!has_number(list, count, change->add_community[i]))
			list[count++] = change->add_community[i];
	route->community = list;
	route->communities = count;
}

static bool removes_large(const struct policy_change *change, const struct policy_large *large)
{
	for (unsigned int i = 0; i < change->remove_larges; i++) {
		const struct policy_large_range *range = &change->remove_large[i];
		if (range->asn == large->asn &&
			(range->all || (range->a == large->a && range->b == large->b)))
			return true;
	}
	return false;
}

static void change_larges(struct policy_verdict *verdict, const struct policy_change *change)
{
	struct policy_route *route = &verdict->route;
	unsigned int count = 0;

	if (change->remove_larges == 0 && change->add_larges == 0)
		return;
	struct policy_large *list = room(
		verdict, LARGE, route->large, route->larges, change->add_larges, sizeof(*list));
	for (unsigned int i = 0; i < route->larges; i++)
		if (!removes_large(change, &list[i]))
			list[count++] = list[i];
	for (unsigned int i = 0; i < change->add_larges; i++)
		if (!has_large(list, count, &change->add_large[i]))
			list[count++] = change->add_large[i];
	route->large = list;
	route->larges = count;
}

static void apply(struct policy_verdict *verdict, const struct policy_change *change)
{
	change_path(verdict, change);
	change_communities(verdict, change);
	change_larges(verdict, change);
	if (change->set_med || change->clear_med) {
		verdict->route.has_med = change->set_med;
		verdict->route.med = change->set_med ? change->med : 0;
	}
	if (change->local_pref != 0)
		verdict->route.local_pref = change->local_pref;
}

// --- the whole

// True: decided.
static bool run_set(const struct policy_set *set, struct policy_verdict *verdict)
{
	unsigned int count;
	const struct policy_rule *rules = policy_set_rules(set, &count);

	for (unsigned int i = 0; i < count; i++) {
		enum answer answer = matches(&rules[i].match, &verdict->route);
		if (answer == NO || (answer == MAYBE && rules[i].action != POLICY_ACCEPT))
			continue;
		if (rules[i].action != POLICY_REJECT)
			apply(verdict, &rules[i].change);
		if (rules[i].action == POLICY_NEXT)
			continue;
		verdict->action = rules[i].action;
		verdict->rule = &rules[i];
		return true;
	}
	return false;
}

void policy_evaluate(const struct policy *policy, const struct policy_route *route,
	const struct policy_counts *counts, struct policy_verdict *verdict)
{
	unsigned int family = route->prefix.address.family == 6;
	bool decided = false;

	*verdict = (struct policy_verdict){.action = policy->otherwise, .route = *route};
	for (unsigned int i = 0; i < policy->sets && !decided; i++)
		decided = run_set(policy->set[i], verdict);
	if (!decided && verdict->action != POLICY_ACCEPT) {
		verdict->action = POLICY_REJECT;
		verdict->rule = &policy_not_allowed;
	}
	if (verdict->action == POLICY_ACCEPT && counts != NULL && policy->limit[family] != 0 &&
		counts->taken[family] >= policy->limit[family]) {
		verdict->action = POLICY_REJECT;
		verdict->rule = &policy_route_limit;
	}
}

void policy_verdict_clear(struct policy_verdict *verdict)
{
	for (unsigned int i = 0; i < 3; i++)
		free(verdict->memory[i]);
	*verdict = (struct policy_verdict){.action = verdict->action, .rule = verdict->rule};
}

const struct policy_rule *policy_rejecting(
	const struct policy *policy, const struct policy_route *route)
{
	struct policy_verdict verdict;

	policy_evaluate(policy, route, NULL, &verdict);
	policy_verdict_clear(&verdict);
	return verdict.action == POLICY_ACCEPT ? NULL : verdict.rule;
}
