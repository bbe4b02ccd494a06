// SPDX-License-Identifier: BSD-3-Clause
// Work in slices. What touches many prefixes, interfaces or fragments is a job with a cursor; a turn of the event loop
// does as many steps as fit in 2 ms and leaves the rest to a timer, so that netlink, the data plane and questions have
// their turns between. Jobs are done in the order in which they came, but for a port that went or came: the paths over
// it are first of all. The kernel's half - devices, a handful of system calls each - comes after everything that the data
// plane is to be told, which forwards without it; but it comes, also where the other work never ends.

#include "control/domain/state.h"

#include "control/base/clock.h"
#include "control/base/turns.h"

#include <event2/event.h>

#include <stdlib.h>
#include <string.h>

#define SLICE_NS 2000000u
#define STEP     64 // prefixes, or what costs about as much
#define PASSED   8  // turns in a row that the kernel's half is left out

static const char *const part_name[] = {
	[JOB_PATHS] = "domain: paths",
	[JOB_CARRIERS] = "domain: carriers",
	[JOB_FILL] = "domain: fill",
	[JOB_FRAGMENTS] = "domain: fragments",
	[JOB_REVIEW] = "domain: review",
	[JOB_DECIDE] = "domain: decide",
	[JOB_LIFE] = "domain: life",
	[JOB_END] = "domain: end",
	[JOB_ANNOUNCE] = "domain: announce",
	[JOB_WAYS] = "domain: ways",
	[JOB_TUNNELS] = "domain: tunnels",
	[JOB_KNOWN] = "domain: known",
	[JOB_RETRY] = "domain: retry",
	[JOB_SWEEP] = "domain: sweep",
	[JOB_PARTING] = "domain: partings",
};

// Work that a domain, or all of them, is to have once: while it waits to begin it needs not be added again.
static uint16_t *asked_of(struct domains *domains, const struct job *job)
{
	if (job->kind == JOB_PATHS || job->kind == JOB_CARRIERS || job->kind == JOB_DECIDE)
		return NULL;
	return job->walked != NULL   ? &job->walked->asked
	       : job->target != NULL ? &job->target->asked
				     : &domains->asked;
}

static bool decides(enum job_kind kind)
{
	return kind == JOB_FILL || kind == JOB_FRAGMENTS || kind == JOB_REVIEW ||
	       kind == JOB_DECIDE || kind == JOB_LIFE || kind == JOB_END || kind == JOB_WAYS ||
	       kind == JOB_PARTING;
}

static struct job_list *list_of(struct domains *domains, const struct job *job)
{
	bool device = job->kind == JOB_CARRIERS || job->kind == JOB_RETRY || job->kind == JOB_SWEEP;
	return device ? &domains->device_jobs : &domains->jobs;
}

struct job *work_add(
	struct domains *domains, enum job_kind kind, struct domain *target, struct domain *walked)
{
	const struct timeval now = {0, 0};
	struct job wanted = {.kind = kind, .target = target, .walked = walked};
	uint16_t *asked = asked_of(domains, &wanted);

	if (asked != NULL && *asked & 1u << kind)
		return NULL;
	if (asked != NULL)
		*asked |= (uint16_t)(1u << kind);
	struct job *job = malloc(sizeof(*job));
	if (job == NULL)
		abort();
	*job = wanted;
	if (target != NULL)
		target->jobs++;
	if (walked != NULL)
		walked->jobs++;
	if (kind == JOB_REVIEW)
		walked->reviews++;
	if (decides(kind)) {
		domains->deciding++;
		domains->sync.records.settling = true;
	}
	if (kind == JOB_PATHS)
		TAILQ_INSERT_HEAD(&domains->jobs, job, queue);
	else
		TAILQ_INSERT_TAIL(list_of(domains, job), job, queue);
	event_add(domains->work, &now);
	return job;
}

void work_first(struct domains *domains, struct job *job)
{
	struct job_list *list = list_of(domains, job);

	TAILQ_REMOVE(list, job, queue);
	TAILQ_INSERT_HEAD(list, job, queue);
}

static void finish(struct domains *domains, struct job *job)
{
	struct domain *both[2] = {job->target, job->walked};

	TAILQ_REMOVE(list_of(domains, job), job, queue);
	if (job->kind == JOB_REVIEW)
		job->walked->reviews--;
	bool decided = decides(job->kind) && --domains->deciding == 0;
	free(job);
	for (unsigned int i = 0; i < 2; i++)
		if (both[i] != NULL) {
			both[i]->jobs--;
			domain_put(both[i]);
		}
	if (!decided)
		return;
	domains->sync.records.settling = false;
	dataplane_wake(domains->sync.dataplane);
	if (domains->sync.records.unswept > 0)
		work_add(domains, JOB_KNOWN, NULL, NULL);
}

// --- steps -----------------------------------------------------------------------------------------------

static void review(struct domain *domain, struct prefix *prefix)
{
	if (prefix_learned(prefix))
		judge(domain, prefix);
	decide_joined(domain, &prefix->route.key);
}

static void expire(struct domain *domain, struct prefix *prefix, bool all)
{
	const struct route_key key = prefix->route.key;

	if (!learned_expire(domain, prefix, all))
		return;
	if (!prefix_learned(prefix))
		limit_leave(domain, prefix);
	else
		judge(domain, prefix);
	decide_joined(domain, &key);
	prefix = prefix_find(domain, &key);
	if (prefix != NULL)
		prefix_drop(domain, prefix);
}

static void end(struct domain *domain, struct prefix *prefix)
{
	const struct route_key key = prefix->route.key;
	struct end *other;

	learned_expire(domain, prefix, true);
	limit_leave(domain, prefix);
	LIST_FOREACH (other, &domain->ends, entry)
		decide(other->peer->domain, &key);
	if (prefix->group != NULL)
		uninstall(domain, prefix);
	else
		prefix_drop(domain, prefix);
}

static void visit(struct job *job, struct prefix *prefix)
{
	switch (job->kind) {
	case JOB_REVIEW:
		review(job->walked, prefix);
		break;
	case JOB_DECIDE:
		decide(job->target, &prefix->route.key);
		break;
	case JOB_LIFE:
		expire(job->walked, prefix, false);
		break;
	default:
		end(job->walked, prefix);
	}
}

// True: the last prefix was visited.
static bool walk(struct job *job)
{
	for (unsigned int i = 0; i < STEP; i++) {
		struct prefix *prefix = prefix_next(job->walked, job->begun ? &job->cursor : NULL);
		if (prefix == NULL)
			return true;
		job->begun = true;
		job->cursor = prefix->route.key;
		visit(job, prefix);
	}
	return false;
}

static bool walk_domain(struct job *job)
{
	struct domain *domain = job->walked;
	bool ends = job->kind == JOB_END;

	if (ends != (domain->state == DOMAIN_GOING))
		return true; // it has ended meanwhile, or has a new life
	if (!walk(job))
		return false;
	if (job->kind == JOB_REVIEW) {
		give_places(domain, NULL);
		if (domain->state == DOMAIN_LIVE && domain->reviews == 1) // this one
			limit_settle(domain);
	}
	if (ends && domain->prefixes == 0)
		domain_ended(domain);
	return true;
}

static bool port_step(struct domains *domains, struct job *job)
{
	struct realised *realised =
		job->begun ? job->realised : LIST_FIRST(&domains->sync.port[job->port].interfaces);

	bool paths = job->kind == JOB_PATHS;
	job->begun = true;
	for (unsigned int i = 0; i < (paths ? STEP : 1) && realised != NULL; i++) {
		if (paths)
			interface_path(domains, realised);
		else
			interface_carrier(domains, realised);
		realised = LIST_NEXT(realised, of_port);
	}
	job->realised = realised;
	return realised == NULL;
}

static bool step(struct domains *domains, struct job *job)
{
	switch (job->kind) {
	case JOB_PATHS:
	case JOB_CARRIERS:
		return port_step(domains, job);
	case JOB_FILL:
		return fill_step(domains, job);
	case JOB_FRAGMENTS:
		return fragments_step(domains);
	case JOB_ANNOUNCE:
		announce(job->target);
		return true;
	case JOB_KNOWN:
		return known_step(domains, job);
	case JOB_RETRY:
		return retry_step(domains, job);
	case JOB_PARTING:
		return partings_step(domains);
	case JOB_SWEEP:
		return sweep_step(&domains->sync);
	case JOB_WAYS:
	case JOB_TUNNELS:
		return tunnels_step(domains, job);
	default:
		return walk_domain(job);
	}
}

static struct job *next_job(struct domains *domains, bool device)
{
	struct job *job = device ? TAILQ_FIRST(&domains->device_jobs) : NULL;

	if (job == NULL)
		job = TAILQ_FIRST(&domains->jobs);
	return job != NULL ? job : TAILQ_FIRST(&domains->device_jobs);
}

void work_now(struct domains *domains)
{
	const struct timeval now = {0, 0};
	uint64_t end_ns = clock_ns() + SLICE_NS;
	struct job *job;

	if (domains->running != NULL)
		return;
	health_step(domains);
	bool device = !TAILQ_EMPTY(&domains->device_jobs) && ++domains->passed_over > PASSED;
	while ((job = next_job(domains, device)) != NULL) {
		if (list_of(domains, job) == &domains->device_jobs)
			domains->passed_over = 0;
		domains->running = job;
		uint16_t *asked = asked_of(domains, job);
		if (asked != NULL)
			*asked &= (uint16_t) ~(1u << job->kind);
		turns_part(part_name[job->kind]);
		bool done = step(domains, job);
		domains->running = NULL;
		if (done)
			finish(domains, job);
		if (clock_ns() > end_ns)
			break;
	}
	if (next_job(domains, false) != NULL)
		event_add(domains->work, &now);
}

void work_free(struct domains *domains)
{
	struct job *job;

	while ((job = next_job(domains, false)) != NULL) {
		TAILQ_REMOVE(list_of(domains, job), job, queue);
		free(job);
	}
}

// An interface goes: whoever was to look at it next looks at the one behind it.
void work_skip(struct domains *domains, const struct realised *realised)
{
	struct job_list *const lists[] = {&domains->jobs, &domains->device_jobs};
	struct job *job;

	for (unsigned int i = 0; i < 2; i++)
		TAILQ_FOREACH (job, lists[i], queue)
			if (job->realised == realised)
				job->realised = LIST_NEXT(realised, of_port);
}
