// SPDX-License-Identifier: BSD-3-Clause
// From what the kernel mirror says to routes in the data plane, prefix by prefix.
//
// Learned routes are kept per domain as they come, refused ones too, so that a change of the rules needs no
// question to the kernel. A change of one prefix in a peering's domain touches that prefix there and in the
// domains of the vNets it is connected to: each is decided anew from its candidates (precedence.c), the
// winners' next hops are interned (groups.c), and what is different is written to the ledger. A change of
// configuration decides every known prefix of every domain again; nothing is written where the answer is
// the same. How many prefixes of a peering get that far is limit.c's.

#include "control/base/clock.h"
#include "control/sync/state.h"

#include <stdlib.h>
#include <string.h>

#define FILL_NS \
	3000000000u // a first dump may take so long before what is known so far is better than nothing
#define RESTART_NS 120000000000u // a speaker's restart: what its domain brought stays for so long

// --- what may come in ----------------------------------------------------------------------------------

const struct desired_interface *attachment_to(
	const struct sync *sync, uint32_t domain, const struct ip_address *remote)
{
	const struct desired_domain *peering = desired_domain(sync->desired, domain);

	for (unsigned int i = 0; peering != NULL && i < peering->attachments; i++) {
		const struct desired_interface *interface =
			desired_interface(sync->desired, peering->attachment[i]);
		if (ip_address_compare(&interface->remote, remote) == 0)
			return interface;
	}
	return NULL;
}

static const struct bridge_reject wrong_nexthop = {
	.rule = "next-hop", .object = "its next hop is not the customer's router"};
static const struct bridge_reject no_nexthop = {.rule = "blackhole", .object = "it leads nowhere"};

const struct bridge_reject *routes_reject(
	const struct sync *sync, const struct desired_domain *domain, const struct learned *learned)
{
	struct ip_prefix prefix = prefix_of_key(&learned->key);
	const struct bridge_reject *rule =
		precedence_reject(domain->rejects.item, domain->rejects.count, &prefix);

	if (rule != NULL)
		return rule;
	for (const struct learned_route *route = learned->routes; route != NULL;
		route = route->next) {
		if (route->blackhole)
			rule = &no_nexthop;
		for (unsigned int i = 0; i < route->count; i++) {
			if (attachment_to(sync, domain->id, &route->hop[i].via) != NULL)
				return NULL;
			rule = &wrong_nexthop;
		}
	}
	return rule;
}

// --- one prefix of one domain --------------------------------------------------------------------------

static void add_candidate(struct candidates *all, const struct candidate *candidate)
{
	if (all->count == all->room) {
		all->room = all->room == 0 ? 64 : 2 * all->room;
		all->item = reallocarray(all->item, all->room, sizeof(*all->item));
		if (all->item == NULL)
			abort();
	}
	all->item[all->count++] = *candidate;
}

static bool has_prefix(const struct desired_domain *vnet, const struct prefix_key *key)
{
	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		struct prefix_key own = prefix_key_of(&vnet->prefixes.item[i]);
		if (memcmp(&own, key, sizeof(own)) == 0)
			return true;
	}
	return false;
}

static void add_learned(const struct sync *sync, const struct desired_domain *from,
	const struct prefix_key *key, enum origin origin, uint16_t weight, struct candidates *all)
{
	const struct domain *domain = table_find(&sync->domains, &from->id);
	const struct learned *learned = domain != NULL ? table_find(&domain->learned, key) : NULL;

	if (learned == NULL || learned->place != PLACE_TAKEN)
		return;
	for (const struct learned_route *route = learned->routes; route != NULL;
		route = route->next) {
		for (unsigned int i = 0; i < route->count; i++) {
			const struct desired_interface *out =
				attachment_to(sync, from->id, &route->hop[i].via);
			if (out == NULL)
				continue;
			unsigned int share = (unsigned int)weight * route->hop[i].weight;
			add_candidate(all, &(struct candidate){
						   .origin = origin,
						   .domain = from->id,
						   .metric = route->metric,
						   .interface = out->id,
						   .via = route->hop[i].via,
						   .weight = (uint16_t)(share > 256 ? 256 : share),
					   });
		}
	}
}

// The customer's router itself: what it sends in its own name must have a way back.
static void add_connected(const struct sync *sync, const struct desired_domain *domain,
	const struct prefix_key *key, struct candidates *all)
{
	struct ip_prefix prefix = prefix_of_key(key);

	if (prefix.len != ip_bits(prefix.address.family))
		return;
	const struct desired_interface *out = attachment_to(sync, domain->id, &prefix.address);
	if (out != NULL)
		add_candidate(all, &(struct candidate){
					   .origin = ORIGIN_CONNECTED,
					   .domain = domain->id,
					   .interface = out->id,
					   .via = prefix.address,
					   .weight = 1,
				   });
}

static void collect(const struct sync *sync, const struct desired_domain *domain,
	const struct prefix_key *key, struct candidates *all)
{
	if (domain->kind == DOMAIN_PEERING) {
		add_connected(sync, domain, key, all);
		add_learned(sync, domain, key, ORIGIN_BGP, 1, all);
	} else if (domain->kind == DOMAIN_VNET && has_prefix(domain, key)) {
		add_candidate(all, &(struct candidate){.origin = ORIGIN_VNET,
					   .domain = domain->id,
					   .interface = domain->tunnel,
					   .weight = 1});
	}
	for (unsigned int i = 0; i < domain->joins.count; i++) {
		const struct join *join = &domain->joins.item[i];
		const struct desired_domain *other = desired_domain(sync->desired, join->domain);
		if (other->kind == DOMAIN_PEERING)
			add_learned(sync, other, key, ORIGIN_JOINED, join->weight, all);
		else if (has_prefix(other, key))
			add_candidate(all, &(struct candidate){.origin = ORIGIN_CONNECTION,
						   .domain = other->id,
						   .interface = other->tunnel,
						   .weight = 1});
	}
}

static void uninstall(struct sync *sync, struct domain *domain, struct installed *installed)
{
	struct wire_route route = {
		.vrf = domain->id, .family = installed->key.family, .len = installed->key.len};
	memcpy(route.addr, installed->key.addr, sizeof(route.addr));
	struct record *record = record_find(&sync->records, WIRE_ROUTE_SET, &route);
	if (record != NULL && record->wanted)
		record_unwant(&sync->records, record);
	table_remove(&domain->installed, installed);
	group_put(&sync->hops, installed->group);
	domain->crowded -= installed->crowded;
	free(installed);
}

static void install(struct sync *sync, struct domain *domain, const struct prefix_key *key,
	const struct candidates *winners)
{
	struct hop hop[WIRE_GROUP_PATHS];
	unsigned int count = winners->count < WIRE_GROUP_PATHS ? winners->count : WIRE_GROUP_PATHS;

	for (unsigned int i = 0; i < count; i++) {
		const struct candidate *winner = &winners->item[i];
		hop[i].interface = winner->interface;
		hop[i].via = winner->via.family != 0 ? &winner->via : NULL;
		hop[i].weight = winner->weight;
	}
	struct group *group = group_get(&sync->hops, hop, count);
	struct installed *installed = table_find(&domain->installed, key);
	if (installed == NULL) {
		installed = calloc(1, sizeof(*installed));
		if (installed == NULL)
			abort();
		installed->key = *key;
		table_add(&domain->installed, installed);
	}
	struct wire_route route = {
		.vrf = domain->id,
		.group = group->id,
		.family = key->family,
		.len = key->len,
		.origin = (uint8_t)winners->item[0].origin,
	};
	memcpy(route.addr, key->addr, sizeof(route.addr));
	record_want(&sync->records, WIRE_ROUTE_SET, RANK_ROUTE, &route);
	group_put(&sync->hops, installed->group); // after the route has left it
	installed->group = group;
	installed->origin = winners->item[0].origin;
	installed->from = winners->item[0].domain;
	domain->crowded -= installed->crowded;
	installed->crowded = winners->count > count;
	domain->crowded += installed->crowded;
}

static void decide(
	struct sync *sync, const struct desired_domain *wanted, const struct prefix_key *key)
{
	struct domain *domain = sync_domain(sync, wanted->id);
	struct candidates *all = &sync->candidates;

	all->count = 0;
	collect(sync, wanted, key, all);
	all->count = precedence_choose(all->item, all->count);
	if (all->count > 0) {
		install(sync, domain, key, all);
		return;
	}
	struct installed *installed = table_find(&domain->installed, key);
	if (installed != NULL)
		uninstall(sync, domain, installed);
}

// A peering's prefix, there and in the vNets.
static void decide_joined(
	struct sync *sync, const struct desired_domain *domain, const struct prefix_key *key)
{
	decide(sync, domain, key);
	for (unsigned int i = 0; i < domain->joins.count; i++)
		decide(sync, desired_domain(sync->desired, domain->joins.item[i].domain), key);
}

// `except` is decided by the caller.
static void give_places(struct sync *sync, const struct desired_domain *domain,
	struct domain *state, const struct learned *except)
{
	const struct learned *next;

	while ((next = limit_next(state, limit_of(sync, domain))) != NULL)
		if (next != except)
			decide_joined(sync, domain, &next->key);
}

void routes_learned(struct sync *sync, uint32_t id, const struct bridge_route *route, bool present)
{
	const struct desired_domain *domain;
	struct prefix_key key = prefix_key_of(&route->prefix);

	struct domain *state = table_find(&sync->domains, &id);
	if (state == NULL)
		return; // of a domain that is no longer
	struct learned *learned = learned_update(state, route, present);
	if (!sync->ready || sync->desired == NULL)
		return;
	domain = desired_domain(sync->desired, id);
	if (domain == NULL || domain->kind != DOMAIN_PEERING)
		return;
	if (learned != NULL)
		limit_judge(state, learned, routes_reject(sync, domain, learned) == NULL);
	give_places(sync, domain, state, learned);
	decide_joined(sync, domain, &key);
}

struct settling {
	struct sync *sync;
	const struct desired_domain *domain;
	struct domain *state;
};

// An earlier life's routes went, some or all of this prefix.
static void on_swept(void *ctx, const struct prefix_key *key, struct learned *left)
{
	const struct settling *s = ctx;

	if (!s->sync->ready || s->domain == NULL)
		return;
	if (left != NULL)
		limit_judge(s->state, left, routes_reject(s->sync, s->domain, left) == NULL);
	decide_joined(s->sync, s->domain, key);
}

void routes_settle(struct sync *sync, uint32_t id)
{
	struct domain *state = table_find(&sync->domains, &id);
	const struct desired_domain *domain =
		sync->desired != NULL ? desired_domain(sync->desired, id) : NULL;
	struct settling settling = {sync, domain, state};

	if (state == NULL)
		return;
	state->synced = true;
	learned_sweep(state, on_swept, &settling);
	if (sync->ready && domain != NULL) {
		limit_settle(state);
		give_places(sync, domain, state, NULL);
	}
	routes_synced(sync);
}

// --- all prefixes of all domains -----------------------------------------------------------------------

struct walk {
	struct sync *sync;
	const struct desired_domain *domain;
};

static void decide_learned(void *ctx, void *entry)
{
	struct walk *walk = ctx;
	decide(walk->sync, walk->domain, &((struct learned *)entry)->key);
}

static void decide_installed(void *ctx, void *entry)
{
	struct walk *walk = ctx;
	struct prefix_key key = ((struct installed *)entry)->key;
	decide(walk->sync, walk->domain, &key); // may take this entry out, adds none
}

static void decide_learned_of(struct walk *walk, uint32_t id)
{
	const struct domain *source = table_find(&walk->sync->domains, &id);
	if (source != NULL)
		table_each(&source->learned, decide_learned, walk);
}

static void decide_own(
	struct sync *sync, const struct desired_domain *to, const struct desired_domain *vnet)
{
	for (unsigned int i = 0; i < vnet->prefixes.count; i++) {
		struct prefix_key key = prefix_key_of(&vnet->prefixes.item[i]);
		decide(sync, to, &key);
	}
}

static void apply_domain(struct sync *sync, const struct desired_domain *wanted)
{
	struct walk walk = {sync, wanted};

	table_each(&sync_domain(sync, wanted->id)->installed, decide_installed, &walk);
	decide_learned_of(&walk, wanted->id);
	decide_own(sync, wanted, wanted);
	for (unsigned int i = 0; i < wanted->joins.count; i++) {
		const struct desired_domain *other =
			desired_domain(sync->desired, wanted->joins.item[i].domain);
		decide_own(sync, wanted, other);
		decide_learned_of(&walk, other->id);
	}
}

static void remove_installed(void *ctx, void *entry)
{
	struct settling *s = ctx;
	uninstall(s->sync, s->state, entry);
}

void routes_end(struct sync *sync, struct domain *domain)
{
	struct settling ending = {.sync = sync, .state = domain};

	table_each(&domain->installed, remove_installed, &ending);
	records_vrf_gone(&sync->records, table_find(&sync->records.vrfs, &domain->id));
	table_remove(&sync->domains, domain);
	routes_forget(domain);
	free(domain);
}

static void remove_stale(void *ctx, void *entry)
{
	struct domain *domain = entry;

	if (desired_domain(((struct sync *)ctx)->desired, domain->id) == NULL)
		routes_end(ctx, domain);
}

static void apply_attachments(struct sync *sync, const struct desired_domain *domain)
{
	for (unsigned int i = 0; i < domain->attachments; i++) {
		const struct desired_interface *interface =
			desired_interface(sync->desired, domain->attachment[i]);
		struct ip_prefix prefix =
			ip_prefix_of(&interface->remote, ip_bits(interface->remote.family));
		struct prefix_key key = prefix_key_of(&prefix);
		decide(sync, domain, &key);
	}
}

// Whether all that routes of a domain depend on is as before, the domains it is joined to apart.
static bool domain_equal(const struct desired *old, const struct desired_domain *a,
	const struct desired *new, const struct desired_domain *b)
{
	if (a->kind != b->kind || strcmp(a->name, b->name) != 0 || a->tunnel != b->tunnel ||
		a->attachments != b->attachments || a->joins.count != b->joins.count ||
		a->prefixes.count != b->prefixes.count || !desired_rejects_equal(a, b))
		return false;
	for (unsigned int i = 0; i < a->attachments; i++)
		if (a->attachment[i] != b->attachment[i] ||
			ip_address_compare(&desired_interface(old, a->attachment[i])->remote,
				&desired_interface(new, b->attachment[i])->remote) != 0)
			return false;
	for (unsigned int i = 0; i < a->joins.count; i++)
		if (a->joins.item[i].domain != b->joins.item[i].domain ||
			a->joins.item[i].weight != b->joins.item[i].weight)
			return false;
	for (unsigned int i = 0; i < a->prefixes.count; i++)
		if (ip_prefix_compare(&a->prefixes.item[i], &b->prefixes.item[i]) != 0)
			return false;
	return true;
}

static bool unchanged(const struct sync *sync, const struct desired *old, uint32_t id)
{
	const struct desired_domain *was = old != NULL ? desired_domain(old, id) : NULL;
	return was != NULL &&
	       domain_equal(old, was, sync->desired, desired_domain(sync->desired, id));
}

static bool needs_work(
	const struct sync *sync, const struct desired *old, const struct desired_domain *domain)
{
	bool same = unchanged(sync, old, domain->id);

	for (unsigned int i = 0; i < domain->joins.count && same; i++)
		same = unchanged(sync, old, domain->joins.item[i].domain);
	return !same;
}

static void judge_learned(void *ctx, void *entry)
{
	struct walk *walk = ctx;
	struct learned *learned = entry;
	limit_judge(table_find(&walk->sync->domains, &walk->domain->id), learned,
		routes_reject(walk->sync, walk->domain, learned) == NULL);
}

// Which of the peering's prefixes have a place, by the rules as they are now.
static void judge_domain(struct sync *sync, const struct desired_domain *domain)
{
	struct domain *state = sync_domain(sync, domain->id);
	struct walk walk = {sync, domain};

	table_each(&state->learned, judge_learned, &walk);
	while (limit_next(state, limit_of(sync, domain)) != NULL)
		;
	if (state->synced)
		limit_settle(state);
}

void routes_apply(struct sync *sync, const struct desired *old)
{
	if (!sync->ready)
		return;
	table_each(&sync->domains, remove_stale, sync);
	routes_synced(sync); // first: what is known is sent by its sweep, once
	for (unsigned int i = 0; i < sync->desired->domains.count; i++) {
		const struct desired_domain *domain = &sync->desired->domains.item[i];
		if (domain->kind == DOMAIN_PEERING && !unchanged(sync, old, domain->id))
			judge_domain(sync, domain);
	}
	for (unsigned int i = 0; i < sync->desired->domains.count; i++) {
		const struct desired_domain *domain = &sync->desired->domains.item[i];
		if (domain->kind == DOMAIN_UNDERLAY || !needs_work(sync, old, domain))
			continue;
		apply_domain(sync, domain);
		apply_attachments(sync, domain);
	}
}

// --- what is known -------------------------------------------------------------------------------------

// A session that is down brings nothing; of one that was never heard of nothing is known.
static bool sessions_down(const struct sync *sync, const struct desired_domain *domain)
{
	unsigned int heard = 0;

	for (unsigned int i = 0; i < domain->attachments; i++) {
		const struct realised *realised =
			table_find(&sync->realised, &domain->attachment[i]);
		if (realised == NULL || !realised->heard)
			continue;
		if (strcmp(realised->session.state, "established") == 0)
			return false;
		heard++;
	}
	return heard > 0 && heard == domain->attachments;
}

enum source routes_source(const struct sync *sync, const struct desired_domain *domain)
{
	const struct domain *state = table_find(&sync->domains, &domain->id);

	if (domain->kind != DOMAIN_PEERING)
		return SOURCE_LIVE;
	if (state == NULL)
		return SOURCE_WAITING;
	if (state->synced)
		return SOURCE_LIVE;
	uint64_t waited = clock_ns() - state->waiting;
	if (waited >= RESTART_NS || sessions_down(sync, domain))
		return SOURCE_EMPTY;
	return state->realised && waited < FILL_NS ? SOURCE_FILLING : SOURCE_WAITING;
}

// The sweep of a VRF waits for all it is joined to; its routes do not. Only while somebody is still being told
// does the data plane keep what an earlier culvertd gave it: a half-known answer may be worse.
static void set_known(struct sync *sync, const struct desired_domain *domain)
{
	const struct domain *state = sync_domain(sync, domain->id);
	struct vrf *vrf = records_vrf(&sync->records, domain->id);
	enum source source = routes_source(sync, domain);
	bool waiting = source == SOURCE_WAITING, filling = source == SOURCE_FILLING;

	for (unsigned int i = 0; i < domain->joins.count; i++) {
		source = routes_source(
			sync, desired_domain(sync->desired, domain->joins.item[i].domain));
		waiting = waiting || source == SOURCE_WAITING;
		filling = filling || source == SOURCE_FILLING;
	}
	records_vrf_guard(&sync->records, vrf, filling && state->had_routes);
	records_vrf_known(&sync->records, vrf, !waiting && !filling);
}

void routes_synced(struct sync *sync)
{
	if (!sync->ready || sync->desired == NULL)
		return;
	for (unsigned int i = 0; i < sync->desired->domains.count; i++)
		set_known(sync, &sync->desired->domains.item[i]);
}

static void forget_installed(void *ctx, void *entry)
{
	free(entry); // its group goes with all groups
}

void routes_forget(struct domain *domain)
{
	learned_clear(domain);
	table_clear(&domain->installed, forget_installed, NULL);
	limit_free(domain);
}
