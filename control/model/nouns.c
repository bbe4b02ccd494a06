// SPDX-License-Identifier: BSD-3-Clause
// The list of nouns. In a file of its own so that a test can link a list with a field more.

#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/customer.h"
#include "control/model/edge.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/model/port.h"
#include "control/model/vnet.h"

const struct noun *const nouns[NOUNS] = {
	[NOUN_EDGE] = &edge_noun,
	[NOUN_PORT] = &port_noun,
	[NOUN_CUSTOMER] = &customer_noun,
	[NOUN_CIRCUIT] = &circuit_noun,
	[NOUN_LINK] = &link_noun,
	[NOUN_PEERING] = &peering_noun,
	[NOUN_VNET] = &vnet_noun,
	[NOUN_CONNECTION] = &connection_noun,
};
