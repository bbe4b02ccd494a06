// SPDX-License-Identifier: BSD-3-Clause
// vNets: a customer's networks in the cloud, reached over GRE (tunnel.c).

#include "control/model/vnet.h"
#include "control/base/array.h"
#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/edge.h"
#include "control/model/intent.h"
#include "control/model/model_internal.h"
#include "control/model/port.h"
#include "control/model/subscription.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET(member) offsetof(struct vnet, member)

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name), .help = "its name"},
	{"customer", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE, OFFSET(customer),
		.target = NOUN_CUSTOMER, .help = "whose it is"},
	{"subscription", FIELD_REFERENCE, 0, OFFSET(subscription), .target = NOUN_SUBSCRIPTION,
		.help = "the customer's subscription that it is in"},
	{"prefixes", FIELD_LIST, FIELD_REQUIRED, OFFSET(prefixes), .element = FIELD_PREFIX,
		.effect = EFFECT_ROUTES, .help = "its networks"},
	{"tunnels", FIELD_LIST, 0, OFFSET(tunnels), .element = FIELD_STRUCT,
		.fields = &gre_tunnel_fields, .merge = "edge", .effect = EFFECT_TRAFFIC,
		.help = "its GRE tunnels, at most one from each edge"},
};

// --- prefixes ------------------------------------------------------------------------------------------

static void prefixes_distinct(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;
	char a[IP_TEXT_MAX], b[IP_TEXT_MAX];

	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (!ip_prefix_overlaps(&vnet->prefixes.item[i], &vnet->prefixes.item[j]))
				continue;
			check->about = ip_prefix_format(&vnet->prefixes.item[i], b);
			refuse(check, object, "prefixes", "vnet \"%s\": prefixes %s and %s overlap",
				vnet->name, ip_prefix_format(&vnet->prefixes.item[j], a), b);
			break;
		}
	}
}

static void prefixes_unicast(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		const struct ip_prefix *prefix = &vnet->prefixes.item[i];
		const char *special = ip_special(prefix, 0);
		if (special)
			refuse(check, object, "prefixes",
				"vnet \"%s\": %s cannot be a vNet's network, it %s", vnet->name,
				ip_prefix_format(prefix, text), special);
	}
}

static void prefixes_underlay(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;
	char a[IP_TEXT_MAX], b[IP_TEXT_MAX];

	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		const struct ip_prefix *prefix = &vnet->prefixes.item[i];
		for (unsigned int p = 0; p < model_count(check->model, NOUN_PORT); p++) {
			const struct port *port = model_port_at(check->model, p);
			struct ip_prefix core =
				ip_prefix_of(&port->address.address, port->address.len);
			if (port->address.address.family && ip_prefix_overlaps(prefix, &core))
				refuse(check, object, "prefixes",
					"vnet \"%s\": prefix %s overlaps %s of core port \"%s\"",
					vnet->name, ip_prefix_format(prefix, a),
					ip_prefix_format(&core, b), port->object.name);
		}
		for (unsigned int e = 0; e < model_count(check->model, NOUN_EDGE); e++) {
			const struct edge *edge = model_edge_at(check->model, e);
			for (unsigned int r = 0; r < edge->routes.count; r++) {
				if (!ip_prefix_compare(prefix, &edge->routes.item[r].prefix))
					refuse(check, object, "prefixes",
						"vnet \"%s\": prefix %s is an underlay route of "
						"edge \"%s\"",
						vnet->name, ip_prefix_format(prefix, a),
						edge->name);
			}
		}
	}
}

bool vnet_has_family(const struct vnet *vnet, uint8_t family)
{
	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		if (vnet->prefixes.item[i].address.family == family)
			return true;
	}
	return false;
}

static void carries_ipv6(struct check *check, const struct object *object)
{
	if (vnet_has_family((const struct vnet *)object, 6))
		tunnel_carries_ipv6(check, object);
}

static void of_subscription(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;

	subscription_check(check, object, vnet->customer, vnet->subscription);
}

static const struct rule rules[] = {
	{SUBSCRIPTION_RULE, of_subscription},
	TUNNEL_RULES,
	{"tunnel-mtu-ipv6", "a vNet with IPv6 prefixes has tunnels of at least 1280 bytes",
		carries_ipv6},
	{"prefixes-distinct", "the prefixes of a vNet do not overlap", prefixes_distinct},
	{"prefixes-unicast",
		"a vNet's prefix is neither a default route nor multicast, loopback or link-local",
		prefixes_unicast},
	{"prefixes-underlay", "a vNet's prefix is none of the underlay's", prefixes_underlay},
	{0},
};

static const char *customer_of(const struct model *model, const struct object *object)
{
	return ((const struct vnet *)object)->customer;
}

static void ids(struct id_sink *sink, const struct object *object)
{
	id_needed(sink, ID_VRF, "vnet/%s", object->name);
	id_needed(sink, ID_OWNER, "vnet/%s", object->name);
	tunnel_ids(sink, object, "tunnel");
}

static int touch_referrer(void *ctx, const struct object *object)
{
	check_touch(ctx, object);
	if (object->noun->id == NOUN_CONNECTION)
		circuit_touch(ctx, ((const struct connection *)object)->circuit);
	return 0;
}

// Its prefixes are told apart from all that meets them in a circuit.
static void touches(struct check *check, const struct object *object)
{
	model_referrers(check->model, NOUN_VNET, object->name, touch_referrer, check);
}

// --- what it means ---------------------------------------------------------------------------------------

struct policy_set *vnet_refuse(const struct vnet *vnet)
{
	struct policy_prefix *prefix =
		calloc(vnet->prefixes.count + vnet->tunnels.count + 1, sizeof(*prefix));
	struct policy_prefix *gateway = prefix + vnet->prefixes.count;
	char object[NAME_MAX_LENGTH + 8];

	if (!prefix)
		abort();
	snprintf(object, sizeof(object), "vnet/%s", vnet->name);
	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		prefix[i].prefix = vnet->prefixes.item[i];
		prefix[i].ge = prefix[i].prefix.len;
		prefix[i].le = ip_bits(prefix[i].prefix.address.family);
	}
	for (unsigned int i = 0; i < vnet->tunnels.count; i++) {
		const struct ip_address *end = &vnet->tunnels.item[i].gateway;
		gateway[i].prefix = ip_prefix_of(end, ip_bits(end->family));
	}
	const struct policy_rule refusing[] = {
		{.match = {.prefix = prefix, .prefixes = vnet->prefixes.count},
			.action = POLICY_REJECT,
			.name = "vnet-prefix",
			.object = object},
		{.match = {.prefix = gateway, .prefixes = vnet->tunnels.count},
			.action = POLICY_REJECT,
			.name = "outer-address",
			.object = object},
	};
	// An empty match would refuse everything.
	struct policy_set *set = policy_set_build(refusing, vnet->tunnels.count ? 2 : 1);
	free(prefix);
	return set;
}

static void realise(struct realise *realise, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;
	uint32_t vrf = realise_id(realise, ID_VRF, "vnet/%s", vnet->name).id;
	struct intent_interface *interface = tunnel_realise(realise, object, "tunnel");

	if (!interface)
		return;
	interface->name = realise_text(realise, "vnet/%s", vnet->name);
	interface->domain = vrf;
	interface->owner = realise_id(realise, ID_OWNER, "vnet/%s", vnet->name).id;
	struct intent_domain *domain = realise_domain(realise, INTENT_VNET, vnet->name);
	domain->customer = vnet->customer;
	for (unsigned int i = 0; i < vnet->prefixes.count; i++)
		*(struct ip_prefix *)APPEND(domain->prefixes) = vnet->prefixes.item[i];
}

static int joined_to(void *ctx, const struct object *object)
{
	return object->noun->id == NOUN_CONNECTION &&
	       circuit_carries(ctx, ((const struct connection *)object)->circuit);
}

bool vnet_carries(const struct model *model, const char *vnet)
{
	return model_referrers(model, NOUN_VNET, vnet, joined_to, (void *)(uintptr_t)model) != 0;
}

static bool carries(const struct model *model, const struct object *object)
{
	return vnet_carries(model, object->name);
}

const struct noun vnet_noun = {
	.id = NOUN_VNET,
	.name = "vnet",
	.section = "vnets",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct vnet)},
	.rules = rules,
	.keys = tunnel_keys,
	.customer_of = customer_of,
	.ids = ids,
	.touches = touches,
	.realise = realise,
	.removal = EFFECT_TRAFFIC,
	.carries = carries,
	.help = "a customer's virtual network in the cloud",
};
