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
// after each later END; a SET that names it takes it off the list. The routes of a doomed VRF go at
// once.

#include "dataplane/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/io/host.h"
#include "dataplane/marks.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/limits.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/vrf.h"

#define FREE_INTERFACES 16u // a sweep of so many needs no force
#define SHARE           10u // nor does one of a tenth

struct sweep {
	struct sweep *next;
	uint32_t scope;
	uint32_t vrf;
	bool force;
	bool broken; // no memory for a mark
	uint64_t arrived;
	struct marks marks;
};

struct list { // of marks
	struct mark *mark;
	size_t count;
	size_t room;
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

// Collects what a dump names and a sweep does not.
struct collector {
	const struct marks *keep; // NULL = nothing
	struct list list;
	uint16_t type;
	int err;
};

static int append(struct list *l, const struct mark *m)
{
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		struct mark *bigger = realloc(l->mark, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		l->mark = bigger;
		l->room = room;
	}
	l->mark[l->count++] = *m;
	return 0;
}

static int collect(struct collector *c, uint16_t type, const void *record)
{
	struct mark m = mark_of(type, record);

	if (c->keep && marks_have(c->keep, &m))
		return 0;
	c->err = append(&c->list, &m);
	return c->err;
}

#define COLLECT(name, TYPE)                                               \
	static int collect_##name(void *ctx, const struct wire_##name *r) \
	{                                                                 \
		return collect(ctx, WIRE_##TYPE##_SET, r);                \
	}
COLLECT(vrf, VRF)
COLLECT(interface, INTERFACE)
COLLECT(limiter, LIMITER)
COLLECT(local, LOCAL)
COLLECT(neighbor, NEIGHBOR)
COLLECT(path, PATH)
COLLECT(group, GROUP)
COLLECT(route, ROUTE)

// Everything of `type` (routes: of one VRF) that `keep` does not name. The caller frees the list.
static int unmarked(struct dataplane *dp, uint16_t type, uint32_t vrf, const struct marks *keep,
	struct list *list)
{
	struct collector c = {.keep = keep};

	switch (type) {
	case WIRE_VRF_SET:
		vrf_dump(dp, collect_vrf, &c);
		break;
	case WIRE_INTERFACE_SET:
		interface_dump(dp, collect_interface, &c);
		break;
	case WIRE_LIMITER_SET:
		limiter_dump(dp, collect_limiter, &c);
		break;
	case WIRE_LOCAL_SET:
		local_dump(dp, collect_local, &c);
		break;
	case WIRE_NEIGHBOR_SET:
		neighbor_dump(dp, collect_neighbor, &c);
		break;
	case WIRE_PATH_SET:
		path_dump(dp, collect_path, &c);
		break;
	case WIRE_GROUP_SET:
		group_dump(dp, collect_group, &c);
		break;
	case WIRE_ROUTE_SET:
		route_dump(dp, vrf, collect_route, &c);
		break;
	}
	if (c.err)
		free(c.list.mark);
	else
		*list = c.list;
	return c.err;
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
		if (!err && s->host)
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

// Deletes all of a list. What is in use goes to `doomed` when there is one.
static unsigned delete_all(struct sweeps *s, const struct list *list, struct list *doomed)
{
	unsigned deleted = 0;

	for (size_t i = 0; i < list->count; i++) {
		int err = delete (s, &list->mark[i]);

		if (!err)
			deleted++;
		else if (doomed && err != -ENOENT)
			append(doomed, &list->mark[i]);
	}
	return deleted;
}

static unsigned sweep_type(struct sweeps *s, uint16_t type, uint32_t vrf, const struct marks *keep,
	struct list *doomed)
{
	struct list list = {0};
	unsigned deleted;

	if (unmarked(s->dp, type, vrf, keep, &list))
		return 0;
	deleted = delete_all(s, &list, doomed);
	free(list.mark);
	return deleted;
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

static void drop(struct sweep **at)
{
	struct sweep *w = *at;

	*at = w->next;
	marks_clear(&w->marks);
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
	if (!w)
		return -ENOMEM;
	at = find(s, b->scope, b->vrf);
	if (*at)
		drop(at);
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
		if (!memcmp(&doomed->mark[i], m, sizeof(*m))) {
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
	struct sweep *w;

	if (!scope)
		return;
	if (s->doomed.count)
		reprieve(&s->doomed, &m);
	w = *find(s, scope, scope == WIRE_SCOPE_ROUTES ? m.id : 0);
	if (!w)
		return;
	w->arrived++;
	if (marks_add(&w->marks, &m))
		w->broken = true;
}

static int sweep_configuration(struct sweeps *s, struct sweep *w, unsigned *deleted)
{
	uint32_t interfaces = interface_count(s->dp);
	struct list gone = {0}, vrfs = {0};
	size_t lost;

	if (unmarked(s->dp, WIRE_INTERFACE_SET, 0, &w->marks, &gone))
		return -ENOMEM;
	lost = gone.count;
	free(gone.mark);
	if (!w->force && lost > FREE_INTERFACES && lost * SHARE > interfaces)
		return -EPERM;
	if (unmarked(s->dp, WIRE_VRF_SET, 0, &w->marks, &vrfs))
		return -ENOMEM;
	for (size_t i = 0; i < vrfs.count; i++)
		*deleted += sweep_type(s, WIRE_ROUTE_SET, vrfs.mark[i].id, NULL, NULL);
	free(vrfs.mark);
	*deleted += sweep_type(s, WIRE_LOCAL_SET, 0, &w->marks, &s->doomed);
	*deleted += sweep_type(s, WIRE_INTERFACE_SET, 0, &w->marks, &s->doomed);
	*deleted += sweep_type(s, WIRE_LIMITER_SET, 0, &w->marks, &s->doomed);
	*deleted += sweep_type(s, WIRE_VRF_SET, 0, &w->marks, &s->doomed);
	stats_sweep(s->dp->stats, STATS_INTERFACE); // counters of objects of an earlier run
	stats_sweep(s->dp->stats, STATS_LIMITER);
	return 0;
}

static unsigned sweep_nexthops(struct sweeps *s, struct sweep *w)
{
	unsigned deleted = 0;

	for (uint16_t type = WIRE_GROUP_SET; type >= WIRE_NEIGHBOR_SET; type -= 2)
		deleted += sweep_type(s, type, 0, &w->marks, NULL);
	stats_sweep(s->dp->stats, STATS_ACCOUNT); // that no path of this run names
	return deleted;
}

int sweeps_end(struct sweeps *s, const struct wire_end *e, unsigned *deleted)
{
	struct sweep **at = find(s, e->scope, e->vrf), *w = *at;
	int err = 0;

	*deleted = 0;
	if (!w)
		return -ENOENT;
	if (w->broken)
		err = -ENOMEM;
	else if (w->arrived != e->count)
		err = -EBADMSG;
	else if (w->scope == WIRE_SCOPE_CONFIGURATION)
		err = sweep_configuration(s, w, deleted);
	else if (w->scope == WIRE_SCOPE_ROUTES)
		*deleted = sweep_type(s, WIRE_ROUTE_SET, w->vrf, &w->marks, NULL);
	else
		*deleted = sweep_nexthops(s, w);
	drop(find(s, e->scope, e->vrf));
	if (!err)
		*deleted += sweeps_retry(s);
	return err;
}

unsigned sweeps_retry(struct sweeps *s)
{
	struct list doomed = s->doomed;
	unsigned deleted;

	if (!doomed.count)
		return 0;
	s->doomed = (struct list){0};
	deleted = delete_all(s, &doomed, &s->doomed);
	free(doomed.mark);
	return deleted;
}

void sweeps_abandon(struct sweeps *s)
{
	while (s->open)
		drop(&s->open);
}

// --- who may ---

bool sweeps_trusted(const struct sweeps *s, const uint8_t store[16], uint64_t revision)
{
	return !s->configured || (!memcmp(store, s->store, 16) && revision >= s->revision);
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

	if (!s)
		return -ENOMEM;
	s->dp = dp;
	s->host = host;
	*sweeps = s;
	return 0;
}

void sweeps_destroy(struct sweeps *s)
{
	if (!s)
		return;
	sweeps_abandon(s);
	free(s->doomed.mark);
	free(s);
}
