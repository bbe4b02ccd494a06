// SPDX-License-Identifier: BSD-3-Clause
// What a configuration file takes away by leaving it out, while somebody works on it. It costs what changed, not what
// there is; only when this edge's routes changed every vNet is looked at.

#include "control/losses.h"

#include "control/model/connection.h"
#include "control/model/edge.h"
#include "control/model/intent.h"
#include "control/model/peering.h"
#include "control/model/tunnel.h"
#include "control/model/vnet.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMED 3 // of the things taken away; the others are counted

struct losses {
	const struct model *old;
	const json_t *sessions;
	json_t *cut; // keys: those that lose something
	unsigned int count;
	char names[448];
	size_t used;
	// what the next thing that is taken away is
	const char *noun;
	char name[OBJECT_NAME_MAX + IP_TEXT_MAX];
	unsigned int found;
};

static const char *last_part(const char *name)
{
	const char *slash = strrchr(name, '/');
	return slash != NULL ? slash + 1 : name;
}

static void find_session(struct losses *losses, const char *name)
{
	if (json_object_get(losses->sessions, name) == NULL)
		return;
	json_object_set_new(losses->cut, name, json_true());
	losses->found++;
}

// The established sessions of a circuit, of one type or role where these are given.
static void find_sessions(
	struct losses *losses, const char *circuit, const char *type, const char *role)
{
	const struct object *peering, *link;
	char session[OBJECT_NAME_MAX * 2], second[OBJECT_NAME_MAX * 2 + 8];

	MODEL_CHILDREN(losses->old, NOUN_PEERING, circuit, peering)
	{
		if (type != NULL && strcmp(last_part(peering->name), type) != 0)
			continue;
		MODEL_CHILDREN(losses->old, NOUN_LINK, circuit, link)
		{
			if (role != NULL && strcmp(last_part(link->name), role) != 0)
				continue;
			snprintf(session, sizeof(session), "%s/%s", peering->name,
				last_part(link->name));
			snprintf(second, sizeof(second), "%s" SESSION_BESIDE, session);
			find_session(losses, session);
			find_session(losses, second);
		}
	}
}

static void begin(struct losses *losses, const char *noun, const char *name)
{
	losses->noun = noun;
	snprintf(losses->name, sizeof(losses->name), "%s", name);
	losses->found = 0;
}

static void end(struct losses *losses)
{
	if (losses->found == 0 || losses->count++ >= NAMED)
		return;
	int length = snprintf(losses->names + losses->used, sizeof(losses->names) - losses->used,
		"%s%s \"%.130s\"", losses->count > 1 ? ", " : "", losses->noun, losses->name);
	losses->used += length > 0 ? (size_t)length : 0;
}

// One of a peering's two address families, which is left out.
static void lose_family(
	struct losses *losses, const struct peering *before, const struct peering *after)
{
	bool dual = peering_has_family(before, 4) && peering_has_family(before, 6);
	const struct object *link;
	char name[OBJECT_NAME_MAX * 2];

	for (uint8_t family = 4; family <= 6 && dual; family += 2) {
		if (peering_has_family(after, family))
			continue;
		begin(losses, family == 4 ? "IPv4 of peering" : "IPv6 of peering",
			before->object.name);
		MODEL_CHILDREN(losses->old, NOUN_LINK, before->circuit, link)
		{
			snprintf(name, sizeof(name), "%s/%s%s", before->object.name,
				last_part(link->name), family == 6 ? SESSION_BESIDE : "");
			find_session(losses, name);
		}
		end(losses);
	}
}

static int find_connection(void *ctx, const struct object *object)
{
	const struct connection *connection = (const struct connection *)object;

	if (object->noun->id == NOUN_CONNECTION)
		find_sessions(ctx, connection->circuit, connection->peering, NULL);
	return 0;
}

static void lose_vnet(struct losses *losses, const char *noun, const char *name, const char *vnet)
{
	begin(losses, noun, name);
	model_referrers(losses->old, NOUN_VNET, vnet, find_connection, losses);
	end(losses);
}

static void lose_object(struct losses *losses, const struct model *new, const struct object *object)
{
	char circuit[OBJECT_NAME_MAX];

	snprintf(circuit, sizeof(circuit), "%.*s", (int)strcspn(object->name, "/"), object->name);
	if (object->noun->id != NOUN_CIRCUIT && model_circuit(new, circuit) == NULL)
		return; // goes with it
	begin(losses, object->noun->name, object->name);
	if (object->noun->id == NOUN_CIRCUIT)
		find_sessions(losses, circuit, NULL, NULL);
	else if (object->noun->id == NOUN_LINK)
		find_sessions(losses, circuit, NULL, last_part(object->name));
	else if (object->noun->id == NOUN_PEERING)
		find_sessions(losses, circuit, last_part(object->name), NULL);
	else if (object->noun->id == NOUN_CONNECTION)
		find_connection(losses, object);
	end(losses);
}

// --- routes of the underlay ------------------------------------------------------------------------------

struct routes {
	unsigned int count;
	struct ip_prefix *sorted;
};

static int compare_prefixes(const void *a, const void *b)
{
	return ip_prefix_compare(a, b);
}

static struct routes routes_of(const struct edge *edge)
{
	struct routes routes = {0};
	unsigned int count = edge != NULL ? edge->routes.count : 0;

	routes.sorted = count > 0 ? calloc(count, sizeof(*routes.sorted)) : NULL;
	for (unsigned int i = 0; routes.sorted != NULL && i < count; i++)
		routes.sorted[routes.count++] = edge->routes.item[i].prefix;
	if (routes.count > 0)
		qsort(routes.sorted, routes.count, sizeof(*routes.sorted), compare_prefixes);
	return routes;
}

static bool routes_reach(const struct routes *routes, const struct ip_address *to)
{
	for (unsigned int len = 0; len <= ip_bits(to->family) && routes->count > 0; len++) {
		struct ip_prefix prefix = ip_prefix_of(to, (uint8_t)len);
		if (bsearch(&prefix, routes->sorted, routes->count, sizeof(prefix),
			    compare_prefixes) != NULL)
			return true;
	}
	return false;
}

static void lose_routes(struct losses *losses, const struct edge *before, const struct edge *after)
{
	struct routes old = routes_of(before), new = routes_of(after);
	char name[OBJECT_NAME_MAX + IP_TEXT_MAX], gateway[IP_TEXT_MAX];
	const struct vnet *vnet;

	for (unsigned int i = 0; (vnet = model_vnet_at(losses->old, i)) != NULL; i++) {
		const struct gre_tunnel *tunnel = tunnel_from(&vnet->tunnels, before->name);
		if (tunnel == NULL || !routes_reach(&old, &tunnel->gateway) ||
			routes_reach(&new, &tunnel->gateway))
			continue;
		snprintf(name, sizeof(name), "%s/%s", before->name,
			ip_address_format(&tunnel->gateway, gateway));
		lose_vnet(losses, "route", name, vnet->name);
	}
	free(old.sorted);
	free(new.sorted);
}

static void lose_tunnel(struct losses *losses, const struct vnet *before, const struct vnet *after,
	const char *edge)
{
	char name[OBJECT_NAME_MAX];

	if (tunnel_from(&before->tunnels, edge) == NULL ||
		tunnel_from(&after->tunnels, edge) != NULL)
		return;
	snprintf(name, sizeof(name), "%s/%s", before->name, edge);
	lose_vnet(losses, "tunnel", name, before->name);
}

void losses_ask(const struct model *old, const struct model *new, const char *edge,
	const json_t *sessions, const char *hint, struct api_error *error)
{
	struct losses losses = {.old = old, .sessions = sessions, .cut = json_object()};
	struct model_diff *diff = json_object_size(sessions) > 0 ? model_diff(old, new) : NULL;
	char more[32] = "";

	for (unsigned int i = 0; diff != NULL && i < diff->count; i++) {
		const struct object *before = diff->item[i].old, *after = diff->item[i].new;
		if (before == NULL)
			continue;
		if (after == NULL)
			lose_object(&losses, new, before);
		else if (before->noun->id == NOUN_PEERING)
			lose_family(&losses, (const struct peering *)before,
				(const struct peering *)after);
		else if (before->noun->id == NOUN_VNET)
			lose_tunnel(&losses, (const struct vnet *)before,
				(const struct vnet *)after, edge);
		else if (before->noun->id == NOUN_EDGE && strcmp(before->name, edge) == 0)
			lose_routes(
				&losses, (const struct edge *)before, (const struct edge *)after);
	}
	model_diff_free(diff);
	size_t cut = json_object_size(losses.cut);
	json_decref(losses.cut);
	if (losses.count > NAMED)
		snprintf(more, sizeof(more), " and %u more", losses.count - NAMED);
	if (cut > 1)
		api_fail(error, API_REFUSED, hint,
			"this would delete %s%s, with %zu established BGP sessions", losses.names,
			more, cut);
	else if (cut == 1)
		api_fail(error, API_REFUSED, hint,
			"this would delete %s%s, whose BGP session is established", losses.names,
			more);
}
