// SPDX-License-Identifier: BSD-3-Clause
// Ports: where customers' frames and the core's GRE packets come in. A core port carries our address in the
// underlay; a customer port says which rates are sold on it and how much in all.

#include "control/model/port.h"
#include "control/model/circuit.h"
#include "control/model/link.h"
#include "control/model/model_internal.h"

#include <string.h>

#define OFFSET(member) offsetof(struct port, member)

static const char *const faces[] = {"customer", "core", NULL};

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
	{"capacity", FIELD_BANDWIDTH, 0, OFFSET(capacity),
		.help = "what its circuits may add up to, uncounted when not given"},
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
	struct ip_prefix subnet = ip_prefix_of(&host->address, host->len);
	unsigned int spare = ip_bits(host->address.family) - host->len;
	bool bad =
		host->len == 0 || host->address.bytes[0] >= (host->address.family == 4 ? 224 : 255);
	if (host->address.family == 4 && spare >= 2) {
		struct ip_address last =
			ip_prefix_nth(&subnet, (uint32_t)((UINT64_C(1) << spare) - 1));
		bad |= !ip_address_compare(&subnet.address, &host->address) ||
		       !ip_address_compare(&last, &host->address);
	}
	if (bad)
		refuse(check, object, "address", "port \"%s\": %s is no host address", object->name,
			field_format(field_find(&port_noun.fields, "address"), host, text));
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
		if (ip_prefix_overlaps(&mine, &theirs) && blame(check, object, child))
			refuse(check, object, "address",
				"port \"%s\": subnet %s overlaps that of port \"%s\"", object->name,
				ip_prefix_format(&mine, text), child->name);
	}
}

struct sum {
	struct check *check;
	const struct object *port;
	uint64_t bandwidth;
	unsigned int circuits;
};

static int add_up(void *ctx, const struct object *object)
{
	struct sum *sum = ctx;

	if (object->noun->id != NOUN_LINK)
		return 0;
	const struct circuit *circuit =
		model_circuit(sum->check->model, ((const struct link *)object)->circuit);
	if (circuit) {
		sum->bandwidth += circuit->bandwidth;
		sum->circuits++;
	}
	return 0;
}

static void capacity(struct check *check, const struct object *object)
{
	const struct port *port = (const struct port *)object;
	struct sum sum = {.check = check, .port = object};
	char want[32], have[32];

	if (!port->capacity)
		return;
	model_referrers(check->model, NOUN_PORT, object->name, add_up, &sum);
	if (sum.bandwidth > port->capacity)
		finding_hint(
			refuse(check, object, "capacity",
				"port \"%s\" has a capacity of %s, its %u links would add up to %s",
				object->name, bandwidth_format(port->capacity, have), sum.circuits,
				bandwidth_format(sum.bandwidth, want)),
			"use another port, or raise the capacity: culvertctl port set %s "
			"--capacity %s",
			object->name, want);
}

static const struct rule rules[] = {
	{"port-address", "core ports have an address, customer ports have none", address_faces},
	{"port-address-host", "the address of a port is a host address", address_host},
	{"port-subnets", "subnets of an edge's core ports do not overlap", core_subnets},
	{"port-capacity", "the circuits of a port's links stay within its capacity", capacity},
	{0},
};

const struct noun port_noun = {
	.id = NOUN_PORT,
	.name = "port",
	.section = "ports",
	.parent = NOUN_EDGE,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct port)},
	.rules = rules,
	.removal = EFFECT_TRAFFIC,
	.help = "a port of an edge",
};
