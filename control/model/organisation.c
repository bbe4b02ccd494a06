// SPDX-License-Identifier: BSD-3-Clause
// Whoever several customers belong to.

#include "control/model/model.h"
#include "control/model/schema.h"

struct organisation {
	struct object object;
	const char *name;
};

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, offsetof(struct organisation, name), .help = "its name"},
};

const struct noun organisation_noun = {
	.id = NOUN_ORGANISATION,
	.name = "organisation",
	.section = "organisations",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct organisation)},
	.help = "an organisation: whoever several customers belong to",
};
