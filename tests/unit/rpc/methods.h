/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TEST_RPC_METHODS_H
#define TEST_RPC_METHODS_H

#include "control/rpc/rpc.h"

extern const struct rpc_method test_methods[];
extern int hold_gate[2]; // a pipe; "hold" answers once its writing end is closed
// For harness_start().
void test_methods_add(void *ctx, struct rpc_server *server, struct event_base *base);

#endif
