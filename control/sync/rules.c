// SPDX-License-Identifier: BSD-3-Clause
// The rules are per customer: what another one uses is none of his business, he may announce the same and
// changes nothing for the other. Models have many customers with few objects each, so the objects are
// sorted by customer once and each peering takes its range.

#include "control/sync/rules.h"

#include "control/model/circuit.h"
#include "control/model/peering.h"
#include "control/model/port.h"
#include "control/model/vnet.h"
#include "control/base/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct owned {
	const char *customer;
	const struct object *object;
};

struct rules {
	LIST_OF(struct owned) owned;             // every vNet and peering, by customer
	LIST_OF(const struct port *) core_ports; // of all edges
};

static void reject(struct desired *desired, struct desired_domain *domain, struct ip_prefix prefix,
	const char *rule, const char *kind, const char *name)
{
	struct bridge_reject *reject = APPEND(domain->rejects);
	char **text = APPEND(desired->text);

	if (asprintf(text, "%s%s", kind, name) < 0)
		abort();
	reject->prefix = prefix;
	reject->more_specifics = true;
	reject->rule = rule;
	reject->object = *text;
}

static struct ip_prefix host_prefix(const struct ip_address *address)
{
	return ip_prefix_of(address, ip_bits(address->family));
}

static int compare_owned(const void *a, const void *b)
{
	const struct owned *left = a, *right = b;
	int order = strcmp(left->customer, right->customer);

	if (order == 0) // vNets first: a prefix inside both is better named by the vNet
		order = (int)right->object->noun->id - (int)left->object->noun->id;
	return order != 0 ? order : strcmp(left->object->name, right->object->name);
}

struct rules *rules_create(const struct model *model)
{
	struct rules *rules = calloc(1, sizeof(*rules));

	if (rules == NULL)
		abort();
	for (unsigned int i = 0; i < model_count(model, NOUN_VNET); i++) {
		const struct vnet *vnet = model_vnet_at(model, i);
		*(struct owned *)APPEND(rules->owned) =
			(struct owned){vnet->customer, &vnet->object};
	}
	for (unsigned int i = 0; i < model_count(model, NOUN_PEERING); i++) {
		const struct peering *peering = model_peering_at(model, i);
		const struct circuit *circuit = model_circuit(model, peering->circuit);
		if (circuit != NULL)
			*(struct owned *)APPEND(rules->owned) =
				(struct owned){circuit->customer, &peering->object};
	}
	if (rules->owned.count > 0)
		qsort(rules->owned.item, rules->owned.count, sizeof(*rules->owned.item),
			compare_owned);
	for (unsigned int i = 0; i < model_count(model, NOUN_PORT); i++) {
		const struct port *port = model_port_at(model, i);
		if (port->faces == PORT_CORE && port->address.address.family != 0)
			*(const struct port **)APPEND(rules->core_ports) = port;
	}
	return rules;
}

void rules_free(struct rules *rules)
{
	free(rules->owned.item);
	free(rules->core_ports.item);
	free(rules);
}

static void reject_vnet(
	struct desired *desired, struct desired_domain *domain, const struct vnet *vnet)
{
	for (unsigned int i = 0; i < vnet->prefixes.count; i++)
		reject(desired, domain, vnet->prefixes.item[i], "vnet-prefix", "vnet/", vnet->name);
	for (unsigned int i = 0; i < vnet->tunnels.count; i++)
		reject(desired, domain, host_prefix(&vnet->tunnels.item[i].gateway),
			"outer-address", "vnet/", vnet->name);
}

static void reject_peering(
	struct desired *desired, struct desired_domain *domain, const struct peering *peering)
{
	const struct ip_prefix *subnets[2] = {&peering->primary_subnet, &peering->secondary_subnet};

	for (unsigned int i = 0; i < 2; i++)
		if (subnets[i]->address.family != 0)
			reject(desired, domain, *subnets[i], "peering-subnet", "peering/",
				peering->object.name);
}

void rules_apply(const struct rules *rules, struct desired *desired, struct desired_domain *domain)
{
	unsigned int low = 0, high = rules->owned.count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		if (strcmp(rules->owned.item[middle].customer, domain->customer) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < rules->owned.count; low++) {
		const struct owned *owned = &rules->owned.item[low];
		if (strcmp(owned->customer, domain->customer) != 0)
			break;
		if (owned->object->noun->id == NOUN_VNET)
			reject_vnet(desired, domain, (const struct vnet *)owned->object);
		else
			reject_peering(desired, domain, (const struct peering *)owned->object);
	}
	for (unsigned int i = 0; i < rules->core_ports.count; i++)
		reject(desired, domain, host_prefix(&rules->core_ports.item[i]->address.address),
			"outer-address", "port/", rules->core_ports.item[i]->object.name);
}

bool desired_text_equal(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool desired_rejects_equal(const struct desired_domain *a, const struct desired_domain *b)
{
	if (a->rejects.count != b->rejects.count)
		return false;
	for (unsigned int i = 0; i < a->rejects.count; i++) {
		const struct bridge_reject *left = &a->rejects.item[i],
					   *right = &b->rejects.item[i];
		if (ip_prefix_compare(&left->prefix, &right->prefix) != 0 ||
			left->more_specifics != right->more_specifics ||
			!desired_text_equal(left->rule, right->rule) ||
			!desired_text_equal(left->object, right->object))
			return false;
	}
	return true;
}
