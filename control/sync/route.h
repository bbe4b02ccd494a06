/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_ROUTE_H
#define SYNC_ROUTE_H

// The routes' half of the ledger: what the data plane should hold of each prefix, and what remains to be told it.
//
// There may be millions of routes, so the ledger has no memory of its own for them: a struct route is a part of
// whatever its owner keeps of the prefix, and the key stands there once. The owner keeps the routes of a VRF in the
// order of their keys; when all of them have to be said, the sender walks them with a cursor as the window has
// room, and nothing is queued. What belongs to one connection (sent, under way, refused) is stamped with its number, so
// that the end of a connection costs nothing but what was under way.

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/base/table.h"
#include "dataplane/wire/types.h"

struct records;
struct vrf;

// In this order: family, address, length.
struct route_key {
	uint8_t family, len;
	uint8_t addr[16];
};

struct route {
	TAILQ_ENTRY(route) queue; // of SETs, DELETEs or failures
	struct vrf *vrf;          // NULL: the ledger knows nothing of it, its owner may free it
	uint32_t group;           // as last wanted
	struct route_key key;
	uint8_t origin;
	uint8_t queued : 2; // ROUTE_*
	uint8_t wanted : 1;
	uint8_t sent : 1;  // the data plane may have it
	uint8_t there : 1; // it said that it has it
	uint8_t owned : 3; // the owner's
	uint16_t connection;
	uint16_t under_way : 15; // messages without an ACK that name it
	uint16_t told : 1;       // the log has its refusal
	int16_t error;      // of the last answer, 0 or -errno
};
static_assert(sizeof(struct route) == 56, "routes are the memory of this process");

TAILQ_HEAD(route_queue, route);
enum { ROUTE_IDLE, ROUTE_SET, ROUTE_DELETE, ROUTE_FAILED };

// Routes are swept per VRF, each when all of its routes are known.
enum vrf_phase {
	VRF_HELD, // not all of its routes are known yet: nothing is swept, and nothing sent while it is guarded
	VRF_READY, // known: waits for its sweep
	VRF_OPEN,  // BEGIN was sent
	VRF_LIVE,  // swept: changes are sent as they come
};
struct vrf {
	struct entry entry;
	uint32_t id;
	enum vrf_phase phase;
	bool known;   // the mirrors of all its sources are complete
	bool guarded; // what the data plane has is better than what we know so far
	bool gone;    // its domain is: freed with its last route
	bool walking, begun;
	struct route_key cursor; // of the walk: the last that was said
	unsigned int routes;     // that the ledger refers to
	unsigned int there;      // the data plane said that it has them
	unsigned int refused;    // it said that it does not take them
	int error;               // the last such answer
	uint64_t said;           // in the sweep that is open
	void *owner;
	TAILQ_ENTRY(vrf) ready, walk;
};

struct route_owner {
	// The first route of the VRF's owner behind this key, NULL = the first of all. NULL: there is none.
	struct route *(*next)(void *owner, const struct route_key *after);
	// The ledger has nothing more to do with it: it is not wanted, and not in the data plane as far as it can know.
	void (*released)(void *owner, struct route *route);
};

struct vrf *records_vrf(struct records *records, uint32_t id); // made when it is not there
// All the VRF's routes are known now (or no longer).
void records_vrf_known(struct records *records, struct vrf *vrf, bool known);
// While it is guarded and not known its routes are not sent.
void records_vrf_guard(struct records *records, struct vrf *vrf, bool guarded);
// Its domain is gone, its routes are unwanted: a later owner of the number starts from nothing. NULL is fine.
void records_vrf_gone(struct records *records, struct vrf *vrf);

// The data plane should hold this one. A zeroed route with its key is enough; equal ones are left alone.
void route_want(struct records *records, struct vrf *vrf, struct route *route, uint32_t group,
	uint8_t origin);
// It should not. released() may be called by this.
void route_unwant(struct records *records, struct route *route);
// The data plane has said that it has it as it is wanted.
bool route_is_there(const struct records *records, const struct route *route);
int route_key_compare(const struct route_key *a, const struct route_key *b);
struct wire_route route_wire(const struct route *route);

// --- for the wire client -------------------------------------------------------------------------------

void records_routes_init(struct records *records);
void records_routes_free(struct records *records);
void records_routes_stop(struct records
		*records); // the connection is gone; its messages were lost before: route_lost()
void records_routes_start(struct records *records); // a new one
void route_lost(struct records *records, struct route *route);
void route_taken(struct records *records, struct route *route); // out of its queue, into a message
// The answer to a message that named it.
void route_answered(struct records *records, struct route *route, bool was_delete, int error);
unsigned int records_routes_retry(struct records *records);

void records_vrf_open(struct records *records, struct vrf *vrf);  // its routes are walked
void records_vrf_swept(struct records *records, struct vrf *vrf); // may free it
// The next route of the VRF's walk; NULL = that was all, it walks no longer.
struct route *records_vrf_walk(struct records *records, struct vrf *vrf);

#endif
