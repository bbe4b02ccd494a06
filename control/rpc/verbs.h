/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RPC_VERBS_H
#define RPC_VERBS_H

#include "control/rpc/rpc.h"

// The methods that the main thread answers from the service: the verbs of every noun, config.*, and what the store
// keeps beside the model (lists.c).

struct api_error;
struct rpc_server;
struct service;

// Adds them all, and publishes an event "model" {"revision"} on each change. The service outlives the server.
extern const struct rpc_method list_methods[];
int rpc_verbs_add(struct rpc_server *server, struct service *service, struct api_error *error);

#endif
