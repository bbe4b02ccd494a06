// SPDX-License-Identifier: BSD-3-Clause
// The index of a snapshot: what is referred to, and what has to be unique (GRE triples, tags of a port,
// peering subnets, service keys), as one array of (hash, object) sorted by hash. It belongs to the snapshot,
// is immutable like it, and a new one is a merge of the old with what came and went: 16 bytes an entry to
// copy, well below a millisecond at 10,000 circuits, and nothing to undo when a change is refused.

#include "control/model/model_internal.h"

#include <stdlib.h>
#include <string.h>

uint64_t key_reference(enum noun_id noun, const char *name)
{
	return hash_bytes(0x9e3779b97f4a7c15u + (uint64_t)noun, name, strlen(name));
}

uint64_t key_text(const char *what, const char *text)
{
	return hash_bytes(hash_bytes(0x2545f4914f6cdd1du, what, strlen(what)), text, strlen(text));
}

void index_key(struct index_sink *sink, uint64_t hash)
{
	if (sink->count == sink->room) {
		unsigned int room = sink->room ? sink->room * 2 : 64;
		struct index_entry *entry = reallocarray(sink->entry, room, sizeof(*entry));
		if (!entry) {
			sink->failed = true;
			return;
		}
		sink->entry = entry;
		sink->room = room;
	}
	sink->entry[sink->count++] = (struct index_entry){hash, sink->object};
}

static int reference_key(void *ctx, const struct field *field, const char *target)
{
	index_key(ctx, key_reference(field->target, target));
	return 0;
}

void index_object(struct index_sink *sink, const struct object *object)
{
	sink->object = object;
	object_references(object, reference_key, sink);
	if (object->noun->keys)
		object->noun->keys(sink, object);
}

static int compare(const void *a, const void *b)
{
	const struct index_entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->object != y->object)
		return (uintptr_t)x->object < (uintptr_t)y->object ? -1 : 1;
	return 0;
}

static bool before(const struct index_entry *a, const struct index_entry *b)
{
	return a->hash < b->hash;
}

struct index *index_merge(const struct index *old, struct index_sink *gone, struct index_sink *come)
{
	unsigned int i = 0, g = 0, c = 0, n = 0;
	unsigned int total = (old ? old->count : 0) + come->count;
	struct index *index = malloc(sizeof(*index) + total * sizeof(index->entry[0]));

	if (!index)
		return NULL;
	if (gone->count)
		qsort(gone->entry, gone->count, sizeof(gone->entry[0]), compare);
	if (come->count)
		qsort(come->entry, come->count, sizeof(come->entry[0]), compare);
	while (old && i < old->count) {
		const struct index_entry *entry = &old->entry[i];
		while (g < gone->count && before(&gone->entry[g], entry))
			g++;
		if (g < gone->count && gone->entry[g].hash == entry->hash &&
			bsearch(entry, gone->entry + g, gone->count - g, sizeof(*entry), compare)) {
			i++;
			continue;
		}
		if (c < come->count && before(&come->entry[c], entry))
			index->entry[n++] = come->entry[c++];
		else
			index->entry[n++] = old->entry[i++];
	}
	while (c < come->count)
		index->entry[n++] = come->entry[c++];
	index->references = 1;
	index->count = n;
	return index;
}

void index_unref(struct index *index)
{
	if (index && __atomic_sub_fetch(&index->references, 1, __ATOMIC_ACQ_REL) == 0)
		free(index);
}

unsigned int index_first(const struct index *index, uint64_t hash)
{
	unsigned int low = 0, high = index ? index->count : 0;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		if (index->entry[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
