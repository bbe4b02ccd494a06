/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_EDGE_H
#define MODEL_EDGE_H

// An edge node: one pair of culvertd and culvert-dataplane, named by the node file.

#include "control/model/model.h"

struct edge_route { // static, in the underlay of this edge
	struct ip_prefix prefix;
	struct ip_address via;
};

struct edge {
	struct object object;
	const char *name;
	LIST_OF(struct edge_route) routes;
};

extern const struct noun edge_noun;

#endif
