// SPDX-License-Identifier: BSD-3-Clause

// Events are numbered once and written once; each subscriber gets a copy of the line. A subscriber whose
// output is full misses events, which are counted, and it is told the number as soon as it has caught up: it
// then asks for the state again. The last ones are kept, so that a client that reconnects can go on from where
// it was, or learn that it cannot.

#include "control/rpc/server.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *event_line(uint64_t seq, const char *topic, json_t *data, size_t *length)
{
	json_t *object = json_pack("{s:s, s:s, s:{s:I, s:I, s:s, s:o}}", "jsonrpc", "2.0", "method",
		"event", "params", "seq", (json_int_t)seq, "time", (json_int_t)time(NULL), "topic",
		topic, "data", data);
	char *line = json_dumps(object, JSON_COMPACT);

	json_decref(object);
	if (line == NULL)
		return NULL;
	*length = strlen(line);
	line[(*length)++] = '\n';
	return line;
}

static bool wants(const struct client *client, const char *topic)
{
	json_t *wanted;
	size_t i;

	if (!client->subscribed)
		return false;
	if (client->topics == NULL)
		return true;
	json_array_foreach (client->topics, i, wanted)
		if (strcmp(json_string_value(wanted), topic) == 0)
			return true;
	return false;
}

static void send_copy(struct client *client, const char *line, size_t length)
{
	char *copy;

	if (client->lost > 0 || client_paused(client)) {
		client->lost++;
		client->server->counters.events_lost++;
		return;
	}
	copy = malloc(length);
	if (copy != NULL)
		memcpy(copy, line, length);
	client_send(client, copy, length);
}

static struct kept_event *slot(struct rpc_server *server, uint64_t seq)
{
	return &server->events[seq % server->options.limits.events_kept];
}

void rpc_event(struct rpc_server *server, const char *topic, json_t *data)
{
	struct kept_event *kept;
	struct client *client;
	size_t length;
	char *line = event_line(server->event_seq + 1, topic, data, &length);

	if (line == NULL)
		return;
	server->event_seq++;
	server->counters.events++;
	kept = slot(server, server->event_seq);
	free(kept->topic);
	free(kept->line);
	*kept = (struct kept_event){
		.seq = server->event_seq, .topic = strdup(topic), .line = line, .length = length};
	TAILQ_FOREACH (client, &server->clients, entry)
		if (wants(client, topic))
			send_copy(client, line, length);
}

void events_caught_up(struct client *client)
{
	size_t length;
	json_t *data = json_pack("{s:I}", "lost", (json_int_t)client->lost);
	char *line = event_line(client->server->event_seq, "lost", data, &length);

	client->lost = 0;
	client_send(client, line, length);
}

// --- subscribing ---------------------------------------------------------------------------------------

// Repeats what is kept after `since`; returns how many are gone for good.
static uint64_t repeat_since(struct client *client, uint64_t since)
{
	struct rpc_server *server = client->server;
	uint64_t oldest = server->event_seq < server->options.limits.events_kept
				  ? 1
				  : server->event_seq - server->options.limits.events_kept + 1;
	uint64_t gone = 0;

	if (since + 1 < oldest) {
		gone = oldest - since - 1;
		since = oldest - 1;
	}
	for (uint64_t seq = since + 1; seq <= server->event_seq; seq++) {
		const struct kept_event *kept = slot(server, seq);

		if (kept->line != NULL && kept->topic != NULL && wants(client, kept->topic))
			send_copy(client, kept->line, kept->length);
	}
	return gone;
}

void events_subscribe(struct rpc_call *call)
{
	struct client *client = call_client(call);
	struct rpc_server *server = client->server;
	json_t *topics = json_object_get(call->params, "topics"), *topic;
	int64_t since = rpc_integer(call, "since", (int64_t)server->event_seq);
	uint64_t gone = 0;
	struct api_error error;
	size_t i;

	json_array_foreach (topics, i, topic)
		if (!json_is_string(topic)) {
			api_fail(&error, API_USAGE, NULL, "topics has to be a list of strings");
			rpc_fail(call, &error);
			return;
		}
	json_decref(client->topics);
	client->topics = json_incref(topics);
	client->subscribed = true;
	client->lost = 0;
	// A number from the future is one of an earlier culvertd: all of its events are gone.
	if (since >= 0 && (uint64_t)since <= server->event_seq)
		gone = repeat_since(client, (uint64_t)since);
	else
		gone = server->event_seq;
	rpc_reply(call, json_pack("{s:I, s:I}", "seq", (json_int_t)server->event_seq, "lost",
				(json_int_t)gone));
}

void events_unsubscribe(struct rpc_call *call)
{
	call_client(call)->subscribed = false;
	rpc_reply(call, NULL);
}

void events_destroy(struct rpc_server *server)
{
	for (size_t i = 0; server->events != NULL && i < server->options.limits.events_kept; i++) {
		free(server->events[i].topic);
		free(server->events[i].line);
	}
	free(server->events);
}
