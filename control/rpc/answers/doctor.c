// SPDX-License-Identifier: BSD-3-Clause
// `doctor`: what of this machine stands in the edge's way, where a machine can know, each with the command
// that mends it. One row of the table below is one function; what the edge itself knows is `status`'s.
//
// All of it is read when it is asked for, from files of /proc and /sys and by ioctls of a socket: a few
// microseconds each, nothing that waits for anybody.

#include "control/rpc/answers/answers.h"

#include "control/node.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct doctor {
	const struct sync *sync;
	const char *check;
	json_t *items;
	int socket;
	// of a check of ports
	unsigned int port;
	const char *device;
};

enum verdict { WELL, WRONG, UNKNOWN };

static void say(struct doctor *d, const char *object, enum verdict verdict, const char *fix,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
static void say(struct doctor *d, const char *object, enum verdict verdict, const char *fix,
	const char *format, ...)
{
	static const char *const states[] = {"ok", "warning", "unknown"};
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	json_array_append_new(d->items,
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "check", d->check, "object", object, "state",
			states[verdict], "message", message, "fix", verdict == WRONG ? fix : ""));
}

// The first line of a file, without its end; false: it cannot be read.
static bool read_line(const char *path, char line[128])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, line, 127);

	if (fd >= 0)
		close(fd);
	line[length < 0 ? 0 : length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return length >= 0;
}

// --- the machine -------------------------------------------------------------------------------------------

static void clock_checked(struct doctor *d)
{
	struct timex now = {0};
	bool synchronised = adjtimex(&now) >= 0 && !(now.status & STA_UNSYNC);

	say(d, "", synchronised ? WELL : WRONG, "timedatectl set-ntp true",
		synchronised
			? "the clock is synchronised"
			: "the clock is not synchronised: records of two edges and bills go by it");
}

static void neighbors_checked(struct doctor *d)
{
	unsigned int need = (unsigned int)(d->sync->realised.count + d->sync->gateways.count) * 2;
	unsigned int most = 1024;

	while (most < need)
		most *= 2;
	for (unsigned int family = 4; family <= 6; family += 2) {
		char path[80], line[128], fix[160], object[8];
		snprintf(object, sizeof(object), "IPv%u", family);
		snprintf(
			path, sizeof(path), "/proc/sys/net/ipv%u/neigh/default/gc_thresh3", family);
		snprintf(fix, sizeof(fix),
			"sysctl -w net.ipv%u.neigh.default.gc_thresh3=%u "
			"net.ipv%u.neigh.default.gc_thresh2=%u",
			family, most, family, most / 2);
		if (!read_line(path, line)) {
			say(d, object, UNKNOWN, "",
				"gc_thresh3 is the host's and cannot be read in this network "
				"namespace");
			continue;
		}
		unsigned long have = strtoul(line, NULL, 10);
		say(d, object, have < need ? WRONG : WELL, fix,
			"the kernel keeps %lu neighbors, this edge has %zu interfaces and %zu "
			"gateways",
			have, d->sync->realised.count, d->sync->gateways.count);
	}
}

static unsigned long long memory_info(const char *name)
{
	FILE *in = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long value = 0;
	size_t length = strlen(name);

	while (in != NULL && fgets(line, sizeof(line), in) != NULL)
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			value = strtoull(line + length + 1, NULL, 10);
	if (in != NULL)
		fclose(in);
	return value;
}

static void hugepages_checked(struct doctor *d)
{
	const struct node_dataplane *dataplane = &d->sync->node->dataplane;
	unsigned long long pages = memory_info("HugePages_Total");
	unsigned long long size = memory_info("Hugepagesize") * 1024;
	char fix[80];

	if (!dataplane->hugepages) {
		say(d, "", WELL, "", "none are used (hugepages: false)");
		return;
	}
	unsigned long long need = size != 0 ? (dataplane->memory + size - 1) / size : 0;
	snprintf(fix, sizeof(fix), "sysctl -w vm.nr_hugepages=%llu", need);
	say(d, "", size == 0 || pages < need ? WRONG : WELL, fix,
		"%llu hugepages of %llu KiB, memory: of the node file takes %llu", pages,
		size / 1024, need);
}

static void processors_checked(struct doctor *d)
{
	unsigned int workers = d->sync->node->dataplane.workers;
	long have = sysconf(_SC_NPROCESSORS_ONLN);
	char fix[80];

	snprintf(fix, sizeof(fix), "dataplane: {workers: %ld} in the node file",
		have > 1 ? have - 1 : 1);
	say(d, "", workers > have ? WRONG : WELL, fix, "%u workers on %ld processors", workers,
		have);
}

static void descriptors_checked(struct doctor *d)
{
	struct rlimit limit = {0};
	DIR *directory = opendir("/proc/self/fd");
	unsigned long open = 0;
	char fix[80];

	while (directory != NULL && readdir(directory) != NULL)
		open++;
	if (directory != NULL)
		closedir(directory);
	getrlimit(RLIMIT_NOFILE, &limit);
	snprintf(fix, sizeof(fix), "prlimit --pid %d --nofile=%lu", (int)getpid(), open * 4 + 1024);
	say(d, "", open > limit.rlim_cur / 10 * 8 ? WRONG : WELL, fix,
		"culvertd has %lu descriptors open and may have %lu", open,
		(unsigned long)limit.rlim_cur);
}

static void store_checked(struct doctor *d)
{
	char path[512];
	struct statvfs place;

	snprintf(path, sizeof(path), "%s", d->sync->node->store);
	const char *directory = dirname(path);
	if (statvfs(directory, &place) != 0) {
		say(d, directory, UNKNOWN, "", "%s", strerror(errno));
		return;
	}
	unsigned long long left = (unsigned long long)place.f_bavail * place.f_frsize >> 20;
	char fix[600];
	snprintf(fix, sizeof(fix), "df -h %s", directory);
	say(d, directory, left < 100 ? WRONG : WELL, fix,
		"%llu MiB are left for the store, its history and audit", left);
}

static void daemon_checked(struct doctor *d)
{
	static const char *const places[] = {
		"/usr/sbin/bird", "/usr/local/sbin/bird", "/sbin/bird"};
	const char *speaker = d->sync->node->speaker;
	char word[256];

	if (speaker == NULL || speaker[0] == '\0') {
		say(d, "", WRONG, "speaker: /usr/libexec/culvert/culvert-speaker in the node file",
			"no speaker is named: there is no BGP");
		return;
	}
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(speaker, " "), speaker);
	if (access(word, X_OK) != 0) {
		say(d, word, WRONG, "correct speaker: in the node file",
			"the launcher of BGP daemons: %s", strerror(errno));
		return;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], X_OK) == 0) {
			say(d, places[i], WELL, "", "BIRD is installed");
			return;
		}
	say(d, "bird", WRONG, "apt-get install bird2", "BIRD is not installed");
}

// --- a port's device -----------------------------------------------------------------------------------------

static bool ask_device(
	const struct doctor *d, unsigned long what, struct ifreq *request, void *data)
{
	*request = (struct ifreq){0};
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", d->device);
	if (data != NULL)
		request->ifr_data = data;
	return ioctl(d->socket, what, request) == 0;
}

static void device_up(struct doctor *d)
{
	struct ifreq request;
	char fix[80];

	snprintf(fix, sizeof(fix), "ip link set dev %s up", d->device);
	bool there = ask_device(d, SIOCGIFFLAGS, &request, NULL);
	bool up = there && request.ifr_flags & IFF_UP;
	say(d, d->device, up ? WELL : WRONG, there ? fix : "ip link show",
		there ? up ? "the device is up" : "the device is set down"
		      : "there is no such device in culvertd's network namespace");
}

// What the interfaces on the port were sold as, and the tags that the device does not let pass beside its MTU.
static void device_mtu(struct doctor *d)
{
	const struct port_state *port = &d->sync->port[d->port];
	bool beside = d->sync->node->ports.item[d->port].tpid == NODE_TPID_8100;
	const struct realised *realised;
	unsigned int need = 0;
	struct ifreq request;
	char fix[80];

	LIST_FOREACH (realised, &port->interfaces, of_port) {
		unsigned int tags = realised->wanted->vlans;
		unsigned int all = realised->wanted->mtu + 4 * (tags - (beside && tags > 0));
		if (all > need)
			need = all;
	}
	if (!ask_device(d, SIOCGIFMTU, &request, NULL))
		return; // device_up has said so
	snprintf(fix, sizeof(fix), "ip link set dev %s mtu %u", d->device, need);
	say(d, d->device, (unsigned int)request.ifr_mtu < need ? WRONG : WELL, fix,
		"its MTU is %d, the model's interfaces take %u with their tags", request.ifr_mtu,
		need);
}

// What the kernel puts together is larger than what came, and belongs to no packet of a customer's.
static void device_offloads(struct doctor *d)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_GGRO}, flags = {.cmd = ETHTOOL_GFLAGS};
	struct ifreq request;
	char fix[80];

	if (!ask_device(d, SIOCETHTOOL, &request, &gro))
		return;
	ask_device(d, SIOCETHTOOL, &request, &flags);
	bool on = gro.data != 0 || flags.data & ETH_FLAG_LRO;
	snprintf(fix, sizeof(fix), "ethtool -K %s gro off lro off", d->device);
	say(d, d->device, on ? WRONG : WELL, fix,
		on ? "the kernel puts packets together that came apart (GRO, LRO)"
		   : "packets are taken as they come");
}

// The kernel's stack sees every frame of a port, too.
static void device_addresses(struct doctor *d)
{
	struct ifaddrs *all = NULL;
	unsigned int own[2] = {0};
	char fix[160];

	if (getifaddrs(&all) != 0)
		return;
	for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next)
		if (one->ifa_addr != NULL && strcmp(one->ifa_name, d->device) == 0) {
			own[0] += one->ifa_addr->sa_family == AF_INET;
			own[1] += one->ifa_addr->sa_family == AF_INET6;
		}
	freeifaddrs(all);
	snprintf(fix, sizeof(fix), "%s%s%s%s%s%s", own[0] > 0 ? "ip -4 address flush dev " : "",
		own[0] > 0 ? d->device : "", own[0] > 0 && own[1] > 0 ? "; " : "",
		own[1] > 0 ? "sysctl -w net.ipv6.conf." : "", own[1] > 0 ? d->device : "",
		own[1] > 0 ? ".disable_ipv6=1" : "");
	say(d, d->device, own[0] + own[1] > 0 ? WRONG : WELL, fix,
		own[0] + own[1] > 0 ? "the kernel has an address there and answers to it, too"
				    : "the kernel has no address there");
}

// How the data plane opened it.
static void device_opened(struct doctor *d)
{
	static const char *const ways[] = {
		[WIRE_PORT_PACKET] = "packet sockets: tags and checksums as the far end leaves them",
		[WIRE_PORT_XDP] = "AF_XDP sockets: what is not the edge's is left to the kernel",
		[WIRE_PORT_XDP_WHOLE] = "AF_XDP sockets: all of it is the edge's",
	};
	const struct port_state *port = &d->sync->port[d->port];
	unsigned int kind = port->last.kind;
	char fix[80];

	if (!port->known || kind >= sizeof(ways) / sizeof(ways[0]) || ways[kind] == NULL)
		return;
	bool hidden = port->last.known & WIRE_PORT_TAGS_HIDDEN;
	snprintf(fix, sizeof(fix), "ethtool -K %s rxvlan off", d->device);
	say(d, d->device, hidden ? WRONG : WELL, fix, "%s",
		hidden ? "AF_XDP does not see its VLAN tags, so it takes none; a veth's other end "
			 "needs txvlan off as well"
		       : ways[kind]);
}

static void device_forwarding(struct doctor *d)
{
	char path[96], line[128], fix[96];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", d->device);
	if (!read_line(path, line))
		return;
	snprintf(fix, sizeof(fix), "sysctl -w net.ipv4.conf.%s.forwarding=0", d->device);
	say(d, d->device, strcmp(line, "0") != 0 ? WRONG : WELL, fix,
		strcmp(line, "0") != 0 ? "the kernel forwards what comes there, too"
				       : "the kernel forwards nothing that comes there");
}

static void device_away(struct doctor *d)
{
	say(d, d->device, UNKNOWN, "",
		"it is in the network namespace %s, which is not looked into",
		d->sync->node->ports.item[d->port].netns);
}

static void device_driver(struct doctor *d)
{
	static const char *const drivers[] = {
		"vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core"};
	char path[128], target[256], address[32], fix[96];
	int length = (int)strcspn(d->device, ",");
	bool full = strchr(strchr(d->device, ':') + 1, ':') != NULL;

	snprintf(address, sizeof(address), "%s%.*s", full ? "" : "0000:", length, d->device);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
	ssize_t got = readlink(path, target, sizeof(target) - 1);
	target[got < 0 ? 0 : got] = '\0';
	const char *driver = got < 0 ? "none" : basename(target);
	bool good = false;
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		good |= strcmp(driver, drivers[i]) == 0;
	snprintf(fix, sizeof(fix), "modprobe vfio-pci && dpdk-devbind.py -b vfio-pci %s", address);
	say(d, address, good ? WELL : WRONG, fix, "its driver is %s", driver);
}

// --- all of it -----------------------------------------------------------------------------------------------

enum of {
	MACHINE,
	DEVICES,      // the kernel's, wherever they are
	DEVICES_HERE, // in culvertd's network namespace
	DEVICES_AWAY, // in the one that the port names
	PCI_DEVICES,
};

static const struct {
	const char *name;
	enum of of;
	void (*look)(struct doctor *d);
} checks[] = {
	{"clock", MACHINE, clock_checked},
	{"neighbors", MACHINE, neighbors_checked},
	{"hugepages", MACHINE, hugepages_checked},
	{"processors", MACHINE, processors_checked},
	{"descriptors", MACHINE, descriptors_checked},
	{"store", MACHINE, store_checked},
	{"speaker", MACHINE, daemon_checked},
	{"device", DEVICES_HERE, device_up},
	{"device", DEVICES_AWAY, device_away},
	{"opened", DEVICES, device_opened},
	{"mtu", DEVICES_HERE, device_mtu},
	{"offloads", DEVICES_HERE, device_offloads},
	{"addresses", DEVICES_HERE, device_addresses},
	{"forwarding", DEVICES_HERE, device_forwarding},
	{"driver", PCI_DEVICES, device_driver},
};

// The kernel's device of a port, if it has one: eth1, or of net_af_packet0,iface=eth1.
static bool device_of(const struct node_port *port, enum of of, char name[256])
{
	enum node_device kind = node_device(port->device);
	const char *iface = strstr(port->device, "iface=");

	snprintf(name, 256, "%s", port->device);
	if (of == PCI_DEVICES)
		return kind == NODE_DEVICE_PCI;
	if (of == (port->netns != NULL ? DEVICES_HERE : DEVICES_AWAY))
		return false;
	if (kind == NODE_DEVICE_VDEV && iface != NULL)
		snprintf(name, 256, "%.*s", (int)strcspn(iface + 6, ","), iface + 6);
	else if (kind != NODE_DEVICE_KERNEL)
		return false;
	return strlen(name) < IF_NAMESIZE;
}

static void look_at_ports(struct doctor *d, enum of of, void (*look)(struct doctor *d))
{
	char name[256];

	d->device = name;
	for (d->port = 0; d->port < d->sync->node->ports.count && d->port < PORTS_MAX; d->port++)
		if (device_of(&d->sync->node->ports.item[d->port], of, name))
			look(d);
}

void method_doctor(struct rpc_call *call)
{
	struct doctor d = {.sync = call_sync(call)};

	if (d.sync == NULL)
		return;
	d.items = json_array();
	d.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		d.check = checks[i].name;
		if (checks[i].of == MACHINE)
			checks[i].look(&d);
		else
			look_at_ports(&d, checks[i].of, checks[i].look);
	}
	if (d.socket >= 0)
		close(d.socket);
	rpc_reply(call, json_pack("{s:o, s:n}", "items", d.items, "next"));
}
