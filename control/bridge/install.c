// SPDX-License-Identifier: BSD-3-Clause
// What we put into the kernel's routing tables, all under our own protocol number: static routes of the underlay; and,
// where all domains share a namespace, the rules that keep them apart.
//
// Rules of a shared namespace, IPv4: a packet that comes in on a domain's device is looked up in that domain's
// table and nowhere else, so only the domain's own addresses are local to it; what leaves with a domain's
// address is looked up there too. That asks for the kernel's "local" rule to stand behind ours. IPv6 neighbor
// discovery needs the shared local table, so there only the second half is done; the data plane delivers a
// domain's packets to its own addresses only, in both families.

#include "control/bridge/state.h"

#include "control/bridge/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

enum { RULE_IN = 100, RULE_IN_END = 200, RULE_FROM = 300 };

static struct kernel_route static_of(const struct domain *domain, const struct bridge_static *entry)
{
	return (struct kernel_route){
		.table = domain->table,
		.protocol = domain->space->bridge->local_protocol,
		.prefix = &entry->prefix,
		.via = &entry->via,
	};
}

void install_statics(struct domain *domain)
{
	for (unsigned int i = 0; i < domain->static_count; i++) {
		struct kernel_route route = static_of(domain, &domain->statics[i].route);
		if (!domain->statics[i].installed)
			domain->statics[i].installed =
				kernel_route_set(&domain->space->command, &route) == 0;
	}
}

void install_forget(struct space *space, uint32_t ifindex)
{
	struct domain *domain;

	// Setting one again that is still there costs a message, so nothing finer is remembered.
	TAILQ_FOREACH (domain, &space->domains, entry)
		for (unsigned int i = 0; i < domain->static_count; i++)
			domain->statics[i].installed = false;
}

static bool static_in(
	const struct bridge_static *entry, const struct bridge_static *list, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (ip_prefix_compare(&entry->prefix, &list[i].prefix) == 0)
			return true; // a new gateway replaces
	return false;
}

int bridge_static_set(
	struct bridge *bridge, uint32_t id, const struct bridge_static *routes, unsigned int count)
{
	struct domain *domain = idmap_get(&bridge->domains, id);

	if (domain == NULL)
		return -ENOENT;
	struct static_route *copy = calloc(count ? count : 1, sizeof(*copy));
	if (copy == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++)
		copy[i].route = routes[i];
	for (unsigned int i = 0; i < domain->static_count; i++) {
		struct kernel_route route = static_of(domain, &domain->statics[i].route);
		if (!static_in(&domain->statics[i].route, routes, count))
			kernel_route_delete(&domain->space->command, &route);
	}
	free(domain->statics);
	domain->statics = copy;
	domain->static_count = count;
	install_statics(domain);
	return 0;
}

// ---- a shared namespace's rules

static int address_rules(
	struct host_interface *interface, const struct bridge_interface_address *address, bool add)
{
	struct domain *domain = interface->domain;
	struct netlink *command = &domain->space->command;
	struct kernel_rule from = {.priority = RULE_FROM,
		.table = domain->table,
		.from = &address->address,
		.family = address->address.family,
		.action = FR_ACT_TO_TBL,
		.protocol = domain->space->bridge->local_protocol};
	struct ip_prefix host = {address->address, ip_bits(address->address.family)};
	struct ip_prefix subnet = ip_prefix_of(&address->address, address->len);
	struct kernel_route local = {.table = domain->table,
		.protocol = from.protocol,
		.type = RTN_LOCAL,
		.scope = RT_SCOPE_HOST,
		.index = (int)interface->ifindex,
		.prefix = &host};
	struct kernel_route connected = {.table = domain->table,
		.protocol = from.protocol,
		.type = RTN_UNICAST,
		.scope = RT_SCOPE_LINK,
		.index = (int)interface->ifindex,
		.prefix = &subnet};

	if (!add) {
		if (interface->ifindex) {
			kernel_route_delete(command, &local);
			kernel_route_delete(command, &connected);
		}
		return kernel_rule_delete(command, &from);
	}
	int err = kernel_rule_set(command, &from);
	if (err == 0 && address->address.family == 4)
		err = kernel_route_set(command, &local);
	if (err == 0)
		err = kernel_route_set(command, &connected);
	return err;
}

static void input_rules(const struct host_interface *interface, struct kernel_rule rule[2])
{
	uint8_t protocol = interface->domain->space->bridge->local_protocol;

	rule[0] = (struct kernel_rule){.priority = RULE_IN,
		.table = interface->domain->table,
		.iif = interface->name,
		.family = 4,
		.action = FR_ACT_TO_TBL,
		.protocol = protocol};
	rule[1] = (struct kernel_rule){.priority = RULE_IN_END,
		.iif = interface->name,
		.family = 4,
		.action = FR_ACT_BLACKHOLE,
		.protocol = protocol};
}

int install_rules(struct host_interface *interface)
{
	struct netlink *command = &interface->domain->space->command;
	struct kernel_rule rule[2];
	int err = 0;

	if (!interface->domain->space->shared)
		return 0;
	input_rules(interface, rule);
	for (unsigned int i = 0; err == 0 && i < interface->declared.addresses; i++)
		err = address_rules(interface, &interface->declared.address[i], true);
	for (unsigned int i = 0; err == 0 && i < 2; i++)
		err = kernel_rule_set(command, &rule[i]);
	return err;
}

void remove_rules(struct host_interface *interface)
{
	struct netlink *command = &interface->domain->space->command;
	struct kernel_rule rule[2];

	if (!interface->domain->space->shared)
		return;
	input_rules(interface, rule);
	for (unsigned int i = 0; i < interface->declared.addresses; i++)
		address_rules(interface, &interface->declared.address[i], false);
	kernel_rule_delete(command, &rule[0]);
	kernel_rule_delete(command, &rule[1]);
}

void install_remove_all(struct domain *domain)
{
	bridge_static_set(domain->space->bridge, domain->id, NULL, 0);
}
