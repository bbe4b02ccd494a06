// SPDX-License-Identifier: BSD-3-Clause
// What subscribers hear of besides changes of the model: BGP sessions and ports that changed their state. The
// shapes are written in control/api/methods.h.

#include "control/rpc/answers/answers.h"

#include "control/model/intent.h"

#include "control/node.h"

#include <string.h>

static void tell(struct sync *sync, const char *topic, json_t *data)
{
	if (sync->event != NULL)
		sync->event(sync->event_ctx, topic, data);
	else
		json_decref(data);
}

static bool is_up(const struct speaker_state *session)
{
	return speaker_state_up(session->state);
}

// A session that goes down and comes up between two looks is known by its time. What it tries while it is down
// (connect, active, idle) is nobody's news.
static bool is_news(const struct speaker_state *old, const struct speaker_state *new)
{
	return old->state[0] == '\0' || is_up(old) != is_up(new) ||
	       (is_up(new) && old->moment != new->moment);
}

void event_session(struct sync *sync, const struct realised_session *session,
	const struct speaker_state *old, const struct speaker_state *new)
{
	const struct intent_interface *interface = session->of->wanted;

	if (!is_news(old, new))
		return;
	const char *role = strrchr(interface->link, '/');
	tell(sync, "session",
		json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:o}", "peering", interface->object, "link",
			role != NULL ? role + 1 : "", "family", session->family == 0 ? 4 : 6, "state", new->state, "was",
			old->state[0] != '\0' ? old->state : "unknown", "detail", new->detail,
			"remote", json_address(&session_address(session)->remote)));
}

void event_port(struct sync *sync, uint32_t index)
{
	if (index >= sync->node->ports.count)
		return;
	tell(sync, "port",
		json_pack("{s:s, s:s}", "port", sync->node->ports.item[index].name, "state",
			sync->port[index].last.up ? "up" : "down"));
}
