// SPDX-License-Identifier: BSD-3-Clause
// What was declared is what is there, also after somebody tidied up. Kernel events name what to look at: a device set down,
// renamed, with another MAC, MTU or without ARP; an address that went or came; routes and rules (held.c); settings of the
// namespace. What no event tells - the file of the namespace, its mark, the settings of ARP - is looked at once a second
// or in a slow round. Looking means reading the kernel's present state, not believing the event: an event is the past, and
// half of them are our own doing.
//
// All of it is done in slices of one turn, behind what the callers want at once: with 10,000 devices a port that goes down
// is 10,000 carriers, and a round over all of them.

#include "control/bridge/repair.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"
#include "control/bridge/guard.h"
#include "control/bridge/held.h"
#include "control/bridge/kernel.h"
#include "control/bridge/mirror.h"
#include "control/bridge/netns.h"
#include "control/bridge/presence.h"
#include "control/bridge/space.h"
#include "control/bridge/tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

enum {
	LINES_A_SECOND = 20, // of the log; the rest is counted
	ROUND_S = 60,        // each device is looked at this often, without any reason
	ROUND_LEAST = 20,    // ... or this many a second, if there are fewer
	SETTINGS_A_SECOND = 20,
};

// ---- telling

void repair_done(struct space *space, const char *what, const char *object, const char *how)
{
	struct bridge *bridge = space->bridge;
	struct bridge_counters *counters = &bridge->counters;

	counters->drift++;
	snprintf(counters->drift_last, sizeof(counters->drift_last), "%s %.60s %s", what, object,
		how);
	if (bridge->lines++ < LINES_A_SECOND)
		log_warning("bridge", "put back what somebody changed", log_text("what", what),
			log_text("object", object), log_text("how", how),
			log_text("netns", space->name));
}

static void told(struct bridge *bridge)
{
	if (bridge->lines > LINES_A_SECOND)
		log_warning("bridge", "put back more of the kind",
			log_number("count", bridge->lines - LINES_A_SECOND));
	bridge->lines = 0;
}

// ---- a device

static void add_word(char *words, size_t size, const char *word)
{
	size_t len = strlen(words);

	snprintf(words + len, size - len, "%s%s", len ? ", " : "", word);
}

static void compare(const struct host_interface *interface, const struct kernel_link *link,
	char *words, size_t size)
{
	const struct bridge_interface *declared = &interface->declared;

	if (!link->up)
		add_word(words, size, "set down");
	if (strcmp(link->name, interface->name) != 0)
		add_word(words, size, "renamed");
	if (link->mtu != declared->mtu)
		add_word(words, size, "other MTU");
	if (!declared->tun && memcmp(link->mac, declared->mac, 6) != 0)
		add_word(words, size, "other MAC");
	if (!declared->tun && link->noarp)
		add_word(words, size, "ARP off");
}

static int put_right(struct host_interface *interface, const struct kernel_link *link)
{
	const struct bridge_interface *declared = &interface->declared;
	struct netlink *command = &interface->domain->space->command;
	int err = 0;

	if (strcmp(link->name, interface->name) != 0)
		err = kernel_link_rename(command, link->index, interface->name);
	if (err == 0)
		err = kernel_link_set(
			command, link->index, declared->tun ? NULL : declared->mac, declared->mtu);
	if (err == 0 && !link->up)
		install_lost(interface); // the kernel took its routes out
	return err;
}

// The routes that the kernel itself made for our addresses: a flush takes them too, and then nobody reaches us. Those of
// IPv6 follow their address a moment later: they lack when they still do a second later. True: something was put back.
static bool own_routes(struct host_interface *interface, bool running)
{
	const struct bridge_interface *declared = &interface->declared;
	struct space *space = interface->domain->space;
	int index = (int)interface->ifindex;
	bool lacked = false, lacks6 = false, late;

	for (unsigned int i = 0; i < declared->addresses; i++) {
		const struct bridge_interface_address *address = &declared->address[i];
		if (address->address.family == 4)
			lacked |= kernel_address_routes4(&space->command, index, address) > 0;
		else if (running && address->address.family == 6) // before that it has none
			lacks6 |= kernel_address_routes6(&space->command, index, address) > 0;
	}
	late = lacks6 && interface->lacks6 != 0 && interface->lacks6 != space->bridge->ticks;
	if (!lacks6 || late)
		interface->lacks6 = 0;
	else if (interface->lacks6 == 0)
		interface->lacks6 = space->bridge->ticks;
	if (!late)
		return lacked;
	interface_renew_ipv6(interface);
	install_lost(interface);
	return true;
}

static void make_again(struct host_interface *interface)
{
	struct bridge *bridge = interface->domain->space->bridge;
	bool made = interface->made;

	if (interface_restore(interface, NULL) != 0)
		return; // with the next round
	if (made)
		repair_done(interface->domain->space, "host interface", interface->name, "deleted");
	if (bridge->callbacks.interface_made)
		bridge->callbacks.interface_made(bridge->callbacks.ctx, interface->declared.id);
}

// Compares one device with what was declared, and puts it right.
static void look(struct host_interface *interface)
{
	struct space *space = interface->domain->space;
	struct kernel_link link;
	char words[96] = "";

	if (interface->ifindex == 0) {
		make_again(interface);
		return;
	}
	int err = kernel_link_at(&space->command, (int)interface->ifindex, &link);
	if (err == -ENODEV) { // its message is still to come
		interface->ifindex = 0;
		make_again(interface);
		return;
	}
	if (err)
		return;
	compare(interface, &link, words, sizeof(words));
	if (words[0])
		err = put_right(interface, &link);
	if (interface_keep_settings(interface) > 0)
		add_word(words, sizeof(words), "other settings");
	int changes = kernel_addresses_set(&space->command, link.index, interface->declared.address,
		interface->declared.addresses);
	if (changes > 0)
		add_word(words, sizeof(words), "other addresses");
	if (changes > 0)
		install_lost(interface);
	if (own_routes(interface, link.up && link.running))
		add_word(words, sizeof(words), "its routes removed");
	if (link.running != interface->carrier)
		host_carrier_apply(interface);
	if (words[0] && err == 0)
		repair_done(space, "host interface", interface->name, words);
}

static void do_due(struct host_interface *interface, unsigned int due)
{
	if (due & REPAIR_CARRIER)
		host_carrier_apply(interface);
	if (due & REPAIR_DEVICE)
		look(interface);
	if (due & REPAIR_NEIGHBORS && neighbors_restore(interface))
		repair_done(interface->domain->space, "neighbor on", interface->name,
			"written over");
	if (due & REPAIR_RENEW)
		neighbors_renew(interface);
	if (due & REPAIR_SAY)
		presence_say(interface);
}

void repair_interface(struct host_interface *interface, unsigned int what)
{
	struct bridge *bridge = interface->domain->space->bridge;

	if (interface->due == 0)
		TAILQ_INSERT_TAIL(&bridge->suspects, interface, suspects);
	interface->due |= (uint8_t)what;
	repair_soon(bridge);
}

void repair_forget_interface(struct host_interface *interface)
{
	if (interface->due != 0)
		TAILQ_REMOVE(&interface->domain->space->bridge->suspects, interface, suspects);
	interface->due = 0;
}

// ---- a namespace

// Whoever looks for our namespace finds another one. It is no use to fight for the name: we go where it leads, as we would
// when we came anew.
static void lose(struct space *space)
{
	const struct bridge_callbacks *callbacks = &space->bridge->callbacks;
	const struct host_domain *domain;

	space->lost = true;
	repair_done(space, "network namespace", space->name, "replaced");
	if (callbacks->lost != NULL)
		TAILQ_FOREACH (domain, &space->domains, entry)
			callbacks->lost(callbacks->ctx, domain->id);
}

static void look_at_name(struct space *space)
{
	enum netns_name name = netns_check(space->name, space->fd);

	if (name == NETNS_THERE) {
		space->name_taken = false;
	} else if (name == NETNS_GONE) {
		int err = netns_bind(space->name, space->fd);
		if (err == 0)
			repair_done(space, "name of network namespace", space->name, "removed");
		else if (!space->name_taken)
			log_error("bridge", "cannot name a namespace again",
				log_text("netns", space->name), log_text("error", strerror(-err)));
		space->name_taken = err != 0;
	} else {
		lose(space);
	}
}

static void look_at_settings(struct space *space)
{
	struct kernel_link lo;
	const char *what = NULL;
	unsigned int wrong = 0;
	int back;

	if (netns_enter(space->fd, &back) == 0) {
		wrong = netns_harden(space->shared, &what);
		netns_leave(back);
	}
	if (wrong > 0)
		repair_done(space, "setting", what, "changed");
	if (kernel_link_get(&space->command, "lo", &lo) == 0 && !lo.up &&
		kernel_link_set(&space->command, lo.index, NULL, 0) == 0)
		repair_done(space, "host interface", "lo", "set down");
	if (space->shared && space_local_rule(space))
		repair_done(space, "rule", "0", "added");
}

static void look_at_space(struct space *space)
{
	struct bridge *bridge = space->bridge;

	if (space->lost)
		return;
	if (guard_check(space))
		repair_done(space, "mark", space->name, "removed");
	look_at_name(space);
	if (space->lost)
		return;
	bool turn = bridge->round_index++ % bridge->round_period ==
		    bridge->ticks % bridge->round_period;
	if (space->doubted || turn) {
		space->doubted = false;
		look_at_settings(space);
	}
	held_check(space, 1 + space->held.table.count / ROUND_S);
}

void repair_forget_space(struct space *space)
{
	if (space->bridge->round == space)
		space->bridge->round = LIST_NEXT(space, entry);
}

// ---- the slices

static bool suspects(struct bridge *bridge, uint64_t end)
{
	struct host_interface *interface;

	while ((interface = TAILQ_FIRST(&bridge->suspects)) != NULL) {
		unsigned int due = interface->due;
		repair_forget_interface(interface);
		do_due(interface, due);
		if (clock_ns() > end)
			return TAILQ_EMPTY(&bridge->suspects);
	}
	return true;
}

static bool waiting(struct bridge *bridge, uint64_t end)
{
	struct space *space;

	LIST_FOREACH (space, &bridge->spaces, entry) {
		if (!space->retry || TAILQ_EMPTY(&space->held.waiting))
			continue;
		if (!held_repair(space, end))
			return false;
		space->retry = false;
	}
	return true;
}

static bool spaces(struct bridge *bridge, uint64_t end)
{
	while (bridge->round != NULL) {
		struct space *space = bridge->round;
		bridge->round = LIST_NEXT(space, entry);
		look_at_space(space);
		if (clock_ns() > end)
			return bridge->round == NULL;
	}
	return true;
}

static bool devices(struct bridge *bridge, uint64_t end)
{
	struct host_interface *interface;

	while ((interface = idmap_next(&bridge->interfaces, &bridge->round_cursor)) != NULL) {
		if (interface->ifindex == 0 || interface->lacks6 != 0)
			repair_interface(interface, REPAIR_DEVICE);
		else
			neighbors_retry(bridge, interface);
		if (bridge->looks_left > 0 && interface->looked != bridge->looking) {
			bridge->looks_left--;
			interface->looked = bridge->looking;
			look(interface);
		}
		if (clock_ns() > end)
			return false;
	}
	if (bridge->looks_left > 0) { // all have had their turn
		bridge->looking++;
		bridge->looks_left = 0;
	}
	return true;
}

static void on_slice(evutil_socket_t fd, short what, void *ctx)
{
	struct bridge *bridge = ctx;
	uint64_t end = clock_ns() + TURN_NS;

	turns_note("bridge: repair");
	bool done = suspects(bridge, end) && waiting(bridge, end) && spaces(bridge, end);
	if (done && bridge->round_devices) {
		done = devices(bridge, end);
		bridge->round_devices = !done;
	}
	if (!done || !TAILQ_EMPTY(&bridge->suspects))
		repair_soon(bridge);
}

void repair_soon(struct bridge *bridge)
{
	const struct timeval now = {0, 0};

	// A timer and not event_active(): libevent runs what a callback activates in the same turn.
	if (!event_pending(bridge->slice, EV_TIMEOUT, NULL))
		event_add(bridge->slice, &now);
}

void repair_round(struct bridge *bridge)
{
	struct space *space;

	told(bridge);
	LIST_FOREACH (space, &bridge->spaces, entry)
		space->retry = true;
	if (bridge->round == NULL) {
		bridge->round = LIST_FIRST(&bridge->spaces);
		bridge->round_period = 1 + bridge->round_index / SETTINGS_A_SECOND;
		bridge->round_index = 0;
	}
	if (!bridge->round_devices) {
		bridge->round_devices = true;
		bridge->round_cursor = 0;
		bridge->looks_left = bridge->interfaces.cells.count / ROUND_S;
		if (bridge->looks_left < ROUND_LEAST)
			bridge->looks_left = ROUND_LEAST;
	}
	repair_soon(bridge);
}

int repair_start(struct bridge *bridge)
{
	TAILQ_INIT(&bridge->suspects);
	bridge->slice = event_new(bridge->base, -1, 0, on_slice, bridge);
	return bridge->slice ? 0 : -ENOMEM;
}

void repair_stop(struct bridge *bridge)
{
	if (bridge->slice)
		event_free(bridge->slice);
	bridge->slice = NULL;
}
