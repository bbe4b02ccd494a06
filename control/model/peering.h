/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_PEERING_H
#define MODEL_PEERING_H

// A peering of a circuit: a routing domain of its own, with a BGP session on each link, or routes in place of BGP.

#include "control/model/model.h"

enum peering_type { PEERING_PRIVATE };

struct link;

struct peering { // object.name is "CIRCUIT/TYPE"
	struct object object;
	const char *circuit;
	uint32_t type;                   // enum peering_type
	struct ip_prefix primary_subnet; // /30, family 0 = none
	struct ip_prefix secondary_subnet;
	uint32_t peer_asn;  // the customer's
	uint32_t local_asn; // ours
	uint32_t c_tag;     // 0 = none
	struct secret password;
	uint64_t hold, keepalive, connect, error_wait; // ns
	bool enabled, ttl_security;
	LIST_OF(struct ip_prefix) routes; // behind the customer, in place of BGP; none = BGP is spoken
};

// The subnet on this link, NULL when the peering has none there.
const struct ip_prefix *peering_subnet(const struct peering *peering, const struct link *link);
// The customer takes the first host address of the subnet, we the second.
struct ip_address peering_remote(const struct peering *peering, const struct link *link);
struct ip_address peering_local(const struct peering *peering, const struct link *link);

bool peering_is_enabled(const struct model *model, const char *circuit); // one of the circuit's

extern const struct noun peering_noun;

#endif
