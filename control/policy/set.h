/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POLICY_SET_H
#define POLICY_SET_H

// Inside control/policy: how a set is ordered and told from another.

#include "control/policy/policy.h"

struct crypto_generichash_blake2b_state;

// The order of prefixes in a rule of a set: family, length, address.
int set_prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b);
// All of a rule that decides, its words apart.
void set_digest_rule(
	struct crypto_generichash_blake2b_state *state, const struct policy_rule *rule);

#endif
