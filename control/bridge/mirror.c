// SPDX-License-Identifier: BSD-3-Clause
// One mirror watches one namespace: an event socket for changes as they happen, and, when the state as a whole
// is needed, a second socket for dumps (links, neighbors, IPv4 routes, IPv6 routes, in that order). What a
// message does to the stored routes is in reconcile.c; this file decides which message is looked at when.
//
// A dump shows some moments of the past, an event is news. So a dump's chunk is looked at only after all events
// that wait have been, and during a dump an event's word on a route is final: routes it deletes stay as marked
// places until the sweep, which then removes them and all that neither dump nor event has named. An overrun
// (ENOBUFS: the kernel dropped messages and does not say how many) starts the dump again.
//
// No turn takes longer than about TURN_NS, whatever a million routes ask for: reading stops there and goes on in
// the next turn; walks over stored routes (sweep, link down) are jobs done in slices, during which reading rests,
// so that a job meets the routes as they were when it was asked for.

#include "control/bridge/mirror.h"

#include "control/bridge/kernel.h"
#include "control/bridge/netns.h"
#include "control/bridge/presence.h"
#include "control/bridge/reconcile.h"
#include "control/bridge/repair.h"
#include "control/base/log.h"
#include "control/base/turns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>

enum { DEFAULT_BUFFER = 64 << 20, INTERRUPTED_MAX = 5 };

static void dump_start(struct mirror *mirror);

// A timer and not event_active(): libevent runs what a callback activates in the same turn.
static void again_soon(struct event *event)
{
	struct timeval now = {0, 0};

	event_add(event, &now);
}

struct host_link *mirror_link(struct space *space, uint32_t ifindex)
{
	struct host_link *link = idmap_get(&space->links, ifindex);

	if (link)
		return link;
	link = calloc(1, sizeof(*link));
	if (link == NULL)
		return NULL;
	*link = (struct host_link){.ifindex = ifindex, .running = true};
	idmap_set(&space->links, ifindex, link);
	return link;
}

// ---- what links and addresses mean for routes

static void link_up(struct space *space, struct host_link *link)
{
	link->running = true;
	space->retry = true; // routes over it can be put in now
	repair_soon(space->bridge);
	// The kernel forgets who is there when it sees the device without carrier, for which it looks once a second: not if it
	// was away for less.
	if (link->interface && link->interface->was_away) {
		link->interface->was_away = false;
		repair_interface(link->interface, REPAIR_RENEW | REPAIR_SAY);
	} else if (link->interface) {
		neighbors_retry(space->bridge, link->interface);
		presence_say(link->interface);
	}
	// The kernel says nothing of the routes that come back with it.
	if (link->missed)
		mirror_resync(space);
	link->missed = false;
}

void mirror_link_down(struct space *space, struct host_link *link)
{
	if (!link->running)
		return;
	link->running = false;
	if (link->interface)
		neighbors_down(link->interface);
	held_lost(space, (int)link->ifindex);
	reconcile_job(space->mirror, JOB_INVALIDATE, link->ifindex,
		link->interface ? link->interface->domain : NULL);
}

void mirror_link_named(struct space *space, struct host_link *link)
{
	reconcile_job(space->mirror, JOB_RENAME, link->ifindex,
		link->interface ? link->interface->domain : NULL);
}

// Not as declared, by what the message says; it may be old.
static bool interface_differs(
	const struct host_interface *interface, const struct kernel_link *seen)
{
	const struct bridge_interface *declared = &interface->declared;

	return !seen->up || seen->mtu != declared->mtu ||
	       strcmp(seen->name, interface->name) != 0 ||
	       (!declared->tun && (seen->noarp || memcmp(seen->mac, declared->mac, 6) != 0));
}

static void doubt(struct space *space, struct host_interface *interface)
{
	if (interface)
		repair_interface(interface, REPAIR_DEVICE);
	else
		space->doubted = true;
}

static void address_message(struct space *space, const struct nlmsghdr *header)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(header);
	const struct host_link *link = idmap_get(&space->links, ifa->ifa_index);
	const struct nlattr *attr[IFA_MAX + 1];
	struct ip_address address;
	bool declared = false;

	if (header->nlmsg_type == RTM_DELADDR) {
		// With an address go the routes that used it, silently. Which ones only a dump tells.
		held_lost(space, (int)ifa->ifa_index);
		mirror_resync(space);
	}
	if (link == NULL || link->interface == NULL || ifa->ifa_scope == RT_SCOPE_LINK ||
		!netlink_parse(header, sizeof(*ifa), attr, IFA_MAX) ||
		!netlink_address(attr[IFA_LOCAL] ? attr[IFA_LOCAL] : attr[IFA_ADDRESS],
			ifa->ifa_family, &address))
		return;
	const struct bridge_interface *wanted = &link->interface->declared;
	for (unsigned int i = 0; i < wanted->addresses; i++)
		declared = declared ||
			   (wanted->address[i].len == ifa->ifa_prefixlen &&
				   ip_address_compare(&wanted->address[i].address, &address) == 0);
	if (declared == (header->nlmsg_type == RTM_DELADDR))
		repair_interface(link->interface, REPAIR_DEVICE);
}

static void link_message(struct space *space, const struct nlmsghdr *header, bool dump)
{
	struct kernel_link seen;

	if (!kernel_link_parse(header, &seen))
		return;
	if (header->nlmsg_type == RTM_DELLINK) {
		struct host_link *link = idmap_get(&space->links, (uint32_t)seen.index);
		if (link == NULL)
			return;
		mirror_link_down(space, link);
		// It may have been made again before its end was heard of.
		if (link->interface && link->interface->ifindex == link->ifindex) {
			link->interface->ifindex = 0;
			repair_interface(link->interface, REPAIR_DEVICE);
		}
		idmap_remove(&space->links, link->ifindex);
		free(link);
		return;
	}
	struct host_link *link = mirror_link(space, (uint32_t)seen.index);
	if (link == NULL || (dump && link->seen))
		return;
	link->seen = link->seen || !dump;
	if (link->id == 0 && seen.tun && space->bridge->device_id)
		link->id = space->bridge->device_id(seen.name);
	if (link->interface ? interface_differs(link->interface, &seen)
			    : strcmp(seen.name, "lo") == 0 && !seen.up)
		doubt(space, link->interface);
	if (link->running == seen.running)
		return;
	if (seen.running)
		link_up(space, link);
	else
		mirror_link_down(space, link);
}

// One that the kernel made for an address of ours. It goes with the address or the device too; looking tells.
static void own_route_message(struct space *space, const struct nlmsghdr *header)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr[RTA_MAX + 1];

	if (!netlink_parse(header, sizeof(*rtm), attr, RTA_MAX) ||
		rtm->rtm_protocol != RTPROT_KERNEL || attr[RTA_OIF] == NULL)
		return;
	const struct host_link *link = idmap_get(&space->links, mnl_attr_get_u32(attr[RTA_OIF]));
	if (link != NULL && link->interface != NULL)
		repair_interface(link->interface, REPAIR_DEVICE);
}

static void message(struct space *space, const struct nlmsghdr *header, bool dump)
{
	switch (header->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		space->bridge->counters.route_messages++;
		if (!dump)
			held_message(space, header);
		if (!dump && header->nlmsg_type == RTM_DELROUTE)
			own_route_message(space, header);
		reconcile_route(space->mirror, header, dump);
		break;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_message(space, header, dump);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		address_message(space, header);
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		held_message(space, header);
		space->doubted = true;
		break;
	case RTM_NEWNETCONF:
		space->doubted = true;
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		neighbor_message(space, header, dump);
		break;
	default:
		break;
	}
}

// ---- the event socket

static void overrun(struct mirror *mirror)
{
	struct space *space = mirror->space;
	struct host_domain *domain;

	space->bridge->counters.overruns++;
	log_warning("bridge", "netlink overrun, dumping again", log_text("netns", space->name));
	TAILQ_FOREACH (domain, &space->domains, entry)
		domain->sync = DOMAIN_WAITING;
	mirror->overrun = true;
	space->doubted = true;
	held_doubt_all(space);
}

// Reads events until there are none (true), the time is over, or a job wants to be done first (false).
static bool read_events(struct mirror *mirror, uint64_t end)
{
	struct event_buffers *buffers = mirror->space->bridge->buffers;

	while (STAILQ_EMPTY(&mirror->jobs)) {
		int n = recvmmsg(
			mirror->events.fd, buffers->header, EVENT_BATCH, MSG_DONTWAIT, NULL);
		if (n < 0 && errno == ENOBUFS) {
			overrun(mirror);
			continue;
		}
		if (n <= 0)
			return errno != EINTR;
		for (int i = 0; i < n; i++) {
			int left = (int)buffers->header[i].msg_len;
			if (buffers->header[i].msg_hdr.msg_flags & MSG_TRUNC)
				overrun(mirror);
			struct nlmsghdr *h = (struct nlmsghdr *)buffers->data[i];
			for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
				message(mirror->space, h, false);
		}
		if (clock_ns() > end)
			return false;
	}
	return false;
}

// Overruns and requests for a dump are acted upon between messages, never within one.
static void after_reading(struct mirror *mirror)
{
	if (mirror->overrun) {
		mirror->overrun = false;
		mirror->space->bridge->counters.resyncs++;
		dump_start(mirror);
	}
}

static void on_events(evutil_socket_t fd, short what, void *ctx)
{
	struct mirror *mirror = ctx;

	turns_note("bridge: events");
	read_events(mirror, clock_ns() + TURN_NS);
	after_reading(mirror);
}

// ---- dumps

static int send_dump(struct mirror *mirror, int type, const void *header, size_t len)
{
	struct netlink_message message;

	return netlink_send(&mirror->dump, netlink_begin(&message, type, NLM_F_DUMP, header, len));
}

// A namespace of one domain needs its main table only. That matters: the kernel keeps the tables main and local
// of such a namespace in one IPv4 trie and would walk it again for local, all of a full table within one recv.
static int request_routes(struct mirror *mirror)
{
	bool v6 = mirror->phase == PHASE_ROUTES6;
	struct rtmsg rtm = {.rtm_family = v6 ? AF_INET6 : AF_INET};
	if (!v6 && !mirror->space->shared)
		rtm.rtm_table = RT_TABLE_MAIN;
	return send_dump(mirror, RTM_GETROUTE, &rtm, sizeof(rtm));
}

static int request_phase(struct mirror *mirror)
{
	struct ifinfomsg ifi = {0};
	struct ndmsg ndm = {0};
	uint32_t cursor = 0;
	struct host_link *link;

	switch (mirror->phase) {
	case PHASE_LINKS:
		while ((link = idmap_next(&mirror->space->links, &cursor)) != NULL)
			link->seen = false;
		return send_dump(mirror, RTM_GETLINK, &ifi, sizeof(ifi));
	case PHASE_NEIGHBORS:
		neighbors_unseen(mirror->space);
		return send_dump(mirror, RTM_GETNEIGH, &ndm, sizeof(ndm));
	default:
		return request_routes(mirror);
	}
}

static void dump_stop(struct mirror *mirror)
{
	if (mirror->dump_read)
		event_free(mirror->dump_read);
	mirror->dump_read = NULL;
	netlink_close(&mirror->dump);
	mirror->phase = PHASE_IDLE;
	mirror->pending = 0;
}

// The sweep is over, or was left out.
void mirror_dump_end(struct mirror *mirror)
{
	bool confirm = mirror->purpose == DUMP_CHECK && mirror->suspects > 0;

	if (!mirror->again && !mirror->interrupted)
		mirror->space->bridge->counters.drift += mirror->confirmed;
	mirror->confirmed = 0;
	mirror->phase = PHASE_IDLE;
	mirror->interruptions = mirror->interrupted ? mirror->interruptions + 1 : 0;
	if (mirror->again || mirror->interrupted || confirm) {
		struct timeval delay = {mirror->interruptions > INTERRUPTED_MAX, 0};
		mirror->next_purpose = confirm ? DUMP_CONFIRM : DUMP_RESYNC;
		event_add(mirror->start, &delay);
	} else {
		mirror->suspects = 0;
	}
}

static void phase_end(struct mirror *mirror)
{
	if (mirror->phase == PHASE_NEIGHBORS)
		neighbors_seen(mirror->space);
	if (mirror->phase < PHASE_ROUTES6) {
		mirror->phase++;
		if (request_phase(mirror) == 0)
			return;
		mirror->interrupted = true;
	}
	dump_stop(mirror);
	mirror->phase = PHASE_SWEEP;
	if (mirror->interrupted)
		mirror_dump_end(mirror);
	else
		reconcile_job(mirror, JOB_SWEEP, 0, NULL);
}

static void dump_chunk(struct mirror *mirror)
{
	int left = mirror->pending;

	mirror->pending = 0;
	for (struct nlmsghdr *h = (struct nlmsghdr *)mirror->chunk; mnl_nlmsg_ok(h, left);
		h = mnl_nlmsg_next(h, &left)) {
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			mirror->interrupted = true;
		if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
			// Both begin with an error number. ENOENT: a table that never had a route.
			int err = mnl_nlmsg_get_payload_len(h) >= sizeof(int)
					  ? *(int *)mnl_nlmsg_get_payload(h)
					  : 0;
			if (err < 0 && err != -ENOENT)
				mirror->interrupted = true;
			phase_end(mirror);
			return;
		}
		message(mirror->space, h, true);
	}
}

static void on_dump(evutil_socket_t fd, short what, void *ctx)
{
	struct mirror *mirror = ctx;
	uint64_t end = clock_ns() + TURN_NS;

	turns_note("bridge: dump");
	while (mirror->dump_read && STAILQ_EMPTY(&mirror->jobs) && clock_ns() < end) {
		if (mirror->pending == 0) {
			ssize_t n = recv(mirror->dump.fd, mirror->chunk, sizeof(mirror->chunk),
				MSG_DONTWAIT);
			if (n < 0 && errno == ENOBUFS)
				mirror->interrupted = true;
			if (n <= 0)
				break;
			mirror->pending = (int)n;
		}
		if (!read_events(mirror, end))
			break;
		dump_chunk(mirror);
	}
	if (mirror->pending && mirror->dump_read && STAILQ_EMPTY(&mirror->jobs))
		again_soon(mirror->more); // the chunk waits, the socket may be silent
	after_reading(mirror);
}

static void dump_start(struct mirror *mirror)
{
	struct space *space = mirror->space;
	struct host_domain *domain;
	int back, err;

	dump_stop(mirror);
	reconcile_drop_jobs(mirror, JOB_SWEEP);
	mirror->purpose = mirror->next_purpose;
	mirror->next_purpose = DUMP_RESYNC;
	if (mirror->again && mirror->purpose == DUMP_CONFIRM)
		mirror->purpose = DUMP_RESYNC; // what asked for it explains the differences
	mirror->again = mirror->interrupted = false;
	if (mirror->purpose != DUMP_CONFIRM)
		mirror->suspects = 0;
	mirror->generation++;
	space->bridge->counters.dumps++;
	TAILQ_FOREACH (domain, &space->domains, entry) {
		if (domain->sync == DOMAIN_WAITING && mirror->purpose == DUMP_CHECK)
			mirror->purpose = DUMP_RESYNC;
		if (domain->sync == DOMAIN_WAITING)
			domain->sync = DOMAIN_DUMPING;
	}
	err = netns_enter(space->fd, &back);
	if (err == 0) {
		err = netlink_open(&mirror->dump, 1 << 20);
		netns_leave(back);
	}
	mirror->phase = PHASE_LINKS;
	if (err == 0)
		err = request_phase(mirror);
	if (err == 0) {
		mirror->dump_read = event_new(space->bridge->base, mirror->dump.fd,
			EV_READ | EV_PERSIST, on_dump, mirror);
		if (mirror->dump_read && event_add(mirror->dump_read, NULL) == 0)
			return;
	}
	log_error("bridge", "cannot dump", log_text("netns", space->name),
		log_text("error", strerror(-err)));
	dump_stop(mirror);
	struct timeval later = {1, 0};
	event_add(mirror->start, &later);
}

static void on_start(evutil_socket_t fd, short what, void *ctx)
{
	struct mirror *mirror = ctx;

	turns_note("bridge: dump start");
	if (mirror->phase == PHASE_IDLE)
		dump_start(mirror);
}

void mirror_resync(struct space *space)
{
	struct mirror *mirror = space->mirror;

	if (mirror->again)
		return;
	mirror->again = true;
	space->bridge->counters.resyncs++;
	if (mirror->phase == PHASE_IDLE)
		again_soon(mirror->start);
}

void mirror_check(struct space *space)
{
	struct mirror *mirror = space->mirror;

	if (mirror->phase != PHASE_IDLE || mirror->again || !STAILQ_EMPTY(&mirror->jobs))
		return;
	mirror->next_purpose = DUMP_CHECK;
	dump_start(mirror);
}

// ---- life

int mirror_create(struct space *space)
{
	static const unsigned int groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,
		RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF};
	struct mirror *mirror = calloc(1, sizeof(*mirror));
	struct event_base *base = space->bridge->base;
	int buffer = space->bridge->receive_buffer;
	int back;

	if (mirror == NULL)
		return -ENOMEM;
	mirror->space = space;
	mirror->dump.fd = mirror->events.fd = -1;
	STAILQ_INIT(&mirror->jobs);
	space->mirror = mirror;
	int err = netns_enter(space->fd, &back);
	if (err == 0) {
		err = netlink_open(&mirror->events, buffer > 0 ? buffer : DEFAULT_BUFFER);
		netns_leave(back);
	}
	for (unsigned int i = 0; err == 0 && i < sizeof(groups) / sizeof(groups[0]); i++)
		err = netlink_join(&mirror->events, groups[i]);
	if (err == 0) {
		mirror->event =
			event_new(base, mirror->events.fd, EV_READ | EV_PERSIST, on_events, mirror);
		mirror->slice = event_new(base, -1, 0, reconcile_slice, mirror);
		mirror->start = event_new(base, -1, 0, on_start, mirror);
		mirror->more = event_new(base, -1, 0, on_dump, mirror);
		if (!mirror->event || !mirror->slice || !mirror->start ||
			event_add(mirror->event, NULL))
			err = -ENOMEM;
	}
	if (err)
		mirror_destroy(space);
	else
		mirror_resync(space);
	return err;
}

void mirror_destroy(struct space *space)
{
	struct mirror *mirror = space->mirror;
	uint32_t cursor = 0;
	struct host_link *link;

	if (mirror == NULL)
		return;
	dump_stop(mirror);
	reconcile_drop_jobs(mirror, JOB_ANY);
	if (mirror->event)
		event_free(mirror->event);
	if (mirror->slice)
		event_free(mirror->slice);
	if (mirror->start)
		event_free(mirror->start);
	if (mirror->more)
		event_free(mirror->more);
	netlink_close(&mirror->events);
	free(mirror);
	space->mirror = NULL;
	while ((link = idmap_next(&space->links, &cursor)) != NULL)
		free(link);
	idmap_free(&space->links);
}
