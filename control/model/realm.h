/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_REALM_H
#define MODEL_REALM_H

// A cloud that stands alone: the public one, or a national one. Nothing leads from one to another.

#include "control/model/model.h"

struct realm {
	struct object object;
	const char *name;
};

extern const struct noun realm_noun;

#endif
