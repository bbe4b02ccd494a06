// SPDX-License-Identifier: BSD-3-Clause
// Host interfaces: a TAP or TUN device in its domain's namespace, with the port's MAC, an MTU and our addresses.
// Setting one makes the device or adopts it: if the data plane of an earlier life still holds a queue, the
// device, its addresses and the sessions over it are all still there and only what differs is changed.
// A device that someone deletes under us is made again (repair.c).

#include "control/bridge/space.h"

#include "control/bridge/kernel.h"
#include "control/bridge/mirror.h"
#include "control/bridge/netns.h"
#include "control/bridge/repair.h"
#include "control/bridge/tap.h"
#include "control/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// IPv6 on a device: neighbor discovery wants a link-local address where we have one at all; else all is quiet.
static unsigned int settings(const struct bridge_interface *declared)
{
	static const char *const off[] = {"ipv4/conf/%s/forwarding", "ipv6/conf/%s/forwarding"};
	char path[96];
	bool v6 = false;
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < declared->addresses; i++)
		v6 = v6 || declared->address[i].address.family == 6;
	snprintf(path, sizeof(path), "ipv6/conf/%s/disable_ipv6", declared->name);
	wrong += (unsigned int)netns_keep(path, v6 ? "0" : "1");
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), off[i], declared->name);
		wrong += (unsigned int)netns_keep(path, "0");
	}
	return wrong;
}

unsigned int interface_keep_settings(const struct host_interface *interface)
{
	unsigned int wrong;
	int back;

	if (netns_enter(interface->domain->space->fd, &back) != 0)
		return 0;
	wrong = settings(&interface->declared);
	netns_leave(back);
	return wrong;
}

void interface_renew_ipv6(const struct host_interface *interface)
{
	const struct bridge_interface *declared = &interface->declared;
	struct space *space = interface->domain->space;
	char path[96];
	int back;

	snprintf(path, sizeof(path), "ipv6/conf/%s/disable_ipv6", declared->name);
	if (netns_enter(space->fd, &back) != 0)
		return;
	netns_sysctl(path, "1");
	settings(declared);
	netns_leave(back);
	kernel_addresses_set(
		&space->command, (int)interface->ifindex, declared->address, declared->addresses);
}

// Opens a queue inside the namespace. *fresh (may be NULL): the device was made by that.
static int open_queue(const struct host_interface *interface, int *fd, bool *fresh)
{
	int back;
	int err = netns_enter(interface->domain->space->fd, &back);

	if (err)
		return err;
	err = tap_open(interface->name, interface->declared.tun, fd, fresh);
	if (err == 0 && fresh)
		settings(&interface->declared);
	netns_leave(back);
	return err;
}

// The device's settings, as declared. `fresh`: it has none yet.
static int configure(struct host_interface *interface, bool fresh)
{
	const struct bridge_interface *declared = &interface->declared;
	struct netlink *command = &interface->domain->space->command;
	struct kernel_link link;
	int err = kernel_link_get(command, interface->name, &link);

	if (err)
		return err;
	if (fresh)
		kernel_link_one_queue(command, link.index); // without it all works, only dearer
	bool other_mac = !declared->tun && memcmp(link.mac, declared->mac, 6) != 0;
	bool same = link.up && link.mtu == declared->mtu && !(link.noarp && !declared->tun) &&
		    !other_mac;
	if (!same)
		err = kernel_link_set(
			command, link.index, declared->tun ? NULL : declared->mac, declared->mtu);
	if (err == 0)
		err = (fresh ? kernel_addresses_add : kernel_addresses_set)(
			command, link.index, declared->address, declared->addresses);
	interface->ifindex = (uint32_t)link.index;
	if (!fresh && (other_mac || err > 0)) // addresses alone make no other neighbor of anybody
		bridge_interface_carried(
			interface->domain->space->bridge, declared->id, other_mac);
	if (err >= 0)
		err = install_rules(interface);
	return err;
}

// From now on the mirror knows whose device it is.
static void name_link(struct host_interface *interface)
{
	struct space *space = interface->domain->space;
	struct host_link *link = mirror_link(space, interface->ifindex);

	if (link == NULL)
		return;
	link->interface = interface;
	if (link->id != interface->declared.id) {
		link->id = interface->declared.id;
		mirror_link_named(space, link);
	}
	space->retry = true; // static routes over it
	if (!TAILQ_EMPTY(&space->held.waiting))
		repair_soon(space->bridge);
}

int interface_restore(struct host_interface *interface, struct api_error *error)
{
	int fd;
	const char *what = "made";
	bool fresh = false;
	int err = open_queue(interface, &fd, &fresh);

	if (err == 0) {
		if (interface->anchor >= 0)
			close(interface->anchor); // not before: it may be the device's last queue
		interface->anchor = fd;
		if (!interface->carrier)
			err = tap_carrier(fd, false);
	}
	if (err == 0) {
		err = tap_detach(fd);
	}
	if (err == 0) {
		what = "configured";
		err = configure(interface, fresh);
	}
	if (err)
		return api_fail(error, API_REFUSED,
			err == -EBUSY || err == -EINVAL ? "another device has this name; remove it"
							: NULL,
			"host interface \"%s\" cannot be %s: %s", interface->name, what,
			strerror(-err));
	interface->made = true;
	name_link(interface);
	return 0;
}

static bool same_device(
	const struct host_interface *interface, const struct bridge_interface *declared)
{
	return strcmp(interface->name, declared->name) == 0 &&
	       interface->declared.tun == declared->tun &&
	       interface->declared.domain == declared->domain;
}

static bool same_addresses(
	const struct host_interface *interface, const struct bridge_interface *declared)
{
	const struct bridge_interface *mine = &interface->declared;

	for (unsigned int i = 0; i < mine->addresses && i < declared->addresses; i++)
		if (mine->address[i].len != declared->address[i].len ||
			ip_address_compare(
				&mine->address[i].address, &declared->address[i].address) != 0)
			return false;
	return mine->addresses == declared->addresses;
}

int bridge_interface_set(
	struct bridge *bridge, const struct bridge_interface *declared, struct api_error *error)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, declared->id);
	struct host_domain *domain = idmap_get(&bridge->domains, declared->domain);
	size_t len = strlen(declared->name);

	if (domain == NULL)
		return api_fail(error, API_NOT_FOUND, NULL,
			"host interface \"%s\" names no known domain", declared->name);
	if (len == 0 || len > 15 || strpbrk(declared->name, "/: \t\n%"))
		return api_fail(error, API_INVALID, "at most 15 bytes, no / : %% or space",
			"\"%s\" cannot be the name of a host interface", declared->name);
	if (interface && !same_device(interface, declared)) {
		interface_delete(interface);
		interface = NULL;
	}
	bool fresh = interface == NULL;
	bool other_addresses = !fresh && !same_addresses(interface, declared);
	if (fresh) {
		interface = calloc(1, sizeof(*interface));
		if (interface == NULL)
			return api_fail(error, API_INTERNAL, NULL,
				"host interface \"%s\": no memory", declared->name);
		idmap_set(&bridge->interfaces, declared->id, interface);
		domain->space->interface_count++;
		domain->space->mark_old = true;
		interface->anchor = -1;
		interface->carrier = true;
		interface->domain = domain;
		LIST_INSERT_HEAD(&domain->interfaces, interface, of_domain);
		memcpy(interface->name, declared->name, len + 1);
	} else if (other_addresses) {
		readdress_rules(interface, declared);
	}
	interface->declared = *declared;
	interface->declared.name = interface->name;
	if (fresh || interface->ifindex == 0 || !interface->made)
		return interface_restore(interface, error);
	if (other_addresses)
		interface_keep_settings(interface); // the first of IPv6 needs it on
	int err = configure(interface, false);
	if (err)
		return api_fail(error, API_REFUSED, NULL,
			"host interface \"%s\" cannot be configured: %s", interface->name,
			strerror(-err));
	return 0;
}

void interface_free(struct host_interface *interface)
{
	struct space *space = interface->domain->space;
	struct host_link *link = idmap_get(&space->links, interface->ifindex);

	if (link) {
		link->interface = NULL;
		link->id = 0;
	}
	if (interface->anchor >= 0)
		close(interface->anchor);
	repair_forget_interface(interface);
	neighbors_free(interface);
	space->interface_count--;
	space->mark_old = true;
	LIST_REMOVE(interface, of_domain);
	idmap_remove(&space->bridge->interfaces, interface->declared.id);
	free(interface);
}

void interface_delete(struct host_interface *interface)
{
	remove_rules(interface);
	if (interface->ifindex)
		kernel_link_delete(&interface->domain->space->command, (int)interface->ifindex);
	interface_free(interface);
}

void bridge_interface_delete(struct bridge *bridge, uint32_t id)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, id);

	if (interface)
		interface_delete(interface);
}

int bridge_interface_queue(struct bridge *bridge, uint32_t id, int *fd, struct api_error *error)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, id);

	*fd = -1;
	if (interface == NULL)
		return api_fail(error, API_NOT_FOUND, NULL, "no host interface %u", id);
	if (interface->ifindex == 0) {
		int err = interface_restore(interface, error);
		if (err)
			return err;
	}
	int err = open_queue(interface, fd, NULL);
	if (err == 0 && !interface->carrier) {
		err = tap_carrier(*fd, false); // attaching has raised it
		if (err) {
			close(*fd);
			*fd = -1;
		}
	}
	if (err)
		return api_fail(error, API_REFUSED, NULL,
			"host interface \"%s\" has no queue to give: %s", interface->name,
			strerror(-err));
	return 0;
}

void bridge_interface_doubt(struct bridge *bridge, uint32_t id)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, id);

	if (interface != NULL)
		repair_interface(interface, REPAIR_DEVICE);
}

void bridge_interface_carried(struct bridge *bridge, uint32_t id, bool moved)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, id);

	if (interface != NULL) // thousands may move at once: not in this turn
		repair_interface(interface, moved ? REPAIR_RENEW | REPAIR_SAY : REPAIR_SAY);
}

void host_carrier_apply(struct host_interface *interface)
{
	struct space *space = interface->domain->space;
	struct host_link *link = idmap_get(&space->links, interface->ifindex);
	struct kernel_link asked;

	if (interface->anchor < 0)
		return;
	int err = tap_carrier(interface->anchor, interface->carrier);
	// The kernel tells of a lost carrier once a second at most, unless it is asked for the device (from Linux 6.8 on): the
	// routing daemon hears it by that, and puts other routes in the place of those that go here.
	if (!err && !interface->carrier)
		kernel_link_at(&space->command, (int)interface->ifindex, &asked);
	// EPERM: no queue is attached (yet). The one that will be brings the carrier with it.
	if (err && !(interface->carrier && err == -EPERM))
		log_warning("bridge", "cannot set carrier", log_text("interface", interface->name),
			log_text("error", strerror(-err)));
	// Up is taken from the kernel's message, when there are routes to look at; down from here.
	if (link && !interface->carrier)
		mirror_link_down(space, link);
}

void bridge_interface_carrier(struct bridge *bridge, uint32_t id, bool up)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, id);

	if (interface == NULL)
		return;
	interface->carrier = up;
	interface->was_away = interface->was_away || !up;
	repair_interface(interface, REPAIR_CARRIER); // a port takes thousands along: not in this turn
}
