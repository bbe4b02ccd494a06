// SPDX-License-Identifier: BSD-3-Clause
// The table of what the route thread answers, and what all of its methods use: pages, selectors, names. The
// shapes of parameters and results are written in control/api/methods.h.

#include "control/rpc/answers/answers.h"

#include "control/base/clock.h"

#include "control/model/circuit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool page_start(struct page *page, struct rpc_call *call)
{
	*page = (struct page){.limit = rpc_limit(call), .until = clock_ns() + RPC_PAGE_NS};
	return rpc_cursor(call, &page->skip);
}

bool page_wants(struct page *page)
{
	if (page->seen++ < page->skip)
		return false;
	if (page->items.count == 0 || (page->items.count < page->limit && clock_ns() < page->until))
		return true;
	page->more = true;
	return false;
}

void page_reply(struct page *page, struct rpc_call *call, json_t *more)
{
	char next[32];

	snprintf(next, sizeof(next), "%" PRIu64, page->skip + page->items.count);
	if (more == NULL)
		more = json_object();
	json_object_set_new(more, "next", page->more ? json_string(next) : json_null());
	rpc_reply_items(call, &page->items, more);
}

struct sync *call_sync(struct rpc_call *call)
{
	struct sync *sync = call->ctx;
	struct api_error error;

	if (domains_publication(sync->domains) != NULL)
		return sync;
	api_fail(&error, API_UNREACHABLE, "try again", "culvertd is still starting");
	rpc_fail(call, &error);
	return NULL;
}

static bool not_found(struct rpc_call *call, const char *noun, const char *name)
{
	struct api_error error;
	char hint[128];

	snprintf(hint, sizeof(hint), "culvertctl %s list", noun);
	api_fail(&error, API_NOT_FOUND, hint, "no %s named \"%s\"", noun, name);
	rpc_fail(call, &error);
	return false;
}

bool find_object(struct rpc_call *call, enum noun_id noun, const char *name)
{
	return name == NULL || model_find(model_of(call->ctx), noun, name) != NULL ||
	       not_found(call, nouns[noun]->name, name);
}

bool one_of(struct rpc_call *call, const char *const *names, const char **given)
{
	struct api_error error;

	for (*given = NULL; *names != NULL; names++) {
		if (!rpc_has(call, *names))
			continue;
		if (*given != NULL) {
			api_fail(&error, API_USAGE, "give one of the two",
				"%s and %s cannot both be given", *given, *names);
			rpc_fail(call, &error);
			return false;
		}
		*given = *names;
	}
	return true;
}

static const struct {
	const char *name;
	enum noun_id noun;
	bool children; // domains of the object's children of that noun
} selectors[] = {
	{"circuit", NOUN_PEERING, true},
	{"peering", NOUN_PEERING, false},
	{"vnet", NOUN_VNET, false},
	{"domain", NOUN_EDGE, false},
};
#define SELECTORS (sizeof(selectors) / sizeof(selectors[0]))

static bool select_domain(struct selection *s, struct rpc_call *call, const char *name)
{
	const struct fragment *fragment = domain_named(call->ctx, name);
	struct api_error error;

	if (fragment == NULL) {
		api_fail(&error, API_NOT_FOUND, "culvertctl route summary",
			"no routing domain named \"%s\" on this edge", name);
		rpc_fail(call, &error);
		return false;
	}
	s->noun = fragment->key.noun;
	snprintf(s->name, sizeof(s->name), "%s", fragment->key.name);
	return true;
}

bool selection_start(struct selection *s, struct rpc_call *call)
{
	static const char *const names[] = {"circuit", "peering", "vnet", "domain", NULL};
	const char *given;

	*s = (struct selection){.all = true};
	if (!one_of(call, names, &given))
		return false;
	for (unsigned int i = 0; i < SELECTORS && given != NULL; i++) {
		const char *name = rpc_string(call, given);
		if (strcmp(selectors[i].name, given) != 0)
			continue;
		s->all = false;
		if (selectors[i].noun == NOUN_EDGE)
			return select_domain(s, call, name);
		s->noun = selectors[i].noun;
		s->children = selectors[i].children;
		snprintf(s->name, sizeof(s->name), "%s", name);
		return find_object(call, s->children ? NOUN_CIRCUIT : s->noun, name);
	}
	return true;
}

bool selection_has(const struct selection *s, const struct intent_domain *domain)
{
	static const enum noun_id noun[] = {
		[INTENT_UNDERLAY] = NOUN_EDGE,
		[INTENT_PEERING] = NOUN_PEERING,
		[INTENT_VNET] = NOUN_VNET,
	};

	if (s->all)
		return true;
	if (domain == NULL || noun[domain->kind] != s->noun)
		return false;
	if (s->noun == NOUN_EDGE)
		return true; // there is one underlay
	return strcmp(s->children ? domain->circuit : domain->object, s->name) == 0;
}

json_t *json_u64(uint64_t value)
{
	return json_integer((json_int_t)value);
}

json_t *json_address(const struct ip_address *address)
{
	char text[IP_TEXT_MAX];
	return address->family != 0 ? json_string(ip_address_format(address, text)) : json_null();
}

json_t *json_known(bool known, uint64_t value)
{
	return known ? json_u64(value) : json_null();
}

bool dataplane_tells(const struct sync *sync)
{
	enum dataplane_state state = dataplane_status(sync->dataplane)->state;
	return state != DATAPLANE_DOWN && state != DATAPLANE_HELD && state != DATAPLANE_SILENT;
}

json_t *with_unknown(const struct sync *sync, bool counters, json_t *answer)
{
	const struct dataplane_status *status = dataplane_status(sync->dataplane);
	json_t *unknown = json_null();
	char message[512];

	if (!dataplane_tells(sync)) {
		snprintf(message, sizeof(message), "the data plane is %s%s%s",
			status->state == DATAPLANE_SILENT ? "silent" : "not connected",
			status->error[0] != '\0' ? ": " : "", status->error);
		unknown = json_pack("{s:s, s:s}", "message", message, "hint",
			status->hint[0] != '\0' ? status->hint : "start culvert-dataplane");
	} else if (counters && !counters_readable(sync)) {
		unknown = json_pack("{s:s, s:s}", "message",
			"the data plane's counters cannot be read", "hint", "see culvertd's log");
	}
	json_object_set_new(answer, "unknown", unknown);
	return answer;
}

#define PAGE_PARAMS                                                      \
	{"limit", RPC_INTEGER, false, "at most so many items"},          \
	{                                                                \
		"cursor", RPC_STRING, false, "`next` of the page before" \
	}
#define SELECTOR                                                                  \
	{"circuit", RPC_STRING, false, "the domains of this circuit's peerings"}, \
		{"peering", RPC_STRING, false, "CIRCUIT/TYPE"},                   \
		{"vnet", RPC_STRING, false, "name of a vNet"},                    \
	{                                                                         \
		"domain", RPC_STRING, false, "name of a routing domain"           \
	}

const struct rpc_method sync_methods[] = {
	{
		.name = API_STATUS,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_status,
		.help = "What this edge is doing, and what is wrong.",
	},
	{
		.name = API_CIRCUIT_STATUS,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_circuit_status,
		.help = "State, rates and BGP sessions of circuits.",
		.params = {{"circuit", RPC_STRING, false, "only this one"},
			{"customer", RPC_STRING, false, "only this customer's"},
			{"provider", RPC_STRING, false, "only this provider's"},
			{"location", RPC_STRING, false, "only those there"},
			{"brief", RPC_BOOLEAN, false, "states, known rates and counts of routes alone"},
			PAGE_PARAMS},
	},
	{
		.name = API_CIRCUIT_CHECK,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_circuit_check,
		.help = "What a circuit lacks before packets flow, in order, and who has to do it.",
		.params = {{"circuit", RPC_STRING, true, "name of the circuit"}},
	},
	{
		.name = API_CIRCUIT_STATS,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_circuit_stats,
		.help = "All counters of one circuit.",
		.params = {{"circuit", RPC_STRING, true, "name of the circuit"},
			{"link", RPC_STRING, false, "primary or secondary"}},
	},
	{
		.name = API_PEERING_STATUS,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_peering_status,
		.help = "BGP sessions.",
		.params = {{"peering", RPC_STRING, false, "CIRCUIT/TYPE"},
			{"circuit", RPC_STRING, false, "only this one's"}, PAGE_PARAMS},
	},
	{
		.name = API_PEERING_CLEAR,
		.role = RPC_OPERATOR,
		.thread = RPC_ROUTE,
		.handler = method_peering_clear,
		.audited = true,
		.help = "Closes a peering's BGP sessions and lets them come up again.",
		.params = {{"peering", RPC_STRING, true, "CIRCUIT/TYPE"},
			{"soft", RPC_BOOLEAN, false, "ask for a route refresh only"}},
	},
	{
		.name = API_ROUTE_LIST,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_route_list,
		.help = "Routes by domain: installed, accepted, rejected with the rule, "
			"advertised.",
		.params = {SELECTOR,
			{"state", RPC_STRING, false,
				"installed, accepted, held, rejected or advertised"},
			{"prefix", RPC_STRING, false, "this prefix and what is inside"},
			PAGE_PARAMS},
	},
	{
		.name = API_ROUTE_GET,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_route_get,
		.help = "What the data plane does with a destination.",
		.params = {SELECTOR, {"address", RPC_STRING, true, "the destination"}},
	},
	{
		.name = API_ROUTE_SUMMARY,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_route_summary,
		.help = "Numbers of routes by domain.",
		.params = {SELECTOR, PAGE_PARAMS},
	},
	{
		.name = API_NEIGHBOR_LIST,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_neighbor_list,
		.help = "The next hops that are resolved, and those that are not.",
		.params = {SELECTOR, PAGE_PARAMS},
	},
	{
		.name = API_DROPS,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_drops,
		.help = "Dropped packets by interface and reason.",
		.params = {{"circuit", RPC_STRING, false, "only this one's interfaces"},
			{"vnet", RPC_STRING, false, "only this one's tunnel"},
			{"port", RPC_STRING, false, "only what came in by this port"}, PAGE_PARAMS},
	},
	{
		.name = API_EDGE_ADOPT,
		.role = RPC_ADMIN,
		.thread = RPC_ROUTE,
		.handler = method_edge_adopt,
		.audited = true,
		.help = "Takes over what this host and the data plane hold of another store or "
			"edge, and lets everything go that is not configured.",
		.params = {{"check", RPC_BOOLEAN, false, "only say what would be done"},
			{"force", RPC_BOOLEAN, false,
				"even if the model does not have this edge, so that all goes"}},
	},
	{
		.name = API_PORT_STATUS,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_port_status,
		.help = "The ports of this edge.",
		.params = {{"port", RPC_STRING, false, "only this one"}, PAGE_PARAMS},
	},
	{
		.name = API_DOCTOR,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_doctor,
		.help = "What of this machine stands in the way, and what mends it.",
	},
	{
		.name = API_REVISION_WAIT,
		.role = RPC_VIEWER,
		.thread = RPC_ROUTE,
		.handler = method_revision_wait,
		.waits = true,
		.help = "Waits until a revision is in force, or tells what the data plane refuses.",
		.params = {{"revision", RPC_INTEGER, true, "as a change was answered with"},
			{"seconds", RPC_INTEGER, false, "at most, 0 to 30; default 2"}},
	},
	{.name = NULL},
};
