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

static const char *const modes[] = {"up", "down", NULL};

#define ZEROS "00000000000000000000000000000000"

static void test_scalars(void **state)
{
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
		{{.kind = FIELD_UINT}, "0100", NULL}, // 64 to a reader of YAML 1.1
		{{.kind = FIELD_UINT}, "00", NULL},
		{{.kind = FIELD_UINT}, "0", "0"},
		{{.kind = FIELD_INT}, "-04", NULL},
		{{.kind = FIELD_ASN}, "065001", NULL},
		{{.kind = FIELD_BANDWIDTH}, "050mbps", NULL},
		{{.kind = FIELD_BANDWIDTH}, "0.5gbps", "500mbps"},
		{{.kind = FIELD_DURATION}, "00s", NULL},
		{{.kind = FIELD_SIZE}, "01KiB", NULL},
		{{.kind = FIELD_STRING},
			"\xc2\x9b"
			"1m",
			NULL}, // a terminal's control character
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

// Whatever is typed is taken or refused, and what is taken prints as something that means the same. Texts are near to right
// ones: one of those, with characters added, changed, repeated and left out.
static void test_random_texts(void **state)
{
	static const char *const near_right[] = {"2.5gbps", "100mbps", "5ms", "1.5MiB",
		"4294967295", "-64", "65001", "true", "acme-ams-01", "88a8", "02:00:5e:00:00:01",
		"192.0.2.1", "10.1.0.0/16", "2001:db8::1/64",
		"00000000-0000-4000-8000-00000000000a", "down", ""};
	static const char letters[] = "0123456789.:/-abcdefgmkxMKGiBs% \xff";
	char error[FIELD_ERROR_MAX], shown[FIELD_TEXT_MAX];
	unsigned int taken = 0;

	srand(random_seed());
	for (unsigned int round = 0; round < 200000; round++) {
		char text[512];
		size_t length = (size_t)snprintf(text, sizeof(text), "%s",
			near_right[(size_t)rand() % (sizeof(near_right) / sizeof(near_right[0]))]);
		for (int changes = rand() % 4; changes > 0; changes--) {
			size_t at = length ? (size_t)rand() % length : 0;
			size_t repeat = rand() % 3 ? 1 : (size_t)rand() % 90;
			char letter =
				rand() % 3 ? letters[(size_t)rand() % (sizeof(letters) - 1)] : '0';
			if (rand() % 2 && length) {
				text[at] = letter;
			} else if (length + repeat < sizeof(text) - 1) {
				memmove(text + at + repeat, text + at, length - at + 1);
				memset(text + at, rand() % 2 && length ? text[at] : letter, repeat);
				length += repeat;
			}
		}
		struct field field = {.kind = (enum field_kind)(rand() % FIELD_LIST),
			.flags = FIELD_REQUIRED,
			.values = modes};
		uint64_t value[8] = {0}, again[8] = {0};
		if (field.kind == FIELD_SECRET || field_parse(&field, text, value, error))
			continue;
		taken++;
		snprintf(text, sizeof(text), "%s", field_format(&field, value, shown));
		if (field_parse(&field, text, again, error) || !field_equal(&field, value, again))
			fail_msg("%s \"%s\" does not mean the same again",
				field_kind_name(field.kind), text);
		field_free(&field, value);
		field_free(&field, again);
	}
	print_message("%u of 200000 taken\n", taken);
	assert_true(taken > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip),
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_random_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
