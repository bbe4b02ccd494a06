// SPDX-License-Identifier: BSD-3-Clause
// Regions: where virtual networks are.

#include "control/model/region.h"
#include "control/model/schema.h"

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, offsetof(struct region, name), .help = "its name"},
	{"area", FIELD_REFERENCE, FIELD_REQUIRED | FIELD_IMMUTABLE, offsetof(struct region, area),
		.target = NOUN_AREA, .help = "the area it is in"},
};

const struct noun region_noun = {
	.id = NOUN_REGION,
	.name = "region",
	.section = "regions",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct region)},
	.help = "a region of the cloud",
};
