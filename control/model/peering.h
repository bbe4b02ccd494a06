/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_PEERING_H
#define MODEL_PEERING_H

// A peering of a circuit: a routing domain of its own, with a BGP session for each address family on each link, or routes in
// place of BGP. Both families go over one attachment of the link.

#include "control/model/model.h"

enum peering_type { PEERING_PRIVATE };

struct link;

struct peering { // object.name is "CIRCUIT/TYPE"
	struct object object;
	const char *circuit;
	uint32_t type;                   // enum peering_type
	struct ip_prefix primary_subnet; // /30, of IPv6 /126; family 0 = none
	struct ip_prefix secondary_subnet;
	struct ip_prefix primary_subnet_v6, secondary_subnet_v6;
	struct ip_prefix subnet, subnet_v6; // /29, of IPv6 /125: half of it on each link
	uint32_t peer_asn;  // the customer's
	uint32_t local_asn; // ours
	uint32_t c_tag;     // 0 = none
	struct secret password;
	uint64_t hold, keepalive, connect, error_wait; // ns
	bool enabled, ttl_security;
	LIST_OF(struct ip_prefix) routes; // behind the customer, in place of BGP; none = BGP is spoken
};

// The subnet of this family (4, 6) on the link, family 0 = the peering has none there.
struct ip_prefix peering_subnet(
	const struct peering *peering, const struct link *link, uint8_t family);
bool peering_is_on(const struct peering *peering, const struct link *link); // with either family
// All of its subnets; their number.
unsigned int peering_subnets(const struct peering *peering, struct ip_prefix subnet[4]);
bool peering_has_family(const struct peering *peering, uint8_t family);
// The customer takes the first host address of the subnet, we the second.
struct ip_address peering_remote(
	const struct peering *peering, const struct link *link, uint8_t family);
struct ip_address peering_local(
	const struct peering *peering, const struct link *link, uint8_t family);

bool peering_is_enabled(const struct model *model, const char *circuit); // one of the circuit's

extern const struct noun peering_noun;

#endif
