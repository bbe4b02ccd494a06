// SPDX-License-Identifier: BSD-3-Clause
// Which way a tunnel's outer packets leave: gateway -> static underlay route or core subnet -> core
// neighbor. Workers do not recurse; the answer is a next-hop group that the tunnel's interface names, shared
// by all tunnels that leave the same way. The neighbor coming and going changes its record and the group's
// path, not the tunnel; only another way (a changed static route) changes the tunnel's record.

#include "control/sync/state.h"

#include <stdlib.h>
#include <string.h>

static struct ip_address outer_address(uint8_t family, const uint8_t bytes[16])
{
	struct ip_address address = {.family = family};
	memcpy(address.bytes, bytes, sizeof(address.bytes));
	return address;
}

// The ledger's record of the tunnel, with the group filled in.
static void write_tunnel(
	struct sync *sync, const struct desired_interface *interface, struct tunnel *tunnel)
{
	struct wire_interface record = interface->record;
	struct group *old = tunnel->group, *new = NULL;

	if (tunnel->core != 0)
		new = group_get(&sync->hops,
			&(struct hop){.interface = tunnel->core, .via = &tunnel->via, .weight = 1},
			1);
	record.underlay = new != NULL ? new->id : 0;
	record_want(&sync->records, WIRE_INTERFACE_SET, RANK_TUNNEL, &record);
	tunnel->group = new;
	group_put(&sync->hops, old);
}

struct usage {
	uint32_t core;
	const struct ip_address *via;
	bool used;
};

static void look_at_tunnel(void *ctx, void *entry)
{
	struct usage *usage = ctx;
	const struct tunnel *tunnel = entry;
	if (tunnel->core == usage->core && ip_address_compare(&tunnel->via, usage->via) == 0)
		usage->used = true;
}

// A tunnel goes another way now; the kernel need not resolve what nobody uses.
static void leave_neighbor(struct sync *sync, uint32_t core, const struct ip_address *via)
{
	struct usage usage = {.core = core, .via = via};

	table_each(&sync->tunnels, look_at_tunnel, &usage);
	if (usage.used)
		return;
	bridge_neighbor_delete(sync->bridge, core, via);
	nexthops_forget(&sync->hops, core, via);
}

static void apply_tunnel(struct sync *sync, const struct desired_interface *interface)
{
	struct tunnel *tunnel = table_find(&sync->tunnels, &interface->id);
	struct ip_address gateway =
		outer_address(interface->record.family, interface->record.remote);
	struct ip_address via;

	if (tunnel == NULL) {
		tunnel = calloc(1, sizeof(*tunnel));
		if (tunnel == NULL)
			abort();
		tunnel->id = interface->id;
		table_add(&sync->tunnels, tunnel);
	}
	const struct desired_interface *core = desired_underlay(sync->desired, &gateway, &via);
	uint32_t old_core = tunnel->core;
	struct ip_address old_via = tunnel->via;
	tunnel->core = core != NULL ? core->id : 0;
	tunnel->via = via;
	if (old_core != 0 && (old_core != tunnel->core || ip_address_compare(&old_via, &via) != 0))
		leave_neighbor(sync, old_core, &old_via);
	if (sync->ready)
		write_tunnel(sync, interface, tunnel);
}

static void remove_stale(void *ctx, void *entry)
{
	struct sync *sync = ctx;
	struct tunnel *tunnel = entry;

	if (desired_interface(sync->desired, tunnel->id) != NULL)
		return;
	table_remove(&sync->tunnels, tunnel);
	if (tunnel->group != NULL)
		group_put(&sync->hops, tunnel->group);
	if (tunnel->core != 0)
		leave_neighbor(sync, tunnel->core, &tunnel->via);
	free(tunnel);
}

static void expect_neighbor(void *ctx, void *entry)
{
	struct sync *sync = ctx;
	const struct tunnel *tunnel = entry;
	const struct realised *core = table_find(&sync->realised, &tunnel->core);

	if (tunnel->core == 0 || core == NULL || !core->interface)
		return;
	if (nexthops_expect(&sync->hops, tunnel->core, &tunnel->via))
		bridge_neighbor_set(sync->bridge, tunnel->core, &tunnel->via);
}

void underlay_neighbors(struct sync *sync)
{
	table_each(&sync->tunnels, expect_neighbor, sync);
}

void underlay_apply(struct sync *sync)
{
	for (unsigned int i = 0; i < sync->desired->interfaces.count; i++)
		if (sync->desired->interfaces.item[i].kind == INTERFACE_TUNNEL)
			apply_tunnel(sync, &sync->desired->interfaces.item[i]);
	table_each(&sync->tunnels, remove_stale, sync);
	underlay_neighbors(sync);
}

enum neighbor_state tunnel_state(const struct sync *sync, uint32_t interface)
{
	const struct tunnel *tunnel = table_find(&sync->tunnels, &interface);

	if (tunnel == NULL || tunnel->core == 0)
		return NEIGHBOR_FAILED;
	const struct desired_interface *core = desired_interface(sync->desired, tunnel->core);
	if (core == NULL)
		return NEIGHBOR_FAILED;
	const struct port_state *port =
		core->record.port < PORTS_MAX ? &sync->port[core->record.port] : NULL;
	if (port != NULL && port->known && !port->last.up)
		return NEIGHBOR_FAILED;
	const struct neighbor *neighbor =
		nexthops_neighbor_find(&sync->hops, tunnel->core, &tunnel->via);
	if (neighbor == NULL || neighbor->state == NEIGHBOR_UNKNOWN)
		return sync->settled ? NEIGHBOR_FAILED : NEIGHBOR_UNKNOWN;
	return neighbor->state;
}
