/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_DATAPLANE_H
#define SYNC_DATAPLANE_H

// The controller's end of the wire: keeps a connection to culvert-dataplane and tells it what the ledger of
// records says, from the beginning after each reconnect.

#include <stdbool.h>
#include <stdint.h>

#include "control/sync/records.h"
#include "dataplane/wire/types.h"

struct event_base;
struct dataplane;

enum dataplane_state {
	DATAPLANE_DOWN,      // nobody answers
	DATAPLANE_REPLAYING, // connected, not everything was told yet
	DATAPLANE_SYNCED,
	DATAPLANE_INCOMPLETE, // told everything, and refused some of it
	DATAPLANE_REFUSED,    // it will not take our configuration
	DATAPLANE_HELD,       // we do not connect: it may not be ours
	DATAPLANE_SILENT,     // connected, and it does not answer
};

struct dataplane_status {
	enum dataplane_state state;
	uint64_t since;          // UNIX time of the state's last change
	struct wire_hello hello; // as last heard
	uint64_t sent;           // records, since start
	char error[256], hint[256];
};

struct dataplane_callbacks {
	void *ctx;
	// Once per connection: who it is, and a descriptor of its stats segment, borrowed; -1 = none came.
	void (*connected)(void *ctx, const struct wire_hello *hello, int stats);
	void (*disconnected)(void *ctx);
	// On the first connection only: what is installed there, then that this was all. The ledger is filled after that.
	// Next hops, and what each VRF holds; true: tell its routes as well.
	bool (*found)(void *ctx, uint16_t type, const void *record);
	void (*ready)(void *ctx);
	// All that it had and nobody named is gone.
	void (*swept)(void *ctx);
	// It has this port, or something of it changed; first of all, those it has. May call dataplane_stranger().
	void (*port)(void *ctx, const struct wire_port *port);
	void (*needed)(void *ctx, const struct wire_needed *needed);
	void (*vrf_stats)(void *ctx, const struct wire_vrf_stats *stats);
	void (*episode)(void *ctx, const struct wire_episode *episode);
	// It has this interface where the record says, and nothing newer waits to be told.
	void (*placed)(void *ctx, const struct wire_interface *interface);
	// It has the interface's host queue: what the kernel sends goes out.
	void (*hosted)(void *ctx, uint32_t interface);
	// Its host queue reads as an error there. Another one is sent a moment later, if none is before.
	void (*lost)(void *ctx, uint32_t interface);
	// A new host queue of the interface, 0 or -errno; the descriptor is closed by the caller.
	int (*queue)(void *ctx, uint32_t interface, int *fd);
	// One line for people about a record, e.g. "interface acme-ams-01/private".
	void (*describe)(void *ctx, const struct record *record, char *text, size_t size);
	void (*describe_route)(void *ctx, const struct route *route, char *text, size_t size);
	void (*state)(void *ctx); // dataplane_status() tells another state or error
};
const char *dataplane_state_name(enum dataplane_state state);

int dataplane_create(struct dataplane **dataplane, struct event_base *base, const char *path,
	struct records *records, const struct dataplane_callbacks *callbacks);
void dataplane_destroy(struct dataplane *dataplane); // NULL is fine

// Who we are; connects as soon as this has been said for the first time.
void dataplane_identity(struct dataplane *dataplane, const uint8_t store[16], uint64_t revision);

// Why it is not connected to; dataplane_identity() ends that.
void dataplane_hold(struct dataplane *dataplane, const char *message, const char *hint);
// It is connected to, and what we have is not for it: nothing is sent any more until it or we are another.
void dataplane_stranger(struct dataplane *dataplane, const char *message, const char *hint);
// Our next configuration is to be taken whatever it had before and however much goes.
void dataplane_force(struct dataplane *dataplane);
// Whether it has taken our configuration, its sweep included, since we started.
bool dataplane_accepted(const struct dataplane *dataplane);

// Hands over the interface's host queue as soon as the interface is there, and again on each reconnect.
void dataplane_host(struct dataplane *dataplane, uint32_t interface, bool wanted);
// The final values of these counters have been read.
void dataplane_release(struct dataplane *dataplane, uint64_t uid);

const struct dataplane_status *dataplane_status(const struct dataplane *dataplane);
// The revision that dataplane_identity() named last, and whether all that follows from it was sent and answered.
uint64_t dataplane_revision(const struct dataplane *dataplane);
bool dataplane_idle(const struct dataplane *dataplane);
// Asks for HELLO's counters again; done is called when they are there, or the connection has gone.
void dataplane_refresh(struct dataplane *dataplane, void (*done)(void *ctx), void *ctx);
// Asks what each VRF holds (callback vrf_stats); done is called when that was all, or it cannot be had now.
void dataplane_refresh_vrfs(struct dataplane *dataplane, void (*done)(void *ctx), void *ctx);

// The ledger has something to send.
void dataplane_wake(struct dataplane *dataplane);

#endif
