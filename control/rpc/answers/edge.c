// SPDX-License-Identifier: BSD-3-Clause
// status, neighbor.list, drops, port.status: this edge as a whole.

#include "control/rpc/answers/answers.h"

#include "control/base/array.h"
#include "control/base/turns.h"
#include "control/model/circuit.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/status/status.h"
#include "dataplane/wire/port_fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// --- status --------------------------------------------------------------------------------------------

static json_t *installed_json(const struct sync *sync)
{
	const struct records *records = &sync->records;

	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "interfaces",
		(int)records->there[WIRE_INTERFACE_SET], "vrfs", (int)records->there[WIRE_VRF_SET],
		"routes", (int)records->routes_there, "nexthops",
		(int)records->there[WIRE_GROUP_SET], "tunnels", (int)records->tunnels_there,
		"limiters", (int)records->there[WIRE_LIMITER_SET]);
}

static json_t *dataplane_json(const struct sync *sync)
{
	const struct dataplane_status *status = dataplane_status(sync->dataplane);
	bool trouble = status->state == DATAPLANE_DOWN || status->state == DATAPLANE_REFUSED ||
		       status->state == DATAPLANE_HELD || status->state == DATAPLANE_SILENT;

	return json_pack("{s:s, s:o, s:o, s:s?, s:s?, s:{s:o, s:o, s:o, s:i, s:o}, s:o}", "state",
		dataplane_state_name(status->state), "since", json_u64(status->since), "instance",
		json_u64(status->hello.instance & INT64_MAX), "error",
		trouble ? status->error : NULL, "hint", trouble ? status->hint : NULL, "records",
		"sent", json_u64(status->sent), "written", json_u64(status->hello.written),
		"unchanged", json_u64(status->hello.unchanged), "refused",
		(int)(status_count(sync->status, STATUS_RECORD, STATUS_ERROR) +
			sync->records.routes_failed),
		"pending",
		json_u64(sync->records.open ? sync->records.pending : sync->records.table.count),
		"installed", installed_json(sync));
}

static json_t *bridge_json(const struct sync *sync)
{
	static const char *const modes[] = {"netns", "table", "vrf"};
	struct speaker_counters speakers = {0};
	struct bridge_counters c = {0};

	bridge_counters(sync->bridge, &c);
	speakers_counters(sync->speakers, &speakers);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:i, s:o}", "mode",
		modes[sync->node->host_domain], "route_messages", json_u64(c.route_messages),
		"overruns", json_u64(c.overruns), "resyncs", json_u64(c.resyncs), "dumps",
		json_u64(c.dumps), "drift", json_u64(c.drift), "drift_last", c.drift_last,
		"speakers_pending", (int)speakers.pending, "quarantined",
		json_u64(speakers.quarantined));
}

static json_t *turns_json(void)
{
	const struct turns turns = turns_longest();

	return json_pack("{s:o, s:s?, s:o, s:s?}", "longest_us", json_u64(turns.longest.ns / 1000),
		"longest", turns.longest.callback, "recent_us", json_u64(turns.recent.ns / 1000),
		"recent", turns.recent.callback);
}

// Circuits by state, which the levels alone do not tell apart.
static void add_circuits(const struct sync *sync, json_t *result)
{
	static const char *const states[] = {
		"up", "degraded", "down", "disabled", "partial", "unknown"};
	json_t *circuits = json_object();

	for (unsigned int i = 0; i < 6; i++)
		json_object_set_new(circuits, states[i],
			json_integer(status_in_state(sync->status, STATUS_CIRCUIT, states[i])));
	json_object_set_new(result, "circuits", circuits);
}

// What links, sessions and routers behind them suffer from stands in their circuit's reason.
static bool add_status(void *ctx, const struct status *status, unsigned int alike)
{
	json_t *problems = ctx;
	char object[256], message[1024];

	if (status->kind == STATUS_LINK || status->kind == STATUS_SESSION ||
		status->kind == STATUS_NEIGHBOR)
		return false;
	snprintf(object, sizeof(object), "%s/%s", status_kind_name(status->kind), status->name);
	snprintf(message, sizeof(message), "%s%s%s", status->state,
		status->reason[0] != '\0' ? ": " : "", status->reason);
	json_array_append_new(problems,
		json_pack("{s:s, s:s, s:s, s:s, s:i}", "object", object, "level",
			status->level == STATUS_ERROR ? "error" : "warning", "message", message,
			"hint", status->hint, "alike", (int)alike));
	return true;
}

static void add_sessions_and_routes(const struct sync *sync, json_t *result)
{
	const struct session_sum sum = sync->sessions;
	struct domain_counts all;

	domains_counts(sync->domains, &all);
	int up = (int)status_count(sync->status, STATUS_SESSION, STATUS_OK);
	json_object_set_new(result, "sessions",
		json_pack("{s:i, s:i, s:i, s:i}", "established", up - (int)sum.silent, "static",
			(int)sum.silent, "down",
			(int)status_in_state(sync->status, STATUS_SESSION, "down"), "unknown",
			(int)status_in_state(sync->status, STATUS_SESSION, "unknown")));
	json_object_set_new(result, "routes",
		json_pack("{s:i, s:i, s:i, s:o}", "learned", (int)(all.learned + sum.rejected),
			"rejected", (int)(all.refused + sum.rejected), "held", (int)all.held,
			"installed", json_known(dataplane_tells(sync), all.installed)));
}

// What nobody can say is well yet, soon after our start.
static json_t *unheard_json(const struct sync *sync)
{
	unsigned int sessions = status_in_state(sync->status, STATUS_SESSION, "unknown");
	char message[96];

	if (status_get(sync->status, STATUS_EDGE, sync->node->edge) == NULL)
		snprintf(message, sizeof(message), "culvertd is still taking up its configuration");
	else if (sessions > 0)
		snprintf(message, sizeof(message), "%u session%s not heard of yet", sessions,
			sessions == 1 ? "" : "s");
	else
		return json_null();
	return json_pack("{s:s, s:s}", "message", message, "hint", "ask again");
}

static json_t *pending_json(const struct publication *publication)
{
	if (!publication->pending.waits)
		return json_null();
	json_t *decider = publication->pending.decider[0] == '\0'
				  ? json_null()
				  : json_pack("{s:s, s:o}", "edge", publication->pending.decider, "revision",
					    json_u64(publication->pending.decided));

	return json_pack("{s:o, s:o, s:I, s:s, s:o}", "revision", json_u64(publication->revision),
		"before", json_u64(publication->pending.before), "until",
		(json_int_t)publication->pending.until, "actor", publication->pending.actor, "decider",
		decider);
}

static void answer_status(void *ctx)
{
	struct rpc_call *call = ctx;
	struct sync *sync = call->ctx;
	const struct publication *publication = domains_publication(sync->domains);
	const uint8_t *uuid = publication->store;
	char text[40];
	int at = 0;

	for (unsigned int i = 0; i < 16; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	json_t *problems = json_array();
	json_t *result = json_pack("{s:s, s:s, s:I, s:o, s:o, s:{s:s, s:s}, s:o, s:o, s:o}", "version",
		CULVERT_VERSION, "edge", sync->node->edge, "time", (json_int_t)time(NULL),
		"started", json_u64(sync->started), "revision", json_u64(publication->revision),
		"store", "uuid", text, "state", "ok", "dataplane", dataplane_json(sync), "bridge",
		bridge_json(sync), "turns", turns_json());
	add_circuits(sync, result);
	add_sessions_and_routes(sync, result);
	status_problems(sync->status, 100, add_status, problems);
	json_object_set_new(result, "problems", problems);
	json_object_set_new(result, "pending", pending_json(publication));
	json_object_set_new(result, "unknown", unheard_json(sync));
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
struct keeping {
	LIST_OF(const struct intent_domain *) domains;
	LIST_OF(const struct intent_interface *) interfaces;
};

static void keep_fragment(void *ctx, const struct fragment *fragment)
{
	struct keeping *keeping = ctx;

	for (unsigned int i = 0; i < fragment->domains.count; i++)
		*(const struct intent_domain **)APPEND(keeping->domains) =
			&fragment->domains.item[i];
	for (unsigned int i = 0; i < fragment->interfaces.count; i++)
		*(const struct intent_interface **)APPEND(keeping->interfaces) =
			&fragment->interfaces.item[i];
}

static int compare_hosts(const void *a, const void *b)
{
	const struct intent_domain *left = *(const struct intent_domain *const *)a,
				   *right = *(const struct intent_domain *const *)b;
	return strcmp(left->host_name, right->host_name);
}

static int compare_interfaces(const void *a, const void *b)
{
	const struct intent_interface *left = *(const struct intent_interface *const *)a,
				      *right = *(const struct intent_interface *const *)b;
	return (left->id > right->id) - (left->id < right->id);
}

#define FIND(list, key, compare)                                                             \
	((list).count > 0 ? bsearch(&(key), (list).item, (list).count, sizeof(*(list).item), \
				    compare)                                                 \
			  : NULL)

static const struct intent_domain *kept_domain(const struct keeping *keeping, const char *host_name)
{
	const struct intent_domain wanted = {.host_name = host_name}, *key = &wanted;
	const struct intent_domain *const *found = FIND(keeping->domains, key, compare_hosts);

	return found != NULL ? *found : NULL;
}

static bool adopt_wants(void *ctx, const char *host_name, const char *host_interface)
{
	const struct keeping *keeping = ctx;
	struct intent_interface wanted = {.id = host_interface != NULL ? device_id(host_interface) : 0};
	const struct intent_interface *key = &wanted;

	if (host_interface == NULL)
		return kept_domain(keeping, host_name) != NULL;
	if (wanted.id == 0)
		return false;
	const struct intent_interface *const *found =
		FIND(keeping->interfaces, key, compare_interfaces);
	if (found == NULL || (*found)->kind == INTENT_TUNNEL)
		return false;
	if (host_name == NULL)
		return (*found)->domain != BRIDGE_UNDERLAY;
	const struct intent_domain *domain = kept_domain(keeping, host_name);
	return domain != NULL && domain->id == (*found)->domain;
}

#define SORT(list, compare)                                                              \
	do {                                                                             \
		if ((list).count > 0)                                                    \
			qsort((list).item, (list).count, sizeof(*(list).item), compare); \
	} while (0)

static void preview_adoption(struct sync *sync, struct adoption *adoption)
{
	static const struct intent_domain underlay = {
		.id = INTENT_UNDERLAY_ID, .kind = INTENT_UNDERLAY, .host_name = "underlay"};
	struct publication *publication =
		publication_ref((struct publication *)domains_publication(sync->domains));
	struct node_view *view = node_view_create(sync->node);
	struct fragments *fragments = fragments_full(publication, view);
	struct keeping keeping = {.domains = {0}};
	struct bridge_preview preview = {.wanted = adopt_wants, .ctx = &keeping};

	fragments_each(fragments, keep_fragment, &keeping);
	if (fragments_find(fragments, NOUN_EDGE, sync->node->edge) ==
		NULL) // ours to keep, if empty
		*(const struct intent_domain **)APPEND(keeping.domains) = &underlay;
	SORT(keeping.domains, compare_hosts);
	SORT(keeping.interfaces, compare_interfaces);
	for (unsigned int i = 0; i < keeping.domains.count; i++)
		preview.customers += keeping.domains.item[i]->id != BRIDGE_UNDERLAY;
	hold_preview(sync, &preview, adoption);
	free(keeping.domains.item);
	free(keeping.interfaces.item);
	fragments_destroy(fragments);
	free(view);
	publication_unref(publication);
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

// Without a data plane nobody's packets reach a neighbor: what was known of him is of the past.
static json_t *neighbor_json(const struct sync *sync, const struct intent_interface *interface,
	const struct neighbor *neighbor)
{
	struct ip_address address = {.family = neighbor->key.family};
	bool known = dataplane_tells(sync), usable = neighbor->state == NEIGHBOR_USABLE;
	char mac[24];

	memcpy(address.bytes, neighbor->key.addr, sizeof(address.bytes));
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", neighbor->mac[0],
		neighbor->mac[1], neighbor->mac[2], neighbor->mac[3], neighbor->mac[4],
		neighbor->mac[5]);
	return json_pack("{s:s, s:s, s:o, s:s?, s:s?, s:o}", "domain",
		domain_name(sync, interface->domain), "interface", interface->name, "address",
		json_address(&address), "mac", known && usable ? mac : NULL, "state",
		!known   ? NULL
		: usable ? "usable"
			 : "unresolved",
		"since", json_known(known, neighbor->since));
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
		const struct intent_interface *interface =
			interface_of(sync, list.item[i]->key.interface);
		if (interface == NULL ||
			!selection_has(
				&selection, domain_wanted(sync->domains, interface->domain)) ||
			!page_wants(&page))
			continue;
		page_add(&page, neighbor_json(sync, interface, list.item[i]));
	}
	free(list.item);
	page_reply(&page, call, with_unknown(sync, false, json_object()));
}

// --- drops ---------------------------------------------------------------------------------------------

// Index of the port in the node file by its name, "wan0", or its full one, "ams1/wan0". -1: the call has been answered.
static int port_named(struct rpc_call *call, const char *name)
{
	const struct sync *sync = call->ctx;
	const char *slash = strchr(name, '/'), *edge = sync->node->edge;
	bool ours = slash == NULL || (strlen(edge) == (size_t)(slash - name) &&
					     strncmp(name, edge, (size_t)(slash - name)) == 0);
	int index = ours ? node_port_index(sync->node, slash != NULL ? slash + 1 : name) : -1;
	struct api_error error;

	if (index >= 0)
		return index;
	if (ours)
		api_fail(&error, API_NOT_FOUND, "culvertctl port list",
			"no port named \"%.100s\" on this machine", name);
	else
		api_fail(&error, API_NOT_FOUND, "ask there, or: culvertctl port list",
			"port \"%.100s\" is not one of edge \"%s\", which this is", name, edge);
	rpc_fail(call, &error);
	return -1;
}

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
		page_add(&list->page,
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

enum drops_kind { DROPS_ALL, DROPS_CIRCUIT, DROPS_VNET, DROPS_PORT };
struct drops_selection {
	enum drops_kind kind;
	const char *name;
	int port; // its index in the node file
};

// False: no such object, or more than one is named, and the call has been answered. A name that does not exist has no drops
// either, which must not look as if all were well.
static bool drops_start(struct drops_selection *s, struct rpc_call *call)
{
	static const char *const names[] = {"circuit", "vnet", "port", NULL};
	const char *given;

	*s = (struct drops_selection){.kind = DROPS_ALL};
	if (!one_of(call, names, &given))
		return false;
	for (unsigned int i = 0; given != NULL && names[i] != NULL; i++)
		if (strcmp(names[i], given) == 0)
			s->kind = DROPS_CIRCUIT + i;
	s->name = given != NULL ? rpc_string(call, given) : NULL;
	if (s->kind == DROPS_CIRCUIT || s->kind == DROPS_VNET)
		return find_object(call, s->kind == DROPS_VNET ? NOUN_VNET : NOUN_CIRCUIT, s->name);
	if (s->kind == DROPS_ALL)
		return true;
	s->port = port_named(call, s->name);
	return s->port >= 0;
}

// What comes back to a circuit is lost in its vNets' domains.
static bool is_connected(
	const struct sync *sync, const char *circuit, const struct intent_domain *domain)
{
	char name[OBJECT_NAME_MAX];

	snprintf(name, sizeof(name), "%s/%s", circuit, domain->object);
	return domain->kind == INTENT_VNET && model_connection(model_of(sync), name) != NULL;
}

static bool drops_of(const struct drops_selection *s, const struct sync *sync,
	const struct intent_interface *interface)
{
	const struct intent_domain *domain = domain_wanted(sync->domains, interface->domain);

	switch (s->kind) {
	case DROPS_ALL:
		return true;
	case DROPS_CIRCUIT:
		return domain != NULL && (strcmp(domain->circuit, s->name) == 0 ||
						 is_connected(sync, s->name, domain));
	case DROPS_VNET:
		return domain != NULL && domain->kind == INTENT_VNET &&
		       strcmp(domain->object, s->name) == 0;
	case DROPS_PORT:
		return interface->kind != INTENT_TUNNEL && (int)interface->port == s->port;
	}
	return false;
}

static void add_unclassified(
	const struct drops_selection *s, const struct sync *sync, struct drop_list *list)
{
	for (unsigned int i = 0; i < sync->node->ports.count; i++) {
		char name[128];
		if (s->kind != DROPS_ALL && (s->kind != DROPS_PORT || s->port != (int)i))
			continue;
		snprintf(name, sizeof(name), "%s/unclassified", sync->node->ports.item[i].name);
		add_drops(sync, list, name, STATS_UNCLASSIFIED(i));
	}
}

void method_drops(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct drop_list list = {.total = 0};
	const struct fragment *fragment;
	struct drops_selection selection;
	struct walk walk = {0};

	if (sync == NULL || !drops_start(&selection, call) || !page_start(&list.page, call))
		return;
	while ((fragment = next_interfaces(sync, &walk)) != NULL) {
		for (unsigned int i = 0; i < fragment->interfaces.count; i++) {
			const struct intent_interface *interface = &fragment->interfaces.item[i];
			if (drops_of(&selection, sync, interface))
				add_drops(sync, &list, interface->name, interface->uid);
		}
	}
	add_unclassified(&selection, sync, &list);
	json_t *total = json_pack(
		"{s:o}", "total", json_known(counters_readable(sync), list.total));
	page_reply(&list.page, call, with_unknown(sync, true, total));
}

// --- port.status ---------------------------------------------------------------------------------------

// What a tunnel sends is counted as the tunnel's only; it is the core port's whose address it starts from.
struct port_sum {
	const struct sync *sync;
	struct stats_interface total[PORTS_MAX];
	bool core[PORTS_MAX];
	struct ip_address address[PORTS_MAX]; // of core ports
};

static void add_sent(struct port_sum *sum, unsigned int port, const struct stats_interface *one)
{
	sum->total[port].tx_packets += one->tx_packets;
	sum->total[port].tx_bytes += one->tx_bytes;
}

static void add_interface(struct port_sum *sum, const struct intent_interface *interface)
{
	bool tunnel = interface->kind == INTENT_TUNNEL;
	struct stats_interface one;
	struct stats_sparse sparse;

	if (interface->kind == INTENT_CORE && interface->port < PORTS_MAX) {
		sum->core[interface->port] = true;
		sum->address[interface->port] =
			interface->address[interface->address[0].local.family == 0].local;
	}
	if (!counters_interface(sum->sync, interface->uid, &one, &sparse))
		return;
	for (unsigned int port = 0; tunnel && port < PORTS_MAX; port++)
		if (sum->core[port] &&
			ip_address_compare(&sum->address[port], &interface->tunnel.local) == 0)
			add_sent(sum, port, &one);
	if (tunnel || interface->port >= PORTS_MAX)
		return;
	// Of a tunnel's packets the outer ones are counted at the core port already.
	sum->total[interface->port].rx_packets += one.rx_packets;
	sum->total[interface->port].rx_bytes += one.rx_bytes;
	add_sent(sum, interface->port, &one);
}

static void sum_up_ports(const struct sync *sync, struct port_sum *sum)
{
	const struct fragment *fragment;
	struct walk walk = {0};

	*sum = (struct port_sum){.sync = sync};
	while ((fragment = next_interfaces(sync, &walk)) != NULL) // ports' first
		for (unsigned int i = 0; i < fragment->interfaces.count; i++)
			add_interface(sum, &fragment->interfaces.item[i]);
}

// As the data plane opened it; while it does not say, as the node file has it.
static const char *kind_of(const struct node_port *port, const struct wire_port *said)
{
	static const char *const devices[] = {
		[NODE_DEVICE_PCI] = "pci",
		[NODE_DEVICE_VDEV] = "vdev",
		[NODE_DEVICE_NONE] = "",
	};
	static const char *const modes[] = {
		[NODE_MODE_AUTO] = "packet",
		[NODE_MODE_PACKET] = "packet",
		[NODE_MODE_XDP] = "xdp",
		[NODE_MODE_XDP_WHOLE] = "xdp-whole",
	};

	if (node_device(port->device) != NODE_DEVICE_KERNEL)
		return devices[node_device(port->device)];
	switch (said->kind) {
	case WIRE_PORT_PACKET:
		return "packet";
	case WIRE_PORT_XDP:
		return "xdp";
	case WIRE_PORT_XDP_WHOLE:
		return "xdp-whole";
	default:
		return modes[port->mode];
	}
}

static void add_xdp(json_t *answer, const struct wire_port *said, const struct stats_sparse *sparse)
{
	json_object_update_new(answer,
		json_pack("{s:b, s:s, s:I, s:{s:I, s:I, s:I}}", "zero_copy",
			(said->known & WIRE_PORT_ZERO_COPY) != 0, "tags",
			said->known & WIRE_PORT_TAGS_HIDDEN     ? "hidden"
			: said->known & WIRE_PORT_TAGS_SWITCHED ? "switched"
								: "seen",
			"rx_left", (json_int_t)sparse->left, "missed_by", "ring",
			(json_int_t)sparse->missed_ring, "memory",
			(json_int_t)sparse->missed_memory, "socket",
			(json_int_t)sparse->missed_socket));
}

static json_t *port_json(const struct port_sum *sum, unsigned int index)
{
	const struct sync *sync = sum->sync;
	const struct node_port *port = &sync->node->ports.item[index];
	const struct port_state *state = &sync->port[index];
	const struct stats_interface *total = &sum->total[index];
	struct stats_interface stray = {0};
	struct stats_sparse sparse;
	char mac[24], device[64];
	bool tells = dataplane_tells(sync), known = tells && state->known;
	bool counted = tells && counters_readable(sync);

	if (!counters_interface(sync, STATS_UNCLASSIFIED(index), &stray, &sparse)) {
		memset(&stray, 0, sizeof(stray));
		memset(&sparse, 0, sizeof(sparse));
	}
	const uint8_t *m = state->last.mac;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		m[5]);
	snprintf(device, sizeof(device), "%.*s", (int)strcspn(port->device, ","), port->device);
	json_t *answer = json_pack(
		"{s:s, s:s, s:s, s:s, s:s?, s:o, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"port", port->name, "role", sum->core[index] ? "core" : "customer", "device",
		device, "kind", kind_of(port, &state->last), "mac", known ? mac : NULL, "mtu",
		json_known(known, state->last.mtu), "state",
		!tells           ? "unknown"
		: !known         ? "missing"
		: state->last.up ? "up"
				 : "down",
		"reason",
		known && state->last.fault != WIRE_PORT_FAULT_NONE
			? wire_port_fault(state->last.fault)->text
			: NULL,
		"since", json_known(tells, state->since), "rx_packets",
		json_known(counted, total->rx_packets + stray.rx_packets), "rx_bytes",
		json_known(counted, total->rx_bytes), "tx_packets",
		json_known(counted, total->tx_packets), "tx_bytes",
		json_known(counted, total->tx_bytes), "rx_missed",
		json_known(counted, sparse.missed), "unclassified",
		json_known(counted, stray.rx_packets));
	if (counted && (state->last.kind == WIRE_PORT_XDP || state->last.kind == WIRE_PORT_XDP_WHOLE))
		add_xdp(answer, &state->last, &sparse);
	return answer;
}

void method_port_status(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct port_sum sum;

	if (sync == NULL)
		return;
	const char *only = rpc_string(call, "port");
	int wanted = only != NULL ? port_named(call, only) : -1;
	if (only != NULL && wanted < 0)
		return;
	sum_up_ports(sync, &sum);
	json_t *items = json_array();
	for (unsigned int i = 0; i < sync->node->ports.count && i < PORTS_MAX; i++)
		if (only == NULL || wanted == (int)i)
			json_array_append_new(items, port_json(&sum, i));
	rpc_reply(call, with_unknown(sync, true, json_pack("{s:o, s:n}", "items", items, "next")));
}
