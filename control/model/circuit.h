/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_CIRCUIT_H
#define MODEL_CIRCUIT_H

// A circuit: one customer's contract. Its links, peerings and connections are objects of their own,
// named "CIRCUIT/...".

#include "control/model/model.h"

enum circuit_accounting { ACCOUNT_L3, ACCOUNT_L2 };

struct circuit {
	struct object object;
	const char *name;
	const char *customer;
	const char *service_key; // UUID in lower case
	uint64_t bandwidth;      // bit/s, of each link in each direction
	uint64_t burst;          // ns at the rate
	uint64_t shape_in;       // ns a packet towards the cloud may be queued; 0 = policed
	uint64_t shape_out;      // ns, towards the customer
	uint64_t ef_bandwidth;   // bit/s of DSCP 46 that goes first; 0 = no such class
	uint32_t packet_rate;    // packets/s, in each direction; 0 = no cap
	uint32_t accounting;     // enum circuit_accounting
	int32_t overhead;        // bytes added to each packet's accounted length
	const char *provider;    // or NULL
	const char *location;    // or NULL
};

struct check;
// Everything that the circuit consists of is looked at again, and the ports that its links are on:
// what the parts of a circuit touch.
void circuit_touch(struct check *check, const char *circuit);
// Name of the circuit's customer, NULL = there is no such circuit.
const char *circuit_customer(const struct model *model, const char *circuit);

// Whether traffic may flow by it: a link of it is up and a peering enabled.
bool circuit_carries(const struct model *model, const char *circuit);

extern const struct noun circuit_noun;

#endif
