// SPDX-License-Identifier: BSD-3-Clause
// revision.wait: is the configuration in force yet? A change is answered when it is committed; what the data plane
// makes of it comes a moment later. Whoever wants to know asks here: answered as soon as nothing is queued, under
// way or refused, else when what is refused stays as it is, or the time is over, with what that is. While thousands of
// objects take their places some are refused until those they wait for are there: their number changes then, or not all has
// been decided yet.

#include "control/rpc/answers/answers.h"

#include "control/base/clock.h"
#include "control/base/turns.h"
#include "control/publication.h"
#include "control/status/status.h"

#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS       5 // a look costs two comparisons
#define SECONDS_MAX   30
#define STAYS_NS      2000000000u // as long as it takes to try what is refused once more
#define REFUSED_SHOWN 20

struct wait {
	struct rpc_call *call;
	struct event *look;
	uint64_t revision, until; // CLOCK_MONOTONIC ns
	unsigned int refused;     // when looked at last
	uint64_t since;           // ..: so many since then, and all is decided
};

static bool is_told(const struct sync *sync, uint64_t revision)
{
	if (domains_without_dataplane(sync->domains, revision))
		return true;
	return dataplane_revision(sync->dataplane) >= revision &&
	       !partings_pending(sync->domains, revision) && dataplane_idle(sync->dataplane);
}

static bool add_refused(void *ctx, const struct status *status, unsigned int alike)
{
	json_t *refused = ctx;
	bool incomplete = status->kind == STATUS_DOMAIN && strcmp(status->state, "incomplete") == 0;

	if (status->kind != STATUS_RECORD && !incomplete)
		return false;
	json_array_append_new(refused,
		json_pack("{s:s, s:s, s:i}", "object", status->name, "message", status->reason,
			"alike", (int)alike));
	return true;
}

static unsigned int refused(const struct sync *sync)
{
	return (unsigned int)status_count(sync->status, STATUS_RECORD, STATUS_ERROR) +
	       (unsigned int)sync->records.routes_failed;
}

// What the status table says of a domain comes a moment after what it is about.
static json_t *refused_json(struct sync *sync)
{
	json_t *list = json_array();

	status_problems(sync->status, REFUSED_SHOWN, add_refused, list);
	return list;
}

static json_t *untold_json(const struct sync *sync, uint64_t revision)
{
	const struct untold *one;
	unsigned int count = untold_since(sync->domains, revision, &one);

	return count == 0 ? json_null()
			  : json_pack("{s:i, s:s, s:o}", "sessions", (int)count, "one", one->name,
				    "hold", json_known(one->hold != 0, one->hold));
}

static void answer(struct wait *wait)
{
	struct sync *sync = wait->call->ctx;
	bool complete = is_told(sync, wait->revision) && refused(sync) == 0;
	bool open = complete || sync->records.settling; // what is refused now may be taken with the rest

	rpc_reply(wait->call,
		json_pack("{s:o, s:b, s:s, s:o, s:o}", "revision",
			json_u64(dataplane_revision(sync->dataplane)), "in_force", complete,
			"dataplane", dataplane_state_name(dataplane_status(sync->dataplane)->state),
			"refused", open ? json_array() : refused_json(sync), "untold",
			untold_json(sync, wait->revision)));
	event_free(wait->look);
	free(wait);
}

// Held back with this revision too: it may be the one that ends it.
static bool is_held(const struct sync *sync, uint64_t revision)
{
	return !sync->hold.open && domains_publication(sync->domains)->revision >= revision;
}

// Nobody who could take it: waiting would tell nothing.
static bool is_hopeless(const struct sync *sync, uint64_t revision)
{
	enum dataplane_state state = dataplane_status(sync->dataplane)->state;
	if (state == DATAPLANE_DOWN || state == DATAPLANE_REFUSED || state == DATAPLANE_SILENT)
		return !sync->hold.open || domains_idle(sync->domains); // it may not be asked for
	return state == DATAPLANE_HELD && is_held(sync, revision);
}

static void look(evutil_socket_t fd, short events, void *arg)
{
	struct wait *wait = arg;
	struct sync *sync = wait->call->ctx;
	const struct timeval soon = {0, LOOK_MS * 1000};
	unsigned int count = refused(sync);
	uint64_t now = clock_ns();

	turns_note("revision: wait");
	if (count != wait->refused || wait->since == 0 || sync->records.settling) {
		wait->refused = count;
		wait->since = now;
	}
	if ((count == 0 && is_told(sync, wait->revision)) || is_hopeless(sync, wait->revision) ||
		(count > 0 && now - wait->since >= STAYS_NS) || now >= wait->until)
		answer(wait);
	else
		event_add(wait->look, &soon);
}

void method_revision_wait(struct rpc_call *call)
{
	struct sync *sync = call->ctx;
	int64_t seconds = rpc_integer(call, "seconds", 2);
	struct wait *wait = calloc(1, sizeof(*wait));
	struct api_error error;

	if (seconds < 0 || seconds > SECONDS_MAX) {
		free(wait);
		api_fail(&error, API_USAGE, NULL, "seconds is 0 to %d", SECONDS_MAX);
		rpc_fail(call, &error);
		return;
	}
	if (wait == NULL)
		abort();
	*wait = (struct wait){
		.call = call,
		.look = evtimer_new(sync->base, look, wait),
		.revision = (uint64_t)rpc_integer(call, "revision", 0),
		.until = clock_ns() + (uint64_t)seconds * 1000000000u,
	};
	if (wait->look == NULL)
		abort();
	look(-1, 0, wait);
}
