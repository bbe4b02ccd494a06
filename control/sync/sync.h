/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_H
#define SYNC_H

// What is configured, what BGP and the kernel say, and what the data plane must therefore hold: sync/ is
// where they meet. Everything runs on the route thread (creation and destruction: before it starts, after
// it has ended).

#include <stdbool.h>
#include <stdint.h>

#include "control/api/error.h"
#include "control/rpc/rpc.h"

struct event_base;
struct json_t;
struct node;
struct publication;
struct sync;

struct sync_options {
	struct event_base *base;
	const struct node *node; // borrowed
	// What subscribers are to hear of, see API_SUBSCRIBE; called on the route thread, data goes with it. May be NULL.
	void (*event)(void *ctx, const char *topic, struct json_t *data);
	void *event_ctx;
	unsigned int route_limit; // prefixes of a peering and family, 0 = 4,000 (tests)
};

int sync_create(struct sync **sync, const struct sync_options *options, struct api_error *error);
// The kernel's objects, the speakers and the data plane stay as they are. NULL is fine.
void sync_destroy(struct sync *sync);

// The configuration is now this one. The reference goes with it.
void sync_publish(struct sync *sync, struct publication *publication);

// The methods of the route thread; their ctx is the struct sync.
extern const struct rpc_method sync_methods[];

#endif
