// SPDX-License-Identifier: BSD-3-Clause
// Links: the two places where a circuit's customer comes in, each on a port of another edge, told apart by
// VLAN tags. A peering may add a C-tag below the link's tag, so that two links conflict when any of the
// stacks they and their peerings use are equal.

#include "control/model/link.h"
#include "control/model/circuit.h"
#include "control/model/intent.h"
#include "control/model/location.h"
#include "control/model/model_internal.h"
#include "control/model/peering.h"
#include "control/model/port.h"

#include <stdio.h>
#include <string.h>

#define OFFSET(member) offsetof(struct link, member)

static const char *const roles[] = {"primary", "secondary", NULL};
static const char *const admin[] = {"up", "down", NULL};

static const struct field fields[] = {
	{"circuit", FIELD_REFERENCE, FIELD_KEY, OFFSET(circuit), .target = NOUN_CIRCUIT,
		.on_delete = ON_DELETE_CASCADE, .help = "the circuit it is part of"},
	{"role", FIELD_ENUM, FIELD_KEY, OFFSET(role), .values = roles, .help = "which of the two"},
	{"edge", FIELD_REFERENCE, FIELD_REQUIRED, OFFSET(edge), .target = NOUN_EDGE,
		.effect = EFFECT_TRAFFIC, .help = "the edge it comes in at"},
	{"port", FIELD_REFERENCE, FIELD_REQUIRED, OFFSET(port), .target = NOUN_PORT,
		.within = "edge", .effect = EFFECT_TRAFFIC, .help = "the port of that edge"},
	{"outer-tag", FIELD_UINT, 0, OFFSET(outer_tag), NULL, 1, 4094, .effect = EFFECT_TRAFFIC,
		.help = "VLAN tag (S-tag), untagged when not given"},
	{"inner-tag", FIELD_UINT, 0, OFFSET(inner_tag), NULL, 1, 4094, .effect = EFFECT_TRAFFIC,
		.help = "second VLAN tag (QinQ)"},
	{"mtu", FIELD_UINT, 0, OFFSET(mtu), "1500", 576, 9600, .effect = EFFECT_HITLESS,
		.help = "largest IP packet in bytes"},
	{"admin", FIELD_ENUM, 0, OFFSET(admin), "up", .values = admin, .effect = EFFECT_TRAFFIC,
		.help = "down stops its traffic and its sessions"},
	{"handoff-device", FIELD_STRING, 0, OFFSET(handoff_device),
		.help = "the device that the provider hands it over on, in the provider's words"},
	{"handoff-path", FIELD_STRING, 0, OFFSET(handoff_path),
		.help = "the path that the provider's line takes, in the provider's words"},
};

unsigned int link_vlans(const struct link *link, const struct peering *peering, uint16_t vlan[2])
{
	uint32_t tags[3] = {link->outer_tag, link->inner_tag, peering ? peering->c_tag : 0};
	unsigned int count = 0;

	vlan[0] = vlan[1] = 0;
	for (unsigned int i = 0; i < 3 && count < 2; i++) {
		if (tags[i])
			vlan[count++] = (uint16_t)tags[i];
	}
	return count;
}

const char *link_port_name(const struct link *link, char name[OBJECT_NAME_MAX])
{
	snprintf(name, OBJECT_NAME_MAX, "%s/%s", link->edge, link->port);
	return name;
}

// --- VLAN stacks ---------------------------------------------------------------------------------------

static uint64_t key_stack(const struct link *link, uint32_t outer, uint32_t inner)
{
	char name[OBJECT_NAME_MAX];
	uint32_t tags[2] = {outer, inner};

	return hash_bytes(key_text("stack", link_port_name(link, name)), tags, sizeof(tags));
}

static void keys(struct index_sink *sink, const struct object *object)
{
	const struct link *link = (const struct link *)object;

	index_key(sink, key_stack(link, link->outer_tag, link->inner_tag));
}

struct stack {
	uint16_t vlan[2];
};

// The stacks of a link: its own and those of its circuit's peerings. Returns how many.
static unsigned int stacks_of(
	const struct check *check, const struct link *link, struct stack stack[4])
{
	const struct object *child;
	unsigned int count = 1;

	link_vlans(link, NULL, stack[0].vlan);
	MODEL_CHILDREN(check->model, NOUN_PEERING, link->circuit, child)
	{
		const struct peering *peering = (const struct peering *)child;
		if (peering->c_tag && count < 4)
			link_vlans(link, peering, stack[count++].vlan);
	}
	return count;
}

// Among the links whose own stack is (outer, inner): one on the same port that uses `stack` too.
// True: there is one.
static bool find_conflict(struct check *check, const struct link *link, uint32_t outer,
	uint32_t inner, const struct stack *stack)
{
	const struct index *index = check->model->index;
	uint64_t hash = key_stack(link, outer, inner);
	struct stack theirs[4];

	for (unsigned int i = index_first(index, hash);
		i < index->count && index->entry[i].hash == hash; i++) {
		const struct link *other = (const struct link *)index->entry[i].object;
		if (other == link || other->object.noun != &link_noun ||
			strcmp(other->edge, link->edge) || strcmp(other->port, link->port))
			continue;
		unsigned int count = stacks_of(check, other, theirs);
		bool same = false;
		for (unsigned int j = 0; j < count; j++)
			same |= theirs[j].vlan[0] == stack->vlan[0] &&
				theirs[j].vlan[1] == stack->vlan[1];
		if (!same || !blame(check, &link->object, &other->object))
			continue;
		char tags[32] = "untagged";
		if (stack->vlan[1])
			snprintf(tags, sizeof(tags), "tags %u.%u", stack->vlan[0], stack->vlan[1]);
		else if (stack->vlan[0])
			snprintf(tags, sizeof(tags), "tag %u", stack->vlan[0]);
		check->about = tags;
		finding_hint(
			refuse(check, &link->object, link->outer_tag ? "outer-tag" : "port",
				"link \"%s\": %s on port \"%s/%s\" is already that of link \"%s\"",
				link->object.name, tags, link->edge, link->port,
				other->object.name),
			"give it another tag or port");
		return true;
	}
	return false;
}

static void stack_unique(struct check *check, const struct object *object)
{
	const struct link *link = (const struct link *)object;
	struct stack mine[4];
	unsigned int count = stacks_of(check, link, mine);

	for (unsigned int i = 0; i < count; i++) {
		const uint16_t *vlan = mine[i].vlan;
		if (find_conflict(check, link, vlan[0], vlan[1], &mine[i]))
			continue;
		// (a) with C-tag b, and untagged with C-tag a, are stacks of links with fewer tags of their own.
		if (vlan[1])
			find_conflict(check, link, vlan[0], 0, &mine[i]);
		else if (vlan[0])
			find_conflict(check, link, 0, 0, &mine[i]);
	}
}

// --- other rules ---------------------------------------------------------------------------------------

static void inner_needs_outer(struct check *check, const struct object *object)
{
	const struct link *link = (const struct link *)object;

	if (link->inner_tag && !link->outer_tag)
		finding_hint(refuse(check, object, "inner-tag",
				     "link \"%s\" has an inner tag but no outer tag", object->name),
			"outer-tag: %u", link->inner_tag);
}

static void c_tag_fits(struct check *check, const struct object *object)
{
	const struct link *link = (const struct link *)object;
	const struct object *child;

	MODEL_CHILDREN(check->model, NOUN_PEERING, link->circuit, child)
	{
		if (link->inner_tag && ((const struct peering *)child)->c_tag)
			finding_hint(refuse(check, object, "inner-tag",
					     "link \"%s\" has two tags, there is no room for the "
					     "C-tag of peering \"%s\"",
					     object->name, child->name),
				"remove the inner tag or the C-tag");
	}
}

static void two_edges(struct check *check, const struct object *object)
{
	const struct link *link = (const struct link *)object;
	const struct object *child;

	if (check->model->options.lab || link->role != LINK_SECONDARY)
		return;
	MODEL_CHILDREN(check->model, NOUN_LINK, link->circuit, child)
	{
		const struct link *other = (const struct link *)child;
		if (other != link && !strcmp(other->edge, link->edge))
			finding_hint(refuse(check, object, "edge",
					     "links \"%s\" and \"%s\" are both on edge \"%s\"",
					     other->object.name, object->name, link->edge),
				"put one on another edge (or set lab: true in the node file)");
	}
}

static void port_faces(struct check *check, const struct object *object)
{
	const struct link *link = (const struct link *)object;
	char name[OBJECT_NAME_MAX];
	const struct port *port = model_port(check->model, link_port_name(link, name));

	if (port->faces != PORT_CUSTOMER)
		finding_hint(refuse(check, object, "port",
				     "link \"%s\": port \"%s\" does not face customers",
				     object->name, name),
			"culvertctl port list");
}

static void port_takes(struct check *check, const struct object *object)
{
	const struct link *link = (const struct link *)object;
	const struct circuit *circuit = model_circuit(check->model, link->circuit);
	char name[OBJECT_NAME_MAX];
	const struct port *port = model_port(check->model, link_port_name(link, name));

	if (port->class == PORT_INTERNET)
		finding_hint(refuse(check, object, "port",
				     "link \"%s\": port \"%s\" is of class internet", object->name,
				     name),
			"culvertctl port list");
	if (port->provider && (!circuit->provider || strcmp(port->provider, circuit->provider)))
		finding_hint(refuse(check, object, "port",
				     "link \"%s\": port \"%s\" is of provider \"%s\", the circuit of %s",
				     object->name, name, port->provider,
				     circuit->provider ? circuit->provider : "none"),
			"culvertctl port list");
}

static void at_location(struct check *check, const struct object *object)
{
	const struct link *link = (const struct link *)object;
	const struct circuit *circuit = model_circuit(check->model, link->circuit);
	const struct location *location =
		circuit->location ? model_location(check->model, circuit->location) : NULL;

	for (unsigned int i = 0; location && i < location->edges.count; i++) {
		if (!strcmp(location->edges.item[i], link->edge))
			return;
	}
	if (location)
		finding_hint(refuse(check, object, "edge",
				     "link \"%s\": edge \"%s\" is not at location \"%s\"", object->name,
				     link->edge, location->name),
			"culvertctl location show %s", location->name);
}

static void mtu(struct check *check, const struct object *object)
{
	const struct link *link = (const struct link *)object;
	char name[OBJECT_NAME_MAX];
	const struct port *port = model_port(check->model, link_port_name(link, name));

	if (link->mtu > port->mtu)
		finding_hint(refuse(check, object, "mtu",
				     "link \"%s\": MTU %u is larger than %u of port \"%s\"",
				     object->name, link->mtu, port->mtu, name),
			"culvertctl port set %s --mtu %u", name, link->mtu);
}

static const struct rule rules[] = {
	{"port-faces-customer", "links are on ports that face customers", port_faces},
	{"link-port", "a link is on a private port, of its circuit's provider if it is one's",
		port_takes},
	{"link-location", "a link is on an edge of its circuit's location", at_location},
	{"links-two-edges", "the links of a circuit are on different edges, lab mode apart",
		two_edges},
	{"vlan-inner-outer", "an inner tag needs an outer tag", inner_needs_outer},
	{"vlan-depth", "at most two tags, the peering's C-tag included", c_tag_fits},
	{"vlan-stack-unique", "a VLAN stack belongs to one link of a port", stack_unique},
	{"link-mtu", "the MTU of a link is at most that of its port", mtu},
	{0},
};

static const char *customer_of(const struct model *model, const struct object *object)
{
	return circuit_customer(model, ((const struct link *)object)->circuit);
}

static void ids(struct id_sink *sink, const struct object *object)
{
	id_needed(sink, ID_LIMITER, "%s/in", object->name);
	id_needed(sink, ID_LIMITER, "%s/out", object->name);
}

static void touches(struct check *check, const struct object *object)
{
	circuit_touch(check, ((const struct link *)object)->circuit);
}

// --- what it means ---------------------------------------------------------------------------------------

#define BURST_MIN      64000u
#define BURST_MAX      32000000u
#define BURST_FLOOR_NS 10000000u // the limiter's least: 10 ms at the rate

uint64_t link_burst(uint64_t rate, uint64_t duration)
{
	uint64_t bytes_per_second = rate / 8;
	uint64_t least =
		(uint64_t)((__uint128_t)bytes_per_second * BURST_FLOOR_NS / 1000000000u) + 1;
	uint64_t most = least > BURST_MAX ? least : BURST_MAX;
	__uint128_t burst = (__uint128_t)bytes_per_second * duration / 1000000000u;

	if (burst > most)
		return most;
	if (burst < least)
		burst = least;
	return burst < BURST_MIN ? BURST_MIN : (uint64_t)burst;
}

static void realise_direction(struct realise *realise, const struct circuit *circuit,
	const struct link *link, const char *direction, uint64_t queue)
{
	struct id id = realise_id(realise, ID_LIMITER, "%s/%s", link->object.name, direction);

	if (id.id == 0)
		return;
	struct intent_limiter *limiter = realise_limiter(realise);
	limiter->id = id.id;
	limiter->uid = id.uid;
	limiter->name = realise_text(realise, "%s/%s", link->object.name, direction);
	limiter->rate = circuit->bandwidth;
	limiter->burst = link_burst(circuit->bandwidth, circuit->burst);
	limiter->ef_rate = circuit->ef_bandwidth;
	limiter->packet_rate = circuit->packet_rate;
	limiter->queue = queue;
	limiter->overhead = (int16_t)circuit->overhead;
	limiter->count_frames = circuit->accounting == ACCOUNT_L2;
}

// Its two limiters; the attachments are their peerings'.
static void realise(struct realise *realise, const struct object *object)
{
	const struct link *link = (const struct link *)object;

	if (strcmp(link->edge, realise_edge(realise)))
		return;
	const struct circuit *circuit =
		(const struct circuit *)realise_find(realise, NOUN_CIRCUIT, link->circuit);
	if (!circuit)
		return;
	if (realise_port(realise, object->name, link->port) < 0)
		return;
	realise_direction(realise, circuit, link, "in", circuit->shape_in);
	realise_direction(realise, circuit, link, "out", circuit->shape_out);
}

bool link_is_up(const struct model *model, const char *circuit)
{
	const struct object *child;

	MODEL_CHILDREN(model, NOUN_LINK, circuit, child)
	{
		if (((const struct link *)child)->admin == LINK_UP)
			return true;
	}
	return false;
}

static bool carries(const struct model *model, const struct object *object)
{
	const struct link *link = (const struct link *)object;

	return link->admin == LINK_UP && peering_is_enabled(model, link->circuit);
}

const struct noun link_noun = {
	.id = NOUN_LINK,
	.name = "link",
	.section = "links",
	.parent = NOUN_CIRCUIT,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct link)},
	.rules = rules,
	.keys = keys,
	.customer_of = customer_of,
	.ids = ids,
	.touches = touches,
	.realise = realise,
	.removal = EFFECT_TRAFFIC,
	.carries = carries,
	.help = "one of the two links of a circuit",
};
