// SPDX-License-Identifier: BSD-3-Clause
// Namespaces and domains. In mode netns each domain has a namespace of its own, PREFIX-NAME, and uses its main
// table; in mode table all share PREFIX-domains and a domain's kernel table is a number made from its id. The
// underlay always has a namespace of its own: its addresses are ours, not customers'.

#include "control/bridge/space.h"

#include "control/bridge/guard.h"
#include "control/bridge/kernel.h"
#include "control/bridge/mirror.h"
#include "control/bridge/netns.h"
#include "control/bridge/patch.h"
#include "control/bridge/presence.h"
#include "control/bridge/repair.h"
#include "control/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

enum { TABLE_BASE = 10000 };

bool space_local_rule(struct space *space)
{
	const struct kernel_rule first = {
		.priority = 0, .table = RT_TABLE_LOCAL, .family = 4, .action = FR_ACT_TO_TBL};

	return kernel_rule_delete(&space->command, &first) == 0;
}

// The part of opening a namespace that happens inside it.
static int prepare(struct space *space)
{
	struct kernel_link lo;
	int back;
	int err = netns_enter(space->fd, &back);

	if (err)
		return err;
	netns_harden(space->shared, NULL);
	err = netlink_open(&space->command, 0);
	space->packets = presence_open();
	netns_leave(back);
	if (space->packets < 0)
		log_warning("bridge", "addresses cannot be announced",
			log_text("netns", space->name),
			log_text("error", strerror(-space->packets)));
	if (err == 0 && kernel_link_get(&space->command, "lo", &lo) == 0 && !lo.up)
		err = kernel_link_set(&space->command, lo.index, NULL, 0);
	if (err == 0)
		err = install_first(space);
	if (err == 0 && space->shared)
		space_local_rule(space); // ours stand before it
	return err;
}

struct space *space_open(
	struct bridge *bridge, const char *name, bool shared, struct api_error *error)
{
	struct space *space;
	bool made = false;

	LIST_FOREACH (space, &bridge->spaces, entry)
		if (!space->lost && strcmp(space->name, name) == 0)
			return space;
	space = calloc(1, sizeof(*space));
	if (space == NULL)
		return NULL;
	space->bridge = bridge;
	space->fd = space->command.fd = space->packets = -1;
	space->shared = shared;
	space->name = strdup(name);
	TAILQ_INIT(&space->domains);
	held_init(&space->held);
	int err = space->name ? netns_open(name, &space->fd, &made) : -ENOMEM;
	LIST_INSERT_HEAD(&bridge->spaces, space, entry);
	if (err == 0 && guard_space(space, made, error)) {
		space_close(space);
		return NULL;
	}
	if (err == 0 && !space->mark_old)
		guard_write(space);
	if (err == 0)
		err = prepare(space);
	if (err == 0)
		err = mirror_create(space);
	if (err == 0)
		return space;
	api_fail(error, API_REFUSED,
		err == -EPERM ? "run culvertd as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN"
			      : NULL,
		"network namespace \"%s\" cannot be prepared: %s", name, strerror(-err));
	if (made)
		space_remove(space);
	else
		space_close(space);
	return NULL;
}

const struct space *space_named(const struct bridge *bridge, const char *name)
{
	const struct space *space;

	LIST_FOREACH (space, &bridge->spaces, entry)
		if (!space->lost && strcmp(space->name, name) == 0)
			return space;
	return NULL;
}

void space_close(struct space *space)
{
	repair_forget_space(space);
	sweep_forget_space(space);
	mirror_destroy(space);
	held_free(&space->held);
	netlink_close(&space->command);
	idmap_free(&space->tables);
	if (space->packets >= 0)
		close(space->packets);
	if (space->fd >= 0)
		close(space->fd);
	LIST_REMOVE(space, entry);
	free(space->name);
	free(space);
}

void space_remove(struct space *space)
{
	char name[128];
	bool found = space->found;

	if (space->lost) { // name and mark are another's
		space_close(space);
		return;
	}
	snprintf(name, sizeof(name), "%s", space->name);
	mark_remove(space->bridge->run_dir, name);
	space_close(space);
	if (found)
		return; // it was not made by us
	int err = netns_remove(name);
	if (err && err != -ENOENT)
		log_warning("bridge", "cannot remove namespace", log_text("netns", name),
			log_text("error", strerror(-err)));
}

static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static void domain_add(struct host_domain *domain)
{
	struct bridge *bridge = domain->space->bridge;

	TAILQ_INSERT_TAIL(&domain->space->domains, domain, entry);
	domain->space->domain_count++;
	idmap_set(&domain->space->tables, domain->table, domain);
	idmap_set(&bridge->domains, domain->id, domain);
	if (domain->space->shared)
		domain->space->mark_old = true; // one file for all: with the next tick
	else
		guard_write(domain->space);
	mirror_resync(domain->space);
}

int bridge_domain_set(
	struct bridge *bridge, const struct bridge_domain *declared, struct api_error *error)
{
	struct host_domain *domain = idmap_get(&bridge->domains, declared->id);
	bool shared = bridge->mode == BRIDGE_TABLE && declared->id != BRIDGE_UNDERLAY;
	char name[128];

	if (!name_valid(declared->name))
		return api_fail(error, API_INVALID, "use a-z, 0-9 and -",
			"domain name \"%s\" is not usable", declared->name);
	if (domain && strcmp(domain->name, declared->name) == 0)
		return 0;
	if (domain)
		return api_fail(error, API_REFUSED, NULL,
			"domain \"%s\" cannot be renamed to \"%s\"", domain->name, declared->name);
	snprintf(name, sizeof(name), "%s-%s", bridge->prefix, shared ? "domains" : declared->name);
	struct space *space = space_open(bridge, name, shared, error);
	if (space == NULL)
		return error && error->code ? -EIO : -ENOMEM;
	if (!shared && !TAILQ_EMPTY(&space->domains))
		return api_fail(
			error, API_CONFLICT, NULL, "two domains are named \"%s\"", declared->name);
	domain = calloc(1, sizeof(*domain));
	if (domain)
		domain->name = strdup(declared->name);
	if (domain == NULL || domain->name == NULL) {
		free(domain);
		return api_fail(
			error, API_INTERNAL, NULL, "domain \"%s\": no memory", declared->name);
	}
	domain->id = declared->id;
	domain->space = space;
	domain->table = shared ? TABLE_BASE + declared->id : RT_TABLE_MAIN;
	domain->sync = DOMAIN_WAITING;
	domain_add(domain);
	return 0;
}

void domain_free(struct host_domain *domain)
{
	struct space *space = domain->space;

	if (space->mirror)
		mirror_forget(domain);
	TAILQ_REMOVE(&space->domains, domain, entry);
	space->domain_count--;
	space->mark_old = true;
	idmap_remove(&space->tables, domain->table);
	idmap_remove(&space->bridge->domains, domain->id);
	free(domain->statics);
	free(domain->name);
	free(domain);
}

void bridge_domain_delete(struct bridge *bridge, uint32_t id)
{
	struct host_domain *domain = idmap_get(&bridge->domains, id);
	struct host_interface *interface;

	if (domain == NULL)
		return;
	patches_delete(domain);
	while ((interface = LIST_FIRST(&domain->interfaces)) != NULL)
		interface_delete(interface);
	install_remove_all(domain);
	struct space *space = domain->space;
	domain_free(domain);
	if (TAILQ_EMPTY(&space->domains))
		space_remove(space);
}

int bridge_domain_place(const struct bridge *bridge, uint32_t id, struct bridge_place *place)
{
	const struct host_domain *domain = idmap_get(&bridge->domains, id);

	if (domain == NULL)
		return -ENOENT;
	*place = (struct bridge_place){.netns = domain->space->name,
		.netns_fd = domain->space->fd,
		.shared = domain->space->shared,
		.kernel_table = domain->table};
	return 0;
}
