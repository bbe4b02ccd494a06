// SPDX-License-Identifier: BSD-3-Clause
// Marks of a sweep: an open-addressed set of names. It lives from BEGIN to END, so it is built from
// nothing each time and only grows.

#include "dataplane/marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/wire/types.h"

static size_t home(const struct mark *m, size_t capacity)
{
	uint64_t word[3], h = 0;

	memcpy(word, m, sizeof(word));
	for (int i = 0; i < 3; i++)
		h = (h ^ word[i]) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
	return h & (capacity - 1);
}
static_assert(sizeof(struct mark) == 24, "mark has no padding");

// Where the mark is, or the empty place where it belongs.
static struct mark *place(const struct marks *s, const struct mark *m)
{
	size_t i = home(m, s->capacity);

	while (s->mark[i].type && memcmp(&s->mark[i], m, sizeof(*m)))
		i = (i + 1) & (s->capacity - 1);
	return &s->mark[i];
}

static int grow(struct marks *s)
{
	struct marks bigger = {.capacity = s->capacity ? 2 * s->capacity : 64};

	bigger.mark = calloc(bigger.capacity, sizeof(*bigger.mark));
	if (bigger.mark == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s->capacity; i++)
		if (s->mark[i].type)
			*place(&bigger, &s->mark[i]) = s->mark[i];
	bigger.used = s->used;
	free(s->mark);
	*s = bigger;
	return 0;
}

int marks_add(struct marks *s, const struct mark *m)
{
	struct mark *at;

	if (2 * s->used >= s->capacity) {
		int err = grow(s);

		if (err)
			return err;
	}
	at = place(s, m);
	if (!at->type) {
		*at = *m;
		s->used++;
	}
	return 0;
}

bool marks_have(const struct marks *s, const struct mark *m)
{
	return s->capacity && place(s, m)->type;
}

void marks_clear(struct marks *s)
{
	free(s->mark);
	*s = (struct marks){0};
}

struct mark mark_of(uint16_t type, const void *record)
{
	struct mark m = {.type = type};
	const struct wire_route *route = record;
	const struct wire_local *local = record;
	const struct wire_id *id = record;

	switch (type) {
	case WIRE_VRF_SET:
		m.id = ((const struct wire_vrf *)record)->vrf;
		break;
	case WIRE_INTERFACE_SET:
	case WIRE_INTERFACE_EXCHANGE:
		m.type = WIRE_INTERFACE_SET;
		m.id = ((const struct wire_interface *)record)->interface;
		break;
	case WIRE_LIMITER_SET:
		m.id = ((const struct wire_limiter *)record)->limiter;
		break;
	case WIRE_NEIGHBOR_SET:
		m.id = ((const struct wire_neighbor *)record)->neighbor;
		break;
	case WIRE_PATH_SET:
		m.id = ((const struct wire_path *)record)->path;
		break;
	case WIRE_GROUP_SET:
		m.id = ((const struct wire_group *)record)->group;
		break;
	case WIRE_VRF_DELETE:
	case WIRE_INTERFACE_DELETE:
	case WIRE_LIMITER_DELETE:
	case WIRE_NEIGHBOR_DELETE:
	case WIRE_PATH_DELETE:
	case WIRE_GROUP_DELETE:
		m.type--;
		m.id = id->id;
		break;
	case WIRE_LOCAL_SET:
	case WIRE_LOCAL_DELETE:
		m.type = WIRE_LOCAL_SET;
		m.id = local->vrf;
		m.family = local->family;
		memcpy(m.addr, local->addr, sizeof(m.addr));
		break;
	case WIRE_ROUTE_SET:
	case WIRE_ROUTE_DELETE:
		m.type = WIRE_ROUTE_SET;
		m.id = route->vrf;
		m.family = route->family;
		m.len = route->len;
		memcpy(m.addr, route->addr, sizeof(m.addr));
		break;
	default:
		m.type = 0;
	}
	return m;
}
