// SPDX-License-Identifier: BSD-3-Clause
// Where configuration, kernel and data plane meet. This file only joins the others:
//
//	publication  -> desired.c   what this edge is to be
//	             -> realise.c   the kernel's and the speakers' half, by the bridge
//	             -> config.c, underlay.c, routes.c   the data plane's half, into the ledger (records.c)
//	ledger       -> dataplane.c   over the wire
//	bridge says: a route, a neighbor, a session     -> routes.c, groups.c, announcements
//	data plane says: a port, a neighbor is needed   -> carriers, MAC addresses, a probe
//
// Next-hop ids are those that the data plane already has for equal content, so the ledger is filled only when
// the first connection has been read back (`ready`). Until then the kernel's half goes ahead alone.

#include "control/sync/sync.h"

#include "control/node.h"
#include "control/publication.h"
#include "control/sync/state.h"

#include <event2/event.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GRACE_S      3   // for neighbors to be heard of after start
#define OUR_PROTOCOL 157 // RTPROT of the routes we announce

// --- from the bridge -----------------------------------------------------------------------------------

static void on_route(void *ctx, uint32_t domain, const struct bridge_route *route, bool present)
{
	routes_learned(ctx, domain, route, present);
}

static void on_synced(void *ctx, uint32_t domain)
{
	struct sync *sync = ctx;

	routes_settle(sync, domain);
}

static void on_neighbor(
	void *ctx, uint32_t interface, const struct ip_address *address, const uint8_t *mac)
{
	struct sync *sync = ctx;
	const struct desired_interface *wanted =
		sync->desired != NULL ? desired_interface(sync->desired, interface) : NULL;

	nexthops_neighbor(&sync->hops, interface, address,
		mac != NULL ? NEIGHBOR_USABLE : NEIGHBOR_FAILED, mac);
	if (wanted != NULL && wanted->kind == INTERFACE_CORE)
		realise_announcements(sync);
}

static void on_session(void *ctx, uint32_t peering, const struct bridge_session *session)
{
	struct realised *realised = sync_realised(ctx, peering);
	const struct bridge_session old = realised->session;

	realised->heard = true;
	realised->session = *session;
	event_session(ctx, peering, &old, session);
	if (strcmp(old.state, session->state) != 0)
		routes_synced(ctx);
}

// --- from the data plane -------------------------------------------------------------------------------

static void forget_had(void *ctx, void *entry)
{
	((struct domain *)entry)->had_routes = false;
}

static void on_connected(void *ctx, const struct wire_hello *hello, int stats)
{
	struct sync *sync = ctx;

	if (sync->instance != 0 && sync->instance != hello->instance)
		table_each(&sync->domains, forget_had, NULL); // this one starts with nothing
	sync->instance = hello->instance;
	counters_attach(ctx, stats);
}

static void on_disconnected(void *ctx)
{
	counters_detach(ctx);
}

static bool on_found(void *ctx, uint16_t type, const void *record)
{
	struct sync *sync = ctx;
	const struct wire_vrf_stats *stats = record;
	const struct wire_route *route = record;

	if (type == WIRE_VRF_STATS && stats->routes4 + stats->routes6 > 0)
		sync_domain(sync, stats->vrf)->had_routes = true;
	if (type == WIRE_VRF_STATS) // of a full one: which routes have the places
		return stats->routes4 >= sync->route_limit || stats->routes6 >= sync->route_limit;
	if (type != WIRE_ROUTE_SET)
		nexthops_adopt(&sync->hops, type, record);
	else if (route->origin == ORIGIN_BGP)
		limit_keep(sync_domain(sync, route->vrf), route);
	return false;
}

static void fill_ledger(struct sync *sync, const struct desired *old)
{
	config_apply(sync, old);
	underlay_apply(sync);
	routes_apply(sync, old);
}

static void on_ready(void *ctx)
{
	struct sync *sync = ctx;
	sync->ready = true;
	fill_ledger(sync, NULL);
}

static void on_port(void *ctx, const struct wire_port *port)
{
	struct sync *sync = ctx;

	if (port->port >= PORTS_MAX)
		return;
	struct port_state *state = &sync->port[port->port];
	bool moved = !state->known || state->last.up != port->up;
	if (moved)
		state->since = (uint64_t)time(NULL);
	bool changed = !state->known || memcmp(&state->last, port, sizeof(*port)) != 0;
	state->known = true;
	state->last = *port;
	if (!changed)
		return;
	fprintf(stderr, "level=info msg=\"port\" port=%u name=%s up=%u\n", port->port, port->name,
		port->up);
	if (moved)
		event_port(sync, port->port);
	realise_port(sync, port->port);
	underlay_neighbors(sync);
	realise_announcements(sync);
	hold_sweep(sync);
}

static void on_needed(void *ctx, const struct wire_needed *needed)
{
	struct sync *sync = ctx;
	const struct neighbor *neighbor = nexthops_neighbor_by_id(&sync->hops, needed->neighbor);

	if (neighbor == NULL || neighbor->key.interface != needed->interface)
		return;
	struct ip_address address = {.family = neighbor->key.family};
	memcpy(address.bytes, neighbor->key.addr, sizeof(neighbor->key.addr));
	bridge_neighbor_probe(sync->bridge, needed->interface, &address);
}

static void on_episode(void *ctx, const struct wire_episode *episode)
{
	counters_episode(ctx, episode);
}

static int on_queue(void *ctx, uint32_t interface, int *fd)
{
	struct sync *sync = ctx;
	struct api_error error = {0};
	int result = bridge_interface_queue(sync->bridge, interface, fd, &error);

	if (result != 0)
		fprintf(stderr, "level=error msg=\"no host queue\" interface=%u error=\"%s\"\n",
			interface, error.message);
	return result;
}

static const char *name_of_interface(const struct sync *sync, uint32_t id)
{
	const struct desired_interface *interface = desired_interface(sync->desired, id);
	return interface != NULL ? interface->name : "(deleted)";
}

static const char *name_of_domain(const struct sync *sync, uint32_t id)
{
	const struct desired_domain *domain = desired_domain(sync->desired, id);
	return domain != NULL ? domain->name : "(deleted)";
}

void sync_describe(const struct sync *sync, const struct record *record, char *text, size_t size)
{
	struct ip_address address = {.family = (uint8_t)record->key.family};
	char shown[IP_TEXT_MAX];

	memcpy(address.bytes, record->key.addr, sizeof(address.bytes));
	ip_address_format(&address, shown);
	switch (record->key.type) {
	case WIRE_VRF_SET:
		snprintf(text, size, "domain %s", name_of_domain(sync, record->key.id));
		break;
	case WIRE_INTERFACE_SET:
		snprintf(text, size, "interface %s", name_of_interface(sync, record->key.id));
		break;
	case WIRE_LOCAL_SET:
		snprintf(text, size, "address %s in %s", shown,
			name_of_domain(sync, record->key.id));
		break;
	case WIRE_ROUTE_SET:
		snprintf(text, size, "route %s/%u in %s", shown, record->key.len,
			name_of_domain(sync, record->key.id));
		break;
	case WIRE_LIMITER_SET:
		snprintf(text, size, "limiter %u", record->key.id);
		for (unsigned int i = 0; i < sync->desired->limiters.count; i++)
			if (sync->desired->limiters.item[i].record.limiter == record->key.id)
				snprintf(text, size, "limiter %s",
					sync->desired->limiters.item[i].name);
		break;
	default:
		snprintf(text, size, "next hop %u of type %u", record->key.id, record->key.type);
	}
}

static void on_vrf_stats(void *ctx, const struct wire_vrf_stats *stats)
{
	struct sync *sync = ctx;
	struct domain *domain = table_find(&sync->domains, &stats->vrf);

	if (domain != NULL)
		domain->stats = *stats;
}

static void on_describe(void *ctx, const struct record *record, char *text, size_t size)
{
	sync_describe(ctx, record, text, size);
}

static void on_changed(void *ctx)
{
	struct sync *sync = ctx;
	dataplane_wake(sync->dataplane);
}

// --- from the main thread ------------------------------------------------------------------------------

void sync_publish(struct sync *sync, struct publication *publication)
{
	struct desired *old = sync->desired;
	const struct fragment *before, *after;
	bool open = sync->hold.open;

	fragments_update(sync->fragments, publication);
	while (fragments_next(sync->fragments, &before, &after))
		continue;
	sync->desired = desired_assemble(sync->fragments, publication, sync->node->edge);
	bridge_owner_set(sync->bridge, publication->store, sync->node->edge);
	if (!hold_judge(sync)) {
		desired_free(old);
		publication_unref(publication);
		return;
	}
	if (!open) { // what was published before has reached nobody
		desired_free(old);
		old = NULL;
	}
	dataplane_identity(sync->dataplane, publication->store, publication->revision);
	realise_all(sync, old);
	if (sync->ready)
		fill_ledger(sync, old);
	else
		underlay_apply(sync);
	realise_announcements(sync);
	hold_sweep(sync);
	desired_free(old);
	publication_unref(publication);
}

// --- life ----------------------------------------------------------------------------------------------

static void on_grace(evutil_socket_t fd, short events, void *arg)
{
	struct sync *sync = arg;
	sync->settled = true;
	realise_announcements(sync);
	hold_sweep(sync);
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct sync *sync = arg;

	counters_tick(sync);
	if (realise_retry(sync))
		realise_announcements(sync);
	routes_synced(sync); // who was waited for long enough
	hold_sweep(sync);
}

static int create_bridge(struct sync *sync, struct api_error *error)
{
	static const enum bridge_mode mode[] = {
		[HOST_DOMAIN_NETNS] = BRIDGE_NETNS,
		[HOST_DOMAIN_TABLE] = BRIDGE_TABLE,
		[HOST_DOMAIN_VRF] = BRIDGE_VRF,
	};
	const struct bridge_options options = {
		.base = sync->base,
		.mode = mode[sync->node->host_domain],
		.prefix = sync->node->kernel_prefix,
		.run_dir = sync->node->run_dir,
		.launcher = sync->node->speaker != NULL ? sync->node->speaker : "",
		.local_protocol = OUR_PROTOCOL,
		.callbacks = {sync, on_route, on_synced, on_neighbor, on_session},
	};
	return bridge_create(&sync->bridge, &options, error);
}

static int start(struct sync *sync, struct api_error *error)
{
	const struct dataplane_callbacks callbacks = {sync, on_connected, on_disconnected, on_found,
		on_ready, on_port, on_needed, on_vrf_stats, on_episode, on_queue, on_describe};
	const struct timeval grace = {GRACE_S, 0}, second = {1, 0};

	int result = dataplane_create(&sync->dataplane, sync->base, sync->node->dataplane.socket,
		&sync->records, &callbacks);
	if (result == 0)
		result = create_bridge(sync, error);
	if (result != 0)
		return result;
	sync->grace = evtimer_new(sync->base, on_grace, sync);
	sync->tick = event_new(sync->base, -1, EV_PERSIST, on_tick, sync);
	if (sync->grace == NULL || sync->tick == NULL || event_add(sync->grace, &grace) != 0 ||
		event_add(sync->tick, &second) != 0)
		return -ENOMEM;
	return 0;
}

int sync_create(struct sync **out, const struct sync_options *options, struct api_error *error)
{
	struct sync *sync = calloc(1, sizeof(*sync));
	if (sync == NULL)
		return -ENOMEM;
	sync->base = options->base;
	sync->node = options->node;
	sync->view = node_view_create(options->node);
	sync->fragments = fragments_create(sync->view);
	sync->route_limit = options->route_limit != 0 ? options->route_limit : ROUTE_LIMIT;
	sync->event = options->event;
	sync->event_ctx = options->event_ctx;
	sync->started = (uint64_t)time(NULL);
	sync->domains = TABLE_OF(struct domain, id);
	sync->realised = TABLE_OF(struct realised, id);
	sync->tunnels = TABLE_OF(struct tunnel, id);
	records_init(&sync->records, on_changed, sync);
	nexthops_init(&sync->hops, &sync->records);
	int result = start(sync, error);
	if (result != 0) {
		sync_destroy(sync);
		return result;
	}
	*out = sync;
	return 0;
}

static void free_domain(void *ctx, void *entry)
{
	routes_forget(entry);
	free(entry);
}

static void free_plain(void *ctx, void *entry)
{
	free(entry);
}

void sync_destroy(struct sync *sync)
{
	if (sync == NULL)
		return;
	dataplane_destroy(sync->dataplane);
	if (sync->bridge != NULL)
		bridge_destroy(sync->bridge);
	counters_detach(sync);
	if (sync->grace != NULL)
		event_free(sync->grace);
	if (sync->tick != NULL)
		event_free(sync->tick);
	table_clear(&sync->domains, free_domain, NULL);
	free(sync->candidates.item);
	table_clear(&sync->episodes, free_plain, NULL);
	table_clear(&sync->realised, free_plain, NULL);
	table_clear(&sync->tunnels, free_plain, NULL);
	nexthops_free(&sync->hops);
	records_free(&sync->records);
	desired_free(sync->desired);
	fragments_destroy(sync->fragments);
	free(sync->view);
	free(sync);
}
