/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_VNET_H
#define MODEL_VNET_H

// A customer's virtual network in the cloud: a routing domain of its own, with a GRE tunnel from
// each edge.

#include "control/model/model.h"
#include "control/model/tunnel.h"

struct vnet {
	struct object object;
	const char *name;
	const char *customer;
	const char *subscription; // or NULL
	LIST_OF(struct ip_prefix) prefixes;
	struct gre_tunnels tunnels; // at most one an edge
};

bool vnet_has_family(const struct vnet *vnet, uint8_t family); // a prefix of it

struct policy_set;
// Refuses the vNet's prefixes, all that lies inside them, and its tunnel ends: for whoever is
// joined to it. The one reference is the caller's.
struct policy_set *vnet_refuse(const struct vnet *vnet);

// Whether a circuit that carries traffic is joined to it.
bool vnet_carries(const struct model *model, const char *vnet);

extern const struct noun vnet_noun;

#endif
