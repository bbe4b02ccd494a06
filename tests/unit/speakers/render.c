// SPDX-License-Identifier: BSD-3-Clause
// The rendered configuration: what must stand in it, what can never get into it, and that BIRD itself, where there
// is one, reads it without complaint.

#include "control/speakers/bird/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct ip_address address(const char *text)
{
	struct ip_address parsed;

	assert_int_equal(ip_address_parse(text, &parsed), 0);
	return parsed;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix parsed;

	assert_int_equal(ip_prefix_parse(text, &parsed), 0);
	return parsed;
}

struct world {
	struct speaker speaker;
	struct served_domain domain;
	struct announcement_group group;
	struct speaker_announcement announcement[2];
	struct served_session session;
};

static const uint32_t tag[] = {POLICY_COMMUNITY(64500, 7)};

static void make_world(struct world *world)
{
	const struct policy_rule announce = {
		.match = {.origins = POLICY_OWN | POLICY_JOINED}, .action = POLICY_ACCEPT};
	const struct ip_prefix vnet[] = {prefix("10.9.0.0/16"), prefix("2001:db8::/32")};
	const struct policy_prefix exact = {.prefix = prefix("10.0.0.0/8")};
	const struct policy_rule outer = {.match = {.prefix = &exact, .prefixes = 1},
		.action = POLICY_REJECT,
		.name = "outer-address",
		.object = "edge"};
	const struct ip_address router = address("169.254.10.1");

	memset(world, 0, sizeof(*world));
	world->speaker = (struct speaker){.name = (char *)"acme", .directory = (char *)"/tmp"};
	TAILQ_INIT(&world->speaker.domains);
	TAILQ_INIT(&world->speaker.sessions);
	TAILQ_INIT(&world->speaker.joins[0]);
	TAILQ_INIT(&world->speaker.joins[1]);
	world->domain = (struct served_domain){.id = 7,
		.declared = {.id = 7, .name = "acme", .kernel_table = 254},
		.speaker = &world->speaker};
	TAILQ_INIT(&world->domain.groups);
	TAILQ_INSERT_TAIL(&world->speaker.domains, &world->domain, link);
	world->announcement[0] = (struct speaker_announcement){
		.prefix = prefix("10.9.0.0/16"), .community = tag, .communities = 1};
	world->announcement[1] = (struct speaker_announcement){.prefix = prefix("2001:db8::/32")};
	world->group = (struct announcement_group){
		.id = 9, .up = true, .count = 2, .list = world->announcement};
	TAILQ_INSERT_TAIL(&world->domain.groups, &world->group, entry);
	world->session.id = 12;
	world->session.domain = &world->domain;
	world->session.import.otherwise = POLICY_ACCEPT;
	policy_add(&world->session.import, policy_set_refuse(vnet, 2, "vnet-prefix", "vnet/acme"));
	policy_add(&world->session.import, policy_set_build(&outer, 1));
	policy_add(&world->session.import, policy_set_next_hops(&router, 1));
	world->session.export.otherwise = POLICY_REJECT;
	policy_add(&world->session.export, policy_set_build(&announce, 1));
	world->session.declared = (struct speaker_session){.id = 12,
		.domain = 7,
		.name = "acme/\"private\"\n}",
		.enabled = true,
		.local = address("169.254.10.2"),
		.remote = address("169.254.10.1"),
		.local_asn = 64512,
		.remote_asn = 65001,
		.password = "s3cret; }",
		.hold = 9,
		.memory_limit = 20000};
}

static void free_world(struct world *world)
{
	policy_clear(&world->session.import);
	policy_clear(&world->session.export);
}

static void holds(const char *text, const char *part)
{
	if (text == NULL || strstr(text, part) == NULL)
		fail_msg("not found: %s\nin:\n%s", part, text ? text : "(no memory)");
}

static void lacks(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("found: %s\nin:\n%s", part, text);
}

static void session_text(void **ctx)
{
	struct world world;

	make_world(&world);
	char *text = render_session(&world.session);
	holds(text, "protocol bgp p12 {");
	holds(text, "description \"acme\";");
	holds(text, "net ~ [ 10.9.0.0/16+ ]");
	holds(text, "net ~ [ 10.0.0.0/8 ]"); // exactly it
	lacks(text, "2001:db8");             // the other family's filter is another
	holds(text, "!(bgp_next_hop ~ [ 169.254.10.1 ])");
	holds(text, "password \"s3cret; }\";");
	holds(text, "strict bind yes;");
	holds(text, "import keep filtered;");
	holds(text, "receive limit 20000 action disable;");
	holds(text, "graceful restart on;");
	holds(text, "long lived graceful restart off;");
	holds(text, "hold time 9;");
	holds(text, "connect retry time 5;");
	holds(text, "export where cv_med_told() && (");
	lacks(text, "filter "); // each word in a filter's block costs BIRD 2.0 as much as there are filters
	lacks(text, " then");
	holds(text, "((source = RTS_STATIC && !defined(cv_joined)) || defined(cv_joined))");
	lacks(text, "disabled");
	free(text);
	world.session.declared.enabled = false;
	text = render_session(&world.session);
	holds(text, "\tdisabled;\n");
	free(text);
	free_world(&world);
}

static void domain_text(void **ctx)
{
	struct world world;

	make_world(&world);
	char *text = render_domain(&world.domain);
	holds(text, "ipv4 table d7v4;");
	holds(text, "protocol kernel k7v6 {");
	holds(text, "persist;");
	holds(text, "import none;");
	holds(text, "protocol static a7g9v4 {\n\tipv4 { table d7v4; preference 300; };\n");
	holds(text, "route 10.9.0.0/16 unreachable { bgp_community.add((64500,7)); };\n");
	holds(text, "protocol static a7g9v6 {");
	lacks(text, "disabled");
	free(text);
	world.group.up = false;
	text = render_domain(&world.domain);
	holds(text, "protocol static a7g9v4 {\n\tdisabled;\n");
	free(text);
	free_world(&world);
}

static void main_file(void **ctx)
{
	static const char domains[] = "include \"domain-*.conf\";\n",
			  sessions[] = "include \"peering-*.conf\";\n";
	struct world world;

	make_world(&world);
	char *text = render_main(&world.speaker, "bird.log", domains, sessions);
	holds(text, "include \"domain-*.conf\";\ninclude \"peering-*.conf\";\n");
	holds(text, "log \"bird.log\" 1000000 \"bird.log.1\" { info, remote,");
	holds(text, "scan time 1;");
	holds(text, "router id 100.64.0.7;");
	free(text);
	world.domain.declared.shared = true;
	text = render_main(&world.speaker, NULL, domains, sessions);
	lacks(text, "log \""); // what is only checked opens no log
	holds(text, "router id 100.64.0.0;");
	free(text);
	world.speaker.domain_count = 10000; // a scan of 20,000 interfaces takes longer than a second
	text = render_main(&world.speaker, NULL, domains, sessions);
	holds(text, "scan time 51;");
	free(text);
	free_world(&world);
}

static void refuses(struct world *world, const char *word)
{
	struct api_error error = {0};

	assert_true(render_accepts(&world->session.declared, &error) < 0);
	holds(error.message, word);
	free_world(world);
}

static void passwords(void **ctx)
{
	struct world world;
	char c[] = "a?b";

	make_world(&world);
	world.session.declared.password = c;
	for (int byte = 1; byte < 256; byte++) {
		c[1] = (char)byte;
		bool good = byte >= 0x20 && byte <= 0x7e && byte != '"' && byte != '\\';
		assert_int_equal(render_accepts(&world.session.declared, NULL) == 0, good);
	}
	world.session.declared.password = "";
	refuses(&world, "password");
}

static void nonsense(void **ctx)
{
	struct world world;

	make_world(&world);
	world.session.declared.remote = address("2001:db8::1");
	refuses(&world, "families");
	make_world(&world);
	world.session.declared.remote = world.session.declared.local;
	refuses(&world, "same address");
	make_world(&world);
	world.session.declared.remote_asn = 0;
	refuses(&world, "AS number");
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void write_in(const char *directory, const char *name, char *text)
{
	char path[96];

	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	write_file(path, text);
	free(text);
}

static void remove_in(const char *directory, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	unlink(path);
}

static void bird_reads_it(void **ctx)
{
	char directory[] = "/tmp/culvert-render-XXXXXX", command[256];
	const char *domains[] = {"domain-7.conf", "domain-8.conf"},
		   *sessions[] = {"peering-12.conf"};
	struct world world;
	struct speaker_join join = {0};

	if (system("PATH=$PATH:/usr/sbin bird --version >/dev/null 2>&1") != 0)
		skip();
	assert_non_null(mkdtemp(directory));
	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin bird -p -c %s/bird.conf",
		directory);
	for (int family = 4; family <= 6; family += 2) {
		make_world(&world);
		if (family == 6) {
			world.session.declared.local = address("2001:db8:1::2");
			world.session.declared.remote = address("2001:db8:1::1");
		}
		struct served_domain other = {.id = 8,
			.declared = {.name = "b", .kernel_table = 9},
			.speaker = &world.speaker};
		TAILQ_INIT(&other.groups);
		TAILQ_INSERT_TAIL(&world.speaker.domains, &other, link);
		join.domain[0] = &world.domain;
		join.domain[1] = &other;
		policy_copy(&join.policy[0], &world.session.import);
		policy_copy(&join.policy[1], &world.session.export);
		TAILQ_INSERT_TAIL(&world.speaker.joins[0], &join, link[0]);
		write_in(directory, "domain-7.conf", render_domain(&world.domain));
		write_in(directory, "domain-8.conf", render_domain(&other));
		write_in(directory, "peering-12.conf", render_session(&world.session));
		write_in(directory, "bird.conf",
			render_main(&world.speaker, NULL, "include \"domain-*.conf\";\n",
				"include \"peering-*.conf\";\n"));
		assert_int_equal(system(command), 0);
		policy_clear(&join.policy[0]);
		policy_clear(&join.policy[1]);
		free_world(&world);
	}
	remove_in(directory, "bird.conf");
	remove_in(directory, domains[0]);
	remove_in(directory, domains[1]);
	remove_in(directory, sessions[0]);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(session_text),
		cmocka_unit_test(domain_text),
		cmocka_unit_test(main_file),
		cmocka_unit_test(passwords),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(bird_reads_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
