// SPDX-License-Identifier: BSD-3-Clause
// Ports: where customers' frames and the core's GRE packets come in. A core port carries our
// address in the underlay; a customer port says which rates are sold on it and how much in all.

#include "control/model/port.h"
#include "control/model/circuit.h"
#include "control/model/intent.h"
#include "control/model/link.h"
#include "control/model/model_internal.h"
#include "control/model/vnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET(member) offsetof(struct port, member)

static const char *const faces[] = {"customer", "core", NULL};
static const char *const customers[] = {"customer", NULL};
static const char *const classes[] = {"private", "internet", NULL};

static const struct field fields[] = {
	{"edge", FIELD_REFERENCE, FIELD_KEY, OFFSET(edge), .target = NOUN_EDGE,
		.help = "the edge it is on"},
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name),
		.help = "the name that the edge's node file gives a device"},
	{"faces", FIELD_ENUM, FIELD_REQUIRED | FIELD_IMMUTABLE, OFFSET(faces), .values = faces,
		.help = "which side it is on"},
	{"mtu", FIELD_UINT, 0, OFFSET(mtu), "1500", 576, 9600, .effect = EFFECT_HITLESS,
		.help = "largest IP packet in bytes"},
	{"address", FIELD_HOST, 0, OFFSET(address), .effect = EFFECT_TRAFFIC,
		.help = "our address in the underlay, with its length; core ports"},
	{"offers", FIELD_LIST, 0, OFFSET(offers), .element = FIELD_BANDWIDTH,
		.help = "bandwidths sold here, all when empty"},
	{"speed", FIELD_BANDWIDTH, 0, OFFSET(speed),
		.visible = {"faces", customers},
		.help = "of the line; what circuits on it add up to is uncounted when not given"},
	{"oversubscription", FIELD_UINT, 0, OFFSET(oversubscription), "200", 1, 10000,
		.visible = {"faces", customers},
		.help = "per cent of the speed that may be sold"},
	{"provider", FIELD_REFERENCE, 0, OFFSET(provider), .target = NOUN_PROVIDER,
		.visible = {"faces", customers},
		.help = "whose line it is: circuits on it are ordered of that provider"},
	{"class", FIELD_ENUM, FIELD_IMMUTABLE, OFFSET(class), "private", .values = classes,
		.visible = {"faces", customers},
		.help = "internet: no circuit comes in here"},
};

static void address_faces(struct check *check, const struct object *object)
{
	const struct port *port = (const struct port *)object;
	bool has = port->address.address.family != 0;

	if (port->faces == PORT_CORE && !has)
		finding_hint(refuse(check, object, "address", "core port \"%s\" needs an address",
				     object->name),
			"address: 192.0.2.1/24");
	if (port->faces == PORT_CUSTOMER && has)
		finding_hint(refuse(check, object, "address",
				     "customer port \"%s\" cannot have an address", object->name),
			"addresses of customer ports come from the peerings");
}

static void address_host(struct check *check, const struct object *object)
{
	const struct port *port = (const struct port *)object;
	const struct ip_host *host = &port->address;
	char text[FIELD_TEXT_MAX];

	if (!host->address.family)
		return;
	const struct ip_prefix subnet = ip_prefix_of(&host->address, host->len);
	const struct ip_prefix alone = ip_prefix_of(&host->address, ip_bits(host->address.family));
	const char *special = ip_special(&alone, IP_LINK_LOCAL);
	field_format(field_find(&port_noun.fields, "address"), host, text);
	if (special || host->len == 0 || ip_prefix_is_end(&subnet, &host->address))
		refuse(check, object, "address", "port \"%s\": %s is no host address%s%s",
			object->name, text, special ? ", it " : "", special ? special : "");
}

// Less, and the kernel has no IPv6 there either.
static void carries_ipv6(struct check *check, const struct object *object)
{
	const struct port *port = (const struct port *)object;

	if (port->address.address.family == 6 && port->mtu < IPV6_MTU_MIN)
		finding_hint(refuse(check, object, "mtu",
				     "port \"%s\": IPv6 needs %u bytes, its MTU is %u",
				     object->name, IPV6_MTU_MIN, port->mtu),
			"culvertctl port set %s --mtu %u", object->name, IPV6_MTU_MIN);
}

static void core_subnets(struct check *check, const struct object *object)
{
	const struct port *port = (const struct port *)object;
	const struct object *child;
	char text[IP_TEXT_MAX];

	if (!port->address.address.family)
		return;
	struct ip_prefix mine = ip_prefix_of(&port->address.address, port->address.len);
	MODEL_CHILDREN(check->model, NOUN_PORT, port->edge, child)
	{
		const struct port *other = (const struct port *)child;
		if (other == port || !other->address.address.family)
			continue;
		struct ip_prefix theirs = ip_prefix_of(&other->address.address, other->address.len);
		if (!ip_prefix_overlaps(&mine, &theirs) || !blame(check, object, child))
			continue;
		check->about = ip_prefix_format(&mine, text);
		refuse(check, object, "address",
			"port \"%s\": subnet %s overlaps that of port \"%s\"", object->name, text,
			child->name);
		return;
	}
}

static int add_up(void *ctx, const struct object *object)
{
	struct port_load *load = ctx;

	if (object->noun->id != NOUN_LINK)
		return 0;
	const struct circuit *circuit =
		model_circuit(load->model, ((const struct link *)object)->circuit);
	if (circuit) {
		load->sold += circuit->bandwidth;
		load->links++;
	}
	return 0;
}

void port_load(const struct model *model, const struct port *port, struct port_load *load)
{
	*load = (struct port_load){.model = model,
		.capacity = (uint64_t)((__uint128_t)port->speed * port->oversubscription / 100)};
	model_referrers(model, NOUN_PORT, port->object.name, add_up, load);
}

const char *port_load_text(
	const struct port *port, const struct port_load *load, char *text, size_t size)
{
	char speed[32], capacity[32], sold[32];

	snprintf(text, size, "%s %s x %u %% = %s, sold %s", port->name,
		bandwidth_format(port->speed, speed), port->oversubscription,
		bandwidth_format(load->capacity, capacity), bandwidth_format(load->sold, sold));
	return text;
}

static void capacity(struct check *check, const struct object *object)
{
	const struct port *port = (const struct port *)object;
	struct port_load load;
	char text[160];

	if (!port->speed)
		return;
	port_load(check->model, port, &load);
	if (load.sold > load.capacity)
		finding_hint(refuse(check, object, "speed", "port \"%s\": %s with this", object->name,
				     port_load_text(port, &load, text, sizeof(text))),
			"use another port; culvertctl port show %s", object->name);
}

static const struct rule rules[] = {
	{"port-address", "core ports have an address, customer ports have none", address_faces},
	{"port-address-host", "the address of a port is a host address", address_host},
	{"port-mtu-ipv6", "a port with an IPv6 address carries at least 1280 bytes", carries_ipv6},
	{"port-subnets", "subnets of an edge's core ports do not overlap", core_subnets},
	{"port-capacity", "the circuits of a port's links stay within speed x oversubscription",
		capacity},
	{0},
};

static void ids(struct id_sink *sink, const struct object *object)
{
	if (((const struct port *)object)->faces == PORT_CORE)
		id_needed(sink, ID_INTERFACE, "port/%s", object->name);
}

// Ports are few, seldom change, and their address matters to every tunnel and peering.
static void touches(struct check *check, const struct object *object)
{
	check_touch_all(check);
}

static void realise(struct realise *realise, const struct object *object)
{
	const struct port *port = (const struct port *)object;
	struct id id = realise_id(realise, ID_INTERFACE, "port/%s", object->name);

	if (strcmp(port->edge, realise_edge(realise)))
		return;
	int index = realise_port(realise, object->name, port->name);
	if (index < 0 || port->faces != PORT_CORE || !port->address.address.family || id.id == 0)
		return;
	struct intent_interface *interface = realise_interface(realise, INTENT_CORE, id);
	interface->name = port->name;
	interface->object = object->name;
	interface->domain = INTENT_UNDERLAY_ID;
	interface->up = true;
	interface->mtu = (uint16_t)port->mtu;
	interface->port = (uint32_t)index;
	struct intent_address *address =
		&interface->address[ip_index(port->address.address.family)];
	address->local = port->address.address;
	address->len = port->address.len;
}

struct policy_set *port_refuse(struct realise *realise)
{
	unsigned int count = realise_count(realise, NOUN_PORT), n = 0;
	struct policy_rule *rule = calloc(count + 1, sizeof(*rule));
	struct policy_prefix *address = calloc(count + 1, sizeof(*address));
	char(*name)[OBJECT_NAME_MAX + 8] = calloc(count + 1, sizeof(*name));

	if (!rule || !address || !name)
		abort();
	for (unsigned int i = 0; i < count; i++) {
		const struct port *port = (const struct port *)realise_at(realise, NOUN_PORT, i);
		const struct ip_address *ours = &port->address.address;
		if (port->faces != PORT_CORE || !ours->family)
			continue;
		snprintf(name[n], sizeof(name[n]), "port/%s", port->object.name);
		address[n].prefix = ip_prefix_of(ours, ip_bits(ours->family));
		rule[n].match.prefix = &address[n];
		rule[n].match.prefixes = 1;
		rule[n].action = POLICY_REJECT;
		rule[n].name = "outer-address";
		rule[n].object = name[n];
		n++;
	}
	struct policy_set *set = policy_set_build(rule, n);
	free(rule);
	free(address);
	free(name);
	return set;
}

// Of a customer port what is on it has lines of its own; a core port's address is where tunnels start.
static bool carries(const struct model *model, const struct object *object)
{
	const struct port *port = (const struct port *)object;

	for (unsigned int i = 0; port->faces == PORT_CORE && i < model_count(model, NOUN_VNET); i++) {
		const struct vnet *vnet = (const struct vnet *)model_at(model, NOUN_VNET, i);
		const struct gre_tunnel *tunnel = tunnel_from(&vnet->tunnels, port->edge);
		if (tunnel && !ip_address_compare(&tunnel->local, &port->address.address) &&
			vnet_carries(model, vnet->name))
			return true;
	}
	return false;
}

const struct noun port_noun = {
	.id = NOUN_PORT,
	.name = "port",
	.section = "ports",
	.parent = NOUN_EDGE,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct port)},
	.rules = rules,
	.ids = ids,
	.touches = touches,
	.realise = realise,
	.removal = EFFECT_TRAFFIC,
	.fixed_name = "the node file of its edge names it",
	.carries = carries,
	.help = "a port of an edge",
};
