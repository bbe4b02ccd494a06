/* SPDX-License-Identifier: BSD-3-Clause */
// Route precedence. Between prefixes of different length the data plane decides, longest match first; here
// the decision is between routes of equal prefix: what the system itself provides beats what somebody
// announces, and of several routes that BGP offers in one domain the lowest kernel metric wins. Routes to
// the same prefix that come from several connected peerings share the traffic by their weights.

#include "control/domain/precedence.h"

#include <stddef.h>

const char *origin_name(enum origin origin)
{
	switch (origin) {
	case ORIGIN_CONNECTED:
		return "connected";
	case ORIGIN_VNET:
		return "vnet";
	case ORIGIN_CONNECTION:
	case ORIGIN_JOINED:
		return "connection";
	case ORIGIN_BGP:
		return "bgp";
	case ORIGIN_NONE:
		break;
	}
	return "none";
}

static bool better(const struct candidate *a, const struct candidate *b)
{
	if (a->origin != b->origin)
		return a->origin < b->origin;
	return a->domain == b->domain && a->metric < b->metric;
}

unsigned int precedence_choose(struct candidate *candidate, unsigned int count)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < count; i++) {
		bool beaten = false;
		for (unsigned int j = 0; j < count && !beaten; j++)
			beaten = better(&candidate[j], &candidate[i]);
		if (beaten)
			continue;
		// Only what comes from several domains is shared; system routes have one owner.
		if (kept > 0 && candidate[i].origin < ORIGIN_BGP)
			continue;
		struct candidate winner = candidate[i];
		candidate[i] = candidate[kept];
		candidate[kept++] = winner;
	}
	return kept;
}
