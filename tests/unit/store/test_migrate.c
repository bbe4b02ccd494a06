// SPDX-License-Identifier: BSD-3-Clause
// A store that an older version wrote: all that was in it is there, under the same ids, and it goes on from there.

#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/customer.h"
#include "control/model/port.h"
#include "control/store/store_internal.h"
#include "tests/unit/store/old.h"

static sqlite3_stmt *rows_of(sqlite3 *db, const char *text)
{
	sqlite3_stmt *row = NULL;

	if (sqlite3_prepare_v2(db, text, -1, &row, NULL))
		fail_msg("%s", sqlite3_errmsg(db));
	return row;
}

static const char *text_of(sqlite3_stmt *row, int column)
{
	return (const char *)sqlite3_column_text(row, column);
}

static void same_fields(const struct model *model, const char *noun, const char *name, const char *text)
{
	const struct object *object = model_find(model, noun_find(noun)->id, name);
	json_t *was = json_loads(text, 0, NULL), *is = object ? object_json(object) : NULL, *value;
	const char *field;

	if (!object)
		fail_msg("%s %s is not there", noun, name);
	json_object_foreach (was, field, value) {
		// told elsewhere since
		if (!strcmp(field, "capacity") || !strcmp(field, "owner") ||
			!strcmp(field, "provider") || !strcmp(field, "location"))
			continue;
		if (!json_equal(value, json_object_get(is, field)))
			fail_msg("%s of %s %s is another", field, noun, name);
	}
	json_decref(was);
	json_decref(is);
}

// All of `copy`, the old file, is in the state.
static void all_is_there(const char *copy, const struct store_state *s)
{
	unsigned int objects = 0, ids = 0, gone = 0, total = 0;
	sqlite3 *db;
	sqlite3_stmt *row;

	assert_int_equal(sqlite3_open_v2(copy, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	row = rows_of(db, "SELECT noun, name, json FROM objects");
	for (; sqlite3_step(row) == SQLITE_ROW; objects++)
		same_fields(s->model, text_of(row, 0), text_of(row, 1), text_of(row, 2));
	sqlite3_finalize(row);
	row = rows_of(db, "SELECT class, id, uid, key FROM ids");
	while (sqlite3_step(row) == SQLITE_ROW) {
		enum id_class class = (enum id_class)sqlite3_column_int(row, 0);
		uint32_t number = (uint32_t)sqlite3_column_int64(row, 1);
		struct id id;
		if (sqlite3_column_type(row, 3) == SQLITE_NULL) {
			assert_true(ids_gone(s->ids, class, number));
			gone++;
			continue;
		}
		if (!ids_get(s->ids, class, text_of(row, 3), &id))
			fail_msg("no id for %s", text_of(row, 3));
		assert_int_equal(id.id, number);
		assert_true(id.uid == (uint64_t)sqlite3_column_int64(row, 2));
		ids++;
	}
	sqlite3_finalize(row);
	sqlite3_close(db);
	for (unsigned int noun = 0; noun < NOUNS; noun++)
		total += model_count(s->model, noun);
	assert_true(total >= objects && objects == 29 && ids == 39 && gone == 11);
}

static void history_is_there(struct store *store)
{
	const struct store_filter all = {.limit = 100};
	json_t *list = store_history(store, &all), *audit = store_audit_list(store, &all);

	assert_int_equal(json_array_size(list), 10);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 7), "verb")),
		"circuit.delete");
	assert_int_equal(json_array_size(audit), 12);
	assert_string_equal(json_string_value(json_object_get(json_array_get(audit, 11), "object")),
		"edge ams1 and 31 more");
	json_decref(list);
	json_decref(audit);
	sqlite3_stmt *row = query(store,
		"SELECT json FROM history WHERE revision = 1 AND noun = 'circuit' AND name = 'globex-gone'", "");
	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	json_t *circuit = json_loads(column_text(row, 0), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(circuit, "bandwidth")), "200mbps");
	json_decref(circuit);
	finish(row);
}

static void test_schema_1(void **state)
{
	struct findings findings = {0};
	struct api_error error = {0};
	struct store_state s, after;
	struct stat status;
	char copy[320];

	old_store();
	struct store *store = open_store(UINT32_MAX); // the numbers stay in quarantine whatever the clock says
	assert_int_equal(store_load(store, &s, &findings, &error), 0);
	assert_string_equal(s.doubt, "");
	assert_false(s.reads_otherwise);
	assert_int_equal(s.migrated_from, 1);
	assert_true(s.revision == 10);
	// What a rule of today says against it is listed, no more.
	assert_int_equal(findings.count, 2);
	assert_string_equal(findings.item[0].rule, "link-mtu-ipv6");
	assert_string_equal(findings.item[0].path, "peering acme-ams-02/private: primary-subnet");
	assert_string_equal(findings.item[1].rule, "prefixes-unicast");
	assert_string_equal(findings.item[1].path, "vnet initech-odd: prefixes");
	snprintf(copy, sizeof(copy), "%s.schema-1", path);
	assert_int_equal(stat(copy, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	all_is_there(copy, &s);
	history_is_there(store);
	assert_string_equal(model_peering(s.model, "acme-ams-01/private")->password.text, "correct-horse-0");
	// What was free text, or a figure, is told elsewhere.
	const struct circuit *circuit = model_circuit(s.model, "acme-ams-01");
	assert_string_equal(
		circuit->description, "provider: Provider One, location: Amsterdam, Science Park 610");
	assert_true(!circuit->provider && !circuit->location && circuit_is_provisioned(circuit));
	assert_string_equal(model_customer(s.model, "acme")->description, "Acme Corp");
	const struct port *port = model_port(s.model, "ams2/wan0");
	assert_true(port->speed == 2500000000u && port->oversubscription == 100);

	// It goes on: what is new gets new numbers, what was released none.
	commit(store, &s,
		changed(s.model, "[{\"op\":\"create\",\"noun\":\"vnet\",\"name\":\"new\",\"fields\":"
				 "{\"customer\":\"globex\",\"prefixes\":[\"10.201.0.0/16\"]}}]"));
	assert_int_equal(ids_of(s.ids, ID_VRF, "vnet/new").id, 11); // 5 and 10 are in quarantine
	commit(store, &s, changed(s.model, SET("peering", "acme-ams-01/private", "\"hold\":\"15s\"")));
	store_close(store);
	store = open_store(0);
	after = load_store(store);
	assert_string_equal(after.doubt, "");
	assert_int_equal(after.migrated_from, 0);
	assert_true(after.revision == 12 && model_digest(after.model) == model_digest(s.model));
	assert_string_equal(
		model_peering(after.model, "acme-ams-01/private")->password.text, "correct-horse-0");
	store_close(store);
	drop(&s);
	drop(&after);
}

// --- a step over the fields ------------------------------------------------------------------------------

static bool louder(const char *noun, json_t *fields)
{
	json_t *owner = json_object_get(fields, "weight");

	if (strcmp(noun, "connection") || !owner)
		return false;
	json_object_set_new(fields, "weight", json_integer(json_integer_value(owner) * 10));
	return true;
}

static unsigned int weight(const struct store_state *s)
{
	return ((const struct connection *)model_find(
			s->model, NOUN_CONNECTION, "acme-ams-01/acme-prod"))
		->weight;
}

static void test_fields_of_objects_and_history(void **state)
{
	struct migration steps[64] = {0};
	int today = store_schema();
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	commit(store, &s, changed(s.model, SET("connection", "acme-ams-01/acme-prod", "\"weight\":3")));
	assert_int_equal(weight(&s), 3);
	drop(&s);
	steps[today - 2].fields = louder;
	assert_int_equal(store_take(store, steps, today - 1, today), 0);
	s = load_store(store);
	assert_int_equal(weight(&s), 30);
	drop(&s);
	assert_int_equal(query_integer(store, 0,
				 "SELECT sum(json_extract(json, '$.weight')) FROM history WHERE noun = "
				 "'connection' AND name = 'acme-ams-01/acme-prod'", ""),
		40);
	store_close(store);

	doubted("");
	store = open_store(0);
	s = load_store(store);
	assert_int_equal(weight(&s), 30);
	assert_false(s.reads_otherwise);

	// A step that fails leaves nothing behind.
	steps[today - 2].sql = "UPDATE objects SET json = '{}'; SELECT nonsense;";
	assert_true(store_take(store, steps, today - 1, today) < 0);
	store_undo(store);
	drop(&s);
	s = load_store(store);
	assert_int_equal(weight(&s), 30);
	drop(&s);
	store_close(store);
	doubted("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_schema_1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fields_of_objects_and_history, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
