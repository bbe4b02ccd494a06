// SPDX-License-Identifier: BSD-3-Clause
// A policy as one expression of BIRD's filter language, rule by rule as control/policy/evaluate.c runs it. tests/net
// holds the two equal with random policies and routes. An expression, since BIRD 2.0 makes a symbol of every keyword in
// each filter's block and finds them by walking the others': with 12,000 filters of some ten words a daemon
// read its configuration for a minute, and heard nobody meanwhile. Changes are functions of the main file.
// What BIRD does otherwise than one would think:
//
//	an attribute that a route does not have ends a comparison with an error, and so the route: asked for first.
//	Paths and lists of communities are the exception, they read as empty
//	`p{ge,le}` with ge below p's own length would let shorter prefixes in: sets are built so that it never is
//	the mark `cv_joined` is an attribute of ours that never leaves the daemon: no customer can set or send it
//	&& and || bind alike: whatever mixes them stands in parentheses

#include "control/speakers/bird/render.h"

#include <stdlib.h>

struct condition {
	FILE *out;
	unsigned int parts;
};

static void begin(struct condition *condition)
{
	if (condition->parts++ > 0)
		fputs(" &&\n\t\t\t", condition->out);
}

static unsigned int usable_prefixes(const struct policy_match *match, uint8_t family)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < match->prefixes; i++)
		count += match->prefix[i].prefix.address.family == family &&
			 match->prefix[i].ge <= match->prefix[i].le;
	return count;
}

static void put_prefix(FILE *out, const struct policy_prefix *rule)
{
	char text[IP_TEXT_MAX];
	uint8_t bits = ip_bits(rule->prefix.address.family), len = rule->prefix.len;

	fputs(ip_prefix_format(&rule->prefix, text), out);
	if (rule->ge == len && rule->le == bits && len < bits)
		fputc('+', out);
	else if (rule->ge != len || rule->le != len)
		fprintf(out, "{%u,%u}", rule->ge, rule->le);
}

static void put_prefixes(
	struct condition *condition, const struct policy_match *match, uint8_t family)
{
	unsigned int count = 0;

	if (match->prefixes == 0)
		return;
	begin(condition);
	fputs("net ~ [", condition->out);
	for (unsigned int i = 0; i < match->prefixes; i++) {
		const struct policy_prefix *rule = &match->prefix[i];
		if (rule->prefix.address.family != family || rule->ge > rule->le)
			continue;
		fputs(count == 0 ? " " : count % 4 == 0 ? ",\n\t\t\t" : ", ", condition->out);
		put_prefix(condition->out, rule);
		count++;
	}
	fputs(" ]", condition->out);
}

static void put_community(FILE *out, uint32_t community)
{
	fprintf(out, "(%u,%u)", community >> 16, community & 0xffff);
}

static void put_large(FILE *out, const struct policy_large *large)
{
	fprintf(out, "(%u,%u,%u)", large->asn, large->a, large->b);
}

static void put_lists(struct condition *condition, const struct policy_match *match)
{
	FILE *out = condition->out;

	if (match->communities > 0) {
		begin(condition);
		fputs("bgp_community ~ [", out);
		for (unsigned int i = 0; i < match->communities; i++) {
			fputs(i == 0 ? " " : ", ", out);
			put_community(out, match->community[i]);
		}
		fputs(" ]", out);
	}
	if (match->larges > 0) {
		begin(condition);
		fputs("bgp_large_community ~ [", out);
		for (unsigned int i = 0; i < match->larges; i++) {
			fputs(i == 0 ? " " : ", ", out);
			put_large(out, &match->large[i]);
		}
		fputs(" ]", out);
	}
	if (match->as_contain > 0) {
		begin(condition);
		fputs("bgp_path ~ [", out);
		for (unsigned int i = 0; i < match->as_contain; i++)
			fprintf(out, "%s%u", i == 0 ? " " : ", ", match->as_contains[i]);
		fputs(" ]", out);
	}
}

static void put_next_hops(
	struct condition *condition, const struct policy_match *match, uint8_t family)
{
	char text[IP_TEXT_MAX];
	unsigned int count = 0;

	if (match->foreign == 0)
		return;
	begin(condition);
	fputs("defined(bgp_next_hop)", condition->out);
	for (unsigned int i = 0; i < match->foreign; i++) {
		if (match->foreign_to[i].family != family)
			continue;
		fprintf(condition->out, "%s%s", count++ == 0 ? " && !(bgp_next_hop ~ [ " : ", ",
			ip_address_format(&match->foreign_to[i], text));
	}
	if (count > 0)
		fputs(" ])", condition->out);
}

static void put_origins(struct condition *condition, uint8_t origins)
{
	static const struct {
		uint8_t origin;
		const char *text;
	} words[] = {
		{POLICY_LEARNED, "(source = RTS_BGP && !defined(cv_joined))"},
		{POLICY_OWN, "(source = RTS_STATIC && !defined(cv_joined))"},
		{POLICY_JOINED, "defined(cv_joined)"},
	};
	unsigned int count = 0;

	if (origins == 0)
		return;
	begin(condition);
	fputc('(', condition->out);
	for (unsigned int i = 0; i < 3; i++)
		if ((origins & words[i].origin) != 0)
			fprintf(condition->out, "%s%s", count++ == 0 ? "" : " || ", words[i].text);
	fputc(')', condition->out);
}

static void put_match(struct condition *condition, const struct policy_match *match, uint8_t family)
{
	put_origins(condition, match->origins);
	put_prefixes(condition, match, family);
	put_lists(condition, match);
	if (match->as_length_min > 0) {
		begin(condition);
		fprintf(condition->out, "bgp_path.len >= %u", match->as_length_min);
	}
	if (match->as_length_max > 0) {
		begin(condition);
		fprintf(condition->out, "bgp_path.len <= %u", match->as_length_max);
	}
	put_next_hops(condition, match, family);
	if (match->blackhole) {
		begin(condition);
		fputs("(dest = RTD_BLACKHOLE || dest = RTD_UNREACHABLE || dest = RTD_PROHIBIT)",
			condition->out);
	}
}

// --- changes, each a call that is true

void filter_functions(FILE *out)
{
	static const char *const functions[][2] = {
		{"cv_path_delete(int number)", "bgp_path.delete(number);"},
		{"cv_path_prepend(int number)", "bgp_path.prepend(number);"},
		{"cv_community_delete(pair set these)", "bgp_community.delete(these);"},
		{"cv_community_add(pair one)", "bgp_community.add(one);"},
		{"cv_large_delete(lc set these)", "bgp_large_community.delete(these);"},
		{"cv_large_add(lc one)", "bgp_large_community.add(one);"},
		// What is unset twice in one filter crashes BIRD, 2.0.12 and 2.17.6 alike.
		{"cv_med_unset()", "if defined(bgp_med) then unset(bgp_med);"},
		{"cv_med_set(int value)", "bgp_med = value;"},
		// BIRD tells another AS no MED that the export filter has not set.
		{"cv_med_told()", "if defined(bgp_med) then bgp_med = bgp_med;"},
		{"cv_local_pref_set(int value)", "bgp_local_pref = value;"},
		{"cv_mark_joined()", "cv_joined = 1;"},
	};

	fputs("attribute int cv_joined;\n", out);
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		fprintf(out, "function %s { %s return true; }\n", functions[i][0], functions[i][1]);
}

static void call(struct condition *changes, const char *function)
{
	fprintf(changes->out, "%s%s(", changes->parts++ > 0 ? " && " : "", function);
}

static void call_with(struct condition *changes, const char *function, uint32_t value)
{
	call(changes, function);
	fprintf(changes->out, "%u)", value);
}

static void put_path_change(struct condition *changes, const struct policy_change *change)
{
	if (change->delete_asn != 0)
		call_with(changes, "cv_path_delete", change->delete_asn);
	for (unsigned int i = 0; i < change->prepend; i++)
		call_with(changes, "cv_path_prepend", change->prepend_asn);
}

static void put_community_changes(struct condition *changes, const struct policy_change *change)
{
	FILE *out = changes->out;

	for (unsigned int i = 0; i < change->remove_communities; i++) {
		call(changes, "cv_community_delete");
		fprintf(out, "[(%u,%u..%u)])", change->remove_community[i].asn,
			change->remove_community[i].low, change->remove_community[i].high);
	}
	for (unsigned int i = 0; i < change->add_communities; i++) {
		call(changes, "cv_community_add");
		put_community(out, change->add_community[i]);
		fputc(')', out);
	}
	for (unsigned int i = 0; i < change->remove_larges; i++) {
		const struct policy_large_range *range = &change->remove_large[i];
		call(changes, "cv_large_delete");
		if (range->all)
			fprintf(out, "[(%u,*,*)])", range->asn);
		else
			fprintf(out, "[(%u,%u,%u)])", range->asn, range->a, range->b);
	}
	for (unsigned int i = 0; i < change->add_larges; i++) {
		call(changes, "cv_large_add");
		put_large(out, &change->add_large[i]);
		fputc(')', out);
	}
}

static void put_change(FILE *out, const struct policy_change *change)
{
	struct condition changes = {.out = out};

	put_path_change(&changes, change);
	put_community_changes(&changes, change);
	if (change->clear_med && !change->set_med) {
		call(&changes, "cv_med_unset");
		fputc(')', out);
	}
	if (change->set_med)
		call_with(&changes, "cv_med_set", change->med);
	if (change->local_pref != 0)
		call_with(&changes, "cv_local_pref_set", change->local_pref);
}

// --- rules

struct parts { // of a rule; texts are "" when there is nothing to ask or to change
	char *match, *changes;
};

static bool render_parts(struct parts *parts, const struct policy_rule *rule, uint8_t family)
{
	size_t size[2];
	FILE *match = open_memstream(&parts->match, &size[0]),
	     *changes = open_memstream(&parts->changes, &size[1]);
	struct condition condition = {.out = match};

	if (match != NULL)
		put_match(&condition, &rule->match, family);
	if (changes != NULL && rule->action != POLICY_REJECT)
		put_change(changes, &rule->change);
	bool good = match != NULL && changes != NULL;
	good = (match == NULL || fclose(match) == 0) && good;
	return (changes == NULL || fclose(changes) == 0) && good;
}

// What follows the rule stands behind "&&" or in one more parenthesis. False: nothing follows, the rule has decided.
static bool put_rule(FILE *out, const struct policy_rule *rule, uint8_t family, unsigned int *open)
{
	const struct policy_match *match = &rule->match;
	struct parts parts = {NULL, NULL};

	if ((match->family != 0 && match->family != family) ||
		(match->prefixes > 0 && usable_prefixes(match, family) == 0))
		return true;
	if (!render_parts(&parts, rule, family))
		abort();
	bool asks = parts.match[0] != '\0', changes = parts.changes[0] != '\0';
	const char *then = changes ? parts.changes : "true";

	switch (rule->action) {
	case POLICY_REJECT:
		if (asks)
			fprintf(out, "\t\t!(%s) &&\n", parts.match);
		else
			fputs("\t\tfalse", out);
		break;
	case POLICY_ACCEPT:
		if (asks) {
			fprintf(out, "\t\t((%s%s%s) || (\n", parts.match, changes ? " && " : "",
				parts.changes);
			(*open)++;
		} else {
			fprintf(out, "\t\t%s", then);
		}
		break;
	case POLICY_NEXT:
		if (changes && asks)
			fprintf(out, "\t\t(!(%s) || (%s)) &&\n", parts.match, then);
		else if (changes)
			fprintf(out, "\t\t%s &&\n", then);
		break;
	}
	free(parts.match);
	free(parts.changes);
	return asks || rule->action == POLICY_NEXT;
}

void filter_render(FILE *out, const struct policy *policy, uint8_t family)
{
	unsigned int count, open = 0;
	bool decided = false;

	for (unsigned int i = 0; i < policy->sets && !decided; i++) {
		const struct policy_rule *rules = policy_set_rules(policy->set[i], &count);
		for (unsigned int j = 0; j < count && !decided; j++)
			decided = !put_rule(out, &rules[j], family, &open);
	}
	if (!decided)
		fprintf(out, "\t\t%s", policy->otherwise == POLICY_ACCEPT ? "true" : "false");
	for (; open > 0; open--)
		fputs("))", out);
}
