// SPDX-License-Identifier: BSD-3-Clause
// Joins: two domains that reach each other, whatever they are. Each end gets what the other has of its own and what it
// learned, as far as the end's policy lets it in; nothing goes through two joins. The domains need not be there yet.

#include "control/domain/state.h"

#include <stdlib.h>
#include <string.h>

struct end *join_find(const struct domains *domains, uint32_t a, uint32_t b, const char *object)
{
	const struct domain *domain = domain_find(domains, a);
	struct end *end;

	if (domain == NULL)
		return NULL;
	LIST_FOREACH (end, &domain->ends, entry)
		if (end->peer->domain->id == b && strcmp(end->object, object) == 0)
			return end;
	return NULL;
}

void join_rename(struct domains *domains, const struct intent_join *was, const struct intent_join *now)
{
	struct end *end = join_find(domains, was->domain[0], was->domain[1], was->object);

	if (end != NULL)
		end->object = end->peer->object = now->object;
}

// Accounts live as long as their join, whether anything leaves by it at the moment or not.
struct account {
	struct entry entry;
	uint64_t uid;
	unsigned int uses; // more than one while a join follows another
};

static void account_set(struct domains *domains, struct end *end, uint64_t uid)
{
	struct account *was = table_find(&domains->accounts, &end->account),
		       *account = table_find(&domains->accounts, &uid);

	if (account == NULL && uid != 0) {
		account = calloc(1, sizeof(*account));
		if (account == NULL)
			abort();
		account->uid = uid;
		table_add(&domains->accounts, account);
	}
	if (account != NULL)
		account->uses++;
	if (was != NULL && --was->uses == 0) {
		table_remove(&domains->accounts, was);
		free(was);
	}
	end->account = uid;
}

static void free_account(void *ctx, void *entry)
{
	free(entry);
}

void joins_create(struct domains *domains)
{
	domains->accounts = TABLE_OF(struct account, uid);
}

void joins_destroy(struct domains *domains)
{
	table_clear(&domains->accounts, free_account, NULL);
}

bool join_counts(const struct domains *domains, uint64_t uid)
{
	return table_find(&domains->accounts, &uid) != NULL;
}

// By the id of the other, so that the order of candidates is not a matter of chance.
static void insert(struct end *end)
{
	struct end *at, *last = NULL;

	LIST_FOREACH (at, &end->domain->ends, entry) {
		if (at->peer->domain->id > end->peer->domain->id)
			break;
		last = at;
	}
	if (last == NULL)
		LIST_INSERT_HEAD(&end->domain->ends, end, entry);
	else
		LIST_INSERT_AFTER(last, end, entry);
}

// What either gets by the join now, or no longer gets.
static void decide_both(struct domain *a, struct domain *b)
{
	struct domains *domains = a->domains;

	decide_own_in(a, a->wanted);
	decide_own_in(a, b->wanted);
	decide_own_in(b, a->wanted);
	decide_own_in(b, b->wanted);
	work_add(domains, JOB_DECIDE, a, b);
	work_add(domains, JOB_DECIDE, b, a);
	work_add(domains, JOB_ANNOUNCE, a, NULL);
	work_add(domains, JOB_ANNOUNCE, b, NULL);
	domain_known(a);
	domain_known(b);
}

struct end *join_set(struct domains *domains, uint32_t a, uint32_t b, uint16_t weight,
	const struct policy *ab, const struct policy *ba, const char *object,
	const uint64_t account[2])
{
	struct end *end = join_find(domains, a, b, object);

	if (end == NULL) {
		end = calloc(2, sizeof(*end));
		if (end == NULL)
			abort();
		end[0].peer = &end[1];
		end[1].peer = &end[0];
		end[0].memory = end[1].memory = end;
		end[0].domain = domain_get(domains, a);
		end[1].domain = domain_get(domains, b);
		end[0].object = end[1].object = object;
		insert(&end[0]);
		insert(&end[1]);
	}
	end->object = end->peer->object = object;
	end->leaving = end->peer->leaving = false;
	end->weight = end->peer->weight = weight;
	end->import = ba;
	end->peer->import = ab;
	account_set(domains, end, account != NULL ? account[0] : 0);
	account_set(domains, end->peer, account != NULL ? account[1] : 0);
	decide_both(end->domain, end->peer->domain);
	return end;
}

void join_unset(struct domains *domains, uint32_t a, uint32_t b, const char *object)
{
	struct end *end = join_find(domains, a, b, object);

	if (end == NULL)
		return;
	struct domain *from = end->domain, *to = end->peer->domain;
	account_set(domains, end, 0);
	account_set(domains, end->peer, 0);
	LIST_REMOVE(end, entry);
	LIST_REMOVE(end->peer, entry);
	fragment_unref(end->fragment);
	free(end->memory);
	work_add(domains, JOB_DECIDE, from, from);
	work_add(domains, JOB_DECIDE, to, to);
	work_add(domains, JOB_ANNOUNCE, from, NULL);
	work_add(domains, JOB_ANNOUNCE, to, NULL);
	domain_known(from);
	domain_known(to);
	domain_put(from);
	domain_put(to);
}
