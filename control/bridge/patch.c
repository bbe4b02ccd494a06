// SPDX-License-Identifier: BSD-3-Clause
// A pair of veth devices between the namespaces of two domains, for what their routing daemons tell each other. One that is
// deleted or set down is made again; an end that lies there already is taken over if the other end is the right one.

#include "control/bridge/patch.h"

#include "control/bridge/kernel.h"
#include "control/bridge/mirror.h"
#include "control/bridge/netns.h"
#include "control/bridge/repair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKS_A_SECOND = 20 }; // without any reason

#define NAME "patch"

struct patch_end {
	struct host_domain *domain;
	char name[16];
	uint32_t ifindex; // 0 = there is none
};

struct patch {
	LIST_ENTRY(patch) entry;
	struct patch_end end[2];
	uint32_t looked; // round that looked at it last
};

static struct patch *find(const struct bridge *bridge, uint32_t a, uint32_t b)
{
	struct patch *patch;

	LIST_FOREACH (patch, &bridge->patches, entry)
		if (patch->end[0].domain->id == a && patch->end[1].domain->id == b)
			return patch;
	return NULL;
}

static struct netlink *command_of(const struct patch *patch, unsigned int i)
{
	return &patch->end[i].domain->space->command;
}

// IPv6 with the one address that it is given, and no way through.
static int settings(const struct patch_end *end)
{
	static const char *const wanted[][2] = {{"ipv6/conf/%s/disable_ipv6", "0"},
		{"ipv6/conf/%s/addr_gen_mode", "1"}, {"ipv6/conf/%s/forwarding", "0"},
		{"ipv4/conf/%s/forwarding", "0"}};
	char path[96];
	int back, err = netns_enter(end->domain->space->fd, &back);

	if (err != 0)
		return err;
	for (unsigned int i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		snprintf(path, sizeof(path), wanted[i][0], end->name);
		netns_keep(path, wanted[i][1]);
	}
	netns_leave(back);
	return 0;
}

static int configure(struct patch *patch, unsigned int i, const struct kernel_link *link)
{
	struct patch_end *end = &patch->end[i];
	struct bridge_interface_address address = {.len = 64};

	address.address = (struct ip_address){.family = 6};
	address.address.bytes[0] = 0xfe;
	address.address.bytes[1] = 0x80;
	address.address.bytes[15] = (uint8_t)(i + 1);
	end->ifindex = (uint32_t)link->index;
	int err = settings(end);
	if (err == 0)
		err = kernel_addresses_add(command_of(patch, i), link->index, &address, 1);
	if (err == 0 && !link->up)
		err = kernel_link_set(command_of(patch, i), link->index, NULL, 0);
	return err;
}

// Takes over what is there, or makes it. 0 or -errno; *how says what was not as it should be.
static int put_right(struct patch *patch, const char **how)
{
	struct kernel_link link[2];
	int err = 0;

	for (unsigned int i = 0; i < 2; i++)
		kernel_link_get(command_of(patch, i), patch->end[i].name, &link[i]);
	*how = NULL;
	if (link[0].peer != link[1].index || link[1].peer != link[0].index || link[0].index == 0) {
		*how = "deleted";
		for (unsigned int i = 0; i < 2; i++)
			if (link[i].veth)
				kernel_link_delete(command_of(patch, i), link[i].index);
		err = kernel_patch_add(command_of(patch, 0), patch->end[0].name, patch->end[1].name,
			patch->end[1].domain->space->fd);
		for (unsigned int i = 0; err == 0 && i < 2; i++)
			err = kernel_link_get(
				command_of(patch, i), patch->end[i].name, &link[i]);
	} else if (!link[0].up || !link[1].up) {
		*how = "set down";
	}
	for (unsigned int i = 0; err == 0 && i < 2; i++)
		err = configure(patch, i, &link[i]);
	return err;
}

static void free_patch(struct patch *patch)
{
	LIST_REMOVE(patch, entry);
	free(patch);
}

int bridge_patch_set(struct bridge *bridge, uint32_t a, uint32_t b, struct bridge_patch *names,
	struct api_error *error)
{
	struct host_domain *domain[2] = {
		idmap_get(&bridge->domains, a), idmap_get(&bridge->domains, b)};
	struct patch *patch = find(bridge, a, b);
	const char *how;

	if (domain[0] == NULL || domain[1] == NULL || domain[0]->space == domain[1]->space)
		return api_fail(error, API_NOT_FOUND, NULL,
			"a patch between domains %u and %u: they are not two namespaces", a, b);
	if (patch == NULL && find(bridge, b, a) != NULL)
		return api_fail(error, API_CONFLICT, NULL,
			"a patch between domains \"%s\" and \"%s\" is there, the other way round",
			domain[0]->name, domain[1]->name);
	if (patch == NULL) {
		patch = calloc(1, sizeof(*patch));
		if (patch == NULL)
			return api_fail(error, API_INTERNAL, NULL, "no memory for a patch");
		for (unsigned int i = 0; i < 2; i++) {
			patch->end[i].domain = domain[i];
			snprintf(patch->end[i].name, sizeof(patch->end[i].name), NAME "%u",
				domain[1 - i]->id);
		}
		LIST_INSERT_HEAD(&bridge->patches, patch, entry);
	}
	memcpy(names->a, patch->end[0].name, sizeof(names->a));
	memcpy(names->b, patch->end[1].name, sizeof(names->b));
	int err = put_right(patch, &how);
	if (err == 0)
		return 0;
	free_patch(patch);
	return api_fail(error, API_REFUSED, NULL,
		"a patch between domains \"%s\" and \"%s\" cannot be made: %s", domain[0]->name,
		domain[1]->name, strerror(-err));
}

static void delete_patch(struct patch *patch)
{
	if (patch->end[0].ifindex != 0) // the other end goes with it
		kernel_link_delete(command_of(patch, 0), (int)patch->end[0].ifindex);
	free_patch(patch);
}

void bridge_patch_delete(struct bridge *bridge, uint32_t a, uint32_t b)
{
	struct patch *patch = find(bridge, a, b);

	if (patch != NULL)
		delete_patch(patch);
}

void patches_delete(const struct host_domain *domain)
{
	struct patch *patch, *next;

	LIST_FOREACH_SAFE(patch, &domain->space->bridge->patches, entry, next)
		if (patch->end[0].domain == domain || patch->end[1].domain == domain)
			delete_patch(patch);
}

void patches_free(struct bridge *bridge)
{
	struct patch *patch;

	while ((patch = LIST_FIRST(&bridge->patches)) != NULL)
		free_patch(patch);
}

bool patch_named(const struct kernel_link *link)
{
	return link->veth && strncmp(link->name, NAME, strlen(NAME)) == 0;
}

bool patch_has(const struct space *space, uint32_t ifindex)
{
	const struct patch *patch;

	LIST_FOREACH (patch, &space->bridge->patches, entry)
		for (unsigned int i = 0; i < 2; i++)
			if (patch->end[i].domain->space == space && patch->end[i].ifindex == ifindex)
				return true;
	return false;
}

static bool runs(const struct patch_end *end)
{
	const struct host_link *link = idmap_get(&end->domain->space->links, end->ifindex);

	return link != NULL && link->running;
}

void patches_round(struct bridge *bridge)
{
	unsigned int left = LOOKS_A_SECOND;
	struct patch *patch;
	const char *how;

	LIST_FOREACH (patch, &bridge->patches, entry) {
		bool due = left > 0 && patch->looked != bridge->patch_round;
		if (!due && runs(&patch->end[0]) && runs(&patch->end[1]))
			continue;
		left -= due;
		patch->looked = bridge->patch_round;
		if (put_right(patch, &how) == 0 && how != NULL)
			repair_done(patch->end[0].domain->space, "patch", patch->end[0].name, how);
	}
	if (left > 0) // all have had their turn
		bridge->patch_round++;
}
