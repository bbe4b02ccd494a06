// SPDX-License-Identifier: BSD-3-Clause
// Scalars: the text of one value to what the noun's struct holds, and back. Units are part of the text and
// never guessed: "100" is no bandwidth. Numbers are exact: what cannot be held exactly is refused, and what
// was read prints as the same number in the largest unit that divides it.

#include "control/model/schema_internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};
// Smallest first.
static const struct unit bandwidth_units[] = {{"bps", 1}, {"kbps", 1000}, {"mbps", 1000000},
	{"gbps", 1000000000}, {"tbps", 1000000000000}, {0}};
static const struct unit duration_units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000},
	{"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}, {0}};
static const struct unit size_units[] = {
	{"B", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {0}};

static const struct unit *units_of(enum field_kind kind)
{
	return kind == FIELD_BANDWIDTH  ? bandwidth_units
	       : kind == FIELD_DURATION ? duration_units
					: size_units;
}

#define FRACTION_DIGITS 9 // zeros too: the scale has to stay a number

#define WRONG(...) (snprintf(error, FIELD_ERROR_MAX, __VA_ARGS__), -EINVAL)

// Octal to some readers, to none by intent.
static bool leading_zero(const char *text)
{
	return text[0] == '0' && text[1] >= '0' && text[1] <= '9';
}

static int digits(const char **text, uint64_t limit, uint64_t *value)
{
	const char *c = *text;

	for (*value = 0; *c >= '0' && *c <= '9'; c++) {
		if (*value > (limit - (uint64_t)(*c - '0')) / 10)
			return -ERANGE;
		*value = *value * 10 + (uint64_t)(*c - '0');
	}
	if (c == *text)
		return -EINVAL;
	*text = c;
	return 0;
}

static int with_unit(const struct field *field, const char *text, uint64_t *value, char *error)
{
	const struct unit *units = units_of(field->kind);
	const char *example = field_kind_example(field->kind);
	const char *c = text;
	uint64_t whole, fraction = 0, scale = 1;

	if (leading_zero(c))
		return WRONG("has a leading zero; leave it out");
	int rc = digits(&c, INT64_MAX, &whole);
	if (rc == -ERANGE)
		return WRONG("is too large");
	if (rc)
		return WRONG("is not a %s, such as %s", field_kind_name(field->kind), example);
	if (*c == '.') {
		const char *start = ++c;
		if (digits(&c, 999999999, &fraction))
			return WRONG(
				"is not a %s, such as %s", field_kind_name(field->kind), example);
		if (c - start > FRACTION_DIGITS)
			return WRONG("has more than %d digits after the point", FRACTION_DIGITS);
		for (; start < c; start++)
			scale *= 10;
	}
	if (*c == '\0')
		return WRONG("needs a unit, such as %s", example);
	for (; units->name; units++) {
		// "1Gbps" can only mean one thing; "5M" could be minutes or millions and is not a unit here.
		int differs = field->kind == FIELD_BANDWIDTH ? strcasecmp(c, units->name)
							     : strcmp(c, units->name);
		if (differs)
			continue;
		__uint128_t total = (__uint128_t)whole * units->factor;
		__uint128_t part = (__uint128_t)fraction * units->factor;
		if (part % scale)
			return WRONG("is finer than can be held");
		total += part / scale;
		if (total > INT64_MAX)
			return WRONG("is too large");
		*value = (uint64_t)total;
		return 0;
	}
	units = units_of(field->kind);
	int used = snprintf(error, FIELD_ERROR_MAX, "has an unknown unit \"%.16s\"; units are", c);
	for (; units->name; units++)
		used += snprintf(error + used, FIELD_ERROR_MAX - used, " %s", units->name);
	return -EINVAL;
}

static const char *format_unit(enum field_kind kind, uint64_t value, char *buffer, size_t size)
{
	const struct unit *unit = units_of(kind);
	const struct unit *best = unit;

	for (; unit->name && value; unit++) {
		if (value % unit->factor == 0)
			best = unit;
	}
	if (kind == FIELD_DURATION && value == 0)
		snprintf(buffer, size, "0ms");
	else
		snprintf(buffer, size, "%" PRIu64 "%s", value / best->factor, best->name);
	return buffer;
}

const char *bandwidth_format(uint64_t bits_per_second, char buffer[32])
{
	return format_unit(FIELD_BANDWIDTH, bits_per_second, buffer, 32);
}

const char *field_range(const struct field *field, char *buffer, size_t size)
{
	char low[32], high[32];

	if (field->min == 0 && field->max == 0)
		return "";
	if (field->kind == FIELD_UINT || field->kind == FIELD_INT)
		snprintf(buffer, size, "%" PRId64 "..%" PRId64, field->min, field->max);
	else
		snprintf(buffer, size, "%s..%s",
			format_unit(field->kind, (uint64_t)field->min, low, sizeof(low)),
			format_unit(field->kind, (uint64_t)field->max, high, sizeof(high)));
	return buffer;
}

static int in_range(const struct field *field, int64_t value, char *error)
{
	char range[64];

	if ((field->min == 0 && field->max == 0) || (value >= field->min && value <= field->max))
		return 0;
	return WRONG("is out of range %s", field_range(field, range, sizeof(range)));
}

static int parse_integer(const struct field *field, const char *text, void *value, char *error)
{
	bool negative = field->kind == FIELD_INT && text[0] == '-';
	const char *c = text + negative;
	uint64_t number;

	if (leading_zero(c))
		return WRONG("has a leading zero; leave it out");
	int rc = digits(&c, field->kind == FIELD_INT ? INT32_MAX : UINT32_MAX, &number);
	if (rc == -ERANGE)
		return WRONG("is out of range");
	if (rc || *c)
		return WRONG("is not a whole number");
	if (field->kind == FIELD_ASN) {
		if (number == 0 || number == 23456 || number == 65535 || number == UINT32_MAX)
			return WRONG("is a reserved AS number");
	}
	int64_t result = negative ? -(int64_t)number : (int64_t)number;
	if (in_range(field, result, error))
		return -EINVAL;
	if (field->kind == FIELD_INT)
		*(int32_t *)value = (int32_t)result;
	else
		*(uint32_t *)value = (uint32_t)result;
	return 0;
}

static int parse_text(const struct field *field, const char *text, const char **value, char *error)
{
	size_t length = strlen(text);
	bool name = field->kind == FIELD_NAME || field->kind == FIELD_REFERENCE;

	if (length > (name ? NAME_PART_MAX : 255))
		return WRONG("is longer than %d characters", name ? NAME_PART_MAX : 255);
	if (name && length == 0)
		return WRONG("is empty");
	for (const char *c = text; *c; c++) {
		bool control = (unsigned char)*c < 0x20 || *c == 0x7f ||
			       ((unsigned char)*c == 0xc2 && (unsigned char)c[1] < 0xa0);
		if (!name && !control)
			continue;
		if (name && ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') ||
				    (*c == '-' && c > text)))
			continue;
		if (name)
			return WRONG(
				"is not a name: lower-case letters, digits and \"-\", not first");
		return WRONG("holds a control character");
	}
	*value = strdup(text);
	return *value ? 0 : -ENOMEM;
}

static int parse_uuid(const char *text, const char **value, char *error)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < sizeof(shape); i++) {
		if (shape[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != shape[i])
			return WRONG("is not a UUID, such as %s", field_kind_example(FIELD_UUID));
	}
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	*value = copy;
	return 0;
}

static int parse_mac(const char *text, struct mac *mac, char *error)
{
	const char *c = text;

	for (int i = 0; i < 6; i++, c++) {
		if (!isxdigit((unsigned char)c[0]) || !isxdigit((unsigned char)c[1]) ||
			c[2] != (i < 5 ? ':' : '\0'))
			return WRONG(
				"is not a MAC address, such as %s", field_kind_example(FIELD_MAC));
		mac->bytes[i] = (uint8_t)strtoul((char[]){c[0], c[1], '\0'}, NULL, 16);
		c += 2;
	}
	if (mac->bytes[0] & 1)
		return WRONG("is a multicast MAC address");
	mac->set = true;
	return 0;
}

static int parse_ethertype(const char *text, uint32_t *value, char *error)
{
	const char *c = strncmp(text, "0x", 2) ? text : text + 2;
	char *end;

	if (strlen(c) != 4 || !isxdigit((unsigned char)c[0]))
		return WRONG("is not an ethertype of four hex digits, such as 88a8");
	*value = (uint32_t)strtoul(c, &end, 16);
	if (*end)
		return WRONG("is not an ethertype of four hex digits, such as 88a8");
	if (*value < 0x600)
		return WRONG("is a frame length, not an ethertype (0600..ffff)");
	return 0;
}

static int parse_enum(const struct field *field, const char *text, uint32_t *value, char *error)
{
	for (uint32_t i = 0; field->values[i]; i++) {
		if (!strcmp(text, field->values[i])) {
			*value = i;
			return 0;
		}
	}
	int used = snprintf(error, FIELD_ERROR_MAX, "is not one of");
	for (unsigned int i = 0; field->values[i]; i++)
		used += snprintf(error + used, FIELD_ERROR_MAX - used, "%s %s", i ? "," : "",
			field->values[i]);
	const char *near = did_you_mean(text, field->values);
	if (near)
		snprintf(error + used, FIELD_ERROR_MAX - used, "; did you mean \"%s\"?", near);
	return -EINVAL;
}

static int parse_address(const struct field *field, const char *text, void *value, char *error)
{
	if (field->kind == FIELD_ADDRESS) {
		if (ip_address_parse(text, value))
			return WRONG("is not an IP address, such as 192.0.2.1");
		return 0;
	}
	struct ip_host host;
	if (ip_prefix_host_parse(text, &host.address, &host.len))
		return WRONG("is not an address with a length, such as %s",
			field_kind_example(field->kind));
	if (field->kind == FIELD_HOST) {
		*(struct ip_host *)value = host;
		return 0;
	}
	struct ip_prefix prefix = ip_prefix_of(&host.address, host.len);
	char masked[IP_TEXT_MAX];
	if (ip_address_compare(&prefix.address, &host.address))
		return WRONG("has bits set beyond its length; did you mean \"%s\"?",
			ip_prefix_format(&prefix, masked));
	*(struct ip_prefix *)value = prefix;
	return 0;
}

int field_parse(
	const struct field *field, const char *text, void *value, char error[FIELD_ERROR_MAX])
{
	uint64_t number;

	switch (field->kind) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_REFERENCE:
		return parse_text(field, text, value, error);
	case FIELD_UINT:
	case FIELD_INT:
	case FIELD_ASN:
		return parse_integer(field, text, value, error);
	case FIELD_BOOL:
		if (strcmp(text, "true") && strcmp(text, "false"))
			return WRONG("is neither true nor false");
		*(bool *)value = text[0] == 't';
		return 0;
	case FIELD_BANDWIDTH:
	case FIELD_DURATION:
	case FIELD_SIZE:
		if (with_unit(field, text, &number, error) ||
			in_range(field, (int64_t)number, error))
			return -EINVAL;
		*(uint64_t *)value = number;
		return 0;
	case FIELD_ADDRESS:
	case FIELD_PREFIX:
	case FIELD_HOST:
		return parse_address(field, text, value, error);
	case FIELD_ENUM:
		return parse_enum(field, text, value, error);
	case FIELD_ETHERTYPE:
		return parse_ethertype(text, value, error);
	case FIELD_UUID:
		return parse_uuid(text, value, error);
	case FIELD_MAC:
		return parse_mac(text, value, error);
	default:
		return WRONG("is not a single value");
	}
}

bool field_is_unset(const struct field *field, const void *value)
{
	switch (field->kind) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_REFERENCE:
	case FIELD_UUID:
		return *(const char *const *)value == NULL;
	case FIELD_ADDRESS:
		return ((const struct ip_address *)value)->family == 0;
	case FIELD_PREFIX:
		return ((const struct ip_prefix *)value)->address.family == 0;
	case FIELD_HOST:
		return ((const struct ip_host *)value)->address.family == 0;
	case FIELD_MAC:
		return !((const struct mac *)value)->set;
	case FIELD_SECRET:
		return ((const struct secret *)value)->fingerprint[0] == '\0';
	case FIELD_LIST:
		return ((const struct list *)value)->count == 0;
	case FIELD_STRUCT:
	case FIELD_BOOL:
	case FIELD_ENUM:
		return false;
	default:
		// A number that has no default and need not be given is unset when 0.
		if (field->initial || (field->flags & (FIELD_REQUIRED | FIELD_KEY)))
			return false;
		if (field->kind == FIELD_BANDWIDTH || field->kind == FIELD_DURATION ||
			field->kind == FIELD_SIZE)
			return *(const uint64_t *)value == 0;
		return *(const uint32_t *)value == 0;
	}
}

const char *field_format(const struct field *field, const void *value, char buffer[FIELD_TEXT_MAX])
{
	buffer[0] = '\0';
	if (field_is_unset(field, value))
		return buffer;
	switch (field->kind) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_REFERENCE:
	case FIELD_UUID:
		return *(const char *const *)value;
	case FIELD_UINT:
	case FIELD_ASN:
		snprintf(buffer, FIELD_TEXT_MAX, "%" PRIu32, *(const uint32_t *)value);
		return buffer;
	case FIELD_INT:
		snprintf(buffer, FIELD_TEXT_MAX, "%" PRId32, *(const int32_t *)value);
		return buffer;
	case FIELD_BOOL:
		return *(const bool *)value ? "true" : "false";
	case FIELD_BANDWIDTH:
	case FIELD_DURATION:
	case FIELD_SIZE:
		return format_unit(field->kind, *(const uint64_t *)value, buffer, FIELD_TEXT_MAX);
	case FIELD_ADDRESS:
		return ip_address_format(value, buffer);
	case FIELD_PREFIX:
		return ip_prefix_format(value, buffer);
	case FIELD_HOST: {
		const struct ip_host *host = value;
		ip_address_format(&host->address, buffer);
		size_t used = strlen(buffer);
		snprintf(buffer + used, FIELD_TEXT_MAX - used, "/%u", host->len);
		return buffer;
	}
	case FIELD_ENUM:
		return field->values[*(const uint32_t *)value];
	case FIELD_ETHERTYPE:
		snprintf(buffer, FIELD_TEXT_MAX, "%04" PRIx32, *(const uint32_t *)value);
		return buffer;
	case FIELD_MAC: {
		const uint8_t *b = ((const struct mac *)value)->bytes;
		snprintf(buffer, FIELD_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2],
			b[3], b[4], b[5]);
		return buffer;
	}
	case FIELD_SECRET:
		return ((const struct secret *)value)->fingerprint;
	default:
		return buffer;
	}
}
