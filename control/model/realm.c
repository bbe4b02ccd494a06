// SPDX-License-Identifier: BSD-3-Clause
// A cloud that stands alone: the public one, or a national one. Nothing leads from one to another.

#include "control/model/model.h"
#include "control/model/schema.h"

struct realm {
	struct object object;
	const char *name;
};

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, offsetof(struct realm, name), .help = "its name"},
};

const struct noun realm_noun = {
	.id = NOUN_REALM,
	.name = "realm",
	.section = "realms",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct realm)},
	.help = "a cloud that stands alone: the public one or a national one",
};
