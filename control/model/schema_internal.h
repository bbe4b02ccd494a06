/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_SCHEMA_INTERNAL_H
#define MODEL_SCHEMA_INTERNAL_H

// What the files behind schema.h share.

#include "control/model/schema.h"

struct tree;

#define NAME_PART_MAX 63 // NAME_MAX_LENGTH of model.h

struct list { // what LIST_OF(type) is, whatever the type
	unsigned int count;
	void *item;
};

const char *field_kind_example(enum field_kind kind);
size_t field_kind_size(enum field_kind kind);
// An element of a list field as a field of its own, at offset 0.
struct field field_element(const struct field *list);
// Whether the value may become the other: .moves says how.
bool field_may_move(const struct field *field, const void *from, const void *to);
size_t field_element_size(const struct field *list);

static inline void *field_at(const struct field *field, const void *object)
{
	return (char *)(uintptr_t)object + field->offset;
}

// Sets every member that has a default; object is zero before. 0 or -ENOMEM.
int fields_initial(const struct fields *fields, void *object);
// dst is zero before. 0 or -ENOMEM, with dst to be freed all the same.
int fields_copy(const struct fields *fields, void *dst, const void *src);
void field_free(const struct field *field, void *value);
int field_copy(const struct field *field, void *dst, const void *src);
bool field_equal(const struct field *field, const void *a, const void *b);
// True when the value is the one it would have if it were not given.
bool field_is_initial(const struct field *field, const void *value);
struct json_t *field_json(const struct field *field, const void *value);
// Mixes every field, secrets and generated ones apart, into the hash.
uint64_t fields_hash(const struct fields *fields, const void *object, uint64_t hash);
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length);

#endif
