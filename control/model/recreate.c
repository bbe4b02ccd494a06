// SPDX-License-Identifier: BSD-3-Clause
// A successor for a circuit whose contract cannot be changed live, such as to a lower bandwidth: beside the old one, which
// carries on until the successor is up (S16). Whatever tells one from the other is new: the service key, the tags, the subnets of its
// peerings. Connections stay where they are until "replace" moves them, all in one revision.

#include "control/model/change.h"
#include "control/base/array.h"
#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/model/placement.h"
#include "control/model/port.h"

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recreation {
	struct change *change;
	struct arena *arena;
	const struct json_t *json;
	const struct circuit *from;
	const char *to;
	struct model *model; // as the changes before left it
	LIST_OF(struct ip_prefix) taken; // subnets of peerings
};

static const struct circuit *circuit_of(
	struct change *change, const struct noun *noun, const char *name)
{
	const struct object *object = change_current(change, noun->id, name);

	if (noun->id != NOUN_CIRCUIT)
		change_refuse(change, "", "change", "culvertctl circuit recreate NAME",
			"a %s has no successor", noun->name);
	else if (!object)
		change_not_found(change, noun, name);
	return noun->id == NOUN_CIRCUIT ? (const struct circuit *)object : NULL;
}

// --- one object ------------------------------------------------------------------------------------------

// A new object with the fields of this one.
static struct object *copy_of(const struct object *object)
{
	struct object *copy = object_new(object->noun);

	if (copy && !fields_copy(&object->noun->fields, copy, object))
		return copy;
	object_unref(copy);
	return NULL;
}

static void set_value(struct recreation *recreation, struct object *object, const char *name,
	const void *value)
{
	const struct field *field = field_find(&object->noun->fields, name);
	void *at = field_at(field, object);

	field_free(field, at);
	if (field_copy(field, at, value))
		recreation->change->reader.failed = true;
}

// With what was given for it. 0 or -ENOMEM; a finding where it cannot be so.
static int put(struct recreation *recreation, struct object *object, const json_t *fields)
{
	static const struct tree nothing = {.type = TREE_MAP};
	struct reader *reader = &recreation->change->reader;
	const struct tree *map = fields ? tree_from_json(recreation->arena, fields) : &nothing;
	unsigned int before = reader->findings->count;
	uint64_t given = 0;

	if (!map || map->type != TREE_MAP) {
		struct place nowhere = {0};
		finding_hint(reader_complain(reader, "change", &nowhere, "", "fields are a map"),
			"{\"outer-tag\": 100}");
		object_unref(object);
		return 0;
	}
	fields_read(reader, &object->noun->fields, map, object, NULL, NULL, &given);
	int rc = change_complete(recreation->change, object, map, ~UINT64_C(0), before);
	if (rc)
		return rc == -EINVAL ? 0 : rc;
	return change_note(recreation->change, object->noun, object->name, object, NULL);
}

static const json_t *given(const struct recreation *recreation, const char *what, const char *part)
{
	const json_t *parts = json_object_get(recreation->json, what);

	return part ? json_object_get(parts, part) : parts;
}

// --- the circuit -----------------------------------------------------------------------------------------

// "acme-ams-01" -> "acme-ams-01-r2" -> "acme-ams-01-r3". False: it would be too long.
static bool next_name(const struct change *change, const char *name, char next[OBJECT_NAME_MAX])
{
	const char *end = strrchr(name, '-');
	unsigned int number = 1;
	int used = 0;

	if (!end || sscanf(end, "-r%u%n", &number, &used) != 1 || end[used] || number == 0 ||
		number > 1000000) {
		end = name + strlen(name);
		number = 1;
	}
	do {
		snprintf(next, OBJECT_NAME_MAX, "%.*s-r%u", (int)(end - name), name, ++number);
	} while (change_current(change, NOUN_CIRCUIT, next));
	return strlen(next) <= NAME_MAX_LENGTH;
}

static int make_circuit(struct recreation *recreation)
{
	static const char *const none = NULL;
	struct object *object = copy_of(&recreation->from->object);
	const struct fields *fields = &circuit_noun.fields;
	char error[FIELD_ERROR_MAX];

	if (!object)
		return -ENOMEM;
	set_value(recreation, object, "name", &recreation->to);
	set_value(recreation, object, "service-key", &none);
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		if (!(field->flags & FIELD_WORKFLOW))
			continue;
		field_free(field, field_at(field, object));
		if (field_parse(field, field->initial, field_at(field, object), error))
			abort();
	}
	return put(recreation, object, json_object_get(recreation->json, "fields"));
}

// --- links -----------------------------------------------------------------------------------------------

static int take_tag(void *ctx, const struct object *object)
{
	if (object->noun->id == NOUN_LINK)
		((bool *)ctx)[((const struct link *)object)->outer_tag] = true;
	return 0;
}

// On the port of the old one: the next that is free there, 0 = none.
static uint32_t next_tag(const struct recreation *recreation, const struct link *link)
{
	bool taken[4096] = {0};
	char port[OBJECT_NAME_MAX];
	unsigned int first = link->outer_tag ? link->outer_tag : PLACED_TAG_FIRST - 1;

	model_referrers(recreation->model, NOUN_PORT, link_port_name(link, port), take_tag, taken);
	for (unsigned int i = 1; i <= PLACED_TAG_LAST; i++) {
		unsigned int tag = (first + i - 1) % PLACED_TAG_LAST + 1;
		if (!taken[tag])
			return tag;
	}
	return 0;
}

static int make_link(struct recreation *recreation, const struct link *link, const json_t *fields)
{
	static const char *const none = NULL;
	uint32_t tag = next_tag(recreation, link);
	struct object *object = copy_of(&link->object);

	if (!object)
		return -ENOMEM;
	set_value(recreation, object, "circuit", &recreation->to);
	set_value(recreation, object, "handoff-device", &none); // of the provider's old line
	set_value(recreation, object, "handoff-path", &none);
	set_value(recreation, object, "outer-tag", &tag);
	return put(recreation, object, fields);
}

// At a location they are placed, like those of any new circuit, unless something was said of them.
static int make_links(struct recreation *recreation)
{
	const char *from = recreation->from->name;
	const struct object *child;
	int rc = 0;

	if (recreation->from->location && !given(recreation, "links", NULL))
		return 0;
	MODEL_CHILDREN(recreation->model, NOUN_LINK, from, child)
	{
		const char *role = strrchr(child->name, '/') + 1;
		char name[OBJECT_NAME_MAX];
		snprintf(name, sizeof(name), "%s/%s", recreation->to, role);
		if (!rc && !change_current(recreation->change, NOUN_LINK, name))
			rc = make_link(recreation, (const struct link *)child,
				given(recreation, "links", role));
	}
	return rc;
}

// --- peerings --------------------------------------------------------------------------------------------

static void collect_subnets(struct recreation *recreation)
{
	for (unsigned int i = 0; i < model_count(recreation->model, NOUN_PEERING); i++) {
		struct ip_prefix subnet[4];
		unsigned int count =
			peering_subnets(model_peering_at(recreation->model, i), subnet);
		for (unsigned int s = 0; s < count; s++)
			*(struct ip_prefix *)APPEND(recreation->taken) = subnet[s];
	}
}

static bool is_taken(const struct recreation *recreation, const struct ip_prefix *subnet)
{
	for (unsigned int i = 0; i < recreation->taken.count; i++)
		if (ip_prefix_overlaps(&recreation->taken.item[i], subnet))
			return true;
	return false;
}

// The next of its size that no peering has, above it and within the same /16 (of IPv6: /112). False: there is none.
static bool next_subnet(struct recreation *recreation, struct ip_prefix *subnet)
{
	const struct ip_prefix around =
		ip_prefix_of(&subnet->address, subnet->address.family == 4 ? 16 : 112);
	uint32_t size = UINT32_C(1) << (ip_bits(subnet->address.family) - subnet->len);

	for (uint32_t at = size; at < 65536; at += size) {
		struct ip_address address = ip_prefix_nth(subnet, at);
		struct ip_prefix next = ip_prefix_of(&address, subnet->len);
		if (!ip_prefix_contains(&around, &next))
			return false;
		if (is_taken(recreation, &next))
			continue;
		*(struct ip_prefix *)APPEND(recreation->taken) = next;
		*subnet = next;
		return true;
	}
	return false;
}

static int make_peering(
	struct recreation *recreation, const struct peering *peering, const json_t *fields)
{
	static const char *const subnets[] = {"primary-subnet", "secondary-subnet", "subnet",
		"primary-subnet-v6", "secondary-subnet-v6", "subnet-v6"};
	struct object *object = copy_of(&peering->object);

	if (!object)
		return -ENOMEM;
	set_value(recreation, object, "circuit", &recreation->to);
	for (unsigned int i = 0; i < sizeof(subnets) / sizeof(subnets[0]); i++) {
		const struct field *field = field_find(&peering_noun.fields, subnets[i]);
		struct ip_prefix *subnet = field_at(field, object);
		char text[IP_TEXT_MAX];
		if (!subnet->address.family || json_object_get(fields, subnets[i]))
			continue;
		if (next_subnet(recreation, subnet))
			continue;
		change_refuse(recreation->change, "", "subnet",
			"give one: --peering TYPE,FIELD=PREFIX",
			"no subnet above %s is free for the %s of peering \"%s/%s\"",
			ip_prefix_format(subnet, text), subnets[i], recreation->to,
			strrchr(peering->object.name, '/') + 1);
		object_unref(object);
		return 0;
	}
	return put(recreation, object, fields);
}

// Those that the successor lacks, as soon as its provider has provisioned it.
static int make_peerings(struct recreation *recreation)
{
	const struct circuit *to = (const struct circuit *)change_current(
		recreation->change, NOUN_CIRCUIT, recreation->to);
	const struct object *child;
	int rc = 0;

	if (!to || !circuit_is_provisioned(to))
		return 0;
	collect_subnets(recreation);
	MODEL_CHILDREN(recreation->model, NOUN_PEERING, recreation->from->name, child)
	{
		const char *type = strrchr(child->name, '/') + 1;
		char name[OBJECT_NAME_MAX];
		snprintf(name, sizeof(name), "%s/%s", recreation->to, type);
		if (!rc && !change_current(recreation->change, NOUN_PEERING, name))
			rc = make_peering(recreation, (const struct peering *)child,
				given(recreation, "peerings", type));
	}
	return rc;
}

// --- recreate --------------------------------------------------------------------------------------------

static bool may_go_on(struct recreation *recreation, const struct circuit *there)
{
	char hint[OBJECT_NAME_MAX + 64];
	bool same = !strcmp(there->customer, recreation->from->customer) &&
		    there != recreation->from;

	if (same && !given(recreation, "fields", NULL))
		return true; // what it lacks still
	snprintf(hint, sizeof(hint), same ? "culvertctl circuit set %s" : "another name than %s",
		there->name);
	change_refuse(recreation->change, "", "exists", hint, "circuit \"%s\" exists already", there->name);
	return false;
}

// What is said of a part has to be of one that the old one has.
static bool has_parts(struct recreation *recreation, enum noun_id noun, const char *what)
{
	char name[OBJECT_NAME_MAX];
	const char *part;
	json_t *fields;

	json_object_foreach ((json_t *)(uintptr_t)given(recreation, what, NULL), part, fields) {
		snprintf(name, sizeof(name), "%s/%.60s", recreation->from->name, part);
		if (model_find(recreation->model, noun, name))
			continue;
		change_not_found(recreation->change, nouns[noun], name);
		return false;
	}
	return true;
}

static bool is_name(struct recreation *recreation)
{
	const struct field *field = field_find(&circuit_noun.fields, "name");
	char error[FIELD_ERROR_MAX], *parsed = NULL;

	bool valid = field_parse(field, recreation->to, &parsed, error) == 0;
	if (!valid)
		change_refuse(recreation->change, "", "name", "a-z, 0-9 and -, at most 63 characters",
			"\"%.100s\" %s", recreation->to, error);
	field_free(field, &parsed);
	return valid;
}

static int recreate(struct recreation *recreation)
{
	const struct object *there =
		change_current(recreation->change, NOUN_CIRCUIT, recreation->to);
	int rc = 0;

	if (!is_name(recreation) || !has_parts(recreation, NOUN_LINK, "links") ||
		!has_parts(recreation, NOUN_PEERING, "peerings") ||
		(there && !may_go_on(recreation, (const struct circuit *)there)))
		return 0;
	unsigned int findings = recreation->change->reader.findings->count;
	if (!there)
		rc = make_circuit(recreation);
	if (!rc && recreation->change->reader.findings->count == findings)
		rc = make_links(recreation);
	if (!rc && recreation->change->reader.findings->count == findings)
		rc = make_peerings(recreation);
	return rc;
}

int change_recreate(struct change *change, struct arena *arena, const struct noun *noun,
	const char *name, const struct json_t *json)
{
	struct recreation recreation = {.change = change, .arena = arena, .json = json};
	const char *to = json_string_value(json_object_get(json, "to"));
	const struct circuit *from = circuit_of(change, noun, name);
	char next[OBJECT_NAME_MAX];

	if (!from)
		return 0;
	if (!to && !next_name(change, name, next)) {
		change_refuse(change, "", "name", "culvertctl circuit recreate NAME --name NEW",
			"\"%s\" is too long for the name of a circuit", next);
		return 0;
	}
	recreation.to = to ? to : next;
	recreation.model = change_preview(change);
	if (!recreation.model)
		return -ENOMEM;
	recreation.from = model_circuit(recreation.model, name); // lives as long as it
	int rc = recreate(&recreation);
	free(recreation.taken.item);
	model_unref(recreation.model);
	return rc;
}

// --- replace ---------------------------------------------------------------------------------------------

static int move_connection(struct recreation *recreation, const struct connection *connection)
{
	char name[OBJECT_NAME_MAX], peering[OBJECT_NAME_MAX], hint[2 * OBJECT_NAME_MAX];

	snprintf(peering, sizeof(peering), "%s/%s", recreation->to, connection->peering);
	if (!change_current(recreation->change, NOUN_PEERING, peering)) {
		snprintf(hint, sizeof(hint), "culvertctl circuit recreate %s --name %s",
			recreation->from->name, recreation->to);
		change_refuse(recreation->change, "", "replace", hint,
			"circuit \"%s\" has no peering \"%s\" for connection \"%s\"", recreation->to,
			connection->peering, connection->object.name);
		return 0;
	}
	snprintf(name, sizeof(name), "%s/%s", recreation->to, connection->vnet);
	int rc = 0;
	if (!change_current(recreation->change, NOUN_CONNECTION, name)) {
		struct object *object = copy_of(&connection->object);
		if (!object)
			return -ENOMEM;
		set_value(recreation, object, "circuit", &recreation->to);
		rc = put(recreation, object, NULL);
	}
	return rc ? rc
		  : change_note(recreation->change, connection->object.noun, connection->object.name,
			    NULL, NULL);
}

int change_replace(
	struct change *change, const struct noun *noun, const char *name, const char *to)
{
	struct arena arena = {0};
	struct recreation recreation = {.change = change, .arena = &arena, .to = to};
	const struct circuit *from = circuit_of(change, noun, name);
	const struct object *child;
	int rc = 0;

	if (!from)
		return 0;
	if (!to) {
		change_refuse(change, "", "replace", "culvertctl circuit replace NAME NEW",
			"which circuit takes the place of \"%s\"?", name);
		return 0;
	}
	if (!circuit_of(change, noun, to))
		return 0;
	if (!strcmp(name, to)) {
		change_refuse(change, "", "replace", "culvertctl circuit recreate NAME makes a successor",
			"circuit \"%s\" cannot take its own place", name);
		return 0;
	}
	recreation.model = change_preview(change);
	if (!recreation.model)
		return -ENOMEM;
	recreation.from = model_circuit(recreation.model, name);
	unsigned int findings = change->reader.findings->count;
	MODEL_CHILDREN(recreation.model, NOUN_CONNECTION, name, child)
	{
		if (!rc)
			rc = move_connection(&recreation, (const struct connection *)child);
	}
	// What its provider has not let go of stays, with nothing on it.
	bool ends = recreation.from->model == CIRCUIT_DIRECT ||
		    recreation.from->provider_state == NOT_PROVISIONED;
	if (!rc && ends && change->reader.findings->count == findings)
		rc = change_delete(change, noun, name);
	model_unref(recreation.model);
	arena_free(&arena);
	return rc;
}
