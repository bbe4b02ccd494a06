// SPDX-License-Identifier: BSD-3-Clause
// The wire client: connect, HELLO, look at what is there, replay, stay in step.
//
// After each (re)connect everything is told again, in sweeps: the configuration first, then the routes of
// each VRF as soon as all of them are known, last the next hops. What the data plane already has costs it a
// comparison; what it has and we do not name goes. Nothing is deleted by us while a sweep is open or a SET
// waits. A VRF's routes are never swept early: a restarted culvertd first hears from the kernel what they are.
//
// A message is taken from the queues only when the window has room, so a slow data plane costs no memory
// here, and a record that changes meanwhile is sent in its latest form. Answers come in the order of the
// messages; `flight` remembers which records were in which.
//
// Whatever the other end says is checked: an answer to nothing, an index out of range or a record that the
// codec refuses ends the connection, which is tried again a little later.

#include "control/sync/dataplane.h"

#include "dataplane/wire/link.h"

#include <event2/event.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS          100  // nobody listens
#define RETRY_WRONG_MS    1000 // somebody listens who does not speak our language
#define GREETING_MS       5000 // for HELLO to be answered
#define REFUSED_MS        1000 // refused records are tried again
#define MESSAGES_PER_TURN 64

enum phase {
	PHASE_OFF,
	PHASE_GREETING,
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
	struct record **record; // NULL for messages that are not about records
	uint32_t vrf;           // of END
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

struct dataplane {
	struct event_base *base;
	char *path;
	struct records *records;
	struct dataplane_callbacks callbacks;
	struct dataplane_status status;
	uint8_t store[16];
	uint64_t revision;
	bool identified;
	bool found;   // the first connection has been read back
	bool changed; // the identity, since HELLO
	enum phase phase;
	struct wire_link *link;
	struct event *readable, *writable, *retry, *turn, *again;
	struct flight flight[WIRE_WINDOW];
	unsigned int flight_first, flight_count;
	uint64_t dump_seq; // of the last DUMP
	uint64_t sweep_count;
	struct vrf *open; // its sweep is open
	uint32_t open_vrf;
	struct table hosts;
	TAILQ_HEAD(, host) host_queue;
	TAILQ_HEAD(, released) releases;
	TAILQ_HEAD(, waiter) waiters;
	struct wire_message in, out;
	int fds[WIRE_FDS_MAX];
};

static void set_state(struct dataplane *d, enum dataplane_state state)
{
	if (d->status.state != state)
		d->status.since = (uint64_t)time(NULL);
	d->status.state = state;
}

static void schedule(struct event *event, long ms)
{
	struct timeval delay = {ms / 1000, (ms % 1000) * 1000};
	event_add(event, &delay);
}

// --- the end of a connection ---------------------------------------------------------------------------

static void landed(struct dataplane *d)
{
	struct flight *flight = &d->flight[d->flight_first];
	free(flight->record);
	d->flight_first = (d->flight_first + 1) % WIRE_WINDOW;
	d->flight_count--;
}

static void answer_waiters(struct dataplane *d)
{
	struct waiter *waiter;
	while ((waiter = TAILQ_FIRST(&d->waiters)) != NULL) {
		TAILQ_REMOVE(&d->waiters, waiter, queue);
		waiter->done(waiter->ctx);
		free(waiter);
	}
}

static void disconnect(struct dataplane *d, const char *reason, long retry_ms)
{
	enum phase phase = d->phase;

	if (d->link == NULL)
		return;
	if (reason != NULL) {
		fprintf(stderr, "level=warning msg=\"data plane disconnected\" reason=\"%s\"\n",
			reason);
		snprintf(d->status.error, sizeof(d->status.error), "%s", reason);
		d->status.hint[0] = '\0';
	}
	event_free(d->readable);
	event_free(d->writable);
	d->readable = d->writable = NULL;
	wire_link_close(d->link);
	d->link = NULL;
	while (d->flight_count > 0)
		landed(d);
	d->phase = PHASE_OFF;
	d->open = NULL;
	records_stop(d->records);
	set_state(d, DATAPLANE_DOWN);
	event_del(d->again);
	if (retry_ms >= 0)
		schedule(d->retry, retry_ms);
	if (phase > PHASE_GREETING)
		d->callbacks.disconnected(d->callbacks.ctx);
	answer_waiters(d);
}

// It is there and does not want us: nothing more is sent until it or we are another.
static void refuse(struct dataplane *d, int error)
{
	set_state(d, DATAPLANE_REFUSED);
	d->phase = PHASE_OFF;
	if (error == -ESTALE) {
		snprintf(d->status.error, sizeof(d->status.error),
			"the data plane was configured from %s, and refuses ours",
			memcmp(d->status.hello.store, d->store, sizeof(d->store)) != 0
				? "another store"
				: "a later revision of this store");
		snprintf(d->status.hint, sizeof(d->status.hint),
			"start culvertd with the right store, or restart culvert-dataplane");
	} else {
		snprintf(d->status.error, sizeof(d->status.error),
			"the data plane refuses to delete so many interfaces at once");
		snprintf(d->status.hint, sizeof(d->status.hint),
			"check the configuration; if it is right, restart culvert-dataplane");
	}
	fprintf(stderr, "level=error msg=\"%s\" hint=\"%s\"\n", d->status.error, d->status.hint);
}

// --- sending -------------------------------------------------------------------------------------------

static bool send_message(struct dataplane *d, const int *fds, unsigned int fds_count)
{
	int error = wire_send(d->link, &d->out, fds, fds_count);

	if (error != 0) {
		disconnect(d, error == -ENOBUFS ? "it does not read" : "it hung up", RETRY_MS);
		return false;
	}
	if (wire_link_backlog(d->link) > 0)
		event_add(d->writable, NULL);
	return true;
}

// Notes the message that was just sent. `record` is handed over.
static void note_flight(struct dataplane *d, struct record **record, uint32_t vrf)
{
	d->flight[(d->flight_first + d->flight_count++) % WIRE_WINDOW] = (struct flight){
		.seq = d->out.header.seq,
		.type = d->out.header.type,
		.count = d->out.header.count,
		.record = record,
		.vrf = vrf,
	};
}

static bool send_hello(struct dataplane *d)
{
	struct wire_hello hello = {.revision = d->revision, .version = "culvertd " CULVERT_VERSION};

	memcpy(hello.store, d->store, sizeof(hello.store));
	wire_message_start(&d->out, WIRE_HELLO, 0);
	wire_message_add(&d->out, &hello);
	return send_message(d, NULL, 0);
}

static bool send_one(struct dataplane *d, uint16_t type, const void *record, uint32_t vrf)
{
	wire_message_start(&d->out, type, 0);
	wire_message_add(&d->out, record);
	if (!send_message(d, NULL, 0))
		return false;
	note_flight(d, NULL, vrf);
	return true;
}

static bool send_begin(struct dataplane *d, uint32_t scope, uint32_t vrf)
{
	struct wire_begin begin = {.revision = d->revision, .scope = scope, .vrf = vrf};

	memcpy(begin.store, d->store, sizeof(begin.store));
	d->sweep_count = 0;
	return send_one(d, WIRE_BEGIN, &begin, vrf);
}

static bool send_end(struct dataplane *d, uint32_t scope, uint32_t vrf)
{
	const struct wire_end end = {.count = d->sweep_count, .scope = scope, .vrf = vrf};
	return send_one(d, WIRE_END, &end, vrf);
}

// Whether a SET belongs to the open sweep.
static bool counts(const struct dataplane *d, const struct record *record)
{
	switch (record->key.type) {
	case WIRE_ROUTE_SET:
		return d->open != NULL && record->vrf == d->open;
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

	if (record->key.type == WIRE_ROUTE_SET) {
		struct wire_route route;
		memcpy(&route, record->value, sizeof(route));
		route.group = 0;
		wire_message_add(out, &route);
	} else if (record->key.type == WIRE_LOCAL_SET) {
		wire_message_add(out, record->value);
	} else {
		wire_message_add(out, &id);
	}
}

// One message of records from the queue, all of one type.
static bool send_records(struct dataplane *d, struct record_queue *queue, bool deletes)
{
	uint16_t type = (uint16_t)TAILQ_FIRST(queue)->key.type;
	unsigned int capacity = wire_message_capacity(deletes ? type + 1 : type), count = 0;
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
	// Noted first: when sending fails, the ledger forgets what was under way anyway.
	note_flight(d, record, 0);
	unsigned int at = (d->flight_first + d->flight_count - 1) % WIRE_WINDOW;
	if (!send_message(d, NULL, 0))
		return false;
	d->flight[at].seq = d->out.header.seq;
	return true;
}

static bool send_hosts(struct dataplane *d)
{
	struct wire_host record = {0};
	struct host *host;
	int fds[WIRE_FDS_MAX];
	unsigned int count = 0;

	wire_message_start(&d->out, WIRE_HOST_SET, 0);
	while (count < WIRE_FDS_MAX && (host = TAILQ_FIRST(&d->host_queue)) != NULL) {
		TAILQ_REMOVE(&d->host_queue, host, queue);
		host->pending = false;
		host->error = d->callbacks.queue(d->callbacks.ctx, host->interface, &fds[count]);
		if (host->error != 0)
			continue;
		record.interface = host->interface;
		record.fd = count;
		wire_message_add(&d->out, &record);
		count++;
	}
	if (count == 0)
		return true;
	bool sent = send_message(d, fds, count);
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
	if (sent)
		note_flight(d, NULL, 0);
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
	note_flight(d, NULL, 0);
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

struct vrf_count {
	struct records *records;
	unsigned int waiting;
};

static void count_waiting(void *ctx, void *entry)
{
	struct vrf_count *count = ctx;
	const struct vrf *vrf = entry;
	const struct record *record = record_find_id(count->records, WIRE_VRF_SET, vrf->id);

	if (record != NULL && record->wanted && vrf->phase != VRF_LIVE)
		count->waiting++;
}

static bool all_swept(struct dataplane *d)
{
	struct vrf_count count = {.records = d->records};
	table_each(&d->records->vrfs, count_waiting, &count);
	return count.waiting == 0;
}

// All SETs are out: closes the sweep that is open, or begins the next. False: there is none to begin.
static bool next_sweep(struct dataplane *d)
{
	struct vrf *vrf;

	if (d->phase == PHASE_CONFIGURATION) {
		d->phase = PHASE_ROUTES;
		return send_end(d, WIRE_SCOPE_CONFIGURATION, 0);
	}
	if (d->open != NULL) {
		vrf = d->open;
		d->open = NULL;
		vrf->phase = VRF_LIVE;
		return send_end(d, WIRE_SCOPE_ROUTES, vrf->id);
	}
	if (d->phase == PHASE_HOPS) {
		d->phase = PHASE_DONE;
		return send_end(d, WIRE_SCOPE_NEXTHOPS, 0);
	}
	vrf = TAILQ_FIRST(&d->records->ready);
	if (vrf != NULL) {
		records_vrf_open(d->records, vrf);
		d->open = vrf;
		return send_begin(d, WIRE_SCOPE_ROUTES, vrf->id);
	}
	if (d->phase == PHASE_ROUTES && all_swept(d)) {
		d->phase = PHASE_HOPS;
		records_requeue_hops(d->records);
		return send_begin(d, WIRE_SCOPE_NEXTHOPS, 0);
	}
	return false;
}

// One message. False: nothing to send, or the connection is gone.
static bool send_next(struct dataplane *d)
{
	struct record_queue *queue = next_set(d);

	if (queue != NULL)
		return send_records(d, queue, false);
	if (!TAILQ_EMPTY(&d->host_queue))
		return send_hosts(d);
	if (next_sweep(d))
		return true;
	if (d->link == NULL)
		return false;
	queue = next_delete(d);
	if (queue != NULL)
		return send_records(d, queue, true);
	if (!TAILQ_EMPTY(&d->releases))
		return send_releases(d);
	if (d->phase == PHASE_DONE && d->flight_count == 0)
		set_state(d, DATAPLANE_SYNCED);
	return false;
}

static void on_turn(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;

	for (unsigned int i = 0; i < MESSAGES_PER_TURN; i++) {
		if (d->link == NULL || d->phase < PHASE_CONFIGURATION ||
			wire_link_window(d->link) == 0 || d->flight_count == WIRE_WINDOW)
			return; // an answer, or the greeting, wakes us
		if (!send_next(d))
			return;
	}
	dataplane_wake(d);
}

void dataplane_wake(struct dataplane *d)
{
	event_active(d->turn, EV_TIMEOUT, 0);
}

// --- receiving -----------------------------------------------------------------------------------------

static void start_replay(struct dataplane *d)
{
	records_restart(d->records);
	d->phase = PHASE_CONFIGURATION;
	send_begin(d, WIRE_SCOPE_CONFIGURATION, 0);
	dataplane_wake(d);
}

static void on_hello(struct dataplane *d, const struct wire_hello *hello)
{
	d->status.hello = *hello;
	if (d->phase != PHASE_GREETING) {
		answer_waiters(d);
		return;
	}
	event_del(d->retry);
	d->status.error[0] = d->status.hint[0] = '\0';
	set_state(d, DATAPLANE_REPLAYING);
	fprintf(stderr,
		"level=info msg=\"data plane connected\" version=\"%s\" instance=%llx written=%llu "
		"unchanged=%llu\n",
		hello->version, (unsigned long long)hello->instance,
		(unsigned long long)hello->written, (unsigned long long)hello->unchanged);
	d->phase = PHASE_DUMP;
	d->callbacks.connected(d->callbacks.ctx, hello);
	if (d->found) {
		start_replay(d);
		return;
	}
	const uint32_t types[] = {WIRE_NEIGHBOR_SET, WIRE_PATH_SET, WIRE_GROUP_SET};
	for (unsigned int i = 0; i < 3; i++) {
		const struct wire_dump dump = {.type = types[i]};
		if (!send_one(d, WIRE_DUMP, &dump, 0))
			return;
		d->dump_seq = d->out.header.seq;
	}
}

static void answer_records(struct dataplane *d, struct flight *flight,
	const struct wire_failure *failure, unsigned int failures)
{
	bool deletes = (flight->type & 1) != 0;
	unsigned int next = 0;

	for (unsigned int i = 0; i < flight->count; i++) {
		struct record *record = flight->record[i];
		int error = 0;
		if (next < failures && failure[next].index == UINT32_MAX)
			error = failure[next].error;
		else if (next < failures && failure[next].index == i)
			error = failure[next++].error;
		if (error != 0 && record->error != error) {
			char text[256];
			d->callbacks.describe(d->callbacks.ctx, record, text, sizeof(text));
			fprintf(stderr,
				"level=warning msg=\"data plane refused\" %s=\"%s\" error=\"%s\"\n",
				deletes ? "delete" : "set", text, strerror(-error));
		}
		record_answered(d->records, record, deletes, error);
	}
	if (failures > 0 && !evtimer_pending(d->again, NULL))
		schedule(d->again, REFUSED_MS);
	else if (deletes && !TAILQ_EMPTY(&d->records->failures))
		schedule(d->again, 0); // perhaps that was in their way
}

// An error of a message that is not about records.
static void answer_other(struct dataplane *d, const struct flight *flight, int error)
{
	if (error == 0 || d->status.state == DATAPLANE_REFUSED)
		return;
	if ((flight->type == WIRE_BEGIN && error == -ESTALE) ||
		(flight->type == WIRE_END && error == -EPERM)) {
		refuse(d, error);
	} else if (flight->type == WIRE_HOST_SET || flight->type == WIRE_COUNTERS_RELEASE) {
		fprintf(stderr, "level=warning msg=\"data plane refused\" type=%s error=\"%s\"\n",
			wire_type_info(flight->type)->name, strerror(-error));
	} else if (flight->type == WIRE_END && error == -ENOENT) {
		// The VRF itself was refused: its record says so.
	} else {
		char reason[128];
		snprintf(reason, sizeof(reason), "it refused %s: %s",
			wire_type_info(flight->type)->name, strerror(-error));
		disconnect(d, reason, RETRY_WRONG_MS);
	}
}

static bool failures_sane(
	const struct flight *flight, const struct wire_failure *failure, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		if (failure[i].error >= 0)
			return false;
		if (failure[i].index == UINT32_MAX)
			return count == 1;
		if (failure[i].index >= flight->count ||
			(i > 0 && failure[i].index <= failure[i - 1].index))
			return false;
	}
	return true;
}

static void on_ack(struct dataplane *d)
{
	const struct wire_failure *failure =
		wire_message_record(&d->in, 0, sizeof(struct wire_failure));
	unsigned int failures = d->in.header.count;
	struct flight *flight = &d->flight[d->flight_first];

	if (d->flight_count == 0 || flight->seq != d->in.header.seq ||
		!failures_sane(flight, failure, failures)) {
		disconnect(d, "it answered something that was not asked", RETRY_WRONG_MS);
		return;
	}
	if (flight->record != NULL) {
		answer_records(d, flight, failure, failures);
		landed(d);
	} else {
		struct flight done = *flight;
		landed(d);
		answer_other(d, &done, failures > 0 ? failure[0].error : 0);
	}
	if (d->link == NULL)
		return;
	if (d->phase == PHASE_DUMP && d->in.header.seq == d->dump_seq) {
		d->found = true;
		d->callbacks.ready(d->callbacks.ctx);
		start_replay(d);
	}
	if (d->phase >= PHASE_CONFIGURATION)
		dataplane_wake(d);
}

static void on_message(struct dataplane *d)
{
	uint16_t type = d->in.header.type, size = wire_type_info(type)->size;
	bool event =
		type == WIRE_PORT || type == WIRE_NEIGHBOR_NEEDED || type == WIRE_LIMITER_EPISODE;

	if (type == WIRE_ACK) {
		on_ack(d);
		return;
	}
	if ((type == WIRE_HELLO && d->in.header.count != 1) ||
		(type != WIRE_HELLO && d->phase == PHASE_GREETING) ||
		(type != WIRE_HELLO && !event && d->phase != PHASE_DUMP)) {
		disconnect(d, "it sent something that was not asked for", RETRY_WRONG_MS);
		return;
	}
	for (unsigned int i = 0; i < d->in.header.count && d->link != NULL; i++) {
		const void *record = wire_message_record(&d->in, i, size);
		if (type != WIRE_HELLO && wire_record_check(type, record) != 0)
			disconnect(d, "it sent a record that is not valid", RETRY_WRONG_MS);
		else if (type == WIRE_HELLO)
			on_hello(d, record);
		else if (type == WIRE_PORT)
			d->callbacks.port(d->callbacks.ctx, record);
		else if (type == WIRE_NEIGHBOR_NEEDED)
			d->callbacks.needed(d->callbacks.ctx, record);
		else if (!event && type != WIRE_DUMP_END)
			d->callbacks.found(d->callbacks.ctx, type, record);
	}
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;
	unsigned int fds_count;

	for (unsigned int i = 0; i < MESSAGES_PER_TURN && d->link != NULL; i++) {
		int got = wire_receive(d->link, &d->in, d->fds, &fds_count);
		if (got == 0)
			return;
		if (got < 0) {
			disconnect(d,
				got == -EPIPE ? "it hung up" : "it does not speak our language",
				got == -EPIPE ? RETRY_MS : RETRY_WRONG_MS);
			return;
		}
		while (fds_count > 0)
			close(d->fds[--fds_count]);
		on_message(d);
	}
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;

	if (wire_link_flush(d->link) != 0)
		disconnect(d, "it hung up", RETRY_MS);
	else if (wire_link_backlog(d->link) > 0)
		event_add(d->writable, NULL);
	else
		dataplane_wake(d);
}

// --- connecting ----------------------------------------------------------------------------------------

static void queue_host(void *ctx, void *entry)
{
	struct dataplane *d = ctx;
	struct host *host = entry;

	if (!host->pending)
		TAILQ_INSERT_TAIL(&d->host_queue, host, queue);
	host->pending = true;
}

static void on_retry(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;

	if (d->phase == PHASE_GREETING) {
		disconnect(d, "it does not answer", RETRY_MS);
		return;
	}
	if (d->link != NULL)
		return;
	int error = wire_connect(d->path, &d->link);
	if (error != 0) {
		snprintf(d->status.error, sizeof(d->status.error), "nobody answers at %s: %s",
			d->path, strerror(-error));
		snprintf(d->status.hint, sizeof(d->status.hint), "start culvert-dataplane");
		schedule(d->retry, RETRY_MS);
		return;
	}
	int socket = wire_link_fd(d->link);
	d->readable = event_new(d->base, socket, EV_READ | EV_PERSIST, on_readable, d);
	d->writable = event_new(d->base, socket, EV_WRITE, on_writable, d);
	if (d->readable == NULL || d->writable == NULL || event_add(d->readable, NULL) != 0)
		abort();
	table_each(&d->hosts, queue_host, d);
	d->phase = PHASE_GREETING;
	schedule(d->retry, GREETING_MS);
	send_hello(d);
}

static void on_again(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;

	if (d->link == NULL || d->phase < PHASE_CONFIGURATION)
		return;
	if (records_retry(d->records) > 0)
		dataplane_wake(d);
	if (!TAILQ_EMPTY(&d->records->failures))
		schedule(d->again, REFUSED_MS);
}

void dataplane_identity(struct dataplane *d, const uint8_t store[16], uint64_t revision)
{
	bool was = d->identified;

	memcpy(d->store, store, sizeof(d->store));
	d->revision = revision;
	d->identified = true;
	if (!was)
		schedule(d->retry, 0);
	else if (d->status.state == DATAPLANE_REFUSED)
		disconnect(d, NULL, 0); // perhaps it takes this one
}

void dataplane_host(struct dataplane *d, uint32_t interface, bool wanted)
{
	struct host *host = table_find(&d->hosts, &interface);

	if (wanted && host == NULL) {
		host = calloc(1, sizeof(*host));
		if (host == NULL)
			abort();
		host->interface = interface;
		table_add(&d->hosts, host);
	}
	if (wanted) {
		queue_host(d, host);
		dataplane_wake(d);
	} else if (host != NULL) {
		if (host->pending)
			TAILQ_REMOVE(&d->host_queue, host, queue);
		table_remove(&d->hosts, host);
		free(host);
	}
}

void dataplane_release(struct dataplane *d, uint64_t uid)
{
	struct released *released = calloc(1, sizeof(*released));
	if (released == NULL)
		abort();
	released->uid = uid;
	TAILQ_INSERT_TAIL(&d->releases, released, queue);
	dataplane_wake(d);
}

const struct dataplane_status *dataplane_status(const struct dataplane *d)
{
	return &d->status;
}

void dataplane_refresh(struct dataplane *d, void (*done)(void *ctx), void *ctx)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	if (waiter == NULL)
		abort();
	*waiter = (struct waiter){.done = done, .ctx = ctx};
	bool first = TAILQ_EMPTY(&d->waiters);
	TAILQ_INSERT_TAIL(&d->waiters, waiter, queue);
	if (d->link == NULL || d->phase <= PHASE_GREETING)
		answer_waiters(d);
	else if (first)
		send_hello(d);
}

// --- life ----------------------------------------------------------------------------------------------

int dataplane_create(struct dataplane **out, struct event_base *base, const char *path,
	struct records *records, const struct dataplane_callbacks *callbacks)
{
	struct dataplane *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->base = base;
	d->records = records;
	d->callbacks = *callbacks;
	d->hosts = TABLE_OF(struct host, interface);
	TAILQ_INIT(&d->host_queue);
	TAILQ_INIT(&d->releases);
	TAILQ_INIT(&d->waiters);
	d->status.since = (uint64_t)time(NULL);
	d->path = strdup(path);
	d->retry = evtimer_new(base, on_retry, d);
	d->turn = evtimer_new(base, on_turn, d);
	d->again = evtimer_new(base, on_again, d);
	if (d->path == NULL || d->retry == NULL || d->turn == NULL || d->again == NULL) {
		dataplane_destroy(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

static void free_host(void *ctx, void *entry)
{
	free(entry);
}

void dataplane_destroy(struct dataplane *d)
{
	struct released *released;

	if (d == NULL)
		return;
	disconnect(d, NULL, -1);
	answer_waiters(d);
	while ((released = TAILQ_FIRST(&d->releases)) != NULL) {
		TAILQ_REMOVE(&d->releases, released, queue);
		free(released);
	}
	table_clear(&d->hosts, free_host, NULL);
	struct event *const events[] = {d->retry, d->turn, d->again};
	for (unsigned int i = 0; i < 3; i++)
		if (events[i] != NULL)
			event_free(events[i]);
	free(d->path);
	free(d);
}
