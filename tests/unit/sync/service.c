// SPDX-License-Identifier: BSD-3-Clause
// The queue of changes on real threads and a real store: in order, one transaction each, published
// before they are answered, refused ones without a trace in the model, everything there again after
// a restart.

#include "control/base/clock.h"
#include "control/model/circuit.h"
#include "control/service.h"
#include "control/store/store.h"
#include "control/thread.h"
#include "tests/unit/sync/fixture.h"

#include <jansson.h>
#include <sqlite3.h>

#include <unistd.h>

struct world {
	char directory[64], store_path[96];
	struct node node;
	struct thread *main, *route, *store;
	struct service *service;
	uint64_t published; // revision the "route thread" saw last; main thread
	unsigned int publications, watched;
	unsigned int problems; // of the publication seen last
	bool waits;            // likewise
	uint64_t confirm_ms;   // of the changes that are made
	char told[16];         // of the last revision with a deadline
	bool until_told;       // the main thread runs so long
};

struct answer {
	struct world *world;
	unsigned int *order, place;
	bool last;
	uint64_t revision, published;
	bool changed, guarded;
	char guard[512], message[512];
	enum api_code code;
	size_t errors, diff;
	char object[64]; // of the newest line of the audit
};

static void publish(void *ctx, struct publication *publication)
{
	struct world *world = ctx;
	world->published = publication->revision;
	world->publications++;
	world->waits = publication->pending.waits;
	world->problems = publication->problems != NULL ? publication->problems->count : 0;
	publication_unref(publication);
}

static void watch(void *ctx, uint64_t revision, const json_t *diff)
{
	assert_true(json_array_size(diff) > 0);
	((struct world *)ctx)->watched++;
}

static void on_pending(void *ctx, const char *state, const struct store_pending *pending)
{
	struct world *world = ctx;

	assert_true(pending->revision == pending->before + 1);
	snprintf(world->told, sizeof(world->told), "%s", state);
	if (world->until_told)
		thread_stop(world->main);
}

static void start(struct world *world)
{
	struct api_error error = {0};

	assert_int_equal(thread_create(&world->main, "main"), 0);
	assert_int_equal(thread_create(&world->route, "route"), 0);
	assert_int_equal(thread_create(&world->store, "store"), 0);
	const struct service_options options = {
		.node = &world->node,
		.main = world->main,
		.route = world->route,
		.store = world->store,
		.publish = publish,
		.ctx = world,
	};
	assert_int_equal(service_create(&world->service, &options, &error), 0);
	assert_int_equal(service_watch(world->service, watch, world), 0);
	service_watch_pending(world->service, on_pending, world);
	assert_int_equal(thread_start(world->store), 0);
}

static void stop(struct world *world)
{
	thread_stop(world->store);
	thread_join(world->store);
	while (thread_drain(world->route) || thread_drain(world->store) ||
		thread_drain(world->main))
		;
	service_destroy(world->service);
	thread_destroy(world->route);
	thread_destroy(world->store);
	thread_destroy(world->main);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	strcpy(world->directory, "/tmp/culvert-service-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	snprintf(world->store_path, sizeof(world->store_path), "%s/store.db", world->directory);
	world->node.edge = "east";
	world->node.store = world->store_path;
	start(world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm", ".key"};
	struct world *world = *state;

	stop(world);
	for (unsigned int i = 0; i < 4; i++) {
		char path[112];
		snprintf(path, sizeof(path), "%s%s", world->store_path, ends[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(world->directory), 0);
	free(world);
	return 0;
}

static void on_done(void *ctx, const struct service_result *result)
{
	struct answer *answer = ctx;

	answer->revision = result->revision;
	answer->changed = result->changed;
	answer->guarded = result->guard != NULL;
	snprintf(answer->guard, sizeof(answer->guard), "%s",
		result->guard != NULL ? result->guard->message : "");
	answer->code = result->error.code;
	snprintf(answer->message, sizeof(answer->message), "%s", result->error.message);
	answer->errors = json_array_size(result->errors);
	answer->diff = json_array_size(result->diff);
	answer->published = answer->world->published;
	answer->place = answer->order != NULL ? (*answer->order)++ : 0;
	if (answer->last)
		thread_stop(answer->world->main);
}

// Runs the main thread's loop until the change was answered.
static struct answer change(
	struct world *world, const char *json, bool check, const uint64_t *if_revision)
{
	struct answer answer = {.world = world, .last = true};
	json_t *changes = json_loads(json, 0, NULL);
	struct service_change request = {.actor = "uid:0", .verb = "test", .changes = changes};

	assert_non_null(changes);
	request.check = check;
	request.has_if_revision = if_revision != NULL;
	request.if_revision = if_revision != NULL ? *if_revision : 0;
	request.confirm_ms = world->confirm_ms;
	service_change(world->service, &request, on_done, &answer);
	json_decref(changes);
	assert_int_equal(answer.revision, 0); // never before service_change returns
	thread_run(world->main);
	// A thread that has ended does not start again: the next change needs a new mailbox.
	return answer;
}

#define CUSTOMER(name) \
	"[{\"op\":\"create\",\"noun\":\"customer\",\"name\":\"" name "\",\"fields\":{}}]"

// thread_run() ends for good, so each test makes its changes in one go or restarts in between.
static void restart(struct world *world)
{
	stop(world);
	start(world);
}

static void test_a_change_is_committed_published_answered(void **state)
{
	struct world *world = *state;
	struct answer answer = change(world, CUSTOMER("acme"), false, NULL);

	assert_int_equal(answer.code, API_NONE);
	assert_true(answer.changed);
	assert_int_equal(answer.revision, 1);
	assert_int_equal(answer.published, 1); // before the answer
	assert_int_equal(answer.diff, 1);
	assert_int_equal(world->watched, 1);
	restart(world);
	assert_int_equal(service_revision(world->service), 1);
	assert_non_null(model_customer(service_model(world->service), "acme"));
	// The same again: nothing to do.
	answer = change(world,
		"[{\"op\":\"set\",\"noun\":\"customer\",\"name\":\"acme\",\"fields\":{}}]", false,
		NULL);
	assert_int_equal(answer.code, API_NONE);
	assert_false(answer.changed);
	assert_int_equal(answer.revision, 1);
}

static void test_a_refused_change_leaves_no_trace(void **state)
{
	struct world *world = *state;
	unsigned int publications = world->publications;
	struct answer answer = change(world,
		"[{\"op\":\"create\",\"noun\":\"customer\",\"name\":\"acme\",\"fields\":{}},"
		"{\"op\":\"create\",\"noun\":\"vnet\",\"name\":\"v\",\"fields\":{\"customer\":"
		"\"nobody\"}}]",
		false, NULL);

	assert_int_not_equal(answer.code, API_NONE);
	assert_true(answer.errors > 0);
	assert_int_equal(world->publications, publications);
	restart(world);
	assert_int_equal(service_revision(world->service), 0);
	assert_null(model_customer(service_model(world->service), "acme"));
}

static void test_check_changes_nothing(void **state)
{
	struct world *world = *state;
	struct answer answer = change(world, CUSTOMER("acme"), true, NULL);

	assert_int_equal(answer.code, API_NONE);
	assert_true(answer.changed);
	assert_int_equal(answer.diff, 1);
	assert_int_equal(answer.revision, 0);
	assert_null(model_customer(service_model(world->service), "acme"));
}

static void test_if_revision(void **state)
{
	struct world *world = *state;
	const uint64_t wrong = 7;
	struct answer answer = change(world, CUSTOMER("acme"), false, &wrong);

	assert_int_equal(answer.code, API_CONFLICT);
	restart(world);
	const uint64_t right = 0;
	answer = change(world, CUSTOMER("acme"), false, &right);
	assert_int_equal(answer.code, API_NONE);
}

static void test_many_at_once_come_in_order(void **state)
{
	struct world *world = *state;
	struct answer answer[20];
	unsigned int order = 0;

	for (unsigned int i = 0; i < 20; i++) {
		// every second one wants a name that the one before has taken
		json_t *changes = json_pack("[{s:s, s:s, s:o, s:{}}]", "op", "create", "noun",
			"customer", "name", json_sprintf("c%u", i / 2), "fields");
		const struct service_change request = {
			.actor = "uid:0", .verb = "test", .changes = changes};
		answer[i] = (struct answer){.world = world, .order = &order, .last = i == 19};
		service_change(world->service, &request, on_done, &answer[i]);
		json_decref(changes);
	}
	thread_run(world->main);
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(answer[i].place, i);
		assert_int_equal(answer[i].code == API_NONE, i % 2 == 0);
		assert_int_equal(answer[i].revision, i / 2 + 1);
	}
}

struct asks_again {
	struct answer first, second;
	unsigned int asked;
};

static void on_first_done(void *ctx, const struct service_result *result)
{
	struct asks_again *asks = ctx;
	json_t *changes = json_loads(CUSTOMER("again"), 0, NULL);
	const struct service_change request = {
		.actor = "uid:0", .verb = "test", .changes = changes};

	on_done(&asks->first, result);
	asks->asked++;
	service_change(asks->first.world->service, &request, on_done, &asks->second);
	json_decref(changes);
}

// Whoever is told may ask for the next change at once: it comes behind those that wait, and each is made once.
static void test_an_answer_that_asks_again(void **state)
{
	struct world *world = *state;
	unsigned int order = 0;
	struct asks_again asks = {.first = {.world = world, .order = &order},
		.second = {.world = world, .order = &order, .last = true}};
	struct answer waiting = {.world = world, .order = &order};
	json_t *first = json_loads(CUSTOMER("first"), 0, NULL);
	json_t *second = json_loads(CUSTOMER("second"), 0, NULL);
	struct service_change request = {.actor = "uid:0", .verb = "test", .changes = first};

	service_change(world->service, &request, on_first_done, &asks);
	request.changes = second;
	service_change(world->service, &request, on_done, &waiting);
	json_decref(first);
	json_decref(second);
	thread_run(world->main);
	assert_int_equal(asks.asked, 1);
	assert_true(asks.first.place == 0 && waiting.place == 1 && asks.second.place == 2);
	assert_true(asks.first.revision == 1 && waiting.revision == 2 && asks.second.revision == 3);
	assert_true(asks.first.changed && waiting.changed && asks.second.changed);
	restart(world);
	// With nobody behind it, too.
	asks = (struct asks_again){.first = {.world = world}, .second = {.world = world, .last = true}};
	request.changes = json_loads("[{\"op\":\"delete\",\"noun\":\"customer\",\"name\":\"again\"}]", 0, NULL);
	service_change(world->service, &request, on_first_done, &asks);
	json_decref(request.changes);
	thread_run(world->main);
	assert_true(asks.asked == 1 && asks.first.revision == 4 && asks.second.revision == 5);
	assert_int_equal(asks.second.code, API_NONE);
}

static void test_a_whole_file(void **state)
{
	struct world *world = *state;
	const struct service_change request = {.actor = "uid:0", .verb = "config.apply"};
	struct answer good = {.world = world}, bad = {.world = world, .last = true};

	service_apply(world->service, &request, base_yaml, strlen(base_yaml), "base.yaml", on_done,
		&good);
	service_apply(world->service, &request, "version: 1\nnonsense: 3\n", 23, "bad.yaml",
		on_done, &bad);
	thread_run(world->main);
	assert_int_equal(good.code, API_NONE);
	assert_true(good.diff > 10);
	assert_int_equal(bad.code, API_INVALID);
	assert_int_equal(bad.errors, 1);
	assert_int_equal(bad.revision, 1);
	assert_non_null(model_circuit(service_model(world->service), "acme-01"));
}

// The first line of a configuration is one, too: it says that everything should go.
static void test_a_file_cut_off(void **state)
{
	struct world *world = *state;
	struct service_change request = {.actor = "uid:0", .verb = "config.apply"};
	struct answer whole = {.world = world}, cut = {.world = world},
		      checked = {.world = world}, meant = {.world = world, .last = true};

	service_apply(world->service, &request, base_yaml, strlen(base_yaml), "base.yaml", on_done,
		&whole);
	service_apply(world->service, &request, "version: 1\n", 11, "cut.yaml", on_done, &cut);
	request.check = true;
	service_apply(world->service, &request, "version: 1\n", 11, "cut.yaml", on_done, &checked);
	request.check = false;
	request.many_deletes = true;
	service_apply(world->service, &request, "version: 1\n", 11, "cut.yaml", on_done, &meant);
	thread_run(world->main);
	assert_int_equal(whole.code, API_NONE);
	assert_true(whole.diff > 16);
	assert_int_equal(cut.code, API_REFUSED);
	assert_int_equal(cut.revision, 1);
	assert_false(cut.guarded);
	assert_int_equal(checked.code, API_NONE);
	assert_int_equal(checked.diff, whole.diff);
	assert_true(checked.guarded); // and says what it would come to
	assert_false(meant.guarded);
	assert_int_equal(meant.code, API_NONE);
	assert_int_equal(meant.diff, whole.diff);
}

// base_yaml without `gone`, and with `put` in its place: what a check says against it.
static struct answer check_without(struct world *world, const char *gone, const char *put)
{
	const struct service_change request = {
		.actor = "uid:0", .verb = "config.apply", .check = true};
	struct answer answer = {.world = world, .last = true};
	const char *at = strstr(base_yaml, gone);
	char *text;

	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - base_yaml), base_yaml, put,
			    at + strlen(gone)) > 0);
	service_apply(world->service, &request, text, strlen(text), "without.yaml", on_done,
		&answer);
	thread_run(world->main);
	free(text);
	restart(world);
	return answer;
}

// What carries an established session is not left out by mistake, and nothing else is asked about.
static void test_a_file_that_leaves_out_what_carries_a_session(void **state)
{
	static const char route[] =
		"    routes:\n      - {prefix: 198.51.100.0/24, via: 192.0.2.2}\n";
	static const struct {
		const char *gone, *put, *says; // NULL = nothing to ask
	} cases[] = {
		{"      - {role: primary, edge: east, port: wan0, outer-tag: 100}\n", "",
			"link \"acme-01/primary\", whose"},
		{"      - {role: secondary, edge: west, port: wan0, outer-tag: 101}\n", "", NULL},
		{"    links:\n"
		 "      - {role: primary, edge: east, port: wan0, outer-tag: 100}\n"
		 "      - {role: secondary, edge: west, port: wan0, outer-tag: 101}\n",
			"", "link \"acme-01/primary\", whose"},
		{"    peerings:\n"
		 "      - type: private\n"
		 "        primary-subnet: 169.254.10.0/30\n"
		 "        secondary-subnet: 169.254.10.4/30\n"
		 "        peer-asn: 65010\n"
		 "        local-asn: 64900\n"
		 "    connections:\n"
		 "      - vnet: acme-prod\n",
			"",
			"peering \"acme-01/private\", connection \"acme-01/acme-prod\", whose"},
		{"    connections:\n      - vnet: acme-prod\n", "",
			"connection \"acme-01/acme-prod\", whose"},
		{"    connections:\n      - vnet: globex-prod\n", "", NULL},
		{"      - {edge: east, gateway: 198.51.100.11, local: 192.0.2.1, key: 7001}\n", "",
			"tunnel \"acme-prod/east\", whose"},
		{"      - {edge: west, gateway: 198.51.100.11, local: 192.0.2.129, key: 7001}\n",
			"", NULL},
		{route, "", "route \"east/198.51.100.11\", whose"},
		{route, "    routes:\n      - {prefix: 198.51.0.0/16, via: 192.0.2.2}\n", NULL},
		{route, "    routes:\n      - {prefix: 198.51.100.21/32, via: 192.0.2.2}\n",
			"route \"east/198.51.100.11\", whose"},
		{"bandwidth: 50mbps", "bandwidth: 100mbps", NULL},
	};
	struct world *world = *state;
	const struct service_change request = {.actor = "uid:0", .verb = "config.apply"};
	struct answer whole = {.world = world, .last = true};

	service_apply(world->service, &request, base_yaml, strlen(base_yaml), "base.yaml", on_done,
		&whole);
	thread_run(world->main);
	assert_int_equal(whole.code, API_NONE);
	restart(world);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		service_session(world->service, "acme-01/private/primary", true);
		struct answer answer = check_without(world, cases[i].gone, cases[i].put);
		assert_int_equal(answer.code, API_NONE);
		assert_true(answer.diff > 0);
		if (cases[i].says == NULL)
			assert_string_equal(answer.guard, "");
		else if (strstr(answer.guard, cases[i].says) == NULL)
			fail_msg("without %s: \"%s\"", cases[i].gone, answer.guard);
		// nobody's session
		answer = check_without(world, cases[i].gone, cases[i].put);
		assert_string_equal(answer.guard, "");
	}
}

static void on_rows(void *ctx, struct json_t *rows)
{
	struct answer *answer = ctx;
	answer->diff = json_array_size(rows);
	const char *object = json_string_value(json_object_get(json_array_get(rows, 0), "object"));
	snprintf(answer->object, sizeof(answer->object), "%s", object != NULL ? object : "");
	thread_stop(answer->world->main);
}

static const struct store_filter ten = {.limit = 10};

static void test_refusals_are_audited(void **state)
{
	struct world *world = *state;
	const struct service_change request = {.actor = "uid:7", .verb = "config.apply"};
	struct answer bad = {.world = world}, rows = {.world = world};

	service_apply(world->service, &request, "nonsense", 8, "bad.yaml", on_done, &bad);
	service_list(world->service, SERVICE_AUDIT, &ten, on_rows, &rows);
	thread_run(world->main);
	restart(world);
	service_list(world->service, SERVICE_AUDIT, &ten, on_rows, &rows);
	thread_run(world->main);
	assert_int_equal(rows.diff, 1);
	assert_string_equal(rows.object, "");
	restart(world);
	change(world, CUSTOMER("Acme"), false, NULL); // no name
	restart(world);
	service_list(world->service, SERVICE_AUDIT, &ten, on_rows, &rows);
	thread_run(world->main);
	assert_int_equal(rows.diff, 2);
	assert_string_equal(rows.object, "customer Acme");
}

static void sql(const struct world *world, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(world->store_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

// What an older version stored and this one would not take is in force, listed with each
// publication, no obstacle to other changes, and off the list once it is mended.
static void test_problems_of_the_stored_model(void **state)
{
	struct world *world = *state;
	const struct service_change request = {.actor = "uid:0", .verb = "config.apply"};
	struct answer answer = {.world = world, .last = true};

	service_apply(world->service, &request, base_yaml, strlen(base_yaml), "base.yaml", on_done,
		&answer);
	thread_run(world->main);
	assert_int_equal(world->problems, 0);
	stop(world);
	sql(world, "UPDATE objects SET json = json_set(json, '$.bandwidth', '60mbps', '$.colour', "
		   "'red') WHERE noun = 'circuit' AND name = 'acme-01'");
	start(world);
	assert_int_equal(world->problems, 2); // not sold; no such field
	answer = change(world, CUSTOMER("initech"), false, NULL);
	assert_int_equal(answer.code, API_NONE);
	assert_int_equal(world->problems, 2);
	restart(world);
	answer = change(world,
		"[{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"acme-01\",\"fields\":{"
		"\"bandwidth\":\"100mbps\"}}]",
		false, NULL);
	assert_int_equal(answer.code, API_NONE);
	assert_int_equal(world->problems, 0);
	restart(world);
	assert_int_equal(world->problems, 0);
}

// --- what waits for confirmation -----------------------------------------------------------------------

typedef void settling(struct service *service, const struct service_change *change,
	const uint64_t *revision, service_done done, void *ctx);

static struct answer settle(struct world *world, settling *how, const uint64_t *revision, bool check)
{
	const struct service_change request = {.actor = "uid:1", .verb = "config.rollback", .check = check};
	struct answer answer = {.world = world, .last = true};

	how(world->service, &request, revision, on_done, &answer);
	thread_run(world->main);
	restart(world);
	return answer;
}

// A customer `acme`, then one more that waits for confirmation.
static void make_pending(struct world *world, uint64_t ms)
{
	change(world, CUSTOMER("acme"), false, NULL);
	restart(world);
	world->confirm_ms = ms;
	struct answer answer = change(world, CUSTOMER("globex"), false, NULL);
	world->confirm_ms = 0;
	assert_int_equal(answer.code, API_NONE);
	assert_int_equal(answer.revision, 2);
	assert_true(world->waits);
	assert_string_equal(world->told, "pending");
	restart(world); // it is as if it had been killed: what is not in the store is gone
}

static bool has(const struct world *world, const char *customer)
{
	return model_customer(service_model(world->service), customer) != NULL;
}

static void test_confirmed(void **state)
{
	struct world *world = *state;
	const uint64_t other = 7, two = 2;

	make_pending(world, 60000);
	assert_true(world->waits);
	struct answer answer = change(world, CUSTOMER("initech"), false, NULL);
	assert_int_equal(answer.code, API_CONFLICT);
	assert_non_null(strstr(answer.message, "pending confirm by root (uid:0) until "));
	assert_non_null(strstr(answer.message, " of revision 2"));
	restart(world);
	answer = change(world, CUSTOMER("initech"), true, NULL); // a check says so as well
	assert_int_equal(answer.code, API_NONE);
	assert_non_null(strstr(answer.guard, "pending confirm by root"));
	restart(world);
	assert_int_equal(settle(world, service_rollback, &two, false).code, API_CONFLICT);
	assert_int_equal(settle(world, service_confirm, &other, false).code, API_CONFLICT);
	answer = settle(world, service_confirm, &two, false);
	assert_int_equal(answer.code, API_NONE);
	assert_true(answer.changed);
	assert_int_equal(answer.revision, 2);
	assert_string_equal(world->told, "confirmed");
	assert_false(world->waits);
	assert_true(has(world, "globex"));
	assert_int_equal(settle(world, service_confirm, NULL, false).code, API_NOT_FOUND);
	answer = change(world, CUSTOMER("initech"), false, NULL);
	assert_int_equal(answer.code, API_NONE);
}

static void test_taken_back(void **state)
{
	struct world *world = *state;

	make_pending(world, 60000);
	struct answer answer = settle(world, service_rollback, NULL, true);
	assert_int_equal(answer.diff, 1);
	assert_true(has(world, "globex") && world->waits);
	answer = settle(world, service_rollback, NULL, false);
	assert_int_equal(answer.code, API_NONE);
	assert_int_equal(answer.revision, 3);
	assert_int_equal(answer.diff, 1);
	assert_string_equal(world->told, "reverted");
	assert_false(has(world, "globex") || world->waits);
	assert_true(has(world, "acme"));
	// And by all rules when nothing waits: this takes back that it was taken back.
	answer = settle(world, service_rollback, NULL, false);
	assert_int_equal(answer.code, API_NONE);
	assert_true(has(world, "globex"));
	assert_int_equal(settle(world, service_rollback, &(uint64_t){0}, false).revision, 5);
	assert_false(has(world, "acme"));
	assert_int_equal(settle(world, service_rollback, &(uint64_t){9}, false).code, API_NOT_FOUND);
}

// By itself: while it runs, and while it did not run, before anybody is shown what has gone back.
static void test_goes_back_by_itself(void **state)
{
	struct world *world = *state;

	make_pending(world, 300);
	world->until_told = true;
	thread_run(world->main);
	world->until_told = false;
	assert_string_equal(world->told, "reverted");
	restart(world);
	assert_int_equal(service_revision(world->service), 3);
	assert_false(has(world, "globex") || world->waits);

	world->confirm_ms = 50;
	change(world, CUSTOMER("initech"), false, NULL);
	world->confirm_ms = 0;
	stop(world);
	const uint64_t over = clock_ns() + 60000000;
	while (clock_ns() < over)
		usleep(1000);
	unsigned int publications = world->publications;
	start(world);
	assert_int_equal(world->publications, publications + 1);
	assert_int_equal(world->published, 5);
	assert_false(has(world, "initech") || world->waits);
	restart(world);
	assert_int_equal(service_revision(world->service), 5);
	struct answer answer = change(world, CUSTOMER("hooli"), false, NULL);
	assert_int_equal(answer.code, API_NONE);
}

#define BANDWIDTH(value)                                                                          \
	"[{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"acme-01\",\"fields\":{\"bandwidth\":\"" value "\"}}]"

// A raise is no way of no return while it waits; afterwards it is, and a check still tells what going back would be.
static void test_a_raise_is_taken_back(void **state)
{
	struct world *world = *state;
	const struct service_change request = {.actor = "uid:0", .verb = "config.apply"};
	struct answer answer = {.world = world, .last = true};

	service_apply(world->service, &request, base_yaml, strlen(base_yaml), "base.yaml", on_done, &answer);
	thread_run(world->main);
	restart(world);
	world->confirm_ms = 600000;
	assert_int_equal(change(world, BANDWIDTH("1gbps"), false, NULL).code, API_NONE);
	world->confirm_ms = 0;
	restart(world);
	assert_int_equal(settle(world, service_rollback, NULL, false).code, API_NONE);
	assert_true(model_circuit(service_model(world->service), "acme-01")->bandwidth == 50000000);
	assert_int_equal(change(world, BANDWIDTH("100mbps"), false, NULL).code, API_NONE);
	restart(world);
	answer = settle(world, service_rollback, NULL, false);
	assert_int_equal(answer.code, API_REFUSED);
	assert_non_null(strstr(answer.message, "cannot be lowered from 100mbps to 50mbps"));
	answer = settle(world, service_rollback, NULL, true);
	assert_int_equal(answer.code, API_NONE);
	assert_int_equal(answer.diff, 1);
	assert_non_null(strstr(answer.guard, "cannot be lowered"));
	answer = settle(world, service_rollback, &(uint64_t){0}, false); // whatever else is against it, too
	assert_int_equal(answer.code, API_REFUSED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_change_is_committed_published_answered),
		TEST(test_a_refused_change_leaves_no_trace),
		TEST(test_check_changes_nothing),
		TEST(test_if_revision),
		TEST(test_many_at_once_come_in_order),
		TEST(test_an_answer_that_asks_again),
		TEST(test_a_whole_file),
		TEST(test_a_file_cut_off),
		TEST(test_a_file_that_leaves_out_what_carries_a_session),
		TEST(test_refusals_are_audited),
		TEST(test_problems_of_the_stored_model),
		TEST(test_confirmed),
		TEST(test_taken_back),
		TEST(test_goes_back_by_itself),
		TEST(test_a_raise_is_taken_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
