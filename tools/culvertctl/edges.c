// SPDX-License-Identifier: BSD-3-Clause

// One change on several edges, each with a store of its own. It is checked on all of them, made on all with a deadline at
// which it goes back by itself, and confirmed on all; whatever is refused anywhere is taken back everywhere.
//
// The first edge by name on which anything changes decides: there it is confirmed first, and from then on it is final. Whoever
// lost us, or was killed, comes at its deadline to what that one has come to (culvertd asks it over its peer's socket). So
// nothing depends on us to live on, and all edges come to the same.
//
// What the first edge makes up (service keys, places, names of passwords) the others are told, so that it is the same.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EDGES_MAX 64
#define CONFIRM   "30s" // for all of it
#define DOUBT_S   5     // so long we ask an edge that was lost while it was to confirm

struct edge {
	const char *name, *socket; // borrowed from `peers`
	struct api_client *client;
	bool borrowed;  // the context's
	json_t *answer; // the last one
	bool changes;   // said the check
	bool applied;
	bool waits;     // there is a revision of ours that waits for confirmation
	json_int_t revision; // that was checked; then ours
	json_t *pending; // of edge.peers; borrowed from `about`
	json_t *about;
};

struct edges {
	struct context *context;
	json_t *peers; // the first edge's answer
	struct edge edge[EDGES_MAX];
	unsigned int count;
	struct edge *decider;
};

#define LOST_HINT "start its culvertd; --one-edge leaves other edges as they are"

static bool is_lost(const struct api_error *error)
{
	return error->code == API_UNREACHABLE || error->code == API_TIMEOUT;
}

// --- asking ----------------------------------------------------------------------------------------------

// The sentence says which edge it is about.
static int blame_edge(const struct edge *edge, struct api_error *error)
{
	char message[sizeof(error->message)];

	snprintf(message, sizeof(message), "edge %.64s: %.440s", edge->name, error->message);
	snprintf(error->message, sizeof(error->message), "%s", message);
	return -1;
}

// params is borrowed. The answer is edge->answer.
static int ask_edge(struct edge *edge, const struct write *write, json_t *params,
	struct api_error *error, json_t **details)
{
	json_t *answer = NULL, *ignored = NULL, **found = details != NULL ? details : &ignored;
	int ret;

	if (write->text != NULL)
		ret = api_call_file(edge->client, write->method, json_copy(params), write->text,
			write->length, &answer, error, found);
	else
		ret = api_call(edge->client, write->method, json_copy(params), &answer, error, found);
	json_decref(ignored);
	json_decref(edge->answer);
	edge->answer = answer;
	if (ret == 0)
		return 0;
	if (is_lost(error) && !edge->borrowed)
		snprintf(error->hint, sizeof(error->hint), LOST_HINT);
	return blame_edge(edge, error);
}

static int ask_plain(struct edge *edge, const char *method, json_t *params, struct api_error *error)
{
	const struct write write = {.method = method};
	int ret = ask_edge(edge, &write, params, error, NULL);

	json_decref(params);
	return ret;
}

static int connect_edge(struct edges *edges, struct edge *edge, struct api_error *error)
{
	if (edge->borrowed)
		return 0;
	api_disconnect(edge->client);
	edge->client = NULL;
	if (api_connect(&edge->client, edge->socket, edges->context->timeout, error) == 0)
		return 0;
	edge->client = NULL;
	snprintf(error->hint, sizeof(error->hint), LOST_HINT);
	return blame_edge(edge, error);
}

static void end_edges(struct edges *edges)
{
	for (unsigned int i = 0; i < edges->count; i++) {
		json_decref(edges->edge[i].answer);
		json_decref(edges->edge[i].about);
		if (!edges->edge[i].borrowed)
			api_disconnect(edges->edge[i].client);
	}
	json_decref(edges->peers);
}

// Steals peers.
static int open_edges(
	struct edges *edges, struct context *context, json_t *peers, struct api_error *error)
{
	const json_t *peer;
	size_t i;
	int ret = 0;

	*edges = (struct edges){.context = context, .peers = peers, .count = 1};
	edges->edge[0] = (struct edge){.name = get_text(peers, "edge"),
		.socket = context->socket,
		.client = context->client,
		.borrowed = true};
	json_array_foreach (json_object_get(peers, "peers"), i, peer) {
		if (ret < 0 || edges->count == EDGES_MAX)
			break;
		struct edge *edge = &edges->edge[edges->count++];
		edge->name = get_text(peer, "edge");
		edge->socket = get_text(peer, "socket");
		ret = connect_edge(edges, edge, error);
	}
	return ret;
}

// --- what is sent ----------------------------------------------------------------------------------------

static const json_t *find_change(const json_t *changes, const char *noun, const char *name)
{
	const json_t *change;
	size_t i;

	json_array_foreach ((json_t *)changes, i, change)
		if (strcmp(get_text(change, "noun"), noun) == 0 &&
			strcmp(get_text(change, "name"), name) == 0)
			return change;
	return NULL;
}

// A password goes along with the name that the first edge gave it.
static json_t *complete_secrets(const json_t *fields, const json_t *made)
{
	json_t *complete = json_copy((json_t *)(uintptr_t)fields), *value;
	const char *name;
	void *next;

	json_object_foreach_safe (complete, next, name, value) {
		const json_t *fingerprint = json_object_get(json_object_get(made, name), "keep");
		const json_t *text = json_object_get(value, "value");
		if (json_is_string(text) && json_is_string(fingerprint))
			json_object_set_new(complete, name,
				json_pack("{s:O, s:O}", "value", text, "fingerprint", fingerprint));
	}
	return complete;
}

// Of an object that was made everything, with the passwords as they were given.
static json_t *complete_fields(const json_t *asked, const json_t *made)
{
	json_t *secrets = complete_secrets(asked, made);
	json_t *fields = json_copy((json_t *)(uintptr_t)made), *value;
	const char *name;

	json_object_foreach (secrets, name, value)
		if (json_object_get(value, "fingerprint") != NULL)
			json_object_set(fields, name, value);
	json_decref(secrets);
	return fields;
}

// made: what the first edge says that it comes to. Each change of `asked` with what was made up for it, then what came
// along with them.
static json_t *complete_changes(const json_t *asked, const json_t *made)
{
	json_t *changes = json_array();
	const json_t *change, *outcome;
	size_t i;

	json_array_foreach ((json_t *)asked, i, change) {
		const json_t *fields = json_object_get(change, "fields");
		json_t *complete = json_copy((json_t *)(uintptr_t)change);
		outcome = find_change(made, get_text(change, "noun"), get_text(change, "name"));
		const json_t *whole = json_object_get(outcome, "fields");
		if (strcmp(get_text(outcome, "op"), "create") == 0 &&
			strcmp(get_text(change, "op"), "set") != 0)
			json_object_set_new(complete, "fields", complete_fields(fields, whole));
		else if (whole != NULL && fields != NULL)
			json_object_set_new(complete, "fields", complete_secrets(fields, whole));
		json_array_append_new(changes, complete);
	}
	json_array_foreach ((json_t *)made, i, outcome)
		if (strcmp(get_text(outcome, "op"), "create") == 0 &&
			find_change(asked, get_text(outcome, "noun"), get_text(outcome, "name")) == NULL)
			json_array_append(changes, (json_t *)(uintptr_t)outcome);
	return changes;
}

static bool is_plain(const char *verb)
{
	static const char *const plain[] = {"create", "set", "ensure", "delete", "rename"};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strcmp(verb, plain[i]) == 0)
			return true;
	return false;
}

static bool has_op(const json_t *changes, const char *op)
{
	const json_t *change;
	size_t i;

	json_array_foreach ((json_t *)changes, i, change)
		if (strcmp(get_text(change, "op"), op) == 0)
			return true;
	return false;
}

static bool all_plain(const json_t *changes)
{
	const json_t *change;
	size_t i;

	json_array_foreach ((json_t *)changes, i, change)
		if (!is_plain(get_text(change, "op")))
			return false;
	return true;
}

static void take_deletes(json_t *changes, const json_t *made, bool parts)
{
	const json_t *outcome;
	size_t i;

	json_array_foreach ((json_t *)made, i, outcome) {
		const char *op = get_text(outcome, "op");
		const char *gone = strcmp(op, "delete") == 0   ? get_text(outcome, "name")
				   : strcmp(op, "rename") == 0 ? get_text(outcome, "was")
							       : "";
		if (*gone != '\0' && (strchr(gone, '/') != NULL) == parts)
			json_array_append_new(changes,
				json_pack("{s:s, s:O, s:s}", "op", "delete", "noun",
					json_object_get(outcome, "noun"), "name", gone));
	}
}

// What the first edge alone makes up: what it comes to. Parts go before what they are parts of.
static json_t *outcomes(const json_t *made)
{
	json_t *changes = json_array();
	const json_t *outcome;
	size_t i;

	take_deletes(changes, made, true);
	take_deletes(changes, made, false);
	json_array_foreach ((json_t *)made, i, outcome) {
		if (strcmp(get_text(outcome, "op"), "delete") == 0)
			continue;
		json_t *change = json_copy((json_t *)(uintptr_t)outcome);
		if (json_object_del(change, "was") == 0)
			json_object_set_new(change, "op", json_string("create"));
		json_array_append_new(changes, change);
	}
	return changes;
}

// A verb of a noun as a list of one change. "wan0" is the first edge's.
static json_t *asked_changes(const struct edges *edges, const struct write *write)
{
	char noun[64], name[256];
	const char *dot = strchr(write->method, '.'), *given = get_text(write->params, "name");
	json_t *fields = json_object_get(write->params, "fields");

	if (strcmp(write->method, API_MODEL_CHANGE) == 0)
		return json_incref(json_object_get(write->params, "changes"));
	snprintf(noun, sizeof(noun), "%.*s", (int)(dot - write->method), write->method);
	snprintf(name, sizeof(name), "%s", given);
	if (strcmp(noun, "port") == 0 && strchr(given, '/') == NULL)
		snprintf(name, sizeof(name), "%s/%s", edges->edge[0].name, given);
	return json_pack("[{s:s, s:s, s:s, s:O*}]", "op", dot + 1, "noun", noun, "name", name,
		"fields", fields);
}

// How all edges are asked, of what the first one's check has answered. The method's name is a literal or write's; what
// is in params belongs to *params.
static struct write complete(
	const struct edges *edges, const struct write *write, const json_t *check, json_t **params)
{
	static const char *const passed[] = {"confirm", "delete", "if_revision", "check"};
	struct write complete = {.method = write->method};
	const char *yaml = json_string_value(json_object_get(check, "yaml"));

	*params = json_copy(write->params);
	if (yaml != NULL) {
		complete.method = API_CONFIG_APPLY;
		complete.text = yaml;
		complete.length = strlen(yaml);
		json_object_del(*params, "revision");
		json_object_set(*params, "secrets", json_object_get(check, "secrets"));
		return complete;
	}
	bool several = strcmp(write->method, API_MODEL_CHANGE) == 0;
	const json_t *made = json_object_get(check, "changes");
	json_t *asked = asked_changes(edges, write);
	bool plain = all_plain(asked);
	if (!plain && !several && !has_op(made, "create")) {
		json_decref(asked);
		return complete; // each edge works it out by itself
	}
	json_t *changes = plain ? complete_changes(asked, made) : outcomes(made);
	const json_t *first = json_array_get(changes, 0);
	if (several || !plain || json_array_size(changes) != 1) {
		complete.method = API_MODEL_CHANGE;
		json_object_clear(*params);
		for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
			if (json_object_get(write->params, passed[i]) != NULL)
				json_object_set(*params, passed[i],
					json_object_get(write->params, passed[i]));
		json_object_set(*params, "changes", changes);
	} else {
		json_object_set(*params, "name", json_object_get(first, "name"));
		if (json_object_get(first, "fields") != NULL)
			json_object_set(*params, "fields", json_object_get(first, "fields"));
	}
	json_decref(asked);
	json_decref(changes);
	return complete;
}

// --- the steps -------------------------------------------------------------------------------------------

// A check that went well, of what would be refused all the same.
static int take_refusal(const struct edge *edge, struct api_error *error)
{
	const json_t *refused = json_object_get(edge->answer, "refused");

	if (!json_is_object(refused))
		return 0;
	bool conflict = strcmp(get_text(refused, "code"), api_code_name(API_CONFLICT)) == 0;
	api_fail(error, conflict ? API_CONFLICT : API_REFUSED, get_text(refused, "hint"), "%s",
		get_text(refused, "message"));
	return blame_edge(edge, error);
}

static int check_edge(struct edge *edge, const struct write *write, json_t *params,
	struct api_error *error, json_t **details)
{
	json_t *check = json_copy(params);

	json_object_set_new(check, "check", json_true());
	json_object_del(check, "confirm");
	int ret = ask_edge(edge, write, check, error, details);
	json_decref(check);
	edge->changes = ret == 0 && json_is_true(json_object_get(edge->answer, "changed"));
	edge->revision = get_number(edge->answer, "revision");
	return ret;
}

static int apply_on(struct edges *edges, struct edge *edge, const struct write *write,
	json_t *params, struct api_error *error)
{
	json_t *apply = json_copy(params);

	if (json_object_get(apply, "confirm") == NULL)
		json_object_set_new(apply, "confirm", json_string(CONFIRM));
	json_object_set_new(apply, "if_revision", json_integer(edge->revision)); // what was checked
	if (edges->decider != NULL)
		json_object_set_new(apply, "decider",
			json_pack("{s:s, s:I}", "edge", edges->decider->name, "revision",
				edges->decider->revision));
	int ret = ask_edge(edge, write, apply, error, NULL);
	json_decref(apply);
	if (ret < 0)
		return ret;
	edge->waits = json_is_object(json_object_get(edge->answer, "pending"));
	edge->revision = get_number(edge->answer, "revision");
	if (edge->waits && edges->decider == NULL)
		edges->decider = edge;
	return 0;
}

// Where that cannot be said any more it happens by itself.
static void undo(struct edges *edges)
{
	struct api_error error;

	for (unsigned int i = 0; i < edges->count; i++) {
		struct edge *edge = &edges->edge[i];
		if (!edge->waits)
			continue;
		json_t *pending = json_incref(json_object_get(edge->answer, "pending"));
		char when[TEXT_MAX];
		if (ask_plain(edge, API_CONFIG_ROLLBACK, json_object(), &error) < 0)
			fprintf(stderr, "note: %s; it takes the change back by itself at %s\n",
				error.message, time_text(get_number(pending, "until"), when));
		json_decref(pending);
	}
}

// What has become of the revision: "confirmed", "pending", "reverted"; NULL = the edge does not answer.
static const char *outcome(struct edges *edges, struct edge *edge)
{
	struct api_error error;
	json_int_t number;
	const json_t *item;
	const char *state = "reverted";
	size_t i;

	edge->borrowed = false;
	edge->client = edge->client == edges->context->client ? NULL : edge->client;
	if (connect_edge(edges, edge, &error) < 0 ||
		ask_plain(edge, API_CONFIG_HISTORY,
			json_pack("{s:o, s:i}", "cursor",
				json_sprintf("%" JSON_INTEGER_FORMAT, edge->revision + 2), "limit", 2),
			&error) < 0)
		return NULL;
	json_array_foreach (json_object_get(edge->answer, "items"), i, item) {
		number = get_number(item, "revision");
		if (number == edge->revision + 1 && strcmp(get_text(item, "verb"), "config.revert") == 0)
			return "reverted";
		if (number == edge->revision)
			state = json_is_integer(json_object_get(item, "pending")) ? "pending"
										  : "confirmed";
	}
	return state;
}

static int confirm_on(struct edge *edge, struct api_error *error)
{
	return ask_plain(edge, API_CONFIG_CONFIRM, json_pack("{s:I}", "revision", edge->revision), error);
}

// 0: it is final. Lost in the middle, it may be either.
static int decide(struct edges *edges, struct api_error *error, bool *doubtful)
{
	struct edge *edge = edges->decider;
	const time_t end = time(NULL) + DOUBT_S;
	const char *state = NULL;

	*doubtful = false;
	if (confirm_on(edge, error) == 0)
		return 0;
	while (is_lost(error) && time(NULL) < end) {
		state = outcome(edges, edge);
		if (state != NULL && strcmp(state, "pending") == 0) {
			struct api_error again;
			if (confirm_on(edge, &again) == 0)
				return 0;
		} else if (state != NULL) {
			return strcmp(state, "confirmed") == 0 ? 0 : -1;
		}
		usleep(200000);
	}
	*doubtful = is_lost(error);
	return -1;
}

static void confirm_others(struct edges *edges)
{
	struct api_error error;

	for (unsigned int i = 0; i < edges->count; i++) {
		struct edge *edge = &edges->edge[i];
		if (edge == edges->decider || !edge->waits)
			continue;
		char when[TEXT_MAX];
		json_t *pending = json_incref(json_object_get(edge->answer, "pending"));
		if (confirm_on(edge, &error) < 0)
			fprintf(stderr, "warning: %s; it takes the change over from %s at %s\n",
				error.message, edges->decider->name,
				time_text(get_number(pending, "until"), when));
		json_decref(pending);
	}
}

// Revision and digest of each, for the answer; what differs is said.
static json_t *sum_up(const struct edges *edges)
{
	json_t *list = json_array();
	const char *first = get_text(edges->edge[0].answer, "digest");

	for (unsigned int i = 0; i < edges->count; i++) {
		const struct edge *edge = &edges->edge[i];
		const char *digest = get_text(edge->answer, "digest");
		json_array_append_new(list,
			json_pack("{s:s, s:I, s:s}", "edge", edge->name, "revision",
				(json_int_t)get_number(edge->answer, "revision"), "digest", digest));
		if (strcmp(digest, first) != 0)
			fprintf(stderr,
				"warning: the models of %s and %s differ: culvertctl config show > F; "
				"culvertctl -s %s config diff F\n",
				edges->edge[0].name, edge->name, edge->socket);
	}
	return list;
}

// --- all of it -------------------------------------------------------------------------------------------

static int check_all(struct edges *edges, const struct write *write, json_t *params, bool only_check,
	struct api_error *error)
{
	for (unsigned int i = 1; i < edges->count; i++) {
		struct edge *edge = &edges->edge[i];
		if (check_edge(edge, write, params, error, NULL) < 0 || take_refusal(edge, error) < 0)
			return -1;
	}
	return only_check ? 0 : take_refusal(&edges->edge[0], error);
}

// By name: of two who change at once one has the first edge, and the other nothing to take back.
static int apply_all(struct edges *edges, const struct write *own, const struct write *write,
	json_t *params, struct api_error *error)
{
	for (unsigned int done = 0; done < edges->count; done++) {
		struct edge *next = NULL;
		for (unsigned int i = 0; i < edges->count; i++) {
			struct edge *edge = &edges->edge[i];
			if (!edge->applied && (next == NULL || strcmp(edge->name, next->name) < 0))
				next = edge;
		}
		bool first = next == &edges->edge[0] && own != NULL;
		next->applied = true;
		if (apply_on(edges, next, first ? own : write, first ? own->params : params, error) < 0)
			return -1;
	}
	return 0;
}

static bool any_changes(const struct edges *edges)
{
	for (unsigned int i = 0; i < edges->count; i++)
		if (edges->edge[i].changes)
			return true;
	return false;
}

static int make(struct edges *edges, const struct write *own, const struct write *write, json_t *params,
	json_t **result, struct api_error *error)
{
	bool waits = json_object_get(params, "confirm") != NULL, doubtful = false;
	json_t *answers = NULL;

	if (apply_all(edges, own, write, params, error) < 0) {
		undo(edges);
		return -1;
	}
	answers = sum_up(edges);
	*result = json_incref(edges->edge[0].answer);
	json_object_set_new(*result, "edges", answers);
	if (waits || edges->decider == NULL)
		return 0;
	if (decide(edges, error, &doubtful) < 0) {
		json_decref(*result);
		*result = NULL;
		if (!doubtful)
			undo(edges);
		else
			snprintf(error->hint, sizeof(error->hint),
				"whether it has confirmed is not known; the others come to what %.64s has "
				"come to: start its culvertd, then culvertctl config history",
				edges->decider->name);
		return -1;
	}
	confirm_others(edges);
	json_object_set_new(*result, "pending", json_null());
	return 0;
}

int edges_write(struct context *context, const struct write *write, json_t *peers, json_t **result,
	struct api_error *error, json_t **details)
{
	bool only_check = json_is_true(json_object_get(write->params, "check"));
	bool back = strcmp(write->method, API_CONFIG_ROLLBACK) == 0;
	json_t *params = json_copy(write->params), *check = NULL;
	struct edges edges;

	int ret = open_edges(&edges, context, peers, error);
	json_object_set_new(params, "expand", json_true());
	if (ret == 0)
		ret = check_edge(&edges.edge[0], write, params, error, details);
	json_decref(params);
	params = NULL;
	if (ret == 0) {
		check = json_incref(edges.edge[0].answer);
		const struct write all = complete(&edges, write, check, &params);
		json_object_del(params, "if_revision"); // the first one's, which the check has seen
		ret = check_all(&edges, &all, params, only_check, error);
		if (ret == 0 && !only_check && any_changes(&edges))
			ret = make(&edges, back ? write : NULL, &all, params, result, error);
		else if (ret == 0)
			*result = json_incref(check);
		if (*result != NULL) {
			if (json_object_get(check, "next") != NULL)
				json_object_set(*result, "next", json_object_get(check, "next"));
			json_object_del(*result, "changes");
			json_object_del(*result, "yaml");
			json_object_del(*result, "secrets");
		}
	}
	json_decref(params);
	json_decref(check);
	end_edges(&edges);
	return ret;
}

// --- what waits ------------------------------------------------------------------------------------------

static bool decides(const struct edge *edge, const struct edge *other)
{
	const json_t *decider = json_object_get(other->pending, "decider");

	return json_is_object(decider) && strcmp(get_text(decider, "edge"), edge->name) == 0 &&
	       get_number(decider, "revision") == get_number(edge->pending, "revision");
}

// Parts of one change.
static bool belong(const struct edge *a, const struct edge *b)
{
	const json_t *one = json_object_get(a->pending, "decider"),
		     *two = json_object_get(b->pending, "decider");

	return json_is_object(a->pending) && json_is_object(b->pending) &&
	       (decides(a, b) || decides(b, a) || (json_is_object(one) && json_equal(one, two)));
}

// Whoever decides first: only from then on it is what the others come to by themselves.
int edges_settle(struct context *context, const struct write *write, json_t *peers, json_t **result,
	struct api_error *error)
{
	struct api_error other;
	struct edges edges;
	int ret = open_edges(&edges, context, peers, error);
	struct edge *first = &edges.edge[0];

	first->pending = json_object_get(peers, "pending");
	for (unsigned int i = 1; i < edges.count && ret == 0; i++) {
		struct edge *edge = &edges.edge[i];
		ret = ask_plain(edge, API_EDGE_PEERS, json_object(), error);
		edge->about = json_incref(edge->answer);
		edge->pending = json_object_get(edge->about, "pending");
	}
	for (unsigned int i = 0; i < 2 * edges.count && ret == 0; i++) {
		struct edge *edge = &edges.edge[i % edges.count];
		bool decides = !json_is_object(json_object_get(edge->pending, "decider"));
		if (decides != (i < edges.count) || (edge != first && !belong(first, edge)))
			continue;
		json_t *params = json_copy(write->params);
		if (edge != first)
			json_object_del(params, "revision");
		if (ask_edge(edge, write, params, &other, NULL) < 0 && (decides || edge == first)) {
			*error = other;
			ret = -1;
		} else if (edge->answer == NULL) {
			fprintf(stderr, "warning: %s; it comes to the same by itself\n", other.message);
		}
		json_decref(params);
	}
	if (ret == 0)
		*result = json_incref(first->answer);
	end_edges(&edges);
	return ret;
}

// --- whether they agree ------------------------------------------------------------------------------------

#define ANSWER_S 2

// Adds "model": "same" | "other" | "unknown" and "revision" to each of the peers, which are borrowed. True: all that
// answered have the same.
bool edges_compare(json_t *about)
{
	const char *digest = get_text(about, "digest");
	struct api_client *client;
	struct api_error error;
	bool agree = true;
	json_t *peer, *answer;
	size_t i;

	json_array_foreach (json_object_get(about, "peers"), i, peer) {
		answer = NULL;
		client = NULL;
		if (api_connect(&client, get_text(peer, "socket"), ANSWER_S, &error) == 0)
			api_call(client, API_EDGE_PEERS, NULL, &answer, &error, NULL);
		api_disconnect(client);
		bool same = strcmp(get_text(answer, "digest"), digest) == 0;
		json_object_set_new(peer, "model",
			json_string(answer == NULL ? "unknown" : same ? "same" : "other"));
		json_object_set(peer, "revision", json_object_get(answer, "revision"));
		agree = agree && (answer == NULL || same);
		json_decref(answer);
	}
	return agree;
}
