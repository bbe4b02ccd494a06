// SPDX-License-Identifier: BSD-3-Clause
// Circuits: one customer's contract for a rate, on each of its links and in each direction.

#include "control/model/circuit.h"
#include "control/model/link.h"
#include "control/model/model_internal.h"
#include "control/model/peering.h"
#include "control/model/port.h"

#include <stdio.h>
#include <string.h>

#define OFFSET(member) offsetof(struct circuit, member)
#define MBPS           UINT64_C(1000000)
#define MS             INT64_C(1000000)

static const char *const accounting[] = {"l3", "l2", NULL};

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name), .help = "its name"},
	{"customer", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE, OFFSET(customer),
		.target = NOUN_CUSTOMER, .help = "whose it is"},
	{"service-key", FIELD_UUID, FIELD_GENERATED | FIELD_IMMUTABLE, OFFSET(service_key),
		.help = "what the customer's provider is told, made up when not given"},
	{"bandwidth", FIELD_BANDWIDTH, FIELD_REQUIRED | FIELD_RAISE_ONLY, OFFSET(bandwidth),
		.effect = EFFECT_HITLESS,
		.help = "50mbps, 100mbps, 200mbps, 500mbps, 1gbps, 2gbps, 5gbps or 10gbps; raised "
			"live, never lowered"},
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
	{"provider", FIELD_STRING, 0, OFFSET(provider), .help = "connectivity provider, free text"},
	{"location", FIELD_STRING, 0, OFFSET(location), .help = "peering location, free text"},
};

static void bandwidth_standard(struct check *check, const struct object *object)
{
	static const uint64_t rates[] = {50, 100, 200, 500, 1000, 2000, 5000, 10000};
	const struct circuit *circuit = (const struct circuit *)object;
	char text[32];

	for (unsigned int i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		if (circuit->bandwidth == rates[i] * MBPS)
			return;
	}
	finding_hint(refuse(check, object, "bandwidth", "circuit \"%s\": %s is not sold",
			     circuit->name, bandwidth_format(circuit->bandwidth, text)),
		"50mbps, 100mbps, 200mbps, 500mbps, 1gbps, 2gbps, 5gbps or 10gbps");
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

static const struct rule rules[] = {
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
	.removal = EFFECT_TRAFFIC,
	.carries = carries,
	.help = "a circuit: one customer's contract",
};
