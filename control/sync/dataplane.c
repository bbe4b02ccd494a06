// SPDX-License-Identifier: BSD-3-Clause
// The wire client's connection: connect, HELLO, look at what is there, hand out what comes back.
//
// Answers come in the order of the messages; `flight` remembers which records were in which. Whatever the
// other end says is checked: an answer to nothing, an index out of range or a record that the codec refuses
// ends the connection, which is tried again a little later. What is sent, and when, is replay.c's.

#include "control/sync/dataplane.h"

#include "control/sync/dataplane_private.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RETRY_WRONG_MS 1000        // somebody listens who does not speak our language
#define GREETING_MS    5000        // for HELLO to be answered
#define REFUSED_MS     1000        // refused records are tried again
#define AGAIN_MS       20          // the same after deletions: soon, but not in a circle
#define LASTING_NS     900000000u  // before that a refusal may heal by itself
#define LOGGED_MAX     100         // refused routes that get a line each
#define QUIET_NS       1000000000u // without a message of it: it is asked for one
#define SILENT_NS      1500000000u // after that question: it does not answer

const char *dataplane_state_name(enum dataplane_state state)
{
	static const char *const names[] = {
		"down", "replaying", "synced", "incomplete", "refused", "held", "silent"};
	return names[state];
}

void dataplane_set_state(struct dataplane *d, enum dataplane_state state)
{
	d->state = state;
	if (d->silent)
		state = DATAPLANE_SILENT;
	if (d->status.state != state)
		d->status.since = (uint64_t)time(NULL);
	d->status.state = state;
	if (d->callbacks.state != NULL)
		d->callbacks.state(d->callbacks.ctx);
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
	free(flight->route);
	free(flight->host);
	d->flight_first = (d->flight_first + 1) % WIRE_WINDOW;
	d->flight_count--;
}

static void answer_waiters(struct waiters *waiters)
{
	struct waiter *waiter;
	while ((waiter = TAILQ_FIRST(waiters)) != NULL) {
		TAILQ_REMOVE(waiters, waiter, queue);
		waiter->done(waiter->ctx);
		free(waiter);
	}
}

// What was under way is not known to be there. Answers to it that come all the same are nobody's.
static void forget_flights(struct dataplane *d)
{
	for (unsigned int i = 0; i < d->flight_count; i++) {
		struct flight *flight = &d->flight[(d->flight_first + i) % WIRE_WINDOW];
		for (unsigned int j = 0; flight->route != NULL && j < flight->count; j++)
			route_lost(d->records, flight->route[j]);
		free(flight->record);
		free(flight->route);
		free(flight->host);
		flight->record = NULL;
		flight->route = NULL;
		flight->host = NULL;
	}
}

void dataplane_disconnect(struct dataplane *d, const char *reason, long retry_ms)
{
	enum phase phase = d->phase;

	if (d->link == NULL)
		return;
	if (reason != NULL) {
		log_warning("sync", "data plane disconnected", log_text("reason", reason));
		snprintf(d->status.error, sizeof(d->status.error), "%s", reason);
		d->status.hint[0] = '\0';
	}
	event_free(d->readable);
	event_free(d->writable);
	d->readable = d->writable = NULL;
	wire_link_close(d->link);
	d->link = NULL;
	forget_flights(d);
	while (d->flight_count > 0)
		landed(d);
	d->phase = PHASE_OFF;
	d->opened = 0;
	d->silent = d->vrfs_asked = false;
	event_del(d->watch);
	records_stop(d->records);
	dataplane_set_state(d, DATAPLANE_DOWN);
	event_del(d->again);
	if (retry_ms >= 0)
		schedule(d->retry, retry_ms);
	if (phase > PHASE_GREETING)
		d->callbacks.disconnected(d->callbacks.ctx);
	answer_waiters(&d->hello_waiters);
	answer_waiters(&d->vrf_waiters);
}

// It is there and does not want us: nothing more is sent until it or we are another. What it has refused of single
// records meanwhile is all of this one reason.
static void refuse(struct dataplane *d, int error)
{
	d->phase = PHASE_OFF;
	d->opened = 0;
	forget_flights(d);
	records_stop(d->records);
	if (error == -ESTALE && memcmp(d->status.hello.store, d->store, sizeof(d->store)) == 0) {
		snprintf(d->status.error, sizeof(d->status.error),
			"the data plane was configured from a later revision of this store, and "
			"refuses revision %llu",
			(unsigned long long)d->revision);
		snprintf(d->status.hint, sizeof(d->status.hint),
			"start culvertd with the right store; if this one is meant, as after a "
			"restore: culvertctl edge adopt");
	} else if (error == -ESTALE) {
		snprintf(d->status.error, sizeof(d->status.error),
			"the data plane was configured from another store, and refuses ours");
		snprintf(d->status.hint, sizeof(d->status.hint),
			"start culvertd with the right store, or: culvertctl edge adopt");
	} else {
		snprintf(d->status.error, sizeof(d->status.error),
			"the data plane refuses to delete so many interfaces at once");
		snprintf(d->status.hint, sizeof(d->status.hint),
			"check the configuration; if it is right: culvertctl edge adopt");
	}
	log_error("sync", d->status.error, log_text("hint", d->status.hint));
	dataplane_set_state(d, DATAPLANE_REFUSED);
}

void dataplane_stranger(struct dataplane *d, const char *message, const char *hint)
{
	if (d->phase == PHASE_OFF)
		return; // it is refused already
	snprintf(d->status.error, sizeof(d->status.error), "%s", message);
	snprintf(d->status.hint, sizeof(d->status.hint), "%s", hint);
	dataplane_set_state(d, DATAPLANE_REFUSED);
	d->phase = PHASE_OFF;
	log_error("sync", message, log_text("hint", hint));
}

// --- is it there? --------------------------------------------------------------------------------------

// Something came from it.
static void heard(struct dataplane *d)
{
	d->heard = clock_ns();
	d->asked = 0;
	if (!d->silent)
		return;
	d->silent = false;
	d->status.error[0] = d->status.hint[0] = '\0';
	log_info("sync", "data plane answers again");
	dataplane_set_state(d, d->state);
}

// Who waits for its answer is told what is known. The connection stays: what was sent is in the socket.
static void fall_silent(struct dataplane *d)
{
	struct tm tm;
	time_t since = time(NULL) - (time_t)((clock_ns() - d->heard) / 1000000000u);
	char text[32];

	strftime(text, sizeof(text), "%H:%M:%S UTC", gmtime_r(&since, &tm));
	snprintf(d->status.error, sizeof(d->status.error), "it does not answer since %s", text);
	snprintf(d->status.hint, sizeof(d->status.hint),
		"culvert-dataplane hangs or was stopped: see its log, then start it anew");
	log_warning("sync", "data plane does not answer", log_text("since", text),
		log_text("hint", d->status.hint));
	d->silent = true;
	dataplane_set_state(d, d->state);
	answer_waiters(&d->hello_waiters);
	answer_waiters(&d->vrf_waiters);
}

static void on_watch(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;
	uint64_t now = clock_ns();

	turns_note("dataplane: watch");
	if (d->link == NULL || d->phase <= PHASE_GREETING || d->silent)
		return;
	if (d->asked != 0 && now - d->asked >= SILENT_NS) {
		fall_silent(d);
	} else if (d->asked == 0 && now - d->heard >= QUIET_NS) {
		d->asked = now;
		replay_hello(d);
	}
}

// --- receiving -----------------------------------------------------------------------------------------

// It has said who it is and which ports it has.
static void start(struct dataplane *d)
{
	d->phase = PHASE_DUMP;
	if (d->found)
		replay_start(d);
	else
		replay_read(d);
}

static void on_hello(struct dataplane *d, const struct wire_hello *hello)
{
	d->status.hello = *hello;
	if (d->phase != PHASE_GREETING) {
		answer_waiters(&d->hello_waiters);
		return;
	}
	event_del(d->retry);
	d->status.error[0] = d->status.hint[0] = '\0';
	dataplane_set_state(d, DATAPLANE_REPLAYING);
	char instance[20];
	snprintf(instance, sizeof(instance), "%llx", (unsigned long long)hello->instance);
	log_info("sync", "data plane connected", log_text("version", hello->version),
		log_text("instance", instance), log_number("written", (int64_t)hello->written),
		log_number("unchanged", (int64_t)hello->unchanged));
	d->phase = PHASE_PORTS;
	d->ports_left = hello->ports;
	d->callbacks.connected(d->callbacks.ctx, hello, d->fds_count == 1 ? d->fds[0] : -1);
	if (d->ports_left == 0)
		start(d);
}

static void on_port(struct dataplane *d, const struct wire_port *port)
{
	d->callbacks.port(d->callbacks.ctx, port);
	if (d->phase == PHASE_PORTS && --d->ports_left == 0)
		start(d);
}

bool dataplane_refusals_last(const struct dataplane *d)
{
	return d->refused_since != 0 && !d->records->settling && d->records->telling == TELL_NONE &&
	       clock_ns() - d->refused_since >= LASTING_NS;
}

// Before its answer is taken. One that heals says that others may, too.
static void note_refusal(struct dataplane *d, int before, int now)
{
	bool first = TAILQ_EMPTY(&d->records->failures) && d->records->routes_failed == 0;

	if (now == 0 ? before != 0 : before == 0 && first)
		d->refused_since = clock_ns();
}

void dataplane_placed(struct dataplane *d, const struct record *record)
{
	if (record->key.type == WIRE_INTERFACE_SET && record->wanted && record->sent &&
		record->queued == QUEUED_NO && record->under_way == 0)
		d->callbacks.placed(d->callbacks.ctx,
			(const struct wire_interface *)(const void *)record->value);
}

static void answer_records(struct dataplane *d, struct flight *flight,
	const struct wire_failure *failure, unsigned int failures)
{
	bool deletes = flight->type != WIRE_INTERFACE_EXCHANGE && (flight->type & 1) != 0;
	unsigned int next = 0;

	for (unsigned int i = 0; i < flight->count; i++) {
		struct record *record = flight->record[i];
		int error = 0;
		if (next < failures && failure[next].index == UINT32_MAX)
			error = failure[next].error;
		else if (next < failures && failure[next].index == i)
			error = failure[next++].error;
		bool conflict = error == -EEXIST && record->key.type == WIRE_INTERFACE_SET;
		note_refusal(d, record->error, error);
		if (error != 0 && record->error == error && !record->told && !conflict &&
			dataplane_refusals_last(d)) {
			char text[256];
			record->told = true;
			d->callbacks.describe(d->callbacks.ctx, record, text, sizeof(text));
			log_warning("sync", "data plane refused",
				log_text(deletes ? "delete" : "set", text),
				log_text("error", strerror(-error)));
		}
		record_answered(d->records, record, deletes, error);
		if (error == 0 && !deletes)
			dataplane_placed(d, record);
	}
	if (failures > 0 && !evtimer_pending(d->again, NULL))
		schedule(d->again, REFUSED_MS); // conflicts are exchanged before that
	else if (deletes && !TAILQ_EMPTY(&d->records->failures))
		schedule(d->again, AGAIN_MS); // perhaps that was in their way
}

static void answer_routes(struct dataplane *d, struct flight *flight,
	const struct wire_failure *failure, unsigned int failures)
{
	bool deletes = flight->type == WIRE_ROUTE_DELETE;
	unsigned int next = 0;

	for (unsigned int i = 0; i < flight->count; i++) {
		struct route *route = flight->route[i];
		int error = 0;
		if (failures > 0 && failure[0].index == UINT32_MAX)
			error = failure[0].error;
		else if (next < failures && failure[next].index == i)
			error = failure[next++].error;
		note_refusal(d, route->error, error);
		if (error != 0 && route->error == error && !route->told &&
			d->records->routes_failed < LOGGED_MAX && dataplane_refusals_last(d)) {
			char text[256];
			route->told = 1;
			d->callbacks.describe_route(d->callbacks.ctx, route, text, sizeof(text));
			log_warning("sync", "data plane refused",
				log_text(deletes ? "delete" : "set", text),
				log_text("error", strerror(-error)));
		}
		route_answered(d->records, route, deletes, error);
	}
	if (failures > 0 && !evtimer_pending(d->again, NULL))
		schedule(d->again, REFUSED_MS);
}

// Interfaces whose host queue was refused get another one a little later.
static void answer_hosts(struct dataplane *d, const struct flight *flight,
	const struct wire_failure *failure, unsigned int failures)
{
	for (unsigned int i = 0; i < failures; i++) {
		unsigned int first = failure[i].index, last = failure[i].index;
		if (failure[i].index == UINT32_MAX) {
			first = 0;
			last = flight->count - 1;
		}
		for (unsigned int j = first; j <= last; j++) {
			struct host *host = table_find(&d->hosts, &flight->host[j]);
			if (host != NULL)
				host->error = failure[i].error;
		}
	}
	for (unsigned int i = 0; i < flight->count; i++) {
		const struct host *host = table_find(&d->hosts, &flight->host[i]);
		if (host != NULL && host->error == 0)
			d->callbacks.hosted(d->callbacks.ctx, flight->host[i]);
	}
	if (failures > 0 && !evtimer_pending(d->again, NULL))
		schedule(d->again, REFUSED_MS);
}

// An error of a message that is not about records.
static void answer_other(struct dataplane *d, const struct flight *flight, int error)
{
	// The first that is sent in that phase or after it is the configuration's.
	if (error == 0 && flight->type == WIRE_END && d->phase > PHASE_CONFIGURATION) {
		d->accepted = true;
		d->force = false;
	}
	if (error == 0 || d->state == DATAPLANE_REFUSED)
		return;
	if (flight->type == WIRE_END && error == -EPERM) {
		refuse(d, error);
	} else if (flight->type == WIRE_COUNTERS_RELEASE && (error == -EBUSY || error == -ENOENT)) {
		// Its object came to life again, or it was asked for twice.
	} else if (flight->type == WIRE_COUNTERS_RELEASE) {
		log_warning("sync", "data plane refused",
			log_text("type", wire_type_info(flight->type)->name),
			log_text("error", strerror(-error)));
	} else if (flight->type == WIRE_END && error == -ENOENT) {
		// The VRF itself was refused: its record says so.
	} else {
		char reason[128];
		snprintf(reason, sizeof(reason), "it refused %s: %s",
			wire_type_info(flight->type)->name, strerror(-error));
		dataplane_disconnect(d, reason, RETRY_WRONG_MS);
	}
}

static void exchange_end(struct dataplane *d, struct flight *flight,
	const struct wire_failure *failure, unsigned int failures)
{
	exchange_answered(d, flight, failure, failures);
	if (failures == 0 && !TAILQ_EMPTY(&d->records->failures))
		schedule(d->again, 0); // what waited for those that moved
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

// It takes nothing from us any more, whatever it was that it answers.
static bool is_stale(const struct wire_failure *failure, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (failure[i].error == -ESTALE)
			return true;
	return false;
}

static void on_ack(struct dataplane *d)
{
	const struct wire_failure *failure =
		wire_message_record(&d->in, 0, sizeof(struct wire_failure));
	unsigned int failures = d->in.header.count;
	struct flight *flight = &d->flight[d->flight_first];

	if (d->flight_count == 0 || flight->seq != d->in.header.seq ||
		!failures_sane(flight, failure, failures)) {
		dataplane_disconnect(d, "it answered something that was not asked", RETRY_WRONG_MS);
		return;
	}
	if (d->phase >= PHASE_CONFIGURATION && is_stale(failure, failures))
		refuse(d, -ESTALE);
	if (flight->record != NULL || flight->route != NULL || flight->host != NULL) {
		if (flight->route != NULL)
			answer_routes(d, flight, failure, failures);
		else if (flight->type == WIRE_INTERFACE_EXCHANGE)
			exchange_end(d, flight, failure, failures);
		else if (flight->record != NULL)
			answer_records(d, flight, failure, failures);
		else
			answer_hosts(d, flight, failure, failures);
		landed(d);
	} else {
		struct flight done = *flight;
		landed(d);
		for (unsigned int i = 0; i == 0 || (i < failures && d->link != NULL); i++)
			answer_other(d, &done, failures > 0 ? failure[i].error : 0);
	}
	if (d->link == NULL)
		return;
	if (d->phase == PHASE_DUMP && d->in.header.seq == d->dump_seq && !replay_read_more(d)) {
		d->found = true;
		d->callbacks.ready(d->callbacks.ctx);
		replay_start(d);
	}
	if (d->phase >= PHASE_CONFIGURATION)
		dataplane_wake(d);
}

// The bridge looks after the device, and hands over another one's queue at once if that is what was wrong. Else it is done
// with what was refused, so that a queue which never reads is not sent without a pause.
static void on_host_lost(struct dataplane *d, uint32_t interface)
{
	struct host *host = table_find(&d->hosts, &interface);

	if (host == NULL || host->pending)
		return;
	host->error = -EIO;
	schedule(d->again, REFUSED_MS);
	d->callbacks.lost(d->callbacks.ctx, interface);
}

static void on_message(struct dataplane *d)
{
	uint16_t type = d->in.header.type, size = wire_type_info(type)->size;
	bool vrfs = d->vrfs_asked && (type == WIRE_VRF_STATS || type == WIRE_DUMP_END);
	bool event = vrfs || type == WIRE_PORT || type == WIRE_NEIGHBOR_NEEDED ||
		     type == WIRE_LIMITER_EPISODE || type == WIRE_HOST_LOST;

	if (type == WIRE_ACK) {
		on_ack(d);
		return;
	}
	if ((type == WIRE_HELLO && d->in.header.count != 1) ||
		(type != WIRE_HELLO && d->phase == PHASE_GREETING) ||
		(type != WIRE_HELLO && !event && d->phase != PHASE_DUMP)) {
		dataplane_disconnect(d, "it sent something that was not asked for", RETRY_WRONG_MS);
		return;
	}
	for (unsigned int i = 0; i < d->in.header.count && d->link != NULL; i++) {
		const void *record = wire_message_record(&d->in, i, size);
		if (wire_record_check(type, record) != 0)
			dataplane_disconnect(
				d, "it sent a record that is not valid", RETRY_WRONG_MS);
		else if (type == WIRE_HELLO)
			on_hello(d, record);
		else if (type == WIRE_PORT)
			on_port(d, record);
		else if (type == WIRE_NEIGHBOR_NEEDED)
			d->callbacks.needed(d->callbacks.ctx, record);
		else if (type == WIRE_LIMITER_EPISODE)
			d->callbacks.episode(d->callbacks.ctx, record);
		else if (type == WIRE_HOST_LOST)
			on_host_lost(d, ((const struct wire_id *)record)->id);
		else if (type == WIRE_VRF_STATS && vrfs)
			d->callbacks.vrf_stats(d->callbacks.ctx, record);
		else if (vrfs) {
			d->vrfs_asked = false;
			answer_waiters(&d->vrf_waiters);
		} else if (type != WIRE_DUMP_END)
			replay_found(d, type, record);
	}
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;
	uint64_t end = clock_ns() + TURN_NS;

	turns_note("dataplane: readable");
	for (unsigned int i = 0; i < MESSAGES_PER_TURN && d->link != NULL && clock_ns() < end;
		i++) {
		int got = wire_receive(d->link, &d->in, d->fds, &d->fds_count);
		if (got == 0)
			return;
		if (got < 0) {
			dataplane_disconnect(d,
				got == -EPIPE ? "it hung up" : "it does not speak our language",
				got == -EPIPE ? RETRY_MS : RETRY_WRONG_MS);
			return;
		}
		heard(d);
		on_message(d);
		while (d->fds_count > 0)
			close(d->fds[--d->fds_count]);
	}
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;

	turns_note("dataplane: writable");
	if (wire_link_flush(d->link) != 0)
		dataplane_disconnect(d, "it hung up", RETRY_MS);
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

static void queue_refused_host(void *ctx, void *entry)
{
	if (((struct host *)entry)->error != 0)
		queue_host(ctx, entry);
}

static void on_retry(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;

	turns_note("dataplane: connect");
	if (d->phase == PHASE_GREETING) {
		dataplane_disconnect(d, "it does not answer", RETRY_MS);
		return;
	}
	if (d->link != NULL)
		return;
	int error = wire_connect(d->path, &d->link);
	if (error != 0) {
		snprintf(d->status.error, sizeof(d->status.error), "nobody answers at %s: %s",
			d->path, strerror(-error));
		snprintf(d->status.hint, sizeof(d->status.hint), "start culvert-dataplane");
		dataplane_set_state(d, DATAPLANE_DOWN); // and held no longer
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
	d->heard = clock_ns();
	d->asked = 0;
	const struct timeval look = {.tv_usec = 250000};
	event_add(d->watch, &look);
	schedule(d->retry, GREETING_MS);
	replay_hello(d);
}

static void on_again(evutil_socket_t fd, short events, void *arg)
{
	struct dataplane *d = arg;

	turns_note("dataplane: again");
	if (d->link == NULL || d->phase < PHASE_CONFIGURATION)
		return;
	table_each(&d->hosts, queue_refused_host, d);
	records_retry(d->records);
	dataplane_wake(d);
	if (!TAILQ_EMPTY(&d->records->failures))
		schedule(d->again, REFUSED_MS);
}

void dataplane_identity(struct dataplane *d, const uint8_t store[16], uint64_t revision)
{
	bool was = d->identified, later = d->revision != revision;

	memcpy(d->store, store, sizeof(d->store));
	d->revision = revision;
	d->identified = true;
	if (!was)
		schedule(d->retry, 0);
	else if (d->state == DATAPLANE_REFUSED)
		dataplane_disconnect(d, NULL, 0); // perhaps it takes this one
	else if (later && d->link != NULL && d->phase > PHASE_GREETING)
		replay_hello(d); // so that it refuses a copy of the store from before
}

void dataplane_hold(struct dataplane *d, const char *message, const char *hint)
{
	snprintf(d->status.error, sizeof(d->status.error), "%s", message);
	snprintf(d->status.hint, sizeof(d->status.hint), "%s", hint);
	dataplane_set_state(d, DATAPLANE_HELD);
}

void dataplane_force(struct dataplane *d)
{
	d->force = true;
	if (d->state == DATAPLANE_REFUSED)
		dataplane_disconnect(d, NULL, 0);
}

bool dataplane_accepted(const struct dataplane *d)
{
	return d->accepted;
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

uint64_t dataplane_revision(const struct dataplane *d)
{
	return d->revision;
}

bool dataplane_idle(const struct dataplane *d)
{
	return d->link != NULL && d->phase > PHASE_CONFIGURATION && d->flight_count == 0 &&
	       d->records->pending == 0 && d->records->telling == TELL_NONE &&
	       TAILQ_EMPTY(&d->records->walks) && !d->records->settling;
}

const struct dataplane_status *dataplane_status(const struct dataplane *d)
{
	return &d->status;
}

static bool wait_for(struct waiters *waiters, void (*done)(void *ctx), void *ctx)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	if (waiter == NULL)
		abort();
	*waiter = (struct waiter){.done = done, .ctx = ctx};
	bool first = TAILQ_EMPTY(waiters);
	TAILQ_INSERT_TAIL(waiters, waiter, queue);
	return first;
}

void dataplane_refresh(struct dataplane *d, void (*done)(void *ctx), void *ctx)
{
	bool first = wait_for(&d->hello_waiters, done, ctx);
	if (d->link == NULL || d->phase <= PHASE_GREETING || d->silent)
		answer_waiters(&d->hello_waiters);
	else if (first)
		replay_hello(d);
}

void dataplane_refresh_vrfs(struct dataplane *d, void (*done)(void *ctx), void *ctx)
{
	const struct wire_dump dump = {.type = WIRE_VRF_STATS};

	wait_for(&d->vrf_waiters, done, ctx);
	if (d->link == NULL || d->phase <= PHASE_DUMP || d->silent ||
		(!d->vrfs_asked && d->flight_count == WIRE_WINDOW)) {
		answer_waiters(&d->vrf_waiters);
	} else if (!d->vrfs_asked) {
		d->vrfs_asked = true;
		if (!replay_message(d, WIRE_DUMP, &dump))
			answer_waiters(&d->vrf_waiters);
	}
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
	TAILQ_INIT(&d->hello_waiters);
	TAILQ_INIT(&d->vrf_waiters);
	d->status.since = (uint64_t)time(NULL);
	d->path = strdup(path);
	d->retry = evtimer_new(base, on_retry, d);
	d->turn = evtimer_new(base, replay_turn, d);
	d->again = evtimer_new(base, on_again, d);
	d->watch = event_new(base, -1, EV_PERSIST, on_watch, d);
	if (d->path == NULL || d->retry == NULL || d->turn == NULL || d->again == NULL ||
		d->watch == NULL) {
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
	dataplane_disconnect(d, NULL, -1);
	answer_waiters(&d->hello_waiters);
	answer_waiters(&d->vrf_waiters);
	while ((released = TAILQ_FIRST(&d->releases)) != NULL) {
		TAILQ_REMOVE(&d->releases, released, queue);
		free(released);
	}
	table_clear(&d->hosts, free_host, NULL);
	struct event *const events[] = {d->retry, d->turn, d->again, d->watch};
	for (unsigned int i = 0; i < 4; i++)
		if (events[i] != NULL)
			event_free(events[i]);
	free(d->read_vrf);
	free(d->path);
	free(d);
}
