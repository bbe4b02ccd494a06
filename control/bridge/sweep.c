// SPDX-License-Identifier: BSD-3-Clause
// What an earlier life left behind and nobody has declared since. Ours is known by two marks, and nothing without
// them is touched: names that begin with our prefix (namespaces; inside them, devices of the tun driver and
// managed neighbors) and our protocol number (routes and rules, only in namespaces of ours). Removing runs once,
// when everything wanted has been declared, so "not declared" means "not wanted".

#include "control/bridge/kernel.h"
#include "control/bridge/netns.h"
#include "control/bridge/space.h"
#include "control/bridge/speaker.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

// Messages of a dump that are to become deletions, kept until the dump is over.
struct doomed {
	struct space *space;
	struct nlmsghdr **request; // owned copies
	unsigned int count, room;
};

static void doom(struct doomed *doomed, const struct nlmsghdr *header, int type)
{
	if (doomed->count == doomed->room) {
		unsigned int room = doomed->room ? doomed->room * 2 : 16;
		struct nlmsghdr **request =
			realloc(doomed->request, room * sizeof(struct nlmsghdr *));
		if (request == NULL)
			return;
		doomed->request = request;
		doomed->room = room;
	}
	struct nlmsghdr *request = malloc(header->nlmsg_len);
	if (request == NULL)
		return;
	memcpy(request, header, header->nlmsg_len);
	request->nlmsg_type = (uint16_t)type;
	request->nlmsg_flags = 0;
	request->nlmsg_pid = 0;
	doomed->request[doomed->count++] = request;
}

static void remove_doomed(struct doomed *doomed, const char *what)
{
	for (unsigned int i = 0; i < doomed->count; i++) {
		netlink_request(&doomed->space->command, doomed->request[i]);
		free(doomed->request[i]);
	}
	if (doomed->count)
		bridge_log("info", "msg=\"swept\" netns=%s what=%s count=%u", doomed->space->name,
			what, doomed->count);
	free(doomed->request);
	*doomed = (struct doomed){.space = doomed->space};
}

static void link_object(void *ctx, const struct nlmsghdr *header)
{
	struct doomed *doomed = ctx;
	struct kernel_link seen;

	if (header->nlmsg_type != RTM_NEWLINK || !kernel_link_parse(header, &seen) || !seen.tun)
		return;
	const struct link *link = idmap_get(&doomed->space->links, (uint32_t)seen.index);
	if (link && link->interface)
		return;
	struct ifinfomsg ifi = {.ifi_index = seen.index};
	struct netlink_message message;
	doom(doomed, netlink_begin(&message, RTM_DELLINK, 0, &ifi, sizeof(ifi)), RTM_DELLINK);
}

static bool route_declared(
	const struct domain *domain, const struct ip_prefix *prefix, bool blackhole)
{
	if (blackhole)
		for (unsigned int i = 0; i < domain->announcements; i++)
			if (ip_prefix_compare(&domain->announced[i], prefix) == 0)
				return true;
	for (unsigned int i = 0; !blackhole && i < domain->static_count; i++)
		if (ip_prefix_compare(&domain->statics[i].route.prefix, prefix) == 0)
			return true;
	return false;
}

static void route_object(void *ctx, const struct nlmsghdr *header)
{
	struct doomed *doomed = ctx;
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr[RTA_MAX + 1];
	struct ip_prefix prefix = {.len = rtm->rtm_dst_len};

	if (header->nlmsg_type != RTM_NEWROUTE ||
		rtm->rtm_protocol != doomed->space->bridge->local_protocol)
		return;
	if (!netlink_parse(header, sizeof(*rtm), attr, RTA_MAX))
		return;
	prefix.address.family = rtm->rtm_family == AF_INET6 ? 6 : 4;
	if (rtm->rtm_dst_len && !netlink_address(attr[RTA_DST], rtm->rtm_family, &prefix.address))
		return;
	uint32_t table = attr[RTA_TABLE] ? mnl_attr_get_u32(attr[RTA_TABLE]) : rtm->rtm_table;
	const struct domain *domain = idmap_get(&doomed->space->tables, table);
	if (domain && rtm->rtm_type != RTN_BLACKHOLE && !attr[RTA_GATEWAY])
		return; // of a host interface; it goes with that
	if (domain == NULL || !route_declared(domain, &prefix, rtm->rtm_type == RTN_BLACKHOLE))
		doom(doomed, header, RTM_DELROUTE);
}

static void rule_object(void *ctx, const struct nlmsghdr *header)
{
	struct doomed *doomed = ctx;
	const struct nlattr *attr[FRA_MAX + 1];
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(header);
	struct host_interface *interface;
	struct ip_address from;
	uint32_t cursor = 0;

	if (!netlink_parse(header, sizeof(*frh), attr, FRA_MAX) || !attr[FRA_PROTOCOL] ||
		mnl_attr_get_u8(attr[FRA_PROTOCOL]) != doomed->space->bridge->local_protocol)
		return;
	bool has_from = netlink_address(attr[FRA_SRC], frh->family, &from);
	while ((interface = idmap_next(&doomed->space->bridge->interfaces, &cursor)) != NULL) {
		if (interface->domain->space != doomed->space)
			continue;
		if (netlink_text_is(attr[FRA_IIFNAME], interface->name))
			return;
		for (unsigned int i = 0; has_from && i < interface->declared.addresses; i++)
			if (ip_address_compare(&interface->declared.address[i].address, &from) == 0)
				return;
	}
	doom(doomed, header, RTM_DELRULE);
}

static void neighbor_object(void *ctx, const struct nlmsghdr *header)
{
	struct doomed *doomed = ctx;
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(header);
	const struct link *link = idmap_get(&doomed->space->links, (uint32_t)ndm->ndm_ifindex);
	const struct nlattr *attr[NDA_MAX + 1];
	const struct neighbor *neighbor;
	struct ip_address address;

	if (link == NULL || link->interface == NULL ||
		!netlink_parse(header, sizeof(*ndm), attr, NDA_MAX) || !attr[NDA_FLAGS_EXT] ||
		!(mnl_attr_get_u32(attr[NDA_FLAGS_EXT]) & NTF_EXT_MANAGED) ||
		!netlink_address(attr[NDA_DST], ndm->ndm_family, &address))
		return;
	LIST_FOREACH (neighbor, &link->interface->neighbors, entry)
		if (ip_address_compare(&neighbor->address, &address) == 0)
			return;
	struct ndmsg key = {.ndm_family = ndm->ndm_family, .ndm_ifindex = ndm->ndm_ifindex};
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(&message, RTM_DELNEIGH, 0, &key, sizeof(key));
	netlink_put_address(request, NDA_DST, &address);
	doom(doomed, request, RTM_DELNEIGH);
}

// The kernel leaves out routes of other protocols itself, or a full table would be read here.
static void sweep_routes(struct space *space, struct doomed *doomed, uint8_t family)
{
	struct rtmsg rtm = {.rtm_family = family, .rtm_protocol = space->bridge->local_protocol};

	netlink_dump(&space->command, RTM_GETROUTE, &rtm, sizeof(rtm), route_object, doomed);
}

static void sweep_space(struct space *space)
{
	struct doomed doomed = {.space = space};
	struct ifinfomsg ifi = {0};
	struct fib_rule_hdr frh = {0};
	struct ndmsg ndm = {0};

	netlink_dump(&space->command, RTM_GETLINK, &ifi, sizeof(ifi), link_object, &doomed);
	remove_doomed(&doomed, "links");
	sweep_routes(space, &doomed, AF_INET);
	sweep_routes(space, &doomed, AF_INET6);
	remove_doomed(&doomed, "routes");
	if (space->shared) {
		netlink_dump(&space->command, RTM_GETRULE, &frh, sizeof(frh), rule_object, &doomed);
		remove_doomed(&doomed, "rules");
	}
	netlink_dump(&space->command, RTM_GETNEIGH, &ndm, sizeof(ndm), neighbor_object, &doomed);
	remove_doomed(&doomed, "neighbors");
}

// The open namespace whose name is the prefix, a dash, and this.
static const struct space *space_named(const struct bridge *bridge, const char *name)
{
	const struct space *space;

	LIST_FOREACH (space, &bridge->spaces, entry)
		if (strcmp(space->name + strlen(bridge->prefix) + 1, name) == 0)
			return space;
	return NULL;
}

static void sweep_directories(struct bridge *bridge)
{
	char path[512], netns[512];
	const struct dirent *entry;

	snprintf(path, sizeof(path), "%s/bird", bridge->run_dir);
	DIR *directory = opendir(path);
	while (directory && (entry = readdir(directory)) != NULL) {
		const struct space *space = space_named(bridge, entry->d_name);
		if (entry->d_name[0] == '.' || (space && space->speaker))
			continue;
		snprintf(path, sizeof(path), "%s/bird/%.200s", bridge->run_dir, entry->d_name);
		snprintf(netns, sizeof(netns), "%s-%.200s", bridge->prefix, entry->d_name);
		bridge_log("info", "msg=\"swept\" what=speaker directory=%s", path);
		speaker_stop_directory(bridge, path, netns);
	}
	if (directory)
		closedir(directory);
}

static void sweep_namespaces(const struct bridge *bridge)
{
	size_t len = strlen(bridge->prefix);
	DIR *directory = opendir(NETNS_DIR);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)) != NULL) {
		const char *name = entry->d_name;
		if (strncmp(name, bridge->prefix, len) != 0 || name[len] != '-' ||
			space_named(bridge, name + len + 1))
			continue;
		int err = netns_remove(name);
		bridge_log("info", "msg=\"swept\" what=namespace netns=%s errno=%d", name, -err);
	}
	if (directory)
		closedir(directory);
}

void bridge_sweep(struct bridge *bridge)
{
	struct space *space;

	bridge->swept = true;
	sweep_directories(bridge);
	sweep_namespaces(bridge);
	LIST_FOREACH (space, &bridge->spaces, entry) {
		sweep_space(space);
		speaker_changed(space->speaker);
	}
}
