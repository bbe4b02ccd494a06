// SPDX-License-Identifier: BSD-3-Clause
// Publications for the tests, made by the real model and the real store in a directory that goes away.

#include "tests/unit/sync/fixture.h"

#include <unistd.h>

const char *const base_yaml =
	"version: 1\n"
	"edges:\n"
	"  - name: east\n"
	"    routes:\n"
	"      - {prefix: 198.51.100.0/24, via: 192.0.2.2}\n"
	"    ports:\n"
	"      - {name: wan0, faces: customer}\n"
	"      - {name: wan1, faces: customer}\n"
	"      - {name: core0, faces: core, address: 192.0.2.1/24}\n"
	"  - name: west\n"
	"    routes:\n"
	"      - {prefix: 198.51.100.0/24, via: 192.0.2.2}\n"
	"    ports:\n"
	"      - {name: wan0, faces: customer}\n"
	"      - {name: wan1, faces: customer}\n"
	"      - {name: core0, faces: core, address: 192.0.2.129/24}\n"
	"customers:\n"
	"  - name: acme\n"
	"  - name: globex\n"
	"vnets:\n"
	"  - name: acme-prod\n"
	"    customer: acme\n"
	"    prefixes: [10.9.0.0/16]\n"
	"    tunnels:\n"
	"      - {edge: east, gateway: 198.51.100.11, local: 192.0.2.1, key: 7001}\n"
	"      - {edge: west, gateway: 198.51.100.11, local: 192.0.2.129, key: 7001}\n"
	"  - name: globex-prod\n"
	"    customer: globex\n"
	"    prefixes: [10.9.0.0/16]\n"
	"    tunnels:\n"
	"      - {edge: east, gateway: 198.51.100.21, local: 192.0.2.1, key: 7002}\n"
	"      - {edge: west, gateway: 198.51.100.21, local: 192.0.2.129, key: 7002}\n"
	"circuits:\n"
	"  - name: acme-01\n"
	"    customer: acme\n"
	"    bandwidth: 50mbps\n"
	"    links:\n"
	"      - {role: primary, edge: east, port: wan0, outer-tag: 100}\n"
	"      - {role: secondary, edge: west, port: wan0, outer-tag: 101}\n"
	"    peerings:\n"
	"      - type: private\n"
	"        primary-subnet: 169.254.10.0/30\n"
	"        secondary-subnet: 169.254.10.4/30\n"
	"        peer-asn: 65010\n"
	"        local-asn: 64900\n"
	"    connections:\n"
	"      - vnet: acme-prod\n"
	"  - name: globex-01\n"
	"    customer: globex\n"
	"    bandwidth: 100mbps\n"
	"    links:\n"
	"      - {role: primary, edge: east, port: wan1, outer-tag: 200, inner-tag: 10}\n"
	"      - {role: secondary, edge: west, port: wan1, outer-tag: 201, inner-tag: 10}\n"
	"    peerings:\n"
	"      - type: private\n"
	"        primary-subnet: 169.254.10.0/30\n"
	"        secondary-subnet: 169.254.10.4/30\n"
	"        peer-asn: 65020\n"
	"        local-asn: 64900\n"
	"    connections:\n"
	"      - vnet: globex-prod\n";

bool configuration_lab;

void configuration_open(struct configuration *c)
{
	struct api_error error = {0};
	struct findings findings = {0};
	struct store_state state = {0};
	char path[96];

	memset(c, 0, sizeof(*c));
	strcpy(c->directory, "/tmp/culvert-sync-XXXXXX");
	assert_non_null(mkdtemp(c->directory));
	snprintf(path, sizeof(path), "%s/store.db", c->directory);
	const struct store_options options = {.path = path, .model = {.lab = configuration_lab}};
	assert_int_equal(store_open(&c->store, &options, &error), 0);
	assert_int_equal(store_load(c->store, &state, &findings, &error), 0);
	c->model = state.model;
	c->ids = state.ids;
	c->revision = state.revision;
	memcpy(c->uuid, state.uuid, sizeof(c->uuid));
}

void configuration_close(struct configuration *c)
{
	static const char *const names[] = {
		"store.db", "store.db-wal", "store.db-shm", "store.db.key", "dataplane.sock"};

	store_close(c->store);
	model_unref(c->model);
	ids_unref(c->ids);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[96];
		snprintf(path, sizeof(path), "%s/%s", c->directory, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(c->directory), 0);
}

void configuration_apply(struct configuration *c, const char *yaml)
{
	struct findings findings = {0};
	struct api_error error = {0};
	struct model *new = NULL;
	struct ids *ids = NULL;

	if (model_parse(c->model, yaml, strlen(yaml), "test", &new, &findings) != 0)
		fail_msg("%s", findings.item[0].message);
	const struct store_commit commit = {
		.old = c->model, .new = new, .actor = "test", .verb = "config.apply"};
	assert_int_equal(store_commit(c->store, &commit, &c->revision, &ids, &error), 0);
	model_unref(c->model);
	ids_unref(c->ids);
	c->model = new;
	c->ids = ids;
}

void configuration_edit(struct configuration *c, const char *from, const char *to)
{
	static const char begin[] = "version: 1\n";
	char *whole = model_yaml(c->model), *yaml;
	const char *sections = strstr(whole, "objects: ");
	char *edited;

	// What is edited is not counted.
	sections = strchr(sections, '\n') + 1;
	assert_true(asprintf(&yaml, "%s%.*s", begin,
			    (int)(strstr(sections, "\nend: ") + 1 - sections), sections) > 0);
	free(whole);
	const char *at = strstr(yaml, from);

	if (at == NULL)
		fail_msg("\"%s\" is not in\n%s", from, yaml);
	assert_true(
		asprintf(&edited, "%.*s%s%s", (int)(at - yaml), yaml, to, at + strlen(from)) > 0);
	configuration_apply(c, edited);
	free(edited);
	free(yaml);
}

struct publication *configuration_publish(const struct configuration *c)
{
	struct publication *publication = calloc(1, sizeof(*publication));

	publication->references = 1;
	publication->model = model_ref(c->model);
	publication->ids = ids_ref(c->ids);
	publication->revision = c->revision;
	memcpy(publication->store, c->uuid, sizeof(c->uuid));
	return publication;
}

struct node *make_node(const char *edge, const char *socket)
{
	struct node *node = calloc(1, sizeof(*node));

	node->edge = edge;
	node->ports.count = 3;
	node->ports.item = calloc(3, sizeof(*node->ports.item));
	node->ports.item[0] = (struct node_port){.name = "wan0", .device = "net_null0"};
	node->ports.item[1] = (struct node_port){.name = "wan1", .device = "net_null1"};
	node->ports.item[2] = (struct node_port){.name = "core0", .device = "net_null2"};
	node->dataplane.socket = socket;
	node->kernel_prefix = "test";
	node->run_dir = "/nonexistent";
	node->speaker = "";
	return node;
}

void free_node(struct node *node)
{
	free(node->ports.item);
	free(node);
}
