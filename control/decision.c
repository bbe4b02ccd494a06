// SPDX-License-Identifier: BSD-3-Clause
// A revision that waits for confirmation is alone: nothing else is committed meanwhile. So what has become of the one that
// decides stands in the other edge's history: it waits, or the next one has taken it back, or it is final.

#include "control/decision.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "control/base/log.h"
#include "control/node.h"
#include "control/store/store.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_S 2

static const struct node_peer *find_peer(const struct node *node, const char *name)
{
	for (unsigned int i = 0; i < node->peers.count; i++)
		if (strcmp(node->peers.item[i].name, name) == 0)
			return &node->peers.item[i];
	return NULL;
}

// items: the revision and the one after it, newest first, as far as they are there.
static enum decision judge(const json_t *items, uint64_t revision)
{
	enum decision decision = DECISION_REVERTED; // it was never there
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)items, i, item) {
		uint64_t number = (uint64_t)json_integer_value(json_object_get(item, "revision"));
		const char *verb = json_string_value(json_object_get(item, "verb"));

		if (number == revision + 1 && verb != NULL && strcmp(verb, "config.revert") == 0)
			return DECISION_REVERTED;
		if (number == revision)
			decision = json_is_integer(json_object_get(item, "pending"))
					   ? DECISION_NONE
					   : DECISION_CONFIRMED;
	}
	return decision;
}

enum decision decision_ask(const struct node *node, const struct store_pending *pending)
{
	const struct node_peer *peer = find_peer(node, pending->decider);
	struct api_client *client = NULL;
	struct api_error error = {0};
	enum decision decision = DECISION_NONE;
	json_t *answer = NULL;
	char cursor[24];

	if (peer == NULL)
		return DECISION_REVERTED; // the node file does not know it any more
	snprintf(cursor, sizeof(cursor), "%" PRIu64, pending->decided + 2);
	if (api_connect(&client, peer->socket, TIMEOUT_S, &error) == 0 &&
		api_call(client, API_CONFIG_HISTORY, json_pack("{s:s, s:i}", "cursor", cursor, "limit", 2),
			&answer, &error, NULL) == 0)
		decision = judge(json_object_get(answer, "items"), pending->decided);
	else
		log_info("main", "the edge that decides does not answer",
			log_text("edge", pending->decider), log_text("error", error.message));
	json_decref(answer);
	api_disconnect(client);
	return decision;
}
