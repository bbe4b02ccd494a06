// SPDX-License-Identifier: BSD-3-Clause

// The methods that the main thread answers: the verbs of every noun, several changes at once, a circuit's successor. The
// configuration as a whole is in config.c, history and audit in lists.c, what providers see in cross.c. But for successors they know
// nothing about any single noun: fields, types and rules come from the schema, and a change is a list of {op, noun, name, fields} that the service validates, commits and publishes before it is
// answered. A list walks the snapshot from its cursor, which is the last name given, so a page costs what is on
// it and a change in between neither repeats nor hides other objects.

#include "control/rpc/verbs.h"

#include "control/api/methods.h"
#include "control/api/suggest.h"
#include "control/base/clock.h"
#include "control/model/circuit.h"
#include "control/model/model.h"
#include "control/node.h"
#include "control/rpc/rpc.h"
#include "control/service.h"
#include "control/store/store.h"

#include <jansson.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- reading -------------------------------------------------------------------------------------------

// The noun is what the method's name begins with.
static const struct noun *noun_of(const struct rpc_call *call)
{
	char name[32];
	size_t length = strcspn(call->method->name, ".");

	snprintf(name, sizeof(name), "%.*s", (int)length, call->method->name);
	return noun_find(name);
}

// Fields as in YAML, and the name that the object is called by.
static json_t *object_answer(const struct object *object)
{
	json_t *answer = object_json(object);

	json_object_set_new(answer, "full_name", json_string(object->name));
	return answer;
}

// "customer" of a noun that has no field of that name, but whose objects are somebody's.
static bool is_customer(const struct noun *noun, const struct field *field, const char *name)
{
	return field == NULL && noun->customer_of != NULL && strcmp(name, "customer") == 0;
}

static int check_filter(const struct noun *noun, json_t *filter, struct api_error *error)
{
	const char *name;
	json_t *value;

	json_object_foreach (filter, name, value) {
		const struct field *field = field_find(&noun->fields, name);
		bool by_customer = is_customer(noun, field, name);

		if (!by_customer &&
			(field == NULL || field->kind == FIELD_LIST || field->kind == FIELD_SECRET))
			return api_fail(error, API_USAGE, "rpc.describe lists the fields",
				"%s objects cannot be listed by \"%.64s\"", noun->name, name);
		if (!json_is_string(value))
			return api_fail(error, API_USAGE, NULL,
				"the filter \"%s\" has to be a string", name);
	}
	return 0;
}

static bool passes(const struct model *model, const struct object *object, json_t *filter)
{
	char buffer[FIELD_TEXT_MAX];
	const char *name;
	json_t *value;

	json_object_foreach (filter, name, value) {
		const struct field *field = field_find(&object->noun->fields, name);
		const char *text =
			field == NULL
				? object_customer(model, object)
				: field_format(field, (const char *)object + field->offset, buffer);

		if (text == NULL || strcmp(text, json_string_value(value)) != 0)
			return false;
	}
	return true;
}

static int no_such_object(const struct model *model, const struct noun *noun, const char *name,
	struct api_error *error);

// Nothing belongs to a customer who does not exist, which must not look like a customer who has nothing.
static int find_filter(
	const struct model *model, const struct noun *noun, json_t *filter, struct api_error *error)
{
	const char *name;
	json_t *value;

	json_object_foreach (filter, name, value) {
		const struct field *field = field_find(&noun->fields, name);
		const char *text = json_string_value(value);

		if (is_customer(noun, field, name) && model_customer(model, text) == NULL)
			return no_such_object(model, nouns[NOUN_CUSTOMER], text, error);
		if (field != NULL && field->kind == FIELD_REFERENCE && field->within == NULL &&
			model_find(model, field->target, text) == NULL)
			return no_such_object(model, nouns[field->target], text, error);
	}
	return 0;
}

static void list_objects(struct rpc_call *call)
{
	const struct model *model = service_model(call->ctx);
	const struct noun *noun = noun_of(call);
	const char *cursor = rpc_string(call, "cursor"), *next = NULL;
	json_t *filter = json_object_get(call->params, "filter");
	struct rpc_items items = {0};
	const char *last = NULL;
	unsigned int limit = rpc_limit(call), count = model_count(model, noun->id);
	unsigned int i = cursor == NULL ? 0 : model_lower_bound(model, noun->id, cursor);
	uint64_t end = clock_ns() + RPC_PAGE_NS;
	struct api_error error;

	if (check_filter(noun, filter, &error) < 0 ||
		find_filter(model, noun, filter, &error) < 0) {
		rpc_fail(call, &error);
		return;
	}
	for (; i < count; i++) {
		const struct object *object = model_at(model, noun->id, i);

		if ((cursor != NULL && strcmp(object->name, cursor) == 0) ||
			!passes(model, object, filter))
			continue;
		if (items.count == limit || (items.count > 0 && clock_ns() > end)) {
			next = last;
			break;
		}
		rpc_items_add(&items, object_answer(object));
		last = object->name;
	}
	rpc_reply_items(call, &items,
		json_pack("{s:I, s:s?}", "revision", (json_int_t)service_revision(call->ctx),
			"next", next));
}

// "wan0" was meant to be "ams1/wan0"
static const char *named_last(const struct model *model, const struct noun *noun, const char *name)
{
	for (unsigned int i = 0; i < model_count(model, noun->id) && i < 1000; i++) {
		const char *full = model_at(model, noun->id, i)->name, *slash = strrchr(full, '/');

		if (slash != NULL && strcmp(slash + 1, name) == 0)
			return full;
	}
	return NULL;
}

static int no_such_object(const struct model *model, const struct noun *noun, const char *name,
	struct api_error *error)
{
	struct api_suggestion suggestion;
	char hint[256];
	const char *near;

	api_suggest_begin(&suggestion, name);
	for (unsigned int i = 0; i < model_count(model, noun->id) && i < 1000; i++)
		api_suggest_offer(&suggestion, model_at(model, noun->id, i)->name);
	near = api_suggest_end(&suggestion);
	if (near == NULL)
		near = named_last(model, noun, name);
	snprintf(hint, sizeof(hint), "culvertctl %s list", noun->name);
	if (near == NULL)
		return api_fail(
			error, API_NOT_FOUND, hint, "no %s named \"%.100s\"", noun->name, name);
	return api_fail(error, API_NOT_FOUND, hint, "no %s named \"%.100s\" (did you mean \"%s\"?)",
		noun->name, name, near);
}

// What the call is about. "wan0" is this edge's port of that name, "ams1/wan0".
static const char *name_of(
	const struct rpc_call *call, const struct noun *noun, char full[OBJECT_NAME_MAX])
{
	const char *name = rpc_string(call, "name");

	if (noun->id != NOUN_PORT || strchr(name, '/') != NULL)
		return name;
	snprintf(full, OBJECT_NAME_MAX, "%s/%s", rpc_edge(call), name);
	return model_port(service_model(call->ctx), full) != NULL ? full : name;
}

static void show_object(struct rpc_call *call)
{
	const struct model *model = service_model(call->ctx);
	const struct noun *noun = noun_of(call);
	char full[OBJECT_NAME_MAX];
	const char *name = name_of(call, noun, full);
	const struct object *object = model_find(model, noun->id, name);
	struct api_error error;

	if (object == NULL) {
		no_such_object(model, noun, name, &error);
		rpc_fail(call, &error);
		return;
	}
	rpc_reply(call, json_pack("{s:I, s:o}", "revision", (json_int_t)service_revision(call->ctx),
				"object", object_answer(object)));
}

// --- changing ------------------------------------------------------------------------------------------

static json_t *pending_json(const struct store_pending *pending)
{
	json_t *decider = pending->decider[0] == '\0'
				  ? json_null()
				  : json_pack("{s:s, s:I}", "edge", pending->decider, "revision",
					    (json_int_t)pending->decided);

	return json_pack("{s:I, s:I, s:I, s:s, s:o}", "revision", (json_int_t)pending->revision,
		"before", (json_int_t)pending->before, "until", (json_int_t)(pending->until / 1000),
		"actor", pending->actor, "decider", decider);
}

// --- for other edges -------------------------------------------------------------------------------------

static json_t *digest_json(const struct model *model)
{
	return json_sprintf("%016" PRIx64, model_digest(model));
}

static int add_secret(void *ctx, const struct secret *secret)
{
	json_object_set_new(ctx, secret->fingerprint, json_string(secret->text));
	return 0;
}

// Not what is nobody's to set, or begins there as it does everywhere.
static json_t *spec_json(const struct object *object)
{
	const struct fields *fields = &object->noun->fields;
	json_t *json = object_json(object);

	for (unsigned int i = 0; i < fields->count; i++)
		if (fields->item[i].flags & (FIELD_STATUS | FIELD_WORKFLOW))
			json_object_del(json, fields->item[i].name);
	return json;
}

// Every object that comes or changes with all its fields, what was made up too.
static json_t *expanded(const struct model *old, const struct model *new)
{
	struct model_diff *diff = model_diff(old, new);
	json_t *changes = json_array();

	for (unsigned int i = 0; diff != NULL && i < diff->count; i++) {
		const struct object *was = diff->item[i].old, *is = diff->item[i].new;
		const struct object *either = is != NULL ? is : was;
		bool renamed = is != NULL && was != NULL && strcmp(is->name, was->name) != 0;
		json_t *change = json_pack("{s:s, s:s, s:s, s:s*}", "op",
			is == NULL    ? "delete"
			: was == NULL ? "create"
			: renamed     ? "rename"
				      : "set",
			"noun", either->noun->name, "name", either->name, "was",
			renamed ? was->name : NULL);
		if (is != NULL)
			json_object_set_new(change, "fields", spec_json(is));
		json_array_append_new(changes, change);
	}
	model_diff_free(diff);
	return changes;
}

struct export { // a whole model for another edge: made on the store thread
	struct rpc_call *call;
	json_t *answer;
	struct model *model;
	bool secrets;
};

static void export_make(void *ctx)
{
	struct export *export = ctx;
	char *yaml = model_yaml(export->model);
	json_t *secrets = json_object();

	for (unsigned int noun = 0; noun < NOUNS && export->secrets; noun++)
		for (unsigned int i = 0; i < model_count(export->model, noun); i++)
			object_secrets(model_at(export->model, noun, i), add_secret, secrets);
	json_object_set_new(export->answer, "yaml", json_string(yaml));
	json_object_set_new(export->answer, "secrets", secrets);
	free(yaml);
}

static void export_made(void *ctx)
{
	struct export *export = ctx;

	rpc_reply(export->call, export->answer);
	model_unref(export->model);
	free(export);
}

// answer is stolen. Whoever may read passwords anyway (a backup has them) is told those of the model.
static void reply_export(struct rpc_call *call, json_t *answer, const struct model *model)
{
	struct export *export = malloc(sizeof(*export));

	if (export == NULL)
		abort();
	*export = (struct export){call, answer, model_ref(model), call->role >= RPC_ADMIN};
	service_work(call->ctx, export_make, export_made, export);
}

// "uid:1000/ixnet" is "uid:1000".
bool verbs_is_theirs(const struct store_pending *pending, const struct rpc_call *call)
{
	size_t length = strlen(call->actor);

	return pending != NULL && strncmp(pending->actor, call->actor, length) == 0 &&
	       (pending->actor[length] == '/' || pending->actor[length] == '\0');
}

static void show_peers(struct rpc_call *call)
{
	struct service *service = call->ctx;
	const struct node *node = service_node(service);
	const struct store_pending *pending = service_pending(service);
	json_t *peers = json_array();

	if (call->provider != NULL && !verbs_is_theirs(pending, call))
		pending = NULL;

	for (unsigned int i = 0; i < node->peers.count; i++)
		json_array_append_new(peers, json_pack("{s:s, s:s}", "edge", node->peers.item[i].name,
						     "socket", node->peers.item[i].socket));
	rpc_reply(call, json_pack("{s:s, s:I, s:o, s:o, s:o}", "edge", service_edge(service), "revision",
				(json_int_t)service_revision(service), "digest",
				digest_json(service_model(service)), "pending",
				pending != NULL ? pending_json(pending) : json_null(), "peers", peers));
}

// --- successors ------------------------------------------------------------------------------------------

#define RECREATE "circuit.recreate"
#define REPLACE  "circuit.replace"

// What it was called, or what the system has called it.
static const char *successor(const struct rpc_call *call, const json_t *diff)
{
	const char *name = rpc_string(call, "to");
	const json_t *one;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)diff, i, one)
		if (name == NULL && strcmp(json_string_value(json_object_get(one, "op")), "create") == 0 &&
			strcmp(json_string_value(json_object_get(one, "noun")), "circuit") == 0)
			name = json_string_value(json_object_get(one, "name"));
	return name != NULL ? name : "";
}

// Who has to do what now, NULL = nobody.
static json_t *next_step(const struct rpc_call *call, const struct service_result *result)
{
	bool recreated = strcmp(call->method->name, RECREATE) == 0;

	if (!recreated && strcmp(call->method->name, REPLACE) != 0)
		return NULL;
	const char *old = rpc_string(call, "name");
	const struct circuit *from = model_circuit(result->new, old);
	if (recreated) {
		const struct circuit *to =
			model_circuit(result->new, successor(call, result->diff));
		if (to == NULL)
			return NULL;
		if (circuit_is_provisioned(to))
			return json_sprintf("the customer's router takes up its new sessions (culvertctl circuit "
					    "check %s), then: culvertctl circuit replace %s %s",
				to->name, old, to->name);
		return json_sprintf("give %s the key %s; when it is provisioned its peerings come by: "
				    "culvertctl circuit recreate %s --name %s",
			to->provider, to->service_key, old, to->name);
	}
	if (from == NULL)
		return NULL;
	return json_sprintf("circuit %s is %s at provider %s and stays until it has let go of it: "
			    "culvertctl cross-connection deprovision %s, then culvertctl circuit delete %s",
		old, circuit_provider_state(from), from->provider, from->service_key, old);
}

json_t *verbs_answer(const struct service_result *result)
{
	json_t *answer = json_pack("{s:I, s:b, s:[]}", "revision", (json_int_t)result->revision,
		"changed", result->changed, "diff");

	if (result->pending != NULL)
		json_object_set_new(answer, "pending", pending_json(result->pending));
	if (result->new != NULL)
		json_object_set_new(answer, "digest", digest_json(result->new));
	return answer;
}

json_t *verbs_refused(const struct api_error *error)
{
	return json_pack("{s:s, s:s, s:s}", "code", api_code_name(error->code), "message",
		error->message, "hint", error->hint);
}

// What a difference, a rule or a whole model says is of others, too.
static void settled_by_provider(struct rpc_call *call, const struct service_result *result)
{
	struct api_error error;

	if (result->error.code == API_NONE) {
		rpc_reply(call, verbs_answer(result));
		return;
	}
	api_fail(&error, result->error.code, "culvertctl cross-connection list",
		"%s cannot be done now", call->method->name);
	rpc_fail(call, &error);
}

void verbs_changed(void *ctx, const struct service_result *result)
{
	struct rpc_call *call = ctx;

	if (call->provider != NULL) {
		settled_by_provider(call, result);
		return;
	}
	if (result->error.code != API_NONE) {
		rpc_fail_details(call, &result->error, json_incref(result->errors));
		return;
	}
	json_t *answer = verbs_answer(result);
	if (result->diff != NULL)
		json_object_set(answer, "diff", result->diff);
	if (result->guard != NULL)
		json_object_set_new(answer, "refused", verbs_refused(result->guard));
	json_t *next = result->new != NULL ? next_step(call, result) : NULL;
	if (next != NULL)
		json_object_set_new(answer, "next", next);
	bool expand = rpc_boolean(call, "expand", false) && result->new != NULL;
	bool whole = strncmp(call->method->name, "config.", 7) == 0;
	if (expand && !whole)
		json_object_set_new(answer, "changes", expanded(result->old, result->new));
	if (expand && whole)
		reply_export(call, answer, result->new);
	else
		rpc_reply(call, answer);
}

#define PROVIDER_CONFIRM_NS UINT64_C(60000000000)
static const struct field confirm_field = {.name = "confirm",
	.kind = FIELD_DURATION,
	.min = INT64_C(5000000000),
	.max = INT64_C(86400000000000)};

static bool has_peer(const struct rpc_call *call, const char *name)
{
	const struct node *node = service_node(call->ctx);

	for (unsigned int i = 0; i < node->peers.count; i++)
		if (strcmp(node->peers.item[i].name, name) == 0)
			return true;
	return false;
}

// False: the call has been answered.
bool verbs_change_of(struct rpc_call *call, struct service_change *change)
{
	const char *confirm = rpc_string(call, "confirm");
	char wrong[FIELD_ERROR_MAX];
	struct api_error error;
	uint64_t ns = 0;

	if (confirm != NULL && field_parse(&confirm_field, confirm, &ns, wrong) != 0) {
		api_fail(&error, API_USAGE, "such as 30s, 10m, 2h", "confirm \"%.32s\" %s", confirm,
			wrong);
		rpc_fail(call, &error);
		return false;
	}
	// Meanwhile nobody else changes anything.
	if (call->provider != NULL && ns > PROVIDER_CONFIRM_NS) {
		api_fail(&error, API_DENIED, "confirm: 1m at most, for a change of several edges",
			"provider \"%s\" cannot keep others waiting for %s", call->provider, confirm);
		rpc_fail(call, &error);
		return false;
	}
	const json_t *decider = json_object_get(call->params, "decider");
	const char *edge = json_string_value(json_object_get(decider, "edge"));
	if (decider != NULL && (confirm == NULL || edge == NULL ||
				       !json_is_integer(json_object_get(decider, "revision")))) {
		api_fail(&error, API_USAGE, NULL,
			"\"decider\" is {edge, revision}, of a change with \"confirm\"");
		rpc_fail(call, &error);
		return false;
	}
	if (edge != NULL && !has_peer(call, edge)) {
		char hint[160];
		snprintf(hint, sizeof(hint), "peers: {%.64s: {socket: PATH}} there, then restart culvertd",
			edge);
		api_fail(&error, API_REFUSED, hint,
			"edge \"%.64s\", which the change comes from, is no peer in the node file of %s", edge,
			service_edge(call->ctx));
		rpc_fail(call, &error);
		return false;
	}
	*change = (struct service_change){
		.actor = call->actor,
		.verb = call->method->name,
		.has_if_revision = rpc_has(call, "if_revision"),
		.if_revision = (uint64_t)rpc_integer(call, "if_revision", 0),
		.check = rpc_boolean(call, "check", false),
		.many_deletes = rpc_boolean(call, "delete", false),
		.confirm_ms = ns / 1000000,
		.decider = edge,
		.decided = (uint64_t)json_integer_value(json_object_get(decider, "revision")),
		.secrets = json_object_get(call->params, "secrets"),
	};
	return true;
}

// {file: PATH} makes the daemon read a file with its own rights, which is not for everybody to ask.
static int check_secrets(const struct rpc_call *call, const struct noun *noun, json_t *fields,
	struct api_error *error)
{
	const char *name;
	json_t *value;

	json_object_foreach (fields, name, value) {
		const struct field *field = field_find(&noun->fields, name);

		if (field != NULL && field->kind == FIELD_SECRET && call->role < RPC_ADMIN &&
			json_object_get(value, "file") != NULL)
			return api_fail(error, API_DENIED, "pass {\"value\": TEXT}",
				"%s {file: ..} is read by culvertd, which needs the role admin",
				name);
	}
	return 0;
}

static void change_object(struct rpc_call *call, const char *op)
{
	const struct noun *noun = noun_of(call);
	json_t *fields = json_object_get(call->params, "fields"), *changes;
	struct service_change change;
	struct api_error error;
	char full[OBJECT_NAME_MAX];

	if (!verbs_change_of(call, &change))
		return;
	if (check_secrets(call, noun, fields, &error) < 0) {
		rpc_fail(call, &error);
		return;
	}
	changes = json_pack("[{s:s, s:s, s:s}]", "op", op, "noun", noun->name, "name",
		name_of(call, noun, full));
	if (fields != NULL)
		json_object_set(json_array_get(changes, 0), "fields", fields);
	static const char *const passed[] = {"to", "links", "peerings"};
	for (unsigned int i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		if (rpc_has(call, passed[i]))
			json_object_set(json_array_get(changes, 0), passed[i],
				json_object_get(call->params, passed[i]));
	change.changes = changes;
	service_change(call->ctx, &change, verbs_changed, call);
	json_decref(changes);
}

static void create_object(struct rpc_call *call)
{
	change_object(call, "create");
}

// The same sentence for a wrong name everywhere, near names included.
static bool exists(struct rpc_call *call)
{
	const struct model *model = service_model(call->ctx);
	const struct noun *noun = noun_of(call);
	char full[OBJECT_NAME_MAX];
	const char *name = name_of(call, noun, full);
	struct api_error error;

	if (model_find(model, noun->id, name) != NULL)
		return true;
	no_such_object(model, noun, name, &error);
	rpc_fail(call, &error);
	return false;
}

static void set_object(struct rpc_call *call)
{
	if (exists(call))
		change_object(call, "set");
}

static void ensure_object(struct rpc_call *call)
{
	change_object(call, "ensure");
}

static void rename_object(struct rpc_call *call)
{
	if (exists(call))
		change_object(call, "rename");
}

static void recreate_circuit(struct rpc_call *call)
{
	if (exists(call))
		change_object(call, "recreate");
}

// The old one is kept until the new one is up.
static void replace_circuit(struct rpc_call *call)
{
	const char *old = rpc_string(call, "name"), *new = rpc_string(call, "to");
	struct api_error error;
	char hint[256];

	if (!exists(call))
		return;
	if (service_established(call->ctx, old) > 0 && service_established(call->ctx, new) == 0 &&
		model_circuit(service_model(call->ctx), new) != NULL &&
		!rpc_boolean(call, "delete", false)) {
		snprintf(hint, sizeof(hint), "culvertctl circuit check %.64s; --delete if it is meant", new);
		api_fail(&error, API_REFUSED, hint,
			"circuit \"%.64s\" has a BGP session and circuit \"%.64s\" has none on this edge: "
			"its traffic would stop",
			old, new);
		rpc_fail(call, &error);
		return;
	}
	change_object(call, "replace");
}

static void delete_object(struct rpc_call *call)
{
	if (exists(call))
		change_object(call, "delete");
}

// Several objects in one revision.
static void change_model(struct rpc_call *call)
{
	struct service_change change;
	json_t *changes = json_object_get(call->params, "changes"), *one;
	struct api_error error;
	size_t i;

	if (!verbs_change_of(call, &change))
		return;
	json_array_foreach (changes, i, one) {
		const char *name = json_string_value(json_object_get(one, "noun"));
		const struct noun *noun = name == NULL ? NULL : noun_find(name);

		// What else can be wrong with it the model says.
		if (noun != NULL &&
			check_secrets(call, noun, json_object_get(one, "fields"), &error) < 0) {
			rpc_fail(call, &error);
			return;
		}
	}
	change.changes = changes;
	service_change(call->ctx, &change, verbs_changed, call);
}

// --- tables --------------------------------------------------------------------------------------------

// clang-format off
#define NAME   {"name", RPC_STRING, true, "full name of the object"}
#define FIELDS {"fields", RPC_OBJECT, false, "fields as in YAML, null = back to the default"}

// Of every noun; "%s" is its name.
static const struct rpc_method noun_methods[] = {
	{.name = "%s.list", .role = RPC_VIEWER, .handler = list_objects,
		.help = "the %s objects as configured, by name",
		.params = {{"filter", RPC_OBJECT, false, "field: value, each has to match"}, RPC_PAGING}},
	{.name = "%s.show", .role = RPC_VIEWER, .handler = show_object,
		.help = "one %s as configured", .params = {NAME}},
	{.name = "%s.create", .role = RPC_OPERATOR, .handler = create_object,
		.help = "make a new %s", .params = {NAME, FIELDS, RPC_WRITING}},
	{.name = "%s.set", .role = RPC_OPERATOR, .handler = set_object,
		.help = "change fields of a %s", .params = {NAME, FIELDS, RPC_WRITING}},
	{.name = "%s.ensure", .role = RPC_OPERATOR, .handler = ensure_object,
		.help = "make a new %s, or change fields of the one there is",
		.params = {NAME, FIELDS, RPC_WRITING}},
	{.name = "%s.delete", .role = RPC_OPERATOR, .handler = delete_object,
		.help = "delete a %s", .params = {NAME, RPC_WRITING}},
	{.name = "%s.rename", .role = RPC_OPERATOR, .handler = rename_object,
		.help = "give a %s another name, traffic goes on", .params = {NAME,
		{"to", RPC_STRING, true, "its new name"}, RPC_WRITING}},
};
#define NOUN_METHODS (sizeof(noun_methods) / sizeof(noun_methods[0]))

static const struct rpc_method methods[] = {
	{.name = RECREATE, .role = RPC_OPERATOR, .handler = recreate_circuit,
		.help = "make a successor beside a circuit, with other fields, tags, subnets and key",
		.params = {NAME, FIELDS, {"to", RPC_STRING, false, "its name; NAME-r2 when not given"},
			{"links", RPC_OBJECT, false, "{role: fields} of its links that are to be otherwise"},
			{"peerings", RPC_OBJECT, false, "{type: fields}, likewise"}, RPC_WRITING}},
	{.name = REPLACE, .role = RPC_OPERATOR, .handler = replace_circuit,
		.help = "move a circuit's connections to another one, and end it",
		.params = {NAME, {"to", RPC_STRING, true, "the circuit that takes its place"}, RPC_WRITING}},
	{.name = API_MODEL_CHANGE, .role = RPC_OPERATOR, .handler = change_model,
		.help = "several changes in one revision, all or nothing",
		.params = {{"changes", RPC_ARRAY, true, "[{op, noun, name, fields, to}..]"}, RPC_WRITING}},
	{.name = API_EDGE_PEERS, .role = RPC_VIEWER, .scoped = true, .handler = show_peers,
		.help = "the other edges of the node file, and what the model is here"},
	{0},
};
// clang-format on

#define EVENT_OBJECTS 100 // named in one event; "changed" counts all

static void model_changed(void *ctx, uint64_t revision, const json_t *diff)
{
	static const char *const members[] = {"op", "noun", "name", "was"};
	json_t *objects = json_array();

	for (size_t i = 0; i < json_array_size(diff) && i < EVENT_OBJECTS; i++) {
		const json_t *item = json_array_get(diff, i);
		json_t *object = json_object();
		for (unsigned int m = 0; m < 4; m++)
			json_object_set(object, members[m], json_object_get(item, members[m]));
		json_array_append_new(objects, object);
	}
	rpc_event(ctx, "model",
		json_pack("{s:I, s:I, s:o}", "revision", (json_int_t)revision, "changed",
			(json_int_t)json_array_size(diff), "objects", objects));
}

static void pending_changed(void *ctx, const char *state, const struct store_pending *pending)
{
	json_t *data = pending_json(pending);

	json_object_set_new(data, "state", json_string(state));
	rpc_event(ctx, "pending", data);
}

// The verbs of all nouns; the table and its texts belong to the process.
static const struct rpc_method *methods_of_nouns(void)
{
	static struct rpc_method made[NOUNS * NOUN_METHODS + 1];
	static struct {
		char name[48], help[80];
	} text[NOUNS * NOUN_METHODS];

	for (unsigned int i = 0; i < NOUNS * NOUN_METHODS; i++) {
		const struct rpc_method *method = &noun_methods[i % NOUN_METHODS];
		const char *noun = nouns[i / NOUN_METHODS]->name;

		made[i] = *method;
		snprintf(text[i].name, sizeof(text[i].name), "%s%s", noun, method->name + 2);
		const char *at = strstr(method->help, "%s");
		snprintf(text[i].help, sizeof(text[i].help), "%.*s%s%s", (int)(at - method->help),
			method->help, noun, at + 2);
		made[i].name = text[i].name;
		made[i].help = text[i].help;
	}
	return made;
}

int rpc_verbs_add(struct rpc_server *server, struct service *service, struct api_error *error)
{
	json_t *description = schema_describe();
	int ret = rpc_server_add(server, methods_of_nouns(), service);

	if (ret == 0)
		ret = rpc_server_add(server, methods, service);
	if (ret == 0)
		ret = rpc_server_add(server, config_methods, service);
	if (ret == 0)
		ret = rpc_server_add(server, list_methods, service);
	if (ret == 0)
		ret = rpc_server_add(server, cross_methods, service);
	if (ret == 0)
		ret = service_watch(service, model_changed, server);
	service_watch_pending(service, pending_changed, server);
	if (ret < 0) {
		json_decref(description);
		return api_fail(error, API_INTERNAL, NULL,
			"the control socket's methods cannot be added: %s", strerror(-ret));
	}
	rpc_server_describe(server, json_pack("{s:o}", "nouns", description));
	return 0;
}
