/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_REGION_H
#define MODEL_REGION_H

// A region of the cloud: where virtual networks are.

#include "control/model/model.h"

struct region {
	struct object object;
	const char *name;
	const char *area;
};

extern const struct noun region_noun;

#endif
