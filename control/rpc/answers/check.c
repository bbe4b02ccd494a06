// SPDX-License-Identifier: BSD-3-Clause
// circuit.check: what a circuit still lacks before packets flow, in the order in which it is to be done, each with the party
// that has to do it and the command that goes on. States come from the status table.

#include "control/rpc/answers/answers.h"

#include "control/api/text.h"
#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/model/vnet.h"
#include "control/node.h"
#include "control/status/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct lacking {
	const struct sync *sync;
	const struct model *model;
	const struct circuit *circuit;
	json_t *steps, *notes;
};

static void __attribute__((format(printf, 4, 5)))
step(struct lacking *lacking, const char *party, const char *next, const char *format, ...)
{
	char what[600];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	api_text_mend(what);
	json_array_append_new(lacking->steps,
		json_pack("{s:s, s:s, s:s}", "what", what, "party", party, "next", next));
}

// Who speaks BGP to us.
static const char *far_party(const struct circuit *circuit)
{
	return circuit->handoff == HANDOFF_L3 ? "provider" : "customer";
}

static void look_at_provider(struct lacking *lacking)
{
	const struct circuit *circuit = lacking->circuit;
	const char *state = circuit_provider_state(circuit);
	char next[256];

	if (state == NULL || circuit->provider_state == PROVISIONED)
		return;
	if (circuit->provider_state == DEPROVISIONING) {
		snprintf(next, sizeof(next), "culvertctl circuit delete %s", circuit->name);
		step(lacking, "customer", next, "%s is taking its line away", circuit->provider);
		return;
	}
	snprintf(next, sizeof(next), "culvertctl cross-connection provision %s", circuit->service_key);
	step(lacking, "provider", next, "it is %s at %s, who needs the key %s", state,
		circuit->provider, circuit->service_key);
}

static void look_at_links(struct lacking *lacking)
{
	const char *name = lacking->circuit->name;
	bool have[2] = {false, false};
	const struct link *link[2] = {NULL, NULL};
	const struct object *child;
	char next[256];

	MODEL_CHILDREN(lacking->model, NOUN_LINK, name, child)
	{
		const struct link *one = (const struct link *)child;
		have[one->role == LINK_SECONDARY] = true;
		link[one->role == LINK_SECONDARY] = one;
	}
	for (unsigned int i = 0; i < 2; i++) {
		const char *role = i == 0 ? "primary" : "secondary";
		snprintf(next, sizeof(next), "culvertctl link create %s/%s --edge .. --port ..", name, role);
		if (!have[i])
			step(lacking, "operator", next, "it has no %s link", role);
	}
	const char *what[2] = {"device", "path"};
	for (unsigned int i = 0; i < 2 && link[0] != NULL && link[1] != NULL; i++) {
		const char *a = i == 0 ? link[0]->handoff_device : link[0]->handoff_path;
		const char *b = i == 0 ? link[1]->handoff_device : link[1]->handoff_path;
		char text[600];
		if (a == NULL || b == NULL || strcmp(a, b) != 0)
			continue;
		snprintf(text, sizeof(text),
			"both links are handed over on %s %s: it fails as a whole, and no availability "
			"is promised for it",
			what[i], a);
		api_text_mend(text);
		json_array_append_new(lacking->notes,
			json_pack("{s:s, s:s, s:s}", "what", text, "party", "provider", "next", ""));
	}
}

static unsigned int look_at_peerings(struct lacking *lacking)
{
	const struct circuit *circuit = lacking->circuit;
	unsigned int count = 0;
	const struct object *child;
	char next[256];

	MODEL_CHILDREN(lacking->model, NOUN_PEERING, circuit->name, child)
	{
		count++;
		if (((const struct peering *)child)->enabled)
			continue;
		snprintf(next, sizeof(next), "culvertctl peering set %s --enabled true", child->name);
		step(lacking, "operator", next, "peering %s is disabled", child->name);
	}
	if (count == 0 && circuit_is_provisioned(circuit)) {
		snprintf(next, sizeof(next), "culvertctl peering create %s/private ..", circuit->name);
		step(lacking, far_party(circuit), next, "it has no peering");
	}
	return count;
}

// What is configured, and does not run: the lowest layer first.
static void look_at_link_states(struct lacking *lacking)
{
	const struct object *child;

	MODEL_CHILDREN(lacking->model, NOUN_LINK, lacking->circuit->name, child)
	{
		const struct link *link = (const struct link *)child;
		const struct status *status =
			status_get(lacking->sync->status, STATUS_LINK, child->name);
		char next[300];
		if (!link_is_ours(lacking->sync, link) || status == NULL ||
			strcmp(status->state, "up") == 0 || strcmp(status->state, "unknown") == 0)
			continue;
		const struct status *port =
			status_get(lacking->sync->status, STATUS_PORT, link->port);
		if (link->admin != LINK_UP) {
			snprintf(next, sizeof(next), "culvertctl link set %s --admin up", child->name);
			step(lacking, "operator", next, "link %s is set down", child->name);
		} else if (port == NULL || port->level == STATUS_ERROR) {
			snprintf(next, sizeof(next), "culvertctl port show %s/%s", link->edge, link->port);
			step(lacking, "operator", next, "%s link: %s", role_name(link), status->reason);
		} else if (lacking->circuit->provider_state == PROVISIONED ||
			   lacking->circuit->model == CIRCUIT_DIRECT) {
			snprintf(next, sizeof(next), "culvertctl circuit show %s", lacking->circuit->name);
			step(lacking, far_party(lacking->circuit),
				status->hint[0] != '\0' ? status->hint : next, "%s link: %s",
				role_name(link), status->reason);
		}
	}
}

static void look_at_vnets(struct lacking *lacking)
{
	const struct sync *sync = lacking->sync;
	unsigned int count = 0;
	const struct object *child;
	char next[256];

	MODEL_CHILDREN(lacking->model, NOUN_CONNECTION, lacking->circuit->name, child)
	{
		const struct connection *connection = (const struct connection *)child;
		const struct vnet *vnet = model_vnet(lacking->model, connection->vnet);
		const struct status *tunnel =
			status_get(sync->status, STATUS_TUNNEL, connection->vnet);
		count++;
		if (vnet != NULL && tunnel_from(&vnet->tunnels, sync->node->edge) == NULL) {
			snprintf(next, sizeof(next), "culvertctl vnet set %s --add-tunnels edge=%s,..",
				vnet->name, sync->node->edge);
			step(lacking, "operator", next, "vNet %s has no tunnel from edge %s", vnet->name,
				sync->node->edge);
		} else if (tunnel != NULL && tunnel->level >= STATUS_WARNING) {
			step(lacking, "cloud", tunnel->hint, "the tunnel of vNet %s is %s%s%s",
				connection->vnet, tunnel->state, tunnel->reason[0] != '\0' ? ": " : "",
				tunnel->reason);
		}
	}
	if (count > 0)
		return;
	snprintf(next, sizeof(next), "culvertctl connection create %s/VNET", lacking->circuit->name);
	step(lacking, "customer", next, "it is connected to no vNet");
}

void method_circuit_check(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	const char *name = rpc_string(call, "circuit");

	if (sync == NULL || !find_object(call, NOUN_CIRCUIT, name))
		return;
	struct lacking lacking = {.sync = sync,
		.model = model_of(sync),
		.circuit = model_circuit(model_of(sync), name),
		.steps = json_array(),
		.notes = json_array()};
	look_at_links(&lacking);
	look_at_provider(&lacking);
	unsigned int peerings = look_at_peerings(&lacking);
	if (peerings > 0)
		look_at_link_states(&lacking);
	if (circuit_is_provisioned(lacking.circuit))
		look_at_vnets(&lacking);
	rpc_reply(call,
		json_pack("{s:s, s:s, s:s?, s:o, s:o}", "circuit", name, "state",
			circuit_state(lacking.circuit), "provider_state",
			circuit_provider_state(lacking.circuit), "missing", lacking.steps, "notes",
			lacking.notes));
}
