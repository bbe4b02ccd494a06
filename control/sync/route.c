// SPDX-License-Identifier: BSD-3-Clause
// See route.h. A route goes through three lists of which it is in one at most: to be set, to be deleted, refused.
// What is walked is not listed: a route that changes during its VRF's walk is said twice at worst.

#include "control/sync/route.h"

#include "control/sync/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int route_key_compare(const struct route_key *a, const struct route_key *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	int order = memcmp(a->addr, b->addr, sizeof(a->addr));
	return order != 0 ? order : (int)a->len - (int)b->len;
}

struct wire_route route_wire(const struct route *route)
{
	struct wire_route wire = {
		.vrf = route->vrf->id,
		.group = route->group,
		.family = route->key.family,
		.len = route->key.len,
		.origin = route->origin,
	};
	memcpy(wire.addr, route->key.addr, sizeof(wire.addr));
	return wire;
}

// --- one route -------------------------------------------------------------------------------------------

// What stands there of an earlier connection is no longer so.
static void touch(struct records *records, struct route *route)
{
	if (route->connection == records->connection)
		return;
	route->connection = records->connection;
	route->queued = ROUTE_IDLE;
	route->sent = route->there = 0;
	route->under_way = route->told = 0;
	route->error = 0;
}

static struct route_queue *queue_of(struct records *records, uint8_t how)
{
	return how == ROUTE_SET      ? &records->route_set
	       : how == ROUTE_DELETE ? &records->route_delete
				     : &records->route_failures;
}

static void dequeue(struct records *records, struct route *route)
{
	if (route->queued == ROUTE_IDLE)
		return;
	TAILQ_REMOVE(queue_of(records, route->queued), route, queue);
	if (route->queued == ROUTE_FAILED)
		records->routes_failed--;
	else
		records->pending--;
	route->queued = ROUTE_IDLE;
}

static void enqueue(struct records *records, struct route *route, uint8_t how)
{
	dequeue(records, route);
	TAILQ_INSERT_TAIL(queue_of(records, how), route, queue);
	route->queued = how;
	if (how == ROUTE_FAILED) {
		records->routes_failed++;
		return;
	}
	records->pending++;
	records->changed(records->ctx);
}

static void set_there(struct records *records, struct route *route, bool there)
{
	if (route->there == there)
		return;
	route->there = there;
	route->vrf->there += there ? 1u : -1u;
	records->routes_there += there ? 1u : (size_t)-1;
}

static void set_error(struct records *records, struct route *route, int error)
{
	struct vrf *vrf = route->vrf;

	if (error == route->error)
		return;
	if (vrf != NULL) {
		vrf->refused += (error != 0 ? 1u : 0u) - (route->error != 0 ? 1u : 0u);
		vrf->error = error != 0 ? error : vrf->error;
		if (records->routes_refused != NULL)
			records->routes_refused(records->ctx, vrf);
	}
	route->error = (int16_t)error;
}

static void free_gone(struct records *records, struct vrf *vrf)
{
	if (!vrf->gone || vrf->routes > 0 || vrf->phase == VRF_OPEN)
		return;
	if (vrf->walking)
		TAILQ_REMOVE(&records->walks, vrf, walk);
	table_remove(&records->vrfs, vrf);
	free(vrf);
}

static void release(struct records *records, struct route *route)
{
	struct vrf *vrf = route->vrf;

	if (route->wanted || route->sent || route->under_way > 0 || route->queued != ROUTE_IDLE)
		return;
	set_there(records, route, false);
	set_error(records, route, 0);
	route->vrf = NULL;
	vrf->routes--;
	records->owner.released(vrf->owner, route);
	free_gone(records, vrf);
}

// Routes of a VRF that is known are said by its sweep; of one that is not, as they come unless it is guarded.
static bool may_queue(const struct records *records, const struct vrf *vrf)
{
	return records->open &&
	       (vrf->phase >= VRF_OPEN || (vrf->phase == VRF_HELD && !vrf->guarded));
}

void route_want(struct records *records, struct vrf *vrf, struct route *route, uint32_t group,
	uint8_t origin)
{
	touch(records, route);
	if (route->vrf == NULL) {
		route->vrf = vrf;
		vrf->routes++;
	} else if (route->wanted && route->group == group && route->origin == origin) {
		return;
	}
	records->changes++;
	route->wanted = 1;
	route->group = group;
	route->origin = origin;
	if (may_queue(records, vrf))
		enqueue(records, route, ROUTE_SET);
	else
		dequeue(records, route);
}

void route_unwant(struct records *records, struct route *route)
{
	if (route->vrf == NULL)
		return;
	touch(records, route);
	records->changes++;
	route->wanted = 0;
	set_error(records, route, 0);
	dequeue(records, route);
	if (route->sent)
		enqueue(records, route, ROUTE_DELETE);
	else
		release(records, route);
}

bool route_is_there(const struct records *records, const struct route *route)
{
	return route->vrf != NULL && route->wanted && route->there && route->error == 0 &&
	       route->under_way == 0 && route->queued == ROUTE_IDLE &&
	       route->connection == records->connection;
}

void route_taken(struct records *records, struct route *route)
{
	touch(records, route);
	route->sent = route->queued != ROUTE_DELETE;
	dequeue(records, route);
	route->under_way++;
}

void route_answered(struct records *records, struct route *route, bool was_delete, int error)
{
	route->under_way--;
	if (error != 0)
		records->refused++;
	if (was_delete && error != 0 && error != -ENOENT && !route->wanted && !route->sent) {
		route->sent = 1; // still there
		set_error(records, route, error);
		enqueue(records, route, ROUTE_FAILED);
		return;
	}
	if (was_delete && !route->sent)
		set_there(records, route, false);
	if (!route->wanted && !route->sent) {
		release(records, route);
		return;
	}
	if (was_delete)
		return;
	set_error(records, route, error);
	route->told = route->told && error != 0;
	set_there(records, route, error == 0);
	if (error != 0 && route->wanted && route->queued == ROUTE_IDLE)
		enqueue(records, route, ROUTE_FAILED);
}

void route_lost(struct records *records, struct route *route)
{
	route->under_way--;
	if (route->wanted || route->under_way > 0 || route->queued != ROUTE_IDLE)
		return;
	route->sent = 0;
	release(records, route);
}

unsigned int records_routes_retry(struct records *records)
{
	struct route *route, *next;
	unsigned int count = 0;

	for (route = TAILQ_FIRST(&records->route_failures); route != NULL; route = next) {
		next = TAILQ_NEXT(route, queue);
		if (route->under_way > 0 || !may_queue(records, route->vrf))
			continue;
		enqueue(records, route, route->wanted ? ROUTE_SET : ROUTE_DELETE);
		count++;
	}
	return count;
}

// --- VRFs ------------------------------------------------------------------------------------------------

static void set_phase(struct records *records, struct vrf *vrf, enum vrf_phase phase)
{
	if (!vrf->gone) {
		records->unswept -= vrf->phase != VRF_LIVE;
		records->unswept += phase != VRF_LIVE;
	}
	vrf->phase = phase;
}

struct vrf *records_vrf(struct records *records, uint32_t id)
{
	struct vrf *vrf = table_find(&records->vrfs, &id);
	if (vrf != NULL && !vrf->gone)
		return vrf;
	if (vrf == NULL) {
		vrf = calloc(1, sizeof(*vrf));
		if (vrf == NULL)
			abort();
		vrf->id = id;
		table_add(&records->vrfs, vrf);
	}
	vrf->gone = false;
	records->unswept++; // no gone one is live
	return vrf;
}

// All of its routes are to be said, from the first.
static void start_walk(struct records *records, struct vrf *vrf)
{
	vrf->begun = false;
	if (!vrf->walking)
		TAILQ_INSERT_TAIL(&records->walks, vrf, walk);
	vrf->walking = true;
	records->changed(records->ctx);
}

static void stop_walk(struct records *records, struct vrf *vrf)
{
	if (vrf->walking)
		TAILQ_REMOVE(&records->walks, vrf, walk);
	vrf->walking = false;
}

struct route *records_vrf_walk(struct records *records, struct vrf *vrf)
{
	struct route *route = NULL;

	while (!vrf->gone) {
		route = records->owner.next(vrf->owner, vrf->begun ? &vrf->cursor : NULL);
		if (route == NULL)
			break;
		vrf->begun = true;
		vrf->cursor = route->key;
		if (route->vrf == vrf && route->wanted)
			return route;
	}
	stop_walk(records, vrf);
	return NULL;
}

// What could not be sent so far can be now.
static void send_held(struct records *records, struct vrf *vrf)
{
	if (records->open && vrf->phase == VRF_HELD && !vrf->guarded && !vrf->gone)
		start_walk(records, vrf);
}

void records_vrf_known(struct records *records, struct vrf *vrf, bool known)
{
	vrf->known = known;
	if (known && vrf->phase == VRF_HELD) {
		set_phase(records, vrf, VRF_READY);
		stop_walk(records, vrf);
		TAILQ_INSERT_TAIL(&records->ready, vrf, ready);
		records->changed(records->ctx);
	} else if (!known && vrf->phase == VRF_READY) {
		set_phase(records, vrf, VRF_HELD);
		TAILQ_REMOVE(&records->ready, vrf, ready);
		send_held(records, vrf);
	}
}

void records_vrf_guard(struct records *records, struct vrf *vrf, bool guarded)
{
	if (vrf->guarded == guarded)
		return;
	vrf->guarded = guarded;
	if (guarded && vrf->phase == VRF_HELD)
		stop_walk(records, vrf);
	send_held(records, vrf);
}

void records_vrf_gone(struct records *records, struct vrf *vrf)
{
	if (vrf == NULL || vrf->gone)
		return;
	if (vrf->phase == VRF_READY)
		TAILQ_REMOVE(&records->ready, vrf, ready);
	if (vrf->phase != VRF_OPEN) // else when its sweep has been closed
		set_phase(records, vrf, VRF_HELD);
	records->unswept--;
	vrf->gone = true;
	vrf->known = vrf->guarded = false;
	stop_walk(records, vrf);
	free_gone(records, vrf);
}

void records_vrf_open(struct records *records, struct vrf *vrf)
{
	TAILQ_REMOVE(&records->ready, vrf, ready);
	set_phase(records, vrf, VRF_OPEN);
	start_walk(records, vrf);
}

void records_vrf_swept(struct records *records, struct vrf *vrf)
{
	set_phase(records, vrf, vrf->gone ? VRF_HELD : VRF_LIVE);
	free_gone(records, vrf);
}

// --- connections -----------------------------------------------------------------------------------------

void records_routes_init(struct records *records)
{
	records->vrfs = TABLE_OF(struct vrf, id);
	records->connection = 1;
	TAILQ_INIT(&records->route_set);
	TAILQ_INIT(&records->route_delete);
	TAILQ_INIT(&records->route_failures);
	TAILQ_INIT(&records->ready);
	TAILQ_INIT(&records->walks);
}

static void free_vrf(void *ctx, void *entry)
{
	free(entry);
}

void records_routes_free(struct records *records)
{
	table_clear(&records->vrfs, free_vrf, NULL);
}

static void stop_vrf(void *ctx, void *entry)
{
	struct records *records = ctx;
	struct vrf *vrf = entry;

	vrf->there = 0;
	if (vrf->refused != 0) { // those that are under way
		vrf->refused = 0;
		if (records->routes_refused != NULL)
			records->routes_refused(records->ctx, vrf);
	}
	stop_walk(records, vrf);
	if (vrf->phase >= VRF_OPEN)
		set_phase(records, vrf, VRF_HELD);
	free_gone(records, vrf);
}

// Those nobody wants any more are the owner's again.
static void drop_all(struct records *records, struct route_queue *queue)
{
	struct route *route;

	while ((route = TAILQ_FIRST(queue)) != NULL) {
		dequeue(records, route);
		set_error(records, route, 0);
		if (route->wanted)
			continue;
		route->sent = 0;
		release(records, route);
	}
}

void records_routes_stop(struct records *records)
{
	drop_all(records, &records->route_set);
	drop_all(records, &records->route_delete);
	drop_all(records, &records->route_failures);
	records->routes_there = 0;
	table_each(&records->vrfs, stop_vrf, records);
	records->connection++;
}

static void start_vrf(void *ctx, void *entry)
{
	struct vrf *vrf = entry;

	if (vrf->gone)
		return;
	if (vrf->known)
		records_vrf_known(ctx, vrf, true);
	else
		send_held(ctx, vrf);
}

void records_routes_start(struct records *records)
{
	table_each(&records->vrfs, start_vrf, records);
}
