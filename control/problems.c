// SPDX-License-Identifier: BSD-3-Clause
// What this version has against the model that is in force. Rules judge changes only, so a change
// cannot add to it; it is looked for again after each change as long as there is any, and never
// otherwise. What the tables of fields had against the stored text does not show in the snapshot:
// that is kept from the load, until the object is written anew.

#include "control/problems.h"

#include "control/base/log.h"
#include "control/model/model.h"

#include <stdio.h>
#include <stdlib.h>

// The object that a finding is about: "circuit acme-ams-01: bandwidth".
static const struct object *blamed(const struct model *model, const struct finding *finding)
{
	char noun_name[32], name[OBJECT_NAME_MAX];

	if (sscanf(finding->path, "%31s %159[^:]", noun_name, name) != 2)
		return NULL;
	const struct noun *noun = noun_find(noun_name);
	return noun != NULL ? model_find(model, noun->id, name) : NULL;
}

static void copy_finding(struct findings *to, const struct finding *finding)
{
	if (to->count < FINDINGS_MAX)
		to->item[to->count++] = *finding;
	else
		to->more++;
}

struct findings *problems_after(const struct problems *kept, const struct model *model, bool before)
{
	struct findings *problems = before ? calloc(1, sizeof(*problems)) : NULL;

	if (problems == NULL)
		return NULL;
	model_check(model, problems);
	for (unsigned int i = 0; kept->unread != NULL && i < kept->unread->count; i++) {
		const struct finding *finding = &kept->unread->item[i];
		if (blamed(model, finding) == blamed(kept->loaded, finding))
			copy_finding(problems, finding);
	}
	if (problems->count == 0) {
		free(problems);
		problems = NULL;
	}
	return problems;
}

// What the tables of fields, and not the rules, had against the stored text: the snapshot does not
// show it.
void problems_keep(
	struct problems *kept, const struct model *model, const struct findings *findings)
{
	struct findings *unread = calloc(1, sizeof(*unread));

	if (unread == NULL)
		abort();
	for (unsigned int i = 0; i < findings->count; i++) {
		log_warning("store", findings->item[i].message,
			log_text("rule", findings->item[i].rule),
			log_text("object", findings->item[i].path));
		if (findings->item[i].code == API_INVALID)
			copy_finding(unread, &findings->item[i]);
	}
	kept->unread = unread;
	kept->loaded = model_ref(model);
}

void problems_clear(struct problems *kept)
{
	model_unref(kept->loaded);
	free(kept->unread);
}
