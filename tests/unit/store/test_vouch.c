// SPDX-License-Identifier: BSD-3-Clause
// What somebody else wrote into the store, and a copy without its log of changes, is told apart.

#include "tests/unit/store/base.h"

// Each way to write into the database but ours is seen when it is opened; a change of ours does not vouch for it, only who
// says that it is meant does.
static void test_an_edit_from_outside(void **state)
{
	static const char *const edits[] = {
		"UPDATE objects SET json = json_set(json, '$.outer-tag', 4001) WHERE noun = 'link' AND "
		"name = 'globex-ams-01/primary'",
		"DELETE FROM objects WHERE noun = 'connection'",
		"INSERT INTO objects SELECT 'customer', 'mallory', revision, json FROM objects WHERE "
		"noun = 'customer' LIMIT 1",
		"UPDATE ids SET id = id + 1000 WHERE key = 'vnet/acme-prod'",
		"DELETE FROM ids WHERE key IS NULL OR key LIKE '%/in'",
		"DELETE FROM meta WHERE key = 'seal'",
		"INSERT INTO pending VALUES (1, 0, 'uid:0', 1, '', 1, 1, '', 0)",
		"DELETE FROM meta WHERE key = 'seal'; " WITHOUT_HISTORY "PRAGMA user_version = 2",
		"UPDATE meta SET value = zeroblob(32) WHERE key = 'seal'",
		"UPDATE revisions SET digest = 7",
	};
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	store_close(store);
	doubted("");
	for (unsigned int i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		sql(edits[i]);
		doubted("changed by something else than culvertd");
		doubted("changed by something else than culvertd");
		store = open_store(0);
		drop(&s);
		s = load_store(store);
		commit(store, &s,
			changed(s.model, SET("customer", "acme", "\"description\":\"x\"")));
		commit(store, &s, changed(s.model, SET("customer", "acme", "\"description\":null")));
		store_close(store);
		doubted("changed by something else than culvertd");
		store = open_store(0);
		assert_int_equal(store_accept(store), 0);
		store_close(store);
		doubted("");
	}
	drop(&s);
}

// The file alone, copied while it is in use, is an old model that looks whole.
static void test_a_copy_without_its_log(void **state)
{
	char copy[128], copied_key[192], wal[300], copied_wal[192], kept[256];
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	snprintf(kept, sizeof(kept), "%s", path);
	snprintf(copy, sizeof(copy), "%s/copy.db", directory);
	snprintf(copied_key, sizeof(copied_key), "%s.key", copy);
	snprintf(wal, sizeof(wal), "%s-wal", path);
	snprintf(copied_wal, sizeof(copied_wal), "%s-wal", copy);
	commit(store, &s, parse(s.model, base_yaml));
	copy_file(path, copy);
	copy_file(key_path, copied_key);
	copy_file(wal, copied_wal);
	snprintf(path, sizeof(path), "%s", copy);
	doubted(""); // with its log it is whole
	copy_file(kept, copy);
	doubted("lacks its log of changes");
	doubted("lacks its log of changes"); // until somebody says that it is meant
	struct store *other = open_store(0);
	assert_int_equal(store_accept(other), 0);
	store_close(other);
	doubted("");
	snprintf(path, sizeof(path), "%s", kept);

	// After many changes, of which SQLite has put some into the file.
	for (unsigned int i = 0; i < 1200; i++)
		commit(store, &s,
			changed(s.model, i % 2 ? SET("circuit", "acme-ams-01", "\"burst\":\"20ms\"")
					       : SET("circuit", "acme-ams-01", "\"burst\":\"30ms\"")));
	struct stat status;
	assert_int_equal(stat(wal, &status), 0);
	assert_true(status.st_size < 8 << 20);
	copy_file(kept, copy);
	snprintf(path, sizeof(path), "%s", copy);
	doubted("lacks its log of changes");
	snprintf(path, sizeof(path), "%s", kept);
	store_close(store);
	doubted(""); // an orderly end leaves it whole
	unlink(copy);
	unlink(copied_key);
	drop(&s);
}

// A store as the version before left it has no seal, and gets one.
static void test_a_store_without_a_seal(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	store_close(store);
	// Its key still says so only in a copy of that time: the one here says that there was a seal.
	sql("DELETE FROM meta WHERE key = 'seal'; " WITHOUT_HISTORY
	    "DROP TABLE finals; ALTER TABLE audit DROP COLUMN changes; PRAGMA user_version = 1");
	doubted("changed by something else");
	drop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_edit_from_outside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_copy_without_its_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_store_without_a_seal, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
