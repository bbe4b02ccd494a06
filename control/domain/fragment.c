// SPDX-License-Identifier: BSD-3-Clause
// What changed fragments of the configuration mean here, one after the other. A fragment names what lies in others by id
// only; the other may come later, so everything below waits for what is missing instead of refusing it. What the old
// fragment had and the new one has not goes first.

#include "control/domain/state.h"

#include "control/publication.h"

#include <stdlib.h>
#include <string.h>

#define FIND(list, match)                                                    \
	({                                                                   \
		__typeof__((list).item[0]) *found_ = NULL;                   \
		for (unsigned int i_ = 0; i_ < (list).count; i_++) {         \
			__typeof__((list).item[0]) *item = &(list).item[i_]; \
			if (match)                                           \
				found_ = item;                               \
		}                                                            \
		found_;                                                      \
	})

static const struct fragment nothing;

// --- limiters: they go with the last interface that names them -------------------------------------------

static struct limiter *limiter_get(struct domains *domains, uint32_t id)
{
	struct limiter *limiter = table_find(&domains->limiters, &id);

	if (limiter != NULL)
		return limiter;
	limiter = calloc(1, sizeof(*limiter));
	if (limiter == NULL)
		abort();
	limiter->id = id;
	table_add(&domains->limiters, limiter);
	return limiter;
}

static void limiter_drop(struct domains *domains, struct limiter *limiter)
{
	if (limiter->users > 0 || (limiter->wanted != NULL && !limiter->going))
		return;
	unconfigure_limiter(domains, limiter->id);
	table_remove(&domains->limiters, limiter);
	fragment_unref(limiter->fragment);
	free(limiter);
}

void limiter_use(struct domains *domains, const struct intent_interface *interface, int by)
{
	const uint32_t ids[2] = {interface->limiter_in, interface->limiter_out};

	for (unsigned int i = 0; i < 2; i++) {
		if (ids[i] == 0)
			continue;
		struct limiter *limiter = limiter_get(domains, ids[i]);
		limiter->users += (unsigned int)by;
		limiter_drop(domains, limiter);
	}
}

static void limiter_set(struct domains *domains, const struct intent_limiter *wanted,
	const struct fragment *fragment)
{
	struct limiter *limiter = limiter_get(domains, wanted->id);
	const struct fragment *held = limiter->fragment;

	limiter->wanted = wanted;
	limiter->fragment = fragment_ref(fragment);
	limiter->going = false;
	fragment_unref(held);
	configure_limiter(domains, wanted);
}

static void limiter_unset(struct domains *domains, uint32_t id)
{
	struct limiter *limiter = table_find(&domains->limiters, &id);

	if (limiter == NULL)
		return;
	limiter->going = true;
	limiter_drop(domains, limiter);
}

// --- what a fragment changes -----------------------------------------------------------------------------

// The same one, whatever it is called now.
static bool is_join(const struct intent_join *a, const struct intent_join *b)
{
	return a->domain[0] == b->domain[0] && a->domain[1] == b->domain[1] &&
	       (strcmp(a->object, b->object) == 0 ||
		       (a->account[0] != 0 && a->account[0] == b->account[0]));
}

static void remove_old(
	struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	for (unsigned int i = 0; i < old->joins.count; i++) {
		const struct intent_join *was = &old->joins.item[i];
		if (FIND(new->joins, is_join(was, item)) == NULL)
			join_unset(domains, was->domain[0], was->domain[1], was->object);
	}
	for (unsigned int i = 0; i < old->interfaces.count; i++) {
		const struct intent_interface *was = &old->interfaces.item[i];
		if (FIND(new->interfaces, item->id == was->id) == NULL)
			interface_unset(domains, was);
	}
	for (unsigned int i = 0; i < old->limiters.count; i++) {
		uint32_t id = old->limiters.item[i].id;
		if (FIND(new->limiters, item->id == id) == NULL)
			limiter_unset(domains, id);
	}
	for (unsigned int i = 0; i < old->domains.count; i++) {
		uint32_t id = old->domains.item[i].id;
		if (FIND(new->domains, item->id == id) == NULL)
			domain_unset(domains, id);
	}
}

static void set_new(struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	for (unsigned int i = 0; i < new->limiters.count; i++)
		limiter_set(domains, &new->limiters.item[i], new);
	for (unsigned int i = 0; i < new->domains.count; i++)
		domain_set(domains, &new->domains.item[i], new);
	for (unsigned int i = 0; i < new->interfaces.count; i++) {
		const struct intent_interface *wanted = &new->interfaces.item[i];
		interface_set(domains, wanted, FIND(old->interfaces, item->id == wanted->id), new);
	}
	for (unsigned int i = 0; i < new->joins.count; i++) {
		const struct intent_join *join = &new->joins.item[i],
					 *was = FIND(old->joins, is_join(join, item));
		if (was != NULL)
			join_rename(domains, was, join);
		struct end *end = join_set(domains, join->domain[0], join->domain[1], join->weight,
			&join->policy[0], &join->policy[1], join->object, join->account);
		const struct fragment *held = end->fragment;
		end->fragment = fragment_ref(new);
		fragment_unref(held);
	}
}

// --- one after the other ---------------------------------------------------------------------------------

void fragment_apply(
	struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	remove_old(domains, old != NULL ? old : &nothing, new != NULL ? new : &nothing);
	if (new != NULL)
		set_new(domains, old != NULL ? old : &nothing, new);
	if (old != NULL && new != NULL && strcmp(old->key.name, new->key.name) != 0)
		health_fragment_renamed(domains, old, new);
	health_problems(domains, old != NULL ? old : &nothing, new != NULL ? new : &nothing);
}

bool fragments_step(struct domains *domains)
{
	const struct fragment *old, *new;

	if (!fragments_next(domains->fragments, &old, &new)) {
		domains_applied(domains);
		return true;
	}
	if (old == new)
		return false;
	const struct fragment *before = old != NULL ? fragment_ref(old) : NULL;
	if (!parting_holds(domains, old, new))
		fragment_apply(domains, old, new);
	fragment_unref(before);
	return false;
}
