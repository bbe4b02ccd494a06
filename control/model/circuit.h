/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_CIRCUIT_H
#define MODEL_CIRCUIT_H

// A circuit: one customer's contract. Its links, peerings and connections are objects of their own,
// named "CIRCUIT/...".

#include "control/model/model.h"

enum circuit_accounting { ACCOUNT_L3, ACCOUNT_L2 };
enum circuit_model { CIRCUIT_DIRECT, CIRCUIT_EXCHANGE, CIRCUIT_ETHERNET, CIRCUIT_IPVPN };
enum circuit_handoff { HANDOFF_L2, HANDOFF_L3 };
enum provider_state { NOT_PROVISIONED, PROVISIONING, PROVISIONED, DEPROVISIONING };
enum circuit_sku { SKU_STANDARD, SKU_PREMIUM };
enum circuit_billing { BILLING_METERED, BILLING_UNLIMITED };

#define CIRCUIT_BANDWIDTHS  "50mbps, 100mbps, 200mbps, 500mbps, 1gbps, 2gbps, 5gbps or 10gbps"
#define CIRCUIT_PROVISIONED "circuit-provisioned"

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
	const char *subscription; // or NULL
	const char *location;     // or NULL
	const char *provider;     // NULL exactly when direct
	uint32_t model;           // enum circuit_model
	uint32_t handoff;         // enum circuit_handoff
	uint32_t provider_state;  // enum provider_state, of what is not direct
	uint32_t sku;             // enum circuit_sku
	uint32_t billing;         // enum circuit_billing
	const char *description;  // or NULL
};

bool circuit_bandwidth_is_sold(uint64_t bandwidth); // bit/s
// What a provider has to offer for it: enum provider_offer.
#define circuit_offer(model, handoff) (((model) - CIRCUIT_EXCHANGE) * 2 + (handoff))
// What its plan takes, at most.
unsigned int circuit_connections(const struct circuit *circuit);
unsigned int circuit_routes(const struct circuit *circuit); // of a peering, of each family
const char *circuit_offer_text(const struct circuit *circuit); // "exchange/l2"; "direct"
const struct circuit *circuit_of_key(const struct model *model, const char *service_key); // NULL = none
// Whether the provider's line is there: peerings are set and forward.
bool circuit_is_provisioned(const struct circuit *circuit);
const char *circuit_provider_state(const struct circuit *circuit); // NULL = direct
// "enabling", "enabled", "disabling", "disabled": for the customer.
const char *circuit_state(const struct circuit *circuit);

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
