// SPDX-License-Identifier: BSD-3-Clause
// Random policies and random routes through a real BIRD: what its rendered filters let through, and with which attributes,
// is compared with the evaluator. In one configuration every policy is the filter of a pipe from one table, in which all
// routes are, to a table of its own; half of the routes are static ones (own; or joined, by our mark), the other half
// comes by BGP from a second BIRD, so that they are learned ones and their attributes have been on a wire.
//	policy-random DIR SEED BATCHES
// DIR is empty, and the network namespace has nothing but its loopback device, up. Prints the seed, each difference, and
// how many pairs were compared; exit status 1 when there was a difference.

#include "control/speakers/bird/parse.h"
#include "control/speakers/bird/render.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { POLICIES = 40, ROUTES = 120, RULES = 5, SETS = 3, LIST = 4, FAR_AS = 65099 };

// --- random values, from spaces small enough to meet each other

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state += 0x9e3779b97f4a7c15u; // splitmix64
	uint64_t z = state;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % below);
}

static bool one_in(uint32_t n)
{
	return draw(n) == 0;
}

static uint32_t random_asn(void)
{
	static const uint32_t asn[] = {65001, 65002, 65003, 65010, 4200000000u, FAR_AS, 1};
	return asn[draw(7)];
}

static uint32_t random_community(void)
{
	static const uint32_t asn[] = {64500, 64501, 65535, 1};
	return POLICY_COMMUNITY(asn[draw(4)], draw(4));
}

static struct policy_large random_large(void)
{
	return (struct policy_large){
		one_in(2) ? 64500 : 4200000000u, draw(2), one_in(8) ? 4294967295u : draw(2)};
}

static struct ip_prefix random_prefix(uint8_t family)
{
	struct ip_address at = {.family = family};
	uint8_t len = (uint8_t)(family == 4 ? draw(33) : draw(129));

	if (family == 6) {
		at.bytes[0] = 0x20;
		at.bytes[1] = 1;
	}
	at.bytes[family == 4 ? 0 : 2] = (uint8_t)(10 + draw(2));
	at.bytes[family == 4 ? 1 : 3] = (uint8_t)(draw(4) << 6);
	at.bytes[family == 4 ? 2 : 7] = (uint8_t)draw(256);
	at.bytes[family == 4 ? 3 : 15] = (uint8_t)draw(256);
	if (one_in(2)) // most routes of the world
		len = (uint8_t)(family == 4 ? 8 + draw(17) : 24 + draw(41));
	return ip_prefix_of(&at, len);
}

static struct ip_address random_next_hop(uint8_t family)
{
	struct ip_address address = {.family = family};

	if (family == 4)
		memcpy(address.bytes, (uint8_t[]){192, 0, 2, (uint8_t)(1 + draw(3))}, 4);
	else
		memcpy(address.bytes,
			(uint8_t[]){0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				(uint8_t)(1 + draw(3))},
			16);
	return address;
}

// --- policies

struct material { // what a rule's arrays lie in until its set is built
	struct policy_prefix prefix[LIST];
	uint32_t community[LIST], contains[LIST], add[LIST];
	struct policy_large large[LIST], add_large[LIST];
	struct ip_address hop[LIST];
	struct policy_community_range range[LIST];
	struct policy_large_range large_range[LIST];
};

static void random_match(struct policy_match *match, struct material *m, uint8_t family)
{
	if (one_in(2)) {
		match->prefixes = 1 + draw(LIST);
		for (unsigned int i = 0; i < match->prefixes; i++) {
			uint8_t of = one_in(6) ? (uint8_t)(10 - family) : family;
			uint32_t bits = ip_bits(of);
			m->prefix[i] = (struct policy_prefix){.prefix = random_prefix(of),
				.ge = (uint8_t)(one_in(2) ? 0 : draw(bits + 1)),
				.le = (uint8_t)(one_in(2) ? 0 : draw(bits + 1))};
			if (one_in(2))
				m->prefix[i].prefix = ip_prefix_of(&m->prefix[i].prefix.address,
					(uint8_t)(m->prefix[i].prefix.len / 4));
		}
		match->prefix = m->prefix;
	}
	if (one_in(4)) {
		match->communities = 1 + draw(LIST);
		for (unsigned int i = 0; i < match->communities; i++)
			m->community[i] = random_community();
		match->community = m->community;
	}
	if (one_in(5)) {
		match->larges = 1 + draw(LIST);
		for (unsigned int i = 0; i < match->larges; i++)
			m->large[i] = random_large();
		match->large = m->large;
	}
	if (one_in(4)) {
		match->as_contain = 1 + draw(2);
		for (unsigned int i = 0; i < match->as_contain; i++)
			m->contains[i] = random_asn();
		match->as_contains = m->contains;
	}
	match->as_length_min = (uint8_t)(one_in(6) ? draw(5) : 0);
	match->as_length_max = (uint8_t)(one_in(6) ? draw(6) : 0);
	if (one_in(5)) {
		match->foreign = 1 + draw(2);
		for (unsigned int i = 0; i < match->foreign; i++)
			m->hop[i] = random_next_hop(one_in(6) ? (uint8_t)(10 - family) : family);
		match->foreign_to = m->hop;
	}
	match->blackhole = one_in(8);
	match->family = (uint8_t)(one_in(8) ? 4 + 2 * draw(2) : 0);
	match->origins = (uint8_t)(one_in(4) ? 1 + draw(7) : 0);
}

static void random_change(struct policy_change *change, struct material *m)
{
	if (one_in(5))
		change->delete_asn = random_asn();
	if (one_in(4)) {
		change->prepend = (uint8_t)(1 + draw(3));
		change->prepend_asn = random_asn();
	}
	if (one_in(4)) {
		change->remove_communities = 1 + draw(2);
		for (unsigned int i = 0; i < change->remove_communities; i++) {
			uint16_t low = (uint16_t)draw(4);
			m->range[i] = (struct policy_community_range){
				(uint16_t)(random_community() >> 16), low,
				(uint16_t)(low + draw(3))};
		}
		change->remove_community = m->range;
	}
	if (one_in(3)) {
		change->add_communities = 1 + draw(LIST);
		for (unsigned int i = 0; i < change->add_communities; i++)
			m->add[i] = random_community();
		change->add_community = m->add;
	}
	if (one_in(5)) {
		struct policy_large large = random_large();
		m->large_range[0] =
			(struct policy_large_range){large.asn, one_in(2), large.a, large.b};
		change->remove_larges = 1;
		change->remove_large = m->large_range;
	}
	if (one_in(5)) {
		change->add_larges = 1 + draw(2);
		for (unsigned int i = 0; i < change->add_larges; i++)
			m->add_large[i] = random_large();
		change->add_large = m->add_large;
	}
	change->set_med = one_in(6);
	change->clear_med = one_in(6);
	change->med = draw(100);
	change->local_pref = one_in(6) ? 1 + draw(200) : 0;
}

static void random_policy(struct policy *policy, uint8_t family)
{
	unsigned int sets = 1 + draw(SETS);

	*policy = (struct policy){.otherwise = one_in(3) ? POLICY_REJECT : POLICY_ACCEPT};
	for (unsigned int i = 0; i < sets; i++) {
		struct policy_rule rule[RULES] = {0};
		struct material material[RULES] = {0};
		unsigned int rules = draw(RULES + 1);
		for (unsigned int j = 0; j < rules; j++) {
			rule[j].action = (enum policy_action)draw(3);
			rule[j].name = "random";
			random_match(&rule[j].match, &material[j], family);
			if (rule[j].action != POLICY_REJECT)
				random_change(&rule[j].change, &material[j]);
		}
		policy_add(policy, policy_set_build(rule, rules));
	}
}

// --- routes, as statements of a static protocol

static void put_route(FILE *out, const struct ip_prefix *prefix, bool joined, bool far)
{
	static const char *const where[] = {"unreachable", "blackhole", "prohibit", "via \"lo\""};
	char text[IP_TEXT_MAX];
	struct ip_address hop = random_next_hop(prefix->address.family);

	fprintf(out, "\troute %s %s {", ip_prefix_format(prefix, text), where[draw(4)]);
	for (unsigned int i = draw(5); i > 0; i--)
		fprintf(out, " bgp_path.prepend(%u);", random_asn());
	for (unsigned int i = draw(5); i > 0; i--) {
		uint32_t community = random_community();
		fprintf(out, " bgp_community.add((%u,%u));", community >> 16, community & 0xffff);
	}
	for (unsigned int i = draw(4); i > 0; i--) {
		struct policy_large large = random_large();
		fprintf(out, " bgp_large_community.add((%u,%u,%u));", large.asn, large.a, large.b);
	}
	if (one_in(2))
		fprintf(out, " bgp_med = %u;", draw(100));
	if (far || one_in(2))
		fprintf(out, " bgp_next_hop = %s;", ip_address_format(&hop, text));
	if (joined)
		fprintf(out, " cv_joined = 1;");
	fprintf(out, " };\n");
}

struct batch {
	const char *directory;
	uint8_t family;
	unsigned int number;
	struct policy policy[POLICIES];
	struct ip_prefix prefix[ROUTES];
};

static void random_batch(struct batch *batch)
{
	for (unsigned int i = 0; i < POLICIES; i++)
		random_policy(&batch->policy[i], batch->family);
	for (unsigned int i = 0; i < ROUTES;) {
		bool again = false;
		batch->prefix[i] = random_prefix(batch->family);
		if (batch->prefix[i].address.bytes[0] == 0)
			continue; // a BGP peer may not say what begins with 0
		for (unsigned int j = 0; j < i && !again; j++)
			again = ip_prefix_compare(&batch->prefix[i], &batch->prefix[j]) == 0;
		i += !again;
	}
}

static FILE *file(const struct batch *batch, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", batch->directory, name);
	FILE *out = fopen(path, "w");
	if (out == NULL)
		exit(2);
	fprintf(out, "log \"%s/%s.log\" all;\nprotocol device { scan time 1; }\n", batch->directory,
		name);
	filter_functions(out);
	return out;
}

static void put_session(FILE *out, const struct batch *batch, unsigned int us, unsigned int them,
	const char *channel)
{
	fprintf(out,
		"router id 10.0.0.%u;\nprotocol bgp far0 {\n\tlocal 127.0.0.%u port 179%u as %u;\n",
		us, us, us, us == 1 ? 64512 : FAR_AS);
	fprintf(out,
		"\tneighbor 127.0.0.%u port 179%u as %u;\n\tmultihop; strict bind yes; connect "
		"delay time 0; connect retry time 1;\n",
		them, them, them == 1 ? 64512 : FAR_AS);
	fprintf(out, "\tallow local as 10; ipv%u { table all0; %s };\n}\n", batch->family, channel);
}

static void write_judge(const struct batch *batch)
{
	FILE *out = file(batch, "judge.conf");

	fprintf(out, "ipv%u table all0;\n", batch->family);
	put_session(out, batch, 1, 2, "import all; export none; next hop address 127.0.0.1;");
	fprintf(out, "protocol static own {\n\tipv%u { table all0; };\n", batch->family);
	for (unsigned int i = 0; i < ROUTES / 2; i++)
		put_route(out, &batch->prefix[i], one_in(3), false);
	fprintf(out, "}\n");
	for (unsigned int i = 0; i < POLICIES; i++) {
		fprintf(out,
			"ipv%u table t%u;\nprotocol pipe x%u {\n\ttable all0; peer table t%u; "
			"import none; export where\n",
			batch->family, i, i, i);
		filter_render(out, &batch->policy[i], batch->family);
		fprintf(out, ";\n}\n");
	}
	fclose(out);
}

static void write_far(const struct batch *batch)
{
	FILE *out = file(batch, "far.conf");

	fprintf(out, "ipv%u table all0;\n", batch->family);
	put_session(out, batch, 2, 1,
		"import none; next hop keep; export filter { if defined(bgp_med) then bgp_med = "
		"bgp_med; accept; };");
	fprintf(out, "protocol static own {\n\tipv%u { table all0; };\n", batch->family);
	for (unsigned int i = ROUTES / 2; i < ROUTES; i++)
		put_route(out, &batch->prefix[i], false, true);
	fprintf(out, "}\n");
	fclose(out);
}

// --- the daemons

static pid_t start(const struct batch *batch, const char *name)
{
	char conf[600], control[600], pid[600];

	snprintf(conf, sizeof(conf), "%s/%s.conf", batch->directory, name);
	snprintf(control, sizeof(control), "%s/%s.ctl", batch->directory, name);
	snprintf(pid, sizeof(pid), "%s/%s.pid", batch->directory, name);
	unlink(control);
	pid_t child = fork();
	if (child == 0) {
		execlp("bird", "bird", "-f", "-c", conf, "-s", control, "-P", pid, NULL);
		_exit(127);
	}
	return child;
}

static void ask(const struct batch *batch, const char *question, parse_row row, void *ctx)
{
	struct route_reader reader = {.row = row, .ctx = ctx};
	char command[700], line[4096];

	// -v: every line with its code, as on the control socket.
	snprintf(command, sizeof(command), "birdc -v -s %s/judge.ctl '%s' 2>/dev/null",
		batch->directory, question);
	FILE *in = popen(command, "r");
	unsigned int code = 0;
	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		bool coded = strspn(line, "0123456789") == 4 && (line[4] == '-' || line[4] == ' ');
		code = coded ? (unsigned int)atoi(line) : code;
		parse_line(&reader, code, line + (coded || strncmp(line, "     ", 5) == 0 ? 5 : 0));
	}
	parse_end(&reader);
	if (in != NULL)
		pclose(in);
}

// --- comparing

struct seen { // the routes of one table
	unsigned int count;
	struct policy_route route[ROUTES];
};

static void *keep(const void *from, size_t bytes)
{
	void *copy = malloc(bytes + 1);

	if (copy == NULL)
		abort();
	if (bytes > 0)
		memcpy(copy, from, bytes);
	return copy;
}

static void on_route(void *ctx, const struct policy_route *route)
{
	struct seen *seen = ctx;

	if (seen->count == ROUTES)
		return;
	struct policy_route *copy = &seen->route[seen->count++];
	*copy = *route;
	copy->as_path = keep(route->as_path, route->as_path_length * sizeof(uint32_t));
	copy->community = keep(route->community, route->communities * sizeof(uint32_t));
	copy->large = keep(route->large, route->larges * sizeof(struct policy_large));
}

static void forget(struct seen *seen)
{
	for (unsigned int i = 0; i < seen->count; i++) {
		free((void *)seen->route[i].as_path);
		free((void *)seen->route[i].community);
		free((void *)seen->route[i].large);
	}
	seen->count = 0;
}

static const struct policy_route *find(const struct seen *seen, const struct ip_prefix *prefix)
{
	for (unsigned int i = 0; i < seen->count; i++)
		if (ip_prefix_compare(&seen->route[i].prefix, prefix) == 0)
			return &seen->route[i];
	return NULL;
}

static bool same_sets(const struct policy_route *a, const struct policy_route *b)
{
	unsigned int found = 0;

	if (a->communities != b->communities || a->larges != b->larges)
		return false;
	for (unsigned int i = 0; i < a->communities; i++)
		for (unsigned int j = 0; j < b->communities; j++)
			found += a->community[i] == b->community[j];
	for (unsigned int i = 0; i < a->larges; i++)
		for (unsigned int j = 0; j < b->larges; j++)
			found += memcmp(&a->large[i], &b->large[j], sizeof(a->large[i])) == 0;
	return found == a->communities + a->larges;
}

static const char *difference(const struct policy_verdict *ours, const struct policy_route *theirs)
{
	const struct policy_route *route = &ours->route;

	if ((ours->action == POLICY_ACCEPT) != (theirs != NULL))
		return theirs != NULL ? "BIRD accepts, we reject" : "BIRD rejects, we accept";
	if (theirs == NULL)
		return NULL;
	if (route->as_path_length != theirs->as_path_length ||
		memcmp(route->as_path != NULL ? route->as_path : theirs->as_path, theirs->as_path,
			route->as_path_length * sizeof(uint32_t)) != 0)
		return "AS path";
	if (!same_sets(route, theirs))
		return "communities";
	if (route->has_med != theirs->has_med || (route->has_med && route->med != theirs->med))
		return "MED";
	return route->local_pref != theirs->local_pref ? "local preference" : NULL;
}

static unsigned int accepted, changed;

static unsigned int compare(const struct batch *batch, const struct seen *all, unsigned int which)
{
	struct seen *through = calloc(1, sizeof(*through));
	unsigned int differences = 0;
	char question[64], text[IP_TEXT_MAX];

	snprintf(question, sizeof(question), "show route all table t%u", which);
	ask(batch, question, on_route, through);
	for (unsigned int i = 0; i < all->count; i++) {
		struct policy_verdict verdict;
		policy_evaluate(&batch->policy[which], &all->route[i], NULL, &verdict);
		accepted += verdict.action == POLICY_ACCEPT;
		changed += verdict.memory[0] != NULL || verdict.memory[1] != NULL ||
			   verdict.memory[2] != NULL;
		const char *what = difference(&verdict, find(through, &all->route[i].prefix));
		policy_verdict_clear(&verdict);
		if (what == NULL)
			continue;
		differences++;
		printf("batch %u, policy %u, route %s: %s\n", batch->number, which,
			ip_prefix_format(&all->route[i].prefix, text), what);
	}
	forget(through);
	free(through);
	return differences;
}

// All routes are in, or it is over.
static bool filled(const struct batch *batch, struct seen *all)
{
	const struct timespec moment = {0, 50000000};

	for (unsigned int tries = 0; tries < 300; tries++) {
		forget(all);
		ask(batch, "show route all table all0", on_route, all);
		if (all->count == ROUTES)
			return true;
		nanosleep(&moment, NULL);
	}
	char text[IP_TEXT_MAX];
	for (unsigned int i = 0; i < ROUTES; i++)
		if (find(all, &batch->prefix[i]) == NULL)
			printf("batch %u: route %s did not arrive\n", batch->number,
				ip_prefix_format(&batch->prefix[i], text));
	return false;
}

static unsigned int run(struct batch *batch, unsigned int *pairs)
{
	struct seen *all = calloc(1, sizeof(*all));
	unsigned int differences = 0;

	random_batch(batch);
	write_judge(batch);
	write_far(batch);
	pid_t far = start(batch, "far"), judge = start(batch, "judge");
	if (all == NULL || !filled(batch, all))
		differences = 1;
	for (unsigned int i = 0; differences == 0 && i < POLICIES; i++) {
		differences += compare(batch, all, i);
		*pairs += all->count;
	}
	kill(far, SIGTERM);
	kill(judge, SIGTERM);
	waitpid(far, NULL, 0);
	waitpid(judge, NULL, 0);
	for (unsigned int i = 0; i < POLICIES; i++)
		policy_clear(&batch->policy[i]);
	forget(all);
	free(all);
	return differences;
}

int main(int argc, char **argv)
{
	unsigned int pairs = 0, differences = 0;

	if (argc != 4)
		return 2;
	unsigned long seed = strtoul(argv[2], NULL, 10);
	printf("seed %lu\n", seed);
	state = seed;
	for (unsigned int i = 0; i < (unsigned int)atoi(argv[3]) && differences == 0; i++) {
		struct batch *batch = calloc(1, sizeof(*batch));
		if (batch == NULL)
			return 2;
		batch->directory = argv[1];
		batch->number = i;
		batch->family = i % 2 == 0 ? 4 : 6;
		differences += run(batch, &pairs);
		free(batch);
	}
	printf("%u pairs, %u accepted, %u with changed attributes, %u differences\n", pairs,
		accepted, changed, differences);
	return differences != 0;
}
