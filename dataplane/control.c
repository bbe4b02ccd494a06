// SPDX-License-Identifier: BSD-3-Clause
// The controller's messages, applied in order to the tables.
//
// A message is applied as it is read, in slices: a turn of the main loop takes CONTROL_SLICE
// records, fewer if some of them had to wait for grace, and goes on in the next turn, whatever a
// message holds and however many of them there are. Only an exchange is one piece. Each record
// stands for itself, and the ACK names those that were refused. The ACK waits until no worker can
// still hold what the message deleted or replaced (and until the FIB has settled), so a controller
// that saw it may give an id, an address or a customer's key to somebody else. ACKs go out in
// order; when WIRE_WINDOW of them wait, nothing more is read, which is all the flow control there
// is.
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

#include "dataplane/control_private.h"
#include "dataplane/events.h"
#include "dataplane/io/host.h"
#include "dataplane/log.h"
#include "dataplane/tables/fib.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/wire/link.h"

#define LISTENER_PERIOD 1000000000u // ns
#define VRF_SWEPT       16u         // records that its END counts for
#define WAITS_PER_TURN  4u          // grace periods waited for on the spot, each a worker's turn

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
	if (c->link == NULL)
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

	if (c->config.listener == NULL || c->deaf)
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

void control_fail(struct ack *a, uint32_t index, int error)
{
	// Doubling at powers of two; without memory the record is still refused, only not listed.
	if (!(a->failures & (a->failures - 1))) {
		size_t room = a->failures ? 2 * (size_t)a->failures : 1;
		struct wire_failure *bigger = realloc(a->failure, room * sizeof(*bigger));

		if (bigger == NULL)
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

// --- messages ---

// Read-back and sweeps look at as much as they may; of a VRF that was swept within the slice,
// mostly a few routes.
static unsigned what_it_counts_for(uint16_t type, const void *record, unsigned budget)
{
	const struct wire_end *end = record;

	if (type == WIRE_END && end->scope == WIRE_SCOPE_ROUTES)
		return VRF_SWEPT < budget ? VRF_SWEPT : budget;
	return type == WIRE_DUMP || type == WIRE_END ? budget : 1;
}

// Returns what it counts for.
static unsigned apply_record(struct control *c, unsigned budget)
{
	uint16_t type = c->in.header.type, size = wire_type_info(type)->size;
	const void *record = wire_message_record(&c->in, c->at, size);
	int err = wire_record_check(type, record);

	if (c->trusted && !c->resumed)
		sweeps_note(c->sweeps, type, record);
	if (err == 0)
		err = control_apply(c, type, record, budget);
	c->resumed = err == UNFINISHED;
	if (c->resumed)
		return budget;
	if (err < 0)
		control_fail(c->current, c->at, err);
	c->at++;
	return what_it_counts_for(type, record, budget);
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

// Applies records of the message in hand for `budget`; returns what is used of it. The message is
// done when c->current is NULL.
static unsigned apply_slice(struct control *c, unsigned budget)
{
	uint64_t waits = reclaim_waits(c->dp->reclaim);
	unsigned used = 0;

	if (c->in.header.type == WIRE_INTERFACE_EXCHANGE) {
		control_exchange(c, c->current);
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
		control_fail(a, UINT32_MAX, type == WIRE_HELLO ? -EINVAL : -EPERM);
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

	if (c->link == NULL || c->ack_count == WIRE_WINDOW)
		return false;
	got = wire_receive(c->link, &c->in, c->fds, &c->fds_count);
	if (got == 0)
		return false;
	if (got == 1) {
		start_message(c);
	} else if (got == -EOPNOTSUPP || got == -EACCES || got == -EPROTO) {
		control_fail(new_ack(c, c->in.header.seq), UINT32_MAX, got);
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

// Once a second: the socket's file may have been removed under us, with the directory that it was
// in, and nobody could reach us any more.
static void look_at_listener(struct control *c, uint64_t now)
{
	int err;

	if (c->config.listener == NULL || now < c->listener_at)
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

unsigned control_events(struct control *c, uint64_t now)
{
	look_at_listener(c, now);
	if (events_send(c->events, now))
		hang_up(c, "hung up");
	return events_owed(c->events);
}

void control_port_changed(struct control *c, uint32_t port)
{
	events_port(c->events, port);
}

int control_create(const struct control_config *config, struct control **control)
{
	struct control *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (c == NULL)
		return err;
	c->config = *config;
	c->dp = config->dp;
	err = sweeps_create(c->dp, config->host, &c->sweeps);
	if (err == 0)
		err = events_create(c->dp, config->host, &c->events);
	if (err) {
		control_destroy(c);
		return err;
	}
	*control = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (c == NULL)
		return;
	if (c->events)
		hang_up(c, "stopping");
	events_destroy(c->events);
	sweeps_destroy(c->sweeps);
	free(c);
}
