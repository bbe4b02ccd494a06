// SPDX-License-Identifier: BSD-3-Clause
// The prefixes of a domain: one struct each for what the kernel said, what was decided and what the data plane was told
// (state.h), in a search tree by key. Refused ones are here too: a change of the rules needs no question to the kernel.
//
// A prefix is freed when nothing was learned of it, nothing is installed, and the ledger has nothing more to do with
// it; whoever takes one of these away calls prefix_drop().

#include "control/domain/state.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct route_key key_of(const struct ip_prefix *prefix)
{
	struct route_key key = {.family = prefix->address.family, .len = prefix->len};
	memcpy(key.addr, prefix->address.bytes, sizeof(key.addr));
	return key;
}

struct ip_prefix prefix_of(const struct route_key *key)
{
	struct ip_prefix prefix = {.address = {.family = key->family}, .len = key->len};
	memcpy(prefix.address.bytes, key->addr, sizeof(key->addr));
	return prefix;
}

// --- the tree --------------------------------------------------------------------------------------------

struct prefix *prefix_find(const struct domain *domain, const struct route_key *key)
{
	struct prefix *at = domain->root;

	while (at != NULL) {
		int order = route_key_compare(key, &at->route.key);
		if (order == 0)
			return at;
		at = order < 0 ? at->left : at->right;
	}
	return NULL;
}

struct prefix *prefix_next(const struct domain *domain, const struct route_key *after)
{
	struct prefix *at = domain->root, *best = NULL;

	while (at != NULL) {
		if (after == NULL || route_key_compare(after, &at->route.key) < 0) {
			best = at;
			at = at->left;
		} else {
			at = at->right;
		}
	}
	return best;
}

// Everything before the key to *left, everything behind it to *right.
static void split(struct prefix *tree, const struct route_key *key, struct prefix **left,
	struct prefix **right)
{
	while (tree != NULL) {
		if (route_key_compare(&tree->route.key, key) < 0) {
			*left = tree;
			left = &tree->right;
			tree = tree->right;
		} else {
			*right = tree;
			right = &tree->left;
			tree = tree->left;
		}
	}
	*left = *right = NULL;
}

static struct prefix *merge(struct prefix *left, struct prefix *right)
{
	struct prefix *tree, **at = &tree;

	while (left != NULL && right != NULL) {
		if (left->priority > right->priority) {
			*at = left;
			at = &left->right;
			left = left->right;
		} else {
			*at = right;
			at = &right->left;
			right = right->left;
		}
	}
	*at = left != NULL ? left : right;
	return tree;
}

struct prefix *prefix_get(struct domain *domain, const struct route_key *key)
{
	struct prefix *prefix = prefix_find(domain, key);
	if (prefix != NULL)
		return prefix;
	prefix = calloc(1, sizeof(*prefix));
	if (prefix == NULL)
		abort();
	prefix->route.key = *key;
	prefix->priority = randombytes_random();
	prefix->since = (uint32_t)time(NULL);
	struct prefix **at = &domain->root;
	while (*at != NULL && (*at)->priority >= prefix->priority)
		at = route_key_compare(key, &(*at)->route.key) < 0 ? &(*at)->left : &(*at)->right;
	split(*at, key, &prefix->left, &prefix->right);
	*at = prefix;
	domain->prefixes++;
	return prefix;
}

static void remove_prefix(struct domain *domain, struct prefix *prefix)
{
	struct prefix **at = &domain->root;

	while (*at != prefix)
		at = route_key_compare(&prefix->route.key, &(*at)->route.key) < 0 ? &(*at)->left
										  : &(*at)->right;
	*at = merge(prefix->left, prefix->right);
	domain->prefixes--;
	free(prefix->more);
	free(prefix);
}

void prefix_drop(struct domain *domain, struct prefix *prefix)
{
	if (prefix_learned(prefix) || prefix->group != NULL || prefix->route.vrf != NULL)
		return;
	remove_prefix(domain, prefix);
	if (domain->state == DOMAIN_GOING && domain->prefixes == 0)
		domain_ended(domain);
}

static void hop_set_put(struct domains *domains, struct hop_set *set)
{
	if (set == NULL || --set->references > 0)
		return;
	table_remove(&domains->hop_sets, set);
	free(set);
}

void prefixes_free(struct domain *domain)
{
	struct prefix *tree = domain->root;

	while (tree != NULL) { // without a stack: the left side is hung under the right
		if (tree->left != NULL) {
			struct prefix *left = tree->left;
			tree->left = left->right;
			left->right = tree;
			tree = left;
			continue;
		}
		struct prefix *next = tree->right;
		for (unsigned int i = 0; i < learned_count(tree); i++)
			hop_set_put(domain->domains, learned_at(tree, i)->hops);
		free(tree->more);
		free(tree);
		tree = next;
	}
	domain->root = NULL;
	domain->prefixes = 0;
	hop_set_put(domain->domains, domain->last_hops);
	domain->last_hops = NULL;
}

// --- next hops -------------------------------------------------------------------------------------------

static struct hop_set *hop_set_get(struct domain *domain, const struct bridge_route *route)
{
	struct hop_set_key key = {.count = route->count < 16 ? route->count : 16};
	struct hop_set *set = domain->last_hops;

	for (unsigned int i = 0; i < key.count; i++) {
		key.hop[i].via = route->nexthop[i].via;
		key.hop[i].weight = route->nexthop[i].weight > 0 ? route->nexthop[i].weight : 1;
	}
	if (set != NULL && set->key.count == key.count &&
		memcmp(set->key.hop, key.hop, key.count * sizeof(key.hop[0])) == 0) {
		set->references++;
		return set;
	}
	set = table_find(&domain->domains->hop_sets, &key);
	if (set == NULL) {
		set = calloc(1, sizeof(*set));
		if (set == NULL)
			abort();
		set->key = key;
		table_add(&domain->domains->hop_sets, set);
	}
	set->references += 2; // one is remembered
	hop_set_put(domain->domains, domain->last_hops);
	domain->last_hops = set;
	return set;
}

// --- what was learned ------------------------------------------------------------------------------------

unsigned int learned_count(const struct prefix *prefix)
{
	return prefix->first.protocol == 0 ? 0
					   : 1 + (prefix->more != NULL ? prefix->more->count : 0);
}

const struct learned *learned_at(const struct prefix *prefix, unsigned int index)
{
	return index == 0 ? &prefix->first : &prefix->more->item[index - 1];
}

static void remove_at(struct domain *domain, struct prefix *prefix, unsigned int index)
{
	unsigned int last = learned_count(prefix) - 1;
	struct learned *gone = (struct learned *)learned_at(prefix, index);

	hop_set_put(domain->domains, gone->hops);
	*gone = *learned_at(prefix, last);
	if (last == 0)
		prefix->first = (struct learned){.protocol = 0};
	else if (--prefix->more->count == 0) {
		free(prefix->more);
		prefix->more = NULL;
	}
}

static struct learned *append_learned(struct prefix *prefix)
{
	unsigned int count = prefix->more != NULL ? prefix->more->count : 0;

	if (!prefix_learned(prefix))
		return &prefix->first;
	prefix->more =
		realloc(prefix->more, sizeof(*prefix->more) + (count + 1) * sizeof(struct learned));
	if (prefix->more == NULL)
		abort();
	prefix->more->count = count + 1;
	return &prefix->more->item[count];
}

static void count_learned(struct domain *domain, const struct prefix *prefix, unsigned int by)
{
	unsigned int family = family_of(&prefix->route.key);

	domain->count[family].learned += by;
	domain->domains->count[family].learned += by;
}

static unsigned int find_learned(const struct prefix *prefix, const struct bridge_route *route)
{
	unsigned int at = 0, count = learned_count(prefix);

	while (at < count && (learned_at(prefix, at)->protocol != route->protocol ||
				     learned_at(prefix, at)->metric != route->metric))
		at++;
	return at;
}

// The kernel has it no more, and it is kept as one of an earlier life. True: it is.
bool learned_keep(struct domain *domain, struct prefix *prefix, const struct bridge_route *route)
{
	unsigned int at = find_learned(prefix, route);

	if (at == learned_count(prefix) || !parting_keeps(domain, learned_at(prefix, at)))
		return false;
	((struct learned *)learned_at(prefix, at))->life = (uint16_t)(domain->life - 1);
	return true;
}

bool learned_update(struct domain *domain, struct prefix *prefix, const struct bridge_route *route,
	bool present)
{
	bool was = prefix_learned(prefix);
	unsigned int at = find_learned(prefix, route), count = learned_count(prefix);

	if (present) {
		struct hop_set *hops = route->count > 0 ? hop_set_get(domain, route) : NULL;
		struct learned *learned = at < count ? (struct learned *)learned_at(prefix, at)
						     : append_learned(prefix);
		if (at < count)
			hop_set_put(domain->domains, learned->hops);
		*learned = (struct learned){hops, route->metric, domain->life, route->protocol, 0};
	} else if (at < count) {
		remove_at(domain, prefix, at);
	}
	prefix->since = (uint32_t)time(NULL);
	count_learned(domain, prefix, (unsigned int)prefix_learned(prefix) - (unsigned int)was);
	return prefix_learned(prefix);
}

bool learned_expire(struct domain *domain, struct prefix *prefix, bool all)
{
	bool changed = false;

	for (unsigned int i = learned_count(prefix); i-- > 0;) {
		if (!all && learned_at(prefix, i)->life == domain->life)
			continue;
		remove_at(domain, prefix, i);
		changed = true;
	}
	if (changed && !prefix_learned(prefix))
		count_learned(domain, prefix, -1u);
	if (changed)
		prefix->since = (uint32_t)time(NULL);
	return changed;
}

void prefix_set_place(struct domain *domain, struct prefix *prefix, enum place place)
{
	static const size_t counter[] = {
		[PLACE_TAKEN] = offsetof(struct domain_counts, taken),
		[PLACE_HELD] = offsetof(struct domain_counts, held),
		[PLACE_REFUSED] = offsetof(struct domain_counts, refused),
	};
	unsigned int family = family_of(&prefix->route.key);
	enum place was = prefix_place(prefix);
	struct domain_counts *both[2] = {&domain->count[family], &domain->domains->count[family]};

	for (unsigned int i = 0; i < 2; i++) {
		if (was != PLACE_NONE)
			*(unsigned int *)((char *)both[i] + counter[was]) -= 1;
		if (place != PLACE_NONE)
			*(unsigned int *)((char *)both[i] + counter[place]) += 1;
	}
	prefix->route.owned = (uint8_t)((prefix->route.owned & ~PLACE_BITS) | place) & 7;
	if (was != place)
		health_later(domain);
}
