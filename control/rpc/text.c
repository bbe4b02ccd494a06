// SPDX-License-Identifier: BSD-3-Clause

// Answers that are text before they are sent. A page of a thousand objects as one tree is a hundred thousand blocks of
// memory, made on one thread, written out and given back on another. So each item becomes text as soon as it is made, by
// whoever makes it, and its few blocks are used again for the next.

#include "control/rpc/rpc.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16384u
static const char begin[] = "{\"items\":[";

static void make_room(struct rpc_items *items, size_t more)
{
	size_t room = items->room > 0 ? items->room : ROOM_FIRST;

	while (room - items->length < more)
		room *= 2;
	if (room == items->room)
		return;
	items->text = realloc(items->text, room);
	if (items->text == NULL)
		abort();
	items->room = room;
}

static void add(struct rpc_items *items, const char *text, size_t length)
{
	make_room(items, length);
	memcpy(items->text + items->length, text, length);
	items->length += length;
}

static void add_json(struct rpc_items *items, const json_t *json)
{
	size_t left = items->room - items->length;
	size_t size = json_dumpb(json, items->text + items->length, left, JSON_COMPACT);

	if (size > left) {
		make_room(items, size);
		json_dumpb(json, items->text + items->length, size, JSON_COMPACT);
	}
	items->length += size;
}

void rpc_items_add(struct rpc_items *items, json_t *item)
{
	if (item == NULL)
		return;
	if (items->count++ == 0)
		add(items, begin, sizeof(begin) - 1);
	else
		add(items, ",", 1);
	add_json(items, item);
	json_decref(item);
}

void rpc_reply_items(struct rpc_call *call, struct rpc_items *items, json_t *more)
{
	struct rpc_items whole = *items;

	*items = (struct rpc_items){0};
	if (whole.count == 0)
		add(&whole, begin, sizeof(begin) - 1);
	add(&whole, "]", 1);
	if (json_object_size(more) > 0) {
		size_t brace = whole.length;
		add_json(&whole, more);
		whole.text[brace] = ',';
	} else {
		add(&whole, "}", 1);
	}
	json_decref(more);
	rpc_reply_text(call, whole.text, whole.length);
}
