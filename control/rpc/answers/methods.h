/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef ANSWERS_METHODS_H
#define ANSWERS_METHODS_H

// The methods of the route thread, for rpc_server_add(); their ctx is the struct sync.

#include "control/rpc/rpc.h"

struct health;
struct sync;

extern const struct rpc_method sync_methods[];

// Keeps the states of links and circuits in the status table, and makes an event of every change in it. Before the
// first publication.
struct health *health_create(struct sync *sync);
void health_destroy(struct health *health); // while `sync` lives; NULL is fine

#endif
