// SPDX-License-Identifier: BSD-3-Clause

// The verbs of the nouns over a real model, by a real client.

#include "tests/unit/rpc/fake_service.h"
#include "tests/unit/rpc/harness.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "control/rpc/verbs.h"
#include "control/service.h"

#include <jansson.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct service *service;
	struct harness *harness;
	struct api_client *client;
};

static void add_verbs(void *ctx, struct rpc_server *server, struct event_base *base)
{
	struct api_error error;

	fake_service_base(ctx, base);
	assert_int_equal(rpc_verbs_add(server, ctx, &error), 0);
}

static int setup_as(void **state, enum rpc_role role)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct rpc_grant grant = {.id = getuid(), .role = role};
	struct api_error error;

	fixture->service = fake_service_create(MODEL);
	fixture->harness = harness_start(&(struct rpc_options){.grants = &grant, .grant_count = 1},
		add_verbs, fixture->service);
	assert_int_equal(
		api_connect(&fixture->client, harness_path(fixture->harness), 10, &error), 0);
	*state = fixture;
	return 0;
}

static int setup(void **state)
{
	return setup_as(state, RPC_ADMIN);
}

static int setup_operator(void **state)
{
	return setup_as(state, RPC_OPERATOR);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	api_disconnect(fixture->client);
	harness_stop(fixture->harness);
	fake_service_destroy(fixture->service);
	free(fixture);
	return 0;
}

// params stolen; the result is a new reference.
static json_t *call(struct fixture *fixture, const char *method, json_t *params)
{
	struct api_error error;
	json_t *result = NULL;

	if (api_call(fixture->client, method, params, &result, &error, NULL) < 0)
		fail_msg("%s: %s", method, error.message);
	return result;
}

static void refused(struct fixture *fixture, const char *method, json_t *params, enum api_code code,
	const char *message)
{
	struct api_error error = {0};

	assert_int_not_equal(api_call(fixture->client, method, params, NULL, &error, NULL), 0);
	assert_int_equal(error.code, code);
	if (strstr(error.message, message) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error.message, message);
}

static const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "" : text;
}

static void test_list(void **state)
{
	struct fixture *fixture = *state;
	json_t *result = call(fixture, "circuit.list", json_pack("{s:i}", "limit", 1)), *items;

	items = json_object_get(result, "items");
	assert_int_equal(json_array_size(items), 1);
	assert_string_equal(text_at(json_array_get(items, 0), "full_name"), "acme-ams-01");
	assert_string_equal(text_at(json_array_get(items, 0), "bandwidth"), "50mbps");
	assert_string_equal(text_at(result, "next"), "acme-ams-01");
	json_decref(result);
	result = call(fixture, "circuit.list",
		json_pack("{s:i, s:s}", "limit", 1, "cursor", "acme-ams-01"));
	items = json_object_get(result, "items");
	assert_string_equal(text_at(json_array_get(items, 0), "full_name"), "globex-ams-1");
	assert_true(json_is_null(json_object_get(result, "next")));
	json_decref(result);
	// A cursor whose object is gone goes on behind it.
	result = call(fixture, "circuit.list", json_pack("{s:s}", "cursor", "b"));
	assert_int_equal(json_array_size(json_object_get(result, "items")), 1);
	json_decref(result);
}

static void test_filter(void **state)
{
	struct fixture *fixture = *state;
	json_t *result = call(
		fixture, "circuit.list", json_pack("{s:{s:s}}", "filter", "customer", "globex"));

	assert_int_equal(json_array_size(json_object_get(result, "items")), 1);
	json_decref(result);
	refused(fixture, "circuit.list", json_pack("{s:{s:s}}", "filter", "colour", "red"),
		API_USAGE, "cannot be listed by \"colour\"");
	refused(fixture, "circuit.list", json_pack("{s:{s:i}}", "filter", "customer", 1), API_USAGE,
		"has to be a string");
	refused(fixture, "circuit.list", json_pack("{s:i}", "limit", -1), API_USAGE,
		"\"limit\" of circuit.list has to be an integer, 0 or more");
	refused(fixture, "circuit.delete",
		json_pack("{s:s, s:i}", "name", "acme-ams-01", "if_revision", -1), API_USAGE,
		"\"if_revision\" of circuit.delete has to be an integer, 0 or more");
}

static void test_show(void **state)
{
	struct fixture *fixture = *state;
	json_t *result = call(fixture, "port.show", json_pack("{s:s}", "name", "ams1/core0"));

	assert_string_equal(text_at(json_object_get(result, "object"), "address"), "192.0.2.1/25");
	assert_int_equal(json_integer_value(json_object_get(result, "revision")), 7);
	json_decref(result);
	refused(fixture, "circuit.show", json_pack("{s:s}", "name", "acme"), API_NOT_FOUND,
		"no circuit named \"acme\" (did you mean \"acme-ams-01\"?)");
}

static void test_change(void **state)
{
	struct fixture *fixture = *state;
	struct api_error error;
	json_t *result, *event, *first;

	json_decref(call(fixture, API_SUBSCRIBE, NULL));
	result = call(fixture, "circuit.set",
		json_pack("{s:s, s:{s:s}, s:b}", "name", "acme-ams-01", "fields", "bandwidth",
			"100mbps", "check", true));
	assert_true(json_is_false(json_object_get(result, "changed")));
	first = json_array_get(json_object_get(result, "diff"), 0);
	assert_string_equal(text_at(first, "text"),
		"~ circuit acme-ams-01 bandwidth 50mbps -> 100mbps (hitless)");
	json_decref(result);
	result = call(fixture, "circuit.set",
		json_pack("{s:s, s:{s:s}, s:i}", "name", "acme-ams-01", "fields", "bandwidth",
			"100mbps", "if_revision", 7));
	assert_true(json_is_true(json_object_get(result, "changed")));
	assert_int_equal(json_integer_value(json_object_get(result, "revision")), 8);
	json_decref(result);
	assert_int_equal(api_event(fixture->client, 10000, &event, &error), 0);
	assert_string_equal(text_at(event, "topic"), "model");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(event, "data"), "revision")), 8);
	// It says what was changed, so that nobody need ask for everything again.
	first = json_array_get(json_object_get(json_object_get(event, "data"), "objects"), 0);
	assert_string_equal(text_at(first, "op"), "set");
	assert_string_equal(text_at(first, "noun"), "circuit");
	assert_string_equal(text_at(first, "name"), "acme-ams-01");
	json_decref(event);
	refused(fixture, "circuit.set",
		json_pack("{s:s, s:{s:s}, s:i}", "name", "acme-ams-01", "fields", "bandwidth",
			"200mbps", "if_revision", 7),
		API_CONFLICT, "revision 8");
	refused(fixture, "circuit.set",
		json_pack("{s:s, s:{s:s}}", "name", "acme-ams-1", "fields", "bandwidth", "200mbps"),
		API_NOT_FOUND, "no circuit named");
}

static void test_create_and_delete(void **state)
{
	struct fixture *fixture = *state;
	json_t *result;

	result = call(fixture, "customer.create", json_pack("{s:s}", "name", "initech"));
	assert_true(json_is_true(json_object_get(result, "changed")));
	json_decref(result);
	refused(fixture, "customer.create", json_pack("{s:s}", "name", "initech"), API_REFUSED,
		"initech");
	json_decref(call(fixture, "customer.delete", json_pack("{s:s}", "name", "initech")));
	refused(fixture, "customer.delete", json_pack("{s:s}", "name", "acme"), API_REFUSED,
		"refers to it");
	refused(fixture, "circuit.create",
		json_pack("{s:s, s:{s:s, s:s}}", "name", "new", "fields", "customer", "acme",
			"bandwith", "50mbps"),
		API_INVALID, "bandwith");
}

static json_t *several(const char *vnet_prefix)
{
	return json_pack("{s:[{s:s,s:s,s:s},{s:s,s:s,s:s,s:{s:s,s:[s]}}]}", "changes", "op",
		"ensure", "noun", "customer", "name", "initech", "op", "create", "noun", "vnet",
		"name", "initech-lab", "fields", "customer", "initech", "prefixes", vnet_prefix);
}

// Several objects are one revision, or none of them is there.
static void test_several_at_once(void **state)
{
	struct fixture *fixture = *state;
	uint64_t before = service_revision(fixture->service);

	refused(fixture, API_MODEL_CHANGE, several("0.0.0.0/0"), API_REFUSED, "cannot be a vNet's");
	refused(fixture, "customer.show", json_pack("{s:s}", "name", "initech"), API_NOT_FOUND,
		"initech");
	json_decref(call(fixture, API_MODEL_CHANGE, several("10.50.0.0/16")));
	assert_true(service_revision(fixture->service) == before + 1);
	json_decref(call(fixture, "vnet.show", json_pack("{s:s}", "name", "initech-lab")));
	json_decref(call(fixture, "customer.ensure", json_pack("{s:s}", "name", "initech")));
	assert_true(service_revision(fixture->service) == before + 1);
	refused(fixture, API_MODEL_CHANGE, json_pack("{s:[i]}", "changes", 7), API_INVALID, "op");
}

static void test_config(void **state)
{
	struct fixture *fixture = *state;
	struct api_error error;
	json_t *result, *details;
	const char *yaml;

	result = call(fixture, API_CONFIG_SHOW, NULL);
	yaml = text_at(result, "yaml");
	// What is shown is valid input and changes nothing.
	assert_int_equal(api_call_file(fixture->client, API_CONFIG_APPLY, NULL, yaml, strlen(yaml),
				 &details, &error, NULL),
		0);
	assert_true(json_is_false(json_object_get(details, "changed")));
	assert_int_equal(json_array_size(json_object_get(details, "diff")), 0);
	json_decref(details);
	json_decref(result);
	assert_int_not_equal(
		api_call(fixture->client, API_CONFIG_CHECK,
			json_pack("{s:s}", "text",
				"version: 1\ncustomers:\n  - name: a\n    colour: red\n"),
			NULL, &error, &details),
		0);
	assert_int_equal(error.code, API_INVALID);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(details, 0), "line")), 4);
	json_decref(details);
	refused(fixture, API_CONFIG_APPLY, NULL, API_USAGE, "needs \"file\" or \"text\"");
}

static void test_lists_of_the_store(void **state)
{
	struct fixture *fixture = *state;
	struct api_error error;
	json_t *result;

	assert_int_equal(api_call_list(fixture->client, API_AUDIT_LIST,
				 json_pack("{s:i}", "limit", 50), &result, &error),
		0);
	assert_int_equal(json_array_size(json_object_get(result, "items")), 120);
	json_decref(result);
	assert_int_equal(api_call_list(fixture->client, API_CONFIG_HISTORY,
				 json_pack("{s:i}", "limit", 40), &result, &error),
		0);
	assert_int_equal(json_array_size(json_object_get(result, "items")), 120);
	json_decref(result);
	static const char *const wrong[] = {"", "x", "-1", " 5", "5x"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		refused(fixture, "audit.list", json_pack("{s:s}", "cursor", wrong[i]), API_USAGE,
			"is not a cursor");
		refused(fixture, "config.history", json_pack("{s:s}", "cursor", wrong[i]),
			API_USAGE, "is not a cursor");
	}
}

static void test_operator(void **state)
{
	struct fixture *fixture = *state;

	refused(fixture, API_CONFIG_APPLY, json_pack("{s:s}", "text", "x"), API_DENIED, "admin");
	json_decref(call(fixture, "customer.create", json_pack("{s:s}", "name", "initech")));
	refused(fixture, "peering.set",
		json_pack("{s:s, s:{s:{s:s}}}", "name", "acme-ams-01/private", "fields", "password",
			"file", "/etc/shadow"),
		API_DENIED, "read by culvertd");
	refused(fixture, API_MODEL_CHANGE,
		json_pack("{s:[{s:s,s:s,s:s,s:{s:{s:s}}}]}", "changes", "op", "set", "noun",
			"peering", "name", "acme-ams-01/private", "fields", "password", "file",
			"/etc/shadow"),
		API_DENIED, "read by culvertd");
}

static void test_describe(void **state)
{
	struct fixture *fixture = *state;
	json_t *result = call(fixture, API_DESCRIBE, NULL);
	json_t *circuit = json_object_get(json_object_get(result, "nouns"), "circuit");

	assert_true(json_array_size(json_object_get(circuit, "fields")) > 3);
	json_decref(result);
}

// What another edge has to be told, with what was made up here.
static void test_for_another_edge(void **state)
{
	struct fixture *fixture = *state;
	json_t *result = call(fixture, "edge.peers", NULL);
	char *digest = strdup(text_at(result, "digest"));

	assert_int_equal(strlen(digest), 16);
	assert_int_equal(json_array_size(json_object_get(result, "peers")), 0);
	json_decref(result);
	result = call(fixture, "circuit.create", json_pack("{s:s, s:{s:s, s:s}, s:b, s:b}", "name", "acme-ams-09",
		"fields", "customer", "acme", "bandwidth", "50mbps", "expand", 1, "check", 1));
	json_t *changes = json_object_get(result, "changes"), *change = json_array_get(changes, 0);
	assert_int_equal(json_array_size(changes), 1);
	assert_string_equal(text_at(change, "op"), "create");
	assert_int_equal(strlen(text_at(json_object_get(change, "fields"), "service-key")), 36);
	assert_string_not_equal(text_at(result, "digest"), digest);
	json_decref(call(fixture, "model.change", json_pack("{s:O}", "changes", changes)));
	json_t *after = call(fixture, "edge.peers", NULL);
	assert_string_equal(text_at(after, "digest"), text_at(result, "digest"));
	json_decref(after);
	json_decref(result);
	free(digest);
	refused(fixture, "circuit.set", json_pack("{s:s, s:{}, s:{s:s, s:i}}", "name", "acme-ams-01", "fields",
		"decider", "edge", "ams2", "revision", 1), API_USAGE, "with \"confirm\"");
	refused(fixture, "circuit.set", json_pack("{s:s, s:{}, s:s, s:{s:s, s:i}}", "name", "acme-ams-01", "fields",
		"confirm", "30s", "decider", "edge", "ams2", "revision", 1), API_REFUSED, "is no peer in the node file of ams1");
	result = call(fixture, "config.apply", json_pack("{s:s, s:b, s:b}", "text", "version: 1\n", "check", 1, "expand", 1));
	assert_non_null(strstr(text_at(result, "yaml"), "version: 1"));
	assert_true(json_is_object(json_object_get(result, "secrets")));
	json_decref(result);
}

static void test_confirm(void **state)
{
	struct fixture *fixture = *state;

	refused(fixture, "circuit.set", json_pack("{s:s, s:{}, s:s}", "name", "acme-ams-01", "fields", "confirm", "30"),
		API_USAGE, "confirm \"30\" needs a unit");
	refused(fixture, "circuit.set", json_pack("{s:s, s:{}, s:s}", "name", "acme-ams-01", "fields", "confirm", "1s"),
		API_USAGE, "5s..24h");
	refused(fixture, "config.apply", json_pack("{s:s, s:s}", "text", "version: 1\n", "confirm", "25h"),
		API_USAGE, "5s..24h");
	json_decref(call(fixture, "circuit.set",
		json_pack("{s:s, s:{}, s:s}", "name", "acme-ams-01", "fields", "confirm", "24h")));
	refused(fixture, "config.confirm", json_object(), API_NOT_FOUND, "no revision waits");
	refused(fixture, "config.rollback", json_pack("{s:i}", "revision", 3), API_NOT_FOUND, "no such revision");
	refused(fixture, "config.rollback", json_object(), API_NOT_FOUND, "no revision");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_for_another_edge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_confirm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_show, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_and_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists_of_the_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_operator, setup_operator, teardown),
		cmocka_unit_test_setup_teardown(test_describe, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
