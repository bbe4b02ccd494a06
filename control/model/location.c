// SPDX-License-Identifier: BSD-3-Clause
// Locations: where customers and providers meet two of our edges.

#include "control/model/location.h"
#include "control/model/circuit.h"
#include "control/model/model_internal.h"
#include "control/model/region.h"

#include <string.h>

#define OFFSET(member) offsetof(struct location, member)

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name), .help = "its name"},
	{"area", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE, OFFSET(area),
		.target = NOUN_AREA, .help = "the area it is in"},
	{"edges", FIELD_LIST, FIELD_REQUIRED, OFFSET(edges), .element = FIELD_REFERENCE,
		.target = NOUN_EDGE,
		.help = "the edges there, two or more; the first carries primary links"},
	{"regions", FIELD_LIST, 0, OFFSET(regions), .element = FIELD_REFERENCE,
		.target = NOUN_REGION, .help = "regions near by, of the same area"},
};

static int find_location(void *ctx, const struct object *object)
{
	if (object->noun->id == NOUN_LOCATION)
		*(const struct object **)ctx = object;
	return object->noun->id == NOUN_LOCATION;
}

const struct location *location_of_edge(const struct model *model, const char *edge)
{
	const struct object *found = NULL;

	model_referrers(model, NOUN_EDGE, edge, find_location, &found);
	return (const struct location *)found;
}

static void edges_redundant(struct check *check, const struct object *object)
{
	const struct location *location = (const struct location *)object;

	if (location->edges.count < 2 && !model_options(check->model)->lab)
		finding_hint(refuse(check, object, "edges",
				     "location \"%s\" has one edge, a circuit's two links need two",
				     location->name),
			"give it a second one; in a lab: lab: true in the node file");
}

struct elsewhere {
	struct check *check;
	const struct object *object;
	const char *edge;
};

static int stands_elsewhere(void *ctx, const struct object *other)
{
	struct elsewhere *elsewhere = ctx;

	if (other->noun->id != NOUN_LOCATION || other == elsewhere->object ||
		!blame(elsewhere->check, elsewhere->object, other))
		return 0;
	elsewhere->check->about = elsewhere->edge;
	finding_hint(refuse(elsewhere->check, elsewhere->object, "edges",
			     "location \"%s\": edge \"%s\" is at location \"%s\"",
			     elsewhere->object->name, elsewhere->edge, other->name),
		"culvertctl location set %s --remove-edges %s", other->name, elsewhere->edge);
	return 1;
}

static void edges_once(struct check *check, const struct object *object)
{
	const struct location *location = (const struct location *)object;

	for (unsigned int i = 0; i < location->edges.count; i++) {
		const char *edge = location->edges.item[i];
		for (unsigned int j = 0; j < i; j++) {
			if (!strcmp(edge, location->edges.item[j]))
				refuse(check, object, "edges", "location \"%s\" names edge \"%s\" twice",
					location->name, edge);
		}
		model_referrers(check->model, NOUN_EDGE, edge, stands_elsewhere,
			&(struct elsewhere){check, object, edge});
	}
}

static void regions_near(struct check *check, const struct object *object)
{
	const struct location *location = (const struct location *)object;

	for (unsigned int i = 0; i < location->regions.count; i++) {
		const char *name = location->regions.item[i];
		const struct region *region = model_region(check->model, name);
		if (region && strcmp(region->area, location->area) != 0)
			finding_hint(refuse(check, object, "regions",
					     "location \"%s\" is in area \"%s\", region \"%s\" in \"%s\"",
					     location->name, location->area, name, region->area),
				"culvertctl region list --area %s", location->area);
	}
}

static const struct rule rules[] = {
	{"location-edges", "a location has two edges, outside of a lab", edges_redundant},
	{"location-edge-once", "an edge is at one location", edges_once},
	{"location-region", "the regions of a location are of its area", regions_near},
	{0},
};

static int touch_circuit(void *ctx, const struct object *object)
{
	if (object->noun->id == NOUN_CIRCUIT)
		circuit_touch(ctx, object->name);
	return 0;
}

// The circuits there have their links on its edges.
static void touches(struct check *check, const struct object *object)
{
	model_referrers(check->model, NOUN_LOCATION, object->name, touch_circuit, check);
}

const struct noun location_noun = {
	.id = NOUN_LOCATION,
	.name = "location",
	.section = "locations",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct location)},
	.rules = rules,
	.touches = touches,
	.help = "a peering location: two edges where customers and providers come in",
};
