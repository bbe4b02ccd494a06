// SPDX-License-Identifier: BSD-3-Clause
// circuit.status, circuit.stats, peering.status, peering.clear: what a circuit does for its customer.
//
// A link is what its port, its admin state and its sessions make of it; a circuit is up when both of its links
// are, degraded while one is. What another edge's link does is not known here, and is said to be unknown
// rather than guessed.

#include "control/sync/methods.h"

#include "control/model/circuit.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *state_name(enum link_state state)
{
	static const char *const names[] = {"up", "degraded", "down", "disabled", "unknown"};
	return names[state];
}

static const char *role_name(const struct link *link)
{
	return link->role == LINK_PRIMARY ? "primary" : "secondary";
}

static const struct model *model_of(const struct sync *sync)
{
	return sync->desired->publication->model;
}

static bool is_ours(const struct sync *sync, const struct link *link)
{
	return strcmp(link->edge, sync->node->edge) == 0;
}

static const struct desired_interface *attachment_of(
	const struct sync *sync, const struct peering *peering, const struct link *link)
{
	struct id id = ids_of(sync->desired->publication->ids, ID_INTERFACE, "attachment/%s/%s",
		peering->object.name, role_name(link));
	return id.id != 0 ? desired_interface(sync->desired, id.id) : NULL;
}

// --- states --------------------------------------------------------------------------------------------

static const char *session_text(const struct sync *sync, const struct desired_interface *attachment)
{
	const struct realised *realised =
		attachment != NULL ? table_find(&sync->realised, &attachment->id) : NULL;

	if (attachment == NULL || realised == NULL || !realised->heard)
		return "down";
	return realised->session.state;
}

// Why it is not established, as the speaker says; "" = it does not say.
static const char *session_detail(
	const struct sync *sync, const struct desired_interface *attachment)
{
	const struct realised *realised =
		attachment != NULL ? table_find(&sync->realised, &attachment->id) : NULL;

	return realised != NULL && realised->heard ? realised->session.detail : "";
}

static bool is_established(const char *session)
{
	return strcmp(session, "established") == 0;
}

// What a link's sessions make of it, when everything below them is well.
static enum link_state sessions_state(
	const struct sync *sync, const struct link *link, char *reason, size_t size)
{
	unsigned int enabled = 0, up = 0;
	const struct object *child;

	MODEL_CHILDREN(model_of(sync), NOUN_PEERING, link->circuit, child)
	{
		const struct peering *peering = (const struct peering *)child;
		if (peering_subnet(peering, link) == NULL || !peering->enabled)
			continue;
		enabled++;
		const struct desired_interface *attachment = attachment_of(sync, peering, link);
		if (is_established(session_text(sync, attachment))) {
			up++;
			continue;
		}
		const char *detail = session_detail(sync, attachment);
		snprintf(reason, size, "no BGP session of %s%s%s", peering->object.name,
			detail[0] != '\0' ? ": " : "", detail);
	}
	if (enabled == 0)
		snprintf(reason, size, "no peering is enabled");
	return up == 0 ? STATE_DOWN : up < enabled ? STATE_DEGRADED : STATE_UP;
}

static enum link_state link_state(
	const struct sync *sync, const struct link *link, char *reason, size_t size)
{
	reason[0] = '\0';
	if (!is_ours(sync, link)) {
		snprintf(reason, size, "edge %s", link->edge);
		return STATE_UNKNOWN;
	}
	if (link->admin != LINK_UP) {
		snprintf(reason, size, "admin down");
		return STATE_DISABLED;
	}
	int index = node_port_index(sync->node, link->port);
	if (index < 0 || index >= PORTS_MAX) {
		snprintf(reason, size, "port %s has no device", link->port);
		return STATE_DOWN;
	}
	enum dataplane_state dataplane = dataplane_status(sync->dataplane)->state;
	if (dataplane == DATAPLANE_DOWN || dataplane == DATAPLANE_REFUSED) {
		snprintf(reason, size, "the data plane %s",
			dataplane == DATAPLANE_DOWN ? "does not run" : "refuses the configuration");
		return STATE_DOWN;
	}
	const struct port_state *port = &sync->port[index];
	if (!port->known || !port->last.up) {
		snprintf(reason, size, "port %s is %s", link->port,
			port->known ? "down" : "missing");
		return STATE_DOWN;
	}
	return sessions_state(sync, link, reason, size);
}

enum link_state circuit_state(
	const struct sync *sync, const struct circuit *circuit, char *reason, size_t size)
{
	unsigned int count[STATE_UNKNOWN + 1] = {0}, links = 0;
	bool have[2] = {false, false};
	const struct object *child;

	reason[0] = '\0';
	MODEL_CHILDREN(model_of(sync), NOUN_LINK, circuit->name, child)
	{
		const struct link *link = (const struct link *)child;
		char why[256];
		enum link_state state = link_state(sync, link, why, sizeof(why));
		links++;
		count[state]++;
		have[link->role == LINK_SECONDARY] = true;
		if (state != STATE_UP) {
			size_t used = strlen(reason);
			snprintf(reason + used, size - used, "%s%s %s%s%s%s", used > 0 ? ", " : "",
				role_name(link), state_name(state), why[0] != '\0' ? " (" : "", why,
				why[0] != '\0' ? ")" : "");
		}
	}
	for (unsigned int i = 0; i < 2 && links > 0; i++)
		if (!have[i]) {
			size_t used = strlen(reason);
			snprintf(reason + used, size - used, "%sno %s link", used > 0 ? ", " : "",
				i == 0 ? "primary" : "secondary");
		}
	if (links == 0)
		snprintf(reason, size, "no link");
	if (count[STATE_UP] == 2)
		return STATE_UP;
	if (count[STATE_UP] + count[STATE_DEGRADED] > 0)
		return STATE_DEGRADED;
	if (links > 0 && count[STATE_DISABLED] == links)
		return STATE_DISABLED;
	return links > 0 && count[STATE_UNKNOWN] == links ? STATE_UNKNOWN : STATE_DOWN;
}

// --- circuit.status ------------------------------------------------------------------------------------

static json_t *session_json(
	const struct sync *sync, const struct peering *peering, const struct link *link)
{
	const struct desired_interface *attachment = attachment_of(sync, peering, link);
	struct ip_address local = peering_local(peering, link),
			  remote = peering_remote(peering, link);
	const struct realised *realised =
		attachment != NULL ? table_find(&sync->realised, &attachment->id) : NULL;
	bool heard = realised != NULL && realised->heard;
	unsigned int learned = 0, ours = 0;

	if (attachment != NULL) {
		const struct desired_domain *domain =
			desired_domain(sync->desired, attachment->record.vrf);
		const struct domain *state = table_find(&sync->domains, &domain->id);
		learned = state != NULL ? (unsigned int)state->learned.count : 0;
		ours = count_rejected(sync, domain);
	}
	json_t *json = json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:i, s:i, s:i, s:i, s:i}",
		"peering", peering->object.name, "session",
		is_ours(sync, link) ? session_text(sync, attachment) : "unknown", "detail",
		heard              ? realised->session.detail
		: realised != NULL ? realised->error
				   : "",
		"local", json_address(&local), "remote", json_address(&remote), "remote_asn",
		(json_int_t)peering->peer_asn, "accepted", (int)(learned - ours), "rejected",
		(int)(ours + (heard ? realised->session.filtered : 0)), "held", 0, "advertised",
		(int)(heard ? realised->session.exported : 0), "limit", ROUTE_LIMIT);
	json_object_set_new(json, "since",
		heard && realised->session.since != 0 ? json_u64(realised->session.since)
						      : json_null());
	return json;
}

static json_t *direction_json(
	const struct sync *sync, const struct link *link, const char *direction, bool full)
{
	struct id id = ids_of(
		sync->desired->publication->ids, ID_LIMITER, "%s/%s", link->object.name, direction);
	struct limiter_counters c;

	if (id.id == 0 || !is_ours(sync, link))
		return json_null();
	counters_limiter(sync, id.uid, &c);
	json_t *json = json_pack("{s:o, s:o, s:o, s:o}", "packets",
		json_u64(c.sum.passed[0].packets + c.sum.passed[1].packets), "bytes",
		json_u64(c.sum.passed[0].bytes + c.sum.passed[1].bytes), "limited_packets",
		json_u64(c.sum.limited[0].packets + c.sum.limited[1].packets), "limited_bytes",
		json_u64(c.sum.limited[0].bytes + c.sum.limited[1].bytes));
	if (full) {
		json_object_set_new(json, "ef_packets", json_u64(c.sum.passed[1].packets));
		json_object_set_new(json, "ef_bytes", json_u64(c.sum.passed[1].bytes));
		json_object_set_new(json, "ef_limited_packets", json_u64(c.sum.limited[1].packets));
		json_object_set_new(json, "ef_limited_bytes", json_u64(c.sum.limited[1].bytes));
	}
	json_object_set_new(json, "rate", c.rates_known ? json_u64(c.rate) : json_null());
	json_object_set_new(
		json, "limited_rate", c.rates_known ? json_u64(c.limited_rate) : json_null());
	return json;
}

static json_t *link_json(const struct sync *sync, const struct link *link)
{
	char reason[256], vlan[32] = "";
	uint16_t tag[2];
	unsigned int tags = link_vlans(link, NULL, tag);
	enum link_state state = link_state(sync, link, reason, sizeof(reason));
	json_t *peerings = json_array();
	const struct object *child;

	if (tags == 1)
		snprintf(vlan, sizeof(vlan), "%u", tag[0]);
	else if (tags == 2)
		snprintf(vlan, sizeof(vlan), "%u.%u", tag[0], tag[1]);
	MODEL_CHILDREN(model_of(sync), NOUN_PEERING, link->circuit, child)
	{
		const struct peering *peering = (const struct peering *)child;
		if (peering_subnet(peering, link) != NULL)
			json_array_append_new(peerings, session_json(sync, peering, link));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "link", role_name(link),
		"edge", link->edge, "port", link->port, "vlan", vlan, "state", state_name(state),
		"reason", reason, "in", direction_json(sync, link, "in", false), "out",
		direction_json(sync, link, "out", false), "peerings", peerings);
}

static json_t *circuit_json(const struct sync *sync, const struct circuit *circuit)
{
	char reason[600];
	enum link_state state = circuit_state(sync, circuit, reason, sizeof(reason));
	json_t *links = json_array();
	const struct object *child;

	MODEL_CHILDREN(model_of(sync), NOUN_LINK, circuit->name, child)
	json_array_append_new(links, link_json(sync, (const struct link *)child));
	return json_pack("{s:s, s:s, s:o, s:s, s:s, s:o}", "circuit", circuit->name, "customer",
		circuit->customer, "bandwidth", json_u64(circuit->bandwidth), "state",
		state_name(state), "reason", reason, "links", links);
}

static bool find_circuit(struct rpc_call *call, const struct sync *sync, const char *name)
{
	struct api_error error;

	if (name == NULL || model_circuit(model_of(sync), name) != NULL)
		return true;
	api_fail(&error, API_NOT_FOUND, "culvertctl circuit list", "no circuit named \"%s\"", name);
	rpc_fail(call, &error);
	return false;
}

static bool find_customer(struct rpc_call *call, const struct sync *sync, const char *name)
{
	struct api_error error;

	if (name == NULL || model_customer(model_of(sync), name) != NULL)
		return true;
	api_fail(&error, API_NOT_FOUND, "culvertctl customer list", "no customer named \"%s\"",
		name);
	rpc_fail(call, &error);
	return false;
}

void method_circuit_status(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct page page;

	if (sync == NULL)
		return;
	const char *name = rpc_string(call, "circuit"), *customer = rpc_string(call, "customer");
	if (!find_circuit(call, sync, name) || !find_customer(call, sync, customer) ||
		!page_start(&page, call))
		return;
	for (unsigned int i = 0; i < model_count(model_of(sync), NOUN_CIRCUIT) && !page_full(&page);
		i++) {
		const struct circuit *circuit = model_circuit_at(model_of(sync), i);
		if ((name != NULL && strcmp(circuit->name, name) != 0) ||
			(customer != NULL && strcmp(circuit->customer, customer) != 0) ||
			!page_wants(&page))
			continue;
		json_array_append_new(page.items, circuit_json(sync, circuit));
	}
	page_reply(&page, call);
}

// --- circuit.stats -------------------------------------------------------------------------------------

static json_t *drops_json(const struct stats_sparse *sparse)
{
#define DROP_NAME(symbol, name, help) name,
	static const char *const names[] = {DROP_REASONS(DROP_NAME)};
#undef DROP_NAME
	json_t *drops = json_object();

	for (unsigned int i = 0; i < DROP_COUNT; i++)
		if (sparse->drops[i] != 0)
			json_object_set_new(drops, names[i], json_u64(sparse->drops[i]));
	return drops;
}

static json_t *tx_drops_json(const struct stats_sparse *sparse)
{
	static const char *const names[] = {"tx-full", "tx-down", "no-buffer", "restart"};
	json_t *drops = json_object();

	for (unsigned int i = 0; i < 4; i++)
		if (sparse->tx_drops[i] != 0)
			json_object_set_new(drops, names[i], json_u64(sparse->tx_drops[i]));
	return drops;
}

static json_t *interface_json(const struct sync *sync, const struct desired_interface *interface)
{
	struct stats_interface sum = {0};
	struct stats_sparse sparse = {0};

	counters_interface(sync, interface->record.uid, &sum, &sparse);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "interface",
		interface->name, "rx_packets", json_u64(sum.rx_packets), "rx_bytes",
		json_u64(sum.rx_bytes), "tx_packets", json_u64(sum.tx_packets), "tx_bytes",
		json_u64(sum.tx_bytes), "forwarded", json_u64(sum.forwarded), "to_host",
		json_u64(sum.to_host), "from_host", json_u64(sum.from_host), "generated",
		json_u64(sparse.generated), "drops", drops_json(&sparse), "tx_drops",
		tx_drops_json(&sparse));
}

void method_circuit_stats(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	const struct object *child, *inner;

	if (sync == NULL)
		return;
	const char *name = rpc_string(call, "circuit"), *only = rpc_string(call, "link");
	if (!find_circuit(call, sync, name))
		return;
	json_t *links = json_array();
	MODEL_CHILDREN(model_of(sync), NOUN_LINK, name, child)
	{
		const struct link *link = (const struct link *)child;
		json_t *interfaces = json_array();
		if (only != NULL && strcmp(role_name(link), only) != 0) {
			json_decref(interfaces);
			continue;
		}
		MODEL_CHILDREN(model_of(sync), NOUN_PEERING, name, inner)
		{
			const struct desired_interface *attachment =
				attachment_of(sync, (const struct peering *)inner, link);
			if (attachment != NULL)
				json_array_append_new(interfaces, interface_json(sync, attachment));
		}
		json_array_append_new(links,
			json_pack("{s:s, s:s, s:o, s:o, s:o}", "link", role_name(link), "edge",
				link->edge, "in", direction_json(sync, link, "in", true), "out",
				direction_json(sync, link, "out", true), "interfaces", interfaces));
	}
	rpc_reply(call, json_pack("{s:s, s:I, s:o}", "circuit", name, "time",
				(json_int_t)time(NULL), "links", links));
}

// --- peerings ------------------------------------------------------------------------------------------

static bool find_peering(struct rpc_call *call, const struct sync *sync, const char *name)
{
	struct api_error error;

	if (name == NULL || model_peering(model_of(sync), name) != NULL)
		return true;
	api_fail(&error, API_NOT_FOUND, "culvertctl peering list", "no peering named \"%s\"", name);
	rpc_fail(call, &error);
	return false;
}

void method_peering_status(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct page page;

	if (sync == NULL)
		return;
	const char *name = rpc_string(call, "peering"), *circuit = rpc_string(call, "circuit");
	if (!find_peering(call, sync, name) || !find_circuit(call, sync, circuit) ||
		!page_start(&page, call))
		return;
	for (unsigned int i = 0; i < model_count(model_of(sync), NOUN_PEERING) && !page_full(&page);
		i++) {
		const struct peering *peering = model_peering_at(model_of(sync), i);
		const struct object *child;
		if ((name != NULL && strcmp(peering->object.name, name) != 0) ||
			(circuit != NULL && strcmp(peering->circuit, circuit) != 0))
			continue;
		MODEL_CHILDREN(model_of(sync), NOUN_LINK, peering->circuit, child)
		{
			const struct link *link = (const struct link *)child;
			if (peering_subnet(peering, link) == NULL || !page_wants(&page))
				continue;
			json_t *json = session_json(sync, peering, link);
			json_object_set_new(json, "circuit", json_string(peering->circuit));
			json_object_set_new(json, "link", json_string(role_name(link)));
			json_object_set_new(json, "edge", json_string(link->edge));
			json_array_append_new(page.items, json);
		}
	}
	page_reply(&page, call);
}

static void on_cleared(void *ctx, struct json_t *array, const struct api_error *error)
{
	struct rpc_call *call = ctx;

	json_decref(array);
	if (error != NULL && error->code != API_NONE)
		rpc_fail(call, error);
	else
		rpc_reply(call, json_pack("{s:i}", "cleared", 1));
}

void method_peering_clear(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct api_error error;

	if (sync == NULL || !find_peering(call, sync, rpc_string(call, "peering")))
		return;
	char name[DOMAIN_NAME_MAX];
	snprintf(name, sizeof(name), "peering/%s", rpc_string(call, "peering"));
	const struct desired_domain *domain = desired_domain_named(sync->desired, name);
	if (domain != NULL && domain->attachments > 0 &&
		bridge_peering_clear(sync->bridge, domain->attachment[0],
			rpc_boolean(call, "soft", false), on_cleared, call) == 0)
		return;
	api_fail(&error, API_REFUSED, "culvertctl circuit status",
		"peering \"%s\" has no session on this edge", rpc_string(call, "peering"));
	rpc_fail(call, &error);
}
