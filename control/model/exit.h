/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_EXIT_H
#define MODEL_EXIT_H

// A vNet's way to the Internet: tunnels of their own, apart from those to its gateway.

#include "control/model/model.h"
#include "control/model/tunnel.h"

struct exit {
	struct object object;
	const char *name;
	const char *vnet;
	struct gre_tunnels tunnels; // at most one an edge
};

#endif
