// SPDX-License-Identifier: BSD-3-Clause
// Who answers at a next hop's address, and with which MAC. Every next hop is installed as a managed neighbor, so
// the kernel itself resolves it and keeps it resolved (Linux 5.16 on); its notifications are the only source of
// truth. REACHABLE, STALE, DELAY and PROBE are usable: STALE only means that nobody has asked lately.
//
// The kernel's table has room for so many, in all namespaces together, and who asks for us is in it too. Ours are
// marked as told by a controller (extern_learn): those are neither counted nor forgotten for want of room.
//
// An entry that somebody wrote over ours, permanent or managed by nobody, is what he says and not who answers: it is
// not believed, and put back (repair.c). One that the kernel made itself, because a far end asked for us before we had put
// ours in again (a device's carrier came back), is no such thing: ours takes its place without a word.
//
// The kernel forgets managed neighbors too: a device without carrier flushes its table. And an older kernel does
// not know them. So whoever is not usable is asked for again once a second while the device runs.

#include "control/bridge/state.h"

#include "control/base/log.h"
#include "control/bridge/kernel.h"
#include "control/bridge/repair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

enum { NUD_USABLE = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE };

static struct host_neighbor *find(
	struct host_interface *interface, const struct ip_address *address)
{
	struct host_neighbor *neighbor;

	LIST_FOREACH (neighbor, &interface->neighbors, entry)
		if (ip_address_compare(&neighbor->address, address) == 0)
			return neighbor;
	return NULL;
}

static void set_state(
	struct host_interface *interface, struct host_neighbor *neighbor, const uint8_t *mac)
{
	const struct bridge_callbacks *callbacks = &interface->domain->space->bridge->callbacks;

	if (mac == NULL && !neighbor->usable)
		return;
	if (mac && neighbor->usable && memcmp(mac, neighbor->mac, 6) == 0)
		return;
	neighbor->usable = mac != NULL;
	if (mac)
		memcpy(neighbor->mac, mac, 6);
	callbacks->neighbor(callbacks->ctx, interface->declared.id, &neighbor->address,
		mac ? neighbor->mac : NULL);
}

static bool written_over(
	const struct bridge *bridge, const struct ndmsg *ndm, const struct nlattr *flags)
{
	bool managed = flags != NULL && mnl_attr_get_u32(flags) & NTF_EXT_MANAGED;

	return ndm->ndm_state & (NUD_PERMANENT | NUD_NOARP) ||
	       (ndm->ndm_state & NUD_USABLE && !managed && !bridge->managed_refused);
}

void neighbor_message(struct space *space, const struct nlmsghdr *header, bool dump)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr[NDA_MAX + 1];
	struct ip_address address;
	const struct host_link *link = idmap_get(&space->links, (uint32_t)ndm->ndm_ifindex);

	if (link == NULL || link->interface == NULL || LIST_EMPTY(&link->interface->neighbors))
		return;
	if (!netlink_parse(header, sizeof(*ndm), attr, NDA_MAX) ||
		!netlink_address(attr[NDA_DST], ndm->ndm_family, &address))
		return;
	struct host_neighbor *neighbor = find(link->interface, &address);
	if (neighbor == NULL || (dump && neighbor->seen))
		return;
	neighbor->seen = true;
	if (header->nlmsg_type == RTM_NEWNEIGH &&
		written_over(space->bridge, ndm, attr[NDA_FLAGS_EXT])) {
		neighbor->written_over = true; // or the event is older than our entry
		neighbor->somebody = neighbor->usable || ndm->ndm_state & (NUD_PERMANENT | NUD_NOARP);
		repair_interface(link->interface, REPAIR_NEIGHBORS);
		return;
	}
	bool usable = header->nlmsg_type == RTM_NEWNEIGH && ndm->ndm_state & NUD_USABLE &&
		      attr[NDA_LLADDR] && mnl_attr_get_payload_len(attr[NDA_LLADDR]) == 6;
	set_state(
		link->interface, neighbor, usable ? mnl_attr_get_payload(attr[NDA_LLADDR]) : NULL);
}

static void event_object(void *ctx, const struct nlmsghdr *header)
{
	neighbor_message(ctx, header, false);
}

// What the kernel thinks of the neighbor right now.
static void look(struct host_interface *interface, struct host_neighbor *neighbor)
{
	struct space *space = interface->domain->space;
	struct ndmsg ndm = {.ndm_family = ip_af(neighbor->address.family),
		.ndm_ifindex = (int)interface->ifindex};
	struct netlink_message message;
	struct nlmsghdr *request = netlink_begin(&message, RTM_GETNEIGH, 0, &ndm, sizeof(ndm));

	netlink_put_address(request, NDA_DST, &neighbor->address);
	netlink_get(&space->command, request, event_object, space);
}

static int neighbor_start(
	struct bridge *bridge, struct host_interface *interface, struct host_neighbor *neighbor)
{
	struct netlink *command = &interface->domain->space->command;
	int index = (int)interface->ifindex;
	int err = -EOPNOTSUPP;

	if (index == 0)
		return 0; // comes with the device
	if (!bridge->managed_refused)
		err = kernel_neighbor_set(command, index, &neighbor->address, true);
	if (err == -EOPNOTSUPP || err == -EINVAL) {
		if (!bridge->managed_refused)
			log_warning("bridge", "no managed neighbors in this kernel, probing",
				log_number("errno", -err));
		bridge->managed_refused = true;
		err = kernel_neighbor_set(command, index, &neighbor->address, false);
	}
	if (err == 0)
		look(interface, neighbor);
	return err == -ENETDOWN ? 0 : err;
}

int bridge_neighbor_set(struct bridge *bridge, uint32_t id, const struct ip_address *address)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, id);

	if (interface == NULL)
		return -ENOENT;
	struct host_neighbor *neighbor = find(interface, address);
	if (neighbor == NULL) {
		neighbor = calloc(1, sizeof(*neighbor));
		if (neighbor == NULL)
			return -ENOMEM;
		neighbor->address = *address;
		LIST_INSERT_HEAD(&interface->neighbors, neighbor, entry);
	}
	return neighbor_start(bridge, interface, neighbor);
}

bool neighbors_restore(struct host_interface *interface)
{
	struct space *space = interface->domain->space;
	struct host_neighbor *neighbor;
	bool any = false;

	LIST_FOREACH (neighbor, &interface->neighbors, entry) {
		if (!neighbor->written_over || interface->ifindex == 0)
			continue;
		neighbor->written_over = false;
		look(interface, neighbor);
		if (!neighbor->written_over)
			continue;
		any = any || neighbor->somebody;
		neighbor->written_over = false;
		set_state(interface, neighbor, NULL);
		kernel_neighbor_delete(
			&space->command, (int)interface->ifindex, &neighbor->address);
		neighbor_start(space->bridge, interface, neighbor);
	}
	return any;
}

void bridge_neighbor_delete(struct bridge *bridge, uint32_t id, const struct ip_address *address)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, id);
	struct host_neighbor *neighbor = interface ? find(interface, address) : NULL;

	if (neighbor == NULL)
		return;
	LIST_REMOVE(neighbor, entry);
	free(neighbor);
	if (interface->ifindex)
		kernel_neighbor_delete(
			&interface->domain->space->command, (int)interface->ifindex, address);
}

void bridge_neighbor_probe(struct bridge *bridge, uint32_t id, const struct ip_address *address)
{
	struct host_interface *interface = idmap_get(&bridge->interfaces, id);
	struct host_neighbor *neighbor = interface ? find(interface, address) : NULL;

	if (neighbor != NULL)
		neighbor_start(bridge, interface, neighbor);
}

void neighbors_unseen(struct space *space)
{
	struct host_neighbor *neighbor;
	struct host_link *link;
	uint32_t cursor = 0;

	while ((link = idmap_next(&space->links, &cursor)) != NULL)
		if (link->interface)
			LIST_FOREACH (neighbor, &link->interface->neighbors, entry)
				neighbor->seen = false;
}

void neighbors_seen(struct space *space)
{
	struct host_neighbor *neighbor;
	struct host_link *link;
	uint32_t cursor = 0;

	while ((link = idmap_next(&space->links, &cursor)) != NULL)
		if (link->interface)
			LIST_FOREACH (neighbor, &link->interface->neighbors, entry)
				if (!neighbor->seen)
					set_state(link->interface, neighbor, NULL);
}

void neighbors_down(struct host_interface *interface)
{
	struct host_neighbor *neighbor;

	LIST_FOREACH (neighbor, &interface->neighbors, entry)
		set_state(interface, neighbor, NULL);
}

void neighbors_retry(struct bridge *bridge, struct host_interface *interface)
{
	const struct host_link *link =
		idmap_get(&interface->domain->space->links, interface->ifindex);
	struct host_neighbor *neighbor;

	if (link == NULL || !link->running)
		return;
	LIST_FOREACH (neighbor, &interface->neighbors, entry)
		if (!neighbor->usable)
			neighbor_start(bridge, interface, neighbor);
}

// The kernel forgets all neighbors of a device whose MAC is set, also when it has that one already.
void neighbors_renew(struct host_interface *interface)
{
	struct space *space = interface->domain->space;
	struct host_neighbor *neighbor;

	if (interface->declared.tun || interface->ifindex == 0)
		return;
	kernel_link_set(&space->command, (int)interface->ifindex, interface->declared.mac, 0);
	LIST_FOREACH (neighbor, &interface->neighbors, entry) {
		set_state(interface, neighbor, NULL);
		neighbor_start(space->bridge, interface, neighbor);
	}
}

void neighbors_free(struct host_interface *interface)
{
	struct host_neighbor *neighbor;

	while ((neighbor = LIST_FIRST(&interface->neighbors)) != NULL) {
		LIST_REMOVE(neighbor, entry);
		free(neighbor);
	}
}
