// SPDX-License-Identifier: BSD-3-Clause
// Addresses and scalars: every text that is taken prints as itself (or as its canonical form) and is read
// back as the same value; every other is refused with a reason.

#include "control/model/schema_internal.h"
#include "tests/unit/model/base.h"

static void test_ip(void **state)
{
	static const char *const good[] = {"0.0.0.0/0", "10.0.0.0/8", "169.254.10.0/30",
		"192.0.2.1/32", "::/0", "2001:db8::/32", "2001:db8::1/128"};
	static const char *const bad[] = {"", "10.0.0.0", "10.0.0.0/33", "10.0.0.1/8",
		"10.0.0.0/08", "10.0.0.0/+8", "10.0.0/8", "10.0.0.0/", "/8", "2001:db8::1/64",
		"::/129", "10.0.0.0/8 ", " 10.0.0.0/8", "010.0.0.0/8"};
	char text[IP_TEXT_MAX];
	struct ip_prefix prefix, inner;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(ip_prefix_parse(good[i], &prefix), 0);
		assert_string_equal(ip_prefix_format(&prefix, text), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ip_prefix_parse(bad[i], &prefix), -EINVAL);
	ip_prefix_parse("10.8.0.0/13", &prefix);
	ip_prefix_parse("10.15.255.0/24", &inner);
	assert_true(ip_prefix_contains(&prefix, &inner));
	assert_false(ip_prefix_contains(&inner, &prefix));
	assert_true(ip_prefix_overlaps(&inner, &prefix));
	ip_prefix_parse("10.16.0.0/24", &inner);
	assert_false(ip_prefix_overlaps(&inner, &prefix));
	ip_prefix_parse("::/0", &inner);
	assert_false(ip_prefix_overlaps(&inner, &prefix));
	struct ip_address address = ip_prefix_nth(&prefix, 0x1ff);
	assert_string_equal(ip_address_format(&address, text), "10.8.1.255");
}

#define ZEROS "00000000000000000000000000000000"

static void test_scalars(void **state)
{
	static const char *const modes[] = {"up", "down", NULL};
	static const struct {
		struct field field;
		const char *text, *canonical; // NULL: refused
	} cases[] = {
		{{.kind = FIELD_BANDWIDTH}, "100mbps", "100mbps"},
		{{.kind = FIELD_BANDWIDTH}, "1000mbps", "1gbps"},
		{{.kind = FIELD_BANDWIDTH}, "2.5gbps", "2500mbps"},
		{{.kind = FIELD_BANDWIDTH}, "2.500000000gbps", "2500mbps"},
		{{.kind = FIELD_BANDWIDTH}, "2.5000000000gbps", NULL},
		{{.kind = FIELD_BANDWIDTH}, "50." ZEROS ZEROS "mbps", NULL}, // ten to the 64th is 0
		{{.kind = FIELD_DURATION}, "5." ZEROS ZEROS "ms", NULL},
		{{.kind = FIELD_BANDWIDTH}, "1Gbps", "1gbps"},
		{{.kind = FIELD_BANDWIDTH}, "100", NULL},
		{{.kind = FIELD_BANDWIDTH}, "100mb", NULL},
		{{.kind = FIELD_BANDWIDTH}, "-1gbps", NULL},
		{{.kind = FIELD_BANDWIDTH}, "0.1bps", NULL},
		{{.kind = FIELD_BANDWIDTH}, "99999999999999999999gbps", NULL},
		{{.kind = FIELD_BANDWIDTH}, "9999999999tbps", NULL},
		{{.kind = FIELD_BANDWIDTH}, "1 gbps", NULL},
		{{.kind = FIELD_DURATION}, "5ms", "5ms"},
		{{.kind = FIELD_DURATION}, "90s", "90s"},
		{{.kind = FIELD_DURATION}, "120s", "2m"},
		{{.kind = FIELD_DURATION}, "5", NULL},
		{{.kind = FIELD_DURATION}, "5M", NULL},
		{{.kind = FIELD_DURATION, .min = 1000, .max = 2000}, "3us", NULL},
		{{.kind = FIELD_SIZE}, "64KiB", "64KiB"},
		{{.kind = FIELD_SIZE}, "1.5MiB", "1536KiB"},
		{{.kind = FIELD_SIZE}, "64kb", NULL},
		{{.kind = FIELD_UINT, .min = 1, .max = 4094}, "4094", "4094"},
		{{.kind = FIELD_UINT, .min = 1, .max = 4094}, "4095", NULL},
		{{.kind = FIELD_UINT}, "0x10", NULL},
		{{.kind = FIELD_UINT}, "4294967296", NULL},
		{{.kind = FIELD_INT, .min = -64, .max = 64}, "-4", "-4"},
		{{.kind = FIELD_INT, .min = -64, .max = 64}, "-65", NULL},
		{{.kind = FIELD_ASN}, "65001", "65001"},
		{{.kind = FIELD_ASN}, "0", NULL},
		{{.kind = FIELD_ASN}, "23456", NULL},
		{{.kind = FIELD_ASN}, "4294967295", NULL},
		{{.kind = FIELD_BOOL}, "true", "true"},
		{{.kind = FIELD_BOOL}, "yes", NULL},
		{{.kind = FIELD_NAME}, "acme-ams-01", "acme-ams-01"},
		{{.kind = FIELD_NAME}, "Acme", NULL},
		{{.kind = FIELD_NAME}, "-acme", NULL},
		{{.kind = FIELD_NAME}, "a/b", NULL},
		{{.kind = FIELD_NAME}, "", NULL},
		{{.kind = FIELD_NAME},
			"a23456789012345678901234567890123456789012345678901234567890123",
			"a23456789012345678901234567890123456789012345678901234567890123"},
		{{.kind = FIELD_NAME},
			"a234567890123456789012345678901234567890123456789012345678901234", NULL},
		{{.kind = FIELD_STRING}, "any text", "any text"},
		{{.kind = FIELD_STRING}, "two\nlines", NULL},
		{{.kind = FIELD_UUID}, "00000000-0000-4000-8000-00000000000A",
			"00000000-0000-4000-8000-00000000000a"},
		{{.kind = FIELD_UUID}, "00000000-0000-4000-8000-00000000000", NULL},
		{{.kind = FIELD_MAC}, "02:00:5E:00:00:01", "02:00:5e:00:00:01"},
		{{.kind = FIELD_MAC}, "01:00:5e:00:00:01", NULL},
		{{.kind = FIELD_MAC}, "02:00:5e:00:00", NULL},
		{{.kind = FIELD_ETHERTYPE}, "88a8", "88a8"},
		{{.kind = FIELD_ETHERTYPE}, "0x8100", "8100"},
		{{.kind = FIELD_ETHERTYPE}, "0500", NULL},
		{{.kind = FIELD_ETHERTYPE}, "8 00", NULL},
		{{.kind = FIELD_ADDRESS}, "192.0.2.1", "192.0.2.1"},
		{{.kind = FIELD_ADDRESS}, "192.0.2.256", NULL},
		{{.kind = FIELD_PREFIX}, "10.1.0.0/16", "10.1.0.0/16"},
		{{.kind = FIELD_PREFIX}, "10.1.0.1/16", NULL},
		{{.kind = FIELD_HOST}, "192.0.2.1/24", "192.0.2.1/24"},
		{{.kind = FIELD_HOST}, "192.0.2.1", NULL},
		{{.kind = FIELD_ENUM, .values = modes}, "down", "down"},
		{{.kind = FIELD_ENUM, .values = modes}, "donw", NULL},
	};
	char error[FIELD_ERROR_MAX], text[FIELD_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct field field = cases[i].field;
		uint64_t value[8] = {0}, again[8] = {0};
		field.flags = FIELD_REQUIRED;
		error[0] = '\0';
		int rc = field_parse(&field, cases[i].text, value, error);
		if (!cases[i].canonical) {
			if (rc != -EINVAL || !error[0])
				fail_msg("%s \"%s\" was taken", field_kind_name(field.kind),
					cases[i].text);
			continue;
		}
		if (rc)
			fail_msg(
				"%s \"%s\": %s", field_kind_name(field.kind), cases[i].text, error);
		assert_string_equal(field_format(&field, value, text), cases[i].canonical);
		assert_int_equal(field_parse(&field, cases[i].canonical, again, error), 0);
		assert_true(field_equal(&field, value, again));
		field_free(&field, value);
		field_free(&field, again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip),
		cmocka_unit_test(test_scalars),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
