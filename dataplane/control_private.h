/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_CONTROL_PRIVATE_H
#define DATAPLANE_CONTROL_PRIVATE_H

// What the two halves of the controller's end share: control.c (the link, messages, slices, ACKs)
// and records.c (what a record does).

#include "dataplane/control.h"
#include "dataplane/sweep.h"
#include "dataplane/tables/walk.h"
#include "dataplane/wire/codec.h"
#include "dataplane/wire/link.h"

struct ack {
	uint64_t seq;
	uint64_t settle; // FIB work to be done first
	uint64_t token;  // then this grace period
	bool open;       // the message is not applied to its end
	bool settling;
	bool grace;
	uint32_t failures;
	struct wire_failure *failure;
};

struct control {
	struct control_config config;
	struct dataplane *dp;
	struct sweeps *sweeps;
	struct events *events;
	struct wire_link *link;
	bool deaf;            // the listener is left alone until the next look at it
	int listener_error;   // of the last look
	uint64_t listener_at; // next look, CLOCK_MONOTONIC ns
	bool greeted;
	bool trusted;
	// The message being applied, its ACK (the last of the ring), and how far.
	struct ack *current;
	uint32_t at;
	uint64_t written;            // dp->written before it
	bool resumed;                // the record at hand has been begun
	struct walk walk;            // of a DUMP
	uint64_t dumped;             // records
	struct ack ack[WIRE_WINDOW]; // ring
	unsigned ack_first;
	unsigned ack_count;
	struct wire_message in;
	struct wire_message out;
	int fds[WIRE_FDS_MAX];
	unsigned fds_count;
};

// One record. 0 or 1 = applied, UNFINISHED = a part of it: call it again with the same, -errno =
// refused. `budget` is the number of objects that a record with many of them may look at.
#define UNFINISHED 2
int control_apply(struct control *control, uint16_t type, const void *record, unsigned budget);

// The message in hand, of type INTERFACE_EXCHANGE.
void control_exchange(struct control *control, struct ack *ack);

// The ACK lists the record, UINT32_MAX = the message.
void control_fail(struct ack *ack, uint32_t index, int error);

#endif
