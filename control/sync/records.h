/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_RECORDS_H
#define SYNC_RECORDS_H

// Everything the data plane should hold, record by record, and what remains to be told it. Filled by the
// desired state, emptied by the wire client.

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/base/table.h"
#include "control/sync/route.h"
#include "dataplane/wire/types.h"

// A SET may only refer to objects of lower rank: lower ranks are sent first, deleted last.
enum rank {
	RANK_VRF,
	RANK_LIMITER,
	RANK_ETHERNET,
	RANK_LOCAL,
	RANK_NEIGHBOR,
	RANK_PATH,     // out of an Ethernet interface
	RANK_UNDERLAY, // group of such paths
	RANK_TUNNEL,   // GRE interface
	RANK_TUNNEL_PATH,
	RANK_GROUP,
	RANKS, // and routes, in lists of their own
};

struct record_key {
	uint32_t type; // the SET type
	uint32_t id;   // object, or VRF of a local address
	uint8_t addr[16];
	uint32_t family;
};

TAILQ_HEAD(record_queue, record);

struct record {
	struct entry entry;
	struct record_key key;
	TAILQ_ENTRY(record) queue;
	TAILQ_ENTRY(record) failure;
	void *owner;      // of the desired state's choosing: what it must let go of
	char *refused_as; // of refusal()'s choosing, freed with it: under which name
	uint8_t rank;
	uint8_t queued;              // QUEUED_*
	bool wanted;                 // false: it is to go
	bool sent;                   // the data plane may have it
	bool failed;                 // is on the list of failures
	bool parked;                 // it goes, and has given up its place
	bool again;                  // was sent a second time after what may have been in its place
	bool told;                   // the log has its refusal
	bool blocked;                // an exchange would not help it, until it is tried again
	bool counted;                // among what is there
	uint16_t connection;         // what stands here of an earlier one is no longer so
	uint16_t under_way;          // messages without an ACK that name it
	int error;                   // of the last answer, 0 or -errno
	_Alignas(8) uint8_t value[]; // the SET record
};

struct records {
	struct table table; // all but routes
	struct record_queue set[RANKS], delete[RANKS];
	struct record_queue failures;
	// Routes, see route.h
	struct table vrfs;
	struct route_queue route_set, route_delete, route_failures;
	struct route_owner owner;
	TAILQ_HEAD(, vrf) ready, walks;
	unsigned int routes_failed;
	unsigned int there[WIRE_COUNTERS_RELEASE + 1]; // records that are there, by type
	unsigned int tunnels_there;                  // those of the interfaces
	size_t routes_there;
	uint16_t connection;
	uint64_t refused;     // answers that were errors
	uint64_t changes;     // of what is wanted
	size_t pending;       // queued
	unsigned int unswept; // VRFs that are neither gone nor live
	size_t interfaces_under_way;
	enum { TELL_NONE, TELL_HOPS, TELL_ALL } telling; // being queued, from `cursor` on
	size_t cursor;
	bool settling; // routes are being decided: what they may lead to is not deleted yet
	bool open;     // a data plane listens: changes are queued
	void (*changed)(void *ctx); // there is something to send
	// record->error is what it was answered with; 0: it was refused, and is so no more. May be NULL.
	void (*refusal)(void *ctx, struct record *record);
	// vrf->refused has changed. May be NULL.
	void (*routes_refused)(void *ctx, struct vrf *vrf);
	void *ctx;
};

void records_init(struct records *records, void (*changed)(void *ctx), void *ctx);
void records_free(struct records *records);

struct record_key record_key_of(uint16_t type, const void *value);
struct record *record_find(struct records *records, uint16_t type, const void *value);
static inline struct record *record_find_id(struct records *records, uint16_t type, uint32_t id)
{
	struct record_key key = {.type = type, .id = id};
	return table_find(&records->table, &key);
}

// The data plane should hold this one. Returns it; equal records are left alone.
struct record *record_want(
	struct records *records, uint16_t type, enum rank rank, const void *value);
// The data plane has it, as far as it has said.
static inline bool record_is_there(const struct records *records, const struct record *record)
{
	return record->connection == records->connection && record->sent && record->error == 0;
}
// It should not. The record may be freed by this.
void record_unwant(struct records *records, struct record *record);

// --- for the wire client -------------------------------------------------------------------------------

enum { QUEUED_NO, QUEUED_SET, QUEUED_DELETE };

// A new data plane, or the same after an interruption: nothing is known to be there, all is to be sent again.
void records_restart(struct records *records);
void records_stop(struct records *records);         // no data plane: stop queueing
void records_requeue_hops(struct records *records); // for the sweep of next hops
// Both only begin; until this has said that all is queued, nothing may be sent: ranks would be out of order. Goes on until
// that time (clock_ns). False: the time was over.
bool records_queue(struct records *records, uint64_t end);
void record_taken(
	struct records *records, struct record *record); // out of its queue, into a message
void records_exchange_taken(struct records *records, struct record *record); // into an exchange
// It was parked: what it is meant to be is sent again.
void records_set_again(struct records *records, struct record *record);
// The answer to a message that named it; the record may be freed by this.
void record_answered(struct records *records, struct record *record, bool was_delete, int error);
// Queues again what was refused. Returns how many.
unsigned int records_retry(struct records *records);
// Interfaces that are to be deleted and may still be in somebody's place, at most `max`.
unsigned int records_going(struct records *records, struct record **record, unsigned int max);
void records_delete_again(struct records *records, struct record *record);
// Interfaces that were refused because another one has their place ((port, VLANs) or tunnel triple): at most `max` of
// them, while no SET of an interface waits or is under way. Two of them may be in each other's place.
unsigned int records_conflicts(struct records *records, struct record **record, unsigned int max);

#endif
