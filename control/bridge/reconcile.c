// SPDX-License-Identifier: BSD-3-Clause
// From the kernel's messages to changes reported once. A route is known by (domain, prefix, protocol, metric);
// the same words said twice are not reported twice, so a dump after a doubt is silent when nothing was missed.
//
// The kernel does not say everything. A REPLACE names the new route only, so whatever else stood under that
// prefix and metric is gone. A device that goes down empties the IPv4 table without a word: its routes are
// removed here by a walk (JOB_INVALIDATE). Taking one of several next hops from an IPv6 route is announced as
// a deletion of that one; what is left of the route only a dump can tell.
//
// The periodic check compares a dump with the memory and changes nothing. Its doubts are checked by a second
// dump: only a difference that both see, with no event between and nothing that asks for a dump by itself (a device's carrier
// came back, and routes with it), is drift.

#include "control/bridge/reconcile.h"

#include "control/bridge/mirror.h"
#include "control/bridge/repair.h"
#include "control/base/turns.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <linux/rtnetlink.h>

enum { SLICE_STEP = 256 };

static bool dumping(const struct mirror *mirror)
{
	return mirror->phase != PHASE_IDLE;
}

static void report(struct host_domain *domain, const struct host_route *route, bool present)
{
	struct bridge *bridge = domain->space->bridge;
	const struct next_hop_set *set = hops_get(&bridge->hops, route->hops);
	struct bridge_route shown = {
		.protocol = route->protocol,
		.metric = route->metric,
		.blackhole = route->flags & ROUTE_BLACKHOLE,
	};
	struct host_route_key key;

	route_key_of(route, &key);
	shown.prefix = key.prefix;
	for (uint32_t i = 0; set && i < set->count; i++) {
		const struct host_link *link =
			idmap_get(&domain->space->links, set->hop[i].ifindex);
		shown.nexthop[shown.count++] = (struct bridge_nexthop){
			.via = set->hop[i].via,
			.interface = link ? link->id : 0,
			.weight = set->hop[i].weight,
		};
	}
	bridge->callbacks.route(bridge->callbacks.ctx, domain->id, &shown, present);
}

static bool same_key(const struct host_route_key *a, const struct host_route_key *b)
{
	return a->metric == b->metric && a->protocol == b->protocol &&
	       ip_prefix_compare(&a->prefix, &b->prefix) == 0;
}

// Notes a difference (check), or counts one that was noted before (confirmation).
static void differs(struct mirror *mirror, uint32_t table, const struct host_route_key *key)
{
	if (mirror->purpose == DUMP_CHECK) {
		if (mirror->suspects < SUSPECTS_MAX)
			mirror->suspect[mirror->suspects] = (struct suspect){table, *key};
		mirror->suspects++;
		return;
	}
	if (mirror->purpose != DUMP_CONFIRM)
		return;
	bool known = mirror->suspects > SUSPECTS_MAX;
	for (uint32_t i = 0; !known && i < mirror->suspects; i++) {
		const struct suspect *s = &mirror->suspect[i];
		known = s->table == table && same_key(&s->key, key);
	}
	mirror->confirmed += known;
}

// Takes the route away from the readers; the place stays while a dump runs.
static void withdraw(struct mirror *mirror, struct host_domain *domain, struct host_route *route)
{
	struct next_hops *hops = &mirror->space->bridge->hops;

	if (route->flags & ROUTE_GONE)
		return;
	report(domain, route, false);
	hops_drop(hops, route->hops);
	route->hops = 0;
	if (dumping(mirror)) {
		route->flags |= ROUTE_GONE | ROUTE_EVENT;
		route->stamp = mirror->generation;
	} else {
		routes_remove(&domain->routes, route);
	}
}

// Leaves out next hops over devices that we know are down.
static void drop_dead_hops(struct space *space, struct decoded_route *decoded)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < decoded->count; i++) {
		struct host_link *link = idmap_get(&space->links, decoded->hop[i].ifindex);
		if (link == NULL || link->running)
			decoded->hop[kept++] = decoded->hop[i];
		else
			link->missed = true;
	}
	decoded->count = kept;
}

static void present(
	struct mirror *mirror, struct host_domain *domain, struct decoded_route *decoded, bool dump)
{
	struct next_hops *hops = &mirror->space->bridge->hops;
	uint8_t blackhole = decoded->blackhole ? ROUTE_BLACKHOLE : 0;
	bool check = dump && mirror->purpose == DUMP_CHECK;
	bool added = false;
	struct host_route *route = routes_find(&domain->routes, &decoded->key);

	if (route && dump && route->flags & ROUTE_EVENT && route->stamp == mirror->generation)
		return; // an event since the dump began knows better
	uint32_t id = decoded->blackhole ? 0 : hops_take(hops, decoded->hop, decoded->count);
	if (id == 0 && !decoded->blackhole)
		return;
	bool same = route && !(route->flags & ROUTE_GONE) && route->hops == id &&
		    (route->flags & ROUTE_BLACKHOLE) == blackhole;
	if (route == NULL && !check)
		route = routes_add(&domain->routes, &decoded->key, &added);
	if (route) {
		route->stamp = mirror->generation;
		route->flags = (uint8_t)((route->flags & ~ROUTE_EVENT) | (dump ? 0 : ROUTE_EVENT));
	}
	if (!same && dump)
		differs(mirror, domain->table, &decoded->key);
	if (same || route == NULL || check) {
		hops_drop(hops, id);
		return;
	}
	hops_drop(hops, route->hops);
	route->hops = id;
	route->flags = (uint8_t)((route->flags & ~(ROUTE_GONE | ROUTE_BLACKHOLE)) | blackhole);
	report(domain, route, true);
}

// A REPLACE took the place of whatever had this prefix and metric.
static void displace(
	struct mirror *mirror, struct host_domain *domain, const struct decoded_route *decoded)
{
	struct host_route *route = NULL;
	bool found = true;

	while (found) {
		found = false;
		route = NULL;
		while ((route = routes_of_prefix(&domain->routes, &decoded->key.prefix, route)) !=
			NULL) {
			if (route->metric != decoded->key.metric ||
				route->protocol == decoded->key.protocol ||
				route->flags & ROUTE_GONE)
				continue;
			withdraw(mirror, domain, route);
			found = true;
			break; // the chain has changed
		}
	}
}

// --- who takes a daemon's routes away

// The kernel names who asked for a change. A daemon compares what it has with the kernel a few times a minute at best; when
// another takes its routes, it is asked to put them in at once. Whether it was a theft shows when they come back: a daemon
// that was started again has another name, and takes back what it has no more.
enum { ASKED_MAX = 3 };
static const uint64_t TAKEN_NS = 5000000000u;

static void written(struct host_domain *domain, const struct host_route_key *key, uint32_t port)
{
	struct taken *taken = &domain->taken;
	char prefix[IP_TEXT_MAX];

	if (port != 0)
		domain->space->writer = port;
	if (taken->at == 0 || !same_key(&taken->key, key))
		return;
	taken->at = 0;
	if (port != taken->writer)
		return; // another daemon than the one it was taken from: it may have taken it itself
	ip_prefix_format(&key->prefix, prefix);
	repair_done(domain->space, "route", prefix, "of the routing daemon removed");
}

static void removed(struct host_domain *domain, const struct host_route_key *key, uint32_t port)
{
	struct space *space = domain->space;

	if (port == 0 || port == space->writer || domain->taken.at != 0)
		return;
	domain->taken = (struct taken){.at = clock_ns(), .key = *key, .writer = space->writer};
	space->taken = true;
}

void mirror_ask_again(struct space *space)
{
	const struct bridge_callbacks *callbacks = &space->bridge->callbacks;
	uint64_t now = clock_ns();
	struct host_domain *domain;

	if (!space->taken)
		return;
	space->taken = false;
	TAILQ_FOREACH (domain, &space->domains, entry) {
		struct taken *taken = &domain->taken;
		if (taken->at != 0 && now - taken->at > TAKEN_NS)
			taken->at = 0; // it has them no more
		if (taken->at == 0)
			continue;
		space->taken = true;
		if (callbacks->taken != NULL && taken->asked++ < ASKED_MAX)
			callbacks->taken(callbacks->ctx, domain->id);
	}
}

void reconcile_route(struct mirror *mirror, const struct nlmsghdr *header, bool dump)
{
	struct decoded_route decoded;
	struct space *space = mirror->space;

	if (!decode_route(header, &decoded))
		return;
	struct host_domain *domain = idmap_get(&space->tables, decoded.table);
	if (domain == NULL)
		return;
	if (!dump && header->nlmsg_type == RTM_NEWROUTE && header->nlmsg_flags & NLM_F_REPLACE)
		displace(mirror, domain, &decoded);
	if (!decode_tracked(decoded.key.protocol))
		return;
	if (!dump && header->nlmsg_type == RTM_NEWROUTE)
		written(domain, &decoded.key, header->nlmsg_pid);
	uint32_t named = decoded.count + decoded.dead;
	drop_dead_hops(space, &decoded);
	if (header->nlmsg_type == RTM_NEWROUTE && (decoded.blackhole || decoded.count > 0)) {
		present(mirror, domain, &decoded, dump);
		return;
	}
	struct host_route *route = dump ? NULL : routes_find(&domain->routes, &decoded.key);
	if (route == NULL)
		return;
	if (header->nlmsg_type == RTM_DELROUTE)
		removed(domain, &decoded.key, header->nlmsg_pid);
	const struct next_hop_set *set = hops_get(&space->bridge->hops, route->hops);
	if (header->nlmsg_type == RTM_DELROUTE && set && set->count > named) {
		mirror_resync(space);
		return;
	}
	withdraw(mirror, domain, route);
}

// ---- walks

static struct host_domain *first_domain(const struct mirror *mirror, const struct mirror_job *job)
{
	return job->only ? job->only : TAILQ_FIRST(&mirror->space->domains);
}

void reconcile_job(
	struct mirror *mirror, enum job_kind kind, uint32_t ifindex, struct host_domain *only)
{
	struct timeval now = {0, 0};
	struct mirror_job *job = calloc(1, sizeof(*job));

	if (job == NULL) { // as good: everything is looked at again
		mirror_resync(mirror->space);
		return;
	}
	*job = (struct mirror_job){.kind = kind, .ifindex = ifindex, .only = only};
	job->domain = first_domain(mirror, job);
	STAILQ_INSERT_TAIL(&mirror->jobs, job, entry);
	event_del(mirror->event);
	if (mirror->dump_read)
		event_del(mirror->dump_read);
	event_add(mirror->slice, &now);
}

static void resume(struct mirror *mirror)
{
	struct timeval now = {0, 0};

	if (!STAILQ_EMPTY(&mirror->jobs))
		return;
	event_del(mirror->slice);
	event_add(mirror->event, NULL);
	if (mirror->dump_read) {
		event_add(mirror->dump_read, NULL);
		if (mirror->pending)
			event_add(mirror->more, &now);
	}
}

void reconcile_drop_jobs(struct mirror *mirror, enum job_kind kind)
{
	struct mirror_job *job, *next;

	if (mirror->slice == NULL)
		return;
	STAILQ_FOREACH_SAFE(job, &mirror->jobs, entry, next)
	{
		if (kind != JOB_ANY && job->kind != kind)
			continue;
		STAILQ_REMOVE(&mirror->jobs, job, mirror_job, entry);
		free(job);
	}
	resume(mirror);
}

static bool uses(
	struct mirror *mirror, const struct mirror_job *job, const struct host_route *route)
{
	return hops_uses(&mirror->space->bridge->hops, route->hops, job->ifindex);
}

static bool visit(struct mirror *mirror, const struct mirror_job *job, struct host_route *route)
{
	struct host_link *link;
	struct host_domain *domain = job->domain;
	struct host_route_key key;

	switch (job->kind) {
	case JOB_SWEEP:
		if (route->stamp == mirror->generation && !(route->flags & ROUTE_GONE))
			return false;
		if (!(route->flags & ROUTE_GONE)) {
			route_key_of(route, &key);
			differs(mirror, domain->table, &key);
			if (mirror->purpose == DUMP_CHECK)
				return false;
			report(domain, route, false);
			hops_drop(&mirror->space->bridge->hops, route->hops);
		}
		routes_remove(&domain->routes, route);
		return true;
	case JOB_INVALIDATE:
		if (!uses(mirror, job, route))
			return false;
		link = idmap_get(&mirror->space->links, job->ifindex);
		if (link)
			link->missed = true;
		// With several next hops the rest may live on; the kernel's word on that comes with a dump.
		if (hops_get(&mirror->space->bridge->hops, route->hops)->count > 1)
			mirror->again = true;
		withdraw(mirror, domain, route);
		return true;
	case JOB_RENAME:
		if (!uses(mirror, job, route))
			return false;
		report(domain, route, true);
		return true;
	default:
		return false;
	}
}

// The routes of a domain are the kernel's.
static void swept(struct mirror *mirror, struct host_domain *domain)
{
	const struct bridge_callbacks *callbacks = &mirror->space->bridge->callbacks;

	if (mirror->purpose == DUMP_CHECK || domain->sync != DOMAIN_DUMPING)
		return;
	domain->sync = DOMAIN_SYNCED;
	callbacks->synced(callbacks->ctx, domain->id);
}

// True when the job is done, false when the time is.
static bool walk(struct mirror *mirror, struct mirror_job *job, uint64_t end)
{
	unsigned int steps = 0;

	while (job->domain) {
		struct host_domain *domain = job->domain;
		struct routes *routes = &domain->routes;
		for (; job->place < routes_places(routes); job->place++) {
			struct host_route *route = routes_at(routes, job->place);
			if (route && visit(mirror, job, route))
				steps += 15;
			if (++steps >= SLICE_STEP) {
				steps = 0;
				if (clock_ns() > end) {
					job->place++;
					return false;
				}
			}
		}
		if (routes->count == 0)
			routes_free(routes);
		job->domain = job->only ? NULL : TAILQ_NEXT(domain, entry);
		job->place = 0;
		if (job->kind == JOB_SWEEP)
			swept(mirror, domain); // which may end the next: mirror_forget() looks after that
		steps += 15;
		if (clock_ns() > end)
			return job->domain == NULL;
	}
	return true;
}

void reconcile_slice(int fd, short what, void *ctx)
{
	struct mirror *mirror = ctx;
	uint64_t end = clock_ns() + TURN_NS;
	struct mirror_job *job;
	struct timeval now = {0, 0};

	turns_note("bridge: walk");
	while ((job = STAILQ_FIRST(&mirror->jobs)) != NULL) {
		if (!walk(mirror, job, end)) {
			event_add(mirror->slice, &now);
			return;
		}
		enum job_kind kind = job->kind;
		STAILQ_REMOVE_HEAD(&mirror->jobs, entry);
		free(job);
		if (kind == JOB_SWEEP)
			mirror_dump_end(mirror);
	}
	if (mirror->again && mirror->phase == PHASE_IDLE)
		event_add(mirror->start, &now);
	resume(mirror);
}

// ---- routes of domains that are no more: what they hold of the next hops is given back in slices

struct buried {
	STAILQ_ENTRY(buried) entry;
	struct routes routes;
	uint32_t place;
};

static void bury(struct bridge *bridge, struct routes *routes)
{
	struct timeval now = {0, 0};
	struct buried *buried = calloc(1, sizeof(*buried));

	if (buried == NULL)
		abort();
	buried->routes = *routes;
	*routes = (struct routes){0};
	STAILQ_INSERT_TAIL(&bridge->buried, buried, entry);
	event_add(bridge->burial, &now);
}

static void unbury(struct bridge *bridge, struct buried *buried)
{
	STAILQ_REMOVE_HEAD(&bridge->buried, entry);
	routes_free(&buried->routes);
	free(buried);
}

void reconcile_buried(int fd, short what, void *ctx)
{
	struct bridge *bridge = ctx;
	uint64_t end = clock_ns() + TURN_NS;
	struct timeval now = {0, 0};
	struct buried *buried;

	turns_note("bridge: forget");
	while ((buried = STAILQ_FIRST(&bridge->buried)) != NULL) {
		while (buried->place < routes_places(&buried->routes)) {
			const struct host_route *route =
				routes_at(&buried->routes, buried->place++);
			if (route)
				hops_drop(&bridge->hops, route->hops);
			if (buried->place % SLICE_STEP == 0 && clock_ns() > end) {
				event_add(bridge->burial, &now);
				return;
			}
		}
		unbury(bridge, buried);
	}
}

void reconcile_buried_end(struct bridge *bridge)
{
	if (bridge->burial == NULL)
		return;
	event_free(bridge->burial);
	while (!STAILQ_EMPTY(&bridge->buried))
		unbury(bridge, STAILQ_FIRST(&bridge->buried));
}

void mirror_forget(struct host_domain *domain)
{
	struct mirror *mirror = domain->space->mirror;
	struct mirror_job *job, *next;

	STAILQ_FOREACH_SAFE(job, &mirror->jobs, entry, next)
	{
		if (job->domain != domain)
			continue;
		job->domain = job->only ? NULL : TAILQ_NEXT(domain, entry);
		job->place = 0;
	}
	if (routes_places(&domain->routes) > 0)
		bury(domain->space->bridge, &domain->routes);
}
