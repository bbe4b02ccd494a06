/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_LINK_H
#define MODEL_LINK_H

// One of the two links of a circuit: where its customer's frames come in.

#include "control/model/model.h"

enum link_role { LINK_PRIMARY, LINK_SECONDARY };
enum link_admin { LINK_UP, LINK_DOWN };

struct link { // object.name is "CIRCUIT/ROLE"
	struct object object;
	const char *circuit;
	uint32_t role; // enum link_role
	const char *edge;
	const char *port;   // name on that edge
	uint32_t outer_tag; // 0 = untagged
	uint32_t inner_tag; // 0 = none
	uint32_t mtu;       // largest IP packet
	uint32_t admin;     // enum link_admin
	const char *handoff_device; // the provider's, in his words; NULL = not said
	const char *handoff_path;
};

struct peering;
// The VLAN stack of a peering's attachment on this link, outermost first: the link's tags, then the
// peering's C-tag. Returns how many, 0..2. peering may be NULL.
unsigned int link_vlans(const struct link *link, const struct peering *peering, uint16_t vlan[2]);
// The full name "EDGE/PORT" of the link's port.
const char *link_port_name(const struct link *link, char name[OBJECT_NAME_MAX]);

// Committed burst in bytes of a rate in bit/s held for `duration` ns, within what a limiter takes.
uint64_t link_burst(uint64_t rate, uint64_t duration);

bool link_is_up(const struct model *model, const char *circuit); // one of the circuit's

extern const struct noun link_noun;

#endif
