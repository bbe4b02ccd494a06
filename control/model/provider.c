// SPDX-License-Identifier: BSD-3-Clause
// Providers: whose lines lead to our ports, and what they offer.

#include "control/model/provider.h"
#include "control/model/circuit.h"
#include "control/model/model_internal.h"

#include <stdio.h>
#include <string.h>

#define OFFSET(member) offsetof(struct provider, member)

static const char *const models[] = {
	"exchange/l2", "exchange/l3", "ethernet/l2", "ethernet/l3", "ipvpn/l2", "ipvpn/l3", NULL};

static const struct field fields[] = {
	{"name", FIELD_NAME, FIELD_KEY, OFFSET(name), .help = "its name"},
	{"models", FIELD_LIST, FIELD_REQUIRED, OFFSET(models), .element = FIELD_ENUM,
		.values = models,
		.help = "how it connects: the model, and who speaks BGP to us, the customer (l2) or "
			"the provider's router (l3)"},
	{"bandwidths", FIELD_LIST, FIELD_REQUIRED, OFFSET(bandwidths), .element = FIELD_BANDWIDTH,
		.help = "what it sells, of the sizes of circuits"},
	{"locations", FIELD_LIST, FIELD_REQUIRED, OFFSET(locations), .element = FIELD_REFERENCE,
		.target = NOUN_LOCATION, .help = "where it is"},
	{"allow-lower", FIELD_BOOL, 0, OFFSET(allow_lower), "false",
		.help = "true lets bandwidths be lowered live"},
};

bool provider_offers_model(const struct provider *provider, enum provider_offer offer)
{
	for (unsigned int i = 0; i < provider->models.count; i++) {
		if (provider->models.item[i] == offer)
			return true;
	}
	return false;
}

bool provider_offers_bandwidth(const struct provider *provider, uint64_t bandwidth)
{
	for (unsigned int i = 0; i < provider->bandwidths.count; i++) {
		if (provider->bandwidths.item[i] == bandwidth)
			return true;
	}
	return false;
}

bool provider_is_at(const struct provider *provider, const char *location)
{
	for (unsigned int i = 0; i < provider->locations.count; i++) {
		if (!strcmp(provider->locations.item[i], location))
			return true;
	}
	return false;
}

const char *provider_offer_text(enum provider_offer offer)
{
	return models[offer];
}

const char *provider_models_text(const struct provider *provider, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < provider->models.count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
			models[provider->models.item[i]]);
	return text;
}

static void bandwidths_standard(struct check *check, const struct object *object)
{
	const struct provider *provider = (const struct provider *)object;
	char text[32];

	for (unsigned int i = 0; i < provider->bandwidths.count; i++) {
		if (!circuit_bandwidth_is_sold(provider->bandwidths.item[i]))
			finding_hint(refuse(check, object, "bandwidths",
					     "provider \"%s\": %s is no size of a circuit",
					     provider->name,
					     bandwidth_format(provider->bandwidths.item[i], text)),
				CIRCUIT_BANDWIDTHS);
	}
}

static const struct rule rules[] = {
	{"provider-bandwidths", "a provider sells sizes that circuits have", bandwidths_standard},
	{0},
};

static int touch_circuit(void *ctx, const struct object *object)
{
	check_touch(ctx, object);
	return 0;
}

// What was ordered of it has to stay in what it offers.
static void touches(struct check *check, const struct object *object)
{
	model_referrers(check->model, NOUN_PROVIDER, object->name, touch_circuit, check);
}

const struct noun provider_noun = {
	.id = NOUN_PROVIDER,
	.name = "provider",
	.section = "providers",
	.parent = -1,
	.fields = {fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct provider)},
	.rules = rules,
	.touches = touches,
	.help = "a connectivity provider and what it offers",
};
