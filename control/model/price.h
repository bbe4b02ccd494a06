/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_PRICE_H
#define MODEL_PRICE_H

// A price list: what circuits at a location cost. Data only, what it comes to is worked out by
// whoever makes a bill.

#include "control/model/model.h"

enum price_plan { PRICE_METERED, PRICE_UNLIMITED };

struct price_fee {
	uint64_t bandwidth; // bit/s
	uint32_t plan;      // enum price_plan
	uint32_t fee;       // hundredths of the currency, a month
};

struct price {
	struct object object;
	const char *name;
	const char *location; // as circuits name it
	const char *currency; // ISO 4217
	LIST_OF(struct price_fee) fees;
	uint32_t premium; // hundredths of the currency, a month
	uint32_t reach;   // likewise
	uint32_t gb_out;  // millionths of the currency, for 10^9 bytes out of the cloud
};

#endif
