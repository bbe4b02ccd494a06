// SPDX-License-Identifier: BSD-3-Clause
// Price lists, one a location. They change nothing on the wire.

#include "control/model/price.h"
#include "control/model/model_internal.h"

#include <string.h>

#define OFFSET(member) offsetof(struct price, member)
#define FEE(member)    offsetof(struct price_fee, member)

static const char *const plans[] = {"metered", "unlimited", NULL};

static const struct field fee_fields[] = {
	{"bandwidth", FIELD_BANDWIDTH, FIELD_REQUIRED, FEE(bandwidth),
		.help = "size of the circuit"},
	{"plan", FIELD_ENUM, FIELD_REQUIRED, FEE(plan), .values = plans,
		.help = "whether traffic out of the cloud is paid by volume"},
	{"fee", FIELD_UINT, FIELD_REQUIRED, FEE(fee),
		.help = "hundredths of the currency, a month"},
};
static const struct fields fee = {
	fee_fields, sizeof(fee_fields) / sizeof(fee_fields[0]), sizeof(struct price_fee)};

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name), .help = "its name"},
	{"location", FIELD_STRING, FIELD_REQUIRED, OFFSET(location),
		.help = "where it holds, as circuits name it"},
	{"currency", FIELD_STRING, FIELD_REQUIRED, OFFSET(currency),
		.help = "of all its amounts, ISO 4217"},
	{"fees", FIELD_LIST, FIELD_DETAIL, OFFSET(fees), .element = FIELD_STRUCT, .fields = &fee,
		.help = "by size and plan"},
	{"premium", FIELD_UINT, 0, OFFSET(premium),
		.help = "of a premium circuit, hundredths of the currency a month"},
	{"reach", FIELD_UINT, 0, OFFSET(reach),
		.help = "of a circuit with reach, hundredths of the currency a month"},
	{"gb-out", FIELD_UINT, 0, OFFSET(gb_out),
		.help = "of 10^9 bytes out of the cloud, metered; millionths of the currency"},
};

static void currency(struct check *check, const struct object *object)
{
	const struct price *price = (const struct price *)object;

	if (strlen(price->currency) != 3 ||
		strspn(price->currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
		finding_hint(refuse(check, object, "currency",
				     "price \"%s\": \"%.32s\" is not a currency", price->name,
				     price->currency),
			"three capital letters, such as EUR");
}

static void fee_once(struct check *check, const struct object *object)
{
	const struct price *price = (const struct price *)object;
	char text[32];

	for (unsigned int i = 0; i < price->fees.count; i++) {
		const struct price_fee *a = &price->fees.item[i];
		for (unsigned int j = 0; j < i; j++) {
			const struct price_fee *b = &price->fees.item[j];
			if (a->bandwidth == b->bandwidth && a->plan == b->plan)
				refuse(check, object, "fees", "price \"%s\" has two fees for %s %s",
					price->name, bandwidth_format(a->bandwidth, text),
					plans[a->plan]);
		}
	}
}

static void location_once(struct check *check, const struct object *object)
{
	const struct price *price = (const struct price *)object;
	const struct index *index = check->model->index;
	uint64_t hash = key_text("price-location", price->location);

	for (unsigned int i = index_first(index, hash);
		i < index->count && index->entry[i].hash == hash; i++) {
		const struct object *other = index->entry[i].object;
		if (other != object && other->noun == object->noun &&
			!strcmp(((const struct price *)other)->location, price->location) &&
			blame(check, object, other))
			refuse(check, object, "location",
				"prices \"%s\" and \"%s\" are both for location \"%s\"",
				other->name, price->name, price->location);
	}
}

static const struct rule rules[] = {
	{"price-currency", "a currency is three capital letters", currency},
	{"price-fee-once", "a size and plan has one fee", fee_once},
	{"price-location", "a location has one price list", location_once},
	{0},
};

static void keys(struct index_sink *sink, const struct object *object)
{
	index_key(sink, key_text("price-location", ((const struct price *)object)->location));
}

const struct noun price_noun = {
	.id = NOUN_PRICE,
	.name = "price",
	.section = "prices",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct price)},
	.rules = rules,
	.keys = keys,
	.help = "what circuits at a location cost",
};
