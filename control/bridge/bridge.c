// SPDX-License-Identifier: BSD-3-Clause
// The bridge as a whole: its life, its clock tick, its counters. The parts, from the kernel up:
//	netlink, kernel, netns, tap      single system calls and messages, no state
//	decode, hops, routes             a route message; what a million of them are stored in
//	mirror, reconcile                kernel routes -> changes, reported once
//	neighbor, install, interface     what we put into the kernel
//	presence                         what we say to the wire
//	held, repair                     what keeps it there
//	space                            namespaces and domains
//	mark, guard, sweep               whose it is, and what an earlier life left behind
// Everything runs on the route thread's event loop and nothing blocks it: requests that the kernel answers at
// once are made on the spot, everything else is an event.

#include "control/base/turns.h"
#include "control/bridge/kernel.h"
#include "control/bridge/mirror.h"
#include "control/bridge/patch.h"
#include "control/bridge/reconcile.h"
#include "control/bridge/repair.h"
#include "control/bridge/space.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <event2/event.h>

enum { DEFAULT_CHECK_S = 60 };

// Once a second: what an event may not have told, and at times the check of every mirror.
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct bridge *bridge = ctx;
	struct space *space;

	turns_note("bridge: round");
	repair_round(bridge);
	patches_round(bridge);
	LIST_FOREACH (space, &bridge->spaces, entry)
		mirror_ask_again(space);
	if (++bridge->ticks % bridge->check_interval == 0)
		LIST_FOREACH (space, &bridge->spaces, entry)
			mirror_check(space);
}

static int copy_options(struct bridge *bridge, const struct bridge_options *options)
{
	bridge->base = options->base;
	bridge->mode = options->mode;
	bridge->local_protocol = (uint8_t)options->local_protocol;
	bridge->check_interval =
		options->check_interval ? options->check_interval : DEFAULT_CHECK_S;
	bridge->receive_buffer = (int)options->receive_buffer;
	bridge->callbacks = options->callbacks;
	bridge->device_id = options->device_id;
	bridge->prefix = strdup(options->prefix);
	bridge->run_dir = strdup(options->run_dir);
	return bridge->prefix && bridge->run_dir ? 0 : -ENOMEM;
}

static struct event_buffers *buffers_new(void)
{
	struct event_buffers *buffers = calloc(1, sizeof(*buffers));

	for (unsigned int i = 0; buffers && i < EVENT_BATCH; i++) {
		buffers->iovec[i] = (struct iovec){buffers->data[i], EVENT_BYTES};
		buffers->header[i].msg_hdr.msg_iov = &buffers->iovec[i];
		buffers->header[i].msg_hdr.msg_iovlen = 1;
	}
	return buffers;
}

int bridge_create(
	struct bridge **out, const struct bridge_options *options, struct api_error *error)
{
	struct timeval second = {1, 0};
	struct rlimit files;

	*out = NULL;
	if (options->mode == BRIDGE_VRF)
		return api_fail(error, API_REFUSED,
			"set host-domain to netns (or table for more than 1,000 domains)",
			"host domain vrf is not available: %s",
			kernel_has_vrf() ? "this version does not drive VRF devices yet"
					 : "this kernel has no VRF devices");
	if (options->local_protocol < 5 || options->local_protocol > 255 ||
		decode_tracked((uint8_t)options->local_protocol))
		return api_fail(error, API_INVALID, "use a number no routing daemon uses, e.g. 67",
			"route protocol %u cannot be ours", options->local_protocol);
	// A namespace costs about five descriptors.
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	struct bridge *bridge = calloc(1, sizeof(*bridge));
	if (bridge == NULL || copy_options(bridge, options))
		goto no_memory;
	STAILQ_INIT(&bridge->buried);
	bridge->burial = event_new(bridge->base, -1, 0, reconcile_buried, bridge);
	bridge->buffers = buffers_new();
	bridge->ticks = bridge->patch_round = 1;
	bridge->tick = event_new(bridge->base, -1, EV_PERSIST, on_tick, bridge);
	if (repair_start(bridge) || bridge->buffers == NULL || bridge->tick == NULL ||
		bridge->burial == NULL ||
		event_add(bridge->tick, &second))
		goto no_memory;
	*out = bridge;
	return 0;
no_memory:
	bridge_destroy(bridge);
	return api_fail(error, API_INTERNAL, NULL, "no memory for the routing bridge");
}

void bridge_destroy(struct bridge *bridge)
{
	struct host_interface *interface;
	struct host_domain *domain;
	struct space *space;
	uint32_t cursor = 0;

	if (bridge == NULL)
		return;
	if (bridge->tick)
		event_free(bridge->tick);
	sweep_end(bridge);
	patches_free(bridge);
	while ((interface = idmap_next(&bridge->interfaces, &cursor)) != NULL)
		interface_free(interface);
	cursor = 0;
	while ((domain = idmap_next(&bridge->domains, &cursor)) != NULL)
		domain_free(domain);
	while ((space = LIST_FIRST(&bridge->spaces)) != NULL)
		space_close(space);
	repair_stop(bridge);
	reconcile_buried_end(bridge);
	idmap_free(&bridge->interfaces);
	idmap_free(&bridge->domains);
	hops_free(&bridge->hops);
	free(bridge->buffers);
	free(bridge->prefix);
	free(bridge->run_dir);
	free(bridge);
}

void bridge_counters(const struct bridge *bridge, struct bridge_counters *counters)
{
	*counters = bridge->counters;
}
