// SPDX-License-Identifier: BSD-3-Clause
// The store: what was committed is there after a restart, ids stay and are not given out again too
// soon, secrets are unreadable in the file, and a file that is not ours, damaged or newer is
// refused.

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

static int setup(void **state)
{
	strcpy(directory, "/tmp/culvert-store-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/store.db", directory);
	snprintf(key_path, sizeof(key_path), "%s.key", path);
	return 0;
}

static int teardown(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".key"};
	char name[320];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	return rmdir(directory);
}

static struct store *open_store(uint32_t quarantine)
{
	struct store_options options = {.path = path, .quarantine = quarantine};
	struct api_error error = {0};
	struct store *store;

	if (store_open(&store, &options, &error))
		fail_msg("%s (%s)", error.message, error.hint);
	return store;
}

static void refused(const char *says)
{
	struct store_options options = {.path = path};
	struct api_error error = {0};
	struct store *store;

	assert_true(store_open(&store, &options, &error) < 0);
	assert_null(store);
	if (!strstr(error.message, says))
		fail_msg("\"%s\" does not say \"%s\"", error.message, says);
	assert_true(error.hint[0] != '\0');
}

static struct store_state load_store(struct store *store)
{
	struct store_state state;
	struct findings findings = {0};
	struct api_error error = {0};

	if (store_load(store, &state, &findings, &error))
		fail_msg("%s", error.message);
	return state;
}

static void drop(struct store_state *state)
{
	model_unref(state->model);
	ids_unref(state->ids);
}

// Commits `new` over the state, which then holds it.
static void commit(struct store *store, struct store_state *state, struct model *new)
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

static struct model *changed(const struct model *old, const char *text)
{
	struct findings findings;
	struct model *model = change(old, text, &findings);

	if (!model)
		fail_msg("%s", findings.item[0].message);
	return model;
}

#define SET(noun, name, fields) \
	"[{\"op\":\"set\",\"noun\":\"" noun "\",\"name\":\"" name "\",\"fields\":{" fields "}}]"

static void sql(const char *text)
{
	sqlite3 *db;
	char *message = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &message))
		fail_msg("%s", message);
	sqlite3_close(db);
}

static void test_survives(void **state)
{
	struct store *store = open_store(0);
	struct store_state before = load_store(store);
	struct stat status;
	struct id id, again;

	assert_true(before.revision == 0);
	assert_int_equal(model_count(before.model, NOUN_CIRCUIT), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(stat(key_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_true(ids_get(before.ids, ID_VRF, "underlay", &id));
	assert_int_equal(id.id, 1);

	commit(store, &before, parse(before.model, base_yaml));
	assert_true(before.revision == 1);
	id = ids_of(before.ids, ID_VRF, "peering/%s/private", "acme-ams-01");
	assert_true(id.id > 1 && id.uid > 0);
	assert_false(ids_get(before.ids, ID_VRF, "peering/nobody/private", &again));
	store_close(store);

	store = open_store(0);
	struct store_state after = load_store(store);
	assert_true(after.revision == 1);
	assert_memory_equal(after.uuid, before.uuid, 16);
	assert_true(model_digest(after.model) == model_digest(before.model));
	struct model_diff *diff = model_diff(before.model, after.model);
	assert_int_equal(diff->count, 0);
	model_diff_free(diff);
	again = ids_of(after.ids, ID_VRF, "peering/acme-ams-01/private");
	assert_true(again.id == id.id && again.uid == id.uid);
	store_close(store);
	drop(&before);
	drop(&after);
}

static bool file_holds(const char *name, const char *text)
{
	FILE *in = fopen(name, "re");
	char *content = calloc(1, 1 << 22);
	size_t length = in ? fread(content, 1, 1 << 22, in) : 0;
	bool found = memmem(content, length, text, strlen(text)) != NULL;

	if (in)
		fclose(in);
	free(content);
	return found;
}

static void test_secrets(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);
	char wal[300], shown[128];
	snprintf(wal, sizeof(wal), "%s-wal", path);

	commit(store, &s, parse(s.model, base_yaml));
	commit(store, &s,
		changed(s.model,
			"[{\"op\":\"set\",\"noun\":\"peering\",\"name\":\"acme-ams-01/private\","
			"\"fields\":{\"password\":{\"value\":\"very-s3cret\"}}}]"));
	assert_false(file_holds(path, "very-s3cret"));
	assert_false(file_holds(wal, "very-s3cret"));
	assert_true(file_holds(wal, "acme-ams-01"));
	store_close(store);

	store = open_store(0);
	struct store_state after = load_store(store);
	assert_string_equal(
		model_peering(after.model, "acme-ams-01/private")->password.text, "very-s3cret");
	assert_string_equal(model_peering(after.model, "acme-ams-01/private")->password.fingerprint,
		model_peering(s.model, "acme-ams-01/private")->password.fingerprint);
	drop(&s);
	// Gone with its owner.
	snprintf(shown, sizeof(shown), "%s",
		model_peering(after.model, "acme-ams-01/private")->password.fingerprint);
	commit(store, &after,
		changed(after.model, "[{\"op\":\"set\",\"noun\":\"peering\",\"name\":\"acme-ams-01/"
				     "private\",\"fields\":{\"password\":null}}]"));
	store_close(store);
	drop(&after);
	sqlite3 *db;
	sqlite3_stmt *row;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_prepare_v2(db, "SELECT count(*) FROM secrets WHERE fingerprint <> 'key-check'", -1,
		&row, NULL);
	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(row, 0), 0);
	sqlite3_finalize(row);
	sqlite3_close(db);
}

static struct id link_id(const struct store_state *state)
{
	return ids_of(state->ids, ID_LIMITER, "globex-ams-01/primary/in");
}

static const char without_link[] =
	"[{\"op\":\"delete\",\"noun\":\"link\",\"name\":\"globex-ams-01/primary\"}]";
static const char with_link[] =
	"[{\"op\":\"create\",\"noun\":\"link\",\"name\":\"globex-ams-01/primary\","
	"\"fields\":{\"edge\":\"ams1\",\"port\":\"wan0\",\"outer-tag\":7}}]";

static void test_quarantine(void **state)
{
	struct store *store = open_store(3600);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	struct id first = link_id(&s);
	commit(store, &s, changed(s.model, without_link));
	assert_int_equal(link_id(&s).id, 0);
	commit(store, &s, changed(s.model, with_link));
	struct id second = link_id(&s);
	assert_true(second.id != 0 && second.id != first.id && second.uid > first.uid);
	// The other ids of the model did not move, and a change that needs none gives none.
	struct id vrf = ids_of(s.ids, ID_VRF, "vnet/acme-prod");
	commit(store, &s,
		changed(s.model, "[{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"acme-ams-01\","
				 "\"fields\":{\"bandwidth\":\"1gbps\"}}]"));
	assert_true(ids_of(s.ids, ID_VRF, "vnet/acme-prod").uid == vrf.uid);
	assert_true(link_id(&s).uid == second.uid);
	commit(store, &s, changed(s.model, without_link));
	store_close(store);

	// What was released is remembered as the past of its owner's number, also while it may not be given out.
	store = open_store(3600);
	drop(&s);
	s = load_store(store);
	assert_true(ids_gone(s.ids, ID_LIMITER, first.id));
	assert_true(ids_gone(s.ids, ID_LIMITER, second.id));
	assert_false(ids_gone(s.ids, ID_VRF, vrf.id));
	assert_false(ids_gone(s.ids, ID_LIMITER, 10000)); // never given
	store_close(store);

	// Two hours later the numbers are free again, the uid is not.
	sql("UPDATE ids SET released = released - 7200 WHERE key IS NULL");
	store = open_store(3600);
	drop(&s);
	s = load_store(store);
	commit(store, &s, changed(s.model, with_link));
	assert_true(link_id(&s).id <= second.id + 1); // one of the four given out before
	assert_true(link_id(&s).uid > second.uid);
	store_close(store);
	drop(&s);
}

static void test_refused_files(void **state)
{
	char name[320];

	// not a database, not ours, newer, damaged, in use, key lost
	FILE *out = fopen(path, "we");
	fputs("this is not a database at all", out);
	fclose(out);
	refused("is not a Culvert store");
	unlink(path);
	sql("CREATE TABLE contacts (name TEXT)");
	refused("is not a Culvert store");
	unlink(path);

	store_close(open_store(0));
	sql("PRAGMA user_version = 99");
	refused("newer version");
	sql("PRAGMA user_version = 2");
	struct store *store = open_store(0);
	refused("another process has it open");
	store_close(store);

	chmod(key_path, 0644);
	refused("can be read by others");
	chmod(key_path, 0600);
	snprintf(name, sizeof(name), "%s/other.key", directory);
	rename(key_path, name);
	refused("cannot read the key file");
	out = fopen(key_path, "we");
	fputs("01234567890123456789012345678901", out);
	fclose(out);
	chmod(key_path, 0600);
	refused("is not the one of the store");
	rename(name, key_path);
	store_close(open_store(0));

	// a page of zeros in the middle
	int fd = open(path, O_RDWR | O_CLOEXEC);
	static const char zeros[4096];
	assert_true(pwrite(fd, zeros, sizeof(zeros), 4096) == (ssize_t)sizeof(zeros));
	close(fd);
	refused("damaged");
	unlink(path);
	snprintf(path, sizeof(path), "/proc/none/store.db"); // a directory that nobody can make
	refused("No such file or directory");
	snprintf(path, sizeof(path), "%s/store.db", directory);
}

// A stored model that the node file's settings no longer allow is loaded and listed.
static void test_wrong_options(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);
	struct store_options options = {.path = path, .model = {.host_domain = HOST_DOMAIN_TABLE}};
	struct findings findings = {0};
	struct api_error error = {0};

	commit(store, &s, parse(s.model, base_yaml));
	store_close(store);
	drop(&s);
	assert_int_equal(store_open(&store, &options, &error), 0);
	assert_int_equal(store_load(store, &s, &findings, &error), 0);
	assert_true(findings.count >= 1);
	assert_string_equal(findings.item[0].rule, "subnet-unique");
	assert_int_equal(model_count(s.model, NOUN_PEERING), 2);

	// What does not touch it goes through, what makes it worse does not, what mends it does.
	commit(store, &s, changed(s.model, SET("circuit", "acme-ams-01", "\"burst\":\"100ms\"")));
	commit(store, &s,
		changed(s.model, SET("peering", "acme-ams-01/private", "\"hold\":\"120s\"")));
	assert_null(change(s.model,
		"[{\"op\":\"set\",\"noun\":\"peering\",\"name\":\"acme-ams-01/"
		"private\",\"fields\":{"
		"\"secondary-subnet\":\"169.254.10.0/30\"}}]",
		&findings));
	commit(store, &s,
		changed(s.model, SET("peering", "acme-ams-01/private",
					 "\"primary-subnet\":\"169.254.20.0/30\"")));
	memset(&findings, 0, sizeof(findings));
	assert_int_equal(model_check(s.model, &findings), 0);
	assert_int_equal(findings.count, 0);
	store_close(store);
	drop(&s);
}

// Objects as another version may have written them: a field that there is not any more, a value out
// of what is sold today or out of the field's range, a required field missing, a noun that nobody
// knows.
static void test_what_another_version_wrote(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);
	struct findings findings = {0};
	struct api_error error = {0};

	commit(store, &s, parse(s.model, base_yaml));
	store_close(store);
	drop(&s);
	sql("UPDATE objects SET json = json_set(json, '$.bandwidth', '60mbps', '$.colour', 'red', "
	    "'$.burst', '9s') WHERE noun = 'circuit' AND name = 'acme-ams-01';"
	    "UPDATE objects SET json = json_remove(json, '$.edge') WHERE noun = 'link' AND "
	    "name = 'globex-ams-01/primary';"
	    "INSERT INTO objects VALUES ('dragon', 'smaug', 1, '{}')");
	store = open_store(0);
	assert_int_equal(store_load(store, &s, &findings, &error), 0);
	const struct circuit *circuit = model_circuit(s.model, "acme-ams-01");
	assert_true(circuit->bandwidth == 60000000);
	assert_true(circuit->burst == 9000000000);
	assert_null(model_link(s.model, "globex-ams-01/primary"));
	assert_int_equal(model_count(s.model, NOUN_CIRCUIT), 2);
	unsigned int rules = 0, unknown = 0, left_out = 0;
	for (unsigned int i = 0; i < findings.count; i++) {
		rules += !strcmp(findings.item[i].rule, "bandwidth-standard");
		unknown += !strcmp(findings.item[i].rule, "unknown-key");
		left_out += !strcmp(findings.item[i].rule, "stored-object") ||
			    !strcmp(findings.item[i].rule, "required");
	}
	assert_int_equal(rules, 1);
	assert_int_equal(unknown, 1);
	assert_int_equal(left_out, 2);
	// the circuit can be worked with, and not be made worse
	commit(store, &s, changed(s.model, SET("circuit", "acme-ams-01", "\"packet-rate\":1000")));
	assert_null(change(
		s.model, SET("circuit", "acme-ams-01", "\"bandwidth\":\"70mbps\""), &findings));
	commit(store, &s,
		changed(s.model, SET("circuit", "acme-ams-01", "\"bandwidth\":\"100mbps\"")));
	store_close(store);
	drop(&s);
}

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
	assert_int_equal(count_of("history"), 10);
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

static void doubted(const char *says)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	if (!strstr(s.doubt, says) || (*says == '\0' && s.doubt[0] != '\0'))
		fail_msg("\"%s\" does not say \"%s\"", s.doubt, says);
	store_close(store);
	drop(&s);
}

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
		"DELETE FROM meta WHERE key = 'seal'; PRAGMA user_version = 2",
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
			changed(s.model, SET("customer", "acme", "\"owner\":\"x\"")));
		commit(store, &s, changed(s.model, SET("customer", "acme", "\"owner\":null")));
		store_close(store);
		doubted("changed by something else than culvertd");
		store = open_store(0);
		assert_int_equal(store_accept(store), 0);
		store_close(store);
		doubted("");
	}
	drop(&s);
}

static void copy_file(const char *from, const char *to)
{
	char command[512];

	snprintf(command, sizeof(command), "cp -p %s %s", from, to);
	assert_int_equal(system(command), 0);
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
	sql("DELETE FROM meta WHERE key = 'seal'; DROP TABLE finals; ALTER TABLE audit DROP COLUMN "
	    "changes; PRAGMA user_version = 1");
	doubted("changed by something else");
	drop(&s);
}

static void restore_fails(const char *file, const char *says, enum api_code code)
{
	const struct store_options options = {.path = path};
	struct api_error error = {0};
	json_t *about = NULL;

	assert_true(store_restore(file, &options, false, &about, &error) < 0);
	if (!strstr(error.message, says))
		fail_msg("\"%s\" does not say \"%s\"", error.message, says);
	assert_int_equal(error.code, code);
	assert_true(error.hint[0] != '\0');
	assert_null(about);
}

// Another byte than is there, whatever that is: keys and digests are random.
static void flip(const char *file, off_t at, unsigned char bits)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	unsigned char byte;

	assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void test_backup(void **state)
{
	struct store *store = open_store(3600);
	struct store_state s = load_store(store);
	char file[160], broken[160], root[320], kept[256];
	struct api_error error = {0};
	json_t *about = NULL;
	struct stat status;

	snprintf(file, sizeof(file), "%s/backup", directory);
	snprintf(broken, sizeof(broken), "%s/broken", directory);
	commit(store, &s, parse(s.model, base_yaml));
	commit(store, &s,
		changed(s.model, SET("peering", "acme-ams-01/private",
					 "\"password\":{\"value\":\"very-s3cret\"}")));
	int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(store_backup(store, fd, &about, &error), 0);
	close(fd);
	assert_int_equal(json_integer_value(json_object_get(about, "revision")), 2);
	json_decref(about);
	about = NULL;
	assert_int_equal(stat(file, &status), 0);
	struct id before = ids_of(s.ids, ID_VRF, "vnet/acme-prod");

	// refused: one in use, one that is there, and each byte of the file counts
	restore_fails(file, "is in use", API_CONFLICT);
	store_close(store);
	restore_fails(file, "there is a store already", API_REFUSED);
	strcpy(kept, path);
	snprintf(path, sizeof(path), "%s/new/root/store.db", directory);
	for (off_t at = 0; at < status.st_size; at += at < 400 ? 7 : 1501) {
		copy_file(file, broken);
		flip(broken, at, 0xff);
		const struct store_options options = {.path = path};
		assert_true(store_restore(broken, &options, false, &about, &error) < 0);
		assert_true(error.hint[0] != '\0');
	}
	copy_file(file, broken);
	assert_int_equal(truncate(broken, status.st_size - 1), 0);
	restore_fails(broken, "is damaged", API_INVALID);
	assert_int_equal(truncate(broken, 10), 0);
	restore_fails(broken, "is not a backup", API_INVALID);
	copy_file(file, broken);
	flip(broken, 15, '1' ^ '2');
	restore_fails(broken, "was made by another version", API_REFUSED);
	restore_fails(kept, "is not a backup", API_INVALID);
	restore_fails("/nowhere", "cannot read", API_NOT_FOUND);
	assert_true(access(path, F_OK) < 0);

	// into an empty root, where nothing is
	const struct store_options options = {.path = path};
	if (store_restore(file, &options, false, &about, &error) < 0)
		fail_msg("%s", error.message);
	json_decref(about);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	store = open_store(3600);
	struct store_state again = load_store(store);
	assert_string_equal(again.doubt, "");
	assert_true(again.revision == 2 && memcmp(again.uuid, s.uuid, 16) == 0);
	assert_true(model_digest(again.model) == model_digest(s.model));
	assert_string_equal(
		model_peering(again.model, "acme-ams-01/private")->password.text, "very-s3cret");
	assert_true(ids_of(again.ids, ID_VRF, "vnet/acme-prod").uid == before.uid);
	// What the lost one may have given since is not given again.
	commit(store, &again, changed(again.model, without_link));
	commit(store, &again, changed(again.model, with_link));
	assert_true(link_id(&again).uid > before.uid + 100000);
	store_close(store);

	// and over what is there, which stays beside it
	restore_fails(file, "there is a store already", API_REFUSED);
	assert_int_equal(store_restore(file, &options, true, &about, &error), 0);
	json_decref(about);
	doubted("");
	snprintf(root, sizeof(root), "%s/new/root/store.db.replaced", directory);
	assert_int_equal(access(root, F_OK), 0);
	strcpy(path, kept);
	snprintf(root, sizeof(root), "rm -r %s/new %s/backup %s/broken", directory, directory, directory);
	assert_int_equal(system(root), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_survives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quarantine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_another_version_wrote, setup, teardown),
		cmocka_unit_test_setup_teardown(test_audit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_audit_says_what_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_kept_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_edit_from_outside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_copy_without_its_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_store_without_a_seal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_counters, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
