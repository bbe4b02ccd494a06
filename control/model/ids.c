// SPDX-License-Identifier: BSD-3-Clause
// The snapshot of all ids that travels with a snapshot of the model: a sorted array of shared keys,
// so that a commit makes a new one by copying pointers, and whoever holds an old one sees the
// numbers as they were.

#include "control/model/ids.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct id_key *id_key_new(enum id_class class, const char *key, struct id id)
{
	struct id_key *item = malloc(sizeof(*item) + strlen(key) + 1);

	if (item) {
		item->references = 1;
		item->class = class;
		item->id = id;
		item->host = NULL;
		strcpy(item->key, key);
	}
	return item;
}

bool id_key_set_host(struct id_key *key, const char *host)
{
	key->host = strdup(host);
	return key->host != NULL;
}

struct id_key *id_key_ref(struct id_key *key)
{
	__atomic_add_fetch(&key->references, 1, __ATOMIC_RELAXED);
	return key;
}

void id_key_unref(struct id_key *key)
{
	if (__atomic_sub_fetch(&key->references, 1, __ATOMIC_ACQ_REL))
		return;
	free(key->host);
	free(key);
}

static int compare(enum id_class class, const char *key, const struct id_key *item)
{
	if (class != item->class)
		return class < item->class ? -1 : 1;
	return strcmp(key, item->key);
}

int id_key_compare(const struct id_key *a, const struct id_key *b)
{
	return compare(a->class, a->key, b);
}

struct ids *ids_new(unsigned int room)
{
	struct ids *ids = malloc(sizeof(*ids) + room * sizeof(ids->item[0]));

	if (ids) {
		ids->references = 1;
		ids->past = NULL;
		ids->count = 0;
	}
	return ids;
}

struct ids_past *ids_past_ref(struct ids_past *past)
{
	if (past)
		__atomic_add_fetch(&past->references, 1, __ATOMIC_RELAXED);
	return past;
}

void ids_past_unref(struct ids_past *past)
{
	if (past && __atomic_sub_fetch(&past->references, 1, __ATOMIC_ACQ_REL) == 0)
		free(past);
}

bool ids_gone(const struct ids *ids, enum id_class class, uint32_t id)
{
	unsigned int low = 0, high = ids->past ? ids->past->count : 0;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		uint32_t at = ids->past->item[middle].class, number = ids->past->item[middle].id;
		if (at == class && number == id)
			return true;
		if (at < class || (at == class && number < id))
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

struct ids *ids_ref(const struct ids *ids)
{
	struct ids *mine = (struct ids *)(uintptr_t)ids;

	__atomic_add_fetch(&mine->references, 1, __ATOMIC_RELAXED);
	return mine;
}

void ids_unref(const struct ids *ids)
{
	struct ids *mine = (struct ids *)(uintptr_t)ids;

	if (!mine || __atomic_sub_fetch(&mine->references, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned int i = 0; i < mine->count; i++)
		id_key_unref(mine->item[i]);
	ids_past_unref(mine->past);
	free(mine);
}

struct id_key *ids_find(const struct ids *ids, enum id_class class, const char *key)
{
	unsigned int low = 0, high = ids->count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		int order = compare(class, key, ids->item[middle]);
		if (order == 0)
			return ids->item[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool ids_get(const struct ids *ids, enum id_class class, const char *key, struct id *id)
{
	const struct id_key *item = ids_find(ids, class, key);

	if (item)
		*id = item->id;
	return item != NULL;
}

struct id ids_of(const struct ids *ids, enum id_class class, const char *format, ...)
{
	struct id id = {0};
	char key[ID_KEY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof(key), format, args);
	va_end(args);
	ids_get(ids, class, key, &id);
	return id;
}

void id_host(const char *key, uint32_t id, bool apart, char host[ID_HOST_MAX])
{
	const char *slash = strchr(key, '/'), *object = slash ? slash + 1 : key;

	if (apart || strlen(object) >= ID_HOST_MAX)
		snprintf(host, ID_HOST_MAX, "%.24s-%u", object, id);
	else
		snprintf(host, ID_HOST_MAX, "%s", object);
	for (char *at = host; *at; at++) {
		if (*at == '/')
			*at = '-';
	}
}

void ids_host(const struct ids *ids, const char *key, char host[ID_HOST_MAX])
{
	const struct id_key *item = ids_find(ids, ID_VRF, key);

	if (item && item->host)
		snprintf(host, ID_HOST_MAX, "%s", item->host);
	else
		id_host(key, item ? item->id.id : 0, false, host);
}

void id_needed(struct id_sink *sink, enum id_class class, const char *format, ...)
{
	char key[ID_KEY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof(key), format, args);
	va_end(args);
	sink->need(sink->ctx, class, key);
}
