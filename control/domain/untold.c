// SPDX-License-Identifier: BSD-3-Clause
// Far ends that keep a session which is no more, because the BGP daemon hung when they were to be told (parting.c).

#include "control/domain/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOLD_S 240 // where it is not known

static void end(struct domains *domains, struct untold *untold)
{
	health_untold(domains, untold, true);
	table_remove(&domains->untold, untold);
	free(untold);
}

void untold_over(struct domains *domains, uint32_t session)
{
	struct untold *untold = table_find(&domains->untold, &session);

	if (untold != NULL)
		end(domains, untold);
}

void untold_add(
	struct domains *domains, const struct realised_session *session, uint64_t revision)
{
	struct untold *untold = calloc(1, sizeof(*untold));

	if (untold == NULL)
		abort();
	untold_over(domains, session->id);
	untold->session = session->id;
	untold->revision = revision;
	untold->hold = session->state.hold;
	untold->until = (uint64_t)time(NULL) + (untold->hold != 0 ? untold->hold : HOLD_S);
	session_name(session->of->wanted, session->family, untold->name);
	table_add(&domains->untold, untold);
	health_untold(domains, untold, false);
}

const struct untold *untold_of(const struct domains *domains, uint32_t session)
{
	return table_find(&domains->untold, &session);
}

struct sum {
	uint64_t revision;
	unsigned int count;
	const struct untold *one;
};

static void add_up(void *ctx, void *entry)
{
	const struct untold *untold = entry;
	struct sum *sum = ctx;

	if (untold->revision < sum->revision)
		return;
	sum->count++;
	sum->one = untold;
}

unsigned int untold_since(
	const struct domains *domains, uint64_t revision, const struct untold **one)
{
	struct sum sum = {.revision = revision};

	table_each(&domains->untold, add_up, &sum);
	*one = sum.one;
	return sum.count;
}

// Each has one new name at most, whatever the others' are.
static void name_anew(void *ctx, void *entry)
{
	const struct renames *renames = ctx;
	struct untold *untold = entry;
	char name[sizeof(untold->name)];

	for (unsigned int i = 0; i < renames->count; i++) {
		const struct rename *rename = &renames->item[i];
		size_t length = strlen(rename->old->name);
		if (rename->old->noun->id != NOUN_PEERING ||
			strncmp(rename->old->name, untold->name, length) != 0 ||
			untold->name[length] != '/')
			continue;
		snprintf(name, sizeof(name), "%s%s", rename->new->name, untold->name + length);
		memcpy(untold->name, name, sizeof(name));
		return;
	}
}

void untold_rename(struct domains *domains, const struct renames *renames)
{
	table_each(&domains->untold, name_anew, (void *)(uintptr_t)renames);
}

static void expire(void *ctx, void *entry)
{
	struct untold *untold = entry;

	if ((uint64_t)time(NULL) > untold->until)
		end(ctx, untold);
}

void untold_tick(struct domains *domains)
{
	if (domains->untold.count > 0)
		table_each(&domains->untold, expire, domains);
}

void untold_create(struct domains *domains)
{
	domains->untold = TABLE_OF(struct untold, session);
}

static void free_untold(void *ctx, void *entry)
{
	free(entry);
}

void untold_free(struct domains *domains)
{
	table_clear(&domains->untold, free_untold, NULL);
}
