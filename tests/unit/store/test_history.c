// SPDX-License-Identifier: BSD-3-Clause
// Going back: a revision that waits for confirmation outlives a crash, and the model of any revision that the history
// has is made again as it was, passwords and numbers included.

#include "control/store/store_internal.h"
#include "tests/unit/store/base.h"

static void commit_with(struct store *store, struct store_state *state, struct model *new,
	struct store_commit change, struct store_pending *pending)
{
	struct api_error error = {0};
	struct ids *ids;

	change.old = state->model;
	change.new = new;
	change.actor = "uid:0";
	change.verb = change.verb ? change.verb : "test";
	change.pending = pending;
	if (store_commit(store, &change, &state->revision, &ids, &error))
		fail_msg("%s (%s)", error.message, error.hint);
	drop(state);
	state->model = new;
	state->ids = ids;
}

// Made with the rules or without; NULL: refused, with the first finding's rule in *rule.
static struct model *back(struct store *store, const struct model *old, uint64_t revision,
	bool judged, const char **rule)
{
	static struct findings findings; // *rule is of them
	static struct api_error error;
	struct model *model = NULL;

	memset(&findings, 0, sizeof(findings));
	memset(&error, 0, sizeof(error));
	int rc = store_back(store, old, revision, judged, &model, &findings, &error);

	if (rule)
		*rule = findings.count ? findings.item[0].rule : error.message;
	if (rc && !rule)
		fail_msg("%s", findings.count ? findings.item[0].message : error.message);
	return model;
}

static int64_t count(const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *row;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	int64_t value = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	sqlite3_close(db);
	return value;
}

#define PASSWORD(text) \
	SET("peering", "acme-ams-01/private", "\"password\":{\"value\":\"" text "\"}")

static void test_what_waits_outlives_a_crash(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);
	struct store_pending pending;
	struct api_error error = {0};

	commit(store, &s, parse(s.model, base_yaml));
	assert_true(s.pending.revision == 0);
	commit_with(store, &s, changed(s.model, SET("circuit", "acme-ams-01", "\"bandwidth\":\"1gbps\"")),
		(struct store_commit){.confirm_ms = 60000}, &pending);
	assert_true(pending.revision == 2 && pending.before == 1);
	int64_t left = store_pending_left(&pending);
	assert_true(left > 50000 && left <= 60000);
	store_close(store);
	drop(&s);

	store = open_store(0);
	s = load_store(store);
	assert_true(s.pending.revision == 2 && s.pending.before == 1 && s.pending.until == pending.until);
	assert_true(store_pending_left(&s.pending) <= left);
	assert_non_null(strstr(s.pending.actor, "uid:0"));
	assert_string_equal(s.doubt, "");
	// The clock is set back a day, within this boot and over another one: nobody waits longer than was asked for.
	s.pending.until += 86400000;
	assert_true(store_pending_left(&s.pending) <= left);
	strcpy(s.pending.boot, "another");
	assert_true(store_pending_left(&s.pending) == 60000);
	s.pending.until -= 2 * 86400000;
	assert_true(store_pending_left(&s.pending) == 0);

	assert_int_equal(store_confirm(store, "uid:0", NULL, &pending, &error), 0);
	store_close(store);
	drop(&s);
	store = open_store(0);
	s = load_store(store);
	assert_true(s.pending.revision == 0 && s.revision == 2);
	assert_string_equal(s.doubt, "");
	store_close(store);
	drop(&s);
	assert_int_equal(count("SELECT count(*) FROM audit WHERE verb = 'config.confirm' AND "
			       "object = 'revision 2' AND revision = 2"),
		1);
}

static void test_back(void **state)
{
	struct store *store = open_store(3600);
	struct store_state s = load_store(store);
	const uint64_t two = 2;
	const char *rule;

	commit(store, &s, parse(s.model, base_yaml));
	commit(store, &s, changed(s.model, PASSWORD("first-one")));
	char *then = model_yaml(s.model);
	struct id link = link_id(&s);
	commit(store, &s, changed(s.model, PASSWORD("second-one")));
	commit(store, &s, changed(s.model, without_link));
	commit(store, &s, changed(s.model, SET("circuit", "acme-ams-01", "\"bandwidth\":\"100mbps\"")));
	assert_int_equal(link_id(&s).id, 0);

	// A user may not lower; a revert may.
	assert_null(back(store, s.model, 2, true, &rule));
	assert_string_equal(rule, "raise-only");
	struct model *model = back(store, s.model, 2, false, NULL);
	char *now = model_yaml(model);
	assert_string_equal(now, then);
	assert_string_equal(model_peering(model, "acme-ams-01/private")->password.text, "first-one");
	// What is equal is the same object.
	assert_ptr_equal(model_vnet(model, "acme-prod"), model_vnet(s.model, "acme-prod"));
	commit_with(store, &s, model, (struct store_commit){.again = &two, .verb = "config.revert"}, NULL);
	assert_true(link_id(&s).id == link.id && link_id(&s).uid == link.uid);
	free(now);

	// By all rules as far as they allow it.
	model = back(store, s.model, 4, true, NULL);
	assert_string_equal(model_peering(model, "acme-ams-01/private")->password.text, "second-one");
	assert_null(model_link(model, "globex-ams-01/primary"));
	commit(store, &s, model);
	assert_null(back(store, s.model, 99, true, &rule));
	assert_non_null(strstr(rule, "there is no revision 99"));
	model = back(store, s.model, 0, true, NULL);
	for (unsigned int noun = 0; noun < NOUNS; noun++)
		assert_int_equal(model_count(model, noun), 0);
	model_unref(model);
	store_close(store);
	drop(&s);
	free(then);
	assert_int_equal(count("SELECT again FROM revisions WHERE verb = 'config.revert'"), 2);
}

#define STATE(value) SET("circuit", "acme-ams-01", "\"provider-state\":\"" value "\"")

static const char sold[] =
	"version: 1\n"
	"realms: [{name: public}]\n"
	"areas: [{name: europe, realm: public}]\n"
	"edges:\n"
	"- {name: ams1, ports: [{name: wan0, faces: customer, provider: ixnet}]}\n"
	"- {name: ams2, ports: [{name: wan0, faces: customer, provider: ixnet}]}\n"
	"locations: [{name: ams, area: europe, edges: [ams1, ams2]}]\n"
	"providers: [{name: ixnet, models: [exchange/l2], bandwidths: [50mbps], locations: [ams]}]\n"
	"customers: [{name: acme}]\n"
	"circuits: [{name: acme-ams-01, customer: acme, location: ams, provider: ixnet, model: exchange, bandwidth: 50mbps}]\n";

static unsigned int provider_state(const struct model *model)
{
	return model_circuit(model, "acme-ams-01")->provider_state;
}

// What a provider has done since is not undone; what was deleted and comes back begins anew, unless it was deleted by the
// very change that is taken back.
static void test_a_workflow_stays(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, sold));
	unsigned int at_first = provider_state(s.model);
	commit(store, &s, changed(s.model, STATE("provisioning")));
	commit(store, &s, changed(s.model, STATE("provisioned")));
	unsigned int provisioned = provider_state(s.model);
	commit(store, &s, changed(s.model, SET("circuit", "acme-ams-01", "\"burst\":\"31ms\"")));
	assert_true(at_first != provisioned);
	for (int judged = 0; judged < 2; judged++) {
		struct model *model = back(store, s.model, 1, judged, NULL);
		assert_int_equal(provider_state(model), provisioned);
		assert_true(model_circuit(model, "acme-ams-01")->burst !=
			    model_circuit(s.model, "acme-ams-01")->burst);
		model_unref(model);
	}
	struct model *none = back(store, s.model, 0, false, NULL);
	commit(store, &s, none);
	struct model *model = back(store, s.model, 4, false, NULL);
	assert_int_equal(provider_state(model), provisioned);
	model_unref(model);
	model = back(store, s.model, 4, true, NULL);
	assert_int_equal(provider_state(model), at_first);
	model_unref(model);
	store_close(store);
	drop(&s);
}

// A number goes to nobody else before its quarantine is over, and back to its own at once.
static void test_a_number_whose_counters_were_read(void **state)
{
	struct store *store = open_store(3600);
	struct store_state s = load_store(store);

	commit(store, &s, parse(s.model, base_yaml));
	struct id first = link_id(&s);
	commit(store, &s, changed(s.model, without_link));
	json_t *finals = json_pack(
		"[{s:I, s:{s:i}}]", "uid", (json_int_t)first.uid, "counters", "packets", 7);
	assert_int_equal(store_finals_put(store, finals), 0);
	json_decref(finals);
	commit(store, &s, changed(s.model, with_link));
	assert_true(link_id(&s).id == first.id && link_id(&s).uid > first.uid);
	const struct store_filter filter = {.limit = 10};
	json_t *rows = store_finals(store, &filter);
	assert_int_equal(json_array_size(rows), 1); // those of before are kept
	json_decref(rows);
	store_close(store);
	drop(&s);
}

// Random edits, and back to a random one of the revisions that are kept.
#define KEEP 12

static struct model *random_change(const struct model *model)
{
	static const char *const circuits[] = {"acme-ams-01", "globex-ams-01"};
	const char *circuit = circuits[rand() % 2];
	struct findings findings;
	char text[512];

	switch (rand() % 7) {
	case 0:
		snprintf(text, sizeof(text), SET("circuit", "%s", "\"burst\":\"%dms\""), circuit, 1 + rand() % 90);
		break;
	case 1:
		snprintf(text, sizeof(text), SET("peering", "%s/private", "\"password\":{\"value\":\"p%d\"}"),
			circuit, rand());
		break;
	case 2:
		snprintf(text, sizeof(text), SET("peering", "%s/private", "\"password\":null"), circuit);
		break;
	case 3:
		return change(model, model_link(model, "globex-ams-01/primary") ? without_link : with_link,
			&findings);
	case 4:
		snprintf(text, sizeof(text),
			"[{\"op\":\"create\",\"noun\":\"customer\",\"name\":\"c%d\",\"fields\":{}}]", rand() % 5);
		break;
	case 5:
		snprintf(text, sizeof(text),
			"[{\"op\":\"delete\",\"noun\":\"customer\",\"name\":\"c%d\"}]", rand() % 5);
		break;
	default:
		snprintf(text, sizeof(text), SET("vnet", "acme-prod", "\"prefixes\":[\"10.%d.0.0/16\"]"),
			9 + rand() % 40);
	}
	return change(model, text, &findings);
}

static void test_random(void **state)
{
	struct store_options options = {.path = path, .keep_revisions = KEEP};
	struct api_error error = {0};
	struct store *store;
	char *yaml[300] = {NULL};

	srand(random_seed());
	assert_int_equal(store_open(&store, &options, &error), 0);
	struct store_state s = load_store(store);
	commit(store, &s, parse(s.model, base_yaml));
	yaml[1] = model_yaml(s.model);
	while (s.revision < 250) {
		struct model *model = NULL;
		if (s.revision > 3 && rand() % 4 == 0) {
			uint64_t first = s.revision > KEEP ? s.revision - KEEP + 1 : 1;
			uint64_t to = first + (uint64_t)rand() % (s.revision - first);
			model = back(store, s.model, to, rand() % 2, NULL);
			char *now = model_yaml(model);
			assert_string_equal(now, yaml[to]);
			free(now);
		} else {
			model = random_change(s.model);
		}
		if (!model || model == s.model) {
			model_unref(model);
			continue;
		}
		commit(store, &s, model);
		yaml[s.revision] = model_yaml(s.model);
		if (s.revision % 50 == 0) {
			store_close(store);
			assert_int_equal(store_open(&store, &options, &error), 0);
			drop(&s);
			s = load_store(store);
			char *now = model_yaml(s.model);
			assert_string_equal(now, yaml[s.revision]);
			free(now);
			assert_string_equal(s.doubt, "");
		}
	}
	const char *rule;
	assert_null(back(store, s.model, s.revision - KEEP, true, &rule));
	assert_non_null(strstr(rule, "does not have revision"));
	store_close(store);
	drop(&s);
	for (unsigned int i = 0; i < 300; i++)
		free(yaml[i]);
	assert_int_equal(count("SELECT count(*) FROM revisions"), KEEP);
	// Whatever is left of the history is of use: a row of each object that is older than what is kept, at most.
	assert_int_equal(count("SELECT count(*) FROM (SELECT count(*) AS n FROM history WHERE revision <= (SELECT "
			       "min(revision) - 1 FROM revisions) GROUP BY noun, name HAVING n > 1)"),
		0);
	assert_int_equal(count("SELECT count(*) FROM secrets WHERE fingerprint <> 'key-check' AND NOT EXISTS (SELECT 1 "
			       "FROM history WHERE instr(json, fingerprint))"),
		0);
	assert_int_equal(count("SELECT count(*) FROM secret_uses WHERE fingerprint NOT IN (SELECT fingerprint FROM secrets)"),
		0);
}

#define AS_BEFORE WITHOUT_HISTORY "PRAGMA user_version = 2;"

// A store of the version before, whose history was cut: of what came before nothing is claimed.
static void test_a_store_of_before(void **state)
{
	struct store *store = open_store(0);
	struct store_state s = load_store(store);
	const char *rule;

	commit(store, &s, parse(s.model, base_yaml));
	commit(store, &s, changed(s.model, PASSWORD("first-one")));
	commit(store, &s, changed(s.model, SET("circuit", "acme-ams-01", "\"burst\":\"31ms\"")));
	store_close(store);
	drop(&s);
	sql(AS_BEFORE);
	store = open_store(0);
	s = load_store(store);
	assert_string_equal(s.doubt, "");
	commit(store, &s, changed(s.model, PASSWORD("second-one")));
	struct model *model = back(store, s.model, 2, true, NULL);
	assert_string_equal(model_peering(model, "acme-ams-01/private")->password.text, "first-one");
	model_unref(model);
	store_close(store);
	drop(&s);
	sql(AS_BEFORE "DELETE FROM history WHERE revision < 3; DELETE FROM revisions WHERE revision < 3;");
	store = open_store(0);
	s = load_store(store);
	commit(store, &s, changed(s.model, SET("circuit", "acme-ams-01", "\"burst\":\"32ms\"")));
	assert_null(back(store, s.model, 3, true, &rule));
	assert_non_null(strstr(rule, "does not have revision 3 any more"));
	model = back(store, s.model, 4, true, NULL);
	assert_true(model_circuit(model, "acme-ams-01")->burst == 31000000);
	model_unref(model);
	store_close(store);
	drop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_waits_outlives_a_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_workflow_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_number_whose_counters_were_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_store_of_before, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
