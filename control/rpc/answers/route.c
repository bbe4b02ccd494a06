// SPDX-License-Identifier: BSD-3-Clause
// route.list, route.get, route.summary: what was learned, what became of it, and what is told to customers.
//
// Accepted and installed routes are known here; what the speaker's filter kept out and what it announces are
// asked of the speaker, one peering after the other as the page needs them, so an answer may take several
// turns of the loop. A configuration change between two turns ends the listing where it is; the
// cursor goes on from there.

#include "control/rpc/answers/answers.h"

#include "control/base/clock.h"
#include "control/base/turns.h"
#include "control/policy/policy.h"
#include "control/publication.h"

#include <event2/event.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_NS 2000000u // of the route thread, in one turn
#define ASKED    "asked"  // in a cursor: behind the domain's known routes

struct listing {
	struct rpc_call *call;
	struct sync *sync;
	struct selection selection;
	const char *state; // NULL = all but advertised
	bool within;
	struct ip_prefix prefix;
	struct rpc_items items;
	unsigned int limit;
	bool full;
	// Where it is, and where the next page goes on: domain, the last known route of it that was looked at, or how many of
	// those that its speaker told.
	struct walk walk;
	char domain[OBJECT_NAME_MAX + 16];
	bool begun, asking;
	struct ip_prefix last;
	unsigned int session; // which of its is being asked: two for each attachment
	size_t skip, seen;
	char unanswered[OBJECT_NAME_MAX + 16]; // the first domain whose speaker did not answer
	char next[IP_TEXT_MAX + OBJECT_NAME_MAX + 32];
};

// --- pages ---------------------------------------------------------------------------------------------

// "DOMAIN PREFIX" or "DOMAIN asked COUNT". False: not one of ours.
static bool cursor_parse(struct listing *l, const char *cursor)
{
	size_t length = strcspn(cursor, " ");
	char *end;

	if (cursor[length] != ' ' || length >= sizeof(l->domain))
		return false;
	snprintf(l->domain, sizeof(l->domain), "%.*s", (int)length, cursor);
	cursor += length + 1;
	if (strncmp(cursor, ASKED " ", sizeof(ASKED)) == 0) {
		l->asking = true;
		cursor += sizeof(ASKED);
		l->skip = strtoul(cursor, &end, 10);
		return end != cursor && *end == '\0';
	}
	l->begun = true;
	return ip_prefix_parse(cursor, &l->last) == 0;
}

static void add_item(struct listing *l, json_t *json)
{
	char text[IP_TEXT_MAX];

	l->full = l->items.count >= l->limit;
	if (l->full) {
		json_decref(json); // the first of the next page
		return;
	}
	rpc_items_add(&l->items, json);
	if (l->asking)
		snprintf(l->next, sizeof(l->next), "%s " ASKED " %zu", l->domain, l->seen);
	else
		snprintf(l->next, sizeof(l->next), "%s %s", l->domain,
			ip_prefix_format(&l->last, text));
}

// --- one domain's own routes ---------------------------------------------------------------------------

static json_t *nexthop_json(const struct sync *sync, uint32_t interface,
	const struct ip_address *via, unsigned int weight, bool usable)
{
	return json_pack("{s:o, s:s, s:i, s:b}", "via", json_address(via), "interface",
		interface_name(sync, interface), "weight", (int)weight, "usable", usable);
}

static json_t *hops_json(const struct sync *sync, const struct route_info *info)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < info->hops; i++)
		json_array_append_new(
			array, nexthop_json(sync, info->hop[i].interface, &info->hop[i].via,
				       info->hop[i].weight, info->hop[i].usable));
	return array;
}

static json_t *route_json(const struct intent_domain *domain, const char *prefix, const char *state,
	const char *origin, const char *from, json_t *nexthops)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:n, s:n, s:o}", "domain", domain->name,
		"prefix", prefix, "state", state, "origin", origin, "from", from, "rule", "object",
		"nexthops", nexthops);
}

static const char *state_of_route(const struct route_info *info)
{
	return info->installed      ? info->there ? "installed" : "accepted"
	       : info->rule != NULL ? "rejected"
	       : info->held         ? "held"
				    : "accepted";
}

static json_t *known_json(
	const struct sync *sync, const struct intent_domain *domain, const struct route_info *info)
{
	char text[IP_TEXT_MAX];

	ip_prefix_format(&info->prefix, text);
	json_t *json = route_json(domain, text, state_of_route(info), info->origin,
		info->from != domain->id ? domain_name(sync, info->from) : NULL,
		hops_json(sync, info));
	json_object_set_new(json, "since", json_u64(info->since));
	if (info->rule != NULL) {
		json_object_set_new(json, "rule", json_string(info->rule->name));
		json_object_set_new(json, "object", json_string(info->rule->object));
	}
	return json;
}

static bool asked_for(const struct listing *l, const struct ip_prefix *prefix, const char *state)
{
	if (l->within && !ip_prefix_contains(&l->prefix, prefix))
		return false;
	return l->state == NULL || strcmp(l->state, state) == 0;
}

static void list_domains(struct listing *l);

static void on_later(evutil_socket_t fd, short events, void *arg)
{
	turns_note("routes: list");
	list_domains(arg);
}

// The first one that may be on the page.
static bool first_route(struct listing *l, uint32_t id, struct route_info *info)
{
	if (l->begun)
		return domain_next(l->sync->domains, id, &l->last, info);
	if (!l->within)
		return domain_next(l->sync->domains, id, NULL, info);
	return domain_route(l->sync->domains, id, &l->prefix, info) ||
	       domain_next(l->sync->domains, id, &l->prefix, info);
}

// True: that was all of this domain, or the page is full. False: the turn is over, on_later() goes on.
static bool list_known(struct listing *l, const struct intent_domain *domain)
{
	const struct timeval now = {0, 0};
	uint64_t end = clock_ns() + SLICE_NS;
	struct route_info info;
	bool more = first_route(l, domain->id, &info);

	for (unsigned int i = 0; more; i++) {
		if (l->within && !ip_prefix_contains(&l->prefix, &info.prefix))
			return true; // those inside stand together
		l->begun = true;
		l->last = info.prefix;
		if (asked_for(l, &info.prefix, state_of_route(&info)))
			add_item(l, known_json(l->sync, domain, &info));
		if (l->full)
			return true;
		if (i % 64 == 63 && clock_ns() > end &&
			event_base_once(l->sync->base, -1, EV_TIMEOUT, on_later, l, &now) == 0)
			return false;
		more = domain_next(l->sync->domains, domain->id, &l->last, &info);
	}
	return true;
}

// Of the underlay; a few, in the order of the configuration.
static void list_static(struct listing *l, const struct intent_domain *domain)
{
	for (unsigned int i = 0; i < domain->routes.count && !l->full; i++) {
		const struct intent_route *route = &domain->routes.item[i];
		struct ip_address via;
		char text[IP_TEXT_MAX];
		if (l->begun && ip_prefix_compare(&route->prefix, &l->last) <= 0)
			continue; // sorted by the model
		if (!asked_for(l, &route->prefix, "installed"))
			continue;
		const struct intent_interface *core =
			underlay_way(l->sync->domains, &route->via, &via);
		const struct neighbor *neighbor =
			core != NULL ? nexthops_neighbor_find(&l->sync->hops, core->id, &via)
				     : NULL;
		json_t *hops = json_array();
		json_array_append_new(
			hops, nexthop_json(l->sync, core != NULL ? core->id : 0, &route->via, 1,
				      neighbor != NULL && neighbor->state == NEIGHBOR_USABLE));
		l->last = route->prefix;
		add_item(l, route_json(domain, ip_prefix_format(&route->prefix, text), "installed",
				    "static", NULL, hops));
	}
}

// --- asking the speakers -------------------------------------------------------------------------------

static bool asks_advertised(const struct listing *l)
{
	return l->state != NULL && strcmp(l->state, "advertised") == 0;
}

static const struct intent_address *session_at(const struct fragment *fragment, unsigned int index)
{
	return &fragment->interfaces.item[index / 2].address[index % 2];
}

static const char *learned_origin(const struct intent_domain *domain)
{
	return domain->routes.count > 0 ? "static" : "bgp";
}

static void on_row(void *ctx, const struct policy_route *route, const struct policy_rule *rule)
{
	struct listing *l = ctx;
	const struct fragment *fragment = domain_named(l->sync, l->domain);
	bool rejected = !asks_advertised(l);
	const char *state = rejected ? "rejected" : "advertised";
	char text[IP_TEXT_MAX];

	if (fragment == NULL || l->session >= 2 * fragment->interfaces.count ||
		!asked_for(l, &route->prefix, state) || l->full)
		return;
	const struct intent_address *address = session_at(fragment, l->session);
	const struct realised_session *session = session_find(l->sync, address->session);
	if (route->partial && session != NULL &&
		session_learned(l->sync, session, &route->prefix))
		return; // what was thrown away has been announced rightly since
	if (l->seen++ < l->skip)
		return;
	const struct intent_domain *domain = &fragment->domains.item[0];
	json_t *hops = json_array();
	json_t *json = route_json(domain, ip_prefix_format(&route->prefix, text), state,
		rejected ? learned_origin(domain) : "connection", NULL, hops);
	if (rejected) { // of several sessions each has its own
		json_array_append_new(
			hops, nexthop_json(l->sync, session_interface(address->session),
				      &address->remote, 1, true));
		json_object_set_new(
			json, "rule", json_string(rule != NULL ? rule->name : "unknown"));
		json_object_set_new(json, "object", json_string(rule != NULL ? rule->object : ""));
	}
	add_item(l, json);
}

static void unanswered(struct listing *l)
{
	if (l->unanswered[0] == '\0')
		snprintf(l->unanswered, sizeof(l->unanswered), "%s", l->domain);
}

static void on_answer(void *ctx, const struct api_error *error)
{
	struct listing *l = ctx;

	if (error != NULL)
		unanswered(l);
	l->session++;
	list_domains(l);
}

// True: a question is under way, on_answer goes on.
static bool ask_speaker(struct listing *l, const struct fragment *fragment)
{
	bool advertised = asks_advertised(l);

	if (l->state != NULL && !advertised && strcmp(l->state, "rejected") != 0)
		return false;
	for (; l->session < 2 * fragment->interfaces.count && !l->full; l->session++) {
		const struct intent_address *address = session_at(fragment, l->session);
		if (address->remote.family == 0)
			continue;
		int err = speakers_ask(l->sync->speakers, address->session,
			advertised ? SPEAKER_ADVERTISED : SPEAKER_FILTERED, on_row, on_answer, l);
		if (err == 0)
			return true;
		if (err == -ETIMEDOUT)
			unanswered(l);
	}
	return false;
}

static void begin_domain(struct listing *l, const struct intent_domain *domain)
{
	if (strcmp(l->domain, domain->name) == 0)
		return;
	snprintf(l->domain, sizeof(l->domain), "%s", domain->name);
	l->begun = l->asking = false;
	l->session = 0;
	l->skip = l->seen = 0;
}

// False: it goes on in another turn.
static bool list_domain(struct listing *l, const struct fragment *fragment)
{
	const struct intent_domain *domain = &fragment->domains.item[0];

	if (l->state != NULL && strcmp(l->state, "advertised") == 0)
		l->asking = true;
	if (!l->asking) {
		if (domain->kind == INTENT_UNDERLAY)
			list_static(l, domain);
		else if (!list_known(l, domain))
			return false;
		if (l->full)
			return true;
		l->asking = true;
	}
	return domain->kind != INTENT_PEERING || !ask_speaker(l, fragment);
}

static void list_domains(struct listing *l)
{
	const struct fragment *fragment;

	while (!l->full && (fragment = next_domain(l->sync, &l->selection, &l->walk)) != NULL) {
		begin_domain(l, &fragment->domains.item[0]);
		if (!list_domain(l, fragment)) {
			walk_to(&l->walk, fragment);
			return;
		}
	}
	json_t *unknown = json_null();
	char message[sizeof(l->unanswered) + 80];
	snprintf(message, sizeof(message), "the BGP daemon of %s does not answer", l->unanswered);
	if (l->unanswered[0] != '\0')
		unknown = json_pack("{s:s, s:s}", "message", message, "hint", "culvertctl status");
	rpc_reply_items(l->call, &l->items,
		json_pack("{s:s?, s:o}", "next", l->full ? l->next : NULL, "unknown", unknown));
	free(l);
}

// Where the page before ended; a domain that is gone since then is one that has been told.
static void take_up(struct listing *l)
{
	const char *name = l->domain;

	if (strncmp(name, "peering/", 8) == 0) {
		l->walk = (struct walk){.part = 1, .again = true};
		name += 8;
	} else if (strncmp(name, "vnet/", 5) == 0) {
		l->walk = (struct walk){.part = 2, .again = true};
		name += 5;
	} else {
		return;
	}
	snprintf(l->walk.name, sizeof(l->walk.name), "%s", name);
}

static bool list_parameters(struct listing *l, struct rpc_call *call)
{
	const char *prefix = rpc_string(call, "prefix"), *cursor = rpc_string(call, "cursor");
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
	if (cursor != NULL && !cursor_parse(l, cursor)) {
		api_fail(&error, API_USAGE, "use the \"next\" of the page before",
			"\"%.32s\" is not a cursor", cursor);
		rpc_fail(call, &error);
		return false;
	}
	take_up(l);
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
	if (!selection_start(&l->selection, call) || !list_parameters(l, call)) {
		free(l);
		return;
	}
	l->limit = rpc_limit(call);
	list_domains(l);
}

// --- route.get -----------------------------------------------------------------------------------------

// The longest prefix that covers the address and is in the data plane.
static json_t *get_json(const struct sync *sync, const struct intent_domain *domain,
	const struct ip_address *address, const char *text)
{
	struct route_info info;
	bool found = false;

	for (int len = ip_bits(address->family); len >= 0 && !found; len--) {
		const struct ip_prefix prefix = ip_prefix_of(address, (uint8_t)len);
		found = domain_route(sync->domains, domain->id, &prefix, &info) && info.there;
	}
	return json_pack("{s:s, s:s, s:o}", "domain", domain->name, "address", text, "route",
		found ? known_json(sync, domain, &info) : json_null());
}

// An address means something else in each domain: whoever names none means the only one there is.
static bool names_domains(
	const struct sync *sync, const struct selection *selection, struct rpc_call *call)
{
	const struct fragment *fragment;
	struct api_error error;
	struct walk walk = {0};
	unsigned int domains = 0;

	while (selection->all && domains < 2 &&
		(fragment = next_domain(sync, selection, &walk)) != NULL)
		domains += fragment->domains.item[0].kind != INTENT_UNDERLAY;
	if (domains < 2)
		return true;
	api_fail(&error, API_USAGE,
		"--circuit NAME, --vnet NAME, --peering NAME or --domain DOMAIN",
		"each routing domain sends an address elsewhere: say of which");
	rpc_fail(call, &error);
	return false;
}

void method_route_get(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	const struct fragment *fragment;
	struct selection selection;
	struct ip_address address;
	struct walk walk = {0};
	struct api_error error;

	if (sync == NULL || !selection_start(&selection, call) ||
		!names_domains(sync, &selection, call))
		return;
	const char *text = rpc_string(call, "address");
	if (ip_address_parse(text, &address) != 0) {
		api_fail(&error, API_USAGE, "192.0.2.1", "\"%.64s\" is not an address", text);
		rpc_fail(call, &error);
		return;
	}
	json_t *items = json_array();
	while ((fragment = next_domain(sync, &selection, &walk)) != NULL)
		if (fragment->domains.item[0].kind != INTENT_UNDERLAY)
			json_array_append_new(
				items, get_json(sync, &fragment->domains.item[0], &address, text));
	json_t *answer = json_array_size(items) == 1
				 ? json_incref(json_array_get(items, 0))
				 : json_pack("{s:O, s:n}", "items", items, "next");
	json_decref(items);
	rpc_reply(call, with_unknown(sync, false, answer));
}

// --- route.summary -------------------------------------------------------------------------------------

struct domain_counts both_families(const struct domain_status *status)
{
	const struct domain_counts *a = &status->count[0], *b = &status->count[1];

	return (struct domain_counts){
		.learned = a->learned + b->learned,
		.taken = a->taken + b->taken,
		.held = a->held + b->held,
		.refused = a->refused + b->refused,
		.installed = a->installed + b->installed,
	};
}

static json_t *summary_json(const struct sync *sync, const struct fragment *fragment)
{
	const struct intent_domain *domain = &fragment->domains.item[0];
	struct domain_status status = {0};
	unsigned int rejected = 0, advertised = 0;
	bool known = dataplane_tells(sync);

	domain_status(sync->domains, domain->id, &status);
	struct domain_counts all = both_families(&status);
	for (unsigned int i = 0; i < 2 * fragment->interfaces.count; i++) {
		const struct intent_address *address = session_at(fragment, i);
		const struct realised_session *session =
			address->remote.family != 0 ? session_find(sync, address->session) : NULL;
		const struct session_routes routes = session != NULL
							     ? session_routes(sync, session)
							     : (struct session_routes){0};
		rejected += session != NULL ? session->rejected : 0;
		advertised += routes.advertised;
	}
	if (domain->kind == INTENT_UNDERLAY)
		all.installed = domain->routes.count;
	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:o, s:i, s:i, s:o}", "domain", domain->name,
		"learned", (int)(all.learned + rejected), "accepted",
		(int)(all.learned - all.refused - all.held), "rejected",
		(int)(all.refused + rejected), "held", (int)all.held, "installed",
		json_known(known, all.installed), "advertised", (int)advertised, "limit",
		domain->kind == INTENT_PEERING ? (int)status.limit[0] : 0, "bytes",
		json_known(known, status.bytes));
}

static void answer_summary(void *ctx)
{
	struct rpc_call *call = ctx;
	struct sync *sync = call_sync(call);
	const struct fragment *fragment;
	struct selection selection;
	struct walk walk = {0};
	struct page page;

	if (sync == NULL || !selection_start(&selection, call) || !page_start(&page, call))
		return;
	while (!page_full(&page) && (fragment = next_domain(sync, &selection, &walk)) != NULL)
		if (page_wants(&page))
			page_add(&page, summary_json(sync, fragment));
	page_reply(&page, call, with_unknown(sync, false, json_object()));
}

void method_route_summary(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	if (sync != NULL)
		dataplane_refresh_vrfs(sync->dataplane, answer_summary, call);
}
