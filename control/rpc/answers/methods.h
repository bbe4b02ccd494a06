/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef ANSWERS_METHODS_H
#define ANSWERS_METHODS_H

// The methods of the route thread, for rpc_server_add(); their ctx is the struct sync.

#include "control/rpc/rpc.h"

extern const struct rpc_method sync_methods[];

#endif
