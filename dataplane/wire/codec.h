/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

// Builds and checks messages. What this module guarantees about a message it has checked: the
// header is ours, the length is exactly header + count records of the type's size, and the
// direction is right. What it checks in each record: padding is zero, ids are not 0, names end.
// Ranges are the tables' business.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wire/types.h"

#define WIRE_TO_DATAPLANE  1u
#define WIRE_TO_CONTROLLER 2u

struct wire_type_info {
	const char *name;
	uint16_t type;
	uint16_t size;      // of one record
	uint16_t direction; // WIRE_TO_*, both bits for B
};

// NULL when the type is unknown.
const struct wire_type_info *wire_type_info(uint16_t type);

// A message under construction. Records are appended until it is full; the caller sends
// data[0..message->header.len).
struct wire_message {
	union {
		struct wire_header header;
		uint8_t data[WIRE_MESSAGE_MAX];
	};
};

// Starts an empty message. The link fills in seq when it sends unless the caller set it.
void wire_message_start(struct wire_message *m, uint16_t type, uint64_t seq);

// Appends one record (its size comes from the type). -ENOSPC when it does not fit: send, start
// anew.
int wire_message_add(struct wire_message *m, const void *record);

// How many records of this type fit into one message; 0 = unknown type.
unsigned wire_message_capacity(uint16_t type);

// The record at `index`; the caller has checked the message and index < header.count.
static inline const void *wire_message_record(
	const struct wire_message *m, unsigned index, unsigned size)
{
	return m->data + sizeof(struct wire_header) + (size_t)index * size;
}

// Checks `length` received bytes. Errors, in the order they are looked for:
//   -EBADMSG     shorter than a header, wrong magic, or a length or count that lies
//   -EPROTO      another major version
//   -EOPNOTSUPP  unknown type
//   -EACCES      a type that does not travel in this direction
int wire_message_check(const struct wire_message *m, size_t length, unsigned direction);

// Checks what every record of the type must satisfy: -EINVAL for padding that is not zero, an id
// that is 0, a name without end.
int wire_record_check(uint16_t type, const void *record);

#endif
