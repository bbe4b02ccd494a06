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

#include "control/base/clock.h"

#include "dataplane/wire/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record_key record_key_of(uint16_t type, const void *value)
{
	struct record_key key = {.type = type};

	if (type == WIRE_LOCAL_SET) {
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

static void init_queues(struct records *records)
{
	for (unsigned int i = 0; i < RANKS; i++) {
		TAILQ_INIT(&records->set[i]);
		TAILQ_INIT(&records->delete[i]);
	}
	TAILQ_INIT(&records->failures);
	records->tunnels_there = 0;
	memset(records->there, 0, sizeof(records->there));
}

void records_init(struct records *records, void (*changed)(void *ctx), void *ctx)
{
	*records = (struct records){
		.table = TABLE_OF(struct record, key),
		.changed = changed,
		.ctx = ctx,
	};
	init_queues(records);
	records_routes_init(records);
}

static void free_record(void *ctx, void *record)
{
	free(((struct record *)record)->refused_as);
	free(record);
}

void records_free(struct records *records)
{
	table_clear(&records->table, free_record, NULL);
	records_routes_free(records);
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

// `status` asks for the sums, and may not walk all there is for it.
static void count(struct records *records, struct record *record, bool there)
{
	if (there == record->counted)
		return;
	record->counted = there;
	records->there[record->key.type] += there ? 1u : -1u;
	if (record->rank == RANK_TUNNEL)
		records->tunnels_there += there ? 1u : -1u;
}

static void set_sent(struct records *records, struct record *record, bool sent)
{
	record->sent = sent;
	count(records, record, record_is_there(records, record));
}

static void set_failure(struct records *records, struct record *record, int error)
{
	bool told = record->failed || error != 0;

	record->error = error;
	if (record->failed)
		TAILQ_REMOVE(&records->failures, record, failure);
	record->failed = error != 0;
	if (record->failed)
		TAILQ_INSERT_TAIL(&records->failures, record, failure);
	count(records, record, record_is_there(records, record));
	if (told && records->refusal != NULL)
		records->refusal(records->ctx, record);
}

// As nothing of this connection has been said of it yet.
static void touch(const struct records *records, struct record *record)
{
	if (record->connection == records->connection)
		return;
	record->connection = records->connection;
	record->under_way = 0;
	record->sent = record->blocked = record->again = record->parked = record->failed = false;
	record->told = record->counted = false;
	record->queued = QUEUED_NO;
	record->error = 0;
}

static void forget(struct records *records, struct record *record)
{
	dequeue(records, record);
	set_failure(records, record, 0);
	if (record->under_way > 0)
		return; // freed by its last answer
	count(records, record, false);
	table_remove(&records->table, record);
	free_record(NULL, record);
}

struct record *record_find(struct records *records, uint16_t type, const void *value)
{
	struct record_key key = record_key_of(type, value);

	return table_find(&records->table, &key);
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
		record->connection = records->connection;
		table_add(&records->table, record);
	} else if (record->wanted && memcmp(record->value, value, size) == 0) {
		return record;
	}
	touch(records, record);
	records->changes++;
	record->wanted = true;
	record->parked = false;
	memcpy(record->value, value, size);
	if (records->open)
		enqueue(records, record, QUEUED_SET);
	return record;
}

void record_unwant(struct records *records, struct record *record)
{
	touch(records, record);
	records->changes++;
	record->wanted = false;
	record->owner = NULL;
	set_failure(records, record, 0);
	if (record->sent)
		enqueue(records, record, QUEUED_DELETE);
	else
		forget(records, record);
}

// --- wire client ---------------------------------------------------------------------------------------

// There may be a hundred thousand records. What is known of each belongs to one connection and is stamped with its number, so
// that the end of a connection costs nothing; all are queued for the next one in slices.
// Nobody refuses anything any more.
static void end_failures(struct records *records)
{
	struct record *record;

	TAILQ_FOREACH (record, &records->failures, failure) {
		record->failed = false;
		record->error = 0;
		if (records->refusal != NULL)
			records->refusal(records->ctx, record);
	}
}

void records_stop(struct records *records)
{
	records->open = false;
	end_failures(records);
	records->interfaces_under_way = 0;
	records->telling = TELL_NONE;
	init_queues(records);
	records_routes_stop(records); // it counts the connection
	records->pending = 0;
}

static void tell_from_the_first(struct records *records, int what)
{
	records->telling = what;
	records->cursor = 0;
	records->changed(records->ctx);
}

void records_restart(struct records *records)
{
	if (records->open)
		records_stop(records);
	records->open = true;
	tell_from_the_first(records, TELL_ALL);
	records_routes_start(records);
}

void records_requeue_hops(struct records *records)
{
	tell_from_the_first(records, TELL_HOPS);
}

static void queue_record(void *ctx, void *entry)
{
	struct records *records = ctx;
	struct record *record = entry;
	uint32_t type = record->key.type;
	bool hop = type == WIRE_NEIGHBOR_SET || type == WIRE_PATH_SET || type == WIRE_GROUP_SET;
	bool old = record->connection != records->connection;

	touch(records, record);
	if (record->wanted && (hop || records->telling == TELL_ALL))
		enqueue(records, record, QUEUED_SET);
	else if (!record->wanted && old)
		forget(records, record);
}

bool records_queue(struct records *records, uint64_t end)
{
	while (records->telling != TELL_NONE) {
		if (!table_slice(&records->table, &records->cursor, 256, queue_record, records))
			records->telling = TELL_NONE;
		else if (clock_ns() > end)
			return false;
	}
	return true;
}

void record_taken(struct records *records, struct record *record)
{
	set_sent(records, record, record->queued == QUEUED_SET);
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
		set_sent(records, record, true); // still there
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
		record->blocked = record->again = record->told = false;
}

unsigned int records_retry(struct records *records)
{
	struct record *record, *next;
	unsigned int count = records_routes_retry(records);

	for (record = TAILQ_FIRST(&records->failures); record != NULL; record = next) {
		next = TAILQ_NEXT(record, failure);
		if (record->queued != QUEUED_NO || record->under_way > 0 || !records->open)
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

static unsigned int add_going(
	struct record **record, unsigned int count, unsigned int max, struct record *candidate)
{
	if (count < max && candidate->key.type == WIRE_INTERFACE_SET && !candidate->wanted &&
		candidate->sent && !candidate->parked && !candidate->blocked &&
		candidate->under_way == 0)
		record[count++] = candidate;
	return count;
}

unsigned int records_going(struct records *records, struct record **record, unsigned int max)
{
	static const enum rank ranks[] = {RANK_ETHERNET, RANK_TUNNEL};
	struct record *candidate;
	unsigned int count = 0;

	for (unsigned int i = 0; i < 2; i++)
		TAILQ_FOREACH (candidate, &records->delete[ranks[i]], queue)
			count = add_going(record, count, max, candidate);
	TAILQ_FOREACH (candidate, &records->failures, failure)
		if (candidate->queued == QUEUED_NO)
			count = add_going(record, count, max, candidate);
	return count;
}

void records_delete_again(struct records *records, struct record *record)
{
	if (!record->wanted && record->sent && record->queued == QUEUED_NO)
		enqueue(records, record, QUEUED_DELETE);
}
