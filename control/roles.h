/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef ROLES_H
#define ROLES_H

// The roles of the node file: whom they name, and whether these can open the control socket at all.

#include <stdbool.h>

#include "control/api/error.h"

struct node;
struct rpc_grant;

// One grant for each role, in their order, for free().
int roles_read(const struct node *node, struct rpc_grant **grants, struct api_error *error);
// The socket's group as the node file has it; 0 = as it is.
int roles_group(const struct node *node, unsigned int *group, struct api_error *error);
// The first of them who has a role and may not open the socket's file: false, and error says who.
bool roles_reach(const struct node *node, struct api_error *error);

#endif
