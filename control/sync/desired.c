// SPDX-License-Identifier: BSD-3-Clause
// From nouns to numbers: the part of the model that this edge realises, as interfaces, VRFs and limiters.
//
//	core port    an Ethernet interface of VRF 1 with our address
//	link         two limiters, in and out, shared by all its peerings
//	peering      a VRF and, for each link on this edge, an Ethernet interface with our /30 address
//	vnet         a VRF and the GRE interface of the tunnel from this edge
//	connection   joins the two: prefixes one way, learned routes the other (routes.c)
//
// Everything is rebuilt from the whole model at each publication and compared with what was before: a model
// of 10,000 circuits takes milliseconds, and there is no second description of what an edit does. Objects
// of other edges only count where they must be kept apart from: their outer addresses are refused, too.

#include "control/sync/desired.h"

#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/customer.h"
#include "control/model/edge.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/model/port.h"
#include "control/model/vnet.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/store/store.h"
#include "control/base/array.h"
#include "control/sync/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST_MIN      64000u
#define BURST_MAX      32000000u
#define BURST_FLOOR_NS 10000000u // the limiter's least: 10 ms at the rate
#define GRE_OVERHEAD4  28u       // IPv4 20, GRE with key 8
#define GRE_OVERHEAD6  48u
#define TUNNEL_TTL     64
#define ROUTES_GUARD   0 // the bridge holds route limits; no second one here

struct build {
	struct desired *desired;
	const struct model *model;
	const struct ids *ids;
	const struct node *node;
	struct rules *rules;
};

__attribute__((format(printf, 3, 4))) static void copy(
	char *to, size_t size, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(to, size, format, arguments);
	va_end(arguments);
}

#define COPY(to, ...) copy(to, sizeof(to), __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static void problem(
	struct desired *desired, const char *object, const char *hint, const char *format, ...)
{
	struct desired_problem *problem = APPEND(desired->problems);
	va_list arguments;

	COPY(problem->object, "%s", object);
	COPY(problem->hint, "%s", hint);
	va_start(arguments, format);
	vsnprintf(problem->message, sizeof(problem->message), format, arguments);
	va_end(arguments);
}

uint64_t desired_burst(uint64_t rate, uint64_t duration)
{
	uint64_t bytes_per_second = rate / 8;
	uint64_t least =
		(uint64_t)((unsigned __int128)bytes_per_second * BURST_FLOOR_NS / 1000000000u) + 1;
	uint64_t most = least > BURST_MAX ? least : BURST_MAX;
	unsigned __int128 burst = (unsigned __int128)bytes_per_second * duration / 1000000000u;

	if (burst > most)
		return most;
	if (burst < least)
		burst = least;
	return burst < BURST_MIN ? BURST_MIN : (uint64_t)burst;
}

// --- domains -------------------------------------------------------------------------------------------

// What an operator finds in `ip netns`: the object's name, or when that is too long as much of it as there is room
// for and the id.
static void name_in_kernel(struct desired_domain *domain)
{
	size_t length = strlen(domain->object);

	if (length < sizeof(domain->host_name))
		COPY(domain->host_name, "%s", domain->object);
	else
		COPY(domain->host_name, "%.24s-%u", domain->object, domain->id);
	for (char *at = domain->host_name; *at != '\0'; at++)
		if (*at == '/')
			*at = '-';
}

static struct desired_domain *add_domain(struct build *b, enum domain_kind kind, const char *object)
{
	static const char *const prefix[] = {"", "peering/", "vnet/"};
	struct desired_domain *domain = APPEND(b->desired->domains);
	char key[DOMAIN_NAME_MAX];

	COPY(key, "%s%s", prefix[kind], kind == DOMAIN_UNDERLAY ? "underlay" : object);
	domain->id =
		kind == DOMAIN_UNDERLAY ? BRIDGE_UNDERLAY : ids_of(b->ids, ID_VRF, "%s", key).id;
	domain->kind = kind;
	memcpy(domain->name, key, sizeof(key));
	COPY(domain->object, "%s", object);
	name_in_kernel(domain);
	domain->record.vrf = domain->id;
	domain->record.routes_max = ROUTES_GUARD;
	COPY(domain->record.name, "%s", object);
	return domain;
}

// The domain of this peering, if it was added already: links come in order of their circuits, so it is
// among the last ones.
static struct desired_domain *last_domain(struct desired *desired, const struct peering *peering)
{
	for (unsigned int i = desired->domains.count; i-- > 0;) {
		struct desired_domain *domain = &desired->domains.item[i];
		if (domain->kind != DOMAIN_PEERING ||
			strcmp(domain->circuit, peering->circuit) != 0)
			return NULL;
		if (strcmp(domain->object, peering->object.name) == 0)
			return domain;
	}
	return NULL;
}

static struct desired_interface *add_interface(
	struct build *b, enum interface_kind kind, struct id id)
{
	struct desired_interface *interface = APPEND(b->desired->interfaces);

	interface->id = id.id;
	interface->kind = kind;
	interface->record.interface = id.id;
	interface->record.uid = id.uid;
	return interface;
}

// --- ports and the underlay ----------------------------------------------------------------------------

static void build_core_port(struct build *b, const struct port *port)
{
	int index = node_port_index(b->node, port->name);
	struct id id = ids_of(b->ids, ID_INTERFACE, "port/%s", port->object.name);

	if (index < 0) {
		problem(b->desired, port->object.name, "add it to the node file's ports",
			"port \"%s\" has no device on this machine", port->name);
		return;
	}
	if (id.id == 0)
		return;
	struct desired_interface *interface = add_interface(b, INTERFACE_CORE, id);
	COPY(interface->name, "%s", port->name);
	COPY(interface->object, "%s", port->object.name);
	interface->local = port->address.address;
	interface->len = port->address.len;
	interface->record.vrf = BRIDGE_UNDERLAY;
	interface->record.flags = WIRE_INTERFACE_UP | WIRE_INTERFACE_CORE;
	interface->record.mtu = (uint16_t)port->mtu;
	interface->record.kind = WIRE_INTERFACE_ETHERNET;
	interface->record.port = (uint32_t)index;
}

static void build_underlay(struct build *b)
{
	const struct edge *edge = model_edge(b->model, b->node->edge);

	add_domain(b, DOMAIN_UNDERLAY, "underlay");
	if (edge == NULL) {
		if (b->desired->publication->revision == 0)
			return; // nothing was ever configured
		problem(b->desired, b->node->edge,
			"culvertctl edge create, or correct the node file",
			"the configuration has no edge \"%s\"", b->node->edge);
		return;
	}
	const struct object *child;
	MODEL_CHILDREN(b->model, NOUN_PORT, edge->name, child)
	{
		const struct port *port = (const struct port *)child;
		if (port->faces == PORT_CORE && port->address.address.family != 0)
			build_core_port(b, port);
	}
	for (unsigned int i = 0; i < edge->routes.count; i++) {
		struct bridge_static *route = APPEND(b->desired->statics);
		route->prefix = edge->routes.item[i].prefix;
		route->via = edge->routes.item[i].via;
	}
}

// --- peerings ------------------------------------------------------------------------------------------

static uint16_t seconds(uint64_t ns)
{
	uint64_t value = (ns + 999999999u) / 1000000000u;
	return value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
}

static void build_attachment(struct build *b, const struct link *link,
	const struct peering *peering, const struct id limiter[2], unsigned int port)
{
	const char *role = link->role == LINK_PRIMARY ? "primary" : "secondary";
	struct id id = ids_of(b->ids, ID_INTERFACE, "attachment/%s/%s", peering->object.name, role);
	const struct ip_prefix *subnet = peering_subnet(peering, link);
	struct desired_domain *domain = last_domain(b->desired, peering);

	if (domain == NULL) {
		const struct circuit *circuit = model_circuit(b->model, peering->circuit);
		domain = add_domain(b, DOMAIN_PEERING, peering->object.name);
		COPY(domain->circuit, "%s", peering->circuit);
		COPY(domain->customer, "%s", circuit->customer);
		rules_apply(b->rules, b->desired, domain);
	}
	if (domain->attachments < 2)
		domain->attachment[domain->attachments++] = id.id;
	struct desired_interface *interface = add_interface(b, INTERFACE_ATTACHMENT, id);
	COPY(interface->name, "%s", peering->object.name);
	COPY(interface->object, "%s", peering->object.name);
	COPY(interface->link, "%s", link->object.name);
	interface->local = peering_local(peering, link);
	interface->remote = peering_remote(peering, link);
	interface->len = subnet->len;
	interface->enabled = peering->enabled && link->admin == LINK_UP;
	interface->local_asn = peering->local_asn;
	interface->remote_asn = peering->peer_asn;
	interface->password = peering->password.text;
	interface->hold = seconds(peering->hold);
	interface->keepalive = seconds(peering->keepalive);
	interface->connect = seconds(peering->connect);
	interface->error_wait = seconds(peering->error_wait);
	struct wire_interface *record = &interface->record;
	record->vrf = domain->id;
	record->owner = ids_of(b->ids, ID_OWNER, "peering/%s", peering->object.name).id;
	record->flags =
		WIRE_INTERFACE_SOURCE_CHECK | (link->admin == LINK_UP ? WIRE_INTERFACE_UP : 0);
	record->limiter_in = limiter[0].id;
	record->limiter_out = limiter[1].id;
	record->mtu = (uint16_t)link->mtu;
	record->kind = WIRE_INTERFACE_ETHERNET;
	record->vlans = (uint8_t)link_vlans(link, peering, record->vlan);
	record->port = port;
}

static void build_limiter(struct build *b, const struct circuit *circuit, const struct link *link,
	const char *direction, uint64_t queue, struct id *id)
{
	*id = ids_of(b->ids, ID_LIMITER, "%s/%s", link->object.name, direction);
	if (id->id == 0)
		return;
	struct desired_limiter *limiter = APPEND(b->desired->limiters);
	COPY(limiter->name, "%s/%s", link->object.name, direction);
	limiter->record = (struct wire_limiter){
		.uid = id->uid,
		.rate = circuit->bandwidth,
		.burst = desired_burst(circuit->bandwidth, circuit->burst),
		.ramp = wire_ramp_default(circuit->bandwidth),
		.ef_rate = circuit->ef_bandwidth,
		.packet_rate = circuit->packet_rate,
		.queue = queue,
		.limiter = id->id,
		.flags = queue != 0 ? WIRE_LIMITER_SHAPE : 0,
		.overhead = (int16_t)circuit->overhead,
		.account = circuit->accounting == ACCOUNT_L2 ? WIRE_ACCOUNT_L2 : WIRE_ACCOUNT_L3,
	};
}

static void build_link(struct build *b, const struct link *link)
{
	const struct circuit *circuit = model_circuit(b->model, link->circuit);
	int port = node_port_index(b->node, link->port);
	struct id limiter[2];

	if (circuit == NULL)
		return;
	if (port < 0) {
		problem(b->desired, link->object.name, "add it to the node file's ports",
			"link \"%s\" is on port \"%s\", which has no device on this machine",
			link->object.name, link->port);
		return;
	}
	build_limiter(b, circuit, link, "in", circuit->shape_in, &limiter[0]);
	build_limiter(b, circuit, link, "out", circuit->shape_out, &limiter[1]);
	const struct object *child;
	MODEL_CHILDREN(b->model, NOUN_PEERING, circuit->name, child)
	{
		const struct peering *peering = (const struct peering *)child;
		if (peering_subnet(peering, link) != NULL)
			build_attachment(b, link, peering, limiter, (unsigned int)port);
	}
}

// --- vnets ---------------------------------------------------------------------------------------------

// The core port that has the tunnel's outer address.
static const struct desired_interface *core_of(
	const struct desired *desired, const struct ip_address *local)
{
	for (unsigned int i = 0; i < desired->interfaces.count; i++) {
		const struct desired_interface *interface = &desired->interfaces.item[i];
		if (interface->kind == INTERFACE_CORE &&
			ip_address_compare(&interface->local, local) == 0)
			return interface;
	}
	return NULL;
}

static void build_vnet(struct build *b, const struct vnet *vnet)
{
	const struct vnet_tunnel *tunnel = vnet_tunnel_of(vnet, b->node->edge);
	if (tunnel == NULL)
		return;
	const struct desired_interface *core = core_of(b->desired, &tunnel->local);
	struct id id = ids_of(b->ids, ID_INTERFACE, "tunnel/%s/%s", vnet->name, tunnel->edge);
	if (core == NULL) {
		problem(b->desired, vnet->name, "culvertctl port list",
			"the tunnel of vnet \"%s\" starts at an address that no core port of this "
			"machine has",
			vnet->name);
		return;
	}
	uint16_t mtu = core->record.mtu;
	struct desired_domain *domain = add_domain(b, DOMAIN_VNET, vnet->name);
	COPY(domain->customer, "%s", vnet->customer);
	domain->tunnel = id.id;
	for (unsigned int i = 0; i < vnet->prefixes.count; i++)
		*(struct ip_prefix *)APPEND(domain->prefixes) = vnet->prefixes.item[i];
	struct desired_interface *interface = add_interface(b, INTERFACE_TUNNEL, id);
	COPY(interface->name, "vnet/%s", vnet->name);
	COPY(interface->object, "%s", vnet->name);
	struct wire_interface *record = &interface->record;
	record->vrf = domain->id;
	record->owner = ids_of(b->ids, ID_OWNER, "vnet/%s", vnet->name).id;
	record->flags = WIRE_INTERFACE_UP | WIRE_INTERFACE_SOURCE_CHECK | WIRE_INTERFACE_KEY;
	record->mtu = (uint16_t)(mtu - (tunnel->local.family == 4 ? GRE_OVERHEAD4 : GRE_OVERHEAD6));
	record->kind = WIRE_INTERFACE_GRE;
	record->key = tunnel->key;
	record->family = tunnel->local.family;
	record->ttl = TUNNEL_TTL;
	memcpy(record->local, tunnel->local.bytes, sizeof(record->local));
	memcpy(record->remote, tunnel->gateway.bytes, sizeof(record->remote));
}

// NULL: it is not on this edge. After the domains have been sorted.
static struct desired_domain *realised_domain(struct build *b, const char *kind, const char *name)
{
	struct id id = ids_of(b->ids, ID_VRF, "%s%s", kind, name);
	return (struct desired_domain *)desired_domain(b->desired, id.id);
}

static void build_connection(struct build *b, const struct connection *connection)
{
	char name[OBJECT_NAME_MAX];
	connection_peering_name(connection, name);
	struct desired_domain *peering = realised_domain(b, "peering/", name);
	struct desired_domain *vnet = realised_domain(b, "vnet/", connection->vnet);

	if (peering == NULL || vnet == NULL)
		return; // one of its ends is not on this edge
	uint16_t weight = connection->weight > 0 ? (uint16_t)connection->weight : 1;
	*(struct join *)APPEND(peering->joins) = (struct join){vnet->id, weight};
	*(struct join *)APPEND(vnet->joins) = (struct join){peering->id, weight};
}

// --- the whole -----------------------------------------------------------------------------------------

static int compare_ids(const void *a, const void *b)
{
	uint32_t left, right; // both structs begin with the id
	memcpy(&left, a, sizeof(left));
	memcpy(&right, b, sizeof(right));
	return (left > right) - (left < right);
}

static int compare_limiters(const void *a, const void *b)
{
	const struct desired_limiter *left = a, *right = b;
	return (left->record.limiter > right->record.limiter) -
	       (left->record.limiter < right->record.limiter);
}

struct desired *desired_build(struct publication *publication, const struct node *node)
{
	struct desired *desired = calloc(1, sizeof(*desired));
	if (desired == NULL)
		abort();
	struct build b = {.desired = desired,
		.model = publication->model,
		.ids = publication->ids,
		.node = node,
		.rules = rules_create(publication->model)};

	desired->publication = publication_ref(publication);
	build_underlay(&b);
	for (unsigned int i = 0; i < model_count(b.model, NOUN_LINK); i++) {
		const struct link *link = model_link_at(b.model, i);
		if (strcmp(link->edge, node->edge) == 0)
			build_link(&b, link);
	}
	for (unsigned int i = 0; i < model_count(b.model, NOUN_VNET); i++)
		build_vnet(&b, model_vnet_at(b.model, i));
	qsort(desired->domains.item, desired->domains.count, sizeof(*desired->domains.item),
		compare_ids);
	if (desired->interfaces.count > 0)
		qsort(desired->interfaces.item, desired->interfaces.count,
			sizeof(*desired->interfaces.item), compare_ids);
	if (desired->limiters.count > 0)
		qsort(desired->limiters.item, desired->limiters.count,
			sizeof(*desired->limiters.item), compare_limiters);
	for (unsigned int i = 0; i < model_count(b.model, NOUN_CONNECTION); i++)
		build_connection(&b, model_connection_at(b.model, i));
	rules_free(b.rules);
	return desired;
}

void desired_free(struct desired *desired)
{
	if (desired == NULL)
		return;
	for (unsigned int i = 0; i < desired->domains.count; i++) {
		free(desired->domains.item[i].joins.item);
		free(desired->domains.item[i].prefixes.item);
		free(desired->domains.item[i].rejects.item);
	}
	for (unsigned int i = 0; i < desired->text.count; i++)
		free(desired->text.item[i]);
	free(desired->domains.item);
	free(desired->interfaces.item);
	free(desired->limiters.item);
	free(desired->statics.item);
	free(desired->problems.item);
	free(desired->text.item);
	publication_unref(desired->publication);
	free(desired);
}

const struct desired_domain *desired_domain(const struct desired *desired, uint32_t id)
{
	if (desired->domains.count == 0)
		return NULL;
	return bsearch(&id, desired->domains.item, desired->domains.count,
		sizeof(*desired->domains.item), compare_ids);
}

const struct desired_domain *desired_domain_named(const struct desired *desired, const char *name)
{
	for (unsigned int i = 0; i < desired->domains.count; i++)
		if (strcmp(desired->domains.item[i].name, name) == 0)
			return &desired->domains.item[i];
	return NULL;
}

const struct desired_interface *desired_interface(const struct desired *desired, uint32_t id)
{
	if (desired->interfaces.count == 0)
		return NULL;
	return bsearch(&id, desired->interfaces.item, desired->interfaces.count,
		sizeof(*desired->interfaces.item), compare_ids);
}

static const struct desired_interface *core_towards(
	const struct desired *desired, const struct ip_address *address, uint8_t *len)
{
	const struct desired_interface *best = NULL;

	for (unsigned int i = 0; i < desired->interfaces.count; i++) {
		const struct desired_interface *interface = &desired->interfaces.item[i];
		if (interface->kind != INTERFACE_CORE || interface->local.family != address->family)
			continue;
		struct ip_prefix subnet = ip_prefix_of(&interface->local, interface->len);
		if (ip_prefix_contains_address(&subnet, address) &&
			(best == NULL || interface->len > best->len))
			best = interface;
	}
	if (best != NULL)
		*len = best->len;
	return best;
}

const struct desired_interface *desired_underlay(
	const struct desired *desired, const struct ip_address *address, struct ip_address *via)
{
	uint8_t best_len = 0;
	const struct desired_interface *best = core_towards(desired, address, &best_len);

	*via = *address;
	for (unsigned int i = 0; i < desired->statics.count; i++) {
		const struct bridge_static *route = &desired->statics.item[i];
		uint8_t ignored;
		if (!ip_prefix_contains_address(&route->prefix, address) ||
			(best != NULL && route->prefix.len <= best_len))
			continue;
		const struct desired_interface *core = core_towards(desired, &route->via, &ignored);
		if (core == NULL)
			continue;
		best = core;
		best_len = route->prefix.len;
		*via = route->via;
	}
	return best;
}
