// SPDX-License-Identifier: BSD-3-Clause
// Rule sets. A set is one block of memory: rules, the arrays they point to and their text one after the other, each
// string once. It is written when it is built and never again, so it may be read from any thread, and the only thing
// that changes is the number of those who hold it.
//
// Prefixes are put in order when a set is built (family, length, address), so that the evaluator finds those that
// cover a route with one search for each length (evaluate.c). Bounds are normalised there too: afterwards
// len <= ge <= le <= 32 or 128 always holds, and what can never match is not kept.

#include "control/policy/set.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 8 };

struct policy_set {
	atomic_uint references;
	unsigned int count;
	size_t bytes;
	uint8_t digest[16];
	struct policy_rule rule[];
};

// --- building: the same walk twice, first to measure (base NULL), then to write

struct arena {
	char *base;
	size_t used;
};

static void *put(struct arena *arena, const void *from, size_t bytes)
{
	if (bytes == 0)
		return NULL;
	char *at = arena->base != NULL ? arena->base + arena->used : NULL;
	arena->used += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (at != NULL)
		memcpy(at, from, bytes);
	return at;
}

#define PUT(arena, array, count) put(arena, array, (size_t)(count) * sizeof(*(array)))

static int compare_prefixes(const void *a, const void *b)
{
	const struct policy_prefix *left = a, *right = b;
	int order = set_prefix_compare(&left->prefix, &right->prefix);

	if (order == 0)
		order = (int)left->ge - (int)right->ge;
	return order != 0 ? order : (int)left->le - (int)right->le;
}

int set_prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b)
{
	if (a->address.family != b->address.family)
		return (int)a->address.family - (int)b->address.family;
	if (a->len != b->len)
		return (int)a->len - (int)b->len;
	return memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
}

// False: no prefix satisfies it.
static bool normalise(struct policy_prefix *prefix)
{
	uint8_t len = prefix->prefix.len, bits = ip_bits(prefix->prefix.address.family);

	if (prefix->le == 0)
		prefix->le = prefix->ge == 0 ? len : bits;
	if (prefix->ge < len)
		prefix->ge = len;
	if (prefix->le > bits)
		prefix->le = bits;
	return prefix->ge <= prefix->le;
}

static void put_prefixes(struct arena *arena, struct policy_match *match)
{
	struct policy_prefix *copy = malloc((match->prefixes + 1) * sizeof(*copy));
	unsigned int count = 0;

	if (copy == NULL)
		abort();
	for (unsigned int i = 0; i < match->prefixes; i++) {
		memset(&copy[count], 0,
			sizeof(*copy)); // no byte that is not written: it is digested
		copy[count].prefix.address.family = match->prefix[i].prefix.address.family;
		memcpy(copy[count].prefix.address.bytes, match->prefix[i].prefix.address.bytes,
			sizeof(copy->prefix.address.bytes));
		copy[count].prefix.len = match->prefix[i].prefix.len;
		copy[count].ge = match->prefix[i].ge;
		copy[count].le = match->prefix[i].le;
		count += normalise(&copy[count]);
	}
	if (match->prefixes > 0 && count == 0) {
		// "One of none" is not "any": one that contradicts itself stays.
		copy[0] =
			(struct policy_prefix){.prefix = match->prefix[0].prefix, .ge = 1, .le = 0};
		count = 1;
	}
	qsort(copy, count, sizeof(*copy), compare_prefixes);
	match->prefix = PUT(arena, copy, count);
	match->prefixes = count;
	free(copy);
}

static const char *put_text(struct arena *arena, const char *text)
{
	return put(arena, text != NULL ? text : "", strlen(text != NULL ? text : "") + 1);
}

static void put_rule(struct arena *arena, struct policy_rule *to, const struct policy_rule *from,
	const struct policy_rule *before, const struct policy_rule *before_from)
{
	struct policy_rule rule = *from;
	struct policy_match *match = &rule.match;
	struct policy_change *change = &rule.change;

	put_prefixes(arena, match);
	match->community = PUT(arena, match->community, match->communities);
	match->large = PUT(arena, match->large, match->larges);
	match->as_contains = PUT(arena, match->as_contains, match->as_contain);
	match->foreign_to = PUT(arena, match->foreign_to, match->foreign);
	change->remove_community = PUT(arena, change->remove_community, change->remove_communities);
	change->remove_large = PUT(arena, change->remove_large, change->remove_larges);
	change->add_community = PUT(arena, change->add_community, change->add_communities);
	change->add_large = PUT(arena, change->add_large, change->add_larges);
	// A set's rules mostly share their words.
	if (before_from != NULL && before_from->name == from->name)
		rule.name = before->name;
	else
		rule.name = put_text(arena, from->name);
	if (before_from != NULL && before_from->object == from->object)
		rule.object = before->object;
	else
		rule.object = put_text(arena, from->object);
	*to = rule;
}

static void put_rules(struct arena *arena, struct policy_rule *to, const struct policy_rule *rules,
	unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		put_rule(arena, &to[i], &rules[i], i > 0 ? &to[i - 1] : NULL,
			i > 0 ? &rules[i - 1] : NULL);
}

// --- what tells two sets apart

static void digest_bytes(crypto_generichash_state *state, const void *bytes, size_t size)
{
	uint64_t length = size;

	crypto_generichash_update(state, (const unsigned char *)&length, sizeof(length));
	if (size > 0)
		crypto_generichash_update(state, bytes, size);
}

#define DIGEST(state, array, count) digest_bytes(state, array, (size_t)(count) * sizeof(*(array)))

void set_digest_rule(struct crypto_generichash_blake2b_state *state, const struct policy_rule *rule)
{
	const struct policy_match *match = &rule->match;
	const struct policy_change *change = &rule->change;
	const uint32_t plain[] = {match->as_length_min, match->as_length_max, match->blackhole,
		match->family, match->origins, (uint32_t)rule->action, change->delete_asn,
		change->prepend_asn, change->prepend, change->set_med, change->clear_med,
		change->med, change->local_pref};

	digest_bytes(state, plain, sizeof(plain));
	DIGEST(state, match->prefix, match->prefixes);
	DIGEST(state, match->community, match->communities);
	DIGEST(state, match->large, match->larges);
	DIGEST(state, match->as_contains, match->as_contain);
	DIGEST(state, match->foreign_to, match->foreign);
	DIGEST(state, change->remove_community, change->remove_communities);
	for (unsigned int i = 0; i < change->remove_larges; i++) { // it has padding
		const struct policy_large_range *range = &change->remove_large[i];
		const uint32_t word[] = {range->asn, range->all, range->a, range->b};
		digest_bytes(state, word, sizeof(word));
	}
	DIGEST(state, change->add_community, change->add_communities);
	DIGEST(state, change->add_large, change->add_larges);
}

static void digest(struct policy_set *set)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, sizeof(set->digest));
	for (unsigned int i = 0; i < set->count; i++) {
		set_digest_rule(&state, &set->rule[i]);
		digest_bytes(&state, set->rule[i].name, strlen(set->rule[i].name));
		digest_bytes(&state, set->rule[i].object, strlen(set->rule[i].object));
	}
	crypto_generichash_final(&state, set->digest, sizeof(set->digest));
}

// --- life

struct policy_set *policy_set_build(const struct policy_rule *rules, unsigned int count)
{
	size_t head = sizeof(struct policy_set) + count * sizeof(*rules);
	struct policy_rule *scratch = calloc(count + 1, sizeof(*scratch));
	struct arena arena = {.used = head};

	if (scratch == NULL || sodium_init() < 0)
		abort();
	put_rules(&arena, scratch, rules, count);
	free(scratch);
	struct policy_set *set = calloc(1, arena.used);
	if (set == NULL)
		abort();
	set->references = 1;
	set->count = count;
	set->bytes = arena.used;
	arena = (struct arena){.base = (char *)set, .used = head};
	put_rules(&arena, set->rule, rules, count);
	digest(set);
	return set;
}

struct policy_set *policy_set_ref(const struct policy_set *set)
{
	struct policy_set *held = (struct policy_set *)set;

	atomic_fetch_add_explicit(&held->references, 1, memory_order_relaxed);
	return held;
}

void policy_set_unref(const struct policy_set *set)
{
	struct policy_set *held = (struct policy_set *)set;

	if (set != NULL &&
		atomic_fetch_sub_explicit(&held->references, 1, memory_order_acq_rel) == 1)
		free(held);
}

bool policy_set_equal(const struct policy_set *a, const struct policy_set *b)
{
	return a == b || memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

size_t policy_set_bytes(const struct policy_set *set)
{
	return set->bytes;
}

const struct policy_rule *policy_set_rules(const struct policy_set *set, unsigned int *count)
{
	*count = set->count;
	return set->rule;
}

// --- ready-made ones

struct policy_set *policy_set_refuse(
	const struct ip_prefix *prefix, unsigned int count, const char *name, const char *object)
{
	struct policy_prefix *inside = calloc(count + 1, sizeof(*inside));

	if (inside == NULL)
		abort();
	for (unsigned int i = 0; i < count; i++)
		inside[i] = (struct policy_prefix){
			.prefix = prefix[i], .le = ip_bits(prefix[i].address.family)};
	const struct policy_rule rule = {
		.match = {.prefix = inside, .prefixes = count},
		.action = POLICY_REJECT,
		.name = name,
		.object = object,
	};
	struct policy_set *set = policy_set_build(&rule, count > 0 ? 1 : 0);
	free(inside);
	return set;
}

struct policy_set *policy_set_special(void)
{
	static const struct ip_prefix special[] = {
		{{4, {0}}, 8},                                  // this network
		{{4, {127}}, 8},                                // loopback
		{{4, {169, 254}}, 16},                          // link-local
		{{4, {192, 0, 0, 8}}, 32},                      // the dummy address
		{{4, {224}}, 3},                                // multicast, reserved, broadcast
		{{6, {0}}, 96},                                 // unspecified, loopback, IPv4-compatible
		{{6, {[10] = 0xff, [11] = 0xff}}, 96},          // IPv4-mapped
		{{6, {0xfe, 0x80}}, 10},                        // link-local
		{{6, {0xff}}, 8},                               // multicast
	};

	return policy_set_refuse(special, sizeof(special) / sizeof(special[0]), "special-purpose",
		"no network of hosts has it");
}

struct policy_set *policy_set_as_loop(uint32_t asn)
{
	const struct policy_rule rule = {
		.match = {.as_contains = &asn, .as_contain = 1},
		.action = POLICY_REJECT,
		.name = "as-loop",
		.object = "our own AS number is in its path",
	};

	return policy_set_build(&rule, 1);
}

struct policy_set *policy_set_next_hops(const struct ip_address *router, unsigned int count)
{
	const struct policy_rule rules[] = {
		{.match = {.blackhole = true},
			.action = POLICY_REJECT,
			.name = "blackhole",
			.object = "it leads nowhere"},
		{.match = {.foreign_to = router, .foreign = count},
			.action = POLICY_REJECT,
			.name = "next-hop",
			.object = "its next hop is not the customer's router"},
	};

	return policy_set_build(rules, count > 0 ? 2 : 1);
}

struct policy_set *policy_set_drain(uint32_t asn, uint8_t prepend)
{
	const uint32_t community[] = {POLICY_GRACEFUL_SHUTDOWN};
	const struct policy_rule rule = {
		.action = POLICY_NEXT,
		.change = {.add_community = community,
			.add_communities = 1,
			.prepend_asn = asn,
			.prepend = prepend},
		.name = "drain",
	};

	return policy_set_build(&rule, 1);
}
