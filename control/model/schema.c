// SPDX-License-Identifier: BSD-3-Clause
// What can be done to any struct that a table of fields describes: set defaults, copy, compare, hash, free.
// Nothing here knows a noun. The tables stand beside their rules in edge.c, port.c, ...; parsing is in
// parse.c, printing in format.c, what the outside is told about the tables in describe.c.

#include "control/model/schema_internal.h"
#include "control/api/suggest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *field_kind_name(enum field_kind kind)
{
#define KIND_NAME(symbol, name, type, example) [FIELD_##symbol] = name,
	static const char *const names[] = {FIELD_KINDS(KIND_NAME)};
#undef KIND_NAME
	return names[kind];
}

const char *field_kind_example(enum field_kind kind)
{
#define KIND_EXAMPLE(symbol, name, type, example) [FIELD_##symbol] = example,
	static const char *const examples[] = {FIELD_KINDS(KIND_EXAMPLE)};
#undef KIND_EXAMPLE
	return examples[kind];
}

size_t field_kind_size(enum field_kind kind)
{
	switch (kind) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_UUID:
	case FIELD_REFERENCE:
		return sizeof(char *);
	case FIELD_UINT:
	case FIELD_INT:
	case FIELD_ASN:
	case FIELD_ENUM:
	case FIELD_ETHERTYPE:
		return sizeof(uint32_t);
	case FIELD_BOOL:
		return sizeof(bool);
	case FIELD_BANDWIDTH:
	case FIELD_DURATION:
	case FIELD_SIZE:
		return sizeof(uint64_t);
	case FIELD_ADDRESS:
		return sizeof(struct ip_address);
	case FIELD_PREFIX:
		return sizeof(struct ip_prefix);
	case FIELD_HOST:
		return sizeof(struct ip_host);
	case FIELD_MAC:
		return sizeof(struct mac);
	case FIELD_SECRET:
		return sizeof(struct secret);
	case FIELD_LIST:
		return sizeof(struct list);
	default:
		return 0;
	}
}

const char *effect_text(enum effect effect)
{
	static const char *const texts[] = {
		[EFFECT_NONE] = "no traffic effect",
		[EFFECT_HITLESS] = "hitless",
		[EFFECT_ROUTES] = "routes change",
		[EFFECT_SESSION] = "BGP session resets",
		[EFFECT_TRAFFIC] = "traffic interrupted",
	};
	return texts[effect];
}

struct field field_element(const struct field *list)
{
	struct field element = *list;

	element.kind = list->element;
	element.offset = 0;
	element.initial = NULL;
	// An element that is there is set, even to 0.
	element.flags = FIELD_REQUIRED;
	return element;
}

size_t field_element_size(const struct field *list)
{
	return list->element == FIELD_STRUCT ? list->fields->size : field_kind_size(list->element);
}

const struct field *field_find(const struct fields *fields, const char *name)
{
	for (unsigned int i = 0; i < fields->count; i++) {
		if (!strcmp(fields->item[i].name, name))
			return &fields->item[i];
	}
	return NULL;
}

int fields_initial(const struct fields *fields, void *object)
{
	char error[FIELD_ERROR_MAX];

	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		if (field->kind == FIELD_STRUCT) {
			if (fields_initial(field->fields, field_at(field, object)))
				return -ENOMEM;
		} else if (field->initial &&
			   field_parse(field, field->initial, field_at(field, object), error)) {
			return -ENOMEM; // a default that is not valid is caught by the tests
		}
	}
	return 0;
}

// The text of another field of the struct.
static const char *text_of(const struct fields *fields, const char *name, const void *object,
	char buffer[FIELD_TEXT_MAX])
{
	const struct field *field = field_find(fields, name);

	return field_format(field, field_at(field, object), buffer);
}

bool field_may_move(const struct field *field, const void *from, const void *to)
{
	char a[FIELD_TEXT_MAX], b[FIELD_TEXT_MAX];

	if (!field->moves || field_equal(field, from, to))
		return true;
	const char *was = field_format(field, from, a), *is = field_format(field, to, b);
	for (const struct field_move *move = field->moves; move->from; move++) {
		if (!strcmp(move->from, was) && !strcmp(move->to, is))
			return true;
	}
	return false;
}

bool field_is_visible(const struct fields *fields, const struct field *field, const void *object)
{
	char buffer[FIELD_TEXT_MAX];

	if (!field->visible.field)
		return true;
	const char *text = text_of(fields, field->visible.field, object, buffer);
	for (const char *const *value = field->visible.values; *value; value++) {
		if (!strcmp(*value, text))
			return true;
	}
	return false;
}

const char *field_default_of(
	const struct fields *fields, const struct field *field, const void *object)
{
	char buffer[FIELD_TEXT_MAX];

	if (!field->initial_field)
		return field->initial;
	const char *text = text_of(fields, field->initial_field, object, buffer);
	for (const struct field_default *by = field->initial_by; by->value; by++) {
		if (!strcmp(by->value, text))
			return by->initial;
	}
	return field->initial;
}

void field_free(const struct field *field, void *value)
{
	switch (field->kind) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_UUID:
	case FIELD_REFERENCE:
		free(*(char **)value);
		*(char **)value = NULL;
		break;
	case FIELD_SECRET: {
		struct secret *secret = value;
		if (secret->text)
			explicit_bzero(secret->text, strlen(secret->text));
		free(secret->text);
		memset(secret, 0, sizeof(*secret));
		break;
	}
	case FIELD_LIST: {
		struct list *list = value;
		struct field element = field_element(field);
		size_t size = field_element_size(field);
		for (unsigned int i = 0; i < list->count; i++)
			field_free(&element, (char *)list->item + i * size);
		free(list->item);
		memset(list, 0, sizeof(*list));
		break;
	}
	case FIELD_STRUCT:
		fields_free(field->fields, value);
		break;
	default:
		break;
	}
}

void fields_free(const struct fields *fields, void *object)
{
	for (unsigned int i = 0; i < fields->count; i++)
		field_free(&fields->item[i], field_at(&fields->item[i], object));
}

static int copy_string(char **dst, const char *src)
{
	*dst = src ? strdup(src) : NULL;
	return src && !*dst ? -ENOMEM : 0;
}

static int copy_list(const struct field *field, struct list *dst, const struct list *src)
{
	struct field element = field_element(field);
	size_t size = field_element_size(field);

	memset(dst, 0, sizeof(*dst));
	if (src->count == 0)
		return 0;
	dst->item = calloc(src->count, size);
	if (!dst->item)
		return -ENOMEM;
	dst->count = src->count;
	for (unsigned int i = 0; i < src->count; i++) {
		if (field_copy(
			    &element, (char *)dst->item + i * size, (char *)src->item + i * size))
			return -ENOMEM;
	}
	return 0;
}

int field_copy(const struct field *field, void *dst, const void *src)
{
	switch (field->kind) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_UUID:
	case FIELD_REFERENCE:
		return copy_string(dst, *(char *const *)src);
	case FIELD_SECRET: {
		const struct secret *from = src;
		struct secret *to = dst;
		memcpy(to->fingerprint, from->fingerprint, sizeof(to->fingerprint));
		return copy_string(&to->text, from->text);
	}
	case FIELD_LIST:
		return copy_list(field, dst, src);
	case FIELD_STRUCT:
		return fields_copy(field->fields, dst, src);
	default:
		memcpy(dst, src, field_kind_size(field->kind));
		return 0;
	}
}

int fields_copy(const struct fields *fields, void *dst, const void *src)
{
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		if (field_copy(field, field_at(field, dst), field_at(field, src)))
			return -ENOMEM;
	}
	return 0;
}

static bool strings_equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool field_equal(const struct field *field, const void *a, const void *b)
{
	switch (field->kind) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_UUID:
	case FIELD_REFERENCE:
		return strings_equal(*(char *const *)a, *(char *const *)b);
	case FIELD_SECRET:
		return strings_equal(((const struct secret *)a)->fingerprint,
			((const struct secret *)b)->fingerprint);
	case FIELD_ADDRESS:
		return ip_address_compare(a, b) == 0;
	case FIELD_PREFIX:
		return ip_prefix_compare(a, b) == 0;
	case FIELD_HOST: {
		const struct ip_host *x = a, *y = b;
		return x->len == y->len && ip_address_compare(&x->address, &y->address) == 0;
	}
	case FIELD_MAC: {
		const struct mac *x = a, *y = b;
		return x->set == y->set && !memcmp(x->bytes, y->bytes, sizeof(x->bytes));
	}
	case FIELD_LIST: {
		const struct list *x = a, *y = b;
		struct field element = field_element(field);
		size_t size = field_element_size(field);
		if (x->count != y->count)
			return false;
		for (unsigned int i = 0; i < x->count; i++) {
			if (!field_equal(&element, (char *)x->item + i * size,
				    (char *)y->item + i * size))
				return false;
		}
		return true;
	}
	case FIELD_STRUCT:
		return fields_equal(field->fields, a, b);
	default:
		return !memcmp(a, b, field_kind_size(field->kind));
	}
}

bool fields_equal(const struct fields *fields, const void *a, const void *b)
{
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		if (!field_equal(field, field_at(field, a), field_at(field, b)))
			return false;
	}
	return true;
}

bool field_is_initial(const struct field *field, const void *value)
{
	char buffer[FIELD_TEXT_MAX];

	if (field_is_unset(field, value))
		return true;
	if (!field->initial)
		return false;
	union {
		uint64_t number;
		struct ip_host host;
		struct ip_prefix prefix;
		char *text;
		struct mac mac;
	} initial = {0};
	if (field_parse(field, field->initial, &initial, buffer))
		return false;
	bool same = field_equal(field, value, &initial);
	field_free(field, &initial);
	return same;
}

// FNV-1a with a final mix by the callers that need one; the digest tells edges apart that differ by mistake,
// it is no defence against somebody who wants two models to collide.
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ b[i]) * 0x100000001b3u;
	return (hash ^ length) * 0x100000001b3u;
}

static uint64_t field_hash(const struct field *field, const void *value, uint64_t hash)
{
	switch (field->kind) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_UUID:
	case FIELD_REFERENCE: {
		const char *text = *(char *const *)value;
		return text ? hash_bytes(hash, text, strlen(text)) : hash_bytes(hash, "", 0);
	}
	case FIELD_SECRET:
		return hash_bytes(
			hash, ((const struct secret *)value)->fingerprint[0] ? "+" : "-", 1);
	case FIELD_ADDRESS:
	case FIELD_PREFIX:
	case FIELD_HOST: {
		char text[FIELD_TEXT_MAX];
		field_format(field, value, text);
		return hash_bytes(hash, text, strlen(text));
	}
	case FIELD_MAC:
		return hash_bytes(hash, ((const struct mac *)value)->bytes, 6);
	case FIELD_LIST: {
		const struct list *list = value;
		struct field element = field_element(field);
		size_t size = field_element_size(field);
		hash = hash_bytes(hash, &list->count, sizeof(list->count));
		for (unsigned int i = 0; i < list->count; i++)
			hash = field_hash(&element, (char *)list->item + i * size, hash);
		return hash;
	}
	case FIELD_STRUCT:
		return fields_hash(field->fields, value, hash);
	default:
		return hash_bytes(hash, value, field_kind_size(field->kind));
	}
}

uint64_t fields_hash(const struct fields *fields, const void *object, uint64_t hash)
{
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		if (!(field->flags & (FIELD_GENERATED | FIELD_STATUS)))
			hash = field_hash(field, field_at(field, object), hash);
	}
	return hash;
}

const char *did_you_mean(const char *word, const char *const *names)
{
	struct api_suggestion suggestion;

	api_suggest_begin(&suggestion, word);
	for (; *names; names++)
		api_suggest_offer(&suggestion, *names);
	return api_suggest_end(&suggestion);
}
