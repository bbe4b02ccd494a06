// SPDX-License-Identifier: BSD-3-Clause
// vNets: a customer's networks in the cloud, reached over GRE. The triple (outer source, outer destination,
// key) decides whose packet it is when it comes back from the core: that it is unique is what isolation
// rests on.

#include "control/model/vnet.h"
#include "control/model/edge.h"
#include "control/model/model_internal.h"
#include "control/model/port.h"

#include <string.h>

#define OFFSET(member) offsetof(struct vnet, member)
#define TUNNEL(member) offsetof(struct vnet_tunnel, member)

static const struct field tunnel_fields[] = {
	{"edge", FIELD_REFERENCE, FIELD_REQUIRED, TUNNEL(edge), .target = NOUN_EDGE,
		.help = "the edge it starts from"},
	{"gateway", FIELD_ADDRESS, FIELD_REQUIRED, TUNNEL(gateway),
		.help = "outer address of the far end"},
	{"local", FIELD_ADDRESS, FIELD_REQUIRED, TUNNEL(local),
		.help = "outer address of ours, that of a core port of the edge"},
	{"key", FIELD_UINT, FIELD_REQUIRED, TUNNEL(key), .max = UINT32_MAX, .help = "GRE key"},
};
static const struct fields tunnel = {tunnel_fields,
	sizeof(tunnel_fields) / sizeof(tunnel_fields[0]), sizeof(struct vnet_tunnel)};

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name), .help = "its name"},
	{"customer", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE, OFFSET(customer),
		.target = NOUN_CUSTOMER, .help = "whose it is"},
	{"prefixes", FIELD_LIST, FIELD_REQUIRED, OFFSET(prefixes), .element = FIELD_PREFIX,
		.effect = EFFECT_ROUTES, .help = "its networks"},
	{"tunnels", FIELD_LIST, 0, OFFSET(tunnels), .element = FIELD_STRUCT, .fields = &tunnel,
		.effect = EFFECT_TRAFFIC, .help = "its GRE tunnels, at most one from each edge"},
};

const struct vnet_tunnel *vnet_tunnel_of(const struct vnet *vnet, const char *edge)
{
	for (unsigned int i = 0; i < vnet->tunnels.count; i++) {
		if (!strcmp(vnet->tunnels.item[i].edge, edge))
			return &vnet->tunnels.item[i];
	}
	return NULL;
}

// --- tunnels -------------------------------------------------------------------------------------------

static uint64_t key_triple(const struct vnet_tunnel *t)
{
	uint64_t hash = hash_bytes(key_text("triple", ""), &t->local, sizeof(t->local));

	return hash_bytes(
		hash_bytes(hash, &t->gateway, sizeof(t->gateway)), &t->key, sizeof(t->key));
}

static bool same_triple(const struct vnet_tunnel *a, const struct vnet_tunnel *b)
{
	return a->key == b->key && !ip_address_compare(&a->local, &b->local) &&
	       !ip_address_compare(&a->gateway, &b->gateway);
}

static void keys(struct index_sink *sink, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;

	for (unsigned int i = 0; i < vnet->tunnels.count; i++)
		index_key(sink, key_triple(&vnet->tunnels.item[i]));
}

static void triple_taken(struct check *check, const struct vnet *vnet, unsigned int t)
{
	const struct vnet_tunnel *mine = &vnet->tunnels.item[t];
	const struct index *index = check->model->index;
	uint64_t hash = key_triple(mine);
	char local[IP_TEXT_MAX], gateway[IP_TEXT_MAX];

	for (unsigned int i = index_first(index, hash);
		i < index->count && index->entry[i].hash == hash; i++) {
		const struct vnet *other = (const struct vnet *)index->entry[i].object;
		if (other->object.noun != &vnet_noun)
			continue;
		for (unsigned int j = 0; j < other->tunnels.count; j++) {
			if (!same_triple(mine, &other->tunnels.item[j]) ||
				(other == vnet && j >= t) ||
				(other != vnet && !blame(check, &vnet->object, &other->object)))
				continue;
			finding_hint(
				refuse(check, &vnet->object, "tunnels",
					"vnet \"%s\": GRE key %u between %s and %s is already used "
					"by vnet \"%s\"",
					vnet->name, mine->key,
					ip_address_format(&mine->local, local),
					ip_address_format(&mine->gateway, gateway), other->name),
				"choose another key");
		}
	}
}

static void triple_unique(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;

	for (unsigned int t = 0; t < vnet->tunnels.count; t++)
		triple_taken(check, vnet, t);
}

static void one_per_edge(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;

	for (unsigned int i = 0; i < vnet->tunnels.count; i++) {
		if (vnet_tunnel_of(vnet, vnet->tunnels.item[i].edge) != &vnet->tunnels.item[i])
			refuse(check, object, "tunnels",
				"vnet \"%s\" has two tunnels from edge \"%s\"", vnet->name,
				vnet->tunnels.item[i].edge);
	}
}

static void tunnel_addresses(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;
	const struct object *child;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < vnet->tunnels.count; i++) {
		const struct vnet_tunnel *t = &vnet->tunnels.item[i];
		bool local = false, gateway = false;
		MODEL_CHILDREN(check->model, NOUN_PORT, t->edge, child)
		{
			const struct ip_address *ours =
				&((const struct port *)child)->address.address;
			local |= ours->family && !ip_address_compare(ours, &t->local);
			gateway |= ours->family && !ip_address_compare(ours, &t->gateway);
		}
		if (!local)
			finding_hint(
				refuse(check, object, "tunnels",
					"vnet \"%s\": local address %s is that of no core port of "
					"edge \"%s\"",
					vnet->name, ip_address_format(&t->local, text), t->edge),
				"culvertctl port list");
		if (gateway)
			refuse(check, object, "tunnels",
				"vnet \"%s\": gateway %s is an address of edge \"%s\" itself",
				vnet->name, ip_address_format(&t->gateway, text), t->edge);
		if (t->local.family != t->gateway.family)
			refuse(check, object, "tunnels",
				"vnet \"%s\": gateway %s and the local address differ in family",
				vnet->name, ip_address_format(&t->gateway, text));
	}
}

// --- prefixes ------------------------------------------------------------------------------------------

static void prefixes_distinct(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;
	char a[IP_TEXT_MAX], b[IP_TEXT_MAX];

	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (ip_prefix_overlaps(&vnet->prefixes.item[i], &vnet->prefixes.item[j]))
				refuse(check, object, "prefixes",
					"vnet \"%s\": prefixes %s and %s overlap", vnet->name,
					ip_prefix_format(&vnet->prefixes.item[j], a),
					ip_prefix_format(&vnet->prefixes.item[i], b));
		}
	}
}

static void prefixes_unicast(struct check *check, const struct object *object)
{
	const struct vnet *vnet = (const struct vnet *)object;
	char text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		const struct ip_prefix *prefix = &vnet->prefixes.item[i];
		uint8_t first = prefix->address.bytes[0];
		bool bad = prefix->len == 0;
		if (prefix->address.family == 4)
			bad |= first == 0 || first == 127 || first >= 224;
		else
			bad |= first == 0xff ||
			       (first == 0xfe && (prefix->address.bytes[1] & 0xc0) == 0x80);
		if (bad)
			refuse(check, object, "prefixes",
				"vnet \"%s\": %s cannot be a vNet's network", vnet->name,
				ip_prefix_format(prefix, text));
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

static const struct rule rules[] = {
	{"tunnel-per-edge", "a vNet has at most one tunnel from an edge", one_per_edge},
	{"tunnel-addresses", "a tunnel starts from the address of a core port and ends elsewhere",
		tunnel_addresses},
	{"tunnel-triple", "an (outer source, outer destination, key) triple belongs to one tunnel",
		triple_unique},
	{"prefixes-distinct", "the prefixes of a vNet do not overlap", prefixes_distinct},
	{"prefixes-unicast",
		"a vNet's prefix is neither a default route nor multicast, loopback or link-local",
		prefixes_unicast},
	{"prefixes-underlay", "a vNet's prefix is none of the underlay's", prefixes_underlay},
	{0},
};

const struct noun vnet_noun = {
	.id = NOUN_VNET,
	.name = "vnet",
	.section = "vnets",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct vnet)},
	.rules = rules,
	.keys = keys,
	.removal = EFFECT_TRAFFIC,
	.help = "a customer's virtual network in the cloud",
};
