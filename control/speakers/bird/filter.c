// SPDX-License-Identifier: BSD-3-Clause
// A policy in BIRD's filter language, statement by statement as control/policy/evaluate.c runs it. tests/net
// holds the two equal with random policies and routes. What BIRD does otherwise than one would think:
//
//	an attribute that a route does not have ends a comparison with an error, and so the route: asked for first.
//	Paths and lists of communities are the exception, they read as empty
//	`p{ge,le}` with ge below p's own length would let shorter prefixes in: sets are built so that it never is
//	the mark `cv_joined` is an attribute of ours that never leaves the daemon: no customer can set or send it

#include "control/speakers/bird/render.h"

struct condition {
	FILE *out;
	unsigned int parts;
};

static void begin(struct condition *condition)
{
	fputs(condition->parts++ == 0 ? "\tif " : " &&\n\t\t", condition->out);
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

static void put_change(FILE *out, const struct policy_change *change)
{
	if (change->delete_asn != 0)
		fprintf(out, "\t\tbgp_path.delete(%u);\n", change->delete_asn);
	for (unsigned int i = 0; i < change->prepend; i++)
		fprintf(out, "\t\tbgp_path.prepend(%u);\n", change->prepend_asn);
	for (unsigned int i = 0; i < change->remove_communities; i++)
		fprintf(out, "\t\tbgp_community.delete([(%u,%u..%u)]);\n",
			change->remove_community[i].asn, change->remove_community[i].low,
			change->remove_community[i].high);
	for (unsigned int i = 0; i < change->add_communities; i++) {
		fputs("\t\tbgp_community.add(", out);
		put_community(out, change->add_community[i]);
		fputs(");\n", out);
	}
	for (unsigned int i = 0; i < change->remove_larges; i++) {
		const struct policy_large_range *range = &change->remove_large[i];
		if (range->all)
			fprintf(out, "\t\tbgp_large_community.delete([(%u,*,*)]);\n", range->asn);
		else
			fprintf(out, "\t\tbgp_large_community.delete([(%u,%u,%u)]);\n", range->asn,
				range->a, range->b);
	}
	for (unsigned int i = 0; i < change->add_larges; i++) {
		fputs("\t\tbgp_large_community.add(", out);
		put_large(out, &change->add_large[i]);
		fputs(");\n", out);
	}
	if (change->clear_med && !change->set_med)
		fputs("\t\tunset(bgp_med);\n", out);
	if (change->set_med)
		fprintf(out, "\t\tbgp_med = %u;\n", change->med);
	if (change->local_pref != 0)
		fprintf(out, "\t\tbgp_local_pref = %u;\n", change->local_pref);
}

static void put_rule(FILE *out, const struct policy_rule *rule, uint8_t family, const char *accept)
{
	const struct policy_match *match = &rule->match;
	struct condition condition = {.out = out};

	if ((match->family != 0 && match->family != family) ||
		(match->prefixes > 0 && usable_prefixes(match, family) == 0))
		return;
	put_match(&condition, match, family);
	fputs(condition.parts > 0 ? " then {\n" : "\t{\n", out);
	if (rule->action != POLICY_REJECT)
		put_change(out, &rule->change);
	if (rule->action != POLICY_NEXT)
		fprintf(out, "\t\t%s\n", rule->action == POLICY_ACCEPT ? accept : "reject;");
	fputs("\t}\n", out);
}

void filter_render(FILE *out, const struct policy *policy, uint8_t family, const char *accept)
{
	unsigned int count;

	for (unsigned int i = 0; i < policy->sets; i++) {
		const struct policy_rule *rules = policy_set_rules(policy->set[i], &count);
		for (unsigned int j = 0; j < count; j++)
			put_rule(out, &rules[j], family, accept);
	}
	fprintf(out, "\t%s\n", policy->otherwise == POLICY_ACCEPT ? accept : "reject;");
}
