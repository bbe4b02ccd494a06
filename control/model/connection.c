// SPDX-License-Identifier: BSD-3-Clause
// Connections: what lets a peering and a vNet of one customer reach each other, and nothing else does. All
// prefixes that meet in the peering's domain are told apart here: those of the vNets connected to it, and
// the peering's own subnets.

#include "control/model/connection.h"
#include "control/base/array.h"
#include "control/model/circuit.h"
#include "control/model/intent.h"
#include "control/model/link.h"
#include "control/model/model_internal.h"
#include "control/model/peering.h"
#include "control/model/vnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET(member) offsetof(struct connection, member)

static const struct field fields[] = {
	{"circuit", FIELD_REFERENCE, FIELD_KEY, OFFSET(circuit), .target = NOUN_CIRCUIT,
		.on_delete = ON_DELETE_CASCADE, .help = "the circuit it is part of"},
	{"vnet", FIELD_REFERENCE, FIELD_KEY, OFFSET(vnet), .target = NOUN_VNET, .help = "the vNet"},
	{"peering", FIELD_REFERENCE, FIELD_IMMUTABLE, OFFSET(peering), "private",
		.target = NOUN_PEERING, .within = "circuit",
		.help = "type of the circuit's peering that it joins"},
	{"weight", FIELD_UINT, 0, OFFSET(weight), "1", 1, 256, .effect = EFFECT_HITLESS,
		.help = "share of the traffic when the vNet has several connections"},
};

const char *connection_peering_name(const struct connection *connection, char name[OBJECT_NAME_MAX])
{
	snprintf(name, OBJECT_NAME_MAX, "%s/%s", connection->circuit, connection->peering);
	return name;
}

static void same_customer(struct check *check, const struct object *object)
{
	const struct connection *connection = (const struct connection *)object;
	const struct circuit *circuit = model_circuit(check->model, connection->circuit);
	const struct vnet *vnet = model_vnet(check->model, connection->vnet);

	if (strcmp(circuit->customer, vnet->customer))
		refuse(check, object, "vnet",
			"circuit \"%s\" is customer \"%s\"'s, vnet \"%s\" is customer \"%s\"'s",
			circuit->name, circuit->customer, vnet->name, vnet->customer);
}

struct own { // a prefix of a vNet that is connected
	struct ip_prefix prefix;
	const struct connection *of;
	unsigned int outer; // + 1: the smallest that holds it and is another connection's
};

static int compare_own(const void *a, const void *b)
{
	return ip_prefix_compare(
		&((const struct own *)a)->prefix, &((const struct own *)b)->prefix);
}

static void refuse_overlap(struct check *check, const struct own *mine, const struct own *theirs)
{
	char a[IP_TEXT_MAX], b[IP_TEXT_MAX];

	if (!blame(check, &mine->of->object, &theirs->of->object))
		return;
	check->about = ip_prefix_format(&mine->prefix, a);
	refuse(check, &mine->of->object, "vnet",
		"%s of vnet \"%s\" overlaps %s of vnet \"%s\", both connected to circuit \"%s\"", a,
		mine->of->vnet, ip_prefix_format(&theirs->prefix, b), theirs->of->vnet,
		mine->of->circuit);
}

// All prefixes that meet in the peering's domain, in order: what holds one stands before it.
static struct own *prefixes_of(
	struct check *check, const struct connection *connection, unsigned int *count)
{
	LIST_OF(struct own) all = {0};
	const struct object *child;

	MODEL_CHILDREN(check->model, NOUN_CONNECTION, connection->circuit, child)
	{
		const struct connection *other = (const struct connection *)child;
		const struct vnet *vnet = model_vnet(check->model, other->vnet);
		for (unsigned int i = 0; vnet && i < vnet->prefixes.count &&
					 !strcmp(other->peering, connection->peering);
			i++)
			*(struct own *)APPEND(all) = (struct own){vnet->prefixes.item[i], other, 0};
	}
	if (all.count)
		qsort(all.item, all.count, sizeof(*all.item), compare_own);
	*count = all.count;
	return all.item;
}

static void prefixes_overlap(struct check *check, const struct object *object)
{
	const struct connection *mine = (const struct connection *)object;
	unsigned int count;
	struct own *all = prefixes_of(check, mine, &count);
	unsigned int *around =
		calloc(count + 1, sizeof(*around)); // + 1: the smallest that holds it

	if (!around)
		abort();
	for (unsigned int i = 0; i < count; i++) {
		unsigned int o = i;
		while (o && !ip_prefix_contains(&all[o - 1].prefix, &all[i].prefix))
			o = around[o - 1];
		around[i] = o;
		if (!o)
			continue;
		all[i].outer = all[o - 1].of != all[i].of ? o : all[o - 1].outer;
		const struct own *outer = all[i].outer ? &all[all[i].outer - 1] : NULL;
		if (outer && all[i].of == mine)
			refuse_overlap(check, &all[i], outer);
		else if (outer && outer->of == mine)
			refuse_overlap(check, outer, &all[i]);
	}
	free(around);
	free(all);
}

static void prefixes_subnet(struct check *check, const struct object *object)
{
	const struct connection *connection = (const struct connection *)object;
	const struct vnet *vnet = model_vnet(check->model, connection->vnet);
	char name[OBJECT_NAME_MAX], a[IP_TEXT_MAX], b[IP_TEXT_MAX];
	const struct peering *peering =
		model_peering(check->model, connection_peering_name(connection, name));
	struct ip_prefix subnet[4];
	unsigned int subnets = peering_subnets(peering, subnet);

	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		for (unsigned int s = 0; s < subnets; s++) {
			if (ip_prefix_overlaps(&vnet->prefixes.item[i], &subnet[s]))
				refuse(check, object, "vnet",
					"%s of vnet \"%s\" overlaps subnet %s of peering \"%s\"",
					ip_prefix_format(&vnet->prefixes.item[i], a), vnet->name,
					ip_prefix_format(&subnet[s], b), name);
		}
	}
}

static void families_meet(struct check *check, const struct object *object)
{
	const struct connection *connection = (const struct connection *)object;
	const struct vnet *vnet = model_vnet(check->model, connection->vnet);
	char name[OBJECT_NAME_MAX];
	const struct peering *peering =
		model_peering(check->model, connection_peering_name(connection, name));
	uint8_t family = peering_has_family(peering, 4) ? 4 : 6; // if it is the only one

	if (!peering_has_family(peering, family) ||
		peering_has_family(peering, family == 4 ? 6 : 4) ||
		vnet_has_family(vnet, family))
		return;
	finding_hint(refuse(check, object, "vnet",
			     "vnet \"%s\" has no IPv%u prefix, peering \"%s\" carries "
			     "nothing else",
			     vnet->name, family, name),
		"give the peering a subnet of IPv%u, too, or the vNet a prefix of IPv%u",
		family == 4 ? 6 : 4, family);
}

static const struct rule rules[] = {
	{"same-customer", "a connection joins a circuit and a vNet of one customer", same_customer},
	{"connected-prefixes", "prefixes of vNets connected to one peering do not overlap",
		prefixes_overlap},
	{"connected-subnets", "a connected vNet's prefix does not overlap the peering's subnets",
		prefixes_subnet},
	{"families-meet", "a connected vNet has a prefix of an address family of the peering",
		families_meet},
	{0},
};

static const char *customer_of(const struct model *model, const struct object *object)
{
	return circuit_customer(model, ((const struct connection *)object)->circuit);
}

static void ids(struct id_sink *sink, const struct object *object)
{
	id_needed(sink, ID_ACCOUNT, "%s/in", object->name);
	id_needed(sink, ID_ACCOUNT, "%s/out", object->name);
}

static void touches(struct check *check, const struct object *object)
{
	circuit_touch(check, ((const struct connection *)object)->circuit);
}

// Whether the circuit comes in at this edge.
static bool comes_in(struct realise *realise, const char *circuit)
{
	const struct object *child;

	REALISE_CHILDREN(realise, NOUN_LINK, circuit, child)
	{
		if (!strcmp(((const struct link *)child)->edge, realise_edge(realise)))
			return true;
	}
	return false;
}

static void realise(struct realise *realise, const struct object *object)
{
	const struct connection *connection = (const struct connection *)object;
	const struct vnet *vnet =
		(const struct vnet *)realise_find(realise, NOUN_VNET, connection->vnet);
	char peering[OBJECT_NAME_MAX];

	if (!vnet || !tunnel_from(&vnet->tunnels, realise_edge(realise)) ||
		!comes_in(realise, connection->circuit))
		return;
	struct intent_join *join = realise_join(realise);
	join->domain[0] = realise_id(
		realise, ID_VRF, "peering/%s", connection_peering_name(connection, peering))
				  .id;
	join->domain[1] = realise_id(realise, ID_VRF, "vnet/%s", vnet->name).id;
	join->weight = connection->weight > 0 ? (uint16_t)connection->weight : 1;
	join->account[0] = realise_id(realise, ID_ACCOUNT, "%s/in", object->name).uid;
	join->account[1] = realise_id(realise, ID_ACCOUNT, "%s/out", object->name).uid;
	join->object = object->name;
}

static bool carries(const struct model *model, const struct object *object)
{
	return circuit_carries(model, ((const struct connection *)object)->circuit);
}

const struct noun connection_noun = {
	.id = NOUN_CONNECTION,
	.name = "connection",
	.section = "connections",
	.parent = NOUN_CIRCUIT,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct connection)},
	.rules = rules,
	.customer_of = customer_of,
	.ids = ids,
	.touches = touches,
	.realise = realise,
	.removal = EFFECT_TRAFFIC,
	.carries = carries,
	.help = "joins a peering and a vNet of one customer",
};
