// SPDX-License-Identifier: BSD-3-Clause
// Policies: ordered references to sets. A policy is small (some pointers), so whoever needs one keeps a copy of his
// own; what is large, the rules, is shared. Two policies are equal when their sets are, one by one: a publication
// that built equal sets anew renders and judges nothing again.

#include "control/policy/set.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void policy_add(struct policy *policy, struct policy_set *set)
{
	policy->set = reallocarray(policy->set, policy->sets + 1, sizeof(struct policy_set *));
	if (policy->set == NULL)
		abort();
	policy->set[policy->sets++] = set;
}

void policy_copy(struct policy *to, const struct policy *from)
{
	*to = (struct policy){
		.otherwise = from->otherwise, .limit = {from->limit[0], from->limit[1]}};
	if (from->sets == 0)
		return;
	to->set = reallocarray(NULL, from->sets, sizeof(struct policy_set *));
	if (to->set == NULL)
		abort();
	for (unsigned int i = 0; i < from->sets; i++)
		to->set[i] = policy_set_ref(from->set[i]);
	to->sets = from->sets;
}

void policy_clear(struct policy *policy)
{
	for (unsigned int i = 0; i < policy->sets; i++)
		policy_set_unref(policy->set[i]);
	free(policy->set);
	*policy = (struct policy){0};
}

bool policy_equal(const struct policy *a, const struct policy *b)
{
	if (a->sets != b->sets || a->otherwise != b->otherwise || a->limit[0] != b->limit[0] ||
		a->limit[1] != b->limit[1])
		return false;
	for (unsigned int i = 0; i < a->sets; i++)
		if (!policy_set_equal(a->set[i], b->set[i]))
			return false;
	return true;
}

bool policy_does(const struct policy *a, const struct policy *b)
{
	return policy_equal(a, b) ||
	       (a->limit[0] == b->limit[0] && a->limit[1] == b->limit[1] &&
		       policy_digest(a) == policy_digest(b));
}

uint64_t policy_digest(const struct policy *policy)
{
	crypto_generichash_state state;
	unsigned char bytes[crypto_generichash_BYTES_MIN];
	uint64_t digest;
	unsigned int count;

	crypto_generichash_init(&state, NULL, 0, sizeof(bytes));
	for (unsigned int i = 0; i < policy->sets; i++) {
		const struct policy_rule *rules = policy_set_rules(policy->set[i], &count);
		for (unsigned int j = 0; j < count; j++)
			set_digest_rule(&state, &rules[j]);
	}
	const unsigned char otherwise = (unsigned char)policy->otherwise;
	crypto_generichash_update(&state, &otherwise, 1);
	crypto_generichash_final(&state, bytes, sizeof(bytes));
	memcpy(&digest, bytes, sizeof(digest));
	return digest;
}
