// SPDX-License-Identifier: BSD-3-Clause

// Ids to slots. The life of a slot: free -> taken (named by an id, or anonymous with id 0) ->
// dropped (no name, still busy: workers may hold it) -> released after grace -> free. Only the
// writer comes here.

#include "dataplane/tables/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int slots_init(struct slots *s, uint32_t capacity)
{
	memset(s, 0, sizeof(*s));
	s->capacity = capacity;
	s->free = malloc(capacity * sizeof(*s->free));
	s->id = calloc(capacity, sizeof(*s->id));
	s->uses = calloc(capacity, sizeof(*s->uses));
	s->busy = calloc(capacity, sizeof(*s->busy));
	if (s->free == NULL || s->id == NULL || s->uses == NULL || s->busy == NULL ||
		map_init(&s->ids, 0, NULL) != 0) {
		slots_fini(s);
		return -ENOMEM;
	}
	for (uint32_t slot = capacity - 1; slot > 0; slot--)
		s->free[s->free_count++] = slot;
	return 0;
}

void slots_fini(struct slots *s)
{
	map_fini(&s->ids);
	free(s->free);
	free(s->id);
	free(s->uses);
	free(s->busy);
	memset(s, 0, sizeof(*s));
}

uint32_t slots_find(const struct slots *s, uint32_t id)
{
	uint32_t slot = id == 0 ? MAP_NONE : map_find(&s->ids, id);
	return slot == MAP_NONE ? SLOT_NONE : slot;
}

int slots_take_at(struct slots *s, uint32_t id, uint32_t slot)
{
	if (slot == 0 || slot >= s->capacity)
		return -ENOSPC;
	if (s->busy[slot])
		return -EBUSY;
	if (id != 0 && map_add(&s->ids, id, slot) != 0)
		return -ENOMEM;
	s->busy[slot] = 1;
	s->id[slot] = id;
	s->uses[slot] = 0;
	if (slot > s->high)
		s->high = slot;
	s->used++;
	return 0;
}

int slots_take(struct slots *s, uint32_t id, uint32_t *slot)
{
	// slots_take_at() leaves its slot in the stack of free ones: pass over those.
	while (s->free_count > 0 && s->busy[s->free[s->free_count - 1]])
		s->free_count--;
	if (s->free_count == 0)
		return -ENOSPC;
	int error = slots_take_at(s, id, s->free[s->free_count - 1]);
	if (error == 0)
		*slot = s->free[--s->free_count];
	return error;
}

void slots_drop(struct slots *s, uint32_t slot)
{
	if (s->id[slot] != 0)
		map_remove(&s->ids, s->id[slot], slot);
	s->id[slot] = 0;
}

void slots_release(struct slots *s, uint32_t slot)
{
	s->busy[slot] = 0;
	s->used--;
	if (s->free_count < s->capacity)
		s->free[s->free_count++] = slot;
}
