/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_CUSTOMER_H
#define MODEL_CUSTOMER_H

// A customer: the unit of isolation.

#include "control/model/model.h"

struct customer {
	struct object object;
	const char *name;
	const char *organisation; // or NULL
	const char *description;  // or NULL
};

extern const struct noun customer_noun;

#endif
