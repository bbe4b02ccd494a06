// SPDX-License-Identifier: BSD-3-Clause
// The kernel's half of the desired state, told to the bridge: routing domains, host interfaces, neighbors,
// BGP sessions, static routes and announcements.
//
// A host interface carries the MAC address of its port, which only the data plane knows, so it is made when
// the port has been heard of; its session and neighbor come with it. What an earlier culvertd left behind
// and nobody declared again is swept once, after everything has been declared.

#include "control/sync/state.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/publication.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPEAKER_LIMIT 20000 // prefixes per family at which the speaker itself gives up

struct domain *sync_domain(struct sync *sync, uint32_t id)
{
	struct domain *domain = table_find(&sync->domains, &id);
	if (domain != NULL)
		return domain;
	domain = calloc(1, sizeof(*domain));
	if (domain == NULL)
		abort();
	domain->id = id;
	domain->waiting = clock_ns();
	domain->learned = TABLE_OF(struct learned, key);
	domain->installed = TABLE_OF(struct installed, key);
	domain->kept = TABLE_OF(struct kept, key);
	table_add(&sync->domains, domain);
	return domain;
}

struct realised *sync_realised(struct sync *sync, uint32_t id)
{
	struct realised *realised = table_find(&sync->realised, &id);
	if (realised != NULL)
		return realised;
	realised = calloc(1, sizeof(*realised));
	if (realised == NULL)
		abort();
	realised->id = id;
	table_add(&sync->realised, realised);
	return realised;
}

// --- domains -------------------------------------------------------------------------------------------

static void realise_domain(struct sync *sync, const struct desired_domain *wanted)
{
	struct domain *domain = sync_domain(sync, wanted->id);
	const struct bridge_domain declared = {.id = wanted->id, .name = wanted->host_name};
	struct api_error error = {0};

	if (wanted->kind == DOMAIN_VNET || domain->realised)
		return; // a vNet has nothing in the kernel
	int result = bridge_domain_set(sync->bridge, &declared, &error);
	if (result != 0 && error.message[0] == '\0')
		snprintf(error.message, sizeof(error.message), "%s", strerror(-result));
	if (result != 0 && strcmp(domain->error, error.message) != 0)
		log_error("domain", error.message, log_text("domain", wanted->name));
	snprintf(domain->error, sizeof(domain->error), "%s", result != 0 ? error.message : "");
	if (result != 0)
		return;
	domain->realised = true;
	domain->synced = false;
	domain->waiting = clock_ns();
	domain->life++;
}

// --- interfaces ----------------------------------------------------------------------------------------

static int set_peering(
	struct sync *sync, const struct desired_interface *wanted, struct api_error *error)
{
	const struct desired_domain *domain = desired_domain(sync->desired, wanted->record.vrf);
	const struct bridge_peering declared = {
		.id = wanted->id,
		.domain = domain->id,
		.interface = wanted->id,
		.name = wanted->name,
		.enabled = wanted->enabled,
		.local = wanted->local,
		.remote = wanted->remote,
		.local_asn = wanted->local_asn,
		.remote_asn = wanted->remote_asn,
		.password = wanted->password,
		.hold = wanted->hold,
		.keepalive = wanted->keepalive,
		.connect = wanted->connect,
		.error_wait = wanted->error_wait,
		.memory_limit = SPEAKER_LIMIT,
		.reject = domain->rejects.item,
		.rejects = domain->rejects.count,
	};
	return bridge_peering_set(sync->bridge, &declared, error);
}

static void set_carrier(
	struct sync *sync, const struct desired_interface *wanted, struct realised *realised)
{
	bool up = sync->port[wanted->record.port].last.up != 0 &&
		  (wanted->record.flags & WIRE_INTERFACE_UP) != 0;

	nexthops_interface(&sync->hops, wanted->id, up);
	if (!realised->interface || (realised->carrier_known && realised->carrier == up))
		return;
	realised->carrier_known = true;
	realised->carrier = up;
	bridge_interface_carrier(sync->bridge, wanted->id, up);
}

static int set_interface(struct sync *sync, const struct desired_interface *wanted,
	struct realised *realised, struct api_error *error)
{
	char name[16];
	struct bridge_interface declared = {
		.id = wanted->id,
		.domain = wanted->record.vrf,
		.name = name,
		.mtu = wanted->record.mtu,
		.addresses = 1,
		.address[0] = {wanted->local, wanted->len},
	};

	snprintf(name, sizeof(name), "cv%u", wanted->id);
	memcpy(declared.mac, realised->mac, sizeof(declared.mac));
	int result = bridge_interface_set(sync->bridge, &declared, error);
	if (result == 0 && !realised->interface) {
		realised->interface = true;
		dataplane_host(sync->dataplane, wanted->id, true);
	}
	return result;
}

static void realise_interface(struct sync *sync, const struct desired_interface *wanted)
{
	struct realised *realised = sync_realised(sync, wanted->id);
	struct api_error error = {0};

	if (wanted->kind == INTERFACE_TUNNEL || wanted->record.port >= PORTS_MAX ||
		!sync->port[wanted->record.port].known)
		return;
	memcpy(realised->mac, sync->port[wanted->record.port].last.mac, sizeof(realised->mac));
	int result = set_interface(sync, wanted, realised, &error);
	if (result == 0)
		set_carrier(sync, wanted, realised);
	if (result == 0 && wanted->kind == INTERFACE_ATTACHMENT) {
		nexthops_expect(&sync->hops, wanted->id, &wanted->remote);
		result = bridge_neighbor_set(sync->bridge, wanted->id, &wanted->remote);
	}
	if (result == 0 && wanted->kind == INTERFACE_ATTACHMENT) {
		result = set_peering(sync, wanted, &error);
		realised->peering = result == 0;
	}
	if (result != 0 && strcmp(realised->error, error.message) != 0)
		fprintf(stderr, "level=error msg=\"%s\" interface=%s\n",
			error.message[0] != '\0' ? error.message : strerror(-result), wanted->name);
	snprintf(realised->error, sizeof(realised->error), "%s",
		result == 0                ? ""
		: error.message[0] != '\0' ? error.message
					   : strerror(-result));
}

// Whether the bridge has to hear of it again.
static bool interface_equal(const struct desired *old, const struct desired_interface *a,
	const struct desired *new, const struct desired_interface *b)
{
	struct desired_interface left = *a, right = *b;

	left.password = right.password = NULL;
	left.record.limiter_in = left.record.limiter_out = left.record.underlay = 0;
	right.record.limiter_in = right.record.limiter_out = right.record.underlay = 0;
	if (memcmp(&left, &right, sizeof(left)) != 0 ||
		!desired_text_equal(a->password, b->password))
		return false;
	return a->kind != INTERFACE_ATTACHMENT ||
	       desired_rejects_equal(
		       desired_domain(old, a->record.vrf), desired_domain(new, b->record.vrf));
}

static void remove_interface(struct sync *sync, const struct desired_interface *old)
{
	struct realised *realised = table_find(&sync->realised, &old->id);

	if (realised == NULL)
		return;
	dataplane_host(sync->dataplane, old->id, false);
	if (realised->peering)
		bridge_peering_delete(sync->bridge, old->id);
	if (old->kind == INTERFACE_ATTACHMENT)
		bridge_neighbor_delete(sync->bridge, old->id, &old->remote);
	nexthops_forget(&sync->hops, old->id, NULL);
	if (realised->interface)
		bridge_interface_delete(sync->bridge, old->id);
	nexthops_interface(&sync->hops, old->id, true);
	table_remove(&sync->realised, realised);
	free(realised);
}

// An object that kept its id but not its domain or its neighbor is made anew.
static bool must_remake(const struct desired_interface *old, const struct desired_interface *new)
{
	return new == NULL || new->record.vrf != old->record.vrf || new->kind != old->kind ||
	       ip_address_compare(&new->remote, &old->remote) != 0;
}

static bool is_unfinished(struct sync *sync, const struct desired_interface *wanted)
{
	const struct realised *realised = sync_realised(sync, wanted->id);
	return !realised->interface || realised->error[0] != '\0';
}

void realise_all(struct sync *sync, const struct desired *old)
{
	const struct desired *new = sync->desired;

	for (unsigned int i = 0; old != NULL && i < old->interfaces.count; i++) {
		const struct desired_interface *was = &old->interfaces.item[i];
		if (must_remake(was, desired_interface(new, was->id)))
			remove_interface(sync, was);
	}
	for (unsigned int i = 0; old != NULL && i < old->domains.count; i++) {
		const struct desired_domain *was = &old->domains.item[i];
		const struct desired_domain *now = desired_domain(new, was->id);
		struct domain *domain = table_find(&sync->domains, &was->id);
		if (domain == NULL || (now != NULL && strcmp(now->name, was->name) == 0))
			continue;
		if (domain->realised)
			bridge_domain_delete(sync->bridge, domain->id);
		routes_end(sync, domain);
	}
	for (unsigned int i = 0; i < new->domains.count; i++)
		realise_domain(sync, &new->domains.item[i]);
	for (unsigned int i = 0; i < new->interfaces.count; i++) {
		const struct desired_interface *wanted = &new->interfaces.item[i];
		const struct desired_interface *was =
			old != NULL ? desired_interface(old, wanted->id) : NULL;
		if (was == NULL || is_unfinished(sync, wanted) ||
			!interface_equal(old, was, new, wanted))
			realise_interface(sync, wanted);
	}
	bridge_static_set(sync->bridge, BRIDGE_UNDERLAY, new->statics.item, new->statics.count);
}

void realise_port(struct sync *sync, uint32_t port)
{
	if (sync->desired == NULL)
		return;
	for (unsigned int i = 0; i < sync->desired->interfaces.count; i++) {
		const struct desired_interface *wanted = &sync->desired->interfaces.item[i];
		struct realised *realised;
		if (wanted->kind == INTERFACE_TUNNEL || wanted->record.port != port)
			continue;
		realised = sync_realised(sync, wanted->id);
		if (is_unfinished(sync, wanted) || memcmp(realised->mac, sync->port[port].last.mac,
							   sizeof(realised->mac)) != 0)
			realise_interface(sync, wanted);
		else
			set_carrier(sync, wanted, realised);
	}
}

bool realise_retry(struct sync *sync)
{
	bool made = false;

	if (sync->desired == NULL || !sync->hold.open)
		return false;
	for (unsigned int i = 0; i < sync->desired->domains.count; i++) {
		const struct domain *domain = sync_domain(sync, sync->desired->domains.item[i].id);
		bool was = domain->realised;
		realise_domain(sync, &sync->desired->domains.item[i]);
		made = made || domain->realised != was;
	}
	for (unsigned int i = 0; i < sync->desired->interfaces.count; i++) {
		const struct desired_interface *wanted = &sync->desired->interfaces.item[i];
		if (wanted->kind != INTERFACE_TUNNEL && is_unfinished(sync, wanted))
			realise_interface(sync, wanted);
	}
	return made;
}

// --- announcements -------------------------------------------------------------------------------------

static void announce(struct sync *sync, const struct desired_domain *peering)
{
	struct domain *domain = sync_domain(sync, peering->id);
	struct ip_prefix *prefixes = NULL;
	unsigned int count = 0;
	uint64_t hash = 14695981039346656037u;
	bool undecided = false;

	for (unsigned int i = 0; i < peering->joins.count; i++) {
		const struct desired_domain *vnet =
			desired_domain(sync->desired, peering->joins.item[i].domain);
		enum neighbor_state state = tunnel_state(sync, vnet->tunnel);
		undecided = undecided || state == NEIGHBOR_UNKNOWN;
		if (state != NEIGHBOR_USABLE)
			continue;
		prefixes = reallocarray(
			prefixes, count + vnet->prefixes.count, sizeof(struct ip_prefix));
		if (prefixes == NULL)
			abort();
		for (unsigned int j = 0; j < vnet->prefixes.count; j++) {
			struct prefix_key key = prefix_key_of(&vnet->prefixes.item[j]);
			for (unsigned int k = 0; k < sizeof(key); k++)
				hash = (hash ^ ((uint8_t *)&key)[k]) * 1099511628211u;
			prefixes[count++] = vnet->prefixes.item[j];
		}
	}
	// What an earlier culvertd announced stays until we know better.
	if (!undecided && domain->realised &&
		(!domain->announced_known || domain->announced != hash) &&
		bridge_announce(sync->bridge, domain->id, prefixes, count) == 0) {
		domain->announced_known = true;
		domain->announced = hash;
	}
	free(prefixes);
}

void realise_announcements(struct sync *sync)
{
	if (sync->desired == NULL)
		return;
	for (unsigned int i = 0; i < sync->desired->domains.count; i++)
		if (sync->desired->domains.item[i].kind == DOMAIN_PEERING)
			announce(sync, &sync->desired->domains.item[i]);
}
