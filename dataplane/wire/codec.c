// SPDX-License-Identifier: BSD-3-Clause
// Messages: how they are put together and what is checked before anyone looks at a record.
//
// There is no encoding in the usual sense. A record is a fixed-size struct without implicit
// padding, so a message is a header and an array; both ends are on one host and run the same major
// version. What is left is distrust: a message comes from another process, which may be older,
// broken or somebody else. The header is believed only when magic, version, type, direction, count
// and length agree with each other and with what the socket delivered; a record is handed on only
// when its explicit padding is zero (or a later minor version could never use it), its ids are not
// 0 where 0 means nothing, and its names end.
//
// Both tables below come from offsets of types.h; tests/unit/wire holds every record's golden
// bytes.

#include "dataplane/wire/codec.h"

#include <errno.h>
#include <string.h>

#define WIRE_DIRECTION_B (WIRE_TO_DATAPLANE | WIRE_TO_CONTROLLER)
#define WIRE_DIRECTION_C WIRE_TO_DATAPLANE
#define WIRE_DIRECTION_D WIRE_TO_CONTROLLER

static const struct wire_type_info infos[] = {
#define INFO(symbol, value, record, direction) \
	{#symbol, value, sizeof(struct record), WIRE_DIRECTION_##direction},
	WIRE_TYPES(INFO)
#undef INFO
};

// Parts of a record with a meaning that codec knows.
enum part_kind { PART_NONE, PART_ZERO, PART_ID, PART_TEXT };
struct part {
	uint16_t offset;
	uint8_t size;
	uint8_t kind;
};

#define PARTS_MAX 4
#define PART(record, field, kind)                                                         \
	{                                                                                 \
		offsetof(struct record, field), sizeof(((struct record *)0)->field), kind \
	}
static const struct {
	uint16_t type;
	struct part part[PARTS_MAX];
} rules[] = {
	{WIRE_HELLO, {PART(wire_hello, version, PART_TEXT)}},
	{WIRE_BEGIN, {PART(wire_begin, pad, PART_ZERO)}},
	{WIRE_VRF_SET, {PART(wire_vrf, vrf, PART_ID), PART(wire_vrf, name, PART_TEXT)}},
	{WIRE_VRF_DELETE, {PART(wire_id, id, PART_ID), PART(wire_id, pad, PART_ZERO)}},
	{WIRE_INTERFACE_SET,
		{PART(wire_interface, uid, PART_ID), PART(wire_interface, interface, PART_ID),
			PART(wire_interface, vrf, PART_ID), PART(wire_interface, pad, PART_ZERO)}},
	{WIRE_INTERFACE_EXCHANGE,
		{PART(wire_interface, uid, PART_ID), PART(wire_interface, interface, PART_ID),
			PART(wire_interface, vrf, PART_ID), PART(wire_interface, pad, PART_ZERO)}},
	{WIRE_INTERFACE_DELETE, {PART(wire_id, id, PART_ID), PART(wire_id, pad, PART_ZERO)}},
	{WIRE_LIMITER_SET, {PART(wire_limiter, uid, PART_ID), PART(wire_limiter, limiter, PART_ID),
				   PART(wire_limiter, pad, PART_ZERO)}},
	{WIRE_LIMITER_DELETE, {PART(wire_id, id, PART_ID), PART(wire_id, pad, PART_ZERO)}},
	{WIRE_LOCAL_SET, {PART(wire_local, vrf, PART_ID), PART(wire_local, interface, PART_ID),
				 PART(wire_local, pad, PART_ZERO)}},
	{WIRE_LOCAL_DELETE, {PART(wire_local, vrf, PART_ID), PART(wire_local, pad, PART_ZERO)}},
	{WIRE_NEIGHBOR_SET,
		{PART(wire_neighbor, neighbor, PART_ID), PART(wire_neighbor, interface, PART_ID)}},
	{WIRE_NEIGHBOR_DELETE, {PART(wire_id, id, PART_ID), PART(wire_id, pad, PART_ZERO)}},
	{WIRE_PATH_SET, {PART(wire_path, path, PART_ID), PART(wire_path, interface, PART_ID),
				PART(wire_path, pad, PART_ZERO)}},
	{WIRE_PATH_DELETE, {PART(wire_id, id, PART_ID), PART(wire_id, pad, PART_ZERO)}},
	{WIRE_GROUP_SET, {PART(wire_group, group, PART_ID)}},
	{WIRE_GROUP_DELETE, {PART(wire_id, id, PART_ID), PART(wire_id, pad, PART_ZERO)}},
	{WIRE_ROUTE_SET, {PART(wire_route, vrf, PART_ID), PART(wire_route, group, PART_ID),
				 PART(wire_route, pad, PART_ZERO)}},
	{WIRE_ROUTE_DELETE, {PART(wire_route, vrf, PART_ID), PART(wire_route, pad, PART_ZERO)}},
	{WIRE_HOST_SET, {PART(wire_host, interface, PART_ID)}},
	{WIRE_HOST_DELETE, {PART(wire_id, id, PART_ID), PART(wire_id, pad, PART_ZERO)}},
	{WIRE_COUNTERS_RELEASE, {PART(wire_uid, uid, PART_ID)}},
	{WIRE_PORT, {PART(wire_port, pad, PART_ZERO), PART(wire_port, name, PART_TEXT)}},
	{WIRE_NEIGHBOR_NEEDED, {PART(wire_needed, interface, PART_ID)}},
	{WIRE_LIMITER_EPISODE, {PART(wire_episode, uid, PART_ID)}},
	{WIRE_HOST_LOST, {PART(wire_id, id, PART_ID), PART(wire_id, pad, PART_ZERO)}},
	{WIRE_VRF_STATS,
		{PART(wire_vrf_stats, vrf, PART_ID), PART(wire_vrf_stats, pad, PART_ZERO)}},
};

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

const struct wire_type_info *wire_type_info(uint16_t type)
{
	for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++)
		if (infos[i].type == type)
			return &infos[i];
	return NULL;
}

void wire_message_start(struct wire_message *m, uint16_t type, uint64_t seq)
{
	m->header = (struct wire_header){
		.magic = WIRE_MAGIC,
		.major = WIRE_MAJOR,
		.minor = WIRE_MINOR,
		.type = type,
		.len = sizeof(m->header),
		.seq = seq,
	};
}

int wire_message_add(struct wire_message *m, const void *record)
{
	const struct wire_type_info *info = wire_type_info(m->header.type);

	if (info == NULL)
		return -EOPNOTSUPP;
	if (m->header.len + info->size > sizeof(m->data))
		return -ENOSPC;
	memcpy(m->data + m->header.len, record, info->size);
	m->header.len += info->size;
	m->header.count++;
	return 0;
}

unsigned wire_message_capacity(uint16_t type)
{
	const struct wire_type_info *info = wire_type_info(type);

	if (info == NULL)
		return 0;
	return (WIRE_MESSAGE_MAX - sizeof(struct wire_header)) / info->size;
}

int wire_message_check(const struct wire_message *m, size_t length, unsigned direction)
{
	const struct wire_header *h = &m->header;
	const struct wire_type_info *info;

	if (length < sizeof(*h) || length > sizeof(m->data) || h->magic != WIRE_MAGIC ||
		h->len != length)
		return -EBADMSG;
	if (h->major != WIRE_MAJOR)
		return -EPROTO;
	info = wire_type_info(h->type);
	if (info == NULL)
		return -EOPNOTSUPP;
	if (!(info->direction & direction))
		return -EACCES;
	if (length != sizeof(*h) + (size_t)h->count * info->size)
		return -EBADMSG;
	return 0;
}

int wire_record_check(uint16_t type, const void *record)
{
	const struct part *parts = NULL;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && parts == NULL; i++)
		if (rules[i].type == type)
			parts = rules[i].part;
	for (unsigned i = 0; parts && i < PARTS_MAX && parts[i].kind != PART_NONE; i++) {
		const uint8_t *p = (const uint8_t *)record + parts[i].offset;

		if (parts[i].kind == PART_ZERO && !all_zero(p, parts[i].size))
			return -EINVAL;
		if (parts[i].kind == PART_ID && all_zero(p, parts[i].size))
			return -EINVAL;
		if (parts[i].kind == PART_TEXT && memchr(p, 0, parts[i].size) == NULL)
			return -EINVAL;
	}
	return 0;
}
