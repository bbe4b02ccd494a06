/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_AREA_H
#define MODEL_AREA_H

// A geopolitical area of a realm: its regions are what a standard circuit of one of its locations reaches.

#include "control/model/model.h"

struct area {
	struct object object;
	const char *name;
	const char *realm;
};

extern const struct noun area_noun;

#endif
