/* SPDX-License-Identifier: BSD-3-Clause */
// The ledger between what should be and what was said.
//
// The desired state calls record_want() and record_unwant() and never thinks about the link; the wire client
// empties the queues and never thinks about meaning. A record that changes ten times before it is sent is
// sent once. Ranks make the order right without a dependency graph: SETs go out from the lowest rank to the
// highest, DELETEs the other way, and only when no SET is waiting, since what is to be deleted may still be
// referred to by something that a waiting SET will change.
//
// A record that was refused stays wanted, is listed as a failure, and is tried again: the quota it hit may be
// free, or what it collided with deleted. Nobody else waits for it.

#include "control/sync/records.h"

#include "dataplane/wire/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record_key record_key_of(uint16_t type, const void *value)
{
	struct record_key key = {.type = type};

	if (type == WIRE_ROUTE_SET) {
		const struct wire_route *route = value;
		key.id = route->vrf;
		memcpy(key.addr, route->addr, sizeof(key.addr));
		key.len = route->len;
		key.family = route->family;
	} else if (type == WIRE_LOCAL_SET) {
		const struct wire_local *local = value;
		key.id = local->vrf;
		memcpy(key.addr, local->addr, sizeof(key.addr));
		key.family = local->family;
	} else if (type == WIRE_INTERFACE_SET) {
		key.id = ((const struct wire_interface *)value)->interface;
	} else if (type == WIRE_LIMITER_SET) {
		key.id = ((const struct wire_limiter *)value)->limiter;
	} else {
		memcpy(&key.id, value, sizeof(key.id)); // the id comes first
	}
	return key;
}

void records_init(struct records *records, void (*changed)(void *ctx), void *ctx)
{
	*records = (struct records){
		.table = TABLE_OF(struct record, key),
		.vrfs = TABLE_OF(struct vrf, id),
		.changed = changed,
		.ctx = ctx,
	};
	for (unsigned int i = 0; i < RANKS; i++) {
		TAILQ_INIT(&records->set[i]);
		TAILQ_INIT(&records->delete[i]);
	}
	TAILQ_INIT(&records->failures);
	TAILQ_INIT(&records->ready);
}

static void free_record(void *ctx, void *record)
{
	free(record);
}

static void free_vrf(void *ctx, void *entry)
{
	struct vrf *vrf = entry;
	table_clear(&vrf->routes, free_record, NULL);
	free(vrf);
}

void records_free(struct records *records)
{
	table_clear(&records->table, free_record, NULL);
	table_clear(&records->vrfs, free_vrf, NULL);
}

static struct table *table_of(struct records *records, const struct record *record)
{
	return record->vrf != NULL ? &record->vrf->routes : &records->table;
}

static struct record_queue *queue_of(
	struct records *records, const struct record *record, uint8_t how)
{
	return how == QUEUED_SET ? &records->set[record->rank] : &records->delete[record->rank];
}

static void dequeue(struct records *records, struct record *record)
{
	if (record->queued == QUEUED_NO)
		return;
	TAILQ_REMOVE(queue_of(records, record, record->queued), record, queue);
	record->queued = QUEUED_NO;
	records->pending--;
}

static void enqueue(struct records *records, struct record *record, uint8_t how)
{
	dequeue(records, record);
	TAILQ_INSERT_TAIL(queue_of(records, record, how), record, queue);
	record->queued = how;
	records->pending++;
	records->changed(records->ctx);
}

// Routes of a VRF that is known are sent by its sweep; of one that is not, as they come unless it is guarded.
static bool may_queue(const struct records *records, const struct record *record)
{
	const struct vrf *vrf = record->vrf;

	return records->open &&
	       (vrf == NULL || vrf->phase >= VRF_OPEN || (vrf->phase == VRF_HELD && !vrf->guarded));
}

static void set_failure(struct records *records, struct record *record, int error)
{
	record->error = error;
	if (record->failed)
		TAILQ_REMOVE(&records->failures, record, failure);
	record->failed = error != 0;
	if (record->failed)
		TAILQ_INSERT_TAIL(&records->failures, record, failure);
}

static void set_phase(struct records *records, struct vrf *vrf, enum vrf_phase phase)
{
	if (!vrf->gone) {
		records->unswept -= vrf->phase != VRF_LIVE;
		records->unswept += phase != VRF_LIVE;
	}
	vrf->phase = phase;
}

static void free_gone(struct records *records, struct vrf *vrf)
{
	if (!vrf->gone || vrf->routes.count > 0 || vrf->phase == VRF_OPEN)
		return;
	table_remove(&records->vrfs, vrf);
	table_clear(&vrf->routes, NULL, NULL);
	free(vrf);
}

static void forget(struct records *records, struct record *record)
{
	dequeue(records, record);
	set_failure(records, record, 0);
	if (record->under_way > 0)
		return; // freed by its last answer
	struct vrf *vrf = record->vrf;
	table_remove(table_of(records, record), record);
	free(record);
	if (vrf != NULL)
		free_gone(records, vrf);
}

struct record *record_find(struct records *records, uint16_t type, const void *value)
{
	struct record_key key = record_key_of(type, value);

	if (type != WIRE_ROUTE_SET)
		return table_find(&records->table, &key);
	const struct vrf *vrf = table_find(&records->vrfs, &key.id);
	return vrf != NULL ? table_find(&vrf->routes, &key) : NULL;
}

struct record *record_want(
	struct records *records, uint16_t type, enum rank rank, const void *value)
{
	size_t size = wire_type_info(type)->size;
	struct record *record = record_find(records, type, value);

	if (record == NULL) {
		record = calloc(1, sizeof(*record) + size);
		if (record == NULL)
			abort();
		record->key = record_key_of(type, value);
		record->rank = rank;
		if (type == WIRE_ROUTE_SET)
			record->vrf = records_vrf(records, record->key.id);
		table_add(table_of(records, record), record);
	} else if (record->wanted && memcmp(record->value, value, size) == 0) {
		return record;
	}
	record->wanted = true;
	memcpy(record->value, value, size);
	if (may_queue(records, record))
		enqueue(records, record, QUEUED_SET);
	return record;
}

void record_unwant(struct records *records, struct record *record)
{
	record->wanted = false;
	record->owner = NULL;
	set_failure(records, record, 0);
	if (record->sent)
		enqueue(records, record, QUEUED_DELETE);
	else
		forget(records, record);
}

// --- VRFs ----------------------------------------------------------------------------------------------

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
		vrf->routes = TABLE_OF(struct record, key);
		table_add(&records->vrfs, vrf);
	}
	vrf->gone = false;
	records->unswept++; // no gone one is live
	return vrf;
}

static void queue_set(void *ctx, void *entry)
{
	struct record *record = entry;
	if (record->wanted)
		enqueue(ctx, record, QUEUED_SET);
}

// What could not be sent so far can be now.
static void send_held(struct records *records, struct vrf *vrf)
{
	if (records->open && vrf->phase == VRF_HELD && !vrf->guarded)
		table_each(&vrf->routes, queue_set, records);
}

void records_vrf_known(struct records *records, struct vrf *vrf, bool known)
{
	vrf->known = known;
	if (known && vrf->phase == VRF_HELD) {
		set_phase(records, vrf, VRF_READY);
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
	free_gone(records, vrf);
}

void records_vrf_swept(struct records *records, struct vrf *vrf)
{
	set_phase(records, vrf, vrf->gone ? VRF_HELD : VRF_LIVE);
	free_gone(records, vrf);
}

// --- wire client ---------------------------------------------------------------------------------------

static void unlearn(void *ctx, void *entry)
{
	struct records *records = ctx;
	struct record *record = entry;

	record->under_way = 0;
	record->sent = record->blocked = record->again = false;
	dequeue(records, record);
	set_failure(records, record, 0);
	if (!record->wanted)
		forget(records, record);
}

static void drop(void *ctx, void *entry)
{
	dequeue(ctx, entry);
	set_failure(ctx, entry, 0);
	free(entry);
}

static void unlearn_vrf(void *ctx, void *entry)
{
	struct records *records = ctx;
	struct vrf *vrf = entry;

	if (vrf->phase >= VRF_OPEN)
		set_phase(records, vrf, VRF_HELD);
	if (!vrf->gone) {
		table_each(&vrf->routes, unlearn, records);
		return;
	}
	table_clear(&vrf->routes, drop, records);
	free_gone(records, vrf);
}

static void start_vrf(void *ctx, void *entry)
{
	struct vrf *vrf = entry;

	if (vrf->known)
		records_vrf_known(ctx, vrf, true);
	else
		send_held(ctx, vrf);
}

void records_stop(struct records *records)
{
	records->open = false;
	records->interfaces_under_way = 0;
	table_each(&records->table, unlearn, records);
	table_each(&records->vrfs, unlearn_vrf, records);
}

void records_restart(struct records *records)
{
	records_stop(records);
	records->open = true;
	table_each(&records->table, queue_set, records);
	table_each(&records->vrfs, start_vrf, records);
}

static void queue_hop(void *ctx, void *entry)
{
	struct record *record = entry;
	if (record->wanted &&
		(record->key.type == WIRE_NEIGHBOR_SET || record->key.type == WIRE_PATH_SET ||
			record->key.type == WIRE_GROUP_SET))
		enqueue(ctx, record, QUEUED_SET);
}

void records_requeue_hops(struct records *records)
{
	table_each(&records->table, queue_hop, records);
}

void records_vrf_open(struct records *records, struct vrf *vrf)
{
	TAILQ_REMOVE(&records->ready, vrf, ready);
	set_phase(records, vrf, VRF_OPEN);
	table_each(&vrf->routes, queue_set, records);
}

void record_taken(struct records *records, struct record *record)
{
	record->sent = record->queued == QUEUED_SET;
	dequeue(records, record);
	record->under_way++;
	if (record->key.type == WIRE_INTERFACE_SET)
		records->interfaces_under_way++;
}

void records_exchange_taken(struct records *records, struct record *record)
{
	record->under_way++;
	records->interfaces_under_way++;
}

void records_set_again(struct records *records, struct record *record)
{
	if (record->wanted && record->queued == QUEUED_NO)
		enqueue(records, record, QUEUED_SET);
}

void record_answered(struct records *records, struct record *record, bool was_delete, int error)
{
	record->under_way--;
	if (record->key.type == WIRE_INTERFACE_SET)
		records->interfaces_under_way--;
	if (error != 0)
		records->refused++;
	if (was_delete && error != 0 && error != -ENOENT && !record->wanted && !record->sent) {
		record->sent = true; // still there
		set_failure(records, record, error);
		return;
	}
	if (!record->wanted && !record->sent) {
		forget(records, record);
		return;
	}
	if (!was_delete)
		set_failure(records, record, error);
	if (error == 0)
		record->blocked = record->again = false;
}

unsigned int records_retry(struct records *records)
{
	struct record *record, *next;
	unsigned int count = 0;

	for (record = TAILQ_FIRST(&records->failures); record != NULL; record = next) {
		next = TAILQ_NEXT(record, failure);
		if (record->queued != QUEUED_NO || record->under_way > 0 ||
			!may_queue(records, record))
			continue;
		record->blocked = record->again = false;
		enqueue(records, record, record->wanted ? QUEUED_SET : QUEUED_DELETE);
		count++;
	}
	return count;
}

unsigned int records_conflicts(struct records *records, struct record **record, unsigned int max)
{
	struct record *failure;
	unsigned int count = 0;

	if (records->interfaces_under_way > 0 || !TAILQ_EMPTY(&records->set[RANK_ETHERNET]) ||
		!TAILQ_EMPTY(&records->set[RANK_TUNNEL]))
		return 0;
	TAILQ_FOREACH (failure, &records->failures, failure)
		if (count < max && failure->key.type == WIRE_INTERFACE_SET &&
			failure->error == -EEXIST && failure->wanted && !failure->blocked)
			record[count++] = failure;
	return count;
}
