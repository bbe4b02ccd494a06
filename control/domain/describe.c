// SPDX-License-Identifier: BSD-3-Clause
// What is known here, for people: names of records, the state and numbers of domains, their routes one by one. Numbers are
// kept where they change; a route costs a search in its domain's tree.

#include "control/domain/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *name_of_interface(const struct sync *sync, uint32_t id)
{
	const struct realised *realised = table_find(&sync->realised, &id);
	const struct tunnel *tunnel = table_find(&sync->tunnels, &id);

	return realised != NULL ? realised->wanted->name
	       : tunnel != NULL ? tunnel->wanted->name
				: "that was deleted";
}

const struct intent_domain *domain_wanted(const struct domains *domains, uint32_t id)
{
	const struct domain *domain = domain_find(domains, id);
	return domain != NULL ? domain->wanted : NULL;
}

static const char *name_of_domain(const struct sync *sync, uint32_t id)
{
	const struct intent_domain *wanted = domain_wanted(sync->domains, id);
	return wanted != NULL ? wanted->name : "that was deleted";
}

// "192.0.2.2 on core0"
static void describe_neighbor(
	const struct sync *sync, const struct wire_neighbor *neighbor, char *text, size_t size)
{
	struct ip_address address = {.family = neighbor->family};
	char shown[IP_TEXT_MAX];

	memcpy(address.bytes, neighbor->addr, sizeof(address.bytes));
	snprintf(text, size, "%s on %s", ip_address_format(&address, shown),
		name_of_interface(sync, neighbor->interface));
}

// The same, or a tunnel's name.
static void describe_path(const struct sync *sync, const struct wire_path *path, char *text, size_t size)
{
	const struct record *neighbor =
		record_find_id(&sync->domains->sync.records, WIRE_NEIGHBOR_SET, path->neighbor);

	if (path->neighbor != 0 && neighbor != NULL)
		describe_neighbor(sync, (const void *)neighbor->value, text, size);
	else
		snprintf(text, size, "%s", name_of_interface(sync, path->interface));
}

static void describe_group(
	const struct sync *sync, const struct wire_group *group, char *text, size_t size)
{
	const struct record *path =
		record_find_id(&sync->domains->sync.records, WIRE_PATH_SET, group->path[0]);
	char first[140] = "a way out that was deleted";

	if (path != NULL)
		describe_path(sync, (const void *)path->value, first, sizeof(first));
	if (group->count > 1)
		snprintf(text, size, "routes by %s and %u more", first, group->count - 1);
	else
		snprintf(text, size, "routes by %s", first);
}

void sync_describe(const struct sync *sync, const struct record *record, char *text, size_t size)
{
	struct ip_address address = {.family = (uint8_t)record->key.family};
	const struct limiter *limiter;
	char shown[IP_TEXT_MAX], hop[176];

	memcpy(address.bytes, record->key.addr, sizeof(address.bytes));
	switch (record->key.type) {
	case WIRE_VRF_SET:
		snprintf(text, size, "domain %s", name_of_domain(sync, record->key.id));
		break;
	case WIRE_INTERFACE_SET:
		snprintf(text, size, "interface %s", name_of_interface(sync, record->key.id));
		break;
	case WIRE_LOCAL_SET:
		snprintf(text, size, "address %s in %s", ip_address_format(&address, shown),
			name_of_domain(sync, record->key.id));
		break;
	case WIRE_LIMITER_SET:
		limiter = table_find(&sync->domains->limiters, &record->key.id);
		snprintf(text, size, "limiter %s",
			limiter != NULL && limiter->wanted != NULL ? limiter->wanted->name
								   : "that was deleted");
		break;
	case WIRE_NEIGHBOR_SET:
		describe_neighbor(sync, (const void *)record->value, hop, sizeof(hop));
		snprintf(text, size, "neighbor %s", hop);
		break;
	case WIRE_PATH_SET:
		describe_path(sync, (const void *)record->value, hop, sizeof(hop));
		snprintf(text, size, "next hop %s", hop);
		break;
	default:
		describe_group(sync, (const void *)record->value, hop, sizeof(hop));
		snprintf(text, size, "%s", hop);
	}
}

// The contract's errors (wire/link.h) say what is so in the data plane.
const char *refusal_text(int error)
{
	switch (error) {
	case -EEXIST:
		return "another one there has its port and tags, its tunnel's key or its address";
	case -ENOSPC:
		return "there is no room for it";
	case -ENOENT:
		return "what it needs is not there";
	case -EBUSY:
		return "what it was is still in use there";
	case -EOPNOTSUPP:
		return "its port's driver may mix up customers";
	case -EINVAL:
		return "it is invalid there";
	default:
		return strerror(-error);
	}
}

void sync_describe_route(
	const struct sync *sync, const struct route *route, char *text, size_t size)
{
	const struct ip_prefix prefix = prefix_of(&route->key);
	char shown[IP_TEXT_MAX];

	snprintf(text, size, "route %s in %s", ip_prefix_format(&prefix, shown),
		name_of_domain(sync, route->vrf->id));
}

// --- domains ---------------------------------------------------------------------------------------------

bool domain_status(const struct domains *domains, uint32_t id, struct domain_status *status)
{
	const struct domain *domain = domain_find(domains, id);

	if (domain == NULL)
		return false;
	*status = (struct domain_status){
		.state = domain->state,
		.source = domain_source(domain),
		.error = domain->error,
		.count = {domain->count[0], domain->count[1]},
		.limit = {limit_of(domain, 0), limit_of(domain, 1)},
		.there = domain->vrf != NULL ? domain->vrf->there : 0,
		.crowded = domain->crowded,
		.bytes = domain->stats.bytes,
	};
	return true;
}

void domains_counts(const struct domains *domains, struct domain_counts *all)
{
	const struct domain_counts *a = &domains->count[0], *b = &domains->count[1];

	*all = (struct domain_counts){
		.learned = a->learned + b->learned,
		.taken = a->taken + b->taken,
		.held = a->held + b->held,
		.refused = a->refused + b->refused,
		.installed = a->installed + b->installed,
	};
}

// --- sessions ----------------------------------------------------------------------------------------------

static bool leads_by(const struct learned *learned, const struct ip_address *remote)
{
	for (unsigned int i = 0; learned->hops != NULL && i < learned->hops->key.count; i++)
		if (ip_address_compare(&learned->hops->key.hop[i].via, remote) == 0)
			return true;
	return false;
}

static bool came_by(const struct prefix *prefix, const struct ip_address *remote)
{
	for (unsigned int i = 0; i < learned_count(prefix); i++)
		if (leads_by(learned_at(prefix, i), remote))
			return true;
	return false;
}

struct realised_session *session_find(const struct sync *sync, uint32_t id)
{
	uint32_t interface = session_interface(id);
	const struct realised *realised = table_find(&sync->realised, &interface);

	for (unsigned int i = 0; realised != NULL && i < 2; i++)
		if (realised->session[i] != NULL && realised->session[i]->id == id)
			return realised->session[i];
	return NULL;
}

bool session_learned(const struct sync *sync, const struct realised_session *session,
	const struct ip_prefix *prefix)
{
	const struct domain *of = domain_find(sync->domains, session->of->wanted->domain);
	const struct route_key key = key_of(prefix);
	const struct prefix *found = of != NULL ? prefix_find(of, &key) : NULL;

	return found != NULL && came_by(found, &session_address(session)->remote);
}

// Few customers have any; they stand together.
static unsigned int held_of(const struct domain *domain, const struct ip_address *remote)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < 2; i++)
		for (unsigned int j = 0; j < domain->places[i].held_count; j++)
			count += came_by(domain->places[i].held[j], remote);
	return count;
}

// By a rule, or as no valid announcement; not what has been announced rightly since.
static unsigned int rejected_of(const struct sync *sync, const struct realised_session *session)
{
	unsigned int remarks = 0, count = session->state.filtered;
	const struct speaker_remark *remark =
		speakers_remarks(sync->speakers, session->id, &remarks);

	if (strcmp(session->state.state, "established") != 0)
		return 0;
	for (unsigned int i = 0; i < remarks; i++)
		count += remark[i].prefix.address.family != 0 &&
			 !session_learned(sync, session, &remark[i].prefix);
	return count;
}

void session_recount(struct domains *domains, struct realised_session *session)
{
	count_session(domains, session, -1u);
	session->rejected = rejected_of(&domains->sync, session);
	count_session(domains, session, 1);
}

struct session_routes session_routes(
	const struct sync *sync, const struct realised_session *session)
{
	const struct speaker_state *state = session_state(session);
	const struct domain *domain = domain_find(sync->domains, session->of->wanted->domain);
	struct session_routes routes = {.known = strcmp(state->state, "unknown") != 0};

	if (domain == NULL || (!speaker_state_up(state->state) && state->kept_until == 0))
		return routes;
	if (strcmp(state->state, "static") == 0) { // each session has all of its family that the model says
		const struct domain_counts *all = &domain->count[session->family];
		routes.accepted = all->learned - all->refused - all->held;
		routes.held = all->held;
		routes.rejected = all->refused;
		return routes;
	}
	routes.held = held_of(domain, &session_address(session)->remote);
	routes.accepted = state->imported > routes.held ? state->imported - routes.held : 0;
	routes.rejected = rejected_of(sync, session);
	routes.advertised = state->exported;
	return routes;
}

// --- routes ----------------------------------------------------------------------------------------------

static bool is_usable(const struct sync *sync, const struct path *path)
{
	if (path->to == NULL)
		return tunnel_state(sync, path->key.interface) == NEIGHBOR_USABLE;
	return path->to->state == NEIGHBOR_USABLE && !path->out->down;
}

static void tell_group(const struct sync *sync, const struct group *group, struct route_info *info)
{
	for (unsigned int i = 0; i < group->key.count; i++) {
		const struct path *path = group->path[i];
		struct route_hop *hop = &info->hop[info->hops++];
		*hop = (struct route_hop){
			.interface = path->key.interface,
			.weight = group->key.weight[i],
			.usable = is_usable(sync, path),
		};
		if (path->to == NULL)
			continue;
		hop->via.family = path->to->key.family;
		memcpy(hop->via.bytes, path->to->key.addr, sizeof(hop->via.bytes));
	}
}

static void tell_learned(
	const struct domain *domain, const struct prefix *prefix, struct route_info *info)
{
	for (unsigned int i = 0; i < learned_count(prefix); i++) {
		const struct hop_set *set = learned_at(prefix, i)->hops;
		for (unsigned int j = 0; set != NULL && j < set->key.count && info->hops < 64;
			j++) {
			const struct intent_interface *out =
				attachment_to(domain, &set->key.hop[j].via);
			info->hop[info->hops++] = (struct route_hop){
				.interface = out != NULL ? out->id : 0,
				.via = set->key.hop[j].via,
				.weight = set->key.hop[j].weight,
				.usable = out != NULL,
			};
		}
	}
}

// What a customer's side brings, by BGP or, where none is spoken, by the model.
static const char *learned_origin(const struct domain *domain)
{
	return domain->wanted != NULL && domain->wanted->routes.count > 0 ? "static" : "bgp";
}

static void tell(const struct domain *domain, const struct prefix *prefix, struct route_info *info)
{
	const struct sync *sync = &domain->domains->sync;

	info->prefix = prefix_of(&prefix->route.key);
	info->since = prefix->since;
	info->learned = prefix_learned(prefix);
	info->installed = prefix->group != NULL;
	info->there = info->installed && route_is_there(&sync->records, &prefix->route);
	info->held = prefix_place(prefix) == PLACE_HELD;
	info->rule = NULL;
	info->from = info->installed ? prefix->from : domain->id;
	info->hops = 0;
	if (info->installed) {
		info->origin = prefix->route.origin == ORIGIN_BGP
				       ? learned_origin(domain)
				       : origin_name((enum origin)prefix->route.origin);
		tell_group(sync, prefix->group, info);
		return;
	}
	info->origin = learned_origin(domain);
	if (prefix_place(prefix) == PLACE_REFUSED)
		info->rule = decide_rejecting(domain, prefix);
	tell_learned(domain, prefix, info);
}

bool domain_next(const struct domains *domains, uint32_t id, const struct ip_prefix *after,
	struct route_info *info)
{
	const struct domain *domain = domain_find(domains, id);
	struct route_key key;

	if (domain == NULL)
		return false;
	if (after != NULL)
		key = key_of(after);
	const struct prefix *prefix = prefix_next(domain, after != NULL ? &key : NULL);
	while (prefix != NULL && !prefix_learned(prefix) && prefix->group == NULL)
		prefix = prefix_next(domain, &prefix->route.key); // it is leaving the data plane
	if (prefix == NULL)
		return false;
	tell(domain, prefix, info);
	return true;
}

bool domain_route(const struct domains *domains, uint32_t id, const struct ip_prefix *prefix,
	struct route_info *info)
{
	const struct domain *domain = domain_find(domains, id);
	const struct route_key key = key_of(prefix);
	const struct prefix *found = domain != NULL ? prefix_find(domain, &key) : NULL;

	if (found == NULL || (!prefix_learned(found) && found->group == NULL))
		return false;
	tell(domain, found, info);
	return true;
}
