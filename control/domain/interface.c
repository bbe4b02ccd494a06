// SPDX-License-Identifier: BSD-3-Clause
// Host interfaces: devices in the kernel for attachments and core ports, the neighbors behind an attachment and the BGP
// sessions over it, one of each for an address family.
//
// A host interface carries the MAC address of its port, which only the data plane knows, so it is made when the port has been
// heard of; its sessions and neighbors come with it. What failed is tried again once a second. A family that comes, goes or
// gets other addresses leaves the other one as it is.
//
// An interface that moves (port, tags) meets other routers there, under the same addresses perhaps. Only when the data plane
// says that it has it at the new place may the kernel ask who is there: before that the old ones would answer.

#include "control/domain/state.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_FORMAT "cv%u" // its name in the kernel, by the interface's id
#define SPEAKER_LIMIT 20000  // prefixes per family at which the speaker itself gives up

// --- making ----------------------------------------------------------------------------------------------

static int set_session(
	struct domains *domains, struct realised_session *session, struct api_error *error)
{
	const struct intent_interface *wanted = session->of->wanted;
	const struct intent_address *address = session_address(session);
	const struct domain *domain = domain_find(domains, wanted->domain);

	if (domain == NULL || domain->wanted == NULL)
		return -ENOENT;
	const struct intent_domain *of = domain->wanted;
	struct ip_prefix *route = calloc(of->routes.count + 1, sizeof(*route));
	if (route == NULL)
		abort();
	unsigned int routes = 0;
	for (unsigned int i = 0; i < of->routes.count; i++)
		if (of->routes.item[i].prefix.address.family == address->remote.family)
			route[routes++] = of->routes.item[i].prefix;
	const struct speaker_session declared = {
		.id = session->id,
		.domain = wanted->domain,
		.name = wanted->name,
		.enabled = wanted->session.enabled && session->parting == NULL,
		.local = address->local,
		.remote = address->remote,
		.local_asn = wanted->session.local_asn,
		.remote_asn = wanted->session.remote_asn,
		.password = wanted->session.password,
		.hold = wanted->session.hold,
		.keepalive = wanted->session.keepalive,
		.connect = wanted->session.connect,
		.error_wait = wanted->session.error_wait,
		.ttl_security = wanted->session.ttl_security,
		.memory_limit = SPEAKER_LIMIT,
		.import = &of->import,
		.export = &domains->announced,
		.route = route,
		.routes = routes,
	};
	int result = speakers_session_set(domains->sync.speakers, &declared, error);
	free(route);
	session->declared = session->declared || result == 0;
	return result;
}

static bool port_is_up(const struct domains *domains, const struct intent_interface *wanted)
{
	return domains->sync.port[wanted->port].last.up != 0 && wanted->up;
}

void interface_path(struct domains *domains, const struct realised *realised)
{
	if (domains->sync.port[realised->wanted->port].known)
		nexthops_interface(
			&domains->sync.hops, realised->id, port_is_up(domains, realised->wanted));
}

uint32_t device_id(const char *name)
{
	char expected[16];
	uint32_t id;

	if (sscanf(name, DEVICE_FORMAT, &id) != 1)
		return 0;
	snprintf(expected, sizeof(expected), DEVICE_FORMAT, id);
	return strcmp(name, expected) == 0 ? id : 0;
}

static int set_device(struct domains *domains, struct realised *realised,
	const struct intent_interface *wanted, struct api_error *error)
{
	char name[16];
	struct bridge_interface declared = {
		.id = wanted->id,
		.domain = wanted->domain,
		.name = name,
		.mtu = wanted->mtu,
	};

	for (unsigned int i = 0; i < 2; i++)
		if (wanted->address[i].local.family != 0)
			declared.address[declared.addresses++] = (struct bridge_interface_address){
				wanted->address[i].local, wanted->address[i].len};
	snprintf(name, sizeof(name), DEVICE_FORMAT, wanted->id);
	memcpy(declared.mac, realised->mac, sizeof(declared.mac));
	int result = bridge_interface_set(domains->sync.bridge, &declared, error);
	if (result == 0 && !realised->interface) {
		realised->interface = true;
		dataplane_host(domains->sync.dataplane, wanted->id, true);
	}
	return result;
}

static void set_carrier(struct domains *domains, struct realised *realised)
{
	bool up = port_is_up(domains, realised->wanted);

	if (!realised->interface || (realised->carrier_known && realised->carrier == up))
		return;
	realised->carrier_known = true;
	realised->carrier = up;
	bridge_interface_carrier(domains->sync.bridge, realised->id, up);
}

// With tags beside one without, or the other way about. One that is up says for all of its port.
static bool mixes(const struct port_state *state, const struct intent_interface *wanted)
{
	const struct realised *other;

	LIST_FOREACH(other, &state->interfaces, of_port)
	{
		if (other->interface && other->id != wanted->id)
			return (other->wanted->vlans != 0) != (wanted->vlans != 0);
	}
	return false;
}

// Some devices carry no customer, or not every one; the data plane refuses it, too.
static int check_port(const struct domains *domains, const struct intent_interface *wanted,
	struct api_error *error)
{
	const struct node_port *port = &domains->sync.node->ports.item[wanted->port];

	const struct port_state *state = &domains->sync.port[wanted->port];

	if (state->known && (state->last.known & WIRE_PORT_TAGS_HIDDEN) && wanted->vlans != 0)
		return api_fail(error, API_INVALID, NULL,
			"port %s is on %s, whose driver may hide VLAN tags from XDP: a tagged frame "
			"would look untagged; in the node file give the port mode: packet",
			port->name, port->device);
	if (state->known && (state->last.known & WIRE_PORT_TAGS_SWITCHED) &&
		mixes(state, wanted))
		return api_fail(error, API_INVALID, NULL,
			"port %s is on %s, whose driver may hide VLAN tags again when somebody "
			"switches that on: it takes attachments with tags or without, not both; give "
			"one of them another port, or the port mode: packet in the node file",
			port->name, port->device);
	if (wanted->kind != INTENT_ATTACHMENT || !node_device_merges(port->device))
		return 0;
	return api_fail(error, API_INVALID, NULL,
		"port %s is on net_af_packet, where the kernel puts fragments of different "
		"customers together; in the node file give it its kernel device by name, as in "
		"device: eth1",
		port->name);
}

static void expect_again(void *ctx, const struct neighbor *neighbor)
{
	struct ip_address address = {.family = neighbor->key.family};

	memcpy(address.bytes, neighbor->key.addr, sizeof(address.bytes));
	bridge_neighbor_set(ctx, neighbor->key.interface, &address);
}

static int realise_session(
	struct domains *domains, struct realised_session *session, struct api_error *error)
{
	const struct ip_address *remote = &session_address(session)->remote;
	uint32_t interface = session->of->id;

	nexthops_expect(&domains->sync.hops, interface, remote);
	int result = bridge_neighbor_set(domains->sync.bridge, interface, remote);
	return result != 0 ? result : set_session(domains, session, error);
}

// Where the kernel takes no IPv6, IPv4 does not suffer for it.
static int realise(struct domains *domains, struct realised *realised, struct api_error *error)
{
	const struct intent_interface *wanted = realised->wanted;
	bool fresh = !realised->interface, both = true;
	int result = check_port(domains, wanted, error);

	if (result != 0)
		return result;
	result = set_device(domains, realised, wanted, error);
	if (result != 0 && intent_is_dual(wanted)) {
		struct intent_interface first = *wanted;
		both = false;
		first.address[1] = (struct intent_address){.len = 0};
		if (set_device(domains, realised, &first, NULL) != 0)
			return result;
	} else if (result != 0) {
		return result;
	}
	if (fresh) // it may have been there before
		nexthops_expected_on(
			&domains->sync.hops, realised->id, expect_again, domains->sync.bridge);
	interface_path(domains, realised);
	set_carrier(domains, realised);
	for (unsigned int i = 0; i < 2; i++) {
		struct api_error one = {0};
		int failed = realised->session[i] != NULL && (i == 0 || both)
				     ? realise_session(domains, realised->session[i], &one)
				     : 0;
		if (failed == 0 || result != 0)
			continue;
		result = failed;
		*error = one;
	}
	return result;
}

static void try(struct domains *domains, struct realised *realised)
{
	const struct port_state *port = &domains->sync.port[realised->wanted->port];
	struct api_error error = {0};
	bool made = realised->interface;

	if (!port->known)
		return;
	memcpy(realised->mac, port->last.mac, sizeof(realised->mac));
	int result = realise(domains, realised, &error);
	if (result != 0 && error.message[0] == '\0')
		snprintf(error.message, sizeof(error.message), "%s", strerror(-result));
	if (result != 0 && strcmp(realised->error, error.message) != 0)
		log_error("domain", error.message, log_text("interface", realised->wanted->name));
	// Tunnels ask who answers on a core port once there is one, and say what it lacks.
	if (realised->wanted->kind == INTENT_CORE &&
		(realised->interface != made || strcmp(realised->error, error.message) != 0))
		work_add(domains, JOB_TUNNELS, NULL, NULL);
	snprintf(realised->error, sizeof(realised->error), "%s", result != 0 ? error.message : "");
	health_interface(domains, realised);
}

static bool is_unfinished(const struct domains *domains, const struct realised *realised)
{
	const struct port_state *port = &domains->sync.port[realised->wanted->port];

	return !realised->interface || realised->error[0] != '\0' ||
	       memcmp(realised->mac, port->last.mac, sizeof(realised->mac)) != 0;
}

static void retry(void *ctx, void *entry)
{
	struct realised *realised = entry;

	if (is_unfinished(ctx, realised))
		try(ctx, realised);
	for (unsigned int i = 0; i < 2; i++)
		if (realised->session[i] != NULL)
			health_silence(ctx, realised->session[i]);
}

bool retry_step(struct domains *domains, struct job *job)
{
	return !table_slice(&domains->sync.realised, &job->slot, 4, retry, domains);
}

void interface_carrier(struct domains *domains, struct realised *realised)
{
	if (is_unfinished(domains, realised)) {
		try(domains, realised);
	} else {
		set_carrier(domains, realised);
		health_interface(domains, realised); // it may carry more or less than before
	}
}

void interface_placed(struct domains *domains, const struct wire_interface *record)
{
	struct realised *realised = table_find(&domains->sync.realised, &record->interface);
	const struct spot now = {
		true, record->vlans, {record->vlan[0], record->vlan[1]}, record->port};

	if (realised == NULL)
		return;
	const struct spot was = realised->spot;
	bool moved = was.known && (was.port != now.port || was.vlans != now.vlans ||
					  was.vlan[0] != now.vlan[0] || was.vlan[1] != now.vlan[1]);
	realised->spot = now;
	if (moved)
		bridge_interface_carried(domains->sync.bridge, realised->id, true);
}

static void look_unmade(void *ctx, void *entry)
{
	const struct realised *realised = entry;
	bool *all = ctx;
	*all = *all && realised->interface;
}

bool interfaces_all_made(const struct domains *domains)
{
	bool all = true;
	table_each(&domains->sync.realised, look_unmade, &all);
	return all;
}

// --- beginning and end -----------------------------------------------------------------------------------

static void join_domain(struct domains *domains, const struct intent_interface *wanted)
{
	struct domain *domain = domain_get(domains, wanted->domain);

	if (wanted->kind == INTENT_ATTACHMENT)
		*(const struct intent_interface **)APPEND(domain->attachments) = wanted;
	else if (wanted->kind == INTENT_CORE)
		*(const struct intent_interface **)APPEND(domains->cores) = wanted;
	else if (!wanted->tunnel.internet) // that is no way to the domain's own prefixes
		domain->out = wanted->id;
}

#define REMOVE(list, wanted)                                                     \
	do {                                                                     \
		for (unsigned int i_ = 0; i_ < (list).count; i_++)               \
			if ((list).item[i_]->id == (wanted)->id)                 \
				(list).item[i_--] = (list).item[--(list).count]; \
	} while (0)

static void leave_domain(struct domains *domains, const struct intent_interface *was)
{
	struct domain *domain = domain_find(domains, was->domain);

	if (domain != NULL)
		REMOVE(domain->attachments, was);
	REMOVE(domains->cores, was);
	if (domain != NULL && domain->out == was->id)
		domain->out = 0;
}

// The domain's routes lead elsewhere now.
static void review(struct domains *domains, const struct intent_interface *wanted)
{
	struct domain *domain = domain_find(domains, wanted->domain);

	if (domain == NULL)
		return;
	if (wanted->kind == INTENT_ATTACHMENT) {
		for (unsigned int i = 0; i < 2; i++) {
			const struct ip_address *remote = &wanted->address[i].remote;
			if (remote->family == 0)
				continue;
			const struct ip_prefix host = ip_prefix_of(remote, ip_bits(remote->family));
			const struct route_key key = key_of(&host);
			decide(domain, &key);
		}
		work_add(domains, JOB_REVIEW, NULL, domain);
		work_add(domains, JOB_ANNOUNCE, domain, NULL); // somebody listens
	} else if (wanted->kind == INTENT_TUNNEL) {
		decide_own(domain, domain->wanted);
	}
	domain_put(domain);
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool session_equal(const struct intent_session *a, const struct intent_session *b)
{
	return a->enabled == b->enabled && a->local_asn == b->local_asn &&
	       a->remote_asn == b->remote_asn && text_equal(a->password, b->password) &&
	       a->hold == b->hold && a->keepalive == b->keepalive && a->connect == b->connect &&
	       a->error_wait == b->error_wait && a->ttl_security == b->ttl_security;
}

// The far end, the way to it or the number of its session is another one: all of this family is made anew.
static bool address_equal(const struct intent_address *a, const struct intent_address *b)
{
	return ip_address_compare(&a->remote, &b->remote) == 0 &&
	       ip_address_compare(&a->local, &b->local) == 0 && a->len == b->len &&
	       a->session == b->session;
}

// An object that kept its id but not its domain, or nobody behind it, is made anew.
static bool must_remake(const struct intent_interface *a, const struct intent_interface *b)
{
	bool kept = a->kind != INTENT_ATTACHMENT;

	for (unsigned int i = 0; i < 2; i++)
		kept = kept || (a->address[i].remote.family != 0 &&
				       address_equal(&a->address[i], &b->address[i]));
	return a->domain != b->domain || a->kind != b->kind || !kept;
}

// Whether the kernel's half is as before; limiters and tags are the data plane's alone.
static bool host_equal(const struct intent_interface *a, const struct intent_interface *b)
{
	return address_equal(&a->address[0], &b->address[0]) &&
	       address_equal(&a->address[1], &b->address[1]) && a->mtu == b->mtu && a->port == b->port && a->up == b->up &&
	       session_equal(&a->session, &b->session);
}

static void hold(struct domains *domains, struct realised *realised,
	const struct intent_interface *wanted, const struct fragment *fragment)
{
	const struct fragment *held = realised->fragment;

	limiter_use(domains, wanted, 1);
	if (realised->wanted != NULL)
		limiter_use(domains, realised->wanted, -1);
	realised->wanted = wanted;
	realised->fragment = fragment_ref(fragment);
	fragment_unref(held);
}

// --- one family of it ------------------------------------------------------------------------------------

static void session_begin(struct realised *realised, unsigned int family)
{
	struct realised_session *session = calloc(1, sizeof(*session));

	if (session == NULL)
		abort();
	session->of = realised;
	session->family = family;
	session->id = realised->wanted->address[family].session;
	session->began = clock_ns();
	realised->session[family] = session;
}

// The kernel's half of it.
static void session_finish(struct domains *domains, struct realised *realised,
	const struct intent_interface *was, unsigned int family)
{
	struct realised_session *session = realised->session[family];
	const struct ip_address *remote = &was->address[family].remote;

	if (session == NULL)
		return;
	if (session->declared)
		speakers_session_delete(domains->sync.speakers, session->id);
	bridge_neighbor_delete(domains->sync.bridge, realised->id, remote);
	nexthops_forget(&domains->sync.hops, realised->id, remote);
	health_session_gone(domains, was, family);
	count_session(domains, session, -1u);
	realised->session[family] = NULL;
	free(session);
}

// The families that are not to be as they were go first: somebody else may be waiting for an address.
static void leave_families(struct domains *domains, const struct intent_interface *was,
	const struct intent_interface *wanted)
{
	struct realised *realised = table_find(&domains->sync.realised, &was->id);
	struct intent_interface without = *was;
	bool left = false;

	for (unsigned int i = 0; i < 2; i++) {
		if (was->address[i].local.family == 0 ||
			address_equal(&was->address[i], &wanted->address[i]))
			continue;
		left = true;
		without.address[i] = (struct intent_address){.len = 0};
		const struct wire_local old = local_record(was, i), new = local_record(wanted, i);
		if (memcmp(&old, &new, sizeof(old)) != 0)
			unconfigure_local(domains, was, i);
		if (realised != NULL)
			session_finish(domains, realised, was, i);
	}
	if (left && realised != NULL && realised->interface && was->kind == INTENT_ATTACHMENT)
		set_device(domains, realised, &without, NULL);
}

// The sessions of the families that it has now, and what each is called.
static void enter_families(
	struct domains *domains, struct realised *realised, const struct intent_interface *was)
{
	bool renamed = was != NULL && intent_is_dual(was) != intent_is_dual(realised->wanted);

	for (unsigned int i = 0; i < 2 && renamed; i++)
		if (realised->session[i] != NULL)
			health_session_gone(domains, was, i);
	for (unsigned int i = 0; i < 2; i++) {
		struct realised_session *session = realised->session[i];
		if (session == NULL && realised->wanted->address[i].remote.family != 0)
			session_begin(realised, i);
		session = realised->session[i];
		if (session != NULL && (renamed || !session->heard))
			health_session(domains, session);
		if (session != NULL && renamed)
			health_neighbor(domains, session);
	}
}

static void set_host(struct domains *domains, const struct intent_interface *wanted,
	const struct fragment *fragment, bool host_changed)
{
	struct realised *realised = table_find(&domains->sync.realised, &wanted->id);

	if (wanted->port >= PORTS_MAX)
		return;
	if (realised == NULL) {
		realised = calloc(1, sizeof(*realised));
		if (realised == NULL)
			abort();
		realised->id = wanted->id;
		table_add(&domains->sync.realised, realised);
		LIST_INSERT_HEAD(&domains->sync.port[wanted->port].interfaces, realised, of_port);
		host_changed = true;
	} else if (realised->wanted->port != wanted->port) {
		work_skip(domains, realised);
		LIST_REMOVE(realised, of_port);
		LIST_INSERT_HEAD(&domains->sync.port[wanted->port].interfaces, realised, of_port);
	}
	const struct fragment *held =
		realised->fragment != NULL ? fragment_ref(realised->fragment) : NULL;
	const struct intent_interface *was = realised->wanted;
	hold(domains, realised, wanted, fragment);
	enter_families(domains, realised, was);
	fragment_unref(held);
	for (unsigned int i = 0; i < 2; i++) {
		struct realised_session *session = realised->session[i];
		host_changed = host_changed || (session != NULL && session->ended);
		if (session != NULL)
			session->ended = false;
	}
	if (host_changed)
		try(domains, realised);
}

// The host interfaces of a domain: attachments, of the underlay the core ports.
static void each_of(struct domain *domain, void (*visit)(struct domains *, struct realised *))
{
	struct domains *domains = domain->domains;
	bool underlay = domain->id == INTENT_UNDERLAY_ID;
	unsigned int count = underlay ? domains->cores.count : domain->attachments.count;

	for (unsigned int i = 0; i < count; i++) {
		const struct intent_interface *wanted =
			underlay ? domains->cores.item[i] : domain->attachments.item[i];
		struct realised *realised = table_find(&domains->sync.realised, &wanted->id);
		if (realised != NULL)
			visit(domains, realised);
	}
}

static void lose(struct domains *domains, struct realised *realised)
{
	realised->interface = realised->carrier_known = false;
}

void interfaces_lost(struct domain *domain)
{
	each_of(domain, lose);
}

void interfaces_try(struct domain *domain)
{
	each_of(domain, try);
}

// Nothing of it is the daemon's or the kernel's to know.
static void name_sessions(struct domains *domains, struct realised *realised)
{
	struct api_error error = {0};

	for (unsigned int i = 0; i < 2; i++) {
		struct realised_session *session = realised->session[i];
		if (session != NULL && session->declared && set_session(domains, session, &error) != 0)
			log_error("domain", error.message,
				log_text("interface", realised->wanted->name));
	}
}

void interfaces_name(struct domain *domain)
{
	each_of(domain, name_sessions);
}

void interface_set(struct domains *domains, const struct intent_interface *wanted,
	const struct intent_interface *was, const struct fragment *fragment)
{
	if (was != NULL && must_remake(was, wanted)) {
		interface_unset(domains, was);
		was = NULL;
	}
	if (was != NULL)
		leave_families(domains, was, wanted);
	if (wanted->kind != INTENT_TUNNEL) {
		parting_yields(domains, wanted);
		place_take(domains, wanted);
	}
	if (was != NULL && was->kind != INTENT_TUNNEL)
		place_leave(domains, was);
	bool moved = was == NULL || !address_equal(&was->address[0], &wanted->address[0]) ||
		     !address_equal(&was->address[1], &wanted->address[1]);
	if (was != NULL)
		leave_domain(domains, was);
	join_domain(domains, wanted);
	if (wanted->kind == INTENT_TUNNEL) {
		tunnel_set(domains, wanted, fragment);
	} else {
		configure_interface(domains, wanted);
		set_host(domains, wanted, fragment, was == NULL || !host_equal(was, wanted));
		if (was != NULL && strcmp(was->name, wanted->name) != 0)
			interfaces_name(domain_find(domains, wanted->domain));
	}
	if (wanted->kind == INTENT_CORE)
		underlay_changed(domains);
	if (moved) {
		if (was != NULL)
			review(domains, was); // what led by addresses that it has no more
		review(domains, wanted);
	}
}

void interface_unset(struct domains *domains, const struct intent_interface *was)
{
	struct realised *realised = table_find(&domains->sync.realised, &was->id);
	struct sync *sync = &domains->sync;

	if (was->kind != INTENT_TUNNEL)
		place_leave(domains, was);
	leave_domain(domains, was);
	review(domains, was);
	unconfigure_interface(domains, was);
	if (was->kind == INTENT_TUNNEL)
		tunnel_unset(domains, was->id);
	if (was->kind == INTENT_CORE)
		underlay_changed(domains);
	if (realised == NULL)
		return;
	dataplane_host(sync->dataplane, was->id, false);
	for (unsigned int i = 0; i < 2; i++)
		session_finish(domains, realised, was, i);
	nexthops_forget(&sync->hops, was->id, NULL);
	if (realised->interface)
		bridge_interface_delete(sync->bridge, was->id);
	nexthops_interface(&sync->hops, was->id, true);
	health_interface_gone(domains, was);
	work_skip(domains, realised);
	LIST_REMOVE(realised, of_port);
	table_remove(&sync->realised, realised);
	limiter_use(domains, realised->wanted, -1);
	fragment_unref(realised->fragment);
	free(realised);
}
