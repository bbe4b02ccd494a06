// SPDX-License-Identifier: BSD-3-Clause
// What is said to the data plane, and in which order.
//
// After each connect everything is told again, in sweeps: the configuration first, then the routes of each
// VRF as soon as all of them are known, last the next hops. What the data plane already has costs it a
// comparison; what it has and we do not name goes. Nothing is deleted by us while a sweep is open or a SET
// waits. A VRF's routes are never swept early: a restarted culvertd first hears from the kernel what they are.
//
// A message is taken from the queues only when the window has room, so a slow data plane costs no memory
// here, and a record that changes meanwhile is sent in its latest form.

#include "control/base/clock.h"
#include "control/sync/dataplane_private.h"

#include "control/base/log.h"
#include "control/base/turns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- sending -------------------------------------------------------------------------------------------

static bool send_message(struct dataplane *d, const int *fds, unsigned int fds_count)
{
	int error = wire_send(d->link, &d->out, fds, fds_count);

	if (error != 0) {
		dataplane_disconnect(
			d, error == -ENOBUFS ? "it does not read" : "it hung up", RETRY_MS);
		return false;
	}
	if (wire_link_backlog(d->link) > 0)
		event_add(d->writable, NULL);
	return true;
}

// Notes the message that was just sent. `record` is handed over.
static void note_flight(struct dataplane *d, struct record **record, uint32_t *host)
{
	d->flight[(d->flight_first + d->flight_count++) % WIRE_WINDOW] = (struct flight){
		.seq = d->out.header.seq,
		.type = d->out.header.type,
		.count = d->out.header.count,
		.record = record,
		.host = host,
	};
}

bool replay_hello(struct dataplane *d)
{
	struct wire_hello hello = {.revision = d->revision, .version = "culvertd " CULVERT_VERSION};

	memcpy(hello.store, d->store, sizeof(hello.store));
	wire_message_start(&d->out, WIRE_HELLO, 0);
	wire_message_add(&d->out, &hello);
	return send_message(d, NULL, 0);
}

bool replay_message(struct dataplane *d, uint16_t type, const void *record)
{
	wire_message_start(&d->out, type, 0);
	wire_message_add(&d->out, record);
	if (!send_message(d, NULL, 0))
		return false;
	note_flight(d, NULL, NULL);
	return true;
}

// --- reading back --------------------------------------------------------------------------------------

static bool read_back(struct dataplane *d, uint32_t type, uint32_t vrf)
{
	const struct wire_dump dump = {.type = type, .vrf = vrf};

	if (!replay_message(d, WIRE_DUMP, &dump))
		return false;
	d->dump_seq = d->out.header.seq;
	return true;
}

void replay_read(struct dataplane *d)
{
	static const uint32_t types[] = {WIRE_INTERFACE_SET, WIRE_NEIGHBOR_SET, WIRE_PATH_SET,
		WIRE_GROUP_SET, WIRE_VRF_STATS};

	d->read_vrfs = 0;
	for (unsigned int i = 0; i < 5; i++)
		if (!read_back(d, types[i], 0))
			return;
}

void replay_found(struct dataplane *d, uint16_t type, const void *record)
{
	if (!d->callbacks.found(d->callbacks.ctx, type, record))
		return;
	d->read_vrf = reallocarray(d->read_vrf, d->read_vrfs + 1, sizeof(*d->read_vrf));
	if (d->read_vrf == NULL)
		abort();
	d->read_vrf[d->read_vrfs++] = ((const struct wire_vrf_stats *)record)->vrf;
}

bool replay_read_more(struct dataplane *d)
{
	if (d->read_vrfs == 0)
		return false;
	read_back(d, WIRE_ROUTE_SET, d->read_vrf[--d->read_vrfs]);
	return true;
}

// --- sweeps --------------------------------------------------------------------------------------------

static struct wire_begin begin_of(const struct dataplane *d, uint32_t scope, uint32_t vrf)
{
	struct wire_begin begin = {.revision = d->revision,
		.scope = scope,
		.vrf = vrf,
		.flags = d->force ? WIRE_FORCE : 0};

	memcpy(begin.store, d->store, sizeof(begin.store));
	return begin;
}

static bool send_begin(struct dataplane *d, uint32_t scope)
{
	const struct wire_begin begin = begin_of(d, scope, 0);

	d->sweep_count = 0;
	return replay_message(d, WIRE_BEGIN, &begin);
}

static bool send_end(struct dataplane *d, uint32_t scope)
{
	const struct wire_end end = {.count = d->sweep_count, .scope = scope};
	return replay_message(d, WIRE_END, &end);
}

static bool send_other(struct dataplane *d)
{
	if (!send_message(d, NULL, 0))
		return false;
	note_flight(d, NULL, NULL);
	return true;
}

// VRFs are swept several at a time: with thousands of them it is the messages that cost.
static bool send_begin_vrfs(struct dataplane *d)
{
	struct vrf *vrf;

	wire_message_start(&d->out, WIRE_BEGIN, 0);
	while (d->opened < VRFS_AT_ONCE && (vrf = TAILQ_FIRST(&d->records->ready)) != NULL) {
		const struct wire_begin begin = begin_of(d, WIRE_SCOPE_ROUTES, vrf->id);
		wire_message_add(&d->out, &begin);
		records_vrf_open(d->records, vrf);
		vrf->said = 0;
		d->open[d->opened++] = vrf;
	}
	return send_other(d);
}

static bool send_end_vrfs(struct dataplane *d)
{
	unsigned int count = d->opened;

	d->opened = 0;
	wire_message_start(&d->out, WIRE_END, 0);
	for (unsigned int i = 0; i < count; i++) {
		const struct wire_end end = {.count = d->open[i]->said,
			.scope = WIRE_SCOPE_ROUTES,
			.vrf = d->open[i]->id};
		wire_message_add(&d->out, &end);
		records_vrf_swept(d->records, d->open[i]);
	}
	return send_other(d);
}

// Whether a SET belongs to the open sweep.
static bool counts(const struct dataplane *d, const struct record *record)
{
	switch (record->key.type) {
	case WIRE_NEIGHBOR_SET:
	case WIRE_PATH_SET:
	case WIRE_GROUP_SET:
		return d->phase == PHASE_HOPS;
	default:
		return d->phase == PHASE_CONFIGURATION;
	}
}

static void add_delete(struct wire_message *out, const struct record *record)
{
	struct wire_id id = {.id = record->key.id};

	if (record->key.type == WIRE_LOCAL_SET) {
		wire_message_add(out, record->value);
	} else {
		wire_message_add(out, &id);
	}
}

bool replay_send_noted(struct dataplane *d, struct record **record, bool parked)
{
	// Noted first: when sending fails, the ledger forgets what was under way anyway.
	note_flight(d, record, NULL);
	unsigned int at = (d->flight_first + d->flight_count - 1) % WIRE_WINDOW;
	d->flight[at].parked = parked;
	if (!send_message(d, NULL, 0))
		return false;
	d->flight[at].seq = d->out.header.seq;
	return true;
}

// One message of records from the queue, all of one type.
static bool send_records(struct dataplane *d, struct record_queue *queue, bool deletes)
{
	uint16_t type = (uint16_t)TAILQ_FIRST(queue)->key.type;
	unsigned int capacity = wire_message_capacity(deletes ? type + 1 : type), count = 0;
	if (capacity > RECORDS_AT_ONCE)
		capacity = RECORDS_AT_ONCE;
	struct record **record = calloc(capacity, sizeof(struct record *));
	struct record *next;

	if (record == NULL)
		abort();
	wire_message_start(&d->out, deletes ? type + 1 : type, 0);
	while (count < capacity && (next = TAILQ_FIRST(queue)) != NULL && next->key.type == type) {
		if (deletes)
			add_delete(&d->out, next);
		else
			wire_message_add(&d->out, next->value);
		if (!deletes && counts(d, next))
			d->sweep_count++;
		record_taken(d->records, next);
		record[count++] = next;
	}
	d->status.sent += count;
	return replay_send_noted(d, record, false);
}

// --- routes ----------------------------------------------------------------------------------------------

// Notes and sends what was put into d->out. `route` is handed over.
static bool send_noted_routes(struct dataplane *d, struct route **route, unsigned int count)
{
	d->status.sent += count;
	note_flight(d, NULL, NULL);
	unsigned int at = (d->flight_first + d->flight_count - 1) % WIRE_WINDOW;
	d->flight[at].route = route;
	d->flight[at].count = count;
	if (!send_message(d, NULL, 0))
		return false;
	d->flight[at].seq = d->out.header.seq;
	return true;
}

static struct route **start_routes(struct dataplane *d, uint16_t type, unsigned int *capacity)
{
	*capacity = wire_message_capacity(type);
	struct route **route = calloc(*capacity, sizeof(struct route *));
	if (route == NULL)
		abort();
	wire_message_start(&d->out, type, 0);
	return route;
}

static void add_route(struct dataplane *d, struct route *route, bool deletes)
{
	struct wire_route wire = route_wire(route);

	if (deletes)
		wire.group = 0;
	else if (route->vrf->phase == VRF_OPEN)
		route->vrf->said++;
	wire_message_add(&d->out, &wire);
	route_taken(d->records, route);
}

static bool send_routes(struct dataplane *d, struct route_queue *queue, bool deletes)
{
	unsigned int capacity, count = 0;
	struct route **route =
		start_routes(d, deletes ? WIRE_ROUTE_DELETE : WIRE_ROUTE_SET, &capacity);
	struct route *next;

	while (count < capacity && (next = TAILQ_FIRST(queue)) != NULL) {
		add_route(d, next, deletes);
		route[count++] = next;
	}
	return send_noted_routes(d, route, count);
}

// All routes of a VRF, as far as the message has room. False: there was none left to say, or the connection is gone.
static bool send_walk(struct dataplane *d)
{
	unsigned int capacity, count = 0;
	struct route **route = start_routes(d, WIRE_ROUTE_SET, &capacity);
	struct vrf *vrf;
	struct route *next;

	while (count < capacity && (vrf = TAILQ_FIRST(&d->records->walks)) != NULL) {
		if ((next = records_vrf_walk(d->records, vrf)) == NULL)
			continue;
		add_route(d, next, false);
		route[count++] = next;
	}
	if (count > 0)
		return send_noted_routes(d, route, count);
	free(route);
	return false;
}

static bool send_hosts(struct dataplane *d)
{
	uint32_t *interface = calloc(HOSTS_AT_ONCE, sizeof(*interface));
	struct host *host;
	int fds[HOSTS_AT_ONCE];
	unsigned int count = 0;

	if (interface == NULL)
		abort();
	wire_message_start(&d->out, WIRE_HOST_SET, 0);
	while (count < HOSTS_AT_ONCE && (host = TAILQ_FIRST(&d->host_queue)) != NULL) {
		TAILQ_REMOVE(&d->host_queue, host, queue);
		host->pending = false;
		host->error = d->callbacks.queue(d->callbacks.ctx, host->interface, &fds[count]);
		if (host->error != 0)
			continue;
		const struct wire_host record = {.interface = host->interface, .fd = count};
		wire_message_add(&d->out, &record);
		interface[count++] = host->interface;
	}
	bool sent = count == 0 || send_message(d, fds, count);
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
	if (sent && count > 0)
		note_flight(d, NULL, interface);
	else
		free(interface);
	return sent;
}

static bool send_releases(struct dataplane *d)
{
	struct released *released;

	wire_message_start(&d->out, WIRE_COUNTERS_RELEASE, 0);
	while ((released = TAILQ_FIRST(&d->releases)) != NULL) {
		const struct wire_uid record = {released->uid};
		if (wire_message_add(&d->out, &record) != 0)
			break;
		TAILQ_REMOVE(&d->releases, released, queue);
		free(released);
	}
	if (!send_message(d, NULL, 0))
		return false;
	note_flight(d, NULL, NULL);
	return true;
}

// --- what to send next ---------------------------------------------------------------------------------

static struct record_queue *next_set(struct dataplane *d)
{
	for (unsigned int i = 0; i < RANKS; i++)
		if (!TAILQ_EMPTY(&d->records->set[i]))
			return &d->records->set[i];
	return NULL;
}

static struct record_queue *next_delete(struct dataplane *d)
{
	for (unsigned int i = RANKS; i-- > 0;)
		if (!TAILQ_EMPTY(&d->records->delete[i]))
			return &d->records->delete[i];
	return NULL;
}

// All SETs are out: closes the sweep that is open, or begins the next. False: there is none to begin.
static bool next_sweep(struct dataplane *d)
{
	if (d->phase == PHASE_CONFIGURATION) {
		if (d->records->settling)
			return false; // not all of it is in the ledger yet
		d->phase = PHASE_ROUTES;
		return send_end(d, WIRE_SCOPE_CONFIGURATION);
	}
	if (d->opened > 0)
		return send_end_vrfs(d);
	if (d->phase == PHASE_HOPS) {
		d->phase = PHASE_DONE;
		return send_end(d, WIRE_SCOPE_NEXTHOPS);
	}
	if (!TAILQ_EMPTY(&d->records->ready))
		return send_begin_vrfs(d);
	if (d->phase == PHASE_ROUTES && d->records->unswept == 0) {
		d->phase = PHASE_HOPS;
		records_requeue_hops(d->records);
		return send_begin(d, WIRE_SCOPE_NEXTHOPS);
	}
	return false;
}

// One message. False: nothing to send, or the connection is gone.
static bool send_next(struct dataplane *d)
{
	struct record_queue *queue = next_set(d);

	if (queue != NULL)
		return send_records(d, queue, false);
	if (!TAILQ_EMPTY(&d->records->route_set))
		return send_routes(d, &d->records->route_set, false);
	if (!TAILQ_EMPTY(&d->records->walks) && send_walk(d))
		return true;
	if (d->link == NULL)
		return false;
	if (d->phase > PHASE_CONFIGURATION && exchange_send(d))
		return true;
	if (d->link == NULL)
		return false;
	if (next_sweep(d))
		return true;
	if (d->link == NULL)
		return false;
	// What forwards first; what answers for us when that is under way.
	if (!TAILQ_EMPTY(&d->host_queue))
		return send_hosts(d);
	if (!TAILQ_EMPTY(&d->records->route_delete))
		return send_routes(d, &d->records->route_delete, true);
	queue = next_delete(d);
	if (queue != NULL && d->records->settling)
		return false; // it may be in use until the routes have been decided
	if (queue != NULL)
		return send_records(d, queue, true);
	if (!TAILQ_EMPTY(&d->releases))
		return send_releases(d);
	if (d->phase == PHASE_DONE && d->flight_count == 0 && !d->swept) {
		d->swept = true;
		d->callbacks.swept(d->callbacks.ctx);
	}
	if (d->phase == PHASE_DONE && d->flight_count == 0)
		dataplane_set_state(
			d, TAILQ_EMPTY(&d->records->failures) && d->records->routes_failed == 0
				   ? DATAPLANE_SYNCED
				   : DATAPLANE_INCOMPLETE);
	return false;
}

void replay_turn(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;
	const struct timeval next_turn = {0, 0};
	uint64_t end = clock_ns() + TURN_NS;

	turns_note("dataplane: tell");
	for (unsigned int i = 0; i < MESSAGES_PER_TURN && clock_ns() < end; i++) {
		if (d->link == NULL || d->phase < PHASE_CONFIGURATION ||
			wire_link_window(d->link) == 0 || d->flight_count == WIRE_WINDOW)
			return; // an answer, or the greeting, wakes us
		if (!records_queue(d->records, end))
			break;
		if (!send_next(d))
			return;
	}
	event_add(d->turn, &next_turn); // a timer: what is activated here would run in this turn
}

void dataplane_wake(struct dataplane *d)
{
	event_active(d->turn, EV_TIMEOUT, 0);
}
// What another store has configured is taken away before ours comes: the same numbers stand for other objects there, with
// counters of their own. A core interface waits for the neighbors on it, these for the groups of tunnels, and these for the
// tunnels: so both scopes are swept in turn.
static bool clear_another_store(struct dataplane *d)
{
	static const uint32_t scopes[] = {WIRE_SCOPE_CONFIGURATION, WIRE_SCOPE_NEXTHOPS,
		WIRE_SCOPE_CONFIGURATION, WIRE_SCOPE_NEXTHOPS, WIRE_SCOPE_CONFIGURATION};
	static const uint8_t none[16] = {0};
	const uint8_t *theirs = d->status.hello.store;

	if (!d->force || memcmp(theirs, none, sizeof(none)) == 0 ||
		memcmp(theirs, d->store, sizeof(d->store)) == 0)
		return true;
	log_info("sync", "what another store configured in the data plane is taken away");
	for (unsigned int i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		if (!send_begin(d, scopes[i]) || !send_end(d, scopes[i]))
			return false;
	return true;
}

void replay_start(struct dataplane *d)
{
	records_restart(d->records);
	if (!clear_another_store(d))
		return;
	d->phase = PHASE_CONFIGURATION;
	d->swept = false;
	send_begin(d, WIRE_SCOPE_CONFIGURATION);
	dataplane_wake(d);
}
