// SPDX-License-Identifier: BSD-3-Clause
// A bridge that touches no kernel: remembers what it was told, says what a test wants said.

#include "tests/unit/sync/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>

struct fake_bridge fake_bridge;

struct bridge {
	int unused;
};
static struct bridge the_bridge;

int bridge_create(
	struct bridge **bridge, const struct bridge_options *options, struct api_error *error)
{
	const unsigned int foreign = fake_bridge.foreign;

	memset(&fake_bridge, 0, sizeof(fake_bridge));
	fake_bridge.foreign = foreign; // what the kernel holds was there before
	fake_bridge.callbacks = options->callbacks;
	fake_bridge.exists = true;
	*bridge = &the_bridge;
	return 0;
}

void bridge_destroy(struct bridge *bridge)
{
	fake_bridge.exists = false;
}

int bridge_domain_set(
	struct bridge *bridge, const struct bridge_domain *domain, struct api_error *error)
{
	if (strcmp(fake_bridge.refuse_domain, domain->name) == 0)
		return api_fail(error, API_REFUSED, NULL, "no room for \"%s\"", domain->name);
	assert_true(domain->id < FAKE_OBJECTS);
	fake_bridge.domains += !fake_bridge.domain_there[domain->id];
	fake_bridge.domain_there[domain->id] = true;
	return 0;
}

void bridge_domain_delete(struct bridge *bridge, uint32_t id)
{
	fake_bridge.domains--;
	fake_bridge.domain_there[id] = false;
}

int bridge_interface_set(
	struct bridge *bridge, const struct bridge_interface *interface, struct api_error *error)
{
	assert_true(interface->id < FAKE_OBJECTS);
	assert_int_equal(interface->mac[0], 2); // never before the port is known
	if (!fake_bridge.domain_there[interface->domain])
		return -ENOENT;
	for (unsigned int i = 0; i < interface->addresses; i++)
		if (interface->address[i].address.family == 6 && fake_bridge.no_ipv6)
			return api_fail(error, API_REFUSED, NULL, "no IPv6 here");
	fake_bridge.interface_addresses[interface->id] = interface->addresses;
	fake_bridge.interface_sets++;
	if (fake_bridge.interface_name[interface->id][0] == '\0')
		fake_bridge.interfaces++;
	snprintf(fake_bridge.interface_name[interface->id], 16, "%s", interface->name);
	fake_bridge.interface_domain[interface->id] = interface->domain;
	fake_bridge.interface_address[interface->id] = interface->address[0].address;
	return 0;
}

void bridge_interface_delete(struct bridge *bridge, uint32_t id)
{
	fake_bridge.interface_deletes++;
	fake_bridge.interface_name[id][0] = '\0';
	fake_bridge.interfaces--;
}

int bridge_interface_queue(struct bridge *bridge, uint32_t id, int *fd, struct api_error *error)
{
	*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return *fd < 0 ? -errno : 0;
}

void bridge_interface_carrier(struct bridge *bridge, uint32_t id, bool up)
{
	fake_bridge.carriers++;
	fake_bridge.carrier[id] = up;
}

void bridge_interface_doubt(struct bridge *bridge, uint32_t id)
{
	fake_bridge.doubts++;
}

void bridge_interface_carried(struct bridge *bridge, uint32_t id, bool moved)
{
}

int bridge_neighbor_set(struct bridge *bridge, uint32_t interface, const struct ip_address *address)
{
	return fake_bridge.refuse_neighbor;
}

void bridge_neighbor_delete(
	struct bridge *bridge, uint32_t interface, const struct ip_address *address)
{
}

void bridge_neighbor_probe(
	struct bridge *bridge, uint32_t interface, const struct ip_address *address)
{
	fake_bridge.probes++;
}

int bridge_static_set(struct bridge *bridge, uint32_t domain, const struct bridge_static *routes,
	unsigned int count)
{
	return 0;
}

int bridge_domain_place(const struct bridge *bridge, uint32_t id, struct bridge_place *place)
{
	*place = (struct bridge_place){.netns = "fake", .netns_fd = -1, .kernel_table = 254};
	return 0;
}

int bridge_sweep(struct bridge *bridge, struct bridge_sweep *sweep, struct api_error *error)
{
	if (fake_bridge.too_many && !sweep->force)
		return api_fail(error, API_REFUSED, "culvertctl edge adopt", "too many to remove");
	fake_bridge.sweeps++;
	return 0;
}

// Of the foreign domains the first is the underlay, the second acme's private peering, the rest nobody's.
void bridge_preview(struct bridge *bridge, struct bridge_preview *preview)
{
	static const char *const name[] = {"underlay", "acme-01-private"};

	preview->domains_there = fake_bridge.foreign;
	preview->domains = 0;
	for (unsigned int i = 0; i < fake_bridge.foreign; i++)
		preview->domains +=
			!preview->wanted(preview->ctx, i < 2 ? name[i] : "nobody", NULL);
}

void bridge_owner_set(struct bridge *bridge, const uint8_t store[16], const char *edge)
{
}

void bridge_claims(struct bridge *bridge, struct bridge_claims *claims)
{
	*claims = (struct bridge_claims){
		.foreign = fake_bridge.foreign, .domains = fake_bridge.foreign, .edge = "other"};
}

void bridge_adopt(struct bridge *bridge)
{
	fake_bridge.foreign = 0;
}

void bridge_counters(const struct bridge *bridge, struct bridge_counters *counters)
{
	memset(counters, 0, sizeof(*counters));
}

void bridge_says_route(uint32_t domain, const char *prefix, const char *via, bool present)
{
	struct bridge_route route = {.protocol = 12, .metric = 32, .count = 1};

	assert_int_equal(ip_prefix_parse(prefix, &route.prefix), 0);
	assert_int_equal(ip_address_parse(via, &route.nexthop[0].via), 0);
	route.nexthop[0].weight = 1;
	fake_bridge.callbacks.route(fake_bridge.callbacks.ctx, domain, &route, present);
}

void bridge_says_neighbor(uint32_t interface, const char *text, bool usable)
{
	const uint8_t mac[6] = {2, 0, 0, 1, 0, (uint8_t)interface};
	struct ip_address address;

	assert_int_equal(ip_address_parse(text, &address), 0);
	fake_bridge.callbacks.neighbor(
		fake_bridge.callbacks.ctx, interface, &address, usable ? mac : NULL);
}
