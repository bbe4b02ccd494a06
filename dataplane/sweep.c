// SPDX-License-Identifier: BSD-3-Clause
// Sweeps: after a replay, what the controller did not name is deleted.
//
// A sweep is the one message that can take a whole network down, so it is hedged: it belongs to a
// store and a revision (a foreign or older one is refused), it counts its records (one lost in
// between and nothing is swept), it does not take more than 10 % and more than 16 of the
// interfaces, and all of that only yields to an explicit force. A record that was refused still
// names its object, so the old one stays.
//
// Deletion needs order: an interface that a path uses cannot go. Configuration is swept before
// routes and next hops are, so what is still in use then is remembered as doomed and tried again
// at each later END of configuration or next hops; a SET that names it takes it off the list. The
// routes of a doomed VRF go at once.
//
// An END may have a million objects to look at, so it is done in slices (tables/walk.h); nothing
// else of the controller's is applied until it is done.

#include "dataplane/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/io/host.h"
#include "dataplane/marks.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/tables/walk.h"

#define FREE_INTERFACES 16u // a sweep of so many needs no force
#define VRFS_PER_SLICE  64u
#define SHARE           10u // nor does one of a tenth

struct list { // of marks
	struct mark *mark;
	size_t count;
	size_t room;
};

struct sweep {
	struct sweep *next;
	uint32_t scope;
	uint32_t vrf;
	bool force;
	bool broken; // no memory for a mark
	uint64_t arrived;
	struct marks marks;
	// From END on:
	const struct step *step;
	struct walk walk;
	size_t lost;      // interfaces
	size_t tried;     // of the doomed
	size_t kept;      // of those
	struct list vrfs; // that go: their routes go first
	size_t vrfs_done;
	unsigned deleted;
};

struct sweeps {
	struct dataplane *dp;
	struct host *host;
	uint8_t store[16];
	uint64_t revision;
	bool configured;
	struct sweep *open;
	struct list doomed;
};

static int append(struct list *l, const struct mark *m)
{
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		struct mark *bigger = realloc(l->mark, room * sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		l->mark = bigger;
		l->room = room;
	}
	l->mark[l->count++] = *m;
	return 0;
}

static int delete (struct sweeps *s, const struct mark *m)
{
	struct wire_local local = {.vrf = m->id, .family = m->family};
	struct wire_route route = {.vrf = m->id, .family = m->family, .len = m->len};
	uint32_t slot;
	int err;

	memcpy(local.addr, m->addr, sizeof(local.addr));
	memcpy(route.addr, m->addr, sizeof(route.addr));
	switch (m->type) {
	case WIRE_VRF_SET:
		return vrf_delete(s->dp, m->id);
	case WIRE_INTERFACE_SET:
		slot = interface_find(s->dp, m->id);
		err = interface_delete(s->dp, m->id);
		if (err == 0 && s->host)
			host_unset(s->host, slot);
		return err;
	case WIRE_LIMITER_SET:
		return limiter_delete(s->dp, m->id);
	case WIRE_LOCAL_SET:
		return local_delete(s->dp, &local);
	case WIRE_NEIGHBOR_SET:
		return neighbor_delete(s->dp, m->id);
	case WIRE_PATH_SET:
		return path_delete(s->dp, m->id);
	case WIRE_GROUP_SET:
		return group_delete(s->dp, m->id);
	default:
		return route_delete(s->dp, &route);
	}
}

// --- what an END does, in slices ---

// Steps of a sweep. Each is a walk over the objects of one type, of which those without a mark are
// counted (and the sweep is given up if they are too many), noted, or deleted.
enum what { COUNT, NOTE_VRFS, DELETE_THEIR_ROUTES, DELETE_ROUTES, DELETE, RETRY, LAST };

struct step {
	enum what what;
	uint16_t type;
};

static const struct step configuration_steps[] = {
	{COUNT, WIRE_INTERFACE_SET},
	{NOTE_VRFS, WIRE_VRF_SET},
	{DELETE_THEIR_ROUTES, WIRE_ROUTE_SET},
	{DELETE, WIRE_LOCAL_SET},
	{DELETE, WIRE_INTERFACE_SET},
	{DELETE, WIRE_LIMITER_SET},
	{DELETE, WIRE_VRF_SET},
	{RETRY, WIRE_VRF_SET},
	{LAST, 0},
};

static const struct step route_steps[] = {{DELETE_ROUTES, WIRE_ROUTE_SET}, {LAST, 0}};

static const struct step nexthop_steps[] = {
	{DELETE, WIRE_GROUP_SET},
	{DELETE, WIRE_PATH_SET},
	{DELETE, WIRE_NEIGHBOR_SET},
	{RETRY, WIRE_VRF_SET},
	{LAST, 0},
};

// One slice of one step.
struct slice {
	struct sweeps *sweeps;
	struct sweep *sweep;
	struct list list; // of routes, which cannot be deleted while they are walked
	bool doom;        // what is in use now goes later
};

static int visit(void *ctx, const void *record)
{
	struct slice *x = ctx;
	struct sweep *w = x->sweep;
	struct mark m = mark_of(w->step->type, record);
	int err;

	if (w->step->what != DELETE_THEIR_ROUTES && marks_have(&w->marks, &m))
		return 0;
	switch (w->step->what) {
	case COUNT:
		w->lost++;
		return 0;
	case NOTE_VRFS:
		return append(&w->vrfs, &m);
	case DELETE:
		err = delete (x->sweeps, &m);
		w->deleted += err == 0;
		return err && err != -ENOENT && x->doom ? append(&x->sweeps->doomed, &m) : 0;
	default:
		return append(&x->list, &m);
	}
}

static void delete_listed(struct slice *x)
{
	for (size_t i = 0; i < x->list.count; i++)
		x->sweep->deleted += delete (x->sweeps, &x->list.mark[i]) == 0;
	free(x->list.mark);
	x->list = (struct list){0};
}

// Swept objects that were still in use are tried again, `budget` of them; those that still are move
// together at the list's front.
static bool retry(struct sweeps *s, struct sweep *w, unsigned budget)
{
	struct list *l = &s->doomed;

	for (; budget > 0 && w->tried < l->count; budget--) {
		struct mark m = l->mark[w->tried++];
		int err = delete (s, &m);

		w->deleted += err == 0;
		if (err && err != -ENOENT)
			l->mark[w->kept++] = m;
	}
	return w->tried == l->count;
}

// Also in the middle of it: no mark may stand in the list twice.
static void end_retry(struct sweeps *s, struct sweep *w)
{
	struct list *l = &s->doomed;

	if (w->tried == w->kept)
		return;
	memmove(&l->mark[w->kept], &l->mark[w->tried], (l->count - w->tried) * sizeof(*l->mark));
	l->count -= w->tried - w->kept;
}

static void start_step(struct sweep *w)
{
	const struct step *step = w->step;
	uint32_t vrf = w->vrf;

	if (step->what == DELETE_THEIR_ROUTES)
		vrf = w->vrfs_done < w->vrfs.count ? w->vrfs.mark[w->vrfs_done].id : UINT32_MAX;
	walk_start(&w->walk, step->type, step->type == WIRE_ROUTE_SET ? vrf : 0);
}

// Of the VRFs that go, one after the other: with few routes several of them in a slice.
static int delete_their_routes(struct slice *x, unsigned budget)
{
	struct sweep *w = x->sweep;

	for (unsigned i = 0; i < VRFS_PER_SLICE && w->vrfs_done < w->vrfs.count; i++) {
		int done = walk_slice(x->sweeps->dp, &w->walk, budget, visit, x);

		budget -= x->list.count;
		delete_listed(x);
		if (done != 1 || budget == 0)
			return done < 0 ? done : 0;
		w->vrfs_done++;
		start_step(w);
	}
	return w->vrfs_done == w->vrfs.count;
}

// 1 = the step is done, 0 = it is not, or what it found.
static int step_slice(struct sweeps *s, struct sweep *w, unsigned budget)
{
	struct slice x = {.sweeps = s, .sweep = w, .doom = w->scope == WIRE_SCOPE_CONFIGURATION};
	int done;

	if (w->step->what == RETRY)
		return retry(s, w, budget);
	if (w->step->what == DELETE_THEIR_ROUTES)
		return delete_their_routes(&x, budget);
	done = walk_slice(s->dp, &w->walk, budget, visit, &x);
	delete_listed(&x);
	if (done == 1 && w->step->what == COUNT && !w->force && w->lost > FREE_INTERFACES &&
		w->lost * SHARE > interface_count(s->dp))
		return -EPERM;
	return done;
}

// --- open sweeps ---

static uint32_t scope_of(uint16_t type)
{
	switch (type) {
	case WIRE_VRF_SET:
	case WIRE_INTERFACE_SET:
	case WIRE_INTERFACE_EXCHANGE:
	case WIRE_LIMITER_SET:
	case WIRE_LOCAL_SET:
		return WIRE_SCOPE_CONFIGURATION;
	case WIRE_ROUTE_SET:
		return WIRE_SCOPE_ROUTES;
	case WIRE_NEIGHBOR_SET:
	case WIRE_PATH_SET:
	case WIRE_GROUP_SET:
		return WIRE_SCOPE_NEXTHOPS;
	default:
		return 0;
	}
}

static struct sweep **find(struct sweeps *s, uint32_t scope, uint32_t vrf)
{
	struct sweep **at = &s->open;

	while (*at && ((*at)->scope != scope || (*at)->vrf != vrf))
		at = &(*at)->next;
	return at;
}

static void drop(struct sweeps *s, struct sweep **at)
{
	struct sweep *w = *at;

	end_retry(s, w);
	*at = w->next;
	marks_clear(&w->marks);
	free(w->vrfs.mark);
	free(w);
}

int sweeps_begin(struct sweeps *s, const struct wire_begin *b)
{
	struct sweep **at, *w;

	if (b->scope < WIRE_SCOPE_CONFIGURATION || b->scope > WIRE_SCOPE_NEXTHOPS ||
		(b->scope == WIRE_SCOPE_ROUTES) != (b->vrf != 0) || b->flags & ~WIRE_FORCE)
		return -EINVAL;
	if (!(b->flags & WIRE_FORCE) && !sweeps_trusted(s, b->store, b->revision))
		return -ESTALE;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	at = find(s, b->scope, b->vrf);
	if (*at)
		drop(s, at);
	w->scope = b->scope;
	w->vrf = b->vrf;
	w->force = b->flags & WIRE_FORCE;
	w->next = s->open;
	s->open = w;
	memcpy(s->store, b->store, sizeof(s->store));
	s->revision = b->revision;
	s->configured = true;
	return 0;
}

static void reprieve(struct list *doomed, const struct mark *m)
{
	for (size_t i = 0; i < doomed->count; i++)
		if (memcmp(&doomed->mark[i], m, sizeof(*m)) == 0) {
			memmove(&doomed->mark[i], &doomed->mark[i + 1],
				(doomed->count - i - 1) * sizeof(*m));
			doomed->count--;
			return;
		}
}

void sweeps_note(struct sweeps *s, uint16_t type, const void *record)
{
	uint32_t scope = scope_of(type);
	struct mark m = mark_of(type, record);
	struct sweep **at, *w;

	if (!scope)
		return;
	if (s->doomed.count)
		reprieve(&s->doomed, &m);
	at = find(s, scope, scope == WIRE_SCOPE_ROUTES ? m.id : 0);
	w = *at;
	if (w == NULL)
		return;
	*at = w->next; // to the front: what comes next is mostly of the same
	w->next = s->open;
	s->open = w;
	w->arrived++;
	if (marks_add(&w->marks, &m))
		w->broken = true;
}

static int start_end(struct sweep *w, const struct wire_end *e)
{
	if (w->broken)
		return -ENOMEM;
	if (w->arrived != e->count)
		return -EBADMSG;
	w->step = w->scope == WIRE_SCOPE_CONFIGURATION ? configuration_steps
		  : w->scope == WIRE_SCOPE_ROUTES      ? route_steps
						       : nexthop_steps;
	start_step(w);
	return 0;
}

// Counters of objects of an earlier run that nobody named in this one.
static void sweep_counters(struct stats_segment *stats, uint32_t scope)
{
	if (scope == WIRE_SCOPE_CONFIGURATION) {
		stats_sweep(stats, STATS_INTERFACE);
		stats_sweep(stats, STATS_LIMITER);
	} else if (scope == WIRE_SCOPE_NEXTHOPS) {
		stats_sweep(stats, STATS_ACCOUNT);
	}
}

int sweeps_end(struct sweeps *s, const struct wire_end *e, unsigned budget, unsigned *deleted)
{
	struct sweep **at = find(s, e->scope, e->vrf), *w = *at;
	int err = 0;

	*deleted = 0;
	if (w == NULL)
		return -ENOENT;
	if (w->step == NULL)
		err = start_end(w, e);
	if (err == 0 && w->step->what != LAST)
		err = step_slice(s, w, budget);
	if (err == 1) {
		w->step++;
		if (w->step->what != LAST)
			start_step(w);
		err = 0;
	}
	if (err == 0 && w->step->what != LAST)
		return SWEEPS_MORE;
	if (err == 0)
		sweep_counters(s->dp->stats, w->scope);
	*deleted = w->deleted;
	drop(s, find(s, e->scope, e->vrf));
	return err;
}

void sweeps_abandon(struct sweeps *s)
{
	while (s->open)
		drop(s, &s->open);
}

// --- who may ---

bool sweeps_trusted(const struct sweeps *s, const uint8_t store[16], uint64_t revision)
{
	return !s->configured || (memcmp(store, s->store, 16) == 0 && revision >= s->revision);
}

void sweeps_follow(struct sweeps *s, const uint8_t store[16], uint64_t revision)
{
	if (s->configured && sweeps_trusted(s, store, revision))
		s->revision = revision;
}

const uint8_t *sweeps_store(const struct sweeps *s)
{
	return s->store;
}

uint64_t sweeps_revision(const struct sweeps *s)
{
	return s->revision;
}

int sweeps_create(struct dataplane *dp, struct host *host, struct sweeps **sweeps)
{
	struct sweeps *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->dp = dp;
	s->host = host;
	*sweeps = s;
	return 0;
}

void sweeps_destroy(struct sweeps *s)
{
	if (s == NULL)
		return;
	sweeps_abandon(s);
	free(s->doomed.mark);
	free(s);
}
