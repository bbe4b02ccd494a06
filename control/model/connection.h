/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_CONNECTION_H
#define MODEL_CONNECTION_H

// Joins a peering and a vNet of the same customer.

#include "control/model/model.h"

struct connection { // object.name is "CIRCUIT/VNET"
	struct object object;
	const char *circuit;
	const char *vnet;
	const char *peering; // type of the circuit's peering, "private"
	uint32_t weight;     // 1..256, share of the traffic among several connections of the vNet
};

// The full name "CIRCUIT/TYPE" of the connection's peering.
const char *connection_peering_name(
	const struct connection *connection, char name[OBJECT_NAME_MAX]);

extern const struct noun connection_noun;

#endif
