// SPDX-License-Identifier: BSD-3-Clause
// The rendered configuration: what must stand in it, what can never get into it, and that BIRD itself, where there
// is one, reads it without complaint.

#include "control/bridge/render.h"

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
	struct bridge bridge;
	struct space space;
	struct speaker speaker;
	struct domain domain;
	struct peering peering;
	struct bridge_reject reject[3];
	char directory[64];
};

static void make_world(struct world *world)
{
	memset(world, 0, sizeof(*world));
	strcpy(world->directory, "/tmp");
	world->bridge.local_protocol = 67;
	world->space = (struct space){.bridge = &world->bridge};
	TAILQ_INIT(&world->space.domains);
	world->domain = (struct domain){
		.id = 7, .name = (char *)"acme", .space = &world->space, .table = 254};
	TAILQ_INSERT_TAIL(&world->space.domains, &world->domain, entry);
	world->speaker = (struct speaker){.space = &world->space, .directory = world->directory};
	world->reject[0] =
		(struct bridge_reject){prefix("10.9.0.0/16"), true, "vnet-prefix", "vnet/acme"};
	world->reject[1] =
		(struct bridge_reject){prefix("10.0.0.0/8"), false, "outer-address", "edge"};
	world->reject[2] =
		(struct bridge_reject){prefix("2001:db8::/32"), true, "vnet-prefix", "vnet/acme"};
	world->peering.domain = &world->domain;
	world->peering.declared = (struct bridge_peering){.id = 12,
		.domain = 7,
		.name = "acme/\"private\"\n}",
		.enabled = true,
		.local = address("169.254.10.2"),
		.remote = address("169.254.10.1"),
		.local_asn = 64512,
		.remote_asn = 65001,
		.password = "s3cret; }",
		.hold = 9,
		.memory_limit = 20000,
		.reject = world->reject,
		.rejects = 3};
}

static void holds(const char *text, const char *part)
{
	if (text == NULL || strstr(text, part) == NULL)
		fail_msg("not found: %s\nin:\n%s", part, text ? text : "(no memory)");
}

static void peering_text(void **ctx)
{
	struct world world;

	make_world(&world);
	char *text = render_peering(&world.peering);
	holds(text, "protocol bgp p12 {");
	holds(text, "description \"acme/_private__}\";");
	holds(text, "10.9.0.0/16+,\n");
	holds(text, "\t\t10.0.0.0/8\n");       // exactly it
	assert_null(strstr(text, "2001:db8")); // the other family's filter is another
	holds(text, "password \"s3cret; }\";");
	holds(text, "import keep filtered;");
	holds(text, "receive limit 20000 action disable;");
	holds(text, "graceful restart on;");
	holds(text, "hold time 9;");
	holds(text, "connect retry time 5;");
	holds(text, "export where source = RTS_INHERIT;");
	assert_null(strstr(text, "disabled"));
	free(text);
	world.peering.declared.enabled = false;
	text = render_peering(&world.peering);
	holds(text, "\tdisabled;\n");
	free(text);
}

static void main_file(void **ctx)
{
	const char *includes[] = {"/tmp/a.conf", "/tmp/b.conf"};
	struct world world;

	make_world(&world);
	char *text = render_main(&world.speaker, includes, 2);
	holds(text, "ipv4 table d7v4;");
	holds(text, "protocol kernel k7v6 {");
	holds(text, "persist;");
	holds(text, "krt_source = 67 && dest = RTD_BLACKHOLE");
	holds(text, "preference = 300;");
	holds(text, "include \"/tmp/b.conf\";");
	free(text);
}

static void refuses(struct world *world, const char *word)
{
	struct api_error error = {0};

	assert_true(render_check(&world->peering.declared, &error) < 0);
	holds(error.message, word);
}

static void passwords(void **ctx)
{
	struct world world;
	char c[] = "a?b";

	make_world(&world);
	world.peering.declared.password = c;
	for (int byte = 1; byte < 256; byte++) {
		c[1] = (char)byte;
		bool good = byte >= 0x20 && byte <= 0x7e && byte != '"' && byte != '\\';
		assert_int_equal(render_check(&world.peering.declared, NULL) == 0, good);
	}
	world.peering.declared.password = "";
	refuses(&world, "password");
}

static void nonsense(void **ctx)
{
	struct world world;

	make_world(&world);
	world.peering.declared.remote = address("2001:db8::1");
	refuses(&world, "families");
	make_world(&world);
	world.peering.declared.remote = world.peering.declared.local;
	refuses(&world, "same address");
	make_world(&world);
	world.peering.declared.remote_asn = 0;
	refuses(&world, "AS number");
}

static void names_the_rule(void **ctx)
{
	struct world world;

	make_world(&world);
	const struct bridge_peering *peering = &world.peering.declared;
	struct ip_prefix p = prefix("10.9.3.0/24");
	assert_string_equal(render_rejecting(peering, &p)->rule, "vnet-prefix");
	p = prefix("10.0.0.0/8");
	assert_string_equal(render_rejecting(peering, &p)->rule, "outer-address");
	p = prefix("10.1.0.0/16"); // inside an exact rule
	assert_null(render_rejecting(peering, &p));
	p = prefix("0.0.0.0/0"); // covers, and is a route like any other
	assert_null(render_rejecting(peering, &p));
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void bird_reads_it(void **ctx)
{
	char directory[] = "/tmp/culvert-render-XXXXXX", main_path[96], include_path[96],
	     command[256];
	const char *includes[] = {include_path};
	struct world world;

	if (system("PATH=$PATH:/usr/sbin bird --version >/dev/null 2>&1") != 0)
		skip();
	assert_non_null(mkdtemp(directory));
	snprintf(main_path, sizeof(main_path), "%s/bird.conf", directory);
	snprintf(include_path, sizeof(include_path), "%s/peering-12.conf", directory);
	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin bird -p -c %s", main_path);
	make_world(&world);
	snprintf(world.directory, sizeof(world.directory), "%s", directory);
	for (int family = 4; family <= 6; family += 2) {
		if (family == 6) {
			world.peering.declared.local = address("2001:db8:1::2");
			world.peering.declared.remote = address("2001:db8:1::1");
		}
		char *include = render_peering(&world.peering);
		char *text = render_main(&world.speaker, includes, 1);
		write_file(include_path, include);
		write_file(main_path, text);
		free(include);
		free(text);
		assert_int_equal(system(command), 0);
	}
	unlink(main_path);
	unlink(include_path);
	snprintf(main_path, sizeof(main_path), "%s/bird.log", directory);
	unlink(main_path);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peering_text),
		cmocka_unit_test(main_file),
		cmocka_unit_test(passwords),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(names_the_rule),
		cmocka_unit_test(bird_reads_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
