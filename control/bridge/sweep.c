// SPDX-License-Identifier: BSD-3-Clause
// What an earlier life left behind and nobody has declared since. Only what is marked as ours (guard.c) is looked
// at: namespaces with our mark; inside them, devices of the tun driver, managed neighbors, and routes and rules with our
// protocol number. It runs when everything wanted has been declared, so
// "not declared" means "not wanted" -- unless the declaration itself was wrong: a half-restored store, an edge with
// another's name. So first all that would go is counted, and too much of it at once is refused as a whole. What
// the store's own history says was deleted does not count: a crash between the commit and us is no accident.
// Nothing of today makes a blackhole route (an earlier version announced by them): one of ours is never wanted.

#include "control/bridge/guard.h"
#include "control/bridge/kernel.h"
#include "control/bridge/netns.h"
#include "control/bridge/space.h"
#include "control/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
		log_info("bridge", "swept", log_text("netns", doomed->space->name),
			log_text("what", what), log_number("count", doomed->count));
	free(doomed->request);
	*doomed = (struct doomed){.space = doomed->space};
}

static bool link_undeclared(const struct space *space, const struct kernel_link *seen)
{
	const struct host_link *link = idmap_get(&space->links, (uint32_t)seen->index);

	return seen->tun && (link == NULL || link->interface == NULL);
}

static void link_object(void *ctx, const struct nlmsghdr *header)
{
	struct doomed *doomed = ctx;
	struct netlink_message message;
	struct kernel_link seen;

	if (header->nlmsg_type != RTM_NEWLINK || !kernel_link_parse(header, &seen) ||
		!link_undeclared(doomed->space, &seen))
		return;
	struct ifinfomsg ifi = {.ifi_index = seen.index};
	doom(doomed, netlink_begin(&message, RTM_DELLINK, 0, &ifi, sizeof(ifi)), RTM_DELLINK);
}

static void route_object(void *ctx, const struct nlmsghdr *header)
{
	struct doomed *doomed = ctx;
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(header);

	if (header->nlmsg_type == RTM_NEWROUTE &&
		rtm->rtm_protocol == doomed->space->bridge->local_protocol &&
		!held_has(doomed->space, header))
		doom(doomed, header, RTM_DELROUTE);
}

static void rule_object(void *ctx, const struct nlmsghdr *header)
{
	struct doomed *doomed = ctx;
	struct kernel_rule rule;

	if (kernel_rule_parse(header, &rule, NULL) &&
		rule.protocol == doomed->space->bridge->local_protocol &&
		!held_has(doomed->space, header))
		doom(doomed, header, RTM_DELRULE);
}

static void neighbor_object(void *ctx, const struct nlmsghdr *header)
{
	struct doomed *doomed = ctx;
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(header);
	const struct host_link *link = idmap_get(&doomed->space->links, (uint32_t)ndm->ndm_ifindex);
	const struct nlattr *attr[NDA_MAX + 1];
	const struct host_neighbor *neighbor;
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

// ---- the count, and the whole

struct count {
	struct bridge *bridge;
	struct bridge_sweep *sweep;
	const struct space *space; // whose links are counted, NULL = of one that nobody declared
	unsigned int domains, interfaces; // that history does not explain
	char **name;                      // of namespaces that go
	unsigned int names;
};

static void count_link(void *ctx, const struct nlmsghdr *header)
{
	struct count *count = ctx;
	struct bridge_sweep *sweep = count->sweep;
	struct kernel_link seen;

	if (header->nlmsg_type != RTM_NEWLINK || !kernel_link_parse(header, &seen) || !seen.tun)
		return;
	if (count->space != NULL && !link_undeclared(count->space, &seen))
		return;
	sweep->interfaces++;
	count->interfaces += sweep->deleted == NULL || !sweep->deleted(sweep->ctx, 0, seen.name);
}

static void links_each(int fd, netlink_object visit, void *ctx)
{
	struct ifinfomsg ifi = {0};
	struct netlink inside;
	int back;

	if (netns_enter(fd, &back) != 0)
		return;
	int err = netlink_open(&inside, 0);
	netns_leave(back);
	if (err != 0)
		return;
	netlink_dump(&inside, RTM_GETLINK, &ifi, sizeof(ifi), visit, ctx);
	netlink_close(&inside);
}

static void count_namespace(void *ctx, const char *name, const struct mark *mark)
{
	struct count *count = ctx;
	struct bridge_sweep *sweep = count->sweep;
	bool made;
	int fd;

	if (mark == NULL || !guard_is_ours(count->bridge, mark) || mark->found ||
		!guard_is_current(name, mark) || space_named(count->bridge, name) != NULL)
		return;
	char **names = reallocarray(count->name, count->names + 1, sizeof(char *));
	if (names == NULL)
		return;
	count->name = names;
	names[count->names] = strdup(name);
	count->names += names[count->names] != NULL;
	sweep->domains += mark->domains;
	if (mark->domain == 0 || sweep->deleted == NULL ||
		!sweep->deleted(sweep->ctx, mark->domain, NULL))
		count->domains += mark->domains;
	if (netns_open(name, &fd, &made) != 0)
		return;
	count->space = NULL;
	links_each(fd, count_link, count);
	close(fd);
}

static void count_all(struct bridge *bridge, struct bridge_sweep *sweep, struct count *count)
{
	const struct space *space;

	*count = (struct count){.bridge = bridge, .sweep = sweep};
	sweep->domains = sweep->interfaces = 0;
	marks_each(bridge->run_dir, count_namespace, count);
	LIST_FOREACH (space, &bridge->spaces, entry) {
		count->space = space;
		if (!space->found)
			links_each(space->fd, count_link, count);
	}
}

static void count_free(struct count *count)
{
	for (unsigned int i = 0; i < count->names; i++)
		free(count->name[i]);
	free(count->name);
}

static bool too_many(unsigned int going, unsigned int staying)
{
	return going > 16 && (uint64_t)going * 10 > (uint64_t)going + staying;
}

static int refusal(struct bridge *bridge, const struct bridge_sweep *sweep,
	const struct count *count, struct api_error *error)
{
	struct bridge_claims claims;

	bridge_claims(bridge, &claims);
	if (claims.foreign > 0) {
		api_fail(error, API_CONFLICT, "culvertctl edge adopt",
			"%u network namespaces of this host belong to edge \"%s\" of store %s",
			claims.foreign, claims.edge, claims.store);
		return -ESTALE;
	}
	if (sweep->force || (!too_many(count->interfaces, bridge->interfaces.cells.count) &&
				    !too_many(count->domains, bridge->domains.cells.count)))
		return 0;
	api_fail(error, API_REFUSED,
		"check the configuration; if it is right: culvertctl edge adopt",
		"%u host interfaces and %u routing domains of this host are not configured any "
		"more: "
		"too many to remove at once",
		sweep->interfaces, sweep->domains);
	return -EPERM;
}

int bridge_sweep(struct bridge *bridge, struct bridge_sweep *sweep, struct api_error *error)
{
	struct space *space;
	struct count count;

	count_all(bridge, sweep, &count);
	int err = refusal(bridge, sweep, &count, error);
	if (err == 0) {
		for (unsigned int i = 0; i < count.names; i++) {
			int removed = netns_remove(count.name[i]);
			mark_remove(bridge->run_dir, count.name[i]);
			log_info("bridge", "swept", log_text("what", "namespace"),
				log_text("netns", count.name[i]), log_number("errno", -removed));
		}
		LIST_FOREACH (space, &bridge->spaces, entry) {
			if (!space->found)
				sweep_space(space);
		}
	}
	count_free(&count);
	return err;
}

// ---- before the adoption

struct foresight {
	const struct bridge *bridge;
	struct bridge_preview *preview;
	const char *domain; // whose links are looked at, NULL = of all customers
	bool stays;         // its namespace
};

static void foresee_link(void *ctx, const struct nlmsghdr *header)
{
	const struct foresight *foresight = ctx;
	struct bridge_preview *preview = foresight->preview;
	struct kernel_link seen;

	if (header->nlmsg_type != RTM_NEWLINK || !kernel_link_parse(header, &seen) || !seen.tun)
		return;
	preview->interfaces_there++;
	preview->interfaces +=
		!foresight->stays || !preview->wanted(preview->ctx, foresight->domain, seen.name);
}

static void foresee_namespace(void *ctx, const char *name, const struct mark *mark)
{
	struct foresight *foresight = ctx;
	const struct bridge *bridge = foresight->bridge;
	struct bridge_preview *preview = foresight->preview;
	bool made;
	int fd;

	if (mark == NULL || !guard_has_prefix(bridge, name) || !guard_is_current(name, mark))
		return;
	const char *domain = name + strlen(bridge->prefix) + 1;
	bool shared = bridge->mode == BRIDGE_TABLE && strcmp(domain, "domains") == 0;
	// Left by the other mode: wanted by its name, but not as a namespace.
	bool old = bridge->mode == BRIDGE_TABLE && !shared && strcmp(domain, "underlay") != 0;
	unsigned int staying = shared ? preview->customers
			       : !old ? preview->wanted(preview->ctx, domain, NULL)
				      : 0;
	preview->domains_there += mark->domains;
	preview->domains += mark->domains > staying ? mark->domains - staying : 0;
	foresight->domain = shared ? NULL : domain;
	foresight->stays = staying > 0;
	if (netns_open(name, &fd, &made) != 0)
		return;
	links_each(fd, foresee_link, foresight);
	close(fd);
}

void bridge_preview(struct bridge *bridge, struct bridge_preview *preview)
{
	struct foresight foresight = {.bridge = bridge, .preview = preview};

	preview->domains_there = preview->interfaces_there = 0;
	preview->domains = preview->interfaces = 0;
	marks_each(bridge->run_dir, foresee_namespace, &foresight);
}
