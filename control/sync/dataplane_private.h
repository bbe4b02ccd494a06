/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_DATAPLANE_PRIVATE_H
#define SYNC_DATAPLANE_PRIVATE_H

// Inside the wire client: dataplane.c holds the connection and listens, replay.c says what is to be said.

#include "control/sync/dataplane.h"
#include "dataplane/wire/link.h"

#include <event2/event.h>

#define MESSAGES_PER_TURN 64
#define VRFS_AT_ONCE      64
#define RECORDS_AT_ONCE   128 // in a message: all may be refused, some 20 us each to tell
#define HOSTS_AT_ONCE     32 // queues in a message: some 30 us each to open
#define TURN_NS           2000000u // of the route thread, then others have theirs

enum phase {
	PHASE_OFF,
	PHASE_GREETING,
	PHASE_PORTS,         // it says which it has
	PHASE_DUMP,          // reading back
	PHASE_CONFIGURATION, // its sweep is open
	PHASE_ROUTES,        // VRFs are swept as they become known
	PHASE_HOPS,          // the sweep of next hops is open
	PHASE_DONE,
};

struct flight { // one message without its ACK
	uint64_t seq;
	uint16_t type;
	unsigned int count;
	bool parked;            // of INTERFACE_EXCHANGE: without their places
	struct record **record; // NULL for messages that are not about records
	struct route **route;   // of ROUTE_SET and ROUTE_DELETE
	uint32_t *host;         // of HOST_SET: interfaces, count of them
};

struct host {
	struct entry entry;
	uint32_t interface;
	bool pending;
	int error;
	TAILQ_ENTRY(host) queue;
};

struct released {
	TAILQ_ENTRY(released) queue;
	uint64_t uid;
};

struct waiter {
	TAILQ_ENTRY(waiter) queue;
	void (*done)(void *ctx);
	void *ctx;
};
TAILQ_HEAD(waiters, waiter);

struct dataplane {
	struct event_base *base;
	char *path;
	struct records *records;
	struct dataplane_callbacks callbacks;
	struct dataplane_status status;
	uint8_t store[16];
	uint64_t revision;
	bool identified;
	bool force;    // the next sweep is told to take it
	bool accepted; // a sweep of the configuration has ended well
	bool found;    // the first connection has been read back
	bool swept;    // all sweeps of this connection have ended
	bool changed;  // the identity, since HELLO
	uint64_t refused_since; // clock_ns since when refusals have not become fewer, 0 = none yet
	enum phase phase;
	struct wire_link *link;
	struct event *readable, *writable, *retry, *turn, *again, *watch;
	enum dataplane_state state; // what it is but for its silence
	bool silent;
	uint64_t heard, asked; // CLOCK_MONOTONIC ns: its last message; our question since then, 0 = none
	uint32_t ports_left;   // PORTs to come in PHASE_PORTS
	bool vrfs_asked;       // an answer to DUMP is to come
	struct flight flight[WIRE_WINDOW];
	unsigned int flight_first, flight_count;
	uint64_t dump_seq;  // of the last DUMP
	uint32_t *read_vrf; // whose routes are to be read back
	unsigned int read_vrfs;
	uint64_t sweep_count;
	struct vrf *open[VRFS_AT_ONCE]; // their sweeps are open
	unsigned int opened;
	struct table hosts;
	TAILQ_HEAD(, host) host_queue;
	TAILQ_HEAD(, released) releases;
	struct waiters hello_waiters; // for its counters
	struct waiters vrf_waiters;   // for what the VRFs hold
	struct wire_message in, out;
	int fds[WIRE_FDS_MAX]; // that came with `in`, closed when it has been dealt with
	unsigned int fds_count;
};

// dataplane.c
void dataplane_set_state(struct dataplane *d, enum dataplane_state state);
// The record was answered well: whoever is to know where the interface is now is told. Not of a record that is to go.
void dataplane_placed(struct dataplane *d, const struct record *record);
// Whether refusals are there for so long that they are news. What takes the place of something that goes, and what leads
// there, may be refused at first, and is taken with the next exchange or after the deletion.
bool dataplane_refusals_last(const struct dataplane *d);
// reason NULL = nothing to complain about; retry_ms < 0 = never again.
void dataplane_disconnect(struct dataplane *d, const char *reason, long retry_ms);

// replay.c. False: the connection is gone.
bool replay_hello(struct dataplane *d);
bool replay_message(struct dataplane *d, uint16_t type, const void *record);
// Reads back what is installed; replay_found() for each record of it, replay_read_more() when the last answer is there:
// false = that was all.
void replay_read(struct dataplane *d);
void replay_found(struct dataplane *d, uint16_t type, const void *record);
bool replay_read_more(struct dataplane *d);
void replay_start(struct dataplane *d);
// Sends d->out and notes its records, which are handed over. False: the connection is gone.
bool replay_send_noted(struct dataplane *d, struct record **record, bool parked);
void replay_turn(evutil_socket_t fd, short events, void *arg); // sends what there is room for

// exchange.c. False: there is nothing to exchange, or the connection is gone.
bool exchange_send(struct dataplane *d);
void exchange_answered(struct dataplane *d, struct flight *flight,
	const struct wire_failure *failure, unsigned int failures);

#define RETRY_MS 100 // nobody listens

#endif
