// SPDX-License-Identifier: BSD-3-Clause
// The controller's messages, applied in order to the tables.
//
// A message is applied as it is read, in slices: a turn of the main loop takes CONTROL_SLICE records, fewer if
// some of them had to wait for grace, and goes on in the next turn, whatever a message holds and however many of
// them there are. Only an exchange is one piece. Each record stands for itself, and the ACK names those that were refused. The ACK waits until no worker can still hold what the message deleted or replaced
// (and until the FIB has settled), so a controller that saw it may give an id, an address or a
// customer's key to somebody else. ACKs go out in order; when WIRE_WINDOW of them wait, nothing
// more is read, which is all the flow control there is.
//
// Nothing of a foreign or older store is applied before a forced BEGIN: a controller that was
// started with the wrong database must not rewrite a running network on its way to being refused.
//
// A controller that dies changes nothing: its open sweeps are void, everything else stays.

#include "dataplane/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/events.h"
#include "dataplane/io/host.h"
#include "dataplane/log.h"
#include "dataplane/sweep.h"
#include "dataplane/tables/fib.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/limits.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/tables/walk.h"
#include "dataplane/wire/link.h"

#define UNFINISHED      2           // of apply()
#define LISTENER_PERIOD 1000000000u // ns
#define WAITS_PER_TURN  4u          // grace periods waited for on the spot, each a worker's turn

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

// --- the link ---

static void close_descriptors(struct control *c)
{
	for (unsigned i = 0; i < c->fds_count; i++)
		if (c->fds[i] >= 0)
			close(c->fds[i]);
	c->fds_count = 0;
}

static void hang_up(struct control *c, const char *why)
{
	if (!c->link)
		return;
	log_info("controller gone", "reason=\"%s\"", why);
	wire_link_close(c->link);
	c->link = NULL;
	c->greeted = false;
	c->current = NULL;
	close_descriptors(c);
	for (; c->ack_count; c->ack_count--) {
		free(c->ack[c->ack_first].failure);
		c->ack_first = (c->ack_first + 1) % WIRE_WINDOW;
	}
	sweeps_abandon(c->sweeps);
	events_set_link(c->events, NULL);
}

void control_adopt(struct control *c, struct wire_link *link)
{
	hang_up(c, "replaced");
	c->link = link;
	c->trusted = false;
}

static unsigned accept_next(struct control *c)
{
	struct wire_link *link;
	int err;

	if (!c->config.listener || c->deaf)
		return 0;
	err = wire_accept(c->config.listener, c->link, &link);
	if (err == -EBUSY || err == -EPERM)
		log_warn("controller refused", "reason=\"%s\"",
			err == -EBUSY ? "there is one already" : "wrong user");
	if (err && err != -EBUSY && err != -EPERM && err != -EAGAIN) {
		// It waits, and the listener stays readable: not to be asked again in every turn.
		c->deaf = true;
		log_warn("controller waits", "error=\"%s\"", strerror(-err));
	}
	if (err)
		return 0;
	control_adopt(c, link);
	log_info("controller connected", "%s", "");
	return 1;
}

static int reply_with(struct control *c, struct wire_message *m, const int *fds, unsigned n)
{
	int err = wire_send(c->link, m, fds, n);

	if (err)
		hang_up(c, err == -ENOBUFS ? "does not read" : "hung up");
	return err;
}

static int reply(struct control *c, struct wire_message *m)
{
	return reply_with(c, m, NULL, 0);
}

// --- ACK ---

static struct ack *new_ack(struct control *c, uint64_t seq)
{
	struct ack *a = &c->ack[(c->ack_first + c->ack_count++) % WIRE_WINDOW];

	*a = (struct ack){.seq = seq};
	return a;
}

static void fail(struct ack *a, uint32_t index, int error)
{
	// Doubling at powers of two; without memory the record is still refused, only not listed.
	if (!(a->failures & (a->failures - 1))) {
		size_t room = a->failures ? 2 * (size_t)a->failures : 1;
		struct wire_failure *bigger = realloc(a->failure, room * sizeof(*bigger));

		if (!bigger)
			return;
		a->failure = bigger;
	}
	a->failure[a->failures++] = (struct wire_failure){index, error};
}

static bool ripe(struct control *c, struct ack *a)
{
	if (a->open)
		return false;
	if (a->settling) {
		if (!fib_settled(c->dp->fib, a->settle))
			return false;
		a->settling = false;
		a->token = reclaim_token(c->dp->reclaim);
	}
	return !a->grace || reclaim_done(c->dp->reclaim, a->token);
}

static unsigned send_acks(struct control *c)
{
	unsigned sent = 0;

	while (c->link && c->ack_count && ripe(c, &c->ack[c->ack_first])) {
		struct ack *a = &c->ack[c->ack_first];

		wire_message_start(&c->out, WIRE_ACK, a->seq);
		for (uint32_t i = 0; i < a->failures; i++)
			wire_message_add(&c->out, &a->failure[i]);
		free(a->failure);
		c->ack_first = (c->ack_first + 1) % WIRE_WINDOW;
		c->ack_count--;
		sent++;
		reply(c, &c->out);
	}
	return sent;
}

// --- HELLO ---

static void greet(struct control *c, const struct wire_hello *theirs)
{
	struct wire_hello ours = {
		.instance = c->config.instance,
		.written = c->dp->written,
		.unchanged = c->dp->unchanged,
		.revision = sweeps_revision(c->sweeps),
		.workers = c->dp->workers,
		.ports = c->dp->ports,
		.version = CULVERT_VERSION,
	};

	bool again = c->greeted; // it asks for the counters, or goes on to another revision
	int stats = stats_descriptor(c->dp->stats);

	c->greeted = true;
	c->trusted = sweeps_trusted(c->sweeps, theirs->store, theirs->revision);
	sweeps_follow(c->sweeps, theirs->store, theirs->revision);
	memcpy(ours.store, sweeps_store(c->sweeps), sizeof(ours.store));
	strncpy(ours.stats, stats_path(c->dp->stats), sizeof(ours.stats) - 1);
	wire_message_start(&c->out, WIRE_HELLO, c->in.header.seq);
	wire_message_add(&c->out, &ours);
	if (reply_with(c, &c->out, &stats, stats >= 0 && !again))
		return;
	events_set_link(c->events, c->link);
	if (again)
		return;
	log_info("controller greeted", "version=%.31s revision=%llu trusted=%s", theirs->version,
		(unsigned long long)theirs->revision, c->trusted ? "yes" : "no");
}

// --- DUMP ---

static int dump_record(void *ctx, const void *record)
{
	struct control *c = ctx;
	uint16_t type = c->out.header.type;
	int err;

	c->dumped++;
	if (wire_message_add(&c->out, record) == 0)
		return 0;
	err = wire_send(c->link, &c->out, NULL, 0);
	wire_message_start(&c->out, type, c->in.header.seq);
	wire_message_add(&c->out, record);
	return err;
}

// A slice of the answer; the first one begins it.
static int dump(struct control *c, const struct wire_dump *r, unsigned budget)
{
	int done;

	if (!c->resumed) {
		if (r->type > UINT16_MAX || walk_start(&c->walk, (uint16_t)r->type, r->vrf))
			return -EINVAL;
		if (r->type == WIRE_ROUTE_SET && r->vrf && !vrf_find(c->dp, r->vrf))
			return -ENOENT;
		c->dumped = 0;
	}
	wire_message_start(&c->out, (uint16_t)r->type, c->in.header.seq);
	done = walk_slice(c->dp, &c->walk, budget, dump_record, c);
	if (done >= 0 && c->out.header.count && wire_send(c->link, &c->out, NULL, 0))
		return -EPIPE;
	if (done != 1)
		return done == 0 ? UNFINISHED : done;
	wire_message_start(&c->out, WIRE_DUMP_END, c->in.header.seq);
	wire_message_add(&c->out, &(struct wire_dump_end){.count = c->dumped});
	return wire_send(c->link, &c->out, NULL, 0);
}

// --- records ---

static int set_host(struct control *c, const struct wire_host *r)
{
	uint32_t slot = interface_find(c->dp, r->interface);
	int fd;

	if (!c->config.host)
		return -EOPNOTSUPP;
	if (r->fd >= c->fds_count || c->fds[r->fd] < 0)
		return -EBADF;
	if (!slot)
		return -ENOENT;
	fd = c->fds[r->fd];
	c->fds[r->fd] = -1; // the host path's from here on
	return host_set(c->config.host, slot, interface_at(c->dp, slot)->generation, fd,
		interface_record(c->dp, slot)->kind == WIRE_INTERFACE_ETHERNET);
}

static int delete_host(struct control *c, uint32_t id)
{
	uint32_t slot = interface_find(c->dp, id);

	return slot && c->config.host ? host_unset(c->config.host, slot) : -ENOENT;
}

static int set_interface(struct control *c, const struct wire_interface *r)
{
	int err = interface_set(c->dp, r);

	if (err == 0 && c->config.host)
		host_update(c->config.host, interface_find(c->dp, r->interface));
	return err;
}

// One change or none: the ACK names what would have failed.
static void exchange_interfaces(struct control *c, struct ack *a)
{
	uint16_t count = c->in.header.count;
	const struct wire_interface *record =
		wire_message_record(&c->in, 0, sizeof(struct wire_interface));
	int *error, result;

	if (!c->trusted) {
		fail(a, UINT32_MAX, -ESTALE);
		return;
	}
	error = calloc(count + 1u, sizeof(*error));
	for (uint32_t i = 0; i < count; i++) {
		sweeps_note(c->sweeps, WIRE_INTERFACE_EXCHANGE, &record[i]);
		if (error != NULL)
			error[i] = wire_record_check(WIRE_INTERFACE_EXCHANGE, &record[i]);
	}
	result = error != NULL ? interface_exchange(c->dp, record, count, error) : -ENOMEM;
	if (result == -ENOMEM)
		fail(a, UINT32_MAX, -ENOMEM);
	for (uint32_t i = 0; i < count && result == -ECANCELED; i++)
		if (error[i] < 0)
			fail(a, i, error[i]);
	for (uint32_t i = 0; i < count && result == 0 && c->config.host != NULL; i++)
		if (error[i] == 0)
			host_update(c->config.host, interface_find(c->dp, record[i].interface));
	free(error);
}

static int delete_interface(struct control *c, uint32_t id)
{
	uint32_t slot = interface_find(c->dp, id);
	int err = interface_delete(c->dp, id);

	if (!err && c->config.host)
		host_unset(c->config.host, slot);
	return err;
}

static int sweep(struct control *c, const struct wire_end *r, unsigned budget)
{
	unsigned deleted;
	int err = sweeps_end(c->sweeps, r, budget, &deleted);

	if (err == SWEEPS_MORE)
		return UNFINISHED;
	if (err)
		log_warn("sweep refused", "scope=%u vrf=%u error=\"%s\"", r->scope, r->vrf,
			strerror(-err));
	else if (deleted)
		log_info("swept", "scope=%u vrf=%u deleted=%u", r->scope, r->vrf, deleted);
	return err;
}

static int begin(struct control *c, const struct wire_begin *r)
{
	int err = sweeps_begin(c->sweeps, r);

	if (!err)
		c->trusted = true;
	else if (err == -ESTALE)
		c->trusted = false;
	return err;
}

// One record. 0 or 1 = applied, UNFINISHED = a part of it, else refused.
static int apply(struct control *c, uint16_t type, const void *r, unsigned budget)
{
	const struct wire_id *id = r;

	switch (type) {
	case WIRE_BEGIN:
		return begin(c, r);
	case WIRE_END:
		return c->trusted ? sweep(c, r, budget) : -ESTALE;
	case WIRE_DUMP:
		return dump(c, r, budget);
	default:
		break;
	}
	if (!c->trusted)
		return -ESTALE;
	switch (type) {
	case WIRE_VRF_SET:
		return vrf_set(c->dp, r);
	case WIRE_VRF_DELETE:
		return vrf_delete(c->dp, id->id);
	case WIRE_INTERFACE_SET:
		return set_interface(c, r);
	case WIRE_INTERFACE_DELETE:
		return delete_interface(c, id->id);
	case WIRE_LIMITER_SET:
		return limiter_set(c->dp, r);
	case WIRE_LIMITER_DELETE:
		return limiter_delete(c->dp, id->id);
	case WIRE_LOCAL_SET:
		return local_set(c->dp, r);
	case WIRE_LOCAL_DELETE:
		return local_delete(c->dp, r);
	case WIRE_NEIGHBOR_SET:
		return neighbor_set(c->dp, r);
	case WIRE_NEIGHBOR_DELETE:
		return neighbor_delete(c->dp, id->id);
	case WIRE_PATH_SET:
		return path_set(c->dp, r);
	case WIRE_PATH_DELETE:
		return path_delete(c->dp, id->id);
	case WIRE_GROUP_SET:
		return group_set(c->dp, r);
	case WIRE_GROUP_DELETE:
		return group_delete(c->dp, id->id);
	case WIRE_ROUTE_SET:
		return route_set(c->dp, r);
	case WIRE_ROUTE_DELETE:
		return route_delete(c->dp, r);
	case WIRE_HOST_SET:
		return set_host(c, r);
	case WIRE_HOST_DELETE:
		return delete_host(c, id->id);
	case WIRE_COUNTERS_RELEASE:
		return stats_slot_release(c->dp->stats, ((const struct wire_uid *)r)->uid);
	default:
		return -EOPNOTSUPP;
	}
}

// Returns what it counts for.
static unsigned apply_record(struct control *c, unsigned budget)
{
	uint16_t type = c->in.header.type, size = wire_type_info(type)->size;
	const void *record = wire_message_record(&c->in, c->at, size);
	int err = wire_record_check(type, record);

	if (c->trusted && !c->resumed)
		sweeps_note(c->sweeps, type, record);
	if (!err)
		err = apply(c, type, record, budget);
	c->resumed = err == UNFINISHED;
	if (c->resumed)
		return budget;
	if (err < 0)
		fail(c->current, c->at, err);
	c->at++;
	return type == WIRE_DUMP || type == WIRE_END ? budget
						     : 1; // they look at as much as they may
}

static void finish_message(struct control *c)
{
	struct ack *a = c->current;

	if (c->dp->written != c->written) {
		a->grace = true;
		a->settling = true;
		a->settle = fib_settle_token(c->dp->fib);
	}
	a->open = false;
	c->current = NULL;
	close_descriptors(c);
}

// Applies records of the message in hand for `budget`; returns what is used of it. The message is done when c->current is
// NULL.
static unsigned apply_slice(struct control *c, unsigned budget)
{
	uint64_t waits = reclaim_waits(c->dp->reclaim);
	unsigned used = 0;

	if (c->in.header.type == WIRE_INTERFACE_EXCHANGE) {
		exchange_interfaces(c, c->current);
		c->at = c->in.header.count;
		used = budget;
	}
	while (c->at < c->in.header.count && used < budget) {
		if (reclaim_waits(c->dp->reclaim) - waits >= WAITS_PER_TURN)
			return budget;
		used += apply_record(c, budget - used);
	}
	if (c->at == c->in.header.count)
		finish_message(c);
	return used;
}

static void start_message(struct control *c)
{
	uint16_t type = c->in.header.type, size = wire_type_info(type)->size;
	struct ack *a;

	if (type == WIRE_HELLO && c->in.header.count == 1 &&
		!wire_record_check(type, wire_message_record(&c->in, 0, size))) {
		greet(c, wire_message_record(&c->in, 0, size));
		close_descriptors(c);
		return;
	}
	a = new_ack(c, c->in.header.seq);
	if (!c->greeted || type == WIRE_HELLO) {
		fail(a, UINT32_MAX, type == WIRE_HELLO ? -EINVAL : -EPERM);
		close_descriptors(c);
		return;
	}
	a->open = true;
	c->current = a;
	c->at = 0;
	c->resumed = false;
	c->written = c->dp->written;
}

// False: nothing there, or nothing that can be taken now.
static bool read_message(struct control *c)
{
	int got;

	if (!c->link || c->ack_count == WIRE_WINDOW)
		return false;
	got = wire_receive(c->link, &c->in, c->fds, &c->fds_count);
	if (got == 0)
		return false;
	if (got == 1) {
		start_message(c);
	} else if (got == -EOPNOTSUPP || got == -EACCES || got == -EPROTO) {
		fail(new_ack(c, c->in.header.seq), UINT32_MAX, got);
		if (got == -EPROTO) {
			send_acks(c);
			hang_up(c, "another version");
		}
	} else {
		hang_up(c, got == -EPIPE ? "hung up" : "not a message");
	}
	return true;
}

// A slice of what the controller sent.
static unsigned work(struct control *c)
{
	unsigned budget = CONTROL_SLICE, n = 0;

	while (budget > 0 && (c->current || read_message(c))) {
		unsigned used = c->current ? apply_slice(c, budget) : 0;

		n += 1 + used;
		budget -= used < budget ? 1 + used > budget ? budget : 1 + used : budget;
	}
	return n;
}

// --- life ---

unsigned control_turn(struct control *c)
{
	unsigned n = accept_next(c);

	if (c->link && wire_link_backlog(c->link) && wire_link_flush(c->link))
		hang_up(c, "hung up");
	n += work(c);
	if (c->config.host)
		n += host_follow_locals(c->config.host);
	n += send_acks(c);
	return n;
}

int control_waiting(const struct control *c)
{
	return c->ack_count != 0;
}

unsigned control_poll_fds(const struct control *c, struct pollfd *fds)
{
	unsigned n = 0;

	if (c->config.listener && !c->deaf)
		fds[n++] = (struct pollfd){
			.fd = wire_listener_fd(c->config.listener), .events = POLLIN};
	if (c->link)
		fds[n++] = (struct pollfd){.fd = wire_link_fd(c->link),
			.events = (short)((c->ack_count < WIRE_WINDOW ? POLLIN : 0) |
					  (wire_link_backlog(c->link) ? POLLOUT : 0))};
	return n;
}

// Once a second: the socket's file may have been removed under us, with the directory that it was in, and nobody could
// reach us any more.
static void look_at_listener(struct control *c, uint64_t now)
{
	int err;

	if (!c->config.listener || now < c->listener_at)
		return;
	c->listener_at = now + LISTENER_PERIOD;
	c->deaf = false;
	err = wire_listener_renew(c->config.listener);
	if (err == 1)
		log_warn("control socket", "note=\"its file was gone, made again\"");
	else if (err && err != c->listener_error)
		log_warn(
			"control socket", "note=\"its file is gone\" error=\"%s\"", strerror(-err));
	c->listener_error = err;
}

void control_events(struct control *c, uint64_t now)
{
	look_at_listener(c, now);
	if (events_send(c->events, now))
		hang_up(c, "hung up");
}

void control_port_changed(struct control *c, uint32_t port)
{
	events_port(c->events, port);
}

int control_create(const struct control_config *config, struct control **control)
{
	struct control *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (!c)
		return err;
	c->config = *config;
	c->dp = config->dp;
	err = sweeps_create(c->dp, config->host, &c->sweeps);
	if (!err)
		err = events_create(c->dp, &c->events);
	if (err) {
		control_destroy(c);
		return err;
	}
	*control = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	if (c->events)
		hang_up(c, "stopping");
	events_destroy(c->events);
	sweeps_destroy(c->sweeps);
	free(c);
}
