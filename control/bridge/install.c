// SPDX-License-Identifier: BSD-3-Clause
// What we put into the kernel's routing tables, all under our own protocol number and kept there by held.c: static routes
// of the underlay, and, where all domains share a namespace, the rules that keep them apart.
//
// Rules of a shared namespace, IPv4: a packet that comes in for an address of ours is looked up in its domain's table, and
// only if it came in on that domain's device; any other that comes in is dropped. What leaves with a domain's address is
// looked up there too. That asks for the kernel's "local" rule to stand behind ours. IPv6 neighbor discovery needs the
// shared local table, so there only the second half is done; the data plane delivers a domain's packets to its own
// addresses only, in both families.
//
// The kernel walks rules one by one, for every packet of the host. So ours are a tree made of "goto" rules: a rule names a
// range of addresses and sends the walk to that range's group, whose last rule sends it on. Groups lie at a priority
// that is a hash of the range (the kernel's main table stands at 32766, so there is no room for the address itself);
// two ranges in one place only lengthen that place. 10,000 domains are a walk of some 200 rules instead of 20,000.

#include "control/bridge/state.h"

#include "control/bridge/held.h"
#include "control/bridge/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

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
	struct host_domain *domain = idmap_get(&bridge->domains, id);

	if (domain == NULL)
		return -ENOENT;
	struct bridge_static *copy = calloc(count ? count : 1, sizeof(*copy));
	if (copy == NULL)
		return -ENOMEM;
	if (count)
		memcpy(copy, routes, count * sizeof(*copy));
	for (unsigned int i = 0; i < domain->static_count; i++)
		if (!static_in(&domain->statics[i], routes, count))
			held_route_drop(domain->space, domain->table, &domain->statics[i].prefix);
	free(domain->statics);
	domain->statics = copy;
	domain->static_count = count;
	for (unsigned int i = 0; i < count; i++) {
		const struct kernel_route route = {
			.table = domain->table,
			.protocol = domain->space->bridge->local_protocol,
			.prefix = &copy[i].prefix,
			.via = &copy[i].via,
		};
		held_route(domain->space,
			&route); // later, when there is no way to the gateway yet
	}
	return 0;
}

// ---- a shared namespace's rules

// Priorities, in the order of the walk. Between the marks lie two for each place of a level.
enum {
	IN_TOP = 100,
	IN_MIDDLE = 1000,
	IN_LEAF = 5100,
	IN_END = 9200, // what came in and was not for the device's domain
	OUT_TOP = 9300,
	OUT_MIDDLE = 9400,
	OUT_LEAF = 13500,
	OUT_END = 17600, // the kernel's local table
	PLACES = 2048,
};

static uint32_t place_of(const struct ip_prefix *range)
{
	uint64_t hash = 14695981039346656037u;

	for (unsigned int i = 0; i < ip_length(range->address.family); i++)
		hash = (hash ^ range->address.bytes[i]) * 1099511628211u;
	return (uint32_t)((hash ^ hash >> 32) % PLACES);
}

static void change(struct space *space, const struct kernel_rule *rule, bool hold, int *err)
{
	if (!hold) {
		held_rule_drop(space, rule);
		return;
	}
	int failed = held_rule(space, rule);
	*err = *err ? *err : failed;
}

// The rule at `leaf`, and the ways to it: top -> middle -> leaf, each by a range that holds the address. Made from the end,
// taken away from the beginning, so that no walk meets a way that leads nowhere.
static int tree_change(struct space *space, const struct kernel_rule *rule,
	const struct ip_address *address, bool input, bool hold)
{
	bool v6 = address->family == 6;
	struct ip_prefix middle = ip_prefix_of(address, v6 ? 64 : 16);
	struct ip_prefix leaf = ip_prefix_of(address, v6 ? 112 : 24);
	uint32_t middle_at = (input ? IN_MIDDLE : OUT_MIDDLE) + 2 * place_of(&middle);
	uint32_t leaf_at = (input ? IN_LEAF : OUT_LEAF) + 2 * place_of(&leaf);
	struct kernel_rule step[5] = {*rule};
	int err = 0;

	step[0].priority = leaf_at;
	for (unsigned int i = 1; i < 5; i++)
		step[i] = (struct kernel_rule){.family = address->family,
			.action = FR_ACT_GOTO,
			.protocol = rule->protocol};
	step[1].priority = leaf_at + 1;
	step[2].priority = middle_at + 1;
	step[1].target = step[2].target = input ? IN_END : OUT_END;
	step[3].priority = middle_at;
	step[3].target = leaf_at;
	step[4].priority = input ? IN_TOP : OUT_TOP;
	step[4].target = middle_at;
	*(input ? &step[3].to : &step[3].from) = leaf;
	*(input ? &step[4].to : &step[4].from) = middle;
	for (unsigned int i = 0; i < 5; i++)
		change(space, &step[hold ? i : 4 - i], hold, &err);
	return err;
}

static int plain_rule(struct space *space, uint8_t family, uint32_t priority, uint32_t table)
{
	const struct kernel_rule rule = {.priority = priority,
		.table = table,
		.family = family,
		.action = FR_ACT_TO_TBL,
		.protocol = priority == OUT_END ? space->bridge->local_protocol : RTPROT_KERNEL};

	return held_rule(space, &rule);
}

// What stands in a namespace before there is any domain: the kernel's own rules, and where it is shared, that nothing which
// comes in passes the tree, and that the kernel's own addresses come behind it.
int install_first(struct space *space)
{
	int err = plain_rule(space, 6, 0, RT_TABLE_LOCAL);

	err = err ? err : plain_rule(space, 4, 32766, RT_TABLE_MAIN);
	err = err ? err : plain_rule(space, 6, 32766, RT_TABLE_MAIN);
	err = err ? err : plain_rule(space, 4, 32767, RT_TABLE_DEFAULT);
	if (!space->shared)
		return err ? err : plain_rule(space, 4, 0, RT_TABLE_LOCAL);
	err = err ? err : plain_rule(space, 4, OUT_END, RT_TABLE_LOCAL);
	err = err ? err : plain_rule(space, 6, OUT_END, RT_TABLE_LOCAL);
	const struct kernel_rule rule = {.priority = IN_END,
		.iif = "lo",
		.invert = true,
		.family = 4,
		.action = FR_ACT_BLACKHOLE,
		.protocol = space->bridge->local_protocol};
	return err ? err : held_rule(space, &rule);
}

static void domain_routes(const struct host_interface *interface,
	const struct bridge_interface_address *address, struct ip_prefix prefix[2],
	struct kernel_route route[2])
{
	const struct host_domain *domain = interface->domain;

	prefix[0] = (struct ip_prefix){address->address, ip_bits(address->address.family)};
	prefix[1] = ip_prefix_of(&address->address, address->len);
	for (unsigned int i = 0; i < 2; i++)
		route[i] = (struct kernel_route){.table = domain->table,
			.protocol = domain->space->bridge->local_protocol,
			.index = (int)interface->ifindex,
			.prefix = &prefix[i],
			.type = i == 0 ? RTN_LOCAL : RTN_UNICAST,
			.scope = i == 0 ? RT_SCOPE_HOST : RT_SCOPE_LINK};
}

// Anew with each device: they name it.
static int address_routes(
	struct host_interface *interface, const struct bridge_interface_address *address)
{
	struct space *space = interface->domain->space;
	struct kernel_route route[2];
	struct ip_prefix prefix[2];
	int err = 0;

	domain_routes(interface, address, prefix, route);
	if (address->address.family == 4)
		err = held_route(space, &route[0]);
	if (err == 0 && prefix[1].len < prefix[0].len)
		err = held_route(space, &route[1]);
	return err;
}

static int address_rules(
	struct host_interface *interface, const struct bridge_interface_address *address, bool hold)
{
	struct host_domain *domain = interface->domain;
	struct space *space = domain->space;
	bool v4 = address->address.family == 4;
	struct kernel_route route[2];
	struct ip_prefix prefix[2];

	domain_routes(interface, address, prefix, route);
	struct kernel_rule out = {.table = domain->table,
		.from = prefix[0],
		.family = address->address.family,
		.action = FR_ACT_TO_TBL,
		.protocol = space->bridge->local_protocol};
	struct kernel_rule in = out;
	in.from = (struct ip_prefix){0};
	in.to = prefix[0];
	in.iif = interface->name;
	if (!hold) {
		tree_change(space, &out, &address->address, false, false);
		if (v4)
			tree_change(space, &in, &address->address, true, false);
		held_route_drop(space, domain->table, &prefix[0]);
		held_route_drop(space, domain->table, &prefix[1]);
		return 0;
	}
	int err = tree_change(space, &out, &address->address, false, true);
	if (err == 0 && v4)
		err = tree_change(space, &in, &address->address, true, true);
	return err ? err : address_routes(interface, address);
}

int install_rules(struct host_interface *interface)
{
	int err = 0;

	if (!interface->domain->space->shared)
		return 0;
	for (unsigned int i = 0; err == 0 && i < interface->declared.addresses; i++) {
		const struct bridge_interface_address *address = &interface->declared.address[i];
		err = interface->ruled & 1u << i ? address_routes(interface, address)
						 : address_rules(interface, address, true);
		interface->ruled |= (uint8_t)(1u << i);
	}
	return err;
}

void install_lost(struct host_interface *interface)
{
	struct space *space = interface->domain->space;

	for (unsigned int i = 0; i < interface->declared.addresses; i++) {
		struct kernel_route route[2];
		struct ip_prefix prefix[2];
		if (!(interface->ruled & 1u << i))
			continue;
		domain_routes(interface, &interface->declared.address[i], prefix, route);
		for (unsigned int j = 0; j < 2; j++)
			held_route_lost(space, interface->domain->table, &prefix[j]);
	}
}

void remove_rules(struct host_interface *interface)
{
	for (unsigned int i = 0; i < interface->declared.addresses; i++)
		if (interface->ruled & 1u << i)
			address_rules(interface, &interface->declared.address[i], false);
	interface->ruled = 0;
}

void readdress_rules(struct host_interface *interface, const struct bridge_interface *wanted)
{
	const struct bridge_interface *declared = &interface->declared;
	uint8_t ruled = 0;

	for (unsigned int i = 0; i < declared->addresses; i++) {
		const struct bridge_interface_address *mine = &declared->address[i];
		unsigned int same = 0;
		if (!(interface->ruled & 1u << i))
			continue;
		while (same < wanted->addresses &&
			(wanted->address[same].len != mine->len ||
				ip_address_compare(
					&wanted->address[same].address, &mine->address) != 0))
			same++;
		if (same < wanted->addresses)
			ruled |= (uint8_t)(1u << same);
		else
			address_rules(interface, mine, false);
	}
	interface->ruled = ruled;
}

void install_remove_all(struct host_domain *domain)
{
	bridge_static_set(domain->space->bridge, domain->id, NULL, 0);
}
