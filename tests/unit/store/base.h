/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TEST_STORE_BASE_H
#define TEST_STORE_BASE_H

// A store in a directory of its own for each test.

#include "control/model/circuit.h"
#include "control/model/peering.h"
#include "control/store/store.h"
#include "tests/unit/model/base.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static char directory[64], path[256], key_path[300];

static inline int setup(void **state)
{
	strcpy(directory, "/tmp/culvert-store-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/store.db", directory);
	snprintf(key_path, sizeof(key_path), "%s.key", path);
	return 0;
}

// What is kept of a store that was migrated.
static inline void forget_old(void)
{
	char name[320];

	for (int version = 1; version < 10; version++) {
		snprintf(name, sizeof(name), "%s.schema-%d", path, version);
		unlink(name);
		snprintf(name, sizeof(name), "%s.schema-%d.new", path, version);
		unlink(name);
	}
}

static inline int teardown(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".key"};
	char name[320];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	forget_old();
	return rmdir(directory);
}

static inline struct store *open_store(uint32_t quarantine)
{
	struct store_options options = {.path = path, .quarantine = quarantine};
	struct api_error error = {0};
	struct store *store;

	if (store_open(&store, &options, &error))
		fail_msg("%s (%s)", error.message, error.hint);
	return store;
}

static inline struct store_state load_store(struct store *store)
{
	struct store_state state;
	struct findings findings = {0};
	struct api_error error = {0};

	if (store_load(store, &state, &findings, &error))
		fail_msg("%s", error.message);
	return state;
}

static inline void drop(struct store_state *state)
{
	model_unref(state->model);
	ids_unref(state->ids);
}

// Commits `new` over the state, which then holds it.
static inline void commit(struct store *store, struct store_state *state, struct model *new)
{
	struct store_commit change = {
		.old = state->model, .new = new, .actor = "uid:0", .verb = "test"};
	struct api_error error = {0};
	struct ids *ids;

	if (store_commit(store, &change, &state->revision, &ids, &error))
		fail_msg("%s (%s)", error.message, error.hint);
	drop(state);
	state->model = new;
	state->ids = ids;
}

static inline struct model *changed(const struct model *old, const char *text)
{
	struct findings findings;
	struct model *model = change(old, text, &findings);

	if (!model)
		fail_msg("%s", findings.item[0].message);
	return model;
}

#define SET(noun, name, fields) \
	"[{\"op\":\"set\",\"noun\":\"" noun "\",\"name\":\"" name "\",\"fields\":{" fields "}}]"

static inline void sql(const char *text)
{
	sqlite3 *db;
	char *message = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &message))
		fail_msg("%s", message);
	sqlite3_close(db);
}

// What a store of version 2 does not have.
#define WITHOUT_HISTORY                                                                             \
	"DROP TABLE pending; DROP TABLE secret_uses; DROP TABLE released; DROP INDEX history_object;" \
	"ALTER TABLE revisions DROP COLUMN again;"

static inline struct id link_id(const struct store_state *state)
{
	return ids_of(state->ids, ID_LIMITER, "globex-ams-01/primary/in");
}

static const char without_link[] =
	"[{\"op\":\"delete\",\"noun\":\"link\",\"name\":\"globex-ams-01/primary\"}]";
static const char with_link[] =
	"[{\"op\":\"create\",\"noun\":\"link\",\"name\":\"globex-ams-01/primary\","
	"\"fields\":{\"edge\":\"ams1\",\"port\":\"wan0\",\"outer-tag\":7}}]";

static inline void doubted(const char *says)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	if (!strstr(s.doubt, says) || (*says == '\0' && s.doubt[0] != '\0'))
		fail_msg("\"%s\" does not say \"%s\"", s.doubt, says);
	store_close(store);
	drop(&s);
}

static inline void copy_file(const char *from, const char *to)
{
	char command[512];

	snprintf(command, sizeof(command), "cp -p %s %s", from, to);
	assert_int_equal(system(command), 0);
}

#endif
