// SPDX-License-Identifier: BSD-3-Clause
// Interfaces that change places. (port, VLANs) and a tunnel's (local, remote, key) belong to one interface at a time,
// so two circuits that swap their tags refuse each other's SET for ever: each finds the other in its place.
//
// What was refused for that reason is therefore sent again as one exchange, once all other SETs of interfaces have
// been answered: the data plane frees first, waits for its workers, then takes, or takes nothing. Any cycle is
// among what was refused, so nobody has to look for it. A record that spoils the exchange (its place belongs to
// an interface that is not leaving it) is named in the answer, waits for the next try, and the rest goes again without it.
//
// Whoever takes the place of an interface that is deleted cannot wait for the deletion: routes that are to lead to the
// new one still lead to the old, and keep it. So what goes is in the exchange too, parked.
//
// A change of more interfaces than a message holds is cut into messages that park: each interface gives up its place
// and gets none. When all have, they are set one by one.

#include "control/sync/dataplane_private.h"

#include "control/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// More than one message: parked in this many at once, the rest in the next round.
#define CONFLICTS_MAX 4096u

static void blocked(struct dataplane *d, struct record *record, int error)
{
	char text[256];

	record->blocked = true;
	if (record->told || !dataplane_refusals_last(d))
		return;
	record->told = true;
	d->callbacks.describe(d->callbacks.ctx, record, text, sizeof(text));
	log_warning("sync", "data plane refused", log_text("set", text),
		log_text("error", strerror(-error)));
}

// It alone has nobody to change places with. But what was in its place may have gone to another since.
static bool send_again(struct dataplane *d, struct record *record)
{
	if (record->again) {
		blocked(d, record, -EEXIST);
		return false;
	}
	record->again = true;
	records_set_again(d->records, record);
	dataplane_wake(d);
	return false;
}

// What goes gives up its place, and what hangs on others that may be gone already.
static void park(struct wire_interface *value, bool goes)
{
	value->flags |= WIRE_INTERFACE_PARKED;
	if (goes)
		value->underlay = value->limiter_in = value->limiter_out = 0;
}

bool exchange_send(struct dataplane *d)
{
	static struct record *conflict[CONFLICTS_MAX]; // of the one route thread
	unsigned int capacity = wire_message_capacity(WIRE_INTERFACE_EXCHANGE);
	unsigned int count = records_conflicts(d->records, conflict, CONFLICTS_MAX);
	unsigned int going =
		count > 0 ? records_going(d->records, conflict + count, CONFLICTS_MAX - count) : 0;
	bool parks = count + going > capacity;

	if (count == 1 && going == 0)
		return send_again(d, conflict[0]);
	if (count == 0)
		return false;
	count += going;
	if (parks)
		count = capacity;
	struct record **record = calloc(count, sizeof(struct record *));
	if (record == NULL)
		abort();
	wire_message_start(&d->out, WIRE_INTERFACE_EXCHANGE, 0);
	for (unsigned int i = 0; i < count; i++) {
		struct wire_interface value;
		memcpy(&value, conflict[i]->value, sizeof(value));
		if (parks || !conflict[i]->wanted)
			park(&value, !conflict[i]->wanted);
		wire_message_add(&d->out, &value);
		record[i] = conflict[i];
		records_exchange_taken(d->records, conflict[i]);
	}
	d->status.sent += count;
	return replay_send_noted(d, record, parks);
}

void exchange_answered(struct dataplane *d, struct flight *flight,
	const struct wire_failure *failure, unsigned int failures)
{
	unsigned int next = 0;

	for (unsigned int i = 0; i < flight->count; i++) {
		struct record *record = flight->record[i];
		int error = failures > 0 ? -EEXIST : 0; // nothing was applied, whoever is to blame
		bool guilty = next < failures &&
			      (failure[next].index == i || failure[next].index == UINT32_MAX);
		if (guilty)
			error = failure[next].error;
		if (guilty && failure[next].index == i)
			next++;
		if (guilty && record->wanted)
			blocked(d, record, error);
		else if (guilty)
			record->blocked = true;
		if (error == 0 && !record->wanted)
			record->parked = true;
		bool wanted = record->wanted;
		record_answered(d->records, record, false, error); // may free it
		if (error == 0 && wanted && flight->parked)
			records_set_again(d->records, record);
		else if (error == 0 && wanted)
			dataplane_placed(d, record);
		else if (!wanted)
			records_delete_again(d->records, record);
	}
}
