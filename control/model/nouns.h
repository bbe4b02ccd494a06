/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_NOUNS_H
#define MODEL_NOUNS_H

// The one list of nouns. A line here gives enum NOUN_X, the typed access model_x() to struct x, a
// place in nouns[] for x_noun, and with it YAML section, methods, commands, completion and manual.
// What the noun is stands in x.h and x.c. The order is that of the configuration file and of
// everything that walks all nouns.

// X(symbol of the enum, C name)
// clang-format off
#define NOUN_LIST(X)              \
	X(REALM, realm)           \
	X(AREA, area)             \
	X(REGION, region)         \
	X(EDGE, edge)             \
	X(PORT, port)             \
	X(LOCATION, location)     \
	X(PROVIDER, provider)     \
	X(ORGANISATION, organisation) \
	X(CUSTOMER, customer)     \
	X(SUBSCRIPTION, subscription) \
	X(CIRCUIT, circuit)       \
	X(LINK, link)             \
	X(PEERING, peering)       \
	X(VNET, vnet)             \
	X(CONNECTION, connection) \
	X(PRICE, price)           \
	X(EXIT, exit)
// clang-format on

#endif
