// SPDX-License-Identifier: BSD-3-Clause
// What ports, sessions, limits and the data plane make of links and circuits.
//
// A link is what its port, its admin state and its sessions make of it; a circuit is up when both of its links are,
// degraded while one is. What another edge's link does is not known here and is said to be unknown rather than
// guessed: a circuit that is well as far as this edge sees is `partial`, which is no fault. Nor is anything guessed of what
// has not been heard of since our start.
//
// A change of anything below marks the circuits it can concern; a timer works them out in slices and writes them into
// the same table. Every change of the table is an event with its object's name.

#include "control/rpc/answers/answers.h"

#include "control/api/text.h"
#include "control/base/clock.h"
#include "control/base/turns.h"
#include "control/model/circuit.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/status/status.h"

#include <event2/event.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define SLICE_NS 2000000u

struct marked { // a circuit to be looked at
	struct entry entry;
	STAILQ_ENTRY(marked) next;
	char name[NAME_MAX_LENGTH + 1];
};

struct health {
	struct sync *sync;
	struct table marked;
	STAILQ_HEAD(, marked) queue; // the same, in their order
	bool all;                    // every circuit of the model, from `next` on
	unsigned int next;
	bool changed;             // there is another revision
	struct publication *seen; // whose changes have been marked; a reference
	uint64_t mark;
	struct event *work;
};

static const char *state_name(enum link_state state)
{
	static const char *const names[] = {
		"up", "degraded", "down", "disabled", "unknown", "partial"};
	return names[state];
}

static enum status_level level_of(enum link_state state)
{
	static const enum status_level levels[] = {
		[STATE_UP] = STATUS_OK,
		[STATE_DEGRADED] = STATUS_WARNING,
		[STATE_DOWN] = STATUS_ERROR,
		[STATE_DISABLED] = STATUS_NOTE,
		[STATE_UNKNOWN] = STATUS_NOTE,
		[STATE_PARTIAL] = STATUS_NOTE,
	};
	return levels[state];
}

// --- a link ------------------------------------------------------------------------------------------------

// Whether the peering's prefixes of either family wait for places.
static const char *holding(const struct sync *sync, const struct peering *peering)
{
	static const char *const family[] = {"IPv4", "IPv6"};
	char name[OBJECT_NAME_MAX + 16];

	for (unsigned int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s %s", peering->object.name, family[i]);
		const struct status *limit = status_get(sync->status, STATUS_LIMIT, name);
		if (limit != NULL && strcmp(limit->state, "holding") == 0)
			return limit->reason;
	}
	return NULL;
}

// Why an object is not well, and what to do about it.
struct words {
	char reason[512], hint[256];
};

static void __attribute__((format(printf, 2, 3))) say(struct words *words, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(words->reason, sizeof(words->reason), format, args);
	va_end(args);
	api_text_mend(words->reason); // it may quote the far end, cut off
}

#define NOT_HEARD "not heard of yet since culvertd's start"

// All that was configured at the start has been taken up.
static bool is_applied(const struct sync *sync)
{
	return status_get(sync->status, STATUS_EDGE, sync->node->edge) != NULL;
}

// What there is of the sessions of a link.
struct session_count {
	unsigned int enabled, up, full, unheard, kept;
};

static void look_at_session(const struct sync *sync, const struct peering *peering,
	const struct link *link, uint8_t family, struct session_count *count, struct words *words)
{
	bool dual = peering_subnet(peering, link, family == 4 ? 6 : 4).address.family != 0;
	char name[OBJECT_NAME_MAX + 16];

	count->enabled++;
	session_object(peering, link, family, name);
	const struct status *neighbor = status_get(sync->status, STATUS_NEIGHBOR, name);
	if (neighbor != NULL && neighbor->level == STATUS_ERROR) {
		say(words, "%s", neighbor->reason);
		snprintf(words->hint, sizeof(words->hint), "%s", neighbor->hint);
		return;
	}
	const struct status *session = status_get(sync->status, STATUS_SESSION, name);
	if (session != NULL && session->level == STATUS_OK) {
		count->up++;
		return;
	}
	if (session == NULL ? !is_applied(sync) : strcmp(session->state, "unknown") == 0) {
		count->unheard++;
		return;
	}
	count->kept += session != NULL && session->level == STATUS_WARNING;
	const char *detail = session != NULL ? session->reason : "";
	bool open = session != NULL && strcmp(session->state, "established") == 0;
	say(words, "%s%s%s%s%s", open ? "" : "no BGP session of ", peering->object.name,
		!dual         ? ""
		: family == 4 ? " for IPv4"
			      : " for IPv6",
		detail[0] != '\0' ? ": " : "", detail);
	snprintf(words->hint, sizeof(words->hint), "%s", session != NULL ? session->hint : "");
}

// What a link's sessions make of it, when everything below them is well.
static enum link_state sessions_state(const struct sync *sync, const struct model *model,
	const struct link *link, struct words *words)
{
	struct session_count count = {0};
	unsigned int peerings = 0;
	const struct object *child;
	char held[256] = "";

	MODEL_CHILDREN(model, NOUN_PEERING, link->circuit, child)
	{
		const struct peering *peering = (const struct peering *)child;
		if (!peering_is_on(peering, link))
			continue;
		peerings++;
		if (!peering->enabled)
			continue;
		const char *excess = holding(sync, peering);
		if (excess != NULL) {
			count.full++;
			snprintf(held, sizeof(held), "%s: %s", peering->object.name, excess);
		}
		for (uint8_t family = 4; family <= 6; family += 2)
			if (peering_subnet(peering, link, family).address.family != 0)
				look_at_session(sync, peering, link, family, &count, words);
	}
	if (count.unheard > 0) {
		say(words, "%s", NOT_HEARD);
		words->hint[0] = '\0';
		return STATE_UNKNOWN;
	}
	if (count.full > 0 && count.up == count.enabled)
		say(words, "%s", held);
	if (count.enabled == 0) {
		say(words, peerings > 0 ? "no peering is enabled" : "no peering");
		return peerings > 0 ? STATE_DISABLED : STATE_DOWN;
	}
	return count.up + count.kept == 0                     ? STATE_DOWN
	       : count.up < count.enabled || count.full > 0 ? STATE_DEGRADED
							     : STATE_UP;
}

static enum link_state link_state(const struct sync *sync, const struct model *model,
	const struct link *link, struct words *words)
{
	words->reason[0] = words->hint[0] = '\0';
	if (!link_is_ours(sync, link)) {
		say(words, "edge %s", link->edge);
		return STATE_UNKNOWN;
	}
	if (link->admin != LINK_UP) {
		say(words, "admin down");
		return STATE_DISABLED;
	}
	const struct circuit *circuit = model_circuit(model, link->circuit);
	if (circuit != NULL && !circuit_is_provisioned(circuit)) {
		say(words, "%s at %s", circuit_provider_state(circuit), circuit->provider);
		return STATE_DISABLED;
	}
	int index = node_port_index(sync->node, link->port);
	if (index < 0 || index >= PORTS_MAX) {
		say(words, "port %s has no device", link->port);
		return STATE_DOWN;
	}
	const struct status *dataplane =
		status_get(sync->status, STATUS_DATAPLANE, sync->node->edge);
	const struct status *port = status_get(sync->status, STATUS_PORT, link->port);
	// Where it runs it is heard of within milliseconds, and its ports are the first that it tells.
	if (dataplane == NULL || (port == NULL && strcmp(dataplane->state, "replaying") == 0)) {
		say(words, "%s", NOT_HEARD);
		return STATE_UNKNOWN;
	}
	if (strcmp(dataplane->state, "down") == 0) {
		say(words, "the data plane does not run");
		return STATE_DOWN;
	}
	// It goes on with what it was told before, whoever told it.
	if (dataplane->level == STATUS_ERROR) {
		say(words, "%s%s", strcmp(dataplane->state, "held") == 0 ? "held back: " : "",
			dataplane->reason);
		return STATE_UNKNOWN;
	}
	if (port == NULL || port->level == STATUS_ERROR) { // a port with a warning carries traffic
		say(words, "port %s is %s", link->port, port != NULL ? port->state : "missing");
		return STATE_DOWN;
	}
	return sessions_state(sync, model, link, words);
}

// --- a circuit ---------------------------------------------------------------------------------------------

static void add_reason(
	char *reason, size_t size, const char *what, const char *state, const char *why)
{
	size_t used = strlen(reason);

	snprintf(reason + used, size - used, "%s%s %s%s%s%s", used > 0 ? ", " : "", what, state,
		why[0] != '\0' ? " (" : "", why, why[0] != '\0' ? ")" : "");
}

// unheard: of ours, whose state is not known (yet).
static enum link_state sum_up(
	const unsigned int count[STATE_PARTIAL + 1], unsigned int links, unsigned int unheard)
{
	unsigned int alive = count[STATE_UP] + count[STATE_DEGRADED];

	if (count[STATE_UP] == 2)
		return STATE_UP;
	if (count[STATE_UP] == 1 && count[STATE_UNKNOWN] == 1)
		return STATE_PARTIAL;
	if (alive > 0)
		return STATE_DEGRADED;
	if (unheard > 0)
		return STATE_UNKNOWN; // it may carry
	if (links == 0 || count[STATE_DISABLED] + count[STATE_UNKNOWN] < links)
		return STATE_DOWN;
	return count[STATE_DISABLED] > 0 ? STATE_DISABLED : STATE_UNKNOWN;
}

static void look_at_circuit(
	const struct sync *sync, const struct model *model, const struct circuit *circuit)
{
	unsigned int count[STATE_PARTIAL + 1] = {0}, links = 0, unheard = 0;
	bool have[2] = {false, false};
	const struct object *child;
	char reason[1000] = "", hint[256];
	struct words words;

	snprintf(hint, sizeof(hint), "culvertctl circuit show %.80s", circuit->name);
	MODEL_CHILDREN(model, NOUN_LINK, circuit->name, child)
	{
		const struct link *link = (const struct link *)child;
		enum link_state state = link_state(sync, model, link, &words);
		status_set(sync->status, STATUS_LINK, link->object.name, level_of(state),
			state_name(state), words.reason, words.hint);
		links++;
		count[state]++;
		unheard += state == STATE_UNKNOWN && link_is_ours(sync, link);
		have[link->role == LINK_SECONDARY] = true;
		if (state != STATE_UP)
			add_reason(reason, sizeof(reason), role_name(link), state_name(state),
				words.reason);
		if (words.hint[0] != '\0')
			snprintf(hint, sizeof(hint), "%s", words.hint);
	}
	for (unsigned int i = 0; i < 2 && links > 0; i++)
		if (!have[i])
			add_reason(
				reason, sizeof(reason), "no", i == 0 ? "primary" : "secondary", "");
	if (links == 0)
		snprintf(reason, sizeof(reason), "no link");
	api_text_mend(reason);
	enum link_state state = sum_up(count, links, unheard);
	status_set(sync->status, STATUS_CIRCUIT, circuit->name, level_of(state), state_name(state),
		reason, level_of(state) >= STATUS_WARNING ? hint : "");
}

// --- what is looked at when --------------------------------------------------------------------------------

static void look_at_marked(struct health *health, const struct model *model, uint64_t end)
{
	struct marked *marked;

	while ((marked = STAILQ_FIRST(&health->queue)) != NULL && clock_ns() < end) {
		const struct circuit *circuit =
			model != NULL ? model_circuit(model, marked->name) : NULL;
		STAILQ_REMOVE_HEAD(&health->queue, next);
		table_remove(&health->marked, marked);
		free(marked);
		if (circuit != NULL)
			look_at_circuit(health->sync, model, circuit);
	}
}

static void look_at_all(struct health *health, const struct model *model, uint64_t end)
{
	if (health->next == 0)
		health->mark = statuses_mark(health->sync->status);
	while (health->next < model_count(model, NOUN_CIRCUIT) && clock_ns() < end)
		look_at_circuit(health->sync, model, model_circuit_at(model, health->next++));
	if (health->next < model_count(model, NOUN_CIRCUIT))
		return;
	health->all = false;
	health->next = 0;
	status_clear_unmarked(health->sync->status, STATUS_CIRCUIT, health->mark);
	status_clear_unmarked(health->sync->status, STATUS_LINK, health->mark);
}

// The circuit is the first part of the names of its sessions, limits and interfaces.
static void mark(struct health *health, const char *object)
{
	struct marked wanted = {.name = ""};
	const struct timeval now = {0, 0};

	snprintf(wanted.name, sizeof(wanted.name), "%.*s", (int)strcspn(object, "/"), object);
	if (table_find(&health->marked, wanted.name) == NULL) {
		struct marked *marked = malloc(sizeof(*marked));
		if (marked == NULL)
			abort();
		*marked = wanted;
		table_add(&health->marked, marked);
		STAILQ_INSERT_TAIL(&health->queue, marked, next);
	}
	event_add(health->work, &now);
}

static void mark_all(struct health *health)
{
	const struct timeval now = {0, 0};

	health->all = true;
	health->next = 0;
	event_add(health->work, &now);
}

static void on_difference(void *ctx, const struct object *old, const struct object *new)
{
	const struct object *either = new != NULL ? new : old;
	struct health *health = ctx;

	switch (either->noun->id) {
	case NOUN_CIRCUIT:
		if (new == NULL)
			status_clear(health->sync->status, STATUS_CIRCUIT, old->name);
		break;
	case NOUN_LINK:
		if (new == NULL)
			status_clear(health->sync->status, STATUS_LINK, old->name);
		break;
	case NOUN_PEERING:
	case NOUN_CONNECTION:
		break;
	case NOUN_EDGE:
	case NOUN_PORT:
		health->all = true; // its circuits are not known by its name
		return;
	default:
		return;
	}
	mark(health, either->name);
}

// What another revision says of circuits. Costs what changed, and a glance at the rest.
static void mark_changed(struct health *health)
{
	const struct publication *now = domains_publication(health->sync->domains);
	struct publication *seen = health->seen;
	bool whole = seen == NULL || now == NULL || health->all;

	health->changed = false;
	health->seen = now != NULL ? publication_ref(now) : NULL;
	if (!whole)
		model_compare(seen->model, now->model, on_difference, health);
	if (whole || health->all)
		mark_all(health);
	publication_unref(seen);
}

static void on_work(evutil_socket_t fd, short events, void *arg)
{
	struct health *health = arg;
	const struct publication *publication = domains_publication(health->sync->domains);
	const struct timeval now = {0, 0};
	const struct model *model = publication != NULL ? publication->model : NULL;
	uint64_t end = clock_ns() + SLICE_NS;

	turns_note("health: work");
	if (health->changed)
		mark_changed(health);
	look_at_marked(health, model, end);
	if (health->all && model != NULL)
		look_at_all(health, model, end);
	if (health->all || !STAILQ_EMPTY(&health->queue))
		event_add(health->work, &now);
}

static void tell(struct sync *sync, const struct status *old, const struct status *now)
{
	const struct status *either = now != NULL ? now : old;
	char object[OBJECT_NAME_MAX + 32];

	bool renamed = old != NULL && now != NULL && strcmp(old->name, now->name) != 0;
	if (sync->event == NULL ||
		(old != NULL && now != NULL && !renamed && strcmp(old->state, now->state) == 0))
		return;
	snprintf(object, sizeof(object), "%s/%s", status_kind_name(either->kind), either->name);
	json_t *event = json_pack("{s:s, s:s, s:s, s:s, s:b}", "object", object, "state",
		now != NULL ? now->state : "gone", "was", old != NULL ? old->state : "new", "reason",
		now != NULL ? now->reason : "", "problem",
		now != NULL && now->level >= STATUS_WARNING);
	if (renamed) {
		snprintf(object, sizeof(object), "%s/%s", status_kind_name(old->kind), old->name);
		json_object_set_new(event, "renamed", json_string(object));
	}
	sync->event(sync->event_ctx, "state", event);
}

static void on_status(void *ctx, const struct status *old, const struct status *now)
{
	struct health *health = ctx;
	const struct status *either = now != NULL ? now : old;
	const struct timeval soon = {0, 0};

	tell(health->sync, old, now);
	switch (either->kind) {
	case STATUS_SESSION:
	case STATUS_LIMIT:
	case STATUS_NEIGHBOR:
		mark(health, either->name);
		break;
	case STATUS_EDGE:
		health->changed = true;
		event_add(health->work, &soon);
		if (old == NULL || now == NULL || strcmp(old->state, now->state) != 0)
			mark_all(health);
		break;
	case STATUS_DATAPLANE:
	case STATUS_PORT:
		mark_all(health);
		break;
	default:
		break;
	}
}

struct health *health_create(struct sync *sync)
{
	struct health *health = calloc(1, sizeof(*health));

	if (health == NULL)
		abort();
	health->sync = sync;
	health->marked = TABLE_OF(struct marked, name);
	STAILQ_INIT(&health->queue);
	health->work = evtimer_new(sync->base, on_work, health);
	if (health->work == NULL)
		abort();
	statuses_watch(sync->status, on_status, health);
	return health;
}

static void free_marked(void *ctx, void *entry)
{
	free(entry);
}

void health_destroy(struct health *health)
{
	if (health == NULL)
		return;
	statuses_watch(health->sync->status, NULL, NULL);
	event_free(health->work);
	table_clear(&health->marked, free_marked, NULL);
	publication_unref(health->seen);
	free(health);
}
