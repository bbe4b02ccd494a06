// SPDX-License-Identifier: BSD-3-Clause
// Peerings: a routing domain of a circuit, with a BGP session to the customer on each link and for each address family.

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
	{"primary-subnet", FIELD_PREFIX, FIELD_ADDS, OFFSET(primary_subnet),
		.effect = EFFECT_SESSION,
		.help = "/30 (IPv6: /126) on the primary link; the first host address is the "
			"customer's, the second ours"},
	{"secondary-subnet", FIELD_PREFIX, FIELD_ADDS, OFFSET(secondary_subnet),
		.effect = EFFECT_SESSION, .help = "the same on the secondary link"},
	{"primary-subnet-v6", FIELD_PREFIX, FIELD_ADDS, OFFSET(primary_subnet_v6),
		.effect = EFFECT_SESSION,
		.help = "/126 on the primary link, beside one of IPv4 or alone: a BGP session of its own"},
	{"secondary-subnet-v6", FIELD_PREFIX, FIELD_ADDS, OFFSET(secondary_subnet_v6),
		.effect = EFFECT_SESSION, .help = "the same on the secondary link"},
	{"subnet", FIELD_PREFIX, FIELD_ADDS, OFFSET(subnet), .effect = EFFECT_SESSION,
		.help = "/29 (IPv6: /125) in place of the two: its first half is the primary link's, "
			"its second the secondary's"},
	{"subnet-v6", FIELD_PREFIX, FIELD_ADDS, OFFSET(subnet_v6), .effect = EFFECT_SESSION,
		.help = "/125 in place of the two of IPv6"},
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

// --- subnets -------------------------------------------------------------------------------------------

// As they may be given: of each link, or one whose halves are the links'. [1]: those of IPv6 beside IPv4.
static const struct way {
	const char *link[2], *both; // names of fields; link: by role
	size_t link_at[2], both_at;
} ways[2] = {
	{{"primary-subnet", "secondary-subnet"}, "subnet",
		{OFFSET(primary_subnet), OFFSET(secondary_subnet)}, OFFSET(subnet)},
	{{"primary-subnet-v6", "secondary-subnet-v6"}, "subnet-v6",
		{OFFSET(primary_subnet_v6), OFFSET(secondary_subnet_v6)}, OFFSET(subnet_v6)},
};

static const struct ip_prefix *prefix_at(const struct peering *peering, size_t offset)
{
	return (const struct ip_prefix *)((const char *)peering + offset);
}

// The half of a subnet that is the primary link's, or the secondary's.
static struct ip_prefix half_of(const struct ip_prefix *subnet, unsigned int role)
{
	uint8_t bits = ip_bits(subnet->address.family);
	uint8_t len = subnet->len < bits ? (uint8_t)(subnet->len + 1) : bits;
	const struct ip_address first =
		role == LINK_PRIMARY || bits - len > 31
			? subnet->address
			: ip_prefix_nth(subnet, UINT32_C(1) << (bits - len));

	return ip_prefix_of(&first, len);
}

// What is given in this way for the link of that role, and in which field. Family 0 = nothing.
static struct ip_prefix given(
	const struct peering *peering, unsigned int way, unsigned int role, const char **field)
{
	const struct ip_prefix *both = prefix_at(peering, ways[way].both_at);
	const struct ip_prefix *link = prefix_at(peering, ways[way].link_at[role]);
	bool halved = !link->address.family && both->address.family;

	if (field)
		*field = halved ? ways[way].both : ways[way].link[role];
	return halved ? half_of(both, role) : *link;
}

// ... of this family. *way (may be NULL): where it was.
static struct ip_prefix subnet_of(
	const struct peering *peering, unsigned int role, uint8_t family, unsigned int *way)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct ip_prefix subnet = given(peering, i, role, NULL);
		if (subnet.address.family != family)
			continue;
		if (way)
			*way = i;
		return subnet;
	}
	return (struct ip_prefix){0};
}

struct ip_prefix peering_subnet(
	const struct peering *peering, const struct link *link, uint8_t family)
{
	return subnet_of(peering, link->role, family, NULL);
}

bool peering_is_on(const struct peering *peering, const struct link *link)
{
	return peering_subnet(peering, link, 4).address.family ||
	       peering_subnet(peering, link, 6).address.family;
}

unsigned int peering_subnets(const struct peering *peering, struct ip_prefix subnet[4])
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < 4; i++) {
		const struct ip_prefix one = given(peering, i / 2, i % 2, NULL);
		if (one.address.family)
			subnet[count++] = one;
	}
	return count;
}

bool peering_has_family(const struct peering *peering, uint8_t family)
{
	return subnet_of(peering, LINK_PRIMARY, family, NULL).address.family ||
	       subnet_of(peering, LINK_SECONDARY, family, NULL).address.family;
}

static struct ip_address host_of(
	const struct peering *peering, const struct link *link, uint8_t family, uint32_t n)
{
	const struct ip_prefix subnet = peering_subnet(peering, link, family);
	struct ip_address none = {0};

	return subnet.address.family ? ip_prefix_nth(&subnet, n) : none;
}

struct ip_address peering_remote(
	const struct peering *peering, const struct link *link, uint8_t family)
{
	return host_of(peering, link, family, 1);
}

struct ip_address peering_local(
	const struct peering *peering, const struct link *link, uint8_t family)
{
	return host_of(peering, link, family, 2);
}

// --- rules ---------------------------------------------------------------------------------------------

static void length_of_one(
	struct check *check, const struct object *object, const char *field, size_t offset, bool both)
{
	const struct ip_prefix *subnet = prefix_at((const struct peering *)object, offset);
	unsigned int length = (subnet->address.family == 4 ? 30 : 126) - both;
	char text[IP_TEXT_MAX];

	if (!subnet->address.family)
		return;
	if (subnet->len != length)
		refuse(check, object, field, "peering \"%s\": %s %s must be a /%u", object->name,
			field, ip_prefix_format(subnet, text), length);
	else if (ip_special(subnet, IP_LINK_LOCAL))
		refuse(check, object, field, "peering \"%s\": %s %s holds no host addresses, it %s",
			object->name, field, ip_prefix_format(subnet, text),
			ip_special(subnet, IP_LINK_LOCAL));
}

static void subnet_length(struct check *check, const struct object *object)
{
	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int role = 0; role < 2; role++)
			length_of_one(
				check, object, ways[i].link[role], ways[i].link_at[role], false);
		length_of_one(check, object, ways[i].both, ways[i].both_at, true);
	}
}

static void subnet_once(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;

	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int role = 0; role < 2; role++) {
			if (!prefix_at(peering, ways[i].both_at)->address.family ||
				!prefix_at(peering, ways[i].link_at[role])->address.family)
				continue;
			finding_hint(refuse(check, object, ways[i].link[role],
					     "peering \"%s\": %s is given beside %s, which it is "
					     "half of",
					     object->name, ways[i].link[role], ways[i].both),
				"%s alone, or %s and %s", ways[i].both, ways[i].link[0],
				ways[i].link[1]);
		}
	}
}

static void subnets_distinct(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;

	for (unsigned int i = 0; i < 2; i++) {
		const struct ip_prefix primary = *prefix_at(peering, ways[i].link_at[0]);
		const struct ip_prefix *secondary = prefix_at(peering, ways[i].link_at[1]);
		if (primary.address.family && ip_prefix_overlaps(&primary, secondary))
			refuse(check, object, ways[i].link[1],
				"peering \"%s\": primary and secondary subnet are the same",
				object->name);
	}
}

// Those of IPv6 alone may stand in either fields, beside those of IPv4 in their own.
static void subnets_family(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	const char *field[2][2]; // way, role
	uint8_t family[2][2];

	for (unsigned int i = 0; i < 4; i++)
		family[i / 2][i % 2] =
			given(peering, i / 2, i % 2, &field[i / 2][i % 2]).address.family;
	for (unsigned int role = 0; role < 2; role++) {
		if (family[1][role] == 4)
			finding_hint(refuse(check, object, field[1][role],
					     "peering \"%s\": %s is of IPv4", object->name,
					     field[1][role]),
				"give it as %s",
				field[1][role] == ways[1].both ? ways[0].both : ways[0].link[role]);
		else if (family[1][role] && family[0][role] == 6)
			finding_hint(refuse(check, object, field[0][role],
					     "peering \"%s\": %s and %s are both of IPv6",
					     object->name, field[0][role], field[1][role]),
				"%s is IPv4's where there is %s", field[0][role], field[1][role]);
	}
	if (family[0][0] && family[0][1] && family[0][0] != family[0][1])
		finding_hint(refuse(check, object, field[0][1],
				     "peering \"%s\": primary-subnet is of IPv%u, "
				     "secondary-subnet of IPv%u",
				     object->name, family[0][0], family[0][1]),
			"both families, each on both links: IPv6 in primary-subnet-v6 and "
			"secondary-subnet-v6");
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int lacks = family[i][0] ? 1 : 0; // role, if one does
		if (!family[i][0] == !family[i][1] || !(family[!i][lacks]))
			continue;
		finding_hint(refuse(check, object, field[i][lacks],
				     "peering \"%s\" has %s, and no %s", object->name,
				     field[i][!lacks], field[i][lacks]),
			"give %s, too", field[i][lacks]);
	}
}

static void links_carry_ipv6(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	const struct object *child;
	const char *field;

	MODEL_CHILDREN(check->model, NOUN_LINK, peering->circuit, child)
	{
		const struct link *link = (const struct link *)child;
		unsigned int way;
		if (!subnet_of(peering, link->role, 6, &way).address.family ||
			link->mtu >= IPV6_MTU_MIN)
			continue;
		given(peering, way, link->role, &field);
		finding_hint(refuse(check, object, field,
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
		const char *name = ways[0].link[link->role];
		if (!peering_is_on(peering, link))
			finding_hint(refuse(check, object, name,
					     "peering \"%s\" has no %s for link \"%s\"",
					     object->name, name, child->name),
				"%s: 169.254.10.%u/30", name, link->role == LINK_SECONDARY ? 4 : 0);
	}
}

static bool has_subnet(const struct peering *peering, const struct ip_prefix *subnet)
{
	struct ip_prefix mine[4];
	unsigned int count = peering_subnets(peering, mine);

	for (unsigned int i = 0; i < count; i++) {
		if (!ip_prefix_compare(&mine[i], subnet))
			return true;
	}
	return false;
}

// With host domain `table` all peerings share one network stack; with `netns` and `vrf` each has
// its own.
static void subnet_unique(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	const struct index *index = check->model->index;
	char text[IP_TEXT_MAX];
	const char *field;

	if (check->model->options.host_domain != HOST_DOMAIN_TABLE)
		return;
	for (unsigned int s = 0; s < 4; s++) {
		const struct ip_prefix subnet = given(peering, s / 2, s % 2, &field);
		if (!subnet.address.family)
			continue;
		uint64_t hash = key_text("subnet", ip_prefix_format(&subnet, text));
		for (unsigned int i = index_first(index, hash);
			i < index->count && index->entry[i].hash == hash; i++) {
			const struct peering *other =
				(const struct peering *)index->entry[i].object;
			if (other == peering || other->object.noun != &peering_noun ||
				!has_subnet(other, &subnet) ||
				!blame(check, object, &other->object))
				continue;
			check->about = text;
			finding_hint(refuse(check, object, field,
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
	const char *field;

	for (unsigned int i = 0; i < model_count(check->model, NOUN_PORT); i++) {
		const struct port *port = model_port_at(check->model, i);
		if (!port->address.address.family)
			continue;
		struct ip_prefix core = ip_prefix_of(&port->address.address, port->address.len);
		for (unsigned int s = 0; s < 4; s++) {
			const struct ip_prefix subnet = given(peering, s / 2, s % 2, &field);
			if (ip_prefix_overlaps(&subnet, &core))
				refuse(check, object, field,
					"peering \"%s\": %s overlaps %s of core port \"%s\"",
					object->name, field, ip_prefix_format(&core, text),
					port->object.name);
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
		if (peering_has_family(peering, route->address.family == 4 ? 6 : 4) &&
			!peering_has_family(peering, route->address.family))
			refuse(check, object, "routes",
				"peering \"%s\": route %s is of IPv%u, the peering has no subnet of "
				"that family",
				object->name, ip_prefix_format(route, text), route->address.family);
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

// A new one, that is: the provider takes his line away without asking. A file that says where the provider is
// puts back what was.
static void provisioned(struct check *check, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	const struct circuit *circuit = model_circuit(check->model, peering->circuit);

	if (circuit_is_provisioned(circuit) || !check_creates(check, object) ||
		check_said(check, &circuit->object, "provider-state"))
		return;
	finding_hint(refuse(check, object, "circuit",
			     "peering \"%s\": the circuit is %s at provider \"%s\"", object->name,
			     circuit_provider_state(circuit), circuit->provider),
		"give %s the key %s; culvertctl circuit wait %s --state provisioned", circuit->provider,
		circuit->service_key, circuit->name);
}

static const struct rule rules[] = {
	{CIRCUIT_PROVISIONED, "peerings are set on a circuit that its provider has provisioned",
		provisioned},
	{"subnet-length", "peering subnets are /30, of IPv6 /126; one for both links twice as large",
		subnet_length},
	{"subnet-once", "a peering's subnets are given one for each link, or one for both",
		subnet_once},
	{"subnets-distinct", "the two subnets of a peering differ", subnets_distinct},
	{"subnets-family", "a peering has the same address families on both links, each once",
		subnets_family},
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
	struct ip_prefix subnet[4];
	unsigned int count = peering_subnets((const struct peering *)object, subnet);
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < count; i++)
		index_key(sink, key_text("subnet", ip_prefix_format(&subnet[i], text)));
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

// A session that becomes one of two stays what it was: its number goes by the field that it is given in.
static void realise_address(struct intent_interface *interface, const struct peering *peering,
	const struct link *link, uint8_t family)
{
	struct intent_address *address = &interface->address[ip_index(family)];
	unsigned int way = 0;
	const struct ip_prefix subnet = subnet_of(peering, link->role, family, &way);

	if (!subnet.address.family)
		return;
	address->local = peering_local(peering, link, family);
	address->remote = peering_remote(peering, link, family);
	address->len = subnet.len;
	address->session = interface->id + (way ? INTENT_SESSION_SECOND : 0);
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
	for (uint8_t family = 4; family <= 6; family += 2)
		realise_address(interface, peering, link, family);
	realise_session(&interface->session, peering, link);
}

struct joined {
	uint32_t id;
	const struct vnet *vnet;
};

// By what no other name changes.
static int compare_joined(const void *a, const void *b)
{
	uint32_t x = ((const struct joined *)a)->id, y = ((const struct joined *)b)->id;

	return x < y ? -1 : x > y;
}

// What the customer may not announce into it: the prefixes and tunnel ends of what it is joined to,
// its own subnets, the outer addresses of all edges, what no network of hosts has and what went through our AS; and no next
// hop but his routers on this edge.
static void realise_import(struct realise *realise, const struct peering *peering,
	const struct circuit *circuit,
	const struct ip_address *router, unsigned int routers, struct policy *import)
{
	struct ip_prefix own[4];
	unsigned int owns = peering_subnets(peering, own);
	LIST_OF(struct joined) joined = {0};
	char object[OBJECT_NAME_MAX + 16];
	const struct object *child;

	REALISE_CHILDREN(realise, NOUN_CONNECTION, peering->circuit, child)
	{
		const struct connection *connection = (const struct connection *)child;
		const struct object *vnet = realise_find(realise, NOUN_VNET, connection->vnet);
		if (vnet && !strcmp(connection->peering, types[peering->type]))
			*(struct joined *)APPEND(joined) = (struct joined){
				realise_id(realise, ID_VRF, "vnet/%s", vnet->name).id,
				(const struct vnet *)vnet};
	}
	if (joined.count)
		qsort(joined.item, joined.count, sizeof(*joined.item), compare_joined);
	for (unsigned int i = 0; i < joined.count; i++)
		realise_policy(realise, import, vnet_refuse(joined.item[i].vnet));
	free(joined.item);
	snprintf(object, sizeof(object), "peering/%s", peering->object.name);
	realise_policy(
		realise, import, policy_set_refuse(own, owns, "peering-subnet", object));
	realise_policy(realise, import, port_refuse(realise));
	realise_policy(realise, import, policy_set_special());
	realise_policy(realise, import, policy_set_as_loop(peering->local_asn));
	realise_policy(realise, import, policy_set_next_hops(router, routers));
	import->limit[0] = import->limit[1] = circuit_routes(circuit);
}

static void realise(struct realise *realise, const struct object *object)
{
	const struct peering *peering = (const struct peering *)object;
	struct ip_address router[4];
	unsigned int routers = 0;
	const struct object *child;
	const struct circuit *circuit =
		(const struct circuit *)realise_find(realise, NOUN_CIRCUIT, peering->circuit);

	if (!circuit || !circuit_is_provisioned(circuit))
		return;
	REALISE_CHILDREN(realise, NOUN_LINK, peering->circuit, child)
	{
		const struct link *link = (const struct link *)child;
		int port = realise_port_index(realise, link->port);
		if (strcmp(link->edge, realise_edge(realise)) || port < 0 ||
			!peering_is_on(peering, link))
			continue;
		realise_attachment(realise, peering, link, port);
		for (uint8_t family = 4; family <= 6 && routers < 4; family += 2) {
			router[routers] = peering_remote(peering, link, family);
			routers += router[routers].family != 0;
		}
	}
	if (routers == 0)
		return;
	struct intent_domain *domain = realise_domain(realise, INTENT_PEERING, object->name);
	domain->circuit = circuit->name;
	domain->customer = circuit->customer;
	for (unsigned int i = 0; i < peering->routes.count; i++) {
		struct intent_route *route = APPEND(domain->routes);
		route->prefix = peering->routes.item[i]; // by whichever of his routers
	}
	realise_import(realise, peering, circuit, router, routers, &domain->import);
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
	.help = "a routing domain of a circuit, with a BGP session on each link for each address family",
};
