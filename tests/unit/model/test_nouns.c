// SPDX-License-Identifier: BSD-3-Clause
// What single nouns refuse and mean, beyond what test_change.c has of those that a circuit is made of.

#include "control/model/price.h"
#include "tests/unit/model/base.h"

static void refused(const struct model *model, const char *text, const char *rule)
{
	struct findings findings;

	assert_null(change(model, text, &findings));
	assert_string_equal(findings.item[0].rule, rule);
}

#define PRICE(name, location, currency, fees)                                   \
	"[{\"op\":\"create\",\"noun\":\"price\",\"name\":\"" name               \
	"\",\"fields\":{\"location\":\"" location "\",\"currency\":\"" currency \
	"\",\"gb-out\":25000,\"fees\":[" fees "]}}]"
#define FEE(bandwidth, plan, fee) \
	"{\"bandwidth\":\"" bandwidth "\",\"plan\":\"" plan "\",\"fee\":" fee "}"

static void test_price(void **state)
{
	struct model *model = base();
	struct findings findings;

	refused(model, PRICE("ams", "ams", "eur", ""), "price-currency");
	refused(model,
		PRICE("ams", "ams", "EUR",
			FEE("1gbps", "metered", "1") "," FEE("1000mbps", "metered", "2")),
		"price-fee-once");
	struct model *next = change(model,
		PRICE("ams", "ams", "EUR",
			FEE("1gbps", "metered", "43600") "," FEE("1gbps", "unlimited", "570000")),
		&findings);
	refused(next, PRICE("ams-2", "ams", "EUR", ""), "price-location");
	const struct price *price = model_price(next, "ams");
	assert_int_equal(price->fees.item[1].fee, 570000);
	assert_int_equal(price->fees.item[1].plan, PRICE_UNLIMITED);
	assert_int_equal(price->gb_out, 25000);
	assert_null(object_customer(next, &price->object));
	// YAML both ways
	char *yaml = model_yaml(next);
	struct model *again = parse(next, yaml);
	assert_ptr_equal(again, next);
	free(yaml);
	model_unref(again);
	model_unref(next);
	model_unref(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_price),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
