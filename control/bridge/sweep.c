// SPDX-License-Identifier: BSD-3-Clause
// What an earlier life left behind and nobody has declared since. Only what is marked as ours (guard.c) is looked
// at: namespaces with our mark; inside them, devices of the tun driver, patches, managed neighbors, and routes and rules with our
// protocol number. It runs when everything wanted has been declared, so
// "not declared" means "not wanted" -- unless the declaration itself was wrong: a half-restored store, an edge with
// another's name. So first all that would go is counted, and too much of it at once is refused as a whole. What
// the store's own history says was deleted does not count: a crash between the commit and us is no accident.
// Thousands of links, routes and neighbors are read for it: a call does a piece, and all the others have their turns between.
// Nothing of today makes a blackhole route (an earlier version announced by them): one of ours is never wanted.

#include "control/bridge/guard.h"
#include "control/bridge/kernel.h"
#include "control/bridge/netns.h"
#include "control/bridge/patch.h"
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

// What of a namespace is being read, or removed. The links come first, since they are counted before anything goes.
enum look { LOOK_LINKS, LOOK_ROUTES4, LOOK_ROUTES6, LOOK_RULES, LOOK_NEIGHBORS, LOOKS };

struct space_sweep {
	struct netlink netlink; // its own: a dump is read over several turns
	enum look look;
	bool opened;
	bool asked, read;           // the dump runs; it is over
	struct nlmsghdr **request;  // owned: what is to go
	unsigned int count, room, done;
};

// The sweep that is under way.
struct sweeping {
	DIR *marks; // still to be looked at
	unsigned int domains, interfaces;         // that would go
	unsigned int strange, strange_interfaces; // of those, that history does not explain
	char **name;                              // of namespaces that go
	unsigned int names, removed;
	bool accepted;
};

// Told once more before it goes: what was read a turn ago may be declared by now.
static bool undeclared(const struct space *space, const struct nlmsghdr *request)
{
	const void *payload = mnl_nlmsg_get_payload(request);
	const struct ndmsg *ndm = payload;
	const struct ifinfomsg *ifi = payload;
	const struct nlattr *attr[NDA_MAX + 1];
	const struct host_neighbor *neighbor;
	const struct host_link *link;
	struct ip_address address;

	switch (request->nlmsg_type) {
	case RTM_DELLINK:
		link = idmap_get(&space->links, (uint32_t)ifi->ifi_index);
		return (link == NULL || link->interface == NULL) &&
		       !patch_has(space, (uint32_t)ifi->ifi_index);
	case RTM_DELNEIGH:
		link = idmap_get(&space->links, (uint32_t)ndm->ndm_ifindex);
		if (link == NULL || link->interface == NULL ||
			!netlink_parse(request, sizeof(*ndm), attr, NDA_MAX) ||
			!netlink_address(attr[NDA_DST], ndm->ndm_family, &address))
			return false;
		LIST_FOREACH (neighbor, &link->interface->neighbors, entry)
			if (ip_address_compare(&neighbor->address, &address) == 0)
				return false;
		return true;
	default:
		return !held_has(space, request);
	}
}

static void doom(struct space *space, const struct nlmsghdr *header, int type)
{
	struct space_sweep *sweep = space->sweep;

	if (sweep->count == sweep->room) {
		unsigned int room = sweep->room ? sweep->room * 2 : 16;
		struct nlmsghdr **request =
			realloc(sweep->request, room * sizeof(struct nlmsghdr *));
		if (request == NULL)
			return;
		sweep->request = request;
		sweep->room = room;
	}
	struct nlmsghdr *request = malloc(header->nlmsg_len);
	if (request == NULL)
		return;
	memcpy(request, header, header->nlmsg_len);
	request->nlmsg_type = (uint16_t)type;
	request->nlmsg_flags = 0;
	request->nlmsg_pid = 0;
	if (undeclared(space, request))
		sweep->request[sweep->count++] = request;
	else
		free(request);
}

static void count_link(struct bridge *bridge, const struct bridge_sweep *sweep, const char *name)
{
	bridge->sweeping->interfaces++;
	bridge->sweeping->strange_interfaces +=
		sweep->deleted == NULL || !sweep->deleted(sweep->ctx, 0, name);
}

struct reading {
	struct space *space; // NULL = one that nobody declared
	struct bridge *bridge;
	const struct bridge_sweep *sweep;
};

static void link_object(void *ctx, const struct nlmsghdr *header)
{
	const struct reading *reading = ctx;
	struct netlink_message message;
	struct kernel_link seen;

	if (header->nlmsg_type != RTM_NEWLINK || !kernel_link_parse(header, &seen) ||
		!(seen.tun || patch_named(&seen)))
		return;
	if (reading->space != NULL) {
		struct ifinfomsg ifi = {.ifi_index = seen.index};
		unsigned int before = reading->space->sweep->count;
		doom(reading->space, netlink_begin(&message, RTM_DELLINK, 0, &ifi, sizeof(ifi)),
			RTM_DELLINK);
		if (reading->space->sweep->count == before)
			return;
	}
	if (seen.tun)
		count_link(reading->bridge, reading->sweep, seen.name);
}

static void route_object(void *ctx, const struct nlmsghdr *header)
{
	const struct reading *reading = ctx;
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(header);

	if (header->nlmsg_type == RTM_NEWROUTE &&
		rtm->rtm_protocol == reading->bridge->local_protocol)
		doom(reading->space, header, RTM_DELROUTE);
}

static void rule_object(void *ctx, const struct nlmsghdr *header)
{
	const struct reading *reading = ctx;
	struct kernel_rule rule;

	if (kernel_rule_parse(header, &rule, NULL) &&
		rule.protocol == reading->bridge->local_protocol)
		doom(reading->space, header, RTM_DELRULE);
}

static void neighbor_object(void *ctx, const struct nlmsghdr *header)
{
	const struct reading *reading = ctx;
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr[NDA_MAX + 1];
	struct netlink_message message;
	struct ip_address address;

	if (!netlink_parse(header, sizeof(*ndm), attr, NDA_MAX) || !attr[NDA_FLAGS_EXT] ||
		!(mnl_attr_get_u32(attr[NDA_FLAGS_EXT]) & NTF_EXT_MANAGED) ||
		!netlink_address(attr[NDA_DST], ndm->ndm_family, &address))
		return;
	struct ndmsg key = {.ndm_family = ndm->ndm_family, .ndm_ifindex = ndm->ndm_ifindex};
	struct nlmsghdr *request = netlink_begin(&message, RTM_DELNEIGH, 0, &key, sizeof(key));
	netlink_put_address(request, NDA_DST, &address);
	doom(reading->space, request, RTM_DELNEIGH);
}

// ---- a namespace, piece by piece

static int open_inside(struct netlink *netlink, int fd)
{
	int back, err = netns_enter(fd, &back);

	if (err != 0)
		return err;
	err = netlink_open(netlink, 0);
	netns_leave(back);
	return err;
}

static const netlink_object objects[LOOKS] = {
	[LOOK_LINKS] = link_object,
	[LOOK_ROUTES4] = route_object,
	[LOOK_ROUTES6] = route_object,
	[LOOK_RULES] = rule_object,
	[LOOK_NEIGHBORS] = neighbor_object,
};

// The kernel leaves out routes of other protocols itself, or a full table would be read here.
static int ask(const struct space *space)
{
	struct space_sweep *sweep = space->sweep;
	struct rtmsg rtm = {.rtm_family = sweep->look == LOOK_ROUTES4 ? AF_INET : AF_INET6,
		.rtm_protocol = space->bridge->local_protocol};
	struct ifinfomsg ifi = {0};
	struct fib_rule_hdr frh = {0};
	struct ndmsg ndm = {0};
	const struct {
		int type;
		const void *header;
		size_t size;
	} question[LOOKS] = {
		[LOOK_LINKS] = {RTM_GETLINK, &ifi, sizeof(ifi)},
		[LOOK_ROUTES4] = {RTM_GETROUTE, &rtm, sizeof(rtm)},
		[LOOK_ROUTES6] = {RTM_GETROUTE, &rtm, sizeof(rtm)},
		[LOOK_RULES] = {RTM_GETRULE, &frh, sizeof(frh)},
		[LOOK_NEIGHBORS] = {RTM_GETNEIGH, &ndm, sizeof(ndm)},
	}, *q = &question[sweep->look];
	struct netlink_message message;

	return netlink_send(&sweep->netlink,
		netlink_begin(&message, q->type, NLM_F_DUMP, q->header, q->size));
}

// One message of the dump. What cannot be read is left as it is.
static void read_on(struct reading *reading)
{
	struct space_sweep *sweep = reading->space->sweep;
	int err = 0;

	if (!sweep->asked)
		err = ask(reading->space);
	sweep->asked = true;
	if (err == 0)
		err = netlink_answers(&sweep->netlink, objects[sweep->look], reading);
	sweep->read = err != 1;
}

// One object, or on to what is looked at next. False: all has been.
static bool remove_on(struct space *space)
{
	static const char *const what[LOOKS] = {"links", "routes", "routes", "rules", "neighbors"};
	struct space_sweep *sweep = space->sweep;

	if (sweep->done < sweep->count) {
		struct nlmsghdr *request = sweep->request[sweep->done++];
		if (undeclared(space, request))
			netlink_request(&space->command, request);
		free(request);
		return true;
	}
	if (sweep->count > 0)
		log_info("bridge", "swept", log_text("netns", space->name),
			log_text("what", what[sweep->look]), log_number("count", sweep->count));
	sweep->count = sweep->done = 0;
	sweep->asked = sweep->read = false;
	if (sweep->look == LOOKS - 1)
		return false;
	sweep->look++;
	if (sweep->look == LOOK_RULES && !space->shared)
		sweep->look++;
	return true;
}

static struct space_sweep *space_sweep(struct space *space)
{
	if (space->sweep == NULL)
		space->sweep = calloc(1, sizeof(*space->sweep));
	if (space->sweep == NULL)
		abort();
	return space->sweep;
}

void sweep_forget_space(struct space *space)
{
	struct space_sweep *sweep = space->sweep;

	if (sweep == NULL)
		return;
	for (unsigned int i = sweep->done; i < sweep->count; i++)
		free(sweep->request[i]);
	free(sweep->request);
	if (sweep->opened)
		netlink_close(&sweep->netlink);
	free(sweep);
	space->sweep = NULL;
}

// ---- the count, and the whole

static void links_each(int fd, netlink_object visit, void *ctx)
{
	struct ifinfomsg ifi = {0};
	struct netlink inside;

	if (open_inside(&inside, fd) != 0)
		return;
	netlink_dump(&inside, RTM_GETLINK, &ifi, sizeof(ifi), visit, ctx);
	netlink_close(&inside);
}

static void count_namespace(
	struct bridge *bridge, const struct bridge_sweep *sweep, const char *name)
{
	struct sweeping *sweeping = bridge->sweeping;
	struct reading reading = {.bridge = bridge, .sweep = sweep};
	struct mark mark;
	bool made;
	int fd;

	if (mark_read(bridge->run_dir, name, &mark) != 0 || !guard_is_ours(bridge, &mark) ||
		mark.found || !guard_is_current(name, &mark) || space_named(bridge, name) != NULL)
		return;
	char **names = reallocarray(sweeping->name, sweeping->names + 1, sizeof(char *));
	if (names == NULL)
		return;
	sweeping->name = names;
	names[sweeping->names] = strdup(name);
	sweeping->names += names[sweeping->names] != NULL;
	sweeping->domains += mark.domains;
	if (mark.domain == 0 || sweep->deleted == NULL ||
		!sweep->deleted(sweep->ctx, mark.domain, NULL))
		sweeping->strange += mark.domains;
	if (netns_open(name, &fd, &made) != 0)
		return;
	links_each(fd, link_object, &reading);
	close(fd);
}

void sweep_end(struct bridge *bridge)
{
	struct sweeping *sweeping = bridge->sweeping;
	struct space *space;

	LIST_FOREACH (space, &bridge->spaces, entry)
		sweep_forget_space(space);
	if (sweeping == NULL)
		return;
	for (unsigned int i = 0; i < sweeping->names; i++)
		free(sweeping->name[i]);
	free(sweeping->name);
	if (sweeping->marks != NULL)
		closedir(sweeping->marks);
	free(sweeping);
	bridge->sweeping = NULL;
}

static bool too_many(unsigned int going, unsigned int staying)
{
	return going > 16 && (uint64_t)going * 10 > (uint64_t)going + staying;
}

static int refusal(
	struct bridge *bridge, const struct bridge_sweep *sweep, struct api_error *error)
{
	const struct sweeping *sweeping = bridge->sweeping;
	struct bridge_claims claims;

	bridge_claims(bridge, &claims);
	if (claims.foreign > 0) {
		api_fail(error, API_CONFLICT, "culvertctl edge adopt",
			"%u network namespaces of this host belong to edge \"%s\" of store %s",
			claims.foreign, claims.edge, claims.store);
		return -ESTALE;
	}
	if (sweep->force ||
		(!too_many(sweeping->strange_interfaces, bridge->interfaces.cells.count) &&
			!too_many(sweeping->strange, bridge->domains.cells.count)))
		return 0;
	api_fail(error, API_REFUSED,
		"check the configuration; if it is right: culvertctl edge adopt",
		"%u host interfaces and %u routing domains of this host are not configured any "
		"more: "
		"too many to remove at once",
		sweeping->interfaces, sweeping->domains);
	return -EPERM;
}

static void remove_namespace(struct bridge *bridge, const char *name)
{
	if (space_named(bridge, name) != NULL)
		return; // declared since it was counted
	int removed = netns_remove(name);

	mark_remove(bridge->run_dir, name);
	log_info("bridge", "swept", log_text("what", "namespace"), log_text("netns", name),
		log_number("errno", -removed));
}

// Of every namespace that is swept: its links are read, or, once they may go, everything is read and goes. False: done.
static bool spaces_on(struct bridge *bridge, const struct bridge_sweep *sweep)
{
	struct space *space;

	LIST_FOREACH (space, &bridge->spaces, entry) {
		if (space->found || (space->sweep != NULL && space->sweep->look == LOOKS))
			continue;
		struct space_sweep *one = space_sweep(space);
		struct reading reading = {.space = space, .bridge = bridge, .sweep = sweep};
		if (one->read && !bridge->sweeping->accepted)
			continue;
		if (!one->opened && open_inside(&one->netlink, space->fd) != 0) {
			one->look = LOOKS;
			continue;
		}
		one->opened = true;
		if (!one->read)
			read_on(&reading);
		else if (!remove_on(space))
			one->look = LOOKS;
		return true;
	}
	return false;
}

// One piece. 1 = there is more.
static int sweep_on(
	struct bridge *bridge, const struct bridge_sweep *sweep, struct api_error *error)
{
	struct sweeping *sweeping = bridge->sweeping;
	char name[256];

	if (sweeping->marks != NULL) {
		if (marks_next(sweeping->marks, name, sizeof(name))) {
			count_namespace(bridge, sweep, name);
			return 1;
		}
		closedir(sweeping->marks);
		sweeping->marks = NULL;
	}
	if (!sweeping->accepted && spaces_on(bridge, sweep))
		return 1;
	if (!sweeping->accepted) {
		int err = refusal(bridge, sweep, error);
		sweeping->accepted = err == 0;
		return err == 0 ? 1 : err;
	}
	if (sweeping->removed < sweeping->names) {
		remove_namespace(bridge, sweeping->name[sweeping->removed++]);
		return 1;
	}
	return spaces_on(bridge, sweep);
}

int bridge_sweep(struct bridge *bridge, struct bridge_sweep *sweep, struct api_error *error)
{
	uint64_t end = clock_ns() + TURN_NS / 4;
	int err;

	if (bridge->sweeping == NULL) {
		bridge->sweeping = calloc(1, sizeof(*bridge->sweeping));
		if (bridge->sweeping == NULL)
			abort();
		bridge->sweeping->marks = marks_open(bridge->run_dir);
	}
	do
		err = sweep_on(bridge, sweep, error);
	while (err == 1 && clock_ns() < end);
	sweep->domains = bridge->sweeping->domains;
	sweep->interfaces = bridge->sweeping->interfaces;
	if (err != 1)
		sweep_end(bridge);
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
