/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_SUBSCRIPTION_H
#define MODEL_SUBSCRIPTION_H

// A part of what a customer has in the cloud: circuits and vNets may carry one.

#include "control/model/model.h"

struct subscription {
	struct object object;
	const char *name;
	const char *customer;
};

struct check;
// Refuses a subscription that is another customer's.
void subscription_check(struct check *check, const struct object *object, const char *customer,
	const char *subscription);
#define SUBSCRIPTION_RULE                                                                          \
	"subscription-customer", "a subscription is one of the same customer"

extern const struct noun subscription_noun;

#endif
