/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_ORGANISATION_H
#define MODEL_ORGANISATION_H

// Whoever several customers belong to.

#include "control/model/model.h"

struct organisation {
	struct object object;
	const char *name;
};

extern const struct noun organisation_noun;

#endif
