// SPDX-License-Identifier: BSD-3-Clause
// circuit.status, peering.status, peering.clear: what a circuit does for its customer.
//
// States come from the status table (health.c, domain/health.c); nothing is worked out here.

#include "control/rpc/answers/answers.h"

#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/model/vnet.h"
#include "control/node.h"
#include "control/status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *role_name(const struct link *link)
{
	return link->role == LINK_PRIMARY ? "primary" : "secondary";
}

bool link_is_ours(const struct sync *sync, const struct link *link)
{
	return strcmp(link->edge, sync->node->edge) == 0;
}

const struct intent_interface *attachment_of(
	const struct sync *sync, const struct peering *peering, const struct link *link)
{
	const struct fragment *fragment = fragment_of(sync, NOUN_PEERING, peering->object.name);

	for (unsigned int i = 0; fragment != NULL && i < fragment->interfaces.count; i++)
		if (strcmp(fragment->interfaces.item[i].link, link->object.name) == 0)
			return &fragment->interfaces.item[i];
	return NULL;
}

// --- circuit.status ------------------------------------------------------------------------------------

// Why it ended the last time, what the far end's announcements are worth, and how much came and went.
static void add_history(const struct sync *sync, const struct realised_session *of, json_t *json)
{
	static const struct speaker_state nothing;
	const struct speaker_state *session = of != NULL && of->heard ? &of->state : &nothing;
	bool up = strcmp(session->state, "established") == 0;
	unsigned int count = 0;
	const struct speaker_remark *remark =
		of != NULL ? speakers_remarks(sync->speakers, of->id, &count) : NULL;
	json_t *invalid = json_array();
	char prefix[IP_TEXT_MAX];

	for (unsigned int i = 0; i < count; i++) {
		if (remark[i].prefix.address.family != 0 &&
			session_learned(sync, of, &remark[i].prefix))
			continue; // it was announced rightly since
		json_array_append_new(invalid,
			json_pack("{s:s?, s:s, s:I, s:i}", "prefix",
				remark[i].prefix.address.family != 0
					? ip_prefix_format(&remark[i].prefix, prefix)
					: NULL,
				"reason", remark[i].text, "last", (json_int_t)remark[i].last,
				"count", (int)remark[i].count));
	}
	json_object_set_new(json, "invalid", invalid);
	json_object_set_new(json, "last_reset",
		session->reset_at == 0
			? json_null()
			: json_pack("{s:I, s:s}", "time", (json_int_t)session->reset_at, "reason",
				  session->reset));
	json_object_set_new(json, "timers",
		!up || session->hold == 0 ? json_null()
					  : json_pack("{s:i, s:i}", "hold", session->hold,
						    "keepalive", session->keepalive));
	json_object_set_new(json, "messages",
		!up ? json_null()
		    : json_pack("{s:I, s:I, s:I, s:I, s:I}", "updates_in",
			      (json_int_t)session->in.updates, "withdraws_in",
			      (json_int_t)session->in.withdraws, "invalid_in",
			      (json_int_t)session->invalid, "updates_out",
			      (json_int_t)session->out.updates, "withdraws_out",
			      (json_int_t)session->out.withdraws));
}

// What keeps our words from the far end, or has kept them.
static void add_silence(const struct sync *sync, const struct intent_interface *attachment,
	uint8_t family, json_t *json)
{
	const struct untold *untold = NULL;
	const struct status *daemon = NULL;

	if (attachment != NULL) {
		untold = untold_of(
			sync->domains, attachment->address[ip_index(family)].session);
		daemon = status_get(sync->status, STATUS_SPEAKER,
			domain_speaker(sync->domains, attachment->domain));
	}
	json_object_set_new(json, "untold",
		untold == NULL ? json_null()
			       : json_pack("{s:I, s:o}", "until", (json_int_t)untold->until, "hold",
					 json_known(untold->hold != 0, untold->hold)));
	json_object_set_new(json, "daemon",
		daemon == NULL ? json_null()
			       : json_pack("{s:s, s:s, s:s}", "state", daemon->state, "message",
					 daemon->reason, "hint", daemon->hint));
}

void session_object(const struct peering *peering, const struct link *link, uint8_t family,
	char name[OBJECT_NAME_MAX + 16])
{
	bool beside = family == 6 && peering_subnet(peering, link, 4).address.family != 0;

	snprintf(name, OBJECT_NAME_MAX + 16, "%s/%s%s", peering->object.name, role_name(link),
		beside ? SESSION_BESIDE : "");
}

static void add_session(const struct sync *sync, const struct peering *peering, const struct link *link,
	uint8_t family, const struct realised_session *of, const struct session_routes *routes,
	json_t *json)
{
	struct ip_address local = peering_local(peering, link, family),
			  remote = peering_remote(peering, link, family);
	static const struct speaker_state nothing;
	const struct speaker_state *session = of != NULL ? session_state(of) : &nothing;
	bool failed = of != NULL && !of->heard && of->of->error[0] != '\0';
	char name[OBJECT_NAME_MAX + 16];

	session_object(peering, link, family, name);
	const struct status *status = status_get(sync->status, STATUS_SESSION, name);
	json_object_set_new(json, "hint", json_string(status != NULL ? status->hint : ""));
	json_object_set_new(json, "detail",
		json_string(failed ? of->of->error : session->detail));
	json_object_set_new(json, "local", json_address(&local));
	json_object_set_new(json, "remote", json_address(&remote));
	json_object_set_new(json, "remote_asn", json_integer(peering->peer_asn));
	json_object_set_new(json, "rejected", json_known(routes->known, routes->rejected));
	json_object_set_new(json, "held", json_known(routes->known, routes->held));
	json_object_set_new(json, "advertised", json_known(routes->known, routes->advertised));
	json_object_set_new(json, "kept_until",
		json_known(session->kept_until != 0, session->kept_until));
	json_object_set_new(json, "detail_since",
		json_known(session->detail_since != 0, session->detail_since));
}

static json_t *session_json(const struct sync *sync, const struct peering *peering,
	const struct link *link, uint8_t family, enum detail detail)
{
	const struct intent_interface *attachment = attachment_of(sync, peering, link);
	const struct realised_session *of =
		attachment != NULL
			? session_find(sync, attachment->address[ip_index(family)].session)
			: NULL;
	const struct speaker_state *session = of != NULL ? session_state(of) : NULL;
	struct domain_status status = {0};
	struct session_routes routes = {.known = link_is_ours(sync, link)};

	if (of != NULL)
		routes = session_routes(sync, of);
	if (attachment != NULL)
		domain_status(sync->domains, attachment->domain, &status);
	json_t *json =
		json_pack("{s:s, s:i, s:s, s:o, s:i, s:o}", "peering", peering->object.name,
			"family", family, "session",
			!link_is_ours(sync, link) ? "unknown"
			: session != NULL         ? session->state
						  : "down",
			"accepted", json_known(routes.known, routes.accepted), "limit",
			(int)status.limit[ip_index(family)], "since",
			json_known(session != NULL && session->since != 0,
				session != NULL ? session->since : 0));
	if (detail == DETAIL_BRIEF)
		return json;
	add_session(sync, peering, link, family, of, &routes, json);
	add_silence(sync, attachment, family, json);
	add_history(sync, of, json);
	return json;
}

static void add_place(const struct link *link, const char *reason, json_t *json)
{
	char vlan[32] = "";
	uint16_t tag[2];
	unsigned int tags = link_vlans(link, NULL, tag);

	if (tags == 1)
		snprintf(vlan, sizeof(vlan), "%u", tag[0]);
	else if (tags == 2)
		snprintf(vlan, sizeof(vlan), "%u.%u", tag[0], tag[1]);
	json_object_set_new(json, "edge", json_string(link->edge));
	json_object_set_new(json, "port", json_string(link->port));
	json_object_set_new(json, "vlan", json_string(vlan));
	json_object_set_new(json, "reason", json_string(reason));
}

static json_t *link_json(const struct sync *sync, const struct link *link, enum detail detail)
{
	const struct status *status = status_get(sync->status, STATUS_LINK, link->object.name);
	json_t *peerings = json_array();
	const struct object *child;
	bool ours = link_is_ours(sync, link);

	MODEL_CHILDREN(model_of(sync), NOUN_PEERING, link->circuit, child)
	{
		const struct peering *peering = (const struct peering *)child;
		for (uint8_t family = 4; family <= 6; family += 2)
			if (peering_subnet(peering, link, family).address.family != 0 &&
				(detail != DETAIL_BRIEF || ours))
				json_array_append_new(peerings,
					session_json(sync, peering, link, family, detail));
	}
	json_t *json = json_pack("{s:s, s:s, s:o}", "link", role_name(link), "state",
		status != NULL ? status->state : "unknown", "peerings", peerings);
	if (detail != DETAIL_BRIEF)
		add_place(link, status != NULL ? status->reason : "", json);
	add_directions(sync, link, detail, json);
	return json;
}

// Why a vNet has no tunnel here although the model gives it one, "" = it is not known.
static const char *without_tunnel(const struct sync *sync, const char *vnet)
{
	const struct fragment *fragment = fragment_of(sync, NOUN_VNET, vnet);
	return fragment != NULL && fragment->problems.count > 0 ? fragment->problems.item[0].message
								: "";
}

// Of the vNets it is connected to: what they have from this edge. Without it the customer reaches nothing, however well
// the links are.
static json_t *tunnels_json(const struct sync *sync, const struct circuit *circuit)
{
	json_t *tunnels = json_array();
	const struct object *child;

	MODEL_CHILDREN(model_of(sync), NOUN_CONNECTION, circuit->name, child)
	{
		const struct connection *connection = (const struct connection *)child;
		const struct vnet *vnet = model_vnet(model_of(sync), connection->vnet);
		const struct status *status =
			status_get(sync->status, STATUS_TUNNEL, connection->vnet);
		if (status == NULL &&
			(vnet == NULL || tunnel_from(&vnet->tunnels, sync->node->edge) == NULL))
			continue;
		const char *why = without_tunnel(sync, connection->vnet);
		json_array_append_new(
			tunnels, json_pack("{s:s, s:s, s:s}", "vnet", connection->vnet, "state",
					 status != NULL   ? status->state
					 : why[0] != '\0' ? "down"
							  : "unknown",
					 "reason", status != NULL ? status->reason : why));
	}
	return tunnels;
}

static json_t *circuit_json(
	const struct sync *sync, const struct circuit *circuit, enum detail detail)
{
	const struct status *status = status_get(sync->status, STATUS_CIRCUIT, circuit->name);
	json_t *links = json_array();
	const struct object *child;

	MODEL_CHILDREN(model_of(sync), NOUN_LINK, circuit->name, child)
	json_array_append_new(links, link_json(sync, (const struct link *)child, detail));
	json_t *json = json_pack("{s:s, s:s, s:o, s:s, s:s, s:o}", "circuit", circuit->name,
		"customer", circuit->customer, "bandwidth", json_u64(circuit->bandwidth), "state",
		status != NULL ? status->state : "unknown", "reason",
		status != NULL ? status->reason : "", "links", links);
	if (detail != DETAIL_BRIEF)
		json_object_set_new(json, "tunnels", tunnels_json(sync, circuit));
	return json;
}

static bool is_of(const struct sync *sync, const struct object *object, const char *customer)
{
	const char *owner = object_customer(model_of(sync), object);
	return owner != NULL && strcmp(owner, customer) == 0;
}

static bool is_text(const char *wanted, const char *text)
{
	return wanted == NULL || (text != NULL && strcmp(wanted, text) == 0);
}

void method_circuit_status(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct page page;

	if (sync == NULL)
		return;
	static const char *const selectors[] = {"circuit", "customer", NULL};
	const char *name = rpc_string(call, "circuit"), *customer = rpc_string(call, "customer"),
		   *given;
	const char *provider = rpc_string(call, "provider"), *location = rpc_string(call, "location");
	enum detail detail = rpc_boolean(call, "brief", false) ? DETAIL_BRIEF : DETAIL_USUAL;
	if (!one_of(call, selectors, &given) || !find_object(call, NOUN_CIRCUIT, name) ||
		!find_object(call, NOUN_CUSTOMER, customer) ||
		!find_object(call, NOUN_PROVIDER, provider) ||
		!find_object(call, NOUN_LOCATION, location) || !page_start(&page, call))
		return;
	for (unsigned int i = 0; i < model_count(model_of(sync), NOUN_CIRCUIT) && !page_full(&page);
		i++) {
		const struct circuit *circuit = model_circuit_at(model_of(sync), i);
		if ((name != NULL && strcmp(circuit->name, name) != 0) ||
			(customer != NULL && !is_of(sync, &circuit->object, customer)) ||
			!is_text(provider, circuit->provider) || !is_text(location, circuit->location) ||
			!page_wants(&page))
			continue;
		page_add(&page, circuit_json(sync, circuit, detail));
	}
	page_reply(&page, call, NULL);
}

// --- peerings ------------------------------------------------------------------------------------------

void method_peering_status(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	struct page page;

	if (sync == NULL)
		return;
	static const char *const selectors[] = {"peering", "circuit", NULL};
	const char *name = rpc_string(call, "peering"), *circuit = rpc_string(call, "circuit"),
		   *given;
	if (!one_of(call, selectors, &given) || !find_object(call, NOUN_PEERING, name) ||
		!find_object(call, NOUN_CIRCUIT, circuit) || !page_start(&page, call))
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
			for (uint8_t family = 4; family <= 6; family += 2) {
				if (peering_subnet(peering, link, family).address.family == 0 ||
					!page_wants(&page))
					continue;
				json_t *json =
					session_json(sync, peering, link, family, DETAIL_USUAL);
				json_object_set_new(json, "circuit", json_string(peering->circuit));
				json_object_set_new(json, "link", json_string(role_name(link)));
				json_object_set_new(json, "edge", json_string(link->edge));
				page_add(&page, json);
			}
		}
	}
	page_reply(&page, call, NULL);
}

// One question to the speaker for each session, one answer to the caller.
struct clearing {
	struct rpc_call *call;
	unsigned int pending, cleared, failed;
	struct api_error error; // the last
};

static void one_less(struct clearing *clearing)
{
	if (--clearing->pending > 0)
		return;
	if (clearing->cleared == 0)
		rpc_fail(clearing->call, &clearing->error);
	else
		rpc_reply(clearing->call, json_pack("{s:i, s:i}", "cleared", (int)clearing->cleared,
						  "failed", (int)clearing->failed));
	free(clearing);
}

static void on_cleared(void *ctx, const struct api_error *error)
{
	struct clearing *clearing = ctx;

	if (error == NULL || error->code == API_NONE) {
		clearing->cleared++;
	} else {
		clearing->error = *error;
		clearing->failed++;
	}
	one_less(clearing);
}

// Why there is nothing to clear, until there is.
static void begin_error(struct clearing *clearing, const struct peering *peering)
{
	char hint[OBJECT_NAME_MAX + 64];

	snprintf(hint, sizeof(hint), "culvertctl peering set %s --enabled true",
		peering->object.name);
	api_fail(&clearing->error, API_REFUSED,
		peering->enabled ? "culvertctl circuit status" : hint,
		peering->enabled ? "peering \"%s\" has no session on this edge that is to be up"
				 : "peering \"%s\" is disabled, its sessions stay down",
		peering->object.name);
}

void method_peering_clear(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	const char *name = rpc_string(call, "peering");

	if (sync == NULL || !find_object(call, NOUN_PEERING, name))
		return;
	const struct fragment *fragment = fragment_of(sync, NOUN_PEERING, name);
	struct clearing *clearing = calloc(1, sizeof(*clearing));
	if (clearing == NULL)
		abort();
	clearing->call = call;
	clearing->pending = 1; // ours
	begin_error(clearing, model_peering(model_of(sync), name));
	for (unsigned int i = 0; fragment != NULL && i < 2 * fragment->interfaces.count; i++) {
		const struct intent_interface *interface = &fragment->interfaces.item[i / 2];
		const struct intent_address *address = &interface->address[i % 2];
		if (!interface->session.enabled || address->remote.family == 0)
			continue;
		if (speakers_clear(sync->speakers, address->session,
			    rpc_boolean(call, "soft", false), on_cleared, clearing) == 0)
			clearing->pending++;
		else
			clearing->failed++;
	}
	one_less(clearing);
}
