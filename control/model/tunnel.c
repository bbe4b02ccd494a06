// SPDX-License-Identifier: BSD-3-Clause
// Tunnels. The triple (outer source, outer destination, key) decides whose packet it is when it
// comes back from the core: that it is unique, over all that own tunnels, is what isolation rests
// on.

#include "control/model/tunnel.h"
#include "control/model/intent.h"
#include "control/model/model_internal.h"
#include "control/model/port.h"

#include <string.h>

#define TUNNEL(member) offsetof(struct gre_tunnel, member)
#define GRE_OVERHEAD4  28u // IPv4 20, GRE with key 8
#define GRE_OVERHEAD6  48u
#define TUNNEL_TTL     64

static const struct field fields[] = {
	{"edge", FIELD_REFERENCE, FIELD_REQUIRED, TUNNEL(edge), .target = NOUN_EDGE,
		.help = "the edge it starts from"},
	{"gateway", FIELD_ADDRESS, FIELD_REQUIRED, TUNNEL(gateway),
		.help = "outer address of the far end"},
	{"local", FIELD_ADDRESS, FIELD_REQUIRED, TUNNEL(local),
		.help = "outer address of ours, that of a core port of the edge"},
	{"key", FIELD_UINT, FIELD_REQUIRED, TUNNEL(key), .max = UINT32_MAX, .help = "GRE key"},
};
const struct fields gre_tunnel_fields = {
	fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct gre_tunnel)};

const struct gre_tunnel *tunnel_from(const struct gre_tunnels *tunnels, const char *edge)
{
	for (unsigned int i = 0; i < tunnels->count; i++) {
		if (!strcmp(tunnels->item[i].edge, edge))
			return &tunnels->item[i];
	}
	return NULL;
}

static const struct field *tunnels_field(const struct noun *noun)
{
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		if (noun->fields.item[i].fields == &gre_tunnel_fields)
			return &noun->fields.item[i];
	}
	return NULL;
}

// The object's tunnels, NULL when its noun has no such field.
static const struct gre_tunnels *object_tunnels(const struct object *object)
{
	const struct field *field = tunnels_field(object->noun);

	return field ? field_at(field, object) : NULL;
}

// --- rules ---------------------------------------------------------------------------------------------

static uint64_t key_triple(const struct gre_tunnel *t)
{
	uint64_t hash = hash_bytes(key_text("triple", ""), &t->local, sizeof(t->local));

	return hash_bytes(
		hash_bytes(hash, &t->gateway, sizeof(t->gateway)), &t->key, sizeof(t->key));
}

static bool same_triple(const struct gre_tunnel *a, const struct gre_tunnel *b)
{
	return a->key == b->key && !ip_address_compare(&a->local, &b->local) &&
	       !ip_address_compare(&a->gateway, &b->gateway);
}

void tunnel_keys(struct index_sink *sink, const struct object *object)
{
	const struct gre_tunnels *tunnels = object_tunnels(object);

	for (unsigned int i = 0; i < tunnels->count; i++)
		index_key(sink, key_triple(&tunnels->item[i]));
}

static void triple_taken(struct check *check, const struct object *object,
	const struct gre_tunnels *tunnels, unsigned int t)
{
	const struct gre_tunnel *mine = &tunnels->item[t];
	const struct index *index = check->model->index;
	uint64_t hash = key_triple(mine);
	char local[IP_TEXT_MAX], gateway[IP_TEXT_MAX], about[2 * IP_TEXT_MAX + 16];

	for (unsigned int i = index_first(index, hash);
		i < index->count && index->entry[i].hash == hash; i++) {
		const struct object *other = index->entry[i].object;
		const struct gre_tunnels *theirs = object_tunnels(other);
		unsigned int before = other == object ? t : theirs ? theirs->count : 0;
		for (unsigned int j = 0; j < before; j++) {
			if (!same_triple(mine, &theirs->item[j]) ||
				(other != object && !blame(check, object, other)))
				continue;
			snprintf(about, sizeof(about), "%s %s %u",
				ip_address_format(&mine->local, local),
				ip_address_format(&mine->gateway, gateway), mine->key);
			check->about = about;
			finding_hint(
				refuse(check, object, tunnels_field(object->noun)->name,
					"%s \"%s\": GRE key %u between %s and %s is already used "
					"by %s \"%s\"",
					object->noun->name, object->name, mine->key,
					ip_address_format(&mine->local, local),
					ip_address_format(&mine->gateway, gateway),
					other->noun->name, other->name),
				"choose another key");
			return;
		}
	}
}

void tunnel_triple(struct check *check, const struct object *object)
{
	const struct gre_tunnels *tunnels = object_tunnels(object);

	for (unsigned int t = 0; t < tunnels->count; t++)
		triple_taken(check, object, tunnels, t);
}

void tunnel_per_edge(struct check *check, const struct object *object)
{
	const struct gre_tunnels *tunnels = object_tunnels(object);

	for (unsigned int i = 0; i < tunnels->count; i++) {
		if (tunnel_from(tunnels, tunnels->item[i].edge) != &tunnels->item[i])
			refuse(check, object, tunnels_field(object->noun)->name,
				"%s \"%s\" has two tunnels from edge \"%s\"", object->noun->name,
				object->name, tunnels->item[i].edge);
	}
}

// The far end: a host, and none of ours.
static void far_end(struct check *check, const struct object *object, const struct gre_tunnel *t)
{
	const char *field = tunnels_field(object->noun)->name, *noun = object->noun->name;
	const struct ip_prefix host = ip_prefix_of(&t->gateway, ip_bits(t->gateway.family));
	const char *special = ip_special(&host, IP_LINK_LOCAL);
	char text[IP_TEXT_MAX], core[IP_TEXT_MAX];

	ip_address_format(&t->gateway, text);
	if (special)
		refuse(check, object, field, "%s \"%s\": gateway %s %s", noun, object->name, text,
			special);
	for (unsigned int i = 0; i < model_count(check->model, NOUN_PORT); i++) {
		const struct port *port = model_port_at(check->model, i);
		const struct ip_address *ours = &port->address.address;
		if (!ours->family)
			continue;
		const struct ip_prefix subnet = ip_prefix_of(ours, port->address.len);
		if (!ip_address_compare(ours, &t->gateway))
			refuse(check, object, field,
				"%s \"%s\": gateway %s is the address of port \"%s\"", noun,
				object->name, text, port->object.name);
		else if (ip_prefix_is_end(&subnet, &t->gateway))
			refuse(check, object, field,
				"%s \"%s\": gateway %s is no host of %s, the subnet of port "
				"\"%s\"",
				noun, object->name, text, ip_prefix_format(&subnet, core),
				port->object.name);
	}
}

static const struct port *port_of(const struct model *model, const struct gre_tunnel *t)
{
	const struct object *child;

	MODEL_CHILDREN(model, NOUN_PORT, t->edge, child)
	{
		const struct ip_address *ours = &((const struct port *)child)->address.address;
		if (ours->family && !ip_address_compare(ours, &t->local))
			return (const struct port *)child;
	}
	return NULL;
}

static void addresses(struct check *check, const struct object *object, const struct gre_tunnel *t)
{
	const char *field = tunnels_field(object->noun)->name, *noun = object->noun->name;
	char text[IP_TEXT_MAX];

	if (!port_of(check->model, t))
		finding_hint(
			refuse(check, object, field,
				"%s \"%s\": local address %s is that of no core port of "
				"edge \"%s\"",
				noun, object->name, ip_address_format(&t->local, text), t->edge),
			"culvertctl port list");
	far_end(check, object, t);
	if (t->local.family != t->gateway.family)
		refuse(check, object, field,
			"%s \"%s\": gateway %s and the local address differ in family", noun,
			object->name, ip_address_format(&t->gateway, text));
}

void tunnel_addresses(struct check *check, const struct object *object)
{
	const struct gre_tunnels *tunnels = object_tunnels(object);

	for (unsigned int i = 0; i < tunnels->count; i++)
		addresses(check, object, &tunnels->item[i]);
}

static unsigned int overhead(const struct gre_tunnel *t)
{
	return t->local.family == 4 ? GRE_OVERHEAD4 : GRE_OVERHEAD6;
}

void tunnel_carries_ipv6(struct check *check, const struct object *object)
{
	const struct gre_tunnels *tunnels = object_tunnels(object);

	for (unsigned int i = 0; i < tunnels->count; i++) {
		const struct gre_tunnel *t = &tunnels->item[i];
		const struct port *port = port_of(check->model, t);
		if (!port || port->mtu >= IPV6_MTU_MIN + overhead(t))
			continue;
		finding_hint(
			refuse(check, object, tunnels_field(object->noun)->name,
				"%s \"%s\": IPv6 needs %u bytes, a tunnel from port \"%s\" "
				"carries %u (MTU %u less %u)",
				object->noun->name, object->name, IPV6_MTU_MIN, port->object.name,
				port->mtu - overhead(t), port->mtu, overhead(t)),
			"culvertctl port set %s --mtu %u", port->object.name,
			IPV6_MTU_MIN + overhead(t));
	}
}

// --- what it means ---------------------------------------------------------------------------------------

void tunnel_ids(struct id_sink *sink, const struct object *object, const char *prefix)
{
	const struct gre_tunnels *tunnels = object_tunnels(object);

	for (unsigned int i = 0; i < tunnels->count; i++)
		id_needed(sink, ID_INTERFACE, "%s/%s/%s", prefix, object->name,
			tunnels->item[i].edge);
}

// The core port that has the tunnel's outer address, NULL = none of the edge has.
static const struct port *core_of(struct realise *realise, const struct gre_tunnel *tunnel)
{
	const struct object *child;

	REALISE_CHILDREN(realise, NOUN_PORT, tunnel->edge, child)
	{
		const struct port *port = (const struct port *)child;
		if (port->faces == PORT_CORE &&
			!ip_address_compare(&port->address.address, &tunnel->local))
			return port;
	}
	return NULL;
}

struct intent_interface *tunnel_realise(
	struct realise *realise, const struct object *object, const char *prefix)
{
	const struct gre_tunnel *tunnel =
		tunnel_from(object_tunnels(object), realise_edge(realise));
	if (!tunnel)
		return NULL;
	const struct port *core = core_of(realise, tunnel);
	if (!core) {
		realise_problem(realise, object->name, "culvertctl port list",
			"the tunnel of %s \"%s\" starts at an address that no core port of this "
			"edge has",
			object->noun->name, object->name);
		return NULL;
	}
	if (realise_port(realise, object->name, core->name) < 0)
		return NULL;
	struct intent_interface *interface = realise_interface(realise, INTENT_TUNNEL,
		realise_id(realise, ID_INTERFACE, "%s/%s/%s", prefix, object->name, tunnel->edge));
	interface->object = object->name;
	interface->up = true;
	interface->source_check = true;
	interface->mtu = (uint16_t)(core->mtu - overhead(tunnel));
	interface->tunnel.local = tunnel->local;
	interface->tunnel.remote = tunnel->gateway;
	interface->tunnel.key = tunnel->key;
	interface->tunnel.ttl = TUNNEL_TTL;
	return interface;
}
