// SPDX-License-Identifier: BSD-3-Clause
// The intents of all fragments (control/model/intent.h) as one table of domains, interfaces and limiters with their wire
// records, sorted by id: what the rest of sync/ walks. What an object means is said beside its noun; here it is only
// put into the form of the wire, and joined: a connection whose peering or vNet is not on this edge joins nothing.

#include "control/rpc/answers/desired.h"

#include "control/domain/domain.h"
#include "control/domain/live.h"

#include "control/base/array.h"
#include "control/model/edge.h"
#include "control/model/intent.h"
#include "control/node.h"
#include "control/publication.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTES_GUARD 0 // the bridge holds route limits; no second one here

__attribute__((format(printf, 3, 4))) static void copy(
	char *to, size_t size, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(to, size, format, arguments);
	va_end(arguments);
}

#define COPY(to, ...) copy(to, sizeof(to), __VA_ARGS__)

static void add_problem(struct desired *desired, const struct intent_problem *intent)
{
	struct desired_problem *problem = APPEND(desired->problems);

	COPY(problem->object, "%s", intent->object);
	COPY(problem->message, "%s", intent->message);
	COPY(problem->hint, "%s", intent->hint);
}

// --- domains -------------------------------------------------------------------------------------------

static void add_domain(struct desired *desired, const struct intent_domain *intent)
{
	static const enum domain_kind kinds[] = {
		[INTENT_UNDERLAY] = DOMAIN_UNDERLAY,
		[INTENT_PEERING] = DOMAIN_PEERING,
		[INTENT_VNET] = DOMAIN_VNET,
	};
	struct desired_domain *domain = APPEND(desired->domains);

	domain->id = intent->id;
	domain->kind = kinds[intent->kind];
	COPY(domain->name, "%s", intent->name);
	COPY(domain->host_name, "%s", intent->host_name);
	COPY(domain->object, "%s", intent->object);
	COPY(domain->circuit, "%s", intent->circuit);
	COPY(domain->customer, "%s", intent->customer);
	domain->record.vrf = intent->id;
	domain->record.routes_max = ROUTES_GUARD;
	COPY(domain->record.name, "%s", intent->object);
	for (unsigned int i = 0; i < intent->prefixes.count; i++)
		*(struct ip_prefix *)APPEND(domain->prefixes) = intent->prefixes.item[i];
	policy_copy(&domain->import, &intent->import);
	for (unsigned int i = 0; intent->kind == INTENT_UNDERLAY && i < intent->routes.count; i++) {
		struct intent_route *route = APPEND(desired->statics);
		route->prefix = intent->routes.item[i].prefix;
		route->via = intent->routes.item[i].via;
	}
}

// --- interfaces ------------------------------------------------------------------------------------------

static void fill_ethernet(struct wire_interface *record, const struct intent_interface *intent)
{
	record->kind = WIRE_INTERFACE_ETHERNET;
	record->port = intent->port;
	record->vlans = intent->vlans;
	record->vlan[0] = intent->vlan[0];
	record->vlan[1] = intent->vlan[1];
	record->limiter_in = intent->limiter_in;
	record->limiter_out = intent->limiter_out;
	if (intent->kind == INTENT_CORE)
		record->flags |= WIRE_INTERFACE_CORE;
}

static void fill_tunnel(struct wire_interface *record, const struct intent_tunnel *tunnel)
{
	record->kind = WIRE_INTERFACE_GRE;
	record->flags |= WIRE_INTERFACE_KEY;
	record->key = tunnel->key;
	record->family = tunnel->local.family;
	record->ttl = tunnel->ttl;
	memcpy(record->local, tunnel->local.bytes, sizeof(record->local));
	memcpy(record->remote, tunnel->remote.bytes, sizeof(record->remote));
}

static void fill_session(struct desired_interface *interface, const struct intent_session *session)
{
	interface->enabled = session->enabled;
	interface->local_asn = session->local_asn;
	interface->remote_asn = session->remote_asn;
	interface->password = session->password;
	interface->hold = session->hold;
	interface->keepalive = session->keepalive;
	interface->connect = session->connect;
	interface->error_wait = session->error_wait;
}

static void add_interface(struct desired *desired, const struct intent_interface *intent)
{
	static const enum interface_kind kinds[] = {
		[INTENT_CORE] = INTERFACE_CORE,
		[INTENT_ATTACHMENT] = INTERFACE_ATTACHMENT,
		[INTENT_TUNNEL] = INTERFACE_TUNNEL,
	};
	struct desired_interface *interface = APPEND(desired->interfaces);
	struct wire_interface *record = &interface->record;

	interface->id = intent->id;
	interface->kind = kinds[intent->kind];
	COPY(interface->name, "%s", intent->name);
	COPY(interface->object, "%s", intent->object);
	COPY(interface->link, "%s", intent->link);
	interface->local = intent->local;
	interface->remote = intent->remote;
	interface->len = intent->len;
	fill_session(interface, &intent->session);
	record->interface = intent->id;
	record->uid = intent->uid;
	record->vrf = intent->domain;
	record->owner = intent->owner;
	record->mtu = intent->mtu;
	record->flags = (intent->up ? WIRE_INTERFACE_UP : 0) |
			(intent->source_check ? WIRE_INTERFACE_SOURCE_CHECK : 0);
	if (intent->kind == INTENT_TUNNEL)
		fill_tunnel(record, &intent->tunnel);
	else
		fill_ethernet(record, intent);
}

static void add_limiter(struct desired *desired, const struct intent_limiter *intent)
{
	struct desired_limiter *limiter = APPEND(desired->limiters);

	COPY(limiter->name, "%s", intent->name);
	limiter->record = (struct wire_limiter){
		.uid = intent->uid,
		.rate = intent->rate,
		.burst = intent->burst,
		.ramp = wire_ramp_default(intent->rate),
		.ef_rate = intent->ef_rate,
		.packet_rate = intent->packet_rate,
		.queue = intent->queue,
		.limiter = intent->id,
		.flags = intent->queue != 0 ? WIRE_LIMITER_SHAPE : 0,
		.overhead = intent->overhead,
		.account = intent->count_frames ? WIRE_ACCOUNT_L2 : WIRE_ACCOUNT_L3,
	};
}

// --- joining ---------------------------------------------------------------------------------------------

static int compare_ids(const void *a, const void *b)
{
	uint32_t left, right; // both structs begin with the id
	memcpy(&left, a, sizeof(left));
	memcpy(&right, b, sizeof(right));
	return (left > right) - (left < right);
}

static int compare_limiters(const void *a, const void *b)
{
	const struct desired_limiter *left = a, *right = b;
	return (left->record.limiter > right->record.limiter) -
	       (left->record.limiter < right->record.limiter);
}

static int compare_fragments(const void *a, const void *b)
{
	const struct fragment *left = *(const struct fragment *const *)a,
			      *right = *(const struct fragment *const *)b;
	if (left->key.noun != right->key.noun)
		return left->key.noun < right->key.noun ? -1 : 1;
	return strcmp(left->key.name, right->key.name);
}

static void add_join(struct desired *desired, const struct intent_join *intent)
{
	struct desired_domain *a =
		(struct desired_domain *)desired_domain(desired, intent->domain[0]);
	struct desired_domain *b =
		(struct desired_domain *)desired_domain(desired, intent->domain[1]);

	if (a == NULL || b == NULL)
		return; // one of its ends is not on this edge
	*(struct join *)APPEND(a->joins) = (struct join){b->id, intent->weight};
	*(struct join *)APPEND(b->joins) = (struct join){a->id, intent->weight};
}

static void add_members(struct desired *desired)
{
	for (unsigned int i = 0; i < desired->interfaces.count; i++) {
		const struct desired_interface *interface = &desired->interfaces.item[i];
		struct desired_domain *domain =
			(struct desired_domain *)desired_domain(desired, interface->record.vrf);
		if (domain == NULL)
			continue;
		if (interface->kind == INTERFACE_ATTACHMENT && domain->attachments < 2)
			domain->attachment[domain->attachments++] = interface->id;
		if (interface->kind == INTERFACE_TUNNEL &&
			strcmp(interface->name, domain->name) == 0)
			domain->tunnel = interface->id;
		if (interface->kind == INTERFACE_CORE)
			*(const struct desired_interface **)APPEND(desired->cores) = interface;
	}
}

// --- the whole -------------------------------------------------------------------------------------------

static void take(void *ctx, const struct fragment *fragment)
{
	struct desired *desired = ctx;

	*(const struct fragment **)APPEND(desired->fragments) = fragment_ref(fragment);
}

static void add_fragment(struct desired *desired, const struct fragment *fragment)
{
	for (unsigned int i = 0; i < fragment->domains.count; i++)
		add_domain(desired, &fragment->domains.item[i]);
	for (unsigned int i = 0; i < fragment->interfaces.count; i++)
		add_interface(desired, &fragment->interfaces.item[i]);
	for (unsigned int i = 0; i < fragment->limiters.count; i++)
		add_limiter(desired, &fragment->limiters.item[i]);
	for (unsigned int i = 0; i < fragment->problems.count; i++)
		add_problem(desired, &fragment->problems.item[i]);
}

// Our edge is not in the model: nothing is realised but an empty underlay.
static void without_edge(struct desired *desired, const char *edge)
{
	const struct intent_domain underlay = {
		.id = INTENT_UNDERLAY_ID,
		.kind = INTENT_UNDERLAY,
		.name = "underlay",
		.host_name = "underlay",
		.object = "underlay",
		.circuit = "",
		.customer = "",
	};
	struct desired_problem *problem;

	add_domain(desired, &underlay);
	if (desired->publication->revision == 0)
		return; // nothing was ever configured
	problem = APPEND(desired->problems);
	COPY(problem->object, "%s", edge);
	COPY(problem->message, "the configuration has no edge \"%s\"", edge);
	COPY(problem->hint, "culvertctl edge create, or correct the node file");
}

#define SORT(list, by)                                                              \
	do {                                                                        \
		if ((list).count > 0)                                               \
			qsort((list).item, (list).count, sizeof(*(list).item), by); \
	} while (0)

struct desired *desired_assemble(
	const struct fragments *fragments, struct publication *publication, const char *edge)
{
	struct desired *desired = calloc(1, sizeof(*desired));
	if (desired == NULL)
		abort();
	desired->publication = publication_ref(publication);
	fragments_each(fragments, take, desired);
	SORT(desired->fragments, compare_fragments);
	if (model_edge(publication->model, edge) == NULL)
		without_edge(desired, edge);
	for (unsigned int i = 0; i < desired->fragments.count; i++)
		add_fragment(desired, desired->fragments.item[i]);
	SORT(desired->domains, compare_ids);
	SORT(desired->interfaces, compare_ids);
	SORT(desired->limiters, compare_limiters);
	add_members(desired);
	for (unsigned int i = 0; i < desired->fragments.count; i++) {
		const struct fragment *fragment = desired->fragments.item[i];
		for (unsigned int j = 0; j < fragment->joins.count; j++)
			add_join(desired, &fragment->joins.item[j]);
	}
	return desired;
}

struct desired *desired_build(struct publication *publication, const struct node *node)
{
	struct node_view *view = node_view_create(node);
	struct fragments *fragments = fragments_full(publication, view);
	struct desired *desired = desired_assemble(fragments, publication, node->edge);

	fragments_destroy(fragments);
	free(view);
	return desired;
}

void desired_free(struct desired *desired)
{
	if (desired == NULL)
		return;
	for (unsigned int i = 0; i < desired->domains.count; i++) {
		free(desired->domains.item[i].joins.item);
		free(desired->domains.item[i].prefixes.item);
		policy_clear(&desired->domains.item[i].import);
	}
	for (unsigned int i = 0; i < desired->fragments.count; i++)
		fragment_unref(desired->fragments.item[i]);
	free(desired->domains.item);
	free(desired->interfaces.item);
	free(desired->limiters.item);
	free(desired->statics.item);
	free(desired->problems.item);
	free(desired->fragments.item);
	free(desired->cores.item);
	publication_unref(desired->publication);
	free(desired);
}

const struct desired_domain *desired_domain(const struct desired *desired, uint32_t id)
{
	if (desired->domains.count == 0)
		return NULL;
	return bsearch(&id, desired->domains.item, desired->domains.count,
		sizeof(*desired->domains.item), compare_ids);
}

const struct desired_domain *desired_domain_named(const struct desired *desired, const char *name)
{
	for (unsigned int i = 0; i < desired->domains.count; i++)
		if (strcmp(desired->domains.item[i].name, name) == 0)
			return &desired->domains.item[i];
	return NULL;
}

const struct desired_interface *desired_interface(const struct desired *desired, uint32_t id)
{
	if (desired->interfaces.count == 0)
		return NULL;
	return bsearch(&id, desired->interfaces.item, desired->interfaces.count,
		sizeof(*desired->interfaces.item), compare_ids);
}

static const struct desired_interface *core_towards(
	const struct desired *desired, const struct ip_address *address, uint8_t *len)
{
	const struct desired_interface *best = NULL;

	for (unsigned int i = 0; i < desired->cores.count; i++) {
		const struct desired_interface *interface = desired->cores.item[i];
		if (interface->local.family != address->family)
			continue;
		struct ip_prefix subnet = ip_prefix_of(&interface->local, interface->len);
		if (ip_prefix_contains_address(&subnet, address) &&
			(best == NULL || interface->len > best->len))
			best = interface;
	}
	if (best != NULL)
		*len = best->len;
	return best;
}

const struct desired_interface *desired_underlay(
	const struct desired *desired, const struct ip_address *address, struct ip_address *via)
{
	uint8_t best_len = 0;
	const struct desired_interface *best = core_towards(desired, address, &best_len);

	*via = *address;
	for (unsigned int i = 0; i < desired->statics.count; i++) {
		const struct intent_route *route = &desired->statics.item[i];
		uint8_t ignored;
		if (!ip_prefix_contains_address(&route->prefix, address) ||
			(best != NULL && route->prefix.len <= best_len))
			continue;
		const struct desired_interface *core = core_towards(desired, &route->via, &ignored);
		if (core == NULL)
			continue;
		best = core;
		best_len = route->prefix.len;
		*via = route->via;
	}
	return best;
}

bool desired_text_equal(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

const struct desired *sync_desired(struct sync *sync)
{
	const struct fragments *fragments = domains_fragments(sync->domains);
	const struct publication *newest = fragments_publication(fragments);

	if (newest == NULL || (sync->desired != NULL && sync->desired->publication == newest &&
				      sync->desired_whole))
		return sync->desired;
	desired_free(sync->desired);
	sync->desired_whole = !fragments_pending(fragments);
	sync->desired = desired_assemble(fragments, (struct publication *)newest, sync->node->edge);
	return sync->desired;
}
