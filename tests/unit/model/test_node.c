// SPDX-License-Identifier: BSD-3-Clause
// The node file and the command line that comes out of it.

#include "control/node.h"
#include "tests/unit/model/base.h"

#include <unistd.h>

static int load(const char *text, struct node **node, char **shown, struct api_error *error)
{
	char path[] = "/tmp/culvert-node-XXXXXX";
	FILE *out = fdopen(mkstemp(path), "w");

	fputs(text, out);
	fclose(out);
	int rc = node_load(path, node, shown, error);
	unlink(path);
	return rc;
}

static void test_all(void **state)
{
	struct api_error error;
	struct node *node;
	char *shown, *line = NULL;
	size_t size;

	int rc = load("edge: ams1\n"
		      "host-domain: table\n"
		      "lab: true\n"
		      "ports:\n"
		      "  wan0: {device: \"net_af_packet0,iface=it's\"}\n"
		      "  core0: {device: \"0000:3b:00.1,rx=1\", tpid: 88a8, mtu: 9000}\n"
		      "  wan1: {device: eth1, mtu: 1504}\n"
		      "  wan2: {device: eth1, netns: left-2, mode: xdp}\n"
		      "socket-mode: 0600\n"
		      "dataplane: {workers: 2, memory: 512MiB, hugepages: false, fib-memory: 1GiB, "
		      "eal: [--no-telemetry]}\n"
		      "roles:\n"
		      "- {user: root, role: admin}\n"
		      "- {gid: 100, role: viewer}\n",
		&node, &shown, &error);
	if (rc)
		fail_msg("%s\n%s", error.message, shown ? shown : "");
	assert_string_equal(node->edge, "ams1");
	assert_int_equal(node_model_options(node).host_domain, HOST_DOMAIN_TABLE);
	assert_true(node_model_options(node).lab);
	assert_int_equal(node->socket_mode, 0600);
	assert_int_equal(node->roles.count, 2);
	assert_int_equal(node->roles.item[0].role, NODE_ADMIN);
	assert_int_equal(node_port_index(node, "core0"), 1);
	assert_int_equal(node_port_index(node, "core1"), -1);
	assert_int_equal(node_port(node, "core0")->tpid, NODE_TPID_88A8);
	char **arguments = node_dataplane_args(node);
	FILE *out = open_memstream(&line, &size);
	node_arguments_print(arguments, out);
	fclose(out);
	assert_string_equal(line,
		"culvert-dataplane --vdev 'net_af_packet0,iface=it'\\''s' -a "
		"0000:3b:00.1,rx=1 --no-huge --no-shconf -m 512 "
		"--file-prefix culvert --no-telemetry -- --socket "
		"/run/culvert/dataplane.sock "
		"--workers 2 --idle sleep --fib-memory 1024 --port "
		"wan0=net_af_packet0 --port core0=0000:3b:00.1,tpid=88a8,mtu=9000 "
		"--port wan1=eth1,mtu=1504 --port wan2=eth1,netns=left-2,mode=xdp\n");
	free(line);
	node_arguments_free(arguments);
	node_free(node);
}

#define PEERS(text) "edge: a\nports: {p: {device: c}}\npeers: {" text "}\n"

static void test_peers(void **state)
{
	struct api_error error;
	struct node *node;
	char *shown;

	assert_int_equal(load(PEERS("b: {socket: /run/b.sock}, c: {socket: /run/c.sock}"), &node, &shown, &error), 0);
	assert_int_equal(node->peers.count, 2);
	assert_string_equal(node->peers.item[1].name, "c");
	assert_string_equal(node->peers.item[1].socket, "/run/c.sock");
	node_free(node);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "empty"},
		{"ports: {}\n", "needs \"edge\""},
		{"edge: a\n", "needs \"ports\""},
		{"edge: a\nports: {}\n", "must not be empty"},
		{"edge: a\nports: [{name: b, device: c}]\n", "must be a map"},
		{"edge: a\nports: {b: c}\n", "must be a map of fields"},
		{"edge: a\nports: {B: {device: c}}\n", "is not a name"},
		{"edge: a\nports: {b: {device: c}, d: {device: \"c,x=1\"}}\n", "same device"},
		{"edge: a\nports: {b: {device: c, netns: n}, d: {device: c, netns: n}}\n",
			"same device"},
		{"edge: a\nports: {b: {device: net_tap0, mode: xdp}}\n",
			"only a device of the kernel has a mode"},
		{"edge: a\nports: {b: {device: c, mode: fast}}\n", "mode"},
		{"edge: a\nports: {b: {device: net_tap0, netns: n}}\n",
			"only a device of the kernel"},
		{"edge: a\nports: {b: {device: c, netns: ../n}}\n", "no network namespace"},
		{"edge: a\nports: {b: {device: c, netns: \"n,mtu=9\"}}\n", "no network namespace"},
		{"edge: a\nports: {b: {device: a-name-of-16-chr}}\n", "is no device"},
		{"edge: a\nports: {b: {device: 0000:3b:00}}\n", "is no device"},
		{"edge: a\nports: {b: {device: 0000:3b:00.8}}\n", "is no device"},
		{"edge: a\nports: {b: {device: 1:2:3:4.5}}\n", "is no device"},
		{"edge: a\nports: {b: {device: 3b:00.1x}}\n", "is no device"},
		{"edge: a\nports: {b: {device: a/b}}\n", "is no device"},
		{"edge: a\nports: {b: {device: c}, b: {device: d}}\n", "duplicate key"},
		{"edge: a\nports: {b: {devise: c}}\n", "did you mean \"device\""},
		{"edge: a\nports: {b: {device: c}}\nsocket-mode: 0888\n", "octal"},
		{"edge: a\nports: {b: {device: c}}\nroles: [{role: admin}]\n", "names no user"},
		{"edge: a\nports: {b: {device: c}}\nroles: [{user: x, group: y, role: admin}]\n",
			"more than one"},
		{"edge: a\nports: {b: {device: c}}\nroles: [{uid: -1, role: admin}]\n",
			"is not an id"},
		{"edge: a\nports: {b: {device: c}}\nroles: [{uid: 0, role: root}]\n",
			"viewer, operator, admin"},
		{"edge: a\nports: {b: {device: c}}\ndataplane: {memory: 512}\n",
			"needs a unit, such as 64KiB"},
		{"edge: a\nports: {b: {device: c}}\ndataplane: []\n", "must be a map of fields"},
		{PEERS("b: {}"), "needs \"socket\""},
		{PEERS("b: /x"), "must be a map of fields"},
		{PEERS("a: {socket: /x}"), "is this edge itself"},
		{PEERS("b: {socket: x}"), "no path of a socket"},
		{PEERS("b: {socket: /run/culvert/culvertd.sock}"), "is this edge's own"},
		{PEERS("b: {socket: /x}, b: {socket: /y}"), "duplicate key"},
		{PEERS("b: {socket: /x}, c: {socket: /x}"), "have the same socket"},
	};
	struct api_error error;
	struct node *node;
	char *shown;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(load(cases[i].text, &node, &shown, &error), -EINVAL);
		assert_null(node);
		if (!strstr(shown, cases[i].says))
			fail_msg("%s\ngave %s", cases[i].text, shown);
		assert_true(error.message[0] != '\0');
		free(shown);
	}
	assert_true(node_load("/nonexistent/node.yaml", &node, &shown, &error) < 0);
	assert_null(shown);
	assert_non_null(strstr(error.message, "/nonexistent/node.yaml"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_mistakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
