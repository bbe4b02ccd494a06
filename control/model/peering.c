// SPDX-License-Identifier: BSD-3-Clause
// Peerings: a routing domain of a circuit, with a BGP session to the customer on each link.

#include "control/model/peering.h"
#include "control/base/array.h"
#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/intent.h"
#include "control/model/link.h"
#include "control/model/model_internal.h"
#include "control/model/port.h"
#include "control/model/vnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET(member) offsetof(struct peering, member)
#define SECOND         INT64_C(1000000000)

static const char *const types[] = {"private", NULL};

static const struct field fields[] = {
	{"circuit", FIELD_REFERENCE, FIELD_KEY, OFFSET(circuit), .target = NOUN_CIRCUIT,
		.on_delete = ON_DELETE_CASCADE, .help = "the circuit it is part of"},
	{"type", FIELD_ENUM, FIELD_KEY, OFFSET(type), .values = types,
		.help = "what is reached over it"},
	{"primary-subnet", FIELD_PREFIX, 0, OFFSET(primary_subnet), .effect = EFFECT_SESSION,
		.help = "/30 (IPv6: /126) on the primary link; the first host address is the "
			"customer's, the second ours"},
	{"secondary-subnet", FIELD_PREFIX, 0, OFFSET(secondary_subnet), .effect = EFFECT_SESSION,
		.help = "the same on the secondary link"},
	{"peer-asn", FIELD_ASN, FIELD_REQUIRED, OFFSET(peer_asn), .effect = EFFECT_SESSION,
		.help = "the customer's AS number"},
	{"local-asn", FIELD_ASN, FIELD_REQUIRED, OFFSET(local_asn), .effect = EFFECT_SESSION,
		.help = "our AS number"},
	{"c-tag", FIELD_UINT, 0, OFFSET(c_tag), NULL, 1, 4094, .effect = EFFECT_TRAFFIC,
		.help = "VLAN tag below the link's tag"},
	{"password", FIELD_SECRET, 0, OFFSET(password), .effect = EFFECT_SESSION,
		.help = "of the BGP sessions (TCP MD5)"},
	{"hold", FIELD_DURATION, 0, OFFSET(hold), "90s", 3 * SECOND, 65535 * SECOND,
		.effect = EFFECT_SESSION, .help = "BGP hold time"},
	{"keepalive", FIELD_DURATION, 0, OFFSET(keepalive), "30s", 1 * SECOND, 21845 * SECOND,
		.effect = EFFECT_SESSION,
		.help = "BGP keepalive time, at most a third of the hold time"},
	{"connect", FIELD_DURATION, 0, OFFSET(connect), "5s", 1 * SECOND, 3600 * SECOND,
		.effect = EFFECT_HITLESS, .help = "time between attempts to connect"},
	{"error-wait", FIELD_DURATION, 0, OFFSET(error_wait), "5s", 1 * SECOND, 3600 * SECOND,
		.effect = EFFECT_HITLESS, .help = "pause after a protocol error"},
	{"enabled", FIELD_BOOL, 0, OFFSET(enabled), "true", .effect = EFFECT_SESSION,
		.help = "false keeps its sessions down"},
	{"ttl-security", FIELD_BOOL, 0, OFFSET(ttl_security), "false", .effect = EFFECT_SESSION,
		.help = "true takes BGP only from a router on the link itself: TTL 255 (RFC 5082), as the "
			"customer's router must have it too"},
	{"routes", FIELD_LIST, 0, OFFSET(routes), .element = FIELD_PREFIX, .effect = EFFECT_SESSION,
		.help = "networks behind the customer's router, where no BGP is spoken: then the "
			"customer's side has static routes too"},
};

const struct ip_prefix *peering_subnet(const struct peering *peering, const struct link *link)
{
	const struct ip_prefix *subnet =
		link->role == LINK_PRIMARY ? &peering->primary_subnet : &peering->secondary_subnet;

	return subnet->address.family ? subnet : NULL;
}

static struct ip_address host_of(const struct peering *peering, const struct link *link, uint32_t n)
{
	const struct ip_prefix *subnet = peering_subnet(peering, link);
	struct ip_address none = {0};

	return subnet ? ip_prefix_nth(subnet, n) : none;
}

struct ip_address peering_remote(const struct peering *peering, const struct link *link)
{
	return host_of(peering, link, 1);
}

struct ip_address peering_local(const struct peering *peering, const struct link *link)
{
	return host_of(peering, link, 2);
}

// --- rules ---------------------------------------------------------------------------------------------

static const char *const subnet_names[] = {"primary-subnet", "secondary-subnet"};

static const struct ip_prefix *subnet_at(const struct peering *peering, unsigned int i)
{
	return i ? &peering->secondary_subnet : &peering->primary_subnet;
}

static void subnet_length(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < 2; i++) {
		const struct ip_prefix *subnet = subnet_at(peering, i);
		unsigned int length = subnet->address.family == 4 ? 30 : 126;
		if (!subnet->address.family)
			continue;
		if (subnet->len != length)
			refuse(check, object, subnet_names[i],
				"peering \"%s\": %s %s must be a /%u", object->name,
				subnet_names[i], ip_prefix_format(subnet, text), length);
		else if (ip_special(subnet, IP_LINK_LOCAL))
			refuse(check, object, subnet_names[i],
				"peering \"%s\": %s %s holds no host addresses, it %s",
				object->name, subnet_names[i], ip_prefix_format(subnet, text),
				ip_special(subnet, IP_LINK_LOCAL));
	}
}

static void subnets_distinct(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;

	if (peering->primary_subnet.address.family &&
		ip_prefix_overlaps(&peering->primary_subnet, &peering->secondary_subnet))
		refuse(check, object, "secondary-subnet",
			"peering \"%s\": primary and secondary subnet are the same", object->name);
}

static void subnets_family(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	uint8_t first = peering->primary_subnet.address.family;
	uint8_t second = peering->secondary_subnet.address.family;

	if (first && second && first != second)
		finding_hint(refuse(check, object, "secondary-subnet",
				     "peering \"%s\": primary-subnet is of IPv%u, "
				     "secondary-subnet of IPv%u",
				     object->name, first, second),
			"a circuit each for IPv4 and IPv6");
}

static void links_carry_ipv6(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	const struct object *child;

	MODEL_CHILDREN(check->model, NOUN_LINK, peering->circuit, child)
	{
		const struct link *link = (const struct link *)child;
		const struct ip_prefix *subnet = peering_subnet(peering, link);
		if (!subnet || subnet->address.family != 6 || link->mtu >= IPV6_MTU_MIN)
			continue;
		finding_hint(refuse(check, object, subnet_names[link->role == LINK_SECONDARY],
				     "peering \"%s\": IPv6 needs %u bytes, link \"%s\" has MTU %u",
				     object->name, IPV6_MTU_MIN, child->name, link->mtu),
			"culvertctl link set %s --mtu %u", child->name, IPV6_MTU_MIN);
	}
}

static void subnet_per_link(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	const struct object *child;

	MODEL_CHILDREN(check->model, NOUN_LINK, peering->circuit, child)
	{
		const struct link *link = (const struct link *)child;
		const char *name = subnet_names[link->role == LINK_SECONDARY];
		if (!peering_subnet(peering, link))
			finding_hint(refuse(check, object, name,
					     "peering \"%s\" has no %s for link \"%s\"",
					     object->name, name, child->name),
				"%s: 169.254.10.%u/30", name, link->role == LINK_SECONDARY ? 4 : 0);
	}
}

// With host domain `table` all peerings share one network stack; with `netns` and `vrf` each has
// its own.
static void subnet_unique(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	const struct index *index = check->model->index;
	char text[IP_TEXT_MAX];

	if (check->model->options.host_domain != HOST_DOMAIN_TABLE)
		return;
	for (unsigned int s = 0; s < 2; s++) {
		const struct ip_prefix *subnet = subnet_at(peering, s);
		if (!subnet->address.family)
			continue;
		uint64_t hash = key_text("subnet", ip_prefix_format(subnet, text));
		for (unsigned int i = index_first(index, hash);
			i < index->count && index->entry[i].hash == hash; i++) {
			const struct peering *other =
				(const struct peering *)index->entry[i].object;
			if (other == peering || other->object.noun != &peering_noun ||
				(ip_prefix_compare(subnet, &other->primary_subnet) &&
					ip_prefix_compare(subnet, &other->secondary_subnet)) ||
				!blame(check, object, &other->object))
				continue;
			check->about = text;
			finding_hint(refuse(check, object, subnet_names[s],
					     "peering \"%s\": subnet %s is already that of peering "
					     "\"%s\"",
					     object->name, text, other->object.name),
				"with host-domain table every peering needs its own; netns and vrf "
				"allow equal ones");
			break;
		}
	}
}

static void subnet_underlay(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < model_count(check->model, NOUN_PORT); i++) {
		const struct port *port = model_port_at(check->model, i);
		if (!port->address.address.family)
			continue;
		struct ip_prefix core = ip_prefix_of(&port->address.address, port->address.len);
		for (unsigned int s = 0; s < 2; s++) {
			if (ip_prefix_overlaps(subnet_at(peering, s), &core))
				refuse(check, object, subnet_names[s],
					"peering \"%s\": %s overlaps %s of core port \"%s\"",
					object->name, subnet_names[s],
					ip_prefix_format(&core, text), port->object.name);
		}
	}
}

static void asn_differ(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;

	if (peering->peer_asn == peering->local_asn)
		refuse(check, object, "peer-asn",
			"peering \"%s\": the customer's and our AS number are both %u",
			object->name, peering->peer_asn);
}

static void routes_family(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < peering->routes.count; i++) {
		const struct ip_prefix *route = &peering->routes.item[i];
		bool twice = false;
		for (unsigned int j = 0; j < i; j++)
			twice |= !ip_prefix_compare(route, &peering->routes.item[j]);
		for (unsigned int s = 0; s < 2; s++) {
			uint8_t family = subnet_at(peering, s)->address.family;
			if (family && family != route->address.family)
				refuse(check, object, "routes",
					"peering \"%s\": route %s and %s are of different address "
					"families",
					object->name, ip_prefix_format(route, text),
					subnet_names[s]);
		}
		if (twice)
			refuse(check, object, "routes", "peering \"%s\": two routes to %s",
				object->name, ip_prefix_format(route, text));
		if (ip_special(route, IP_AGGREGATE))
			refuse(check, object, "routes", "peering \"%s\": route %s %s", object->name,
				ip_prefix_format(route, text), ip_special(route, IP_AGGREGATE));
	}
}

static void timers(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	static const char *const names[] = {"hold", "keepalive", "connect", "error-wait"};

	for (unsigned int i = 0; i < 4; i++) {
		const struct field *field = field_find(&peering_noun.fields, names[i]);
		uint64_t value = *(const uint64_t *)field_at(field, peering);
		char text[FIELD_TEXT_MAX];
		if (value % (uint64_t)SECOND)
			refuse(check, object, names[i],
				"peering \"%s\": %s %s is not in whole seconds", object->name,
				names[i], field_format(field, &value, text));
	}
	if (peering->keepalive > peering->hold / 3)
		finding_hint(
			refuse(check, object, "keepalive",
				"peering \"%s\": keepalive is more than a third of the hold time",
				object->name),
			"keepalive: %llus",
			(unsigned long long)(peering->hold / 3 / (uint64_t)SECOND));
}

static const struct rule rules[] = {
	{"subnet-length", "peering subnets are /30, of IPv6 /126", subnet_length},
	{"subnets-distinct", "the two subnets of a peering differ", subnets_distinct},
	{"subnets-family", "both subnets of a peering are of one address family", subnets_family},
	{"link-mtu-ipv6", "links of an IPv6 peering carry at least 1280 bytes", links_carry_ipv6},
	{"subnet-per-link", "a peering has a subnet for each link of its circuit", subnet_per_link},
	{"subnet-unique", "with host domain table, peering subnets are unique", subnet_unique},
	{"subnet-underlay", "peering subnets do not overlap those of core ports", subnet_underlay},
	{"asn-differ", "the customer's AS number is not ours", asn_differ},
	{"routes-family",
		"routes of a peering are hosts' networks, of its subnets' family, each once",
		routes_family},
	{"timers", "timers are whole seconds, keepalive at most a third of hold", timers},
	{0},
};

static void keys(struct index_sink *sink, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < 2; i++) {
		if (subnet_at(peering, i)->address.family)
			index_key(sink,
				key_text("subnet", ip_prefix_format(subnet_at(peering, i), text)));
	}
}

static const char *customer_of(const struct model *model, const struct object *object)
{
	return circuit_customer(model, ((const struct peering *)object)->circuit);
}

static void ids(struct id_sink *sink, const struct object *object)
{
	id_needed(sink, ID_VRF, "peering/%s", object->name);
	id_needed(sink, ID_OWNER, "peering/%s", object->name);
	id_needed(sink, ID_PEERING, "%s", object->name);
	id_needed(sink, ID_INTERFACE, "attachment/%s/primary", object->name);
	id_needed(sink, ID_INTERFACE, "attachment/%s/secondary", object->name);
}

static void touches(struct check *check, const struct object *object)
{
	circuit_touch(check, ((const struct peering *)object)->circuit);
}

// --- what it means ---------------------------------------------------------------------------------------

// Prefixes of each family that a private peering may bring.
#define ROUTE_LIMIT 4000

static uint16_t seconds(uint64_t ns)
{
	uint64_t value = (ns + 999999999u) / 1000000000u;

	return value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
}

static void realise_session(
	struct intent_session *session, const struct peering *peering, const struct link *link)
{
	session->enabled = peering->enabled && link->admin == LINK_UP;
	session->local_asn = peering->local_asn;
	session->remote_asn = peering->peer_asn;
	session->password = peering->password.text;
	session->hold = seconds(peering->hold);
	session->keepalive = seconds(peering->keepalive);
	session->connect = seconds(peering->connect);
	session->error_wait = seconds(peering->error_wait);
	session->ttl_security = peering->ttl_security;
}

static void realise_attachment(
	struct realise *realise, const struct peering *peering, const struct link *link, int port)
{
	const char *role = link->role == LINK_PRIMARY ? "primary" : "secondary";
	struct id id =
		realise_id(realise, ID_INTERFACE, "attachment/%s/%s", peering->object.name, role);
	struct intent_interface *interface = realise_interface(realise, INTENT_ATTACHMENT, id);

	interface->name = interface->object = peering->object.name;
	interface->link = link->object.name;
	interface->domain = realise_id(realise, ID_VRF, "peering/%s", peering->object.name).id;
	interface->owner = realise_id(realise, ID_OWNER, "peering/%s", peering->object.name).id;
	interface->up = link->admin == LINK_UP;
	interface->source_check = true;
	interface->limiter_in = realise_id(realise, ID_LIMITER, "%s/in", link->object.name).id;
	interface->limiter_out = realise_id(realise, ID_LIMITER, "%s/out", link->object.name).id;
	interface->mtu = (uint16_t)link->mtu;
	interface->port = (uint32_t)port;
	interface->vlans = (uint8_t)link_vlans(link, peering, interface->vlan);
	interface->local = peering_local(peering, link);
	interface->remote = peering_remote(peering, link);
	interface->len = peering_subnet(peering, link)->len;
	realise_session(&interface->session, peering, link);
}

// What the customer may not announce into it: the prefixes and tunnel ends of what it is joined to,
// its own subnets, the outer addresses of all edges, what no network of hosts has and what went through our AS; and no next
// hop but his routers on this edge.
static void realise_import(struct realise *realise, const struct peering *peering,
	const struct ip_address *router, unsigned int routers, struct policy *import)
{
	LIST_OF(struct ip_prefix) own = {0};
	char object[OBJECT_NAME_MAX + 16];
	const struct object *child;

	REALISE_CHILDREN(realise, NOUN_CONNECTION, peering->circuit, child)
	{
		const struct connection *connection = (const struct connection *)child;
		const struct object *vnet = realise_find(realise, NOUN_VNET, connection->vnet);
		if (vnet && !strcmp(connection->peering, types[peering->type]))
			realise_policy(realise, import, vnet_refuse((const struct vnet *)vnet));
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (subnet_at(peering, i)->address.family)
			*(struct ip_prefix *)APPEND(own) = *subnet_at(peering, i);
	}
	snprintf(object, sizeof(object), "peering/%s", peering->object.name);
	realise_policy(
		realise, import, policy_set_refuse(own.item, own.count, "peering-subnet", object));
	realise_policy(realise, import, port_refuse(realise));
	realise_policy(realise, import, policy_set_special());
	realise_policy(realise, import, policy_set_as_loop(peering->local_asn));
	realise_policy(realise, import, policy_set_next_hops(router, routers));
	free(own.item);
	import->limit[0] = import->limit[1] = ROUTE_LIMIT;
}

static void realise(struct realise *realise, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	struct ip_address router[2];
	unsigned int routers = 0;
	const struct object *child;

	REALISE_CHILDREN(realise, NOUN_LINK, peering->circuit, child)
	{
		const struct link *link = (const struct link *)child;
		int port = realise_port_index(realise, link->port);
		if (strcmp(link->edge, realise_edge(realise)) || port < 0 ||
			!peering_subnet(peering, link))
			continue;
		realise_attachment(realise, peering, link, port);
		if (routers < 2)
			router[routers++] = peering_remote(peering, link);
	}
	const struct circuit *circuit =
		(const struct circuit *)realise_find(realise, NOUN_CIRCUIT, peering->circuit);
	if (routers == 0 || !circuit)
		return;
	struct intent_domain *domain = realise_domain(realise, INTENT_PEERING, object->name);
	domain->circuit = circuit->name;
	domain->customer = circuit->customer;
	for (unsigned int i = 0; i < peering->routes.count; i++) {
		struct intent_route *route = APPEND(domain->routes);
		route->prefix = peering->routes.item[i]; // by whichever of his routers
	}
	realise_import(realise, peering, router, routers, &domain->import);
}

bool peering_is_enabled(const struct model *model, const char *circuit)
{
	const struct object *child;

	MODEL_CHILDREN(model, NOUN_PEERING, circuit, child)
	{
		if (((const struct peering *)child)->enabled)
			return true;
	}
	return false;
}

static bool carries(const struct model *model, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;

	return peering->enabled && link_is_up(model, peering->circuit);
}

const struct noun peering_noun = {
	.id = NOUN_PEERING,
	.name = "peering",
	.section = "peerings",
	.parent = NOUN_CIRCUIT,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct peering)},
	.rules = rules,
	.keys = keys,
	.customer_of = customer_of,
	.ids = ids,
	.touches = touches,
	.realise = realise,
	.removal = EFFECT_TRAFFIC,
	.carries = carries,
	.help = "a routing domain of a circuit, with a BGP session on each link",
};
