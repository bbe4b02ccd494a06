// SPDX-License-Identifier: BSD-3-Clause
// A policy as an FRR route-map. Each rule is an entry; its lists have names of their own, NAME-SEQUENCE. What is not as
// in BIRD:
//
//	an entry permits or denies and then stops; `on-match next` makes a permitting one go on (POLICY_NEXT)
//	an entry has one `match` of a kind, lists hold the alternatives: the same "one of the list, all of the kinds"
//	"not ours" has no word: an entry before the rule catches what is ours (`match peer local`) and jumps over it
//	a join does not exist here, so a rule that asks for joined routes alone never holds and is left out
//	a MED cannot be taken away, only be set: 0 stands for none
//	a prefix-list wants len < ge <= le, so ge is said only when it is longer than the prefix

#include "control/speakers/frr/render.h"

#include <string.h>

enum { STEP = 10 };

struct map_entry {
	FILE *out;
	const char *name;
	unsigned int sequence;
	uint8_t family;
};

static const char *ip(const struct map_entry *entry)
{
	return entry->family == 4 ? "ip" : "ipv6";
}

// --- lists

static void put_prefix_list(const struct map_entry *entry, const struct policy_match *match)
{
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < match->prefixes; i++) {
		const struct policy_prefix *rule = &match->prefix[i];
		uint8_t len = rule->prefix.len;
		if (rule->prefix.address.family != entry->family || rule->ge > rule->le)
			continue;
		fprintf(entry->out, "%s prefix-list %s-%u seq %u permit %s", ip(entry), entry->name,
			entry->sequence, i + 1, ip_prefix_format(&rule->prefix, text));
		if (rule->ge > len)
			fprintf(entry->out, " ge %u", rule->ge);
		if (rule->le > len)
			fprintf(entry->out, " le %u", rule->le);
		fprintf(entry->out, "\n");
	}
}

static void put_next_hop_list(const struct map_entry *entry, const struct policy_match *match)
{
	char text[IP_TEXT_MAX];

	if (match->foreign == 0)
		return;
	for (unsigned int i = 0; i < match->foreign; i++)
		if (match->foreign_to[i].family == entry->family)
			fprintf(entry->out, "%s prefix-list %s-%u-hop seq %u deny %s/%u\n",
				ip(entry), entry->name, entry->sequence, i + 1,
				ip_address_format(&match->foreign_to[i], text),
				ip_bits(entry->family));
	fprintf(entry->out, "%s prefix-list %s-%u-hop seq %u permit any\n", ip(entry), entry->name,
		entry->sequence, match->foreign + 1);
}

static void put_community_lists(const struct map_entry *entry, const struct policy_match *match)
{
	for (unsigned int i = 0; i < match->communities; i++)
		fprintf(entry->out, "bgp community-list standard %s-%u seq %u permit %u:%u\n",
			entry->name, entry->sequence, i + 1, match->community[i] >> 16,
			match->community[i] & 0xffff);
	for (unsigned int i = 0; i < match->larges; i++)
		fprintf(entry->out,
			"bgp large-community-list standard %s-%u seq %u permit %u:%u:%u\n",
			entry->name, entry->sequence, i + 1, match->large[i].asn, match->large[i].a,
			match->large[i].b);
}

// Both questions about the path are one list, since an entry has one: each AS number with each length.
static void put_path_list(const struct map_entry *entry, const struct policy_match *match)
{
	unsigned int low = match->as_length_min, high = match->as_length_max;

	for (unsigned int i = 0; i < match->as_contain; i++)
		fprintf(entry->out, "bgp as-path access-list %s-%u seq %u permit _%u_\n",
			entry->name, entry->sequence, i + 1, match->as_contains[i]);
	if (low == 0 && high == 0)
		return;
	if (low == 0)
		fprintf(entry->out, "bgp as-path access-list %s-%u-length seq 1 permit ^$\n",
			entry->name, entry->sequence);
	fprintf(entry->out,
		"bgp as-path access-list %s-%u-length seq 2 permit ^[0-9]+( [0-9]+){%u,",
		entry->name, entry->sequence, low > 0 ? low - 1 : 0);
	if (high > 0)
		fprintf(entry->out, "%u", high - 1);
	fprintf(entry->out, "}$\n");
}

static void put_removed_lists(const struct map_entry *entry, const struct policy_change *change)
{
	for (unsigned int i = 0; i < change->remove_communities; i++) {
		const struct policy_community_range *range = &change->remove_community[i];
		if (range->low == 0 && range->high == 65535) {
			fprintf(entry->out,
				"bgp community-list expanded %s-%u-gone seq %u permit %u:.*\n",
				entry->name, entry->sequence, (i + 1) * 65536, range->asn);
			continue;
		}
		for (unsigned int value = range->low; value <= range->high; value++)
			fprintf(entry->out,
				"bgp community-list expanded %s-%u-gone seq %u permit _%u:%u_\n",
				entry->name, entry->sequence, i * 65536 + value + 1, range->asn,
				value);
	}
	for (unsigned int i = 0; i < change->remove_larges; i++) {
		const struct policy_large_range *range = &change->remove_large[i];
		fprintf(entry->out,
			"bgp large-community-list expanded %s-%u-gone seq %u permit _%u:",
			entry->name, entry->sequence, i + 1, range->asn);
		if (range->all)
			fprintf(entry->out, ".*\n");
		else
			fprintf(entry->out, "%u:%u_\n", range->a, range->b);
	}
}

// --- an entry

static void put_matches(const struct map_entry *entry, const struct policy_match *match)
{
	const char *name = entry->name;
	unsigned int sequence = entry->sequence;
	FILE *out = entry->out;

	if (match->prefixes > 0)
		fprintf(out, " match %s address prefix-list %s-%u\n", ip(entry), name, sequence);
	if (match->communities > 0)
		fprintf(out, " match community %s-%u\n", name, sequence);
	if (match->larges > 0)
		fprintf(out, " match large-community %s-%u\n", name, sequence);
	if (match->as_contain > 0)
		fprintf(out, " match as-path %s-%u\n", name, sequence);
	if (match->as_contain == 0 && (match->as_length_min > 0 || match->as_length_max > 0))
		fprintf(out, " match as-path %s-%u-length\n", name, sequence);
	if (match->foreign > 0)
		fprintf(out, " match %s next-hop prefix-list %s-%u-hop\n", ip(entry), name,
			sequence);
	if (match->blackhole)
		fprintf(out, " match %s next-hop type blackhole\n", ip(entry));
	if (match->origins != 0 && (match->origins & POLICY_LEARNED) == 0)
		fprintf(out, " match peer local\n");
}

static void put_sets(const struct map_entry *entry, const struct policy_change *change)
{
	FILE *out = entry->out;

	if (change->delete_asn != 0)
		fprintf(out, " set as-path exclude %u\n", change->delete_asn);
	if (change->prepend > 0)
		fprintf(out, " set as-path prepend");
	for (unsigned int i = 0; i < change->prepend; i++)
		fprintf(out, " %u", change->prepend_asn);
	if (change->prepend > 0)
		fprintf(out, "\n");
	if (change->remove_communities > 0)
		fprintf(out, " set comm-list %s-%u-gone delete\n", entry->name, entry->sequence);
	if (change->add_communities > 0)
		fprintf(out, " set community");
	for (unsigned int i = 0; i < change->add_communities; i++)
		fprintf(out, " %u:%u", change->add_community[i] >> 16,
			change->add_community[i] & 0xffff);
	if (change->add_communities > 0)
		fprintf(out, " additive\n");
	if (change->remove_larges > 0)
		fprintf(out, " set large-comm-list %s-%u-gone delete\n", entry->name,
			entry->sequence);
	if (change->add_larges > 0)
		fprintf(out, " set large-community");
	for (unsigned int i = 0; i < change->add_larges; i++)
		fprintf(out, " %u:%u:%u", change->add_large[i].asn, change->add_large[i].a,
			change->add_large[i].b);
	if (change->add_larges > 0)
		fprintf(out, " additive\n");
	if (change->set_med || change->clear_med)
		fprintf(out, " set metric %u\n", change->set_med ? change->med : 0);
	if (change->local_pref != 0)
		fprintf(out, " set local-preference %u\n", change->local_pref);
}

// False: it can never hold.
static bool may_hold(const struct policy_match *match, uint8_t family)
{
	bool usable = match->prefixes == 0;

	for (unsigned int i = 0; i < match->prefixes; i++)
		usable = usable || (match->prefix[i].prefix.address.family == family &&
					   match->prefix[i].ge <= match->prefix[i].le);
	return usable && (match->family == 0 || match->family == family) &&
	       match->origins != POLICY_JOINED;
}

// A list of AS numbers and a length are two entries: who is too short or too long jumps over the rule.
static void put_skips(struct map_entry *entry, const struct policy_match *match)
{
	bool learned = (match->origins & POLICY_LEARNED) != 0;
	bool own = match->origins == 0 || (match->origins & POLICY_OWN) != 0;
	bool length =
		match->as_contain > 0 && (match->as_length_min > 0 || match->as_length_max > 0);
	unsigned int rule = entry->sequence + STEP - 1;

	if (learned && !own) {
		fprintf(entry->out,
			"route-map %s permit %u\n match peer local\n on-match goto %u\nexit\n",
			entry->name, entry->sequence, rule + 1);
		entry->sequence++;
	}
	if (length) {
		// Those that fit go to the rule, those that do not to the one after it.
		fprintf(entry->out,
			"route-map %s permit %u\n match as-path %s-%u-length\n on-match goto "
			"%u\nexit\n",
			entry->name, entry->sequence, entry->name, rule, rule);
		fprintf(entry->out, "route-map %s permit %u\n on-match goto %u\nexit\n",
			entry->name, entry->sequence + 1, rule + 1);
	}
	entry->sequence = rule;
}

static void put_rule(struct map_entry *entry, const struct policy_rule *rule)
{
	bool jumps = rule->action == POLICY_NEXT;
	struct map_entry lists = *entry;

	lists.sequence += STEP - 1;
	put_prefix_list(&lists, &rule->match);
	put_next_hop_list(&lists, &rule->match);
	put_community_lists(&lists, &rule->match);
	put_path_list(&lists, &rule->match);
	if (rule->action != POLICY_REJECT)
		put_removed_lists(&lists, &rule->change);
	put_skips(entry, &rule->match);
	fprintf(entry->out, "route-map %s %s %u\n", entry->name,
		rule->action == POLICY_REJECT ? "deny" : "permit", entry->sequence);
	put_matches(entry, &rule->match);
	if (rule->action != POLICY_REJECT)
		put_sets(entry, &rule->change);
	fprintf(entry->out, "%sexit\n", jumps ? " on-match next\n" : "");
	entry->sequence++;
}

void frr_route_map(FILE *out, const char *name, const struct policy *policy, uint8_t family)
{
	struct map_entry entry = {.out = out, .name = name, .sequence = STEP, .family = family};
	unsigned int count;

	for (unsigned int i = 0; i < policy->sets; i++) {
		const struct policy_rule *rules = policy_set_rules(policy->set[i], &count);
		for (unsigned int j = 0; j < count; j++)
			if (may_hold(&rules[j].match, family))
				put_rule(&entry, &rules[j]);
	}
	// The end, and where the last rule's jumps lead.
	fprintf(out, "route-map %s %s %u\nexit\n!\n", name,
		policy->otherwise == POLICY_ACCEPT ? "permit" : "deny", entry.sequence);
}
