// SPDX-License-Identifier: BSD-3-Clause
// The command line of culvert-dataplane. What stands before "--" goes to the EAL as it is, what
// stands behind is ours. One table gives parser and help. `culvertd --dataplane-args` prints such a
// line from the node file.

#include "dataplane/options.h"

#include "dataplane/io/pci.h"
#include "dataplane/io/size.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct option {
	const char *name;
	const char *argument;
	const char *help;
	// Returns NULL or what is wrong with the value.
	const char *(*set)(struct options *o, const char *value, const struct option *option);
	size_t offset; // of the field, for set_number and set_text
	uint32_t lowest;
	uint32_t highest;
};

static const char *set_text(struct options *o, const char *value, const struct option *option)
{
	*(const char **)(void *)((char *)o + option->offset) = value;
	return *value ? NULL : "is empty";
}

static const char *set_number(struct options *o, const char *value, const struct option *option)
{
	static char range[64];
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || *end || end == value || *value == '-' || n < option->lowest ||
		n > option->highest) {
		snprintf(range, sizeof(range), "is not a number from %u to %u", option->lowest,
			option->highest);
		return range;
	}
	*(uint32_t *)(void *)((char *)o + option->offset) = (uint32_t)n;
	return NULL;
}

static const char *set_idle(struct options *o, const char *value, const struct option *option)
{
	if (strcmp(value, "sleep") && strcmp(value, "poll"))
		return "is neither sleep nor poll";
	o->idle_sleep = strcmp(value, "sleep") == 0;
	return NULL;
}

static const char *set_tpid(struct options_port *p, const char *value)
{
	if (strcmp(value, "8100") == 0)
		p->outer_tpid = PORT_TPID_8100;
	else if (strcmp(value, "88a8") == 0)
		p->outer_tpid = PORT_TPID_88A8;
	else if (strcmp(value, "any") == 0)
		p->outer_tpid = PORT_TPID_ANY;
	else
		return "has a tpid that is not 8100, 88a8 or any";
	return NULL;
}

static const char *set_mtu(struct options_port *p, const char *value)
{
	char *end;
	unsigned long mtu = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end != '\0' || mtu < 576 || mtu > SIZE_MTU_MAX)
		return "has an mtu that is not a number from 576 to 9600";
	p->mtu = (uint16_t)mtu;
	return NULL;
}

static const char *set_mode(struct options_port *p, const char *value)
{
	if (strcmp(value, "packet") == 0)
		p->mode = DEVICE_PACKET;
	else if (strcmp(value, "xdp") == 0)
		p->mode = DEVICE_XDP;
	else if (strcmp(value, "xdp-whole") == 0)
		p->mode = DEVICE_XDP_WHOLE;
	else
		return "has a mode that is not packet, xdp or xdp-whole";
	return NULL;
}

// A name as in /run/netns, not a path.
static const char *set_netns(struct options_port *p, const char *value)
{
	if (*value == '\0' || *value == '.' || strchr(value, '/') != NULL ||
		strlen(value) >= sizeof(p->netns))
		return "has a netns that is no name in /run/netns";
	memcpy(p->netns, value, strlen(value) + 1);
	return NULL;
}

// What stands behind the device: tpid=..., mtu=..., netns=..., mode=...
static const char *set_attributes(struct options_port *p, const char *text)
{
	while (text != NULL) {
		const char *comma = strchr(text + 1, ','), *why;
		char one[96];
		int length = comma != NULL ? (int)(comma - text - 1) : (int)strlen(text + 1);

		if (length >= (int)sizeof(one))
			return "has an attribute that is not tpid=, mtu=, netns= or mode=";
		snprintf(one, sizeof(one), "%.*s", length, text + 1);
		if (strncmp(one, "tpid=", 5) == 0)
			why = set_tpid(p, one + 5);
		else if (strncmp(one, "mtu=", 4) == 0)
			why = set_mtu(p, one + 4);
		else if (strncmp(one, "netns=", 6) == 0)
			why = set_netns(p, one + 6);
		else if (strncmp(one, "mode=", 5) == 0)
			why = set_mode(p, one + 5);
		else
			why = "has an attribute that is not tpid=, mtu=, netns= or mode=";
		if (why != NULL)
			return why;
		text = comma;
	}
	return NULL;
}

static const char *add_port(struct options *o, const char *value, const struct option *option)
{
	const char *equal = strchr(value, '='), *comma = strchr(value, ','), *why;
	struct options_port *p = &o->port[o->ports];
	char address[PCI_ADDRESS_SIZE];
	size_t name, device;

	if (o->ports == PORT_MAX)
		return "is one port too many";
	if (equal == NULL || (comma != NULL && comma < equal))
		return "is not NAME=DEVICE";
	name = (size_t)(equal - value);
	device = comma != NULL ? (size_t)(comma - equal - 1) : strlen(equal + 1);
	if (name == 0 || name >= sizeof(p->name) || device == 0 || device >= sizeof(p->device))
		return "has a name or device that is empty or too long";
	*p = (struct options_port){0};
	memcpy(p->name, value, name);
	memcpy(p->device, equal + 1, device);
	if (pci_address(p->device, address)) // as the EAL will call it
		memcpy(p->device, address, sizeof(address));
	why = set_attributes(p, comma);
	if (why != NULL)
		return why;
	for (uint32_t i = 0; i < o->ports; i++)
		if (strcmp(o->port[i].name, p->name) == 0 ||
			(strcmp(o->port[i].device, p->device) == 0 &&
				strcmp(o->port[i].netns, p->netns) == 0))
			return "uses a name or device a second time";
	o->ports++;
	return NULL;
}

#define NUMBER(field, low, high) set_number, offsetof(struct options, field), low, high
static const struct option table[] = {
	{"port",
		"NAME=DEVICE[,tpid=8100|88a8|any][,mtu=N][,netns=NAME][,mode=packet|xdp|xdp-whole]",
		"a port: its name and its device, the EAL's or the kernel's; in the order of the "
		"wire's port numbers",
		add_port, 0, 0, 0},
	{"socket", "PATH", "control socket (default /run/culvert/dataplane.sock)", set_text,
		offsetof(struct options, socket), 0, 0},
	{"stats", "PATH|none",
		"stats segment, on hugetlbfs or tmpfs (default: in a directory of our own there)",
		set_text, offsetof(struct options, stats), 0, 0},
	{"uid", "UID", "also let a controller of this user in (default: own user and root)",
		NUMBER(uid, 0, UINT32_MAX - 1)},
	{"workers", "N", "worker threads (default: EAL worker lcores, at least 1)",
		NUMBER(workers, 1, 16)},
	{"idle", "sleep|poll", "what a worker does without traffic (default sleep)", set_idle, 0, 0,
		0},
	{"buffers", "N", "packet buffers (default: what ports, queues and workers take)",
		NUMBER(buffers, 1024, 16777215)},
	{"buffer-size", "BYTES",
		"largest frame a buffer holds (default: 2048, or what the ports need)",
		NUMBER(buffer_size, 1600, 16384)},
	{"descriptors", "N", "ring descriptors of each device queue (default 1024)",
		NUMBER(descriptors, 64, 32768)},
	{"interfaces", "N", "interfaces there can be (default 4096)",
		NUMBER(interfaces, 64, 1048576)},
	{"limiters", "N", "limiters there can be (default 4096)", NUMBER(limiters, 64, 1048576)},
	{"vrfs", "N", "VRFs there can be", NUMBER(vrfs, 2, 1048576)},
	{"fib-memory", "MIB", "forwarding memory, reserved and used as routes come (default 2048)",
		NUMBER(fib_memory, 16, 32768)},
	{"host-rate", "N", "packets/s to the host, per interface and class (default 2000)",
		NUMBER(punt_rate, 1, 10000000)},
	{"icmp-rate", "N", "ICMP errors/s per interface (default 100)",
		NUMBER(icmp_rate, 1, 10000000)},
};
#define TABLE (sizeof(table) / sizeof(table[0]))

static void print_help(void)
{
	printf("usage: culvert-dataplane [EAL OPTION...] -- [OPTION...]\n\n"
	       "Forwards packets as a controller (culvertd) says over the control socket.\n\n");
	for (size_t i = 0; i < TABLE; i++) {
		char left[96];

		snprintf(left, sizeof(left), "--%s %s", table[i].name, table[i].argument);
		if (strlen(left) > 24)
			printf("  %s\n  %-24s %s\n", left, "", table[i].help);
		else
			printf("  %-24s %s\n", left, table[i].help);
	}
	printf("  %-24s %s\n  %-24s %s\n\n", "--help", "this text", "--version", "the version");
	printf("Without hugepages: --no-huge --no-shconf -m 256. A kernel device as a port:\n"
	       "-- --port wan0=eth1\n"
	       "Exit codes: 0 stopped by a signal, 1 the EAL did not start, 2 usage, 3 a port,\n"
	       "4 memory, 5 the control socket or the stats segment.\n");
}

static bool speaks_of(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
		if ((at == text || at[-1] == ' ') && strchr(" =,;.", at[length]) != NULL)
			return true; // the end of the text counts, too
	return false;
}

void options_fields(const char *text, char *fields, size_t size)
{
	static const struct {
		const char *option, *field;
	} known[] = {
		{"-m", "dataplane.memory"},
		{"--buffers", "dataplane.buffers"},
		{"--buffer-size", "dataplane.buffer-size"},
		{"--descriptors", "dataplane.descriptors"},
		{"--workers", "dataplane.workers"},
		{"--interfaces", "dataplane.interfaces"},
		{"--limiters", "dataplane.limiters"},
		{"--vrfs", "dataplane.vrfs"},
		{"--stats", "dataplane.stats"},
		{"--socket", "dataplane.socket"},
		{"--vdev", "the port's device"},
		{"-a", "the port's device"},
		{"--port", "ports"},
		{"mtu", "the port's mtu"},
	};
	size_t used = 0;

	fields[0] = '\0';
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && used < size; i++)
		if (speaks_of(text, known[i].option))
			used += (size_t)snprintf(fields + used, size - used, "%s%s is %s",
				used > 0 ? ", " : "", known[i].option, known[i].field);
}

static enum options_result wrong(const char *what, const char *name, const char *why)
{
	char text[512], fields[256];

	snprintf(text, sizeof(text), "%s%s %s", what, name, why);
	fprintf(stderr, "error: %s; see culvert-dataplane --help\n", text);
	options_fields(text, fields, sizeof(fields));
	if (*fields)
		fprintf(stderr, "hint: in the node file %s\n", fields);
	return OPTIONS_WRONG;
}

// Splits --name=value and --name value. Returns how many arguments it took; 0 = error printed.
static int parse_one(struct options *o, char **argv, int left)
{
	const char *arg = argv[0], *equal;
	size_t length;

	if (strncmp(arg, "--", 2)) {
		wrong("argument ", arg, "is not an option");
		return 0;
	}
	equal = strchr(arg, '=');
	length = equal ? (size_t)(equal - arg - 2) : strlen(arg + 2);
	for (size_t i = 0; i < TABLE; i++) {
		const char *value = equal ? equal + 1 : left > 1 ? argv[1] : NULL, *why;

		if (strlen(table[i].name) != length || strncmp(table[i].name, arg + 2, length))
			continue;
		why = value ? table[i].set(o, value, &table[i]) : "lacks its value";
		if (why) {
			char what[320];

			snprintf(what, sizeof(what), "--%s %.256s", table[i].name,
				value ? value : "");
			wrong(what, "", why);
			return 0;
		}
		return equal ? 1 : 2;
	}
	wrong("option ", arg, "does not exist");
	return 0;
}

enum options_result options_parse(int argc, char **argv, struct options *o)
{
	int at = 1;

	*o = (struct options){
		.socket = "/run/culvert/dataplane.sock",
		.uid = geteuid(),
		.idle_sleep = true,
	};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--version") == 0) {
			printf("culvert-dataplane %s\n", CULVERT_VERSION);
			return OPTIONS_DONE;
		}
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help();
			return OPTIONS_DONE;
		}
	}
	while (at < argc && strcmp(argv[at], "--"))
		at++;
	o->eal_count = at;
	for (at++; at < argc;) {
		int took = parse_one(o, argv + at, argc - at);

		if (!took)
			return OPTIONS_WRONG;
		at += took;
	}
	if (!o->ports)
		return wrong("", "no --port", "was given");
	return OPTIONS_RUN;
}
