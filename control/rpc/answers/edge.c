// SPDX-License-Identifier: BSD-3-Clause
// status, neighbor.list, drops, port.status: this edge as a whole.

#include "control/rpc/answers/answers.h"

#include "control/model/circuit.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// --- status --------------------------------------------------------------------------------------------

struct installed_count {
	unsigned int type[WIRE_COUNTERS_RELEASE + 1];
	unsigned int gre;
};

static void count_record(void *ctx, void *entry)
{
	struct installed_count *count = ctx;
	const struct record *record = entry;

	if (!record->sent || record->error != 0)
		return;
	count->type[record->key.type]++;
	if (record->key.type == WIRE_INTERFACE_SET && record->rank == RANK_TUNNEL)
		count->gre++;
}

static json_t *installed_json(const struct sync *sync)
{
	struct installed_count count = {0};

	table_each(&sync->records.table, count_record, &count);
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "interfaces",
		(int)count.type[WIRE_INTERFACE_SET], "vrfs", (int)count.type[WIRE_VRF_SET],
		"routes", (int)sync->records.routes_there, "nexthops",
		(int)count.type[WIRE_GROUP_SET], "tunnels", (int)count.gre, "limiters",
		(int)count.type[WIRE_LIMITER_SET]);
}

static unsigned int count_failures(const struct sync *sync)
{
	const struct record *record;
	unsigned int count = sync->records.routes_failed;

	TAILQ_FOREACH (record, &sync->records.failures, failure)
		count++;
	return count;
}

static json_t *dataplane_json(const struct sync *sync)
{
	const struct dataplane_status *status = dataplane_status(sync->dataplane);
	bool trouble = status->state == DATAPLANE_DOWN || status->state == DATAPLANE_REFUSED ||
		       status->state == DATAPLANE_HELD;

	return json_pack("{s:s, s:o, s:o, s:s?, s:s?, s:{s:o, s:o, s:o, s:i, s:o}, s:o}", "state",
		dataplane_state_name(status->state), "since", json_u64(status->since), "instance",
		json_u64(status->hello.instance & INT64_MAX), "error",
		trouble ? status->error : NULL, "hint", trouble ? status->hint : NULL, "records",
		"sent", json_u64(status->sent), "written", json_u64(status->hello.written),
		"unchanged", json_u64(status->hello.unchanged), "refused",
		(int)count_failures(sync), "pending", json_u64(sync->records.pending), "installed",
		installed_json(sync));
}

static json_t *bridge_json(const struct sync *sync)
{
	static const char *const modes[] = {"netns", "table", "vrf"};
	struct speaker_counters speakers = {0};
	struct bridge_counters c = {0};

	bridge_counters(sync->bridge, &c);
	speakers_counters(sync->speakers, &speakers);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "mode",
		modes[sync->node->host_domain], "route_messages", json_u64(c.route_messages),
		"overruns", json_u64(c.overruns), "resyncs", json_u64(c.resyncs), "dumps",
		json_u64(c.dumps), "drift", json_u64(c.drift), "drift_last", c.drift_last,
		"quarantined", json_u64(speakers.quarantined));
}

static void add_problem(json_t *problems, const char *object, const char *message, const char *hint)
{
	if (json_array_size(problems) < 100)
		json_array_append_new(problems, json_pack("{s:s, s:s, s:s}", "object", object,
							"message", message, "hint", hint));
}

// Circuits by state, which the levels alone do not tell apart.
static void add_circuits(const struct sync *sync, json_t *result)
{
	const struct model *model = sync->desired->publication->model;
	static const char *const states[] = {"up", "degraded", "down", "disabled", "partial"};
	unsigned int count[5] = {0};

	for (unsigned int i = 0; i < model_count(model, NOUN_CIRCUIT); i++) {
		const struct status *status =
			status_get(sync->status, STATUS_CIRCUIT, model_circuit_at(model, i)->name);
		for (unsigned int j = 0; status != NULL && j < 5; j++)
			count[j] += strcmp(status->state, states[j]) == 0;
	}
	json_t *circuits = json_object();
	for (unsigned int j = 0; j < 5; j++)
		json_object_set_new(circuits, states[j], json_integer(count[j]));
	json_object_set_new(result, "circuits", circuits);
}

// What links and sessions suffer from stands in their circuit's reason.
static void add_status(void *ctx, const struct status *status)
{
	json_t *problems = ctx;
	char object[256], message[1024];

	if (status->kind == STATUS_LINK || status->kind == STATUS_SESSION ||
		status->kind == STATUS_EDGE)
		return;
	snprintf(object, sizeof(object), "%s/%s", status_kind_name(status->kind), status->name);
	snprintf(message, sizeof(message), "%s%s%s", status->state,
		status->reason[0] != '\0' ? ": " : "", status->reason);
	add_problem(problems, object, message, status->hint);
}

static void add_sessions(const struct sync *sync, json_t *result)
{
	json_object_set_new(result, "sessions",
		json_pack("{s:i, s:i}", "established",
			(int)status_count(sync->status, STATUS_SESSION, STATUS_OK), "down",
			(int)status_count(sync->status, STATUS_SESSION, STATUS_ERROR)));
}

static void add_routes(const struct sync *sync, json_t *result)
{
	struct domain_counts all;
	unsigned int filtered = 0;

	domains_counts(sync->domains, &all);
	for (unsigned int i = 0; i < sync->desired->interfaces.count; i++) {
		const struct realised *session =
			table_find(&sync->realised, &sync->desired->interfaces.item[i].id);
		filtered += session != NULL ? session->session.filtered : 0;
	}
	json_object_set_new(result, "routes",
		json_pack("{s:i, s:i, s:i, s:i}", "learned", (int)(all.learned + filtered),
			"rejected", (int)(all.refused + filtered), "held", (int)all.held,
			"installed", (int)all.installed));
}

static void add_failures(struct sync *sync, json_t *problems)
{
	const struct record *record;
	const struct route *route;

	TAILQ_FOREACH (record, &sync->records.failures, failure) {
		char object[256], message[128];
		sync_describe(sync, record, object, sizeof(object));
		snprintf(message, sizeof(message), "the data plane refused it: %s",
			strerror(-record->error));
		add_problem(problems, object, message, "");
	}
	TAILQ_FOREACH (route, &sync->records.route_failures, queue) {
		char object[256], message[128];
		if (json_array_size(problems) >= 100)
			break;
		sync_describe_route(sync, route, object, sizeof(object));
		snprintf(message, sizeof(message), "the data plane refused it: %s",
			strerror(-route->error));
		add_problem(problems, object, message, "");
	}
	const struct findings *stored = sync->desired->publication->problems;
	for (unsigned int i = 0; stored != NULL && i < stored->count; i++)
		add_problem(problems, stored->item[i].path, stored->item[i].message,
			stored->item[i].hint);
	for (unsigned int i = 0; i < sync->desired->problems.count; i++) {
		const struct desired_problem *problem = &sync->desired->problems.item[i];
		add_problem(problems, problem->object, problem->message, problem->hint);
	}
}

static void add_hold(const struct sync *sync, json_t *problems)
{
	char object[OBJECT_NAME_MAX + 16];

	snprintf(object, sizeof(object), "edge/%s", sync->node->edge);
	if (!sync->hold.open)
		add_problem(problems, object, sync->hold.message, sync->hold.hint);
	if (sync->hold.sweep_message[0] != '\0')
		add_problem(problems, object, sync->hold.sweep_message, sync->hold.sweep_hint);
}

static void answer_status(void *ctx)
{
	struct rpc_call *call = ctx;
	struct sync *sync = call->ctx;
	const uint8_t *uuid = sync->desired->publication->store;
	char text[40];
	int at = 0;

	for (unsigned int i = 0; i < 16; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	json_t *problems = json_array();
	json_t *result = json_pack("{s:s, s:s, s:I, s:o, s:o, s:{s:s, s:s}, s:o, s:o}", "version",
		CULVERT_VERSION, "edge", sync->node->edge, "time", (json_int_t)time(NULL),
		"started", json_u64(sync->started), "revision",
		json_u64(sync->desired->publication->revision), "store", "uuid", text, "state",
		"ok", "dataplane", dataplane_json(sync), "bridge", bridge_json(sync));
	add_hold(sync, problems);
	add_circuits(sync, result);
	add_sessions(sync, result);
	add_routes(sync, result);
	status_problems(sync->status, 100, add_status, problems);
	add_failures(sync, problems);
	json_object_set_new(result, "problems", problems);
	rpc_reply(call, result);
}

void method_status(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	if (sync != NULL)
		dataplane_refresh(sync->dataplane, answer_status, call);
}

// --- edge.adopt ----------------------------------------------------------------------------------------

// While we are held back nothing is declared, so what stays is asked of the configuration itself.
static bool adopt_wants(void *ctx, const char *host_name, const char *host_interface)
{
	const struct desired *desired = ctx;
	unsigned int id;

	if (host_interface == NULL) {
		for (unsigned int i = 0; i < desired->domains.count; i++)
			if (strcmp(desired->domains.item[i].host_name, host_name) == 0)
				return true;
		return false;
	}
	if (sscanf(host_interface, "cv%u", &id) != 1)
		return false;
	const struct desired_interface *interface = desired_interface(desired, id);
	if (interface == NULL || interface->kind == INTERFACE_TUNNEL)
		return false;
	const struct desired_domain *domain = desired_domain(desired, interface->record.vrf);
	return domain != NULL && (host_name == NULL ? domain->id != BRIDGE_UNDERLAY
						    : strcmp(domain->host_name, host_name) == 0);
}

static void preview_adoption(struct sync *sync, struct adoption *adoption)
{
	struct desired *desired = desired_build(sync->desired->publication, sync->node);
	struct bridge_preview preview = {.wanted = adopt_wants, .ctx = desired};

	for (unsigned int i = 0; i < desired->domains.count; i++)
		preview.customers += desired->domains.item[i].id != BRIDGE_UNDERLAY;
	hold_preview(sync, &preview, adoption);
	desired_free(desired);
}

// A typo or an empty store is no reason to take a running edge down.
static bool adopt_refused(struct rpc_call *call, const struct adoption *adoption)
{
	const struct sync *sync = call->ctx;
	struct api_error error;

	if (adoption->known || (adoption->domains == 0 && adoption->interfaces == 0))
		return false;
	api_fail(&error, API_REFUSED,
		"correct `edge:` in the node file, or apply the model that has it; to remove them: "
		"culvertctl edge adopt --force",
		"edge \"%s\" is not in the model: %u of %u domains and %u of %u host interfaces of "
		"this host would be removed",
		sync->node->edge, adoption->domains, adoption->domains_there, adoption->interfaces,
		adoption->interfaces_there);
	rpc_fail(call, &error);
	return true;
}

void method_edge_adopt(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct adoption adoption;

	if (sync == NULL)
		return;
	bool check = rpc_boolean(call, "check", false);
	preview_adoption(sync, &adoption);
	if (!check && !rpc_boolean(call, "force", false) && adopt_refused(call, &adoption))
		return;
	if (!check)
		hold_adopt(sync);
	rpc_reply(call,
		json_pack("{s:b, s:b, s:b, s:{s:i, s:i, s:s, s:s}, s:{s:i, s:i}, s:{s:i, s:i}}",
			"adopted", !check, "needed", adoption.needed, "known", adoption.known,
			"take_over", "domains", (int)adoption.claims.domains, "interfaces",
			(int)adoption.claims.interfaces, "edge", adoption.claims.edge, "store",
			adoption.claims.store, "remove", "domains", (int)adoption.domains,
			"interfaces", (int)adoption.interfaces, "there", "domains",
			(int)adoption.domains_there, "interfaces", (int)adoption.interfaces_there));
}

// --- neighbor.list -------------------------------------------------------------------------------------

struct neighbor_list {
	const struct neighbor **item;
	size_t count;
};

static void add_neighbor(void *ctx, const struct neighbor *neighbor)
{
	struct neighbor_list *list = ctx;
	list->item[list->count++] = neighbor;
}

static int compare_neighbors(const void *a, const void *b)
{
	const struct neighbor *left = *(const struct neighbor *const *)a;
	const struct neighbor *right = *(const struct neighbor *const *)b;
	return memcmp(&left->key, &right->key, sizeof(left->key));
}

static json_t *neighbor_json(const struct sync *sync, const struct desired_interface *interface,
	const struct neighbor *neighbor)
{
	struct ip_address address = {.family = neighbor->key.family};
	char mac[24];

	memcpy(address.bytes, neighbor->key.addr, sizeof(address.bytes));
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", neighbor->mac[0],
		neighbor->mac[1], neighbor->mac[2], neighbor->mac[3], neighbor->mac[4],
		neighbor->mac[5]);
	bool usable = neighbor->state == NEIGHBOR_USABLE;
	return json_pack("{s:s, s:s, s:o, s:s?, s:s, s:o}", "domain",
		domain_name(sync, interface->record.vrf), "interface", interface->name, "address",
		json_address(&address), "mac", usable ? mac : NULL, "state",
		usable ? "usable" : "unresolved", "since", json_u64(neighbor->since));
}

void method_neighbor_list(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct selection selection;
	struct page page;

	if (sync == NULL || !selection_start(&selection, call) || !page_start(&page, call))
		return;
	struct neighbor_list list = {
		.item = calloc(sync->hops.neighbors.count + 1, sizeof(struct neighbor *))};
	if (list.item == NULL)
		abort();
	nexthops_expected(&sync->hops, add_neighbor, &list);
	qsort(list.item, list.count, sizeof(*list.item), compare_neighbors);
	for (size_t i = 0; i < list.count && !page_full(&page); i++) {
		const struct desired_interface *interface =
			desired_interface(sync->desired, list.item[i]->key.interface);
		if (interface == NULL ||
			!selection_has(
				&selection, desired_domain(sync->desired, interface->record.vrf)) ||
			!page_wants(&page))
			continue;
		json_array_append_new(page.items, neighbor_json(sync, interface, list.item[i]));
	}
	free(list.item);
	page_reply(&page, call);
}

// --- drops ---------------------------------------------------------------------------------------------

struct drop_list {
	struct page page;
	uint64_t total;
};

static void add_drop(struct drop_list *list, const char *interface, const char *direction,
	const char *reason, uint64_t packets, const char *help)
{
	if (packets == 0)
		return;
	list->total += packets;
	if (page_wants(&list->page))
		json_array_append_new(list->page.items,
			json_pack("{s:s, s:s, s:s, s:o, s:s}", "interface", interface, "direction",
				direction, "reason", reason, "packets", json_u64(packets), "help",
				help));
}

static void add_drops(
	const struct sync *sync, struct drop_list *list, const char *name, uint64_t uid)
{
#define DROP_ROW(symbol, text, help) {text, help},
	static const struct {
		const char *name, *help;
	} reasons[] = {DROP_REASONS(DROP_ROW)};
#undef DROP_ROW
	static const enum drop_reason tx[] = {
		DROP_TX_FULL, DROP_TX_DOWN, DROP_NO_BUFFER, DROP_RESTART};
	struct stats_interface sum;
	struct stats_sparse sparse;

	if (!counters_interface(sync, uid, &sum, &sparse))
		return;
	for (unsigned int i = 0; i < DROP_COUNT; i++)
		add_drop(list, name, "rx", reasons[i].name, sparse.drops[i], reasons[i].help);
	for (unsigned int i = 0; i < 4; i++)
		add_drop(list, name, "tx", reasons[tx[i]].name, sparse.tx_drops[i],
			reasons[tx[i]].help);
}

static bool drops_of(
	const struct sync *sync, struct rpc_call *call, const struct desired_interface *interface)
{
	const char *circuit = rpc_string(call, "circuit"), *vnet = rpc_string(call, "vnet"),
		   *port = rpc_string(call, "port");
	const struct desired_domain *domain = desired_domain(sync->desired, interface->record.vrf);

	if (circuit != NULL && strcmp(domain->circuit, circuit) != 0)
		return false;
	if (vnet != NULL && (domain->kind != DOMAIN_VNET || strcmp(domain->object, vnet) != 0))
		return false;
	return port == NULL ||
	       (interface->kind != INTERFACE_TUNNEL &&
		       (int)interface->record.port == node_port_index(sync->node, port));
}

// A name that does not exist has no drops either, which must not look as if all were well.
static bool drops_known(const struct sync *sync, struct rpc_call *call)
{
	const struct model *model = sync->desired->publication->model;
	const char *circuit = rpc_string(call, "circuit"), *vnet = rpc_string(call, "vnet"),
		   *port = rpc_string(call, "port");
	const char *noun = NULL, *name = NULL;
	struct api_error error;
	char hint[64];

	if (circuit != NULL && model_circuit(model, circuit) == NULL)
		noun = "circuit", name = circuit;
	else if (vnet != NULL && model_vnet(model, vnet) == NULL)
		noun = "vnet", name = vnet;
	else if (port != NULL && node_port(sync->node, port) == NULL)
		noun = "port", name = port;
	if (noun == NULL)
		return true;
	snprintf(hint, sizeof(hint), "culvertctl %s list", noun);
	api_fail(&error, API_NOT_FOUND, hint, "no %s named \"%s\"%s", noun, name,
		port == name ? " on this machine" : "");
	rpc_fail(call, &error);
	return false;
}

void method_drops(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct drop_list list = {.total = 0};
	const char *port;

	if (sync == NULL || !drops_known(sync, call) || !page_start(&list.page, call))
		return;
	for (unsigned int i = 0; i < sync->desired->interfaces.count; i++) {
		const struct desired_interface *interface = &sync->desired->interfaces.item[i];
		if (drops_of(sync, call, interface))
			add_drops(sync, &list, interface->name, interface->record.uid);
	}
	port = rpc_string(call, "port");
	for (unsigned int i = 0; i < sync->node->ports.count; i++) {
		char name[128];
		if (rpc_has(call, "circuit") || rpc_has(call, "vnet") ||
			(port != NULL && strcmp(sync->node->ports.item[i].name, port) != 0))
			continue;
		snprintf(name, sizeof(name), "%s/unclassified", sync->node->ports.item[i].name);
		add_drops(sync, &list, name, STATS_UNCLASSIFIED(i));
	}
	char next[32];
	snprintf(
		next, sizeof(next), "%llu", (unsigned long long)(list.page.skip + list.page.limit));
	rpc_reply(call, json_pack("{s:o, s:s?, s:o}", "items", list.page.items, "next",
				list.page.more ? next : NULL, "total", json_u64(list.total)));
}

// --- port.status ---------------------------------------------------------------------------------------

// What a tunnel sends is counted as the tunnel's only; it is the core port's whose address it starts from.
static bool starts_at(
	const struct sync *sync, const struct desired_interface *tunnel, unsigned int port)
{
	for (unsigned int i = 0; i < sync->desired->interfaces.count; i++) {
		const struct desired_interface *core = &sync->desired->interfaces.item[i];
		if (core->kind == INTERFACE_CORE && core->record.port == port &&
			core->local.family == tunnel->record.family &&
			memcmp(core->local.bytes, tunnel->record.local,
				sizeof(core->local.bytes)) == 0)
			return true;
	}
	return false;
}

static json_t *port_json(const struct sync *sync, unsigned int index)
{
	const struct node_port *port = &sync->node->ports.item[index];
	const struct port_state *state = &sync->port[index];
	struct stats_interface total = {0}, sum, stray = {0};
	struct stats_sparse sparse;
	const char *role = "customer";
	char mac[24], device[64];

	for (unsigned int i = 0; i < sync->desired->interfaces.count; i++) {
		const struct desired_interface *interface = &sync->desired->interfaces.item[i];
		bool tunnel = interface->kind == INTERFACE_TUNNEL;
		if (tunnel ? !starts_at(sync, interface, index) : interface->record.port != index)
			continue;
		if (interface->kind == INTERFACE_CORE)
			role = "core";
		if (!counters_interface(sync, interface->record.uid, &sum, &sparse))
			continue;
		if (!tunnel) { // of a tunnel's packets the outer ones are counted at the core port already
			total.rx_packets += sum.rx_packets;
			total.rx_bytes += sum.rx_bytes;
		}
		total.tx_packets += sum.tx_packets;
		total.tx_bytes += sum.tx_bytes;
	}
	if (!counters_interface(sync, STATS_UNCLASSIFIED(index), &stray, &sparse))
		memset(&stray, 0, sizeof(stray));
	const uint8_t *m = state->last.mac;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		m[5]);
	snprintf(device, sizeof(device), "%.*s", (int)strcspn(port->device, ","), port->device);
	return json_pack("{s:s, s:s, s:s, s:s?, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:n, s:o}",
		"port", port->name, "role", role, "device", device, "mac",
		state->known ? mac : NULL, "mtu", (int)state->last.mtu, "state",
		!state->known    ? "missing"
		: state->last.up ? "up"
				 : "down",
		"since", json_u64(state->since), "rx_packets",
		json_u64(total.rx_packets + stray.rx_packets), "rx_bytes", json_u64(total.rx_bytes),
		"tx_packets", json_u64(total.tx_packets), "tx_bytes", json_u64(total.tx_bytes),
		"rx_missed", "unclassified", json_u64(stray.rx_packets));
}

void method_port_status(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct api_error error;

	if (sync == NULL)
		return;
	const char *only = rpc_string(call, "port");
	if (only != NULL && node_port(sync->node, only) == NULL) {
		api_fail(&error, API_NOT_FOUND, "culvertctl port list",
			"no port named \"%s\" on this machine", only);
		rpc_fail(call, &error);
		return;
	}
	json_t *items = json_array();
	for (unsigned int i = 0; i < sync->node->ports.count && i < PORTS_MAX; i++)
		if (only == NULL || strcmp(sync->node->ports.item[i].name, only) == 0)
			json_array_append_new(items, port_json(sync, i));
	rpc_reply_list(call, items, NULL);
}
