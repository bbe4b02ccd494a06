// SPDX-License-Identifier: BSD-3-Clause
#include "control/sync/state.h"
#include "control/rpc/rpc.h"
#include "control/api/methods.h"
const struct rpc_method sync_methods[] = {{.name = NULL}};
