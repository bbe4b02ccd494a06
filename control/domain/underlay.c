// SPDX-License-Identifier: BSD-3-Clause
// Which way a tunnel's outer packets leave: gateway -> static underlay route or core subnet -> core neighbor. Workers
// do not recurse; the answer is a next-hop group that the tunnel's interface names, shared by all tunnels that leave the same
// way. The neighbor coming and going changes its record and the group's path, not the tunnel; only another way (a changed
// static route) changes the tunnel's record.
//
// Whether a tunnel can be used is looked at again for all of them, in slices, when a core port or neighbor came or went;
// where the answer is another than before, what it leads to is announced again.

#include "control/domain/state.h"

#include <stdlib.h>
#include <string.h>

const struct intent_interface *underlay_way(
	const struct domains *domains, const struct ip_address *address, struct ip_address *via)
{
	const struct domain *underlay = domain_find(domains, INTENT_UNDERLAY_ID);
	const struct intent_interface *best = NULL;
	int len = -1;

	*via = *address;
	for (unsigned int i = 0; i < domains->cores.count; i++) {
		const struct intent_interface *core = domains->cores.item[i];
		const struct intent_address *own = &core->address[ip_index(address->family)];
		if (own->local.family == 0)
			continue;
		const struct ip_prefix subnet = ip_prefix_of(&own->local, own->len);
		if (ip_prefix_contains_address(&subnet, address) && own->len > len) {
			best = core;
			len = own->len;
		}
	}
	if (underlay == NULL || underlay->wanted == NULL)
		return best;
	for (unsigned int i = 0; i < underlay->wanted->routes.count; i++) {
		const struct intent_route *route = &underlay->wanted->routes.item[i];
		struct ip_address ignored;
		if (!ip_prefix_contains_address(&route->prefix, address) ||
			route->prefix.len <= len)
			continue;
		const struct domains direct = {.domains = {.count = 0}, .cores = domains->cores};
		const struct intent_interface *core = underlay_way(&direct, &route->via, &ignored);
		if (core == NULL)
			continue;
		best = core;
		len = route->prefix.len;
		*via = route->via;
	}
	return best;
}

// The ledger's record of the tunnel, with the group filled in.
static void write_tunnel(struct domains *domains, struct tunnel *tunnel)
{
	struct wire_interface record = interface_record(tunnel->wanted);
	struct group *old = tunnel->group, *new = NULL;

	if (tunnel->core != 0)
		new = group_get(&domains->sync.hops,
			&(struct hop){.interface = tunnel->core, .via = &tunnel->via, .weight = 1},
			1);
	record.underlay = new != NULL ? new->id : 0;
	record_want(&domains->sync.records, WIRE_INTERFACE_SET, RANK_TUNNEL, &record);
	tunnel->group = new;
	group_put(&domains->sync.hops, old);
}

static struct gateway_key gateway_key(uint32_t core, const struct ip_address *via)
{
	return (struct gateway_key){.core = core, .via = *via};
}

static void join_gateway(struct domains *domains, uint32_t core, const struct ip_address *via)
{
	const struct gateway_key key = gateway_key(core, via);
	struct gateway *gateway = table_find(&domains->sync.gateways, &key);

	if (core == 0)
		return;
	if (gateway == NULL) {
		gateway = calloc(1, sizeof(*gateway));
		if (gateway == NULL)
			abort();
		gateway->key = key;
		table_add(&domains->sync.gateways, gateway);
	}
	gateway->tunnels++;
}

// A tunnel goes another way now; the kernel need not resolve what nobody uses.
static void leave_gateway(struct domains *domains, uint32_t core, const struct ip_address *via)
{
	const struct gateway_key key = gateway_key(core, via);
	struct gateway *gateway = table_find(&domains->sync.gateways, &key);

	if (core == 0 || --gateway->tunnels > 0)
		return;
	table_remove(&domains->sync.gateways, gateway);
	free(gateway);
	bridge_neighbor_delete(domains->sync.bridge, core, via);
	nexthops_forget(&domains->sync.hops, core, via);
}

static void expect_neighbor(struct domains *domains, const struct tunnel *tunnel)
{
	const struct realised *core = table_find(&domains->sync.realised, &tunnel->core);

	if (tunnel->core == 0 || core == NULL || !core->interface)
		return;
	if (nexthops_expect(&domains->sync.hops, tunnel->core, &tunnel->via))
		bridge_neighbor_set(domains->sync.bridge, tunnel->core, &tunnel->via);
}

static void find_way(struct domains *domains, struct tunnel *tunnel)
{
	struct ip_address via;
	const struct intent_interface *core =
		underlay_way(domains, &tunnel->wanted->tunnel.remote, &via);
	uint32_t old_core = tunnel->core;
	struct ip_address old_via = tunnel->via;

	tunnel->core = core != NULL ? core->id : 0;
	tunnel->via = via;
	join_gateway(domains, tunnel->core, &tunnel->via);
	leave_gateway(domains, old_core, &old_via);
	if (domains->sync.ready)
		write_tunnel(domains, tunnel);
	expect_neighbor(domains, tunnel);
}

static enum neighbor_state state_of(enum tunnel_fault fault)
{
	return fault == TUNNEL_WELL      ? NEIGHBOR_USABLE
	       : fault == TUNNEL_UNHEARD ? NEIGHBOR_UNKNOWN
					 : NEIGHBOR_FAILED;
}

static void look_at_state(struct domains *domains, struct tunnel *tunnel)
{
	struct domain *domain = domain_find(domains, tunnel->wanted->domain);
	enum tunnel_fault fault = tunnel_fault(&domains->sync, tunnel);
	enum neighbor_state state = state_of(fault);
	bool known = tunnel->was_announced, same = known && state == tunnel->announced;

	tunnel->fault = fault;
	tunnel->announced = state;
	tunnel->was_announced = true;
	if (!same || fault != TUNNEL_WELL)
		health_tunnel(domains, tunnel); // what it says costs nothing when it is the same
	if (!same && domain != NULL)
		announce_joined(domain);
}

void tunnel_set(struct domains *domains, const struct intent_interface *wanted,
	const struct fragment *fragment)
{
	struct tunnel *tunnel = table_find(&domains->sync.tunnels, &wanted->id);

	if (tunnel == NULL) {
		tunnel = calloc(1, sizeof(*tunnel));
		if (tunnel == NULL)
			abort();
		tunnel->id = wanted->id;
		table_add(&domains->sync.tunnels, tunnel);
	}
	const struct fragment *held = tunnel->fragment;
	tunnel->wanted = wanted;
	tunnel->fragment = fragment_ref(fragment);
	fragment_unref(held);
	find_way(domains, tunnel);
	look_at_state(domains, tunnel);
}

void tunnel_unset(struct domains *domains, uint32_t id)
{
	struct tunnel *tunnel = table_find(&domains->sync.tunnels, &id);

	if (tunnel == NULL)
		return;
	table_remove(&domains->sync.tunnels, tunnel);
	health_tunnel_gone(domains, tunnel->wanted);
	if (tunnel->group != NULL)
		group_put(&domains->sync.hops, tunnel->group);
	leave_gateway(domains, tunnel->core, &tunnel->via);
	fragment_unref(tunnel->fragment);
	free(tunnel);
}

struct looking {
	struct domains *domains;
	bool ways; // else states only
};

static void look(void *ctx, void *entry)
{
	struct looking *looking = ctx;
	struct tunnel *tunnel = entry;

	if (looking->ways)
		find_way(looking->domains, tunnel);
	else
		expect_neighbor(looking->domains, tunnel);
	look_at_state(looking->domains, tunnel);
}

bool tunnels_step(struct domains *domains, struct job *job)
{
	struct looking looking = {domains, job->kind == JOB_WAYS};
	return !table_slice(&domains->sync.tunnels, &job->slot, 64, look, &looking);
}

const struct intent_route *underlay_route(
	const struct domains *domains, const struct ip_address *address)
{
	const struct domain *underlay = domain_find(domains, INTENT_UNDERLAY_ID);
	const struct intent_route *best = NULL;

	for (unsigned int i = 0;
		underlay != NULL && underlay->wanted != NULL && i < underlay->wanted->routes.count;
		i++) {
		const struct intent_route *route = &underlay->wanted->routes.item[i];
		if (ip_prefix_contains_address(&route->prefix, address) &&
			(best == NULL || route->prefix.len > best->prefix.len))
			best = route;
	}
	return best;
}

enum tunnel_fault tunnel_fault(const struct sync *sync, const struct tunnel *tunnel)
{
	if (tunnel->core == 0) // no way, or none yet
		return !sync->settled ? TUNNEL_UNHEARD
		       : underlay_route(sync->domains, &tunnel->wanted->tunnel.remote) != NULL
			       ? TUNNEL_STRAY_ROUTE
			       : TUNNEL_NO_ROUTE;
	const struct realised *core = table_find(&sync->realised, &tunnel->core);
	if (core == NULL)
		return TUNNEL_CORE_UNMADE;
	const struct port_state *port = &sync->port[core->wanted->port];
	if (port->known && !port->last.up)
		return TUNNEL_CORE_DOWN;
	const struct neighbor *neighbor =
		nexthops_neighbor_find(&sync->hops, tunnel->core, &tunnel->via);
	if (neighbor != NULL && neighbor->state == NEIGHBOR_USABLE)
		return TUNNEL_WELL;
	if (!sync->settled && (neighbor == NULL || neighbor->state == NEIGHBOR_UNKNOWN))
		return TUNNEL_UNHEARD;
	return core->interface && core->error[0] == '\0' ? TUNNEL_SILENT : TUNNEL_CORE_UNMADE;
}

enum neighbor_state tunnel_state(const struct sync *sync, uint32_t interface)
{
	const struct tunnel *tunnel = table_find(&sync->tunnels, &interface);

	return tunnel == NULL ? NEIGHBOR_FAILED : state_of(tunnel_fault(sync, tunnel));
}
