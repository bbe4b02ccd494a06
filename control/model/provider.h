/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_PROVIDER_H
#define MODEL_PROVIDER_H

// A connectivity provider: whose lines lead from customers to our ports, and what he offers.

#include "control/model/model.h"

// What a provider may offer: a model of connectivity with who speaks BGP to us, the customer (l2) or the provider's
// edge (l3).
enum provider_offer {
	OFFER_EXCHANGE_L2,
	OFFER_EXCHANGE_L3,
	OFFER_ETHERNET_L2,
	OFFER_ETHERNET_L3,
	OFFER_IPVPN_L2,
	OFFER_IPVPN_L3,
	OFFERS
};

struct provider {
	struct object object;
	const char *name;
	LIST_OF(uint32_t) models; // enum provider_offer
	LIST_OF(uint64_t) bandwidths;  // bit/s
	LIST_OF(const char *) locations;
	bool allow_lower; // a circuit's bandwidth may be lowered live
};

bool provider_offers_model(const struct provider *provider, enum provider_offer offer);
bool provider_offers_bandwidth(const struct provider *provider, uint64_t bandwidth);
bool provider_is_at(const struct provider *provider, const char *location);
const char *provider_offer_text(enum provider_offer offer); // "exchange/l2"
// "exchange/l2, ipvpn/l3"; what does not fit is left out.
const char *provider_models_text(const struct provider *provider, char *text, size_t size);

extern const struct noun provider_noun;

#endif
