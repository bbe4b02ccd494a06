// SPDX-License-Identifier: BSD-3-Clause
// Edges: the nodes of the network, and the static routes of their underlay.

#include "control/model/edge.h"
#include "control/base/array.h"
#include "control/model/intent.h"
#include "control/model/model_internal.h"
#include "control/model/port.h"

#include <string.h>

#define OFFSET(member) offsetof(struct edge, member)

static const struct field route_fields[] = {
	{"prefix", FIELD_PREFIX, FIELD_REQUIRED, offsetof(struct edge_route, prefix),
		.help = "destination in the underlay"},
	{"via", FIELD_ADDRESS, FIELD_REQUIRED, offsetof(struct edge_route, via),
		.help = "next hop on a core port's subnet"},
};
static const struct fields route = {route_fields, 2, sizeof(struct edge_route)};

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name),
		.help = "the name that the node file gives as edge"},
	{"routes", FIELD_LIST, 0, OFFSET(routes), .element = FIELD_STRUCT, .fields = &route,
		.merge = "prefix", .effect = EFFECT_ROUTES,
		.help = "static routes of the underlay"},
};

// A next hop is on the subnet of one of the edge's core ports.
static void route_via(struct check *check, const struct object *object)
{
	const struct edge *edge = (const struct edge *)object;
	const struct object *child;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < edge->routes.count; i++) {
		bool found = false;
		MODEL_CHILDREN(check->model, NOUN_PORT, edge->name, child)
		{
			const struct port *port = (const struct port *)child;
			if (!port->address.address.family)
				continue;
			struct ip_prefix subnet =
				ip_prefix_of(&port->address.address, port->address.len);
			const struct ip_address *via = &edge->routes.item[i].via;
			found |= ip_prefix_contains_address(&subnet, via) &&
				 !ip_prefix_is_end(&subnet, via) &&
				 ip_address_compare(&port->address.address, via);
		}
		if (!found)
			finding_hint(refuse(check, object, "routes",
					     "edge \"%s\": next hop %s is no other host on a core "
					     "port's "
					     "subnet",
					     edge->name,
					     ip_address_format(&edge->routes.item[i].via, text)),
				"culvertctl port list");
	}
}

static void route_family(struct check *check, const struct object *object)
{
	const struct edge *edge = (const struct edge *)object;
	char prefix[IP_TEXT_MAX], via[IP_TEXT_MAX];

	for (unsigned int i = 0; i < edge->routes.count; i++) {
		const struct edge_route *to = &edge->routes.item[i];
		if (to->prefix.address.family != to->via.family)
			refuse(check, object, "routes",
				"edge \"%s\": route %s and its next hop %s differ in family",
				edge->name, ip_prefix_format(&to->prefix, prefix),
				ip_address_format(&to->via, via));
	}
}

static void route_once(struct check *check, const struct object *object)
{
	const struct edge *edge = (const struct edge *)object;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < edge->routes.count; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (ip_prefix_compare(
				    &edge->routes.item[i].prefix, &edge->routes.item[j].prefix))
				continue;
			refuse(check, object, "routes", "edge \"%s\": two routes to %s", edge->name,
				ip_prefix_format(&edge->routes.item[i].prefix, text));
			break;
		}
	}
}

static void route_unicast(struct check *check, const struct object *object)
{
	const struct edge *edge = (const struct edge *)object;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < edge->routes.count; i++) {
		const struct ip_prefix *prefix = &edge->routes.item[i].prefix;
		const char *special = ip_special(prefix, IP_LINK_LOCAL | IP_AGGREGATE);
		if (special)
			refuse(check, object, "routes", "edge \"%s\": %s %s", edge->name,
				ip_prefix_format(prefix, text), special);
	}
}

static const struct rule rules[] = {
	{"route-unicast", "an underlay route leads to hosts", route_unicast},
	{"route-via",
		"the next hop of an underlay route must be on a core port's subnet of the edge",
		route_via},
	{"route-family", "an underlay route and its next hop are of one address family",
		route_family},
	{"route-once", "a prefix has one underlay route", route_once},
	{0},
};

// An edge's addresses and routes can matter to every tunnel, port and peering.
static void touches(struct check *check, const struct object *object)
{
	check_touch_all(check);
}

static void realise(struct realise *realise, const struct object *object)
{
	const struct edge *edge = (const struct edge *)object;

	if (strcmp(edge->name, realise_edge(realise)))
		return;
	struct intent_domain *domain = realise_domain(realise, INTENT_UNDERLAY, "underlay");
	for (unsigned int i = 0; i < edge->routes.count; i++) {
		struct intent_route *to = APPEND(domain->routes);
		to->prefix = edge->routes.item[i].prefix;
		to->via = edge->routes.item[i].via;
	}
}

const struct noun edge_noun = {
	.id = NOUN_EDGE,
	.name = "edge",
	.section = "edges",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct edge)},
	.rules = rules,
	.touches = touches,
	.realise = realise,
	.removal = EFFECT_NONE, // nothing is on it any more
	.fixed_name = "its node file names it",
	.help = "an edge node: one data plane and its control process",
};
