// SPDX-License-Identifier: BSD-3-Clause
// The store: what was committed is there after a restart, ids stay and are not given out again too
// soon, secrets are unreadable in the file, and a file that is not ours, damaged or newer is
// refused.

#include "control/store/store_internal.h"
#include "tests/unit/store/base.h"

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
	// Gone with the last revision that names it, not before: test_history.c.
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
	assert_int_equal(sqlite3_column_int(row, 0), 1);
	sqlite3_finalize(row);
	sqlite3_close(db);
}

#define CIRCUIT_WITH_LINK(name, tag)                                                                 \
	"[{\"op\":\"create\",\"noun\":\"circuit\",\"name\":\"" name "\",\"fields\":{\"customer\":\"acme\","  \
	"\"bandwidth\":\"50mbps\"}},{\"op\":\"create\",\"noun\":\"link\",\"name\":\"" name "/primary\"," \
	"\"fields\":{\"edge\":\"ams1\",\"port\":\"wan0\",\"outer-tag\":" tag "}}]"

static void test_quarantine(void **state)
{
	struct store *store = open_store(3600);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	struct id first = link_id(&s);
	commit(store, &s, changed(s.model, without_link));
	assert_int_equal(link_id(&s).id, 0);
	// It is known to have been theirs: another gets another one, they get it back, with the counters it goes on with.
	commit(store, &s, changed(s.model, CIRCUIT_WITH_LINK("acme-ams-02", "8")));
	struct id other = ids_of(s.ids, ID_LIMITER, "acme-ams-02/primary/in");
	assert_true(other.id != 0 && other.id != first.id && other.uid > first.uid);
	commit(store, &s, changed(s.model, with_link));
	struct id second = link_id(&s);
	assert_true(second.id == first.id && second.uid == first.uid);
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

	// Two hours later the number is free for others, too, the uid is not.
	sql("UPDATE ids SET released = released - 7200 WHERE key IS NULL");
	store = open_store(3600);
	drop(&s);
	s = load_store(store);
	commit(store, &s, changed(s.model, CIRCUIT_WITH_LINK("acme-ams-03", "9")));
	struct id third = ids_of(s.ids, ID_LIMITER, "acme-ams-03/primary/in");
	assert_true(third.id == first.id || third.id == first.id + 1); // of either direction
	assert_true(third.uid > other.uid);
	commit(store, &s, changed(s.model, with_link));
	assert_true(link_id(&s).uid > third.uid && link_id(&s).id != third.id);
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
	sql("PRAGMA user_version = 3");
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

// As many statements as there are places that ask: each keeps its own, and none is the last.
static void test_many_statements(void **state)
{
	struct store *store = open_store(0);
	static char text[200][24];

	for (unsigned int round = 0; round < 2; round++) {
		for (int i = 0; i < 200; i++) {
			snprintf(text[i], sizeof(text[i]), "SELECT %d", i);
			assert_int_equal(query_integer(store, -1, text[i], ""), i);
		}
		assert_true(store->statements >= 200 && store->statements < 300);
	}
	store_close(store);
}

// --- other names -----------------------------------------------------------------------------------------

#define RENAME(noun, name, to) \
	"{\"op\":\"rename\",\"noun\":\"" noun "\",\"name\":\"" name "\",\"to\":\"" to "\"}"

static void test_rename_keeps_ids(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);
	char host[ID_HOST_MAX];

	commit(store, &s, parse(s.model, base_yaml));
	struct id vrf = ids_of(s.ids, ID_VRF, "peering/acme-ams-01/private"),
		  limiter = ids_of(s.ids, ID_LIMITER, "acme-ams-01/primary/in"),
		  account = ids_of(s.ids, ID_ACCOUNT, "acme-ams-01/acme-prod/in"),
		  other = ids_of(s.ids, ID_VRF, "peering/globex-ams-01/private");
	unsigned int count = s.ids->count;
	commit(store, &s, changed(s.model, "[" RENAME("circuit", "acme-ams-01", "x") "]"));
	assert_int_equal(s.ids->count, count);
	assert_true(ids_of(s.ids, ID_VRF, "peering/x/private").uid == vrf.uid);
	assert_true(ids_of(s.ids, ID_LIMITER, "x/primary/in").uid == limiter.uid);
	assert_true(ids_of(s.ids, ID_ACCOUNT, "x/acme-prod/in").uid == account.uid);
	assert_true(ids_of(s.ids, ID_VRF, "peering/acme-ams-01/private").id == 0);
	ids_host(s.ids, "peering/x/private", host);
	assert_string_equal(host, "acme-ams-01-private"); // as it was made
	// who gets the name next is called by his number, too, as long as the other lives
	commit(store, &s,
		changed(s.model,
			"[{\"op\":\"create\",\"noun\":\"circuit\",\"name\":\"acme-ams-01\",\"fields\":"
			"{\"customer\":\"acme\",\"bandwidth\":\"50mbps\"}},{\"op\":\"create\",\"noun\":"
			"\"peering\",\"name\":\"acme-ams-01/private\",\"fields\":{\"primary-subnet\":"
			"\"169.254.99.0/30\",\"peer-asn\":65001,\"local-asn\":64900}}]"));
	struct id next = ids_of(s.ids, ID_VRF, "peering/acme-ams-01/private");
	assert_true(next.id != 0 && next.id != vrf.id);
	char expected[64];
	snprintf(expected, sizeof(expected), "acme-ams-01-private-%u", next.id);
	ids_host(s.ids, "peering/acme-ams-01/private", host);
	assert_string_equal(host, expected);
	// in a circle
	commit(store, &s,
		changed(s.model, "[" RENAME("circuit", "x", "y") "," RENAME("circuit", "globex-ams-01", "x") ","
				 RENAME("circuit", "y", "globex-ams-01") "]"));
	assert_true(ids_of(s.ids, ID_VRF, "peering/globex-ams-01/private").uid == vrf.uid);
	assert_true(ids_of(s.ids, ID_VRF, "peering/x/private").uid == other.uid);
	store_close(store);

	store = open_store(0);
	struct store_state after = load_store(store);
	assert_string_equal(after.doubt, "");
	assert_true(model_digest(after.model) == model_digest(s.model));
	assert_int_equal(after.ids->count, s.ids->count);
	for (unsigned int i = 0; i < s.ids->count; i++) {
		assert_int_equal(id_key_compare(after.ids->item[i], s.ids->item[i]), 0);
		assert_true(after.ids->item[i]->id.uid == s.ids->item[i]->id.uid);
	}
	ids_host(after.ids, "peering/globex-ams-01/private", host);
	assert_string_equal(host, "acme-ams-01-private");
	ids_host(after.ids, "peering/x/private", host);
	assert_string_equal(host, "globex-ams-01-private");
	drop(&s);
	// a revision of before all this has the old names, and the same things under them
	struct model *back;
	struct findings findings = {0};
	struct api_error error = {0};
	assert_int_equal(store_back(store, after.model, 1, true, &back, &findings, &error), 0);
	commit(store, &after, back);
	assert_true(ids_of(after.ids, ID_VRF, "peering/acme-ams-01/private").id != 0);
	assert_true(ids_of(after.ids, ID_VRF, "peering/globex-ams-01/private").uid == other.uid);
	store_close(store);
	drop(&after);
}

static void test_rename_is_taken_back(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	struct id vrf = ids_of(s.ids, ID_VRF, "peering/acme-ams-01/private"),
		  other = ids_of(s.ids, ID_VRF, "peering/globex-ams-01/private");
	uint64_t digest = model_digest(s.model);
	commit(store, &s, changed(s.model, "[" RENAME("circuit", "acme-ams-01", "x") "]"));
	commit(store, &s,
		changed(s.model, "[" RENAME("circuit", "x", "y") "," RENAME("circuit", "globex-ams-01", "x") ","
				 RENAME("vnet", "acme-prod", "v") "," RENAME("customer", "acme", "c") "]"));
	commit(store, &s,
		changed(s.model, "[{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"y\",\"fields\":"
				 "{\"bandwidth\":\"100mbps\"}}]"));
	store_close(store);
	drop(&s);
	store = open_store(0);
	s = load_store(store);
	for (unsigned int judged = 0; judged < 2; judged++) {
		struct model *back = NULL;
		struct findings findings = {0};
		struct api_error error = {0};
		int rc = store_back(store, s.model, 1, judged, &back, &findings, &error);
		if (judged) { // a bandwidth is not lowered by a user
			assert_int_equal(rc, -EINVAL);
			assert_string_equal(findings.item[0].rule, "raise-only");
			continue;
		}
		assert_int_equal(rc, 0);
		assert_true(model_digest(back) == digest);
		struct model_diff *diff = model_diff(s.model, back);
		for (unsigned int i = 0; i < diff->count; i++)
			assert_true(diff->item[i].old && diff->item[i].new); // nothing is made anew
		model_diff_free(diff);
		model_unref(back);
	}
	struct model *back = NULL;
	struct findings findings = {0};
	struct api_error error = {0};
	assert_int_equal(store_back(store, s.model, 1, false, &back, &findings, &error), 0);
	commit(store, &s, back);
	assert_true(ids_of(s.ids, ID_VRF, "peering/acme-ams-01/private").uid == vrf.uid);
	assert_true(ids_of(s.ids, ID_VRF, "peering/globex-ams-01/private").uid == other.uid);
	store_close(store);
	drop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rename_keeps_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rename_is_taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_statements, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quarantine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_another_version_wrote, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
