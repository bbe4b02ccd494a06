/* SPDX-License-Identifier: BSD-3-Clause */
// The life of a publication: made by service.c on the main thread, read by sync/ on the route
// thread, freed by whoever lets go of it last.

#include "control/publication.h"

#include <stdlib.h>

#include "control/model/finding.h"
#include "control/model/ids.h"
#include "control/model/model.h"

bool publication_has_edge(const struct publication *publication, const char *name)
{
	return model_edge(publication->model, name) != NULL;
}

struct publication *publication_ref(const struct publication *publication)
{
	struct publication *mutable = (struct publication *)publication;

	__atomic_add_fetch(&mutable->references, 1, __ATOMIC_RELAXED);
	return mutable;
}

void publication_unref(struct publication *publication)
{
	if (publication == NULL ||
		__atomic_sub_fetch(&publication->references, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	model_unref(publication->model);
	ids_unref(publication->ids);
	free(publication->problems);
	free(publication);
}

bool publication_put(struct publication_slot *slot, struct publication *publication)
{
	struct publication *before =
		__atomic_exchange_n(&slot->publication, publication, __ATOMIC_ACQ_REL);

	publication_unref(before);
	return before == NULL;
}

struct publication *publication_take(struct publication_slot *slot)
{
	return __atomic_exchange_n(&slot->publication, NULL, __ATOMIC_ACQ_REL);
}

void publication_problems(const struct publication *publication,
	void (*visit)(void *ctx, const char *path, const char *rule, const char *message,
		const char *hint),
	void *ctx)
{
	const struct findings *findings = publication->problems;

	for (unsigned int i = 0; findings != NULL && i < findings->count; i++)
		visit(ctx, findings->item[i].path, findings->item[i].rule,
			findings->item[i].message, findings->item[i].hint);
}
