// SPDX-License-Identifier: BSD-3-Clause
// Circuits: one customer's contract for a rate, on each of its links and in each direction.

#include "control/model/circuit.h"
#include "control/model/link.h"
#include "control/model/model_internal.h"
#include "control/model/peering.h"
#include "control/model/placement.h"
#include "control/model/port.h"
#include "control/model/provider.h"
#include "control/model/subscription.h"

#include <stdio.h>
#include <string.h>

#define OFFSET(member) offsetof(struct circuit, member)
#define MBPS           UINT64_C(1000000)
#define MS             INT64_C(1000000)

static const char *const accounting[] = {"l3", "l2", NULL};
static const char *const models[] = {"direct", "exchange", "ethernet", "ipvpn", NULL};
static const char *const provided[] = {"exchange", "ethernet", "ipvpn", NULL};
static const char *const handoffs[] = {"l2", "l3", NULL};
static const char *const skus[] = {"standard", "premium", NULL};
static const char *const billings[] = {"metered", "unlimited", NULL};
static const struct field_move billing_moves[] = {{"metered", "unlimited"}, {0}};

static const char *const provider_states[] = {
	"not-provisioned", "provisioning", "provisioned", "deprovisioning", NULL};
static const struct field_move provider_moves[] = {
	{"not-provisioned", "provisioning"},
	{"provisioning", "provisioned"},
	{"provisioned", "deprovisioning"},
	{"deprovisioning", "not-provisioned"},
	{0},
};

static bool may_lower(const struct model *model, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;
	const struct provider *provider =
		circuit->provider ? model_provider(model, circuit->provider) : NULL;

	return provider && provider->allow_lower;
}

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name), .help = "its name"},
	{"customer", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE, OFFSET(customer),
		.target = NOUN_CUSTOMER, .help = "whose it is"},
	{"service-key", FIELD_UUID, FIELD_GENERATED | FIELD_IMMUTABLE, OFFSET(service_key),
		.help = "what the customer's provider is told, made up when not given"},
	{"bandwidth", FIELD_BANDWIDTH, FIELD_REQUIRED | FIELD_RAISE_ONLY, OFFSET(bandwidth),
		.effect = EFFECT_HITLESS, .may_lower = may_lower,
		.help = CIRCUIT_BANDWIDTHS "; raised live, lowered only where the provider allows "
					   "it"},
	{"burst", FIELD_DURATION, 0, OFFSET(burst), "50ms", 10 * MS, 2000 * MS,
		.effect = EFFECT_HITLESS,
		.help = "how long it may send at line rate after a pause, as time at the "
			"bandwidth"},
	{"shape-in", FIELD_DURATION, 0, OFFSET(shape_in), "0ms", 0, 60 * MS,
		.effect = EFFECT_HITLESS,
		.help = "longest time a packet towards the cloud may be queued instead of dropped; "
			"0ms "
			"polices"},
	{"shape-out", FIELD_DURATION, 0, OFFSET(shape_out), "0ms", 0, 60 * MS,
		.effect = EFFECT_HITLESS, .help = "the same towards the customer"},
	{"ef-bandwidth", FIELD_BANDWIDTH, 0, OFFSET(ef_bandwidth), .effect = EFFECT_HITLESS,
		.help = "how much of the bandwidth voice (DSCP 46) may take before everything "
			"else"},
	{"packet-rate", FIELD_UINT, 0, OFFSET(packet_rate), NULL, 0, 1000000000,
		.effect = EFFECT_HITLESS,
		.help = "packets per second in each direction, at least 100; 0 is no cap"},
	{"accounting", FIELD_ENUM, 0, OFFSET(accounting), "l3", .values = accounting,
		.effect = EFFECT_HITLESS,
		.help = "what counts against the bandwidth: the IP packet, or the frame"},
	{"overhead", FIELD_INT, 0, OFFSET(overhead), "0", -64, 64, .effect = EFFECT_HITLESS,
		.help = "bytes added to each packet's length"},
	{"subscription", FIELD_REFERENCE, 0, OFFSET(subscription), .target = NOUN_SUBSCRIPTION,
		.help = "the customer's subscription that pays for it"},
	{"location", FIELD_REFERENCE, FIELD_IMMUTABLE, OFFSET(location), .target = NOUN_LOCATION,
		.help = "where it comes in; its links are placed there when it is created without any"},
	{"provider", FIELD_REFERENCE, FIELD_IMMUTABLE, OFFSET(provider), .target = NOUN_PROVIDER,
		.help = "the connectivity provider it is ordered of"},
	{"model", FIELD_ENUM, FIELD_IMMUTABLE, OFFSET(model), "direct", .values = models,
		.help = "how the customer comes to us: by a line of his own (direct), or by a provider's "
			"exchange, Ethernet or IPVPN; made up when the provider offers one only"},
	{"handoff", FIELD_ENUM, FIELD_IMMUTABLE, OFFSET(handoff), "l2", .values = handoffs,
		.help = "who speaks BGP to us: the customer (l2), or the provider's router (l3)"},
	{"provider-state", FIELD_ENUM, FIELD_WORKFLOW, OFFSET(provider_state), "not-provisioned",
		.values = provider_states, .moves = provider_moves,
		.visible = {"model", provided}, .effect = EFFECT_TRAFFIC,
		.help = "how far the provider is: culvertctl cross-connection"},
	{"sku", FIELD_ENUM, 0, OFFSET(sku), "standard", .values = skus, .effect = EFFECT_HITLESS,
		.help = "premium: more routes and connections"},
	{"billing", FIELD_ENUM, 0, OFFSET(billing), "metered", .values = billings,
		.moves = billing_moves,
		.help = "metered: what goes out of the cloud is billed; unlimited: a fixed fee"},
	{"description", FIELD_STRING, 0, OFFSET(description), .help = "free text"},
};

bool circuit_bandwidth_is_sold(uint64_t bandwidth)
{
	static const uint64_t rates[] = {50, 100, 200, 500, 1000, 2000, 5000, 10000};

	for (unsigned int i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		if (bandwidth == rates[i] * MBPS)
			return true;
	}
	return false;
}

static void bandwidth_standard(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;
	char text[32];

	if (!circuit_bandwidth_is_sold(circuit->bandwidth))
		finding_hint(refuse(check, object, "bandwidth", "circuit \"%s\": %s is not sold",
				     circuit->name, bandwidth_format(circuit->bandwidth, text)),
			CIRCUIT_BANDWIDTHS);
}

static void bandwidth_offered(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;
	const struct object *child;
	char name[OBJECT_NAME_MAX], text[32], list[200];

	MODEL_CHILDREN(check->model, NOUN_LINK, circuit->name, child)
	{
		const struct port *port =
			model_port(check->model, link_port_name((const struct link *)child, name));
		bool offered = !port || port->offers.count == 0;
		size_t used = 0;
		list[0] = '\0';
		for (unsigned int i = 0; !offered && i < port->offers.count; i++) {
			if (used < sizeof(list))
				used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
					used ? ", " : "",
					bandwidth_format(port->offers.item[i], text));
			offered = port->offers.item[i] == circuit->bandwidth;
		}
		if (!offered)
			finding_hint(refuse(check, object, "bandwidth",
					     "circuit \"%s\": port \"%s\" does not offer %s",
					     circuit->name, name,
					     bandwidth_format(circuit->bandwidth, text)),
				"offered there: %s", list);
	}
}

static void ef_within_bandwidth(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;
	char ef[32], most[32];

	if (circuit->ef_bandwidth == 0 ||
		(circuit->ef_bandwidth <= circuit->bandwidth &&
			circuit->ef_bandwidth >= circuit->bandwidth / 1000))
		return;
	finding_hint(refuse(check, object, "ef-bandwidth",
			     "circuit \"%s\": %s for voice does not fit into %s", circuit->name,
			     bandwidth_format(circuit->ef_bandwidth, ef),
			     bandwidth_format(circuit->bandwidth, most)),
		"0.1 %% to 100 %% of the bandwidth");
}

static void packet_rate_useful(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;

	if (circuit->packet_rate != 0 && circuit->packet_rate < 100)
		finding_hint(refuse(check, object, "packet-rate",
				     "circuit \"%s\": %u packets a second carry nothing",
				     circuit->name, circuit->packet_rate),
			"at least 100, or 0 for no cap");
}

static void service_key_unique(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;
	const struct index *index = check->model->index;
	uint64_t hash = key_text("service-key", circuit->service_key);

	for (unsigned int i = index_first(index, hash);
		i < index->count && index->entry[i].hash == hash; i++) {
		const struct object *other = index->entry[i].object;
		if (other == object || other->noun != &circuit_noun ||
			strcmp(((const struct circuit *)other)->service_key,
				circuit->service_key) ||
			!blame(check, object, other))
			continue;
		check->about = circuit->service_key;
		finding_hint(refuse(check, object, "service-key",
				     "circuit \"%s\": the service key is that of circuit \"%s\"",
				     circuit->name, other->name),
			"leave service-key out to get a new one");
		return;
	}
}

// --- what the provider sells ---------------------------------------------------------------------------

// "50mbps, 100mbps"
static const char *bandwidths_text(const struct provider *provider, char *text, size_t size)
{
	char rate[32];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < provider->bandwidths.count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
			bandwidth_format(provider->bandwidths.item[i], rate));
	return text;
}

static void of_provider(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;
	const struct provider *provider =
		circuit->provider ? model_provider(check->model, circuit->provider) : NULL;
	char text[200], rate[32];

	if (!provider) {
		if (circuit->model != CIRCUIT_DIRECT || circuit->handoff != HANDOFF_L2)
			finding_hint(refuse(check, object, "provider",
					     "circuit \"%s\": %s/%s is a provider's, and none is named",
					     circuit->name, models[circuit->model],
					     handoffs[circuit->handoff]),
				"culvertctl provider list");
		return;
	}
	if (circuit->model == CIRCUIT_DIRECT)
		finding_hint(refuse(check, object, "model",
				     "circuit \"%s\" is ordered of provider \"%s\" and names no model",
				     circuit->name, provider->name),
			"offered: %s", provider_models_text(provider, text, sizeof(text)));
	else if (!provider_offers_model(provider, circuit_offer(circuit->model, circuit->handoff)))
		finding_hint(refuse(check, object, "model",
				     "circuit \"%s\": provider \"%s\" does not offer %s/%s",
				     circuit->name, provider->name, models[circuit->model],
				     handoffs[circuit->handoff]),
			"%s", provider_models_text(provider, text, sizeof(text)));
	if (!circuit->location)
		finding_hint(refuse(check, object, "location",
				     "circuit \"%s\" is ordered of provider \"%s\" and names no location",
				     circuit->name, provider->name),
			"culvertctl location list");
	else if (!provider_is_at(provider, circuit->location))
		finding_hint(refuse(check, object, "location",
				     "circuit \"%s\": provider \"%s\" is not at location \"%s\"",
				     circuit->name, provider->name, circuit->location),
			"culvertctl provider show %s", provider->name);
	if (circuit_bandwidth_is_sold(circuit->bandwidth) &&
		!provider_offers_bandwidth(provider, circuit->bandwidth))
		finding_hint(refuse(check, object, "bandwidth",
				     "circuit \"%s\": provider \"%s\" does not offer %s",
				     circuit->name, provider->name,
				     bandwidth_format(circuit->bandwidth, rate)),
			"%s", bandwidths_text(provider, text, sizeof(text)));
}

static void of_subscription(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;

	subscription_check(check, object, circuit->customer, circuit->subscription);
}

unsigned int circuit_connections(const struct circuit *circuit)
{
	static const unsigned int premium[] = {20, 25, 25, 40, 50, 60, 75, 100};
	static const uint64_t rates[] = {50, 100, 200, 500, 1000, 2000, 5000, 10000};
	unsigned int i = 0;

	if (circuit->sku == SKU_STANDARD)
		return 10;
	while (i < 7 && circuit->bandwidth > rates[i] * MBPS)
		i++;
	return premium[i];
}

unsigned int circuit_routes(const struct circuit *circuit)
{
	return circuit->sku == SKU_PREMIUM ? 10000 : 4000;
}

static void plan_connections(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;
	unsigned int count = 0, most = circuit_connections(circuit);
	const struct object *child;

	MODEL_CHILDREN(check->model, NOUN_CONNECTION, circuit->name, child)
		count++;
	if (count <= most)
		return;
	check->about = "connections";
	finding_hint(refuse(check, object, "sku",
			     "circuit \"%s\" has %u connections, %s at its bandwidth takes %u",
			     circuit->name, count, skus[circuit->sku], most),
		circuit->sku == SKU_STANDARD ? "culvertctl circuit set %s --sku premium"
					     : "another circuit, or more bandwidth for %s",
		circuit->name);
}

// --- deleting ------------------------------------------------------------------------------------------

static void not_provisioned(struct check *check, const struct object *object)
{
	const struct circuit *circuit = (const struct circuit *)object;

	if (circuit->model == CIRCUIT_DIRECT || circuit->provider_state == NOT_PROVISIONED)
		return;
	finding_hint(refuse(check, object, "provider-state",
			     "circuit \"%s\" is %s at provider \"%s\"", circuit->name,
			     provider_states[circuit->provider_state], circuit->provider),
		"culvertctl cross-connection deprovision %s", circuit->service_key);
}

static const struct rule leaves[] = {
	{CIRCUIT_PROVISIONED, "a circuit is deleted when the provider has let go of it",
		not_provisioned},
	{0},
};

const char *circuit_offer_text(const struct circuit *circuit)
{
	return circuit->model == CIRCUIT_DIRECT
		       ? models[CIRCUIT_DIRECT]
		       : provider_offer_text(circuit_offer(circuit->model, circuit->handoff));
}

const struct circuit *circuit_of_key(const struct model *model, const char *service_key)
{
	uint64_t hash = key_text("service-key", service_key);

	for (unsigned int i = index_first(model->index, hash);
		i < model->index->count && model->index->entry[i].hash == hash; i++) {
		const struct object *object = model->index->entry[i].object;
		const struct circuit *circuit = (const struct circuit *)object;
		if (object->noun == &circuit_noun && !strcmp(circuit->service_key, service_key))
			return circuit;
	}
	return NULL;
}

const char *circuit_state(const struct circuit *circuit)
{
	static const char *const states[] = {"disabled", "enabling", "enabled", "disabling"};

	return circuit->model == CIRCUIT_DIRECT ? "enabled" : states[circuit->provider_state];
}

const char *circuit_provider_state(const struct circuit *circuit)
{
	return circuit->model == CIRCUIT_DIRECT ? NULL : provider_states[circuit->provider_state];
}

bool circuit_is_provisioned(const struct circuit *circuit)
{
	return circuit->model == CIRCUIT_DIRECT || circuit->provider_state == PROVISIONED ||
	       circuit->provider_state == DEPROVISIONING;
}

static const struct rule rules[] = {
	{"provider-offer", "a circuit is what its provider offers", of_provider},
	{SUBSCRIPTION_RULE, of_subscription},
	{"sku-excess", "a circuit has what its plan takes", plan_connections},
	{"bandwidth-standard", "the bandwidth is one that is sold", bandwidth_standard},
	{"bandwidth-offered", "the ports of the circuit's links offer its bandwidth",
		bandwidth_offered},
	{"ef-bandwidth", "voice takes 0.1 % to 100 % of the bandwidth", ef_within_bandwidth},
	{"packet-rate", "a cap on packets is at least 100 a second", packet_rate_useful},
	{"service-key-unique", "a service key names one circuit", service_key_unique},
	{0},
};

static void keys(struct index_sink *sink, const struct object *object)
{
	index_key(sink, key_text("service-key", ((const struct circuit *)object)->service_key));
}

static const char *customer_of(const struct model *model, const struct object *object)
{
	return ((const struct circuit *)object)->customer;
}

const char *circuit_customer(const struct model *model, const char *circuit)
{
	const struct circuit *found = model_circuit(model, circuit);

	return found ? found->customer : NULL;
}

void circuit_touch(struct check *check, const char *circuit)
{
	const struct object *part;
	char port[OBJECT_NAME_MAX];

	check_touch(check, model_find(check->model, NOUN_CIRCUIT, circuit));
	for (unsigned int noun = 0; noun < NOUNS; noun++) {
		if (nouns[noun]->parent != NOUN_CIRCUIT)
			continue;
		MODEL_CHILDREN(check->model, noun, circuit, part)
		{
			check_touch(check, part);
			if (noun == NOUN_LINK) // what its circuits add up to
				check_touch(check,
					model_find(check->model, NOUN_PORT,
						link_port_name((const struct link *)part, port)));
		}
	}
}

static void touches(struct check *check, const struct object *object)
{
	circuit_touch(check, object->name);
}

bool circuit_carries(const struct model *model, const char *circuit)
{
	return link_is_up(model, circuit) && peering_is_enabled(model, circuit);
}

static bool carries(const struct model *model, const struct object *object)
{
	return circuit_carries(model, object->name);
}

const struct noun circuit_noun = {
	.id = NOUN_CIRCUIT,
	.name = "circuit",
	.section = "circuits",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct circuit)},
	.rules = rules,
	.keys = keys,
	.customer_of = customer_of,
	.touches = touches,
	.brings = circuit_place,
	.leaves = leaves,
	.removal = EFFECT_TRAFFIC,
	.carries = carries,
	.help = "a circuit: one customer's contract",
};
