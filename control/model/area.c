// SPDX-License-Identifier: BSD-3-Clause
// A geopolitical area of a realm: its regions are what a standard circuit of one of its locations reaches.

#include "control/model/model.h"
#include "control/model/schema.h"

struct area {
	struct object object;
	const char *name;
	const char *realm;
};

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, offsetof(struct area, name), .help = "its name"},
	{"realm", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE, offsetof(struct area, realm),
		.target = NOUN_REALM, .help = "the realm it is part of"},
};

const struct noun area_noun = {
	.id = NOUN_AREA,
	.name = "area",
	.section = "areas",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct area)},
	.help = "a geopolitical area of a realm",
};
