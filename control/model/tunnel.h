/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_TUNNEL_H
#define MODEL_TUNNEL_H

// GRE tunnels, a field of every noun that has some: LIST of struct gre_tunnel, described by
// gre_tunnel_fields. The functions below find that field by its table, so that a noun with tunnels
// names it once, in its own table.

#include "control/model/model.h"

struct gre_tunnel {
	const char *edge;
	struct ip_address gateway; // outer address of the far end
	struct ip_address local;   // outer address of ours, that of a core port of the edge
	uint32_t key;              // GRE key, always present on the wire
};

struct gre_tunnels { // a LIST_OF
	unsigned int count;
	struct gre_tunnel *item;
};

extern const struct fields gre_tunnel_fields;

// The tunnel from this edge, NULL when there is none.
const struct gre_tunnel *tunnel_from(const struct gre_tunnels *tunnels, const char *edge);

struct check;
struct id_sink;
struct index_sink;
struct intent_interface;
struct realise;

// For the noun's table.
void tunnel_keys(struct index_sink *sink, const struct object *object);
void tunnel_per_edge(struct check *check, const struct object *object);
void tunnel_addresses(struct check *check, const struct object *object);
void tunnel_triple(struct check *check, const struct object *object);
void tunnel_carries_ipv6(struct check *check, const struct object *object);
#define TUNNEL_RULES                                                                               \
	{"tunnel-per-edge", "there is at most one tunnel from an edge", tunnel_per_edge},          \
		{"tunnel-addresses",                                                               \
			"a tunnel starts from the address of a core port and ends elsewhere",      \
			tunnel_addresses},                                                         \
	{                                                                                          \
		"tunnel-triple",                                                                   \
			"an (outer source, outer destination, key) triple belongs to one tunnel, " \
			"whoever's it is",                                                         \
			tunnel_triple                                                              \
	}

// The ids of its interfaces: INTERFACE "PREFIX/NAME/EDGE".
void tunnel_ids(struct id_sink *sink, const struct object *object, const char *prefix);
// The interface of the tunnel from this edge; name, domain and owner are left to the caller. NULL =
// there is none here, or a problem says why it cannot be.
struct intent_interface *tunnel_realise(
	struct realise *realise, const struct object *object, const char *prefix);

#endif
