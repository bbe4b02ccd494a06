/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_PORT_H
#define MODEL_PORT_H

// A port of an edge. The node file of that edge says which device it is.

#include "control/model/model.h"

enum port_faces { PORT_CUSTOMER, PORT_CORE };

struct port { // object.name is "EDGE/PORT"
	struct object object;
	const char *edge;
	const char *name;
	uint32_t faces; // enum port_faces
	uint32_t mtu;
	struct ip_host address;   // ours in the underlay; core ports
	LIST_OF(uint64_t) offers; // bit/s that circuits on this port may have; empty = every rate
	uint64_t capacity;        // bit/s that circuits may add up to; 0 = not counted
};

struct policy_set;
struct realise;
// Refuses the outer addresses of all edges: a set of rules that every customer shares. The one
// reference is the caller's.
struct policy_set *port_refuse(struct realise *realise);

extern const struct noun port_noun;

#endif
