// SPDX-License-Identifier: BSD-3-Clause
// Subscriptions: parts of what a customer has in the cloud.

#include "control/model/subscription.h"
#include "control/model/model_internal.h"

#include <string.h>

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, offsetof(struct subscription, name), .help = "its name"},
	{"customer", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE,
		offsetof(struct subscription, customer), .target = NOUN_CUSTOMER,
		.help = "whose it is"},
};

void subscription_check(struct check *check, const struct object *object, const char *customer,
	const char *subscription)
{
	const struct subscription *found =
		subscription ? model_subscription(check->model, subscription) : NULL;

	if (found && strcmp(found->customer, customer) != 0)
		finding_hint(refuse(check, object, "subscription",
				     "%s \"%s\" is of customer \"%s\", subscription \"%s\" of another",
				     object->noun->name, object->name, customer, subscription),
			"culvertctl subscription list --customer %s", customer);
}

static const char *customer_of(const struct model *model, const struct object *object)
{
	return ((const struct subscription *)object)->customer;
}

const struct noun subscription_noun = {
	.id = NOUN_SUBSCRIPTION,
	.name = "subscription",
	.section = "subscriptions",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct subscription)},
	.customer_of = customer_of,
	.help = "a subscription of a customer",
};
