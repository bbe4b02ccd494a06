// SPDX-License-Identifier: BSD-3-Clause
// Exits. An exit is an interface of its vNet's routing domain, of class internet: nothing that came
// in by an attachment leaves by it. It has an owner of its own, so that what it brings in does not
// pass for the vNet's: with the source check on, nothing comes in by it until a route of the domain
// leads out by it.

#include "control/model/exit.h"
#include "control/model/intent.h"
#include "control/model/model_internal.h"
#include "control/model/vnet.h"

#define OFFSET(member) offsetof(struct exit, member)

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name), .help = "its name"},
	{"vnet", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE, OFFSET(vnet),
		.target = NOUN_VNET, .help = "whose exit it is"},
	{"tunnels", FIELD_LIST, FIELD_REQUIRED | FIELD_DETAIL, OFFSET(tunnels),
		.element = FIELD_STRUCT, .fields = &gre_tunnel_fields, .merge = "edge",
		.effect = EFFECT_TRAFFIC, .help = "its GRE tunnels, at most one from each edge"},
};

static void carries_ipv6(struct check *check, const struct object *object)
{
	const struct vnet *vnet = model_vnet(check->model, ((const struct exit *)object)->vnet);

	if (vnet_has_family(vnet, 6))
		tunnel_carries_ipv6(check, object);
}

static const struct rule rules[] = {
	TUNNEL_RULES,
	{"tunnel-mtu-ipv6",
		"an exit of a vNet with IPv6 prefixes has tunnels of at least 1280 bytes",
		carries_ipv6},
	{0},
};

static const char *customer_of(const struct model *model, const struct object *object)
{
	const struct vnet *vnet = model_vnet(model, ((const struct exit *)object)->vnet);

	return vnet ? vnet->customer : NULL;
}

static void ids(struct id_sink *sink, const struct object *object)
{
	id_needed(sink, ID_OWNER, "exit/%s", object->name);
	tunnel_ids(sink, object, "exit");
}

static void realise(struct realise *realise, const struct object *object)
{
	const struct exit *exit = (const struct exit *)object;
	const struct vnet *vnet = (const struct vnet *)realise_find(realise, NOUN_VNET, exit->vnet);

	if (!vnet || !tunnel_from(&vnet->tunnels, realise_edge(realise)))
		return; // the domain is not here
	struct intent_interface *interface = tunnel_realise(realise, object, "exit");
	if (!interface)
		return;
	interface->name = realise_text(realise, "exit/%s", exit->name);
	interface->domain = realise_id(realise, ID_VRF, "vnet/%s", vnet->name).id;
	interface->owner = realise_id(realise, ID_OWNER, "exit/%s", exit->name).id;
	interface->tunnel.internet = true;
}

static bool carries(const struct model *model, const struct object *object)
{
	return vnet_carries(model, ((const struct exit *)object)->vnet);
}

const struct noun exit_noun = {
	.id = NOUN_EXIT,
	.name = "exit",
	.section = "exits",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct exit)},
	.rules = rules,
	.keys = tunnel_keys,
	.customer_of = customer_of,
	.ids = ids,
	.realise = realise,
	.removal = EFFECT_TRAFFIC,
	.carries = carries,
	.help = "a vNet's way to the Internet",
};
