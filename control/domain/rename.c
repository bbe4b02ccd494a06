// SPDX-License-Identifier: BSD-3-Clause
// Objects that have another name now. Devices, namespaces, tables, daemons' files and the data plane's records are named after
// ids, or as their domain was when it was made: nothing of them changes. What is told to people is under the object's name:
// it goes on under the new one at once, with its state and since when; the fragments with the new names follow.

#include "control/domain/state.h"

#include "control/publication.h"
#include "control/status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Under which names an object of this noun is told of; "%s" is its own.
static const struct {
	enum noun_id noun;
	enum status_kind kind;
	const char *before, *after; // the object's name
} told[] = {
	{NOUN_CIRCUIT, STATUS_CIRCUIT, "", ""},
	{NOUN_LINK, STATUS_LINK, "", ""},
	{NOUN_LINK, STATUS_PROBLEM, "link ", ""},
	{NOUN_PEERING, STATUS_SESSION, "", "/primary"},
	{NOUN_PEERING, STATUS_SESSION, "", "/secondary"},
	{NOUN_PEERING, STATUS_SESSION, "", "/primary/v6"},
	{NOUN_PEERING, STATUS_SESSION, "", "/secondary/v6"},
	{NOUN_PEERING, STATUS_NEIGHBOR, "", "/primary"},
	{NOUN_PEERING, STATUS_NEIGHBOR, "", "/secondary"},
	{NOUN_PEERING, STATUS_NEIGHBOR, "", "/primary/v6"},
	{NOUN_PEERING, STATUS_NEIGHBOR, "", "/secondary/v6"},
	{NOUN_PEERING, STATUS_FAR_END, "", "/primary"},
	{NOUN_PEERING, STATUS_FAR_END, "", "/secondary"},
	{NOUN_PEERING, STATUS_FAR_END, "", "/primary/v6"},
	{NOUN_PEERING, STATUS_FAR_END, "", "/secondary/v6"},
	{NOUN_PEERING, STATUS_LIMIT, "", " IPv4"},
	{NOUN_PEERING, STATUS_LIMIT, "", " IPv6"},
	{NOUN_PEERING, STATUS_INTERFACE, "", ""},
	{NOUN_PEERING, STATUS_DOMAIN, "peering/", ""},
	{NOUN_PEERING, STATUS_PROBLEM, "peering ", ""},
	{NOUN_VNET, STATUS_TUNNEL, "", ""},
	{NOUN_VNET, STATUS_DOMAIN, "vnet/", ""},
	{NOUN_VNET, STATUS_PROBLEM, "vnet ", ""},
	{NOUN_EXIT, STATUS_TUNNEL, "", ""},
	{NOUN_EXIT, STATUS_PROBLEM, "exit ", ""},
};

static void rename_statuses(struct statuses *statuses, const struct renames *renames)
{
	LIST_OF(struct status_rename) list = {0};

	for (unsigned int i = 0; i < renames->count; i++)
		for (unsigned int t = 0; t < sizeof(told) / sizeof(told[0]); t++) {
			const struct rename *rename = &renames->item[i];
			if (told[t].noun != rename->old->noun->id)
				continue;
			struct status_rename *one = APPEND(list);
			one->kind = told[t].kind;
			snprintf(one->from, sizeof(one->from), "%s%s%s", told[t].before,
				rename->old->name, told[t].after);
			snprintf(one->to, sizeof(one->to), "%s%s%s", told[t].before,
				rename->new->name, told[t].after);
		}
	statuses_rename(statuses, list.item, list.count);
	free(list.item);
}

void renames_collect(void *ctx, const struct object *old, const struct object *new)
{
	*(struct rename *)APPEND(*(struct renames *)ctx) =
		(struct rename){object_ref(old), object_ref(new)};
}

void renames_free(struct renames *renames)
{
	for (unsigned int i = 0; i < renames->count; i++) {
		object_unref(renames->item[i].old);
		object_unref(renames->item[i].new);
	}
	free(renames->item);
}

void renames_apply(struct domains *domains, const struct renames *renames)
{
	if (renames->count == 0)
		return;
	rename_statuses(domains->sync.status, renames);
	untold_rename(domains, renames);
	partings_rename(domains, renames);
	domains->renamed = true;
}

// The fragments have come: what the data plane refuses is told under the names that they have now.
void renames_applied(struct domains *domains)
{
	struct records *records = &domains->sync.records;
	struct record *record;

	if (!domains->renamed)
		return;
	domains->renamed = false;
	TAILQ_FOREACH (record, &records->failures, failure) {
		const int error = record->error;
		record->error = 0;
		records->refusal(records->ctx, record);
		record->error = error;
		if (error != 0)
			records->refusal(records->ctx, record);
	}
}
