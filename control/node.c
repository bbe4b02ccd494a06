// SPDX-License-Identifier: BSD-3-Clause
// The node file: read by the same tables of fields as the model, with the same messages. It says what this
// machine is (edge name, devices, sockets, who may do what); what the network is stands in the model. The
// data plane's whole command line is derived from it here, so that nobody writes it down twice.

#include "control/node.h"
#include "control/api/text.h"
#include "control/model/intent.h"
#include "control/model/model_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET(member)    offsetof(struct node_file, node.member)
#define PORT(member)      offsetof(struct node_port, member)
#define DATAPLANE(member) offsetof(struct node_dataplane, member)
#define GRANT(member)     offsetof(struct node_grant, member)
#define PEER(member)      offsetof(struct node_peer, member)
#define COUNT(fields)     (sizeof(fields) / sizeof((fields)[0]))
#define MIB               INT64_C(1048576)
#define NODE_FILE_MAX     (1u << 20)
#define SOCKET_PATH_MAX   107 // of struct sockaddr_un

struct node_file {
	struct node node;
	const char *socket_mode; // octal text
};

static const char *const tpids[] = {"8100", "88a8", "any", NULL};
static const char *const modes[] = {"auto", "packet", "xdp", "xdp-whole", NULL};
static const char *const roles[] = {"viewer", "operator", "admin", NULL};
static const char *const host_domains[] = {"netns", "table", "vrf", NULL};

static const struct field port_fields[] = {
	{"name", FIELD_NAME, 0, PORT(name), .help = "name of the port in the model"},
	{"device", FIELD_STRING, FIELD_REQUIRED, PORT(device),
		.help = "a kernel device's name, a PCI address, or a DPDK vdev with its "
			"arguments"},
	{"tpid", FIELD_ENUM, 0, PORT(tpid), "8100", .values = tpids,
		.help = "ethertype of the outer tag"},
	{"mtu", FIELD_UINT, 0, PORT(mtu), NULL, 576, 9600,
		.help = "largest IP packet, set on the device"},
	{"mode", FIELD_ENUM, 0, PORT(mode), "auto", .values = modes,
		.help = "how a kernel device is opened"},
	{"netns", FIELD_STRING, 0, PORT(netns),
		.help = "network namespace of a kernel device, as in /run/netns"},
};
static const struct fields port = {port_fields, COUNT(port_fields), sizeof(struct node_port)};

static const struct field grant_fields[] = {
	{"user", FIELD_STRING, 0, GRANT(user), .help = "user name"},
	{"uid", FIELD_STRING, 0, GRANT(uid), .help = "user id"},
	{"group", FIELD_STRING, 0, GRANT(group), .help = "group name"},
	{"gid", FIELD_STRING, 0, GRANT(gid), .help = "group id"},
	{"role", FIELD_ENUM, FIELD_REQUIRED, GRANT(role), .values = roles,
		.help = "what they may do"},
	{"provider", FIELD_NAME, 0, GRANT(provider),
		.help = "they are this provider: his cross-connections, and nothing else"},
};
static const struct fields grant = {grant_fields, COUNT(grant_fields), sizeof(struct node_grant)};

static const struct field peer_fields[] = {
	{"name", FIELD_NAME, 0, PEER(name), .help = "another edge's name in the model"},
	{"socket", FIELD_STRING, FIELD_REQUIRED, PEER(socket), .help = "its control socket"},
};
static const struct fields peer = {peer_fields, COUNT(peer_fields), sizeof(struct node_peer)};

static const struct field dataplane_fields[] = {
	{"program", FIELD_STRING, 0, DATAPLANE(program), "culvert-dataplane",
		.help = "the program"},
	{"socket", FIELD_STRING, 0, DATAPLANE(socket), "/run/culvert/dataplane.sock",
		.help = "its control socket"},
	{"stats", FIELD_STRING, 0, DATAPLANE(stats),
		.help = "its stats segment, on hugetlbfs or tmpfs; in a directory of its own when "
			"not given"},
	{"workers", FIELD_UINT, 0, DATAPLANE(workers), "1", 1, 16, .help = "worker threads"},
	{"memory", FIELD_SIZE, 0, DATAPLANE(memory), "256MiB", 64 * MIB, 65536 * MIB,
		.help = "memory for packets"},
	{"hugepages", FIELD_BOOL, 0, DATAPLANE(hugepages), "true",
		.help = "false: work without hugepages"},
	{"idle", FIELD_BOOL, 0, DATAPLANE(idle), "true",
		.help = "workers sleep when there is nothing to do"},
	{"buffers", FIELD_UINT, 0, DATAPLANE(buffers), NULL, 1024, 16777215,
		.help = "packet buffers"},
	{"buffer-size", FIELD_UINT, 0, DATAPLANE(buffer_size), NULL, 1600, 16384,
		.help = "largest frame in bytes"},
	{"descriptors", FIELD_UINT, 0, DATAPLANE(descriptors), NULL, 64, 32768,
		.help = "ring descriptors of a device queue"},
	{"interfaces", FIELD_UINT, 0, DATAPLANE(interfaces), NULL, 64, 1048576,
		.help = "interfaces there can be"},
	{"limiters", FIELD_UINT, 0, DATAPLANE(limiters), NULL, 64, 1048576,
		.help = "limiters there can be"},
	{"vrfs", FIELD_UINT, 0, DATAPLANE(vrfs), NULL, 2, 1048576,
		.help = "routing domains there can be"},
	{"fib-memory", FIELD_SIZE, 0, DATAPLANE(fib_memory), NULL, 16 * MIB, 32768 * MIB,
		.help = "forwarding memory"},
	{"eal", FIELD_LIST, 0, DATAPLANE(eal), .element = FIELD_STRING,
		.help = "more EAL arguments"},
};
static const struct fields dataplane = {
	dataplane_fields, COUNT(dataplane_fields), sizeof(struct node_dataplane)};

static const struct field node_fields[] = {
	{"edge", FIELD_NAME, FIELD_REQUIRED, OFFSET(edge), .help = "this edge's name in the model"},
	{"host-domain", FIELD_ENUM, 0, OFFSET(host_domain), "netns", .values = host_domains,
		.help = "where routing domains live in the kernel"},
	{"lab", FIELD_BOOL, 0, OFFSET(lab), "false",
		.help = "both links of a circuit may be on one edge"},
	{"ports", FIELD_LIST, FIELD_REQUIRED | FIELD_MAP, OFFSET(ports), .element = FIELD_STRUCT,
		.fields = &port, .help = "name of the port: {device: ...}"},
	{"dataplane", FIELD_STRUCT, 0, OFFSET(dataplane), .fields = &dataplane,
		.help = "the data plane process"},
	{"socket", FIELD_STRING, 0, OFFSET(socket), "/run/culvert/culvertd.sock",
		.help = "control socket"},
	{"socket-mode", FIELD_STRING, 0, offsetof(struct node_file, socket_mode), "0660",
		.help = "its permissions, octal"},
	{"socket-group", FIELD_STRING, 0, OFFSET(socket_group), .help = "its group"},
	{"store", FIELD_STRING, 0, OFFSET(store), "/var/lib/culvert/store.db",
		.help = "database of the model"},
	{"store-key", FIELD_STRING, 0, OFFSET(store_key),
		.help = "key file that seals secrets, STORE.key when not given"},
	{"keep-revisions", FIELD_UINT, 0, OFFSET(keep_revisions), "10000", 10, 10000000,
		.help = "revisions that the history keeps"},
	{"keep-audit", FIELD_UINT, 0, OFFSET(keep_audit), "100000", 100, 10000000,
		.help = "changes that the audit keeps, and as many other lines and final counters"},
	{"run-dir", FIELD_STRING, 0, OFFSET(run_dir), "/run/culvert",
		.help = "directory of the speakers' files"},
	{"speaker", FIELD_STRING, 0, OFFSET(speaker),
		.help = "command that starts and stops BGP speakers"},
	{"kernel-prefix", FIELD_NAME, 0, OFFSET(kernel_prefix), "culvert",
		.help = "begin of every name made in the kernel"},
	{"roles", FIELD_LIST, 0, OFFSET(roles), .element = FIELD_STRUCT, .fields = &grant,
		.help = "who may do what"},
	{"peers", FIELD_LIST, FIELD_MAP, OFFSET(peers), .element = FIELD_STRUCT, .fields = &peer,
		.help = "name of another edge: {socket: PATH}"},
};
static const struct fields fields = {node_fields, COUNT(node_fields), sizeof(struct node_file)};

// --- reading -------------------------------------------------------------------------------------------

static const struct place *place_of(const struct tree *tree, const char *key)
{
	for (const struct tree *member = tree->child; member; member = member->next) {
		if (!strcmp(member->key, key))
			return &member->place;
	}
	return &tree->place;
}

static bool is_number(const char *text)
{
	return text[0] && (text[0] != '0' || !text[1]) &&
	       strspn(text, "0123456789") == strlen(text) && strlen(text) < 11 &&
	       strtoull(text, NULL, 10) < UINT32_MAX;
}

static void check_roles(struct reader *reader, const struct node *node, const struct tree *tree)
{
	for (unsigned int i = 0; i < node->roles.count; i++) {
		const struct node_grant *g = &node->roles.item[i];
		const char *number = g->uid ? g->uid : g->gid;
		unsigned int given = !!g->user + !!g->uid + !!g->group + !!g->gid;
		if (given != 1)
			finding_hint(
				reader_complain(reader, "role", place_of(tree, "roles"), "roles",
					"roles[%u] names %s", i,
					given ? "more than one user or group" : "no user or group"),
				"give one of user, uid, group, gid");
		else if (number && !is_number(number))
			finding_hint(reader_complain(reader, "role", place_of(tree, "roles"), "roles",
					     "roles[%u]: \"%.32s\" is not an id", i, number),
				"a number; a name goes by user or group");
	}
}

// "0000:3b:00.1" or "3b:00.1": what the EAL takes as -a.
static bool is_pci(const char *device, size_t length)
{
	unsigned int domain, bus, slot, function;
	char text[16] = "", rest;

	if (length >= sizeof(text) || strspn(device, "0123456789abcdefABCDEF:.") < length)
		return false;
	memcpy(text, device, length);
	return sscanf(text, "%4x:%2x:%2x.%1o%c", &domain, &bus, &slot, &function, &rest) == 4 ||
	       sscanf(text, "%2x:%2x.%1o%c", &bus, &slot, &function, &rest) == 3;
}

enum node_device node_device(const char *device)
{
	size_t length = strcspn(device, ",");

	if (is_pci(device, length))
		return NODE_DEVICE_PCI;
	if (strncmp(device, "net_", 4) == 0 || device[length] == ',')
		return NODE_DEVICE_VDEV;
	// as the kernel has it (dev_valid_name)
	if (length == 0 || length > 15 || strcspn(device, "/: \t\n") != length ||
		strcmp(device, ".") == 0 || strcmp(device, "..") == 0)
		return NODE_DEVICE_NONE;
	return NODE_DEVICE_KERNEL;
}

bool node_device_merges(const char *device)
{
	return strncmp(device, "net_af_packet", strlen("net_af_packet")) == 0;
}

static bool is_netns(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t length = strlen(name);

	return length > 0 && length < 64 && name[0] != '.' && strspn(name, plain) == length;
}

static bool same_device(const struct node_port *a, const struct node_port *b)
{
	size_t length = strcspn(a->device, ",");
	const char *in = a->netns != NULL ? a->netns : "",
		   *other = b->netns != NULL ? b->netns : "";

	return strcspn(b->device, ",") == length && strncmp(a->device, b->device, length) == 0 &&
	       strcmp(in, other) == 0;
}

static void check_port(struct reader *reader, const struct node_port *one, const struct tree *tree)
{
	enum node_device is = node_device(one->device);

	if (is == NODE_DEVICE_NONE)
		finding_hint(reader_complain(reader, "value", place_of(tree, "ports"), "ports",
				     "port \"%s\": \"%.32s\" is no device", one->name, one->device),
			"a device of the kernel by its name (eth1), a PCI address "
			"(0000:3b:00.1), or a vdev of DPDK (net_...)");
	if (one->netns != NULL && (is != NODE_DEVICE_KERNEL || !is_netns(one->netns)))
		finding_hint(
			reader_complain(reader, "value", place_of(tree, "ports"), "ports",
				is != NODE_DEVICE_KERNEL
					? "port \"%s\": only a device of the kernel is in a "
					  "network namespace, not \"%.32s\""
					: "port \"%s\": there can be no network namespace "
					  "\"%.32s\"",
				one->name, is != NODE_DEVICE_KERNEL ? one->device : one->netns),
			"netns: a name that `ip netns` lists");
}

static void check_mode(struct reader *reader, const struct node_port *one, const struct tree *tree)
{
	if (one->mode != NODE_MODE_AUTO && node_device(one->device) != NODE_DEVICE_KERNEL)
		finding_hint(reader_complain(reader, "value", place_of(tree, "ports"), "ports",
				     "port \"%s\": only a device of the kernel has a mode, not "
				     "\"%.32s\"",
				     one->name, one->device),
			"device: the kernel's name of it (eth1)");
}

static void check_peers(struct reader *reader, const struct node *node, const struct tree *tree)
{
	const struct place *place = place_of(tree, "peers");

	for (unsigned int i = 0; i < node->peers.count; i++) {
		const struct node_peer *this = &node->peers.item[i];
		if (!this->name || !this->socket)
			continue;
		if (node->edge && !strcmp(this->name, node->edge))
			reader_complain(reader, "value", place, "peers",
				"peer \"%s\" is this edge itself", this->name);
		if (this->socket[0] != '/' || strlen(this->socket) > SOCKET_PATH_MAX)
			finding_hint(reader_complain(reader, "value", place, "peers",
					     "peer \"%s\": socket \"%.64s\" is no path of a socket",
					     this->name, this->socket),
				"an absolute path of at most %d characters", SOCKET_PATH_MAX);
		if (node->socket && !strcmp(this->socket, node->socket))
			reader_complain(reader, "value", place, "peers",
				"peer \"%s\": socket \"%.64s\" is this edge's own", this->name,
				this->socket);
		for (unsigned int j = 0; j < i; j++) {
			const struct node_peer *other = &node->peers.item[j];
			if (other->name && !strcmp(other->name, this->name))
				reader_complain(reader, "value", place, "peers",
					"peer \"%s\" is there twice", this->name);
			else if (other->socket && !strcmp(other->socket, this->socket))
				reader_complain(reader, "value", place, "peers",
					"peers \"%s\" and \"%s\" have the same socket", other->name,
					this->name);
		}
	}
}

static void check_node(struct reader *reader, struct node_file *file, const struct tree *tree)
{
	const char *mode = file->socket_mode;
	const struct node *node = &file->node;

	if (!mode || strspn(mode, "01234567") != strlen(mode) || strlen(mode) < 3 ||
		strlen(mode) > 4)
		finding_hint(reader_complain(reader, "value", place_of(tree, "socket-mode"),
				     "socket-mode",
				     "socket-mode \"%.32s\" is not three or four octal digits",
				     mode ? mode : ""),
			"socket-mode: \"0660\"");
	else
		file->node.socket_mode = (uint32_t)strtoul(mode, NULL, 8);
	for (unsigned int i = 0; i < node->ports.count; i++) {
		const struct node_port *this = &node->ports.item[i];
		if (this->device) {
			check_port(reader, this, tree);
			check_mode(reader, this, tree);
		}
		for (unsigned int j = 0; this->device && j < i; j++) {
			const struct node_port *other = &node->ports.item[j];
			if (other->device && same_device(this, other))
				finding_hint(reader_complain(reader, "value", place_of(tree, "ports"),
						     "ports",
						     "ports \"%s\" and \"%s\" are the same device",
						     node->ports.item[j].name, node->ports.item[i].name),
					"a device is one port");
		}
	}
	check_roles(reader, node, tree);
	check_peers(reader, node, tree);
}

int node_load(const char *path, struct node **out, char **text, struct api_error *error)
{
	struct findings *findings = calloc(1, sizeof(*findings));
	struct node_file *file = calloc(1, sizeof(*file));
	struct arena arena = {0};
	uint64_t given = 0;
	int rc = -EINVAL;

	*out = NULL;
	*text = NULL;
	char *content = NULL;
	size_t length = 0;
	if (!findings || !file)
		goto done;
	rc = api_read_file(path, NODE_FILE_MAX, &content, &length, error);
	if (rc) {
		snprintf(error->hint, sizeof(error->hint), "give the node file with --config");
		goto done;
	}
	struct source source = source_of(path, content, length);
	rc = -EINVAL;
	struct reader reader = {.findings = findings, .source = &source, .from_file = true};
	struct tree *tree = tree_from_yaml(&arena, &source, findings);
	if (tree && tree->type != TREE_MAP) {
		finding_hint(reader_complain(
				     &reader, "value", &tree->place, "", "the node file is empty"),
			"edge: NAME");
	} else if (tree) {
		if (fields_initial(&fields, file))
			reader.failed = true;
		fields_read(&reader, &fields, tree, file, NULL, NULL, &given);
		fields_require(&reader, &fields, tree, file, given);
		check_node(&reader, file, tree);
	}
	if (reader.failed) {
		rc = api_fail(error, API_INTERNAL, NULL, "not enough memory");
	} else if (findings->count) {
		findings_error(findings, error);
		*text = findings_text(findings, path);
	} else {
		*out = &file->node;
		file = NULL;
		rc = 0;
	}
done:
	arena_free(&arena);
	free(content);
	free(findings);
	if (file)
		node_free(&file->node);
	return rc;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	fields_free(&fields, node); // the first member of struct node_file
	free(node);
}

struct model_options node_model_options(const struct node *node)
{
	return (struct model_options){
		.host_domain = (enum host_domain)node->host_domain, .lab = node->lab};
}

struct node_view *node_view_create(const struct node *node)
{
	struct node_view *view = malloc(sizeof(*view) + node->ports.count * sizeof(char *));

	if (!view)
		abort();
	const char **names = (const char **)(view + 1);
	for (unsigned int i = 0; i < node->ports.count; i++)
		names[i] = node->ports.item[i].name;
	*view = (struct node_view){node->edge, node->ports.count, names};
	return view;
}

int node_port_index(const struct node *node, const char *name)
{
	for (unsigned int i = 0; i < node->ports.count; i++) {
		if (!strcmp(node->ports.item[i].name, name))
			return (int)i;
	}
	return -1;
}

const struct node_port *node_port(const struct node *node, const char *name)
{
	int index = node_port_index(node, name);

	return index < 0 ? NULL : &node->ports.item[index];
}

// --- the data plane's command line ---------------------------------------------------------------------

struct arguments {
	char **item;
	unsigned int count;
	bool failed;
};

static void argument(struct arguments *arguments, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void argument(struct arguments *arguments, const char *format, ...)
{
	char **item = reallocarray(arguments->item, arguments->count + 2, sizeof(*item));
	va_list args;

	if (!item) {
		arguments->failed = true;
		return;
	}
	arguments->item = item;
	va_start(args, format);
	if (vasprintf(&item[arguments->count], format, args) < 0) {
		item[arguments->count] = NULL;
		arguments->failed = true;
	} else {
		item[++arguments->count] = NULL;
	}
	va_end(args);
}

static void number(struct arguments *arguments, const char *name, uint64_t value)
{
	if (value) {
		argument(arguments, "--%s", name);
		argument(arguments, "%llu", (unsigned long long)value);
	}
}

char **node_dataplane_args(const struct node *node)
{
	const struct node_dataplane *d = &node->dataplane;
	struct arguments a = {0};
	bool pci = false;

	argument(&a, "%s", d->program);
	for (unsigned int i = 0; i < node->ports.count; i++) {
		enum node_device is = node_device(node->ports.item[i].device);
		if (is == NODE_DEVICE_KERNEL)
			continue;
		argument(&a, is == NODE_DEVICE_PCI ? "-a" : "--vdev");
		argument(&a, "%s", node->ports.item[i].device);
		pci |= is == NODE_DEVICE_PCI;
	}
	if (!pci)
		argument(&a, "--no-pci");
	if (!d->hugepages) {
		argument(&a, "--no-huge");
		argument(&a, "--no-shconf");
	}
	argument(&a, "-m");
	argument(&a, "%llu", (unsigned long long)(d->memory >> 20));
	argument(&a, "--file-prefix");
	argument(&a, "%s", node->kernel_prefix);
	for (unsigned int i = 0; i < d->eal.count; i++)
		argument(&a, "%s", d->eal.item[i]);
	argument(&a, "--");
	argument(&a, "--socket");
	argument(&a, "%s", d->socket);
	if (d->stats != NULL) {
		argument(&a, "--stats");
		argument(&a, "%s", d->stats);
	}
	number(&a, "workers", d->workers);
	argument(&a, "--idle");
	argument(&a, d->idle ? "sleep" : "poll");
	number(&a, "buffers", d->buffers);
	number(&a, "buffer-size", d->buffer_size);
	number(&a, "descriptors", d->descriptors);
	number(&a, "interfaces", d->interfaces);
	number(&a, "limiters", d->limiters);
	number(&a, "vrfs", d->vrfs);
	number(&a, "fib-memory", d->fib_memory >> 20);
	for (unsigned int i = 0; i < node->ports.count; i++) {
		const struct node_port *p = &node->ports.item[i];
		argument(&a, "--port");
		char mtu[16] = "";
		if (p->mtu != 0)
			snprintf(mtu, sizeof(mtu), ",mtu=%u", p->mtu);
		argument(&a, "%s=%.*s%s%s%s%s%s%s%s", p->name, (int)strcspn(p->device, ","), p->device,
			p->tpid == NODE_TPID_8100 ? "" : ",tpid=",
			p->tpid == NODE_TPID_8100 ? "" : tpids[p->tpid], mtu,
			p->netns == NULL ? "" : ",netns=", p->netns == NULL ? "" : p->netns,
			p->mode == NODE_MODE_AUTO ? "" : ",mode=",
			p->mode == NODE_MODE_AUTO ? "" : modes[p->mode]);
	}
	if (a.failed) {
		node_arguments_free(a.item);
		return NULL;
	}
	return a.item;
}

void node_arguments_free(char **arguments)
{
	for (char **text = arguments; text && *text; text++)
		free(*text);
	free(arguments);
}

void node_arguments_print(char **arguments, FILE *out)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%";

	for (char **text = arguments; text && *text; text++) {
		fputs(text == arguments ? "" : " ", out);
		if (**text && strspn(*text, plain) == strlen(*text)) {
			fputs(*text, out);
			continue;
		}
		fputc('\'', out);
		for (const char *c = *text; *c; c++)
			fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, out);
		fputc('\'', out);
	}
	fputc('\n', out);
}
