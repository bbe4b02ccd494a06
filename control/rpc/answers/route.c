// SPDX-License-Identifier: BSD-3-Clause
// route.list, route.get, route.summary: what was learned, what became of it, and what is told to customers.
//
// Accepted and installed routes are known here; what the speaker's filter kept out and what it announces are
// asked of the speaker, one peering after the other as the page needs them, so an answer may take several
// turns of the loop. A configuration change between two turns ends the listing where it is; the
// cursor goes on from there.

#include "control/rpc/answers/answers.h"

#include "control/publication.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum route_state { ROUTE_INSTALLED, ROUTE_ACCEPTED, ROUTE_REJECTED };

struct listing {
	struct rpc_call *call;
	struct sync *sync;
	struct page page;
	struct selection selection;
	const char *state; // NULL = all but advertised
	bool within;
	struct ip_prefix prefix;
	uint32_t next_domain; // id to go on with
	uint32_t asked;       // domain of the question under way
	unsigned int session; // which attachment of it
};

// --- one domain's own routes ---------------------------------------------------------------------------

struct known_route {
	struct prefix_key key;
	const struct learned *learned;     // or
	const struct installed *installed; // or both
};

struct known_list {
	size_t count, room;
	struct known_route *item;
	const struct domain *domain;
};

static void add_known(struct known_list *list, const struct known_route *route)
{
	if (list->count == list->room) {
		list->room = list->room == 0 ? 64 : 2 * list->room;
		list->item = reallocarray(list->item, list->room, sizeof(*list->item));
		if (list->item == NULL)
			abort();
	}
	list->item[list->count++] = *route;
}

static void add_installed(void *ctx, void *entry)
{
	struct known_list *list = ctx;
	const struct installed *installed = entry;
	add_known(list, &(struct known_route){installed->key,
				table_find(&list->domain->learned, &installed->key), installed});
}

static void add_learned(void *ctx, void *entry)
{
	struct known_list *list = ctx;
	const struct learned *learned = entry;
	if (table_find(&list->domain->installed, &learned->key) == NULL)
		add_known(list, &(struct known_route){learned->key, learned, NULL});
}

static int compare_known(const void *a, const void *b)
{
	const struct known_route *left = a, *right = b;
	struct ip_prefix l = prefix_of_key(&left->key), r = prefix_of_key(&right->key);
	return ip_prefix_compare(&l, &r);
}

static struct known_list known_routes(const struct sync *sync, uint32_t id)
{
	struct known_list list = {.domain = table_find(&sync->domains, &id)};

	if (list.domain == NULL)
		return list;
	table_each(&list.domain->installed, add_installed, &list);
	table_each(&list.domain->learned, add_learned, &list);
	if (list.count > 0)
		qsort(list.item, list.count, sizeof(*list.item), compare_known);
	return list;
}

// The data plane has said that it has it.
static bool is_there(const struct sync *sync, uint32_t domain, const struct prefix_key *key)
{
	struct wire_route route = {.vrf = domain, .family = key->family, .len = key->len};
	memcpy(route.addr, key->addr, sizeof(route.addr));
	const struct record *record =
		record_find((struct records *)&sync->records, WIRE_ROUTE_SET, &route);
	return record != NULL && record->wanted && record->sent && record->error == 0 &&
	       record->under_way == 0;
}

static json_t *nexthop_json(const struct sync *sync, uint32_t interface,
	const struct ip_address *via, unsigned int weight, bool usable)
{
	return json_pack("{s:o, s:s, s:i, s:b}", "via", json_address(via), "interface",
		interface_name(sync, interface), "weight", (int)weight, "usable", usable);
}

static bool path_usable(const struct sync *sync, const struct path *path)
{
	if (path->to == NULL)
		return tunnel_state(sync, path->key.interface) == NEIGHBOR_USABLE;
	return path->to->state == NEIGHBOR_USABLE && !path->out->down;
}

static json_t *group_json(const struct sync *sync, const struct group *group)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < group->key.count; i++) {
		const struct path *path = group->path[i];
		struct ip_address via = {.family = 0};
		if (path->to != NULL) {
			via.family = path->to->key.family;
			memcpy(via.bytes, path->to->key.addr, sizeof(via.bytes));
		}
		json_array_append_new(
			array, nexthop_json(sync, path->key.interface, &via, group->key.weight[i],
				       path_usable(sync, path)));
	}
	return array;
}

static json_t *learned_json(const struct sync *sync, uint32_t domain, const struct learned *learned)
{
	json_t *array = json_array();

	for (const struct learned_route *route = learned->routes; route != NULL;
		route = route->next)
		for (unsigned int i = 0; i < route->count; i++) {
			const struct desired_interface *out =
				attachment_to(sync, domain, &route->hop[i].via);
			json_array_append_new(array,
				nexthop_json(sync, out != NULL ? out->id : 0, &route->hop[i].via,
					route->hop[i].weight, out != NULL));
		}
	return array;
}

static json_t *route_json(const struct desired_domain *domain, const char *prefix,
	const char *state, const char *origin, const char *from, json_t *nexthops)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:n, s:n, s:o}", "domain", domain->name,
		"prefix", prefix, "state", state, "origin", origin, "from", from, "rule", "object",
		"nexthops", nexthops);
}

static json_t *known_json(const struct sync *sync, const struct desired_domain *domain,
	const struct known_route *route)
{
	struct ip_prefix prefix = prefix_of_key(&route->key);
	char text[IP_TEXT_MAX];

	ip_prefix_format(&prefix, text);
	if (route->installed != NULL) {
		uint32_t from = route->installed->from;
		return route_json(domain, text,
			is_there(sync, domain->id, &route->key) ? "installed" : "accepted",
			origin_name(route->installed->origin),
			from != domain->id ? domain_name(sync, from) : NULL,
			group_json(sync, route->installed->group));
	}
	const struct bridge_reject *rule = routes_reject(sync, domain, route->learned);
	const char *state = rule != NULL                          ? "rejected"
			    : route->learned->place == PLACE_HELD ? "held"
								  : "accepted";
	json_t *json = route_json(
		domain, text, state, "bgp", NULL, learned_json(sync, domain->id, route->learned));
	if (rule != NULL) {
		json_object_set_new(json, "rule", json_string(rule->rule));
		json_object_set_new(json, "object", json_string(rule->object));
	}
	return json;
}

static bool asked_for(const struct listing *l, const struct ip_prefix *prefix, const char *state)
{
	if (l->within && !ip_prefix_contains(&l->prefix, prefix))
		return false;
	return l->state != NULL ? strcmp(l->state, state) == 0 : strcmp(state, "advertised") != 0;
}

static void list_known(struct listing *l, const struct desired_domain *domain)
{
	struct known_list list = known_routes(l->sync, domain->id);

	for (size_t i = 0; i < list.count && !page_full(&l->page); i++) {
		struct ip_prefix prefix = prefix_of_key(&list.item[i].key);
		json_t *json = known_json(l->sync, domain, &list.item[i]);
		if (asked_for(l, &prefix, json_string_value(json_object_get(json, "state"))) &&
			page_wants(&l->page))
			json_array_append(l->page.items, json);
		json_decref(json);
	}
	free(list.item);
}

static void list_static(struct listing *l, const struct desired_domain *domain)
{
	const struct desired *desired = l->sync->desired;

	for (unsigned int i = 0; i < desired->statics.count; i++) {
		const struct bridge_static *route = &desired->statics.item[i];
		struct ip_address via;
		char text[IP_TEXT_MAX];
		if (!asked_for(l, &route->prefix, "installed") || !page_wants(&l->page))
			continue;
		const struct desired_interface *core = desired_underlay(desired, &route->via, &via);
		const struct neighbor *neighbor =
			core != NULL ? nexthops_neighbor_find(&l->sync->hops, core->id, &via)
				     : NULL;
		json_t *hops = json_array();
		json_array_append_new(
			hops, nexthop_json(l->sync, core != NULL ? core->id : 0, &route->via, 1,
				      neighbor != NULL && neighbor->state == NEIGHBOR_USABLE));
		json_array_append_new(
			l->page.items, route_json(domain, ip_prefix_format(&route->prefix, text),
					       "installed", "static", NULL, hops));
	}
}

// --- asking the speakers -------------------------------------------------------------------------------

static void list_domains(struct listing *l);

static void add_answer(struct listing *l, const struct desired_domain *domain, const json_t *row,
	const char *state)
{
	const char *text = json_string_value(json_object_get(row, "prefix"));
	struct ip_prefix prefix;

	if (text == NULL || ip_prefix_parse(text, &prefix) != 0 || !asked_for(l, &prefix, state) ||
		!page_wants(&l->page))
		return;
	bool rejected = strcmp(state, "rejected") == 0;
	json_t *json = route_json(
		domain, text, state, rejected ? "bgp" : "connection", NULL, json_array());
	if (rejected) {
		json_object_set(json, "rule", json_object_get(row, "rule"));
		json_object_set(json, "object", json_object_get(row, "object"));
	}
	json_array_append_new(l->page.items, json);
}

static void on_answer(void *ctx, struct json_t *array, const struct api_error *error)
{
	struct listing *l = ctx;
	const struct desired_domain *domain = desired_domain(l->sync->desired, l->asked);
	bool advertised = l->state != NULL && strcmp(l->state, "advertised") == 0;
	size_t i;
	json_t *row;

	if (domain != NULL && array != NULL)
		json_array_foreach (array, i, row)
			add_answer(l, domain, row, advertised ? "advertised" : "rejected");
	json_decref(array);
	l->session++;
	list_domains(l);
}

// True: a question is under way, on_answer goes on.
static bool ask_speaker(struct listing *l, const struct desired_domain *domain)
{
	bool advertised = l->state != NULL && strcmp(l->state, "advertised") == 0;

	if (l->state != NULL && !advertised && strcmp(l->state, "rejected") != 0)
		return false;
	for (; l->session < domain->attachments && !page_full(&l->page); l->session++) {
		l->asked = domain->id;
		if (bridge_ask(l->sync->bridge, domain->attachment[l->session],
			    advertised ? BRIDGE_ADVERTISED : BRIDGE_FILTERED, on_answer, l) == 0)
			return true;
	}
	return false;
}

static void list_domains(struct listing *l)
{
	const struct desired *desired = l->sync->desired;

	for (unsigned int i = 0; i < desired->domains.count; i++) {
		const struct desired_domain *domain = &desired->domains.item[i];
		if (domain->id < l->next_domain || !selection_has(&l->selection, domain) ||
			page_full(&l->page))
			continue;
		if (domain->id != l->asked) {
			l->session = 0;
			l->asked = domain->id;
			if (domain->kind == DOMAIN_UNDERLAY)
				list_static(l, domain);
			else
				list_known(l, domain);
		}
		l->next_domain = domain->id;
		if (ask_speaker(l, domain))
			return;
		l->next_domain = domain->id + 1;
	}
	page_reply(&l->page, l->call);
	free(l);
}

static bool list_parameters(struct listing *l, struct rpc_call *call)
{
	const char *prefix = rpc_string(call, "prefix");
	struct api_error error;

	l->state = rpc_string(call, "state");
	if (l->state != NULL && strcmp(l->state, "installed") != 0 &&
		strcmp(l->state, "accepted") != 0 && strcmp(l->state, "held") != 0 &&
		strcmp(l->state, "rejected") != 0 && strcmp(l->state, "advertised") != 0) {
		api_fail(&error, API_USAGE, "installed, accepted, held, rejected or advertised",
			"\"%.32s\" is not a state of routes", l->state);
		rpc_fail(call, &error);
		return false;
	}
	l->within = prefix != NULL;
	if (l->within && ip_prefix_parse(prefix, &l->prefix) != 0) {
		api_fail(&error, API_USAGE, "10.1.0.0/16", "\"%.64s\" is not a prefix", prefix);
		rpc_fail(call, &error);
		return false;
	}
	return true;
}

void method_route_list(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct listing *l;

	if (sync == NULL)
		return;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		abort();
	l->call = call;
	l->sync = sync;
	if (!selection_start(&l->selection, call) || !list_parameters(l, call) ||
		!page_start(&l->page, call)) {
		free(l);
		return;
	}
	list_domains(l);
}

// --- route.get -----------------------------------------------------------------------------------------

static json_t *get_json(const struct sync *sync, const struct desired_domain *domain,
	const struct ip_address *address, const char *text)
{
	struct known_list list = known_routes(sync, domain->id);
	const struct known_route *best = NULL;

	for (size_t i = 0; i < list.count; i++) {
		struct ip_prefix prefix = prefix_of_key(&list.item[i].key);
		if (list.item[i].installed != NULL &&
			ip_prefix_contains_address(&prefix, address) &&
			is_there(sync, domain->id, &list.item[i].key) &&
			(best == NULL || prefix.len > best->key.len))
			best = &list.item[i];
	}
	json_t *json = json_pack("{s:s, s:s, s:o}", "domain", domain->name, "address", text,
		"route", best != NULL ? known_json(sync, domain, best) : json_null());
	free(list.item);
	return json;
}

void method_route_get(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct selection selection;
	struct ip_address address;
	struct api_error error;

	if (sync == NULL || !selection_start(&selection, call))
		return;
	const char *text = rpc_string(call, "address");
	if (ip_address_parse(text, &address) != 0) {
		api_fail(&error, API_USAGE, "192.0.2.1", "\"%.64s\" is not an address", text);
		rpc_fail(call, &error);
		return;
	}
	json_t *items = json_array();
	for (unsigned int i = 0; i < sync->desired->domains.count; i++) {
		const struct desired_domain *domain = &sync->desired->domains.item[i];
		if (selection_has(&selection, domain) && domain->kind != DOMAIN_UNDERLAY)
			json_array_append_new(items, get_json(sync, domain, &address, text));
	}
	if (json_array_size(items) == 1) {
		rpc_reply(call, json_incref(json_array_get(items, 0)));
		json_decref(items);
	} else {
		rpc_reply_list(call, items, NULL);
	}
}

// --- route.summary -------------------------------------------------------------------------------------

struct rejected_count {
	const struct sync *sync;
	const struct desired_domain *domain;
	unsigned int count;
};

static void count_one(void *ctx, void *entry)
{
	struct rejected_count *count = ctx;
	count->count += routes_reject(count->sync, count->domain, entry) != NULL;
}

unsigned int count_rejected(const struct sync *sync, const struct desired_domain *domain)
{
	struct rejected_count count = {.sync = sync, .domain = domain};
	const struct domain *state = table_find(&sync->domains, &domain->id);

	if (state != NULL && domain->kind == DOMAIN_PEERING)
		table_each(&state->learned, count_one, &count);
	return count.count;
}

static json_t *summary_json(const struct sync *sync, const struct desired_domain *domain)
{
	const struct domain *state = table_find(&sync->domains, &domain->id);
	unsigned int ours = count_rejected(sync, domain), filtered = 0, advertised = 0;
	unsigned int learned = state != NULL && domain->kind == DOMAIN_PEERING
				       ? (unsigned int)state->learned.count
				       : 0;
	unsigned int installed = state != NULL ? (unsigned int)state->installed.count : 0;
	unsigned int held = state != NULL ? limit_held(state) : 0;

	for (unsigned int i = 0; i < domain->attachments; i++) {
		const struct realised *session =
			table_find(&sync->realised, &domain->attachment[i]);
		filtered += session != NULL ? session->session.filtered : 0;
		advertised += session != NULL ? session->session.exported : 0;
	}
	if (domain->kind == DOMAIN_UNDERLAY)
		installed = sync->desired->statics.count;
	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "domain", domain->name,
		"learned", (int)(learned + filtered), "accepted", (int)(learned - ours - held),
		"rejected", (int)(ours + filtered), "held", (int)held, "installed", (int)installed,
		"advertised", (int)advertised, "limit", (int)limit_of(sync, domain), "bytes",
		json_integer(state != NULL ? (json_int_t)state->stats.bytes : 0));
}

static void answer_summary(void *ctx)
{
	struct rpc_call *call = ctx;
	struct sync *sync = call_sync(call);
	struct selection selection;
	struct page page;

	if (sync == NULL || !selection_start(&selection, call) || !page_start(&page, call))
		return;
	for (unsigned int i = 0; i < sync->desired->domains.count && !page_full(&page); i++) {
		const struct desired_domain *domain = &sync->desired->domains.item[i];
		if (selection_has(&selection, domain) && page_wants(&page))
			json_array_append_new(page.items, summary_json(sync, domain));
	}
	page_reply(&page, call);
}

void method_route_summary(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	if (sync != NULL)
		dataplane_refresh_vrfs(sync->dataplane, answer_summary, call);
}
