// SPDX-License-Identifier: BSD-3-Clause
// Customers: the unit of isolation. Circuits and vNets belong to exactly one.

#include "control/model/customer.h"
#include "control/model/model_internal.h"

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, offsetof(struct customer, name), .help = "its name"},
	{"organisation", FIELD_REFERENCE, 0, offsetof(struct customer, organisation),
		.target = NOUN_ORGANISATION, .help = "the organisation it is part of"},
	{"description", FIELD_STRING, 0, offsetof(struct customer, description),
		.help = "free text"},
};

static const char *customer_of(const struct model *model, const struct object *object)
{
	return object->name;
}

const struct noun customer_noun = {
	.id = NOUN_CUSTOMER,
	.name = "customer",
	.section = "customers",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct customer)},
	.customer_of = customer_of,
	.help = "a customer: the unit of isolation",
};
