// SPDX-License-Identifier: BSD-3-Clause
// The places of a new circuit's links. The same model gives the same places on every edge: the first two edges of the
// location that have a port with room, there the port that is sold least of what it may be, and the lowest tag that is
// free on both.

#include "control/model/placement.h"
#include "control/model/circuit.h"
#include "control/model/finding.h"
#include "control/model/link.h"
#include "control/model/location.h"
#include "control/model/model_internal.h"
#include "control/model/port.h"
#include "control/model/provider.h"

#include <jansson.h>

#include <stdio.h>
#include <string.h>

struct choice {
	const struct port *port[2];
	unsigned int count;
	char full[256];   // those that have no room
};

static bool offers(const struct port *port, uint64_t bandwidth)
{
	for (unsigned int i = 0; i < port->offers.count; i++) {
		if (port->offers.item[i] == bandwidth)
			return true;
	}
	return port->offers.count == 0;
}

static bool takes(const struct port *port, const struct circuit *circuit)
{
	bool same = port->provider && circuit->provider
			    ? !strcmp(port->provider, circuit->provider)
			    : !port->provider && !circuit->provider;

	return port->faces == PORT_CUSTOMER && port->class == PORT_PRIVATE && same &&
	       offers(port, circuit->bandwidth);
}

// a is sold to a smaller part than b, or has less on it.
static bool emptier(const struct port_load *a, const struct port_load *b)
{
	__uint128_t x = (__uint128_t)a->sold * b->capacity, y = (__uint128_t)b->sold * a->capacity;

	return a->capacity && b->capacity ? x < y : a->links < b->links;
}

// The port of this edge that the circuit goes to; `beside` has one of its links already. NULL = none.
static const struct port *choose(const struct model *model, const char *edge,
	const struct circuit *circuit, const struct port *beside, struct choice *place)
{
	struct port_load load, least = {0};
	const struct port *best = NULL;
	const struct object *child;

	MODEL_CHILDREN(model, NOUN_PORT, edge, child)
	{
		const struct port *port = (const struct port *)child;
		char text[160];
		if (!takes(port, circuit))
			continue;
		port_load(model, port, &load);
		if (port == beside) {
			load.sold += circuit->bandwidth;
			load.links++;
		}
		if (load.capacity && load.sold + circuit->bandwidth > load.capacity) {
			size_t used = strlen(place->full);
			port_load_text(port, &load, text, sizeof(text));
			if (used + strlen(text) + strlen(edge) + 4 < sizeof(place->full))
				snprintf(place->full + used, sizeof(place->full) - used, "%s%s/%s",
					used ? "; " : "", edge, text);
			continue;
		}
		if (!best || emptier(&load, &least)) {
			best = port;
			least = load;
		}
	}
	return best;
}

static void choose_ports(const struct model *model, const struct location *location,
	const struct circuit *circuit, struct choice *place)
{
	for (unsigned int i = 0; i < location->edges.count && place->count < 2; i++) {
		const struct port *port =
			choose(model, location->edges.item[i], circuit, NULL, place);
		if (port)
			place->port[place->count++] = port;
	}
	// Both on one edge: in a lab, at a location that has no other.
	if (place->count == 1 && location->edges.count == 1 && model_options(model)->lab) {
		const struct port *port = choose(
			model, location->edges.item[0], circuit, place->port[0], place);
		if (port)
			place->port[place->count++] = port;
	}
}

static int take_tag(void *ctx, const struct object *object)
{
	if (object->noun->id == NOUN_LINK)
		((bool *)ctx)[((const struct link *)object)->outer_tag] = true;
	return 0;
}

// The lowest that is free on the ports marked; 0 = none.
static unsigned int free_tag(const bool taken[4096], unsigned int from)
{
	for (unsigned int tag = from; tag <= PLACED_TAG_LAST; tag++) {
		if (!taken[tag])
			return tag;
	}
	return 0;
}

static bool choose_tags(const struct model *model, const struct choice *place, unsigned int tag[2])
{
	bool taken[4096] = {0};

	model_referrers(model, NOUN_PORT, place->port[0]->object.name, take_tag, taken);
	model_referrers(model, NOUN_PORT, place->port[1]->object.name, take_tag, taken);
	tag[0] = tag[1] = free_tag(taken, PLACED_TAG_FIRST);
	if (place->port[0] == place->port[1] && tag[0])
		tag[1] = free_tag(taken, tag[0] + 1);
	return tag[0] && tag[1];
}

// The one model that the provider offers with this handoff, NULL = not one.
static const char *only_model(const struct provider *provider, uint32_t handoff)
{
	static const char *const names[] = {"exchange", "ethernet", "ipvpn"};
	const char *found = NULL;

	for (unsigned int model = CIRCUIT_EXCHANGE; model <= CIRCUIT_IPVPN; model++) {
		if (!provider_offers_model(provider, circuit_offer(model, handoff)))
			continue;
		if (found)
			return NULL;
		found = names[model - CIRCUIT_EXCHANGE];
	}
	return found;
}

static void refuse_place(struct findings *findings, const struct circuit *circuit,
	const struct choice *place)
{
	char path[OBJECT_NAME_MAX + 32];
	const char *of = circuit->provider ? circuit->provider : "no provider";

	snprintf(path, sizeof(path), "circuit %s: location", circuit->name);
	struct finding *finding =
		place->full[0]
			? finding_add(findings, "port-capacity", path,
				  "the circuits of a port's links stay within speed x oversubscription",
				  "circuit \"%s\": no room at location \"%s\" for two links: %s",
				  circuit->name, circuit->location, place->full)
			: finding_add(findings, "placement", path,
				  "a circuit's links are placed on ports of its provider",
				  "circuit \"%s\": no two ports of %s at location \"%s\" take it",
				  circuit->name, of, circuit->location);
	finding->code = API_REFUSED;
	snprintf(finding->hint, sizeof(finding->hint), "%s",
		place->full[0] ? "another location, or: culvertctl port list"
			       : "culvertctl port list; culvertctl port set EDGE/PORT --provider");
}

// What is not offered is refused as that, not for want of a place.
static bool is_offered(const struct provider *provider, const struct circuit *circuit)
{
	return !provider || (provider_offers_bandwidth(provider, circuit->bandwidth) &&
				    provider_is_at(provider, circuit->location));
}

static void place_links(const struct model *model, const struct circuit *circuit,
	const struct location *location, json_t *changes, struct findings *findings)
{
	static const char *const roles[] = {"primary", "secondary"};
	struct choice place = {0};
	unsigned int tag[2];

	choose_ports(model, location, circuit, &place);
	if (place.count < 2 || !choose_tags(model, &place, tag)) {
		refuse_place(findings, circuit, &place);
		return;
	}
	for (unsigned int i = 0; i < 2; i++)
		json_array_append_new(changes,
			json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:i}}", "op", "create", "noun",
				"link", "fields", "circuit", circuit->name, "role", roles[i],
				"edge", place.port[i]->edge, "port", place.port[i]->name,
				"outer-tag", (int)tag[i]));
}

json_t *circuit_place(
	struct preview *preview, const struct object *object, struct findings *findings)
{
	const struct circuit *circuit = (const struct circuit *)object;
	const struct model *model = circuit->location || circuit->provider ? preview_model(preview) : NULL;

	if (!model)
		return NULL;
	const struct provider *provider =
		circuit->provider ? model_provider(model, circuit->provider) : NULL;
	const struct location *location =
		circuit->location ? model_location(model, circuit->location) : NULL;
	const char *only = provider && circuit->model == CIRCUIT_DIRECT
				   ? only_model(provider, circuit->handoff)
				   : NULL;
	json_t *changes = json_array();

	if (only)
		json_array_append_new(changes,
			json_pack("{s:s, s:s, s:s, s:{s:s}}", "op", "set", "noun", "circuit",
				"name", circuit->name, "fields", "model", only));
	const struct object *child =
		model_child_at(model, NOUN_LINK, circuit->name,
			model_first_child(model, NOUN_LINK, circuit->name));
	if (location && !child && is_offered(provider, circuit))
		place_links(model, circuit, location, changes, findings);
	return changes;
}
