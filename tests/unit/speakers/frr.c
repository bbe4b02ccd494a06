// SPDX-License-Identifier: BSD-3-Clause
// The configuration rendered for FRR, with every kind of match and change in it: FRR's own parser reads it without
// complaint. (`bgpd -C` exits with 0 whatever it finds; what it does not understand it says.)

#include "control/speakers/frr/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BGPD "/usr/lib/frr/bgpd"

static struct ip_address address(const char *text)
{
	struct ip_address parsed;

	assert_int_equal(ip_address_parse(text, &parsed), 0);
	return parsed;
}

static struct policy_prefix range(const char *text, uint8_t ge, uint8_t le)
{
	struct policy_prefix parsed = {.ge = ge, .le = le};

	assert_int_equal(ip_prefix_parse(text, &parsed.prefix), 0);
	return parsed;
}

static struct policy everything(void)
{
	const struct policy_prefix prefixes[] = {range("10.9.0.0/16", 0, 32),
		range("10.0.0.0/8", 0, 0), range("10.0.0.0/8", 16, 24),
		range("2001:db8::/32", 0, 128), range("::/0", 0, 0), range("192.0.2.0/24", 28, 0),
		range("10.0.0.0/8", 20, 12)};
	const uint32_t asn[] = {65001, 4200000000u},
		       community[] = {POLICY_COMMUNITY(64500, 1), POLICY_GRACEFUL_SHUTDOWN};
	const struct policy_large large[] = {{64500, 1, 2}, {4200000000u, 4294967295u, 0}};
	const struct ip_address hop[] = {address("169.254.10.1"), address("2001:db8::1")};
	const struct policy_community_range gone[] = {{64500, 0, 65535}, {64501, 3, 5}};
	const struct policy_large_range large_gone[] = {
		{.asn = 64500, .all = true}, {.asn = 64500, .a = 1, .b = 2}};
	const struct policy_rule rules[] = {
		{.match = {.prefix = prefixes, .prefixes = 7},
			.action = POLICY_REJECT,
			.name = "vnet-prefix"},
		{.match = {.community = community,
			 .communities = 2,
			 .large = large,
			 .larges = 2,
			 .as_contains = asn,
			 .as_contain = 2,
			 .as_length_min = 2,
			 .as_length_max = 5},
			.action = POLICY_NEXT,
			.change = {.delete_asn = 65001,
				.prepend_asn = 64512,
				.prepend = 3,
				.remove_community = gone,
				.remove_communities = 2,
				.remove_large = large_gone,
				.remove_larges = 2,
				.add_community = community,
				.add_communities = 2,
				.add_large = large,
				.add_larges = 2,
				.set_med = true,
				.med = 50,
				.local_pref = 200}},
		{.match = {.foreign_to = hop, .foreign = 2}, .action = POLICY_REJECT},
		{.match = {.blackhole = true}, .action = POLICY_REJECT},
		{.match = {.as_length_max = 4, .origins = POLICY_LEARNED},
			.action = POLICY_NEXT,
			.change = {.clear_med = true}},
		{.match = {.as_length_min = 1, .origins = POLICY_OWN | POLICY_JOINED},
			.action = POLICY_ACCEPT},
		{.match = {.family = 6, .origins = POLICY_JOINED}, .action = POLICY_ACCEPT},
	};
	struct policy policy = {.otherwise = POLICY_ACCEPT};

	policy_add(&policy, policy_set_build(rules, sizeof(rules) / sizeof(rules[0])));
	policy_add(&policy, policy_set_drain(64512, 2));
	return policy;
}

static void make_session(struct served_session *session, struct speaker *speaker,
	struct served_domain *domain, uint32_t id, const char *local, const char *remote)
{
	*session = (struct served_session){
		.id = id, .domain = domain, .import = everything(), .export = everything()};
	session->declared = (struct speaker_session){.id = id,
		.name = "acme/\"private\" ?\n!",
		.enabled = id % 2 == 0,
		.local = address(local),
		.remote = address(remote),
		.local_asn = 64512,
		.remote_asn = 4200000000u,
		.password = "s3cret;}\"",
		.hold = 9,
		.connect = 5,
		.memory_limit = 20000};
	TAILQ_INSERT_TAIL(&speaker->sessions, session, link);
}

static char *rendered(void)
{
	static const uint32_t tag[] = {POLICY_COMMUNITY(64500, 7)};
	static const struct policy_large mark[] = {{64500, 1, 7}};
	struct speaker_announcement own[] = {{.prefix = range("10.9.0.0/16", 0, 0).prefix,
						     .community = tag,
						     .communities = 1,
						     .large = mark,
						     .larges = 1},
		{.prefix = range("2001:db8::/32", 0, 0).prefix}};
	struct speaker speaker = {.name = (char *)"acme"};
	struct served_domain domain = {.id = 7, .speaker = &speaker};
	struct announcement_group group = {.id = 9, .up = true, .count = 2, .list = own};
	struct served_session session[2];

	TAILQ_INIT(&speaker.domains);
	TAILQ_INIT(&speaker.sessions);
	TAILQ_INIT(&speaker.joins[0]);
	TAILQ_INIT(&speaker.joins[1]);
	TAILQ_INIT(&domain.groups);
	TAILQ_INSERT_TAIL(&speaker.domains, &domain, link);
	TAILQ_INSERT_TAIL(&domain.groups, &group, entry);
	make_session(&session[0], &speaker, &domain, 12, "169.254.10.2", "169.254.10.1");
	make_session(&session[1], &speaker, &domain, 13, "2001:db8:1::2", "2001:db8:1::1");
	char *text = frr_render(&speaker);
	for (unsigned int i = 0; i < 2; i++) {
		policy_clear(&session[i].import);
		policy_clear(&session[i].export);
	}
	assert_non_null(text);
	return text;
}

static void holds(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("not found: %s\nin:\n%s", part, text);
}

static void what_it_says(void **state)
{
	char *text = rendered();

	holds(text, "router bgp 64512\n");
	holds(text, "ip prefix-list p12-in-19 seq 3 permit 10.9.0.0/16 le 32\n");
	holds(text, "ip prefix-list p12-in-19 seq 1 permit 10.0.0.0/8\n");
	holds(text, "ip prefix-list p12-in-19 seq 2 permit 10.0.0.0/8 ge 16 le 24\n");
	assert_null(strstr(text, "ge 20 le 12")); // what can never be is not said
	holds(text, "ipv6 prefix-list p13-in-19 seq");
	holds(text, "route-map p12-in deny 19\n match ip address prefix-list p12-in-19\nexit\n");
	holds(text, " set as-path prepend 64512 64512 64512\n");
	holds(text, " set community 64500:1 65535:0 additive\n");
	holds(text, "  network 10.9.0.0/16 route-map a7g9-0\n");
	holds(text, "  network 2001:db8::/32 route-map a7g9-1\n");
	holds(text, "  neighbor 169.254.10.1 route-map p12-in in\n");
	free(text);
}

static void frr_reads_it(void **state)
{
	char path[] = "/tmp/culvert-frr-XXXXXX", command[128], line[256];
	unsigned int complaints = 0;

	if (access(BGPD, X_OK) != 0) {
		print_message("skipped: FRR is not installed (" BGPD ")\n");
		skip();
	}
	char *text = rendered();
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	snprintf(command, sizeof(command), BGPD " -C --skip_runas -f %s 2>&1; echo status $?", path);
	FILE *out = popen(command, "r");
	while (fgets(line, sizeof(line), out) != NULL) {
		bool fine = strcmp(line, "status 0\n") == 0 ||
			    strstr(line, "Graceful restart configuration changed") != NULL ||
			    line[0] == '\n';
		if (!fine)
			print_message("%s", line);
		complaints += !fine;
	}
	pclose(out);
	unlink(path);
	free(text);
	assert_int_equal(complaints, 0);
}

static void what_it_cannot_say(void **state)
{
	struct speaker_session session = {.name = "acme", .password = "two words"};
	struct api_error error;

	assert_true(frr_accepts(&session, &error) < 0);
	holds(error.message, "acme");
	session.password = "oneword";
	assert_int_equal(frr_accepts(&session, &error), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_says),
		cmocka_unit_test(frr_reads_it),
		cmocka_unit_test(what_it_cannot_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
