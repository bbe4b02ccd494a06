/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_PORT_H
#define MODEL_PORT_H

// A port of an edge. The node file of that edge says which device it is.

#include "control/model/model.h"

enum port_faces { PORT_CUSTOMER, PORT_CORE };
enum port_class { PORT_PRIVATE, PORT_INTERNET };

struct port { // object.name is "EDGE/PORT"
	struct object object;
	const char *edge;
	const char *name;
	uint32_t faces; // enum port_faces
	uint32_t mtu;
	struct ip_host address;   // ours in the underlay; core ports
	LIST_OF(uint64_t) offers; // bit/s that circuits on this port may have; empty = every rate
	uint64_t speed;           // bit/s of the line; 0 = what is sold is not counted
	uint32_t oversubscription; // per cent of the speed that may be sold
	uint32_t class;            // enum port_class
	const char *provider;      // whose line it is; NULL = anybody's
};

// The ledger of a port.
struct port_load {
	const struct model *model;
	uint64_t capacity; // bit/s that may be sold; 0 = not counted
	uint64_t sold;     // bit/s
	unsigned int links;
};
void port_load(const struct model *model, const struct port *port, struct port_load *load);
// "wan0 10gbps x 200 % = 20gbps, sold 10200mbps"
const char *port_load_text(
	const struct port *port, const struct port_load *load, char *text, size_t size);

struct policy_set;
struct realise;
// Refuses the outer addresses of all edges: a set of rules that every customer shares. The one
// reference is the caller's.
struct policy_set *port_refuse(struct realise *realise);

extern const struct noun port_noun;

#endif
