// SPDX-License-Identifier: BSD-3-Clause
// The audit says who changed what, also of what was refused; it and the history are bounded, and what deleted objects
// counted last is kept.

#include "tests/unit/store/base.h"

static void test_audit(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	assert_int_equal(store_audit(store, "uid:1000", "acme", "circuit.delete",
				 "circuit acme-ams-01", "denied"),
		0);
	const struct store_filter ten = {.limit = 10};
	json_t *list = store_audit_list(store, &ten);
	assert_int_equal(json_array_size(list), 2);
	const json_t *newest = json_array_get(list, 0);
	assert_memory_equal(json_string_value(json_object_get(newest, "actor")), "uid:1000", 8);
	assert_string_equal(json_string_value(json_object_get(newest, "on_behalf")), "acme");
	assert_string_equal(json_string_value(json_object_get(newest, "result")), "denied");
	const json_t *oldest = json_array_get(list, 1);
	assert_string_equal(
		json_string_value(json_object_get(oldest, "object")), "edge ams1 and 18 more");
	assert_int_equal(json_integer_value(json_object_get(oldest, "revision")), 1);
	json_decref(list);
	list = store_history(store, &ten);
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(list, 0), "objects")), 19);
	json_decref(list);
	store_close(store);
	drop(&s);
}

// Rows of the audit that the filter lets through.
static size_t audited(struct store *store, const char *object, const char *actor, int64_t since)
{
	const struct store_filter filter = {
		.limit = 1000, .object = object, .actor = actor, .since = since};
	json_t *list = store_audit_list(store, &filter);
	size_t count = json_array_size(list);

	json_decref(list);
	return count;
}

static const char *of_newest(struct store *store, json_t **list, const char *key)
{
	json_decref(*list);
	*list = store_audit_list(store, &(struct store_filter){.limit = 1});
	const json_t *change =
		json_array_get(json_object_get(json_array_get(*list, 0), "changes"), 0);
	const json_t *field = json_array_get(json_object_get(change, "fields"), 0);
	return json_string_value(json_object_get(field, key));
}

static void test_audit_says_what_changed(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);
	json_t *list = NULL;

	commit(store, &s, parse(s.model, base_yaml));
	commit(store, &s, changed(s.model, SET("circuit", "acme-ams-01", "\"bandwidth\":\"1gbps\"")));
	assert_string_equal(of_newest(store, &list, "field"), "bandwidth");
	assert_string_equal(of_newest(store, &list, "from"), "50mbps");
	assert_string_equal(of_newest(store, &list, "to"), "1gbps");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(list, 0), "actor")), "uid:0/root");
	// What was deleted is there with all it had.
	commit(store, &s, changed(s.model, without_link));
	of_newest(store, &list, "");
	const json_t *gone = json_array_get(json_object_get(json_array_get(list, 0), "changes"), 0);
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(gone, "from"), "port")),
		"wan0");
	// A password is not.
	commit(store, &s,
		changed(s.model, SET("peering", "acme-ams-01/private",
					 "\"password\":{\"value\":\"very-s3cret\"}")));
	of_newest(store, &list, "");
	char *text = json_dumps(list, 0);
	assert_null(strstr(text, "very-s3cret"));
	free(text);
	json_decref(list);

	store_audit(store, "uid:65534", NULL, "circuit.set", "circuit acme-ams-01", "denied");
	assert_int_equal(audited(store, NULL, NULL, 0), 5);
	assert_int_equal(audited(store, "acme-ams-01", NULL, 0), 4); // its peering, the file, the denied one
	assert_int_equal(audited(store, "circuit acme-ams-01", NULL, 0), 3);
	assert_int_equal(audited(store, "circuit/acme-ams-01", NULL, 0), 3);
	assert_int_equal(audited(store, "globex-ams-01/primary", NULL, 0), 2);
	assert_int_equal(audited(store, "acme-ams", NULL, 0), 0);
	assert_int_equal(audited(store, NULL, "root", 0), 4);
	assert_int_equal(audited(store, NULL, "uid:65534", 0), 1);
	assert_int_equal(audited(store, NULL, "uid:6553", 0), 0);
	assert_int_equal(audited(store, NULL, NULL, time(NULL) + 100), 0);

	// A part of it, the first of several, and one whose name only begins like it: refused, without changes.
	store_audit(store, "uid:7/ab", NULL, "link.set", "link acme-ams-01/primary", "refused");
	store_audit(store, "uid:7/a_b", NULL, "batch", "circuit acme-ams-01 and 3 more", "refused");
	store_audit(store, "uid:7/axb", NULL, "link.set", "link acme-ams-010/primary", "refused");
	assert_int_equal(audited(store, "acme-ams-01", NULL, 0), 6);
	assert_int_equal(audited(store, "circuit acme-ams-01", NULL, 0), 4);
	assert_int_equal(audited(store, "link acme-ams-01/primary", NULL, 0), 2);
	assert_int_equal(audited(store, NULL, "a_b", 0), 1); // neither a pattern
	assert_int_equal(audited(store, NULL, "Root", 0), 0); // nor another user
	assert_int_equal(audited(store, NULL, "uid:7", 0), 3);
	store_close(store);
	drop(&s);
}

static int64_t count_of(const char *what)
{
	sqlite3 *db;
	sqlite3_stmt *row;
	char text[128];

	snprintf(text, sizeof(text), "SELECT count(*) FROM %s", what);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &row, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	int64_t count = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	sqlite3_close(db);
	return count;
}

// Refusals by the thousand push nothing out that changed the model.
static void test_what_is_kept_is_bounded(void **state)
{
	struct store_options options = {.path = path, .keep_revisions = 10, .keep_audit = 100};
	struct api_error error = {0};
	struct store *store;

	assert_int_equal(store_open(&store, &options, &error), 0);
	struct store_state s = load_store(store);
	commit(store, &s, parse(s.model, base_yaml));
	for (unsigned int i = 0; i < 30; i++)
		commit(store, &s,
			changed(s.model, i % 2 ? SET("circuit", "acme-ams-01", "\"burst\":\"20ms\"")
					       : SET("circuit", "acme-ams-01", "\"burst\":\"30ms\"")));
	for (unsigned int i = 0; i < 1000; i++)
		store_audit(store, "uid:1000", NULL, "circuit.set", "circuit x", "denied");
	store_close(store);
	assert_int_equal(count_of("revisions"), 10);
	// And of what there was before, what the first of these is made of: each object once.
	assert_int_equal(count_of("history WHERE revision > 21"), 10);
	assert_int_equal(count_of("history WHERE revision <= 21"), count_of("objects"));
	assert_true(count_of("audit WHERE changes IS NULL") <= 100 + 256);
	assert_int_equal(count_of("audit WHERE changes IS NOT NULL"), 31);
	store = open_store(0);
	struct store_state again = load_store(store);
	assert_true(again.revision == 31);
	assert_string_equal(again.doubt, "");
	assert_true(model_digest(again.model) == model_digest(s.model));
	store_close(store);
	drop(&s);
	drop(&again);
}

static size_t finals_of(struct store *store, const char *object)
{
	json_t *list = store_finals(store, &(struct store_filter){.limit = 10, .object = object});
	size_t count = json_array_size(list);

	json_decref(list);
	return count;
}

static void test_last_counters(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	struct id limiter = link_id(&s);
	commit(store, &s, changed(s.model, without_link));
	json_t *list = json_pack("[{s:I, s:{s:s, s:i}}, {s:i, s:{s:s}}]", "uid",
		(json_int_t)limiter.uid, "counters", "kind", "limiter", "bytes", 1234, "uid", 77,
		"counters", "kind", "interface");
	assert_int_equal(store_finals_put(store, list), 0);
	assert_int_equal(store_finals_put(store, list), 0); // told twice
	json_decref(list);
	store_close(store);
	store = open_store(0);
	assert_int_equal(finals_of(store, "globex-ams-01"), 1);
	assert_int_equal(finals_of(store, "circuit globex-ams-01"), 1);
	assert_int_equal(finals_of(store, "link/globex-ams-01/primary"), 1);
	assert_int_equal(finals_of(store, "globex-ams-0_"), 0);
	assert_int_equal(finals_of(store, "globex-ams"), 0);
	const struct store_filter filter = {.limit = 10, .object = "globex-ams-01/primary"};
	list = store_finals(store, &filter);
	assert_int_equal(json_array_size(list), 1);
	const json_t *final = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(final, "object")),
		"globex-ams-01/primary/in");
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(final, "counters"), "bytes")),
		1234);
	json_decref(list);
	list = store_finals(store, &(struct store_filter){.limit = 10});
	assert_int_equal(json_array_size(list), 2); // one of them nobody knows by name
	json_decref(list);
	store_close(store);
	drop(&s);
}

// By when they went, whatever their numbers; a page goes on where the one before ended.
static void test_last_counters_are_newest_first(void **state)
{
	static const json_int_t order[] = {20, 10, 40, 30};
	struct store *store = open_store(0);
	json_t *list = json_pack("[{s:i, s:{}}, {s:i, s:{}}, {s:i, s:{}}, {s:i, s:{}}]", "uid", 10,
		"counters", "uid", 20, "counters", "uid", 30, "counters", "uid", 40, "counters");
	uint64_t cursor = 0;
	sqlite3 *db;

	assert_int_equal(store_finals_put(store, list), 0);
	json_decref(list);
	store_close(store);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				 "UPDATE finals SET deleted = CASE uid WHEN 30 THEN 100 WHEN 40 "
				 "THEN 200 ELSE 300 END",
				 NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	store = open_store(0);
	for (size_t i = 0; i < 5; i++) {
		list = store_finals(store, &(struct store_filter){.limit = 1, .before = cursor});
		assert_int_equal(json_array_size(list), i < 4);
		cursor = (uint64_t)json_integer_value(
			json_object_get(json_array_get(list, 0), "id"));
		assert_int_equal(cursor, i < 4 ? order[i] : 0);
		json_decref(list);
	}
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_audit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_audit_says_what_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_kept_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_counters, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_last_counters_are_newest_first, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
