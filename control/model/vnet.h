/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_VNET_H
#define MODEL_VNET_H

// A customer's virtual network in the cloud: a routing domain of its own, with a GRE tunnel from each edge.

#include "control/model/model.h"

struct vnet_tunnel {
	const char *edge;
	struct ip_address gateway; // outer address of the far end
	struct ip_address local;   // outer address of ours, that of a core port of the edge
	uint32_t key;              // GRE key, always present on the wire
};

struct vnet {
	struct object object;
	const char *name;
	const char *customer;
	LIST_OF(struct ip_prefix) prefixes;
	LIST_OF(struct vnet_tunnel) tunnels; // at most one an edge
};

// The tunnel from this edge, NULL when there is none.
const struct vnet_tunnel *vnet_tunnel_of(const struct vnet *vnet, const char *edge);

extern const struct noun vnet_noun;

#endif
