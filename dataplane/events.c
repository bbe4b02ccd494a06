// SPDX-License-Identifier: BSD-3-Clause
// Events to the controller. None of them is news that must not be lost: a port's state is sent
// whole after HELLO, an unresolved neighbor is asked for again as long as packets want it, a
// controller that comes gives each host queue anew, an episode is in the counters as well. So when the controller does not read, events are left out,
// never queued without bound.
//
// Workers have a ring each to the main thread (worker.h); it is emptied here, slowly enough that an
// outage of many neighbors is no flood, and not at all without a controller: the rings are full
// then and workers try again.
//
// An episode is a run of drops of one limiter, ended by a second without any
// (tables/limiter_watch.h). Limiters are looked at once a second, a part of them each time so that
// no look takes long.

#include "dataplane/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/io/host.h"
#include "dataplane/tables/limiter_watch.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/wire/link.h"
#include "dataplane/worker.h"

#define TOLD_PERIOD    100000000u // ns
#define TOLD_MAX       64u        // per period
#define EPISODE_PERIOD 50000000u
#define EPISODE_PARTS  16u        // all of them within a second
#define LOOKS_PER_TURN 256u       // of the main loop
#define BACKLOG_LIMIT  (1u << 20) // above this much unread, events are left out

struct watched {
	struct limiter_watch watch;
	uint32_t generation; // of the slot that it is about
};

struct events {
	struct dataplane *dp;
	struct host *host;
	struct wire_link *link;
	struct wire_message message;
	uint64_t told_at; // next time
	uint64_t episode_at;
	struct watched *watched; // by limiter slot
	uint32_t next_slot;      // to look at
	uint32_t owed;           // limiters to be looked at now, in this turn and those that follow
	bool broken;
};

static void send_message(struct events *e)
{
	if (!e->message.header.count)
		return;
	if (wire_send(e->link, &e->message, NULL, 0))
		e->broken = true;
}

static void add(struct events *e, uint16_t type, const void *record)
{
	if (wire_message_add(&e->message, record) == 0)
		return;
	send_message(e);
	wire_message_start(&e->message, type, 0);
	wire_message_add(&e->message, record);
}

static void add_port(struct events *e, const struct port *p)
{
	struct wire_port r = {.port = p->index,
		.speed = p->speed,
		.mtu = p->mtu,
		.up = !!p->up,
		.fault = p->fault,
		.tag_debt = p->tag_debt};

	r.kind = p->kind != NULL ? p->kind->number : 0;
	r.known = (p->zero_copy ? WIRE_PORT_ZERO_COPY : 0) |
		  (p->tags == PORT_TAGS_SWITCHED ? WIRE_PORT_TAGS_SWITCHED : 0) |
		  (p->tags == PORT_TAGS_HIDDEN ? WIRE_PORT_TAGS_HIDDEN : 0);
	memcpy(r.mac, p->mac, sizeof(r.mac));
	memcpy(r.name, p->name, sizeof(r.name));
	r.name[sizeof(r.name) - 1] = 0;
	add(e, WIRE_PORT, &r);
}

void events_port(struct events *e, uint32_t port)
{
	if (e->link == NULL || port >= e->dp->ports)
		return;
	wire_message_start(&e->message, WIRE_PORT, 0);
	add_port(e, e->dp->port[port]);
	send_message(e);
}

void events_set_link(struct events *e, struct wire_link *link)
{
	e->link = link;
	e->broken = false;
	if (link == NULL)
		return;
	wire_message_start(&e->message, WIRE_PORT, 0);
	for (uint32_t i = 0; i < e->dp->ports; i++)
		add_port(e, e->dp->port[i]);
	send_message(e);
}

static void add_told(void *ctx, const struct worker_event *told)
{
	struct events *e = ctx;
	struct wire_needed needed;

	if (told->kind == EVENT_NEEDED && neighbor_needed(e->dp, told->slot, &needed))
		add(e, WIRE_NEIGHBOR_NEEDED, &needed);
}

static void send_told(struct events *e)
{
	wire_message_start(&e->message, WIRE_NEIGHBOR_NEEDED, 0);
	dataplane_events(e->dp, TOLD_MAX, add_told, e);
	send_message(e);
}

static void send_lost(struct events *e)
{
	struct wire_id id = {0};
	uint32_t slot;

	wire_message_start(&e->message, WIRE_HOST_LOST, 0);
	for (unsigned i = 0; i < TOLD_MAX && e->host != NULL && host_lost(e->host, &slot); i++) {
		id.id = interface_record(e->dp, slot)->interface;
		if (interface_at(e->dp, slot) != NULL)
			add(e, WIRE_HOST_LOST, &id);
	}
	send_message(e);
}

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void look_at_limiter(struct events *e, uint32_t slot, uint64_t now, uint64_t realtime)
{
	const struct stats_segment *s = e->dp->stats;
	const struct stats_entry *entry = &s->entry[STATS_LIMITER][slot];
	struct watched *x = &e->watched[slot];
	struct stats_limiter_part *part[DATAPLANE_WORKERS];
	struct wire_episode episode;

	if (x->generation != entry->generation)
		*x = (struct watched){.generation = entry->generation};
	for (unsigned w = 0; w < e->dp->workers; w++)
		part[w] = stats_limiter_part(s, w, slot);
	if (limiter_look(&x->watch, stats_limiter_word(s, slot), part, e->dp->workers, now,
		    realtime, entry->uid, &episode) &&
		e->link)
		add(e, WIRE_LIMITER_EPISODE, &episode);
}

static void look_at_limiters(struct events *e)
{
	const struct stats_segment *s = e->dp->stats;
	uint32_t slots = s->slots[STATS_LIMITER];
	uint32_t share = e->owed < LOOKS_PER_TURN ? e->owed : LOOKS_PER_TURN;
	uint64_t now = limiter_units(e->dp->clock()), realtime = realtime_ns();

	wire_message_start(&e->message, WIRE_LIMITER_EPISODE, 0);
	for (uint32_t i = 0; i < share; i++) {
		uint32_t slot = e->next_slot;

		e->next_slot = slot + 1 < slots ? slot + 1 : 0;
		if (slot && s->entry[STATS_LIMITER][slot].state == STATS_LIVE)
			look_at_limiter(e, slot, now, realtime);
	}
	e->owed -= share;
	if (e->link)
		send_message(e);
}

int events_send(struct events *e, uint64_t now)
{
	if (now >= e->episode_at) {
		e->episode_at = now + EPISODE_PERIOD;
		e->owed = e->dp->stats->slots[STATS_LIMITER] / EPISODE_PARTS + 1;
	}
	if (e->owed)
		look_at_limiters(e);
	if (e->link == NULL)
		return 0;
	if (now >= e->told_at && wire_link_backlog(e->link) < BACKLOG_LIMIT) {
		e->told_at = now + TOLD_PERIOD;
		send_told(e);
		send_lost(e);
	}
	return e->broken ? -EPIPE : 0;
}

unsigned events_owed(const struct events *e)
{
	return e->owed;
}

int events_create(struct dataplane *dp, struct host *host, struct events **events)
{
	const struct stats_segment *s = dp->stats;
	struct events *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return -ENOMEM;
	e->dp = dp;
	e->host = host;
	e->watched = calloc(s->slots[STATS_LIMITER], sizeof(*e->watched));
	if (e->watched == NULL) {
		free(e);
		return -ENOMEM;
	}
	*events = e;
	return 0;
}

void events_destroy(struct events *e)
{
	if (e == NULL)
		return;
	free(e->watched);
	free(e);
}
