// SPDX-License-Identifier: BSD-3-Clause

// A line becomes a call: JSON, then the shape of a JSON-RPC request, then the method, the caller's role, the
// parameters against the method's table, the file if one is named. Only then does a handler see it. It is
// answered once, at any later time; by then client or server may be gone, and the answer with them.
//
// A call of a method on the route thread is handed over whole and comes back whole: between `forward` and
// `back` the main thread touches nothing but the list entry, client and server members.

#include "control/rpc/server.h"

#include "control/api/methods.h"
#include "control/api/suggest.h"

#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *rpc_role_name(enum rpc_role role)
{
	static const char *const names[] = {"none", "viewer", "operator", "admin"};

	return (size_t)role < 4 ? names[role] : names[0];
}

// --- answers -------------------------------------------------------------------------------------------

static json_t *error_json(const struct api_error *error, json_t *details)
{
	json_t *data = json_pack("{s:s}", "code", api_code_name(error->code));

	if (error->hint[0] != '\0')
		json_object_set_new(data, "hint", json_string(error->hint));
	if (details != NULL)
		json_object_set_new(data, "errors", details);
	return json_pack("{s:i, s:s, s:o}", "code", api_code_rpc(error->code), "message",
		error->message, "data", data);
}

json_t *refusal_json(const struct api_error *error)
{
	return json_pack(
		"{s:s, s:n, s:o}", "jsonrpc", "2.0", "id", "error", error_json(error, NULL));
}

static void call_free(struct call *call)
{
	if (call->public.text != NULL)
		munmap((void *)call->public.text, call->public.text_length);
	if (call->public.out >= 0)
		close(call->public.out);
	json_decref(call->public.params);
	json_decref(call->id);
	json_decref(call->result);
	json_decref(call->error);
	free(call->text);
	free(call);
}

// The answer is text already, which may be long: its frame is put around it.
static void send_text(struct client *client, const struct call *call)
{
	json_t *frame = json_pack("{s:s, s:O}", "jsonrpc", "2.0", "id", call->id);
	char *head = json_dumps(frame, JSON_COMPACT);
	size_t length = head != NULL ? strlen(head) - 1 : 0; // without its brace
	static const char key[] = ",\"result\":";
	char *line = head != NULL ? malloc(length + sizeof(key) + call->text_length + 2) : NULL,
	     *at;

	json_decref(frame);
	if (line != NULL) {
		at = mempcpy(line, head, length);
		at = mempcpy(at, key, sizeof(key) - 1);
		at = mempcpy(at, call->text, call->text_length);
		at = mempcpy(at, "}\n", 2);
		client_send(client, line, (size_t)(at - line));
	}
	free(head);
}

// --- the audit -----------------------------------------------------------------------------------------

// "peering acme-ams-01/private" of what was asked for; "" = of nothing in particular.
static void name_object(const char *method, json_t *params, char *text, size_t size)
{
	static const char *const names[] = {"name", "peering", "circuit", "vnet", "link"};
	const json_t *first = json_array_get(json_object_get(params, "changes"), 0);
	const char *noun = json_string_value(json_object_get(first, "noun"));
	const char *name = json_string_value(json_object_get(first, "name"));

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]) && name == NULL; i++)
		name = json_string_value(json_object_get(params, names[i]));
	if (name == NULL)
		snprintf(text, size, "%s", "");
	else if (noun != NULL)
		snprintf(text, size, "%.32s %.160s", noun, name);
	else
		snprintf(text, size, "%.*s %.160s", (int)strcspn(method, "."), method, name);
}

void call_denied(struct rpc_server *server, uid_t uid, const char *method, json_t *params,
	const char *why)
{
	char actor[32], object[200], result[128];
	uint64_t now = now_ms();

	if (server->options.audit == NULL)
		return;
	if (now - server->denied_since >= 1000) {
		server->denied_since = now;
		server->denied = 0;
	}
	if (server->denied++ >= DENIED_LINES) {
		server->denied_more++;
		return;
	}
	snprintf(actor, sizeof(actor), "uid:%u", uid);
	name_object(method, params, object, sizeof(object));
	if (server->denied_more > 0)
		snprintf(result, sizeof(result), "denied: %s; %u more before", why, server->denied_more);
	else
		snprintf(result, sizeof(result), "denied: %s", why);
	server->denied_more = 0;
	server->options.audit(
		server->options.ctx, actor, method, object[0] != '\0' ? object : NULL, result);
}

static void audit_call(const struct call *call)
{
	const struct rpc_method *method = call->public.method;
	const struct rpc_server *server = call->server;
	char object[200];

	if (server == NULL || server->options.audit == NULL || method == NULL || !method->audited ||
		call->public.params == NULL || rpc_boolean(&call->public, "check", false))
		return;
	name_object(method->name, call->public.params, object, sizeof(object));
	const char *error = json_string_value(json_object_get(call->error, "message"));
	server->options.audit(server->options.ctx, call->public.actor, method->name,
		object[0] != '\0' ? object : NULL, error != NULL ? error : "ok");
}

void rpc_call_finish(struct rpc_call *public)
{
	struct call *call = (struct call *)public;
	struct client *client = call->client;

	if (call->server != NULL)
		TAILQ_REMOVE(&call->server->calls, call, entry);
	if (call->server != NULL && call->error != NULL)
		call->server->counters.failed++;
	audit_call(call);
	call->user->calls--;
	call->user->open -= call->counted;
	if (client != NULL) {
		const char *key = call->error != NULL ? "error" : "result";
		json_t *answer = call->error != NULL ? call->error : call->result;

		client->pending--;
		client->active = now_ms();
		if (call->text != NULL)
			send_text(client, call);
		else
			client_send_json(client, json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0",
							 "id", call->id, key, answer));
		client_wake(client);
	}
	user_give_back(call->user, call->held);
	user_release(call->user);
	call_free(call);
}

void rpc_call_run(struct rpc_call *public)
{
	const struct call *call = (struct call *)public;
	void (*ran)(void *ctx, void *user) = call->forwarded ? call->ran : NULL;
	void *ctx = call->back_ctx, *user = call->user;

	public->method->handler(public); // it may be answered and gone
	if (ran != NULL)
		ran(ctx, user);
}

void call_drop(struct call *call)
{
	call->client = NULL;
	if (call->waiting)
		TAILQ_REMOVE(&call->user->waiting, call, waiting_entry);
	rpc_call_finish(&call->public);
}

// One call of each user is there at a time.
static void forward(struct call *call)
{
	struct rpc_server *server = call->server;
	struct user *user = call->user;

	if (user->running > 0) {
		TAILQ_INSERT_TAIL(&user->waiting, call, waiting_entry);
		call->waiting = call->client->waits = true;
		return;
	}
	call->forwarded = true;
	call->back = server->options.back;
	call->ran = server->options.ran;
	call->back_ctx = server->options.ctx;
	user->running += call->ran != NULL;
	server->options.forward(server->options.ctx, &call->public);
}

void rpc_ran(void *arg)
{
	struct user *user = arg;
	struct call *call = TAILQ_FIRST(&user->waiting);

	user->running--;
	if (call != NULL) {
		TAILQ_REMOVE(&user->waiting, call, waiting_entry);
		call->waiting = call->client->waits = false;
		forward(call);
		client_wake(call->client);
	}
	user_release(user);
}

static void answer(struct call *call)
{
	if (call->forwarded)
		call->back(call->back_ctx, &call->public);
	else
		rpc_call_finish(&call->public);
}

void rpc_reply(struct rpc_call *public, json_t *result)
{
	struct call *call = (struct call *)public;

	call->result = result == NULL ? json_object() : result;
	answer(call);
}

void rpc_reply_text(struct rpc_call *public, char *text, size_t length)
{
	struct call *call = (struct call *)public;

	call->text = text;
	call->text_length = length;
	answer(call);
}

void rpc_fail_details(struct rpc_call *public, const struct api_error *error, json_t *details)
{
	struct call *call = (struct call *)public;

	call->error = error_json(error, details);
	answer(call);
}

void rpc_fail(struct rpc_call *public, const struct api_error *error)
{
	rpc_fail_details(public, error, NULL);
}

void rpc_reply_list(struct rpc_call *public, json_t *items, const char *next)
{
	rpc_reply(public, json_pack("{s:o, s:s?}", "items", items, "next", next));
}

// --- parameters ----------------------------------------------------------------------------------------

const char *rpc_edge(const struct rpc_call *public)
{
	const struct call *call = (const struct call *)public;
	const char *edge = call->server != NULL ? call->server->options.edge : NULL;

	return edge != NULL ? edge : "";
}

const char *rpc_string(const struct rpc_call *call, const char *name)
{
	return json_string_value(json_object_get(call->params, name));
}

int64_t rpc_integer(const struct rpc_call *call, const char *name, int64_t otherwise)
{
	const json_t *value = json_object_get(call->params, name);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool rpc_boolean(const struct rpc_call *call, const char *name, bool otherwise)
{
	const json_t *value = json_object_get(call->params, name);

	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

bool rpc_has(const struct rpc_call *call, const char *name)
{
	return json_object_get(call->params, name) != NULL;
}

unsigned int rpc_limit(const struct rpc_call *call)
{
	int64_t limit = rpc_integer(call, "limit", API_PAGE);

	return limit < 1 ? 1 : limit > API_PAGE_MAX ? API_PAGE_MAX : (unsigned int)limit;
}

bool rpc_cursor(struct rpc_call *call, uint64_t *cursor)
{
	const char *given = rpc_string(call, "cursor");
	struct api_error error;
	char *end = NULL;

	*cursor = given != NULL ? strtoull(given, &end, 10) : 0;
	if (given == NULL || (*given >= '0' && *given <= '9' && *end == '\0'))
		return true;
	api_fail(&error, API_USAGE, "use the \"next\" of the page before",
		"\"%.32s\" is not a cursor", given);
	rpc_fail(call, &error);
	return false;
}

static const struct rpc_param *param_find(const struct rpc_method *method, const char *name)
{
	for (size_t i = 0; i < RPC_PARAMS_MAX && method->params[i].name != NULL; i++)
		if (strcmp(method->params[i].name, name) == 0)
			return &method->params[i];
	return NULL;
}

static bool type_matches(enum rpc_type type, const json_t *value)
{
	switch (type) {
	case RPC_STRING:
		return json_is_string(value);
	case RPC_INTEGER:
		return json_is_integer(value) && json_integer_value(value) >= 0;
	case RPC_BOOLEAN:
		return json_is_boolean(value);
	case RPC_OBJECT:
		return json_is_object(value);
	case RPC_ARRAY:
		return json_is_array(value);
	}
	return false;
}

static int unknown_param(const struct rpc_method *method, const char *name, struct api_error *error)
{
	struct api_suggestion suggestion;
	char hint[128] = "";
	const char *near;

	api_suggest_begin(&suggestion, name);
	for (size_t i = 0; i < RPC_PARAMS_MAX && method->params[i].name != NULL; i++)
		api_suggest_offer(&suggestion, method->params[i].name);
	near = api_suggest_end(&suggestion);
	if (near != NULL)
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
	return api_fail(
		error, API_USAGE, hint, "%s has no parameter \"%.64s\"", method->name, name);
}

static int check_params(const struct rpc_method *method, json_t *params, struct api_error *error)
{
	static const char *const types[] = {
		"a string", "an integer, 0 or more", "true or false", "an object", "an array"};
	const char *name;
	json_t *value;

	json_object_foreach (params, name, value) {
		const struct rpc_param *param = param_find(method, name);

		if (param == NULL)
			return unknown_param(method, name, error);
		if (!type_matches(param->type, value))
			return api_fail(error, API_USAGE, NULL,
				"parameter \"%s\" of %s has to be %s", name, method->name,
				types[param->type]);
	}
	for (size_t i = 0; i < RPC_PARAMS_MAX && method->params[i].name != NULL; i++)
		if (method->params[i].required &&
			json_object_get(params, method->params[i].name) == NULL)
			return api_fail(error, API_USAGE, NULL, "%s needs the parameter \"%s\"",
				method->name, method->params[i].name);
	return 0;
}

// --- files ---------------------------------------------------------------------------------------------

// Maps a descriptor that nobody can change any more.
static int map_file(struct call *call, int fd, struct api_error *error)
{
	const int needed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;
	void *text;

	if (seals < 0 || (seals & needed) != needed)
		return api_fail(error, API_REFUSED,
			"memfd_create(MFD_ALLOW_SEALING), then F_SEAL_WRITE, F_SEAL_SHRINK and "
			"F_SEAL_GROW",
			"the file handed over is not a sealed memory file");
	if (fstat(fd, &status) < 0 || status.st_size > (off_t)API_FILE_MAX)
		return api_fail(error, API_REFUSED, NULL,
			"the file handed over is larger than %u MiB", API_FILE_MAX >> 20);
	if (status.st_size == 0)
		return api_fail(error, API_INVALID, NULL, "the file is empty");
	text = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return api_fail(error, API_INTERNAL, NULL,
			"the file handed over cannot be mapped: %s", strerror(errno));
	call->public.text = text;
	call->public.text_length = (size_t)status.st_size;
	return 0;
}

// It is memory, so that writing into it waits for nobody, and it can still be written.
static int keep_file(struct call *call, int fd, struct api_error *error)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || seals & F_SEAL_WRITE) {
		close(fd);
		return api_fail(error, API_REFUSED, "memfd_create(MFD_ALLOW_SEALING)",
			"the file handed over is not a memory file that can be written");
	}
	call->public.out = fd;
	return 0;
}

static int take_file(struct client *client, struct call *call, struct api_error *error)
{
	const char *file = rpc_string(&call->public, "file");
	const struct rpc_method *method = call->public.method;
	int fd, ret;

	if ((!method->file && !method->writes_file) || file == NULL)
		return 0;
	if (strcmp(file, "fd") != 0)
		return api_fail(error, API_USAGE,
			"pass the file's descriptor, or its text as \"text\"",
			"parameter \"file\" of %s has to be \"fd\"", call->public.method->name);
	if (client->file_count == 0)
		return api_fail(error, API_USAGE,
			"send it with the request's first byte (SCM_RIGHTS)",
			"no descriptor came with %s", call->public.method->name);
	fd = client->files[0];
	client->file_count--;
	memmove(client->files, client->files + 1, client->file_count * sizeof(client->files[0]));
	if (method->writes_file)
		return keep_file(call, fd, error);
	ret = map_file(call, fd, error);
	close(fd);
	return ret;
}

// --- requests ------------------------------------------------------------------------------------------

const struct rpc_method *method_find(const struct rpc_server *server, const char *name, void **ctx)
{
	for (unsigned int i = 0; i < server->table_count; i++)
		for (const struct rpc_method *method = server->tables[i].methods;
			method->name != NULL; method++)
			if (strcmp(method->name, name) == 0) {
				*ctx = server->tables[i].ctx;
				return method;
			}
	return NULL;
}

static int unknown_method(
	const struct rpc_server *server, const char *name, struct api_error *error)
{
	struct api_suggestion suggestion;
	char hint[128] = "rpc.describe lists all methods";
	const char *near;

	api_suggest_begin(&suggestion, name);
	for (unsigned int i = 0; i < server->table_count; i++)
		for (const struct rpc_method *method = server->tables[i].methods;
			method->name != NULL; method++)
			api_suggest_offer(&suggestion, method->name);
	near = api_suggest_end(&suggestion);
	if (near != NULL)
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
	return api_fail(error, API_METHOD, hint, "there is no method \"%.64s\"", name);
}

static int prepare(
	struct client *client, json_t *request, struct call *call, struct api_error *error)
{
	const char *version = json_string_value(json_object_get(request, "jsonrpc"));
	const char *name = json_string_value(json_object_get(request, "method"));
	json_t *params = json_object_get(request, "params");
	struct rpc_call *public = &call->public;

	if (version == NULL || strcmp(version, "2.0") != 0 || name == NULL)
		return api_fail(error, API_REQUEST, NULL,
			"a request is {\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"...\", "
			"\"params\": {...}}");
	if (params != NULL && !json_is_object(params))
		return api_fail(error, API_USAGE, NULL, "params has to be an object");
	public->method = method_find(client->server, name, &public->ctx);
	if (public->method == NULL)
		return unknown_method(client->server, name, error);
	if (client->role < public->method->role) {
		char why[64];
		snprintf(why, sizeof(why), "needs the role %s, has %s",
			rpc_role_name(public->method->role), rpc_role_name(client->role));
		call_denied(client->server, client->uid, name, params, why);
		return api_fail(error, API_DENIED, "roles are granted in the node file",
			"%s needs the role %s, uid %u has %s", name,
			rpc_role_name(public->method->role), client->uid,
			rpc_role_name(client->role));
	}
	if (client->provider != NULL && !public->method->scoped) {
		call_denied(client->server, client->uid, name, params, "it is not a provider's to ask");
		return api_fail(error, API_DENIED, "culvertctl cross-connection list",
			"%s is not for provider \"%s\", who sees his cross-connections", name,
			client->provider);
	}
	public->params = params == NULL ? json_object() : json_incref(params);
	public->role = client->role;
	public->provider = client->provider;
	public->uid = client->uid;
	public->pid = client->pid;
	snprintf(public->actor, sizeof(public->actor), "uid:%u", client->uid);
	if (check_params(public->method, public->params, error) < 0)
		return -EINVAL;
	return take_file(client, call, error);
}

static void handle_request(struct client *client, json_t *request, json_t *id, size_t held)
{
	struct rpc_server *server = client->server;
	struct call *call = calloc(1, sizeof(*call));
	struct api_error error;

	if (call == NULL) {
		user_give_back(client->user, held);
		return;
	}
	call->public.out = -1;
	call->server = server;
	call->client = client;
	call->user = client->user;
	call->user->calls++;
	call->held = held;
	call->id = json_incref(id);
	TAILQ_INSERT_TAIL(&server->calls, call, entry);
	client->pending++;
	if (prepare(client, request, call, &error) < 0) {
		rpc_fail(&call->public, &error);
		return;
	}
	call->counted = !call->public.method->waits;
	call->user->open += call->counted;
	if (call->public.method->thread == RPC_ROUTE && server->options.forward != NULL) {
		forward(call);
	} else {
		rpc_call_run(&call->public);
	}
}

void call_handle_line(struct client *client, const char *line, size_t length, size_t held)
{
	struct api_error error;
	json_error_t where;
	json_t *request, *id;

	client->active = now_ms();
	client->server->counters.requests++;
	request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &where);
	id = json_object_get(request, "id");
	if (request == NULL) {
		api_fail(&error, API_PARSE, NULL, "the request is not JSON: %s, at byte %d",
			where.text, where.position);
	} else if (!json_is_object(request)) {
		api_fail(&error, API_REQUEST, "send requests one per line",
			"a request has to be one object; there are no batches");
	} else if (!json_is_integer(id) && !json_is_string(id)) {
		api_fail(&error, API_REQUEST, NULL, "a request needs an id, a number or a string");
	} else {
		handle_request(client, request, id, held);
		json_decref(request);
		return;
	}
	client->server->counters.failed++;
	client_send_json(client, refusal_json(&error));
	json_decref(request);
	user_give_back(client->user, held);
}

struct client *call_client(struct rpc_call *call)
{
	return ((struct call *)call)->client;
}
